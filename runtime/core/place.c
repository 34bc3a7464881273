/* SPDX-License-Identifier: MIT
 *
 * Placement: which node, and which of its cores. Cores are picked within one L3 where they fit on any
 * node, else within one NUMA node, one package, the node; of several such places the one with the least
 * left over. With GPUs it is a NUMA node or package that has these too, if there is one. A slot comes to its caller's node, if it fits there at all. Shares of a core go where other shares are already. Nothing is taken here: the result
 * is a list of pieces in core->scratch.
 */
#include "core/internal.h"

#include <string.h>

/* --- which cores ----------------------------------------------------------------------- */

/* Whether of two groups with as many candidates the other lies in the fuller surroundings. */
static bool is_fuller(const mni_layout_t *layout, unsigned level, const uint64_t *candidates,
                      uint32_t group, uint32_t other)
{
    for (; level + 1 < MNI_LEVELS; level++) {
        group = layout->parents[level][group];
        other = layout->parents[level][other];
        if (group == other)
            return false;
        uint32_t has = mni_layout_count(layout, candidates, level + 1, group);
        uint32_t other_has = mni_layout_count(layout, candidates, level + 1, other);
        if (has != other_has)
            return other_has < has;
    }
    return false;
}

/* The group of a level with the fewest candidates that has enough, so that large requests keep finding room; else,
 * if `any`, the one with the most. */
static uint32_t best_group(const mni_layout_t *layout, unsigned level, const uint64_t *candidates,
                           uint32_t count, bool any, uint32_t *has)
{
    uint32_t best = UINT32_MAX;

    *has = 0;
    for (uint32_t group = 0; group < layout->groups[level]; group++) {
        uint32_t there = mni_layout_count(layout, candidates, level, group);
        bool better;
        if (there >= count)
            better = *has < count || there < *has ||
                     (there == *has && is_fuller(layout, level, candidates, best, group));
        else
            better = any && there > *has;
        if (better) {
            best = group;
            *has = there;
        }
    }
    return best;
}

static void pick_lowest(const mni_layout_t *layout, const uint64_t *candidates, uint32_t count,
                        uint64_t *picked)
{
    for (uint32_t i = 0; i < layout->words && count > 0; i++)
        for (uint64_t bits = candidates[i]; bits && count > 0; bits &= bits - 1, count--)
            picked[i] |= bits & -bits;
}

/* Picks from as few groups of the level as it can, and within each from as few of the next lower
 * level. */
static void pick_from(const mni_layout_t *layout, int level, const uint64_t *candidates,
                      uint32_t count, uint64_t *picked)
{
    uint64_t left[MNI_WORDS], part[MNI_WORDS];

    if (level < 0) {
        pick_lowest(layout, candidates, count, picked);
        return;
    }
    memcpy(left, candidates, layout->words * sizeof left[0]);
    while (count > 0) {
        uint32_t has, group = best_group(layout, (unsigned)level, left, count, true, &has);
        const uint64_t *mask = mni_layout_mask(layout, (unsigned)level, group);
        uint32_t take = has < count ? has : count;
        for (uint32_t i = 0; i < layout->words; i++) {
            part[i] = left[i] & mask[i];
            left[i] &= ~mask[i];
        }
        pick_from(layout, level - 1, part, take, picked);
        count -= take;
    }
}

void mni_place_pick(const mni_layout_t *layout, const uint64_t *candidates, uint32_t count,
                    uint64_t *picked)
{
    uint64_t part[MNI_WORDS];

    for (unsigned level = 0; level < MNI_LEVELS; level++) {
        uint32_t has, group = best_group(layout, level, candidates, count, false, &has);
        if (group == UINT32_MAX)
            continue;
        const uint64_t *mask = mni_layout_mask(layout, (unsigned)level, group);
        for (uint32_t i = 0; i < layout->words; i++)
            part[i] = candidates[i] & mask[i];
        pick_from(layout, (int)level - 1, part, count, picked);
        return;
    }
    pick_from(layout, MNI_LEVELS - 1, candidates, count, picked);
}

static bool add_piece(mni_core_t *core, mni_spread_t *spread, uint32_t cpu, uint32_t mc,
                      mni_grant_t *source, uint32_t source_piece)
{
    if (spread->pieces == MNI_PIECES)
        return false;
    core->scratch[spread->pieces++] = (mni_piece_t){.core = (uint16_t)cpu,
                                                    .mc = (uint16_t)mc,
                                                    .source = source,
                                                    .source_piece = (uint16_t)source_piece};
    return true;
}

/* --- free cores ------------------------------------------------------------------------ */

bool mni_place_fits(const mni_core_t *core, const mni_shape_t *shape, const mni_node_t *node)
{
    return node->seats > 0 && mni_node_memory_free(node) >= shape->memory &&
           mni_node_room(node) >= shape->millicores && mni_gpus_free(node) >= shape->gpus &&
           mni_reserve_allows(core, shape, node);
}

