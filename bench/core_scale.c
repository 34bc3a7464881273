/* SPDX-License-Identifier: MIT
 *
 * What a decision of the scheduler's core costs, by how many jobs are pending: the cluster of
 * core_simulation.h, full, in a steady state in which tasks end and others take their places.
 *
 *     core_scale [--nodes N] [--placements N] [--seed N] [--check] [--json FILE]
 *
 * A decision is one placement of a task, its end included. In the time measured each also has the
 * start of the job that takes its place in the queue, so that as many stay pending, the removal of
 * the job that has ended, and the taking of all actions. Also given is the number of events: calls
 * that start, end or remove, and places given. Time is that of the CPU: the machine may be shared.
 *
 * Only the number of pending jobs differs between the sizes. Each begins as the same cluster with
 * 1,000 pending, which runs until as many tasks end as begin: at first large ones give way to many
 * small ones. Then the other jobs are added at the ends of the queues, and it runs on for a while
 * before anything is timed. What runs is told, so that one can see that it is the same. The sizes
 * take turns, so that what else the machine does meets all of them. Bytes for a pending job are
 * what malloc and the core's own pools have in use for those that were added, the scheduler's record
 * of each with 64 bytes of input and malloc's own share included. The part of the cores' time, by the
 * simulation's clock, that tasks had in the rounds says how well the places fit.
 *
 * With --check each action is checked from outside, the core from inside before and after each
 * round, and at the end all jobs run to their ends; the times then say nothing.
 */
#include "core_simulation.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZES 4
#define ROUNDS 5
#define SETTLED 0.98 /* ends for each placement, in a steady state */

static const size_t sizes[SIZES] = {1000, 10000, 100000, 1000000};

typedef struct row {
    simulation_t *simulation;
    double seconds[ROUNDS], events[ROUNDS]; /* of a round */
    double bytes;                           /* for each pending job */
    size_t running;
    double cores;                              /* of a running task, on average */
    double used[ROUNDS];                       /* part of the cores' time that tasks had */
    double rates[ROUNDS];                      /* placements a second, sorted */
    double rate, slowest, fastest, event_rate; /* median, range */
} row_t;

static struct {
    simulation_options_t simulation;
    uint64_t placements;
    const char *json;
} options = {.simulation = {.nodes = 10000, .seed = 1}, .placements = 400000};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t bytes_in_use(const row_t *row)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd + simulation_mapped(row->simulation);
}

/* Runs until as many tasks end as begin, or nearly, for as long as every task to have been replaced. */
static bool settle(row_t *row)
{
    simulation_counts_t before, after;

    do {
        simulation_count(row->simulation, &before);
        if (!simulation_run(row->simulation, 2 * before.running))
            return false;
        simulation_count(row->simulation, &after);
    } while ((double)(after.ends - before.ends) <
             SETTLED * (double)(after.placements - before.placements));
    return true;
}

static bool fill(row_t *row, size_t pending)
{
    size_t before;

    row->simulation = simulation_create(&options.simulation);
    if (!row->simulation) {
        fprintf(stderr, "core_scale: no memory for the simulation\n");
        return false;
    }
    if (!simulation_fill(row->simulation, sizes[0]) || !settle(row))
        return false;
    before = bytes_in_use(row);
    if (!simulation_fill(row->simulation, pending))
        return false;
    if (pending > sizes[0])
        row->bytes = (double)(bytes_in_use(row) - before) / (double)(pending - sizes[0]);
    return settle(row) && (!options.simulation.check || simulation_check_core(row->simulation));
}

static uint64_t events_of(const simulation_t *simulation)
{
    simulation_counts_t counts;
    simulation_count(simulation, &counts);
    return counts.starts + counts.placements + counts.ends + counts.removals;
}

static bool measure(row_t *row, int round)
{
    simulation_counts_t before, counts;
    uint64_t events = events_of(row->simulation);
    simulation_count(row->simulation, &before);
    double begin = seconds_now();

    if (!simulation_run(row->simulation, options.placements))
        return false;
    row->seconds[round] = seconds_now() - begin;
    row->events[round] = (double)(events_of(row->simulation) - events);
    simulation_count(row->simulation, &counts);
    row->running = counts.running;
    row->cores = counts.cores / (double)counts.running;
    row->used[round] = (counts.worked - before.worked) / (counts.offered - before.offered);
    return !options.simulation.check || simulation_check_core(row->simulation);
}

static bool check(row_t *row)
{
    double cores;
    uint64_t wait = simulation_longest_wait(row->simulation, &cores);

    printf("longest wait of a shape: %llu placements of others (%g cores)\n",
           (unsigned long long)wait, cores);
    return simulation_finish(row->simulation) && simulation_check_core(row->simulation);
}

static int by_value(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return one < other ? -1 : one > other;
}

static void summarize(row_t *row)
{
    double *rate = row->rates, events[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        rate[i] = (double)options.placements / row->seconds[i];
        events[i] = row->events[i] / row->seconds[i];
    }
    qsort(rate, ROUNDS, sizeof *rate, by_value);
    qsort(events, ROUNDS, sizeof *events, by_value);
    row->rate = rate[ROUNDS / 2];
    row->slowest = rate[0];
    row->fastest = rate[ROUNDS - 1];
    row->event_rate = events[ROUNDS / 2];
}

