/* SPDX-License-Identifier: MIT
 *
 * How soon a cancel is seen, and how soon all is over when its grace is:
 *   flag   from mn_cancel() to a job that looks at mn_cancelled() now and then
 *   call   from mn_cancel() to the return of a call that the job waits in (a function that would never end)
 *   gone   from the end of the grace of a job that does not listen to the end of the last of its processes: itself, an
 *          ordinary child, one in a session of its own, and one that is nobody's child any more
 *
 *     cancel [RUNS]
 */
#include "measure.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK 20e-6   /* seconds between two looks at the flag */
#define SETTLE 0.01  /* seconds for a job to be where its cancel is to find it */
#define GRACE 0.1    /* seconds */
#define PROCESSES 4  /* of a job that does not listen */
#define PATIENCE 20. /* seconds: longer than anything here takes */

MN_JOB(look_at_flag, .cpu = 0.1);
MN_JOB(wait_in_call, .cpu = 0.1);
MN_FUNCTION(never_end, .cpu = 0.1);
MN_JOB(do_not_listen, .cpu = 0.1);

/* --- jobs ---------------------------------------------------------------------------------------------------- */

static int yield_now(mn_task_t *task)
{
    int64_t now = measure_now();
    return mn_yield(task, mn_array(MN_INT64, &now, 1));
}

static int look_at_flag(mn_task_t *task, mn_value_t input)
{
    int rc = yield_now(task);
    (void)input;
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        measure_rest(LOOK);
    yield_now(task);
    return rc;
}

static int never_end(mn_task_t *task, mn_value_t input)
{
    (void)input;
    while (!mn_cancelled(task))
        measure_rest(1e-3);
    return mn_cancelled(task);
}

static int wait_in_call(mn_task_t *task, mn_value_t input)
{
    int rc = yield_now(task);
    (void)input;
    if (rc == 0)
        rc = mn_call(task, never_end, mn_none(), NULL);
    if (rc == MN_E_CANCELLED)
        yield_now(task);
    return rc;
}

/* Shows by a byte, and by the FIFO that it holds open, that it is there. */
_Noreturn static void stay(const char *path)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static int do_not_listen(mn_task_t *task, mn_value_t input)
{
    char path[128];
    (void)task;
    snprintf(path, sizeof path, "%.*s", (int)input.size, (const char *)input.data);
    for (int kind = 0; kind < PROCESSES - 1; kind++) {
        if (fork() != 0)
            continue;
        if (kind > 0)
            setsid();
        if (kind == 2 && fork() != 0)
            _exit(0);
        stay(path);
    }
    stay(path);
}

/* --- driver -------------------------------------------------------------------------------------------------- */

/* Nanoseconds of the clock that a job has yielded at least `yields` times, last. */
static int64_t await_yield(mn_id_t id, uint64_t yields)
{
    mn_info_t *info = NULL;
    int64_t time = 0;
    for (uint64_t seen = 0; time == 0 && mn_watch(id, seen, PATIENCE, &info) == 0;) {
        bool over = mn_status_terminal(info->status);
        seen = info->version;
        if (info->yields >= yields && info->result.size == sizeof time)
            memcpy(&time, info->result.data, sizeof time);
        mn_info_destroy(info);
        info = NULL;
        if (over)
            break;
    }
    return time;
}

static int measure_seen(const char *name, mn_entry_t *job, double settle)
{
    mn_id_t id;
    if (mn_start(job, mn_none(), NULL, &id) < 0 || await_yield(id, 1) == 0)
        return measure_failed(name);
    measure_rest(settle);
    int64_t begin = measure_now();
    if (mn_cancel(id) < 0 || mn_wait(id, PATIENCE, NULL) < 0)
        return measure_failed(name);
    int64_t seen = await_yield(id, 2);
    if (seen < begin) {
        fprintf(stderr, "%s: the job has not seen its cancel\n", name);
        return 1;
    }
    measure_say(name, 1e-9 * (double)(seen - begin));
    return mn_remove(id) < 0 ? measure_failed("mn_remove") : 0;
}

/* Reads until `count` bytes have come, or, if it is 0, until nobody has the FIFO open any more. */
static bool await_fifo(int fd, int count)
{
    bool to_the_end = count == 0;
    int64_t until = measure_now() + (int64_t)(PATIENCE * 1e9);
    while ((to_the_end || count > 0) && measure_now() < until) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        char byte;
        poll(&wait, 1, 100);
        ssize_t n = read(fd, &byte, 1);
        if (n == 1)
            count--;
        else if (n == 0 && to_the_end)
            return true;
        else if (n == 0)
            measure_rest(1e-3); /* nobody has it open yet */
    }
    return !to_the_end && count == 0;
}

static int measure_gone(const char *path, int fd)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    if (mn_start(do_not_listen, mn_text(path), NULL, &id) < 0)
        return measure_failed("mn_start");
    if (!await_fifo(fd, PROCESSES)) {
        fprintf(stderr, "the processes of a job did not come up\n");
        return 1;
    }
    int64_t begin = measure_now();
    if (mn_cancel_within(id, GRACE) < 0)
        return measure_failed("mn_cancel_within");
    bool gone = await_fifo(fd, 0);
    int64_t end = measure_now();
    if (mn_wait(id, PATIENCE, &info) < 0)
        return measure_failed("mn_wait");
    bool killed = info->status == MN_CANCELLED && info->reason == MN_REASON_KILLED;
    mn_info_destroy(info);
    if (!gone || !killed) {
        fprintf(stderr, "a job that was cancelled is %s\n", gone ? "not killed" : "still there");
        return 1;
    }
    measure_say("gone", 1e-9 * (double)(end - begin) - GRACE);
    return mn_remove(id) < 0 ? measure_failed("mn_remove") : 0;
}

static int measure_all(size_t runs, const char *path, int fd)
{
    int rc = 0;
    for (size_t run = 0; run <= runs && rc == 0; run++) { /* those of the first are not warm */
        if (run == 1)
            printf("warm\n");
        rc = measure_seen("flag", look_at_flag, SETTLE);
        if (rc == 0)
            rc = measure_seen("call", wait_in_call, 5 * SETTLE);
        if (rc == 0)
            rc = measure_gone(path, fd);
    }
    return rc;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    char folder[] = "/tmp/mn-bench-XXXXXX", path[64];
    size_t runs = measure_count(argc, argv, 1, 50);
    (void)task;
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    snprintf(path, sizeof path, "%s/fifo", folder);
    chmod(folder, 0755);
    int fd = mkfifo(path, 0666) == 0 ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd < 0)
        perror(path);
    int status = fd < 0 ? 1 : measure_all(runs, path, fd);
    unlink(path);
    rmdir(folder);
    return status;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
