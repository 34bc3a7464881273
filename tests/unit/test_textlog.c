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
    assert_int_equal(mni_textlog_read(log, 0, &text, &size), 0);
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

/* What a reader has who asks again and again from where the last answer ended. */
static void from_where_it_was(void **state)
{
    mni_textlog_t log = {0};
    uint64_t next = 0, got = 0;
    (void)state;
    for (int i = 0; i < 400; i++) {
        char *text = NULL;
        size_t size = 0;
        add(&log, 1 + (size_t)i * 7919 % PART);
        assert_int_equal(mni_textlog_read(&log, next, &text, &size), 0);
        assert_int_equal(size, log.total - next); /* never more than PART: nothing is missing */
        for (size_t k = 0; k < size; k++)
            assert_int_equal(text[k], letter(next + k));
        next = log.total;
        got += size;
        free(text);
    }
    assert_int_equal(got, log.total);
    char *text = NULL, note[MNI_TEXTLOG_NOTE];
    size_t size = 1;
    assert_int_equal(mni_textlog_read(&log, log.total, &text, &size), 0);
    assert_int_equal(size, 0);
    free(text);
    /* From within the head, from the gap, from the ring. */
    const uint64_t from[] = {PART - 3, PART, log.total - PART - 5, log.total - 9};
    for (size_t i = 0; i < 4; i++) {
        uint64_t missing = log.total - PART - (from[i] > PART ? from[i] : PART);
        size_t head = from[i] < PART ? (size_t)(PART - from[i]) : 0;
        size_t tail = from[i] < log.total - PART ? PART : (size_t)(log.total - from[i]);
        if (from[i] >= log.total - PART)
            missing = 0;
        assert_int_equal(mni_textlog_read(&log, from[i], &text, &size), 0);
        mni_textlog_note(missing, note);
        assert_int_equal(size, head + strlen(note) + tail);
        assert_memory_equal(text + head, note, strlen(note));
        for (size_t k = 0; k < head; k++)
            assert_int_equal(text[k], letter(from[i] + k));
        for (size_t k = 0; k < tail; k++)
            assert_int_equal(text[size - 1 - k], letter(log.total - 1 - k));
        free(text);
    }
    mni_textlog_fini(&log);
}

/* A log that is fed with pieces of another one says the same as that: how much is missing too. */
static void pieces(void **state)
{
    static char head[PART], ring[PART];
    mni_textlog_t copy = {0}, whole = {0};
    uint64_t total = 0, told = 0;
    (void)state;
    for (int i = 0; i < 60; i++) {
        size_t size = i % 3 == 2 ? 3 * PART + (size_t)i : (size_t)i * 1237;
        for (size_t k = 0; k < size; k++, total++)
            *(total < PART ? head + total : ring + (total - PART) % PART) = letter(total);
        add(&whole, size);
        if (i % 2 == 0)
            continue;
        mni_textlog_piece_t piece;
        assert_int_equal(mni_textlog_cut(head, ring, PART, total, told, &piece), 0);
        assert_int_equal(mni_textlog_add_piece(&copy, &piece), 0);
        free((char *)piece.text);
        told = total;
        assert_int_equal(copy.total, whole.total);
        check(&copy);
    }
    mni_textlog_fini(&copy);
    mni_textlog_fini(&whole);
}

/* Where what follows a gap does not fill the ring a line stands for what is missing; nothing that was never written is shown. */
static void short_behind_a_gap(void **state)
{
    mni_textlog_t log = {0};
    char *text = NULL;
    size_t size = 0;
    (void)state;
    mni_textlog_piece_t piece = {.text = "abcdef", .size = 6, .before = 2, .left_out = 1000};
    assert_int_equal(mni_textlog_add_piece(&log, &piece), 0);
    assert_int_equal(mni_textlog_read(&log, 0, &text, &size), 0);
    assert_string_equal(text, "ab\n[... 1000 bytes left out ...]\ncdef");
    free(text);
    mni_textlog_fini(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps), cmocka_unit_test(from_where_it_was),
                                       cmocka_unit_test(pieces),
                                       cmocka_unit_test(short_behind_a_gap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
