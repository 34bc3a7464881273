/* SPDX-License-Identifier: MIT
 *
 * See files.h. The mutex guards the lists of what waits and of what is to be deleted, and the numbers of the HDF5 file; never a
 * system call. What is in use is known to the main thread alone.
 */
#include "store/files.h"

#include "store/internal.h"
#include "store/points.h"
#include "util/error.h"
#include "util/hash.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#define SUFFIX ".values"

/* A value that is to be written. */
typedef struct wait {
    struct wait *prev, *next;
    mni_value_owner_t owner;
    mn_value_t value;
    mni_shared_t *bytes;
} wait_t;

/* A file that is to be deleted: record `named` named it, record `replaced` something else. */
typedef struct litter {
    struct litter *prev, *next;
    uint64_t named, replaced;
    char name[];
} litter_t;

/* The files of a job: its input's and its result's. */
typedef struct used {
    mn_id_t job;
    char *name[2];
    uint64_t named[2];
    UT_hash_handle hh;
} used_t;

struct mni_files {
    char *path;    /* of the HDF5 file */
    char *folder;  /* of the values' */
    size_t parent; /* bytes of the path up to its last slash */
    mn_id_t store;
    used_t *used;
    pthread_mutex_t mutex;
    wait_t *waits;    /* were put */
    litter_t *litter; /* under the mutex, as these two */
    uint64_t included, including;
    wait_t *group; /* the keeper's: are being written */
    bool unsynced; /* the keeper's: names that are not on the disk yet */
    bool unsure;   /* the main thread's: there was no memory for a name that is in use */
};

int mni_files_create(const char *path, mn_id_t store, mni_files_t **files)
{
    mni_files_t *made = calloc(1, sizeof *made);
    size_t length = strlen(path);

    if (made && (made->path = strdup(path)) && (made->folder = malloc(length + sizeof SUFFIX))) {
        snprintf(made->folder, length + sizeof SUFFIX, "%s" SUFFIX, path);
        made->parent = (size_t)(strrchr(path, '/') - path);
        made->store = store;
        pthread_mutex_init(&made->mutex, NULL);
        *files = made;
        return 0;
    }
    if (made)
        free(made->path);
    free(made);
    return mni_error(MN_E_NO_MEMORY, "no memory for the store");
}

static void waits_free(wait_t **waits)
{
    for (wait_t *wait; (wait = *waits);) {
        DL_DELETE(*waits, wait);
        mni_shared_release(wait->bytes);
        free(wait);
    }
}

static void litter_free(litter_t **list)
{
    for (litter_t *litter; (litter = *list);) {
        DL_DELETE(*list, litter);
        free(litter);
    }
}

void mni_files_none(mni_files_t *files)
{
    used_t *used, *next;

    litter_free(&files->litter);
    HASH_ITER (hh, files->used, used, next) {
        HASH_DELETE(hh, files->used, used);
        free(used->name[0]);
        free(used->name[1]);
        free(used);
    }
}

void mni_files_destroy(mni_files_t *files)
{
    if (!files)
        return;
    waits_free(&files->waits);
    waits_free(&files->group);
    mni_files_none(files);
    pthread_mutex_destroy(&files->mutex);
    free(files->folder);
    free(files->path);
    free(files);
}

