/* SPDX-License-Identifier: MIT
 *
 * When every running task waits and nothing that they wait for fits. Cores are lent to what is waited for, so only
 * memory and max_concurrency can bring that about. With several jobs the youngest is put back to the queue; a
 * single one has its call refused, with a sentence on what holds what it waits for.
 */
#include "core/internal.h"
#include "util/error.h"
#include "util/size.h"

#include <stdio.h>
#include <string.h>

bool mni_wait_circle(const mni_core_t *core, const mni_job_record_t *from, const mni_job_record_t *to)
{
    mni_task_t *task, *next;
    HASH_ITER(hh, core->tasks, task, next)
    {
        if (!task->awaits || mni_core_task_root(task) != from)
            continue;
        /* There is no circle yet, so this ends. */
        if (task->awaits == to || mni_wait_circle(core, task->awaits, to))
            return true;
    }
    return false;
}

/* Whether something will happen by itself: a task that works, or one that is about to end. */
static bool anything_moves(const mni_core_t *core)
{
    mni_task_t *task, *next;
    HASH_ITER(hh, core->tasks, task, next)
    {
        if (task->ended ? !task->children : (!mni_core_task_waits(task) || task->stop_code != 0 || task->killed))
            return true;
    }
    return false;
}

/* The latest thing that is waited for and has got nothing. */
static mni_core_demand_t *starved_demand(const mni_core_t *core)
{
    mni_core_demand_t *demand, *found = NULL;
    DL_FOREACH(core->demand_list, demand)
    {
        if (demand->granted == 0 && demand->want > 0)
            found = demand;
    }
    return found;
}

/* "needs 2 GiB; of the 3 GiB of n1, outer holds 2 GiB while it waits" */
static void describe(const mni_core_t *core, const char *name, const mni_need_t *need, uint32_t declaration, char *text,
                     size_t room)
{
    char asked[16], has[16], holds[16];
    mni_task_t *task, *next;
    size_t length;

    if (core->declared[declaration].running >= need->max_concurrency) {
        snprintf(text, room, "%s can never run: all of its %u at a time wait for it themselves", name,
                 need->max_concurrency);
        return;
    }
    const mni_node_t *node = &core->nodes[0];
    HASH_ITER(hh, core->tasks, task, next)
    if (task->memory > 0)
        node = &core->nodes[task->node];
    mni_size_format(need->memory, asked, sizeof asked);
    mni_size_format(node->memory, has, sizeof has);
    length = (size_t)snprintf(text, room, "%s can never run: it needs %g cores and %s, and of the %u cores and %s of %s",
                              name, need->millicores / 1000.0, need->memory ? asked : "no memory", node->cores, has,
                              node->host);
    HASH_ITER(hh, core->tasks, task, next)
    {
        if (task->memory == 0 || &core->nodes[task->node] != node || length + 1 >= room)
            continue;
        mni_size_format(task->memory, holds, sizeof holds);
        length += (size_t)snprintf(text + length, room - length, ", %s holds %s while it waits",
                                   core->declared[task->declaration].name, holds);
    }
}

static bool refuse_demand(mni_core_t *core, mni_core_demand_t *demand)
{
    char text[MNI_ERROR_MAX];
    describe(core, core->declared[demand->declaration].name, &demand->need, demand->declaration, text, sizeof text);
    mni_action_t *action = mni_core_act(core, MNI_REFUSE);
    action->demand = demand->number;
    action->task = demand->caller ? demand->caller->id : 0;
    action->code = MN_E_DEADLOCK;
    mni_core_act_error(core, text);
    mni_demand_drop(core, demand);
    return true;
}

/* The wait for a job that cannot begin is refused to all who wait. */
static bool refuse_wait(mni_core_t *core, uint64_t now, mni_job_record_t *job)
{
    char text[MNI_ERROR_MAX];
    mni_task_t *task, *next;
    describe(core, core->declared[job->job.declaration].name, &job->job.need, job->job.declaration, text, sizeof text);
    mni_core_unqueue(core, job);
    HASH_ITER(hh, core->tasks, task, next)
    {
        if (task->awaits != job)
            continue;
        task->awaits = NULL;
        job->awaited--;
        mni_action_t *action = mni_core_act(core, MNI_REFUSE);
        action->task = task->id;
        action->job = &job->job;
        action->code = MN_E_DEADLOCK;
        mni_core_act_error(core, text);
    }
    mni_core_queue(core, now, job, true);
    return true;
}

bool mni_deadlock_break(mni_core_t *core, uint64_t now)
{
    mni_task_t *task, *next, *youngest = NULL;
    mni_core_demand_t *demand = starved_demand(core);
    uint32_t running = 0;

    if (!core->tasks || (!demand && !core->awaited) || anything_moves(core))
        return false;
    HASH_ITER(hh, core->tasks, task, next)
    {
        if (!task->job || task->ended)
            continue;
        running++;
        if (!youngest || task->job->order > youngest->job->order)
            youngest = task;
    }
    if (running > 1) {
        youngest->put_back = true;
        mni_core_stop_task(core, now, youngest, MN_E_INTERRUPTED, MNI_PUT_BACK_GRACE);
        return false; /* its end goes on from here */
    }
    if (demand)
        return refuse_demand(core, demand);
    return refuse_wait(core, now, core->awaited);
}
