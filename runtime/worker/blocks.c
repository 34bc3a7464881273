/* SPDX-License-Identifier: MIT
 *
 * Blocks of maps that executors of this worker work on, wherever the caller is.
 *
 * A block from the same host lies in its caller's memory, where the executor maps it. One from elsewhere, or a small one,
 * is brought: its arguments lie in the second half of the executor's arena, its results behind them. Large ones are received
 * there, in an executor that is kept for them from the moment that their message has come, and results are sent from
 * there; what is written while they are sent would be sent too, so the next block waits until they have left. When the
 * executor dies in the middle, the results of the items before the one that it died in are still there, and are
 * reported: no item that has ended is run again.
 */
#include "worker/internal.h"

static size_t align_up(size_t size)
{
    return (size + 63) / 64 * 64;
}

/* Arena memory that an executor keeps for its next block. */
#define KEEP_LIMIT ((size_t)16 << 20)

/* Work that it is worth while to take from an executor: another one is woken for it. */
#define CUT_LEAST (MNI_MILLISECOND / 5)

/* The message about the end of a block, up to its results. */
static void begin_done(mni_worker_t *worker, uint64_t map, uint64_t number, uint64_t slot,
                       const mni_msg_finished_t *finished)
{
    mni_writer_begin(&worker->frame, MNI_MSG_BLOCK_DONE, 0);
    mni_put_u64(&worker->frame, map);
    mni_put_u64(&worker->frame, number);
    mni_put_u64(&worker->frame, slot);
    mni_put_finished(&worker->frame, finished);
}

/* By message, also to this rank itself. */
static void send_done(mni_worker_t *worker, uint32_t source, uint64_t map, uint64_t number,
                      uint64_t slot, const mni_msg_finished_t *finished, const void *results,
                      size_t size)
{
    begin_done(worker, map, number, slot, finished);
    mni_put_bytes(&worker->frame, results, size);
    mni_put_u64(&worker->frame, 0);
    mni_worker_send(worker, source);
}

/* The same, the results from where they lie in the executor's arena, which must not change until they have left. */
static void send_done_from(mni_worker_t *worker, mni_executor_t *executor, const mni_block_t *block,
                           const mni_msg_finished_t *finished, const void *results, size_t size)
{
    mni_transfer_t *transfer = NULL;

    if (size >= MNI_PAYLOAD_LEAST && !executor->sending)
        transfer = mni_transfer_begin(worker, executor->channel, block->source, results);
    if (!transfer) {
        send_done(worker, block->source, block->map, block->number, block->slot.task, finished,
                  results, size);
        return;
    }
    begin_done(worker, block->map, block->number, block->slot.task, finished);
    mni_put_bytes(&worker->frame, NULL, 0);
    mni_put_u64(&worker->frame, size);
    transfer->executor = executor;
    executor->sending = transfer;
    if (mni_comm_send_with(worker->comm, block->source, &worker->frame, results, size,
                           mni_transfer_done, transfer) < 0)
        mni_transfer_undo(transfer);
}

/* Answers a block with an error for its first item. Always by message: the map may be in the middle of sending it. */
static void block_refuse(mni_worker_t *worker, uint32_t source, uint64_t map, uint64_t number,
                         uint64_t slot, int code, mn_reason_t reason, const char *message)
{
    mni_msg_finished_t finished = {.code = code, .reason = (uint8_t)reason, .message = message};
    send_done(worker, source, map, number, slot, &finished, NULL, 0);
}

static void block_free(mni_block_t *block)
{
    if (!block)
        return;
    free(block->arguments);
    free(block);
}

/* Bytes of room for the results of a block by value: as much as the arena has. */
static uint64_t value_room(const mni_executor_t *executor, size_t offset)
{
    size_t size = 0;
    mni_channel_arena(executor->channel, &size);
    return size - offset;
}

/* Finds places in the executor's own arena for what is not shared, and brings the arguments there. */
static int block_place(mni_executor_t *executor, mni_block_t *block)
{
    mni_msg_block_t *what = &block->what;
    size_t offset = mni_channel_block_offset(executor->channel);

    if (what->shared.pid != 0) {
        if (what->by_value) {
            what->results = offset;
            what->results_room = value_room(executor, offset);
        }
        return 0;
    }
    size_t results = offset + align_up(what->arguments_bytes);
    uint8_t *arena = mni_channel_arena(executor->channel, NULL);

    what->arguments = offset;
    what->results = results;
    what->results_room =
        what->by_value ? value_room(executor, results) : what->count * what->result_size;
    int rc = mni_channel_reserve(executor->channel, offset,
                                 results - offset + (what->by_value ? 0 : what->results_room));
    if (rc < 0)
        return rc;
    if (block->arguments && what->arguments_bytes > 0)
        memcpy(arena + offset, block->arguments, what->arguments_bytes);
    free(block->arguments);
    block->arguments = NULL;
    return 0;
}

