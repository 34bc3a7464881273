/* SPDX-License-Identifier: MIT
 *
 * A run as the command sees it: shared by what begins it (begin.c) and what watches over it
 * (supervise.c).
 */
#ifndef MNI_COMMAND_SUPERVISE_H
#define MNI_COMMAND_SUPERVISE_H

#include "command/run.h"
#include "command/terminal.h"

/* How much of what Open MPI says is kept for the case that nothing starts. */
#define DIAGNOSTICS_KEPT 8192

typedef enum mni_step { STEP_NONE, STEP_STOP, STEP_TERMINATE, STEP_GIVE_UP } mni_step_t;

typedef struct mni_run {
    const mni_run_options_t *options;
    const mni_place_t *place;
    char path[108]; /* of the control socket */
    mni_folders_t folders;
    int listener, line, signals, channel, diagnostics; /* -1: closed */
    pid_t guard, mpirun;
    mni_terminal_t terminal;
    bool hello, ended, gave_up;
    int exit_status;   /* -1: not reported */
    int mpirun_status; /* wait status */
    int start_error;   /* errno of a failed exec */
    int signal;        /* the first that asked to end; 0: none */
    long missing;      /* the rank that was found missing, -1: none */
    unsigned strikes;
    uint64_t next_count;
    uint64_t begun;  /* when */
    mni_step_t step; /* what comes at the deadline */
    uint64_t deadline;
    char kept[DIAGNOSTICS_KEPT]; /* what Open MPI said of itself */
    size_t kept_size;
} mni_run_t;

/* Opens all that the loop listens to and starts the guard with mpirun. On failure the caller
 * still removes what is named in `run`. */
int mni_run_begin(mni_run_t *run);

/* What is known of the runs before this one, and where the next one will be. */
typedef struct mni_restarts {
    mni_run_options_t options;
    mni_place_t place;
    char *hosts; /* that are left, as for --host; NULL: all */
    bool begun;  /* the runtime has begun in one of them */
    int count;   /* in a row */
} mni_restarts_t;

/* restart.c: whether a run that has ended, with nothing left of it here, is to be started again. Says why, and waits until nothing
 * can be left of it elsewhere, and finds out which hosts are left. A signal that comes meanwhile is an answer to that, and decides the exit status. */
bool mni_restart(const mni_run_t *run, mni_restarts_t *restarts, int *status);

#endif
