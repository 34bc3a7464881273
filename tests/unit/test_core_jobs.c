/* SPDX-License-Identifier: MIT
 *
 * Jobs in the core, rule by rule: start, retries, lost workers, timeouts, cancel and its grace,
 * locks, keys, remove, drain, queues and reservations.
 */
#include "core_world.h"

static mni_job_t *run_one(world_t *w, uint64_t *task, mni_need_t wanted)
{
    mni_job_t *job = start(w, JOB, wanted);
    assert_int_equal(happened(w, MNI_RUN), 1);
    *task = job->task;
    return job;
}

static void a_job_runs_and_ends(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0));
    size_t tasks, unfinished;
    (void)state;
    assert_int_equal(job->status, MN_RUNNING);
    assert_int_equal(job->attempts, 1);
    assert_true(changed(w, job));
    const mni_action_t *run = action_of(w, MNI_RUN, 0);
    assert_ptr_equal(run->job, job);
    assert_int_equal(run->task, job->task);
    assert_int_equal(mni_cpus_count(&run->cpus), 1);
    mni_core_count(w->core, &tasks, &unfinished);
    assert_int_equal(tasks, 1);
    assert_int_equal(unfinished, 1);
    ended(w, job->task, MN_REASON_RETURNED);
    assert_int_equal(job->status, MN_SUCCEEDED);
    assert_int_equal(job->reason, MN_REASON_RETURNED);
    assert_null(job->error);
    assert_int_equal(job->task, 0);
    assert_true(changed(w, job));
    mni_core_count(w->core, &tasks, &unfinished);
    assert_int_equal(tasks, 0);
    assert_int_equal(unfinished, 0);
    ended(w, run->task, MN_REASON_ERROR); /* a late message about it */
    assert_int_equal(job->status, MN_SUCCEEDED);
    world_destroy(w);
}

static void an_error_is_kept(void **state)
{
    world_t *w = world_small(1, GIB);
    uint64_t task;
    mni_job_t *job = run_one(w, &task, need(1000, 0));
    (void)state;
    ended(w, task, MN_REASON_SIGNAL);
    assert_int_equal(job->status, MN_FAILED);
    assert_int_equal(job->reason, MN_REASON_SIGNAL);
    assert_string_equal(job->error, "it broke");
    world_destroy(w);
}

static void retries_and_losses_are_counted_apart(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_need_t wanted = need(1000, 0);
    uint64_t task;
    (void)state;
    wanted.max_retries = 1;
    wanted.max_lost = 1;
    mni_job_t *job = run_one(w, &task, wanted);
    ended(w, task, MN_REASON_ERROR);
    assert_int_equal(job->status, MN_RUNNING); /* at once again */
    assert_int_equal(happened(w, MNI_CHANGED), 2);
    assert_int_equal(job->attempts, 2);
    assert_int_equal(job->retries, 1);
    assert_null(job->error);
    mni_core_worker_lost(w->core, w->now, 0);
    world_take(w);
    assert_int_equal(job->status, MN_PENDING);
    assert_int_equal(job->reason, MN_REASON_WORKER_LOST);
    assert_int_equal(job->lost, 1);
    assert_int_equal(job->retries, 1);
    assert_int_equal(happened(w, MNI_KILL), 0); /* nobody is there */
    assert_int_equal(mni_core_worker_add(w->core, 1, 0), 0);
    world_take(w);
    assert_int_equal(job->status, MN_RUNNING);
    assert_int_equal(job->attempts, 3);
    assert_int_equal(action_of(w, MNI_RUN, 0)->rank, 1);
    mni_core_worker_lost(w->core, w->now, 1);
    world_take(w);
    assert_int_equal(job->status, MN_FAILED);
    assert_int_equal(job->reason, MN_REASON_WORKER_LOST);
    assert_non_null(strstr(job->error, "rank 1 on n0"));
    world_destroy(w);
}

static void at_most_once(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_need_t wanted = need(1000, 0);
    uint64_t task;
    (void)state;
    wanted.max_lost = 0;
    mni_job_t *job = run_one(w, &task, wanted);
    mni_core_worker_lost(w->core, w->now, 0);
    world_take(w);
    assert_int_equal(job->status, MN_FAILED);
    world_destroy(w);
}

