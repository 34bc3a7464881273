/* SPDX-License-Identifier: MIT
 *
 * When all that lives waits, and nothing that is waited for fits.
 *
 * Cores: waiting tasks lend theirs to each other then, whoever they descend from. Memory and
 * max_concurrency: the youngest job is put back while others remain; within one tree the youngest
 * of several slots of one demand is put back, and that demand gets fewer from then on; when each
 * demand has one slot at most, the ancestors alone hold what is missing, and the call is refused
 * with a sentence that says so. Each step makes something go on or end, and what was put back waits
 * for that: so this ends.
 */
#include "core/internal.h"

#include <stdio.h>

/* --- the sentence ---------------------------------------------------------------------- */

/* Memory that a node has, less what `caller` and its ancestors hold of it. */
static uint64_t memory_for(const mni_node_t *node, const mni_grant_t *caller)
{
    uint64_t held = 0;

    for (; caller; caller = caller->parent)
        if (caller->node == node && !caller->ended)
            held += caller->memory;
    return node->memory - held;
}

/* The same of its GPUs. */
static uint32_t gpus_for(const mni_node_t *node, const mni_grant_t *caller)
{
    uint32_t held = 0;

    for (; caller; caller = caller->parent)
        if (caller->node == node && !caller->ended)
            held += mni_bits_count(caller->gpus);
    return node->gpus - held;
}

/* The node that would have most memory for something below `caller` of all that have the cores, and the GPUs when nobody had
 * any of them; one that has all that is needed comes first. NULL: none. */
static mni_node_t *roomiest(const mni_core_t *core, const mni_grant_t *caller,
                            const mni_need_t *need)
{
    uint32_t cores = (need->millicores + MNI_WHOLE - 1) / MNI_WHOLE;
    mni_node_t *best = NULL;
    uint64_t most = 0;

    for (uint32_t i = 0; i < core->node_count; i++) {
        mni_node_t *node = core->nodes[i];
        if (node->seats == 0 || node->cores < cores || node->gpus < need->gpus)
            continue;
        uint64_t memory = memory_for(node, caller);
        if (!best || memory > most) {
            best = node;
            most = memory;
        }
        if (memory >= need->memory && gpus_for(node, caller) >= need->gpus)
            return node;
    }
    return best;
}

static uint32_t running_above(const mni_grant_t *caller, uint32_t declaration)
{
    uint32_t count = 0;

    for (; caller; caller = caller->parent)
        count += !caller->ended && caller->declaration == declaration;
    return count;
}

static void append(char *text, size_t room, size_t *length, const char *more)
{
    int size = snprintf(text + *length, room - *length, "%s", more);

    *length = *length + (size_t)size < room ? *length + (size_t)size : room - 1;
}

/* "f asks for 1 core and 4 GiB; node n1 has 2 cores and 8 GiB, of which what waits for it holds: g
 * 6 GiB, ..." */
static void describe(const mni_core_t *core, mni_grant_t *caller, uint32_t declaration,
                     const mni_need_t *need, const mni_node_t *node, char *text, size_t room)
{
    char asked[64], has[64], part[160], goods[64];
    size_t length;
    const char *name = mni_core_declared(core, declaration);

    if (core->declared[declaration].running >= need->max_concurrency) {
        snprintf(text, room, "%s may run %u at a time, and as many run already that wait for it",
                 name, need->max_concurrency);
        return;
    }
    mni_need_format(need->millicores, need->gpus, need->memory, asked, sizeof asked);
    mni_need_format(node->cores * MNI_WHOLE, need->gpus > 0 ? node->gpus : 0, node->memory, has,
                    sizeof has);
    length = (size_t)snprintf(text, room,
                              "%s asks for %s; node %s has %s, of which what waits for it holds ",
                              name, asked, node->host, has);
    if (length >= room)
        return;
    const char *between = "";
    for (uint32_t i = node->grant_count; i-- > 0;) {
        const mni_grant_t *grant = mni_node_grant(core, node, i);
        if (grant->ended || (grant->memory == 0 && grant->gpus == 0))
            continue;
        if (caller) {
            const mni_grant_t *above = caller;
            while (above && above != grant)
                above = above->parent;
            if (!above)
                continue;
        }
        snprintf(part, sizeof part, "%s%s (%.64s)", between,
                 mni_goods_format(mni_bits_count(grant->gpus), grant->memory, goods, sizeof goods),
                 mni_core_declared(core, grant->declaration));
        append(text, room, &length, part);
        between = ", ";
    }
}

