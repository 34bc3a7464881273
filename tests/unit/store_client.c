/* SPDX-License-Identifier: MIT
 *
 * See store_client.h. Everything that a job has follows from its number and from how often it has yielded, so the log needs no
 * values.
 */
#include "store_client.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCKS 3
#define VALUE_MOST 2048u /* elements */

static const char *const lock_names[LOCKS] = {"board-1", "board-2", "bench"};

typedef struct client {
    client_log_t *log;
    const client_options_t *options;
    mni_store_t *store;
    mni_doorbell_t bell;
    uint64_t random;
    client_entry_t now[CLIENT_JOBS]; /* job 0 is not used: its `job` stays 0 */
    bool known[CLIENT_JOBS];
    uint32_t started;
    uint32_t visited;
    uint64_t input[VALUE_MOST], result[VALUE_MOST];
    char name[32], key[32], message[32];
    bool wrong;       /* what was recovered is */
    uint64_t touched; /* jobs that may be in any state */
} client_t;

static uint64_t draw(client_t *client, uint64_t below)
{
    client->random = client->random * 6364136223846793005u + 1442695040888963407u;
    return (client->random >> 33) % below;
}

/* --- jobs as records ------------------------------------------------------------------------------ */

mn_id_t client_id(uint32_t job)
{
    mn_id_t id = {{0}};
    uint64_t spread = (job + 1) * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(id.bytes, &spread, sizeof spread);
    spread = spread * UINT64_C(0xbf58476d1ce4e5b9) + 7;
    memcpy(id.bytes + 8, &spread, sizeof spread);
    return id;
}

/* The value of a job's input (yields 0) or result: of some elements, now and then of many. */
static mn_value_t value_of(uint32_t job, uint64_t yields, uint64_t *room)
{
    size_t count = 1 + (job * 7 + yields * 3) % 5;
    if ((job + yields) % 11 == 0)
        count = 300 + job;
    if ((job + yields) % 37 == 0)
        count = 1500 + job;
    for (size_t i = 0; i < count; i++)
        room[i] = job * UINT64_C(1000003) + yields * 1009 + i;
    return mn_array(MN_UINT64, room, count);
}

static mni_store_record_t record_of(client_t *client, const client_entry_t *job)
{
    mni_store_record_t record = {
        .info = {.id = client_id(job->job),
                 .job = "simulate",
                 .status = (mn_status_t)job->status,
                 .reason = (mn_reason_t)job->reason,
                 .error = job->status == MN_FAILED ? "it has failed, as it was to" : NULL,
                 .attempts = job->attempts,
                 .created = 1000.0 + job->job,
                 .started = job->attempts > 0 ? 2000.0 + job->job : 0,
                 .ended = mn_status_terminal((mn_status_t)job->status) ? 3000.0 + job->job : 0,
                 .lock = job->lock >= 0 ? lock_names[job->lock] : NULL,
                 .tag = job->job % 2 ? "odd" : NULL,
                 .host = job->attempts > 0 ? "node1" : NULL,
                 .cpus = job->attempts > 0 ? "0-1" : NULL,
                 .rank = job->attempts > 0 ? 1 : -1,
                 .yields = job->yields},
        .need = {.millicores = 1000,
                 .max_concurrency = UINT32_MAX,
                 .max_retries = 3,
                 .max_lost = 1000,
                 .timeout = INFINITY,
                 .grace = 10},
        .has_need = true,
        .retries = job->retries,
        .lost = job->lost,
    };
    snprintf(client->key, sizeof client->key, "sample-%u", job->job);
    if (job->job % 3 == 0)
        record.info.key = client->key;
    record.input = value_of(job->job, 0, client->input);
    if (job->yields > 0) {
        record.info.result = value_of(job->job, job->yields, client->result);
        record.info.progress = (double)(job->yields % 8) / 8;
    }
    return record;
}

static int visit(void *argument, mni_store_record_t *record)
{
    client_t *client = argument;
    while (client->visited < CLIENT_JOBS)
        if (client->known[client->visited++] && client->now[client->visited - 1].present) {
            *record = record_of(client, &client->now[client->visited - 1]);
            return 1;
        }
    return 0;
}

