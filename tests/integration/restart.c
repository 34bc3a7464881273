/* SPDX-License-Identifier: MIT
 *
 * For restart.test: jobs in every state that a runtime can be lost in, and what has become of them in the next one. Jobs are
 * found again by their keys; a job waits for the file FOLDER/go where the test wants it to be still there.
 *
 *     restart FOLDER leave      brings jobs into their states, says READY and waits to be killed
 *     restart FOLDER find       holds what it finds against that; the job "vanishing" is not declared then
 *     restart FOLDER interrupt  has a job run, says READY and waits to be asked to stop
 *     restart FOLDER end        lets all jobs end, with "vanishing" declared again
 */
#include "check.h"

static const char *folder, *part;

/* --- the jobs -------------------------------------------------------------------------------------------------- */

/* Counts its attempts by its yields, which outlive them, and waits from the second one on for the file. */
static int counting(mn_task_t *task, mn_value_t input)
{
    char go[512];
    mn_value_t last;
    uint64_t number = 1;
    int rc;

    if (mn_last_yield(task, &last) == 0)
        number = *(const uint64_t *)last.data + 1;
    if ((rc = mn_yield_sync(task, mn_array(MN_UINT64, &number, 1))) < 0)
        return rc;
    snprintf(go, sizeof go, "%.*s/go", (int)input.size, (const char *)input.data);
    while (access(go, F_OK) < 0) {
        if ((rc = mn_cancelled(task)) < 0)
            return rc;
        usleep(1000);
    }
    return 0;
}

static int vanishing(mn_task_t *task, mn_value_t input)
{
    return mn_yield_sync(task, input);
}

MN_JOB(at_ease, .cpu = 0.1, .max_lost = 1);

static int at_ease(mn_task_t *task, mn_value_t input)
{
    return counting(task, input);
}

MN_JOB(only_once, .cpu = 0.1, .max_lost = MN_AT_MOST_ONCE);

static int only_once(mn_task_t *task, mn_value_t input)
{
    return counting(task, input);
}

MN_JOB(one_by_one, .cpu = 0.1, .max_concurrency = 1);

static int one_by_one(mn_task_t *task, mn_value_t input)
{
    return counting(task, input);
}

MN_JOB(deaf, .cpu = 0.1, .grace = 600);

/* Until it is killed. */
static int deaf(mn_task_t *task, mn_value_t input)
{
    uint64_t number = 1;
    (void)input;
    mn_yield_sync(task, mn_array(MN_UINT64, &number, 1));
    while (getppid() != 1)
        usleep(10000);
    return 0;
}

/* --- what the driver does with them ----------------------------------------------------------------------------- */

static mn_id_t start(const char *job, const char *key, const char *lock)
{
    mn_id_t id = {{0}};
    int rc =
        mn_start_named(job, mn_text(folder), &(mn_start_options_t){.key = key, .lock = lock}, &id);
    if (rc < 0)
        check_fail("%s is not started: %s", key, mn_error_message());
    return id;
}

static mn_info_t *state(mn_id_t id)
{
    mn_info_t *info = NULL;
    if (mn_get(id, &info) < 0)
        check_fail("a job is not there: %s", mn_error_message());
    return info;
}

/* Until it has yielded. */
static void await_value(mn_id_t id)
{
    mn_info_t *info = NULL;
    uint64_t seen = 0;
    while (mn_watch(id, seen, CHECK_PATIENCE, &info) == 0) {
        seen = info->version;
        bool there = info->yields > 0;
        mn_info_destroy(info);
        if (there)
            return;
    }
    check_fail("a job does not yield: %s", mn_error_message());
}

static void is(const char *key, mn_id_t id, mn_status_t status, mn_reason_t reason,
               unsigned attempts)
{
    mn_info_t *info = state(id);
    if (info && (info->status != status || info->reason != reason || info->attempts != attempts))
        check_fail("%s is %s (%s) after %u attempts, not %s (%s) after %u: %s", key,
                   mn_status_name(info->status), mn_reason_name(info->reason), info->attempts,
                   mn_status_name(status), mn_reason_name(reason), attempts,
                   info->error ? info->error : "no error");
    mn_info_destroy(info);
}

static void holds(const char *lock, mn_id_t id)
{
    char name[MN_ID_TEXT];
    mn_id_t other;
    if (mn_start(at_ease, mn_text(folder), &(mn_start_options_t){.lock = lock}, &other) !=
        MN_E_LOCK_IN_USE)
        check_fail("the lock %s is free", lock);
    else if (!strstr(mn_error_message(), mn_id_format(id, name)))
        check_fail("the lock %s is another's: %s", lock, mn_error_message());
}

static void await_end(const char *key, mn_id_t id, mn_status_t status)
{
    mn_info_t *info = NULL;
    if (mn_wait(id, CHECK_PATIENCE, &info) < 0)
        check_fail("%s does not end: %s", key, mn_error_message());
    else if (info->status != status)
        check_fail("%s is %s", key, mn_status_name(info->status));
    mn_info_destroy(info);
}

