/* SPDX-License-Identifier: MIT
 *
 * What the files of the worker share: an executor's record, a block that is worked on here, a map that is
 * driven from here.
 */
#ifndef MNI_WORKER_INTERNAL_H
#define MNI_WORKER_INTERNAL_H

#include "core/declare.h"
#include "util/clock.h"
#include "util/error.h"
#include "wire/message.h"
#include "worker/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Idle executors kept per core of the machine. */
#define MNI_IDLE_PER_CORE 4

/* How long a process may take to end after EXIT before it is killed. */
#define MNI_EXIT_PATIENCE (2 * MNI_SECOND)

/* Arguments and results of at least so many bytes go behind their message, from and into the arena. Less is copied into it: that
 * costs less than a second message. */
#define MNI_PAYLOAD_LEAST ((size_t)64 << 10)

typedef struct mni_map mni_map_t;
typedef struct mni_lease mni_lease_t;
typedef struct mni_transfer mni_transfer_t;

/* A block of a map that an executor of this worker is to work on. */
typedef struct mni_block {
    struct mni_block *prev, *next;
    uint32_t source;      /* rank of the caller's worker */
    uint64_t map, number; /* the caller's */
    mni_msg_slot_t slot;
    mni_msg_block_t what;
    bool begun; /* the executor has it */
    uint64_t begun_at;
    uint8_t *
        arguments; /* copied until the block begins; NULL afterwards, with shared memory, and when they have been
                           received where they belong */
} mni_block_t;

typedef enum mni_executor_state {
    MNI_EXECUTOR_STARTING, /* asked for; `held` is posted once it runs and is bound */
    MNI_EXECUTOR_IDLE,
    MNI_EXECUTOR_BUSY,
    MNI_EXECUTOR_ENDING /* EXIT sent, or killed */
} mni_executor_state_t;

/* One executor, the driver, or the embedded client. */
typedef struct mni_executor {
    struct mni_executor *prev, *next;
    uint32_t slot;   /* its number for the spawner */
    uint32_t seat;   /* its seat there, once it runs */
    uint64_t client; /* its number for replies, never used twice */
    mni_executor_state_t state;
    bool driver, embedded;
    mni_channel_t *channel;
    pid_t pid;
    uint32_t declaration;
    uint64_t runs;     /* tasks and blocks that it has ended well */
    mni_cpus_t cpus;   /* it is bound to */
    uint64_t gpus;     /* that it was started for */
    uint64_t memory;   /* bytes that it may have, UINT64_MAX: no limit */
    uint64_t kills;    /* by the kernel in its seat, before it */
    uint64_t cpu_time; /* of the tasks that it has ended */
    uint64_t idle_since;
    uint64_t end_by; /* ENDING: kill it then; MNI_NEVER: it has been */

    /* What it does now. */
    uint64_t task; /* 0: nothing */
    uint64_t begun_at;
    uint64_t over;             /* bytes that it had when it was killed for them; 0: it was not */
    mn_id_t id;                /* job that it works for */
    mni_block_t *block;        /* NULL: a whole task */
    mni_block_t *queue;        /* further blocks of the same slot */
    mni_transfer_t *receiving; /* arguments of a block that it is kept for */
    mni_transfer_t
        *sending;     /* results of its last block: until they have left no other one begins */
    uint64_t stop_by; /* asked to stop by the caller of a map: kill it then */
    uint8_t *held;    /* frame to be posted once it runs */
    size_t held_size;
    bool finished_seen;
    mni_msg_finished_t finished; /* message is a copy */
    mn_reason_t killed;          /* why it was killed; NONE: it was not */
    bool report_kill;            /* rank 0 had it killed and waits for TASK_ENDED of a slot */
    mni_writer_t yield;          /* TASK_YIELD not sent yet */
    uint64_t yields_pending;     /* how many it stands for; 0: there is none */
    uint64_t told[2];            /* bytes of standard output and error that rank 0 has been sent */
    mni_map_t *maps;             /* that it called */
} mni_executor_t;

#define MNI_KILLED_KEPT 1024

