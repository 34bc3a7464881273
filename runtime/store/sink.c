/* SPDX-License-Identifier: MIT
 *
 * An HDF5 file driver over one descriptor that keeps the kernel's errors to itself (see sink.h).
 *
 * After the first failed write nothing more reaches the file. What HDF5 may read back before it
 * closes (metadata, and heaps of strings, which it hands down as raw data) is then kept in memory,
 * newest last, and reads see it, so that the library can close in order. Large raw data is dropped:
 * it is never read back here. The thread that makes a file, below its HDF5 calls.
 */
#include "store/sink.h"

#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Raw data above it is no heap: those hold the short strings of the table of jobs. */
#define HEAP_MOST ((size_t)1 << 20)

/* A piece that could not be written. */
typedef struct patch {
    struct patch *next;
    haddr_t address;
    size_t size;
    unsigned char bytes[];
} patch_t;

struct mni_sink {
    int fd;
    int error;
    hid_t driver;
    haddr_t eoa, eof; /* end of what is allocated; of what was written */
    patch_t *patches, **last;
};

/* What HDF5 hands around; its part must come first. */
typedef struct sink_file {
    H5FD_t base;
    mni_sink_t *sink;
} sink_file_t;

static mni_sink_t *sink_of(const H5FD_t *file)
{
    return ((const sink_file_t *)(const void *)file)->sink;
}

static void sink_failed(mni_sink_t *sink, int error)
{
    if (sink->error == 0)
        sink->error = error;
}

static void patch_add(mni_sink_t *sink, haddr_t address, size_t size, const void *bytes)
{
    patch_t *patch = malloc(sizeof *patch + size);
    if (patch == NULL)
        return; /* HDF5 may then fail to close the file: nothing is left to try */
    *patch = (patch_t){.address = address, .size = size};
    memcpy(patch->bytes, bytes, size);
    *sink->last = patch;
    sink->last = &patch->next;
}

static H5FD_t *sink_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    mni_sink_t *const *sink = H5Pget_driver_info(access);
    sink_file_t *file = calloc(1, sizeof *file);

    (void)name;
    (void)flags;
    (void)most;
    if (file == NULL || sink == NULL) {
        free(file);
        return NULL;
    }
    file->sink = *sink;
    return &file->base;
}

static herr_t sink_close(H5FD_t *file)
{
    free(file);
    return 0;
}

static herr_t sink_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t sink_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return sink_of(file)->eoa;
}

static herr_t sink_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    sink_of(file)->eoa = address;
    return 0;
}

static haddr_t sink_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return sink_of(file)->eof;
}

/* Copies the part of a patch that lies in [address, address + size). */
static void patch_apply(const patch_t *patch, haddr_t address, size_t size, unsigned char *buffer)
{
    haddr_t first = patch->address > address ? patch->address : address;
    haddr_t patch_end = patch->address + patch->size, end = address + size;

    if (patch_end < end)
        end = patch_end;
    if (first < end)
        memcpy(buffer + (first - address), patch->bytes + (first - patch->address),
               (size_t)(end - first));
}

