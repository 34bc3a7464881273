/* SPDX-License-Identifier: MIT
 *
 * Jobs: started, changed by the table of lifecycle.c, cancelled, finished, removed.
 */
#include "core/internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_id(const mn_id_t *id)
{
    uint64_t part;
    memcpy(&part, id->bytes, sizeof part);
    return mni_hash_number(part);
}

/* Where the search for it begins. */
static const mni_slot_t *slot_of(const mni_core_t *core, const mn_id_t *id)
{
    return &core->jobs.slots[hash_id(id) & core->jobs.mask];
}

mni_job_t *mni_core_find(const mni_core_t *core, mn_id_t id)
{
    const mni_index_t *index = &core->jobs;
    uint64_t hash = hash_id(&id);
    const mni_slot_t *slot;

    for (size_t at = hash & index->mask; (slot = &index->slots[at])->number != 0;
         at = (at + 1) & index->mask) {
        if (slot->hash != (uint32_t)hash)
            continue;
        mni_record_t *record = mni_pool_at(&core->records, slot->number - 1);
        if (memcmp(&record->job.id, &id, sizeof id) == 0)
            return &record->job;
    }
    return NULL;
}

mni_job_t *mni_core_older(const mni_core_t *core, const mni_job_t *job)
{
    mni_record_t *next = job ? mni_record(job)->older : core->newest;
    return next ? &next->job : NULL;
}

void mni_job_free(mni_core_t *core, mni_record_t *record)
{
    free(mni_labels(record));
    free(record->job.error);
    mni_pool_give(&core->records, record, record->number);
}

void mni_job_change(mni_core_t *core, mni_record_t *record, mni_job_event_t event,
                    mn_reason_t reason)
{
    mn_status_t next = record->job.status;
    int rc = mni_job_transition(record->job.status, event, &next);

    assert(rc == 0); /* the callers have looked */
    if (rc < 0)
        return;
    core->statuses[record->job.status]--;
    core->statuses[next]++;
    record->job.status = next;
    record->job.reason = reason;
    mni_action_job(core, MNI_CHANGED, record);
}

/* --- start ----------------------------------------------------------------------------- */

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *text_copy(char **to, const char *text)
{
    const char *copy = *to;
    size_t size = text_size(text);

    if (!text)
        return NULL;
    memcpy(*to, text, size);
    *to += size;
    return copy;
}

static int labels_make(mni_record_t *record, const mni_start_t *start, bool tied)
{
    size_t size = text_size(start->lock) + text_size(start->tag) + text_size(start->key);
    mni_labels_t *labels;
    char *to;

    if (size == 0 && !tied)
        return 0;
    labels = calloc(1, sizeof *labels + size);
    if (!labels)
        return MN_E_NO_MEMORY;
    to = labels->text;
    labels->record = record;
    labels->names.lock = text_copy(&to, start->lock);
    labels->names.tag = text_copy(&to, start->tag);
    labels->names.key = text_copy(&to, start->key);
    record->job.names = &labels->names;
    return 0;
}

static void tie(mni_record_t *record, mni_record_t *parent)
{
    mni_labels_t *labels = mni_labels(record);

    labels->parent = parent;
    labels->kid_next = parent->kids;
    if (labels->kid_next)
        labels->kid_next->kid_prev = labels;
    parent->kids = labels;
}

const mni_job_t *mni_core_tied_to(const mni_job_t *job)
{
    const mni_labels_t *labels = mni_labels(mni_record(job));
    return labels && labels->parent ? &labels->parent->job : NULL;
}

static void untie(mni_record_t *record)
{
    mni_labels_t *labels = mni_labels(record);

    if (!labels || !labels->parent)
        return;
    if (labels->kid_next)
        labels->kid_next->kid_prev = labels->kid_prev;
    if (labels->kid_prev)
        labels->kid_prev->kid_next = labels->kid_next;
    else
        labels->parent->kids = labels->kid_next;
    labels->parent = NULL;
    labels->kid_next = labels->kid_prev = NULL;
}

