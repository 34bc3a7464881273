/* SPDX-License-Identifier: MIT
 *
 * What a communicator is made of. Internal to comm/.
 */
#ifndef MNI_COMM_INTERNAL_H
#define MNI_COMM_INTERNAL_H

#include "comm/comm.h"
#include "util/error.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* A frame under way. */
typedef struct mni_message {
    struct mni_message *prev, *next;
    uint32_t rank;
    bool complete;
    bool announces; /* receive: a payload follows that has no place yet */
    MPI_Request *requests;
    int count;
    MPI_Request few[2]; /* `requests`, if that is enough: the frame's and the payload's */
    uint8_t *data;      /* a large frame, or the small one behind this struct */
    size_t size;
    bool owned; /* data is to be freed */
    void *payload;
    size_t payload_bytes;
    bool payload_owned;
    mni_comm_done_t *done; /* with the payload */
    void *argument;
    uint8_t small[];
} mni_message_t;

struct mni_comm {
    MPI_Comm comm, payloads;
    uint32_t rank, size;
    bool initialized_here;
    bool any_lost;
    bool yielded; /* what was found when giving the core away was turned off */
    bool *lost;
    mni_doorbell_t **bells;
    mni_message_t *sends, *receives, *own; /* own: frames to itself */
    mni_message_t *handed_out;
    mni_comm_place_t *place;
    void *place_argument;
};

/* Error of an MPI call, in its words. MN_E_MPI. */
int mni_comm_error(int rc, const char *what);

/* messages.c: MPI has done with it, it is freed. */
void mni_message_end(mni_message_t *message);
/* Takes the messages of a rank that is lost from a list, or all (UINT32_MAX). Open MPI may still write to or read from their
 * buffers: they are set aside for good. */
void mni_messages_lose(mni_message_t **list, uint32_t rank);

#endif
