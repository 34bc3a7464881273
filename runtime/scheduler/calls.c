/* SPDX-License-Identifier: MIT
 *
 * The calls of clients: each is read, checked, carried out and answered, or left waiting.
 */
#include "scheduler/internal.h"

#include <stdio.h>
#include <sys/random.h>

/* Most ids in one page of a list. */
#define PAGE_LIMIT 65536u

/* A larger buffer is given back once its answer is sent. */
#define REPLY_KEEP ((size_t)2 << 20)

/* --- answers -------------------------------------------------------------------------------------------------- */

void mni_answer_begin(mni_scheduler_t *scheduler, const mni_client_address_t *who, int code)
{
    mni_writer_begin(&scheduler->reply, MNI_MSG_REPLY, who->request);
    mni_put_i32(&scheduler->reply, code);
    scheduler->reply_code = code;
    mni_put_text(&scheduler->reply, code < 0 ? mn_error_message() : NULL);
}

void mni_answer_send(mni_scheduler_t *scheduler, const mni_client_address_t *who)
{
    if (mni_writer_end(&scheduler->reply) < 0)
        return;
    mni_writer_begin(&scheduler->frame, MNI_MSG_ANSWER, 0);
    mni_put_u64(&scheduler->frame, who->client);
    mni_put_bytes(&scheduler->frame, scheduler->reply.data, scheduler->reply.size);
    if (scheduler->reply.capacity > REPLY_KEEP)
        mni_writer_fini(&scheduler->reply);
    /* What a client is told must not be lost afterwards. */
    if (scheduler->reply_code < 0)
        mni_scheduler_send(scheduler, who->rank);
    else
        mni_keep_send(scheduler, who->rank, who);
}

void mni_answer(mni_scheduler_t *scheduler, const mni_client_address_t *who, int code)
{
    mni_answer_begin(scheduler, who, code);
    mni_answer_send(scheduler, who);
}

/* Puts the state of a job with its result into the reply. A result that cannot be read is an error. */
static int put_state(mni_scheduler_t *scheduler, const mni_job_t *job)
{
    const mni_data_t *data = job->user;
    mn_info_t info = mni_job_info(scheduler, job);
    void *buffer;
    int rc = mni_value_view(data->history ? data->history->large : NULL, &info.result, &buffer);

    if (rc == 0)
        mni_put_info(&scheduler->reply, &info);
    free(buffer);
    return rc;
}

void mni_answer_info(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     const mni_job_t *job)
{
    mni_answer_begin(scheduler, who, 0);
    int rc = put_state(scheduler, job);
    if (rc < 0)
        mni_answer_begin(scheduler, who, rc);
    mni_answer_send(scheduler, who);
}

/* Bytes of states and results that one message should hold. */
#define MANY_BYTES ((size_t)1 << 20)

void mni_answer_many(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     const mn_id_t *ids, uint32_t count)
{
    char text[MN_ID_TEXT];
    size_t bytes = 0;
    uint32_t most = 0;
    int rc = 0;

    for (; most < count && (most == 0 || bytes < MANY_BYTES); most++) {
        const mni_job_t *job = mni_core_find(scheduler->core, ids[most]);
        if (!job) {
            mni_answer(scheduler, who,
                       mni_error(MN_E_NO_JOB, "there is no job %s", mn_id_format(ids[most], text)));
            return;
        }
        bytes += sizeof(mn_info_t) + mni_job_info(scheduler, job).result.size;
    }
    mni_answer_begin(scheduler, who, 0);
    mni_put_u32(&scheduler->reply, most);
    for (uint32_t i = 0; i < most && rc == 0; i++)
        rc = put_state(scheduler, mni_core_find(scheduler->core, ids[i]));
    if (rc < 0)
        mni_answer_begin(scheduler, who, rc);
    mni_answer_send(scheduler, who);
}

/* --- the calls ------------------------------------------------------------------------------------------------- */

static mni_job_t *job_of(mni_scheduler_t *scheduler, mn_id_t id)
{
    char text[MN_ID_TEXT];
    mni_job_t *job = mni_core_find(scheduler->core, id);
    if (!job)
        mni_error(MN_E_NO_JOB, "there is no job %s", mn_id_format(id, text));
    return job;
}

