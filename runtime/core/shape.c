/* SPDX-License-Identifier: MIT
 *
 * Shapes: what pending requests have in common, and the order in which they are served.
 */
#include "core/internal.h"

#include <stdlib.h>

static uint64_t shape_hash_of(mni_shape_kind_t kind, uint32_t declaration, int32_t priority,
                              const mni_need_t *need)
{
    uint64_t hash = mni_hash_number(((uint64_t)need->millicores << 32) + declaration);
    hash = mni_hash_number(hash + need->memory + ((uint64_t)need->gpus << 56));
    return mni_hash_number(hash + ((uint64_t)(uint32_t)priority << 34) + ((uint64_t)kind << 32) +
                           need->max_concurrency);
}

uint64_t mni_shape_hash(const mni_link_t *link)
{
    const mni_shape_t *shape = MNI_CONTAINER(link, mni_shape_t, link);
    mni_need_t need = {.millicores = shape->millicores,
                       .gpus = shape->gpus,
                       .memory = shape->memory,
                       .max_concurrency = shape->max_concurrency};
    return shape_hash_of(shape->kind, shape->declaration, shape->priority, &need);
}

static const mni_demand_t *demand_at(const mni_heap_node_t *node)
{
    return MNI_CONTAINER(node, mni_demand_t, place);
}

static bool demand_before(const mni_heap_node_t *a, const mni_heap_node_t *b)
{
    const mni_demand_t *one = demand_at(a), *other = demand_at(b);
    if (one->live != other->live && one->shape->kind == MNI_SHAPE_TREE)
        return one->live < other->live;
    return one->age < other->age;
}

mni_shape_t *mni_shape_get(mni_core_t *core, mni_shape_kind_t kind, uint32_t declaration,
                           int32_t priority, const mni_need_t *need)
{
    mni_link_t *link =
        mni_table_chain(&core->shapes, shape_hash_of(kind, declaration, priority, need));
    mni_shape_t *shape;

    for (; link; link = link->next) {
        shape = MNI_CONTAINER(link, mni_shape_t, link);
        if (shape->kind == kind && shape->declaration == declaration &&
            shape->priority == priority && shape->millicores == need->millicores &&
            shape->gpus == need->gpus && shape->memory == need->memory &&
            shape->max_concurrency == need->max_concurrency) {
            shape->users++;
            return shape;
        }
    }
    shape = calloc(1, sizeof *shape);
    if (!shape)
        return NULL;
    shape->kind = kind;
    shape->declaration = declaration;
    shape->priority = priority;
    shape->millicores = need->millicores;
    shape->gpus = need->gpus;
    shape->memory = need->memory;
    shape->max_concurrency = need->max_concurrency;
    shape->hungry.before = demand_before;
    shape->leaf.has = ~need->millicores;
    shape->leaf.other_has = ~need->memory;
    shape->users = 1;
    if (need->millicores == 0)
        mni_node_coreless(core);
    mni_table_insert(&core->shapes, &shape->link);
    return shape;
}

void mni_shape_put(mni_core_t *core, mni_shape_t *shape)
{
    if (--shape->users > 0)
        return;
    mni_table_remove(&core->shapes, &shape->link);
    free(shape);
}

void mni_shape_order(const mni_shape_t *shape, uint64_t order[2])
{
    const mni_demand_t *demand = shape->kind == MNI_SHAPE_JOB ? NULL : demand_at(shape->hungry.top);
    uint64_t live = shape->kind == MNI_SHAPE_TREE ? demand->live : UINT64_C(1) << 31;

    order[0] = ((uint64_t)INT32_MAX - (uint64_t)(int64_t)shape->priority) << 32 | live;
    order[1] = demand ? demand->age : shape->head->age;
}

bool mni_shape_before(const mni_shape_t *a, const mni_shape_t *b)
{
    uint64_t one[2], other[2];

    mni_shape_order(a, one);
    mni_shape_order(b, other);
    return one[0] != other[0] ? one[0] < other[0] : one[1] < other[1];
}

bool mni_ready_before(const mni_heap_node_t *a, const mni_heap_node_t *b)
{
    return mni_shape_before(MNI_CONTAINER(a, mni_shape_t, ready),
                            MNI_CONTAINER(b, mni_shape_t, ready));
}

bool mni_shape_crowded(const mni_core_t *core, const mni_shape_t *shape)
{
    return core->declared[shape->declaration].running >= shape->max_concurrency;
}
