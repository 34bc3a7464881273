/* SPDX-License-Identifier: MIT
 *
 * A store's HDF5 file written whole, from records that are given.
 */
#include "store/internal.h"

#include <string.h>

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
        rc = mni_target_add(target, &record);
    }
    return mni_target_finish(target, included, rc);
}
