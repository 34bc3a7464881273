/* SPDX-License-Identifier: MIT
 *
 * The values of jobs that have a group, /data/<id>/input and /data/<id>/result: typed datasets with the dimensions that the value
 * has, or links to files of their own.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* Values up to that size lie in the dataset's header: one read, no block of their own. */
#define SMALL_MOST ((size_t)8 << 10)

static hid_t creation_list(H5D_layout_t layout)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);

    /* No fill values: all is written at once. No times: the table has better ones. */
    if (list >= 0 &&
        (H5Pset_layout(list, layout) < 0 || H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) < 0 ||
         H5Pset_obj_track_times(list, 0) < 0)) {
        H5Pclose(list);
        return -1;
    }
    return list;
}

static int lists_make(mni_data_t *data)
{
    if ((data->small = creation_list(H5D_COMPACT)) < 0 ||
        (data->large = creation_list(H5D_CONTIGUOUS)) < 0)
        return mni_store_error("the group of values cannot be used");
    return 0;
}

int mni_data_make(mni_data_t *data, hid_t file)
{
    *data = MNI_DATA_CLOSED;
    if ((data->group = H5Gcreate2(file, "data", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)) < 0)
        return mni_store_error("the group of values cannot be made");
    return lists_make(data);
}

int mni_data_open(mni_data_t *data, hid_t file)
{
    H5G_info_t info;

    *data = MNI_DATA_CLOSED;
    if ((data->group = H5Gopen2(file, "data", H5P_DEFAULT)) < 0 ||
        H5Gget_info(data->group, &info) < 0)
        return mni_store_error("the group of values cannot be read");
    data->groups = info.nlinks;
    return lists_make(data);
}

void mni_data_close(mni_data_t *data)
{
    if (data->large >= 0)
        H5Pclose(data->large);
    if (data->small >= 0)
        H5Pclose(data->small);
    if (data->group >= 0)
        H5Gclose(data->group);
    *data = MNI_DATA_CLOSED;
}

hid_t mni_number_type(mn_type_t type)
{
    switch (type) {
    case MN_INT8:
        return H5T_NATIVE_INT8;
    case MN_INT16:
        return H5T_NATIVE_INT16;
    case MN_INT32:
        return H5T_NATIVE_INT32;
    case MN_INT64:
        return H5T_NATIVE_INT64;
    case MN_BYTES:
    case MN_UINT8:
        return H5T_NATIVE_UINT8;
    case MN_UINT16:
        return H5T_NATIVE_UINT16;
    case MN_UINT32:
        return H5T_NATIVE_UINT32;
    case MN_UINT64:
        return H5T_NATIVE_UINT64;
    case MN_FLOAT32:
        return H5T_NATIVE_FLOAT;
    case MN_FLOAT64:
        return H5T_NATIVE_DOUBLE;
    case MN_TEXT:
        break;
    }
    return -1;
}

/* The type and shape of a value, which is what it says. Text is one string of its very length, so that it may hold
 * NULs; the empty text, which HDF5's fixed strings cannot be, is a string type without an
 * element. */
int mni_value_shape(const mn_value_t *value, hid_t *type, hid_t *space)
{
    hsize_t dims[MN_MAX_DIMS];
    size_t size = value->size;

    for (unsigned i = 0; i < value->ndims && i < MN_MAX_DIMS; i++)
        dims[i] = value->dims[i];
    if (value->type == MN_TEXT) {
        *type = H5Tcopy(H5T_C_S1);
        *space = H5Screate(size > 0 ? H5S_SCALAR : H5S_NULL);
        if (*type >= 0 &&
            ((size > 0 && H5Tset_size(*type, size) < 0) ||
             H5Tset_strpad(*type, H5T_STR_NULLPAD) < 0 || H5Tset_cset(*type, H5T_CSET_UTF8) < 0)) {
            int rc = mni_store_error("a text of %zu bytes has no type in HDF5", size);
            H5Tclose(*type);
            *type = -1;
            return rc;
        }
    } else {
        *type = H5Tcopy(mni_number_type(value->type));
        *space = H5Screate_simple((int)value->ndims, dims, NULL);
    }
    if (*type < 0 || *space < 0)
        return mni_store_error("a value of %zu bytes has no shape in HDF5", size);
    return 0;
}

/* Negative: no value has that. */
static int type_of(hid_t set, hid_t type)
{
    static const mn_type_t number[2][4] = {{MN_UINT8, MN_UINT16, MN_UINT32, MN_UINT64},
                                           {MN_INT8, MN_INT16, MN_INT32, MN_INT64}};
    size_t size = H5Tget_size(type);
    htri_t kind;

    switch (H5Tget_class(type)) {
    case H5T_STRING:
        return MN_TEXT;
    case H5T_FLOAT:
        return size == 4 ? MN_FLOAT32 : size == 8 ? MN_FLOAT64 : -1;
    case H5T_INTEGER:
        if (size == 1 && (kind = H5Aexists(set, "kind")) != 0)
            return kind > 0 ? MN_BYTES : -1;
        if (size == 0 || size > 8 || (size & (size - 1)) != 0)
            return -1;
        return (int)number[H5Tget_sign(type) == H5T_SGN_2][__builtin_ctzl(size)];
    default:
        return -1;
    }
}

