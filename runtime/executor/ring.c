/* SPDX-License-Identifier: MIT
 *
 * The two rings of a channel: streams of bytes with one writer and one reader each, and the frames
 * in them. A frame begins with its size as a little-endian uint32, which counts itself; nothing
 * else of it is looked at.
 *
 * Invariants: a side's own positions live in its private struct; of the shared words it reads only
 * the other side's, and checks them. Bytes are copied out of the ring before anything in them is
 * believed.
 *
 * Who wakes whom: a writer rings after what it wrote; a reader rings when the ring was full before
 * it read, since only then the writer may sleep. The fence in publish_read() and the one in
 * room_after_fence() make sure that the reader sees a full ring or the writer sees the room.
 */
#include "executor/channel_layout.h"

#include "util/clock.h"
#include "util/error.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define SLEEP_LONGEST MNI_SECOND /* a ring lost to a wild store costs no more than this */
#define INBOX_ROOM ((size_t)32 * 1024)
#define BUFFER_KEEP ((size_t)1 << 20) /* a larger buffer is given back when it is empty */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- private buffers -------------------------------------------------------------------------- */

/* Makes room for `more` bytes behind the end. */
static int buffer_make_room(mni_ring_buffer_t *buffer, size_t more)
{
    size_t used = buffer->end - buffer->begin;

    if (buffer->room - buffer->end >= more)
        return 0;
    if (buffer->begin > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->begin, used);
        buffer->begin = 0;
        buffer->end = used;
        if (buffer->room - used >= more)
            return 0;
    }
    size_t room = used + more;
    if (room < buffer->room + buffer->room / 2)
        room = buffer->room + buffer->room / 2;
    uint8_t *bytes = realloc(buffer->bytes, room);
    if (!bytes)
        return mni_error(MN_E_NO_MEMORY, "no memory for %zu bytes of messages", room);
    buffer->bytes = bytes;
    buffer->room = room;
    return 0;
}

static void buffer_when_empty(mni_ring_buffer_t *buffer)
{
    if (buffer->begin < buffer->end)
        return;
    buffer->begin = buffer->end = 0;
    if (buffer->room > BUFFER_KEEP) {
        free(buffer->bytes);
        buffer->bytes = NULL;
        buffer->room = 0;
    }
}

void mni_ring_fini(mni_channel_t *channel)
{
    free(channel->queue.bytes);
    free(channel->inbox.bytes);
}

/* --- one ring --------------------------------------------------------------------------------- */

/* Another thread may give the channel up meanwhile. */
static bool is_damaged(const mni_channel_t *channel)
{
    return __atomic_load_n(&channel->damaged, __ATOMIC_RELAXED);
}

static int damaged(mni_channel_t *channel, const char *what)
{
    __atomic_store_n(&channel->damaged, true, __ATOMIC_RELAXED);
    return mni_error(MN_E_PROTOCOL, "the messages %s are damaged: %s",
                     channel->worker ? "from an executor" : "from the worker", what);
}

/* Room in the ring that this side writes, or MN_E_PROTOCOL. */
static int64_t ring_room(mni_channel_t *channel)
{
    uint64_t used = channel->out.at - __atomic_load_n(channel->out.read, __ATOMIC_ACQUIRE);
    if (used > MNI_RING_BYTES)
        return damaged(channel, "a read position is beyond what was written");
    return (int64_t)(MNI_RING_BYTES - used);
}

static bool room_after_fence(mni_channel_t *channel)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return ring_room(channel) != 0; /* damaged counts: the caller finds out */
}

/* Copies what fits into the ring; returns how much, or MN_E_PROTOCOL. */
static int64_t ring_write(mni_channel_t *channel, const uint8_t *bytes, size_t size)
{
    mni_ring_out_t *out = &channel->out;
    int64_t room = ring_room(channel);

    if (room <= 0)
        return room;
    size = smaller(size, (size_t)room);
    size_t at = out->at & (MNI_RING_BYTES - 1), first = smaller(size, MNI_RING_BYTES - at);
    memcpy(out->bytes + at, bytes, first);
    memcpy(out->bytes, bytes + first, size - first);
    out->at += size;
    __atomic_store_n(out->written, out->at, __ATOMIC_RELEASE);
    return (int64_t)size;
}

/* Bytes that wait in the ring that this side reads, or MN_E_PROTOCOL. */
static int64_t ring_waiting(mni_channel_t *channel)
{
    uint64_t waiting = __atomic_load_n(channel->in.written, __ATOMIC_ACQUIRE) - channel->in.at;
    if (waiting > MNI_RING_BYTES)
        return damaged(channel, "a written position makes no sense");
    return (int64_t)waiting;
}

static void publish_read(mni_channel_t *channel, uint64_t before)
{
    __atomic_store_n(channel->in.read, channel->in.at, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(channel->in.written, __ATOMIC_RELAXED) - before >= MNI_RING_BYTES)
        mni_doorbell_ring(channel->peer_bell);
}

