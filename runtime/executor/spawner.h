/* SPDX-License-Identifier: MIT
 *
 * The spawner: a small process forked by each rank before MPI_Init, from which executors and the driver are
 * forked on request. It holds no MPI state, has one thread, keeps their standard output, reaps them, and kills
 * process trees. It shares with its rank a page with the rank's doorbell and a ring of events. When its rank goes
 * away (the socket between them closes) it kills all that it ever started, and ends.
 *
 * It is a subreaper, and so is every executor: whatever user code starts stays below its executor while that
 * lives and falls to the spawner when it dies. Where a cgroup can be had (v2 with cgroup.kill, or a v1 freezer)
 * each executor has one, and the kernel's list of it is what is killed.
 */
#ifndef MNI_EXECUTOR_SPAWNER_H
#define MNI_EXECUTOR_SPAWNER_H

#include "executor/channel.h"

#include <sys/resource.h>
#include <sys/types.h>

typedef struct mni_spawner mni_spawner_t;

/* What runs in a new process. Its return value is the exit status; buffers are flushed, but functions registered
 * with atexit() do not run (those of the program's main() are the rank's). No descriptor of the rank but these is open. For an executor: standard input is /dev/null,
 * standard output and error go to the log areas of its channel, it leads a session, dies with the spawner. The
 * driver has what is the rank's standard input, output and error when it is asked for, and the rank's process group,
 * and ignores SIGINT. Both write their standard output line by line.
 * Both see an environment without the MPI's and Slurm's variables (see process.h). */
typedef int mni_child_main_t(mni_channel_t *channel);

typedef struct mni_spawn {
    uint32_t
        slot;    /* caller's number for the child, repeated in its events; unique among live ones */
    bool driver; /* the driver rather than an executor */
    mni_child_main_t *main;
    int memfd; /* of its channel; not closed */
} mni_spawn_t;

typedef enum mni_spawn_event_kind {
    MNI_SPAWNED = 1,  /* pid is known; the child runs */
    MNI_SPAWN_FAILED, /* it could not be started: errnum says why */
    MNI_ENDED,        /* the child was reaped and nothing of its tree is left */
    MNI_SPAWNER_LOST  /* the spawner itself is gone; its executors died with it */
} mni_spawn_event_kind_t;

typedef struct mni_spawn_event {
    mni_spawn_event_kind_t kind;
    uint32_t slot;
    uint32_t seat; /* SPAWNED: for mni_spawner_limit() and its kin; the driver has no limit */
    pid_t pid;
    int status;          /* ENDED: as from waitpid() */
    int errnum;          /* SPAWN_FAILED */
    struct rusage usage; /* ENDED */
    uint64_t peak;       /* ENDED: of its memory, as from mni_spawner_peak() */
    uint64_t
        over; /* ENDED: bytes that it had when it was killed for having more than its limit; 0: it was not */
} mni_spawn_event_t;

/* Forks the spawner. Before MPI_Init and before any thread. */
int mni_spawner_start(mni_spawner_t **spawner);

/* The rank's doorbell: in memory shared with the spawner and all executors. */
mni_doorbell_t *mni_spawner_doorbell(mni_spawner_t *spawner);
/* Its descriptor in this process, for the other ranks of the node: they get the pid and this number by a message
 * and map it with mni_spawner_map_doorbell(). */
int mni_spawner_doorbell_descriptor(const mni_spawner_t *spawner);
/* Maps the doorbell of another rank of this node (same user). Unmapped with mni_spawner_unmap_doorbell(). */
int mni_spawner_map_doorbell(pid_t rank, int descriptor, mni_doorbell_t **bell);
void mni_spawner_unmap_doorbell(mni_doorbell_t *bell);

pid_t mni_spawner_pid(const mni_spawner_t *spawner);

/* How trees are killed here: "cgroup v2", "cgroup v1 freezer" or "subreaper". The best that works, or what
 * MULTINODE_KILL says (cgroup2, freezer, subreaper): mni_spawner_start() then fails with MN_E_IMPOSSIBLE where that
 * does not work. */
const char *mni_spawner_method(const mni_spawner_t *spawner);

/* Asks for a new process; MNI_SPAWNED or MNI_SPAWN_FAILED follows. MN_E_SYSTEM when the spawner is gone. */
int mni_spawner_spawn(mni_spawner_t *spawner, const mni_spawn_t *spawn);

/* Kills the tree of a slot; MNI_ENDED follows when nothing of it is left. Unknown slots are ignored. */
int mni_spawner_kill(mni_spawner_t *spawner, uint32_t slot);

/* How memory is limited here: "cgroup v2", "cgroup v1" or "watched". The best that works, or what MULTINODE_CONFINE says
 * (cgroup2, cgroup1, watch): mni_spawner_start() then fails with MN_E_IMPOSSIBLE where that does not work. */
const char *mni_spawner_confinement(const mni_spawner_t *spawner);

/* The memory that an executor may have from now on, in bytes; UINT64_MAX, as after MNI_SPAWNED: no limit. When it has more
 * its tree is killed, and MNI_ENDED says so. 0; MN_E_NO_MEMORY: it has more already; MN_E_SYSTEM. */
int mni_spawner_limit(mni_spawner_t *spawner, uint32_t slot, uint32_t seat, uint64_t bytes);
/* Whether an executor is at work: then its memory is watched, where it is not counted by a control group. Cheap. */
void mni_spawner_busy(mni_spawner_t *spawner, uint32_t slot, uint32_t seat, bool busy);
/* The most that it had since the last such call, or since it was spawned; 0: not known. */
uint64_t mni_spawner_peak(mni_spawner_t *spawner, uint32_t seat);
/* How many processes the kernel has killed for the limit, in this executor and in those that had its seat before. */
uint64_t mni_spawner_kills(const mni_spawner_t *spawner, uint32_t seat);

/* Has the spawner keep a descriptor open until it ends, after all that it ever started: a lock that is shared so tells
 * others that something of this run is still there. -1: it keeps none any more. The caller's own stays its own. */
int mni_spawner_hold(mni_spawner_t *spawner, int descriptor);

/* The dead man's handle: when the rank does not renew it for so many seconds, because it was stopped or hangs, the spawner kills all
 * that it started, and ends. Time in which the spawner did not run either does not count. 0: there is none, as at the beginning. Both cost a store. */
void mni_spawner_lease(mni_spawner_t *spawner, double seconds);
void mni_spawner_renew(mni_spawner_t *spawner, uint64_t now);

/* Takes the next event. False: none. Never blocks; the doorbell rings when there is one. */
bool mni_spawner_next_event(mni_spawner_t *spawner, mni_spawn_event_t *event);

/* Ends the spawner and all that is left below it; waits for that, at most `seconds`, then kills. The doorbell stays: threads
 * of the rank may go on ringing it until mni_spawner_destroy(). */
void mni_spawner_stop(mni_spawner_t *spawner, double seconds);
/* Gives back the memory of a spawner that was stopped, its doorbell's too. */
void mni_spawner_destroy(mni_spawner_t *spawner);

#endif
