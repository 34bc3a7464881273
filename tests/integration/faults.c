/* SPDX-License-Identifier: MIT
 *
 * What is done about tasks that fail or do not end: timeouts, retries, how many run at a time. What they print is kept.
 * (What user code may do to its process is in isolation.c.)
 */
#include "check.h"

#include <sys/file.h>

MN_JOB(misbehave, .cpu = 0.05);
MN_JOB(misbehave_again, .cpu = 0.05, .max_retries = 2);
MN_JOB(misbehave_slowly, .cpu = 0.05, .timeout = 0.3);
MN_JOB(misbehave_slowly_again, .cpu = 0.05, .timeout = 0.3, .max_retries = 1);
MN_JOB(hold, .cpu = 0.05);
MN_JOB(narrow, .cpu = 0.05, .max_concurrency = 2);
MN_FUNCTION(narrow_item, .cpu = 0.05, .max_concurrency = 2);
MN_JOB(print, .cpu = 0.05, .max_retries = 1);
MN_JOB(print_and_hold, .cpu = 0.05);
MN_JOB(print_much, .cpu = 0.05);
MN_JOB(call_printer, .cpu = 0.05);
MN_FUNCTION(print_item, .cpu = 0.05);

/* How it ends: the word in `input`. All that can be done wrong is in isolation.c. */
static int end_so(mn_task_t *task, mn_value_t input)
{
    char how[128];
    value_to_path(input, how);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "exit 0") == 0)
        exit(0);
    if (strcmp(how, "loop") == 0)
        for (volatile unsigned long i = 0;; i++)
            ;
    if (strcmp(how, "sleep") == 0)
        for (;;)
            pause_ms(1000);
    if (strcmp(how, "fail") == 0)
        return mn_fail(task, MN_E_FAILED, "no such thing: %s", "the moon");
    return 0;
}

static int misbehave(mn_task_t *task, mn_value_t input)
{
    mn_yield(task, mn_text("partial"));
    return end_so(task, input);
}

static int misbehave_again(mn_task_t *task, mn_value_t input)
{
    return misbehave(task, input);
}

static int misbehave_slowly(mn_task_t *task, mn_value_t input)
{
    return misbehave(task, input);
}

static int misbehave_slowly_again(mn_task_t *task, mn_value_t input)
{
    return misbehave(task, input);
}

static int hold(mn_task_t *task, mn_value_t input)
{
    int rc = mn_yield(task, mn_text("here"));
    (void)input;
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    return rc;
}

static mn_id_t steady; /* a job that must not notice anything */

static void begin_steady(mn_task_t *task)
{
    (void)task;
    REQUIRE_CODE(mn_start(hold, mn_none(), NULL, &steady), 0);
    REQUIRE(await_yields(steady, 1));
}

static void end_steady(mn_task_t *task)
{
    mn_info_t *info;
    (void)task;
    CHECK(status_is(steady, MN_RUNNING));
    CHECK_CODE(mn_cancel(steady), 0);
    info = ENDED(steady, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(info->attempts == 1);
    mn_info_destroy(info);
}

/* --- limits ------------------------------------------------------------------------------------- */

static void timeouts(mn_task_t *task)
{
    mn_id_t ids[4];
    (void)task;
    double begun = seconds_now();
    REQUIRE_CODE(mn_start(misbehave_slowly, mn_text("loop"), NULL, &ids[0]), 0);
    REQUIRE_CODE(mn_start(misbehave_slowly_again, mn_text("sleep"), NULL, &ids[1]), 0);
    REQUIRE_CODE(
        mn_start(misbehave, mn_text("loop"), &(mn_start_options_t){.timeout = 0.2}, &ids[2]), 0);
    REQUIRE_CODE(mn_start(misbehave_slowly, mn_text("fine"), NULL, &ids[3]), 0);
    for (int i = 0; i < 3; i++) {
        mn_info_t *info = ENDED(ids[i], MN_FAILED, MN_REASON_TIMEOUT);
        if (info)
            CHECK(value_is_text(info->result, "partial") && info->attempts == (i == 1 ? 2 : 1));
        mn_info_destroy(info);
    }
    EXPECT_END(ids[3], MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK(seconds_now() - begun >= 0.6 &&
          seconds_now() - begun < 30); /* the second had two attempts */
}

static void retries(mn_task_t *task)
{
    const char *how[] = {"abort", "fail", "exit 0"};
    mn_id_t id;
    (void)task;
    for (int i = 0; i < 3; i++) {
        REQUIRE_CODE(mn_start(misbehave_again, mn_text(how[i]), NULL, &id), 0);
        mn_info_t *info = ENDED(id, MN_FAILED,
                                i == 0   ? MN_REASON_SIGNAL
                                : i == 1 ? MN_REASON_ERROR
                                         : MN_REASON_EXITED);
        if (info)
            CHECK(info->attempts == 3 && value_is_text(info->result, "partial"));
        mn_info_destroy(info);
    }
    REQUIRE_CODE(mn_start(misbehave_again, mn_text("fine"), NULL, &id), 0);
    mn_info_t *info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info)
        CHECK(info->attempts == 1);
    mn_info_destroy(info);
}

/* --- max_concurrency ------------------------------------------------------------------------------------------------ */

typedef struct counter {
    int32_t now, most, total;
} counter_t;

static counter_t count(const char *path, int change)
{
    counter_t counter = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || flock(fd, LOCK_EX) < 0 || read(fd, &counter, sizeof counter) < 0)
        abort();
    counter.now += change;
    counter.total += change > 0;
    if (counter.now > counter.most)
        counter.most = counter.now;
    if (pwrite(fd, &counter, sizeof counter, 0) != (ssize_t)sizeof counter)
        abort();
    close(fd);
    return counter;
}

