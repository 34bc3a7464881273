/* SPDX-License-Identifier: MIT
 *
 * TCP: see listen.h.
 */
#include "service/listen.h"

#include "util/error.h"
#include "util/lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <multinode.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLAIN "http://"

typedef union address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
} address_t;

/* --- what is asked for ------------------------------------------------------------------------------------------------- */

static int read_port(const char *text, unsigned *port)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long number = strtoul(text, NULL, 10);

    if (digits == 0 || digits > 5 || text[digits] != '\0' || number == 0 || number > UINT16_MAX)
        return mni_error(MN_E_INVALID, "\"%.100s\" is no port: they are 1 to 65535", text);
    *port = (unsigned)number;
    return 0;
}

/* Characters of host names and of numbers; no others get into a URL. */
static bool is_host(const char *host, size_t length, bool in_brackets)
{
    for (size_t i = 0; i < length; i++) {
        char c = host[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
        if (!is_plain && !(in_brackets && (c == ':' || c == '%')))
            return false;
    }
    return length > 0 && length < MNI_LISTEN_HOST;
}

int mni_listen_parse(const char *text, mni_listen_t *listen)
{
    mni_listen_t found = {.off = strcmp(text, "off") == 0};
    const char *at = text;

    found.plain = strncmp(text, PLAIN, strlen(PLAIN)) == 0;
    at += found.plain ? strlen(PLAIN) : 0;
    const char *colon = strchr(at, ':'), *host = at;
    bool in_brackets = at[0] == '[', is_six = !in_brackets && colon && strchr(colon + 1, ':');
    size_t length = in_brackets        ? strcspn(++host, "]")
                    : is_six || !colon ? strlen(at)
                                       : (size_t)(colon - at);
    const char *rest = host + length + (in_brackets && host[length] == ']');
    bool closed = !in_brackets || host[length] == ']', all = length == 1 && host[0] == '*';

    if (found.off) {
        *listen = found;
        return 0;
    }
    if (!closed || (!all && !is_host(host, length, in_brackets || is_six)) ||
        (*rest != '\0' && *rest != ':'))
        return mni_error(MN_E_INVALID,
                         "\"%.100s\" is no address: write ADDRESS or ADDRESS:PORT, an IPv6 address "
                         "with a port as [ADDRESS]:PORT, all addresses as *, or off",
                         text);
    int rc = *rest == ':' ? read_port(rest + 1, &found.port) : 0;
    if (rc < 0)
        return rc;
    memcpy(found.host, host, all ? 0 : length);
    *listen = found;
    return 0;
}

/* --- the address that others use ------------------------------------------------------------------------------------------ */

static bool is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;

    if (address->sa_family == AF_INET)
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

static bool is_all(const address_t *address)
{
    if (address->any.sa_family == AF_INET)
        return address->four.sin_addr.s_addr == htonl(INADDR_ANY);
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->six.sin6_addr);
}

/* Whether the host's name leads to where others can reach it. */
static bool name_host(char host[MNI_LISTEN_HOST])
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char name[MNI_LISTEN_HOST] = "";
    bool leads_here = false;

    if (gethostname(name, sizeof name - 1) < 0 || !is_host(name, strlen(name), false) ||
        mni_look_up(name, "0", &hints, &list) != 0)
        return false;
    for (struct addrinfo *at = list; at; at = at->ai_next)
        leads_here |= !is_loopback(at->ai_addr);
    freeaddrinfo(list);
    if (leads_here)
        strcpy(host, name);
    return leads_here;
}

static bool number_of(const struct sockaddr *address, socklen_t size, char host[MNI_LISTEN_HOST])
{
    return getnameinfo(address, size, host, MNI_LISTEN_HOST, NULL, 0, NI_NUMERICHOST) == 0;
}

