/* SPDX-License-Identifier: MIT
 *
 * multinode list: which jobs, how many, and in which form.
 */
#include "command/list.h"

#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    OPTION_STORE,
    OPTION_JOB,
    OPTION_STATUS,
    OPTION_LOCK,
    OPTION_TAG,
    OPTION_LIMIT,
    OPTION_FORMAT,
    OPTION_JSON,
    OPTION_HELP
};

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_JOB] = {"job", 'j', "NAME", "Jobs of this job function."},
    [OPTION_STATUS] = {"status", 0, "LIST",
                       "Jobs with one of these: pending, running, succeeded, failed,\n"
                       "cancelling, cancelled; \"active\" is pending,running,cancelling."},
    [OPTION_LOCK] = {"lock", 0, "NAME", "Jobs that hold this lock, or held it."},
    [OPTION_TAG] = {"tag", 't', "TEXT", "Jobs with this tag."},
    [OPTION_LIMIT] = {"limit", 'n', "N", "The N newest of them."},
    [OPTION_FORMAT] = {"format", 0, "COLUMNS",
                       "These columns, with tabs between, for scripts: any of id, job,\n"
                       "status, reason, error, attempts, lock, tag, key, created, started,\n"
                       "ended, progress, message, yields, host, rank, cpus, cpu_time,\n"
                       "peak_memory."},
    [OPTION_JSON] = {"json", 0, NULL,
                     "Print one JSON object: {\"store\":...,\"runtime\":...,\"jobs\":[...]}."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_list_usage = {
    .verb = "list",
    .synopsis = "[OPTIONS]",
    .text =
        "Lists the jobs of a store, newest first. No runtime is needed, and nothing is changed; while a\n"
        "runtime has the store, what it has kept by now is shown.\n"
        "\n"
        "Ids are as short as can be told apart. On a terminal the last column is cut to what fits; times\n"
        "are local ones there, and seconds since 1970 with --format and --json.\n"
        "\n"
        "Exit status: 0, also when there is none; 1 the store cannot be read; 2 usage.",
    .options = options,
    .examples = "  multinode list -s results.h5                 all jobs\n"
                "  multinode list -s results.h5 --status active -n 20\n"
                "                                               the 20 newest that have not ended\n"
                "  multinode list --job simulate --status failed --format id,error\n"
                "  multinode list --json | jq -r '.jobs[] | select(.attempts > 1) | .id'\n",
};

/* --- options ---------------------------------------------------- */

static int read_statuses(const char *text, unsigned *statuses)
{
    *statuses = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        unsigned found = 0;
        if (length == 6 && strncasecmp(text, "active", length) == 0)
            found = 1u << MN_PENDING | 1u << MN_RUNNING | 1u << MN_CANCELLING;
        for (int status = MN_PENDING; status <= MN_CANCELLED; status++) {
            const char *name = mn_status_name((mn_status_t)status);
            if (strlen(name) == length && strncasecmp(text, name, length) == 0)
                found = 1u << status;
        }
        if (found == 0)
            return mni_usage_error("list",
                                   "--status: \"%.*s\" is none of pending, running, succeeded, "
                                   "failed, cancelling, cancelled, active",
                                   (int)length, text);
        *statuses |= found;
        text += length + (text[length] == ',');
    }
    return *statuses != 0 ? 0 : mni_usage_error("list", "--status is empty");
}

static int read_limit(const char *text, size_t *limit)
{
    char *end = NULL;

    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return mni_usage_error("list", "--limit is \"%s\": it must be a whole number", text);
    *limit = value;
    return 0;
}

static int read_option(int option, const char *value, mni_list_t *list)
{
    switch (option) {
    case OPTION_STORE:
        list->path = value;
        return 0;
    case OPTION_JOB:
        list->job = value;
        return 0;
    case OPTION_STATUS:
        return read_statuses(value, &list->statuses);
    case OPTION_LOCK:
        list->lock = value;
        return 0;
    case OPTION_TAG:
        list->tag = value;
        return 0;
    case OPTION_LIMIT:
        return read_limit(value, &list->limit);
    case OPTION_FORMAT:
        list->format = value;
        return mni_list_columns_check(value);
    default:
        list->json = true;
        return 0;
    }
}

/* --- jobs ---------------------------------------------------- */

static bool is_text(const char *wanted, const char *text)
{
    return wanted == NULL || (text != NULL && strcmp(wanted, text) == 0);
}

