/* SPDX-License-Identifier: MIT
 *
 * The table of statuses and events, complete: what is not listed here as legal must be refused.
 */
#include "core_world.h"

static const struct {
    mn_status_t status;
    mni_job_event_t event;
    mn_status_t next;
} legal[] = {
    {MN_PENDING, MNI_JOB_BEGIN, MN_RUNNING},        {MN_PENDING, MNI_JOB_CANCEL, MN_CANCELLED},
    {MN_RUNNING, MNI_JOB_RETURN, MN_SUCCEEDED},     {MN_RUNNING, MNI_JOB_FAIL, MN_FAILED},
    {MN_RUNNING, MNI_JOB_RETRY, MN_PENDING},        {MN_RUNNING, MNI_JOB_CANCEL, MN_CANCELLING},
    {MN_CANCELLING, MNI_JOB_CANCEL, MN_CANCELLING}, {MN_CANCELLING, MNI_JOB_STOPPED, MN_CANCELLED},
};

static void table_is_complete(void **state)
{
    (void)state;
    for (int status = -1; status <= MN_CANCELLED + 1; status++)
        for (int event = -1; event <= MNI_JOB_STOPPED + 1; event++) {
            mn_status_t next = (mn_status_t)77;
            int rc = mni_job_transition((mn_status_t)status, (mni_job_event_t)event, &next);
            bool is_legal = false;
            for (size_t i = 0; i < sizeof legal / sizeof *legal; i++)
                if ((int)legal[i].status == status && (int)legal[i].event == event) {
                    is_legal = true;
                    assert_int_equal(rc, 0);
                    assert_int_equal(next, legal[i].next);
                }
            if (!is_legal) {
                assert_int_equal(rc, MN_E_INTERNAL);
                assert_int_equal(next, 77); /* not written on failure */
            }
        }
}

static void illegal_one_names_both(void **state)
{
    mn_status_t next;
    (void)state;
    assert_int_equal(mni_job_transition(MN_SUCCEEDED, MNI_JOB_CANCEL, &next), MN_E_INTERNAL);
    assert_non_null(strstr(mn_error_message(), "CANCEL"));
    assert_non_null(strstr(mn_error_message(), "SUCCEEDED"));
}

static void terminal_ones_stay(void **state)
{
    mn_status_t next;
    (void)state;
    for (int status = MN_PENDING; status <= MN_CANCELLED; status++)
        for (int event = 0; mn_status_terminal((mn_status_t)status) && event <= MNI_JOB_STOPPED;
             event++)
            assert_int_equal(mni_job_transition((mn_status_t)status, (mni_job_event_t)event, &next),
                             MN_E_INTERNAL);
}

static void sets_of_cores(void **state)
{
    mni_cpus_t cpus = {{0}};
    char text[32];
    (void)state;
    assert_string_equal(mni_cpus_format(&cpus, text, sizeof text), "");
    assert_int_equal(mni_cpus_count(&cpus), 0);
    for (uint32_t i = 0; i < 4; i++)
        mni_cpus_add(&cpus, i);
    mni_cpus_add(&cpus, 8);
    mni_cpus_add(&cpus, MNI_MAX_CORES - 1);
    mni_cpus_add(&cpus, MNI_MAX_CORES); /* out of range: nothing */
    assert_int_equal(mni_cpus_count(&cpus), 6);
    assert_string_equal(mni_cpus_format(&cpus, text, sizeof text), "0-3,8,1023");
    assert_true(mni_cpus_has(&cpus, 8));
    assert_false(mni_cpus_has(&cpus, 7));
    assert_false(mni_cpus_has(&cpus, MNI_MAX_CORES));
    assert_string_equal(mni_cpus_format(&cpus, text, 9), "0-3,8...");
    assert_string_equal(mni_cpus_format(&cpus, text, 8), "0-3...");
    for (uint32_t i = 0; i < MNI_MAX_CORES; i++)
        mni_cpus_add(&cpus, i);
    assert_string_equal(mni_cpus_format(&cpus, text, sizeof text), "0-1023");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_complete),
        cmocka_unit_test(illegal_one_names_both),
        cmocka_unit_test(terminal_ones_stay),
        cmocka_unit_test(sets_of_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
