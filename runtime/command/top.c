/* SPDX-License-Identifier: MIT
 *
 * multinode top: nodes, queue and running jobs of a runtime, again and again.
 */
#include "command/top.h"

#include "util/clock.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MOST 200 /* that are asked for */

enum { OPTION_STORE, OPTION_INTERVAL, OPTION_ONCE, OPTION_JSON, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_INTERVAL] = {"interval", 'i', "SECONDS", "Time between two looks. Default: 1."},
    [OPTION_ONCE] = {"once", 0, NULL,
                     "Print one frame as text, after two looks, which the rate needs. So it\n"
                     "is without a terminal."},
    [OPTION_JSON] = {"json", 0, NULL,
                     "The same as one JSON object: time, finished_per_second, health, nodes\n"
                     "and running, whose members are those of REST."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_top_usage = {
    .verb = "top",
    .synopsis = "[OPTIONS]",
    .text =
        "Shows a running runtime as it is from second to second: jobs by status and how many finish per\n"
        "second, cores in use, nodes, and the jobs that run with their progress, the newest first.\n"
        "Keys: q ends it, p or the space bar halts it and lets it go on.\n"
        "\n"
        "Exit status: 0; 1 no runtime is running, or it has ended; 2 usage.",
    .options = options,
    .examples = "  multinode top -s results.h5\n"
                "  multinode top --once\n"
                "  multinode top --json | jq .finished_per_second\n",
};

/* Takes a member of the answer to a request, or all of it. */
static int take(mni_top_t *top, const char *path, const char *member, json_t **taken)
{
    int status = mni_live_send(&top->live, "GET", path, NULL, 0, NULL);

    if (status != 0)
        return status;
    json_t *json = member == NULL ? top->live.json : json_object_get(top->live.json, member);
    if (json == NULL) {
        if (!top->live.silent)
            mni_say("the runtime that has %s answers what is no JSON", top->live.store);
        return MNI_EXIT_FAILED;
    }
    json_decref(*taken);
    *taken = json_incref(json);
    return 0;
}

static long long ended_of(const json_t *health)
{
    const json_t *jobs = json_object_get(health, "jobs");
    return (long long)(json_integer_value(json_object_get(jobs, "SUCCEEDED")) +
                       json_integer_value(json_object_get(jobs, "FAILED")) +
                       json_integer_value(json_object_get(jobs, "CANCELLED")));
}

int mni_top_look(mni_top_t *top)
{
    char path[96];
    int status = take(top, "/v1/health", NULL, &top->health);
    double now = mni_clock_calendar();

    snprintf(path, sizeof path, "/v1/jobs?status=running,cancelling&limit=%d", JOBS_MOST);
    if (status != 0 || (status = take(top, "/v1/nodes", "nodes", &top->nodes)) != 0 ||
        (status = take(top, path, "jobs", &top->jobs)) != 0)
        return status;
    long long ended = ended_of(top->health);
    /* Jobs that were removed do not count any more: the number may fall. */
    double more = ended > top->ended ? (double)(ended - top->ended) : 0;
    top->rate = top->looked > 0 && now > top->looked ? more / (now - top->looked) : -1;
    top->ended = ended;
    top->looked = now;
    return 0;
}

static void print_json(const mni_top_t *top)
{
    json_t *json =
        json_pack("{s:f, s:o, s:O, s:O, s:O}", "time", top->looked, "finished_per_second",
                  top->rate >= 0 ? json_real(top->rate) : json_null(), "health", top->health,
                  "nodes", top->nodes, "running", top->jobs);

    json_dumpf(json, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(json);
}

/* Two looks; the second one is printed. */
static int print_once(mni_top_t *top, bool json)
{
    struct winsize window = {0};
    struct timespec pause = {.tv_sec = (time_t)top->interval,
                             .tv_nsec = (long)(fmod(top->interval, 1) * 1e9)};

    while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
        continue;
    int status = mni_top_look(top);
    if (status == 0 && json)
        print_json(top);
    else if (status == 0)
        mni_top_print(top, stdout,
                      ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0, 0, false);
    return status;
}

static int top_run(const char *store, double interval, bool once, bool json)
{
    mni_top_t top = {.interval = interval, .rate = -1};
    int status = mni_live_open(store, &top.live);

    if (status == 0)
        status = mni_top_look(&top);
    if (status == 0)
        status = once || json ? MNI_TOP_NO_SCREEN : mni_top_show(&top);
    if (status == MNI_TOP_NO_SCREEN)
        status = print_once(&top, json);
    json_decref(top.health);
    json_decref(top.nodes);
    json_decref(top.jobs);
    mni_live_close(&top.live);
    return status != 0 ? status : mni_stored_flush();
}

int mni_command_top(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_top_usage, .argc = argc, .argv = argv, .mixed = true};
    const char *store = NULL;
    double interval = 1;
    bool once = false, json = false;
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        char *rest = NULL;
        if (option == OPTION_HELP)
            return mni_help_print(&mni_top_usage);
        if (option == OPTION_STORE)
            store = parser.value;
        else if (option == OPTION_ONCE)
            once = true;
        else if (option == OPTION_JSON)
            json = true;
        else if (!((interval = strtod(parser.value, &rest)) >= 0.05 && interval <= 86400) ||
                 *rest != '\0')
            return mni_usage_error("top",
                                   "--interval is \"%s\": it must be seconds, from 0.05 to 86400",
                                   parser.value);
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at < argc)
        return mni_usage_error("top", "\"%s\" is too much", argv[parser.at]);
    return top_run(store, interval, once, json);
}
