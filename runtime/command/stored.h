/* SPDX-License-Identifier: MIT
 *
 * What the verbs that read a store share: which store, which job, how jobs and values are shown to people and as JSON.
 *
 * Texts of jobs come from user code and may hold anything: what goes to people has no control characters.
 */
#ifndef MNI_COMMAND_STORED_H
#define MNI_COMMAND_STORED_H

#include "command/command.h"
#include "service/json.h"
#include "store/read.h"

#include <stdio.h>

int mni_command_list(int argc, char **argv);
int mni_command_get(int argc, char **argv);
int mni_command_result(int argc, char **argv);
int mni_command_check(int argc, char **argv);
int mni_command_compact(int argc, char **argv);
extern const mni_usage_t mni_list_usage, mni_get_usage, mni_result_usage, mni_check_usage,
    mni_compact_usage;

/* The text of --store in the tables of options. */
#define MNI_STORE_OPTION                                             \
    {                                                                \
        "store", 's', "FILE.h5",                                     \
            "The store. Default: MULTINODE_STORE, else multinode.h5" \
            "\nin this folder."                                      \
    }
#define MNI_HELP_OPTION                       \
    {                                         \
        "help", 'h', NULL, "Print this help." \
    }

/* --- stored.c: the store and its jobs ------------------------------------------------------------ */

/* The path of the store: as given (NULL: not), else MULTINODE_STORE, else ./multinode.h5. */
const char *mni_stored_path(const char *given);

/* Opens it to be read; 0 or an exit status, with a line about it. */
int mni_stored_open(const char *given, mni_store_t **store);
/* Gives its jobs, as mni_store_scan(), and tells what is damaged, and which runtime has it; 0 or an exit status. */
int mni_stored_scan(mni_store_t *store, mni_store_take_t *take, void *argument);

/* A job that was kept: the record with texts of its own. Its values are as mni_store_scan() gave them. */
typedef struct mni_stored_job {
    mni_store_record_t record;
    mn_info_t *own;
} mni_stored_job_t;

/* What its jobs need, for mni_json_print_job(); NULL: it is not known. */
static inline const mni_need_t *mni_stored_need(const mni_store_record_t *record)
{
    return record->has_need ? &record->need : NULL;
}

/* 0 or MN_E_NO_MEMORY. */
int mni_stored_keep(const mni_store_record_t *record, mni_stored_job_t *job);
void mni_stored_forget(mni_stored_job_t *job);

/* Finds the job that a user means: an id, any beginning of one that no other has, or "last", the newest. 0, or an exit status with
 * a line about it, which names the candidates. */
int mni_stored_find(const char *verb, mni_store_t *store, const char *name, mni_stored_job_t *job);

/* Whether all of standard output has arrived; else the exit status, with a line about it. */
int mni_stored_flush(void);

/* --- shown.c: texts, times, values for people ------------------------------------------------------ */

/* A text for people, cut to `columns` of a terminal (0: not at all), without control characters. Returns its width. */
size_t mni_show_text(FILE *to, const char *text, size_t columns);
/* Its width, uncut. */
size_t mni_shown_width(const char *text);
/* A point in time in the local time zone, a time span: "2026-01-31 12:00:00", "1:02:03". */
char *mni_show_time(double seconds, char *text, size_t size);
char *mni_show_span(double seconds, char *text, size_t size);
/* A value in one line: type, dimensions, beginning. */
void mni_show_value(FILE *to, const mn_value_t *value);
/* All of a value: numbers of its last dimension on a line, those of one dimension one a line; text and bytes as they are. */
void mni_print_value(FILE *to, const mn_value_t *value);

#endif
