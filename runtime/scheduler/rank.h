/* SPDX-License-Identifier: MIT
 *
 * One rank: the loop that joins messages, worker and (on rank 0) scheduler. Main thread; mni_rank_drain() from any
 * thread or signal handler.
 */
#ifndef MNI_SCHEDULER_RANK_H
#define MNI_SCHEDULER_RANK_H

#include "comm/comm.h"
#include "executor/spawner.h"
#include "scheduler/scheduler.h"
#include "store/store.h"

typedef struct mni_rank mni_rank_t;

typedef struct mni_rank_options {
    const char *store; /* HDF5 file, NULL: none */
    mni_durability_t durability;
    double snapshot;  /* seconds that the HDF5 file may be behind */
    uint32_t cpus;    /* offered by a node at most, 0: what there is */
    uint64_t memory;  /* likewise, bytes */
    double grace;     /* seconds that jobs have to stop in a drain */
    double drain_at;  /* calendar: when its time will be over; 0: never */
    double heartbeat; /* seconds of silence after which a rank is lost; 0: never */
    bool embedded;    /* the driver is rank 0's process itself, over mni_rank_client() */
    mni_child_main_t *executor_main, *driver_main;
} mni_rank_options_t;

/* Joins the ranks of `comm` (owned from then on, also after a failure) to a runtime. Collective; every rank gets
 * the same result. */
int mni_rank_open(mni_comm_t *comm, mni_spawner_t *spawner, const mni_rank_options_t *options,
                  mni_rank_t **rank);

/* Goes round the loop until there is nothing to do, then sleeps until a doorbell rings, at most `patience`
 * nanoseconds. 0, or an error that ends the rank. */
int mni_rank_step(mni_rank_t *rank, uint64_t patience);

/* Whether this rank has done all it had to: it may be closed. */
bool mni_rank_over(const mni_rank_t *rank);
/* Whether mni_rank_step() has failed only because rank 0 or mpirun is gone. */
bool mni_rank_orphan(const mni_rank_t *rank);
uint32_t mni_rank_number(const mni_rank_t *rank);

/* Rank 0: asks for the end of the run. */
void mni_rank_drain(mni_rank_t *rank, mni_drain_t how);

/* Rank 0 of an embedded runtime: the client's end of its channel. */
mni_channel_t *mni_rank_client(mni_rank_t *rank);

/* Rank 0, once, before its first step: a client's end of a channel for a thread of its own, whose calls come from outside
 * of the runtime. It is the rank's, and answers while steps are made. */
int mni_rank_open_outside(mni_rank_t *rank, mni_channel_t **channel);

/* Rank 0: the absolute path of its store; NULL: it has none. */
const char *mni_rank_store(const mni_rank_t *rank);

/* Whether its ranks are on several nodes. */
bool mni_rank_spans(const mni_rank_t *rank);

/* Rank 0: what is damaged in the store, as sentences, a line each; NULL: nothing. */
const char *mni_rank_damage(const mni_rank_t *rank);

/* Rank 0: what goes wrong with the store while the run goes on nevertheless, once; false: nothing. */
bool mni_rank_warning(mni_rank_t *rank, char *text, size_t room);

/* Rank 0: the exit status of the run, and what went wrong (NULL: nothing). */
int mni_rank_status(const mni_rank_t *rank, const char **error);

bool mni_rank_ready(const mni_rank_t *rank);   /* rank 0: all workers are there */
bool mni_rank_sending(const mni_rank_t *rank); /* messages are still on their way to other ranks */

/* Closes it: collective unless a rank was lost. True: a rank was lost, and MPI must not be finalized. */
bool mni_rank_close(mni_rank_t *rank);

#endif
