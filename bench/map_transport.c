/* SPDX-License-Identifier: MIT
 *
 * How the blocks of a map should move between ranks: nonblocking point-to-point messages, a block for each worker as
 * soon as it is free, against rounds of MPI_Iscatterv and MPI_Igatherv over a communicator of caller and workers. Behind
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
#define TAG_WORK 1
#define TAG_DONE 2

typedef struct header {
    int32_t first, count;
} header_t;

static int rank, size;
static uint8_t *arguments;
static uint64_t *results;
static int uneven;

/* Two large buffers, allocated and touched once: the rows compare messages, not page faults. */
#define ROOM (sizeof(header_t) + (size_t)ITEMS * ARGUMENT)
static uint8_t *scratch[2];

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

/* --- point to point: a free worker gets the next block ---------------------------------------------------- */

static void send_block(int worker, int *next, int block, MPI_Request *request, uint8_t *buffer)
{
    header_t header = {*next, ITEMS - *next < block ? ITEMS - *next : block};
    memcpy(buffer, &header, sizeof header);
    memcpy(buffer + sizeof header, arguments + (size_t)header.first * ARGUMENT,
           (size_t)header.count * ARGUMENT);
    MPI_Isend(buffer, (int)(sizeof header + (size_t)header.count * ARGUMENT), MPI_BYTE, worker,
              TAG_WORK, MPI_COMM_WORLD, request);
    *next += header.count;
}

static void point_caller(int block)
{
    size_t room = sizeof(header_t) + (size_t)block * ARGUMENT;
    uint8_t **buffers = malloc((size_t)size * sizeof *buffers);
    MPI_Request *sends = malloc((size_t)size * sizeof *sends);
    uint8_t *in = scratch[1];
    int next = 0, done = 0;

    for (int worker = 1; worker < size; worker++) {
        buffers[worker] = scratch[0] + (size_t)(worker - 1) * room;
        sends[worker] = MPI_REQUEST_NULL;
        if (next < ITEMS)
            send_block(worker, &next, block, &sends[worker], buffers[worker]);
    }
    while (done < ITEMS) {
        MPI_Status status;
        header_t header;
        MPI_Recv(in, (int)(sizeof header + (size_t)block * sizeof(uint64_t)), MPI_BYTE,
                 MPI_ANY_SOURCE, TAG_DONE, MPI_COMM_WORLD, &status);
        memcpy(&header, in, sizeof header);
        memcpy(results + header.first, in + sizeof header, (size_t)header.count * sizeof(uint64_t));
        done += header.count;
        MPI_Wait(&sends[status.MPI_SOURCE], MPI_STATUS_IGNORE);
        if (next < ITEMS)
            send_block(status.MPI_SOURCE, &next, block, &sends[status.MPI_SOURCE],
                       buffers[status.MPI_SOURCE]);
    }
    for (int worker = 1; worker < size; worker++) {
        header_t end = {0, 0};
        MPI_Wait(&sends[worker], MPI_STATUS_IGNORE);
        MPI_Send(&end, sizeof end, MPI_BYTE, worker, TAG_WORK, MPI_COMM_WORLD);
    }
    free(buffers);
    free(sends);
}

static void point_worker(int block)
{
    uint8_t *in = scratch[0], *out = scratch[1];
    for (;;) {
        header_t header;
        MPI_Recv(in, (int)(sizeof header + (size_t)block * ARGUMENT), MPI_BYTE, 0, TAG_WORK,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        memcpy(&header, in, sizeof header);
        if (header.count == 0)
            return;
        memcpy(out, &header, sizeof header);
        compute(in + sizeof header, header.first, header.count,
                (uint64_t *)(void *)(out + sizeof header));
        MPI_Send(out, (int)(sizeof header + (size_t)header.count * sizeof(uint64_t)), MPI_BYTE, 0,
                 TAG_DONE, MPI_COMM_WORLD);
    }
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
    round_t rounds[2];
    int step = block * (size - 1), count = (ITEMS + step - 1) / step;
    for (int i = 0; i < 2; i++) {
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
        round_t *now = &rounds[i % 2], *ahead = &rounds[(i + 1) % 2];
        if (i + 1 < count) {
            MPI_Wait(&ahead->request, MPI_STATUS_IGNORE);
            round_begin(ahead, (i + 1) * step, block);
        }
        round_gather(now);
    }
    for (int i = 0; i < 2; i++) {
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
    for (int i = 0; i < 2; i++) {
        /* Room for a block of each worker with its header, which is less than twice the items. */
        scratch[i] = malloc(2 * ROOM);
        memset(scratch[i], 1, 2 * ROOM);
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
    free(scratch[0]);
    free(scratch[1]);
    free(results);
    MPI_Finalize();
    return 0;
}
