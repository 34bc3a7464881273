/* SPDX-License-Identifier: MIT
 *
 * The table of jobs, /jobs: one compound row per job, in chunks, so that it grows and shrinks where it is. Rows that are added are
 * written many at a time.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_ROWS ((size_t)8 * MNI_TABLE_CHUNK)
#define CACHE_BYTES ((size_t)4 << 20) /* of chunks, for changes here and there */
#define CACHE_SLOTS 521

/* --- opening ---------------------------------------------------------------------------------- */

static int table_types(mni_table_t *table)
{
    table->whole = mni_row_type(MNI_ROW_WHOLE);
    table->fixed = mni_row_type(MNI_ROW_FIXED);
    table->waits = malloc(WAIT_ROWS * sizeof *table->waits);
    if (table->waits == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store's table of jobs");
    if (table->whole < 0 || table->fixed < 0)
        return mni_store_error("the type of the table of jobs cannot be made");
    return 0;
}

int mni_table_create(mni_table_t *table, hid_t file)
{
    const hsize_t none = 0, most = H5S_UNLIMITED, chunk = MNI_TABLE_CHUNK;
    hid_t space = -1, creation = -1, packed = -1;
    int rc;

    *table = MNI_TABLE_CLOSED;
    if ((rc = table_types(table)) < 0)
        return rc;
    space = H5Screate_simple(1, &none, &most);
    creation = H5Pcreate(H5P_DATASET_CREATE);
    packed = H5Tcopy(table->whole);
    if (space < 0 || creation < 0 || packed < 0 || H5Tpack(packed) < 0 ||
        H5Pset_chunk(creation, 1, &chunk) < 0 || H5Pset_obj_track_times(creation, 0) < 0 ||
        (table->set = H5Dcreate2(file, "jobs", packed, space, H5P_DEFAULT, creation, H5P_DEFAULT)) <
            0)
        rc = mni_store_error("the table of jobs cannot be made");
    if (packed >= 0)
        H5Tclose(packed);
    if (creation >= 0)
        H5Pclose(creation);
    if (space >= 0)
        H5Sclose(space);
    return rc;
}

int mni_table_open(mni_table_t *table, hid_t file)
{
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS), space = -1;
    hssize_t count = -1;
    int rc;

    *table = MNI_TABLE_CLOSED;
    if ((rc = table_types(table)) < 0) {
        if (access >= 0)
            H5Pclose(access);
        return rc;
    }
    if (access >= 0 && H5Pset_chunk_cache(access, CACHE_SLOTS, CACHE_BYTES, 0.75) >= 0)
        table->set = H5Dopen2(file, "jobs", access);
    space = table->set < 0 ? -1 : H5Dget_space(table->set);
    if (space >= 0 && H5Sget_simple_extent_ndims(space) == 1)
        count = H5Sget_simple_extent_npoints(space);
    if (count < 0 || count >= MNI_IDS_NONE)
        rc = mni_store_error("the table of jobs cannot be read");
    else
        table->count = (uint64_t)count;
    if (space >= 0)
        H5Sclose(space);
    if (access >= 0)
        H5Pclose(access);
    return rc;
}

void mni_table_close(mni_table_t *table)
{
    if (table->set >= 0)
        H5Dclose(table->set);
    if (table->whole >= 0)
        H5Tclose(table->whole);
    if (table->fixed >= 0)
        H5Tclose(table->fixed);
    free(table->waits);
    mni_texts_free(&table->texts);
    *table = MNI_TABLE_CLOSED;
}

/* --- rows ------------------------------------------------------------------------------------- */

int mni_table_add(mni_table_t *table, const mni_row_t *row)
{
    bool failed = false;
    int rc;

    if (table->waiting == WAIT_ROWS && (rc = mni_table_flush(table)) < 0)
        return rc;
    if (table->count + 1 >= MNI_IDS_NONE)
        return mni_error(MN_E_STORE, "the store has as many jobs as it can hold");
    mni_row_t *kept = &table->waits[table->waiting];
    *kept = *row;
    kept->error = mni_text_copy(&table->texts, row->error, &failed);
    kept->lock = mni_text_copy(&table->texts, row->lock, &failed);
    kept->tag = mni_text_copy(&table->texts, row->tag, &failed);
    kept->key = mni_text_copy(&table->texts, row->key, &failed);
    kept->message = mni_text_copy(&table->texts, row->message, &failed);
    if (failed)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store's table of jobs");
    table->waiting++;
    table->count++;
    return 0;
}

