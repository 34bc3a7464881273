/* SPDX-License-Identifier: MIT
 *
 * Finding processes in /proc: what is below a process, orphans that fell to the spawner, members of
 * a session. Spawner; its rank when the spawner is lost.
 *
 * A process found by a scan may be gone, and its number another's, when it is signalled. So it is
 * opened as a pidfd, looked at again (same start time), and signalled through that.
 */
#include "executor/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PASSES 64 /* looks for new processes before a pass gives up; the caller comes again */

typedef struct process {
    pid_t pid, parent, session;
    char state;
    uint64_t start_time;
    bool target;
} process_t;

typedef struct snapshot {
    process_t *processes;
    size_t count, room;
} snapshot_t;

/* --- reading /proc ---------------------------------------------------------------------------- */

static ssize_t read_file(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, text, room - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got;
}

static bool read_process(pid_t pid, process_t *process)
{
    char path[64], text[1024];
    int parent, session;
    unsigned long long start_time;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_file(path, text, sizeof text) <= 0)
        return false;
    const char *rest = strrchr(text, ')'); /* the name in parentheses may hold anything */
    if (!rest ||
        sscanf(rest + 1,
               " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &process->state, &parent, &session, &start_time) != 4)
        return false;
    process->pid = pid;
    process->parent = parent;
    process->session = session;
    process->start_time = start_time;
    process->target = false;
    return true;
}

static bool is_dead(const process_t *process)
{
    return process->state == 'Z' || process->state == 'X';
}

static bool take_snapshot(snapshot_t *snapshot)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;

    snapshot->count = 0;
    if (!directory)
        return false;
    while ((entry = readdir(directory)) != NULL) {
        process_t process;
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            !read_process((pid_t)strtol(entry->d_name, NULL, 10), &process))
            continue;
        if (snapshot->count == snapshot->room) {
            size_t room = snapshot->room ? snapshot->room * 2 : 256;
            process_t *processes = realloc(snapshot->processes, room * sizeof *processes);
            if (!processes)
                break; /* the rest in the next pass */
            snapshot->processes = processes;
            snapshot->room = room;
        }
        snapshot->processes[snapshot->count++] = process;
    }
    closedir(directory);
    return true;
}

static process_t *find_process(snapshot_t *snapshot, pid_t pid)
{
    for (size_t i = 0; i < snapshot->count; i++)
        if (snapshot->processes[i].pid == pid)
            return &snapshot->processes[i];
    return NULL;
}

uint64_t mni_scan_start_time(pid_t pid)
{
    process_t process;
    return read_process(pid, &process) ? process.start_time : 0;
}

/* --- signals ---------------------------------------------------------------------------------- */

static bool same_process(const process_t *process)
{
    process_t now;
    return read_process(process->pid, &now) && now.start_time == process->start_time &&
           now.session == process->session;
}

static int open_process(pid_t pid)
{
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0);
#else
    (void)pid;
    errno = ENOSYS;
    return -1;
#endif
}

/* To a process that was opened and then looked at. Before Linux 5.3 there is no way to open one;
 * then looked at just now is the best there is. */
static void signal_opened(int fd, pid_t pid, int number)
{
#ifdef SYS_pidfd_send_signal
    if (fd >= 0) {
        syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
        return;
    }
#endif
    (void)fd;
    kill(pid, number);
}

static void signal_process(const process_t *process, int number)
{
    int fd = open_process(process->pid);
    if (fd < 0 && errno != ENOSYS)
        return;
    if (same_process(process))
        signal_opened(fd, process->pid, number);
    if (fd >= 0)
        close(fd);
}

static bool is_member(pid_t pid, const char *part)
{
    char path[64], text[8192];

    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    if (read_file(path, text, sizeof text) <= 0)
        return false;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        if (at[strlen(part)] == '/' || at[strlen(part)] == '\n')
            return true;
    return false;
}

void mni_scan_kill_member(pid_t pid, const char *part)
{
    int fd = open_process(pid);
    if (fd < 0 && errno != ENOSYS)
        return;
    if (is_member(pid, part))
        signal_opened(fd, pid, SIGKILL);
    if (fd >= 0)
        close(fd);
}

