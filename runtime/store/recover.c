/* SPDX-License-Identifier: MIT
 *
 * The jobs that a store has: those of its HDF5 file, with what the journal says has changed since, then those that it says have been
 * started. Reads only, and holds in memory what the journal says, not what the file has.
 */
#include "store/internal.h"

#include "store/changes.h"
#include "store/points.h"
#include "util/error.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reading {
    mni_store_t *store;
    mni_journal_map_t *map;
    mni_window_t window;
    mni_store_take_t *take;
    void *argument;
    FILE *damage; /* sentences; NULL: none yet */
    size_t damage_size;
    bool scan; /* values stay where they are: in the file, or in the store's copy of the journal */
    bool no_memory;
} reading_t;

static FILE *damage(reading_t *reading)
{
    if (reading->damage == NULL) {
        free(reading->store->damage); /* of an earlier reading */
        reading->store->damage = NULL;
        reading->damage = open_memstream(&reading->store->damage, &reading->damage_size);
    }
    if (reading->damage == NULL)
        reading->no_memory = true;
    return reading->damage;
}

/* --- the journal ------------------------------------------------------------------------------ */

static int take_change(void *argument, const mni_journal_record_t *change)
{
    reading_t *reading = argument;
    return mni_window_add(&reading->window, change);
}

void mni_store_tell_touched(const mni_journal_damage_t *part, mni_store_problem_t *tell,
                            void *argument)
{
    char name[MN_ID_TEXT], sentence[128];

    for (size_t i = 0; i < part->head_count; i++) {
        mn_id_t id;
        memcpy(id.bytes, part->heads[i].bytes, sizeof id.bytes);
        snprintf(sentence, sizeof sentence, "job %s%s has lost a change", mn_id_format(id, name),
                 part->heads[i].sure ? "" : ", as its id reads there,");
        tell(argument, sentence);
    }
    if (part->head_count < part->records) {
        snprintf(sentence, sizeof sentence,
                 "of whom %" PRIu64 " of these records were cannot be told",
                 part->records - part->head_count);
        tell(argument, sentence);
    }
}

static void tell_sentence(void *argument, const char *sentence)
{
    fprintf(argument, "%s\n", sentence);
}

static int read_journal(reading_t *reading)
{
    mni_store_t *store = reading->store;

    mni_journal_report_fini(&store->report);
    int rc =
        store->reading ? 0 : mni_journal_map(store->place.journal, store->place.id, &reading->map);
    if (rc == 0)
        rc = mni_journal_scan(store->reading ? store->map : reading->map, store->included,
                              take_change, reading, &store->report);
    if (rc < 0)
        return mni_error_prefix(rc, "the journal %.300s", store->place.journal);
    for (size_t i = 0; i < store->report.damage_count; i++) {
        const mni_journal_damage_t *part = &store->report.damages[i];
        if (damage(reading) != NULL)
            fprintf(reading->damage,
                    "the journal %s is damaged: at byte %" PRIu64 " %" PRIu64
                    " bytes with the records %" PRIu64 " to %" PRIu64 " are lost\n",
                    store->place.journal, part->offset, part->bytes, part->first,
                    part->first + part->records - 1);
        if (reading->damage != NULL)
            mni_store_tell_touched(part, tell_sentence, reading->damage);
    }
    if (store->report.first > store->included + 1 && damage(reading) != NULL)
        fprintf(reading->damage,
                "the journal %s begins with record %" PRIu64 ", and the file ends with %" PRIu64
                ": what is between is lost\n",
                store->place.journal, store->report.first, store->included);
    return 0;
}

/* --- values in files of their own -------------------------------------------------------------- */

/* Notes which files the values are in, by a record up to which all is known. */
static int assign(const reading_t *reading, const mni_store_record_t *record, uint64_t number)
{
    mni_files_t *files = reading->store->place.files;
    mn_id_t id = record->info.id;
    int rc = mni_files_assign(files, id, MNI_VALUE_INPUT, record->input_file, number);

    return rc < 0 ? rc : mni_files_assign(files, id, MNI_VALUE_RESULT, record->result_file, number);
}

/* Looks for the file. What it says of the value is known from the journal, if that names it. */
static void look(reading_t *reading, const mni_store_record_t *record, mni_value_role_t role,
                 const char *file, mn_value_t *value)
{
    mni_value_owner_t owner = {.job = record->info.id, .role = role};
    char path[PATH_MAX];

    if (file == NULL)
        return;
    int rc = mni_files_path(reading->store->place.files, file, path, sizeof path);
    if (rc == 0)
        rc = mni_value_look(path, &owner, value);
    if (rc < 0 && damage(reading) != NULL)
        fprintf(reading->damage, "%s\n", mn_error_message());
}

