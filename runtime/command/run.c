/* SPDX-License-Identifier: MIT
 *
 * multinode run: options, settings for the ranks, and the checks that can be made before
 * anything is started.
 */
#include "command/command.h"
#include "command/named.h"
#include "command/run.h"
#include "command/walltime.h"
#include "service/listen.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RANKS 100000
#define MOST_CPUS 1000000
#define MOST_GRACE 1e9
#define DEFAULT_GRACE 30.0
#define LEAD_MARGIN 30.0 /* for services, the store and mpirun */

enum {
    OPTION_RANKS,
    OPTION_STORE,
    OPTION_DURABILITY,
    OPTION_SNAPSHOT,
    OPTION_CPUS,
    OPTION_MEMORY,
    OPTION_GRACE,
    OPTION_WALLTIME,
    OPTION_LEAD,
    OPTION_HEARTBEAT,
    OPTION_RESTART,
    OPTION_LISTEN,
    OPTION_HOST,
    OPTION_HOSTFILE,
    OPTION_QUIET,
    OPTION_VERBOSE,
    OPTION_HELP
};

static const mni_option_t options[] = {
    [OPTION_RANKS] = {"ranks", 'n', "RANKS",
                      "MPI ranks: rank 0 schedules, the others work; 1 does both.\n"
                      "Default: 3 (2 on a single core), or nodes + 1 on several nodes."},
    [OPTION_STORE] = {"store", 's', "FILE.h5",
                      "Keep the jobs in this HDF5 file, and go on with those that it has.\n"
                      "Default: MULTINODE_STORE."},
    [OPTION_DURABILITY] = {"durability", 0, "MODE",
                           "When a job counts as kept: fsync (on disk, the default), flush (the\n"
                           "system has it), memory (at the end of the run)."},
    [OPTION_SNAPSHOT] = {"snapshot", 0, "SECONDS",
                         "The HDF5 file follows the run: it is at most about so much behind.\n"
                         "Default: 60."},
    [OPTION_CPUS] = {"cpus", 0, "N", "Cores that a node offers to tasks. Default: all it may use."},
    [OPTION_MEMORY] = {"memory", 0, "SIZE",
                       "Memory that a node offers to tasks, such as 4GiB, 512MB or\n"
                       "a number of bytes. Default: all it may use."},
    [OPTION_GRACE] = {"grace", 0, "SECONDS",
                      "Time that jobs have to stop after Ctrl-C. Default: 30."},
    [OPTION_WALLTIME] =
        {"walltime", 0, "TIME",
         "Time that the run has, as for sbatch --time: minutes, [HOURS:]MINUTES:SECONDS\n"
         "or DAYS-HOURS[:MINUTES[:SECONDS]]. Default: what a Slurm allocation has left."},
    [OPTION_LEAD] = {"lead", 0, "SECONDS",
                     "So long before that jobs are asked to stop, to go on in a later run with\n"
                     "the same store. Default: the grace and 30, at most half of the time."},
    [OPTION_HEARTBEAT] = {"heartbeat", 0, "SECONDS",
                          "A worker that is silent for so long is lost, and what it ran runs\n"
                          "again elsewhere. Default: 10; 0: never."},
    [OPTION_RESTART] =
        {"restart", 0, NULL,
         "When rank 0 or mpirun is killed or crashes, start it again: it goes on from\n"
         "the store. At most three times in a row; needs --store."},
    [OPTION_LISTEN] =
        {"listen", 0, "ADDRESS[:PORT]",
         "Where verbs on other nodes reach the run, with TLS; * is all addresses.\n"
         "http://ADDRESS[:PORT]: without TLS, on the loopback; off: on this node only.\n"
         "Default: * in a batch system's allocation and on several nodes, else off."},
    [OPTION_HOST] = {"host", 0, "LIST",
                     "Hosts to run on, as for mpirun; the first one is this host."},
    [OPTION_HOSTFILE] = {"hostfile", 0, "FILE", "The same from a file, as for mpirun."},
    [OPTION_QUIET] = {"quiet", 'q', NULL,
                      "Do not tell when jobs are asked to stop; errors are still told."},
    [OPTION_VERBOSE] = {"verbose", 'v', NULL,
                        "Show the mpirun command and all that Open MPI says."},
    [OPTION_HELP] = {"help", 'h', NULL, "Print this help."},
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_run_usage = {
    .verb = "run",
    .synopsis = "[OPTIONS] [--] PROGRAM [ARGUMENTS]",
    .text =
        "Starts a program that was built with multinode (its main() calls mn_main()) on MPI ranks.\n"
        "\n"
        "Ctrl-C asks the jobs to stop and ends when they have; a second Ctrl-C ends at once. SIGTERM,\n"
        "SIGHUP and SIGUSR1 do the same as the first, a further SIGTERM as the second. Either way\n"
        "nothing is left running. Standard input goes to the driver (from a terminal: what is typed).\n"
        "\n"
        "In a Slurm allocation jobs are asked to stop before its time is over (--walltime, --lead).\n"
        "\n"
        "Exit status: that of the program's driver; 75 when jobs are left for another run, because\n"
        "the time is over or SIGUSR1 came; 1 if there was none, with a line that says why;\n"
        "2 usage; 126 PROGRAM cannot be executed; 127 PROGRAM is not there; 128 + signal when it was\n"
        "stopped by a signal before the driver could report a status.",
    .options = options,
    .examples =
        "  multinode run ./program                     rank 0 and two workers on this host\n"
        "  multinode run -n 1 ./program                all in one rank\n"
        "  multinode run --store moves.h5 ./chess --moves 5\n"
        "                                              results also in moves.h5; options behind the\n"
        "                                              program are the program's\n"
        "  multinode run --cpus 2 --memory 4GiB ./program\n"
        "                                              leave the rest of the host alone\n"
        "  sbatch -N 4 --wrap 'multinode run ./program'\n"
        "                                              on the nodes of a Slurm allocation\n",
};

const mni_usage_t mni_serve_usage = {
    .verb = "serve",
    .synopsis = "[OPTIONS]",
    .text =
        "Starts a runtime without a program of yours: it runs what `multinode exec` gives it, until it is\n"
        "told to end. Prints a line \"READY FILE.h5\" once it can be reached.\n"
        "\n"
        "Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 and `multinode drain` ask the jobs to stop; what is unfinished\n"
        "stays in the store for the next run. A second signal, and `multinode shutdown`, end it at once.\n"
        "Without --store and MULTINODE_STORE the store is multinode.h5 in this folder.\n"
        "\n"
        "Exit status: 0 it was drained; 75 SIGUSR1 came, or the time is over; 1 it could not start, or\n"
        "was ended at once; 2 usage.",
    .options = options,
    .examples = "  multinode serve -s results.h5 &\n"
                "  multinode exec -s results.h5 -- ./sim 7\n"
                "  multinode exec -s results.h5 --array 1-1000 -- ./sim {}\n"
                "  multinode drain -s results.h5\n",
};

static const char *verb = "run"; /* or "serve", for messages */

/* --- values ---------------------------------------------------- */

static int read_count(const char *name, const char *text, long most, long *count)
{
    char *end = NULL;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < 1 || value > most)
        return mni_usage_error(verb, "%s is \"%s\": it must be a whole number from 1 to %ld", name,
                               text, most);
    *count = value;
    return 0;
}

