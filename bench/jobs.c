/* SPDX-License-Identifier: MIT
 *
 * Jobs that do next to nothing, end to end: start, run, result read and compared. Each has a number and yields it.
 * One batch for each run of the program, so that all find the same: an empty store and no process but the driver's.
 *
 *     jobs [COUNT [STAY]]
 *
 * Says when it is where ("begin", "started", "end": run.py looks then what the processes have used) and the seconds
 * of the three parts: start (the calls that start them), wait (until the last has ended), read (the results). STAY: so many
 * seconds it stays after that, so that it can be looked at.
 */
#include "measure.h"

#include <stdbool.h>

MN_JOB(say_number, .cpu = 1);

static int say_number(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static void say(const char *word)
{
    printf("%s\n", word);
    fflush(stdout);
}

static int start_all(const int64_t *numbers, size_t count, mn_id_t *ids)
{
    for (size_t i = 0; i < count; i++) {
        int rc = mn_start(say_number, mn_array(MN_INT64, &numbers[i], 1), NULL, &ids[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Jobs need not end in the order in which they were started, but the last of them is the best one to wait for. */
static int wait_for_all(const mn_id_t *ids, size_t count)
{
    return mn_wait(ids[count - 1], -1, NULL);
}

static int read_all(const int64_t *numbers, const mn_id_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mn_info_t *info = NULL;
        int rc = mn_wait(ids[i], -1, &info);
        if (rc < 0)
            return rc;
        bool good = info->status == MN_SUCCEEDED && info->result.size == sizeof numbers[i] &&
                    memcmp(info->result.data, &numbers[i], sizeof numbers[i]) == 0;
        if (!good)
            fprintf(stderr, "job %zu is %s: %s\n", i, mn_status_name(info->status),
                    info->error ? info->error : "a wrong result");
        mn_info_destroy(info);
        if (!good)
            exit(1);
    }
    return 0;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    size_t count = measure_count(argc, argv, 1, 100000);
    int64_t *numbers = malloc(count * sizeof *numbers), times[4];
    mn_id_t *ids = malloc(count * sizeof *ids);
    int status = 1;

    (void)task;
    if (!numbers || !ids) {
        fprintf(stderr, "no memory for %zu jobs\n", count);
        goto cleanup;
    }
    for (size_t i = 0; i < count; i++)
        numbers[i] = (int64_t)i;
    say("begin");
    times[0] = measure_now();
    if (start_all(numbers, count, ids) < 0) {
        measure_failed("start");
        goto cleanup;
    }
    times[1] = measure_now();
    say("started");
    if (wait_for_all(ids, count) < 0) {
        measure_failed("wait");
        goto cleanup;
    }
    times[2] = measure_now();
    if (read_all(numbers, ids, count) < 0) {
        measure_failed("read");
        goto cleanup;
    }
    times[3] = measure_now();
    say("end");
    measure_say("start", 1e-9 * (double)(times[1] - times[0]));
    measure_say("wait", 1e-9 * (double)(times[2] - times[1]));
    measure_say("read", 1e-9 * (double)(times[3] - times[2]));
    measure_say("whole", 1e-9 * (double)(times[3] - times[0]));
    if (argc > 2)
        measure_rest((double)measure_count(argc, argv, 2, 1));
    status = 0;
cleanup:
    free(numbers);
    free(ids);
    return status;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
