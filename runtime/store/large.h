/* SPDX-License-Identifier: MIT
 *
 * A large value (more than MNI_STORE_LARGE bytes) of a job: in memory until the store has brought it to its file, and from then
 * on only there. Where nothing is kept before the end it stays in memory.
 *
 * The main thread of rank 0; a large value does not outlive its store. The keeper shares the bytes while it writes them.
 */
#ifndef MNI_STORE_LARGE_H
#define MNI_STORE_LARGE_H

#include <multinode.h>

/* A value of more bytes has a file of its own. */
#define MNI_STORE_LARGE ((size_t)1 << 20)

typedef struct mni_large mni_large_t;
struct mni_store;
struct mni_store_record;

/* A copy of a value, in memory. */
int mni_large_create(mn_value_t value, mni_large_t **large);
/* The input or the result of a job that the store has, in a file that the record names. */
int mni_large_restore(const struct mni_store *store, const struct mni_store_record *record,
                      bool input, mni_large_t **large);
void mni_large_destroy(mni_large_t *large); /* NULL is fine */

/* As mni_large_restore() and mni_large_view() in one, for who wants it once: memory that mn_value_destroy() frees. */
int mni_store_value_read(const struct mni_store *store, const struct mni_store_record *record,
                         bool input, mn_value_t *value);

/* Type, dimensions and size; data NULL when the value is in its file only. */
mn_value_t mni_large_value(const mni_large_t *large);
/* The file that it is in then, relative to the store's folder; else NULL. */
const char *mni_large_file(const mni_large_t *large);

/* The value with its data, read from its file if need be: then it is *buffer, to be freed; else *buffer is NULL. MN_E_STORE: it
 * cannot be read; the sentence names job and file. */
int mni_large_view(const mni_large_t *large, mn_value_t *value, void **buffer);

#endif
