/* SPDX-License-Identifier: MIT
 *
 * The file of one large value: an HDF5 file with the dataset `value`, behind 512 bytes of ours that say what and where it is, so
 * that it is read without HDF5. It is written once, under another name first, and never changed. docs/store.md describes it.
 *
 * Writing uses HDF5, reading does not. Any thread.
 */
#ifndef MNI_STORE_VALUEFILE_H
#define MNI_STORE_VALUEFILE_H

#include <multinode.h>
#include <sys/types.h>

/* Room for the name of a file. */
#define MNI_VALUE_NAME 96

typedef enum mni_value_role { MNI_VALUE_INPUT = 1, MNI_VALUE_RESULT = 2 } mni_value_role_t;

/* Whose value it is. */
typedef struct mni_value_owner {
    mn_id_t store, job;
    mni_value_role_t role;
    uint64_t number; /* of the yield; 0 of an input */
} mni_value_owner_t;

/* The name of the file: ID.input.h5 or ID.result.NUMBER.h5. */
void mni_value_name(const mni_value_owner_t *owner, char name[MNI_VALUE_NAME]);
/* Whether a file may be one of ours, or what a killed process left of one. */
bool mni_value_name_is(const char *name);

/* Writes the file `name` in a folder that is there, in place of one that may have that name; with `sync` all but the name is on
 * the disk then (the folder is the caller's to sync). On failure nothing is left. */
int mni_value_write(const char *folder, const char *name, mode_t mode,
                    const mni_value_owner_t *owner, const mn_value_t *value, bool sync);

/* What the file holds: type, dimensions and size, data NULL. MN_E_STORE: it is not there, or none, or the value of another job
 * (owner->store nil: of whatever store; owner->number 0: whatever yield). */
int mni_value_look(const char *path, const mni_value_owner_t *owner, mn_value_t *value);
/* Reads it into memory that mn_value_destroy() frees. MN_E_STORE: likewise, or its bytes are damaged; MN_E_NO_MEMORY. */
int mni_value_read(const char *path, const mni_value_owner_t *owner, mn_value_t *value);

#endif
