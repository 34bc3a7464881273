/* SPDX-License-Identifier: MIT
 *
 * What tasks ask for and what they get: cores, and the refusal of what no node has; from all places.
 */
#include "places.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

MN_JOB(look, .cpu = 1);
MN_JOB(look_at_share, .cpu = 0.5);
MN_FUNCTION(look_in_item, .cpu = 1);
MN_FUNCTION(share_in_item, .cpu = 0.3);
MN_JOB(loosen, .cpu = 1);
MN_JOB(hold_core, .cpu = 1);
MN_JOB(hold_share, .cpu = 0.4);
MN_JOB(huge, .cpu = 1000);
MN_FUNCTION(huge_item, .cpu = 1000);
MN_JOB(hold_memory, .cpu = 0.01);
MN_FUNCTION(greedy_item, .cpu = 0.1, .memory = "900TiB");

/* What a task sees of its cores, from its main thread, another thread, and a child. */
typedef struct sight {
    int32_t main, thread, child, same, granted, variable;
    int32_t first;  /* the number of one of them */
    int32_t policy; /* whether its memory lies as the kernel's default has it */
} sight_t;

static int count_cores(cpu_set_t *set)
{
    CPU_ZERO(set);
    return sched_getaffinity(0, sizeof *set, set) < 0 ? -1 : CPU_COUNT(set);
}

static void *count_in_thread(void *argument)
{
    cpu_set_t *set = argument;
    count_cores(set);
    return NULL;
}

/* Each line of numa_maps is an address and the policy of what lies there. Without NUMA there is no such file. */
static int default_policy(void)
{
    char line[4096], policy[64];
    FILE *maps = fopen("/proc/self/numa_maps", "r");
    int all = 1;
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%*s %63s", policy) == 1 && strcmp(policy, "default") != 0)
            all = 0;
    if (maps)
        fclose(maps);
    return all;
}

static sight_t see(mn_task_t *task)
{
    cpu_set_t own, other;
    pthread_t thread;
    int status = 0;
    sight_t sight = {.main = count_cores(&own), .granted = (int32_t)mn_task_cpus(task)};
    const char *variable = getenv("OMP_NUM_THREADS");
    sight.policy = default_policy();
    sight.variable = variable ? atoi(variable) : -1;
    if (pthread_create(&thread, NULL, count_in_thread, &other) == 0) {
        pthread_join(thread, NULL);
        sight.thread = CPU_COUNT(&other);
        sight.same = CPU_EQUAL(&own, &other);
    }
    pid_t child = fork();
    if (child == 0)
        _exit(count_cores(&other));
    if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status))
        sight.child = WEXITSTATUS(status);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &own)) {
            sight.first = i;
            break;
        }
    /* Places are the cores of the mask, for OpenMP programs that it starts. */
    const char *places = getenv("OMP_PLACES");
    if (!places || strcmp(places, "cores") != 0)
        sight.variable = -2;
    return sight;
}

static int look(mn_task_t *task, mn_value_t input)
{
    sight_t sight = see(task);
    (void)input;
    return mn_yield(task, mn_bytes(&sight, sizeof sight));
}

static int look_at_share(mn_task_t *task, mn_value_t input)
{
    return look(task, input);
}

static int look_in_item(mn_task_t *task, mn_value_t input)
{
    return look(task, input);
}

static int share_in_item(mn_task_t *task, mn_value_t input)
{
    return look(task, input);
}

/* Takes its process off the cores that it was given, as the kernel does when they go offline. */
static int loosen(mn_task_t *task, mn_value_t input)
{
    cpu_set_t all;
    int rc = look(task, input);
    CPU_ZERO(&all);
    for (int i = 0; i < CPU_SETSIZE; i++)
        CPU_SET(i, &all);
    return sched_setaffinity(0, sizeof all, &all) < 0 ? MN_E_FAILED : rc;
}

