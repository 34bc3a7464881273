/* SPDX-License-Identifier: MIT
 *
 * Demands, lending, waits, and what is done when everything waits.
 */
#include "core_world.h"

static void slots_use_the_callers_core_first(void **state)
{
    world_t *w = world_small(4, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0));
    (void)state;
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "0");
    assert_int_equal(demand(w, 1, job->task, F, need(1000, 0), 8), 0);
    assert_int_equal(happened(w, MNI_GRANT), 4); /* its own and three free ones */
    assert_string_equal(cpus_text(action_of(w, MNI_GRANT, 0)), "0");
    uint64_t on_lent = action_of(w, MNI_GRANT, 0)->task, on_free = action_of(w, MNI_GRANT, 1)->task;
    mni_job_t *other = start(w, OTHER, need(1000, 0));
    assert_int_equal(other->status, MN_PENDING);
    mni_core_demand_want(w->core, w->now, 1, 0);
    world_take(w);
    release(w, on_lent); /* back to the lender, not to others */
    assert_int_equal(w->count, 0);
    release(w, on_free);
    assert_int_equal(other->status, MN_RUNNING);
    world_destroy(w);
}

static void a_released_slot_is_granted_again_while_it_is_wanted(void **state)
{
    world_t *w = world_small(2, GIB);
    (void)state;
    assert_int_equal(demand(w, 7, 0, F, need(1000, 0), 2), 0);
    assert_int_equal(happened(w, MNI_GRANT), 2);
    uint64_t slot = slot_of(w, 7);
    ended(w, slot, MN_REASON_SIGNAL); /* the worker could not go on with it */
    assert_int_equal(happened(w, MNI_GRANT), 1);
    slot = slot_of(w, 7);
    mni_core_demand_want(w->core, w->now, 7, 1);
    world_take(w);
    release(w, slot);
    assert_int_equal(w->count, 0);
    mni_core_demand_want(w->core, w->now, 7, 2);
    world_take(w);
    assert_int_equal(happened(w, MNI_GRANT), 1);
    close_demand(w, 7);
    assert_int_equal(w->count, 0);
    close_demand(w, 7); /* late: nothing */
    mni_core_demand_want(w->core, w->now, 7, 5);
    world_take(w);
    assert_int_equal(w->count, 0);
    world_destroy(w);
}

/* A chain of calls, each from the slot before. Returns how deep it came. */
static uint64_t nested[17]; /* the slots of the last nest(), by level */

static int nest(world_t *w, uint64_t task, uint32_t millicores, uint64_t memory, int depth)
{
    for (int level = 1; level <= depth; level++) {
        assert_int_equal(demand(w, (uint64_t)level, task, F, need(millicores, memory), 3), 0);
        if (happened(w, MNI_GRANT) == 0)
            return level - 1;
        task = nested[level] = slot_of(w, (uint64_t)level);
    }
    return depth;
}

static void nested_calls_share_one_core(void **state)
{
    static const uint32_t callers[] = {1000, 100, 500, 0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        world_t *w = world_small(1, GIB);
        mni_job_t *job = start(w, JOB, need(callers[i], 0)),
                  *other = start(w, OTHER, need(1000, 0));
        uint64_t task = job->task;
        if (callers[i] == 0) { /* the other one has the core */
            assert_int_equal(other->status, MN_RUNNING);
            ended(w, other->task, MN_REASON_RETURNED);
        }
        assert_int_equal(nest(w, task, 1000, 0, 16), 16);
        world_destroy(w);
    }
}

static void a_share_and_what_is_free_make_a_core(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_job_t *job = start(w, JOB, need(100, 0));
    (void)state;
    assert_int_equal(demand(w, 1, job->task, F, need(2000, 0), 1), 0);
    assert_int_equal(happened(w, MNI_GRANT), 1);
    assert_string_equal(cpus_text(action_of(w, MNI_GRANT, 0)), "0-1");
    uint64_t slot = slot_of(w, 1);
    mni_job_t *other = start(w, JOB, need(100, 0));
    assert_int_equal(other->status, MN_PENDING); /* the rest of core 0 is taken */
    release(w, slot);
    assert_int_equal(other->status, MN_PENDING); /* granted again: a slot goes before a new job */
    slot = slot_of(w, 1);
    close_demand(w, 1);
    release(w, slot);
    assert_int_equal(other->status, MN_RUNNING);
    world_destroy(w);
}

