/* SPDX-License-Identifier: MIT
 *
 * A rank as a worker: it starts, feeds, watches and ends the executors of its rank, runs what rank 0 sends it, and
 * drives the maps that its executors call. Main thread of a rank; every rank has one, rank 0 too (for the driver
 * and the services). Talks to rank 0 by messages only, even when it is rank 0.
 */
#ifndef MNI_WORKER_WORKER_H
#define MNI_WORKER_WORKER_H

#include "comm/comm.h"
#include "executor/spawner.h"
#include "machine/machine.h"

typedef struct mni_worker mni_worker_t;

/* comm, spawner and machine are borrowed. `executor_main` and `driver_main` run in the new processes. */
int mni_worker_create(mni_comm_t *comm, mni_spawner_t *spawner, mni_machine_t *machine,
                      mni_child_main_t *executor_main, mni_child_main_t *driver_main,
                      mni_worker_t **worker);

/* Frees it; its executors must be gone (mni_worker_empty()) or are ended by the spawner. */
void mni_worker_destroy(mni_worker_t *worker);

/* Rank 0: the client at the other end of this channel, in this process, is served as `task`: MNI_TASK_DRIVER of an embedded
 * runtime, MNI_TASK_OUTSIDE. Borrowed. */
int mni_worker_attach(mni_worker_t *worker, mni_channel_t *channel, uint64_t task);

/* Looks at channels, the spawner and the clock once. 1: there was something to do, 0: nothing. */
int mni_worker_step(mni_worker_t *worker, uint64_t now);

/* Whether the tasks that it runs leave a core of its node. */
bool mni_worker_leaves_core(const mni_worker_t *worker);
/* When mni_worker_step() must be called again even if no doorbell rings. */
uint64_t mni_worker_next_time(const mni_worker_t *worker);

/* Handles a frame that is for a worker. MN_E_PROTOCOL when it is malformed. */
int mni_worker_handle(mni_worker_t *worker, uint32_t source, const void *frame, size_t size);

/* This rank was asked to end by SIGTERM, and so, from a batch system, was every process of its node: what ends by that within some
 * seconds has been interrupted, and has not failed. From a signal handler. */
void mni_worker_terminated(void);

/* Ends all executors: idle ones at once, busy ones are killed. */
void mni_worker_shutdown(mni_worker_t *worker);
bool mni_worker_empty(const mni_worker_t *worker);  /* no process is left */
bool mni_worker_broken(const mni_worker_t *worker); /* the spawner is gone */

#endif
