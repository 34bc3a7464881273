/* SPDX-License-Identifier: MIT
 *
 * store/: changes of jobs go into the journal and are there after a crash; one runtime at a time; file and journal belong
 * together.
 */
#include "store/changes.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/test_store_changes_XXXXXX";
static char path[PATH_MAX], journal[PATH_MAX + 8];
static mni_doorbell_t bell;

static mn_id_t id_of(uint8_t number)
{
    return (mn_id_t){{0x40, number, 0, 0, 0, 0, 0x40, 0, 0x80, 1}};
}

static mni_store_record_t record_of(uint8_t number)
{
    return (mni_store_record_t){.info = {.id = id_of(number),
                                         .job = "simulate",
                                         .created = 1000.5 + number,
                                         .rank = -1,
                                         .lock = number == 1 ? "table-7" : NULL,
                                         .tag = "sweep",
                                         .key = number == 2 ? "sample-17" : NULL},
                                .input = mn_text("an input"),
                                .need = {.millicores = 500,
                                         .memory = 1 << 20,
                                         .gpus = 2,
                                         .max_concurrency = UINT32_MAX,
                                         .max_retries = 2,
                                         .max_lost = 3,
                                         .priority = -4,
                                         .timeout = 60,
                                         .grace = 5}};
}

static int no_jobs(void *argument, mni_store_record_t *record)
{
    (void)argument;
    (void)record;
    return 0;
}

static int fail_to_take(void *argument, const mni_store_record_t *record)
{
    (void)argument;
    fail_msg("the store has a job %s", record->info.job);
    return 0;
}

static mni_store_t *begin(mni_durability_t durability)
{
    mni_store_t *store = NULL;
    if (mni_store_open(path, &store) < 0)
        fail_msg("%s", mn_error_message());
    assert_int_equal(mni_store_recover(store, fail_to_take, NULL), 0);
    assert_int_equal(mni_store_begin(store, durability, &bell, no_jobs, NULL), 0);
    return store;
}

static void wait_kept(mni_store_t *store)
{
    uint64_t told = mni_store_told(store);
    mni_store_commit(store);
    for (;;) {
        uint32_t seen = mni_doorbell_seen(&bell);
        if (mni_store_kept(store) >= told)
            return;
        assert_int_equal(mni_store_trouble(store, NULL), 0);
        mni_doorbell_sleep(&bell, seen, UINT64_C(100000000));
    }
}

/* The life of four jobs: 1 has begun and yielded, 2 has failed, 3 is removed, 4 waits. */
static void live(mni_store_t *store)
{
    static const double values[] = {0.5, 1.5};
    mni_store_record_t record = {0};

    for (uint8_t i = 1; i <= 4; i++) {
        record = record_of(i);
        assert_int_equal(mni_store_started(store, &record), 0);
    }
    record = record_of(1);
    record.info.attempts = 1;
    record.info.started = 2000;
    record.info.host = "n1";
    record.info.rank = 3;
    record.info.cpus = "4-7";
    assert_int_equal(mni_store_changed(store, MNI_STORE_BEGUN, &record), 0);
    record.info.yields = 7;
    record.info.progress = 0.25;
    record.info.message = "a quarter";
    record.info.result = mn_array(MN_FLOAT64, values, 2);
    assert_int_equal(mni_store_changed(store, MNI_STORE_YIELDED, &record), 0);
    record = record_of(2);
    record.info.status = MN_FAILED;
    record.info.reason = MN_REASON_ERROR;
    record.info.error = "it did not converge";
    record.info.attempts = 3;
    record.info.ended = 3000;
    record.info.cpu_time = 0.75;
    record.info.peak_memory = 5000000000;
    record.retries = 2;
    record.lost = 1;
    assert_int_equal(mni_store_changed(store, MNI_STORE_CHANGED, &record), 0);
    assert_int_equal(mni_store_removed(store, id_of(3)), 0);
    record = record_of(4); /* its whole life at once */
    record.info.status = MN_SUCCEEDED;
    record.info.reason = MN_REASON_RETURNED;
    record.info.attempts = 1;
    record.info.host = "n2";
    record.info.yields = 1;
    record.info.result = mn_array(MN_FLOAT64, values, 2);
    record.info.ended = 4000;
    assert_int_equal(
        mni_store_changed(store, MNI_STORE_BEGUN | MNI_STORE_YIELDED | MNI_STORE_CHANGED, &record),
        0);
}

