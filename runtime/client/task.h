/* SPDX-License-Identifier: MIT
 *
 * The task that this process runs: the one mn_task_t there is. User code gets its address; a call
 * with any other address is refused without looking at what lies there.
 *
 * Set up and taken down by the main thread, between calls of user code. What the per-item path of a
 * fixed-size map touches comes first, and is used without a lock while the process has one thread.
 */
#ifndef MNI_CLIENT_TASK_H
#define MNI_CLIENT_TASK_H

#include "core/declare.h"
#include "wire/message.h"

typedef enum mni_handle_kind {
    MNI_HANDLE_NONE = 0, /* nothing runs */
    MNI_HANDLE_DRIVER,
    MNI_HANDLE_JOB,
    MNI_HANDLE_SERVICE,
    MNI_HANDLE_FUNCTION /* an item of a map */
} mni_handle_kind_t;

struct mn_task {
    /* An item of a map. */
    bool fixed;      /* its result has a fixed size and goes to `result` */
    bool yielded;    /* it has yielded */
    bool complained; /* a yield of it was refused: `complaint` says why */
    bool
        blockwise; /* it is the block_count items of a block at once, of which block_done are complete */
    uint64_t block_count, block_done;
    uint8_t *result;
    size_t result_size;

    /* An item by value: where its result goes in the pack of its block (see block.c). */
    uint8_t *pack;
    size_t pack_offset;   /* of the pack, in the arena */
    size_t pack_base;     /* size of the pack before this item */
    size_t pack_size;     /* with its latest yield */
    size_t pack_room;     /* that it may have */
    size_t pack_reserved; /* of these bytes pages exist */
    size_t pack_index;

    mni_handle_kind_t kind;
    const char *name;
    uint64_t number; /* the runtime's number of the task */
    mn_id_t job;
    unsigned attempt, threads, port;

    /* The value last yielded by a job. */
    bool has_last;
    mn_value_t last;   /* in the frame of the RUN, or in `kept` */
    mni_writer_t kept; /* the frame of the last yield */
    mni_writer_t
        spare; /* the one that the next yield is written to, since it may read from `kept` */

    char failure[1024]; /* what mn_fail() said; "" for nothing */
    mn_reason_t reason; /* of an end that is no success; MN_REASON_NONE: the usual one */
    char complaint[256];
};

extern mn_task_t mni_task;

/* Makes the handle stand for the driver, an attempt of a job or a service, or the items of a block.
 */
void mni_task_set_driver(void);
void mni_task_set_run(const mni_msg_run_t *run, const mni_declaration_t *declaration);
void mni_task_set_block(const mni_msg_block_t *block, const mni_declaration_t *declaration);

/* After user code: ends the watch for a cancel, closes maps that were left open, forgets the
 * yields. */
void mni_task_end(void);
/* The same between two items of a block; costs nothing when there is nothing to do. */
void mni_task_end_item(void);
/* In a forked child of user code: no task runs here. */
void mni_task_forget(void);

/* 0 if `task` is the task that runs; else MN_E_NO_RUNTIME or MN_E_INVALID with a sentence. */
int mni_task_check(const mn_task_t *task);

/* Turns what user code returned into what is reported: code, reason and message, which is valid
 * until the next task. */
void mni_task_outcome(int returned, mni_msg_finished_t *finished);

/* block.c: a yield of an item. Locked or single-threaded. */
int mni_item_yield(mn_task_t *task, mn_value_t value);

/* cancel.c: ends the thread that watches for a cancel, if there is one; it is gone from the
 * kernel's list, too. */
void mni_cancel_end(void);
/* In a forked child: the thread does not exist here. */
void mni_cancel_forget(void);

/* block.c: runs the items of a block. Fills in code, reason, message, items and results_bytes. */
void mni_block_run(const mni_msg_block_t *block, const mni_declaration_t *declaration,
                   mni_msg_finished_t *finished);

/* jobs.c: what a start is checked for before it is sent, and its message. */
int mni_start_check(const mni_declaration_t *declaration, mn_value_t input,
                    const mn_start_options_t *options);
/* Checks what jobs a list is to have. 0 or MN_E_INVALID. */
int mni_list_check(const mn_list_options_t *options);
mni_msg_start_t mni_start_message(const mni_declaration_t *declaration, mn_value_t input,
                                  const mn_start_options_t *options);

/* port.c: a port for a service to listen on: `wanted` if that is free, any free one for 0.
 * MN_E_FAILED with a sentence. */
int mni_port_choose(const char *name, unsigned wanted, unsigned *port);

/* "host:port" of this host: by its name, or by number where nothing knows the name (a host without an entry in
 * /etc/hosts). May block in the resolver. */
#define MNI_ADDRESS_ROOM 320
void mni_port_address(unsigned port, char address[MNI_ADDRESS_ROOM]);

#endif
