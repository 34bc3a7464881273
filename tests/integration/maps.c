/* SPDX-License-Identifier: MIT
 *
 * Calls and maps, from all places.
 *
 *     maps             everything
 *     maps memory      nested calls that compete for memory; run with MULTINODE_MEMORY=256MiB
 */
#include "places.h"

#include <sys/file.h>

MN_FUNCTION(square, .cpu = 0.1);
MN_FUNCTION(square_core, .cpu = 1);
MN_FUNCTION(reverse, .cpu = 0.1);
MN_FUNCTION(echo, .cpu = 0.1);
MN_FUNCTION(odd_fails, .cpu = 0.1);
MN_FUNCTION(slow_if_asked, .cpu = 0.1, .timeout = 0.3);
MN_FUNCTION(third_time_good, .cpu = 0.1, .max_retries = 2);
MN_FUNCTION(wrong_size, .cpu = 0.1);
MN_FUNCTION(yield_nothing, .cpu = 0.1);
MN_FUNCTION(yield_twice, .cpu = 0.1);
MN_FUNCTION(hold_item, .cpu = 0.1);
MN_FUNCTION(tower, .cpu = 1);
MN_FUNCTION(chain, .cpu = 1);
MN_FUNCTION(hungry, .cpu = 0.1, .memory = "100MiB");

static int square(mn_task_t *task, mn_value_t input)
{
    int64_t number = value_int(input), result = number * number;
    return mn_yield(task, mn_bytes(&result, sizeof result));
}

static int square_core(mn_task_t *task, mn_value_t input)
{
    return square(task, input);
}

static int reverse(mn_task_t *task, mn_value_t input)
{
    unsigned char *copy = malloc(input.size + 1);
    const unsigned char *data = input.data;
    if (!copy)
        return mn_fail(task, MN_E_NO_MEMORY, "no memory");
    for (size_t i = 0; i < input.size; i++)
        copy[i] = data[input.size - 1 - i];
    int rc = mn_yield(task, mn_bytes(copy, input.size));
    free(copy);
    return rc;
}

static int echo(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int odd_fails(mn_task_t *task, mn_value_t input)
{
    int64_t number = value_int(input);
    if (number % 2)
        return mn_fail(task, MN_E_STORE, "%lld is odd", (long long)number);
    return mn_yield(task, mn_bytes(&number, sizeof number));
}

static int slow_if_asked(mn_task_t *task, mn_value_t input)
{
    int64_t number = value_int(input);
    while (number < 0)
        pause_ms(1000);
    return mn_yield(task, mn_bytes(&number, sizeof number));
}

/* Adds one to the number in a file, which is what counts over processes. */
static int64_t count_up(const char *path)
{
    int64_t number = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || flock(fd, LOCK_EX) < 0 || read(fd, &number, sizeof number) < 0)
        abort();
    number++;
    if (pwrite(fd, &number, sizeof number, 0) != (ssize_t)sizeof number)
        abort();
    close(fd);
    return number;
}

static int third_time_good(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    int64_t number = count_up(path);
    if (number == 1)
        return mn_fail(task, MN_E_FAILED, "the first time");
    if (number == 2)
        abort();
    return mn_yield(task, int_value(&number));
}

/* Yields as many bytes as it is told. */
static int wrong_size(mn_task_t *task, mn_value_t input)
{
    int64_t size = value_int(input);
    return mn_yield(task, mn_bytes("some bytes that are too many", (size_t)size));
}

static int yield_nothing(mn_task_t *task, mn_value_t input)
{
    (void)task, (void)input;
    return 0;
}

static int yield_twice(mn_task_t *task, mn_value_t input)
{
    int64_t number = value_int(input), other = -1;
    int rc = mn_yield(task, mn_bytes(&other, sizeof other));
    return rc < 0 ? rc : mn_yield(task, mn_bytes(&number, sizeof number));
}

static int hold_item(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    roll_sign(path);
    while (!mn_cancelled(task))
        pause_ms(1);
    return mn_cancelled(task);
}

