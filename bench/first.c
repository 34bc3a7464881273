/* SPDX-License-Identifier: MIT
 *
 * The shortest program with a result: a job that yields a number, which the driver prints. run.py takes the time from
 * the command line to that line, beside mpirun of empty.c.
 */
#include "measure.h"

MN_JOB(answer, .cpu = 1);

static int answer(mn_task_t *task, mn_value_t input)
{
    int64_t number = 42;
    (void)input;
    return mn_yield(task, mn_array(MN_INT64, &number, 1));
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    int64_t number = 0;
    (void)task, (void)argc, (void)argv;
    if (mn_start(answer, mn_none(), NULL, &id) < 0 || mn_wait(id, 60, &info) < 0)
        return measure_failed("first");
    if (info->result.size == sizeof number)
        memcpy(&number, info->result.data, sizeof number);
    mn_info_destroy(info);
    printf("result %d\n", (int)number);
    fflush(stdout);
    return number == 42 ? 0 : 1;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