/* Whether it has a block to begin, which waits until the results of the last one have left. */
static bool waits_to_begin(const mni_executor_t *executor)
{
    return executor->state == MNI_EXECUTOR_BUSY && executor->task != 0 && executor->queue &&
           !executor->block;
}

/* Gives the executor the next block of its queue, when it is free for it. */
static int block_begin(mni_worker_t *worker, mni_executor_t *executor)
{
    mni_block_t *block = executor->queue;

    if (executor->sending) {
        mni_executor_reserve(worker, executor);
        return 0;
    }
    DL_DELETE(executor->queue, block);
    executor->block = block;
    int rc = block_place(executor, block);
    if (rc < 0)
        return rc;
    block->begun = true;
    block->begun_at = mni_clock_now();
    mni_writer_begin(&worker->frame, MNI_MSG_BLOCK, 0);
    mni_put_block(&worker->frame, &block->what);
    if ((rc = mni_writer_end(&worker->frame)) < 0)
        return rc;
    return mni_executor_begin(worker, executor, worker->frame.data, worker->frame.size);
}

uint64_t mni_block_cut(mni_worker_t *worker, uint64_t map, uint64_t number, uint64_t slot)
{
    const mni_executor_t *executor = mni_executor_of_task(worker, slot);
    mni_block_t *block = executor ? executor->block : NULL;

    if (!block || block->map != map || block->number != number)
        return UINT64_MAX;
    uint64_t count = block->what.count;
    mni_control_t *control = mni_channel_control(executor->channel);
    uint64_t done = __atomic_load_n(&control->items_done, __ATOMIC_ACQUIRE);
    if (executor->finished_seen || done >= count)
        return count;
    uint64_t time = mni_clock_now() - block->begun_at, per_item = time / (done > 0 ? done : 1);
    if (per_item < 2 * CUT_LEAST / (count - done))
        return count;
    return block->what.count = mni_span_cut(&control->span, count);
}

/* Of an executor that was kept for a block: it is idle again. */
static void unreserve(mni_worker_t *worker, mni_executor_t *executor)
{
    if (executor->state == MNI_EXECUTOR_STARTING)
        mni_executor_kill(worker, executor, MN_REASON_NONE);
    else if (executor->state == MNI_EXECUTOR_BUSY)
        mni_executor_release(worker, executor);
}

static bool was_killed(const mni_worker_t *worker, uint64_t slot)
{
    for (uint32_t i = 0; i < MNI_KILLED_KEPT; i++)
        if (worker->killed[i] == slot)
            return true;
    return false;
}

/* It has a process but cannot be given its block: the end of the process is what is reported. */
static void begin_failed(mni_worker_t *worker, mni_executor_t *executor)
{
    free((void *)executor->finished.message);
    executor->finished = (mni_msg_finished_t){
        .code = MN_E_NO_MEMORY, .reason = MN_REASON_ERROR, .message = strdup(mn_error_message())};
    executor->finished_seen = true;
    mni_executor_kill(worker, executor, MN_REASON_NONE);
}

void mni_block_sent(mni_transfer_t *transfer)
{
    mni_executor_t *executor = transfer->executor;

    executor->sending = NULL;
    if (waits_to_begin(executor)) {
        if (block_begin(transfer->worker, executor) < 0)
            begin_failed(transfer->worker, executor);
    } else if (transfer->bytes > 0) {
        mni_channel_release(executor->channel, transfer->offset, transfer->bytes);
    }
}

bool mni_block_expect(mni_worker_t *worker, const mni_msg_slot_t *slot, const mni_msg_block_t *what,
                      mni_comm_memory_t *memory)
{
    if (was_killed(worker, slot->task) || mni_executor_of_task(worker, slot->task))
        return false;
    mni_executor_t *executor = mni_executor_for_block(worker, what->declaration, slot);
    if (!executor || executor->sending || executor->receiving)
        return false;
    uint8_t *arena = mni_channel_arena(executor->channel, NULL);
    size_t offset = mni_channel_block_offset(executor->channel);
    mni_transfer_t *transfer =
        mni_transfer_begin(worker, executor->channel, worker->rank, arena + offset);
    mni_executor_reserve(worker, executor);
    executor->receiving = transfer;
    if (transfer)
        transfer->executor = executor;
    if (!transfer || mni_channel_reserve(executor->channel, offset, what->arguments_bytes) < 0) {
        if (transfer)
            mni_transfer_undo(transfer);
        else
            unreserve(worker, executor);
        return false;
    }
    *memory = (mni_comm_memory_t){arena + offset, mni_transfer_done, transfer};
    return true;
}

