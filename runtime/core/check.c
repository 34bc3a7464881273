/* SPDX-License-Identifier: MIT
 *
 * Proves the invariants of the core by counting everything anew. For tests: takes time in
 * proportion to all there is, and to the square of the tasks of a node.
 */
#include "core/internal.h"

#include <string.h>
#include <inttypes.h>
#include <stdlib.h>

#define WRONG(...) mni_error(MN_E_INTERNAL, __VA_ARGS__)

/* --- cores and memory ------------------------------------------------------------------ */

static int check_piece(const mni_core_t *core, const mni_grant_t *grant, uint32_t number)
{
    const mni_node_t *node = grant->node;
    const mni_piece_t *piece = &grant->piece[number];
    uint32_t out = 0;

    for (uint32_t k = 0; k < node->grant_count; k++) {
        const mni_grant_t *other = mni_node_grant(core, node, k);
        for (uint32_t i = 0; i < other->pieces; i++)
            if (other->piece[i].source == grant && other->piece[i].source_piece == number) {
                if (other->piece[i].core != piece->core)
                    return WRONG("task %" PRIu64 " borrows another core than it was lent",
                                 other->id);
                out += other->piece[i].mc;
            }
    }
    if (out != piece->out || out > piece->mc)
        return WRONG("task %" PRIu64 " has %u of core %u, lends %u and counts %u", grant->id,
                     piece->mc, piece->core, out, piece->out);
    if (grant->ended && piece->mc > 0 && out == 0)
        return WRONG("task %" PRIu64 " has ended and still has core %u", grant->id, piece->core);
    return 0;
}

static int check_cores(const mni_node_t *node, const uint32_t *used)
{
    uint32_t free_cores = 0, least = MNI_WHOLE;

    for (uint32_t cpu = 0; cpu < node->cores; cpu++) {
        bool is_free = node->free[cpu / 64] >> (cpu % 64) & 1,
             is_shared = node->shared[cpu / 64] >> (cpu % 64) & 1;
        if (used[cpu] != node->used[cpu] || used[cpu] > MNI_WHOLE)
            return WRONG("core %u of %s: tasks have %u of it, it counts %u", cpu, node->host,
                         used[cpu], node->used[cpu]);
        if (is_free != (used[cpu] == 0) || is_shared != (used[cpu] > 0 && used[cpu] < MNI_WHOLE))
            return WRONG("core %u of %s is in the wrong set", cpu, node->host);
        free_cores += is_free;
        if (is_shared && used[cpu] < least)
            least = used[cpu];
    }
    if (free_cores != node->free_cores || MNI_WHOLE - least != node->share_room)
        return WRONG("%s counts %u cores free and %u of a shared one, it has %u and %u", node->host,
                     node->free_cores, node->share_room, free_cores, MNI_WHOLE - least);
    return 0;
}

static int check_line(const mni_grant_t *grant)
{
    const mni_grant_t *next = grant->line_next;

    if (!next && !grant->line_prev)
        return grant->follows ? WRONG("task %" PRIu64 " follows nobody", grant->id) : 0;
    if (!next || !grant->line_prev || next == grant || next->line_prev != grant ||
        grant->line_prev->line_next != grant || grant->ended || !grant->own)
        return WRONG("task %" PRIu64 " is wrongly in a line", grant->id);
    if (grant->follows && (grant->pieces > 0 || grant->lent > 0))
        return WRONG("task %" PRIu64 " follows another, and has cores", grant->id);
    if (next->node != grant->node || next->rank != grant->rank ||
        next->declaration != grant->declaration || next->millicores != grant->millicores ||
        next->memory != grant->memory || (next->follows && next->gpus != 0))
        return WRONG("task %" PRIu64 " is in a line of others", grant->id);
    /* From each follower there is a way to a head, and a head has no other in its line. */
    while (next->follows)
        next = next->line_next;
    if (!grant->follows && next != grant)
        return WRONG("the line of task %" PRIu64 " has two heads", grant->id);
    return 0;
}

