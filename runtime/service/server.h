/* SPDX-License-Identifier: MIT
 *
 * The door for those outside: REST under /v1 over HTTP on a Unix socket, and over TCP with TLS (docs/rest.md), which the command speaks as well. Threads of
 * its own in rank 0's process; they know the scheduler as a client does (desk.h), and never call MPI.
 */
#ifndef MNI_SERVICE_SERVER_H
#define MNI_SERVICE_SERVER_H

#include "executor/channel.h"
#include "service/listen.h"

typedef struct mni_server mni_server_t;

typedef struct mni_server_options {
    const char *store;          /* absolute path; its connection file is written beside it */
    mni_channel_t *channel;     /* a client's end; stays the caller's */
    const mni_listen_t *listen; /* over TCP too; NULL: not */
    bool listen_asked;          /* by the user: without it there is no server */
    /* Asks for the end of the run; in a thread of the server's. */
    void (*drain)(void *argument, bool at_once);
    void *argument;
} mni_server_options_t;

/* Begins to serve; the connection file is there afterwards. 1: so it is, but not over TCP, and a sentence says why. MN_E_SYSTEM,
 * MN_E_NO_MEMORY, MN_E_INVALID (what is asked for cannot be): with a sentence, and nothing is left. */
int mni_server_open(const mni_server_options_t *options, mni_server_t **server);

/* Ends: what has not been answered is refused, and the connection file goes. NULL is fine. */
void mni_server_close(mni_server_t *server);

#endif
