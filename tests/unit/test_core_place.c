/* SPDX-License-Identifier: MIT
 *
 * Placement: which node, which cores, which worker.
 */
#include "core_world.h"

#include "core/internal.h"

/* Two packages, each two NUMA nodes, each two L3s of four cores. */
static world_t *world_of_l3s(void)
{
    world_t *w = world_create();
    mni_core_place_t place[32];
    uint32_t node;
    for (uint16_t i = 0; i < 32; i++) /* numbers that mean something within their parent only */
        place[i] = (mni_core_place_t){.l3 = i / 4 % 2, .numa = i / 8 % 2, .package = i / 16};
    mni_node_offer_t offer = {.host = "big", .cores = 32, .place = place, .memory = 64 * GIB};
    assert_int_equal(mni_core_node_add(w->core, &offer, &node), 0);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, node), 0);
    return w;
}

static const char *runs_on(world_t *w, uint32_t cores, mni_job_t **job)
{
    mni_job_t *made = start(w, JOB, need(cores * 1000, 0));
    if (job)
        *job = made;
    return cpus_text(action_of(w, MNI_RUN, 0));
}

static void cores_are_compact(void **state)
{
    world_t *w = world_of_l3s();
    mni_job_t *three;
    (void)state;
    assert_string_equal(runs_on(w, 3, &three), "0-2");  /* one L3 */
    assert_string_equal(runs_on(w, 4, NULL), "4-7");    /* a whole one, not the rest of the first */
    assert_string_equal(runs_on(w, 1, NULL), "3");      /* the place with least left over */
    assert_string_equal(runs_on(w, 6, NULL), "8-13");   /* one NUMA node: an L3 and a half */
    assert_string_equal(runs_on(w, 12, NULL), "16-27"); /* one package */
    ended(w, three->task, MN_REASON_RETURNED);
    assert_string_equal(runs_on(w, 2, NULL), "14-15"); /* fits exactly: the L3 of three stays */
    assert_string_equal(runs_on(w, 3, NULL), "0-2");
    assert_string_equal(runs_on(w, 4, NULL), "28-31");
    world_destroy(w);
}

static void scattered_cores_are_used_when_there_are_no_others(void **state)
{
    world_t *w = world_of_l3s();
    mni_job_t *ones[32];
    (void)state;
    for (int i = 0; i < 32; i++)
        ones[i] = start(w, JOB, need(1000, 0));
    mni_job_t *wide = start(w, OTHER, need(3000, 0));
    ended(w, ones[1]->task, MN_REASON_RETURNED);
    ended(w, ones[9]->task, MN_REASON_RETURNED);
    ended(w, ones[30]->task, MN_REASON_RETURNED);
    assert_int_equal(wide->status, MN_RUNNING);
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "1,9,30");
    world_destroy(w);
}

static void shares_fill_a_core(void **state)
{
    world_t *w = world_small(2, GIB);
    mni_job_t *tenths[11];
    (void)state;
    for (int i = 0; i < 10; i++) {
        tenths[i] = start(w, JOB, need(100, 0));
        assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "0");
    }
    tenths[10] = start(w, JOB, need(100, 0));
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "1");
    ended(w, tenths[3]->task, MN_REASON_RETURNED);
    start(w, JOB, need(100, 0));
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "0"); /* the fuller one */
    mni_job_t *whole = start(w, JOB, need(1000, 0));
    assert_int_equal(whole->status, MN_PENDING);
    ended(w, tenths[10]->task, MN_REASON_RETURNED);
    assert_int_equal(whole->status, MN_RUNNING);
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "1");
    world_destroy(w);
}

static void no_core_is_fine(void **state)
{
    world_t *w = world_small(1, GIB);
    (void)state;
    start(w, JOB, need(1000, 0));
    mni_job_t *job = start(w, JOB, need(0, GIB / 2));
    assert_int_equal(job->status, MN_RUNNING);
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "");
    mni_job_t *other = start(w, JOB, need(0, GIB));
    assert_int_equal(other->status, MN_PENDING); /* memory counts all the same */
    ended(w, job->task, MN_REASON_RETURNED);
    assert_int_equal(other->status, MN_RUNNING);
    world_destroy(w);
}

static void the_fullest_node_that_has_room(void **state)
{
    world_t *w = world_create();
    uint32_t a, b, c;
    (void)state;
    a = world_node(w, "a", 16, 64 * GIB);
    b = world_node(w, "b", 4, 8 * GIB);
    c = world_node(w, "c", 4, 32 * GIB);
    start(w, JOB, need(2000, 4 * GIB));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, b);
    start(w, JOB, need(1000, 4 * GIB));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, b); /* has a core left, and 4 GiB */
    start(w, JOB, need(1000, 1));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, c); /* not b: its memory is gone */
    start(w, JOB, need(4000, 0));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, a);
    start(w, JOB, need(1000, 0));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, b);
    world_destroy(w);
}

static void a_share_goes_to_the_node_where_shares_are(void **state)
{
    world_t *w = world_create();
    uint32_t b;
    (void)state;
    world_node(w, "a", 4, GIB);
    b = world_node(w, "b", 2, GIB);
    start(w, JOB, need(500, 0));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, b);
    start(w, JOB, need(2000, 0));
    start(w, JOB, need(500, 0));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, b);
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "0");
    world_destroy(w);
}

