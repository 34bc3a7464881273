/* SPDX-License-Identifier: MIT
 *
 * Maps that are driven from this worker, for its executors, the driver or the embedded client: what map.c (their
 * life), map_blocks.c (blocks out) and map_results.c (results in) share.
 *
 * The items that wait are a list of ranges. Each slot that rank 0 grants gets blocks cut from it, one at a time,
 * until it is empty; then the slot is given back. An item that fails or is lost comes back as a range of its own,
 * which counts its further attempts.
 */
#ifndef MNI_WORKER_MAP_H
#define MNI_WORKER_MAP_H

#include "worker/internal.h"

typedef struct mni_range {
    struct mni_range *prev, *next;
    uint64_t first, count;
    uint32_t retries, lost; /* attempts of these items that failed, were lost */
} mni_range_t;

typedef struct mni_slot {
    struct mni_slot *prev, *next;
    mni_msg_slot_t what;
    bool busy;
    bool asked;      /* to keep a part of its block only: BLOCK_KEPT is to come */
    bool whole;      /* it has answered that this would not be worth it */
    uint64_t number; /* of its block */
    mni_range_t block;
    uint64_t sent;         /* when */
    const uint8_t *placed; /* its results are received here, in the caller's memory */
} mni_slot_t;

struct mni_map {
    struct mni_map *prev, *next;
    uint64_t demand;        /* its number, for rank 0 and for other workers */
    mni_executor_t *caller; /* NULL: it is gone, has closed the map, or was told that it is over */
    mni_executor_t *home;   /* whose arena it is; NULL: it is gone */
    bool shares;            /* executors of this rank work in its memory */
    bool tell_gone;         /* MAP_GONE is owed */
    uint64_t task, request;
    mni_msg_map_t what;
    const mni_declaration_t *function;
    uint8_t *arena; /* the caller's */
    mni_range_t *waiting;
    uint64_t unfinished;         /* items */
    double item_time;            /* seconds, 0: not known yet */
    mni_slot_t *slots, *current; /* current: its block is being taken in */
    uint32_t slot_count, want;
    bool over;   /* MAP_END was sent, or nobody waits for it: no more blocks */
    bool closed; /* rank 0 was told */
};

/* Says how many slots would be of use; 0 closes the map for rank 0. */
void mni_map_want(mni_worker_t *worker, mni_map_t *map, uint32_t want);
/* Something waits again: slots are of use again. */
void mni_map_want_waiting(mni_worker_t *worker, mni_map_t *map);
/* Puts a range at the front of what waits. False: no memory. */
bool mni_map_range_add(mni_map_t *map, uint64_t first, uint64_t count, uint32_t retries,
                       uint32_t lost);
uint64_t mni_map_waiting(const mni_map_t *map); /* items */
/* Sends worker->frame to the process whose map it is. */
void mni_map_post(mni_worker_t *worker, mni_map_t *map);
void mni_map_slot_free(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot);
/* Tells the caller that nothing more comes; `index` is the item that failed it, the count when none did. What still
 * runs is asked to stop. */
void mni_map_end(mni_worker_t *worker, mni_map_t *map, int code, uint64_t index,
                 const char *message);
void mni_map_free_when_over(mni_worker_t *worker, mni_map_t *map);
mni_map_t *mni_map_of_demand(const mni_worker_t *worker, uint64_t demand);

/* lease.c. keep: takes the last slot of a map that has ended well; take: gives a new map the slot that its caller has
 * leased, if that is for the same function. */
bool mni_lease_keep(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot);
bool mni_lease_take(mni_worker_t *worker, mni_map_t *map);

/* map_blocks.c: gives a slot its next block, or gives the slot back; the same for all that are idle. */
void mni_map_dispatch(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot);
void mni_map_dispatch_idle(mni_worker_t *worker, mni_map_t *map);

#endif
