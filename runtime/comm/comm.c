/* SPDX-License-Identifier: MIT
 *
 * Frames between ranks, over MPI.
 *
 * Sends and receives under way are kept in two lists in order of age. A receive is handed out when no older one of
 * the same source is still incomplete. MPI matches a message at the call after the one that progressed it, so
 * looking for messages means looking twice.
 */
#include "comm/comm.h"

#include "util/error.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Open MPI gives the core away in every call that finds nothing, where there are more ranks than cores. A rank of ours
 * sleeps when it has nothing to do; one that was woken, and gives its core away a few times before it has read its
 * message, waits some milliseconds for each as soon as tasks are at work on all cores. Not in every MPI. */
extern bool opal_progress_set_yield_when_idle(bool yield) __attribute__((weak));

/* The one tag of this library, on communicators of its own. */
#define TAG_FRAME 1

/* Frames up to this size are copied into the request, larger ones taken over from their writer. */
#define COPY_LIMIT 4096

typedef struct transfer {
    struct transfer *prev, *next;
    uint32_t rank;
    bool complete;
    MPI_Request request;
    uint8_t *data; /* a large frame, or the small one behind this struct */
    size_t size;
    bool owned; /* data is to be freed */
    uint8_t small[];
} transfer_t;

struct mni_comm {
    MPI_Comm comm;
    uint32_t rank, size;
    bool initialized_here;
    bool any_lost;
    bool yielded; /* what was found when giving the core away was turned off */
    bool *lost;
    mni_doorbell_t **bells;
    transfer_t *sends, *receives, *own; /* own: frames to itself */
    transfer_t *handed_out;
};

static int mpi_error(int rc, const char *what)
{
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    if (MPI_Error_string(rc, text, &length) != MPI_SUCCESS)
        length = 0;
    return mni_error(MN_E_MPI, "%s: %.*s", what, length, text);
}

static void transfer_free(transfer_t *transfer)
{
    if (!transfer)
        return;
    if (transfer->owned)
        free(transfer->data);
    free(transfer);
}

