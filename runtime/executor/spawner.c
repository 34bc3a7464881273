/* SPDX-License-Identifier: MIT
 *
 * The rank's side of the spawner: forks it, sends requests, takes events, and cleans up when it is
 * lost. Main thread of a rank. The other side is spawner_main.c.
 *
 * The spawner is lost when its end of the socket is closed, which only its end of life does. Its
 * executors die with it (PDEATHSIG); what they started is killed here: by control group, or, with
 * the subreaper method, by the sessions that executors led. In that last case what had left its
 * session and its parent cannot be found.
 */
#include "executor/spawner_private.h"

#include "util/clock.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BELL_BYTES ((size_t)4096)
#define LOOK_INTERVAL (10 * MNI_MILLISECOND) /* between two looks at the socket */
#define SEND_LIMIT (5 * MNI_SECOND)          /* a spawner that reads nothing for so long is stuck */
#define CLEAN_LIMIT (10 * MNI_SECOND)        /* for the trees of a lost spawner */

typedef struct live_child {
    uint32_t slot;
    pid_t pid;
    uint64_t start_time;
} live_child_t;

typedef enum state { RUNNING, LOST, REPORTED } state_t;

struct mni_spawner {
    pid_t pid;
    int socket; /* -1: closed */
    state_t state;
    bool reaped, ended_well; /* it killed what it had started, then ended */
    mni_doorbell_t *bell;
    int bell_fd;
    mni_spawner_shared_t *shared;
    uint64_t events_read;
    uint64_t look_next, clean_end;
    mni_tree_t tree;
    mni_confine_t confine;
    live_child_t *live; /* as told by events */
    size_t live_count, live_room;
};

/* --- start ------------------------------------------------------------------------------------ */

