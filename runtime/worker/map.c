/* SPDX-License-Identifier: MIT
 *
 * The life of a map on its caller's worker: opened, granted slots, ended, closed, forgotten.
 */
#include "worker/map.h"

#include <inttypes.h>

/* Bytes of arguments and results from which on executors map them. */
#define SHARE_LEAST ((uint64_t)64 << 10)

/* Memory that is sent from or received into is the map's until MAP_GONE, as that which executors map. */
_Static_assert(SHARE_LEAST <= MNI_PAYLOAD_LEAST, "");

void mni_map_want(mni_worker_t *worker, mni_map_t *map, uint32_t want)
{
    if (map->closed || map->want == want)
        return;
    map->want = want;
    map->closed = want == 0;
    mni_writer_begin(&worker->frame, MNI_MSG_SLOTS_WANT, 0);
    mni_put_u64(&worker->frame, map->demand);
    mni_put_u64(&worker->frame, map->task);
    mni_put_u32(&worker->frame, map->what.declaration);
    mni_put_u32(&worker->frame, want);
    mni_worker_send(worker, 0);
}

bool mni_map_range_add(mni_map_t *map, uint64_t first, uint64_t count, uint32_t retries,
                       uint32_t lost)
{
    if (count == 0)
        return true;
    mni_range_t *range = malloc(sizeof *range);
    if (!range)
        return false;
    *range = (mni_range_t){.first = first, .count = count, .retries = retries, .lost = lost};
    DL_PREPEND(map->waiting, range);
    return true;
}

static void ranges_free(mni_map_t *map)
{
    mni_range_t *range, *next;
    DL_FOREACH_SAFE (map->waiting, range, next) {
        DL_DELETE(map->waiting, range);
        free(range);
    }
}

uint64_t mni_map_waiting(const mni_map_t *map)
{
    const mni_range_t *range;
    uint64_t count = 0;
    DL_FOREACH (map->waiting, range)
        count += range->count;
    return count;
}

void mni_map_want_waiting(mni_worker_t *worker, mni_map_t *map)
{
    uint64_t waiting = mni_map_waiting(map);
    if (!map->over && waiting > 0)
        mni_map_want(worker, map, map->slot_count + (uint32_t)(waiting < 1024 ? waiting : 1024));
}

void mni_map_post(mni_worker_t *worker, mni_map_t *map)
{
    if (mni_writer_end(&worker->frame) == 0)
        mni_channel_post(map->home->channel, worker->frame.data, worker->frame.size);
}

void mni_map_free_when_over(mni_worker_t *worker, mni_map_t *map)
{
    if (!map->over || map->slots || map->caller)
        return;
    mni_map_want(worker, map, 0);
    if (map->tell_gone && map->home) {
        mni_writer_begin(&worker->frame, MNI_MSG_MAP_GONE, map->request);
        mni_map_post(worker, map);
    }
    ranges_free(map);
    DL_DELETE(worker->maps, map);
    free(map);
}

void mni_map_slot_free(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot)
{
    mni_writer_begin(&worker->frame, MNI_MSG_SLOT_FREE, 0);
    mni_put_u64(&worker->frame, slot->what.task);
    mni_worker_send(worker, 0);
    DL_DELETE(map->slots, slot);
    map->slot_count--;
    free(slot);
}

/* Asks the slots that are busy to stop (code), or kills what they run (0). */
static void stop_slots(mni_worker_t *worker, mni_map_t *map, int code)
{
    mni_slot_t *slot, *next;
    DL_FOREACH_SAFE (map->slots, slot, next) {
        if (slot == map->current)
            continue;
        if (!slot->busy) {
            mni_map_slot_free(worker, map, slot);
            continue;
        }
        mni_writer_begin(&worker->frame, MNI_MSG_BLOCK_STOP, 0);
        mni_put_u64(&worker->frame, slot->what.task);
        mni_put_i32(&worker->frame, code);
        mni_worker_send(worker, slot->what.rank);
    }
}

