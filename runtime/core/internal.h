/* SPDX-License-Identifier: MIT
 *
 * What the files of core/ share; nobody else includes this. See core.h for what the core is and who
 * runs it.
 *
 * How it works. A *shape* is what pending requests have in common (kind, cores, memory, priority,
 * declaration): requests queue per shape, and only the head of a shape is ever tried. A shape that
 * fits nowhere is *blocked* until something is freed, and then it is tried on that node only; so a
 * decision costs the same whatever is pending. Nodes stand in balanced trees by what they have
 * free, so finding one costs a logarithm.
 *
 * A *grant* is a task of core.h: an attempt of a job (its root) or a slot of a demand. What it has
 * of each core is a *piece*, and each piece came from the pool of its node or from a piece of
 * another grant that lent it. Pieces go back to where they came from. A grant that has ended stays
 * as long as grants below it live or pieces of it are in use elsewhere; it is no longer counted
 * then.
 *
 * Invariants (mni_core_check() proves them): the pool pieces of a core sum to what its node counts
 * as used, at most 1000 millicores; a piece lends at most what it has; memory used is that of the
 * grants that live.
 */
#ifndef MNI_CORE_INTERNAL_H
#define MNI_CORE_INTERNAL_H

#include "core/containers.h"
#include "core/core.h"
#include "util/clock.h"
#include "util/error.h"

#define MNI_WHOLE 1000u /* millicores of a core */
#define MNI_WORDS (MNI_MAX_CORES / 64)
#define MNI_PUT_BACK_GRACE 5.0        /* seconds that a job has to stop when it is put back */
#define MNI_STARVED (30 * MNI_SECOND) /* a shape that got nothing for so long reserves a node */
#define MNI_MAX_DECLARATIONS 65536u
#define MNI_LENDERS 256u /* ancestors looked at for one grant, nearest first */
#define MNI_PIECES 8192u /* pieces that one grant may have */
#define MNI_FEW 4u       /* that need no memory of their own */
#define MNI_SOME 32u     /* tasks of a node: the same */

typedef struct mni_record mni_record_t;
typedef struct mni_labels mni_labels_t;
typedef struct mni_grant mni_grant_t;
typedef struct mni_demand mni_demand_t;
typedef struct mni_shape mni_shape_t;
typedef struct mni_node mni_node_t;

/* --- the things ------------------------------------------------------------------------ */

/* A job. 1,000,000 of these may be pending: kept small, three cache lines, since each of them is fetched from
 * memory when it gets its place, and again when it ends. */
struct mni_record {
    mni_job_t job; /* first: a job's address is its record's */
    /* Counted in shape->users until the job is terminal, then NULL; NULL too when undeclared. */
    mni_shape_t *shape;
    mni_record_t *older, *newer;
    mni_record_t *next; /* PENDING: in its shape's queue, or in the list of those held back */
    union {
        mni_record_t *prev; /* PENDING: the same */
        mni_grant_t *run;   /* RUNNING, CANCELLING: its own grant */
    } at;
    uint64_t age;         /* order of the starts */
    mni_grant_t *waiters; /* grants that wait for it */
    mni_labels_t *kids;   /* jobs that its cancel reaches */
    uint32_t number;      /* in core->records */
    bool removing;        /* to be forgotten when it has ended */
    bool held;            /* PENDING: put back, in core->held and not in its queue; or late */
    bool late;            /* PENDING: its timeout would not be over in time, in core->late */
};

/* What only some jobs have: a lock, a tag, a key, or a parent whose cancel reaches them. */
struct mni_labels {
    mni_names_t names; /* first: job.names of the record */
    mni_record_t *record;
    mni_link_t by_lock, by_key;
    mni_record_t *parent; /* whose kids it is among */
    mni_labels_t *kid_next, *kid_prev;
    mni_labels_t *cancel_next; /* work list of a cancel */
    bool locked, keyed;        /* in the tables */
    char text[];               /* lock, tag, key */
};

typedef struct mni_piece {
    uint16_t core;
    uint16_t mc;           /* millicores of that core */
    uint16_t out;          /* of those, how many are in use by borrowers */
    uint16_t source_piece; /* which of the source's pieces */
    mni_grant_t *source;   /* NULL: the node's pool */
} mni_piece_t;

