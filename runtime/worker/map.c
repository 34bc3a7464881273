/* SPDX-License-Identifier: MIT
 *
 * Maps that are driven from this worker, for its executors, the driver or the embedded client.
 *
 * The items that wait are a list of ranges. Each slot that rank 0 grants gets blocks cut from it, one at a time,
 * until it is empty; then the slot is given back. Blocks shrink with what is left, and are small at first, until
 * it is known how long an item takes. Arguments that the caller is still copying are waited for (MAP_MORE).
 *
 * Executors of this host map the caller's memory and work there; only to others blocks are sent as bytes. Small maps are
 * sent too: mapping costs more than they do. An item that fails or is lost comes back as a range of its own,
 * which counts its further attempts.
 */
#include "worker/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* How long a block should take when there are many items: long against the cost of a block, short against the map. */
#define BLOCK_TIME 0.05

/* Most bytes of arguments, and of results, that travel together (a single item may be larger). */
#define BLOCK_BYTES ((uint64_t)4 << 20)

/* Items of a map's first blocks, as a share of the map. */
#define FIRST_SHARE 64

/* Seconds that a block should take at least: a worker and an executor are woken for each. */
#define LEAST_TIME 0.0002

/* Bytes of arguments and results from which on executors map them. */
#define SHARE_LEAST ((uint64_t)64 << 10)

typedef struct range {
    struct range *prev, *next;
    uint64_t first, count;
    uint32_t retries, lost; /* attempts of these items that failed, were lost */
} range_t;

typedef struct slot {
    struct slot *prev, *next;
    mni_msg_slot_t what;
    bool busy;
    uint64_t number; /* of its block */
    range_t block;
    uint64_t sent; /* when */
} slot_t;

struct mni_map {
    struct mni_map *prev, *next;
    uint64_t demand;        /* its number, for rank 0 and for other workers */
    mni_executor_t *caller; /* NULL: it is gone, has closed the map, or was told that it is over */
    mni_executor_t *home;   /* whose arena it is; NULL: it is gone */
    bool shares;            /* executors of this host work in its memory */
    bool spoilt;            /* one on a rank that was lost did */
    bool tell_gone;         /* MAP_GONE is owed */
    uint64_t task, request;
    mni_msg_map_t what;
    const mni_declaration_t *function;
    uint8_t *arena; /* the caller's */
    range_t *waiting;
    uint64_t unfinished; /* items */
    uint64_t next_number;
    double item_time;        /* seconds, 0: not known yet */
    slot_t *slots, *current; /* current: its block is being taken in */
    uint32_t slot_count, want;
    bool over;   /* MAP_END was sent, or nobody waits for it: no more blocks */
    bool closed; /* rank 0 was told */
};

static void send_want(mni_worker_t *worker, mni_map_t *map, uint32_t want)
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

/* Puts a range at the front of what waits. False: no memory. */
static bool range_add(mni_map_t *map, uint64_t first, uint64_t count, uint32_t retries,
                      uint32_t lost)
{
    if (count == 0)
        return true;
    range_t *range = malloc(sizeof *range);
    if (!range)
        return false;
    *range = (range_t){.first = first, .count = count, .retries = retries, .lost = lost};
    DL_PREPEND(map->waiting, range);
    return true;
}

static void ranges_free(mni_map_t *map)
{
    range_t *range, *next;
    DL_FOREACH_SAFE (map->waiting, range, next) {
        DL_DELETE(map->waiting, range);
        free(range);
    }
}

static uint64_t items_waiting(const mni_map_t *map)
{
    const range_t *range;
    uint64_t count = 0;
    DL_FOREACH (map->waiting, range)
        count += range->count;
    return count;
}

static void post_home(mni_worker_t *worker, mni_map_t *map)
{
    if (mni_writer_end(&worker->frame) == 0)
        mni_channel_post(map->home->channel, worker->frame.data, worker->frame.size);
}

static void map_free_when_over(mni_worker_t *worker, mni_map_t *map)
{
    if (!map->over || map->slots || map->caller)
        return;
    send_want(worker, map, 0);
    if (map->tell_gone && map->home) {
        mni_writer_begin(&worker->frame, MNI_MSG_MAP_GONE, map->request);
        post_home(worker, map);
    }
    ranges_free(map);
    DL_DELETE(worker->maps, map);
    free(map);
}