static void a_timeout_kills_at_once_and_counts_as_an_error(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_need_t wanted = need(1000, 0);
    uint64_t task;
    (void)state;
    wanted.timeout = 5;
    wanted.max_retries = 1;
    mni_job_t *job = run_one(w, &task, wanted);
    assert_true(mni_core_next_time(w->core) == w->now + 5 * MNI_SECOND);
    later(w, 4.9);
    assert_int_equal(w->count, 0);
    later(w, 0.1);
    assert_int_equal(happened(w, MNI_STOP), 0);
    assert_int_equal(about_task(w, MNI_KILL, task)->reason, MN_REASON_TIMEOUT);
    ended(w, task, MN_REASON_KILLED);
    assert_int_equal(job->retries, 1);
    assert_int_equal(job->status, MN_RUNNING);
    later(w, 5);
    ended(w, job->task, MN_REASON_KILLED);
    assert_int_equal(job->status, MN_FAILED);
    assert_int_equal(job->reason, MN_REASON_TIMEOUT);
    assert_non_null(strstr(job->error, "5 s"));
    world_destroy(w);
}

static void cancel_of_a_pending_job(void **state)
{
    world_t *w = world_small(1, GIB);
    uint64_t task;
    (void)state;
    run_one(w, &task, need(1000, 0));
    mni_job_t *second = start(w, JOB, need(1000, 0)), *third = start(w, JOB, need(1000, 0));
    assert_int_equal(second->status, MN_PENDING);
    cancel(w, second, NAN);
    assert_int_equal(second->status, MN_CANCELLED);
    assert_int_equal(second->reason, MN_REASON_CANCELLED);
    assert_int_equal(second->attempts, 0);
    assert_int_equal(mni_core_cancel(w->core, w->now, second, NAN), 1);
    ended(w, task, MN_REASON_RETURNED);
    assert_int_equal(third->status, MN_RUNNING);
    world_destroy(w);
}

static void cancel_has_a_grace_and_then_kills(void **state)
{
    world_t *w = world_small(1, GIB);
    uint64_t task;
    mni_job_t *job = run_one(w, &task, need(1000, 0));
    (void)state;
    cancel(w, job, NAN);
    assert_int_equal(job->status, MN_CANCELLING);
    assert_int_equal(about_task(w, MNI_STOP, task)->code, MN_E_CANCELLED);
    assert_int_equal(happened(w, MNI_KILL), 0);
    later(w, 299);
    assert_int_equal(w->count, 0);
    cancel(w, job, 400); /* longer: no change */
    assert_int_equal(happened(w, MNI_STOP), 0);
    later(w, 1.1);
    assert_int_equal(about_task(w, MNI_KILL, task)->reason, MN_REASON_KILLED);
    assert_int_equal(job->status, MN_CANCELLING);
    ended(w, task, MN_REASON_KILLED);
    assert_int_equal(job->status, MN_CANCELLED);
    assert_int_equal(job->reason, MN_REASON_KILLED);
    assert_null(job->error);
    world_destroy(w);
}

static void a_second_cancel_shortens_the_grace(void **state)
{
    world_t *w = world_small(2, GIB);
    uint64_t task, other;
    mni_job_t *job = run_one(w, &task, need(1000, 0)), *at_once = run_one(w, &other, need(1000, 0));
    (void)state;
    cancel(w, job, 100);
    cancel(w, job, 2);
    assert_true(mni_core_next_time(w->core) == w->now + 2 * MNI_SECOND);
    cancel(w, at_once, 100);
    cancel(w, at_once, -1);
    assert_non_null(about_task(w, MNI_KILL, other));
    ended(w, other, MN_REASON_KILLED);
    assert_int_equal(at_once->reason, MN_REASON_KILLED);
    ended(w, task, MN_REASON_RETURNED); /* cleaned up in time */
    assert_int_equal(job->status, MN_CANCELLED);
    assert_int_equal(job->reason, MN_REASON_CANCELLED);
    world_destroy(w);
}

