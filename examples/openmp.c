/* SPDX-License-Identifier: MIT
 *
 * OpenMP inside a task: it uses all the cores that the task was granted, and no others.
 *
 *     cc -fopenmp -o openmp openmp.c $(pkg-config --cflags --libs multinode)
 *     multinode run ./openmp [CORES]
 *
 * Nothing has to be set: the process is bound to its cores, OMP_NUM_THREADS is their number, and OpenMP
 * in this program is told so. Without CORES the largest request that a node can satisfy is made. */
#include <multinode.h>

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

MN_JOB(integrate, .cpu = 1);

enum { STEPS = 20000000 };

typedef struct answer {
    double pi;
    int cores, threads, places; /* granted; that took part; that OpenMP sees */
} answer_t;

/* The area below 4 / (1 + x * x) between 0 and 1. */
static int integrate(mn_task_t *task, mn_value_t input)
{
    answer_t answer = {.cores = (int)mn_task_cpus(task), .places = omp_get_num_procs()};
    double sum = 0;
    int threads = 0;

    (void)input;
#pragma omp parallel reduction(+ : sum, threads)
    {
        threads += 1;
#pragma omp for
        for (int i = 0; i < STEPS; i++) {
            double x = (i + 0.5) / STEPS;
            sum += 4 / (1 + x * x);
        }
    }
    answer.pi = sum / STEPS;
    answer.threads = threads;
    return mn_yield(task, mn_bytes(&answer, sizeof answer));
}

/* Starts it with `cores`, or with as many as a node has when that is 0. */
static int start(int cores, mn_id_t *id)
{
    int most = cores > 0 ? cores : omp_get_num_procs();
    int rc = MN_E_IMPOSSIBLE;

    for (int cpu = most; cpu > 0 && rc == MN_E_IMPOSSIBLE; cpu = cores > 0 ? 0 : cpu - 1)
        rc = mn_start(integrate, mn_none(), &(mn_start_options_t){.cpu = cpu}, id);
    return rc;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    answer_t answer = {0};

    (void)task;
    if (start(argc > 1 ? atoi(argv[1]) : 0, &id) < 0 || mn_wait(id, -1, &info) < 0) {
        fprintf(stderr, "integrate: %s\n", mn_error_message());
        return 1;
    }
    if (info->status == MN_SUCCEEDED && info->result.size == sizeof answer)
        memcpy(&answer, info->result.data, sizeof answer);
    else
        fprintf(stderr, "integrate: %s\n", info->error ? info->error : "no result");
    printf("pi is %.6f\n", answer.pi);
    printf("%d threads on %d cores, %s\n", answer.threads, answer.cores,
           info->cpus ? info->cpus : "");
    bool right = fabs(answer.pi - acos(-1)) < 1e-9 && answer.threads == answer.cores &&
                 answer.places >= answer.cores; /* more: a core has several hyperthreads */
    mn_info_destroy(info);
    return right ? 0 : 1;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
