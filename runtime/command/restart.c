/* SPDX-License-Identifier: MIT
 *
 * multinode run --restart: whether a run that has ended is started again, and what must be waited for before.
 */
#include "command/command.h"
#include "command/hosts.h"
#include "command/supervise.h"
#include "util/clock.h"
#include "util/error.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* So often in a row; one that has worked for so long counts anew. */
#define MOST_RESTARTS 3
#define LONG_ENOUGH (600 * MNI_SECOND)
/* There is more to do, in another run. */
#define EXIT_MORE 75
/* As the runtime has it when nothing is said. */
#define DEFAULT_HEARTBEAT 10.0

/* What could not be reached ends by itself when nothing was heard of rank 0 for this time. */
static double lease(void)
{
    const char *text = getenv("MULTINODE_HEARTBEAT");
    double seconds = text && text[0] ? strtod(text, NULL) : DEFAULT_HEARTBEAT;
    return seconds > 0 ? seconds : DEFAULT_HEARTBEAT;
}

/* The signal that came meanwhile, which the user means for the run; 0: none. */
static int wait_out(const mni_run_t *run, double seconds)
{
    uint64_t deadline = mni_clock_after(mni_clock_now(), seconds);
    struct pollfd signals = {.fd = run->signals, .events = POLLIN};
    struct signalfd_siginfo signal;

    for (;;) {
        uint64_t now = mni_clock_now();
        int left = now < deadline ? (int)((deadline - now) / MNI_MILLISECOND) + 1 : 0;
        int ready = poll(&signals, 1, left);
        if (ready == 0 && mni_clock_now() >= deadline)
            return 0;
        if (ready > 0 && read(run->signals, &signal, sizeof signal) == (ssize_t)sizeof signal &&
            signal.ssi_signo != SIGCHLD && signal.ssi_signo != SIGCONT)
            return (int)signal.ssi_signo;
    }
}

static char *join(const mni_hosts_t *hosts)
{
    char *list = malloc((size_t)hosts->count * sizeof *hosts->names + 1), *to = list;

    for (unsigned i = 0; list && i < hosts->count; i++)
        to += sprintf(to, "%s%s", i > 0 ? "," : "", hosts->names[i]);
    return list;
}

/* Of the hosts that the user has named, those that can be reached. A batch system ends the job when it loses a node, and puts it back
 * into its queue. */
static int look_for_hosts(mni_restarts_t *restarts)
{
    mni_run_options_t *options = &restarts->options;
    mni_hosts_t hosts = {.count = 0};
    int rc;

    if (!options->host && !options->hostfile)
        return 0;
    rc = options->host ? mni_hosts_from_list(&hosts, options->host)
                       : mni_hosts_from_file(&hosts, options->hostfile);
    unsigned before = hosts.count;
    if (rc == 0 && (rc = mni_hosts_reachable(&hosts)) == 0 && hosts.count < before) {
        char *list = join(&hosts);
        if (!list) {
            rc = mni_error(MN_E_NO_MEMORY, "no memory for the list of hosts");
        } else {
            if (options->ranks == (long)before + 1)
                options->ranks = (long)hosts.count + 1;
            free(restarts->hosts);
            options->host = restarts->hosts = list;
            options->hostfile = NULL;
            restarts->place.nodes = hosts.count;
        }
    }
    free(hosts.names);
    mni_guard_sweep(1);
    return rc;
}

bool mni_restart(const mni_run_t *run, mni_restarts_t *restarts, int *status)
{
    /* Of other hosts it is not known whether all has ended there. */
    double pause = run->place->one_node ? 0 : lease();

    if (!run->options->restart || run->exit_status >= 0 || run->signal || run->gave_up ||
        run->start_error)
        return false;
    restarts->begun |= run->hello;
    if (!restarts->begun) /* it is not a crash that keeps it from beginning */
        return false;
    if (mni_clock_now() - run->begun >= LONG_ENOUGH)
        restarts->count = 0;
    if (restarts->count == MOST_RESTARTS) {
        mni_say("%s is not started again: it was, %d times in a row; what it has kept is in %s",
                run->options->program[0], MOST_RESTARTS, getenv("MULTINODE_STORE"));
        return false;
    }
    restarts->count++;
    if (pause > 0)
        mni_say("in %g s, when nothing of it can run any more on the other hosts:", pause);
    int signal = wait_out(run, pause);
    if (signal != 0) {
        mni_say("%s is not started again: %s", run->options->program[0], strsignal(signal));
        *status = signal == SIGUSR1 ? EXIT_MORE : 128 + signal;
        return false;
    }
    if (!run->place->one_node && look_for_hosts(restarts) < 0) {
        mni_say("%s", mn_error_message());
        return false;
    }
    mni_say("%s is started again and goes on from %s (%d of at most %d times in a row)",
            run->options->program[0], getenv("MULTINODE_STORE"), restarts->count, MOST_RESTARTS);
    return true;
}
