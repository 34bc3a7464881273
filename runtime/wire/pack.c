/* SPDX-License-Identifier: MIT
 *
 * Many values in one piece of memory.
 */
#include "util/error.h"
#include "wire/wire.h"

#include <string.h>

typedef struct entry {
    uint64_t offset, size;
    uint32_t type, ndims;
    uint64_t dims[MN_MAX_DIMS];
} entry_t;

_Static_assert(sizeof(entry_t) == MNI_PACK_ENTRY, "the layout of a pack is part of the protocol");

static size_t align_up(size_t size)
{
    return (size + MNI_FRAME_ALIGN - 1) / MNI_FRAME_ALIGN * MNI_FRAME_ALIGN;
}

size_t mni_pack_header(size_t count)
{
    return align_up(count * MNI_PACK_ENTRY);
}

size_t mni_pack_grow(size_t size, mn_value_t value)
{
    return align_up(size + value.size) - size;
}

size_t mni_pack_put(void *pack, size_t size, size_t index, mn_value_t value)
{
    entry_t entry = {
        .offset = size, .size = value.size, .type = (uint32_t)value.type, .ndims = value.ndims};
    for (unsigned i = 0; i < value.ndims && i < MN_MAX_DIMS; i++)
        entry.dims[i] = value.dims[i];
    if (value.size > 0)
        memcpy((uint8_t *)pack + size, value.data, value.size);
    memcpy((uint8_t *)pack + index * MNI_PACK_ENTRY, &entry, sizeof entry);
    return size + mni_pack_grow(size, value);
}

int mni_pack_get(const void *pack, size_t size, size_t count, size_t index, mn_value_t *value)
{
    entry_t entry;
    if (index >= count || count > size / MNI_PACK_ENTRY)
        return mni_error(MN_E_PROTOCOL, "a pack of %zu bytes has no item %zu of %zu", size, index,
                         count);
    memcpy(&entry, (const uint8_t *)pack + index * MNI_PACK_ENTRY, sizeof entry);
    if (entry.offset > size || entry.size > size - entry.offset || entry.ndims > MN_MAX_DIMS)
        return mni_error(MN_E_PROTOCOL, "item %zu does not lie inside its pack", index);
    mn_value_t view = {.data = (const uint8_t *)pack + entry.offset,
                       .size = entry.size,
                       .type = (mn_type_t)entry.type,
                       .ndims = entry.ndims};
    for (unsigned i = 0; i < entry.ndims; i++)
        view.dims[i] = entry.dims[i];
    if (mni_value_check(view) < 0)
        return mni_error_prefix(MN_E_PROTOCOL, "item %zu of a pack", index);
    *value = view;
    return 0;
}
