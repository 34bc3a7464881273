/* SPDX-License-Identifier: MIT
 *
 * Frames between ranks, over MPI, and their payloads.
 *
 * Sends and receives under way are kept in two lists in order of age. A receive is handed out when no older one of
 * the same source is still incomplete. MPI matches a message at the call after the one that progressed it, so
 * looking for messages means looking twice.
 *
 * The tag of a frame says whether a payload follows. Payloads travel over a communicator of their own, where they are
 * only received, never looked for: MPI keeps the order of what one rank sends another, so the n-th payload belongs
 * to the n-th frame that announces one. They are received in that order, too.
 */
#include "comm/internal.h"

#include <limits.h>

/* The tags of this library, on communicators of its own. */
#define TAG_FRAME 1
#define TAG_HEAD 2 /* a frame whose payload follows */
#define TAG_PAYLOAD 1

/* MPI counts are int: a large payload is sent in pieces of this. */
#define PIECE ((size_t)1 << 30)
#define PIECES_MAX 64

/* Frames up to this size are copied into the request, larger ones taken over from their writer. */
#define COPY_LIMIT 4096

static void message_free(mni_message_t *message)
{
    if (!message)
        return;
    if (message->owned)
        free(message->data);
    if (message->payload_owned)
        free(message->payload);
    if (message->requests != message->few)
        free(message->requests);
    free(message);
}

/* MPI has done with it. */
void mni_message_end(mni_message_t *message)
{
    if (message && message->done)
        message->done(message->argument, false);
    message_free(message);
}

/* Open MPI may still write to or read from its buffers: they are set aside for good. */
static void message_lose(mni_message_t *message)
{
    if (message->done)
        message->done(message->argument, true);
}

static int pieces(size_t bytes)
{
    return (int)((bytes + PIECE - 1) / PIECE);
}

/* How many bytes the n-th piece has. */
static int piece_bytes(size_t bytes, int n)
{
    size_t left = bytes - (size_t)n * PIECE;
    return (int)(left < PIECE ? left : PIECE);
}

/* Room for the requests of a frame and of its payload. */
static bool requests_make(mni_message_t *message, int count)
{
    message->requests = message->few;
    if (count > (int)(sizeof message->few / sizeof message->few[0]))
        message->requests = malloc((size_t)count * sizeof *message->requests);
    return message->requests != NULL;
}

static void ring(mni_comm_t *comm, uint32_t rank)
{
    if (comm->bells[rank])
        mni_doorbell_ring(comm->bells[rank]);
}

void mni_comm_set_place(mni_comm_t *comm, mni_comm_place_t *place, void *argument)
{
    comm->place = place;
    comm->place_argument = argument;
}

/* A send of the finished frame, not begun. */
static int send_make(uint32_t rank, mni_writer_t *frame, size_t bytes, mni_message_t **out)
{
    bool copy = frame->size <= COPY_LIMIT;
    if (frame->size > INT_MAX || bytes > PIECES_MAX * PIECE)
        return mni_error(MN_E_TOO_LARGE, "a message of %zu bytes with %zu bytes behind it",
                         frame->size, bytes);
    mni_message_t *send = malloc(sizeof *send + (copy ? frame->size : 0));
    if (!send)
        return mni_error(MN_E_NO_MEMORY, "no memory for a message of %zu bytes", frame->size);
    *send = (mni_message_t){.rank = rank, .size = frame->size, .owned = !copy};
    if (!requests_make(send, 1 + pieces(bytes))) {
        free(send);
        return mni_error(MN_E_NO_MEMORY, "no memory for a message of %zu bytes", bytes);
    }
    if (copy) {
        send->data = send->small;
        memcpy(send->data, frame->data, frame->size);
    } else {
        send->data = frame->data;
        *frame = (mni_writer_t){0};
    }
    *out = send;
    return 0;
}

static int send_begin(mni_comm_t *comm, mni_message_t *send)
{
    int rc =
        MPI_Isend(send->data, (int)send->size, MPI_BYTE, (int)send->rank,
                  send->payload ? TAG_HEAD : TAG_FRAME, comm->comm, &send->requests[send->count]);
    for (int i = 0; rc == MPI_SUCCESS && i < pieces(send->payload_bytes); i++) {
        send->count++;
        rc = MPI_Isend((const uint8_t *)send->payload + (size_t)i * PIECE,
                       piece_bytes(send->payload_bytes, i), MPI_BYTE, (int)send->rank, TAG_PAYLOAD,
                       comm->payloads, &send->requests[send->count]);
    }
    send->count++;
    return rc == MPI_SUCCESS ? 0 : mni_comm_error(rc, "MPI_Isend");
}

