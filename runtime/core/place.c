/* SPDX-License-Identifier: MIT
 *
 * Placement: which cores of which node a need gets.
 *
 * Cores are chosen compact: within one L3 where they fit, else within one NUMA node, one package, the node; of several
 * such places the one with the least room to spare, so that large requests keep finding room. Cores that an
 * ancestor lends come before free ones. Among nodes the one with the fewest free cores that has enough.
 */
#include "core/internal.h"

#include <stdlib.h>
#include <string.h>

#define LENDERS_MAX 64

/* The tasks that lend to a request, nearest first. */
typedef struct lenders {
    mni_task_t *tasks[LENDERS_MAX];
    uint32_t count;
} lenders_t;

static void collect(const mni_core_t *core, lenders_t *lenders, mni_task_t *task, mni_job_record_t *job);

static void collect_waiters(const mni_core_t *core, lenders_t *lenders, mni_job_record_t *job)
{
    mni_task_t *task, *next;
    if (!job || job->awaited == 0)
        return;
    HASH_ITER(hh, core->tasks, task, next)
    {
        if (task->awaits == job)
            collect(core, lenders, task, NULL);
    }
}

static void collect(const mni_core_t *core, lenders_t *lenders, mni_task_t *task, mni_job_record_t *job)
{
    for (; task && lenders->count < LENDERS_MAX; task = task->parent) {
        for (uint32_t i = 0; i < lenders->count; i++)
            if (lenders->tasks[i] == task)
                return;
        if (mni_core_task_waits(task) && task->stop_code == 0)
            lenders->tasks[lenders->count++] = task;
        if (!task->parent)
            job = task->job;
    }
    collect_waiters(core, lenders, job);
}

/* What can be had of a node's cores by one request: per core what its lenders can lend. */
typedef struct lendable {
    uint16_t of[MNI_MAX_CORES];
} lendable_t;

static void add_lendable(uint32_t number, const lenders_t *lenders, uint32_t cores, lendable_t *lendable)
{
    memset(lendable->of, 0, cores * sizeof lendable->of[0]);
    for (uint32_t i = 0; i < lenders->count; i++) {
        const mni_task_t *lender = lenders->tasks[i];
        for (uint32_t k = 0; lender->node == number && k < lender->held_count; k++) {
            const mni_held_core_t *held = &lender->held[k];
            lendable->of[held->core] = (uint16_t)(lendable->of[held->core] + held->share - held->lent);
        }
    }
}

/* Puts `share` of a core into the placement: from the lenders, nearest first, the rest from what is free. */
static bool take_pieces(uint32_t number, uint32_t core, uint32_t share, const lenders_t *lenders,
                        mni_placement_t *placement)
{
    for (uint32_t i = 0; i < lenders->count && share > 0; i++) {
        mni_task_t *lender = lenders->tasks[i];
        uint32_t piece = 0;
        for (uint32_t k = 0; lender->node == number && k < lender->held_count; k++)
            if (lender->held[k].core == core)
                piece += lender->held[k].share - lender->held[k].lent;
        piece = piece < share ? piece : share;
        if (piece == 0)
            continue;
        if (placement->count == MNI_PIECES_MAX)
            return false;
        placement->held[placement->count++] =
            (mni_held_core_t){.core = (uint16_t)core, .share = (uint16_t)piece, .lender = lender};
        share -= piece;
    }
    if (share > 0 && placement->count == MNI_PIECES_MAX)
        return false;
    if (share > 0)
        placement->held[placement->count++] = (mni_held_core_t){.core = (uint16_t)core, .share = (uint16_t)share};
    return true;
}

static uint32_t place_number(const mni_node_t *node, uint32_t core, unsigned level)
{
    const mni_core_place_t *place = &node->place[core];
    switch (level) {
    case 0:
        return place->l3;
    case 1:
        return place->numa;
    case 2:
        return place->package;
    default:
        return 0;
    }
}

/* The L3 (NUMA node, package, node) to take `count` cores from; UINT32_MAX: none has so many. */
static uint32_t choose_domain(const mni_node_t *node, const uint16_t *offered, uint32_t offered_count,
                              const lendable_t *lendable, uint32_t count, unsigned level)
{
    uint32_t sizes[MNI_MAX_CORES] = {0}, lent[MNI_MAX_CORES] = {0}, best = UINT32_MAX;
    for (uint32_t i = 0; i < offered_count; i++) {
        uint32_t number = place_number(node, offered[i], level) % MNI_MAX_CORES;
        sizes[number]++;
        lent[number] += lendable->of[offered[i]] > 0;
    }
    for (uint32_t number = 0; number < MNI_MAX_CORES; number++) {
        if (sizes[number] < count)
            continue;
        if (best == UINT32_MAX || lent[number] > lent[best] ||
            (lent[number] == lent[best] && sizes[number] < sizes[best]))
            best = number;
    }
    return best;
}

