/* SPDX-License-Identifier: MIT
 *
 * The memory of a channel: memfd, mapping, arena. See channel.h for who may trust what; the frames
 * are in ring.c. Worker, executor and spawner; each object is used by one thread at a time.
 *
 * The memfd is sealed against a change of its size, so that no executor can take pages away from
 * under its worker by truncating it. Whoever owns a half of the arena (the executor the first, the
 * worker the second) is the one who reserves and releases there: each side remembers only what it
 * did itself.
 */
#include "executor/channel_layout.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_LARGEST ((size_t)64 << 30)
#define ARENA_SMALLEST ((size_t)64 << 20)
#define FALLOCATE_STEP ((size_t)64 << 20) /* what one interrupted call may lose */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* --- make and map ----------------------------------------------------------------------------- */

static void *map_shared(int memfd, size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd, 0);
    if (at == MAP_FAILED)
        return NULL;
    /* A core dump would otherwise read, and so allocate, every page of the sparse arena. */
    madvise(at, bytes, MADV_DONTDUMP);
    return at;
}

/* The worker's half of the arena, for reading. */
static const uint8_t *map_brought(const mni_channel_t *channel)
{
    size_t half = channel->arena_bytes / 2;
    void *at = mmap(NULL, half, PROT_READ, MAP_SHARED | MAP_NORESERVE, channel->memfd,
                    (off_t)(MNI_CHANNEL_ARENA + half));
    if (at == MAP_FAILED)
        return NULL;
    madvise(at, half, MADV_DONTDUMP);
    return at;
}

/* The largest arena that the address space and the limit on file sizes admit; the memfd gets its
 * size. */
static int size_and_map(mni_channel_t *channel)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    getrlimit(RLIMIT_FSIZE, &limit);
    for (size_t arena = ARENA_LARGEST; arena >= ARENA_SMALLEST; arena /= 2) {
        size_t bytes = MNI_CHANNEL_ARENA + arena;
        if (limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur)
            continue; /* trying would raise SIGXFSZ */
        channel->base = map_shared(channel->memfd, bytes);
        if (!channel->base)
            continue;
        if (ftruncate(channel->memfd, (off_t)bytes) == 0) {
            channel->arena_bytes = arena;
            return 0;
        }
        munmap(channel->base, bytes);
        channel->base = NULL;
    }
    return mni_error(MN_E_NO_MEMORY,
                     "no room to map the shared memory of an executor, not even %zu MiB",
                     ARENA_SMALLEST >> 20);
}

/* What both sides do once the memory is mapped. */
static int set_up_side(mni_channel_t *channel, mni_doorbell_t *rank_bell)
{
    mni_control_t *control = (mni_control_t *)channel->base;
    uint8_t *from = channel->base + MNI_CHANNEL_RING_FROM,
            *to = channel->base + MNI_CHANNEL_RING_TO;
    size_t units = channel->arena_bytes / MNI_ARENA_UNIT;

    if (channel->worker) {
        channel->bell = rank_bell;
        channel->peer_bell = &control->bell;
        channel->out = (mni_ring_out_t){to, &control->to_read, &control->to_written, 0};
        channel->in = (mni_ring_in_t){from, &control->from_written, &control->from_read, 0};
    } else {
        channel->bell = &control->bell;
        channel->peer_bell = rank_bell;
        channel->out = (mni_ring_out_t){from, &control->from_read, &control->from_written, 0};
        channel->in = (mni_ring_in_t){to, &control->to_written, &control->to_read, 0};
    }
    channel->present = calloc((units + 63) / 64, sizeof *channel->present);
    if (!channel->present)
        return mni_error(MN_E_NO_MEMORY, "no memory for a channel");
    return 0;
}

static int allocate_range(int memfd, size_t offset, size_t bytes)
{
    while (bytes > 0) {
        size_t step = bytes < FALLOCATE_STEP ? bytes : FALLOCATE_STEP;
        if (fallocate(memfd, 0, (off_t)offset, (off_t)step) == 0) {
            offset += step;
            bytes -= step;
        } else if (errno == ENOSPC || errno == ENOMEM || errno == EFBIG) {
            return mni_error(MN_E_NO_MEMORY,
                             "the node has no memory for %zu more bytes of shared memory", step);
        } else if (errno != EINTR) {
            return mni_error_errno("cannot allocate %zu bytes of shared memory", step);
        }
    }
    return 0;
}

