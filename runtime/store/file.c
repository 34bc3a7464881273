/* SPDX-License-Identifier: MIT
 *
 * The writing of a store's HDF5 file: a new one is made beside the old one and renamed over it. Rank 0's main thread.
 */
#include "store/internal.h"

#include "store/points.h"
#include "store/sink.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct writer {
    mni_sink_t *sink;
    hid_t file;
    mni_data_t data;
    mni_rows_t rows;
} writer_t;

static int put_number(hid_t file, const char *name, hid_t kept_as, hid_t memory, const void *number,
                      hid_t scalar)
{
    hid_t attribute = H5Acreate2(file, name, kept_as, scalar, H5P_DEFAULT, H5P_DEFAULT);
    int rc = 0;

    if (attribute < 0 || H5Awrite(attribute, memory, number) < 0)
        rc = mni_store_error("the attribute %s cannot be written", name);
    if (attribute >= 0)
        H5Aclose(attribute);
    return rc;
}

static int writer_create(writer_t *writer, const mni_store_t *store)
{
    hid_t access = mni_sink_access(writer->sink);
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    char id[MN_ID_TEXT];
    int format = MNI_STORE_FORMAT, rc = 0;

    /* The format of HDF5 1.8: small groups lie in their headers, and every version since then
     * reads it. */
    if (access >= 0 && creation >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0)
        writer->file = H5Fcreate(store->fresh, H5F_ACC_TRUNC, creation, access);
    if (writer->file < 0)
        rc = mni_store_error("no HDF5 file can be made");
    if (creation >= 0)
        H5Pclose(creation);
    if (access >= 0)
        H5Pclose(access);
    if (rc < 0 || (rc = mni_data_open(&writer->data, writer->file)) < 0 ||
        (rc = mni_data_attribute(&writer->data, writer->file, "creator", "multinode")) < 0 ||
        (rc = mni_data_attribute(&writer->data, writer->file, "version", mn_version())) < 0 ||
        (rc = mni_data_attribute(&writer->data, writer->file, "store",
                                 mn_id_format(store->id, id))) < 0 ||
        (rc = put_number(writer->file, "format", H5T_NATIVE_INT32, H5T_NATIVE_INT, &format,
                         writer->data.scalar)) < 0)
        return rc;
    return put_number(writer->file, "changes", H5T_NATIVE_UINT64, H5T_NATIVE_UINT64,
                      &store->included, writer->data.scalar);
}

/* Takes the jobs from the caller. Stops at once when the disk is full. */
static int writer_take(writer_t *writer, mni_store_visit_t *visit, void *argument)
{
    mni_store_record_t record;
    int rc;

    for (;;) {
        memset(&record, 0, sizeof record);
        if ((rc = visit(argument, &record)) <= 0)
            return rc;
        if ((rc = mni_rows_add(&writer->rows, &record)) < 0 ||
            (rc = mni_data_put(&writer->data, &record)) < 0)
            return rc;
        if (mni_sink_error(writer->sink) != 0)
            return MN_E_STORE;
    }
}

/* Closes the file; it is then whole on the disk, if rc and the sink agree. */
static int writer_close(writer_t *writer, int rc)
{
    mni_data_close(&writer->data);
    mni_rows_free(&writer->rows);
    if (writer->file >= 0 && H5Fclose(writer->file) < 0 && rc == 0)
        rc = mni_store_error("the new file cannot be closed");
    if (rc == 0)
        mni_sink_sync(writer->sink);
    /* the kernel's word is nearer to the cause than what HDF5 made of it */
    if (mni_sink_error(writer->sink) != 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(mni_sink_error(writer->sink)));
    mni_sink_close(writer->sink);
    return rc;
}

/* Has the rename itself on the disk. Some file systems cannot sync a folder: they then do it in
 * their own way. */
int mni_folder_sync(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP))
        rc = mni_error(MN_E_STORE, "is in place but may not survive a power loss: %s",
                       strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

int mni_file_write(mni_store_t *store, mni_store_visit_t *visit, void *argument)
{
    writer_t writer = {.file = -1, .data = {-1, -1, -1, -1, -1}};
    mode_t mode = 0666;
    int rc, exists;

    if ((exists = mni_file_check(store->path, &mode)) < 0)
        return exists;
    unlink(store->fresh);
    /* the old file's permissions, or those that the user's mask gives */
    if ((rc = mni_sink_create(store->fresh, mode, &writer.sink)) < 0)
        return rc;
    if ((exists == 1 && chmod(store->fresh, mode) < 0))
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    if (rc == 0 && (rc = writer_create(&writer, store)) == 0 &&
        (rc = writer_take(&writer, visit, argument)) == 0)
        rc = mni_rows_write(writer.file, writer.rows.row, writer.rows.count);
    rc = writer_close(&writer, rc);
    if (rc == 0 && rename(store->fresh, store->path) < 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    if (rc < 0) {
        unlink(store->fresh);
        return mni_error_prefix(rc, "the store %.300s was not written and is as it was",
                                store->path);
    }
    if ((rc = mni_folder_sync(store->folder)) < 0)
        return mni_error_prefix(rc, "the store %.300s", store->path);
    return 0;
}
