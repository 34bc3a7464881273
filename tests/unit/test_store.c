/* SPDX-License-Identifier: MIT
 *
 * store/: what is written is read back through HDF5 (and h5dump and h5py where they are installed),
 * earlier jobs stay, what is not ours is refused, and a disk that is full at any byte leaves the
 * old file as it was.
 */
#include "store/sink.h"
#include "store/store.h"

#include <hdf5.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/test_store_XXXXXX";
static char path[PATH_MAX];

/* --- records to write ------------------------------------------------------------------------- */

typedef struct batch {
    const mni_store_record_t *record;
    size_t count, next;
    int fail_at; /* the visit that fails, -1: none */
} batch_t;

static int visit(void *argument, mni_store_record_t *record)
{
    batch_t *batch = argument;
    if (batch->fail_at >= 0 && batch->next == (size_t)batch->fail_at)
        return MN_E_CANCELLED;
    if (batch->next == batch->count)
        return 0;
    *record = batch->record[batch->next++];
    return 1;
}

static mn_id_t id_of(unsigned number)
{
    mn_id_t id = {{0}};
    memcpy(id.bytes + 12, &number, sizeof number);
    id.bytes[0] = (uint8_t)(number * 37); /* names in the file are not in the order of the jobs */
    return id;
}

static mni_store_record_t record_of(unsigned number, mn_value_t input, mn_value_t result)
{
    return (mni_store_record_t){
        .info = {.id = id_of(number),
                 .job = "simulate",
                 .status = MN_SUCCEEDED,
                 .reason = MN_REASON_RETURNED,
                 .attempts = 1,
                 .progress = 1,
                 .created = 1000.5 + number,
                 .rank = 2,
                 .yields = 3,
                 .result = result},
        .input = input,
    };
}

static int write_records(const char *file, const mni_store_record_t *records, size_t count)
{
    mni_store_t *store = NULL;
    batch_t batch = {.record = records, .count = count, .fail_at = -1};
    int rc = mni_store_open(file, &store);

    if (rc == 0)
        rc = mni_store_finish(store, visit, &batch);
    mni_store_close(store);
    if (rc < 0)
        print_message("%s\n", mn_error_message());
    return rc;
}

static void remove_all(void)
{
    char command[PATH_MAX];
    snprintf(command, sizeof command, "rm -rf '%s'/*", base);
    assert_int_equal(system(command), 0);
}

/* Files in the folder: a temporary that was left behind would be one too many. */
static int count_files(const char *folder)
{
    int count = 0;
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

/* --- reading back ----------------------------------------------------------------------------- */

/* The few columns that are compared, by name as any reader would. */
typedef struct seen {
    char id[37];
    char status[20];
    char reason[20];
    char *error, *lock;
    double created;
    uint64_t yields;
    int rank;
    unsigned attempts;
} seen_t;

static seen_t *read_table(const char *file_name, size_t *count)
{
    hid_t file = H5Fopen(file_name, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    hid_t set = H5Dopen2(file, "jobs", H5P_DEFAULT), space = H5Dget_space(set);
    *count = (size_t)H5Sget_simple_extent_npoints(space);
    seen_t *rows = calloc(*count + 1, sizeof *rows);

    hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(seen_t));
    hid_t word = H5Tcopy(H5T_C_S1), text = H5Tcopy(H5T_C_S1);
    H5Tset_cset(word, H5T_CSET_UTF8);
    H5Tset_cset(text, H5T_CSET_UTF8);
    H5Tset_size(text, H5T_VARIABLE);
    H5Tset_size(word, 37);
    H5Tinsert(type, "id", offsetof(seen_t, id), word);
    H5Tset_size(word, 20);
    H5Tinsert(type, "status", offsetof(seen_t, status), word);
    H5Tinsert(type, "reason", offsetof(seen_t, reason), word);
    H5Tinsert(type, "error", offsetof(seen_t, error), text);
    H5Tinsert(type, "lock", offsetof(seen_t, lock), text);
    H5Tinsert(type, "created", offsetof(seen_t, created), H5T_NATIVE_DOUBLE);
    H5Tinsert(type, "yields", offsetof(seen_t, yields), H5T_NATIVE_UINT64);
    H5Tinsert(type, "rank", offsetof(seen_t, rank), H5T_NATIVE_INT);
    H5Tinsert(type, "attempts", offsetof(seen_t, attempts), H5T_NATIVE_UINT);
    if (*count > 0)
        assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Tclose(word);
    H5Tclose(text);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(file);
    return rows;
}

static void free_table(seen_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        H5free_memory(rows[i].error);
        H5free_memory(rows[i].lock);
    }
    free(rows);
}

