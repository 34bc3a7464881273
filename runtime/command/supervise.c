/* SPDX-License-Identifier: MIT
 *
 * The command while a program runs: one loop over the user's signals, the control line to rank 0, the guard, what Open
 * MPI has to say, and a terminal's input. It ends when the guard has, and then nothing of the run is left.
 *
 * Escalation, each step after the one before has had its time: drain (a signal), stop (a second one, or the grace is
 * over), terminate mpirun (the guard then kills).
 */
#include "command/command.h"
#include "command/run.h"
#include "command/terminal.h"
#include "service/control.h"
#include "util/clock.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* From the end that rank 0 reports to the end of mpirun. */
#define END_PATIENCE 5.0
/* From a stop to the end of mpirun. */
#define STOP_PATIENCE 5.0
/* From the loss of rank 0: its workers notice and end. */
#define LOST_PATIENCE 3.0
/* What a drain may take beyond the grace. */
#define DRAIN_MARGIN 15.0
/* The guard kills after three seconds; this is for a guard that hangs. */
#define GUARD_PATIENCE 30.0
/* Until rank 0 has said hello, ranks are counted this often. */
#define COUNT_PAUSE 0.5
/* One that is missing so often in a row has ended. */
#define COUNT_STRIKES 4
#define MOST_RANKS_COUNTED 4096
/* The descriptor that mpirun writes its own messages to: so high that nothing else has it, here or on another node. */
#define DIAGNOSTICS_NUMBER 900
#define DIAGNOSTICS_KEPT 8192

typedef enum step { STEP_NONE, STEP_STOP, STEP_TERMINATE, STEP_GIVE_UP } step_t;

typedef struct run {
    const mni_run_options_t *options;
    const mni_place_t *place;
    char path[108]; /* of the control socket */
    mni_folders_t folders;
    int listener, line, signals, channel, diagnostics; /* -1: closed */
    pid_t guard, mpirun;
    mni_terminal_t terminal;
    bool hello, ended, gave_up;
    int exit_status;    /* -1: not reported */
    int mpirun_status;  /* wait status */
    int start_error;    /* errno of a failed exec */
    int signal;         /* the first that asked to end; 0: none */
    long missing;       /* the rank that was found missing, -1: none */
    unsigned strikes;
    uint64_t next_count;
    step_t step; /* what comes at the deadline */
    uint64_t deadline;
    char kept[DIAGNOSTICS_KEPT]; /* what Open MPI said of itself */
    size_t kept_size;
} run_t;

/* --- escalation -------------------------------------------------------------------------------------------- */

static void plan_step(run_t *run, step_t step, double seconds)
{
    run->step = step;
    run->deadline = mni_clock_after(mni_clock_now(), seconds);
}

static void tell_guard(run_t *run, mni_guard_kind_t kind)
{
    mni_guard_message_t message = {.kind = (uint32_t)kind, .value = 0};
    if (run->channel >= 0)
        send(run->channel, &message, sizeof message, MSG_NOSIGNAL);
}

static void terminate(run_t *run)
{
    tell_guard(run, MNI_GUARD_TERMINATE);
    plan_step(run, STEP_GIVE_UP, GUARD_PATIENCE);
}

static void stop(run_t *run)
{
    if (run->line < 0 || mni_control_send(run->line, MNI_CONTROL_STOP, 0) < 0)
        terminate(run);
    else
        plan_step(run, STEP_TERMINATE, STOP_PATIENCE);
}

static void drain(run_t *run)
{
    if (run->line < 0 || mni_control_send(run->line, MNI_CONTROL_DRAIN, 0) < 0) {
        terminate(run);
        return;
    }
    plan_step(run, STEP_STOP, run->options->grace + DRAIN_MARGIN);
    if (!run->options->quiet)
        mni_say("stopping: jobs are asked to stop within %g s, Ctrl-C again to stop now", run->options->grace);
}

