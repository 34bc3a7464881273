/* SPDX-License-Identifier: MIT
 *
 * machine/: what this machine and synthetic ones offer, binding of a process with threads, and
 * memory limits read from made-up control groups and Slurm variables.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* cpu_set_t */
#endif
#include "executor/cgroup.h"
#include "machine/machine.h"
#include "util/error.h"

#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

static mni_machine_t *open_synthetic(const char *description, uint32_t cpus, uint64_t memory)
{
    mni_machine_options_t options = {.cpus = cpus, .memory = memory, .synthetic = description};
    mni_machine_t *machine = NULL;

    int rc = mni_machine_open(&options, &machine);
    if (rc < 0)
        print_error("%s\n", mn_error_message());
    assert_int_equal(rc, 0);
    return machine;
}

/* The processing units that the kernel lets this process use. */
static int affinity_count(cpu_set_t *set)
{
    CPU_ZERO(set);
    assert_int_equal(sched_getaffinity(0, sizeof *set, set), 0);
    return CPU_COUNT(set);
}

/* Reads Cpus_allowed_list of a thread. */
static void status_cpus(const char *path, char *list, size_t room)
{
    char line[4096];
    FILE *file = fopen(path, "r");

    list[0] = '\0';
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "Cpus_allowed_list:", 18) == 0) {
            char *text = line + 18 + strspn(line + 18, " \t");
            text[strcspn(text, "\n")] = '\0';
            snprintf(list, room, "%s", text);
        }
    fclose(file);
}

/* --- the real machine ------------------------------------------------------------------------- */

static void test_real(void **state)
{
    mni_machine_t *machine = NULL;
    char host[256] = "";
    cpu_set_t set;

    (void)state;
    assert_int_equal(mni_machine_open(NULL, &machine), 0);
    const mni_node_offer_t *offer = mni_machine_offer(machine);
    int pus = affinity_count(&set);
    assert_in_range(offer->cores, 1, (uintmax_t)pus);
    assert_in_range(offer->memory, 16 * MIB,
                    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    assert_string_equal(offer->host, host);
    assert_int_equal(offer->place[0].l3, 0);
    assert_int_equal(offer->place[0].numa, 0);
    assert_int_equal(offer->place[0].package, 0);

    char list[4096];
    status_cpus("/proc/self/status", list, sizeof list);
    assert_string_equal(mni_machine_allowed(machine), list);

    char expected[64];
    snprintf(expected, sizeof expected, "%u core%s, %d PU%s", offer->cores,
             offer->cores == 1 ? "" : "s", pus, pus == 1 ? "" : "s");
    assert_non_null(strstr(mni_machine_summary(machine), expected));
    mni_machine_close(machine);
    mni_machine_close(NULL);
}

static void test_options_lower(void **state)
{
    mni_machine_options_t options = {.cpus = 1, .memory = 64 * MIB};
    mni_machine_t *machine = NULL;

    (void)state;
    assert_int_equal(mni_machine_open(&options, &machine), 0);
    assert_int_equal(mni_machine_offer(machine)->cores, 1);
    assert_int_equal(mni_machine_offer(machine)->memory, 64 * MIB);
    mni_machine_close(machine);

    uint64_t most;
    assert_int_equal(mni_machine_open(NULL, &machine), 0);
    most = mni_machine_offer(machine)->memory;
    uint32_t cores = mni_machine_offer(machine)->cores;
    mni_machine_close(machine);
    options = (mni_machine_options_t){.cpus = 100000, .memory = UINT64_MAX};
    assert_int_equal(mni_machine_open(&options, &machine), 0);
    assert_int_equal(mni_machine_offer(machine)->memory, most);
    assert_int_equal(mni_machine_offer(machine)->cores, cores);
    mni_machine_close(machine);
}

/* In a child that is bound to its last processing unit: the offer is that one, and widening
 * brings back the rest. */
static int restricted_child(const cpu_set_t *all)
{
    mni_machine_t *machine = NULL;
    cpu_set_t one;
    char text[16], wide[4096];
    int last = -1;

    status_cpus("/proc/self/status", wide, sizeof wide);
    for (int pu = 0; pu < CPU_SETSIZE; pu++)
        if (CPU_ISSET(pu, all))
            last = pu;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0 || mni_machine_open(NULL, &machine) != 0)
        return 10;
    snprintf(text, sizeof text, "%d", last);
    if (mni_machine_offer(machine)->cores != 1 || strcmp(mni_machine_allowed(machine), text) != 0 ||
        strstr(mni_machine_summary(machine), "1 core, 1 PU") == NULL)
        return 11;
    /* all of it, in two overlapping parts, and one that does not exist */
    char joined[8192];
    snprintf(joined, sizeof joined, "%s,%s,99999", wide, text);
    if (mni_machine_widen(machine, joined, "") != 0 ||
        strcmp(mni_machine_allowed(machine), wide) != 0)
        return 12;
    mni_cpus_t none = {{0}};
    if (mni_machine_bind(machine, 0, &none) != 0)
        return 13;
    status_cpus("/proc/self/status", text, sizeof text);
    if (strncmp(text, wide, sizeof text - 1) != 0)
        return 14;
    mni_machine_close(machine);
    return 0;
}

