/* SPDX-License-Identifier: MIT
 *
 * store/: shared bytes; the file of a large value; which files are deleted, and when.
 */
#include "store/files.h"
#include "store/large.h"

#include <fcntl.h>
#include <hdf5.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT (MNI_STORE_LARGE / sizeof(double) + 12)

static char base[] = "/tmp/test_store_files_XXXXXX";
static char path[PATH_MAX], folder[PATH_MAX];
static double numbers[COUNT];
static const mn_id_t store_id = {{7, 7}};

static mni_value_owner_t owner_of(uint8_t job, mni_value_role_t role, uint64_t number)
{
    return (mni_value_owner_t){.store = store_id,
                               .job = {{0x40, job, 0, 0, 0, 0, 0x40, 0, 0x80, 1}},
                               .role = role,
                               .number = number};
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(base))
        return -1;
    snprintf(path, sizeof path, "%s/r.h5", base);
    snprintf(folder, sizeof folder, "%s/r.h5.values", base);
    for (size_t i = 0; i < COUNT; i++)
        numbers[i] = 0.5 * (double)i;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(base); /* fails when a test has left something */
}

/* --- shared bytes ----------------------------------------------------------------------------------------------------- */

static void *hold_and_release(void *argument)
{
    mni_shared_t *shared = argument;
    for (int i = 0; i < 20000; i++) {
        mni_shared_t *mine = mni_shared_share(shared);
        if (memcmp(mni_shared_bytes(mine), "abc", 3) != 0)
            return shared;
        mni_shared_release(mine);
    }
    mni_shared_release(shared);
    return NULL;
}

/* The sanitizers see a release too many, or one too few. */
static void bytes_are_freed_by_the_last(void **state)
{
    mni_shared_t *shared = mni_shared_create("abc", 3);
    pthread_t threads[4];

    (void)state;
    assert_non_null(shared);
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, hold_and_release, mni_shared_share(shared)), 0);
    mni_shared_release(shared);
    for (int i = 0; i < 4; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    mni_shared_release(NULL);
}

/* --- names ------------------------------------------------------------------------------------------------------------ */

static void names_are_told_from_others(void **state)
{
    static const char *const others[] = {
        "",
        "x.h5",
        "40010000-0000-4000-8001-000000000000",
        "40010000-0000-4000-8001-000000000000.h5",
        "40010000-0000-4000-8001-000000000000.result.h5",
        "40010000-0000-4000-8001-000000000000.result..h5",
        "40010000-0000-4000-8001-000000000000.result.7.h5.old",
        "40010000-0000-4000-8001-000000000000.result.7x.h5",
        "40010000-0000-4000-8001-000000000000.input.7.h5",
        "4001000g-0000-4000-8001-000000000000.input.h5",
        "../40010000-0000-4000-8001-000000000000.input.h5",
    };
    mni_value_owner_t owner = owner_of(1, MNI_VALUE_RESULT, 7);
    char name[MNI_VALUE_NAME], fresh[MNI_VALUE_NAME + 8];

    (void)state;
    mni_value_name(&owner, name);
    assert_string_equal(name, "40010000-0000-4000-8001-000000000000.result.7.h5");
    assert_true(mni_value_name_is(name));
    snprintf(fresh, sizeof fresh, "%s.new", name);
    assert_true(mni_value_name_is(fresh));
    owner = owner_of(1, MNI_VALUE_INPUT, 0);
    mni_value_name(&owner, name);
    assert_string_equal(name, "40010000-0000-4000-8001-000000000000.input.h5");
    assert_true(mni_value_name_is(name));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(mni_value_name_is(others[i]));
}

static void names_lead_nowhere_else(void **state)
{
    static const char *const others[] = {
        "40010000-0000-4000-8001-000000000000.input.h5",
        "/etc/passwd",
        ".values/40010000-0000-4000-8001-000000000000.input.h5",
        "values/40010000-0000-4000-8001-000000000000.input.h5",
        "../x.values/40010000-0000-4000-8001-000000000000.input.h5",
        "x.values/../40010000-0000-4000-8001-000000000000.input.h5",
    };
    mni_files_t *files = NULL;
    char found[PATH_MAX];

    (void)state;
    assert_int_equal(mni_files_create("/a/r.h5", store_id, &files), 0);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(mni_files_path(files, others[i], found, sizeof found), MN_E_STORE);
    assert_int_equal(mni_files_path(files,
                                    "b.h5.values/40010000-0000-4000-8001-000000000000.input.h5",
                                    found, sizeof found),
                     0);
    assert_string_equal(found, "/a/b.h5.values/40010000-0000-4000-8001-000000000000.input.h5");
    mni_files_destroy(files);
    assert_int_equal(mni_files_create("/r.h5", store_id, &files), 0);
    assert_int_equal(mni_files_path(files,
                                    "r.h5.values/40010000-0000-4000-8001-000000000000.input.h5",
                                    found, sizeof found),
                     0);
    assert_string_equal(found, "/r.h5.values/40010000-0000-4000-8001-000000000000.input.h5");
    mni_files_destroy(files);
    mni_files_destroy(NULL);
}