static void a_cancelled_job_is_not_tried_again(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_need_t wanted = need(1000, 0);
    uint64_t task;
    (void)state;
    wanted.max_retries = 5;
    mni_job_t *job = run_one(w, &task, wanted);
    cancel(w, job, NAN);
    mni_core_worker_lost(w->core, w->now, 0);
    world_take(w);
    assert_int_equal(job->status, MN_CANCELLED);
    assert_int_equal(job->lost, 0);
    world_destroy(w);
}

static void cancel_reaches_jobs_that_asked_for_it(void **state)
{
    world_t *w = world_small(8, GIB);
    uint64_t task;
    mni_job_t *job = run_one(w, &task, need(1000, 0));
    mni_need_t one = need(1000, 0), big = need(8000, 0);
    (void)state;
    assert_int_equal(demand(w, 1, task, F, one, 1), 0);
    uint64_t slot = slot_of(w, 1);
    mni_start_t from = {
        .declaration = OTHER, .need = one, .parent = slot, .cancel_with_parent = true};
    mni_job_t *tied = start_with(w, from);
    from.cancel_with_parent = false;
    mni_job_t *independent = start_with(w, from);
    from = (mni_start_t){
        .declaration = OTHER, .need = big, .parent = tied->task, .cancel_with_parent = true};
    mni_job_t *grandchild = start_with(w, from);
    assert_int_equal(grandchild->status, MN_PENDING);
    cancel(w, job, NAN);
    assert_int_equal(job->status, MN_CANCELLING);
    assert_int_equal(tied->status, MN_CANCELLING);
    assert_int_equal(grandchild->status, MN_CANCELLED);
    assert_int_equal(independent->status, MN_RUNNING);
    assert_non_null(about_task(w, MNI_STOP, slot));
    assert_non_null(about_task(w, MNI_STOP, tied->task));
    /* What would escape it is refused. */
    from.parent = slot;
    from.need = one;
    assert_int_equal(start_fails(w, from), MN_E_CANCELLED);
    world_destroy(w);
}

static void a_lock_is_held_until_all_is_gone(void **state)
{
    world_t *w = world_small(4, GIB);
    mni_start_t locked = {.declaration = JOB, .need = need(1000, 0), .lock = "table-7"};
    char id[MN_ID_TEXT];
    (void)state;
    mni_job_t *job = start_with(w, locked);
    assert_int_equal(start_fails(w, locked), MN_E_LOCK_IN_USE);
    assert_non_null(strstr(mn_error_message(), mn_id_format(job->id, id)));
    assert_non_null(strstr(mn_error_message(), "table-7"));
    assert_int_equal(demand(w, 1, job->task, F, need(1000, 0), 1), 0);
    uint64_t task = job->task, slot = slot_of(w, 1);
    ended(w, task, MN_REASON_RETURNED);
    assert_int_equal(about_task(w, MNI_KILL, slot)->reason, MN_REASON_CANCELLED);
    assert_int_equal(job->status, MN_RUNNING); /* the slot's processes may still be there */
    assert_int_equal(start_fails(w, locked), MN_E_LOCK_IN_USE);
    ended(w, slot, MN_REASON_KILLED);
    assert_int_equal(job->status, MN_SUCCEEDED);
    mni_job_t *next = start_with(w, locked);
    assert_int_equal(next->status, MN_RUNNING);
    world_destroy(w);
}

static void visit_lock(void *argument, const char *name, const mni_job_t *holder)
{
    assert_string_equal(name, mni_job_lock(holder));
    (*(int *)argument)++;
}

static void locks_are_listed_and_survive_a_retry(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_start_t locked = {.declaration = JOB, .need = need(1000, 0), .lock = "a"};
    int count = 0;
    (void)state;
    locked.need.max_retries = 1;
    mni_job_t *job = start_with(w, locked);
    locked.lock = "b";
    start_with(w, locked);
    mni_core_locks(w->core, visit_lock, &count);
    assert_int_equal(count, 2);
    ended(w, job->task, MN_REASON_ERROR);
    locked.lock = "a";
    assert_int_equal(start_fails(w, locked), MN_E_LOCK_IN_USE);
    ended(w, job->task, MN_REASON_ERROR);
    count = 0;
    mni_core_locks(w->core, visit_lock, &count);
    assert_int_equal(count, 1);
    world_destroy(w);
}

