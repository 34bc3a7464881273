/* SPDX-License-Identifier: MIT
 *
 * See fault.h. The counts are atomic; the plan is read only while points are passed. Whoever lies between begin() and end() of a
 * layer has it to itself, so what a layer sees is in the order in which it happened.
 */
#include "util/fault.h"

#ifdef MNI_FAULT_INJECTION

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const kind_names[] = {
#define NAME(upper, lower) #lower,
    MNI_FAULT_KINDS(NAME)
#undef NAME
};

static const struct {
    const char *name;
    int number;
} errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EROFS", EROFS},
              {"EACCES", EACCES}, {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM}};

static const char *const end_names[] = {"fails", "tears", "kills", "tears+kills"};

static mni_fault_plan_t plan;
static uint64_t passed, fired; /* atomic */
static const mni_fault_layer_t *layer;
static bool unsynced;
static pthread_once_t environment_once = PTHREAD_ONCE_INIT;

/* --- plans --------------------------------------------------------------------------------------- */

const char *mni_fault_kind_name(mni_fault_kind_t kind)
{
    return kind_names[kind];
}

static bool parse_kinds(const char *text, size_t size, unsigned *kinds)
{
    *kinds = 0;
    if (size == 3 && memcmp(text, "any", 3) == 0)
        *kinds = MNI_FAULT_ANY;
    while (*kinds != MNI_FAULT_ANY && size > 0) {
        const char *plus = memchr(text, '+', size);
        size_t length = plus ? (size_t)(plus - text) : size;
        unsigned kind = 0;
        while (kind < MNI_FAULT_KIND_COUNT &&
               (strlen(kind_names[kind]) != length || memcmp(kind_names[kind], text, length) != 0))
            kind++;
        if (kind == MNI_FAULT_KIND_COUNT || (plus && length + 1 == size))
            return false;
        *kinds |= 1u << kind;
        text += length + (plus != NULL);
        size -= length + (plus != NULL);
    }
    return *kinds != 0;
}

/* A word behind the number. */
static bool parse_word(const char *text, size_t size, mni_fault_plan_t *made)
{
#define IS(word) (strlen(word) == size && memcmp(text, word, size) == 0)
    if (IS("once") || IS("good")) {
        made->for_good = IS("good");
        return true;
    }
    for (unsigned i = 0; i < sizeof end_names / sizeof end_names[0]; i++)
        if (IS(end_names[i])) {
            made->end = (mni_fault_end_t)i;
            return true;
        }
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (IS(errors[i].name)) {
            made->error = errors[i].number;
            return true;
        }
    return false;
#undef IS
}

bool mni_fault_parse(const char *text, mni_fault_plan_t *result)
{
    mni_fault_plan_t made = {.error = EIO};
    size_t size = strcspn(text, ":");
    char *end;

    if (text[size] != ':' || !parse_kinds(text, size, &made.kinds))
        return false;
    text += size + 1;
    made.nth = strtoull(text, &end, 10);
    if (end == text || made.nth == 0 || (*end != '\0' && *end != ':'))
        return false;
    for (text = end; *text == ':'; text += size) {
        text++;
        size = strcspn(text, ":");
        if (!parse_word(text, size, &made))
            return false;
    }
    *result = made;
    return true;
}

static void read_environment(void)
{
    const char *text = getenv("MULTINODE_FAULT");
    mni_fault_plan_t made;

    if (!text || !*text)
        return;
    if (mni_fault_parse(text, &made)) {
        plan = made;
    } else {
        fprintf(stderr, "MULTINODE_FAULT=%s is no plan of faults\n", text);
        abort(); /* a test that would test nothing */
    }
}

void mni_fault_plan(const mni_fault_plan_t *made)
{
    pthread_once(&environment_once, read_environment);
    plan = *made;
    __atomic_store_n(&passed, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fired, 0, __ATOMIC_SEQ_CST);
}

