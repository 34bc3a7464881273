/* SPDX-License-Identifier: MIT
 *
 * The life of a communicator, and which of its ranks are lost.
 */
#include "comm/internal.h"

/* Open MPI gives the core away in every call that finds nothing, where there are more ranks than cores. A rank of ours
 * sleeps when it has nothing to do; one that was woken, and gives its core away a few times before it has read its
 * message, waits some milliseconds for each as soon as tasks are at work on all cores. Not in every MPI. */
extern bool opal_progress_set_yield_when_idle(bool yield) __attribute__((weak));

int mni_comm_error(int rc, const char *what)
{
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    if (MPI_Error_string(rc, text, &length) != MPI_SUCCESS)
        length = 0;
    return mni_error(MN_E_MPI, "%s: %.*s", what, length, text);
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
        return mni_comm_error(mpi_rc, "MPI_Comm_dup");
    }
    mpi_rc = MPI_Comm_dup(parent, &made->payloads);
    if (mpi_rc != MPI_SUCCESS) {
        MPI_Comm_free(&made->comm);
        free(made);
        return mni_comm_error(mpi_rc, "MPI_Comm_dup");
    }
    MPI_Comm_set_errhandler(made->comm, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(made->payloads, MPI_ERRORS_RETURN);
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
    MPI_Comm_free(&made->payloads);
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
        return mni_comm_error(rc, "MPI_Init_thread");
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
        return mni_comm_error(rc, "MPI_Allgather");
    if (comm->initialized_here && opal_progress_set_yield_when_idle)
        comm->yielded |= opal_progress_set_yield_when_idle(false);
    return 0;
}

void mni_comm_set_bell(mni_comm_t *comm, uint32_t rank, mni_doorbell_t *bell)
{
    comm->bells[rank] = bell;
}

void mni_comm_lost(mni_comm_t *comm, uint32_t rank)
{
    if (rank >= comm->size || comm->lost[rank])
        return;
    comm->lost[rank] = true;
    comm->any_lost = true;
    comm->bells[rank] = NULL;
    mni_messages_lose(&comm->sends, rank);
    mni_messages_lose(&comm->receives, rank);
}

bool mni_comm_is_lost(const mni_comm_t *comm, uint32_t rank)
{
    return comm->lost[rank];
}

void mni_comm_close(mni_comm_t *comm)
{
    mni_message_t *message, *next;
    if (!comm)
        return;
    bool initialized_here = comm->initialized_here, any_lost = comm->any_lost;
    if (comm->yielded) /* MPI_Finalize waits again */
        opal_progress_set_yield_when_idle(true);
    comm->place = NULL;
    mni_message_end(comm->handed_out);
    DL_FOREACH_SAFE (comm->own, message, next)
        mni_message_end(message);
    if (any_lost) {
        mni_messages_lose(&comm->sends, UINT32_MAX);
        mni_messages_lose(&comm->receives, UINT32_MAX);
    } else {
        /* What is still under way goes to or comes from ranks that are alive. */
        DL_FOREACH_SAFE (comm->sends, message, next) {
            MPI_Waitall(message->count, message->requests, MPI_STATUSES_IGNORE);
            mni_message_end(message);
        }
        DL_FOREACH_SAFE (comm->receives, message, next) {
            MPI_Waitall(message->count, message->requests, MPI_STATUSES_IGNORE);
            mni_message_end(message);
        }
        MPI_Comm_free(&comm->payloads);
        MPI_Comm_free(&comm->comm);
        if (initialized_here)
            MPI_Finalize();
    }
    free(comm->lost);
    free(comm->bells);
    free(comm);
}
