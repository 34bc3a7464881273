/* SPDX-License-Identifier: MIT
 *
 * Grants: how they begin, form trees, are asked to stop, killed, and end. A grant ends when its
 * processes are gone; it is finished, and leaves the tree, when all below it are finished too; it
 * is freed when nobody uses cores that it lent.
 */
#include "core/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool mni_timer_before(const mni_heap_node_t *a, const mni_heap_node_t *b)
{
    return MNI_CONTAINER(a, mni_grant_t, timer)->deadline <
           MNI_CONTAINER(b, mni_grant_t, timer)->deadline;
}

mni_grant_t *mni_grant_find(const mni_core_t *core, uint64_t id)
{
    uint32_t number = (uint32_t)(id % MNI_POOL_MOST);
    mni_grant_t *grant = number < core->grants.made ? mni_pool_at(&core->grants, number) : NULL;

    return grant && id != 0 && grant->id == id && !grant->ended ? grant : NULL;
}

void mni_grant_deadline(mni_core_t *core, mni_grant_t *grant, uint64_t deadline)
{
    if (grant->deadline != MNI_NEVER)
        mni_heap_remove(&core->timers, &grant->timer);
    grant->deadline = deadline;
    if (deadline != MNI_NEVER)
        mni_heap_insert(&core->timers, &grant->timer);
}

void mni_grant_below(mni_grant_t *grant, int change)
{
    for (; grant; grant = grant->parent)
        grant->below += (uint32_t)change;
}

/* Whether nothing that it waits for can come without somebody else giving something up. */
static bool is_blocked(const mni_grant_t *grant)
{
    if (!grant->waiting || grant->stop || grant->killed || grant->follows)
        return false;
    for (const mni_demand_t *demand = grant->demands; demand; demand = demand->next)
        if (!demand->hungry && demand->live == 0)
            return false; /* it wants nothing more: it will go on by itself */
    return true;
}

void mni_grant_review(mni_core_t *core, mni_grant_t *grant)
{
    bool waits = mni_grant_waits(grant);

    if (waits != grant->waiting) {
        grant->waiting = waits;
        grant->node->waiting += waits ? 1u : -1u;
        if (waits)
            mni_lend_dirty(core, grant);
    }
    bool blocked = is_blocked(grant);
    if (blocked != grant->blocked) {
        grant->blocked = blocked;
        core->blocked_grants += blocked ? (size_t)1 : (size_t)-1;
    }
}

/* --- beginning ------------------------------------------------------------------------- */

static void take_pieces(mni_core_t *core, mni_grant_t *grant, const mni_spread_t *spread)
{
    memcpy(grant->piece, core->scratch, spread->pieces * sizeof grant->piece[0]);
    grant->pieces = spread->pieces;
    for (uint32_t i = 0; i < grant->pieces; i++) {
        mni_piece_t *piece = &grant->piece[i];
        if (!piece->source) {
            mni_node_take(core, grant->node, piece->core, piece->mc);
            continue;
        }
        mni_piece_t *lent = &piece->source->piece[piece->source_piece];
        if (lent->out == 0)
            piece->source->lent++;
        lent->out = (uint16_t)(lent->out + piece->mc);
    }
}

void mni_grant_attempt(mni_core_t *core, mni_grant_t *grant, mni_record_t *record)
{
    mni_queue_remove(core, record);
    grant->own = true;
    grant->record = record;
    record->at.run = grant;
    record->job.task = grant->id;
    record->job.attempts++;
    if (isfinite(record->job.need.timeout))
        mni_grant_deadline(core, grant, mni_clock_after(core->now, record->job.need.timeout));
    mni_job_change(core, record, MNI_JOB_BEGIN, MN_REASON_NONE);
}

