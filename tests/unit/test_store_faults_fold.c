/* SPDX-License-Identifier: MIT
 *
 * As test_store_faults, where the HDF5 file is replaced again and again while changes go on, and the journal behind it.
 */
#include "store_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int the_file_is_replaced(void **state)
{
    (void)state;
    faults_template(false, false);
    faults_follow();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_call_fails_once, the_file_is_replaced),
        cmocka_unit_test_setup(calls_fail_for_good, the_file_is_replaced),
        cmocka_unit_test_setup(a_write_is_torn, the_file_is_replaced),
        cmocka_unit_test_setup(it_is_killed_between_two_steps, the_file_is_replaced),
    };
    faults_begin("test_store_faults_fold");
    if (faults.step > 1) { /* a session has more points than one without replacements */
        faults.few = (faults.step + 1) / 2;
        faults.step *= 4;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    faults_end();
    return failed;
}
