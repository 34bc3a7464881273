/* SPDX-License-Identifier: MIT
 *
 * The jobs that a store has: the rows and values of its HDF5 file, then what the journal says has changed since. Reads only.
 */
#include "store/internal.h"

#include "store/changes.h"
#include "store/points.h"
#include "util/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1 /* a library does not exit() */
#include <uthash.h>
#include <utlist.h>

typedef struct saved {
    mni_store_record_t record; /* owns its values; texts are in the table's blocks */
    struct saved *prev, *next; /* oldest first */
    UT_hash_handle hh;         /* by record.info.id */
} saved_t;

typedef struct table {
    saved_t *by_id, *jobs;
    mni_text_block_t *texts;
    const char *host, *cpus; /* the last ones: the same few come again and again */
    bool no_memory;
    FILE *damage; /* sentences; NULL: none yet */
    size_t damage_size;
    mni_store_t *store;
} table_t;

/* --- the table -------------------------------------------------------------------------------- */

static saved_t *find(const table_t *table, mn_id_t id)
{
    saved_t *saved = NULL;
    HASH_FIND(hh, table->by_id, &id, sizeof id, saved);
    return saved;
}

static saved_t *add(table_t *table, const mni_store_record_t *record)
{
    saved_t *saved = calloc(1, sizeof *saved);
    if (saved == NULL) {
        mni_error(MN_E_NO_MEMORY, "no memory for the jobs of the store");
        return NULL;
    }
    saved->record = *record;
    HASH_ADD(hh, table->by_id, record.info.id, sizeof(mn_id_t), saved);
    if (saved->hh.tbl == NULL) {
        free(saved);
        mni_error(MN_E_NO_MEMORY, "no memory for the jobs of the store");
        return NULL;
    }
    DL_APPEND(table->jobs, saved);
    return saved;
}

static void drop(table_t *table, saved_t *saved)
{
    HASH_DELETE(hh, table->by_id, saved);
    DL_DELETE(table->jobs, saved);
    mn_value_destroy(&saved->record.input);
    mn_value_destroy(&saved->record.info.result);
    free(saved);
}

static void table_free(table_t *table)
{
    while (table->jobs != NULL)
        drop(table, table->jobs);
    mni_texts_free(table->texts);
    if (table->damage != NULL)
        fclose(table->damage);
}

static const char *text(table_t *table, const char *from)
{
    return mni_text_copy(&table->texts, from, &table->no_memory);
}

static const char *text_again(table_t *table, const char *from, const char **last)
{
    if (from == NULL || (*last != NULL && strcmp(from, *last) == 0))
        return from == NULL ? NULL : *last;
    return *last = text(table, from);
}

/* Replaces a value by a copy. */
static void keep_value(table_t *table, mn_value_t *to, mn_value_t from)
{
    void *copy = NULL;
    if (from.size > 0) {
        if ((copy = malloc(from.size)) == NULL) {
            table->no_memory = true;
            return;
        }
        memcpy(copy, from.data, from.size);
    }
    mn_value_destroy(to);
    *to = from;
    to->data = copy;
}

/* --- the file --------------------------------------------------------------------------------- */

static int take_row(table_t *table, hid_t data, const mni_row_t *row)
{
    mni_store_record_t record;
    int rc = mni_row_record(row, &record);
    mn_info_t *info = &record.info;

    if (rc < 0 || (rc = mni_data_get(data, info->id, &record.input, &info->result)) < 0)
        return rc;
    info->job = text(table, info->job);
    info->error = text(table, info->error);
    info->lock = text(table, info->lock);
    info->tag = text(table, info->tag);
    info->key = text(table, info->key);
    info->message = text(table, info->message);
    info->host = text_again(table, info->host, &table->host);
    info->cpus = text_again(table, info->cpus, &table->cpus);
    if (find(table, info->id) != NULL || add(table, &record) == NULL) {
        mn_value_destroy(&record.input);
        mn_value_destroy(&info->result);
        return find(table, info->id) != NULL
                   ? mni_error(MN_E_STORE, "the table of jobs has a job twice: it is damaged")
                   : MN_E_NO_MEMORY;
    }
    return 0;
}

static int read_file(table_t *table)
{
    hid_t file = mni_file_open(table->store->path), data = -1;
    mni_row_t *rows = NULL;
    size_t count = 0;
    int rc = 0;

    if (file < 0 || (data = H5Gopen2(file, "data", H5P_DEFAULT)) < 0)
        rc = mni_store_error("%.300s cannot be read", table->store->path);
    else
        rc = mni_rows_read(file, &rows, &count);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = take_row(table, data, &rows[i]);
    mni_rows_reclaim(rows, count);
    if (data >= 0)
        H5Gclose(data);
    if (file >= 0)
        H5Fclose(file);
    return rc < 0 ? mni_error_prefix(rc, "the store %.300s", table->store->path) : 0;
}

/* --- the journal ------------------------------------------------------------------------------ */

static FILE *damage(table_t *table)
{
    if (table->damage == NULL)
        table->damage = open_memstream(&table->store->damage, &table->damage_size);
    if (table->damage == NULL)
        table->no_memory = true;
    return table->damage;
}

