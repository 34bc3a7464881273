/* SPDX-License-Identifier: MIT
 *
 * store/: the journal folded into the HDF5 file, at the end and in mid-run. Against a model of what each job is: whatever was told
 * comes back, oldest first, however rows and values were moved, written over, removed or rebuilt, and after a stop between any two
 * steps of a replacement.
 */
#include "store/internal.h"
#include "util/error.h"

#include <hdf5.h>

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 6000 /* more than have a group each */

static char base[] = "/tmp/test_store_fold_XXXXXX";
static char path[PATH_MAX], journal[PATH_MAX + 8], saved[PATH_MAX + 8];
static mni_doorbell_t bell;

/* --- a model ------------------------------------------------------------------------------------ */

typedef struct model {
    bool there;
    mn_status_t status;
    mn_type_t input_type, type; /* of input and result */
    size_t input_size, size;    /* bytes; SIZE_MAX: no value */
    unsigned seed;              /* of the result's bytes */
    unsigned yields;
    const char *error, *key;
} model_t;

static model_t model[MANY];
static unsigned count; /* jobs ever started */
static unsigned char bytes[300000];

static mn_id_t id_of(unsigned number)
{
    mn_id_t id = {{0}};
    memcpy(id.bytes + 12, &number, sizeof number);
    id.bytes[0] = (uint8_t)(number * 37);
    return id;
}

static mn_value_t value_of(mn_type_t type, size_t size, unsigned seed)
{
    if (size == SIZE_MAX)
        return mn_none();
    return mn_array(type, bytes + seed % 64 * 8, size / mn_type_size(type));
}

static mni_store_record_t record_of(unsigned number)
{
    const model_t *job = &model[number];
    return (mni_store_record_t){
        .info = {.id = id_of(number),
                 .job = "simulate",
                 .status = job->status,
                 .reason = job->status == MN_FAILED ? MN_REASON_ERROR : MN_REASON_NONE,
                 .error = job->error,
                 .key = job->key,
                 .created = 1000.5 + number,
                 .attempts = job->yields,
                 .rank = -1,
                 .yields = job->yields,
                 .result = value_of(job->type, job->size, job->seed)},
        .input = value_of(job->input_type, job->input_size, number),
        .parent = number % 3 == 1 ? id_of(number - 1) : (mn_id_t){{0}},
        .has_need = true,
        .need = {.max_concurrency = UINT32_MAX, .timeout = INFINITY, .max_lost = 3}};
}

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static mn_type_t some_type(unsigned random)
{
    static const mn_type_t types[] = {MN_BYTES,   MN_TEXT,    MN_INT16,
                                      MN_FLOAT64, MN_FLOAT64, MN_INT32};
    return types[random % 6];
}

/* Mostly small; some of none, without elements, too large for a pool. */
static size_t some_size(unsigned random)
{
    static const size_t sizes[] = {8, 8, 8, 16, 40, 0, 1024, SIZE_MAX};
    return random % 50 == 0 ? 3000 : sizes[random / 50 % 8];
}

static void told(int rc)
{
    if (rc < 0)
        fail_msg("%s", mn_error_message());
}

static void start_job(mni_store_t *store, unsigned *random)
{
    static const char *const keys[] = {NULL, NULL, NULL, "sample-17"};
    unsigned number = count++;
    model[number] = (model_t){.there = true,
                              .status = MN_PENDING,
                              .input_type = some_type(next_random(random)),
                              .input_size = some_size(next_random(random)),
                              .size = SIZE_MAX,
                              .key = keys[next_random(random) % 4]};
    mni_store_record_t record = record_of(number);
    told(mni_store_started(store, &record));
}

static void change_job(mni_store_t *store, unsigned number, unsigned *random)
{
    model_t *job = &model[number];
    job->type = some_type(next_random(random));
    do
        job->size = some_size(next_random(random));
    while (job->size == SIZE_MAX);
    job->seed = next_random(random);
    job->yields++;
    job->status = next_random(random) % 4 == 0 ? MN_FAILED : MN_SUCCEEDED;
    job->error = job->status == MN_FAILED ? "it did not converge" : NULL;
    mni_store_record_t record = record_of(number);
    told(mni_store_changed(store, MNI_STORE_YIELDED | MNI_STORE_CHANGED, &record));
}

static void remove_job(mni_store_t *store, unsigned number)
{
    model[number].there = false;
    told(mni_store_removed(store, id_of(number)));
}

/* --- a store and its audit ---------------------------------------------------------------------- */

