/* SPDX-License-Identifier: MIT
 *
 * See ids.h. Linear probing; a removal moves the entries behind it up, so there are no marks of what was removed.
 */
#include "store/ids.h"

#include "store/points.h"
#include "util/error.h"
#include "util/pages.h"

#include <stdlib.h>
#include <string.h>

typedef struct mni_ids_entry {
    mn_id_t id;
    uint32_t number; /* MNI_IDS_NONE: free */
} entry_t;

/* Ids are random as a rule, but nothing says so: a caller may have made them by counting. */
static size_t home(const mni_ids_t *index, mn_id_t id)
{
    uint64_t half[2];
    memcpy(half, id.bytes, sizeof half);
    uint64_t mixed = (half[0] ^ (half[1] * UINT64_C(0x9e3779b97f4a7c15)));
    mixed = (mixed ^ (mixed >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t)(mixed ^ (mixed >> 32)) & (index->capacity - 1);
}

/* Where it is, or the free place where it would be. */
static entry_t *place(const mni_ids_t *index, mn_id_t id)
{
    size_t at = home(index, id);
    while (index->entries[at].number != MNI_IDS_NONE &&
           memcmp(&index->entries[at].id, &id, sizeof id) != 0)
        at = (at + 1) & (index->capacity - 1);
    return &index->entries[at];
}

uint32_t mni_ids_find(const mni_ids_t *index, mn_id_t id)
{
    return index->capacity == 0 ? MNI_IDS_NONE : place(index, id)->number;
}

void mni_ids_expect(const mni_ids_t *index, mn_id_t id)
{
    if (index->capacity > 0)
        __builtin_prefetch(&index->entries[home(index, id)]);
}

/* Many entries lie in huge pages: most of what a look at one costs is to find its page. */
static size_t pages_size(size_t capacity)
{
    size_t size = capacity * sizeof(entry_t);
    return size < MNI_PAGE ? 0 : (size + MNI_PAGE - 1) / MNI_PAGE * MNI_PAGE;
}

static entry_t *entries_make(size_t capacity)
{
    size_t pages = pages_size(capacity);
    entry_t *entries = pages > 0 ? mni_pages_map(pages, 0) : malloc(capacity * sizeof(entry_t));

    if (entries != NULL)
        memset(entries, 0xff, capacity * sizeof(entry_t));
    return entries;
}

static void entries_free(entry_t *entries, size_t capacity)
{
    size_t pages = pages_size(capacity);

    if (pages > 0)
        mni_pages_unmap(entries, pages);
    else
        free(entries);
}

static int grow(mni_ids_t *index)
{
    mni_ids_t grown = {.capacity = index->capacity == 0 ? 64 : index->capacity * 2,
                       .count = index->count};
    grown.entries = entries_make(grown.capacity);
    if (grown.entries == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for an index of %zu jobs", index->count);
    for (size_t i = 0; i < index->capacity; i++)
        if (index->entries[i].number != MNI_IDS_NONE)
            *place(&grown, index->entries[i].id) = index->entries[i];
    entries_free(index->entries, index->capacity);
    *index = grown;
    return 0;
}

int mni_ids_put(mni_ids_t *index, mn_id_t id, uint32_t number)
{
    int rc;
    if (index->count * 3 >= index->capacity * 2 && (rc = grow(index)) < 0)
        return rc;
    entry_t *entry = place(index, id);
    index->count += entry->number == MNI_IDS_NONE;
    *entry = (entry_t){.id = id, .number = number};
    return 0;
}

void mni_ids_remove(mni_ids_t *index, mn_id_t id)
{
    if (mni_ids_find(index, id) == MNI_IDS_NONE)
        return;
    size_t mask = index->capacity - 1, hole = (size_t)(place(index, id) - index->entries);
    for (size_t at = (hole + 1) & mask; index->entries[at].number != MNI_IDS_NONE;
         at = (at + 1) & mask) {
        /* it may move into the hole if that is not before its home */
        if (((at - home(index, index->entries[at].id)) & mask) >= ((at - hole) & mask)) {
            index->entries[hole] = index->entries[at];
            hole = at;
        }
    }
    index->entries[hole].number = MNI_IDS_NONE;
    index->count--;
}

void mni_ids_clear(mni_ids_t *index)
{
    if (index->capacity > 0)
        memset(index->entries, 0xff, index->capacity * sizeof *index->entries);
    index->count = 0;
}

void mni_ids_fini(mni_ids_t *index)
{
    entries_free(index->entries, index->capacity);
    *index = (mni_ids_t){0};
}
