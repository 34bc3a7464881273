/* SPDX-License-Identifier: MIT
 *
 * The command while a program runs: one loop over the user's signals, the control line to rank
 * 0, the guard, what Open MPI has to say, and a terminal's input. It ends when the guard has,
 * and then nothing of the run is left.
 *
 * Escalation, each step after the one before has had its time: drain (a signal), stop (a second
 * one, or the grace is over), terminate mpirun (the guard then kills).
 */
#include "command/command.h"
#include "command/supervise.h"
#include "service/control.h"
#include "util/clock.h"
#include "util/error.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* From the end that rank 0 reports to the end of mpirun. */
#define END_PATIENCE 10.0
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

/* --- escalation ---------------------------------------------------- */

static void plan_step(mni_run_t *run, mni_step_t step, double seconds)
{
    run->step = step;
    run->deadline = mni_clock_after(mni_clock_now(), seconds);
}

static void tell_guard(mni_run_t *run, mni_guard_kind_t kind)
{
    mni_guard_message_t message = {.kind = (uint32_t)kind, .value = 0};
    if (run->channel >= 0)
        send(run->channel, &message, sizeof message, MSG_NOSIGNAL);
}

static void terminate(mni_run_t *run)
{
    tell_guard(run, MNI_GUARD_TERMINATE);
    plan_step(run, STEP_GIVE_UP, GUARD_PATIENCE);
}

static void stop(mni_run_t *run)
{
    if (run->line < 0 || mni_control_send(run->line, MNI_CONTROL_STOP, 0) < 0)
        terminate(run);
    else
        plan_step(run, STEP_TERMINATE, STOP_PATIENCE);
}

static void drain(mni_run_t *run)
{
    if (run->line < 0 ||
        mni_control_send(run->line, MNI_CONTROL_DRAIN, run->signal == SIGUSR1) < 0) {
        terminate(run);
        return;
    }
    plan_step(run, STEP_STOP, run->options->grace + DRAIN_MARGIN);
    if (!run->options->quiet)
        mni_say("stopping: jobs are asked to stop within %g s, Ctrl-C again to stop now",
                run->options->grace);
}

static void take_step(mni_run_t *run)
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

static void on_signal(mni_run_t *run, int signal)
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

/* --- what is heard ---------------------------------------------------- */

static void hear_signals(mni_run_t *run)
{
    struct signalfd_siginfo signal;

    while (read(run->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo == SIGCONT)
            mni_terminal_look(&run->terminal);
        else if (signal.ssi_signo != SIGCHLD)
            on_signal(run, (int)signal.ssi_signo);
    }
}

/* The first to connect is rank 0; nobody else can, so that a program within the program does
 * not. */
static void accept_line(mni_run_t *run)
{
    run->line = accept4(run->listener, NULL, NULL, SOCK_CLOEXEC);
    if (run->line < 0)
        return;
    close(run->listener);
    run->listener = -1;
    /* One that has gone already is noticed as the end of the line. */
    mni_control_send_streams(run->line);
}

static void lose_line(mni_run_t *run)
{
    close(run->line);
    run->line = -1;
    if (run->exit_status < 0 && !run->ended && run->step != STEP_GIVE_UP)
        plan_step(run, STEP_TERMINATE, LOST_PATIENCE);
}

static void hear_line(mni_run_t *run)
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

static void hear_guard(mni_run_t *run)
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

/* Messages of Open MPI's own are kept for the case that nothing starts, and shown at once when
 * the user wants. */
static void hear_diagnostics(mni_run_t *run)
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
    size_t room = sizeof run->kept - run->kept_size,
           taken = (size_t)size < room ? (size_t)size : room;
    memcpy(run->kept + run->kept_size, text, taken);
    run->kept_size += taken;
}

/* --- ranks that never arrive ---------------------------------------------------- */

static bool is_counting(const mni_run_t *run)
{
    return !run->hello && !run->ended && run->mpirun > 0 && run->place->one_node &&
           run->missing < 0;
}

static void count_ranks(mni_run_t *run)
{
    long missing = mni_guard_missing_rank(run->mpirun, run->options->ranks);

    run->next_count = mni_clock_after(mni_clock_now(), COUNT_PAUSE);
    run->strikes = missing >= 0 ? run->strikes + 1 : 0;
    if (run->strikes < COUNT_STRIKES)
        return;
    run->missing = missing;
    terminate(run);
}

/* --- the loop ---------------------------------------------------- */

