/* SPDX-License-Identifier: MIT
 *
 * multinode list, inside: what was asked for and found (list.c), and its columns (columns.c).
 */
#ifndef MNI_COMMAND_LIST_H
#define MNI_COMMAND_LIST_H

#include "command/stored.h"

typedef struct mni_list {
    const char *path, *job, *lock, *tag, *format; /* NULL: not said */
    unsigned statuses;                            /* 0: all */
    size_t limit;
    bool json;
    mni_store_t *store;
    mni_stored_job_t *jobs; /* a ring, the oldest at `first` */
    size_t first, count, room;
    mn_id_t *ids; /* of all jobs, also those that were not asked for */
    size_t id_count, id_room;
} mni_list_t;

/* The i-th newest. */
const mni_store_record_t *mni_list_at(const mni_list_t *list, size_t i);

/* 0, or the exit status, with a line about the column that there is not. */
int mni_list_columns_check(const char *format);
/* The columns of list->format, with tabs between, a job a line. */
void mni_list_print_columns(const mni_list_t *list);
/* For people: columns that say something, aligned. */
void mni_list_print_table(mni_list_t *list);

#endif
