/* SPDX-License-Identifier: MIT
 *
 * Jobs: started, queued, cancelled, removed, finished; locks and keys; the core itself.
 */
#include "core/internal.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the core ------------------------------------------------------------------------------------------------------- */

int mni_core_create(mni_core_t **core)
{
    mni_core_t *made = calloc(1, sizeof *made);
    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for the scheduler's core");
    made->actions_end = &made->actions;
    made->releases = 1;
    *core = made;
    return 0;
}

static void job_free(mni_job_record_t *job)
{
    free(job->job.error);
    free((void *)job->job.lock);
    free((void *)job->job.tag);
    free((void *)job->job.key);
    free(job);
}

void mni_core_bury(mni_core_t *core)
{
    mni_job_record_t *job = core->forgotten;
    core->forgotten = NULL;
    if (job)
        job_free(job);
}

void mni_core_destroy(mni_core_t *core)
{
    mni_job_record_t *job, *next_job;
    mni_task_t *task, *next_task;
    mni_core_demand_t *demand, *next_demand;
    mni_shape_t *shape, *next_shape;
    mni_action_t action;

    if (!core)
        return;
    while (mni_core_next_action(core, &action))
        ;
    HASH_ITER(hh, core->tasks, task, next_task)
    {
        HASH_DELETE(hh, core->tasks, task);
        free(task->held);
        free((void *)task->outcome.error);
        free(task);
    }
    HASH_ITER(hh, core->demands, demand, next_demand)
    {
        HASH_DELETE(hh, core->demands, demand);
        free(demand);
    }
    HASH_CLEAR(hh_lock, core->locks);
    HASH_CLEAR(hh_key, core->keys);
    HASH_ITER(hh, core->jobs, job, next_job)
    {
        HASH_DELETE(hh, core->jobs, job);
        job_free(job);
    }
    HASH_ITER(hh, core->shapes, shape, next_shape)
    {
        HASH_DELETE(hh, core->shapes, shape);
        free(shape);
    }
    for (uint32_t i = 0; i < core->node_count; i++) {
        free(core->nodes[i].host);
        free(core->nodes[i].place);
        free(core->nodes[i].used);
    }
    for (uint32_t i = 0; i < core->declared_count; i++)
        free(core->declared[i].name);
    free(core->nodes);
    free(core->ranks);
    free(core->declared);
    free(core->timers);
    free(core);
}

int mni_core_node_add(mni_core_t *core, const mni_node_offer_t *offer, uint32_t *node)
{
    if (offer->cores == 0 || offer->cores > MNI_MAX_CORES || !offer->host)
        return mni_error(MN_E_INVALID, "a node offers %u cores; 1 to %d are possible", offer->cores, MNI_MAX_CORES);
    mni_node_t *nodes = realloc(core->nodes, (core->node_count + 1) * sizeof *nodes);
    if (!nodes)
        return mni_error(MN_E_NO_MEMORY, "no memory for a node");
    core->nodes = nodes;
    mni_node_t made = {.host = strdup(offer->host),
                       .cores = offer->cores,
                       .free_cores = offer->cores,
                       .place = calloc(offer->cores, sizeof *made.place),
                       .used = calloc(offer->cores, sizeof *made.used),
                       .memory = offer->memory,
                       .free_memory = offer->memory};
    if (!made.host || !made.place || !made.used) {
        free(made.host);
        free(made.place);
        free(made.used);
        return mni_error(MN_E_NO_MEMORY, "no memory for a node of %u cores", offer->cores);
    }
    if (offer->place)
        memcpy(made.place, offer->place, offer->cores * sizeof *made.place);
    *node = core->node_count;
    nodes[core->node_count++] = made;
    return 0;
}