void mni_block_unexpect(mni_transfer_t *transfer, bool lost)
{
    mni_executor_t *executor = transfer->executor;

    executor->receiving = NULL;
    if (lost) /* MPI may write there later on */
        mni_executor_kill(transfer->worker, executor, MN_REASON_NONE);
    else
        unreserve(transfer->worker, executor);
}

/* The executor in whose arena these arguments lie; it is not kept for them any more, but the block's. */
static mni_executor_t *take_expected(mni_worker_t *worker, const void *arguments)
{
    mni_executor_t *executor;
    DL_FOREACH (worker->executors, executor) {
        if (!executor->receiving || executor->receiving->at != arguments)
            continue;
        executor->receiving->executor = NULL;
        executor->receiving = NULL;
        return executor;
    }
    return NULL;
}

/* A block, with a copy of its arguments if they are not in place. */
static mni_block_t *block_create(uint32_t source, uint64_t map, uint64_t number,
                                 const mni_msg_slot_t *slot, const mni_msg_block_t *what,
                                 const void *arguments, bool in_place)
{
    bool copy = what->shared.pid == 0 && !in_place;
    mni_block_t *block = calloc(1, sizeof *block);
    if (block && copy)
        block->arguments = malloc(what->arguments_bytes ? what->arguments_bytes : 1);
    if (!block || (copy && !block->arguments)) {
        free(block);
        mni_error(MN_E_NO_MEMORY, "no memory for %llu bytes of arguments",
                  (unsigned long long)what->arguments_bytes);
        return NULL;
    }
    block->source = source;
    block->map = map;
    block->number = number;
    block->slot = *slot;
    block->what = *what;
    if (copy && what->arguments_bytes > 0)
        memcpy(block->arguments, arguments, what->arguments_bytes);
    return block;
}

void mni_block_receive(mni_worker_t *worker, uint32_t source, uint64_t map, uint64_t number,
                       const mni_msg_slot_t *slot, const mni_msg_block_t *what,
                       const void *arguments)
{
    mni_block_t *block = NULL;
    mni_executor_t *executor = NULL, *expected = NULL;

    if (was_killed(worker, slot->task)) {
        block_refuse(worker, source, map, number, slot->task, MN_E_CANCELLED, MN_REASON_INTERRUPTED,
                     "its slot was taken back");
        return;
    }
    executor = mni_executor_of_task(worker, slot->task);
    if (!executor && arguments)
        expected = take_expected(worker, arguments);
    if (expected && expected->state == MNI_EXECUTOR_ENDING)
        expected = NULL; /* the arguments are there as long as this call lasts */
    block = block_create(source, map, number, slot, what, arguments, expected != NULL);
    if (!block) {
        if (expected)
            unreserve(worker, expected);
        goto refuse;
    }
    if (executor && executor->state != MNI_EXECUTOR_ENDING) {
        DL_APPEND(executor->queue, block);
        return;
    }
    executor = expected ? expected : mni_executor_for_block(worker, what->declaration, slot);
    if (!executor)
        goto refuse;
    executor->task = slot->task;
    executor->id = slot->id;
    DL_APPEND(executor->queue, block);
    if (block_begin(worker, executor) < 0)
        begin_failed(worker, executor);
    return;
refuse:
    block_free(block);
    block_refuse(worker, source, map, number, slot->task, MN_E_SYSTEM, MN_REASON_ERROR,
                 mn_error_message());
}

/* Bytes of the pack of results that `items` complete items have made, as far as they lie inside the room. */
static size_t pack_extent(const uint8_t *pack, size_t room, size_t count, uint64_t *items)
{
    size_t extent = mni_pack_header(count);
    for (uint64_t i = 0; i < *items; i++) {
        mn_value_t value;
        if (mni_pack_get(pack, room, count, i, &value) < 0) {
            *items = i;
            break;
        }
        size_t end = (size_t)((const uint8_t *)value.data - pack) +
                     value.size; /* an empty value too has a place */
        if (end > extent)
            extent = end;
    }
    return extent;
}

/* What the functions of a job print belongs to the job. */
static void send_output(mni_worker_t *worker, mni_executor_t *executor, mn_stream_t stream)
{
    mni_textlog_piece_t piece = mni_executor_output(executor, stream, true);
    if (!piece.text)
        return;
    mni_writer_begin(&worker->frame, MNI_MSG_JOB_OUTPUT, 0);
    mni_put_id(&worker->frame, executor->id);
    mni_put_u8(&worker->frame, (uint8_t)stream);
    mni_put_piece(&worker->frame, &piece);
    mni_worker_send(worker, 0);
    free((char *)piece.text);
}

