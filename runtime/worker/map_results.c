/* SPDX-License-Identifier: MIT
 *
 * What became of the blocks of a map: results that have to be brought to the caller, items that failed.
 */
#include "worker/map.h"

#include <inttypes.h>
#include <stdio.h>

static mni_slot_t *slot_in_flight(mni_map_t *map, uint64_t task, uint64_t number)
{
    mni_slot_t *slot;
    if (!map)
        return NULL;
    DL_FOREACH (map->slots, slot) {
        if (slot->what.task == task && slot->busy && slot->number == number)
            return slot;
    }
    return NULL;
}

bool mni_map_expect(mni_worker_t *worker, uint32_t source, uint64_t demand, uint64_t number,
                    uint64_t task, const mni_msg_finished_t *finished, size_t bytes,
                    mni_comm_memory_t *memory)
{
    mni_map_t *map = mni_map_of_demand(worker, demand);
    mni_slot_t *slot = slot_in_flight(map, task, number);

    if (!slot || slot->what.rank != source || !map->shares || map->over || !map->caller ||
        map->what.by_value)
        return false;
    if (finished->items > slot->block.count || bytes != finished->items * map->what.result_size)
        return false;
    uint8_t *view = mni_channel_view(map->home->channel, source);
    if (!view)
        return false;
    view += map->what.results + slot->block.first * map->what.result_size;
    mni_transfer_t *transfer = mni_transfer_begin(worker, map->home->channel, source, view);
    if (!transfer)
        return false;
    transfer->view = true;
    slot->placed = view;
    *memory = (mni_comm_memory_t){view, mni_transfer_done, transfer};
    return true;
}

static void take_results(mni_worker_t *worker, mni_map_t *map, const mni_slot_t *slot,
                         uint64_t items, const void *results, size_t size)
{
    const mni_range_t *block = &slot->block;

    if (!map->caller || items == 0)
        return;
    if (!map->what.by_value) {
        if (slot->placed && results == slot->placed)
            return;
        if (size == items * map->what.result_size && size > 0)
            memcpy(map->arena + map->what.results + block->first * map->what.result_size, results,
                   size);
        return;
    }
    mni_writer_begin(&worker->frame, MNI_MSG_MAP_ITEMS, map->request);
    mni_put_u64(&worker->frame, block->first);
    mni_put_u64(&worker->frame, items);
    mni_put_bytes(&worker->frame, results, size);
    mni_map_post(worker, map);
}

static void tell_fault(mni_worker_t *worker, mni_map_t *map, uint64_t index,
                       const mni_msg_finished_t *finished)
{
    mni_writer_begin(&worker->frame, MNI_MSG_MAP_FAULT, map->request);
    mni_put_u64(&worker->frame, index);
    mni_put_i32(&worker->frame, finished->code);
    mni_put_u8(&worker->frame, finished->reason);
    mni_put_text(&worker->frame, finished->message);
    mni_map_post(worker, map);
}

/* The item after the complete ones failed: it runs again, is reported, or fails the map. */
static void item_failed(mni_worker_t *worker, mni_map_t *map, const mni_range_t *block,
                        uint64_t items, const mni_msg_finished_t *finished)
{
    char text[MNI_ERROR_MAX];
    uint64_t index = block->first + items;

    if (finished->reason == MN_REASON_INTERRUPTED) { /* put back by rank 0: counts for nothing */
        if (!mni_map_range_add(map, index, block->count - items, block->retries, block->lost))
            mni_map_end(worker, map, MN_E_NO_MEMORY, index, "no memory to go on with the map");
        mni_map_want_waiting(worker, map);
        return;
    }
    bool again =
        block->retries < map->function->need.max_retries && finished->reason != MN_REASON_KILLED;
    /* The items behind it have not begun, so they have used up no attempt. */
    bool kept = mni_map_range_add(map, index + 1, block->count - items - 1, 0, block->lost);

    if (kept && again)
        kept = mni_map_range_add(map, index, 1, block->retries + 1, block->lost);
    else if (kept && map->what.per_item) {
        tell_fault(worker, map, index, finished);
        map->unfinished--;
    } else if (kept) {
        snprintf(text, sizeof text, "item %" PRIu64 " of %s: %s", map->what.base + index,
                 map->function->name,
                 finished->message ? finished->message : mn_strerror(finished->code));
        mni_map_end(worker, map, finished->code, index, text);
    }
    if (!kept)
        mni_map_end(worker, map, MN_E_NO_MEMORY, index, "no memory to go on with the map");
    mni_map_want_waiting(worker, map);
}

/* Moves what is known of how long an item takes. */
static void learn_time(mni_worker_t *worker, mni_map_t *map, const mni_slot_t *slot, uint64_t items)
{
    if (items == 0)
        return;
    double seconds = (double)(mni_clock_now() - slot->sent) * 1e-9 / (double)items;
    map->item_time = map->item_time > 0 ? 0.5 * map->item_time + 0.5 * seconds : seconds;
    worker->item_times[map->what.declaration] = map->item_time;
}

void mni_map_block_done(mni_worker_t *worker, uint64_t demand, uint64_t number, uint64_t task,
                        const mni_msg_finished_t *finished, const void *results, size_t size)
{
    mni_map_t *map = mni_map_of_demand(worker, demand);
    mni_slot_t *slot = slot_in_flight(map, task, number);
    if (!slot)
        return;
    bool asked = slot->asked;
    slot->busy = slot->asked = false;
    map->current = slot;
    if (!map->over) {
        const mni_range_t *block = &slot->block;
        uint64_t items = finished->items < block->count ? finished->items : block->count;
        learn_time(worker, map, slot, items);
        take_results(worker, map, slot, items, results, size);
        map->unfinished -= items;
        if (items < block->count)
            item_failed(worker, map, block, items, finished);
        if (map->unfinished == 0)
            mni_map_end(worker, map, 0, 0, NULL);
    }
    map->current = NULL;
    if (finished->reason == MN_REASON_INTERRUPTED)
        mni_map_slot_free(worker, map, slot); /* rank 0 has taken it back already */
    else if (!(map->over && finished->code >= 0 && mni_lease_keep(worker, map, slot)))
        mni_map_dispatch(worker, map, slot);
    if (asked)
        mni_map_dispatch_idle(worker, map);
    mni_map_free_when_over(worker, map);
}
