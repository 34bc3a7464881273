/* SPDX-License-Identifier: MIT
 *
 * A store written anew without a runtime. The caller's thread, which locks the store meanwhile.
 */
#include "store/read.h"

#include "store/internal.h"
#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct jobs {
    mni_store_record_t *job; /* with copies of texts and values */
    size_t count, room, next;
    mni_text_block_t *texts;
    bool no_memory;
} jobs_t;

static const char *copy_text(jobs_t *jobs, const char *text)
{
    return mni_text_copy(&jobs->texts, text, &jobs->no_memory);
}

static void copy_value(jobs_t *jobs, mn_value_t *value)
{
    void *copy = value->size > 0 ? malloc(value->size) : NULL;

    if (copy != NULL)
        memcpy(copy, value->data, value->size);
    jobs->no_memory |= value->size > 0 && copy == NULL;
    value->data = copy;
}

static int take(void *argument, const mni_store_record_t *record)
{
    jobs_t *jobs = argument;

    if (jobs->count == jobs->room) {
        size_t room = jobs->room == 0 ? 64 : jobs->room * 2;
        mni_store_record_t *grown = reallocarray(jobs->job, room, sizeof *grown);
        if (grown == NULL)
            return mni_error(MN_E_NO_MEMORY, "no memory for %zu jobs", room);
        jobs->job = grown;
        jobs->room = room;
    }
    mni_store_record_t *job = &jobs->job[jobs->count++];
    *job = *record;
    job->info.job = copy_text(jobs, record->info.job);
    job->info.error = copy_text(jobs, record->info.error);
    job->info.message = copy_text(jobs, record->info.message);
    job->info.lock = copy_text(jobs, record->info.lock);
    job->info.tag = copy_text(jobs, record->info.tag);
    job->info.key = copy_text(jobs, record->info.key);
    job->info.host = copy_text(jobs, record->info.host);
    job->info.cpus = copy_text(jobs, record->info.cpus);
    copy_value(jobs, &job->input);
    copy_value(jobs, &job->info.result);
    return jobs->no_memory ? mni_error(MN_E_NO_MEMORY, "no memory for the jobs of the store") : 0;
}

static int visit(void *argument, mni_store_record_t *record)
{
    jobs_t *jobs = argument;

    if (jobs->next == jobs->count)
        return 0;
    *record = jobs->job[jobs->next++];
    return 1;
}

static void jobs_free(jobs_t *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        mn_value_destroy(&jobs->job[i].input);
        mn_value_destroy(&jobs->job[i].info.result);
    }
    free(jobs->job);
    mni_texts_free(jobs->texts);
}

static uint64_t size_of(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
}

int mni_store_compact(const char *path, uint64_t *before, uint64_t *after)
{
    mni_store_t *store = NULL;
    jobs_t jobs = {.count = 0};
    int rc;

    if (access(path, F_OK) < 0 && errno == ENOENT)
        return mni_error(MN_E_STORE, "there is no file %.300s", path);
    if ((rc = mni_store_open(path, &store)) < 0)
        goto cleanup;
    uint64_t bytes = size_of(store->path) + size_of(store->journal);
    if ((rc = mni_store_recover(store, take, &jobs)) < 0)
        goto cleanup;
    if (mni_store_damage(store) != NULL) {
        rc = mni_error(MN_E_STORE,
                       "the store %.300s is damaged, and was not written, since what is damaged "
                       "would be gone then; multinode check tells what it is",
                       store->path);
        goto cleanup;
    }
    store->told = store->report.last > store->included ? store->report.last : store->included;
    if ((rc = mni_store_finish(store, visit, &jobs)) < 0)
        goto cleanup;
    *before = bytes;
    *after = size_of(store->path);
cleanup:
    jobs_free(&jobs);
    mni_store_close(store);
    return rc;
}