static int keep_id(mni_list_t *list, mn_id_t id)
{
    if (list->id_count == list->id_room) {
        size_t room = list->id_room == 0 ? 256 : list->id_room * 2;
        mn_id_t *grown = reallocarray(list->ids, room, sizeof *grown);
        if (grown == NULL)
            return mni_error(MN_E_NO_MEMORY, "no memory for %zu ids", room);
        list->ids = grown;
        list->id_room = room;
    }
    list->ids[list->id_count++] = id;
    return 0;
}

/* They come oldest first: of more than the limit the oldest is forgotten, the array being a ring then. */
static int take(void *argument, const mni_store_record_t *record)
{
    mni_list_t *list = argument;
    const mn_info_t *info = &record->info;
    int rc = list->json || list->format ? 0 : keep_id(list, info->id);

    if (rc < 0 || list->limit == 0 || !is_text(list->job, info->job) ||
        !is_text(list->lock, info->lock) || !is_text(list->tag, info->tag) ||
        (list->statuses != 0 && (list->statuses & 1u << info->status) == 0))
        return rc;
    if (list->count == list->limit) {
        mni_stored_forget(&list->jobs[list->first]);
        rc = mni_stored_keep(record, &list->jobs[list->first]);
        list->first = (list->first + 1) % list->count;
        return rc;
    }
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        mni_stored_job_t *grown = reallocarray(list->jobs, room, sizeof *grown);
        if (grown == NULL)
            return mni_error(MN_E_NO_MEMORY, "no memory for %zu jobs", room);
        list->jobs = grown;
        list->room = room;
    }
    if ((rc = mni_stored_keep(record, &list->jobs[list->count])) == 0)
        list->count++;
    return rc;
}

const mni_store_record_t *mni_list_at(const mni_list_t *list, size_t i)
{
    return &list->jobs[(list->first + list->count - 1 - i) % list->count].record;
}

static int print_json(const mni_list_t *list)
{
    json_t *path = mni_json_text(mni_store_path(list->store), strlen(mni_store_path(list->store)));
    json_t *user =
        mni_store_user(list->store) == NULL
            ? json_null()
            : mni_json_text(mni_store_user(list->store), strlen(mni_store_user(list->store)));
    int rc = path == NULL || user == NULL ? MN_E_NO_MEMORY : 0;

    fputs("{\"store\":", stdout);
    json_dumpf(path, stdout, JSON_ENCODE_ANY);
    fputs(",\"runtime\":", stdout);
    json_dumpf(user, stdout, JSON_ENCODE_ANY);
    fputs(",\"jobs\":[", stdout);
    for (size_t i = 0; i < list->count && rc == 0 && !ferror(stdout); i++) {
        fputs(i > 0 ? ",\n{" : "\n{", stdout);
        rc = mni_json_print_job(stdout, &mni_list_at(list, i)->info,
                                mni_stored_need(mni_list_at(list, i)));
        fputc('}', stdout);
    }
    fputs("]}\n", stdout);
    json_decref(path);
    json_decref(user);
    if (rc < 0)
        mni_say("out of memory");
    return rc < 0 ? MNI_EXIT_FAILED : 0;
}

static int list_jobs(mni_list_t *list)
{
    int status = mni_stored_open(list->path, &list->store);

    if (status == 0)
        status = mni_stored_scan(list->store, take, list);
    if (status == 0 && list->json)
        status = print_json(list);
    else if (status == 0 && list->format)
        mni_list_print_columns(list);
    else if (status == 0)
        mni_list_print_table(list);
    for (size_t i = 0; i < list->count; i++)
        mni_stored_forget(&list->jobs[i]);
    free(list->jobs);
    free(list->ids);
    mni_store_close(list->store);
    return status != 0 ? status : mni_stored_flush();
}

int mni_command_list(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_list_usage, .argc = argc, .argv = argv, .mixed = true};
    mni_list_t list = {.limit = SIZE_MAX};
    int option, rc;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(&mni_list_usage);
        if ((rc = read_option(option, parser.value, &list)) != 0)
            return rc;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at < argc)
        return mni_usage_error("list", "\"%s\" is too much; multinode get %s shows one job",
                               argv[parser.at], argv[parser.at]);
    if (list.json && list.format)
        return mni_usage_error("list", "--json and --format exclude each other");
    return list_jobs(&list);
}