uint64_t mni_fault_passed(void)
{
    return __atomic_load_n(&passed, __ATOMIC_SEQ_CST);
}

uint64_t mni_fault_fired(void)
{
    return __atomic_load_n(&fired, __ATOMIC_SEQ_CST);
}

void mni_fault_layer_set(const mni_fault_layer_t *made, bool without_syncs)
{
    layer = made;
    unsynced = without_syncs;
}

/* --- points -------------------------------------------------------------------------------------- */

static void note(uint64_t number, mni_fault_kind_t kind, const char *name)
{
    const char *path = getenv("MULTINODE_FAULT_LOG");
    char line[128];
    int size = snprintf(line, sizeof line, "%llu %s %s\n", (unsigned long long)number,
                        kind_names[kind], name);
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd >= 0) {
        if (write(fd, line, (size_t)size) != size)
            abort();
        close(fd);
    }
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Whether a fault is to be made here. */
static bool due(mni_fault_kind_t kind, const char *name)
{
    pthread_once(&environment_once, read_environment);
    if (plan.kinds == 0) {
        __atomic_add_fetch(&passed, 1, __ATOMIC_SEQ_CST);
        return false;
    }
    if (!(plan.kinds & 1u << kind))
        return false;
    uint64_t number = __atomic_add_fetch(&passed, 1, __ATOMIC_SEQ_CST);
    if (number < plan.nth || (number > plan.nth && !plan.for_good))
        return false;
    if (__atomic_add_fetch(&fired, 1, __ATOMIC_SEQ_CST) == 1)
        note(number, kind, name);
    return true;
}

bool mni_fault(mni_fault_kind_t kind, const char *name)
{
    if (!due(kind, name))
        return false;
    if (plan.end == MNI_FAULT_KILLS || plan.end == MNI_FAULT_TEARS_AND_KILLS)
        die();
    errno = kind == MNI_FAULT_MEMORY ? ENOMEM : plan.error;
    return true;
}

static void begin(void)
{
    if (layer)
        layer->begin(layer->argument);
}

static void end(bool changed, const mni_fault_change_t *change)
{
    int error = errno;
    if (layer)
        layer->end(layer->argument, changed ? change : NULL);
    errno = error;
}

int mni_fault_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    if (mni_fault(MNI_FAULT_OPEN, "open"))
        return -1;
    begin();
    int fd = open(path, flags, mode);
    end(fd >= 0, &(mni_fault_change_t){MNI_FAULT_OPEN, .fd = fd, .path = path, .flags = flags});
    return fd;
}

ssize_t mni_fault_read(int fd, void *data, size_t size)
{
    return mni_fault(MNI_FAULT_READ, "read") ? -1 : read(fd, data, size);
}

ssize_t mni_fault_pread(int fd, void *data, size_t size, off_t offset)
{
    return mni_fault(MNI_FAULT_READ, "pread") ? -1 : pread(fd, data, size, offset);
}

ssize_t mni_fault_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    bool fails = due(MNI_FAULT_WRITE, "pwrite");
    bool torn = plan.end == MNI_FAULT_TEARS || plan.end == MNI_FAULT_TEARS_AND_KILLS;
    ssize_t written = -1;

    if (!fails || torn) {
        begin();
        written = pwrite(fd, data, fails ? size / 2 : size, offset);
        end(written > 0,
            &(mni_fault_change_t){MNI_FAULT_WRITE, .fd = fd, .data = data,
                                  .size = written > 0 ? (size_t)written : 0, .offset = offset});
    }
    if (!fails)
        return written;
    if (plan.end >= MNI_FAULT_KILLS)
        die();
    errno = plan.error;
    return -1;
}

ssize_t mni_fault_write(int fd, const void *data, size_t size)
{
    off_t at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t written = mni_fault_pwrite(fd, data, size, at);
    if (written > 0)
        lseek(fd, at + written, SEEK_SET);
    return written;
}

