/* SPDX-License-Identifier: MIT
 *
 * See valuefile.h. The 512 bytes are what HDF5 calls a user block: it leaves them to us, and looks for its own part behind them.
 * Little-endian numbers.
 *
 *     magic[8], u32 format, u32 role, store[16], job[16], u64 number, u32 type, u32 ndims, u64 dims[4], u64 size,
 *     u64 offset of the value, u64 checksum of the value, zeros, u64 checksum of the 504 bytes before it
 */
#include "store/valuefile.h"

#include "store/internal.h"
#include "store/sink.h"
#include "store/points.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT 1u
#define BLOCK 512u
#define FRESH ".new" /* behind the name while the file is written */

static const uint8_t magic[8] = {0x89, 'M', 'N', 'V', '\r', '\n', 0x1a, '\n'};

/* The 512 bytes, in memory as in the file. */
typedef struct block {
    uint8_t magic[8];
    uint32_t format, role;
    mn_id_t store, job;
    uint64_t number;
    uint32_t type, ndims;
    uint64_t dims[MN_MAX_DIMS];
    uint64_t size, offset, checksum;
    uint8_t zeros[BLOCK - 120 - 8];
    uint64_t own_checksum;
} block_t;

_Static_assert(sizeof(block_t) == BLOCK && MN_MAX_DIMS == 4, "the layout is part of the format");

/* --- names ------------------------------------------------------------------------------------------------------------ */

void mni_value_name(const mni_value_owner_t *owner, char name[MNI_VALUE_NAME])
{
    char id[MN_ID_TEXT];

    mn_id_format(owner->job, id);
    if (owner->role == MNI_VALUE_INPUT)
        snprintf(name, MNI_VALUE_NAME, "%s.input.h5", id);
    else
        snprintf(name, MNI_VALUE_NAME, "%s.result.%llu.h5", id, (unsigned long long)owner->number);
}

bool mni_value_name_is(const char *name)
{
    char id[MN_ID_TEXT];
    mn_id_t parsed;
    size_t digits;

    if (strnlen(name, sizeof id) < sizeof id)
        return false;
    memcpy(id, name, sizeof id - 1);
    id[sizeof id - 1] = '\0';
    if (mn_id_parse(id, &parsed) < 0)
        return false;
    name += sizeof id - 1;
    if (strncmp(name, ".input", 6) == 0) {
        name += 6;
    } else {
        if (strncmp(name, ".result.", 8) != 0 || (digits = strspn(name + 8, "0123456789")) == 0)
            return false;
        name += 8 + digits;
    }
    return strcmp(name, ".h5") == 0 || strcmp(name, ".h5" FRESH) == 0;
}

static const char *role_name(mni_value_role_t role)
{
    return role == MNI_VALUE_INPUT ? "input" : "result";
}

/* Puts whose value it is about before the error. */
static int blame(int rc, const mni_value_owner_t *owner)
{
    char id[MN_ID_TEXT];
    return mni_error_prefix(rc, "the %s of job %s", role_name(owner->role),
                            mn_id_format(owner->job, id));
}

/* --- writing ---------------------------------------------------------------------------------------------------------- */

static block_t block_make(const mni_value_owner_t *owner, const mn_value_t *value, uint64_t offset)
{
    block_t block = {.format = htole32(FORMAT),
                     .role = htole32(owner->role),
                     .store = owner->store,
                     .job = owner->job,
                     .number = htole64(owner->number),
                     .type = htole32(value->type),
                     .ndims = htole32(value->ndims),
                     .size = htole64(value->size),
                     .offset = htole64(offset),
                     .checksum = htole64(XXH3_64bits(value->data, value->size))};

    memcpy(block.magic, magic, sizeof magic);
    for (unsigned i = 0; i < value->ndims; i++)
        block.dims[i] = htole64(value->dims[i]);
    block.own_checksum = htole64(XXH3_64bits(&block, BLOCK - 8));
    return block;
}

