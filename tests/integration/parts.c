/* SPDX-License-Identifier: MIT
 *
 * Maps that are larger than what is copied at once: they go part by part, and nobody notices. With the argument "large"
 * one of some hundred MiB, which does so on any system; the others are run where the shared memory is small.
 */
#include "places.h"

#define ITEM_BYTES ((size_t)64 << 10)
enum { ITEMS = 800, FAILING = 700 }; /* 50 MiB */

MN_FUNCTION(sum_bytes, .cpu = 0.5);
MN_FUNCTION(sum_blocks, .cpu = 0.5, .blockwise = true);
MN_FUNCTION(repeat, .cpu = 0.5);

static uint64_t sum_of(const unsigned char *item)
{
    uint64_t sum = 0, word;
    for (size_t i = 0; i < ITEM_BYTES; i += sizeof word) {
        memcpy(&word, item + i, sizeof word);
        sum = sum * 31 + word;
    }
    return sum;
}

/* An item that begins with 0xff fails. */
static int sum_bytes(mn_task_t *task, mn_value_t input)
{
    const unsigned char *item = input.data;
    if (item[0] == 0xff)
        return mn_fail(task, MN_E_STORE, "as it should");
    uint64_t sum = sum_of(item);
    return mn_yield(task, mn_bytes(&sum, sizeof sum));
}

static int sum_blocks(mn_task_t *task, mn_value_t input)
{
    uint64_t *sums = mn_block_results(task);
    for (size_t i = 0; i < input.size / ITEM_BYTES; i++)
        sums[i] = sum_of((const unsigned char *)input.data + i * ITEM_BYTES);
    return 0;
}

static int repeat(mn_task_t *task, mn_value_t input)
{
    if (input.size > 0 && *(const unsigned char *)input.data == 0xff)
        return mn_fail(task, MN_E_STORE, "as it should");
    return mn_yield(task, input);
}

static unsigned char *make_items(size_t count)
{
    unsigned char *items = malloc(count * ITEM_BYTES);
    for (size_t i = 0; items && i < count; i++) {
        memset(items + i * ITEM_BYTES, (int)(i % 200), ITEM_BYTES);
        memcpy(items + i * ITEM_BYTES + 16, &i, sizeof i);
    }
    return items;
}

static void fixed_sizes(mn_task_t *task, mn_entry_t *function, size_t count)
{
    unsigned char *items = make_items(count);
    uint64_t *sums = calloc(count, sizeof *sums);
    REQUIRE(items && sums);
    CHECK_CODE(mn_map_fixed(task, function, items, ITEM_BYTES, count, sums, sizeof *sums, NULL), 0);
    for (size_t i = 0; i < count; i++)
        if (sums[i] != sum_of(items + i * ITEM_BYTES)) {
            check_fail("item %zu has a wrong result", i);
            break;
        }
    free(items);
    free(sums);
}

static void items_of_fixed_size(mn_task_t *task)
{
    fixed_sizes(task, sum_bytes, ITEMS);
    fixed_sizes(task, sum_blocks, ITEMS);
}

/* The index is that in the whole. */
static void failing_items(mn_task_t *task)
{
    unsigned char *items = make_items(ITEMS);
    static uint64_t sums[ITEMS];
    static mn_item_error_t errors[ITEMS];
    size_t failed = 0;

    REQUIRE(items != NULL);
    items[FAILING * ITEM_BYTES] = 0xff;
    CHECK_REFUSED(mn_map_fixed(task, sum_bytes, items, ITEM_BYTES, ITEMS, sums, sizeof *sums,
                               &(mn_map_options_t){.failed = &failed}),
                  MN_E_STORE);
    CHECK(failed == FAILING && strstr(mn_error_message(), "item 700 "));
    items[5 * ITEM_BYTES] = 0xff;
    CHECK_CODE(mn_map_fixed(task, sum_bytes, items, ITEM_BYTES, ITEMS, sums, sizeof *sums,
                            &(mn_map_options_t){.errors = errors}),
               0);
    for (int i = 0; i < ITEMS; i++)
        if ((errors[i].code != 0) != (i == 5 || i == FAILING))
            check_fail("item %d: %s", i, mn_error_name(errors[i].code));
    mn_item_errors_destroy(errors, ITEMS);
    free(items);
}