static void take_step(run_t *run)
{
    switch (run->step) {
    case STEP_STOP:
        mni_say("the jobs did not stop within %g s: stopping now", run->options->grace);
        stop(run);
        break;
    case STEP_TERMINATE:
        terminate(run);
        break;
    case STEP_GIVE_UP:
        run->gave_up = true;
        break;
    case STEP_NONE:
        break;
    }
}

static void on_signal(run_t *run, int signal)
{
    bool first = run->signal == 0;

    if (first)
        run->signal = signal;
    if (run->ended || run->step == STEP_GIVE_UP) {
        /* Somebody who asks while everything is being ended wants it faster. */
        if (!first && (signal == SIGINT || signal == SIGTERM))
            tell_guard(run, MNI_GUARD_KILL);
    } else if (run->exit_status >= 0) {
        terminate(run);
    } else if (first) {
        drain(run);
    } else if (signal == SIGINT || signal == SIGTERM) {
        if (!run->options->quiet && run->step == STEP_STOP)
            mni_say("stopping now");
        if (run->step == STEP_STOP)
            stop(run);
        else
            terminate(run);
    }
}

/* --- what is heard ----------------------------------------------------------------------------------------- */

static void hear_signals(run_t *run)
{
    struct signalfd_siginfo signal;

    while (read(run->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo == SIGCONT)
            mni_terminal_look(&run->terminal);
        else if (signal.ssi_signo != SIGCHLD)
            on_signal(run, (int)signal.ssi_signo);
    }
}

/* The first to connect is rank 0; nobody else can, so that a program within the program does not. */
static void accept_line(run_t *run)
{
    run->line = accept4(run->listener, NULL, NULL, SOCK_CLOEXEC);
    if (run->line < 0)
        return;
    close(run->listener);
    run->listener = -1;
}

static void lose_line(run_t *run)
{
    close(run->line);
    run->line = -1;
    if (run->exit_status < 0 && !run->ended && run->step != STEP_GIVE_UP)
        plan_step(run, STEP_TERMINATE, LOST_PATIENCE);
}

static void hear_line(run_t *run)
{
    mni_control_message_t message;

    if (mni_control_receive(run->line, &message) != 1) {
        lose_line(run);
    } else if (message.kind == MNI_CONTROL_HELLO) {
        run->hello = true;
    } else if (message.kind == MNI_CONTROL_EXIT && run->exit_status < 0) {
        run->exit_status = message.value & 0xff;
        if (run->step != STEP_GIVE_UP)
            plan_step(run, STEP_TERMINATE, END_PATIENCE);
    }
}

static void hear_guard(run_t *run)
{
    mni_guard_message_t message;
    ssize_t size = recv(run->channel, &message, sizeof message, 0);

    if (size == 0 || (size < 0 && errno != EINTR)) {
        close(run->channel);
        run->channel = -1;
    } else if (size == (ssize_t)sizeof message) {
        switch (message.kind) {
        case MNI_GUARD_STARTED:
            run->mpirun = message.value;
            run->next_count = mni_clock_after(mni_clock_now(), 2 * COUNT_PAUSE);
            break;
        case MNI_GUARD_FAILED:
            run->start_error = message.value;
            break;
        case MNI_GUARD_ENDED:
            run->ended = true;
            run->mpirun_status = message.value;
            plan_step(run, STEP_GIVE_UP, GUARD_PATIENCE);
            break;
        default:
            break;
        }
    }
}

/* Messages of Open MPI's own are kept for the case that nothing starts, and shown at once when the user wants. */
static void hear_diagnostics(run_t *run)
{
    char text[2048];
    ssize_t size = read(run->diagnostics, text, sizeof text);

    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
            close(run->diagnostics);
            run->diagnostics = -1;
        }
        return;
    }
    if (run->options->verbose && write(STDERR_FILENO, text, (size_t)size) < 0)
        return;
    size_t room = sizeof run->kept - run->kept_size, taken = (size_t)size < room ? (size_t)size : room;
    memcpy(run->kept + run->kept_size, text, taken);
    run->kept_size += taken;
}

