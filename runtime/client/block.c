/* SPDX-License-Identifier: MIT
 *
 * Items of a map: running a block of them, and what a yield means there. Runs in the executor's
 * main thread.
 *
 * With fixed sizes the arguments are an array and so are the results; each yield copies straight
 * into its place. The loop over them makes no system call, takes no lock and allocates nothing. By
 * value both are packs (wire/wire.h); the pack of results grows behind its table, and pages are
 * made for it as it grows.
 *
 * An item is complete, and counted in the control page, once its result is in its place: when the
 * process dies, its worker keeps what was counted and knows which item it died of.
 */
#include "client/call.h"
#include "client/task.h"
#include "executor/process.h"
#include "executor/view.h"
#include "util/clock.h"
#include "util/error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/single_threaded.h>

#define PACK_STEP ((size_t)1 << 20) /* pages of a pack of results are made in steps of this */

/* --- yields of items
 * ----------------------------------------------------------------------------------- */

/* Makes sure that the pack may grow to `size` bytes. */
static int pack_room(mn_task_t *task, size_t size)
{
    if (size > task->pack_room)
        return mni_error(MN_E_TOO_LARGE,
                         "the results of the items of a block of %s have over %zu bytes together",
                         task->name, task->pack_room);
    if (size <= task->pack_reserved)
        return 0;
    size_t end = (size + PACK_STEP - 1) / PACK_STEP * PACK_STEP;
    if (end > task->pack_room)
        end = task->pack_room;
    int rc = mni_channel_reserve(mni_client.channel, task->pack_offset + task->pack_reserved,
                                 end - task->pack_reserved);
    if (rc == 0)
        task->pack_reserved = end;
    return rc;
}

static int pack_yield(mn_task_t *task, mn_value_t value)
{
    int rc = pack_room(task, task->pack_base + mni_pack_grow(task->pack_base, value));
    if (rc == 0)
        task->pack_size = mni_pack_put(task->pack, task->pack_base, task->pack_index, value);
    return rc;
}

static int fixed_yield(mn_task_t *task, mn_value_t value)
{
    if (value.size != task->result_size)
        return mni_error(value.size > task->result_size ? MN_E_TOO_LARGE : MN_E_INVALID,
                         "%s yields %zu bytes, but its map expects results of %zu bytes",
                         task->name, value.size, task->result_size);
    if (value.size > 0)
        memcpy(task->result, value.data, value.size);
    return 0;
}

int mni_item_yield(mn_task_t *task, mn_value_t value)
{
    int rc = mni_value_check(value);
    if (rc == 0)
        rc = task->fixed ? fixed_yield(task, value) : pack_yield(task, value);
    if (rc == 0) {
        task->yielded = true;
        return 0;
    }
    task->complained = true;
    snprintf(task->complaint, sizeof task->complaint, "%s", mn_error_message());
    return rc;
}

/* --- running blocks
 * ------------------------------------------------------------------------------------ */

/* An executor takes its items from the block in steps that last about this long, in nanoseconds: long against the cost
 * of a step, short against that of an item that another executor could have taken. */
#define STEP_LEAST (20 * MNI_MILLISECOND / 1000)
#define STEP_MOST (80 * MNI_MILLISECOND / 1000)

/* A block that is being worked on. */
typedef struct run {
    const mni_msg_block_t *block;
    mn_entry_t *entry;
    mni_msg_finished_t *finished;
    const uint8_t *arguments; /* where they are in this process */
    uint8_t *results;
    bool timed;
} run_t;

/* Ends the block with the sentence of an error that is not what user code returned. */
static void block_fail(mni_msg_finished_t *finished, int code)
{
    static char
        text[MNI_ERROR_MAX]; /* the thread's sentence may be another when the message is sent */
    snprintf(text, sizeof text, "%s", mn_error_message());
    finished->code = code;
    finished->reason = MN_REASON_ERROR;
    finished->message = text;
}

