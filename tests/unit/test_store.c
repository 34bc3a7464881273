/* SPDX-License-Identifier: MIT
 *
 * store/: what is written is read back through HDF5 (and h5dump and h5py where they are installed), and earlier jobs stay.
 */
#include "store_batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- writing ---------------------------------------------------------------------------------- */

static void test_values(void **state)
{
    static const double matrix[2][3] = {{1.5, -2, 3}, {4, 5, 1e300}};
    static const unsigned char raw[20000] = {0, 1, 255, 'z', 0, 7};
    const size_t dims[4] = {2, 1, 3, 2}, none[2] = {0, 3};
    const struct {
        mn_value_t value;
        hid_t type;
    } cases[] = {
        {mn_array(MN_INT8, raw, 5), H5T_NATIVE_INT8},
        {mn_array(MN_INT16, raw, 5), H5T_NATIVE_INT16},
        {mn_array(MN_INT32, raw, 5), H5T_NATIVE_INT32},
        {mn_array(MN_INT64, raw, 5), H5T_NATIVE_INT64},
        {mn_array(MN_UINT8, raw, 5), H5T_NATIVE_UINT8},
        {mn_array(MN_UINT16, raw, 5), H5T_NATIVE_UINT16},
        {mn_array(MN_UINT32, raw, 5), H5T_NATIVE_UINT32},
        {mn_array(MN_UINT64, raw, 5), H5T_NATIVE_UINT64},
        {mn_array(MN_FLOAT32, raw, 5), H5T_NATIVE_FLOAT},
        {mn_matrix(MN_FLOAT64, matrix, 2, 3), H5T_NATIVE_DOUBLE},
        {mn_tensor(MN_INT16, raw, 4, dims), H5T_NATIVE_INT16},
        {mn_bytes(raw, sizeof raw), H5T_NATIVE_UINT8},
        {mn_array(MN_UINT8, raw, 8 << 10), H5T_NATIVE_UINT8},
        {mn_bytes(raw, 1), H5T_NATIVE_UINT8},
        {mn_bytes(NULL, 0), H5T_NATIVE_UINT8},
        {mn_tensor(MN_FLOAT64, NULL, 2, none), H5T_NATIVE_DOUBLE},
        {mn_text("gr\xc3\xbc\xc3\x9f dich"), 0},
        {mn_text(""), 0},
        {mn_array(MN_TEXT, raw, sizeof raw), 0},
    };
    enum { COUNT = sizeof cases / sizeof cases[0] };
    mni_store_record_t records[COUNT + 1];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        records[i] = record_of(i, cases[i].value, cases[COUNT - 1 - i].value);
    records[COUNT] = record_of(COUNT, mn_none(), mn_none());
    assert_int_equal(write_records(path, records, COUNT + 1), 0);

    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    for (unsigned i = 0; i < COUNT; i++) {
        check_value(file, i, "input", cases[i].value, cases[i].type);
        check_value(file, i, "result", cases[COUNT - 1 - i].value, cases[COUNT - 1 - i].type);
    }
    assert_true(open_value(file, COUNT, "input") < 0);
    assert_true(open_value(file, COUNT, "result") < 0);
    H5Fclose(file);
    assert_int_equal(count_files(base), 1);
    remove_all();
}

static void test_columns(void **state)
{
    mni_store_record_t records[2] = {record_of(1, mn_none(), mn_none()),
                                     record_of(2, mn_none(), mn_none())};
    char error[1024];
    size_t count;

    (void)state;
    memset(error, 'e', sizeof error - 1);
    error[sizeof error - 1] = '\0';
    records[0].info.status = MN_FAILED;
    records[0].info.reason = MN_REASON_OUT_OF_MEMORY;
    records[0].info.error = error;
    records[0].info.lock = "table-7 \xc3\xbc";
    records[0].info.rank = -1;
    records[0].info.attempts = 4000000000U;
    records[1].info.status = MN_CANCELLING;
    records[1].info.yields = UINT64_MAX;
    assert_int_equal(write_records(path, records, 2), 0);

    seen_t *rows = read_table(path, &count);
    assert_int_equal(count, 2);
    assert_string_equal(rows[0].status, "FAILED");
    assert_string_equal(rows[0].reason, "out-of-memory");
    assert_string_equal(rows[0].error, error);
    assert_string_equal(rows[0].lock, "table-7 \xc3\xbc");
    assert_int_equal(rows[0].rank, -1);
    assert_int_equal(rows[0].attempts, 4000000000U);
    assert_string_equal(rows[1].status, "CANCELLING");
    assert_null(rows[1].error);
    assert_null(rows[1].lock);
    assert_true(rows[1].yields == UINT64_MAX);
    assert_int_equal(rows[1].rank, 2);
    free_table(rows, count);
    remove_all();
}