static int check_spots(const mni_core_t *core, const mni_node_t *node)
{
    const mni_leaf_t *leaf = &node->spot[MNI_BY_CORES];
    bool open = node->seats > 0 && node != core->reserved;

    if (node->stale)
        return 0;
    if ((leaf->weight != 0) != (open && (node->free_cores > 0 || core->coreless)))
        return WRONG("%s is wrongly in or out of the trees", node->host);
    if (leaf->weight != 0 &&
        (leaf->has != node->free_cores || leaf->other_has != mni_node_memory_free(node)))
        return WRONG("%s is in the wrong place of the trees", node->host);
    for (unsigned level = 0; level < MNI_LEVELS; level++) {
        leaf = &node->spot[MNI_BY_GROUP + level];
        if ((leaf->weight != 0) != (open && node->free_cores > 0 && core->grouped[level]))
            return WRONG("%s is wrongly in or out of the trees by groups", node->host);
        if (leaf->weight != 0 &&
            (leaf->has != mni_layout_most(node->layout, node->free, level, node->free_cores) ||
             leaf->other_has != mni_node_memory_free(node)))
            return WRONG("%s is in the wrong place of the trees by groups", node->host);
    }
    return 0;
}

static int check_node(const mni_core_t *core, const mni_node_t *node)
{
    uint32_t used[MNI_MAX_CORES] = {0}, waiting = 0, tasks = 0, seated = 0, lent;
    uint64_t memory = 0, gpus = 0;
    int rc;

    for (uint32_t k = 0; k < node->grant_count; k++) {
        const mni_grant_t *grant = mni_node_grant(core, node, k);
        lent = 0;
        for (uint32_t i = 0; i < grant->pieces; i++) {
            if ((rc = check_piece(core, grant, i)) < 0)
                return rc;
            if (!grant->piece[i].source)
                used[grant->piece[i].core] += grant->piece[i].mc;
            lent += grant->piece[i].out > 0;
        }
        if (lent != grant->lent)
            return WRONG("task %" PRIu64 " counts %u pieces lent, it lends %u", grant->id,
                         grant->lent, lent);
        if (grant->node != node || (grant->finished && lent == 0))
            return WRONG("task %" PRIu64 " should be gone from %s", grant->id, node->host);
        if ((rc = check_line(grant)) < 0)
            return rc;
        memory += grant->ended || grant->follows ? 0 : grant->memory;
        if ((grant->gpus & gpus) || ((grant->ended || grant->follows) && grant->gpus))
            return WRONG("task %" PRIu64 " has a GPU that is not its own", grant->id);
        gpus |= grant->gpus;
        waiting += mni_grant_waits(grant);
        tasks += !grant->ended && !grant->follows;
    }
    uint32_t rank = node->worker;
    for (uint32_t i = 0; i < node->seats; i++, rank = core->workers[rank].next) {
        if (rank >= core->worker_room || core->workers[rank].node != node)
            return WRONG("%s has a worker that is not its own", node->host);
        seated += core->workers[rank].tasks;
    }
    if (node->guest)
        seated += core->workers[MNI_DRIVER_RANK].tasks;
    if (memory != node->memory_used || memory > node->memory)
        return WRONG("%s: its tasks have %" PRIu64 " bytes, it counts %" PRIu64, node->host, memory,
                     node->memory_used);
    if ((gpus & node->gpus_free) || mni_bits_count(gpus | node->gpus_free) != node->gpus)
        return WRONG("%s: GPUs are in use and free, or neither", node->host);
    if (waiting != node->waiting || tasks != seated)
        return WRONG("%s counts %u tasks and %u that wait, it has %u and %u", node->host, seated,
                     node->waiting, tasks, waiting);
    if ((rc = check_spots(core, node)) < 0)
        return rc;
    return check_cores(node, used);
}

/* --- tasks and demands ----------------------------------------------------------------- */

static int check_demand(const mni_core_t *core, const mni_demand_t *demand,
                        const mni_grant_t *caller)
{
    uint32_t live = 0, most = demand->want < demand->cap ? demand->want : demand->cap;
    bool stopped = caller && (caller->stop || caller->killed);

    for (const mni_grant_t *slot = demand->slots; slot; slot = slot->slot_next) {
        live++;
        if (slot->demand != demand || slot->ended || slot->parent != caller)
            return WRONG("slot %" PRIu64 " of demand %" PRIu64 " is not one", slot->id, demand->id);
    }
    if (live != demand->live || demand->caller != caller)
        return WRONG("demand %" PRIu64 " counts %u slots, it has %u", demand->id, demand->live,
                     live);
    if (demand->hungry != (live < most && !stopped && !core->draining))
        return WRONG("demand %" PRIu64 " does not know whether it wants more", demand->id);
    if (mni_demand_find(core, demand->id) != demand)
        return WRONG("demand %" PRIu64 " is not found", demand->id);
    return 0;
}

