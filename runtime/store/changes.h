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
    MNI_CHANGE_START_FILE, /* as START and VALUE, the value being in a file */
    MNI_CHANGE_VALUE_FILE
} mni_change_t;

/* The change that is put: what the value is in, `file`, decides; NULL: in the record. */
mni_change_t mni_change_put_start(mni_writer_t *writer, const mni_store_record_t *record,
                                  const char *file);
mni_change_t mni_change_put_value(mni_writer_t *writer, const mn_info_t *info, const char *file);
void mni_change_put_begin(mni_writer_t *writer, const mn_info_t *info);
void mni_change_put_state(mni_writer_t *writer, const mni_store_record_t *record);
void mni_change_put_remove(mni_writer_t *writer, mn_id_t id);

/* Applies a change to what is known of the job, `*to`, whose texts, values and names of files then point into the record. MN_E_STORE: it makes
 * no sense. MNI_CHANGE_REMOVE changes nothing here. */
int mni_change_apply(const mni_journal_record_t *change, mni_store_record_t *to);
/* The job that it is about. False: it makes no sense. */
bool mni_change_id(const mni_journal_record_t *change, mn_id_t *id);

#endif
