/* SPDX-License-Identifier: MIT
 *
 * A store written anew without a runtime. The caller's thread, which locks the store meanwhile.
 */
#include "store/read.h"

#include "store/internal.h"
#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t size_of(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
}

static int take_nothing(void *argument, const mni_store_record_t *record)
{
    (void)argument, (void)record;
    return 0;
}

/* Reads all of it: what is damaged would be gone in the new file. */
static int refuse_damage(mni_store_t *store)
{
    int rc = mni_store_recover(store, take_nothing, NULL);

    if (rc == 0 && mni_store_damage(store) != NULL)
        rc = mni_error(MN_E_STORE,
                       "the store %.300s is damaged, and was not written, since what is damaged "
                       "would be gone then; multinode check tells what it is",
                       store->place.path);
    return rc;
}

int mni_store_compact(const char *path, bool inside, uint64_t *before, uint64_t *after)
{
    mni_store_t *store = NULL;
    int rc;

    if (access(path, F_OK) < 0 && errno == ENOENT)
        return mni_error(MN_E_STORE, "there is no file %.300s", path);
    if ((rc = mni_store_open(path, &store)) < 0)
        return rc;
    uint64_t bytes = size_of(store->place.path) + size_of(store->place.journal);
    if (!store->exists)
        rc = mni_error(MN_E_STORE, "there is no file %.300s", store->place.path);
    else if ((rc = refuse_damage(store)) == 0 && (rc = mni_store_rebuild(store, inside)) == 0) {
        *before = bytes;
        *after = size_of(store->place.path);
    }
    mni_store_close(store);
    return rc;
}
