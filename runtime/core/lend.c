/* SPDX-License-Identifier: MIT
 *
 * Lending: a grant that waits lends its cores to what descends from it, and to the job that it
 * waits for with all that descends from that. Memory is never lent. A grant that no longer waits
 * has its cores back at once, shared with borrowers until they end; nobody else gets them, since
 * what is out stays booked as out.
 */
#include "core/internal.h"

static bool lends(const mni_grant_t *grant)
{
    return !grant->ended && grant->pieces > 0 && mni_grant_waits(grant);
}

/* Adds a grant and its ancestors, then those that wait for the job at the root, and so on. */
void mni_lend_collect(mni_core_t *core, mni_grant_t *grant, mni_record_t *record)
{
    uint64_t mark = ++core->mark;
    mni_grant_t *todo = NULL, *root;

    core->lender_count = 0;
    if (record)
        for (mni_grant_t *waiter = record->waiters; waiter; waiter = waiter->waiter_next) {
            waiter->walk_next = todo;
            todo = waiter;
        }
    while (grant || todo) {
        if (!grant) {
            grant = todo;
            todo = grant->walk_next;
        }
        for (root = NULL; grant && grant->mark != mark; grant = grant->parent) {
            grant->mark = mark;
            if (lends(grant)) {
                if (core->lender_count == MNI_LENDERS)
                    return;
                core->lenders[core->lender_count++] = grant;
            }
            root = grant;
        }
        if (root && !root->parent && root->own && root->record)
            for (mni_grant_t *waiter = root->record->waiters; waiter; waiter = waiter->waiter_next)
                if (waiter->mark != mark) {
                    waiter->walk_next = todo;
                    todo = waiter;
                }
        grant = NULL;
    }
}

void mni_lend_collect_node(mni_core_t *core, mni_node_t *node)
{
    core->lender_count = 0;
    for (uint32_t i = node->grant_count; i-- > 0 && core->lender_count < MNI_LENDERS;) {
        mni_grant_t *grant = mni_node_grant(core, node, i);
        if (lends(grant))
            core->lenders[core->lender_count++] = grant;
    }
}

void mni_lend_dirty(mni_core_t *core, mni_grant_t *grant)
{
    if (grant->dirty || grant->ended)
        return;
    grant->dirty = true;
    grant->dirty_next = core->dirty;
    core->dirty = grant;
}

/* Takes a grant that ends off the list of lenders. */
void mni_lend_clean(mni_core_t *core, mni_grant_t *grant)
{
    if (!grant->dirty)
        return;
    for (mni_grant_t **at = &core->dirty; *at; at = &(*at)->dirty_next)
        if (*at == grant) {
            *at = grant->dirty_next;
            break;
        }
    grant->dirty = false;
}

/* A slot for a demand, from what is lent to it. */
static bool serve_demand(mni_core_t *core, mni_demand_t *demand, bool mixed)
{
    mni_spread_t spread;

    if (mni_shape_crowded(core, demand->shape))
        return false;
    mni_lend_collect(core, demand->caller, NULL);
    return mni_place_lent(core, demand->shape, mixed, &spread) &&
           mni_grant_begin(core, demand->shape, &spread, NULL, demand);
}

/* Begins a pending job that is waited for, on what its waiters lend. */
static bool serve_job(mni_core_t *core, mni_record_t *record, bool mixed)
{
    mni_spread_t spread;

    if (record->held || mni_job_is_late(core, record) || mni_shape_crowded(core, record->shape))
        return false;
    mni_lend_collect(core, NULL, record);
    return mni_place_lent(core, record->shape, mixed, &spread) &&
           mni_grant_begin(core, record->shape, &spread, record, NULL);
}

/* What one grant itself wants. */
static bool serve_own(mni_core_t *core, mni_grant_t *grant, bool mixed)
{
    bool any = false;

    for (mni_demand_t *demand = grant->demands; demand; demand = demand->next)
        while (demand->hungry && serve_demand(core, demand, mixed))
            any = true;
    if (grant->awaited && grant->awaited->job.status == MN_PENDING)
        any |= serve_job(core, grant->awaited, mixed);
    return any;
}

/* How many grants of a tree are looked at in one go: the rest is found when something else is
 * freed. */
#define SERVE_MOST 512

bool mni_lend_serve(mni_core_t *core, mni_grant_t *lender, bool mixed)
{
    mni_grant_t *walk[SERVE_MOST]; /* what is found first is nearest, and is served first */
    uint32_t first = 0, last = 0;
    bool any = false;

    /* mni_lend_collect() uses the marks: what was seen is told by a search of the list where it
     * matters. */
    walk[last++] = lender;
    while (first < last) {
        mni_grant_t *grant = walk[first++], *more = NULL;
        any |= serve_own(core, grant, mixed);
        if (grant->awaited && (more = mni_job_runs(grant->awaited))) {
            for (uint32_t i = 0; i < last && more; i++)
                if (walk[i] == more)
                    more = NULL;
            if (more && last < SERVE_MOST)
                walk[last++] = more;
        }
        for (mni_grant_t *child = grant->children; child && last < SERVE_MOST;
             child = child->sibling_next)
            if (child->below > 0)
                walk[last++] = child;
    }
    return any;
}

void mni_lend_return(mni_core_t *core, mni_grant_t *grant, uint32_t number)
{
    for (bool first = true;; first = false) {
        mni_piece_t *piece = &grant->piece[number];
        mni_grant_t *source = piece->source;
        mni_node_t *node = grant->node;
        uint32_t cpu = piece->core, mc = piece->mc;
        number = piece->source_piece;
        piece->mc = 0;
        piece->source = NULL;
        if (!first)
            mni_grant_free_if_done(core, grant);
        if (!source) {
            mni_node_give(core, node, cpu, mc);
            return;
        }
        mni_piece_t *lent = &source->piece[number];
        lent->out = (uint16_t)(lent->out - mc);
        if (lent->out == 0)
            source->lent--;
        if (!source->ended) {
            if (mni_grant_waits(source))
                mni_lend_dirty(core, source);
            return;
        }
        if (lent->out > 0)
            return;
        grant = source; /* the lender is gone: its piece goes on to where it came from */
    }
}
