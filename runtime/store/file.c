/* SPDX-License-Identifier: MIT
 *
 * A store's HDF5 file written whole, from records that are given.
 */
#include "store/internal.h"

#include "store/points.h"

#include <limits.h>
#include <string.h>

size_t mni_large_least = MNI_STORE_LARGE;

/* A large value that is in memory goes to its file first; `name` says which. */
static int value_apart(const mni_place_t *place, const mni_value_owner_t *owner,
                       const mn_value_t *value, char name[PATH_MAX], const char **file)
{
    int rc;

    if (*file != NULL || value->size <= mni_large_least)
        return 0;
    if ((rc = mni_files_write_now(place->files, owner, value, name, PATH_MAX)) == 0 &&
        (rc = mni_files_assign(place->files, owner->job, owner->role, name, 0)) == 0)
        *file = name;
    return rc;
}

static int add(mni_target_t *target, const mni_place_t *place, mni_store_record_t record)
{
    char input[PATH_MAX], result[PATH_MAX];
    mni_value_owner_t owner = {.store = place->id, .job = record.info.id, .role = MNI_VALUE_INPUT};
    int rc = value_apart(place, &owner, &record.input, input, &record.input_file);

    owner.role = MNI_VALUE_RESULT;
    owner.number = record.info.yields;
    if (rc == 0)
        rc = value_apart(place, &owner, &record.info.result, result, &record.result_file);
    return rc < 0 ? rc : mni_target_add(target, &record);
}

int mni_file_write(const mni_place_t *place, uint64_t included, mni_store_visit_t *visit,
                   void *argument)
{
    mni_target_t *target = NULL;
    mni_store_record_t record;
    int rc = mni_target_create(place, &target);

    if (rc < 0)
        return rc;
    while (rc == 0) {
        memset(&record, 0, sizeof record);
        int more = visit(argument, &record);
        if (more <= 0) {
            rc = more;
            break;
        }
        rc = add(target, place, record);
    }
    return mni_target_finish(target, included, rc);
}
