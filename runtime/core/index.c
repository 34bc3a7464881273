/* SPDX-License-Identifier: MIT
 *
 * An index of things by a hash of their ids: open addressing, linear probing, 8 bytes an entry. An
 * entry has enough of the hash to tell nearly always, without looking at the thing, that it is
 * another one, and to move entries: so a search for something that is not there looks at one line
 * of memory, as do inserting and removing.
 */
#include "core/containers.h"
#include "util/error.h"
#include "util/pages.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 64u

static size_t home(const mni_index_t *index, uint32_t hash)
{
    return hash & index->mask;
}

/* Small ones come from malloc. */
static mni_slot_t *slots_make(size_t room)
{
    size_t size = room * sizeof(mni_slot_t);
    return size < MNI_PAGE ? calloc(1, size) : mni_pages_map(size, 0);
}

static void slots_free(mni_slot_t *slots, size_t room)
{
    size_t size = room * sizeof(mni_slot_t);
    if (size < MNI_PAGE)
        free(slots);
    else
        mni_pages_unmap(slots, size);
}

size_t mni_index_mapped(const mni_index_t *index)
{
    size_t size = (index->mask + 1) * sizeof(mni_slot_t);
    return size < MNI_PAGE ? 0 : size;
}

int mni_index_init(mni_index_t *index)
{
    *index = (mni_index_t){.mask = FIRST_SLOTS - 1};
    index->slots = slots_make(FIRST_SLOTS);
    return index->slots ? 0 : mni_error(MN_E_NO_MEMORY, "no memory for the scheduler's index");
}

void mni_index_fini(mni_index_t *index)
{
    slots_free(index->slots, index->mask + 1);
    *index = (mni_index_t){.slots = NULL};
}

static void put(mni_index_t *index, mni_slot_t slot)
{
    size_t at = home(index, slot.hash);

    while (index->slots[at].number != 0)
        at = (at + 1) & index->mask;
    index->slots[at] = slot;
}

int mni_index_reserve(mni_index_t *index)
{
    mni_slot_t *old = index->slots;
    size_t room = index->mask + 1;

    if (index->count < room / 4 * 3)
        return 0;
    mni_slot_t *slots = slots_make(room * 2);
    if (!slots)
        return mni_error(MN_E_NO_MEMORY, "no memory for the scheduler's index");
    index->slots = slots;
    index->mask = room * 2 - 1;
    for (size_t i = 0; i < room; i++)
        if (old[i].number != 0)
            put(index, old[i]);
    slots_free(old, room);
    return 0;
}

void mni_index_insert(mni_index_t *index, uint64_t hash, uint32_t number)
{
    put(index, (mni_slot_t){.hash = (uint32_t)hash, .number = number + 1});
    index->count++;
}

void mni_index_remove(mni_index_t *index, uint64_t hash, uint32_t number)
{
    size_t at = home(index, (uint32_t)hash), next;

    while (index->slots[at].number != number + 1)
        at = (at + 1) & index->mask;
    /* What follows moves up, unless that would put it before its home. */
    for (next = (at + 1) & index->mask; index->slots[next].number != 0;
         next = (next + 1) & index->mask) {
        size_t far = (next - home(index, index->slots[next].hash)) & index->mask;
        if (far < ((next - at) & index->mask))
            continue;
        index->slots[at] = index->slots[next];
        at = next;
    }
    index->slots[at].number = 0;
    index->count--;
}
