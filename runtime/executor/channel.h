/* SPDX-License-Identifier: MIT
 *
 * The shared memory between a worker and one executor (or the driver): two rings for frames, a page of control
 * words, the log areas, and an arena for the arguments and results of maps. It is one memfd, made by the worker,
 * mapped by the worker, by the spawner (for the logs) and by the executor. An embedded rank 0 has one for itself.
 *
 * Trust: the executor runs user code that may scribble over all of it. The worker therefore copies what it reads
 * before it checks it, keeps its own ring positions in its own memory, and never follows an offset or a size
 * from here without a bound. The executor trusts the worker.
 *
 * A ring is a stream of bytes; frames larger than the ring pass through it in pieces. The executor's side blocks
 * while there is no room; the worker's side never blocks (it keeps what did not fit in a queue of its own).
 */
#ifndef MNI_EXECUTOR_CHANNEL_H
#define MNI_EXECUTOR_CHANNEL_H

#include "util/doorbell.h"

#include <multinode.h>

#define MNI_RING_BYTES ((size_t)256 * 1024) /* of each direction; a power of two */
#define MNI_LOG_PART ((size_t)64 * 1024)    /* first and last bytes kept of a stream */
#define MNI_LOG_STEP ((size_t)8 * 1024)     /* so many are stored at most before `total` has them */
#define MNI_FRAME_MAX (MN_MAX_VALUE * 2 + 65536) /* largest frame accepted from anywhere */

/* What the spawner keeps of one stream (standard output, standard error) since the last reset. The spawner writes,
 * the worker reads and resets (only while the executor is between tasks). */
typedef struct mni_log_area {
    uint64_t
        total; /* bytes written since the reset; the last MNI_LOG_PART of those past the head are in tail */
    uint32_t storing;        /* the spawner holds bytes that it has read but not stored yet */
    char head[MNI_LOG_PART]; /* the first bytes */
    char tail
        [MNI_LOG_PART]; /* ring of the bytes after them: byte number n (from 0, n >= MNI_LOG_PART) is at
                                (n - MNI_LOG_PART) % MNI_LOG_PART */
} mni_log_area_t;

/* The items of a block that the executor has not begun: it takes some from the front, and its worker may cut some off at
 * the end for another executor. One word, (first << 32 | end), so that both can do so at any time. */
typedef uint64_t mni_span_t;

#define MNI_SPAN_MAX UINT32_MAX /* most items of a block */

static inline void mni_span_set(mni_span_t *span, uint64_t count)
{
    __atomic_store_n(span, count, __ATOMIC_RELEASE);
}