static size_t count_jobs(const char *file_name)
{
    size_t count = 0;
    seen_t *rows = read_table(file_name, &count);
    free_table(rows, count);
    return count;
}

static void check_ids(const char *file_name, const unsigned *numbers, size_t count)
{
    size_t found;
    seen_t *rows = read_table(file_name, &found);

    assert_int_equal(found, count);
    for (size_t i = 0; i < count; i++) {
        char id[MN_ID_TEXT];
        assert_string_equal(rows[i].id, mn_id_format(id_of(numbers[i]), id));
        assert_true(rows[i].created == 1000.5 + numbers[i]);
    }
    free_table(rows, found);
}

/* Opens a job's dataset in a file; negative if it does not have it. */
static hid_t open_value(hid_t file, unsigned number, const char *name)
{
    char id[MN_ID_TEXT], where[128];
    snprintf(where, sizeof where, "/data/%s/%s", mn_id_format(id_of(number), id), name);
    hid_t set = -1;
    H5E_BEGIN_TRY
    {
        set = H5Dopen2(file, where, H5P_DEFAULT);
    }
    H5E_END_TRY
    return set;
}

/* The dataset has the type, dimensions and bytes of the value. */
static void check_value(hid_t file, unsigned number, const char *name, mn_value_t value,
                        hid_t expected)
{
    hid_t set = open_value(file, number, name);
    assert_true(set >= 0);
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);

    if (value.type == MN_TEXT) {
        assert_int_equal(H5Tget_class(type), H5T_STRING);
        assert_int_equal(H5Tget_cset(type), H5T_CSET_UTF8);
        assert_int_equal(H5Sget_simple_extent_type(space), value.size > 0 ? H5S_SCALAR : H5S_NULL);
        if (value.size > 0)
            assert_int_equal(H5Tget_size(type), value.size);
    } else {
        hsize_t dims[8];
        assert_true(H5Tequal(type, expected) > 0);
        assert_int_equal(H5Sget_simple_extent_dims(space, dims, NULL), value.ndims);
        for (unsigned i = 0; i < value.ndims; i++)
            assert_int_equal(dims[i], value.dims[i]);
        assert_int_equal(H5Aexists(set, "kind") > 0, value.type == MN_BYTES);
    }
    if (value.size > 0) {
        void *bytes = malloc(value.size);
        assert_non_null(bytes);
        assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0);
        assert_memory_equal(bytes, value.data, value.size);
        free(bytes);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
}

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

/* --- what is refused -------------------------------------------------------------------------- */

static void refuse(const char *name, const char *word)
{
    mni_store_t *store = NULL;

    assert_int_equal(mni_store_open(name, &store), MN_E_STORE);
    assert_null(store);
    if (strstr(mn_error_message(), word) == NULL)
        fail_msg("no \"%s\" in \"%s\"", word, mn_error_message());
}

