/* SPDX-License-Identifier: MIT
 *
 * The core on a large simulated cluster (bench/core_simulation.h), watched from outside: no core and no byte is granted
 * twice, no job is lost or run twice, and nothing starves: a request for a whole node gets one while small ones keep
 * coming. Nothing here depends on how fast it is. The seed is printed; MULTINODE_TEST_SEED repeats a run.
 */
#include "core_simulation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define HOLDS(call)                              \
    do {                                         \
        if (!(call))                             \
            fail_msg("%s", simulation_error(s)); \
    } while (0)

static simulation_t *create(uint32_t nodes)
{
    const char *text = getenv("MULTINODE_TEST_SEED");
    simulation_options_t options = {.nodes = nodes, .check = true};

    options.seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)options.seed);
    simulation_t *s = simulation_create(&options);
    assert_non_null(s);
    return s;
}

/* 500 nodes with 64 cores, 20,000 jobs of 20 shapes pending while as many come and go, until all have ended. */
static void every_job_runs_once_on_cores_of_its_own(void **state)
{
    simulation_t *s = create(500);
    simulation_counts_t counts;
    (void)state;
    HOLDS(simulation_fill(s, 20000));
    simulation_count(s, &counts);
    assert_int_equal(counts.pending, 20000);
    HOLDS(simulation_check_core(s));
    HOLDS(simulation_run(s, 20000));
    HOLDS(simulation_check_core(s));
    simulation_count(s, &counts);
    assert_true(counts.pending >= 20000);
    HOLDS(simulation_finish(s));
    HOLDS(simulation_check_core(s));
    simulation_count(s, &counts);
    assert_int_equal(counts.starts, counts.placements);
    assert_int_equal(counts.starts, counts.ends);
    simulation_destroy(s);
}

/* After some time small tasks are on all nodes, and none gets empty by itself. One shape after the other starves then
 * and has a node kept for it: for 30 s at most it goes without, then until a node has run empty, which with tasks that
 * run for a minute on average takes some minutes; and before it come the others that starve. */
static void a_whole_node_is_found_while_small_jobs_keep_coming(void **state)
{
    simulation_t *s = create(20);
    simulation_counts_t counts;
    double cores = 0;
    (void)state;
    HOLDS(simulation_fill(s, 1000));
    HOLDS(simulation_run(s, 150000));
    simulation_count(s, &counts);
    uint64_t wait = simulation_longest_wait(s, &cores);
    printf("%zu tasks run; longest wait: %llu placements of others, by a shape of %g cores\n",
           counts.running, (unsigned long long)wait, cores);
    /* As many placements as tasks run take a minute: this allows for a quarter of an hour. */
    assert_true(wait < 15 * counts.running);
    HOLDS(simulation_check_core(s));
    HOLDS(simulation_finish(s));
    simulation_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_runs_once_on_cores_of_its_own),
        cmocka_unit_test(a_whole_node_is_found_while_small_jobs_keep_coming),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
