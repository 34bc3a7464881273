/* SPDX-License-Identifier: MIT
 *
 * Runs one test for `make check`: run_test [--timeout SECONDS] PROGRAM ARGS. Linux only.
 *
 * The test has a session and a folder of its own (MULTINODE_TEST_DIR), is ended when its time is over, and must
 * leave no process behind: run_test is the subreaper of all that the test starts, so a process that called setsid or
 * forked twice still ends up as its child. What is left 2 s after the test has ended (a daemon of mpirun may be on its
 * way out) is named, killed by its pid, and fails the test.
 *
 * Sanitizers (where their options are in the environment) and tests/memcheck write their reports into a folder,
 * MULTINODE_TEST_REPORTS: a report of any process of the test is shown and fails it, whatever became of the process.
 * MULTINODE_TEST_SLOW=N: programs are N times slower than usual, and so are these times. MULTINODE_TEST_TIMEOUT=SECONDS:
 * a time-out that counts as it is.
 *
 * Exit status: the test's own (77: skipped, 99: hard error); 1 for a time-out, a signal, a process left behind, a report, and
 * for a skip where MULTINODE_TEST_NO_SKIP is set.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SKIPPED = 77, HARD_ERROR = 99 };
enum { LINGER_MS = 2000, STEP_MS = 10, MANY = 4096 };

static volatile sig_atomic_t stop_signal;
static double slowness = 1; /* how many times slower than usual the test is */

static void note_signal(int signal_number)
{
    stop_signal = signal_number;
}

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

/* Reads the parent, the state and the name of a process; false if it is gone. */
static bool read_process(pid_t pid, pid_t *parent, char *state, char name[64])
{
    char path[64], line[512], *end;
    bool read = false;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    if (fgets(line, sizeof line, file) && (end = strrchr(line, ')'))) {
        char *begin = strchr(line, '(');
        int number;
        if (begin && sscanf(end + 1, " %c %d", state, &number) == 2) {
            *end = '\0';
            snprintf(name, 64, "%s", begin + 1);
            *parent = number;
            read = true;
        }
    }
    fclose(file);
    return read;
}

/* Collects the living processes below this one. @return how many */
static size_t find_descendants(pid_t found[MANY])
{
    static struct {
        pid_t pid, parent;
        char state;
        bool ours;
    } all[MANY * 8];
    size_t count = 0, ours = 0;
    struct dirent *entry;
    DIR *proc = opendir("/proc");

    if (!proc)
        return 0;
    while ((entry = readdir(proc)) && count < sizeof all / sizeof all[0]) {
        char name[64];
        all[count].pid = (pid_t)strtol(entry->d_name, NULL, 10);
        all[count].ours = false;
        if (all[count].pid > 0 &&
            read_process(all[count].pid, &all[count].parent, &all[count].state, name))
            count++;
    }
    closedir(proc);
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < count; i++) {
            if (all[i].ours)
                continue;
            all[i].ours = all[i].parent == getpid();
            for (size_t k = 0; k < count && !all[i].ours; k++)
                all[i].ours = all[k].ours && all[k].pid == all[i].parent;
            again |= all[i].ours;
        }
    }
    for (size_t i = 0; i < count && ours < MANY; i++)
        if (all[i].ours && all[i].state != 'Z' && all[i].state != 'X')
            found[ours++] = all[i].pid;
    return ours;
}

/* Kills what is below this process until nothing is, and collects it. */
static void kill_descendants(void)
{
    static pid_t left[MANY];
    long long end = now_ms() + 10000;

    for (;;) {
        size_t count = find_descendants(left);
        for (size_t i = 0; i < count; i++)
            kill(left[i], SIGKILL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (count == 0 || now_ms() > end)
            return;
        pause_ms(STEP_MS);
    }
}

static void name_processes(const pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pid_t parent;
        char state, name[64], path[64], command[256] = "";
        if (!read_process(pids[i], &parent, &state, name))
            continue;
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pids[i]);
        FILE *file = fopen(path, "re");
        if (file) {
            size_t size = fread(command, 1, sizeof command - 1, file);
            for (size_t k = 0; k + 1 < size; k++)
                if (command[k] == '\0')
                    command[k] = ' ';
            fclose(file);
        }
        fprintf(stderr, "run_test:   pid %d, parent %d, state %c, %s: %s\n", (int)pids[i],
                (int)parent, state, name, command);
    }
}

/* What the test left behind, after a moment's patience. @return how many processes */
static size_t check_left_behind(void)
{
    static pid_t left[MANY];
    long long end = now_ms() + (long long)(LINGER_MS * slowness);
    size_t count;

    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        count = find_descendants(left);
        if (count == 0)
            return 0;
        if (now_ms() > end)
            break;
        pause_ms(STEP_MS);
    }
    fprintf(stderr, "run_test: the test left %zu process%s behind:\n", count,
            count == 1 ? "" : "es");
    name_processes(left, count);
    return count;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

/* Appends log_path to the options of each sanitizer that has some. */
static bool redirect_reports(const char *folder)
{
    static const char *const names[] = {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS",
                                        "UBSAN_OPTIONS"};
    char options[PATH_MAX + 4096];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *given = getenv(names[i]);
        if (!given)
            continue;
        int n = snprintf(options, sizeof options, "%s:log_path=%s/sanitizer", given, folder);
        if (n < 0 || (size_t)n >= sizeof options || setenv(names[i], options, 1) < 0)
            return false;
    }
    return setenv("MULTINODE_TEST_REPORTS", folder, 1) == 0;
}

