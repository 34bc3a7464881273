/* SPDX-License-Identifier: MIT
 *
 * Every message of the protocol, by who sends it to whom, and the encoding of those with many fields. Pure.
 *
 * "Client" is the code in an executor or driver process that makes API calls; its frames travel through its
 * channel to its worker, which answers them or passes them on to rank 0. docs/protocol.md tells the story.
 */
#ifndef MNI_WIRE_MESSAGE_H
#define MNI_WIRE_MESSAGE_H

#include "util/textlog.h"
#include "wire/wire.h"

/* X(NAME, number). The comment gives the fields, in order. */
#define MNI_MESSAGES(X)                                                                                 \
    /* client -> rank 0, passed on by the worker; answered by REPLY with the same request */            \
    X(START, 1) /* mni_msg_start_t */                                                                   \
    X(GET, 2)   /* id */                                                                                \
    X(WAIT, 3)  /* id, u64 seen (UINT64_MAX: only the end counts), f64 timeout (negative: none) */      \
    X(CANCEL, 4)      /* id, f64 grace (NaN: the job's own, negative: none) */                          \
    X(REMOVE, 5)      /* id */                                                                          \
    X(LIST, 6)        /* mni_msg_list_t */                                                              \
    X(LOCKS, 7)       /* - */                                                                           \
    X(LOG, 8)         /* id, u32 attempt, u8 stream, u64 from */                                        \
    X(SERVICE, 9)     /* text name */                                                                   \
    X(START_MANY, 10) /* mni_msg_start_t without input, u32 n, n values */                              \
    X(WAIT_MANY,                                                                                        \
      11) /* u32 n, n ids, u32 least, f64 timeout: until the first `least` have ended */                \
    X(LOOK,                                                                                             \
      12) /* id, u64 seen, f64 timeout (0: at once, else as WAIT), u32 room: a job and what it needs, \
             its values with at most so many bytes each */ \
    X(PART,                                                                                             \
      13) /* id, u8 input, u64 yields, u64 offset, u32 room: bytes of its result, which must be that  \
             of so many yields; with `input` not 0 of its input */ \
    X(LOOKS, 14)   /* mni_msg_list_t, of which one answer has a part only */                            \
    X(FIND, 15)    /* text: hexadecimal digits that ids begin with; "": the newest job */               \
    X(NODES, 16)   /* - */                                                                              \
    X(SUMMARY, 17) /* - */                                                                              \
    X(EXPLAIN, 18) /* id */                                                                             \
    /* client -> its worker */                                                                          \
    X(YIELD, 20)    /* value. With a request other than 0 it is answered by REPLY when durable */       \
    X(PROGRESS, 21) /* f64 fraction, text message */                                                    \
    X(FINISHED, 22) /* mni_msg_finished_t: the task or block is over */                                 \
    X(MAP, 23)      /* mni_msg_map_t: opens the map `request` */                                        \
    X(MAP_CLOSE,                                                                                        \
      24) /* -: `request` is the map; answered by REPLY: 0, or 1 when executors may still write     \
             to its memory: MAP_GONE follows */   \
    X(READY, 25)    /* -: the process has started and waits for work */                                 \
    X(MAP_MORE, 26) /* u64 items: the arguments of so many are there now; `request` is the map */       \
    /* worker -> client */                                                                              \
    X(REPLY, 40) /* i32 code, text message; for code >= 0 what the request asked for:            \
                          START: id; GET, WAIT: mni_put_info(); LIST: u32 n, n ids;                    \
                          LOCKS: u32 n, n times (text name, id); LOG: mni_msg_log_t; SERVICE: text;   \
                          START_MANY: text (why not all), u32 n, n ids; WAIT_MANY: u32 n, n times mni_put_info(): the   \
                          first n of those asked for; LOOK: mni_msg_look_t; PART: bytes; LOOKS: u8 more, id of the last one  \
                          looked at, u32 n, n times mni_msg_look_t; FIND: u32 all, u32 n, n times mni_msg_look_t: the first \
                          n of all; NODES: u32 n, n times mni_put_node(); SUMMARY: mni_msg_summary_t; EXPLAIN: text */      \
    X(RUN, 41)   /* mni_msg_run_t: a job attempt, a service or the driver */                            \
    X(BLOCK, 42) /* mni_msg_block_t: items of a map to be worked on */                                  \
    X(EXIT, 43)  /* -: end the process */                                                               \
    X(MAP_ITEMS,                                                                                        \
      44) /* u64 first, u64 count, bytes pack: results, by value; `request` is the map */               \
    X(MAP_FAULT,                                                                                        \
      45) /* u64 index, i32 code, u8 reason, text message: one item failed; the map goes on */          \
    X(MAP_END,                                                                                          \
      46) /* i32 code, u64 index (of the item that failed), text message: nothing more comes */         \
    X(MAP_GONE, 47) /* -: nobody works on the closed map `request` any more */                          \
    /* worker <-> rank 0 */                                                                             \
    X(HELLO,                                                                                            \
      60) /* worker: text host, text topology, u64 memory, bytes places of cores, of GPUs; once */      \
    X(CALL, 61)      /* worker: u64 client, u64 task, bytes frame: a client's request passed on */      \
    X(ANSWER, 62)    /* rank 0: u64 client, bytes frame */                                              \
    X(TASK_RUN, 63)  /* rank 0: mni_msg_run_t */                                                        \
    X(TASK_STOP, 64) /* rank 0: u64 task, i32 code */                                                   \
    X(TASK_KILL, 65) /* rank 0: u64 task, u8 reason */                                                  \
    X(TASK_YIELD,                                                                                       \
      66) /* worker: u64 task, value, u64 client, u64 request (0: no answer is wanted), u64 count: \
             yields since the last such message, of which this value is the last */    \
    X(TASK_PROGRESS, 67) /* worker: u64 task, f64 fraction, text message */                             \
    X(TASK_ENDED, 68)    /* worker: mni_msg_ended_t */                                                  \
    X(SLOTS_WANT,                                                                                       \
      69) /* worker: u64 demand, u64 caller, u32 declaration, u32 want (0: closes it) */                \
    X(SLOT_GRANT, 70)   /* rank 0: u64 demand, mni_msg_slot_t */                                        \
    X(SLOTS_REFUSE, 71) /* rank 0: u64 demand, i32 code, text message */                                \
    X(SLOT_FREE, 72)    /* worker: u64 slot: given back */                                              \
    X(TASK_LOG,                                                                                         \
      73) /* rank 0: u64 task, u8 stream, u64 client, u64 request; answered by TASK_LOG_TEXT */         \
    X(TASK_LOG_TEXT,                                                                                    \
      74) /* worker: u64 client, u64 request, mni_put_piece(): what was written since the last one */   \
    X(JOB_OUTPUT,                                                                                       \
      75) /* worker: id, u8 stream, mni_put_piece(): what a slot wrote for a job, or for nobody */      \
    X(SHUTDOWN, 76)  /* rank 0: end all executors, answer GOODBYE, leave the loop */                    \
    X(GOODBYE, 77)   /* worker: - */                                                                    \
    X(RANK_LOST, 78) /* rank 0: u32 rank */                                                             \
    X(HEARTBEAT,                                                                                        \
      80) /* rank 0 and worker: u8 last; 1 from rank 0: no more of them, nothing runs */                \
    X(TASK_ADDRESS, 79) /* worker: u64 task, text host:port: where a service can be reached */          \
    /* worker <-> worker. payload: bytes that follow instead of those in the message; 0: none do */     \
    X(BLOCK_SEND,                                                                                       \
      90) /* u64 map, u64 block, mni_msg_slot_t, mni_msg_block_t, bytes arguments, u64 payload */       \
    X(BLOCK_DONE,                                                                                       \
      91) /* u64 map, u64 block, u64 slot, mni_msg_finished_t, bytes results, u64 payload */            \
    X(BLOCK_STOP, 92) /* u64 slot, i32 code: stop what runs in the slot; 0: kill it */                  \
    X(BLOCK_CUT,                                                                                        \
      93) /* u64 map, u64 block, u64 slot: an executor is idle, the block may be too long */            \
    X(BLOCK_KEPT,                                                                                       \
      94) /* u64 map, u64 block, u64 slot, u64 items: answers BLOCK_CUT; the block has so many now */