/* --- ranks that never arrive ------------------------------------------------------------------------------- */

/* A rank's number from its environment; -1 if it has none (mpirun has forked it, but not yet executed). */
static long rank_of(pid_t pid)
{
    static const char variable[] = "OMPI_COMM_WORLD_RANK=";
    char path[64], *text = NULL;
    size_t room = 0;
    long rank = -1;

    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && rank < 0 && getdelim(&text, &room, '\0', file) > 0)
        if (strncmp(text, variable, sizeof variable - 1) == 0)
            rank = strtol(text + sizeof variable - 1, NULL, 10);
    free(text);
    if (file)
        fclose(file);
    return rank;
}

/* With recovery mpirun lets the others wait for ever for a rank that has ended before it took part. The lowest such
 * rank; -1 if all are there, or it cannot be told. */
static long find_missing(const run_t *run)
{
    static pid_t children[MOST_RANKS_COUNTED];
    static bool seen[MOST_RANKS_COUNTED];
    size_t count = mni_guard_children(run->mpirun, children, MOST_RANKS_COUNTED);

    if (count == 0 || count == MOST_RANKS_COUNTED || run->options->ranks > MOST_RANKS_COUNTED)
        return -1;
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < count; i++) {
        long rank = rank_of(children[i]);
        if (rank < 0 || rank >= run->options->ranks)
            return -1;
        seen[rank] = true;
    }
    for (long rank = 0; rank < run->options->ranks; rank++)
        if (!seen[rank])
            return rank;
    return -1;
}

static bool is_counting(const run_t *run)
{
    return !run->hello && !run->ended && run->mpirun > 0 && run->place->one_node && run->missing < 0;
}

static void count_ranks(run_t *run)
{
    long missing = find_missing(run);

    run->next_count = mni_clock_after(mni_clock_now(), COUNT_PAUSE);
    run->strikes = missing >= 0 ? run->strikes + 1 : 0;
    if (run->strikes < COUNT_STRIKES)
        return;
    run->missing = missing;
    terminate(run);
}

/* --- the loop ---------------------------------------------------------------------------------------------- */

static int poll_timeout(const run_t *run)
{
    uint64_t next = run->step == STEP_NONE ? MNI_NEVER : run->deadline, now = mni_clock_now();

    if (is_counting(run) && run->next_count < next)
        next = run->next_count;
    if (next == MNI_NEVER)
        return -1;
    if (next <= now)
        return 0;
    uint64_t pause = (next - now) / MNI_MILLISECOND + 1;
    return pause < 60000 ? (int)pause : 60000;
}

static void loop(run_t *run)
{
    while (run->channel >= 0 && !run->gave_up) {
        struct pollfd ready[] = {
            {.fd = run->signals, .events = POLLIN},     {.fd = run->listener, .events = POLLIN},
            {.fd = run->line, .events = POLLIN},        {.fd = run->channel, .events = POLLIN},
            {.fd = run->diagnostics, .events = POLLIN}, {.fd = -1}, {.fd = -1},
        };
        mni_terminal_poll(&run->terminal, ready + 5);
        int count = poll(ready, sizeof ready / sizeof ready[0], poll_timeout(run));
        if (count < 0 && errno != EINTR)
            return;
        if (count > 0) {
            if (ready[4].revents)
                hear_diagnostics(run);
            if (ready[2].revents)
                hear_line(run);
            if (ready[1].revents)
                accept_line(run);
            if (ready[0].revents)
                hear_signals(run);
            mni_terminal_serve(&run->terminal, ready + 5);
            if (ready[3].revents)
                hear_guard(run);
        }
        if (run->step != STEP_NONE && mni_clock_now() >= run->deadline)
            take_step(run);
        if (is_counting(run) && mni_clock_now() >= run->next_count)
            count_ranks(run);
    }
}

