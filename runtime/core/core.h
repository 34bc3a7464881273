/* SPDX-License-Identifier: MIT
 *
 * The scheduler's mind: jobs and their lifecycle, locks, queues, placement on cores and memory, slots for maps.
 * Pure: no MPI, no HDF5, no file descriptor, no clock. Events and the time go in, actions come out. Run by
 * rank 0's main thread only. The time `now` is in nanoseconds and never goes back.
 *
 * Words: a *job* is what a user started. A *task* is one grant of cores and memory on one worker: an attempt of a
 * job, or a *slot* in which a worker runs items of a map. Tasks form trees: the parent of a slot is the task that
 * called the map. A *demand* is what a caller's worker wants: up to `want` slots for one function.
 *
 * Every call that takes an event may leave actions behind, in order; the caller takes all of them with
 * mni_core_next_action() before it goes on. Errors (negative MN_E_*, with a sentence) change nothing.
 */
#ifndef MNI_CORE_CORE_H
#define MNI_CORE_CORE_H

#include <multinode.h>

typedef struct mni_core mni_core_t;

/* A core's place in its node, innermost first; the same number means the same L3 (NUMA node, package). */
typedef struct mni_core_place {
    uint16_t l3, numa, package;
} mni_core_place_t;

/* What a node offers. */
typedef struct mni_node_offer {
    const char *host; /* copied */
    uint32_t cores;   /* at most MNI_MAX_CORES */
    const mni_core_place_t
        *place;      /* one per core, in hwloc's logical order; copied; NULL: all in one */
    uint64_t memory; /* bytes */
    uint32_t gpus;   /* at most MNI_MAX_GPUS */
    const mni_core_place_t
        *gpu_place; /* one per GPU: the NUMA node and package of the cores that are near it, or
                                          MNI_NOWHERE; its L3 says nothing; copied; NULL: all nowhere */
    const char *topology; /* a line for people; copied; NULL: none */
    uint32_t rank;        /* that found all this */
} mni_node_offer_t;

#define MNI_MAX_CORES 1024
#define MNI_MAX_GPUS 64
#define MNI_NOWHERE UINT16_MAX

/* A set of a node's cores, by index into its offer. */
typedef struct mni_cpus {
    uint64_t bits[MNI_MAX_CORES / 64];
} mni_cpus_t;

/* What one task needs, and the limits that apply to it. All fields are resolved: no "default" values here. */
typedef struct mni_need {
    uint32_t
        millicores; /* 1 to 999: a share of one core; else whole cores times 1000; 0: none at all */
    uint32_t gpus;  /* whole ones, to itself */
    uint64_t memory;          /* bytes, 0: none asked */
    uint32_t max_concurrency; /* UINT32_MAX: no limit; counted per declaration */
    uint32_t max_retries;
    uint32_t max_lost;
    int32_t priority;
    double
        timeout; /* seconds per attempt, INFINITY: none (jobs only; items are timed by the worker) */
    double grace; /* seconds */
} mni_need_t;

/* What only some jobs have; NULL when none. */
typedef struct mni_names {
    const char *lock, *tag, *key;
} mni_names_t;

/* A job, as the upper layers see it. Read-only; lives until MNI_FORGET of it. */
typedef struct mni_job {
    mn_id_t id;
    mn_status_t status;
    mn_reason_t reason;
    uint32_t declaration;
    uint32_t attempts; /* tasks begun */
    uint64_t task;     /* the task that runs it, 0 when none */
    void *user;        /* of the layer above: input, result, waiters; not touched by the core */
    char *error;       /* a sentence when FAILED, else NULL */
    const mni_names_t *names; /* NULL: none; see mni_job_lock() and its like */
    uint32_t retries, lost;   /* of the attempts, again after an error; after a lost worker */
    mni_need_t need;
} mni_job_t;

/* NULL: it has none. */
static inline const char *mni_job_lock(const mni_job_t *job)
{
    return job->names ? job->names->lock : NULL;
}
static inline const char *mni_job_tag(const mni_job_t *job)
{
    return job->names ? job->names->tag : NULL;
}
static inline const char *mni_job_key(const mni_job_t *job)
{
    return job->names ? job->names->key : NULL;
}

