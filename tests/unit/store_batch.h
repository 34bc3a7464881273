/* SPDX-License-Identifier: MIT
 *
 * For the tests of a store that is written whole at its end: a folder, records to write, and what HDF5 alone reads of them.
 */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include "store/store.h"

#include <hdf5.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The folder of a test, and the store in it. */
extern char base[], path[PATH_MAX];

int batch_setup(void **state);
int batch_teardown(void **state);
void remove_all(void);
/* Files in the folder: a temporary that was left behind would be one too many. */
int count_files(const char *folder);

typedef struct batch {
    const mni_store_record_t *record;
    size_t count, next;
    int fail_at; /* the visit that fails, -1: none */
} batch_t;

/* Gives the records of a batch_t to mni_store_finish(). */
int visit(void *argument, mni_store_record_t *record);
mn_id_t id_of(unsigned number);
mni_store_record_t record_of(unsigned number, mn_value_t input, mn_value_t result);
/* Opens the store, and finishes it with these. */
int write_records(const char *file, const mni_store_record_t *records, size_t count);

/* The few columns that are compared, by name as any reader would. */
typedef struct seen {
    char id[37];
    char status[20];
    char reason[20];
    char *error, *lock;
    double created;
    uint64_t yields;
    int rank;
    unsigned attempts;
} seen_t;

/* Of the whole table, to be given back with free_table(). */
seen_t *read_table(const char *file_name, size_t *count);
void free_table(seen_t *rows, size_t count);
size_t count_jobs(const char *file_name);
/* The table has these jobs in this order. */
void check_ids(const char *file_name, const unsigned *numbers, size_t count);
/* Opens a job's dataset in a file; negative if it does not have it. */
hid_t open_value(hid_t file, unsigned number, const char *name);
/* The dataset has the type, dimensions and bytes of the value. */
void check_value(hid_t file, unsigned number, const char *name, mn_value_t value, hid_t expected);

#endif
