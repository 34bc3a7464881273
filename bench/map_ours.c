/* SPDX-License-Identifier: MIT
 *
 * A map of multinode, timed: map_ours LOAD ordinary|alloc items|blocks RUNS [MAX_BLOCK]. Prints the seconds of each run, the
 * first ones apart. The function is called for each item, or for each block of them. MAX_BLOCK: at most so many items
 * travel together.
 */
#include "workload.h"

#include <multinode.h>

#include <time.h>

MN_FUNCTION(work, .cpu = 1);
MN_FUNCTION(work_blocks, .cpu = 1, .blockwise = true);

static int work(mn_task_t *task, mn_value_t input)
{
    uint64_t result = work_item(input.data);
    return mn_yield(task, mn_bytes(&result, sizeof result));
}

static int work_blocks(mn_task_t *task, mn_value_t input)
{
    const uint8_t *items = input.data;
    uint64_t *results = mn_block_results(task);
    for (size_t i = 0; i < input.size / ITEM_BYTES; i++)
        results[i] = work_item(items + i * ITEM_BYTES);
    return 0;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *get_memory(mn_task_t *task, bool own, size_t size)
{
    void *memory = NULL;
    if (own ? mn_alloc(task, size, &memory) < 0 : !(memory = malloc(size))) {
        fprintf(stderr, "no memory: %s\n", mn_error_message());
        exit(1);
    }
    memset(memory, 1, size);
    return memory;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: map_ours LOAD ordinary|alloc items|blocks RUNS [MAX_BLOCK]\n");
        return 2;
    }
    const load_t *load = load_find(argv[1]);
    mn_map_options_t map = {.max_block = argc > 5 ? (size_t)atol(argv[5]) : 0};
    bool own = strcmp(argv[2], "alloc") == 0;
    mn_entry_t *function = strcmp(argv[3], "blocks") == 0 ? work_blocks : work;
    uint8_t *items = get_memory(task, own, load->items * ITEM_BYTES);
    uint64_t *results = get_memory(task, own, load->items * sizeof *results);

    load_fill(load, items);
    for (int run = -WARM_RUNS; run < atoi(argv[4]); run++) {
        double begin = now();
        int rc = mn_map_fixed(task, function, items, ITEM_BYTES, load->items, results,
                              sizeof *results, &map);
        double seconds = now() - begin;
        if (rc < 0) {
            fprintf(stderr, "%s\n", mn_error_message());
            return 1;
        }
        load_check(load, items, results);
        printf("%s %.9f\n", run < 0 ? "warm" : "run", seconds);
    }
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
