/* SPDX-License-Identifier: MIT
 *
 * What is put back between two tasks of one executor. Executors' main thread; one set of state per
 * process.
 *
 * Resource limits stay too: to look at all of them would double what a restore costs.
 *
 * Descriptors that a task opens and leaves open stay open, as its static variables do: closing them
 * would let the next file opened get the number that a static FILE still writes to. A process that
 * has gathered many is not used again.
 */
#include "executor/process.h"
#include "executor/process_private.h"
#include "executor/trap.h"

#include "util/clock.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEAKED_MOST 128 /* descriptors that tasks may leave open before the process is given up */
#define LEAKED_INTERVAL 16 /* restores between two looks at that */
#define THREAD_TRIES 200   /* of 10 us: a thread that was joined is counted for a moment longer */
#define DRAIN_LIMIT MNI_SECOND

extern char **environ;

/* Gives OpenMP's idle threads back, where the program has OpenMP 5 in it; 2 is omp_pause_hard. */
extern int omp_pause_resource_all(int kind) __attribute__((weak));

/* The standard streams and the memfd, as child.c arranges them. */
#define NEEDED_COUNT 4

typedef struct identity {
    bool open;
    dev_t device;
    ino_t inode;
} identity_t;

/* What /proc/self/status says; signals as sets of bits. One read in place of a system call for
 * each signal. */
typedef struct summary {
    unsigned long threads, umask;
    unsigned long long waiting, blocked, ignored, caught;
} summary_t;

static struct {
    bool remembered;
    int streams[2]; /* copies of the pipes to the spawner, -1: none */
    int directory;  /* O_PATH of the working directory */
    identity_t directory_identity;
    int timers; /* /proc/self/timers, -1: the kernel has none */
    int status; /* /proc/self/status */
    summary_t summary;
    sigset_t blocked;
    struct sigaction actions[NSIG];
    stack_t signal_stack;
    char **environment; /* private copies, NULL at the end */
    char *locale;
    fenv_t floating;
    int priority;
    cpu_set_t cpus; /* that the present task was given */
    bool cpus_known;
    identity_t needed[NEEDED_COUNT];
    int lowest_free; /* the descriptor that open() would have given */
    unsigned restores;
    bool untouched; /* the task has made no system call */
    bool own_code;  /* nor anything that would have to be put back, but perhaps children */
} kept = {.streams = {-1, -1}, .directory = -1, .timers = -1, .status = -1};

/* --- remembering ------------------------------------------------------------------------------ */

