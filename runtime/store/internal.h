/* SPDX-License-Identifier: MIT
 *
 * What the files of store/ share. All that touches HDF5 runs between mni_hdf5_enter() and mni_hdf5_leave(), which store.c and
 * snapshot.c call: the main thread of rank 0 before the first change is told and after the last one, the snapshot thread between.
 */
#ifndef MNI_STORE_INTERNAL_H
#define MNI_STORE_INTERNAL_H

#include "store/folder.h"
#include "store/files.h"
#include "store/ids.h"
#include "store/journal.h"
#include "store/keeper.h"
#include "store/lock.h"
#include "store/read.h"
#include "store/sink.h"
#include "store/snapshot.h"
#include "store/store.h"
#include "wire/wire.h"

#include <hdf5.h>
#include <sys/types.h>

/* 1 had no needs of jobs, and no journal; 1 and 2 had a group for every job, and a table that was not extendible. */
#define MNI_STORE_FORMAT 4

/* Where all lies; absolute. */
typedef struct mni_place {
    char *path, *folder;
    char *fresh;   /* where a new file is made */
    char *journal; /* the journal; where a new one is made is that and ".new" */
    mn_id_t id;
    mni_files_t *files; /* those of large values */
} mni_place_t;

struct mni_store {
    mni_place_t place; /* path NULL: nothing is kept */
    mni_store_lock_t *lock;
    bool exists, has_id, has_journal;
    bool recovered;
    bool apart;                  /* large values are brought to files of their own in mid-run */
    int format;                  /* of the file */
    uint64_t included;           /* number of the last change that the file includes */
    uint64_t told;               /* and of the last one at all, while there is no keeper */
    mni_journal_report_t report; /* its end is 0 until the journal was read */
    char *damage;
    mni_keeper_t *keeper; /* NULL: nothing is kept before the end */
    mni_snapshot_t *snapshot;
    mni_large_t *larges; /* in memory and told, by number */
    double age;          /* seconds; see mni_store_snapshot_age() */
    mni_writer_t writer;

    /* of a store that is only read (read.c) */
    bool reading;
    hid_t file; /* 0: it is not open */
    mni_journal_map_t *map;
    char *user; /* the runtime that has it */
    bool verifying;
    char *trouble; /* while verifying: why the journal cannot be read at all, and is left aside */
};

/* Makes the absolute paths of a store from that of its HDF5 file (store.c). */
int mni_store_paths(mni_store_t *store, const char *path);
/* As mni_store_open_read(); a journal that cannot be read at all is left aside, as store->trouble (read.c). */
int mni_store_open_verify(const char *path, mni_store_t **store);

/* --- large.c ---------------------------------------------------------------------------------- */

/* Before a record names the value's file, whose name it is then, and after; and gives back the memory of those that are kept. */
int mni_large_tell(mni_large_t *large, mni_store_t *store, const mni_value_owner_t *owner);
const char *mni_large_name(const mni_large_t *large);
void mni_large_told(mni_large_t *large, mni_store_t *store, uint64_t number);
void mni_larges_settle(mni_store_t *store);

/* --- hdf5.c ----------------------------------------------------------------------------------- */

/* One thread at a time, and HDF5 prints nothing meanwhile; afterwards the user's own error handler is as it was. */
typedef struct mni_hdf5 {
    H5E_auto2_t handler;
    void *argument;
} mni_hdf5_t;
void mni_hdf5_enter(mni_hdf5_t *before);
void mni_hdf5_leave(const mni_hdf5_t *before);
/* Whether others may call HDF5 in this process while a thread of ours does. */
bool mni_hdf5_threads(void);

/* Keeps "sentence: what HDF5 says", HDF5's part being the innermost description of its error
 * stack, which the next HDF5 call clears: so call it at once. Returns MN_E_STORE. */
