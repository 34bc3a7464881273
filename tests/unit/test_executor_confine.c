/* SPDX-License-Identifier: MIT
 *
 * Limits of memory: what is written into control groups of both versions (a folder with files stands for them), and
 * what is counted of a process tree where there is none.
 */
#include "executor/channel.h"
#include "executor/confine.h"
#include "executor/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static char folder[256];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/mn-confine-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[300];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/3/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void expect(const char *name, const char *text)
{
    char group[300], now[256];
    snprintf(group, sizeof group, "%s/3", folder);
    assert_true(mni_cgroup_read(group, name, now, sizeof now) >= 0);
    assert_string_equal(now, text);
}

/* As the kernel's files: what is written replaces what was there. */
static int set_limit(const mni_confine_t *confine, const char *name, uint64_t bytes)
{
    put(name, "");
    return mni_confine_limit(confine, 3, bytes);
}

static mni_confine_t open_fake(mni_confine_method_t method)
{
    char path[300];
    mni_confine_t confine = {.method = method};
    snprintf(confine.memory, sizeof confine.memory, "%s", folder);
    snprintf(path, sizeof path, "%s/3", folder);
    mkdir(path, 0755);
    return confine;
}

static void version_2(void **state)
{
    (void)state;
    mni_confine_t confine = open_fake(MNI_CONFINE_CGROUP2);
    assert_int_equal(mni_confine_group(&confine, 3), -1); /* no controller: never without a limit */
    put("memory.max", "");
    put("memory.oom.group", "");
    put("memory.swap.max", "");
    assert_int_equal(mni_confine_group(&confine, 3), 0);
    expect("memory.max", "max");
    expect("memory.oom.group", "1");
    expect("memory.swap.max", "0");
    put("memory.current", "1048576\n");
    assert_int_equal(set_limit(&confine, "memory.max", 64 * MIB), 0);
    expect("memory.max", "75497472"); /* with MNI_CONFINE_OWN */
    assert_int_equal(set_limit(&confine, "memory.max", UINT64_MAX), 0);
    expect("memory.max", "max");
    put("memory.current", "104857600\n");
    errno = 0;
    assert_int_equal(set_limit(&confine, "memory.max", 64 * MIB), -1);
    assert_int_equal(errno, EBUSY);
    expect("memory.max", ""); /* the kernel would have killed */
    put("memory.events", "low 0\nhigh 0\nmax 812\noom 3\noom_kill 2\noom_group_kill 1\n");
    assert_int_equal(mni_confine_kills(&confine, 3), 2);
    put("memory.peak", "123456789\n");
    assert_int_equal(mni_confine_peak(&confine, 3), 123456789);
    assert_int_equal(mni_confine_notice(&confine, 3), -1);
    assert_int_equal(mni_confine_kills(&confine, 4), 0);
    assert_int_equal(mni_confine_peak(&confine, 4), 0);
}

static void version_1(void **state)
{
    (void)state;
    mni_confine_t confine = open_fake(MNI_CONFINE_CGROUP1);
    assert_int_equal(mni_confine_group(&confine, 3), -1);
    put("memory.limit_in_bytes", "");
    assert_int_equal(mni_confine_group(&confine, 3), 0);
    expect("memory.limit_in_bytes", "-1");
    assert_int_equal(set_limit(&confine, "memory.limit_in_bytes", 1), 0);
    expect("memory.limit_in_bytes", "8388609");
    assert_int_equal(set_limit(&confine, "memory.limit_in_bytes", UINT64_MAX - 1), 0);
    expect("memory.limit_in_bytes", "-1");
    put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
    assert_int_equal(mni_confine_kills(&confine, 3), 7);
    put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n"); /* before Linux 4.13 */
    assert_int_equal(mni_confine_kills(&confine, 3), 0);
}

