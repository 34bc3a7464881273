/* SPDX-License-Identifier: MIT
 *
 * Memory for many things of one size, each with a number by which it is found again. What was given
 * back last is taken first, while it is still in the cache. The memory itself goes back to the
 * system with the pool: it stays as large as it ever was.
 */
#include "core/containers.h"
#include "util/pages.h"

#include <stdlib.h>
#include <string.h>

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(thing, size) ASAN_POISON_MEMORY_REGION(thing, size)
#define UNPOISON(thing, size) ASAN_UNPOISON_MEMORY_REGION(thing, size)
#else
#define POISON(thing, size) ((void)(thing), (void)(size))
#define UNPOISON(thing, size) ((void)(thing), (void)(size))
#endif

#define LINE 64 /* bytes of a cache line, on which each thing begins */

/* A thing that was given back. */
typedef struct spare {
    struct spare *next;
    uint32_t number;
} spare_t;

void mni_pool_init(mni_pool_t *pool, size_t size)
{
    *pool = (mni_pool_t){.size = (size + LINE - 1) / LINE * LINE};
}

static size_t chunk_bytes(const mni_pool_t *pool)
{
    return pool->size * MNI_POOL_CHUNK;
}

void mni_pool_fini(mni_pool_t *pool)
{
    for (uint32_t i = 0; i < pool->made; i++)
        UNPOISON(mni_pool_at(pool, i), pool->size);
    for (uint32_t i = 0; i < pool->chunk_count; i++)
        mni_pages_unmap(pool->chunks[i], chunk_bytes(pool));
    free(pool->chunks);
    *pool = (mni_pool_t){.size = pool->size};
}

size_t mni_pool_mapped(const mni_pool_t *pool)
{
    return (size_t)pool->made * pool->size;
}

static bool add_chunk(mni_pool_t *pool)
{
    char *chunk;

    if (pool->chunk_count == MNI_POOL_MOST / MNI_POOL_CHUNK)
        return false;
    if (pool->chunk_count == pool->chunk_room) {
        uint32_t room = pool->chunk_room ? pool->chunk_room * 2 : 16;
        char **chunks = realloc(pool->chunks, room * sizeof *chunks);
        if (!chunks)
            return false;
        pool->chunks = chunks;
        pool->chunk_room = room;
    }
    chunk = mni_pages_map(chunk_bytes(pool), pool->chunk_count == 0 ? MNI_PAGE : 0);
    if (!chunk)
        return false;
    pool->chunks[pool->chunk_count++] = chunk;
    return true;
}

void *mni_pool_take(mni_pool_t *pool, uint32_t *number)
{
    spare_t *spare = pool->spare;
    void *thing = spare;

    if (spare) {
        UNPOISON(spare, pool->size);
        *number = spare->number;
        pool->spare = spare->next;
    } else {
        if (pool->made == pool->chunk_count * MNI_POOL_CHUNK && !add_chunk(pool))
            return NULL;
        *number = pool->made++;
        thing = mni_pool_at(pool, *number);
    }
    pool->used++;
    return memset(thing, 0, pool->size);
}

void mni_pool_give(mni_pool_t *pool, void *thing, uint32_t number)
{
    spare_t *spare = thing;

    *spare = (spare_t){.next = pool->spare, .number = number};
    pool->spare = spare;
    pool->used--;
    POISON((char *)thing + MNI_POOL_SEEN, pool->size - MNI_POOL_SEEN);
}