static int check_start(const mni_core_t *core, const mni_start_t *start, const mni_grant_t *parent)
{
    const char *name = mni_core_declared(core, start->declaration);
    mni_record_t *holder;
    char id[MN_ID_TEXT];

    if (start->declaration >= core->declared_room || !core->declared[start->declaration].name)
        return mni_error(MN_E_UNDECLARED, "declaration %u of a job is unknown", start->declaration);
    if (core->draining)
        return mni_error(MN_E_INTERRUPTED, "the runtime is stopping: %s was not started", name);
    if (core->lost_action)
        return mni_error(MN_E_NO_MEMORY, "rank 0 ran out of memory: %s was not started", name);
    if (start->cancel_with_parent && start->parent != 0 &&
        (!parent || parent->stop || parent->killed))
        return mni_error(parent && parent->stop ? parent->stop : MN_E_CANCELLED,
                         "the task that starts %s was asked to stop or has ended", name);
    if (start->lock && (holder = mni_lock_find(core, start->lock)))
        return mni_error(MN_E_LOCK_IN_USE, "lock \"%s\" is in use by job %s (%s)", start->lock,
                         mn_id_format(holder->job.id, id),
                         mni_core_declared(core, holder->job.declaration));
    return mni_core_possible(core, name, &start->need);
}

static void fill(mni_record_t *record, const mni_start_t *start)
{
    record->job.id = start->id;
    record->job.declaration = start->declaration;
    record->job.status = MN_PENDING;
    record->job.need = start->need;
    record->job.user = start->user;
}

/* Makes the record of a job, known by its id, lock and key, and the newest; its status is the caller's affair. */
static int enter(mni_core_t *core, const mni_start_t *start, mni_record_t *parent, bool ended,
                 bool queued, mni_record_t **made)
{
    mni_record_t *record;
    uint32_t number;
    char text[MN_ID_TEXT];

    record = mni_index_reserve(&core->jobs) < 0 ? NULL : mni_pool_take(&core->records, &number);
    if (!record)
        return mni_error(MN_E_NO_MEMORY, "no memory for one more job");
    record->number = number;
    if (labels_make(record, start, parent != NULL) < 0 ||
        (queued && !(record->shape = mni_shape_get(core, MNI_SHAPE_JOB, start->declaration,
                                                   start->need.priority, &start->need)))) {
        mni_job_free(core, record);
        return mni_error(MN_E_NO_MEMORY, "no memory for one more job");
    }
    fill(record, start);
    if (mni_core_find(core, start->id)) { /* this late, for the memory to have come meanwhile */
        if (record->shape)
            mni_shape_put(core, record->shape);
        mni_job_free(core, record);
        return mni_error(MN_E_INVALID, "there is a job %s already", mn_id_format(start->id, text));
    }
    record->age = core->next_age++;
    mni_index_insert(&core->jobs, hash_id(&record->job.id), number);
    record->older = core->newest;
    if (core->newest)
        core->newest->newer = record;
    core->newest = record;
    if (!ended)
        mni_lock_hold(core, record);
    mni_key_hold(core, record);
    core->statuses[MN_PENDING]++;
    if (parent)
        tie(record, parent);
    *made = record;
    return 0;
}

int mni_core_start(mni_core_t *core, uint64_t now, const mni_start_t *start, mni_job_t **job)
{
    mni_grant_t *parent = start->parent ? mni_grant_find(core, start->parent) : NULL;
    mni_record_t *record, *known = start->key ? mni_key_find(core, start->key) : NULL;
    bool tied = start->cancel_with_parent && parent && parent->record;
    int rc;

    mni_prefetch(slot_of(core, &start->id), 64);
    mni_core_enter(core, now);
    if (known) {
        *job = &known->job;
        return 1;
    }
    if ((rc = check_start(core, start, parent)) < 0)
        return rc;
    if ((rc = enter(core, start, tied ? parent->record : NULL, false, true, &record)) < 0)
        return rc;
    core->unfinished++;
    mni_queue_add(core, record);
    *job = &record->job;
    mni_schedule(core);
    return 0;
}

int mni_core_restore(mni_core_t *core, uint64_t now, const mni_restore_t *restore, mni_job_t **job)
{
    const mni_start_t *start = &restore->start;
    bool ended = mn_status_terminal(restore->status);
    bool queued = !ended && restore->reason != MN_REASON_UNDECLARED;
    static const mn_id_t nil;
    mni_job_t *parent = NULL;
    mni_record_t *record;
    char *error = NULL;
    int rc;

    mni_core_enter(core, now);
    if (!ended && restore->status != MN_PENDING)
        return mni_error(MN_E_INVALID, "a job that is %s cannot be put back",
                         mn_status_name(restore->status));
    if (!ended && start->lock && mni_lock_find(core, start->lock))
        return mni_error(MN_E_INVALID, "two jobs hold the lock \"%s\"", start->lock);
    if (restore->error && !(error = strdup(restore->error)))
        return mni_error(MN_E_NO_MEMORY, "no memory for one more job");
    if (!ended && memcmp(&restore->parent, &nil, sizeof nil) != 0)
        parent = mni_core_find(core, restore->parent);
    if (parent && mn_status_terminal(parent->status))
        parent = NULL;
    if ((rc = enter(core, start, parent ? mni_record(parent) : NULL, ended, queued, &record)) < 0) {
        free(error);
        return rc;
    }
    core->statuses[MN_PENDING]--;
    core->statuses[restore->status]++;
    record->job.status = restore->status;
    record->job.reason = restore->reason;
    record->job.attempts = restore->attempts;
    record->job.retries = restore->retries;
    record->job.lost = restore->lost;
    record->job.error = error;
    core->unfinished += !ended;
    if (queued)
        mni_queue_add(core, record);
    *job = &record->job;
    return 0;
}

