/* SPDX-License-Identifier: MIT
 *
 * multinode inside an MPI code that was there before: heat in a plate, split into strips of rows
 * over the ranks.
 *
 *     mpirun -n 3 ./heat [--size N] [--steps N] [--every K] [--serial] [--threads-init]
 *
 * The plate's material conducts better towards one end. Every K steps the code wants to know which
 * uniform diffusivity describes the last K steps best: it tries 16 candidates in a coarse
 * one-dimensional model against the profile of row means, as a map over its own ranks' nodes, and
 * takes the time step from the winner. Then it goes on with its own messages. With --serial the
 * same scan is a plain loop and nothing of multinode is called; what is printed is the same to the
 * last digit, on any number of ranks.
 *
 * What makes a host code ready for this is marked (1) to (5). */
#include <mpi.h>
#include <multinode_mpi.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 512, CANDIDATES = 16 };

/* (1) What is to run elsewhere is a function with one argument and one result. Executors see the
 * program as it was at mn_prepare(), so all that came into being later travels in the argument. */
typedef struct trial {
    double diffusivity;
    double ratio; /* time step over the square of the grid spacing */
    int32_t size, steps;
    double before[MAX_SIZE], after[MAX_SIZE]; /* profiles */
} trial_t;

MN_FUNCTION(try_diffusivity, .cpu = 1, .memory = "64MiB");

/* Runs the coarse model from the one profile and returns how far it ends from the other. */
static double residual_of(const trial_t *trial)
{
    double now[MAX_SIZE + 2] = {0}, next[MAX_SIZE + 2] = {0}, sum = 0;
    double r = trial->diffusivity * trial->ratio;

    memcpy(now + 1, trial->before, (size_t)trial->size * sizeof *now);
    for (int step = 0; step < trial->steps; step++) {
        for (int i = 1; i <= trial->size; i++)
            next[i] = now[i] + r * (now[i - 1] - 2 * now[i] + now[i + 1]);
        memcpy(now + 1, next + 1, (size_t)trial->size * sizeof *now);
    }
    for (int i = 0; i < trial->size; i++)
        sum += (now[i + 1] - trial->after[i]) * (now[i + 1] - trial->after[i]);
    return sum / trial->size;
}

static int try_diffusivity(mn_task_t *task, mn_value_t input)
{
    trial_t trial;

    if (input.size != sizeof trial)
        return mn_fail(task, MN_E_INVALID, "a trial of %zu bytes", input.size);
    memcpy(&trial, input.data, sizeof trial);
    double residual = residual_of(&trial);
    return mn_yield(task, mn_bytes(&residual, sizeof residual));
}

/* ---- the host code ---- */

typedef struct options {
    int size, steps, every;
    bool serial, threads_init;
    const char *wrong; /* what on the command line, NULL if nothing */
} options_t;

typedef struct plate {
    int rank, ranks;
    int size;        /* rows and columns of the whole plate */
    int first, rows; /* this rank's strip */
    double ratio;
    double *now, *next;    /* (rows + 2) * size, with a halo row above and below */
    int *counts, *offsets; /* rows of each rank, for gathering */
} plate_t;

/* Conducts better towards the last row. `row` may be half-way between two rows. */
static double conductivity(const plate_t *plate, double row)
{
    return 1 + 0.5 * row / plate->size;
}

static double *row_of(const plate_t *plate, double *field, int local)
{
    return field + (size_t)local * (size_t)plate->size;
}

static int create_plate(const options_t *options, plate_t *plate)
{
    size_t cells;
    int n = options->size;

    MPI_Comm_rank(MPI_COMM_WORLD, &plate->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &plate->ranks);
    plate->size = n;
    plate->ratio = 0.1;
    plate->first = n * plate->rank / plate->ranks;
    plate->rows = n * (plate->rank + 1) / plate->ranks - plate->first;
    cells = (size_t)(plate->rows + 2) * (size_t)n;
    plate->now = calloc(cells, sizeof *plate->now);
    plate->next = calloc(cells, sizeof *plate->next);
    plate->counts = calloc((size_t)plate->ranks, sizeof *plate->counts);
    plate->offsets = calloc((size_t)plate->ranks, sizeof *plate->offsets);
    if (!plate->now || !plate->next || !plate->counts || !plate->offsets)
        return -1;
    for (int r = 0; r < plate->ranks; r++) {
        plate->offsets[r] = n * r / plate->ranks;
        plate->counts[r] = n * (r + 1) / plate->ranks - plate->offsets[r];
    }
    for (int i = 1; i <= plate->rows; i++) {
        double x = (plate->first + i - 0.5) / n;
        for (int j = 0; j < n; j++) {
            double y = (j + 0.5) / n;
            bool is_hot = x > 0.2 && x < 0.4 && y > 0.5 && y < 0.8;
            row_of(plate, plate->now, i)[j] = 16 * x * (1 - x) * y * (1 - y) + (is_hot ? 2 : 0);
        }
    }
    return 0;
}