int mni_core_worker_add(mni_core_t *core, uint32_t rank, uint32_t node)
{
    if (node >= core->node_count)
        return mni_error(MN_E_INTERNAL, "there is no node %u", node);
    if (rank >= core->rank_count) {
        mni_rank_state_t *ranks = realloc(core->ranks, (rank + 1) * sizeof *ranks);
        if (!ranks)
            return mni_error(MN_E_NO_MEMORY, "no memory for a worker");
        memset(ranks + core->rank_count, 0, (rank + 1 - core->rank_count) * sizeof *ranks);
        core->ranks = ranks;
        core->rank_count = rank + 1;
    }
    if (core->ranks[rank].alive)
        return mni_error(MN_E_INTERNAL, "rank %u is a worker already", rank);
    core->ranks[rank] = (mni_rank_state_t){.alive = true, .node = node};
    core->nodes[node].workers++;
    core->releases++;
    return 0;
}

int mni_core_declare(mni_core_t *core, uint32_t declaration, const char *name)
{
    if (declaration != core->declared_count)
        return mni_error(MN_E_INTERNAL, "declarations must come in order");
    mni_declared_t *declared = realloc(core->declared, (declaration + 1) * sizeof *declared);
    if (!declared)
        return mni_error(MN_E_NO_MEMORY, "no memory for a declaration");
    core->declared = declared;
    declared[declaration] = (mni_declared_t){.name = strdup(name)};
    if (!declared[declaration].name)
        return mni_error(MN_E_NO_MEMORY, "no memory for a declaration");
    core->declared_count++;
    return 0;
}

/* --- queues ------------------------------------------------------------------------------------------------------------ */

static mni_shape_t *shape_of(mni_core_t *core, const mni_job_t *job)
{
    mni_shape_key_t key;
    mni_shape_t *shape = NULL;
    memset(&key, 0, sizeof key);
    key.memory = job->need.memory;
    key.millicores = job->need.millicores;
    key.declaration = job->declaration;
    key.priority = job->need.priority;
    HASH_FIND(hh, core->shapes, &key, sizeof key, shape);
    if (shape)
        return shape;
    shape = calloc(1, sizeof *shape);
    if (!shape)
        return NULL;
    shape->key = key;
    HASH_ADD(hh, core->shapes, key, sizeof shape->key, shape);
    return shape;
}

static int by_priority(const mni_shape_t *a, const mni_shape_t *b)
{
    return (a->key.priority < b->key.priority) - (a->key.priority > b->key.priority);
}

/* The shape exists: it was made when the job was started. */
void mni_core_queue(mni_core_t *core, uint64_t now, mni_job_record_t *job, bool front)
{
    job->queued = now;
    if (job->awaited > 0) {
        DL_APPEND2(core->awaited, job, urgent_prev, urgent_next);
        return;
    }
    mni_shape_t *shape = shape_of(core, &job->job);
    if (!shape)
        abort(); /* as for an action: a job that is in no queue would be lost */
    job->shape = shape;
    if (shape->count++ == 0) {
        shape->blocked_at = 0;
        DL_INSERT_INORDER(core->active, shape, by_priority);
    }
    if (front)
        DL_PREPEND2(shape->queue, job, queue_prev, queue_next);
    else
        DL_APPEND2(shape->queue, job, queue_prev, queue_next);
}

void mni_core_unqueue(mni_core_t *core, mni_job_record_t *job)
{
    mni_shape_t *shape = job->shape;
    if (job->held_back) {
        DL_DELETE2(core->held_back, job, urgent_prev, urgent_next);
        job->held_back = false;
        return;
    }
    if (!shape) {
        DL_DELETE2(core->awaited, job, urgent_prev, urgent_next);
        return;
    }
    if (shape->queue == job)
        shape->blocked_at = 0; /* the next one may be tried */
    DL_DELETE2(shape->queue, job, queue_prev, queue_next);
    job->shape = NULL;
    if (--shape->count == 0) {
        DL_DELETE(core->active, shape);
        if (core->reserved_for == shape)
            core->reserved_for = NULL;
    }
}

/* Something has got on: what was put back may run again. */
void mni_core_release_held_back(mni_core_t *core, uint64_t now)
{
    mni_job_record_t *job, *next;
    DL_FOREACH_SAFE2(core->held_back, job, next, urgent_next)
    {
        mni_core_unqueue(core, job);
        mni_core_queue(core, now, job, true);
    }
}

/* --- starting ------------------------------------------------------------------------------------------------------------ */

