/* SPDX-License-Identifier: MIT
 *
 * multinode run, inside: what was asked for (run.c), the command line of mpirun that it becomes
 * (launch.c), its beginning (begin.c), the guard
 * process that owns mpirun (guard.c) and the loop that watches over it all (supervise.c).
 *
 *     multinode run          reads signals and the terminal, speaks with rank 0 over the control line
 *      +- multinode (guard)  a session of its own; ends mpirun and every orphan, whatever happens to the command
 *          +- mpirun
 *              +- ranks
 */
#ifndef MNI_COMMAND_RUN_H
#define MNI_COMMAND_RUN_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* What the user asked for. */
typedef struct mni_run_options {
    long ranks;           /* 0: not said */
    const char *host;     /* --host, NULL: not said */
    const char *hostfile; /* --hostfile, NULL: not said */
    double grace;         /* seconds of a drain */
    double walltime;      /* seconds from now on, 0: not said */
    double lead;          /* seconds before its end, negative: not said */
    bool restart;         /* after a crash of the runtime, from the store */
    bool quiet, verbose, help;
    char **program; /* the program and its arguments, ended by NULL */
} mni_run_options_t;

/* Where the ranks will be. */
typedef struct mni_place {
    bool one_node;      /* known to be this node alone */
    unsigned nodes;     /* 0: not known */
    const char *source; /* what said so, for messages */
} mni_place_t;

/* launch.c */

/* Finds out from the options and the batch system's environment where the ranks will be. 0, or
 * MN_E_INVALID when a host file cannot be read or the first host is not this one. */
int mni_launch_place(const mni_run_options_t *options, mni_place_t *place);

/* Ranks when -n is not given: rank 0 and a worker per node, two on a lone node with two cores or
 * more. */
long mni_launch_default_ranks(const mni_place_t *place);

/* The private folders of a run; "" where there is none. */
typedef struct mni_folders {
    char private[PATH_MAX]; /* control socket, Open MPI's session */
    char shared[PATH_MAX];  /* in memory: segments of the ranks on one node */
} mni_folders_t;

/* Makes mpirun's arguments, to be freed with mni_launch_destroy(). `diagnostics`: number of the
 * descriptor for the messages of Open MPI's own. NULL and MN_E_NO_MEMORY's sentence on failure. */
char **mni_launch_arguments(const mni_run_options_t *options, const mni_place_t *place,
                            const mni_folders_t *folders);
void mni_launch_destroy(char **arguments);

/* Writes a word as a shell takes it, between quotes. */
void mni_launch_quote(FILE *text, const char *word);

/* Sets what mpirun itself reads from the environment. 0 or MN_E_SYSTEM. */
int mni_launch_environment(const mni_place_t *place, int diagnostics);

/* guard.c */

/* What the guard and the command tell each other. */
typedef enum mni_guard_kind {
    MNI_GUARD_STARTED = 1, /* guard: value is mpirun's pid */
    MNI_GUARD_FAILED,      /* guard: mpirun could not be executed; value is errno */
    MNI_GUARD_ENDED,       /* guard: mpirun has ended; value is its wait status */
    MNI_GUARD_TERMINATE,   /* command: end mpirun, gently first */
    MNI_GUARD_KILL         /* command: kill everything now */
} mni_guard_kind_t;

typedef struct mni_guard_message {
    uint32_t kind;
    int32_t value;
} mni_guard_message_t;

typedef struct mni_guard_plan {
    char **arguments; /* of mpirun */
    const mni_folders_t *folders;
    int input;        /* mpirun's standard input, -1: the command's own */
    int diagnostics;  /* kept open for mpirun */
    int closed[4];    /* the command's descriptors that the guard must not hold; -1: none */
    sigset_t signals; /* mask that mpirun begins with */
} mni_guard_plan_t;

/* Forks the guard, which starts mpirun. Its pid; `channel` receives the command's end of the
 * line to it (when the guard has done its work and gone, that ends). MN_E_SYSTEM. Call before
 * there is any thread. */
pid_t mni_guard_start(const mni_guard_plan_t *plan, int *channel);

/* Kills and collects all children of this process, which must be a subreaper, and theirs, until
 * none is left or `seconds` are over. True when none is left. */
bool mni_guard_sweep(double seconds);

/* Children of a process, at most `room`; how many there are. */
size_t mni_guard_children(pid_t parent, pid_t *children, size_t room);

/* ranks.c: the lowest rank that is no child of mpirun on this node; -1 if all are, or it cannot
 * be told now. */
long mni_guard_missing_rank(pid_t mpirun, long ranks);

/* Removes the folders with what is in them. */
void mni_guard_remove_folders(const mni_folders_t *folders);

/* supervise.c: runs it all; the exit status. */
int mni_supervise(const mni_run_options_t *options, const mni_place_t *place);

#endif