static int synced(int fd, const char *name, int (*call)(int fd))
{
    if (mni_fault(MNI_FAULT_SYNC, name))
        return -1;
    begin();
    int rc = unsynced ? 0 : call(fd);
    end(rc == 0, &(mni_fault_change_t){MNI_FAULT_SYNC, .fd = fd});
    return rc;
}

int mni_fault_fsync(int fd)
{
    return synced(fd, "fsync", fsync);
}

int mni_fault_fdatasync(int fd)
{
    return synced(fd, "fdatasync", fdatasync);
}

int mni_fault_rename(const char *from, const char *to)
{
    if (mni_fault(MNI_FAULT_RENAME, "rename"))
        return -1;
    begin();
    int rc = rename(from, to);
    end(rc == 0, &(mni_fault_change_t){MNI_FAULT_RENAME, .fd = -1, .path = from, .to = to});
    return rc;
}

int mni_fault_ftruncate(int fd, off_t size)
{
    if (mni_fault(MNI_FAULT_RESIZE, "ftruncate"))
        return -1;
    begin();
    int rc = ftruncate(fd, size);
    end(rc == 0, &(mni_fault_change_t){MNI_FAULT_RESIZE, .fd = fd, .offset = size});
    return rc;
}

int mni_fault_posix_fallocate(int fd, off_t offset, off_t size)
{
    struct stat file;

    if (mni_fault(MNI_FAULT_RESIZE, "posix_fallocate"))
        return errno;
    begin();
    int rc = posix_fallocate(fd, offset, size);
    bool known = rc == 0 && fstat(fd, &file) == 0;
    end(known,
        &(mni_fault_change_t){MNI_FAULT_RESIZE, .fd = fd, .offset = known ? file.st_size : 0});
    return rc;
}

int mni_fault_unlink(const char *path)
{
    if (mni_fault(MNI_FAULT_UNLINK, "unlink"))
        return -1;
    begin();
    int rc = unlink(path);
    end(rc == 0, &(mni_fault_change_t){MNI_FAULT_UNLINK, .fd = -1, .path = path});
    return rc;
}

int mni_fault_mkdir(const char *path, mode_t mode)
{
    if (mni_fault(MNI_FAULT_OPEN, "mkdir"))
        return -1;
    begin();
    int rc = mkdir(path, mode);
    end(rc == 0, &(mni_fault_change_t){MNI_FAULT_OPEN, .fd = -1, .path = path,
                                       .flags = O_CREAT | O_DIRECTORY});
    return rc;
}

int mni_fault_rmdir(const char *path)
{
    return mni_fault(MNI_FAULT_UNLINK, "rmdir") ? -1 : rmdir(path);
}

ssize_t mni_fault_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset,
                                  size_t size, unsigned flags)
{
    if (mni_fault(MNI_FAULT_COPY, "copy_file_range"))
        return -1;
    begin();
    off_t at = to_offset ? *to_offset : lseek(to, 0, SEEK_CUR);
    ssize_t copied = copy_file_range(from, from_offset, to, to_offset, size, flags);
    end(copied > 0, &(mni_fault_change_t){MNI_FAULT_COPY, .fd = to, .offset = at,
                                          .size = copied > 0 ? (size_t)copied : 0});
    return copied;
}

int mni_fault_ioctl(int fd, unsigned long request, long argument)
{
    struct stat file;

    if (request == FICLONE && mni_fault(MNI_FAULT_COPY, "ioctl FICLONE"))
        return -1;
    begin();
    int rc = ioctl(fd, request, argument);
    bool cloned = request == FICLONE && rc == 0 && fstat(fd, &file) == 0;
    end(cloned,
        &(mni_fault_change_t){MNI_FAULT_COPY, .fd = fd, .size = cloned ? (size_t)file.st_size : 0});
    return rc;
}

void *mni_fault_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mni_fault(MNI_FAULT_READ, "mmap") ? MAP_FAILED
                                             : mmap(at, size, protection, flags, fd, offset);
}

#endif
