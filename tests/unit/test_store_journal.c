/* SPDX-License-Identifier: MIT
 *
 * store/journal.c: what was written is read back; a torn end is cut at every byte; a damaged middle costs the records
 * that it holds, is reported as such, and no others; what is not this store's journal is refused.
 */
#include "store/journal.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define RECORDS 12u

static char base[] = "/tmp/test_store_journal_XXXXXX";
static char path[PATH_MAX], copy[PATH_MAX];
static const mn_id_t store = {{1, 2, 3}}, another = {{4}};

static int write_all(mni_journal_t *journal, bool sync)
{
    assert_true(mni_journal_take(journal));
    return mni_journal_write(journal, sync);
}

/* --- a journal and its image ------------------------------------------------------------------------------------------ */

typedef struct image {
    uint8_t *bytes;
    size_t size;
} image_t;

static image_t load(const char *name)
{
    struct stat status;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    image_t image = {.size = (size_t)status.st_size};
    image.bytes = malloc(image.size + 1);
    assert_non_null(image.bytes);
    assert_int_equal(read(fd, image.bytes, image.size), image.size);
    close(fd);
    return image;
}

static void save(const char *name, const uint8_t *bytes, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* Record `number` has that many bytes less one, of its own value. */
static void fill(uint8_t *data, uint64_t number)
{
    memset(data, (int)number, number - 1);
}

static void put(mni_journal_t *journal, uint64_t number)
{
    uint8_t data[64];
    fill(data, number);
    assert_int_equal(mni_journal_put(journal, (uint32_t)number * 3, data, number - 1), number);
}

static void make_journal(void)
{
    mni_journal_t *journal = NULL;
    assert_int_equal(mni_journal_create(path, store, 1, &journal), 0);
    for (uint64_t number = 1; number <= RECORDS; number++) {
        put(journal, number);
        if (number % 3 == 0)
            assert_int_equal(write_all(journal, number % 2 == 0), 0);
    }
    assert_int_equal(mni_journal_written(journal), RECORDS);
    assert_false(mni_journal_take(journal));
    mni_journal_seal(journal);
    mni_journal_close(journal);
}

typedef struct seen {
    uint64_t numbers[64];
    size_t count;
    int answer;
} seen_t;

static int look(void *argument, const mni_journal_record_t *record)
{
    seen_t *seen = argument;
    uint8_t expected[64];
    fill(expected, record->number);
    assert_int_equal(record->type, record->number * 3);
    assert_int_equal(record->size, record->number - 1);
    assert_int_equal((uintptr_t)record->data % 8, 0);
    if (record->size > 0)
        assert_memory_equal(record->data, expected, record->size);
    assert_true(seen->count < 64);
    seen->numbers[seen->count++] = record->number;
    return seen->answer;
}

/* The record in which an offset of the image lies; 0: the header. */
static uint64_t record_of(const image_t *image, size_t offset, size_t *begin)
{
    size_t at = MNI_JOURNAL_HEADER;
    uint64_t number = 1;
    (void)image;
    if (offset < at)
        return 0;
    for (;; number++) {
        size_t whole = MNI_JOURNAL_RECORD + (number - 1 + 7) / 8 * 8;
        *begin = at;
        if (offset < at + whole || number > RECORDS)
            return number;
        at += whole;
    }
}

static int setup(void **state)
{
    (void)state;
    unlink(path);
    unlink(copy);
    make_journal();
    return 0;
}

/* --- tests ------------------------------------------------------------------------------------------------------------ */

static void what_was_written_is_read(void **state)
{
    mni_journal_report_t report;
    seen_t seen = {.count = 0};
    (void)state;
    assert_int_equal(mni_journal_read(path, store, 0, look, &seen, &report), 0);
    assert_int_equal(seen.count, RECORDS);
    assert_int_equal(report.records, RECORDS);
    assert_int_equal(report.first, 1);
    assert_int_equal(report.last, RECORDS);
    assert_int_equal(report.damage_count, 0);
    assert_int_equal(report.torn, 0);
    mni_journal_report_fini(&report);
    seen.count = 0;
    assert_int_equal(mni_journal_read(path, (mn_id_t){{0}}, 9, look, &seen, &report), 0);
    assert_int_equal(seen.count, RECORDS - 9);
    assert_int_equal(seen.numbers[0], 10);
    mni_journal_report_fini(&report);
    seen.answer = MN_E_CANCELLED;
    assert_int_equal(mni_journal_read(path, store, 0, look, &seen, &report), MN_E_CANCELLED);
}

static void one_that_was_read_goes_on(void **state)
{
    mni_journal_report_t report;
    mni_journal_t *journal = NULL;
    seen_t seen = {.count = 0};
    (void)state;
    assert_int_equal(mni_journal_read(path, store, 0, NULL, NULL, &report), 0);
    assert_int_equal(mni_journal_continue(path, store, &report, &journal), 0);
    mni_journal_report_fini(&report);
    put(journal, RECORDS + 1);
    assert_int_equal(mni_journal_written(journal), RECORDS);
    assert_int_equal(write_all(journal, true), 0);
    mni_journal_close(journal);
    assert_int_equal(mni_journal_read(path, store, 0, look, &seen, &report), 0);
    assert_int_equal(seen.count, RECORDS + 1);
    assert_int_equal(report.last, RECORDS + 1);
    mni_journal_report_fini(&report);
}

static void an_empty_one_goes_on_at_its_first_number(void **state)
{
    mni_journal_report_t report;
    mni_journal_t *journal = NULL;
    (void)state;
    assert_int_equal(mni_journal_create(copy, store, 41, &journal), 0);
    mni_journal_close(journal);
    assert_int_equal(mni_journal_read(copy, store, 0, NULL, NULL, &report), 0);
    assert_int_equal(report.records, 0);
    assert_int_equal(mni_journal_continue(copy, store, &report, &journal), 0);
    assert_int_equal(mni_journal_put(journal, 1, NULL, 0), 41);
    mni_journal_close(journal);
    mni_journal_report_fini(&report);
    assert_int_equal(mni_journal_create(copy, store, 1, &journal), MN_E_STORE); /* it exists */
}

static void the_end_may_be_torn_at_any_byte(void **state)
{
    image_t image = load(path);
    mni_journal_report_t report;
    size_t begin = 0, end = 0;
    (void)state;
    record_of(&image, SIZE_MAX, &end);
    for (size_t size = MNI_JOURNAL_HEADER; size <= end; size++) {
        seen_t seen = {.count = 0};
        uint64_t whole = record_of(&image, size, &begin) - 1;
        mni_journal_t *journal = NULL;
        save(copy, image.bytes, size);
        assert_int_equal(mni_journal_read(copy, store, 0, look, &seen, &report), 0);
        assert_int_equal(seen.count, whole);
        assert_int_equal(report.damage_count, 0);
        assert_true(report.torn <= size - report.end);
        assert_int_equal(mni_journal_continue(copy, store, &report, &journal), 0);
        mni_journal_report_fini(&report);
        put(journal, whole + 1);
        assert_int_equal(write_all(journal, false), 0);
        mni_journal_close(journal);
        seen.count = 0;
        assert_int_equal(mni_journal_read(copy, store, 0, look, &seen, &report), 0);
        assert_int_equal(seen.count, whole + 1);
        assert_int_equal(report.damage_count, 0);
        assert_int_equal(report.torn, 0);
        mni_journal_report_fini(&report);
    }
    free(image.bytes);
}

/* Of a group that is known to have been kept: with the seal behind the last one, that is all. */
static void a_flipped_byte_costs_its_record_only(void **state)
{
    image_t image = load(path);
    mni_journal_report_t report;
    size_t begin = 0, end = 0;
    (void)state;
    record_of(&image, SIZE_MAX, &end);
    for (size_t offset = MNI_JOURNAL_HEADER; offset < end; offset++) {
        seen_t seen = {.count = 0};
        uint64_t lost = record_of(&image, offset, &begin);
        bool padding = offset >= begin + MNI_JOURNAL_RECORD + lost - 1;
        image.bytes[offset] ^= 0x10;
        save(copy, image.bytes, end + MNI_JOURNAL_RECORD);
        image.bytes[offset] ^= 0x10;
        assert_int_equal(mni_journal_read(copy, store, 0, look, &seen, &report), 0);
        assert_int_equal(seen.count, padding ? RECORDS : RECORDS - 1);
        assert_int_equal(report.last, RECORDS);
        for (size_t i = 0; i < seen.count && !padding; i++)
            assert_int_not_equal(seen.numbers[i], lost);
        assert_int_equal(report.damage_count, padding ? 0 : 1);
        if (!padding) {
            assert_int_equal(report.damages[0].offset, begin);
            assert_int_equal(report.damages[0].first, lost);
            assert_int_equal(report.damages[0].records, 1);
        }
        mni_journal_report_fini(&report);
    }
    free(image.bytes);
}

/* A power loss while the last group was written may have left any part of it. */
static void a_last_group_without_a_seal_ends_where_it_is_damaged(void **state)
{
    image_t image = load(path);
    mni_journal_report_t report;
    size_t begin = 0, end = 0;
    (void)state;
    record_of(&image, SIZE_MAX, &end);
    for (size_t offset = MNI_JOURNAL_HEADER; offset < end; offset++) {
        seen_t seen = {.count = 0};
        uint64_t lost = record_of(&image, offset, &begin);
        if (offset >= begin + MNI_JOURNAL_RECORD + lost - 1)
            continue;
        image.bytes[offset] ^= 0x10;
        save(copy, image.bytes, end);
        image.bytes[offset] ^= 0x10;
        bool last = lost > RECORDS - 3;
        assert_int_equal(mni_journal_read(copy, store, 0, look, &seen, &report), 0);
        assert_int_equal(seen.count, last ? lost - 1 : RECORDS - 1);
        assert_int_equal(report.damage_count, last ? 0 : 1);
        assert_int_equal(report.last, last ? lost - 1 : RECORDS);
        if (last)
            assert_int_equal(report.end, begin);
        mni_journal_report_fini(&report);
    }
    free(image.bytes);
}

/* The seal may be torn, and the next group is written behind it, or over it. */
static void seals_are_no_records(void **state)
{
    image_t image = load(path);
    size_t end = 0;
    (void)state;
    record_of(&image, SIZE_MAX, &end);
    for (size_t size = end; size <= end + MNI_JOURNAL_RECORD; size++) {
        mni_journal_report_t report;
        mni_journal_t *journal = NULL;
        seen_t seen = {.count = 0};
        save(copy, image.bytes, size);
        assert_int_equal(mni_journal_read(copy, store, 0, NULL, NULL, &report), 0);
        assert_int_equal(report.records, RECORDS);
        assert_int_equal(report.last, RECORDS);
        assert_int_equal(mni_journal_continue(copy, store, &report, &journal), 0);
        mni_journal_report_fini(&report);
        mni_journal_seal(journal);
        put(journal, RECORDS + 1);
        assert_int_equal(write_all(journal, false), 0);
        mni_journal_seal(journal);
        mni_journal_close(journal);
        assert_int_equal(mni_journal_read(copy, store, 0, look, &seen, &report), 0);
        assert_int_equal(seen.count, RECORDS + 1);
        assert_int_equal(report.damage_count, 0);
        assert_int_equal(report.torn, 0);
        mni_journal_report_fini(&report);
    }
    free(image.bytes);
}

static void zeros_in_the_middle_are_damage(void **state)
{
    image_t image = load(path);
    mni_journal_report_t report;
    seen_t seen = {.count = 0};
    size_t from = 0, to = 0, end = 0;
    (void)state;
    record_of(&image, SIZE_MAX, &end);
    for (size_t offset = 0; record_of(&image, offset, &from) < 4; offset++)
        ;
    for (size_t offset = 0; record_of(&image, offset, &to) < 7; offset++)
        ;
    memset(image.bytes + from, 0, to - from);
    save(copy, image.bytes, end);
    assert_int_equal(mni_journal_read(copy, store, 0, look, &seen, &report), 0);
    assert_int_equal(seen.count, RECORDS - 3);
    assert_int_equal(report.damage_count, 1);
    assert_int_equal(report.damages[0].offset, from);
    assert_int_equal(report.damages[0].bytes, to - from);
    assert_int_equal(report.damages[0].first, 4);
    assert_int_equal(report.damages[0].records, 3);
    mni_journal_report_fini(&report);
    free(image.bytes);
}

/* Somebody's result may be another journal. Where the record that holds it is damaged the search for the next one goes
 * through it. */
static void records_of_another_journal_are_data(void **state)
{
    image_t image = load(path);
    mni_journal_t *journal = NULL;
    mni_journal_report_t report;
    uint8_t first = 0;
    (void)state;
    assert_int_equal(mni_journal_create(copy, another, 1, &journal), 0);
    assert_int_equal(
        mni_journal_put(journal, 1, image.bytes, image.size < 4096 ? image.size : 4096), 1);
    assert_int_equal(mni_journal_put(journal, 2, "behind", 6), 2);
    assert_int_equal(write_all(journal, true), 0);
    mni_journal_seal(journal);
    mni_journal_close(journal);
    int fd = open(copy, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &first, 1, MNI_JOURNAL_HEADER), 1);
    first ^= 1;
    assert_int_equal(pwrite(fd, &first, 1, MNI_JOURNAL_HEADER), 1);
    close(fd);
    assert_int_equal(mni_journal_read(copy, another, 0, NULL, NULL, &report), 0);
    assert_int_equal(report.records, 1);
    assert_int_equal(report.first, 2);
    assert_int_equal(report.damage_count, 1);
    mni_journal_report_fini(&report);
    free(image.bytes);
}

