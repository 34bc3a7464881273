/* SPDX-License-Identifier: MIT
 *
 * What it costs to bind a warm executor to other cores: a process that waits, bound to the first and to the last core of the
 * machine in turn, and the bare system call beside it.
 *
 *     bind [RUNS [BINDINGS]]
 */
#include "machine/machine.h"
#include "measure.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start_waiting(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

/* Seconds for one, or negative. */
static double bind_in_turn(mni_machine_t *machine, pid_t pid, size_t count)
{
    mni_cpus_t sets[2] = {{{0}}, {{0}}};
    mni_cpus_add(&sets[0], 0);
    mni_cpus_add(&sets[1], mni_machine_offer(machine)->cores - 1);
    int64_t begin = measure_now();
    for (size_t i = 0; i < count; i++)
        if (mni_machine_bind(machine, pid, &sets[i % 2]) < 0)
            return -1;
    return 1e-9 * (double)(measure_now() - begin) / (double)count;
}

static double call_in_turn(pid_t pid, const cpu_set_t sets[2], size_t count)
{
    int64_t begin = measure_now();
    for (size_t i = 0; i < count; i++)
        if (sched_setaffinity(pid, sizeof sets[0], &sets[i % 2]) < 0)
            return -1;
    return 1e-9 * (double)(measure_now() - begin) / (double)count;
}

int main(int argc, char **argv)
{
    size_t runs = measure_count(argc, argv, 1, 7), count = measure_count(argc, argv, 2, 2000);
    mni_machine_t *machine = NULL;
    cpu_set_t sets[2];
    int status = 0;

    if (mni_machine_open(NULL, &machine) < 0) {
        fprintf(stderr, "%s\n", mn_error_message());
        return 1;
    }
    pid_t pid = start_waiting();
    for (size_t run = 0; run < runs && status == 0; run++) {
        double bound = bind_in_turn(machine, pid, count);
        /* The sets that this left, for the bare call. */
        for (int i = 0; i < 2; i++) {
            bind_in_turn(machine, pid, (size_t)i + 1);
            sched_getaffinity(pid, sizeof sets[i], &sets[i]);
        }
        double bare = call_in_turn(pid, sets, count);
        if (bound < 0 || bare < 0) {
            fprintf(stderr, "cannot bind: %s\n", mn_error_message());
            status = 1;
            break;
        }
        measure_say("bind", bound);
        measure_say("call", bare);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    mni_machine_close(machine);
    return status;
}
