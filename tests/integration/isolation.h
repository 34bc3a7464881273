/* SPDX-License-Identifier: MIT
 *
 * What the files of isolation.c share: what can be done wrong (isolation_ends.c, isolation_processes.c,
 * isolation_state.c, isolation_memory.c), what becomes of it (isolation_rows.c), and the jobs and functions that do it
 * (isolation_suspects.c).
 */
#ifndef MNI_TESTS_INTEGRATION_ISOLATION_H
#define MNI_TESTS_INTEGRATION_ISOLATION_H

#include "check.h"
#include "portrait.h"

/* What a misdeed is given: a FIFO on which processes show that they live (roll_sign()). */
typedef int misdeed_t(mn_task_t *task, const char *roll);
#define MISDEED(name) int name(mn_task_t *task CHECK_UNUSED, const char *roll CHECK_UNUSED)

misdeed_t fine, segfault, abort_itself, exit_0, exit_3, exit_at_once, exit_in_a_thread,
    end_main_thread, fail, return_code, return_positive, return_unknown, overflow_stack,
    kill_itself, kill_group, terminate_itself, raise_fpe, stop_itself, hang_deaf, close_all,
    replace_all, leave_children, lose_a_child, leave_children_and_crash, fork_in_a_loop,
    leave_a_chain, leave_threads, change_directory, change_umask, change_signals, block_signals,
    ignore_signals, change_environment, clear_environment, change_locale, change_rounding,
    trap_floating_point, change_cores, lower_priority, print_a_gigabyte, scribble_over_heap,
    overrun_heap, write_to_freed, scribble_over_channel, scribble_over_positions,
    scribble_over_positions_and_yield, scribble_over_rings, scribble_over_doorbell;

/* Blocks and ignores every signal. */
void refuse_signals(void);

/* Whether the process of a misdeed may be used for the next task. MAY_BREAK: and then break, for the misdeed ended well
 * and nobody can know what it has done to its own heap; the error must say that the process was used before. */
typedef enum again { MAY_BE, MAY_BREAK, MUST_BE, MUST_NOT_BE } again_t;

typedef struct row {
    const char *name;
    misdeed_t *misdeed;
    again_t again;
    mn_status_t status;
    mn_reason_t reason; /* NONE: any that a process ends or is ended for, or success */
    const char *error;  /* is somewhere in the sentence */
    int code;           /* of an item that ends so */
    bool hangs;         /* ends only by a timeout or a cancel */
    bool jobs_only;
} row_t;

extern const row_t rows[];
extern const size_t rows_count;

/* Why this row cannot be tried in this build or under this tool; NULL where it can. */
const char *impossible(const row_t *row);

/* Input: the number of a row, and the path of the roll; or "look": then the result is the last misdeed of this
 * process, and its portrait. */
typedef struct look {
    char last[128];
    portrait_t portrait;
} look_t;

mn_entry_t suspect, suspect_with_timeout, suspect_item, suspect_item_with_timeout, call_item,
    call_item_with_timeout, look_at_item, new_process, nothing, steady;

#endif
