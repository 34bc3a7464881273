/* SPDX-License-Identifier: MIT
 *
 * How items are put together in blocks: functions that are given a block at once, and blocks that are too long for one
 * executor while another is idle.
 */
#include "places.h"

MN_FUNCTION(squares, .cpu = 0.5, .blockwise = true);
MN_FUNCTION(squares_yielded, .cpu = 0.5, .blockwise = true);
MN_FUNCTION(counts, .cpu = 0.5, .blockwise = true);
MN_FUNCTION(up_to_odd, .cpu = 0.5, .blockwise = true);
MN_FUNCTION(up_to_crash, .cpu = 0.5, .blockwise = true);
MN_FUNCTION(careless, .cpu = 0.5, .blockwise = true);
MN_FUNCTION(slow_end, .cpu = 0.5, .blockwise = true, .timeout = 0.3);
MN_FUNCTION(one_by_one, .cpu = 0.5);
MN_FUNCTION(uneven, .cpu = 0.5);

static size_t items_of(mn_value_t input)
{
    return input.size / sizeof(int64_t);
}

static int squares(mn_task_t *task, mn_value_t input)
{
    const int64_t *numbers = input.data;
    int64_t *results = mn_block_results(task);
    for (size_t i = 0; i < items_of(input); i++)
        results[i] = numbers[i] * numbers[i];
    return 0;
}

static int squares_yielded(mn_task_t *task, mn_value_t input)
{
    const int64_t *numbers = input.data;
    int64_t *results = malloc(input.size);
    for (size_t i = 0; results && i < items_of(input); i++)
        results[i] = numbers[i] * numbers[i];
    int rc = mn_yield(task, mn_array(MN_INT64, results, items_of(input)));
    free(results);
    return rc;
}

/* Each result says how many items its block had. */
static int counts(mn_task_t *task, mn_value_t input)
{
    int64_t *results = mn_block_results(task);
    for (size_t i = 0; i < items_of(input); i++)
        results[i] = (int64_t)items_of(input);
    return 0;
}

