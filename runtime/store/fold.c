/* SPDX-License-Identifier: MIT
 *
 * The fold: the journal's changes are brought into the HDF5 file, from the two files alone, and then a journal can follow that does
 * not have them. Each step may be the last one before a crash: the file says which changes it includes, so that a journal which
 * still has them does no harm. Whoever calls it holds HDF5 (see hdf5.c).
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

size_t mni_window_jobs = (size_t)128 << 10;

/* A file is rebuilt when more than 30 in 100 of its bytes are free or dead, unless it is small anyway. */
#define WASTE_SHARE 0.3
#define WASTE_LEAST ((uint64_t)1 << 20)

bool mni_fold_wasteful(const char *path)
{
    hid_t file = mni_file_open(path);
    uint64_t dead = 0;
    hsize_t size = 0;
    bool wasteful = false;

    if (file < 0)
        return false;
    hssize_t unused = H5Fget_freespace(file);
    if (H5Fget_filesize(file, &size) >= 0 && unused >= 0 && mni_file_get(file, "dead", &dead) == 0)
        wasteful = (double)unused + (double)dead > WASTE_SHARE * (double)size &&
                   (uint64_t)unused + dead > WASTE_LEAST;
    H5Fclose(file);
    return wasteful;
}

static int take(void *argument, const mni_store_record_t *record)
{
    return mni_target_add(argument, record);
}

typedef struct inside {
    const mni_place_t *place;
    mni_target_t *target;
} inside_t;

/* Reads a value that lies in a file of its own. */
static int fetch(const inside_t *inside, const mni_value_owner_t *owner, const char **file,
                 mn_value_t *value)
{
    char path[PATH_MAX];
    int rc;

    if (*file == NULL)
        return 1;
    if ((rc = mni_files_path(inside->place->files, *file, path, sizeof path)) < 0 ||
        (rc = mni_value_read(path, owner, value)) < 0)
        return rc;
    *file = NULL;
    return 0;
}

/* As take(), with large values. */
static int take_inside(void *argument, const mni_store_record_t *record)
{
    inside_t *inside = argument;
    mni_value_owner_t owner = {.job = record->info.id, .role = MNI_VALUE_INPUT};
    mni_store_record_t whole = *record;
    int input = fetch(inside, &owner, &whole.input_file, &whole.input), result = 1, rc = input;

    owner.role = MNI_VALUE_RESULT;
    if (rc >= 0)
        rc = result = fetch(inside, &owner, &whole.result_file, &whole.info.result);
    if (rc >= 0)
        rc = mni_target_add(inside->target, &whole);
    if (input == 0)
        mn_value_destroy(&whole.input);
    if (result == 0)
        mn_value_destroy(&whole.info.result);
    return rc;
}

int mni_fold_inside(const mni_place_t *place, uint64_t included)
{
    inside_t inside = {.place = place};
    int rc = mni_target_create(place, &inside.target);

    if (rc < 0)
        return rc;
    hid_t file = mni_file_open(place->path);
    if (file < 0)
        rc = mni_store_error("%.300s cannot be read", place->path);
    else {
        rc = mni_file_each(file, MNI_STORE_FORMAT, take_inside, &inside);
        H5Fclose(file);
    }
    return mni_target_finish(inside.target, included, rc);
}

/* A new file with all that is in the present one. */
static int rebuild_make(const mni_place_t *place, int format, mni_target_t **target)
{
    int rc = mni_target_create(place, target);
    hid_t file = -1;

    if (rc < 0)
        return rc;
    file = mni_file_open(place->path);
    if (file < 0)
        rc = mni_store_error("%.300s cannot be read", place->path);
    else {
        rc = mni_file_each(file, format, take, *target);
        H5Fclose(file);
    }
    if (rc < 0) {
        rc = mni_target_finish(*target, 0, rc);
        *target = NULL;
    }
    return rc;
}

/* Applies the records with the numbers from `included` + 1 to `upto`. */
static int apply(mni_target_t *target, const mni_journal_map_t *map, uint64_t included,
                 uint64_t upto)
{
    mni_journal_cursor_t cursor = mni_journal_start(map);
    mni_journal_record_t record;
    mni_window_t window = {0};
    int rc = 0;

    while (rc == 0 && cursor.next <= upto && mni_journal_next(map, &cursor, &record) &&
           record.number <= upto) {
        if (record.number > included)
            rc = mni_window_add(&window, &record);
        if (rc == 0 && window.count >= mni_window_jobs) {
            rc = mni_target_apply(target, &window);
            mni_window_clear(&window);
        }
    }
    if (rc == 0 && cursor.next <= upto)
        rc = mni_error(MN_E_STORE, "the journal does not have the changes from %" PRIu64 " on",
                       cursor.next);
    if (rc == 0)
        rc = mni_target_apply(target, &window);
    mni_window_fini(&window);
    return rc;
}

int mni_fold(const mni_place_t *place, uint64_t included, uint64_t upto, bool rebuild)
{
    mni_journal_map_t *map = NULL;
    mni_target_t *target = NULL;
    uint64_t there = 0;
    bool has_id = false;
    mn_id_t id;
    int rc, format = 0;

    if ((rc = mni_file_identity(place->path, &format, &has_id, &id, &there)) < 0)
        return rc;
    /* an early version gave none; with more than `included` it is that of a fold that failed when the file was in its place already */
    if (has_id ? !mn_id_equal(id, place->id) || there < included || there > upto : included != 0)
        return mni_error(MN_E_STORE,
                         "the store %.300s is not the file any more that this runtime opened: it "
                         "is not touched",
                         place->path);
    if (has_id)
        included = there;
    if (upto > included && (rc = mni_journal_map(place->journal, place->id, &map)) < 0)
        return rc;
    rebuild |= format < MNI_STORE_FORMAT || mni_fold_wasteful(place->path);
    rc = rebuild ? rebuild_make(place, format, &target) : mni_target_copy(place, &target);
    if (rc == 0 && map != NULL)
        rc = apply(target, map, included, upto);
    if (target != NULL)
        rc = mni_target_finish(target, upto, rc);
    mni_journal_unmap(map);
    return rc;
}

int mni_fold_follow(const mni_place_t *place, uint64_t included, uint64_t upto,
                    mni_journal_t **follower, mni_journal_cursor_t *cursor)
{
    mni_journal_map_t *map = NULL;
    mni_journal_t *made = NULL;
    char *path = NULL;
    int rc;

    if (asprintf(&path, "%s.new", place->journal) < 0)
        return mni_error(MN_E_NO_MEMORY, "no memory for the journal that follows");
    unlink(path); /* of a runtime that was killed */
    if ((rc = mni_journal_map(place->journal, place->id, &map)) == 0 &&
        (rc = mni_journal_create(path, place->id, included + 1, &made)) == 0) {
        mni_journal_share(made, place->path);
        *cursor = mni_journal_start(map);
        rc = mni_journal_copy(made, map, cursor, upto);
    }
    mni_journal_unmap(map);
    free(path);
    if (rc < 0) {
        mni_journal_drop(made);
        return rc;
    }
    *follower = made;
    return 0;
}