/* An item returned 0 without a usable result. */
static int without_result(const mn_task_t *task)
{
    if (task->complained)
        return mni_error(MN_E_NO_RESULT, "%s yielded nothing that its map can take: %s", task->name,
                         task->complaint);
    return mni_error(MN_E_NO_RESULT,
                     "%s yielded nothing, but its map expects a result of %zu bytes", task->name,
                     task->result_size);
}

/* Whether the block is to end before the next item. */
static inline bool block_stops(mni_msg_finished_t *finished)
{
    int code = mni_call_stop();
    if (__builtin_expect(code == 0, 1))
        return false;
    mni_call_stopped();
    block_fail(finished, code);
    return true;
}

/* What failed in an earlier item is not this one's. */
static inline void item_begin(mn_task_t *task, const run_t *run)
{
    task->yielded = false;
    task->complained = false;
    task->failure[0] = 0;
    mni_error_clear();
    if (run->timed)
        __atomic_store_n(&mni_client.control->item_started, mni_clock_now(), __ATOMIC_RELEASE);
}

/* The first `count` items of the block are complete. */
static inline void items_end(const run_t *run, uint64_t count)
{
    if (__builtin_expect(!__libc_single_threaded || mni_client.maps != NULL, 0))
        mni_task_end_item();
    run->finished->items = count;
    __atomic_store_n(&mni_client.control->items_done, count, __ATOMIC_RELEASE);
}

/* Runs the items [first, end) of the block. False: one of them has ended it. */
typedef bool run_items_t(run_t *run, uint64_t first, uint64_t end);

static bool run_fixed(run_t *run, uint64_t first, uint64_t end)
{
    mn_task_t *task = &mni_task;
    size_t argument_size = run->block->argument_size, result_size = run->block->result_size;
    const uint8_t *argument = run->arguments + first * argument_size;
    mn_entry_t *entry = run->entry;
    mn_value_t input;

    task->result = run->results + first * result_size;
    for (uint64_t i = first; i < end; i++) {
        if (block_stops(run->finished))
            return false;
        item_begin(task, run);
        mni_value_set_bytes(&input, argument, argument_size);
        int rc = entry(task, input);
        if (rc != 0) {
            mni_task_outcome(rc, run->finished);
            return false;
        }
        if (!task->yielded && result_size > 0) {
            block_fail(run->finished, without_result(task));
            return false;
        }
        items_end(run, i + 1);
        argument += argument_size;
        task->result += result_size;
    }
    return true;
}

/* All of a block in one call. */
static bool run_blockwise(run_t *run, uint64_t first, uint64_t end)
{
    mn_task_t *task = &mni_task;
    size_t argument_size = run->block->argument_size;
    mn_value_t input;

    if (block_stops(run->finished))
        return false;
    task->result = run->results + first * run->block->result_size;
    task->result_size = (end - first) * run->block->result_size;
    task->block_count = end - first;
    task->block_done = 0;
    task->blockwise = true;
    item_begin(task, run);
    mni_value_set_bytes(&input, run->arguments + first * argument_size,
                        (end - first) * argument_size);
    int rc = run->entry(task, input);
    bool failed = rc != 0 || (!task->yielded && task->result_size > 0);
    task->blockwise = false;
    if (rc != 0)
        mni_task_outcome(rc, run->finished);
    else if (failed)
        block_fail(run->finished, without_result(task));
    if (!failed)
        task->block_done = end - first;
    else if (task->block_done == end - first)
        task->block_done--; /* an error is that of some item: here of the last */
    items_end(run, first + task->block_done);
    return !failed;
}

static int pack_begin(const mni_msg_block_t *block)
{
    mn_task_t *task = &mni_task;
    task->pack = mni_channel_arena(mni_client.channel, NULL) + block->results;
    task->pack_offset = block->results;
    task->pack_room = block->results_room;
    task->pack_reserved = 0;
    task->pack_base = task->pack_size = mni_pack_header(block->count);
    int rc = pack_room(task, task->pack_base);
    if (rc == 0)
        memset(task->pack, 0, task->pack_base);
    return rc;
}

