/* SPDX-License-Identifier: MIT
 *
 * The job "exec", which every runtime has: it runs any program. docs/exec.md says what a user can rely on.
 *
 * Executors' main thread, which sleeps on the executor's doorbell: the worker rings it when the task is to stop, and a handler
 * of SIGCHLD and SIGIO when the program has ended, has yielded a line or asks for something. So nothing is polled, and no
 * thread is needed.
 *
 *     exec.c          a program from its beginning to its end
 *     exec_record.c   what is to be run: the job's input
 *     exec_start.c    from that to a process
 *     exec_talk.c     what comes from the program: lines with yields, and messages of `multinode yield` and its kin
 */
#ifndef MNI_CLIENT_EXEC_H
#define MNI_CLIENT_EXEC_H

#include <multinode.h>

#include <sys/types.h>

/* Declares it, before the declarations are closed. */
int mni_exec_declare(void);

/* --- what is to be run --- */

typedef struct mni_exec_record {
    char **arguments;   /* ended by NULL, at least one */
    char **environment; /* NULL: none is given */
    bool
        inherit; /* the executor's own is added, but for names that are in it; always when none is given */
    char *directory;  /* NULL: the executor's own */
    mn_value_t input; /* of standard input; empty: /dev/null */
} mni_exec_record_t;

/* Reads a job's input; on failure, too, mni_exec_record_fini() is to follow. MN_E_INVALID with a sentence that names the member, MN_E_NO_MEMORY. */
int mni_exec_record_read(mn_value_t input, mni_exec_record_t *record);
void mni_exec_record_fini(mni_exec_record_t *record);

/* --- what comes from the program --- */

typedef struct mni_exec_talk {
    mn_task_t *task;
    int lines[2]; /* the pipe whose other end the program has */
    int socket;
    char name[40]; /* of the socket, as the environment has it */
    char *line;    /* what has come of one */
    size_t size, room;
    bool skipping;   /* a line that is too long */
    uint64_t yields; /* taken from the program */
} mni_exec_talk_t;

/* Opens pipe and socket, which stay with the process: between two programs they are empty. MN_E_SYSTEM. */
int mni_exec_talk_open(mn_task_t *task, mni_exec_talk_t *talk);
/* Takes what has come; does not block. */
void mni_exec_talk_take(mni_exec_talk_t *talk);
/* The program has ended: a last line may be without its end. */
void mni_exec_talk_end(mni_exec_talk_t *talk);
void mni_exec_talk_close(mni_exec_talk_t *talk);

/* --- the process --- */

#define MNI_EXEC_YIELD_FD 3 /* in the program: one that every shell can name */

/* Starts it in a process group of its own. MN_E_FAILED with a sentence that says what cannot be run, and why. */
int mni_exec_start(const mn_task_t *task, const mni_exec_record_t *record,
                   const mni_exec_talk_t *talk, pid_t *pid);

/* --- messages from below a program: a datagram and its answer --- */

#define MNI_EXEC_SOCKET_VARIABLE "MULTINODE_TASK_SOCKET"
#define MNI_EXEC_TEXT 256

typedef enum mni_exec_ask_kind {
    MNI_EXEC_YIELD = 1,
    MNI_EXEC_PROGRESS,
    MNI_EXEC_CANCELLED
} mni_exec_ask_kind_t;

/* A yield comes with the descriptor of a memfd that has the value. */
typedef struct mni_exec_ask {
    uint32_t kind;
    double fraction;
    char text[MNI_EXEC_TEXT]; /* NUL-terminated */
} mni_exec_ask_t;

/* Answers: 0 done, or not cancelled; 1 cancelled; MN_E_* with a sentence. */
typedef struct mni_exec_answer {
    int32_t code;
    char text[MNI_EXEC_TEXT];
} mni_exec_answer_t;

/* Sends one to the task that this process runs below, and waits for the answer, whose code is returned and whose sentence is the thread's.
 * `fd`: -1 none. MN_E_NO_RUNTIME: this process runs in no such task. */
int mni_exec_ask(const mni_exec_ask_t *ask, int fd);

#endif
