/* SPDX-License-Identifier: MIT
 *
 * mn_main(): a whole program as a runtime. The spawner is forked first, then MPI begins, then every rank goes round
 * its loop until rank 0 says that the run is over.
 *
 * Signals: SIGINT, SIGTERM and SIGUSR1 make rank 0 drain, a second one makes it stop at once; the other ranks
 * ignore them and are told by rank 0. SIGUSR1 is a batch system's warning: what is left then goes on in another run. Under `multinode run` a helper thread of rank 0 hears the same over the
 * control line.
 */
#include "client/client.h"
#include "client/exec.h"
#include "client/main.h"
#include "core/declare.h"
#include "scheduler/heartbeat.h"
#include "scheduler/rank.h"
#include "service/control.h"
#include "service/server.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/size.h"
#include "worker/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_MISUSE 2

/* How long the spawner may take to end what is left at the end of a run, in seconds. */
#define SPAWNER_PATIENCE 5.0

/* Seconds that jobs have to stop in a drain, unless MULTINODE_GRACE says otherwise. */
#define DEFAULT_GRACE 30.0
#define DEFAULT_SNAPSHOT 60.0 /* seconds: so old is at most what a reader of the HDF5 file sees */

static mni_rank_t *volatile signalled_rank;
static volatile sig_atomic_t drain_wanted; /* a mni_drain_t; 0: no signal has come */

static void on_signal(int number)
{
    if (number == SIGTERM)
        mni_worker_terminated();
    if (drain_wanted != 0)
        drain_wanted = MNI_DRAIN_AT_ONCE;
    else
        drain_wanted = number == SIGUSR1 ? MNI_DRAIN_RESUME : MNI_DRAIN;
    if (signalled_rank)
        mni_rank_drain(signalled_rank, (mni_drain_t)drain_wanted);
}

/* Ranks other than 0, which is to drain: of SIGTERM they only take note. */
static void on_other_signal(int number)
{
    if (number == SIGTERM)
        mni_worker_terminated();
}

static void handle_signals(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

/* --- settings ------------------------------------------------------------------------------------------------------ */

static int read_number(const char *variable, double most, double *number)
{
    const char *text = getenv(variable);
    char *end = NULL;
    if (!text || !text[0])
        return 0;
    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0 || *end != '\0' || !(value >= 0 && value <= most))
        return mni_error(MN_E_INVALID, "%s is \"%s\": it must be a number from 0 to %g", variable,
                         text, most);
    *number = value;
    return 0;
}

int mni_settings_read(mni_rank_options_t *options)
{
    double cpus = 0;
    const char *memory = getenv("MULTINODE_MEMORY"), *store = getenv("MULTINODE_STORE");
    const char *durability = getenv("MULTINODE_DURABILITY");
    int rc;

    options->grace = DEFAULT_GRACE;
    options->snapshot = DEFAULT_SNAPSHOT;
    options->heartbeat = MNI_HEARTBEAT_DEFAULT;
    options->executor_main = mni_client_serve;
    options->driver_main = mni_client_drive;
    options->store = store && store[0] ? store : NULL;
    if ((rc = read_number("MULTINODE_CPUS", MNI_MAX_CORES, &cpus)) < 0 ||
        (rc = read_number("MULTINODE_SNAPSHOT", 1e9, &options->snapshot)) < 0 ||
        (rc = read_number("MULTINODE_GRACE", 1e9, &options->grace)) < 0 ||
        (rc = read_number("MULTINODE_HEARTBEAT", 1e6, &options->heartbeat)) < 0 ||
        (rc = read_number("MULTINODE_DRAIN_AT", 1e12, &options->drain_at)) < 0)
        return rc;
    options->cpus = (uint32_t)cpus;
    if (durability && durability[0] &&
        (rc = mni_durability_parse(durability, &options->durability)) < 0)
        return mni_error_prefix(rc, "MULTINODE_DURABILITY");
    if (memory && memory[0] && (rc = mni_size_parse(memory, &options->memory)) < 0)
        return mni_error_prefix(rc, "MULTINODE_MEMORY");
    return 0;
}

/* --- the control line ------------------------------------------------------------------------------------------------ */

