/* SPDX-License-Identifier: MIT
 *
 * Which store, and which of its jobs, a user means.
 */
#include "command/stored.h"

#include "client/info.h"
#include "util/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_STORE "multinode.h5"
#define MOST_CANDIDATES 10

/* --- the store ---------------------------------------------------- */

const char *mni_stored_path(const char *given)
{
    const char *variable = getenv("MULTINODE_STORE");

    if (given != NULL)
        return given;
    return variable != NULL && variable[0] != '\0' ? variable : DEFAULT_STORE;
}

int mni_stored_open(const char *given, mni_store_t **store)
{
    const char *path = mni_stored_path(given);

    if (path == given || strcmp(path, DEFAULT_STORE) != 0 || access(path, F_OK) == 0 ||
        errno != ENOENT) {
        if (mni_store_open_read(path, store) == 0)
            return 0;
        mni_say("%s", mn_error_message());
    } else {
        mni_say("there is no " DEFAULT_STORE " in this folder; name the store with --store FILE.h5 "
                "or in MULTINODE_STORE");
    }
    return MNI_EXIT_FAILED;
}

/* Sentences, a line each. */
static void say_damage(const char *text)
{
    while (text != NULL && *text != '\0') {
        size_t length = strcspn(text, "\n");
        mni_say("%.*s", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

int mni_stored_scan(mni_store_t *store, mni_store_take_t *take, void *argument)
{
    int rc = mni_store_scan(store, take, argument);

    if (rc < 0) {
        mni_say("%s", mn_error_message());
        return MNI_EXIT_FAILED;
    }
    if (mni_store_user(store) != NULL)
        mni_say("a runtime has this store (%s): what it has kept by now is shown",
                mni_store_user(store));
    say_damage(mni_store_damage(store));
    return 0;
}

int mni_stored_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    mni_say("cannot write to standard output: %s", strerror(errno));
    return MNI_EXIT_FAILED;
}

/* --- one of its jobs ---------------------------------------------------- */

int mni_stored_keep(const mni_store_record_t *record, mni_stored_job_t *job)
{
    mn_info_t bare = record->info;

    bare.result = mn_none();
    int rc = mni_info_copy(&bare, &job->own);
    if (rc < 0)
        return rc;
    job->record = *record;
    job->record.info = *job->own;
    job->record.info.result = record->info.result;
    return 0;
}

void mni_stored_forget(mni_stored_job_t *job)
{
    mn_info_destroy(job->own);
    job->own = NULL;
}

/* The digits of an id, or of the beginning of one: dashes may be left out. Negative: it is none. */
static int digits_read(const char *text, char digits[33])
{
    int count = 0;

    for (; *text; text++) {
        if (*text == '-' && count > 0)
            continue;
        if (!isxdigit((unsigned char)*text) || count == 32)
            return -1;
        digits[count++] = (char)tolower((unsigned char)*text);
    }
    digits[count] = '\0';
    return count > 0 ? count : -1;
}

typedef struct search {
    char digits[33];
    size_t count; /* digits; 0: the newest job is meant */
    size_t found;
    mni_stored_job_t jobs[MOST_CANDIDATES];
} search_t;

static bool begins_with(mn_id_t id, const char *digits, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ("0123456789abcdef"[id.bytes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15] != digits[i])
            return false;
    return true;
}

static int search_take(void *argument, const mni_store_record_t *record)
{
    search_t *search = argument;

    if (search->count == 0) { /* they come oldest first */
        mni_stored_forget(&search->jobs[0]);
        search->found = 1;
        return mni_stored_keep(record, &search->jobs[0]);
    }
    if (!begins_with(record->info.id, search->digits, search->count))
        return 0;
    if (search->found < MOST_CANDIDATES) {
        int rc = mni_stored_keep(record, &search->jobs[search->found]);
        if (rc < 0)
            return rc;
    }
    search->found++;
    return 0;
}

static void say_candidates(const char *name, const search_t *search)
{
    mni_say("\"%s\" may be any of %zu jobs; write more of the id:", name, search->found);
    for (size_t i = 0; i < search->found && i < MOST_CANDIDATES; i++) {
        const mn_info_t *info = &search->jobs[i].record.info;
        char id[MN_ID_TEXT], created[32];
        fprintf(stderr, "  %s  ", mn_id_format(info->id, id));
        mni_show_text(stderr, info->job, 0);
        fprintf(stderr, "  %s  %s\n", mn_status_name(info->status),
                mni_show_time(info->created, created, sizeof created));
    }
    if (search->found > MOST_CANDIDATES)
        fprintf(stderr, "  and %zu more\n", search->found - MOST_CANDIDATES);
}

int mni_stored_find(const char *verb, mni_store_t *store, const char *name, mni_stored_job_t *job)
{
    search_t search = {.count = 0};
    int status;

    if (strcmp(name, "last") != 0) {
        int count = digits_read(name, search.digits);
        if (count < 0)
            return mni_usage_error(
                verb, "\"%s\" is no id: give one, the beginning of one, or \"last\"", name);
        search.count = (size_t)count;
    }
    if ((status = mni_stored_scan(store, search_take, &search)) == 0) {
        if (search.found == 0 && search.count == 0)
            mni_say("the store %s has no jobs", mni_store_path(store));
        else if (search.found == 0)
            mni_say("there is no job %s in the store %s; multinode list shows those that there are",
                    name, mni_store_path(store));
        else if (search.found > 1)
            say_candidates(name, &search);
        status = search.found == 1 ? 0 : MNI_EXIT_FAILED;
    }
    for (size_t i = status == 0; i < MOST_CANDIDATES; i++)
        mni_stored_forget(&search.jobs[i]);
    if (status == 0)
        *job = search.jobs[0];
    return status;
}
