/* SPDX-License-Identifier: MIT
 *
 * The keeper: a thread that brings records to the disk while the scheduler goes on. Whoever puts records says when a group of
 * them is complete; the keeper writes all that waits with one write and one fdatasync, tells up to which number all is kept,
 * and rings a doorbell. What is put meanwhile is the next group.
 *
 * While the disk is full, or the file cannot be written for another reason, the keeper tries again and again, and nothing is
 * lost; mni_keeper_trouble() tells of it.
 */
#ifndef MNI_STORE_KEEPER_H
#define MNI_STORE_KEEPER_H

#include "store/files.h"
#include "store/journal.h"
#include "util/doorbell.h"

typedef struct mni_keeper mni_keeper_t;

/* Told by the keeper's thread: up to which number all is kept, and of how many bytes the journal is. Must not block for long. */
typedef void mni_keeper_hear_t(void *argument, uint64_t kept, uint64_t bytes);

/* Takes over the journal, in any case; large values are written to `files` before the records that name them. `bell` is rung when more is kept, or when something goes wrong. */
int mni_keeper_start(mni_journal_t *journal, mni_files_t *files, bool sync, mni_doorbell_t *bell,
                     mni_keeper_t **keeper);
/* Before the first record is put: who is to be told when more is kept. */
void mni_keeper_watch(mni_keeper_t *keeper, mni_keeper_hear_t *hear, void *argument);

/* Writes what still waits and ends the thread. 0, or the trouble because of which not all was written. NULL is fine. */
int mni_keeper_stop(mni_keeper_t *keeper);

/* Adds a record. 0 or MN_E_NO_MEMORY. One thread. */
int mni_keeper_put(mni_keeper_t *keeper, uint32_t type, const void *data, size_t size);
/* A group is complete. Does not wait. */
void mni_keeper_commit(mni_keeper_t *keeper);

/* Numbers of the last record that was put, and of the last that is kept. */
uint64_t mni_keeper_last(const mni_keeper_t *keeper);
uint64_t mni_keeper_kept(const mni_keeper_t *keeper);

/* Lets the journal go on in a follower (journal.h), which has all records up to a cursor in the present file: between two groups
 * the keeper copies the rest, renames it into place and syncs the folder. Takes the follower over, in any case. Waits until it is
 * done, but not while the journal cannot be written, which is a failure; any thread but those of the keeper. On failure the journal
 * is as it was, or refuses to go on if that is not known. */
int mni_keeper_follow(mni_keeper_t *keeper, mni_journal_t *follower, mni_journal_cursor_t cursor,
                      mn_id_t store, const char *folder);

/* Bytes of the journal. Before the first record is put. */
uint64_t mni_keeper_bytes(const mni_keeper_t *keeper);

/* 0; or MN_E_STORE with its sentence when the last attempt to write failed. *for_good (may be NULL): there will be no other. */
int mni_keeper_trouble(mni_keeper_t *keeper, bool *for_good);

#endif