static int put_kind(hid_t set)
{
    static const char kind[] = "bytes";
    const char *text = kind;
    hid_t string = mni_store_string(), scalar = H5Screate(H5S_SCALAR), attribute = -1;
    int rc = 0;

    if (string < 0 || scalar < 0 ||
        (attribute = H5Acreate2(set, "kind", string, scalar, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attribute, string, &text) < 0)
        rc = mni_store_error("the attribute kind cannot be written");
    if (attribute >= 0)
        H5Aclose(attribute);
    if (scalar >= 0)
        H5Sclose(scalar);
    if (string >= 0)
        H5Tclose(string);
    return rc;
}

/* Makes the dataset and says where in the file its bytes lie. They are written without HDF5, which has one lock for all threads, and a
 * snapshot may be under way. */
static int put_dataset(hid_t file, const mn_value_t *value, uint64_t *offset)
{
    hid_t type = -1, space = -1, creation = -1, set = -1;
    haddr_t address = HADDR_UNDEF;
    int rc = mni_value_shape(value, &type, &space);

    if (rc < 0)
        return rc;
    if ((creation = H5Pcreate(H5P_DATASET_CREATE)) < 0 ||
        H5Pset_layout(creation, H5D_CONTIGUOUS) < 0 ||
        H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) < 0 ||
        H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) < 0 ||
        H5Pset_obj_track_times(creation, 0) < 0 ||
        (set = H5Dcreate2(file, "value", type, space, H5P_DEFAULT, creation, H5P_DEFAULT)) < 0 ||
        (address = H5Dget_offset(set)) == HADDR_UNDEF)
        rc = mni_store_error("a value of %zu bytes cannot be written", value->size);
    if (rc == 0 && value->type == MN_BYTES)
        rc = put_kind(set);
    if (set >= 0 && H5Dclose(set) < 0 && rc == 0)
        rc = mni_store_error("a value of %zu bytes cannot be written", value->size);
    if (creation >= 0)
        H5Pclose(creation);
    H5Sclose(space);
    H5Tclose(type);
    *offset = address;
    return rc;
}

static int put_file(mni_sink_t *sink, const char *path, const mn_value_t *value, uint64_t *offset)
{
    hid_t access = mni_sink_access(sink), creation = H5Pcreate(H5P_FILE_CREATE), file = -1;
    int rc = 0;

    if (access < 0 || creation < 0 || H5Pset_userblock(creation, BLOCK) < 0 ||
        H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) < 0 ||
        (file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access)) < 0)
        rc = mni_store_error("no HDF5 file can be made");
    else
        rc = put_dataset(file, value, offset);
    if (file >= 0 && H5Fclose(file) < 0 && rc == 0)
        rc = mni_store_error("the file cannot be closed");
    if (creation >= 0)
        H5Pclose(creation);
    if (access >= 0)
        H5Pclose(access);
    if (mni_sink_error(sink) != 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(mni_sink_error(sink)));
    return rc;
}

