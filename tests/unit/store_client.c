/* SPDX-License-Identifier: MIT
 *
 * See store_client.h: the sessions.
 */
#include "store_client_internal.h"

#include "util/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t draw(client_t *client, uint64_t below)
{
    client->random = client->random * 6364136223846793005u + 1442695040888963407u;
    return (client->random >> 33) % below;
}

static int visit(void *argument, mni_store_record_t *record)
{
    client_t *client = argument;
    while (client->visited < CLIENT_JOBS)
        if (client->known[client->visited++] && client->now[client->visited - 1].present) {
            *record = client_record(client, &client->now[client->visited - 1], false);
            return 1;
        }
    return 0;
}

/* --- changes --------------------------------------------------------------------------------------- */

/* Marks what is kept by now. */
static void poll(client_t *client)
{
    client_log_t *log = client->log;
    uint64_t kept = mni_store_kept(client->store);
    while (log->acknowledged < log->count && log->entries[log->acknowledged].told > 0 &&
           log->entries[log->acknowledged].told <= kept)
        __atomic_store_n(&log->acknowledged, log->acknowledged + 1, __ATOMIC_RELEASE);
}

/* A change that is about to be told: it may be kept from here on. */
static client_entry_t *log_change(client_t *client, const client_entry_t *job)
{
    client_log_t *log = client->log;
    client_entry_t *entry = &log->entries[log->count];
    client->now[job->job] = *job;
    client->known[job->job] = true;
    *entry = *job;
    entry->told = 0;
    __atomic_store_n(&log->count, log->count + 1, __ATOMIC_RELEASE);
    return entry;
}

typedef enum change { STARTED, BEGUN, YIELDED, CHANGED, FINISHED, REMOVED } change_t;

static int tell(client_t *client, change_t change, const client_entry_t *job)
{
    client_entry_t *entry = log_change(client, job);
    int rc = change == STARTED                         ? client_value_renew(client, job, INPUT)
             : change == YIELDED || change == FINISHED ? client_value_renew(client, job, RESULT)
                                                       : 0;
    mni_store_record_t record = client_record(client, job, false);

    if (rc < 0)
        return rc;
    switch (change) {
    case STARTED:
        rc = mni_store_started(client->store, &record);
        break;
    case BEGUN:
        rc = mni_store_changed(client->store, MNI_STORE_BEGUN, &record);
        break;
    case YIELDED:
        rc = mni_store_changed(client->store, MNI_STORE_YIELDED, &record);
        break;
    case CHANGED:
        rc = mni_store_changed(client->store, MNI_STORE_CHANGED, &record);
        break;
    case FINISHED:
        rc = mni_store_changed(client->store, MNI_STORE_YIELDED | MNI_STORE_CHANGED, &record);
        break;
    case REMOVED:
        rc = mni_store_removed(client->store, record.info.id);
        client_values_drop(client, job->job);
        break;
    }
    if (rc == 0)
        __atomic_store_n(&entry->told, mni_store_told(client->store), __ATOMIC_RELAXED);
    return rc;
}

static bool lock_is_free(const client_t *client, int8_t lock)
{
    for (uint32_t job = 1; job < CLIENT_JOBS; job++)
        if (client->known[job] && client->now[job].present && client->now[job].lock == lock &&
            !mn_status_terminal((mn_status_t)client->now[job].status))
            return false;
    return true;
}

static int start_one(client_t *client, uint32_t number)
{
    client_entry_t job = {.job = number, .present = true, .status = MN_PENDING, .lock = -1};
    int8_t lock = (int8_t)draw(client, LOCKS + 2);
    if (lock < LOCKS && lock_is_free(client, lock))
        job.lock = lock;
    return tell(client, STARTED, &job);
}

/* A change of a RUNNING job. */
static int go_on(client_t *client, client_entry_t job)
{
    switch (draw(client, 6)) {
    case 0: /* it has its result */
        job.yields++;
        job.status = MN_SUCCEEDED;
        job.reason = MN_REASON_RETURNED;
        return tell(client, FINISHED, &job);
    case 1:
        job.status = MN_FAILED;
        job.reason = MN_REASON_ERROR;
        return tell(client, CHANGED, &job);
    case 2: /* it is tried again */
        job.status = MN_PENDING;
        job.reason = MN_REASON_ERROR;
        job.retries++;
        return tell(client, CHANGED, &job);
    case 3:
        job.status = MN_CANCELLING;
        job.reason = MN_REASON_CANCELLED;
        return tell(client, CHANGED, &job);
    default:
        job.yields++;
        return tell(client, YIELDED, &job);
    }
}

static int change_one(client_t *client, uint32_t number)
{
    client_entry_t job = client->now[number];

    switch (job.status) {
    case MN_PENDING:
        if (draw(client, 6) == 0) {
            job.status = MN_CANCELLED;
            job.reason = MN_REASON_CANCELLED;
            return tell(client, CHANGED, &job);
        }
        job.status = MN_RUNNING;
        job.reason = MN_REASON_NONE;
        job.attempts++;
        return tell(client, BEGUN, &job);
    case MN_RUNNING:
        return go_on(client, job);
    case MN_CANCELLING:
        job.status = MN_CANCELLED;
        job.reason = MN_REASON_KILLED;
        return tell(client, CHANGED, &job);
    default:
        if (draw(client, 4) > 0)
            return 0;
        job.present = false;
        return tell(client, REMOVED, &job);
    }
}

/* Some job of those that are there, 0: none. */
static uint32_t pick(client_t *client)
{
    for (unsigned tries = 0; tries < 4 * CLIENT_JOBS; tries++) {
        uint32_t job = 1 + (uint32_t)draw(client, CLIENT_JOBS - 1);
        if (client->known[job] && client->now[job].present)
            return job;
    }
    return 0;
}

