/* SPDX-License-Identifier: MIT
 *
 * Who gets what is free: first what running tasks wait for (slots of maps, jobs that are waited for), then the queues
 * by priority and age. A shape that does not fit is not tried again before something was given back.
 *
 * The head of a queue that has waited for MNI_RESERVE_AFTER has a node kept free for it.
 */
#include "core/internal.h"
#include "util/clock.h"

#include <math.h>
#include <stdlib.h>

static bool may_run(const mni_core_t *core, uint32_t declaration, const mni_need_t *need)
{
    return core->declared[declaration].running < need->max_concurrency;
}

static bool start_job(mni_core_t *core, uint64_t now, mni_job_record_t *job, bool reserved)
{
    mni_placement_t placement;
    const mni_need_t *need = &job->job.need;

    if (!may_run(core, job->job.declaration, need) ||
        !mni_place(core, need, NULL, job->awaited ? job : NULL, reserved, &placement))
        return false;
    mni_task_t *task = mni_core_new_task(core, job->job.declaration);
    if (!task || mni_place_take(core, task, need, &placement) < 0) {
        free(task);
        return false;
    }
    mni_core_unqueue(core, job);
    task->job = job;
    job->running = task;
    job->job.task = task->id;
    job->job.attempts++;
    core->declared[task->declaration].running++;
    HASH_ADD(hh, core->tasks, id, sizeof task->id, task);
    if (isfinite(need->timeout)) {
        task->timeout_at = mni_clock_after(now, need->timeout);
        mni_timer_add(core, task->timeout_at, task->id);
    }
    mni_core_move(core, job, MNI_JOB_BEGIN, MN_REASON_NONE, NULL);
    mni_action_t *action = mni_core_act(core, MNI_RUN);
    action->job = &job->job;
    action->task = task->id;
    action->rank = task->rank;
    action->node = task->node;
    for (uint32_t i = 0; i < task->held_count; i++)
        mni_cpus_add(&action->cpus, task->held[i].core);
    return true;
}

static bool grant_slot(mni_core_t *core, mni_core_demand_t *demand)
{
    mni_placement_t placement;
    if (demand->granted >= demand->want || !may_run(core, demand->declaration, &demand->need) ||
        (demand->caller && demand->caller->stop_code != 0) ||
        !mni_place(core, &demand->need, demand->caller, NULL, true, &placement))
        return false;
    mni_task_t *task = mni_core_new_task(core, demand->declaration);
    if (!task || mni_place_take(core, task, &demand->need, &placement) < 0) {
        free(task);
        return false;
    }
    task->demand = demand;
    task->parent = demand->caller;
    if (task->parent)
        DL_APPEND(task->parent->children, task);
    demand->granted++;
    core->declared[task->declaration].running++;
    HASH_ADD(hh, core->tasks, id, sizeof task->id, task);
    mni_action_t *action = mni_core_act(core, MNI_GRANT);
    action->demand = demand->number;
    action->task = task->id;
    action->rank = task->rank;
    action->node = task->node;
    for (uint32_t i = 0; i < task->held_count; i++)
        mni_cpus_add(&action->cpus, task->held[i].core);
    return true;
}

/* One slot for each demand in turn, until none fits. */
static bool serve_demands(mni_core_t *core)
{
    bool any = false, more = true;
    while (more) {
        mni_core_demand_t *demand, *next;
        more = false;
        DL_FOREACH_SAFE(core->demand_list, demand, next)
        more |= grant_slot(core, demand);
        any |= more;
    }
    return any;
}

static bool serve_awaited(mni_core_t *core, uint64_t now)
{
    mni_job_record_t *job, *next;
    bool any = false;
    DL_FOREACH_SAFE2(core->awaited, job, next, urgent_next)
    any |= start_job(core, now, job, true);
    return any;
}

/* The shape to be tried next: of the highest priority, with the oldest head, that may fit. */
static mni_shape_t *next_shape(const mni_core_t *core)
{
    mni_shape_t *shape, *best = NULL;
    DL_FOREACH(core->active, shape)
    {
        if (best && shape->key.priority < best->key.priority)
            break;
        if (shape->blocked_at != core->releases && (!best || shape->queue->order < best->queue->order))
            best = shape;
    }
    return best;
}

static bool serve_queues(mni_core_t *core, uint64_t now)
{
    mni_shape_t *shape;
    bool any = false;
    while ((shape = next_shape(core))) {
        if (start_job(core, now, shape->queue, core->reserved_for == shape))
            any = true;
        else
            shape->blocked_at = core->releases;
    }
    return any;
}

/* Keeps a node for the head that has waited longest, when that is too long. */
static void reserve(mni_core_t *core, uint64_t now)
{
    const mni_node_t *best = NULL;
    mni_shape_t *shape, *oldest = NULL;
    if (core->reserved_for)
        return;
    DL_FOREACH(core->active, shape)
    {
        if (now - shape->queue->queued >= MNI_RESERVE_AFTER && (!oldest || shape->queue->order < oldest->queue->order))
            oldest = shape;
    }
    if (!oldest)
        return;
    uint32_t cores = (oldest->key.millicores + MNI_WHOLE_CORE - 1) / MNI_WHOLE_CORE;
    for (uint32_t i = 0; i < core->node_count; i++) {
        const mni_node_t *node = &core->nodes[i];
        if (node->workers == 0 || node->cores < cores || node->memory < oldest->key.memory)
            continue;
        if (!best || node->free_cores > best->free_cores)
            best = node;
    }
    if (!best)
        return;
    core->reserved_for = oldest;
    core->reserved_node = (uint32_t)(best - core->nodes);
}

void mni_schedule(mni_core_t *core, uint64_t now)
{
    if (core->draining || core->scheduling)
        return;
    core->scheduling = true; /* what is done here may end up here again */
    do {
        bool any = serve_awaited(core, now);
        any |= serve_demands(core);
        any |= serve_queues(core, now);
        if (any)
            break;
        reserve(core, now);
    } while (mni_deadlock_break(core, now));
    core->scheduling = false;
}