/* Its type and dimensions; `size` follows. */
static bool shape_of(hid_t set, hid_t type, hid_t space, mn_value_t *value)
{
    hsize_t dims[H5S_MAX_RANK];
    int of = type_of(set, type);

    if (of < 0)
        return false;
    value->type = (mn_type_t)of;
    if (value->type == MN_TEXT) {
        value->ndims = 1;
        value->size = H5Sget_simple_extent_type(space) == H5S_NULL ? 0 : H5Tget_size(type);
        value->dims[0] = value->size;
        return true;
    }
    int ndims = H5Sget_simple_extent_dims(space, dims, NULL);
    if (ndims < 1 || ndims > MN_MAX_DIMS)
        return false;
    value->ndims = (uint32_t)ndims;
    value->size = mn_type_size(value->type);
    for (int i = 0; i < ndims; i++) {
        value->dims[i] = dims[i];
        if (__builtin_mul_overflow(value->size, dims[i], &value->size))
            return false;
    }
    return value->size <= MN_MAX_VALUE;
}

/* --- writing ---------------------------------------------------------------------------------- */

hid_t mni_data_begin(mni_data_t *data, const mni_store_record_t *record, bool exists)
{
    char id[MN_ID_TEXT];

    mn_id_format(record->info.id, id);
    hid_t group = exists ? H5Gopen2(data->group, id, H5P_DEFAULT)
                         : H5Gcreate2(data->group, id, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0) {
        mni_store_error("the group of job %s cannot be %s", id, exists ? "opened" : "made");
        return -1;
    }
    data->groups += !exists;
    if ((!exists && mni_text_put(group, "job", record->info.job) < 0) ||
        mni_text_put(group, "status", mn_status_name(record->info.status)) < 0) {
        mni_error_prefix(MN_E_STORE, "job %s", id);
        H5Gclose(group);
        return -1;
    }
    return group;
}

/* Whether a dataset is as one for the value would be. */
static bool fits(hid_t set, const mn_value_t *value)
{
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    mn_value_t there = {0};
    bool same = type >= 0 && space >= 0 && shape_of(set, type, space, &there) &&
                there.type == value->type && there.ndims == value->ndims;

    for (unsigned i = 0; same && i < value->ndims; i++)
        same = there.dims[i] == value->dims[i];
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return same;
}

/* 1: what has that name is a link to a file; 0: it is here; MN_E_STORE: that cannot be told. */
static int is_link(hid_t group, const char *name)
{
    H5L_info_t info;
    if (H5Lget_info(group, name, &info, H5P_DEFAULT) < 0)
        return mni_store_error("%s cannot be read", name);
    return info.type == H5L_TYPE_EXTERNAL;
}

/* The dataset of a value: the one that is there, if it fits; else a new one. Negative on failure, with the sentence. */
static hid_t set_make(const mni_data_t *data, hid_t group, const char *name,
                      const mn_value_t *value, hid_t *type)
{
    hid_t space = -1, set = -1;

    *type = -1;
    int exists = mni_link_exists(group, name), link = exists > 0 ? is_link(group, name) : 0;
    if (exists < 0 || link < 0)
        return -1;
    if (exists) {
        /* what is in a file of its own is never written over */
        set = link ? -1 : H5Dopen2(group, name, H5P_DEFAULT);
        if (set >= 0 && fits(set, value) && (*type = H5Dget_type(set)) >= 0)
            return set;
        if (set >= 0)
            H5Dclose(set);
        if (H5Ldelete(group, name, H5P_DEFAULT) < 0) {
            mni_store_error("an earlier %s cannot be removed", name);
            return -1;
        }
    }
    if (mni_value_shape(value, type, &space) == 0 &&
        (set = H5Dcreate2(group, name, *type, space, H5P_DEFAULT,
                          value->size > 0 && value->size <= SMALL_MOST ? data->small : data->large,
                          H5P_DEFAULT)) < 0)
        mni_store_error("%s of %zu bytes cannot be written", name, value->size);
    if (space >= 0)
        H5Sclose(space);
    /* unlike numbers of type uint8 */
    if (set >= 0 && value->type == MN_BYTES && mni_text_put(set, "kind", "bytes") < 0) {
        H5Dclose(set);
        set = -1;
    }
    return set;
}

static int link_put(hid_t group, const char *name, const char *file)
{
    int exists = mni_link_exists(group, name);
    if (exists < 0)
        return exists;
    if ((exists && H5Ldelete(group, name, H5P_DEFAULT) < 0) ||
        H5Lcreate_external(file, "/value", group, name, H5P_DEFAULT, H5P_DEFAULT) < 0)
        return mni_store_error("the link to %s cannot be written", file);
    return 0;
}

