/* SPDX-License-Identifier: MIT
 *
 * The same maps written by hand in MPI: map_mpi LOAD static|dynamic RUNS. Prints the seconds of each run, the first ones
 * apart.
 *
 * static: MPI_Scatterv, each rank computes its share, MPI_Gatherv; run with two ranks. dynamic: rank 0 hands chunks to
 * the others, each the share of what is left that guided self-scheduling gives (Polychronopoulos and Kuck, IEEE
 * Transactions on Computers C-36, 1987), two of them under way for each; run with three ranks.
 */
#include "workload.h"

#include <mpi.h>

#define AHEAD 2
enum { TAG_HEADER = 1, TAG_WORK, TAG_DONE };

static int rank, size;
static const load_t *load;
static uint8_t *items, *mine;
static uint64_t *results, *out;

static void compute(const uint8_t *from, size_t count, uint64_t *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] = work_item(from + i * ITEM_BYTES);
}

static void run_static(void)
{
    int counts[64], offsets[64], out_counts[64], out_offsets[64], first = 0;

    for (int i = 0; i < size; i++) {
        int count = (int)(load->items * (size_t)(i + 1) / (size_t)size) - first;
        counts[i] = count * ITEM_BYTES;
        offsets[i] = first * ITEM_BYTES;
        out_counts[i] = count;
        out_offsets[i] = first;
        first += count;
    }
    MPI_Scatterv(items, counts, offsets, MPI_BYTE, mine, counts[rank], MPI_BYTE, 0, MPI_COMM_WORLD);
    compute(mine, (size_t)out_counts[rank], out);
    MPI_Gatherv(out, out_counts[rank], MPI_UINT64_T, results, out_counts, out_offsets, MPI_UINT64_T,
                0, MPI_COMM_WORLD);
}

typedef struct flight {
    int header[2]; /* first, count; 0 ends the worker's turn */
    MPI_Request sends[2];
} flight_t;

static void fly(flight_t *flight, MPI_Request *done, int worker, int *next)
{
    int left = (int)load->items - *next, count = (left + 2 * (size - 1) - 1) / (2 * (size - 1));
    MPI_Waitall(2, flight->sends, MPI_STATUSES_IGNORE);
    flight->header[0] = *next;
    flight->header[1] = count;
    MPI_Isend(flight->header, 2, MPI_INT, worker, TAG_HEADER, MPI_COMM_WORLD, &flight->sends[0]);
    if (count == 0)
        return;
    MPI_Irecv(results + *next, count, MPI_UINT64_T, worker, TAG_DONE, MPI_COMM_WORLD, done);
    MPI_Isend(items + (size_t)*next * ITEM_BYTES, count * ITEM_BYTES, MPI_BYTE, worker, TAG_WORK,
              MPI_COMM_WORLD, &flight->sends[1]);
    *next += count;
}

static void run_master(void)
{
    int count = AHEAD * (size - 1), next = 0, index;
    flight_t *flights = malloc((size_t)count * sizeof *flights);
    MPI_Request *done = malloc((size_t)count * sizeof *done);

    for (int i = 0; i < count; i++) {
        flights[i].sends[0] = flights[i].sends[1] = done[i] = MPI_REQUEST_NULL;
        fly(&flights[i], &done[i], 1 + i % (size - 1), &next);
    }
    while (MPI_Waitany(count, done, &index, MPI_STATUS_IGNORE), index != MPI_UNDEFINED)
        fly(&flights[index], &done[index], 1 + index % (size - 1), &next);
    for (int i = 0; i < count; i++)
        MPI_Waitall(2, flights[i].sends, MPI_STATUSES_IGNORE);
    free(flights);
    free(done);
}

static void run_worker(void)
{
    int headers[AHEAD][2], open = 0;
    size_t half = load->items / 2 + 1;
    MPI_Request ins[AHEAD], outs[AHEAD];

    for (int i = 0; i < AHEAD; i++) {
        outs[i] = ins[i] = MPI_REQUEST_NULL;
        MPI_Recv(headers[i], 2, MPI_INT, 0, TAG_HEADER, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (headers[i][1] > 0 && ++open)
            MPI_Irecv(mine + (size_t)i * half * ITEM_BYTES, headers[i][1] * ITEM_BYTES, MPI_BYTE, 0,
                      TAG_WORK, MPI_COMM_WORLD, &ins[i]);
    }
    for (int i = 0; open > 0; i = (i + 1) % AHEAD) {
        if (headers[i][1] == 0)
            continue;
        MPI_Wait(&ins[i], MPI_STATUS_IGNORE);
        MPI_Wait(&outs[i], MPI_STATUS_IGNORE);
        compute(mine + (size_t)i * half * ITEM_BYTES, (size_t)headers[i][1],
                out + (size_t)i * half);
        MPI_Isend(out + (size_t)i * half, headers[i][1], MPI_UINT64_T, 0, TAG_DONE, MPI_COMM_WORLD,
                  &outs[i]);
        MPI_Recv(headers[i], 2, MPI_INT, 0, TAG_HEADER, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (headers[i][1] > 0)
            MPI_Irecv(mine + (size_t)i * half * ITEM_BYTES, headers[i][1] * ITEM_BYTES, MPI_BYTE, 0,
                      TAG_WORK, MPI_COMM_WORLD, &ins[i]);
        else
            open--;
    }
    MPI_Waitall(AHEAD, outs, MPI_STATUSES_IGNORE);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc != 4 || size < 2 || size > 64) {
        fprintf(stderr, "usage: mpirun -n RANKS map_mpi LOAD static|dynamic RUNS\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    load = load_find(argv[1]);
    bool dynamic = strcmp(argv[2], "dynamic") == 0;
    items = malloc(load->items * ITEM_BYTES);
    mine = malloc((load->items + 2) * ITEM_BYTES);
    results = malloc(load->items * sizeof *results);
    out = malloc((load->items + 2) * sizeof *out);
    memset(mine, 1, (load->items + 2) * ITEM_BYTES);
    memset(out, 1, (load->items + 2) * sizeof *out);
    memset(results, 1, load->items * sizeof *results);
    if (rank == 0)
        load_fill(load, items);
    for (int run = -WARM_RUNS; run < atoi(argv[3]); run++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double begin = MPI_Wtime();
        if (!dynamic)
            run_static();
        else if (rank == 0)
            run_master();
        else
            run_worker();
        double seconds = MPI_Wtime() - begin;
        if (rank == 0) {
            load_check(load, items, results);
            printf("%s %.9f\n", run < 0 ? "warm" : "run", seconds);
        }
    }
    MPI_Finalize();
    return 0;
}
