/* SPDX-License-Identifier: MIT
 *
 * One runtime at a time on a store: a POSIX lock on a file of its own beside it, which says who has it.
 */
#ifndef MNI_STORE_LOCK_H
#define MNI_STORE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mni_store_lock mni_store_lock_t;

/* Locks `path`, which is made if it is not there. The lock is the process's: the kernel drops it with the process, however
 * that ends, and a child does not have it. MN_E_STORE: somebody has it (names host and pid), or the file system has no locks
 * (names the variable that does without). */
int mni_store_lock(const char *path, const char *store, mni_store_lock_t **lock);
void mni_store_unlock(mni_store_lock_t *lock); /* removes the file; NULL is fine */

/* Whether somebody has the lock, this process included, and who, as "host NAME, pid NUMBER". Takes nothing and changes nothing. */
bool mni_store_lock_held(const char *path, char *who, size_t size);

#endif