enum {
#define MNI_MESSAGE_ENUM(name, number) MNI_MSG_##name = (number),
    MNI_MESSAGES(MNI_MESSAGE_ENUM)
#undef MNI_MESSAGE_ENUM
};

/* Task numbers that the core does not give: the driver's, and from the next one on those of the services. */
#define MNI_TASK_DRIVER (UINT64_C(1) << 63)
#define MNI_TASK_SERVICES (MNI_TASK_DRIVER + 1)
#define MNI_TASK_OUTSIDE UINT64_MAX /* callers that are no processes of the runtime */

/* "START" for MNI_MSG_START; "?" for a number that is no message. */
const char *mni_message_name(uint16_t type);

typedef struct mni_msg_start {
    const char *job;
    mn_value_t input;
    const char *lock, *tag, *key, *memory;
    double cpu, timeout, grace;
    int32_t priority;
    uint32_t max_retries; /* 0: as declared */
    uint32_t gpus;        /* 0: as declared */
    bool cancel_with_parent;
} mni_msg_start_t;

typedef struct mni_msg_list {
    const char *job, *lock, *tag;
    uint32_t statuses;
    bool has_after;
    mn_id_t after;
    uint32_t capacity;
} mni_msg_list_t;

/* A job as it is shown outside: everything but the bytes of its values, unless they are few. */
typedef struct mni_msg_look {
    mn_info_t info; /* its result is `result` */
    mni_need_t need;
    mn_value_t input, result; /* data: NULL when left out */
} mni_msg_look_t;