int mni_data_put(mni_data_t *data, hid_t group, const char *name, const mn_value_t *value,
                 const char *file)
{
    hid_t type = -1, set;
    int rc = 0;

    if (file != NULL)
        return link_put(group, name, file);
    if (value->ndims == 0)
        return 0;
    if ((set = set_make(data, group, name, value, &type)) < 0)
        rc = MN_E_STORE;
    else if (value->size > 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value->data) < 0)
        rc = mni_store_error("%s of %zu bytes cannot be written", name, value->size);
    if (set >= 0 && H5Dclose(set) < 0 && rc == 0)
        rc = mni_store_error("%s of %zu bytes cannot be written", name, value->size);
    if (type >= 0)
        H5Tclose(type);
    return rc;
}

int mni_data_remove(mni_data_t *data, mn_id_t id)
{
    char text[MN_ID_TEXT];

    if (H5Ldelete(data->group, mn_id_format(id, text), H5P_DEFAULT) < 0)
        return mni_store_error("the group of job %s cannot be removed", text);
    data->groups--;
    return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The file that a link names, as a string to be freed. */
static int link_get(hid_t group, const char *name, char **file)
{
    H5L_info_t info;
    const char *named = NULL, *object;
    char *link = NULL;
    int rc = 0;

    if (H5Lget_info(group, name, &info, H5P_DEFAULT) < 0)
        return mni_store_error("the link %s cannot be read", name);
    if (!(link = malloc(info.u.val_size)))
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the link %s", name);
    else if (H5Lget_val(group, name, link, info.u.val_size, H5P_DEFAULT) < 0 ||
             H5Lunpack_elink_val(link, info.u.val_size, NULL, &named, &object) < 0)
        rc = mni_store_error("the link %s cannot be read", name);
    else if (!(*file = strdup(named)))
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the link %s", name);
    free(link);
    return rc;
}

static int value_get(hid_t group, const char *name, mn_value_t *value, char **file)
{
    hid_t set, type = -1, space = -1;
    void *data = NULL;
    int rc = mni_link_exists(group, name);

    *value = (mn_value_t){0};
    *file = NULL;
    if (rc <= 0 || (rc = is_link(group, name)) < 0)
        return rc;
    if (rc > 0)
        return link_get(group, name, file);
    if ((set = H5Dopen2(group, name, H5P_DEFAULT)) < 0 || (type = H5Dget_type(set)) < 0 ||
        (space = H5Dget_space(set)) < 0)
        rc = mni_store_error("%s cannot be read", name);
    else if (!shape_of(set, type, space, value))
        rc = mni_error(MN_E_STORE, "%s is of a type that no value has", name);
    else if (value->size > 0 && !(data = malloc(value->size)))
        rc = mni_error(MN_E_NO_MEMORY, "no memory for %s of %zu bytes", name, value->size);
    else if (value->size > 0 &&
             H5Dread(set, value->type == MN_TEXT ? type : mni_number_type(value->type), H5S_ALL,
                     H5S_ALL, H5P_DEFAULT, data) < 0)
        rc = mni_store_error("%s of %zu bytes cannot be read", name, value->size);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (set >= 0)
        H5Dclose(set);
    if (rc < 0) {
        free(data);
        *value = (mn_value_t){0};
        return rc;
    }
    value->data = data;
    return 0;
}

int mni_data_get(hid_t data, mn_id_t id, mni_data_values_t *values)
{
    char text[MN_ID_TEXT];
    hid_t group;
    int rc;

    *values = (mni_data_values_t){0};
    if ((rc = mni_link_exists(data, mn_id_format(id, text))) <= 0)
        return rc;
    if ((group = H5Gopen2(data, text, H5P_DEFAULT)) < 0)
        return mni_store_error("the values of job %s cannot be read", text);
    if ((rc = value_get(group, "input", &values->input, &values->input_file)) == 0 &&
        (rc = value_get(group, "result", &values->result, &values->result_file)) < 0) {
        mn_value_destroy(&values->input);
        free(values->input_file);
        values->input_file = NULL;
    }
    H5Gclose(group);
    return rc < 0 ? mni_error_prefix(rc, "job %s", text) : 0;
}

int mni_data_get_one(hid_t data, mn_id_t id, const char *name, mn_value_t *value, char **file)
{
    char text[MN_ID_TEXT];
    hid_t group;
    int rc;

    *value = (mn_value_t){0};
    *file = NULL;
    if ((rc = mni_link_exists(data, mn_id_format(id, text))) <= 0)
        return rc;
    if ((group = H5Gopen2(data, text, H5P_DEFAULT)) < 0)
        return mni_store_error("the values of job %s cannot be read", text);
    rc = value_get(group, name, value, file);
    H5Gclose(group);
    return rc < 0 ? mni_error_prefix(rc, "job %s", text) : 0;
}
