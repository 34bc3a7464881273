/* SPDX-License-Identifier: MIT
 *
 * What is behind a channel: where things lie in the memfd, and one side's private state. Internal
 * to channel.c, ring.c and the spawner.
 *
 * Positions of rings count bytes since the beginning and only grow; their difference is what is in
 * the ring. Each side keeps those it advances in its own memory and only publishes them, so that a
 * damaged control page never moves them.
 */
#ifndef MNI_EXECUTOR_CHANNEL_LAYOUT_H
#define MNI_EXECUTOR_CHANNEL_LAYOUT_H

#include "executor/channel.h"

#include <sys/types.h>

#define MNI_CHANNEL_PAGE ((size_t)4096)
#define MNI_CHANNEL_ROUND(bytes, unit) (((bytes) + (unit)-1) / (unit) * (unit))
#define MNI_CHANNEL_LOG_BYTES MNI_CHANNEL_ROUND(sizeof(mni_log_area_t), MNI_CHANNEL_PAGE)
/* Offsets in the memfd. */
#define MNI_CHANNEL_LOGS MNI_CHANNEL_PAGE
#define MNI_CHANNEL_RING_FROM (MNI_CHANNEL_LOGS + 2 * MNI_CHANNEL_LOG_BYTES)
#define MNI_CHANNEL_RING_TO (MNI_CHANNEL_RING_FROM + MNI_RING_BYTES)
#define MNI_CHANNEL_HEAD (MNI_CHANNEL_RING_TO + MNI_RING_BYTES) /* end of all but the arena */
#define MNI_CHANNEL_ARENA MNI_CHANNEL_ROUND(MNI_CHANNEL_HEAD, (size_t)2 << 20)

_Static_assert(sizeof(mni_control_t) <= MNI_CHANNEL_PAGE, "the control words fill one page");
_Static_assert((MNI_RING_BYTES & (MNI_RING_BYTES - 1)) == 0, "ring sizes are powers of two");

/* The arena's pages are remembered in units of this size. */
#define MNI_ARENA_UNIT ((size_t)64 * 1024)

/* Shortest frame: its header. */
#define MNI_FRAME_MIN ((size_t)16)

typedef struct mni_ring_out {
    uint8_t *bytes;    /* the ring */
    uint64_t *read;    /* the other side's word */
    uint64_t *written; /* ours, published */
    uint64_t at;       /* ours, the truth */
} mni_ring_out_t;

typedef struct mni_ring_in {
    const uint8_t *bytes;
    uint64_t *written; /* the other side's word */
    uint64_t *read;    /* ours, published */
    uint64_t at;       /* ours, the truth */
} mni_ring_in_t;

/* Bytes in private memory: [begin, end) of `room`. */
typedef struct mni_ring_buffer {
    uint8_t *bytes;
    size_t begin, end, room;
} mni_ring_buffer_t;

typedef struct mni_channel_view {
    struct mni_channel_view *next;
    uint32_t owner;
    uint8_t *at;
} mni_channel_view_t;

struct mni_channel {
    bool worker;    /* which side */
    uint32_t holds; /* destroys that are not the last */
    bool tainted;
    mni_channel_view_t *views;
    bool owns_memfd, owns_map;
    bool damaged; /* the other side's words or frames make no sense: nothing goes any more */
    int memfd;
    dev_t device; /* of the memfd, to know it again in a process whose code closes descriptors */
    ino_t inode;
    uint8_t *base;          /* the mapping */
    const uint8_t *brought; /* executor: the worker's half of the arena once more, for reading */
    size_t arena_bytes;
    uint64_t *present;         /* a bit per MNI_ARENA_UNIT: pages are known to be there */
    mni_doorbell_t *bell;      /* what this side sleeps on */
    mni_doorbell_t *peer_bell; /* what this side rings */
    uint32_t bell_seen;        /* rings that the last mni_channel_wait() returned for */
    mni_ring_out_t out;
    mni_ring_in_t in;
    mni_ring_buffer_t queue; /* worker: posted, not in the ring yet */
    mni_ring_buffer_t inbox; /* taken from the ring, not returned yet */
    size_t delivered;        /* size of the frame at the inbox's beginning that was returned last */
    mni_channel_pump_t *pump;
    void *pump_argument;
};

/* For the spawner: maps only the part with the logs, not to be inherited by forked children.
 * NULL on failure (errno). */
uint8_t *mni_channel_map_head(int memfd);
void mni_channel_unmap_head(uint8_t *head);
mni_log_area_t *mni_channel_head_log(uint8_t *head, mn_stream_t stream);

/* ring.c: frees what the rings hold in private memory. */
void mni_ring_fini(mni_channel_t *channel);

#endif