static void a_key_names_the_first_job(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_start_t keyed = {.declaration = JOB, .need = need(1000, 0), .key = "scan-1", .tag = "scan"};
    mni_job_t *again = NULL;
    (void)state;
    mni_job_t *job = start_with(w, keyed);
    assert_string_equal(mni_job_tag(job), "scan");
    keyed.id = world_id(w);
    assert_int_equal(mni_core_start(w->core, w->now, &keyed, &again), 1);
    assert_ptr_equal(again, job);
    ended(w, job->task, MN_REASON_RETURNED);
    assert_int_equal(mni_core_start(w->core, w->now, &keyed, &again), 1);
    assert_int_equal(mni_core_remove(w->core, w->now, job), 0);
    world_take(w);
    assert_int_equal(happened(w, MNI_FORGET), 1);
    again = start_with(w, keyed);
    assert_int_equal(again->status, MN_RUNNING);
    world_destroy(w);
}

static void remove_cancels_first(void **state)
{
    world_t *w = world_small(1, GIB);
    uint64_t task;
    mni_job_t *job = run_one(w, &task, need(1000, 0)), *pending = start(w, JOB, need(1000, 0));
    mn_id_t id = job->id, pending_id = pending->id;
    (void)state;
    assert_int_equal(mni_core_remove(w->core, w->now, pending), 0);
    world_take(w);
    assert_int_equal(happened(w, MNI_CHANGED), 1);
    assert_int_equal(happened(w, MNI_FORGET), 1);
    assert_null(mni_core_find(w->core, pending_id));
    assert_int_equal(mni_core_remove(w->core, w->now, job), 0);
    world_take(w);
    assert_int_equal(job->status, MN_CANCELLING);
    assert_int_equal(happened(w, MNI_FORGET), 0);
    assert_int_equal(mni_core_remove(w->core, w->now, job), 0); /* again: nothing more */
    world_take(w);
    assert_int_equal(w->count, 0);
    ended(w, task, MN_REASON_ERROR);
    assert_int_equal(happened(w, MNI_FORGET), 1);
    assert_null(mni_core_find(w->core, id));
    assert_null(mni_core_older(w->core, NULL));
    world_destroy(w);
}

static void jobs_are_listed_newest_first(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_job_t *jobs[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        jobs[i] = start(w, JOB, need(1000, 0));
    cancel(w, jobs[1], NAN);
    mni_core_remove(w->core, w->now, jobs[1]);
    world_take(w);
    assert_ptr_equal(mni_core_older(w->core, NULL), jobs[2]);
    assert_ptr_equal(mni_core_older(w->core, jobs[2]), jobs[0]);
    assert_null(mni_core_older(w->core, jobs[0]));
    world_destroy(w);
}

static void drain_interrupts_and_does_not_count_the_attempt(void **state)
{
    world_t *w = world_small(2, GIB);
    uint64_t task, cancelled_task;
    mni_job_t *job = run_one(w, &task, need(1000, 0)),
              *cancelled = run_one(w, &cancelled_task, need(1000, 0));
    mni_job_t *pending = start(w, JOB, need(1000, 0));
    (void)state;
    cancel(w, cancelled, NAN);
    mni_core_drain(w->core, w->now, 10);
    world_take(w);
    assert_int_equal(about_task(w, MNI_STOP, task)->code, MN_E_INTERRUPTED);
    assert_null(about_task(w, MNI_STOP, cancelled_task)); /* has been asked already */
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = JOB, .need = need(1000, 0)}),
                     MN_E_INTERRUPTED);
    ended(w, task, MN_REASON_ERROR);
    assert_int_equal(job->status, MN_PENDING);
    assert_int_equal(job->reason, MN_REASON_INTERRUPTED);
    assert_int_equal(job->attempts, 0);
    assert_int_equal(job->retries, 0);
    assert_null(job->error);
    assert_int_equal(happened(w, MNI_RUN), 0); /* no new tasks */
    assert_int_equal(pending->status, MN_PENDING);
    later(w, 10);
    assert_non_null(about_task(w, MNI_KILL, cancelled_task));
    ended(w, cancelled_task, MN_REASON_KILLED);
    assert_int_equal(cancelled->status, MN_CANCELLED);
    assert_true(mni_core_next_time(w->core) == MNI_NEVER);
    world_destroy(w);
}