/* The last words may still be under way when the processes have gone. */
static void hear_the_rest(run_t *run)
{
    struct pollfd ready;

    for (int turns = 0; turns < 64; turns++) {
        ready = (struct pollfd){.fd = run->line >= 0 ? run->line : run->listener, .events = POLLIN};
        if (run->exit_status >= 0 || ready.fd < 0 || poll(&ready, 1, 0) <= 0)
            break;
        if (run->line >= 0)
            hear_line(run);
        else
            accept_line(run);
    }
    for (int turns = 0; turns < 64 && run->diagnostics >= 0; turns++) {
        ready = (struct pollfd){.fd = run->diagnostics, .events = POLLIN};
        if (poll(&ready, 1, 0) <= 0)
            break;
        hear_diagnostics(run);
    }
}

/* --- the end ----------------------------------------------------------------------------------------------- */

static void say_kept(const run_t *run)
{
    const char *text = run->kept, *end = run->kept + run->kept_size;

    if (run->options->verbose)
        return;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((stop ? stop : end) - text);
        if (length > 0)
            mni_say("mpirun: %.*s", (int)length, text);
        text += length + 1;
    }
}

/* Says why there is no exit status of the driver's; the command's own. */
static int explain(const run_t *run)
{
    const char *program = run->options->program[0];
    int status = run->mpirun_status;

    if (run->start_error) {
        mni_say("cannot start mpirun: %s%s", strerror(run->start_error),
                run->start_error == ENOENT ? " (it is part of Open MPI and must be in PATH)" : "");
        return MNI_EXIT_FAILED;
    }
    if (run->missing >= 0) {
        mni_say("rank %ld of %s ended before the runtime began, and the others could not go on; what it said is above",
                run->missing, program);
        return MNI_EXIT_FAILED;
    }
    if (run->signal) {
        mni_say("%s was stopped (%s) before it could report an exit status", program, strsignal(run->signal));
        return 128 + run->signal;
    }
    if (!run->ended) {
        mni_say("the guard process of this run has gone; what it watched over has been ended");
        return MNI_EXIT_FAILED;
    }
    if (WIFSIGNALED(status)) {
        mni_say("mpirun was killed by signal %d (%s) before %s could report an exit status", WTERMSIG(status),
                strsignal(WTERMSIG(status)), program);
    } else if (run->hello) {
        mni_say("rank 0 of %s ended without a report: it was killed or crashed", program);
    } else if (WEXITSTATUS(status) != 0) {
        say_kept(run);
        mni_say("mpirun ended with status %d before %s began; what it said is above", WEXITSTATUS(status), program);
    } else {
        mni_say("%s ended before its runtime began: unless the reason is above, its main() does not call mn_main()",
                program);
    }
    return MNI_EXIT_FAILED;
}

/* Collects the guard; what it left if it was killed is ended here. */
static void collect(run_t *run)
{
    int status = 0;

    if (run->gave_up) {
        mni_say("some processes of the run could not be ended");
        kill(run->guard, SIGKILL);
    }
    while (waitpid(run->guard, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status))
        return;
    /* mpirun got SIGTERM when the guard went, and ends its ranks within a second. */
    uint64_t deadline = mni_clock_after(mni_clock_now(), LOST_PATIENCE);
    pid_t ended;
    while (mni_clock_now() < deadline && ((ended = waitpid(-1, &status, WNOHANG)) >= 0 || errno != ECHILD))
        if (ended == 0)
            poll(NULL, 0, 20);
    mni_guard_sweep(GUARD_PATIENCE);
}

static void say_command(char **arguments)
{
    char line[3072] = "";
    size_t used = 0;

    for (; *arguments && used < sizeof line; arguments++)
        used += (size_t)snprintf(line + used, sizeof line - used, " %s", *arguments);
    mni_say("started:%s", line);
}

/* A number that nothing else uses. */
static int raise_descriptor(int descriptor)
{
    struct rlimit limit;
    int least = DIAGNOSTICS_NUMBER;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= DIAGNOSTICS_NUMBER)
        least = (int)limit.rlim_cur / 2;
    int raised = fcntl(descriptor, F_DUPFD_CLOEXEC, least);
    if (raised >= 0)
        close(descriptor);
    return raised;
}

