/* SPDX-License-Identifier: MIT
 *
 * The work of the map benchmarks with StarPU: tasks of CHUNK items each, which read them and write their hashes.
 * Built where StarPU is installed. Prints the seconds of each run, the first one apart.
 *
 *     peer_starpu ITEMS CHUNK RUNS
 */
#include "workload.h"

#include <starpu.h>
#include <time.h>

static void compute(void *buffers[], void *argument)
{
    const uint8_t *items = (const uint8_t *)STARPU_VECTOR_GET_PTR(buffers[0]);
    uint64_t *results = (uint64_t *)STARPU_VECTOR_GET_PTR(buffers[1]);
    (void)argument;
    for (size_t i = 0; i < STARPU_VECTOR_GET_NX(buffers[1]); i++)
        results[i] = work_item(items + i * ITEM_BYTES);
}

static struct starpu_codelet codelet = {
    .cpu_funcs = {compute}, .nbuffers = 2, .modes = {STARPU_R, STARPU_W}};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void run(const uint8_t *items, uint64_t *results, size_t count, size_t chunk)
{
    for (size_t first = 0; first < count; first += chunk) {
        size_t size = count - first < chunk ? count - first : chunk;
        starpu_data_handle_t in, out;
        starpu_vector_data_register(&in, STARPU_MAIN_RAM, (uintptr_t)(items + first * ITEM_BYTES),
                                    (uint32_t)size, ITEM_BYTES);
        starpu_vector_data_register(&out, STARPU_MAIN_RAM, (uintptr_t)(results + first),
                                    (uint32_t)size, sizeof *results);
        if (starpu_task_insert(&codelet, STARPU_R, in, STARPU_W, out, 0) != 0) {
            fprintf(stderr, "a task was refused\n");
            exit(1);
        }
        starpu_data_unregister_submit(in);
        starpu_data_unregister_submit(out);
    }
    starpu_task_wait_for_all();
}

int main(int argc, char **argv)
{
    load_t load = {"items", argc == 4 ? (size_t)atol(argv[1]) : 0, 1, 0};
    size_t chunk = argc == 4 ? (size_t)atol(argv[2]) : 0;
    if (load.items == 0 || chunk == 0) {
        fprintf(stderr, "usage: peer_starpu ITEMS CHUNK RUNS\n");
        return 2;
    }
    uint8_t *items = malloc(load.items * ITEM_BYTES);
    uint64_t *results = calloc(load.items, sizeof *results);
    if (!items || !results || starpu_init(NULL) != 0) {
        fprintf(stderr, "StarPU does not begin\n");
        return 1;
    }
    load_fill(&load, items);
    for (int i = -1; i < atoi(argv[3]); i++) {
        double begin = now();
        run(items, results, load.items, chunk);
        printf("%s %.9f\n", i < 0 ? "first" : "run", now() - begin);
        load_check(&load, items, results);
    }
    starpu_shutdown();
    free(items);
    free(results);
    return 0;
}