/* Two items at each level, counted at the bottom. */
static int tower(mn_task_t *task, mn_value_t input)
{
    int64_t depth = value_int(input), sum = 1;
    if (depth > 0) {
        int64_t below[2] = {depth - 1, depth - 1}, counts[2];
        int rc = mn_map(task, tower, below, 2, counts);
        if (rc < 0)
            return rc;
        sum = counts[0] + counts[1];
    }
    return mn_yield(task, mn_bytes(&sum, sizeof sum));
}

static int chain(mn_task_t *task, mn_value_t input)
{
    int64_t depth = value_int(input), length = 1;
    if (depth > 0) {
        int64_t below = depth - 1;
        mn_value_t result;
        int rc = mn_call(task, chain, int_value(&below), &result);
        if (rc < 0)
            return rc;
        length = 1 + value_int(result);
        mn_value_destroy(&result);
    }
    return mn_yield(task, int_value(&length));
}

static int hungry(mn_task_t *task, mn_value_t input)
{
    int64_t depth = value_int(input), length = 1;
    if (depth > 0) {
        int64_t below = depth - 1;
        mn_value_t result;
        int rc = mn_call(task, hungry, int_value(&below), &result);
        if (rc < 0)
            return mn_fail(task, rc, "%s", mn_error_message());
        length = 1 + value_int(result);
        mn_value_destroy(&result);
    }
    return mn_yield(task, int_value(&length));
}

/* --- fixed ------------------------------------------------------------------------------------------------- */

enum { MOST = 100000 };

static void map_squares(mn_task_t *task, mn_entry_t *function, size_t count, size_t max_block)
{
    int64_t *numbers = calloc(count + 1, sizeof *numbers),
            *squares = calloc(count + 1, sizeof *squares);
    REQUIRE(numbers && squares);
    for (size_t i = 0; i < count; i++)
        numbers[i] = (int64_t)i - 7;
    squares[count] = -1;
    int rc = mn_map_fixed(task, function, numbers, sizeof *numbers, count, squares, sizeof *squares,
                          &(mn_map_options_t){.max_block = max_block});
    size_t wrong = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        wrong += squares[i] != numbers[i] * numbers[i];
    if (rc != 0 || wrong != 0)
        check_fail("a map of %zu: %s, %zu wrong: %s", count, mn_error_name(rc), wrong,
                   mn_error_message());
    CHECK(squares[count] == -1);
    free(numbers);
    free(squares);
}

static void fixed_items(mn_task_t *task)
{
    for (size_t count = 1; count <= MOST; count *= 10)
        map_squares(task, square, count, 0);
    map_squares(task, square, 1000, 1);
    map_squares(task, square, 1000, 7);
    map_squares(task, square, 10, SIZE_MAX);
    map_squares(task, square_core, 5000, 0);
}

static void no_items(mn_task_t *task)
{
    int64_t number = 3, result = -1;
    mn_map_stream_t *stream = NULL;
    mn_value_t value = mn_none();
    CHECK_CODE(mn_map_fixed(task, square, &number, sizeof number, 0, &result, sizeof result, NULL),
               0);
    CHECK_CODE(mn_map_fixed(task, square, NULL, sizeof number, 0, NULL, sizeof result, NULL), 0);
    CHECK(result == -1);
    CHECK_CODE(mn_map_values(task, square, NULL, 0, NULL, NULL), 0);
    REQUIRE_CODE(mn_map_open(task, square, NULL, 0, NULL, &stream), 0);
    CHECK_REFUSED(mn_map_next(stream, &value), MN_E_END);
    mn_map_close(stream);
    mn_map_close(NULL);
}

static void results_of_no_size(mn_task_t *task)
{
    int64_t numbers[100] = {0};
    CHECK_CODE(mn_map_fixed(task, yield_nothing, numbers, sizeof *numbers, 100, NULL, 0, NULL), 0);
}

static void the_last_yield_counts(mn_task_t *task)
{
    int64_t numbers[100], results[100];
    for (int64_t i = 0; i < 100; i++)
        numbers[i] = i;
    REQUIRE_CODE(mn_map(task, yield_twice, numbers, 100, results), 0);
    CHECK(memcmp(numbers, results, sizeof numbers) == 0);
}