static void wait_to_be_stopped(mn_task_t *task)
{
    printf("READY\n");
    fflush(stdout);
    while (mn_cancelled(task) == 0)
        usleep(1000);
}

static void leave(mn_task_t *task)
{
    mn_id_t ended = start("vanishing", "ended", NULL),
            running = start("at_ease", "running", "table-1"),
            once = start("only_once", "once", NULL), first = start("one_by_one", "first", NULL),
            second = start("one_by_one", "second", "table-2"),
            third = start("deaf", "cancelled", "table-3");

    await_end("ended", ended, MN_SUCCEEDED);
    await_value(running);
    await_value(once);
    await_value(first);
    await_value(third);
    CHECK(mn_cancel(third) == 0);
    is("cancelled", third, MN_CANCELLING, MN_REASON_CANCELLED, 1);
    is("second", second, MN_PENDING, MN_REASON_NONE, 0);
    await_value(start("vanishing_later", "blocking", NULL));
    is("waiting", start("vanishing_later", "waiting", NULL), MN_PENDING, MN_REASON_NONE, 0);
    wait_to_be_stopped(task);
}

static void find(mn_task_t *task)
{
    mn_id_t ids[16], ended = {{0}};
    mn_info_t *info;
    size_t count = 0;

    (void)task;
    CHECK(mn_list(&(mn_list_options_t){.job = "vanishing"}, ids, 16, &count) == 0 && count == 1);
    ended = ids[0];
    is("ended", ended, MN_SUCCEEDED, MN_REASON_RETURNED, 1);
    REQUIRE(mn_list(&(mn_list_options_t){.job = "vanishing_later"}, ids, 16, &count) == 0 &&
            count == 2);
    is("waiting", ids[0], MN_PENDING, MN_REASON_UNDECLARED, 0);
    is("blocking", ids[1], MN_PENDING, MN_REASON_UNDECLARED, 1);
    CHECK(mn_list(NULL, ids, 16, &count) == 0 && count == 8);
    info = state(ended);
    CHECK(info && info->result.size == strlen(folder) &&
          memcmp(info->result.data, folder, info->result.size) == 0);
    mn_info_destroy(info);
    CHECK_REFUSED(mn_start_named("vanishing", mn_none(), NULL, NULL), MN_E_UNDECLARED);

    mn_id_t running = start("at_ease", "running", "table-1"),
            once = start("only_once", "once", NULL),
            second = start("one_by_one", "second", "table-2"),
            third = start("deaf", "cancelled", NULL);
    holds("table-1", running);
    holds("table-2", second);
    is("once", once, MN_FAILED, MN_REASON_WORKER_LOST, 1);
    is("cancelled", third, MN_CANCELLED, MN_REASON_CANCELLED, 1);
    start("at_ease", "afterwards", "table-3"); /* the lock of what has ended is free */
}

static void interrupt(mn_task_t *task)
{
    mn_id_t running = start("at_ease", "running", "table-1");
    CHECK(await_status(running, MN_RUNNING));
    is("running", running, MN_RUNNING, MN_REASON_NONE, 2);
    wait_to_be_stopped(task);
}

static void end(mn_task_t *task)
{
    char go[512];
    static const char *const keys[] = {"running",  "first",   "second",
                                       "blocking", "waiting", "afterwards"};
    static const char *const jobs[] = {"at_ease",         "one_by_one",      "one_by_one",
                                       "vanishing_later", "vanishing_later", "at_ease"};

    (void)task;
    snprintf(go, sizeof go, "%s/go", folder);
    int fd = open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        await_end(keys[i], start(jobs[i], keys[i], NULL), MN_SUCCEEDED);
    /* Lost once, which is all that it may be; interrupted after that, which does not count. */
    mn_id_t running = start("at_ease", "running", NULL);
    is("running", running, MN_SUCCEEDED, MN_REASON_RETURNED, 2);
    mn_info_t *info = state(running);
    CHECK(info && info->result.size == sizeof(uint64_t) &&
          *(const uint64_t *)info->result.data >= 2);
    mn_info_destroy(info);
    is("second", start("one_by_one", "second", NULL), MN_SUCCEEDED, MN_REASON_RETURNED, 1);
    CHECK(mn_start(at_ease, mn_text(folder), &(mn_start_options_t){.lock = "table-1"}, NULL) == 0);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    check_begin();
    if (strcmp(part, "leave") == 0)
        RUN(task, leave);
    else if (strcmp(part, "find") == 0)
        RUN(task, find);
    else if (strcmp(part, "interrupt") == 0)
        RUN(task, interrupt);
    else
        RUN(task, end);
    return check_end();
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    folder = argv[1];
    part = argv[2];
    if (strcmp(part, "leave") == 0 || strcmp(part, "end") == 0) {
        mn_declare(MN_KIND_JOB, "vanishing", vanishing, NULL);
        mn_declare(MN_KIND_JOB, "vanishing_later", counting,
                   &(mn_spec_t){.cpu = 0.1, .max_concurrency = 1});
    }
    return mn_main(argc, argv, driver);
}
