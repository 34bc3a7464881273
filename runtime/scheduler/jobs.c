/* SPDX-License-Identifier: MIT
 *
 * The data of jobs beside their lifecycle: values, times, progress, output; and how they reach the store.
 */
#include "scheduler/internal.h"

int mni_data_keep(mn_value_t *kept, mn_value_t value)
{
    void *copy = NULL;
    if (value.size > 0) {
        copy = malloc(value.size);
        if (!copy)
            return mni_error(MN_E_NO_MEMORY, "no memory for a value of %zu bytes", value.size);
        memcpy(copy, value.data, value.size);
    }
    mn_value_destroy(kept);
    *kept = value;
    kept->data = copy;
    return 0;
}

mni_data_t *mni_data_create(mn_value_t input)
{
    mni_data_t *data = calloc(1, sizeof *data);
    if (!data) {
        mni_error(MN_E_NO_MEMORY, "no memory for a job");
        return NULL;
    }
    data->rank = -1;
    data->created = mni_clock_calendar();
    if (mni_data_keep(&data->input, input) < 0) {
        free(data);
        return NULL;
    }
    return data;
}

void mni_data_destroy(mni_data_t *data)
{
    if (!data)
        return;
    for (uint32_t i = 0; i < data->attempt_room; i++) {
        mni_textlog_fini(&data->attempts[i].out);
        mni_textlog_fini(&data->attempts[i].err);
    }
    free(data->attempts);
    mn_value_destroy(&data->input);
    mn_value_destroy(&data->result);
    free(data->message);
    free(data);
}

mn_info_t mni_data_info(const mni_data_t *data)
{
    const mni_job_t *job = data->job;
    const mni_declaration_t *declared = mni_declaration_get(job->declaration);
    return (mn_info_t){.id = job->id,
                       .job = declared ? declared->name : NULL,
                       .status = job->status,
                       .reason = job->reason,
                       .error = job->status == MN_FAILED ? job->error : NULL,
                       .result = data->result,
                       .yields = data->yields,
                       .version = data->version,
                       .attempts = job->attempts,
                       .progress = data->progress,
                       .message = data->message,
                       .created = data->created,
                       .started = data->started,
                       .ended = data->ended,
                       .lock = job->lock,
                       .tag = job->tag,
                       .key = job->key,
                       .host = data->host,
                       .rank = data->rank,
                       .cpus = data->cpus};
}

void mni_data_changed(mni_scheduler_t *scheduler, mni_data_t *data)
{
    data->version++;
    if (data->waiters)
        mni_waiters_answer(scheduler, data);
}

mni_attempt_t *mni_data_attempt(mni_data_t *data, uint32_t attempt)
{
    if (attempt == 0 || attempt > data->attempt_count)
        return NULL;
    if (attempt > data->attempt_room) {
        mni_attempt_t *grown = realloc(data->attempts, attempt * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + data->attempt_room, 0, (attempt - data->attempt_room) * sizeof *grown);
        data->attempts = grown;
        data->attempt_room = attempt;
    }
    return &data->attempts[attempt - 1];
}

/* --- to the store --------------------------------------------------------------------------------------------- */

typedef struct walk {
    mni_job_t **jobs; /* newest first */
    size_t left;
} walk_t;

static int visit_job(void *argument, mni_store_record_t *record)
{
    walk_t *walk = argument;
    if (walk->left == 0)
        return 0;
    const mni_data_t *data = walk->jobs[--walk->left]->user;
    record->info = mni_data_info(data);
    record->input = data->input;
    return 1;
}

int mni_scheduler_save(mni_scheduler_t *scheduler)
{
    walk_t walk = {0};
    size_t count = 0;
    mni_job_t *job = NULL;

    while ((job = mni_core_older(scheduler->core, job)))
        count++;
    walk.jobs = malloc((count + 1) * sizeof *walk.jobs);
    if (!walk.jobs)
        return mni_error(MN_E_NO_MEMORY, "no memory for a list of %zu jobs", count);
    while ((job = mni_core_older(scheduler->core, job)))
        walk.jobs[walk.left++] = job;
    int rc = mni_store_write(scheduler->store, visit_job, &walk);
    free(walk.jobs);
    return rc;
}
