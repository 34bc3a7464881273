/* SPDX-License-Identifier: MIT
 *
 * store/keeper.c: a journal that is to follow another one while that cannot be written.
 */
#include "store/internal.h"
#include "util/error.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT ((rlim_t)64 << 10)

static char folder[] = "/tmp/test_store_keeper_XXXXXX";
static char path[PATH_MAX], journal[PATH_MAX + 8], next[PATH_MAX + 16];
static const mn_id_t store = {{1, 2, 3}};
static const uint8_t zeros[1024];
static mni_doorbell_t bell;
static mni_files_t *files;

/* Files may not be larger than that, as if the disk were full. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static mni_keeper_t *begin(void)
{
    mni_journal_t *made = NULL;
    mni_keeper_t *keeper = NULL;

    assert_int_equal(mni_journal_create(journal, store, 1, &made), 0);
    assert_int_equal(mni_keeper_start(made, files, true, &bell, &keeper), 0);
    return keeper;
}

static void put(mni_keeper_t *keeper, unsigned kilobytes)
{
    for (unsigned i = 0; i < kilobytes; i++)
        assert_int_equal(mni_keeper_put(keeper, 3, zeros, sizeof zeros), 0);
    mni_keeper_commit(keeper);
}

/* Until all is kept; `trouble`: until it cannot be. */
static void await(mni_keeper_t *keeper, bool trouble)
{
    for (;;) {
        uint32_t seen = mni_doorbell_seen(&bell);
        if (trouble ? mni_keeper_trouble(keeper, NULL) < 0
                    : mni_keeper_kept(keeper) == mni_keeper_last(keeper))
            return;
        mni_doorbell_sleep(&bell, seen, UINT64_C(100000000));
    }
}

/* With all records that are kept. */
static int follow(mni_keeper_t *keeper)
{
    mni_journal_map_t *map = NULL;
    mni_journal_t *follower = NULL;

    assert_int_equal(mni_journal_map(journal, store, &map), 0);
    mni_journal_cursor_t cursor = mni_journal_start(map);
    assert_int_equal(mni_journal_create(next, store, 1, &follower), 0);
    mni_journal_unmap(map);
    return mni_keeper_follow(keeper, follower, cursor, store, folder);
}

static void a_journal_that_cannot_be_written_is_not_followed(void **state)
{
    mni_journal_report_t report;
    mni_keeper_t *keeper = begin();

    (void)state;
    put(keeper, 1);
    await(keeper, false);
    limit_files(LIMIT);
    put(keeper, 100);
    await(keeper, true);
    assert_int_equal(follow(keeper), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), journal));
    assert_int_equal(access(next, F_OK), -1);
    limit_files(RLIM_INFINITY);
    await(keeper, false);
    assert_int_equal(follow(keeper), 0);
    put(keeper, 1);
    assert_int_equal(mni_keeper_stop(keeper), 0);
    assert_int_equal(mni_journal_read(journal, store, 0, NULL, NULL, &report), 0);
    assert_int_equal(report.records, 102);
    assert_int_equal(report.damage_count, 0);
    mni_journal_report_fini(&report);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/r.h5", folder);
    snprintf(journal, sizeof journal, "%s.journal", path);
    snprintf(next, sizeof next, "%s.new", journal);
    return mni_files_create(path, store, &files);
}

static int teardown(void **state)
{
    (void)state;
    mni_files_destroy(files);
    unlink(journal);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_journal_that_cannot_be_written_is_not_followed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
