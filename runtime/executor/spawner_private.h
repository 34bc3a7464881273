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

#include "executor/spawner.h"
#include "executor/tree.h"

#define MNI_SPAWNER_EVENTS 512 /* a power of two */

/* An event, and what the rank needs to clean up after a lost spawner. */
typedef struct mni_spawner_record {
    mni_spawn_event_t event;
    uint64_t start_time; /* SPAWNED: of the process, see mni_scan_start_time() */
} mni_spawner_record_t;

typedef struct mni_spawner_shared {
    _Alignas(64) uint64_t written; /* by the spawner */
    _Alignas(64) uint64_t read;    /* by the rank */
    uint64_t lease;                /* by the rank: nanoseconds; 0: none */
    uint64_t renewed;              /* by the rank: when */
    mni_spawner_record_t records[MNI_SPAWNER_EVENTS];
} mni_spawner_shared_t;

typedef enum mni_spawner_order {
    MNI_ORDER_SPAWN = 1,
    MNI_ORDER_KILL,
    MNI_ORDER_HOLD
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
} mni_spawner_setup_t;

/* The directory of its control groups, "" with the subreaper. Valid until it is stopped. For
 * tests. */
const char *mni_spawner_directory(const mni_spawner_t *spawner);

/* The spawner process: runs until the rank is gone and nothing is left. Called in the forked
 * child with all signals blocked. */
_Noreturn void mni_spawner_main(const mni_spawner_setup_t *setup);

/* What a new child needs to become an executor or the driver. Descriptors are the spawner's. */
typedef struct mni_child {
    bool driver;
    mni_child_main_t *main;
    int memfd;
    int standard[3]; /* what becomes 0, 1 and 2 */
    int gate;        /* tells the spawner 0 or an errno; then waits for it to be closed */
    pid_t spawner, rank_group;
    const char *group; /* control group to be in, "" for none */
    mni_doorbell_t *bell;
} mni_child_t;

/* The life of a child, in the process just forked, with all signals blocked. */
_Noreturn void mni_child_run(const mni_child_t *child);

/* Reads once from the pipe `fd` and keeps what came. As read(): 0 at the end, -1 with errno. */
ssize_t mni_log_take(mni_log_area_t *log, int fd);

/* Closes all descriptors except those below `first` and the `count` ones in `keep`. */
void mni_child_close_others(int first, const int *keep, int count);

#endif
