/* SPDX-License-Identifier: MIT
 *
 * The least that a call into another process costs: two processes, a word of shared memory for each, FUTEX_WAIT and
 * FUTEX_WAKE, and no spinning. Where they run is the kernel's affair, unless they are kept apart on two cores.
 */
#ifndef BENCH_FUTEX_H
#define BENCH_FUTEX_H

#include "measure.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct futex_pair {
    struct futex_words {
        _Alignas(64) uint32_t asked;
        _Alignas(64) uint32_t answered;
    } * words;
    pid_t pid;
    cpu_set_t before; /* where the caller might run */
} futex_pair_t;

static inline void futex_await(uint32_t *word, uint32_t value)
{
    uint32_t seen;
    while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
        syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static inline void futex_tell(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* The `index`-th core of a set, as a set. */
static inline cpu_set_t futex_core(const cpu_set_t *all, int index)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, all) && index-- == 0)
            CPU_SET(cpu, &one);
    return one;
}

/* Begins the other process. `apart`: each has a core of its own, where there are two. False: it could not be done. */
static inline bool futex_begin(futex_pair_t *pair, bool apart)
{
    cpu_set_t one;
    pair->words =
        mmap(NULL, sizeof *pair->words, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pair->words == MAP_FAILED || sched_getaffinity(0, sizeof pair->before, &pair->before) < 0)
        return false;
    apart = apart && CPU_COUNT(&pair->before) > 1;
    pair->pid = fork();
    if (pair->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        one = futex_core(&pair->before, 1);
        if (apart)
            sched_setaffinity(0, sizeof one, &one);
        for (uint32_t i = 1;; i++) {
            futex_await(&pair->words->asked, i);
            futex_tell(&pair->words->answered, i);
        }
    }
    one = futex_core(&pair->before, 0);
    if (apart)
        sched_setaffinity(0, sizeof one, &one);
    return pair->pid > 0;
}

/* Seconds for each of `count` round trips. */
static inline double futex_round_trips(futex_pair_t *pair, size_t count)
{
    uint32_t first = pair->words->answered;
    int64_t begin = measure_now();
    for (uint32_t i = first + 1; i != first + 1 + (uint32_t)count; i++) {
        futex_tell(&pair->words->asked, i);
        futex_await(&pair->words->answered, i);
    }
    return 1e-9 * (double)(measure_now() - begin) / (double)count;
}

static inline void futex_end(futex_pair_t *pair)
{
    kill(pair->pid, SIGKILL);
    waitpid(pair->pid, NULL, 0);
    sched_setaffinity(0, sizeof pair->before, &pair->before);
    munmap(pair->words, sizeof *pair->words);
}

/* All of that, for one figure. Negative: it could not be done. */
static inline double futex_measure(bool apart, size_t count)
{
    futex_pair_t pair;
    if (!futex_begin(&pair, apart))
        return -1;
    futex_round_trips(&pair, count / 10 + 1);
    double seconds = futex_round_trips(&pair, count);
    futex_end(&pair);
    return seconds;
}

#endif