static void put_file(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void test_refused_places(void **state)
{
    char name[PATH_MAX + 300], longest[256];

    (void)state;
    refuse("", "no name of a file");
    refuse("/nonexistent/a.h5", "folder /nonexistent");
    snprintf(name, sizeof name, "%s/", base);
    refuse(name, "no name of a file");
    refuse(base, "a folder");
    refuse("/dev/null", "a device");
    refuse("/proc/store.h5", "/proc");
    put_file(path, "", 0);
    refuse(path, "an empty file");
    snprintf(name, sizeof name, "%s/a.h5", path);
    refuse(name, "Not a directory");
    put_file(path, "not HDF5 at all, but text", 25);
    refuse(path, "a file of another kind");
    put_file(path, "\211HDF\r\n\032\n with nothing behind", 28);
    refuse(path, "cannot be opened");
    unlink(path);
    assert_int_equal(symlink("nothing", path), 0);
    refuse(path, "symbolic link to nothing");
    unlink(path);
    memset(longest, 'n', 250);
    longest[250] = '\0';
    snprintf(name, sizeof name, "%s/%s", base, longest); /* is possible, but NAME.new.PID is not */
    refuse(name, "name too long");
    if (geteuid() != 0) { /* permissions do not hold back root */
        assert_int_equal(chmod(base, 0500), 0);
        refuse(path, "Permission denied");
        assert_int_equal(chmod(base, 0700), 0);
    }
    assert_int_equal(count_files(base), 0);
}

static void test_refused_files(void **state)
{
    mni_store_t *store = NULL;
    struct stat before, after;
    int format = 99;

    (void)state;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    assert_int_equal(stat(path, &before), 0);
    refuse(path, "multinode did not write");
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_size, after.st_size);

    /* one that comes between opening and writing is refused as well, and stays */
    unlink(path);
    assert_int_equal(mni_store_open(path, &store), 0);
    file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    batch_t batch = {.fail_at = -1};
    assert_int_equal(mni_store_finish(store, visit, &batch), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), "multinode did not write"));
    mni_store_close(store);
    assert_int_equal(count_files(base), 1);
    unlink(path);

    mni_store_record_t record = record_of(1, mn_none(), mn_none());
    assert_int_equal(write_records(path, &record, 1), 0);
    file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t attribute = H5Aopen(file, "format", H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT, &format);
    H5Aclose(attribute);
    H5Fclose(file);
    refuse(path, "format 99");
    format = 1;
    file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    attribute = H5Aopen(file, "format", H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT, &format);
    H5Aclose(attribute);
    H5Ldelete(file, "jobs", H5P_DEFAULT);
    H5Fclose(file);
    refuse(path, "damaged");
    remove_all();
}

/* --- a full disk ------------------------------------------------------------------------------ */

enum { FAULT_JOBS = 200 };

static void fault_records(mni_store_record_t *records, const unsigned char *bytes, size_t size,
                          unsigned first)
{
    for (unsigned i = 0; i < FAULT_JOBS; i++) {
        records[i] = record_of(first + i, mn_text("a small input"),
                               mn_bytes(bytes, i % 10 == 0 ? size : 100));
        records[i].info.error = "a sentence that goes into a heap of strings";
    }
}

/* A crash ends the child: cmocka's handlers, which it inherits, would go on with the next test
 * in it. */
static void child_begin(void)
{
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    signal(SIGFPE, SIG_DFL);
    signal(SIGILL, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN);
}

/* In a child: no file may grow beyond `limit` bytes. 0: written; 1: refused as it should be. */
static int limited_child(const mni_store_record_t *records, rlim_t limit)
{
    struct rlimit most = {.rlim_cur = limit, .rlim_max = limit};
    mni_store_t *store = NULL;
    batch_t batch = {.record = records, .count = FAULT_JOBS, .fail_at = -1};

    child_begin();
    if (setrlimit(RLIMIT_FSIZE, &most) != 0 || mni_store_open(path, &store) != 0)
        return 10;
    int rc = mni_store_finish(store, visit, &batch);
    if (rc != 0 && (rc != MN_E_STORE || strstr(mn_error_message(), "File too large") == NULL))
        return 11;
    mni_store_close(store);
    /* a file left open would show here, and crash HDF5 when the process exits */
    if (H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) != 0)
        return 12;
    return rc == 0 ? 0 : 1;
}

/* The limit grows until the write survives; below that the old file stays as it was, to the
 * byte. */
