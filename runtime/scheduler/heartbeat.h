/* SPDX-License-Identifier: MIT
 *
 * Who has not been heard of for too long. Rank 0 listens to all workers, each worker to rank 0; any message counts, and where there is
 * nothing else to say a heartbeat is sent. Pure: the time comes in. One thread.
 *
 * Two limits, T1 < T2 (DESIGN's lease): a worker that has not heard of rank 0 for T1 ends with all that it runs; rank 0 gives up a worker,
 * and has what it ran begun elsewhere, after T2. Time in which this process itself did not run (it was stopped, or the
 * machine was asleep) does not count against the others.
 */
#ifndef MNI_SCHEDULER_HEARTBEAT_H
#define MNI_SCHEDULER_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#define MNI_HEARTBEAT_DEFAULT 10.0 /* s: T2 */

typedef struct mni_heartbeat {
    uint64_t limit;   /* ns of silence that are too long; 0: nobody is listened to */
    uint64_t pause;   /* ns between two heartbeats of this process */
    uint64_t beat_at; /* when the next one is due; MNI_NEVER: none */
    uint64_t looked;  /* when mni_heartbeat_look() was called last */
    uint64_t *heard;  /* per rank; MNI_NEVER: it is not listened to */
    uint32_t count;
} mni_heartbeat_t;

/* Listens to the ranks below `count`: all for rank 0, rank 0 alone for a worker. `limit`: seconds, T1 of a worker or T2 of rank 0; 0 turns all of it off. MN_E_NO_MEMORY. */
int mni_heartbeat_init(mni_heartbeat_t *heartbeat, uint32_t count, double limit, double pause);
void mni_heartbeat_fini(mni_heartbeat_t *heartbeat);

/* A message has come from a rank (any: those from `count` on are none of its business): from the first one on it is listened to. */
void mni_heartbeat_heard(mni_heartbeat_t *heartbeat, uint32_t rank, uint64_t now);
/* It has said goodbye, or is lost. */
void mni_heartbeat_forget(mni_heartbeat_t *heartbeat, uint32_t rank);

/* Whether it is time to send a heartbeat; the next one is then due a pause later. */
bool mni_heartbeat_due(mni_heartbeat_t *heartbeat, uint64_t now);

/* To be called at least every MNI_HEARTBEAT_LOOK. A rank that has been silent for too long, -1: none. */
#define MNI_HEARTBEAT_LOOK (UINT64_C(1000) * 1000000)
int64_t mni_heartbeat_look(mni_heartbeat_t *heartbeat, uint64_t now);

#endif