static int comm_create(MPI_Comm parent, bool initialized_here, mni_comm_t **comm)
{
    mni_comm_t *made = calloc(1, sizeof *made);
    int rank = 0, size = 0, rc = MN_E_NO_MEMORY;

    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for a communicator");
    int mpi_rc = MPI_Comm_dup(parent, &made->comm);
    if (mpi_rc != MPI_SUCCESS) {
        free(made);
        return mpi_error(mpi_rc, "MPI_Comm_dup");
    }
    MPI_Comm_set_errhandler(made->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(made->comm, &rank);
    MPI_Comm_size(made->comm, &size);
    made->rank = (uint32_t)rank;
    made->size = (uint32_t)size;
    made->initialized_here = initialized_here;
    made->lost = calloc(made->size, sizeof *made->lost);
    made->bells = calloc(made->size, sizeof *made->bells);
    if (!made->lost || !made->bells) {
        mni_error(rc, "no memory for a communicator of %d ranks", size);
        goto cleanup;
    }
    *comm = made;
    return 0;
cleanup:
    MPI_Comm_free(&made->comm);
    free(made->lost);
    free(made->bells);
    free(made);
    return rc;
}

int mni_comm_start(int *argc, char ***argv, mni_comm_t **comm)
{
    int provided = 0;
    /* Helper threads of rank 0 never call MPI. */
    int rc = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    if (rc != MPI_SUCCESS)
        return mpi_error(rc, "MPI_Init_thread");
    return comm_create(MPI_COMM_WORLD, true, comm);
}

int mni_comm_open(const void *mpi_comm, mni_comm_t **comm)
{
    if (!mni_comm_initialized())
        return mni_error(MN_E_MPI, "MPI is not initialized: call MPI_Init() first");
    return comm_create(*(const MPI_Comm *)mpi_comm, false, comm);
}

bool mni_comm_initialized(void)
{
    int initialized = 0, finalized = 0;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    return initialized && !finalized;
}

uint32_t mni_comm_rank(const mni_comm_t *comm)
{
    return comm->rank;
}

uint32_t mni_comm_size(const mni_comm_t *comm)
{
    return comm->size;
}

int mni_comm_exchange(mni_comm_t *comm, const void *mine, size_t size, void *all)
{
    int rc = MPI_Allgather(mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE, comm->comm);
    if (rc != MPI_SUCCESS)
        return mpi_error(rc, "MPI_Allgather");
    if (comm->initialized_here && opal_progress_set_yield_when_idle)
        comm->yielded |= opal_progress_set_yield_when_idle(false);
    return 0;
}

void mni_comm_set_bell(mni_comm_t *comm, uint32_t rank, mni_doorbell_t *bell)
{
    comm->bells[rank] = bell;
}

static void ring(mni_comm_t *comm, uint32_t rank)
{
    if (comm->bells[rank])
        mni_doorbell_ring(comm->bells[rank]);
}

int mni_comm_send(mni_comm_t *comm, uint32_t rank, mni_writer_t *frame)
{
    int rc = mni_writer_end(frame);
    if (rc < 0)
        return rc;
    if (rank >= comm->size)
        return mni_error(MN_E_INTERNAL, "there is no rank %u", rank);
    if (comm->lost[rank])
        return 0;
    bool copy = frame->size <= COPY_LIMIT;
    transfer_t *send = malloc(sizeof *send + (copy ? frame->size : 0));
    if (!send)
        return mni_error(MN_E_NO_MEMORY, "no memory for a message of %zu bytes", frame->size);
    *send = (transfer_t){.rank = rank, .size = frame->size, .owned = !copy};
    if (copy) {
        send->data = send->small;
        memcpy(send->data, frame->data, frame->size);
    } else {
        send->data = frame->data;
        *frame = (mni_writer_t){0};
    }
    if (rank == comm->rank) {
        send->complete = true;
        DL_APPEND(comm->own, send);
        return 0;
    }
    rc = MPI_Isend(send->data, (int)send->size, MPI_BYTE, (int)rank, TAG_FRAME, comm->comm,
                   &send->request);
    if (rc != MPI_SUCCESS) {
        transfer_free(send);
        return mpi_error(rc, "MPI_Isend");
    }
    DL_APPEND(comm->sends, send);
    ring(comm, rank);
    return 0;
}

/* Drops sends that are complete. */
static int progress_sends(mni_comm_t *comm)
{
    transfer_t *send, *next;
    DL_FOREACH_SAFE (comm->sends, send, next) {
        int complete = 0;
        int rc = MPI_Test(&send->request, &complete, MPI_STATUS_IGNORE);
        if (rc != MPI_SUCCESS)
            return mpi_error(rc, "MPI_Test");
        if (!complete)
            continue;
        ring(comm, send->rank); /* its last part may have left only now */
        DL_DELETE(comm->sends, send);
        transfer_free(send);
    }
    return 0;
}

/* Begins to receive what has come. 1: something had. */
static int begin_receive(mni_comm_t *comm)
{
    MPI_Message message;
    MPI_Status status;
    int found = 0, bytes = 0;

    int rc = MPI_Improbe(MPI_ANY_SOURCE, TAG_FRAME, comm->comm, &found, &message, &status);
    if (rc != MPI_SUCCESS)
        return mpi_error(rc, "MPI_Improbe");
    if (!found)
        return 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    transfer_t *receive = malloc(sizeof *receive);
    uint8_t *data = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (!receive || !data) {
        free(receive);
        free(data);
        return mni_error(MN_E_NO_MEMORY, "no memory for a message of %d bytes", bytes);
    }
    *receive = (transfer_t){
        .rank = (uint32_t)status.MPI_SOURCE, .data = data, .size = (size_t)bytes, .owned = true};
    rc = MPI_Imrecv(data, bytes, MPI_BYTE, &message, &receive->request);
    if (rc != MPI_SUCCESS) {
        transfer_free(receive);
        return mpi_error(rc, "MPI_Imrecv");
    }
    DL_APPEND(comm->receives, receive);
    return 1;
}

/* The oldest receive that is complete and has no older incomplete one from its rank. */
static int take_receive(mni_comm_t *comm, transfer_t **taken)
{
    transfer_t *receive, *older;
    DL_FOREACH (comm->receives, receive) {
        int complete = receive->complete;
        if (!complete) {
            int rc = MPI_Test(&receive->request, &complete, MPI_STATUS_IGNORE);
            if (rc != MPI_SUCCESS)
                return mpi_error(rc, "MPI_Test");
            receive->complete = complete;
        }
        if (!complete)
            continue;
        for (older = comm->receives; older != receive && older->rank != receive->rank;
             older = older->next)
            ;
        if (older != receive)
            continue;
        DL_DELETE(comm->receives, receive);
        *taken = receive;
        return 1;
    }
    return 0;
}

int mni_comm_poll(mni_comm_t *comm, uint32_t *source, const void **frame, size_t *size)
{
    transfer_t *taken = NULL;
    int rc;

    transfer_free(comm->handed_out);
    comm->handed_out = NULL;
    if (comm->own) {
        taken = comm->own;
        DL_DELETE(comm->own, taken);
    } else if (comm->size > 1) {
        if ((rc = progress_sends(comm)) < 0 || (rc = begin_receive(comm)) < 0)
            return rc;
        if (rc == 0 && (rc = begin_receive(comm)) < 0)
            return rc;
        if ((rc = take_receive(comm, &taken)) < 0)
            return rc;
    }
    if (!taken)
        return 0;
    comm->handed_out = taken;
    *source = taken->rank;
    *frame = taken->data;
    *size = taken->size;
    return 1;
}

bool mni_comm_busy(const mni_comm_t *comm)
{
    return comm->sends || comm->receives || comm->own;
}

void mni_comm_lost(mni_comm_t *comm, uint32_t rank)
{
    transfer_t *transfer, *next;
    if (rank >= comm->size || comm->lost[rank])
        return;
    comm->lost[rank] = true;
    comm->any_lost = true;
    comm->bells[rank] = NULL;
    /* Open MPI may still write to or read from these buffers: they are set aside for good. */
    DL_FOREACH_SAFE (comm->sends, transfer, next)
        if (transfer->rank == rank)
            DL_DELETE(comm->sends, transfer);
    DL_FOREACH_SAFE (comm->receives, transfer, next)
        if (transfer->rank == rank)
            DL_DELETE(comm->receives, transfer);
}

bool mni_comm_is_lost(const mni_comm_t *comm, uint32_t rank)
{
    return comm->lost[rank];
}

void mni_comm_close(mni_comm_t *comm)
{
    transfer_t *transfer, *next;
    if (!comm)
        return;
    bool initialized_here = comm->initialized_here, any_lost = comm->any_lost;
    if (comm->yielded) /* MPI_Finalize waits again */
        opal_progress_set_yield_when_idle(true);
    transfer_free(comm->handed_out);
    DL_FOREACH_SAFE (comm->own, transfer, next)
        transfer_free(transfer);
    if (!any_lost) {
        /* What is still under way goes to or comes from ranks that are alive. */
        DL_FOREACH_SAFE (comm->sends, transfer, next) {
            MPI_Wait(&transfer->request, MPI_STATUS_IGNORE);
            transfer_free(transfer);
        }
        DL_FOREACH_SAFE (comm->receives, transfer, next) {
            MPI_Wait(&transfer->request, MPI_STATUS_IGNORE);
            transfer_free(transfer);
        }
        MPI_Comm_free(&comm->comm);
        if (initialized_here)
            MPI_Finalize();
    }
    free(comm->lost);
    free(comm->bells);
    free(comm);
}
