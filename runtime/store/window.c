/* SPDX-License-Identifier: MIT
 *
 * A part of the journal as what it makes of each job in all. Pure.
 */
#include "store/internal.h"

#include "store/changes.h"
#include "store/points.h"
#include "util/error.h"
#include "util/pages.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (MNI_PAGE / sizeof(mni_window_item_t))

mni_window_item_t *mni_window_item(const mni_window_t *window, size_t i)
{
    return &window->blocks[i / BLOCK][i % BLOCK];
}

mni_window_item_t *mni_window_find(const mni_window_t *window, mn_id_t id)
{
    uint32_t at = mni_ids_find(&window->index, id);
    return at == MNI_IDS_NONE ? NULL : mni_window_item(window, at);
}

/* One block more; the first one is in pages of the usual size, since most windows are small. */
static bool grow(mni_window_t *window)
{
    mni_window_item_t **grown =
        reallocarray(window->blocks, window->block_count + 1, sizeof *grown);

    if (grown == NULL)
        return false;
    window->blocks = grown;
    grown[window->block_count] = mni_pages_map(MNI_PAGE, window->block_count == 0 ? MNI_PAGE : 0);
    if (grown[window->block_count] == NULL)
        return false;
    window->block_count++;
    return true;
}

static mni_window_item_t *add(mni_window_t *window, mn_id_t id, uint64_t number)
{
    if (window->count == window->block_count * BLOCK && !grow(window)) {
        mni_error(MN_E_NO_MEMORY, "no memory for the changes of %zu jobs", window->count + 1);
        return NULL;
    }
    if (mni_ids_put(&window->index, id, (uint32_t)window->count) < 0)
        return NULL;
    mni_window_item_t *item = mni_window_item(window, window->count++);
    *item = (mni_window_item_t){.id = id, .number = number};
    return item;
}

int mni_window_add(mni_window_t *window, const mni_journal_record_t *change)
{
    mn_id_t id;

    if (!mni_change_id(change, &id))
        return mni_error(MN_E_STORE, "record %" PRIu64 " of the journal names no job",
                         change->number);
    if (change->ahead != NULL) {
        mn_id_t next;
        memcpy(next.bytes, change->ahead, sizeof next.bytes);
        mni_ids_expect(&window->index, next);
    }
    mni_window_item_t *item = mni_window_find(window, id);
    if (item == NULL && (item = add(window, id, change->number)) == NULL)
        return MN_E_NO_MEMORY;
    if (item->removed)
        return 0;
    const unsigned set = mni_change_set(change);
    if (set == 0)
        return mni_change_unknown(change);
    if (change->type == MNI_CHANGE_REMOVE)
        item->removed = true;
    for (unsigned i = 0; i < MNI_WINDOW_TOLD; i++)
        if (set & MNI_CHANGE_BIT(MNI_CHANGE_START + i))
            item->told[i] = change->data;
    item->set |= set;
    return 0;
}

/* The first record of an item that lies behind another one; NULL: there is none. */
static const void *behind(const mni_window_item_t *item, const void *data)
{
    const void *next = NULL;

    for (size_t i = 0; i < MNI_WINDOW_TOLD; i++)
        if (item->told[i] > data && (next == NULL || item->told[i] < next))
            next = item->told[i];
    return next;
}

int mni_window_record(const mni_window_item_t *item, mni_store_record_t *record)
{
    int rc = 0;

    *record = (mni_store_record_t){.info.id = item->id};
    for (const void *data = behind(item, NULL); rc == 0 && data != NULL;
         data = behind(item, data)) {
        mni_journal_record_t change = mni_journal_record_of(data);
        rc = mni_change_apply(&change, record);
    }
    return rc;
}

void mni_window_clear(mni_window_t *window)
{
    window->count = 0;
    mni_ids_clear(&window->index);
}

void mni_window_fini(mni_window_t *window)
{
    for (size_t i = 0; i < window->block_count; i++)
        mni_pages_unmap(window->blocks[i], MNI_PAGE);
    free(window->blocks);
    mni_ids_fini(&window->index);
    *window = (mni_window_t){0};
}
