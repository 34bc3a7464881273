/* SPDX-License-Identifier: MIT
 *
 * A table from ids of jobs to numbers: open addressing, without an allocation per entry. Pure; one thread at a time.
 */
#ifndef MNI_STORE_IDS_H
#define MNI_STORE_IDS_H

#include <multinode.h>

#define MNI_IDS_NONE UINT32_MAX

/* Zero-initialized; free with mni_ids_fini(). */
typedef struct mni_index {
    struct mni_ids_entry *entries;
    size_t capacity, count; /* the capacity is a power of two, or 0 */
} mni_ids_t;

/* MNI_IDS_NONE: it is not there. */
uint32_t mni_ids_find(const mni_ids_t *index, mn_id_t id);
/* Says that it will soon be looked for: where it would be is brought from memory meanwhile. */
void mni_ids_expect(const mni_ids_t *index, mn_id_t id);
/* Adds it, or gives it another number (not MNI_IDS_NONE). 0 or MN_E_NO_MEMORY. */
int mni_ids_put(mni_ids_t *index, mn_id_t id, uint32_t number);
void mni_ids_remove(mni_ids_t *index, mn_id_t id); /* it need not be there */
void mni_ids_clear(mni_ids_t *index);              /* the memory stays */
void mni_ids_fini(mni_ids_t *index);

#endif
