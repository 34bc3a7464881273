/* SPDX-License-Identifier: MIT
 *
 * store/: what is not ours is refused, and a disk that is full at any byte leaves the old file as it was.
 */
#include "store_batch.h"

#include "store/sink.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_places),   cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_full_at_any_size), cmocka_unit_test(test_sink_never_fails),
        cmocka_unit_test(test_full_file_system),
    };
    return cmocka_run_group_tests(tests, batch_setup, batch_teardown);
}
