/* SPDX-License-Identifier: MIT
 *
 * The file that is being made, until it is the store's: a new one, or a copy of the present one. What HDF5 frees in a copy it uses
 * again, since the file keeps account of its free space; what it cannot know to be free (elements of pools, texts) is counted in
 * the attribute `dead`.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t mni_groups_most = 4096;

/* --- making, closing -------------------------------------------------------------------------- */

static void target_free(mni_target_t *target)
{
    mni_table_close(&target->table);
    mni_pools_close(&target->pools);
    mni_data_close(&target->data);
    mni_ids_fini(&target->rows);
    if (target->file >= 0)
        H5Fclose(target->file);
    mni_sink_close(target->sink);
    free(target);
}

/* Its sink, with the permissions that the present file has, or those that the user's mask gives. */
static int target_begin(const mni_place_t *place, mni_target_t **result)
{
    mni_target_t *target = malloc(sizeof *target);
    mode_t mode = 0666;
    int rc, exists;

    if (target == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory to write the store");
    *target = (mni_target_t){.place = place,
                             .file = -1,
                             .table = MNI_TABLE_CLOSED,
                             .pools = MNI_POOLS_CLOSED,
                             .data = MNI_DATA_CLOSED};
    if ((exists = rc = mni_file_check(place->path, true, &mode)) >= 0) {
        unlink(place->fresh);
        rc = mni_sink_create(place->fresh, mode, &target->sink);
    }
    if (rc == 0 && exists == 1 && chmod(place->fresh, mode) < 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    if (rc < 0) {
        if (target->sink != NULL)
            unlink(place->fresh);
        target_free(target);
        return rc;
    }
    *result = target;
    return 0;
}

/* The format of HDF5 1.8 but for the account of free space, which came with 1.10. */
static hid_t target_access(const mni_target_t *target)
{
    hid_t access = mni_sink_access(target->sink);

    if (access >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V110) < 0) {
        H5Pclose(access);
        return -1;
    }
    return access;
}

static int file_create(mni_target_t *target)
{
    hid_t access = target_access(target), creation = H5Pcreate(H5P_FILE_CREATE);
    int rc = 0;

    if (access >= 0 && creation >= 0 &&
        H5Pset_file_space_strategy(creation, H5F_FSPACE_STRATEGY_FSM_AGGR, 1, 1) >= 0)
        target->file = H5Fcreate(target->place->fresh, H5F_ACC_TRUNC, creation, access);
    if (target->file < 0)
        rc = mni_store_error("no HDF5 file can be made");
    if (creation >= 0)
        H5Pclose(creation);
    if (access >= 0)
        H5Pclose(access);
    return rc;
}

static int target_fail(mni_target_t *target, int rc)
{
    /* the kernel's word is nearer to the cause than what HDF5 made of it */
    if (mni_sink_error(target->sink) != 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(mni_sink_error(target->sink)));
    unlink(target->place->fresh);
    rc = mni_error_prefix(rc, "the store %.300s was not written and is as it was",
                          target->place->path);
    target_free(target);
    return rc;
}

int mni_target_create(const mni_place_t *place, mni_target_t **result)
{
    mni_target_t *target = NULL;
    char id[MN_ID_TEXT];
    int rc = target_begin(place, &target);

    if (rc < 0)
        return rc;
    if ((rc = file_create(target)) < 0 ||
        (rc = mni_text_put(target->file, "creator", "multinode")) < 0 ||
        (rc = mni_text_put(target->file, "version", mn_version())) < 0 ||
        (rc = mni_text_put(target->file, "store", mn_id_format(place->id, id))) < 0 ||
        (rc = mni_file_put(target->file, "format", MNI_STORE_FORMAT)) < 0 ||
        (rc = mni_table_create(&target->table, target->file)) < 0 ||
        (rc = mni_pools_create(&target->pools, target->file)) < 0 ||
        (rc = mni_data_make(&target->data, target->file)) < 0)
        return target_fail(target, rc);
    target->indexed = target->ordered = true; /* there are no rows yet */
    *result = target;
    return 0;
}

/* What is known of the order of the rows in the copy. */
static int order_known(mni_target_t *target)
{
    mni_row_t row = {.created = 0};
    uint64_t count = target->table.count;
    int rc = 0;

    target->ordered = mni_file_ordered(target->file);
    if (!target->ordered || count == 0)
        return 0;
    if ((rc = mni_table_read(&target->table, count - 1, 1, &row)) < 0)
        return rc;
    target->newest = row.created;
    mni_table_reclaim(&target->table, &row, 1);
    return 0;
}

int mni_target_copy(const mni_place_t *place, mni_target_t **result)
{
    mni_target_t *target = NULL;
    int rc = target_begin(place, &target);

    if (rc < 0)
        return rc;
    if ((rc = mni_sink_copy(target->sink, place->path)) == 0) {
        hid_t access = target_access(target);
        if (access >= 0)
            target->file = H5Fopen(place->fresh, H5F_ACC_RDWR, access);
        if (target->file < 0)
            rc = mni_store_error("the copy of the store cannot be opened");
        if (access >= 0)
            H5Pclose(access);
    }
    if (rc < 0 || (rc = mni_file_get(target->file, "dead", &target->dead)) < 0 ||
        (rc = mni_table_open(&target->table, target->file)) < 0 || (rc = order_known(target)) < 0 ||
        (rc = mni_pools_open(&target->pools, target->file)) < 0 ||
        (rc = mni_data_open(&target->data, target->file)) < 0)
        return target_fail(target, rc);
    *result = target;
    return 0;
}

/* All of it is on the disk. */
static int target_close(mni_target_t *target, uint64_t included)
{
    int rc;

    if ((rc = mni_table_flush(&target->table)) < 0 || (rc = mni_pools_flush(&target->pools)) < 0 ||
        (rc = mni_file_put(target->file, "changes", included)) < 0 ||
        (rc = mni_file_put(target->file, "ordered", target->ordered ? included : UINT64_MAX)) < 0 ||
        (rc = mni_file_put(target->file, "dead", target->dead)) < 0)
        return rc;
    mni_table_close(&target->table);
    mni_pools_close(&target->pools);
    mni_data_close(&target->data);
    herr_t closed = H5Fclose(target->file);
    target->file = -1;
    if (closed < 0)
        return mni_store_error("the new file cannot be closed");
    mni_sink_sync(target->sink);
    return mni_sink_error(target->sink) != 0 ? MN_E_STORE : 0;
}

int mni_target_finish(mni_target_t *target, uint64_t included, int rc)
{
    const mni_place_t *place = target->place;

    if (rc == 0)
        rc = target_close(target, included);
    if (rc == 0 && rename(place->fresh, place->path) < 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    if (rc < 0)
        return target_fail(target, rc);
    target_free(target);
    if ((rc = mni_folder_sync(place->folder)) < 0)
        return mni_error_prefix(rc, "the store %.300s", place->path);
    return 0;
}

/* --- values ----------------------------------------------------------------------------------- */

enum { INPUT = 1, RESULT = 2 };

/* A value of a job, and the columns that say where it is. */
typedef struct spot {
    const mn_value_t *value;
    const char *file, *name;
    char *type;
    uint64_t *at;
    uint32_t *count;
} spot_t;

static spot_t spot_of(mni_row_t *row, const mni_store_record_t *record, unsigned which)
{
    if (which == INPUT)
        return (spot_t){&record->input,  record->input_file, "input",
                        row->input_type, &row->input_at,     &row->input_count};
    return (spot_t){&record->info.result, record->result_file, "result",
                    row->result_type,     &row->result_at,     &row->result_count};
}

static bool is_there(const spot_t *spot)
{
    return spot->file != NULL || spot->value->ndims > 0;
}

/* A value that is not what it says would be read beyond its end. What one in a file of its own is need not be known. */
static int spot_check(const spot_t *spot)
{
    size_t size = mn_type_size(spot->value->type);
    if (spot->file != NULL)
        return 0;
    bool sound = size > 0 && spot->value->ndims <= MN_MAX_DIMS;

    for (unsigned i = 0; sound && i < spot->value->ndims; i++)
        sound = !__builtin_mul_overflow(size, spot->value->dims[i], &size);
    if (!sound || size != spot->value->size || (size > 0 && spot->value->data == NULL))
        return mni_error(MN_E_INTERNAL,
                         "a value of %zu bytes does not match its type and dimensions",
                         spot->value->size);
    return 0;
}

static bool is_small(const spot_t *spot)
{
    return spot->file == NULL && mni_pools_take(spot->value);
}

/* What was in a pool is so no more. */
static uint64_t leave_pool(const spot_t *spot)
{
    int type = spot->type[0] == '\0' ? -1 : mni_pool_type(spot->type);
    uint64_t bytes = type < 0 ? 0 : *spot->count * mn_type_size((mn_type_t)type);

    memset(spot->type, 0, sizeof((mni_row_t *)0)->input_type);
    *spot->at = *spot->count = 0;
    return bytes;
}

/* Into a pool: over what was there, if it fits. */
static int pool_put(mni_target_t *target, const spot_t *spot)
{
    const char *name = mn_type_name(spot->value->type);
    const uint32_t count = (uint32_t)spot->value->dims[0];

    if (strcmp(spot->type, name) == 0 && count <= *spot->count) {
        target->dead += (*spot->count - count) * mn_type_size(spot->value->type);
        *spot->count = count;
        return mni_pools_write(&target->pools, spot->value, *spot->at);
    }
    target->dead += leave_pool(spot);
    strcpy(spot->type, name);
    *spot->count = count;
    return mni_pools_add(&target->pools, spot->value, spot->at);
}

/* Puts some of a job's values where they belong: all into its group, if it has one or is to get one. */
static int values_put(mni_target_t *target, mni_row_t *row, const mni_store_record_t *record,
                      unsigned which, bool group_wanted)
{
    char id[MN_ID_TEXT];
    hid_t group = -1;
    int rc = 0;

    for (unsigned one = INPUT; one <= RESULT; one <<= 1) {
        spot_t spot = spot_of(row, record, one);
        if (!(which & one) || !is_there(&spot))
            continue;
        group_wanted |= !is_small(&spot);
        if (rc == 0)
            rc = spot_check(&spot);
    }
    if (rc < 0)
        goto failed;
    if (row->grouped || group_wanted) {
        if ((group = mni_data_begin(&target->data, record, row->grouped)) < 0)
            return MN_E_STORE;
        row->grouped = 1;
    }
    for (unsigned one = INPUT; rc == 0 && one <= RESULT; one <<= 1) {
        spot_t spot = spot_of(row, record, one);
        if (!(which & one) || !is_there(&spot))
            continue;
        if (group < 0)
            rc = pool_put(target, &spot);
        else {
            target->dead += leave_pool(&spot);
            rc = mni_data_put(&target->data, group, spot.name, spot.value, spot.file);
        }
    }
    if (group >= 0 && H5Gclose(group) < 0 && rc == 0)
        rc = mni_store_error("its group cannot be written");
    if (rc == 0)
        return 0;
failed:
    return mni_error_prefix(rc, "job %s", mn_id_format(record->info.id, id));
}

/* --- adding ----------------------------------------------------------------------------------- */

int mni_target_add(mni_target_t *target, const mni_store_record_t *record)
{
    mni_row_t row = {.grouped = 0};
    int rc;

    if (mni_ids_find(&target->rows, record->info.id) != MNI_IDS_NONE) {
        char id[MN_ID_TEXT];
        return mni_error(MN_E_STORE, "job %s already exists: it cannot be there twice",
                         mn_id_format(record->info.id, id));
    }
    mni_row_set(&row, record);
    target->ordered &= row.created >= target->newest;
    target->newest = row.created;
    if ((rc = values_put(target, &row, record, INPUT | RESULT,
                         target->data.groups < mni_groups_most)) < 0 ||
        (rc = mni_table_add(&target->table, &row)) < 0 ||
        (rc = mni_ids_put(&target->rows, record->info.id, (uint32_t)target->table.count - 1)) < 0)
        return rc;
    return mni_sink_error(target->sink) != 0 ? MN_E_STORE : 0; /* at once when the disk is full */
}

int mni_target_set(mni_target_t *target, mni_row_t *row, const mni_store_record_t *record,
                   bool value, bool status)
{
    mni_row_set(row, record);
    if (!value && !(status && row->grouped))
        return 0;
    return values_put(target, row, record, value ? RESULT : 0, false);
}
