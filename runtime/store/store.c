/* SPDX-License-Identifier: MIT
 *
 * The store: checks at the start, changes on their way to the journal, the end. At every instant the path
 * holds a complete file. Rank 0's main thread.
 */
#include "store/internal.h"

#include "store/changes.h"
#include "store/points.h"
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
#include <uuid/uuid.h>

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
    hid_t file = mni_file_open(path);
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
    } else if (file_format(file) < 1 || file_format(file) > MNI_STORE_FORMAT) {
        rc = mni_error(
            MN_E_STORE,
            "%.300s has store format %d and this multinode (%s) knows formats 1 to %d; use the "
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
int mni_file_check(const char *path, mode_t *mode)
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
    snprintf(fresh, sizeof fresh, "%s.journal", real);
    store->journal = strdup(fresh);
    if (store->path == NULL || store->folder == NULL || store->fresh == NULL ||
        store->journal == NULL)
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

/* The store's id and up to which change it includes them; a file of an early version has neither. */
static int identity_read(mni_store_t *store)
{
    hid_t file = mni_file_open(store->path), string = mni_store_string(), attribute = -1;
    char *text = NULL;
    int rc = 0;

    if (file < 0 || string < 0)
        rc = mni_store_error("%.300s cannot be read", store->path);
    else if (H5Aexists(file, "store") > 0) {
        if ((attribute = H5Aopen(file, "store", H5P_DEFAULT)) < 0 ||
            H5Aread(attribute, string, &text) < 0 || mn_id_parse(text, &store->id) < 0)
            rc = mni_error(MN_E_STORE, "the attribute store of %.300s is damaged", store->path);
        if (attribute >= 0)
            H5Aclose(attribute);
        if (rc == 0 && ((attribute = H5Aopen(file, "changes", H5P_DEFAULT)) < 0 ||
                        H5Aread(attribute, H5T_NATIVE_UINT64, &store->included) < 0))
            rc = mni_error(MN_E_STORE, "the attribute changes of %.300s is damaged", store->path);
        if (rc == 0)
            H5Aclose(attribute);
        store->has_id = rc == 0;
    }
    H5free_memory(text);
    if (string >= 0)
        H5Tclose(string);
    if (file >= 0)
        H5Fclose(file);
    return rc;
}

/* Whether a journal is there, and may be. */
static int journal_check(mni_store_t *store)
{
    store->has_journal = access(store->journal, F_OK) == 0;
    if (!store->has_journal)
        return 0;
    if (!store->exists)
        return mni_error(MN_E_STORE,
                         "the journal %.300s is there and its HDF5 file %.300s is not: bring that "
                         "back, move the journal away, or give another --store",
                         store->journal, store->path);
    if (!store->has_id)
        return mni_error(MN_E_STORE,
                         "%.300s is the journal of another file than %.300s: move one of them away",
                         store->journal, store->path);
    return mni_journal_read(store->journal, store->id, UINT64_MAX, NULL, NULL, &store->report);
}

static int store_open(const char *path, mni_store_t *store)
{
    char name[PATH_MAX + 32];
    mode_t mode;
    int rc;

    if (path == NULL)
        return 0;
    if ((rc = paths_make(store, path)) < 0)
        return rc;
    snprintf(name, sizeof name, "%s.lock", store->path);
    if ((rc = mni_file_check(store->path, &mode)) < 0)
        return rc;
    store->exists = rc == 1;
    if ((rc = place_check(store)) < 0 ||
        (rc = mni_store_lock(name, store->path, &store->lock)) < 0 ||
        (store->exists && (rc = identity_read(store)) < 0))
        return rc;
    if (!store->has_id)
        uuid_generate_random(store->id.bytes);
    return journal_check(store);
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

const char *mni_store_lock_path(const mni_store_t *store)
{
    return mni_store_lock_name(store->lock);
}

int mni_store_lock_descriptor(const mni_store_t *store)
{
    return mni_store_lock_shared(store->lock);
}

void mni_store_close(mni_store_t *store)
{
    if (store == NULL)
        return;
    mni_keeper_stop(store->keeper);
    mni_store_unlock(store->lock);
    mni_writer_fini(&store->writer);
    mni_journal_report_fini(&store->report);
    free(store->damage);
    free(store->path);
    free(store->folder);
    free(store->fresh);
    free(store->journal);
    free(store);
}

int mni_durability_parse(const char *text, mni_durability_t *durability)
{
    static const char *const names[] = {"fsync", "flush", "memory"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) {
            *durability = (mni_durability_t)i;
            return 0;
        }
    return mni_error(MN_E_INVALID, "\"%.60s\" is no durability: fsync, flush or memory", text);
}

/* --- changes ---------------------------------------------------------------------------------- */

int mni_store_begin(mni_store_t *store, mni_durability_t durability, mni_doorbell_t *bell,
                    mni_store_visit_t *visit, void *argument)
{
    mni_journal_t *journal = NULL;
    int rc = 0;

    if (store->path == NULL)
        return 0;
    if (!store->has_id) {
        H5E_BEGIN_TRY
        {
            rc = mni_file_write(store, visit, argument);
        }
        H5E_END_TRY
        if (rc < 0)
            return rc;
        store->has_id = store->exists = true;
    }
    store->told = store->report.last > store->included ? store->report.last : store->included;
    if (durability == MNI_DURABILITY_MEMORY)
        return 0;
    if (store->has_journal && store->report.last >= store->included)
        rc = mni_journal_continue(store->journal, store->id, &store->report, &journal);
    else {
        unlink(store->journal); /* all of it is in the file */
        if ((rc = mni_journal_create(store->journal, store->id, store->included + 1, &journal)) ==
                0 &&
            (rc = mni_folder_sync(store->folder)) < 0)
            mni_journal_close(journal);
    }
    if (rc < 0)
        return rc;
    store->has_journal = true;
    return mni_keeper_start(journal, durability == MNI_DURABILITY_FSYNC, bell, &store->keeper);
}

/* Gives the journal what was put into store->writer, without the header of a message. */
static int tell(mni_store_t *store, mni_change_t type)
{
    mni_writer_t *writer = &store->writer;
    int rc = mni_writer_end(writer);

    if (rc == 0)
        rc = mni_keeper_put(store->keeper, type, writer->data + MNI_FRAME_HEADER,
                            writer->size - MNI_FRAME_HEADER);
    return rc;
}

int mni_store_started(mni_store_t *store, const mni_store_record_t *record)
{
    if (store->keeper == NULL)
        return 0;
    mni_change_put_start(&store->writer, record);
    return tell(store, MNI_CHANGE_START);
}

int mni_store_changed(mni_store_t *store, unsigned what, const mni_store_record_t *record)
{
    if (store->keeper == NULL)
        return 0;
    unsigned set = (what & MNI_STORE_BEGUN ? MNI_CHANGE_BIT(MNI_CHANGE_BEGIN) : 0) |
                   (what & MNI_STORE_YIELDED ? MNI_CHANGE_BIT(MNI_CHANGE_VALUE) : 0) |
                   (what & MNI_STORE_CHANGED ? MNI_CHANGE_BIT(MNI_CHANGE_STATE) : 0);
    return tell(store, mni_change_put(&store->writer, set, record));
}

int mni_store_removed(mni_store_t *store, mn_id_t id)
{
    if (store->keeper == NULL)
        return 0;
    mni_change_put_remove(&store->writer, id);
    return tell(store, MNI_CHANGE_REMOVE);
}

void mni_store_commit(mni_store_t *store)
{
    if (store->keeper != NULL)
        mni_keeper_commit(store->keeper);
}

uint64_t mni_store_told(const mni_store_t *store)
{
    return store->keeper != NULL ? mni_keeper_last(store->keeper) : store->told;
}

uint64_t mni_store_kept(const mni_store_t *store)
{
    return store->keeper != NULL ? mni_keeper_kept(store->keeper) : store->told;
}

int mni_store_trouble(mni_store_t *store, bool *for_good)
{
    if (store->keeper != NULL)
        return mni_keeper_trouble(store->keeper, for_good);
    if (for_good != NULL)
        *for_good = false;
    return 0;
}

int mni_store_finish(mni_store_t *store, mni_store_visit_t *visit, void *argument)
{
    int rc;

    if (store->path == NULL)
        return 0;
    store->told = mni_store_told(store);
    mni_keeper_stop(store->keeper); /* its trouble does not matter when the file can be written */
    store->keeper = NULL;
    store->included = store->told;
    H5E_BEGIN_TRY
    {
        rc = mni_file_write(store, visit, argument);
    }
    H5E_END_TRY
    if (rc == 0 && store->has_journal && unlink(store->journal) == 0)
        store->has_journal = false;
    if (rc == 0) {
        mni_store_unlock(store->lock);
        store->lock = NULL;
    }
    return rc;
}