static void slot_free(mni_worker_t *worker, mni_map_t *map, slot_t *slot)
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
    slot_t *slot, *next;
    DL_FOREACH_SAFE (map->slots, slot, next) {
        if (slot == map->current)
            continue;
        if (!slot->busy) {
            slot_free(worker, map, slot);
            continue;
        }
        mni_writer_begin(&worker->frame, MNI_MSG_BLOCK_STOP, 0);
        mni_put_u64(&worker->frame, slot->what.task);
        mni_put_i32(&worker->frame, code);
        mni_worker_send(worker, slot->what.rank);
    }
}

/* Tells the caller that nothing more comes; `index` is the item that failed it, the count when none did. What still
 * runs is asked to stop. */
static void map_end(mni_worker_t *worker, mni_map_t *map, int code, uint64_t index,
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
        mni_put_u8(&worker->frame, map->spoilt);
        post_home(worker, map);
        map->caller = NULL;
    }
    stop_slots(worker, map, stop);
    send_want(worker, map, 0);
}

/* --- blocks out ----------------------------------------------------------------------------------------- */

static uint64_t block_items(const mni_map_t *map, const range_t *range)
{
    uint64_t waiting = items_waiting(map);
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
    if (items < 1)
        items = 1;
    if (items > map->what.ready - range->first)
        items = map->what.ready - range->first;
    return items < range->count ? items : range->count;
}