typedef struct line {
    int socket; /* -1: none */
    pthread_t thread;
    mni_rank_t *rank;
} line_t;

static void *listen_to_line(void *argument)
{
    line_t *line = argument;
    mni_control_message_t message;
    while (mni_control_receive(line->socket, &message) == 1)
        if (message.kind == MNI_CONTROL_DRAIN || message.kind == MNI_CONTROL_STOP)
            mni_rank_drain(line->rank, message.kind == MNI_CONTROL_STOP ? MNI_DRAIN_AT_ONCE
                                       : message.value != 0             ? MNI_DRAIN_RESUME
                                                                        : MNI_DRAIN);
    /* The command is gone, and with it who would see an end. */
    mni_rank_drain(line->rank, MNI_DRAIN_AT_ONCE);
    return NULL;
}

static int line_open(line_t *line, mni_rank_t *rank)
{
    const char *path = getenv(MNI_CONTROL_VARIABLE);
    sigset_t all, before;

    line->socket = -1;
    line->rank = rank;
    if (!path)
        return 0;
    int socket = mni_control_connect(path);
    if (socket < 0)
        return socket;
    int rc = mni_control_take_streams(socket);
    if (rc >= 0)
        rc = mni_control_send(socket, MNI_CONTROL_HELLO, (int32_t)getpid());
    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    line->socket = socket;
    if (rc == 0 && pthread_create(&line->thread, NULL, listen_to_line, line) != 0)
        rc = mni_error(MN_E_SYSTEM, "cannot start a thread for the control line");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc < 0) {
        close(socket);
        line->socket = -1;
    }
    return rc;
}

/* Without a status (negative) the command takes it as a crash. */
static void line_close(line_t *line, int status)
{
    if (line->socket < 0)
        return;
    if (status >= 0)
        mni_control_send(line->socket, MNI_CONTROL_EXIT, status);
    shutdown(line->socket, SHUT_RDWR);
    pthread_join(line->thread, NULL);
    close(line->socket);
}

/* --- those outside ------------------------------------------------------------------------------------------------- */

static void drain_from_outside(void *rank, bool at_once)
{
    mni_rank_drain(rank, at_once ? MNI_DRAIN_AT_ONCE : MNI_DRAIN);
}

static bool is_in_allocation(void)
{
    static const char *const signs[] = {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "PE_HOSTFILE"};

    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        const char *value = getenv(signs[i]);
        if (value && value[0])
            return true;
    }
    return false;
}

/* A runtime without a store has no name by which it could be found. On TCP it listens where the user says, or when those who look for
 * it are likely to be on another node than rank 0. False: the run cannot be what was asked for. */
static bool server_open(mni_rank_t *rank, mni_server_t **server)
{
    const char *asked = getenv(MNI_LISTEN_VARIABLE);
    mni_listen_t listen = {.port = 0};
    mni_server_options_t options = {.store = mni_rank_store(rank),
                                    .listen_asked = asked && asked[0],
                                    .drain = drain_from_outside,
                                    .argument = rank};
    int rc = 0;

    if (!options.store)
        return true;
    if (options.listen_asked && (rc = mni_listen_parse(asked, &listen)) < 0)
        mni_error_prefix(rc, "%s", MNI_LISTEN_VARIABLE);
    if (options.listen_asked || is_in_allocation() || mni_rank_spans(rank))
        options.listen = &listen;
    if (rc == 0 && (rc = mni_rank_open_outside(rank, &options.channel)) == 0)
        rc = mni_server_open(&options, server);
    if (rc != 0)
        fprintf(stderr, "multinode: the run cannot be reached from %s: %s\n",
                rc == 1 ? "other nodes" : "outside", mn_error_message());
    return rc >= 0 || !options.listen_asked;
}

/* --- the run ---------------------------------------------------------------------------------------------------------- */

static void complain(int code)
{
    fprintf(stderr, "multinode: %s\n",
            mn_error_message()[0] ? mn_error_message() : mn_strerror(code));
    fflush(stderr);
}

/* Leaves without MPI_Finalize, which would wait for ranks that are gone. */
static void leave(int status)
{
    fflush(NULL);
    _exit(status);
}