static void print_table(const row_t *rows)
{
    printf("%9s %9s %10s %6s %13s %23s %7s %8s %11s %6s\n", "pending", "running", "cores each",
           "in use", "decisions/s", "(range)", "ns each", "to 1,000", "events/s", "B/job");
    for (int i = 0; i < SIZES; i++) {
        printf("%9zu %9zu %10.2f %6.4f %13.0f (%9.0f .. %9.0f) %7.0f %8.2f %11.0f", sizes[i],
               rows[i].running, rows[i].cores, rows[i].used[ROUNDS - 1], rows[i].rate,
               rows[i].slowest, rows[i].fastest, 1e9 / rows[i].rate, rows[0].rate / rows[i].rate,
               rows[i].event_rate);
        printf(i == 0 ? "      -\n" : " %6.0f\n", rows[i].bytes);
    }
}

static int write_json(const row_t *rows)
{
    FILE *file = fopen(options.json, "w");

    if (!file)
        return -1;
    fprintf(file,
            "{\"bench\": \"core_scale\", \"nodes\": %u, \"seed\": %llu, \"checked\": %s,\n"
            " \"placements_per_round\": %llu, \"rounds\": %d, \"rows\": [\n",
            options.simulation.nodes, (unsigned long long)options.simulation.seed,
            options.simulation.check ? "true" : "false", (unsigned long long)options.placements,
            ROUNDS);
    for (int i = 0; i < SIZES; i++) {
        fprintf(file,
                "  {\"pending\": %zu, \"running\": %zu, \"cores_of_a_task\": %.3f,\n"
                "   \"decisions_per_second\": %.0f,\n"
                "   \"slowest\": %.0f, \"fastest\": %.0f, \"ns_per_decision\": %.1f,\n"
                "   \"ratio_to_1000\": %.3f, \"events_per_second\": %.0f,\n"
                "   \"bytes_per_pending_job\": %.1f, \"rates\": [",
                sizes[i], rows[i].running, rows[i].cores, rows[i].rate, rows[i].slowest,
                rows[i].fastest, 1e9 / rows[i].rate, rows[0].rate / rows[i].rate,
                rows[i].event_rate, rows[i].bytes);
        for (int round = 0; round < ROUNDS; round++)
            fprintf(file, "%s%.0f", round > 0 ? ", " : "", rows[i].rates[round]);
        fprintf(file, "], \"cores_in_use\": [");
        for (int round = 0; round < ROUNDS; round++)
            fprintf(file, "%s%.5f", round > 0 ? ", " : "", rows[i].used[round]);
        fprintf(file, "]}%s\n", i + 1 < SIZES ? "," : "");
    }
    fprintf(file, "]}\n");
    return fclose(file);
}

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *number >= least && *number <= most;
}

static int usage(void)
{
    fprintf(stderr, "usage: core_scale [--nodes N] [--placements N] [--seed N] [--check] "
                    "[--json FILE]\n");
    return 2;
}

static bool read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"nodes", required_argument, NULL, 'n'}, {"placements", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 's'},  {"check", no_argument, NULL, 'c'},
        {"json", required_argument, NULL, 'j'},  {NULL, 0, NULL, 0}};
    uint64_t number = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'c')
            options.simulation.check = true;
        else if (option == 'j')
            options.json = optarg;
        else if (option == 's' && read_number(optarg, 0, UINT64_MAX, &number))
            options.simulation.seed = number;
        else if (option == 'p' && read_number(optarg, 1, UINT32_MAX, &number))
            options.placements = number;
        else if (option == 'n' && read_number(optarg, 1, 1000000, &number))
            options.simulation.nodes = (uint32_t)number;
        else
            return false;
    }
    return optind == argc;
}

static bool run(row_t *rows)
{
    int i = 0;

    for (; i < SIZES; i++)
        if (!fill(&rows[i], sizes[i]))
            goto failed;
    for (int round = 0; round < ROUNDS; round++)
        for (i = 0; i < SIZES; i++)
            if (!measure(&rows[i], round))
                goto failed;
    for (i = 0; options.simulation.check && i < SIZES; i++)
        if (!check(&rows[i]))
            goto failed;
    return true;

failed:
    if (rows[i].simulation)
        fprintf(stderr, "core_scale: at %zu pending: %s\n", sizes[i],
                simulation_error(rows[i].simulation));
    return false;
}

int main(int argc, char **argv)
{
    row_t rows[SIZES] = {{0}};
    int status = 1;

    if (!read_options(argc, argv))
        return usage();
    printf("core_scale: %u nodes, seed %llu, %d rounds of %llu placements%s\n",
           options.simulation.nodes, (unsigned long long)options.simulation.seed, ROUNDS,
           (unsigned long long)options.placements,
           options.simulation.check ? ", checked: the times say nothing" : "");
    if (run(rows)) {
        status = 0;
        for (int i = 0; i < SIZES; i++)
            summarize(&rows[i]);
        print_table(rows);
        if (options.json && write_json(rows) != 0) {
            fprintf(stderr, "core_scale: cannot write %s: %s\n", options.json, strerror(errno));
            status = 1;
        }
    }
    for (int i = 0; i < SIZES; i++)
        simulation_destroy(rows[i].simulation);
    return status;
}
