/* SPDX-License-Identifier: MIT
 *
 * Memory and processor time of tasks: what is too much ends a task and nothing else, what is another's is not charged to it,
 * and what it used is shown. From the driver.
 */
#include "check.h"

#include <inttypes.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MIB ((size_t)1 << 20)
#define LIMIT_MIB 128 /* what eat declares */

typedef enum food { HEAP, IN_A_THREAD, IN_A_CHILD, IN_A_GRANDCHILD, SHARED, ARENA, FOODS } food_t;

typedef struct meal {
    int64_t mib, food, limit; /* MiB */
} meal_t;

MN_JOB(eat, .cpu = 0.1, .memory = "128MiB");
MN_JOB(eat_again, .cpu = 0.1, .memory = "128MiB", .max_retries = 1);
MN_JOB(hoard, .cpu = 0.1, .memory = "400MiB");
MN_JOB(tell_score, .cpu = 0.1);
MN_JOB(spin, .cpu = 0.1);
MN_JOB(spin_in_a_child, .cpu = 0.1);
MN_JOB(stay, .cpu = 0.1, .memory = "128MiB");
MN_FUNCTION(eat_item, .cpu = 0.1, .memory = "128MiB");
MN_FUNCTION(sum_item, .cpu = 0.1, .memory = "64MiB");

/* Private memory that is there, or the end of the process. */
static void *swallow(size_t bytes, int flags)
{
    uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        _exit(77);
    for (size_t i = 0; i < bytes; i += 4096)
        at[i] = 1;
    return at;
}

/* Swallows, and gives it back: after a moment in which it can be seen, or never if it is too much. */
static void consume(const meal_t *meal, int flags)
{
    size_t bytes = (size_t)meal->mib * MIB;
    void *at = swallow(bytes, flags);
    pause_ms(150);
    for (int i = 0; meal->mib > meal->limit && i < (int)(CHECK_PATIENCE * 100); i++)
        pause_ms(10);
    munmap(at, bytes);
}

static void *consume_in_thread(void *argument)
{
    consume(argument, MAP_PRIVATE);
    return NULL;
}

static int in_child(const meal_t *meal, int depth)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        if (depth > 1)
            _exit(in_child(meal, depth - 1) ? 1 : 0);
        consume(meal, MAP_PRIVATE);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return MN_E_SYSTEM;
    return 0; /* whatever became of it: the runtime is to notice */
}

static int serve_meal(mn_task_t *task, mn_value_t input)
{
    meal_t meal;
    void *arena = NULL;
    pthread_t thread;
    int rc = 0;
    memcpy(&meal, input.data, sizeof meal);
    switch (meal.food) {
    case IN_A_THREAD:
        if (pthread_create(&thread, NULL, consume_in_thread, &meal) == 0)
            pthread_join(thread, NULL);
        break;
    case IN_A_CHILD:
        return in_child(&meal, 1);
    case IN_A_GRANDCHILD:
        return in_child(&meal, 2);
    case SHARED:
        consume(&meal, MAP_SHARED);
        break;
    case ARENA:
        rc = mn_alloc(task, (size_t)meal.mib * MIB, &arena);
        consume(&(meal_t){.mib = 1, .limit = meal.mib <= meal.limit}, MAP_PRIVATE);
        break;
    default:
        consume(&meal, MAP_PRIVATE);
    }
    return rc;
}

static int eat(mn_task_t *task, mn_value_t input)
{
    return serve_meal(task, input);
}

static int eat_again(mn_task_t *task, mn_value_t input)
{
    return serve_meal(task, input);
}

static int eat_item(mn_task_t *task, mn_value_t input)
{
    int64_t eaten = 1;
    int rc = serve_meal(task, input);
    return rc < 0 ? rc : mn_yield(task, mn_bytes(&eaten, sizeof eaten));
}

/* Keeps what it was given, as a static variable would. */
static int hoard(mn_task_t *task, mn_value_t input)
{
    int64_t mib = value_int(input), pid = getpid();
    if (mib > 0)
        swallow((size_t)mib * MIB, MAP_PRIVATE);
    return mn_yield(task, mn_bytes(&pid, sizeof pid));
}