/* Its first four cache lines are all that the end of a plain job looks at. */
struct mni_grant {
    mni_demand_t *demands; /* those that it is the caller of */
    mni_record_t *awaited; /* the job that it waits for */
    uint64_t id;           /* order of the grants, then the number in core->grants; 0: freed */
    mni_record_t
        *record; /* the job at the root; NULL below the driver or once the job is finished */
    mni_node_t *node;
    mni_piece_t *piece;    /* `few`, or an array of its own */
    uint64_t memory, gpus; /* gpus: bits */
    uint64_t deadline;     /* MNI_NEVER: not in the heap of timers */
    uint32_t rank;
    uint32_t millicores, declaration;
    uint32_t below; /* hungry demands and waits, its own and those of all below it */
    uint32_t lent;  /* pieces with out > 0 */
    uint32_t pieces;
    int stop;           /* 0, or the code it was asked to stop with */
    mn_reason_t killed; /* NONE: not killed by the core */
    mn_reason_t outcome;
    bool own;              /* an attempt of a job */
    bool ended;            /* its processes are gone */
    bool finished;         /* and all below it too: out of the tree */
    bool waiting, blocked; /* waits; and for something that has got nothing yet, or itself waits */
    bool dirty;            /* in core->dirty */
    bool put_back;         /* asked to stop to make room for others */
    bool follows;          /* in a line, and not its head: holds nothing */
    bool given_back;       /* by the worker, before it began */
    mni_grant_t *parent, *children;

    mni_piece_t few[MNI_FEW];

    char *error;
    mni_demand_t
        *demand; /* that it was granted for; NULL for a job's own, or when the demand is closed */
    mni_grant_t *line_next, *line_prev; /* a ring; NULL: no line */
    mni_grant_t *sibling_next, *sibling_prev;
    mni_grant_t *slot_next, *slot_prev;
    mni_grant_t *waiter_next, *waiter_prev;
    mni_grant_t *dirty_next; /* lenders with something new to lend */
    mni_grant_t *walk_next;  /* work list of a walk over a tree */
    mni_heap_node_t timer;
    uint64_t mark; /* the walk that saw it last */
};

struct mni_demand {
    mni_link_t by_id;
    uint64_t id, age;
    mni_grant_t *caller;       /* NULL: the driver */
    mni_demand_t *next, *prev; /* of the same caller */
    mni_shape_t *shape;
    mni_need_t need;
    mni_grant_t *slots;
    uint32_t want, live;
    uint32_t cap; /* no more than this at once, since more led to a circle */
    bool hungry;  /* wants more: in its shape's heap */
    mni_heap_node_t place;
};

typedef enum mni_shape_kind {
    MNI_SHAPE_TREE,  /* demands of callers below a job or below the driver's slots */
    MNI_SHAPE_JOB,   /* pending jobs */
    MNI_SHAPE_DRIVER /* demands of the driver */
} mni_shape_kind_t;

typedef enum mni_shape_state {
    MNI_SHAPE_IDLE,   /* nothing in it */
    MNI_SHAPE_READY,  /* in the heap of those to be tried */
    MNI_SHAPE_BLOCKED /* fits nowhere */
} mni_shape_state_t;

struct mni_shape {
    mni_link_t link;
    mni_shape_kind_t kind;
    mni_shape_state_t state;
    uint32_t millicores, gpus, max_concurrency, declaration;
    int32_t priority;
    uint64_t memory;
    size_t users;              /* unfinished jobs and open demands of it */
    mni_record_t *head, *tail; /* JOB: the queue, oldest first */
    size_t count;
    mni_heap_t hungry; /* else: demands that want more, the one with fewest slots first */
    mni_heap_node_t ready;
    mni_shape_t *next, *prev; /* BLOCKED: the list of those */
    mni_leaf_t leaf;          /* BLOCKED, not crowded, no GPUs: in core->fitting */
    mni_node_t *only;         /* READY: the one node that may have room; NULL: any */
    bool crowded;             /* BLOCKED by max_concurrency, not by lack of room */
    uint64_t since;           /* when it last got something, or began to wait */
};

/* L3, NUMA node, package: each lies within one group of the next. */
#define MNI_LEVELS 3u

