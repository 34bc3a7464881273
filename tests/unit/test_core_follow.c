/* SPDX-License-Identifier: MIT
 *
 * Lines: jobs that a worker gets ahead of time, behind a task that runs: which are taken, what becomes of them when
 * those in front end, when they are returned, cancelled, interrupted, or their worker is lost.
 */
#include "core_world.h"

#define LINE 4

static int follow(world_t *w, const mni_job_t *job, uint32_t most)
{
    int count = mni_core_follow(w->core, w->now, job->task, most);
    world_take(w);
    return count;
}

static void returned(world_t *w, const mni_job_t *job)
{
    mni_core_task_returned(w->core, w->now, job->task);
    world_take(w);
}

static void ends(world_t *w, const mni_job_t *job)
{
    ended(w, job->task, MN_REASON_RETURNED);
}

/* A node of one core: line[0] runs, the others follow. */
static world_t *world_line(mni_job_t *line[LINE], mni_need_t wanted)
{
    world_t *w = world_small(1, GIB);
    for (size_t i = 0; i < LINE; i++)
        line[i] = start(w, JOB, wanted);
    assert_int_equal(follow(w, line[0], LINE), LINE - 1);
    return w;
}

static void followers_come_in_order(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_line(line, need(1000, GIB));
    (void)state;
    assert_int_equal(happened(w, MNI_RUN), LINE - 1);
    for (size_t i = 1; i < LINE; i++) {
        const mni_action_t *run = action_of(w, MNI_RUN, i - 1);
        assert_ptr_equal(run->job, line[i]);
        assert_true(run->behind == line[i - 1]->task && run->task == line[i]->task);
        assert_string_equal(cpus_text(run), "0");
        assert_int_equal(line[i]->status, MN_RUNNING);
        assert_int_equal(line[i]->attempts, 1);
    }
    mni_job_t *more = start(w, JOB, need(1000, GIB)); /* there is no room but behind them */
    assert_int_equal(more->status, MN_PENDING);
    size_t tasks;
    mni_core_count(w->core, &tasks, NULL);
    assert_int_equal(tasks, LINE);
    for (size_t i = 0; i < LINE; i++) {
        ends(w, line[i]);
        assert_int_equal(line[i]->status, MN_SUCCEEDED);
        assert_int_equal(happened(w, MNI_RUN), i + 1 == LINE); /* the last one leaves room */
    }
    assert_int_equal(more->status, MN_RUNNING);
    assert_true(action_of(w, MNI_RUN, 0)->behind == 0);
    world_destroy(w);
}

static void more_come_last(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_line(line, need(1000, 0));
    (void)state;
    mni_job_t *more = start(w, JOB, need(1000, 0)), *most = start(w, JOB, need(1000, 0));
    assert_int_equal(follow(w, line[0], 1), 1);
    assert_true(action_of(w, MNI_RUN, 0)->behind == line[LINE - 1]->task);
    assert_int_equal(follow(w, line[1], 9), 1); /* asked for behind one of the middle */
    assert_true(action_of(w, MNI_RUN, 0)->behind == more->task);
    assert_int_equal(follow(w, most, 9), 0);
    world_destroy(w);
}

static void other_queues_are_not_passed_over(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_need_t urgent = need(1000, 0), large = need(1000, GIB);
    (void)state;
    mni_job_t *head = start(w, JOB, need(1000, GIB / 2));
    mni_job_t *first = start(w, JOB, need(1000, GIB / 2));
    mni_job_t *other = start(w, OTHER, large);
    mni_job_t *second = start(w, JOB, need(1000, GIB / 2));
    assert_int_equal(follow(w, head, 9), 1); /* the other one comes before the second */
    assert_int_equal(first->status, MN_RUNNING);
    urgent.priority = 1;
    mni_job_t *before = start(w, OTHER, urgent);
    cancel(w, other, NAN);
    assert_int_equal(follow(w, head, 9), 0);
    cancel(w, before, NAN);
    assert_int_equal(follow(w, head, 9), 1);
    assert_int_equal(second->status, MN_RUNNING);
    world_destroy(w);
}

