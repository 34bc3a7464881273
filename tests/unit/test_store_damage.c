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
#define SEALED 8192u /* a record is named by a seal so far behind it, or a little further */

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

/* The record without the seals in front of it. */
static void cut_seals(uint64_t number)
{
    uint32_t type;
    uint64_t found;

    for (size_t *at = &records[number - first].begin; *at < records[number - first].end; *at += 8) {
        memcpy(&type, image + *at + 4, sizeof type);
        memcpy(&found, image + *at + 16, sizeof found);
        if (memcmp(image + *at, "JRNL", 4) == 0 && type != 0x7fffffff && le64toh(found) == number)
            return;
    }
    fail_msg("record %llu is nowhere", (unsigned long long)number);
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
    for (uint64_t number = first; number <= last; number++)
        cut_seals(number);
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
    options.steps = 600;
    options.jobs = 40;
    uint32_t before = log_->count;
    assert_true(client_session(path, log_, &options));
    assert_int_equal(log_->rc, 0);
    assert_int_equal(log_->acknowledged, log_->count);
    image = file_load(journal, &size);
    for (used = size; image[used - 1] == 0; used--)
        ;
    assert_true(used > 4 * TAIL);
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

/* Whether a seal behind tells of each record in a part: not of those that are too near the end. */
static bool is_told(size_t end)
{
    uint64_t i = 0;
    while (i < last - first && records[i].end < end)
        i++;
    return records[i].end + SEALED < records[last - first].begin;
}

/* Jobs with records in a part of the journal; of zeros in their ends zeros make nothing else. */
static uint64_t jobs_in(size_t begin, size_t end, bool zeros)
{
    uint64_t jobs = 0;
    for (uint64_t i = 0; i <= last - first; i++)
        for (size_t at = records[i].begin > begin ? records[i].begin : begin;
             at < records[i].end && at < end; at++)
            if (!zeros || image[at] != 0)
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
    char what[64], why[512], damage[CLIENT_DAMAGE];
    uint64_t jobs = jobs_in(at, at + 1, false);

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
            bool in_id = !is_told(at + 1) && at < records[record].begin + MNI_JOURNAL_RECORD + 16;
            check_flip(at, 0x01, in_id);
            check_flip(at, 0xff, in_id);
        }
    }
}

/* Behind it all is as it was, and of whom the records were is known. */
static void zeros_touch_the_jobs_that_are_there(void **state)
{
    char what[64], why[512], damage[CLIENT_DAMAGE];
    unsigned named = 0;
    (void)state;
    for (size_t size = 512; size <= 4096; size *= 2)
        for (size_t at = 512; at + size < records[last - first].begin; at += 64 * step) {
            uint8_t *copy = malloc(used + 64);
            assert_non_null(copy);
            memcpy(copy, image, used + 64);
            memset(copy + at, 0, size);
            file_save(journal, copy, used + 64);
            free(copy);
            uint64_t jobs = jobs_in(at, at + size, true); /* none: seals, or a value of zeros */
            if (!client_audit_damaged(path, log_, jobs, damage, why))
                fail_msg("SEED=%llu, %zu zeros at %zu: %s (%s)", (unsigned long long)seed, size, at,
                         why, damage);
            if (jobs != 0 && !strstr(damage, "damaged"))
                fail_msg("SEED=%llu, %zu zeros at %zu are not told: %s", (unsigned long long)seed,
                         size, at, damage);
            snprintf(what, sizeof what, "%zu zeros at %zu", size, at);
            if (is_told(at + size)) {
                check_named(jobs, damage, what, false);
                named++;
            }
        }
    assert_true(named > 0);
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
