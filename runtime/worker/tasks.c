/* SPDX-License-Identifier: MIT
 *
 * Whole tasks (attempts of jobs, services, the driver) on this worker, and the frames of its clients.
 */
#include "worker/internal.h"

/* Reports a task that could not even begin. */
static void report_failed_start(mni_worker_t *worker, uint64_t task)
{
    mni_msg_ended_t ended = {.task = task,
                             .finished = {.code = MN_E_SYSTEM,
                                          .reason = MN_REASON_ERROR,
                                          .message = mn_error_message()}};
    mni_writer_begin(&worker->frame, MNI_MSG_TASK_ENDED, 0);
    mni_put_ended(&worker->frame, &ended);
    mni_worker_send(worker, 0);
}

int mni_task_run(mni_worker_t *worker, const void *frame, size_t size)
{
    static const uint16_t type = MNI_MSG_RUN;
    mni_reader_t reader;
    int rc = mni_reader_begin(&reader, frame, size);
    if (rc < 0)
        return rc;
    mni_msg_run_t run = mni_get_run(&reader);
    if ((rc = mni_reader_end(&reader)) < 0)
        return rc;
    mni_executor_t *executor = mni_executor_acquire(worker, run.declaration, run.kind == 0,
                                                    &run.cpus, run.gpus, run.memory);
    if (!executor) {
        report_failed_start(worker, run.task);
        return 0;
    }
    executor->task = run.task;
    executor->id = run.id;
    executor->block = NULL;
    /* The executor gets the same fields under another name. The frame is this call's own to change. */
    memcpy((uint8_t *)frame + 4, &type, sizeof type);
    rc = mni_executor_begin(worker, executor, frame, size);
    if (rc < 0) {
        report_failed_start(worker, run.task);
        executor->task = 0;
        mni_executor_kill(worker, executor, MN_REASON_KILLED);
    }
    return 0;
}

void mni_task_flush_yield(mni_worker_t *worker, mni_executor_t *executor)
{
    if (executor->yields_pending == 0)
        return;
    executor->yields_pending = 0;
    mni_comm_send(worker->comm, 0, &executor->yield);
}

void mni_task_ended(mni_worker_t *worker, mni_executor_t *executor)
{
    mni_msg_ended_t ended = {.task = executor->task, .finished = executor->finished};

    mni_task_flush_yield(worker, executor);
    mni_map_caller_gone(worker, executor);
    if (executor->block || executor->queue) {
        mni_block_ended(worker, executor);
        return;
    }
    ended.out = mni_executor_output(executor, MN_STDOUT, true);
    ended.err = mni_executor_output(executor, MN_STDERR, true);
    mni_writer_begin(&worker->frame, MNI_MSG_TASK_ENDED, 0);
    mni_put_ended(&worker->frame, &ended);
    mni_worker_send(worker, 0);
    free((char *)ended.out.text);
    free((char *)ended.err.text);
    executor->task = 0;
}

void mni_task_finished(mni_worker_t *worker, mni_executor_t *executor)
{
    executor->finished_seen = true;
    if (executor->state != MNI_EXECUTOR_BUSY)
        return; /* it is being killed: reported when it is gone */
    if (!mni_executor_measure(worker, executor) || executor->finished.code < 0 ||
        !executor->finished.again) {
        mni_executor_kill(worker, executor, MN_REASON_NONE);
        return;
    }
    executor->runs++;
    mni_task_ended(worker, executor);
    if (executor->task == 0 && executor->state == MNI_EXECUTOR_BUSY)
        mni_executor_release(worker, executor);
}

