/* SPDX-License-Identifier: MIT
 *
 * What the core can say of itself: why a job waits, and whether its books are in order.
 */
#include "core/internal.h"
#include "util/error.h"
#include "util/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mni_core_explain(const mni_core_t *core, const mni_job_t *explained, char *text, size_t room)
{
    const mni_job_record_t *job = (const mni_job_record_t *)explained, *other;
    const mni_need_t *need = &job->job.need;
    const mni_node_t *best = NULL;
    char memory[16], left[16];
    uint64_t ahead = 0;

    if (job->job.status != MN_PENDING) {
        snprintf(text, room, "it is %s", mn_status_name(job->job.status));
        return;
    }
    if (core->draining) {
        snprintf(text, room, "the runtime is stopping");
        return;
    }
    if (core->declared[job->job.declaration].running >= need->max_concurrency) {
        snprintf(text, room, "%u of %s run already, as many as may at a time", need->max_concurrency,
                 core->declared[job->job.declaration].name);
        return;
    }
    for (uint32_t i = 0; i < core->node_count; i++)
        if (core->nodes[i].workers > 0 && (!best || core->nodes[i].free_cores > best->free_cores))
            best = &core->nodes[i];
    if (job->shape)
        DL_FOREACH2(job->shape->queue, other, queue_next)
        {
            if (other == job)
                break;
            ahead++;
        }
    if (!best) {
        snprintf(text, room, "there is no worker");
        return;
    }
    mni_size_format(need->memory, memory, sizeof memory);
    mni_size_format(best->free_memory, left, sizeof left);
    snprintf(text, room, "needs %g cores and %s; node %s has %u cores and %s free; %llu ahead of it",
             need->millicores / 1000.0, need->memory ? memory : "no memory", best->host, best->free_cores, left,
             (unsigned long long)ahead);
}

/* What tasks hold of a node, against what its books say. */
static int check_node(const mni_core_t *core, uint32_t number)
{
    const mni_node_t *node = &core->nodes[number];
    uint32_t used[MNI_MAX_CORES] = {0}, free_cores = 0;
    uint64_t memory = 0;
    mni_task_t *task, *next;

    HASH_ITER(hh, core->tasks, task, next)
    {
        if (task->node != number)
            continue;
        memory += task->memory;
        for (uint32_t i = 0; i < task->held_count; i++) {
            if (!task->held[i].lender)
                used[task->held[i].core] += task->held[i].share;
            if (task->held[i].lent > task->held[i].share)
                return mni_error(MN_E_INTERNAL, "task %llu lends more than it holds", (unsigned long long)task->id);
        }
    }
    for (uint32_t i = 0; i < node->cores; i++) {
        if (used[i] != node->used[i] || used[i] > MNI_WHOLE_CORE)
            return mni_error(MN_E_INTERNAL, "core %u of %s: %u thousandths are held, %u are booked", i, node->host,
                             used[i], node->used[i]);
        free_cores += used[i] == 0;
    }
    if (free_cores != node->free_cores)
        return mni_error(MN_E_INTERNAL, "%s: %u cores are free, %u are booked so", node->host, free_cores,
                         node->free_cores);
    if (memory + node->free_memory != node->memory)
        return mni_error(MN_E_INTERNAL, "%s: its memory is granted twice", node->host);
    return 0;
}

/* What borrowers hold of a lender, against what it has lent. */
static int check_lending(const mni_core_t *core)
{
    mni_task_t *lender, *next_lender, *task, *next;
    HASH_ITER(hh, core->tasks, lender, next_lender)
    {
        uint32_t lent[MNI_MAX_CORES] = {0};
        HASH_ITER(hh, core->tasks, task, next)
        for (uint32_t k = 0; k < task->held_count; k++)
            if (task->held[k].lender == lender)
                lent[task->held[k].core] += task->held[k].share;
        for (uint32_t i = 0; i < lender->held_count; i++)
            lent[lender->held[i].core] -= lender->held[i].lent;
        for (uint32_t i = 0; i < MNI_MAX_CORES; i++)
            if (lent[i] != 0)
                return mni_error(MN_E_INTERNAL, "what task %llu has lent of core %u is booked wrongly",
                                 (unsigned long long)lender->id, i);
    }
    return 0;
}

static int check_jobs(const mni_core_t *core)
{
    const mni_job_record_t *job;
    uint64_t unfinished = 0, running = 0, tasks = 0;
    mni_task_t *task, *next;

    DL_FOREACH(core->newest, job)
    {
        bool ended = mn_status_terminal(job->job.status);
        bool runs = job->job.status == MN_RUNNING || job->job.status == MN_CANCELLING;
        unfinished += !ended;
        running += runs;
        if (runs != (job->running != NULL) || (job->running && job->running->job != job))
            return mni_error(MN_E_INTERNAL, "a job that is %s %s a task", mn_status_name(job->job.status),
                             job->running ? "has" : "lacks");
        if (!ended && job->job.lock && !job->hh_lock.tbl)
            return mni_error(MN_E_INTERNAL, "a job has lost its lock");
        if (job->job.status == MN_PENDING && !job->shape && !job->held_back && job->awaited == 0)
            return mni_error(MN_E_INTERNAL, "a pending job is in no queue");
    }
    HASH_ITER(hh, core->tasks, task, next)
    tasks += task->job != NULL;
    if (unfinished != core->unfinished || tasks != running)
        return mni_error(MN_E_INTERNAL, "%llu jobs are unfinished, %llu booked; %llu run in %llu tasks",
                         (unsigned long long)unfinished, (unsigned long long)core->unfinished,
                         (unsigned long long)running, (unsigned long long)tasks);
    return 0;
}

int mni_core_check(const mni_core_t *core)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < core->node_count; i++)
        rc = check_node(core, i);
    if (rc == 0)
        rc = check_lending(core);
    if (rc == 0)
        rc = check_jobs(core);
    return rc;
}