/* --- what was recovered ------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static int wrong(client_t *client, const char *format, ...)
{
    va_list arguments;
    if (!client->wrong) {
        va_start(arguments, format);
        vsnprintf(client->log->error, sizeof client->log->error, format, arguments);
        va_end(arguments);
    }
    client->wrong = true;
    return MN_E_CANCELLED;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_value(mn_value_t a, mn_value_t b)
{
    return a.size == b.size && a.ndims == b.ndims && (a.size == 0 || a.type == b.type) &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Whether a record is what the entry says. */
static bool is_as(client_t *client, const mni_store_record_t *record, const client_entry_t *entry)
{
    mni_store_record_t expected = record_of(client, entry);
    const mn_info_t *a = &record->info, *b = &expected.info;
    return entry->present && a->status == b->status && a->reason == b->reason &&
           a->attempts == b->attempts && record->retries == entry->retries &&
           record->lost == entry->lost && a->yields == b->yields && a->created == b->created &&
           a->ended == b->ended && same_text(a->job, b->job) && same_text(a->error, b->error) &&
           same_text(a->lock, b->lock) && same_text(a->tag, b->tag) && same_text(a->key, b->key) &&
           same_value(record->input, expected.input) && same_value(a->result, b->result);
}

/* The log's last entry of the job that is acknowledged, or its first; CLIENT_ENTRIES: there is none. */
static uint32_t first_candidate(const client_log_t *log, uint32_t job)
{
    uint32_t found = CLIENT_ENTRIES;
    for (uint32_t i = 0; i < log->count; i++)
        if (log->entries[i].job == job && (i < log->acknowledged || found == CLIENT_ENTRIES))
            found = i;
    return found;
}

static int take(void *argument, const mni_store_record_t *record)
{
    client_t *client = argument;
    const client_log_t *log = client->log;
    char text[MN_ID_TEXT];
    uint32_t job = 1;

    while (job < CLIENT_JOBS && !mn_id_equal(client_id(job), record->info.id))
        job++;
    mn_id_format(record->info.id, text);
    uint32_t first = job < CLIENT_JOBS ? first_candidate(log, job) : CLIENT_ENTRIES;
    if (first == CLIENT_ENTRIES)
        return wrong(client, "job %s was never started", text);
    if (client->known[job])
        return wrong(client, "job %u is there twice", job);
    if (client->touched & UINT64_C(1) << job) {
        client->known[job] = true;
        client->now[job] = (client_entry_t){.job = job, .present = true, .lock = -1};
        return 0;
    }
    for (uint32_t i = first; i < log->count; i++)
        if (log->entries[i].job == job && is_as(client, record, &log->entries[i])) {
            client->known[job] = true;
            client->now[job] = log->entries[i];
            return 0;
        }
    return wrong(
        client,
        "job %u (%s) is %s (%s), attempts %u, retries %u, lost %u, yields %llu, result of %zu "
        "bytes, which it never was since what was acknowledged: entry %u of %u (%u acknowledged)",
        job, text, mn_status_name(record->info.status), mn_reason_name(record->info.reason),
        record->info.attempts, record->retries, record->lost,
        (unsigned long long)record->info.yields, record->info.result.size, first, log->count,
        log->acknowledged);
}

/* What the store did not give must not have been there, or may have been removed. */
static int check_absent(client_t *client)
{
    const client_log_t *log = client->log;
    int8_t holder[LOCKS] = {0};

    for (uint32_t job = 1; job < CLIENT_JOBS; job++) {
        uint32_t first = first_candidate(log, job);
        if (first == CLIENT_ENTRIES)
            continue;
        const client_entry_t *entry = &log->entries[first];
        if (!client->known[job]) {
            bool may = first >= log->acknowledged || !entry->present ||
                       client->touched & UINT64_C(1) << job;
            for (uint32_t i = first; i < log->count && !may; i++)
                may = log->entries[i].job == job && !log->entries[i].present;
            if (!may)
                return wrong(client, "job %u is lost: entry %u of %u (%u acknowledged)", job, first,
                             log->count, log->acknowledged);
            client->now[job] = *entry;
            client->now[job].present = false;
        } else if (client->now[job].lock >= 0 &&
                   !mn_status_terminal((mn_status_t)client->now[job].status)) {
            int8_t *held = &holder[client->now[job].lock];
            if (*held)
                return wrong(client, "jobs %d and %u hold one lock", *held, job);
            *held = (int8_t)job;
        }
    }
    return 0;
}