uint32_t mni_place_share(const mni_node_t *node, uint32_t millicores, const uint64_t *mask)
{
    uint64_t picked[MNI_WORDS] = {0}, candidates[MNI_WORDS];
    bool any = false;
    uint32_t best = UINT32_MAX;

    for (uint32_t word = 0; node->share_room >= millicores && word < node->layout->words; word++)
        for (uint64_t bits = node->shared[word] & (mask ? mask[word] : UINT64_MAX); bits;
             bits &= bits - 1) {
            uint32_t cpu = word * 64 + (uint32_t)__builtin_ctzll(bits);
            if (node->used[cpu] + millicores <= MNI_WHOLE &&
                (best == UINT32_MAX || node->used[cpu] > node->used[best]))
                best = cpu;
        }
    if (best != UINT32_MAX)
        return best;
    for (uint32_t word = 0; word < node->layout->words; word++) {
        candidates[word] = node->free[word] & (mask ? mask[word] : UINT64_MAX);
        any |= candidates[word] != 0;
    }
    if (!any)
        return UINT32_MAX;
    mni_place_pick(node->layout, candidates, 1, picked);
    for (uint32_t word = 0;; word++)
        if (picked[word])
            return word * 64 + (uint32_t)__builtin_ctzll(picked[word]);
}

/* Cores of a node that are free, of those of the mask. */
static void place_cores(mni_core_t *core, uint32_t millicores, mni_node_t *node,
                        const uint64_t *mask, mni_spread_t *spread)
{
    uint64_t picked[MNI_WORDS] = {0}, candidates[MNI_WORDS];

    if (millicores == 0)
        return;
    if (millicores < MNI_WHOLE) {
        add_piece(core, spread, mni_place_share(node, millicores, mask), millicores, NULL, 0);
        return;
    }
    /* On a full cluster it is mostly what another task has just left. */
    bool all = millicores / MNI_WHOLE == node->free_cores;
    for (uint32_t word = 0; mask && word < node->layout->words; word++)
        candidates[word] = node->free[word] & mask[word];
    if (!all)
        mni_place_pick(node->layout, mask ? candidates : node->free, millicores / MNI_WHOLE,
                       picked);
    for (uint32_t word = 0; word < node->layout->words; word++)
        for (uint64_t bits = all ? node->free[word] : picked[word]; bits; bits &= bits - 1)
            add_piece(core, spread, word * 64 + (uint32_t)__builtin_ctzll(bits), MNI_WHOLE, NULL,
                      0);
}

void mni_place_on(mni_core_t *core, const mni_shape_t *shape, mni_node_t *node,
                  mni_spread_t *spread)
{
    uint64_t mask[MNI_WORDS];
    bool near = shape->gpus > 0 && mni_gpus_near(node, shape, mask);

    spread->node = node;
    spread->pieces = 0;
    spread->gpus = 0;
    place_cores(core, shape->millicores, node, near ? mask : NULL, spread);
    if (shape->gpus > 0)
        mni_gpus_pick(core, spread, shape->gpus);
}

/* Whether something that asks for no more lacks room everywhere: then nobody needs to look. Not while a node is
 * being given out. */
static bool is_hopeless(const mni_core_t *core, const mni_shape_t *shape)
{
    return !core->offering && !core->freed &&
           mni_tree_first(&core->fitting, ~shape->millicores, ~shape->memory);
}

/* The node with least room that has enough. */
static mni_node_t *look_up(mni_core_t *core, const mni_shape_t *shape)
{
    mni_node_t *node = NULL;

    if (is_hopeless(core, shape))
        return NULL;
    if (shape->gpus > 0)
        return mni_gpus_node(core, shape);
    mni_node_index(core);
    if (shape->millicores > 0 && shape->millicores < MNI_WHOLE)
        node = mni_node_first(core, MNI_BY_SHARE, shape->millicores, shape->memory);
    if (!node)
        node =
            mni_node_compact(core, (shape->millicores + MNI_WHOLE - 1) / MNI_WHOLE, shape->memory);
    return node;
}

bool mni_place_free(mni_core_t *core, const mni_shape_t *shape, mni_node_t *prefer,
                    mni_spread_t *spread)
{
    mni_node_t *node = NULL;

    if (shape->only) {
        node = mni_place_fits(core, shape, shape->only) ? shape->only : NULL;
    } else if (prefer && mni_place_fits(core, shape, prefer)) {
        node = prefer;
    } else {
        node = look_up(core, shape);
        if (!node && core->reserved && mni_place_fits(core, shape, core->reserved))
            node = core->reserved;
    }
    if (!node)
        return false;
    mni_place_on(core, shape, node, spread);
    return true;
}

/* --- lent cores ------------------------------------------------------------------------ */

