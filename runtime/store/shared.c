/* SPDX-License-Identifier: MIT
 *
 * See shared.h.
 */
#include "store/shared.h"
#include "store/points.h"

#include <stdlib.h>
#include <string.h>

struct mni_shared {
    unsigned count; /* atomic */
    _Alignas(16) unsigned char bytes[];
};

mni_shared_t *mni_shared_create(const void *bytes, size_t size)
{
    mni_shared_t *shared = malloc(sizeof *shared + size);
    if (!shared)
        return NULL;
    shared->count = 1;
    if (size > 0)
        memcpy(shared->bytes, bytes, size);
    return shared;
}

mni_shared_t *mni_shared_share(mni_shared_t *shared)
{
    __atomic_fetch_add(&shared->count, 1, __ATOMIC_RELAXED);
    return shared;
}

void mni_shared_release(mni_shared_t *shared)
{
    if (shared && __atomic_sub_fetch(&shared->count, 1, __ATOMIC_ACQ_REL) == 0)
        free(shared);
}

const void *mni_shared_bytes(const mni_shared_t *shared)
{
    return shared->bytes;
}