static void memory_is_never_lent(void **state)
{
    world_t *w = world_small(2, 4 * GIB);
    mni_job_t *job = start(w, JOB, need(1000, 3 * GIB));
    (void)state;
    assert_int_equal(demand(w, 1, job->task, F, need(1000, 2 * GIB), 1), 0);
    assert_int_equal(happened(w, MNI_GRANT), 0);
    const mni_action_t *refused = action_of(w, MNI_REFUSE, 0);
    assert_int_equal(refused->demand, 1);
    assert_int_equal(refused->code, MN_E_DEADLOCK);
    assert_string_equal(
        refusal(w, 0),
        "f asks for 1 core and 2 GiB; node n0 has 2 cores and 4 GiB, of which what waits "
        "for it holds 3 GiB (job)");
    assert_int_equal(demand(w, 2, job->task, F, need(1000, GIB), 1), 0); /* it goes on */
    assert_int_equal(happened(w, MNI_GRANT), 1);
    world_destroy(w);
}

static void ancestors_that_hold_the_memory_are_named(void **state)
{
    world_t *w = world_small(2, 8 * GIB);
    mni_job_t *job = start(w, JOB, need(1000, 2 * GIB));
    (void)state;
    assert_int_equal(demand(w, 1, job->task, F, need(1000, 3 * GIB), 1), 0);
    uint64_t f = slot_of(w, 1);
    assert_int_equal(demand(w, 2, f, G, need(1000, 4 * GIB), 1), 0);
    assert_int_equal(happened(w, MNI_REFUSE), 1);
    assert_non_null(strstr(refusal(w, 0), "g asks for 1 core and 4 GiB"));
    assert_non_null(strstr(refusal(w, 0), "2 GiB (job)"));
    assert_non_null(strstr(refusal(w, 0), "3 GiB (f)"));
    world_destroy(w);
}

static void a_function_that_calls_itself_beyond_its_limit(void **state)
{
    world_t *w = world_small(4, GIB);
    mni_need_t one = need(1000, 0);
    (void)state;
    one.max_concurrency = 1;
    assert_int_equal(demand(w, 1, 0, F, one, 2), 0);
    assert_int_equal(happened(w, MNI_GRANT), 1);
    assert_int_equal(demand(w, 2, slot_of(w, 1), F, one, 1), 0);
    assert_int_equal(action_of(w, MNI_REFUSE, 0)->code, MN_E_DEADLOCK);
    assert_non_null(strstr(refusal(w, 0), "f may run 1 at a time"));
    world_destroy(w);
}

static void siblings_that_hold_the_memory_give_way(void **state)
{
    world_t *w = world_small(8, 4 * GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0));
    uint64_t slots[4];
    (void)state;
    assert_int_equal(demand(w, 1, job->task, F, need(1000, GIB), 4), 0);
    assert_int_equal(happened(w, MNI_GRANT), 4);
    for (int i = 0; i < 4; i++)
        slots[i] = action_of(w, MNI_GRANT, (size_t)i)->task;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(demand(w, 10 + (uint64_t)i, slots[i], G, need(1000, GIB), 1), 0);
        assert_int_equal(w->count, 0);
    }
    assert_int_equal(demand(w, 13, slots[3], G, need(1000, GIB), 1), 0);
    assert_int_equal(happened(w, MNI_REFUSE), 0);
    assert_int_equal(happened(w, MNI_KILL), 1);
    assert_int_equal(about_task(w, MNI_KILL, slots[3])->reason,
                     MN_REASON_INTERRUPTED); /* the youngest */
    ended(w, slots[3], MN_REASON_KILLED);
    assert_int_equal(happened(w, MNI_GRANT), 1); /* not the demand that lost a slot */
    assert_int_equal(action_of(w, MNI_GRANT, 0)->demand, 10);
    uint64_t inner = slot_of(w, 10);
    close_demand(w, 10);
    release(w, inner);
    assert_int_equal(action_of(w, MNI_GRANT, 0)->demand, 11); /* and so on, one after the other */
    world_destroy(w);
}