/* How the cores of a node lie; shared by nodes that are alike. */
typedef struct mni_layout {
    struct mni_layout *next;
    uint32_t cores, words;
    uint32_t groups[MNI_LEVELS];       /* how many L3s, NUMA nodes, packages */
    uint64_t *masks[MNI_LEVELS];       /* groups[i] times words */
    uint16_t *parents[MNI_LEVELS - 1]; /* of an L3 its NUMA node, of a NUMA node its package */
    mni_pool_t nodes;                  /* that are alike */
    mni_core_place_t place[];
} mni_layout_t;

/* MNI_BY_GROUP is the first of MNI_LEVELS trees. */
enum {
    MNI_BY_CORES,
    MNI_BY_SHARE,
    MNI_BY_SIZE,
    MNI_BY_GROUP,
    MNI_TREES = MNI_BY_GROUP + MNI_LEVELS
};

/* One block of memory with its sets, in its layout's pool: what decisions look at lies together, at the front. */
struct mni_node {
    uint64_t memory, memory_used;
    uint32_t *
        grants; /* numbers of all that are here, ended ones too, oldest first; `some`, or an array */
    uint32_t grant_count, grant_room;
    uint64_t *free;   /* bits: cores of which nothing is used */
    uint64_t *shared; /* bits: cores that are used, but not wholly */
    uint16_t *used;   /* millicores of each core taken from the pool */
    uint32_t cores, free_cores;
    uint32_t share_room; /* most millicores left on a shared core */
    uint32_t index;
    uint32_t seats, waiting; /* workers; live grants here that wait */
    uint32_t worker;         /* rank of the first of its workers */
    bool guest;              /* the driver's rank is here, and is none of them */
    bool stale, freed;
    bool in_groups; /* its spots of the trees by groups are in, on the levels that have one */
    mni_node_t *stale_next, *freed_next;
    mni_layout_t *layout;
    uint64_t mark;
    uint32_t gpus;               /* how many it has */
    uint64_t gpus_free;          /* bits */
    mni_core_place_t *gpu_place; /* NULL: it has none */
    mni_node_t *gpu_next;        /* of those that have some */
    char *host, *topology;
    uint32_t finder; /* rank that has found it */
    uint32_t some[MNI_SOME];
    /* Its places in the trees, by room and memory, which are the two quantities; it is `number`. */
    _Alignas(64) mni_leaf_t spot[MNI_TREES];
    uint64_t sets[]; /* free, shared, used */
};

typedef struct mni_declared {
    char *name;
    uint32_t running; /* attempts and slots that live */
    uint32_t crowded; /* shapes blocked by max_concurrency */
} mni_declared_t;

typedef struct mni_worker {
    mni_node_t *node; /* NULL: no such worker */
    uint32_t tasks;   /* that live there */
    uint32_t next;    /* rank of the node's next worker */
} mni_worker_t;

#define MNI_DRIVER_RANK 0

/* A placement being worked out; the pieces are in core->scratch. */
typedef struct mni_spread {
    mni_node_t *node;
    uint32_t pieces;
    uint64_t gpus; /* bits */
} mni_spread_t;

struct mni_core {
    uint64_t now;
    uint64_t next_task, next_age, mark;
    mni_index_t jobs; /* numbers of records, by id */
    mni_table_t locks, keys, demands, shapes;
    mni_pool_t records, grants;
    mni_record_t *newest, *oldest;
    mni_record_t *held;   /* put back: PENDING, but not before something has ended */
    mni_record_t *late;   /* PENDING, but not begun before the run is over */
    mni_record_t *doomed; /* forgotten and reported: freed when the next action is taken */
    mni_demand_t *driver; /* demands of the driver */
    mni_heap_t ready;     /* shapes */
    mni_shape_t *blocked;
    mni_tree_t
        fitting; /* those that lack room and ask for no GPU, by order; they have ~millicores and ~memory */
    mni_heap_t timers; /* grants */
    mni_node_t **nodes;
    mni_node_t *with_gpus;
    mni_node_t *largest; /* of those with a worker: the most cores, then memory; NULL: none */
    uint32_t node_count, node_room;
    mni_layout_t *layouts;
    mni_tree_t tree[MNI_TREES];
    bool coreless;            /* some need no core: full nodes are in the trees too */
    bool grouped[MNI_LEVELS]; /* some node has groups on this level that differ from the next */
    mni_node_t *stale;        /* nodes whose spots are out of date */
    mni_node_t *freed, *freed_last; /* nodes on which something was freed */
    bool offering;                  /* one of those is being given out */
    mni_grant_t *dirty;             /* lenders to be looked at */
    mni_worker_t *workers;          /* by rank */
    uint32_t worker_room;
    mni_declared_t *declared;
    uint32_t declared_room;
    mni_shape_t *reserving; /* the shape for which `reserved` is kept free */
    mni_node_t *reserved;
    uint64_t reserved_at; /* since when */
    uint64_t starve_at;   /* when to look for starving shapes */
    uint64_t drain_at;    /* MNI_NEVER: not draining, or nothing to kill */
    uint64_t over_at;     /* when the run will be over; MNI_NEVER: not known */
    uint64_t over_after;  /* how long it lasts, all in all */
    bool draining;
    size_t alive, blocked_grants, unfinished;
    size_t statuses[MN_CANCELLED + 1]; /* how many jobs have each */
    size_t followers;                  /* not counted in `alive` */
    mni_action_t *actions;             /* a ring */
    size_t action_first, action_count, action_room;
    bool lost_action;      /* no memory for one: reported by every later start */
    char *refusal;         /* text of the last REFUSE taken */
    mni_piece_t *scratch;  /* MNI_PIECES */
    uint16_t *lent;        /* MNI_MAX_CORES */
    mni_grant_t **lenders; /* MNI_LENDERS */
    uint32_t lender_count;
};