/* What the jobs of a start have in common. */
static int prepare_start(uint64_t caller, const mni_msg_start_t *request, mni_start_t *start)
{
    int rc, index = mni_declaration_find(request->job, MN_KIND_JOB);

    if (index < 0)
        return index;
    if ((rc = mni_label_check("lock", request->lock)) < 0 ||
        (rc = mni_label_check("tag", request->tag)) < 0 ||
        (rc = mni_label_check("key", request->key)) < 0)
        return rc;
    *start = (mni_start_t){.lock = request->lock,
                           .tag = request->tag,
                           .key = request->key,
                           .declaration = (uint32_t)index,
                           .need = mni_declaration_get((uint32_t)index)->need,
                           .parent = caller < MNI_TASK_DRIVER ? caller : 0,
                           .cancel_with_parent = request->cancel_with_parent};
    if (request->max_retries > 0)
        start->need.max_retries = request->max_retries;
    return mni_need_override(request->job, &start->need, request->cpu, request->memory,
                             request->gpus, request->timeout, request->grace, request->priority);
}

/* A random UUID (RFC 4122, section 4.4). The system is asked for many at a time: uuid_generate_random() costs
 * 9 us of system calls for each, three times as much as all else that is done to start a job. */
static mn_id_t new_id(void)
{
    static mn_id_t ids[256];
    static size_t left;
    if (left == 0) {
        size_t got = 0;
        while (got < sizeof ids) { /* 256 bytes at a time are never cut short */
            ssize_t bytes = getrandom((uint8_t *)ids + got, 256, 0);
            got += bytes > 0 ? (size_t)bytes : 0;
        }
        left = sizeof ids / sizeof ids[0];
    }
    mn_id_t id = ids[--left];
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40); /* version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80); /* the variant of the RFC */
    return id;
}

static int start_job(mni_scheduler_t *scheduler, uint64_t now, mni_start_t *start, mn_value_t input,
                     mn_id_t *id)
{
    mni_job_t *job = NULL;
    mni_data_t *data;
    int rc = mni_store_trouble(scheduler->store, NULL);

    if (rc < 0)
        return mni_error_prefix(rc, "no job can be started");
    if (!(data = mni_data_create(input)))
        return MN_E_NO_MEMORY;
    start->id = new_id();
    start->user = data;
    rc = mni_core_start(scheduler->core, now, start, &job);
    if (rc != 0) /* an error, or the job that has the key already */
        mni_data_destroy(data);
    else if ((rc = mni_keep_started(scheduler, job)) < 0)
        mni_core_remove(scheduler->core, now, job);
    if (rc >= 0)
        *id = job->id;
    return rc;
}

static int call_start(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                      mni_reader_t *reader)
{
    mni_msg_start_t request = mni_get_start(reader);
    mni_start_t start;
    mn_id_t id = {{0}};
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    if ((rc = prepare_start(who->task, &request, &start)) == 0)
        rc = start_job(scheduler, mni_clock_now(), &start, request.input, &id);
    mni_answer_begin(scheduler, who, rc);
    if (rc >= 0)
        mni_put_id(&scheduler->reply, id);
    mni_answer_send(scheduler, who);
    return 0;
}

/* The message is checked whole before the first job is started. */
static int check_values(mni_reader_t values, uint32_t count)
{
    for (uint32_t i = 0; i < count && !values.failed; i++)
        mni_get_value(&values);
    return mni_reader_end(&values);
}

static int call_start_many(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                           mni_reader_t *reader)
{
    mni_msg_start_t request = mni_get_start(reader);
    uint32_t count = mni_get_u32(reader), started = 0;
    uint64_t now = mni_clock_now();
    mni_start_t start;
    mn_id_t *ids;
    int rc = check_values(*reader, count);

    if (rc < 0)
        return rc;
    if (request.lock || request.key)
        return mni_error(MN_E_INVALID, "many jobs cannot share a lock or a key");
    if ((rc = prepare_start(who->task, &request, &start)) < 0)
        return rc;
    ids = malloc((count + (size_t)1) * sizeof *ids);
    if (!ids)
        return mni_error(MN_E_NO_MEMORY, "no memory to start %u jobs", count);
    while (started < count && rc == 0) {
        rc = start_job(scheduler, now, &start, mni_get_value(reader), &ids[started]);
        started += rc == 0;
    }
    mni_answer_begin(scheduler, who, started > 0 || count == 0 ? 0 : rc);
    mni_put_text(&scheduler->reply, rc < 0 ? mn_error_message() : NULL);
    mni_put_u32(&scheduler->reply, started);
    for (uint32_t i = 0; i < started; i++)
        mni_put_id(&scheduler->reply, ids[i]);
    mni_answer_send(scheduler, who);
    free(ids);
    return 0;
}