static void drain_stops_the_driver_too(void **state)
{
    world_t *w = world_small(1, GIB);
    (void)state;
    assert_int_equal(demand(w, 1, 0, F, need(1000, 0), 2), 0);
    uint64_t slot = slot_of(w, 1);
    mni_core_drain(w->core, w->now, 5);
    world_take(w);
    assert_int_equal(about_task(w, MNI_STOP, slot)->code, MN_E_INTERRUPTED);
    assert_int_equal(action_of(w, MNI_REFUSE, 0)->code, MN_E_INTERRUPTED);
    assert_int_equal(demand(w, 2, 0, F, need(1000, 0), 1), MN_E_INTERRUPTED);
    mni_core_drain(w->core, w->now, 0); /* twice: now */
    world_take(w);
    assert_non_null(about_task(w, MNI_KILL, slot));
    ended(w, slot, MN_REASON_KILLED);
    world_destroy(w);
}

static void bad_starts_change_nothing(void **state)
{
    world_t *w = world_create();
    mni_job_t *job;
    (void)state;
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = JOB, .need = need(1000, 0)}),
                     MN_E_IMPOSSIBLE);
    world_node(w, "n1", 1, 64 * GIB);
    world_node(w, "n3", 2, 47 * GIB / 2);
    mni_need_t huge = need(16000, 4 * GIB), odd = need(1500, 0), never = need(1000, 0);
    never.max_concurrency = 0;
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = JOB, .need = huge}),
                     MN_E_IMPOSSIBLE);
    assert_non_null(
        strstr(mn_error_message(),
               "job asks for 16 cores and 4 GiB; the largest node, n3, has 2 cores and 23.5"));
    huge = need(1000, 65 * GIB);
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = JOB, .need = huge}),
                     MN_E_IMPOSSIBLE);
    assert_non_null(strstr(mn_error_message(), "n1, has 1 core and 64 GiB"));
    huge = need(2000, 60 * GIB); /* there are enough of both, but on different nodes */
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = JOB, .need = huge}),
                     MN_E_IMPOSSIBLE);
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = JOB, .need = odd}), MN_E_INVALID);
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = JOB, .need = never}),
                     MN_E_INVALID);
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = 99, .need = need(1000, 0)}),
                     MN_E_UNDECLARED);
    job = start(w, JOB, need(1000, 0));
    mni_start_t same = {.id = job->id, .declaration = JOB, .need = need(1000, 0)};
    assert_int_equal(mni_core_start(w->core, w->now, &same, &job), MN_E_INVALID);
    world_destroy(w);
}

static void priority_then_age(void **state)
{
    world_t *w = world_small(1, GIB);
    uint64_t task;
    mni_need_t plain = need(1000, 0), urgent = need(1000, 0), with_memory = need(1000, GIB / 2);
    (void)state;
    urgent.priority = 1;
    run_one(w, &task, plain);
    mni_job_t *first = start(w, JOB, plain), *second = start(w, OTHER, with_memory),
              *third = start(w, JOB, plain), *fourth = start(w, OTHER, urgent);
    mni_job_t *order[] = {fourth, first, second, third};
    for (int i = 0; i < 4; i++) {
        ended(w, task, MN_REASON_RETURNED);
        assert_int_equal(order[i]->status, MN_RUNNING);
        task = order[i]->task;
    }
    world_destroy(w);
}

static void concurrency_is_counted_per_declaration(void **state)
{
    world_t *w = world_small(8, GIB);
    mni_need_t two = need(1000, 0);
    mni_job_t *jobs[4];
    char text[256];
    (void)state;
    two.max_concurrency = 2;
    for (int i = 0; i < 4; i++)
        jobs[i] = start(w, JOB, two);
    mni_job_t *other = start(w, OTHER, need(1000, 0));
    assert_int_equal(other->status, MN_RUNNING);
    assert_int_equal(jobs[1]->status, MN_RUNNING);
    assert_int_equal(jobs[2]->status, MN_PENDING);
    mni_core_explain(w->core, jobs[3], text, sizeof text);
    assert_non_null(strstr(text, "job may run 2 at a time"));
    assert_non_null(strstr(text, "1 task ahead of it"));
    ended(w, jobs[0]->task, MN_REASON_RETURNED);
    assert_int_equal(jobs[2]->status, MN_RUNNING);
    assert_int_equal(jobs[3]->status, MN_PENDING);
    ended(w, jobs[1]->task, MN_REASON_RETURNED);
    assert_int_equal(jobs[3]->status, MN_RUNNING);
    world_destroy(w);
}

