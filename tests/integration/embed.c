/* SPDX-License-Identifier: MIT
 *
 * The runtime inside an MPI program that has its own main() and its own traffic.
 *
 *     embed init|thread [FILE.h5]     MPI_Init or MPI_Init_thread; with a file, the last round is stored there
 *     embed unprepared                what comes without mn_prepare()
 *
 * Rank 0 of each communicator checks; all ranks agree at the end on how many checks have failed.
 */
#include "check.h"

#include <multinode_mpi.h>

MN_FUNCTION(square, .cpu = 0.2);
MN_FUNCTION(tower, .cpu = 1);
MN_JOB(sum_squares, .cpu = 0.1);
MN_JOB(hold, .cpu = 0.1);
MN_JOB(crash, .cpu = 0.1);

static int square(mn_task_t *task, mn_value_t input)
{
    int64_t number = value_int(input), result = number * number;
    return mn_yield(task, mn_bytes(&result, sizeof result));
}

static int tower(mn_task_t *task, mn_value_t input)
{
    int64_t depth = value_int(input), sum = 1;
    if (depth > 0) {
        int64_t below[2] = {depth - 1, depth - 1}, counts[2];
        int rc = mn_map(task, tower, below, 2, counts);
        if (rc < 0)
            return rc;
        sum = counts[0] + counts[1];
    }
    return mn_yield(task, mn_bytes(&sum, sizeof sum));
}

static int sum_squares(mn_task_t *task, mn_value_t input)
{
    int64_t numbers[100], squares[100], sum = 0, count = value_int(input);
    for (int64_t i = 0; i < 100; i++)
        numbers[i] = i < count ? i : 0;
    int rc = mn_map(task, square, numbers, 100, squares);
    for (int i = 0; rc == 0 && i < 100; i++)
        sum += squares[i];
    return rc < 0 ? rc : mn_yield(task, int_value(&sum));
}

static int hold(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    if (input.size > 0)
        roll_sign(path);
    int rc = mn_yield(task, mn_text("here"));
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    return rc;
}

static int crash(mn_task_t *task, mn_value_t input)
{
    (void)task, (void)input;
    abort();
}

/* --- the host's own traffic -------------------------------------------------------------------------------- */

/* A ring of messages with any tag that the host likes, and a reduction. */
static void own_traffic(MPI_Comm comm)
{
    int rank, size, got = -1, sum = 0;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    for (int tag = 0; tag < 20; tag++) {
        MPI_Sendrecv(&rank, 1, MPI_INT, (rank + 1) % size, tag, &got, 1, MPI_INT,
                     (rank + size - 1) % size, MPI_ANY_TAG, comm, MPI_STATUS_IGNORE);
        CHECK(got == (rank + size - 1) % size);
    }
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, comm);
    CHECK(sum == size * (size - 1) / 2);
}

/* --- what rank 0 does ----------------------------------------------------------------------------------------- */

enum { ITEMS = 5000 };

static void map_some(mn_task_t *task)
{
    static int64_t numbers[ITEMS], squares[ITEMS];
    int64_t depth = 5, count = 0;
    int wrong = 0;
    for (int i = 0; i < ITEMS; i++)
        numbers[i] = i;
    REQUIRE_CODE(mn_map(task, square, numbers, ITEMS, squares), 0);
    for (int i = 0; i < ITEMS; i++)
        wrong += squares[i] != (int64_t)i * i;
    CHECK(wrong == 0);
    CHECK_CODE(mn_map(task, tower, &depth, 1, &count), 0);
    CHECK(count == 32);
}

static void start_some(mn_task_t *task)
{
    mn_id_t ids[3], crashed;
    mn_info_t *info;
    int64_t count = 10;
    (void)task;
    for (int i = 0; i < 3; i++)
        REQUIRE_CODE(mn_start(sum_squares, int_value(&count), NULL, &ids[i]), 0);
    REQUIRE_CODE(mn_start(crash, mn_none(), NULL, &crashed), 0);
    for (int i = 0; i < 3; i++) {
        info = ENDED(ids[i], MN_SUCCEEDED, MN_REASON_RETURNED);
        if (info)
            CHECK(value_int(info->result) == 285);
        mn_info_destroy(info);
    }
    EXPECT_END(crashed, MN_FAILED, MN_REASON_SIGNAL);
}