static int read_seconds(const char *name, const char *text, double *seconds)
{
    char *end = NULL;

    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= 0 && value <= MOST_GRACE))
        return mni_usage_error(verb, "%s is \"%s\": it must be seconds, from 0 to %g", name, text,
                               MOST_GRACE);
    *seconds = value;
    return 0;
}

static int export_text(const char *variable, const char *value)
{
    if (setenv(variable, value, 1) == 0)
        return 0;
    mni_say("cannot set %s: %s", variable, strerror(errno));
    return MNI_EXIT_FAILED;
}

/* Below a second a busy machine would look like a lost worker. */
static int read_heartbeat(const char *name, const char *text)
{
    double seconds = 0;
    int rc = read_seconds(name, text, &seconds);

    if (rc == 0 && seconds > 0 && seconds < 1)
        return mni_usage_error(verb, "%s is \"%s\": it must be 0 or at least 1", name, text);
    return rc == 0 ? export_text("MULTINODE_HEARTBEAT", text) : rc;
}

static int export_listen(const char *name, const char *text)
{
    mni_listen_t listen;

    if (mni_listen_parse(text, &listen) < 0)
        return mni_usage_error(verb, "%s: %s", name, mn_error_message());
    return export_text(MNI_LISTEN_VARIABLE, text);
}