void mni_map_end(mni_worker_t *worker, mni_map_t *map, int code, uint64_t index,
                 const char *message)
{
    int stop = code == MN_E_INTERRUPTED ? code : MN_E_CANCELLED;
    if (map->over)
        return;
    map->over = true;
    ranges_free(map);
    if (map->caller) {
        mni_writer_begin(&worker->frame, MNI_MSG_MAP_END, map->request);
        mni_put_i32(&worker->frame, code);
        mni_put_u64(&worker->frame, index);
        mni_put_text(&worker->frame, code < 0 ? message : NULL);
        mni_map_post(worker, map);
        map->caller = NULL;
    }
    stop_slots(worker, map, stop);
    if (code < 0 || !map->current) /* else its last slot may be leased */
        mni_map_want(worker, map, 0);
}

/* --- from the caller ------------------------------------------------------------------------------------- */

static int map_check(const mni_executor_t *caller, const mni_msg_map_t *what)
{
    size_t half = mni_channel_block_offset(caller->channel);
    uint64_t arguments = 0, results = 0;
    const mni_declaration_t *function = mni_declaration_get(what->declaration);

    if (!function || function->kind != MN_KIND_FUNCTION || what->count == 0)
        return mni_error(MN_E_PROTOCOL, "a map of no function");
    if (what->by_value)
        arguments = what->arguments_bytes;
    else if (__builtin_mul_overflow(what->count, what->argument_size, &arguments) ||
             __builtin_mul_overflow(what->count, what->result_size, &results))
        return mni_error(MN_E_PROTOCOL, "a map whose size overflows");
    if (what->by_value && what->count > what->arguments_bytes / MNI_PACK_ENTRY)
        return mni_error(MN_E_PROTOCOL, "a map of more items than its pack has");
    if (what->arguments > half || arguments > half - what->arguments || what->results > half ||
        results > half - what->results)
        return mni_error(MN_E_PROTOCOL, "a map outside its caller's arena");
    if (what->ready > what->count || (what->by_value && what->ready < what->count))
        return mni_error(MN_E_PROTOCOL, "a map with more arguments than items, or too few");
    return 0;
}

int mni_worker_map_open(mni_worker_t *worker, mni_executor_t *caller, uint64_t request,
                        const mni_msg_map_t *what)
{
    int rc = map_check(caller, what);
    if (rc < 0)
        return rc;
    mni_map_t *map = calloc(1, sizeof *map);
    if (!map || !mni_map_range_add(map, 0, what->count, 0, 0)) {
        free(map);
        return mni_error(MN_E_NO_MEMORY, "no memory for a map");
    }
    map->caller = map->home = caller;
    map->shares = what->arguments_bytes + what->count * what->result_size >= SHARE_LEAST;
    map->task = caller->task;
    map->request = request;
    map->what = *what;
    map->function = mni_declaration_get(what->declaration);
    map->arena = mni_channel_arena(caller->channel, NULL);
    map->unfinished = what->count;
    map->item_time = worker->item_times[what->declaration];
    DL_APPEND(worker->maps, map);
    bool leased = mni_lease_take(worker, map);
    if (!leased)
        map->demand = (uint64_t)worker->rank << 40 | ++worker->next_map;
    mni_map_want(worker, map, what->count < UINT16_MAX ? (uint32_t)what->count : UINT16_MAX);
    if (leased) {
        mni_map_dispatch(worker, map, map->slots);
        mni_map_free_when_over(worker, map);
    }
    return 0;
}

mni_map_t *mni_map_of_demand(const mni_worker_t *worker, uint64_t demand)
{
    mni_map_t *map;
    DL_FOREACH (worker->maps, map) {
        if (map->demand == demand)
            return map;
    }
    return NULL;
}

int mni_worker_map_more(mni_worker_t *worker, mni_executor_t *caller, uint64_t request,
                        uint64_t ready)
{
    mni_map_t *map;

    DL_FOREACH (worker->maps, map) {
        if (map->caller == caller && map->request == request)
            break;
    }
    if (!map)
        return 0; /* it has failed meanwhile */
    if (ready < map->what.ready || ready > map->what.count)
        return mni_error(MN_E_PROTOCOL, "a map with more arguments than items");
    map->what.ready = ready;
    mni_map_dispatch_idle(worker, map);
    mni_map_free_when_over(worker, map);
    return 0;
}

/* Nobody waits for the map any more. */
static void map_abandon(mni_worker_t *worker, mni_map_t *map, int code)
{
    map->caller = NULL;
    map->over = true;
    ranges_free(map);
    stop_slots(worker, map, code);
    mni_map_want(worker, map, 0);
    mni_map_free_when_over(worker, map);
}

