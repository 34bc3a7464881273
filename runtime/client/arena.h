/* SPDX-License-Identifier: MIT
 *
 * Who has which part of the caller's half of the channel's arena: extents for the arguments and
 * results of maps. Bookkeeping lies in private memory. Under the client's lock.
 */
#ifndef MNI_CLIENT_ARENA_H
#define MNI_CLIENT_ARENA_H

#include "executor/channel.h"

#define MNI_ARENA_ALIGN ((size_t)64)

typedef struct mni_extent {
    struct mni_extent *next; /* by offset */
    size_t offset, size;
} mni_extent_t;

typedef struct mni_arena {
    mni_channel_t *channel;
    uint8_t *base;
    size_t limit;   /* bytes that there are */
    size_t touched; /* end of what may have pages */
    mni_extent_t *extents;
} mni_arena_t;

void mni_arena_init(mni_arena_t *arena, mni_channel_t *channel);
void mni_arena_fini(mni_arena_t *arena);

/* Finds room for `size` bytes, at a multiple of MNI_ARENA_ALIGN. It has no pages yet:
 * mni_channel_reserve() before use. MN_E_TOO_LARGE when no gap is large enough, MN_E_NO_MEMORY. */
int mni_arena_take(mni_arena_t *arena, size_t size, size_t *offset);

/* Makes pages for a range of an extent. */
int mni_arena_reserve(mni_arena_t *arena, size_t offset, size_t size);

/* Gives an extent back, and its pages when it is large. Unknown offsets are ignored. */
void mni_arena_give(mni_arena_t *arena, size_t offset);

/* At the end of a task: gives back what no later one should carry. */
void mni_arena_trim(mni_arena_t *arena);

#endif