int mni_core_possible(const mni_core_t *core, const char *name, const mni_need_t *need)
{
    char asked[16], most[16];
    uint32_t cores = (need->millicores + 999) / 1000;
    const mni_node_t *largest = NULL;

    for (uint32_t i = 0; i < core->node_count; i++) {
        const mni_node_t *node = &core->nodes[i];
        if (node->cores >= cores && node->memory >= need->memory)
            return 0;
        if (!largest || node->cores > largest->cores ||
            (node->cores == largest->cores && node->memory > largest->memory))
            largest = node;
    }
    if (!largest)
        return mni_error(MN_E_IMPOSSIBLE, "there is no node that could run %s", name);
    mni_size_format(need->memory, asked, sizeof asked);
    mni_size_format(largest->memory, most, sizeof most);
    return mni_error(MN_E_IMPOSSIBLE, "%s asks for %g cores and %s; the largest node, %s, has %u cores and %s", name,
                     need->millicores / 1000.0, need->memory ? asked : "no memory", largest->host, largest->cores,
                     most);
}

static int check_start(const mni_core_t *core, const mni_start_t *start)
{
    char text[MN_ID_TEXT];
    mni_job_record_t *holder = NULL;

    if (core->draining)
        return mni_error(MN_E_INTERRUPTED, "the runtime is stopping: it starts no more jobs");
    if (start->declaration >= core->declared_count)
        return mni_error(MN_E_UNDECLARED, "there is no declaration %u", start->declaration);
    if (start->lock)
        HASH_FIND(hh_lock, core->locks, start->lock, strlen(start->lock), holder);
    if (holder)
        return mni_error(MN_E_LOCK_IN_USE, "the lock \"%s\" is in use by job %s", start->lock,
                         mn_id_format(holder->job.id, text));
    return mni_core_possible(core, core->declared[start->declaration].name, &start->need);
}

static mni_job_record_t *job_new(const mni_start_t *start)
{
    mni_job_record_t *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->job = (mni_job_t){.id = start->id,
                           .declaration = start->declaration,
                           .status = MN_PENDING,
                           .lock = start->lock ? strdup(start->lock) : NULL,
                           .tag = start->tag ? strdup(start->tag) : NULL,
                           .key = start->key ? strdup(start->key) : NULL,
                           .parent = start->parent,
                           .cancel_with_parent = start->cancel_with_parent,
                           .need = start->need,
                           .user = start->user};
    if ((start->lock && !job->job.lock) || (start->tag && !job->job.tag) || (start->key && !job->job.key)) {
        job_free(job);
        return NULL;
    }
    return job;
}

int mni_core_start(mni_core_t *core, uint64_t now, const mni_start_t *start, mni_job_t **started)
{
    mni_job_record_t *job = NULL;
    int rc;

    if (start->key)
        HASH_FIND(hh_key, core->keys, start->key, strlen(start->key), job);
    if (job) {
        *started = &job->job;
        return 1;
    }
    if ((rc = check_start(core, start)) < 0)
        return rc;
    job = job_new(start);
    if (!job || !shape_of(core, &job->job)) {
        if (job)
            job_free(job);
        return mni_error(MN_E_NO_MEMORY, "no memory for a job");
    }
    job->order = ++core->next_order;
    HASH_ADD(hh, core->jobs, job.id, sizeof job->job.id, job);
    DL_PREPEND(core->newest, job);
    if (job->job.lock)
        HASH_ADD_KEYPTR(hh_lock, core->locks, job->job.lock, strlen(job->job.lock), job);
    if (job->job.key)
        HASH_ADD_KEYPTR(hh_key, core->keys, job->job.key, strlen(job->job.key), job);
    core->unfinished++;
    mni_core_act(core, MNI_CHANGED)->job = &job->job;
    mni_core_queue(core, now, job, false);
    *started = &job->job;
    mni_schedule(core, now);
    return 0;
}

/* --- changing -------------------------------------------------------------------------------------------------------------- */

