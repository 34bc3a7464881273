/* SPDX-License-Identifier: MIT
 *
 * A whole store whose journal is damaged: cut at every byte of its last 4 KiB, each byte of some records changed, blocks of zeros.
 * The recovery never crashes and never invents: what is whole before a cut is there and nothing else; of a damaged record only its
 * job is touched, and told.
 *
 * FAULT_STEP=N takes every N-th byte only (1 for all of them, by hand: CONTRIBUTING.md). SEED: another store.
 *
 * Where each record lies is found out by cutting, not taken from the reader's report.
 */
#include "store_client.h"
#include "store_folder.h"

#include "store/journal.h"

#define TAIL 4096u
#define RECORDS 1024u

static char folder[PATH_MAX], path[PATH_MAX], journal[PATH_MAX];
static client_log_t *log_;
static uint8_t *image;       /* of the journal */
static size_t used;          /* up to the last byte that is not zero */
static uint32_t settled;     /* entries of the log before those that the journal has */
static uint64_t first, last; /* numbers of the journal's records */
static struct {
    size_t begin, end;
    uint32_t job;
} records[RECORDS];
static uint64_t seed;
static unsigned step; /* bytes from one cut, or change, to the next */

/* --- a store and its journal ----------------------------------------------------------------------- */

static uint64_t last_of(size_t size)
{
    mni_journal_report_t report;
    file_save(journal, image, size);
    if (mni_journal_read(journal, (mn_id_t){{0}}, 0, NULL, NULL, &report) < 0)
        fail_msg("%s", mn_error_message());
    uint64_t number = report.last;
    mni_journal_report_fini(&report);
    return number;
}

static void find_records(void)
{
    size_t begin = MNI_JOURNAL_HEADER;
    uint64_t before = 0;

    for (size_t size = MNI_JOURNAL_HEADER; size <= used + 8; size++) {
        uint64_t number = last_of(size);
        if (number == before)
            continue;
        if (before == 0)
            first = number;
        else
            assert_int_equal(number, before + 1);
        before = number;
        assert_true(number - first < RECORDS);
        records[number - first].begin = begin;
        records[number - first].end = size;
        begin = size;
    }
    last = before;
    for (uint32_t i = settled; i < log_->count; i++)
        records[log_->entries[i].told - first].job = log_->entries[i].job;
}

static int make_store(void **state)
{
    client_options_t options = {.seed = seed, .jobs = 8, .steps = 40, .patience = 1000};
    size_t size = 0;
    (void)state;

    log_ = calloc(1, sizeof *log_);
    assert_non_null(log_);
    assert_true(client_session(path, log_, &options));
    assert_int_equal(log_->rc, 0);
    options.cut = true;
    options.seed++;
    options.steps = 150;
    uint32_t before = log_->count;
    assert_true(client_session(path, log_, &options));
    assert_int_equal(log_->rc, 0);
    assert_int_equal(log_->acknowledged, log_->count);
    image = file_load(journal, &size);
    for (used = size; image[used - 1] == 0; used--)
        ;
    assert_true(used > 2 * TAIL);
    /* what the store gave at the beginning of the second session is in its file */
    for (settled = before; log_->entries[settled].told <= log_->entries[before - 1].told; settled++)
        ;
    find_records();
    assert_int_equal(log_->entries[settled].told, first);
    assert_int_equal(log_->entries[log_->count - 1].told, last);
    print_message("# %llu records, %zu bytes\n", (unsigned long long)(last - first + 1), used);
    return 0;
}

static int drop_store(void **state)
{
    (void)state;
    free(log_);
    free(image);
    folder_clear(folder);
    return 0;
}

/* --- tests ---------------------------------------------------------------------------------------------- */

static void what_is_before_a_cut_is_there(void **state)
{
    client_log_t *part = malloc(sizeof *part);
    char why[512];
    (void)state;

    assert_non_null(part);
    memcpy(part, log_, sizeof *part);
    for (size_t size = used - TAIL; size <= used; size += step) {
        uint64_t number = first - 1;
        while (number < last && records[number + 1 - first].end <= size)
            number++;
        part->count = settled;
        while (part->count < log_->count && log_->entries[part->count].told <= number)
            part->count++;
        part->acknowledged = part->count;
        file_save(journal, image, size);
        if (!client_audit(path, part, why))
            fail_msg("SEED=%llu, cut at %zu: %s", (unsigned long long)seed, size, why);
    }
    free(part);
}