bool mni_deadlock_circle(mni_core_t *core, mni_grant_t *caller, uint32_t declaration,
                         const mni_need_t *need, char *text, size_t room)
{
    mni_node_t *node;

    if (running_above(caller, declaration) >= need->max_concurrency) {
        describe(core, caller, declaration, need, NULL, text, room);
        return true;
    }
    node = roomiest(core, caller, need);
    if (!node || (memory_for(node, caller) >= need->memory && gpus_for(node, caller) >= need->gpus))
        return false;
    describe(core, caller, declaration, need, node, text, room);
    return true;
}

/* --- what to do ------------------------------------------------------------------------ */

/* Calls visit for each grant that lives until it returns true. Nothing may be freed meanwhile. */
static bool any_grant(mni_core_t *core, bool (*visit)(mni_core_t *, mni_grant_t *, void *),
                      void *argument)
{
    for (uint32_t i = 0; i < core->node_count; i++)
        for (uint32_t k = core->nodes[i]->grant_count; k-- > 0;) {
            mni_grant_t *grant = mni_node_grant(core, core->nodes[i], k);
            if (!grant->ended && visit(core, grant, argument))
                return true;
        }
    return false;
}

/* Something that gets cores from whoever waits: the oldest. */
typedef struct candidate {
    mni_demand_t *demand;
    mni_record_t *record;
    mni_shape_t *shape;
    uint64_t age;
} candidate_t;

static bool place_anywhere(mni_core_t *core, const mni_shape_t *shape, mni_spread_t *spread)
{
    for (uint32_t i = 0; i < core->node_count; i++) {
        if (core->nodes[i]->waiting == 0)
            continue;
        mni_lend_collect_node(core, core->nodes[i]);
        if (mni_place_lent(core, shape, true, spread))
            return true;
    }
    return false;
}

static void consider(mni_core_t *core, candidate_t *best, const candidate_t *candidate)
{
    mni_spread_t spread;

    if ((!best->shape || candidate->age < best->age) &&
        !mni_shape_crowded(core, candidate->shape) &&
        place_anywhere(core, candidate->shape, &spread))
        *best = *candidate;
}

static bool consider_grant(mni_core_t *core, mni_grant_t *grant, void *best)
{
    mni_record_t *record = grant->awaited;

    for (mni_demand_t *demand = grant->demands; demand; demand = demand->next)
        if (demand->hungry && demand->live == 0)
            consider(core, best,
                     &(candidate_t){.demand = demand, .shape = demand->shape, .age = demand->age});
    if (record && record->job.status == MN_PENDING && !record->held &&
        !mni_job_is_late(core, record))
        consider(core, best,
                 &(candidate_t){.record = record, .shape = record->shape, .age = record->age});
    return false;
}

/* All wait, so all their cores are idle: whoever can use them does. */
static bool lend_to_strangers(mni_core_t *core)
{
    candidate_t best = {.shape = NULL};
    mni_spread_t spread;

    any_grant(core, consider_grant, &best);
    return best.shape && place_anywhere(core, best.shape, &spread) &&
           mni_grant_begin(core, best.shape, &spread, best.record, best.demand);
}

/* Jobs that nobody waits for, and the driver: putting one of them back may help the others. */
typedef struct groups {
    uint32_t count;
    bool driver;
    mni_grant_t *youngest;
} groups_t;

static bool count_group(mni_core_t *core, mni_grant_t *grant, void *argument)
{
    groups_t *groups = argument;

    (void)core;
    if (!grant->own) {
        if (!grant->parent && !groups->driver) {
            groups->driver = true;
            groups->count++;
        }
    } else if (!grant->record->waiters) {
        groups->count++;
        if (!groups->youngest || grant->record->age > groups->youngest->record->age)
            groups->youngest = grant;
    }
    return false;
}