static void begin_slot(mni_core_t *core, mni_grant_t *grant, mni_demand_t *demand)
{
    grant->demand = demand;
    grant->slot_next = demand->slots;
    if (grant->slot_next)
        grant->slot_next->slot_prev = grant;
    demand->slots = grant;
    grant->parent = demand->caller;
    if (grant->parent) {
        grant->record = grant->parent->record;
        grant->sibling_next = grant->parent->children;
        if (grant->sibling_next)
            grant->sibling_next->sibling_prev = grant;
        grant->parent->children = grant;
    }
    mni_demand_review(core, demand, 1);
}

mni_grant_t *mni_grant_make(mni_core_t *core, uint32_t pieces)
{
    uint32_t number;
    mni_grant_t *grant = mni_pool_take(&core->grants, &number);

    if (!grant)
        return NULL;
    grant->id = (++core->next_task << MNI_POOL_BITS) + number;
    grant->deadline = MNI_NEVER;
    grant->piece = grant->few;
    if (pieces > MNI_FEW)
        grant->piece = malloc(pieces * sizeof grant->piece[0]);
    if (!grant->piece) {
        mni_grant_free(core, grant);
        return NULL;
    }
    return grant;
}

void mni_grant_free(mni_core_t *core, mni_grant_t *grant)
{
    uint32_t number = (uint32_t)(grant->id % MNI_POOL_MOST);

    if (grant->piece != grant->few)
        free(grant->piece);
    free(grant->error);
    grant->id = 0;
    mni_pool_give(&core->grants, grant, number);
}

void mni_grant_join(mni_grant_t *grant)
{
    mni_node_t *node = grant->node;

    node->grants[node->grant_count++] = (uint32_t)(grant->id % MNI_POOL_MOST);
}

bool mni_grant_begin(mni_core_t *core, mni_shape_t *shape, const mni_spread_t *spread,
                     mni_record_t *record, mni_demand_t *demand)
{
    mni_grant_t *grant =
        mni_node_reserve(spread->node) ? mni_grant_make(core, spread->pieces) : NULL;

    if (!grant)
        return false; /* it stays where it is, and is tried again when something ends */
    grant->node = spread->node;
    grant->millicores = shape->millicores;
    grant->memory = shape->memory;
    grant->declaration = shape->declaration;
    take_pieces(core, grant, spread);
    mni_node_memory(core, grant->node, grant->memory, 0);
    grant->gpus = spread->gpus;
    mni_gpus_take(grant->node, grant->gpus);
    grant->rank = mni_node_worker(core, grant->node, demand);
    core->workers[grant->rank].tasks++;
    core->declared[grant->declaration].running++;
    core->alive++;
    mni_grant_join(grant);
    shape->since = core->now;
    if (core->reserving == shape)
        mni_reserve_drop(core);
    if (record)
        mni_grant_attempt(core, grant, record);
    else
        begin_slot(core, grant, demand);
    mni_action_begin(core, grant, grant);
    return true;
}

/* --- asking to stop, killing ----------------------------------------------------------- */

mni_grant_t *mni_grants_next(const mni_grant_t *root, const mni_grant_t *at)
{
    if (at->children)
        return at->children;
    while (at != root && !at->sibling_next)
        at = at->parent;
    return at == root ? NULL : at->sibling_next;
}

static void review_all(mni_core_t *core, mni_grant_t *grant)
{
    for (mni_demand_t *demand = grant->demands; demand; demand = demand->next)
        mni_demand_review(core, demand, 0);
    mni_grant_review(core, grant);
}

void mni_grants_stop(mni_core_t *core, mni_grant_t *root, int code)
{
    for (mni_grant_t *grant = root; grant; grant = mni_grants_next(root, grant)) {
        if (grant->ended || grant->killed || grant->stop == code || grant->stop == MN_E_CANCELLED)
            continue;
        grant->stop = code;
        review_all(core, grant);
        mni_action_stop(core, grant, code);
    }
}

