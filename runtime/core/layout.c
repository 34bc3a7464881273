/* SPDX-License-Identifier: MIT
 *
 * Layouts: how the cores of a node lie in L3s, NUMA nodes and packages, as masks; worked out once for all nodes
 * that are alike. An L3 lies within one NUMA node and that within one package: what reaches further is taken in parts.
 */
#include "core/internal.h"

#include <stdlib.h>
#include <string.h>

static bool same_place(const mni_core_place_t *a, const mni_core_place_t *b, unsigned level)
{
    if (a->package != b->package)
        return false;
    if (level + 1 < MNI_LEVELS && a->numa != b->numa)
        return false;
    return level > 0 || a->l3 == b->l3;
}

/* Gives each core its group's number on a level, in the order in which they are met. */
static uint32_t number_groups(const mni_layout_t *layout, unsigned level, uint16_t *group)
{
    uint32_t count = 0;

    for (uint32_t cpu = 0; cpu < layout->cores; cpu++) {
        uint32_t like = cpu;
        /* Neighbours are mostly alike; look at the nearest first. */
        while (like > 0 && !same_place(&layout->place[cpu], &layout->place[like - 1], level))
            like--;
        group[cpu] = like > 0 ? group[like - 1] : (uint16_t)count++;
    }
    return count;
}

static int layout_fill(mni_layout_t *layout)
{
    uint16_t group[MNI_LEVELS][MNI_MAX_CORES];

    for (unsigned level = 0; level < MNI_LEVELS; level++) {
        layout->groups[level] = number_groups(layout, level, group[level]);
        layout->masks[level] =
            calloc((size_t)layout->groups[level] * layout->words, sizeof(uint64_t));
        if (level < 2)
            layout->parents[level] = calloc(layout->groups[level], sizeof(uint16_t));
        if (!layout->masks[level] || (level + 1 < MNI_LEVELS && !layout->parents[level]))
            return MN_E_NO_MEMORY;
        for (uint32_t cpu = 0; cpu < layout->cores; cpu++)
            layout->masks[level][group[level][cpu] * layout->words + cpu / 64] |= UINT64_C(1)
                                                                                  << (cpu % 64);
    }
    for (unsigned level = 0; level + 1 < MNI_LEVELS; level++)
        for (uint32_t cpu = 0; cpu < layout->cores; cpu++)
            layout->parents[level][group[level][cpu]] = group[level + 1][cpu];
    return 0;
}

static void layout_destroy(mni_layout_t *layout)
{
    if (!layout)
        return;
    for (unsigned level = 0; level < MNI_LEVELS; level++)
        free(layout->masks[level]);
    free(layout->parents[0]);
    free(layout->parents[1]);
    mni_pool_fini(&layout->nodes);
    free(layout);
}

/* From now on nodes are found by their groups too, on the levels on which these are smaller than on the next. */
static void note_levels(mni_core_t *core, const mni_layout_t *layout)
{
    bool fresh = false;

    for (unsigned level = 0; level < MNI_LEVELS; level++) {
        uint32_t wider = level + 1 < MNI_LEVELS ? layout->groups[level + 1] : 1;
        if (layout->groups[level] <= wider || core->grouped[level])
            continue;
        core->grouped[level] = fresh = true;
    }
    if (fresh)
        mni_node_all_stale(core);
}

mni_layout_t *mni_layout_get(mni_core_t *core, const mni_node_offer_t *offer)
{
    size_t size = offer->cores * sizeof(mni_core_place_t);
    mni_layout_t *layout = calloc(1, sizeof *layout + size), *other;

    if (!layout)
        return NULL;
    layout->cores = offer->cores;
    layout->words = (offer->cores + 63) / 64;
    if (offer->place)
        memcpy(layout->place, offer->place, size);
    for (other = core->layouts; other; other = other->next)
        if (other->cores == layout->cores && memcmp(other->place, layout->place, size) == 0) {
            free(layout);
            return other;
        }
    mni_pool_init(&layout->nodes, sizeof(mni_node_t) + layout->words * (2 * sizeof(uint64_t) +
                                                                        64 * sizeof(uint16_t)));
    if (layout_fill(layout) < 0) {
        layout_destroy(layout);
        return NULL;
    }
    layout->next = core->layouts;
    core->layouts = layout;
    note_levels(core, layout);
    return layout;
}

void mni_layouts_destroy(mni_core_t *core)
{
    while (core->layouts) {
        mni_layout_t *layout = core->layouts;
        core->layouts = layout->next;
        layout_destroy(layout);
    }
}

uint32_t mni_layout_most(const mni_layout_t *layout, const uint64_t *cores, unsigned level,
                         uint32_t all)
{
    uint32_t most = 0, left = all; /* not seen yet */

    for (uint32_t group = 0; left > most; group++) {
        uint32_t count = mni_layout_count(layout, cores, level, group);
        most = count > most ? count : most;
        left -= count;
    }
    return most;
}