static int check_life(void *argument, const mni_store_record_t *record)
{
    static const uint8_t expected[] = {1, 2, 4};
    unsigned *count = argument;
    const mn_info_t *info = &record->info;
    uint8_t number = info->id.bytes[1];
    mni_store_record_t as_started = record_of(number);

    assert_int_equal(number, expected[(*count)++]);
    assert_string_equal(info->job, "simulate");
    assert_string_equal(info->tag, "sweep");
    assert_true(info->created == as_started.info.created);
    assert_true(record->has_need);
    assert_memory_equal(&record->need, &as_started.need, sizeof record->need);
    assert_int_equal(record->input.size, 8);
    assert_memory_equal(record->input.data, "an input", 8);
    if (number == 1) {
        assert_int_equal(info->status, MN_RUNNING);
        assert_int_equal(info->attempts, 1);
        assert_true(info->started == 2000 && info->progress == 0.25);
        assert_string_equal(info->host, "n1");
        assert_string_equal(info->cpus, "4-7");
        assert_string_equal(info->lock, "table-7");
        assert_string_equal(info->message, "a quarter");
        assert_int_equal(info->rank, 3);
        assert_int_equal(info->yields, 7);
        assert_int_equal(info->result.dims[0], 2);
        assert_true(((const double *)info->result.data)[1] == 1.5);
    } else if (number == 2) {
        assert_int_equal(info->status, MN_FAILED);
        assert_int_equal(info->reason, MN_REASON_ERROR);
        assert_string_equal(info->error, "it did not converge");
        assert_string_equal(info->key, "sample-17");
        assert_int_equal(info->attempts, 3);
        assert_int_equal(record->retries, 2);
        assert_int_equal(record->lost, 1);
        assert_true(info->ended == 3000);
        assert_true(info->cpu_time == 0.75 && info->peak_memory == 5000000000);
    } else {
        assert_int_equal(info->status, MN_SUCCEEDED);
        assert_int_equal(info->reason, MN_REASON_RETURNED);
        assert_int_equal(info->attempts, 1);
        assert_string_equal(info->host, "n2");
        assert_int_equal(info->yields, 1);
        assert_true(((const double *)info->result.data)[0] == 0.5);
        assert_true(info->ended == 4000);
    }
    return 0;
}

static void check_store(void)
{
    mni_store_t *store = NULL;
    unsigned count = 0;
    if (mni_store_open(path, &store) < 0)
        fail_msg("%s", mn_error_message());
    if (mni_store_recover(store, check_life, &count) < 0)
        fail_msg("%s", mn_error_message());
    assert_int_equal(count, 3);
    assert_null(mni_store_damage(store));
    mni_store_close(store);
}

/* A process that ends without a word once all is kept. */
static void crash_after_life(mni_durability_t durability)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        mni_store_t *store = begin(durability);
        live(store);
        wait_kept(store);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void what_was_kept_is_there_after_a_crash(void **state)
{
    (void)state;
    for (int durability = MNI_DURABILITY_FSYNC; durability <= MNI_DURABILITY_FLUSH; durability++) {
        crash_after_life((mni_durability_t)durability);
        assert_int_equal(access(journal, F_OK), 0);
        check_store();
        check_store(); /* looking changes nothing */
        assert_int_equal(unlink(path), 0);
        assert_int_equal(unlink(journal), 0);
    }
}

typedef struct taken {
    mni_store_record_t records[3];
    unsigned count;
} taken_t;

/* The values of these are texts that live on. */
static int take(void *argument, const mni_store_record_t *record)
{
    taken_t *taken = argument;
    taken->records[taken->count] = record_of(record->info.id.bytes[1]);
    taken->records[taken->count++].info.status = record->info.status;
    return 0;
}

static int give(void *argument, mni_store_record_t *record)
{
    taken_t *taken = argument;
    if (taken->count == 0)
        return 0;
    *record = taken->records[--taken->count];
    return 1;
}

static void a_later_run_goes_on_with_the_numbers(void **state)
{
    mni_store_t *store = NULL;
    taken_t taken = {.count = 0};
    uint64_t told;

    (void)state;
    crash_after_life(MNI_DURABILITY_FSYNC);
    assert_int_equal(mni_store_open(path, &store), 0);
    assert_int_equal(mni_store_recover(store, take, &taken), 0);
    assert_int_equal(mni_store_begin(store, MNI_DURABILITY_FSYNC, &bell, give, &taken), 0);
    told = mni_store_told(store);
    assert_int_equal(told, 9);
    assert_int_equal(mni_store_kept(store), told);
    assert_int_equal(mni_store_removed(store, id_of(4)), 0);
    assert_int_equal(mni_store_told(store), told + 1);
    wait_kept(store);
    assert_int_equal(mni_store_finish(store, give, &taken), 0);
    mni_store_close(store);
    assert_int_equal(access(journal, F_OK), -1);
    /* the next one begins behind what the file includes */
    taken.count = 0;
    assert_int_equal(mni_store_open(path, &store), 0);
    assert_int_equal(mni_store_recover(store, take, &taken), 0);
    assert_int_equal(taken.count, 2);
    assert_int_equal(mni_store_begin(store, MNI_DURABILITY_FLUSH, &bell, give, &taken), 0);
    assert_int_equal(mni_store_told(store), told + 1);
    mni_store_close(store);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(journal), 0);
}