/* Options of a start. */
typedef struct mni_start {
    mn_id_t id; /* made by the caller */
    uint32_t declaration;
    mni_need_t need;
    const char *lock, *tag, *key; /* copied; NULL when none */
    uint64_t parent;              /* task that starts it; 0 from the driver or outside */
    bool cancel_with_parent;
    void *user;
} mni_start_t;

/* How a task ended. */
typedef struct mni_outcome {
    mn_reason_t
        reason; /* RETURNED, ERROR, EXITED, SIGNAL, OUT_OF_MEMORY, KILLED, ... as the worker saw it */
    const char *error; /* a sentence, NULL when RETURNED */
} mni_outcome_t;

typedef enum mni_action_kind {
    MNI_RUN = 1, /* begin the attempt `job->attempts` of `job` as `task` on `rank`, on `cpus`; with
                    `behind` not 0, when that task has ended: see mni_core_follow() */
    MNI_GRANT,   /* a slot `task` on `rank`, on `cpus`, for `demand` */
    MNI_REFUSE, /* `demand` can never proceed: `code` and `error`; the demand is gone, slots that it
                    still has are the caller's to release. With demand 0: the mni_core_wait() of
                    `task` for `job` can never end, and is gone */
    MNI_STOP,   /* ask `task` on `rank` to stop, with `code`; the core counts the grace itself */
    MNI_KILL, /* kill the process tree of `task` on `rank`; mni_core_task_ended() must follow. `reason`;
                 INTERRUPTED for a slot: it is put back, to make room for what other slots of its map
                 wait for; the items it had are to be run again in other slots, uncounted */
    MNI_CHANGED, /* `job` has a new status (or a new reason): tell waiters, write to the store */
    MNI_FORGET /* `job` was removed: free job->user, answer who waits for the removal. The last that is
                      seen of it: valid until the next call into the core */
} mni_action_kind_t;

typedef struct mni_action {
    mni_action_kind_t kind;
    uint32_t rank;
    uint64_t task;
    uint64_t demand;
    uint64_t behind; /* RUN: the task right before it in its line; 0: it begins at once */
    mni_job_t *job;  /* RUN, CHANGED, FORGET; STOP and KILL of a job's own task; REFUSE of a wait;
                        else NULL */
    uint32_t node;
    int code; /* STOP: MN_E_CANCELLED or MN_E_INTERRUPTED; REFUSE: the error */
    mn_reason_t reason;
    const char *error; /* REFUSE: valid until the next call into the core */
    uint64_t gpus;     /* RUN, GRANT: bits: the GPUs, by index into the node's offer */
    mni_cpus_t cpus;   /* RUN, GRANT only: the cores; for a share of a core, that core */
} mni_action_t;

int mni_core_create(mni_core_t **core);
void mni_core_destroy(
    mni_core_t *core); /* frees all jobs; `user` is the caller's to free first (see each) */

/* Nodes and workers. A node needs at least one worker to be used; jobs of a node are spread over its workers,
 * the one with fewest running tasks first. A slot on its caller's node belongs to the caller's rank. */
int mni_core_node_add(mni_core_t *core, const mni_node_offer_t *offer, uint32_t *node);
int mni_core_worker_add(mni_core_t *core, uint32_t rank, uint32_t node);

/* The rank of the driver, on a node where others are the workers: it has the slots there of what the driver calls, and no
 * others. Never lost. */
int mni_core_guest_add(mni_core_t *core, uint32_t rank, uint32_t node);

/* The worker is gone with all its tasks, and they are known to be dead. Jobs go back to PENDING, counted
 * against max_lost, or end FAILED, reason worker-lost; slots vanish (their demand stays, and gets others);
 * demands of callers on that worker vanish with them. */
void mni_core_worker_lost(mni_core_t *core, uint64_t now, uint32_t rank);

/* Declares what jobs and functions are called, for messages. Indexes are given by the caller, dense from 0. */
int mni_core_declare(mni_core_t *core, uint32_t declaration, const char *name);

