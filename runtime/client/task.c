/* SPDX-License-Identifier: MIT
 *
 * The task that this process runs, and the calls about it. See task.h.
 */
#include "client/task.h"

#include "client/call.h"
#include "client/map.h"
#include "util/error.h"

#include <stdio.h>
#include <string.h>
#include <sys/single_threaded.h>

#define PROGRESS_MESSAGE_MAX 255
#define KEPT_BYTES \
    ((size_t)64 * 1024) /* a larger frame of a yield does not stay with the process */

mn_task_t mni_task = {.name = ""};

/* --- set up and take down
 * ------------------------------------------------------------------------------ */

static void reset(mni_handle_kind_t kind, const char *name)
{
    mn_task_t *task = &mni_task;
    mni_writer_t kept = task->kept, spare = task->spare;
    *task = (mn_task_t){.kind = kind, .name = name, .attempt = 1, .kept = kept, .spare = spare};
    mni_error(0, "%s", ""); /* a failure of an earlier task is not this one's */
}

void mni_task_set_driver(void)
{
    reset(MNI_HANDLE_DRIVER, "driver");
}

void mni_task_set_run(const mni_msg_run_t *run, const mni_declaration_t *declaration)
{
    reset(run->kind == MN_KIND_SERVICE ? MNI_HANDLE_SERVICE : MNI_HANDLE_JOB, declaration->name);
    mni_task.number = run->task;
    mni_task.job = run->id;
    mni_task.attempt = run->attempt;
    mni_task.threads = run->threads;
    mni_task.port = run->port;
    mni_task.has_last = run->has_last;
    mni_task.last = run->last;
}

void mni_task_set_block(const mni_msg_block_t *block, const mni_declaration_t *declaration)
{
    reset(MNI_HANDLE_FUNCTION, declaration->name);
    mni_task.number = block->task;
    mni_task.job = block->id;
    mni_task.threads = block->threads;
}

void mni_task_end_item(void)
{
    mni_cancel_end();
    if (mni_client.maps)
        mni_map_close_all();
}

static void trim_writer(mni_writer_t *writer)
{
    if (writer->capacity > KEPT_BYTES)
        mni_writer_fini(writer);
}

void mni_task_end(void)
{
    mni_task_end_item();
    mni_arena_trim(&mni_client.arena);
    mni_task.kind = MNI_HANDLE_NONE;
    mni_task.has_last = false;
    mni_task.last = mn_none();
    trim_writer(&mni_task.kept);
    trim_writer(&mni_task.spare);
}

void mni_task_forget(void)
{
    mni_task.kind = MNI_HANDLE_NONE;
    mni_task.fixed = false;
    mni_cancel_forget();
}

int mni_task_check(const mn_task_t *task)
{
    if (!mni_client.channel)
        return mni_call_no_runtime();
    if (!task)
        return mni_error(MN_E_INVALID, "no task was given (NULL)");
    if (task != &mni_task || mni_task.kind == MNI_HANDLE_NONE)
        return mni_error(MN_E_INVALID, "that is not the task that runs in this process");
    return 0;
}

void mni_task_outcome(int returned, mni_msg_finished_t *finished)
{
    static char text[MNI_ERROR_MAX + 256]; /* of the main thread, which alone runs tasks */
    const char *cause = mn_error_message();

    finished->code = 0;
    finished->reason = MN_REASON_RETURNED;
    finished->message = NULL;
    if (returned == 0)
        return;
    bool known = returned < 0 && strcmp(mn_error_name(returned), "MN_E_UNKNOWN") != 0;
    finished->code = known ? returned : MN_E_FAILED;
    finished->reason = mni_task.reason ? (uint8_t)mni_task.reason : MN_REASON_ERROR;
    finished->message = text;
    if (mni_task.failure[0])
        snprintf(text, sizeof text, "%s", mni_task.failure);
    else if (!known)
        snprintf(text, sizeof text, "%s returned %d", mni_task.name, returned);
    else if (cause[0] && returned != MN_E_CANCELLED && returned != MN_E_INTERRUPTED)
        snprintf(text, sizeof text, "%s returned %s: %s (its last failed call: %s)", mni_task.name,
                 mn_error_name(returned), mn_strerror(returned), cause);
    else
        snprintf(text, sizeof text, "%s returned %s: %s", mni_task.name, mn_error_name(returned),
                 mn_strerror(returned));
}

/* --- yields
 * -------------------------------------------------------------------------------------------- */

/* Sends a job's value. The frame is kept: mn_last_yield() shows it. */
static int job_yield(mn_task_t *task, mn_value_t value, uint64_t request)
{
    mni_writer_t *writer = &task->spare;
    mni_reader_t reader;

    mni_writer_begin(writer, MNI_MSG_YIELD, request);
    mni_put_value(writer, value);
    int rc = mni_writer_end(writer);
    if (rc < 0)
        return rc;
    rc = mni_channel_send(mni_client.channel, writer->data, writer->size);
    if (rc < 0) {
        mni_client.broken = rc;
        return rc;
    }
    mni_writer_t sent = task->spare;
    task->spare = task->kept;
    task->kept = sent;
    trim_writer(&task->spare);
    mni_reader_begin(&reader, task->kept.data, task->kept.size);
    task->last = mni_get_value(&reader);
    task->has_last = true;
    return 0;
}