enum { LARGE = 1 << 20, LARGE_COUNT = 12 };

static void large_items(mn_task_t *task)
{
    unsigned char *arguments = malloc((size_t)LARGE * LARGE_COUNT),
                  *results = malloc((size_t)LARGE * LARGE_COUNT);
    REQUIRE(arguments && results);
    for (size_t i = 0; i < (size_t)LARGE * LARGE_COUNT; i++)
        arguments[i] = (unsigned char)(i * 31 + i / 1000);
    int rc = mn_map_fixed(task, reverse, arguments, LARGE, LARGE_COUNT, results, LARGE, NULL);
    CHECK_CODE(rc, 0);
    size_t wrong = 0;
    for (size_t item = 0; rc == 0 && item < LARGE_COUNT; item++)
        for (size_t i = 0; i < LARGE; i++)
            wrong += results[item * LARGE + i] != arguments[item * LARGE + LARGE - 1 - i];
    CHECK(wrong == 0);
    free(arguments);
    free(results);
}

/* --- values -------------------------------------------------------------------------------------------------- */

enum { VALUES = 300, VALUE_BYTES = 200000 };

/* Sizes from nothing to 200 kB, of several types. */
static void make_values(mn_value_t *values, const unsigned char *block)
{
    for (size_t i = 0; i < VALUES; i++) {
        size_t size = i % 50 == 49 ? VALUE_BYTES / 8 : i * i % 997;
        switch (i % 5) {
        case 0:
            values[i] = mn_bytes(block + i, size);
            break;
        case 1:
            values[i] = mn_none();
            break;
        case 2:
            values[i] = mn_array(MN_FLOAT64, block, size / 8);
            break;
        case 3:
            values[i] = mn_matrix(MN_INT16, block, size / 6, 3);
            break;
        default:
            values[i] = mn_text("some text");
            break;
        }
    }
}