/* --- end ------------------------------------------------------------------------------- */

static void forget(mni_core_t *core, mni_record_t *record)
{
    while (record->kids)
        untie(record->kids->record);
    core->statuses[record->job.status]--;
    untie(record);
    mni_key_release(core, record);
    mni_index_remove(&core->jobs, hash_id(&record->job.id), record->number);
    if (record->older)
        record->older->newer = record->newer;
    if (record->newer)
        record->newer->older = record->older;
    else
        core->newest = record->older;
    mni_action_job(core, MNI_FORGET, record);
}

/* It has a terminal status now. */
static void retire(mni_core_t *core, mni_record_t *record)
{
    /* What the layer above looks at next, and what forgetting it touches. */
    mni_prefetch(record->job.user, 64);
    if (record->older)
        mni_prefetch(&record->older->newer, 8);
    if (record->newer)
        mni_prefetch(&record->newer->older, 8);
    mni_prefetch(slot_of(core, &record->job.id), 64);
    core->unfinished--;
    mni_lock_release(core, record);
    if (record->shape)
        mni_shape_put(core, record->shape);
    record->shape = NULL;
    untie(record);
    while (record->waiters)
        mni_grant_unwait(core, record->waiters);
    if (record->removing)
        forget(core, record);
}

static void hold(mni_core_t *core, mni_record_t *record)
{
    mni_record_t **list = record->late ? &core->late : &core->held;

    record->held = true;
    record->at.prev = NULL;
    record->next = *list;
    if (record->next)
        record->next->at.prev = record;
    *list = record;
}

static void unhold(mni_core_t *core, mni_record_t *record)
{
    if (record->next)
        record->next->at.prev = record->at.prev;
    if (record->at.prev)
        record->at.prev->next = record->next;
    else if (record->late)
        core->late = record->next;
    else
        core->held = record->next;
    record->next = record->at.prev = NULL;
    record->held = record->late = false;
}

/* Time only goes on: what is late once stays so. */
bool mni_job_is_late(const mni_core_t *core, const mni_record_t *record)
{
    double timeout = record->job.need.timeout;

    return core->over_at != MNI_NEVER && isfinite(timeout) &&
           mni_clock_after(core->now, timeout) > core->over_at &&
           mni_clock_after(0, timeout) <= core->over_after;
}

void mni_job_set_aside(mni_core_t *core, mni_record_t *record)
{
    mni_queue_remove(core, record);
    record->late = true;
    hold(core, record);
}

void mni_job_release(mni_core_t *core, mni_record_t *record)
{
    unhold(core, record);
    mni_queue_add(core, record);
}

void mni_job_release_held(mni_core_t *core)
{
    while (core->held)
        mni_job_release(core, core->held);
}

static void again(mni_core_t *core, mni_record_t *record, mn_reason_t reason, bool put_back)
{
    record->at.prev = NULL;
    mni_job_change(core, record, MNI_JOB_RETRY, reason);
    if (put_back && core->alive > 0)
        hold(core, record);
    else
        mni_queue_add(core, record);
}

static void fail(mni_core_t *core, mni_record_t *record, mn_reason_t reason, const char *error)
{
    char text[128];

    if (!error || !error[0]) {
        snprintf(text, sizeof text, "the task ended: %s", mn_reason_name(reason));
        error = text;
    }
    record->job.error = strdup(error);
    mni_job_change(core, record, MNI_JOB_FAIL, reason);
}

static void failed(mni_core_t *core, mni_record_t *record, mn_reason_t reason, const char *error)
{
    if (record->job.retries < record->job.need.max_retries) {
        record->job.retries++;
        again(core, record, reason, false);
    } else {
        fail(core, record, reason, error);
    }
}

