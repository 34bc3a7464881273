/* SPDX-License-Identifier: MIT
 *
 * Blocks of a map, on their way out. They shrink with what is left, and are small at first when it is not known from the
 * map before how long an item takes. Arguments that the caller is still copying are waited for (MAP_MORE).
 *
 * A slot on the caller's node is this rank's own, and its executor maps the caller's memory and works there; to other
 * nodes blocks are sent as bytes, large ones by MPI from where they lie. Those of small maps are copied here too: mapping costs more than they do.
 */
#include "worker/map.h"

#include <unistd.h>

/* How long a block should take when there are many items: long against the cost of a block, short against the map. */
#define BLOCK_TIME 0.05

/* Most bytes of arguments, and of results, that travel together (a single item may be larger). */
#define BLOCK_BYTES ((uint64_t)4 << 20)

/* Items of a map's first blocks, as a share of the map. */
#define FIRST_SHARE 64

/* Seconds that a block should take at least: a worker and an executor are woken for each. */
#define LEAST_TIME 0.0004

static uint64_t block_items(const mni_map_t *map, const mni_range_t *range)
{
    uint64_t waiting = mni_map_waiting(map);
    uint64_t slots = map->slot_count ? map->slot_count : 1;
    uint64_t items = (waiting + 2 * slots - 1) / (2 * slots);
    uint64_t bytes = map->what.argument_size > map->what.result_size ? map->what.argument_size
                                                                     : map->what.result_size;

    if (map->item_time > 0) {
        double most = BLOCK_TIME / map->item_time, least = LEAST_TIME / map->item_time;
        if (items < least)
            items = least < (double)waiting ? (uint64_t)least : waiting;
        if (items > most)
            items = (uint64_t)most;
    } else if (items > map->what.count / FIRST_SHARE) {
        items = map->what.count / FIRST_SHARE;
    }
    if (map->what.by_value) /* sizes differ: by their mean */
        bytes = map->what.arguments_bytes / map->what.count;
    if (!map->shares && bytes > 0 && items > BLOCK_BYTES / bytes)
        items = BLOCK_BYTES / bytes;
    if (map->what.max_block > 0 && items > map->what.max_block)
        items = map->what.max_block;
    if (items > MNI_SPAN_MAX)
        items = MNI_SPAN_MAX;
    if (items < 1)
        items = 1;
    if (items > map->what.ready - range->first)
        items = map->what.ready - range->first;
    return items < range->count ? items : range->count;
}

/* Cuts the next block from what waits, whose first arguments are there. */
static mni_range_t cut_block(mni_map_t *map)
{
    mni_range_t *range = map->waiting;
    mni_range_t block = *range;
    block.count = block_items(map, range);
    range->first += block.count;
    range->count -= block.count;
    if (range->count == 0) {
        DL_DELETE(map->waiting, range);
        free(range);
    }
    return block;
}

/* Bytes of the arguments of a block by value, as a pack of its own. */
static size_t pack_bytes(const mni_map_t *map, const mni_range_t *block, const void *pack)
{
    size_t size = mni_pack_header(block->count);
    for (uint64_t i = 0; i < block->count; i++) {
        mn_value_t value;
        if (mni_pack_get(pack, map->what.arguments_bytes, map->what.count, block->first + i,
                         &value) == 0)
            size += mni_pack_grow(size, value);
    }
    return size;
}

static void pack_fill(const mni_map_t *map, const mni_range_t *block, const void *pack,
                      uint8_t *room, size_t bytes)
{
    size_t size = mni_pack_header(block->count);
    memset(room, 0, size);
    for (uint64_t i = 0; i < block->count; i++) {
        mn_value_t value = {0};
        /* The caller's code may scribble over it between two looks: what no longer fits goes as empty. */
        if (mni_pack_get(pack, map->what.arguments_bytes, map->what.count, block->first + i,
                         &value) < 0 ||
            value.size > bytes - size)
            value = (mn_value_t){0};
        size = mni_pack_put(room, size, i, value);
    }
}

/* A block that could not be sent fails the map. */
static void sent_or_end(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot, int rc)
{
    if (rc == 0)
        return;
    slot->busy = false;
    mni_map_end(worker, map, rc, slot->block.first, mn_error_message());
}

