/* SPDX-License-Identifier: MIT
 *
 * Jobs of an earlier runtime, put back into a core before it has nodes: they are as they were, wait in their old order, hold
 * their locks and keys, and are cancelled with their parents.
 */
#include "core_world.h"

static mni_job_t *restore(world_t *w, mni_restore_t from)
{
    mni_job_t *job = NULL;
    from.start.id = world_id(w);
    if (from.start.need.max_concurrency == 0)
        from.start.need = need(1000, 0);
    if (mni_core_restore(w->core, w->now, &from, &job) < 0)
        fail_msg("restore: %s", mn_error_message());
    mni_action_t action;
    assert_false(
        mni_core_next_action(w->core, &action)); /* nothing happens before there are nodes */
    assert_ptr_equal(mni_core_find(w->core, from.start.id), job);
    assert_int_equal(job->status, from.status);
    assert_int_equal(job->reason, from.reason);
    return job;
}

static void refused(world_t *w, mni_restore_t from, const char *words)
{
    mni_job_t *job = NULL;
    from.start.id = world_id(w);
    from.start.need = need(1000, 0);
    assert_int_equal(mni_core_restore(w->core, w->now, &from, &job), MN_E_INVALID);
    assert_non_null(strstr(mn_error_message(), words));
    assert_null(job);
}

static void what_has_ended_is_there_to_be_read(void **state)
{
    world_t *w = world_create();
    mni_job_t *job = restore(w, (mni_restore_t){.status = MN_FAILED,
                                                .reason = MN_REASON_SIGNAL,
                                                .attempts = 4,
                                                .retries = 2,
                                                .lost = 1,
                                                .error = "it broke",
                                                .start = {.tag = "sweep", .lock = "table"}});
    size_t unfinished;
    (void)state;
    world_node(w, "n0", 2, GIB);
    assert_int_equal(job->attempts, 4);
    assert_int_equal(job->retries, 2);
    assert_int_equal(job->lost, 1);
    assert_string_equal(job->error, "it broke");
    assert_string_equal(mni_job_tag(job), "sweep");
    mni_core_count(w->core, NULL, &unfinished);
    assert_int_equal(unfinished, 0);
    start_with(w, (mni_start_t){.need = need(1000, 0), .lock = "table"}); /* it is free */
    world_destroy(w);
}

static void what_was_pending_waits_in_its_order(void **state)
{
    world_t *w = world_create();
    mni_job_t *jobs[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        jobs[i] = restore(w, (mni_restore_t){.status = MN_PENDING, .attempts = 1, .lost = 1});
    world_node(w, "n0", 1, GIB);
    later(w, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(jobs[i]->status, MN_RUNNING);
        assert_int_equal(jobs[i]->attempts, 2);
        for (int k = i + 1; k < 3; k++)
            assert_int_equal(jobs[k]->status, MN_PENDING);
        ended(w, jobs[i]->task, MN_REASON_RETURNED);
    }
    world_destroy(w);
}

static void losses_of_earlier_runs_count(void **state)
{
    world_t *w = world_create();
    mni_job_t *job = restore(w, (mni_restore_t){.status = MN_PENDING, .attempts = 3, .lost = 3});
    (void)state;
    world_node(w, "n0", 1, GIB);
    later(w, 0);
    mni_core_worker_lost(w->core, w->now, 0);
    world_take(w);
    assert_int_equal(job->status, MN_FAILED);
    assert_int_equal(job->reason, MN_REASON_WORKER_LOST);
    world_destroy(w);
}

static void locks_and_keys_are_held_as_before(void **state)
{
    world_t *w = world_create();
    mni_job_t *job = restore(
        w, (mni_restore_t){.status = MN_PENDING, .start = {.lock = "table", .key = "sample-17"}});
    mni_job_t *done =
        restore(w, (mni_restore_t){.status = MN_SUCCEEDED, .start = {.key = "sample-18"}});
    mni_job_t *found = NULL;
    (void)state;
    refused(w, (mni_restore_t){.status = MN_PENDING, .start = {.lock = "table"}}, "lock \"table\"");
    world_node(w, "n0", 1, GIB);
    later(w, 0);
    mni_start_t again = {.id = world_id(w), .need = need(1000, 0), .key = "sample-17"};
    assert_int_equal(mni_core_start(w->core, w->now, &again, &found), 1);
    assert_ptr_equal(found, job);
    again.key = "sample-18";
    assert_int_equal(mni_core_start(w->core, w->now, &again, &found), 1);
    assert_ptr_equal(found, done);
    assert_int_equal(start_fails(w, (mni_start_t){.need = need(1000, 0), .lock = "table"}),
                     MN_E_LOCK_IN_USE);
    world_destroy(w);
}

static void what_is_not_declared_any_more_is_not_run(void **state)
{
    world_t *w = world_create();
    mni_job_t *job = restore(w, (mni_restore_t){.status = MN_PENDING,
                                                .reason = MN_REASON_UNDECLARED,
                                                .start = {.lock = "table"}});
    (void)state;
    world_node(w, "n0", 1, GIB);
    later(w, 1000);
    assert_int_equal(job->status, MN_PENDING);
    assert_int_equal(start_fails(w, (mni_start_t){.need = need(1000, 0), .lock = "table"}),
                     MN_E_LOCK_IN_USE);
    cancel(w, job, 0);
    assert_int_equal(job->status, MN_CANCELLED);
    world_destroy(w);
}

static void a_cancel_reaches_the_jobs_of_a_job(void **state)
{
    world_t *w = world_create();
    mni_job_t *parent = restore(w, (mni_restore_t){.status = MN_PENDING});
    mni_job_t *over = restore(w, (mni_restore_t){.status = MN_SUCCEEDED});
    mni_job_t *child = restore(w, (mni_restore_t){.status = MN_PENDING, .parent = parent->id});
    mni_job_t *orphan = restore(w, (mni_restore_t){.status = MN_PENDING, .parent = over->id});
    (void)state;
    assert_ptr_equal(mni_core_tied_to(child), parent);
    assert_null(mni_core_tied_to(orphan));
    assert_null(mni_core_tied_to(parent));
    world_node(w, "n0", 1, GIB);
    later(w, 0);
    cancel(w, parent, 10);
    assert_int_equal(child->status, MN_CANCELLED);
    assert_int_equal(orphan->status, MN_PENDING);
    world_destroy(w);
}

static void nobody_is_put_back_in_the_middle_of_a_run(void **state)
{
    world_t *w = world_create();
    (void)state;
    refused(w, (mni_restore_t){.status = MN_RUNNING}, "RUNNING");
    refused(w, (mni_restore_t){.status = MN_CANCELLING}, "CANCELLING");
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_ended_is_there_to_be_read),
        cmocka_unit_test(what_was_pending_waits_in_its_order),
        cmocka_unit_test(losses_of_earlier_runs_count),
        cmocka_unit_test(locks_and_keys_are_held_as_before),
        cmocka_unit_test(what_is_not_declared_any_more_is_not_run),
        cmocka_unit_test(a_cancel_reaches_the_jobs_of_a_job),
        cmocka_unit_test(nobody_is_put_back_in_the_middle_of_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