/* Moves what is in the ring to the inbox, as much as has room there. Returns how much, or
 * MN_E_PROTOCOL. */
static int64_t ring_read(mni_channel_t *channel)
{
    mni_ring_in_t *in = &channel->in;
    mni_ring_buffer_t *inbox = &channel->inbox;
    int64_t waiting = ring_waiting(channel);

    if (waiting <= 0)
        return waiting;
    size_t size = smaller((size_t)waiting, inbox->room - inbox->end);
    size_t at = in->at & (MNI_RING_BYTES - 1), first = smaller(size, MNI_RING_BYTES - at);
    memcpy(inbox->bytes + inbox->end, in->bytes + at, first);
    memcpy(inbox->bytes + inbox->end + first, in->bytes, size - first);
    inbox->end += size;
    uint64_t before = in->at;
    in->at += size;
    publish_read(channel, before);
    return (int64_t)size;
}

/* --- frames out ------------------------------------------------------------------------------- */

static int check_frame(const void *frame, size_t size)
{
    uint32_t said = 0;

    if (size >= MNI_FRAME_MIN)
        memcpy(&said, frame, sizeof said);
    if (size < MNI_FRAME_MIN || size > MNI_FRAME_MAX || le32toh(said) != size)
        return mni_error(MN_E_INTERNAL, "a frame of %zu bytes that says %u was to be sent", size,
                         le32toh(said));
    return 0;
}

bool mni_channel_flush(mni_channel_t *channel)
{
    mni_ring_buffer_t *queue = &channel->queue;
    bool any = false;

    /* Until the ring is full for certain: then, and only then, the executor rings when it has
     * read. */
    while (queue->begin < queue->end && !is_damaged(channel)) {
        int64_t moved = ring_write(channel, queue->bytes + queue->begin, queue->end - queue->begin);
        if (moved < 0 || (moved == 0 && !room_after_fence(channel)))
            break;
        queue->begin += (size_t)moved;
        any = any || moved > 0;
    }
    buffer_when_empty(queue);
    if (any)
        mni_doorbell_ring(channel->peer_bell);
    return any;
}

int mni_channel_post(mni_channel_t *channel, const void *frame, size_t size)
{
    mni_ring_buffer_t *queue = &channel->queue;
    int rc = check_frame(frame, size);

    if (rc < 0)
        return rc;
    if (is_damaged(channel))
        return 0; /* mni_channel_poll() says so; nobody will read it */
    if (queue->begin < queue->end)
        mni_channel_flush(channel);
    /* Room for all of it first: a frame is queued whole or not at all. */
    size_t here = 0;
    if (queue->begin == queue->end) {
        int64_t room = ring_room(channel);
        if (room < 0)
            return 0;
        here = smaller(size, (size_t)room);
    }
    if (size > here) {
        rc = buffer_make_room(queue, size - here);
        if (rc < 0)
            return rc;
    }
    if (here > 0) {
        ring_write(channel, frame, here); /* the room only grows */
        mni_doorbell_ring(channel->peer_bell);
    }
    if (size > here) {
        memcpy(queue->bytes + queue->end, (const uint8_t *)frame + here, size - here);
        queue->end += size - here;
        mni_channel_flush(channel);
    }
    return 0;
}

/* Executor: waits for room in its ring. */
static void wait_for_room(mni_channel_t *channel)
{
    if (channel->pump) {
        channel->pump(channel->pump_argument);
        return;
    }
    uint32_t seen = mni_doorbell_seen(channel->bell);
    if (room_after_fence(channel))
        return;
    mni_doorbell_sleep(channel->bell, seen, SLEEP_LONGEST);
}

int mni_channel_send(mni_channel_t *channel, const void *frame, size_t size)
{
    const uint8_t *bytes = frame;
    int rc = check_frame(frame, size);

    if (rc < 0)
        return rc;
    uint32_t *sending = &mni_channel_control(channel)->sending;
    __atomic_store_n(sending, 1, __ATOMIC_RELAXED); /* seen with the first bytes */
    while (size > 0) {
        int64_t moved = is_damaged(channel) ? MN_E_PROTOCOL : ring_write(channel, bytes, size);
        if (moved < 0)
            return (int)moved;
        bytes += moved;
        size -= (size_t)moved;
        if (size == 0)
            __atomic_store_n(sending, 0, __ATOMIC_RELEASE);
        if (moved > 0)
            mni_doorbell_ring(channel->peer_bell);
        else
            wait_for_room(channel);
    }
    return 0;
}

/* --- frames in -------------------------------------------------------------------------------- */

/* Size of the frame at the beginning of the inbox, 0 if not enough of it is there,
 * MN_E_PROTOCOL. */
static int64_t frame_size(mni_channel_t *channel)
{
    const mni_ring_buffer_t *inbox = &channel->inbox;
    uint32_t size;

    if (inbox->end - inbox->begin < MNI_FRAME_MIN)
        return 0;
    memcpy(&size, inbox->bytes + inbox->begin, sizeof size);
    size = le32toh(size);
    if (size < MNI_FRAME_MIN || size > MNI_FRAME_MAX)
        return damaged(channel, "a frame's size is out of bounds");
    return size;
}