static int narrow(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    count(path, 1);
    pause_ms(30); /* so that they would meet */
    count(path, -1);
    return mn_yield(task, mn_text("fine"));
}

static int narrow_item(mn_task_t *task, mn_value_t input)
{
    return narrow(task, input);
}

enum { NARROW = 10 };

static void concurrency(mn_task_t *task)
{
    mn_id_t ids[NARROW];
    mn_value_t values[NARROW];
    roll_t roll; /* for its folder */
    char path[128];
    REQUIRE(roll_open(&roll));
    snprintf(path, sizeof path, "%s/jobs", roll.folder);
    for (int i = 0; i < NARROW; i++)
        REQUIRE_CODE(mn_start(narrow, mn_text(path), NULL, &ids[i]), 0);
    for (int i = 0; i < NARROW; i++)
        EXPECT_END(ids[i], MN_SUCCEEDED, MN_REASON_RETURNED);
    counter_t end = count(path, 0);
    if (end.now != 0 || end.most != 2 || end.total != NARROW)
        check_fail("jobs: %d at a time, %d altogether, %d left", end.most, end.total, end.now);
    unlink(path);

    snprintf(path, sizeof path, "%s/items", roll.folder);
    for (int i = 0; i < NARROW; i++)
        values[i] = mn_text(path);
    CHECK_CODE(
        mn_map_values(task, narrow_item, values, NARROW, NULL, &(mn_map_options_t){.max_block = 1}),
        0);
    end = count(path, 0);
    if (end.now != 0 || end.most > 2 || end.most < 1 || end.total != NARROW)
        check_fail("items: %d at a time, %d altogether, %d left", end.most, end.total, end.now);
    unlink(path);
    roll_close(&roll);
}

/* --- output -------------------------------------------------------------------------------------------------------------- */

static int print(mn_task_t *task, mn_value_t input)
{
    (void)input;
    printf("hidden: attempt %u speaks\n", mn_task_attempt(task));
    fprintf(stderr, "hidden: attempt %u complains\n", mn_task_attempt(task));
    if (mn_task_attempt(task) == 1) {
        printf("hidden: without an end of the line"); /* is flushed when the task returns */
        return mn_fail(task, MN_E_FAILED, "once more");
    }
    if (system("echo hidden: a child speaks") !=
        0) /* after what printf() has in its buffer, or before */
        return mn_fail(task, MN_E_SYSTEM, "no shell");
    return 0;
}

static int print_and_hold(mn_task_t *task, mn_value_t input)
{
    puts("hidden: while it runs");
    fflush(stdout);
    return hold(task, input);
}

enum { LINES = 100000 };

/* 5.2 MB, in lines of 52 bytes. */
static int print_much(mn_task_t *task, mn_value_t input)
{
    (void)input;
    for (int i = 0; i < LINES; i++)
        printf("hidden: line %06d %.*s\n", i, 31, "................................");
    return mn_yield(task, mn_text("printed"));
}

static int print_item(mn_task_t *task, mn_value_t input)
{
    printf("hidden: from item %lld\n", (long long)value_int(input));
    return mn_yield(task, mn_bytes("y", 1));
}

