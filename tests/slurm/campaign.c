/* SPDX-License-Identifier: MIT
 *
 * A campaign for slurm.test: JOBS jobs of 20 steps, each step kept before the next one begins. Whatever is computed is written
 * to LOG: "step JOB NUMBER" and, at the end of a job, "done JOB".
 *
 *     campaign JOBS MILLISECONDS LOG
 */
#include <multinode.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STEPS 20

MN_JOB(walk, .cpu = 0.25, .max_lost = 100);

typedef struct order {
    uint32_t number, milliseconds;
    char log[480];
} order_t;

/* One write() at the end of the file, which other processes append to as well. */
static void note(const order_t *order, const char *word, uint64_t step)
{
    char line[64];
    int size = snprintf(line, sizeof line, "%s %u %u\n", word, order->number, (unsigned)step);
    int fd = open(order->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)size) != size)
        _exit(90);
    close(fd);
}

static int walk(mn_task_t *task, mn_value_t input)
{
    const order_t *order = input.data;
    struct timespec pause = {.tv_sec = order->milliseconds / 1000,
                             .tv_nsec = order->milliseconds % 1000 * 1000000L};
    mn_value_t last;
    uint64_t step = 0;
    int rc;

    if (mn_last_yield(task, &last) == 0)
        step = *(const uint64_t *)last.data;
    while (step < STEPS) {
        if ((rc = mn_cancelled(task)) < 0)
            return rc;
        nanosleep(&pause, NULL);
        step++;
        note(order, "step", step);
        if ((rc = mn_yield_sync(task, mn_array(MN_UINT64, &step, 1))) < 0)
            return rc;
    }
    note(order, "done", step);
    return 0;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    unsigned jobs = argc == 4 ? (unsigned)strtoul(argv[1], NULL, 10) : 0, failed = 0;
    mn_id_t *ids = calloc(jobs + 1, sizeof *ids);

    (void)task;
    for (unsigned i = 0; i < jobs; i++) {
        order_t order = {.number = i, .milliseconds = (uint32_t)strtoul(argv[2], NULL, 10)};
        char key[32];
        snprintf(key, sizeof key, "walk-%u", i);
        snprintf(order.log, sizeof order.log, "%s", argv[3]);
        if (mn_start(walk, mn_bytes(&order, sizeof order), &(mn_start_options_t){.key = key},
                     &ids[i]) < 0) {
            fprintf(stderr, "campaign: %s\n", mn_error_message());
            return 1;
        }
    }
    for (unsigned i = 0; i < jobs; i++) {
        mn_info_t *info = NULL;
        if (mn_wait(ids[i], -1, &info) < 0) {
            fprintf(stderr, "campaign: %s\n", mn_error_message());
            return 1;
        }
        failed += info->status != MN_SUCCEEDED;
        mn_info_destroy(info);
    }
    printf("%u jobs, %u failed\n", jobs, failed);
    free(ids);
    return jobs == 0 || failed > 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