/* --- one file --------------------------------------------------------------------------------------------------------- */

static void check_value(const char *file, const mni_value_owner_t *owner,
                        const mn_value_t *expected)
{
    mn_value_t value;

    if (mni_value_look(file, owner, &value) < 0)
        fail_msg("%s", mn_error_message());
    assert_null(value.data);
    assert_int_equal(value.size, expected->size);
    assert_int_equal(mni_value_read(file, owner, &value), 0);
    assert_int_equal(value.type, expected->type);
    assert_int_equal(value.ndims, expected->ndims);
    assert_memory_equal(value.dims, expected->dims, sizeof value.dims);
    assert_memory_equal(value.data, expected->data, expected->size);
    mn_value_destroy(&value);
}

/* What HDF5 finds is the same. */
static void check_hdf5(const char *file, const mn_value_t *expected)
{
    hid_t opened = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(opened >= 0);
    hid_t set = H5Dopen2(opened, "value", H5P_DEFAULT);
    assert_true(set >= 0);
    hid_t type = H5Dget_type(set);
    void *data = malloc(expected->size);
    assert_non_null(data);
    assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    assert_memory_equal(data, expected->data, expected->size);
    assert_int_equal(H5Aexists(set, "kind") > 0, expected->type == MN_BYTES);
    assert_int_equal(H5Tget_class(type) == H5T_STRING, expected->type == MN_TEXT);
    free(data);
    H5Tclose(type);
    H5Dclose(set);
    H5Fclose(opened);
}

static void a_value_is_written_and_read(void **state)
{
    mn_value_t values[] = {mn_matrix(MN_FLOAT64, numbers, COUNT / 4, 4),
                           mn_bytes(numbers, sizeof numbers - 3),
                           mn_array(MN_INT16, numbers, COUNT), mn_array(MN_TEXT, numbers, 100)};
    mni_value_owner_t owner = owner_of(1, MNI_VALUE_RESULT, 7);
    char file[PATH_MAX + 8];
    struct stat status;

    (void)state;
    snprintf(file, sizeof file, "%s/v.h5", base);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (mni_value_write(base, "v.h5", 0640, &owner, &values[i], true) < 0)
            fail_msg("%s", mn_error_message());
        check_value(file, &owner, &values[i]);
        check_hdf5(file, &values[i]);
        assert_int_equal(stat(file, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0640);
        assert_true((size_t)status.st_size < values[i].size + 8192);
    }
    assert_int_equal(unlink(file), 0);
}

/* Refused, with a sentence that names job and file. */
static void check_refused(const char *file, const mni_value_owner_t *owner, const char *why)
{
    mn_value_t value = mn_none();

    assert_int_equal(mni_value_read(file, owner, &value), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), "40010000-0000-4000-8001-000000000000"));
    assert_non_null(strstr(mn_error_message(), file));
    if (!strstr(mn_error_message(), why))
        fail_msg("\"%s\" does not say \"%s\"", mn_error_message(), why);
    assert_null(value.data);
}

