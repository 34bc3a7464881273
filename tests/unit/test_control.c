/* SPDX-License-Identifier: MIT
 *
 * The control line between `multinode run` and rank 0: what is sent arrives whole, ends are
 * seen, and nothing is left.
 */
#include "service/control.h"
#include "util/error.h"

#include <multinode.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct line {
    char path[108];
    int listener, command, rank;
} line_t;

static int line_make(void **state)
{
    line_t *line = calloc(1, sizeof *line);
    assert_non_null(line);
    line->listener = mni_control_listen(line->path);
    assert_true(line->listener >= 0);
    line->rank = mni_control_connect(line->path);
    assert_true(line->rank >= 0);
    line->command = accept(line->listener, NULL, NULL);
    assert_true(line->command >= 0);
    *state = line;
    return 0;
}

static int line_end(void **state)
{
    line_t *line = *state;
    if (line->command >= 0)
        close(line->command);
    if (line->rank >= 0)
        close(line->rank);
    mni_control_unlisten(line->listener, line->path);
    free(line);
    return 0;
}

static void test_messages_arrive_in_order_and_whole(void **state)
{
    line_t *line = *state;
    mni_control_message_t message;

    assert_int_equal(mni_control_send(line->rank, MNI_CONTROL_HELLO, 4711), 0);
    assert_int_equal(mni_control_send(line->rank, MNI_CONTROL_EXIT, -1), 0);
    assert_int_equal(mni_control_send(line->command, MNI_CONTROL_DRAIN, 0), 0);
    assert_int_equal(mni_control_send(line->command, MNI_CONTROL_STOP, INT32_MIN), 0);

    assert_int_equal(mni_control_receive(line->command, &message), 1);
    assert_int_equal(message.kind, MNI_CONTROL_HELLO);
    assert_int_equal(message.value, 4711);
    assert_int_equal(mni_control_receive(line->command, &message), 1);
    assert_int_equal(message.kind, MNI_CONTROL_EXIT);
    assert_int_equal(message.value, -1);
    assert_int_equal(mni_control_receive(line->rank, &message), 1);
    assert_int_equal(message.kind, MNI_CONTROL_DRAIN);
    assert_int_equal(mni_control_receive(line->rank, &message), 1);
    assert_int_equal(message.kind, MNI_CONTROL_STOP);
    assert_int_equal(message.value, INT32_MIN);
}

static void test_last_message_is_read_after_the_end(void **state)
{
    line_t *line = *state;
    mni_control_message_t message = {.kind = 99};

    assert_int_equal(mni_control_send(line->rank, MNI_CONTROL_EXIT, 7), 0);
    close(line->rank);
    line->rank = -1;
    assert_int_equal(mni_control_receive(line->command, &message), 1);
    assert_int_equal(message.value, 7);
    assert_int_equal(mni_control_receive(line->command, &message), 0);
    assert_int_equal(message.value, 7); /* the output is written on success only */
    /* No SIGPIPE: the test would be gone. */
    assert_int_equal(mni_control_send(line->command, MNI_CONTROL_STOP, 0), MN_E_SYSTEM);
}

