/* SPDX-License-Identifier: MIT
 *
 * See large.h.
 */
#include "store/large.h"

#include "store/internal.h"
#include "store/points.h"
#include "util/error.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct mni_large {
    mn_value_t value;    /* data NULL */
    mni_shared_t *bytes; /* NULL: in the file only */
    const mni_files_t *files;
    char *file;              /* NULL: the store has not been told */
    mni_value_owner_t owner; /* when it has */
    uint64_t kept_with;      /* number of the record that names the file */
    mni_large_t *prev, *next,
        **list; /* of those that are in memory and are being kept; NULL: not among them */
};

int mni_large_create(mn_value_t value, mni_large_t **large)
{
    mni_large_t *made = calloc(1, sizeof *made);

    if (!made || !(made->bytes = mni_shared_create(value.data, value.size))) {
        free(made);
        return mni_error(MN_E_NO_MEMORY, "no memory for a value of %zu bytes", value.size);
    }
    made->value = value;
    made->value.data = NULL;
    *large = made;
    return 0;
}

int mni_large_restore(const mni_store_t *store, const mni_store_record_t *record, bool input,
                      mni_large_t **large)
{
    mni_large_t *made = calloc(1, sizeof *made);

    if (!made || !(made->file = strdup(input ? record->input_file : record->result_file))) {
        free(made);
        return mni_error(MN_E_NO_MEMORY, "no memory for the jobs of the store");
    }
    made->value = input ? record->input : record->info.result;
    made->files = store->place.files;
    made->owner = (mni_value_owner_t){.job = record->info.id,
                                      .role = input ? MNI_VALUE_INPUT : MNI_VALUE_RESULT};
    *large = made;
    return 0;
}

int mni_store_value_read(const mni_store_t *store, const mni_store_record_t *record, bool input,
                         mn_value_t *value)
{
    mni_value_owner_t owner = {.job = record->info.id,
                               .role = input ? MNI_VALUE_INPUT : MNI_VALUE_RESULT};
    char path[PATH_MAX];
    int rc = mni_files_path(store->place.files, input ? record->input_file : record->result_file,
                            path, sizeof path);

    return rc < 0 ? rc : mni_value_read(path, &owner, value);
}

void mni_large_destroy(mni_large_t *large)
{
    if (!large)
        return;
    if (large->list)
        DL_DELETE(*large->list, large);
    mni_shared_release(large->bytes);
    free(large->file);
    free(large);
}

mn_value_t mni_large_value(const mni_large_t *large)
{
    mn_value_t value = large->value;
    if (large->bytes)
        value.data = mni_shared_bytes(large->bytes);
    return value;
}

const char *mni_large_file(const mni_large_t *large)
{
    return large->bytes ? NULL : large->file;
}

int mni_large_view(const mni_large_t *large, mn_value_t *value, void **buffer)
{
    char path[PATH_MAX];
    mn_value_t read;
    int rc;

    *buffer = NULL;
    if (large->bytes) {
        *value = mni_large_value(large);
        return 0;
    }
    if ((rc = mni_files_path(large->files, large->file, path, sizeof path)) < 0 ||
        (rc = mni_value_read(path, &large->owner, &read)) < 0)
        return rc;
    *buffer = (void *)read.data;
    *value = read;
    return 0;
}

/* --- for store.c ------------------------------------------------------------------------------------------------------ */

const char *mni_large_name(const mni_large_t *large)
{
    return large->file;
}

int mni_large_tell(mni_large_t *large, mni_store_t *store, const mni_value_owner_t *owner)
{
    char name[PATH_MAX];
    int rc;

    if (large->file)
        return 0;
    mni_files_name(store->place.files, owner, name, sizeof name);
    if (!(large->file = strdup(name)))
        return mni_error(MN_E_NO_MEMORY, "no memory for the name of a file");
    large->files = store->place.files;
    large->owner = *owner;
    if ((rc = mni_files_put(store->place.files, owner, &large->value, large->bytes)) < 0) {
        free(large->file);
        large->file = NULL; /* nobody will write it */
    }
    return rc;
}

void mni_large_told(mni_large_t *large, mni_store_t *store, uint64_t number)
{
    if (!large->bytes || large->list)
        return;
    large->kept_with = number;
    large->list = &store->larges;
    DL_APPEND(store->larges, large);
}

void mni_larges_settle(mni_store_t *store)
{
    uint64_t kept;

    if (!store->larges)
        return;
    kept = mni_store_kept(store);
    for (mni_large_t *large; (large = store->larges) && large->kept_with <= kept;) {
        DL_DELETE(store->larges, large);
        large->list = NULL;
        mni_shared_release(large->bytes);
        large->bytes = NULL;
    }
}