static void the_youngest_job_is_put_back(void **state)
{
    world_t *w = world_small(4, 4 * GIB);
    mni_job_t *old = start(w, JOB, need(1000, 2 * GIB)),
              *young = start(w, OTHER, need(1000, 2 * GIB));
    uint64_t task = young->task;
    (void)state;
    assert_int_equal(demand(w, 1, old->task, F, need(1000, GIB), 1), 0);
    assert_int_equal(w->count, 0);
    assert_int_equal(demand(w, 2, task, F, need(1000, GIB), 1), 0);
    assert_int_equal(about_task(w, MNI_STOP, task)->code, MN_E_INTERRUPTED);
    assert_int_equal(happened(w, MNI_STOP), 1);
    assert_int_equal(demand(w, 3, task, F, need(1000, 0), 1), MN_E_INTERRUPTED);
    later(w, 4.9);
    assert_int_equal(w->count, 0);
    later(w, 0.2);
    assert_non_null(about_task(w, MNI_KILL, task));
    ended(w, task, MN_REASON_KILLED);
    assert_int_equal(young->status, MN_PENDING);
    assert_int_equal(young->reason, MN_REASON_INTERRUPTED);
    assert_int_equal(young->attempts, 0);
    assert_int_equal(happened(w, MNI_GRANT), 1); /* the old one goes on */
    uint64_t slot = slot_of(w, 1);
    /* There would be room for it to begin if it asked for less; it must not until something has
     * ended. */
    char text[256];
    mni_core_explain(w->core, young, text, sizeof text);
    assert_non_null(strstr(text, "put back"));
    close_demand(w, 1);
    release(w, slot);
    assert_int_equal(young->status, MN_RUNNING);
    assert_int_equal(young->attempts, 1);
    world_destroy(w);
}

static void a_job_that_was_put_back_can_be_cancelled(void **state)
{
    world_t *w = world_small(4, 4 * GIB);
    mni_job_t *old = start(w, JOB, need(1000, 2 * GIB)), *young = start(w, OTHER, need(1000, GIB));
    (void)state;
    assert_int_equal(demand(w, 1, old->task, F, need(1000, 3 * GIB / 2), 1), 0);
    assert_int_equal(demand(w, 2, young->task, F, need(1000, 3 * GIB / 2), 1), 0);
    ended(w, young->task, MN_REASON_ERROR);
    assert_int_equal(young->status,
                     MN_PENDING); /* 1 GiB would be free with the slot of 1.5 GiB: not yet */
    cancel(w, young, NAN);
    assert_int_equal(young->status, MN_CANCELLED);
    world_destroy(w);
}

static void waiting_tasks_lend_to_each_other_when_all_wait(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_job_t *a = start(w, JOB, need(100, 0)), *b = start(w, JOB, need(100, 0));
    (void)state;
    assert_int_equal(demand(w, 1, a->task, F, need(1000, 0), 1), 0);
    assert_int_equal(happened(w, MNI_GRANT), 0); /* b works on that core */
    assert_int_equal(demand(w, 2, b->task, F, need(1000, 0), 1), 0);
    assert_int_equal(happened(w, MNI_STOP), 0); /* nobody is put back for cores */
    assert_int_equal(happened(w, MNI_GRANT), 1);
    assert_int_equal(action_of(w, MNI_GRANT, 0)->demand, 1);
    uint64_t slot = slot_of(w, 1);
    mni_core_demand_want(w->core, w->now, 1, 0);
    world_take(w);
    release(w, slot);
    assert_int_equal(happened(w, MNI_GRANT), 0); /* a goes on now */
    close_demand(w, 1);
    ended(w, a->task, MN_REASON_RETURNED);
    assert_int_equal(action_of(w, MNI_GRANT, 0)->demand, 2);
    world_destroy(w);
}

static void a_caller_that_stops_waiting_shares_its_core(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0));
    (void)state;
    assert_int_equal(demand(w, 1, job->task, F, need(1000, 0), 1), 0);
    uint64_t slot = slot_of(w, 1), task = job->task;
    close_demand(w, 1); /* the slot is not released yet */
    mni_job_t *other = start(w, OTHER, need(1000, 0));
    assert_int_equal(other->status, MN_PENDING);
    assert_int_equal(demand(w, 2, task, G, need(1000, 0), 1), 0);
    assert_int_equal(happened(w, MNI_GRANT), 0); /* its core is out still */
    release(w, slot);
    assert_int_equal(action_of(w, MNI_GRANT, 0)->demand, 2);
    assert_int_equal(other->status, MN_PENDING);
    world_destroy(w);
}

