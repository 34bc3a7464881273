/* SPDX-License-Identifier: MIT
 *
 * See lock.h. Rank 0's is a POSIX record lock, since locks of open file descriptions live on in children, and NFS carries these
 * from host to host. It would go with any descriptor of the file that the process closes: so none is closed before the end. The
 * shared one belongs to an open file description, just because that lives on.
 */
#include "store/lock.h"

#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <multinode.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WITHOUT "MULTINODE_STORE_LOCK"

#define LOOK_INTERVAL 5000 /* us between two looks whether earlier processes are gone */

struct mni_store_lock {
    int fd;
    int shared; /* -1: there is none */
    char *path;
    dev_t device;
    ino_t file;
    mni_store_lock_t *next;
};

/* Those that this process has: who only looks must not open, and so close, their files. */
static mni_store_lock_t *held;
static pthread_mutex_t held_mutex = PTHREAD_MUTEX_INITIALIZER;

static void held_add(mni_store_lock_t *lock)
{
    struct stat file;
    if (fstat(lock->fd, &file) == 0) {
        lock->device = file.st_dev;
        lock->file = file.st_ino;
    }
    pthread_mutex_lock(&held_mutex);
    lock->next = held;
    held = lock;
    pthread_mutex_unlock(&held_mutex);
}

static void held_remove(mni_store_lock_t *lock)
{
    pthread_mutex_lock(&held_mutex);
    for (mni_store_lock_t **at = &held; *at; at = &(*at)->next)
        if (*at == lock) {
            *at = lock->next;
            break;
        }
    pthread_mutex_unlock(&held_mutex);
}

/* Of a file whose name was looked up: with the mutex. */
static bool held_has(const struct stat *file)
{
    for (const mni_store_lock_t *lock = held; lock; lock = lock->next)
        if (lock->device == file->st_dev && lock->file == file->st_ino)
            return true;
    return false;
}

static int try_lock(int fd, int command, short type, off_t byte)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int rc;
    do
        rc = fcntl(fd, command, &lock);
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

/* Who has it, or had it last. */
static void read_who(int fd, char *who, size_t room)
{
    ssize_t size = pread(fd, who, room - 1, 0);
    who[size > 0 ? size : 0] = '\0';
    who[strcspn(who, "\n")] = '\0';
    for (char *at = who; *at; at++) /* it may be anything */
        if ((unsigned char)*at < ' ')
            *at = '?';
    if (who[0] == '\0')
        snprintf(who, room, "which has not told its name");
}

static void release(mni_store_lock_t *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    if (lock->shared >= 0)
        close(lock->shared);
    free(lock->path);
    free(lock);
}

static int refuse(int fd, const char *path, const char *store)
{
    char who[200];
    int error = errno;

    if (error == EACCES || error == EAGAIN) {
        read_who(fd, who, sizeof who);
        return mni_error(MN_E_STORE,
                         "the store %.300s is in use by another runtime (%s); wait for its end, or "
                         "give another --store",
                         store, who);
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

/* Waits until nobody shares the second byte, then shares it. A file system without such locks has nobody to wait for. */
static int await_earlier(mni_store_lock_t *lock, const char *store, const char *who)
{
    unsigned looks = MNI_STORE_LOCK_PATIENCE * (1000000 / LOOK_INTERVAL);

    lock->shared = open(lock->path, O_RDWR | O_CLOEXEC);
    if (lock->shared < 0)
        return mni_error(MN_E_STORE, "the store %.300s cannot be locked: %s: %s", store, lock->path,
                         strerror(errno));
    while (try_lock(lock->shared, F_OFD_SETLK, F_WRLCK, 1) < 0) {
        if (errno != EAGAIN && errno != EACCES)
            return 0;
        if (looks-- == 0)
            return mni_error(MN_E_STORE,
                             "the runtime that had the store %.300s (%s) is gone, but %d s later "
                             "processes that it started are still there; end them, or wait",
                             store, who, MNI_STORE_LOCK_PATIENCE);
        usleep(LOOK_INTERVAL);
    }
    try_lock(lock->shared, F_OFD_SETLK, F_RDLCK, 1);
    return 0;
}

const char *mni_store_lock_name(const mni_store_lock_t *lock)
{
    return lock ? lock->path : NULL;
}

int mni_store_lock_shared(const mni_store_lock_t *lock)
{
    return lock ? lock->shared : -1;
}

int mni_store_lock_join(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && try_lock(fd, F_OFD_SETLK, F_RDLCK, 1) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int mni_store_lock(const char *path, const char *store, mni_store_lock_t **lock)
{
    const char *without = getenv(WITHOUT);
    mni_store_lock_t *made = calloc(1, sizeof *made);
    char who[200];
    int rc = 0;

    if (!made || !(made->path = strdup(path))) {
        free(made);
        return mni_error(MN_E_NO_MEMORY, "no memory for the lock of the store");
    }
    made->fd = made->shared = -1;
    bool locks = !without || strcmp(without, "no") != 0;
    while (rc == 0 && made->fd < 0) {
        made->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (made->fd < 0)
            rc = mni_error(MN_E_STORE, "the store %.300s cannot be locked: %s: %s", store, path,
                           strerror(errno));
        else if (locks && try_lock(made->fd, F_SETLK, F_WRLCK, 0) < 0)
            rc = refuse(made->fd, path, store);
        else if (!is_at(made->fd, path)) { /* its former owner has just removed it */
            close(made->fd);
            made->fd = -1;
        }
    }
    if (rc == 0 && locks) {
        read_who(made->fd, who, sizeof who);
        rc = await_earlier(made, store, who);
    }
    if (rc < 0) {
        release(made);
        return rc;
    }
    tell(made->fd);
    held_add(made);
    *lock = made;
    return 0;
}

bool mni_store_lock_held(const char *path, char *who, size_t size)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    struct stat file;
    bool is_held = false;

    pthread_mutex_lock(&held_mutex);
    if (stat(path, &file) == 0 && held_has(&file)) {
        snprintf(who, size, "this process, pid %ld", (long)getpid());
        is_held = true;
    } else {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
            is_held = true;
            read_who(fd, who, size);
        }
        if (fd >= 0)
            close(fd);
    }
    pthread_mutex_unlock(&held_mutex);
    return is_held;
}

void mni_store_unlock(mni_store_lock_t *lock)
{
    if (!lock)
        return;
    held_remove(lock);
    unlink(lock->path);
    release(lock);
}
