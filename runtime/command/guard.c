/* SPDX-License-Identifier: MIT
 *
 * The guard: a child of the command, in a session of its own, that owns mpirun. It is a
 * subreaper, so whatever loses its parent below it (ranks when mpirun is killed, executors when
 * their rank is) becomes its child, and it does not end before it has none. It acts on the
 * command's word and on the command's death, which it sees as the end of the channel. If the
 * guard itself is killed, mpirun gets SIGTERM from the kernel and the command, a subreaper too,
 * does the rest.
 *
 * A session of its own keeps the terminal's signals from mpirun, and lets it write to the
 * terminal whatever its settings.
 */
#include "command/run.h"
#include "util/clock.h"
#include "util/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* From SIGTERM, at which mpirun ends its ranks within a second, to SIGKILL. */
#define TERMINATE_PATIENCE 3.0
/* What outlives mpirun has this long to end by itself: executors follow their worker. */
#define ORPHAN_PATIENCE 2.0
/* Processes that do not die of SIGKILL (they wait for a broken file system) are left after this. */
#define KILL_PATIENCE 5.0
#define SWEEP_PAUSE_MS 10
#define MOST_CHILDREN 4096

/* --- the process tree ---------------------------------------------------- */

static size_t read_pids(const char *path, pid_t *pids, size_t count, size_t room)
{
    FILE *file = fopen(path, "re");
    int pid;

    while (file && count < room && fscanf(file, "%d", &pid) == 1)
        pids[count++] = pid;
    if (file)
        fclose(file);
    return count;
}

/* Kernels without the file of children: all processes are looked at. */
static size_t scan_children(pid_t parent, pid_t *children, size_t room)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    while (folder && count < room && (entry = readdir(folder))) {
        char path[64], line[512] = "";
        int above = 0;
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || strlen(entry->d_name) > 10)
            continue;
        snprintf(path, sizeof path, "/proc/%.10s/stat", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        const char *name_end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
        fclose(file);
        if (name_end && sscanf(name_end + 1, " %*c %d", &above) == 1 && above == parent)
            children[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    if (folder)
        closedir(folder);
    return count;
}

size_t mni_guard_children(pid_t parent, pid_t *children, size_t room)
{
    char path[64];
    struct dirent *entry;
    size_t count = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    if (access(path, R_OK) != 0)
        return scan_children(parent, children, room);
    snprintf(path, sizeof path, "/proc/%d/task", (int)parent);
    DIR *folder = opendir(path);
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.' && strlen(entry->d_name) <= 10) {
            snprintf(path, sizeof path, "/proc/%d/task/%.10s/children", (int)parent, entry->d_name);
            count = read_pids(path, children, count, room);
        }
    if (folder)
        closedir(folder);
    return count;
}

/* Killing a process makes its children ours, so a pass per generation ends them all. */
static void kill_children(void)
{
    static pid_t children[MOST_CHILDREN];
    size_t count = mni_guard_children(getpid(), children, MOST_CHILDREN);

    for (size_t i = 0; i < count; i++)
        kill(children[i], SIGKILL);
}

bool mni_guard_sweep(double seconds)
{
    uint64_t deadline = mni_clock_after(mni_clock_now(), seconds);

    for (;;) {
        pid_t ended;
        while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (ended < 0 && errno == ECHILD)
            return true;
        if (mni_clock_now() > deadline)
            return false;
        kill_children();
        poll(NULL, 0, SWEEP_PAUSE_MS);
    }
}

/* --- folders ---------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    remove(path);
    return 0;
}

void mni_guard_remove_folders(const mni_folders_t *folders)
{
    if (folders->private[0])
        nftw(folders->private, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (folders->shared[0])
        nftw(folders->shared, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- mpirun ---------------------------------------------------- */

/* In the child. Tells errno over `report`, which an exec closes. */
static _Noreturn void become_mpirun(const mni_guard_plan_t *plan, pid_t guard, int report)
{
    int error;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != guard)
        _exit(127);
    setpgid(0, 0);
    if (plan->input >= 0)
        dup2(plan->input, STDIN_FILENO);
    fcntl(plan->diagnostics, F_SETFD, 0);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &plan->signals, NULL);
    execvp(plan->arguments[0], plan->arguments);
    error = errno;
    if (write(report, &error, sizeof error) < 0)
        _exit(126);
    _exit(127);
}

