/* SPDX-License-Identifier: MIT
 *
 * The core as a whole: made, told the declarations, drained, told the time, destroyed.
 */
#include "core/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mni_core_create(mni_core_t **core)
{
    mni_core_t *made = calloc(1, sizeof *made);

    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for the scheduler's core");
    mni_pool_init(&made->records, sizeof(mni_record_t));
    mni_pool_init(&made->grants, sizeof(mni_grant_t));
    made->ready.before = mni_ready_before;
    made->timers.before = mni_timer_before;
    made->drain_at = made->starve_at = made->over_at = MNI_NEVER;
    made->scratch = malloc(MNI_PIECES * sizeof *made->scratch);
    made->lent = malloc(MNI_MAX_CORES * sizeof *made->lent);
    made->lenders = malloc(MNI_LENDERS * sizeof *made->lenders);
    if (!made->scratch || !made->lent || !made->lenders || mni_index_init(&made->jobs) < 0 ||
        mni_table_init(&made->locks, mni_lock_hash) < 0 ||
        mni_table_init(&made->keys, mni_key_hash) < 0 ||
        mni_table_init(&made->demands, mni_demand_hash) < 0 ||
        mni_table_init(&made->shapes, mni_shape_hash) < 0) {
        mni_core_destroy(made);
        return mni_error(MN_E_NO_MEMORY, "no memory for the scheduler's core");
    }
    *core = made;
    return 0;
}

static void destroy_grants(mni_core_t *core)
{
    for (uint32_t i = 0; i < core->node_count; i++)
        for (uint32_t k = core->nodes[i]->grant_count; k-- > 0;) {
            mni_grant_t *grant = mni_node_grant(core, core->nodes[i], k);
            while (grant->demands) {
                mni_demand_t *demand = grant->demands;
                grant->demands = demand->next;
                free(demand);
            }
            mni_grant_free(core, grant);
        }
    while (core->driver) {
        mni_demand_t *demand = core->driver;
        core->driver = demand->next;
        free(demand);
    }
}

void mni_core_destroy(mni_core_t *core)
{
    mni_action_t action;

    if (!core)
        return;
    while (mni_core_next_action(core, &action))
        ;
    destroy_grants(core);
    for (mni_record_t *record = core->newest, *next; record; record = next) {
        next = record->older;
        mni_job_free(core, record);
    }
    for (size_t i = 0; core->shapes.buckets && i <= core->shapes.mask; i++)
        for (mni_link_t *link = core->shapes.buckets[i], *next; link; link = next) {
            next = link->next;
            free(MNI_CONTAINER(link, mni_shape_t, link));
        }
    for (uint32_t i = 0; i < core->node_count; i++)
        mni_node_fini(core->nodes[i]);
    mni_layouts_destroy(core);
    for (uint32_t i = 0; i < core->declared_room; i++)
        free(core->declared[i].name);
    mni_index_fini(&core->jobs);
    mni_table_fini(&core->locks);
    mni_table_fini(&core->keys);
    mni_pool_fini(&core->grants);
    mni_pool_fini(&core->records);
    mni_table_fini(&core->demands);
    mni_table_fini(&core->shapes);
    free(core->declared);
    free(core->nodes);
    free(core->workers);
    free(core->actions);
    free(core->scratch);
    free(core->lent);
    free(core->lenders);
    free(core);
}

size_t mni_core_mapped(const mni_core_t *core)
{
    size_t bytes = mni_pool_mapped(&core->records) + mni_pool_mapped(&core->grants) +
                   mni_index_mapped(&core->jobs);

    for (const mni_layout_t *layout = core->layouts; layout; layout = layout->next)
        bytes += mni_pool_mapped(&layout->nodes);
    return bytes;
}

