/* SPDX-License-Identifier: MIT
 *
 * Where jobs are kept: an HDF5 file for people, and beside it a journal of every change since that file was written, which is brought
 * into it now and then. The scheduler tells of each change as it happens and asks later up to where all is on disk. The only place
 * that knows HDF5.
 *
 * A life: mni_store_open(), mni_store_recover(), mni_store_begin(), changes, mni_store_finish(), mni_store_close(). Rank 0's main
 * thread; journal and snapshots are written by threads of their own (keeper.h, snapshot.h). A store without a path keeps nothing, and all calls succeed.
 */
#ifndef MNI_STORE_STORE_H
#define MNI_STORE_STORE_H

#include "core/core.h"
#include "store/large.h"
#include "util/doorbell.h"

#include <multinode.h>

typedef struct mni_store mni_store_t;

/* All of a job that is worth keeping. Pointers are valid during the call. */
typedef struct mni_store_record {
    mn_info_t info; /* as mn_get() would give it */
    mn_value_t input;
    /* Names of the files that hold input and result, relative to the store's folder; the value's data are then NULL, and its type,
     * dimensions and size are set. NULL: the value is here. */
    const char *input_file, *result_file;
    mni_large_t *input_large,
        *result_large; /* what the scheduler has of them; NULL: they are not large */
    mni_need_t need;
    mn_id_t parent;         /* the job whose cancel reaches it; nil: none */
    bool has_need;          /* false: from a file of an early version, which did not have it */
    uint32_t retries, lost; /* of the attempts, as in mni_job_t */
    /* From mni_store_scan() (read.h): 1 + the row of the file that the value belongs to, which has not been read; 0: it is here. */
    uint64_t input_row, result_row;
} mni_store_record_t;

/* When a change counts as kept: once it is on disk; once the system has it, which survives the end of all processes but no power
 * loss; when the runtime has ended. */
typedef enum mni_durability {
    MNI_DURABILITY_FSYNC,
    MNI_DURABILITY_FLUSH,
    MNI_DURABILITY_MEMORY
} mni_durability_t;

/* "fsync", "flush", "memory"; MN_E_INVALID names them. */
int mni_durability_parse(const char *text, mni_durability_t *durability);

/* Opens the store on an HDF5 file that need not exist yet, and locks it. Checks at once that the file could be written there
 * (folder exists and is writable; an existing file is one that multinode wrote), so that a long run does not find out at its
 * end, and that journal and file belong together; changes nothing yet. A relative path is resolved now, symbolic links are
 * followed. `path` NULL: nothing will be kept. MN_E_STORE says what was found and what to do. */
int mni_store_open(const char *path, mni_store_t **store);

/* The file that it is locked by, and a descriptor for whatever outlives this process (lock.h). NULL and -1: there is none. */
const char *mni_store_lock_path(const mni_store_t *store);
int mni_store_lock_descriptor(const mni_store_t *store);

/* Takes a job; a negative code ends the reading, which returns it. */
typedef int mni_store_take_t(void *argument, const mni_store_record_t *record);

/* Gives the jobs that the store has, oldest first, as they were last known. */
int mni_store_recover(mni_store_t *store, mni_store_take_t *take, void *argument);
/* What was found to be damaged by that, as sentences; NULL: nothing. */
const char *mni_store_damage(const mni_store_t *store);

/* Fills the (zeroed) record of the next job, oldest first, and returns 1; 0 at the end; a negative code with its sentence ends
 * the write, which returns it. The record's pointers must stay valid until the next visit. */
typedef int mni_store_visit_t(void *argument, mni_store_record_t *record);

/* From now on changes are kept. A store that has no file yet gets one, of the jobs that `visit` gives. `bell` is rung when more is
 * kept. */
int mni_store_begin(mni_store_t *store, mni_durability_t durability, mni_doorbell_t *bell,
                    mni_store_visit_t *visit, void *argument);

/* What has become of a job: an attempt has begun; it has yielded (its latest value, progress and message go along); it has
 * another status than RUNNING. */
enum { MNI_STORE_BEGUN = 1, MNI_STORE_YIELDED = 2, MNI_STORE_CHANGED = 4 };

/* A job was started; something has become of it, `what` says what; it is removed. 0 or MN_E_NO_MEMORY. */
int mni_store_started(mni_store_t *store, const mni_store_record_t *record);
int mni_store_changed(mni_store_t *store, unsigned what, const mni_store_record_t *record);
int mni_store_removed(mni_store_t *store, mn_id_t id);
/* Whether the job's last value is a large one that was told and is not kept yet. */
bool mni_store_busy(mni_store_t *store, mn_id_t id);

/* All changes told so far are a group that is to be kept soon. Does not wait. Large values that are kept leave memory. */
void mni_store_commit(mni_store_t *store);
/* Changes are numbered: that of the last one told, and of the last one kept. */
uint64_t mni_store_told(const mni_store_t *store);
uint64_t mni_store_kept(const mni_store_t *store);
/* 0; MN_E_STORE with its sentence while changes cannot be kept. *for_good (may be NULL): and never will. */
int mni_store_trouble(mni_store_t *store, bool *for_good);

/* While changes are kept, a thread brings them into the HDF5 file (snapshot.h): in mid-run a reader of the file sees the jobs as they
 * were, at most, so many seconds ago; INFINITY: as they were at the beginning. Before mni_store_begin(). */
void mni_store_snapshot_age(mni_store_t *store, double seconds);
/* Why that does not succeed at present, once; it is tried again. Nothing is lost by it: the journal grows. */
bool mni_store_snapshot_trouble(mni_store_t *store, char *text, size_t room);

/* Brings all changes into the HDF5 file: a new one is made beside the old one (PATH.new.PID), synced and renamed into place, so that
 * at every instant `path` is a complete HDF5 file; then the journal is needed no more, and goes, and others may have the store. The
 * changes are those in the journal; if there is none, or it could not be written, all jobs are written as `visit` gives them. On
 * failure file and journal are as they were, and no other file is left; MN_E_STORE, MN_E_NO_MEMORY. Layout: see docs/store.md. */
int mni_store_finish(mni_store_t *store, mni_store_visit_t *visit, void *argument);

/* Of a store that is open and has not begun: its file gets what is in its journal, which goes, and is made anew, so that no space in it is
 * unused. `inside`: it gets the large values too, whose files go; of files that cannot be read MN_E_STORE names one, and file and
 * values are as they were. */
int mni_store_rebuild(mni_store_t *store, bool inside);

void mni_store_close(mni_store_t *store);

#endif
