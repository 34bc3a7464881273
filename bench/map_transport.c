/* SPDX-License-Identifier: MIT
 *
 * How the blocks of a map should move between ranks: nonblocking point-to-point messages, a block for each worker as
 * soon as it has done one, against rounds of MPI_Iscatterv and MPI_Igatherv over a communicator of caller and workers. Behind
 * docs/adr/0003-map-transport.md. Plain MPI, nothing of multinode:
 *
 *     mpicc -O2 bench/map_transport.c -o map_transport && mpirun -n 3 ./map_transport
 *
 * Prints a row for each way, block size and load: millions of items a second, median of five runs with their range.
 * Rank 0 only moves blocks; the others compute a hash of 64 bytes (about 20 ns) for each item, and in the uneven load
 * 1% of the items, all together, take 100 times as long.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS 1000000
#define ARGUMENT 64
#define RUNS 5
#define AHEAD 2 /* blocks that a worker has at a time, either way */
enum { TAG_HEADER = 1, TAG_WORK, TAG_DONE };

static int rank, size;
static uint8_t *arguments;
static uint64_t *results;
static int uneven;

/* Two large buffers, allocated and touched once: the rows compare messages, not page faults. */
static uint8_t *scratch[AHEAD];

static uint64_t hash(const uint8_t *item)
{
    uint64_t word, value = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < ARGUMENT; i += 8) {
        memcpy(&word, item + i, sizeof word);
        value = (value ^ word) * 0xff51afd7ed558ccdu;
        value ^= value >> 32;
    }
    return value;
}

static uint64_t work(const uint8_t *item, int index)
{
    uint64_t value = hash(item);
    if (uneven && index >= ITEMS / 2 && index < ITEMS / 2 + ITEMS / 100)
        for (int i = 0; i < 100; i++)
            value ^= hash(item) + (uint64_t)i * (value | 1);
    return value;
}

static void compute(const uint8_t *items, int first, int count, uint64_t *out)
{
    for (int i = 0; i < count; i++)
        out[i] = work(items + (size_t)i * ARGUMENT, first + i);
}

/* --- point to point: a worker that has done a block gets another, and has a second one meanwhile -------------- */

/* Caller: a block under way; its results are received where they belong. */
typedef struct flight {
    int header[2]; /* first, count; a count of 0 ends the worker */
    MPI_Request sends[2];
} flight_t;

static int fly(flight_t *flight, MPI_Request *done, int worker, int *next, int block)
{
    int first = *next, count = ITEMS - first < block ? ITEMS - first : block;
    MPI_Waitall(2, flight->sends, MPI_STATUSES_IGNORE);
    flight->header[0] = first;
    flight->header[1] = count;
    MPI_Isend(flight->header, 2, MPI_INT, worker, TAG_HEADER, MPI_COMM_WORLD, &flight->sends[0]);
    if (count == 0)
        return 0;
    MPI_Irecv(results + first, count, MPI_UINT64_T, worker, TAG_DONE, MPI_COMM_WORLD, done);
    MPI_Isend(arguments + (size_t)first * ARGUMENT, count * ARGUMENT, MPI_BYTE, worker, TAG_WORK,
              MPI_COMM_WORLD, &flight->sends[1]);
    *next += count;
    return count;
}

static void point_caller(int block)
{
    int count = AHEAD * (size - 1), next = 0, index;
    flight_t *flights = malloc((size_t)count * sizeof *flights);
    MPI_Request *done = malloc((size_t)count * sizeof *done);

    for (int i = 0; i < count; i++) {
        flights[i].sends[0] = flights[i].sends[1] = done[i] = MPI_REQUEST_NULL;
        fly(&flights[i], &done[i], 1 + i % (size - 1), &next, block);
    }
    while (MPI_Waitany(count, done, &index, MPI_STATUS_IGNORE), index != MPI_UNDEFINED)
        fly(&flights[index], &done[index], 1 + index % (size - 1), &next, block);
    for (int i = 0; i < count; i++)
        MPI_Waitall(2, flights[i].sends, MPI_STATUSES_IGNORE);
    free(flights);
    free(done);
}

