/* SPDX-License-Identifier: MIT
 *
 * What store_client.c (sessions) and store_audit.c (what a store is to have) share.
 */
#ifndef STORE_CLIENT_INTERNAL_H
#define STORE_CLIENT_INTERNAL_H

#include "store_client.h"

#include "store/internal.h"

#define LOCKS 3
#define VALUE_MOST 2048u  /* elements */
#define LARGE_LEAST 2000u /* bytes of a value that has a file of its own, where the log says so */

enum { INPUT, RESULT };

typedef struct client {
    client_log_t *log;
    const client_options_t *options;
    mni_store_t *store;
    mni_doorbell_t bell;
    uint64_t random;
    client_entry_t now[CLIENT_JOBS]; /* job 0 is not used: its `job` stays 0 */
    bool known[CLIENT_JOBS];
    mni_large_t *large[CLIENT_JOBS][2]; /* values with files of their own */
    uint32_t visited;
    uint64_t value[2][VALUE_MOST];
    char name[32], key[32], message[32];
    ino_t file; /* the HDF5 file as it was last seen, and what was told by then */
    uint64_t followed;
    bool unfollowed;  /* it is not replaced any more */
    bool wrong;       /* what was recovered is */
    bool unreadable;  /* a value with a file of its own could not be read */
    uint64_t touched; /* jobs that may be in any state */
} client_t;

/* What the store is to be told of a job: with what is known of its large values, unless they are `expected`. */
mni_store_record_t client_record(client_t *client, const client_entry_t *job, bool expected);
/* A value of a job has become another one. */
int client_value_renew(client_t *client, const client_entry_t *job, int which);
void client_values_drop(client_t *client, uint32_t job);

/* The log's last entry of the job that is acknowledged, or its first; CLIENT_ENTRIES: there is none. */
uint32_t client_first_candidate(const client_log_t *log, uint32_t job);
/* Opens the store and holds what it has against the log, which is where the client goes on from. */
int client_recover(client_t *client, const char *path);
int client_wrong(client_t *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Closes the store. */
void client_close(client_t *client);

#endif
