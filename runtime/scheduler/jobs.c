/* SPDX-License-Identifier: MIT
 *
 * The data of jobs beside their lifecycle: values, times, progress, output.
 */
#include "scheduler/internal.h"

_Static_assert(offsetof(mni_data_t, input) == 40,
               "bench/core_simulation.h counts the memory of a job");

/* Several dimensions are kept; one follows from the size. */
static size_t dims_bytes(mn_value_t value)
{
    return value.ndims > 1 ? value.ndims * sizeof(uint64_t) : 0;
}

/* `size` bytes behind the dimensions. */
static mni_data_t *data_make(mn_value_t input, const void *bytes, size_t size)
{
    size_t dims = dims_bytes(input);
    mni_data_t *data = calloc(1, offsetof(mni_data_t, input) + dims + size);
    if (!data) {
        mni_error(MN_E_NO_MEMORY, "no memory for a job with an input of %zu bytes", input.size);
        return NULL;
    }
    data->created = mni_clock_calendar();
    data->input_bytes = (uint32_t)input.size;
    data->input_type = (uint8_t)input.type;
    data->input_ndims = (uint8_t)input.ndims;
    for (unsigned i = 0; dims > 0 && i < input.ndims; i++)
        data->input[i] = input.dims[i];
    if (size > 0)
        memcpy((uint8_t *)data->input + dims, bytes, size);
    return data;
}

/* Takes over the large value. */
static mni_data_t *data_make_large(mni_large_t *large)
{
    mni_data_t *data = data_make(mni_large_value(large), &large, sizeof large);
    if (data)
        data->input_large = true;
    else
        mni_large_destroy(large);
    return data;
}

mni_data_t *mni_data_create(mn_value_t input)
{
    mni_large_t *large = NULL;

    if (input.size <= MNI_STORE_LARGE)
        return data_make(input, input.data, input.size);
    return mni_large_create(input, &large) < 0 ? NULL : data_make_large(large);
}

mni_data_t *mni_data_restore(const mni_store_t *store, const mni_store_record_t *record)
{
    mni_large_t *large = NULL;

    if (!record->input_file)
        return mni_data_create(record->input);
    return mni_large_restore(store, record, true, &large) < 0 ? NULL : data_make_large(large);
}

static const void *input_at(const mni_data_t *data)
{
    return (const uint8_t *)data->input +
           (data->input_ndims > 1 ? data->input_ndims * sizeof(uint64_t) : 0);
}

mni_large_t *mni_data_large(const mni_data_t *data)
{
    mni_large_t *large = NULL;
    if (data->input_large)
        memcpy(&large, input_at(data), sizeof large);
    return large;
}

mn_value_t mni_data_input(const mni_data_t *data)
{
    if (data->input_large)
        return mni_large_value(mni_data_large(data));
    mn_value_t input = {
        .size = data->input_bytes, .type = (mn_type_t)data->input_type, .ndims = data->input_ndims};
    if (input.ndims == 1)
        input.dims[0] = input.size / mn_type_size(input.type);
    for (unsigned i = 0; input.ndims > 1 && i < input.ndims; i++)
        input.dims[i] = data->input[i];
    if (input.size > 0)
        input.data = input_at(data);
    return input;
}

void mni_data_destroy(mni_data_t *data)
{
    if (!data)
        return;
    mni_history_t *history = data->history;
    for (uint32_t i = 0; history && i < history->attempt_room; i++) {
        mni_textlog_fini(&history->attempts[i].out);
        mni_textlog_fini(&history->attempts[i].err);
    }
    if (history) {
        free(history->attempts);
        mn_value_destroy(&history->result);
        mni_large_destroy(history->large);
        free(history->message);
        free(history);
    }
    mni_large_destroy(mni_data_large(data));
    free(data);
}

mni_history_t *mni_data_history(mni_data_t *data)
{
    if (!data->history && (data->history = calloc(1, sizeof *data->history)))
        data->history->rank = -1;
    return data->history;
}

mni_attempt_t *mni_data_attempt(mni_data_t *data, uint32_t attempt)
{
    mni_history_t *history = data->history;
    if (!history || attempt == 0 || attempt > history->attempt_count)
        return NULL;
    if (attempt > history->attempt_room) {
        mni_attempt_t *grown = realloc(history->attempts, attempt * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + history->attempt_room, 0, (attempt - history->attempt_room) * sizeof *grown);
        history->attempts = grown;
        history->attempt_room = attempt;
    }
    return &history->attempts[attempt - 1];
}

mni_attempt_t *mni_data_last_attempt(mni_data_t *data)
{
    return data->history ? mni_data_attempt(data, data->history->attempt_count) : NULL;
}

int mni_history_keep(mni_history_t *history, mn_value_t result)
{
    mni_large_t *large = NULL;
    void *copy = NULL;
    int rc;
    if (result.size > MNI_STORE_LARGE) {
        if ((rc = mni_large_create(result, &large)) < 0)
            return rc;
        result = mn_none();
    } else if (result.size > 0) {
        copy = malloc(result.size);
        if (!copy)
            return mni_error(MN_E_NO_MEMORY, "no memory for a result of %zu bytes", result.size);
        memcpy(copy, result.data, result.size);
    }
    mn_value_destroy(&history->result);
    history->result = result;
    history->result.data = copy;
    mni_large_destroy(history->large);
    history->large = large;
    return 0;
}

int mni_value_view(const mni_large_t *large, mn_value_t *value, void **buffer)
{
    *buffer = NULL;
    return large ? mni_large_view(large, value, buffer) : 0;
}

mn_info_t mni_job_info(const mni_scheduler_t *scheduler, const mni_job_t *job)
{
    static const mni_history_t nothing = {.rank = -1};
    const mni_data_t *data = job->user;
    const mni_history_t *history = data->history ? data->history : &nothing;
    return (mn_info_t){.id = job->id,
                       .job = mni_core_declared(scheduler->core, job->declaration),
                       .status = job->status,
                       .reason = job->reason,
                       .error = job->status == MN_FAILED ? job->error : NULL,
                       .result = history->large ? mni_large_value(history->large) : history->result,
                       .yields = history->yields,
                       .version = data->version,
                       .attempts = job->attempts,
                       .progress = history->progress,
                       .message = history->message,
                       .created = data->created,
                       .started = history->started,
                       .ended = history->ended,
                       .lock = mni_job_lock(job),
                       .tag = mni_job_tag(job),
                       .key = mni_job_key(job),
                       .host = history->host,
                       .rank = history->rank,
                       .cpus = history->cpus,
                       .cpu_time = history->cpu_time,
                       .peak_memory = history->peak_memory};
}

void mni_job_changed(mni_scheduler_t *scheduler, mni_job_t *job)
{
    mni_data_t *data = job->user;
    data->version++;
    if (data->waiters)
        mni_waiters_answer(scheduler, job);
}
