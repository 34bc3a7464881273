/* SPDX-License-Identifier: MIT
 *
 * Queues of what waits for room, one per shape, and the pass that gives room out.
 *
 * Order: priority; then slots for what runs already (else nested maps would starve), the demand
 * with the fewest slots first; then jobs and the driver's demands by age. Only the first of a shape
 * is tried, and a shape that fits nowhere is blocked until something is freed on a node where it
 * fits: so the cost of a decision does not grow with what is pending, nor with the nodes, only with
 * the number of shapes that are blocked.
 */
#include "core/internal.h"

/* --- which shapes are to be tried ------------------------------------------------------ */

static bool is_empty(const mni_shape_t *shape)
{
    return shape->kind == MNI_SHAPE_JOB ? !shape->head : !shape->hungry.top;
}

/* Puts it among those that lack room. */
static void lack_room(mni_core_t *core, mni_shape_t *shape)
{
    if (shape->gpus > 0)
        return; /* that it lacks room says nothing about others; see first_fitting() */
    mni_shape_order(shape, shape->leaf.order);
    mni_tree_insert(&core->fitting, &shape->leaf);
}

static void unblock(mni_core_t *core, mni_shape_t *shape)
{
    if (shape->next)
        shape->next->prev = shape->prev;
    if (shape->prev)
        shape->prev->next = shape->next;
    else
        core->blocked = shape->next;
    mni_tree_remove(&core->fitting, &shape->leaf);
    if (shape->crowded)
        core->declared[shape->declaration].crowded--;
    shape->crowded = false;
    shape->state = MNI_SHAPE_IDLE;
}

/* Files a shape of the list of those that are blocked by what it lacks. */
static void file_blocked(mni_core_t *core, mni_shape_t *shape, bool crowded)
{
    shape->crowded = crowded;
    if (crowded) {
        core->declared[shape->declaration].crowded++;
        if (core->reserving == shape)
            mni_reserve_drop(core);
        return;
    }
    lack_room(core, shape);
    /* One that starves already comes after the one for which a node is kept. */
    if (shape->since + MNI_STARVED < core->starve_at &&
        !(core->reserving && shape->since + MNI_STARVED <= core->now))
        core->starve_at = shape->since + MNI_STARVED;
}

static void block(mni_core_t *core, mni_shape_t *shape, bool crowded)
{
    mni_heap_remove(&core->ready, &shape->ready);
    shape->state = MNI_SHAPE_BLOCKED;
    shape->only = NULL;
    shape->prev = NULL;
    shape->next = core->blocked;
    if (shape->next)
        shape->next->prev = shape;
    core->blocked = shape;
    file_blocked(core, shape, crowded);
}

static void make_ready(mni_core_t *core, mni_shape_t *shape, mni_node_t *only)
{
    if (shape->state == MNI_SHAPE_BLOCKED)
        unblock(core, shape);
    shape->state = MNI_SHAPE_READY;
    shape->only = only;
    mni_heap_insert(&core->ready, &shape->ready);
}

/* What is first in a shape is about to change, or has. */
static void before_change(mni_core_t *core, mni_shape_t *shape)
{
    if (shape->state == MNI_SHAPE_READY)
        mni_heap_remove(&core->ready, &shape->ready);
}

static void after_change(mni_core_t *core, mni_shape_t *shape, bool first_is_new)
{
    uint64_t order[2];

    if (is_empty(shape)) {
        if (shape->state == MNI_SHAPE_BLOCKED)
            unblock(core, shape);
        shape->state = MNI_SHAPE_IDLE;
        shape->only = NULL;
        if (core->reserving == shape)
            mni_reserve_drop(core);
        return;
    }
    /* One may be before the other now, or have its caller there. */
    if (core->reserved &&
        (core->reserving == shape || first_is_new || shape->kind == MNI_SHAPE_TREE))
        mni_node_freed(core, core->reserved);
    if (shape->state == MNI_SHAPE_READY) {
        mni_heap_insert(&core->ready, &shape->ready);
    } else if (shape->state == MNI_SHAPE_BLOCKED) {
        if (!shape->crowded && shape->gpus == 0) {
            mni_shape_order(shape, order);
            mni_tree_move(&core->fitting, &shape->leaf, order);
        }
    } else if (shape->state == MNI_SHAPE_IDLE) {
        shape->since = core->now;
        make_ready(core, shape, NULL);
    }
}