int mni_comm_send_with(mni_comm_t *comm, uint32_t rank, mni_writer_t *frame, const void *payload,
                       size_t bytes, mni_comm_done_t *done, void *argument)
{
    mni_message_t *send = NULL;
    int rc = mni_writer_end(frame);
    if (rc < 0)
        return rc;
    if (rank >= comm->size)
        return mni_error(MN_E_INTERNAL, "there is no rank %u", rank);
    if (comm->lost[rank]) {
        if (done)
            done(argument, false);
        return 0;
    }
    if ((rc = send_make(rank, frame, bytes, &send)) < 0)
        return rc;
    send->payload = (void *)(uintptr_t)payload;
    send->payload_bytes = bytes;
    if (rank == comm->rank) {
        send->complete = true;
        send->done = done;
        send->argument = argument;
        DL_APPEND(comm->own, send);
        return 0;
    }
    if ((rc = send_begin(comm, send)) < 0)
        return rc; /* a part of it may be under way: it is set aside */
    send->done = done;
    send->argument = argument;
    DL_APPEND(comm->sends, send);
    ring(comm, rank);
    return 0;
}

int mni_comm_send(mni_comm_t *comm, uint32_t rank, mni_writer_t *frame)
{
    return mni_comm_send_with(comm, rank, frame, NULL, 0, NULL, NULL);
}

/* Drops sends that are complete. */
static int progress_sends(mni_comm_t *comm)
{
    mni_message_t *send, *next;
    DL_FOREACH_SAFE (comm->sends, send, next) {
        int complete = 0;
        int rc = MPI_Testall(send->count, send->requests, &complete, MPI_STATUSES_IGNORE);
        if (rc != MPI_SUCCESS)
            return mni_comm_error(rc, "MPI_Testall");
        if (!complete)
            continue;
        ring(comm, send->rank); /* its last part may have left only now */
        DL_DELETE(comm->sends, send);
        mni_message_end(send);
    }
    return 0;
}

/* Begins to receive what has come. 1: something had. */
static int begin_receive(mni_comm_t *comm)
{
    MPI_Message message;
    MPI_Status status;
    int found = 0, bytes = 0;

    int rc = MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm->comm, &found, &message, &status);
    if (rc != MPI_SUCCESS)
        return mni_comm_error(rc, "MPI_Improbe");
    if (!found)
        return 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    mni_message_t *receive = malloc(sizeof *receive);
    uint8_t *data = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (!receive || !data) {
        free(receive);
        free(data);
        return mni_error(MN_E_NO_MEMORY, "no memory for a message of %d bytes", bytes);
    }
    *receive = (mni_message_t){.rank = (uint32_t)status.MPI_SOURCE,
                               .announces = status.MPI_TAG == TAG_HEAD,
                               .count = 1,
                               .data = data,
                               .size = (size_t)bytes,
                               .owned = true};
    requests_make(receive, 1);
    rc = MPI_Imrecv(data, bytes, MPI_BYTE, &message, receive->requests);
    if (rc != MPI_SUCCESS) {
        message_free(receive);
        return mni_comm_error(rc, "MPI_Imrecv");
    }
    DL_APPEND(comm->receives, receive);
    return 1;
}