/* What the record's texts and values become in the table; `from` points into the record. */
static void keep(table_t *table, unsigned set, const mni_store_record_t *from,
                 mni_store_record_t *to)
{
    mni_store_record_t kept = *from;
    mn_info_t *info = &kept.info;

    kept.input = to->input;
    info->result = to->info.result;
    if (set & MNI_CHANGE_BIT(MNI_CHANGE_START)) {
        info->job = text(table, info->job);
        info->lock = text(table, info->lock);
        info->tag = text(table, info->tag);
        info->key = text(table, info->key);
        keep_value(table, &kept.input, from->input);
    }
    if (set & MNI_CHANGE_BIT(MNI_CHANGE_BEGIN)) {
        info->host = text_again(table, info->host, &table->host);
        info->cpus = text_again(table, info->cpus, &table->cpus);
    }
    if (set & MNI_CHANGE_BIT(MNI_CHANGE_VALUE))
        keep_value(table, &info->result, from->info.result);
    if (set & (MNI_CHANGE_BIT(MNI_CHANGE_VALUE) | MNI_CHANGE_BIT(MNI_CHANGE_STATE)))
        info->message = text(table, info->message);
    if (set & MNI_CHANGE_BIT(MNI_CHANGE_STATE))
        info->error = text(table, info->error);
    *to = kept;
}

static int take_change(void *argument, const mni_journal_record_t *change)
{
    table_t *table = argument;
    mni_store_record_t record = {0};
    char name[MN_ID_TEXT];
    mn_id_t id;

    if (!mni_change_id(change, &id))
        return mni_error(MN_E_STORE, "record %" PRIu64 " of the journal names no job",
                         change->number);
    saved_t *saved = find(table, id);
    if (change->type == MNI_CHANGE_REMOVE) {
        if (saved != NULL)
            drop(table, saved);
        return 0;
    }
    if (saved != NULL)
        record = saved->record;
    int rc = mni_change_apply(change, &record);
    if (rc < 0)
        return rc;
    if (saved == NULL && change->type != MNI_CHANGE_START) {
        if (damage(table) != NULL)
            fprintf(table->damage,
                    "job %s is lost: record %" PRIu64 " tells of it, and its start is not there\n",
                    mn_id_format(id, name), change->number);
        return 0;
    }
    if (saved == NULL) {
        mni_store_record_t fresh = {.info.id = id};
        if ((saved = add(table, &fresh)) == NULL)
            return MN_E_NO_MEMORY;
    }
    keep(table, mni_change_set(change), &record, &saved->record);
    return table->no_memory ? mni_error(MN_E_NO_MEMORY, "no memory for the jobs of the store") : 0;
}

/* The job whose id it is, but for one byte at most. */
static const saved_t *find_nearly(const table_t *table, mn_id_t id)
{
    const saved_t *saved = find(table, id);
    if (saved != NULL)
        return saved;
    DL_FOREACH (table->jobs, saved) {
        unsigned differ = 0;
        for (unsigned i = 0; i < sizeof id.bytes; i++)
            differ += saved->record.info.id.bytes[i] != id.bytes[i];
        if (differ <= 1)
            return saved;
    }
    return NULL;
}

/* Says which jobs had the records that are lost. */
static void tell_touched(table_t *table, const mni_journal_damage_t *part)
{
    char name[MN_ID_TEXT];

    for (size_t i = 0; i < part->head_count; i++) {
        mn_id_t id;
        memcpy(id.bytes, part->heads[i], sizeof id.bytes);
        const saved_t *saved = find_nearly(table, id);
        fprintf(table->damage,
                saved != NULL ? "job %s has lost a change of it there\n"
                              : "job %s, or one with nearly that id, was started or changed there, "
                                "and is not known\n",
                mn_id_format(saved != NULL ? saved->record.info.id : id, name));
    }
    if (part->head_count < part->records)
        fprintf(table->damage, "of whom %" PRIu64 " of these records were cannot be told\n",
                part->records - part->head_count);
}

static int read_journal(table_t *table)
{
    mni_store_t *store = table->store;

    mni_journal_report_fini(&store->report);
    int rc = mni_journal_read(store->journal, store->id, store->included, take_change, table,
                              &store->report);
    if (rc < 0)
        return mni_error_prefix(rc, "the journal %.300s", store->journal);
    for (size_t i = 0; i < store->report.damage_count; i++) {
        const mni_journal_damage_t *part = &store->report.damages[i];
        if (damage(table) != NULL)
            fprintf(table->damage,
                    "the journal %s is damaged: at byte %" PRIu64 " %" PRIu64
                    " bytes with the records %" PRIu64 " to %" PRIu64 " are lost\n",
                    store->journal, part->offset, part->bytes, part->first,
                    part->first + part->records - 1);
        if (table->damage != NULL)
            tell_touched(table, part);
    }
    if (store->report.first > store->included + 1 && damage(table) != NULL)
        fprintf(table->damage,
                "the journal %s begins with record %" PRIu64 ", and the file ends with %" PRIu64
                ": what is between is lost\n",
                store->journal, store->report.first, store->included);
    return 0;
}

int mni_store_recover(mni_store_t *store, mni_store_take_t *take, void *argument)
{
    table_t table = {.store = store};
    const saved_t *saved;
    int rc = 0;

    if (store->path == NULL || !store->exists)
        return 0;
    H5E_BEGIN_TRY
    {
        rc = read_file(&table);
    }
    H5E_END_TRY
    if (rc == 0 && store->has_journal)
        rc = read_journal(&table);
    DL_FOREACH (table.jobs, saved)
        if (rc == 0)
            rc = take(argument, &saved->record);
    table_free(&table);
    return rc;
}

const char *mni_store_damage(const mni_store_t *store)
{
    return store->damage;
}
