/* SPDX-License-Identifier: MIT
 *
 * Who has which part of the caller's half of the channel's arena: extents for the arguments and
 * results of maps, and what user code has from mn_alloc(). Bookkeeping lies in private memory. Under
 * the client's lock.
 *
 * A map that ended early may leave executors at work that still write to its results. Its extents are
 * pinned then: they are not used again until the worker says that nobody does. User code goes on to use
 * memory of its own that is pinned: it is moved, that is, other pages appear at its address.
 */
#ifndef MNI_CLIENT_ARENA_H
#define MNI_CLIENT_ARENA_H

#include "executor/channel.h"

/* Extents begin on pages, so that no two of them share one. */
#define MNI_ARENA_ALIGN ((size_t)4096)

typedef struct mni_extent {
    struct mni_extent *next; /* by offset */
    size_t offset, size;
    bool user;                /* from mn_alloc() */
    bool given;               /* back, but pinned */
    unsigned pins;            /* maps whose executors may still write here */
    struct mni_extent *moved; /* user: the extent whose pages it shows; NULL: its own */
} mni_extent_t;

typedef struct mni_pin {
    struct mni_pin *next;
    uint64_t map;
    size_t offset;
} mni_pin_t;

typedef struct mni_arena {
    mni_channel_t *channel;
    uint8_t *base;
    size_t limit;   /* bytes that there are */
    size_t touched; /* end of what may have pages */
    mni_extent_t *extents;
    mni_pin_t *pins;
} mni_arena_t;

void mni_arena_init(mni_arena_t *arena, mni_channel_t *channel);
void mni_arena_fini(mni_arena_t *arena);

/* Finds room for `size` bytes, at a multiple of MNI_ARENA_ALIGN. It has no pages yet:
 * mni_arena_reserve() before use. MN_E_TOO_LARGE when no gap is large enough, MN_E_NO_MEMORY. */
int mni_arena_take(mni_arena_t *arena, size_t size, bool user, size_t *offset);

/* Makes pages for a range of an extent. */
int mni_arena_reserve(mni_arena_t *arena, size_t offset, size_t size);

/* Gives an extent back, and its pages when it is large. Unknown offsets are ignored. */
void mni_arena_give(mni_arena_t *arena, size_t offset);

/* The extent of mn_alloc() that holds these bytes; NULL: they lie elsewhere. */
mni_extent_t *mni_arena_find(const mni_arena_t *arena, const void *data, size_t size);

/* Where in the arena a byte of such an extent is. */
size_t mni_arena_offset(const mni_arena_t *arena, const mni_extent_t *extent, const void *data);

/* Pins an extent for a map, or for ever; and ends all pins of a map. Without memory for the note an extent stays
 * pinned. */
void mni_arena_pin(mni_arena_t *arena, size_t offset, uint64_t map);
void mni_arena_unpin(mni_arena_t *arena, uint64_t map);

/* The same for memory of user code, which then sees a copy of it at the same address. MN_E_NO_MEMORY, MN_E_SYSTEM: it
 * is pinned, but stays as it is. */
int mni_arena_pin_user(mni_arena_t *arena, size_t offset, uint64_t map);

/* At the end of a task: gives back what no later one should carry, the extents of mn_alloc() too. */
void mni_arena_trim(mni_arena_t *arena);

#endif
