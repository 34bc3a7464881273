/* SPDX-License-Identifier: MIT
 *
 * Frames between ranks, over MPI. The only place that knows mpi.h. Main thread of a rank.
 *
 * After start-up every call here is nonblocking, and none is collective, so that a dead rank holds up nobody:
 * its requests are set aside with their buffers. Frames from one rank arrive in the order in which they were
 * sent; a rank may send to itself. A rank of the same host has its doorbell rung for each frame.
 *
 * A frame may have a payload, which is sent from and received into memory of the user's choice without a copy. The
 * frame says in its last field, a u64, how many bytes it has. It is handed out when all of the payload is there.
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

/* Called once, when MPI has done with a payload's memory. `lost`: with the rank at the other end, and MPI may still read
 * from or write to it: its addresses must stay valid for good. From mni_comm_poll(), mni_comm_lost(),
 * mni_comm_close(); it may send. */
typedef void mni_comm_done_t(void *argument, bool lost);

/* The same with a payload of at least one byte, whose memory must stay as it is until done() is called: at once for a lost
 * rank, and not at all when this call fails. */
int mni_comm_send_with(mni_comm_t *comm, uint32_t rank, mni_writer_t *frame, const void *payload,
                       size_t bytes, mni_comm_done_t *done, void *argument);

typedef struct mni_comm_memory {
    void *at;
    mni_comm_done_t
        *done; /* without `lost`: after the frame has been handed out, at the next poll */
    void *argument;
} mni_comm_memory_t;

/* A frame has come and has a payload of `bytes` bytes, which is to be received at memory->at. False: anywhere. It may
 * not send. Frames that came before this one need not have been handed out yet. */
typedef bool mni_comm_place_t(void *argument, uint32_t source, const void *frame, size_t size,
                              size_t bytes, mni_comm_memory_t *memory);
/* NULL, as at the beginning: payloads are received anywhere. */
void mni_comm_set_place(mni_comm_t *comm, mni_comm_place_t *place, void *argument);

/* Takes the next frame that has arrived: 1, with its source and a buffer that is valid until the next call;
 * 0: none. MN_E_MPI, MN_E_NO_MEMORY, MN_E_PROTOCOL. */
int mni_comm_poll(mni_comm_t *comm, uint32_t *source, const void **frame, size_t *size);
/* The payload of the frame that was taken last, valid as long; NULL and 0: it has none. */
const void *mni_comm_payload(const mni_comm_t *comm, size_t *bytes);

/* Whether sends or receives are under way, so that the rank should not sleep long. */
bool mni_comm_busy(const mni_comm_t *comm);

/* The rank is dead: nothing is sent to it or taken from it any more. */
void mni_comm_lost(mni_comm_t *comm, uint32_t rank);
bool mni_comm_is_lost(const mni_comm_t *comm, uint32_t rank);

#endif