/* Waits until all is kept that was told. Not 0: it will not be. */
static int wait_kept(client_t *client)
{
    unsigned waited = 0;
    bool for_good = false;

    mni_store_commit(client->store);
    for (;;) {
        uint32_t seen = mni_doorbell_seen(&client->bell);
        poll(client);
        if (mni_store_kept(client->store) >= mni_store_told(client->store))
            return 0;
        int rc = mni_store_trouble(client->store, &for_good);
        if (rc < 0 && (for_good || waited > client->options->patience))
            return rc;
        mni_doorbell_sleep(&client->bell, seen, rc < 0 ? 10000000 : 100000000);
        waited += rc < 0 ? 10 : 0;
    }
}

/* Waits until the HDF5 file is another one than when it was last seen. Once that fails, for a while only; then the session goes on
 * without. */
static void wait_replaced(client_t *client, const char *path)
{
    char text[MNI_ERROR_MAX];
    struct stat file;

    if (client->followed == mni_store_told(client->store)) /* there is nothing new for it */
        return;
    for (unsigned waited = 0, failing = 0; !client->unfollowed; waited++) {
        if (stat(path, &file) == 0 && file.st_ino != client->file) {
            client->log->replaced++;
            client->file = file.st_ino;
            client->followed = mni_store_told(client->store);
            return;
        }
        if (failing > 0 || mni_store_snapshot_trouble(client->store, text, sizeof text) ||
            mni_store_trouble(client->store, NULL) < 0)
            failing++;
        client->unfollowed = failing > client->options->patience / 3 || waited > 30000;
        usleep(1000);
    }
}

/* What a crash leaves behind is put in order, as the scheduler does. */
static int settle(client_t *client)
{
    int rc = 0;
    for (uint32_t number = 1; rc == 0 && number < CLIENT_JOBS; number++) {
        client_entry_t job = client->now[number];
        if (!client->known[number] || !job.present)
            continue;
        if (job.status == MN_RUNNING) {
            job.status = MN_PENDING;
            job.reason = MN_REASON_WORKER_LOST;
            job.lost++;
        } else if (job.status == MN_CANCELLING) {
            job.status = MN_CANCELLED;
            job.reason = MN_REASON_CANCELLED;
        } else {
            continue;
        }
        rc = tell(client, CHANGED, &job);
    }
    return rc;
}

/* What the store has is what the log goes on from. */
static void log_recovered(client_t *client)
{
    client_log_t *log = client->log;
    for (uint32_t job = 1; job < CLIENT_JOBS; job++)
        if (client_first_candidate(log, job) < CLIENT_ENTRIES) {
            client->known[job] = true;
            client->now[job].job = job;
            log->entries[log->count++] = client->now[job];
        }
    log->acknowledged = log->count;
}

static int work(client_t *client, const char *path)
{
    const client_options_t *options = client->options;
    int rc = settle(client);
    uint32_t next = 1;

    while (next < CLIENT_JOBS && client_first_candidate(client->log, next) < CLIENT_ENTRIES)
        next++;
    for (unsigned step = 0, started = 0; rc == 0 && step < options->steps; step++) {
        uint32_t job = pick(client);
        if (client->log->count + 2 * CLIENT_JOBS > CLIENT_ENTRIES)
            return client_wrong(client, "the log is full");
        if (started < options->jobs && next < CLIENT_JOBS && (job == 0 || draw(client, 4) == 0)) {
            rc = start_one(client, next++);
            started++;
        } else if (job > 0) {
            rc = change_one(client, job);
        }
        bool wait = rc == 0 && draw(client, 3) == 0;
        if (wait)
            rc = wait_kept(client);
        else
            mni_store_commit(client->store);
        if (wait && rc == 0 && options->follow)
            wait_replaced(client, path);
        poll(client);
        if (options->stepped)
            options->stepped(options->argument, client->log);
    }
    return rc;
}

static int session(client_t *client, const char *path)
{
    int rc = client_recover(client, path), finish;

    if (rc == 0 && client->options->follow)
        mni_store_snapshot_age(client->store, 0);
    if (rc < 0 || (rc = mni_store_begin(client->store, client->options->durability, &client->bell,
                                        visit, client)) < 0)
        return rc;
    log_recovered(client);
    rc = work(client, path);
    if (client->options->cut)
        return rc;
    uint64_t told = mni_store_told(client->store);
    client->visited = 0;
    finish = mni_store_finish(client->store, visit, client);
    if (finish == 0)
        while (client->log->acknowledged < client->log->count &&
               client->log->entries[client->log->acknowledged].told > 0 &&
               client->log->entries[client->log->acknowledged].told <= told)
            client->log->acknowledged++;
    return rc < 0 ? rc : finish;
}

bool client_session(const char *path, client_log_t *log, const client_options_t *options)
{
    client_t *client = calloc(1, sizeof *client);

    mni_large_least = log->large ? LARGE_LEAST : MNI_STORE_LARGE;
    mni_snapshot_retry = 0.01;
    log->ended = false;
    log->error[0] = '\0';
    log->rc = MN_E_NO_MEMORY;
    if (!client)
        return false;
    client->log = log;
    client->options = options;
    client->random = options->seed;
    log->rc = session(client, path);
    if (log->rc < 0 && !client->wrong)
        snprintf(log->error, sizeof log->error, "%s", mn_error_message());
    client_close(client);
    bool good = !client->wrong;
    free(client);
    log->ended = true;
    return good;
}
