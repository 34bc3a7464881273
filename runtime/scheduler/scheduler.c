/* SPDX-License-Identifier: MIT
 *
 * The scheduler's life: it gathers the workers, starts driver and services, handles messages, drains, ends.
 */
#include "scheduler/internal.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long services have to stop, and the driver to return, before they are killed. */
#define SERVICE_GRACE 5.0

/* --- birth and death ------------------------------------------------------------------------------------------ */

static int declare_all(mni_core_t *core)
{
    for (uint32_t i = 0; i < mni_declaration_count(); i++) {
        int rc = mni_core_declare(core, i, mni_declaration_get(i)->name);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int mni_scheduler_create(mni_comm_t *comm, const mni_scheduler_options_t *options,
                         mni_scheduler_t **scheduler)
{
    mni_scheduler_t *made = calloc(1, sizeof *made);
    int rc = MN_E_NO_MEMORY;

    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for a scheduler");
    made->comm = comm;
    made->store = options->store;
    made->grace = options->grace;
    made->embedded = options->embedded;
    made->rank_count = mni_comm_size(comm);
    made->next_deadline = made->tell_at = MNI_NEVER;
    made->driver_kill_at = MNI_NEVER;
    made->drain_at =
        options->drain_at > 0
            ? mni_clock_after(mni_clock_now(), options->drain_at - mni_clock_calendar())
            : MNI_NEVER;
    made->node_of = calloc(made->rank_count, sizeof *made->node_of);
    made->core_node = calloc(made->rank_count, sizeof *made->core_node);
    made->hosts = calloc(made->rank_count, sizeof *made->hosts);
    made->greeted = calloc(made->rank_count, sizeof *made->greeted);
    made->lost = calloc(made->rank_count, sizeof *made->lost);
    if (!made->node_of || !made->core_node || !made->hosts || !made->greeted || !made->lost) {
        mni_error(rc, "no memory for a scheduler of %u ranks", made->rank_count);
        goto cleanup;
    }
    for (uint32_t i = 0; i < made->rank_count; i++) {
        made->node_of[i] = options->node_of[i];
        made->core_node[i] = -1;
    }
    if ((rc = mni_core_create(&made->core)) < 0 || (rc = declare_all(made->core)) < 0)
        goto cleanup;
    if (made->drain_at != MNI_NEVER)
        mni_core_over_at(made->core, mni_clock_now(), made->drain_at);
    if ((rc = mni_services_create(made)) < 0 || (rc = mni_keep_begin(made, options)) < 0)
        goto cleanup;
    *scheduler = made;
    return 0;
cleanup:
    mni_scheduler_destroy(made);
    return rc;
}

void mni_scheduler_destroy(mni_scheduler_t *scheduler)
{
    mni_job_t *job = NULL;
    mni_live_t *live, *next_live;
    mni_demand_t *demand, *next_demand;
    mni_log_request_t *request, *next_request;
    mni_cpus_text_t *text, *next_text;

    if (!scheduler)
        return;
    while (scheduler->core && (job = mni_core_older(scheduler->core, job))) {
        mni_data_t *data = job->user;
        mni_waiter_t *waiter, *next;
        DL_FOREACH_SAFE (data->waiters, waiter, next)
            free(waiter);
        mni_data_destroy(data);
    }
    mni_core_destroy(scheduler->core);
    HASH_ITER (hh, scheduler->live, live, next_live) {
        HASH_DELETE(hh, scheduler->live, live);
        free(live);
    }
    HASH_ITER (hh, scheduler->demands, demand, next_demand) {
        HASH_DELETE(hh, scheduler->demands, demand);
        free(demand);
    }
    HASH_ITER (hh, scheduler->cpus_texts, text, next_text) {
        HASH_DELETE(hh, scheduler->cpus_texts, text);
        free(text->text);
        free(text);
    }
    DL_FOREACH_SAFE (scheduler->log_requests, request, next_request)
        free(request);
    mni_services_destroy(scheduler);
    free(scheduler->viewed.buffer);
    mni_keep_destroy(scheduler);
    for (uint32_t i = 0; scheduler->hosts && i < scheduler->rank_count; i++)
        free(scheduler->hosts[i]);
    free(scheduler->hosts);
    free(scheduler->node_of);
    free(scheduler->core_node);
    free(scheduler->greeted);
    free(scheduler->lost);
    free(scheduler->error);
    mni_writer_fini(&scheduler->frame);
    mni_writer_fini(&scheduler->reply);
    free(scheduler);
}

void mni_scheduler_send(mni_scheduler_t *scheduler, uint32_t rank)
{
    if (mni_comm_send(scheduler->comm, rank, &scheduler->frame) < 0)
        mni_scheduler_fail(scheduler, mn_error_message());
}

void mni_scheduler_fail(mni_scheduler_t *scheduler, const char *error)
{
    if (!scheduler->error)
        scheduler->error = strdup(error);
    scheduler->status = 1;
    if (scheduler->phase < MNI_PHASE_DRAIN)
        mni_scheduler_drain(scheduler, MNI_DRAIN);
}

mni_live_t *mni_live_find(const mni_scheduler_t *scheduler, uint64_t task)
{
    mni_live_t *live = NULL;
    HASH_FIND(hh, scheduler->live, &task, sizeof task, live);
    return live;
}

void mni_live_drop(mni_scheduler_t *scheduler, uint64_t task)
{
    mni_live_t *live = mni_live_find(scheduler, task);
    if (!live)
        return;
    HASH_DELETE(hh, scheduler->live, live);
    free(live);
}

/* --- phases ---------------------------------------------------------------------------------------------------- */

static void enter(mni_scheduler_t *scheduler, mni_phase_t phase)
{
    scheduler->phase = phase;
    scheduler->phase_since = mni_clock_now();
}

static void start_driver(mni_scheduler_t *scheduler)
{
    mni_msg_run_t run = {.kind = 0, .task = MNI_TASK_DRIVER, .attempt = 1};
    scheduler->driver_running = true;
    if (scheduler->embedded)
        return;
    mni_writer_begin(&scheduler->frame, MNI_MSG_TASK_RUN, 0);
    mni_put_run(&scheduler->frame, &run);
    mni_scheduler_send(scheduler, 0);
}

static void stop_driver(mni_scheduler_t *scheduler, bool kill)
{
    if (!scheduler->driver_running || scheduler->embedded)
        return;
    mni_writer_begin(&scheduler->frame, kill ? MNI_MSG_TASK_KILL : MNI_MSG_TASK_STOP, 0);
    mni_put_u64(&scheduler->frame, MNI_TASK_DRIVER);
    if (kill)
        mni_put_u8(&scheduler->frame, MN_REASON_KILLED);
    else
        mni_put_i32(&scheduler->frame, MN_E_INTERRUPTED);
    mni_scheduler_send(scheduler, 0);
}

void mni_scheduler_drain(mni_scheduler_t *scheduler, mni_drain_t how)
{
    uint64_t now = mni_clock_now();
    bool at_once = how == MNI_DRAIN_AT_ONCE;
    scheduler->resume |= how == MNI_DRAIN_RESUME;
    if (scheduler->phase > MNI_PHASE_DRAIN || (scheduler->phase == MNI_PHASE_DRAIN && !at_once))
        return;
    enter(scheduler, MNI_PHASE_DRAIN);
    mni_core_drain(scheduler->core, now, at_once ? 0 : scheduler->grace);
    stop_driver(scheduler, at_once);
    scheduler->driver_kill_at = mni_clock_after(now, scheduler->grace);
    scheduler->at_once |= at_once;
}

/* Nothing runs any more: no rank need be heard of while the store is written, which may take its time. */
static void end_heartbeats(mni_scheduler_t *scheduler)
{
    for (uint32_t rank = 0; rank < scheduler->rank_count; rank++) {
        mni_writer_begin(&scheduler->frame, MNI_MSG_HEARTBEAT, 0);
        mni_put_u8(&scheduler->frame, 1);
        if (!scheduler->lost[rank])
            mni_comm_send(scheduler->comm, rank, &scheduler->frame);
    }
}

/* Writes the store and lets all ranks go. */
static void finish(mni_scheduler_t *scheduler)
{
    size_t unfinished = 0;
    enter(scheduler, MNI_PHASE_OVER);
    mni_core_count(scheduler->core, NULL, &unfinished);
    if (scheduler->resume && unfinished > 0 && !scheduler->error)
        scheduler->status = MNI_EXIT_RESUME;
    if (mni_keep_finish(scheduler) < 0 && !scheduler->error) {
        scheduler->error = strdup(mn_error_message());
        scheduler->status = 1;
    }
    for (uint32_t rank = 0; rank < scheduler->rank_count; rank++) {
        mni_writer_begin(&scheduler->frame, MNI_MSG_SHUTDOWN, 0);
        if (!scheduler->lost[rank])
            mni_comm_send(scheduler->comm, rank, &scheduler->frame);
    }
}

static bool advance(mni_scheduler_t *scheduler, uint64_t now)
{
    size_t tasks = 0;
    switch (scheduler->phase) {
    case MNI_PHASE_GATHER:
        if (scheduler->hellos < scheduler->rank_count)
            return false;
        enter(scheduler, MNI_PHASE_RUN);
        mni_services_step(scheduler, now);
        start_driver(scheduler);
        return true;
    case MNI_PHASE_RUN:
        if (scheduler->workers == 0)
            mni_scheduler_fail(scheduler, "all workers were lost");
        if (now >= scheduler->drain_at) {
            mni_scheduler_drain(scheduler, MNI_DRAIN_RESUME);
            return true;
        }
        mni_services_step(scheduler, now);
        return false;
    case MNI_PHASE_DRAIN:
        if (now >= scheduler->driver_kill_at) {
            scheduler->driver_kill_at = MNI_NEVER;
            stop_driver(scheduler, true);
        }
        mni_core_count(scheduler->core, &tasks, NULL);
        if (tasks > 0 || (scheduler->driver_running && !scheduler->embedded))
            return false;
        enter(scheduler, MNI_PHASE_SERVICES);
        mni_services_stop(scheduler, scheduler->at_once);
        return true;
    case MNI_PHASE_SERVICES:
        if (scheduler->services_running > 0) {
            if (!scheduler->at_once &&
                now >= mni_clock_after(scheduler->phase_since, SERVICE_GRACE)) {
                scheduler->at_once = true;
                mni_services_stop(scheduler, true);
            }
            return false;
        }
        end_heartbeats(scheduler);
        enter(scheduler, MNI_PHASE_FINISH);
        return true;
    case MNI_PHASE_FINISH:
        finish(scheduler);
        return true;
    case MNI_PHASE_OVER:
        return false;
    }
    return false;
}

int mni_scheduler_step(mni_scheduler_t *scheduler, uint64_t now)
{
    bool worked = false;
    mni_waiters_expire(scheduler, now);
    mni_viewed_expire(scheduler, now);
    if (now >= mni_core_next_time(scheduler->core))
        mni_core_tick(scheduler->core, now);
    worked |= mni_scheduler_act(scheduler, now);
    worked |= advance(scheduler, now);
    worked |= mni_keep_step(scheduler, now);
    return worked;
}

uint64_t mni_scheduler_next_time(const mni_scheduler_t *scheduler)
{
    uint64_t next = mni_core_next_time(scheduler->core);
    uint64_t services = mni_services_next_time(scheduler);
    if (scheduler->next_deadline < next)
        next = scheduler->next_deadline;
    if (services < next)
        next = services;
    if (scheduler->tell_at < next)
        next = scheduler->tell_at;
    if (scheduler->phase == MNI_PHASE_RUN && scheduler->drain_at < next)
        next = scheduler->drain_at;
    if (scheduler->phase == MNI_PHASE_DRAIN && scheduler->driver_running &&
        scheduler->driver_kill_at < next)
        next = scheduler->driver_kill_at;
    if (scheduler->phase == MNI_PHASE_SERVICES && !scheduler->at_once) {
        uint64_t end = mni_clock_after(scheduler->phase_since, SERVICE_GRACE);
        next = end < next ? end : next;
    }
    return next;
}

bool mni_scheduler_over(const mni_scheduler_t *scheduler)
{
    return scheduler->phase == MNI_PHASE_OVER;
}

bool mni_scheduler_ready(const mni_scheduler_t *scheduler)
{
    return scheduler->phase != MNI_PHASE_GATHER;
}

int mni_scheduler_status(const mni_scheduler_t *scheduler, const char **error)
{
    *error = scheduler->error;
    return scheduler->status;
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

void mni_scheduler_put_hello(mni_writer_t *writer, const mni_node_offer_t *offer)
{
    mni_writer_begin(writer, MNI_MSG_HELLO, 0);
    mni_put_text(writer, offer->host);
    mni_put_text(writer, offer->topology);
    mni_put_u64(writer, offer->memory);
    mni_put_bytes(writer, offer->place, offer->cores * sizeof *offer->place);
    mni_put_bytes(writer, offer->gpu_place, offer->gpus * sizeof *offer->gpu_place);
}

static int take_hello(mni_scheduler_t *scheduler, uint32_t source, mni_reader_t *reader)
{
    size_t size = 0, gpu_size = 0;
    mni_core_place_t place[MNI_MAX_CORES], gpu_place[MNI_MAX_GPUS];
    const char *host = mni_get_text(reader);
    const char *topology = mni_get_text(reader);
    uint64_t memory = mni_get_u64(reader);
    const void *places = mni_get_bytes(reader, &size);
    const void *gpu_places = mni_get_bytes(reader, &gpu_size);
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return rc;
    if (!host || size > sizeof place || size % sizeof place[0] != 0 ||
        gpu_size > sizeof gpu_place || gpu_size % sizeof gpu_place[0] != 0 ||
        scheduler->greeted[source])
        return mni_error(MN_E_PROTOCOL, "rank %u sent a malformed hello", source);
    uint32_t number = scheduler->node_of[source];
    if (scheduler->core_node[number] < 0) {
        uint32_t node = 0;
        if (size > 0)
            memcpy(place, places, size);
        if (gpu_size > 0)
            memcpy(gpu_place, gpu_places, gpu_size);
        scheduler->hosts[number] = strdup(host);
        mni_node_offer_t offer = {.host = host,
                                  .cores = (uint32_t)(size / sizeof place[0]),
                                  .place = place,
                                  .memory = memory,
                                  .gpus = (uint32_t)(gpu_size / sizeof gpu_place[0]),
                                  .gpu_place = gpu_place,
                                  .topology = topology,
                                  .rank = source};
        if ((rc = mni_core_node_add(scheduler->core, &offer, &node)) < 0)
            return rc;
        scheduler->core_node[number] = node;
    }
    /* Rank 0 works only where nobody else does; but it has the slots of what its own processes call. */
    bool alone = true;
    for (uint32_t rank = 0; rank < scheduler->rank_count; rank++)
        alone &= rank == source || scheduler->node_of[rank] != number;
    if (source != 0 || alone) {
        if ((rc = mni_core_worker_add(scheduler->core, source,
                                      (uint32_t)scheduler->core_node[number])) < 0)
            return rc;
        scheduler->workers++;
    } else if ((rc = mni_core_guest_add(scheduler->core, source,
                                        (uint32_t)scheduler->core_node[number])) < 0) {
        return rc;
    }
    scheduler->greeted[source] = true;
    scheduler->hellos++;
    return 0;
}

static int take_call(mni_scheduler_t *scheduler, uint32_t source, mni_reader_t *reader)
{
    size_t size = 0;
    mni_client_address_t who = {
        .rank = source, .client = mni_get_u64(reader), .task = mni_get_u64(reader)};
    const void *frame = mni_get_bytes(reader, &size);
    int rc = mni_reader_end(reader);
    if (rc == 0)
        mni_scheduler_call(scheduler, &who, frame, size);
    return rc;
}

static int take_yield(mni_scheduler_t *scheduler, uint32_t source, mni_reader_t *reader)
{
    uint64_t task = mni_get_u64(reader);
    mn_value_t value = mni_get_value(reader);
    mni_client_address_t who = {
        .rank = source, .client = mni_get_u64(reader), .request = mni_get_u64(reader)};
    uint64_t count = mni_get_u64(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    const mni_live_t *live = mni_live_find(scheduler, task);
    if (live && live->job) {
        mni_history_t *history = mni_data_history(live->job->user);
        rc = mni_history_keep(history, value);
        if (rc == 0) {
            history->yields += count;
            mni_keep_yielded(scheduler, live->job, who.request != 0);
            mni_job_changed(scheduler, live->job);
        }
    }
    if (who.request != 0)
        mni_answer(scheduler, &who, rc);
    return 0;
}

static int take_progress(mni_scheduler_t *scheduler, mni_reader_t *reader)
{
    uint64_t task = mni_get_u64(reader);
    double fraction = mni_get_f64(reader);
    const char *message = mni_get_text(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    const mni_live_t *live = mni_live_find(scheduler, task);
    if (live && live->job) {
        mni_history_t *history = mni_data_history(live->job->user);
        history->progress = fraction;
        free(history->message);
        history->message = message ? strdup(message) : NULL;
        mni_job_changed(scheduler, live->job);
    }
    return 0;
}

/* What belongs to no job (functions called by the driver, services) goes where the driver's output goes. */
static void show_text(mn_stream_t stream, const char *text, size_t size)
{
    int fd = stream == MN_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written <= 0)
            return;
        text += written;
        size -= (size_t)written;
    }
}

static void show_output(mn_stream_t stream, const mni_textlog_piece_t *piece)
{
    char note[MNI_TEXTLOG_NOTE];

    show_text(stream, piece->text, piece->before);
    mni_textlog_note(piece->left_out, note);
    show_text(stream, note, strlen(note));
    if (piece->size > piece->before)
        show_text(stream, piece->text + piece->before, piece->size - piece->before);
}

static int take_output(mni_scheduler_t *scheduler, mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    mn_stream_t stream = (mn_stream_t)mni_get_u8(reader);
    mni_textlog_piece_t piece = mni_get_piece(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    mni_job_t *job = mni_core_find(scheduler->core, id);
    mni_attempt_t *attempt = job ? mni_data_last_attempt(job->user) : NULL;
    if (attempt)
        mni_textlog_add_piece(stream == MN_STDOUT ? &attempt->out : &attempt->err, &piece);
    else if (!job)
        show_output(stream, &piece);
    return 0;
}

static void driver_ended(mni_scheduler_t *scheduler, const mni_msg_ended_t *ended)
{
    int status = (int)(uint32_t)ended->finished.items; /* as from waitpid() */
    scheduler->driver_running = false;
    if (!scheduler->error)
        scheduler->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    mni_scheduler_drain(scheduler, MNI_DRAIN);
}

static int take_ended(mni_scheduler_t *scheduler, mni_reader_t *reader)
{
    uint64_t now = mni_clock_now();
    mni_msg_ended_t ended = mni_get_ended(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    if (ended.task == MNI_TASK_DRIVER) {
        driver_ended(scheduler, &ended);
        return 0;
    }
    if (ended.task >= MNI_TASK_SERVICES) {
        show_output(MN_STDOUT, &ended.out);
        show_output(MN_STDERR, &ended.err);
        mni_service_ended(scheduler, now, &ended);
        return 0;
    }
    const mni_live_t *live = mni_live_find(scheduler, ended.task);
    if (!live)
        return 0;
    mni_attempt_t *attempt = live->job && ended.out.size + ended.err.size > 0
                                 ? mni_data_last_attempt(live->job->user)
                                 : NULL;
    if (attempt) {
        mni_textlog_add_piece(&attempt->out, &ended.out);
        mni_textlog_add_piece(&attempt->err, &ended.err);
    }
    mni_history_t *history = live->job ? mni_data_history(live->job->user) : NULL;
    if (history) {
        history->cpu_time = (double)ended.finished.cpu_time * 1e-9;
        history->peak_memory = ended.finished.peak_memory;
    }
    mni_outcome_t outcome = {.reason = (mn_reason_t)ended.finished.reason,
                             .error = ended.finished.message};
    mni_live_drop(scheduler, ended.task);
    mni_core_task_ended(scheduler->core, now, ended.task, &outcome);
    return 0;
}

/* A worker wants slots for a map of one of its executors, or fewer, or none any more. */
static int take_want(mni_scheduler_t *scheduler, uint32_t source, mni_reader_t *reader)
{
    uint64_t now = mni_clock_now(), number = mni_get_u64(reader), caller = mni_get_u64(reader);
    uint32_t declaration = mni_get_u32(reader), want = mni_get_u32(reader);
    mni_demand_t *demand = NULL;
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return rc;
    HASH_FIND(hh, scheduler->demands, &number, sizeof number, demand);
    if (demand && want == 0) {
        mni_core_demand_close(scheduler->core, now, number);
        HASH_DELETE(hh, scheduler->demands, demand);
        free(demand);
        return 0;
    }
    if (demand) {
        mni_core_demand_want(scheduler->core, now, number, want);
        return 0;
    }
    const mni_declaration_t *declared = mni_declaration_get(declaration);
    if (want == 0 || !declared)
        return 0;
    const mni_live_t *live = mni_live_find(scheduler, caller);
    demand = calloc(1, sizeof *demand);
    if (!demand)
        return mni_error(MN_E_NO_MEMORY, "no memory for a map");
    *demand = (mni_demand_t){.demand = number,
                             .rank = source,
                             .declaration = declaration,
                             .id = live ? live->id : (mn_id_t){{0}}};
    HASH_ADD(hh, scheduler->demands, demand, sizeof demand->demand, demand);
    if (MNI_HASH_FAILED(demand)) {
        free(demand);
        return mni_error(MN_E_NO_MEMORY, "no memory for a map");
    }
    rc = mni_core_demand(scheduler->core, now, number, caller < MNI_TASK_DRIVER ? caller : 0,
                         declaration, &declared->need, want);
    if (rc < 0) {
        mni_writer_begin(&scheduler->frame, MNI_MSG_SLOTS_REFUSE, 0);
        mni_put_u64(&scheduler->frame, number);
        mni_put_i32(&scheduler->frame, rc);
        mni_put_text(&scheduler->frame, mn_error_message());
        mni_scheduler_send(scheduler, source);
        HASH_DELETE(hh, scheduler->demands, demand);
        free(demand);
    }
    return 0;
}

static int handle_frame(mni_scheduler_t *scheduler, uint32_t source, const void *frame, size_t size)
{
    mni_reader_t reader;
    uint64_t a, b;
    int rc = mni_reader_begin(&reader, frame, size);
    if (rc < 0)
        return rc;
    switch (reader.type) {
    case MNI_MSG_HELLO:
        return take_hello(scheduler, source, &reader);
    case MNI_MSG_CALL:
        return take_call(scheduler, source, &reader);
    case MNI_MSG_TASK_YIELD:
        return take_yield(scheduler, source, &reader);
    case MNI_MSG_TASK_PROGRESS:
        return take_progress(scheduler, &reader);
    case MNI_MSG_TASK_ENDED:
        return take_ended(scheduler, &reader);
    case MNI_MSG_SLOTS_WANT:
        return take_want(scheduler, source, &reader);
    case MNI_MSG_SLOT_FREE:
        a = mni_get_u64(&reader);
        if ((rc = mni_reader_end(&reader)) < 0)
            return rc;
        if (mni_live_find(scheduler, a)) {
            mni_live_drop(scheduler, a);
            mni_core_slot_release(scheduler->core, mni_clock_now(), a);
        }
        return 0;
    case MNI_MSG_TASK_LOG_TEXT: {
        (void)mni_get_u64(&reader);
        b = mni_get_u64(&reader);
        mni_textlog_piece_t piece = mni_get_piece(&reader);
        if ((rc = mni_reader_end(&reader)) == 0)
            mni_answer_log(scheduler, b, &piece);
        return rc;
    }
    case MNI_MSG_JOB_OUTPUT:
        return take_output(scheduler, &reader);
    case MNI_MSG_TASK_ADDRESS: {
        a = mni_get_u64(&reader);
        const char *address = mni_get_text(&reader);
        if ((rc = mni_reader_end(&reader)) == 0)
            mni_service_address(scheduler, a, address);
        return rc;
    }
    default:
        return mni_error(MN_E_PROTOCOL, "rank %u sent a message of type %u", source, reader.type);
    }
}

int mni_scheduler_handle(mni_scheduler_t *scheduler, uint32_t source, const void *frame,
                         size_t size)
{
    int rc = handle_frame(scheduler, source, frame, size);
    /* Before the next frame is looked at: a job must not be seen in a status whose time, waiters and
     * place in the store have not been seen to. */
    mni_scheduler_act(scheduler, mni_clock_now());
    return rc;
}

void mni_scheduler_rank_lost(mni_scheduler_t *scheduler, uint32_t rank)
{
    mni_live_t *live, *next;
    mni_demand_t *demand, *next_demand;
    if (rank >= scheduler->rank_count || scheduler->lost[rank])
        return;
    scheduler->lost[rank] = true;
    if (!scheduler->greeted[rank])
        scheduler->hellos++;
    else
        scheduler->workers--;
    mni_comm_lost(scheduler->comm, rank);
    HASH_ITER (hh, scheduler->live, live, next) {
        if (live->rank == rank)
            mni_live_drop(scheduler, live->task);
    }
    HASH_ITER (hh, scheduler->demands, demand, next_demand) {
        if (demand->rank == rank) {
            HASH_DELETE(hh, scheduler->demands, demand);
            free(demand);
        }
    }
    mni_core_worker_lost(scheduler->core, mni_clock_now(), rank);
    mni_scheduler_act(scheduler, mni_clock_now());
    for (uint32_t other = 0; other < scheduler->rank_count; other++) {
        if (scheduler->lost[other])
            continue;
        mni_writer_begin(&scheduler->frame, MNI_MSG_RANK_LOST, 0);
        mni_put_u32(&scheduler->frame, rank);
        mni_scheduler_send(scheduler, other);
    }
}
