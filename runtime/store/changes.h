/* SPDX-License-Identifier: MIT
 *
 * What the records of a store's journal say: how a job changed. Each begins with the job's id; docs/store.md lists the fields.
 */
#ifndef MNI_STORE_CHANGES_H
#define MNI_STORE_CHANGES_H

#include "store/journal.h"
#include "store/store.h"
#include "wire/wire.h"

typedef enum mni_change {
    MNI_CHANGE_START = 1, /* the job, its needs, its input */
    MNI_CHANGE_BEGIN,     /* an attempt: RUNNING */
    MNI_CHANGE_VALUE,     /* yielded */
    MNI_CHANGE_STATE,     /* a new status other than RUNNING, counters, error, progress */
    MNI_CHANGE_REMOVE,
    MNI_CHANGE_SEVERAL, /* of BEGIN, VALUE and STATE, in this order: a short job's whole life is two records */
    MNI_CHANGE_VALUE_FILE, /* as VALUE and START, the value being in a file; in a set they come with those */
    MNI_CHANGE_START_FILE
} mni_change_t;

/* A set of them. */
#define MNI_CHANGE_BIT(change) (1u << (change))

void mni_change_put_remove(mni_writer_t *writer, mn_id_t id);
/* `changes`: a set of BEGIN, VALUE and STATE, not empty. Where the record names a file the change does likewise. Return the type that the record is to have. */
mni_change_t mni_change_put_start(mni_writer_t *writer, const mni_store_record_t *record);
mni_change_t mni_change_put(mni_writer_t *writer, unsigned changes,
                            const mni_store_record_t *record);

/* What a record consists of, as a set; 0: it makes no sense. */
unsigned mni_change_set(const mni_journal_record_t *change);
/* Returns the error that says so. */
int mni_change_unknown(const mni_journal_record_t *change);
/* Applies a change to what is known of the job, `*to`, whose texts, values and names of files then point into the record. MN_E_STORE: it makes
 * no sense. MNI_CHANGE_REMOVE changes nothing here. */
int mni_change_apply(const mni_journal_record_t *change, mni_store_record_t *to);
/* Brings what changes of the set (without START) have made of `from` into a record that was not known when they were applied. */
void mni_change_merge(mni_store_record_t *to, unsigned set, const mni_store_record_t *from);
/* The job that it is about. False: it makes no sense. */
bool mni_change_id(const mni_journal_record_t *change, mn_id_t *id);

#endif
