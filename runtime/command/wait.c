/* SPDX-License-Identifier: MIT
 *
 * multinode wait: until jobs have ended; on a terminal with a bar for the one that is waited for. multinode watch: a line for each
 * change of one.
 */
#include "command/live.h"

#include "util/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_JOB_FAILED 3
#define EXIT_JOB_CANCELLED 4
#define EXIT_TIME_OVER 124

#define WAIT_MOST 60.0 /* of one request */
#define BAR 30

enum { OPTION_STORE, OPTION_TIMEOUT, OPTION_QUIET, OPTION_JSON, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_TIMEOUT] = {"timeout", 0, "SECONDS", "Wait no longer than this."},
    [OPTION_QUIET] = {"quiet", 'q', NULL, "Print errors only."},
    [OPTION_JSON] = {"json", 0, NULL,
                     "Print one JSON object at the end: jobs, those that have ended, each with\n"
                     "id, status, reason and error."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_wait_usage = {
    .verb = "wait",
    .synopsis = "[OPTIONS] ID...",
    .text =
        "Waits until all of the jobs have ended, and prints for each how. On a terminal a bar shows how\n"
        "far the one is that is waited for.\n"
        "\n"
        "Exit status: 0 all of them succeeded; 3 one has failed; 4 one was cancelled, and none failed; 124\n"
        "the timeout was over first; 1 there is no such job or runtime, or it has ended first; 2 usage.",
    .options = options,
    .examples = "  multinode wait last && multinode result last\n"
                "  multinode wait --timeout 3600 1b4e28ba 92c0\n",
};

static void show_bar(const json_t *job, bool *shown)
{
    const json_t *progress = json_object_get(job, "progress");
    double done = json_is_number(progress) ? json_number_value(progress) : 0;
    int full = done > 0 ? (int)(done * BAR) : 0;

    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%.8s  ", mni_live_text(job, "id"));
    mni_show_text(stderr, mni_live_text(job, "job"), 24);
    fprintf(stderr, "  [%.*s%*s] %3.0f%%  %s  ", full, "##############################", BAR - full,
            "", done * 100, mni_live_text(job, "status"));
    mni_show_text(stderr, mni_live_text(job, "message"), 30);
    fflush(stderr);
    *shown = true;
}

static int status_of(const char *status)
{
    return strcmp(status, "FAILED") == 0      ? EXIT_JOB_FAILED
           : strcmp(status, "CANCELLED") == 0 ? EXIT_JOB_CANCELLED
                                              : 0;
}

static bool has_ended(const char *status)
{
    return strcmp(status, "SUCCEEDED") == 0 || status_of(status) != 0;
}

/* The version of the answer: of the job that is shown, which is what "seen" wants. */
static size_t take_version(char *line, size_t one, size_t count, void *argument)
{
    static const char name[] = "Multinode-Version:";
    if (one * count > sizeof name && strncasecmp(line, name, sizeof name - 1) == 0)
        *(unsigned long long *)argument = strtoull(line + sizeof name - 1, NULL, 10);
    return one * count;
}

/* How a job has ended, on a line or, if there is one, in an array. */
static void tell_end(const json_t *job, const char *id, bool quiet, json_t *ended)
{
    static const char *const members[] = {"id", "status", "reason", "error"};
    const char *error = mni_live_text(job, "error");

    if (ended != NULL) {
        json_t *one = json_object();
        for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
            json_object_set(one, members[i], json_object_get(job, members[i]));
        json_array_append_new(ended, one);
    } else if (!quiet) {
        printf("%s  %s", id, mni_live_text(job, "status"));
        if (error[0] != '\0') {
            fputs("  ", stdout);
            mni_show_text(stdout, error, 0);
        }
        fputc('\n', stdout);
        fflush(stdout);
    }
}

static int wait_for(mni_live_t *live, const char *id, double end, bool quiet, json_t *ended)
{
    bool shown = false, watched = isatty(STDERR_FILENO) && !quiet;
    unsigned long long version = 0;
    char path[192];
    int status;

    curl_easy_setopt(live->curl, CURLOPT_HEADERFUNCTION, take_version);
    curl_easy_setopt(live->curl, CURLOPT_HEADERDATA, &version);
    for (double wait = 0;;) {
        int length = snprintf(path, sizeof path, "/v1/jobs/%s?wait=%.3f", id, wait);
        if (watched && wait > 0)
            snprintf(path + length, sizeof path - (size_t)length, "&seen=%llu", version);
        if ((status = mni_live_send(live, "GET", path, NULL, 0, NULL)) != 0)
            break;
        if (has_ended(mni_live_text(live->json, "status")))
            break;
        if (watched)
            show_bar(live->json, &shown);
        wait = fmin(end - mni_clock_calendar(), WAIT_MOST);
        if (wait <= 0) {
            status = EXIT_TIME_OVER;
            break;
        }
    }
    if (shown)
        fputs("\r\033[K", stderr);
    if (status != 0)
        return status;
    tell_end(live->json, id, quiet, ended);
    return status_of(mni_live_text(live->json, "status"));
}

int mni_live_wait(mni_live_t *live, char (*ids)[MN_ID_TEXT], size_t count, double timeout,
                  bool quiet, json_t *ended)
{
    double end = mni_clock_calendar() + timeout;
    int status = 0, worst = 0;

    for (size_t i = 0; i < count && status == 0; i++) {
        int one = wait_for(live, ids[i], end, quiet, ended);
        if (one == EXIT_JOB_FAILED || (one == EXIT_JOB_CANCELLED && worst == 0))
            worst = one;
        else if (one != EXIT_JOB_CANCELLED)
            status = one;
    }
    if (status == EXIT_TIME_OVER)
        mni_say("the time is over: not all jobs have ended");
    return status != 0 ? status : worst;
}

static int wait_for_all(const char *store, char **names, int count, double timeout, bool quiet,
                        bool json)
{
    char(*ids)[MN_ID_TEXT] = calloc((size_t)count, sizeof *ids);
    json_t *ended = json ? json_array() : NULL;
    mni_live_t live = {.curl = NULL};
    int status = ids == NULL ? MNI_EXIT_FAILED : mni_live_open(store, &live);

    for (int i = 0; i < count && status == 0; i++)
        status = mni_live_find("wait", &live, names[i], ids[i]);
    if (status == 0) {
        status = mni_live_wait(&live, ids, (size_t)count, timeout, quiet, ended);
        if (json)
            mni_live_print_jobs(ended);
    }
    json_decref(ended);
    mni_live_close(&live);
    free(ids);
    int flushed = mni_stored_flush();
    return status != 0 ? status : flushed;
}

int mni_command_wait(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_wait_usage, .argc = argc, .argv = argv, .mixed = true};
    const char *store = NULL;
    double timeout = (double)INFINITY;
    bool quiet = false, json = false;
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        char *rest = NULL;
        if (option == OPTION_HELP)
            return mni_help_print(&mni_wait_usage);
        if (option == OPTION_STORE)
            store = parser.value;
        else if (option == OPTION_QUIET)
            quiet = true;
        else if (option == OPTION_JSON)
            json = true;
        else if (!((timeout = strtod(parser.value, &rest)) >= 0) || rest == parser.value ||
                 *rest != '\0')
            return mni_usage_error("wait", "--timeout is \"%s\": it must be seconds", parser.value);
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at == argc)
        return mni_usage_error("wait", "ID is missing, such as in: multinode wait last");
    return wait_for_all(store, argv + parser.at, argc - parser.at, timeout, quiet, json);
}