static int recover(client_t *client, const char *path)
{
    int rc = mni_store_open(path, &client->store);
    if (rc == 0)
        rc = mni_store_recover(client->store, take, client);
    return rc == 0 ? check_absent(client) : rc;
}

bool client_audit_damaged(const char *path, const client_log_t *log, uint64_t touched,
                          char damage[CLIENT_DAMAGE], char why[512])
{
    client_t *client = calloc(1, sizeof *client);
    client_log_t *copy = malloc(sizeof *copy);
    bool good = false;

    if (client && copy) {
        *copy = *log;
        client->log = copy;
        client->touched = touched;
        good = recover(client, path) == 0;
        const char *told = good ? mni_store_damage(client->store) : NULL;
        snprintf(damage, CLIENT_DAMAGE, "%s", told ? told : "");
        if (client->wrong)
            snprintf(why, 512, "%s", copy->error);
        else if (!good)
            snprintf(why, 512, "the store is refused: %.400s", mn_error_message());
        mni_store_close(client->store);
    }
    free(copy);
    free(client);
    return good;
}

bool client_audit(const char *path, const client_log_t *log, char why[512])
{
    char damage[CLIENT_DAMAGE];
    bool good = client_audit_damaged(path, log, 0, damage, why);
    if (good && damage[0]) {
        snprintf(why, 512, "the store is damaged: %.400s", damage);
        good = false;
    }
    return good;
}

/* --- changes --------------------------------------------------------------------------------------- */

/* Marks what is kept by now. */
static void poll(client_t *client)
{
    client_log_t *log = client->log;
    uint64_t kept = mni_store_kept(client->store);
    while (log->acknowledged < log->count && log->entries[log->acknowledged].told > 0 &&
           log->entries[log->acknowledged].told <= kept)
        log->acknowledged++;
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
    mni_store_record_t record = record_of(client, job);
    int rc = 0;

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
        break;
    }
    if (rc == 0)
        entry->told = mni_store_told(client->store);
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
        if (first_candidate(log, job) < CLIENT_ENTRIES) {
            client->known[job] = true;
            client->now[job].job = job;
            log->entries[log->count++] = client->now[job];
        }
    log->acknowledged = log->count;
}

static int work(client_t *client)
{
    const client_options_t *options = client->options;
    int rc = settle(client);
    uint32_t next = 1;

    while (next < CLIENT_JOBS && first_candidate(client->log, next) < CLIENT_ENTRIES)
        next++;
    for (unsigned step = 0, started = 0; rc == 0 && step < options->steps; step++) {
        uint32_t job = pick(client);
        if (client->log->count + 2 * CLIENT_JOBS > CLIENT_ENTRIES)
            return wrong(client, "the log is full");
        if (started < options->jobs && next < CLIENT_JOBS && (job == 0 || draw(client, 4) == 0)) {
            rc = start_one(client, next++);
            started++;
        } else if (job > 0) {
            rc = change_one(client, job);
        }
        if (rc == 0 && draw(client, 3) == 0)
            rc = wait_kept(client);
        else
            mni_store_commit(client->store);
        poll(client);
        if (options->stepped)
            options->stepped(options->argument, client->log);
    }
    return rc;
}

static int session(client_t *client, const char *path)
{
    int rc = recover(client, path), finish;

    if (rc < 0 || (rc = mni_store_begin(client->store, client->options->durability, &client->bell,
                                        visit, client)) < 0)
        return rc;
    log_recovered(client);
    rc = work(client);
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
    mni_store_close(client->store);
    bool good = !client->wrong;
    free(client);
    log->ended = true;
    return good;
}
