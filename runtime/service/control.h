/* SPDX-License-Identifier: MIT
 *
 * The line between `multinode run` and rank 0 of what it started: a Unix socket in a private
 * folder, named to rank 0 by the environment variable MULTINODE_CONTROL. The command hands over its
 * standard output and error and may ask for a drain or a stop, rank 0 tells the driver's exit
 * status; when one side goes away the other sees the end of the stream.
 */
#ifndef MNI_SERVICE_CONTROL_H
#define MNI_SERVICE_CONTROL_H

#include <stdint.h>

#define MNI_CONTROL_VARIABLE "MULTINODE_CONTROL"

typedef enum mni_control_kind {
    MNI_CONTROL_HELLO = 1, /* rank 0: it has connected; value is its pid */
    MNI_CONTROL_STREAMS,   /* command, first of all: its output and error come with it */
    MNI_CONTROL_DRAIN, /* command: ask jobs to stop, then end; value is not 0 when another run is to go on */
    MNI_CONTROL_STOP, /* command: kill what runs and end at once */
    MNI_CONTROL_EXIT  /* rank 0: the run is over; value is the exit status */
} mni_control_kind_t;

typedef struct mni_control_message {
    uint32_t kind;
    int32_t value;
} mni_control_message_t;

/* Command: makes a private folder (0700) and a listening socket in it. `path` has room for 108
 * bytes. Returns the descriptor (close-on-exec) or MN_E_SYSTEM. mni_control_unlisten() closes it
 * and removes socket and folder. */
int mni_control_listen(char path[108]);
void mni_control_unlisten(int listener, const char *path);

/* Rank 0: connects. Returns the descriptor (close-on-exec) or MN_E_SYSTEM. */
int mni_control_connect(const char *path);

/* Sends one message; 0 or MN_E_SYSTEM. Never raises SIGPIPE. */
int mni_control_send(int socket, mni_control_kind_t kind, int32_t value);

/* Command: sends descriptors 1 and 2 of this process; one that is closed goes as /dev/null. 0 or
 * MN_E_SYSTEM. */
int mni_control_send_streams(int socket);

/* Rank 0: makes what the command sends its own descriptors 1 and 2, so that what is written there
 * goes to a terminal, a file or a pipe as it would without mpirun between. Blocks for that message,
 * which must be the first. 0; 1: the other side has gone, nothing changed; MN_E_SYSTEM,
 * MN_E_PROTOCOL. */
int mni_control_take_streams(int socket);

/* Receives one message, blocking. 1: a message; 0: the other side has gone; MN_E_SYSTEM,
 * MN_E_PROTOCOL. */
int mni_control_receive(int socket, mni_control_message_t *message);

#endif