void mni_queue_uncrowd(mni_core_t *core, uint32_t declaration)
{
    for (mni_shape_t *shape = core->blocked, *next;
         core->declared[declaration].crowded > 0 && shape; shape = next) {
        next = shape->next;
        if (shape->crowded && shape->declaration == declaration) {
            shape->since = core->now;
            make_ready(core, shape, NULL);
        }
    }
}

/* --- requests -------------------------------------------------------------------------- */

void mni_queue_add(mni_core_t *core, mni_record_t *record)
{
    mni_shape_t *shape = record->shape;
    mni_record_t *after = shape->tail;
    bool first = !after || record->age < shape->head->age;

    if (first)
        before_change(core, shape);
    /* Nearly always the youngest; one that comes back is older than nearly all. */
    if (after && after->age > record->age) {
        after = NULL;
        for (mni_record_t *next = shape->head; next->age < record->age; next = next->next)
            after = next;
    }
    record->at.prev = after;
    record->next = after ? after->next : shape->head;
    if (after)
        after->next = record;
    else
        shape->head = record;
    if (record->next)
        record->next->at.prev = record;
    else
        shape->tail = record;
    shape->count++;
    if (first)
        after_change(core, shape, true);
}

void mni_queue_remove(mni_core_t *core, mni_record_t *record)
{
    mni_shape_t *shape = record->shape;
    bool first = shape->head == record;

    if (first)
        before_change(core, shape);
    if (record->at.prev)
        record->at.prev->next = record->next;
    else
        shape->head = record->next;
    if (record->next) {
        record->next->at.prev = record->at.prev;
        /* That is the first now, and was fetched when it came second; this one comes second. */
        if (first && record->next->next)
            mni_prefetch(record->next->next, sizeof *record);
    } else {
        shape->tail = record->at.prev;
    }
    record->next = record->at.prev = NULL;
    shape->count--;
    if (first)
        after_change(core, shape, false);
}

void mni_queue_add_demand(mni_core_t *core, mni_demand_t *demand)
{
    before_change(core, demand->shape);
    mni_heap_insert(&demand->shape->hungry, &demand->place);
    after_change(core, demand->shape, demand->shape->hungry.top == &demand->place);
}

void mni_queue_remove_demand(mni_core_t *core, mni_demand_t *demand)
{
    before_change(core, demand->shape);
    mni_heap_remove(&demand->shape->hungry, &demand->place);
    after_change(core, demand->shape, false);
}

/* --- the pass -------------------------------------------------------------------------- */

/* Begins the first request of a shape on what was worked out. */
static bool begin_head(mni_core_t *core, mni_shape_t *shape, const mni_spread_t *spread)
{
    if (shape->kind == MNI_SHAPE_JOB)
        return mni_grant_begin(core, shape, spread, shape->head, NULL);
    return mni_grant_begin(core, shape, spread, NULL,
                           MNI_CONTAINER(shape->hungry.top, mni_demand_t, place));
}

/* Tries the first request of a shape. */
static bool serve_head(mni_core_t *core, mni_shape_t *shape)
{
    mni_record_t *record = shape->kind == MNI_SHAPE_JOB ? shape->head : NULL;
    mni_demand_t *demand = record ? NULL : MNI_CONTAINER(shape->hungry.top, mni_demand_t, place);
    mni_grant_t *caller = demand ? demand->caller : NULL;
    mni_spread_t spread;
    bool found = mni_place_free(core, shape, caller ? caller->node : NULL, &spread);

    if (!found && (caller || (record && record->waiters))) {
        mni_lend_collect(core, caller, record);
        found = mni_place_lent(core, shape, true, &spread);
    }
    return found && begin_head(core, shape, &spread);
}

/* Whether the first of a shape cannot end before the run does; then it is the first no longer. */
static bool set_late_aside(mni_core_t *core, const mni_shape_t *shape)
{
    if (shape->kind != MNI_SHAPE_JOB || !mni_job_is_late(core, shape->head))
        return false;
    mni_job_set_aside(core, shape->head);
    return true;
}