static void destroy_plate(plate_t *plate)
{
    free(plate->now);
    free(plate->next);
    free(plate->counts);
    free(plate->offsets);
}

/* First and last row go to the neighbours; beyond the plate's ends it stays at zero. */
static void exchange_halos(plate_t *plate)
{
    int above = plate->rank > 0 ? plate->rank - 1 : MPI_PROC_NULL;
    int below = plate->rank + 1 < plate->ranks ? plate->rank + 1 : MPI_PROC_NULL;

    MPI_Sendrecv(row_of(plate, plate->now, 1), plate->size, MPI_DOUBLE, above, 1,
                 row_of(plate, plate->now, plate->rows + 1), plate->size, MPI_DOUBLE, below, 1,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Sendrecv(row_of(plate, plate->now, plate->rows), plate->size, MPI_DOUBLE, below, 2,
                 row_of(plate, plate->now, 0), plate->size, MPI_DOUBLE, above, 2, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
}

/* One explicit step. No heat leaves through the sides, so the row means obey a one-dimensional
 * equation. */
static void step_plate(plate_t *plate)
{
    int n = plate->size;

    exchange_halos(plate);
    for (int i = 1; i <= plate->rows; i++) {
        const double *up = row_of(plate, plate->now, i - 1), *here = row_of(plate, plate->now, i);
        const double *down = row_of(plate, plate->now, i + 1);
        double *out = row_of(plate, plate->next, i);
        double row = plate->first + i, k = conductivity(plate, row);
        double k_up = conductivity(plate, row - 0.5), k_down = conductivity(plate, row + 0.5);
        for (int j = 0; j < n; j++) {
            double left = here[j > 0 ? j - 1 : j], right = here[j + 1 < n ? j + 1 : j];
            out[j] =
                here[j] + plate->ratio * (k_up * (up[j] - here[j]) + k_down * (down[j] - here[j]) +
                                          k * (left - 2 * here[j] + right));
        }
    }
    double *swap = plate->now;
    plate->now = plate->next;
    plate->next = swap;
}

/* The mean of every row, on rank 0. Each is summed by one rank in one order, whatever the number of
 * ranks. */
static void gather_profile(plate_t *plate, double *profile)
{
    double own[MAX_SIZE];

    for (int i = 1; i <= plate->rows; i++) {
        double sum = 0;
        for (int j = 0; j < plate->size; j++)
            sum += row_of(plate, plate->now, i)[j];
        own[i - 1] = sum / plate->size;
    }
    MPI_Gatherv(own, plate->rows, MPI_DOUBLE, profile, plate->counts, plate->offsets, MPI_DOUBLE, 0,
                MPI_COMM_WORLD);
}

/* ---- the scan ---- */

static trial_t *make_trials(const plate_t *plate, int steps, const double *before,
                            const double *after)
{
    trial_t *trials = calloc(CANDIDATES, sizeof *trials);

    for (int i = 0; trials && i < CANDIDATES; i++) {
        trials[i] = (trial_t){.diffusivity = 0.8 + 0.05 * i,
                              .ratio = plate->ratio,
                              .size = plate->size,
                              .steps = steps};
        memcpy(trials[i].before, before, (size_t)plate->size * sizeof *before);
        memcpy(trials[i].after, after, (size_t)plate->size * sizeof *after);
    }
    return trials;
}

/* On all ranks. Rank 0 has the trials and gets the residuals. Returns 0, or a negative code on rank
 * 0. */
static int scan_with_multinode(const plate_t *plate, const trial_t *trials, double *residuals)
{
    mn_runtime_t *runtime = NULL;
    int rc = mn_open(MPI_COMM_WORLD, NULL,
                     &runtime); /* (3) collective; the runtime works on a duplicate */

    if (rc < 0) {
        if (plate->rank == 0)
            fprintf(stderr, "heat: mn_open: %s\n", mn_error_message());
        return rc;
    }
    if (plate->rank == 0) { /* (4) rank 0 has the whole interface, the others work */
        rc = trials
                 ? mn_map(mn_runtime_task(runtime), try_diffusivity, trials, CANDIDATES, residuals)
                 : MN_E_NO_MEMORY;
        if (rc < 0)
            fprintf(stderr, "heat: mn_map: %s\n", mn_error_message());
    } else {
        rc = mn_serve(runtime);
    }
    int closed = mn_close(&runtime); /* (5) collective; then the ranks are the host's alone again */
    if (closed < 0)
        fprintf(stderr, "heat: mn_close: %s\n", mn_error_message());
    return rc < 0 ? rc : closed;
}

static int scan_serially(const plate_t *plate, const trial_t *trials, double *residuals)
{
    if (plate->rank == 0 && !trials)
        return MN_E_NO_MEMORY;
    for (int i = 0; plate->rank == 0 && i < CANDIDATES; i++)
        residuals[i] = residual_of(&trials[i]);
    return 0;
}

/* Finds the best diffusivity for what happened since `before`, and sets the time step by it, on all
 * ranks. */
static int scan(const options_t *options, plate_t *plate, int step, double *before)
{
    double after[MAX_SIZE], residuals[CANDIDATES], answer[2];
    trial_t *trials = NULL;
    int rc, best = 0;

    gather_profile(plate, after);
    if (plate->rank == 0)
        trials = make_trials(plate, options->every, before, after);
    rc = options->serial ? scan_serially(plate, trials, residuals)
                         : scan_with_multinode(plate, trials, residuals);
    if (plate->rank == 0 && rc == 0) {
        for (int i = 1; i < CANDIDATES; i++)
            if (residuals[i] < residuals[best])
                best = i;
        printf("step %d: diffusivity %.12g, residual %.12g\n", step, trials[best].diffusivity,
               residuals[best]);
        plate->ratio = 0.12 / trials[best].diffusivity;
        memcpy(before, after, (size_t)plate->size * sizeof *after);
    }
    free(trials);
    answer[0] = rc;
    answer[1] = plate->ratio;
    MPI_Bcast(answer, 2, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    plate->ratio = answer[1];
    return rc < 0 ? rc : (int)answer[0];
}

static int run(const options_t *options, plate_t *plate)
{
    double profile[MAX_SIZE] = {0}, checksum = 0;

    gather_profile(plate, profile);
    for (int step = 1; step <= options->steps; step++) {
        step_plate(plate);
        if (step % options->every == 0 && scan(options, plate, step, profile) < 0)
            return 1;
    }
    gather_profile(plate, profile);
    if (plate->rank != 0)
        return 0;
    for (int i = 0; i < plate->size; i++)
        checksum += profile[i] * (1 + i);
    printf("checksum %.12g\nprofile", checksum);
    for (int i = 0; i < 8; i++)
        printf(" %.12g", profile[(2 * i + 1) * plate->size / 16]);
    printf("\n");
    return 0;
}

static int number(const char *text, int least, int most, const char **wrong)
{
    char *end = NULL;
    long value = text ? strtol(text, &end, 10) : 0;

    if (!text || !*text || *end || value < least || value > most)
        *wrong = text ? text : "a number is missing";
    return (int)value;
}

static options_t parse_options(int argc, char **argv)
{
    options_t options = {.size = 48, .steps = 60, .every = 20};

    for (int i = 1; i < argc && !options.wrong; i++) {
        if (strcmp(argv[i], "--serial") == 0)
            options.serial = true;
        else if (strcmp(argv[i], "--threads-init") == 0)
            options.threads_init = true;
        else if (strcmp(argv[i], "--size") == 0)
            options.size = number(argv[++i], 16, MAX_SIZE, &options.wrong);
        else if (strcmp(argv[i], "--steps") == 0)
            options.steps = number(argv[++i], 1, 1000000, &options.wrong);
        else if (strcmp(argv[i], "--every") == 0)
            options.every = number(argv[++i], 1, 1000000, &options.wrong);
        else
            options.wrong = argv[i];
    }
    return options;
}

int main(int argc, char **argv)
{
    options_t options = parse_options(argc, argv);
    plate_t plate = {0};
    int status = 0, threads;

    /* (2) Before MPI_Init: the processes that run user code are forked from one that has never seen
     * MPI. */
    if (!options.serial && mn_prepare() < 0) {
        fprintf(stderr, "heat: mn_prepare: %s\n", mn_error_message());
        return 1;
    }
    if (options.threads_init)
        MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &threads);
    else
        MPI_Init(&argc, &argv);

    MPI_Comm_rank(MPI_COMM_WORLD, &plate.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &plate.ranks);
    if (options.wrong || options.size < plate.ranks) {
        if (plate.rank == 0 && options.wrong)
            fprintf(stderr,
                    "heat: '%s' is not understood; --size 16..%d, --steps, --every, --serial, "
                    "--threads-init\n",
                    options.wrong, MAX_SIZE);
        else if (plate.rank == 0)
            fprintf(stderr, "heat: %d ranks for %d rows\n", plate.ranks, options.size);
        status = 2;
    } else if (create_plate(&options, &plate) < 0) {
        fprintf(stderr, "heat: no memory\n");
        MPI_Abort(MPI_COMM_WORLD, 1);
    } else {
        status = run(&options, &plate);
    }
    destroy_plate(&plate);
    MPI_Finalize();
    return status;
}
