/* SPDX-License-Identifier: MIT
 *
 * See lock.h. A POSIX record lock, since flock() and locks of open file descriptions live on in children, and NFS carries these
 * from host to host. It would go with any descriptor of the file that the process closes: so the file is opened once.
 */
#include "store/lock.h"

#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <multinode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WITHOUT "MULTINODE_STORE_LOCK"

struct mni_store_lock {
    int fd;
    char *path;
};

static int try_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc;
    do
        rc = fcntl(fd, F_SETLK, &lock);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* Whether the file is still what the path names: who ends removes it. */
static bool is_at(int fd, const char *path)
{
    struct stat file, name;
    return fstat(fd, &file) == 0 && stat(path, &name) == 0 && file.st_ino == name.st_ino &&
           file.st_dev == name.st_dev;
}

static int refuse(int fd, const char *path, const char *store)
{
    char who[200] = "";
    int error = errno;

    if (error == EACCES || error == EAGAIN) {
        ssize_t size = pread(fd, who, sizeof who - 1, 0);
        who[size > 0 ? size : 0] = '\0';
        who[strcspn(who, "\n")] = '\0';
        return mni_error(MN_E_STORE,
                         "the store %.300s is in use by another runtime (%s); wait for its end, or "
                         "give another --store",
                         store, who[0] ? who : "which has not told its name yet");
    }
    return mni_error(MN_E_STORE,
                     "the store %.300s cannot be locked: %s: %s; put it on a file system with "
                     "locks, or set " WITHOUT "=no when no other runtime can use it",
                     store, path, strerror(error));
}

/* For who is refused. It is no harm when there is no room for it. */
static void tell(int fd)
{
    char host[65] = "", who[200];
    gethostname(host, sizeof host - 1);
    int size = snprintf(who, sizeof who, "host %s, pid %ld\n", host, (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, who, (size_t)size, 0) != size)
        errno = 0;
}

int mni_store_lock(const char *path, const char *store, mni_store_lock_t **lock)
{
    const char *without = getenv(WITHOUT);
    mni_store_lock_t *made = calloc(1, sizeof *made);
    int rc = 0;

    if (!made || !(made->path = strdup(path))) {
        free(made);
        return mni_error(MN_E_NO_MEMORY, "no memory for the lock of the store");
    }
    made->fd = -1;
    while (rc == 0 && made->fd < 0) {
        made->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (made->fd < 0)
            rc = mni_error(MN_E_STORE, "the store %.300s cannot be locked: %s: %s", store, path,
                           strerror(errno));
        else if ((!without || strcmp(without, "no") != 0) && try_lock(made->fd) < 0)
            rc = refuse(made->fd, path, store);
        else if (!is_at(made->fd, path)) { /* its former owner has just removed it */
            close(made->fd);
            made->fd = -1;
        } else {
            tell(made->fd);
        }
    }
    if (rc < 0) {
        if (made->fd >= 0)
            close(made->fd);
        free(made->path);
        free(made);
        return rc;
    }
    *lock = made;
    return 0;
}

void mni_store_unlock(mni_store_lock_t *lock)
{
    if (!lock)
        return;
    unlink(lock->path);
    close(lock->fd);
    free(lock->path);
    free(lock);
}
