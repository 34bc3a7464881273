/* SPDX-License-Identifier: MIT
 *
 * Frames between ranks, over MPI. The only place that knows mpi.h. Main thread of a rank.
 *
 * After start-up every call here is nonblocking, and none is collective, so that a dead rank holds up nobody:
 * its requests are set aside with their buffers. Frames from one rank arrive in the order in which they were
 * sent; a rank may send to itself. A rank of the same host has its doorbell rung for each frame.
 */
#ifndef MNI_COMM_COMM_H
#define MNI_COMM_COMM_H

#include "util/doorbell.h"
#include "wire/wire.h"

typedef struct mni_comm mni_comm_t;

/* Initializes MPI and opens MPI_COMM_WORLD. */
int mni_comm_start(int *argc, char ***argv, mni_comm_t **comm);
/* Opens a duplicate of the communicator at `mpi_comm` (an MPI_Comm *). Collective. MPI must be initialized. */
int mni_comm_open(const void *mpi_comm, mni_comm_t **comm);
/* Whether MPI is initialized in this process. */
bool mni_comm_initialized(void);

/* Ends it: collective when no rank was lost, and then MPI is finalized too if mni_comm_start() initialized it.
 * With a lost rank nothing is waited for, and MPI stays as it is. */
void mni_comm_close(mni_comm_t *comm);

uint32_t mni_comm_rank(const mni_comm_t *comm);
uint32_t mni_comm_size(const mni_comm_t *comm);

/* Start-up only, collective: every rank gives `size` bytes, all get those of every rank, in order. */
int mni_comm_exchange(mni_comm_t *comm, const void *mine, size_t size, void *all);

/* The doorbell of another rank of this host. Kept, not owned. */
void mni_comm_set_bell(mni_comm_t *comm, uint32_t rank, mni_doorbell_t *bell);

/* Sends the finished frame of a writer; a large one is taken over from the writer without a copy.
 * To a lost rank: dropped. 0, MN_E_NO_MEMORY, MN_E_MPI. */
int mni_comm_send(mni_comm_t *comm, uint32_t rank, mni_writer_t *frame);

/* Takes the next frame that has arrived: 1, with its source and a buffer that is valid until the next call;
 * 0: none. MN_E_MPI, MN_E_NO_MEMORY. */
int mni_comm_poll(mni_comm_t *comm, uint32_t *source, const void **frame, size_t *size);

/* Whether sends or receives are under way, so that the rank should not sleep long. */
bool mni_comm_busy(const mni_comm_t *comm);

/* The rank is dead: nothing is sent to it or taken from it any more. */
void mni_comm_lost(mni_comm_t *comm, uint32_t rank);
bool mni_comm_is_lost(const mni_comm_t *comm, uint32_t rank);

#endif