static void remember_memfd(mni_channel_t *channel, const struct stat *status)
{
    channel->device = status->st_dev;
    channel->inode = status->st_ino;
}

int mni_channel_create(mni_doorbell_t *bell, mni_channel_t **out)
{
    struct stat status;
    int rc = 0;

    mni_channel_t *channel = calloc(1, sizeof *channel);
    if (!channel)
        return mni_error(MN_E_NO_MEMORY, "no memory for a channel");
    channel->worker = channel->owns_memfd = channel->owns_map = true;
    channel->memfd = memfd_create("multinode", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (channel->memfd < 0) {
        rc = mni_error_errno("cannot make shared memory (memfd_create)");
        goto cleanup;
    }
    rc = size_and_map(channel);
    if (rc < 0)
        goto cleanup;
    if (fcntl(channel->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
        fstat(channel->memfd, &status) < 0) {
        rc = mni_error_errno("cannot seal shared memory");
        goto cleanup;
    }
    remember_memfd(channel, &status);
    rc = allocate_range(channel->memfd, 0, MNI_CHANNEL_HEAD);
    if (rc < 0)
        goto cleanup;
    rc = set_up_side(channel, bell);
cleanup:
    if (rc < 0)
        mni_channel_destroy(channel);
    else
        *out = channel;
    return rc;
}

int mni_channel_attach(int memfd, mni_doorbell_t *bell, mni_channel_t **out)
{
    struct stat status;
    int rc = 0;

    mni_channel_t *channel = calloc(1, sizeof *channel);
    if (!channel)
        return mni_error(MN_E_NO_MEMORY, "no memory for a channel");
    channel->memfd = memfd;
    if (fstat(memfd, &status) < 0) {
        rc = mni_error_errno("cannot look at the shared memory of a channel");
        goto cleanup;
    }
    if (status.st_size < (off_t)(MNI_CHANNEL_ARENA + ARENA_SMALLEST) ||
        (uint64_t)status.st_size > MNI_CHANNEL_ARENA + ARENA_LARGEST) {
        rc = mni_error(MN_E_INVALID, "descriptor %d is not the shared memory of a channel", memfd);
        goto cleanup;
    }
    remember_memfd(channel, &status);
    channel->base = map_shared(memfd, (size_t)status.st_size);
    if (!channel->base) {
        rc = mni_error_errno("cannot map the %lld bytes of a channel", (long long)status.st_size);
        goto cleanup;
    }
    channel->owns_map = true;
    channel->arena_bytes = (size_t)status.st_size - MNI_CHANNEL_ARENA;
    channel->brought = map_brought(channel);
    if (!channel->brought) {
        rc = mni_error_errno("cannot map the blocks of a channel for reading");
        goto cleanup;
    }
    rc = set_up_side(channel, bell);
cleanup:
    if (rc < 0)
        mni_channel_destroy(channel);
    else
        *out = channel;
    return rc;
}

int mni_channel_join(mni_channel_t *worker_side, mni_channel_t **out)
{
    mni_channel_t *channel = calloc(1, sizeof *channel);
    if (!channel)
        return mni_error(MN_E_NO_MEMORY, "no memory for a channel");
    channel->memfd = worker_side->memfd;
    channel->device = worker_side->device;
    channel->inode = worker_side->inode;
    channel->base = worker_side->base;
    channel->arena_bytes = worker_side->arena_bytes;
    int rc = set_up_side(channel, worker_side->bell);
    if (rc < 0)
        mni_channel_destroy(channel);
    else
        *out = channel;
    return rc;
}

static void punch_hole(int memfd, size_t offset, size_t bytes)
{
    while (fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)bytes) < 0 &&
           errno == EINTR)
        ;
}

void mni_channel_hold(mni_channel_t *channel)
{
    channel->holds++;
}

void mni_channel_taint(mni_channel_t *channel)
{
    channel->tainted = true;
}

