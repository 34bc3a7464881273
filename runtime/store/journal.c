/* SPDX-License-Identifier: MIT
 *
 * See journal.h. All numbers in the file are little-endian, everything is at a multiple of 8 bytes.
 *
 *     header   magic[8], u32 format, u32 bytes of the header, store[16], u64 number of the first record, zeros, u64 checksum
 *     record   u32 mark, u32 type, u64 size, u64 number, u64 checksum, then the bytes, then zeros to a multiple of 8
 *
 * Checksums are XXH3 (64 bits). That of a record is over its first 24 bytes and its data, and seeded with the header's, so that
 * bytes of some other journal, which may well be in somebody's data, are no records here. The file is longer than what is in
 * it: room is made in advance, since to append to the room that a file has needs no change of its size on disk.
 *
 * A group is one write, and of one that was not synced a power loss may leave any part. A group is written when the one before
 * it is on the disk: so behind something damaged either another group begins, or a seal says that this one was synced, and then
 * it is damage; or neither, and it is the torn end, with all that is behind it.
 */
#include "store/journal.h"

#include "store/points.h"
#include "util/error.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define MARK UINT32_C(0x4c4e524a) /* "JRNL" */
/* Types of the file's own, from format 3 on: the bit of a record that begins a group; a record without data behind a group that is
 * on the disk, with the number of the group's last record. */
#define GROUP UINT32_C(0x80000000)
#define SEAL UINT32_C(0x7fffffff)
#define ROOM_STEP (UINT64_C(4) << 20)
#define BUFFER_KEEP ((size_t)4 << 20) /* a larger buffer is given back when it is empty */

static const uint8_t magic[8] = {0x89, 'M', 'N', 'J', '\r', '\n', 0x1a, '\n'};

typedef struct buffer {
    uint8_t *bytes;
    size_t size, capacity;
} buffer_t;

struct mni_journal {
    int fd;
    char *path;
    uint64_t seed;          /* the header's checksum */
    uint64_t next, written; /* number of the next record put; of the last one in the file */
    uint64_t end, room;     /* offset behind the last record; size of the file */
    buffer_t waits, group;  /* what was put; what is being written */
    uint64_t group_last;    /* number of the group's last record */
    bool broken;
    bool groups; /* the format has groups and seals */
};

/* --- numbers -------------------------------------------------------------------------------------------------------- */

static void store_u32(uint8_t *at, uint32_t number)
{
    number = htole32(number);
    memcpy(at, &number, sizeof number);
}

static void store_u64(uint8_t *at, uint64_t number)
{
    number = htole64(number);
    memcpy(at, &number, sizeof number);
}

static uint32_t load_u32(const uint8_t *at)
{
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return le32toh(number);
}

static uint64_t load_u64(const uint8_t *at)
{
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return le64toh(number);
}

static uint64_t padded(uint64_t size)
{
    return (size + 7) / 8 * 8;
}

static uint64_t checksum(uint64_t seed, const uint8_t *record, const void *data, size_t size)
{
    return XXH3_64bits_withSeed(data, size, XXH3_64bits_withSeed(record, 24, seed));
}

static void make_header(uint8_t header[MNI_JOURNAL_HEADER], mn_id_t store, uint64_t first)
{
    memset(header, 0, MNI_JOURNAL_HEADER);
    memcpy(header, magic, sizeof magic);
    store_u32(header + 8, MNI_JOURNAL_FORMAT);
    store_u32(header + 12, MNI_JOURNAL_HEADER);
    memcpy(header + 16, store.bytes, sizeof store.bytes);
    store_u64(header + 32, first);
    store_u64(header + 56, XXH3_64bits(header, 56));
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

typedef struct image {
    const uint8_t *bytes;
    uint64_t size;
    uint64_t seed;
    bool groups; /* as in mni_journal */
} image_t;

static int image_open(const char *path, image_t *image)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mni_error(MN_E_STORE, "cannot open the journal %s: %s", path, strerror(errno));
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return mni_error(MN_E_STORE, "%s is not a file", path);
    }
    *image = (image_t){.size = (uint64_t)status.st_size};
    if (image->size > 0) {
        void *at = mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) {
            int rc = mni_error(MN_E_STORE, "cannot map the journal %s: %s", path, strerror(errno));
            close(fd);
            return rc;
        }
        image->bytes = at;
    }
    close(fd);
    return 0;
}

