/* SPDX-License-Identifier: MIT
 *
 * What the files of the core share: nodes, tasks, demands, queues.
 *
 * Accounting of cores. A task holds pieces of cores, in thousandths; those of a whole core add up to 1000. A piece is
 * either its own, counted in the node's `used`, or borrowed from a lender, counted in the lender's `lent`. When a
 * lender gives its cores back while a borrower still runs, the borrower takes its place.
 */
#ifndef MNI_CORE_INTERNAL_H
#define MNI_CORE_INTERNAL_H

#include "core/core.h"

#include <uthash.h>
#include <utlist.h>

#define MNI_WHOLE_CORE 1000u

/* How long the head of a queue waits before a node is kept free for it, in nanoseconds. */
#define MNI_RESERVE_AFTER UINT64_C(30000000000)

/* Grace of a job that is put back to make room, in seconds. */
#define MNI_PUT_BACK_GRACE 5.0

typedef struct mni_node {
    char *host;
    uint32_t cores, free_cores; /* free: nothing of it is used */
    mni_core_place_t *place;
    uint16_t *used;             /* thousandths, per core */
    uint64_t memory, free_memory;
    uint32_t workers;           /* alive */
} mni_node_t;

typedef struct mni_rank_state {
    bool alive;
    uint32_t node, tasks;
} mni_rank_state_t;

struct mni_task;

/* A piece of a core that a task holds; of one core there may be several, with different lenders. */
typedef struct mni_held_core {
    uint16_t core, share, lent;
    struct mni_task *lender; /* NULL: its own */
} mni_held_core_t;

typedef struct mni_job_record mni_job_record_t;

typedef struct mni_task {
    uint64_t id;
    mni_job_record_t *job;     /* NULL: a slot */
    struct mni_demand *demand; /* of a slot, NULL when that is closed */
    struct mni_task *parent, *children, *prev, *next; /* children: slots of its demands */
    uint32_t rank, node, declaration;
    uint64_t memory;
    mni_held_core_t *held;
    uint32_t held_count;
    uint32_t demands;          /* open ones that it is the caller of */
    mni_job_record_t *awaits;
    int stop_code;             /* asked to stop with it, 0: not */
    bool put_back, timed_out, killed, ended;
    uint64_t kill_at, timeout_at;
    mni_outcome_t outcome;     /* error is a copy */
    UT_hash_handle hh;
} mni_task_t;

/* A job with what the core alone needs to know. */
struct mni_job_record {
    mni_job_t job;             /* first: the two are cast into each other */
    uint64_t order;            /* grows from job to job */
    uint64_t queued;           /* since when it waits */
    mni_task_t *running;
    bool removing, held_back;  /* held_back: was put back, waits for others to get on */
    uint32_t awaited;          /* tasks that wait for it */
    struct mni_shape *shape;   /* that it is queued in, NULL: it is not */
    mni_job_record_t *prev, *next;             /* of all jobs */
    mni_job_record_t *queue_prev, *queue_next; /* of its shape */
    mni_job_record_t *urgent_prev, *urgent_next; /* of the awaited or held back */
    UT_hash_handle hh, hh_lock, hh_key;
};

/* Jobs that ask for the same wait in one queue. */
typedef struct mni_shape_key {
    uint64_t memory;
    uint32_t millicores, declaration;
    int32_t priority;
    uint32_t zero; /* no padding: the key is hashed as bytes */
} mni_shape_key_t;

typedef struct mni_shape {
    mni_shape_key_t key;
    mni_job_record_t *queue;
    uint64_t count;
    uint64_t blocked_at;       /* core->releases when it did not fit */
    struct mni_shape *prev, *next; /* of those with jobs */
    UT_hash_handle hh;
} mni_shape_t;

typedef struct mni_demand {
    uint64_t number;
    mni_task_t *caller;        /* NULL: the driver */
    uint32_t declaration, want, granted;
    mni_need_t need;
    uint64_t order;
    struct mni_demand *prev, *next;
    UT_hash_handle hh;
} mni_core_demand_t;

typedef struct mni_declared {
    char *name;
    uint32_t running;
} mni_declared_t;

