/* SPDX-License-Identifier: MIT
 *
 * Placement of GPUs, on the topology of a machine that has some (tests/topologies/gpus.xml): given once, near to the cores, not
 * lent, waited for, refused where there are none, and given on within a line.
 */
#include "core_world.h"

#include "machine/machine.h"

#include <limits.h>

static mni_need_t with_gpus(uint32_t millicores, uint32_t gpus)
{
    mni_need_t wanted = need(millicores, 0);
    wanted.gpus = gpus;
    return wanted;
}

/* Four cores at each of four NUMA nodes: 0 to 3 near GPUs 0 and 1, 8 to 11 near GPU 2, 8 to 15 in the package of GPU 3. */
static uint32_t add_machine(world_t *w, const char *host)
{
    const char *top = getenv("top_srcdir");
    char path[PATH_MAX];
    uint32_t node;
    mni_machine_t *machine = NULL;

    snprintf(path, sizeof path, "%s/tests/topologies/gpus.xml", top ? top : ".");
    mni_machine_options_t options = {.synthetic = path};
    if (mni_machine_open(&options, &machine) < 0)
        fail_msg("%s", mn_error_message());
    mni_node_offer_t offer = *mni_machine_offer(machine);
    offer.host = host;
    assert_int_equal(offer.gpus, 4);
    assert_int_equal(mni_core_node_add(w->core, &offer, &node), 0);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, node), 0);
    world_take(w);
    mni_machine_close(machine);
    return node;
}

static const mni_action_t *run_of(const world_t *w, const mni_job_t *job)
{
    for (size_t i = w->count; i-- > 0;)
        if (w->actions[i].kind == MNI_RUN && w->actions[i].job == job)
            return &w->actions[i];
    fail_msg("the job was not begun");
    return NULL;
}

static void expect(const world_t *w, const mni_job_t *job, uint64_t gpus, const char *cpus)
{
    const mni_action_t *run = run_of(w, job);
    assert_int_equal(run->gpus, gpus);
    assert_string_equal(cpus_text(run), cpus);
}

static void gpus_are_near_the_cores(void **state)
{
    world_t *w = world_create();
    (void)state;
    add_machine(w, "n0");
    expect(w, start(w, JOB, with_gpus(2000, 1)), 1 << 2, "8-9");   /* the fullest that has one */
    expect(w, start(w, JOB, with_gpus(2000, 2)), 0x3, "0-1");      /* both of a NUMA node */
    expect(w, start(w, JOB, with_gpus(4000, 1)), 1 << 3, "12-15"); /* of the package */
    expect(w, start(w, JOB, need(1000, 0)), 0, "10");
    world_destroy(w);
}

static void gpus_of_several_places(void **state)
{
    world_t *w = world_create();
    (void)state;
    add_machine(w, "n0");
    expect(w, start(w, JOB, with_gpus(1000, 3)), 0x7, "0"); /* no package has three */
    expect(w, start(w, JOB, with_gpus(8000, 1)), 1 << 3, "8-15");
    world_destroy(w);
}

/* Where no cores are left near to a GPU, far ones will do. */
static void far_is_better_than_never(void **state)
{
    world_t *w = world_create();
    mni_need_t half = with_gpus(500, 1);
    (void)state;
    add_machine(w, "n0");
    start(w, OTHER, need(12000, 0));
    const mni_action_t *large = action_of(w, MNI_RUN, 0);
    assert_false(mni_cpus_has(&large->cpus, 12) && mni_cpus_has(&large->cpus, 3));
    for (int i = 0; i < 4; i++)
        run_of(w, start(w, JOB, half)); /* two on a core */
    world_destroy(w);
}

static void each_is_given_once(void **state)
{
    world_t *w = world_create();
    mni_job_t *jobs[5];
    uint64_t given = 0, first = 0;
    (void)state;
    add_machine(w, "n0");
    for (int i = 0; i < 4; i++) {
        jobs[i] = start(w, JOB, with_gpus(1000, 1));
        const mni_action_t *run = run_of(w, jobs[i]);
        assert_int_equal(__builtin_popcountll(run->gpus), 1);
        assert_int_equal(given & run->gpus, 0);
        given |= run->gpus;
        first = i == 0 ? run->gpus : first;
    }
    jobs[4] = start(w, JOB, with_gpus(1000, 1));
    assert_int_equal(jobs[4]->status, MN_PENDING);
    /* Others are not held up by it. */
    assert_int_equal(start(w, OTHER, need(1000, 0))->status, MN_RUNNING);
    char text[256];
    mni_core_explain(w->core, jobs[4], text, sizeof text);
    assert_string_equal(
        text, "needs 1 core and 1 GPU; node n0 has 11 cores and 0 GPUs free; 0 tasks ahead of it");
    mni_node_use_t use;
    assert_true(mni_core_node_use(w->core, 0, &use));
    assert_int_equal(use.gpus, 4);
    assert_int_equal(use.gpus_free, 0);
    ended(w, jobs[0]->task, MN_REASON_RETURNED);
    assert_int_equal(run_of(w, jobs[4])->gpus, first);
    world_destroy(w);
}

