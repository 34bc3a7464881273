/* SPDX-License-Identifier: MIT
 *
 * Demands: what callers of maps want, and waits of a task for a job.
 */
#include "core/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t mni_demand_hash(const mni_link_t *link)
{
    return mni_hash_number(MNI_CONTAINER(link, mni_demand_t, by_id)->id);
}

mni_demand_t *mni_demand_find(const mni_core_t *core, uint64_t id)
{
    mni_link_t *link = mni_table_chain(&core->demands, mni_hash_number(id));

    for (; link; link = link->next)
        if (MNI_CONTAINER(link, mni_demand_t, by_id)->id == id)
            return MNI_CONTAINER(link, mni_demand_t, by_id);
    return NULL;
}

void mni_demand_review(mni_core_t *core, mni_demand_t *demand, int change)
{
    mni_grant_t *caller = demand->caller;
    uint32_t most = demand->want < demand->cap ? demand->want : demand->cap;
    uint32_t live = demand->live + (uint32_t)change;
    bool hungry = live < most && !core->draining &&
                  !(caller && (caller->stop || caller->killed || caller->ended));

    if (demand->hungry && (!hungry || change != 0))
        mni_queue_remove_demand(core, demand); /* before its order changes */
    demand->live = live;
    if (hungry && (!demand->hungry || change != 0))
        mni_queue_add_demand(core, demand);
    if (caller && hungry != demand->hungry)
        mni_grant_below(caller, hungry ? 1 : -1);
    demand->hungry = hungry;
    if (caller)
        mni_grant_review(core, caller);
}

/* The nodes on which a caller's ancestors may lend have something new to offer. */
static void offer_lineage(mni_core_t *core, mni_grant_t *grant)
{
    for (; grant; grant = grant->parent)
        if (mni_grant_waits(grant))
            mni_node_freed(core, grant->node);
}

static int check_demand(mni_core_t *core, uint64_t demand, uint64_t caller,
                        const mni_grant_t *grant, uint32_t declaration, const mni_need_t *need,
                        uint32_t want)
{
    if (declaration >= core->declared_room || !core->declared[declaration].name)
        return mni_error(MN_E_UNDECLARED, "declaration %u of a demand is unknown", declaration);
    if (want == 0)
        return mni_error(MN_E_INVALID, "a demand must want at least one slot");
    if (mni_demand_find(core, demand))
        return mni_error(MN_E_INVALID, "demand %" PRIu64 " is open already", demand);
    if (caller != 0 && !grant)
        return mni_error(MN_E_NO_JOB, "the task that wants slots of %s has ended",
                         mni_core_declared(core, declaration));
    if (grant && (grant->stop || grant->killed)) {
        int code = grant->stop ? grant->stop : MN_E_CANCELLED;
        return mni_error(code, "the task that wants slots of %s was asked to stop",
                         mni_core_declared(core, declaration));
    }
    if (core->draining)
        return mni_error(MN_E_INTERRUPTED, "the runtime is stopping");
    return mni_core_possible(core, mni_core_declared(core, declaration), need);
}

int mni_core_demand(mni_core_t *core, uint64_t now, uint64_t demand, uint64_t caller,
                    uint32_t declaration, const mni_need_t *need, uint32_t want)
{
    mni_grant_t *grant = caller ? mni_grant_find(core, caller) : NULL;
    mni_demand_t *made;
    char text[MNI_ERROR_MAX];
    int32_t priority = need->priority;
    int rc;

    mni_core_enter(core, now);
    if ((rc = check_demand(core, demand, caller, grant, declaration, need, want)) < 0)
        return rc;
    made = calloc(1, sizeof *made);
    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for a demand for slots");
    if (grant && grant->record && grant->record->job.need.priority > priority)
        priority =
            grant->record->job.need.priority; /* what a job waits for is as urgent as the job */
    made->shape =
        mni_shape_get(core, grant ? MNI_SHAPE_TREE : MNI_SHAPE_DRIVER, declaration, priority, need);
    if (!made->shape) {
        free(made);
        return mni_error(MN_E_NO_MEMORY, "no memory for a demand for slots");
    }
    made->id = demand;
    made->age = core->next_age++;
    made->caller = grant;
    made->need = *need;
    made->want = want;
    made->cap = UINT32_MAX;
    mni_demand_t **list = grant ? &grant->demands : &core->driver;
    made->next = *list;
    if (made->next)
        made->next->prev = made;
    *list = made;
    mni_table_insert(&core->demands, &made->by_id);
    mni_demand_review(core, made, 0);
    if (grant && mni_deadlock_circle(core, grant, declaration, need, text, sizeof text)) {
        mni_action_refuse(core, demand, grant, NULL, MN_E_DEADLOCK, text);
        mni_demand_end(core, made);
    } else if (grant) {
        mni_lend_dirty(core, grant);
        offer_lineage(core, grant);
    }
    mni_schedule(core);
    return 0;
}