/* --- actions.c ------------------------------------------------------------------------- */

void mni_action_job(mni_core_t *core, mni_action_kind_t kind, mni_record_t *record);
/* `holder` has the cores: itself, or the head of its line. */
void mni_action_begin(mni_core_t *core, const mni_grant_t *grant, const mni_grant_t *holder);
void mni_action_stop(mni_core_t *core, const mni_grant_t *grant, int code);
void mni_action_kill(mni_core_t *core, const mni_grant_t *grant, mn_reason_t reason);
/* Refuses a demand, or with `awaited` the wait of `caller` for that job. The text is copied. */
void mni_action_refuse(mni_core_t *core, uint64_t demand, const mni_grant_t *caller,
                       mni_record_t *awaited, int code, const char *text);
/* Every call that changes something begins with this: notes the time. */
void mni_core_enter(mni_core_t *core, uint64_t now);

/* --- node.c ---------------------------------------------------------------------------- */

/* Takes from a node's pool, or gives back. */
void mni_node_take(mni_core_t *core, mni_node_t *node, uint32_t cpu, uint32_t mc);
void mni_node_give(mni_core_t *core, mni_node_t *node, uint32_t cpu, uint32_t mc);
void mni_node_memory(mni_core_t *core, mni_node_t *node, uint64_t taken, uint64_t given);
/* Something may fit on it now that did not before. */
void mni_node_freed(mni_core_t *core, mni_node_t *node);
/* From now on tasks without cores are to be placed: nodes without free ones are found too. */
void mni_node_coreless(mni_core_t *core);
/* All have their places to be looked at anew. */
void mni_node_all_stale(mni_core_t *core);
/* Brings the trees up to date. */
void mni_node_index(mni_core_t *core);
/* The node with least room that has this much; NULL: none. */
mni_node_t *mni_node_first(const mni_core_t *core, unsigned tree, uint32_t room, uint64_t memory);
/* The same for cores that are free: of the nodes that have them in one L3; else in one NUMA node, one package, at all. */
mni_node_t *mni_node_compact(const mni_core_t *core, uint32_t cores, uint64_t memory);
/* Whether it could run a request of the shape when it was empty; of those the one with most cores free, then memory. */
bool mni_node_could_have(const mni_node_t *node, const mni_shape_t *shape);
mni_node_t *mni_node_emptiest(const mni_core_t *core, const mni_shape_t *shape);
void mni_node_fini(mni_node_t *node);
/* The worker of a node for one more task: the caller's own for a slot, else that with the fewest tasks; it has one. */
uint32_t mni_node_worker(const mni_core_t *core, const mni_node_t *node,
                         const mni_demand_t *demand);
