/* SPDX-License-Identifier: MIT
 *
 * See core_simulation.h.
 */
#include "core_simulation.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CORES 64
#define GIB (UINT64_C(1) << 30)
#define NODE_MEMORY (256 * GIB)
#define MEAN_RUN 60e9    /* nanoseconds that a task runs, on average */
#define URGENT_EVERY 256 /* placements */

/* Fractions, single cores, and up to whole nodes; some ask for memory. Two small ones are urgent, and
 * one is to come last. */
static const struct {
    uint32_t millicores;
    uint64_t memory;
    int32_t priority;
} shapes[SIMULATION_SHAPES] = {
    {100, 0, 0},          {250, GIB / 2, 0},    {500, GIB, 0},         {500, 0, 1},
    {1000, 0, 0},         {1000, GIB, 0},       {1000, 2 * GIB, 1},    {1000, 4 * GIB, 0},
    {2000, 0, 0},         {2000, 8 * GIB, -1},  {3000, 6 * GIB, 0},    {4000, 0, 0},
    {4000, 16 * GIB, 0},  {6000, 12 * GIB, 0},  {8000, 0, 0},          {8000, 32 * GIB, 0},
    {16000, 32 * GIB, 0}, {24000, 16 * GIB, 0}, {32000, 128 * GIB, 0}, {64000, 64 * GIB, 0},
};

/* A task that runs. */
typedef struct task {
    uint64_t id;
    mni_job_t *job;
    uint64_t cpus; /* a bit for each */
    uint32_t node;
    uint32_t shape;
} task_t;

typedef enum life { NEVER, PENDING, RUNNING, ENDED, FORGOTTEN } life_t;

struct simulation {
    simulation_options_t options;
    mni_core_t *core;
    uint64_t now, random, drawn; /* drawn: says which task ends next */
    simulation_counts_t counts;
    uint64_t millicores;                                          /* of the tasks that run */
    double worked;                                                /* millicores times nanoseconds */
    size_t pending[SIMULATION_SHAPES], wanted[SIMULATION_SHAPES]; /* of each shape */
    uint64_t urgent_at; /* counts.placements at which the next urgent job is started */
    uint32_t urgent;    /* its shape, or one before it */
    task_t *tasks;
    size_t task_room;
    char error[256];
    /* What is watched with `check`. */
    uint16_t *granted;    /* millicores of each core of each node */
    uint64_t *memory;     /* bytes of each node */
    unsigned char *lives; /* a life_t for each job, by the order of the starts */
    size_t life_room;
    uint64_t served[SIMULATION_SHAPES]; /* counts.placements when it last got something */
    uint64_t longest;
    uint32_t longest_shape;
};

static bool wrong(simulation_t *s, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(s->error, sizeof s->error, format, arguments);
    va_end(arguments);
    return false;
}

static uint64_t draw(simulation_t *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random * UINT64_C(0x2545f4914f6cdd1d);
}

/* An id that looks random, as UUIDs do, and from which the number of the job can be read. */
static mn_id_t id_of(uint64_t number)
{
    mn_id_t id;
    uint64_t mixed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

    memcpy(id.bytes, &mixed, sizeof mixed);
    memcpy(id.bytes + sizeof mixed, &number, sizeof number);
    return id;
}

static uint64_t number_of(const mni_job_t *job)
{
    uint64_t number;

    memcpy(&number, job->id.bytes + sizeof number, sizeof number);
    return number;
}

/* --- the watch ------------------------------------------------------------------------- */

static bool change_life(simulation_t *s, const mni_job_t *job, life_t from, life_t to)
{
    uint64_t number = number_of(job);

    if (!s->options.check)
        return true;
    if (number >= s->counts.starts + 1 || s->lives[number] != from)
        return wrong(s, "job %llu goes to %d of its life from %d", (unsigned long long)number, to,
                     s->lives[number]);
    s->lives[number] = (unsigned char)to;
    return true;
}