void mni_grants_kill(mni_core_t *core, mni_grant_t *root, mn_reason_t reason)
{
    for (mni_grant_t *grant = root; grant; grant = mni_grants_next(root, grant)) {
        if (grant->killed)
            continue;
        grant->killed = grant == root ? reason : MN_REASON_CANCELLED;
        if (grant->ended)
            continue;
        review_all(core, grant);
        mni_action_kill(core, grant, grant->killed);
    }
}

/* --- ending ---------------------------------------------------------------------------- */

void mni_grant_unwait(mni_core_t *core, mni_grant_t *grant)
{
    mni_record_t *record = grant->awaited;

    if (!record)
        return;
    if (grant->waiter_next)
        grant->waiter_next->waiter_prev = grant->waiter_prev;
    if (grant->waiter_prev)
        grant->waiter_prev->waiter_next = grant->waiter_next;
    else
        record->waiters = grant->waiter_next;
    grant->waiter_next = grant->waiter_prev = NULL;
    grant->awaited = NULL;
    mni_grant_below(grant, -1);
    mni_grant_review(core, grant);
}

static void leave_node(mni_grant_t *grant)
{
    mni_node_t *node = grant->node;
    uint32_t number = (uint32_t)(grant->id % MNI_POOL_MOST), at = node->grant_count;

    while (node->grants[--at] != number)
        ;
    node->grant_count--;
    memmove(&node->grants[at], &node->grants[at + 1],
            (node->grant_count - at) * sizeof node->grants[0]);
}

void mni_grant_free_if_done(mni_core_t *core, mni_grant_t *grant)
{
    if (!grant->finished || grant->lent > 0)
        return;
    leave_node(grant);
    mni_grant_free(core, grant);
}

static void leave_parent(mni_grant_t *grant)
{
    if (grant->sibling_next)
        grant->sibling_next->sibling_prev = grant->sibling_prev;
    if (grant->sibling_prev)
        grant->sibling_prev->sibling_next = grant->sibling_next;
    else
        grant->parent->children = grant->sibling_next;
    grant->parent = grant->sibling_next = grant->sibling_prev = NULL;
}

/* Takes it out of the tree, and its parent too if that was only waiting for it. */
static void finish(mni_core_t *core, mni_grant_t *grant)
{
    while (grant && grant->ended && !grant->children) {
        mni_grant_t *parent = grant->parent;
        mni_grant_deadline(core, grant, MNI_NEVER);
        if (parent)
            leave_parent(grant);
        if (grant->own)
            mni_job_finish(core, grant->record, grant);
        grant->record = NULL;
        grant->finished = true;
        mni_grant_free_if_done(core, grant);
        grant = parent;
    }
}

static void leave_demand(mni_core_t *core, mni_grant_t *grant)
{
    mni_demand_t *demand = grant->demand;

    if (!demand)
        return;
    if (grant->slot_next)
        grant->slot_next->slot_prev = grant->slot_prev;
    if (grant->slot_prev)
        grant->slot_prev->slot_next = grant->slot_next;
    else
        demand->slots = grant->slot_next;
    grant->demand = NULL;
    grant->slot_next = grant->slot_prev = NULL;
    mni_demand_review(core, demand, -1);
}

/* What it held goes to the next in its line, or back. */
static void leave_place(mni_core_t *core, mni_grant_t *grant)
{
    core->alive--;
    core->workers[grant->rank].tasks--;
    core->declared[grant->declaration].running--;
    if (mni_line_pass(core, grant))
        return;
    mni_queue_uncrowd(core, grant->declaration);
    mni_node_memory(core, grant->node, 0, grant->memory);
    mni_gpus_give(core, grant->node, grant->gpus);
    grant->gpus = 0;
    for (uint32_t i = 0; i < grant->pieces; i++)
        if (grant->piece[i].out == 0)
            mni_lend_return(core, grant, i);
}