/* The head is there: finds a place for its payload, and begins to receive that. */
static int begin_payload(mni_comm_t *comm, mni_message_t *receive)
{
    mni_comm_memory_t memory = {0};
    uint64_t stated = 0;

    if (receive->size >= MNI_FRAME_HEADER + sizeof stated)
        memcpy(&stated, receive->data + receive->size - sizeof stated, sizeof stated);
    if (stated == 0 || stated > PIECES_MAX * PIECE)
        return mni_error(MN_E_PROTOCOL, "a message says that %llu bytes follow it",
                         (unsigned long long)stated);
    /* What has been sent from a place is no longer in the way there. */
    int rc = progress_sends(comm);
    if (rc < 0)
        return rc;
    int count = pieces(stated);
    if (!requests_make(receive, count))
        return mni_error(MN_E_NO_MEMORY, "no memory for a message of %d pieces", count);
    if (comm->place && comm->place(comm->place_argument, receive->rank, receive->data,
                                   receive->size, stated, &memory)) {
        receive->payload = memory.at;
        receive->done = memory.done;
        receive->argument = memory.argument;
    } else {
        receive->payload = malloc(stated);
        receive->payload_owned = true;
        if (!receive->payload)
            return mni_error(MN_E_NO_MEMORY, "no memory for a message of %llu bytes",
                             (unsigned long long)stated);
    }
    receive->payload_bytes = stated;
    receive->announces = false;
    for (int i = 0; i < count; i++) {
        int mpi_rc = MPI_Irecv((uint8_t *)receive->payload + (size_t)i * PIECE,
                               piece_bytes(stated, i), MPI_BYTE, (int)receive->rank, TAG_PAYLOAD,
                               comm->payloads, &receive->requests[i]);
        if (mpi_rc != MPI_SUCCESS) {
            receive->count = i;
            return mni_comm_error(mpi_rc, "MPI_Irecv");
        }
    }
    receive->count = count;
    return 0;
}

/* 1: all of its requests are complete. */
static int test_receive(mni_message_t *receive)
{
    MPI_Status statuses[PIECES_MAX];
    int complete = 0, bytes = 0;

    int rc = MPI_Testall(receive->count, receive->requests, &complete, statuses);
    if (rc != MPI_SUCCESS)
        return mni_comm_error(rc, "MPI_Testall");
    if (!complete || !receive->payload)
        return complete;
    for (int i = 0; i < receive->count; i++) {
        MPI_Get_count(&statuses[i], MPI_BYTE, &bytes);
        if (bytes != piece_bytes(receive->payload_bytes, i))
            return mni_error(MN_E_PROTOCOL, "%d bytes follow a message instead of %d", bytes,
                             piece_bytes(receive->payload_bytes, i));
    }
    return 1;
}

/* Moves a receive on. `first`: no older one of its rank is without a place for its payload. */
static int advance(mni_comm_t *comm, mni_message_t *receive, bool first)
{
    int rc = test_receive(receive);
    if (rc == 1 && receive->announces) {
        if (!first)
            return 0;
        if ((rc = begin_payload(comm, receive)) == 0)
            rc = test_receive(receive);
    }
    receive->complete = rc == 1;
    return rc < 0 ? rc : 0;
}

/* The oldest receive that is complete and has no older incomplete one from its rank. */
static int take_receive(mni_comm_t *comm, mni_message_t **taken)
{
    mni_message_t *receive, *older;
    DL_FOREACH (comm->receives, receive) {
        bool next = true, first = true; /* to be handed out, to get its payload */
        for (older = comm->receives; older != receive; older = older->next) {
            if (older->rank != receive->rank)
                continue;
            next = false;
            first = first && !older->announces;
        }
        int rc = receive->complete ? 0 : advance(comm, receive, first);
        if (rc < 0)
            return rc;
        if (!receive->complete || !next)
            continue;
        DL_DELETE(comm->receives, receive);
        *taken = receive;
        return 1;
    }
    return 0;
}

int mni_comm_poll(mni_comm_t *comm, uint32_t *source, const void **frame, size_t *size)
{
    mni_message_t *taken = NULL;
    int rc;

    taken = comm->handed_out;
    comm->handed_out = NULL;
    mni_message_end(taken);
    taken = NULL;
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

const void *mni_comm_payload(const mni_comm_t *comm, size_t *bytes)
{
    const mni_message_t *taken = comm->handed_out;
    *bytes = taken ? taken->payload_bytes : 0;
    return taken ? taken->payload : NULL;
}

bool mni_comm_busy(const mni_comm_t *comm)
{
    return comm->sends || comm->receives || comm->own;
}

void mni_messages_lose(mni_message_t **list, uint32_t rank)
{
    mni_message_t *message, *next, *lost = NULL;
    DL_FOREACH_SAFE (*list, message, next) {
        if (message->rank != rank && rank != UINT32_MAX)
            continue;
        DL_DELETE(*list, message);
        DL_APPEND(lost, message);
    }
    DL_FOREACH_SAFE (lost, message, next) /* they may send */
        message_lose(message);
}
