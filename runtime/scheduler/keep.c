/* SPDX-License-Identifier: MIT
 *
 * How jobs get into the store, and out of it at the start. Every change is told to the store as it happens, but for values, of which
 * only the last one within a commit interval is told, and for the beginning of an attempt: nobody has been promised these, and the end
 * of a short job tells all in one record. Frames that tell somebody of changes are held back until these
 * are kept.
 */
#include "scheduler/internal.h"

#include <stdio.h>

/* So long a change may wait that nobody has been promised. */
#define COMMIT_INTERVAL (100 * MNI_MILLISECOND)

static mni_large_t *large_result(const mni_data_t *data)
{
    return data->history ? data->history->large : NULL;
}

static const char *file_of(const mni_large_t *large)
{
    return large ? mni_large_file(large) : NULL;
}

static mni_store_record_t record_of(const mni_scheduler_t *scheduler, const mni_job_t *job)
{
    mni_large_t *input = mni_data_large(job->user), *result = large_result(job->user);
    const mni_job_t *parent = mni_core_tied_to(job);

    return (mni_store_record_t){.info = mni_job_info(scheduler, job),
                                .parent = parent ? parent->id : (mn_id_t){{0}},
                                .input = mni_data_input(job->user),
                                .input_file = file_of(input),
                                .result_file = file_of(result),
                                .input_large = input,
                                .result_large = result,
                                .need = job->need,
                                .has_need = true,
                                .retries = job->retries,
                                .lost = job->lost};
}

/* --- the jobs of earlier runs --------------------------------------------------------------------------------- */

