/* SPDX-License-Identifier: MIT
 *
 * Misdeeds of isolation.c: processes and threads that a task leaves behind.
 */
#include "isolation.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* A process that does not want to go. `told`: where it says that it is on the roll. */
_Noreturn static void linger(const char *roll, int told)
{
    refuse_signals();
    char byte = roll_sign(roll) >= 0 ? 'x' : '?';
    if (write(told, &byte, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* Waits until `count` processes are on the roll. */
static int gather(mn_task_t *task, int told, int count)
{
    for (char byte = 0; count > 0; count--)
        if (read(told, &byte, 1) != 1 || byte != 'x')
            return mn_fail(task, MN_E_FAILED, "%d children did not come up", count);
    close(told);
    return 0;
}

/* An ordinary child, one in a session of its own, one that is nobody's child any more. */
MISDEED(leave_children)
{
    int told[2];
    if (pipe(told) < 0)
        return mn_fail(task, MN_E_SYSTEM, "pipe");
    for (int kind = 0; kind < 3; kind++) {
        pid_t child = fork();
        if (child != 0) {
            if (kind == 2)
                waitpid(child, NULL, 0);
            continue;
        }
        prctl(PR_SET_PDEATHSIG, 0);
        if (kind > 0)
            setsid();
        if (kind == 2 && fork() != 0)
            _exit(0);
        linger(roll, told[1]);
    }
    close(told[1]);
    return gather(task, told[0], 3);
}

MISDEED(lose_a_child)
{
    pid_t child = fork();
    if (child == 0)
        abort();
    waitpid(child, NULL, 0);
    return 0;
}

MISDEED(leave_children_and_crash)
{
    int rc = leave_children(task, roll);
    return rc < 0 ? rc : segfault(task, roll);
}

enum { MANY = 200 };

/* Until no more can be had, or they are many. */
MISDEED(fork_in_a_loop)
{
    int told[2], count = 0;
    if (pipe(told) < 0)
        return mn_fail(task, MN_E_SYSTEM, "pipe");
    for (; count < MANY; count++) {
        pid_t child = fork();
        if (child < 0)
            break;
        if (child == 0)
            linger(roll, told[1]);
    }
    close(told[1]);
    return gather(task, told[0], count);
}

/* Those that are forked fork too, each a successor, while they are being killed. */
MISDEED(leave_a_chain)
{
    int told[2];
    if (pipe(told) < 0)
        return mn_fail(task, MN_E_SYSTEM, "pipe");
    if (fork() == 0) {
        refuse_signals();
        char byte = roll_sign(roll) >= 0 ? 'x' : '?';
        for (int i = 0; i < MANY; i++) {
            if (i % 2 == 1)
                setsid();
            if (i == 20 && write(told[1], &byte, 1) != 1)
                _exit(1);
            if (fork() != 0)
                _exit(0);
        }
        for (;;)
            pause();
    }
    close(told[1]);
    return gather(task, told[0], 1);
}

static void *stay(void *argument)
{
    for (;;)
        pause();
    return argument;
}

MISDEED(leave_threads)
{
    pthread_t thread;
    for (int i = 0; i < 8; i++)
        if (pthread_create(&thread, NULL, stay, NULL) != 0)
            return mn_fail(task, MN_E_SYSTEM, "pthread_create");
    return 0;
}
