/* SPDX-License-Identifier: MIT
 *
 * Tasks: the tree that they form, how they are stopped, killed and ended, and their timers; demands for slots.
 */
#include "core/internal.h"
#include "util/clock.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* --- timers: a binary heap; entries of tasks that are gone are skipped ------------------------------------- */

int mni_timer_add(mni_core_t *core, uint64_t time, uint64_t task)
{
    if (time == MNI_NEVER)
        return 0;
    if (core->timer_count == core->timer_room) {
        size_t room = core->timer_room ? 2 * core->timer_room : 64;
        mni_timer_t *timers = realloc(core->timers, room * sizeof *timers);
        if (!timers)
            return mni_error(MN_E_NO_MEMORY, "no memory for a timer");
        core->timers = timers;
        core->timer_room = room;
    }
    size_t at = core->timer_count++;
    for (; at > 0 && core->timers[(at - 1) / 2].time > time; at = (at - 1) / 2)
        core->timers[at] = core->timers[(at - 1) / 2];
    core->timers[at] = (mni_timer_t){.time = time, .task = task};
    return 0;
}

static void timer_pop(mni_core_t *core)
{
    mni_timer_t last = core->timers[--core->timer_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= core->timer_count)
            break;
        if (child + 1 < core->timer_count && core->timers[child + 1].time < core->timers[child].time)
            child++;
        if (core->timers[child].time >= last.time)
            break;
        core->timers[at] = core->timers[child];
        at = child;
    }
    core->timers[at] = last;
}

void mni_core_tick(mni_core_t *core, uint64_t now)
{
    while (core->timer_count > 0 && core->timers[0].time <= now) {
        mni_task_t *task = mni_core_task(core, core->timers[0].task);
        timer_pop(core);
        if (!task)
            continue;
        if (task->kill_at <= now) {
            mni_core_kill_task(core, task, MN_REASON_KILLED);
        } else if (task->timeout_at <= now && !task->timed_out && task->stop_code == 0) {
            task->timed_out = true;
            mni_core_kill_task(core, task, MN_REASON_TIMEOUT);
        }
    }
    mni_schedule(core, now);
}

uint64_t mni_core_next_time(const mni_core_t *core)
{
    uint64_t next = core->timer_count > 0 ? core->timers[0].time : MNI_NEVER;
    const mni_shape_t *shape;
    if (core->reserved_for || core->draining)
        return next;
    DL_FOREACH(core->active, shape)
    {
        uint64_t time = shape->queue->queued + MNI_RESERVE_AFTER;
        if (shape->blocked_at == core->releases && time < next)
            next = time;
    }
    return next;
}

/* --- the tree --------------------------------------------------------------------------------------------------- */

mni_task_t *mni_core_task(const mni_core_t *core, uint64_t id)
{
    mni_task_t *task = NULL;
    HASH_FIND(hh, core->tasks, &id, sizeof id, task);
    return task;
}

mni_task_t *mni_core_new_task(mni_core_t *core, uint32_t declaration)
{
    mni_task_t *task = calloc(1, sizeof *task);
    if (!task)
        return NULL;
    task->id = ++core->next_task;
    task->declaration = declaration;
    task->kill_at = task->timeout_at = MNI_NEVER;
    return task;
}

bool mni_core_task_waits(const mni_task_t *task)
{
    return !task->ended && (task->demands > 0 || task->awaits);
}

mni_job_record_t *mni_core_task_root(const mni_task_t *task)
{
    while (task->parent)
        task = task->parent;
    return task->job;
}

/* Asks the whole tree to stop; only its top has a time at which it is killed. */
static void stop_tree(mni_core_t *core, mni_task_t *task, int code)
{
    mni_task_t *child;
    if (!task->ended && task->stop_code != code) {
        task->stop_code = code;
        mni_action_t *action = mni_core_act(core, MNI_STOP);
        action->rank = task->rank;
        action->task = task->id;
        action->code = code;
        action->job = task->job ? &task->job->job : NULL;
    }
    DL_FOREACH(task->children, child)
    stop_tree(core, child, code);
}

void mni_core_stop_task(mni_core_t *core, uint64_t now, mni_task_t *task, int code, double grace)
{
    uint64_t kill_at = mni_clock_after(now, grace);
    stop_tree(core, task, code);
    if (grace < 0 || kill_at <= now) {
        task->kill_at = now;
        mni_core_kill_task(core, task, MN_REASON_KILLED);
    } else if (kill_at < task->kill_at) {
        task->kill_at = kill_at;
        mni_timer_add(core, kill_at, task->id);
    }
}

void mni_core_kill_task(mni_core_t *core, mni_task_t *task, mn_reason_t reason)
{
    mni_task_t *child;
    if (!task->ended && !task->killed) {
        task->killed = true;
        mni_action_t *action = mni_core_act(core, MNI_KILL);
        action->rank = task->rank;
        action->task = task->id;
        action->reason = reason;
        action->job = task->job ? &task->job->job : NULL;
    }
    DL_FOREACH(task->children, child)
    mni_core_kill_task(core, child, MN_REASON_CANCELLED);
}

