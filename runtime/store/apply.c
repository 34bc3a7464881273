/* SPDX-License-Identifier: MIT
 *
 * What a window of the journal makes of the file that is being made: rows are added, changed where they are, and removed, in which
 * case the last rows move into the holes.
 */
#include "store/internal.h"

#include "store/changes.h"
#include "store/points.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* A row that is touched; what is done with it. */
typedef struct touch {
    uint32_t row;
    const mni_window_item_t *item;
} touch_t;

typedef struct touches {
    touch_t *changed, *removed; /* by row, once sorted */
    size_t changed_count, removed_count;
} touches_t;

static int by_row(const void *left, const void *right)
{
    const touch_t *a = left, *b = right;
    return a->row < b->row ? -1 : a->row > b->row;
}

/* The rows of the file that were there before get into the index when the first of them is wanted; those that were added since are
 * in it. */
static int index_make(mni_target_t *target)
{
    int rc = target->indexed ? 0 : mni_table_index(&target->table, &target->rows);
    target->indexed |= rc == 0;
    return rc;
}

/* --- changes ---------------------------------------------------------------------------------- */

/* Applies what the journal says to a row that was read. */
static int change(mni_target_t *target, const mni_window_item_t *item, const mni_row_t *before,
                  mni_row_t *row)
{
    mni_store_record_t record, changes;
    int rc;

    if ((rc = mni_row_record(before, &record)) < 0 || (rc = mni_window_record(item, &changes)) < 0)
        return rc;
    mn_status_t status = record.info.status;
    mni_change_merge(&record, item->set, &changes);
    *row = *before;
    return mni_target_set(target, row, &record, item->set & MNI_CHANGE_BIT(MNI_CHANGE_VALUE),
                          status != record.info.status);
}

/* Changes rows of one chunk of the table. Texts are written only where there are others than before: in the file each new one takes
 * a place of its own. */
static int change_chunk(mni_target_t *target, const touch_t *touches, size_t count)
{
    static const size_t room = MNI_TABLE_CHUNK;
    uint32_t first = touches[0].row;
    uint64_t span = (uint64_t)touches[count - 1].row - first + 1;
    mni_row_t *before = calloc(2 * room, sizeof *before), *after = before + room;
    int rc;

    if (before == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory to change the table of jobs");
    if ((rc = mni_table_read(&target->table, first, span, before)) < 0) {
        free(before);
        return rc;
    }
    memcpy(after, before, span * sizeof *before);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint32_t at = touches[i].row - first;
        rc = change(target, touches[i].item, &before[at], &after[at]);
    }
    if (rc == 0)
        rc = mni_table_write(&target->table, MNI_ROW_FIXED, first, span, after);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint32_t at = touches[i].row - first;
        if (mni_row_same_texts(&before[at], &after[at]))
            continue;
        target->dead += mni_row_text_space(&before[at]);
        rc = mni_table_write(&target->table, MNI_ROW_WHOLE, touches[i].row, 1, &after[at]);
    }
    mni_table_reclaim(&target->table, before, span);
    free(before);
    return rc;
}

static int change_all(mni_target_t *target, const touches_t *touches)
{
    const touch_t *changed = touches->changed;
    int rc = 0;

    for (size_t begin = 0, end; rc == 0 && begin < touches->changed_count; begin = end) {
        for (end = begin + 1;
             end < touches->changed_count &&
             changed[end].row / MNI_TABLE_CHUNK == changed[begin].row / MNI_TABLE_CHUNK;)
            end++;
        rc = change_chunk(target, changed + begin, end - begin);
        if (rc == 0 && mni_sink_error(target->sink) != 0)
            rc = MN_E_STORE;
    }
    return rc;
}

/* --- removals --------------------------------------------------------------------------------- */

static uint64_t pool_space(const char type[8], uint32_t count)
{
    int of = type[0] == '\0' ? -1 : mni_pool_type(type);
    return of < 0 ? 0 : count * mn_type_size((mn_type_t)of);
}

