/* SPDX-License-Identifier: MIT
 *
 * What a runtime does while nothing is to be done, and how soon it begins when something is: the program that quiet.py
 * runs and watches. It says on its standard output where it is, one word a line, and what it measures itself, in
 * nanoseconds.
 *
 *     quiet IDLE_SECONDS STARTS LOAD_SECONDS CORES
 */
#include <multinode.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAUSE 0.25 /* seconds of idleness before each start */
#define CORES_MOST 64

MN_JOB(look_at_clock, .cpu = 0.1);
MN_JOB(look_at_clock_fresh, .cpu = 0.1, .fresh = true);
MN_JOB(burn, .cpu = 1);
MN_FUNCTION(burn_shortly, .cpu = 1);
MN_JOB(map_burns, .cpu = 1);

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void rest(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

static void say(const char *word)
{
    printf("%s\n", word);
    fflush(stdout);
}

/* --- jobs ---------------------------------------------------------------------------------------------------- */

static int look_at_clock(mn_task_t *task, mn_value_t input)
{
    int64_t now = nanoseconds();
    (void)input;
    return mn_yield(task, mn_array(MN_INT64, &now, 1));
}

static int look_at_clock_fresh(mn_task_t *task, mn_value_t input)
{
    return look_at_clock(task, input);
}

static void burn_for(double seconds)
{
    int64_t end = nanoseconds() + (int64_t)(seconds * 1e9);
    while (nanoseconds() < end)
        for (volatile int i = 0; i < 1000; i++)
            ;
}

static double seconds_of(mn_value_t value)
{
    double seconds = 0;
    if (value.size == sizeof seconds)
        memcpy(&seconds, value.data, sizeof seconds);
    return seconds;
}

static int burn(mn_task_t *task, mn_value_t input)
{
    (void)task;
    burn_for(seconds_of(input));
    return 0;
}

static int burn_shortly(mn_task_t *task, mn_value_t input)
{
    (void)task, (void)input;
    burn_for(0.01);
    return 0;
}

/* Items of 10 ms for so long on `items` / 100 / seconds cores. */
static int map_burns(mn_task_t *task, mn_value_t input)
{
    int32_t items = 0;
    if (input.size == sizeof items)
        memcpy(&items, input.data, sizeof items);
    int32_t *numbers = calloc((size_t)items + 1, sizeof *numbers);
    int rc = numbers ? mn_map_fixed(task, burn_shortly, numbers, sizeof *numbers, (size_t)items,
                                    NULL, 0, NULL)
                     : MN_E_NO_MEMORY;
    free(numbers);
    return rc;
}

/* --- driver -------------------------------------------------------------------------------------------------- */

static int failed(const char *what)
{
    fprintf(stderr, "quiet: %s: %s\n", what, mn_error_message());
    return 1;
}

/* What any program needs to wake another process: one that reads the clock when a byte comes. */
static int waker[2] = {-1, -1}, woken[2] = {-1, -1};

static int begin_waking(void)
{
    char byte;
    if (pipe(waker) < 0 || pipe(woken) < 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        close(waker[1]);
        while (read(waker[0], &byte, 1) == 1) {
            int64_t now = nanoseconds();
            if (write(woken[1], &now, sizeof now) != (ssize_t)sizeof now)
                break;
        }
        _exit(0);
    }
    close(waker[0]);
    return pid < 0;
}

static void measure_wake(void)
{
    int64_t then = 0, begun = nanoseconds();
    if (write(waker[1], "x", 1) == 1 && read(woken[0], &then, sizeof then) == (ssize_t)sizeof then)
        printf("wake %lld\n", (long long)(then - begun));
}

/* From the call to the first statement of the job, `count` times; a line each. */
static int measure_starts(const char *name, mn_entry_t *job, int count)
{
    for (int i = -1; i < count; i++) { /* the first only makes it warm */
        mn_id_t id;
        mn_info_t *info = NULL;
        int64_t begun = 0;
        rest(PAUSE);
        measure_wake();
        rest(PAUSE);
        int64_t called = nanoseconds();
        if (mn_start(job, mn_none(), NULL, &id) < 0)
            return failed("mn_start");
        int64_t returned = nanoseconds();
        if (mn_wait(id, 60, &info) < 0)
            return failed("mn_wait");
        if (info->result.size == sizeof begun)
            memcpy(&begun, info->result.data, sizeof begun);
        mn_info_destroy(info);
        if (i >= 0)
            printf("%s %lld\n%s_call %lld\n", name, (long long)(begun - called), name,
                   (long long)(returned - called));
    }
    fflush(stdout);
    return 0;
}

/* A job on every core. */
static int load_all(double seconds, int cores)
{
    mn_id_t ids[CORES_MOST];
    for (int i = 0; i < cores; i++)
        if (mn_start(burn, mn_array(MN_FLOAT64, &seconds, 1), NULL, &ids[i]) < 0)
            return failed("mn_start");
    for (int i = 0; i < cores; i++)
        if (mn_wait(ids[i], -1, NULL) < 0)
            return failed("mn_wait");
    return 0;
}

static int load_by_map(double seconds, int cores)
{
    mn_id_t id;
    int32_t items = (int32_t)(seconds * 100) * cores;
    if (mn_start(map_burns, mn_array(MN_INT32, &items, 1), NULL, &id) < 0 ||
        mn_wait(id, -1, NULL) < 0)
        return failed("a map");
    return 0;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    double idle = argc > 1 ? atof(argv[1]) : 60, load = argc > 3 ? atof(argv[3]) : 5;
    int starts = argc > 2 ? atoi(argv[2]) : 50, cores = argc > 4 ? atoi(argv[4]) : 1;
    (void)task;

    if (cores < 1 || cores > CORES_MOST)
        cores = CORES_MOST;
    if (begin_waking() != 0)
        return 1;
    rest(2); /* what comes with the beginning is over */
    say("IDLE");
    rest(idle);
    say("STARTS");
    if (measure_starts("warm", look_at_clock, starts) != 0 ||
        measure_starts("fresh", look_at_clock_fresh, starts) != 0)
        return 1;
    if (load_all(0.1, cores) != 0 || load_by_map(0.1, cores) != 0) /* processes are there */
        return 1;
    say("LOAD");
    if (load_all(load, cores) != 0)
        return 1;
    say("MAP");
    if (load_by_map(load, cores) != 0)
        return 1;
    say("END");
    rest(3); /* until it has been looked at */
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
