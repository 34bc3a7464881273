/* SPDX-License-Identifier: MIT
 *
 * Values as JSON, there and back.
 */
#include "service/json.h"

#include "util/error.h"
#include "wire/wire.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A value that is printed is read as the same one. */
static void same(mn_value_t value)
{
    char *text = NULL;
    size_t size = 0;
    mn_value_t read;
    FILE *to = open_memstream(&text, &size);

    assert_non_null(to);
    assert_int_equal(mni_json_print_value(to, &value, SIZE_MAX), 0);
    assert_int_equal(fclose(to), 0);
    json_t *json = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    assert_int_equal(mni_json_read_value(json, &read), 0);
    assert_int_equal(read.type, value.type);
    assert_int_equal(read.ndims, value.ndims);
    assert_memory_equal(read.dims, value.dims, value.ndims * sizeof *value.dims);
    assert_int_equal(read.size, value.size);
    if (value.size > 0)
        assert_memory_equal(read.data, value.data, value.size);
    mn_value_destroy(&read);
    json_decref(json);
    free(text);
}

static void test_same(void **state)
{
    static const int8_t bytes[] = {INT8_MIN, -1, 0, INT8_MAX};
    static const int64_t longs[] = {INT64_MIN, -1, 0, INT64_MAX};
    static const uint64_t counts[] = {0, INT64_MAX};
    static const uint16_t halves[] = {0, UINT16_MAX};
    static const uint32_t words[] = {0, UINT32_MAX};
    const float floats[] = {0.1f, -1e30f, 3e-45f, (float)INFINITY};
    const double doubles[] = {0.1, -1e308, 5e-324, 1.0 / 3, (double)INFINITY, -(double)INFINITY};
    const size_t dims[] = {1, 2, 3, 1}, empty[] = {2, 0, 3};

    (void)state;
    same(mn_none());
    same(mn_text("gr\303\274\303\237 \"dich\"\n\001"));
    same(mn_text(""));
    same(mn_array(MN_TEXT, "a\0b", 3));
    for (size_t size = 0; size < 8; size++)
        same(mn_bytes("\377\0\001\002\376abc", size));
    same(mn_array(MN_INT8, bytes, 4));
    same(mn_array(MN_INT64, longs, 4));
    same(mn_array(MN_UINT64, counts, 2));
    same(mn_array(MN_UINT16, halves, 2));
    same(mn_array(MN_UINT32, words, 2));
    same(mn_array(MN_FLOAT32, floats, 4));
    same(mn_tensor(MN_FLOAT64, doubles, 4, dims));
    same(mn_matrix(MN_FLOAT64, doubles, 3, 2));
    same(mn_tensor(MN_FLOAT64, NULL, 3, empty));
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "7",
        "[1]",
        "true",
        "{}",
        "{\"type\":\"float\",\"value\":[1]}",
        "{\"type\":\"int8\"}",
        "{\"type\":\"int8\",\"value\":1}",
        "{\"type\":\"int8\",\"value\":[1.5]}",
        "{\"type\":\"int8\",\"value\":[\"1\"]}",
        "{\"type\":\"int8\",\"value\":[128]}",
        "{\"type\":\"uint8\",\"value\":[-1]}",
        "{\"type\":\"float64\",\"value\":[null]}",
        "{\"type\":\"float64\",\"value\":[\"infinity\"]}",
        "{\"type\":\"int8\",\"dims\":[],\"value\":[]}",
        "{\"type\":\"int8\",\"dims\":[1,1,1,1,1],\"value\":[[[[[1]]]]]}",
        "{\"type\":\"int8\",\"dims\":[-1],\"value\":[]}",
        "{\"type\":\"int8\",\"dims\":[2],\"value\":[1]}",
        "{\"type\":\"int8\",\"dims\":[1],\"value\":[1,2]}",
        "{\"type\":\"int8\",\"dims\":[2,2],\"value\":[[1,2],[3]]}",
        "{\"type\":\"int8\",\"dims\":[2,2],\"value\":[1,2,3,4]}",
        "{\"type\":\"int8\",\"dims\":[9223372036854775807,9223372036854775807],\"value\":[]}",
        "{\"type\":\"int8\",\"dims\":[1073741825],\"value\":[]}",
        "{\"type\":\"text\",\"value\":[1]}",
        "{\"type\":\"bytes\",\"value\":\"abc\"}",
        "{\"type\":\"bytes\",\"value\":\"a===\"}",
        "{\"type\":\"bytes\",\"value\":\"ab=c\"}",
        "{\"type\":\"bytes\",\"value\":\"ab c\"}",
        "{\"type\":\"bytes\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        mn_value_t value = {.size = 12345};
        json_t *json = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        int rc = mni_json_read_value(json, &value);
        if (rc != MN_E_INVALID && rc != MN_E_TOO_LARGE)
            fail_msg("%s: %d", texts[i], rc);
        assert_int_equal(value.size, 12345);
        json_decref(json);
    }
}

static void test_texts(void **state)
{
    (void)state;
    assert_true(mni_json_is_text("", 0));
    assert_true(mni_json_is_text("a\303\274\360\237\230\200", 7));
    assert_false(mni_json_is_text("\303", 1));
    assert_false(mni_json_is_text("\300\200", 2));     /* too long a form */
    assert_false(mni_json_is_text("\355\240\200", 3)); /* a surrogate */
    assert_false(mni_json_is_text("\364\220\200\200", 4));
    json_t *json = mni_json_text("a\377b", 3);
    assert_string_equal(json_string_value(json), "a\357\277\275b");
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