static void change_byte(const char *file, off_t at)
{
    char byte;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void damage_is_found(void **state)
{
    mn_value_t value = mn_array(MN_FLOAT64, numbers, COUNT);
    mni_value_owner_t owner = owner_of(1, MNI_VALUE_RESULT, 7), other = owner;
    char file[PATH_MAX + 8];
    struct stat status;

    (void)state;
    snprintf(file, sizeof file, "%s/v.h5", base);
    check_refused(file, &owner, "No such file");
    assert_int_equal(mni_value_write(base, "v.h5", 0600, &owner, &value, false), 0);
    other.number = 0; /* whichever yield */
    other.store = (mn_id_t){{0}};
    check_value(file, &other, &value);
    other.number = 8;
    check_refused(file, &other, "another");
    other = owner;
    other.role = MNI_VALUE_INPUT;
    check_refused(file, &other, "another");
    other = owner;
    other.store.bytes[3] = 1;
    check_refused(file, &other, "another");
    /* every byte of ours, and some of the value's */
    for (off_t at = 0; at < 512; at++) {
        change_byte(file, at);
        check_refused(file, &owner, at < 8 ? "not the file of a value" : "damaged");
        change_byte(file, at);
    }
    assert_int_equal(stat(file, &status), 0);
    for (off_t at = status.st_size - 1; at > status.st_size - (off_t)value.size; at -= 99991) {
        change_byte(file, at);
        check_refused(file, &owner, "damaged");
        change_byte(file, at);
    }
    check_value(file, &owner, &value);
    assert_int_equal(truncate(file, status.st_size - 1), 0);
    check_refused(file, &owner, "cut off");
    assert_int_equal(truncate(file, 100), 0);
    check_refused(file, &owner, "cut off");
    assert_int_equal(unlink(file), 0);
}

static void a_write_that_fails_leaves_nothing(void **state)
{
    mn_value_t value = mn_array(MN_FLOAT64, numbers, COUNT);
    mni_value_owner_t owner = owner_of(1, MNI_VALUE_INPUT, 0);
    char missing[PATH_MAX + 8];

    (void)state;
    snprintf(missing, sizeof missing, "%s/none", base);
    assert_int_equal(mni_value_write(missing, "v.h5", 0600, &owner, &value, true), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), "40010000-0000-4000-8001-000000000000"));
    assert_non_null(strstr(mn_error_message(), missing));
    /* a folder in the way of the rename */
    assert_int_equal(mkdir(missing, 0700), 0);
    assert_int_equal(mni_value_write(base, "none", 0600, &owner, &value, true), MN_E_STORE);
    assert_int_equal(rmdir(missing), 0);
    /* a value that is not what it says */
    value.dims[0]++;
    assert_int_equal(mni_value_write(base, "v.h5", 0600, &owner, &value, true), MN_E_INTERNAL);
}

/* --- which files are there -------------------------------------------------------------------------------------------- */

static bool is_there(const char *name)
{
    char file[2 * PATH_MAX];
    snprintf(file, sizeof file, "%s/%s", base, name);
    return access(file, F_OK) == 0;
}

/* Puts a value, has it written and named by a record, and gives its name. */
static void add(mni_files_t *files, mni_value_owner_t owner, uint64_t record, char name[PATH_MAX])
{
    mn_value_t value = mn_array(MN_FLOAT64, numbers, COUNT);
    mni_shared_t *bytes = mni_shared_create(numbers, sizeof numbers);

    assert_non_null(bytes);
    assert_int_equal(mni_files_put(files, &owner, &value, bytes), 0);
    mni_shared_release(bytes);
    mni_files_name(files, &owner, name, PATH_MAX);
    assert_int_equal(mni_files_assign(files, owner.job, owner.role, name, record), 0);
    if (mni_files_write(files, true) < 0)
        fail_msg("%s", mn_error_message());
    assert_true(is_there(name));
}

static mni_files_t *begin(void)
{
    mni_files_t *files = NULL;
    assert_int_equal(mni_files_create(path, store_id, &files), 0);
    return files;
}

static void end(mni_files_t *files)
{
    mni_files_destroy(files);
    files = begin();
    mni_files_sweep(files);
    mni_files_destroy(files);
    assert_int_equal(access(folder, F_OK), -1);
}

/* A file that the HDF5 file has never known goes as soon as the record that replaces it is kept. */
static void a_young_file_goes_with_its_replacement(void **state)
{
    char first[PATH_MAX], second[PATH_MAX];
    mni_files_t *files = begin();

    (void)state;
    mni_files_included(files, 10);
    add(files, owner_of(1, MNI_VALUE_RESULT, 1), 11, first);
    add(files, owner_of(1, MNI_VALUE_RESULT, 2), 12, second);
    mni_files_delete(files, 11); /* the new value is not kept yet */
    assert_true(is_there(first));
    mni_files_delete(files, 12);
    assert_false(is_there(first));
    assert_true(is_there(second));
    /* a small value replaces it, or the job goes */
    assert_int_equal(mni_files_assign(files, owner_of(1, 0, 0).job, MNI_VALUE_RESULT, NULL, 13), 0);
    mni_files_delete(files, 12);
    assert_true(is_there(second));
    mni_files_delete(files, 13);
    assert_false(is_there(second));
    end(files);
}

