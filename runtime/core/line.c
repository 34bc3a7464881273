/* SPDX-License-Identifier: MIT
 *
 * Lines: jobs that a worker is given ahead of time, to be run one after the other in the place of a
 * task that runs already. The *head* of a line holds the cores and the memory and is counted as a task
 * that lives; its *followers* hold nothing and are counted apart. When the head ends the first
 * follower gets what it held. Lines are rings: the head's `line_prev` is the last follower. Each event
 * costs the same however long the line is.
 */
#include "core/internal.h"

#include <math.h>
#include <string.h>

static void unlink_from_line(mni_grant_t *grant)
{
    mni_grant_t *next = grant->line_next, *prev = grant->line_prev;

    if (next == prev) { /* two: one is left */
        next->line_next = next->line_prev = NULL;
    } else {
        next->line_prev = prev;
        prev->line_next = next;
    }
    grant->line_next = grant->line_prev = NULL;
}

/* --- taking jobs ----------------------------------------------------------------------- */

/* Whether what it holds may go on to others: not what was lent to it, since the lender wants that
 * back. */
static bool may_lead(const mni_core_t *core, const mni_grant_t *head, const mni_shape_t *shape)
{
    if (head->stop || head->killed || mni_grant_waits(head))
        return false;
    if (head->node == core->reserved && core->reserving != shape)
        return false;
    for (uint32_t i = 0; i < head->pieces; i++)
        if (head->piece[i].source)
            return false;
    return true;
}

/* What one request could have on a node when a task there has ended. */
static uint32_t room_after(const mni_grant_t *head)
{
    const mni_node_t *node = head->node;
    uint32_t whole = node->free_cores * MNI_WHOLE, share = node->share_room;

    if (head->millicores >= MNI_WHOLE) {
        whole += head->millicores;
    } else if (head->pieces > 0) {
        uint32_t left = MNI_WHOLE - node->used[head->piece[0].core] + head->millicores;
        if (left == MNI_WHOLE)
            whole += MNI_WHOLE;
        else if (left > share)
            share = left;
    }
    return whole > share ? whole : share;
}

/* The shape, but for the head's own, that would come first in the head's place when the head ended;
 * NULL: none. */
static const mni_shape_t *rival_of(mni_core_t *core, const mni_grant_t *head, mni_shape_t *own)
{
    uint64_t memory = mni_node_memory_free(head->node) + head->memory;
    uint32_t room = room_after(head);
    bool in = own->leaf.weight != 0;
    const mni_shape_t *rival;

    mni_tree_remove(&core->fitting, &own->leaf);
    mni_leaf_t *leaf = mni_tree_first(&core->fitting, ~room, ~memory);
    if (in)
        mni_tree_insert(&core->fitting, &own->leaf);
    rival = leaf ? MNI_CONTAINER(leaf, mni_shape_t, leaf) : NULL;
    /* The end of the head would let those of its declaration go on that wait for that only. */
    uint32_t gpus = mni_gpus_free(head->node) + mni_bits_count(head->gpus);
    if (core->declared[head->declaration].crowded == 0 && gpus == 0)
        return rival;
    for (const mni_shape_t *shape = core->blocked; shape; shape = shape->next)
        if ((shape->crowded ? shape->declaration == head->declaration : shape->gpus > 0) &&
            shape != own && shape->millicores <= room && shape->memory <= memory &&
            shape->gpus <= gpus && (!rival || mni_shape_before(shape, rival)))
            rival = shape;
    return rival;
}

static bool append(mni_core_t *core, mni_grant_t *head, mni_record_t *record)
{
    mni_grant_t *last = head->line_prev ? head->line_prev : head;
    mni_grant_t *grant = mni_node_reserve(head->node) ? mni_grant_make(core, 0) : NULL;

    if (!grant)
        return false;
    grant->node = head->node;
    grant->rank = head->rank;
    grant->millicores = head->millicores;
    grant->memory = head->memory;
    grant->declaration = head->declaration;
    grant->follows = true;
    grant->line_prev = last;
    grant->line_next = head;
    last->line_next = head->line_prev = grant;
    core->followers++;
    mni_grant_join(grant);
    mni_grant_attempt(core, grant, record);
    mni_action_begin(core, grant, head);
    return true;
}

int mni_core_follow(mni_core_t *core, uint64_t now, uint64_t task, uint32_t most)
{
    mni_grant_t *head = mni_grant_find(core, task);
    mni_shape_t *shape;
    int count = 0;

    mni_core_enter(core, now);
    if (!head || !head->own || head->stop || head->killed || core->draining)
        return 0;
    while (head->follows) /* the last one is next to the head */
        head = head->line_next;
    shape = head->record ? head->record->shape : NULL;
    if (!shape || !shape->head || !may_lead(core, head, shape))
        return 0;
    const mni_shape_t *rival = rival_of(core, head, shape);
    while ((uint32_t)count < most && shape->head && (!rival || mni_shape_before(shape, rival)) &&
           !isfinite(shape->head->job.need.timeout) && append(core, head, shape->head))
        count++;
    mni_schedule(core);
    return count;
}

/* --- what becomes of a line ------------------------------------------------------------ */

/* Gives what the head holds to the one behind it. Pieces that are still out stay so: who has them now
 * is told. */
static void hand_over(const mni_core_t *core, mni_grant_t *head, mni_grant_t *next)
{
    const mni_node_t *node = next->node;

    next->gpus = head->gpus;
    head->gpus = 0;
    next->pieces = head->pieces;
    next->lent = head->lent;
    if (head->piece == head->few) {
        memcpy(next->few, head->few, sizeof next->few);
    } else {
        next->piece = head->piece;
        head->piece = head->few;
    }
    head->pieces = head->lent = 0;
    for (uint32_t i = 0; next->lent > 0 && i < node->grant_count; i++) {
        mni_grant_t *other = mni_node_grant(core, node, i);
        for (uint32_t k = 0; k < other->pieces; k++)
            if (other->piece[k].source == head)
                other->piece[k].source = next;
    }
}

bool mni_line_pass(mni_core_t *core, mni_grant_t *head)
{
    mni_grant_t *next = head->line_next;

    if (!next)
        return false;
    unlink_from_line(head);
    hand_over(core, head, next);
    next->follows = false;
    core->followers--;
    core->alive++;
    core->workers[next->rank].tasks++;
    core->declared[next->declaration].running++;
    if (next->record->shape)
        next->record->shape->since = core->now;
    mni_grant_review(core, next);
    return true;
}

void mni_line_leave(mni_core_t *core, mni_grant_t *follower)
{
    unlink_from_line(follower);
    follower->follows = false;
    core->followers--;
}

void mni_core_task_returned(mni_core_t *core, uint64_t now, uint64_t task)
{
    mni_grant_t *grant = mni_grant_find(core, task);

    mni_core_enter(core, now);
    if (!grant || !grant->own)
        return;
    grant->given_back = true;
    mni_grant_end(core, grant, MN_REASON_NONE, NULL);
    mni_schedule(core);
}