void mni_process_set_streams(int out, int err)
{
    int from[2] = {out, err};
    for (int i = 0; i < 2; i++)
        kept.streams[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
}

/* The number behind a name at the beginning of a line. */
static bool read_field(const char *text, const char *name, int base, unsigned long long *value)
{
    char *end;
    const char *at = strstr(text, name);

    if (!at)
        return false;
    *value = strtoull(at + strlen(name), &end, base);
    return end != at + strlen(name);
}

static bool read_summary(summary_t *summary)
{
    char text[8192];
    unsigned long long threads, mask, waiting, shared;

    ssize_t got = pread(kept.status, text, sizeof text - 1, 0);
    if (got <= 0)
        return false;
    text[got] = '\0';
    if (!read_field(text, "\nThreads:", 10, &threads) || !read_field(text, "\nUmask:", 8, &mask) ||
        !read_field(text, "\nSigPnd:", 16, &waiting) ||
        !read_field(text, "\nShdPnd:", 16, &shared) ||
        !read_field(text, "\nSigBlk:", 16, &summary->blocked) ||
        !read_field(text, "\nSigIgn:", 16, &summary->ignored) ||
        !read_field(text, "\nSigCgt:", 16, &summary->caught))
        return false;
    summary->threads = threads;
    summary->umask = mask;
    summary->waiting = waiting | shared;
    return true;
}

static identity_t identify(int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 ? (identity_t){false}
                                  : (identity_t){true, status.st_dev, status.st_ino};
}

static bool same_identity(identity_t a, identity_t b)
{
    return a.open == b.open && (!a.open || (a.device == b.device && a.inode == b.inode));
}

static int remember_environment(void)
{
    size_t count = 0;
    while (environ && environ[count])
        count++;
    kept.environment = calloc(count + 1, sizeof *kept.environment);
    if (!kept.environment)
        return mni_error(MN_E_NO_MEMORY, "no memory to remember the environment");
    for (size_t i = 0; i < count; i++)
        if (!(kept.environment[i] = strdup(environ[i])))
            return mni_error(MN_E_NO_MEMORY, "no memory to remember the environment");
    return 0;
}

static int remember_directory(void)
{
    kept.directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (kept.directory < 0)
        return mni_error_errno("cannot remember the working directory");
    kept.directory_identity = identify(kept.directory);
    return 0;
}

static int remember_status(void)
{
    kept.status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (kept.status < 0 || !read_summary(&kept.summary))
        return mni_error_errno("cannot read /proc/self/status");
    return 0;
}

static void remember_descriptors(void)
{
    for (int fd = 0; fd < NEEDED_COUNT; fd++)
        kept.needed[fd] = identify(fd);
    kept.lowest_free = fcntl(kept.status, F_DUPFD_CLOEXEC, 0);
    if (kept.lowest_free >= 0)
        close(kept.lowest_free);
}

static void remember_cores(void)
{
    /* More processors than the set has room for: then nobody looks after it. */
    kept.cpus_known = sched_getaffinity(0, sizeof kept.cpus, &kept.cpus) == 0;
}

void mni_process_enter_code(void)
{
    if (!mni_trap_arm())
        remember_cores();
}

void mni_process_leave_code(void)
{
    kept.untouched = !mni_trap_disarm() && __libc_single_threaded;
}

void mni_process_own_code(void)
{
    kept.own_code = true;
}

int mni_process_remember(void)
{
    int rc;

    mni_trap_open(remember_cores);
    if (kept.remembered)
        return mni_error(MN_E_INTERNAL, "the state of the process was remembered before");
    rc = remember_directory();
    if (rc < 0)
        return rc;
    rc = remember_environment();
    if (rc < 0)
        return rc;
    kept.locale = strdup(setlocale(LC_ALL, NULL));
    if (!kept.locale)
        return mni_error(MN_E_NO_MEMORY, "no memory to remember the locale");
    rc = remember_status();
    if (rc < 0)
        return rc;
    sigprocmask(SIG_SETMASK, NULL, &kept.blocked);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &kept.actions[number]);
    sigaltstack(NULL, &kept.signal_stack);
    fegetenv(&kept.floating);
    kept.priority = getpriority(PRIO_PROCESS, 0);
    kept.timers = open("/proc/self/timers", O_RDONLY | O_CLOEXEC);
    remember_descriptors();
    kept.remembered = true;
    return 0;
}

/* --- restoring -------------------------------------------------------------------------------- */

static void stop_timers(void)
{
    static const struct itimerval off;
    setitimer(ITIMER_REAL, &off, NULL);
    setitimer(ITIMER_VIRTUAL, &off, NULL);
    setitimer(ITIMER_PROF, &off, NULL);
}

static void restore_signals(const summary_t *now)
{
    sigset_t waiting;
    struct timespec none = {0, 0};
    const summary_t *then = &kept.summary;

    /* What a task blocked and left waiting must not hit the next one when it is unblocked. */
    if (now->waiting != 0)
        while (sigpending(&waiting) == 0 && !sigisemptyset(&waiting) &&
               sigtimedwait(&waiting, NULL, &none) > 0)
            ;
    unsigned long long changed = now->caught | then->caught | (now->ignored ^ then->ignored);
    for (int number = 1; changed != 0 && number < NSIG; number++)
        if (changed >> (number - 1) & 1)
            sigaction(number, &kept.actions[number], NULL);
    if (now->blocked != then->blocked)
        sigprocmask(SIG_SETMASK, &kept.blocked, NULL);
    sigaltstack(&kept.signal_stack, NULL);
}

static bool environment_is_same(void)
{
    size_t i = 0;

    if (!environ)
        return kept.environment[0] == NULL;
    for (; kept.environment[i] && environ[i]; i++)
        if (strcmp(environ[i], kept.environment[i]) != 0)
            return false;
    return !kept.environment[i] && !environ[i];
}

static bool restore_environment(void)
{
    if (environment_is_same())
        return true;
    clearenv();
    for (size_t i = 0; kept.environment[i]; i++) {
        const char *value = strchr(kept.environment[i], '=');
        if (!value) /* a word without a value, as some launchers leave */
            continue;
        char *name = strndup(kept.environment[i], (size_t)(value - kept.environment[i]));
        int rc = name ? setenv(name, value + 1, 1) : -1;
        free(name);
        if (rc < 0 && errno != EINVAL)
            return false;
    }
    return true;
}

