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
#include "executor/spawner_process.h"

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

#define LEASE_LOOK 1000 /* ms between two looks whether the rank renews its lease */

#define END_LIMIT \
    (30 * MNI_SECOND) /* after the rank's end: what cannot be killed by then is left */

/* Looks at memory: the least and the most time between two, the part of a core that they may take (one in so
 * many), and how long after the last task they go on. */
#define LOOK_LEAST (20 * MNI_MILLISECOND)
#define LOOK_MOST (60 * MNI_MILLISECOND)
#define LOOK_COST 50
#define LOOK_IDLE MNI_SECOND

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

void mni_spawner_post(spawner_t *spawner, const mni_spawn_event_t *event, uint64_t start_time)
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

child_t *mni_spawner_find(spawner_t *spawner, uint32_t slot)
{
    for (child_t *child = spawner->children; child; child = child->next)
        if (child->slot == slot)
            return child;
    return NULL;
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
    mni_tree_method_t method = child->group && child->group->path[0] != '\0'
                                   ? spawner->setup.tree.method
                                   : MNI_TREE_SUBREAPER;

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

/* What became of its memory. */
static void note_memory(const spawner_t *spawner, const child_t *child, mni_spawn_event_t *event)
{
    const mni_confine_t *confine = &spawner->setup.confine;
    unsigned seat = child->group->seat;

    event->peak = confine->method == MNI_CONFINE_WATCH ? spawner->setup.shared->seats[seat].peak
                                                       : mni_confine_peak(confine, seat);
    if (confine->method != MNI_CONFINE_WATCH &&
        (child->over > 0 || mni_confine_kills(confine, seat) > child->group->kills))
        event->over = event->peak > 0 ? event->peak : 1;
    __atomic_store_n(&spawner->setup.shared->seats[seat].busy, 0, __ATOMIC_RELEASE);
}

static void finish(spawner_t *spawner, child_t *child)
{
    mni_spawn_event_t event = {.kind = MNI_ENDED,
                               .slot = child->slot,
                               .pid = child->pid,
                               .status = child->status,
                               .usage = child->usage,
                               .over = child->over};

    if (child->group)
        note_memory(spawner, child, &event);
    for (int stream = 0; stream < 2; stream++)
        while (child->pipes[stream] >= 0 && read_output(child, stream))
            ;
    mni_spawner_destroy_child(spawner, child);
    mni_spawner_post(spawner, &event, 0);
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

/* --- memory ----------------------------------------------------------------------------------- */

/* The kernel has met the limit of a group, and kills one of its processes: the others go with it. */
static void take_notice(spawner_t *spawner, const mni_group_t *group)
{
    uint64_t rings;

    if (read(group->notice, &rings, sizeof rings) < 0)
        return;
    for (child_t *child = spawner->children; child; child = child->next)
        if (child->group == group && !child->killing) {
            /* When we are the first to kill the kernel counts no kill. */
            child->over = 1;
            start_killing(spawner, child);
        }
}

/* Looks at the memory of all that are at work, when it is time to, and kills what has too much. */
static void look_at_memory(spawner_t *spawner)
{
    mni_spawner_shared_t *shared = spawner->setup.shared;
    uint64_t begin;

    if (spawner->setup.confine.method != MNI_CONFINE_WATCH || spawner->stopping ||
        (begin = mni_clock_now()) < spawner->look_at)
        return;
    for (child_t *child = spawner->children; child; child = child->next) {
        if (child->killing || !child->group)
            continue;
        child->over =
            mni_seat_look(&spawner->setup, child->group, child->slot, child->pid, child->memfd);
        if (child->over > 0)
            start_killing(spawner, child);
    }
    uint64_t now = mni_clock_now(), pause = (now - begin) * LOOK_COST;
    pause = pause < LOOK_LEAST ? LOOK_LEAST : pause > LOOK_MOST ? LOOK_MOST : pause;
    spawner->look_at = now + pause;
    if (mni_seats_busy(&spawner->setup, &spawner->groups)) {
        spawner->idle_since = now;
        __atomic_store_n(&shared->watching, 1, __ATOMIC_SEQ_CST);
    } else if (now - spawner->idle_since > LOOK_IDLE) {
        __atomic_store_n(&shared->watching, 0, __ATOMIC_SEQ_CST);
        /* In this order: who begins now sees that it has to wake us, or we see that it began. */
        if (!mni_seats_busy(&spawner->setup, &spawner->groups))
            spawner->look_at = MNI_NEVER;
    }
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
    spawner->look_at = spawner->look_at == MNI_NEVER ? 0 : spawner->look_at;
    if (got == (ssize_t)sizeof request && request.order == MNI_ORDER_SPAWN) {
        mni_spawner_start_child(spawner, &request, descriptors);
    } else if (got == (ssize_t)sizeof request && request.order == MNI_ORDER_KILL) {
        child_t *child = mni_spawner_find(spawner, request.slot);
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
    int lease = spawner->children ? LEASE_LOOK : -1;
    if (spawner->setup.confine.method != MNI_CONFINE_WATCH || spawner->look_at == MNI_NEVER)
        return lease;
    uint64_t now = mni_clock_now();
    int look = now >= spawner->look_at ? 0 : (int)((spawner->look_at - now) / MNI_MILLISECOND) + 1;
    return lease >= 0 && lease < look ? lease : look;
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
            else if (what & TAG_NOTICE)
                take_notice(spawner, (const mni_group_t *)(uintptr_t)(what & ~TAG_NOTICE));
            else
                read_output((child_t *)(uintptr_t)(what & ~UINT64_C(1)), (int)(what & 1));
        }
        /* Only here are children forgotten: none of the events above names one that is no more. */
        look_at_memory(spawner);
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
    for (int i = 0; i < 1000 && !mni_confine_close(&spawner->setup.confine); i++)
        usleep(1000);
    _exit(0);
}
