/* SPDX-License-Identifier: MIT
 *
 * What the map benchmarks compute, the same in ours and in the hand-written MPI programs beside them: a hash of an item
 * of 64 bytes, of about 20 ns, repeated as often as the load says, each time with the result before as its seed.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM_BYTES 64

typedef struct load {
    const char *name;
    size_t items;
    uint32_t times; /* how often an item is hashed */
    uint32_t
        cluster_times; /* the same for 1% of the items, all together at the third quarter; 0: none */
} load_t;

static const load_t loads[] = {
    {"hash", 1000000, 1, 0},        /* 20 ns an item */
    {"few", 100000, 1, 0},          /* the same, for what is slow */
    {"ten", 20000, 500, 0},         /* 10 us an item */
    {"cluster", 10000, 500, 50000}, /* 10 us an item, 1 ms in the cluster */
};

static inline uint64_t hash_item(const void *item, uint64_t seed)
{
    const uint8_t *bytes = item;
    uint64_t value = UINT64_C(0x9e3779b97f4a7c15) ^ seed, word;
    for (int i = 0; i < ITEM_BYTES; i += 8) {
        memcpy(&word, bytes + i, sizeof word);
        value = (value ^ word) * UINT64_C(0xff51afd7ed558ccd);
        value ^= value >> 32;
        if (i % 16 == 0)
            value = (value ^ value >> 29) * UINT64_C(0xc4ceb9fe1a85ec53);
    }
    return value;
}

/* Maps before those that are measured: until the memory is mapped wherever it is worked on. */
#define WARM_RUNS 8

/* The first bytes of an item say how often it is hashed. */
static inline uint64_t work_item(const void *item)
{
    uint32_t times;
    uint64_t value = 0;
    memcpy(&times, item, sizeof times);
    do
        value = hash_item(item, value);
    while (--times > 0);
    return value;
}

static inline const load_t *load_find(const char *name)
{
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++)
        if (strcmp(loads[i].name, name) == 0)
            return &loads[i];
    fprintf(stderr, "no load is called %s: hash, few, ten, cluster\n", name);
    exit(2);
}

static inline void load_fill(const load_t *load, uint8_t *items)
{
    uint64_t state = 42;
    for (size_t i = 0; i < load->items; i++) {
        bool slow = load->cluster_times && i >= load->items / 4 * 3 &&
                    i < load->items / 4 * 3 + load->items / 100;
        uint32_t times = slow ? load->cluster_times : load->times;
        for (size_t k = 0; k < ITEM_BYTES; k += 8) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
            memcpy(items + i * ITEM_BYTES + k, &state, sizeof state);
        }
        memcpy(items + i * ITEM_BYTES, &times, sizeof times);
    }
}

static inline void load_check(const load_t *load, const uint8_t *items, const uint64_t *results)
{
    size_t step = load->times > 1 ? 997 : 97;
    for (size_t i = 0; i < load->items; i += step)
        if (results[i] != work_item(items + i * ITEM_BYTES)) {
            fprintf(stderr, "item %zu has a wrong result\n", i);
            exit(1);
        }
}

#endif
