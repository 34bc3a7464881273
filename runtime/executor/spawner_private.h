/* SPDX-License-Identifier: MIT
 *
 * What the two sides of a spawner share: requests over a socket, events through a ring in shared
 * memory; and the parts of the spawner process. Internal to spawner.c, spawner_main.c, log.c and
 * child.c.
 *
 * The ring of events is mapped by the rank and by the spawner, and kept out of forked children, so
 * that user code cannot forge an event. The rank's doorbell is in a page of its own that all of
 * them have.
 */
#ifndef MNI_EXECUTOR_SPAWNER_PRIVATE_H
#define MNI_EXECUTOR_SPAWNER_PRIVATE_H

#include "executor/confine.h"
#include "executor/spawner.h"
#include "executor/tree.h"

#define MNI_SPAWNER_EVENTS 512 /* a power of two */

/* An event, and what the rank needs to clean up after a lost spawner. */
typedef struct mni_spawner_record {
    mni_spawn_event_t event;
    uint64_t start_time; /* SPAWNED: of the process, see mni_scan_start_time() */
} mni_spawner_record_t;

/* What the rank and the spawner tell each other of an executor whose memory is watched. A seat is another's when that one
 * is gone: `owner` tells whose the rank's words are. */
typedef struct mni_seat {
    uint32_t owner; /* rank: slot */
    uint32_t busy;  /* rank: it is at work */
    uint64_t limit; /* rank: bytes, UINT64_MAX: none */
    uint64_t peak;  /* spawner: the most seen since somebody put 0 here */
} mni_seat_t;

#define MNI_SPAWNER_SEATS 16384

typedef struct mni_spawner_shared {
    _Alignas(64) uint64_t written; /* by the spawner */
    _Alignas(64) uint64_t read;    /* by the rank */
    uint32_t watching;             /* spawner: it looks at the seats, and need not be woken */
    uint64_t lease;                /* by the rank: nanoseconds; 0: none */
    uint64_t renewed;              /* by the rank: when */
    mni_spawner_record_t records[MNI_SPAWNER_EVENTS];
    mni_seat_t seats[MNI_SPAWNER_SEATS];
} mni_spawner_shared_t;

typedef enum mni_spawner_order {
    MNI_ORDER_SPAWN = 1,
    MNI_ORDER_KILL,
    MNI_ORDER_HOLD,
    MNI_ORDER_WATCH /* only wakes it */
} mni_spawner_order_t;

/* One packet on the socket. A spawn has the memfd beside it, the driver's also the rank's 0, 1 and 2; a hold has what is to be held,
 * or nothing.
 * Both sides are the same program image. */
#define MNI_SPAWNER_DESCRIPTORS 4
typedef struct mni_spawner_request {
    uint32_t order;
    uint32_t slot;
    uint32_t driver;
    mni_child_main_t *main;
} mni_spawner_request_t;

/* What the spawner process starts with. */
typedef struct mni_spawner_setup {
    int socket;
    pid_t rank_group; /* process group of the rank */
    mni_doorbell_t *bell;
    mni_spawner_shared_t *shared;
    mni_tree_t tree;
    mni_confine_t confine;
} mni_spawner_setup_t;

/* The directory of its control groups, "" with the subreaper. Valid until it is stopped. For
 * tests. */
const char *mni_spawner_directory(const mni_spawner_t *spawner);

/* The folder of its groups that limit memory, "" when that is watched. For tests. */
const char *mni_spawner_confine_directory(const mni_spawner_t *spawner);

/* The spawner process: runs until the rank is gone and nothing is left. Called in the forked
 * child with all signals blocked. */
_Noreturn void mni_spawner_main(const mni_spawner_setup_t *setup);

/* --- seats.c: what a child has of the node while it lives --------------------------------------- */

/* A seat with its control groups, kept for the next executor. */
typedef struct mni_group {
    struct mni_group *next;
    unsigned seat;
    char path[MNI_CGROUP_PATH]; /* that kills, "": none */
    int notice;                 /* see mni_confine_notice() */
    uint64_t kills;             /* before the present executor */
} mni_group_t;

typedef struct mni_groups {
    mni_group_t *free;
    unsigned count;
} mni_groups_t;

/* 0, or an errno. `*fresh`: its notice has not been watched yet. */
int mni_group_take(mni_groups_t *groups, const mni_spawner_setup_t *setup, mni_group_t **group,
                   bool *fresh);
void mni_group_give(mni_groups_t *groups, mni_group_t *group);

/* Looks at the memory of a tree that is at work. Bytes that it has, when that is more than it may; else 0. */
uint64_t mni_seat_look(const mni_spawner_setup_t *setup, const mni_group_t *group, uint32_t slot,
                       pid_t pid, int memfd);
/* Whether any seat is at work. */
bool mni_seats_busy(const mni_spawner_setup_t *setup, const mni_groups_t *groups);

/* What a new child needs to become an executor or the driver. Descriptors are the spawner's. */
typedef struct mni_child {
    bool driver;
    mni_child_main_t *main;
    int memfd;
    int standard[3]; /* what becomes 0, 1 and 2 */
    int gate;        /* tells the spawner 0 or an errno; then waits for it to be closed */
    pid_t spawner, rank_group;
    const char *group; /* control group to be in, "" for none */
    const mni_confine_t *confine;
    unsigned seat;
    mni_doorbell_t *bell;
} mni_child_t;

/* The life of a child, in the process just forked, with all signals blocked. */
_Noreturn void mni_child_run(const mni_child_t *child);

/* Reads once from the pipe `fd` and keeps what came. As read(): 0 at the end, -1 with errno. */
ssize_t mni_log_take(mni_log_area_t *log, int fd);

/* Closes all descriptors except those below `first` and the `count` ones in `keep`. */
void mni_child_close_others(int first, const int *keep, int count);

#endif
