/* SPDX-License-Identifier: MIT
 *
 * The spawner process: one thread, one loop over the socket from its rank, SIGCHLD and the pipes of
 * its executors. What a new child does to itself is in child.c, the other side in spawner.c.
 *
 * The life of a child: forked -> it said that it is set up -> SPAWNED posted -> it runs -> reaped
 * (or a kill is asked for) -> its tree is killed, pass by pass, until nothing is left -> its pipes
 * are read empty -> ENDED posted. Nothing here blocks for longer than a pass over a tree takes.
 */
#include "executor/channel_layout.h"
#include "executor/process.h"
#include "executor/spawner_private.h"

#include "util/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEASE_LOOK 1000    /* ms between two looks whether the rank renews its lease */
#define SET_UP_LIMIT 10000 /* ms that a new child may take before it is given up */
#define END_LIMIT \
    (30 * MNI_SECOND) /* after the rank's end: what cannot be killed by then is left */

typedef struct child {
    struct child *next;
    uint32_t slot;
    pid_t pid;
    bool driver, reaped, killing;
    int status;
    struct rusage usage;
    int pipes[2];        /* read ends of its output and error, -1: none or closed */
    uint8_t *head;       /* its channel's first part, with the log areas */
    struct group *group; /* NULL: none */
} child_t;

/* Control groups are kept for the next executor. */
typedef struct group {
    struct group *next;
    char path[MNI_TREE_PATH];
} group_t;

typedef struct spawner {
    mni_spawner_setup_t setup;
    int epoll, signals;
    child_t *children;
    group_t *free_groups;
    unsigned group_count;
    mni_spawner_record_t *waiting; /* events that had no room in the ring */
    size_t waiting_count, waiting_room;
    int held; /* for the rank, -1: nothing */
    bool stopping;
    uint64_t stop_end;
    uint64_t looked, awake_since; /* of the lease */
    int patience;                 /* ms until the next pass over trees that are being killed */
} spawner_t;

/* --- events ----------------------------------------------------------------------------------- */

static bool put_record(spawner_t *spawner, const mni_spawner_record_t *record)
{
    mni_spawner_shared_t *shared = spawner->setup.shared;
    uint64_t written = shared->written;

    if (written - __atomic_load_n(&shared->read, __ATOMIC_ACQUIRE) >= MNI_SPAWNER_EVENTS)
        return false;
    shared->records[written % MNI_SPAWNER_EVENTS] = *record;
    __atomic_store_n(&shared->written, written + 1, __ATOMIC_RELEASE);
    mni_doorbell_ring(spawner->setup.bell);
    return true;
}

static void flush_waiting(spawner_t *spawner)
{
    size_t done = 0;
    if (spawner->waiting_count == 0)
        return;
    while (done < spawner->waiting_count && put_record(spawner, &spawner->waiting[done]))
        done++;
    spawner->waiting_count -= done;
    memmove(spawner->waiting, spawner->waiting + done,
            spawner->waiting_count * sizeof *spawner->waiting);
}

static void post(spawner_t *spawner, const mni_spawn_event_t *event, uint64_t start_time)
{
    mni_spawner_record_t record = {*event, start_time};

    if (spawner->stopping || (spawner->waiting_count == 0 && put_record(spawner, &record)))
        return;
    if (spawner->waiting_count == spawner->waiting_room) {
        size_t room = spawner->waiting_room ? spawner->waiting_room * 2 : 64;
        mni_spawner_record_t *waiting = realloc(spawner->waiting, room * sizeof *waiting);
        if (!waiting)
            _exit(1); /* an event must not be lost: the rank learns that the spawner is */
        spawner->waiting = waiting;
        spawner->waiting_room = room;
    }
    spawner->waiting[spawner->waiting_count++] = record;
}

/* Reads once from a pipe. False when there was nothing, or the end. */
static bool read_output(child_t *child, int stream)
{
    mni_log_area_t *log = mni_channel_head_log(child->head, stream == 0 ? MN_STDOUT : MN_STDERR);
    ssize_t got = mni_log_take(log, child->pipes[stream]);

    if (got == 0) {
        close(child->pipes[stream]);
        child->pipes[stream] = -1;
    }
    return got > 0;
}

/* --- starting --------------------------------------------------------------------------------- */

