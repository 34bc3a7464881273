/* SPDX-License-Identifier: MIT
 *
 * The writing of a journal (see journal.h). The file is longer than what is in it: room is made in advance, since to append to
 * the room that a file has needs no change of its size on disk.
 */
#include "store/journal_format.h"

#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM_STEP (UINT64_C(4) << 20)
#define BUFFER_KEEP ((size_t)4 << 20) /* a larger buffer is given back when it is empty */

#define SEAL_HEADS 4096u /* at most so many records in one seal */

typedef struct buffer {
    uint8_t *bytes;
    size_t size, capacity;
} buffer_t;

/* A record in the file that no seal has told of yet. */
typedef struct untold {
    uint64_t number, end;
    uint8_t head[MNI_JOURNAL_HEAD];
} untold_t;

struct mni_journal {
    int fd;
    char *path;
    uint64_t seed;          /* the header's checksum */
    uint64_t next, written; /* number of the next record put; of the last one in the file */
    uint64_t end, room;     /* offset behind the last record; size of the file */
    buffer_t waits, group;  /* what was put; what is being written */
    uint64_t group_last;    /* number of the group's last record */
    buffer_t untold;        /* of untold_t, from `told` bytes on */
    size_t told;
    buffer_t seal;
    bool broken;
    bool groups; /* the format has groups and seals */
};

static void make_header(uint8_t header[MNI_JOURNAL_HEADER], mn_id_t store, uint64_t first)
{
    memset(header, 0, MNI_JOURNAL_HEADER);
    memcpy(header, mni_journal_magic, sizeof mni_journal_magic);
    store_u32(header + 8, MNI_JOURNAL_FORMAT);
    store_u32(header + 12, MNI_JOURNAL_HEADER);
    memcpy(header + 16, store.bytes, sizeof store.bytes);
    store_u64(header + 32, first);
    store_u64(header + 56, XXH3_64bits(header, 56));
}

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

/* Notes how a record begins, for a seal to tell; without memory none will. */
static void note_head(mni_journal_t *journal, uint64_t number, uint64_t end, const void *data,
                      size_t size)
{
    untold_t untold = {.number = number, .end = end};

    if (!make_room(&journal->untold, sizeof untold))
        return;
    if (size > 0)
        memcpy(untold.head, data, size < sizeof untold.head ? size : sizeof untold.head);
    memcpy(journal->untold.bytes + journal->untold.size, &untold, sizeof untold);
    journal->untold.size += sizeof untold;
}

static void note_group(mni_journal_t *journal)
{
    const uint8_t *at = journal->group.bytes, *end = at + journal->group.size;

    for (uint64_t offset = journal->end; journal->groups && at < end;) {
        size_t size = load_u64(at + 8), whole = MNI_JOURNAL_RECORD + padded(size);
        offset += whole;
        note_head(journal, load_u64(at + 16), offset, at + MNI_JOURNAL_RECORD, size);
        at += whole;
    }
}

/* The records that the seals of an earlier run had not told of yet, and some more. */
static void note_tail(mni_journal_t *journal, const mni_journal_map_t *map,
                      const mni_journal_report_t *report)
{
    mni_journal_cursor_t cursor = {.offset = report->tail, .next = report->tail_number};
    mni_journal_record_t record;

    while (journal->groups && cursor.offset < report->end &&
           mni_journal_next(map, &cursor, &record))
        note_head(journal, record.number, cursor.offset, record.data, record.size);
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
    mni_journal_map_t *map = NULL;
    int rc = mni_journal_map(path, store, &map);
    if (rc < 0)
        return rc;
    mni_journal_t *made = journal_make(path, path, 0);
    if (made) {
        made->seed = mni_journal_seed(map);
        made->groups = mni_journal_groups(map);
        made->written = report->last > 0 ? report->last : mni_journal_start(map).next - 1;
        made->next = made->written + 1;
        made->end = made->room = report->end;
        note_tail(made, map, report);
    }
    mni_journal_unmap(map);
    if (!made)
        return MN_E_STORE;
    if (ftruncate(made->fd, (off_t)made->end) < 0 || sync_data(made->fd) < 0) {
        rc = system_error(made, "cut the torn end off");
        mni_journal_close(made);
        return rc;
    }
    *journal = made;
    return 0;
}

void mni_journal_share(const mni_journal_t *journal, const char *like)
{
    struct stat file;
    int error = errno;

    if (stat(like, &file) == 0 && fchmod(journal->fd, file.st_mode & 0666) < 0)
        errno = error;
}

void mni_journal_close(mni_journal_t *journal)
{
    if (!journal)
        return;
    if (journal->fd >= 0)
        close(journal->fd);
    free(journal->waits.bytes);
    free(journal->group.bytes);
    free(journal->untold.bytes);
    free(journal->seal.bytes);
    free(journal->path);
    free(journal);
}

/* Makes a record in room that is there; without `data` what is there already is its own. */
static void make_record(const mni_journal_t *journal, uint8_t *at, uint32_t type, uint64_t number,
                        const void *data, size_t size)
{
    store_u32(at, MNI_JOURNAL_MARK);
    store_u32(at + 4, type);
    store_u64(at + 8, size);
    store_u64(at + 16, number);
    if (data && size > 0)
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
        type |= MNI_JOURNAL_GROUP;
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
    note_group(journal);
    journal->end = end;
    if (journal->group.size > 0)
        journal->written = journal->group_last;
    journal->group.size = 0;
    return 0;
}

