/* SPDX-License-Identifier: MIT
 *
 * The reading of a journal (see journal.h): the file is mapped, and looked at record by record. Any thread; the file may grow
 * meanwhile, what is added is not seen.
 */
#include "store/journal_format.h"

#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mni_journal_map {
    const uint8_t *bytes;
    uint64_t size;
    uint64_t seed; /* the header's checksum */
    bool groups;   /* the format has groups and seals */
    bool copied;
};

static int map_file(const char *path, mni_journal_map_t *map)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mni_error(MN_E_STORE, "cannot open the journal %s: %s", path, strerror(errno));
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return mni_error(MN_E_STORE, "%s is not a file", path);
    }
    map->size = (uint64_t)status.st_size;
    if (map->size > 0) {
        void *at = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) {
            int rc = mni_error(MN_E_STORE, "cannot map the journal %s: %s", path, strerror(errno));
            close(fd);
            return rc;
        }
        map->bytes = at;
    }
    close(fd);
    return 0;
}

int mni_journal_check(mni_journal_map_t *map, const char *path, mn_id_t store)
{
    const uint8_t *header = map->bytes;

    if (map->size < 8 || memcmp(header, mni_journal_magic, sizeof mni_journal_magic) != 0)
        return mni_error(MN_E_STORE, "%s is not a journal of multinode", path);
    if (map->size < MNI_JOURNAL_HEADER)
        return mni_error(MN_E_STORE, "the journal %s ends in its header", path);
    if (load_u32(header + 8) > MNI_JOURNAL_FORMAT)
        return mni_error(
            MN_E_STORE,
            "the journal %s has format %" PRIu32
            "; this version reads up to %u: use the version that wrote it, or a later one",
            path, load_u32(header + 8), MNI_JOURNAL_FORMAT);
    map->groups = load_u32(header + 8) >= 3;
    map->seed = load_u64(header + 56);
    if (map->seed != XXH3_64bits(header, 56))
        return mni_error(MN_E_STORE, "the header of the journal %s is damaged", path);
    if (!mn_id_equal(store, (mn_id_t){0}) &&
        memcmp(header + 16, store.bytes, sizeof store.bytes) != 0)
        return mni_error(MN_E_STORE, "the journal %s belongs to another store", path);
    return 0;
}

int mni_journal_map(const char *path, mn_id_t store, mni_journal_map_t **map)
{
    mni_journal_map_t *made = calloc(1, sizeof *made);
    int rc;

    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory to read the journal %s", path);
    if ((rc = map_file(path, made)) < 0 || (rc = mni_journal_check(made, path, store)) < 0) {
        mni_journal_unmap(made);
        return rc;
    }
    *map = made;
    return 0;
}

void mni_journal_unmap(mni_journal_map_t *map)
{
    if (map && map->copied)
        free((void *)map->bytes);
    else if (map && map->bytes)
        munmap((void *)map->bytes, map->size);
    free(map);
}

/* Up to the end that the file had at first: it may be cut meanwhile. */
static int read_all(int fd, uint8_t *bytes, uint64_t *size)
{
    uint64_t done = 0;
    while (done < *size) {
        ssize_t got = pread(fd, bytes + done, *size - done, (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (uint64_t)got;
    }
    *size = done;
    return 0;
}

static int copy_file(int fd, const char *path, mni_journal_map_t *map)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return mni_error(MN_E_STORE, "%s is not a file", path);
    uint8_t *bytes = malloc((size_t)status.st_size + 1);
    if (!bytes)
        return mni_error(MN_E_NO_MEMORY, "no memory for the journal %s", path);
    map->bytes = bytes;
    map->copied = true;
    map->size = (uint64_t)status.st_size;
    if (read_all(fd, bytes, &map->size) < 0)
        return mni_error(MN_E_STORE, "cannot read the journal %s: %s", path, strerror(errno));
    return 0;
}

int mni_journal_load(const char *path, mni_journal_map_t **map)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *map = NULL;
        return 0;
    }
    if (fd < 0)
        return mni_error(MN_E_STORE, "cannot open the journal %s: %s", path, strerror(errno));
    mni_journal_map_t *made = calloc(1, sizeof *made);
    int rc = made ? copy_file(fd, path, made)
                  : mni_error(MN_E_NO_MEMORY, "no memory for the journal %s", path);
    close(fd);
    if (rc < 0) {
        mni_journal_unmap(made);
        return rc;
    }
    *map = made;
    return 0;
}