static bool choose_whole(const mni_node_t *node, uint32_t number, const lenders_t *lenders, uint32_t count,
                         mni_placement_t *placement)
{
    lendable_t lendable;
    uint16_t offered[MNI_MAX_CORES];
    uint32_t offered_count = 0, domain = UINT32_MAX;
    unsigned level = 0;

    add_lendable(number, lenders, node->cores, &lendable);
    for (unsigned lent = 0; lent < 2; lent++) /* lent ones first */
        for (uint32_t core = 0; core < node->cores; core++)
            if (node->used[core] == lendable.of[core] && (lendable.of[core] == 0) == (lent == 1))
                offered[offered_count++] = (uint16_t)core;
    if (offered_count < count)
        return false;
    for (; level < 4 && domain == UINT32_MAX; level++)
        domain = choose_domain(node, offered, offered_count, &lendable, count, level);
    level--;
    for (uint32_t i = 0; i < offered_count && count > 0; i++) {
        if (place_number(node, offered[i], level) % MNI_MAX_CORES != domain)
            continue;
        if (!take_pieces(number, offered[i], MNI_WHOLE_CORE, lenders, placement))
            return false;
        count--;
    }
    return count == 0;
}

/* A share of one core: of a lender's, of the fullest that is shared already, of a free one. */
static bool choose_share(const mni_node_t *node, uint32_t number, const lenders_t *lenders, uint32_t share,
                         mni_placement_t *placement)
{
    lendable_t lendable;
    int64_t best = -1;

    add_lendable(number, lenders, node->cores, &lendable);
    for (uint32_t core = 0; core < node->cores; core++) {
        bool lent = lendable.of[core] >= share;
        if (MNI_WHOLE_CORE - node->used[core] + lendable.of[core] < share)
            continue;
        if (best < 0 || lent > (lendable.of[best] >= share) ||
            (lent == (lendable.of[best] >= share) && node->used[core] > node->used[best]))
            best = core;
    }
    return best >= 0 && take_pieces(number, (uint32_t)best, share, lenders, placement);
}

static bool place_on(mni_core_t *core, uint32_t number, const mni_need_t *need, const lenders_t *lenders,
                     mni_placement_t *placement)
{
    const mni_node_t *node = &core->nodes[number];
    if (node->workers == 0 || node->free_memory < need->memory)
        return false;
    placement->node = number;
    placement->count = 0;
    if (need->millicores == 0)
        return true;
    if (need->millicores < MNI_WHOLE_CORE)
        return choose_share(node, number, lenders, need->millicores, placement);
    uint32_t count = need->millicores / MNI_WHOLE_CORE;
    if (lenders->count == 0 && node->free_cores < count)
        return false;
    return choose_whole(node, number, lenders, count, placement);
}

/* The worker of a node with the fewest tasks. */
static uint32_t choose_rank(const mni_core_t *core, uint32_t node)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t rank = 0; rank < core->rank_count; rank++) {
        const mni_rank_state_t *state = &core->ranks[rank];
        if (state->alive && state->node == node && (best == UINT32_MAX || state->tasks < core->ranks[best].tasks))
            best = rank;
    }
    return best;
}

bool mni_place(mni_core_t *core, const mni_need_t *need, mni_task_t *from, mni_job_record_t *awaited, bool reserved,
               mni_placement_t *placement)
{
    lenders_t lenders = {.count = 0};
    uint32_t best = UINT32_MAX;
    uint32_t cores = (need->millicores + MNI_WHOLE_CORE - 1) / MNI_WHOLE_CORE;

    collect(core, &lenders, from, awaited);
    for (uint32_t i = 0; i < lenders.count; i++)
        if (place_on(core, lenders.tasks[i]->node, need, &lenders, placement)) {
            placement->rank = choose_rank(core, placement->node);
            return true;
        }
    for (uint32_t number = 0; number < core->node_count; number++) {
        const mni_node_t *node = &core->nodes[number];
        if (node->workers == 0 || node->free_memory < need->memory)
            continue;
        if (!reserved && core->reserved_for && core->reserved_node == number)
            continue;
        if (need->millicores >= MNI_WHOLE_CORE && node->free_cores < cores)
            continue;
        if (best != UINT32_MAX && node->free_cores >= core->nodes[best].free_cores)
            continue;
        lenders.count = 0;
        if (need->millicores < MNI_WHOLE_CORE && !place_on(core, number, need, &lenders, placement))
            continue;
        best = number;
    }
    if (best == UINT32_MAX || !place_on(core, best, need, &lenders, placement))
        return false;
    placement->rank = choose_rank(core, placement->node);
    return true;
}