static int hold_core(mn_task_t *task, mn_value_t input)
{
    int rc = look(task, input);
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    return rc;
}

static int hold_share(mn_task_t *task, mn_value_t input)
{
    return hold_core(task, input);
}

static int hold_memory(mn_task_t *task, mn_value_t input)
{
    return hold_core(task, input);
}

static int huge(mn_task_t *task, mn_value_t input)
{
    return look(task, input);
}

static int huge_item(mn_task_t *task, mn_value_t input)
{
    return look(task, input);
}

static int greedy_item(mn_task_t *task, mn_value_t input)
{
    return look(task, input);
}

static void check_sight(const void *data, size_t size, int cores, const char *who)
{
    sight_t sight;
    if (size != sizeof sight) {
        check_fail("%s saw nothing", who);
        return;
    }
    memcpy(&sight, data, sizeof sight);
    if (!sight.policy)
        check_fail("%s has memory that lies otherwise than by the kernel's default", who);
    if (sight.main != cores || sight.thread != cores || sight.child != cores || !sight.same ||
        sight.granted != cores || sight.variable != cores)
        check_fail(
            "%s saw %d cores, %d in a thread, %d in a child, mn_task_cpus() %d, OMP_NUM_THREADS %d instead of %d",
            who, sight.main, sight.thread, sight.child, sight.granted, sight.variable, cores);
}

static void see_from_job(mn_entry_t *job, double cpu, int cores, const char *who)
{
    mn_id_t id;
    REQUIRE_CODE(mn_start(job, mn_none(), &(mn_start_options_t){.cpu = cpu}, &id), 0);
    mn_info_t *info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info)
        check_sight(info->result.data, info->result.size, cores, who);
    mn_info_destroy(info);
}

/* How many cores the node has to give: as many as can be asked for. */
static int offered(void)
{
    static int cores;
    mn_id_t id;
    for (int ask = 2; cores == 0; ask++)
        if (mn_start(look, mn_none(), &(mn_start_options_t){.cpu = ask}, &id) < 0)
            cores = ask - 1;
        else
            mn_remove(id);
    return cores;
}

static void cores_of_a_job(mn_task_t *task)
{
    (void)task;
    see_from_job(look, 0, 1, "a job with one core");
    see_from_job(look_at_share, 0, 1, "a job with half a core");
    see_from_job(look, 0.001, 1, "a job with a thousandth of a core");
    if (offered() >= 2)
        see_from_job(look, 2, 2, "a job with two cores");
    see_from_job(look, offered(), offered(), "a job with all cores");
    see_from_job(look, 0, 1, "a job with one core, afterwards");
    for (int i = 0; i < 3; i++) /* mostly in the same process */
        see_from_job(loosen, 0, 1, "a job after one that has left its cores");
}

static void cores_of_a_function(mn_task_t *task)
{
    int64_t numbers[6] = {0};
    sight_t sights[6];
    REQUIRE_CODE(mn_map(task, look_in_item, numbers, 6, sights), 0);
    for (int i = 0; i < 6; i++)
        check_sight(&sights[i], sizeof sights[i], 1, "an item with one core");
    REQUIRE_CODE(mn_map(task, share_in_item, numbers, 6, sights), 0);
    for (int i = 0; i < 6; i++)
        check_sight(&sights[i], sizeof sights[i], 1, "an item with a share of a core");
}

static sight_t sight_of(mn_id_t id)
{
    sight_t sight = {.first = -1};
    mn_info_t *info = NULL;
    if (await_yields(id, 1) && mn_get(id, &info) == 0 && info->result.size == sizeof sight)
        memcpy(&sight, info->result.data, sizeof sight);
    mn_info_destroy(info);
    return sight;
}

static int core_of(mn_id_t id)
{
    return sight_of(id).first;
}

/* As many jobs as there are cores run, each on another one; the next waits until one of them has ended. In the
 * driver only: it needs all the cores for itself. */
