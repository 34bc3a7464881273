/* SPDX-License-Identifier: MIT
 *
 * Opening a store to read it, while a runtime may be writing it. Each of its files is sound at every instant, but they are two:
 * the HDF5 file is opened, then the journal is copied, and when the HDF5 file has been replaced meanwhile it all begins again.
 * What may be half written at this instant is looked at again a moment later.
 */
#include "store/read.h"

#include "store/internal.h"
#include "store/large.h"
#include "store/points.h"
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
    mni_journal_unmap(store->map);
    store->map = NULL;
    mni_journal_report_fini(&store->report);
    free(store->user);
    free(store->trouble);
    store->user = store->trouble = NULL;
    mni_files_destroy(store->place.files);
    store->place.files = NULL;
    store->exists = store->has_id = store->has_journal = false;
    store->included = 0;
}

/* Whether the path still names the file that is open. */
static bool is_current(const mni_store_t *store)
{
    struct stat open, named;
    void *handle = NULL;

    return H5Fget_vfd_handle(store->file, H5P_DEFAULT, &handle) >= 0 &&
           fstat(*(const int *)handle, &open) == 0 && stat(store->place.path, &named) == 0 &&
           open.st_ino == named.st_ino && open.st_dev == named.st_dev;
}

static int open_file(mni_store_t *store)
{
    mode_t mode;
    int rc = mni_file_check(store->place.path, false, &mode);

    if (rc == 0 && access(store->place.journal, F_OK) == 0)
        return mni_error(
            MN_E_STORE,
            "the journal %.300s is there and its HDF5 file %.300s is not: bring that back",
            store->place.journal, store->place.path);
    if (rc == 0)
        return mni_error(MN_E_STORE, "there is no file %.300s", store->place.path);
    if (rc < 0)
        return rc;
    if ((store->file = mni_file_open(store->place.path)) < 0)
        return mni_store_error("%.300s cannot be read", store->place.path);
    rc = mni_file_identify(store->file, store->place.path, &store->format, &store->has_id,
                           &store->place.id, &store->included);
    return rc < 0 ? rc : mni_files_create(store->place.path, store->place.id, &store->place.files);
}

static int load_journal(mni_store_t *store)
{
    int rc = mni_journal_load(store->place.journal, &store->map);

    store->has_journal = store->map != NULL;
    if (rc == 0 && store->has_journal && !store->has_id)
        rc = mni_error(MN_E_STORE,
                       "%.300s is the journal of another file than %.300s: move one of them away",
                       store->place.journal, store->place.path);
    return rc;
}

static int look_through(mni_store_t *store)
{
    mni_journal_report_fini(&store->report);
    if (store->map == NULL)
        return 0;
    int rc = mni_journal_check(store->map, store->place.journal, store->place.id);
    return rc < 0 ? rc : mni_journal_scan(store->map, UINT64_MAX, NULL, NULL, &store->report);
}

/* A journal that cannot be read at all is a finding of who verifies, and an error for all others. */
static int leave_aside(mni_store_t *store, int rc)
{
    if (rc != MN_E_STORE || !store->verifying)
        return rc;
    mni_journal_unmap(store->map);
    store->map = NULL;
    store->has_journal = false;
    store->trouble = strdup(mn_error_message());
    return store->trouble == NULL ? mni_error(MN_E_NO_MEMORY, "no memory for the store") : 0;
}

