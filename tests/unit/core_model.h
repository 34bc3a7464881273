/* SPDX-License-Identifier: MIT
 *
 * A model of what a core may do, fed with nothing but its actions: who runs where, on which cores and with how much
 * memory, and who waits for whom. It fails the test when a core or a byte is granted twice beyond lending, a GPU twice at all, a job
 * runs twice at once, an ended job has a task left, or a task is begun that nobody asked for.
 * Included by one test program, which drives the core with events and hands model_visit() its actions.
 */
#ifndef MNI_TESTS_CORE_MODEL_H
#define MNI_TESTS_CORE_MODEL_H

#include "core_world.h"

#define TASKS 4096
#define JOBS 512
#define NODES 6

typedef struct model_task {
    uint64_t id, parent, demand; /* parent 0: a root; demand: that it is a slot of */
    uint64_t behind;             /* the task right before it in its line; 0: it may run */
    mni_job_t *job;              /* at the root of its tree; NULL below the driver */
    bool own, alive, killed, deaf, stranger;
    bool round; /* at its begin a core came to it round a circle of waits */
    int stop;
    uint32_t node, rank, share; /* share: millicores on each of its cores */
    uint64_t memory, gpus;
    mni_cpus_t cpus;
    uint64_t opened; /* demand that it has open, 0: none */
    mni_job_t *awaits;
    uint32_t depth, group; /* group: trees that may have shared cores by waits */
} model_task_t;

typedef struct model_demand {
    uint64_t id, caller;
    mni_need_t need;
    uint32_t items, slots;
    bool open;
} model_demand_t;

typedef struct model_job {
    mni_job_t *job; /* NULL: forgotten */
    uint32_t running, group;
    bool terminal;
} model_job_t;

static uint64_t random_state;
static world_t *world;
static model_task_t tasks[TASKS];
static size_t task_count;
static model_demand_t demands[TASKS];
static size_t demand_count;
static model_job_t jobs[JOBS];
static size_t job_count;
static uint32_t node_count, node_cores[NODES], node_of[64], rank_count;
static uint64_t node_memory[NODES];
static uint32_t node_gpus[NODES];
static bool rank_alive[64];
static bool draining;
static uint32_t groups;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 20) % below);
}

static model_task_t *task_by_id(uint64_t id)
{
    for (size_t i = task_count; i-- > 0;)
        if (tasks[i].id == id)
            return &tasks[i];
    return NULL;
}

static model_demand_t *demand_by_id(uint64_t id)
{
    return id > 0 && id <= demand_count ? &demands[id - 1] : NULL;
}

static model_job_t *job_of(const mni_job_t *job)
{
    for (size_t i = 0; i < job_count; i++)
        if (jobs[i].job == job)
            return &jobs[i];
    fail_msg("an action names a job that nobody started, or that was forgotten");
    return NULL;
}

static void merge_groups(uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < task_count; i++)
        if (tasks[i].group == from)
            tasks[i].group = to;
    for (size_t i = 0; i < job_count; i++)
        if (jobs[i].group == from)
            jobs[i].group = to;
}

static bool is_waiting(const model_task_t *task)
{
    return task->alive && (task->opened || task->awaits);
}

/* --- what the core asks for ------------------------------------------------------------ */

/* The least of a core that a tree takes up: what its top has, or what its children have together;
 * a child whose core came round a circle of waits shares it with its sisters. */
static uint32_t claim_of(const model_task_t *task, uint32_t cpu)
{
    uint32_t below = 0, most = 0;
    uint32_t own = task->alive && !task->behind && mni_cpus_has(&task->cpus, cpu) ? task->share : 0;
    if (task->stranger)
        return 0;
    for (size_t i = 0; i < task_count; i++) {
        if (tasks[i].parent != task->id || tasks[i].node != task->node)
            continue;
        uint32_t claim = claim_of(&tasks[i], cpu);
        most = claim > most ? claim : most;
        if (!tasks[i].round)
            below += claim;
    }
    below = below > most ? below : most;
    return own > below ? own : below;
}

static const model_task_t *root_of(const model_task_t *task)
{
    const model_task_t *parent;
    while (task->parent && (parent = task_by_id(task->parent)))
        task = parent;
    return task;
}

static bool in_mixed_group(const model_task_t *root)
{
    for (size_t i = 0; i < task_count; i++)
        if (tasks[i].alive && tasks[i].group == root->group && root_of(&tasks[i]) != root)
            return true;
    return false;
}

