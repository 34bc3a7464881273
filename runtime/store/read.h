/* SPDX-License-Identifier: MIT
 *
 * A store that is only read: no lock is taken and nothing is written, so that read permission is enough, on a file system that
 * cannot be written too. What is read is the state at the opening, whatever a runtime does to the files afterwards.
 *
 * Any thread, one at a time.
 */
#ifndef MNI_STORE_READ_H
#define MNI_STORE_READ_H

#include "store/store.h"

/* Opens a store that must be there. mni_store_recover() and mni_store_damage() work as for one that is to be written, the calls
 * that change it must not be made. Ends with mni_store_close(). MN_E_STORE says what was found and what to do. */
int mni_store_open_read(const char *path, mni_store_t **store);

/* As mni_store_recover(), but values that are in the file are not read: the record says which rows have them. Those that are in
 * the journal are given, and stay valid until the store is closed. */
int mni_store_scan(mni_store_t *store, mni_store_take_t *take, void *argument);
/* The values of a record from mni_store_scan(); copies that mn_value_destroy() frees. Empty: it has none. */
int mni_store_input(mni_store_t *store, const mni_store_record_t *record, mn_value_t *value);
int mni_store_result(mni_store_t *store, const mni_store_record_t *record, mn_value_t *value);

/* Its absolute path. */
const char *mni_store_path(const mni_store_t *store);
/* Who had it at the opening, as "host NAME, pid NUMBER"; NULL: no runtime. */
const char *mni_store_user(const mni_store_t *store);

#endif