/* Opens both files once. 1: they may be sound another time. */
static int look(mni_store_t *store)
{
    char lock[PATH_MAX + 32], who[200];
    int rc;

    snprintf(lock, sizeof lock, "%s.lock", store->place.path);
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
    mni_hdf5_t before;
    int rc;

    if (store == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store");
    store->reading = true;
    store->verifying = verifying;
    if ((rc = mni_store_paths(store, path)) == 0) {
        mni_hdf5_enter(&before);
        rc = look_until_sound(store);
        mni_hdf5_leave(&before);
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
    return store->place.path;
}

const char *mni_store_user(const mni_store_t *store)
{
    return store->user;
}

/* The row of a file of format 3; its texts are not read. */
static int read_row(const mni_store_t *store, uint64_t number, mni_row_t *row)
{
    hid_t set = H5Dopen2(store->file, "jobs", H5P_DEFAULT), type = mni_row_type(MNI_ROW_FIXED);
    hid_t memory = -1, space = -1;
    int rc = 0;

    memset(row, 0, sizeof *row);
    if (set < 0 || type < 0 || mni_rows_select(set, number, 1, &memory, &space) < 0 ||
        H5Dread(set, type, memory, space, H5P_DEFAULT, row) < 0)
        rc = mni_store_error("the table of jobs cannot be read");
    mni_rows_deselect(memory, space);
    if (type >= 0)
        H5Tclose(type);
    if (set >= 0)
        H5Dclose(set);
    return rc;
}

static int read_pool(const mni_store_t *store, const char name[8], uint64_t at, uint32_t count,
                     mn_value_t *value)
{
    mni_pools_t pools = MNI_POOLS_CLOSED;
    int type = mni_pool_type(name), rc;
    void *data = NULL;

    if (type < 0 || count > MNI_POOL_MOST)
        return mni_error(MN_E_STORE, "a row of the table of jobs has a value of no known type");
    size_t size = count * mn_type_size((mn_type_t)type);
    if (size > 0 && (data = malloc(size)) == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for a value of %zu bytes", size);
    if ((rc = mni_pools_open(&pools, store->file)) == 0 && size > 0)
        rc = mni_pools_read(&pools, (mn_type_t)type, at, count, data);
    mni_pools_close(&pools);
    if (rc < 0) {
        free(data);
        return rc;
    }
    *value = (mn_value_t){
        .data = data, .size = size, .type = (mn_type_t)type, .ndims = 1, .dims = {count}};
    return 0;
}

/* A value in a file of its own. */
static int read_file(const mni_store_t *store, mn_id_t id, bool input, const char *file,
                     mn_value_t *value)
{
    mni_store_record_t record = {.info.id = id, .input_file = file, .result_file = file};
    return mni_store_value_read(store, &record, input, value);
}

static int read_group(const mni_store_t *store, mn_id_t id, bool input, mn_value_t *value)
{
    const char *name = input ? "input" : "result";
    char *file = NULL;
    hid_t data = H5Gopen2(store->file, "data", H5P_DEFAULT);
    int rc = data < 0 ? mni_store_error("the values of %.300s cannot be read", store->place.path)
                      : mni_data_get_one(data, id, name, value, &file);
    if (data >= 0)
        H5Gclose(data);
    if (rc == 0 && file != NULL)
        rc = read_file(store, id, input, file, value);
    free(file);
    return rc;
}

static int read_value(const mni_store_t *store, mn_id_t id, bool input, uint64_t number,
                      mn_value_t *value)
{
    const char *name = input ? "input" : "result";
    char text[MN_ID_TEXT];
    mni_row_t row;
    int rc;

    if (store->format < 3)
        return read_group(store, id, input, value);
    if ((rc = read_row(store, number, &row)) < 0)
        return rc;
    const char *type = input ? row.input_type : row.result_type;
    if (type[0] != '\0')
        rc = read_pool(store, type, input ? row.input_at : row.result_at,
                       input ? row.input_count : row.result_count, value);
    else if (row.grouped)
        return read_group(store, id, input, value);
    else
        *value = (mn_value_t){0};
    return rc < 0 ? mni_error_prefix(rc, "%s of job %s", name, mn_id_format(id, text)) : 0;
}

static int get_value(const mni_store_t *store, mn_id_t id, bool input, uint64_t row,
                     const char *file, const mn_value_t *here, mn_value_t *value)
{
    mni_hdf5_t before;
    void *copy = NULL;

    if (row > 0) {
        mni_hdf5_enter(&before);
        int rc = read_value(store, id, input, row - 1, value);
        mni_hdf5_leave(&before);
        return rc;
    }
    if (file != NULL)
        return read_file(store, id, input, file, value);
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
    return get_value(store, record->info.id, true, record->input_row, record->input_file,
                     &record->input, value);
}

int mni_store_result(mni_store_t *store, const mni_store_record_t *record, mn_value_t *value)
{
    return get_value(store, record->info.id, false, record->result_row, record->result_file,
                     &record->info.result, value);
}