int mni_store_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A variable-length UTF-8 string; negative on failure. To be closed with H5Tclose(). */
hid_t mni_store_string(void);
/* Opens a file to read it, without a lock: files of ours never change, they are replaced. */
hid_t mni_file_open(const char *path);
/* An attribute that is a number; a text: made, or written over. */
int mni_file_get(hid_t file, const char *name, uint64_t *number);
int mni_file_put(hid_t file, const char *name, uint64_t number);
/* Whether the rows are known to be in the order in which their jobs were started. */
bool mni_file_ordered(hid_t file);
int mni_text_put(hid_t object, const char *name, const char *text);
/* 1: the group has something of that name; 0: it has not; MN_E_STORE: that cannot be told, which is not the same. */
int mni_link_exists(hid_t group, const char *name);
/* A part of a one-dimensional dataset and as much memory; to be given back with mni_rows_deselect(). */
int mni_rows_select(hid_t set, uint64_t first, uint64_t count, hid_t *memory, hid_t *space);
void mni_rows_deselect(hid_t memory, hid_t space);

/* --- check.c ---------------------------------------------------------------------------------- */

/* Looks at what the path holds. 0: nothing; 1: a store of ours, its permissions in *mode. */
int mni_file_check(const char *path, bool writing, mode_t *mode);
/* Tells of each job that had a record in a damaged part of the journal, and of how many of the records nobody can say. */
void mni_store_tell_touched(const mni_journal_damage_t *part, mni_store_problem_t *tell,
                            void *argument);

/* Its format; the store's id (has_id false: an early version had none) and the number of the last change that it includes. */
int mni_file_identity(const char *path, int *format, bool *has_id, mn_id_t *id, uint64_t *included);
/* The same of a file that is open. */
int mni_file_identify(hid_t file, const char *path, int *format, bool *has_id, mn_id_t *id,
                      uint64_t *included);

/* --- text.c ----------------------------------------------------------------------------------- */

typedef struct mni_text_block mni_text_block_t;

/* A copy that lives with the blocks. NULL for NULL, and for no memory, which sets *failed. */
char *mni_text_copy(mni_text_block_t **blocks, const char *text, bool *failed);
void mni_texts_free(mni_text_block_t **blocks);

/* --- row.c ------------------------------------------------------------------------------------ */

/* A row of /jobs, as in memory. Texts that do not apply are NULL. */
typedef struct mni_row {
    char id[MN_ID_TEXT - 1]; /* no NUL */
    char job[64];
    char status[12];
    char reason[16];
    char host[64];
    char cpus[48];
    char *error, *lock, *tag, *key, *message;
    uint32_t attempts;
    int32_t rank;
    double created, started, ended, progress;
    uint64_t yields;
    double cpu; /* cores */
    uint64_t memory;
    double timeout, grace;
    double cpu_time;      /* seconds, of the last attempt that ended */
    uint64_t peak_memory; /* bytes, of the same */
    int32_t priority;
    uint32_t max_concurrency, max_retries, max_lost;
    uint32_t retries, lost; /* of the attempts, as in mni_job_t */
    /* Where the values are: elements of /values/TYPE, or datasets of /data/ID where the type is "" and the job has a group. */
    uint64_t input_at, result_at;
    uint32_t input_count, result_count;
    uint32_t gpus; /* asked for; here, where no gap follows */
    char input_type[8], result_type[8];
    uint8_t grouped;
    char parent[MN_ID_TEXT - 1]; /* no NUL, or nothing */
} mni_row_t;

/* A row of format 1 or 2. */
typedef struct mni_old_row {
    mni_row_t row;
    char *host, *cpus;
} mni_old_row_t;

typedef enum mni_row_part {
    MNI_ROW_WHOLE,
    MNI_ROW_FIXED, /* without texts: those in the file are left alone */
    MNI_ROW_TEXTS, /* these only; the others in memory are left alone */
    MNI_ROW_OLD,   /* of an mni_old_row_t */
    MNI_ROW_ID,    /* that alone, without a row around it */
    MNI_ROW_CREATED
} mni_row_part_t;

/* The compound of a row, or a part of it, in memory; negative on failure. To be closed with H5Tclose(). */
hid_t mni_row_type(mni_row_part_t part);

