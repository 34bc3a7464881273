/* SPDX-License-Identifier: MIT
 *
 * multinode cancel, remove, explain: what is done with jobs of a running runtime.
 */
#include "command/live.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CANCEL_STORE, CANCEL_GRACE, CANCEL_JSON, CANCEL_HELP };

static const mni_option_t cancel_options[] = {
    [CANCEL_STORE] = MNI_STORE_OPTION,
    [CANCEL_GRACE] = {"grace", 0, "SECONDS",
                      "Time to clean up, instead of the job's own; 0 kills at once."},
    [CANCEL_JSON] = {"json", 0, NULL,
                     "Print one JSON object: jobs, those that were asked for and are there,\n"
                     "each with id and had_ended."},
    [CANCEL_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_cancel_usage = {
    .verb = "cancel",
    .synopsis = "[OPTIONS] ID...",
    .text =
        "Cancels jobs: pending ones at once; running ones are asked to stop, and killed when their grace\n"
        "is over. Does not wait for that. What they have yielded stays. One that has ended stays as it is.\n"
        "\n"
        "Exit status: 0; 1 there is no such job or runtime; 2 usage.",
    .options = cancel_options,
    .examples = "  multinode cancel last\n"
                "  multinode cancel -s results.h5 --grace 10 1b4e28ba 92c0\n",
};

enum { REMOVE_STORE, REMOVE_JSON, REMOVE_HELP };

static const mni_option_t remove_options[] = {
    [REMOVE_STORE] = MNI_STORE_OPTION,
    [REMOVE_JSON] = {"json", 0, NULL,
                     "Print one JSON object: jobs, those that were removed, each with id."},
    [REMOVE_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_remove_usage = {
    .verb = "remove",
    .synopsis = "[OPTIONS] ID...",
    .text =
        "Removes jobs with all that is kept of them. One that has not ended is cancelled first, and its\n"
        "end is waited for.\n"
        "\n"
        "Exit status: 0; 1 there is no such job or runtime; 2 usage.",
    .options = remove_options,
    .examples = "  multinode remove 1b4e28ba\n"
                "  multinode list --tag trial --format id | xargs multinode remove\n",
};

enum { EXPLAIN_STORE, EXPLAIN_JSON, EXPLAIN_HELP };

static const mni_option_t explain_options[] = {
    [EXPLAIN_STORE] = MNI_STORE_OPTION,
    [EXPLAIN_JSON] = {"json", 0, NULL, "Print one JSON object with the members id and why."},
    [EXPLAIN_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_explain_usage = {
    .verb = "explain",
    .synopsis = "[OPTIONS] ID",
    .text =
        "Says in a sentence why a job of a running runtime is pending: what it needs, what the node that\n"
        "could have it has free, and how many come before it. Of another job it says how it is.\n"
        "\n"
        "Exit status: 0; 1 there is no such job or runtime; 2 usage.",
    .options = explain_options,
    .examples = "  multinode explain last\n"
                "  multinode explain --json 1b4e28ba | jq -r .why\n",
};

/* What became of a request for a job, on a line or, if there is one, in an array. */
static void tell_done(const json_t *answer, const char *id, json_t *done)
{
    const json_t *had_ended = json_object_get(answer, "had_ended");

    if (done != NULL) {
        json_t *one = json_pack("{s:s}", "id", id);
        if (had_ended != NULL)
            json_object_set(one, "had_ended", (json_t *)had_ended);
        json_array_append_new(done, one);
    } else if (json_is_true(had_ended)) {
        mni_say("job %s had ended before", id);
    }
}

/* One request for each of the jobs. All are looked up before the first one is touched. */
static int for_each(const char *verb, const char *store, char **names, int count,
                    const char *method, const char *suffix, bool json)
{
    char(*ids)[MN_ID_TEXT] = calloc((size_t)count, sizeof *ids);
    mni_live_t live = {.curl = NULL};
    int status = ids == NULL ? MNI_EXIT_FAILED : mni_live_open(store, &live), worst = 0;
    json_t *done = json ? json_array() : NULL;
    char path[128];

    for (int i = 0; i < count && status == 0; i++)
        status = mni_live_find(verb, &live, names[i], ids[i]);
    for (int i = 0; i < count && status == 0; i++) {
        snprintf(path, sizeof path, "/v1/jobs/%s%s", ids[i], suffix);
        if (mni_live_send(&live, method, path, NULL, 0, NULL) != 0)
            worst = MNI_EXIT_FAILED;
        else
            tell_done(live.json, ids[i], done);
    }
    if (json && status == 0)
        mni_live_print_jobs(done);
    json_decref(done);
    mni_live_close(&live);
    free(ids);
    if (status == 0)
        status = mni_stored_flush();
    return status != 0 ? status : worst;
}

int mni_command_cancel(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_cancel_usage, .argc = argc, .argv = argv, .mixed = true};
    const char *store = NULL;
    char suffix[48] = "/cancel", *end = NULL;
    bool json = false;
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == CANCEL_HELP)
            return mni_help_print(&mni_cancel_usage);
        if (option == CANCEL_STORE) {
            store = parser.value;
            continue;
        }
        if (option == CANCEL_JSON) {
            json = true;
            continue;
        }
        double grace = strtod(parser.value, &end);
        if (end == parser.value || *end != '\0' || !(grace >= 0 && grace <= 1e9))
            return mni_usage_error("cancel", "--grace is \"%s\": it must be seconds", parser.value);
        snprintf(suffix, sizeof suffix, "/cancel?grace=%.3f", grace);
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at == argc)
        return mni_usage_error("cancel", "ID is missing, such as in: multinode cancel last");
    return for_each("cancel", store, argv + parser.at, argc - parser.at, "PUT", suffix, json);
}

int mni_command_remove(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_remove_usage, .argc = argc, .argv = argv, .mixed = true};
    const char *store = NULL;
    bool json = false;
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == REMOVE_HELP)
            return mni_help_print(&mni_remove_usage);
        if (option == REMOVE_STORE)
            store = parser.value;
        else
            json = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at == argc)
        return mni_usage_error("remove", "ID is missing, such as in: multinode remove 1b4e28ba");
    return for_each("remove", store, argv + parser.at, argc - parser.at, "DELETE", "", json);
}

int mni_command_explain(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_explain_usage, .argc = argc, .argv = argv, .mixed = true};
    char id[MN_ID_TEXT], path[96];
    const char *store = NULL;
    bool json = false;
    mni_live_t live;
    int option, status;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == EXPLAIN_HELP)
            return mni_help_print(&mni_explain_usage);
        if (option == EXPLAIN_STORE)
            store = parser.value;
        else
            json = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at + 1 != argc)
        return mni_usage_error("explain", "one ID is needed, such as in: multinode explain last");
    if ((status = mni_live_open(store, &live)) == 0 &&
        (status = mni_live_find("explain", &live, argv[parser.at], id)) == 0) {
        snprintf(path, sizeof path, "/v1/jobs/%s/why", id);
        status = mni_live_send(&live, "GET", path, NULL, 0, NULL);
    }
    if (status == 0 && json) {
        printf("%s\n", live.body);
    } else if (status == 0) {
        mni_show_text(stdout, mni_live_text(live.json, "why"), 0);
        putchar('\n');
    }
    mni_live_close(&live);
    return status != 0 ? status : mni_stored_flush();
}
