/* SPDX-License-Identifier: MIT
 *
 * What is put back between two tasks of one executor. Executors' main thread; one set of state per process.
 *
 * Descriptors that a task opens and leaves open stay open, as its static variables do: closing them would let the
 * next file opened get the number that a static FILE still writes to. A process that has gathered many is not
 * used again.
 */
#include "executor/process.h"
#include "executor/process_private.h"

#include "util/clock.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEEDED_MOST 32        /* descriptors that are checked */
#define LEAKED_MOST 128       /* descriptors that tasks may leave open before the process is given up */
#define THREAD_TRIES 200      /* of 10 us: a thread that was joined is counted for a moment longer */
#define DRAIN_LIMIT MNI_SECOND

extern char **environ;

/* Gives OpenMP's idle threads back, where the program has OpenMP 5 in it; 2 is omp_pause_hard. */
extern int omp_pause_resource_all(int kind) __attribute__((weak));

typedef struct needed {
    int fd;
    dev_t device;
    ino_t inode;
} needed_t;

static struct {
    bool remembered;
    int streams[2];           /* copies of the pipes to the spawner, -1: none */
    int directory;            /* O_PATH of the working directory */
    dev_t directory_device;
    ino_t directory_inode;
    int timers;               /* /proc/self/timers, -1: the kernel has none */
    mode_t mask;
    sigset_t blocked;
    struct sigaction actions[NSIG];
    stack_t signal_stack;
    char **environment;       /* private copies, NULL at the end */
    char *locale;
    fenv_t floating;
    long threads;
    needed_t needed[NEEDED_MOST];
    int needed_count;
    int lowest_free;          /* the descriptor that open() would have given */
} kept = {.streams = {-1, -1}, .directory = -1, .timers = -1};

/* --- remembering --------------------------------------------------------------------------------------- */

void mni_process_set_streams(int out, int err)
{
    int from[2] = {out, err};
    for (int i = 0; i < 2; i++)
        kept.streams[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
}

/* Threads of this process: the kernel counts them as links of the directory. */
static long count_threads(void)
{
    struct stat status;
    return stat("/proc/self/task", &status) < 0 ? 1 : (long)status.st_nlink - 2;
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
    struct stat status;
    kept.directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (kept.directory < 0 || fstat(kept.directory, &status) < 0)
        return mni_error_errno("cannot remember the working directory");
    kept.directory_device = status.st_dev;
    kept.directory_inode = status.st_ino;
    return 0;
}

static int lowest_free_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd;
}

/* All that are open now are needed: an executor begins with nothing else. */
static void remember_descriptors(void)
{
    struct stat status;
    kept.lowest_free = lowest_free_descriptor();
    kept.needed_count = 0;
    for (int fd = 0; fd < kept.lowest_free && kept.needed_count < NEEDED_MOST; fd++)
        if (fstat(fd, &status) == 0)
            kept.needed[kept.needed_count++] = (needed_t){fd, status.st_dev, status.st_ino};
}

int mni_process_remember(void)
{
    int rc;

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
    kept.mask = umask(0);
    umask(kept.mask);
    sigprocmask(SIG_SETMASK, NULL, &kept.blocked);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &kept.actions[number]);
    sigaltstack(NULL, &kept.signal_stack);
    fegetenv(&kept.floating);
    kept.timers = open("/proc/self/timers", O_RDONLY | O_CLOEXEC);
    kept.threads = count_threads();
    remember_descriptors();
    kept.remembered = true;
    return 0;
}

/* --- restoring ----------------------------------------------------------------------------------------- */

static void stop_timers(void)
{
    static const struct itimerval off;
    setitimer(ITIMER_REAL, &off, NULL);
    setitimer(ITIMER_VIRTUAL, &off, NULL);
    setitimer(ITIMER_PROF, &off, NULL);
}

static void restore_signals(void)
{
    sigset_t waiting;
    struct timespec now = {0, 0};

    /* What a task blocked and left waiting must not hit the next one when it is unblocked. */
    while (sigpending(&waiting) == 0 && !sigisemptyset(&waiting) && sigtimedwait(&waiting, NULL, &now) > 0)
        ;
    for (int number = 1; number < NSIG; number++)
        if (number != SIGKILL && number != SIGSTOP)
            sigaction(number, &kept.actions[number], NULL);
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
    if (stat(".", &status) == 0 && status.st_dev == kept.directory_device
        && status.st_ino == kept.directory_inode)
        return true;
    return fchdir(kept.directory) == 0;
}

static bool restore_locale(void)
{
    if (uselocale((locale_t)0) != LC_GLOBAL_LOCALE)
        uselocale(LC_GLOBAL_LOCALE);
    return strcmp(setlocale(LC_ALL, NULL), kept.locale) == 0 || setlocale(LC_ALL, kept.locale) != NULL;
}

static bool descriptors_are_there(void)
{
    struct stat status;

    for (int i = 0; i < kept.needed_count; i++)
        if (fstat(kept.needed[i].fd, &status) < 0 || status.st_dev != kept.needed[i].device
            || status.st_ino != kept.needed[i].inode)
            return false;
    int free_now = fcntl(0, F_DUPFD_CLOEXEC, kept.lowest_free);
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

static bool threads_are_gone(void)
{
    if (count_threads() <= kept.threads)
        return true;
    if (omp_pause_resource_all)
        omp_pause_resource_all(2);
    for (int i = 0; i < THREAD_TRIES; i++) {
        if (count_threads() <= kept.threads)
            return true;
        usleep(10);
    }
    return false;
}

int mni_process_restore(void)
{
    if (!kept.remembered)
        return 1;
    stop_timers();
    restore_signals();
    umask(kept.mask);
    fesetenv(&kept.floating);
    bool all = descriptors_are_there() && restore_directory() && restore_environment() && restore_locale()
               && timers_are_gone() && children_are_gone() && threads_are_gone();
    return all ? 0 : 1;
}

/* --- output -------------------------------------------------------------------------------------------- */

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

void mni_process_drain_output(mni_channel_t *channel)
{
    fflush(stdout);
    fflush(stderr);
    uint64_t end = mni_clock_now() + DRAIN_LIMIT;
    for (int stream = 0; stream < 2; stream++)
        for (unsigned i = 0; !is_drained(channel, stream) && mni_clock_now() < end; i++) {
            if (i < 20)
                sched_yield();
            else
                usleep(50);
        }
}
