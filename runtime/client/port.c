/* SPDX-License-Identifier: MIT
 *
 * Ports for services, and the address that goes with them. A port is tried by binding it, as the service will do right afterwards;
 * between the two another program may take it, then the service's own bind fails and the runtime
 * tries again later.
 */
#include "client/task.h"
#include "util/error.h"
#include "util/lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Binds `wanted` on all of the host's addresses and lets go of it. 0, or errno. */
static int try_port(unsigned wanted, unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)wanted)};
    socklen_t size = sizeof address;
    int error = 0, yes = 1;

    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return errno;
    /* A port whose last connections linger is free; one on which somebody listens is not. */
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0 ||
        getsockname(descriptor, (struct sockaddr *)&address, &size) < 0)
        error = errno;
    else
        *port = ntohs(address.sin_port);
    close(descriptor);
    return error;
}

int mni_port_choose(const char *name, unsigned wanted, unsigned *port)
{
    if (wanted > UINT16_MAX)
        return mni_error(MN_E_INVALID, "%s: %u is no port", name, wanted);
    int error = try_port(wanted, port);
    if (error == 0)
        return 0;
    if (error == EADDRINUSE && wanted != 0)
        return mni_error(MN_E_FAILED, "port %u is taken", wanted);
    errno = error;
    mni_error_errno(wanted ? "port %u cannot be had" : "no free port can be had", wanted);
    return MN_E_FAILED;
}

static bool resolves(const char *host)
{
    struct addrinfo *list = NULL;
    bool found = mni_look_up(host, NULL, NULL, &list) == 0;
    if (found)
        freeaddrinfo(list);
    return found;
}

/* The first address of this host that others can see, else that of its loopback. */
static void numeric_host(char host[INET_ADDRSTRLEN])
{
    struct ifaddrs *interfaces = NULL;

    strcpy(host, "127.0.0.1");
    if (getifaddrs(&interfaces) < 0)
        return;
    for (struct ifaddrs *at = interfaces; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || !(at->ifa_flags & IFF_UP) ||
            at->ifa_flags & IFF_LOOPBACK)
            continue;
        inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)at->ifa_addr)->sin_addr, host,
                  INET_ADDRSTRLEN);
        break;
    }
    freeifaddrs(interfaces);
}

void mni_port_address(unsigned port, char address[MNI_ADDRESS_ROOM])
{
    char name[256] = "", number[INET_ADDRSTRLEN];

    if (gethostname(name, sizeof name - 1) < 0 || !name[0] || !resolves(name)) {
        numeric_host(number);
        strcpy(name, number);
    }
    snprintf(address, MNI_ADDRESS_ROOM, "%s:%u", name, port);
}