/* Frames of any length follow each other; what is returned begins where malloc's memory would. */
static const void *deliver(mni_channel_t *channel, size_t size)
{
    mni_ring_buffer_t *inbox = &channel->inbox;
    size_t skew = inbox->begin % 16;

    if (skew != 0)
        memmove(inbox->bytes + inbox->begin - skew, inbox->bytes + inbox->begin, size);
    channel->delivered = size;
    return inbox->bytes + inbox->begin - skew;
}

/* Worker: nothing more comes of the frame that has begun. It was written over before it was read, and says now that it
 * is longer than it is: what follows would be taken for a part of it. */
static bool was_cut_off(mni_channel_t *channel)
{
    return channel->worker &&
           __atomic_load_n(&mni_channel_control(channel)->sending, __ATOMIC_ACQUIRE) == 0 &&
           ring_waiting(channel) == 0;
}

static int take_frame(mni_channel_t *channel, const void **frame, size_t *size)
{
    mni_ring_buffer_t *inbox = &channel->inbox;

    if (is_damaged(channel))
        return damaged(channel, "an earlier part made no sense");
    inbox->begin += channel->delivered;
    channel->delivered = 0;
    for (;;) {
        int64_t whole = frame_size(channel);
        if (whole < 0)
            return (int)whole;
        size_t have = inbox->end - inbox->begin;
        if (whole > 0 && have >= (size_t)whole) {
            *frame = deliver(channel, (size_t)whole);
            *size = (size_t)whole;
            return 1;
        }
        if (have == 0)
            buffer_when_empty(inbox);
        if (ring_waiting(channel) == 0)
            return have > 0 && was_cut_off(channel) ? damaged(channel, "a frame ends in the middle")
                                                    : 0;
        /* The rest of this frame and what follows; but no more than has come already, so that a
         * size that lies costs no memory. */
        size_t more = whole > 0 ? (size_t)whole - have : INBOX_ROOM;
        if (more > have)
            more = have;
        if (more < INBOX_ROOM)
            more = INBOX_ROOM;
        int rc = buffer_make_room(inbox, more);
        if (rc < 0)
            return rc;
        int64_t moved = ring_read(channel);
        if (moved <= 0)
            return (int)moved;
    }
}

int mni_channel_poll(mni_channel_t *channel, const void **frame, size_t *size)
{
    return take_frame(channel, frame, size);
}

int mni_channel_receive(mni_channel_t *channel, const void **frame, size_t *size)
{
    return take_frame(channel, frame, size);
}

/* --- damage ----------------------------------------------------------------------------------- */

bool mni_channel_is_sound(const mni_channel_t *channel)
{
    const mni_ring_out_t *out = &channel->out;
    const mni_ring_in_t *in = &channel->in;

    return !is_damaged(channel) && __atomic_load_n(out->written, __ATOMIC_RELAXED) == out->at &&
           __atomic_load_n(in->read, __ATOMIC_RELAXED) == in->at &&
           out->at - __atomic_load_n(out->read, __ATOMIC_RELAXED) <= MNI_RING_BYTES &&
           __atomic_load_n(in->written, __ATOMIC_RELAXED) - in->at <= MNI_RING_BYTES;
}

void mni_channel_give_up(mni_channel_t *channel)
{
    __atomic_store_n(&channel->damaged, true, __ATOMIC_RELAXED);
    uint64_t written =
        __atomic_load_n(channel->out.written, __ATOMIC_RELAXED); /* another thread may be sending */
    __atomic_store_n(channel->out.written, written + 2 * MNI_RING_BYTES, __ATOMIC_RELEASE);
    mni_doorbell_ring(channel->peer_bell);
}

/* --- waiting ---------------------------------------------------------------------------------- */

void mni_channel_set_pump(mni_channel_t *channel, mni_channel_pump_t *pump, void *argument)
{
    channel->pump = pump;
    channel->pump_argument = argument;
}

static bool something_came(const mni_channel_t *channel)
{
    return mni_doorbell_seen(channel->bell) != channel->bell_seen ||
           __atomic_load_n(channel->in.written, __ATOMIC_ACQUIRE) != channel->in.at;
}

void mni_channel_wait(mni_channel_t *channel, uint64_t deadline)
{
    /* Compared with the rings that the last wait returned for, not with those at the time of
     * this call: what was rung while the caller was looking around makes this call return at
     * once. */
    if (!something_came(channel)) {
        if (channel->pump) {
            channel->pump(channel->pump_argument);
        } else {
            uint64_t now = deadline == MNI_NEVER ? 0 : mni_clock_now();
            if (now < deadline)
                mni_doorbell_sleep(channel->bell, channel->bell_seen,
                                   deadline - now < SLEEP_LONGEST ? deadline - now : SLEEP_LONGEST);
        }
    }
    channel->bell_seen = mni_doorbell_seen(channel->bell);
}
