/* SPDX-License-Identifier: MIT
 *
 * multinode logs: what a job has written, so far or as it comes. The runtime numbers the bytes of a stream; a follower asks for those from
 * a number on, so it is told each of them once. Between two questions it waits for the end of the job, longer and longer while nothing comes.
 */
#include "command/live.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Seconds between two questions while a job runs. */
#define PAUSE_LEAST 0.05
#define PAUSE_MOST 1.0
#define WAIT_MOST 60.0 /* of one request */

enum { OPTION_STORE, OPTION_FOLLOW, OPTION_ATTEMPT, OPTION_STDERR, OPTION_JSON, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_FOLLOW] = {"follow", 'f', NULL,
                       "Go on until the job has ended, through further attempts unless\n"
                       "--attempt names one."},
    [OPTION_ATTEMPT] = {"attempt", 0, "N", "Of this attempt, from 1. Default: the latest."},
    [OPTION_STDERR] = {"stderr", 0, NULL,
                       "What it wrote to standard error, instead of standard output."},
    [OPTION_JSON] = {"json", 0, NULL,
                     "Print one JSON object: id, attempt, stream, state (running, over: the\n"
                     "attempt has ended, ended: the job has) and log, a value as of get."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_logs_usage = {
    .verb = "logs",
    .synopsis = "[OPTIONS] ID",
    .text =
        "Prints what a job of a running runtime has written, so far if it runs. Of each stream the first\n"
        "and the last 64 KiB are kept; a line says how many bytes are missing between. With --follow that\n"
        "happens only where more than 64 KiB are written within a second at most. They go with the runtime.\n"
        "\n"
        "Exit status: 0; 1 there is no such job, attempt or runtime, or it ended first; 2 usage.",
    .options = options,
    .examples = "  multinode logs last\n"
                "  multinode logs -f 1b4e28ba | grep -m 1 converged\n"
                "  multinode logs --stderr --attempt 1 1b4e28ba\n",
};

typedef struct logs {
    mni_live_t live;
    char id[MN_ID_TEXT];
    const char *stream;
    bool json;

    /* of the answers */
    unsigned long long version, next, attempt;
    bool over, ended;
} logs_t;

static const char *header_is(const char *line, size_t size, const char *name)
{
    size_t length = strlen(name);
    return size > length && strncasecmp(line, name, length) == 0 ? line + length : NULL;
}

static size_t take_header(char *line, size_t one, size_t count, void *argument)
{
    logs_t *logs = argument;
    const char *value;

    if ((value = header_is(line, one * count, "Multinode-Version: ")) != NULL)
        logs->version = strtoull(value, NULL, 10);
    else if ((value = header_is(line, one * count, "Multinode-Next: ")) != NULL)
        logs->next = strtoull(value, NULL, 10);
    else if ((value = header_is(line, one * count, "Multinode-Attempt: ")) != NULL)
        logs->attempt = strtoull(value, NULL, 10);
    else if ((value = header_is(line, one * count, "Multinode-State: ")) != NULL) {
        logs->over = *value != 'r';
        logs->ended = *value == 'e';
    }
    return one * count;
}

/* Asks for a stream of an attempt (0: the latest) from a byte on. */
static int ask(logs_t *logs, unsigned long long attempt, unsigned long long from)
{
    char path[192];

    snprintf(path, sizeof path, "/v1/jobs/%s/logs?attempt=%llu&from=%llu&stream=%s", logs->id,
             attempt, from, logs->stream);
    return mni_live_send(&logs->live, "GET", path, NULL, 0, NULL);
}

static void print_json(const logs_t *logs)
{
    const char *bytes = logs->live.body == NULL ? "" : logs->live.body;
    size_t size = logs->live.size;
    mn_value_t value = mn_bytes(bytes, size);

    if (mni_json_is_text(bytes, size) && memchr(bytes, '\0', size) == NULL)
        value = mn_text(bytes); /* there is a NUL behind the answer */
    printf("{\"id\":\"%s\",\"attempt\":%llu,\"stream\":\"%s\",\"state\":\"%s\",\"log\":", logs->id,
           logs->attempt, logs->stream,
           logs->ended  ? "ended"
           : logs->over ? "over"
                        : "running");
    mni_json_print_value(stdout, &value, SIZE_MAX);
    fputs("}\n", stdout);
}

static int print_once(logs_t *logs, unsigned long long attempt)
{
    int status = ask(logs, attempt, 0);

    if (status == 0 && logs->json)
        print_json(logs);
    else if (status == 0 && logs->live.size > 0)
        fwrite(logs->live.body, 1, logs->live.size, stdout);
    return status;
}

/* The job, once it has ended or `wait` seconds are over; `changed`: or when it is not any more as it was. */
static int look(logs_t *logs, double wait, bool changed)
{
    char path[160];
    int length =
        snprintf(path, sizeof path, "/v1/jobs/%s?wait=%.3f", logs->id, wait > 0 ? wait : 0.0);

    if (changed)
        snprintf(path + length, sizeof path - (size_t)length, "&seen=%llu", logs->version);
    return mni_live_send(&logs->live, "GET", path, NULL, 0, NULL);
}

static bool has_ended(const mni_live_t *live)
{
    const char *status = mni_live_text(live->json, "status");
    return strcmp(status, "SUCCEEDED") == 0 || strcmp(status, "FAILED") == 0 ||
           strcmp(status, "CANCELLED") == 0;
}

/* Waits until an attempt has begun (0: any). 1: it has, logs->attempt is the latest one; 0: it never will; -1: *status says why not. */
static int await_attempt(logs_t *logs, unsigned long long attempt, int *status)
{
    *status = look(logs, 0, false);
    while (*status == 0) {
        logs->attempt =
            (unsigned long long)json_integer_value(json_object_get(logs->live.json, "attempts"));
        if (logs->attempt > 0 && logs->attempt >= attempt)
            return 1;
        if (has_ended(&logs->live))
            return 0;
        *status = look(logs, WAIT_MOST, true);
    }
    return -1;
}

/* All of an attempt from now to its end. */
static int follow_attempt(logs_t *logs, unsigned long long attempt)
{
    double pause = PAUSE_LEAST;
    int status;

    logs->next = 0;
    for (;;) {
        if ((status = ask(logs, attempt, logs->next)) != 0)
            return status;
        if (logs->live.size > 0) {
            fwrite(logs->live.body, 1, logs->live.size, stdout);
            if (fflush(stdout) != 0)
                return 0; /* which is told at the end */
            pause = PAUSE_LEAST;
        }
        if (logs->over)
            return 0;
        if ((status = look(logs, pause, false)) != 0)
            return status;
        pause = pause * 2 < PAUSE_MOST ? pause * 2 : PAUSE_MOST;
    }
}

static int follow(logs_t *logs, unsigned long long wanted)
{
    int status = 0, there = await_attempt(logs, wanted, &status);
    unsigned long long attempt = wanted > 0 ? wanted : logs->attempt;

    if (there == 0 && wanted > 0) {
        mni_say("job %s has ended without attempt %llu", logs->id, wanted);
        return MNI_EXIT_FAILED;
    }
    while (there > 0) {
        status = follow_attempt(logs, attempt);
        if (status != 0 || wanted > 0 || ferror(stdout))
            return status;
        attempt++;
        there = await_attempt(logs, attempt, &status);
        if (there > 0)
            mni_say("attempt %llu:", attempt);
    }
    return status;
}

int mni_command_logs(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_logs_usage, .argc = argc, .argv = argv, .mixed = true};
    const char *store = NULL, *attempt = "0";
    logs_t logs = {.stream = "stdout"};
    bool follows = false;
    int option, status;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(&mni_logs_usage);
        if (option == OPTION_STORE)
            store = parser.value;
        else if (option == OPTION_FOLLOW)
            follows = true;
        else if (option == OPTION_STDERR)
            logs.stream = "stderr";
        else if (option == OPTION_JSON)
            logs.json = true;
        else
            attempt = parser.value;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (attempt[0] == '\0' || strspn(attempt, "0123456789") != strlen(attempt) ||
        strlen(attempt) > 9)
        return mni_usage_error("logs", "--attempt is \"%s\": it must be a whole number", attempt);
    if (follows && logs.json)
        return mni_usage_error("logs", "--follow and --json exclude each other");
    if (parser.at + 1 != argc)
        return mni_usage_error("logs", "one ID is needed, such as in: multinode logs last");
    if ((status = mni_live_open(store, &logs.live)) == 0 &&
        (status = mni_live_find("logs", &logs.live, argv[parser.at], logs.id)) == 0) {
        curl_easy_setopt(logs.live.curl, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(logs.live.curl, CURLOPT_HEADERDATA, &logs);
        unsigned long long number = strtoull(attempt, NULL, 10);
        status = follows ? follow(&logs, number) : print_once(&logs, number);
    }
    mni_live_close(&logs.live);
    return status != 0 ? status : mni_stored_flush();
}