static void *map_page(int fd, size_t bytes)
{
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int make_bell(mni_spawner_t *spawner)
{
    spawner->bell_fd = memfd_create("multinode-bell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (spawner->bell_fd < 0 || ftruncate(spawner->bell_fd, (off_t)BELL_BYTES) < 0 ||
        fcntl(spawner->bell_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return mni_error_errno("cannot make shared memory for a doorbell");
    spawner->bell = map_page(spawner->bell_fd, BELL_BYTES);
    if (!spawner->bell)
        return mni_error_errno("cannot map a doorbell");
    return 0;
}

int mni_spawner_doorbell_descriptor(const mni_spawner_t *spawner)
{
    return spawner->bell_fd;
}

int mni_spawner_map_doorbell(pid_t rank, int descriptor, mni_doorbell_t **bell)
{
    char path[64];
    struct stat status;

    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)rank, descriptor);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return mni_error_errno("cannot open the doorbell of process %d", (int)rank);
    bool fits =
        fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == (off_t)BELL_BYTES;
    mni_doorbell_t *mapped = fits ? map_page(fd, BELL_BYTES) : NULL;
    close(fd);
    if (!mapped)
        return mni_error(MN_E_SYSTEM, "descriptor %d of process %d is not a doorbell", descriptor,
                         (int)rank);
    *bell = mapped;
    return 0;
}

void mni_spawner_unmap_doorbell(mni_doorbell_t *bell)
{
    if (bell)
        munmap(bell, BELL_BYTES);
}

void mni_spawner_destroy(mni_spawner_t *spawner)
{
    if (!spawner)
        return;
    if (spawner->socket >= 0)
        close(spawner->socket);
    if (spawner->shared)
        munmap(spawner->shared, sizeof *spawner->shared);
    mni_spawner_unmap_doorbell(spawner->bell);
    if (spawner->bell_fd >= 0)
        close(spawner->bell_fd);
    free(spawner->live);
    free(spawner);
}

static int fork_spawner(mni_spawner_t *spawner)
{
    int ends[2];
    sigset_t all, before;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return mni_error_errno("cannot make a socket for the spawner");
    /* What waits in the buffers would be written once more by every child. */
    fflush(NULL);
    /* Before it ignores them, signals must not reach it. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t group = getpgrp();
    spawner->pid = fork();
    if (spawner->pid == 0) {
        mni_spawner_setup_t setup = {ends[1],         group,         spawner->bell,
                                     spawner->shared, spawner->tree, spawner->confine};
        mni_spawner_main(&setup);
    }
    int saved = errno;
    if (spawner->pid > 0)
        setpgid(spawner->pid,
                spawner->pid); /* both sides do it, so that it is done when either goes on */
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    spawner->socket = ends[0];
    errno = saved;
    return spawner->pid < 0 ? mni_error_errno("cannot fork the spawner") : 0;
}

int mni_spawner_start(mni_spawner_t **out)
{
    int rc;

    mni_spawner_t *spawner = calloc(1, sizeof *spawner);
    if (!spawner)
        return mni_error(MN_E_NO_MEMORY, "no memory for the spawner");
    spawner->socket = spawner->bell_fd = -1;
    rc = make_bell(spawner);
    if (rc < 0)
        goto cleanup;
    spawner->shared = map_page(-1, sizeof *spawner->shared);
    if (!spawner->shared) {
        rc = mni_error(MN_E_NO_MEMORY, "no memory to share with the spawner");
        goto cleanup;
    }
    rc = mni_tree_open(&spawner->tree);
    if (rc < 0)
        goto cleanup;
    rc = mni_confine_open(&spawner->confine, &spawner->tree);
    if (rc == 0)
        rc = fork_spawner(spawner);
    if (rc < 0) {
        mni_tree_close(&spawner->tree);
        mni_confine_close(&spawner->confine);
    }
cleanup:
    if (rc < 0)
        mni_spawner_destroy(spawner);
    else
        *out = spawner;
    return rc;
}

mni_doorbell_t *mni_spawner_doorbell(mni_spawner_t *spawner)
{
    return spawner->bell;
}

pid_t mni_spawner_pid(const mni_spawner_t *spawner)
{
    return spawner->pid;
}

const char *mni_spawner_method(const mni_spawner_t *spawner)
{
    return mni_tree_method_name(spawner->tree.method);
}

const char *mni_spawner_directory(const mni_spawner_t *spawner)
{
    return spawner->tree.path;
}

const char *mni_spawner_confinement(const mni_spawner_t *spawner)
{
    return mni_confine_name(&spawner->confine);
}

const char *mni_spawner_confine_directory(const mni_spawner_t *spawner)
{
    return spawner->confine.memory;
}

/* --- requests --------------------------------------------------------------------------------- */

static int send_request(mni_spawner_t *spawner, const mni_spawner_request_t *request,
                        const int *descriptors, size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MNI_SPAWNER_DESCRIPTORS * sizeof(int))];
    } control = {0};
    struct iovec part = {(void *)request, sizeof *request};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    uint64_t end = mni_clock_now() + SEND_LIMIT;

    if (spawner->state != RUNNING || spawner->socket < 0)
        return mni_error(MN_E_SYSTEM, "the spawner is gone");
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    }
    for (;;) {
        if (sendmsg(spawner->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        /* ETOOMANYREFS: more descriptors are under way than the limit; they get there. */
        if ((errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS) || mni_clock_now() >= end)
            return mni_error_errno("cannot reach the spawner");
        struct pollfd room = {.fd = spawner->socket, .events = POLLOUT};
        poll(&room, errno == ETOOMANYREFS ? 0 : 1, 1);
    }
}

int mni_spawner_spawn(mni_spawner_t *spawner, const mni_spawn_t *spawn)
{
    mni_spawner_request_t request;
    int descriptors[MNI_SPAWNER_DESCRIPTORS] = {spawn->memfd}, null = -1;

    if (!spawn->main || spawn->memfd < 0)
        return mni_error(MN_E_INVALID,
                         "a process to be spawned needs something to run and a channel");
    memset(&request, 0, sizeof request);
    request.order = MNI_ORDER_SPAWN;
    request.slot = spawn->slot;
    request.driver = spawn->driver;
    request.main = spawn->main;
    if (spawn->driver) {
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int i = 0; i < 3; i++) /* a program may be started without one */
            descriptors[i + 1] = fcntl(i, F_GETFD) < 0 ? null : i;
    }
    int rc =
        send_request(spawner, &request, descriptors, spawn->driver ? MNI_SPAWNER_DESCRIPTORS : 1);
    if (null >= 0)
        close(null);
    return rc;
}