static void show_core(uint32_t node, uint32_t cpu)
{
    for (size_t i = 0; i < task_count; i++)
        if (tasks[i].alive && tasks[i].node == node && mni_cpus_has(&tasks[i].cpus, cpu))
            printf("task %llu, parent %llu, group %u: %u, %s%s\n", (unsigned long long)tasks[i].id,
                   (unsigned long long)tasks[i].parent, tasks[i].group, tasks[i].share,
                   is_waiting(&tasks[i]) ? "waits" : "works",
                   tasks[i].stop || tasks[i].killed ? ", to stop" : "");
}

/* What is taken of a core at least. Trees that never waited for each other share nothing; of those
 * that did only the largest claim is counted. */
static uint32_t taken_of(uint32_t node, uint32_t cpu)
{
    uint32_t sum = 0, most = 0, mixed[JOBS * 8] = {0};
    for (size_t i = 0; i < task_count; i++) {
        if (tasks[i].parent != 0 || tasks[i].node != node)
            continue;
        uint32_t claim = claim_of(&tasks[i], cpu);
        most = claim > most ? claim : most;
        if (!in_mixed_group(&tasks[i]))
            sum += claim;
        else if (claim > mixed[tasks[i].group % (JOBS * 8)])
            mixed[tasks[i].group % (JOBS * 8)] = claim;
    }
    for (size_t i = 0; i < JOBS * 8; i++)
        sum += mixed[i];
    return sum > most ? sum : most;
}

static void check_memory(uint32_t node)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < task_count; i++)
        if (tasks[i].alive && !tasks[i].behind && tasks[i].node == node)
            sum += tasks[i].memory;
    if (sum > node_memory[node])
        fail_msg("memory of node %u is granted twice", node);
}

/* Not even to what it is lent cores by, or when the others wait. */
static void check_gpus(const model_task_t *task, uint32_t wanted)
{
    assert_int_equal(__builtin_popcountll(task->gpus), wanted);
    assert_true(wanted == 0 || 64 - __builtin_clzll(task->gpus) <= (int)node_gpus[task->node]);
    for (size_t i = 0; i < task_count; i++)
        if (tasks[i].alive && !tasks[i].behind && &tasks[i] != task &&
            tasks[i].node == task->node && (tasks[i].gpus & task->gpus))
            fail_msg("a GPU of node %u is granted twice", task->node);
}

static bool all_others_wait(const model_task_t *task)
{
    for (size_t i = 0; i < task_count; i++)
        if (tasks[i].alive && &tasks[i] != task && !is_waiting(&tasks[i]))
            return false;
    return true;
}

/* A job that is waited for below a stranger has its cores from there. */
static bool follows_stranger(const mni_job_t *job)
{
    for (size_t i = 0; i < task_count; i++)
        for (const model_task_t *at = tasks[i].alive && tasks[i].awaits == job ? &tasks[i] : NULL;
             at; at = at->parent ? task_by_id(at->parent) : NULL)
            if (at->stranger)
                return true;
    return false;
}

/* A tree waits for the job of this one, or for one that does, and lends it a core that it has from
 * there: the lenders are in another tree of the group, hold the core, and wait. */
static bool comes_round(const model_task_t *task, uint32_t cpu)
{
    for (size_t i = 0; i < task_count; i++)
        if (is_waiting(&tasks[i]) && tasks[i].node == task->node && tasks[i].group == task->group &&
            mni_cpus_has(&tasks[i].cpus, cpu) && root_of(&tasks[i]) != root_of(task))
            return true;
    return false;
}

/* When all others wait they lend to whoever can go on: such a stranger is not counted, nor what is
 * below it. */
static void check_cores(model_task_t *task)
{
    task->stranger = task->own && follows_stranger(task->job);
    for (uint32_t cpu = 0; cpu < MNI_MAX_CORES; cpu++) {
        if (!mni_cpus_has(&task->cpus, cpu))
            continue;
        assert_true(cpu < node_cores[task->node]);
        task->round = task->round || (task->parent && comes_round(task, cpu));
        if (taken_of(task->node, cpu) > 1000 && all_others_wait(task))
            task->stranger = true;
        if (taken_of(task->node, cpu) > 1000) {
            show_core(task->node, cpu);
            fail_msg("core %u of node %u is granted twice", cpu, task->node);
        }
    }
}

/* It is to have the place of what it follows, when that has ended. */
static void check_follower(model_task_t *task, uint64_t behind)
{
    const model_task_t *before = task_by_id(behind);
    assert_true(before && before->alive && before->own && !before->demand);
    assert_true(task->own && task->rank == before->rank && task->node == before->node);
    assert_true(task->share == before->share && task->memory == before->memory &&
                task->gpus == before->gpus);
    assert_memory_equal(&task->cpus, &before->cpus, sizeof task->cpus);
    assert_int_equal(task->job->declaration, before->job->declaration);
    assert_true(isinf(task->job->need.timeout));
    for (size_t i = 0; i < task_count; i++) /* a line, not a tree */
        assert_false(tasks[i].alive && &tasks[i] != task && tasks[i].behind == behind);
    task->behind = behind;
}

