/* SPDX-License-Identifier: MIT
 *
 * Misdeeds of isolation.c: ends of a task that a well-behaved one does not have, and tasks that do not end.
 */
#include "isolation.h"

#include <pthread.h>

MISDEED(fine)
{
    return 0;
}

/* In a build with UndefinedBehaviorSanitizer too this is to end of the signal. */
__attribute__((no_sanitize("undefined"))) MISDEED(segfault)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
    return 0;
}

MISDEED(abort_itself)
{
    abort();
}

MISDEED(exit_0)
{
    exit(0);
}

MISDEED(exit_3)
{
    exit(3);
}

MISDEED(exit_at_once)
{
    _exit(4);
}

static void *exit_5(void *argument)
{
    (void)argument;
    exit(5);
}

MISDEED(exit_in_a_thread)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, exit_5, NULL) == 0)
        pthread_join(thread, NULL);
    return 0;
}

/* LeakSanitizer asks for this one: what only the stack of an ended main thread pointed to is no leak. */
static int main_thread_ends;
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return main_thread_ends;
}

MISDEED(end_main_thread)
{
    main_thread_ends = 1;
    pthread_exit(NULL);
}

MISDEED(fail)
{
    return mn_fail(task, MN_E_FAILED, "no such thing: %s", "the moon");
}

MISDEED(return_code)
{
    return MN_E_NO_MEMORY;
}

MISDEED(return_positive)
{
    return 5;
}

MISDEED(return_unknown)
{
    return -12345;
}

static volatile int deep_enough; /* never */

static int go_deeper(volatile char *above)
{
    volatile char block[4096];
    block[0] = above ? above[0] : 1;
    return deep_enough ? 0 : go_deeper(block) + block[0];
}

MISDEED(overflow_stack)
{
    return go_deeper(NULL);
}

MISDEED(kill_itself)
{
    raise(SIGKILL);
    return 0;
}

MISDEED(kill_group)
{
    kill(0, SIGKILL);
    return 0;
}

MISDEED(terminate_itself)
{
    kill(getpid(), SIGTERM);
    return 0;
}

MISDEED(raise_fpe)
{
    raise(SIGFPE);
    return 0;
}

/* --- hangs -------------------------------------------------------------------------------------- */

/* These sign the roll, so that the driver knows when they hang. */
MISDEED(stop_itself)
{
    roll_sign(roll);
    raise(SIGSTOP);
    return 0;
}

void refuse_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
}

MISDEED(hang_deaf)
{
    roll_sign(roll);
    refuse_signals();
    while (pause() < 0)
        ;
    return 0;
}
