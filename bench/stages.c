/* SPDX-License-Identifier: MIT
 *
 * Where the time of one job that does nothing goes: jobs one after the other, each waited for, and the moments at which
 * it comes by certain places. Those inside the library are taken by the linker's --wrap: a call of such a function goes
 * through one here, which notes the time first. The moments lie in a file that all processes of the run have mapped.
 *
 *     stages FILE [JOBS]
 *
 * Prints the mean seconds of each part and of the whole, over the jobs of the middle 80% of all by the time they took;
 * so the parts add up to the whole. "start_call" is no part: mn_start() returns while the job is under way.
 *
 * What is declared here of the library has untyped pointers: nothing is done with them.
 */
#include "measure.h"

#include "util/textlog.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WARM 200 /* jobs before those that count */
#define MOST 100000

typedef enum moment {
    CALLED,    /* the driver calls mn_start() */
    CALL_SEEN, /* rank 0 takes the call */
    PLACED,    /* it has a place, and the message to the worker is made */
    RECEIVED,  /* the worker has that message */
    HANDED,    /* the executor has been chosen, and its message is written and rung next */
    TAKEN,     /* the executor has read it */
    BEGUN,     /* the first statement of user code */
    DONE,      /* its last one, after its yield */
    PUT_BACK,  /* the process is as it was before, and says so next */
    END_SEEN,  /* the worker has heard of it */
    ENDED,     /* rank 0 has heard of it, its result is there */
    ANSWERED,  /* who waits is answered */
    RETURNED,  /* mn_wait() has returned in the driver */
    MOMENTS
} moment_t;

static const char *const parts[MOMENTS] = {
    [CALL_SEEN] = "driver_to_rank_0",      [PLACED] = "rank_0:_start_and_place",
    [RECEIVED] = "rank_0_to_worker",       [HANDED] = "worker:_executor_chosen",
    [TAKEN] = "worker_to_executor",        [BEGUN] = "executor:_task_set_up",
    [DONE] = "user_code_and_yield",        [PUT_BACK] = "executor:_process_put_back",
    [END_SEEN] = "executor_to_worker",     [ENDED] = "worker_to_rank_0",
    [ANSWERED] = "rank_0:_end_and_answer", [RETURNED] = "rank_0_to_driver"};

typedef struct trace {
    uint32_t job; /* the one that is under way */
    bool on;
    int64_t jobs[MOST][MOMENTS];
} trace_t;

static trace_t *trace;
static int64_t start_calls[MOST];

MN_JOB(do_nothing, .cpu = 1);

/* The first time that a job comes by is the one that counts; of the answers the last one, which tells its end. */
static void note(moment_t moment)
{
    if (!trace || !trace->on)
        return;
    int64_t *time = &trace->jobs[trace->job][moment];
    if (*time == 0 || moment == ANSWERED)
        *time = measure_now();
}

/* --- places ---------------------------------------------------------------------------------------------------- */

#define REAL(function) __real_##function
#define WRAP(function) __wrap_##function

void REAL(mni_scheduler_call)(void *, const void *, const void *, size_t);
void WRAP(mni_scheduler_call)(void *, const void *, const void *, size_t);
void WRAP(mni_scheduler_call)(void *scheduler, const void *who, const void *frame, size_t size)
{
    note(CALL_SEEN);
    REAL(mni_scheduler_call)(scheduler, who, frame, size);
}

void REAL(mni_put_run)(void *, const void *);
void WRAP(mni_put_run)(void *, const void *);
void WRAP(mni_put_run)(void *writer, const void *run)
{
    note(PLACED);
    REAL(mni_put_run)(writer, run);
}

static bool running; /* the worker carries out the message of HANDED */

int REAL(mni_task_run)(void *, const void *, size_t);
int WRAP(mni_task_run)(void *, const void *, size_t);
int WRAP(mni_task_run)(void *worker, const void *frame, size_t size)
{
    note(RECEIVED);
    running = true;
    int rc = REAL(mni_task_run)(worker, frame, size);
    running = false;
    return rc;
}

int REAL(mni_channel_post)(void *, const void *, size_t);
int WRAP(mni_channel_post)(void *, const void *, size_t);
int WRAP(mni_channel_post)(void *channel, const void *frame, size_t size)
{
    if (running)
        note(HANDED);
    return REAL(mni_channel_post)(channel, frame, size);
}

void REAL(mni_task_set_run)(const void *, const void *);
void WRAP(mni_task_set_run)(const void *, const void *);
void WRAP(mni_task_set_run)(const void *run, const void *declaration)
{
    note(TAKEN);
    REAL(mni_task_set_run)(run, declaration);
}

