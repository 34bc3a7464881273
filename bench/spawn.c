/* SPDX-License-Identifier: MIT
 *
 * What `exec true` cannot beat: processes, each on a core of its own, that start /bin/true and wait for it, over and over.
 *
 *     spawn [COUNT [PROCESSES]]
 */
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* To the n-th core of those that it may use, if there are so many. */
static void bind_to(int n)
{
    cpu_set_t all, one;

    if (sched_getaffinity(0, sizeof all, &all) < 0)
        return;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &all) && n-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            sched_setaffinity(0, sizeof one, &one);
        }
}

static int repeat(long count)
{
    char *arguments[] = {(char *)"/bin/true", NULL};
    int status;
    pid_t pid;

    for (long i = 0; i < count; i++)
        if (posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ) != 0 ||
            waitpid(pid, &status, 0) != pid || status != 0)
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 2000, processes = argc > 2 ? atol(argv[2]) : 2;
    int failed = 0, status;
    double begin = now();

    for (long i = 0; i < processes; i++)
        if (fork() == 0) {
            bind_to((int)i);
            _exit(repeat(count * (i + 1) / processes - count * i / processes));
        }
    while (wait(&status) > 0)
        failed |= status != 0;
    if (failed) {
        fprintf(stderr, "a process could not be started\n");
        return 1;
    }
    printf("whole %.9f\n", now() - begin);
    return 0;
}
