/* SPDX-License-Identifier: MIT
 *
 * The spawner process: starting a child, up to its word that it is set up. What the child does to itself is in child.c.
 */
#include "executor/spawner_process.h"

#include "executor/channel_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SET_UP_LIMIT 10000 /* ms that a new child may take before it is given up */

void mni_spawner_destroy_child(spawner_t *spawner, child_t *child)
{
    for (int i = 0; i < 2; i++)
        if (child->pipes[i] >= 0)
            close(child->pipes[i]);
    mni_channel_unmap_head(child->head);
    if (child->memfd >= 0)
        close(child->memfd);
    mni_group_give(&spawner->groups, child->group);
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

/* 0 or an errno. */
static int take_seat(spawner_t *spawner, child_t *child, int memfd)
{
    bool fresh = false;
    int error = mni_group_take(&spawner->groups, &spawner->setup, &child->group, &fresh);

    if (error == 0 && fresh && child->group->notice >= 0) {
        struct epoll_event watch = {.events = EPOLLIN,
                                    .data.u64 = (uint64_t)(uintptr_t)child->group | TAG_NOTICE};
        if (epoll_ctl(spawner->epoll, EPOLL_CTL_ADD, child->group->notice, &watch) < 0)
            error = errno;
    }
    if (error == 0 && spawner->setup.confine.method == MNI_CONFINE_WATCH)
        child->memfd = fcntl(memfd, F_DUPFD_CLOEXEC, 3);
    return error;
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
    if (rc == 0)
        rc = take_seat(spawner, child, given[0]);
    if (rc == 0) {
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
            .confine = &spawner->setup.confine,
            .seat = child->group ? child->group->seat : 0,
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

void mni_spawner_start_child(spawner_t *spawner, const mni_spawner_request_t *request,
                             const int descriptors[MNI_SPAWNER_DESCRIPTORS])
{
    mni_spawn_event_t event = {.kind = MNI_SPAWNED, .slot = request->slot};
    child_t *child = NULL;
    int gate = -1, rc = 0;

    if (descriptors[0] < 0)
        rc = EBADF;
    else if (mni_spawner_find(spawner, request->slot))
        rc = EEXIST;
    else if (!(child = calloc(1, sizeof *child)))
        rc = ENOMEM;
    if (rc == 0) {
        child->slot = request->slot;
        child->driver = request->driver;
        child->pipes[0] = child->pipes[1] = child->memfd = -1;
        rc = fork_child(spawner, request, descriptors, child, &gate);
    }
    if (rc == 0) {
        event.pid = child->pid;
        event.seat = child->group ? child->group->seat : 0;
        child->next = spawner->children;
        spawner->children = child;
        mni_spawner_post(
            spawner, &event,
            spawner->setup.tree.method == MNI_TREE_SUBREAPER ? mni_scan_start_time(child->pid) : 0);
    } else {
        if (child)
            mni_spawner_destroy_child(spawner, child);
        event.kind = MNI_SPAWN_FAILED;
        event.errnum = rc;
        mni_spawner_post(spawner, &event, 0);
    }
    if (gate >= 0)
        close(gate); /* the child goes on */
}
