/* SPDX-License-Identifier: MIT
 *
 * The Unix socket of a runtime. Its folder is its user's alone, which is what keeps others out; who connects is checked as well.
 *
 * A socket gets its name when it listens already: so one to which nobody answers is one that was left behind.
 */
#include "service/connect.h"

#include "util/error.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_ROOM 108
#define NAME_ROOM 24 /* "/" and a name of 16 digits with its suffix */
#define SUFFIX ".sock"
#define BACKLOG SOMAXCONN /* a client that finds it full is refused at once */

/* Whether a folder is there and is this user's alone. It is made if need be. */
static bool is_private(const char *folder)
{
    struct stat found;

    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return false;
    if (lstat(folder, &found) < 0)
        return false;
    if (!S_ISDIR(found.st_mode) || found.st_uid != geteuid() || (found.st_mode & 077) != 0) {
        errno = EPERM;
        return false;
    }
    return true;
}

static bool choose_folder(char folder[PATH_ROOM])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat found;

    if (runtime && runtime[0] == '/' &&
        snprintf(folder, PATH_ROOM, "%s/multinode", runtime) < PATH_ROOM - NAME_ROOM &&
        stat(runtime, &found) == 0 && found.st_uid == geteuid() && (found.st_mode & 077) == 0 &&
        is_private(folder))
        return true;
    snprintf(folder, PATH_ROOM, "/tmp/multinode-%u", (unsigned)geteuid());
    return is_private(folder);
}

static bool is_socket_name(const char *name)
{
    size_t length = strlen(name), tail = sizeof SUFFIX - 1;
    return length > tail && strcmp(name + length - tail, SUFFIX) == 0;
}

static void remove_left(const char *folder)
{
    DIR *listing = opendir(folder);
    const struct dirent *entry;
    char path[PATH_ROOM + sizeof entry->d_name + 1];

    while (listing && (entry = readdir(listing))) {
        if (!is_socket_name(entry->d_name))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        int line = mni_socket_connect(path);
        if (line >= 0)
            close(line);
        else if (errno == ECONNREFUSED)
            unlink(path);
    }
    if (listing)
        closedir(listing);
}

/* False: the path is too long for one. */
static bool make_address(const char *path, struct sockaddr_un *address)
{
    size_t length = strlen(path);

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (length >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address->sun_path, path, length + 1);
    return true;
}

/* Listens under a name that nobody knows. */
static int listen_at(const char *path)
{
    struct sockaddr_un address;

    if (!make_address(path, &address))
        return -1;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0)
        return -1;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0600) < 0 ||
        listen(listener, BACKLOG) < 0) {
        int saved = errno;
        unlink(path);
        close(listener);
        errno = saved;
        return -1;
    }
    return listener;
}

int mni_socket_listen(char path[108])
{
    char folder[PATH_ROOM], hidden[PATH_ROOM + NAME_ROOM], final[PATH_ROOM + NAME_ROOM];
    uint64_t number = 0;

    if (!choose_folder(folder))
        return mni_error_errno("%s is not a folder of this user alone (mode 0700)", folder);
    remove_left(folder);
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return mni_error_errno("cannot choose a name for a socket");
    snprintf(hidden, sizeof hidden, "%s/%016" PRIx64, folder, number);
    snprintf(final, sizeof final, "%s/%016" PRIx64 SUFFIX, folder, number);
    int listener = listen_at(hidden);
    if (listener < 0)
        return mni_error_errno("cannot listen on a socket in %s", folder);
    if (rename(hidden, final) < 0) {
        int rc = mni_error_errno("cannot name a socket %s", final);
        unlink(hidden);
        close(listener);
        return rc;
    }
    strcpy(path, final); /* choose_folder() has left room for it */
    return listener;
}

int mni_socket_connect(const char *path)
{
    struct sockaddr_un address;

    if (!make_address(path, &address))
        return mni_error_errno("cannot connect to %s", path);
    int rc, line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (line < 0)
        return mni_error_errno("cannot make a socket");
    do
        rc = connect(line, (struct sockaddr *)&address, sizeof address);
    while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return line;
    int saved = errno;
    close(line);
    errno = saved;
    return mni_error(MN_E_NO_RUNTIME, "nobody answers at %s: %s", path, strerror(errno));
}