/* Leaves memory at these addresses that belongs to nothing. */
static void set_aside(uint8_t *at, size_t bytes)
{
    /* If this fails the mapping stays as it is. */
    if (mmap(at, bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED)
        madvise(at, bytes, MADV_DONTDUMP);
}

void mni_channel_destroy(mni_channel_t *channel)
{
    mni_channel_view_t *view;

    if (!channel)
        return;
    if (channel->holds > 0) {
        channel->holds--;
        return;
    }
    mni_ring_fini(channel);
    free(channel->present);
    while ((view = channel->views)) {
        channel->views = view->next;
        munmap(view->at, channel->arena_bytes / 2);
        free(view);
    }
    if (channel->brought)
        munmap((void *)channel->brought, channel->arena_bytes / 2);
    if (channel->owns_map && channel->base && channel->tainted)
        set_aside(channel->base, MNI_CHANNEL_ARENA + channel->arena_bytes);
    else if (channel->owns_map && channel->base)
        munmap(channel->base, MNI_CHANNEL_ARENA + channel->arena_bytes);
    if (channel->owns_memfd && channel->memfd >= 0) {
        /* Other executors may have it mapped still: the pages shall not wait for that. */
        punch_hole(channel->memfd, 0, MNI_CHANNEL_ARENA + channel->arena_bytes);
        close(channel->memfd);
    }
    free(channel);
}

/* --- the parts -------------------------------------------------------------------------------- */

int mni_channel_memfd(const mni_channel_t *channel)
{
    return channel->memfd;
}

uint64_t mni_channel_inode(const mni_channel_t *channel)
{
    return channel->inode;
}

mni_control_t *mni_channel_control(const mni_channel_t *channel)
{
    return (mni_control_t *)channel->base;
}

mni_log_area_t *mni_channel_head_log(uint8_t *head, mn_stream_t stream)
{
    return (mni_log_area_t *)(head + MNI_CHANNEL_LOGS +
                              (stream == MN_STDERR ? MNI_CHANNEL_LOG_BYTES : 0));
}

mni_log_area_t *mni_channel_log(const mni_channel_t *channel, mn_stream_t stream)
{
    return mni_channel_head_log(channel->base, stream);
}

uint8_t *mni_channel_map_head(int memfd)
{
    struct stat status;

    if (fstat(memfd, &status) < 0)
        return NULL;
    if (status.st_size < (off_t)MNI_CHANNEL_HEAD) {
        errno = EINVAL;
        return NULL;
    }
    uint8_t *head = map_shared(memfd, MNI_CHANNEL_HEAD);
    /* An executor must not find the memory of another one in its address space. */
    if (head && madvise(head, MNI_CHANNEL_HEAD, MADV_DONTFORK) < 0) {
        int saved = errno;
        munmap(head, MNI_CHANNEL_HEAD);
        errno = saved;
        return NULL;
    }
    return head;
}

void mni_channel_unmap_head(uint8_t *head)
{
    if (head)
        munmap(head, MNI_CHANNEL_HEAD);
}

uint8_t *mni_channel_arena(const mni_channel_t *channel, size_t *size)
{
    if (size)
        *size = channel->arena_bytes;
    return channel->base + MNI_CHANNEL_ARENA;
}

size_t mni_channel_block_offset(const mni_channel_t *channel)
{
    return channel->arena_bytes / 2;
}

const uint8_t *mni_channel_brought(const mni_channel_t *channel)
{
    return channel->brought;
}

/* --- pages of the arena ----------------------------------------------------------------------- */

static bool is_present(const mni_channel_t *channel, size_t unit)
{
    return channel->present[unit / 64] >> (unit % 64) & 1;
}

static void set_present(mni_channel_t *channel, size_t first, size_t end, bool present)
{
    for (size_t unit = first; unit < end; unit++) {
        uint64_t bit = UINT64_C(1) << (unit % 64);
        if (present)
            channel->present[unit / 64] |= bit;
        else
            channel->present[unit / 64] &= ~bit;
    }
}

/* User code may have closed the descriptor, and its number may be another file by now, which
 * must not be written to. */
static bool memfd_is_ours(const mni_channel_t *channel)
{
    struct stat status;
    return fstat(channel->memfd, &status) == 0 && status.st_dev == channel->device &&
           status.st_ino == channel->inode;
}

static int reserve_units(mni_channel_t *channel, size_t first, size_t end)
{
    size_t offset = MNI_CHANNEL_ARENA + first * MNI_ARENA_UNIT,
           bytes = (end - first) * MNI_ARENA_UNIT;

    if (!memfd_is_ours(channel))
        return mni_error(MN_E_SYSTEM, "the descriptor of the task's shared memory was closed");
    int rc = allocate_range(channel->memfd, offset, bytes);
    if (rc < 0)
        return rc;
    /* A fault per page costs several times what mapping them together does. Older kernels
     * refuse; then they fault. */
    madvise(channel->base + offset, bytes, MADV_POPULATE_WRITE);
    set_present(channel, first, end, true);
    return 0;
}

int mni_channel_reserve(mni_channel_t *channel, size_t offset, size_t size)
{
    if (offset > channel->arena_bytes || size > channel->arena_bytes - offset)
        return mni_error(MN_E_INVALID,
                         "%zu bytes at %zu are outside of the shared memory of %zu bytes", size,
                         offset, channel->arena_bytes);
    if (size == 0)
        return 0;
    size_t unit = offset / MNI_ARENA_UNIT, end = (offset + size - 1) / MNI_ARENA_UNIT + 1;
    while (unit < end) {
        if (is_present(channel, unit)) {
            unit++;
            continue;
        }
        size_t first = unit;
        while (unit < end && !is_present(channel, unit))
            unit++;
        int rc = reserve_units(channel, first, unit);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int mni_channel_show(mni_channel_t *channel, size_t place, size_t offset, size_t size)
{
    if (!memfd_is_ours(channel))
        return mni_error(MN_E_SYSTEM, "the descriptor of the task's shared memory was closed");
    void *at = channel->base + MNI_CHANNEL_ARENA + place;
    if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
             channel->memfd, (off_t)(MNI_CHANNEL_ARENA + offset)) == MAP_FAILED)
        return mni_error_errno("cannot move %zu bytes of shared memory", size);
    madvise(at, size, MADV_DONTDUMP);
    return 0;
}

void mni_channel_release(mni_channel_t *channel, size_t offset, size_t size)
{
    if (offset > channel->arena_bytes || size > channel->arena_bytes - offset)
        return;
    /* Only pages that are wholly inside: their neighbours on the same page stay. */
    size_t begin = MNI_CHANNEL_ROUND(offset, MNI_CHANNEL_PAGE);
    size_t end = (offset + size) / MNI_CHANNEL_PAGE * MNI_CHANNEL_PAGE;
    if (begin >= end || !memfd_is_ours(channel))
        return;
    set_present(channel, begin / MNI_ARENA_UNIT, (end - 1) / MNI_ARENA_UNIT + 1, false);
    punch_hole(channel->memfd, MNI_CHANNEL_ARENA + begin, end - begin);
}

/* --- views ------------------------------------------------------------------------------------ */

uint8_t *mni_channel_view(mni_channel_t *channel, uint32_t owner)
{
    mni_channel_view_t *view;

    for (view = channel->views; view; view = view->next)
        if (view->owner == owner)
            return view->at;
    if (!memfd_is_ours(channel) || !(view = malloc(sizeof *view)))
        return NULL;
    size_t bytes = channel->arena_bytes / 2;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, channel->memfd,
                    (off_t)MNI_CHANNEL_ARENA);
    if (at == MAP_FAILED) {
        free(view);
        return NULL;
    }
    madvise(at, bytes, MADV_DONTDUMP);
    *view = (mni_channel_view_t){.next = channel->views, .owner = owner, .at = at};
    channel->views = view;
    return view->at;
}

void mni_channel_taint_view(mni_channel_t *channel, uint32_t owner)
{
    for (mni_channel_view_t **link = &channel->views; *link; link = &(*link)->next) {
        mni_channel_view_t *view = *link;
        if (view->owner != owner)
            continue;
        *link = view->next;
        set_aside(view->at, channel->arena_bytes / 2);
        free(view);
        return;
    }
}
