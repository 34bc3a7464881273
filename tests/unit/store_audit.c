/* SPDX-License-Identifier: MIT
 *
 * What a client's jobs are as records, and the audit: what a store has is held against the client's log. Everything that a job has
 * follows from its number and from how often it has yielded, so the log needs no values.
 */
#include "store_client_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const lock_names[LOCKS] = {"board-1", "board-2", "bench"};

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
static mn_value_t value_of(const client_log_t *log, uint32_t job, uint64_t yields, uint64_t *room)
{
    size_t count = 1 + (job * 7 + yields * 3) % 5;
    if ((job + yields) % (log->large ? 3 : 11) == 0)
        count = 300 + job;
    if ((job + yields) % 37 == 0)
        count = 1500 + job;
    for (size_t i = 0; i < count; i++)
        room[i] = job * UINT64_C(1000003) + yields * 1009 + i;
    return mn_array(MN_UINT64, room, count);
}

/* Large values are where they are. */
static void add_large(const client_t *client, uint32_t job, mni_store_record_t *record)
{
    mni_large_t *const *large = client->large[job];
    if (large[INPUT]) {
        record->input = mni_large_value(large[INPUT]);
        record->input_file = mni_large_file(large[INPUT]);
        record->input_large = large[INPUT];
    }
    if (large[RESULT]) {
        record->info.result = mni_large_value(large[RESULT]);
        record->result_file = mni_large_file(large[RESULT]);
        record->result_large = large[RESULT];
    }
}

mni_store_record_t client_record(client_t *client, const client_entry_t *job, bool expected)
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
    record.input = value_of(client->log, job->job, 0, client->value[INPUT]);
    if (job->yields > 0) {
        record.info.result = value_of(client->log, job->job, job->yields, client->value[RESULT]);
        record.info.progress = (double)(job->yields % 8) / 8;
    }
    if (!expected)
        add_large(client, job->job, &record);
    return record;
}

int client_value_renew(client_t *client, const client_entry_t *job, int which)
{
    mni_large_t **large = &client->large[job->job][which];
    mn_value_t value =
        value_of(client->log, job->job, which == INPUT ? 0 : job->yields, client->value[which]);

    mni_large_destroy(*large);
    *large = NULL;
    return client->log->large && value.size > LARGE_LEAST ? mni_large_create(value, large) : 0;
}

void client_values_drop(client_t *client, uint32_t job)
{
    for (int which = INPUT; which <= RESULT; which++) {
        mni_large_destroy(client->large[job][which]);
        client->large[job][which] = NULL;
    }
}

/* --- what was recovered ------------------------------------------------------------------------------ */

int client_wrong(client_t *client, const char *format, ...)
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

/* Whether a value is that one; also where it has a file of its own, which is read then. */
static bool value_is(client_t *client, const mni_store_record_t *record, bool input,
                     mn_value_t expected)
{
    mn_value_t value;

    if (!(input ? record->input_file : record->result_file))
        return same_value(input ? record->input : record->info.result, expected);
    if (mni_store_value_read(client->store, record, input, &value) < 0) {
        client->unreadable = true;
        return false;
    }
    bool same = same_value(value, expected);
    mn_value_destroy(&value);
    return same;
}

/* Whether a record is what the entry says. */
static bool is_as(client_t *client, const mni_store_record_t *record, const client_entry_t *entry)
{
    mni_store_record_t expected = client_record(client, entry, true);
    const mn_info_t *a = &record->info, *b = &expected.info;
    return entry->present && a->status == b->status && a->reason == b->reason &&
           a->attempts == b->attempts && record->retries == entry->retries &&
           record->lost == entry->lost && a->yields == b->yields && a->created == b->created &&
           a->ended == b->ended && same_text(a->job, b->job) && same_text(a->error, b->error) &&
           same_text(a->lock, b->lock) && same_text(a->tag, b->tag) && same_text(a->key, b->key) &&
           value_is(client, record, true, expected.input) &&
           value_is(client, record, false, b->result);
}

uint32_t client_first_candidate(const client_log_t *log, uint32_t job)
{
    uint32_t found = CLIENT_ENTRIES;
    for (uint32_t i = 0; i < log->count; i++)
        if (log->entries[i].job == job && (i < log->acknowledged || found == CLIENT_ENTRIES))
            found = i;
    return found;
}

/* Values that have files of their own stay there. */
static int take_large(client_t *client, uint32_t job, const mni_store_record_t *record)
{
    int rc = 0;
    if (record->input_file)
        rc = mni_large_restore(client->store, record, true, &client->large[job][INPUT]);
    if (rc == 0 && record->result_file)
        rc = mni_large_restore(client->store, record, false, &client->large[job][RESULT]);
    return rc;
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
    uint32_t first = job < CLIENT_JOBS ? client_first_candidate(log, job) : CLIENT_ENTRIES;
    if (first == CLIENT_ENTRIES)
        return client_wrong(client, "job %s was never started", text);
    if (client->known[job])
        return client_wrong(client, "job %u is there twice", job);
    if (client->touched & UINT64_C(1) << job) {
        client->known[job] = true;
        client->now[job] = (client_entry_t){.job = job, .present = true, .lock = -1};
        return 0;
    }
    for (uint32_t i = first; i < log->count; i++)
        if (log->entries[i].job == job && is_as(client, record, &log->entries[i])) {
            client->known[job] = true;
            client->now[job] = log->entries[i];
            return take_large(client, job, record);
        } else if (client->unreadable) {
            return MN_E_STORE;
        }
    return client_wrong(
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
        uint32_t first = client_first_candidate(log, job);
        if (first == CLIENT_ENTRIES)
            continue;
        const client_entry_t *entry = &log->entries[first];
        if (!client->known[job]) {
            bool may = first >= log->acknowledged || !entry->present ||
                       client->touched & UINT64_C(1) << job;
            for (uint32_t i = first; i < log->count && !may; i++)
                may = log->entries[i].job == job && !log->entries[i].present;
            if (!may)
                return client_wrong(client, "job %u is lost: entry %u of %u (%u acknowledged)", job,
                                    first, log->count, log->acknowledged);
            client->now[job] = *entry;
            client->now[job].present = false;
        } else if (client->now[job].lock >= 0 &&
                   !mn_status_terminal((mn_status_t)client->now[job].status)) {
            int8_t *held = &holder[client->now[job].lock];
            if (*held)
                return client_wrong(client, "jobs %d and %u hold one lock", *held, job);
            *held = (int8_t)job;
        }
    }
    return 0;
}

int client_recover(client_t *client, const char *path)
{
    int rc = mni_store_open(path, &client->store);
    if (rc == 0)
        rc = mni_store_recover(client->store, take, client);
    return rc == 0 ? check_absent(client) : rc;
}

void client_close(client_t *client)
{
    for (uint32_t job = 0; job < CLIENT_JOBS; job++)
        client_values_drop(client, job);
    mni_store_close(client->store);
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
        good = client_recover(client, path) == 0;
        const char *told = good ? mni_store_damage(client->store) : NULL;
        snprintf(damage, CLIENT_DAMAGE, "%s", told ? told : "");
        if (client->wrong)
            snprintf(why, 512, "%s", copy->error);
        else if (!good)
            snprintf(why, 512, "the store is refused: %.400s", mn_error_message());
        client_close(client);
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
