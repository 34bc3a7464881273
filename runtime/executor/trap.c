/* SPDX-License-Identifier: MIT
 *
 * The first system call of a task is noticed. See trap.h.
 */
#include "executor/trap.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#define SYSCALL_DISPATCH_FILTER_ALLOW 0
#define SYSCALL_DISPATCH_FILTER_BLOCK 1
#endif

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

#define ALLOW SYSCALL_DISPATCH_FILTER_ALLOW
#define BLOCK SYSCALL_DISPATCH_FILTER_BLOCK

static volatile char selector = ALLOW; /* the kernel reads it at each system call */
static bool is_open;
static void (*before_first)(void);

/* ThreadSanitizer holds signals back. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)

#define SYSCALL_BYTES 2 /* of the instruction */
#define STACK_BYTES ((size_t)64 * 1024)

static void first_system_call(int number, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    int saved = errno;
    selector = ALLOW;
    if (info->si_code !=
        SYS_USER_DISPATCH) { /* somebody else's: it does what it would without us */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    if (before_first)
        before_first();
    at->uc_mcontext.gregs[REG_RIP] -= SYSCALL_BYTES;
    at->uc_mcontext.gregs[REG_RAX] = info->si_syscall;
    errno = saved;
}

/* Where user code may have moved its stack pointer to is no place for a signal's frame. */
static bool give_stack(void)
{
    stack_t stack = {.ss_size = STACK_BYTES};
    stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return false;
    if (sigaltstack(&stack, NULL) == 0)
        return true;
    munmap(stack.ss_sp, STACK_BYTES);
    return false;
}

void mni_trap_open(void (*before)(void))
{
    struct sigaction action = {.sa_sigaction = first_system_call,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK};
    before_first = before;
    /* Valgrind makes all system calls itself, where it does not expect a signal. It is told by what it preloads. */
    const char *preloaded = getenv("LD_PRELOAD");
    if (preloaded && strstr(preloaded, "vgpreload"))
        return;
    if (is_open || !give_stack() || sigaction(SIGSYS, &action, NULL) < 0)
        return;
    is_open = prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) == 0;
    if (!is_open)
        signal(SIGSYS, SIG_DFL);
}

#else

void mni_trap_open(void (*before)(void))
{
    before_first = before;
}

#endif

bool mni_trap_arm(void)
{
    if (is_open)
        selector = BLOCK;
    return is_open;
}

bool mni_trap_disarm(void)
{
    bool made = selector == ALLOW;
    selector = ALLOW;
    return made;
}

char mni_trap_pass(void)
{
    char before = selector;
    selector = ALLOW;
    return before;
}

void mni_trap_leave(char before)
{
    selector = before;
}