static int call_get(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                    mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    const mni_job_t *job = job_of(scheduler, id);
    if (job)
        mni_answer_info(scheduler, who, job);
    else
        mni_answer(scheduler, who, MN_E_NO_JOB);
    return 0;
}

static int call_wait(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    uint64_t seen = mni_get_u64(reader);
    double timeout = mni_get_f64(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    mni_job_t *job = job_of(scheduler, id);
    if (!job) {
        mni_answer(scheduler, who, MN_E_NO_JOB);
        return 0;
    }
    if (mn_status_terminal(job->status) || ((const mni_data_t *)job->user)->version > seen)
        mni_answer_info(scheduler, who, job);
    else if (timeout == 0)
        mni_answer(scheduler, who,
                   mni_error(MN_E_TIMEOUT, "the job is still %s", mn_status_name(job->status)));
    else
        mni_waiter_add(scheduler, who, job, seen, timeout, false);
    return 0;
}

static int call_wait_many(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                          mni_reader_t *reader)
{
    uint32_t count = mni_get_u32(reader);
    if (count == 0 || count > (size_t)(reader->end - reader->at) / sizeof(mn_id_t))
        return mni_error(MN_E_PROTOCOL, "a wait for more jobs than it names");
    mn_id_t *ids = malloc(count * sizeof *ids);
    if (!ids)
        return mni_error(MN_E_NO_MEMORY, "no memory to wait for %u jobs", count);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = mni_get_id(reader);
    uint32_t least = mni_get_u32(reader);
    double timeout = mni_get_f64(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0) {
        free(ids);
        return rc;
    }
    mni_waiter_add_many(scheduler, who, ids, count, least < count ? least : count, timeout);
    return 0;
}

static int call_cancel(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                       mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    double grace = mni_get_f64(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    mni_job_t *job = job_of(scheduler, id);
    rc = job ? mni_core_cancel(scheduler->core, mni_clock_now(), job, grace) : MN_E_NO_JOB;
    mni_answer(scheduler, who, rc);
    return 0;
}

static int call_remove(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                       mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    mni_job_t *job = job_of(scheduler, id);
    if (!job) {
        mni_answer(scheduler, who, MN_E_NO_JOB);
        return 0;
    }
    const mni_live_t *live = mni_live_find(scheduler, who->task);
    if (live && mn_id_equal(live->id, id)) {
        mni_answer(
            scheduler, who,
            mni_error(MN_E_DEADLOCK, "a job cannot remove itself: it would wait for its own end"));
        return 0;
    }
    mni_waiter_add(scheduler, who, job, UINT64_MAX, -1, true);
    return mni_core_remove(scheduler->core, mni_clock_now(), job);
}

bool mni_job_is_listed(const mni_scheduler_t *scheduler, const mni_job_t *job,
                       const mni_msg_list_t *request)
{
    if (request->statuses != 0 && !(request->statuses >> job->status & 1))
        return false;
    if (request->job &&
        strcmp(mni_core_declared(scheduler->core, job->declaration), request->job) != 0)
        return false;
    const char *lock = mni_job_lock(job), *tag = mni_job_tag(job);
    if (request->lock && (!lock || strcmp(lock, request->lock) != 0))
        return false;
    return !request->tag || (tag && strcmp(tag, request->tag) == 0);
}

static int call_list(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     mni_reader_t *reader)
{
    mni_msg_list_t request = mni_get_list(reader);
    mni_job_t *job = NULL;
    mn_id_t *ids = NULL;
    uint32_t count = 0;
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return rc;
    if (request.capacity > PAGE_LIMIT)
        request.capacity = PAGE_LIMIT;
    if (request.has_after && !(job = job_of(scheduler, request.after))) {
        mni_answer(scheduler, who, MN_E_NO_JOB);
        return 0;
    }
    ids = malloc((request.capacity + 1) * sizeof *ids);
    if (!ids) {
        mni_answer(scheduler, who, mni_error(MN_E_NO_MEMORY, "no memory for a list of jobs"));
        return 0;
    }
    while (count < request.capacity && (job = mni_core_older(scheduler->core, job)))
        if (mni_job_is_listed(scheduler, job, &request))
            ids[count++] = job->id;
    mni_answer_begin(scheduler, who, 0);
    mni_put_u32(&scheduler->reply, count);
    for (uint32_t i = 0; i < count; i++)
        mni_put_id(&scheduler->reply, ids[i]);
    mni_answer_send(scheduler, who);
    free(ids);
    return 0;
}

typedef struct lock_row {
    const char *name;
    mn_id_t holder;
} lock_row_t;

typedef struct lock_list {
    lock_row_t *rows;
    uint32_t count, room;
    bool failed;
} lock_list_t;

static void visit_lock(void *argument, const char *name, const mni_job_t *holder)
{
    lock_list_t *list = argument;
    if (list->count == list->room) {
        uint32_t room = list->room ? 2 * list->room : 64;
        lock_row_t *rows = realloc(list->rows, room * sizeof *rows);
        if (!rows) {
            list->failed = true;
            return;
        }
        list->rows = rows;
        list->room = room;
    }
    list->rows[list->count++] = (lock_row_t){.name = name, .holder = holder->id};
}

static int compare_locks(const void *a, const void *b)
{
    return strcmp(((const lock_row_t *)a)->name, ((const lock_row_t *)b)->name);
}

static int call_locks(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                      mni_reader_t *reader)
{
    lock_list_t list = {0};
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    mni_core_locks(scheduler->core, visit_lock, &list);
    if (list.failed) {
        mni_answer(scheduler, who, mni_error(MN_E_NO_MEMORY, "no memory for a list of locks"));
    } else {
        if (list.count > 1)
            qsort(list.rows, list.count, sizeof *list.rows, compare_locks);
        mni_answer_begin(scheduler, who, 0);
        mni_put_u32(&scheduler->reply, list.count);
        for (uint32_t i = 0; i < list.count; i++) {
            mni_put_text(&scheduler->reply, list.rows[i].name);
            mni_put_id(&scheduler->reply, list.rows[i].holder);
        }
        mni_answer_send(scheduler, who);
    }
    free(list.rows);
    return 0;
}

/* Answers with what is kept of a stream of an attempt, from a byte on. */
static void answer_log(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                       const mni_job_t *job, const mni_log_request_t *request)
{
    mni_attempt_t *kept = mni_data_attempt(job->user, request->attempt);
    const mni_textlog_t *log = !kept                          ? NULL
                               : request->stream == MN_STDOUT ? &kept->out
                                                              : &kept->err;
    char *text = NULL;
    size_t size = 0;
    if (!log || mni_textlog_read(log, request->from, &text, &size) < 0) {
        mni_answer(scheduler, who, mni_error(MN_E_NO_MEMORY, "no memory for the output of a task"));
        return;
    }
    bool runs = request->attempt == job->attempts && mni_live_find(scheduler, job->task);
    mni_answer_begin(scheduler, who, 0);
    mni_put_log(&scheduler->reply, &(mni_msg_log_t){.text = text,
                                                    .size = size,
                                                    .next = log->total,
                                                    .attempt = request->attempt,
                                                    .over = !runs,
                                                    .ended = mn_status_terminal(job->status)});
    mni_answer_send(scheduler, who);
    free(text);
}

static int call_log(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                    mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    uint32_t attempt = mni_get_u32(reader);
    mn_stream_t stream = (mn_stream_t)mni_get_u8(reader);
    uint64_t from = mni_get_u64(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    mni_job_t *job = job_of(scheduler, id);
    if (!job) {
        mni_answer(scheduler, who, MN_E_NO_JOB);
        return 0;
    }
    mni_data_t *data = job->user;
    uint32_t begun = data->history ? data->history->attempt_count : 0;
    if (attempt > begun || begun == 0 || (stream != MN_STDOUT && stream != MN_STDERR)) {
        mni_answer(scheduler, who,
                   mni_error(MN_E_INVALID, "the job has no output of attempt %u; %u were begun",
                             attempt, begun));
        return 0;
    }
    if (attempt == 0)
        attempt = begun;
    const mni_live_t *live = attempt == job->attempts ? mni_live_find(scheduler, job->task) : NULL;
    mni_log_request_t request = {.serial = ++scheduler->next_serial,
                                 .who = *who,
                                 .id = id,
                                 .attempt = attempt,
                                 .stream = stream,
                                 .from = from};
    mni_log_request_t *pending = live ? malloc(sizeof *pending) : NULL;
    if (!pending) {
        answer_log(scheduler, who, job, &request);
        return 0;
    }
    *pending = request;
    DL_APPEND(scheduler->log_requests, pending);
    mni_writer_begin(&scheduler->frame, MNI_MSG_TASK_LOG, 0);
    mni_put_u64(&scheduler->frame, job->task);
    mni_put_u8(&scheduler->frame, (uint8_t)stream);
    mni_put_u64(&scheduler->frame, who->client);
    mni_put_u64(&scheduler->frame, pending->serial);
    mni_scheduler_send(scheduler, live->rank);
    return 0;
}

void mni_answer_log(mni_scheduler_t *scheduler, uint64_t serial, const mni_textlog_piece_t *piece)
{
    mni_log_request_t *pending;
    DL_FOREACH (scheduler->log_requests, pending) {
        if (pending->serial == serial)
            break;
    }
    if (!pending)
        return;
    mni_job_t *job = job_of(scheduler, pending->id);
    mni_attempt_t *kept = job ? mni_data_attempt(job->user, pending->attempt) : NULL;
    if (kept) /* the worker will not send it again */
        mni_textlog_add_piece(pending->stream == MN_STDOUT ? &kept->out : &kept->err, piece);
    if (job)
        answer_log(scheduler, &pending->who, job, pending);
    else
        mni_answer(scheduler, &pending->who, MN_E_NO_JOB);
    DL_DELETE(scheduler->log_requests, pending);
    free(pending);
}

static int call_service(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                        mni_reader_t *reader)
{
    const char *name = mni_get_text(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    int index = mni_declaration_find(name, MN_KIND_SERVICE);
    if (index < 0) {
        mni_answer(scheduler, who, index);
        return 0;
    }
    const mni_service_t *service = scheduler->services;
    while (service->declaration != (uint32_t)index)
        service++;
    if (!service->running || !service->address[0]) {
        mni_answer(scheduler, who,
                   mni_error(MN_E_NO_RESULT, "the service %s is not up at the moment", name));
        return 0;
    }
    mni_answer_begin(scheduler, who, 0);
    mni_put_text(&scheduler->reply, service->address);
    mni_answer_send(scheduler, who);
    return 0;
}

void mni_scheduler_call(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                        const void *frame, size_t size)
{
    static int (*const calls[])(mni_scheduler_t *, const mni_client_address_t *, mni_reader_t *) = {
        [MNI_MSG_START] = call_start,         [MNI_MSG_GET] = call_get,
        [MNI_MSG_WAIT] = call_wait,           [MNI_MSG_CANCEL] = call_cancel,
        [MNI_MSG_REMOVE] = call_remove,       [MNI_MSG_LIST] = call_list,
        [MNI_MSG_LOCKS] = call_locks,         [MNI_MSG_LOG] = call_log,
        [MNI_MSG_SERVICE] = call_service,     [MNI_MSG_START_MANY] = call_start_many,
        [MNI_MSG_WAIT_MANY] = call_wait_many, [MNI_MSG_LOOK] = mni_call_look,
        [MNI_MSG_PART] = mni_call_part,       [MNI_MSG_LOOKS] = mni_call_looks,
        [MNI_MSG_FIND] = mni_call_find,       [MNI_MSG_NODES] = mni_call_nodes,
        [MNI_MSG_SUMMARY] = mni_call_summary, [MNI_MSG_EXPLAIN] = mni_call_explain};
    mni_client_address_t caller = *who;
    mni_reader_t reader;

    int rc = mni_reader_begin(&reader, frame, size);
    caller.request = reader.request;
    if (rc == 0 && (reader.type >= sizeof calls / sizeof calls[0] || !calls[reader.type]))
        rc = mni_error(MN_E_PROTOCOL, "a client sent a message of type %u", reader.type);
    if (rc == 0)
        rc = calls[reader.type](scheduler, &caller, &reader);
    if (rc < 0) /* a client may send anything */
        mni_answer(scheduler, &caller, rc);
}