/* Sets all of a row but where its values are; texts are the record's own. */
void mni_row_set(mni_row_t *row, const mni_store_record_t *record);
/* What a row says of a job, its values apart; pointers into the row. MN_E_STORE: it makes no sense. */
int mni_row_record(const mni_row_t *row, mni_store_record_t *record);
void mni_row_from_old(mni_old_row_t *old);
uint64_t mni_row_text_space(const mni_row_t *row); /* bytes that its texts take in the file */
bool mni_row_same_texts(const mni_row_t *a, const mni_row_t *b);

/* --- rawrows.c -------------------------------------------------------------------------------- */

typedef struct mni_raw mni_raw_t;

/* NULL: this table cannot be read so, or there is no memory. The dataset stays open as long. */
mni_raw_t *mni_raw_open(hid_t set);
/* Whether what was read last failed since a part has another size than it can have. HDF5 must not try that: it would believe the size. */
bool mni_raw_damaged(const mni_raw_t *raw);
/* Reads rows without their texts, which are NULL then. *texts: some are there. Negative, and the rows undefined: HDF5 is to try, and to
 * say what is wrong, if it is not damaged. */
int mni_raw_read(mni_raw_t *raw, uint64_t first, uint64_t count, mni_row_t *rows, bool *texts);
/* Reads when the first `count` jobs of the table were started, likewise. */
int mni_raw_created(mni_raw_t *raw, uint64_t count, double *created);
void mni_raw_close(mni_raw_t *raw); /* nothing happens for NULL */

/* --- table.c ---------------------------------------------------------------------------------- */

#define MNI_TABLE_CHUNK 256 /* rows that lie together in the file */

typedef struct mni_table {
    hid_t set, whole, fixed;
    uint64_t count;   /* rows, with those that wait */
    mni_row_t *waits; /* rows to be added, with copies of their texts */
    size_t waiting;
    mni_text_block_t *texts;
} mni_table_t;

#define MNI_TABLE_CLOSED ((mni_table_t){.set = -1, .whole = -1, .fixed = -1})

int mni_table_create(mni_table_t *table, hid_t file);
int mni_table_open(mni_table_t *table, hid_t file);
/* Adds a row, with copies of its texts. Adding is not to be mixed with what follows without a flush between. */
int mni_table_add(mni_table_t *table, const mni_row_t *row);
int mni_table_flush(mni_table_t *table);
/* Rows as they are in the file; their texts are HDF5's, to be freed with mni_table_reclaim(). */
int mni_table_read(mni_table_t *table, uint64_t first, uint64_t count, mni_row_t *rows);
void mni_table_reclaim(const mni_table_t *table, mni_row_t *rows, uint64_t count);
/* Writes over rows: all of them, or what is no text. */
int mni_table_write(mni_table_t *table, mni_row_part_t part, uint64_t first, uint64_t count,
                    const mni_row_t *rows);
int mni_table_shrink(mni_table_t *table, uint64_t count);
/* The ids of all rows, each with the number of its row. */
int mni_table_index(const mni_table_t *table, mni_ids_t *index);
void mni_table_close(mni_table_t *table);

/* --- pools.c ---------------------------------------------------------------------------------- */

/* Small values of many jobs, end to end, a dataset per type: /values/TYPE. */
#define MNI_POOL_TYPES (MN_FLOAT64 + 1)
#define MNI_POOL_MOST ((size_t)1 << 10) /* bytes of a value in a pool */

typedef struct mni_pool {
    hid_t set;            /* negative: there is none yet */
    uint64_t count;       /* elements, with those that wait */
    uint8_t *waits;       /* elements to be added */
    size_t waiting, size; /* bytes of them; bytes of an element */
} mni_pool_t;

typedef struct mni_pools {
    hid_t group; /* /values */
    mni_pool_t pool[MNI_POOL_TYPES];
} mni_pools_t;

#define MNI_POOLS_CLOSED ((mni_pools_t){.group = -1})

