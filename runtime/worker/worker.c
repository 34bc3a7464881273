/* SPDX-License-Identifier: MIT
 *
 * The worker's step: channels, the spawner's events, the clock; and what other ranks send it.
 */
#include "worker/internal.h"

/* Frames of one executor between two looks at the others. */
#define FRAMES_AT_ONCE 256

static mni_comm_place_t place;

int mni_worker_create(mni_comm_t *comm, mni_spawner_t *spawner, mni_machine_t *machine,
                      mni_child_main_t *executor_main, mni_child_main_t *driver_main,
                      mni_worker_t **worker)
{
    mni_worker_t *made = calloc(1, sizeof *made);
    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for a worker");
    made->comm = comm;
    made->spawner = spawner;
    made->machine = machine;
    made->executor_main = executor_main;
    made->driver_main = driver_main;
    made->item_times = calloc(mni_declaration_count() + (size_t)1, sizeof *made->item_times);
    if (!made->item_times) {
        free(made);
        return mni_error(MN_E_NO_MEMORY, "no memory for a worker");
    }
    made->rank = mni_comm_rank(comm);
    made->cores = mni_machine_offer(machine)->cores;
    /* Slot numbers go on where an earlier runtime of this process ended: its spawner is the same. */
    static uint32_t first_slot;
    made->next_slot = first_slot;
    first_slot += UINT32_C(1) << 20;
    mni_comm_set_place(comm, place, made);
    *worker = made;
    return 0;
}

void mni_worker_destroy(mni_worker_t *worker)
{
    if (!worker)
        return;
    mni_executor_t *executor, *next;
    mni_comm_set_place(worker->comm, NULL, NULL);
    DL_FOREACH_SAFE (worker->executors, executor, next)
        mni_executor_destroy(worker, executor);
    mni_lease_forget_all(worker);
    mni_writer_fini(&worker->frame);
    free(worker->item_times);
    free(worker);
}

void mni_worker_send(mni_worker_t *worker, uint32_t rank)
{
    /* What fails here is memory or MPI itself; either way rank 0 learns it from what does not come. */
    mni_comm_send(worker->comm, rank, &worker->frame);
}

int mni_worker_attach(mni_worker_t *worker, mni_channel_t *channel, uint64_t task)
{
    mni_executor_t *executor = calloc(1, sizeof *executor);
    if (!executor)
        return mni_error(MN_E_NO_MEMORY, "no memory for a client");
    *executor = (mni_executor_t){.slot = worker->next_slot++,
                                 .client = ++worker->next_client,
                                 .state = MNI_EXECUTOR_BUSY,
                                 .driver = true,
                                 .embedded = true,
                                 .task = task,
                                 .channel = channel,
                                 .stop_by = MNI_NEVER,
                                 .end_by = MNI_NEVER};
    DL_APPEND(worker->executors, executor);
    worker->count++;
    return 0;
}

/* --- executors -------------------------------------------------------------------------------------------- */

/* Takes what an executor has sent, up to a bound: one that sends without end holds up nobody else. True: there was
 * something. */
static bool poll_channel(mni_worker_t *worker, mni_executor_t *executor)
{
    bool worked = mni_channel_flush(executor->channel);
    const void *frame = NULL;
    size_t size = 0;
    int rc = 0;

    for (int i = 0; i < FRAMES_AT_ONCE && rc >= 0; i++) {
        rc = mni_channel_poll(executor->channel, &frame, &size);
        if (rc != 1)
            break;
        worked = true;
        rc = mni_client_frame(worker, executor, frame, size);
    }
    mni_task_flush_yield(worker, executor);
    if (rc < 0 && executor->state != MNI_EXECUTOR_ENDING) {
        free((void *)executor->finished.message);
        executor->finished =
            (mni_msg_finished_t){.code = MN_E_PROTOCOL,
                                 .reason = MN_REASON_ERROR,
                                 .message = strdup("it damaged the channel to its worker")};
        executor->finished_seen = true;
        mni_executor_kill(worker, executor, MN_REASON_NONE);
    }
    return worked;
}

