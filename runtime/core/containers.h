/* SPDX-License-Identifier: MIT
 *
 * Containers of the core: what they hold carries its link, node or leaf, so that most need no memory
 * and cannot fail. For core/ only; one thread.
 */
#ifndef MNI_CORE_CONTAINERS_H
#define MNI_CORE_CONTAINERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MNI_CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* --- table.c: a chained hash table of things that carry their link; insertion cannot fail  */

typedef struct mni_link {
    struct mni_link *next, **at; /* at: what points to it, so that taking it out looks nothing up */
} mni_link_t;

typedef uint64_t mni_hash_t(const mni_link_t *link);

typedef struct mni_table {
    mni_link_t **buckets;
    size_t mask, count;
    mni_hash_t *hash;
} mni_table_t;

int mni_table_init(mni_table_t *table, mni_hash_t *hash);
void mni_table_fini(mni_table_t *table);
void mni_table_insert(mni_table_t *table, mni_link_t *link);
void mni_table_remove(mni_table_t *table, mni_link_t *link);
/* Head of the chain in which things with this hash are. */
static inline mni_link_t *mni_table_chain(const mni_table_t *table, uint64_t hash)
{
    return table->buckets[hash & table->mask];
}
static inline uint64_t mni_hash_number(uint64_t number)
{
    number ^= number >> 33; /* the finalizer of MurmurHash3 */
    number *= UINT64_C(0xff51afd7ed558ccd);
    number ^= number >> 33;
    number *= UINT64_C(0xc4ceb9fe1a85ec53);
    return number ^ number >> 33;
}
uint64_t mni_hash_bytes(const void *bytes, size_t size);

/* --- heap.c: a pairing heap of things that carry their node; insertion cannot fail ----- */

typedef struct mni_heap_node {
    struct mni_heap_node *child, *next, *prev; /* prev of a first child is its parent */
} mni_heap_node_t;

typedef bool mni_before_t(const mni_heap_node_t *a, const mni_heap_node_t *b);

typedef struct mni_heap {
    mni_heap_node_t *top; /* NULL when empty */
    mni_before_t *before;
} mni_heap_t;

void mni_heap_insert(mni_heap_t *heap, mni_heap_node_t *node);
void mni_heap_remove(mni_heap_t *heap, mni_heap_node_t *node);

/* --- pool.c: memory for many things of one size ---------------------------------------- */

#define MNI_POOL_CHUNK 32768u /* of any number of cache lines they fill whole huge pages */
#define MNI_POOL_BITS 28u     /* of a thing's number */
#define MNI_POOL_MOST (1u << MNI_POOL_BITS)
#define MNI_POOL_SEEN \
    32u /* bytes at the front of a thing that may be read when it was given back */

typedef struct mni_pool {
    char **chunks;
    uint32_t chunk_count, chunk_room, made, used;
    size_t size; /* of a thing, rounded up to whole cache lines */
    void *spare; /* the list of those given back */
} mni_pool_t;

void mni_pool_init(mni_pool_t *pool, size_t size);
void mni_pool_fini(mni_pool_t *pool);
void *mni_pool_take(mni_pool_t *pool, uint32_t *number); /* zeroed; NULL: no memory */
/* Overwrites the first 16 bytes of it. */
void mni_pool_give(mni_pool_t *pool, void *thing, uint32_t number);
size_t mni_pool_mapped(const mni_pool_t *pool); /* bytes of all things ever made; not from malloc */
/* The thing with a number below pool->made; it may have been given back. */
static inline void *mni_pool_at(const mni_pool_t *pool, uint32_t number)
{
    return pool->chunks[number / MNI_POOL_CHUNK] + number % MNI_POOL_CHUNK * pool->size;
}

/* --- tree.c: a treap of things that carry their leaf; insertion cannot fail ------------ */

/* One cache line. */
typedef struct mni_leaf {
    struct mni_leaf *left, *right;
    uint64_t order[2];              /* its place: the first counts most, then `number` */
    uint64_t other_has, other_most; /* the second quantity, and the most of it in the subtree */
    uint32_t has, most;             /* the first one */
    uint32_t number;
    uint32_t weight; /* random; 0: not in the tree */
} mni_leaf_t;

typedef struct mni_tree {
    mni_leaf_t *top;
    uint64_t random;
} mni_tree_t;

void mni_tree_insert(mni_tree_t *tree, mni_leaf_t *leaf);
void mni_tree_remove(mni_tree_t *tree, mni_leaf_t *leaf); /* nothing happens when it is not in */
/* Changes the order of one that is in. */
void mni_tree_move(mni_tree_t *tree, mni_leaf_t *leaf, const uint64_t order[2]);
/* The first in the order that has at least so much of both; NULL: none. */
mni_leaf_t *mni_tree_first(const mni_tree_t *tree, uint32_t least, uint64_t other_least);

/* --- index.c: numbers of things, found by a hash of their ids -------------------------- */

typedef struct mni_slot {
    uint32_t hash;   /* the low half of it */
    uint32_t number; /* plus 1; 0: free */
} mni_slot_t;

typedef struct mni_index {
    mni_slot_t *slots;
    size_t mask, count;
} mni_index_t;

int mni_index_init(mni_index_t *index);
void mni_index_fini(mni_index_t *index);
size_t mni_index_mapped(const mni_index_t *index); /* bytes that are not from malloc */
int mni_index_reserve(mni_index_t *index); /* room for one more; after that inserting cannot fail */
void mni_index_insert(mni_index_t *index, uint64_t hash, uint32_t number);
void mni_index_remove(mni_index_t *index, uint64_t hash, uint32_t number); /* it must be there */

/* Fetches what is needed soon into the cache, whole lines of it, without waiting: most of what a
 * decision costs on a large machine is memory that has not been looked at for long. */
static inline void mni_prefetch(const void *thing, size_t size)
{
    for (size_t i = 0; i < size; i += 64)
        __builtin_prefetch((const char *)thing + i);
}

#endif