typedef struct mni_timer {
    uint64_t time, task;
} mni_timer_t;

typedef struct mni_queued_action {
    struct mni_queued_action *next;
    mni_action_t action;
    char *error;
} mni_queued_action_t;

struct mni_core {
    mni_node_t *nodes;
    uint32_t node_count;
    mni_rank_state_t *ranks;
    uint32_t rank_count;
    mni_declared_t *declared;
    uint32_t declared_count;
    mni_job_record_t *jobs;    /* by id */
    mni_job_record_t *newest;  /* list, newest first */
    mni_job_record_t *locks, *keys;
    mni_job_record_t *awaited; /* PENDING and waited for by a task: placed first */
    mni_job_record_t *held_back;
    mni_shape_t *shapes, *active; /* all, by key; those with jobs, by priority */
    mni_task_t *tasks;
    mni_core_demand_t *demands, *demand_list;
    uint64_t next_task, next_order, releases; /* releases: counts what may make room */
    uint64_t unfinished;
    mni_timer_t *timers;       /* a heap, earliest first */
    size_t timer_count, timer_room;
    mni_queued_action_t *actions, **actions_end, *current;
    mni_job_record_t *forgotten; /* freed at the next call */
    mni_shape_t *reserved_for;
    uint32_t reserved_node;
    bool draining, scheduling;
};

/* jobs.c */
void mni_core_queue(mni_core_t *core, uint64_t now, mni_job_record_t *job, bool front);
void mni_core_unqueue(mni_core_t *core, mni_job_record_t *job);
void mni_core_move(mni_core_t *core, mni_job_record_t *job, mni_job_event_t event, mn_reason_t reason, const char *error);
void mni_core_finish(mni_core_t *core, uint64_t now, mni_job_record_t *job, mni_task_t *task);
void mni_core_stop_awaiting(mni_core_t *core, uint64_t now, mni_task_t *task);
void mni_core_release_held_back(mni_core_t *core, uint64_t now);
void mni_core_bury(mni_core_t *core);

/* actions.c */
mni_action_t *mni_core_act(mni_core_t *core, mni_action_kind_t kind);
void mni_core_act_error(mni_core_t *core, const char *error); /* of the action added last */

/* tasks.c */
mni_task_t *mni_core_task(const mni_core_t *core, uint64_t id);
mni_task_t *mni_core_new_task(mni_core_t *core, uint32_t declaration);
void mni_core_stop_task(mni_core_t *core, uint64_t now, mni_task_t *task, int code, double grace);
void mni_core_kill_task(mni_core_t *core, mni_task_t *task, mn_reason_t reason);
void mni_core_end_task(mni_core_t *core, uint64_t now, mni_task_t *task, const mni_outcome_t *outcome);
void mni_demand_drop(mni_core_t *core, mni_core_demand_t *demand);
bool mni_core_task_waits(const mni_task_t *task);
mni_job_record_t *mni_core_task_root(const mni_task_t *task);
int mni_timer_add(mni_core_t *core, uint64_t time, uint64_t task);

/* place.c */
#define MNI_PIECES_MAX (2 * MNI_MAX_CORES)
typedef struct mni_placement {
    uint32_t node, rank;
    uint32_t count;
    mni_held_core_t held[MNI_PIECES_MAX];
} mni_placement_t;
/* Finds room for a need. `from`: the task whose ancestors lend; `awaited`: a job whose waiters lend. `reserved` says
 * whether the reserved node may be used. False: there is none now. */
bool mni_place(mni_core_t *core, const mni_need_t *need, mni_task_t *from, mni_job_record_t *awaited, bool reserved,
               mni_placement_t *placement);
/* Gives it to a task, takes it back. */
int mni_place_take(mni_core_t *core, mni_task_t *task, const mni_need_t *need, const mni_placement_t *placement);
void mni_place_give_back(mni_core_t *core, mni_task_t *task);

/* schedule.c */
void mni_schedule(mni_core_t *core, uint64_t now);

/* deadlock.c */
bool mni_deadlock_break(mni_core_t *core, uint64_t now); /* true: something was done */
bool mni_wait_circle(const mni_core_t *core, const mni_job_record_t *from, const mni_job_record_t *to);

#endif