static void executor_spawned(mni_worker_t *worker, mni_executor_t *executor,
                             const mni_spawn_event_t *event)
{
    executor->pid = event->pid;
    executor->seat = event->seat;
    if (executor->state != MNI_EXECUTOR_STARTING)
        return;
    executor->state = MNI_EXECUTOR_BUSY;
    if (mni_executor_confine(worker, executor) < 0) {
        executor->finished = (mni_msg_finished_t){
            .code = MN_E_SYSTEM, .reason = MN_REASON_ERROR, .message = strdup(mn_error_message())};
        executor->finished_seen = true;
        mni_executor_kill(worker, executor, MN_REASON_NONE);
        return;
    }
    if (executor->held && !executor->driver)
        mni_spawner_busy(worker->spawner, executor->slot, executor->seat, true);
    if (executor->held)
        mni_channel_post(executor->channel, executor->held, executor->held_size);
    free(executor->held);
    executor->held = NULL;
}

/* What the spawner has found out about a process that is gone. */
static void note_figures(mni_executor_t *executor, const mni_spawn_event_t *event)
{
    const struct rusage *usage = &event->usage;
    uint64_t cpu_time = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * MNI_SECOND +
                        (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1000;

    if (event->over > 0)
        executor->over = event->over;
    if (executor->finished_seen)
        return; /* measured when it said so */
    executor->finished.cpu_time = cpu_time > executor->cpu_time ? cpu_time - executor->cpu_time : 0;
    executor->finished.peak_memory = event->peak;
}

static void executor_gone(mni_worker_t *worker, mni_executor_t *executor,
                          const mni_spawn_event_t *event)
{
    int status = event->status;
    while (poll_channel(worker, executor)) /* what it said last */
        ;
    if (executor->task != 0) {
        uint64_t items =
            __atomic_load_n(&mni_channel_control(executor->channel)->items_done, __ATOMIC_ACQUIRE);
        if (executor->state != MNI_EXECUTOR_ENDING)
            executor->state = MNI_EXECUTOR_ENDING;
        executor->end_by = MNI_NEVER;
        note_figures(executor, event);
        if (executor->driver) {
            executor->finished.items = (uint64_t)(uint32_t)status;
        } else if (!executor->finished_seen || executor->over > 0) {
            mni_executor_explain(executor, status);
            executor->finished.items = items;
        } else if (executor->block && executor->finished.code < 0 &&
                   executor->finished.items > items) {
            executor->finished.items = items;
        }
        mni_task_ended(worker, executor);
    }
    mni_executor_destroy(worker, executor);
}

static void executor_failed(mni_worker_t *worker, mni_executor_t *executor, int errnum)
{
    errno = errnum;
    mni_error_errno("cannot start a process");
    free((void *)executor->finished.message);
    executor->finished = (mni_msg_finished_t){
        .code = MN_E_SYSTEM, .reason = MN_REASON_ERROR, .message = strdup(mn_error_message())};
    executor->state = MNI_EXECUTOR_ENDING;
    if (executor->driver)
        executor->finished.items = 1 << 8; /* as if it had ended with status 1 */
    if (executor->task != 0)
        mni_task_ended(worker, executor);
    mni_executor_destroy(worker, executor);
}

static bool take_events(mni_worker_t *worker)
{
    mni_spawn_event_t event;
    bool worked = false;

    while (mni_spawner_next_event(worker->spawner, &event)) {
        mni_executor_t *executor;
        worked = true;
        if (event.kind == MNI_SPAWNER_LOST) {
            worker->broken = true;
            break;
        }
        DL_FOREACH (worker->executors, executor) {
            if (executor->slot == event.slot && !executor->embedded)
                break;
        }
        if (!executor)
            continue;
        if (event.kind == MNI_SPAWNED)
            executor_spawned(worker, executor, &event);
        else if (event.kind == MNI_ENDED)
            executor_gone(worker, executor, &event);
        else
            executor_failed(worker, executor, event.errnum);
    }
    return worked;
}

static void check_deadlines(mni_worker_t *worker, uint64_t now)
{
    mni_executor_t *executor, *next;
    DL_FOREACH_SAFE (worker->executors, executor, next) {
        if (executor->state == MNI_EXECUTOR_ENDING && now >= executor->end_by) {
            executor->end_by = MNI_NEVER;
            mni_spawner_kill(worker->spawner, executor->slot);
        } else if (executor->state == MNI_EXECUTOR_BUSY && executor->block &&
                   now >= mni_block_deadline(executor)) {
            mni_executor_kill(worker, executor,
                              now >= executor->stop_by ? MN_REASON_KILLED : MN_REASON_TIMEOUT);
        } else {
            mni_executor_expire(worker, executor, now);
        }
    }
}

int mni_worker_step(mni_worker_t *worker, uint64_t now)
{
    mni_executor_t *executor, *next;
    bool worked = false;

    DL_FOREACH_SAFE (worker->executors, executor, next)
        worked |= poll_channel(worker, executor);
    worked |= take_events(worker);
    check_deadlines(worker, now);
    mni_lease_expire(worker, now);
    return worked;
}

bool mni_worker_leaves_core(const mni_worker_t *worker)
{
    uint32_t left = mni_machine_offer(worker->machine)->cores;
    const mni_executor_t *executor;
    DL_FOREACH (worker->executors, executor) {
        if (executor->state != MNI_EXECUTOR_BUSY || executor->driver)
            continue;
        uint32_t cores = mni_cpus_count(&executor->cpus); /* one may be shared: then too many */
        if (cores >= left)
            return false;
        left -= cores;
    }
    return true;
}

uint64_t mni_worker_next_time(const mni_worker_t *worker)
{
    uint64_t next = mni_lease_next_time(worker);
    const mni_executor_t *executor;
    DL_FOREACH (worker->executors, executor) {
        uint64_t time = MNI_NEVER;
        if (executor->state == MNI_EXECUTOR_ENDING)
            time = executor->end_by;
        else if (executor->state == MNI_EXECUTOR_BUSY && executor->block)
            time = mni_block_deadline(executor);
        else if (executor->state == MNI_EXECUTOR_IDLE)
            time = mni_executor_idle_until(executor);
        if (time < next)
            next = time;
    }
    return next;
}

void mni_worker_shutdown(mni_worker_t *worker)
{
    mni_executor_t *executor, *next;
    worker->shutting_down = true;
    DL_FOREACH_SAFE (worker->executors, executor, next) {
        if (!executor->embedded)
            mni_executor_end(worker, executor);
    }
}

bool mni_worker_empty(const mni_worker_t *worker)
{
    const mni_executor_t *executor;
    DL_FOREACH (worker->executors, executor) {
        if (!executor->embedded)
            return false;
    }
    return true;
}

bool mni_worker_broken(const mni_worker_t *worker)
{
    return worker->broken;
}

/* --- messages ----------------------------------------------------------------------------------------------- */

static void task_stop(mni_worker_t *worker, uint64_t task, int code)
{
    mni_executor_t *executor = mni_executor_of_task(worker, task);
    if (!executor)
        return;
    mni_executor_stop(executor, code);
    mni_map_caller_stopped(worker, executor, code);
}

static void task_kill(mni_worker_t *worker, uint64_t task, mn_reason_t reason)
{
    mni_executor_t *executor = mni_executor_of_task(worker, task);

    if (!executor) { /* a slot between two blocks: it must not get another one */
        worker->killed[worker->killed_at++ % MNI_KILLED_KEPT] = task;
        mni_msg_ended_t ended = {.task = task,
                                 .finished = {.code = MN_E_CANCELLED, .reason = MN_REASON_KILLED}};
        mni_writer_begin(&worker->frame, MNI_MSG_TASK_ENDED, 0);
        mni_put_ended(&worker->frame, &ended);
        mni_worker_send(worker, 0);
        return;
    }
    if (executor->block || executor->queue) {
        worker->killed[worker->killed_at++ % MNI_KILLED_KEPT] = task;
        executor->report_kill = true;
    }
    mni_executor_kill(worker, executor, reason == MN_REASON_NONE ? MN_REASON_KILLED : reason);
}

static void answer(mni_worker_t *worker, uint64_t client, const void *frame, size_t size)
{
    mni_executor_t *executor = mni_executor_of_client(worker, client);
    if (executor)
        mni_channel_post(executor->channel, frame, size);
}

/* What a running task has written since this was asked for last. */
static void task_log(mni_worker_t *worker, uint64_t task, mn_stream_t stream, uint64_t client,
                     uint64_t request)
{
    mni_executor_t *executor = mni_executor_of_task(worker, task);
    mni_textlog_piece_t piece = {.text = NULL};

    if (executor)
        piece = mni_executor_output(executor, stream, false);
    mni_writer_begin(&worker->frame, MNI_MSG_TASK_LOG_TEXT, 0);
    mni_put_u64(&worker->frame, client);
    mni_put_u64(&worker->frame, request);
    mni_put_piece(&worker->frame, &piece);
    mni_worker_send(worker, 0);
    free((char *)piece.text);
}

/* BLOCK_SEND or BLOCK_DONE. `payload` bytes are behind it; without, `bytes` point into it. */
typedef struct block_message {
    uint64_t map, number;
    mni_msg_slot_t slot; /* BLOCK_DONE: only its task */
    mni_msg_block_t what;
    mni_msg_finished_t finished;
    const void *bytes;
    size_t size;
    uint64_t payload;
} block_message_t;

static int read_block(mni_reader_t *reader, block_message_t *message)
{
    *message = (block_message_t){0};
    message->map = mni_get_u64(reader);
    message->number = mni_get_u64(reader);
    if (reader->type == MNI_MSG_BLOCK_SEND) {
        message->slot = mni_get_slot(reader);
        message->what = mni_get_block(reader);
    } else {
        message->slot.task = mni_get_u64(reader);
        message->finished = mni_get_finished(reader);
    }
    message->bytes = mni_get_bytes(reader, &message->size);
    message->payload = mni_get_u64(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    if (message->payload > 0 && message->size > 0)
        return mni_error(MN_E_PROTOCOL, "a block has bytes in its message and behind it");
    if (reader->type != MNI_MSG_BLOCK_SEND)
        return 0;
    const mni_declaration_t *function = mni_declaration_get(message->what.declaration);
    if (!function || function->kind != MN_KIND_FUNCTION)
        return mni_error(MN_E_PROTOCOL, "a block of no function");
    if (message->what.shared.pid != 0 ||
        (message->payload ? message->payload : message->size) != message->what.arguments_bytes)
        return mni_error(MN_E_PROTOCOL, "a block says that its arguments have another size");
    return 0;
}

/* Where a payload is to be received. What is wrong with its message is found when that is handled. */
static bool place(void *argument, uint32_t source, const void *frame, size_t size, size_t bytes,
                  mni_comm_memory_t *memory)
{
    mni_worker_t *worker = argument;
    block_message_t message;
    mni_reader_t reader;

    if (mni_reader_begin(&reader, frame, size) < 0 ||
        (reader.type != MNI_MSG_BLOCK_SEND && reader.type != MNI_MSG_BLOCK_DONE) ||
        read_block(&reader, &message) < 0 || message.payload != bytes)
        return false;
    return reader.type == MNI_MSG_BLOCK_SEND
               ? mni_block_expect(worker, &message.slot, &message.what, memory)
               : mni_map_expect(worker, source, message.map, message.number, message.slot.task,
                                &message.finished, bytes, memory);
}

/* BLOCK_SEND or BLOCK_DONE */
static int take_block(mni_worker_t *worker, uint32_t source, mni_reader_t *reader)
{
    block_message_t message;
    size_t behind = 0;
    const void *payload = mni_comm_payload(worker->comm, &behind);
    int rc = read_block(reader, &message);
    if (rc < 0)
        return rc;
    if (message.payload != behind)
        return mni_error(MN_E_PROTOCOL, "a block says that other bytes are behind its message");
    if (behind > 0) {
        message.bytes = payload;
        message.size = behind;
    }
    if (reader->type == MNI_MSG_BLOCK_SEND)
        mni_block_receive(worker, source, message.map, message.number, &message.slot, &message.what,
                          message.bytes);
    else
        mni_map_block_done(worker, message.map, message.number, message.slot.task,
                           &message.finished, message.bytes, message.size);
    return 0;
}

int mni_worker_handle(mni_worker_t *worker, uint32_t source, const void *frame, size_t size)
{
    mni_reader_t reader;
    uint64_t a, b, c;
    uint32_t d;
    int rc = mni_reader_begin(&reader, frame, size);
    if (rc < 0)
        return rc;
    switch (reader.type) {
    case MNI_MSG_TASK_RUN:
        return mni_task_run(worker, frame, size);
    case MNI_MSG_BLOCK_SEND:
    case MNI_MSG_BLOCK_DONE:
        return take_block(worker, source, &reader);
    case MNI_MSG_BLOCK_CUT:
        a = mni_get_u64(&reader);
        b = mni_get_u64(&reader);
        c = mni_get_u64(&reader);
        if ((rc = mni_reader_end(&reader)) < 0)
            return rc;
        mni_writer_begin(&worker->frame, MNI_MSG_BLOCK_KEPT, 0);
        mni_put_u64(&worker->frame, a);
        mni_put_u64(&worker->frame, b);
        mni_put_u64(&worker->frame, c);
        mni_put_u64(&worker->frame, mni_block_cut(worker, a, b, c));
        mni_worker_send(worker, source);
        return 0;
    case MNI_MSG_BLOCK_KEPT: {
        a = mni_get_u64(&reader);
        b = mni_get_u64(&reader);
        c = mni_get_u64(&reader);
        uint64_t items = mni_get_u64(&reader);
        if ((rc = mni_reader_end(&reader)) == 0)
            mni_map_block_kept(worker, a, b, c, items);
        return rc;
    }
    case MNI_MSG_TASK_STOP:
    case MNI_MSG_BLOCK_STOP: {
        a = mni_get_u64(&reader);
        int32_t code = mni_get_i32(&reader);
        if ((rc = mni_reader_end(&reader)) < 0)
            return rc;
        if (reader.type == MNI_MSG_TASK_STOP)
            task_stop(worker, a, code);
        else
            mni_block_stop(worker, a, code);
        return 0;
    }
    case MNI_MSG_TASK_KILL:
        a = mni_get_u64(&reader);
        d = mni_get_u8(&reader);
        if ((rc = mni_reader_end(&reader)) == 0)
            task_kill(worker, a, (mn_reason_t)d);
        return rc;
    case MNI_MSG_ANSWER: {
        size_t inner = 0;
        a = mni_get_u64(&reader);
        const void *reply = mni_get_bytes(&reader, &inner);
        if ((rc = mni_reader_end(&reader)) == 0)
            answer(worker, a, reply, inner);
        return rc;
    }
    case MNI_MSG_SLOT_GRANT: {
        a = mni_get_u64(&reader);
        mni_msg_slot_t slot = mni_get_slot(&reader);
        if ((rc = mni_reader_end(&reader)) == 0)
            mni_map_grant(worker, a, &slot);
        return rc;
    }
    case MNI_MSG_SLOTS_REFUSE: {
        a = mni_get_u64(&reader);
        int32_t code = mni_get_i32(&reader);
        const char *message = mni_get_text(&reader);
        if ((rc = mni_reader_end(&reader)) == 0)
            mni_map_refuse(worker, a, code, message ? message : mn_strerror(code));
        return rc;
    }
    case MNI_MSG_TASK_LOG:
        a = mni_get_u64(&reader);
        d = mni_get_u8(&reader);
        b = mni_get_u64(&reader);
        c = mni_get_u64(&reader);
        if ((rc = mni_reader_end(&reader)) == 0)
            task_log(worker, a, (mn_stream_t)d, b, c);
        return rc;
    case MNI_MSG_RANK_LOST:
        d = mni_get_u32(&reader);
        if ((rc = mni_reader_end(&reader)) == 0) {
            mni_comm_lost(worker->comm, d);
            mni_map_rank_lost(worker, d);
        }
        return rc;
    default:
        return mni_error(MN_E_PROTOCOL, "rank %u sent a message of type %u", source, reader.type);
    }
}
