/* SPDX-License-Identifier: MIT
 *
 * The second example: intermediate results, progress, and a cancel that the job answers with a
 * clean-up.
 *
 *     multinode run ./progress
 *
 * The job sums the series of pi, and yields what it has after every round, so that anyone can read
 * it meanwhile. When it is asked to stop it tidies up and yields once more: that is kept too. */
#include <multinode.h>

#include <stdio.h>
#include <time.h>

enum { ROUNDS = 2000, TERMS = 1000 };

/* It has ten seconds for the clean-up, then it would be killed. */
MN_JOB(sum_series, .cpu = 0.5, .grace = 10);

/* What is yielded: rounds done, the estimate so far, and 1 if it is the last word, after the
 * clean-up. The value has a type and dimensions, so that others see numbers in the store. */
static int yield_state(mn_task_t *task, double rounds, double estimate, double is_clean)
{
    const double state[3] = {rounds, estimate, is_clean};
    return mn_yield(task, mn_array(MN_FLOAT64, state, 3));
}

static int sum_series(mn_task_t *task, mn_value_t input)
{
    FILE *scratch = tmpfile(); /* something to be cleaned up */
    int rc = scratch ? 0 : mn_fail(task, MN_E_SYSTEM, "no scratch file"), round = 0;
    double sum = 0;

    (void)input;
    while (rc == 0 && round < ROUNDS) {
        for (int i = round * TERMS; i < (round + 1) * TERMS; i++)
            sum += (i % 2 ? -4.0 : 4.0) / (2 * i + 1);
        fprintf(scratch, "%d %.17g\n", ++round, sum);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* work that takes a while */
        rc = yield_state(task, round, sum, 0);
        if (rc == 0)
            rc = mn_progress(task, (double)round / ROUNDS, "summing");
    }
    /* All is done, or a call above returned MN_E_CANCELLED. Clean up in both cases. Yielding still
     * works, though it returns MN_E_CANCELLED again: so the first code is the one to return. */
    if (scratch)
        fclose(scratch);
    yield_state(task, round, sum, 1);
    return rc;
}

static int failed(const char *what)
{
    fprintf(stderr, "progress: %s: %s\n", what, mn_error_message());
    return 1;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    mn_info_t *info = NULL;
    double rounds = 0;
    int updates = 0;
    mn_id_t id;

    (void)task, (void)argc, (void)argv;
    if (mn_start(sum_series, mn_none(), NULL, &id) < 0)
        return failed("mn_start");

    /* Each change of the job wakes mn_watch(). Of several yields between two looks one sees the
     * latest. */
    bool has_ended = false;
    for (uint64_t seen = 0; updates < 3 && !has_ended; mn_info_destroy(info)) {
        if (mn_watch(id, seen, 60, &info) < 0)
            return failed("mn_watch");
        seen = info->version;
        has_ended = mn_status_terminal(info->status);
        const double *state = info->result.data;
        if (info->yields > 0 && state[0] > rounds) {
            rounds = state[0];
            updates++;
        }
    }
    printf("intermediate results arrived while the job was running: %s\n",
           has_ended ? "no" : "yes");

    if (mn_cancel(id) < 0)
        return failed("mn_cancel");
    if (mn_wait(id, 60, &info) < 0)
        return failed("mn_wait");
    const double *last = info->result.data;
    bool is_kept =
        info->yields > 0 && last[0] >= rounds && last[2] == 1 && last[1] > 3.13 && last[1] < 3.15;
    printf("the job is %s, reason %s\n", mn_status_name(info->status),
           mn_reason_name(info->reason));
    printf("what it yielded in its clean-up was kept: %s\n", is_kept ? "yes" : "no");
    bool is_good = !has_ended && info->status == MN_CANCELLED && is_kept;
    mn_info_destroy(info);
    return is_good ? 0 : 1;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
