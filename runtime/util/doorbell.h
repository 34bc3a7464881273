/* SPDX-License-Identifier: MIT
 *
 * A doorbell in shared memory: one process sleeps on it, others ring it. A rank has one, on which its executors,
 * its spawner, its helper threads and the other ranks of its node ring; an executor has one, on which its worker
 * rings. Ringing costs a system call only when somebody sleeps; it is safe in a signal handler. A wild store into
 * it costs at most one late wake-up, since every sleep is bounded by its caller: whatever the word is, the next sleep
 * and the next ring go on from there.
 *
 * Use: the sleeper reads mni_doorbell_seen(), looks for work, and only when there is none calls
 * mni_doorbell_sleep(seen). A ringer makes its work visible first, then rings.
 */
#ifndef MNI_UTIL_DOORBELL_H
#define MNI_UTIL_DOORBELL_H

#include <stdint.h>

typedef struct mni_doorbell {
    /* The futex word: counts rings in steps of 2; its lowest bit says that somebody sleeps, or is about to. */
    _Alignas(64) uint32_t word;
} mni_doorbell_t;

uint32_t mni_doorbell_seen(const mni_doorbell_t *bell);
void mni_doorbell_ring(mni_doorbell_t *bell);

/* Sleeps until the bell has been rung since `seen` was read, or for `nanoseconds` (MNI_NEVER: for ever), or a
 * signal arrives. */
void mni_doorbell_sleep(mni_doorbell_t *bell, uint32_t seen, uint64_t nanoseconds);

#endif
