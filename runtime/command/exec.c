/* SPDX-License-Identifier: MIT
 *
 * multinode exec: any program as a job, or as many, of a running runtime. The job is "exec", which every runtime has; its input is made
 * here (client/exec_record.c reads it).
 */
#include "client/exec.h"
#include "command/each.h"
#include "command/live.h"
#include "core/declare.h"
#include "executor/process.h"
#include "util/error.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is sent together at most: jobs, and bytes (one job may have more). */
#define TOGETHER 1000
#define TOGETHER_BYTES ((size_t)4 << 20)

#define THREADS_VARIABLE "OMP_NUM_THREADS="
#define EACH_VARIABLE "MULTINODE_EACH="
#define STORE_VARIABLE "MULTINODE_STORE="

extern char **environ;

enum {
    OPTION_STORE,
    OPTION_LOCK,
    OPTION_KEY,
    OPTION_TAG,
    OPTION_MEMORY,
    OPTION_PRIORITY,
    OPTION_TIMEOUT,
    OPTION_CPU,
    OPTION_GRACE,
    OPTION_GPUS,
    OPTION_RETRIES,
    OPTION_INPUT,
    OPTION_ENV,
    OPTION_CHDIR,
    OPTION_ARRAY,
    OPTION_EACH,
    OPTION_INHERIT,
    OPTION_WAIT,
    OPTION_JSON,
    OPTION_HELP
};

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_LOCK] = {"lock", 0, "NAME",
                     "Hold this lock until it has ended; fails if it is in use."},
    [OPTION_KEY] = {"key", 0, "TEXT",
                    "The caller's own name for it: a second start with it gives the id\n"
                    "of the first."},
    [OPTION_TAG] = {"tag", 't', "TEXT", "A text to find it by."},
    [OPTION_MEMORY] = {"memory", 0, "SIZE",
                       "Memory that it may have, such as 4GiB. Default: not limited."},
    [OPTION_PRIORITY] = {"priority", 0, "N", "Larger goes first. Default: 0."},
    [OPTION_TIMEOUT] = {"timeout", 0, "SECONDS",
                        "Time that an attempt may take; then it is killed."},
    [OPTION_CPU] = {"cpu", 0, "CORES", "Cores, or a share of one. Default: 1."},
    [OPTION_GRACE] = {"grace", 0, "SECONDS",
                      "Time from the SIGTERM of a cancel to the SIGKILL. Default: 300; 0:\n"
                      "killed at once."},
    [OPTION_GPUS] = {"gpus", 0, "N", "GPUs that it has to itself. Default: none."},
    [OPTION_RETRIES] = {"retries", 0, "N", "Further attempts after one that failed. Default: 0."},
    [OPTION_INPUT] = {"input", 'i', "TEXT",
                      "Its standard input: this text; @FILE: the bytes of a file; \"-\": those\n"
                      "of standard input. Default: /dev/null."},
    [OPTION_ENV] = {"env", 'e', "NAME=VALUE",
                    "One more variable in its environment. May be given again."},
    [OPTION_INHERIT] = {"inherit", 0, NULL,
                        "Its environment is that of the runtime, with --env: nothing of this\n"
                        "command's gets into the store."},
    [OPTION_CHDIR] = {"chdir", 'C', "FOLDER", "Its working directory. Default: this one."},
    [OPTION_ARRAY] = {"array", 'a', "RANGES",
                      "A job for each number of ranges such as 1-1000, 0-100:10 or 1,5,7-9,\n"
                      "which takes the place of {} in PROGRAM and ARGUMENTS."},
    [OPTION_EACH] = {"each", 0, "FILE",
                     "The same for each line of a file; \"-\": of standard input."},
    [OPTION_WAIT] = {"wait", 'w', NULL,
                     "Wait until all have ended, and print how, as `wait` does."},
    [OPTION_JSON] = {"json", 0, NULL, "Print JSON: {\"id\":...}, or {\"ids\":[...]} of many."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_exec_usage = {
    .verb = "exec",
    .synopsis = "[OPTIONS] [--] PROGRAM [ARGUMENTS]",
    .text =
        "Runs any program as a job of a running runtime (`multinode run` or `serve`), with its resources,\n"
        "locks, logs, retries and cancel, and prints the job's id once it is kept. The program has the\n"
        "folder of this command and its environment, which is kept in the store. It succeeds if its exit\n"
        "status is 0; its result is its exit status and the end of its standard output, unless it has\n"
        "yielded (`multinode help yield`).\n"
        "\n"
        "Exit status: 0; 1 it was not started, or no runtime is running; 2 usage; with --wait as for `wait`.",
    .options = options,
    .examples = "  multinode exec -s results.h5 -- ./sim --depth 4\n"
                "  multinode exec --cpu 4 --memory 8GiB --lock table-7 --retries 2 -- ./sim\n"
                "  multinode exec --wait -- sh -c 'make test' && multinode logs last\n"
                "  multinode exec --array 1-10000 --tag scan -- ./sim --seed {}\n"
                "  ls *.xyz | multinode exec --each - --wait -- ./relax {}\n",
};

typedef struct request {
    const char *values[OPTION_INHERIT];
    json_t *environment; /* --env */
    bool inherit, wait, json, help;
    double numbers[OPTION_INPUT];
    char **program;
    mni_each_t each;
} request_t;

/* --- the record ---------------------------------------------------- */

static json_t *string_of(const char *bytes, size_t size)
{
    mn_value_t value = mn_bytes(bytes, size);
    char *printed = NULL;
    size_t length;

    if (mni_json_is_text(bytes, size) && memchr(bytes, '\0', size) == NULL)
        return json_stringn(bytes, size);
    FILE *to = open_memstream(&printed, &length);
    int rc = to == NULL ? -1 : mni_json_print_value(to, &value, SIZE_MAX);
    json_t *json =
        to != NULL && fclose(to) == 0 && rc == 0 ? json_loadb(printed, length, 0, NULL) : NULL;
    free(printed);
    return json;
}

static void append(json_t *array, const char *text)
{
    json_array_append_new(array, string_of(text, strlen(text)));
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Whether a variable of that name is among those that were given. */
static bool is_given(const request_t *request, const char *variable)
{
    size_t i, length = strcspn(variable, "=") + 1;
    const json_t *one;

    json_array_foreach(request->environment, i, one)
    {
        const char *text = json_string_value(one);
        if (text != NULL && strncmp(text, variable, length) == 0)
            return true;
    }
    return false;
}

/* What the cores and GPUs say that a job is given. */
static bool is_granted(const char *entry)
{
    static const char *const prefixes[] = {THREADS_VARIABLE,
                                           "CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=",
                                           "HIP_VISIBLE_DEVICES=", "GPU_DEVICE_ORDINAL="};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (has_prefix(entry, prefixes[i]))
            return true;
    return false;
}

/* The command's own, as executors have it, but for what the cores and GPUs say that it is given. */
static json_t *environment_of(const request_t *request, const char *store, const char *value)
{
    json_t *all = json_array();
    char *variable = NULL;

    for (char **entry = request->inherit ? NULL : environ; entry != NULL && *entry != NULL; entry++)
        if (strchr(*entry, '=') != NULL && **entry != '=' && !is_granted(*entry) &&
            !has_prefix(*entry, EACH_VARIABLE) && !has_prefix(*entry, STORE_VARIABLE) &&
            !is_given(request, *entry))
            append(all, *entry);
    if (!is_given(request, STORE_VARIABLE) && asprintf(&variable, STORE_VARIABLE "%s", store) > 0) {
        append(all, variable);
        free(variable);
    }
    if (value != NULL && asprintf(&variable, EACH_VARIABLE "%s", value) > 0) {
        append(all, variable);
        free(variable);
    }
    json_array_extend(all, request->environment);
    return all;
}

static json_t *arguments_of(char **program, const char *value)
{
    json_t *all = json_array();

    for (; *program != NULL; program++) {
        char *filled = value == NULL ? NULL : mni_each_fill(*program, value);
        append(all, filled != NULL ? filled : *program);
        free(filled);
    }
    return all;
}

/* A text, to be freed, NULL: no memory. */
static char *record_of(const request_t *request, const char *store, const char *directory,
                       json_t *input, const char *value)
{
    json_t *record = json_object();

    json_object_set_new(record, "arguments", arguments_of(request->program, value));
    json_object_set_new(record, "directory", string_of(directory, strlen(directory)));
    if (input != NULL)
        json_object_set(record, "stdin", input);
    json_object_set_new(record, "environment", environment_of(request, store, value));
    json_object_set_new(record, "inherit", json_boolean(request->inherit));
    char *text = json_object_size(record) == (input != NULL ? 5 : 4)
                     ? json_dumps(record, JSON_COMPACT)
                     : NULL;
    json_decref(record);
    if (text == NULL)
        mni_say("out of memory");
    return text;
}

/* --- one, and many ---------------------------------------------------- */

typedef struct start {
    const request_t *request;
    mni_live_t live;
    char directory[PATH_MAX];
    json_t *input; /* of standard input; NULL: none */
    char (*ids)[MN_ID_TEXT];
    size_t count; /* of them that there are */
} start_t;

/* Names of REST. Numbers are read here, so that they are checked before anything is sent. */
static const char *const names[OPTION_INPUT] = {
    [OPTION_LOCK] = "lock",         [OPTION_KEY] = "key",
    [OPTION_TAG] = "tag",           [OPTION_MEMORY] = "memory",
    [OPTION_PRIORITY] = "priority", [OPTION_TIMEOUT] = "timeout",
    [OPTION_CPU] = "cpu",           [OPTION_GRACE] = "grace",
    [OPTION_GPUS] = "gpus",         [OPTION_RETRIES] = "max_retries"};

static bool take_id(start_t *start, const char *id)
{
    if (strlen(id) != MN_ID_TEXT - 1)
        return false;
    memcpy(start->ids[start->count++], id, MN_ID_TEXT);
    return true;
}

/* Sends a start with these inputs, an array, or with one. */
static int send_start(start_t *start, json_t *inputs, bool many)
{
    json_t *json = json_object(), *id;
    size_t i;

    json_object_set_new(json, "job", json_string(MNI_EXEC_JOB));
    for (int option = OPTION_LOCK; option < OPTION_INPUT; option++) {
        const char *value = start->request->values[option];
        if (value != NULL)
            json_object_set_new(json, names[option],
                                option < OPTION_PRIORITY
                                    ? json_string(value)
                                    : json_real(start->request->numbers[option]));
    }
    json_object_set(json, many ? "inputs" : "input", many ? inputs : json_array_get(inputs, 0));
    char *body = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (body == NULL) {
        mni_say("a text of the options is not UTF-8");
        return MNI_EXIT_FAILED;
    }
    int status = mni_live_send(&start->live, "POST", "/v1/jobs", body, strlen(body),
                               "Content-Type: application/json");
    free(body);
    if (status != 0)
        return status;
    if (!many)
        return take_id(start, mni_live_text(start->live.json, "id")) ? 0 : MNI_EXIT_FAILED;
    json_array_foreach(json_object_get(start->live.json, "ids"), i,
                       id) if (i >= json_array_size(inputs) ||
                               !take_id(start, json_string_value(id))) return MNI_EXIT_FAILED;
    if (i == json_array_size(inputs))
        return 0;
    mni_say("only %zu jobs were started: %s", start->count,
            mni_live_text(start->live.json, "error"));
    return MNI_EXIT_FAILED;
}

static int start_one(start_t *start)
{
    char *record =
        record_of(start->request, start->live.store, start->directory, start->input, NULL);
    json_t *inputs = json_array();
    int status = record == NULL ? MNI_EXIT_FAILED : 0;

    json_array_append_new(inputs, json_string(record));
    if (status == 0)
        status = send_start(start, inputs, false);
    json_decref(inputs);
    free(record);
    return status;
}

static int start_many(start_t *start)
{
    const mni_each_t *each = &start->request->each;
    int status = 0;

    for (size_t at = 0; at < each->count && status == 0;) {
        json_t *inputs = json_array();
        size_t bytes = 0;
        while (status == 0 && at < each->count && json_array_size(inputs) < TOGETHER &&
               bytes < TOGETHER_BYTES) {
            char *record = record_of(start->request, start->live.store, start->directory,
                                     start->input, each->values[at++]);
            status = record == NULL ? MNI_EXIT_FAILED : 0;
            bytes += record == NULL ? 0 : strlen(record);
            json_array_append_new(inputs, json_string(record));
            free(record);
        }
        if (status == 0)
            status = send_start(start, inputs, true);
        json_decref(inputs);
    }
    return status;
}

static void print_ids(const start_t *start, bool many)
{
    if (!start->request->json) {
        for (size_t i = 0; i < start->count && !start->request->wait; i++)
            printf("%s\n", start->ids[i]);
        return;
    }
    printf("%s", many ? "{\"ids\":[" : "{\"id\":");
    for (size_t i = 0; i < start->count; i++)
        printf("%s\"%s\"", i > 0 ? "," : "", start->ids[i]);
    printf("%s\n", many ? "]}" : "}");
    fflush(stdout);
}

/* --- the command ---------------------------------------------------- */

/* The whole path of a folder, which need not be there: the program may run on another node. */
static int find_directory(const char *given, char directory[PATH_MAX])
{
    size_t length = 0;

    if (given == NULL || given[0] != '/') {
        if (getcwd(directory, PATH_MAX) == NULL) {
            mni_say("cannot find out the current folder: %s", strerror(errno));
            return MNI_EXIT_FAILED;
        }
        length = strlen(directory);
    }
    if (given == NULL)
        return 0;
    if (given[0] == '\0' || snprintf(directory + length, PATH_MAX - length, "%s%s",
                                     length > 0 ? "/" : "", given) >= (int)(PATH_MAX - length))
        return mni_usage_error("exec", "--chdir names no folder, or its path is too long");
    return 0;
}

static int read_input(start_t *start)
{
    const char *given = start->request->values[OPTION_INPUT], *bytes = NULL;
    char *owned = NULL;
    size_t size = 0;
    int status = given == NULL ? 0 : mni_input_read(given, &bytes, &size, &owned);

    if (status == 0 && given != NULL && (start->input = string_of(bytes, size)) == NULL) {
        mni_say("out of memory");
        status = MNI_EXIT_FAILED;
    }
    free(owned);
    return status;
}

static int exec(const request_t *request)
{
    bool many = request->each.count > 0;
    start_t start = {.request = request};
    int status = find_directory(request->values[OPTION_CHDIR], start.directory);

    if (status == 0)
        status = read_input(&start);
    if (status == 0 &&
        (start.ids = calloc(many ? request->each.count : 1, sizeof *start.ids)) == NULL)
        status = MNI_EXIT_FAILED;
    if (status == 0)
        status = mni_live_open(request->values[OPTION_STORE], &start.live);
    if (status == 0) {
        mni_process_clean_environment();
        status = many ? start_many(&start) : start_one(&start);
        if (start.count > 0)
            print_ids(&start, many);
    }
    if (status == 0 && request->wait)
        status = mni_live_wait(&start.live, start.ids, start.count, (double)INFINITY, request->json,
                               NULL);
    mni_live_close(&start.live);
    json_decref(start.input);
    free(start.ids);
    int flushed = mni_stored_flush();
    return status != 0 ? status : flushed;
}

/* --- options ---------------------------------------------------- */

static int add_variable(request_t *request, const char *text)
{
    if (strchr(text, '=') == NULL || text[0] == '=')
        return mni_usage_error("exec", "--env is \"%s\": it must be NAME=VALUE", text);
    append(request->environment, text);
    return 0;
}

static int read_option(request_t *request, int option, const char *value)
{
    char *end = NULL;

    request->values[option] = value;
    if (option == OPTION_ENV)
        return add_variable(request, value);
    if (option < OPTION_PRIORITY || option > OPTION_RETRIES)
        return 0;
    bool whole = option == OPTION_RETRIES || option == OPTION_PRIORITY || option == OPTION_GPUS;
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(number) ||
        (option != OPTION_PRIORITY && number < 0) || (whole && number != trunc(number)))
        return mni_usage_error("exec", "--%s is \"%s\": it must be a%s number%s",
                               options[option].name, value, whole ? " whole" : "",
                               option == OPTION_PRIORITY ? "" : ", 0 or more");
    /* 0 is "as declared" there, and MN_NO_GRACE none. */
    request->numbers[option] = option == OPTION_GRACE && number == 0 ? -1 : number;
    return 0;
}

static int check(request_t *request)
{
    const char *array = request->values[OPTION_ARRAY], *each = request->values[OPTION_EACH];
    const char *input = request->values[OPTION_INPUT];

    if (array != NULL && each != NULL)
        return mni_usage_error("exec", "--array and --each exclude each other");
    if ((array != NULL || each != NULL) &&
        (request->values[OPTION_LOCK] != NULL || request->values[OPTION_KEY] != NULL))
        return mni_usage_error("exec", "many jobs cannot share a %s: start them one by one",
                               request->values[OPTION_LOCK] != NULL ? "lock" : "key");
    if (each != NULL && input != NULL && strcmp(each, "-") == 0 && strcmp(input, "-") == 0)
        return mni_usage_error("exec", "--each and --input cannot both be standard input");
    if (array != NULL)
        return mni_each_numbers(array, &request->each);
    return each != NULL ? mni_each_lines(each, &request->each) : 0;
}

static int read_all(mni_parser_t *parser, request_t *request)
{
    int option, status = 0;

    while (status == 0 && (option = mni_parser_next(parser)) >= 0) {
        if (option == OPTION_HELP) {
            request->help = true;
            return 0;
        }
        if (option == OPTION_INHERIT)
            request->inherit = true;
        else if (option == OPTION_WAIT)
            request->wait = true;
        else if (option == OPTION_JSON)
            request->json = true;
        else
            status = read_option(request, option, parser->value);
    }
    if (status == 0 && option == MNI_PARSER_ERROR)
        status = MNI_EXIT_USAGE;
    if (status == 0 && (parser->at == parser->argc || parser->argv[parser->at][0] == '\0'))
        status =
            mni_usage_error("exec", "PROGRAM is missing, such as in: multinode exec -- ./sim 7");
    request->program = parser->argv + parser->at;
    return status != 0 ? status : check(request);
}

int mni_command_exec(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_exec_usage, .argc = argc, .argv = argv};
    request_t request = {.environment = json_array()};

    int status = read_all(&parser, &request);
    if (status == 0)
        status = request.help ? mni_help_print(&mni_exec_usage) : exec(&request);
    json_decref(request.environment);
    mni_each_fini(&request.each);
    return status;
}