void mni_core_demand_want(mni_core_t *core, uint64_t now, uint64_t id, uint32_t want)
{
    mni_demand_t *demand = mni_demand_find(core, id);

    mni_core_enter(core, now);
    if (!demand)
        return;
    demand->want = want;
    mni_demand_review(core, demand, 0);
    if (demand->hungry && demand->caller) {
        mni_lend_dirty(core, demand->caller);
        offer_lineage(core, demand->caller);
    }
    mni_schedule(core);
}

void mni_demand_end(mni_core_t *core, mni_demand_t *demand)
{
    mni_grant_t *caller = demand->caller;

    demand->want = 0;
    mni_demand_review(core, demand, 0);
    for (mni_grant_t *slot = demand->slots, *next; slot; slot = next) {
        next = slot->slot_next;
        slot->demand = NULL;
        slot->slot_next = slot->slot_prev = NULL;
    }
    if (demand->next)
        demand->next->prev = demand->prev;
    if (demand->prev)
        demand->prev->next = demand->next;
    else if (caller)
        caller->demands = demand->next;
    else
        core->driver = demand->next;
    mni_table_remove(&core->demands, &demand->by_id);
    mni_shape_put(core, demand->shape);
    free(demand);
    if (caller)
        mni_grant_review(core, caller);
    mni_job_release_held(core);
}

void mni_core_demand_close(mni_core_t *core, uint64_t now, uint64_t id)
{
    mni_demand_t *demand = mni_demand_find(core, id);

    mni_core_enter(core, now);
    if (!demand)
        return;
    mni_demand_end(core, demand);
    mni_schedule(core);
}

/* --- waits ----------------------------------------------------------------------------- */

/* Whether `record` is among those that wait, through others too, for `job`. Writes how. */
static bool waits_for(mni_core_t *core, mni_record_t *job, const mni_record_t *record, char *text,
                      size_t room)
{
    uint64_t mark = ++core->mark;
    mni_grant_t *todo = NULL, *waiter;
    char id[MN_ID_TEXT];

    for (mni_record_t *at = job;; at = waiter->record) {
        for (waiter = at->waiters; waiter; waiter = waiter->waiter_next) {
            if (waiter->mark == mark || !waiter->record)
                continue;
            waiter->mark = mark;
            if (waiter->record == record) {
                snprintf(text, room, "job %s (%s) waits for it%s", mn_id_format(record->job.id, id),
                         mni_core_declared(core, record->job.declaration),
                         at == job ? "" : " through other jobs");
                return true;
            }
            waiter->walk_next = todo;
            todo = waiter;
        }
        if (!todo)
            return false;
        waiter = todo;
        todo = waiter->walk_next;
    }
}

static int check_wait(mni_core_t *core, mni_grant_t *grant, mni_record_t *record)
{
    char id[MN_ID_TEXT], text[MNI_ERROR_MAX];
    mni_record_t *own = grant->record;

    if (own == record)
        return mni_error(MN_E_DEADLOCK, "job %s (%s) would wait for its own end",
                         mn_id_format(record->job.id, id),
                         mni_core_declared(core, record->job.declaration));
    if (own && waits_for(core, own, record, text, sizeof text))
        return mni_error(
            MN_E_DEADLOCK,
            "this would close a circle: job %s (%s) would wait for a job that waits for it: %s",
            mn_id_format(own->job.id, id), mni_core_declared(core, own->job.declaration), text);
    if (record->job.status == MN_PENDING &&
        mni_deadlock_circle(core, grant, record->job.declaration, &record->job.need, text,
                            sizeof text))
        return mni_error(MN_E_DEADLOCK, "job %s can never begin while this task waits for it: %s",
                         mn_id_format(record->job.id, id), text);
    return 0;
}

int mni_core_wait(mni_core_t *core, uint64_t now, uint64_t caller, const mn_id_t *id)
{
    mni_grant_t *grant = caller ? mni_grant_find(core, caller) : NULL;
    mni_job_t *job = NULL;
    char text[MN_ID_TEXT];
    int rc;

    mni_core_enter(core, now);
    if (id && !(job = mni_core_find(core, *id)))
        return mni_error(MN_E_NO_JOB, "there is no job %s", mn_id_format(*id, text));
    if (!grant)
        return 0;
    mni_record_t *record = job && !mn_status_terminal(job->status) ? mni_record(job) : NULL;
    if (record && (rc = check_wait(core, grant, record)) < 0)
        return rc;
    if (record == grant->awaited)
        return 0;
    mni_grant_unwait(core, grant);
    if (record) {
        grant->awaited = record;
        grant->waiter_next = record->waiters;
        if (grant->waiter_next)
            grant->waiter_next->waiter_prev = grant;
        record->waiters = grant;
        mni_grant_below(grant, 1);
        mni_grant_review(core, grant);
        mni_lend_dirty(core, grant);
        offer_lineage(core, grant);
    }
    mni_schedule(core);
    return 0;
}