static void a_wait_lends_to_the_job(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0));
    mni_job_t *third = start(w, OTHER, need(1000, 0));
    mni_job_t *awaited = start_with(
        w, (mni_start_t){.declaration = OTHER, .need = need(1000, 0), .parent = job->task});
    uint64_t task = job->task;
    (void)state;
    assert_int_equal(awaited->status, MN_PENDING);
    assert_int_equal(waits(w, task, awaited), 0);
    assert_int_equal(awaited->status, MN_RUNNING); /* before the third, which is older */
    assert_int_equal(nest(w, awaited->task, 1000, 0, 3), 3);
    assert_int_equal(third->status, MN_PENDING);
    assert_int_equal(waits(w, task, NULL),
                     0); /* its time was over: it has its core back, and shares it */
    assert_int_equal(third->status, MN_PENDING);
    ended(w, task, MN_REASON_RETURNED);
    assert_int_equal(job->status, MN_SUCCEEDED);
    assert_int_equal(third->status, MN_PENDING); /* the borrowers have it still */
    ended(w, awaited->task, MN_REASON_RETURNED);
    for (int level = 3; level > 0; level--)
        ended(w, nested[level], MN_REASON_KILLED);
    assert_int_equal(awaited->status, MN_SUCCEEDED);
    assert_int_equal(third->status, MN_RUNNING);
    world_destroy(w);
}

static void a_wait_ends_with_its_job(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0)), *other = start(w, OTHER, need(1000, 0));
    mn_id_t unknown = world_id(w);
    (void)state;
    assert_int_equal(waits(w, job->task, other), 0);
    ended(w, other->task, MN_REASON_RETURNED);
    assert_int_equal(waits(w, job->task, other), 0); /* it has ended: no wait begins */
    mni_job_t *third = start(w, OTHER, need(2000, 0));
    assert_int_equal(third->status, MN_PENDING);
    assert_int_equal(mni_core_wait(w->core, w->now, job->task, &unknown), MN_E_NO_JOB);
    assert_int_equal(waits(w, 0, other), 0); /* the driver has nothing to lend */
    ended(w, job->task, MN_REASON_RETURNED);
    assert_int_equal(third->status, MN_RUNNING);
    world_destroy(w);
}

static void circles_of_waits_are_refused(void **state)
{
    world_t *w = world_small(8, GIB);
    mni_job_t *jobs[3];
    char id[MN_ID_TEXT];
    (void)state;
    for (int i = 0; i < 3; i++)
        jobs[i] = start(w, i == 1 ? OTHER : JOB, need(1000, 0));
    assert_int_equal(waits(w, jobs[0]->task, jobs[0]), MN_E_DEADLOCK);
    assert_non_null(strstr(mn_error_message(), "its own end"));
    assert_int_equal(waits(w, jobs[0]->task, jobs[1]), 0);
    assert_int_equal(demand(w, 1, jobs[1]->task, F, need(1000, 0), 1), 0);
    uint64_t slot = slot_of(w, 1);
    assert_int_equal(waits(w, slot, jobs[0]), MN_E_DEADLOCK); /* from below is as good */
    assert_non_null(strstr(mn_error_message(), mn_id_format(jobs[0]->id, id)));
    assert_int_equal(waits(w, slot, jobs[2]), 0);
    assert_int_equal(waits(w, jobs[2]->task, jobs[0]), MN_E_DEADLOCK);
    assert_non_null(strstr(mn_error_message(), "circle"));
    assert_int_equal(waits(w, jobs[0]->task, NULL), 0);
    assert_int_equal(waits(w, jobs[2]->task, jobs[0]), 0);
    world_destroy(w);
}

static void a_wait_for_what_the_waiter_holds(void **state)
{
    world_t *w = world_small(4, 4 * GIB);
    mni_job_t *job = start(w, JOB, need(1000, 3 * GIB));
    mni_job_t *big = start(w, OTHER, need(1000, 2 * GIB));
    (void)state;
    assert_int_equal(big->status, MN_PENDING);
    assert_int_equal(waits(w, job->task, big), MN_E_DEADLOCK);
    assert_non_null(strstr(mn_error_message(), "3 GiB (job)"));
    mni_need_t one = need(1000, 0);
    one.max_concurrency = 1;
    mni_job_t *first = start(w, H, one), *second = start(w, H, one);
    assert_int_equal(second->status, MN_PENDING);
    assert_int_equal(waits(w, first->task, second), MN_E_DEADLOCK);
    assert_non_null(strstr(mn_error_message(), "h may run 1 at a time"));
    world_destroy(w);
}