static bool run_by_value(run_t *run, uint64_t first, uint64_t end)
{
    mn_task_t *task = &mni_task;
    const mni_msg_block_t *block = run->block;
    /* What is sent is a pack of the block's own, what is shared the pack of the whole map. */
    uint64_t before = block->shared.pid ? block->first : 0;

    for (uint64_t i = first; i < end; i++) {
        mn_value_t input;
        if (block_stops(run->finished))
            return false;
        int rc = mni_pack_get(run->arguments, block->arguments_bytes, before + block->count,
                              before + i, &input);
        if (rc < 0) {
            block_fail(run->finished, rc);
            return false;
        }
        item_begin(task, run);
        task->pack_index = i;
        task->pack_size = task->pack_base;
        rc = run->entry(task, input);
        if (rc != 0) {
            mni_task_outcome(rc, run->finished);
            return false;
        }
        if (!task->yielded) {
            rc = task->complained ? without_result(task) : pack_yield(task, mn_none());
            if (rc < 0) {
                block_fail(run->finished, rc);
                return false;
            }
        }
        task->pack_base = task->pack_size;
        run->finished->results_bytes = task->pack_base;
        items_end(run, i + 1);
    }
    return true;
}

/* Takes the items of the block step by step, as long as there are any: the worker may have cut the block meanwhile. */
static void run_steps(run_t *run, run_items_t *run_items, bool at_once)
{
    mni_span_t *span = &mni_client.control->span;
    uint64_t first, count, done = 0, step = at_once ? run->block->count : 1;

    while ((count = mni_span_take(span, step, &first)) > 0) {
        if (first != done || count > run->block->count - done) {
            mni_error(MN_E_PROTOCOL,
                      "%s has written over the memory that it shares with the runtime",
                      mni_task.name);
            block_fail(run->finished, MN_E_PROTOCOL);
            return;
        }
        uint64_t begin = mni_clock_now();
        done += count;
        if (!run_items(run, first, done))
            return;
        uint64_t took = mni_clock_now() - begin;
        if (took < STEP_LEAST && count == step)
            step *= 4;
        else if (took > STEP_MOST && step > 1)
            step = step * STEP_LEAST / took + 1;
    }
}

static bool within(uint64_t offset, uint64_t bytes, uint64_t from, uint64_t size)
{
    return offset >= from && offset - from <= size && bytes <= size - (offset - from);
}

/* Whether the block lies in the arena; the worker made it, but a wrong one must not become a stray
 * pointer. */
static int check_block(const mni_msg_block_t *block)
{
    size_t size;
    uint64_t bytes;
    bool inside, own_results = block->shared.pid == 0 || block->by_value;
    mni_channel_arena(mni_client.channel, &size);
    size_t half = mni_channel_block_offset(mni_client.channel);
    if (block->shared.pid == 0)
        inside = within(block->arguments, block->arguments_bytes, half, size - half);
    else
        inside = within(block->arguments, block->arguments_bytes, block->shared.arguments,
                        block->shared.arguments_bytes);
    inside = inside && (own_results ? within(block->results, block->results_room, 0, size) &&
                                          block->results % MNI_FRAME_ALIGN == 0
                                    : within(block->results, block->results_room,
                                             block->shared.results, block->shared.results_bytes));
    if (inside && !block->by_value)
        inside = !__builtin_mul_overflow(block->count, block->argument_size, &bytes) &&
                 bytes <= block->arguments_bytes &&
                 !__builtin_mul_overflow(block->count, block->result_size, &bytes) &&
                 bytes <= block->results_room;
    else if (inside)
        inside = block->count <= block->results_room / MNI_PACK_ENTRY &&
                 block->first <= UINT64_MAX - block->count;
    return inside
               ? 0
               : mni_error(MN_E_PROTOCOL, "a block of %llu items does not lie in the shared memory",
                           (unsigned long long)block->count);
}