/* What a row had besides itself is given back, or counted. */
static int forget(mni_target_t *target, const touch_t *touch)
{
    const mn_id_t id = touch->item->id;
    mni_row_t row = {.grouped = 0};
    int rc = mni_table_read(&target->table, touch->row, 1, &row);

    if (rc < 0)
        return rc;
    target->dead += mni_row_text_space(&row) + pool_space(row.input_type, row.input_count) +
                    pool_space(row.result_type, row.result_count);
    mni_ids_remove(&target->rows, id);
    rc = row.grouped ? mni_data_remove(&target->data, id) : 0;
    mni_table_reclaim(&target->table, &row, 1);
    return rc;
}

static int move(mni_target_t *target, uint64_t from, uint64_t to)
{
    mni_row_t row = {.grouped = 0};
    char text[MN_ID_TEXT] = "";
    mn_id_t id;
    int rc = mni_table_read(&target->table, from, 1, &row);

    if (rc < 0)
        return rc;
    target->ordered = false;
    memcpy(text, row.id, sizeof row.id);
    target->dead += mni_row_text_space(&row);
    if (mn_id_parse(text, &id) < 0)
        rc = mni_error(MN_E_STORE, "a row of the table of jobs has no id: it is damaged");
    else if ((rc = mni_table_write(&target->table, MNI_ROW_WHOLE, to, 1, &row)) == 0)
        rc = mni_ids_put(&target->rows, id, (uint32_t)to);
    mni_table_reclaim(&target->table, &row, 1);
    return rc;
}

static int remove_all(mni_target_t *target, const touches_t *touches)
{
    const touch_t *removed = touches->removed;
    size_t count = touches->removed_count, tail = 0;
    uint64_t left = target->table.count - count, from = left;
    int rc = 0;

    if (count == 0)
        return 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = forget(target, &removed[i]);
    while (tail < count && removed[tail].row < left)
        tail++; /* those from here on are behind the new end, and leave no hole */
    for (size_t hole = 0, gone = tail; rc == 0 && hole < tail; hole++, from++) {
        for (; gone < count && removed[gone].row == from; gone++)
            from++;
        rc = move(target, from, removed[hole].row);
    }
    return rc < 0 ? rc : mni_table_shrink(&target->table, left);
}

/* --- a window --------------------------------------------------------------------------------- */

static int sort_out(mni_target_t *target, const mni_window_t *window, touches_t *touches)
{
    mni_store_record_t record;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < window->count; i++) {
        const mni_window_item_t *item = mni_window_item(window, i);
        bool started = item->set & MNI_CHANGE_BIT(MNI_CHANGE_START);
        if (started && !item->removed && (rc = mni_window_record(item, &record)) == 0)
            rc = mni_target_add(target, &record);
        if (started || (rc = index_make(target)) < 0)
            continue;
        /* without a row it is a job whose start is lost: recovery has told of it */
        uint32_t row = mni_ids_find(&target->rows, item->id);
        if (row != MNI_IDS_NONE && item->removed)
            touches->removed[touches->removed_count++] = (touch_t){row, item};
        else if (row != MNI_IDS_NONE)
            touches->changed[touches->changed_count++] = (touch_t){row, item};
    }
    return rc;
}

int mni_target_apply(mni_target_t *target, const mni_window_t *window)
{
    touches_t touches = {.changed = reallocarray(NULL, window->count + 1, sizeof(touch_t)),
                         .removed = reallocarray(NULL, window->count + 1, sizeof(touch_t))};
    int rc;

    if (touches.changed == NULL || touches.removed == NULL) {
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the changes of %zu jobs", window->count);
        goto cleanup;
    }
    if ((rc = sort_out(target, window, &touches)) < 0 || (rc = mni_table_flush(&target->table)) < 0)
        goto cleanup;
    qsort(touches.changed, touches.changed_count, sizeof(touch_t), by_row);
    qsort(touches.removed, touches.removed_count, sizeof(touch_t), by_row);
    if ((rc = change_all(target, &touches)) == 0)
        rc = remove_all(target, &touches);
cleanup:
    free(touches.changed);
    free(touches.removed);
    return rc;
}
