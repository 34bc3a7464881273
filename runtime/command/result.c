/* SPDX-License-Identifier: MIT
 *
 * multinode result: the value that a job yielded last, for programs and people.
 */
#include "command/stored.h"

#include "util/size.h"
#include "util/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPTION_STORE, OPTION_OUTPUT, OPTION_JSON, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_OUTPUT] = {"output", 'o', "FILE",
                       "Write the result's bytes to this file: numbers as they are in memory,\n"
                       "text and bytes as they are."},
    [OPTION_JSON] =
        {"json", 0, NULL,
         "Print one JSON object: {\"type\":...,\"dims\":[...],\"size\":...,\"value\":...}."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_result_usage = {
    .verb = "result",
    .synopsis = "[OPTIONS] ID",
    .text =
        "Prints the result of a job: the value that it yielded last, whether it has ended or not. Numbers\n"
        "are printed one a line; a matrix has its rows on lines, blocks of more dimensions an empty line\n"
        "between. Text and bytes are printed as they are; what a terminal does not show is refused there.\n"
        "ID is an id, the beginning of one that no other has, or \"last\": the newest job.\n"
        "\n"
        "Exit status: 0; 1 there is no such job, or it has no result, or the store cannot be read; 2\n"
        "usage.",
    .options = options,
    .examples = "  multinode result -s results.h5 last\n"
                "  multinode result 1b4e28ba | sort -g | head\n"
                "  multinode result -o field.raw 1b4e28ba\n"
                "  multinode result --json 1b4e28ba | jq .dims\n",
};

/* Whether a text has what a terminal would take for more than text. */
static bool is_plain(const mn_value_t *value)
{
    const unsigned char *bytes = value->data;

    if (value->type == MN_BYTES)
        return value->size == 0;
    for (size_t i = 0; value->type == MN_TEXT && i < value->size; i++)
        if ((bytes[i] < ' ' && bytes[i] != '\n' && bytes[i] != '\t') || bytes[i] == 127)
            return false;
    return true;
}

static int print_result(const mn_value_t *value)
{
    const char *text = value->data;
    char size[32];

    if (!isatty(STDOUT_FILENO)) {
        mni_print_value(stdout, value);
        return 0;
    }
    if (!is_plain(value)) {
        mni_say("the result, %s of %s, is nothing for a terminal; write it to a file with -o FILE",
                mni_size_format(value->size, size, sizeof size),
                value->type == MN_TEXT ? "text with control characters" : "bytes");
        return MNI_EXIT_FAILED;
    }
    mni_print_value(stdout, value);
    if (value->type == MN_TEXT && value->size > 0 && text[value->size - 1] != '\n')
        fputc('\n', stdout);
    return 0;
}

/* --- to a file ---------------------------------------------------- */

/* Whether a file is one of the store's own. */
static bool is_of_store(const struct stat *file, const char *store)
{
    static const char *const suffixes[] = {"", ".journal", ".lock", ".connect"};
    struct stat own;

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s%s", store, suffixes[i]) < 0)
            return true;
        bool same =
            stat(path, &own) == 0 && own.st_dev == file->st_dev && own.st_ino == file->st_ino;
        free(path);
        if (same)
            return true;
    }
    return false;
}

static int write_result(const char *path, const char *store, const mn_value_t *value)
{
    struct stat file;
    bool is_new = stat(path, &file) != 0;

    if (!is_new && is_of_store(&file, store)) {
        mni_say("%s is a file of the store itself; give another name with -o", path);
        return MNI_EXIT_FAILED;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        mni_say("cannot write %s: %s", path, strerror(errno));
        return MNI_EXIT_FAILED;
    }
    int rc = mni_write_all(fd, value->data, value->size), error = errno;
    if (close(fd) < 0 && rc == 0) {
        rc = -1;
        error = errno;
    }
    if (rc < 0) {
        if (is_new)
            unlink(path);
        mni_say("cannot write %s: %s", path, strerror(error));
        return MNI_EXIT_FAILED;
    }
    return 0;
}

/* --- the verb ---------------------------------------------------- */

typedef struct request {
    const char *path, *name, *output;
    bool json;
} request_t;

static int deliver(const request_t *request, const char *store, const mn_value_t *value)
{
    if (request->output)
        return write_result(request->output, store, value);
    if (!request->json)
        return print_result(value);
    if (mni_json_print_value(stdout, value, SIZE_MAX) < 0) {
        mni_say("out of memory");
        return MNI_EXIT_FAILED;
    }
    fputc('\n', stdout);
    return 0;
}

static int get_result(const request_t *request)
{
    mni_store_t *store = NULL;
    mni_stored_job_t job;
    mn_value_t value = mn_none();
    char id[MN_ID_TEXT];
    int status = mni_stored_open(request->path, &store);

    if (status == 0 && (status = mni_stored_find("result", store, request->name, &job)) == 0) {
        const mn_info_t *info = &job.record.info;
        if (info->yields == 0) {
            mni_say("job %s has no result: it is %s and has yielded nothing",
                    mn_id_format(info->id, id), mn_status_name(info->status));
            status = MNI_EXIT_FAILED;
        } else if (mni_store_result(store, &job.record, &value) < 0) {
            mni_say("the result cannot be read: %s", mn_error_message());
            status = MNI_EXIT_FAILED;
        } else {
            status = deliver(request, mni_store_path(store), &value);
        }
        mn_value_destroy(&value);
        mni_stored_forget(&job);
    }
    mni_store_close(store);
    return status != 0 ? status : mni_stored_flush();
}

int mni_command_result(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_result_usage, .argc = argc, .argv = argv, .mixed = true};
    request_t request = {.path = NULL};
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(&mni_result_usage);
        if (option == OPTION_STORE)
            request.path = parser.value;
        else if (option == OPTION_OUTPUT)
            request.output = parser.value;
        else
            request.json = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (request.output && request.json)
        return mni_usage_error("result", "--output and --json exclude each other");
    if (parser.at == argc)
        return mni_usage_error("result", "ID is missing, such as in: multinode result last");
    if (parser.at + 1 < argc)
        return mni_usage_error("result", "one job at a time: \"%s\" is too much",
                               argv[parser.at + 1]);
    request.name = argv[parser.at];
    return get_result(&request);
}
