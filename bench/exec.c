/* SPDX-License-Identifier: MIT
 *
 * /bin/true as a job, so many times: from the start of the first to the end of the last.
 *
 *     exec [COUNT [SHARE]]
 *
 * SHARE: how many of them share a core (1).
 */
#include "measure.h"

#define RECORD "{\"arguments\": [\"/bin/true\"]}"

static int look(void *argument, size_t index, const mn_info_t *info)
{
    (void)argument;
    if (info->status == MN_SUCCEEDED)
        return 0;
    fprintf(stderr, "job %zu is %s: %s\n", index, mn_status_name(info->status),
            info->error ? info->error : "no error");
    return 1;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    size_t count = measure_count(argc, argv, 1, 2000);
    mn_start_options_t options = {.cpu = 1.0 / (double)measure_count(argc, argv, 2, 1)};
    mn_value_t *inputs = malloc(count * sizeof *inputs);
    mn_id_t *ids = malloc(count * sizeof *ids);
    int status = 1;

    (void)task;
    if (!inputs || !ids) {
        fprintf(stderr, "no memory for %zu jobs\n", count);
        goto cleanup;
    }
    for (size_t i = 0; i < count; i++)
        inputs[i] = mn_text(RECORD);
    int64_t begin = measure_now();
    if (mn_start_many_named("exec", inputs, count, &options, ids) != (int)count ||
        mn_wait_many(ids, count, -1, look, NULL) != 0) {
        measure_failed("exec");
        goto cleanup;
    }
    measure_say("whole", 1e-9 * (double)(measure_now() - begin));
    status = 0;
cleanup:
    free(inputs);
    free(ids);
    return status;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