const char *mni_core_declared(const mni_core_t *core, uint32_t declaration); /* its name */

/* Starts a job: PENDING, and RUN follows when it has room. With a key that is known *job is the earlier job
 * and 1 is returned. Errors: MN_E_LOCK_IN_USE (names the holder's id), MN_E_IMPOSSIBLE (names what is asked,
 * and the largest node), MN_E_INTERRUPTED (draining), MN_E_NO_MEMORY,
 * MN_E_CANCELLED (cancel_with_parent, and the parent was asked to stop or has ended),
 * MN_E_INVALID, MN_E_UNDECLARED. */
int mni_core_start(mni_core_t *core, uint64_t now, const mni_start_t *start, mni_job_t **job);

/* A job of an earlier run. */
typedef struct mni_restore {
    mni_start_t start; /* no parent */
    mn_id_t parent; /* an unfinished job, restored before it, whose cancel reaches it; nil: none */
    mn_status_t status; /* PENDING, or one that has ended */
    mn_reason_t reason;
    uint32_t attempts, retries, lost;
    const char *error; /* copied; NULL when none */
} mni_restore_t;

/* Puts it back, before anything is started: as it was when it has ended, else at the end of its queue. What the nodes are is not
 * known then: a PENDING one that no node can run waits; and so does for good one with the reason UNDECLARED. MN_E_NO_MEMORY, MN_E_INVALID (its id or lock is there already). */
int mni_core_restore(mni_core_t *core, uint64_t now, const mni_restore_t *restore, mni_job_t **job);

/* Whether a need could be met by some node when it is empty; MN_E_IMPOSSIBLE otherwise, as above. */
int mni_core_possible(const mni_core_t *core, const char *name, const mni_need_t *need);

/* A task of the core has ended and its whole process tree is gone. Slots: only after RELEASE or KILL, or when
 * the worker cannot go on with it. Unknown tasks are ignored (a late message). What follows for a job:
 *   asked to stop by a cancel    -> CANCELLED, reason cancelled (or killed, when the core had it killed)
 *   INTERRUPTED, as its worker saw it (all of its node is being ended)
 *                                -> PENDING, reason interrupted, the attempt not counted
 *   asked to stop by a drain     -> PENDING, reason interrupted, the attempt not counted
 *   put back (see below)         -> PENDING, reason interrupted, the attempt not counted
 *   killed for its timeout       -> as an error, reason timeout
 *   RETURNED                     -> SUCCEEDED
 *   anything else                -> PENDING again while retries are left, else FAILED with reason and error
 * Its demands and slots are cancelled first: a job's status becomes terminal, and its lock free, only when
 * its own task and all slots below it have ended. */
void mni_core_task_ended(mni_core_t *core, uint64_t now, uint64_t task,
                         const mni_outcome_t *outcome);

/* Lets a worker run ahead: takes up to `most` PENDING jobs from the queue of the job that `task` is an
 * attempt of, in its order, and makes them *followers*: each is RUNNING, with a task of its own on the
 * same rank, node and cores, and is to begin when the one right before it in the line has ended (RUN
 * with `behind`). Only the head of a line holds cores and memory and counts for max_concurrency; when
 * it ends, however, the first follower gets all that at once. `task` may itself be in a line: the new
 * ones come last. Returns how many were taken; 0 when `task` is no live attempt of a job, or it or the
 * head of its line was asked to stop or waits, or runs on lent cores, or when draining. It takes no
 * more where a job of another queue would get the place if the head ended now, where the node is kept
 * for another queue, and where the next job has a timeout, which would run while it waits.
 *
 * The worker runs a line in its order; a RUN behind a task that has ended begins at once. When a task
 * of it begins to wait (mni_core_demand(), mni_core_wait()), those behind it are to be returned, since
 * what it waits for may be one of them: while there are followers the core resolves no deadlock.
 * A STOP or KILL may come for a follower as for any task: it is returned, or has ended. A follower
 * may end before the one in front of it. Those of a worker that is lost are PENDING again, uncounted. */
