/* SPDX-License-Identifier: MIT
 *
 * The beginning of a run: signals, folders, descriptors, and the guard that starts mpirun.
 */
#include "command/command.h"
#include "command/supervise.h"
#include "service/control.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* The descriptor that mpirun writes its own messages to: so high that nothing else has it, here
 * or on another node. */
#define DIAGNOSTICS_NUMBER 900

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
    static sigset_t at_first; /* one that is started again has them blocked already */
    static bool known;
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
    /* A shell without job control starts what is in its background with SIGINT ignored; like
     * mpirun itself, the command hears it all the same. */
    signal(SIGINT, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &heard, before);
    if (known)
        *before = at_first;
    at_first = *before;
    known = true;
    sigdelset(before, SIGINT);
    sigdelset(before, SIGTERM);
    sigdelset(before, SIGCHLD);
    return signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Makes the private folders. Segments of the ranks belong in memory; without /dev/shm Open MPI
 * chooses their place. */
static int make_folders(mni_run_t *run)
{
    mni_folders_t *folders = &run->folders;

    if ((run->listener = mni_control_listen(run->path)) < 0)
        return run->listener;
    snprintf(folders->private, sizeof folders->private, "%.*s",
             (int)(strrchr(run->path, '/') - run->path), run->path);
    snprintf(folders->shared, sizeof folders->shared, "/dev/shm/multinode-XXXXXX");
    if (!run->place->one_node || !mkdtemp(folders->shared))
        folders->shared[0] = '\0';
    return setenv(MNI_CONTROL_VARIABLE, run->path, 1) == 0
               ? 0
               : mni_error_errno("cannot set " MNI_CONTROL_VARIABLE);
}

/* A pipe for Open MPI's own messages; the end that mpirun gets. */
static int open_diagnostics(mni_run_t *run)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return mni_error_errno("cannot make a pipe");
    run->diagnostics = ends[0];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    int raised = raise_descriptor(ends[1]);
    return raised >= 0 ? raised : mni_error_errno("cannot open a descriptor for messages");
}

/* Opens all that the loop listens to and starts the guard. Signals come first: from then on none
 * leaves a folder. */
int mni_run_begin(mni_run_t *run)
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