static int write_all(int fd, const void *from, size_t size, uint64_t offset)
{
    const uint8_t *at = from;
    while (size > 0) {
        ssize_t put = pwrite(fd, at, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            errno = put == 0 ? ENOSPC : errno;
            return -1;
        }
        at += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return 0;
}

/* Puts the value and what is known of it into the file that HDF5 has made. */
static int put_bytes(const char *path, mode_t mode, const mni_value_owner_t *owner,
                     const mn_value_t *value, uint64_t offset, bool sync)
{
    block_t block = block_make(owner, value, offset);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW), rc = 0;

    if (fd < 0 || write_all(fd, &block, sizeof block, 0) < 0 ||
        write_all(fd, value->data, value->size, offset) < 0 || fchmod(fd, mode) < 0 ||
        (sync && fsync(fd) < 0))
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    if (fd >= 0 && close(fd) < 0 && rc == 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    return rc;
}

int mni_value_write(const char *folder, const char *name, mode_t mode,
                    const mni_value_owner_t *owner, const mn_value_t *value, bool sync)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    mni_sink_t *sink = NULL;
    uint64_t offset = 0;
    int rc;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((size_t)snprintf(fresh, sizeof fresh, "%s/%s" FRESH, folder, name) >= sizeof fresh)
        return blame(mni_error(MN_E_STORE, "the path %.300s is too long", path), owner);
    if (mni_value_check(*value) < 0)
        return blame(MN_E_INTERNAL, owner);
    unlink(fresh);
    if ((rc = mni_sink_create(fresh, 0600, &sink)) < 0)
        return blame(rc, owner);
    H5E_BEGIN_TRY
    {
        rc = put_file(sink, fresh, value, &offset);
    }
    H5E_END_TRY
    mni_sink_close(sink);
    if (rc == 0)
        rc = put_bytes(fresh, mode, owner, value, offset, sync);
    if (rc == 0 && rename(fresh, path) < 0)
        rc = mni_error(MN_E_STORE, "%s", strerror(errno));
    if (rc < 0) {
        unlink(fresh);
        return blame(mni_error_prefix(rc, "the file %.300s cannot be written", path), owner);
    }
    return 0;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static int read_all(int fd, void *to, size_t size, uint64_t offset)
{
    uint8_t *at = to;
    while (size > 0) {
        ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mni_error(MN_E_STORE, "%s", strerror(errno));
        if (got == 0)
            return mni_error(MN_E_STORE, "it is cut off");
        at += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

static bool is_owner(const block_t *block, const mni_value_owner_t *owner)
{
    static const mn_id_t any;
    return mn_id_equal(block->job, owner->job) && le32toh(block->role) == owner->role &&
           (mn_id_equal(owner->store, any) || mn_id_equal(owner->store, block->store)) &&
           (owner->number == 0 || owner->number == le64toh(block->number));
}

/* Whether the block makes sense, and what it says of the value. */
static int block_check(const block_t *block, const mni_value_owner_t *owner, mn_value_t *value)
{
    static const char nothing;

    if (memcmp(block->magic, magic, sizeof magic) != 0)
        return mni_error(MN_E_STORE, "it is not the file of a value of multinode");
    if (le64toh(block->own_checksum) != XXH3_64bits(block, BLOCK - 8))
        return mni_error(MN_E_STORE, "it is damaged");
    if (le32toh(block->format) != FORMAT)
        return mni_error(MN_E_STORE, "it has format %u, and this multinode (%s) reads format %u",
                         le32toh(block->format), MN_VERSION, FORMAT);
    if (!is_owner(block, owner))
        return mni_error(MN_E_STORE, "it holds the value of another job, or another one of its");
    *value = (mn_value_t){.type = (mn_type_t)le32toh(block->type),
                          .ndims = le32toh(block->ndims),
                          .size = le64toh(block->size),
                          .data = &nothing};
    for (unsigned i = 0; i < MN_MAX_DIMS; i++)
        value->dims[i] = le64toh(block->dims[i]);
    if (mni_value_check(*value) < 0 || le64toh(block->offset) > INT64_MAX - MN_MAX_VALUE)
        return mni_error(MN_E_STORE, "it makes no sense");
    value->data = NULL;
    return 0;
}

/* Opens the file and looks at the block; *fd is to be closed. */
static int open_block(const char *path, const mni_value_owner_t *owner, int *fd, block_t *block,
                      mn_value_t *value)
{
    int rc;

    if ((*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        return mni_error(MN_E_STORE, "%s", strerror(errno));
    if ((rc = read_all(*fd, block, sizeof *block, 0)) == 0)
        rc = block_check(block, owner, value);
    if (rc < 0)
        close(*fd);
    return rc;
}

static int unreadable(int rc, const char *path, const mni_value_owner_t *owner)
{
    return blame(mni_error_prefix(rc, "the file %.300s cannot be read", path), owner);
}

int mni_value_look(const char *path, const mni_value_owner_t *owner, mn_value_t *value)
{
    mn_value_t seen;
    block_t block;
    int fd, rc = open_block(path, owner, &fd, &block, &seen);

    if (rc < 0)
        return unreadable(rc, path, owner);
    close(fd);
    *value = seen;
    return 0;
}

int mni_value_read(const char *path, const mni_value_owner_t *owner, mn_value_t *value)
{
    mn_value_t seen;
    block_t block;
    void *data = NULL;
    int fd, rc = open_block(path, owner, &fd, &block, &seen);

    if (rc < 0)
        return unreadable(rc, path, owner);
    if (!(data = malloc(seen.size > 0 ? seen.size : 1)))
        rc = mni_error(MN_E_NO_MEMORY, "no memory for %zu bytes", seen.size);
    else if ((rc = read_all(fd, data, seen.size, le64toh(block.offset))) == 0 &&
             XXH3_64bits(data, seen.size) != le64toh(block.checksum))
        rc = mni_error(MN_E_STORE, "it is damaged");
    close(fd);
    if (rc < 0) {
        free(data);
        return unreadable(rc, path, owner);
    }
    seen.data = data;
    *value = seen;
    return 0;
}
