/* SPDX-License-Identifier: MIT
 *
 * The store: checks at the start, and at the end one new HDF5 file renamed over the old one, whose
 * jobs it takes over. At every instant the path holds a complete file, or none if there was none.
 * Rank 0's main thread.
 */
#include "store/internal.h"

#include "store/sink.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mni_store {
    char *path; /* absolute; NULL: nothing is written */
    char *folder;
    char *fresh; /* where the new file is made */
};

/* --- errors and small things of HDF5 ---------------------------------------------------------- */

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

/* --- what is there already -------------------------------------------------------------------- */

/* Opens a file to read it, without a lock: files of ours never change, they are replaced. */
static hid_t file_open(const char *path)
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

/* Whether the file says that multinode made it. */
static bool file_is_ours(hid_t file)
{
    bool ours = false;
    char *text = NULL;
    hid_t type = -1, string = mni_store_string();
    hid_t attribute = H5Aexists(file, "creator") > 0 ? H5Aopen(file, "creator", H5P_DEFAULT) : -1;

    if (attribute >= 0 && string >= 0 && (type = H5Aget_type(attribute)) >= 0 &&
        H5Tis_variable_str(type) > 0 && H5Aget_storage_size(attribute) > 0 &&
        H5Aread(attribute, string, &text) >= 0 && text != NULL)
        ours = strcmp(text, "multinode") == 0;
    H5free_memory(text);
    if (type >= 0)
        H5Tclose(type);
    if (attribute >= 0)
        H5Aclose(attribute);
    if (string >= 0)
        H5Tclose(string);
    return ours;
}

/* Number of the file's format, negative if it has none. */
static int file_format(hid_t file)
{
    int format = -1;
    hid_t attribute = H5Aexists(file, "format") > 0 ? H5Aopen(file, "format", H5P_DEFAULT) : -1;

    if (attribute >= 0) {
        if (H5Aread(attribute, H5T_NATIVE_INT, &format) < 0)
            format = -1;
        H5Aclose(attribute);
    }
    return format;
}

/* Looks into an HDF5 file that exists. */
static int file_check(const char *path)
{
    hid_t file = file_open(path);
    int rc = 0;

    if (file < 0) {
        rc = mni_store_error(
            "%.300s is an HDF5 file that cannot be opened; move it away or give another --store",
            path);
    } else if (!file_is_ours(file)) {
        rc = mni_error(
            MN_E_STORE,
            "%.300s is an HDF5 file that multinode did not write; it is not touched: move it "
            "away or give another --store",
            path);
    } else if (file_format(file) != MNI_STORE_FORMAT) {
        rc =
            mni_error(MN_E_STORE,
                      "%.300s has store format %d and this multinode (%s) knows format %d; use the "
                      "version that wrote it or give another --store",
                      path, file_format(file), MN_VERSION, MNI_STORE_FORMAT);
    } else if (H5Lexists(file, "jobs", H5P_DEFAULT) <= 0 ||
               H5Lexists(file, "data", H5P_DEFAULT) <= 0) {
        rc = mni_error(
            MN_E_STORE,
            "%.300s is a store without its table of jobs or its values: it is damaged; move "
            "it away or give another --store",
            path);
    }
    if (file >= 0)
        H5Fclose(file);
    return rc;
}

/* Looks at what the path holds. 0: nothing; 1: a store of ours, its permissions in *mode. */
static int existing_check(const char *path, mode_t *mode)
{
    static const unsigned char hdf5[8] = "\211HDF\r\n\032\n";
    unsigned char head[8];
    struct stat found;

    if (stat(path, &found) < 0) {
        if (errno == ENOENT)
            return 0;
        return mni_error(MN_E_STORE, "cannot look at the store %.300s: %s", path, strerror(errno));
    }
    if (!S_ISREG(found.st_mode))
        return mni_error(MN_E_STORE, "%.300s is %s, not a file; give another --store", path,
                         S_ISDIR(found.st_mode) ? "a folder" : "a device, pipe or socket");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || access(path, W_OK) < 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return mni_error(MN_E_STORE, "the store %.300s cannot be %s: %s", path,
                         fd < 0 ? "read" : "written", strerror(error));
    }
    ssize_t got = pread(fd, head, sizeof head, 0);
    close(fd);
    if (got != (ssize_t)sizeof head || memcmp(head, hdf5, sizeof head) != 0)
        return mni_error(MN_E_STORE,
                         "%.300s is %s, not an HDF5 file; it is not touched: move it away or give "
                         "another --store",
                         path, found.st_size == 0 ? "an empty file" : "a file of another kind");
    *mode = found.st_mode & 0777;
    int rc = file_check(path);
    return rc < 0 ? rc : 1;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Makes the absolute path, behind symbolic links: a rename would replace the link itself. */