static group_t *take_group(spawner_t *spawner)
{
    group_t *group = spawner->free_groups;

    if (group) {
        spawner->free_groups = group->next;
        /* Still there, and made again if somebody removed it. */
        if (access(group->path, F_OK) == 0)
            return group;
    } else {
        group = calloc(1, sizeof *group);
    }
    if (group && (mni_tree_group(&spawner->setup.tree, spawner->group_count++, group->path) < 0 ||
                  group->path[0] == '\0')) {
        free(group);
        group = NULL; /* this one is killed by scanning */
    }
    return group;
}

static void give_group(spawner_t *spawner, group_t *group)
{
    if (!group)
        return;
    group->next = spawner->free_groups;
    spawner->free_groups = group;
}

static void destroy_child(spawner_t *spawner, child_t *child)
{
    for (int i = 0; i < 2; i++)
        if (child->pipes[i] >= 0)
            close(child->pipes[i]);
    mni_channel_unmap_head(child->head);
    give_group(spawner, child->group);
    free(child);
}

/* Pipes for the output, of which the spawner's ends are watched. `ends`: what the child gets. */
static int make_pipes(spawner_t *spawner, child_t *child, int ends[2])
{
    for (int i = 0; i < 2; i++) {
        int both[2];
        if (pipe2(both, O_CLOEXEC) < 0)
            return errno;
        child->pipes[i] = both[0];
        ends[i] = both[1];
        fcntl(both[0], F_SETFL, O_NONBLOCK);
        /* The lowest bit of the address tells the stream. */
        struct epoll_event watch = {.events = EPOLLIN,
                                    .data.u64 = (uint64_t)(uintptr_t)child | (uint64_t)i};
        if (epoll_ctl(spawner->epoll, EPOLL_CTL_ADD, both[0], &watch) < 0)
            return errno;
    }
    return 0;
}

/* Waits until the child says that it is set up. 0 or an errno. */
static int wait_for_set_up(int gate)
{
    struct pollfd readable = {.fd = gate, .events = POLLIN};
    int error = 0;

    if (poll(&readable, 1, SET_UP_LIMIT) <= 0)
        return ETIMEDOUT;
    ssize_t got = read(gate, &error, sizeof error);
    return got == (ssize_t)sizeof error ? error : ECHILD;
}

static int fork_child(spawner_t *spawner, const mni_spawner_request_t *request,
                      const int given[MNI_SPAWNER_DESCRIPTORS], child_t *child, int *gate)
{
    int ends[2] = {-1, -1}, gates[2] = {-1, -1}, rc = 0;

    if (!request->driver) {
        child->head = mni_channel_map_head(given[0]);
        rc = child->head ? make_pipes(spawner, child, ends) : errno;
    }
    if (rc == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gates) < 0)
        rc = errno;
    if (rc == 0) {
        child->group = take_group(spawner);
        mni_child_t wanted = {
            .driver = request->driver,
            .main = request->main,
            .memfd = given[0],
            .standard = {given[1], request->driver ? given[2] : ends[0],
                         request->driver ? given[3] : ends[1]},
            .gate = gates[1],
            .spawner = getpid(),
            .rank_group = spawner->setup.rank_group,
            .group = child->group ? child->group->path : "",
            .bell = spawner->setup.bell,
        };
        child->pid = fork();
        if (child->pid == 0)
            mni_child_run(&wanted);
        if (child->pid < 0)
            rc = errno;
    }
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    if (gates[1] >= 0)
        close(gates[1]);
    if (rc == 0) {
        rc = wait_for_set_up(gates[0]);
        if (rc != 0) {
            kill(child->pid, SIGKILL);
            waitpid(child->pid, NULL, 0);
        }
    }
    *gate = gates[0];
    return rc;
}

static child_t *find_slot(spawner_t *spawner, uint32_t slot)
{
    for (child_t *child = spawner->children; child; child = child->next)
        if (child->slot == slot)
            return child;
    return NULL;
}

static void spawn(spawner_t *spawner, const mni_spawner_request_t *request,
                  const int descriptors[MNI_SPAWNER_DESCRIPTORS])
{
    mni_spawn_event_t event = {.kind = MNI_SPAWNED, .slot = request->slot};
    child_t *child = NULL;
    int gate = -1, rc = 0;

    if (descriptors[0] < 0)
        rc = EBADF;
    else if (find_slot(spawner, request->slot))
        rc = EEXIST;
    else if (!(child = calloc(1, sizeof *child)))
        rc = ENOMEM;
    if (rc == 0) {
        child->slot = request->slot;
        child->driver = request->driver;
        child->pipes[0] = child->pipes[1] = -1;
        rc = fork_child(spawner, request, descriptors, child, &gate);
    }
    if (rc == 0) {
        event.pid = child->pid;
        child->next = spawner->children;
        spawner->children = child;
        post(spawner, &event,
             spawner->setup.tree.method == MNI_TREE_SUBREAPER ? mni_scan_start_time(child->pid)
                                                              : 0);
    } else {
        if (child)
            destroy_child(spawner, child);
        event.kind = MNI_SPAWN_FAILED;
        event.errnum = rc;
        post(spawner, &event, 0);
    }
    if (gate >= 0)
        close(gate); /* the child goes on */
}