static int take_yield(mni_worker_t *worker, mni_executor_t *executor, mni_reader_t *reader)
{
    mn_value_t value = mni_get_value(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    /* Of several that wait here only the last is sent, with their number; one that wants an answer goes at once. */
    mni_writer_begin(&executor->yield, MNI_MSG_TASK_YIELD, 0);
    mni_put_u64(&executor->yield, executor->task);
    mni_put_value(&executor->yield, value);
    mni_put_u64(&executor->yield, executor->client);
    mni_put_u64(&executor->yield, reader->request);
    mni_put_u64(&executor->yield, ++executor->yields_pending);
    if (reader->request != 0)
        mni_task_flush_yield(worker, executor);
    return 0;
}

static int take_progress(mni_worker_t *worker, mni_executor_t *executor, mni_reader_t *reader)
{
    double fraction = mni_get_f64(reader);
    const char *message = mni_get_text(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    mni_writer_begin(&worker->frame, MNI_MSG_TASK_PROGRESS, 0);
    mni_put_u64(&worker->frame, executor->task);
    mni_put_f64(&worker->frame, fraction);
    mni_put_text(&worker->frame, message);
    mni_worker_send(worker, 0);
    return 0;
}

/* Exited and signal: of a program that the job "exec" has run; of other processes their end itself tells. */
static bool may_say(const mni_executor_t *executor, mn_reason_t reason)
{
    const mni_declaration_t *declared =
        executor->driver ? NULL : mni_declaration_get(executor->declaration);

    if (reason == MN_REASON_EXITED || reason == MN_REASON_SIGNAL)
        return declared && strcmp(declared->name, MNI_EXEC_JOB) == 0;
    return reason == MN_REASON_RETURNED || reason == MN_REASON_ERROR;
}

/* A program of the job "exec" that a signal has ended with all of its node, or that has made of it what it would. */
static bool was_interrupted(const mni_msg_finished_t *finished)
{
    static const char terminated[] = "signal 15 ";
    bool by_signal = finished->reason == MN_REASON_SIGNAL;
    bool by_term = by_signal && finished->message &&
                   strncmp(finished->message, terminated, strlen(terminated)) == 0;

    return (by_signal || finished->reason == MN_REASON_EXITED) &&
           mni_executor_was_interrupted(by_term);
}

static int take_finished(mni_worker_t *worker, mni_executor_t *executor, mni_reader_t *reader)
{
    mni_msg_finished_t finished = mni_get_finished(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0 || executor->task == 0 || executor->finished_seen)
        return rc; /* the first word about a task's end counts */
    if (executor->queue && !executor->block)
        return mni_error(MN_E_PROTOCOL, "an executor has ended a block that it was not given");
    if (!may_say(executor, finished.reason))
        return mni_error(MN_E_PROTOCOL, "an executor says that a task ended for reason %u",
                         finished.reason);
    if (was_interrupted(&finished)) {
        finished.reason = MN_REASON_INTERRUPTED;
        finished.code = MN_E_INTERRUPTED;
    }
    free((void *)executor->finished.message);
    executor->finished = finished;
    executor->finished.message = finished.message ? strdup(finished.message) : NULL;
    mni_task_finished(worker, executor);
    return 0;
}

static int take_map(mni_worker_t *worker, mni_executor_t *executor, mni_reader_t *reader)
{
    mni_msg_map_t map = mni_get_map(reader);
    int rc = mni_reader_end(reader);
    return rc < 0 ? rc : mni_worker_map_open(worker, executor, reader->request, &map);
}

static int take_address(mni_worker_t *worker, const mni_executor_t *executor, mni_reader_t *reader)
{
    uint64_t task = mni_get_u64(reader);
    const char *address = mni_get_text(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    if (task != executor->task)
        return mni_error(MN_E_PROTOCOL, "an executor tells the address of another one's service");
    mni_writer_begin(&worker->frame, MNI_MSG_TASK_ADDRESS, 0);
    mni_put_u64(&worker->frame, task);
    mni_put_text(&worker->frame, address);
    mni_worker_send(worker, 0);
    return 0;
}

int mni_client_frame(mni_worker_t *worker, mni_executor_t *executor, const void *frame, size_t size)
{
    mni_reader_t reader;
    int rc = mni_reader_begin(&reader, frame, size);
    if (rc < 0)
        return rc;
    switch (reader.type) {
    case MNI_MSG_READY:
        return mni_reader_end(&reader);
    case MNI_MSG_YIELD:
        return take_yield(worker, executor, &reader);
    case MNI_MSG_PROGRESS:
        return take_progress(worker, executor, &reader);
    case MNI_MSG_FINISHED:
        return take_finished(worker, executor, &reader);
    case MNI_MSG_MAP:
        return take_map(worker, executor, &reader);
    case MNI_MSG_MAP_MORE: {
        uint64_t ready = mni_get_u64(&reader);
        if ((rc = mni_reader_end(&reader)) == 0)
            rc = mni_worker_map_more(worker, executor, reader.request, ready);
        return rc;
    }
    case MNI_MSG_MAP_CLOSE:
        mni_worker_map_close(worker, executor, reader.request);
        return mni_reader_end(&reader);
    case MNI_MSG_TASK_ADDRESS:
        return take_address(worker, executor, &reader);
    case MNI_MSG_WAIT:
    case MNI_MSG_WAIT_MANY:
        mni_lease_end(worker, executor); /* what it waits for may need the cores */
        __attribute__((fallthrough));
    case MNI_MSG_START:
    case MNI_MSG_START_MANY:
    case MNI_MSG_GET:
    case MNI_MSG_CANCEL:
    case MNI_MSG_REMOVE:
    case MNI_MSG_LIST:
    case MNI_MSG_LOCKS:
    case MNI_MSG_LOG:
    case MNI_MSG_SERVICE:
    case MNI_MSG_LOOK:
    case MNI_MSG_PART:
    case MNI_MSG_LOOKS:
    case MNI_MSG_FIND:
    case MNI_MSG_NODES:
    case MNI_MSG_SUMMARY:
    case MNI_MSG_EXPLAIN:
        mni_task_flush_yield(
            worker, executor); /* a reader must not see an older value than the asker yielded */
        mni_writer_begin(&worker->frame, MNI_MSG_CALL, 0);
        mni_put_u64(&worker->frame, executor->client);
        mni_put_u64(&worker->frame, executor->task);
        mni_put_bytes(&worker->frame, frame, size);
        mni_worker_send(worker, 0);
        return 0;
    default:
        return mni_error(MN_E_PROTOCOL, "an executor sent a message of type %u", reader.type);
    }
}