static void names(void **state)
{
    mni_tree_t tree = {.method = MNI_TREE_SUBREAPER};
    mni_confine_t confine;
    (void)state;
    setenv("MULTINODE_CONFINE", "watch", 1);
    assert_int_equal(mni_confine_open(&confine, &tree), 0);
    assert_string_equal(mni_confine_name(&confine), "watched");
    assert_true(mni_confine_close(&confine));
    setenv("MULTINODE_CONFINE", "cgroup2", 1); /* not without a tree in version 2 */
    assert_int_equal(mni_confine_open(&confine, &tree), MN_E_IMPOSSIBLE);
    setenv("MULTINODE_CONFINE", "hope", 1);
    assert_int_equal(mni_confine_open(&confine, &tree), MN_E_INVALID);
    unsetenv("MULTINODE_CONFINE");
}

/* --- watching --------------------------------------------------------------------------------- */

static uint64_t usage_of(const pid_t *pids, size_t count, int memfd)
{
    return mni_watch_usage(pids, count, memfd, 0);
}

static void *touch(size_t bytes, int flags, int fd)
{
    uint8_t *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    assert_true(at != MAP_FAILED);
    memset(at, 1, bytes);
    return at;
}

static void expect_more(uint64_t before, uint64_t after, size_t bytes)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* it takes as much again several times over for what it notes of each byte */
#endif
    uint64_t least = before + bytes, slack = 4 * MIB;
    if (after + slack < least || after > least + slack)
        fail_msg("%zu MiB more are %lld KiB more", bytes / MIB,
                 ((long long)after - (long long)before) / 1024);
}

static void what_counts(void **state)
{
    pid_t self = getpid();
    (void)state;
    uint64_t before = usage_of(&self, 1, -1);
    void *at = touch(40 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    expect_more(before, usage_of(&self, 1, -1), 40 * MIB);
    munmap(at, 40 * MIB);
    at = touch(40 * MIB, MAP_SHARED | MAP_ANONYMOUS, -1);
    expect_more(before, usage_of(&self, 1, -1), 40 * MIB);
    munmap(at, 40 * MIB);
    int others = memfd_create("multinode", MFD_CLOEXEC);
    assert_int_equal(ftruncate(others, (off_t)(40 * MIB)), 0);
    at = touch(40 * MIB, MAP_SHARED, others);
    expect_more(before, usage_of(&self, 1, -1), 0);
    munmap(at, 40 * MIB);
    close(others);
}

static void what_a_tree_shares_counts_once(void **state)
{
    pid_t tree[2] = {getpid(), 0}, found[8];
    int gate[2];
    char byte;
    (void)state;
    uint64_t before = usage_of(tree, 1, -1);
    void *at = touch(40 * MIB, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    tree[1] = fork();
    if (tree[1] == 0) {
        close(gate[1]);
        _exit(read(gate[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(gate[0]);
    expect_more(before, usage_of(tree, 2, -1), 40 * MIB);
    size_t count = mni_watch_members("", tree[0], found, 8);
    assert_int_equal(count, 2);
    assert_int_equal(found[0], tree[0]);
    assert_int_equal(found[1], tree[1]);
    close(gate[1]);
    assert_int_equal(waitpid(tree[1], NULL, 0), tree[1]);
    assert_int_equal(mni_watch_members("", tree[0], found, 8), 1);
    munmap(at, 40 * MIB);
}

static void the_callers_half_of_an_arena_counts(void **state)
{
    mni_doorbell_t bell = {0};
    mni_channel_t *channel = NULL;
    (void)state;
    assert_int_equal(mni_channel_create(&bell, &channel), 0);
    int memfd = mni_channel_memfd(channel);
    uint64_t before = usage_of(NULL, 0, memfd);
    assert_int_equal(mni_channel_reserve(channel, 0, 24 * MIB), 0);
    memset(mni_channel_arena(channel, NULL), 1, 24 * MIB);
    expect_more(before, usage_of(NULL, 0, memfd), 24 * MIB);
    size_t others = mni_channel_block_offset(channel);
    assert_int_equal(mni_channel_reserve(channel, others, 24 * MIB), 0);
    memset(mni_channel_arena(channel, NULL) + others, 1, 24 * MIB);
    expect_more(before, usage_of(NULL, 0, memfd), 24 * MIB);
    mni_channel_destroy(channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(version_2, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(version_1, make_folder, remove_folder),
        cmocka_unit_test(names),
        cmocka_unit_test(what_counts),
        cmocka_unit_test(what_a_tree_shares_counts_once),
        cmocka_unit_test(the_callers_half_of_an_arena_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