static void cores_are_used_once(mn_task_t *task)
{
    int cores = offered(), used[64] = {0};
    char *why = NULL;
    mn_id_t ids[65];
    (void)task;
    REQUIRE(cores <= 64);
    for (int i = 0; i <= cores; i++)
        REQUIRE_CODE(mn_start(hold_core, mn_none(), NULL, &ids[i]), 0);
    for (int i = 0; i < cores; i++) {
        used[i] = core_of(ids[i]);
        CHECK(used[i] >= 0);
        for (int j = 0; j < i; j++)
            CHECK(used[i] != used[j]);
    }
    CHECK(status_is(ids[cores], MN_PENDING));
    CHECK_CODE(mn_explain(ids[cores], &why), 0);
    CHECK(why && strstr(why, "needs 1 core") && strstr(why, "; 0 tasks ahead of it"));
    free(why);
    CHECK_CODE(mn_cancel(ids[0]), 0);
    EXPECT_END(ids[0], MN_CANCELLED, MN_REASON_CANCELLED);
    CHECK(core_of(ids[cores]) == used[0]);
    for (int i = 1; i <= cores; i++) {
        CHECK_CODE(mn_cancel(ids[i]), 0);
        EXPECT_END(ids[i], MN_CANCELLED, MN_REASON_CANCELLED);
    }
}

/* Two shares of 0.4 fit on a core, three do not. */
static void shares_of_a_core(mn_task_t *task)
{
    int count = 2 * offered();
    mn_id_t ids[129];
    (void)task;
    REQUIRE(count <= 128);
    for (int i = 0; i <= count; i++)
        REQUIRE_CODE(mn_start(hold_share, mn_none(), NULL, &ids[i]), 0);
    for (int i = 0; i < count; i++)
        CHECK(core_of(ids[i]) >= 0);
    CHECK(status_is(ids[count], MN_PENDING));
    CHECK_CODE(mn_cancel(ids[1]), 0);
    CHECK(core_of(ids[count]) >= 0);
    for (int i = 0; i <= count; i++) {
        CHECK(mn_cancel(ids[i]) >= 0);
        EXPECT_END(ids[i], MN_CANCELLED, MN_REASON_CANCELLED);
    }
}

/* Ten tenths fill a core, and leave the others whole: a task with a core has it to itself. In the driver only. */
static void tenths_of_a_core(mn_task_t *task)
{
    mn_start_options_t tenth = {.cpu = 0.1};
    int count = 10 * offered(), beside = 10 * (offered() - 1);
    mn_id_t ids[65], whole;
    (void)task;
    REQUIRE(count <= 64);
    for (int i = 0; i < 10; i++)
        REQUIRE_CODE(mn_start(hold_share, mn_none(), &tenth, &ids[i]), 0);
    int shared = core_of(ids[0]);
    for (int i = 0; i < 10; i++)
        CHECK(core_of(ids[i]) == shared);
    REQUIRE_CODE(mn_start(hold_core, mn_none(), NULL, &whole), 0);
    CHECK(core_of(whole) >= 0 && core_of(whole) != shared);
    /* Only as many as the cores that are left hold. */
    for (int i = 10; i <= beside; i++)
        REQUIRE_CODE(mn_start(hold_share, mn_none(), &tenth, &ids[i]), 0);
    for (int i = 10; i < beside; i++)
        CHECK(core_of(ids[i]) >= 0 && core_of(ids[i]) != core_of(whole));
    CHECK(status_is(ids[beside], MN_PENDING));
    CHECK_CODE(mn_cancel(whole), 0);
    EXPECT_END(whole, MN_CANCELLED, MN_REASON_CANCELLED);
    for (int i = beside + 1; i <= count; i++)
        REQUIRE_CODE(mn_start(hold_share, mn_none(), &tenth, &ids[i]), 0);
    for (int i = 0; i < count; i++)
        CHECK(core_of(ids[i]) >= 0);
    CHECK(status_is(ids[count], MN_PENDING));
    for (int i = 0; i <= count; i++) {
        CHECK(mn_cancel(ids[i]) >= 0);
        EXPECT_END(ids[i], MN_CANCELLED, MN_REASON_CANCELLED);
    }
}