/* Executor: takes up to `most` items from the front. How many; *first is the first of them. */
static inline uint64_t mni_span_take(mni_span_t *span, uint64_t most, uint64_t *first)
{
    uint64_t old = __atomic_load_n(span, __ATOMIC_ACQUIRE), end, count;
    do {
        *first = old >> 32;
        end = old & MNI_SPAN_MAX;
        if (end <= *first)
            return 0;
        count = end - *first < most ? end - *first : most;
    } while (!__atomic_compare_exchange_n(span, &old, (*first + count) << 32 | end, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return count;
}

/* Worker: cuts half of those that have not begun off at the end. The new end; `end` when nothing was cut. */
static inline uint64_t mni_span_cut(mni_span_t *span, uint64_t end)
{
    uint64_t old = __atomic_load_n(span, __ATOMIC_ACQUIRE), first, cut;
    do {
        first = old >> 32;
        if ((old & MNI_SPAN_MAX) != end || first >= end)
            return end; /* scribbled over, or at its end */
        cut = end - (end - first) / 2;
    } while (!__atomic_compare_exchange_n(span, &old, first << 32 | cut, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    return cut;
}

#define MNI_CHANNEL_GPUS 3072

/* Control words. Written by the side named. */
typedef struct mni_control {
    mni_doorbell_t bell; /* the executor sleeps on it; the worker rings */
    int32_t stop;        /* worker: 0, MN_E_CANCELLED or MN_E_INTERRUPTED for the task that runs */
    _Alignas(64) uint64_t
        items_done;  /* executor: items of the present block that are complete, results included */
    mni_span_t span; /* items of the present block that nobody has begun; see below */
    uint64_t
        item_started; /* executor: mni_clock_now() at the start of the present item, 0: not timed */
    _Alignas(64) uint64_t from_read,
        from_written; /* ring from the executor: bytes read (worker), written (executor) */
    uint32_t sending; /* executor: it is in the middle of a frame */
    _Alignas(64) uint64_t to_read,
        to_written;    /* ring to the executor: bytes read (executor), written (worker) */
    uint32_t has_gpus; /* worker, before the executor begins: `gpus` says what it may use */
    char gpus[MNI_CHANNEL_GPUS]; /* names as in CUDA_VISIBLE_DEVICES; "": none */
} mni_control_t;

/* One side's view of a channel. */
typedef struct mni_channel mni_channel_t;

/* The worker's side: makes the memfd and maps it. `bell` is the rank's own doorbell, rung by the executor.
 * The arena is sparse: it has a large range of addresses and takes memory only where it is touched. */
int mni_channel_create(mni_doorbell_t *bell, mni_channel_t **channel);

/* Another process's side, from the memfd (not closed). One executor per channel: rings are not begun anew. `bell` is the rank's doorbell in this process's mapping. */
int mni_channel_attach(int memfd, mni_doorbell_t *bell, mni_channel_t **channel);

/* The second end of a channel inside the same process (an embedded rank 0): shares the mapping of `worker_side`,
 * must be destroyed before it. */
int mni_channel_join(mni_channel_t *worker_side, mni_channel_t **channel);

/* After mni_channel_hold() one more mni_channel_destroy() is needed. */
void mni_channel_hold(mni_channel_t *channel);
void mni_channel_destroy(mni_channel_t *channel);
/* Worker: something may go on reading from or writing to these addresses for good. They stay valid, but not for the memory that
 * is there: it is given back when the channel is destroyed. */
void mni_channel_taint(mni_channel_t *channel);

/* Worker: the caller's half of the arena at addresses of their own, for transfers with `owner`, made at the first such call.
 * NULL: there is no room for it. They go with the channel; or are tainted alone: then nothing that is written there
 * appears in the arena any more. */
uint8_t *mni_channel_view(mni_channel_t *channel, uint32_t owner);
void mni_channel_taint_view(mni_channel_t *channel, uint32_t owner);

int mni_channel_memfd(const mni_channel_t *channel);
uint64_t mni_channel_inode(const mni_channel_t *channel); /* of the memfd */
mni_control_t *mni_channel_control(const mni_channel_t *channel);
mni_log_area_t *mni_channel_log(const mni_channel_t *channel, mn_stream_t stream);

/* The arena: `*size` bytes at the address returned. Offsets into it are what travels in frames. Its first half
 * (MNI_ARENA_CALLER) belongs to the executor as a caller of maps, its second half (MNI_ARENA_BLOCK) to the
 * worker, which puts the blocks there that the executor is to work on. */
uint8_t *mni_channel_arena(const mni_channel_t *channel, size_t *size);
size_t mni_channel_block_offset(const mni_channel_t *channel); /* where the second half begins */
/* Executor: the second half at addresses where nothing can be written, for arguments. NULL: mni_channel_join()ed. */
const uint8_t *mni_channel_brought(const mni_channel_t *channel);

/* Makes sure that pages exist for a range of the arena, so that a later store cannot fault.
 * MN_E_NO_MEMORY when the node has none, MN_E_INVALID outside the arena. Remembers what is there already, for
 * this side only: a half is reserved and released by its owner. The other side may reserve what it is about to
 * touch as well, which maps the pages at once instead of by a fault each. */
int mni_channel_reserve(mni_channel_t *channel, size_t offset, size_t size);
/* Makes the pages of one range of the arena appear in the place of another, here only. Whole pages. MN_E_SYSTEM. */
int mni_channel_show(mni_channel_t *channel, size_t place, size_t offset, size_t size);
/* Gives the pages of a range back. */
void mni_channel_release(mni_channel_t *channel, size_t offset, size_t size);

/* --- frames -------------------------------------------------------------------------------------------- */

/* Worker: queues a frame (copied) and moves what fits. 0 or MN_E_NO_MEMORY. */
int mni_channel_post(mni_channel_t *channel, const void *frame, size_t size);
/* Worker: moves more of what is queued, if there is room. True when something moved. */
bool mni_channel_flush(mni_channel_t *channel);
/* Worker: takes the next complete frame, if there is one. *frame is the channel's, valid until the next call.
 * 1: a frame; 0: none; MN_E_PROTOCOL: the executor's stream is damaged (it must be killed); MN_E_NO_MEMORY. */
int mni_channel_poll(mni_channel_t *channel, const void **frame, size_t *size);

/* Executor: writes a frame, blocking while the ring is full, then rings the worker. */
int mni_channel_send(mni_channel_t *channel, const void *frame, size_t size);
/* Executor: takes the next complete frame like mni_channel_poll(), never blocks. */
int mni_channel_receive(mni_channel_t *channel, const void **frame, size_t *size);

/* Executor: whether the shared words still say what this side knows. A process whose task has written over them is not
 * to be used again. */
bool mni_channel_is_sound(const mni_channel_t *channel);
/* Executor: has the worker find the channel damaged, before a process ends that cannot use it any more. */
void mni_channel_give_up(mni_channel_t *channel);

/* Embedded rank 0: what to do instead of sleeping when the executor's side would block (it runs the rank's loop
 * once); NULL: sleep on the bell. */
typedef void mni_channel_pump_t(void *argument);
void mni_channel_set_pump(mni_channel_t *channel, mni_channel_pump_t *pump, void *argument);
/* Executor: waits until a frame may have come, `stop` may have changed, or the deadline (mni_clock_now() time).
 * Sleeps, or calls the pump. It does not spin: that took the core from a task, or from whom it waits for. */
void mni_channel_wait(mni_channel_t *channel, uint64_t deadline);

#endif