static void use(mni_node_t *node, uint16_t core, int share)
{
    bool free_before = node->used[core] == 0;
    node->used[core] = (uint16_t)(node->used[core] + share);
    bool free_after = node->used[core] == 0;
    node->free_cores += (uint32_t)free_after - (uint32_t)free_before;
}

/* Books that a lender lends `share` more of a core, or less when it is negative. */
static void lend(mni_task_t *lender, uint16_t core, int share)
{
    for (uint32_t i = 0; i < lender->held_count && share != 0; i++) {
        mni_held_core_t *held = &lender->held[i];
        int room = share > 0 ? held->share - held->lent : -held->lent;
        if (held->core != core)
            continue;
        int part = (share > 0) == (room < share) ? room : share;
        held->lent = (uint16_t)(held->lent + part);
        share -= part;
    }
}

int mni_place_take(mni_core_t *core, mni_task_t *task, const mni_need_t *need, const mni_placement_t *placement)
{
    mni_node_t *node = &core->nodes[placement->node];
    mni_held_core_t *held = malloc((placement->count + 1) * sizeof *held);
    if (!held)
        return MN_E_NO_MEMORY;
    memcpy(held, placement->held, placement->count * sizeof *held);
    task->held = held;
    task->held_count = placement->count;
    task->node = placement->node;
    task->rank = placement->rank;
    task->memory = need->memory;
    node->free_memory -= need->memory;
    core->ranks[task->rank].tasks++;
    for (uint32_t i = 0; i < task->held_count; i++) {
        if (held[i].lender)
            lend(held[i].lender, held[i].core, held[i].share);
        else
            use(node, held[i].core, held[i].share);
    }
    return 0;
}

/* Splits a piece in two, the first with `share`. Its lenders' books do not change. */
static bool split(mni_task_t *task, uint32_t index, uint16_t share)
{
    mni_held_core_t *held = realloc(task->held, (task->held_count + 1) * sizeof *held);
    if (!held)
        return false;
    task->held = held;
    mni_held_core_t rest = held[index];
    rest.share = (uint16_t)(rest.share - share);
    rest.lent = held[index].lent > share ? (uint16_t)(held[index].lent - share) : 0;
    held[index].share = share;
    held[index].lent = (uint16_t)(held[index].lent - rest.lent);
    held[task->held_count++] = rest;
    return true;
}

/* Who borrowed `lent` of a piece of `task` borrows it from whom that was borrowed itself, or owns it, from now on. */
static void pass_on(mni_core_t *core, const mni_task_t *task, const mni_held_core_t *piece)
{
    mni_task_t *borrower, *next;
    uint32_t lent = piece->lent;
    if (lent == 0)
        return;
    HASH_ITER(hh, core->tasks, borrower, next)
    {
        for (uint32_t i = 0; lent > 0 && i < borrower->held_count; i++) {
            if (borrower->held[i].lender != task || borrower->held[i].core != piece->core)
                continue;
            if (borrower->held[i].share > lent && !split(borrower, i, (uint16_t)lent))
                abort(); /* the books could not be kept */
            borrower->held[i].lender = piece->lender;
            lent -= borrower->held[i].share;
        }
    }
}

void mni_place_give_back(mni_core_t *core, mni_task_t *task)
{
    mni_node_t *node = &core->nodes[task->node];
    for (uint32_t i = 0; i < task->held_count; i++) {
        const mni_held_core_t *piece = &task->held[i];
        int back = piece->share - piece->lent; /* the rest is still in use by borrowers */
        pass_on(core, task, piece);
        if (piece->lender)
            lend(piece->lender, piece->core, -back);
        else
            use(node, piece->core, -back);
    }
    if (task->held)
        core->ranks[task->rank].tasks--;
    node->free_memory += task->memory;
    free(task->held);
    task->held = NULL;
    task->held_count = 0;
    task->memory = 0;
    core->releases++;
}