int mni_core_declare(mni_core_t *core, uint32_t declaration, const char *name)
{
    char *copy;

    if (declaration >= MNI_MAX_DECLARATIONS || !name)
        return mni_error(MN_E_INVALID, "declaration %u has no name or is out of range",
                         declaration);
    if (declaration >= core->declared_room) {
        uint32_t room = declaration < 32 ? 64 : declaration * 2;
        mni_declared_t *declared = realloc(core->declared, room * sizeof *declared);
        if (!declared)
            return mni_error(MN_E_NO_MEMORY, "no memory for one more declaration");
        memset(declared + core->declared_room, 0, (room - core->declared_room) * sizeof *declared);
        core->declared = declared;
        core->declared_room = room;
    }
    copy = strdup(name);
    if (!copy)
        return mni_error(MN_E_NO_MEMORY, "no memory for one more declaration");
    free(core->declared[declaration].name);
    core->declared[declaration].name = copy;
    return 0;
}

const char *mni_core_declared(const mni_core_t *core, uint32_t declaration)
{
    return declaration < core->declared_room && core->declared[declaration].name
               ? core->declared[declaration].name
               : "?";
}

static int check_need(const char *name, const mni_need_t *need)
{
    if (need->millicores > MNI_WHOLE && need->millicores % MNI_WHOLE != 0)
        return mni_error(MN_E_INVALID, "%s asks for %g cores: more than one must be a whole number",
                         name, need->millicores / 1000.0);
    if (need->max_concurrency == 0)
        return mni_error(MN_E_INVALID, "%s may never run: its max_concurrency is 0", name);
    return 0;
}

/* The node to be named when none will do: the one that comes closest. */
static const mni_node_t *largest_node(const mni_core_t *core, uint32_t cores, uint32_t gpus)
{
    const mni_node_t *best = NULL;

    for (uint32_t i = 0; i < core->node_count; i++) {
        const mni_node_t *node = core->nodes[i];
        if (node->seats == 0)
            continue;
        if (best && gpus > 0 && node->gpus != best->gpus) {
            best = node->gpus > best->gpus ? node : best;
            continue;
        }
        bool enough = node->cores >= cores, best_enough = best && best->cores >= cores;
        if (!best || enough > best_enough ||
            (enough && best_enough && node->memory > best->memory) ||
            (!enough && !best_enough &&
             (node->cores > best->cores ||
              (node->cores == best->cores && node->memory > best->memory))))
            best = node;
    }
    return best;
}

int mni_core_possible(const mni_core_t *core, const char *name, const mni_need_t *need)
{
    uint32_t cores = (need->millicores + MNI_WHOLE - 1) / MNI_WHOLE;
    char asked[64], has[64];
    int rc = check_need(name, need);

    if (rc < 0)
        return rc;
    const mni_node_t *largest = core->largest; /* mostly that is enough */
    if (need->gpus > 0 ? mni_gpus_possible(core, need)
                       : (largest && largest->cores >= cores && largest->memory >= need->memory) ||
                             mni_node_first(core, MNI_BY_SIZE, cores, need->memory))
        return 0;
    const mni_node_t *node = largest_node(core, cores, need->gpus);
    mni_need_format(need->millicores, need->gpus, need->memory, asked, sizeof asked);
    if (!node)
        return mni_error(MN_E_IMPOSSIBLE, "%s asks for %s; there is no node with a worker", name,
                         asked);
    uint32_t gpus = need->gpus == 0 ? 0 : node->gpus == 0 ? MNI_NO_GPU : node->gpus;
    mni_need_format(node->cores * MNI_WHOLE, gpus, node->memory, has, sizeof has);
    return mni_error(MN_E_IMPOSSIBLE, "%s asks for %s; the largest node, %s, has %s", name, asked,
                     node->host, has);
}

/* Calls visit for each tree of grants. Nothing may be freed meanwhile. */
static void for_each_root(mni_core_t *core, void (*visit)(mni_core_t *, mni_grant_t *))
{
    for (uint32_t i = 0; i < core->node_count; i++)
        for (uint32_t k = core->nodes[i]->grant_count; k-- > 0;) {
            mni_grant_t *grant = mni_node_grant(core, core->nodes[i], k);
            if (!grant->finished && !grant->parent)
                visit(core, grant);
        }
}