/* Hosts and cores are few, and live as long as the scheduler. NULL for NULL, and when there is no memory. */
static const char *text_keep(mni_scheduler_t *scheduler, const char *text)
{
    if (!text)
        return NULL;
    for (size_t i = scheduler->text_count; i-- > 0;)
        if (strcmp(scheduler->texts[i], text) == 0)
            return scheduler->texts[i];
    char **grown = realloc(scheduler->texts, (scheduler->text_count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    scheduler->texts = grown;
    char *copy = strdup(text);
    if (copy)
        grown[scheduler->text_count++] = copy;
    return copy;
}

/* What a job that this program declares is now; else it gets a number behind those. */
static int declaration_of(mni_scheduler_t *scheduler, const char *name, uint32_t *declaration)
{
    int index = mni_declaration_find(name, MN_KIND_JOB);
    if (index >= 0) {
        *declaration = (uint32_t)index;
        return 1;
    }
    uint32_t count = mni_declaration_count();
    for (uint32_t i = count; i < count + scheduler->undeclared; i++)
        if (strcmp(mni_core_declared(scheduler->core, i), name) == 0) {
            *declaration = i;
            return 0;
        }
    *declaration = count + scheduler->undeclared;
    int rc = mni_core_declare(scheduler->core, *declaration, name);
    scheduler->undeclared += rc == 0;
    return rc;
}

static int note_changed(mni_scheduler_t *scheduler, mn_id_t id)
{
    mn_id_t *grown =
        realloc(scheduler->changed, (scheduler->changed_count + (size_t)1) * sizeof *grown);
    if (!grown)
        return mni_error(MN_E_NO_MEMORY, "no memory for the jobs of the store");
    scheduler->changed = grown;
    grown[scheduler->changed_count++] = id;
    return 0;
}

/* What has become of a job with the runtime that ran it. */
static void settle(mni_restore_t *restore)
{
    if (restore->status == MN_CANCELLING) {
        restore->status = MN_CANCELLED;
        restore->reason = MN_REASON_CANCELLED;
    } else if (restore->status == MN_RUNNING && restore->lost < restore->start.need.max_lost) {
        restore->lost++;
        restore->status = MN_PENDING;
        restore->reason = MN_REASON_WORKER_LOST;
    } else if (restore->status == MN_RUNNING) {
        restore->status = MN_FAILED;
        restore->reason = MN_REASON_WORKER_LOST;
        restore->error = "the runtime that ran it was lost, and it may not run again";
    }
}

static int restore_data(mni_scheduler_t *scheduler, const mni_store_record_t *record,
                        mni_data_t *data)
{
    const mn_info_t *info = &record->info;
    data->created = info->created;
    if (info->attempts == 0 && !mn_status_terminal(info->status) && info->yields == 0)
        return 0;
    mni_history_t *history = mni_data_history(data);
    if (!history ||
        (record->result_file ? mni_large_restore(scheduler->store, record, false, &history->large)
                             : mni_history_keep(history, info->result)) < 0)
        return mni_error(MN_E_NO_MEMORY, "no memory for the jobs of the store");
    history->yields = info->yields;
    history->progress = info->progress;
    history->started = info->started;
    history->ended = info->ended;
    history->message = info->message ? strdup(info->message) : NULL;
    history->host = text_keep(scheduler, info->host);
    history->cpus = text_keep(scheduler, info->cpus);
    history->rank = info->rank;
    history->cpu_time = info->cpu_time;
    history->peak_memory = info->peak_memory;
    history->attempt_count = info->attempts;
    return 0;
}

static int restore_job(void *argument, const mni_store_record_t *record)
{
    mni_scheduler_t *scheduler = argument;
    mni_restore_t restore = {.start = {.id = record->info.id,
                                       .need = record->need,
                                       .lock = record->info.lock,
                                       .tag = record->info.tag,
                                       .key = record->info.key},
                             .status = record->info.status,
                             .reason = record->info.reason,
                             .parent = record->parent,
                             .attempts = record->info.attempts,
                             .retries = record->retries,
                             .lost = record->lost,
                             .error = record->info.error};
    mni_job_t *job = NULL;
    int declared = declaration_of(scheduler, record->info.job, &restore.start.declaration);

    if (declared < 0)
        return declared;
    if (!record->has_need && declared)
        restore.start.need = mni_declaration_get(restore.start.declaration)->need;
    settle(&restore);
    if (!mn_status_terminal(restore.status) && !declared)
        restore.reason = MN_REASON_UNDECLARED;
    else if (restore.reason == MN_REASON_UNDECLARED)
        restore.reason = MN_REASON_NONE;
    mni_data_t *data = mni_data_restore(scheduler->store, record);
    if (!data)
        return MN_E_NO_MEMORY;
    restore.start.user = data;
    int rc = restore_data(scheduler, record, data);
    if (rc == 0)
        rc = mni_core_restore(scheduler->core, mni_clock_now(), &restore, &job);
    if (rc < 0) {
        mni_data_destroy(data);
        return rc;
    }
    if (mn_status_terminal(restore.status) && data->history && data->history->ended == 0)
        data->history->ended = mni_clock_calendar();
    return restore.status != record->info.status ? note_changed(scheduler, job->id) : 0;
}

typedef struct walk {
    mni_scheduler_t *scheduler;
    mni_job_t **jobs; /* newest first */
    size_t left;
} walk_t;

static int visit_job(void *argument, mni_store_record_t *record)
{
    walk_t *walk = argument;
    if (walk->left == 0)
        return 0;
    *record = record_of(walk->scheduler, walk->jobs[--walk->left]);
    return 1;
}

static int walk_make(mni_scheduler_t *scheduler, walk_t *walk)
{
    size_t count = 0;
    mni_job_t *job = NULL;

    *walk = (walk_t){.scheduler = scheduler};
    while ((job = mni_core_older(scheduler->core, job)))
        count++;
    walk->jobs = malloc((count + 1) * sizeof *walk->jobs);
    if (!walk->jobs)
        return mni_error(MN_E_NO_MEMORY, "no memory for a list of %zu jobs", count);
    while ((job = mni_core_older(scheduler->core, job)))
        walk->jobs[walk->left++] = job;
    return 0;
}

int mni_keep_begin(mni_scheduler_t *scheduler, const mni_scheduler_options_t *options)
{
    walk_t walk;
    int rc = mni_store_recover(scheduler->store, restore_job, scheduler);

    if (rc < 0 || (rc = walk_make(scheduler, &walk)) < 0)
        return rc;
    rc = mni_store_begin(scheduler->store, options->durability, options->bell, visit_job, &walk);
    free(walk.jobs);
    for (uint32_t i = 0; rc == 0 && i < scheduler->changed_count; i++) {
        const mni_job_t *job = mni_core_find(scheduler->core, scheduler->changed[i]);
        mni_store_record_t record = record_of(scheduler, job);
        rc = mni_store_changed(scheduler->store, MNI_STORE_CHANGED, &record);
    }
    free(scheduler->changed);
    scheduler->changed = NULL;
    return rc;
}

int mni_keep_finish(mni_scheduler_t *scheduler)
{
    walk_t walk;
    int rc = walk_make(scheduler, &walk);

    if (rc < 0)
        return rc;
    rc = mni_store_finish(scheduler->store, visit_job, &walk);
    free(walk.jobs);
    return rc;
}

/* --- changes -------------------------------------------------------------------------------------------------- */

static void told(mni_scheduler_t *scheduler, int rc)
{
    if (rc < 0)
        mni_scheduler_fail(scheduler, mn_error_message());
}

int mni_keep_started(mni_scheduler_t *scheduler, const mni_job_t *job)
{
    mni_store_record_t record = record_of(scheduler, job);
    return mni_store_started(scheduler->store, &record);
}

/* Tells the store what has become of a job: `what`, and what it has not been told before. */
static void tell(mni_scheduler_t *scheduler, const mni_job_t *job, unsigned what)
{
    mni_history_t *history = ((mni_data_t *)job->user)->history;
    if (history && history->untold) {
        what |= history->untold;
        history->untold = 0;
        DL_DELETE(scheduler->untold, history);
        if (!scheduler->untold)
            scheduler->tell_at = MNI_NEVER;
    }
    mni_store_record_t record = record_of(scheduler, job);
    told(scheduler, mni_store_changed(scheduler->store, what, &record));
}

/* What can wait for a while: it is told together with what comes after it. */
static void tell_later(mni_scheduler_t *scheduler, mni_job_t *job, unsigned what)
{
    mni_history_t *history = ((mni_data_t *)job->user)->history;
    if (!history->untold) {
        history->job = job;
        DL_APPEND(scheduler->untold, history);
        if (scheduler->tell_at == MNI_NEVER)
            scheduler->tell_at = mni_clock_now() + COMMIT_INTERVAL;
    }
    history->untold |= what;
}

void mni_keep_begun(mni_scheduler_t *scheduler, mni_job_t *job, bool at_once)
{
    if (at_once)
        tell(scheduler, job, MNI_STORE_BEGUN);
    else
        tell_later(scheduler, job, MNI_STORE_BEGUN);
}

void mni_keep_yielded(mni_scheduler_t *scheduler, mni_job_t *job, bool at_once)
{
    if (at_once)
        tell(scheduler, job, MNI_STORE_YIELDED);
    else
        tell_later(scheduler, job, MNI_STORE_YIELDED);
}

void mni_keep_changed(mni_scheduler_t *scheduler, const mni_job_t *job)
{
    tell(scheduler, job, MNI_STORE_CHANGED);
}

void mni_keep_removed(mni_scheduler_t *scheduler, const mni_job_t *job)
{
    mni_history_t *history = ((mni_data_t *)job->user)->history;
    if (history && history->untold)
        DL_DELETE(scheduler->untold, history);
    told(scheduler, mni_store_removed(scheduler->store, job->id));
}

/* --- what is held back ---------------------------------------------------------------------------------------- */

void mni_keep_send(mni_scheduler_t *scheduler, uint32_t rank, const mni_client_address_t *answer)
{
    uint64_t change = mni_store_told(scheduler->store);
    mni_held_t *held;

    if (change <= mni_store_kept(scheduler->store)) {
        mni_scheduler_send(scheduler, rank);
        return;
    }
    held = calloc(1, sizeof *held);
    if (!held) {
        mni_scheduler_fail(scheduler, "rank 0 has no memory for an answer");
        return;
    }
    held->change = change;
    held->answer = answer != NULL;
    if (answer)
        held->who = *answer;
    held->who.rank = rank;
    held->frame = scheduler->frame;
    scheduler->frame = (mni_writer_t){0};
    DL_APPEND(scheduler->held, held);
}

static void held_free(mni_scheduler_t *scheduler, mni_held_t *held)
{
    DL_DELETE(scheduler->held, held);
    mni_writer_fini(&held->frame);
    free(held);
}

static bool release(mni_scheduler_t *scheduler)
{
    uint64_t kept = mni_store_kept(scheduler->store);
    bool released = false;

    for (mni_held_t *held; (held = scheduler->held) && held->change <= kept; released = true) {
        if (mni_comm_send(scheduler->comm, held->who.rank, &held->frame) < 0)
            mni_scheduler_fail(scheduler, mn_error_message());
        held_free(scheduler, held);
    }
    return released;
}

/* Nothing will be kept any more. */
static bool refuse(mni_scheduler_t *scheduler, int code)
{
    char error[MNI_ERROR_MAX];
    mni_held_t *held, *next;

    snprintf(error, sizeof error, "%s", mn_error_message());
    mni_scheduler_fail(scheduler, error);
    if (!scheduler->held)
        return false;
    DL_FOREACH_SAFE (scheduler->held, held, next) {
        if (held->answer)
            mni_answer(scheduler, &held->who, mni_error(code, "%s", error));
        held_free(scheduler, held);
    }
    return true;
}

/* A job whose last large value is still on its way to the disk waits with the next one: the disk, not memory, is what holds values
 * that come faster than it takes them. */
static void tell_due(mni_scheduler_t *scheduler, uint64_t now)
{
    mni_history_t *history, *next;

    DL_FOREACH_SAFE (scheduler->untold, history, next)
        if (!history->large || !mni_store_busy(scheduler->store, history->job->id))
            tell(scheduler, history->job, 0);
    if (scheduler->untold)
        scheduler->tell_at = now + COMMIT_INTERVAL;
}

bool mni_keep_step(mni_scheduler_t *scheduler, uint64_t now)
{
    bool worked = false, for_good = false;
    int rc;

    if (now >= scheduler->tell_at) {
        tell_due(scheduler, now);
        worked = true;
    }
    mni_store_commit(scheduler->store);
    if (scheduler->held)
        worked |= release(scheduler);
    if (scheduler->held && (rc = mni_store_trouble(scheduler->store, &for_good)) < 0 && for_good)
        worked |= refuse(scheduler, rc);
    return worked;
}

void mni_keep_destroy(mni_scheduler_t *scheduler)
{
    while (scheduler->held)
        held_free(scheduler, scheduler->held);
    for (size_t i = 0; i < scheduler->text_count; i++)
        free(scheduler->texts[i]);
    free(scheduler->texts);
    free(scheduler->changed);
}