struct mni_worker {
    mni_comm_t *comm;
    mni_spawner_t *spawner;
    mni_machine_t *machine;
    mni_child_main_t *executor_main, *driver_main;
    uint32_t rank, cores;
    mni_executor_t *executors;
    uint32_t count, idle; /* executors; of those idle */
    uint32_t next_slot;
    uint64_t next_client, next_map, next_block;
    mni_map_t *maps;     /* all that are driven from here */
    mni_lease_t *leases; /* by age */
    double
        *item_times; /* per declaration: seconds that an item took in the last map, 0: not known */
    mni_writer_t frame; /* for what is sent */
    bool broken, shutting_down;
    uint64_t
        killed[MNI_KILLED_KEPT]; /* slots that were killed lately: late blocks are turned away */
    uint32_t killed_at;
};

/* executors.c */
mni_executor_t *mni_executor_of_task(const mni_worker_t *worker, uint64_t task);
mni_executor_t *mni_executor_of_client(const mni_worker_t *worker, uint64_t client);
/* An executor for `declaration` on `cpus`, with these GPUs (bits), that may have `memory` bytes (0: no limit): an idle one, else a new one
 * (STARTING). NULL with the sentence set. */
mni_executor_t *mni_executor_acquire(mni_worker_t *worker, uint32_t declaration, bool driver,
                                     const mni_cpus_t *cpus, uint64_t gpus, uint64_t memory);
/* For a block of a map: what the function declares. */
mni_executor_t *mni_executor_for_block(mni_worker_t *worker, uint32_t declaration,
                                       const mni_msg_slot_t *slot);
/* Ends one that has had GPUs and now has nothing to do for a while; and when that is, MNI_NEVER: it is not idle or had none. */
void mni_executor_expire(mni_worker_t *worker, mni_executor_t *executor, uint64_t now);
uint64_t mni_executor_idle_until(const mni_executor_t *executor);
/* Its process is there: bound and limited, it may begin. 0, or an error. */
int mni_executor_confine(mni_worker_t *worker, mni_executor_t *executor);
/* A task or block has ended: notes its figures. False: it had too much memory, and must not be kept. */
bool mni_executor_measure(mni_worker_t *worker, mni_executor_t *executor);
/* Gives it a frame to work on, at once or when it runs. */
int mni_executor_begin(mni_worker_t *worker, mni_executor_t *executor, const void *frame,
                       size_t size);
/* An idle one is not idle any more; what its last task or block left is forgotten. */
void mni_executor_reserve(mni_worker_t *worker, mni_executor_t *executor);
void mni_executor_stop(mni_executor_t *executor, int code);
void mni_executor_kill(mni_worker_t *worker, mni_executor_t *executor, mn_reason_t reason);
/* After a task or block: keeps it for the next, or ends it. */
void mni_executor_release(mni_worker_t *worker, mni_executor_t *executor);
void mni_executor_end(mni_worker_t *worker, mni_executor_t *executor);
void mni_executor_destroy(mni_worker_t *worker, mni_executor_t *executor);
/* Whether what ends now may have been ended together with this rank; `wait` a moment for the signal to come here too. */
bool mni_executor_was_interrupted(bool wait);
/* Turns how a process ended into reason and sentence of executor->finished. */
void mni_executor_explain(mni_executor_t *executor, int status);
/* What was written to a stream since this was last called; its text is to be freed, NULL when there is none. `end`: the task is over and the
 * next one's output begins, which may only be said while the executor is between tasks. */
mni_textlog_piece_t mni_executor_output(mni_executor_t *executor, mn_stream_t stream, bool end);

/* tasks.c: whole tasks, and frames of clients */
int mni_task_run(mni_worker_t *worker, const void *frame, size_t size);
void mni_task_finished(mni_worker_t *worker, mni_executor_t *executor);
/* A task or block is over and, if it did not end well, its process is gone: reports it. */
void mni_task_ended(mni_worker_t *worker, mni_executor_t *executor);
void mni_task_flush_yield(mni_worker_t *worker, mni_executor_t *executor);
int mni_client_frame(mni_worker_t *worker, mni_executor_t *executor, const void *frame,
                     size_t size);

/* blocks.c: the side that works */
void mni_block_receive(mni_worker_t *worker, uint32_t source, uint64_t map, uint64_t number,
                       const mni_msg_slot_t *slot, const mni_msg_block_t *what,
                       const void *arguments); /* NULL: what->shared says where they are */
