/* SPDX-License-Identifier: MIT
 *
 * Whether user code has made a system call. A task that has made none can have changed nothing of what is put back after
 * it with system calls of our own, which cost more than a small task does (a microsecond each on a virtual machine).
 *
 * The kernel's syscall user dispatch (Linux 5.11, x86-64; Documentation/admin-guide/syscall-user-dispatch.rst): while the
 * selector says so, the first system call of the thread raises SIGSYS; our handler lets all pass from then on, and has
 * that one made again. So each task pays for one signal at most. Threads and children are not covered: to make them
 * takes a system call. Where the kernel has no such thing every task counts as one that has made a system call.
 * An executor's main thread.
 */
#ifndef MNI_EXECUTOR_TRAP_H
#define MNI_EXECUTOR_TRAP_H

#include <stdbool.h>

/* Prepares it. `before` is called in the signal handler, before the first system call of a task is made; it may make
 * system calls, and whatever else is safe in a signal handler. */
void mni_trap_open(void (*before)(void));

/* Before user code, and after it. arm: false where nothing can be told; disarm: whether user code has made a system call. */
bool mni_trap_arm(void);
bool mni_trap_disarm(void);

/* Around the library's own code that user code calls: its system calls do not count. leave() takes what pass() returned. */
char mni_trap_pass(void);
void mni_trap_leave(char selector);

#endif