static void test_foreign_messages_are_refused(void **state)
{
    line_t *line = *state;
    mni_control_message_t message = {.kind = 99}, unknown = {.kind = MNI_CONTROL_EXIT + 1};
    char bytes[64] = {0};

    assert_int_equal(send(line->rank, bytes, 3, 0), 3);
    assert_int_equal(mni_control_receive(line->command, &message), MN_E_PROTOCOL);
    assert_int_equal(send(line->rank, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(mni_control_receive(line->command, &message), MN_E_PROTOCOL);
    assert_int_equal(send(line->rank, &unknown, sizeof unknown, 0), sizeof unknown);
    assert_int_equal(mni_control_receive(line->command, &message), MN_E_PROTOCOL);
    assert_non_null(strstr(mn_error_message(), "kind 6"));
    unknown.kind = 0;
    assert_int_equal(send(line->rank, &unknown, sizeof unknown, 0), sizeof unknown);
    assert_int_equal(mni_control_receive(line->command, &message), MN_E_PROTOCOL);
    assert_int_equal(message.kind, 99);
    /* Each was taken off the line: the next good one is read. */
    assert_int_equal(mni_control_send(line->rank, MNI_CONTROL_HELLO, 1), 0);
    assert_int_equal(mni_control_receive(line->command, &message), 1);
    assert_int_equal(message.kind, MNI_CONTROL_HELLO);
}

static bool same_file(int one, int other)
{
    struct stat a, b;
    assert_int_equal(fstat(one, &a) + fstat(other, &b), 0);
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* In a process of its own, whose standard streams it may spoil: 0 if all is as it should be. */
static int take_streams(const line_t *line, int output)
{
    if (mni_control_take_streams(line->rank) != 0 || !same_file(1, output))
        return 1;
    if (write(1, "x", 1) != 1 || write(2, "into nothing", 12) != 12)
        return 2;
    int saved = dup(1);
    mni_control_send(line->command, MNI_CONTROL_DRAIN, 0);
    if (mni_control_take_streams(line->rank) != MN_E_PROTOCOL || !same_file(1, saved))
        return 3;
    close(line->command);
    return mni_control_take_streams(line->rank) == 1 && same_file(1, saved) ? 0 : 4;
}

static void test_streams_are_handed_over(void **state)
{
    line_t *line = *state;
    int output[2], status;
    char got[8];

    assert_int_equal(pipe(output), 0);
    fflush(NULL);
    pid_t command = fork(), rank;
    if (command == 0) { /* standard error closed */
        close(2);
        _exit(dup2(output[1], 1) == 1 ? mni_control_send_streams(line->command) : 9);
    }
    assert_int_equal(waitpid(command, &status, 0), command);
    assert_int_equal(status, 0);
    rank = fork();
    if (rank == 0)
        _exit(take_streams(line, output[1]));
    close(line->command);
    line->command = -1;
    assert_int_equal(waitpid(rank, &status, 0), rank);
    assert_int_equal(status, 0);
    close(output[1]);
    assert_int_equal(read(output[0], got, sizeof got), 1); /* and then the end */
    close(output[0]);
}

static void test_descriptors_close_on_exec_and_the_folder_is_private(void **state)
{
    line_t *line = *state;
    char folder[108];
    struct stat status;

    assert_true(fcntl(line->listener, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(line->rank, F_GETFD) & FD_CLOEXEC);
    snprintf(folder, sizeof folder, "%s", line->path);
    *strrchr(folder, '/') = '\0';
    assert_int_equal(stat(folder, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(status.st_uid, geteuid());
}

static void test_nothing_is_left(void **state)
{
    char path[108], folder[108];
    struct stat status;
    (void)state;

    int listener = mni_control_listen(path);
    assert_true(listener >= 0);
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    mni_control_unlisten(listener, path);
    assert_int_equal(stat(folder, &status), -1);
    assert_int_equal(fcntl(listener, F_GETFD), -1);
    assert_int_equal(mni_control_connect(path), MN_E_SYSTEM);
    assert_non_null(strstr(mn_error_message(), path));
    mni_control_unlisten(-1, path); /* twice is harmless */
}

static void test_bad_paths(void **state)
{
    char long_path[200];
    (void)state;

    memset(long_path, 'x', sizeof long_path);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(mni_control_connect(long_path), MN_E_INVALID);
    assert_int_equal(mni_control_connect(""), MN_E_INVALID);
    assert_int_equal(mni_control_connect(NULL), MN_E_INVALID);
}

/* A folder that is not there, one too long for a socket's address, and no absolute one: /tmp is
 * taken instead. */
static void test_unusable_tmpdir(void **state)
{
    static const char *const folders[] = {"/nonexistent", "relative", NULL};
    const char *own = getenv("TMPDIR");
    char *before = own ? strdup(own) : NULL, path[108], long_path[200];
    (void)state;

    memset(long_path, 'x', sizeof long_path);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        setenv("TMPDIR", folders[i] ? folders[i] : long_path, 1);
        int listener = mni_control_listen(path);
        assert_true(listener >= 0);
        assert_int_equal(strncmp(path, "/tmp/multinode-", 15), 0);
        mni_control_unlisten(listener, path);
    }
    if (before)
        setenv("TMPDIR", before, 1);
    else
        unsetenv("TMPDIR");
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages_arrive_in_order_and_whole, line_make,
                                        line_end),
        cmocka_unit_test_setup_teardown(test_last_message_is_read_after_the_end, line_make,
                                        line_end),
        cmocka_unit_test_setup_teardown(test_streams_are_handed_over, line_make, line_end),
        cmocka_unit_test_setup_teardown(test_foreign_messages_are_refused, line_make, line_end),
        cmocka_unit_test_setup_teardown(test_descriptors_close_on_exec_and_the_folder_is_private,
                                        line_make, line_end),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_unusable_tmpdir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
