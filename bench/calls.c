/* SPDX-License-Identifier: MIT
 *
 * One call after the other from the driver, each to a function that gives 64 bytes back as 8: what a warm one costs,
 * beside a round trip between two bare processes, in turn. The first call, which begins the executor, is apart.
 *
 *     calls [RUNS [CALLS]]
 */
#include "futex.h"
#include "workload.h"

MN_FUNCTION(hash_once, .cpu = 1);

static int hash_once(mn_task_t *task, mn_value_t input)
{
    uint64_t result = work_item(input.data);
    return mn_yield(task, mn_bytes(&result, sizeof result));
}

/* Seconds for each of `count` calls; negative: one has failed. */
static double calls(mn_task_t *task, const uint8_t *item, size_t count)
{
    uint64_t expected = work_item(item);
    int64_t begin = measure_now();
    for (size_t i = 0; i < count; i++) {
        mn_value_t result = mn_none();
        if (mn_call(task, hash_once, mn_bytes(item, ITEM_BYTES), &result) < 0)
            return -1;
        bool good =
            result.size == sizeof expected && memcmp(result.data, &expected, sizeof expected) == 0;
        mn_value_destroy(&result);
        if (!good) {
            fprintf(stderr, "a wrong result\n");
            exit(1);
        }
    }
    return 1e-9 * (double)(measure_now() - begin) / (double)count;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    size_t runs = measure_count(argc, argv, 1, 7), count = measure_count(argc, argv, 2, 5000);
    uint8_t item[ITEM_BYTES] = {1};
    double seconds = calls(task, item, 1);
    if (seconds < 0)
        return measure_failed("mn_call");
    measure_say("first", seconds);
    if (calls(task, item, count / 10 + 1) < 0)
        return measure_failed("mn_call");
    for (size_t run = 0; run < runs; run++) {
        double bare = futex_measure(false, count), apart = futex_measure(true, count);
        if (bare < 0 || apart < 0) {
            fprintf(stderr, "the processes beside it could not be made\n");
            return 1;
        }
        measure_say("futex", bare);
        measure_say("futex_apart", apart);
        if ((seconds = calls(task, item, count)) < 0)
            return measure_failed("mn_call");
        measure_say("call", seconds);
    }
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