static void lost(mni_core_t *core, mni_record_t *record, const mni_grant_t *grant)
{
    char text[160];

    if (record->job.lost < record->job.need.max_lost) {
        record->job.lost++;
        again(core, record, MN_REASON_WORKER_LOST, false);
        return;
    }
    snprintf(text, sizeof text,
             "the worker that ran it, rank %u on %.64s, was lost, and it may not run again",
             grant->rank, grant->node->host);
    fail(core, record, MN_REASON_WORKER_LOST, text);
}

void mni_job_finish(mni_core_t *core, mni_record_t *record, mni_grant_t *grant)
{
    char text[64];

    record->job.task = 0;
    record->at.run = NULL;
    if (record->job.status == MN_CANCELLING) {
        mni_job_change(core, record, MNI_JOB_STOPPED,
                       grant->killed == MN_REASON_KILLED ? MN_REASON_KILLED : MN_REASON_CANCELLED);
    } else if (grant->given_back) {
        record->job.attempts--;
        again(core, record, grant->stop ? MN_REASON_INTERRUPTED : MN_REASON_NONE, false);
    } else if (grant->stop == MN_E_INTERRUPTED || grant->outcome == MN_REASON_INTERRUPTED) {
        record->job.attempts--;
        again(core, record, MN_REASON_INTERRUPTED, grant->put_back);
    } else if (grant->killed == MN_REASON_TIMEOUT) {
        snprintf(text, sizeof text, "it ran longer than its timeout of %g s",
                 record->job.need.timeout);
        failed(core, record, MN_REASON_TIMEOUT, text);
    } else if (grant->outcome == MN_REASON_WORKER_LOST) {
        lost(core, record, grant);
    } else if (grant->outcome == MN_REASON_RETURNED) {
        mni_job_change(core, record, MNI_JOB_RETURN, MN_REASON_RETURNED);
    } else {
        failed(core, record, grant->outcome, grant->error);
    }
    if (mn_status_terminal(record->job.status))
        retire(core, record);
}

/* --- cancel, remove -------------------------------------------------------------------- */

static void cancel_running(mni_core_t *core, mni_record_t *record, double grace)
{
    mni_grant_t *grant = record->at.run;
    bool again_asked = record->job.status == MN_CANCELLING;
    uint64_t deadline;

    if (!again_asked)
        mni_job_change(core, record, MNI_JOB_CANCEL, MN_REASON_CANCELLED);
    mni_grants_stop(core, grant, MN_E_CANCELLED);
    if (isnan(grace))
        grace = record->job.need.grace;
    if (grace < 0) {
        mni_grants_kill(core, grant, MN_REASON_KILLED);
        return;
    }
    deadline = mni_clock_after(core->now, grace);
    if (!grant->killed && (!again_asked || deadline < grant->deadline))
        mni_grant_deadline(core, grant, deadline);
}

static void cancel_one(mni_core_t *core, mni_record_t *record, double grace)
{
    switch (record->job.status) {
    case MN_PENDING:
        if (record->held)
            unhold(core, record);
        else if (record->shape)
            mni_queue_remove(core, record);
        mni_job_change(core, record, MNI_JOB_CANCEL, MN_REASON_CANCELLED);
        retire(core, record);
        break;
    case MN_RUNNING:
    case MN_CANCELLING:
        cancel_running(core, record, grace);
        break;
    default:
        break;
    }
}

int mni_core_cancel(mni_core_t *core, uint64_t now, mni_job_t *job, double grace)
{
    mni_labels_t *todo = NULL;
    mni_record_t *record = mni_record(job);

    mni_core_enter(core, now);
    if (mn_status_terminal(job->status))
        return 1;
    for (;;) {
        for (mni_labels_t *kid = record->kids; kid; kid = kid->kid_next) {
            kid->cancel_next = todo;
            todo = kid;
        }
        while (record->kids) /* all are on the list now, and nobody is to reach them again */
            untie(record->kids->record);
        cancel_one(core, record, grace);
        if (!todo)
            break;
        record = todo->record;
        todo = todo->cancel_next;
    }
    mni_schedule(core);
    return 0;
}

int mni_core_remove(mni_core_t *core, uint64_t now, mni_job_t *job)
{
    mni_record_t *record = mni_record(job);

    mni_core_enter(core, now);
    if (record->removing)
        return 0;
    record->removing = true;
    if (!mn_status_terminal(job->status))
        return mni_core_cancel(core, now, job, NAN);
    forget(core, record);
    return 0;
}
