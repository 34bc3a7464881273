/* SPDX-License-Identifier: MIT
 *
 * What durability costs whoever asks for it. Two things, each beside its limit, in turns:
 *
 *     durable start RUNS COUNT    the median time of mn_start(), one at a time, in each run; beside it that of a bare append of
 *                                 200 bytes and fdatasync(), to a file in the present folder
 *     durable yield RUNS COUNT    seconds of a job that yields 8 bytes after every 10 us of work, COUNT times; beside it those of
 *                                 the same job without the yields
 *
 * To be run with a store on the file system of the present folder.
 */
#include "measure.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#define RECORD 200
#define PATH "bench-append"
#define WORK 10000 /* ns between two yields */

MN_JOB(nothing, .cpu = 1);
MN_JOB(yielder, .cpu = 1);

static int nothing(mn_task_t *task, mn_value_t input)
{
    (void)task;
    (void)input;
    return 0;
}

typedef struct plan {
    uint64_t count;
    bool yields;
} plan_t;

static void work_until(int64_t end)
{
    while (measure_now() < end)
        ;
}

/* Its work is not a time but a number of turns that take about so long, or a slow yield would be made up for. */
static double turns_for(int64_t nanoseconds)
{
    volatile double sum = 0;
    double turns = 0;
    int64_t end = measure_now() + 100 * nanoseconds;
    while (measure_now() < end)
        for (int i = 0; i < 100; i++, turns++)
            sum += turns;
    return turns / 100;
}

static int yielder(mn_task_t *task, mn_value_t input)
{
    const plan_t *plan = input.data;
    volatile double sum = 0;
    double turns = turns_for(WORK);
    int rc = 0;

    work_until(measure_now() + 10 * 1000000); /* the clock of the core has risen */
    int64_t begin = measure_now();
    for (uint64_t i = 0; rc == 0 && i < plan->count; i++) {
        for (double turn = 0; turn < turns; turn++)
            sum += turn;
        if (plan->yields)
            rc = mn_yield(task, mn_bytes(&i, sizeof i));
    }
    double seconds = 1e-9 * (double)(measure_now() - begin) / turns;
    return rc < 0 ? rc : mn_yield_sync(task, mn_bytes(&seconds, sizeof seconds));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static double append(int fd)
{
    static const char record[RECORD];
    int64_t begin = measure_now();
    if (write(fd, record, sizeof record) != sizeof record || fdatasync(fd) < 0) {
        perror(PATH);
        exit(1);
    }
    return 1e-9 * (double)(measure_now() - begin);
}

/* Negative: it has failed. */
static double start(void)
{
    mn_info_t *info = NULL;
    mn_id_t id;
    int64_t begin = measure_now();
    int rc = mn_start(nothing, mn_none(), NULL, &id);
    double seconds = 1e-9 * (double)(measure_now() - begin);

    if (rc >= 0)
        rc = mn_wait(id, 60, &info); /* what it does is not what is measured */
    mn_info_destroy(info);
    return rc < 0 ? -1 : seconds;
}

static int measure_starts(size_t runs, size_t count)
{
    double *ours = malloc(count * sizeof *ours), *bare = malloc(count * sizeof *bare);
    int fd = open(PATH, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600), status = 0;

    if (!ours || !bare || fd < 0) {
        perror(PATH);
        exit(1);
    }
    for (size_t run = 0; run <= runs && status == 0; run++) { /* the first is not warm */
        for (size_t i = 0; i < count && status == 0; i++) {
            bare[i] = append(fd);
            if ((ours[i] = start()) < 0)
                status = measure_failed("a start");
        }
        if (run > 0 && status == 0) {
            measure_say("start", median(ours, count));
            measure_say("append", median(bare, count));
        }
    }
    close(fd);
    unlink(PATH);
    free(ours);
    free(bare);
    return status;
}

static int measure_yields(size_t runs, size_t count)
{
    for (size_t run = 0; run < 2 * runs; run++) {
        plan_t plan = {.count = count, .yields = run % 2 == 1};
        mn_info_t *info = NULL;
        mn_id_t id;
        int rc = mn_start(yielder, mn_bytes(&plan, sizeof plan), NULL, &id);
        if (rc >= 0)
            rc = mn_wait(id, 600, &info);
        if (rc < 0 || info->status != MN_SUCCEEDED || info->result.size != sizeof(double)) {
            mn_info_destroy(info);
            return measure_failed("the job that yields");
        }
        measure_say(plan.yields ? "yields" : "silent", *(const double *)info->result.data);
        mn_info_destroy(info);
    }
    return 0;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    size_t runs = measure_count(argc, argv, 2, 5), count = measure_count(argc, argv, 3, 1000);

    (void)task;
    if (argc > 1 && strcmp(argv[1], "start") == 0)
        return measure_starts(runs, count);
    if (argc > 1 && strcmp(argv[1], "yield") == 0)
        return measure_yields(runs, count);
    fprintf(stderr, "usage: durable start|yield [RUNS [COUNT]]\n");
    return 2;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