static void it_explains_why_a_job_waits(void **state)
{
    world_t *w = world_small(16, 8 * GIB);
    char text[256], small[16];
    uint64_t task;
    (void)state;
    run_one(w, &task, need(4000, 2 * GIB));
    start(w, JOB, need(16000, 0));
    start(w, JOB, need(16000, 0));
    mni_job_t *job = start(w, OTHER, need(16000, 4 * GIB));
    mni_core_explain(w->core, job, text, sizeof text);
    assert_string_equal(
        text, "needs 16 cores and 4 GiB; node n0 has 12 cores and 6 GiB free; 2 tasks ahead of it");
    mni_core_explain(w->core, job, small, sizeof small);
    assert_int_equal(strlen(small), sizeof small - 1);
    ended(w, task, MN_REASON_RETURNED);
    world_destroy(w);
}

static void a_large_request_is_not_starved(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_job_t *small[2], *more;
    (void)state;
    small[0] = start(w, JOB, need(1000, 0));
    small[1] = start(w, JOB, need(1000, 0));
    mni_job_t *large = start(w, OTHER, need(2000, 0));
    for (int i = 0; i < 10; i++) { /* small ones always find room first */
        uint64_t task = small[i % 2]->task;
        small[i % 2] = start(w, JOB, need(1000, 0));
        later(w, 1);
        ended(w, task, MN_REASON_RETURNED);
        assert_int_equal(small[i % 2]->status, MN_RUNNING);
        assert_int_equal(large->status, MN_PENDING);
    }
    more = start(w, JOB, need(1000, 0));
    assert_true(mni_core_next_time(w->core) != MNI_NEVER);
    later(w, 31);
    ended(w, small[0]->task, MN_REASON_RETURNED);
    assert_int_equal(more->status, MN_PENDING); /* the node is kept */
    ended(w, small[1]->task, MN_REASON_RETURNED);
    assert_int_equal(large->status, MN_RUNNING);
    ended(w, large->task, MN_REASON_RETURNED);
    assert_int_equal(more->status, MN_RUNNING);
    world_destroy(w);
}

static void a_reservation_ends_with_its_request(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_job_t *first = start(w, JOB, need(1000, 0));
    mni_job_t *second = start(w, JOB, need(1000, 0));
    mni_job_t *large = start(w, OTHER, need(2000, 0));
    (void)state;
    later(w, 31);
    ended(w, first->task, MN_REASON_RETURNED);
    mni_job_t *more = start(w, JOB, need(1000, 0));
    assert_int_equal(more->status, MN_PENDING);
    mni_need_t urgent = need(1000, 0);
    urgent.priority = 1;
    mni_job_t *before = start(w, JOB, urgent); /* goes first anyhow: may use the node */
    assert_int_equal(before->status, MN_RUNNING);
    ended(w, before->task, MN_REASON_RETURNED);
    assert_int_equal(more->status, MN_PENDING);
    cancel(w, large, NAN);
    assert_int_equal(more->status, MN_RUNNING);
    assert_int_equal(second->status, MN_RUNNING);
    world_destroy(w);
}

static void urgent_jobs_use_a_kept_node_for_a_while_only(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_need_t urgent = need(1000, 0);
    (void)state;
    urgent.priority = 1;
    mni_job_t *one = start(w, JOB, urgent), *other = start(w, JOB, urgent);
    mni_job_t *large = start(w, OTHER, need(2000, 0));
    later(w, 31);
    uint64_t task = one->task;
    one = start(w, JOB, urgent);
    ended(w, task, MN_REASON_RETURNED);
    assert_int_equal(one->status, MN_RUNNING); /* it comes first anyhow */
    later(w, 31);
    ended(w, other->task, MN_REASON_RETURNED);
    other = start(w, JOB, urgent);
    assert_int_equal(other->status, MN_PENDING);
    ended(w, one->task, MN_REASON_RETURNED);
    assert_int_equal(large->status, MN_RUNNING);
    ended(w, large->task, MN_REASON_RETURNED);
    assert_int_equal(other->status, MN_RUNNING);
    world_destroy(w);
}