/* Takes a task that has ended, and has nothing below it any more, out of the world. */
static void task_bury(mni_core_t *core, uint64_t now, mni_task_t *task)
{
    mni_task_t *parent = task->parent;
    mni_job_record_t *job = task->job;

    mni_place_give_back(core, task);
    core->declared[task->declaration].running--;
    if (task->demand)
        task->demand->granted--;
    if (parent)
        DL_DELETE(parent->children, task);
    HASH_DELETE(hh, core->tasks, task);
    mni_core_release_held_back(core, now);
    if (job)
        mni_core_finish(core, now, job, task);
    free((void *)task->outcome.error);
    free(task);
    if (parent && parent->ended && !parent->children)
        task_bury(core, now, parent);
}

void mni_core_end_task(mni_core_t *core, uint64_t now, mni_task_t *task, const mni_outcome_t *outcome)
{
    mni_core_demand_t *demand, *next;
    mni_task_t *child;

    if (task->ended)
        return;
    task->ended = true;
    task->outcome = *outcome;
    task->outcome.error = outcome->error ? strdup(outcome->error) : NULL;
    mni_core_stop_awaiting(core, now, task);
    DL_FOREACH_SAFE(core->demand_list, demand, next)
    {
        if (demand->caller == task)
            mni_demand_drop(core, demand);
    }
    /* Functions that were asked to stop with their caller keep what is left of the grace. */
    if (task->stop_code == 0 || task->killed)
        DL_FOREACH(task->children, child)
        {
            mni_core_kill_task(core, child, MN_REASON_CANCELLED);
        }
    if (!task->children)
        task_bury(core, now, task);
}

void mni_core_task_ended(mni_core_t *core, uint64_t now, uint64_t id, const mni_outcome_t *outcome)
{
    mni_task_t *task = mni_core_task(core, id);
    if (!task)
        return;
    mni_core_end_task(core, now, task, outcome);
    mni_schedule(core, now);
}

void mni_core_slot_release(mni_core_t *core, uint64_t now, uint64_t id)
{
    mni_core_task_ended(core, now, id, &(mni_outcome_t){.reason = MN_REASON_RETURNED});
}

/* --- workers ------------------------------------------------------------------------------------------------------ */

void mni_core_worker_lost(mni_core_t *core, uint64_t now, uint32_t rank)
{
    mni_outcome_t lost = {.reason = MN_REASON_WORKER_LOST, .error = "the worker that ran it was lost"};
    bool found = true;

    if (rank >= core->rank_count || !core->ranks[rank].alive)
        return;
    core->ranks[rank].alive = false;
    core->nodes[core->ranks[rank].node].workers--;
    core->releases++;
    while (found) { /* ending one may bury others: begin again each time */
        mni_task_t *task, *next;
        found = false;
        HASH_ITER(hh, core->tasks, task, next)
        {
            if (task->rank == rank && !task->ended) {
                mni_core_end_task(core, now, task, &lost);
                found = true;
                break;
            }
        }
    }
    mni_schedule(core, now);
}

/* --- demands ------------------------------------------------------------------------------------------------------- */

static mni_core_demand_t *demand_of(const mni_core_t *core, uint64_t number)
{
    mni_core_demand_t *demand = NULL;
    HASH_FIND(hh, core->demands, &number, sizeof number, demand);
    return demand;
}

int mni_core_demand(mni_core_t *core, uint64_t now, uint64_t number, uint64_t caller, uint32_t declaration,
                    const mni_need_t *need, uint32_t want)
{
    mni_task_t *task = caller ? mni_core_task(core, caller) : NULL;
    int rc;

    if (declaration >= core->declared_count || want == 0 || demand_of(core, number))
        return mni_error(MN_E_INTERNAL, "a demand for slots is malformed");
    if (caller && (!task || task->ended))
        return mni_error(MN_E_NO_JOB, "the task that calls has ended");
    if (task && task->stop_code != 0)
        return mni_error(task->stop_code, "the task that calls was asked to stop");
    if (core->draining)
        return mni_error(MN_E_INTERRUPTED, "the runtime is stopping");
    if ((rc = mni_core_possible(core, core->declared[declaration].name, need)) < 0)
        return rc;
    mni_core_demand_t *demand = calloc(1, sizeof *demand);
    if (!demand)
        return mni_error(MN_E_NO_MEMORY, "no memory for a demand for slots");
    *demand = (mni_core_demand_t){.number = number,
                                  .caller = task,
                                  .declaration = declaration,
                                  .want = want,
                                  .need = *need,
                                  .order = ++core->next_order};
    HASH_ADD(hh, core->demands, number, sizeof demand->number, demand);
    DL_APPEND(core->demand_list, demand);
    if (task)
        task->demands++;
    core->releases++; /* its caller's cores are lent now */
    mni_schedule(core, now);
    return 0;
}

void mni_core_demand_want(mni_core_t *core, uint64_t now, uint64_t number, uint32_t want)
{
    mni_core_demand_t *demand = demand_of(core, number);
    if (!demand)
        return;
    demand->want = want;
    mni_schedule(core, now);
}

void mni_demand_drop(mni_core_t *core, mni_core_demand_t *demand)
{
    mni_task_t *task, *next;
    HASH_ITER(hh, core->tasks, task, next)
    {
        if (task->demand == demand)
            task->demand = NULL;
    }
    if (demand->caller)
        demand->caller->demands--;
    HASH_DELETE(hh, core->demands, demand);
    DL_DELETE(core->demand_list, demand);
    free(demand);
}

void mni_core_demand_close(mni_core_t *core, uint64_t now, uint64_t number)
{
    mni_core_demand_t *demand = demand_of(core, number);
    if (!demand)
        return;
    mni_demand_drop(core, demand);
    mni_core_release_held_back(core, now);
    mni_schedule(core, now);
}
