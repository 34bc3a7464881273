/* SPDX-License-Identifier: MIT
 *
 * Names of hosts: see lookup.h.
 */
#include "util/lookup.h"

#include <netinet/in.h>
#include <resolv.h>

int mni_look_up(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **list)
{
    if (!(_res.options & RES_INIT) && res_init() < 0)
        return EAI_SYSTEM;
    /* This thread's own, which its user may have set: what resolv.conf(5) calls timeout, in seconds, and attempts. */
    int timeout = _res.retrans, attempts = _res.retry;
    _res.retrans = _res.retry = 1;
    int rc = getaddrinfo(host, port, hints, list);
    _res.retrans = timeout;
    _res.retry = attempts;
    return rc;
}