/* --- ending ----------------------------------------------------------------------------------- */

static void start_killing(spawner_t *spawner, child_t *child)
{
    child->killing = true;
    spawner->patience = 0;
}

static void reap(spawner_t *spawner)
{
    int status;
    struct rusage usage;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG | __WALL, &usage)) > 0)
        for (child_t *child = spawner->children; child; child = child->next)
            if (child->pid == pid && !child->reaped) {
                child->reaped = true;
                child->status = status;
                child->usage = usage;
                start_killing(spawner, child);
            }
}

/* Whatever came to us is left over from an executor that died: while one lives it is the
 * subreaper of its own. */
static int kill_orphans(spawner_t *spawner)
{
    static pid_t known[4096];
    size_t count = 0;

    for (child_t *child = spawner->children; child; child = child->next)
        if (!child->reaped) {
            if (count == sizeof known / sizeof known[0])
                return 0; /* so many that a child could be taken for an orphan */
            known[count++] = child->pid;
        }
    return mni_scan_kill_orphans(known, count);
}

/* One pass over the tree of one child. True when nothing is left of it. */
static bool kill_pass(spawner_t *spawner, child_t *child, int orphans)
{
    mni_tree_method_t method = child->group ? spawner->setup.tree.method : MNI_TREE_SUBREAPER;

    if (method == MNI_TREE_SUBREAPER) {
        if (!child->reaped)
            mni_scan_kill_below(child->pid);
        return child->reaped && orphans == 0;
    }
    if (child->reaped && mni_tree_is_empty(method, child->group->path))
        return true;
    mni_tree_kill(method, child->group->path);
    if (!child->reaped)
        kill(child->pid, SIGKILL); /* in case it had not joined its group */
    return false;
}

static void finish(spawner_t *spawner, child_t *child)
{
    mni_spawn_event_t event = {.kind = MNI_ENDED,
                               .slot = child->slot,
                               .pid = child->pid,
                               .status = child->status,
                               .usage = child->usage};

    for (int stream = 0; stream < 2; stream++)
        while (child->pipes[stream] >= 0 && read_output(child, stream))
            ;
    destroy_child(spawner, child);
    post(spawner, &event, 0);
}

