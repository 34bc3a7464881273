/* SPDX-License-Identifier: MIT
 *
 * Leases: a slot that a map has done with stays with its caller for a moment, so that the next call of the same function
 * needs nothing of rank 0. For rank 0 the map's demand goes on until the lease ends: that happens as soon as the caller
 * does something else for which it is waited elsewhere, or after LEASE_TIME. A caller has one lease at most.
 */
#include "worker/map.h"

/* Long against the time between two calls in a loop, short against everything that waits for cores. */
#define LEASE_TIME (2 * MNI_MILLISECOND)

struct mni_lease {
    struct mni_lease *prev, *next;
    const mni_executor_t *home;
    uint64_t task; /* the caller's */
    uint64_t demand;
    uint32_t declaration;
    mni_msg_slot_t slot;
    uint64_t until;
};

static mni_lease_t *lease_of(const mni_worker_t *worker, const mni_executor_t *home)
{
    mni_lease_t *lease;
    DL_FOREACH (worker->leases, lease) {
        if (lease->home == home)
            return lease;
    }
    return NULL;
}

static void forget(mni_worker_t *worker, mni_lease_t *lease)
{
    DL_DELETE(worker->leases, lease);
    free(lease);
}

static void send_end(mni_worker_t *worker, const mni_lease_t *lease, bool slot_lives)
{
    if (slot_lives) {
        mni_writer_begin(&worker->frame, MNI_MSG_SLOT_FREE, 0);
        mni_put_u64(&worker->frame, lease->slot.task);
        mni_worker_send(worker, 0);
    }
    mni_writer_begin(&worker->frame, MNI_MSG_SLOTS_WANT, 0);
    mni_put_u64(&worker->frame, lease->demand);
    mni_put_u64(&worker->frame, lease->task);
    mni_put_u32(&worker->frame, lease->declaration);
    mni_put_u32(&worker->frame, 0);
    mni_worker_send(worker, 0);
}

void mni_lease_end(mni_worker_t *worker, const mni_executor_t *home)
{
    mni_lease_t *lease = lease_of(worker, home);
    if (!lease)
        return;
    send_end(worker, lease, true);
    forget(worker, lease);
}

bool mni_lease_keep(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot)
{
    if (!map->home || map->closed || map->slot_count != 1)
        return false;
    mni_lease_t *lease = malloc(sizeof *lease);
    if (!lease)
        return false;
    mni_lease_end(worker, map->home);
    *lease = (mni_lease_t){.home = map->home,
                           .task = map->task,
                           .demand = map->demand,
                           .declaration = map->what.declaration,
                           .slot = slot->what,
                           .until = mni_clock_now() + LEASE_TIME};
    DL_APPEND(worker->leases, lease);
    mni_map_want(worker, map, 1);
    map->closed = true; /* the demand is the lease's now */
    DL_DELETE(map->slots, slot);
    map->slot_count--;
    free(slot);
    return true;
}

bool mni_lease_take(mni_worker_t *worker, mni_map_t *map)
{
    mni_lease_t *lease = lease_of(worker, map->home);

    if (!lease)
        return false;
    if (lease->declaration != map->what.declaration || lease->task != map->task) {
        mni_lease_end(worker, map->home);
        return false;
    }
    mni_slot_t *slot = calloc(1, sizeof *slot);
    if (!slot) {
        mni_lease_end(worker, map->home);
        return false;
    }
    slot->what = lease->slot;
    DL_APPEND(map->slots, slot);
    map->slot_count = 1;
    map->demand = lease->demand;
    map->want = 1;
    forget(worker, lease);
    return true;
}

void mni_lease_rank_lost(mni_worker_t *worker, uint32_t rank)
{
    mni_lease_t *lease, *next;
    DL_FOREACH_SAFE (worker->leases, lease, next) {
        if (lease->slot.rank != rank)
            continue;
        send_end(worker, lease, false);
        forget(worker, lease);
    }
}

void mni_lease_expire(mni_worker_t *worker, uint64_t now)
{
    while (worker->leases && now >= worker->leases->until)
        mni_lease_end(worker, worker->leases->home);
}

uint64_t mni_lease_next_time(const mni_worker_t *worker)
{
    return worker->leases ? worker->leases->until : MNI_NEVER; /* the first is the oldest */
}

void mni_lease_forget_all(mni_worker_t *worker)
{
    while (worker->leases)
        forget(worker, worker->leases);
}