/* A line that is no finding: a remark of valgrind's, or that a process ended by a signal, with its stack, which is for the test to judge.
 * `ending`: the process whose end the last lines were about, or 0. */
static bool is_remark(const char *line, long *ending)
{
    char *text = NULL;
    long pid = strncmp(line, "==", 2) == 0 ? strtol(line + 2, &text, 10) : 0;

    if (strncmp(line, "--", 2) == 0)
        return true;
    if (pid <= 0 || strncmp(text, "==", 2) != 0) {
        *ending = 0;
        return false;
    }
    text += 2;
    if (text[strspn(text, " \n")] == '\0') {
        *ending = 0;
        return true;
    }
    if (strstr(text, "Process terminating with default action of signal"))
        *ending = pid;
    return pid == *ending;
}

/* Shows what sanitizers and memcheck have found. @return how many files of it there are */
static size_t show_reports(const char *folder)
{
    size_t count = 0;
    struct dirent *entry;
    DIR *reports = opendir(folder);

    while (reports && (entry = readdir(reports))) {
        char path[2 * PATH_MAX], line[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (!file)
            continue;
        long lines = 0, ending = 0;
        while (lines < 500 && fgets(line, sizeof line, file)) {
            if (is_remark(line, &ending))
                continue;
            if (lines++ == 0) {
                fprintf(stderr, "run_test: the report %s:\n", entry->d_name);
                count++;
            }
            fprintf(stderr, "    %s", line);
        }
        fclose(file);
    }
    if (reports)
        closedir(reports);
    return count;
}

static void show_times(long long begin)
{
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    fprintf(stderr, "run_test: %.1f s, %.1f s of it on a core\n", (double)(now_ms() - begin) / 1000,
            (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6);
}

static void start_test(char **command)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(command[0], command);
    fprintf(stderr, "run_test: cannot run %s: %s\n", command[0], strerror(errno));
    _exit(HARD_ERROR);
}

/* Waits for the test itself, up to its time. @return its exit status */
static int await_test(pid_t test, double timeout)
{
    long long end = now_ms() + (long long)(timeout * 1000);
    int status;

    for (;;) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == test)
            break;
        if (pid > 0)
            continue;
        if (stop_signal || now_ms() > end) {
            static pid_t running[MANY];
            if (stop_signal)
                fprintf(stderr, "run_test: stopped by signal %d\n", (int)stop_signal);
            else
                fprintf(stderr, "run_test: not done after %.0f s; running:\n", timeout);
            name_processes(running, find_descendants(running));
            kill_descendants();
            return 1;
        }
        pause_ms(STEP_MS);
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    fprintf(stderr, "run_test: the test was ended by signal %d (%s)\n", WTERMSIG(status),
            strsignal(WTERMSIG(status)));
    return 1;
}

int main(int argc, char **argv)
{
    double timeout = 300;
    long long begin = now_ms();
    int first = 1;

    if (argc > 2 && strcmp(argv[1], "--timeout") == 0) {
        timeout = strtod(argv[2], NULL);
        first = 3;
    }
    const char *slow = getenv("MULTINODE_TEST_SLOW"), *longer = getenv("MULTINODE_TEST_TIMEOUT");
    if (slow && strtod(slow, NULL) > 1)
        slowness = strtod(slow, NULL);
    timeout *= slowness;
    if (longer)
        timeout = strtod(longer, NULL);
    if (first >= argc || !(timeout > 0)) {
        fprintf(stderr, "usage: run_test [--timeout SECONDS] PROGRAM ARGS\n");
        return HARD_ERROR;
    }

    char folder[PATH_MAX], reports[PATH_MAX + 16]; /* short: sockets may be made in it */
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/mntest.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder) || setenv("MULTINODE_TEST_DIR", folder, 1) < 0) {
        fprintf(stderr, "run_test: cannot make a folder like %s: %s\n", folder, strerror(errno));
        return HARD_ERROR;
    }
    snprintf(reports, sizeof reports, "%s/reports", folder);
    if (mkdir(reports, 0777) < 0 || !redirect_reports(reports)) {
        fprintf(stderr, "run_test: cannot have reports written to %s: %s\n", reports,
                strerror(errno));
        return HARD_ERROR;
    }
    struct sigaction action = {.sa_handler = note_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);

    pid_t test = fork();
    if (test < 0) {
        fprintf(stderr, "run_test: cannot fork: %s\n", strerror(errno));
        return HARD_ERROR;
    }
    if (test == 0)
        start_test(argv + first);

    int status = await_test(test, timeout);
    if (check_left_behind() > 0) {
        kill_descendants();
        status = status == 0 || status == SKIPPED ? 1 : status;
    }
    if (show_reports(reports) > 0)
        status = status == 0 || status == SKIPPED ? 1 : status;
    show_times(begin);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (status == SKIPPED && getenv("MULTINODE_TEST_NO_SKIP")) {
        fprintf(stderr, "run_test: skipped, and MULTINODE_TEST_NO_SKIP says that it must run\n");
        status = 1;
    }
    return status;
}