static bool same(mn_value_t value, const unsigned char *item)
{
    return value.size == ITEM_BYTES && memcmp(value.data, item, ITEM_BYTES) == 0;
}

static void values(mn_task_t *task)
{
    unsigned char *items = make_items(ITEMS);
    static mn_value_t arguments[ITEMS], results[ITEMS];
    static mn_item_error_t errors[ITEMS];
    size_t failed = 0, wrong = 0;

    REQUIRE(items != NULL);
    for (size_t i = 0; i < ITEMS; i++)
        arguments[i] = mn_bytes(items + i * ITEM_BYTES, ITEM_BYTES);
    CHECK_CODE(mn_map_values(task, repeat, arguments, ITEMS, results, NULL), 0);
    for (size_t i = 0; i < ITEMS; i++) {
        wrong += !same(results[i], items + i * ITEM_BYTES);
        mn_value_destroy(&results[i]);
    }
    CHECK(wrong == 0);
    items[FAILING * ITEM_BYTES] = 0xff;
    CHECK_REFUSED(mn_map_values(task, repeat, arguments, ITEMS, results,
                                &(mn_map_options_t){.failed = &failed}),
                  MN_E_STORE);
    CHECK(failed == FAILING && strstr(mn_error_message(), "item 700 ") && results[0].data == NULL);
    CHECK_CODE(mn_map_values(task, repeat, arguments, ITEMS, results,
                             &(mn_map_options_t){.errors = errors}),
               0);
    for (size_t i = 0; i < ITEMS; i++) {
        CHECK((errors[i].code != 0) == (i == FAILING));
        CHECK(i == FAILING ? results[i].size == 0 : same(results[i], items + i * ITEM_BYTES));
        mn_value_destroy(&results[i]);
    }
    mn_item_errors_destroy(errors, ITEMS);
    free(items);
}

static void streams(mn_task_t *task)
{
    unsigned char *items = make_items(ITEMS);
    static mn_value_t arguments[ITEMS];
    mn_map_stream_t *stream = NULL, *left = NULL;
    mn_value_t result;

    REQUIRE(items != NULL);
    items[FAILING * ITEM_BYTES] = 0xff;
    for (size_t i = 0; i < ITEMS; i++)
        arguments[i] = mn_bytes(items + i * ITEM_BYTES, ITEM_BYTES);
    REQUIRE_CODE(mn_map_open(task, repeat, arguments, ITEMS, NULL, &stream), 0);
    for (size_t i = 0; i < ITEMS; i++) {
        int rc = mn_map_next(stream, &result);
        if (rc != (i == FAILING ? MN_E_STORE : 0))
            check_fail("item %zu: %s", i, mn_error_name(rc));
        if (rc == 0) {
            CHECK(same(result, items + i * ITEM_BYTES));
            mn_value_destroy(&result);
        }
    }
    CHECK_CODE(mn_map_next(stream, &result), MN_E_END);
    mn_map_close(stream);
    /* Closed, and left open, in the middle. */
    REQUIRE_CODE(mn_map_open(task, repeat, arguments, ITEMS, NULL, &stream), 0);
    for (int i = 0; i < 300; i++) {
        REQUIRE_CODE(mn_map_next(stream, &result), 0);
        mn_value_destroy(&result);
    }
    mn_map_close(stream);
    CHECK_REFUSED(mn_map_next(stream, &result), MN_E_INVALID);
    REQUIRE_CODE(mn_map_open(task, repeat, arguments, 3, NULL, &left), 0);
    REQUIRE_CODE(mn_map_next(left, &result), 0);
    mn_value_destroy(&result);
    mn_map_close(left);
    free(items);
}

static bool large_only;

static void larger_than_a_part(mn_task_t *task)
{
    fixed_sizes(task, sum_blocks, (size_t)320 << 20 >> 16);
}

static void rows(mn_task_t *task, const char *where)
{
    if (large_only) {
        if (strcmp(where, "driver") == 0 || strcmp(where, "job") == 0)
            RUN(task, larger_than_a_part);
        return;
    }
    RUN(task, items_of_fixed_size);
    RUN(task, failing_items);
    RUN(task, values);
    RUN(task, streams);
}

int main(int argc, char **argv)
{
    large_only = argc > 1 && strcmp(argv[1], "large") == 0;
    return mn_main(argc, argv, places_driver);
}
