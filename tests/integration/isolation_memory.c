/* SPDX-License-Identifier: MIT
 *
 * Misdeeds of isolation.c: a task writes where it has no business, in its own heap and in what it shares with its worker.
 */
#include "isolation.h"

/* Of no quality, but the same in every run. */
static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state ^ *state >> 29;
}

__attribute__((no_sanitize("address"))) static void scribble(uint8_t *at, size_t size,
                                                             uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        ((volatile uint8_t *)at)[i] = (uint8_t)(next_random(&seed) >> 32);
}

/* The next mapping whose line in /proc/self/maps has `name`. */
static bool find_mapping(FILE *maps, const char *name, uint8_t **begin, uint8_t **end)
{
    char line[512];
    while (fgets(line, sizeof line, maps)) {
        void *from, *to;
        if (strstr(line, name) && sscanf(line, "%p-%p rw", &from, &to) == 2) {
            *begin = from;
            *end = to;
            return true;
        }
    }
    return false;
}

/* Random bytes over the beginning of each mapping of a name. */
static int scribble_mappings(mn_task_t *task, const char *name, size_t most, uint64_t seed)
{
    uint8_t *begin[8], *end[8];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && count < 8 && find_mapping(maps, name, &begin[count], &end[count]))
        count++;
    if (maps)
        fclose(maps);
    if (count == 0)
        return mn_fail(task, MN_E_FAILED, "there is no mapping named %s", name);
    for (int i = 0; i < count; i++)
        scribble(begin[i], (size_t)(end[i] - begin[i]) < most ? (size_t)(end[i] - begin[i]) : most,
                 seed + (uint64_t)i);
    return 0;
}

MISDEED(scribble_over_heap)
{
#ifdef __SANITIZE_ADDRESS__
    abort(); /* it has a heap of its own making elsewhere */
#endif
    return scribble_mappings(task, "[heap]", SIZE_MAX, 1);
}

/* Beyond the ends of blocks of all sizes, used and freed ones. */
__attribute__((no_sanitize("address"))) MISDEED(overrun_heap)
{
    enum { BLOCKS = 64 };
    uint8_t *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(16 + 40 * i);
    for (size_t i = 0; i < BLOCKS; i += 3)
        free(blocks[i]);
    for (size_t i = 1; i < BLOCKS; i += 3)
        scribble(blocks[i], 16 + 40 * i + 48, i);
    return 0;
}

__attribute__((no_sanitize("address"))) MISDEED(write_to_freed)
{
    enum { BLOCKS = 32 };
    uint8_t *volatile blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(24 + 24 * (i % 8));
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    for (size_t i = 0; i < BLOCKS; i++)
        scribble(blocks[i], 16, i);
    return 0;
}

/* The whole of what it shares with its worker, but for the arena. */
MISDEED(scribble_over_channel)
{
    return scribble_mappings(task, "memfd:multinode ", (size_t)1 << 20, 2);
}

/* Only the page with the positions of the rings. */
MISDEED(scribble_over_positions)
{
    return scribble_mappings(task, "memfd:multinode ", 4096, 3);
}

/* Then it goes on as if nothing had been. */
MISDEED(scribble_over_positions_and_yield)
{
    int rc = scribble_over_positions(task, roll);
    for (int i = 0; rc == 0 && i < 100; i++)
        mn_yield(task, mn_text("more"));
    return rc;
}

/* All but the first page: logs and rings. */
MISDEED(scribble_over_rings)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uint8_t *begin = NULL, *end = NULL;
    bool found = maps && find_mapping(maps, "memfd:multinode ", &begin, &end);
    if (maps)
        fclose(maps);
    if (!found)
        return mn_fail(task, MN_E_FAILED, "there is no channel");
    scribble(begin + 4096, ((size_t)1 << 20) - 4096, 4);
    for (int i = 0; i < 100; i++)
        mn_yield(task, mn_text("more"));
    return 0;
}

/* The rank's own, on which all its executors ring. */
MISDEED(scribble_over_doorbell)
{
    return scribble_mappings(task, "memfd:multinode-bell", 4096, 5);
}