int mni_pools_create(mni_pools_t *pools, hid_t file);
int mni_pools_open(mni_pools_t *pools, hid_t file);
/* Whether a value may lie in a pool. */
bool mni_pools_take(const mn_value_t *value);
/* Adds a value; *at is where it begins. */
int mni_pools_add(mni_pools_t *pools, const mn_value_t *value, uint64_t *at);
int mni_pools_write(mni_pools_t *pools, const mn_value_t *value, uint64_t at);
int mni_pools_flush(mni_pools_t *pools);
/* Reads elements. MN_E_STORE: they are not there. */
int mni_pools_read(const mni_pools_t *pools, mn_type_t type, uint64_t at, uint64_t count,
                   void *elements);
/* By its name in a row; negative: no type has that. */
int mni_pool_type(const char name[8]);
void mni_pools_close(mni_pools_t *pools);

/* --- data.c ----------------------------------------------------------------------------------- */

/* Writes groups of values below /data; what is needed for each is made once. */
typedef struct mni_data {
    hid_t group;        /* /data */
    hid_t small, large; /* dataset creation */
    uint64_t groups;    /* how many jobs have one */
} mni_data_t;

#define MNI_DATA_CLOSED ((mni_data_t){-1, -1, -1, 0})

int mni_data_make(mni_data_t *data, hid_t file);
int mni_data_open(mni_data_t *data, hid_t file);
/* Makes /data/ID if it is not there, and opens it, with its attributes as they are to be. Negative on failure, with the sentence. */
hid_t mni_data_begin(mni_data_t *data, const mni_store_record_t *record, bool exists);
/* Writes `input` or `result` into such a group, over an earlier one; `file` is where it lies instead, or NULL. */
int mni_data_put(mni_data_t *data, hid_t group, const char *name, const mn_value_t *value,
                 const char *file);
int mni_data_remove(mni_data_t *data, mn_id_t id);
/* The values of a job, to be destroyed; those that are not there are empty. Of one that is in a file of its own only the file's
 * name is there, to be freed. */
typedef struct mni_data_values {
    mn_value_t input, result;
    char *input_file, *result_file;
} mni_data_values_t;

/* Reads /data/ID/input and result, `data` being that group of /data. */
int mni_data_get(hid_t data, mn_id_t id, mni_data_values_t *values);
/* Reads one of them, "input" or "result", likewise. */
int mni_data_get_one(hid_t data, mn_id_t id, const char *name, mn_value_t *value, char **file);
void mni_data_close(mni_data_t *data);
/* HDF5's own type for numbers and bytes, not to be closed; -1 for a text. */
hid_t mni_number_type(mn_type_t type);
/* The HDF5 type and dataspace of a value; both are to be closed. */
int mni_value_shape(const mn_value_t *value, hid_t *type, hid_t *space);

/* --- each.c ----------------------------------------------------------------------------------- */

/* Gives all jobs of a file of any format, oldest first. The record lives as long as the call. */
int mni_file_each(hid_t file, int format, mni_store_take_t *take, void *argument);
/* The same without values: the records say which rows have them. */
int mni_file_scan(hid_t file, int format, mni_store_take_t *take, void *argument);

/* --- window.c --------------------------------------------------------------------------------- */

#define MNI_WINDOW_TOLD 4 /* START, BEGIN, VALUE, STATE */

/* What a part of the journal says of a job: which records tell it. What they tell would take seven times as much memory. */
typedef struct mni_window_item {
    mn_id_t id;
    const void *told[MNI_WINDOW_TOLD]; /* data of the last record of each kind, or NULL */
    uint64_t number;                   /* of the first record about it */
    unsigned set;                      /* what is known, as mni_change_set() */
    bool removed;
} mni_window_item_t;

/* The changes of a part of a journal, an item per job, in the order of the first changes. The journal stays mapped as long. */
typedef struct mni_window {
    mni_window_item_t **blocks; /* of so many items that one fills a huge page */
    size_t block_count, count;
    mni_ids_t index;
} mni_window_t;

