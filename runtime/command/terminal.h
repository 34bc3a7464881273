/* SPDX-License-Identifier: MIT
 *
 * A terminal as the program's standard input. mpirun runs in a session of its own and may not
 * read the terminal, so the command reads it and hands on what is typed through a pipe. Anything
 * else (a file, a pipe) mpirun reads itself.
 */
#ifndef MNI_COMMAND_TERMINAL_H
#define MNI_COMMAND_TERMINAL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct mni_terminal {
    bool reading;    /* standard input is a terminal and has not ended */
    bool foreground; /* it is ours to read now: a background process that reads is stopped */
    int pipe;        /* to mpirun; -1: closed */
    size_t from, to; /* what of the text is still to be handed on */
    char text[4096];
} mni_terminal_t;

/* `input` receives the descriptor that mpirun is to have as standard input, -1: the command's
 * own. 0 or MN_E_SYSTEM. */
int mni_terminal_open(mni_terminal_t *terminal, int *input);

/* To open it anew for another run: nothing more is handed on. */
void mni_terminal_close(mni_terminal_t *terminal);

/* How often to look whether a background process has become the foreground one; shells need not
 * tell it. */
#define MNI_TERMINAL_PAUSE_MS 300

/* Looks again whether the terminal is ours: when waiting for it, or after SIGCONT. */
void mni_terminal_look(mni_terminal_t *terminal);
static inline bool mni_terminal_is_waiting(const mni_terminal_t *terminal)
{
    return terminal->reading && !terminal->foreground;
}

/* Fills in what to wait for, two entries, and does what poll() found. */
void mni_terminal_poll(mni_terminal_t *terminal, struct pollfd ready[2]);
void mni_terminal_serve(mni_terminal_t *terminal, const struct pollfd ready[2]);

#endif
