/* SPDX-License-Identifier: MIT
 *
 * One runtime at a time on a store: locks on a file of its own beside it, which says who has it. Its first byte is locked by
 * rank 0. The second one is shared by whatever outlives a rank that is killed: a new runtime waits until all of these are gone, so
 * that nothing runs twice and no job's lock is held by two.
 */
#ifndef MNI_STORE_LOCK_H
#define MNI_STORE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mni_store_lock mni_store_lock_t;

/* Locks `path`, which is made if it is not there. The lock is the process's: the kernel drops it with the process, however
 * that ends, and a child does not have it. Blocks up to MNI_STORE_LOCK_PATIENCE seconds while processes of an earlier run are there.
 * MN_E_STORE: somebody has it (names host and pid), or the file system has no locks (names the variable that does without). */
#define MNI_STORE_LOCK_PATIENCE 30
int mni_store_lock(const char *path, const char *store, mni_store_lock_t **lock);
void mni_store_unlock(mni_store_lock_t *lock); /* removes the file; NULL is fine */

const char *mni_store_lock_name(const mni_store_lock_t *lock); /* the file's path; NULL for NULL */

/* A descriptor whose holders share the second byte: for the process that ends last. -1: there is none. It stays the lock's. */
int mni_store_lock_shared(const mni_store_lock_t *lock);
/* The same for another process than the one that has the lock, by the file's path; to be closed. -1: it cannot be had here, for
 * instance because this host does not see the store. */
int mni_store_lock_join(const char *path);

/* Whether somebody has the lock, this process included, and who, as "host NAME, pid NUMBER". Takes nothing and changes nothing. */
bool mni_store_lock_held(const char *path, char *who, size_t size);

#endif
