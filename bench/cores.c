/* SPDX-License-Identifier: MIT
 *
 * Whether a task has its cores to itself. The same work, which stays in registers, in a job of one core:
 *   alone      and nothing else runs: on each of two cores in turn, the mean
 *   together   two of them at a time, the mean
 *   second     on the second core, beside a job of the first that never rests
 *   crowded    the same beside ten jobs of a tenth of a core that never rest
 *
 *     cores [RUNS]
 */
#include "measure.h"

#include <unistd.h>

#define CROWD 10
#define STEPS 60000000
#define PATIENCE 60.
#define SETTLED 0.1 /* seconds: nothing is being started any more */

MN_JOB(work, .cpu = 1);
MN_JOB(keep_core, .cpu = 1);
MN_JOB(fill_core, .cpu = 1);
MN_JOB(never_rest, .cpu = 0.1);

static int work(mn_task_t *task, mn_value_t input)
{
    int64_t begin = measure_now();
    uint64_t state = 88172645463325252ULL + input.size;
    for (int i = 0; i < STEPS; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    double seconds = 1e-9 * (double)(measure_now() - begin);
    if (state == 0)
        return MN_E_FAILED; /* never: so that the loop is not left out */
    return mn_yield(task, mn_array(MN_FLOAT64, &seconds, 1));
}

static int begin_holding(mn_task_t *task)
{
    double begun = 1;
    return mn_yield(task, mn_array(MN_FLOAT64, &begun, 1));
}

static int keep_core(mn_task_t *task, mn_value_t input)
{
    int rc = begin_holding(task);
    (void)input;
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        measure_rest(1e-3);
    return rc;
}

static int never_rest(mn_task_t *task, mn_value_t input)
{
    int rc = begin_holding(task);
    (void)input;
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        for (int64_t end = measure_now() + 1000000; measure_now() < end;)
            ;
    return rc;
}

static int fill_core(mn_task_t *task, mn_value_t input)
{
    return never_rest(task, input);
}

/* What it measured itself; negative when it failed. */
static double seconds_of(mn_id_t id)
{
    mn_info_t *info = NULL;
    double seconds = -1;
    if (mn_wait(id, PATIENCE, &info) == 0 && info->status == MN_SUCCEEDED &&
        info->result.size == sizeof seconds)
        memcpy(&seconds, info->result.data, sizeof seconds);
    mn_info_destroy(info);
    return seconds;
}

static double one(void)
{
    mn_id_t id;
    return mn_start(work, mn_none(), NULL, &id) < 0 ? -1 : seconds_of(id);
}

static double two(void)
{
    mn_id_t ids[2];
    if (mn_start(work, mn_none(), NULL, &ids[0]) < 0 ||
        mn_start(work, mn_none(), NULL, &ids[1]) < 0)
        return -1;
    double first = seconds_of(ids[0]), second = seconds_of(ids[1]);
    return first < 0 || second < 0 ? -1 : (first + second) / 2;
}

/* The work beside jobs that hold the first core. */
static double beside(mn_entry_t *job, int count)
{
    mn_id_t ids[CROWD];
    int started = 0, rc = 0;
    while (started < count && rc == 0) {
        rc = mn_start(job, mn_none(), NULL, &ids[started]);
        if (rc == 0)
            rc = mn_watch(ids[started++], 0, PATIENCE, NULL);
    }
    measure_rest(SETTLED);
    double seconds = rc == 0 ? one() : -1;
    for (int i = 0; i < started; i++) {
        mn_cancel(ids[i]);
        mn_wait(ids[i], PATIENCE, NULL);
    }
    return seconds;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    size_t runs = measure_count(argc, argv, 1, 7);
    (void)task;
    if (one() < 0 || two() < 0) /* warm */
        return measure_failed("a job");
    for (size_t run = 0; run < runs; run++) {
        double first = one(), other = beside(keep_core, 1), together = two();
        double crowded = beside(never_rest, CROWD), second = beside(fill_core, 1);
        if (first < 0 || other < 0 || together < 0 || crowded < 0 || second < 0)
            return measure_failed("a job");
        measure_say("alone", (first + other) / 2);
        measure_say("together", together);
        measure_say("second", second);
        measure_say("crowded", crowded);
    }
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
