/* SPDX-License-Identifier: MIT
 *
 * What the scripts about whole runs need, by the first argument:
 *
 *     runs exit N        the driver returns N
 *     runs signal N      the driver dies of a signal
 *     runs args ...      prints its arguments
 *     runs cat           copies standard input to standard output
 *     runs streams       says which of its standard streams are terminals
 *     runs results       jobs whose results have all kinds of types
 *     runs listen        a job, and a function that it called, that stop when they are asked to
 *     runs stubborn      the same, but they do not listen, and have children
 *
 * The last two print READY when all is running, and what they see when it ends. Processes are told apart from outside
 * by their names: runs-driver, runs-job, runs-item, runs-child.
 */
#include "check.h"

#include <sys/prctl.h>

MN_JOB(keep, .cpu = 0.1);
MN_JOB(listen_well, .cpu = 0.1);
MN_FUNCTION(listen_item, .cpu = 0.1);
MN_JOB(listen_not, .cpu = 0.1, .max_lost = 3);
MN_FUNCTION(listen_not_item, .cpu = 0.1);

static int keep(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

/* --- those that listen --------------------------------------------------------------------------------------- */

static int listen_item(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    prctl(PR_SET_NAME, "runs-item");
    roll_sign(path);
    while (!mn_cancelled(task))
        pause_ms(2);
    return mn_cancelled(task);
}

static int listen_well(mn_task_t *task, mn_value_t input)
{
    char text[256];
    prctl(PR_SET_NAME, "runs-job");
    mn_yield(task, mn_text("at work"));
    int rc = mn_call(task, listen_item, input, NULL);
    int start = mn_start(keep, mn_none(), NULL, NULL);
    snprintf(text, sizeof text, "call %s, flag %s, start %s", mn_error_name(rc),
             mn_error_name(mn_cancelled(task)), mn_error_name(start));
    mn_yield(task, mn_text(text));
    return rc;
}

/* --- those that do not ------------------------------------------------------------------------------------------ */

static void stay(const char *path, const char *name)
{
    prctl(PR_SET_NAME, name);
    for (int number = 1; number < NSIG; number++)
        if (number != SIGCHLD)
            signal(number, SIG_IGN);
    roll_sign(path);
    for (;;)
        pause_ms(1000);
}

static void have_children(const char *path)
{
    if (fork() == 0) {
        setsid();
        stay(path, "runs-child");
    }
    if (fork() == 0) {
        if (fork() == 0) {
            setsid();
            stay(path, "runs-child");
        }
        _exit(0);
    }
}

static int listen_not_item(mn_task_t *task, mn_value_t input)
{
    char path[128];
    (void)task;
    value_to_path(input, path);
    have_children(path);
    stay(path, "runs-item");
    return 0;
}

/* When it is run again, because its worker was lost, it is content. */
static int listen_not(mn_task_t *task, mn_value_t input)
{
    char path[128];
    mn_map_stream_t *stream;
    value_to_path(input, path);
    if (mn_task_attempt(task) > 1)
        return mn_yield(task, mn_text("once more"));
    mn_yield(task, mn_text("at work"));
    if (mn_map_open(task, listen_not_item, &input, 1, NULL, &stream) < 0)
        return MN_E_FAILED;
    have_children(path);
    stay(path, "runs-job");
    return 0;
}

/* --- drivers ------------------------------------------------------------------------------------------------------- */

static int hold_a_job(mn_entry_t *job, int signatures)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    roll_t roll;
    prctl(PR_SET_NAME, "runs-driver");
    if (!roll_open(&roll) || mn_start(job, mn_text(roll.path), NULL, &id) < 0)
        return 1;
    if (!roll_await(&roll, signatures) || !await_yields(id, 1))
        return 1;
    printf("READY\n");
    fflush(stdout);
    int rc = mn_wait(id, -1, &info);
    printf("wait: %s\n", mn_error_name(rc));
    /* When it drains the job ends in its own time; reading goes on. */
    if (rc == MN_E_INTERRUPTED && EVENTUALLY(mn_get(id, &info) == 0 && info->status != MN_RUNNING &&
                                             info->status != MN_CANCELLING))
        rc = 0;
    if (info)
        printf("job: %s, %s, %u attempts, result %.*s\n", mn_status_name(info->status),
               mn_reason_name(info->reason), info->attempts, (int)info->result.size,
               info->result.data ? (const char *)info->result.data : "");
    fflush(stdout);
    int status = !info ? 4 : info->status == MN_SUCCEEDED ? 0 : info->status == MN_PENDING ? 3 : 5;
    mn_info_destroy(info);
    roll_close(&roll);
    return status;
}

static int keep_results(void)
{
    const double matrix[2][3] = {{1.5, -2.25, 3}, {4, 5, 6.125}};
    const int32_t numbers[4] = {7, -8, 9, 2147483647};
    const uint8_t bytes[3] = {1, 2, 255};
    const int64_t large = 9007199254740993;
    const mn_value_t values[] = {mn_matrix(MN_FLOAT64, matrix, 2, 3),
                                 mn_array(MN_INT32, numbers, 4), mn_array(MN_UINT8, bytes, 3),
                                 mn_array(MN_INT64, &large, 1), mn_text("words")};
    mn_id_t ids[5];
    for (int i = 0; i < 5; i++)
        if (mn_start(keep, values[i], &(mn_start_options_t){.tag = "kept"}, &ids[i]) < 0)
            return 1;
    for (int i = 0; i < 5; i++)
        if (mn_wait(ids[i], CHECK_PATIENCE, NULL) < 0)
            return 1;
    return 0;
}

static int copy_input(void)
{
    int c;
    while ((c = getchar()) != EOF)
        putchar(c);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int tell_streams(void)
{
    printf("output: %s\n", isatty(1) ? "a terminal" : "no terminal");
    fprintf(stderr, "error: %s\n", isatty(2) ? "a terminal" : "no terminal");
    return fflush(stdout) == 0 ? 0 : 1;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    (void)task;
    if (strcmp(what, "exit") == 0)
        return atoi(argv[2]);
    if (strcmp(what, "signal") == 0) {
        signal(atoi(argv[2]), SIG_DFL);
        raise(atoi(argv[2]));
    }
    if (strcmp(what, "args") == 0)
        for (int i = 2; i < argc; i++)
            printf("[%s]\n", argv[i]);
    if (strcmp(what, "cat") == 0)
        return copy_input();
    if (strcmp(what, "streams") == 0)
        return tell_streams();
    if (strcmp(what, "results") == 0)
        return keep_results();
    if (strcmp(what, "listen") == 0)
        return hold_a_job(listen_well, 1);
    if (strcmp(what, "stubborn") == 0)
        return hold_a_job(listen_not, 6);
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
