/* SPDX-License-Identifier: MIT
 *
 * Opening a store to read it, while a runtime may be writing it. Each of its files is sound at every instant, but they are two:
 * the HDF5 file is opened, then the journal is copied, and when the HDF5 file has been replaced meanwhile it all begins again.
 * What may be half written at this instant is looked at again a moment later.
 */
#include "store/read.h"

#include "store/internal.h"
#include "util/error.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How often it is looked again, and the pause between, which grows with each: half a second in all. */
#define LOOKS_MOST 10
#define PAUSE_NS 10000000L

/* Forgets what was opened. */
static void forget(mni_store_t *store)
{
    if (store->file > 0)
        H5Fclose(store->file);
    store->file = 0;
    mni_journal_image_free(store->image);
    store->image = NULL;
    mni_journal_report_fini(&store->report);
    free(store->user);
    free(store->trouble);
    store->user = store->trouble = NULL;
    store->exists = store->has_id = store->has_journal = false;
    store->included = 0;
}

/* Whether the path still names the file that is open. */
static bool is_current(const mni_store_t *store)
{
    struct stat open, named;
    void *handle = NULL;

    return H5Fget_vfd_handle(store->file, H5P_DEFAULT, &handle) >= 0 &&
           fstat(*(const int *)handle, &open) == 0 && stat(store->path, &named) == 0 &&
           open.st_ino == named.st_ino && open.st_dev == named.st_dev;
}

static int open_file(mni_store_t *store)
{
    mode_t mode;
    int rc = mni_file_check(store->path, false, &mode);

    if (rc == 0 && access(store->journal, F_OK) == 0)
        return mni_error(
            MN_E_STORE,
            "the journal %.300s is there and its HDF5 file %.300s is not: bring that back",
            store->journal, store->path);
    if (rc == 0)
        return mni_error(MN_E_STORE, "there is no file %.300s", store->path);
    if (rc < 0)
        return rc;
    if ((store->file = mni_file_open(store->path)) < 0)
        return mni_store_error("%.300s cannot be read", store->path);
    return mni_store_identify(store, store->file);
}

static int load_journal(mni_store_t *store)
{
    int rc = mni_journal_image_load(store->journal, &store->image);

    store->has_journal = store->image != NULL;
    if (rc == 0 && store->has_journal && !store->has_id)
        rc = mni_error(MN_E_STORE,
                       "%.300s is the journal of another file than %.300s: move one of them away",
                       store->journal, store->path);
    return rc;
}

static int look_through(mni_store_t *store)
{
    mni_journal_report_fini(&store->report);
    return store->image == NULL ? 0
                                : mni_journal_image_read(store->image, store->journal, store->id,
                                                         UINT64_MAX, NULL, NULL, &store->report);
}

/* A journal that cannot be read at all is a finding of who verifies, and an error for all others. */
static int leave_aside(mni_store_t *store, int rc)
{
    if (rc != MN_E_STORE || !store->verifying)
        return rc;
    mni_journal_image_free(store->image);
    store->image = NULL;
    store->has_journal = false;
    store->trouble = strdup(mn_error_message());
    return store->trouble == NULL ? mni_error(MN_E_NO_MEMORY, "no memory for the store") : 0;
}

/* Opens both files once. 1: they may be sound another time. */
static int look(mni_store_t *store)
{
    char lock[PATH_MAX + 32], who[200];
    int rc;

    snprintf(lock, sizeof lock, "%s.lock", store->path);
    if ((rc = open_file(store)) < 0)
        return rc;
    store->exists = true;
    if ((rc = load_journal(store)) < 0)
        return rc;
    if (!is_current(store))
        return 1;
    rc = look_through(store);
    if (!mni_store_lock_held(lock, who, sizeof who))
        return rc;
    if ((store->user = strdup(who)) == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store");
    /* it may be writing just now */
    if (rc < 0 || store->report.damage_count > 0 || store->report.first > store->included + 1)
        return 1;
    return 0;
}

static int look_until_sound(mni_store_t *store)
{
    int rc = 0;

    for (int looks = 0; looks < LOOKS_MOST; looks++) {
        if (looks > 0) {
            struct timespec pause = {.tv_nsec = PAUSE_NS * looks};
            forget(store);
            nanosleep(&pause, NULL);
        }
        if ((rc = look(store)) <= 0)
            return store->exists ? leave_aside(store, rc) : rc;
    }
    return leave_aside(store, look_through(store)); /* so it is: the report says what is damaged */
}

/* --- for users ---------------------------------------------------------------------------------------------------- */

static int open_read(const char *path, bool verifying, mni_store_t **result)
{
    mni_store_t *store = calloc(1, sizeof *store);
    int rc;

    if (store == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store");
    store->reading = true;
    store->verifying = verifying;
    if ((rc = mni_store_paths(store, path)) == 0) {
        H5E_BEGIN_TRY
        {
            rc = look_until_sound(store);
        }
        H5E_END_TRY
    }
    if (rc < 0) {
        mni_store_close(store);
        return rc;
    }
    *result = store;
    return 0;
}

int mni_store_open_read(const char *path, mni_store_t **store)
{
    return open_read(path, false, store);
}

int mni_store_open_verify(const char *path, mni_store_t **store)
{
    return open_read(path, true, store);
}

const char *mni_store_path(const mni_store_t *store)
{
    return store->path;
}

const char *mni_store_user(const mni_store_t *store)
{
    return store->user;
}

static int get_value(mni_store_t *store, mn_id_t id, const char *name, uint64_t row,
                     const mn_value_t *here, mn_value_t *value)
{
    void *copy = NULL;
    int rc = 0;

    if (row > 0) {
        H5E_BEGIN_TRY
        {
            hid_t data = H5Gopen2(store->file, "data", H5P_DEFAULT);
            rc = data < 0 ? mni_store_error("the values of %.300s cannot be read", store->path)
                          : mni_data_get_one(data, id, name, value);
            if (data >= 0)
                H5Gclose(data);
        }
        H5E_END_TRY
        return rc;
    }
    if (here->size > 0) {
        if ((copy = malloc(here->size)) == NULL)
            return mni_error(MN_E_NO_MEMORY, "no memory for a value of %zu bytes", here->size);
        memcpy(copy, here->data, here->size);
    }
    *value = *here;
    value->data = copy;
    return 0;
}

int mni_store_input(mni_store_t *store, const mni_store_record_t *record, mn_value_t *value)
{
    return get_value(store, record->info.id, "input", record->input_row, &record->input, value);
}

int mni_store_result(mni_store_t *store, const mni_store_record_t *record, mn_value_t *value)
{
    return get_value(store, record->info.id, "result", record->result_row, &record->info.result,
                     value);
}