static void test_no_jobs_and_no_path(void **state)
{
    mni_store_t *store = NULL;
    batch_t batch = {.fail_at = 0};

    (void)state;
    assert_int_equal(mni_store_open(NULL, &store), 0);
    assert_int_equal(mni_store_finish(store, visit, &batch), 0);
    mni_store_close(store);
    mni_store_close(NULL);
    assert_int_equal(write_records(path, NULL, 0), 0);
    check_ids(path, NULL, 0);
    assert_int_equal(write_records(path, NULL, 0), 0);
    assert_int_equal(count_files(base), 1);
    remove_all();
}

static void check_same(mn_value_t value, mn_value_t expected)
{
    assert_int_equal(value.type, expected.type);
    assert_int_equal(value.ndims, expected.ndims);
    assert_int_equal(value.size, expected.size);
    for (unsigned i = 0; i < value.ndims; i++)
        assert_int_equal(value.dims[i], expected.dims[i]);
    if (value.size > 0)
        assert_memory_equal(value.data, expected.data, value.size);
}

static int check_taken(void *argument, const mni_store_record_t *record)
{
    batch_t *batch = argument;
    assert_true(batch->next < batch->count);
    const mni_store_record_t *expected = &batch->record[batch->next++];
    assert_true(mn_id_equal(record->info.id, expected->info.id));
    assert_string_equal(record->info.job, expected->info.job);
    assert_int_equal(record->info.status, expected->info.status);
    assert_int_equal(record->info.reason, expected->info.reason);
    assert_int_equal(record->info.yields, expected->info.yields);
    assert_true(record->info.created == expected->info.created);
    assert_int_equal(record->info.error != NULL, expected->info.error != NULL);
    if (record->info.error != NULL)
        assert_string_equal(record->info.error, expected->info.error);
    check_same(record->input, expected->input);
    check_same(record->info.result, expected->info.result);
    return 0;
}

/* What was written is read back; then another file takes its place, with its permissions. */
static void test_earlier_jobs(void **state)
{
    const int32_t a[] = {1, 2, 3}, b[] = {4, 5};
    const size_t none[2] = {0, 3};
    mn_value_t va = mn_array(MN_INT32, a, 3), vb = mn_array(MN_INT32, b, 2);
    mni_store_record_t first[5] = {
        record_of(1, va, mn_bytes(a, 5)), record_of(2, mn_text("gr\xc3\xbc\xc3\x9f dich"), va),
        record_of(3, mn_text(""), mn_none()),
        record_of(4, mn_tensor(MN_FLOAT64, NULL, 2, none), vb),
        record_of(5, mn_array(MN_UINT16, a, 2), mn_array(MN_FLOAT32, a, 3))};
    mni_store_record_t second[2] = {record_of(2, vb, mn_none()), record_of(4, vb, vb)};
    batch_t expected = {.record = first, .count = 5}, given = {.record = second, .fail_at = -1};
    char link_path[PATH_MAX + 8];
    mni_store_t *store = NULL;
    struct stat found;

    (void)state;
    given.count = 2;
    first[0].info.error = "an earlier sentence";
    first[0].info.status = MN_FAILED;
    first[0].info.reason = MN_REASON_OUT_OF_MEMORY;
    first[1].info.status = MN_PENDING;
    first[1].info.reason = MN_REASON_NONE;
    assert_int_equal(write_records(path, first, 5), 0);
    assert_int_equal(chmod(path, 0640), 0);
    /* through a symbolic link: the file behind it is replaced, not the link */
    snprintf(link_path, sizeof link_path, "%s.link", path);
    assert_int_equal(symlink(path, link_path), 0);
    assert_int_equal(mni_store_open(link_path, &store), 0);
    assert_int_equal(mni_store_recover(store, check_taken, &expected), 0);
    assert_int_equal(expected.next, 5);
    assert_null(mni_store_damage(store));
    assert_int_equal(mni_store_finish(store, visit, &given), 0);
    mni_store_close(store);
    check_ids(path, (const unsigned[]){2, 4}, 2);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0640);
    assert_int_equal(lstat(link_path, &found), 0);
    assert_true(S_ISLNK(found.st_mode));
    assert_int_equal(count_files(base), 2);
    remove_all();
}

