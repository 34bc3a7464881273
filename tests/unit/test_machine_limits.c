/* SPDX-License-Identifier: MIT
 *
 * machine/: what control groups and Slurm leave of real and described machines. A folder with files stands for the
 * file system where the groups are looked for.
 */
#include "machine/limits.h"
#include "machine/machine.h"
#include "util/error.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

/* --- limits ----------------------------------------------------------------------------------- */

static char base[] = "/tmp/test_limits_XXXXXX";

static void put(const char *name, const char *text)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", base, name);
    for (char *slash = path + strlen(base) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static uint64_t limit_of(const char *cgroup, const char *mountinfo)
{
    char cgroup_path[PATH_MAX], mount_path[PATH_MAX];

    put("cgroup", cgroup);
    put("mountinfo", mountinfo);
    snprintf(cgroup_path, sizeof cgroup_path, "%s/cgroup", base);
    snprintf(mount_path, sizeof mount_path, "%s/mountinfo", base);
    mni_limits_t limits;
    assert_int_equal(mni_limits_cgroup("", cgroup_path, mount_path, &limits), 0);
    uint64_t memory = limits.memory;
    mni_limits_fini(&limits);
    return memory;
}

static void test_cgroup_limits(void **state)
{
    char v2[PATH_MAX], v1[PATH_MAX + 256], text[2 * PATH_MAX + 1024];

    (void)state;
    assert_non_null(mkdtemp(base));
    put("v2/memory.max", "max\n");
    put("v2/a/memory.max", "1000000\n");
    put("v2/a/b/memory.max", "3000000\n");
    put("v2/a/b/c/memory.max", "max\n");
    put("v 1/memory.limit_in_bytes", "9223372036854771712\n");
    put("v 1/x/memory.limit_in_bytes", "500000\n");
    put("v 1/x/y/memory.limit_in_bytes", "700000\n");
    put("v 1/z/memory.limit_in_bytes", "10\n");
    put("part/memory.limit_in_bytes", "600000\n");
    put("part/y/memory.limit_in_bytes", "650000\n");

    snprintf(v2, sizeof v2,
             "40 30 0:37 / %s/v2 rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw\n", base);
    snprintf(v1, sizeof v1,
             "33 30 0:30 / %s/nowhere rw - cgroup cgroup rw,cpuset\n"
             "34 30 0:31 / %s/v\\0401 rw,relatime - cgroup cgroup rw,memory\n",
             base, base);
    /* the smallest up the hierarchy counts, not the innermost */
    assert_int_equal(limit_of("0::/a/b/c\n", v2), 1000000);
    assert_int_equal(limit_of("0::/\n", v2), UINT64_MAX);
    assert_int_equal(limit_of("0::/a/b/gone\n", v2), 1000000);
    assert_int_equal(limit_of("7:cpuset:/z\n4:hugetlb,memory:/x/y\n", v1), 500000);
    assert_int_equal(limit_of("4:memory:/\n", v1), 9223372036854771712U);
    /* both: the smaller */
    snprintf(text, sizeof text, "%s%s", v2, v1);
    assert_int_equal(limit_of("4:memory:/x/y\n0::/a/b\n", text), 500000);
    assert_int_equal(limit_of("4:memory:/\n0::/a/b\n", text), 1000000);
    /* a mount that shows only a part: of our group, or (in a container) of one that we cannot
     * see */
    snprintf(text, sizeof text, "34 30 0:31 /x %s/part rw - cgroup cgroup rw,memory\n", base);
    assert_int_equal(limit_of("4:memory:/x/y\n", text), 600000);
    assert_int_equal(limit_of("4:memory:/xy\n", text), 600000);
    assert_int_equal(limit_of("4:memory:/../other\n", text), 600000);
    /* ... but such a mount says nothing when another one shows our group */
    snprintf(text, sizeof text, "%s34 30 0:31 /else %s/v\\0401/z rw - cgroup cgroup rw,memory\n",
             v1, base);
    assert_int_equal(limit_of("4:memory:/x/y\n", text), 500000);
    /* nothing, or nonsense */
    assert_int_equal(limit_of("", ""), UINT64_MAX);
    assert_int_equal(
        limit_of("0::/a\n::\n:\n\n", "1 2\n - cgroup2\n40 30 0:37 / /x rw - cgroup2\n"),
        UINT64_MAX);
    mni_limits_t limits;
    assert_int_equal(mni_limits_cgroup("", "/nonexistent", "/nonexistent", &limits), 0);
    assert_true(limits.memory == UINT64_MAX && limits.cpus == INFINITY && limits.cpusets == NULL);

    snprintf(text, sizeof text, "rm -r '%s'", base);
    assert_int_equal(system(text), 0);
}

static void slurm(const char *per_node, const char *per_cpu, const char *cpus)
{
    const char *const names[] = {"SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"};
    const char *const values[] = {per_node, per_cpu, cpus};
    for (int i = 0; i < 3; i++) {
        if (values[i] == NULL)
            unsetenv(names[i]);
        else
            setenv(names[i], values[i], 1);
    }
}

static void test_slurm_limits(void **state)
{
    uint64_t bytes = 0;
    uint32_t cpus = 0;

    (void)state;
    slurm(NULL, NULL, NULL);
    assert_int_equal(mni_limits_slurm(4, &bytes, &cpus), 0);
    assert_int_equal(bytes, UINT64_MAX);
    slurm("2048", NULL, NULL);
    assert_int_equal(mni_limits_slurm(4, &bytes, &cpus), 0);
    assert_int_equal(bytes, 2048 * MIB);
    slurm("0", NULL, NULL);
    assert_int_equal(mni_limits_slurm(4, &bytes, &cpus), 0);
    assert_int_equal(bytes, UINT64_MAX);
    slurm(NULL, "100", NULL);
    assert_int_equal(mni_limits_slurm(4, &bytes, &cpus), 0);
    assert_int_equal(bytes, 400 * MIB);
    slurm(NULL, "100", "3");
    assert_int_equal(mni_limits_slurm(4, &bytes, &cpus), 0);
    assert_int_equal(bytes, 300 * MIB);

    static const char *const bad[] = {"x", "-1", "10G", "1.5", "999999999999999999999999", " 3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        slurm(bad[i], NULL, NULL);
        bytes = 7;
        assert_int_equal(mni_limits_slurm(4, &bytes, &cpus), MN_E_INVALID);
        assert_int_equal(bytes, 7);
        assert_non_null(strstr(mn_error_message(), "SLURM_MEM_PER_NODE"));
        mni_machine_t *machine = NULL;
        assert_int_equal(mni_machine_open(NULL, &machine), MN_E_INVALID);
        assert_null(machine);
    }

    /* the whole way: the limit less 2% */
    mni_machine_t *machine = NULL;
    slurm("100", NULL, NULL);
    assert_int_equal(mni_machine_open(NULL, &machine), 0);
    assert_int_equal(mni_machine_offer(machine)->memory, 98 * MIB);
    mni_machine_close(machine);
    slurm(NULL, NULL, NULL);
}

/* --- whole machines with control groups -------------------------------------------------------- */

/* 2 packages, 4 L3 caches, 16 cores, 32 processing units, 64 GiB. */
#define SOME_MACHINE "package:2 numa:1(memory=34359738368) l3:2 core:4 pu:2"

static void new_base(void)
{
    snprintf(base, sizeof base, "/tmp/test_limits_XXXXXX");
    assert_non_null(mkdtemp(base));
}

static void old_base(void)
{
    char text[PATH_MAX];
    snprintf(text, sizeof text, "rm -r '%s'", base);
    assert_int_equal(system(text), 0);
}

static void expect_offer(const mni_machine_options_t *given, const char *allowed, uint32_t cores,
                         uint64_t memory)
{
    mni_machine_t *machine = NULL;
    mni_machine_options_t options = *given;
    options.synthetic = SOME_MACHINE;
    options.root = base;
    assert_int_equal(mni_machine_open(&options, &machine), 0);
    assert_string_equal(mni_machine_allowed(machine), allowed);
    assert_int_equal(mni_machine_offer(machine)->cores, cores);
    assert_int_equal(mni_machine_offer(machine)->memory, memory);
    mni_machine_close(machine);
}

#define GIB ((uint64_t)1 << 30)
#define RESERVE (256 * MIB) /* at most */

static void test_groups_of_version_2(void **state)
{
    const mni_machine_options_t none = {0};
    (void)state;
    new_base();
    put("proc/self/cgroup", "0::/jobs/17/step\n");
    put("proc/self/mountinfo", "40 30 0:37 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    expect_offer(&none, "0-31", 16, 64 * GIB - RESERVE); /* nothing limits it */
    put("sys/fs/cgroup/jobs/17/cpuset.cpus.effective", "4-11\n");
    put("sys/fs/cgroup/jobs/17/memory.max", "10737418240\n");
    put("sys/fs/cgroup/jobs/17/step/cpuset.cpus.effective", "\n");
    put("sys/fs/cgroup/jobs/17/step/cpuset.cpus", "\n"); /* as the one above */
    put("sys/fs/cgroup/jobs/17/step/memory.max", "max\n");
    expect_offer(&none, "4-11", 4, 10 * GIB - 10 * GIB / 50);
    /* above it too: what both have */
    put("sys/fs/cgroup/jobs/cpuset.cpus.effective", "0-5,9\n");
    put("sys/fs/cgroup/jobs/memory.max", "1073741824\n");
    expect_offer(&none, "4-5,9", 2, GIB - GIB / 50);
    /* a quota, in processing units, rounded down; but one */
    put("sys/fs/cgroup/jobs/17/cpu.max", "max 100000\n");
    expect_offer(&none, "4-5,9", 2, GIB - GIB / 50);
    put("sys/fs/cgroup/jobs/cpu.max", "290000 100000\n");
    expect_offer(&none, "4-5", 1, GIB - GIB / 50);
    put("sys/fs/cgroup/cpu.max", "20000 100000\n");
    expect_offer(&none, "4", 1, GIB - GIB / 50);
    /* nothing in common, and nonsense: says so, or is passed over */
    put("sys/fs/cgroup/jobs/17/step/cpuset.cpus", "20\n");
    mni_machine_t *machine = NULL;
    mni_machine_options_t options = {.synthetic = SOME_MACHINE, .root = base};
    assert_int_equal(mni_machine_open(&options, &machine), MN_E_INVALID);
    assert_non_null(strstr(mn_error_message(), "no core is left"));
    put("sys/fs/cgroup/jobs/17/step/cpuset.cpus", "many\n");
    put("sys/fs/cgroup/cpu.max", "lots 0\n");
    put("sys/fs/cgroup/jobs/cpu.max", "-5 -5\n");
    expect_offer(&none, "4-5,9", 2, GIB - GIB / 50);
    old_base();
}

static void test_groups_of_version_1(void **state)
{
    const mni_machine_options_t none = {0};
    (void)state;
    new_base();
    put("proc/self/cgroup", "9:cpuset:/slurm/uid_7\n5:cpu,cpuacct:/user\n2:memory:/slurm\n");
    put("proc/self/mountinfo", "33 30 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                               "34 30 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                               "35 30 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put("sys/fs/cgroup/cpuset/cpuset.cpus", "0-31\n");
    put("sys/fs/cgroup/cpuset/slurm/cpuset.cpus", "0-15\n");
    put("sys/fs/cgroup/cpuset/slurm/uid_7/cpuset.cpus", "1,8-15\n");
    put("sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", "2147483648\n");
    put("sys/fs/cgroup/cpu/user/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu/user/cpu.cfs_period_us", "100000\n");
    expect_offer(&none, "1,8-15", 5, 2 * GIB - 2 * GIB / 50);
    put("sys/fs/cgroup/cpuset/slurm/uid_7/cpuset.effective_cpus",
        "1,8-13\n"); /* some are offline */
    expect_offer(&none, "1,8-13", 4, 2 * GIB - 2 * GIB / 50);
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    expect_offer(&none, "1,8-9", 2, 2 * GIB - 2 * GIB / 50);
    /* the options override downwards only */
    expect_offer(&(mni_machine_options_t){.cpus = 1, .memory = MIB}, "1,8-9", 1, MIB);
    expect_offer(&(mni_machine_options_t){.cpus = 9, .memory = 9 * GIB}, "1,8-9", 2,
                 2 * GIB - 2 * GIB / 50);
    old_base();
}

static void test_slurm_cpus(void **state)
{
    const mni_machine_options_t none = {0};
    (void)state;
    new_base();
    put("proc/self/cgroup", "0::/job\n");
    put("proc/self/mountinfo", "40 30 0:37 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    slurm(NULL, "1024", "6"); /* it has not bound us: six processing units */
    expect_offer(&none, "0-5", 3, 6 * GIB - 6 * GIB / 50);
    slurm(NULL, NULL, "5");
    expect_offer(&none, "0-4", 3, 64 * GIB - RESERVE);
    slurm(NULL, NULL, "16"); /* all of the node, counted in cores; or in processing units */
    expect_offer(&none, "0-31", 16, 64 * GIB - RESERVE);
    slurm(NULL, NULL, "32");
    expect_offer(&none, "0-31", 16, 64 * GIB - RESERVE);
    slurm(NULL, NULL, "100");
    expect_offer(&none, "0-31", 16, 64 * GIB - RESERVE);
    put("sys/fs/cgroup/job/cpuset.cpus.effective", "8-15\n"); /* it has: it knows what it counts */
    slurm("3072", NULL, "4");
    expect_offer(&none, "8-15", 4, 3 * GIB - 3 * GIB / 50);
    mni_machine_t *machine = NULL;
    mni_machine_options_t options = {.synthetic = SOME_MACHINE, .root = base};
    slurm(NULL, NULL, "four");
    assert_int_equal(mni_machine_open(&options, &machine), MN_E_INVALID);
    assert_non_null(strstr(mn_error_message(), "SLURM_CPUS_ON_NODE"));
    /* a machine that is only described: nobody has a say */
    options.root = NULL;
    assert_int_equal(mni_machine_open(&options, &machine), 0);
    assert_int_equal(mni_machine_offer(machine)->cores, 16);
    assert_int_equal(mni_machine_offer(machine)->memory, 64 * GIB);
    mni_machine_close(machine);
    slurm(NULL, NULL, NULL);
    old_base();
}

/* What the ranks of a node may use together is cut too. */
static void test_widened_to_a_quota(void **state)
{
    mni_machine_options_t options = {.synthetic = SOME_MACHINE, .root = base};
    mni_machine_t *machine = NULL;
    (void)state;
    new_base();
    put("proc/self/cgroup", "0::/job\n");
    put("proc/self/mountinfo", "40 30 0:37 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("sys/fs/cgroup/job/cpu.max", "400000 100000\n");
    assert_int_equal(mni_machine_open(&options, &machine), 0);
    assert_int_equal(mni_machine_widen(machine, "8-13,30", ""), 0);
    assert_string_equal(mni_machine_allowed(machine), "8-11");
    assert_int_equal(mni_machine_offer(machine)->cores, 2);
    mni_machine_close(machine);
    old_base();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cgroup_limits),       cmocka_unit_test(test_slurm_limits),
        cmocka_unit_test(test_groups_of_version_2), cmocka_unit_test(test_groups_of_version_1),
        cmocka_unit_test(test_slurm_cpus),          cmocka_unit_test(test_widened_to_a_quota),
    };
    slurm(NULL, NULL, NULL); /* the tests may themselves run inside a batch job */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