uint64_t mni_journal_seed(const mni_journal_map_t *map)
{
    return map->seed;
}

bool mni_journal_groups(const mni_journal_map_t *map)
{
    return map->groups;
}

mni_journal_cursor_t mni_journal_start(const mni_journal_map_t *map)
{
    return (mni_journal_cursor_t){.offset = MNI_JOURNAL_HEADER, .next = load_u64(map->bytes + 32)};
}

/* Whether a sound record is at an offset. */
static bool record_at(const mni_journal_map_t *map, uint64_t offset, mni_journal_record_t *record)
{
    const uint8_t *at = map->bytes + offset;

    if (map->size - offset < MNI_JOURNAL_RECORD || load_u32(at) != MNI_JOURNAL_MARK)
        return false;
    uint64_t size = load_u64(at + 8), room = map->size - offset - MNI_JOURNAL_RECORD;
    if (size > room || padded(size) > room)
        return false;
    *record = (mni_journal_record_t){.number = load_u64(at + 16),
                                     .type = load_u32(at + 4),
                                     .data = at + MNI_JOURNAL_RECORD,
                                     .size = size};
    if (room - padded(size) >= MNI_JOURNAL_RECORD + MNI_JOURNAL_HEAD)
        record->ahead = at + MNI_JOURNAL_RECORD + padded(size) + MNI_JOURNAL_RECORD;
    return checksum(map->seed, at, record->data, record->size) == load_u64(at + 24);
}

/* Behind damage: the next sound record with a number not below `least`. The end of the file: there is none. */
static uint64_t find_record(const mni_journal_map_t *map, uint64_t offset, uint64_t least)
{
    mni_journal_record_t record;
    for (; map->size - offset >= MNI_JOURNAL_RECORD; offset += 8)
        if (record_at(map, offset, &record) && record.number >= least)
            return offset;
    return map->size;
}

static bool is_seal(const mni_journal_map_t *map, const mni_journal_record_t *record)
{
    return map->groups && record->type == MNI_JOURNAL_SEAL;
}

/* Whether what is before a sound record is known to have been on the disk. */
static bool was_synced(const mni_journal_map_t *map, uint64_t offset)
{
    mni_journal_record_t record;
    while (offset < map->size) {
        record_at(map, offset, &record);
        if (!map->groups || record.type & MNI_JOURNAL_GROUP || is_seal(map, &record))
            return true;
        uint64_t number = record.number;
        offset += MNI_JOURNAL_RECORD + padded(record.size);
        if (offset < map->size && !record_at(map, offset, &record))
            offset = find_record(map, offset, number + 1);
    }
    return false;
}

/* The next sound record or seal, behind damage if there is some. */
static bool step(const mni_journal_map_t *map, mni_journal_cursor_t *cursor,
                 mni_journal_record_t *record)
{
    uint64_t offset = cursor->offset;

    if (offset >= map->size)
        return false;
    if (!record_at(map, offset, record) || record->number + is_seal(map, record) < cursor->next) {
        offset = find_record(map, offset, cursor->next);
        if (offset >= map->size || !was_synced(map, offset))
            return false;
        record_at(map, offset, record);
    }
    cursor->offset = offset + MNI_JOURNAL_RECORD + padded(record->size);
    cursor->next = record->number + 1;
    return true;
}

mni_journal_record_t mni_journal_record_of(const void *data)
{
    const uint8_t *at = (const uint8_t *)data - MNI_JOURNAL_RECORD;

    return (mni_journal_record_t){.number = load_u64(at + 16),
                                  .type = load_u32(at + 4) & ~MNI_JOURNAL_GROUP,
                                  .data = data,
                                  .size = load_u64(at + 8)};
}

