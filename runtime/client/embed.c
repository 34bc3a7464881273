/* SPDX-License-Identifier: MIT
 *
 * The runtime inside an MPI program of somebody else: mn_prepare(), mn_open(), mn_serve(), mn_close().
 *
 * Rank 0 is scheduler and client in one thread: its calls go through a channel to itself, and instead of sleeping
 * they go round the rank's loop.
 */
#include <multinode_mpi.h>

#include "client/client.h"
#include "client/exec.h"
#include "client/main.h"
#include "core/declare.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/size.h"

#include <stdlib.h>

struct mn_runtime {
    mni_rank_t *rank;
    mn_task_t *task; /* rank 0 */
    bool first;
};

static mni_spawner_t *spawner; /* of mn_prepare(); ends with the process */
static mn_runtime_t *opened;   /* the one that is open */

int mn_prepare(void)
{
    int rc;
    if (spawner)
        return 0;
    if (mni_comm_initialized())
        return mni_error(MN_E_WRONG_KIND, "mn_prepare() must be called before MPI_Init()");
    if ((rc = mni_exec_declare()) < 0 || (rc = mni_declarations_freeze()) < 0)
        return rc;
    return mni_spawner_start(&spawner);
}

/* What this rank alone can find wrong. */
static int check_open(const mn_open_options_t *options, mni_rank_options_t *rank)
{
    int rc;
    if (!spawner)
        return mni_error(MN_E_NO_RUNTIME,
                         "mn_open() needs mn_prepare() to have been called before MPI_Init()");
    if (opened)
        return mni_error(MN_E_WRONG_KIND,
                         "a runtime is open already: close it with mn_close() first");
    if ((rc = mni_settings_read(rank)) < 0)
        return rc;
    rank->embedded = true;
    if (!options)
        return 0;
    if (options->cpus > MNI_MAX_CORES)
        return mni_error(MN_E_INVALID, "mn_open_options_t.cpus is %u: at most %d are possible",
                         options->cpus, MNI_MAX_CORES);
    rank->store = options->store;
    if (options->cpus)
        rank->cpus = options->cpus;
    if (options->memory && (rc = mni_size_parse(options->memory, &rank->memory)) < 0)
        return mni_error_prefix(rc, "mn_open_options_t.memory");
    return 0;
}

/* Collective: the first error that any rank has found, on all of them. */
static int agree(mni_comm_t *comm, int32_t mine)
{
    uint32_t size = mni_comm_size(comm);
    int32_t *all = calloc(size, sizeof *all);
    int rc = all ? mni_comm_exchange(comm, &mine, sizeof mine, all)
                 : mni_error(MN_E_NO_MEMORY, "no memory for %u ranks", size);
    for (uint32_t i = 0; rc == 0 && mine == 0 && i < size; i++)
        if (all[i] < 0)
            rc = mni_error(all[i], "rank %u cannot open the runtime: %s", i, mn_strerror(all[i]));
    free(all);
    return mine < 0 ? mine : rc;
}

static int open_runtime(mni_comm_t *comm, const mni_rank_options_t *options, mn_runtime_t *runtime)
{
    int rc = mni_rank_open(comm, spawner, options, &runtime->rank);
    /* Until rank 0 knows what all nodes offer it could not say what is possible. */
    while (rc == 0 && !mni_rank_ready(runtime->rank))
        rc = mni_rank_step(runtime->rank, MNI_MILLISECOND);
    while (rc == 0 && mni_rank_sending(runtime->rank))
        rc = mni_rank_step(runtime->rank, MNI_MILLISECOND);
    if (rc == 0 && runtime->first)
        rc = mni_client_open(mni_rank_client(runtime->rank), &runtime->task);
    return rc;
}

int mn_open(MPI_Comm mpi_comm, const mn_open_options_t *options, mn_runtime_t **runtime)
{
    mni_rank_options_t rank = {0};
    mni_comm_t *comm = NULL;
    mn_runtime_t *made = NULL;
    int rc;

    if (!runtime)
        return mni_error(MN_E_INVALID, "mn_open() has no place for the runtime: runtime is NULL");
    if (mpi_comm == MPI_COMM_NULL)
        return mni_error(MN_E_INVALID, "mn_open() was given MPI_COMM_NULL");
    if ((rc = mni_comm_open(&mpi_comm, &comm)) < 0)
        return rc;
    rc = check_open(options, &rank);
    if (rc == 0 && !(made = calloc(1, sizeof *made)))
        rc = mni_error(MN_E_NO_MEMORY, "no memory for a runtime");
    if ((rc = agree(comm, rc)) < 0) {
        mni_comm_close(comm);
        free(made);
        return rc;
    }
    made->first = mni_comm_rank(comm) == 0;
    if ((rc = open_runtime(comm, &rank, made)) < 0) {
        mni_rank_close(made->rank);
        free(made);
        return rc;
    }
    opened = made;
    *runtime = made;
    return 0;
}

mn_task_t *mn_runtime_task(mn_runtime_t *runtime)
{
    return runtime ? runtime->task : NULL;
}

static int serve(mn_runtime_t *runtime)
{
    int rc = 0;
    while (rc == 0 && !mni_rank_over(runtime->rank))
        rc = mni_rank_step(runtime->rank, MNI_NEVER);
    return rc;
}

int mn_serve(mn_runtime_t *runtime)
{
    if (!runtime || runtime != opened)
        return mni_error(MN_E_INVALID, "mn_serve() was given no open runtime");
    if (runtime->first)
        return mni_error(MN_E_INVALID, "mn_serve() is for the ranks other than 0");
    return serve(runtime);
}

int mn_close(mn_runtime_t **runtime)
{
    const char *error = NULL;
    int rc;

    if (!runtime || !*runtime || *runtime != opened)
        return mni_error(MN_E_INVALID, "mn_close() was given no open runtime");
    mn_runtime_t *closing = *runtime;
    if (closing->first) {
        mni_client_close();
        mni_rank_drain(closing->rank, MNI_DRAIN);
    }
    rc = serve(closing);
    if (rc == 0 && closing->first) {
        mni_rank_status(closing->rank, &error);
        if (error)
            rc = mni_error(MN_E_STORE, "%s", error);
    }
    mni_rank_close(closing->rank);
    free(closing);
    opened = NULL;
    *runtime = NULL;
    return rc;
}