/* A caller that cannot go on: its code comes back, and nothing has changed. */
static void test_visit_fails(void **state)
{
    mni_store_record_t records[3] = {record_of(1, mn_text("x"), mn_none()),
                                     record_of(2, mn_none(), mn_none()),
                                     record_of(3, mn_none(), mn_none())};
    mni_store_t *store = NULL;

    (void)state;
    assert_int_equal(write_records(path, records, 1), 0);
    assert_int_equal(mni_store_open(path, &store), 0);
    for (int at = 0; at < 3; at++) {
        batch_t batch = {.record = records, .count = 3, .fail_at = at};
        assert_int_equal(mni_store_finish(store, visit, &batch), MN_E_CANCELLED);
        check_ids(path, (const unsigned[]){1}, 1);
        assert_int_equal(count_files(base), 2); /* and the lock */
    }
    /* the same job twice cannot be */
    records[1] = records[0];
    batch_t batch = {.record = records, .count = 3, .fail_at = -1};
    assert_int_equal(mni_store_finish(store, visit, &batch), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), "already exists"));
    check_ids(path, (const unsigned[]){1}, 1);
    /* a value that is not what it says */
    records[1] = record_of(
        2, (mn_value_t){.data = "abc", .size = 3, .type = MN_INT32, .ndims = 1, .dims = {1}},
        mn_none());
    batch.next = 0;
    assert_int_equal(mni_store_finish(store, visit, &batch), MN_E_INTERNAL);
    mni_store_close(store);
    assert_int_equal(count_files(base), 1);
    remove_all();
}

/* A user's own handler of HDF5 errors is neither called nor lost. */
static int handler_calls;

static herr_t handler(hid_t stack, void *data)
{
    (void)stack;
    (void)data;
    handler_calls++;
    return 0;
}

