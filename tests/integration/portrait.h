/* SPDX-License-Identifier: MIT
 *
 * What user code can see of the process that it runs in, as text: one process that was used before must look like
 * one that was not.
 */
#ifndef MNI_TESTS_INTEGRATION_PORTRAIT_H
#define MNI_TESTS_INTEGRATION_PORTRAIT_H

#include "check.h"

#include <dirent.h>
#include <fenv.h>
#include <locale.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#define PORTRAIT_MAX 32768

extern char **environ;

typedef struct portrait {
    char text[PORTRAIT_MAX];
    size_t used;
} portrait_t;

__attribute__((format(printf, 2, 3))) static void portray(portrait_t *portrait, const char *format,
                                                          ...)
{
    va_list arguments;
    size_t room = sizeof portrait->text - portrait->used;
    va_start(arguments, format);
    int n = vsnprintf(portrait->text + portrait->used, room, format, arguments);
    va_end(arguments);
    if (n > 0)
        portrait->used += (size_t)n < room ? (size_t)n : room - 1;
}

static int portrait_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void portray_environment(portrait_t *portrait)
{
    char *sorted[512];
    size_t count = 0;
    for (; environ && environ[count] && count < 512; count++)
        sorted[count] = environ[count];
    qsort(sorted, count, sizeof *sorted, portrait_compare);
    for (size_t i = 0; i < count; i++)
        if (strncmp(sorted[i], "MULTINODE_ORIG_", 15) != 0) /* differs from rank to rank */
            portray(portrait, "environment %s\n", sorted[i]);
}

/* Lines of /proc/self/status that say something about the process, not about its memory or number. */
static void portray_status(portrait_t *portrait)
{
    static const char *const kept[] = {"Name:",   "Umask:",  "State:",  "TracerPid:",  "Threads:",
                                       "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:",     "SigCgt:",
                                       "CapEff:", "Uid:",    "Gid:",    "NoNewPrivs:", "Seccomp:"};
    char line[1024];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (strncmp(line, kept[i], strlen(kept[i])) == 0)
                portray(portrait, "%s", line);
    if (file)
        fclose(file);
}

/* Which descriptors are open, and on what: pipes and the like without their numbers. */
static void portray_descriptors(portrait_t *portrait)
{
    char path[64], target[256];
    for (int fd = 0; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        if (strchr(target, '['))
            *strchr(target, '[') = '\0';
        /* /proc/PID/...: without the number of the process. */
        const char *name = strncmp(target, "/proc/", 6) == 0 ? strrchr(target, '/') : target;
        portray(portrait, "descriptor %d %s\n", fd, name);
    }
}

static void portray_limits(portrait_t *portrait)
{
    struct rlimit limit;
    struct itimerval timer;
    cpu_set_t cpus;
    for (int i = 0; i < RLIMIT_NLIMITS; i++)
        if (getrlimit((__rlimit_resource_t)i, &limit) == 0)
            portray(portrait, "limit %d %lld %lld\n", i, (long long)limit.rlim_cur,
                    (long long)limit.rlim_max);
    for (int i = ITIMER_REAL; i <= ITIMER_PROF; i++)
        if (getitimer((__itimer_which_t)i, &timer) == 0)
            portray(portrait, "timer %d %s\n", i,
                    timer.it_value.tv_sec || timer.it_value.tv_usec ? "runs" : "off");
    portray(portrait, "priority %d\n", getpriority(PRIO_PROCESS, 0));
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        portray(portrait, "cores %d\n", CPU_COUNT(&cpus));
}

CHECK_UNUSED static void portrait_take(portrait_t *portrait)
{
    char directory[4096];
    stack_t stack;
    portrait->used = 0;
    portrait->text[0] = '\0';
    portray_status(portrait);
    portray(portrait, "directory %s\n", getcwd(directory, sizeof directory) ? directory : "none");
    portray(portrait, "locale %s, %s\n", setlocale(LC_ALL, NULL),
            uselocale((locale_t)0) == LC_GLOBAL_LOCALE ? "global" : "of its own");
    portray(portrait, "rounding %d, flags %d, traps %d\n", fegetround(),
            fetestexcept(FE_ALL_EXCEPT), fegetexcept());
    portray(portrait, "signal stack %s\n",
            sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE) ? "none" : "its own");
    portray(portrait, "children %s\n",
            waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD ? "none" : "some");
    portray_descriptors(portrait);
    portray_limits(portrait);
    portray_environment(portrait);
}

/* The first line in which two portraits differ, of each. False: they are the same. */
CHECK_UNUSED static bool portraits_differ(const char *a, const char *b, char lines[2][512])
{
    while (*a || *b) {
        size_t a_length = strcspn(a, "\n"), b_length = strcspn(b, "\n");
        if (a_length != b_length || memcmp(a, b, a_length) != 0) {
            snprintf(lines[0], 512, "%.*s", (int)a_length, a);
            snprintf(lines[1], 512, "%.*s", (int)b_length, b);
            return true;
        }
        a += a_length + (a[a_length] == '\n');
        b += b_length + (b[b_length] == '\n');
    }
    return false;
}

#endif