static void tasks_are_spread_over_workers(void **state)
{
    world_t *w = world_small(4, GIB);
    uint32_t seen[3] = {0};
    mni_job_t *first;
    (void)state;
    assert_int_equal(mni_core_worker_add(w->core, 1, 0), 0);
    assert_int_equal(mni_core_worker_add(w->core, 1, 0), MN_E_INVALID);
    assert_int_equal(mni_core_worker_add(w->core, 2, 9), MN_E_INVALID);
    first = start(w, JOB, need(1000, 0));
    seen[action_of(w, MNI_RUN, 0)->rank]++;
    for (int i = 0; i < 3; i++) {
        start(w, JOB, need(1000, 0));
        seen[action_of(w, MNI_RUN, 0)->rank]++;
    }
    assert_int_equal(seen[0], 2);
    assert_int_equal(seen[1], 2);
    ended(w, first->task, MN_REASON_RETURNED);
    mni_core_worker_lost(w->core, w->now, 1);
    world_take(w);
    for (size_t i = 0; i < happened(w, MNI_RUN); i++)
        assert_int_equal(action_of(w, MNI_RUN, i)->rank, 0);
    assert_int_equal(happened(w, MNI_RUN), 2); /* those of the lost one run on the other */
    world_destroy(w);
}

static void a_node_without_workers_is_not_used(void **state)
{
    world_t *w = world_small(1, GIB);
    mni_node_offer_t offer = {.host = "idle", .cores = 64, .memory = 64 * GIB};
    uint32_t node;
    (void)state;
    assert_int_equal(mni_core_node_add(w->core, &offer, &node), 0);
    assert_int_equal(start_fails(w, (mni_start_t){.need = need(2000, 0)}), MN_E_IMPOSSIBLE);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, node), 0);
    mni_job_t *job = start(w, JOB, need(2000, 0));
    assert_int_equal(job->status, MN_RUNNING);
    offer.cores = MNI_MAX_CORES + 1;
    assert_int_equal(mni_core_node_add(w->core, &offer, &node), MN_E_INVALID);
    world_destroy(w);
}

/* The trees find what a search through all nodes finds. */
static void the_trees_find_the_best_node(void **state)
{
    world_t *w = world_create();
    uint64_t seed = 12345;
    (void)state;
    for (int i = 0; i < 50; i++) {
        char host[16];
        snprintf(host, sizeof host, "n%d", i);
        world_node(w, host, 1 + (uint32_t)(i * 7 % 32), (uint64_t)(1 + i * 5 % 16) * GIB);
    }
    for (int i = 0; i < 3000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint32_t cores = 1 + (uint32_t)(seed >> 40) % 8;
        uint64_t memory = (seed >> 50) % 5 * GIB / 2, best_memory = 0;
        uint32_t best = UINT32_MAX, best_cores = 0;
        for (uint32_t k = 0; k < w->core->node_count; k++) {
            const mni_node_t *node = w->core->nodes[k];
            uint64_t left = node->memory - node->memory_used;
            if (node->free_cores < cores || left < memory)
                continue;
            if (best == UINT32_MAX || node->free_cores < best_cores ||
                (node->free_cores == best_cores && left < best_memory)) {
                best = k;
                best_cores = node->free_cores;
                best_memory = left;
            }
        }
        mni_start_t wanted = {.declaration = JOB, .need = need(cores * 1000, memory)};
        wanted.id = world_id(w);
        mni_job_t *job;
        assert_int_equal(mni_core_start(w->core, w->now, &wanted, &job), 0);
        if (best == UINT32_MAX) {
            assert_int_equal(job->status, MN_PENDING);
            mni_core_cancel(w->core, w->now, job, NAN);
        } else {
            assert_int_equal(job->status, MN_RUNNING);
            mni_node_t *node = mni_job_runs(mni_record(job))->node;
            assert_int_equal(node->index, best);
        }
        if (seed >> 60 < 9) { /* one of those that run ends */
            for (mni_job_t *at = mni_core_older(w->core, NULL); at;
                 at = mni_core_older(w->core, at))
                if (at->task && (seed = seed * 25214903917u + 11) >> 62 == 0) {
                    mni_outcome_t outcome = {.reason = MN_REASON_RETURNED};
                    mni_core_task_ended(w->core, w->now, at->task, &outcome);
                    break;
                }
        }
        if (i % 50 == 0)
            world_take(w);
        else
            for (mni_action_t action; mni_core_next_action(w->core, &action);)
                ;
    }
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cores_are_compact),
        cmocka_unit_test(scattered_cores_are_used_when_there_are_no_others),
        cmocka_unit_test(shares_fill_a_core),
        cmocka_unit_test(no_core_is_fine),
        cmocka_unit_test(the_fullest_node_that_has_room),
        cmocka_unit_test(a_share_goes_to_the_node_where_shares_are),
        cmocka_unit_test(tasks_are_spread_over_workers),
        cmocka_unit_test(a_node_without_workers_is_not_used),
        cmocka_unit_test(the_trees_find_the_best_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