static void image_close(image_t *image)
{
    if (image->bytes)
        munmap((void *)image->bytes, image->size);
}

static int check_header(image_t *image, const char *path, mn_id_t store)
{
    const uint8_t *header = image->bytes;

    if (image->size < sizeof magic || memcmp(header, magic, sizeof magic) != 0)
        return mni_error(MN_E_STORE, "%s is not a journal of multinode", path);
    if (image->size < MNI_JOURNAL_HEADER)
        return mni_error(MN_E_STORE, "the journal %s ends in its header", path);
    if (load_u32(header + 8) > MNI_JOURNAL_FORMAT)
        return mni_error(
            MN_E_STORE,
            "the journal %s has format %" PRIu32
            "; this version reads up to %u: use the version that wrote it, or a later one",
            path, load_u32(header + 8), MNI_JOURNAL_FORMAT);
    image->groups = load_u32(header + 8) >= 3;
    image->seed = load_u64(header + 56);
    if (image->seed != XXH3_64bits(header, 56))
        return mni_error(MN_E_STORE, "the header of the journal %s is damaged", path);
    if (!mn_id_equal(store, (mn_id_t){0}) &&
        memcmp(header + 16, store.bytes, sizeof store.bytes) != 0)
        return mni_error(MN_E_STORE, "the journal %s belongs to another store", path);
    return 0;
}

/* Whether a sound record is at an offset. */
static bool record_at(const image_t *image, uint64_t offset, mni_journal_record_t *record)
{
    const uint8_t *at = image->bytes + offset;

    if (image->size - offset < MNI_JOURNAL_RECORD || load_u32(at) != MARK)
        return false;
    uint64_t size = load_u64(at + 8), room = image->size - offset - MNI_JOURNAL_RECORD;
    if (size > room || padded(size) > room)
        return false;
    *record = (mni_journal_record_t){.number = load_u64(at + 16),
                                     .type = load_u32(at + 4),
                                     .data = at + MNI_JOURNAL_RECORD,
                                     .size = size};
    return checksum(image->seed, at, record->data, record->size) == load_u64(at + 24);
}

static bool is_seal(const image_t *image, const mni_journal_record_t *record)
{
    return image->groups && record->type == SEAL;
}

/* Behind damage: the next sound record with a number above `last`. The end of the file: there is none. */
static uint64_t find_record(const image_t *image, uint64_t offset, uint64_t last)
{
    mni_journal_record_t record;
    for (; image->size - offset >= MNI_JOURNAL_RECORD; offset += 8)
        if (record_at(image, offset, &record) && record.number > last)
            return offset;
    return image->size;
}

/* Whether what is before a sound record is known to have been on the disk. */
static bool was_synced(const image_t *image, uint64_t offset)
{
    mni_journal_record_t record;
    while (offset < image->size) {
        record_at(image, offset, &record);
        if (!image->groups || record.type & GROUP || is_seal(image, &record))
            return true;
        uint64_t number = record.number;
        offset += MNI_JOURNAL_RECORD + padded(record.size);
        if (offset < image->size && !record_at(image, offset, &record))
            offset = find_record(image, offset, number);
    }
    return false;
}

/* Whether there may have been a record at an offset of a damaged part, with data behind its header. It is taken for one when two of
 * these are right: its mark, its number, and that its size leads to another one, or to the end of the part. */
static bool was_record(const image_t *image, const mni_journal_damage_t *damage, uint64_t offset,
                       uint64_t *next)
{
    const uint8_t *at = image->bytes + offset;
    uint64_t end = damage->offset + damage->bytes, room = end - offset - MNI_JOURNAL_RECORD;
    uint64_t size = load_u64(at + 8), number = load_u64(at + 16);
    bool mark = load_u32(at) == MARK;
    bool counted = number >= damage->first && number - damage->first < damage->records;
    bool leads = false;

    if (size >= MNI_JOURNAL_HEAD && size <= room && padded(size) <= room) {
        *next = offset + MNI_JOURNAL_RECORD + padded(size);
        leads = *next == end || (end - *next >= 4 && load_u32(image->bytes + *next) == MARK);
    }
    if (!leads)
        *next = offset + MNI_JOURNAL_RECORD;
    return mark + counted + leads >= 2;
}

