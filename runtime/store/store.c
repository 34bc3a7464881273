/* SPDX-License-Identifier: MIT
 *
 * The store: checks at the start, changes on their way to the journal, the end. At every instant the path
 * holds a complete file. Rank 0's main thread.
 */
#include "store/internal.h"

#include "store/changes.h"
#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

/* Seconds that a change waits at most until the HDF5 file has it: so old is what a reader of the file sees. */
#define AGE 60.0

/* --- opening ---------------------------------------------------------------------------------- */

/* Behind symbolic links: a rename would replace the link itself. */
int mni_store_paths(mni_store_t *store, const char *path)
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
    store->place.path = strdup(real);
    store->place.folder = slash == real ? strdup("/") : strndup(real, (size_t)(slash - real));
    char fresh[PATH_MAX + 32];
    snprintf(fresh, sizeof fresh, "%s.new.%ld", real, (long)getpid());
    store->place.fresh = strdup(fresh);
    snprintf(fresh, sizeof fresh, "%s.journal", real);
    store->place.journal = strdup(fresh);
    if (store->place.path == NULL || store->place.folder == NULL || store->place.fresh == NULL ||
        store->place.journal == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store's path");
    return 0;
}

/* Makes the new file's place for a moment: permissions, read-only file systems, names that are
 * too long and quotas are then known from the kernel itself. */
static int place_check(const mni_store_t *store)
{
    mni_sink_t *sink = NULL;
    struct stat found;

    if (stat(store->place.folder, &found) < 0 || !S_ISDIR(found.st_mode))
        return mni_error(MN_E_STORE,
                         "the folder %.300s of the store is not a folder; give another --store",
                         store->place.folder);
    unlink(store->place.fresh); /* of a process of the past that had our number */
    int rc = mni_sink_create(store->place.fresh, 0600, &sink);
    if (rc < 0)
        return mni_error_prefix(rc, "the store cannot be written in the folder %.300s",
                                store->place.folder);
    mni_sink_close(sink);
    unlink(store->place.fresh);
    return 0;
}

/* Whether a journal is there, and may be. Its records are read by who needs them. */
static int journal_check(mni_store_t *store)
{
    store->has_journal = access(store->place.journal, F_OK) == 0;
    if (!store->has_journal)
        return 0;
    if (!store->exists)
        return mni_error(MN_E_STORE,
                         "the journal %.300s is there and its HDF5 file %.300s is not: bring that "
                         "back, move the journal away, or give another --store",
                         store->place.journal, store->place.path);
    if (!store->has_id)
        return mni_error(MN_E_STORE,
                         "%.300s is the journal of another file than %.300s: move one of them away",
                         store->place.journal, store->place.path);
    mni_journal_map_t *map;
    int rc = mni_journal_map(store->place.journal, store->place.id, &map);
    if (rc == 0)
        mni_journal_unmap(map);
    return rc;
}

/* Reads the journal for the report alone, unless a recovery has. */
static int journal_look(mni_store_t *store)
{
    if (!store->has_journal || store->report.end > 0)
        return 0;
    return mni_journal_read(store->place.journal, store->place.id, UINT64_MAX, NULL, NULL,
                            &store->report);
}

static int store_open(const char *path, mni_store_t *store)
{
    char name[PATH_MAX + 32];
    mode_t mode;
    int rc;

    if (path == NULL)
        return 0;
    if ((rc = mni_store_paths(store, path)) < 0)
        return rc;
    snprintf(name, sizeof name, "%s.lock", store->place.path);
    if ((rc = mni_file_check(store->place.path, true, &mode)) < 0)
        return rc;
    store->exists = rc == 1;
    if ((rc = place_check(store)) < 0 ||
        (rc = mni_store_lock(name, store->place.path, &store->lock)) < 0 ||
        (store->exists && (rc = mni_file_identity(store->place.path, &store->format, &store->has_id,
                                                  &store->place.id, &store->included)) < 0))
        return rc;
    if (!store->has_id)
        uuid_generate_random(store->place.id.bytes);
    if ((rc = mni_files_create(store->place.path, store->place.id, &store->place.files)) < 0 ||
        (rc = mni_files_check(store->place.files)) < 0)
        return rc;
    return journal_check(store);
}

