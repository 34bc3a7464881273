/* SPDX-License-Identifier: MIT
 *
 * GPUs of nodes: given whole, to one task at a time, never lent, and where it can be near to the cores of the task. Nodes that
 * have some are looked through one by one: what asks for them is longer than most, and waits for one node at a time.
 */
#include "core/internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_LEVEL 1u /* NUMA nodes; a GPU is near no L3 */

bool mni_gpus_add(mni_core_t *core, mni_node_t *node, const mni_node_offer_t *offer)
{
    if (offer->gpus == 0)
        return true;
    node->gpu_place = malloc(offer->gpus * sizeof *node->gpu_place);
    if (!node->gpu_place)
        return false;
    memset(node->gpu_place, 0xff, offer->gpus * sizeof *node->gpu_place); /* MNI_NOWHERE */
    if (offer->gpu_place)
        memcpy(node->gpu_place, offer->gpu_place, offer->gpus * sizeof *node->gpu_place);
    node->gpus = offer->gpus;
    node->gpus_free = offer->gpus == 64 ? UINT64_MAX : (UINT64_C(1) << offer->gpus) - 1;
    node->gpu_next = core->with_gpus;
    core->with_gpus = node;
    return true;
}

void mni_gpus_take(mni_node_t *node, uint64_t gpus)
{
    node->gpus_free &= ~gpus;
}

void mni_gpus_give(mni_core_t *core, mni_node_t *node, uint64_t gpus)
{
    node->gpus_free |= gpus;
    if (gpus)
        mni_node_freed(core, node);
}

/* --- where they are -------------------------------------------------------------------- */

/* How far a GPU is from a core: the first level on which they are together, MNI_LEVELS when on none. */
static unsigned distance(const mni_node_t *node, uint32_t gpu, uint32_t cpu)
{
    const mni_core_place_t *a = &node->gpu_place[gpu], *b = &node->layout->place[cpu];

    if (a->package != b->package)
        return MNI_LEVELS;
    return a->numa == b->numa ? FIRST_LEVEL : FIRST_LEVEL + 1;
}

/* Free GPUs that are near a group of cores. */
static uint32_t count_near(const mni_node_t *node, unsigned level, const uint64_t *mask)
{
    uint32_t count = 0, word = 0;

    while (!mask[word])
        word++;
    uint32_t cpu = word * 64 + (uint32_t)__builtin_ctzll(mask[word]); /* they are all alike here */
    for (uint64_t bits = node->gpus_free; bits; bits &= bits - 1)
        count += distance(node, (uint32_t)__builtin_ctzll(bits), cpu) <= level;
    return count;
}

/* The cores that are free in a group when it has room for the shape; UINT32_MAX: it has not. */
static uint32_t room_in(const mni_node_t *node, const mni_shape_t *shape, const uint64_t *mask)
{
    uint32_t count = 0;

    for (uint32_t word = 0; word < node->layout->words; word++)
        count += mni_bits_count(node->free[word] & mask[word]);
    if (shape->millicores >= MNI_WHOLE)
        return count >= shape->millicores / MNI_WHOLE ? count : UINT32_MAX;
    if (shape->millicores > 0 && mni_place_share(node, shape->millicores, mask) == UINT32_MAX)
        return UINT32_MAX;
    return count;
}

bool mni_gpus_near(const mni_node_t *node, const mni_shape_t *shape, uint64_t *mask)
{
    const mni_layout_t *layout = node->layout;

    for (unsigned level = FIRST_LEVEL; level < MNI_LEVELS; level++) {
        const uint64_t *best = NULL;
        uint64_t least = UINT64_MAX; /* GPUs, then cores, that are free there */
        for (uint32_t group = 0; group < layout->groups[level]; group++) {
            const uint64_t *cores = mni_layout_mask(layout, level, group);
            uint32_t gpus = count_near(node, level, cores), room = room_in(node, shape, cores);
            uint64_t order = (uint64_t)gpus << 32 | room;
            if (gpus >= shape->gpus && room != UINT32_MAX && order < least) {
                best = cores;
                least = order;
            }
        }
        if (best) {
            memcpy(mask, best, layout->words * sizeof *mask);
            return true;
        }
    }
    return false;
}

void mni_gpus_pick(const mni_core_t *core, mni_spread_t *spread, uint32_t count)
{
    const mni_node_t *node = spread->node;
    uint64_t at[MNI_LEVELS + 1] = {0}; /* free ones by their distance */

    for (uint64_t bits = node->gpus_free; bits; bits &= bits - 1) {
        uint32_t gpu = (uint32_t)__builtin_ctzll(bits);
        unsigned nearest = MNI_LEVELS;
        for (uint32_t i = 0; i < spread->pieces; i++) {
            unsigned far = distance(node, gpu, core->scratch[i].core);
            nearest = far < nearest ? far : nearest;
        }
        at[nearest] |= bits & -bits;
    }
    spread->gpus = 0;
    for (unsigned far = 0; far <= MNI_LEVELS; far++)
        for (uint64_t bits = at[far]; bits && count > 0; bits &= bits - 1, count--)
            spread->gpus |= bits & -bits;
}

/* --- which node ------------------------------------------------------------------------ */

mni_node_t *mni_gpus_node(const mni_core_t *core, const mni_shape_t *shape)
{
    mni_node_t *best = NULL;
    bool best_near = false;
    uint64_t mask[MNI_WORDS];

    for (mni_node_t *node = core->with_gpus; node; node = node->gpu_next) {
        if (node == core->reserved || !mni_place_fits(core, shape, node))
            continue;
        uint32_t gpus = mni_gpus_free(node), most = best ? mni_gpus_free(best) : UINT32_MAX;
        bool near = mni_gpus_near(node, shape, mask);
        if (near != best_near
                ? near
                : gpus < most || (gpus == most && node->free_cores < best->free_cores)) {
            best = node;
            best_near = near;
        }
    }
    return best;
}

bool mni_gpus_possible(const mni_core_t *core, const mni_need_t *need)
{
    uint32_t cores = (need->millicores + MNI_WHOLE - 1) / MNI_WHOLE;

    for (const mni_node_t *node = core->with_gpus; node; node = node->gpu_next)
        if (node->seats > 0 && node->cores >= cores && node->memory >= need->memory &&
            node->gpus >= need->gpus)
            return true;
    return false;
}