typedef struct mni_msg_summary {
    uint64_t statuses[MN_CANCELLED + 1]; /* jobs with each */
    uint64_t tasks;                      /* that run */
    uint32_t nodes, workers;
    bool draining;
    const char *trouble; /* of the store; NULL: none */
} mni_msg_summary_t;

/* One attempt of a job, a service, or the driver. */
typedef struct mni_msg_run {
    uint8_t kind; /* mn_kind_t; 0: the driver */
    uint32_t declaration;
    uint64_t task;
    mn_id_t id; /* the job; zero for others */
    uint32_t attempt;
    mni_cpus_t cpus;  /* cores granted */
    uint64_t gpus;    /* bits: GPUs of the node's offer */
    uint64_t memory;  /* bytes that it may have, 0: no limit */
    uint32_t threads; /* what mn_task_cpus() says */
    uint32_t port;    /* services */
    bool has_last;
    mn_value_t input, last; /* last: the last yield, when has_last */
} mni_msg_run_t;

/* Where executors of the same rank find the memory of a map's caller: descriptor `memfd` of the rank, process `pid`.
 * They map the two ranges of its arena, the first for reading only, and work there without a copy. */
typedef struct mni_msg_shared {
    int32_t pid; /* 0: not shared; the block's offsets are into the executor's own arena */
    int32_t memfd;
    uint64_t inode;                      /* of the memfd, to know it by */
    uint64_t arguments, arguments_bytes; /* the whole map's */
    uint64_t results, results_bytes; /* by value: none, results go to the executor's own arena */
} mni_msg_shared_t;

/* Items of a map. Offsets are into the arena of the executor that works on them; zero in BLOCK_SEND. With
 * shared memory they are into the caller's, and a pack of arguments is the whole map's. */
typedef struct mni_msg_block {
    uint32_t declaration;
    mn_id_t id;    /* job on whose behalf */
    uint64_t task; /* the slot */
    uint32_t threads;
    bool by_value;         /* arguments are a pack, results are to be a pack; else fixed sizes */
    double timeout;        /* seconds per item, INFINITY: none */
    uint64_t first, count; /* items of the map (first is for messages) */
    uint64_t argument_size, result_size;
    uint64_t arguments, arguments_bytes; /* offset, bytes */
    uint64_t results,
        results_room; /* offset, bytes that may be written (fixed: count * result_size) */
    mni_msg_shared_t shared;
} mni_msg_block_t;