/* Jobs with records in a part of the journal. */
static uint64_t jobs_in(size_t begin, size_t end)
{
    uint64_t jobs = 0;
    for (uint64_t i = 0; i <= last - first; i++)
        if (records[i].begin < end && records[i].end > begin)
            jobs |= UINT64_C(1) << records[i].job;
    return jobs;
}

/* `in_id`: where the record has its job's id, so that it reads as another one. */
static void check_named(uint64_t jobs, const char *damage, const char *what, bool in_id)
{
    char text[MN_ID_TEXT];
    for (uint32_t job = 1; job < CLIENT_JOBS; job++) {
        bool touched = jobs & UINT64_C(1) << job;
        bool named = strstr(damage, mn_id_format(client_id(job), text)) != NULL;
        bool nearly = in_id && touched && strstr(damage, "as its id reads there");
        if (touched != named && !nearly)
            fail_msg("SEED=%llu, %s: job %s is %s: %s", (unsigned long long)seed, what, text,
                     touched ? "not told" : "told and not touched", damage);
    }
}

static void check_flip(size_t at, uint8_t change, bool in_id)
{
    char what[64], why[512], damage[4096];
    uint64_t jobs = jobs_in(at, at + 1);

    image[at] ^= change;
    file_save(journal, image, used + 64);
    image[at] ^= change;
    snprintf(what, sizeof what, "byte %zu changed by %#x", at, change);
    if (!client_audit_damaged(path, log_, jobs, damage, why))
        fail_msg("SEED=%llu, %s: %s (%s)", (unsigned long long)seed, what, why, damage);
    if (damage[0])
        check_named(jobs, damage, what, in_id);
    else if (!client_audit(path, log_, why)) /* it was a seal, or behind the data */
        fail_msg("SEED=%llu, %s is not told, and: %s", (unsigned long long)seed, what, why);
}

static void a_changed_byte_touches_one_job(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        uint64_t record = i < 5 ? (last - first) * i / 5 : last - first;
        size_t end = records[record].end;
        if (end - records[record].begin > 600)
            end = records[record].begin + 600;
        for (size_t at = records[record].begin; at < end; at += step) {
            check_flip(at, 0x01, at < records[record].begin + 96); /* a seal may be in front */
            check_flip(at, 0xff, at < records[record].begin + 96);
        }
    }
}

/* Behind it all is as it was. Of whom the records were nobody can say. */
static void zeros_touch_the_jobs_that_are_there(void **state)
{
    char why[512], damage[4096];
    (void)state;
    for (size_t size = 512; size <= 4096; size *= 2)
        for (size_t at = 512; at + size < records[last - first].begin; at += 64 * step) {
            uint8_t *copy = malloc(used + 64);
            assert_non_null(copy);
            memcpy(copy, image, used + 64);
            memset(copy + at, 0, size);
            file_save(journal, copy, used + 64);
            free(copy);
            if (!client_audit_damaged(path, log_, jobs_in(at, at + size), damage, why))
                fail_msg("SEED=%llu, %zu zeros at %zu: %s (%s)", (unsigned long long)seed, size, at,
                         why, damage);
            if (!strstr(damage, "damaged"))
                fail_msg("SEED=%llu, %zu zeros at %zu are not told: %s", (unsigned long long)seed,
                         size, at, damage);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_before_a_cut_is_there),
        cmocka_unit_test(a_changed_byte_touches_one_job),
        cmocka_unit_test(zeros_touch_the_jobs_that_are_there),
    };
    const char *text = getenv("SEED");
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)getpid();
    text = getenv("FAULT_STEP");
    step = text && atoi(text) > 0 ? (unsigned)atoi(text) : 13;
    print_message("# SEED=%llu FAULT_STEP=%u\n", (unsigned long long)seed, step);
    folder_begin("test_store_damage");
    path_make(folder, base, "store");
    path_make(path, folder, "store.h5");
    path_make(journal, folder, "store.h5.journal");
    mkdir(folder, 0700);
    int failed = cmocka_run_group_tests(tests, make_store, drop_store);
    folder_end();
    return failed;
}