int mni_store_open(const char *path, mni_store_t **result)
{
    mni_store_t *store = calloc(1, sizeof *store);
    mni_hdf5_t before;
    int rc;

    if (store == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store");
    store->age = AGE;
    store->apart = mni_hdf5_threads();
    mni_hdf5_enter(&before);
    rc = store_open(path, store);
    mni_hdf5_leave(&before);
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

/* Ends the threads, the snapshots' first, since they need the keeper. 0, or the trouble because of which not all changes are in the
 * journal. */
static int keeping_stop(mni_store_t *store)
{
    if (store->snapshot != NULL)
        store->included = mni_snapshot_stop(store->snapshot);
    store->snapshot = NULL;
    int rc = mni_keeper_stop(store->keeper);
    store->keeper = NULL;
    return rc;
}

void mni_store_close(mni_store_t *store)
{
    if (store == NULL)
        return;
    keeping_stop(store);
    mni_store_unlock(store->lock);
    if (store->file > 0) {
        mni_hdf5_t before;
        mni_hdf5_enter(&before);
        H5Fclose(store->file);
        mni_hdf5_leave(&before);
    }
    mni_journal_unmap(store->map);
    free(store->user);
    free(store->trouble);
    mni_files_destroy(store->place.files);
    mni_writer_fini(&store->writer);
    mni_journal_report_fini(&store->report);
    free(store->damage);
    free(store->place.path);
    free(store->place.folder);
    free(store->place.fresh);
    free(store->place.journal);
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

/* The journal, as it goes on or new. */
static int journal_begin(mni_store_t *store, mni_journal_t **journal)
{
    int rc;

    if (store->has_journal && store->report.last >= store->included)
        return mni_journal_continue(store->place.journal, store->place.id, &store->report, journal);
    unlink(store->place.journal); /* all of it is in the file */
    if ((rc = mni_journal_create(store->place.journal, store->place.id, store->included + 1,
                                 journal)) < 0)
        return rc;
    mni_journal_share(*journal, store->place.path);
    if ((rc = mni_folder_sync(store->place.folder)) < 0)
        mni_journal_close(*journal);
    return rc;
}

/* The file that a store must have before it has a journal. */
static int file_begin(mni_store_t *store, mni_store_visit_t *visit, void *argument)
{
    mni_hdf5_t before;

    mni_hdf5_enter(&before);
    int rc = mni_file_write(&store->place, store->included, visit, argument);
    mni_hdf5_leave(&before);
    if (rc == 0)
        store->has_id = store->exists = true;
    if (rc == 0)
        store->format = MNI_STORE_FORMAT;
    return rc;
}

/* Deletes files of large values that nothing refers to: not when something is damaged, which may have named any of them. */
static void files_clean(mni_store_t *store, uint64_t included, uint64_t kept)
{
    mni_files_included(store->place.files, included);
    if (!store->recovered || store->damage != NULL)
        return;
    mni_files_delete(store->place.files, kept);
    mni_files_sweep(store->place.files);
}

int mni_store_begin(mni_store_t *store, mni_durability_t durability, mni_doorbell_t *bell,
                    mni_store_visit_t *visit, void *argument)
{
    mni_journal_t *journal = NULL;
    int rc = 0;

    if (store->place.path == NULL)
        return 0;
    if (mni_store_lock_shared(store->lock) >= 0)
        mni_folder_clean(store->place.folder, store->place.path);
    if ((rc = journal_look(store)) < 0 ||
        (!store->has_id && (rc = file_begin(store, visit, argument)) < 0))
        return rc;
    store->told = store->report.last > store->included ? store->report.last : store->included;
    files_clean(store, store->included, store->told);
    if (durability == MNI_DURABILITY_MEMORY)
        return 0;
    if ((rc = journal_begin(store, &journal)) < 0)
        return rc;
    store->has_journal = true;
    rc = mni_keeper_start(journal, store->place.files, durability == MNI_DURABILITY_FSYNC, bell,
                          &store->keeper);
    /* the program's own threads may use HDF5 too, where this process is the program */
    if (rc < 0 || !mni_hdf5_threads() || isinf(store->age))
        return rc;
    return mni_snapshot_start(&store->place, store->keeper, bell, store->included, store->age,
                              &store->snapshot);
}

void mni_store_snapshot_age(mni_store_t *store, double seconds)
{
    store->age = seconds;
}

bool mni_store_snapshot_trouble(mni_store_t *store, char *text, size_t room)
{
    return store->snapshot != NULL && mni_snapshot_trouble(store->snapshot, text, room);
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

/* A large value is to be written; *file: the name that its file will have. */
static int tell_large(mni_store_t *store, mni_large_t *large, const mni_value_owner_t *owner,
                      const char **file)
{
    int rc = large ? mni_large_tell(large, store, owner) : 0;

    if (rc == 0)
        *file = large ? mni_large_name(large) : NULL;
    return rc;
}

/* A record was put by which a value is in that file, or in none. */
static int told_value(mni_store_t *store, const mni_value_owner_t *owner, mni_large_t *large)
{
    uint64_t number = mni_keeper_last(store->keeper);

    if (large)
        mni_large_told(large, store, number);
    return mni_files_assign(store->place.files, owner->job, owner->role,
                            large ? mni_large_name(large) : NULL, number);
}

int mni_store_started(mni_store_t *store, const mni_store_record_t *record)
{
    mni_value_owner_t owner = {
        .store = store->place.id, .job = record->info.id, .role = MNI_VALUE_INPUT};
    mni_large_t *large = store->apart ? record->input_large : NULL;
    mni_store_record_t put = *record;
    int rc = 0;

    if (store->keeper == NULL)
        return 0;
    if ((rc = tell_large(store, large, &owner, &put.input_file)) < 0 ||
        (rc = tell(store, mni_change_put_start(&store->writer, &put))) < 0)
        return rc;
    return told_value(store, &owner, large);
}

int mni_store_changed(mni_store_t *store, unsigned what, const mni_store_record_t *record)
{
    mni_value_owner_t owner = {.store = store->place.id,
                               .job = record->info.id,
                               .role = MNI_VALUE_RESULT,
                               .number = record->info.yields};
    mni_large_t *large = store->apart ? record->result_large : NULL;
    bool yielded = what & MNI_STORE_YIELDED;
    mni_store_record_t put = *record;
    int rc = 0;

    if (store->keeper == NULL)
        return 0;
    if (yielded && (rc = tell_large(store, large, &owner, &put.result_file)) < 0)
        return rc;
    unsigned set = (what & MNI_STORE_BEGUN ? MNI_CHANGE_BIT(MNI_CHANGE_BEGIN) : 0) |
                   (what & MNI_STORE_YIELDED ? MNI_CHANGE_BIT(MNI_CHANGE_VALUE) : 0) |
                   (what & MNI_STORE_CHANGED ? MNI_CHANGE_BIT(MNI_CHANGE_STATE) : 0);
    if ((rc = tell(store, mni_change_put(&store->writer, set, &put))) < 0)
        return rc;
    return yielded ? told_value(store, &owner, large) : 0;
}

int mni_store_removed(mni_store_t *store, mn_id_t id)
{
    mni_value_owner_t input = {.job = id, .role = MNI_VALUE_INPUT};
    mni_value_owner_t result = {.job = id, .role = MNI_VALUE_RESULT};
    int rc;

    if (store->keeper == NULL)
        return 0;
    mni_change_put_remove(&store->writer, id);
    if ((rc = tell(store, MNI_CHANGE_REMOVE)) < 0 || (rc = told_value(store, &input, NULL)) < 0)
        return rc;
    return told_value(store, &result, NULL);
}

bool mni_store_busy(mni_store_t *store, mn_id_t id)
{
    return store->keeper != NULL &&
           mni_files_result_named(store->place.files, id) > mni_keeper_kept(store->keeper);
}

void mni_store_commit(mni_store_t *store)
{
    if (store->keeper == NULL)
        return;
    mni_keeper_commit(store->keeper);
    mni_larges_settle(store);
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

/* Brings what the file does not include into it, from the journal. */
static int fold_rest(mni_store_t *store)
{
    int rc = 0;

    if (store->told > store->included || store->format < MNI_STORE_FORMAT)
        rc = mni_fold(&store->place, store->included, store->told, false);
    if (rc == 0 && mni_fold_wasteful(store->place.path))
        rc = mni_fold(&store->place, store->told, store->told, true);
    return rc;
}

int mni_store_finish(mni_store_t *store, mni_store_visit_t *visit, void *argument)
{
    mni_hdf5_t before;
    int rc;

    if (store->place.path == NULL)
        return 0;
    store->told = mni_store_told(store);
    bool kept = store->keeper != NULL;
    kept = keeping_stop(store) == 0 && kept;
    if (kept)
        mni_larges_settle(store);
    mni_hdf5_enter(&before);
    /* without a journal, or one that cannot be written, what the caller has in memory is all that there is */
    rc = kept ? fold_rest(store) : mni_file_write(&store->place, store->told, visit, argument);
    mni_hdf5_leave(&before);
    if (rc < 0)
        return rc;
    store->included = store->told;
    files_clean(store, store->included, store->included);
    if (store->has_journal && unlink(store->place.journal) == 0)
        store->has_journal = false;
    mni_store_unlock(store->lock);
    store->lock = NULL;
    return 0;
}

static int rebuild(mni_store_t *store, bool inside)
{
    int rc = 0;

    if (store->told > store->included || store->format < MNI_STORE_FORMAT)
        rc = mni_fold(&store->place, store->included, store->told, !inside);
    else if (!inside)
        rc = mni_fold(&store->place, store->told, store->told, true);
    return rc == 0 && inside ? mni_fold_inside(&store->place, store->told) : rc;
}

int mni_store_rebuild(mni_store_t *store, bool inside)
{
    mni_hdf5_t before;
    int rc;

    if (store->place.path == NULL || !store->exists)
        return 0;
    if ((rc = journal_look(store)) < 0)
        return rc;
    store->told = store->report.last > store->included ? store->report.last : store->included;
    mni_hdf5_enter(&before);
    rc = rebuild(store, inside);
    mni_hdf5_leave(&before);
    if (rc < 0)
        return rc;
    store->included = store->told;
    store->format = MNI_STORE_FORMAT;
    store->has_id = true;
    if (store->has_journal && unlink(store->place.journal) == 0)
        store->has_journal = false;
    if (inside) {
        mni_files_none(store->place.files);
        mni_files_sweep(store->place.files);
    }
    return 0;
}
