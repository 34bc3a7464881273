/* SPDX-License-Identifier: MIT
 *
 * Misdeeds of isolation.c: a task changes the state of its process (descriptors, signals, environment, ...), or prints
 * without end.
 */
#include "isolation.h"

#include <fenv.h>
#include <locale.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>

/* --- descriptors -------------------------------------------------------------------------------- */

MISDEED(close_all)
{
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    return 0;
}

/* The runtime must not take the files that are there now for its own. */
MISDEED(replace_all)
{
    static const char text[] = "mine";
    char folder[128], byte;
    int32_t numbers[4096] = {0};
    snprintf(folder, sizeof folder, "%s", roll);
    *strrchr(folder, '/') = '\0';
    close_all(task, roll);
    for (int fd = 0; fd < 16; fd++)
        if (open(folder, O_TMPFILE | O_RDWR, 0600) != fd || write(fd, text, 4) != 4)
            _exit(9);
    mn_map_fixed(task, nothing, numbers, sizeof *numbers, 4096, NULL, 0, NULL);
    printf("not into a file of the task");
    fflush(stdout);
    for (int fd = 0; fd < 16; fd++) {
        struct stat status;
        char read_back[4] = "";
        off_t size = fd == 1 ? 4 + 27 : 4; /* where the task itself printed to */
        if (fstat(fd, &status) < 0 || status.st_size != size || status.st_blocks > 8 ||
            pread(fd, read_back, 4, 0) != 4 || memcmp(read_back, text, 4) != 0 ||
            (size == 4 && pread(fd, &byte, 1, 4) != 0))
            return mn_fail(task, MN_E_FAILED, "file %d of the task was written to", fd);
    }
    return 0;
}

/* --- the state of the process ------------------------------------------------------------------- */

MISDEED(change_directory)
{
    return chdir("/proc/self") < 0 ? MN_E_SYSTEM : 0;
}

MISDEED(change_umask)
{
    umask(0777);
    return 0;
}

static void on_signal(int number)
{
    (void)number;
}

MISDEED(change_signals)
{
    static char memory[65536];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_NODEFER};
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct itimerval soon = {{0, 20000}, {0, 20000}};
    sigset_t all;
    for (int number = 1; number < NSIG; number++)
        if (number % 2 == 0)
            sigaction(number, &action, NULL);
        else
            signal(number, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigaltstack(&stack, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    setitimer(ITIMER_VIRTUAL, &soon, NULL);
    kill(getpid(), SIGUSR2); /* waits, and would kill when it is unblocked */
    raise(SIGRTMIN + 2);
    return 0;
}

MISDEED(block_signals)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    kill(getpid(), SIGTERM);
    return 0;
}

MISDEED(ignore_signals)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
    return 0;
}

MISDEED(change_environment)
{
    char automatic[] = "MN_TEST_AUTOMATIC=gone soon";
    setenv("PATH", "/nowhere", 1);
    setenv("MN_TEST_ADDED", "one", 1);
    unsetenv("HOME");
    putenv(automatic); /* what the manual warns of */
    return 0;
}

MISDEED(clear_environment)
{
    clearenv();
    return 0;
}

MISDEED(change_locale)
{
    locale_t own = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    setlocale(LC_ALL, "C.UTF-8");
    if (own)
        uselocale(own);
    return 0;
}

MISDEED(change_rounding)
{
    fesetround(FE_UPWARD);
    feraiseexcept(FE_DIVBYZERO | FE_INEXACT);
    return 0;
}

MISDEED(trap_floating_point)
{
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_ALL_EXCEPT);
    return 0;
}

MISDEED(change_cores)
{
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    sched_setaffinity(0, sizeof all, &all);
    return 0;
}

/* What only root can undo. */
MISDEED(lower_priority)
{
    setpriority(PRIO_PROCESS, 0, 10);
    return 0;
}

/* --- output ------------------------------------------------------------------------------------- */

/* Peak of resident memory in KiB; 0: not to be seen. */
static long peak_of(pid_t pid, pid_t *parent)
{
    char path[64], line[256];
    long peak = 0;
    int above = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "VmHWM: %ld", &peak);
        sscanf(line, "PPid: %d", &above);
    }
    if (file)
        fclose(file);
    *parent = above;
    return peak;
}

MISDEED(print_a_gigabyte)
{
    enum { PIECE = 1 << 20, PIECES = 1024 };
    static char bytes[PIECE];
    long before[2], after[2];
    pid_t spawner = getppid(), rank, above;
    memset(bytes, '.', sizeof bytes);
    memcpy(bytes + PIECE - 8, "\nhidden", 7);
    before[0] = peak_of(spawner, &rank);
    before[1] = peak_of(rank, &above);
    for (int i = 0; i < PIECES; i++)
        for (size_t done = 0; done < PIECE;) {
            ssize_t n = write(STDOUT_FILENO, bytes + done, PIECE - done);
            if (n < 0)
                return mn_fail(task, MN_E_SYSTEM, "write: %s", strerror(errno));
            done += (size_t)n;
        }
    after[0] = peak_of(spawner, &rank);
    after[1] = peak_of(rank, &above);
    for (int i = 0; i < 2; i++)
        if (after[i] - before[i] > 64 * 1024)
            return mn_fail(task, MN_E_FAILED, "%s has grown from %ld to %ld KiB",
                           i == 0 ? "the spawner" : "the rank", before[i], after[i]);
    return 0;
}
