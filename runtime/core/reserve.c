/* SPDX-License-Identifier: MIT
 *
 * Reservations: one node at a time is kept for a shape that got nothing for 30 s, so that small tasks
 * that keep coming do not starve a large one. The shape of highest priority comes first, then the one
 * that has waited longest; one of higher priority that starves takes the reservation over. Others may
 * use the node for 30 s if they come first anyhow, and after that nobody, but for slots of what runs
 * there. When all that lives waits the reservation is given up.
 */
#include "core/internal.h"

bool mni_reserve_allows(const mni_core_t *core, const mni_shape_t *shape, const mni_node_t *node)
{
    if (node != core->reserved || shape == core->reserving)
        return true;
    /* Slots of a caller that runs there: before that has ended it does not get empty anyhow. */
    if (shape->kind == MNI_SHAPE_TREE &&
        MNI_CONTAINER(shape->hungry.top, mni_demand_t, place)->caller->node == node)
        return true;
    /* What comes first anyhow may use it, but not for ever: on a full cluster a kept node is the only
     * one with free cores, and a few urgent tasks now and then would keep it from ever getting empty.
     * One that starves itself has a node kept before those of lower priority. */
    return core->now < core->reserved_at + MNI_STARVED && mni_shape_before(shape, core->reserving);
}

void mni_reserve_drop(mni_core_t *core)
{
    mni_node_t *node = core->reserved;

    core->reserving = NULL;
    core->reserved = NULL;
    if (!node)
        return;
    mni_node_freed(core, node);
    core->starve_at = core->now; /* others may have waited for this one */
}

/* The node on which a shape's first request will have room soonest. */
static mni_node_t *reserve_node(const mni_core_t *core, const mni_shape_t *shape)
{
    if (shape->kind != MNI_SHAPE_TREE)
        return mni_node_emptiest(core, shape);
    /* There its ancestors' cores count as well. */
    mni_node_t *node = MNI_CONTAINER(shape->hungry.top, mni_demand_t, place)->caller->node;
    return mni_node_could_have(node, shape) ? node : NULL;
}

void mni_reserve_check(mni_core_t *core)
{
    mni_shape_t *starved = NULL;

    if (core->now < core->starve_at)
        return;
    core->starve_at = MNI_NEVER;
    for (mni_shape_t *shape = core->blocked; shape; shape = shape->next) {
        if (shape->crowded || shape == core->reserving)
            continue;
        if (shape->since + MNI_STARVED > core->now) {
            if (shape->since + MNI_STARVED < core->starve_at)
                core->starve_at = shape->since + MNI_STARVED;
        } else if (!starved || shape->priority > starved->priority ||
                   (shape->priority == starved->priority && shape->since < starved->since)) {
            starved = shape;
        }
    }
    if (!starved || core->draining)
        return;
    /* One node at a time is kept: others that starve come after this one, but for what is more
     * urgent. */
    if (core->reserving && core->reserving->priority < starved->priority)
        mni_reserve_drop(core);
    if (core->now + MNI_STARVED < core->starve_at || core->starve_at <= core->now)
        core->starve_at = core->now + MNI_STARVED;
    if (core->reserving)
        return;
    mni_node_t *node = reserve_node(core, starved);
    if (!node)
        return;
    core->reserving = starved;
    core->reserved = node;
    core->reserved_at = core->now;
    mni_node_freed(core, node); /* out of the trees */
}