static int find_heads(const image_t *image, mni_journal_damage_t *damage)
{
    uint64_t least = MNI_JOURNAL_RECORD + MNI_JOURNAL_HEAD, next;
    uint64_t offset = damage->offset, end = damage->offset + damage->bytes;

    for (; end - offset >= least && damage->head_count < damage->records; offset = next) {
        next = offset + 8;
        if (!was_record(image, damage, offset, &next)) {
            next = offset + 8;
            continue;
        }
        uint8_t(*grown)[MNI_JOURNAL_HEAD] =
            realloc(damage->heads, (damage->head_count + 1) * sizeof *grown);
        if (!grown)
            return -1;
        damage->heads = grown;
        memcpy(grown[damage->head_count++], image->bytes + offset + MNI_JOURNAL_RECORD,
               MNI_JOURNAL_HEAD);
    }
    return 0;
}

static int add_damage(const image_t *image, mni_journal_report_t *report,
                      mni_journal_damage_t damage)
{
    mni_journal_damage_t *grown =
        realloc(report->damages, (report->damage_count + 1) * sizeof *grown);

    if (grown)
        report->damages = grown;
    if (!grown || find_heads(image, &damage) < 0) {
        free(damage.heads);
        return mni_error(MN_E_NO_MEMORY, "no memory for what is damaged in a journal");
    }
    report->damages[report->damage_count++] = damage;
    return 0;
}

/* Bytes from an offset up to the last one that is not zero. */
static uint64_t torn_bytes(const image_t *image, uint64_t offset)
{
    uint64_t end = image->size;
    while (end > offset && image->bytes[end - 1] == 0)
        end--;
    return end - offset;
}

/* Takes a sound record, which is number `expected` or a later one. */
static int take_record(const image_t *image, const mni_journal_record_t *record, uint64_t after,
                       mni_journal_visit_t *visit, void *argument, mni_journal_report_t *report)
{
    mni_journal_record_t given = *record;

    if (image->groups)
        given.type &= ~GROUP;
    if (report->first == 0)
        report->first = given.number;
    report->last = given.number;
    report->records++;
    return visit && given.number > after ? visit(argument, &given) : 0;
}

static int read_records(const image_t *image, uint64_t after, mni_journal_visit_t *visit,
                        void *argument, mni_journal_report_t *report)
{
    uint64_t offset = MNI_JOURNAL_HEADER, expected = load_u64(image->bytes + 32);
    mni_journal_record_t record;
    int rc = 0;

    report->end = offset;
    while (rc == 0 && offset < image->size) {
        uint64_t from = offset;
        if (!record_at(image, offset, &record) ||
            record.number < expected - is_seal(image, &record)) {
            offset = find_record(image, offset, expected - 1);
            if (offset >= image->size || !was_synced(image, offset))
                break;
            record_at(image, offset, &record);
        }
        uint64_t next = record.number + is_seal(image, &record); /* of what is before it */
        if (next != expected)                                    /* a seal alone may be lost */
            rc = add_damage(image, report,
                            (mni_journal_damage_t){.offset = from,
                                                   .bytes = offset - from,
                                                   .first = expected,
                                                   .records = next - expected});
        if (rc == 0 && !is_seal(image, &record))
            rc = take_record(image, &record, after, visit, argument, report);
        else if (rc == 0 && report->last < record.number)
            report->last = record.number; /* the last one is lost, and its number not free */
        expected = record.number + 1;
        offset += MNI_JOURNAL_RECORD + padded(record.size);
        report->end = offset;
    }
    report->torn = torn_bytes(image, report->end);
    return rc;
}

