/* SPDX-License-Identifier: MIT
 *
 * runtime/util: error sentences and their table, amounts of memory, doorbells.
 */
#include "util/clock.h"
#include "util/doorbell.h"
#include "util/error.h"
#include "util/size.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_error_table_is_complete(void **state)
{
    int last = 0, rows = 0;
    (void)state;
#define CHECK_ROW(name, number, text)                             \
    assert_string_equal(mn_error_name(-(number)), "MN_E_" #name); \
    assert_string_equal(mn_strerror(-(number)), text);            \
    assert_int_equal(MN_E_##name, -(number));                     \
    last = (number) > last ? (number) : last;                     \
    rows++;
    MN_ERRORS(CHECK_ROW)
#undef CHECK_ROW
    assert_int_equal(rows, last); /* no gap: each code up to the last has a row */
}

static void test_error_foreign_codes(void **state)
{
    (void)state;
    assert_string_equal(mn_strerror(0), "success");
    assert_string_equal(mn_strerror(7), "success");
    assert_string_equal(mn_strerror(INT32_MAX), "success");
    assert_string_equal(mn_error_name(0), "MN_OK");
    assert_string_equal(mn_strerror(-9999), "unknown error");
    assert_string_equal(mn_strerror(INT32_MIN), "unknown error");
    assert_string_equal(mn_error_name(INT32_MIN), "MN_E_UNKNOWN");
}

static void test_error_keeps_sentence_and_errno(void **state)
{
    (void)state;
    errno = ENOENT;
    assert_int_equal(mni_error(MN_E_INVALID, "port %d is %s", 80, "taken"), MN_E_INVALID);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(mn_error_message(), "port 80 is taken");

    errno = EACCES;
    assert_int_equal(mni_error_errno("cannot open %s", "x.h5"), MN_E_SYSTEM);
    assert_int_equal(errno, EACCES);
    assert_string_equal(mn_error_message(), "cannot open x.h5: Permission denied");
}

static void test_error_prefix_and_itself_as_argument(void **state)
{
    (void)state;
    mni_error(MN_E_STORE, "no room");
    assert_int_equal(mni_error_prefix(MN_E_FAILED, "item %d", 3), MN_E_FAILED);
    assert_string_equal(mn_error_message(), "item 3: no room");
    mni_error(MN_E_FAILED, "again: %s", mn_error_message());
    assert_string_equal(mn_error_message(), "again: item 3: no room");
}

static void test_error_is_cut_to_its_room(void **state)
{
    char long_text[3 * MNI_ERROR_MAX];
    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    mni_error(MN_E_INVALID, "%s", long_text);
    assert_int_equal(strlen(mn_error_message()), MNI_ERROR_MAX - 1);
    mni_error_prefix(MN_E_INVALID, "front");
    assert_int_equal(strlen(mn_error_message()), MNI_ERROR_MAX - 1);
    assert_memory_equal(mn_error_message(), "front: x", 8);
    errno = ENOMEM;
    mni_error_errno("%s", long_text);
    assert_int_equal(strlen(mn_error_message()), MNI_ERROR_MAX - 1);
}

static void *other_thread(void *argument)
{
    char *seen = argument;
    snprintf(seen, MNI_ERROR_MAX, "%s", mn_error_message());
    mni_error(MN_E_INVALID, "the other's");
    return NULL;
}

static void test_error_is_per_thread(void **state)
{
    char seen[MNI_ERROR_MAX] = "?";
    pthread_t thread;
    (void)state;
    mni_error(MN_E_INVALID, "mine");
    assert_int_equal(pthread_create(&thread, NULL, other_thread, seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(seen, "");
    assert_string_equal(mn_error_message(), "mine");
}

static void test_size_accepts(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {
        {"1", 1},
        {"1500000", 1500000},
        {"64B", 64},
        {"1kB", 1000},
        {"1KB", 1000},
        {"1GB", 1000000000},
        {"1 GB", 1000000000},
        {"1.5GiB", UINT64_C(1610612736)},
        {"1.5gib", UINT64_C(1610612736)},
        {".5KiB", 512},
        {"2.MiB", 2097152},
        {"512 MiB", UINT64_C(536870912)},
        {"4G", UINT64_C(4294967296)},
        {"4T", UINT64_C(4398046511104)},
        {"1TB", UINT64_C(1000000000000)},
        {"1PiB", UINT64_C(1125899906842624)},
        {"0.1kB", 100},
        {"0001MiB", 1048576},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bytes = 42;
        if (mni_size_parse(rows[i].text, &bytes) != 0)
            fail_msg("\"%s\" was refused: %s", rows[i].text, mn_error_message());
        if (bytes != rows[i].bytes)
            fail_msg("\"%s\" gave %llu", rows[i].text, (unsigned long long)bytes);
    }
}

static void test_size_refuses(void **state)
{
    static const char *const texts[] = {
        "",        " ",      "-1",     "+1",   "0",
        "0GB",     "0.1B",   "GB",     ".",    ".GiB",
        "1e9",     "0x10",   "1,5GiB", "1..5", "1GiBB",
        "1 GiB ",  " 1GiB",  "nan",    "inf",  "1EiB",
        "1GB2",    "1\nGiB", "1\tGiB", "1Gi",  "99999999999999999999",
        "9000PiB", "1%s%n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint64_t bytes = 42;
        if (mni_size_parse(texts[i], &bytes) != MN_E_INVALID)
            fail_msg("\"%s\" was accepted as %llu", texts[i], (unsigned long long)bytes);
        assert_int_equal(bytes, 42);                           /* nothing written on failure */
        assert_non_null(strstr(mn_error_message(), "1.5GiB")); /* the accepted forms are named */
    }
    uint64_t bytes = 42;
    assert_int_equal(mni_size_parse(NULL, &bytes), MN_E_INVALID);
    assert_int_equal(mni_size_parse("1GiB", NULL), MN_E_INVALID);
    assert_int_equal(bytes, 42);
}

static void test_size_long_input(void **state)
{
    uint64_t bytes = 42;
    size_t length = 1 << 20;
    char *text = malloc(length + 1);
    (void)state;
    assert_non_null(text);
    memset(text, '9', length);
    text[length] = '\0';
    assert_int_equal(mni_size_parse(text, &bytes), MN_E_INVALID);
    assert_int_equal(bytes, 42);
    assert_true(strlen(mn_error_message()) < 400); /* the sentence quotes its beginning only */
    free(text);
}

static void test_size_format(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 B"},
        {512, "512 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {65536, "64 KiB"},
        {UINT64_C(1406600000), "1.31 GiB"},
        {UINT64_C(1) << 62, "4 EiB"},
        {UINT64_MAX, "16 EiB"},
    };
    char text[16];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(mni_size_format(rows[i].bytes, text, sizeof text), rows[i].text);
}

static void test_size_formatted_is_read_back(void **state)
{
    char text[16];
    (void)state;
    for (unsigned shift = 0; shift < 58; shift++) {
        uint64_t bytes = 0;
        mni_size_format(UINT64_C(1) << shift, text, sizeof text);
        assert_int_equal(mni_size_parse(text, &bytes), 0);
        assert_int_equal(bytes, UINT64_C(1) << shift);
    }
}

/* --- doorbells -------------------------------------------------------------------------------- */

typedef struct sleeper {
    mni_doorbell_t bell;
    uint32_t rounds; /* of sleeping and waking that are over */
} sleeper_t;

enum { ROUNDS = 200 };

/* Without a limit: a ring that is missed keeps it for ever. */
static void *sleep_often(void *argument)
{
    sleeper_t *sleeper = argument;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t seen = mni_doorbell_seen(&sleeper->bell);
        __atomic_store_n(&sleeper->rounds, i + 1, __ATOMIC_SEQ_CST);
        mni_doorbell_sleep(&sleeper->bell, seen, MNI_NEVER);
    }
    __atomic_store_n(&sleeper->rounds, ROUNDS + 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void test_doorbell_wakes_whatever_was_in_it(void **state)
{
    static const unsigned char bytes[] = {0x00, 0xff, 0x55, 0xaa, 0x01};
    (void)state;
    alarm(60);
    for (size_t i = 0; i < sizeof bytes; i++) {
        sleeper_t sleeper = {.rounds = 0};
        pthread_t thread;
        memset(&sleeper.bell, bytes[i], sizeof sleeper.bell); /* a wild store */
        assert_int_equal(pthread_create(&thread, NULL, sleep_often, &sleeper), 0);
        for (uint32_t round = 1; round <= ROUNDS; round++) {
            while (__atomic_load_n(&sleeper.rounds, __ATOMIC_SEQ_CST) < round)
                sched_yield();
            if (round % 3 == 0) /* let it fall asleep */
                usleep(100);
            mni_doorbell_ring(&sleeper.bell);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    alarm(0);
}

static void test_doorbell_sleep_ends(void **state)
{
    mni_doorbell_t bell = {0};
    (void)state;
    uint32_t seen = mni_doorbell_seen(&bell);
    mni_doorbell_sleep(&bell, seen, MNI_MILLISECOND);
    assert_int_equal(mni_doorbell_seen(&bell), seen); /* nobody has rung */
    mni_doorbell_ring(&bell);
    assert_int_not_equal(mni_doorbell_seen(&bell), seen);
    mni_doorbell_sleep(&bell, seen, MNI_NEVER); /* it was rung since */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_table_is_complete),
        cmocka_unit_test(test_error_foreign_codes),
        cmocka_unit_test(test_error_keeps_sentence_and_errno),
        cmocka_unit_test(test_error_prefix_and_itself_as_argument),
        cmocka_unit_test(test_error_is_cut_to_its_room),
        cmocka_unit_test(test_error_is_per_thread),
        cmocka_unit_test(test_size_accepts),
        cmocka_unit_test(test_size_refuses),
        cmocka_unit_test(test_size_long_input),
        cmocka_unit_test(test_size_format),
        cmocka_unit_test(test_size_formatted_is_read_back),
        cmocka_unit_test(test_doorbell_wakes_whatever_was_in_it),
        cmocka_unit_test(test_doorbell_sleep_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
