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

/* --- verify.c ------------------------------------------------------------------------------------------------------ */

/* What a store consists of. */
typedef struct mni_store_facts {
    int format;
    uint64_t file_bytes, rows, values, value_bytes; /* of the HDF5 file */
    bool has_journal;
    uint64_t journal_bytes, records,
        torn;          /* torn: bytes of a record that was cut off by a crash, which is no damage */
    uint64_t problems; /* that were told */
    char user[200];    /* the runtime that has it; "": none */
} mni_store_facts_t;

/* Is told of one thing that is wrong. */
typedef void mni_store_problem_t(void *argument, const char *sentence);

/* Reads all there is of a store: every row, every value, every record of the journal, and tells what is wrong. Changes nothing.
 * 0, also when something is; MN_E_STORE: it cannot be read, or is no store. */
int mni_store_verify(const char *path, mni_store_problem_t *tell, void *argument,
                     mni_store_facts_t *facts);

/* --- compact.c ----------------------------------------------------------------------------------------------------- */

/* Writes a store anew, with what its journal has and without what is free in it; then the journal goes. Locks it meanwhile: MN_E_STORE
 * if a runtime has it. Nothing is written when something is damaged, which would then be lost for good. `inside`: values in files of
 * their own come into the one file. */
int mni_store_compact(const char *path, bool inside, uint64_t *bytes_before, uint64_t *bytes_after);

#endif
