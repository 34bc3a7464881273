/* SPDX-License-Identifier: MIT
 *
 * multinode locks, nodes, drain, shutdown: a running runtime as a whole.
 */
#include "command/live.h"

#include "util/size.h"

#include <string.h>

enum { OPTION_STORE, OPTION_HELP, OPTION_JSON };

static const mni_option_t list_options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_HELP] = MNI_HELP_OPTION,
    [OPTION_JSON] = {"json", 0, NULL, "Print one JSON object."},
    {NULL, 0, NULL, NULL},
};

static const mni_option_t end_options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_locks_usage = {
    .verb = "locks",
    .synopsis = "[OPTIONS]",
    .text =
        "Lists the locks that are held in a running runtime, each with the id of the job that holds it.\n"
        "\n"
        "Exit status: 0, also when there is none; 1 no runtime is running; 2 usage.",
    .options = list_options,
    .examples = "  multinode locks -s results.h5\n"
                "  multinode locks --json | jq -r '.locks[].holder'\n",
};

const mni_usage_t mni_nodes_usage = {
    .verb = "nodes",
    .synopsis = "[OPTIONS]",
    .text =
        "Lists the nodes of a running runtime: cores, memory and GPUs that they offer, how much of that is given\n"
        "to tasks and how much is free, workers, tasks, the rank that found it, and the topology in a line.\n"
        "\n"
        "Exit status: 0; 1 no runtime is running; 2 usage.",
    .options = list_options,
    .examples = "  multinode nodes -s results.h5\n"
                "  multinode nodes --json | jq '[.nodes[].cores_free] | add'\n",
};

const mni_usage_t mni_drain_usage = {
    .verb = "drain",
    .synopsis = "[OPTIONS]",
    .text =
        "Asks a running runtime to end, as one Ctrl-C does: nothing is begun any more, jobs that run are\n"
        "asked to stop, and all that is unfinished stays in the store for the next run. Does not wait.\n"
        "\n"
        "Exit status: 0; 1 no runtime is running; 2 usage.",
    .options = end_options,
    .examples = "  multinode drain -s results.h5\n",
};

const mni_usage_t mni_shutdown_usage = {
    .verb = "shutdown",
    .synopsis = "[OPTIONS]",
    .text =
        "Asks a running runtime to end at once, as two Ctrl-C do: what runs is killed, and stays in the\n"
        "store for the next run. Does not wait.\n"
        "\n"
        "Exit status: 0; 1 no runtime is running; 2 usage.",
    .options = end_options,
    .examples = "  multinode shutdown -s results.h5\n",
};

static void print_locks(const json_t *answer)
{
    const json_t *lock;
    size_t i;

    json_array_foreach(json_object_get(answer, "locks"), i, lock)
    {
        printf("%s  ", mni_live_text(lock, "holder"));
        mni_show_text(stdout, mni_live_text(lock, "name"), 0);
        fputc('\n', stdout);
    }
}

static void print_nodes(const json_t *answer)
{
    const json_t *nodes = json_object_get(answer, "nodes"), *node;
    char memory[32], used[32], left[32];
    size_t i, widest = strlen("host");

    json_array_foreach(nodes, i, node)
    {
        size_t width = mni_shown_width(mni_live_text(node, "host"));
        widest = width > widest ? width : widest;
    }
    printf("%-*s  %6s  %6s  %6s  %10s  %10s  %10s  %4s  %5s  %4s  %7s  %6s  %5s  %s\n", (int)widest,
           "HOST", "CORES", "GIVEN", "FREE", "MEMORY", "GIVEN", "FREE", "GPUS", "GIVEN", "FREE",
           "WORKERS", "TASKS", "RANK", "TOPOLOGY");
    json_array_foreach(nodes, i, node)
    {
#define NUMBER(name) json_integer_value(json_object_get(node, name))
        size_t width = mni_show_text(stdout, mni_live_text(node, "host"), 0);
        printf(
            "%*s  %6lld  %6lld  %6lld  %10s  %10s  %10s  %4lld  %5lld  %4lld  %7lld  %6lld  %5lld  ",
            (int)(widest - width), "", NUMBER("cores"), NUMBER("cores_given"), NUMBER("cores_free"),
            mni_size_format((uint64_t)NUMBER("memory"), memory, sizeof memory),
            mni_size_format((uint64_t)NUMBER("memory_used"), used, sizeof used),
            mni_size_format((uint64_t)NUMBER("memory_free"), left, sizeof left), NUMBER("gpus"),
            NUMBER("gpus_given"), NUMBER("gpus_free"), NUMBER("workers"), NUMBER("tasks"),
            NUMBER("rank"));
        mni_show_text(stdout, mni_live_text(node, "topology"), 0);
        fputc('\n', stdout);
#undef NUMBER
    }
}

/* One request, without operands. */
static int whole(const mni_usage_t *usage, int argc, char **argv, const char *method,
                 const char *path, void (*print)(const json_t *answer))
{
    mni_parser_t parser = {.usage = usage, .argc = argc, .argv = argv, .mixed = true};
    const char *store = NULL;
    bool json = false;
    mni_live_t live;
    int option, status;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(usage);
        if (option == OPTION_STORE)
            store = parser.value;
        else
            json = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at < argc)
        return mni_usage_error(usage->verb, "\"%s\" is too much", argv[parser.at]);
    if ((status = mni_live_open(store, &live)) == 0)
        status = mni_live_send(&live, method, path, NULL, 0, NULL);
    if (status == 0 && json)
        printf("%s\n", live.body);
    else if (status == 0 && print != NULL)
        print(live.json);
    mni_live_close(&live);
    return status != 0 ? status : mni_stored_flush();
}

int mni_command_locks(int argc, char **argv)
{
    return whole(&mni_locks_usage, argc, argv, "GET", "/v1/locks", print_locks);
}

int mni_command_nodes(int argc, char **argv)
{
    return whole(&mni_nodes_usage, argc, argv, "GET", "/v1/nodes", print_nodes);
}

int mni_command_drain(int argc, char **argv)
{
    return whole(&mni_drain_usage, argc, argv, "PUT", "/v1/drain", NULL);
}

int mni_command_shutdown(int argc, char **argv)
{
    return whole(&mni_shutdown_usage, argc, argv, "PUT", "/v1/shutdown", NULL);
}
