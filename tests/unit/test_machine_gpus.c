/* SPDX-License-Identifier: MIT
 *
 * Which GPUs a machine offers, and where they are: by hwloc, on the topology of tests/topologies/gpus.xml; by the variables that make
 * them visible; by Slurm's; and of several ranks together.
 */
#include "machine/machine.h"
#include "util/error.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ID(n) "GPU-8932f937-d72c-4106-c12f-20bd9faed9f" #n

static const char *const variables[] = {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
                                        "GPU_DEVICE_ORDINAL",   "SLURM_STEP_GPUS",
                                        "SLURM_JOB_GPUS",       "SLURM_JOB_ID"};
static char empty[] = "/tmp/test_machine_gpus_XXXXXX"; /* no control groups there */

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    return 0;
}

/* `told`: whether the environment has a say. */
static int open_machine(const char *description, bool told, mni_machine_t **machine)
{
    const char *top = getenv("top_srcdir");
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/tests/topologies/gpus.xml", top ? top : ".");
    mni_machine_options_t options = {.synthetic = description ? description : path,
                                     .root = told ? empty : NULL};
    return mni_machine_open(&options, machine);
}

static mni_machine_t *opened(const char *description, bool told)
{
    mni_machine_t *machine = NULL;
    if (open_machine(description, told, &machine) < 0)
        fail_msg("%s", mn_error_message());
    return machine;
}

static void expect(const mni_machine_t *machine, const char *names)
{
    char text[MNI_GPUS_TEXT];
    uint32_t count = names[0] ? 1 : 0;
    for (const char *at = names; *at; at++)
        count += *at == ',';
    assert_string_equal(mni_machine_gpus(machine, UINT64_MAX, text, sizeof text), names);
    assert_int_equal(mni_machine_offer(machine)->gpus, count);
}

static void expect_place(const mni_machine_t *machine, uint32_t gpu, int numa, int package)
{
    const mni_core_place_t *place = &mni_machine_offer(machine)->gpu_place[gpu];
    assert_int_equal(place->numa, numa < 0 ? MNI_NOWHERE : numa);
    assert_int_equal(place->package, package < 0 ? MNI_NOWHERE : package);
}

/* By their ids; of each there is an OpenCL device too, which is not counted again. */
static void hwloc_tells(void **state)
{
    char text[MNI_GPUS_TEXT];
    mni_machine_t *machine = opened(NULL, false);
    (void)state;
    expect(machine, ID(0) "," ID(1) "," ID(2) "," ID(3));
    assert_string_equal(mni_machine_gpus(machine, 0x5, text, sizeof text), ID(0) "," ID(2));
    assert_string_equal(mni_machine_gpus(machine, 0, text, sizeof text), "");
    expect_place(machine, 0, 0, 0);
    expect_place(machine, 1, 0, 0);
    expect_place(machine, 2, 2, 1);
    expect_place(machine, 3, -1, 1);
    assert_string_equal(mni_machine_summary(machine),
                        "2 packages, 4 NUMA nodes, 4 L3s, 16 cores, 32 PUs, 4 GPUs");
    mni_machine_close(machine);
    machine = opened("core:2 pu:1", false);
    expect(machine, "");
    mni_machine_close(machine);
}

static void a_variable_says_which(void **state)
{
    static const struct {
        const char *variable, *list, *names;
    } rows[] = {
        {"CUDA_VISIBLE_DEVICES", "2,0", "2,0"},
        {"CUDA_VISIBLE_DEVICES", ID(2), ID(2)},
        {"CUDA_VISIBLE_DEVICES", "", ""},
        {"CUDA_VISIBLE_DEVICES", "-1", ""},
        {"CUDA_VISIBLE_DEVICES", "1,-1,2", "1"}, /* as CUDA has it */
        {"CUDA_VISIBLE_DEVICES", "NoDevFiles", ""},
        {"CUDA_VISIBLE_DEVICES", "3, 3,1", "3,1"},
        {"ROCR_VISIBLE_DEVICES", "1", "1"},
        {"GPU_DEVICE_ORDINAL", "0,3", "0,3"},
        {"SLURM_STEP_GPUS", "1,3", "1,3"},
        {"SLURM_JOB_GPUS", "0-1,3", "0,1,3"},
        {"SLURM_JOB_ID", "17", ""}, /* a job that was given none */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clear(NULL);
        setenv(rows[i].variable, rows[i].list, 1);
        mni_machine_t *machine = opened(NULL, true);
        expect(machine, rows[i].names);
        mni_machine_close(machine);
    }
    /* What makes devices visible is nearer to the process than what the job was given. */
    setenv("SLURM_JOB_GPUS", "2,3", 1);
    setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
    mni_machine_t *machine = opened(NULL, true);
    expect(machine, "0,1");
    mni_machine_close(machine);
    /* And says nothing about another machine. */
    machine = opened(NULL, false);
    assert_int_equal(mni_machine_offer(machine)->gpus, 4);
    mni_machine_close(machine);
}