int mni_table_flush(mni_table_t *table)
{
    const hsize_t count = table->count;
    int rc;

    if (table->waiting == 0)
        return 0;
    if (H5Dset_extent(table->set, &count) < 0)
        return mni_store_error("the table of jobs cannot grow to %llu rows",
                               (unsigned long long)count);
    rc = mni_table_write(table, MNI_ROW_WHOLE, table->count - table->waiting, table->waiting,
                         table->waits);
    table->waiting = 0;
    mni_texts_free(&table->texts);
    return rc;
}

int mni_table_read(mni_table_t *table, uint64_t first, uint64_t count, mni_row_t *rows)
{
    hid_t memory, space;
    int rc = 0;

    if (mni_rows_select(table->set, first, count, &memory, &space) < 0 ||
        H5Dread(table->set, table->whole, memory, space, H5P_DEFAULT, rows) < 0)
        rc = mni_store_error("the table of jobs cannot be read");
    mni_rows_deselect(memory, space);
    return rc;
}

void mni_table_reclaim(const mni_table_t *table, mni_row_t *rows, uint64_t count)
{
    hsize_t size = count;
    hid_t memory = H5Screate_simple(1, &size, NULL);

    if (memory >= 0) {
        H5Dvlen_reclaim(table->whole, memory, H5P_DEFAULT, rows);
        H5Sclose(memory);
    }
}

int mni_table_write(mni_table_t *table, mni_row_part_t part, uint64_t first, uint64_t count,
                    const mni_row_t *rows)
{
    hid_t memory, space;
    int rc = 0;

    if (mni_rows_select(table->set, first, count, &memory, &space) < 0 ||
        H5Dwrite(table->set, part == MNI_ROW_FIXED ? table->fixed : table->whole, memory, space,
                 H5P_DEFAULT, rows) < 0)
        rc = mni_store_error("the table of jobs cannot be written");
    mni_rows_deselect(memory, space);
    return rc;
}

int mni_table_shrink(mni_table_t *table, uint64_t count)
{
    const hsize_t size = count;

    if (H5Dset_extent(table->set, &size) < 0)
        return mni_store_error("the table of jobs cannot shrink");
    table->count = count;
    return 0;
}

int mni_table_index(const mni_table_t *table, mni_ids_t *index)
{
    enum { TEXT = MN_ID_TEXT - 1, PIECE = 4096 };
    char *ids = malloc((size_t)PIECE * TEXT), text[MN_ID_TEXT] = "";
    hid_t type = mni_row_type(MNI_ROW_ID), memory, space;
    uint64_t count = table->count - table->waiting;
    mn_id_t id;
    int rc = 0;

    if (ids == NULL)
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the ids of jobs");
    else if (type < 0)
        rc = mni_store_error("the ids of jobs cannot be read");
    for (uint64_t first = 0; rc == 0 && first < count; first += PIECE) {
        uint64_t piece = count - first < PIECE ? count - first : PIECE;
        if (mni_rows_select(table->set, first, piece, &memory, &space) < 0 ||
            H5Dread(table->set, type, memory, space, H5P_DEFAULT, ids) < 0)
            rc = mni_store_error("the ids of jobs cannot be read");
        mni_rows_deselect(memory, space);
        for (uint64_t i = 0; rc == 0 && i < piece; i++) {
            memcpy(text, ids + i * TEXT, TEXT);
            if (mn_id_parse(text, &id) < 0)
                rc = mni_error(MN_E_STORE, "a row of the table of jobs has no id: it is damaged");
            else
                rc = mni_ids_put(index, id, (uint32_t)(first + i));
        }
    }
    if (type >= 0)
        H5Tclose(type);
    free(ids);
    return rc;
}