void mni_grant_end(mni_core_t *core, mni_grant_t *grant, mn_reason_t reason, const char *error)
{
    mni_grant_unwait(core, grant);
    while (grant->demands)
        mni_demand_end(core, grant->demands);
    grant->ended = true;
    grant->outcome = reason;
    grant->error = grant->own && error ? strdup(error) : NULL;
    mni_grant_review(core, grant);
    mni_lend_clean(core, grant);
    if (grant->follows)
        mni_line_leave(core, grant);
    else
        leave_place(core, grant);
    /* What was asked to stop with it keeps the rest of the grace. */
    bool has_grace = grant->stop && !grant->killed;
    if (!has_grace)
        mni_grant_deadline(core, grant, MNI_NEVER);
    for (mni_grant_t *child = grant->children; child && !has_grace; child = child->sibling_next)
        mni_grants_kill(core, child, MN_REASON_CANCELLED);
    leave_demand(core, grant);
    mni_job_release_held(core);
    finish(core, grant);
}

void mni_core_task_ended(mni_core_t *core, uint64_t now, uint64_t task,
                         const mni_outcome_t *outcome)
{
    mni_grant_t *grant;

    mni_core_enter(core, now);
    if (task % MNI_POOL_MOST < core->grants.made)
        mni_prefetch(mni_pool_at(&core->grants, (uint32_t)(task % MNI_POOL_MOST)), 4 * 64);
    if (!(grant = mni_grant_find(core, task)))
        return;
    if (grant->piece != grant->few)
        mni_prefetch(grant->piece, 64);
    mni_prefetch(grant->node, offsetof(mni_node_t, spot));
    mni_prefetch(grant->node->sets, 3 * 64);
    if (grant->record)
        mni_prefetch(grant->record, sizeof *grant->record);
    mni_grant_end(core, grant, outcome->reason, outcome->error);
    mni_schedule(core);
}

void mni_core_slot_release(mni_core_t *core, uint64_t now, uint64_t task)
{
    mni_grant_t *grant = mni_grant_find(core, task);

    mni_core_enter(core, now);
    if (!grant || grant->own)
        return;
    mni_grant_end(core, grant, MN_REASON_RETURNED, NULL);
    mni_schedule(core);
}

void mni_core_worker_lost(mni_core_t *core, uint64_t now, uint32_t rank)
{
    mni_grant_t *lost = NULL, *followers = NULL, *grant, *next;
    mni_node_t *node = rank < core->worker_room ? core->workers[rank].node : NULL;

    mni_core_enter(core, now);
    if (!node || (rank == MNI_DRIVER_RANK && node->guest))
        return;
    mni_node_leave(core, rank);
    if (node == core->reserved && node->seats == 0)
        mni_reserve_drop(core);
    mni_node_freed(core, node); /* out of the trees if it was the last */
    mni_node_index(core);
    for (uint32_t i = node->grant_count; i-- > 0;) {
        grant = mni_node_grant(core, node, i);
        if (grant->ended || grant->rank != rank)
            continue;
        mni_grant_t **list = grant->follows ? &followers : &lost;
        if (!grant->follows && !grant->killed)
            grant->killed = MN_REASON_WORKER_LOST; /* nobody is there to be told */
        grant->walk_next = *list;
        *list = grant;
    }
    for (grant = followers; grant; grant = next) { /* before what they follow: they did not begin */
        next = grant->walk_next;
        grant->given_back = true;
        mni_grant_end(core, grant, MN_REASON_WORKER_LOST, NULL);
    }
    for (grant = lost; grant; grant = next) {
        next = grant->walk_next;
        mni_grant_end(core, grant, MN_REASON_WORKER_LOST, NULL);
    }
    mni_schedule(core);
}

void mni_core_count(const mni_core_t *core, size_t *tasks, size_t *unfinished)
{
    if (tasks)
        *tasks = core->alive + core->followers;
    if (unfinished)
        *unfinished = core->unfinished;
}
