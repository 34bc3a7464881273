/* SPDX-License-Identifier: MIT
 *
 * What becomes of each misdeed, of a task that commits it and of the process that it ran in.
 */
#include "isolation.h"

#define ENDS_WELL(name, misdeed, again)                                               \
    {                                                                                 \
        name, misdeed, again, MN_SUCCEEDED, MN_REASON_RETURNED, NULL, 0, false, false \
    }
#define ENDS_WELL_AS_JOB(name, misdeed, again)                                       \
    {                                                                                \
        name, misdeed, again, MN_SUCCEEDED, MN_REASON_RETURNED, NULL, 0, false, true \
    }
#define CRASHES(name, misdeed, reason, error)                                            \
    {                                                                                    \
        name, misdeed, MUST_NOT_BE, MN_FAILED, reason, error, MN_E_CRASHED, false, false \
    }
#define FAILS(name, misdeed, error, code)                                                 \
    {                                                                                     \
        name, misdeed, MUST_NOT_BE, MN_FAILED, MN_REASON_ERROR, error, code, false, false \
    }
#define HANGS(name, misdeed)                                                                      \
    {                                                                                             \
        name, misdeed, MUST_NOT_BE, MN_FAILED, MN_REASON_TIMEOUT, NULL, MN_E_TIMEOUT, true, false \
    }
#define ENDS_SOMEHOW(name, misdeed, again)                                     \
    {                                                                          \
        name, misdeed, again, MN_FAILED, MN_REASON_NONE, NULL, 0, false, false \
    }

const row_t rows[] = {
    ENDS_WELL("does nothing wrong", fine, MUST_BE),
    CRASHES("segfaults", segfault, MN_REASON_SIGNAL, "egmentation"),
    CRASHES("aborts", abort_itself, MN_REASON_SIGNAL, "bort"),
    CRASHES("calls exit(0)", exit_0, MN_REASON_EXITED, "status 0"),
    CRASHES("calls exit(3)", exit_3, MN_REASON_EXITED, "status 3"),
    CRASHES("calls _exit(4)", exit_at_once, MN_REASON_EXITED, "status 4"),
    CRASHES("calls exit(5) in a thread", exit_in_a_thread, MN_REASON_EXITED, "status 5"),
    CRASHES("ends its main thread", end_main_thread, MN_REASON_EXITED, "status 0"),
    FAILS("fails with a sentence", fail, "no such thing: the moon", MN_E_FAILED),
    FAILS("returns an error", return_code, "out of memory", MN_E_NO_MEMORY),
    FAILS("returns a positive number", return_positive, "5", MN_E_FAILED),
    FAILS("returns an unknown number", return_unknown, "-12345", MN_E_FAILED),
    CRASHES("overflows its stack", overflow_stack, MN_REASON_SIGNAL, "egmentation"),
    CRASHES("raises SIGKILL", kill_itself, MN_REASON_SIGNAL, "ill"),
    CRASHES("kills its process group", kill_group, MN_REASON_SIGNAL, "ill"),
    CRASHES("raises SIGTERM", terminate_itself, MN_REASON_SIGNAL, "erminat"),
    CRASHES("raises SIGFPE", raise_fpe, MN_REASON_SIGNAL, "loating"),
    HANGS("raises SIGSTOP", stop_itself),
    HANGS("hangs, with every signal blocked and ignored", hang_deaf),
    ENDS_WELL("closes every descriptor", close_all, MUST_NOT_BE),
    ENDS_WELL("puts files in the place of every descriptor", replace_all, MUST_NOT_BE),
    ENDS_WELL("has a child that crashes", lose_a_child, MUST_BE),
    ENDS_WELL("leaves children, with setsid and double fork", leave_children, MUST_NOT_BE),
    CRASHES("leaves children and crashes", leave_children_and_crash, MN_REASON_SIGNAL,
            "egmentation"),
    ENDS_WELL("forks without wait in a loop", fork_in_a_loop, MUST_NOT_BE),
    ENDS_WELL("leaves a process that goes on forking", leave_a_chain, MUST_NOT_BE),
    ENDS_WELL("leaves threads", leave_threads, MUST_NOT_BE),
    ENDS_WELL("changes directory", change_directory, MUST_BE),
    ENDS_WELL("changes umask", change_umask, MUST_BE),
    ENDS_WELL("changes signal handlers, mask, stack and timers", change_signals, MUST_BE),
    ENDS_WELL("blocks every signal", block_signals, MUST_BE),
    ENDS_WELL("ignores every signal", ignore_signals, MUST_BE),
    ENDS_WELL("changes environment", change_environment, MUST_BE),
    ENDS_WELL("clears environment", clear_environment, MUST_BE),
    ENDS_WELL("changes locale", change_locale, MUST_BE),
    ENDS_WELL("changes rounding mode", change_rounding, MUST_BE),
    ENDS_WELL("traps floating-point exceptions", trap_floating_point, MUST_BE),
    ENDS_WELL("binds itself to all cores", change_cores, MUST_BE),
    ENDS_WELL("lowers its priority", lower_priority, MAY_BE),
    ENDS_WELL_AS_JOB("prints a gigabyte", print_a_gigabyte, MUST_BE),
    ENDS_SOMEHOW("scribbles over its whole heap", scribble_over_heap, MUST_NOT_BE),
    ENDS_SOMEHOW("writes beyond the ends of its blocks", overrun_heap, MAY_BREAK),
    ENDS_SOMEHOW("writes to freed blocks", write_to_freed, MAY_BREAK),
    ENDS_SOMEHOW("scribbles over its channel", scribble_over_channel, MUST_NOT_BE),
    ENDS_SOMEHOW("scribbles over the ring positions", scribble_over_positions, MUST_NOT_BE),
    ENDS_SOMEHOW("scribbles over the ring positions and yields", scribble_over_positions_and_yield,
                 MUST_NOT_BE),
    ENDS_SOMEHOW("scribbles over rings and logs", scribble_over_rings, MAY_BE),
    ENDS_WELL("scribbles over the doorbell of its rank", scribble_over_doorbell, MAY_BE),
};