int mni_core_follow(mni_core_t *core, uint64_t now, uint64_t task, uint32_t most);

/* The worker gives back a task of a job that has not begun. Its job is PENDING again, at the front of
 * its queue, the attempt not counted; or CANCELLED when it was cancelled; after a drain's STOP the
 * reason is interrupted. Of several the last of the line is best returned first. Others than
 * followers may be returned too. Unknown tasks and slots are ignored. */
void mni_core_task_returned(mni_core_t *core, uint64_t now, uint64_t task);

/* A caller's worker wants up to `want` (at least 1) slots for a function; `demand` is its own number, unique
 * among live demands. From then on the caller counts as waiting: its cores are lent, to its descendants first,
 * and each slot may use cores lent by its ancestors as well as free ones. Grants may come at any time until the
 * demand is closed. MN_E_IMPOSSIBLE as above; MN_E_NO_JOB if the caller is unknown; MN_E_CANCELLED or
 * MN_E_INTERRUPTED when it is asked to stop already. caller 0 is the driver: no cores to lend, no job. */
int mni_core_demand(mni_core_t *core, uint64_t now, uint64_t demand, uint64_t caller,
                    uint32_t declaration, const mni_need_t *need, uint32_t want);

/* Changes how many slots are wanted at a time; at or below those that it has: no more come. A slot
 * that was released, ended or was lost is granted anew while the demand has fewer than it wants: who
 * needs no more lowers `want` first, or closes. */
void mni_core_demand_want(mni_core_t *core, uint64_t now, uint64_t demand, uint32_t want);

/* A slot is given back: it runs nothing and its executor is idle or gone. */
void mni_core_slot_release(mni_core_t *core, uint64_t now, uint64_t task);

/* The caller is done with a demand: no more grants; slots not released yet are still the caller's to release
 * (or end). The caller no longer waits for it. */
void mni_core_demand_close(mni_core_t *core, uint64_t now, uint64_t demand);

/* A task waits for the end of a job (mn_wait in a task) or no longer does (`id` NULL). While it does it lends
 * its cores to that job and its descendants. When a job waits for itself, or in a circle, or for a job
 * that waits for what it holds: MN_E_DEADLOCK with a sentence naming the circle. caller 0: nothing happens. */
int mni_core_wait(mni_core_t *core, uint64_t now, uint64_t caller, const mn_id_t *id);

/* Cancels a job. `grace` in seconds, negative: kill at once, NaN: the job's own. Returns 1 when it was terminal.
 * Reaches slots below it, and jobs started with cancel_with_parent from any task of its tree. A second cancel
 * with a shorter grace shortens it. */
int mni_core_cancel(mni_core_t *core, uint64_t now, mni_job_t *job, double grace);

/* Removes a job: cancels first if it is not terminal; FORGET follows, at once or when it has ended. */
int mni_core_remove(mni_core_t *core, uint64_t now, mni_job_t *job);

/* No more starts and no new tasks: running jobs are asked to stop with MN_E_INTERRUPTED, and killed when
 * `grace` seconds are over. Demands and slots of the driver (caller 0) are stopped too. */
void mni_core_drain(mni_core_t *core, uint64_t now, double grace);

/* Tells when the run will be over and drain, before any job is there. From then on no attempt begins whose timeout would not be over
 * by then: its job stays PENDING, for the next run. Not so one whose timeout is longer than the whole run, which would never
 * begin: it is to go on over several. Items of maps belong to what runs already. */
void mni_core_over_at(mni_core_t *core, uint64_t now, uint64_t at);

/* Lets due times pass: timeouts, graces, reservations. */
void mni_core_tick(mni_core_t *core, uint64_t now);

/* When mni_core_tick() should be called next; UINT64_MAX: not needed. */
uint64_t mni_core_next_time(const mni_core_t *core);

/* Takes the oldest action. False: none is left. */
bool mni_core_next_action(mni_core_t *core, mni_action_t *action);

mni_job_t *mni_core_find(const mni_core_t *core, mn_id_t id); /* NULL: unknown */

