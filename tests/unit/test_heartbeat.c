/* SPDX-License-Identifier: MIT
 *
 * scheduler/heartbeat.c: who is silent, and for whom silence does not count. The clock is made up.
 */
#include "scheduler/heartbeat.h"

#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS MNI_MILLISECOND
#define BEGIN (1000 * MNI_SECOND)

static mni_heartbeat_t heartbeat;

/* Looks every half a second from one time to another; who was silent first, -1: nobody. */
static int64_t look(uint64_t from, uint64_t to)
{
    for (uint64_t now = from; now <= to; now += 500 * MS) {
        int64_t silent = mni_heartbeat_look(&heartbeat, now);
        if (silent >= 0)
            return silent;
    }
    return -1;
}

static int begin(void **state)
{
    (void)state;
    return mni_heartbeat_init(&heartbeat, 3, 10, 2);
}

static int end(void **state)
{
    (void)state;
    mni_heartbeat_fini(&heartbeat);
    return 0;
}

static void silence_is_noticed_after_the_limit(void **state)
{
    (void)state;
    mni_heartbeat_heard(&heartbeat, 1, BEGIN);
    mni_heartbeat_heard(&heartbeat, 2, BEGIN);
    assert_int_equal(look(BEGIN, BEGIN + 9 * MNI_SECOND), -1);
    mni_heartbeat_heard(&heartbeat, 1, BEGIN + 9 * MNI_SECOND);
    assert_int_equal(look(BEGIN + 9 * MNI_SECOND, BEGIN + 10 * MNI_SECOND), -1);
    assert_int_equal(look(BEGIN + 10 * MNI_SECOND, BEGIN + 11 * MNI_SECOND), 2);
    mni_heartbeat_forget(&heartbeat, 2);
    assert_int_equal(look(BEGIN + 11 * MNI_SECOND, BEGIN + 19 * MNI_SECOND), -1);
    assert_int_equal(look(BEGIN + 19 * MNI_SECOND, BEGIN + 20 * MNI_SECOND), 1);
}

/* Other workers send to a worker what it has asked for, and then nothing for as long as they like. */
static void others_are_not_listened_to(void **state)
{
    (void)state;
    mni_heartbeat_heard(&heartbeat, 0, BEGIN);
    mni_heartbeat_heard(&heartbeat, 3, BEGIN);
    mni_heartbeat_heard(&heartbeat, 1000, BEGIN);
    mni_heartbeat_forget(&heartbeat, 3);
    assert_int_equal(look(BEGIN, BEGIN + 10 * MNI_SECOND), -1);
    mni_heartbeat_heard(&heartbeat, 0, BEGIN + 10 * MNI_SECOND);
    assert_int_equal(look(BEGIN + 10 * MNI_SECOND, BEGIN + 19 * MNI_SECOND), -1);
}

static void who_has_said_nothing_yet_is_not_missed(void **state)
{
    (void)state;
    mni_heartbeat_heard(&heartbeat, 1, BEGIN);
    assert_int_equal(look(BEGIN, BEGIN + 11 * MNI_SECOND), 1);
    mni_heartbeat_forget(&heartbeat, 1);
    assert_int_equal(look(BEGIN + 11 * MNI_SECOND, BEGIN + 1000 * MNI_SECOND), -1);
}

/* A process that was stopped has heard nothing, and that is nobody's silence. */
static void own_absence_does_not_count(void **state)
{
    (void)state;
    mni_heartbeat_heard(&heartbeat, 1, BEGIN);
    assert_int_equal(look(BEGIN, BEGIN + 4 * MNI_SECOND), -1);
    assert_int_equal(look(BEGIN + 3600 * MNI_SECOND, BEGIN + 3605 * MNI_SECOND), -1);
    assert_int_equal(look(BEGIN + 3605 * MNI_SECOND, BEGIN + 3607 * MNI_SECOND), 1);
}

static void beats_come_once_a_pause(void **state)
{
    (void)state;
    assert_true(mni_heartbeat_due(&heartbeat, BEGIN));
    assert_false(mni_heartbeat_due(&heartbeat, BEGIN + 1999 * MS));
    assert_true(mni_heartbeat_due(&heartbeat, BEGIN + 2000 * MS));
    assert_int_equal(heartbeat.beat_at, BEGIN + 4000 * MS);
}

static void without_a_limit_there_is_none(void **state)
{
    mni_heartbeat_t none;
    (void)state;
    assert_int_equal(mni_heartbeat_init(&none, 3, 0, 2), 0);
    mni_heartbeat_heard(&none, 1, BEGIN);
    assert_false(mni_heartbeat_due(&none, BEGIN + 3600 * MNI_SECOND));
    assert_int_equal(mni_heartbeat_look(&none, BEGIN), -1);
    assert_int_equal(mni_heartbeat_look(&none, BEGIN + 1000 * MS), -1);
    mni_heartbeat_forget(&none, 1);
    mni_heartbeat_fini(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(silence_is_noticed_after_the_limit, begin, end),
        cmocka_unit_test_setup_teardown(others_are_not_listened_to, begin, end),
        cmocka_unit_test_setup_teardown(who_has_said_nothing_yet_is_not_missed, begin, end),
        cmocka_unit_test_setup_teardown(own_absence_does_not_count, begin, end),
        cmocka_unit_test_setup_teardown(beats_come_once_a_pause, begin, end),
        cmocka_unit_test(without_a_limit_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