static void point_worker(int block)
{
    int headers[AHEAD][2];
    MPI_Request ins[AHEAD], outs[AHEAD];
    uint64_t *out[AHEAD];
    int open = 0;

    for (int i = 0; i < AHEAD; i++) {
        out[i] = (uint64_t *)(void *)(scratch[i] + (size_t)block * ARGUMENT);
        outs[i] = ins[i] = MPI_REQUEST_NULL;
        MPI_Recv(headers[i], 2, MPI_INT, 0, TAG_HEADER, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (headers[i][1] > 0) {
            MPI_Irecv(scratch[i], headers[i][1] * ARGUMENT, MPI_BYTE, 0, TAG_WORK, MPI_COMM_WORLD,
                      &ins[i]);
            open++;
        }
    }
    for (int i = 0; open > 0; i = (i + 1) % AHEAD) {
        if (headers[i][1] == 0)
            continue;
        MPI_Wait(&ins[i], MPI_STATUS_IGNORE);
        MPI_Wait(&outs[i], MPI_STATUS_IGNORE);
        compute(scratch[i], headers[i][0], headers[i][1], out[i]);
        MPI_Isend(out[i], headers[i][1], MPI_UINT64_T, 0, TAG_DONE, MPI_COMM_WORLD, &outs[i]);
        MPI_Recv(headers[i], 2, MPI_INT, 0, TAG_HEADER, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (headers[i][1] > 0)
            MPI_Irecv(scratch[i], headers[i][1] * ARGUMENT, MPI_BYTE, 0, TAG_WORK, MPI_COMM_WORLD,
                      &ins[i]);
        else
            open--;
    }
    MPI_Waitall(AHEAD, outs, MPI_STATUSES_IGNORE);
}

/* --- collectives: rounds of one block for each worker, two rounds under way -------------------------------- */

typedef struct round {
    int *counts, *offsets, *out_counts, *out_offsets;
    int first, mine;
    uint8_t *in;
    uint64_t *out;
    MPI_Request request;
} round_t;

static void round_begin(round_t *round, int first, int block)
{
    round->first = first;
    for (int i = 0; i < size; i++) {
        int from = first + (i - 1) * block, count = i == 0 || from >= ITEMS ? 0 : block;
        if (count > 0 && from + count > ITEMS)
            count = ITEMS - from;
        round->counts[i] = count * ARGUMENT;
        round->offsets[i] = count ? from * ARGUMENT : 0;
        round->out_counts[i] = count * (int)sizeof(uint64_t);
        round->out_offsets[i] = count ? from * (int)sizeof(uint64_t) : 0;
    }
    round->mine = round->counts[rank] / ARGUMENT;
    MPI_Iscatterv(arguments, round->counts, round->offsets, MPI_BYTE, round->in,
                  round->counts[rank], MPI_BYTE, 0, MPI_COMM_WORLD, &round->request);
}

static void round_gather(round_t *round)
{
    MPI_Wait(&round->request, MPI_STATUS_IGNORE);
    if (rank != 0)
        compute(round->in, round->first + (rank - 1) * (round->counts[1] / ARGUMENT), round->mine,
                round->out);
    MPI_Igatherv(round->out, round->out_counts[rank], MPI_BYTE, results, round->out_counts,
                 round->out_offsets, MPI_BYTE, 0, MPI_COMM_WORLD, &round->request);
}

static void collective(int block)
{
    round_t rounds[AHEAD];
    int step = block * (size - 1), count = (ITEMS + step - 1) / step;
    for (int i = 0; i < AHEAD; i++) {
        rounds[i].counts = malloc(4 * (size_t)size * sizeof(int));
        rounds[i].offsets = rounds[i].counts + size;
        rounds[i].out_counts = rounds[i].offsets + size;
        rounds[i].out_offsets = rounds[i].out_counts + size;
        rounds[i].in = scratch[i];
        rounds[i].out = (uint64_t *)(void *)(scratch[i] + (size_t)block * ARGUMENT);
        rounds[i].request = MPI_REQUEST_NULL;
    }
    round_begin(&rounds[0], 0, block);
    for (int i = 0; i < count; i++) {
        round_t *now = &rounds[i % AHEAD], *ahead = &rounds[(i + 1) % AHEAD];
        if (i + 1 < count) {
            MPI_Wait(&ahead->request, MPI_STATUS_IGNORE);
            round_begin(ahead, (i + 1) * step, block);
        }
        round_gather(now);
    }
    for (int i = 0; i < AHEAD; i++) {
        MPI_Wait(&rounds[i].request, MPI_STATUS_IGNORE);
        free(rounds[i].counts);
    }
}

/* --- measuring ----------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check(void)
{
    for (int i = 0; i < ITEMS; i += 997)
        if (results[i] != work(arguments + (size_t)i * ARGUMENT, i)) {
            fprintf(stderr, "item %d has a wrong result\n", i);
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
}

static void measure(const char *way, int block)
{
    double rates[RUNS];
    for (int run = -1; run < RUNS; run++) {
        if (rank == 0)
            memset(results, 0, (size_t)ITEMS * sizeof *results);
        MPI_Barrier(MPI_COMM_WORLD);
        double begin = MPI_Wtime();
        if (way[0] == 'c')
            collective(block);
        else if (rank == 0)
            point_caller(block);
        else
            point_worker(block);
        MPI_Barrier(MPI_COMM_WORLD);
        if (rank == 0)
            check();
        if (run >= 0)
            rates[run] = ITEMS / (MPI_Wtime() - begin) * 1e-6;
    }
    qsort(rates, RUNS, sizeof rates[0], compare);
    if (rank == 0)
        printf("%-7s %-14s %8d %8.2f  (%.2f to %.2f)\n", uneven ? "uneven" : "even", way, block,
               rates[RUNS / 2], rates[0], rates[RUNS - 1]);
}

int main(int argc, char **argv)
{
    static const int blocks[] = {125000, 25000, 5000, 1000, 100};
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    arguments = malloc((size_t)ITEMS * ARGUMENT);
    results = malloc((size_t)ITEMS * sizeof *results);
    for (int i = 0; i < AHEAD; i++) {
        scratch[i] = malloc((size_t)ITEMS * (ARGUMENT + sizeof(uint64_t)));
        memset(scratch[i], 1, (size_t)ITEMS * (ARGUMENT + sizeof(uint64_t)));
    }
    for (size_t i = 0; i < (size_t)ITEMS * ARGUMENT; i++)
        arguments[i] = (uint8_t)(i * 2654435761u >> 13);
    if (rank == 0)
        printf("%-7s %-14s %8s %8s  Mitems/s, median of %d (range)\n", "load", "way", "block",
               "rate", RUNS);
    for (uneven = 0; uneven < 2; uneven++)
        for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
            measure("point-to-point", blocks[i]);
            measure("collective", blocks[i]);
        }
    free(arguments);
    for (int i = 0; i < AHEAD; i++)
        free(scratch[i]);
    free(results);
    MPI_Finalize();
    return 0;
}