void REAL(mni_put_finished)(void *, const void *);
void WRAP(mni_put_finished)(void *, const void *);
void WRAP(mni_put_finished)(void *writer, const void *finished)
{
    note(PUT_BACK);
    REAL(mni_put_finished)(writer, finished);
}

mni_textlog_piece_t REAL(mni_executor_output)(void *, int, bool);
mni_textlog_piece_t WRAP(mni_executor_output)(void *, int, bool);
mni_textlog_piece_t WRAP(mni_executor_output)(void *executor, int stream, bool end)
{
    note(END_SEEN);
    return REAL(mni_executor_output)(executor, stream, end);
}

void REAL(mni_core_task_ended)(void *, uint64_t, uint64_t, const void *);
void WRAP(mni_core_task_ended)(void *, uint64_t, uint64_t, const void *);
void WRAP(mni_core_task_ended)(void *core, uint64_t now, uint64_t task, const void *outcome)
{
    note(ENDED);
    REAL(mni_core_task_ended)(core, now, task, outcome);
}

void REAL(mni_put_info)(void *, const void *);
void WRAP(mni_put_info)(void *, const void *);
void WRAP(mni_put_info)(void *writer, const void *info)
{
    note(ANSWERED);
    REAL(mni_put_info)(writer, info);
}

static int do_nothing(mn_task_t *task, mn_value_t input)
{
    note(BEGUN);
    int rc = mn_yield(task, input);
    note(DONE);
    return rc;
}

/* --- driver ---------------------------------------------------------------------------------------------------- */

static int run_job(size_t index)
{
    mn_id_t id;
    int64_t number = (int64_t)index;
    trace->job = (uint32_t)index;
    trace->on = true;
    note(CALLED);
    if (mn_start(do_nothing, mn_array(MN_INT64, &number, 1), NULL, &id) < 0)
        return measure_failed("mn_start");
    start_calls[index] = measure_now();
    if (mn_wait(id, 60, NULL) < 0)
        return measure_failed("mn_wait");
    note(RETURNED);
    trace->on = false;
    for (int i = 0; i < MOMENTS && index >= WARM; i++) /* a new process gets its task another way */
        if (trace->jobs[index][i] == 0) {
            fprintf(stderr, "stages: a job has not come by %s\n", parts[i] ? parts[i] : "the call");
            return 1;
        }
    return mn_remove(id) < 0 ? measure_failed("mn_remove") : 0;
}

static int by_whole(const void *a, const void *b)
{
    const int64_t *one = trace->jobs[*(const uint32_t *)a],
                  *other = trace->jobs[*(const uint32_t *)b];
    int64_t first = one[RETURNED] - one[CALLED], second = other[RETURNED] - other[CALLED];
    return first < second ? -1 : first > second;
}

/* Mean of the middle jobs between two moments. */
static double mean(const uint32_t *order, size_t count, moment_t from, moment_t to)
{
    double sum = 0;
    size_t tenth = count / 10;
    for (size_t i = tenth; i < count - tenth; i++)
        sum += 1e-9 * (double)(trace->jobs[order[i]][to] - trace->jobs[order[i]][from]);
    return sum / (double)(count - 2 * tenth);
}

static void summarize(size_t count)
{
    static uint32_t order[MOST];
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)(WARM + i);
    qsort(order, count, sizeof *order, by_whole);
    measure_say("whole", mean(order, count, CALLED, RETURNED));
    for (moment_t i = CALL_SEEN; i < MOMENTS; i++)
        measure_say(parts[i], mean(order, count, i - 1, i));
    for (size_t i = 0; i < count; i++)
        sum += 1e-9 * (double)(start_calls[WARM + i] - trace->jobs[WARM + i][CALLED]);
    measure_say("start_call", sum / (double)count);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    size_t count = measure_count(argc, argv, 2, 1000);
    (void)task;
    unlink(argv[1]);
    if (count > MOST - WARM)
        count = MOST - WARM;
    for (size_t i = 0; i < WARM + count; i++)
        if (run_job(i) != 0)
            return 1;
    summarize(count);
    return 0;
}

/* Maps the file before the library forks: executors and driver have it from the rank. */
int main(int argc, char **argv)
{
    int fd = argc > 1 ? open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || ftruncate(fd, sizeof *trace) < 0) {
        fprintf(stderr, "usage: stages FILE [JOBS]\n");
        return 2;
    }
    trace = mmap(NULL, sizeof *trace, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (trace == MAP_FAILED) {
        perror("stages: mmap");
        return 1;
    }
    return mn_main(argc, argv, driver);
}
