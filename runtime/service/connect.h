/* SPDX-License-Identifier: MIT
 *
 * How a runtime is found: beside its store FILE.h5 lies FILE.h5.connect, for its user's eyes only, which says where it listens.
 * Written by rank 0, read by the command.
 */
#ifndef MNI_SERVICE_CONNECT_H
#define MNI_SERVICE_CONNECT_H

#include "service/identity.h"
#include "service/listen.h"

#include <multinode.h>
#include <stdint.h>
#include <sys/types.h>

#define MNI_CONNECT_SUFFIX ".connect"

typedef struct mni_connect {
    char host[256];
    char boot[64]; /* id of the running system */
    pid_t pid;
    uint64_t
        start; /* of the process, in the kernel's clock ticks: with host, boot and pid it is told from any other */
    double started;   /* calendar */
    char socket[108]; /* path of a Unix socket on that host */

    /* For other hosts; all "" when it does not listen on TCP. */
    char url[MNI_LISTEN_ADDRESS + 8]; /* "https://HOST:PORT"; "http://..." on the loopback */
    char token[MNI_TOKEN_DIGITS + 1]; /* what to show there */
    char pin[MNI_PIN_ROOM];           /* what is shown there; "" without TLS */
    bool remote; /* read: it is another host's, and the socket no way to it; not in the file */
} mni_connect_t;

/* Fills in what is so of this process. */
void mni_connect_self(mni_connect_t *connect);

/* Writes it, whole or not at all, in the place of an older one; mode 0600. MN_E_SYSTEM. */
int mni_connect_write(const char *store, const mni_connect_t *connect);

/* Removes it if it is that of this process. */
void mni_connect_remove(const char *store);

/* Removes one that was left behind by a runtime of this host that is gone. */
void mni_connect_clean(const char *store);

/* Reads it. MN_E_NO_RUNTIME: there is none, it was left behind by a runtime that is gone, or it is another host's that listens
 * there only; MN_E_PROTOCOL: it is none, or others than its user can write to it. */
int mni_connect_read(const char *store, mni_connect_t *connect);

/* Reads one from its bytes; `path` is for messages. MN_E_PROTOCOL. */
int mni_connect_parse(const char *text, size_t size, const char *path, mni_connect_t *connect);

/* --- the socket ----------------------------------------------------------------------------------------------------- */

/* Listens on a new socket in the user's runtime directory: XDG_RUNTIME_DIR, else a folder of the user's own in /tmp. Removes those of
 * runtimes that are gone. The descriptor (close-on-exec), or MN_E_SYSTEM. */
int mni_socket_listen(char path[108]);

/* Connects. The descriptor (close-on-exec), or MN_E_NO_RUNTIME. */
int mni_socket_connect(const char *path);

#endif
