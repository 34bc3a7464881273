/* SPDX-License-Identifier: MIT
 *
 * What an executor process does to itself: at its start (environment, session, limits), and between two tasks,
 * when it puts back what user code may have changed. Runs in executors only, in their main thread.
 */
#ifndef MNI_EXECUTOR_PROCESS_H
#define MNI_EXECUTOR_PROCESS_H

#include "executor/channel.h"

/* Removes OMPI_*, PMIX_*, PRTE_*, PMI_* and SLURM_* from the environment, keeping the originals as
 * MULTINODE_ORIG_*, and sets what makes a nested mpirun stay on the cores it inherits. Called once, in the spawner. */
void mni_process_clean_environment(void);

/* Remembers the state that mni_process_restore() puts back: working directory, umask, signal handlers and mask,
 * environment, locale, floating-point mode, priority. Once, at the start of an executor. */
int mni_process_remember(void);
/* Around user code: what it has to put back is known by then (the cores that the process is bound to), and whether it has
 * made a system call (trap.h). Without these two a task counts as one that has. */
void mni_process_enter_code(void);
void mni_process_leave_code(void);

/* At the end of a task that was code of the runtime's own: it has changed nothing of the process itself, and has at most started
 * others. So no more than that has to be looked at. */
void mni_process_own_code(void);

/* After a task. 0: the process is as it was and may take another task. 1: it must not be used again, because the
 * task left threads, child processes or timers behind, or closed a descriptor that is needed. Files that a task left
 * open stay open, like its static variables (closing them would give their numbers to other files); many of them
 * give 1. Idle threads of OpenMP are given back, not counted. Makes no system call when the task has made none. */
int mni_process_restore(void);

/* Writes out the C library's buffers and waits until the spawner has stored all that was written to standard output
 * and error, so that it is in the log areas. Bounded: gives up after a second; false then, because something still
 * writes, or the task has written over the log areas: the process must not be used again. */
bool mni_process_drain_output(mni_channel_t *channel);

/* usage.c: processor time of the tasks of this process, with the children that they waited for. */
void mni_usage_open(void); /* what was used so far is nobody's */
void mni_usage_begin(void);
uint64_t mni_usage_end(void); /* nanoseconds since the begin */

#endif