static herr_t sink_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                        void *buffer)
{
    mni_sink_t *sink = sink_of(file);
    unsigned char *to = buffer;
    size_t done = 0;

    (void)type;
    (void)transfer;
    while (done < size) {
        ssize_t got = pread(sink->fd, to + done, size - done, (off_t)(address + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            sink_failed(sink, errno);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    memset(to + done, 0,
           size - done); /* allocated and never written reads as zeros, as behind any file's end */
    for (const patch_t *patch = sink->patches; patch != NULL; patch = patch->next)
        patch_apply(patch, address, size, to);
    return 0;
}

static herr_t sink_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t address,
                         size_t size, const void *buffer)
{
    mni_sink_t *sink = sink_of(file);
    const unsigned char *from = buffer;
    size_t done = 0;

    (void)transfer;
    while (done < size && sink->error == 0) {
        ssize_t put = pwrite(sink->fd, from + done, size - done, (off_t)(address + done));
        if (put > 0)
            done += (size_t)put;
        else if (put == 0 || errno != EINTR)
            sink_failed(sink, put == 0 ? EIO : errno);
    }
    if (sink->error != 0 && (type != H5FD_MEM_DRAW || size <= HEAP_MOST))
        patch_add(sink, address, size, buffer);
    if (address + size > sink->eof)
        sink->eof = address + size;
    return 0;
}

/* The file ends where HDF5's superblock says that it ends. */
static herr_t sink_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    mni_sink_t *sink = sink_of(file);

    (void)transfer;
    (void)closing;
    if (sink->eof != sink->eoa) {
        if (sink->error == 0 && ftruncate(sink->fd, (off_t)sink->eoa) < 0)
            sink_failed(sink, errno);
        sink->eof = sink->eoa;
    }
    return 0;
}

static const H5FD_class_t sink_class = {
#ifdef H5FD_CLASS_VERSION /* from 1.14 on; numbers from 512 are for private use */
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)600,
#endif
    .name = "multinode_sink",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(mni_sink_t *),
    .open = sink_open,
    .close = sink_close,
    .query = sink_query,
    .get_eoa = sink_get_eoa,
    .set_eoa = sink_set_eoa,
    .get_eof = sink_get_eof,
    .read = sink_read,
    .write = sink_write,
    .truncate = sink_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

int mni_sink_create(const char *path, mode_t mode, mni_sink_t **result)
{
    mni_sink_t *sink = calloc(1, sizeof *sink);

    if (sink == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory to write the store");
    sink->last = &sink->patches;
    sink->driver = -1;
    sink->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (sink->fd < 0) {
        int error = errno;
        free(sink);
        return mni_error(MN_E_STORE, "cannot make the file %.300s: %s", path, strerror(error));
    }
    *result = sink;
    return 0;
}

/* The whole of one file into another: a second name for its blocks where the file system can, else within the kernel, else through
 * here. 0 or -1 with errno. */
static int copy_file(int from, int to, uint64_t size)
{
    static const size_t piece = (size_t)1 << 20;
    off_t at = 0, end = (off_t)size;
    ssize_t done = 0;

    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    while (at < end && (done = copy_file_range(from, &at, to, NULL, (size_t)(end - at), 0)) > 0)
        ;
    if (at >= end)
        return 0;
    if (done < 0 && errno != EXDEV && errno != ENOSYS && errno != EINVAL && errno != EOPNOTSUPP &&
        errno != EPERM)
        return -1;
    char *bytes = malloc(piece);
    for (done = bytes == NULL ? -1 : 1; at < end && done > 0; at += done) {
        done = pread(from, bytes, piece, at);
        if (done > 0 && pwrite(to, bytes, (size_t)done, at) != done) {
            errno = errno == 0 ? ENOSPC : errno;
            done = -1;
        }
    }
    if (done == 0)
        errno = EIO; /* it has become shorter meanwhile */
    free(bytes);
    return done > 0 ? 0 : -1;
}

int mni_sink_copy(mni_sink_t *sink, const char *path)
{
    int from = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    struct stat found;

    errno = from < 0 ? errno : 0;
    if (from < 0 || fstat(from, &found) < 0 ||
        copy_file(from, sink->fd, (uint64_t)found.st_size) < 0)
        rc = mni_error(MN_E_STORE, "%.300s cannot be copied: %s", path, strerror(errno));
    else
        sink->eof = (haddr_t)found.st_size;
    if (from >= 0)
        close(from);
    return rc;
}

hid_t mni_sink_access(mni_sink_t *sink)
{
    hid_t access = -1;

    if (sink->driver < 0)
        sink->driver = H5FDregister(&sink_class);
    if (sink->driver < 0 || (access = H5Pcreate(H5P_FILE_ACCESS)) < 0)
        return -1;
    if (H5Pset_driver(access, sink->driver, &sink) < 0) {
        H5Pclose(access);
        return -1;
    }
    return access;
}

int mni_sink_error(const mni_sink_t *sink)
{
    return sink->error;
}

void mni_sink_sync(mni_sink_t *sink)
{
    if (sink->error == 0 && fsync(sink->fd) < 0)
        sink_failed(sink, errno);
}

void mni_sink_close(mni_sink_t *sink)
{
    if (sink == NULL)
        return;
    while (sink->patches != NULL) {
        patch_t *next = sink->patches->next;
        free(sink->patches);
        sink->patches = next;
    }
    if (sink->driver >= 0)
        H5FDunregister(sink->driver);
    close(sink->fd);
    free(sink);
}