static int yield_locked(mn_task_t *task, mn_value_t value, bool sync)
{
    mni_reader_t reader;
    uint64_t request = 0;
    int rc;

    if (task->kind == MNI_HANDLE_DRIVER)
        return mni_error(MN_E_WRONG_KIND,
                         "the driver has no result: only jobs and functions yield");
    if (task->kind == MNI_HANDLE_SERVICE)
        return mni_error(MN_E_WRONG_KIND,
                         "the service %s has no result: only jobs and functions yield", task->name);
    if (task->kind == MNI_HANDLE_FUNCTION)
        return mni_item_yield(task, value);
    if ((rc = mni_value_check(value)) < 0)
        return rc;
    if (sync && mni_call_stop() == 0)
        request = ++mni_client.requests;
    rc = job_yield(task, value, request);
    if (rc < 0 || request == 0)
        return rc;
    rc = mni_call_reply(request, true, &reader);
    return rc < 0 ? rc : mni_reader_end(&reader);
}

static int yield(mn_task_t *task, mn_value_t value, bool sync)
{
    int rc = mni_task_check(task);
    if (rc < 0 || (rc = mni_call_enter(MNI_CALL_LAST)) < 0)
        return rc;
    rc = yield_locked(task, value, sync);
    if (rc == 0)
        rc = mni_call_stopped();
    mni_call_leave();
    return rc;
}

int mn_yield(mn_task_t *task, mn_value_t value)
{
    /* The way of an item of a fixed size in a process of one thread: no lock, no call but the copy.
     */
    if (task == &mni_task && task->fixed && __libc_single_threaded &&
        value.size == task->result_size && value.data &&
        ((value.type == MN_BYTES && value.ndims == 1 && value.dims[0] == value.size) ||
         mni_value_check(value) == 0)) {
        memcpy(task->result, value.data, value.size);
        task->yielded = true;
        return __builtin_expect(mni_call_stop() == 0, 1) ? 0 : mni_call_stopped();
    }
    return yield(task, value, false);
}

int mn_yield_sync(mn_task_t *task, mn_value_t value)
{
    return yield(task, value, true);
}

int mn_last_yield(mn_task_t *task, mn_value_t *value)
{
    int rc = mni_task_check(task);
    if (rc < 0)
        return rc;
    if (!value)
        return mni_error(MN_E_INVALID, "no place for the value was given (NULL)");
    if ((rc = mni_call_enter(MNI_CALL_LAST)) < 0)
        return rc;
    if (task->kind != MNI_HANDLE_JOB)
        rc = mni_error(MN_E_WRONG_KIND, "%s is no job: only a job has a last yield to go on from",
                       task->name);
    else if (!task->has_last)
        rc = mni_error(MN_E_NO_RESULT, "%s has yielded nothing yet", task->name);
    else
        *value = task->last;
    mni_call_leave();
    return rc;
}

int mn_progress(mn_task_t *task, double fraction, const char *message)
{
    int rc = mni_task_check(task);
    if (rc < 0)
        return rc;
    if (!(fraction >= 0 && fraction <= 1))
        return mni_error(MN_E_INVALID, "progress is %g; give a fraction from 0 to 1", fraction);
    if (message && strnlen(message, PROGRESS_MESSAGE_MAX + 1) > PROGRESS_MESSAGE_MAX)
        return mni_error(MN_E_INVALID, "the message of the progress is longer than %d bytes",
                         PROGRESS_MESSAGE_MAX);
    if ((rc = mni_call_enter(MNI_CALL_LAST)) < 0)
        return rc;
    if (task->kind != MNI_HANDLE_JOB) {
        rc = mni_error(MN_E_WRONG_KIND, "%s is no job: only jobs have a progress", task->name);
    } else {
        mni_writer_t *writer = mni_call_begin(MNI_MSG_PROGRESS, NULL);
        mni_put_f64(writer, fraction);
        mni_put_text(writer, message);
        rc = mni_call_send();
        if (rc == 0)
            rc = mni_call_stopped();
    }
    mni_call_leave();
    return rc;
}

/* --- looking at the task
 * ------------------------------------------------------------------------------- */

int mn_fail(mn_task_t *task, int code, const char *format, ...)
{
    int rc = mni_task_check(task);
    char text[sizeof mni_task.failure];

    if (rc < 0)
        return rc;
    if (code >= 0)
        code = MN_E_FAILED;
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
    } else {
        snprintf(text, sizeof text, "%s", mn_strerror(code));
    }
    if (mni_call_enter(MNI_CALL_LAST) == 0) {
        memcpy(task->failure, text, sizeof text);
        mni_call_leave();
    }
    return mni_error(code, "%s", text);
}

static const mn_task_t *known(const mn_task_t *task)
{
    return task == &mni_task ? task : NULL;
}

mn_id_t mn_task_job(const mn_task_t *task)
{
    return known(task) ? task->job : (mn_id_t){{0}};
}

unsigned mn_task_attempt(const mn_task_t *task)
{
    return known(task) ? task->attempt : 0;
}

unsigned mn_task_cpus(const mn_task_t *task)
{
    return known(task) ? task->threads : 0;
}

const char *mn_task_name(const mn_task_t *task)
{
    return known(task) ? task->name : "";
}

unsigned mn_task_port(const mn_task_t *task)
{
    return known(task) ? task->port : 0;
}
