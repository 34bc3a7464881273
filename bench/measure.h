/* SPDX-License-Identifier: MIT
 *
 * What the programs here share: the clock, and how they say what they have measured. Each figure is a line "NAME VALUE"
 * on standard output, times in seconds; run.py takes them up. The clock is the same in all processes of a node.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <errno.h>
#include <multinode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline int64_t measure_now(void) /* nanoseconds */
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void measure_rest(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

static inline void measure_say(const char *name, double seconds)
{
    printf("%s %.9f\n", name, seconds);
    fflush(stdout);
}

/* The exit status of a program whose call has failed. */
static inline int measure_failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, mn_error_message());
    return 1;
}

/* A positive number among the arguments; without one, `standard`. */
static inline size_t measure_count(int argc, char **argv, int index, size_t standard)
{
    char *end = NULL;
    if (index >= argc)
        return standard;
    unsigned long long number = strtoull(argv[index], &end, 10);
    if (end == argv[index] || *end || number == 0 || number > 1000000000) {
        fprintf(stderr, "\"%s\" is not a number from 1 to 1000000000\n", argv[index]);
        exit(2);
    }
    return (size_t)number;
}

#endif