/* Fails at an odd number, crashes at a negative one, with what lies before it complete. */
static int up_to(mn_task_t *task, mn_value_t input)
{
    const int64_t *numbers = input.data;
    int64_t *results = mn_block_results(task);
    for (size_t i = 0; i < items_of(input); i++) {
        if (numbers[i] < 0)
            abort();
        if (numbers[i] % 2)
            return mn_fail(task, MN_E_STORE, "%lld is odd", (long long)numbers[i]);
        results[i] = numbers[i];
        int rc = mn_block_done(task, i + 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int up_to_odd(mn_task_t *task, mn_value_t input)
{
    return up_to(task, input);
}

static int up_to_crash(mn_task_t *task, mn_value_t input)
{
    return up_to(task, input);
}

/* By its first item: yields nothing; yields too few; calls what it must not; fails though all is complete. */
static int careless(mn_task_t *task, mn_value_t input)
{
    int64_t what;
    memcpy(&what, input.data, sizeof what);
    if (what == 1) {
        mn_yield(task, mn_bytes(&what, sizeof what));
    } else if (what == 2) {
        if (mn_block_done(task, items_of(input) + 1) != MN_E_INVALID ||
            mn_block_done(task, 1) != 0 || mn_block_done(task, 0) != MN_E_INVALID ||
            mn_block_done(NULL, 1) != MN_E_INVALID || mn_block_results(NULL) != NULL)
            return mn_fail(task, MN_E_FAILED, "a wrong call was not refused");
        return squares(task, input);
    } else if (what == 3) {
        squares(task, input);
        mn_block_done(task, items_of(input));
        return mn_fail(task, MN_E_STORE, "too late");
    }
    return 0;
}

/* A negative number takes longer than the timeout, which begins anew with each item that is complete. */
static int slow_end(mn_task_t *task, mn_value_t input)
{
    const int64_t *numbers = input.data;
    int64_t *results = mn_block_results(task);
    for (size_t i = 0; i < items_of(input); i++) {
        while (numbers[i] < 0)
            pause_ms(1000);
        results[i] = numbers[i];
        mn_block_done(task, i + 1);
    }
    return 0;
}

static int one_by_one(mn_task_t *task, mn_value_t input)
{
    int64_t number = value_int(input);
    if (mn_block_done(task, 1) != MN_E_WRONG_KIND || mn_block_results(task) != NULL)
        return mn_fail(task, MN_E_FAILED, "not blockwise, and not refused");
    return mn_yield(task, mn_bytes(&number, sizeof number));
}

/* --- blockwise ------------------------------------------------------------------------------------------ */

enum { MANY = 100000 };

static void map_squares(mn_task_t *task, mn_entry_t *function, bool own, size_t count,
                        size_t max_block)
{
    int64_t *numbers, *results;
    void *memory = NULL;
    if (own)
        REQUIRE_CODE(mn_alloc(task, 2 * count * sizeof *numbers, &memory), 0);
    else
        REQUIRE((memory = malloc(2 * count * sizeof *numbers)) != NULL);
    numbers = memory;
    results = numbers + count;
    for (size_t i = 0; i < count; i++)
        numbers[i] = (int64_t)i - 7;
    int rc = mn_map_fixed(task, function, numbers, sizeof *numbers, count, results, sizeof *results,
                          &(mn_map_options_t){.max_block = max_block});
    size_t wrong = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        wrong += results[i] != numbers[i] * numbers[i];
    if (rc != 0 || wrong != 0)
        check_fail("a map of %zu: %s, %zu wrong: %s", count, mn_error_name(rc), wrong,
                   mn_error_message());
    if (own)
        mn_free(memory);
    else
        free(memory);
}

static void blockwise(mn_task_t *task)
{
    for (size_t count = 1; count <= MANY; count *= 10)
        for (int own = 0; own < 2; own++) {
            map_squares(task, squares, own, count, 0);
            map_squares(task, squares_yielded, own, count, count / 7);
        }
}

static void many_items_in_a_call(mn_task_t *task)
{
    static int64_t numbers[MANY], results[MANY];
    int64_t most = 0;
    REQUIRE_CODE(mn_map(task, counts, numbers, MANY, results), 0);
    for (size_t i = 0; i < MANY; i++)
        most = results[i] > most ? results[i] : most;
    CHECK(most > 1);
    REQUIRE_CODE(mn_map_fixed(task, counts, numbers, sizeof *numbers, MANY, results,
                              sizeof *results, &(mn_map_options_t){.max_block = 3000}),
                 0);
    for (size_t i = 0; i < MANY; i++)
        if (results[i] < 1 || results[i] > 3000) {
            check_fail("a block of %lld items", (long long)results[i]);
            break;
        }
}

enum { MIXED = 40 };

static void blockwise_errors(mn_task_t *task)
{
    int64_t numbers[MIXED], results[MIXED];
    mn_item_error_t errors[MIXED] = {{0}};
    size_t failed = 999;
    for (int i = 0; i < MIXED; i++)
        numbers[i] = i == 23 ? 23 : 2 * i, results[i] = -1;
    CHECK_REFUSED(mn_map_fixed(task, up_to_odd, numbers, sizeof *numbers, MIXED, results,
                               sizeof *results, &(mn_map_options_t){.failed = &failed}),
                  MN_E_STORE);
    CHECK(failed == 23 && strstr(mn_error_message(), "23 is odd"));
    for (int i = 0; i < MIXED; i++)
        numbers[i] = i;
    REQUIRE_CODE(mn_map_fixed(task, up_to_odd, numbers, sizeof *numbers, MIXED, results,
                              sizeof *results, &(mn_map_options_t){.errors = errors}),
                 0);
    for (int i = 0; i < MIXED; i++)
        if (i % 2 ? errors[i].code != MN_E_STORE || results[i] != -1
                  : errors[i].code != 0 || results[i] != i)
            check_fail("item %d: %s, %lld", i, mn_error_name(errors[i].code),
                       (long long)results[i]);
    mn_item_errors_destroy(errors, MIXED);
    for (int i = 0; i < MIXED; i++)
        numbers[i] = i == 11 || i == 30 ? -1 : 2 * i;
    REQUIRE_CODE(mn_map_fixed(task, up_to_crash, numbers, sizeof *numbers, MIXED, results,
                              sizeof *results, &(mn_map_options_t){.errors = errors}),
                 0);
    for (int i = 0; i < MIXED; i++)
        if (numbers[i] < 0 ? errors[i].code != MN_E_CRASHED || errors[i].reason != MN_REASON_SIGNAL
                           : errors[i].code != 0 || results[i] != 2 * i)
            check_fail("item %d: %s, %lld", i, mn_error_name(errors[i].code),
                       (long long)results[i]);
    mn_item_errors_destroy(errors, MIXED);
    for (int i = 0; i < MIXED; i++)
        numbers[i] = i == 5 ? -1 : i;
    REQUIRE_CODE(mn_map_fixed(task, slow_end, numbers, sizeof *numbers, 8, results, sizeof *results,
                              &(mn_map_options_t){.errors = errors}),
                 0);
    for (int i = 0; i < 8; i++)
        CHECK(i == 5 ? errors[i].code == MN_E_TIMEOUT : errors[i].code == 0 && results[i] == i);
    mn_item_errors_destroy(errors, MIXED);
}

static void wrong_use(mn_task_t *task)
{
    int64_t numbers[3] = {0, 0, 0}, results[3];
    mn_value_t value = mn_bytes(numbers, sizeof *numbers), result = mn_none();
    mn_map_stream_t *stream = NULL;
    mn_map_options_t together = {.max_block = 3};

    CHECK_REFUSED(mn_call(task, squares, value, &result), MN_E_WRONG_KIND);
    CHECK(strstr(mn_error_message(), "squares"));
    CHECK_REFUSED(mn_map_values(task, squares, &value, 1, &result, NULL), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_map_open(task, squares, &value, 1, NULL, &stream), MN_E_WRONG_KIND);
    CHECK(stream == NULL && result.data == NULL);
    CHECK_REFUSED(mn_map(task, careless, numbers, 3, results), MN_E_NO_RESULT);
    for (int i = 0; i < 3; i++)
        numbers[i] = 1;
    /* One item at a time is as it should be, so it fails only when it was given several. */
    int rc = mn_map_fixed(task, careless, numbers, sizeof *numbers, 3, results, sizeof *results,
                          &together);
    CHECK(rc == 0 || (rc == MN_E_NO_RESULT && strstr(mn_error_message(), "yields 8 bytes")));
    for (int i = 0; i < 3; i++)
        numbers[i] = 2;
    CHECK_CODE(mn_map(task, careless, numbers, 3, results), 0);
    CHECK(results[0] == 4 && results[2] == 4);
    for (int i = 0; i < 3; i++)
        numbers[i] = 3;
    CHECK_REFUSED(mn_map(task, careless, numbers, 3, results), MN_E_STORE);
    CHECK_CODE(mn_map(task, one_by_one, numbers, 3, results), 0);
    CHECK(mn_block_results(task) == NULL);
    CHECK_REFUSED(mn_block_done(task, 0), MN_E_WRONG_KIND);
}

/* --- uneven items -------------------------------------------------------------------------------------------- */

enum { UNEVEN = 3000, SLOW_FIRST = 2100, SLOW = 60 };

typedef struct item {
    int32_t index;
    char path[124]; /* where its run is noted */
} item_t;

static int uneven(mn_task_t *task, mn_value_t input)
{
    item_t item;
    int64_t pid = getpid();
    memcpy(&item, input.data, sizeof item);
    int fd = open(item.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, &item.index, sizeof item.index) != (ssize_t)sizeof item.index)
        return mn_fail(task, MN_E_SYSTEM, "%s: %s", item.path, strerror(errno));
    close(fd);
    if (item.index >= SLOW_FIRST && item.index < SLOW_FIRST + SLOW)
        pause_ms(20);
    return mn_yield(task, mn_bytes(&pid, sizeof pid));
}

/* Long items that lie together do not stay together: who is idle takes some of them; and each runs once. */
static void long_items_in_one_place(mn_task_t *task)
{
    static item_t items[UNEVEN];
    static int64_t pids[UNEVEN];
    static uint8_t seen[UNEVEN];
    roll_t roll; /* for its folder */
    char path[sizeof items[0].path];
    int32_t index;
    size_t others = 0;

    REQUIRE(roll_open(&roll));
    snprintf(path, sizeof path, "%s/runs", roll.folder);
    memset(seen, 0, sizeof seen);
    for (int32_t i = 0; i < UNEVEN; i++) {
        items[i].index = i;
        memcpy(items[i].path, path, sizeof path);
    }
    CHECK_CODE(mn_map(task, uneven, items, UNEVEN, pids), 0);
    FILE *file = fopen(path, "r");
    while (file && fread(&index, sizeof index, 1, file) == 1)
        if (index < 0 || index >= UNEVEN || seen[index]++)
            check_fail("item %d ran twice", index);
    if (file)
        fclose(file);
    for (int i = 0; i < UNEVEN; i++)
        if (!seen[i] || pids[i] <= 0)
            check_fail("item %d did not run", i);
    for (int i = SLOW_FIRST; i < SLOW_FIRST + SLOW; i++)
        others += pids[i] != pids[SLOW_FIRST];
    if (others == 0)
        check_fail("all %d long items ran in one process", SLOW);
    unlink(path);
    roll_close(&roll);
}

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    RUN(task, blockwise);
    RUN(task, many_items_in_a_call);
    RUN(task, blockwise_errors);
    RUN(task, wrong_use);
    RUN(task, long_items_in_one_place);
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, places_driver);
}