static void refused(const char *name, const char *why)
{
    mni_journal_report_t report;
    assert_int_equal(mni_journal_read(name, store, 0, NULL, NULL, &report), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), name));
    assert_non_null(strstr(mn_error_message(), why));
}

static void what_is_not_its_journal_is_refused(void **state)
{
    image_t image = load(path);
    mni_journal_t *journal = NULL;
    (void)state;
    refused("/nowhere/at/all", "No such file");
    refused(base, "not a file");
    save(copy, image.bytes, 0);
    refused(copy, "not a journal");
    save(copy,
         (const uint8_t *)"hello, this is text and no journal, certainly not of multinode, no", 64);
    refused(copy, "not a journal");
    for (size_t size = 8; size < MNI_JOURNAL_HEADER; size++) {
        save(copy, image.bytes, size);
        refused(copy, "ends in its header");
    }
    for (size_t offset = 12; offset < MNI_JOURNAL_HEADER; offset++) {
        image.bytes[offset] ^= 4;
        save(copy, image.bytes, image.size);
        image.bytes[offset] ^= 4;
        refused(copy, "header of the journal");
    }
    image.bytes[8] = MNI_JOURNAL_FORMAT + 1;
    save(copy, image.bytes, image.size);
    refused(copy, "this version reads up to");
    unlink(copy);
    assert_int_equal(mni_journal_create(copy, another, 1, &journal), 0);
    mni_journal_close(journal);
    refused(copy, "another store");
    assert_int_equal(mni_journal_create("/nowhere/at/all", store, 1, &journal), MN_E_STORE);
    free(image.bytes);
}

