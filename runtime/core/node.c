/* SPDX-License-Identifier: MIT
 *
 * Nodes, their workers, what they have free, and the trees in which they are found by it.
 *
 * Each tree is ordered by (room, memory free, index), so that its first that has enough of both is
 * the node with least room that has. Where cores lie in groups there is a tree for each level of them: the room
 * is that of the node's roomiest group, and before the memory come all cores that are free. A node's spots are
 * brought up to date only when somebody looks (mni_node_index()): taking and giving back the same thing costs nothing.
 */
#include "core/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_WORKER UINT32_MAX

/* --- trees ----------------------------------------------------------------------------- */

static mni_node_t *last_node(const mni_core_t *core, unsigned tree)
{
    mni_leaf_t *leaf = core->tree[tree].top;

    while (leaf && leaf->right)
        leaf = leaf->right;
    return leaf ? core->nodes[leaf->number] : NULL;
}

static void spot_move(mni_core_t *core, mni_leaf_t *leaf, unsigned tree, bool in, uint64_t order,
                      uint64_t memory)
{
    mni_tree_remove(&core->tree[tree], leaf);
    leaf->has = (uint32_t)(order >> 32);
    leaf->order[0] = order;
    leaf->order[1] = leaf->other_has = memory;
    if (in)
        mni_tree_insert(&core->tree[tree], leaf);
    if (tree == MNI_BY_SIZE)
        core->largest = last_node(core, tree);
}

/* Puts a spot where it belongs, or takes it out. `next`: what counts between room and memory. */
static inline void spot_place(mni_core_t *core, mni_node_t *node, unsigned tree, bool in,
                              uint32_t room, uint32_t next, uint64_t memory)
{
    mni_leaf_t *leaf = &node->spot[tree];
    uint64_t order = (uint64_t)room << 32 | next;

    if (in == (leaf->weight != 0) &&
        (!in || (leaf->order[0] == order && leaf->other_has == memory)))
        return;
    spot_move(core, leaf, tree, in, order, memory);
}

static void make_stale(mni_core_t *core, mni_node_t *node)
{
    if (node->stale)
        return;
    node->stale = true;
    node->stale_next = core->stale;
    core->stale = node;
}

static uint32_t share_room(const mni_node_t *node)
{
    uint32_t least = MNI_WHOLE;

    for (uint32_t word = 0; word < node->layout->words; word++)
        for (uint64_t bits = node->shared[word]; bits; bits &= bits - 1) {
            uint32_t cpu = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (node->used[cpu] < least)
                least = node->used[cpu];
        }
    return MNI_WHOLE - least;
}

void mni_node_all_stale(mni_core_t *core)
{
    for (uint32_t i = 0; i < core->node_count; i++)
        make_stale(core, core->nodes[i]);
}

void mni_node_coreless(mni_core_t *core)
{
    if (core->coreless)
        return;
    core->coreless = true;
    mni_node_all_stale(core);
}

/* Its places by the room within one group. */
static void index_groups(mni_core_t *core, mni_node_t *node, bool open, uint64_t memory)
{
    uint32_t all = node->free_cores, room = 0;

    open = open && all > 0;
    if (!open && !node->in_groups)
        return; /* most, on a full cluster */
    node->in_groups = open;
    for (unsigned level = 0; level < MNI_LEVELS; level++) {
        if (!core->grouped[level])
            continue;
        if (open && room < all)
            room = mni_layout_most(node->layout, node->free, level, all);
        spot_place(core, node, MNI_BY_GROUP + level, open, room, all, memory);
    }
}

void mni_node_index(mni_core_t *core)
{
    mni_node_t *node;

    while ((node = core->stale)) {
        core->stale = node->stale_next;
        node->stale = false;
        bool usable = node->seats > 0, open = usable && node != core->reserved;
        uint64_t memory = mni_node_memory_free(node);
        /* On a full cluster most have no core free, and are looked for by nobody who needs one. */
        spot_place(core, node, MNI_BY_CORES, open && (node->free_cores > 0 || core->coreless),
                   node->free_cores, 0, memory);
        spot_place(core, node, MNI_BY_SHARE, open && node->share_room > 0, node->share_room, 0,
                   memory);
        spot_place(core, node, MNI_BY_SIZE, usable, node->cores, 0, node->memory);
        index_groups(core, node, open, memory);
    }
}

mni_node_t *mni_node_first(const mni_core_t *core, unsigned tree, uint32_t room, uint64_t memory)
{
    const mni_leaf_t *leaf = mni_tree_first(&core->tree[tree], room, memory);
    return leaf ? core->nodes[leaf->number] : NULL;
}

mni_node_t *mni_node_compact(const mni_core_t *core, uint32_t cores, uint64_t memory)
{
    mni_node_t *node = NULL;

    for (unsigned level = 0; cores > 0 && !node && level < MNI_LEVELS; level++)
        if (core->grouped[level])
            node = mni_node_first(core, MNI_BY_GROUP + level, cores, memory);
    return node ? node : mni_node_first(core, MNI_BY_CORES, cores, memory);
}