/* --- watch ---------------------------------------------------- */

enum { WATCH_STORE, WATCH_JSON, WATCH_HELP };

static const mni_option_t watch_options[] = {
    [WATCH_STORE] = MNI_STORE_OPTION,
    [WATCH_JSON] = {"json", 0, NULL,
                    "Print a JSON object for each change: what get --json prints."},
    [WATCH_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_watch_usage = {
    .verb = "watch",
    .synopsis = "[OPTIONS] ID",
    .text =
        "Prints a line for each change of a job until it has ended: its status, how far it is, and the\n"
        "beginning of what it yielded last. Yields that follow each other too fast are left out but for\n"
        "the last of them.\n"
        "\n"
        "Exit status: 0 it succeeded; 3 it failed; 4 it was cancelled; 1 there is no such job or runtime,\n"
        "or that ended first; 2 usage.",
    .options = watch_options,
    .examples = "  multinode watch last\n"
                "  multinode watch --json 1b4e28ba | jq -c .result.value\n",
};

typedef struct watch {
    bool json, ended;
    int status;
} watch_t;

static void print_change(const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    mn_value_t value = mn_none();

    printf("%-10s  %3.0f%%  ", mni_live_text(job, "status"),
           100 * json_number_value(json_object_get(job, "progress")));
    if (mni_live_text(job, "message")[0] != '\0') {
        mni_show_text(stdout, mni_live_text(job, "message"), 0);
        fputs("  ", stdout);
    }
    if (json_is_null(json_object_get(result, "value")))
        printf("%s of %" JSON_INTEGER_FORMAT " bytes", mni_live_text(result, "type"),
               json_integer_value(json_object_get(result, "size")));
    else if (json_integer_value(json_object_get(job, "yields")) > 0 &&
             mni_json_read_value(result, &value) == 0)
        mni_show_value(stdout, &value);
    mn_value_destroy(&value);
    mni_show_text(stdout, mni_live_text(job, "error"), 0);
    fputc('\n', stdout);
}

static bool take_line(void *argument, const char *line)
{
    static const char mark[] = "data: ";
    watch_t *watch = argument;

    if (strncmp(line, mark, sizeof mark - 1) != 0)
        return true;
    line += sizeof mark - 1;
    json_t *job = json_loads(line, JSON_ALLOW_NUL, NULL);
    const char *status = mni_live_text(job, "status");
    if (status[0] != '\0' && watch->json)
        printf("%s\n", line);
    else if (status[0] != '\0')
        print_change(job);
    fflush(stdout);
    watch->ended = has_ended(status);
    watch->status = status_of(status);
    json_decref(job);
    return !ferror(stdout);
}

int mni_command_watch(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_watch_usage, .argc = argc, .argv = argv, .mixed = true};
    const char *store = NULL;
    char id[MN_ID_TEXT], path[96];
    watch_t watch = {.json = false};
    mni_live_t live;
    int option, status;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == WATCH_HELP)
            return mni_help_print(&mni_watch_usage);
        if (option == WATCH_STORE)
            store = parser.value;
        else
            watch.json = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at + 1 != argc)
        return mni_usage_error("watch", "one ID is needed, such as in: multinode watch last");
    if ((status = mni_live_open(store, &live)) == 0 &&
        (status = mni_live_find("watch", &live, argv[parser.at], id)) == 0) {
        snprintf(path, sizeof path, "/v1/jobs/%s/events", id);
        status = mni_live_lines(&live, path, take_line, &watch);
        if (status == 0 && !watch.ended) {
            mni_say("job %s has not ended: the runtime has, or it was removed", id);
            status = MNI_EXIT_FAILED;
        }
    }
    mni_live_close(&live);
    if (status == 0)
        status = mni_stored_flush();
    return status != 0 ? status : watch.status;
}
