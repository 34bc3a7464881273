/* SPDX-License-Identifier: MIT
 *
 * A run that goes on until somebody has looked at its store often enough: jobs are started and waited for, 500 at a time, and one
 * in 50 is removed again; once there are 5,000 all further ones are, so that a look at the store does not take longer and longer. Ends
 * when the file that is the argument is there. Prints how many are left.
 */
#include <multinode.h>

#include <stdio.h>
#include <unistd.h>

MN_JOB(repeat_job, .cpu = 0.5);

/* Yields its input. */
static int repeat_job(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

enum { BATCH = 500, LEAST = 5000 }; /* more than have a group each */

static int batch(long first, int step)
{
    static double numbers[BATCH];
    static mn_value_t inputs[BATCH];
    static mn_id_t ids[BATCH];
    int rc;

    for (int i = 0; i < BATCH; i++) {
        numbers[i] = (double)(first + i);
        inputs[i] = mn_array(MN_FLOAT64, &numbers[i], 1);
    }
    if ((rc = mn_start_many(repeat_job, inputs, BATCH, NULL, ids)) != BATCH)
        return rc < 0 ? rc : MN_E_INTERNAL;
    if ((rc = mn_wait_many(ids, BATCH, -1, NULL, NULL)) < 0)
        return rc;
    for (int i = 0; rc == 0 && i < BATCH; i += step)
        rc = mn_remove(ids[i]);
    return rc;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    long started = 0;
    int rc = 0;

    (void)task;
    while (rc == 0 && argc > 1 && (started < LEAST || access(argv[1], F_OK) < 0)) {
        rc = batch(started, started < LEAST ? 50 : 1);
        started += started < LEAST ? BATCH : 0;
    }
    if (rc < 0) {
        fprintf(stderr, "%s\n", mn_error_message());
        return 1;
    }
    printf("%ld\n", started - started / 50);
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