/* The block's offsets in the caller's memory, and where that is. */
static void share_block(const mni_map_t *map, const mni_range_t *block, mni_msg_block_t *what)
{
    const mni_msg_map_t *all = &map->what;
    what->shared =
        (mni_msg_shared_t){.pid = (int32_t)getpid(),
                           .memfd = mni_channel_memfd(map->home->channel),
                           .inode = mni_channel_inode(map->home->channel),
                           .arguments = all->arguments,
                           .arguments_bytes = all->arguments_bytes,
                           .results = all->results,
                           .results_bytes = all->by_value ? 0 : all->count * all->result_size};
    what->arguments = all->arguments;
    what->arguments_bytes = all->arguments_bytes;
    if (all->by_value)
        return;
    what->arguments += block->first * all->argument_size;
    what->arguments_bytes = block->count * all->argument_size;
    what->results = all->results + block->first * all->result_size;
    what->results_room = block->count * all->result_size;
}

/* worker->frame, the arguments in it. */
static int send_small(mni_worker_t *worker, const mni_slot_t *slot)
{
    mni_put_u64(&worker->frame, 0);
    return mni_comm_send(worker->comm, slot->what.rank, &worker->frame);
}

/* worker->frame, the arguments behind it. */
static int send_large(mni_worker_t *worker, const mni_slot_t *slot, const void *arguments,
                      size_t bytes, mni_comm_done_t *done, void *argument)
{
    mni_put_bytes(&worker->frame, NULL, 0);
    mni_put_u64(&worker->frame, bytes);
    return mni_comm_send_with(worker->comm, slot->what.rank, &worker->frame, arguments, bytes, done,
                              argument);
}

static void pack_sent(void *argument, bool lost)
{
    if (!lost)
        free(argument);
}

static int send_pack(mni_worker_t *worker, const mni_map_t *map, const mni_slot_t *slot,
                     const uint8_t *arguments, size_t bytes)
{
    if (bytes < MNI_PAYLOAD_LEAST) {
        void *room = mni_put_room(&worker->frame, bytes);
        if (room)
            pack_fill(map, &slot->block, arguments, room, bytes);
        return send_small(worker, slot);
    }
    void *pack = malloc(bytes);
    if (!pack)
        return mni_error(MN_E_NO_MEMORY, "no memory for %zu bytes of arguments", bytes);
    pack_fill(map, &slot->block, arguments, pack, bytes);
    int rc = send_large(worker, slot, pack, bytes, pack_sent, pack);
    if (rc < 0)
        free(pack);
    return rc;
}

static int send_array(mni_worker_t *worker, const mni_map_t *map, const mni_slot_t *slot,
                      const uint8_t *arguments, size_t bytes)
{
    mni_transfer_t *transfer = NULL;
    mni_channel_t *channel = map->home->channel;

    if (bytes >= MNI_PAYLOAD_LEAST && map->shares) {
        /* An embedded caller may show other pages at its own addresses. */
        uint8_t *view = map->home->embedded ? mni_channel_view(channel, worker->rank) : map->arena;
        if (view)
            transfer = mni_transfer_begin(worker, channel, slot->what.rank,
                                          view + (arguments - map->arena));
    }
    if (!transfer) {
        mni_put_bytes(&worker->frame, arguments, bytes);
        return send_small(worker, slot);
    }
    int rc = send_large(worker, slot, transfer->at, bytes, mni_transfer_done, transfer);
    if (rc < 0)
        mni_transfer_undo(transfer);
    return rc;
}

static void send_block(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot)
{
    const uint8_t *arguments = map->arena + map->what.arguments;
    const mni_range_t *block = &slot->block;
    mni_msg_block_t what = {.declaration = map->what.declaration,
                            .id = slot->what.id,
                            .task = slot->what.task,
                            .threads = slot->what.threads,
                            .by_value = map->what.by_value,
                            .timeout = slot->what.timeout,
                            .first = block->first,
                            .count = block->count,
                            .argument_size = map->what.argument_size,
                            .result_size = map->what.result_size};

    slot->busy = true;
    slot->asked = false;
    slot->whole = mni_declaration_get(what.declaration)->blockwise; /* it is begun as a whole */
    slot->number = ++worker->next_block;
    slot->sent = mni_clock_now();
    slot->placed = NULL;
    if (map->shares && slot->what.rank == worker->rank) {
        share_block(map, block, &what);
        mni_block_receive(worker, worker->rank, map->demand, slot->number, &slot->what, &what,
                          NULL);
        return;
    }
    if (map->what.by_value)
        what.arguments_bytes = pack_bytes(map, block, arguments);
    else
        what.arguments_bytes = block->count * map->what.argument_size;
    if (slot->what.rank == worker->rank && !map->what.by_value) {
        mni_block_receive(worker, worker->rank, map->demand, slot->number, &slot->what, &what,
                          arguments + block->first * map->what.argument_size);
        return;
    }
    mni_writer_begin(&worker->frame, MNI_MSG_BLOCK_SEND, 0);
    mni_put_u64(&worker->frame, map->demand);
    mni_put_u64(&worker->frame, slot->number);
    mni_put_slot(&worker->frame, &slot->what);
    mni_put_block(&worker->frame, &what);
    int rc = map->what.by_value
                 ? send_pack(worker, map, slot, arguments, what.arguments_bytes)
                 : send_array(worker, map, slot, arguments + block->first * map->what.argument_size,
                              what.arguments_bytes);
    sent_or_end(worker, map, slot, rc);
}