static bool same_value(mn_value_t a, mn_value_t b)
{
    bool same = a.type == b.type && a.size == b.size && a.ndims == b.ndims;
    for (unsigned i = 0; same && i < a.ndims; i++)
        same = a.dims[i] == b.dims[i];
    return same && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static unsigned char *make_block(void)
{
    unsigned char *block = malloc(VALUE_BYTES + VALUES);
    for (size_t i = 0; block && i < VALUE_BYTES + VALUES; i++)
        block[i] = (unsigned char)(i * 13 + i / 256);
    return block;
}

static void values_of_any_size(mn_task_t *task)
{
    static mn_value_t values[VALUES], results[VALUES];
    unsigned char *block = make_block();
    size_t wrong = 0;
    REQUIRE(block != NULL);
    make_values(values, block);
    int rc = mn_map_values(task, echo, values, VALUES, results, NULL);
    CHECK_CODE(rc, 0);
    for (size_t i = 0; rc == 0 && i < VALUES; i++) {
        wrong += !same_value(values[i], results[i]);
        mn_value_destroy(&results[i]);
    }
    CHECK(wrong == 0);
    CHECK_CODE(mn_map_values(task, echo, values, VALUES, NULL, NULL),
               0); /* results need not be wanted */
    free(block);
}

static void streams(mn_task_t *task)
{
    static mn_value_t values[VALUES];
    unsigned char *block = make_block();
    mn_map_stream_t *first = NULL, *second = NULL;
    mn_value_t result = mn_none();
    size_t wrong = 0;
    REQUIRE(block != NULL);
    make_values(values, block);
    REQUIRE_CODE(mn_map_open(task, echo, values, VALUES, NULL, &first), 0);
    REQUIRE_CODE(mn_map_open(task, reverse, values, VALUES, NULL, &second), 0);
    for (size_t i = 0; i < VALUES; i++) { /* two of them, in turns */
        REQUIRE_CODE(mn_map_next(first, &result), 0);
        wrong += !same_value(values[i], result);
        mn_value_destroy(&result);
        if (i % 2) {
            REQUIRE_CODE(mn_map_next(second, &result), 0);
            wrong += result.size != values[i / 2].size;
            mn_value_destroy(&result);
        }
    }
    CHECK(wrong == 0);
    CHECK_REFUSED(mn_map_next(first, &result), MN_E_END);
    CHECK_REFUSED(mn_map_next(first, &result), MN_E_END);
    mn_map_close(first);
    mn_map_close(second); /* early: half of it has not been taken */
    free(block);
    int64_t number = 5, answer = 0;
    CHECK_CODE(mn_map(task, square, &number, 1, &answer), 0);
    CHECK(answer == 25);
}

/* A result that is ready comes although later items do not. */
static void stream_gives_what_is_ready(mn_task_t *task)
{
    roll_t roll;
    mn_value_t values[3], result = mn_none();
    mn_map_stream_t *stream = NULL;
    REQUIRE(roll_open(&roll));
    for (int i = 0; i < 3; i++)
        values[i] = mn_text(roll.path);
    REQUIRE_CODE(
        mn_map_open(task, hold_item, values, 3, &(mn_map_options_t){.max_block = 1}, &stream), 0);
    CHECK(roll_await(&roll, 1));
    double begun = seconds_now();
    mn_map_close(stream); /* cancels what runs */
    CHECK(seconds_now() - begun < 30);

    int64_t numbers[2] = {3, -1}; /* the second is too slow, and fails */
    mn_value_t pair[2] = {int_value(&numbers[0]), int_value(&numbers[1])};
    mn_item_error_t errors[2] = {{0}};
    REQUIRE_CODE(
        mn_map_open(task, slow_if_asked, pair, 2, &(mn_map_options_t){.errors = errors}, &stream),
        0);
    CHECK_CODE(mn_map_next(stream, &result), 0);
    CHECK(value_int(result) == 3);
    mn_value_destroy(&result);
    CHECK_REFUSED(mn_map_next(stream, &result), MN_E_TIMEOUT);
    CHECK_REFUSED(mn_map_next(stream, &result), MN_E_END);
    mn_map_close(stream);
    CHECK(errors[0].code == 0 && errors[1].code == MN_E_TIMEOUT &&
          errors[1].reason == MN_REASON_TIMEOUT);
    mn_item_errors_destroy(errors, 2);
    roll_close(&roll);
}

/* --- errors ----------------------------------------------------------------------------------------------------- */

enum { MIXED = 40 };

static void errors_per_item(mn_task_t *task)
{
    int64_t numbers[MIXED], results[MIXED];
    mn_item_error_t errors[MIXED] = {{0}};
    for (int i = 0; i < MIXED; i++)
        numbers[i] = i, results[i] = -1;
    REQUIRE_CODE(mn_map_fixed(task, odd_fails, numbers, sizeof *numbers, MIXED, results,
                              sizeof *results, &(mn_map_options_t){.errors = errors}),
                 0);
    for (int i = 0; i < MIXED; i++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "%d is odd", i);
        bool good = i % 2 ? errors[i].code == MN_E_STORE && errors[i].reason == MN_REASON_ERROR &&
                                errors[i].message && strstr(errors[i].message, wanted) &&
                                results[i] == -1
                          : errors[i].code == 0 && errors[i].message == NULL && results[i] == i;
        if (!good)
            check_fail("item %d: %s, %s, %lld", i, mn_error_name(errors[i].code),
                       errors[i].message ? errors[i].message : "no message", (long long)results[i]);
    }
    mn_item_errors_destroy(errors, MIXED);
    CHECK(errors[1].message == NULL);

    mn_value_t values[MIXED], got[MIXED];
    for (int i = 0; i < MIXED; i++)
        values[i] = int_value(&numbers[i]);
    REQUIRE_CODE(
        mn_map_values(task, odd_fails, values, MIXED, got, &(mn_map_options_t){.errors = errors}),
        0);
    for (int i = 0; i < MIXED; i++) {
        CHECK((errors[i].code != 0) == (i % 2) && (got[i].size == 0) == (i % 2));
        mn_value_destroy(&got[i]);
    }
    mn_item_errors_destroy(errors, MIXED);
}

