/* SPDX-License-Identifier: MIT
 *
 * Small things of HDF5 that the files of store/ share. HDF5 is used by the main thread of rank 0 and by the thread that makes
 * snapshots, one at a time: whoever calls it holds the mutex here.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void mni_hdf5_enter(mni_hdf5_t *before)
{
    pthread_mutex_lock(&mutex);
    if (H5Eget_auto2(H5E_DEFAULT, &before->handler, &before->argument) < 0)
        *before = (mni_hdf5_t){0};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void mni_hdf5_leave(const mni_hdf5_t *before)
{
    H5Eset_auto2(H5E_DEFAULT, before->handler, before->argument);
    pthread_mutex_unlock(&mutex);
}

bool mni_hdf5_threads(void)
{
    hbool_t safe = 0;
    return H5is_library_threadsafe(&safe) >= 0 && safe;
}

static herr_t innermost(unsigned n, const H5E_error2_t *error, void *argument)
{
    if (n == 0)
        snprintf(argument, 256, "%s", error->desc == NULL ? "unknown error" : error->desc);
    return 0;
}

int mni_store_error(const char *format, ...)
{
    char says[256] = "unknown error of HDF5", sentence[512];
    va_list arguments;

    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, says);
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return mni_error(MN_E_STORE, "%s: %s", sentence, says);
}

hid_t mni_store_string(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 &&
        (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

hid_t mni_file_open(const char *path)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = -1;

    if (access < 0 || H5Pset_fapl_sec2(access) < 0)
        goto cleanup;
#if H5_VERSION_GE(1, 10, 7)
    if (H5Pset_file_locking(access, 0, 1) < 0)
        goto cleanup;
#endif
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
cleanup:
    if (access >= 0) {
        /* the error of a failed open is still to be read, and closing the list clears it */
        hid_t stack = file < 0 ? H5Eget_current_stack() : -1;
        H5Pclose(access);
        if (stack >= 0)
            H5Eset_current_stack(stack);
    }
    return file;
}

int mni_file_get(hid_t file, const char *name, uint64_t *number)
{
    hid_t attribute = H5Aexists(file, name) > 0 ? H5Aopen(file, name, H5P_DEFAULT) : -1;
    uint64_t read = 0;
    int rc = attribute < 0 || H5Aread(attribute, H5T_NATIVE_UINT64, &read) < 0 ? -1 : 0;

    if (attribute >= 0)
        H5Aclose(attribute);
    if (rc < 0)
        return mni_error(MN_E_STORE, "the attribute %s is missing or damaged", name);
    *number = read;
    return 0;
}

int mni_file_put(hid_t file, const char *name, uint64_t number)
{
    hid_t scalar = -1, attribute = -1;
    int rc = 0;

    if (H5Aexists(file, name) > 0)
        attribute = H5Aopen(file, name, H5P_DEFAULT);
    else if ((scalar = H5Screate(H5S_SCALAR)) >= 0)
        attribute = H5Acreate2(file, name, H5T_NATIVE_UINT64, scalar, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, H5T_NATIVE_UINT64, &number) < 0)
        rc = mni_store_error("the attribute %s cannot be written", name);
    if (attribute >= 0 && H5Aclose(attribute) < 0 && rc == 0)
        rc = mni_store_error("the attribute %s cannot be written", name);
    if (scalar >= 0)
        H5Sclose(scalar);
    return rc;
}

bool mni_file_ordered(hid_t file)
{
    uint64_t ordered, included;

    /* of a later change than that: a version that knows nothing of it has written the file */
    return H5Aexists(file, "ordered") > 0 && mni_file_get(file, "ordered", &ordered) == 0 &&
           mni_file_get(file, "changes", &included) == 0 && ordered == included;
}

int mni_text_put(hid_t object, const char *name, const char *text)
{
    hid_t string = mni_store_string(), scalar = -1, attribute = -1;
    int rc = 0;

    if (string >= 0 && H5Aexists(object, name) > 0)
        attribute = H5Aopen(object, name, H5P_DEFAULT);
    else if (string >= 0 && (scalar = H5Screate(H5S_SCALAR)) >= 0)
        attribute = H5Acreate2(object, name, string, scalar, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, string, &text) < 0)
        rc = mni_store_error("the attribute %s cannot be written", name);
    if (attribute >= 0 && H5Aclose(attribute) < 0 && rc == 0)
        rc = mni_store_error("the attribute %s cannot be written", name);
    if (scalar >= 0)
        H5Sclose(scalar);
    if (string >= 0)
        H5Tclose(string);
    return rc;
}

int mni_link_exists(hid_t group, const char *name)
{
    htri_t exists = H5Lexists(group, name, H5P_DEFAULT);
    return exists < 0 ? mni_store_error("%s cannot be looked for", name) : exists > 0;
}

int mni_rows_select(hid_t set, uint64_t first, uint64_t count, hid_t *memory, hid_t *space)
{
    hsize_t from = first, size = count;

    *memory = H5Screate_simple(1, &size, NULL);
    *space = H5Dget_space(set);
    if (*memory >= 0 && *space >= 0 &&
        H5Sselect_hyperslab(*space, H5S_SELECT_SET, &from, NULL, &size, NULL) >= 0)
        return 0;
    mni_rows_deselect(*memory, *space);
    *memory = *space = -1;
    return -1;
}

void mni_rows_deselect(hid_t memory, hid_t space)
{
    if (memory >= 0)
        H5Sclose(memory);
    if (space >= 0)
        H5Sclose(space);
}