static bool grow_lives(simulation_t *s)
{
    size_t room = s->life_room ? s->life_room * 2 : 1024;
    unsigned char *lives;

    if (!s->options.check || s->counts.starts < s->life_room)
        return true;
    lives = realloc(s->lives, room);
    if (!lives)
        return wrong(s, "no memory for the watch");
    memset(lives + s->life_room, NEVER, room - s->life_room);
    s->lives = lives;
    s->life_room = room;
    return true;
}

/* Books a task's cores and memory, or with `back` gives them back. */
static bool book(simulation_t *s, const task_t *task, bool back)
{
    uint32_t millicores = shapes[task->shape].millicores;
    uint16_t share = (uint16_t)(millicores < 1000 ? millicores : 1000);
    uint64_t memory = shapes[task->shape].memory;
    uint16_t *granted = s->granted + (size_t)task->node * CORES;

    for (uint64_t bits = task->cpus; bits; bits &= bits - 1) {
        uint16_t *core = &granted[__builtin_ctzll(bits)];
        *core = (uint16_t)(back ? *core - share : *core + share);
        if (*core > 1000)
            return wrong(s, "a core of node %u is granted twice", task->node);
    }
    s->memory[task->node] += back ? -memory : memory;
    if (s->memory[task->node] > NODE_MEMORY)
        return wrong(s, "memory of node %u is granted twice", task->node);
    return true;
}

static void note_wait(simulation_t *s, uint32_t shape)
{
    uint64_t wait = s->counts.placements - s->served[shape];

    /* What is to come last may wait for ever while others keep coming. */
    if (wait > s->longest && shapes[shape].priority >= 0) {
        s->longest = wait;
        s->longest_shape = shape;
    }
}

static bool watch_begin(simulation_t *s, const mni_action_t *action, const task_t *task)
{
    uint32_t cores = (shapes[task->shape].millicores + 999) / 1000;

    if (!s->options.check)
        return true;
    if (action->node >= s->options.nodes || action->rank != action->node ||
        mni_cpus_count(&action->cpus) != cores ||
        (uint32_t)__builtin_popcountll(task->cpus) != cores)
        return wrong(s, "task %llu is on cores, a node or a rank that it cannot have",
                     (unsigned long long)task->id);
    note_wait(s, task->shape);
    s->served[task->shape] = s->counts.placements;
    return change_life(s, task->job, PENDING, RUNNING) && book(s, task, false);
}

/* --- what the core decides ------------------------------------------------------------- */

static bool on_run(simulation_t *s, const mni_action_t *action)
{
    if (s->counts.running == s->task_room) {
        size_t room = s->task_room ? s->task_room * 2 : 1024;
        task_t *tasks = realloc(s->tasks, room * sizeof *tasks);
        if (!tasks)
            return wrong(s, "no memory for one more task");
        s->tasks = tasks;
        s->task_room = room;
    }
    task_t *task = &s->tasks[s->counts.running++];
    *task = (task_t){.id = action->task,
                     .job = action->job,
                     .cpus = action->cpus.bits[0],
                     .node = action->node,
                     .shape = action->job->declaration};
    s->millicores += shapes[task->shape].millicores;
    s->counts.placements++;
    s->counts.pending--;
    s->pending[task->shape]--;
    return watch_begin(s, action, task);
}

static bool on_changed(simulation_t *s, mni_job_t *job)
{
    if (job->status == MN_RUNNING) /* MNI_RUN tells more */
        return true;
    if (job->status != MN_SUCCEEDED)
        return wrong(s, "a job that succeeded is %s", mn_status_name(job->status));
    s->counts.removals++;
    if (!change_life(s, job, RUNNING, ENDED))
        return false;
    return mni_core_remove(s->core, s->now, job) == 0 || wrong(s, "%s", mn_error_message());
}

static bool take_actions(simulation_t *s)
{
    mni_action_t action;
    bool good = true;

    while (good && mni_core_next_action(s->core, &action))
        switch (action.kind) {
        case MNI_RUN:
            good = on_run(s, &action);
            break;
        case MNI_CHANGED:
            good = on_changed(s, action.job);
            break;
        case MNI_FORGET:
            good = change_life(s, action.job, ENDED, FORGOTTEN);
            free(action.job->user);
            break;
        default:
            good = wrong(s, "the core asks for action %d", action.kind);
        }
    return good;
}