/* Changes a byte of the first record about a job. */
static void damage_start(uint8_t number)
{
    mn_id_t id = id_of(number), found = {{0}};
    int fd = open(journal, O_RDWR | O_CLOEXEC);
    off_t at = 0;

    assert_true(fd >= 0);
    while (!mn_id_equal(found, id)) {
        assert_int_equal(pread(fd, &found, sizeof found, at), sizeof found);
        at += 8;
    }
    assert_int_equal(pwrite(fd, "?", 1, at + 16), 1);
    close(fd);
}

static void what_is_damaged_is_told(void **state)
{
    mni_store_t *store = NULL;
    taken_t taken = {.count = 0};

    (void)state;
    crash_after_life(MNI_DURABILITY_FLUSH);
    damage_start(4);
    damage_start(1);
    assert_int_equal(mni_store_open(path, &store), 0);
    assert_null(mni_store_damage(store));
    assert_int_equal(mni_store_recover(store, take, &taken), 0);
    assert_int_equal(taken.count, 1);
    assert_true(mn_id_equal(taken.records[0].info.id, id_of(2)));
    assert_non_null(strstr(mni_store_damage(store), "records 1 to 1 are lost"));
    assert_non_null(strstr(mni_store_damage(store), "records 4 to 4 are lost"));
    assert_non_null(
        strstr(mni_store_damage(store), "job 40010000-0000-4000-8001-000000000000 is lost"));
    /* and nobody is kept from going on */
    assert_int_equal(mni_store_begin(store, MNI_DURABILITY_FLUSH, &bell, give, &taken), 0);
    assert_int_equal(mni_store_finish(store, give, &taken), 0);
    mni_store_close(store);
    assert_int_equal(unlink(path), 0);
}

/* Values in files: what is put comes back; what is cut off, or names nothing, is refused. */
static void names_of_files_are_put_and_applied(void **state)
{
    mni_store_record_t record = record_of(1), back = {0};
    mni_writer_t writer = {0};
    mni_journal_record_t change;

    (void)state;
    record.input = (mn_value_t){
        .type = MN_FLOAT32, .ndims = 3, .dims = {2, 3, 1 << 20}, .size = (size_t)24 << 20};
    record.info.result =
        (mn_value_t){.type = MN_TEXT, .ndims = 1, .dims = {2 << 20}, .size = 2 << 20};
    record.info.yields = 3;
    record.info.cpu_time = 1.25;
    record.info.peak_memory = 77 << 20;
    record.info.status = MN_SUCCEEDED;
    record.input_file = "a.values/b";
    record.result_file = "c.values/d";
    change.type = mni_change_put_start(&writer, &record);
    assert_int_equal(mni_writer_end(&writer), 0);
    change.data = writer.data + MNI_FRAME_HEADER;
    change.size = writer.size - MNI_FRAME_HEADER;
    assert_int_equal(change.type, MNI_CHANGE_START_FILE);
    assert_int_equal(mni_change_set(&change),
                     MNI_CHANGE_BIT(MNI_CHANGE_START) | MNI_CHANGE_BIT(MNI_CHANGE_START_FILE));
    assert_int_equal(mni_change_apply(&change, &back), 0);
    assert_string_equal(back.input_file, "a.values/b");
    assert_null(back.result_file);
    assert_null(back.input.data);
    assert_int_equal(back.input.size, (size_t)24 << 20);
    assert_memory_equal(back.input.dims, record.input.dims, sizeof back.input.dims);
    for (unsigned several = 0; several < 2; several++) {
        unsigned set =
            MNI_CHANGE_BIT(MNI_CHANGE_VALUE) | (several ? MNI_CHANGE_BIT(MNI_CHANGE_STATE) : 0);
        change.type = mni_change_put(&writer, set, &record);
        assert_int_equal(mni_writer_end(&writer), 0);
        change.data = writer.data + MNI_FRAME_HEADER;
        change.size = writer.size - MNI_FRAME_HEADER;
        assert_int_equal(change.type, several ? MNI_CHANGE_SEVERAL : MNI_CHANGE_VALUE_FILE);
        assert_int_equal(mni_change_set(&change), set | MNI_CHANGE_BIT(MNI_CHANGE_VALUE_FILE));
        back.info.status = MN_RUNNING;
        assert_int_equal(mni_change_apply(&change, &back), 0);
        assert_string_equal(back.result_file, "c.values/d");
        assert_string_equal(back.input_file, "a.values/b");
        assert_int_equal(back.info.result.size, 2 << 20);
        assert_int_equal(back.info.status, several ? MN_SUCCEEDED : MN_RUNNING);
        assert_true(back.info.cpu_time == (several ? 1.25 : 0));
        assert_int_equal(back.info.peak_memory, several ? 77 << 20 : 0);
        /* A part of it is nothing, but for what format 3 had of it. */
        size_t early = several ? change.size - 16 : 0;
        while (change.size-- > 0)
            assert_int_equal(mni_change_apply(&change, &back),
                             change.size > 0 && change.size == early ? 0 : MN_E_STORE);
        back.info.cpu_time = 0;
        back.info.peak_memory = 0;
        /* a value that is in the record again */
        record.result_file = NULL;
        record.info.result = mn_text("small");
        change.type = mni_change_put(&writer, set, &record);
        assert_int_equal(mni_writer_end(&writer), 0);
        change.data = writer.data + MNI_FRAME_HEADER;
        change.size = writer.size - MNI_FRAME_HEADER;
        assert_int_equal(mni_change_apply(&change, &back), 0);
        assert_null(back.result_file);
        assert_memory_equal(back.info.result.data, "small", 5);
        record.result_file = "c.values/d";
        record.info.result =
            (mn_value_t){.type = MN_TEXT, .ndims = 1, .dims = {2 << 20}, .size = 2 << 20};
    }
    /* dimensions that make too many bytes */
    record.info.result.dims[0] = MN_MAX_VALUE + 1;
    change.type = mni_change_put(&writer, MNI_CHANGE_BIT(MNI_CHANGE_VALUE), &record);
    assert_int_equal(mni_writer_end(&writer), 0);
    change.data = writer.data + MNI_FRAME_HEADER;
    change.size = writer.size - MNI_FRAME_HEADER;
    assert_int_equal(mni_change_apply(&change, &back), MN_E_STORE);
    mni_writer_fini(&writer);
}