static int export_memory(const char *text)
{
    uint64_t bytes = 0;
    char number[32];

    if (mni_size_parse(text, &bytes) < 0)
        return mni_usage_error(verb, "--memory: %s", mn_error_message());
    snprintf(number, sizeof number, "%llu", (unsigned long long)bytes);
    return export_text("MULTINODE_MEMORY", number);
}

/* The ranks may run in another folder: they get the whole path. */
static int export_store(const char *name, const char *text)
{
    char path[PATH_MAX];
    int rc = mni_named_store(verb, name, text, path);

    return rc == 0 ? export_text("MULTINODE_STORE", path) : rc;
}

/* --- options ---------------------------------------------------- */

static bool is_durability(const char *text)
{
    return strcmp(text, "fsync") == 0 || strcmp(text, "flush") == 0 || strcmp(text, "memory") == 0;
}

static int read_option(int option, const char *value, mni_run_options_t *run)
{
    long count;
    double seconds;
    int rc = 0;

    switch (option) {
    case OPTION_RANKS:
        return read_count("--ranks", value, MOST_RANKS, &run->ranks);
    case OPTION_STORE:
        return export_store("--store", value);
    case OPTION_DURABILITY:
        if (!is_durability(value))
            return mni_usage_error(verb, "--durability is \"%s\": fsync, flush or memory", value);
        return export_text("MULTINODE_DURABILITY", value);
    case OPTION_SNAPSHOT:
        if ((rc = read_seconds("--snapshot", value, &seconds)) == 0)
            rc = export_text("MULTINODE_SNAPSHOT", value);
        return rc;
    case OPTION_CPUS:
        if ((rc = read_count("--cpus", value, MOST_CPUS, &count)) == 0)
            rc = export_text("MULTINODE_CPUS", value);
        return rc;
    case OPTION_MEMORY:
        return export_memory(value);
    case OPTION_GRACE:
        if ((rc = read_seconds("--grace", value, &run->grace)) == 0)
            rc = export_text("MULTINODE_GRACE", value);
        return rc;
    case OPTION_WALLTIME:
        if (!mni_walltime_parse(value, &run->walltime) || run->walltime == 0)
            return mni_usage_error(verb,
                                   "--walltime is \"%s\": write minutes, [HOURS:]MINUTES:SECONDS "
                                   "or DAYS-HOURS[:MINUTES[:SECONDS]]",
                                   value);
        return 0;
    case OPTION_LEAD:
        return read_seconds("--lead", value, &run->lead);
    case OPTION_HEARTBEAT:
        return read_heartbeat("--heartbeat", value);
    case OPTION_LISTEN:
        return export_listen("--listen", value);
    case OPTION_HOST:
    case OPTION_HOSTFILE:
        if (value[0] == '\0')
            return mni_usage_error(verb, "--%s is empty", options[option].name);
        *(option == OPTION_HOST ? &run->host : &run->hostfile) = value;
        return 0;
    case OPTION_RESTART:
        run->restart = true;
        return 0;
    case OPTION_QUIET:
        run->quiet = true;
        return 0;
    default:
        run->verbose = true;
        return 0;
    }
}

/* Settings that come from the environment are held to the same rules as the options. */
static int read_environment(mni_run_options_t *run)
{
    const char *grace = getenv("MULTINODE_GRACE"), *store = getenv("MULTINODE_STORE");
    const char *durability = getenv("MULTINODE_DURABILITY");
    const char *heartbeat = getenv("MULTINODE_HEARTBEAT"), *listen = getenv(MNI_LISTEN_VARIABLE);
    int rc = 0;

    run->grace = DEFAULT_GRACE;
    if (grace && grace[0])
        rc = read_seconds("MULTINODE_GRACE", grace, &run->grace);
    if (rc == 0 && heartbeat && heartbeat[0])
        rc = read_heartbeat("MULTINODE_HEARTBEAT", heartbeat);
    if (rc == 0 && listen && listen[0])
        rc = export_listen(MNI_LISTEN_VARIABLE, listen);
    if (rc == 0 && store && store[0] && store[0] != '/')
        rc = export_store("MULTINODE_STORE", store);
    if (rc == 0 && durability && durability[0] && !is_durability(durability))
        rc = mni_usage_error(verb, "MULTINODE_DURABILITY is \"%s\": fsync, flush or memory",
                             durability);
    return rc;
}