static bool restore_directory(void)
{
    struct stat status;

    if (stat(".", &status) == 0 && status.st_dev == kept.directory_identity.device &&
        status.st_ino == kept.directory_identity.inode)
        return true;
    return same_identity(identify(kept.directory), kept.directory_identity) &&
           fchdir(kept.directory) == 0;
}

static bool restore_locale(void)
{
    if (uselocale((locale_t)0) != LC_GLOBAL_LOCALE)
        uselocale(LC_GLOBAL_LOCALE);
    return strcmp(setlocale(LC_ALL, NULL), kept.locale) == 0 ||
           setlocale(LC_ALL, kept.locale) != NULL;
}

static bool restore_cores(void)
{
    cpu_set_t cpus;

    if (getpriority(PRIO_PROCESS, 0) != kept.priority &&
        setpriority(PRIO_PROCESS, 0, kept.priority) < 0)
        return false;
    return !kept.cpus_known || sched_getaffinity(0, sizeof cpus, &cpus) < 0 ||
           CPU_EQUAL(&cpus, &kept.cpus) || sched_setaffinity(0, sizeof cpus, &kept.cpus) == 0;
}

static bool descriptors_are_there(void)
{
    for (int fd = 0; fd < NEEDED_COUNT; fd++)
        if (!same_identity(identify(fd), kept.needed[fd]))
            return false;
    if (++kept.restores % LEAKED_INTERVAL != 0)
        return true;
    int free_now = fcntl(kept.status, F_DUPFD_CLOEXEC, kept.lowest_free);
    if (free_now < 0)
        return false;
    close(free_now);
    return free_now < kept.lowest_free + LEAKED_MOST;
}

static bool timers_are_gone(void)
{
    char byte;
    return kept.timers < 0 || pread(kept.timers, &byte, 1, 0) == 0;
}

static bool children_are_gone(void)
{
    pid_t pid;
    /* Exact: orphans come to an executor too, it is a subreaper. */
    while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
        ;
    return pid < 0 && errno == ECHILD;
}

static bool threads_are_gone(const summary_t *now)
{
    summary_t again = *now;

    if (now->threads <= kept.summary.threads)
        return true;
    if (omp_pause_resource_all)
        omp_pause_resource_all(2);
    for (int i = 0; i < THREAD_TRIES && read_summary(&again); i++) {
        if (again.threads <= kept.summary.threads)
            return true;
        usleep(10);
    }
    return false;
}

int mni_process_restore(void)
{
    summary_t now;

    if (!kept.remembered)
        return 1;
    if (kept.untouched) {
        kept.untouched = false;
        fesetenv(&kept.floating);
        return restore_environment() && restore_locale() ? 0 : 1;
    }
    if (kept.own_code) {
        kept.own_code = false;
        return restore_environment() && children_are_gone() ? 0 : 1;
    }
    if (!read_summary(&now))
        return 1;
    stop_timers();
    restore_signals(&now);
    if (now.umask != kept.summary.umask)
        umask((mode_t)kept.summary.umask);
    fesetenv(&kept.floating);
    bool all = descriptors_are_there() && restore_directory() && restore_environment() &&
               restore_locale() && restore_cores() && timers_are_gone() && children_are_gone() &&
               threads_are_gone(&now);
    return all ? 0 : 1;
}

/* --- output ----------------------------------------------------------------------------------- */

static bool is_drained(const mni_channel_t *channel, int stream)
{
    const mni_log_area_t *log = mni_channel_log(channel, stream == 0 ? MN_STDOUT : MN_STDERR);
    int waiting = 0;

    if (kept.streams[stream] < 0 || ioctl(kept.streams[stream], FIONREAD, &waiting) < 0)
        return true; /* nothing of ours to wait for */
    /* In this order: the spawner says that it stores before it empties the pipe. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return waiting == 0 && __atomic_load_n(&log->storing, __ATOMIC_SEQ_CST) == 0;
}

bool mni_process_drain_output(mni_channel_t *channel)
{
    if (kept.untouched && __fpending(stdout) == 0 && __fpending(stderr) == 0)
        return true;
    fflush(stdout);
    fflush(stderr);
    uint64_t end = mni_clock_now() + DRAIN_LIMIT;
    for (int stream = 0; stream < 2; stream++)
        for (unsigned i = 0; !is_drained(channel, stream); i++) {
            if (mni_clock_now() >= end)
                return false;
            if (i < 20)
                sched_yield();
            else
                usleep(50);
        }
    return true;
}
