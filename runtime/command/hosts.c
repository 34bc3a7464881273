/* SPDX-License-Identifier: MIT
 *
 * See hosts.h. The commands that are started here are children of this process, which waits for them.
 */
#include "command/command.h"
#include "command/hosts.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/lookup.h"

#include <ctype.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Until a daemon of mpirun's has come up. */
#define PATIENCE 20.0

extern char **environ;

static int hosts_add(mni_hosts_t *hosts, const char *name, size_t length)
{
    char host[MNI_LONGEST_HOST + 1];

    if (length == 0 || length > MNI_LONGEST_HOST)
        return mni_error(MN_E_INVALID, "a host's name has 1 to %d characters", MNI_LONGEST_HOST);
    memcpy(host, name, length);
    host[length] = '\0';
    for (unsigned i = 0; i < hosts->count; i++)
        if (strcmp(hosts->names[i], host) == 0)
            return 0;
    if (hosts->count == MNI_MOST_HOSTS)
        return mni_error(MN_E_INVALID, "more than %d hosts", MNI_MOST_HOSTS);
    if (hosts->count == hosts->room) {
        unsigned room = hosts->room ? hosts->room * 2 : 16;
        void *grown = realloc(hosts->names, room * sizeof *hosts->names);
        if (!grown)
            return mni_error(MN_E_NO_MEMORY, "no memory for the list of hosts");
        hosts->names = grown;
        hosts->room = room;
    }
    memcpy(hosts->names[hosts->count++], host, length + 1);
    return 0;
}

/* --host a,b:4,c; a number of slots may follow each name. */
int mni_hosts_from_list(mni_hosts_t *hosts, const char *list)
{
    int rc = 0;

    while (rc == 0 && list) {
        size_t item = strcspn(list, ","), name = strcspn(list, ",:");
        rc = hosts_add(hosts, list, name);
        list = list[item] ? list + item + 1 : NULL;
    }
    return rc < 0 ? mni_error_prefix(rc, "--host") : 0;
}

/* A host per line, what follows the name (slots=N) is mpirun's business, # begins a comment. */
int mni_hosts_from_file(mni_hosts_t *hosts, const char *path)
{
    char *line = NULL;
    size_t room = 0;
    int rc = 0;
    FILE *file = fopen(path, "re");

    if (!file)
        return mni_error_errno("the host file %s", path);
    while (rc == 0 && getline(&line, &room, file) >= 0) {
        const char *name = line + strspn(line, " \t");
        size_t length = strcspn(name, " \t\r\n#:");
        if (length > 0)
            rc = hosts_add(hosts, name, length);
    }
    free(line);
    fclose(file);
    if (rc == 0 && hosts->count == 0)
        rc = mni_error(MN_E_INVALID, "no host is in it");
    return rc < 0 ? mni_error_prefix(rc, "the host file %s", path) : 0;
}

static bool same_address(const struct sockaddr *one, const struct sockaddr *other)
{
    if (!other || one->sa_family != other->sa_family)
        return false;
    if (one->sa_family == AF_INET)
        return memcmp(&((const struct sockaddr_in *)one)->sin_addr,
                      &((const struct sockaddr_in *)other)->sin_addr, sizeof(struct in_addr)) == 0;
    return one->sa_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)one)->sin6_addr,
                  &((const struct sockaddr_in6 *)other)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

/* By name, without the domain, or by an address that an interface has. */
bool mni_hosts_is_this(const char *name)
{
    char own[MNI_LONGEST_HOST + 1] = "";
    struct addrinfo *addresses = NULL;
    struct ifaddrs *interfaces = NULL;
    bool found = false;

    gethostname(own, sizeof own - 1);
    size_t length = strcspn(own, ".");
    if (strcmp(name, "localhost") == 0 || strcmp(name, own) == 0 ||
        (strcspn(name, ".") == length && strncmp(name, own, length) == 0 &&
         !isdigit((unsigned char)name[0])))
        return true;
    if (mni_look_up(name, NULL, NULL, &addresses) != 0)
        return false;
    if (getifaddrs(&interfaces) == 0)
        for (struct addrinfo *address = addresses; address && !found; address = address->ai_next)
            for (struct ifaddrs *interface = interfaces; interface && !found;
                 interface = interface->ifa_next)
                found = same_address(address->ai_addr, interface->ifa_addr);
    if (interfaces)
        freeifaddrs(interfaces);
    freeaddrinfo(addresses);
    return found;
}

/* --- which can be reached ---------------------------------------------------- */

/* mpirun itself is asked to start something there: what it needs is all that is needed. -1: it cannot be started. */
static pid_t ask(const char *host)
{
    char *arguments[] = {"mpirun",          "-n",   "1", "--host", (char *)host,
                         "--oversubscribe", "true", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid = -1;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &none);
    if (posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments, environ) != 0)
        pid = -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* Takes the answers that have come: of those it makes 0 (yes) and -1 (no). How many are still to come. */
static unsigned take_answers(pid_t *asked, unsigned count, bool no_more)
{
    unsigned left = 0;

    for (unsigned i = 0; i < count; i++) {
        int status = 0;
        if (asked[i] <= 0)
            continue;
        if (no_more)
            kill(asked[i], SIGKILL);
        pid_t ended = waitpid(asked[i], &status, no_more ? 0 : WNOHANG);
        if (ended == asked[i])
            asked[i] = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
        else
            left++;
    }
    return left;
}

int mni_hosts_reachable(mni_hosts_t *hosts)
{
    pid_t *asked = calloc(hosts->count ? hosts->count : 1, sizeof *asked);
    uint64_t deadline = mni_clock_after(mni_clock_now(), PATIENCE);
    unsigned kept = 0;

    if (!asked)
        return mni_error(MN_E_NO_MEMORY, "no memory to ask %u hosts", hosts->count);
    for (unsigned i = 1; i < hosts->count; i++)
        asked[i] = ask(hosts->names[i]);
    while (take_answers(asked, hosts->count, mni_clock_now() >= deadline) > 0)
        poll(NULL, 0, 50);
    for (unsigned i = 0; i < hosts->count; i++)
        if (asked[i] == 0)
            memmove(hosts->names[kept++], hosts->names[i], sizeof hosts->names[i]);
        else
            mni_say("host %s cannot be reached: without it", hosts->names[i]);
    hosts->count = kept;
    free(asked);
    return 0;
}
