/* SPDX-License-Identifier: MIT
 *
 * Where jobs are kept. The scheduler tells the store of every change; the store writes the HDF5
 * file when the runtime ends. The only place that knows HDF5. Rank 0's main thread.
 *
 * The interface speaks of changes ("this job is now so"), which is what a journal needs too: a
 * record holds all that a reader would want to know of a job.
 */
#ifndef MNI_STORE_STORE_H
#define MNI_STORE_STORE_H

#include <multinode.h>

typedef struct mni_store mni_store_t;

/* All of a job that is worth keeping. Pointers are the caller's, valid during the call. */
typedef struct mni_store_record {
    mn_info_t info; /* as mn_get() would give it */
    mn_value_t input;
} mni_store_record_t;

/* Opens a store on an HDF5 file that need not exist yet. Checks at once that the file could be
 * written there (folder exists and is writable; an existing file is an HDF5 file that multinode
 * wrote), so that a long run does not find out at its end; changes nothing yet. A relative path
 * is resolved now, symbolic links are followed. `path` NULL: nothing will be written. MN_E_STORE
 * says what was found and what to do. */
int mni_store_open(const char *path, mni_store_t **store);

/* Fills the (zeroed) record of the next job, oldest first, and returns 1; 0 at the end; a
 * negative code with its sentence ends the write, which returns it. The record's pointers must
 * stay valid until the next visit. */
typedef int mni_store_visit_t(void *argument, mni_store_record_t *record);

/* Writes all jobs that `visit` gives to a new file beside the old one (PATH.new.PID), syncs it
 * and renames it into place, so that at every instant `path` is a complete HDF5 file. Jobs of
 * the old file that are not given are kept, in front. On failure the old file is as it was, and
 * no other is left; MN_E_STORE, MN_E_NO_MEMORY. May be called again. Layout: see docs/store.md. */
int mni_store_write(mni_store_t *store, mni_store_visit_t *visit, void *argument);

void mni_store_close(mni_store_t *store);

#endif
