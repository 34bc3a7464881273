/* SPDX-License-Identifier: MIT
 *
 * Jobs that do next to nothing, end to end: start, run, result read and compared. Each has a number and yields it.
 * One batch for each run of the program, so that all find the same: an empty store and no process but the driver's.
 *
 *     jobs [COUNT [STAY]]
 *
 * Says when it is where ("begin", "started", "end": run.py looks then what the processes have used) and the seconds
 * of the two parts: start (the call that starts them), read (their results, as they end). STAY: so many seconds it stays
 * after that, so that it can be looked at.
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
    mn_value_t *inputs = malloc(count * sizeof *inputs);
    for (size_t i = 0; inputs && i < count; i++)
        inputs[i] = mn_array(MN_INT64, &numbers[i], 1);
    int rc = inputs ? mn_start_many(say_number, inputs, count, NULL, ids) : MN_E_NO_MEMORY;
    free(inputs);
    return rc < 0 || (size_t)rc < count ? -1 : 0;
}

static int read_result(void *argument, size_t index, const mn_info_t *info)
{
    const int64_t *numbers = argument;
    bool good = info->status == MN_SUCCEEDED && info->result.size == sizeof *numbers &&
                memcmp(info->result.data, &numbers[index], sizeof *numbers) == 0;
    if (!good)
        fprintf(stderr, "job %zu is %s: %s\n", index, mn_status_name(info->status),
                info->error ? info->error : "a wrong result");
    return good ? 0 : 1;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    size_t count = measure_count(argc, argv, 1, 100000);
    int64_t *numbers = malloc(count * sizeof *numbers), times[3];
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
    if (mn_wait_many(ids, count, -1, read_result, numbers) != 0) {
        measure_failed("read");
        goto cleanup;
    }
    times[2] = measure_now();
    say("end");
    measure_say("start", 1e-9 * (double)(times[1] - times[0]));
    measure_say("read", 1e-9 * (double)(times[2] - times[1]));
    measure_say("whole", 1e-9 * (double)(times[2] - times[0]));
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
