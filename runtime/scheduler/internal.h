/* SPDX-License-Identifier: MIT
 *
 * What the files of the scheduler share: the data of a job beside its lifecycle, who waits for it, live tasks,
 * demands, services.
 */
#ifndef MNI_SCHEDULER_INTERNAL_H
#define MNI_SCHEDULER_INTERNAL_H

#include "core/declare.h"
#include "scheduler/scheduler.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/hash.h"
#include "util/textlog.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Who waits for an answer, and where the answer goes. */
typedef struct mni_client_address {
    uint32_t rank;
    uint64_t client, request;
    uint64_t task; /* that makes the call; MNI_TASK_DRIVER and above: no task of the core */
} mni_client_address_t;

/* A call that waits for a job. */
typedef struct mni_waiter {
    struct mni_waiter *prev, *next;             /* of its job */
    struct mni_waiter *timed_prev, *timed_next; /* of those with a deadline */
    mni_client_address_t who;
    mni_job_t *job;
    uint64_t seen; /* answered when the job's version is greater; UINT64_MAX: when it has ended */
    uint64_t deadline; /* MNI_NEVER: none */
    bool removal;      /* answered when the job is forgotten */
    bool looks;        /* answered with a look, of which the values have at most `room` bytes */
    uint32_t room;
    /* A wait for many jobs hangs on the first of them that has not ended. */
    mn_id_t *ids; /* NULL: for one */
    uint32_t id_count, at, least;
} mni_waiter_t;

/* Output of one attempt. */
typedef struct mni_attempt {
    mni_textlog_t out, err;
} mni_attempt_t;

/* What has become of a job. */
typedef struct mni_history {
    mn_value_t result;  /* owns its bytes */
    mni_large_t *large; /* the result when it is a large value, and `result` nothing; else NULL */
    uint64_t yields;
    struct mni_history *prev, *next; /* of those of which the store has not been told all */
    mni_job_t *job;                  /* its own, when among them */
    unsigned untold;                 /* MNI_STORE_BEGUN, MNI_STORE_YIELDED; 0: not among them */
    double progress, started, ended;
    double cpu_time;      /* of the last attempt that ended */
    uint64_t peak_memory; /* the same; bytes */
    char *message;
    const char *host, *cpus; /* live as long as the scheduler */
    int32_t rank;            /* -1: it was never begun */
    mni_attempt_t *attempts; /* of those begun the first ones, as many as include all with output */
    uint32_t attempt_count, attempt_room; /* begun; in `attempts` */
} mni_history_t;

/* A job beside its lifecycle: job->user. 1,000,000 of these may wait: kept small. */
typedef struct mni_data {
    mni_waiter_t *waiters;
    mni_history_t *history; /* NULL: it has neither begun nor ended */
    uint64_t version;
    double created;
    uint32_t input_bytes; /* MN_MAX_VALUE fits */
    uint8_t input_type, input_ndims;
    bool input_large;
    uint64_t input
        []; /* the dimensions, if there are several; then the bytes; of a large value: a pointer to it */
} mni_data_t;

/* A task that the core has placed. */
typedef struct mni_live {
    uint64_t task;
    uint32_t rank;
    mn_id_t id;     /* the job on whose behalf */
    mni_job_t *job; /* NULL: a slot */
    UT_hash_handle hh;
} mni_live_t;

/* A set of cores as text. The same few sets are given again and again. */
typedef struct mni_cpus_text {
    mni_cpus_t cpus;
    char *text;
    UT_hash_handle hh;
} mni_cpus_text_t;

typedef struct mni_demand {
    uint64_t demand;
    uint32_t rank, declaration;
    mn_id_t id;
    UT_hash_handle hh;
} mni_demand_t;

/* A request for what a running task has written, on its way to the worker and back. */
typedef struct mni_log_request {
    struct mni_log_request *prev, *next;
    uint64_t serial;
    mni_client_address_t who;
    mn_id_t id;
    uint32_t attempt;
    mn_stream_t stream;
    uint64_t from;
} mni_log_request_t;

/* A frame that tells of changes, and goes out once they are kept. */
typedef struct mni_held {
    struct mni_held *prev, *next;
    uint64_t change; /* number of the last of them */
    mni_client_address_t who;
    bool answer; /* to `who`; else whatever it is, to who.rank */
    mni_writer_t frame;
} mni_held_t;

typedef struct mni_service {
    uint32_t declaration;
    uint64_t task;
    bool running;
    char address[320]; /* host:port; "": not known yet */
    uint32_t attempts;
    uint64_t started, start_at; /* start_at: when it is to be started again */
    double pause;               /* seconds until the next start */
    mni_textlog_t log;
} mni_service_t;

