/* SPDX-License-Identifier: MIT
 *
 * The client of this process: requests and replies. See call.h.
 */
#include "client/call.h"

#include "client/map.h"
#include "client/task.h"
#include "executor/trap.h"
#include "util/clock.h"
#include "util/error.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A writer's buffer above this is given back after the frame was sent. */
#define WRITER_KEEP ((size_t)1 << 20)

mni_client_t mni_client;

/* Recursive, since what the pump of an embedded rank runs may look at the runtime again. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static unsigned depth; /* how often the lock is held */
static char outside;   /* trap.h: what was so before */

/* A process that user code forks off shares the rings with its parent and must not touch them. */
static void forget_in_child(void)
{
    static const pthread_mutex_t fresh = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
    lock = fresh;
    depth = 0;
    mni_client.channel = NULL;
    mni_task_forget();
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_in_child);
}

int mni_call_open(mni_channel_t *channel, bool driver)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!channel)
        return mni_error(MN_E_INVALID, "no channel to a worker was given");
    if (mni_client.channel)
        return mni_error(MN_E_WRONG_KIND, "this process is in a runtime already");
    pthread_once(&once, watch_forks);
    mni_client = (mni_client_t){
        .channel = channel, .control = mni_channel_control(channel), .driver = driver};
    mni_arena_init(&mni_client.arena, channel);
    return 0;
}

void mni_call_close(void)
{
    pthread_mutex_lock(&lock);
    mni_map_drop_all();
    mni_arena_fini(&mni_client.arena);
    mni_writer_fini(&mni_client.writer);
    mni_client = (mni_client_t){0};
    pthread_mutex_unlock(&lock);
}

int mni_call_no_runtime(void)
{
    return mni_error(MN_E_NO_RUNTIME,
                     "not inside a running multinode runtime: call this from a driver given to "
                     "mn_main(), from a job, function or service, or between mn_open() and "
                     "mn_close() on rank 0");
}

int mni_call_stopped(void)
{
    int code = mni_call_stop();
    if (code == MN_E_INTERRUPTED)
        return mni_error(code, "the runtime is stopping");
    return code == 0 ? 0 : mni_error(code, "%s was cancelled", mni_task.name);
}

int mni_call_enter(mni_call_kind_t kind)
{
    int rc = 0;
    pthread_mutex_lock(&lock);
    if (depth++ == 0)
        outside = mni_trap_pass();
    if (!mni_client.channel)
        rc = mni_call_no_runtime();
    else if (mni_client.broken < 0)
        rc = mni_error(mni_client.broken, "the connection to the worker is broken");
    else if (mni_client.exiting)
        rc = mni_error(MN_E_INTERRUPTED, "the runtime has ended");
    else if (kind == MNI_CALL_WAIT || (kind == MNI_CALL_READ && !mni_client.driver))
        rc = mni_call_stopped();
    if (rc < 0)
        mni_call_leave();
    return rc;
}

void mni_call_leave(void)
{
    if (--depth == 0)
        mni_trap_leave(outside);
    pthread_mutex_unlock(&lock);
}

mni_writer_t *mni_call_begin(uint16_t type, uint64_t *request)
{
    uint64_t number = 0;
    if (request)
        *request = number = ++mni_client.requests;
    mni_writer_begin(&mni_client.writer, type, number);
    return &mni_client.writer;
}

int mni_call_send(void)
{
    mni_writer_t *writer = &mni_client.writer;
    int rc = mni_writer_end(writer);
    if (rc == 0) {
        rc = mni_channel_send(mni_client.channel, writer->data, writer->size);
        if (rc < 0)
            mni_client.broken = rc;
    }
    if (rc < 0 || writer->capacity > WRITER_KEEP)
        mni_writer_fini(writer);
    return rc;
}

void mni_call_dispatch(mni_reader_t *reader)
{
    switch (reader->type) {
    case MNI_MSG_MAP_ITEMS:
    case MNI_MSG_MAP_FAULT:
    case MNI_MSG_MAP_END:
    case MNI_MSG_MAP_GONE:
    case MNI_MSG_REPLY: /* of a map that was refused, or to a request that was given up */
        mni_map_receive(reader);
        break;
    case MNI_MSG_EXIT:
        mni_client.exiting = true;
        break;
    default:
        break; /* nothing else is sent to a process that is at work */
    }
}

int mni_call_step(bool abandon, mni_reader_t *reader)
{
    const void *frame;
    size_t size;
    if (mni_client.broken < 0)
        return mni_error(mni_client.broken, "the connection to the worker is broken");
    int rc = mni_channel_receive(mni_client.channel, &frame, &size);
    if (rc == 1)
        rc = mni_reader_begin(reader, frame, size) < 0 ? MN_E_PROTOCOL : 1;
    if (rc < 0) {
        mni_client.broken = rc;
        return rc;
    }
    if (rc == 1) {
        if (reader->type == MNI_MSG_REPLY && reader->request != 0 &&
            reader->request == mni_client.awaited)
            return 1;
        mni_call_dispatch(reader);
        return 0;
    }
    if (mni_client.exiting)
        return mni_error(MN_E_INTERRUPTED, "the runtime has ended");
    if (abandon && (rc = mni_call_stopped()) < 0)
        return rc;
    mni_channel_wait(mni_client.channel, MNI_NEVER);
    return 0;
}

int mni_call_reply(uint64_t request, bool abandon, mni_reader_t *reader)
{
    int rc;
    mni_client.awaited = request;
    do
        rc = mni_call_step(abandon, reader);
    while (rc == 0);
    mni_client.awaited = 0;
    if (rc < 0)
        return rc;
    int32_t code = mni_get_i32(reader);
    const char *message = mni_get_text(reader);
    if (reader->failed)
        return mni_reader_end(reader);
    if (code < 0)
        return mni_error(code, "%s", message ? message : mn_strerror(code));
    return code;
}
