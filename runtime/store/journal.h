/* SPDX-License-Identifier: MIT
 *
 * The journal: a file of records that is only ever appended to, beside a store's HDF5 file. What its records say is the
 * affair of its user; here they have a type, a number and bytes. docs/store.md describes the format.
 *
 * Records are numbered from 1, without a gap, over all journals that a store ever had. The HDF5 file says up to which number
 * it includes them, so a journal may hold records that are in the file already: they are skipped. That makes every crash
 * between the replacement of the one and of the other harmless.
 *
 * One thread at a time, but see mni_journal_write(). Errors are MN_E_STORE and MN_E_NO_MEMORY, with a sentence that names the file.
 */
#ifndef MNI_STORE_JOURNAL_H
#define MNI_STORE_JOURNAL_H

#include <multinode.h>

#include <stdbool.h>
#include <stdint.h>

#define MNI_JOURNAL_FORMAT \
    4u /* 1 had no records of several changes; 2 no groups and seals; 3 no GPUs and figures of attempts */
#define MNI_JOURNAL_HEADER 64u /* bytes of the file's header */
#define MNI_JOURNAL_RECORD 32u /* bytes before those of a record */

typedef struct mni_journal mni_journal_t;

typedef struct mni_journal_record {
    uint64_t number;
    uint32_t type;
    const void *data; /* `size` bytes at a multiple of 8, as long as the call */
    size_t size;
    const void *
        ahead; /* where the data of the next record begin, if it is sound, with its id; NULL: nowhere */
} mni_journal_record_t;

/* Takes a record; a negative code ends the reading, which returns it. */
typedef int mni_journal_visit_t(void *argument, const mni_journal_record_t *record);

#define MNI_JOURNAL_HEAD 16u

/* How the data of a lost record begin. */
typedef struct mni_journal_head {
    uint8_t bytes[MNI_JOURNAL_HEAD];
    uint64_t number; /* 0: which of the lost records it was cannot be told */
    bool
        sure; /* a seal further behind says so; else it is as it reads now, and may be damaged itself */
} mni_journal_head_t;

/* A part of the file that makes no sense, with records behind it that do. */
typedef struct mni_journal_damage {
    uint64_t offset, bytes;
    uint64_t first, records;   /* number of the first record lost, and how many */
    mni_journal_head_t *heads; /* of those that can still be told */
    size_t head_count;
} mni_journal_damage_t;

/* What was found in a file. Free with mni_journal_report_fini(). */
typedef struct mni_journal_report {
    uint64_t first, last; /* numbers of the first and the last sound record; 0: there is none */
    uint64_t records;     /* sound ones */
    uint64_t end;         /* offset behind the last sound record */
    uint64_t tail, tail_number; /* offset and number of a sound record some way before that */
    uint64_t
        torn; /* bytes behind that which are not zero, up to the last such: a record cut off by a crash */
    mni_journal_damage_t *damages;
    size_t damage_count;
} mni_journal_report_t;

void mni_journal_report_fini(mni_journal_report_t *report);

/* Begins a journal, whose first record will have the number `first`, in a file that must not exist. What is there is on disk
 * when this returns, the file's name when its folder has been synced. */
int mni_journal_create(const char *path, mn_id_t store, uint64_t first, mni_journal_t **journal);

/* Who may read the file `like` may read the journal. That this cannot be is no reason not to go on. */
void mni_journal_share(const mni_journal_t *journal, const char *like);

/* Reads a journal and changes nothing: `visit` gets each sound record with a number above `after`, in order; NULL: none. A record is
 * sound when its checksum is right. Behind damage the reading goes on at the next sound record. MN_E_STORE: the file is not a
 * journal, or of a later format, or belongs to another store than `store` (a nil id: to any); and what `visit` returned. */
int mni_journal_read(const char *path, mn_id_t store, uint64_t after, mni_journal_visit_t *visit,
                     void *argument, mni_journal_report_t *report);

/* The same in steps: maps a journal into memory, where its records stay until it is unmapped; what is added to the file later is not
 * there. */