static int run_rank(mni_rank_t *rank, mni_spawner_t *spawner, bool first)
{
    line_t line = {.socket = -1};
    mni_server_t *server = NULL;
    const char *error = NULL;
    char warning[MNI_ERROR_MAX];
    bool refused = false;
    int status = 0, rc = 0;

    if (first) {
        signalled_rank = rank;
        handle_signals(on_signal);
        if (drain_wanted != 0)
            mni_rank_drain(rank, (mni_drain_t)drain_wanted);
        rc = line_open(&line, rank);
        if (rc < 0) {
            complain(rc);
            mni_rank_drain(rank, MNI_DRAIN_AT_ONCE);
        }
        if (!server_open(rank, &server)) {
            refused = true;
            mni_rank_drain(rank, MNI_DRAIN_AT_ONCE);
        }
    }
    while (!mni_rank_over(rank))
        if ((rc = mni_rank_step(rank, MNI_NEVER)) < 0)
            break;
        else if (first && mni_rank_warning(rank, warning, sizeof warning))
            fprintf(stderr, "multinode: %s\n", warning);
    if (rc < 0 && !mni_rank_over(rank)) {
        if (first)
            complain(rc);
        else if (!mni_rank_orphan(rank)) /* else rank 0 or mpirun is what went wrong */
            fprintf(stderr, "multinode: rank %u: %s\n", mni_rank_number(rank), mn_error_message());
        mni_server_close(server);
        mni_spawner_stop(spawner, 0);
        if (first) {
            signalled_rank = NULL;
            line_close(&line, rc == MN_E_LOST ? -1 : EXIT_FAILED);
        }
        leave(EXIT_FAILED);
    }
    mni_server_close(server);
    mni_spawner_stop(spawner, SPAWNER_PATIENCE);
    if (first) {
        status = mni_rank_status(rank, &error);
        if (refused)
            status = EXIT_FAILED;
        if (error)
            fprintf(stderr, "multinode: %s\n", error);
        signalled_rank = NULL;
        line_close(&line, status);
    }
    bool any_lost = mni_rank_close(rank);
    mni_spawner_destroy(spawner);
    if (any_lost)
        leave(status);
    return status;
}

int mn_main(int argc, char **argv, mn_driver_t *driver)
{
    static bool called;
    mni_rank_options_t options = {0};
    mni_spawner_t *spawner = NULL;
    mni_comm_t *comm = NULL;
    mni_rank_t *rank = NULL;
    int rc;

    if (!driver)
        rc = mni_error(MN_E_INVALID,
                       "mn_main() needs a driver: the function that runs your client code");
    else if (called)
        rc = mni_error(MN_E_WRONG_KIND, "mn_main() can be called only once");
    else if (mni_comm_initialized())
        rc = mni_error(MN_E_WRONG_KIND,
                       "mn_main() must be called before MPI_Init(); a program that has its own "
                       "MPI uses mn_prepare() and mn_open() of multinode_mpi.h");
    else if ((rc = mni_exec_declare()) == 0 && (rc = mni_declarations_freeze()) == 0)
        rc = mni_settings_read(&options);
    if (rc < 0) {
        complain(rc);
        return EXIT_MISUSE;
    }
    called = true;
    mni_client_set_driver(driver, argc, argv);
    if ((rc = mni_spawner_start(&spawner)) < 0) {
        complain(rc);
        return EXIT_FAILED;
    }
    handle_signals(on_signal); /* counted until there is a rank to tell */
    if ((rc = mni_comm_start(&argc, &argv, &comm)) < 0) {
        complain(rc);
        mni_spawner_stop(spawner, 0);
        mni_spawner_destroy(spawner);
        return EXIT_FAILED;
    }
    bool first = mni_comm_rank(comm) == 0;
    if (!first)
        handle_signals(on_other_signal);
    if ((rc = mni_rank_open(comm, spawner, &options, &rank)) < 0) {
        if (first)
            complain(rc);
        mni_spawner_stop(spawner, 0);
        mni_spawner_destroy(spawner);
        return EXIT_FAILED;
    }
    if (first && mni_rank_damage(rank))
        fprintf(stderr, "multinode: of the store a part is lost:\n%s", mni_rank_damage(rank));
    return run_rank(rank, spawner, first);
}