/* Adds a record of the journal. MN_E_STORE: it is of no job, or of an unknown type; what it says is looked at in mni_window_record(). */
int mni_window_add(mni_window_t *window, const mni_journal_record_t *change);
mni_window_item_t *mni_window_item(const mni_window_t *window, size_t i);
mni_window_item_t *mni_window_find(const mni_window_t *window, mn_id_t id);
/* What is known of an item's job in all; texts and values are the journal's. MN_E_STORE: a record makes no sense. */
int mni_window_record(const mni_window_item_t *item, mni_store_record_t *record);
void mni_window_clear(mni_window_t *window);
void mni_window_fini(mni_window_t *window);

/* --- target.c --------------------------------------------------------------------------------- */

/* So many jobs have a group each, which is pleasant to look at: 4,096. A group with two datasets costs 50 us and 1 KB, a place in a pool
 * next to nothing. Variables, as is the next one, so that tests get there with few jobs; nothing else sets them. */
extern uint64_t mni_groups_most;

/* The file that is being made. */
typedef struct mni_target {
    const mni_place_t *place;
    mni_sink_t *sink;
    hid_t file;
    mni_table_t table;
    mni_pools_t pools;
    mni_data_t data;
    mni_ids_t rows; /* ids of the rows */
    bool indexed;
    bool ordered;  /* the rows are in the order in which their jobs were started */
    double newest; /* of those that were added: when it was started */
    uint64_t dead; /* bytes that belong to nothing any more */
} mni_target_t;

/* An empty file; a copy of the one that is there. On failure there is nothing to be closed. */
int mni_target_create(const mni_place_t *place, mni_target_t **target);
int mni_target_copy(const mni_place_t *place, mni_target_t **target);
/* Adds a job. */
int mni_target_add(mni_target_t *target, const mni_store_record_t *record);
/* Makes a row, with where its values are, that of a record whose result may be another one (`value`), or its status (`status`). */
int mni_target_set(mni_target_t *target, mni_row_t *row, const mni_store_record_t *record,
                   bool value, bool status);
/* Closes the file; if rc is 0 it is then the store's, and includes all changes up to `included`. Else, or when something fails, what
 * was there stays as it was, and the file is gone. Returns rc, or what failed. */
int mni_target_finish(mni_target_t *target, uint64_t included, int rc);

/* --- apply.c ---------------------------------------------------------------------------------- */

/* Applies what a window says. */
int mni_target_apply(mni_target_t *target, const mni_window_t *window);

/* --- file.c ----------------------------------------------------------------------------------- */

/* A value in memory of more bytes gets a file of its own: MNI_STORE_LARGE. A variable as those of target.c. */
extern size_t mni_large_least;

/* Writes all jobs to a new file and renames it over the old one. */
int mni_file_write(const mni_place_t *place, uint64_t included, mni_store_visit_t *visit,
                   void *argument);

/* --- fold.c ----------------------------------------------------------------------------------- */

/* Jobs whose changes are held in memory at a time: 128 k, 64 MB of records. */
extern size_t mni_window_jobs;

/* Replaces the file by one that includes the journal's records up to the number `upto` (those above `included` are applied), from
 * the files alone. `rebuild`: also gives back all that is free or dead. */
int mni_fold(const mni_place_t *place, uint64_t included, uint64_t upto, bool rebuild);
/* Replaces the file, which includes records up to `included`, by one that has the large values too, and names no other files. */
int mni_fold_inside(const mni_place_t *place, uint64_t included);
/* Whether more of the file is free or dead than is worth keeping. */
bool mni_fold_wasteful(const char *path);
/* Begins the journal that follows once the file includes all up to `included`: beside the present one, with the records up to
 * `upto` that stay. *cursor is behind these in the present one. */
int mni_fold_follow(const mni_place_t *place, uint64_t included, uint64_t upto,
                    mni_journal_t **follower, mni_journal_cursor_t *cursor);

#endif
