/* SPDX-License-Identifier: MIT
 *
 * A doorbell in shared memory, on a futex.
 */
#include "util/doorbell.h"

#include "util/clock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLEEPS UINT32_C(1)

uint32_t mni_doorbell_seen(const mni_doorbell_t *bell)
{
    return __atomic_load_n(&bell->word, __ATOMIC_SEQ_CST) & ~SLEEPS;
}

void mni_doorbell_ring(mni_doorbell_t *bell)
{
    int saved = errno;
    uint32_t word = __atomic_load_n(&bell->word, __ATOMIC_RELAXED);

    /* Count and flag change in one step, so that no sleeper is between them. */
    while (!__atomic_compare_exchange_n(&bell->word, &word, (word & ~SLEEPS) + 2, true,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    if (word & SLEEPS)
        syscall(SYS_futex, &bell->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

void mni_doorbell_sleep(mni_doorbell_t *bell, uint32_t seen, uint64_t nanoseconds)
{
    struct timespec limit = {.tv_sec = (time_t)(nanoseconds / MNI_SECOND),
                             .tv_nsec = (long)(nanoseconds % MNI_SECOND)};
    uint32_t word = seen;

    /* The flag stays behind when the time is over: the next ring then wakes nobody, once. */
    if (!__atomic_compare_exchange_n(&bell->word, &word, seen | SLEEPS, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST) &&
        word != (seen | SLEEPS))
        return; /* it has been rung */
    syscall(SYS_futex, &bell->word, FUTEX_WAIT, seen | SLEEPS,
            nanoseconds == MNI_NEVER ? NULL : &limit, NULL, 0);
}
