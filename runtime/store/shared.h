/* SPDX-License-Identifier: MIT
 *
 * Bytes that several threads hold and none changes. Who has one may share it; the last to release it frees them.
 */
#ifndef MNI_STORE_SHARED_H
#define MNI_STORE_SHARED_H

#include <multinode.h>

typedef struct mni_shared mni_shared_t;

/* A copy of `size` bytes. NULL: no memory. */
mni_shared_t *mni_shared_create(const void *bytes, size_t size);
mni_shared_t *mni_shared_share(mni_shared_t *shared);
void mni_shared_release(mni_shared_t *shared); /* NULL is fine */
const void *mni_shared_bytes(const mni_shared_t *shared);

#endif