static void large_records_and_many_grow_the_file(void **state)
{
    size_t size = (size_t)5 << 20;
    uint8_t *data = calloc(1, size);
    mni_journal_t *journal = NULL;
    mni_journal_report_t report;
    (void)state;
    assert_non_null(data);
    assert_int_equal(mni_journal_create(copy, store, 1, &journal), 0);
    for (uint64_t number = 1; number <= 20000; number++) {
        assert_int_equal(mni_journal_put(journal, 7, data, number % 5000 == 0 ? size : 200),
                         number);
        if (number % 1000 == 0)
            assert_int_equal(write_all(journal, false), 0);
    }
    uint64_t bytes = mni_journal_bytes(journal);
    mni_journal_close(journal);
    assert_int_equal(mni_journal_read(copy, store, 0, NULL, NULL, &report), 0);
    assert_int_equal(report.records, 20000);
    assert_int_equal(report.end, bytes);
    assert_int_equal(report.torn, 0);
    mni_journal_report_fini(&report);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_written_is_read, setup),
        cmocka_unit_test_setup(one_that_was_read_goes_on, setup),
        cmocka_unit_test_setup(an_empty_one_goes_on_at_its_first_number, setup),
        cmocka_unit_test_setup(the_end_may_be_torn_at_any_byte, setup),
        cmocka_unit_test_setup(a_flipped_byte_costs_its_record_only, setup),
        cmocka_unit_test_setup(a_last_group_without_a_seal_ends_where_it_is_damaged, setup),
        cmocka_unit_test_setup(seals_are_no_records, setup),
        cmocka_unit_test_setup(zeros_in_the_middle_are_damage, setup),
        cmocka_unit_test_setup(records_of_another_journal_are_data, setup),
        cmocka_unit_test_setup(what_is_not_its_journal_is_refused, setup),
        cmocka_unit_test_setup(large_records_and_many_grow_the_file, setup),
    };
    if (!mkdtemp(base))
        return 99;
    snprintf(path, sizeof path, "%s/a.journal", base);
    snprintf(copy, sizeof copy, "%s/b.journal", base);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    unlink(copy);
    rmdir(base);
    return failed;
}
