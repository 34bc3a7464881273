/* SPDX-License-Identifier: MIT
 *
 * Bounded text: complete while it fits, then its beginning, its end, and a line that says how much is missing.
 */
#include "util/textlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PART MNI_TEXTLOG_PART

static char letter(uint64_t position)
{
    return (char)('a' + position % 26);
}

/* Adds `size` letters that tell their position. */
static void add(mni_textlog_t *log, size_t size)
{
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++)
        text[i] = letter(log->total + i);
    assert_int_equal(mni_textlog_add(log, text, size), 0);
    free(text);
}

static void check(const mni_textlog_t *log)
{
    char *text = NULL, note[80];
    size_t size = 0;
    assert_int_equal(mni_textlog_read(log, &text, &size), 0);
    assert_int_equal(strlen(text), size);
    if (log->total <= 2 * PART) {
        assert_int_equal(size, log->total);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(text[i], letter(i));
    } else {
        snprintf(note, sizeof note, "\n[... %llu bytes left out ...]\n",
                 (unsigned long long)(log->total - 2 * PART));
        assert_int_equal(size, 2 * PART + strlen(note));
        for (size_t i = 0; i < PART; i++)
            assert_int_equal(text[i], letter(i));
        assert_memory_equal(text + PART, note, strlen(note));
        for (size_t i = 0; i < PART; i++)
            assert_int_equal(text[size - PART + i], letter(log->total - PART + i));
    }
    free(text);
}

static void grows_in_steps_of(size_t step, size_t total)
{
    mni_textlog_t log = {0};
    check(&log);
    while (log.total < total) {
        add(&log, step);
        if (log.total % 7 == 0)
            check(&log);
    }
    check(&log);
    mni_textlog_fini(&log);
}

static void steps(void **state)
{
    (void)state;
    grows_in_steps_of(1, 300);
    grows_in_steps_of(1000, 5 * PART);
    grows_in_steps_of(PART - 1, 6 * PART);
    grows_in_steps_of(PART, 6 * PART);
    grows_in_steps_of(4 * PART + 11, 20 * PART);
    grows_in_steps_of(7 * PART, 7 * PART);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