static int no_jobs(void *argument, mni_store_record_t *record)
{
    (void)argument;
    (void)record;
    return 0;
}

static void check_same(mn_value_t value, mn_value_t expected)
{
    assert_int_equal(value.ndims, expected.ndims);
    assert_int_equal(value.size, expected.size);
    if (value.ndims > 0) {
        assert_int_equal(value.type, expected.type);
        assert_int_equal(value.dims[0], expected.dims[0]);
    }
    if (value.size > 0)
        assert_memory_equal(value.data, expected.data, value.size);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The next job that the store gives is the next one that the model has. */
static int check_job(void *argument, const mni_store_record_t *record)
{
    unsigned *next = argument;
    while (*next < count && !model[*next].there)
        ++*next;
    assert_true(*next < count);
    mni_store_record_t expected = record_of((*next)++);
    assert_true(mn_id_equal(record->info.id, expected.info.id));
    assert_int_equal(record->info.status, expected.info.status);
    assert_int_equal(record->info.yields, expected.info.yields);
    assert_true(record->info.created == expected.info.created);
    assert_true(same_text(record->info.error, expected.info.error));
    assert_true(same_text(record->info.key, expected.info.key));
    assert_int_equal(record->need.max_lost, 3);
    assert_true(mn_id_equal(record->parent, expected.parent));
    check_same(record->input, expected.input);
    check_same(record->info.result, expected.info.result);
    return 0;
}

static mni_store_t *open_store(void)
{
    mni_store_t *store = NULL;
    unsigned next = 0;

    told(mni_store_open(path, &store));
    told(mni_store_recover(store, check_job, &next));
    while (next < count && !model[next].there)
        next++;
    assert_int_equal(next, count);
    assert_null(mni_store_damage(store));
    return store;
}

static mni_store_t *begin_aged(double age)
{
    mni_store_t *store = open_store();
    mni_store_snapshot_age(store, age);
    told(mni_store_begin(store, MNI_DURABILITY_FLUSH, &bell, no_jobs, NULL));
    return store;
}

static mni_store_t *begin(void)
{
    return begin_aged(INFINITY);
}

static void wait_kept(mni_store_t *store)
{
    mni_store_commit(store);
    while (mni_store_kept(store) < mni_store_told(store)) {
        uint32_t seen = mni_doorbell_seen(&bell);
        told(mni_store_trouble(store, NULL));
        if (mni_store_kept(store) < mni_store_told(store))
            mni_doorbell_sleep(&bell, seen, UINT64_C(100000000));
    }
}

static void finish(mni_store_t *store)
{
    told(mni_store_finish(store, no_jobs, NULL));
    mni_store_close(store);
    assert_int_equal(access(journal, F_OK), -1);
}

static off_t size_of(const char *file)
{
    struct stat found;
    assert_int_equal(stat(file, &found), 0);
    return found.st_size;
}

/* What a reader of the file finds at this instant. */
static uint64_t number_in_file(const char *name)
{
    mni_hdf5_t before;
    uint64_t number = 0;

    mni_hdf5_enter(&before);
    hid_t file = mni_file_open(path);
    assert_true(file >= 0);
    told(mni_file_get(file, name, &number));
    H5Fclose(file);
    mni_hdf5_leave(&before);
    return number;
}

static void copy(const char *from, const char *to)
{
    char command[3 * PATH_MAX];
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

static int fresh(void **state)
{
    char command[PATH_MAX];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'/*", base);
    count = 0;
    return system(command);
}

/* --- tests -------------------------------------------------------------------------------------- */

/* Runs one after the other, each with jobs that are new, change and go; between them the model is what is in the store. */
static void runs(uint64_t groups, size_t window, unsigned random)
{
    const uint64_t groups_most = mni_groups_most;
    const size_t window_jobs = mni_window_jobs;

    mni_groups_most = groups;
    mni_window_jobs = window;
    for (int run = 0; run < 12; run++) {
        mni_store_t *store = begin();
        for (unsigned i = 0; i < MANY / 12; i++)
            start_job(store, &random);
        for (unsigned i = 0; i < MANY / 8; i++) {
            unsigned number = next_random(&random) % count;
            if (model[number].there && i % 5 == 0)
                remove_job(store, number);
            else if (model[number].there)
                change_job(store, number, &random);
        }
        finish(store);
    }
    mni_store_close(open_store());
    assert_true(number_in_file("dead") > 0);
    mni_groups_most = groups_most;
    mni_window_jobs = window_jobs;
}

static void runs_leave_what_was_told(void **state)
{
    (void)state;
    runs(mni_groups_most, mni_window_jobs, 1);
}

/* Where nearly all values are in pools, those of earlier runs too. */
static void values_in_pools_change(void **state)
{
    (void)state;
    runs(10, mni_window_jobs, 11);
}

/* A job may begin, change and go in different windows of one fold, and rows that one window has moved are changed by the next. */
static void a_fold_takes_many_windows(void **state)
{
    (void)state;
    runs(10, 7, 12);
}

/* The first and the last rows, all of them, and a job that begins and ends within the journal. */
static void removals_leave_no_holes(void **state)
{
    unsigned random = 2;

    (void)state;
    mni_store_t *store = begin();
    for (unsigned i = 0; i < 1000; i++)
        start_job(store, &random);
    finish(store);
    store = begin();
    for (unsigned i = 0; i < 10; i++)
        remove_job(store, i);
    for (unsigned i = 990; i < 1000; i++)
        remove_job(store, i);
    for (unsigned i = 20; i < 900; i += 3)
        remove_job(store, i);
    start_job(store, &random);
    remove_job(store, 1000);
    finish(store);
    store = begin();
    for (unsigned i = 0; i < count; i++)
        if (model[i].there)
            remove_job(store, i);
    finish(store);
    mni_store_close(open_store());
    store = begin();
    start_job(store, &random);
    finish(store);
    mni_store_close(open_store());
}

/* Results of 200 kB that are removed and come again: the file does not grow with each run. */
static void space_is_used_again(void **state)
{
    off_t first = 0;

    (void)state;
    for (int run = 0; run < 12; run++) {
        mni_store_t *store = begin();
        for (unsigned i = 0; i < count; i++)
            if (model[i].there)
                remove_job(store, i);
        for (unsigned i = 0; i < 20; i++) {
            unsigned number = count++;
            model[number] = (model_t){.there = true,
                                      .status = MN_SUCCEEDED,
                                      .input_size = SIZE_MAX,
                                      .type = MN_BYTES,
                                      .size = 200000,
                                      .yields = 1};
            mni_store_record_t record = record_of(number);
            told(mni_store_started(store, &record));
            told(mni_store_changed(store, MNI_STORE_YIELDED | MNI_STORE_CHANGED, &record));
        }
        finish(store);
        if (run == 1)
            first = size_of(path);
    }
    assert_true(size_of(path) < first * 3 / 2);
    mni_store_close(open_store());
}

/* When most of it is gone the file becomes small. */
static void a_rebuild_gives_space_back(void **state)
{
    unsigned random = 3;

    (void)state;
    mni_store_t *store = begin();
    for (unsigned i = 0; i < MANY; i++)
        start_job(store, &random);
    for (unsigned i = 0; i < MANY; i++)
        change_job(store, i, &random);
    finish(store);
    off_t full = size_of(path);
    store = begin();
    for (unsigned i = 0; i < MANY; i++)
        if (i % 20 != 0)
            remove_job(store, i);
    finish(store);
    assert_true(size_of(path) < full / 8);
    assert_int_equal(number_in_file("dead"), 0);
    mni_store_close(open_store());
}

/* A stop after each step of the replacement, and before the first. */
static void a_stop_between_two_steps_is_harmless(void **state)
{
    char left[PATH_MAX + 32], half[PATH_MAX + 32];
    unsigned random = 4;

    (void)state;
    snprintf(left, sizeof left, "%s.new.4711", path);
    snprintf(half, sizeof half, "%s.new", journal);
    for (int step = 0; step < 4; step++) {
        mni_store_t *store = begin();
        for (unsigned i = 0; i < 100; i++)
            start_job(store, &random);
        for (unsigned i = 0; i < count; i += 3)
            if (model[i].there)
                change_job(store, i, &random);
        remove_job(store, count - 1);
        wait_kept(store);
        uint64_t upto = mni_store_told(store);
        mni_store_close(store); /* a run that ends here leaves both files */
        copy(journal, saved);
        if (step == 0) /* while the file was made */
            copy(path, left);
        store = open_store();
        if (step >= 1) { /* the file is in place */
            told(mni_fold(&store->place, store->included, upto, false));
        }
        if (step == 2) /* while the journal that follows was made */
            copy(journal, half);
        if (step >= 3) { /* and it is in place */
            mni_journal_t *follower = NULL, *old = NULL;
            mni_journal_cursor_t cursor;
            told(mni_journal_continue(journal, store->place.id, &store->report, &old));
            told(mni_fold_follow(&store->place, upto, upto, &follower, &cursor));
            told(mni_journal_rename(follower, old));
            mni_journal_close(follower);
            mni_journal_close(old);
        }
        mni_store_close(store);
        store = begin();
        assert_int_equal(access(left, F_OK), -1);
        assert_int_equal(mni_store_told(store), upto);
        change_job(store, 0, &random);
        finish(store);
        assert_int_equal(access(half, F_OK), -1);
        mni_store_close(open_store());
    }
    /* and the old journal comes back after all */
    copy(saved, journal);
    mni_store_close(open_store());
}

/* A fold that failed when its file was in place already, as when the folder cannot be synced: the next one goes on from there. */
static void a_fold_that_failed_at_its_end_is_no_other_file(void **state)
{
    unsigned random = 7;

    (void)state;
    mni_store_t *store = begin();
    for (unsigned i = 0; i < 10; i++)
        start_job(store, &random);
    wait_kept(store);
    told(mni_fold(&store->place, store->included, mni_store_told(store), false));
    for (unsigned i = 0; i < 2; i++) {
        change_job(store, i, &random);
        wait_kept(store);
        told(mni_fold(&store->place, store->included, mni_store_told(store), false));
    }
    finish(store);
    mni_store_close(open_store());
}

/* The file follows the run, and the journal is cut behind it, while changes go on. */
static void snapshots_follow_the_run(void **state)
{
    unsigned random = 5;
    uint64_t seen = 0, file = 0;
    int snapshots = 0;
    off_t longest = 0;

    (void)state;
    mni_store_t *store = begin_aged(0);
    while (snapshots < 4) {
        if (count < 300)
            start_job(store, &random);
        for (unsigned i = 0; i < 20; i++) {
            unsigned number = next_random(&random) % count;
            if (model[number].there)
                change_job(store, number, &random);
        }
        wait_kept(store);
        assert_true((file = number_in_file("changes")) <= mni_store_kept(store));
        snapshots += file > seen;
        seen = file;
        if (size_of(journal) > longest)
            longest = size_of(journal);
    }
    mni_store_close(store); /* as a crash would: nothing is folded at the end */
    assert_true(number_in_file("changes") >= seen);
    mni_journal_report_t report;
    told(mni_journal_read(journal, (mn_id_t){{0}}, 0, NULL, NULL, &report));
    assert_true(report.first == 0 || report.first > 1);
    assert_int_equal(report.damage_count, 0);
    mni_journal_report_fini(&report);
    store = begin();
    finish(store);
    mni_store_close(open_store());
}

/* A child that is killed at any instant between, during or behind snapshots: what it was told to be kept is there. */
static void a_kill_in_a_snapshot_loses_nothing(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 12; round++) {
        int ends[2];
        unsigned kept = 0, one, start = count;
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            unsigned random = round;
            mni_store_t *store = begin_aged(0);
            for (;;) {
                start_job(store, &random);
                change_job(store, count - 1, &random);
                wait_kept(store);
                if (write(ends[1], &count, sizeof count) != sizeof count)
                    _exit(1);
                while (count == start + 20 * (round + 1) + 100) /* the parent is slow */
                    pause();
            }
        }
        close(ends[1]);
        while (kept < start + 20 * (round + 1) &&
               read(ends[0], &one, sizeof one) == (ssize_t)sizeof one)
            kept = one;
        kill(pid, SIGKILL);
        while (read(ends[0], &one, sizeof one) == (ssize_t)sizeof one)
            kept = one;
        close(ends[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_true(kept >= start + 20 * (round + 1));
        /* the same jobs again in the model; the one that was being told may be there or not, so it is removed */
        unsigned random = round;
        mni_store_t *null = NULL;
        told(mni_store_open(NULL, &null));
        while (count < kept) {
            start_job(null, &random);
            change_job(null, count - 1, &random);
        }
        mni_store_close(null);
        mni_store_t *store = NULL;
        told(mni_store_open(path, &store));
        mni_store_snapshot_age(store, INFINITY);
        told(mni_store_begin(store, MNI_DURABILITY_FLUSH, &bell, no_jobs, NULL));
        told(mni_store_removed(store, id_of(kept)));
        model[count++].there = false; /* its id is not used again */
        wait_kept(store);
        mni_store_close(store);
        mni_store_close(open_store());
    }
}

/* Another file has come into its place: that is told once, and changes are kept nevertheless. */
static void a_snapshot_that_fails_is_told(void **state)
{
    char text[MNI_ERROR_MAX] = "";
    unsigned random = 6;

    (void)state;
    mni_store_t *store = begin();
    start_job(store, &random);
    finish(store);
    copy(path, saved);
    store = begin_aged(0);
    start_job(store, &random);
    copy(saved, path);
    mni_hdf5_t before;
    mni_hdf5_enter(&before);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    told(mni_file_put(file, "changes", UINT64_C(1) << 40));
    H5Fclose(file);
    mni_hdf5_leave(&before);
    do {
        start_job(store, &random);
        wait_kept(store);
    } while (!mni_store_snapshot_trouble(store, text, sizeof text) && count < MANY);
    if (!strstr(text, "not the file any more"))
        fail_msg("\"%s\"", text);
    assert_false(mni_store_snapshot_trouble(store, text, sizeof text));
    assert_int_equal(mni_store_finish(store, no_jobs, NULL), MN_E_STORE);
    mni_store_close(store);
    assert_int_equal(access(journal, F_OK), 0);
}

/* --- a damaged file ------------------------------------------------------------------------------ */

static int take_any(void *argument, const mni_store_record_t *record)
{
    (void)argument;
    (void)record;
    return 0;
}

/* Changes the size of the first chunk of the table, in the leaf of the tree that says where its chunks are. The other chunks of the
 * file are those of pools, with 64 KiB. */
static void set_chunk_size(uint32_t size)
{
    static const char leaf[6] = {'T', 'R', 'E', 'E', 1, 0};
    size_t room = (size_t)size_of(path), at = 0;
    uint32_t there = 0;
    char *file = malloc(room);
    FILE *stream = fopen(path, "r+");

    assert_non_null(file);
    assert_non_null(stream);
    assert_int_equal(fread(file, 1, room, stream), room);
    for (; at + 28 < room; at++) {
        memcpy(&there, file + at + 24, sizeof there);
        if (memcmp(file + at, leaf, sizeof leaf) == 0 && there != 65536)
            break;
    }
    assert_true(at + 28 < room);
    assert_int_equal(fseek(stream, (long)at + 24, SEEK_SET), 0);
    assert_int_equal(fwrite(&size, sizeof size, 1, stream), 1);
    assert_int_equal(fclose(stream), 0);
    free(file);
}

/* Rows are read as whole chunks, and the file may say of a chunk that it is smaller or larger than it can be. */
static void a_chunk_of_a_wrong_size_is_found(void **state)
{
    static const uint32_t sizes[] = {1000, UINT32_MAX};
    unsigned random = 5;
    mni_store_t *store = begin();

    (void)state;
    for (unsigned i = 0; i < 2 * MNI_TABLE_CHUNK; i++)
        start_job(store, &random);
    finish(store);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        set_chunk_size(sizes[i]);
        told(mni_store_open(path, &store));
        assert_int_equal(mni_store_recover(store, take_any, NULL), MN_E_STORE);
        assert_non_null(strstr(mn_error_message(), "the table of jobs"));
        mni_store_close(store);
    }
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(base) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/store.h5", base);
    snprintf(journal, sizeof journal, "%s.journal", path);
    snprintf(saved, sizeof saved, "%s/saved", base);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)('a' + i * 7 % 23);
    return 0;
}

static int teardown(void **state)
{
    fresh(state);
    return rmdir(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(runs_leave_what_was_told, fresh),
        cmocka_unit_test_setup(values_in_pools_change, fresh),
        cmocka_unit_test_setup(a_fold_takes_many_windows, fresh),
        cmocka_unit_test_setup(removals_leave_no_holes, fresh),
        cmocka_unit_test_setup(space_is_used_again, fresh),
        cmocka_unit_test_setup(a_rebuild_gives_space_back, fresh),
        cmocka_unit_test_setup(a_stop_between_two_steps_is_harmless, fresh),
        cmocka_unit_test_setup(a_fold_that_failed_at_its_end_is_no_other_file, fresh),
        cmocka_unit_test_setup(snapshots_follow_the_run, fresh),
        cmocka_unit_test_setup(a_kill_in_a_snapshot_loses_nothing, fresh),
        cmocka_unit_test_setup(a_snapshot_that_fails_is_told, fresh),
        cmocka_unit_test_setup(a_chunk_of_a_wrong_size_is_found, fresh),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