typedef enum mni_phase {
    MNI_PHASE_GATHER, /* waits for the hello of all ranks */
    MNI_PHASE_RUN,
    MNI_PHASE_DRAIN,    /* jobs and the driver are asked to stop */
    MNI_PHASE_SERVICES, /* only services are left, asked to stop */
    MNI_PHASE_FINISH,   /* nothing is left; the store is to be written */
    MNI_PHASE_OVER
} mni_phase_t;

/* A large value that was read from its file to be given in parts: one at a time, forgotten when nobody has asked for a while. */
typedef struct mni_viewed {
    mn_id_t id;
    bool input;
    uint64_t yields;
    mn_value_t value;
    void *buffer; /* NULL: there is none */
    uint64_t until;
} mni_viewed_t;

struct mni_scheduler {
    mni_comm_t *comm;
    mni_store_t *store;
    mni_core_t *core;
    uint32_t rank_count, hellos, workers;
    uint32_t *node_of;    /* per rank: number that all ranks of a node share */
    int64_t *core_node;   /* per such number: the core's number, -1 before it is known */
    char **hosts;         /* per such number */
    bool *greeted, *lost; /* per rank */
    bool embedded;
    double grace;
    mni_phase_t phase;
    uint64_t phase_since;
    bool at_once, driver_running, driver_stopped;
    bool resume;       /* what is left is to be done by a later run */
    uint64_t drain_at; /* MNI_NEVER: its time has no end */
    uint64_t driver_kill_at;
    int status;
    char *error; /* why the run failed; NULL: it did not */
    mni_live_t *live;
    mni_cpus_text_t *cpus_texts;
    mni_demand_t *demands;
    mni_held_t *held;      /* in the order of their changes */
    mni_history_t *untold; /* have begun or yielded since the store was told */
    uint64_t tell_at;      /* when it is to be; MNI_NEVER: there are none */
    mn_id_t *changed;      /* jobs of an earlier run that are not as the store has them */
    uint32_t changed_count;
    uint32_t undeclared; /* names of jobs that this program does not declare */
    char **texts;        /* hosts and cores of earlier runs */
    size_t text_count;
    mni_log_request_t *log_requests;
    mni_waiter_t *timed;
    mni_viewed_t viewed;
    uint64_t next_deadline, next_serial;
    mni_service_t *services;
    uint32_t service_count, services_running;
    mni_writer_t frame, reply; /* reply: what goes inside an ANSWER */
    int reply_code;
};

/* scheduler.c */
void mni_scheduler_send(mni_scheduler_t *scheduler, uint32_t rank); /* scheduler->frame */
void mni_scheduler_fail(mni_scheduler_t *scheduler,
                        const char *error); /* ends the run with status 1 */
mni_live_t *mni_live_find(const mni_scheduler_t *scheduler, uint64_t task);
void mni_live_drop(mni_scheduler_t *scheduler, uint64_t task);

/* actions.c: carries out what the core has decided. True: there was something. */
bool mni_scheduler_act(mni_scheduler_t *scheduler, uint64_t now);

/* jobs.c */
mni_data_t *mni_data_create(mn_value_t input);
void mni_data_destroy(mni_data_t *data);
/* Of a job that the store has. */
mni_data_t *mni_data_restore(const mni_store_t *store, const mni_store_record_t *record);
mni_large_t *mni_data_large(
    const mni_data_t *data); /* the input when it is a large value, else NULL */
mn_value_t mni_data_input(const mni_data_t *data); /* points into it; data NULL: it is in a file */
/* Made when it is first asked for. NULL: there is no memory for it. */
mni_history_t *mni_data_history(mni_data_t *data);
/* What an attempt that was begun has written. NULL: there was no such attempt, or no memory. */
mni_attempt_t *mni_data_attempt(mni_data_t *data, uint32_t attempt);
/* The newest attempt: what it has written, likewise. */
mni_attempt_t *mni_data_last_attempt(mni_data_t *data);
/* Replaces the result by a copy. 0 or MN_E_NO_MEMORY. */
int mni_history_keep(mni_history_t *history, mn_value_t result);
/* A value with its data, and what is to be freed afterwards: `large` is read from its file if need be, NULL leaves it as it is. */
int mni_value_view(const mni_large_t *large, mn_value_t *value, void **buffer);
/* What mn_get() tells; pointers into the job. Data of a large result may be NULL, see mni_value_view(). */
mn_info_t mni_job_info(const mni_scheduler_t *scheduler, const mni_job_t *job);
void mni_job_changed(mni_scheduler_t *scheduler,
                     mni_job_t *job); /* counts the version up, answers waiters */

/* keep.c: how jobs get into the store, and out of it at the start. What cannot be told to the store for want of memory ends the
 * run. */
