/* SPDX-License-Identifier: MIT
 *
 * A cluster simulated around the scheduler's core: nodes, 20 shapes of jobs, and tasks that end at
 * random. It keeps the same number of jobs of each shape pending: for each job that gets a place
 * another of its shape is started. Only the urgent shapes are rare: always pending, they would be all
 * that runs. With `check` it watches the core from outside, knowing nothing
 * but the actions: who has which core and how much memory, where each job is in its life, and how
 * long each shape had to wait. Deterministic for a seed. Used by bench/core_scale.c and
 * tests/unit/test_core_scale.c; one thread.
 */
#ifndef MNI_BENCH_CORE_SIMULATION_H
#define MNI_BENCH_CORE_SIMULATION_H

#include "core/core.h"

#define SIMULATION_SHAPES 20
/* Bytes that rank 0 has for a job beside the core's: the scheduler's record (mni_data_t; it checks this), with 64 bytes of
 * input. */
#define SIMULATION_DATA (40 + 64)

typedef struct simulation_options {
    uint32_t nodes;
    uint64_t seed;
    bool check;
} simulation_options_t;

/* Counted since simulation_create(). */
typedef struct simulation_counts {
    uint64_t starts, placements, ends, removals;
    size_t pending, running;
    double cores;           /* of the tasks that run */
    double worked, offered; /* seconds of cores: had by tasks, and there in all */
} simulation_counts_t;

typedef struct simulation simulation_t;

/* NULL when there is no memory. */
simulation_t *simulation_create(const simulation_options_t *options);
void simulation_destroy(simulation_t *simulation);

/* Each of these returns false, with what is wrong in simulation_error(), when the core fails or
 * breaks an invariant. */

/* Starts jobs until all nodes are full and so many are pending, of each shape the same number; may be
 * called again for more. */
bool simulation_fill(simulation_t *simulation, size_t pending);
/* Ends tasks at random, and starts jobs so that as many stay pending, until so many more jobs got a
 * place. */
bool simulation_run(simulation_t *simulation, uint64_t placements);
/* Starts no more, ends tasks until nothing is left; each job that was started must have run once. */
bool simulation_finish(simulation_t *simulation);
/* mni_core_check(): everything counted anew, from inside. */
bool simulation_check_core(simulation_t *simulation);

/* mni_core_mapped(). */
size_t simulation_mapped(const simulation_t *simulation);

const char *simulation_error(const simulation_t *simulation);
void simulation_count(const simulation_t *simulation, simulation_counts_t *counts);
/* The longest that a shape of which jobs are or were pending got nothing, in placements of all shapes;
 * shapes of low priority are left out (only with `check`), and the cores of that shape. */
uint64_t simulation_longest_wait(simulation_t *simulation, double *cores);

#endif