/* Tries the shape that comes first of those that are ready. */
static void serve_next(mni_core_t *core)
{
    mni_shape_t *shape = MNI_CONTAINER(core->ready.top, mni_shape_t, ready);

    if (set_late_aside(core, shape))
        return;
    if (mni_shape_crowded(core, shape))
        block(core, shape, true);
    else if (!serve_head(core, shape))
        block(core, shape, false);
}

static void serve_ready(mni_core_t *core)
{
    while (core->ready.top)
        serve_next(core);
}

static void serve_lenders(mni_core_t *core)
{
    mni_grant_t *lender;

    while ((lender = core->dirty)) {
        core->dirty = lender->dirty_next;
        lender->dirty = false;
        if (mni_grant_waits(lender))
            mni_lend_serve(core, lender, false);
    }
}

/* The first of those that lack room for which a node has enough; NULL: none. */
static mni_shape_t *first_fitting(const mni_core_t *core, const mni_node_t *node)
{
    const mni_leaf_t *leaf = NULL;

    if (node->seats > 0)
        leaf = mni_tree_first(&core->fitting, ~mni_node_room(node), ~mni_node_memory_free(node));
    mni_shape_t *first = leaf ? MNI_CONTAINER(leaf, mni_shape_t, leaf) : NULL;
    if (node->gpus_free == 0)
        return first;
    for (mni_shape_t *shape = core->blocked; shape; shape = shape->next)
        if (shape->gpus > 0 && !shape->crowded && mni_place_fits(core, shape, node) &&
            (!first || mni_shape_before(shape, first)))
            first = shape;
    return first;
}

/* Gives what is free on a node to those that lack room. A demand that got a slot is ready for the
 * next one, anywhere. */
static void give_out(mni_core_t *core, mni_node_t *node)
{
    mni_shape_t *shape;
    mni_spread_t spread;

    while ((shape = first_fitting(core, node)) || core->ready.top) {
        if (core->ready.top &&
            (!shape ||
             mni_shape_before(MNI_CONTAINER(core->ready.top, mni_shape_t, ready), shape))) {
            serve_next(core);
        } else if (set_late_aside(core, shape)) {
            continue;
        } else if (mni_shape_crowded(core, shape)) {
            mni_tree_remove(&core->fitting, &shape->leaf);
            file_blocked(core, shape, true);
        } else {
            mni_place_on(core, shape, node, &spread);
            if (!begin_head(core, shape, &spread))
                break;
        }
    }
}

/* The same where more than what is free counts: who may use a node that is kept for another, and
 * what is lent there. */
static void give_out_with_care(mni_core_t *core, mni_node_t *node)
{
    for (mni_shape_t *shape = core->blocked, *next; shape; shape = next) {
        next = shape->next;
        if (!shape->crowded &&
            (mni_place_fits(core, shape, node) || (shape->kind == MNI_SHAPE_TREE && node->waiting)))
            make_ready(core, shape, node);
    }
    serve_ready(core);
    /* What is left may do together with what is lent there. */
    if (node->waiting == 0)
        return;
    for (uint32_t i = node->grant_count; i-- > 0;) { /* none goes meanwhile, new ones come last */
        mni_grant_t *grant = mni_node_grant(core, node, i);
        if (mni_grant_waits(grant))
            mni_lend_serve(core, grant, true);
    }
}

/* Offers a node, on which something was freed, to the shapes that were blocked. */
static void offer(mni_core_t *core, mni_node_t *node)
{
    if (node == core->reserved || node->waiting > 0)
        give_out_with_care(core, node);
    else
        give_out(core, node);
}

void mni_schedule(mni_core_t *core)
{
    if (core->draining)
        return;
    do {
        serve_lenders(core);
        serve_ready(core);
        while (core->freed) {
            mni_node_t *node = core->freed;
            core->freed = node->freed_next;
            if (!core->freed)
                core->freed_last = NULL;
            node->freed = false;
            core->offering = true;
            offer(core, node);
            core->offering = false;
        }
    } while (core->dirty || (core->alive > 0 && core->blocked_grants == core->alive &&
                             core->followers == 0 && mni_deadlock_resolve(core)));
}
