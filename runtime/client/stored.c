/* SPDX-License-Identifier: MIT
 *
 * The public calls that read a store: what is known of its jobs is held in memory, values are read when they are asked for.
 * Needs no runtime. The caller's thread; calls with one store are made one at a time.
 */
#include "client/task.h"
#include "client/info.h"
#include "store/read.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* A job. Values that the store has in memory are the store's. */
typedef struct stored {
    mn_info_t *info; /* without its result */
    mn_value_t input, result;
    uint64_t input_row, result_row;
    const char *input_file, *result_file;
} stored_t;

struct mn_store {
    mni_store_t *store;
    stored_t *jobs; /* oldest first */
    size_t count, room;
    size_t *by_id; /* indices, sorted by id; NULL: not needed yet */
};

static int take(void *argument, const mni_store_record_t *record)
{
    mn_store_t *store = argument;

    if (store->count == store->room) {
        size_t room = store->room == 0 ? 64 : store->room * 2;
        stored_t *grown = reallocarray(store->jobs, room, sizeof *grown);
        if (grown == NULL)
            return mni_error(MN_E_NO_MEMORY, "no memory for %zu jobs of the store", room);
        store->jobs = grown;
        store->room = room;
    }
    stored_t *job = &store->jobs[store->count];
    mn_info_t bare = record->info;
    bare.result = mn_none();
    int rc = mni_info_copy(&bare, &job->info);
    if (rc < 0)
        return rc;
    job->input = record->input;
    job->result = record->info.result;
    job->input_row = record->input_row;
    job->result_row = record->result_row;
    job->input_file = record->input_file;
    job->result_file = record->result_file;
    store->count++;
    return 0;
}

int mn_store_open(const char *path, mn_store_t **result)
{
    if (path == NULL || result == NULL)
        return mni_error(MN_E_INVALID, "mn_store_open() needs a path and a place for the store");
    mn_store_t *store = calloc(1, sizeof *store);
    if (store == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store");
    int rc = mni_store_open_read(path, &store->store);
    if (rc == 0)
        rc = mni_store_scan(store->store, take, store);
    if (rc < 0) {
        mn_store_close(store);
        return rc;
    }
    *result = store;
    return 0;
}

const char *mn_store_damage(const mn_store_t *store)
{
    return store == NULL ? NULL : mni_store_damage(store->store);
}

void mn_store_close(mn_store_t *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->count; i++)
        mn_info_destroy(store->jobs[i].info);
    free(store->jobs);
    free(store->by_id);
    mni_store_close(store->store);
    free(store);
}

/* --- finding -------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b, void *argument)
{
    const mn_store_t *store = argument;
    return memcmp(&store->jobs[*(const size_t *)a].info->id,
                  &store->jobs[*(const size_t *)b].info->id, sizeof(mn_id_t));
}

static int make_index(mn_store_t *store)
{
    if (store->by_id != NULL)
        return 0;
    size_t *index = reallocarray(NULL, store->count + 1, sizeof *index);
    if (index == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for an index of %zu jobs", store->count);
    for (size_t i = 0; i < store->count; i++)
        index[i] = i;
    qsort_r(index, store->count, sizeof *index, compare, store);
    store->by_id = index;
    return 0;
}

/* Its index among the jobs. MN_E_NO_JOB, MN_E_NO_MEMORY. */
static int find(mn_store_t *store, mn_id_t id, size_t *found)
{
    char text[MN_ID_TEXT];
    size_t low = 0, high = store->count;
    int rc = make_index(store);

    while (rc == 0 && low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(&store->jobs[store->by_id[middle]].info->id, &id, sizeof id);
        if (order == 0) {
            *found = store->by_id[middle];
            return 0;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return rc < 0 ? rc
                  : mni_error(MN_E_NO_JOB, "there is no job %s in the store %.300s",
                              mn_id_format(id, text), mni_store_path(store->store));
}

/* As the scan gave it, texts apart. */
static mni_store_record_t record_of(const stored_t *job)
{
    return (mni_store_record_t){.info = {.id = job->info->id, .result = job->result},
                                .input = job->input,
                                .input_row = job->input_row,
                                .result_row = job->result_row,
                                .input_file = job->input_file,
                                .result_file = job->result_file};
}

static bool is_text(const char *wanted, const char *text)
{
    return wanted == NULL || (text != NULL && strcmp(wanted, text) == 0);
}

static bool matches(const mn_list_options_t *options, const mn_info_t *info)
{
    return is_text(options->job, info->job) && is_text(options->lock, info->lock) &&
           is_text(options->tag, info->tag) &&
           (options->statuses == 0 || (options->statuses & 1u << info->status) != 0);
}

int mn_store_list(mn_store_t *store, const mn_list_options_t *options, mn_id_t *ids,
                  size_t capacity, size_t *count)
{
    static const mn_list_options_t all;
    size_t at, found = 0;

    if (store == NULL || count == NULL || (ids == NULL && capacity > 0))
        return mni_error(MN_E_INVALID,
                         "mn_store_list() needs a store, room for ids and a place for their count");
    if (options == NULL)
        options = &all;
    at = store->count;
    int rc = mni_list_check(options);
    if (rc == 0 && options->after != NULL)
        rc = find(store, *options->after, &at);
    if (rc < 0)
        return rc;
    while (found < capacity && at > 0) {
        const mn_info_t *info = store->jobs[--at].info;
        if (matches(options, info))
            ids[found++] = info->id;
    }
    *count = found;
    return 0;
}

int mn_store_get(mn_store_t *store, mn_id_t id, mn_info_t **info)
{
    mn_value_t result;
    size_t at;
    int rc;

    if (store == NULL || info == NULL)
        return mni_error(MN_E_INVALID, "mn_store_get() needs a store and a place for the info");
    if ((rc = find(store, id, &at)) < 0)
        return rc;
    mni_store_record_t record = record_of(&store->jobs[at]);
    if ((rc = mni_store_result(store->store, &record, &result)) < 0)
        return rc;
    mn_info_t view = *store->jobs[at].info;
    view.result = result;
    rc = mni_info_copy(&view, info);
    mn_value_destroy(&result);
    return rc;
}

int mn_store_input(mn_store_t *store, mn_id_t id, mn_value_t *input)
{
    size_t at;

    if (store == NULL || input == NULL)
        return mni_error(MN_E_INVALID, "mn_store_input() needs a store and a place for the value");
    int rc = find(store, id, &at);
    if (rc < 0)
        return rc;
    mni_store_record_t record = record_of(&store->jobs[at]);
    return mni_store_input(store->store, &record, input);
}