static void the_first_error(mn_task_t *task)
{
    int64_t numbers[MIXED], results[MIXED];
    mn_value_t values[MIXED], got[MIXED];
    size_t failed = 999;
    for (int i = 0; i < MIXED; i++)
        numbers[i] = i == 23 ? 23 : 2 * i, results[i] = -1, values[i] = int_value(&numbers[i]);
    CHECK_REFUSED(mn_map_fixed(task, odd_fails, numbers, sizeof *numbers, MIXED, results,
                               sizeof *results, &(mn_map_options_t){.failed = &failed}),
                  MN_E_STORE);
    CHECK(failed == 23 && strstr(mn_error_message(), "23 is odd"));
    CHECK_REFUSED(mn_map(task, odd_fails, numbers, MIXED, results), MN_E_STORE);
    const char *at = strstr(mn_error_message(), "23");
    CHECK(at && strstr(at + 1, "23 is odd")); /* the index, then the message */
    failed = 999;
    CHECK_REFUSED(
        mn_map_values(task, odd_fails, values, MIXED, got, &(mn_map_options_t){.failed = &failed}),
        MN_E_STORE);
    CHECK(failed == 23);
    for (int i = 0; i < MIXED; i++) /* several fail: one that did is named */
        numbers[i] = i;
    failed = 998;
    CHECK_REFUSED(mn_map_fixed(task, odd_fails, numbers, sizeof *numbers, MIXED, results,
                               sizeof *results, &(mn_map_options_t){.failed = &failed}),
                  MN_E_STORE);
    CHECK(failed % 2 == 1 && failed < MIXED);
}

static void result_of_wrong_size(mn_task_t *task)
{
    int64_t numbers[3] = {9, 8, 7}, results[3] = {-1, -1, -1};
    mn_item_error_t errors[3] = {{0}};
    REQUIRE_CODE(mn_map_fixed(task, wrong_size, numbers, sizeof *numbers, 3, results,
                              sizeof *results, &(mn_map_options_t){.errors = errors}),
                 0);
    CHECK(errors[0].code == MN_E_TOO_LARGE &&
          strstr(errors[0].message, "9 bytes")); /* both sizes are named */
    CHECK(strstr(errors[0].message, "8 bytes") && errors[1].code == 0);
    CHECK(errors[2].code == MN_E_INVALID && strstr(errors[2].message, "7 bytes"));
    CHECK(results[0] == -1 && results[2] == -1 && memcmp(&results[1], "some byt", 8) == 0);
    mn_item_errors_destroy(errors, 3);
    results[1] = -1;
    CHECK_REFUSED(mn_map(task, wrong_size, numbers, 1, results), MN_E_TOO_LARGE);
    REQUIRE_CODE(mn_map_fixed(task, yield_nothing, numbers, sizeof *numbers, 3, results,
                              sizeof *results, &(mn_map_options_t){.errors = errors}),
                 0);
    for (int i = 0; i < 3; i++)
        CHECK(errors[i].code < 0 && errors[i].message && strlen(errors[i].message) > 8 &&
              results[i] == -1);
    mn_item_errors_destroy(errors, 3);
}

static void item_timeouts(mn_task_t *task)
{
    int64_t numbers[8] = {0, 1, -1, 3, 4, -1, 6, 7}, results[8];
    mn_item_error_t errors[8] = {{0}};
    REQUIRE_CODE(mn_map_fixed(task, slow_if_asked, numbers, sizeof *numbers, 8, results,
                              sizeof *results, &(mn_map_options_t){.errors = errors}),
                 0);
    for (int i = 0; i < 8; i++) {
        bool slow = numbers[i] < 0;
        if (slow ? errors[i].code != MN_E_TIMEOUT || errors[i].reason != MN_REASON_TIMEOUT
                 : errors[i].code != 0 || results[i] != i)
            check_fail("item %d: %s: %s", i, mn_error_name(errors[i].code),
                       errors[i].message ? errors[i].message : "");
    }
    mn_item_errors_destroy(errors, 8);
    CHECK_REFUSED(mn_call(task, slow_if_asked, int_value(&numbers[2]), NULL), MN_E_TIMEOUT);
}