static void on_begin(const mni_action_t *action)
{
    const mni_need_t *wanted;
    assert_true(task_count < TASKS);
    assert_null(task_by_id(action->task));
    model_task_t *task = &tasks[task_count++];
    *task = (model_task_t){
        .id = action->task, .alive = true, .node = action->node, .rank = action->rank};
    task->cpus = action->cpus;
    task->deaf = draw(10) == 0;
    if (action->kind == MNI_RUN) {
        model_job_t *job = job_of(action->job);
        assert_int_equal(job->running, 0);
        job->running++;
        task->job = action->job;
        task->own = true;
        task->group = job->group;
        wanted = &action->job->need;
        assert_true(action->job->attempts > 0);
    } else {
        model_demand_t *of = demand_by_id(action->demand);
        model_task_t *caller = of->caller ? task_by_id(of->caller) : NULL;
        assert_true(of->open);
        of->slots++;
        task->demand = of->id;
        task->parent = of->caller;
        task->group = caller ? caller->group : ++groups + JOBS;
        task->job = caller ? caller->job : NULL;
        task->depth = caller ? caller->depth + 1 : 1;
        wanted = &of->need;
        assert_true(!caller ||
                    (caller->alive && !caller->stop && !caller->killed && is_waiting(caller)));
    }
    assert_false(draining);
    task->share = wanted->millicores < 1000 ? wanted->millicores : 1000;
    task->memory = wanted->memory;
    task->gpus = action->gpus;
    assert_int_equal(mni_cpus_count(&task->cpus), (wanted->millicores + 999) / 1000);
    assert_true(action->rank < rank_count && rank_alive[action->rank] &&
                node_of[action->rank] == action->node);
    if (action->behind) {
        check_follower(task, action->behind);
        return;
    }
    check_cores(task);
    check_memory(task->node);
    check_gpus(task, wanted->gpus);
}

/* A task of a line is gone. The one behind it has its cores now, if it was the head; where what was
 * lent of them is still in use, nothing can be said of it any more. */
static void close_ranks(const model_task_t *gone)
{
    for (size_t i = 0; i < task_count; i++) {
        if (!tasks[i].alive || tasks[i].behind != gone->id)
            continue;
        tasks[i].behind = gone->behind;
        for (uint32_t cpu = 0; !gone->behind && cpu < node_cores[tasks[i].node]; cpu++)
            if (mni_cpus_has(&tasks[i].cpus, cpu) && taken_of(tasks[i].node, cpu) > 1000)
                tasks[i].stranger = true;
        return;
    }
}

static void forget_waits(const mni_job_t *job)
{
    for (size_t i = 0; i < task_count; i++)
        if (tasks[i].awaits == job)
            tasks[i].awaits = NULL;
}

static void on_changed(mni_job_t *job)
{
    model_job_t *known = job_of(job);
    assert_false(known->terminal);
    if (mn_status_terminal(job->status)) {
        known->terminal = true;
        assert_int_equal(known->running, 0);
        for (size_t i = 0; i < task_count; i++) /* its processes are gone, to any depth */
            assert_false(tasks[i].alive && tasks[i].job == job);
        forget_waits(job);
    }
}

static void on_refuse(const mni_action_t *action, const char *error)
{
    assert_true(error && strlen(error) > 10);
    if (action->demand != 0) {
        model_demand_t *of = demand_by_id(action->demand);
        model_task_t *caller = of->caller ? task_by_id(of->caller) : NULL;
        assert_true(of->open);
        of->open = false;
        if (caller && caller->opened == of->id)
            caller->opened = 0;
    } else {
        task_by_id(action->task)->awaits = NULL;
    }
}

static void model_visit(const mni_action_t *action)
{
    model_task_t *task = task_by_id(action->task);
    switch (action->kind) {
    case MNI_RUN:
    case MNI_GRANT:
        on_begin(action);
        break;
    case MNI_STOP:
        assert_true(task && task->alive && action->rank == task->rank);
        task->stop = action->code;
        break;
    case MNI_KILL:
        assert_true(task && task->alive && !task->killed && action->rank == task->rank);
        task->killed = true;
        break;
    case MNI_REFUSE:
        on_refuse(action, action->error);
        break;
    case MNI_CHANGED:
        on_changed(action->job);
        break;
    case MNI_FORGET:
        assert_true(job_of(action->job)->terminal);
        job_of(action->job)->job = NULL;
        break;
    }
}

#endif
