/* SPDX-License-Identifier: MIT
 *
 * Addresses of host names, without waiting long for name servers that are not there. Any thread.
 */
#ifndef MNI_UTIL_LOOKUP_H
#define MNI_UTIL_LOOKUP_H

#include <netdb.h>

/*
 * getaddrinfo(3) that asks each name server once, and waits a second for it, instead of resolv.conf's half a minute. Returns
 * 0 or EAI_*; the caller gives *list to freeaddrinfo().
 */
int mni_look_up(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **list);

#endif