/* Where its arguments are to be received: into the arena of an executor, when one is free. */
bool mni_block_expect(mni_worker_t *worker, const mni_msg_slot_t *slot, const mni_msg_block_t *what,
                      mni_comm_memory_t *memory);
/* Leaves the block a part of its items when an idle executor can do the others sooner. How many it has now; a block that is
 * not there any more: UINT64_MAX. */
uint64_t mni_block_cut(mni_worker_t *worker, uint64_t map, uint64_t number, uint64_t slot);
void mni_block_ended(mni_worker_t *worker, mni_executor_t *executor);
void mni_block_stop(mni_worker_t *worker, uint64_t slot, int code);
void mni_blocks_drop(mni_worker_t *worker, mni_executor_t *executor);
uint64_t mni_block_deadline(const mni_executor_t *executor);

/* map.c: the side that calls */
int mni_worker_map_open(mni_worker_t *worker, mni_executor_t *caller, uint64_t request,
                        const mni_msg_map_t *what);
/* The arguments of `ready` items are there now. */
int mni_worker_map_more(mni_worker_t *worker, mni_executor_t *caller, uint64_t request,
                        uint64_t ready);
void mni_worker_map_close(mni_worker_t *worker, mni_executor_t *caller, uint64_t request);
void mni_map_caller_stopped(mni_worker_t *worker, mni_executor_t *caller, int code);
/* Its task is over; its process, and with it the memory of its maps. */
void mni_map_caller_gone(mni_worker_t *worker, mni_executor_t *caller);
void mni_map_process_gone(mni_worker_t *worker, mni_executor_t *caller);
void mni_map_grant(mni_worker_t *worker, uint64_t demand, const mni_msg_slot_t *slot);
void mni_map_refuse(mni_worker_t *worker, uint64_t demand, int code, const char *message);
void mni_map_block_done(mni_worker_t *worker, uint64_t map, uint64_t number, uint64_t slot,
                        const mni_msg_finished_t *finished, const void *results, size_t size);
/* Where results of a block from `source` are to be received: in the caller's arena, when they are still wanted there. */
bool mni_map_expect(mni_worker_t *worker, uint32_t source, uint64_t map, uint64_t number,
                    uint64_t slot, const mni_msg_finished_t *finished, size_t bytes,
                    mni_comm_memory_t *memory);
/* BLOCK_KEPT */
void mni_map_block_kept(mni_worker_t *worker, uint64_t map, uint64_t number, uint64_t slot,
                        uint64_t items);
void mni_map_rank_lost(mni_worker_t *worker, uint32_t rank);

/* lease.c: the slot that a caller keeps for its next call */
void mni_lease_end(mni_worker_t *worker, const mni_executor_t *home); /* if it has one */
void mni_lease_rank_lost(mni_worker_t *worker, uint32_t rank);
void mni_lease_expire(mni_worker_t *worker, uint64_t now);
uint64_t mni_lease_next_time(const mni_worker_t *worker);
void mni_lease_forget_all(mni_worker_t *worker);

/* transfer.c: the memory of payloads */
/* A payload that is sent from or received into the memory of a channel, which it holds. */
struct mni_transfer {
    mni_worker_t *worker;
    mni_channel_t *channel;
    mni_executor_t *executor; /* whose arena it is, if it matters; NULL: it does not, or is gone */
    uint32_t rank;            /* at the other end */
    const uint8_t *at;
    size_t offset, bytes; /* sending: to be given back when they have left; 0 bytes: none */
    bool view;            /* received into the channel's view for this rank */
};
/* NULL: no memory. */
mni_transfer_t *mni_transfer_begin(mni_worker_t *worker, mni_channel_t *channel, uint32_t rank,
                                   const uint8_t *at);
/* Of one that was not given to MPI. */
void mni_transfer_undo(mni_transfer_t *transfer);
mni_comm_done_t mni_transfer_done;
/* blocks.c: the results have left, or the executor that was kept for a block is not needed. */
void mni_block_sent(mni_transfer_t *transfer);
void mni_block_unexpect(mni_transfer_t *transfer, bool lost);

/* worker.c */
void mni_worker_send(mni_worker_t *worker, uint32_t rank); /* worker->frame */

#endif