static void a_wait_that_became_hopeless_is_refused(void **state)
{
    world_t *w = world_small(4, 4 * GIB);
    mni_job_t *job = start(w, JOB, need(1000, 2 * GIB)), *holder = start(w, OTHER, need(1000, GIB));
    mni_job_t *middle = start(w, OTHER, need(1000, GIB));
    mni_job_t *big = start(w, OTHER, need(1000, 2 * GIB));
    (void)state;
    /* big would fit beside job alone, but middle, which job waits for, holds 1 GiB as well. */
    ended(w, holder->task, MN_REASON_RETURNED);
    assert_int_equal(big->status, MN_PENDING);
    assert_int_equal(waits(w, middle->task, big), 0);
    assert_int_equal(waits(w, job->task, middle), 0);
    const mni_action_t *refused = action_of(w, MNI_REFUSE, 0);
    assert_int_equal(refused->demand, 0);
    assert_int_equal(refused->task, middle->task);
    assert_ptr_equal(refused->job, big);
    assert_int_equal(refused->code, MN_E_DEADLOCK);
    assert_int_equal(happened(w, MNI_STOP), 0);
    world_destroy(w);
}

static void demands_share_what_is_free(void **state)
{
    world_t *w = world_small(4, GIB);
    mni_job_t *a = start(w, JOB, need(0, 0)), *b = start(w, JOB, need(0, 0));
    mni_job_t *block = start(w, OTHER, need(4000, 0));
    (void)state;
    assert_int_equal(demand(w, 1, a->task, F, need(1000, 0), 8), 0);
    assert_int_equal(demand(w, 2, b->task, F, need(1000, 0), 8), 0);
    mni_job_t *later_job = start(w, OTHER, need(1000, 0));
    ended(w, block->task, MN_REASON_RETURNED);
    assert_int_equal(happened(w, MNI_GRANT), 4);
    int of[3] = {0};
    for (size_t i = 0; i < 4; i++)
        of[action_of(w, MNI_GRANT, i)->demand]++;
    assert_int_equal(of[1], 2);
    assert_int_equal(of[2], 2);
    assert_int_equal(later_job->status, MN_PENDING); /* what runs goes before what is new */
    world_destroy(w);
}

static void the_drivers_demand_has_its_age(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_job_t *block = start(w, JOB, need(1000, 0)), *older = start(w, JOB, need(1000, 0));
    (void)state;
    assert_int_equal(demand(w, 1, 0, F, need(1000, 0), 1), 0);
    mni_job_t *younger = start(w, JOB, need(1000, 0));
    ended(w, block->task, MN_REASON_RETURNED);
    assert_int_equal(older->status, MN_RUNNING);
    ended(w, older->task, MN_REASON_RETURNED);
    uint64_t slot = slot_of(w, 1);
    assert_int_equal(younger->status, MN_PENDING);
    close_demand(w, 1);
    release(w, slot);
    assert_int_equal(younger->status, MN_RUNNING);
    world_destroy(w);
}

static void a_stopped_caller_gets_no_more(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0)), *other = start(w, OTHER, need(1000, 0));
    uint64_t task = job->task;
    (void)state;
    assert_int_equal(demand(w, 1, task, F, need(1000, 0), 2), 0);
    uint64_t slot = slot_of(w, 1);
    cancel(w, job, NAN);
    assert_non_null(about_task(w, MNI_STOP, task));
    assert_non_null(about_task(w, MNI_STOP, slot));
    assert_int_equal(demand(w, 2, slot, G, need(1000, 0), 1), MN_E_CANCELLED);
    ended(w, other->task, MN_REASON_RETURNED);
    assert_int_equal(happened(w, MNI_GRANT), 0);
    ended(w, task, MN_REASON_ERROR);
    assert_int_equal(happened(w, MNI_KILL), 0); /* it has the rest of the grace */
    assert_int_equal(job->status, MN_CANCELLING);
    ended(w, slot, MN_REASON_ERROR);
    assert_int_equal(job->status, MN_CANCELLED);
    assert_int_equal(job->reason, MN_REASON_CANCELLED);
    world_destroy(w);
}

static void the_grace_outlives_the_caller(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0)), *other = start(w, OTHER, need(1000, 0));
    (void)state;
    assert_int_equal(demand(w, 1, job->task, F, need(1000, 0), 1), 0);
    uint64_t first = slot_of(w, 1);
    assert_int_equal(demand(w, 2, other->task, F, need(1000, 0), 1), 0);
    uint64_t slot = slot_of(w, 2);
    cancel(w, job, 10);
    cancel(w, other, 10);
    ended(w, job->task, MN_REASON_ERROR);
    ended(w, other->task, MN_REASON_ERROR);
    later(w, 9);
    assert_int_equal(w->count, 0);
    cancel(w, other, -1); /* no more patience */
    assert_int_equal(about_task(w, MNI_KILL, slot)->reason, MN_REASON_CANCELLED);
    ended(w, slot, MN_REASON_KILLED);
    assert_int_equal(other->reason, MN_REASON_KILLED);
    later(w, 1);
    assert_non_null(about_task(w, MNI_KILL, first));
    ended(w, first, MN_REASON_KILLED);
    assert_int_equal(job->status, MN_CANCELLED);
    assert_int_equal(job->reason, MN_REASON_KILLED);
    world_destroy(w);
}