/* --- what happens to the core ---------------------------------------------------------- */

static bool start(simulation_t *s, uint32_t shape)
{
    mni_start_t start = {.id = id_of(s->counts.starts),
                         .declaration = shape,
                         .need = {.millicores = shapes[shape].millicores,
                                  .memory = shapes[shape].memory,
                                  .priority = shapes[shape].priority,
                                  .max_concurrency = UINT32_MAX,
                                  .max_lost = 3,
                                  .timeout = INFINITY,
                                  .grace = 300},
                         .user = malloc(SIMULATION_DATA)};
    mni_job_t *job;

    if (!start.user || !grow_lives(s))
        return wrong(s, "no memory for one more job");
    memset(start.user, (int)shape, SIMULATION_DATA);
    if (mni_core_start(s->core, s->now, &start, &job) != 0)
        return wrong(s, "%s", mn_error_message());
    if (!change_life(s, job, NEVER, PENDING))
        return false;
    if (s->pending[shape] == 0)
        s->served[shape] = s->counts.placements;
    s->counts.starts++;
    s->counts.pending++;
    s->pending[shape]++;
    return take_actions(s);
}

static task_t *task_at(const simulation_t *s, uint64_t drawn)
{
    return &s->tasks[(drawn >> 32) * s->counts.running >> 32];
}

/* One of those that run, each as likely as the others, ends after the time that this takes. */
static bool end_one(simulation_t *s)
{
    mni_outcome_t outcome = {.reason = MN_REASON_RETURNED};
    task_t *task = task_at(s, s->drawn), ended = *task;

    uint64_t passed = (uint64_t)(MEAN_RUN / (double)s->counts.running);

    s->now += passed;
    s->worked += (double)s->millicores * (double)passed;
    s->millicores -= shapes[ended.shape].millicores;
    *task = s->tasks[--s->counts.running];
    /* A real end comes with a message that says which task it was; so the next one is looked for in
     * the simulation's own memory meanwhile. */
    s->drawn = draw(s);
    task = task_at(s, s->drawn);
    __builtin_prefetch(task);
    __builtin_prefetch(&task->shape); /* it may begin in one cache line and end in another */
    s->counts.ends++;
    if (s->options.check && !book(s, &ended, true))
        return false;
    mni_core_task_ended(s->core, s->now, ended.id, &outcome);
    if (mni_core_next_time(s->core) <= s->now)
        mni_core_tick(s->core, s->now);
    return take_actions(s);
}

bool simulation_fill(simulation_t *s, size_t pending)
{
    uint32_t patient = 0, left;

    for (uint32_t shape = 0; shape < SIMULATION_SHAPES; shape++)
        patient += shapes[shape].priority <= 0;
    for (uint32_t shape = 0, number = 0; shape < SIMULATION_SHAPES; shape++)
        if (shapes[shape].priority <= 0)
            s->wanted[shape] = pending / patient + (number++ < pending % patient);
    /* A job of each shape in turn, so that the nodes are full of all of them. */
    do {
        left = 0;
        for (uint32_t shape = 0; shape < SIMULATION_SHAPES; shape++) {
            if (s->pending[shape] >= s->wanted[shape])
                continue;
            if (!start(s, shape))
                return false;
            left++;
        }
    } while (left > 0);
    s->urgent_at = s->counts.placements;
    return true;
}

static bool start_urgent(simulation_t *s)
{
    s->urgent_at += URGENT_EVERY;
    do
        s->urgent = (s->urgent + 1) % SIMULATION_SHAPES;
    while (shapes[s->urgent].priority <= 0);
    return start(s, s->urgent);
}

bool simulation_run(simulation_t *s, uint64_t placements)
{
    uint64_t until = s->counts.placements + placements;

    while (s->counts.placements < until) {
        if (!end_one(s))
            return false;
        for (uint32_t shape = 0; shape < SIMULATION_SHAPES; shape++)
            while (s->pending[shape] < s->wanted[shape])
                if (!start(s, shape))
                    return false;
        while (s->counts.placements >= s->urgent_at)
            if (!start_urgent(s))
                return false;
    }
    return true;
}