static int poll_timeout(const mni_run_t *run)
{
    uint64_t next = run->step == STEP_NONE ? MNI_NEVER : run->deadline, now = mni_clock_now(),
             pause;

    if (is_counting(run) && run->next_count < next)
        next = run->next_count;
    if (next == MNI_NEVER)
        return mni_terminal_is_waiting(&run->terminal) ? MNI_TERMINAL_PAUSE_MS : -1;
    pause = next > now ? (next - now) / MNI_MILLISECOND + 1 : 0;
    return pause < MNI_TERMINAL_PAUSE_MS ? (int)pause : MNI_TERMINAL_PAUSE_MS;
}

static void loop(mni_run_t *run)
{
    while (run->channel >= 0 && !run->gave_up) {
        struct pollfd ready[] = {
            {.fd = run->signals, .events = POLLIN},
            {.fd = run->listener, .events = POLLIN},
            {.fd = run->line, .events = POLLIN},
            {.fd = run->channel, .events = POLLIN},
            {.fd = run->diagnostics, .events = POLLIN},
            {.fd = -1},
            {.fd = -1},
        };
        if (mni_terminal_is_waiting(&run->terminal))
            mni_terminal_look(&run->terminal);
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
static void hear_the_rest(mni_run_t *run)
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

/* --- the end ---------------------------------------------------- */

static void say_kept(const mni_run_t *run)
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
static int explain(const mni_run_t *run)
{
    const char *program = run->options->program[0];
    int status = run->mpirun_status;

    if (run->start_error) {
        mni_say("cannot start mpirun: %s%s", strerror(run->start_error),
                run->start_error == ENOENT ? " (it is part of Open MPI and must be in PATH)" : "");
        return MNI_EXIT_FAILED;
    }
    if (run->missing >= 0) {
        mni_say(
            "rank %ld of %s ended before the runtime began, and the others could not go on; what it said is above",
            run->missing, program);
        return MNI_EXIT_FAILED;
    }
    if (run->signal) {
        mni_say("%s was stopped (%s) before it could report an exit status", program,
                strsignal(run->signal));
        return 128 + run->signal;
    }
    if (!run->ended) {
        mni_say("the guard process of this run has gone; what it watched over has been ended");
        return MNI_EXIT_FAILED;
    }
    if (WIFSIGNALED(status)) {
        mni_say("mpirun was killed by signal %d (%s) before %s could report an exit status",
                WTERMSIG(status), strsignal(WTERMSIG(status)), program);
    } else if (run->hello) {
        mni_say("rank 0 of %s ended without a report: it was killed or crashed", program);
    } else if (WEXITSTATUS(status) != 0) {
        say_kept(run);
        mni_say("mpirun ended with status %d before %s began; what it said is above",
                WEXITSTATUS(status), program);
    } else {
        mni_say(
            "%s ended before its runtime began: unless the reason is above, its main() does not call mn_main()",
            program);
    }
    return MNI_EXIT_FAILED;
}

/* Collects the guard; what it left if it was killed is ended here. */
static void collect(mni_run_t *run)
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
    while (mni_clock_now() < deadline &&
           ((ended = waitpid(-1, &status, WNOHANG)) >= 0 || errno != ECHILD))
        if (ended == 0)
            poll(NULL, 0, 20);
    mni_guard_sweep(GUARD_PATIENCE);
}

static int run_once(mni_run_t *run)
{
    if (mni_run_begin(run) < 0) {
        mni_say("%s", mn_error_message());
        return MNI_EXIT_FAILED;
    }
    loop(run);
    hear_the_rest(run);
    collect(run);
    return run->exit_status >= 0 ? run->exit_status : explain(run);
}

static void close_all(mni_run_t *run)
{
    mni_control_unlisten(run->listener, run->path);
    mni_guard_remove_folders(&run->folders);
    mni_terminal_close(&run->terminal);
    for (int *descriptor = (int[]){run->line, run->channel, run->diagnostics, run->signals, -2};
         *descriptor != -2; descriptor++)
        if (*descriptor >= 0)
            close(*descriptor);
}

int mni_supervise(const mni_run_options_t *options, const mni_place_t *place)
{
    mni_restarts_t restarts = {.options = *options, .place = *place};
    bool again;
    int status;

    do {
        mni_run_t run = {.options = &restarts.options,
                         .place = &restarts.place,
                         .begun = mni_clock_now(),
                         .terminal = {.pipe = -1},
                         .listener = -1,
                         .line = -1,
                         .signals = -1,
                         .channel = -1,
                         .diagnostics = -1,
                         .exit_status = -1,
                         .missing = -1};
        status = run_once(&run);
        again = mni_restart(&run, &restarts, &status);
        close_all(&run);
    } while (again);
    free(restarts.hosts);
    return status;
}