static int open_signals(sigset_t *before)
{
    sigset_t heard;
    struct sigaction action;

    sigemptyset(&heard);
    sigaddset(&heard, SIGINT);
    sigaddset(&heard, SIGTERM);
    sigaddset(&heard, SIGUSR1);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGCONT);
    /* nohup means that the end of the terminal is not to matter. */
    if (sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset(&heard, SIGHUP);
    /* A shell without job control starts what is in its background with SIGINT ignored; like mpirun itself, the
     * command hears it all the same. */
    signal(SIGINT, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &heard, before);
    sigdelset(before, SIGINT);
    sigdelset(before, SIGTERM);
    sigdelset(before, SIGCHLD);
    return signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Makes the private folders. Segments of the ranks belong in memory; without /dev/shm Open MPI chooses their place. */
static int make_folders(run_t *run)
{
    mni_folders_t *folders = &run->folders;

    if ((run->listener = mni_control_listen(run->path)) < 0)
        return run->listener;
    snprintf(folders->private, sizeof folders->private, "%.*s", (int)(strrchr(run->path, '/') - run->path), run->path);
    snprintf(folders->shared, sizeof folders->shared, "/dev/shm/multinode-XXXXXX");
    if (!run->place->one_node || !mkdtemp(folders->shared))
        folders->shared[0] = '\0';
    return setenv(MNI_CONTROL_VARIABLE, run->path, 1) == 0 ? 0 : mni_error_errno("cannot set " MNI_CONTROL_VARIABLE);
}

/* A pipe for Open MPI's own messages; the end that mpirun gets. */
static int open_diagnostics(run_t *run)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return mni_error_errno("cannot make a pipe");
    run->diagnostics = ends[0];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    int raised = raise_descriptor(ends[1]);
    return raised >= 0 ? raised : mni_error_errno("cannot open a descriptor for messages");
}

/* Opens all that the loop listens to and starts the guard. Signals come first: from then on none leaves a folder. */
static int begin(run_t *run)
{
    mni_guard_plan_t plan = {.folders = &run->folders, .closed = {-1, -1, -1, -1}};
    int rc;

    if ((run->signals = open_signals(&plan.signals)) < 0)
        return mni_error_errno("cannot open a descriptor for signals");
    if ((rc = make_folders(run)) < 0 || (rc = mni_terminal_open(&run->terminal, &plan.input)) < 0 ||
        (rc = plan.diagnostics = open_diagnostics(run)) < 0 ||
        (rc = mni_launch_environment(run->place, plan.diagnostics)) < 0)
        return rc;
    plan.arguments = mni_launch_arguments(run->options, run->place, &run->folders);
    if (!plan.arguments)
        return MN_E_NO_MEMORY;
    if (run->options->verbose)
        say_command(plan.arguments);
    plan.closed[0] = run->listener;
    plan.closed[1] = run->signals;
    plan.closed[2] = run->diagnostics;
    plan.closed[3] = run->terminal.pipe;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    run->guard = mni_guard_start(&plan, &run->channel);
    close(plan.diagnostics);
    if (plan.input >= 0)
        close(plan.input);
    mni_launch_destroy(plan.arguments);
    return run->guard < 0 ? (int)run->guard : 0;
}

int mni_supervise(const mni_run_options_t *options, const mni_place_t *place)
{
    run_t run = {.options = options, .place = place, .listener = -1, .line = -1, .signals = -1, .channel = -1,
                 .diagnostics = -1, .exit_status = -1, .missing = -1};
    int status = MNI_EXIT_FAILED;

    if (begin(&run) < 0) {
        mni_say("%s", mn_error_message());
    } else {
        loop(&run);
        hear_the_rest(&run);
        collect(&run);
        status = run.exit_status >= 0 ? run.exit_status : explain(&run);
    }
    mni_control_unlisten(run.listener, run.path);
    mni_guard_remove_folders(&run.folders);
    return status;
}