/* Room for one more grant. False: no memory. */
bool mni_node_reserve(mni_node_t *node);
void mni_node_leave(mni_core_t *core, uint32_t rank); /* the worker is gone from its node */
/* One of its grants. */
static inline mni_grant_t *mni_node_grant(const mni_core_t *core, const mni_node_t *node,
                                          uint32_t i)
{
    return mni_pool_at(&core->grants, node->grants[i]);
}
static inline uint64_t mni_node_memory_free(const mni_node_t *node)
{
    return node->memory - node->memory_used;
}
/* The most millicores that one request can have of it: a share fits on a shared core or a free one. */
static inline uint32_t mni_node_room(const mni_node_t *node)
{
    uint32_t whole = node->free_cores * MNI_WHOLE;
    return whole > node->share_room ? whole : node->share_room;
}

/* --- layout.c -------------------------------------------------------------------------- */

/* That of an offer; made if there is none yet. NULL: no memory. */
mni_layout_t *mni_layout_get(mni_core_t *core, const mni_node_offer_t *offer);
void mni_layouts_destroy(mni_core_t *core); /* with the memory of all nodes */
static inline const uint64_t *mni_layout_mask(const mni_layout_t *layout, unsigned level,
                                              uint32_t group)
{
    return layout->masks[level] + (size_t)group * layout->words;
}
/* Without a jump, and without a call as __builtin_popcountll() is one where the processor is not known. */
static inline uint32_t mni_bits_count(uint64_t bits)
{
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    bits = (bits + (bits >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(bits * UINT64_C(0x0101010101010101) >> 56);
}
/* How many of the cores (bits) are in a group. */
static inline uint32_t mni_layout_count(const mni_layout_t *layout, const uint64_t *cores,
                                        unsigned level, uint32_t group)
{
    const uint64_t *mask = mni_layout_mask(layout, level, group);
    uint32_t count = 0;

    for (uint32_t i = 0; i < layout->words; i++)
        count += mni_bits_count(cores[i] & mask[i]);
    return count;
}
/* The most of them, `all` together, that are in one group of a level. */
uint32_t mni_layout_most(const mni_layout_t *layout, const uint64_t *cores, unsigned level,
                         uint32_t all);

/* --- place.c --------------------------------------------------------------------------- */

/* Picks `count` of the candidates (bits), compactly. They must be there. */
void mni_place_pick(const mni_layout_t *layout, const uint64_t *candidates, uint32_t count,
                    uint64_t *picked);
/* Whether what the shape needs is free in the node's pool. */
bool mni_place_fits(const mni_core_t *core, const mni_shape_t *shape, const mni_node_t *node);
/* The share of a core that lies where `mask` (NULL: anywhere) says: on the shared core with the least room that has enough, else
 * on a free one; UINT32_MAX: none. */
uint32_t mni_place_share(const mni_node_t *node, uint32_t millicores, const uint64_t *mask);
/* Works out a placement from free cores: on `prefer` when it fits there, else on the best node. */
bool mni_place_free(mni_core_t *core, const mni_shape_t *shape, mni_node_t *prefer,
                    mni_spread_t *spread);
/* The same on a node on which it fits. */
void mni_place_on(mni_core_t *core, const mni_shape_t *shape, mni_node_t *node,
                  mni_spread_t *spread);
/* Works out a placement from what core->lenders lend; with `mixed`, together with what is free. */
bool mni_place_lent(mni_core_t *core, const mni_shape_t *shape, bool mixed, mni_spread_t *spread);

/* --- gpus.c ---------------------------------------------------------------------------- */

static inline uint32_t mni_gpus_free(const mni_node_t *node)
{
    return mni_bits_count(node->gpus_free);
}
/* Copies those of an offer to a new node of the core. False: no memory. */
bool mni_gpus_add(mni_core_t *core, mni_node_t *node, const mni_node_offer_t *offer);
void mni_gpus_take(mni_node_t *node, uint64_t gpus);
void mni_gpus_give(mni_core_t *core, mni_node_t *node, uint64_t gpus);
/* The cores (bits) of a NUMA node, else package, that has both cores and GPUs free for the shape: of several the one with least to
 * spare. False: none has. */
bool mni_gpus_near(const mni_node_t *node, const mni_shape_t *shape, uint64_t *mask);
/* Picks GPUs of the spread's node, where they are free, nearest to the cores that it has. */
void mni_gpus_pick(const mni_core_t *core, mni_spread_t *spread, uint32_t count);
/* The node with the fewest GPUs to spare that has room for the shape, best one where cores and GPUs are near to each other; NULL: none. */
mni_node_t *mni_gpus_node(const mni_core_t *core, const mni_shape_t *shape);
/* Whether a node with a worker has all that at once when it is empty. */
bool mni_gpus_possible(const mni_core_t *core, const mni_need_t *need);

/* --- lend.c ---------------------------------------------------------------------------- */

/* Fills core->lenders with what lends to a task below `grant`, or to the job. */
void mni_lend_collect(mni_core_t *core, mni_grant_t *grant, mni_record_t *record);
/* All that wait on a node. */
void mni_lend_collect_node(mni_core_t *core, mni_node_t *node);
void mni_lend_dirty(mni_core_t *core, mni_grant_t *grant);
void mni_lend_clean(mni_core_t *core, mni_grant_t *grant);
/* Serves what is hungry below a lender. True: something was granted. */
bool mni_lend_serve(mni_core_t *core, mni_grant_t *lender, bool mixed);
/* Gives a piece back to where it came from. */
void mni_lend_return(mni_core_t *core, mni_grant_t *grant, uint32_t piece);

/* --- shape.c --------------------------------------------------------------------------- */

/* The shape of a need; made if it is not there. NULL: no memory. Counts a user. */
mni_shape_t *mni_shape_get(mni_core_t *core, mni_shape_kind_t kind, uint32_t declaration,
                           int32_t priority, const mni_need_t *need);
void mni_shape_put(mni_core_t *core, mni_shape_t *shape);
uint64_t mni_shape_hash(const mni_link_t *link);
/* Where it stands among the others, by the request that it would have served first. */
void mni_shape_order(const mni_shape_t *shape, uint64_t order[2]);
bool mni_shape_before(const mni_shape_t *a, const mni_shape_t *b);
bool mni_ready_before(const mni_heap_node_t *a, const mni_heap_node_t *b);
bool mni_shape_crowded(const mni_core_t *core, const mni_shape_t *shape);

/* --- queue.c --------------------------------------------------------------------------- */

void mni_queue_add(mni_core_t *core, mni_record_t *record);
void mni_queue_remove(mni_core_t *core, mni_record_t *record);
void mni_queue_add_demand(mni_core_t *core, mni_demand_t *demand);
void mni_queue_remove_demand(mni_core_t *core, mni_demand_t *demand);
/* A task of the declaration has ended: its crowded shapes may go on. */
void mni_queue_uncrowd(mni_core_t *core, uint32_t declaration);
/* Gives out whatever can be given out. */
void mni_schedule(mni_core_t *core);

/* --- reserve.c ------------------------------------------------------------------------- */

void mni_reserve_check(mni_core_t *core); /* looks for what starves, when it is time */
void mni_reserve_drop(mni_core_t *core);
bool mni_reserve_allows(const mni_core_t *core, const mni_shape_t *shape, const mni_node_t *node);

/* --- jobs.c ---------------------------------------------------------------------------- */

void mni_job_change(mni_core_t *core, mni_record_t *record, mni_job_event_t event,
                    mn_reason_t reason);
/* Its own grant and all below it have ended. */
void mni_job_finish(mni_core_t *core, mni_record_t *record, mni_grant_t *grant);
/* Something has ended: jobs that were put back may run again. */
void mni_job_release_held(mni_core_t *core);
void mni_job_release(mni_core_t *core, mni_record_t *record); /* this one */
/* Whether an attempt of it could not end before the run does; see mni_core_over_at(). */
bool mni_job_is_late(const mni_core_t *core, const mni_record_t *record);
void mni_job_set_aside(mni_core_t *core, mni_record_t *record); /* such a one, out of its queue */
/* Its grant; NULL: it does not run. */
static inline mni_grant_t *mni_job_runs(const mni_record_t *record)
{
    return record->job.status == MN_RUNNING || record->job.status == MN_CANCELLING ? record->at.run
                                                                                   : NULL;
}
void mni_job_free(mni_core_t *core, mni_record_t *record);
static inline mni_record_t *mni_record(const mni_job_t *job)
{
    return (mni_record_t *)(uintptr_t)job;
}

/* NULL: it has none. */
static inline mni_labels_t *mni_labels(const mni_record_t *record)
{
    return (mni_labels_t *)(uintptr_t)record->job.names;
}

/* --- locks.c --------------------------------------------------------------------------- */

uint64_t mni_lock_hash(const mni_link_t *link);
uint64_t mni_key_hash(const mni_link_t *link);
mni_record_t *mni_lock_find(const mni_core_t *core, const char *name);
mni_record_t *mni_key_find(const mni_core_t *core, const char *key);
void mni_lock_hold(mni_core_t *core, mni_record_t *record);
void mni_lock_release(mni_core_t *core, mni_record_t *record);
void mni_key_hold(mni_core_t *core, mni_record_t *record);
void mni_key_release(mni_core_t *core, mni_record_t *record);

/* --- tasks.c --------------------------------------------------------------------------- */

/* A grant with room for so many pieces, not begun. NULL: no memory. */
mni_grant_t *mni_grant_make(mni_core_t *core, uint32_t pieces);
/* Makes it the attempt of a job that is in its queue. */
void mni_grant_attempt(mni_core_t *core, mni_grant_t *grant, mni_record_t *record);
void mni_grant_join(mni_grant_t *grant); /* those of its node, which has reserved room for it */
/* Begins an attempt of a job, or a slot for a demand, on what was worked out. False: no memory,
 * nothing changed. */
bool mni_grant_begin(mni_core_t *core, mni_shape_t *shape, const mni_spread_t *spread,
                     mni_record_t *record, mni_demand_t *demand);
void mni_grant_free(mni_core_t *core, mni_grant_t *grant);
bool mni_timer_before(const mni_heap_node_t *a, const mni_heap_node_t *b);
mni_grant_t *mni_grant_find(const mni_core_t *core, uint64_t id); /* ended ones are not found */
/* Whether it waits changed, or what it waits for. */
void mni_grant_review(mni_core_t *core, mni_grant_t *grant);
void mni_grant_below(mni_grant_t *grant, int change);
static inline bool mni_grant_waits(const mni_grant_t *grant)
{
    return !grant->ended && (grant->demands || grant->awaited);
}
void mni_grant_end(mni_core_t *core, mni_grant_t *grant, mn_reason_t reason, const char *error);
void mni_grant_free_if_done(mni_core_t *core, mni_grant_t *grant);
void mni_grant_deadline(mni_core_t *core, mni_grant_t *grant, uint64_t deadline);
void mni_grant_unwait(mni_core_t *core, mni_grant_t *grant);
/* Asks it and all below it to stop, or kills them; `reason` is for itself, below it is CANCELLED.
 * */
void mni_grants_stop(mni_core_t *core, mni_grant_t *root, int code);
void mni_grants_kill(mni_core_t *core, mni_grant_t *root, mn_reason_t reason);
/* The next of a walk from `root` down, parents first; begin with `at` = root. NULL at the end. */
mni_grant_t *mni_grants_next(const mni_grant_t *root, const mni_grant_t *at);

/* --- line.c ---------------------------------------------------------------------------- */

/* The head of a line ends: what it holds goes to the first follower. False: it has none. */
bool mni_line_pass(mni_core_t *core, mni_grant_t *head);
void mni_line_leave(mni_core_t *core, mni_grant_t *follower);

/* --- demand.c -------------------------------------------------------------------------- */

/* Counts slots that came or went (`change`), and finds out whether it wants more. */
void mni_demand_review(mni_core_t *core, mni_demand_t *demand, int change);
void mni_demand_end(mni_core_t *core, mni_demand_t *demand);
mni_demand_t *mni_demand_find(const mni_core_t *core, uint64_t id);
uint64_t mni_demand_hash(const mni_link_t *link);

/* --- deadlock.c ------------------------------------------------------------------------ */

/* Called when all that lives waits. True: something was done about it. */
bool mni_deadlock_resolve(mni_core_t *core);
/* Whether something waits for a job that is not begun any more: the end of the run ends that wait. */
bool mni_deadlock_ends(const mni_core_t *core);
/* Whether what `caller` waits for can never be given, since `caller` and its ancestors themselves
 * hold what it needs. Writes the sentence. */
bool mni_deadlock_circle(mni_core_t *core, mni_grant_t *caller, uint32_t declaration,
                         const mni_need_t *need, char *text, size_t room);

/* --- explain.c ------------------------------------------------------------------------- */

#define MNI_NO_GPU UINT32_MAX /* says so; 0 says nothing */
char *mni_need_format(uint32_t millicores, uint32_t gpus, uint64_t memory, char *text, size_t room);
/* The same without the cores: "" for nothing. */
char *mni_goods_format(uint32_t gpus, uint64_t memory, char *text, size_t room);

#endif