/* Cuts the next block from what waits, whose first arguments are there. */
static range_t cut_block(mni_map_t *map)
{
    range_t *range = map->waiting;
    range_t block = *range;
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
static size_t pack_bytes(const mni_map_t *map, const range_t *block, const void *pack)
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

static void pack_fill(const mni_map_t *map, const range_t *block, const void *pack, uint8_t *room,
                      size_t bytes)
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
static void sent_or_end(mni_worker_t *worker, mni_map_t *map, slot_t *slot, int rc)
{
    if (rc == 0)
        return;
    slot->busy = false;
    map_end(worker, map, rc, slot->block.first, mn_error_message());
}

/* The block's offsets in the caller's memory, and where that is. */
static void share_block(const mni_map_t *map, const range_t *block, mni_msg_block_t *what)
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

/* Tells the slot's worker where the block is; no bytes go with it. */
static int send_shared(mni_worker_t *worker, mni_map_t *map, slot_t *slot, mni_msg_block_t *what)
{
    share_block(map, &slot->block, what);
    if (slot->what.rank == worker->rank) {
        mni_block_receive(worker, worker->rank, map->demand, slot->number, &slot->what, what, NULL);
        return 0;
    }
    mni_writer_begin(&worker->frame, MNI_MSG_BLOCK_SEND, 0);
    mni_put_u64(&worker->frame, map->demand);
    mni_put_u64(&worker->frame, slot->number);
    mni_put_slot(&worker->frame, &slot->what);
    mni_put_block(&worker->frame, what);
    mni_put_bytes(&worker->frame, NULL, 0);
    return mni_comm_send(worker->comm, slot->what.rank, &worker->frame);
}

static void send_block(mni_worker_t *worker, mni_map_t *map, slot_t *slot)
{
    const uint8_t *arguments = map->arena + map->what.arguments;
    const range_t *block = &slot->block;
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
    slot->number = ++map->next_number;
    slot->sent = mni_clock_now();
    if (map->shares && mni_comm_is_near(worker->comm, slot->what.rank)) {
        sent_or_end(worker, map, slot, send_shared(worker, map, slot, &what));
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
    void *room = mni_put_room(&worker->frame, what.arguments_bytes);
    if (room && map->what.by_value)
        pack_fill(map, block, arguments, room, what.arguments_bytes);
    else if (room)
        memcpy(room, arguments + block->first * map->what.argument_size, what.arguments_bytes);
    sent_or_end(worker, map, slot, mni_comm_send(worker->comm, slot->what.rank, &worker->frame));
}

/* Gives a slot its next block, or gives the slot back. */
static void dispatch(mni_worker_t *worker, mni_map_t *map, slot_t *slot)
{
    if (map->over || !map->waiting) {
        if (!map->over && map->slot_count > 1) /* first, or rank 0 would grant another one for it */
            send_want(worker, map, map->slot_count - 1);
        slot_free(worker, map, slot);
        return;
    }
    if (map->waiting->first >= map->what.ready)
        return; /* its caller is still copying */
    slot->block = cut_block(map);
    if (!map->waiting) /* no more slots would be of use */
        send_want(worker, map, map->slot_count);
    send_block(worker, map, slot);
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
    if (!map || !range_add(map, 0, what->count, 0, 0)) {
        free(map);
        return mni_error(MN_E_NO_MEMORY, "no memory for a map");
    }
    map->demand = (uint64_t)worker->rank << 40 | ++worker->next_map;
    map->caller = map->home = caller;
    map->shares = what->arguments_bytes + what->count * what->result_size >= SHARE_LEAST;
    map->task = caller->task;
    map->request = request;
    map->what = *what;
    map->function = mni_declaration_get(what->declaration);
    map->arena = mni_channel_arena(caller->channel, NULL);
    map->unfinished = what->count;
    DL_APPEND(worker->maps, map);
    send_want(worker, map, what->count < UINT16_MAX ? (uint32_t)what->count : UINT16_MAX);
    return 0;
}

static mni_map_t *map_of_demand(const mni_worker_t *worker, uint64_t demand)
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
    slot_t *slot, *next;

    DL_FOREACH (worker->maps, map) {
        if (map->caller == caller && map->request == request)
            break;
    }
    if (!map)
        return 0; /* it has failed meanwhile */
    if (ready < map->what.ready || ready > map->what.count)
        return mni_error(MN_E_PROTOCOL, "a map with more arguments than items");
    map->what.ready = ready;
    DL_FOREACH_SAFE (map->slots, slot, next) {
        if (!slot->busy && map->caller)
            dispatch(worker, map, slot);
    }
    return 0;
}

/* Nobody waits for the map any more. */
static void map_abandon(mni_worker_t *worker, mni_map_t *map, int code)
{
    map->caller = NULL;
    map->over = true;
    ranges_free(map);
    stop_slots(worker, map, code);
    send_want(worker, map, 0);
    map_free_when_over(worker, map);
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
        slot_t *slot;
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
    DL_FOREACH_SAFE (worker->maps, map, next) {
        /* Rank 0 has asked its slots to stop too; here no more blocks begin. */
        if (map->caller == caller)
            map_end(worker, map, code, map->what.count, "the caller was asked to stop");
    }
}

void mni_map_caller_gone(mni_worker_t *worker, mni_executor_t *caller)
{
    mni_map_t *map, *next;
    DL_FOREACH_SAFE (worker->maps, map, next) {
        if (map->home != caller)
            continue;
        map->home = NULL;
        if (map->caller)
            map_abandon(worker, map, 0);
    }
}

/* --- from rank 0 ------------------------------------------------------------------------------------------ */

void mni_map_grant(mni_worker_t *worker, uint64_t demand, const mni_msg_slot_t *what)
{
    mni_map_t *map = map_of_demand(worker, demand);
    slot_t *slot = map ? calloc(1, sizeof *slot) : NULL;

    if (!slot) {
        mni_writer_begin(&worker->frame, MNI_MSG_SLOT_FREE, 0);
        mni_put_u64(&worker->frame, what->task);
        mni_worker_send(worker, 0);
        return;
    }
    slot->what = *what;
    DL_APPEND(map->slots, slot);
    map->slot_count++;
    dispatch(worker, map, slot);
    map_free_when_over(worker, map);
}

void mni_map_refuse(mni_worker_t *worker, uint64_t demand, int code, const char *message)
{
    mni_map_t *map = map_of_demand(worker, demand);
    if (!map)
        return;
    map->closed = true; /* rank 0 has forgotten it */
    map_end(worker, map, code, map->what.count, message);
    map_free_when_over(worker, map);
}

/* --- results in -------------------------------------------------------------------------------------------- */

static void take_results(mni_worker_t *worker, mni_map_t *map, const range_t *block, uint64_t items,
                         const void *results, size_t size)
{
    if (!map->caller || items == 0)
        return;
    if (!map->what.by_value) {
        if (size == items * map->what.result_size && size > 0)
            memcpy(map->arena + map->what.results + block->first * map->what.result_size, results,
                   size);
        return;
    }
    mni_writer_begin(&worker->frame, MNI_MSG_MAP_ITEMS, map->request);
    mni_put_u64(&worker->frame, block->first);
    mni_put_u64(&worker->frame, items);
    mni_put_bytes(&worker->frame, results, size);
    post_home(worker, map);
}

static void tell_fault(mni_worker_t *worker, mni_map_t *map, uint64_t index,
                       const mni_msg_finished_t *finished)
{
    mni_writer_begin(&worker->frame, MNI_MSG_MAP_FAULT, map->request);
    mni_put_u64(&worker->frame, index);
    mni_put_i32(&worker->frame, finished->code);
    mni_put_u8(&worker->frame, finished->reason);
    mni_put_text(&worker->frame, finished->message);
    post_home(worker, map);
}

/* Something waits again: slots are of use again. */
static void want_for_waiting(mni_worker_t *worker, mni_map_t *map)
{
    uint64_t waiting = items_waiting(map);
    if (!map->over && waiting > 0)
        send_want(worker, map, map->slot_count + (uint32_t)(waiting < 1024 ? waiting : 1024));
}

/* The item after the complete ones failed: it runs again, is reported, or fails the map. */
static void item_failed(mni_worker_t *worker, mni_map_t *map, const range_t *block, uint64_t items,
                        const mni_msg_finished_t *finished)
{
    char text[MNI_ERROR_MAX];
    uint64_t index = block->first + items;

    if (finished->reason == MN_REASON_INTERRUPTED) { /* put back by rank 0: counts for nothing */
        if (!range_add(map, index, block->count - items, block->retries, block->lost))
            map_end(worker, map, MN_E_NO_MEMORY, index, "no memory to go on with the map");
        want_for_waiting(worker, map);
        return;
    }
    bool again =
        block->retries < map->function->need.max_retries && finished->reason != MN_REASON_KILLED;
    /* The items behind it have not begun, so they have used up no attempt. */
    bool kept = range_add(map, index + 1, block->count - items - 1, 0, block->lost);

    if (kept && again)
        kept = range_add(map, index, 1, block->retries + 1, block->lost);
    else if (kept && map->what.per_item) {
        tell_fault(worker, map, index, finished);
        map->unfinished--;
    } else if (kept) {
        snprintf(text, sizeof text, "item %" PRIu64 " of %s: %s", index, map->function->name,
                 finished->message ? finished->message : mn_strerror(finished->code));
        map_end(worker, map, finished->code, index, text);
    }
    if (!kept)
        map_end(worker, map, MN_E_NO_MEMORY, index, "no memory to go on with the map");
    want_for_waiting(worker, map);
}

/* Moves what is known of how long an item takes. */
static void learn_time(mni_map_t *map, const slot_t *slot, uint64_t items)
{
    if (items == 0)
        return;
    double seconds = (double)(mni_clock_now() - slot->sent) * 1e-9 / (double)items;
    map->item_time = map->item_time > 0 ? 0.5 * map->item_time + 0.5 * seconds : seconds;
}

void mni_map_block_done(mni_worker_t *worker, uint64_t demand, uint64_t number, uint64_t task,
                        const mni_msg_finished_t *finished, const void *results, size_t size)
{
    mni_map_t *map = map_of_demand(worker, demand);
    slot_t *slot = NULL;

    if (map)
        DL_FOREACH (map->slots, slot) {
            if (slot->what.task == task && slot->busy && slot->number == number)
                break;
        }
    if (!slot)
        return;
    slot->busy = false;
    map->current = slot;
    if (!map->over) {
        const range_t *block = &slot->block;
        uint64_t items = finished->items < block->count ? finished->items : block->count;
        learn_time(map, slot, items);
        take_results(worker, map, block, items, results, size);
        map->unfinished -= items;
        if (items < block->count)
            item_failed(worker, map, block, items, finished);
        if (map->unfinished == 0)
            map_end(worker, map, 0, 0, NULL);
    }
    map->current = NULL;
    if (finished->reason == MN_REASON_INTERRUPTED)
        slot_free(worker, map, slot); /* rank 0 has taken it back already */
    else
        dispatch(worker, map, slot);
    map_free_when_over(worker, map);
}

void mni_map_rank_lost(mni_worker_t *worker, uint32_t rank)
{
    mni_map_t *map, *next_map;
    slot_t *slot, *next_slot;
    DL_FOREACH_SAFE (worker->maps, map, next_map) {
        DL_FOREACH_SAFE (map->slots, slot, next_slot) {
            if (slot->what.rank != rank)
                continue;
            range_t block = slot->block;
            bool busy = slot->busy;
            map->spoilt = map->spoilt || (busy && map->shares);
            DL_DELETE(map->slots, slot);
            map->slot_count--;
            free(slot);
            if (map->over || !busy)
                continue;
            if (block.lost >= map->function->need.max_lost) {
                map_end(worker, map, MN_E_LOST, block.first, "the worker that ran it was lost");
                break; /* map_end() may have given back further slots */
            }
            if (!range_add(map, block.first, block.count, block.retries, block.lost + 1))
                map_end(worker, map, MN_E_NO_MEMORY, block.first,
                        "no memory to go on with the map");
            else
                want_for_waiting(worker, map);
        }
        map_free_when_over(worker, map);
    }
}
