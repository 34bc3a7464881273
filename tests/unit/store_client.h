/* SPDX-License-Identifier: MIT
 *
 * A client of the store for tests of faults, crashes and power losses: it does what a scheduler does, at random (jobs that are
 * started, begin, yield, end, are tried again, cancelled, removed; locks, keys, tags), and logs each change before it tells the
 * store of it. What the store has acknowledged is marked in the log, which is so an independent witness of what must be there.
 *
 * The log is plain memory without pointers: it may be shared with a child that is killed, or copied at any instant.
 */
#ifndef STORE_CLIENT_H
#define STORE_CLIENT_H

#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_JOBS 64u
#define CLIENT_DAMAGE 16384 /* bytes of the sentences about it */
#define CLIENT_ENTRIES 4096u

/* A job as it was from some change on. */
typedef struct client_entry {
    uint32_t job;
    bool present; /* false: removed */
    uint8_t status, reason;
    int8_t lock; /* -1: none */
    uint32_t attempts, retries, lost;
    uint64_t yields; /* which say what its result is */
    uint64_t told;   /* number of the change; 0: the store did not take it */
} client_entry_t;

typedef struct client_log {
    uint32_t count, acknowledged; /* the first so many entries are kept */
    bool large;                   /* some values, those over 2,000 bytes, have files of their own */
    bool ended;                   /* the session came to its end by itself */
    uint32_t replaced;            /* so often the session saw that the HDF5 file was replaced */
    int rc;                       /* how: 0, or what the store said */
    char error[512];
    client_entry_t entries[CLIENT_ENTRIES];
} client_log_t;

typedef struct client_options {
    uint64_t seed;
    unsigned jobs;     /* to be started, at most CLIENT_JOBS in a log; 0: none */
    unsigned steps;    /* changes */
    unsigned patience; /* milliseconds for which trouble is waited out */
    bool follow;       /* the HDF5 file is replaced again and again, and waited for */
    bool cut;          /* end without mni_store_finish(), as a crash would */
    mni_durability_t durability;
    /* called after each step, in the client's thread; NULL: none */
    void (*stepped)(void *argument, client_log_t *log);
    void *argument;
} client_options_t;

/* Opens the store, holds what it recovers against the log, makes changes, ends. The outcome is in the log; false: what was
 * recovered was wrong, and the log's error says what. */
bool client_session(const char *path, client_log_t *log, const client_options_t *options);

/* Holds what the store has against the log, and changes nothing. False: it is wrong, and `why` says what; also when the store tells
 * of damage. */
bool client_audit(const char *path, const client_log_t *log, char why[512]);

/* The same where some jobs (bit 1 << number) may be in any state, or missing, since changes of theirs are damaged. What the store
 * tells of it is copied. */
bool client_audit_damaged(const char *path, const client_log_t *log, uint64_t touched,
                          char damage[CLIENT_DAMAGE], char why[512]);

mn_id_t client_id(uint32_t job);

#endif
