/* SPDX-License-Identifier: MIT */
/**
 * @file multinode_mpi.h
 * multinode inside an MPI program that has its own main() and MPI_Init(): the few calls that take a communicator.
 *
 *     mn_prepare();                          // before MPI_Init
 *     MPI_Init(&argc, &argv);
 *     ...
 *     mn_open(comm, NULL, &runtime);         // collective on comm
 *     if (rank == 0)
 *         mn_map(mn_runtime_task(runtime), scan, points, n, answers);
 *     else
 *         mn_serve(runtime);                 // until rank 0 closes
 *     mn_close(&runtime);                    // collective on comm
 *
 * Rank 0 of the communicator is the scheduler; while it is in calls of multinode.h they make progress for the
 * runtime, between calls it is silent. The library's own threads never call MPI. User code runs in executor
 * processes that see the program as it was at mn_prepare(): what is set later must travel as an argument.
 * Rules on errors and ownership are those of multinode.h.
 */
#ifndef MULTINODE_MPI_H
#define MULTINODE_MPI_H

#include <mpi.h>
#include <multinode.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A runtime on a communicator. */
typedef struct mn_runtime mn_runtime_t;

/** Options of mn_open(); the same on every rank. Zero means: the default in brackets. */
typedef struct mn_open_options {
    const char *store;  /**< HDF5 file to which jobs and results are written at mn_close() [none] */
    unsigned cpus;      /**< cores that each node offers at most [what the process may use] */
    const char *memory; /**< memory that each node offers at most [what the process may use] */
} mn_open_options_t;

/** Forks the process from which executors come. Once per process, before MPI_Init() and before threads.
 * @return 0 (also when called again), MN_E_INVALID or MN_E_DUPLICATE for a malformed declaration (the message
 * names it), MN_E_WRONG_KIND if MPI is already initialized, MN_E_SYSTEM */
MN_API int mn_prepare(void);

/** Opens a runtime on a duplicate of `comm`. Collective; blocks until all ranks have called it. May be called
 * again after mn_close(), on the same or another communicator; one runtime at a time per process.
 * @param comm    any intracommunicator; it is duplicated
 * @param options NULL for none
 * @param runtime receives the runtime, on every rank
 * @return the same on all ranks: 0, MN_E_NO_RUNTIME (mn_prepare() was not called), MN_E_INVALID, MN_E_MPI,
 * MN_E_SYSTEM, MN_E_STORE, MN_E_WRONG_KIND (a runtime is open already, or the ranks run different programs) */
MN_API int mn_open(MPI_Comm comm, const mn_open_options_t *options, mn_runtime_t **runtime);

/** The handle for mn_map(), mn_call() and the like on rank 0; NULL on other ranks. Valid until mn_close(). */
MN_API mn_task_t *mn_runtime_task(mn_runtime_t *runtime);

/** On ranks other than 0: works for the runtime until rank 0 calls mn_close(). Blocks.
 * @return 0, MN_E_INVALID (NULL, or called on rank 0), MN_E_MPI */
MN_API int mn_serve(mn_runtime_t *runtime);

/** Closes the runtime: jobs that have not ended are asked to stop and then killed, executors end, the store
 * is written. Collective; sets *runtime to NULL. A rank that has not called mn_serve() serves first.
 * Blocks. @return 0, MN_E_STORE, MN_E_MPI, MN_E_INVALID */
MN_API int mn_close(mn_runtime_t **runtime);

#ifdef __cplusplus
}
#endif
#endif /* MULTINODE_MPI_H */