bool simulation_finish(simulation_t *s)
{
    size_t alive, unfinished;

    while (s->counts.running > 0)
        if (!end_one(s))
            return false;
    mni_core_count(s->core, &alive, &unfinished);
    if (s->counts.pending > 0 || alive > 0 || unfinished > 0)
        return wrong(
            s,
            "%zu jobs are pending, %zu tasks live and %zu jobs are not finished when all has ended",
            s->counts.pending, alive, unfinished);
    for (size_t i = 0; s->options.check && i < s->counts.starts; i++)
        if (s->lives[i] != FORGOTTEN)
            return wrong(s, "job %zu is lost", i);
    for (size_t i = 0; s->options.check && i < (size_t)s->options.nodes * CORES; i++)
        if (s->granted[i] != 0)
            return wrong(s, "a core of node %zu is left over", i / CORES);
    return true;
}

bool simulation_check_core(simulation_t *s)
{
    return mni_core_check(s->core) == 0 || wrong(s, "%s", mn_error_message());
}

/* --- made and told --------------------------------------------------------------------- */

/* Two packages, each two NUMA nodes, each two L3s of eight cores. */
static bool add_nodes(simulation_t *s)
{
    mni_core_place_t place[CORES];
    char host[16];
    uint32_t node;

    for (uint16_t i = 0; i < CORES; i++)
        place[i] = (mni_core_place_t){.l3 = i / 8, .numa = i / 16, .package = i / 32};
    for (uint32_t i = 0; i < s->options.nodes; i++) {
        mni_node_offer_t offer = {
            .host = host, .cores = CORES, .place = place, .memory = NODE_MEMORY};
        snprintf(host, sizeof host, "n%u", i);
        if (mni_core_node_add(s->core, &offer, &node) < 0 ||
            mni_core_worker_add(s->core, i, node) < 0)
            return false;
    }
    return true;
}

simulation_t *simulation_create(const simulation_options_t *options)
{
    simulation_t *s = calloc(1, sizeof *s);
    char name[16];

    if (!s)
        return NULL;
    s->options = *options;
    s->random = options->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    s->now = 1;
    if (options->check) {
        s->granted = calloc((size_t)options->nodes * CORES, sizeof *s->granted);
        s->memory = calloc(options->nodes, sizeof *s->memory);
    }
    if ((options->check && (!s->granted || !s->memory)) || mni_core_create(&s->core) < 0)
        goto no_memory;
    for (uint32_t shape = 0; shape < SIMULATION_SHAPES; shape++) {
        snprintf(name, sizeof name, "shape%u", shape);
        if (mni_core_declare(s->core, shape, name) < 0)
            goto no_memory;
    }
    if (!add_nodes(s))
        goto no_memory;
    return s;

no_memory:
    simulation_destroy(s);
    return NULL;
}

void simulation_destroy(simulation_t *s)
{
    mni_job_t *job = NULL;

    if (!s)
        return;
    while (s->core && (job = mni_core_older(s->core, job)))
        free(job->user);
    mni_core_destroy(s->core);
    free(s->tasks);
    free(s->granted);
    free(s->memory);
    free(s->lives);
    free(s);
}

size_t simulation_mapped(const simulation_t *s)
{
    return mni_core_mapped(s->core);
}

const char *simulation_error(const simulation_t *s)
{
    return s->error;
}

void simulation_count(const simulation_t *s, simulation_counts_t *counts)
{
    *counts = s->counts;
    counts->cores = (double)s->millicores / 1000;
    counts->worked = s->worked / 1e12;
    counts->offered = (double)s->options.nodes * CORES * ((double)s->now / 1e9);
}

uint64_t simulation_longest_wait(simulation_t *s, double *cores)
{
    for (uint32_t shape = 0; shape < SIMULATION_SHAPES; shape++)
        if (s->pending[shape] > 0) /* it may be waiting still */
            note_wait(s, shape);
    *cores = shapes[s->longest_shape].millicores / 1000.0;
    return s->longest;
}
