/* SPDX-License-Identifier: MIT
 *
 * store/lock.c: one has it, and is named to others; it goes with its process; who shares it is waited for. Other runtimes are
 * processes of their own, which tell through a pipe how far they have got.
 */
#include "store/lock.h"

#include <fcntl.h>
#include <limits.h>
#include <multinode.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char base[] = "/tmp/test_store_lock_XXXXXX";
static char path[PATH_MAX];

typedef struct other {
    pid_t pid;
    int said; /* what it says */
} other_t;

/* A process that does something, says with one byte that it has, and stays until it is killed. */
static other_t other_begin(void (*does)(void))
{
    int said[2];
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        does();
        if (write(said[1], "!", 1) == 1)
            pause();
        _exit(1);
    }
    close(said[1]);
    return (other_t){.pid = pid, .said = said[0]};
}

static bool other_has_said(const other_t *other, int milliseconds)
{
    struct pollfd said = {.fd = other->said, .events = POLLIN};
    char byte;
    return poll(&said, 1, milliseconds) == 1 && read(other->said, &byte, 1) == 1;
}

static void other_kill(const other_t *other)
{
    int status = 0;
    kill(other->pid, SIGKILL);
    assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
    assert_true(WIFSIGNALED(status));
    close(other->said);
}

static void take_it(void)
{
    mni_store_lock_t *lock = NULL;
    if (mni_store_lock(path, "a store", &lock) < 0)
        _exit(2);
}

static void share_it(void)
{
    if (mni_store_lock_join(path) < 0)
        _exit(2);
}

static void the_second_one_is_told_who_has_it(void **state)
{
    mni_store_lock_t *lock = NULL;
    char expected[64];

    (void)state;
    other_t other = other_begin(take_it);
    assert_true(other_has_said(&other, -1));
    snprintf(expected, sizeof expected, "pid %d", (int)other.pid);
    assert_int_equal(mni_store_lock(path, "a store", &lock), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), expected));
    assert_non_null(strstr(mn_error_message(), "a store"));
    assert_null(lock);
    other_kill(&other); /* which takes nothing away, and leaves the file */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(mni_store_lock(path, "a store", &lock), 0);
    mni_store_unlock(lock);
    assert_int_equal(access(path, F_OK), -1);
}

static void who_shares_it_is_waited_for(void **state)
{
    mni_store_lock_t *lock = NULL;

    (void)state;
    assert_int_equal(mni_store_lock(path, "a store", &lock), 0);
    assert_true(mni_store_lock_shared(lock) >= 0);
    other_t near = other_begin(share_it), far = other_begin(share_it);
    assert_true(other_has_said(&near, -1));
    assert_true(other_has_said(&far, -1));
    /* Its owner is gone, and the file is there: as after a crash. */
    char away[PATH_MAX + 8];
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(link(path, away), 0);
    mni_store_unlock(lock);
    assert_int_equal(rename(away, path), 0);
    other_t next = other_begin(take_it);
    assert_false(other_has_said(&next, 50));
    other_kill(&near);
    assert_false(other_has_said(&next, 50));
    other_kill(&far);
    assert_true(other_has_said(&next, -1));
    other_kill(&next);
}

/* The descriptor that is handed on shares it after its first owner is gone. */
static void a_child_goes_on_sharing(void **state)
{
    mni_store_lock_t *lock = NULL;
    int status = 0, ends[2];
    char byte;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (mni_store_lock(path, "a store", &lock) < 0)
            _exit(2);
        if (fork() == 0) { /* it has mni_store_lock_shared() still */
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) != 0);
        }
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    other_t next = other_begin(take_it);
    assert_false(other_has_said(&next, 50));
    close(ends[0]);
    close(ends[1]);
    other_kill(&next); /* it had a copy of the pipe */
    assert_int_equal(mni_store_lock(path, "a store", &lock), 0);
    mni_store_unlock(lock);
}

static void who_cannot_see_the_file_has_no_share(void **state)
{
    (void)state;
    assert_int_equal(mni_store_lock_join("/nowhere/at/all"), -1);
    assert_int_equal(mni_store_lock_shared(NULL), -1);
    assert_null(mni_store_lock_name(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_one_is_told_who_has_it),
        cmocka_unit_test(who_shares_it_is_waited_for),
        cmocka_unit_test(a_child_goes_on_sharing),
        cmocka_unit_test(who_cannot_see_the_file_has_no_share),
    };
    if (!mkdtemp(base))
        return 1;
    snprintf(path, sizeof path, "%s/store.h5.lock", base);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return rmdir(base) != 0 || failed != 0;
}