/* One that the HDF5 file names goes when that includes the replacement, and one that is being included neither before. */
static void an_old_file_waits_for_the_next_snapshot(void **state)
{
    char old[PATH_MAX], middle[PATH_MAX], fresh[PATH_MAX];
    mni_files_t *files = begin();

    (void)state;
    add(files, owner_of(1, MNI_VALUE_RESULT, 1), 5, old);
    mni_files_included(files, 10);
    add(files, owner_of(1, MNI_VALUE_RESULT, 2), 11, middle);
    mni_files_delete(files, 11);
    assert_true(is_there(old));
    mni_files_including(files, 11); /* a snapshot that will name `middle` */
    add(files, owner_of(1, MNI_VALUE_RESULT, 3), 12, fresh);
    mni_files_delete(files, 12);
    assert_true(is_there(old));
    assert_true(is_there(middle));
    mni_files_included(files, 11);
    mni_files_including(files, 0);
    mni_files_delete(files, 12);
    assert_false(is_there(old));
    assert_true(is_there(middle)); /* the HDF5 file names it now */
    mni_files_including(files, 12);
    mni_files_including(files, 0); /* it has failed */
    mni_files_delete(files, 12);
    assert_true(is_there(middle));
    mni_files_included(files, 12);
    mni_files_delete(files, 12);
    assert_false(is_there(middle));
    assert_true(is_there(fresh));
    end(files);
}

static void touch(const char *name)
{
    char file[PATH_MAX + MNI_VALUE_NAME];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void the_sweep_takes_what_nobody_knows(void **state)
{
    static const char orphan[] = "40090000-0000-4000-8001-000000000000.result.3.h5";
    static const char torn[] = "40010000-0000-4000-8001-000000000000.result.9.h5.new";
    char used[PATH_MAX], input[PATH_MAX], replaced[PATH_MAX], file[PATH_MAX + MNI_VALUE_NAME];
    mni_files_t *files = begin();

    (void)state;
    mni_files_sweep(files); /* there is no folder */
    add(files, owner_of(1, MNI_VALUE_INPUT, 0), 1, input);
    add(files, owner_of(1, MNI_VALUE_RESULT, 1), 2, replaced);
    mni_files_included(files, 2);
    add(files, owner_of(1, MNI_VALUE_RESULT, 2), 3, used);
    touch(orphan);
    touch(torn);
    touch("notes.txt");
    mni_files_sweep(files);
    assert_true(is_there(used));
    assert_true(is_there(input));
    assert_true(is_there(replaced)); /* the HDF5 file names it */
    assert_true(is_there("r.h5.values/notes.txt"));
    snprintf(file, sizeof file, "r.h5.values/%s", orphan);
    assert_false(is_there(file));
    snprintf(file, sizeof file, "r.h5.values/%s", torn);
    assert_false(is_there(file));
    snprintf(file, sizeof file, "%s/notes.txt", folder);
    assert_int_equal(unlink(file), 0);
    end(files);
}

/* What cannot be written is tried again, in order, and nothing is lost. */
static void a_failed_write_is_tried_again(void **state)
{
    mn_value_t value = mn_array(MN_FLOAT64, numbers, COUNT);
    mni_value_owner_t first = owner_of(1, MNI_VALUE_RESULT, 1);
    mni_value_owner_t second = owner_of(2, MNI_VALUE_INPUT, 0);
    mni_shared_t *bytes = mni_shared_create(numbers, sizeof numbers);
    mni_files_t *files = begin();
    char name[PATH_MAX];

    (void)state;
    int fd = open(folder, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* a file in the folder's place */
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(mni_files_put(files, &first, &value, bytes), 0);
    assert_int_equal(mni_files_write(files, true), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), folder));
    assert_int_equal(mni_files_put(files, &second, &value, bytes), 0);
    assert_int_equal(mni_files_write(files, true), MN_E_STORE);
    mni_shared_release(bytes);
    assert_int_equal(unlink(folder), 0);
    assert_int_equal(mni_files_write(files, true), 0);
    mni_files_name(files, &first, name, sizeof name);
    assert_true(is_there(name));
    mni_files_name(files, &second, name, sizeof name);
    assert_true(is_there(name));
    end(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_freed_by_the_last),
        cmocka_unit_test(names_are_told_from_others),
        cmocka_unit_test(names_lead_nowhere_else),
        cmocka_unit_test(a_value_is_written_and_read),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(a_write_that_fails_leaves_nothing),
        cmocka_unit_test(a_young_file_goes_with_its_replacement),
        cmocka_unit_test(an_old_file_waits_for_the_next_snapshot),
        cmocka_unit_test(the_sweep_takes_what_nobody_knows),
        cmocka_unit_test(a_failed_write_is_tried_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