/* How willing the machine's own out-of-memory killer is to take it. */
static int tell_score(mn_task_t *task, mn_value_t input)
{
    int64_t score = -1;
    (void)input;
    FILE *file = fopen("/proc/self/oom_score_adj", "re");
    if (file && fscanf(file, "%" SCNd64, &score) != 1)
        score = -1;
    if (file)
        fclose(file);
    return mn_yield(task, mn_bytes(&score, sizeof score));
}

static void use_processor(double seconds)
{
    struct timespec used;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    while ((double)used.tv_sec + (double)used.tv_nsec * 1e-9 < seconds);
}

static double processor_time(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

static int spin(mn_task_t *task, mn_value_t input)
{
    (void)task;
    (void)input;
    use_processor(processor_time() + 0.2);
    return 0;
}

static int spin_in_a_child(mn_task_t *task, mn_value_t input)
{
    int status;
    (void)task;
    (void)input;
    pid_t child = fork();
    if (child == 0) {
        use_processor(0.2);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? 0 : MN_E_SYSTEM;
}

static int stay(mn_task_t *task, mn_value_t input)
{
    int64_t there = 1;
    (void)input;
    mn_yield(task, mn_bytes(&there, sizeof there));
    while (!mn_cancelled(task))
        pause_ms(5);
    return 0;
}

static int sum_item(mn_task_t *task, mn_value_t input)
{
    const uint8_t *at = input.data;
    int64_t sum = 0;
    for (size_t i = 0; i < input.size; i += 4096)
        sum += at[i];
    pause_ms(30); /* long enough to be looked at */
    return mn_yield(task, mn_bytes(&sum, sizeof sum));
}

/* --- cases ---------------------------------------------------------------------------------------------------- */

static mn_info_t *start_and_wait(mn_entry_t *job, mn_value_t input, const char *memory)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    if (CHECK_CODE(mn_start(job, input, &(mn_start_options_t){.memory = memory}, &id), 0))
        CHECK_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    return info;
}

static mn_info_t *serve(mn_entry_t *job, int64_t mib, food_t food, const char *memory)
{
    meal_t meal = {mib, food, memory ? atoi(memory) : LIMIT_MIB};
    return start_and_wait(job, mn_bytes(&meal, sizeof meal), memory);
}

static void expect_too_much(mn_info_t *info, const char *what, unsigned attempts)
{
    if (!info)
        return;
    if (info->status != MN_FAILED || info->reason != MN_REASON_OUT_OF_MEMORY || !info->error ||
        !strstr(info->error, "used ") || !strstr(info->error, " of 128 MiB") ||
        info->attempts != attempts)
        check_fail("%s: %s, %s after %u attempts: %s", what, mn_status_name(info->status),
                   mn_reason_name(info->reason), info->attempts,
                   info->error ? info->error : "no error");
    mn_info_destroy(info);
}

static void expect_success(mn_info_t *info, const char *what)
{
    if (info && info->status != MN_SUCCEEDED)
        check_fail("%s: %s, %s: %s", what, mn_status_name(info->status),
                   mn_reason_name(info->reason), info->error ? info->error : "no error");
    mn_info_destroy(info);
}

static const char *const food_names[FOODS] = {"heap",         "a thread",      "a child",
                                              "a grandchild", "shared memory", "mn_alloc()"};

static void too_much_ends_the_task(mn_task_t *task)
{
    (void)task;
    for (int food = 0; food < FOODS; food++)
        expect_too_much(serve(eat, 300, (food_t)food, NULL), food_names[food], 1);
    expect_too_much(serve(eat_again, 300, HEAP, NULL), "with a retry", 2);
}

/* ThreadSanitizer has memory of its own for each byte of the task's, which counts as the task's. */
#ifdef __SANITIZE_THREAD__
static const bool memory_is_exact = false;
#else
static const bool memory_is_exact = true;
#endif

static void enough_is_enough(mn_task_t *task)
{
    (void)task;
    for (int food = 0; food < FOODS; food++)
        expect_success(serve(eat, 70, (food_t)food, NULL), food_names[food]);
    expect_success(serve(eat, 300, HEAP, "800MiB"), "a job with a larger limit");
}

/* The same process, if it may: only its limit changes. */
static void a_limit_goes_with_its_task(mn_task_t *task)
{
    (void)task;
    for (int i = 0; i < 2; i++) {
        expect_success(serve(eat, 90, HEAP, "400MiB"), "a larger limit");
        expect_too_much(serve(eat, 300, HEAP, NULL), "the declared limit again", 1);
    }
}

static void what_is_left_behind_does_not_count(mn_task_t *task)
{
    int64_t much = 200, nothing = 0;
    (void)task;
    expect_success(start_and_wait(hoard, mn_bytes(&much, sizeof much), NULL), "a hoarder");
    mn_info_t *info = start_and_wait(hoard, mn_bytes(&nothing, sizeof nothing), "128MiB");
    expect_success(info, "a job with a smaller limit than what the process has");
}

static void others_live_on(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    (void)task;
    REQUIRE_CODE(mn_start(stay, mn_none(), NULL, &id), 0);
    REQUIRE_CODE(mn_watch(id, 0, CHECK_PATIENCE, NULL), 0);
    expect_too_much(serve(eat, 300, IN_A_CHILD, NULL), "beside another", 1);
    CHECK_CODE(mn_get(id, &info), 0);
    CHECK(info && info->status == MN_RUNNING && info->attempts == 1);
    mn_info_destroy(info);
    CHECK_CODE(mn_cancel(id), 0);
    CHECK_CODE(mn_wait(id, CHECK_PATIENCE, NULL), 0);
}

static void an_item_may_be_too_much(mn_task_t *task)
{
    meal_t meals[3] = {{1, HEAP, LIMIT_MIB}, {300, HEAP, LIMIT_MIB}, {1, HEAP, LIMIT_MIB}};
    char results[3][8];
    int rc = mn_map(task, eat_item, meals, 3, results);
    if (!CHECK_CODE(rc, MN_E_NO_MEMORY) || !strstr(mn_error_message(), "item 1") ||
        !strstr(mn_error_message(), " of 128 MiB"))
        check_fail("the map says: %s", mn_error_message());
}

/* The arguments are 256 MiB of the driver's, the functions may have 64 MiB each. */
static void arguments_are_the_callers(mn_task_t *task)
{
    enum { ITEMS = 8, EACH = 32 };
    uint8_t *arguments = NULL;
    int64_t sums[ITEMS];
    void *memory = NULL;
    REQUIRE_CODE(mn_alloc(task, ITEMS * EACH * MIB, &memory), 0);
    arguments = memory;
    memset(arguments, 1, ITEMS * EACH * MIB);
    if (CHECK_CODE(
            mn_map_fixed(task, sum_item, arguments, EACH * MIB, ITEMS, sums, sizeof sums[0], NULL),
            0))
        for (int i = 0; i < ITEMS; i++)
            CHECK(sums[i] == (int64_t)(EACH * MIB / 4096));
    mn_free(memory);
}

static void figures_are_kept(mn_task_t *task)
{
    (void)task;
    mn_info_t *info = serve(eat, 100, HEAP, NULL);
    if (info && (info->peak_memory < 95 * MIB || info->peak_memory > LIMIT_MIB * MIB))
        check_fail("100 MiB are shown as %llu bytes", (unsigned long long)info->peak_memory);
    mn_info_destroy(info);
    info = serve(eat, 100, IN_A_CHILD, NULL);
    if (info && info->peak_memory > LIMIT_MIB * MIB)
        check_fail("100 MiB in a child are shown as %llu bytes",
                   (unsigned long long)info->peak_memory);
    mn_info_destroy(info);
    for (int i = 0; i < 2; i++) {
        info = start_and_wait(i == 0 ? spin : spin_in_a_child, mn_none(), NULL);
        if (info && (info->cpu_time < 0.15 || info->cpu_time > 1))
            check_fail("0.2 s of processor time are shown as %g", info->cpu_time);
        mn_info_destroy(info);
    }
}

static void the_machine_kills_executors_first(mn_task_t *task)
{
    (void)task;
    mn_info_t *info = start_and_wait(tell_score, mn_none(), NULL);
    CHECK(info && value_int(info->result) >= 500);
    mn_info_destroy(info);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    check_begin();
    RUN(task, too_much_ends_the_task);
    if (memory_is_exact) {
        RUN(task, enough_is_enough);
        RUN(task, figures_are_kept);
    }
    RUN(task, a_limit_goes_with_its_task);
    RUN(task, what_is_left_behind_does_not_count);
    RUN(task, others_live_on);
    RUN(task, an_item_may_be_too_much);
    RUN(task, arguments_are_the_callers);
    RUN(task, the_machine_kills_executors_first);
    return check_end();
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