bool mni_journal_next(const mni_journal_map_t *map, mni_journal_cursor_t *cursor,
                      mni_journal_record_t *record)
{
    do
        if (!step(map, cursor, record))
            return false;
    while (is_seal(map, record));
    if (map->groups)
        record->type &= ~MNI_JOURNAL_GROUP;
    return true;
}

/* Whether there may have been a record at an offset of a damaged part, with data behind its header. It is taken for one when two of
 * these are right: its mark, its number (else 0), and that its size leads to another one, or to the end of the part. */
static bool was_record(const mni_journal_map_t *map, const mni_journal_damage_t *damage,
                       uint64_t offset, uint64_t *number, uint64_t *next)
{
    const uint8_t *at = map->bytes + offset;
    uint64_t end = damage->offset + damage->bytes, room = end - offset - MNI_JOURNAL_RECORD;
    uint64_t size = load_u64(at + 8);
    bool mark = load_u32(at) == MNI_JOURNAL_MARK;
    bool leads = false;

    *number = load_u64(at + 16);
    if (*number < damage->first || *number - damage->first >= damage->records)
        *number = 0;
    if (size >= MNI_JOURNAL_HEAD && size <= room && padded(size) <= room) {
        *next = offset + MNI_JOURNAL_RECORD + padded(size);
        leads =
            *next == end || (end - *next >= 4 && load_u32(map->bytes + *next) == MNI_JOURNAL_MARK);
    }
    if (!leads)
        *next = offset + MNI_JOURNAL_RECORD;
    return mark + (*number > 0) + leads >= 2;
}

static int add_head(mni_journal_damage_t *damage, const uint8_t *bytes, uint64_t number, bool sure)
{
    mni_journal_head_t *grown =
        realloc(damage->heads, (damage->head_count + 1) * sizeof *damage->heads);

    if (!grown)
        return mni_error(MN_E_NO_MEMORY, "no memory for what is damaged in a journal");
    damage->heads = grown;
    grown[damage->head_count] = (mni_journal_head_t){.number = number, .sure = sure};
    memcpy(grown[damage->head_count++].bytes, bytes, MNI_JOURNAL_HEAD);
    return 0;
}

static bool is_told(const mni_journal_damage_t *damage, uint64_t number)
{
    for (size_t i = 0; i < damage->head_count; i++)
        if (damage->heads[i].number == number)
            return true;
    return false;
}

/* What the seals say of lost records. */
static int take_sure_heads(const mni_journal_map_t *map, mni_journal_report_t *report)
{
    mni_journal_cursor_t cursor = mni_journal_start(map);
    mni_journal_record_t seal;
    int rc = 0;

    while (rc == 0 && step(map, &cursor, &seal)) {
        if (!is_seal(map, &seal) || seal.size < 8)
            continue;
        uint64_t first = load_u64(seal.data), end = first + (seal.size - 8) / MNI_JOURNAL_HEAD;
        for (size_t i = 0; i < report->damage_count; i++) {
            mni_journal_damage_t *damage = &report->damages[i];
            uint64_t number = first > damage->first ? first : damage->first;
            for (; rc == 0 && number < end && number - damage->first < damage->records; number++)
                if (!is_told(damage, number))
                    rc = add_head(damage,
                                  (const uint8_t *)seal.data + 8 +
                                      (number - first) * MNI_JOURNAL_HEAD,
                                  number, true);
        }
    }
    return rc;
}

/* What a damaged part itself still says of those that no seal tells of. */
static int find_heads(const mni_journal_map_t *map, mni_journal_damage_t *damage)
{
    uint64_t least = MNI_JOURNAL_RECORD + MNI_JOURNAL_HEAD, number, next;
    uint64_t offset = damage->offset, end = damage->offset + damage->bytes;
    int rc = 0;

    for (; rc == 0 && end - offset >= least && damage->head_count < damage->records;
         offset = next) {
        if (!was_record(map, damage, offset, &number, &next))
            next = offset + 8;
        else if (number == 0 || !is_told(damage, number))
            rc = add_head(damage, map->bytes + offset + MNI_JOURNAL_RECORD, number, false);
    }
    return rc;
}

