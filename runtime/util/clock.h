/* SPDX-License-Identifier: MIT
 *
 * The two clocks: a steady one for intervals and a calendar one for what people read. Any thread.
 */
#ifndef MNI_UTIL_CLOCK_H
#define MNI_UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MNI_SECOND UINT64_C(1000000000)
#define MNI_MILLISECOND UINT64_C(1000000)

/* A deadline that never comes. */
#define MNI_NEVER UINT64_MAX

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t mni_clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * MNI_SECOND + (uint64_t)t.tv_nsec;
}

/* Seconds since 1970-01-01 00:00 UTC. */
static inline double mni_clock_calendar(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The time `seconds` after `now`; MNI_NEVER when that is too far to be counted. */
static inline uint64_t mni_clock_after(uint64_t now, double seconds)
{
    if (!(seconds < 1e9))
        return MNI_NEVER;
    return seconds <= 0 ? now : now + (uint64_t)(seconds * 1e9);
}

#endif
