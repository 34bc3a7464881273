/* SPDX-License-Identifier: MIT
 *
 * A part of the journal as what it makes of each job in all. Pure.
 */
#include "store/internal.h"

#include "store/changes.h"
#include "store/points.h"
#include "util/error.h"

#include <inttypes.h>
#include <stdlib.h>

mni_window_item_t *mni_window_find(const mni_window_t *window, mn_id_t id)
{
    uint32_t at = mni_ids_find(&window->index, id);
    return at == MNI_IDS_NONE ? NULL : &window->items[at];
}

static mni_window_item_t *add(mni_window_t *window, mn_id_t id, uint64_t number)
{
    if (window->count == window->room) {
        size_t room = window->room == 0 ? 64 : window->room * 2;
        mni_window_item_t *grown = reallocarray(window->items, room, sizeof *grown);
        if (grown == NULL) {
            mni_error(MN_E_NO_MEMORY, "no memory for the changes of %zu jobs", room);
            return NULL;
        }
        window->items = grown;
        window->room = room;
    }
    if (mni_ids_put(&window->index, id, (uint32_t)window->count) < 0)
        return NULL;
    mni_window_item_t *item = &window->items[window->count++];
    *item = (mni_window_item_t){.record.info.id = id, .number = number};
    return item;
}

int mni_window_add(mni_window_t *window, const mni_journal_record_t *change)
{
    mn_id_t id;
    int rc;

    if (!mni_change_id(change, &id))
        return mni_error(MN_E_STORE, "record %" PRIu64 " of the journal names no job",
                         change->number);
    mni_window_item_t *item = mni_window_find(window, id);
    if (item == NULL && (item = add(window, id, change->number)) == NULL)
        return MN_E_NO_MEMORY;
    if (item->removed)
        return 0;
    if ((rc = mni_change_apply(change, &item->record)) < 0)
        return rc;
    if (change->type == MNI_CHANGE_REMOVE)
        item->removed = true;
    item->set |= mni_change_set(change);
    return 0;
}

void mni_window_clear(mni_window_t *window)
{
    window->count = 0;
    mni_ids_clear(&window->index);
}

void mni_window_fini(mni_window_t *window)
{
    free(window->items);
    mni_ids_fini(&window->index);
    *window = (mni_window_t){0};
}