static int name_lost(const mni_journal_map_t *map, mni_journal_report_t *report)
{
    int rc = take_sure_heads(map, report);

    for (size_t i = 0; rc == 0 && i < report->damage_count; i++)
        rc = find_heads(map, &report->damages[i]);
    return rc;
}

static int add_damage(mni_journal_report_t *report, mni_journal_damage_t damage)
{
    mni_journal_damage_t *grown =
        realloc(report->damages, (report->damage_count + 1) * sizeof *grown);

    if (!grown)
        return mni_error(MN_E_NO_MEMORY, "no memory for what is damaged in a journal");
    report->damages = grown;
    report->damages[report->damage_count++] = damage;
    return 0;
}

/* Bytes from an offset up to the last one that is not zero. */
static uint64_t torn_bytes(const mni_journal_map_t *map, uint64_t offset)
{
    uint64_t end = map->size;
    while (end > offset && map->bytes[end - 1] == 0)
        end--;
    return end - offset;
}

/* Takes a sound record. */
static int take_record(const mni_journal_map_t *map, mni_journal_record_t record, uint64_t after,
                       mni_journal_visit_t *visit, void *argument, mni_journal_report_t *report)
{
    if (map->groups)
        record.type &= ~MNI_JOURNAL_GROUP;
    if (report->first == 0)
        report->first = record.number;
    report->last = record.number;
    report->records++;
    return visit && record.number > after ? visit(argument, &record) : 0;
}

int mni_journal_scan(const mni_journal_map_t *map, uint64_t after, mni_journal_visit_t *visit,
                     void *argument, mni_journal_report_t *report)
{
    mni_journal_cursor_t cursor = mni_journal_start(map), before = cursor;
    mni_journal_record_t record;
    int rc = 0;

    *report = (mni_journal_report_t){.end = cursor.offset};
    mni_journal_cursor_t tail = before;
    report->tail = tail.offset;
    report->tail_number = tail.next;
    while (rc == 0 && step(map, &cursor, &record)) {
        uint64_t at = cursor.offset - MNI_JOURNAL_RECORD - padded(record.size);
        uint64_t next = record.number + is_seal(map, &record); /* of what is before it */
        if (next != before.next)                               /* a seal alone may be lost */
            rc = add_damage(report, (mni_journal_damage_t){.offset = before.offset,
                                                           .bytes = at - before.offset,
                                                           .first = before.next,
                                                           .records = next - before.next});
        if (rc == 0 && !is_seal(map, &record))
            rc = take_record(map, record, after, visit, argument, report);
        else if (rc == 0 && report->last < record.number)
            report->last = record.number; /* the last one is lost, and its number not free */
        report->end = cursor.offset;
        if (cursor.offset - tail.offset > MNI_JOURNAL_APART) {
            report->tail = tail.offset;
            report->tail_number = tail.next;
            tail = cursor;
        }
        before = cursor;
    }
    report->torn = torn_bytes(map, report->end);
    if (rc == 0 && report->damage_count > 0)
        rc = name_lost(map, report);
    if (rc < 0)
        mni_journal_report_fini(report);
    return rc;
}

int mni_journal_read(const char *path, mn_id_t store, uint64_t after, mni_journal_visit_t *visit,
                     void *argument, mni_journal_report_t *report)
{
    mni_journal_map_t *map = NULL;
    *report = (mni_journal_report_t){0};
    int rc = mni_journal_map(path, store, &map);
    if (rc == 0)
        rc = mni_journal_scan(map, after, visit, argument, report);
    mni_journal_unmap(map);
    return rc;
}

void mni_journal_report_fini(mni_journal_report_t *report)
{
    for (size_t i = 0; i < report->damage_count; i++)
        free(report->damages[i].heads);
    free(report->damages);
    *report = (mni_journal_report_t){0};
}