static void places_are_known_by_number_and_id(void **state)
{
    (void)state;
    setenv("CUDA_VISIBLE_DEVICES", "2," ID(1) ",7", 1);
    mni_machine_t *machine = opened(NULL, true);
    expect(machine, "2," ID(1) ",7");
    expect_place(machine, 0, 2, 1);
    expect_place(machine, 1, 0, 0);
    expect_place(machine, 2, -1, -1);
    mni_machine_close(machine);
    /* Where hwloc knows of none the variable is believed. */
    setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
    machine = opened("core:2 pu:1", true);
    expect(machine, "0,1");
    expect_place(machine, 1, -1, -1);
    mni_machine_close(machine);
}

static void lists_that_make_no_sense(void **state)
{
    static const char *const bad[] = {"0,;1", "0,\x01", "$(ls)",
                                      "0123456789012345678901234567890123456789012345678"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mni_machine_t *machine = NULL;
        clear(NULL);
        setenv("CUDA_VISIBLE_DEVICES", bad[i], 1);
        assert_int_equal(open_machine(NULL, true, &machine), MN_E_INVALID);
        assert_null(machine);
        assert_non_null(strstr(mn_error_message(), "CUDA_VISIBLE_DEVICES"));
    }
    char *many = calloc(1, 4096);
    for (int i = 0; i < 200; i++)
        sprintf(many + strlen(many), "%s%d", i ? "," : "", i);
    setenv("CUDA_VISIBLE_DEVICES", many, 1);
    mni_machine_t *machine = opened(NULL, true);
    assert_int_equal(mni_machine_offer(machine)->gpus, MNI_MAX_GPUS);
    mni_machine_close(machine);
    setenv("SLURM_JOB_GPUS", "5-4000000000", 1);
    unsetenv("CUDA_VISIBLE_DEVICES");
    assert_int_equal(open_machine(NULL, true, &machine), MN_E_INVALID);
    free(many);
}

/* Ranks may see different ones; all number them alike. */
static void ranks_offer_them_together(void **state)
{
    (void)state;
    setenv("CUDA_VISIBLE_DEVICES", "2", 1);
    mni_machine_t *machine = opened(NULL, true);
    assert_int_equal(mni_machine_widen(machine, "0-31", "0,2,0,1"), 0);
    expect(machine, "0,2,1");
    expect_place(machine, 1, 2, 1); /* its own */
    expect_place(machine, 0, -1, -1);
    /* With the cores of a part of the machine. */
    assert_int_equal(mni_machine_widen(machine, "0-15", "2"), 0);
    expect(machine, "2");
    expect_place(machine, 0, -1, -1); /* its package has no core here */
    assert_int_equal(mni_machine_widen(machine, "16-23", "2"), 0);
    expect_place(machine, 0, 0, 0);
    assert_int_equal(mni_machine_widen(machine, "24-31", "2"), 0);
    expect_place(machine, 0, -1, 0); /* its NUMA node has none, its package has */
    assert_string_equal(mni_machine_summary(machine),
                        "1 package, 1 NUMA node, 1 L3, 4 cores, 8 PUs, 1 GPU");
    assert_int_equal(mni_machine_widen(machine, "0-15", "2,;"), MN_E_INVALID);
    expect(machine, "2");
    mni_machine_close(machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(hwloc_tells, clear),
        cmocka_unit_test_setup(a_variable_says_which, clear),
        cmocka_unit_test_setup(places_are_known_by_number_and_id, clear),
        cmocka_unit_test_setup(lists_that_make_no_sense, clear),
        cmocka_unit_test_setup(ranks_offer_them_together, clear),
    };
    if (!mkdtemp(empty))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(empty);
    return failed;
}