/* What the slot's worker has cut off its block waits again. */
static void take_back(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot, uint64_t kept)
{
    mni_range_t *block = &slot->block;

    slot->asked = false;
    slot->whole = kept >= block->count;
    if (slot->whole)
        return;
    if (!mni_map_range_add(map, block->first + kept, block->count - kept, block->retries,
                           block->lost))
        mni_map_end(worker, map, MN_E_NO_MEMORY, block->first + kept,
                    "no memory to go on with the map");
    block->count = kept;
}

/* Nothing waits, but others may have more than they can do in time: the largest block is cut. True: it is worth while to
 * wait for that. */
static bool cut_other(mni_worker_t *worker, mni_map_t *map)
{
    mni_slot_t *slot, *largest;
    bool asked;

    while (!map->over && !map->waiting) {
        largest = NULL;
        asked = false;
        DL_FOREACH (map->slots, slot) {
            asked = asked || slot->asked;
            if (slot->busy && !slot->asked && !slot->whole && slot->block.count > 1 &&
                (!largest || slot->block.count > largest->block.count))
                largest = slot;
        }
        if (asked || !largest)
            return asked;
        if (largest->what.rank == worker->rank) {
            take_back(worker, map, largest,
                      mni_block_cut(worker, map->demand, largest->number, largest->what.task));
            continue;
        }
        largest->asked = true;
        mni_writer_begin(&worker->frame, MNI_MSG_BLOCK_CUT, 0);
        mni_put_u64(&worker->frame, map->demand);
        mni_put_u64(&worker->frame, largest->number);
        mni_put_u64(&worker->frame, largest->what.task);
        mni_worker_send(worker, largest->what.rank);
    }
    return false;
}

void mni_map_block_kept(mni_worker_t *worker, uint64_t demand, uint64_t number, uint64_t task,
                        uint64_t items)
{
    mni_map_t *map = mni_map_of_demand(worker, demand);
    mni_slot_t *slot = NULL;

    if (map)
        DL_FOREACH (map->slots, slot) {
            if (slot->what.task == task && slot->asked && slot->number == number)
                break;
        }
    if (!slot)
        return;
    take_back(worker, map, slot, items);
    mni_map_dispatch_idle(worker, map);
    mni_map_free_when_over(worker, map);
}

void mni_map_dispatch(mni_worker_t *worker, mni_map_t *map, mni_slot_t *slot)
{
    mni_slot_t *current = map->current;
    map->current = slot; /* should the map end there */
    bool wait = cut_other(worker, map);
    map->current = current;
    if (wait)
        return; /* BLOCK_KEPT comes, or the end of that block */
    if (map->over || !map->waiting) {
        if (!map->over && map->slot_count > 1) /* first, or rank 0 would grant another one for it */
            mni_map_want(worker, map, map->slot_count - 1);
        mni_map_slot_free(worker, map, slot);
        return;
    }
    if (map->waiting->first >= map->what.ready)
        return; /* its caller is still copying */
    slot->block = cut_block(map);
    if (!map->waiting) /* no more slots would be of use */
        mni_map_want(worker, map, map->slot_count);
    send_block(worker, map, slot);
}

void mni_map_dispatch_idle(mni_worker_t *worker, mni_map_t *map)
{
    mni_slot_t *slot, *next;
    DL_FOREACH_SAFE (map->slots, slot, next) {
        if (!slot->busy && slot != map->current)
            mni_map_dispatch(worker, map, slot);
        if (map->over)
            break; /* the others have been given back */
    }
}