/* --- the run ---------------------------------------------------- */

/* Tells the ranks when to drain. */
static int export_end(const mni_run_options_t *run)
{
    double left = run->walltime > 0 ? run->walltime : mni_walltime_left(), lead = run->lead;
    char text[32];

    if (left <= 0)
        return unsetenv("MULTINODE_DRAIN_AT") == 0 ? 0 : MNI_EXIT_FAILED;
    if (lead < 0) {
        lead = run->grace + LEAD_MARGIN;
        lead = lead < left / 2 ? lead : left / 2;
    }
    snprintf(text, sizeof text, "%.3f", mni_clock_calendar() + (left > lead ? left - lead : 0));
    return export_text("MULTINODE_DRAIN_AT", text);
}

static int start(mni_run_options_t *run)
{
    mni_place_t place;
    int rc = export_end(run);

    if (rc != 0)
        return rc;

    const char *store = getenv("MULTINODE_STORE");
    if (run->restart && (!store || !store[0]))
        return mni_usage_error(verb, "--restart needs --store, to go on from");
    if (mni_launch_place(run, &place) < 0)
        return mni_usage_error(verb, "%s", mn_error_message());
    if (run->ranks == 0 && (run->ranks = mni_launch_default_ranks(&place)) == 0)
        return mni_usage_error(
            verb, "the number of nodes of this %s allocation is not known: say -n RANKS",
            place.source);
    return mni_supervise(run, &place);
}

/* Reads environment and options. 0, or an exit status. */
static int read_all(mni_parser_t *parser, mni_run_options_t *run)
{
    int option, rc;

    if ((rc = read_environment(run)) != 0)
        return rc;
    while ((option = mni_parser_next(parser)) >= 0 && option != OPTION_HELP)
        if ((rc = read_option(option, parser->value, run)) != 0)
            return rc;
    if (option == OPTION_HELP) {
        run->help = true;
        return mni_help_print(parser->usage);
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (run->quiet && run->verbose)
        return mni_usage_error(verb, "--quiet and --verbose exclude each other");
    if (run->host && run->hostfile)
        return mni_usage_error(verb, "--host and --hostfile exclude each other");
    return 0;
}

int mni_command_serve(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_serve_usage, .argc = argc, .argv = argv};
    mni_run_options_t run = {.lead = -1};
    char path[PATH_MAX + 64];
    char *program[] = {path, NULL};
    int rc;

    verb = "serve";
    rc = read_all(&parser, &run);
    if (rc != 0 || run.help)
        return rc;
    if (parser.at < argc)
        return mni_usage_error("serve",
                               "\"%s\" is too much: a program is started by multinode run, or in a "
                               "runtime by multinode exec",
                               argv[parser.at]);
    const char *store = getenv("MULTINODE_STORE");
    if ((!store || !store[0]) && (rc = export_store("MULTINODE_STORE", "multinode.h5")) != 0)
        return rc;
    if (!mni_part_find("multinode-serve", path, sizeof path))
        return MNI_EXIT_CANNOT_EXECUTE;
    run.program = program;
    return start(&run);
}

int mni_command_run(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_run_usage, .argc = argc, .argv = argv};
    mni_run_options_t run = {.lead = -1};
    int rc = read_all(&parser, &run);

    if (rc != 0 || run.help)
        return rc;
    if (parser.at == argc)
        return mni_usage_error("run", "PROGRAM is missing, such as in: multinode run ./program");
    run.program = argv + parser.at;
    if ((rc = mni_named_program("run", run.program[0])) != 0)
        return rc;
    return start(&run);
}
