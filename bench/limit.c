/* SPDX-License-Identifier: MIT
 *
 * How soon a task ends that takes more memory than it asked for: from the moment when it has that much, which it yields, to the end
 * of mn_wait() in the driver. It goes on taking a MiB every millisecond.
 *
 *     limit [RUNS]
 *
 * Prints "over", and "beyond": the bytes that it was shown to have used above its limit.
 */
#include "measure.h"

#define MIB ((size_t)1 << 20)
#define LIMIT_MIB 128
#define PATIENCE 60.

MN_JOB(take, .cpu = 1, .memory = "128MiB", .fresh = true);

static int take(mn_task_t *task, mn_value_t input)
{
    int rc = 0;
    (void)input;
    for (size_t taken = 1; rc == 0 && taken < 64 * LIMIT_MIB; taken++) {
        char *more = malloc(MIB);
        if (!more)
            return MN_E_NO_MEMORY;
        memset(more, 1, MIB);
        if (taken == LIMIT_MIB) {
            double now = 1e-9 * (double)measure_now();
            rc = mn_yield(task, mn_array(MN_FLOAT64, &now, 1));
        } else if (taken > LIMIT_MIB)
            measure_rest(1e-3);
    }
    return rc;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    size_t runs = measure_count(argc, argv, 1, 9);
    (void)task;
    for (size_t run = 0; run < runs; run++) {
        mn_id_t id;
        mn_info_t *info = NULL;
        double at;
        if (mn_start(take, mn_none(), NULL, &id) < 0 || mn_wait(id, PATIENCE, &info) < 0)
            return measure_failed("a job");
        double end = 1e-9 * (double)measure_now();
        if (info->reason != MN_REASON_OUT_OF_MEMORY || info->result.size != sizeof at) {
            fprintf(stderr, "the job ended so: %s %s\n", mn_reason_name(info->reason),
                    info->error ? info->error : "");
            return 1;
        }
        memcpy(&at, info->result.data, sizeof at);
        measure_say("over", end - at);
        measure_say("beyond", (double)info->peak_memory - (double)(LIMIT_MIB * MIB));
        mn_info_destroy(info);
    }
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