/* Starts mpirun: its pid, or -1 with errno. */
static pid_t start_mpirun(const mni_guard_plan_t *plan)
{
    int report[2], error = 0;
    pid_t guard = getpid(), pid;

    if (pipe2(report, O_CLOEXEC) != 0)
        return -1;
    pid = fork();
    if (pid == 0)
        become_mpirun(plan, guard, report[1]);
    error = pid < 0 ? errno : 0;
    close(report[1]);
    if (pid > 0 && read(report[0], &error, sizeof error) == (ssize_t)sizeof error) {
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    close(report[0]);
    errno = error;
    return pid;
}

/* --- the guard ---------------------------------------------------- */

typedef struct guard {
    int channel;       /* to the command; -1: it has gone */
    int children;      /* signalfd of SIGCHLD */
    pid_t mpirun;      /* 0: has ended */
    uint64_t deadline; /* when everything is killed */
} guard_t;

static void tell(guard_t *guard, mni_guard_kind_t kind, int32_t value)
{
    mni_guard_message_t message = {.kind = (uint32_t)kind, .value = value};
    if (guard->channel >= 0)
        send(guard->channel, &message, sizeof message, MSG_NOSIGNAL);
}

static void set_deadline(guard_t *guard, double seconds)
{
    uint64_t deadline = mni_clock_after(mni_clock_now(), seconds);
    if (deadline < guard->deadline)
        guard->deadline = deadline;
}

static void terminate(guard_t *guard)
{
    if (guard->mpirun > 0)
        kill(guard->mpirun, SIGTERM);
    set_deadline(guard, TERMINATE_PATIENCE);
}

static void hear_command(guard_t *guard)
{
    mni_guard_message_t message;
    ssize_t size = recv(guard->channel, &message, sizeof message, 0);

    if (size == (ssize_t)sizeof message && message.kind == MNI_GUARD_TERMINATE) {
        terminate(guard);
    } else if (size == (ssize_t)sizeof message && message.kind == MNI_GUARD_KILL) {
        guard->deadline = 0;
    } else if (size == 0 || (size < 0 && errno != EINTR)) {
        close(guard->channel);
        guard->channel = -1;
        terminate(guard);
    }
}

/* Collects what has ended. False when nothing is left. */
static bool collect(guard_t *guard)
{
    int status;
    pid_t ended;

    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
        if (ended == guard->mpirun) {
            guard->mpirun = 0;
            tell(guard, MNI_GUARD_ENDED, status);
            set_deadline(guard, ORPHAN_PATIENCE);
        }
    return !(ended < 0 && errno == ECHILD);
}

static void watch(guard_t *guard)
{
    struct signalfd_siginfo signal;

    while (collect(guard)) {
        uint64_t now = mni_clock_now();
        int timeout = -1;
        if (guard->deadline <= now) {
            bool running = guard->mpirun > 0;
            mni_guard_sweep(KILL_PATIENCE);
            if (running)
                tell(guard, MNI_GUARD_ENDED, SIGKILL);
            return;
        }
        if (guard->deadline != MNI_NEVER)
            timeout = (int)((guard->deadline - now) / MNI_MILLISECOND) + 1;
        struct pollfd ready[2] = {{.fd = guard->children, .events = POLLIN},
                                  {.fd = guard->channel, .events = POLLIN}};
        if (poll(ready, 2, timeout) <= 0)
            continue;
        if (ready[0].revents && read(guard->children, &signal, sizeof signal) < 0)
            poll(NULL, 0, SWEEP_PAUSE_MS);
        if (ready[1].revents)
            hear_command(guard);
    }
}

static _Noreturn void guard_main(const mni_guard_plan_t *plan, int channel)
{
    guard_t guard = {.channel = channel, .deadline = MNI_NEVER};
    sigset_t all, child;

    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (size_t i = 0; i < sizeof plan->closed / sizeof plan->closed[0]; i++)
        if (plan->closed[i] >= 0)
            close(plan->closed[i]);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    guard.children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    guard.mpirun = guard.children < 0 ? -1 : start_mpirun(plan);
    if (guard.mpirun > 0) {
        tell(&guard, MNI_GUARD_STARTED, guard.mpirun);
        /* Only mpirun and the ranks hold these now. */
        close(plan->diagnostics);
        if (plan->input >= 0)
            close(plan->input);
        watch(&guard);
    } else {
        tell(&guard, MNI_GUARD_FAILED, errno);
    }
    mni_guard_remove_folders(plan->folders);
    _exit(0);
}

pid_t mni_guard_start(const mni_guard_plan_t *plan, int *channel)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return mni_error_errno("cannot make a socket pair");
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        guard_main(plan, ends[1]);
    }
    close(ends[1]);
    if (pid < 0) {
        int rc = mni_error_errno("cannot fork");
        close(ends[0]);
        return rc;
    }
    *channel = ends[0];
    return pid;
}