/* Memory is budgeted: what does not fit beside the others waits. Run with MULTINODE_MEMORY=256MiB. */
static void memory_is_used_once(mn_task_t *task)
{
    mn_id_t ids[3];
    mn_start_options_t options = {.memory = "100 MiB"};
    const char *offer = getenv("MULTINODE_MEMORY");
    (void)task;
    if (!offer || strcmp(offer, "256MiB") != 0)
        return;
    for (int i = 0; i < 3; i++)
        REQUIRE_CODE(mn_start(hold_memory, mn_none(), &options, &ids[i]), 0);
    CHECK(core_of(ids[0]) >= 0 && core_of(ids[1]) >= 0);
    CHECK(status_is(ids[2], MN_PENDING));
    CHECK_CODE(mn_cancel(ids[0]), 0);
    CHECK(core_of(ids[2]) >= 0);
    for (int i = 0; i < 3; i++) {
        CHECK(mn_cancel(ids[i]) >= 0);
        EXPECT_END(ids[i], MN_CANCELLED, MN_REASON_CANCELLED);
    }
    CHECK_REFUSED(
        mn_start(hold_memory, mn_none(), &(mn_start_options_t){.memory = "257MiB"}, &ids[0]),
        MN_E_IMPOSSIBLE);
}

static bool names_the_largest_node(void)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return strstr(mn_error_message(), host) ||
           check_fail("%s is not named: %s", host, mn_error_message());
}

static void what_no_node_has(mn_task_t *task)
{
    mn_id_t id, before, after;
    int64_t number = 0;
    size_t count;
    char result[8];
    double begun = seconds_now();
    REQUIRE(mn_list(NULL, &before, 1, &count) == 0);
    bool any = count == 1;
    CHECK_REFUSED(mn_start(huge, mn_none(), NULL, &id), MN_E_IMPOSSIBLE);
    CHECK(names_the_largest_node() && strstr(mn_error_message(), "1000"));
    CHECK_REFUSED(mn_start(look, mn_none(), &(mn_start_options_t){.cpu = offered() + 1}, &id),
                  MN_E_IMPOSSIBLE);
    CHECK(names_the_largest_node());
    CHECK_REFUSED(mn_start(look, mn_none(), &(mn_start_options_t){.memory = "900 TiB"}, &id),
                  MN_E_IMPOSSIBLE);
    CHECK(names_the_largest_node());
    CHECK_REFUSED(mn_call(task, huge_item, mn_none(), NULL), MN_E_IMPOSSIBLE);
    CHECK(names_the_largest_node());
    CHECK_REFUSED(mn_call(task, greedy_item, mn_none(), NULL), MN_E_IMPOSSIBLE);
    CHECK(names_the_largest_node());
    CHECK_REFUSED(
        mn_map_fixed(task, huge_item, &number, sizeof number, 1, result, sizeof result, NULL),
        MN_E_IMPOSSIBLE);
    CHECK(seconds_now() - begun < 10);
    CHECK(mn_list(NULL, &after, 1, &count) == 0);
    CHECK((count == 1) == any || offered() > 0);
    CHECK(!any || mn_id_equal(before, after)); /* no job was made */
    see_from_job(huge, 1, 1, "a job that asks for less than it declares");
}

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    RUN(task, cores_of_a_job);
    RUN(task, cores_of_a_function);
    RUN(task, what_no_node_has);
    RUN(task, memory_is_used_once);
    if (strcmp(where, "driver") == 0) {
        RUN(task, cores_are_used_once);
        RUN(task, shares_of_a_core);
        if (offered() >= 2 && offered() <= 6)
            RUN(task, tenths_of_a_core);
    }
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, places_driver);
}