/* Gives back what a large block took up in the executor's own arena; what is being sent when it has left. */
static void release_large(mni_executor_t *executor, const mni_msg_block_t *what, size_t results)
{
    size_t from = what->shared.pid == 0 ? what->arguments : what->results;
    size_t bytes = results > 0 || what->shared.pid == 0 ? what->results + results - from : 0;
    if (bytes <= KEEP_LIMIT)
        return;
    if (executor->sending) {
        executor->sending->offset = from;
        executor->sending->bytes = bytes;
    } else {
        mni_channel_release(executor->channel, from, bytes);
    }
}

/* Sends a block's results and what became of it to the caller's worker. */
static void block_report(mni_worker_t *worker, mni_executor_t *executor, const mni_block_t *block)
{
    mni_msg_finished_t finished = executor->finished;
    const mni_msg_block_t *what = &block->what;
    const uint8_t *results = mni_channel_arena(executor->channel, NULL) + what->results;
    size_t size = 0;

    /* Numbers from the executor's memory are not believed. */
    if (finished.items > what->count || (finished.code >= 0 && finished.items != what->count)) {
        finished.code = MN_E_PROTOCOL;
        finished.reason = MN_REASON_ERROR;
        finished.items = 0;
    }
    if (worker->shutting_down) /* the others do so too: nobody may be there to receive results */
        finished.items = 0;
    if (what->by_value && block->begun)
        size = pack_extent(results, what->results_room, what->count, &finished.items);
    else if (block->begun && what->shared.pid == 0)
        size = finished.items * what->result_size;
    if (block->source == worker->rank) /* straight from one arena to the other */
        mni_map_block_done(worker, block->map, block->number, block->slot.task, &finished, results,
                           size);
    else
        send_done_from(worker, executor, block, &finished, results, size);
    if (executor->state != MNI_EXECUTOR_BUSY)
        release_large(executor, what, size);
}

void mni_block_ended(mni_worker_t *worker, mni_executor_t *executor)
{
    mni_block_t *block = executor->block;
    bool alive = executor->state == MNI_EXECUTOR_BUSY;

    send_output(worker, executor, MN_STDOUT);
    send_output(worker, executor, MN_STDERR);
    executor->block = NULL;
    if (alive && executor->queue) {
        block_report(worker, executor, block);
        block_free(block);
        if (waits_to_begin(executor) && block_begin(worker, executor) < 0)
            mni_executor_kill(worker, executor, MN_REASON_KILLED);
        return;
    }
    uint64_t task = executor->task;
    executor->task = 0; /* before the report: it may bring the slot's next block */
    if (alive)
        mni_executor_release(worker, executor);
    if (block)
        block_report(worker, executor, block);
    block_free(block);
    mni_blocks_drop(worker, executor);
    if (executor->report_kill) {
        mni_msg_ended_t ended = {.task = task,
                                 .finished = {.code = MN_E_CANCELLED, .reason = MN_REASON_KILLED}};
        mni_writer_begin(&worker->frame, MNI_MSG_TASK_ENDED, 0);
        mni_put_ended(&worker->frame, &ended);
        mni_worker_send(worker, 0);
    }
}

/* Turns away the blocks that waited behind one that killed its process. */
void mni_blocks_drop(mni_worker_t *worker, mni_executor_t *executor)
{
    mni_block_t *block, *next;
    DL_FOREACH_SAFE (executor->queue, block, next) {
        DL_DELETE(executor->queue, block);
        block_refuse(worker, block->source, block->map, block->number, block->slot.task,
                     MN_E_CANCELLED, MN_REASON_INTERRUPTED, "its slot was taken back");
        block_free(block);
    }
}

void mni_block_stop(mni_worker_t *worker, uint64_t slot, int code)
{
    mni_executor_t *executor = mni_executor_of_task(worker, slot);
    if (executor && waits_to_begin(executor)) {
        mni_blocks_drop(worker, executor);
        executor->task = 0;
        mni_executor_release(worker, executor);
        return;
    }
    if (!executor || !executor->block)
        return;
    if (code == 0) {
        mni_executor_kill(worker, executor, MN_REASON_KILLED);
        return;
    }
    mni_executor_stop(executor, code);
    executor->stop_by = mni_clock_after(mni_clock_now(), executor->block->slot.grace);
}

uint64_t mni_block_deadline(const mni_executor_t *executor)
{
    uint64_t deadline = executor->stop_by;
    if (executor->block && executor->block->what.timeout < 1e9) {
        uint64_t started = __atomic_load_n(&mni_channel_control(executor->channel)->item_started,
                                           __ATOMIC_ACQUIRE);
        uint64_t now = mni_clock_now();
        if (started == 0 || started > now)
            started = now; /* between two items, or scribbled over */
        uint64_t end = mni_clock_after(started, executor->block->what.timeout);
        if (end < deadline)
            deadline = end;
    }
    return deadline;
}