static int call_printer(mn_task_t *task, mn_value_t input)
{
    int64_t numbers[3] = {11, 22, 33};
    char results[3];
    (void)input;
    puts("hidden: from the job");
    fflush(stdout);
    return mn_map(task, print_item, numbers, 3, results);
}

static bool log_has(mn_id_t id, unsigned attempt, mn_stream_t stream, const char *text)
{
    char *log = NULL;
    size_t size = 0;
    if (mn_log(id, attempt, stream, &log, &size) < 0)
        return false;
    bool has = strlen(log) == size && strstr(log, text);
    free(log);
    return has;
}

static void logs_per_attempt(mn_task_t *task)
{
    mn_id_t id;
    char *log = NULL;
    (void)task;
    REQUIRE_CODE(mn_start(print, mn_none(), NULL, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK(log_has(id, 1, MN_STDOUT, "attempt 1 speaks\n"));
    CHECK(log_has(id, 1, MN_STDOUT, "without an end of the line"));
    CHECK(!log_has(id, 1, MN_STDOUT, "attempt 2") && !log_has(id, 1, MN_STDOUT, "complains"));
    CHECK(log_has(id, 1, MN_STDERR, "attempt 1 complains\n") &&
          !log_has(id, 1, MN_STDERR, "speaks"));
    CHECK(log_has(id, 2, MN_STDOUT, "attempt 2 speaks\n") &&
          log_has(id, 2, MN_STDERR, "attempt 2 complains\n"));
    CHECK(log_has(id, 2, MN_STDOUT, "a child speaks\n"));
    CHECK(log_has(id, 0, MN_STDOUT, "attempt 2 speaks\n") &&
          !log_has(id, 0, MN_STDOUT, "attempt 1"));
    CHECK_REFUSED(mn_log(id, 3, MN_STDOUT, &log, NULL), MN_E_INVALID);
    CHECK(log == NULL);
}

static void log_while_it_runs(mn_task_t *task)
{
    mn_id_t id;
    (void)task;
    REQUIRE_CODE(mn_start(print_and_hold, mn_none(), NULL, &id), 0);
    CHECK(await_yields(id, 1));
    CHECK(EVENTUALLY(log_has(id, 0, MN_STDOUT, "while it runs\n")));
    CHECK(status_is(id, MN_RUNNING));
    CHECK_CODE(mn_cancel(id), 0);
    EXPECT_END(id, MN_CANCELLED, MN_REASON_CANCELLED);
    CHECK(log_has(id, 1, MN_STDOUT, "while it runs\n"));
}

static void bounded_log(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    char *log = NULL, last[64];
    size_t size = 0;
    (void)task;
    REQUIRE_CODE(mn_start(print_much, mn_none(), NULL, &id), 0);
    info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info)
        CHECK(value_is_text(info->result, "printed"));
    mn_info_destroy(info);
    REQUIRE_CODE(mn_log(id, 0, MN_STDOUT, &log, &size), 0);
    snprintf(last, sizeof last, "hidden: line %06d", LINES - 1);
    const char *tail = strstr(log, last);
    CHECK(size > 100000 && size < 140000 && strlen(log) == size);
    CHECK(strncmp(log, "hidden: line 000000 ", 20) == 0 && strstr(log, "hidden: line 001000 "));
    CHECK(tail && strlen(tail) == 52 && !strstr(log, "hidden: line 050000"));
    /* And says rightly how much is missing: with that it is as long as what was written. */
    const char *note = strstr(log, "\n[... ");
    unsigned long long missing = 0;
    int length = 0;
    CHECK(note && sscanf(note, "\n[... %llu bytes left out ...]\n%n", &missing, &length) == 1 &&
          size - (size_t)length + missing == LINES * (unsigned long long)strlen(tail));
    free(log);
}

static void output_of_functions(mn_task_t *task)
{
    mn_id_t id;
    (void)task;
    REQUIRE_CODE(mn_start(call_printer, mn_none(), NULL, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK(log_has(id, 1, MN_STDOUT, "from the job\n"));
    CHECK(EVENTUALLY(log_has(id, 1, MN_STDOUT, "from item 11\n") &&
                     log_has(id, 1, MN_STDOUT, "from item 22\n") &&
                     log_has(id, 1, MN_STDOUT, "from item 33\n")));
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    check_begin();
    RUN(task, begin_steady);
    RUN(task, timeouts);
    RUN(task, retries);
    RUN(task, concurrency);
    RUN(task, logs_per_attempt);
    RUN(task, log_while_it_runs);
    RUN(task, bounded_log);
    RUN(task, output_of_functions);
    RUN(task, end_steady);
    return check_end();
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
