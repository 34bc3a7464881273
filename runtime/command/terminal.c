/* SPDX-License-Identifier: MIT
 *
 * Handing on what is typed. Runs in the command's only thread.
 */
#include "command/terminal.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int mni_terminal_open(mni_terminal_t *terminal, int *input)
{
    int ends[2];

    *terminal = (mni_terminal_t){.pipe = -1};
    *input = -1;
    if (!isatty(STDIN_FILENO))
        return 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return mni_error_errno("cannot make a pipe");
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    terminal->pipe = ends[1];
    terminal->reading = true;
    mni_terminal_look(terminal);
    *input = ends[0];
    return 0;
}

void mni_terminal_look(mni_terminal_t *terminal)
{
    terminal->foreground = terminal->reading && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void mni_terminal_poll(mni_terminal_t *terminal, struct pollfd ready[2])
{
    bool full = terminal->from < terminal->to, open = terminal->pipe >= 0;

    ready[0] = (struct pollfd){.fd = open && !full && terminal->foreground ? STDIN_FILENO : -1,
                               .events = POLLIN};
    /* Without text only the other end's close is of interest, which poll() tells unasked. */
    ready[1] = (struct pollfd){.fd = terminal->pipe, .events = full ? POLLOUT : 0};
}

static void close_pipe(mni_terminal_t *terminal)
{
    close(terminal->pipe);
    terminal->pipe = -1;
    terminal->reading = terminal->foreground = false;
}

static void hand_on(mni_terminal_t *terminal)
{
    ssize_t written =
        write(terminal->pipe, terminal->text + terminal->from, terminal->to - terminal->from);

    if (written > 0)
        terminal->from += (size_t)written;
    else if (written < 0 && errno != EAGAIN && errno != EINTR)
        close_pipe(terminal);
}

static void read_terminal(mni_terminal_t *terminal)
{
    mni_terminal_look(terminal);
    if (!terminal->foreground)
        return;
    ssize_t size = read(STDIN_FILENO, terminal->text, sizeof terminal->text);
    if (size > 0) {
        terminal->from = 0;
        terminal->to = (size_t)size;
        hand_on(terminal);
    } else if (size == 0 || (errno != EINTR && errno != EAGAIN)) {
        close_pipe(terminal); /* Ctrl-D, or the terminal has gone */
    }
}

void mni_terminal_serve(mni_terminal_t *terminal, const struct pollfd ready[2])
{
    if (ready[1].revents & (POLLERR | POLLHUP))
        close_pipe(terminal);
    else if (ready[1].revents & POLLOUT)
        hand_on(terminal);
    if (ready[0].revents && terminal->pipe >= 0)
        read_terminal(terminal);
}

void mni_terminal_close(mni_terminal_t *terminal)
{
    if (terminal->pipe >= 0)
        close_pipe(terminal);
}