/* Finds the block in this process's arena, or maps what lies in its caller's. */
static int open_memory(const mni_msg_block_t *block, run_t *run)
{
    const mni_msg_shared_t *shared = &block->shared;
    uint8_t *arena = mni_channel_arena(mni_client.channel, NULL), *at = NULL;
    mni_view_range_t arguments = {.pid = shared->pid,
                                  .memfd = shared->memfd,
                                  .inode = shared->inode,
                                  .offset = shared->arguments,
                                  .bytes = shared->arguments_bytes};
    mni_view_range_t results = arguments;
    int rc = 0;

    run->results = arena + block->results;
    if (shared->pid == 0) {
        run->arguments = mni_channel_brought(mni_client.channel) +
                         (block->arguments - mni_channel_block_offset(mni_client.channel));
        return block->by_value
                   ? 0
                   : mni_channel_reserve(mni_client.channel, block->results, block->results_room);
    }
    if (shared->arguments_bytes > 0) {
        if ((rc = mni_view_open(&arguments, &at)) < 0)
            return rc;
        run->arguments = at + (block->arguments - shared->arguments);
        mni_view_touch(&arguments, block->arguments, block->by_value ? 0 : block->arguments_bytes);
    }
    if (block->by_value || shared->results_bytes == 0)
        return 0;
    results.offset = shared->results;
    results.bytes = shared->results_bytes;
    results.writable = true;
    if ((rc = mni_view_open(&results, &at)) < 0)
        return rc;
    run->results = at + (block->results - shared->results);
    mni_view_touch(&results, block->results, block->results_room);
    return 0;
}

void mni_block_run(const mni_msg_block_t *block, const mni_declaration_t *declaration,
                   mni_msg_finished_t *finished)
{
    mni_control_t *control = mni_client.control;
    run_t run = {.block = block,
                 .entry = declaration->entry,
                 .finished = finished,
                 .timed = isfinite(block->timeout)};
    run_items_t *run_items = block->by_value          ? run_by_value
                             : declaration->blockwise ? run_blockwise
                                                      : run_fixed;
    int rc;

    *finished = (mni_msg_finished_t){.reason = MN_REASON_RETURNED};
    __atomic_store_n(&control->item_started, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&control->items_done, 0, __ATOMIC_RELEASE);
    rc = check_block(block);
    if (rc == 0)
        rc = open_memory(block, &run);
    if (rc == 0 && block->by_value)
        rc = pack_begin(block);
    if (rc < 0) {
        block_fail(finished, rc);
        return;
    }
    mni_task.fixed = !block->by_value;
    mni_task.result_size = block->result_size;
    mni_process_enter_code();
    run_steps(&run, run_items, run_items == run_blockwise);
    mni_process_leave_code();
    mni_task.fixed = false;
    __atomic_store_n(&control->item_started, 0, __ATOMIC_RELEASE);
}

/* --- functions over blocks
 * ----------------------------------------------------------------------------- */

void *mn_block_results(mn_task_t *task)
{
    if (task != &mni_task || !task->blockwise || task->result_size == 0)
        return NULL;
    task->yielded = true;
    return task->result;
}

int mn_block_done(mn_task_t *task, size_t count)
{
    int rc = mni_task_check(task);
    if (rc < 0)
        return rc;
    if (!task->blockwise)
        return mni_error(MN_E_WRONG_KIND, "%s is no blockwise function", task->name);
    if (count < task->block_done || count > task->block_count)
        return mni_error(
            MN_E_INVALID, "%zu items are said to be complete, of %llu; before it were %llu", count,
            (unsigned long long)task->block_count, (unsigned long long)task->block_done);
    task->block_done = count;
    __atomic_store_n(&mni_client.control->items_done, count, __ATOMIC_RELEASE);
    if (__atomic_load_n(&mni_client.control->item_started, __ATOMIC_RELAXED) != 0)
        __atomic_store_n(&mni_client.control->item_started, mni_clock_now(), __ATOMIC_RELEASE);
    return mni_call_stopped();
}