static void test_full_at_any_size(void **state)
{
    static unsigned char bytes[20000];
    mni_store_record_t records[FAULT_JOBS], old = record_of(9999, mn_text("old"), mn_none());
    struct stat before, after;
    int status = 0, tries = 0;

    (void)state;
    fault_records(records, bytes, sizeof bytes, 0);
    assert_int_equal(write_records(path, &old, 1), 0);
    assert_int_equal(stat(path, &before), 0);
    for (rlim_t limit = 0;; limit += limit < 8000 ? 400 : 8000) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            exit(limited_child(records,
                               limit)); /* exit(), so that HDF5 ends as in a user's program */
        assert_int_equal(waitpid(pid, &status, 0), pid);
        tries++;
        if (status == 0)
            break;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
            fail_msg("status 0x%x at a limit of %lu bytes", status, (unsigned long)limit);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(count_files(base), 1);
    }
    assert_true(tries > 50);
    assert_int_equal(count_jobs(path), FAULT_JOBS);
    remove_all();
}

/* In a child: HDF5 goes on over a file that cannot grow, throws metadata out of its cache and
 * reads it again, and must be able to close. 0: it was. */
static int sink_child(void)
{
    struct rlimit most = {.rlim_cur = 20000, .rlim_max = 20000};
    H5AC_cache_config_t cache = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
    mni_sink_t *sink = NULL;
    char name[32];

    child_begin();
    if (setrlimit(RLIMIT_FSIZE, &most) != 0 || mni_sink_create(path, 0600, &sink) != 0)
        return 1;
    hid_t access = mni_sink_access(sink);
    if (access < 0 || H5Pget_mdc_config(access, &cache) < 0)
        return 2;
    cache.set_initial_size = 1;
    cache.initial_size = cache.max_size = cache.min_size = 16 << 10;
    cache.incr_mode = H5C_incr__off;
    cache.flash_incr_mode = H5C_flash_incr__off;
    cache.decr_mode = H5C_decr__off;
    if (H5Pset_mdc_config(access, &cache) < 0)
        return 3;
    hid_t file = H5Fcreate("any", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "group%d", i);
        if (H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)) < 0)
            return 4;
    }
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "group%d", i);
        if (H5Gclose(H5Gopen2(file, name, H5P_DEFAULT)) < 0)
            return 5;
    }
    if (H5Fclose(file) < 0)
        return 6;
    int error = mni_sink_error(sink);
    mni_sink_close(sink);
    return error == EFBIG ? 0 : 7;
}

static void test_sink_never_fails(void **state)
{
    int status = 0;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0)
        exit(sink_child());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    remove_all();
}

/* A real file system without room. */
static void test_full_file_system(void **state)
{
    static unsigned char bytes[100000];
    mni_store_record_t records[FAULT_JOBS], old = record_of(9999, mn_text("old"), mn_none());
    char name[PATH_MAX];

    (void)state;
    if (mount("tmpfs", base, "tmpfs", 0, "size=1m") != 0) {
        print_message("skipped: a small file system cannot be mounted here: %s\n", strerror(errno));
        skip();
    }
    snprintf(name, sizeof name, "%s/full.h5", base);
    fault_records(records, bytes, sizeof bytes, 0);
    int first = write_records(name, &old, 1);
    int full = write_records(name, records, FAULT_JOBS);
    bool told = strstr(mn_error_message(), "No space left on device") != NULL;
    int left = count_files(base);
    int again = write_records(name, records + 1, 1);
    size_t count = count_jobs(name);
    assert_int_equal(umount2(base, MNT_DETACH), 0);
    assert_int_equal(first, 0);
    assert_int_equal(full, MN_E_STORE);
    assert_true(told);
    assert_int_equal(left, 1);
    assert_int_equal(again, 0);
    assert_int_equal(count, 1);
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

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(base) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/store.h5", base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_all();
    return rmdir(base);
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
        cmocka_unit_test(test_refused_places),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_full_at_any_size),
        cmocka_unit_test(test_sink_never_fails),
        cmocka_unit_test(test_full_file_system),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_other_readers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