int mni_journal_read(const char *path, mn_id_t store, uint64_t after, mni_journal_visit_t *visit,
                     void *argument, mni_journal_report_t *report)
{
    image_t image;
    *report = (mni_journal_report_t){0};
    int rc = image_open(path, &image);
    if (rc < 0)
        return rc;
    rc = check_header(&image, path, store);
    if (rc == 0)
        rc = read_records(&image, after, visit, argument, report);
    image_close(&image);
    if (rc < 0)
        mni_journal_report_fini(report);
    return rc;
}

void mni_journal_report_fini(mni_journal_report_t *report)
{
    for (size_t i = 0; i < report->damage_count; i++)
        free(report->damages[i].heads);
    free(report->damages);
    *report = (mni_journal_report_t){0};
}

/* --- writing -------------------------------------------------------------------------------------------------------- */

static int system_error(const mni_journal_t *journal, const char *what)
{
    return mni_error(MN_E_STORE, "cannot %s the journal %s: %s", what, journal->path,
                     strerror(errno));
}

static int write_at(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t written = pwrite(fd, data, size, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno;
            return -1;
        }
        data += written;
        size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

static int sync_data(int fd)
{
    int rc;
    do
        rc = fdatasync(fd);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* `file` is what is opened of the journal that will be at `path`. */
static mni_journal_t *journal_make(const char *path, const char *file, int flags)
{
    mni_journal_t *made = calloc(1, sizeof *made);
    if (made) {
        made->fd = -1;
        made->path = strdup(path);
    }
    if (!made || !made->path) {
        free(made);
        mni_error(MN_E_NO_MEMORY, "no memory for the journal %s", path);
        return NULL;
    }
    made->fd = open(file, O_RDWR | O_CLOEXEC | flags, 0600);
    if (made->fd < 0) {
        system_error(made, flags & O_CREAT ? "make" : "open");
        mni_journal_close(made);
        return NULL;
    }
    return made;
}

/* The file gets its name when its header is on the disk: a journal without one would be no journal. */
static int create_named(mni_journal_t *made, const char *fresh, const uint8_t *header)
{
    if (write_at(made->fd, header, MNI_JOURNAL_HEADER, 0) < 0 || sync_data(made->fd) < 0)
        return system_error(made, "write");
    if (access(made->path, F_OK) == 0) {
        errno = EEXIST;
        return system_error(made, "make");
    }
    return rename(fresh, made->path) < 0 ? system_error(made, "make") : 0;
}

int mni_journal_create(const char *path, mn_id_t store, uint64_t first, mni_journal_t **journal)
{
    uint8_t header[MNI_JOURNAL_HEADER];
    char fresh[PATH_MAX + 8];
    int rc;

    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return mni_error(MN_E_STORE, "the path of the journal %.300s is too long", path);
    unlink(fresh); /* of a process that was killed here */
    mni_journal_t *made = journal_make(path, fresh, O_CREAT | O_EXCL);
    if (!made)
        return MN_E_STORE;
    make_header(header, store, first);
    made->seed = load_u64(header + 56);
    made->groups = true;
    made->next = first;
    made->written = first - 1;
    made->end = made->room = sizeof header;
    if ((rc = create_named(made, fresh, header)) < 0) {
        unlink(fresh);
        mni_journal_close(made);
        return rc;
    }
    *journal = made;
    return 0;
}

int mni_journal_continue(const char *path, mn_id_t store, const mni_journal_report_t *report,
                         mni_journal_t **journal)
{
    image_t image;
    int rc = image_open(path, &image);
    if (rc < 0)
        return rc;
    rc = check_header(&image, path, store);
    uint64_t first = rc == 0 ? load_u64(image.bytes + 32) : 0;
    image_close(&image);
    if (rc < 0)
        return rc;
    mni_journal_t *made = journal_make(path, path, 0);
    if (!made)
        return MN_E_STORE;
    made->seed = image.seed;
    made->groups = image.groups;
    made->written = report->last > 0 ? report->last : first - 1;
    made->next = made->written + 1;
    made->end = made->room = report->end;
    if (ftruncate(made->fd, (off_t)made->end) < 0 || sync_data(made->fd) < 0) {
        rc = system_error(made, "cut the torn end off");
        mni_journal_close(made);
        return rc;
    }
    *journal = made;
    return 0;
}

void mni_journal_close(mni_journal_t *journal)
{
    if (!journal)
        return;
    if (journal->fd >= 0)
        close(journal->fd);
    free(journal->waits.bytes);
    free(journal->group.bytes);
    free(journal->path);
    free(journal);
}

static bool make_room(buffer_t *buffer, size_t more)
{
    if (buffer->capacity - buffer->size >= more)
        return true;
    size_t capacity = buffer->capacity < 4096 ? 4096 : buffer->capacity;
    while (capacity - buffer->size < more)
        capacity *= 2;
    uint8_t *grown = realloc(buffer->bytes, capacity);
    if (!grown)
        return false;
    buffer->bytes = grown;
    buffer->capacity = capacity;
    return true;
}

/* Makes a record in room that is there. */
static void make_record(const mni_journal_t *journal, uint8_t *at, uint32_t type, uint64_t number,
                        const void *data, size_t size)
{
    store_u32(at, MARK);
    store_u32(at + 4, type);
    store_u64(at + 8, size);
    store_u64(at + 16, number);
    if (size > 0)
        memcpy(at + MNI_JOURNAL_RECORD, data, size);
    memset(at + MNI_JOURNAL_RECORD + size, 0, padded(size) - size);
    store_u64(at + 24, checksum(journal->seed, at, at + MNI_JOURNAL_RECORD, size));
}

uint64_t mni_journal_put(mni_journal_t *journal, uint32_t type, const void *data, size_t size)
{
    size_t whole = MNI_JOURNAL_RECORD + padded(size);

    if (!make_room(&journal->waits, whole)) {
        mni_error(MN_E_NO_MEMORY, "no memory for a record of %zu bytes in the journal %s", size,
                  journal->path);
        return 0;
    }
    if (journal->groups && journal->waits.size == 0)
        type |= GROUP;
    make_record(journal, journal->waits.bytes + journal->waits.size, type, journal->next, data,
                size);
    journal->waits.size += whole;
    return journal->next++;
}

bool mni_journal_take(mni_journal_t *journal)
{
    buffer_t written = journal->group;

    if (written.size > 0 || journal->waits.size == 0)
        return false;
    if (written.capacity > BUFFER_KEEP) {
        free(written.bytes);
        written = (buffer_t){0};
    }
    journal->group = journal->waits;
    journal->waits = written;
    journal->group_last = journal->next - 1;
    return true;
}

/* Room in the file for what is to be written. Where it cannot be made in advance writing makes it, or says why not. */
static void grow(mni_journal_t *journal, uint64_t end)
{
    uint64_t room = (end + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    if (end > journal->room &&
        posix_fallocate(journal->fd, (off_t)journal->room, (off_t)(room - journal->room)) == 0)
        journal->room = room;
}

int mni_journal_write(mni_journal_t *journal, bool sync)
{
    if (journal->broken)
        return mni_error(MN_E_STORE,
                         "the journal %s could not be brought to the disk before: nothing more is "
                         "written to it",
                         journal->path);
    uint64_t end = journal->end + journal->group.size;
    if (journal->group.size > 0) {
        grow(journal, end);
        if (write_at(journal->fd, journal->group.bytes, journal->group.size, journal->end) < 0)
            return system_error(journal, "write");
    }
    if (sync && sync_data(journal->fd) < 0) {
        journal->broken = true;
        return system_error(journal, "bring to the disk");
    }
    journal->end = end;
    if (journal->group.size > 0)
        journal->written = journal->group_last;
    journal->group.size = 0;
    return 0;
}

void mni_journal_seal(mni_journal_t *journal)
{
    uint8_t seal[MNI_JOURNAL_RECORD];

    if (!journal->groups || journal->broken || journal->group.size > 0)
        return;
    make_record(journal, seal, SEAL, journal->written, NULL, 0);
    if (write_at(journal->fd, seal, sizeof seal, journal->end) == 0)
        journal->end += sizeof seal;
}

bool mni_journal_broken(const mni_journal_t *journal)
{
    return journal->broken;
}

uint64_t mni_journal_written(const mni_journal_t *journal)
{
    return journal->written;
}

uint64_t mni_journal_bytes(const mni_journal_t *journal)
{
    return journal->end;
}