void mni_core_move(mni_core_t *core, mni_job_record_t *job, mni_job_event_t event, mn_reason_t reason, const char *error)
{
    if (mni_job_transition(job->job.status, event, &job->job.status) < 0)
        abort(); /* a bug of ours: the table is the law */
    job->job.reason = reason;
    free(job->job.error);
    job->job.error = error ? strdup(error) : NULL;
    mni_core_act(core, MNI_CHANGED)->job = &job->job;
    if (!mn_status_terminal(job->job.status))
        return;
    core->unfinished--;
    if (job->job.lock && job->hh_lock.tbl) {
        HASH_DELETE(hh_lock, core->locks, job);
        job->hh_lock.tbl = NULL;
    }
}

static void forget(mni_core_t *core, mni_job_record_t *job)
{
    mni_task_t *task, *next;
    if (job->awaited > 0)
        HASH_ITER(hh, core->tasks, task, next)
        {
            if (task->awaits == job)
                task->awaits = NULL;
        }
    if (job->job.key)
        HASH_DELETE(hh_key, core->keys, job);
    HASH_DELETE(hh, core->jobs, job);
    DL_DELETE(core->newest, job);
    mni_core_act(core, MNI_FORGET)->job = &job->job;
}

static void retry_or_fail(mni_core_t *core, uint64_t now, mni_job_record_t *job, mn_reason_t reason, const char *error)
{
    bool lost = reason == MN_REASON_WORKER_LOST;
    uint32_t *count = lost ? &job->job.lost : &job->job.retries;
    if (*count >= (lost ? job->job.need.max_lost : job->job.need.max_retries)) {
        mni_core_move(core, job, MNI_JOB_FAIL, reason, error ? error : mn_reason_name(reason));
        return;
    }
    (*count)++;
    mni_core_move(core, job, MNI_JOB_RETRY, reason, NULL);
    mni_core_queue(core, now, job, true);
}

void mni_core_finish(mni_core_t *core, uint64_t now, mni_job_record_t *job, mni_task_t *task)
{
    char text[128];
    mn_reason_t reason = task->outcome.reason;
    const char *error = task->outcome.error;

    job->running = NULL;
    job->job.task = 0;
    if (job->job.status == MN_CANCELLING) {
        mni_core_move(core, job, MNI_JOB_STOPPED, task->killed ? MN_REASON_KILLED : MN_REASON_CANCELLED, NULL);
    } else if (reason == MN_REASON_RETURNED) {
        mni_core_move(core, job, MNI_JOB_RETURN, MN_REASON_RETURNED, NULL);
    } else if (task->stop_code == MN_E_INTERRUPTED) {
        job->job.attempts--;
        mni_core_move(core, job, MNI_JOB_RETRY, MN_REASON_INTERRUPTED, NULL);
        if (task->put_back && !job->awaited && HASH_COUNT(core->tasks) > 0) {
            job->held_back = true;
            DL_APPEND2(core->held_back, job, urgent_prev, urgent_next);
        } else {
            mni_core_queue(core, now, job, true);
        }
    } else if (task->timed_out) {
        snprintf(text, sizeof text, "it ran longer than its timeout of %g s", job->job.need.timeout);
        retry_or_fail(core, now, job, MN_REASON_TIMEOUT, text);
    } else {
        retry_or_fail(core, now, job, reason, error);
    }
    if (job->removing && mn_status_terminal(job->job.status))
        forget(core, job);
}

/* Jobs that tasks of this tree started and that are to be cancelled with it. */
static void cancel_children(mni_core_t *core, uint64_t now, const mni_task_t *task)
{
    const mni_task_t *child;
    mni_job_record_t *job;
    DL_FOREACH(core->newest, job)
    {
        if (job->job.cancel_with_parent && job->job.parent == task->id)
            mni_core_cancel(core, now, &job->job, NAN);
    }
    DL_FOREACH(task->children, child)
    cancel_children(core, now, child);
}