static void interrupt(mni_core_t *core, mni_grant_t *root)
{
    mni_grants_stop(core, root, MN_E_INTERRUPTED);
    /* One that is cancelled keeps its grace; from now on there is no timeout, only the time of the
     * drain. */
    if (root->stop != MN_E_CANCELLED)
        mni_grant_deadline(core, root, MNI_NEVER);
}

static void kill_root(mni_core_t *core, mni_grant_t *root)
{
    mni_grants_kill(core, root,
                    root->stop == MN_E_CANCELLED ? MN_REASON_KILLED : MN_REASON_INTERRUPTED);
}

void mni_core_drain(mni_core_t *core, uint64_t now, double grace)
{
    uint64_t at;

    mni_core_enter(core, now);
    if (!core->draining) {
        core->draining = true;
        mni_reserve_drop(core);
        while (core->driver) {
            mni_action_refuse(core, core->driver->id, NULL, NULL, MN_E_INTERRUPTED,
                              "the runtime is stopping");
            mni_demand_end(core, core->driver);
        }
        for_each_root(core, interrupt);
    }
    at = mni_clock_after(core->now, grace);
    if (at < core->drain_at)
        core->drain_at = at;
    if (core->drain_at <= core->now) {
        core->drain_at = MNI_NEVER;
        for_each_root(core, kill_root);
    }
}

void mni_core_over_at(mni_core_t *core, uint64_t now, uint64_t at)
{
    mni_core_enter(core, now);
    core->over_at = at;
    core->over_after = at > now ? at - now : 0;
}

void mni_core_tick(mni_core_t *core, uint64_t now)
{
    mni_core_enter(core, now);
    while (core->timers.top) {
        mni_grant_t *grant = MNI_CONTAINER(core->timers.top, mni_grant_t, timer);
        if (grant->deadline > core->now)
            break;
        mni_grant_deadline(core, grant, MNI_NEVER);
        mni_grants_kill(core, grant,
                        grant->stop == 0                ? MN_REASON_TIMEOUT
                        : grant->stop == MN_E_CANCELLED ? MN_REASON_KILLED
                                                        : MN_REASON_INTERRUPTED);
    }
    if (core->drain_at <= core->now) {
        core->drain_at = MNI_NEVER;
        for_each_root(core, kill_root);
    }
    mni_reserve_check(core);
    mni_schedule(core);
}

uint64_t mni_core_next_time(const mni_core_t *core)
{
    uint64_t next = core->drain_at;

    if (core->timers.top && MNI_CONTAINER(core->timers.top, mni_grant_t, timer)->deadline < next)
        next = MNI_CONTAINER(core->timers.top, mni_grant_t, timer)->deadline;
    if (!core->draining && core->starve_at < next)
        next = core->starve_at;
    return next;
}

size_t mni_core_with_status(const mni_core_t *core, mn_status_t status)
{
    return core->statuses[status];
}

bool mni_core_draining(const mni_core_t *core)
{
    return core->draining;
}

bool mni_core_node_use(const mni_core_t *core, uint32_t index, mni_node_use_t *use)
{
    if (index >= core->node_count)
        return false;
    const mni_node_t *node = core->nodes[index];
    *use = (mni_node_use_t){.host = node->host,
                            .cores = node->cores,
                            .cores_free = node->free_cores,
                            .memory = node->memory,
                            .memory_used = node->memory_used,
                            .gpus = node->gpus,
                            .gpus_free = mni_gpus_free(node),
                            .workers = node->seats,
                            .topology = node->topology,
                            .rank = node->finder};
    for (uint32_t rank = 0; rank < core->worker_room; rank++)
        if (core->workers[rank].node == node)
            use->tasks += core->workers[rank].tasks;
    return true;
}