/* A job of another queue that would not fit there either does not matter. */
static void what_does_not_fit_there_is_no_rival(void **state)
{
    world_t *w = world_create();
    (void)state;
    world_node(w, "n0", 1, GIB);
    world_node(w, "n1", 4, GIB);
    mni_job_t *full = start(w, OTHER, need(4000, 0)), *large = start(w, OTHER, need(4000, 0));
    mni_job_t *head = start(w, JOB, need(1000, 0)), *next = start(w, JOB, need(1000, 0));
    assert_int_equal(follow(w, head, 9), 1);
    assert_int_equal(next->status, MN_RUNNING);
    assert_int_equal(large->status, MN_PENDING);
    ends(w, full);
    assert_int_equal(large->status, MN_RUNNING);
    world_destroy(w);
}

static void an_older_job_that_would_fit_on_the_shared_core_comes_first(void **state)
{
    world_t *w = world_small(1, GIB);
    (void)state;
    mni_job_t *head = start(w, JOB, need(500, 0)), *beside = start(w, OTHER, need(250, 0));
    mni_job_t *older = start(w, OTHER, need(700, 0)), *next = start(w, JOB, need(500, 0));
    assert_int_equal(follow(w, head, 1), 0);
    ends(w, head);
    assert_int_equal(older->status, MN_RUNNING);
    ends(w, beside);
    assert_int_equal(next->status, MN_PENDING);
    world_destroy(w);
}

/* It lacks no room: it waits for max_concurrency only, and the end of the head would let it go on. */
static void an_urgent_job_of_the_same_kind_comes_first(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_need_t one = need(1000, 0);
    (void)state;
    one.max_concurrency = 1;
    mni_job_t *head = start(w, JOB, one), *next = start(w, JOB, one);
    one.priority = 1;
    mni_job_t *urgent = start(w, JOB, one);
    assert_int_equal(follow(w, head, 1), 0);
    ends(w, head);
    assert_int_equal(urgent->status, MN_RUNNING);
    assert_int_equal(next->status, MN_PENDING);
    world_destroy(w);
}

static void a_share_of_a_core_is_passed_on(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_job_t *jobs[6];
    (void)state;
    for (size_t i = 0; i < 6; i++)
        jobs[i] = start(w, JOB, need(500, GIB / 4));
    assert_int_equal(follow(w, jobs[0], 2), 2);
    assert_int_equal(follow(w, jobs[1], 9), 2);
    ends(w, jobs[0]);
    ends(w, jobs[1]);
    assert_int_equal(happened(w, MNI_RUN), 0);
    for (size_t i = 2; i < 6; i++)
        ends(w, jobs[i]);
    size_t tasks;
    mni_core_count(w->core, &tasks, NULL);
    assert_int_equal(tasks, 0);
    world_destroy(w);
}

static void a_kept_node_is_not_run_ahead_on(void **state)
{
    world_t *w = world_small(2, GIB);
    (void)state;
    mni_job_t *one = start(w, JOB, need(1000, 0)), *two = start(w, JOB, need(1000, 0));
    mni_job_t *large = start(w, OTHER, need(2000, 0));
    later(w, 31);
    mni_job_t *more = start(w, JOB, need(1000, 0));
    assert_int_equal(follow(w, one, 1),
                     0); /* large would not fit there yet, but the node is kept */
    ends(w, one);
    ends(w, two);
    assert_int_equal(large->status, MN_RUNNING);
    assert_int_equal(more->status, MN_PENDING);
    world_destroy(w);
}

static void jobs_with_a_timeout_do_not_wait_in_lines(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_need_t timed = need(1000, 0);
    (void)state;
    timed.timeout = 5;
    mni_job_t *head = start(w, JOB, timed), *next = start(w, JOB, need(1000, 0));
    mni_job_t *last = start(w, JOB, timed);
    assert_int_equal(follow(w, head, 9), 1); /* that of the head is its own */
    assert_int_equal(next->status, MN_RUNNING);
    assert_int_equal(last->status, MN_PENDING);
    world_destroy(w);
}