/* Sums up what the lenders on a node can lend of each core. False: nothing at all. */
static bool sum_lent(mni_core_t *core, const mni_node_t *node)
{
    bool any = false;

    memset(core->lent, 0, node->cores * sizeof core->lent[0]);
    for (uint32_t i = 0; i < core->lender_count; i++) {
        const mni_grant_t *lender = core->lenders[i];
        for (uint32_t k = 0; lender->node == node && k < lender->pieces; k++) {
            const mni_piece_t *piece = &lender->piece[k];
            core->lent[piece->core] = (uint16_t)(core->lent[piece->core] + piece->mc - piece->out);
            any |= piece->mc > piece->out;
        }
    }
    return any;
}

/* Pieces that make up `mc` of a core: from the nearest lender first, the rest from the pool. */
static bool borrow(mni_core_t *core, const mni_node_t *node, uint32_t cpu, uint32_t mc,
                   mni_spread_t *spread)
{
    for (uint32_t i = 0; i < core->lender_count && mc > 0; i++) {
        mni_grant_t *lender = core->lenders[i];
        for (uint32_t k = 0; lender->node == node && mc > 0 && k < lender->pieces; k++) {
            const mni_piece_t *piece = &lender->piece[k];
            uint32_t part = (uint32_t)(piece->mc - piece->out);
            if (piece->core != cpu || part == 0)
                continue;
            part = part < mc ? part : mc;
            if (!add_piece(core, spread, cpu, part, lender, k))
                return false;
            mc -= part;
        }
    }
    return mc == 0 || add_piece(core, spread, cpu, mc, NULL, 0);
}

static bool lent_share(mni_core_t *core, mni_node_t *node, uint32_t mc, bool mixed,
                       mni_spread_t *spread)
{
    uint32_t best = UINT32_MAX;

    for (uint32_t cpu = 0; cpu < node->cores; cpu++) {
        if (core->lent[cpu] == 0 ||
            core->lent[cpu] + (mixed ? MNI_WHOLE - node->used[cpu] : 0) < mc)
            continue;
        if (best == UINT32_MAX || core->lent[cpu] > core->lent[best])
            best = cpu;
    }
    return best != UINT32_MAX && borrow(core, node, best, mc, spread);
}

/* Cores of which the lenders have all that is used; those lent wholly first, then those lent in
 * part, then free ones. */
static bool lent_whole(mni_core_t *core, mni_node_t *node, uint32_t count, bool mixed,
                       mni_spread_t *spread)
{
    uint64_t class[3][MNI_WORDS] = {{0}}, picked[MNI_WORDS] = {0};
    uint32_t has[3] = {0};

    for (uint32_t cpu = 0; cpu < node->cores; cpu++) {
        unsigned which = core->lent[cpu] == MNI_WHOLE ? 0 : core->lent[cpu] > 0 ? 1 : 2;
        if (core->lent[cpu] != node->used[cpu] && which != 0)
            continue;
        class[which][cpu / 64] |= UINT64_C(1) << (cpu % 64);
        has[which]++;
    }
    if (has[0] + (mixed ? has[1] + has[2] : 0) < count)
        return false;
    for (unsigned which = 0; which < 3 && count > 0; which++) {
        uint32_t take = has[which] < count ? has[which] : count;
        if (take > 0)
            mni_place_pick(node->layout, class[which], take, picked);
        count -= take;
    }
    for (uint32_t word = 0; word < node->layout->words; word++)
        for (uint64_t bits = picked[word]; bits; bits &= bits - 1)
            if (!borrow(core, node, word * 64 + (uint32_t)__builtin_ctzll(bits), MNI_WHOLE, spread))
                return false;
    return true;
}

static bool lent_on(mni_core_t *core, const mni_shape_t *shape, mni_node_t *node, bool mixed,
                    mni_spread_t *spread)
{
    bool found;

    if (node->seats == 0 || mni_node_memory_free(node) < shape->memory ||
        mni_gpus_free(node) < shape->gpus || !sum_lent(core, node))
        return false;
    spread->node = node;
    spread->pieces = 0;
    spread->gpus = 0;
    if (shape->millicores < MNI_WHOLE)
        found = lent_share(core, node, shape->millicores, mixed, spread);
    else
        found = lent_whole(core, node, shape->millicores / MNI_WHOLE, mixed, spread);
    if (found && shape->gpus > 0)
        mni_gpus_pick(core, spread, shape->gpus);
    return found;
}

bool mni_place_lent(mni_core_t *core, const mni_shape_t *shape, bool mixed, mni_spread_t *spread)
{
    uint64_t mark = ++core->mark;

    if (shape->millicores == 0)
        return false;
    for (uint32_t i = 0; i < core->lender_count; i++) {
        mni_node_t *node = core->lenders[i]->node;
        if (node->mark == mark)
            continue;
        node->mark = mark;
        if (lent_on(core, shape, node, mixed, spread))
            return true;
    }
    return false;
}
