/* SPDX-License-Identifier: MIT
 *
 * As test_store_faults_fold, where some values have files of their own.
 */
#include "store_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int some_values_are_large(void **state)
{
    (void)state;
    faults_template(false, true);
    faults_follow();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_call_fails_once, some_values_are_large),
        cmocka_unit_test_setup(calls_fail_for_good, some_values_are_large),
        cmocka_unit_test_setup(a_write_is_torn, some_values_are_large),
        cmocka_unit_test_setup(it_is_killed_between_two_steps, some_values_are_large),
    };
    faults_begin("test_store_faults_large");
    if (faults.step > 1) { /* a session has more points than one without replacements */
        faults.few = (faults.step + 1) / 2;
        faults.step *= 4;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    faults_end();
    return failed;
}