static void a_line_is_counted_once(void **state)
{
    world_t *w = world_small(4, GIB);
    mni_need_t few = need(1000, 0);
    mni_job_t *jobs[5];
    (void)state;
    few.max_concurrency = 2;
    for (size_t i = 0; i < 5; i++)
        jobs[i] = start(w, JOB, few);
    assert_int_equal(jobs[2]->status, MN_PENDING);
    assert_int_equal(follow(w, jobs[0], 1), 1);
    assert_int_equal(follow(w, jobs[1], 1), 1);
    ends(w, jobs[0]);
    assert_int_equal(jobs[4]->status, MN_PENDING);
    returned(w, jobs[3]);
    assert_int_equal(jobs[3]->status, MN_PENDING);
    ends(w, jobs[1]);
    assert_int_equal(jobs[3]->status, MN_RUNNING); /* it is older */
    assert_int_equal(jobs[4]->status, MN_PENDING);
    world_destroy(w);
}

static void nothing_follows_what_ends_soon_or_is_no_job(void **state)
{
    world_t *w = world_small(2, GIB);
    (void)state;
    mni_job_t *head = start(w, JOB, need(2000, 0)), *next = start(w, JOB, need(2000, 0));
    assert_int_equal(mni_core_follow(w->core, w->now, 12345, 1), 0);
    assert_int_equal(follow(w, head, 0), 0);
    assert_int_equal(demand(w, 1, head->task, F, need(1000, 0), 1), 0);
    uint64_t slot = slot_of(w, 1);
    assert_int_equal(follow(w, head, 1), 0); /* it waits */
    assert_int_equal(mni_core_follow(w->core, w->now, slot, 1), 0);
    close_demand(w, 1);
    release(w, slot);
    assert_int_equal(follow(w, head, 1), 1);
    cancel(w, head, 60);
    mni_job_t *more = start(w, JOB, need(2000, 0));
    assert_int_equal(follow(w, head, 1), 0);
    assert_int_equal(follow(w, next, 1), 0);
    ends(w, head);
    assert_int_equal(follow(w, next, 1), 1);
    mni_core_drain(w->core, w->now, 10);
    world_take(w);
    assert_int_equal(follow(w, next, 1), 0);
    assert_int_equal(more->status, MN_RUNNING);
    world_destroy(w);
}

/* The lender wants them back when what it waits for has ended. */
static void lent_cores_are_not_passed_on(void **state)
{
    world_t *w = world_small(1, GIB);
    (void)state;
    mni_job_t *waiter = start(w, OTHER, need(1000, 0));
    mni_job_t *awaited = start(w, JOB, need(1000, 0)), *next = start(w, JOB, need(1000, 0));
    assert_int_equal(waits(w, waiter->task, awaited), 0);
    assert_int_equal(awaited->status, MN_RUNNING);
    assert_int_equal(follow(w, awaited, 1), 0);
    assert_int_equal(next->status, MN_PENDING);
    world_destroy(w);
}

static void whatever_the_end_the_next_one_has_the_place(void **state)
{
    mni_need_t wanted = need(1000, 0);
    mni_job_t *line[LINE];
    (void)state;
    wanted.max_retries = 1;
    world_t *w = world_line(line, wanted);
    ended(w, line[0]->task, MN_REASON_SIGNAL);
    assert_int_equal(line[0]->status, MN_PENDING); /* to be tried again, after these */
    assert_int_equal(happened(w, MNI_RUN), 0);
    cancel(w, line[1], -1);
    assert_non_null(about_task(w, MNI_KILL, line[1]->task));
    ended(w, line[1]->task, MN_REASON_KILLED);
    assert_int_equal(line[1]->status, MN_CANCELLED);
    ends(w, line[2]);
    ends(w, line[3]);
    assert_int_equal(line[0]->status, MN_RUNNING);
    assert_int_equal(line[0]->attempts, 2);
    world_destroy(w);
}