/* Takes what the next seal is to tell; the bytes of it. */
static size_t take_untold(mni_journal_t *journal, uint8_t *to)
{
    size_t bytes = 0;
    untold_t untold;

    for (uint64_t number = 0;
         journal->told < journal->untold.size && bytes < 8 + SEAL_HEADS * MNI_JOURNAL_HEAD;
         number++) {
        memcpy(&untold, journal->untold.bytes + journal->told, sizeof untold);
        if (untold.end + MNI_JOURNAL_APART > journal->end || (bytes > 0 && untold.number != number))
            break;
        if (bytes == 0) {
            number = untold.number;
            store_u64(to, number);
            bytes = 8;
        }
        memcpy(to + bytes, untold.head, sizeof untold.head);
        bytes += sizeof untold.head;
        journal->told += sizeof untold;
    }
    if (journal->told > 0 &&
        (journal->told == journal->untold.size || journal->told > BUFFER_KEEP / 4)) {
        journal->untold.size -= journal->told;
        memmove(journal->untold.bytes, journal->untold.bytes + journal->told, journal->untold.size);
        journal->told = 0;
    }
    return bytes;
}

void mni_journal_seal(mni_journal_t *journal)
{
    size_t told;

    if (!journal->groups || journal->broken || journal->group.size > 0 ||
        (journal->seal.capacity == 0 &&
         !make_room(&journal->seal, MNI_JOURNAL_RECORD * 2 + SEAL_HEADS * MNI_JOURNAL_HEAD)))
        return;
    do {
        uint8_t *at = journal->seal.bytes;
        told = take_untold(journal, at + MNI_JOURNAL_RECORD);
        size_t whole = MNI_JOURNAL_RECORD + padded(told);
        make_record(journal, at, MNI_JOURNAL_SEAL, journal->written, NULL, told);
        if (write_at(journal->fd, at, whole, journal->end) < 0)
            return;
        journal->end += whole;
    } while (told == 8 + SEAL_HEADS * MNI_JOURNAL_HEAD);
}

bool mni_journal_broken(const mni_journal_t *journal)
{
    return journal->broken;
}

uint64_t mni_journal_written(const mni_journal_t *journal)
{
    return journal->written;
}

const char *mni_journal_path(const mni_journal_t *journal)
{
    return journal->path;
}

bool mni_journal_half_written(const mni_journal_t *journal)
{
    return journal->group.size > 0;
}

void mni_journal_break(mni_journal_t *journal)
{
    journal->broken = true;
}

uint64_t mni_journal_bytes(const mni_journal_t *journal)
{
    return journal->end;
}

/* --- a journal that follows another ---------------------------------------------------------------- */

#define COPY_PIECE ((size_t)4 << 20)

/* Adds a record with the number that it has. */
static bool put_copy(mni_journal_t *journal, const mni_journal_record_t *record)
{
    journal->next = record->number;
    return mni_journal_put(journal, record->type, record->data, record->size) != 0;
}

static int write_copies(mni_journal_t *journal, bool sync)
{
    mni_journal_take(journal);
    return mni_journal_write(journal, sync);
}

int mni_journal_copy(mni_journal_t *follower, const mni_journal_map_t *from,
                     mni_journal_cursor_t *cursor, uint64_t upto)
{
    mni_journal_record_t record;
    int rc = 0;

    while (rc == 0 && cursor->next <= upto && mni_journal_next(from, cursor, &record)) {
        if (record.number <= follower->written)
            continue;
        if (!put_copy(follower, &record))
            rc = MN_E_NO_MEMORY;
        else if (follower->waits.size >= COPY_PIECE)
            rc = write_copies(follower, false);
    }
    if (rc < 0 || (rc = write_copies(follower, true)) < 0)
        return rc;
    mni_journal_seal(follower);
    return 0;
}

int mni_journal_rename(mni_journal_t *follower, const mni_journal_t *journal)
{
    if (rename(follower->path, journal->path) < 0)
        return system_error(follower, "put into place");
    return 0;
}

void mni_journal_adopt(mni_journal_t *journal, mni_journal_t *follower)
{
    uint8_t *at = journal->waits.bytes;
    const uint8_t *end = at + journal->waits.size;

    close(journal->fd);
    journal->fd = follower->fd;
    follower->fd = -1;
    journal->seed = follower->seed;
    journal->end = follower->end;
    journal->room = follower->room;
    buffer_t untold = journal->untold;
    journal->untold = follower->untold;
    journal->told = follower->told;
    follower->untold = untold;
    if (at < end && !journal->groups) /* the format has changed */
        store_u32(at + 4, load_u32(at + 4) | MNI_JOURNAL_GROUP);
    journal->groups = follower->groups;
    while (at < end) { /* what waits is to be a record of this file */
        size_t size = load_u64(at + 8);
        store_u64(at + 24, checksum(journal->seed, at, at + MNI_JOURNAL_RECORD, size));
        at += MNI_JOURNAL_RECORD + padded(size);
    }
    mni_journal_close(follower);
}

void mni_journal_drop(mni_journal_t *journal)
{
    if (!journal)
        return;
    unlink(journal->path);
    mni_journal_close(journal);
}