/* --- what is taken and given back ------------------------------------------------------ */

static void set_used(mni_core_t *core, mni_node_t *node, uint32_t cpu, uint32_t used)
{
    uint64_t bit = UINT64_C(1) << (cpu % 64);
    bool was_free = node->used[cpu] == 0, was_shared = node->shared[cpu / 64] & bit;
    bool is_shared = used > 0 && used < MNI_WHOLE;
    uint32_t room = MNI_WHOLE - used;
    bool had_most = was_shared && MNI_WHOLE - node->used[cpu] == node->share_room;

    node->used[cpu] = (uint16_t)used;
    if (was_free != (used == 0)) {
        node->free[cpu / 64] ^= bit;
        node->free_cores += used == 0 ? 1u : -1u;
    }
    if (was_shared != is_shared)
        node->shared[cpu / 64] ^= bit;
    if (is_shared && room >= node->share_room)
        node->share_room = room;
    else if (had_most)
        node->share_room = share_room(node);
    make_stale(core, node);
}

/* The same for most cores: one that gets used wholly, or free, at once. */
static void set_whole(mni_core_t *core, mni_node_t *node, uint32_t cpu, uint32_t used)
{
    node->used[cpu] = (uint16_t)used;
    node->free[cpu / 64] ^= UINT64_C(1) << (cpu % 64);
    node->free_cores += used == 0 ? 1u : -1u;
    make_stale(core, node);
}

void mni_node_take(mni_core_t *core, mni_node_t *node, uint32_t cpu, uint32_t mc)
{
    if (mc == MNI_WHOLE)
        set_whole(core, node, cpu, MNI_WHOLE);
    else
        set_used(core, node, cpu, node->used[cpu] + mc);
}

void mni_node_give(mni_core_t *core, mni_node_t *node, uint32_t cpu, uint32_t mc)
{
    if (mc == MNI_WHOLE)
        set_whole(core, node, cpu, 0);
    else
        set_used(core, node, cpu, node->used[cpu] - mc);
    mni_node_freed(core, node);
}

void mni_node_memory(mni_core_t *core, mni_node_t *node, uint64_t taken, uint64_t given)
{
    node->memory_used = node->memory_used + taken - given;
    make_stale(core, node);
    if (given > 0)
        mni_node_freed(core, node);
}

void mni_node_freed(mni_core_t *core, mni_node_t *node)
{
    make_stale(core, node);
    if (node->freed)
        return;
    node->freed = true;
    node->freed_next = NULL;
    if (core->freed_last)
        core->freed_last->freed_next = node;
    else
        core->freed = node;
    core->freed_last = node;
}

/* --- adding ---------------------------------------------------------------------------- */

void mni_node_fini(mni_node_t *node)
{
    if (node->grants != node->some)
        free(node->grants);
    free(node->host);
    free(node->topology);
    free(node->gpu_place);
}

int mni_core_node_add(mni_core_t *core, const mni_node_offer_t *offer, uint32_t *index)
{
    mni_layout_t *layout;
    mni_node_t *node, **nodes;
    uint32_t number;
    char *host = NULL, *topology = NULL;

    if (!offer || !offer->host || offer->cores > MNI_MAX_CORES || offer->memory > INT64_MAX ||
        offer->gpus > MNI_MAX_GPUS)
        return mni_error(
            MN_E_INVALID,
            "a node must have a name, at most %d cores, %d GPUs and less than 8 EiB of memory",
            MNI_MAX_CORES, MNI_MAX_GPUS);
    if (core->node_count == core->node_room) {
        uint32_t room = core->node_room ? core->node_room * 2 : 16;
        nodes = realloc(core->nodes, room * sizeof(mni_node_t *));
        if (!nodes)
            goto no_memory;
        core->nodes = nodes;
        core->node_room = room;
    }
    size_t words = (offer->cores + 63) / 64;
    if (!(host = strdup(offer->host)) ||
        !(topology = strdup(offer->topology ? offer->topology : "")) ||
        !(layout = mni_layout_get(core, offer)) || !(node = mni_pool_take(&layout->nodes, &number)))
        goto no_memory;
    if (!mni_gpus_add(core, node, offer)) {
        mni_pool_give(&layout->nodes, node, number);
        goto no_memory;
    }
    node->host = host;
    node->topology = topology;
    node->finder = offer->rank;
    node->layout = layout;
    node->grants = node->some;
    node->grant_room = MNI_SOME;
    node->free = node->sets;
    node->shared = node->free + words;
    node->used = (uint16_t *)(node->shared + words);
    node->worker = NO_WORKER;
    for (uint32_t cpu = 0; cpu < offer->cores; cpu++)
        node->free[cpu / 64] |= UINT64_C(1) << (cpu % 64);
    node->cores = node->free_cores = offer->cores;
    node->memory = offer->memory;
    node->index = core->node_count;
    for (unsigned tree = 0; tree < MNI_TREES; tree++)
        node->spot[tree].number = node->index;
    core->nodes[core->node_count++] = node;
    *index = node->index;
    return 0;

no_memory:
    free(host);
    free(topology);
    return mni_error(MN_E_NO_MEMORY, "no memory for one more node");
}