int mni_spawner_kill(mni_spawner_t *spawner, uint32_t slot)
{
    mni_spawner_request_t request;

    memset(&request, 0, sizeof request);
    request.order = MNI_ORDER_KILL;
    request.slot = slot;
    return send_request(spawner, &request, NULL, 0);
}

int mni_spawner_hold(mni_spawner_t *spawner, int descriptor)
{
    mni_spawner_request_t request;

    memset(&request, 0, sizeof request);
    request.order = MNI_ORDER_HOLD;
    return send_request(spawner, &request, &descriptor, descriptor >= 0 ? 1 : 0);
}

void mni_spawner_lease(mni_spawner_t *spawner, double seconds)
{
    mni_spawner_renew(spawner, mni_clock_now());
    __atomic_store_n(&spawner->shared->lease, (uint64_t)(seconds * 1e9), __ATOMIC_RELEASE);
}

void mni_spawner_renew(mni_spawner_t *spawner, uint64_t now)
{
    __atomic_store_n(&spawner->shared->renewed, now, __ATOMIC_RELEASE);
}

/* --- memory ----------------------------------------------------------------------------------- */

int mni_spawner_limit(mni_spawner_t *spawner, uint32_t slot, uint32_t seat, uint64_t bytes)
{
    mni_seat_t *words = &spawner->shared->seats[seat];

    if (spawner->confine.method == MNI_CONFINE_WATCH) {
        __atomic_store_n(&words->owner, slot, __ATOMIC_RELAXED);
        __atomic_store_n(&words->limit, bytes, __ATOMIC_RELAXED);
        return 0;
    }
    if (mni_confine_limit(&spawner->confine, seat, bytes) == 0)
        return 0;
    return errno == EBUSY ? mni_error(MN_E_NO_MEMORY, "an executor has more memory than it may")
                          : mni_error_errno("cannot limit the memory of an executor");
}

void mni_spawner_busy(mni_spawner_t *spawner, uint32_t slot, uint32_t seat, bool busy)
{
    mni_seat_t *words = &spawner->shared->seats[seat];
    mni_spawner_request_t request;

    if (spawner->confine.method != MNI_CONFINE_WATCH || words->owner != slot)
        return;
    __atomic_store_n(&words->busy, busy, __ATOMIC_SEQ_CST);
    if (!busy || __atomic_load_n(&spawner->shared->watching, __ATOMIC_SEQ_CST))
        return;
    memset(&request, 0, sizeof request);
    request.order = MNI_ORDER_WATCH;
    send_request(spawner, &request, NULL, 0); /* a spawner that is gone is noticed elsewhere */
}

uint64_t mni_spawner_peak(mni_spawner_t *spawner, uint32_t seat)
{
    if (spawner->confine.method == MNI_CONFINE_WATCH)
        return __atomic_exchange_n(&spawner->shared->seats[seat].peak, 0, __ATOMIC_RELAXED);
    return mni_confine_peak(&spawner->confine, seat);
}

uint64_t mni_spawner_kills(const mni_spawner_t *spawner, uint32_t seat)
{
    return mni_confine_kills(&spawner->confine, seat);
}

/* --- a lost spawner --------------------------------------------------------------------------- */

static bool reap(mni_spawner_t *spawner)
{
    int status = 0;

    if (!spawner->reaped) {
        pid_t pid = waitpid(spawner->pid, &status, WNOHANG);
        spawner->ended_well = pid == spawner->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
        spawner->reaped = pid == spawner->pid || (pid < 0 && errno == ECHILD);
    }
    return spawner->reaped;
}