static void a_follower_may_end_out_of_turn(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_line(line, need(1000, 0));
    (void)state;
    ends(w, line[2]);
    assert_int_equal(line[2]->status, MN_SUCCEEDED);
    ends(w, line[0]);
    ends(w, line[1]);
    assert_int_equal(line[3]->status, MN_RUNNING);
    ends(w, line[3]);
    size_t tasks;
    mni_core_count(w->core, &tasks, NULL);
    assert_int_equal(tasks, 0);
    world_destroy(w);
}

static void what_is_returned_is_pending_at_the_front(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_line(line, need(1000, 0));
    (void)state;
    mni_job_t *young = start(w, JOB, need(1000, 0));
    returned(w, line[3]);
    returned(w, line[1]);
    for (size_t i = 1; i < LINE; i += 2) {
        assert_int_equal(line[i]->status, MN_PENDING);
        assert_int_equal(line[i]->reason, MN_REASON_NONE);
        assert_int_equal(line[i]->attempts, 0);
    }
    ends(w, line[0]);
    assert_int_equal(happened(w, MNI_RUN), 0); /* line[2] was next */
    ends(w, line[2]);
    assert_int_equal(line[1]->status, MN_RUNNING);
    assert_int_equal(line[1]->attempts, 1);
    ends(w, line[1]);
    assert_int_equal(line[3]->status, MN_RUNNING);
    assert_int_equal(young->status, MN_PENDING);
    returned(w, line[3]); /* it is no follower, and the first in its queue: there it is again */
    assert_int_equal(line[3]->status, MN_RUNNING);
    assert_int_equal(line[3]->attempts, 1);
    world_destroy(w);
}

static void a_head_that_is_returned_passes_its_place_on(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_line(line, need(1000, 0));
    (void)state;
    ends(w, line[0]);
    returned(w, line[1]); /* this was on its way */
    assert_int_equal(line[1]->status, MN_PENDING);
    ends(w, line[2]);
    ends(w, line[3]);
    assert_int_equal(line[1]->status, MN_RUNNING);
    world_destroy(w);
}

static void a_follower_is_cancelled(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_line(line, need(1000, 0));
    (void)state;
    cancel(w, line[1], 60);
    assert_int_equal(line[1]->status, MN_CANCELLING);
    assert_int_equal(about_task(w, MNI_STOP, line[1]->task)->code, MN_E_CANCELLED);
    returned(w, line[1]);
    assert_int_equal(line[1]->status, MN_CANCELLED);
    assert_int_equal(line[1]->reason, MN_REASON_CANCELLED);
    cancel(w, line[2], 1);
    later(w, 2);
    assert_non_null(about_task(w, MNI_KILL, line[2]->task));
    ended(w, line[2]->task, MN_REASON_KILLED);
    assert_int_equal(line[2]->status, MN_CANCELLED);
    mni_core_remove(w->core, w->now, line[3]);
    world_take(w);
    returned(w, line[3]);
    assert_int_equal(happened(w, MNI_FORGET), 1);
    assert_int_equal(line[0]->status, MN_RUNNING);
    world_destroy(w);
}

static void a_drain_interrupts_followers(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_line(line, need(1000, 0));
    (void)state;
    mni_core_drain(w->core, w->now, 10);
    world_take(w);
    assert_int_equal(happened(w, MNI_STOP), LINE);
    for (size_t i = LINE; i-- > 1;) {
        returned(w, line[i]);
        assert_int_equal(line[i]->status, MN_PENDING);
        assert_int_equal(line[i]->reason, MN_REASON_INTERRUPTED);
        assert_int_equal(line[i]->attempts, 0);
    }
    ends(w, line[0]);
    size_t tasks;
    mni_core_count(w->core, &tasks, NULL);
    assert_int_equal(tasks, 0);
    world_destroy(w);
}