static int check_grant(const mni_core_t *core, const mni_grant_t *grant, size_t *blocked)
{
    uint32_t below = grant->awaited != NULL;
    bool waits = mni_grant_waits(grant),
         stuck = waits && !grant->stop && !grant->killed && !grant->follows;
    int rc;

    for (const mni_demand_t *demand = grant->demands; demand; demand = demand->next) {
        if ((rc = check_demand(core, demand, grant)) < 0)
            return rc;
        below += demand->hungry;
        stuck = stuck && (demand->hungry || demand->live > 0);
    }
    for (const mni_grant_t *child = grant->children; child; child = child->sibling_next) {
        if (child->parent != grant || child->record != grant->record || child->own)
            return WRONG("task %" PRIu64 " is not below task %" PRIu64, child->id, grant->id);
        if (grant->ended && !child->ended && !child->killed && !(grant->stop && child->stop))
            return WRONG("task %" PRIu64 " outlives task %" PRIu64, child->id, grant->id);
        below += child->below;
    }
    if (grant->ended && (waits || (!grant->finished && !grant->children)))
        return WRONG("task %" PRIu64 " has ended, and is not finished", grant->id);
    if (below != grant->below || waits != grant->waiting || stuck != grant->blocked)
        return WRONG("task %" PRIu64 " miscounts what waits at or below it", grant->id);
    if (grant->own && !grant->finished && (!grant->record || grant->record->at.run != grant))
        return WRONG("task %" PRIu64 " is not that of its job", grant->id);
    if (!grant->ended && mni_grant_find(core, grant->id) != grant)
        return WRONG("task %" PRIu64 " is not found", grant->id);
    *blocked += stuck;
    return 0;
}

static int check_grants(const mni_core_t *core)
{
    uint32_t *running = calloc(core->declared_room + 1u, sizeof *running);
    size_t alive = 0, blocked = 0, ended = 0, followers = 0;
    int rc = running ? 0 : mni_error(MN_E_NO_MEMORY, "no memory for the check");

    for (uint32_t i = 0; rc == 0 && i < core->node_count; i++)
        for (uint32_t k = 0; rc == 0 && k < core->nodes[i]->grant_count; k++) {
            const mni_grant_t *grant = mni_node_grant(core, core->nodes[i], k);
            rc = check_grant(core, grant, &blocked);
            bool holds = !grant->ended && !grant->follows;
            alive += holds;
            ended += grant->ended;
            followers += grant->follows;
            running[grant->declaration] += holds;
        }
    for (uint32_t i = 0; rc == 0 && i < core->declared_room; i++)
        if (running[i] != core->declared[i].running)
            rc = WRONG("%s counts %u tasks, it has %u", mni_core_declared(core, i),
                       core->declared[i].running, running[i]);
    for (const mni_demand_t *demand = core->driver; rc == 0 && demand; demand = demand->next)
        rc = check_demand(core, demand, NULL);
    if (rc == 0 && (alive != core->alive || blocked != core->blocked_grants ||
                    followers != core->followers || alive + ended + followers != core->grants.used))
        rc = WRONG("%zu tasks live and %zu are stuck; counted are %zu and %zu", alive, blocked,
                   core->alive, core->blocked_grants);
    free(running);
    return rc;
}

/* --- jobs and queues ------------------------------------------------------------------- */

static int check_job(const mni_core_t *core, const mni_record_t *record, size_t *queued)
{
    const mni_job_t *job = &record->job;
    bool ended = mn_status_terminal(job->status),
         runs = job->status == MN_RUNNING || job->status == MN_CANCELLING,
         undeclared = job->status == MN_PENDING && job->reason == MN_REASON_UNDECLARED;

    if (mni_core_find(core, job->id) != job)
        return WRONG("a job is not found");
    if ((ended || undeclared) == (record->shape != NULL) || runs != (job->task != 0) ||
        (job->status == MN_FAILED) != (job->error != NULL))
        return WRONG("a job that is %s has the wrong things", mn_status_name(job->status));
    if (runs &&
        (!record->at.run || record->at.run->record != record || record->at.run->id != job->task))
        return WRONG("a job that is %s has no task", mn_status_name(job->status));
    const char *lock = mni_job_lock(job);
    if ((lock && !ended) != (job->names && mni_labels(record)->locked))
        return WRONG("lock %s is wrongly held or free", lock ? lock : "?");
    if (record->held && job->status != MN_PENDING)
        return WRONG("a job that is %s is held back", mn_status_name(job->status));
    if (ended && record->waiters)
        return WRONG("a job that has ended is waited for");
    for (const mni_grant_t *waiter = record->waiters; waiter; waiter = waiter->waiter_next)
        if (waiter->awaited != record)
            return WRONG("task %" PRIu64 " does not wait for the job that counts on it",
                         waiter->id);
    *queued += job->status == MN_PENDING && !record->held && !undeclared;
    return 0;
}