static void item_retries(mn_task_t *task)
{
    roll_t roll; /* for its folder */
    char path[128];
    mn_value_t result = mn_none();
    REQUIRE(roll_open(&roll));
    snprintf(path, sizeof path, "%s/count", roll.folder);
    CHECK_CODE(mn_call(task, third_time_good, mn_text(path), &result), 0);
    CHECK(value_int(result) == 3);
    mn_value_destroy(&result);
    unlink(path);
    roll_close(&roll);
}

static void calls(mn_task_t *task)
{
    int64_t number = 12;
    mn_value_t result = mn_none();
    CHECK_CODE(mn_call(task, square, int_value(&number), &result), 0);
    CHECK(value_int(result) == 144);
    mn_value_destroy(&result);
    CHECK(result.data == NULL && result.size == 0);
    CHECK_CODE(mn_call(task, yield_nothing, mn_none(), &result), 0);
    CHECK(result.size == 0);
    number = 9;
    CHECK_REFUSED(mn_call(task, odd_fails, int_value(&number), &result), MN_E_STORE);
    CHECK(strstr(mn_error_message(), "9 is odd") != NULL);
    for (number = 0; number < 300; number++) { /* repeated ones */
        REQUIRE_CODE(mn_call(task, square, int_value(&number), &result), 0);
        CHECK(value_int(result) == number * number);
        mn_value_destroy(&result);
    }
}

/* --- nested ------------------------------------------------------------------------------------------------------- */

static void nested_calls(mn_task_t *task)
{
    int64_t depth = 8;
    mn_value_t result = mn_none();
    REQUIRE_CODE(mn_call(task, chain, int_value(&depth), &result), 0);
    CHECK(value_int(result) == 9);
    mn_value_destroy(&result);
}

static void nested_maps(mn_task_t *task)
{
    int64_t depths[3] = {8, 1, 4}, counts[3] = {0};
    REQUIRE_CODE(mn_map(task, tower, depths, 3, counts), 0);
    CHECK(counts[0] == 256 && counts[1] == 2 && counts[2] == 16);
}

static void nested_by_memory(mn_task_t *task)
{
    int64_t depth = 1;
    mn_value_t result = mn_none();
    REQUIRE_CODE(mn_call(task, hungry, int_value(&depth), &result), 0); /* two of 100 MiB in 256 */
    CHECK(value_int(result) == 2);
    mn_value_destroy(&result);
    depth = 2;
    double begun = seconds_now();
    CHECK_REFUSED(mn_call(task, hungry, int_value(&depth), &result), MN_E_DEADLOCK);
    CHECK(seconds_now() - begun < 30);
    if (!strstr(mn_error_message(), "hungry"))
        check_fail("the circle is not named: %s", mn_error_message());
    depth = 1; /* and nothing of it is left */
    CHECK_CODE(mn_call(task, hungry, int_value(&depth), &result), 0);
    mn_value_destroy(&result);
}

static bool memory_only;

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    if (memory_only) {
        RUN(task, nested_by_memory);
        return;
    }
    RUN(task, fixed_items);
    RUN(task, no_items);
    RUN(task, results_of_no_size);
    RUN(task, the_last_yield_counts);
    RUN(task, large_items);
    RUN(task, values_of_any_size);
    RUN(task, streams);
    RUN(task, stream_gives_what_is_ready);
    RUN(task, errors_per_item);
    RUN(task, the_first_error);
    RUN(task, result_of_wrong_size);
    RUN(task, item_timeouts);
    RUN(task, item_retries);
    RUN(task, calls);
    RUN(task, nested_calls);
    RUN(task, nested_maps);
}

int main(int argc, char **argv)
{
    memory_only = argc > 1 &&
                  strcmp(argv[1], "memory") == 0; /* before the processes are forked that need it */
    return mn_main(argc, argv, places_driver);
}