/* The first address of this host that others can see, else that of its loopback. */
static void number_host(char host[MNI_LISTEN_HOST])
{
    struct ifaddrs *interfaces = NULL;

    strcpy(host, "127.0.0.1");
    if (getifaddrs(&interfaces) < 0)
        return;
    for (struct ifaddrs *at = interfaces; at; at = at->ifa_next)
        if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET && at->ifa_flags & IFF_UP &&
            !is_loopback(at->ifa_addr) && number_of(at->ifa_addr, sizeof(struct sockaddr_in), host))
            break;
    freeifaddrs(interfaces);
}

static int tell_address(int listener, char address[MNI_LISTEN_ADDRESS])
{
    address_t bound;
    socklen_t size = sizeof bound;
    char host[MNI_LISTEN_HOST] = "";

    if (getsockname(listener, &bound.any, &size) < 0)
        return mni_error_errno("cannot find out on which port it listens");
    if (is_all(&bound)) {
        if (!name_host(host))
            number_host(host);
    } else if (!number_of(&bound.any, size, host)) {
        return mni_error(MN_E_SYSTEM, "cannot write an address as numbers");
    }
    unsigned port =
        ntohs(bound.any.sa_family == AF_INET ? bound.four.sin_port : bound.six.sin6_port);
    snprintf(address, MNI_LISTEN_ADDRESS, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    return 0;
}

/* --- the socket ----------------------------------------------------------------------------------------------------------- */

/* -1, and errno. */
static int listen_at(const struct addrinfo *where)
{
    int yes = 1, no = 0;
    int listener = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (listener < 0)
        return -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (where->ai_family == AF_INET6) /* all addresses are those of IPv4 too */
        setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(listener, where->ai_addr, where->ai_addrlen) == 0 && listen(listener, SOMAXCONN) == 0)
        return listener;
    int saved = errno;
    close(listener);
    errno = saved;
    return -1;
}

/* What an address may stand for. An IPv6 system takes IPv4 as well. */
static int find_places(const mni_listen_t *listen, struct addrinfo **list)
{
    struct addrinfo hints = {.ai_family = listen->host[0] ? AF_UNSPEC : AF_INET6,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    char port[16];

    snprintf(port, sizeof port, "%u", listen->port);
    int rc = mni_look_up(listen->host[0] ? listen->host : NULL, port, &hints, list);
    if (rc != 0)
        return mni_error(MN_E_SYSTEM, "cannot listen on %s: %s", listen->host, gai_strerror(rc));
    return 0;
}

static int open_first(const mni_listen_t *listen, const struct addrinfo *list)
{
    const char *host = listen->host[0] ? listen->host : "all addresses";
    int listener = -1;

    for (const struct addrinfo *at = list; at && listener < 0; at = at->ai_next) {
        if (listen->plain && !is_loopback(at->ai_addr))
            return mni_error(MN_E_INVALID,
                             "plain HTTP is for the loopback only, which %s is not: without "
                             "http:// it would be TLS",
                             host);
        listener = listen_at(at);
    }
    if (listener >= 0)
        return listener;
    int saved = errno;
    int rc = listen->port ? mni_error_errno("cannot listen on port %u of %s", listen->port, host)
                          : mni_error_errno("cannot listen on %s", host);
    errno = saved;
    return rc;
}

int mni_listen_open(const mni_listen_t *listen, char address[MNI_LISTEN_ADDRESS])
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)listen->port)};
    struct addrinfo *list = NULL, plain_four = {.ai_family = AF_INET,
                                                .ai_addr = (struct sockaddr *)&four,
                                                .ai_addrlen = sizeof four};
    int rc = find_places(listen, &list);

    if (rc < 0)
        return rc;
    int listener = open_first(listen, list);
    if (listener < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) && !listen->host[0])
        listener = open_first(listen, &plain_four); /* a system without IPv6 */
    freeaddrinfo(list);
    if (listener >= 0 && (rc = tell_address(listener, address)) < 0) {
        close(listener);
        listener = rc;
    }
    return listener;
}