static void one_runtime_at_a_time(void **state)
{
    mni_store_t *store = begin(MNI_DURABILITY_FLUSH);
    char expected[64];
    int status = 0;

    (void)state;
    snprintf(expected, sizeof expected, "pid %ld", (long)getpid());
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        mni_store_t *second = NULL;
        int rc = mni_store_open(path, &second);
        _exit(rc != MN_E_STORE || !strstr(mn_error_message(), expected) ||
              !strstr(mn_error_message(), path));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    mni_store_close(store);
    assert_int_equal(unlink(journal), 0);
    store = begin(MNI_DURABILITY_MEMORY);
    assert_int_equal(access(journal, F_OK), -1);
    assert_int_equal(mni_store_told(store), mni_store_kept(store));
    mni_store_close(store);
    assert_int_equal(unlink(path), 0);
}

static void refused(const char *words)
{
    mni_store_t *store = NULL;
    assert_int_equal(mni_store_open(path, &store), MN_E_STORE);
    if (!strstr(mn_error_message(), words))
        fail_msg("%s", mn_error_message());
}

static void file_and_journal_belong_together(void **state)
{
    char away[PATH_MAX + 16];

    (void)state;
    snprintf(away, sizeof away, "%s.away", journal);
    crash_after_life(MNI_DURABILITY_FLUSH);
    assert_int_equal(unlink(path), 0);
    refused("its HDF5 file");
    assert_int_equal(rename(journal, away), 0);
    crash_after_life(MNI_DURABILITY_FLUSH);
    assert_int_equal(rename(away, journal), 0);
    refused("belongs to another store");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(journal), 0);
}

static void durabilities_have_names(void **state)
{
    mni_durability_t durability = MNI_DURABILITY_FSYNC;

    (void)state;
    assert_int_equal(mni_durability_parse("memory", &durability), 0);
    assert_int_equal(durability, MNI_DURABILITY_MEMORY);
    assert_int_equal(mni_durability_parse("flush", &durability), 0);
    assert_int_equal(durability, MNI_DURABILITY_FLUSH);
    assert_int_equal(mni_durability_parse("disk", &durability), MN_E_INVALID);
    assert_non_null(strstr(mn_error_message(), "fsync, flush or memory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_is_there_after_a_crash),
        cmocka_unit_test(a_later_run_goes_on_with_the_numbers),
        cmocka_unit_test(what_is_damaged_is_told),
        cmocka_unit_test(names_of_files_are_put_and_applied),
        cmocka_unit_test(one_runtime_at_a_time),
        cmocka_unit_test(file_and_journal_belong_together),
        cmocka_unit_test(durabilities_have_names),
    };
    if (!mkdtemp(base))
        return 1;
    snprintf(path, sizeof path, "%s/store.h5", base);
    snprintf(journal, sizeof journal, "%s.journal", path);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[PATH_MAX];
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command) != 0 || failed != 0;
}