/* What a process may use is what any of its threads may, and ThreadSanitizer has one of its own in each process. */
static void skip_with_other_threads(void)
{
#ifdef __SANITIZE_THREAD__
    print_message("ThreadSanitizer has a thread of its own in each process\n");
    skip();
#endif
}

static void test_restricted_affinity(void **state)
{
    cpu_set_t all;
    int status = 0;

    (void)state;
    skip_with_other_threads();
    affinity_count(&all);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(restricted_child(&all));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- binding ---------------------------------------------------------------------------------- */

static void *sleeper(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return NULL;
}

/* A child with two threads, which says so on the pipe and then waits to be killed. */
static pid_t child_with_threads(void)
{
    int ready[2];
    char byte = 0;

    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pthread_t thread;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (pthread_create(&thread, NULL, sleeper, NULL) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        sleeper(NULL);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* Every thread of the process may run exactly on `expected`. */
static void check_threads(pid_t pid, const char *expected)
{
    char path[PATH_MAX], list[4096];
    int threads = 0;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.32s/status", (int)pid, entry->d_name);
        status_cpus(path, list, sizeof list);
        assert_string_equal(list, expected);
        threads++;
    }
    closedir(folder);
    assert_int_equal(threads, 2);
}

static void test_bind_other_process(void **state)
{
    mni_machine_t *machine = NULL;
    mni_cpus_t cpus = {{0}};
    char expected[16], all[4096];
    int status = 0;

    (void)state;
    skip_with_other_threads();
    assert_int_equal(mni_machine_open(NULL, &machine), 0);
    uint32_t cores = mni_machine_offer(machine)->cores;
    snprintf(all, sizeof all, "%s", mni_machine_allowed(machine));
    pid_t pid = child_with_threads();
    /* Without hyperthreads core k is the k-th processing unit; with them only the whole is
     * compared. */
    if (strchr(all, ',') == NULL && (int)cores == affinity_count(&(cpu_set_t){{0}})) {
        mni_cpus_add(&cpus, cores - 1);
        assert_int_equal(mni_machine_bind(machine, pid, &cpus), 0);
        snprintf(expected, sizeof expected, "%u", (unsigned)atoi(all) + cores - 1);
        check_threads(pid, expected);
        /* Where the kernel has moved it, as from a core that goes offline, that is seen. */
        cpu_set_t set;
        affinity_count(&set);
        assert_true(mni_machine_is_bound(machine, pid, &cpus));
        assert_int_equal(sched_setaffinity(pid, sizeof set, &set), 0);
        assert_int_equal(mni_machine_is_bound(machine, pid, &cpus), cores == 1);
        assert_int_equal(mni_machine_bind(machine, pid, &cpus), 0);
        assert_true(mni_machine_is_bound(machine, pid, &cpus));
        memset(&cpus, 0, sizeof cpus);
    } else {
        print_message("hyperthreads here: only binding to all cores is compared\n");
    }
    assert_int_equal(mni_machine_bind(machine, pid, &cpus), 0);
    check_threads(pid, all);

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(mni_machine_bind(machine, pid, &cpus), MN_E_SYSTEM);
    assert_false(mni_machine_is_bound(machine, pid, &cpus));
    assert_non_null(strstr(mn_error_message(), "cannot bind process"));
    assert_int_equal(mni_machine_bind(machine, -5, &cpus), MN_E_INVALID);
    mni_cpus_add(&cpus, cores);
    assert_int_equal(mni_machine_bind(machine, 0, &cpus), MN_E_INVALID);
    mni_machine_close(machine);
}

/* A cpuset of version 1 with the first of our processing units. False: none can be made here. */
static bool make_cpuset(char path[MNI_CGROUP_PATH], unsigned pu)
{
    char directory[MNI_CGROUP_PATH], text[256];

    if (!mni_cgroup_find("cpuset", directory) || mni_cgroup_make(directory, path) < 0)
        return false;
    snprintf(text, sizeof text, "%u", pu);
    if (mni_cgroup_write(path, "cpuset.cpus", text) == 0 &&
        mni_cgroup_read(directory, "cpuset.mems", text, sizeof text) > 0 &&
        mni_cgroup_write(path, "cpuset.mems", text) == 0)
        return true;
    mni_cgroup_remove(path);
    return false;
}

/* The kernel takes a set of which a part is not in the cpuset any more; we do not. */
static void test_bind_in_a_cpuset_that_has_shrunk(void **state)
{
    mni_machine_t *machine = NULL;
    mni_cpus_t none = {{0}}, first = {{0}};
    char path[MNI_CGROUP_PATH], expected[16], number[16];

    (void)state;
    skip_with_other_threads();
    assert_int_equal(mni_machine_open(NULL, &machine), 0);
    unsigned pu = (unsigned)atoi(mni_machine_allowed(machine));
    if (mni_machine_offer(machine)->cores < 2 || !make_cpuset(path, pu)) {
        mni_machine_close(machine);
        print_message("skipped: one core only, or no cpuset can be made\n");
        skip();
    }
    pid_t pid = child_with_threads();
    snprintf(number, sizeof number, "%d", (int)pid);
    bool moved = mni_cgroup_write(path, "cgroup.procs", number) == 0;
    int rc = mni_machine_bind(machine, pid, &none);
    char said[MNI_ERROR_MAX];
    snprintf(said, sizeof said, "%s", mn_error_message());
    mni_cpus_add(&first, 0);
    int rc_first = mni_machine_bind(machine, pid, &first);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    mni_cgroup_remove(path);
    assert_true(moved);
    assert_int_equal(rc, MN_E_SYSTEM);
    snprintf(expected, sizeof expected, "use %u only", pu);
    assert_non_null(strstr(said, expected));
    /* with hyperthreads a core is more than its first one */
    if (mni_machine_offer(machine)->cores == (uint32_t)affinity_count(&(cpu_set_t){{0}}))
        assert_int_equal(rc_first, 0);
    mni_machine_close(machine);
}

/* --- synthetic machines ----------------------------------------------------------------------- */

static void test_synthetic_places(void **state)
{
    (void)state;
    mni_machine_t *machine = open_synthetic("package:2 numa:2 l3:2 core:8 pu:2", 0, 0);
    const mni_node_offer_t *offer = mni_machine_offer(machine);

    assert_int_equal(offer->cores, 64);
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(offer->place[i].l3, i / 8);
        assert_int_equal(offer->place[i].numa, i / 16);
        assert_int_equal(offer->place[i].package, i / 32);
    }
    assert_string_equal(mni_machine_summary(machine),
                        "2 packages, 4 NUMA nodes, 8 L3s, 64 cores, 128 PUs");
    assert_string_equal(mni_machine_allowed(machine), "0-127");
    assert_in_range(offer->memory, 4 * MIB, UINT64_MAX);

    /* binding does nothing, but looks at what it is given */
    cpu_set_t before, after;
    mni_cpus_t cpus = {{0}};
    affinity_count(&before);
    mni_cpus_add(&cpus, 63);
    assert_int_equal(mni_machine_bind(machine, 0, &cpus), 0);
    affinity_count(&after);
    assert_true(CPU_EQUAL(&before, &after));
    mni_cpus_add(&cpus, 64);
    assert_int_equal(mni_machine_bind(machine, 0, &cpus), MN_E_INVALID);
    assert_non_null(strstr(mn_error_message(), "core 64"));
    mni_machine_close(machine);
}

/* One hyperthread is enough for a core; places are numbered anew among what is left. */
static void test_synthetic_widen(void **state)
{
    (void)state;
    mni_machine_t *machine = open_synthetic("package:2 numa:2 l3:2 core:8 pu:2", 3, 0);

    assert_int_equal(mni_machine_offer(machine)->cores, 3);
    assert_string_equal(mni_machine_summary(machine),
                        "1 package, 1 NUMA node, 1 L3, 3 cores, 6 PUs");
    assert_int_equal(mni_machine_widen(machine, "65,66,100-101,99", ""), 0);
    const mni_node_offer_t *offer = mni_machine_offer(machine);
    assert_int_equal(offer->cores, 3); /* cores 32, 33 and 49; 50 is cut by the option */
    assert_int_equal(offer->place[1].numa, 0);
    assert_int_equal(offer->place[2].numa, 1);
    assert_int_equal(offer->place[2].l3, 1);
    assert_int_equal(offer->place[2].package, 0);
    assert_string_equal(mni_machine_allowed(machine), "65-66,99-101");
    assert_string_equal(mni_machine_summary(machine),
                        "1 package, 2 NUMA nodes, 2 L3s, 3 cores, 3 PUs");

    static const char *const bad[] = {"",
                                      "x",
                                      "1-",
                                      "-1",
                                      "3-1",
                                      "1,",
                                      ",1",
                                      "1 2",
                                      "0x1",
                                      "1--2",
                                      "128-300",
                                      "99999999999999999999",
                                      "0-4294967295",
                                      "1,2;3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mni_machine_widen(machine, bad[i], ""), MN_E_INVALID);
        assert_non_null(strstr(mn_error_message(), bad[i]));
        assert_int_equal(mni_machine_offer(machine)->cores, 3);
        assert_string_equal(mni_machine_allowed(machine), "65-66,99-101");
    }
    mni_machine_close(machine);
}

static void test_synthetic_shapes(void **state)
{
    (void)state;
    mni_machine_t *machine = open_synthetic("core:1 pu:1", 0, 0);
    assert_int_equal(mni_machine_offer(machine)->cores, 1);
    assert_non_null(strstr(mni_machine_summary(machine), "1 core, 1 PU"));
    mni_machine_close(machine);

    /* no L3: one number per NUMA node, or per package where that is smaller */
    machine = open_synthetic("package:2 numa:2 core:2 pu:1", 0, 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(mni_machine_offer(machine)->place[i].l3, i / 2);
    mni_machine_close(machine);
    machine = open_synthetic("numa:1 package:2 core:4 pu:1", 0, 0);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(mni_machine_offer(machine)->place[i].numa, 0);
        assert_int_equal(mni_machine_offer(machine)->place[i].l3, i / 4);
    }
    mni_machine_close(machine);

    /* more than can be numbered */
    machine = open_synthetic("package:4 core:512 pu:1", 0, 3 * MIB);
    assert_int_equal(mni_machine_offer(machine)->cores, MNI_MAX_CORES);
    assert_int_equal(mni_machine_offer(machine)->place[MNI_MAX_CORES - 1].package, 1);
    assert_int_equal(mni_machine_offer(machine)->memory, 3 * MIB);
    mni_machine_close(machine);
}

static void test_bad_synthetic(void **state)
{
    static const char *const bad[] = {
        "",         "nonsense",  "core:0", "package:2 core:", "/nonexistent/machine.xml",
        "none.xml", "/dev/null", "/"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mni_machine_options_t options = {.synthetic = bad[i]};
        mni_machine_t *machine = (mni_machine_t *)&options;
        assert_int_equal(mni_machine_open(&options, &machine), MN_E_INVALID);
        assert_ptr_equal(machine, &options);
        assert_non_null(strstr(mn_error_message(), bad[i]));
    }
}

static void test_xml(void **state)
{
    char path[] = "/tmp/test_machine_XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");

    (void)state;
    assert_non_null(file);
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
          "<topology version=\"2.0\">\n"
          "<object type=\"Machine\" os_index=\"0\" cpuset=\"0xf\" complete_cpuset=\"0xf\" "
          "allowed_cpuset=\"0xf\" nodeset=\"0x1\" complete_nodeset=\"0x1\" allowed_nodeset=\"0x1\" "
          "gp_index=\"1\">\n"
          "<object type=\"NUMANode\" os_index=\"0\" cpuset=\"0xf\" complete_cpuset=\"0xf\" "
          "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"2\" local_memory=\"1073741824\"/>\n",
          file);
    /* the second core's hyperthreads are numbered 1 and 3, as Linux does */
    for (int core = 0; core < 2; core++) {
        fprintf(file,
                "<object type=\"Core\" os_index=\"%d\" cpuset=\"0x%x\" complete_cpuset=\"0x%x\" "
                "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"%d\">\n",
                core, 5 << core, 5 << core, 10 + core);
        for (int pu = core; pu < 4; pu += 2)
            fprintf(file,
                    "<object type=\"PU\" os_index=\"%d\" cpuset=\"0x%x\" complete_cpuset=\"0x%x\" "
                    "nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"%d\"/>\n",
                    pu, 1 << pu, 1 << pu, 20 + pu);
        fputs("</object>\n", file);
    }
    fputs("</object>\n</topology>\n", file);
    assert_int_equal(fclose(file), 0);

    mni_machine_t *machine = open_synthetic(path, 0, 0);
    assert_string_equal(mni_machine_summary(machine), "1 package, 1 NUMA node, 2 cores, 4 PUs");
    assert_int_equal(mni_machine_offer(machine)->memory, 1024 * MIB);
    assert_int_equal(mni_machine_widen(machine, "1,3", ""), 0);
    assert_string_equal(mni_machine_summary(machine), "1 package, 1 NUMA node, 1 core, 2 PUs");
    mni_machine_close(machine);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_options_lower),
        cmocka_unit_test(test_restricted_affinity),
        cmocka_unit_test(test_bind_other_process),
        cmocka_unit_test(test_bind_in_a_cpuset_that_has_shrunk),
        cmocka_unit_test(test_synthetic_places),
        cmocka_unit_test(test_synthetic_widen),
        cmocka_unit_test(test_synthetic_shapes),
        cmocka_unit_test(test_bad_synthetic),
        cmocka_unit_test(test_xml),
    };
    /* the tests may themselves run inside a batch job */
    unsetenv("SLURM_MEM_PER_NODE");
    unsetenv("SLURM_MEM_PER_CPU");
    unsetenv("SLURM_CPUS_ON_NODE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