int mni_keep_begin(mni_scheduler_t *scheduler, const mni_scheduler_options_t *options);
int mni_keep_finish(mni_scheduler_t *scheduler);
void mni_keep_destroy(mni_scheduler_t *scheduler);
int mni_keep_started(mni_scheduler_t *scheduler,
                     const mni_job_t *job); /* else it is to be undone */
/* `at_once`: without it the store may be told a little later, together with what comes next. */
void mni_keep_begun(mni_scheduler_t *scheduler, mni_job_t *job, bool at_once);
void mni_keep_yielded(mni_scheduler_t *scheduler, mni_job_t *job, bool at_once);
void mni_keep_changed(mni_scheduler_t *scheduler, const mni_job_t *job);
void mni_keep_removed(mni_scheduler_t *scheduler, const mni_job_t *job);
/* Sends scheduler->frame to a rank once all changes so far are kept. `answer`: it is one, to `who`; NULL: it is none. */
void mni_keep_send(mni_scheduler_t *scheduler, uint32_t rank, const mni_client_address_t *answer);
/* Tells the store what is due, and sends what has been held back long enough. True: there was something. */
bool mni_keep_step(mni_scheduler_t *scheduler, uint64_t now);

/* waiters.c */
void mni_waiter_add(mni_scheduler_t *scheduler, const mni_client_address_t *who, mni_job_t *job,
                    uint64_t seen, double timeout, bool removal);
/* Waits until the job's version is greater than `seen`, or it has ended; answered by mni_answer_look(). */
void mni_waiter_add_look(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                         mni_job_t *job, uint64_t seen, double timeout, uint32_t room);
/* Waits until the first `least` of the jobs have ended; takes over `ids`. */
void mni_waiter_add_many(mni_scheduler_t *scheduler, const mni_client_address_t *who, mn_id_t *ids,
                         uint32_t count, uint32_t least, double timeout);
void mni_waiters_answer(mni_scheduler_t *scheduler, mni_job_t *job); /* those whose time has come */
void mni_waiters_forget(mni_scheduler_t *scheduler,
                        mni_job_t *job); /* all of them: the job is removed */
void mni_waiters_refuse(mni_scheduler_t *scheduler, mni_job_t *job, uint64_t task, int code,
                        const char *error); /* those of a task: it would wait for ever */
void mni_waiters_expire(mni_scheduler_t *scheduler, uint64_t now);

/* calls.c */
void mni_scheduler_call(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                        const void *frame, size_t size);
/* Begins an answer; what it carries is put into scheduler->reply, then mni_answer_send(). */
void mni_answer_begin(mni_scheduler_t *scheduler, const mni_client_address_t *who, int code);
void mni_answer_send(mni_scheduler_t *scheduler, const mni_client_address_t *who);
/* An answer without contents; the sentence of an error is the one that was set last. */
void mni_answer(mni_scheduler_t *scheduler, const mni_client_address_t *who, int code);
void mni_answer_info(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     const mni_job_t *job);
/* Of many jobs that have ended: the first ones, as many as one message should hold. */
void mni_answer_many(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     const mn_id_t *ids, uint32_t count);
void mni_answer_log(mni_scheduler_t *scheduler, uint64_t serial, const mni_textlog_piece_t *piece);

/* Whether a list is to have the job. */
bool mni_job_is_listed(const mni_scheduler_t *scheduler, const mni_job_t *job,
                       const mni_msg_list_t *request);

/* looks.c: calls, as those in calls.c: 0, or an error that is the answer. */
int mni_call_look(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                  mni_reader_t *reader);
int mni_call_part(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                  mni_reader_t *reader);
int mni_call_looks(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                   mni_reader_t *reader);
int mni_call_find(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                  mni_reader_t *reader);
int mni_call_nodes(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                   mni_reader_t *reader);
int mni_call_summary(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     mni_reader_t *reader);
int mni_call_explain(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     mni_reader_t *reader);
void mni_viewed_expire(mni_scheduler_t *scheduler, uint64_t now);
void mni_answer_look(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     const mni_job_t *job, uint32_t room);

/* services.c */
int mni_services_create(mni_scheduler_t *scheduler);
void mni_services_destroy(mni_scheduler_t *scheduler);
void mni_services_step(mni_scheduler_t *scheduler,
                       uint64_t now); /* starts those whose time has come */
void mni_services_stop(mni_scheduler_t *scheduler, bool kill);
void mni_service_ended(mni_scheduler_t *scheduler, uint64_t now, const mni_msg_ended_t *ended);
void mni_service_address(mni_scheduler_t *scheduler, uint64_t task, const char *address);
uint64_t mni_services_next_time(const mni_scheduler_t *scheduler);

#endif
