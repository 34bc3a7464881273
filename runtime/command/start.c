/* SPDX-License-Identifier: MIT
 *
 * multinode start: a job, in a runtime that is running.
 */
#include "command/live.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OPTION_STORE,
    OPTION_INPUT,
    OPTION_LOCK,
    OPTION_KEY,
    OPTION_TAG,
    OPTION_PRIORITY,
    OPTION_TIMEOUT,
    OPTION_CPU,
    OPTION_MEMORY,
    OPTION_GPUS,
    OPTION_WAIT,
    OPTION_JSON,
    OPTION_HELP
};

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_INPUT] =
        {"input", 'i', "TEXT",
         "What the job is given: this text; @FILE: the bytes of a file;\n"
         "\"-\": those of standard input. A file that is UTF-8 is a text. Default: nothing."},
    [OPTION_LOCK] = {"lock", 0, "NAME",
                     "Hold this lock until it has ended; fails if it is in use."},
    [OPTION_KEY] = {"key", 0, "TEXT",
                    "The caller's own name for it: a second start with it gives the id\n"
                    "of the first."},
    [OPTION_TAG] = {"tag", 't', "TEXT", "A text to find it by."},
    [OPTION_PRIORITY] = {"priority", 0, "N", "Added to the declared priority; larger goes first."},
    [OPTION_TIMEOUT] = {"timeout", 0, "SECONDS", "Time that an attempt may take."},
    [OPTION_CPU] = {"cpu", 0, "CORES", "Cores, or a share of one, instead of the declared ones."},
    [OPTION_MEMORY] = {"memory", 0, "SIZE", "Memory, such as 4GiB, instead of the declared one."},
    [OPTION_GPUS] = {"gpus", 0, "N", "GPUs, instead of the declared number."},
    [OPTION_WAIT] = {"wait", 'w', NULL, "Wait until it has ended, and print how, as `wait` does."},
    [OPTION_JSON] = {"json", 0, NULL, "Print one JSON object: {\"id\":...}."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_start_usage = {
    .verb = "start",
    .synopsis = "[OPTIONS] JOB",
    .text =
        "Starts a job of the program that is running on the store, and prints its id once it is kept.\n"
        "\n"
        "Exit status: 0; 1 it was not started, or no runtime is running; 2 usage; with --wait as for `wait`.",
    .options = options,
    .examples = "  multinode start -s results.h5 simulate --input 'depth=4'\n"
                "  multinode start simulate -i @mesh.bin --lock table-7 --cpu 2\n"
                "  multinode start --wait simulate && multinode result last\n",
};

/* All of a file. 0, or the exit status. */
static int read_file(const char *path, char **bytes, size_t *size)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    FILE *to = open_memstream(bytes, size);
    char part[65536];
    ssize_t got = -1;

    while (fd >= 0 && to != NULL && (got = read(fd, part, sizeof part)) > 0 &&
           (size_t)ftell(to) <= MN_MAX_VALUE)
        fwrite(part, 1, (size_t)got, to);
    int error = errno;
    bool large = got > 0;
    if (fd > STDIN_FILENO)
        close(fd);
    if (to == NULL || fclose(to) != 0)
        got = -1;
    if (got < 0)
        mni_say("cannot read the input from %s: %s", path, strerror(error));
    else if (large)
        mni_say("the input is larger than a value may be, 1 GiB");
    return got == 0 ? 0 : MNI_EXIT_FAILED;
}

int mni_input_read(const char *input, const char **bytes, size_t *size, char **owned)
{
    bool file = input[0] == '@' || strcmp(input, "-") == 0;
    int status = file ? read_file(input[0] == '@' ? input + 1 : input, owned, size) : 0;

    *bytes = file ? *owned : input;
    if (!file)
        *size = strlen(input);
    return status;
}

typedef struct request {
    const char *store, *values[OPTION_WAIT];
    bool wait, json;
} request_t;

/* Sends the start; the answer is in `live`. */
static int send_start(const request_t *request, const char *job, mni_live_t *live,
                      const char *bytes, size_t size)
{
    static const int sent[] = {OPTION_LOCK,    OPTION_KEY, OPTION_TAG,    OPTION_PRIORITY,
                               OPTION_TIMEOUT, OPTION_CPU, OPTION_MEMORY, OPTION_GPUS};
    char *path = strdup("/v1/jobs");
    int status = MNI_EXIT_FAILED;

    bool good = path != NULL && mni_live_query(live, &path, "job", job);
    for (size_t i = 0; good && i < sizeof sent / sizeof sent[0]; i++)
        good = mni_live_query(live, &path, options[sent[i]].name, request->values[sent[i]]);
    if (good)
        status = mni_live_send(live, "POST", path, bytes == NULL ? "" : bytes, size,
                               bytes == NULL || mni_json_is_text(bytes, size)
                                   ? "Content-Type: text/plain"
                                   : "Content-Type: application/octet-stream");
    free(path);
    return status;
}

/* Prints what was started, and waits for it if that is wanted. */
static int follow(const request_t *request, mni_live_t *live)
{
    const char *id = mni_live_text(live->json, "id");
    char ids[1][MN_ID_TEXT];

    if (strlen(id) != MN_ID_TEXT - 1) {
        mni_say("the runtime that has %s answers without an id", live->store);
        return MNI_EXIT_FAILED;
    }
    memcpy(ids[0], id, MN_ID_TEXT);
    if (request->json)
        printf("%s\n", live->body);
    else if (!request->wait)
        printf("%s\n", id);
    fflush(stdout);
    return request->wait ? mni_live_wait(live, ids, 1, (double)INFINITY, request->json, NULL) : 0;
}

static int start(const request_t *request, const char *job)
{
    const char *input = request->values[OPTION_INPUT], *bytes = NULL;
    size_t size = 0;
    char *read = NULL;
    mni_live_t live = {.curl = NULL};
    int status = input != NULL ? mni_input_read(input, &bytes, &size, &read) : 0;

    if (status == 0)
        status = mni_live_open(request->store, &live);
    if (status == 0)
        status = send_start(request, job, &live, bytes, size);
    if (status == 0)
        status = follow(request, &live);
    mni_live_close(&live);
    free(read);
    return status != 0 ? status : mni_stored_flush();
}

int mni_command_start(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_start_usage, .argc = argc, .argv = argv, .mixed = true};
    request_t request = {.store = NULL};
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(&mni_start_usage);
        if (option == OPTION_STORE)
            request.store = parser.value;
        else if (option == OPTION_WAIT)
            request.wait = true;
        else if (option == OPTION_JSON)
            request.json = true;
        else
            request.values[option] = parser.value;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at == argc)
        return mni_usage_error("start", "JOB is missing, such as in: multinode start simulate");
    if (parser.at + 1 < argc)
        return mni_usage_error(
            "start", "one job at a time: \"%s\" is too much; its input is given with --input",
            argv[parser.at + 1]);
    return start(&request, argv[parser.at]);
}