/* How a task or block ended, as the executor (or its worker, if it died) reports. */
typedef struct mni_msg_finished {
    int32_t code;        /* 0 or MN_E_* */
    uint8_t reason;      /* mn_reason_t */
    const char *message; /* NULL when code is 0 */
    uint64_t
        items; /* of a block: items that are complete; the item after them failed when code < 0 */
    uint64_t results_bytes; /* of a block by value: bytes of the pack of results */
    bool again;             /* the process may be used again */
    uint64_t cpu_time;      /* of its processes, nanoseconds */
    uint64_t peak_memory;   /* bytes; 0: not known; the worker's word, not the executor's */
} mni_msg_finished_t;

/* A map, as its caller opens it. Offsets are into the caller's arena. */
typedef struct mni_msg_map {
    uint32_t declaration;
    bool by_value;
    bool per_item;                                         /* report failures per item and go on */
    uint64_t count, argument_size, result_size, max_block; /* max_block 0: chosen */
    uint64_t arguments, arguments_bytes, results;
    uint64_t ready; /* items whose arguments are there already; MAP_MORE tells of the others */
    uint64_t
        base; /* number of the first item in the whole that this map is a part of; for messages */
} mni_msg_map_t;

typedef struct mni_msg_ended {
    uint64_t task;
    mni_msg_finished_t finished;
    mni_textlog_piece_t out, err; /* what the attempt wrote, but for what TASK_LOG_TEXT had */
} mni_msg_ended_t;

/* What there is of a stream of an attempt, from a byte on. */
typedef struct mni_msg_log {
    const void *text;
    size_t size;
    uint64_t next;    /* number of the byte behind it */
    uint32_t attempt; /* which it is */
    bool over;        /* nothing more comes from it */
    bool ended;       /* the job is terminal: there will be no other attempt */
} mni_msg_log_t;

typedef struct mni_msg_slot {
    uint64_t task;
    uint32_t rank; /* where it is */
    mni_cpus_t cpus;
    uint64_t gpus;
    uint32_t threads;
    mn_id_t id;            /* the job on whose behalf; zero from the driver */
    double grace, timeout; /* seconds */
} mni_msg_slot_t;

/* Each pair writes and reads the fields of one struct inside a frame. Views point into the frame. */
void mni_put_start(mni_writer_t *writer, const mni_msg_start_t *start);
mni_msg_start_t mni_get_start(mni_reader_t *reader);
void mni_put_list(mni_writer_t *writer, const mni_msg_list_t *list);
mni_msg_list_t mni_get_list(mni_reader_t *reader);
void mni_put_run(mni_writer_t *writer, const mni_msg_run_t *run);
mni_msg_run_t mni_get_run(mni_reader_t *reader);
void mni_put_block(mni_writer_t *writer, const mni_msg_block_t *block);
mni_msg_block_t mni_get_block(mni_reader_t *reader);
void mni_put_finished(mni_writer_t *writer, const mni_msg_finished_t *finished);
mni_msg_finished_t mni_get_finished(mni_reader_t *reader);
void mni_put_map(mni_writer_t *writer, const mni_msg_map_t *map);
mni_msg_map_t mni_get_map(mni_reader_t *reader);
void mni_put_ended(mni_writer_t *writer, const mni_msg_ended_t *ended);
mni_msg_ended_t mni_get_ended(mni_reader_t *reader);
void mni_put_piece(mni_writer_t *writer, const mni_textlog_piece_t *piece);
mni_textlog_piece_t mni_get_piece(mni_reader_t *reader);
void mni_put_log(mni_writer_t *writer, const mni_msg_log_t *log);
mni_msg_log_t mni_get_log(mni_reader_t *reader);
void mni_put_slot(mni_writer_t *writer, const mni_msg_slot_t *slot);
mni_msg_slot_t mni_get_slot(mni_reader_t *reader);
void mni_put_look(mni_writer_t *writer, const mni_msg_look_t *look, uint32_t room);
mni_msg_look_t mni_get_look(mni_reader_t *reader);
void mni_put_summary(mni_writer_t *writer, const mni_msg_summary_t *summary);
mni_msg_summary_t mni_get_summary(mni_reader_t *reader);
void mni_put_node(mni_writer_t *writer, const mni_node_use_t *node);
mni_node_use_t mni_get_node(mni_reader_t *reader);
/* A job's state; pointers of the one that is read are views. */
void mni_put_info(mni_writer_t *writer, const mn_info_t *info);
mn_info_t mni_get_info(mni_reader_t *reader);

#endif