typedef struct mni_journal_map mni_journal_map_t;
int mni_journal_map(const char *path, mn_id_t store, mni_journal_map_t **map);
void mni_journal_unmap(mni_journal_map_t *map); /* NULL is fine */
/* A copy instead: what a runtime does to the file meanwhile, which may be written, cut and replaced, does not matter to it. NULL in
 * *map, and 0: there is no such file. Its header is to be checked before anything else is done with it. */
int mni_journal_load(const char *path, mni_journal_map_t **map);
int mni_journal_check(mni_journal_map_t *map, const char *path, mn_id_t store);
uint64_t mni_journal_seed(const mni_journal_map_t *map);
bool mni_journal_groups(const mni_journal_map_t *map); /* its format has groups and seals */
int mni_journal_scan(const mni_journal_map_t *map, uint64_t after, mni_journal_visit_t *visit,
                     void *argument, mni_journal_report_t *report);

/* A place in a journal: an offset, and the least number that a record there can have. */
typedef struct mni_journal_cursor {
    uint64_t offset, next;
} mni_journal_cursor_t;

mni_journal_cursor_t mni_journal_start(const mni_journal_map_t *map);
/* The next sound record, behind damage if there is some. False: there is none. */
bool mni_journal_next(const mni_journal_map_t *map, mni_journal_cursor_t *cursor,
                      mni_journal_record_t *record);
/* A record again that was given before, by its data; the journal is mapped still. */
mni_journal_record_t mni_journal_record_of(const void *data);

/* Goes on with a journal that was read: behind its last sound record; what is torn there is cut off. */
int mni_journal_continue(const char *path, mn_id_t store, const mni_journal_report_t *report,
                         mni_journal_t **journal);

void mni_journal_close(mni_journal_t *journal);

/* Adds a record to those that wait. Returns its number, 0: no memory. */
uint64_t mni_journal_put(mni_journal_t *journal, uint32_t type, const void *data, size_t size);

/* Makes what waits the next group to be written. False: nothing waits, or a group that could not be written is still to be. */
bool mni_journal_take(mni_journal_t *journal);

/* Writes the group that was taken, with `sync` to the disk (fdatasync). The number of its last record is then
 * mni_journal_written(). This may run in one thread while another puts records. A failure leaves the file as it was, or what
 * the next write cuts off, and the group is still there: it may be tried again; but after a failed sync nobody knows what the
 * disk has, so the journal refuses to go on. */
int mni_journal_write(mni_journal_t *journal, bool sync);
/* Says behind the group that was written last that it is kept; before anybody is told so. It says, too, how the records began that
 * lie some way before it, so that these can be named when a part of the file is damaged. It needs no sync, and that it cannot be
 * written is no harm. As mni_journal_write(). */
void mni_journal_seal(mni_journal_t *journal);
bool mni_journal_broken(const mni_journal_t *journal); /* it refuses */
uint64_t mni_journal_written(const mni_journal_t *journal);
uint64_t mni_journal_bytes(
    const mni_journal_t *journal); /* of the file, without room kept in advance */

/* --- the replacement of a journal by one that begins later ---
 *
 * The follower is made by mni_journal_create() beside the journal, given the records that stay (in several steps: the last one
 * while nothing is written to the journal), renamed over it, and adopted: the journal then goes on in the follower's file. */

/* Copies the records behind the cursor, up to the number `upto`, those excepted that the follower has. They are on disk then. */
int mni_journal_copy(mni_journal_t *follower, const mni_journal_map_t *from,
                     mni_journal_cursor_t *cursor, uint64_t upto);
/* Renames the follower's file over the journal's. */
int mni_journal_rename(mni_journal_t *follower, const mni_journal_t *journal);
/* No group may be half written. The follower is gone afterwards. Nobody may put records meanwhile. */
void mni_journal_adopt(mni_journal_t *journal, mni_journal_t *follower);
/* Closes a journal and removes its file. NULL is fine. */
void mni_journal_drop(mni_journal_t *journal);

const char *mni_journal_path(const mni_journal_t *journal);
bool mni_journal_half_written(
    const mni_journal_t *journal); /* a group could not be written, and is still there */
void mni_journal_break(mni_journal_t *journal); /* nothing more is written to it */

#endif
