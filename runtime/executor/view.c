/* SPDX-License-Identifier: MIT
 *
 * A few mappings, the least recently used one makes room. What is kept holds no memory of a caller that is gone:
 * its worker gives the pages back before it closes the memfd.
 */
#include "executor/view.h"

#include "executor/channel_layout.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define VIEWS 8
#define UNIT MNI_ARENA_UNIT

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

typedef struct view {
    mni_view_range_t range; /* rounded to pages; bytes 0: free */
    uint8_t *at;
    uint64_t used;     /* when, in calls */
    uint64_t *present; /* a bit per UNIT from its beginning: the pages are mapped; NULL: none is */
} view_t;

static view_t views[VIEWS];
static uint64_t calls;

static mni_view_range_t round_range(const mni_view_range_t *range)
{
    mni_view_range_t rounded = *range;
    rounded.offset = range->offset / MNI_CHANNEL_PAGE * MNI_CHANNEL_PAGE;
    rounded.bytes =
        MNI_CHANNEL_ROUND(range->offset + range->bytes, MNI_CHANNEL_PAGE) - rounded.offset;
    return rounded;
}

static view_t *find(const mni_view_range_t *range)
{
    for (view_t *view = views; view < views + VIEWS; view++)
        if (view->range.bytes == range->bytes && view->range.offset == range->offset &&
            view->range.inode == range->inode && view->range.pid == range->pid &&
            view->range.writable == range->writable)
            return view;
    return NULL;
}

static bool is_present(const view_t *view, uint64_t unit)
{
    return view->present[unit / 64] >> unit % 64 & 1;
}

static void unmap(view_t *view)
{
    if (view->range.bytes > 0)
        munmap(view->at, view->range.bytes);
    free(view->present);
    *view = (view_t){.used = 0};
}

static view_t *least_used(void)
{
    view_t *found = views;
    for (view_t *view = views; view < views + VIEWS; view++)
        if (view->used < found->used)
            found = view;
    return found;
}

static int open_memfd(const mni_view_range_t *range)
{
    char path[64];
    struct stat status;

    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)range->pid, (int)range->memfd);
    int fd = open(path, (range->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ESRCH
                   ? mni_error(MN_E_LOST, "the process that this work is for is gone")
                   : mni_error_errno("cannot open the memory of the caller (%s)", path);
    if (fstat(fd, &status) == 0 && status.st_ino == range->inode &&
        range->offset <= (uint64_t)status.st_size - MNI_CHANNEL_ARENA &&
        range->bytes <= (uint64_t)status.st_size - MNI_CHANNEL_ARENA - range->offset)
        return fd;
    close(fd);
    return mni_error(MN_E_PROTOCOL, "%s is not the memory that was named, or too small", path);
}

int mni_view_open(const mni_view_range_t *wanted, uint8_t **at)
{
    mni_view_range_t range = round_range(wanted);
    view_t *view = find(&range);

    if (!view) {
        int fd = open_memfd(&range);
        if (fd < 0)
            return fd;
        view = least_used();
        unmap(view);
        void *mapped =
            mmap(NULL, range.bytes, range.writable ? PROT_READ | PROT_WRITE : PROT_READ,
                 MAP_SHARED | MAP_NORESERVE, fd, (off_t)(MNI_CHANNEL_ARENA + range.offset));
        int saved = errno;
        close(fd);
        if (mapped == MAP_FAILED) {
            errno = saved;
            return mni_error_errno("cannot map %llu bytes of the caller's memory",
                                   (unsigned long long)range.bytes);
        }
        madvise(mapped, range.bytes, MADV_DONTDUMP);
        *view = (view_t){.range = range, .at = mapped};
    }
    view->used = ++calls;
    *at = view->at + (wanted->offset - range.offset);
    return 0;
}

void mni_view_touch(const mni_view_range_t *wanted, uint64_t offset, uint64_t bytes)
{
    mni_view_range_t range = round_range(wanted);
    view_t *view = find(&range);

    if (!view || bytes == 0)
        return;
    if (!view->present)
        view->present = calloc(range.bytes / UNIT / 64 + 1, sizeof *view->present);
    if (!view->present)
        return; /* the pages fault */
    uint64_t unit = (offset - range.offset) / UNIT,
             end = (offset - range.offset + bytes - 1) / UNIT + 1;
    while (unit < end) {
        uint64_t from = unit;
        while (unit < end && !is_present(view, unit))
            view->present[unit / 64] |= UINT64_C(1) << unit % 64, unit++;
        uint64_t to = unit * UNIT < range.bytes ? unit * UNIT : range.bytes;
        if (unit > from) /* older kernels refuse; then the pages fault */
            madvise(view->at + from * UNIT, to - from * UNIT,
                    range.writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
        while (unit < end && is_present(view, unit))
            unit++;
    }
}

void mni_view_close_all(void)
{
    for (view_t *view = views; view < views + VIEWS; view++)
        unmap(view);
}