int mni_core_cancel(mni_core_t *core, uint64_t now, mni_job_t *cancelled, double grace)
{
    mni_job_record_t *job = (mni_job_record_t *)cancelled;
    mn_status_t status = job->job.status;

    if (mn_status_terminal(status))
        return 1;
    if (isnan(grace))
        grace = job->job.need.grace;
    if (status == MN_PENDING) {
        mni_core_unqueue(core, job);
        mni_core_move(core, job, MNI_JOB_CANCEL, MN_REASON_CANCELLED, NULL);
    } else {
        if (status == MN_RUNNING)
            mni_core_move(core, job, MNI_JOB_CANCEL, MN_REASON_CANCELLED, NULL);
        mni_core_stop_task(core, now, job->running, MN_E_CANCELLED, grace);
        if (status == MN_RUNNING)
            cancel_children(core, now, job->running);
    }
    mni_schedule(core, now);
    return 0;
}

int mni_core_remove(mni_core_t *core, uint64_t now, mni_job_t *removed)
{
    mni_job_record_t *job = (mni_job_record_t *)removed;
    job->removing = true;
    if (!mn_status_terminal(job->job.status))
        mni_core_cancel(core, now, removed, NAN);
    if (mn_status_terminal(job->job.status) && !job->running)
        forget(core, job);
    return 0;
}

void mni_core_drain(mni_core_t *core, uint64_t now, double grace)
{
    mni_task_t *task, *next;
    core->draining = true;
    HASH_ITER(hh, core->tasks, task, next)
    {
        int code = task->job && task->job->job.status == MN_CANCELLING ? MN_E_CANCELLED : MN_E_INTERRUPTED;
        if (!task->parent)
            mni_core_stop_task(core, now, task, code, grace);
    }
}

/* A job that nobody waits for any more goes back to its place in the queues. */
void mni_core_stop_awaiting(mni_core_t *core, uint64_t now, mni_task_t *task)
{
    mni_job_record_t *job = task->awaits;
    if (!job)
        return;
    task->awaits = NULL;
    if (--job->awaited > 0 || job->job.status != MN_PENDING)
        return;
    DL_DELETE2(core->awaited, job, urgent_prev, urgent_next);
    mni_core_queue(core, now, job, true);
}

int mni_core_wait(mni_core_t *core, uint64_t now, uint64_t caller, const mn_id_t *id)
{
    mni_task_t *task = caller ? mni_core_task(core, caller) : NULL;
    mni_job_record_t *job = NULL;
    char text[MN_ID_TEXT];

    if (!task || task->ended)
        return 0;
    if (id)
        HASH_FIND(hh, core->jobs, id, sizeof *id, job);
    if (job && mni_core_task_root(task) == job)
        return mni_error(MN_E_DEADLOCK, "job %s would wait for its own end", mn_id_format(*id, text));
    if (job && mni_core_task_root(task) && mni_wait_circle(core, job, mni_core_task_root(task)))
        return mni_error(MN_E_DEADLOCK, "job %s waits for the job that would wait for it", mn_id_format(*id, text));
    mni_core_stop_awaiting(core, now, task);
    if (job && !mn_status_terminal(job->job.status)) {
        bool queued = job->job.status == MN_PENDING;
        if (queued)
            mni_core_unqueue(core, job);
        job->awaited++;
        task->awaits = job;
        if (queued)
            mni_core_queue(core, now, job, true);
        core->releases++; /* its cores are lent now */
    }
    mni_schedule(core, now);
    return 0;
}

/* --- looking ---------------------------------------------------------------------------------------------------------------- */

mni_job_t *mni_core_find(const mni_core_t *core, mn_id_t id)
{
    mni_job_record_t *job = NULL;
    HASH_FIND(hh, core->jobs, &id, sizeof id, job);
    return job ? &job->job : NULL;
}

mni_job_t *mni_core_older(const mni_core_t *core, const mni_job_t *job)
{
    mni_job_record_t *next = job ? ((const mni_job_record_t *)job)->next : core->newest;
    return next ? &next->job : NULL;
}

void mni_core_locks(const mni_core_t *core, void (*visit)(void *, const char *, const mni_job_t *), void *argument)
{
    mni_job_record_t *job, *next;
    HASH_ITER(hh_lock, core->locks, job, next)
    visit(argument, job->job.lock, &job->job);
}

void mni_core_count(const mni_core_t *core, size_t *tasks, size_t *unfinished)
{
    if (tasks)
        *tasks = HASH_COUNT(core->tasks);
    if (unfinished)
        *unfinished = core->unfinished;
}