static bool put_job_back(mni_core_t *core)
{
    groups_t groups = {.count = 0};

    any_grant(core, count_group, &groups);
    if (groups.count < 2 || !groups.youngest)
        return false;
    groups.youngest->put_back = true;
    mni_grants_stop(core, groups.youngest, MN_E_INTERRUPTED);
    mni_grant_deadline(core, groups.youngest, mni_clock_after(core->now, MNI_PUT_BACK_GRACE));
    return true;
}

/* One that was put back is waited for by what is left. */
static bool release_awaited(mni_core_t *core, mni_grant_t *grant, void *argument)
{
    (void)argument;
    if (!grant->awaited || !grant->awaited->held || grant->awaited->late)
        return false;
    mni_job_release(core, grant->awaited);
    return true;
}

static bool younger_slot(mni_core_t *core, mni_grant_t *grant, void *argument)
{
    mni_grant_t **youngest = argument;

    (void)core;
    if (grant->demand && grant->demand->live > 1 && (!*youngest || grant->id > (*youngest)->id))
        *youngest = grant;
    return false;
}

static bool put_slot_back(mni_core_t *core)
{
    mni_grant_t *youngest = NULL;

    any_grant(core, younger_slot, &youngest);
    if (!youngest)
        return false;
    youngest->demand->cap = youngest->demand->live - 1;
    mni_demand_review(core, youngest->demand, 0);
    mni_grants_kill(core, youngest, MN_REASON_INTERRUPTED);
    return true;
}

static bool youngest_demand(mni_core_t *core, mni_grant_t *grant, void *argument)
{
    mni_demand_t **youngest = argument;

    (void)core;
    for (mni_demand_t *demand = grant->demands; demand; demand = demand->next)
        if (demand->hungry && demand->live == 0 && (!*youngest || demand->age > (*youngest)->age))
            *youngest = demand;
    return false;
}

static bool youngest_wait(mni_core_t *core, mni_grant_t *grant, void *argument)
{
    mni_grant_t **youngest = argument;

    (void)core;
    if (grant->awaited && grant->awaited->job.status == MN_PENDING &&
        (!*youngest || grant->id > (*youngest)->id))
        *youngest = grant;
    return false;
}

static bool refuse(mni_core_t *core)
{
    mni_demand_t *demand = NULL;
    mni_grant_t *waiter = NULL;
    char text[MNI_ERROR_MAX];
    const mni_node_t *node;

    any_grant(core, youngest_demand, &demand);
    if (demand) {
        node = roomiest(core, demand->caller, &demand->need);
        describe(core, NULL, demand->shape->declaration, &demand->need,
                 node ? node : demand->caller->node, text, sizeof text);
        mni_action_refuse(core, demand->id, demand->caller, NULL, MN_E_DEADLOCK, text);
        mni_demand_end(core, demand);
        return true;
    }
    any_grant(core, youngest_wait, &waiter);
    if (!waiter)
        return false;
    mni_record_t *record = waiter->awaited;
    node = roomiest(core, waiter, &record->job.need);
    describe(core, NULL, record->job.declaration, &record->job.need, node ? node : waiter->node,
             text, sizeof text);
    mni_action_refuse(core, 0, waiter, record, MN_E_DEADLOCK, text);
    mni_grant_unwait(core, waiter);
    return true;
}

bool mni_deadlock_ends(const mni_core_t *core)
{
    for (uint32_t i = 0; core->over_at != MNI_NEVER && i < core->node_count; i++)
        for (uint32_t k = core->nodes[i]->grant_count; k-- > 0;) {
            const mni_grant_t *grant = mni_node_grant(core, core->nodes[i], k);
            if (!grant->ended && grant->awaited && grant->awaited->job.status == MN_PENDING &&
                mni_job_is_late(core, grant->awaited))
                return true;
        }
    return false;
}

bool mni_deadlock_resolve(mni_core_t *core)
{
    if (mni_deadlock_ends(core))
        return false;
    if (core->reserved) { /* they may be waiting for that node */
        mni_reserve_drop(core);
        return true;
    }
    return lend_to_strangers(core) || put_job_back(core) ||
           any_grant(core, release_awaited, NULL) || put_slot_back(core) || refuse(core);
}
