/* SPDX-License-Identifier: MIT
 *
 * What the files of a rank share: rank.c, its beginning, loop and end, and watch.c, which notices when others are gone.
 */
#ifndef MNI_SCHEDULER_RANK_PRIVATE_H
#define MNI_SCHEDULER_RANK_PRIVATE_H

#include "machine/machine.h"
#include "scheduler/heartbeat.h"
#include "scheduler/rank.h"
#include "scheduler/scheduler.h"
#include "worker/worker.h"

typedef struct peer {
    uint32_t node;
    int pidfd; /* -1: not watched */
    mni_doorbell_t *bell;
} peer_t;

struct mni_rank {
    mni_comm_t *comm;
    mni_spawner_t *spawner;
    mni_machine_t *machine;
    mni_worker_t *worker;
    mni_scheduler_t *scheduler; /* rank 0 */
    mni_store_t *store;         /* rank 0 */
    mni_doorbell_t *bell;
    mni_channel_t *channel, *client;   /* embedded rank 0 */
    mni_channel_t *outside, *outsider; /* rank 0: of those who are no processes of the runtime */
    uint32_t number, size;
    peer_t *peers;
    bool embedded, all_near, any_lost;
    bool shutdown, said_goodbye, over;
    bool orphan; /* rank 0 or mpirun is gone */
    bool *gone;  /* rank 0: has said goodbye */
    uint64_t shutdown_at, watch_at, hot_until, pause;
    mni_heartbeat_t heartbeat;
    pid_t parent;     /* to be noticed when it goes; 0: not watched */
    int drain_wanted; /* a mni_drain_t, set from other threads and signal handlers; 0: none */
    int drain_done;
};

/* --- watch.c ---------------------------------------------------------------------------------------------------- */

/* `heartbeat`: seconds after which a silent worker is lost, 0: never. */
int mni_rank_watch_begin(mni_rank_t *rank, double heartbeat);
/* Looks after the processes that this rank depends on. An error: it must end. */
int mni_rank_watch(mni_rank_t *rank, uint64_t now);
int mni_rank_take_heartbeat(mni_rank_t *rank, uint32_t source, mni_reader_t *reader);

#endif
