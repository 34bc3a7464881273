/* SPDX-License-Identifier: MIT
 *
 * What the files of store/ share: rows of the table of jobs, the groups of values, HDF5's errors as
 * sentences. All of it runs in rank 0's main thread, between H5E_BEGIN_TRY and H5E_END_TRY of a
 * call in store.c, so that HDF5 prints nothing there and the user's own error handler is as it was
 * afterwards.
 */
#ifndef MNI_STORE_INTERNAL_H
#define MNI_STORE_INTERNAL_H

#include "store/journal.h"
#include "store/keeper.h"
#include "store/lock.h"
#include "store/store.h"
#include "wire/wire.h"

#include <hdf5.h>
#include <sys/types.h>

#define MNI_STORE_FORMAT 2 /* 1 had no needs of jobs, and no journal */

struct mni_store {
    char *path; /* absolute; NULL: nothing is kept */
    char *folder;
    char *fresh; /* where a new file is made */
    char *journal;
    mni_store_lock_t *lock;
    bool exists, has_id, has_journal;
    mn_id_t id;
    uint64_t included; /* number of the last change that the file includes */
    uint64_t told;     /* and of the last one at all, while there is no keeper */
    mni_journal_report_t report;
    char *damage;
    mni_keeper_t *keeper; /* NULL: nothing is kept before the end */
    mni_writer_t writer;
};

/* Opens a file to read it, without a lock: files of ours never change, they are replaced. */
hid_t mni_file_open(const char *path);
/* Looks at what the path holds. 0: nothing; 1: a store of ours, its permissions in *mode. */
int mni_file_check(const char *path, mode_t *mode);
/* file.c: writes all jobs to a new file and renames it over the old one. */
int mni_file_write(mni_store_t *store, mni_store_visit_t *visit, void *argument);
int mni_folder_sync(const char *folder);

/* Keeps "sentence: what HDF5 says", HDF5's part being the innermost description of its error
 * stack, which the next HDF5 call clears: so call it at once. Returns MN_E_STORE. */
int mni_store_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A variable-length UTF-8 string; negative on failure. To be closed with H5Tclose(). */
hid_t mni_store_string(void);

/* --- table.c ---------------------------------------------------------------------------------- */

/* A row of /jobs, as in memory. Strings that do not apply are NULL. */
typedef struct mni_row {
    char id[MN_ID_TEXT - 1]; /* no NUL */
    char job[64];
    char status[12];
    char reason[16];
    char *error;
    uint32_t attempts;
    char *lock, *tag, *key;
    double created, started, ended, progress;
    char *message;
    uint64_t yields;
    char *host;
    int32_t rank;
    char *cpus;
    double cpu; /* cores */
    uint64_t memory;
    int32_t priority;
    double timeout, grace;
    uint32_t max_concurrency, max_retries, max_lost;
    uint32_t retries, lost; /* of the attempts, as in mni_job_t */
} mni_row_t;

typedef struct mni_text_block mni_text_block_t;

/* A copy that lives with the blocks. NULL for NULL, and for no memory, which sets *failed. */
char *mni_text_copy(mni_text_block_t **blocks, const char *text, bool *failed);
void mni_texts_free(mni_text_block_t *blocks);

typedef struct mni_rows {
    mni_row_t *row;
    size_t count, room;
    mni_text_block_t *texts; /* copies of the strings */
} mni_rows_t;

/* Adds the row of a job, with copies of its strings. */
int mni_rows_add(mni_rows_t *rows, const mni_store_record_t *record);
void mni_rows_free(mni_rows_t *rows);

/* Reads /jobs of a file. The strings of the rows are HDF5's. */
int mni_rows_read(hid_t file, mni_row_t **rows, size_t *count);
/* Frees what mni_rows_read() made. */
void mni_rows_reclaim(mni_row_t *rows, size_t count);

/* What a row says of a job, its values apart; pointers into the row. MN_E_STORE: it makes no sense. */
int mni_row_record(const mni_row_t *row, mni_store_record_t *record);

/* Writes /jobs. */
int mni_rows_write(hid_t file, const mni_row_t *rows, size_t count);

/* --- data.c ----------------------------------------------------------------------------------- */

/* Writes groups of values below /data; what is needed for each is made once. */
typedef struct mni_data {
    hid_t group;  /* /data */
    hid_t string; /* variable-length UTF-8 */
    hid_t scalar;
    hid_t small, large; /* dataset creation */
} mni_data_t;

int mni_data_open(mni_data_t *data, hid_t file);
/* Writes /data/<id>/ with its attributes, `input` and `result`. */
int mni_data_put(mni_data_t *data, const mni_store_record_t *record);
/* Reads /data/<id>/input and result, `data` being that group of /data; copies, to be destroyed. Those that are not there are
 * empty. */
int mni_data_get(hid_t data, mn_id_t id, mn_value_t *input, mn_value_t *result);
void mni_data_close(mni_data_t *data);

/* Writes a string as an attribute. */
int mni_data_attribute(const mni_data_t *data, hid_t object, const char *name, const char *text);

#endif