static void tend_children(spawner_t *spawner)
{
    child_t **link = &spawner->children, *child;
    bool any = false;

    reap(spawner);
    for (child = spawner->children; child; child = child->next)
        any = any || child->killing;
    if (!any)
        return;
    int orphans = kill_orphans(spawner);
    while ((child = *link) != NULL) {
        if (child->killing && kill_pass(spawner, child, orphans)) {
            *link = child->next;
            finish(spawner, child);
        } else {
            link = &child->next;
        }
    }
    spawner->patience = spawner->patience < 16 ? spawner->patience + 1 : 20;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void stop(spawner_t *spawner)
{
    if (spawner->stopping)
        return;
    spawner->stopping = true;
    spawner->stop_end = mni_clock_now() + END_LIMIT;
    epoll_ctl(spawner->epoll, EPOLL_CTL_DEL, spawner->setup.socket, NULL);
    for (child_t *child = spawner->children; child; child = child->next)
        start_killing(spawner, child);
}

static void take_request(spawner_t *spawner)
{
    mni_spawner_request_t request;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MNI_SPAWNER_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec part = {&request, sizeof request};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    int descriptors[MNI_SPAWNER_DESCRIPTORS] = {-1, -1, -1, -1};

    ssize_t got = recvmsg(spawner->setup.socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        stop(spawner); /* the rank is gone, or wants no more */
        return;
    }
    struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(descriptors, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    if (got == (ssize_t)sizeof request && request.order == MNI_ORDER_SPAWN) {
        spawn(spawner, &request, descriptors);
    } else if (got == (ssize_t)sizeof request && request.order == MNI_ORDER_KILL) {
        child_t *child = find_slot(spawner, request.slot);
        if (child)
            start_killing(spawner, child);
    } else if (got == (ssize_t)sizeof request && request.order == MNI_ORDER_HOLD) {
        if (spawner->held >= 0)
            close(spawner->held);
        spawner->held = descriptors[0];
        descriptors[0] = -1;
    }
    for (int i = 0; i < MNI_SPAWNER_DESCRIPTORS; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
}

static void empty_signals(spawner_t *spawner)
{
    struct signalfd_siginfo information[8];
    while (read(spawner->signals, information, sizeof information) > 0)
        ;
}

static int pause_length(const spawner_t *spawner)
{
    for (const child_t *child = spawner->children; child; child = child->next)
        if (child->killing)
            return spawner->patience;
    if (spawner->waiting_count > 0)
        return 5;
    return spawner->children ? LEASE_LOOK : -1;
}

/* Whether the rank has let go. After a pause of this process itself the rank, which was stopped with it, gets its chance. */
static bool lease_is_over(spawner_t *spawner)
{
    const mni_spawner_shared_t *shared = spawner->setup.shared;
    uint64_t now = mni_clock_now(), lease = __atomic_load_n(&shared->lease, __ATOMIC_ACQUIRE);
    uint64_t renewed = __atomic_load_n(&shared->renewed, __ATOMIC_ACQUIRE);

    if (now - spawner->looked > 2 * LEASE_LOOK * MNI_MILLISECOND)
        spawner->awake_since = now;
    spawner->looked = now;
    if (renewed < spawner->awake_since)
        renewed = spawner->awake_since;
    return lease > 0 && spawner->children && now > renewed && now - renewed > lease;
}

static void loop(spawner_t *spawner)
{
    struct epoll_event events[64];

    while (!spawner->stopping || (spawner->children && mni_clock_now() < spawner->stop_end)) {
        int count = epoll_wait(spawner->epoll, events, 64, pause_length(spawner));
        for (int i = 0; i < count; i++) {
            uint64_t what = events[i].data.u64;
            if (what == 0)
                take_request(spawner);
            else if (what == 1)
                empty_signals(spawner);
            else
                read_output((child_t *)(uintptr_t)(what & ~UINT64_C(1)), (int)(what & 1));
        }
        /* Only here are children forgotten: none of the events above names one that is no more. */
        tend_children(spawner);
        flush_waiting(spawner);
        if (!spawner->stopping && lease_is_over(spawner))
            stop(spawner);
    }
}

/* --- beginning and end of the process --------------------------------------------------------- */

static void ignore_signals(spawner_t *spawner)
{
    static const int kept[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGSEGV, SIGBUS,
                               SIGFPE,  SIGILL,  SIGABRT, SIGTRAP, SIGSYS};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, normal = {.sa_handler = SIG_DFL};
    sigset_t child;

    for (int number = 1; number < NSIG; number++) {
        bool keep = false;
        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
            keep = keep || kept[i] == number;
        sigaction(number, keep ? &normal : &ignore, NULL);
    }
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_SETMASK, &child, NULL);
    spawner->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void leave_streams(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int i = 0; i < 3; i++)
        if (null >= 0 && null != i)
            dup2(null, i);
    if (null > 2)
        close(null);
}

static bool watch(spawner_t *spawner, int fd, uint64_t what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = what};
    return fd >= 0 && epoll_ctl(spawner->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

_Noreturn void mni_spawner_main(const mni_spawner_setup_t *setup)
{
    static spawner_t process;
    spawner_t *spawner = &process;

    spawner->setup = *setup;
    spawner->held = -1;
    setpgid(0, 0);
    prctl(PR_SET_NAME, "mn-spawner");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    /* Children must not find the ring of events. */
    madvise(spawner->setup.shared, sizeof *spawner->setup.shared, MADV_DONTFORK);
    spawner->setup.socket = fcntl(setup->socket, F_DUPFD_CLOEXEC, 3);
    leave_streams();
    mni_child_close_others(3, &spawner->setup.socket, 1);
    ignore_signals(spawner);
    mni_process_clean_environment();
    spawner->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (watch(spawner, spawner->setup.socket, 0) && watch(spawner, spawner->signals, 1))
        loop(spawner);
    for (int i = 0; i < 1000 && kill_orphans(spawner) > 0; i++) {
        usleep(1000);
        reap(spawner);
    }
    for (int i = 0; i < 1000 && !mni_tree_close(&spawner->setup.tree); i++)
        usleep(1000);
    _exit(0);
}