/* One pass over all that it left. True when nothing is left. */
static bool clean_up_pass(mni_spawner_t *spawner)
{
    int found = 0;

    if (!reap(spawner))
        return false;
    if (spawner->tree.method != MNI_TREE_SUBREAPER) {
        if (!mni_tree_is_empty(spawner->tree.method, spawner->tree.path))
            mni_tree_kill(spawner->tree.method, spawner->tree.path);
        return mni_tree_is_empty(spawner->tree.method, spawner->tree.path) &&
               mni_tree_close(&spawner->tree) && mni_confine_close(&spawner->confine);
    }
    for (size_t i = 0; !spawner->ended_well && i < spawner->live_count; i++)
        found += mni_scan_kill_session(spawner->live[i].pid, spawner->live[i].start_time);
    return found == 0 && mni_confine_close(&spawner->confine);
}

/* Looks, not too often, whether the spawner has closed its end. */
static void look_for_loss(mni_spawner_t *spawner)
{
    uint64_t now = mni_clock_now();
    char byte;

    if (spawner->state != RUNNING || now < spawner->look_next)
        return;
    spawner->look_next = now + LOOK_INTERVAL;
    ssize_t got = recv(spawner->socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        spawner->state = LOST;
        spawner->clean_end = now + CLEAN_LIMIT;
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void note_event(mni_spawner_t *spawner, const mni_spawner_record_t *record)
{
    if (record->event.kind == MNI_SPAWNED) {
        if (spawner->live_count == spawner->live_room) {
            size_t room = spawner->live_room ? spawner->live_room * 2 : 32;
            live_child_t *live = realloc(spawner->live, room * sizeof *live);
            if (!live)
                return; /* known only to the spawner then, which kills it */
            spawner->live = live;
            spawner->live_room = room;
        }
        spawner->live[spawner->live_count++] =
            (live_child_t){record->event.slot, record->event.pid, record->start_time};
    } else if (record->event.kind == MNI_ENDED) {
        for (size_t i = 0; i < spawner->live_count; i++)
            if (spawner->live[i].slot == record->event.slot) {
                spawner->live[i] = spawner->live[--spawner->live_count];
                break;
            }
    }
}

static bool take_record(mni_spawner_t *spawner, mni_spawn_event_t *event)
{
    mni_spawner_shared_t *shared = spawner->shared;

    if (__atomic_load_n(&shared->written, __ATOMIC_ACQUIRE) == spawner->events_read)
        return false;
    mni_spawner_record_t record = shared->records[spawner->events_read % MNI_SPAWNER_EVENTS];
    __atomic_store_n(&shared->read, ++spawner->events_read, __ATOMIC_RELEASE);
    note_event(spawner, &record);
    *event = record.event;
    return true;
}

bool mni_spawner_next_event(mni_spawner_t *spawner, mni_spawn_event_t *event)
{
    if (take_record(spawner, event))
        return true;
    look_for_loss(spawner);
    if (spawner->state != LOST)
        return false;
    /* What it had posted before its end comes first. */
    if (take_record(spawner, event))
        return true;
    if (!clean_up_pass(spawner) && mni_clock_now() < spawner->clean_end) {
        mni_doorbell_ring(spawner->bell); /* come again, soon */
        return false;
    }
    spawner->state = REPORTED;
    memset(event, 0, sizeof *event);
    event->kind = MNI_SPAWNER_LOST;
    event->pid = spawner->pid;
    return true;
}

/* --- stop ------------------------------------------------------------------------------------- */

void mni_spawner_stop(mni_spawner_t *spawner, double seconds)
{
    mni_spawn_event_t event;

    if (!spawner)
        return;
    if (spawner->socket >= 0)
        close(spawner->socket); /* it kills all that it started, and ends */
    spawner->socket = -1;
    uint64_t end = mni_clock_after(mni_clock_now(), seconds);
    for (unsigned i = 0; !reap(spawner) && mni_clock_now() < end; i++)
        usleep(i < 20 ? 100 : 1000);
    while (take_record(spawner, &event))
        ;
    if (!spawner->reaped) {
        /* Our own child, not reaped: the number is its. */
        kill(spawner->pid, SIGKILL);
        if (waitpid(spawner->pid, NULL, 0) == spawner->pid || errno == ECHILD)
            spawner->reaped = true;
    }
    end = mni_clock_now() + CLEAN_LIMIT;
    while (!clean_up_pass(spawner) && mni_clock_now() < end)
        usleep(1000);
}
