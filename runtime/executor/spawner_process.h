/* SPDX-License-Identifier: MIT
 *
 * What the files of the spawner process share: spawner_main.c, its loop, and spawner_start.c, which starts children.
 */
#ifndef MNI_EXECUTOR_SPAWNER_PROCESS_H
#define MNI_EXECUTOR_SPAWNER_PROCESS_H

#include "executor/spawner_private.h"

/* In what epoll tells: not a child's pipe but a group's notice. Addresses are even multiples of it. */
#define TAG_NOTICE UINT64_C(2)

typedef struct child {
    struct child *next;
    uint32_t slot;
    pid_t pid;
    bool driver, reaped, killing;
    int status;
    struct rusage usage;
    int pipes[2];       /* read ends of its output and error, -1: none or closed */
    uint8_t *head;      /* its channel's first part, with the log areas */
    mni_group_t *group; /* NULL: it could not be started */
    int memfd;          /* of its channel, while memory is watched; else -1 */
    uint64_t over;      /* bytes that it had, when they were too many */
} child_t;

typedef struct spawner {
    mni_spawner_setup_t setup;
    int epoll, signals;
    child_t *children;
    mni_groups_t groups;
    mni_spawner_record_t *waiting; /* events that had no room in the ring */
    size_t waiting_count, waiting_room;
    int held; /* for the rank, -1: nothing */
    bool stopping;
    uint64_t stop_end;
    int patience;                 /* ms until the next pass over trees that are being killed */
    uint64_t look_at, idle_since; /* watching memory: the next look; since when nobody is at work */
    uint64_t looked, awake_since; /* of the lease */
} spawner_t;

/* spawner_main.c */
void mni_spawner_post(spawner_t *spawner, const mni_spawn_event_t *event, uint64_t start_time);
child_t *mni_spawner_find(spawner_t *spawner, uint32_t slot);

/* spawner_start.c: carries out an order to start a child, and posts what became of it. */
void mni_spawner_start_child(spawner_t *spawner, const mni_spawner_request_t *request,
                             const int descriptors[MNI_SPAWNER_DESCRIPTORS]);
/* Of one that is in no list any more. */
void mni_spawner_destroy_child(spawner_t *spawner, child_t *child);

#endif