static int give(reading_t *reading, const mni_store_record_t *record)
{
    const mni_files_t *files = reading->store->place.files;
    mni_store_record_t given = *record;

    /* these names live as long as the store */
    given.input_file = mni_files_named(files, record->info.id, MNI_VALUE_INPUT);
    given.result_file = mni_files_named(files, record->info.id, MNI_VALUE_RESULT);
    look(reading, record, MNI_VALUE_INPUT, given.input_file, &given.input);
    look(reading, record, MNI_VALUE_RESULT, given.result_file, &given.info.result);
    return reading->take(reading->argument, &given);
}

/* --- the file, and both ------------------------------------------------------------------------ */

static int take_job(void *argument, const mni_store_record_t *record)
{
    reading_t *reading = argument;
    mni_window_item_t *item = mni_window_find(&reading->window, record->info.id);

    int rc = assign(reading, record, 0);

    if (rc < 0)
        return rc;
    if (item == NULL)
        return give(reading, record);
    item->number = 0; /* it has its place among the jobs of the file */
    mni_store_record_t changed = *record, changes;
    if (item->removed)
        changed.input_file = changed.result_file = NULL;
    else if ((rc = mni_window_record(item, &changes)) < 0)
        return rc;
    else
        mni_change_merge(&changed, item->set, &changes);
    if (item->set & MNI_CHANGE_BIT(MNI_CHANGE_START))
        changed.input_row = 0;
    if (item->set & MNI_CHANGE_BIT(MNI_CHANGE_VALUE))
        changed.result_row = 0;
    if ((rc = assign(reading, &changed, reading->store->report.last)) < 0)
        return rc;
    return item->removed ? 0 : give(reading, &changed);
}

static int read_file(reading_t *reading)
{
    const mni_store_t *store = reading->store;
    mni_hdf5_t before;
    int rc;

    mni_hdf5_enter(&before);
    hid_t file = store->reading ? store->file : mni_file_open(store->place.path);
    if (file < 0)
        rc = mni_store_error("it cannot be read");
    else {
        rc =
            (reading->scan ? mni_file_scan : mni_file_each)(file, store->format, take_job, reading);
        if (!store->reading)
            H5Fclose(file);
    }
    mni_hdf5_leave(&before);
    return rc < 0 ? mni_error_prefix(rc, "the store %.300s", store->place.path) : 0;
}

/* Jobs that the file does not have. */
static int take_started(reading_t *reading)
{
    char name[MN_ID_TEXT];
    mni_store_record_t record;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < reading->window.count; i++) {
        const mni_window_item_t *item = mni_window_item(&reading->window, i);
        if (item->number == 0 || item->removed)
            continue;
        if (item->set & MNI_CHANGE_BIT(MNI_CHANGE_START)) {
            if ((rc = mni_window_record(item, &record)) == 0 &&
                (rc = assign(reading, &record, reading->store->report.last)) == 0)
                rc = give(reading, &record);
        } else if (damage(reading) != NULL)
            fprintf(reading->damage,
                    "job %s is lost: record %" PRIu64 " tells of it, and its start is not there\n",
                    mn_id_format(item->id, name), item->number);
    }
    return rc;
}

static int recover(mni_store_t *store, bool scan, mni_store_take_t *take, void *argument)
{
    reading_t reading = {.store = store, .take = take, .argument = argument, .scan = scan};
    int rc = 0;

    store->recovered = true;
    if (store->place.path == NULL || !store->exists)
        return 0;
    if (store->has_journal)
        rc = read_journal(&reading);
    if (rc == 0)
        rc = read_file(&reading);
    if (rc == 0)
        rc = take_started(&reading);
    if (reading.damage != NULL)
        fclose(reading.damage);
    mni_window_fini(&reading.window);
    mni_journal_unmap(reading.map);
    if (rc == 0 && reading.no_memory)
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the jobs of the store");
    return rc;
}

int mni_store_recover(mni_store_t *store, mni_store_take_t *take, void *argument)
{
    return recover(store, false, take, argument);
}

int mni_store_scan(mni_store_t *store, mni_store_take_t *take, void *argument)
{
    return recover(store, true, take, argument);
}

const char *mni_store_damage(const mni_store_t *store)
{
    return store->damage;
}