static void misuse_on_rank_0(mn_task_t *task)
{
    mn_runtime_t *none = NULL;
    (void)task;
    CHECK_REFUSED(mn_serve(NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_close(NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_close(&none), MN_E_INVALID);
    CHECK_CODE(mn_prepare(), 0); /* again: fine */
    CHECK_REFUSED(mn_declare(MN_KIND_JOB, "late", hold, &(mn_spec_t){0}), MN_E_WRONG_KIND);
}

static bool holding; /* the job that is left running at the end of the round */
static roll_t roll;

static void leave_one_running(mn_task_t *task)
{
    mn_id_t id;
    (void)task;
    REQUIRE(roll_open(&roll));
    holding = true;
    REQUIRE_CODE(mn_start(hold, mn_text(roll.path), NULL, &id), 0);
    CHECK(await_yields(id, 1));
    CHECK(roll_await(&roll, 1));
}

/* --- a round ------------------------------------------------------------------------------------------------------ */

static void outside(void)
{
    mn_info_t *info = NULL;
    mn_id_t id;
    CHECK_REFUSED(mn_start(hold, mn_none(), NULL, &id), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_get((mn_id_t){{0}}, &info), MN_E_NO_RUNTIME);
    CHECK(mn_runtime_task(NULL) == NULL);
}

static void round_on(MPI_Comm comm, const mn_open_options_t *options, bool leave)
{
    mn_runtime_t *runtime = NULL, *second = NULL;
    int rank, rc;
    MPI_Comm_rank(comm, &rank);
    rc = mn_open(comm, options, &runtime);
    REQUIRE_CODE(rc, 0);
    CHECK_REFUSED(mn_open(comm, options, &second),
                  MN_E_WRONG_KIND); /* collective, on all of them */
    CHECK(second == NULL);
    if (rank == 0) {
        mn_task_t *task = mn_runtime_task(runtime);
        CHECK(task != NULL);
        CHECK_REFUSED(mn_serve(runtime), MN_E_INVALID);
        RUN(task, map_some);
        RUN(task, start_some);
        RUN(task, misuse_on_rank_0);
        if (leave)
            RUN(task, leave_one_running);
    } else {
        CHECK(mn_runtime_task(runtime) == NULL);
        if (rank % 2)
            CHECK_CODE(mn_serve(runtime),
                       0); /* the others go to mn_close() at once, which serves first */
    }
    CHECK_CODE(mn_close(&runtime), 0);
    CHECK(runtime == NULL);
    outside();
    if (rank == 0 && holding) {
        CHECK(roll_empty(&roll)); /* asked to stop, and gone */
        roll_close(&roll);
        holding = false;
    }
}

/* Each half of the ranks for itself, at the same time. */
static void round_on_halves(void)
{
    MPI_Comm half;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &half);
    round_on(half, &(mn_open_options_t){.cpus = 1}, false);
    own_traffic(half);
    MPI_Comm_free(&half);
}

static void refused_opens(void)
{
    mn_runtime_t *runtime = NULL;
    outside();
    CHECK_REFUSED(mn_open(MPI_COMM_NULL, NULL, &runtime), MN_E_INVALID);
    CHECK_REFUSED(mn_open(MPI_COMM_WORLD, NULL, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_open(MPI_COMM_WORLD, &(mn_open_options_t){.memory = "1GBB"}, &runtime),
                  MN_E_INVALID);
    CHECK_REFUSED(mn_open(MPI_COMM_WORLD, &(mn_open_options_t){.cpus = 1u << 30}, &runtime),
                  MN_E_INVALID);
    CHECK_REFUSED(
        mn_open(MPI_COMM_WORLD, &(mn_open_options_t){.store = "/nowhere/at/all.h5"}, &runtime),
        MN_E_STORE);
    CHECK(runtime == NULL);
}

static int unprepared(void)
{
    mn_runtime_t *runtime = NULL;
    CHECK_REFUSED(mn_prepare(), MN_E_WRONG_KIND); /* MPI is there already */
    CHECK_REFUSED(mn_open(MPI_COMM_WORLD, NULL, &runtime), MN_E_NO_RUNTIME);
    CHECK(runtime == NULL);
    own_traffic(MPI_COMM_WORLD);
    return check_state.failures;
}

static int prepared(const char *store)
{
    refused_opens();
    own_traffic(MPI_COMM_WORLD);
    round_on(MPI_COMM_WORLD, NULL, false);
    own_traffic(MPI_COMM_WORLD);
    round_on_halves();
    own_traffic(MPI_COMM_WORLD);
    round_on(MPI_COMM_WORLD, &(mn_open_options_t){.store = store, .memory = "1GiB"}, true);
    own_traffic(MPI_COMM_WORLD);
    return check_state.failures;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "init";
    bool prepare = strcmp(how, "unprepared") != 0;
    int provided, rank, failures, all = 0;

    check_begin();
    check_state.name = "embed";
    if (prepare) {
        outside();
        CHECK_CODE(mn_prepare(), 0);
        CHECK_CODE(mn_prepare(), 0);
    }
    if (strcmp(how, "thread") == 0)
        MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    else
        MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    alarm(CHECK_CASE_LIMIT);
    failures = prepare ? prepared(argc > 2 ? argv[2] : NULL) : unprepared();
    MPI_Allreduce(&failures, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    MPI_Finalize();
    if (rank == 0)
        printf("# %d failed\n", all);
    return all < 90 ? all : 90;
}