/* A map that goes on and on takes whatever gets free, before any job. */
static void slots_of_other_nodes_do_not_starve_a_large_request(void **state)
{
    world_t *w = world_create();
    (void)state;
    world_node(w, "n0", 1, GIB);
    uint32_t kept = world_node(w, "n1", 2, GIB);
    mni_job_t *caller = start(w, JOB, need(1000, 0));
    uint64_t slots[2];
    size_t count = 0;
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, 0);
    assert_int_equal(demand(w, 1, caller->task, F, need(1000, 0), 3), 0);
    for (size_t i = 0; i < 3; i++)
        if (action_of(w, MNI_GRANT, i)->node == kept)
            slots[count++ % 2] = action_of(w, MNI_GRANT, i)->task;
    assert_int_equal(count, 2);
    mni_job_t *large = start(w, OTHER, need(2000, 0));
    later(w, 31);
    release(w, slots[0]);
    slots[0] = slot_of(w, 1);
    later(w, 31);
    release(w, slots[0]);
    assert_int_equal(happened(w, MNI_GRANT), 0);
    release(w, slots[1]);
    assert_int_equal(large->status, MN_RUNNING);
    ended(w, large->task, MN_REASON_RETURNED);
    assert_int_equal(happened(w, MNI_GRANT), 2);
    world_destroy(w);
}

static void what_its_node_has_interrupted_is_not_counted(void **state)
{
    world_t *w = world_small(1, GIB);
    uint64_t task;
    (void)state;
    mni_job_t *job = run_one(w, &task, need(1000, 0));
    ended(w, task, MN_REASON_INTERRUPTED);
    assert_int_equal(job->status, MN_RUNNING); /* again: there is no drain */
    assert_int_equal(job->attempts, 1);
    assert_int_equal(job->lost, 0);
    mni_core_drain(w->core, w->now, 300);
    world_take(w);
    ended(w, job->task, MN_REASON_INTERRUPTED);
    assert_int_equal(job->status, MN_PENDING);
    assert_int_equal(job->reason, MN_REASON_INTERRUPTED);
    assert_int_equal(job->attempts, 0);
    world_destroy(w);
}

static mni_job_t *start_timed(world_t *w, double timeout)
{
    mni_need_t wanted = need(1000, 0);
    wanted.timeout = timeout;
    return start(w, JOB, wanted);
}

static void what_cannot_end_in_time_is_not_begun(void **state)
{
    world_t *w = world_small(8, GIB);
    char text[256];
    (void)state;
    mni_core_over_at(w->core, w->now, w->now + 100 * MNI_SECOND);
    assert_int_equal(start_timed(w, 100)->status, MN_RUNNING);
    later(w, 70);
    mni_job_t *late = start_timed(w, 30.5), *other = start_timed(w, 31);
    assert_int_equal(late->status, MN_PENDING);
    assert_int_equal(other->status, MN_PENDING);
    mni_core_explain(w->core, late, text, sizeof text);
    assert_non_null(strstr(text, "its timeout of 30.5 s"));
    /* It is in nobody's way. */
    assert_int_equal(start_timed(w, 30)->status, MN_RUNNING);
    assert_int_equal(start_timed(w, INFINITY)->status, MN_RUNNING);
    /* It could not end in any run of this length: it is to go on over several. */
    assert_int_equal(start_timed(w, 101)->status, MN_RUNNING);
    cancel(w, other, NAN);
    assert_int_equal(other->status, MN_CANCELLED);
    mni_core_drain(w->core, w->now, 300);
    world_take(w);
    assert_int_equal(late->status, MN_PENDING);
    assert_int_equal(late->attempts, 0);
    world_destroy(w);
}