bool mni_node_could_have(const mni_node_t *node, const mni_shape_t *shape)
{
    uint32_t cores = (shape->millicores + MNI_WHOLE - 1) / MNI_WHOLE;
    return node->seats > 0 && node->cores >= cores && node->memory >= shape->memory &&
           node->gpus >= shape->gpus;
}

/* Whether it is emptier than another: GPUs first for what asks for some, then cores, then memory. */
static bool is_emptier(const mni_node_t *node, const mni_node_t *other, const mni_shape_t *shape)
{
    if (shape->gpus > 0 && mni_gpus_free(node) != mni_gpus_free(other))
        return mni_gpus_free(node) > mni_gpus_free(other);
    if (node->free_cores != other->free_cores)
        return node->free_cores > other->free_cores;
    return mni_node_memory_free(node) > mni_node_memory_free(other);
}

mni_node_t *mni_node_emptiest(const mni_core_t *core, const mni_shape_t *shape)
{
    mni_node_t *best = NULL;

    for (uint32_t i = 0; i < core->node_count; i++) {
        mni_node_t *node = core->nodes[i];
        if (mni_node_could_have(node, shape) && (!best || is_emptier(node, best, shape)))
            best = node;
    }
    return best;
}

bool mni_node_reserve(mni_node_t *node)
{
    bool own = node->grants != node->some;
    uint32_t room = node->grant_room * 2;

    if (node->grant_count < node->grant_room)
        return true;
    uint32_t *grants = realloc(own ? node->grants : NULL, room * sizeof *grants);
    if (!grants)
        return false;
    if (!own)
        memcpy(grants, node->some, sizeof node->some);
    node->grants = grants;
    node->grant_room = room;
    return true;
}

uint32_t mni_node_worker(const mni_core_t *core, const mni_node_t *node, const mni_demand_t *demand)
{
    uint32_t best = node->worker;

    if (demand) {
        uint32_t own = demand->caller ? demand->caller->rank : MNI_DRIVER_RANK;
        if (own < core->worker_room && core->workers[own].node == node)
            return own;
    }
    for (uint32_t rank = best; node->seats > 1 && rank != NO_WORKER;
         rank = core->workers[rank].next)
        if (core->workers[rank].tasks < core->workers[best].tasks)
            best = rank;
    return best;
}

void mni_node_leave(mni_core_t *core, uint32_t rank)
{
    mni_worker_t *worker = &core->workers[rank];
    uint32_t *at = &worker->node->worker;

    while (*at != rank)
        at = &core->workers[*at].next;
    *at = worker->next;
    worker->node->seats--;
    worker->node = NULL;
}

static int worker_make(mni_core_t *core, uint32_t rank, uint32_t index)
{
    if (index >= core->node_count)
        return mni_error(MN_E_INVALID, "there is no node %u", index);
    if (rank >= 1u << 24)
        return mni_error(MN_E_INVALID, "rank %u is out of range", rank);
    if (rank < core->worker_room && core->workers[rank].node)
        return mni_error(MN_E_INVALID, "rank %u is a worker already", rank);
    if (rank >= core->worker_room) {
        uint32_t room = rank * 2 > 64 ? rank * 2 : 64;
        mni_worker_t *workers = realloc(core->workers, room * sizeof *workers);
        if (!workers)
            return mni_error(MN_E_NO_MEMORY, "no memory for one more worker");
        memset(workers + core->worker_room, 0, (room - core->worker_room) * sizeof *workers);
        core->workers = workers;
        core->worker_room = room;
    }
    core->workers[rank] = (mni_worker_t){.node = core->nodes[index], .next = NO_WORKER};
    return 0;
}

int mni_core_guest_add(mni_core_t *core, uint32_t rank, uint32_t index)
{
    if (rank != MNI_DRIVER_RANK)
        return mni_error(MN_E_INVALID, "rank %u is not that of the driver", rank);
    int rc = worker_make(core, rank, index);
    if (rc == 0)
        core->nodes[index]->guest = true;
    return rc;
}

int mni_core_worker_add(mni_core_t *core, uint32_t rank, uint32_t index)
{
    int rc = worker_make(core, rank, index);
    if (rc < 0)
        return rc;
    mni_node_t *node = core->nodes[index];
    uint32_t *at = &node->worker;
    while (*at != NO_WORKER)
        at = &core->workers[*at].next;
    *at = rank;
    node->seats++;
    mni_node_freed(core, node);
    mni_job_release_held(core);
    mni_node_index(core);
    mni_schedule(core);
    return 0;
}
