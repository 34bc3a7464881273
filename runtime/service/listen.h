/* SPDX-License-Identifier: MIT
 *
 * Where a runtime listens for other nodes: what --listen says, and the TCP socket that is made of it.
 */
#ifndef MNI_SERVICE_LISTEN_H
#define MNI_SERVICE_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#define MNI_LISTEN_VARIABLE "MULTINODE_LISTEN" /* how --listen comes to rank 0 */
#define MNI_LISTEN_HOST 256
#define MNI_LISTEN_ADDRESS 272 /* a host, brackets, a colon and a port */

typedef struct mni_listen {
    bool off;                   /* not over TCP, whatever speaks for it */
    bool plain;                 /* HTTP without TLS: on the loopback only */
    char host[MNI_LISTEN_HOST]; /* name or number; "": all addresses */
    unsigned port;              /* 0: any that is free */
} mni_listen_t;

/* Reads "off", "ADDRESS[:PORT]" or "http://ADDRESS[:PORT]"; an IPv6 address with a port stands in brackets, and "*" is all
 * addresses. Looks no name up. MN_E_INVALID: with a sentence that fits behind "--listen: ". */
int mni_listen_parse(const char *text, mni_listen_t *listen);

/* Listens. `address` gets "HOST:PORT" by which others reach it: the address itself, or, where it is all of them, the host by name
 * if that leads here, else by its first number. The descriptor (close-on-exec, nonblocking), or MN_E_SYSTEM; MN_E_INVALID: it is
 * to be plain, and not on the loopback. Looks names up, which may block for some seconds. */
int mni_listen_open(const mni_listen_t *listen, char address[MNI_LISTEN_ADDRESS]);

#endif
