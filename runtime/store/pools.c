/* SPDX-License-Identifier: MIT
 *
 * Small values of many jobs, /values/TYPE: one dataset per element type in which they lie end to end; the rows of the table say
 * where. A dataset and a group per value would cost a hundred times as much. Texts and bytes are there as uint8.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 << 10)
#define WAIT_BYTES (4 * CHUNK_BYTES)

/* Texts lie in their pool as bytes. */
static hid_t element_type(mn_type_t type)
{
    return mni_number_type(type == MN_TEXT ? MN_BYTES : type);
}

static void pools_begin(mni_pools_t *pools)
{
    *pools = MNI_POOLS_CLOSED;
    for (int i = 0; i < MNI_POOL_TYPES; i++)
        pools->pool[i] = (mni_pool_t){.set = -1, .size = mn_type_size((mn_type_t)i)};
}

int mni_pools_create(mni_pools_t *pools, hid_t file)
{
    pools_begin(pools);
    pools->group = H5Gcreate2(file, "values", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    return pools->group < 0 ? mni_store_error("the group of small values cannot be made") : 0;
}

static int pool_open(mni_pools_t *pools, mn_type_t type)
{
    mni_pool_t *pool = &pools->pool[type];
    const char *name = mn_type_name(type);
    hssize_t count = -1;
    int exists = mni_link_exists(pools->group, name);

    if (exists <= 0)
        return exists;
    pool->set = H5Dopen2(pools->group, name, H5P_DEFAULT);
    hid_t space = pool->set < 0 ? -1 : H5Dget_space(pool->set);
    if (space >= 0 && H5Sget_simple_extent_ndims(space) == 1)
        count = H5Sget_simple_extent_npoints(space);
    if (count < 0)
        return mni_store_error("the small values of type %s cannot be read", name);
    H5Sclose(space);
    pool->count = (uint64_t)count;
    return 0;
}

int mni_pools_open(mni_pools_t *pools, hid_t file)
{
    int rc = 0;

    pools_begin(pools);
    pools->group = H5Gopen2(file, "values", H5P_DEFAULT);
    if (pools->group < 0)
        return mni_store_error("the small values cannot be read");
    for (int i = 0; rc == 0 && i < MNI_POOL_TYPES; i++)
        rc = pool_open(pools, (mn_type_t)i);
    return rc;
}

void mni_pools_close(mni_pools_t *pools)
{
    if (pools->group < 0)
        return;
    for (int i = 0; i < MNI_POOL_TYPES; i++) {
        if (pools->pool[i].set >= 0)
            H5Dclose(pools->pool[i].set);
        free(pools->pool[i].waits);
    }
    H5Gclose(pools->group);
    *pools = MNI_POOLS_CLOSED;
}

bool mni_pools_take(const mn_value_t *value)
{
    return value->ndims == 1 && value->size <= MNI_POOL_MOST;
}

int mni_pool_type(const char name[8])
{
    for (int i = 0; i < MNI_POOL_TYPES; i++)
        if (strncmp(name, mn_type_name((mn_type_t)i), 8) == 0)
            return i;
    return -1;
}

static int pool_make(mni_pools_t *pools, mn_type_t type)
{
    mni_pool_t *pool = &pools->pool[type];
    const hsize_t none = 0, most = H5S_UNLIMITED, chunk = CHUNK_BYTES / pool->size;
    hid_t space = H5Screate_simple(1, &none, &most), creation = H5Pcreate(H5P_DATASET_CREATE);
    int rc = 0;

    if (space < 0 || creation < 0 || H5Pset_chunk(creation, 1, &chunk) < 0 ||
        H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) < 0 ||
        H5Pset_obj_track_times(creation, 0) < 0 ||
        (pool->set = H5Dcreate2(pools->group, mn_type_name(type), element_type(type), space,
                                H5P_DEFAULT, creation, H5P_DEFAULT)) < 0)
        rc = mni_store_error("small values of type %s cannot be written", mn_type_name(type));
    if (creation >= 0)
        H5Pclose(creation);
    if (space >= 0)
        H5Sclose(space);
    return rc;
}

static int pool_write(const mni_pools_t *pools, mn_type_t type, uint64_t at, uint64_t count,
                      const void *elements)
{
    const mni_pool_t *pool = &pools->pool[type];
    hid_t memory, space;
    int rc = 0;

    if (mni_rows_select(pool->set, at, count, &memory, &space) < 0 ||
        H5Dwrite(pool->set, element_type(type), memory, space, H5P_DEFAULT, elements) < 0)
        rc = mni_store_error("small values of type %s cannot be written", mn_type_name(type));
    mni_rows_deselect(memory, space);
    return rc;
}

static int pool_flush(mni_pools_t *pools, mn_type_t type)
{
    mni_pool_t *pool = &pools->pool[type];
    const hsize_t count = pool->count;
    uint64_t waiting = pool->waiting / pool->size;

    if (waiting == 0)
        return 0;
    if (H5Dset_extent(pool->set, &count) < 0)
        return mni_store_error("the small values of type %s cannot grow", mn_type_name(type));
    pool->waiting = 0;
    return pool_write(pools, type, pool->count - waiting, waiting, pool->waits);
}

int mni_pools_flush(mni_pools_t *pools)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < MNI_POOL_TYPES; i++)
        rc = pool_flush(pools, (mn_type_t)i);
    return rc;
}

int mni_pools_add(mni_pools_t *pools, const mn_value_t *value, uint64_t *at)
{
    mni_pool_t *pool = &pools->pool[value->type];
    int rc;

    if (pool->set < 0 && (rc = pool_make(pools, value->type)) < 0)
        return rc;
    if (pool->waits == NULL && (pool->waits = malloc(WAIT_BYTES)) == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for small values");
    if (pool->waiting + value->size > WAIT_BYTES && (rc = pool_flush(pools, value->type)) < 0)
        return rc;
    if (value->size > 0)
        memcpy(pool->waits + pool->waiting, value->data, value->size);
    *at = pool->count;
    pool->waiting += value->size;
    pool->count += value->size / pool->size;
    return 0;
}

int mni_pools_write(mni_pools_t *pools, const mn_value_t *value, uint64_t at)
{
    mni_pool_t *pool = &pools->pool[value->type];
    uint64_t count = value->size / pool->size, written = pool->count - pool->waiting / pool->size;

    if (count == 0)
        return 0;
    if (pool->set < 0 || at > pool->count || count > pool->count - at)
        return mni_error(MN_E_STORE, "a row of the table of jobs names values that are not there");
    if (at >= written) {
        memcpy(pool->waits + (at - written) * pool->size, value->data, value->size);
        return 0;
    }
    int rc = at + count > written ? pool_flush(pools, value->type) : 0;
    return rc < 0 ? rc : pool_write(pools, value->type, at, count, value->data);
}

int mni_pools_read(const mni_pools_t *pools, mn_type_t type, uint64_t at, uint64_t count,
                   void *elements)
{
    const mni_pool_t *pool = &pools->pool[type];
    hid_t memory, space;
    int rc = 0;

    if (count == 0)
        return 0;
    if (pool->set < 0 || at > pool->count || count > pool->count - at)
        return mni_error(MN_E_STORE, "a row of the table of jobs names values that are not there");
    if (mni_rows_select(pool->set, at, count, &memory, &space) < 0 ||
        H5Dread(pool->set, element_type(type), memory, space, H5P_DEFAULT, elements) < 0)
        rc = mni_store_error("small values of type %s cannot be read", mn_type_name(type));
    mni_rows_deselect(memory, space);
    return rc;
}