void mni_worker_map_close(mni_worker_t *worker, mni_executor_t *caller, uint64_t request)
{
    mni_map_t *map;
    bool in_use = false;

    DL_FOREACH (worker->maps, map) {
        if (map->home == caller && map->request == request)
            break;
    }
    if (map) {
        mni_slot_t *slot;
        DL_FOREACH (map->slots, slot)
            in_use = in_use || (map->shares && slot->busy);
        map->tell_gone = in_use;
        if (map->caller)
            map_abandon(worker, map, MN_E_CANCELLED);
    }
    mni_writer_begin(&worker->frame, MNI_MSG_REPLY, request);
    mni_put_i32(&worker->frame, in_use);
    mni_put_text(&worker->frame, NULL);
    if (mni_writer_end(&worker->frame) == 0)
        mni_channel_post(caller->channel, worker->frame.data, worker->frame.size);
}

void mni_map_caller_stopped(mni_worker_t *worker, mni_executor_t *caller, int code)
{
    mni_map_t *map, *next;
    mni_lease_end(worker, caller);
    DL_FOREACH_SAFE (worker->maps, map, next) {
        /* Rank 0 has asked its slots to stop too; here no more blocks begin. */
        if (map->caller == caller)
            mni_map_end(worker, map, code, map->what.count, "the caller was asked to stop");
    }
}

void mni_map_caller_gone(mni_worker_t *worker, mni_executor_t *caller)
{
    mni_map_t *map, *next;
    mni_lease_end(worker, caller);
    DL_FOREACH_SAFE (worker->maps, map, next) {
        if (map->caller == caller)
            map_abandon(worker, map, 0);
    }
}

void mni_map_process_gone(mni_worker_t *worker, mni_executor_t *caller)
{
    mni_map_t *map;
    mni_map_caller_gone(worker, caller);
    DL_FOREACH (worker->maps, map) {
        if (map->home == caller)
            map->home = NULL;
    }
}

/* --- from rank 0 ------------------------------------------------------------------------------------------ */

void mni_map_grant(mni_worker_t *worker, uint64_t demand, const mni_msg_slot_t *what)
{
    mni_map_t *map = mni_map_of_demand(worker, demand);
    mni_slot_t *slot = map ? calloc(1, sizeof *slot) : NULL;

    if (!slot) {
        mni_writer_begin(&worker->frame, MNI_MSG_SLOT_FREE, 0);
        mni_put_u64(&worker->frame, what->task);
        mni_worker_send(worker, 0);
        return;
    }
    slot->what = *what;
    DL_APPEND(map->slots, slot);
    map->slot_count++;
    mni_map_dispatch(worker, map, slot);
    mni_map_free_when_over(worker, map);
}

void mni_map_refuse(mni_worker_t *worker, uint64_t demand, int code, const char *message)
{
    mni_map_t *map = mni_map_of_demand(worker, demand);
    if (!map)
        return;
    map->closed = true; /* rank 0 has forgotten it */
    mni_map_end(worker, map, code, map->what.count, message);
    mni_map_free_when_over(worker, map);
}

void mni_map_rank_lost(mni_worker_t *worker, uint32_t rank)
{
    mni_map_t *map, *next_map;
    mni_slot_t *slot, *next_slot;
    mni_lease_rank_lost(worker, rank);
    DL_FOREACH_SAFE (worker->maps, map, next_map) {
        DL_FOREACH_SAFE (map->slots, slot, next_slot) {
            if (slot->what.rank != rank)
                continue;
            mni_range_t block = slot->block;
            bool busy = slot->busy;
            DL_DELETE(map->slots, slot);
            map->slot_count--;
            free(slot);
            if (map->over || !busy)
                continue;
            if (block.lost >= map->function->need.max_lost) {
                mni_map_end(worker, map, MN_E_LOST, block.first, "the worker that ran it was lost");
                break; /* mni_map_end() may have given back further slots */
            }
            if (!mni_map_range_add(map, block.first, block.count, block.retries, block.lost + 1))
                mni_map_end(worker, map, MN_E_NO_MEMORY, block.first,
                            "no memory to go on with the map");
            else
                mni_map_want_waiting(worker, map);
        }
        mni_map_dispatch_idle(worker, map); /* what they waited for may have been cut there */
        mni_map_free_when_over(worker, map);
    }
}