static int paths_make(mni_store_t *store, const char *path)
{
    char real[PATH_MAX], folder[PATH_MAX];
    struct stat link;

    size_t length = strlen(path);
    if (length == 0 || length >= sizeof folder || path[length - 1] == '/')
        return mni_error(MN_E_STORE, "\"%.300s\" is no name of a file for the store", path);
    if (realpath(path, real) == NULL) {
        int error = errno;
        if (error == ENOENT && lstat(path, &link) == 0)
            return mni_error(
                MN_E_STORE,
                "%.300s is a symbolic link to nothing; remove it or give another --store", path);
        const char *slash = strrchr(path, '/');
        const char *name = slash == NULL ? path : slash + 1;
        snprintf(folder, sizeof folder, "%.*s",
                 slash == NULL   ? 1
                 : slash == path ? 1
                                 : (int)(slash - path),
                 slash == NULL ? "." : path);
        if (error == ENOENT && realpath(folder, real) == NULL)
            return mni_error(MN_E_STORE,
                             "the store %.300s cannot be used: its folder %.300s: %s; make it or "
                             "give another --store",
                             path, folder, strerror(errno));
        if (error != ENOENT)
            return mni_error(MN_E_STORE,
                             "the store %.300s cannot be used: %s; give another --store", path,
                             strerror(error));
        size_t used = strlen(real);
        if ((size_t)snprintf(real + used, sizeof real - used, "%s%s", used == 1 ? "" : "/", name) >=
            sizeof real - used)
            return mni_error(MN_E_STORE, "the store's path %.300s is too long", path);
    }
    char *slash = strrchr(real, '/');
    store->path = strdup(real);
    store->folder = slash == real ? strdup("/") : strndup(real, (size_t)(slash - real));
    char fresh[PATH_MAX + 32];
    snprintf(fresh, sizeof fresh, "%s.new.%ld", real, (long)getpid());
    store->fresh = strdup(fresh);
    if (store->path == NULL || store->folder == NULL || store->fresh == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store's path");
    return 0;
}

/* Makes the new file's place for a moment: permissions, read-only file systems, names that are
 * too long and quotas are then known from the kernel itself. */
static int place_check(const mni_store_t *store)
{
    mni_sink_t *sink = NULL;
    struct stat found;

    if (stat(store->folder, &found) < 0 || !S_ISDIR(found.st_mode))
        return mni_error(MN_E_STORE,
                         "the folder %.300s of the store is not a folder; give another --store",
                         store->folder);
    unlink(store->fresh); /* of a process of the past that had our number */
    int rc = mni_sink_create(store->fresh, 0600, &sink);
    if (rc < 0)
        return mni_error_prefix(rc, "the store cannot be written in the folder %.300s",
                                store->folder);
    mni_sink_close(sink);
    unlink(store->fresh);
    return 0;
}

static int store_open(const char *path, mni_store_t *store)
{
    mode_t mode;
    int rc;

    if (path == NULL)
        return 0;
    if ((rc = paths_make(store, path)) < 0 || (rc = existing_check(store->path, &mode)) < 0)
        return rc;
    return place_check(store);
}

int mni_store_open(const char *path, mni_store_t **result)
{
    mni_store_t *store = calloc(1, sizeof *store);
    int rc;

    if (store == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store");
    H5E_BEGIN_TRY
    {
        rc = store_open(path, store);
    }
    H5E_END_TRY
    if (rc < 0) {
        mni_store_close(store);
        return rc;
    }
    *result = store;
    return 0;
}

void mni_store_close(mni_store_t *store)
{
    if (store == NULL)
        return;
    free(store->path);
    free(store->folder);
    free(store->fresh);
    free(store);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* One write of the store, while it goes on. */
typedef struct writer {
    mni_sink_t *sink;
    hid_t file; /* the new one */
    mni_data_t data;
    mni_rows_t rows; /* of the jobs given */
    hid_t old;       /* the file as it was, negative if none */
    hid_t old_data;
    mni_row_t *old_rows;
    size_t old_count;
} writer_t;

static int writer_create(writer_t *writer, const char *path)
{
    hid_t access = mni_sink_access(writer->sink);
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    int format = MNI_STORE_FORMAT, rc = 0;

    /* The format of HDF5 1.8: small groups lie in their headers, and every version since then
     * reads it. */
    if (access >= 0 && creation >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0)
        writer->file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    if (writer->file < 0)
        rc = mni_store_error("no HDF5 file can be made");
    if (creation >= 0)
        H5Pclose(creation);
    if (access >= 0)
        H5Pclose(access);
    if (rc < 0 || (rc = mni_data_open(&writer->data, writer->file)) < 0 ||
        (rc = mni_data_attribute(&writer->data, writer->file, "creator", "multinode")) < 0 ||
        (rc = mni_data_attribute(&writer->data, writer->file, "version", mn_version())) < 0)
        return rc;
    hid_t attribute = H5Acreate2(writer->file, "format", H5T_NATIVE_INT32, writer->data.scalar,
                                 H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, H5T_NATIVE_INT, &format) < 0)
        rc = mni_store_error("the attribute format cannot be written");
    if (attribute >= 0)
        H5Aclose(attribute);
    return rc;
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
        if ((rc = mni_rows_add(&writer->rows, &record.info)) < 0 ||
            (rc = mni_data_put(&writer->data, &record)) < 0)
            return rc;
        if (mni_sink_error(writer->sink) != 0)
            return MN_E_STORE;
    }
}

static int id_compare(const void *a, const void *b)
{
    return memcmp(a, b, MN_ID_TEXT - 1);
}

/* The ids of the jobs given, sorted; rows begin with theirs. */
static char (*ids_sort(const mni_rows_t *rows))[MN_ID_TEXT - 1]
{
    char(*ids)[MN_ID_TEXT - 1] = calloc(rows->count + 1, sizeof *ids);

    for (size_t i = 0; ids != NULL && i < rows->count; i++)
        memcpy(ids[i], rows->row[i].id, sizeof *ids);
    if (ids != NULL)
        qsort(ids, rows->count, sizeof *ids, id_compare);
    return ids;
}

/* Copies the values of the old file's jobs that are not among those given, and puts their rows
 * together: first those, then the given ones. */
static int writer_merge(writer_t *writer, mni_row_t *all, size_t *count)
{
    char(*ids)[MN_ID_TEXT - 1] = ids_sort(&writer->rows);
    char text[MN_ID_TEXT] = "";
    mn_id_t id;
    int rc = 0;

    if (ids == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store's table of jobs");
    *count = 0;
    for (size_t i = 0; rc == 0 && i < writer->old_count; i++) {
        const mni_row_t *row = &writer->old_rows[i];
        memcpy(text, row->id, sizeof row->id);
        if (mn_id_parse(text, &id) < 0) {
            rc = mni_error(MN_E_STORE, "row %zu of the table of jobs has no id: it is damaged", i);
        } else if (bsearch(row->id, ids, writer->rows.count, sizeof *ids, id_compare) == NULL) {
            rc = mni_data_copy(&writer->data, writer->old_data, text);
            all[(*count)++] = *row;
        }
        if (rc == 0 && mni_sink_error(writer->sink) != 0)
            rc = MN_E_STORE;
    }
    free(ids);
    if (rc < 0)
        return rc;
    if (writer->rows.count > 0)
        memcpy(all + *count, writer->rows.row, writer->rows.count * sizeof *all);
    *count += writer->rows.count;
    return 0;
}

/* Reads the old file's table, copies what stays, writes the table of all. */
static int writer_finish(writer_t *writer, const char *old_path)
{
    mni_row_t *all = NULL;
    size_t count = 0;
    int rc = 0;

    if (old_path != NULL) {
        if ((writer->old = file_open(old_path)) < 0 ||
            (writer->old_data = H5Gopen2(writer->old, "data", H5P_DEFAULT)) < 0)
            rc = mni_store_error("the earlier file cannot be read");
        else
            rc = mni_rows_read(writer->old, &writer->old_rows, &writer->old_count);
        if (rc < 0)
            return rc;
    }
    all = calloc(writer->old_count + writer->rows.count + 1, sizeof *all);
    if (all == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store's table of jobs");
    if ((rc = writer_merge(writer, all, &count)) == 0)
        rc = mni_rows_write(writer->file, all, count);
    free(all);
    return rc;
}

/* Closes both files; the new one is then whole on the disk, if *rc and the sink agree. */
static int writer_close(writer_t *writer, int rc)
{
    mni_rows_reclaim(writer->old_rows, writer->old_count);
    if (writer->old_data >= 0)
        H5Gclose(writer->old_data);
    if (writer->old >= 0)
        H5Fclose(writer->old);
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
static int folder_sync(const char *folder)
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

static int store_write(mni_store_t *store, mni_store_visit_t *visit, void *argument)
{
    writer_t writer = {.file = -1, .data = {-1, -1, -1, -1, -1}, .old = -1, .old_data = -1};
    mode_t mode = 0666;
    int rc, exists;

    if ((exists = existing_check(store->path, &mode)) < 0)
        return exists;
    unlink(store->fresh);
    /* the old file's permissions, or those that the user's mask gives */
    if ((rc = mni_sink_create(store->fresh, mode, &writer.sink)) < 0)
        return rc;
    if ((exists == 1 && chmod(store->fresh, mode) < 0))
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    if (rc == 0 && (rc = writer_create(&writer, store->fresh)) == 0 &&
        (rc = writer_take(&writer, visit, argument)) == 0)
        rc = writer_finish(&writer, exists == 1 ? store->path : NULL);
    rc = writer_close(&writer, rc);
    if (rc == 0 && rename(store->fresh, store->path) < 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    if (rc < 0) {
        unlink(store->fresh);
        return mni_error_prefix(rc, "the store %.300s was not written and is as it was",
                                store->path);
    }
    if ((rc = folder_sync(store->folder)) < 0)
        return mni_error_prefix(rc, "the store %.300s", store->path);
    return 0;
}

int mni_store_write(mni_store_t *store, mni_store_visit_t *visit, void *argument)
{
    int rc;

    if (store->path == NULL)
        return 0;
    H5E_BEGIN_TRY
    {
        rc = store_write(store, visit, argument);
    }
    H5E_END_TRY
    return rc;
}