static void a_lost_slot_is_replaced(void **state)
{
    world_t *w = world_create();
    (void)state;
    world_node(w, "a", 1, GIB);
    world_node(w, "b", 1, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, 0);
    assert_int_equal(demand(w, 1, job->task, F, need(1000, 0), 2), 0);
    assert_int_equal(happened(w, MNI_GRANT), 2); /* on its own core, and on b */
    mni_core_worker_lost(w->core, w->now, 1);
    world_take(w);
    assert_int_equal(w->count, 0);
    assert_int_equal(mni_core_worker_add(w->core, 5, 1), 0);
    world_take(w);
    assert_int_equal(action_of(w, MNI_GRANT, 0)->rank, 5);
    mni_core_worker_lost(w->core, w->now, 0); /* the caller's own: its demand goes with it */
    world_take(w);
    assert_int_equal(job->status, MN_RUNNING); /* until the slot on b is gone too */
    assert_int_equal(happened(w, MNI_KILL), 1);
    ended(w, action_of(w, MNI_KILL, 0)->task, MN_REASON_KILLED);
    assert_int_equal(action_of(w, MNI_RUN, 0)->rank, 5);
    assert_int_equal(job->lost, 1);
    assert_int_equal(job->attempts, 2);
    world_destroy(w);
}

static void bad_demands_change_nothing(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_job_t *job = start(w, JOB, need(1000, 0));
    uint64_t task = job->task;
    (void)state;
    assert_int_equal(demand(w, 1, 999, F, need(1000, 0), 1), MN_E_NO_JOB);
    assert_int_equal(demand(w, 1, task, F, need(2000, 0), 1), MN_E_IMPOSSIBLE);
    assert_int_equal(demand(w, 1, task, F, need(1000, 0), 0), MN_E_INVALID);
    assert_int_equal(demand(w, 1, task, 77, need(1000, 0), 1), MN_E_UNDECLARED);
    assert_int_equal(w->count, 0);
    assert_int_equal(demand(w, 1, task, F, need(1000, 0), 1), 0);
    assert_int_equal(demand(w, 1, task, F, need(1000, 0), 1),
                     MN_E_INVALID); /* the number is taken */
    release(w, task);               /* no slot: ignored */
    assert_int_equal(job->status, MN_RUNNING);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_use_the_callers_core_first),
        cmocka_unit_test(a_released_slot_is_granted_again_while_it_is_wanted),
        cmocka_unit_test(nested_calls_share_one_core),
        cmocka_unit_test(a_share_and_what_is_free_make_a_core),
        cmocka_unit_test(memory_is_never_lent),
        cmocka_unit_test(ancestors_that_hold_the_memory_are_named),
        cmocka_unit_test(a_function_that_calls_itself_beyond_its_limit),
        cmocka_unit_test(siblings_that_hold_the_memory_give_way),
        cmocka_unit_test(the_youngest_job_is_put_back),
        cmocka_unit_test(a_job_that_was_put_back_can_be_cancelled),
        cmocka_unit_test(waiting_tasks_lend_to_each_other_when_all_wait),
        cmocka_unit_test(a_caller_that_stops_waiting_shares_its_core),
        cmocka_unit_test(a_wait_lends_to_the_job),
        cmocka_unit_test(a_wait_ends_with_its_job),
        cmocka_unit_test(circles_of_waits_are_refused),
        cmocka_unit_test(a_wait_for_what_the_waiter_holds),
        cmocka_unit_test(a_wait_that_became_hopeless_is_refused),
        cmocka_unit_test(demands_share_what_is_free),
        cmocka_unit_test(the_drivers_demand_has_its_age),
        cmocka_unit_test(a_stopped_caller_gets_no_more),
        cmocka_unit_test(the_grace_outlives_the_caller),
        cmocka_unit_test(a_lost_slot_is_replaced),
        cmocka_unit_test(bad_demands_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
