/* SPDX-License-Identifier: MIT
 *
 * Extents of the caller's half of the arena: first fit. A task has as many as it has open maps and
 * blocks from mn_alloc(), which is few.
 */
#include "client/arena.h"

#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* Pages of a larger extent are given back with it. Making them anew costs more than the copy into them did, so a map
 * of common size that is called again and again finds them. */
#define KEEP_EXTENT ((size_t)256 << 20)
/* What a process keeps from one task to the next. */
#define KEEP_TASK ((size_t)1 << 20)

void mni_arena_init(mni_arena_t *arena, mni_channel_t *channel)
{
    *arena = (mni_arena_t){.channel = channel,
                           .base = mni_channel_arena(channel, NULL),
                           .limit = mni_channel_block_offset(channel)};
}

void mni_arena_fini(mni_arena_t *arena)
{
    while (arena->extents) {
        mni_extent_t *next = arena->extents->next;
        free(arena->extents);
        arena->extents = next;
    }
    while (arena->pins) {
        mni_pin_t *next = arena->pins->next;
        free(arena->pins);
        arena->pins = next;
    }
    if (arena->channel && arena->touched > 0)
        mni_channel_release(arena->channel, 0, arena->touched);
    *arena = (mni_arena_t){0};
}

int mni_arena_take(mni_arena_t *arena, size_t size, bool user, size_t *offset)
{
    mni_extent_t **link = &arena->extents;
    size_t begin = 0;

    if (size > arena->limit - MNI_ARENA_ALIGN)
        return mni_error(MN_E_TOO_LARGE,
                         "a map of %zu bytes of arguments and results; the limit is %zu", size,
                         arena->limit - MNI_ARENA_ALIGN);
    if (size == 0)
        size = 1; /* so that no two extents begin at one offset */
    size = (size + MNI_ARENA_ALIGN - 1) / MNI_ARENA_ALIGN * MNI_ARENA_ALIGN;
    for (; *link && (*link)->offset - begin < size; link = &(*link)->next)
        begin = (*link)->offset + (*link)->size;
    if (!*link && size > arena->limit - begin)
        return mni_error(
            MN_E_TOO_LARGE,
            "a map of %zu bytes of arguments and results beside the maps that are open; "
            "the limit for all of them is %zu",
            size, arena->limit);
    mni_extent_t *extent = malloc(sizeof *extent);
    if (!extent)
        return mni_error(MN_E_NO_MEMORY, "no memory for a map");
    *extent = (mni_extent_t){.next = *link, .offset = begin, .size = size, .user = user};
    *link = extent;
    *offset = begin;
    return 0;
}

int mni_arena_reserve(mni_arena_t *arena, size_t offset, size_t size)
{
    if (offset + size > arena->touched)
        arena->touched = offset + size;
    return mni_channel_reserve(arena->channel, offset, size);
}

static mni_extent_t *extent_at(const mni_arena_t *arena, size_t offset)
{
    mni_extent_t *extent = arena->extents;
    while (extent && extent->offset != offset)
        extent = extent->next;
    return extent;
}

/* Its own pages appear in its place again; the others are given back. */
static void move_back(mni_arena_t *arena, mni_extent_t *extent)
{
    size_t other = extent->moved->offset;
    mni_channel_show(arena->channel, extent->offset, extent->offset, extent->size);
    extent->moved = NULL;
    mni_arena_give(arena, other);
}

void mni_arena_give(mni_arena_t *arena, size_t offset)
{
    mni_extent_t *moved = extent_at(arena, offset);
    if (moved && moved->moved)
        move_back(arena, moved);
    for (mni_extent_t **link = &arena->extents; *link; link = &(*link)->next) {
        mni_extent_t *extent = *link;
        if (extent->offset != offset)
            continue;
        if (extent->pins > 0) {
            extent->given = true;
            return;
        }
        if (extent->size > KEEP_EXTENT)
            mni_channel_release(arena->channel, extent->offset, extent->size);
        *link = extent->next;
        free(extent);
        return;
    }
}

mni_extent_t *mni_arena_find(const mni_arena_t *arena, const void *data, size_t size)
{
    const uint8_t *at = data;
    if (at < arena->base || at >= arena->base + arena->limit)
        return NULL;
    size_t offset = (size_t)(at - arena->base);
    for (mni_extent_t *extent = arena->extents; extent && extent->offset <= offset;
         extent = extent->next)
        if (offset - extent->offset < extent->size &&
            size <= extent->size - (offset - extent->offset))
            return extent->user && !extent->given ? extent : NULL;
    return NULL;
}

size_t mni_arena_offset(const mni_arena_t *arena, const mni_extent_t *extent, const void *data)
{
    size_t offset = (size_t)((const uint8_t *)data - arena->base);
    return extent->moved ? offset - extent->offset + extent->moved->offset : offset;
}

void mni_arena_pin(mni_arena_t *arena, size_t offset, uint64_t map)
{
    mni_extent_t *extent = extent_at(arena, offset);
    mni_pin_t *pin = extent ? malloc(sizeof *pin) : NULL;
    if (extent)
        extent->pins++; /* without memory for the pin: for ever */
    if (!pin)
        return;
    *pin = (mni_pin_t){.next = arena->pins, .map = map, .offset = offset};
    arena->pins = pin;
}

void mni_arena_unpin(mni_arena_t *arena, uint64_t map)
{
    for (mni_pin_t **link = &arena->pins; *link;) {
        mni_pin_t *pin = *link;
        if (pin->map != map) {
            link = &pin->next;
            continue;
        }
        mni_extent_t *extent = extent_at(arena, pin->offset);
        *link = pin->next;
        if (extent && --extent->pins == 0 && extent->given)
            mni_arena_give(arena, pin->offset);
        free(pin);
    }
}

int mni_arena_pin_user(mni_arena_t *arena, size_t offset, uint64_t map)
{
    mni_extent_t *extent = extent_at(arena, offset);
    size_t other;

    if (!extent || !extent->user || extent->given)
        return 0;
    mni_extent_t *written = extent->moved ? extent->moved : extent;
    mni_arena_pin(arena, written->offset, map);
    int rc = mni_arena_take(arena, extent->size, false, &other);
    if (rc < 0)
        return rc;
    rc = mni_arena_reserve(arena, other, extent->size);
    if (rc == 0) {
        memcpy(arena->base + other, arena->base + offset, extent->size);
        rc = mni_channel_show(arena->channel, offset, other, extent->size);
    }
    if (rc < 0) {
        mni_arena_give(arena, other);
        return rc;
    }
    extent->moved = extent_at(arena, other);
    if (written != extent)
        mni_arena_give(arena, written->offset);
    return 0;
}

static void give_user_extents(mni_arena_t *arena)
{
    mni_extent_t *extent = arena->extents, *next;
    for (; extent; extent = next) {
        next = extent->next;
        if (!extent->user || extent->given)
            continue;
        mni_arena_give(arena, extent->offset);
        next = arena->extents; /* what it had moved to is gone as well */
    }
}

void mni_arena_trim(mni_arena_t *arena)
{
    give_user_extents(arena);
    if (arena->extents || arena->touched <= KEEP_TASK)
        return;
    mni_channel_release(arena->channel, KEEP_TASK, arena->touched - KEEP_TASK);
    arena->touched = KEEP_TASK;
}
