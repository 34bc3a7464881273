/* SPDX-License-Identifier: MIT
 *
 * Rank 0 as the scheduler: it holds the jobs, answers the calls of all clients, carries out what the core decides,
 * keeps the driver and the services, and ends the run. Main thread of rank 0.
 */
#ifndef MNI_SCHEDULER_SCHEDULER_H
#define MNI_SCHEDULER_SCHEDULER_H

#include "comm/comm.h"
#include "store/store.h"

typedef struct mni_scheduler mni_scheduler_t;

/* How a run is asked to end: jobs are asked to stop within the grace; the same, and what is left to do goes on in a later run, which
 * the exit status says (MNI_EXIT_RESUME); what runs is killed. A stronger one may follow. */
typedef enum mni_drain { MNI_DRAIN = 1, MNI_DRAIN_RESUME, MNI_DRAIN_AT_ONCE } mni_drain_t;

/* The exit status of a run that was to be resumed, when unfinished jobs are in its store: EX_TEMPFAIL of sysexits.h. */
#define MNI_EXIT_RESUME 75

typedef struct mni_scheduler_options {
    mni_store_t *store; /* opened; borrowed */
    mni_durability_t durability;
    mni_doorbell_t *bell; /* of this rank: rung when changes are kept */
    const uint32_t
        *node_of; /* per rank: number of its node; borrowed for mni_scheduler_create() only */
    double grace; /* seconds that jobs have to stop in a drain */
    double
        drain_at; /* when it is to drain, to be resumed, because its time will be over: calendar; 0: never */
    bool embedded; /* the driver is this process itself */
} mni_scheduler_options_t;

int mni_scheduler_create(mni_comm_t *comm, const mni_scheduler_options_t *options,
                         mni_scheduler_t **scheduler);
void mni_scheduler_destroy(mni_scheduler_t *scheduler);

/* Handles a frame that is for rank 0. MN_E_PROTOCOL when it is malformed. */
int mni_scheduler_handle(mni_scheduler_t *scheduler, uint32_t source, const void *frame,
                         size_t size);

/* Lets time pass and carries out what follows. 1: there was something to do, 0: nothing. */
int mni_scheduler_step(mni_scheduler_t *scheduler, uint64_t now);
uint64_t mni_scheduler_next_time(const mni_scheduler_t *scheduler);

/* Asks everything to stop: jobs within the grace, then services. */
void mni_scheduler_drain(mni_scheduler_t *scheduler, mni_drain_t how);

/* The rank is dead with all that it ran. */
void mni_scheduler_rank_lost(mni_scheduler_t *scheduler, uint32_t rank);

/* Everything has ended and the store is written: SHUTDOWN was sent to all ranks. */
bool mni_scheduler_over(const mni_scheduler_t *scheduler);

/* The exit status of the run: the driver's, MNI_EXIT_RESUME, or 1 when the run itself failed; and the error that made it so. */
int mni_scheduler_status(const mni_scheduler_t *scheduler, const char **error);

/* All workers have said hello and the driver may run. */
bool mni_scheduler_ready(const mni_scheduler_t *scheduler);

/* What a worker says first: what its node offers. */
void mni_scheduler_put_hello(mni_writer_t *writer, const mni_node_offer_t *offer);

#endif