static int check_shape(const mni_core_t *core, const mni_shape_t *shape, size_t *queued)
{
    size_t count = 0;
    uint64_t age = 0;

    for (const mni_record_t *record = shape->head; record; record = record->next) {
        if (record->shape != shape || record->job.status != MN_PENDING || record->held ||
            (count > 0 && record->age < age))
            return WRONG("a queue has a job that does not belong there");
        age = record->age;
        count++;
    }
    if (count != shape->count)
        return WRONG("a queue counts %zu jobs, it has %zu", shape->count, count);
    *queued += count;
    bool empty = shape->kind == MNI_SHAPE_JOB ? count == 0 : !shape->hungry.top;
    if (empty != (shape->state == MNI_SHAPE_IDLE))
        return WRONG("a queue does not know whether it is empty");
    if ((shape->leaf.weight != 0) !=
        (shape->state == MNI_SHAPE_BLOCKED && !shape->crowded && shape->gpus == 0))
        return WRONG("a queue is wrongly in or out of the tree of those that lack room");
    if (core->draining || core->freed || core->dirty)
        return 0;
    if (shape->state == MNI_SHAPE_READY)
        return WRONG("a queue was not tried");
    if (shape->state == MNI_SHAPE_BLOCKED && shape->crowded != mni_shape_crowded(core, shape) &&
        shape->crowded)
        return WRONG("a queue waits for nothing");
    for (uint32_t i = 0; shape->state == MNI_SHAPE_BLOCKED && !mni_shape_crowded(core, shape) &&
                         i < core->node_count;
         i++)
        if (mni_place_fits(core, shape, core->nodes[i]))
            return WRONG("%s fits on %s, and was not placed",
                         mni_core_declared(core, shape->declaration), core->nodes[i]->host);
    return 0;
}

static int check_jobs(const mni_core_t *core)
{
    size_t jobs = 0, unfinished = 0, pending = 0, queued = 0, held = 0;
    size_t statuses[MN_CANCELLED + 1] = {0};
    int rc = 0;

    for (const mni_record_t *record = core->newest; rc == 0 && record; record = record->older) {
        rc = check_job(core, record, &pending);
        jobs++;
        unfinished += !mn_status_terminal(record->job.status);
        statuses[record->job.status]++;
        held += record->held;
    }
    for (size_t i = 0; rc == 0 && i <= core->shapes.mask; i++)
        for (const mni_link_t *link = core->shapes.buckets[i]; rc == 0 && link; link = link->next)
            rc = check_shape(core, MNI_CONTAINER(link, mni_shape_t, link), &queued);
    for (const mni_record_t *record = core->held; record; record = record->next)
        held--;
    for (const mni_record_t *record = core->late; record; record = record->next)
        held -= record->late;
    if (rc == 0 && memcmp(statuses, core->statuses, sizeof statuses) != 0)
        rc = WRONG("jobs are counted under another status than they have");
    if (rc == 0 && (jobs != core->jobs.count || unfinished != core->unfinished ||
                    pending != queued || held != 0))
        rc = WRONG("%zu jobs, %zu unfinished, %zu pending; counted are %zu, %zu, %zu", jobs,
                   unfinished, pending, core->jobs.count, core->unfinished, queued);
    return rc;
}

int mni_core_check(const mni_core_t *core)
{
    int rc = 0;

    if (core->lost_action)
        return WRONG("an action was lost: no memory");
    for (uint32_t i = 0; rc == 0 && i < core->node_count; i++)
        rc = check_node(core, core->nodes[i]);
    if (rc == 0)
        rc = check_grants(core);
    if (rc == 0)
        rc = check_jobs(core);
    if (rc == 0 && core->alive > 0 && core->alive == core->blocked_grants && core->followers == 0 &&
        !core->draining && !mni_deadlock_ends(core))
        rc = WRONG("all tasks wait, and nothing was done about it");
    return rc;
}