static void followers_of_a_lost_worker_did_not_begin(void **state)
{
    mni_need_t once = need(1000, 0);
    mni_job_t *line[LINE];
    (void)state;
    once.max_lost = 0;
    world_t *w = world_line(line, once);
    ends(w, line[0]);
    cancel(w, line[3], 60);
    mni_core_worker_lost(w->core, w->now, 0);
    world_take(w);
    assert_int_equal(line[1]->status, MN_FAILED); /* the head by then */
    assert_int_equal(line[1]->reason, MN_REASON_WORKER_LOST);
    assert_int_equal(line[2]->status, MN_PENDING);
    assert_int_equal(line[2]->attempts, 0);
    assert_int_equal(line[2]->lost, 0);
    assert_int_equal(line[3]->status, MN_CANCELLED);
    assert_int_equal(mni_core_worker_add(w->core, 1, 0), 0);
    world_take(w);
    assert_int_equal(line[2]->status, MN_RUNNING);
    world_destroy(w);
}

/* The head waits for a job that follows it: returned, that job runs on the cores that the head lends. */
static void what_a_head_waits_for_comes_out_of_its_line(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_line(line, need(1000, 0));
    (void)state;
    assert_int_equal(waits(w, line[0]->task, line[2]), 0);
    assert_int_equal(happened(w, MNI_REFUSE), 0);
    for (size_t i = LINE; i-- > 1;)
        returned(w, line[i]);
    assert_int_equal(line[2]->status, MN_RUNNING);
    assert_int_equal(line[1]->status, MN_PENDING);
    ends(w, line[2]);
    ends(w, line[0]);
    assert_int_equal(line[1]->status, MN_RUNNING);
    world_destroy(w);
}

/* A head that ends while its slots still run: the next one has the cores, and what is out of them comes back to it. */
static void what_is_still_out_comes_back_to_the_next(void **state)
{
    mni_job_t *line[LINE];
    world_t *w = world_small(2, GIB);
    (void)state;
    for (size_t i = 0; i < LINE; i++)
        line[i] = start(w, JOB, need(2000, 0));
    assert_int_equal(follow(w, line[0], 2), 2);
    assert_int_equal(demand(w, 1, line[0]->task, F, need(1000, 0), 1), 0);
    uint64_t slot = slot_of(w, 1);
    ended(w, line[0]->task, MN_REASON_SIGNAL);
    assert_non_null(about_task(w, MNI_KILL, slot));
    assert_int_equal(line[0]->status, MN_RUNNING); /* a slot of it still runs */
    ended(w, slot, MN_REASON_KILLED);
    assert_int_equal(line[0]->status, MN_FAILED);
    ends(w, line[1]);
    assert_int_equal(line[3]->status, MN_PENDING);
    ends(w, line[2]);
    assert_int_equal(line[3]->status, MN_RUNNING);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(followers_come_in_order),
        cmocka_unit_test(more_come_last),
        cmocka_unit_test(other_queues_are_not_passed_over),
        cmocka_unit_test(what_does_not_fit_there_is_no_rival),
        cmocka_unit_test(an_older_job_that_would_fit_on_the_shared_core_comes_first),
        cmocka_unit_test(an_urgent_job_of_the_same_kind_comes_first),
        cmocka_unit_test(a_share_of_a_core_is_passed_on),
        cmocka_unit_test(a_kept_node_is_not_run_ahead_on),
        cmocka_unit_test(jobs_with_a_timeout_do_not_wait_in_lines),
        cmocka_unit_test(a_line_is_counted_once),
        cmocka_unit_test(nothing_follows_what_ends_soon_or_is_no_job),
        cmocka_unit_test(lent_cores_are_not_passed_on),
        cmocka_unit_test(whatever_the_end_the_next_one_has_the_place),
        cmocka_unit_test(a_follower_may_end_out_of_turn),
        cmocka_unit_test(what_is_returned_is_pending_at_the_front),
        cmocka_unit_test(a_head_that_is_returned_passes_its_place_on),
        cmocka_unit_test(a_follower_is_cancelled),
        cmocka_unit_test(a_drain_interrupts_followers),
        cmocka_unit_test(followers_of_a_lost_worker_did_not_begin),
        cmocka_unit_test(what_a_head_waits_for_comes_out_of_its_line),
        cmocka_unit_test(what_is_still_out_comes_back_to_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