int mni_files_check(const mni_files_t *files)
{
    struct stat status;

    if (stat(files->folder, &status) < 0)
        return errno == ENOENT ? 0
                               : mni_error(MN_E_STORE, "cannot look at the folder %.300s: %s",
                                           files->folder, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return mni_error(MN_E_STORE,
                         "%.300s is not a folder, and large values of the store belong there: move "
                         "it away or give another --store",
                         files->folder);
    if (access(files->folder, R_OK | W_OK | X_OK) < 0)
        return mni_error(MN_E_STORE, "the folder %.300s of the store's values cannot be used: %s",
                         files->folder, strerror(errno));
    return 0;
}

void mni_files_name(const mni_files_t *files, const mni_value_owner_t *owner, char *name,
                    size_t size)
{
    char own[MNI_VALUE_NAME];
    mni_value_name(owner, own);
    snprintf(name, size, "%s/%s", files->folder + files->parent + 1, own);
}

/* A folder of ours, a slash, a file of ours: names come from files, which may say anything. */
static bool name_is_ours(const char *name)
{
    const char *slash = strchr(name, '/');
    size_t suffix = sizeof SUFFIX - 1;
    return slash && (size_t)(slash - name) > suffix &&
           memcmp(slash - suffix, SUFFIX, suffix) == 0 && mni_value_name_is(slash + 1);
}

int mni_files_path(const mni_files_t *files, const char *name, char *path, size_t size)
{
    if (!name_is_ours(name))
        return mni_error(MN_E_STORE, "%.300s is no name of a file with a value", name);
    if ((size_t)snprintf(path, size, "%.*s/%s", (int)files->parent, files->path, name) >= size)
        return mni_error(MN_E_STORE, "the path of the file %.300s is too long", name);
    return 0;
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

int mni_files_put(mni_files_t *files, const mni_value_owner_t *owner, const mn_value_t *value,
                  mni_shared_t *bytes)
{
    wait_t *wait = malloc(sizeof *wait);
    if (!wait)
        return mni_error(MN_E_NO_MEMORY, "no memory to write a large value");
    *wait = (wait_t){.owner = *owner, .value = *value, .bytes = mni_shared_share(bytes)};
    wait->value.data = mni_shared_bytes(bytes);
    pthread_mutex_lock(&files->mutex);
    DL_APPEND(files->waits, wait);
    pthread_mutex_unlock(&files->mutex);
    return 0;
}

/* Values have the permissions of the HDF5 file. The folder is made when the first of them is written. */
static int prepare(mni_files_t *files, mode_t *mode)
{
    struct stat status;
    char parent[PATH_MAX];

    *mode = stat(files->path, &status) == 0 ? status.st_mode & 0666 : 0600;
    if (mkdir(files->folder, 0700) < 0) {
        if (errno == EEXIST)
            return 0;
        return mni_error(MN_E_STORE, "the folder %.300s for large values cannot be made: %s",
                         files->folder, strerror(errno));
    }
    if (chmod(files->folder, 0700 | *mode | (*mode & 0444) >> 2) < 0)
        return mni_error(MN_E_STORE, "the folder %.300s: %s", files->folder, strerror(errno));
    snprintf(parent, sizeof parent, "%.*s/", (int)files->parent, files->path);
    return mni_folder_sync(parent);
}

static int write_value(mni_files_t *files, const mni_value_owner_t *owner, const mn_value_t *value,
                       bool sync)
{
    char name[MNI_VALUE_NAME];
    mode_t mode;
    int rc = prepare(files, &mode);

    if (rc < 0)
        return rc;
    mni_value_name(owner, name);
    return mni_value_write(files->folder, name, mode, owner, value, sync);
}

int mni_files_write(mni_files_t *files, bool sync)
{
    int rc = 0;

    pthread_mutex_lock(&files->mutex);
    DL_CONCAT(files->group, files->waits);
    files->waits = NULL;
    pthread_mutex_unlock(&files->mutex);
    for (wait_t *wait; (wait = files->group);) {
        if ((rc = write_value(files, &wait->owner, &wait->value, sync)) < 0)
            return rc;
        files->unsynced = true;
        DL_DELETE(files->group, wait);
        mni_shared_release(wait->bytes);
        free(wait);
    }
    if (files->unsynced && sync && (rc = mni_folder_sync(files->folder)) < 0)
        return mni_error_prefix(rc, "what is new in the folder %.300s", files->folder);
    files->unsynced = false;
    return 0;
}

int mni_files_write_now(mni_files_t *files, const mni_value_owner_t *owner, const mn_value_t *value,
                        char *name, size_t size)
{
    int rc = write_value(files, owner, value, true);

    if (rc == 0 && (rc = mni_folder_sync(files->folder)) < 0)
        return mni_error_prefix(rc, "what is new in the folder %.300s", files->folder);
    if (rc == 0)
        mni_files_name(files, owner, name, size);
    return rc;
}

/* --- what is in use --------------------------------------------------------------------------------------------------- */

static used_t *used_of(mni_files_t *files, mn_id_t job, bool make)
{
    used_t *used = NULL;

    HASH_FIND(hh, files->used, &job, sizeof job, used);
    if (!used && make && (used = calloc(1, sizeof *used))) {
        used->job = job;
        HASH_ADD(hh, files->used, job, sizeof used->job, used);
        if (MNI_HASH_FAILED(used)) {
            free(used);
            used = NULL;
        }
    }
    return used;
}

/* The file is not to be deleted before the record `replaced` is kept. */
static int discard(mni_files_t *files, const char *name, uint64_t named, uint64_t replaced)
{
    size_t length = strlen(name) + 1;
    litter_t *litter = malloc(sizeof *litter + length);
    if (!litter)
        return mni_error(MN_E_NO_MEMORY, "no memory for the name of a file");
    *litter = (litter_t){.named = named, .replaced = replaced};
    memcpy(litter->name, name, length);
    pthread_mutex_lock(&files->mutex);
    DL_APPEND(files->litter, litter);
    pthread_mutex_unlock(&files->mutex);
    return 0;
}

static int assign(mni_files_t *files, mn_id_t job, mni_value_role_t role, const char *name,
                  uint64_t number)
{
    unsigned at = role == MNI_VALUE_RESULT;
    char *copy = NULL;

    if (!name && !files->used) /* as nearly always */
        return 0;
    used_t *used = used_of(files, job, name != NULL);
    if (!used)
        return name ? mni_error(MN_E_NO_MEMORY, "no memory for the name of a file") : 0;
    if (name && !(copy = strdup(name)))
        return mni_error(MN_E_NO_MEMORY, "no memory for the name of a file");
    char *before = used->name[at];
    uint64_t named = used->named[at];
    used->name[at] = copy;
    used->named[at] = number;
    if (!used->name[0] && !used->name[1]) {
        HASH_DELETE(hh, files->used, used);
        free(used);
    }
    int rc =
        before && (!name || strcmp(before, name) != 0) ? discard(files, before, named, number) : 0;
    free(before);
    return rc;
}

int mni_files_assign(mni_files_t *files, mn_id_t job, mni_value_role_t role, const char *name,
                     uint64_t number)
{
    int rc = assign(files, job, role, name, number);
    files->unsure |= rc < 0;
    return rc;
}

const char *mni_files_named(const mni_files_t *files, mn_id_t job, mni_value_role_t role)
{
    used_t *used = NULL;

    if (files->used)
        HASH_FIND(hh, files->used, &job, sizeof job, used);
    return used ? used->name[role == MNI_VALUE_RESULT] : NULL;
}

uint64_t mni_files_result_named(mni_files_t *files, mn_id_t job)
{
    const used_t *used = files->used ? used_of(files, job, false) : NULL;
    return used && used->name[1] ? used->named[1] : 0;
}

/* --- deleting --------------------------------------------------------------------------------------------------------- */

static bool is_needed(const mni_files_t *files, const litter_t *litter, uint64_t kept)
{
    if (litter->replaced > kept)
        return true;
    if (litter->replaced <= files->included)
        return false;
    return litter->named <= files->included || litter->named <= files->including;
}

void mni_files_delete(mni_files_t *files, uint64_t kept)
{
    litter_t *litter, *next, *gone = NULL;
    char path[PATH_MAX];

    pthread_mutex_lock(&files->mutex);
    DL_FOREACH_SAFE (files->litter, litter, next)
        if (!is_needed(files, litter, kept)) {
            DL_DELETE(files->litter, litter);
            DL_APPEND(gone, litter);
        }
    pthread_mutex_unlock(&files->mutex);
    DL_FOREACH (gone, litter)
        if (mni_files_path(files, litter->name, path, sizeof path) == 0)
            unlink(path); /* what stays is found at the next start */
    litter_free(&gone);
}

static bool is_listed(mni_files_t *files, const char *name)
{
    const litter_t *litter;
    bool listed = false;

    pthread_mutex_lock(&files->mutex);
    DL_FOREACH (files->litter, litter)
        listed = listed || strcmp(litter->name, name) == 0;
    pthread_mutex_unlock(&files->mutex);
    return listed;
}

/* Whether somebody needs the file, given by its name in the folder. */
static bool is_used(mni_files_t *files, const char *own)
{
    char id[MN_ID_TEXT], name[PATH_MAX];
    mn_id_t job;

    memcpy(id, own, sizeof id - 1);
    id[sizeof id - 1] = '\0';
    if (mn_id_parse(id, &job) < 0)
        return true;
    snprintf(name, sizeof name, "%s/%s", files->folder + files->parent + 1, own);
    const used_t *used = used_of(files, job, false);
    for (int i = 0; used && i < 2; i++)
        if (used->name[i] && strcmp(used->name[i], name) == 0)
            return true;
    return is_listed(files, name);
}

void mni_files_sweep(mni_files_t *files)
{
    DIR *folder = files->unsure ? NULL : opendir(files->folder);
    const struct dirent *entry;

    if (!folder)
        return;
    while ((entry = readdir(folder)))
        if (mni_value_name_is(entry->d_name) && !is_used(files, entry->d_name))
            unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    rmdir(files->folder); /* when it is empty */
}

void mni_files_included(mni_files_t *files, uint64_t number)
{
    pthread_mutex_lock(&files->mutex);
    files->included = number;
    files->including = 0;
    pthread_mutex_unlock(&files->mutex);
}

void mni_files_including(mni_files_t *files, uint64_t number)
{
    pthread_mutex_lock(&files->mutex);
    files->including = number;
    pthread_mutex_unlock(&files->mutex);
}