const size_t rows_count = sizeof rows / sizeof *rows;

/* What a sanitizer or memcheck makes of these misdeeds is not what becomes of them without it. */
static const struct {
    misdeed_t *misdeed;
    const char *why;
} impossible_rows[] = {
#ifdef __SANITIZE_THREAD__
    {end_main_thread, "ThreadSanitizer's own thread stays, and with it the process"},
    {scribble_over_heap, "ThreadSanitizer has a heap of its own making elsewhere"},
    {overrun_heap, "ThreadSanitizer reports the accesses, as it should"},
    {write_to_freed, "ThreadSanitizer reports the accesses, as it should"},
#endif
    {NULL, NULL},
};

static const struct {
    misdeed_t *misdeed;
    const char *why;
} impossible_under_memcheck[] = {
    {segfault, "memcheck reports the access, as it should"},
    {overflow_stack, "memcheck reports the overflow, as it should"},
    {overrun_heap, "memcheck reports the accesses, as it should"},
    {write_to_freed, "memcheck reports the accesses, as it should"},
    {leave_children_and_crash, "memcheck reports the access, as it should"},
    {scribble_over_heap, "memcheck has a heap of its own making elsewhere"},
    {trap_floating_point, "memcheck does not simulate floating-point traps"},
    {change_rounding, "memcheck does not simulate all rounding modes"},
};

const char *impossible(const row_t *row)
{
    for (size_t i = 0; impossible_rows[i].misdeed; i++)
        if (row->misdeed == impossible_rows[i].misdeed)
            return impossible_rows[i].why;
    const char *under = getenv("UNDER");
    if (!under || !strstr(under, "memcheck"))
        return NULL;
    for (size_t i = 0; i < sizeof impossible_under_memcheck / sizeof *impossible_under_memcheck;
         i++)
        if (row->misdeed == impossible_under_memcheck[i].misdeed)
            return impossible_under_memcheck[i].why;
    return NULL;
}