/* --- below a process -------------------------------------------------------------------------- */

/* Marks what is below `root` and alive. Returns how many. */
static int mark_below(snapshot_t *snapshot, pid_t root)
{
    int count = 0;
    bool more = true;

    /* A zombie's children have gone to another parent already, so only what is alive is
     * followed. */
    while (more) {
        more = false;
        for (size_t i = 0; i < snapshot->count; i++) {
            process_t *process = &snapshot->processes[i];
            if (process->target || is_dead(process) || process->pid == root)
                continue;
            const process_t *parent =
                process->parent == root ? NULL : find_process(snapshot, process->parent);
            if (process->parent == root || (parent && parent->target)) {
                process->target = true;
                more = true;
                count++;
            }
        }
    }
    return count;
}

void mni_scan_kill_below(pid_t root)
{
    snapshot_t snapshot = {0};
    int before = -1, count = 0;

    kill(root,
         SIGSTOP); /* it must not fork while it is looked at; it is an unreaped child of ours */
    for (int pass = 0; pass < PASSES && take_snapshot(&snapshot); pass++) {
        count = mark_below(&snapshot, root);
        if (count == 0)
            break;
        /* First stop all of them, until no new one turns up, then kill. */
        bool all_seen = count == before;
        for (size_t i = 0; i < snapshot.count; i++)
            if (snapshot.processes[i].target)
                signal_process(&snapshot.processes[i], all_seen ? SIGKILL : SIGSTOP);
        before = all_seen ? -1 : count;
        if (all_seen)
            usleep(200);
    }
    free(snapshot.processes);
    if (count == 0)
        kill(root, SIGKILL); /* else the next pass: what is below it must not get lost */
}

/* --- orphans ---------------------------------------------------------------------------------- */

static bool is_known(pid_t pid, const pid_t *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (known[i] == pid)
            return true;
    return false;
}

/* A child that is not reaped keeps its number, so that a plain kill() is safe. One that is dead counts too: its own children may have come
 * to us since the list was read. */
static int kill_orphan(pid_t pid, const pid_t *known, size_t count)
{
    process_t process;
    if (is_known(pid, known, count) || !read_process(pid, &process) || process.parent != getpid())
        return 0;
    kill(pid, SIGKILL);
    return 1;
}

/* The kernel's list of our children, where it has one (CONFIG_PROC_CHILDREN). Only our own waits
 * take something away from it, so it is complete. -1: there is none. */
static int orphans_by_list(const pid_t *known, size_t count)
{
    char path[64];
    int found = 0, pid;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *list = fopen(path, "re");
    if (!list)
        return -1;
    while (fscanf(list, "%d", &pid) == 1)
        found += kill_orphan(pid, known, count);
    fclose(list);
    return found;
}

int mni_scan_kill_orphans(const pid_t *known, size_t count)
{
    snapshot_t snapshot = {0};
    int found = orphans_by_list(known, count);

    if (found >= 0)
        return found;
    found = 0;
    if (take_snapshot(&snapshot))
        for (size_t i = 0; i < snapshot.count; i++)
            if (snapshot.processes[i].parent == getpid())
                found += kill_orphan(snapshot.processes[i].pid, known, count);
    free(snapshot.processes);
    return found;
}

/* --- a session -------------------------------------------------------------------------------- */

int mni_scan_kill_session(pid_t leader, uint64_t start_time)
{
    snapshot_t snapshot = {0};
    int found = 0;

    if (!take_snapshot(&snapshot))
        return 0;
    /* While a session has members its number is given to no process. So if a process has that
     * number and is not the old leader, the session had ended, and this one is somebody else's. */
    const process_t *now = find_process(&snapshot, leader);
    if (!now || now->start_time == start_time)
        for (size_t i = 0; i < snapshot.count; i++) {
            const process_t *process = &snapshot.processes[i];
            if (process->session != leader || is_dead(process))
                continue;
            signal_process(process, SIGKILL);
            found++;
        }
    free(snapshot.processes);
    return found;
}
