/* SPDX-License-Identifier: MIT
 *
 * store/ under faults: the N-th write, sync, rename, allocation, HDF5 call and so on fails, once or for good, or is the last thing
 * that the process does, for N = 1, 2, ... until a session ends without having met the fault. After each the log of what was
 * acknowledged is held against what the store has, and another session must go on from there.
 */
#include "store_faults.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int from_a_crash(void **state)
{
    (void)state;
    faults_template(false, false);
    return 0;
}

static int from_nothing(void **state)
{
    (void)state;
    faults_template(true, false);
    return 0;
}

/* Whatever fails while a store is read: it is refused with a sentence, or what it gives is right. */
static void what_is_read_is_right_or_refused(void **state)
{
    static const char refused[] = "the store is refused: ";
    const unsigned kinds =
        1u << MNI_FAULT_OPEN | 1u << MNI_FAULT_READ | 1u << MNI_FAULT_MEMORY | 1u << MNI_FAULT_HDF5;
    mni_fault_plan_t plan = {.kinds = kinds, .error = EIO};
    char what[160], why[512];
    unsigned tried = 0;

    (void)state;
    faults_copy();
    do {
        tried += plan.for_good;
        plan.for_good = !plan.for_good;
        plan.nth += plan.for_good;
        mni_fault_plan(&plan);
        bool good = client_audit(faults.path, faults.template_log, why);
        if (!good && (strncmp(why, refused, sizeof refused - 1) != 0 || !why[sizeof refused - 1])) {
            faults_describe(&plan, what);
            fail_msg("%s: %s", what, why);
        }
    } while (mni_fault_fired() > 0);
    mni_fault_plan(&(mni_fault_plan_t){0});
    print_message("# read: %u\n", tried);
}

static void plans_are_read(void **state)
{
    mni_fault_plan_t plan = {0};
    (void)state;
    assert_true(mni_fault_parse("write+sync:17:good:ENOSPC", &plan));
    assert_int_equal(plan.kinds, 1u << MNI_FAULT_WRITE | 1u << MNI_FAULT_SYNC);
    assert_int_equal(plan.nth, 17);
    assert_true(plan.for_good && plan.end == MNI_FAULT_FAILS && plan.error == ENOSPC);
    assert_true(mni_fault_parse("any:1:once:tears+kills", &plan));
    assert_true(plan.kinds == MNI_FAULT_ANY && plan.end == MNI_FAULT_TEARS_AND_KILLS);
    assert_false(plan.for_good);
    static const char *const bad[] = {"",         "write",    "write:",   "write:0", "write:x",
                                      "writ:1",   "write+:1", "+write:1", "any:1:",  "any:1:maybe",
                                      "any:1:EX", ":1",       "write:1x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (mni_fault_parse(bad[i], &plan))
            fail_msg("\"%s\" is taken for a plan", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_read),
        cmocka_unit_test_setup(what_is_read_is_right_or_refused, from_a_crash),
        cmocka_unit_test_setup(a_call_fails_once, from_a_crash),
        cmocka_unit_test_setup(calls_fail_for_good, from_a_crash),
        cmocka_unit_test_setup(a_write_is_torn, from_a_crash),
        cmocka_unit_test_setup(it_is_killed_between_two_steps, from_a_crash),
        cmocka_unit_test_setup(a_call_fails_once, from_nothing),
        cmocka_unit_test_setup(it_is_killed_between_two_steps, from_nothing),
    };
    faults_begin("test_store_faults");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    faults_end();
    return failed;
}