/* The job whose cancel reaches it; NULL: none, or it has ended. */
const mni_job_t *mni_core_tied_to(const mni_job_t *job);

/* Jobs from newest to oldest: the one behind `job`, or the newest for NULL; NULL at the end. */
mni_job_t *mni_core_older(const mni_core_t *core, const mni_job_t *job);

/* Locks that are held, in any order: calls visit(argument, name, holder) for each. */
void mni_core_locks(const mni_core_t *core, void (*visit)(void *, const char *, const mni_job_t *),
                    void *argument);

/* How many tasks (attempts, followers too, and slots) are alive, and how many jobs are not terminal. */
void mni_core_count(const mni_core_t *core, size_t *tasks, size_t *unfinished);

/* How many jobs have a status. */
size_t mni_core_with_status(const mni_core_t *core, mn_status_t status);

/* What a node has and what of it is in use. */
typedef struct mni_node_use {
    const char *host;           /* of the core */
    uint32_t cores, cores_free; /* free: nothing of them is used */
    uint64_t memory, memory_used;
    uint32_t gpus, gpus_free;
    uint32_t workers; /* 0: they are lost */
    uint32_t tasks;
    const char *topology; /* of the offer; "" when none */
    uint32_t rank;
} mni_node_use_t;

/* The nodes, in the order in which they were added. False: there are no more. */
bool mni_core_node_use(const mni_core_t *core, uint32_t index, mni_node_use_t *use);

bool mni_core_draining(const mni_core_t *core);

/* Bytes of memory that the core has straight from the system, beside what it has from malloc. */
size_t mni_core_mapped(const mni_core_t *core);

/* Sentence on why a job is PENDING, such as "needs 16 cores and 4 GiB; node n3 has 12 cores and 6 GiB free; 2 tasks
 * ahead of it": the node is that with the most cores free of those that could have it.
 * Writes at most `room` bytes with the NUL. */
void mni_core_explain(const mni_core_t *core, const mni_job_t *job, char *text, size_t room);

/* Checks every invariant (no core or byte granted twice beyond lending, counts agree, queues consistent).
 * For tests. 0 or MN_E_INTERNAL with a sentence. */
int mni_core_check(const mni_core_t *core);

/* --- core/cpus.c ------------------------------------------------------------------------------------- */

/* Writes a set as "0-3,8"; "" for the empty one. At least 8 characters of room; ends with "..." when cut. */
char *mni_cpus_format(const mni_cpus_t *cpus, char *text, size_t room);
/* Number of cores in a set. */
uint32_t mni_cpus_count(const mni_cpus_t *cpus);
static inline bool mni_cpus_has(const mni_cpus_t *cpus, uint32_t core)
{
    return core < MNI_MAX_CORES && (cpus->bits[core / 64] >> (core % 64) & 1);
}
static inline void mni_cpus_add(mni_cpus_t *cpus, uint32_t core)
{
    if (core < MNI_MAX_CORES)
        cpus->bits[core / 64] |= UINT64_C(1) << (core % 64);
}

/* --- core/lifecycle.c: the one transition table ------------------------------------------------------ */

/* What can happen to a job: X(NAME). */
#define MNI_JOB_EVENTS(X)                                                                  \
    X(BEGIN)   /* a task was given to it */                                                \
    X(RETURN)  /* its task ended well */                                                   \
    X(FAIL)    /* its task failed and no attempt is left */                                \
    X(RETRY)   /* its task failed, was lost, interrupted or put back, and it runs again */ \
    X(CANCEL)  /* someone cancelled it */                                                  \
    X(STOPPED) /* its task and all below it ended after a cancel */

typedef enum mni_job_event {
#define MNI_JOB_EVENT_ENUM(name) MNI_JOB_##name,
    MNI_JOB_EVENTS(MNI_JOB_EVENT_ENUM)
#undef MNI_JOB_EVENT_ENUM
} mni_job_event_t;

/* The status that follows. MN_E_INTERNAL, naming both, when the event is illegal in the status. */
int mni_job_transition(mn_status_t status, mni_job_event_t event, mn_status_t *next);

#endif