static void the_node_that_has_them(void **state)
{
    world_t *w = world_create();
    (void)state;
    world_node(w, "plain", 64, 64 * GIB);
    uint32_t node = add_machine(w, "n1");
    world_node(w, "other", 2, 64 * GIB);
    assert_int_equal(run_of(w, start(w, JOB, with_gpus(1000, 1)))->node, node);
    assert_int_equal(run_of(w, start(w, JOB, with_gpus(100, 1)))->node, node);
    /* Lost with its worker, and waited for. */
    mni_job_t *job = start(w, JOB, with_gpus(1000, 2));
    mni_core_worker_lost(w->core, w->now, 1);
    world_take(w);
    assert_int_equal(job->status, MN_PENDING);
    assert_int_equal(start_fails(w, (mni_start_t){.declaration = JOB, .need = with_gpus(1000, 1)}),
                     MN_E_IMPOSSIBLE);
    node = add_machine(w, "n3");
    assert_int_equal(run_of(w, job)->node, node);
    world_destroy(w);
}

static void impossible_ones_are_refused(void **state)
{
    world_t *w = world_small(2, 4 * GIB);
    mni_start_t one = {.declaration = JOB, .need = with_gpus(1000, 1)};
    (void)state;
    assert_int_equal(start_fails(w, one), MN_E_IMPOSSIBLE);
    assert_string_equal(
        mn_error_message(),
        "job asks for 1 core and 1 GPU; the largest node, n0, has 2 cores, no GPU and 4 GiB");
    add_machine(w, "n1");
    one.need = with_gpus(1000, 5);
    one.need.memory = GIB;
    assert_int_equal(start_fails(w, one), MN_E_IMPOSSIBLE);
    assert_string_equal(
        mn_error_message(),
        "job asks for 1 core, 5 GPUs and 1 GiB; the largest node, n1, has 16 cores, 4 GPUs and 256 GiB");
    world_destroy(w);
}

/* A caller lends its cores to what it calls, and keeps its GPUs. */
static void gpus_are_not_lent(void **state)
{
    world_t *w = world_create();
    (void)state;
    add_machine(w, "n0");
    mni_job_t *job = start(w, JOB, with_gpus(16000, 3));
    uint64_t held = run_of(w, job)->gpus;
    assert_int_equal(demand(w, 1, job->task, F, with_gpus(1000, 1), 2), 0);
    const mni_action_t *slot = action_of(w, MNI_GRANT, 0);
    assert_int_equal(happened(w, MNI_GRANT), 1); /* there is one more */
    assert_int_equal(slot->gpus & held, 0);
    assert_int_equal(__builtin_popcountll(slot->gpus), 1);
    /* And what they themselves hold is never had by what they call. */
    assert_int_equal(demand(w, 2, slot->task, G, with_gpus(1000, 1), 1), 0);
    assert_int_equal(happened(w, MNI_REFUSE), 1);
    assert_non_null(
        strstr(refusal(w, 0), "g asks for 1 core and 1 GPU; node n0 has 16 cores, 4 GPUs"));
    assert_non_null(
        strstr(refusal(w, 0), "of which what waits for it holds 1 GPU (f), 3 GPUs (job)"));
    world_destroy(w);
}

/* What the head of a line had the next one has. */
static void a_line_hands_them_on(void **state)
{
    world_t *w = world_create();
    (void)state;
    add_machine(w, "n0");
    mni_job_t *first = start(w, JOB, with_gpus(1000, 4));
    mni_job_t *second = start(w, JOB, with_gpus(1000, 4)),
              *third = start(w, OTHER, with_gpus(1000, 4));
    assert_int_equal(mni_core_follow(w->core, w->now, first->task, 5), 1);
    world_take(w);
    assert_int_equal(run_of(w, second)->gpus, 0xf);
    ended(w, first->task, MN_REASON_RETURNED);
    assert_int_equal(third->status, MN_PENDING);
    ended(w, second->task, MN_REASON_RETURNED);
    assert_int_equal(run_of(w, third)->gpus, 0xf);
    world_destroy(w);
}

/* Something urgent that waits for a GPU comes before a line that would go on with it. */
static void a_line_gives_way(void **state)
{
    world_t *w = world_create();
    (void)state;
    add_machine(w, "n0");
    mni_job_t *first = start(w, JOB, with_gpus(1000, 4));
    start(w, JOB, with_gpus(1000, 4));
    mni_need_t urgent = with_gpus(1000, 2);
    urgent.priority = 1;
    start(w, OTHER, urgent);
    assert_int_equal(mni_core_follow(w->core, w->now, first->task, 5), 0);
    world_take(w);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpus_are_near_the_cores),  cmocka_unit_test(gpus_of_several_places),
        cmocka_unit_test(far_is_better_than_never), cmocka_unit_test(each_is_given_once),
        cmocka_unit_test(the_node_that_has_them),   cmocka_unit_test(impossible_ones_are_refused),
        cmocka_unit_test(gpus_are_not_lent),        cmocka_unit_test(a_line_hands_them_on),
        cmocka_unit_test(a_line_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