static void test_user_handler(void **state)
{
    mni_store_record_t twice[2] = {record_of(1, mn_none(), mn_none()),
                                   record_of(1, mn_none(), mn_none())};
    H5E_auto2_t saved, now;
    void *saved_data, *now_data;

    (void)state;
    H5Eget_auto2(H5E_DEFAULT, &saved, &saved_data);
    H5Eset_auto2(H5E_DEFAULT, handler, &handler_calls);
    assert_int_equal(write_records(path, twice, 2), MN_E_STORE);
    assert_int_equal(write_records(path, twice, 1), 0);
    assert_int_equal(handler_calls, 0);
    H5Eget_auto2(H5E_DEFAULT, &now, &now_data);
    assert_ptr_equal(now, handler);
    assert_ptr_equal(now_data, &handler_calls);
    H5Fopen("/nonexistent", H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(handler_calls > 0);
    H5Eset_auto2(H5E_DEFAULT, saved, saved_data);
    remove_all();
}
/* --- size and other readers ------------------------------------------------------------------- */

typedef struct many {
    unsigned next, count;
} many_t;

static int visit_many(void *argument, mni_store_record_t *record)
{
    static const double numbers[] = {1, 2, 3, 4};
    many_t *many = argument;
    if (many->next == many->count)
        return 0;
    *record =
        record_of(many->next++, mn_array(MN_FLOAT64, numbers, 2), mn_array(MN_FLOAT64, numbers, 4));
    return 1;
}

static int count_taken(void *argument, const mni_store_record_t *record)
{
    (void)record;
    ++*(size_t *)argument;
    return 0;
}

static void test_many(void **state)
{
    mni_store_t *store = NULL;
    many_t many = {.count = 20000};
    size_t taken = 0;

    (void)state;
    assert_int_equal(mni_store_open(path, &store), 0);
    assert_int_equal(mni_store_finish(store, visit_many, &many), 0);
    mni_store_close(store);
    assert_int_equal(count_jobs(path), 20000);
    assert_int_equal(mni_store_open(path, &store), 0);
    assert_int_equal(mni_store_recover(store, count_taken, &taken), 0);
    assert_int_equal(taken, 20000);
    mni_store_close(store);
    remove_all();
}

/* The largest value there may be, as numbers and as one string, written and then copied to the
 * next file. Takes 4 GiB of disk for a moment. */
static void test_largest(void **state)
{
    const char *wanted = getenv("MULTINODE_TEST_LARGE");

    (void)state;
    if (wanted == NULL || wanted[0] == '\0') {
        print_message("skipped: set MULTINODE_TEST_LARGE=1 to write values of 1 GiB below /tmp\n");
        skip();
    }
    unsigned char *bytes = calloc(1, MN_MAX_VALUE);
    assert_non_null(bytes);
    bytes[0] = 'a';
    bytes[MN_MAX_VALUE - 1] = 'z';
    mn_value_t numbers = mn_array(MN_FLOAT64, bytes, MN_MAX_VALUE / 8);
    mn_value_t text = mn_array(MN_TEXT, bytes, MN_MAX_VALUE);
    mni_store_record_t large = record_of(1, text, numbers),
                       small = record_of(2, mn_none(), mn_none());
    assert_int_equal(write_records(path, &large, 1), 0);
    assert_int_equal(write_records(path, &small, 1), 0);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    check_value(file, 1, "input", text, 0);
    check_value(file, 1, "result", numbers, H5T_NATIVE_DOUBLE);
    H5Fclose(file);
    free(bytes);
    assert_int_equal(count_jobs(path), 2);
    remove_all();
}

static void test_other_readers(void **state)
{
    static const int32_t squares[] = {1, 4, 9, 16};
    mni_store_record_t record = record_of(7, mn_text("squares"), mn_array(MN_INT32, squares, 4));
    char command[PATH_MAX * 3], id[MN_ID_TEXT];

    (void)state;
    mn_id_format(record.info.id, id);
    assert_int_equal(write_records(path, &record, 1), 0);
    if (system("command -v h5dump >/dev/null 2>&1") == 0) {
        snprintf(command, sizeof command,
                 "h5dump -d /data/%s/result '%s' | grep -q '(0): 1, 4, 9, 16'", id, path);
        assert_int_equal(system(command), 0);
        snprintf(command, sizeof command,
                 "h5dump -d /data/%s/input '%s' | grep -q '(0): \"squares\"'", id, path);
        assert_int_equal(system(command), 0);
    } else {
        print_message("h5dump is not installed: its part is left out\n");
    }
    if (system("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") == 0) {
        snprintf(
            command, sizeof command,
            "/usr/bin/python3 -c \"import h5py; f = h5py.File('%s', 'r'); j = f['jobs'][0]; "
            "d = f['data'][j['id'].decode()]; assert f.attrs['creator'] == 'multinode'; "
            "assert d['result'][:].tolist() == [1, 4, 9, 16]; assert d['result'].dtype == 'int32'; "
            "assert d['input'].asstr()[()] == 'squares'; assert d.attrs['status'] == 'SUCCEEDED'; "
            "assert j['status'] == b'SUCCEEDED' and j['yields'] == 3 and j['error'] == b''\"",
            path);
        assert_int_equal(system(command), 0);
    } else {
        print_message("h5py is not installed: its part is left out\n");
    }
    remove_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_no_jobs_and_no_path),
        cmocka_unit_test(test_earlier_jobs),
        cmocka_unit_test(test_visit_fails),
        cmocka_unit_test(test_user_handler),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_other_readers),
    };
    return cmocka_run_group_tests(tests, batch_setup, batch_teardown);
}
