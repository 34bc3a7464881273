/* SPDX-License-Identifier: MIT
 *
 * A doorbell in shared memory, on a futex.
 */
#include "util/doorbell.h"

#include "util/clock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

uint32_t mni_doorbell_seen(const mni_doorbell_t *bell)
{
    return __atomic_load_n(&bell->rings, __ATOMIC_SEQ_CST);
}

void mni_doorbell_ring(mni_doorbell_t *bell)
{
    int saved = errno;
    /* The sequentially consistent pair (count up, then look for sleepers) meets the sleeper's (count itself,
     * then compare inside the kernel): one of the two sees the other. */
    __atomic_add_fetch(&bell->rings, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&bell->sleepers, __ATOMIC_SEQ_CST) != 0)
        syscall(SYS_futex, &bell->rings, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}

void mni_doorbell_sleep(mni_doorbell_t *bell, uint32_t seen, uint64_t nanoseconds)
{
    struct timespec limit = {.tv_sec = (time_t)(nanoseconds / MNI_SECOND),
                             .tv_nsec = (long)(nanoseconds % MNI_SECOND)};
    __atomic_add_fetch(&bell->sleepers, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &bell->rings, FUTEX_WAIT, seen, nanoseconds == MNI_NEVER ? NULL : &limit,
            NULL, 0);
    __atomic_sub_fetch(&bell->sleepers, 1, __ATOMIC_SEQ_CST);
}
