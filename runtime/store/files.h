/* SPDX-License-Identifier: MIT
 *
 * The files of large values beside a store, in the folder FILE.h5.values: which are to be written, which are in use, which are
 * to be deleted.
 *
 * A value is written before the record that names its file, by the thread that writes records. A file that is not needed any
 * more goes once neither the records that are kept nor the HDF5 file name it: when a record that is kept replaces it, if the
 * HDF5 file is older than the file; else when the HDF5 file includes that record.
 *
 * The main thread puts and names; the keeper writes and deletes; whoever replaces the HDF5 file says so.
 */
#ifndef MNI_STORE_FILES_H
#define MNI_STORE_FILES_H

#include "store/shared.h"
#include "store/valuefile.h"

typedef struct mni_files mni_files_t;

/* `path`: of the HDF5 file, absolute. Touches nothing yet. */
int mni_files_create(const char *path, mn_id_t store, mni_files_t **files);
void mni_files_destroy(mni_files_t *files);

/* Whether the folder, if it is there, can be used; it is made with the first value. MN_E_STORE says what it is. */
int mni_files_check(const mni_files_t *files);

/* Name of the file that a value has or would have, relative to the store's folder. */
void mni_files_name(const mni_files_t *files, const mni_value_owner_t *owner, char *name,
                    size_t size);
/* Of a name that is relative to the store's folder: the path. */
int mni_files_path(const mni_files_t *files, const char *name, char *path, size_t size);

/* --- main thread ------------------------------------------------------------------------------------------------------ */

/* A value is to be written, before the next record is; its bytes are shared. */
int mni_files_put(mni_files_t *files, const mni_value_owner_t *owner, const mn_value_t *value,
                  mni_shared_t *bytes);

/* Record `number` says that from now on a value of a job is in the file `name`; NULL: in none. `number` 0: it is so at the start.
 * The file that it was in is to be deleted when that is known for good. */
int mni_files_assign(mni_files_t *files, mn_id_t job, mni_value_role_t role, const char *name,
                     uint64_t number);
/* The file that a value of a job is in, valid until it is said to be in another; NULL: in none. */
const char *mni_files_named(const mni_files_t *files, mn_id_t job, mni_value_role_t role);
/* Number of the record that has said where the job's result is; 0: in no file, or it was so at the start. */
uint64_t mni_files_result_named(mni_files_t *files, mn_id_t job);

/* Writes a value at once, and says what its name is. Not while the keeper runs. */
int mni_files_write_now(mni_files_t *files, const mni_value_owner_t *owner, const mn_value_t *value,
                        char *name, size_t size);

/* Nothing is in a file any more. */
void mni_files_none(mni_files_t *files);

/* Deletes all files of ours in the folder that are neither assigned nor to be deleted later; the folder too when nothing is left.
 * None after an assignment that has failed, since it may be any. Not while the keeper runs. */
void mni_files_sweep(mni_files_t *files);

/* --- keeper ----------------------------------------------------------------------------------------------------------- */

/* Writes what was put so far. On failure what is left is tried again by the next call. */
int mni_files_write(mni_files_t *files, bool sync);
/* Deletes what is not needed any more, records being kept up to `kept`. */
void mni_files_delete(mni_files_t *files, uint64_t kept);

/* --- whoever replaces the HDF5 file ----------------------------------------------------------------------------------- */

/* The HDF5 file includes records up to that one, and no other is being made. */
void mni_files_included(mni_files_t *files, uint64_t number);
/* One is being made that will include them up to that number (UINT64_MAX: it is not known yet), or may have been made: so it stays
 * when that fails. */
void mni_files_including(mni_files_t *files, uint64_t number);

#endif
