/* SPDX-License-Identifier: MIT
 *
 * Fault points: calls of the system, of the allocator and of libraries that a test can make fail, or at which it can end the
 * process, at their N-th occurrence; and a layer that sees each change of a file, for tests of power losses.
 *
 * They are there with `configure --enable-fault-injection`, and in the tests of the store, which compile it with them. Else this
 * header is empty, and the code that passes points is what it would be without them. A folder whose calls are points has a header
 * that puts these functions in the place of the calls (store/points.h).
 *
 * Any thread. A plan is made while no other thread passes points.
 */
#ifndef MNI_UTIL_FAULT_H
#define MNI_UTIL_FAULT_H

#ifdef MNI_FAULT_INJECTION

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Kinds of points, with their names in MULTINODE_FAULT. */
#define MNI_FAULT_KINDS(X) \
    X(OPEN, open)          \
    X(READ, read)          \
    X(WRITE, write)        \
    X(SYNC, sync)          \
    X(RENAME, rename)      \
    X(RESIZE, resize)      \
    X(UNLINK, unlink)      \
    X(COPY, copy)          \
    X(MEMORY, memory)      \
    X(HDF5, hdf5)

typedef enum mni_fault_kind {
#define MNI_FAULT_ENUM(upper, lower) MNI_FAULT_##upper,
    MNI_FAULT_KINDS(MNI_FAULT_ENUM)
#undef MNI_FAULT_ENUM
        MNI_FAULT_KIND_COUNT
} mni_fault_kind_t;

#define MNI_FAULT_ANY ((1u << MNI_FAULT_KIND_COUNT) - 1)

const char *mni_fault_kind_name(mni_fault_kind_t kind);

typedef enum mni_fault_end {
    MNI_FAULT_FAILS, /* the call is not made, and fails */
    MNI_FAULT_TEARS, /* a write is half made, and fails; what is no write just fails */
    MNI_FAULT_KILLS, /* SIGKILL before the call */
    MNI_FAULT_TEARS_AND_KILLS
} mni_fault_end_t;

typedef struct mni_fault_plan {
    unsigned kinds; /* bits 1 << MNI_FAULT_...; 0: no fault, but points are counted */
    uint64_t nth;   /* of the points of these kinds, the first one is 1 */
    bool for_good;  /* and all behind it */
    mni_fault_end_t end;
    int error; /* errno; memory fails with ENOMEM in any case */
} mni_fault_plan_t;

/* What is to happen from now on; counting begins again. */
void mni_fault_plan(const mni_fault_plan_t *plan);
/* From "KINDS:N[:once|good][:fails|tears|kills|tears+kills][:ERRNO]", KINDS being "any" or names with "+" between, ERRNO being EIO,
 * ENOSPC, EROFS, EACCES, EMFILE or ENOMEM. False: it is not that. The environment variable MULTINODE_FAULT is read so before the
 * first point; a file that MULTINODE_FAULT_LOG names gets a line for each fault. */
bool mni_fault_parse(const char *text, mni_fault_plan_t *plan);
/* Points of the plan's kinds that were passed (of all kinds, for no kind); faults that were made. */
uint64_t mni_fault_passed(void);
uint64_t mni_fault_fired(void);

/* --- what sees changes of files ---------------------------------------------------------------- */

/* A change that was made. Calls that failed are not told, but what a torn write has written is. */
typedef struct mni_fault_change {
    mni_fault_kind_t
        kind; /* OPEN (with O_CREAT), WRITE, SYNC, RENAME, RESIZE, UNLINK, COPY (into fd) */
    int fd;   /* -1: there is none */
    const char *path, *to; /* NULL: there is none */
    int flags;             /* of open() */
    const void *data;
    size_t size;
    off_t offset;
} mni_fault_change_t;

typedef struct mni_fault_layer {
    void (*begin)(void *argument); /* before a change, in any case followed by end() */
    void (*end)(void *argument, const mni_fault_change_t *change); /* NULL: nothing has changed */
    void *argument;
} mni_fault_layer_t;

/* NULL: none. `unsynced`: syncs are told and not made, which is faster. */
void mni_fault_layer_set(const mni_fault_layer_t *layer, bool unsynced);

/* --- points -------------------------------------------------------------------------------------- */

/* Whether a call at a point is to fail, with errno set then. */
bool mni_fault(mni_fault_kind_t kind, const char *name);

int mni_fault_open(const char *path, int flags, ...);
ssize_t mni_fault_read(int fd, void *data, size_t size);
ssize_t mni_fault_pread(int fd, void *data, size_t size, off_t offset);
ssize_t mni_fault_write(int fd, const void *data, size_t size);
ssize_t mni_fault_pwrite(int fd, const void *data, size_t size, off_t offset);
int mni_fault_fsync(int fd);
int mni_fault_fdatasync(int fd);
int mni_fault_rename(const char *from, const char *to);
int mni_fault_ftruncate(int fd, off_t size);
int mni_fault_posix_fallocate(int fd, off_t offset, off_t size);
int mni_fault_unlink(const char *path);
int mni_fault_mkdir(const char *path, mode_t mode);
int mni_fault_rmdir(const char *path);
ssize_t mni_fault_copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset,
                                  size_t size, unsigned flags);
int mni_fault_ioctl(int fd, unsigned long request, long argument);
void *mni_fault_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);

#endif
#endif