/* It has waited in a queue meanwhile, or for its second attempt. */
static void what_gets_late_in_a_queue_is_not_begun(void **state)
{
    world_t *w = world_small(1, GIB);
    uint64_t task;
    (void)state;
    mni_core_over_at(w->core, w->now, w->now + 100 * MNI_SECOND);
    run_one(w, &task, need(1000, 0));
    mni_job_t *first = start_timed(w, 30), *second = start_timed(w, 15), *third = start_timed(w, 1);
    mni_need_t wanted = need(1000, 0);
    wanted.timeout = 10;
    wanted.max_retries = 3;
    later(w, 80);
    ended(w, task, MN_REASON_RETURNED);
    assert_int_equal(first->status, MN_PENDING);
    assert_int_equal(second->status, MN_RUNNING);
    mni_job_t *again = start(w, OTHER, wanted);
    ended(w, second->task, MN_REASON_RETURNED);
    ended(w, third->task, MN_REASON_RETURNED);
    assert_int_equal(again->status, MN_RUNNING);
    later(w, 11);
    ended(w, again->task, MN_REASON_KILLED);
    assert_int_equal(again->status, MN_PENDING);
    assert_int_equal(again->attempts, 1);
    world_destroy(w);
}

/* The end of the run ends the wait: it is no deadlock. */
static void a_wait_for_a_late_job_is_no_deadlock(void **state)
{
    world_t *w = world_small(2, GIB);
    uint64_t tasks[2];
    (void)state;
    mni_core_over_at(w->core, w->now, w->now + 100 * MNI_SECOND);
    mni_job_t *one = run_one(w, &tasks[0], need(1000, 0)),
              *two = run_one(w, &tasks[1], need(1000, 0));
    later(w, 90);
    mni_job_t *late = start_timed(w, 20);
    assert_int_equal(waits(w, tasks[0], late), 0);
    assert_int_equal(waits(w, tasks[1], late), 0);
    later(w, 1);
    assert_int_equal(happened(w, MNI_REFUSE), 0);
    assert_int_equal(happened(w, MNI_STOP), 0);
    assert_int_equal(one->status, MN_RUNNING);
    assert_int_equal(two->status, MN_RUNNING);
    assert_int_equal(late->status, MN_PENDING);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_runs_and_ends),
        cmocka_unit_test(an_error_is_kept),
        cmocka_unit_test(retries_and_losses_are_counted_apart),
        cmocka_unit_test(at_most_once),
        cmocka_unit_test(a_timeout_kills_at_once_and_counts_as_an_error),
        cmocka_unit_test(cancel_of_a_pending_job),
        cmocka_unit_test(cancel_has_a_grace_and_then_kills),
        cmocka_unit_test(a_second_cancel_shortens_the_grace),
        cmocka_unit_test(a_cancelled_job_is_not_tried_again),
        cmocka_unit_test(cancel_reaches_jobs_that_asked_for_it),
        cmocka_unit_test(a_lock_is_held_until_all_is_gone),
        cmocka_unit_test(locks_are_listed_and_survive_a_retry),
        cmocka_unit_test(a_key_names_the_first_job),
        cmocka_unit_test(remove_cancels_first),
        cmocka_unit_test(jobs_are_listed_newest_first),
        cmocka_unit_test(drain_interrupts_and_does_not_count_the_attempt),
        cmocka_unit_test(drain_stops_the_driver_too),
        cmocka_unit_test(bad_starts_change_nothing),
        cmocka_unit_test(priority_then_age),
        cmocka_unit_test(concurrency_is_counted_per_declaration),
        cmocka_unit_test(it_explains_why_a_job_waits),
        cmocka_unit_test(a_large_request_is_not_starved),
        cmocka_unit_test(a_reservation_ends_with_its_request),
        cmocka_unit_test(urgent_jobs_use_a_kept_node_for_a_while_only),
        cmocka_unit_test(slots_of_other_nodes_do_not_starve_a_large_request),
        cmocka_unit_test(what_its_node_has_interrupted_is_not_counted),
        cmocka_unit_test(what_cannot_end_in_time_is_not_begun),
        cmocka_unit_test(what_gets_late_in_a_queue_is_not_begun),
        cmocka_unit_test(a_wait_for_a_late_job_is_no_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
