/* SPDX-License-Identifier: MIT
 *
 * The client of this process: requests over the channel to the worker, and what comes back while
 * one waits.
 *
 * There is one client per process. Every public call that talks to the runtime runs between
 * mni_call_enter() and mni_call_leave(), which hold the client's lock, so the channel and
 * everything here is used by one thread at a time. While a call waits it takes the frames that
 * come: its own reply, and what belongs to open maps. Replies to requests that were given up are
 * dropped.
 */
#ifndef MNI_CLIENT_CALL_H
#define MNI_CLIENT_CALL_H

#include "client/arena.h"
#include "wire/message.h"

typedef struct mni_client {
    mni_channel_t *channel; /* NULL: this process is in no runtime */
    mni_control_t *control;
    bool driver;  /* the driver, or an embedded rank 0: reading goes on while the runtime stops */
    bool exiting; /* EXIT has come */
    int broken;   /* the error after which nothing can be sent or received any more */
    uint64_t requests;             /* numbers given so far */
    uint64_t awaited;              /* the request whose reply is waited for; 0: none */
    mni_writer_t writer;           /* of the frame that is being made */
    struct mni_map *maps;          /* open maps */
    struct mn_map_stream *streams; /* open streams */
    mni_arena_t arena;             /* the caller's half */
} mni_client_t;

extern mni_client_t mni_client;

/* What a call does, for a process that is asked to stop. */
typedef enum mni_call_kind {
    MNI_CALL_READ, /* refused in a task; goes on in the driver */
    MNI_CALL_WAIT, /* starts or waits for something: refused everywhere */
    MNI_CALL_LAST  /* carried out all the same */
} mni_call_kind_t;

/* Takes the lock. MN_E_NO_RUNTIME, MN_E_CANCELLED or MN_E_INTERRUPTED, with a sentence: then it is
 * not held. */
int mni_call_enter(mni_call_kind_t kind);
void mni_call_leave(void);

/* 0, or the code with which this process is asked to stop. Lock-free. */
static inline int mni_call_stop(void)
{
    const mni_control_t *control = mni_client.control;
    return control ? __atomic_load_n(&control->stop, __ATOMIC_ACQUIRE) : 0;
}

/* mni_call_stop(), with the sentence for it. */
int mni_call_stopped(void);

/* MN_E_NO_RUNTIME, with the sentence for it. */
int mni_call_no_runtime(void);

/* Begins a frame in the client's writer, with a new request number in *request; NULL: a frame that
 * is no request. Then put fields, then send. */
mni_writer_t *mni_call_begin(uint16_t type, uint64_t *request);
int mni_call_send(void);

/* Waits for the REPLY to `request`. Its code, when that is not negative, with *reader behind code
 * and message; the frame is valid until the next call here. Otherwise the code with the reply's
 * sentence. With `abandon` it returns the stop code as soon as this process is asked to stop. */
int mni_call_reply(uint64_t request, bool abandon, mni_reader_t *reader);

/* Takes the next frame, or waits for one. 1: the reply to `awaited` is in *reader; 0: go on (look
 * at what you wait for); negative: the channel is broken, or with `abandon` the stop code. */
int mni_call_step(bool abandon, mni_reader_t *reader);

/* Handles a frame that belongs to no wait: maps, late replies, EXIT. */
void mni_call_dispatch(mni_reader_t *reader);

/* Opens the client over a channel and closes it. The task's handle is set up by the caller
 * (task.h). */
int mni_call_open(mni_channel_t *channel, bool driver);
void mni_call_close(void);

#endif
