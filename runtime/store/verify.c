/* SPDX-License-Identifier: MIT
 *
 * Whether a store is sound. Unlike recovery, which ends at the first thing that makes no sense in the HDF5 file, this looks at
 * all of it and tells each. Reads only. Any thread.
 */
#include "store/read.h"

#include "store/changes.h"
#include "store/internal.h"
#include "store/large.h"
#include "store/points.h"
#include "util/error.h"
#include "util/hash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK ((size_t)1024) /* rows at a time */

typedef struct known {
    mn_id_t id;
    bool grouped; /* has a group of values */
    UT_hash_handle hh;
} known_t;

typedef struct verifier {
    mni_store_t *store;
    mni_store_problem_t *tell;
    void *argument;
    mni_store_facts_t *facts;
    known_t *known;
    hid_t data; /* /data */
    mni_pools_t pools;
    uint64_t unended; /* rows of jobs that were under way */
    bool no_memory;
} verifier_t;

static void problem(verifier_t *verifier, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void problem(verifier_t *verifier, const char *format, ...)
{
    char sentence[MNI_ERROR_MAX + 256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    verifier->facts->problems++;
    verifier->tell(verifier->argument, sentence);
}

static void tell_problem(void *verifier, const char *sentence)
{
    problem(verifier, "%s", sentence);
}

static known_t *find(const verifier_t *verifier, mn_id_t id)
{
    known_t *known = NULL;
    HASH_FIND(hh, verifier->known, &id, sizeof id, known);
    return known;
}

static known_t *add(verifier_t *verifier, mn_id_t id)
{
    known_t *known = calloc(1, sizeof *known);
    if (known == NULL) {
        verifier->no_memory = true;
        return NULL;
    }
    known->id = id;
    HASH_ADD(hh, verifier->known, id, sizeof id, known);
    if (MNI_HASH_FAILED(known)) {
        free(known);
        verifier->no_memory = true;
        return NULL;
    }
    return known;
}

static void forget_all(verifier_t *verifier)
{
    known_t *known, *next;
    HASH_ITER (hh, verifier->known, known, next) {
        HASH_DELETE(hh, verifier->known, known);
        free(known);
    }
}

/* --- the file ------------------------------------------------------------------------------------------------------- */

/* The attribute of a group says the same as the row. */
static void check_attribute(verifier_t *verifier, hid_t group, const char *id, const char *name,
                            const char *expected)
{
    hid_t string = mni_store_string();
    hid_t attribute = H5Aexists(group, name) > 0 ? H5Aopen(group, name, H5P_DEFAULT) : -1;
    char *text = NULL;

    if (attribute < 0 || H5Aread(attribute, string, &text) < 0 || text == NULL)
        problem(verifier, "/data/%s: the attribute %s cannot be read", id, name);
    else if (strcmp(text, expected) != 0)
        problem(verifier, "/data/%s: the attribute %s is \"%.60s\", and \"%.60s\" in the table", id,
                name, text, expected);
    H5free_memory(text);
    if (attribute >= 0)
        H5Aclose(attribute);
    if (string >= 0)
        H5Tclose(string);
}

static bool check_value(verifier_t *verifier, mn_id_t id, const char *name)
{
    mn_value_t value;
    char *file = NULL;
    int rc = mni_data_get_one(verifier->data, id, name, &value, &file);

    if (rc == 0 && file != NULL) {
        mni_store_record_t record = {.info.id = id, .input_file = file, .result_file = file};
        rc = mni_store_value_read(verifier->store, &record, strcmp(name, "input") == 0, &value);
    }
    free(file);
    bool there = rc < 0 || value.ndims > 0;

    if (rc == MN_E_NO_MEMORY)
        verifier->no_memory = true;
    else if (rc < 0)
        problem(verifier, "%s", mn_error_message());
    else if (there) {
        verifier->facts->values++;
        verifier->facts->value_bytes += value.size;
        mn_value_destroy(&value);
    }
    return there;
}

static void check_group(verifier_t *verifier, const mni_row_t *row,
                        const mni_store_record_t *record)
{
    const mn_info_t *info = &record->info;
    char id[MN_ID_TEXT];
    hid_t group = H5Lexists(verifier->data, mn_id_format(info->id, id), H5P_DEFAULT) > 0
                      ? H5Gopen2(verifier->data, id, H5P_DEFAULT)
                      : -1;

    if (group < 0) {
        problem(verifier, "job %s has no group of values that can be read, /data/%s", id, id);
        return;
    }
    check_attribute(verifier, group, id, "job", info->job);
    check_attribute(verifier, group, id, "status", mn_status_name(info->status));
    H5Gclose(group);
    if (row->input_type[0] == '\0')
        check_value(verifier, info->id, "input");
    if (row->result_type[0] == '\0' && check_value(verifier, info->id, "result") &&
        info->yields == 0)
        problem(verifier, "job %s has a result, and has yielded nothing by the table", id);
}

/* A value that lies among the small ones of its type, which are read apart. */
static void check_pooled(verifier_t *verifier, const char *id, const char *name, const char type[8],
                         uint64_t at, uint32_t count)
{
    int of = type[0] == '\0' ? 0 : mni_pool_type(type);

    if (type[0] == '\0')
        return;
    if (of < 0 || count > MNI_POOL_MOST)
        problem(verifier, "%s of job %s is of no known type", name, id);
    else if (count > 0 &&
             (at > verifier->pools.pool[of].count || count > verifier->pools.pool[of].count - at))
        problem(verifier, "%s of job %s is to be in /values/%s, where it is not", name, id,
                mn_type_name((mn_type_t)of));
    else {
        verifier->facts->values++;
        verifier->facts->value_bytes += count * mn_type_size((mn_type_t)of);
    }
}

static void check_row(verifier_t *verifier, const mni_row_t *row, uint64_t number)
{
    mni_store_record_t record;
    char id[MN_ID_TEXT];
    known_t *known;

    if (mni_row_record(row, &record) < 0) {
        problem(verifier, "row %" PRIu64 ": %s", number, mn_error_message());
        return;
    }
    mn_id_format(record.info.id, id);
    if (find(verifier, record.info.id) != NULL) {
        problem(verifier, "job %s is in the table of jobs twice", id);
        return;
    }
    if ((known = add(verifier, record.info.id)) == NULL)
        return;
    known->grouped = row->grouped;
    if (record.info.status == MN_RUNNING || record.info.status == MN_CANCELLING)
        verifier->unended++;
    check_pooled(verifier, id, "input", row->input_type, row->input_at, row->input_count);
    check_pooled(verifier, id, "result", row->result_type, row->result_at, row->result_count);
    if (row->result_type[0] != '\0' && record.info.yields == 0)
        problem(verifier, "job %s has a result, and has yielded nothing by the table", id);
    if (row->grouped)
        check_group(verifier, row, &record);
}

/* Rows are read a block at a time; one that cannot be read is told, and the next one tried. */
static void check_rows(verifier_t *verifier, hid_t set, hid_t type, uint64_t count)
{
    bool old = verifier->store->format < 3;
    size_t size = old ? sizeof(mni_old_row_t) : sizeof(mni_row_t);
    char *rows = calloc(BLOCK, size);

    verifier->no_memory |= rows == NULL;
    for (uint64_t from = 0; from < count && !verifier->no_memory; from += BLOCK) {
        uint64_t block = count - from < BLOCK ? count - from : BLOCK;
        hid_t memory = -1, space = -1;
        memset(rows, 0, BLOCK * size);
        if (mni_rows_select(set, from, block, &memory, &space) < 0 ||
            H5Dread(set, type, memory, space, H5P_DEFAULT, rows) < 0) {
            mni_store_error("the rows %" PRIu64 " to %" PRIu64
                            " of the table of jobs cannot be read",
                            from, from + block - 1);
            problem(verifier, "%s", mn_error_message());
        } else {
            for (uint64_t i = 0; i < block && !verifier->no_memory; i++) {
                void *row = rows + i * size;
                if (old)
                    mni_row_from_old(row);
                check_row(verifier, row, from + i);
            }
            H5Dvlen_reclaim(type, memory, H5P_DEFAULT, rows);
        }
        mni_rows_deselect(memory, space);
    }
    free(rows);
}

static void check_table(verifier_t *verifier)
{
    hid_t set = H5Dopen2(verifier->store->file, "jobs", H5P_DEFAULT);
    hid_t type = mni_row_type(verifier->store->format < 3 ? MNI_ROW_OLD : MNI_ROW_WHOLE);
    hid_t space = set < 0 ? -1 : H5Dget_space(set);
    hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);

    if (type < 0 || count < 0 || H5Sget_simple_extent_ndims(space) != 1) {
        mni_store_error("the table of jobs cannot be read");
        problem(verifier, "%s", mn_error_message());
    } else {
        verifier->facts->rows = (uint64_t)count;
        check_rows(verifier, set, type, (uint64_t)count);
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (set >= 0)
        H5Dclose(set);
}

/* All small values, also those that belong to nobody any more. */
static void check_pools(verifier_t *verifier)
{
    const uint64_t part = (uint64_t)1 << 20;
    double *elements = calloc(part, sizeof *elements); /* no element is larger */

    verifier->no_memory |= elements == NULL;
    for (int type = 0; type < MNI_POOL_TYPES && !verifier->no_memory; type++)
        for (uint64_t at = 0; at < verifier->pools.pool[type].count; at += part) {
            uint64_t left = verifier->pools.pool[type].count - at;
            if (mni_pools_read(&verifier->pools, (mn_type_t)type, at, left < part ? left : part,
                               elements) < 0)
                problem(verifier, "/values/%s: %s", mn_type_name((mn_type_t)type),
                        mn_error_message());
        }
    free(elements);
}

/* A group of values belongs to a row. */
static herr_t check_link(hid_t data, const char *name, const H5L_info_t *link, void *argument)
{
    verifier_t *verifier = argument;
    const known_t *known;
    mn_id_t id;

    (void)data;
    (void)link;
    if (mn_id_parse(name, &id) < 0 || (known = find(verifier, id)) == NULL || !known->grouped)
        problem(verifier, "/data/%.60s belongs to no job in the table", name);
    return 0;
}

static void check_file(verifier_t *verifier)
{
    const mni_store_t *store = verifier->store;
    uint64_t before = verifier->facts->problems;

    verifier->pools = MNI_POOLS_CLOSED;
    verifier->data = H5Gopen2(store->file, "data", H5P_DEFAULT);
    if (verifier->data < 0) {
        mni_store_error("/data cannot be read");
        problem(verifier, "%s", mn_error_message());
        return;
    }
    if (store->format >= 3 && mni_pools_open(&verifier->pools, store->file) < 0)
        problem(verifier, "%s", mn_error_message());
    else if (store->format >= 3)
        check_pools(verifier);
    check_table(verifier);
    /* with rows that could not be read it would be no wonder */
    if (verifier->facts->problems == before &&
        H5Literate(verifier->data, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, check_link, verifier) < 0) {
        mni_store_error("the names in /data cannot be read");
        problem(verifier, "%s", mn_error_message());
    }
    mni_pools_close(&verifier->pools);
    H5Gclose(verifier->data);
}

/* --- the journal ------------------------------------------------------------------------------------------------------ */

static int check_change(void *argument, const mni_journal_record_t *change)
{
    verifier_t *verifier = argument;
    mni_store_record_t record = {0};
    char text[MN_ID_TEXT];
    mn_id_t id;

    if (!mni_change_id(change, &id)) {
        problem(verifier, "record %" PRIu64 " of the journal names no job", change->number);
        return 0;
    }
    known_t *known = find(verifier, id);
    if (mni_change_apply(change, &record) < 0)
        problem(verifier, "%s", mn_error_message());
    else if (change->type == MNI_CHANGE_REMOVE) {
        if (known != NULL) {
            HASH_DELETE(hh, verifier->known, known);
            free(known);
        }
    } else if (known == NULL && mni_change_set(change) & MNI_CHANGE_BIT(MNI_CHANGE_START))
        add(verifier, id);
    else if (known == NULL)
        problem(verifier,
                "record %" PRIu64 " of the journal tells of job %s, whose start is not there",
                change->number, mn_id_format(id, text));
    return verifier->no_memory ? mni_error(MN_E_NO_MEMORY, "no memory to verify the store") : 0;
}

static void check_journal(verifier_t *verifier)
{
    mni_store_t *store = verifier->store;
    mni_store_facts_t *facts = verifier->facts;
    mni_journal_report_t *report = &store->report;

    mni_journal_report_fini(report);
    if (mni_journal_scan(store->map, store->included, check_change, verifier, report) < 0) {
        problem(verifier, "%s", mn_error_message());
        return;
    }
    facts->has_journal = true;
    facts->journal_bytes = report->end;
    facts->records = report->records;
    facts->torn = store->user != NULL ? 0 : report->torn; /* else: what is being written just now */
    for (size_t i = 0; i < report->damage_count; i++) {
        const mni_journal_damage_t *part = &report->damages[i];
        problem(verifier,
                "the journal is damaged at byte %" PRIu64 ": %" PRIu64
                " bytes with the records %" PRIu64 " to %" PRIu64 " make no sense",
                part->offset, part->bytes, part->first, part->first + part->records - 1);
        mni_store_tell_touched(part, tell_problem, verifier);
    }
    if (report->first > store->included + 1)
        problem(verifier,
                "the journal begins with record %" PRIu64
                ", and the HDF5 file includes those up to %" PRIu64 ": those between are missing",
                report->first, store->included);
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

static int verify(verifier_t *verifier)
{
    mni_store_t *store = verifier->store;
    mni_store_facts_t *facts = verifier->facts;
    struct stat file;

    facts->format = store->format;
    if (stat(store->place.path, &file) == 0)
        facts->file_bytes = (uint64_t)file.st_size;
    if (store->user != NULL)
        snprintf(facts->user, sizeof facts->user, "%s", store->user);
    check_file(verifier);
    if (store->trouble != NULL)
        problem(verifier, "%s", store->trouble);
    else if (store->has_journal)
        check_journal(verifier);
    else if (verifier->unended > 0 && store->user == NULL)
        problem(verifier,
                "%" PRIu64
                " jobs were under way when the HDF5 file was written, and neither a runtime "
                "nor the journal %.300s is there: what came later is missing",
                verifier->unended, store->place.journal);
    forget_all(verifier);
    return verifier->no_memory ? mni_error(MN_E_NO_MEMORY, "no memory to verify the store") : 0;
}

int mni_store_verify(const char *path, mni_store_problem_t *tell, void *argument,
                     mni_store_facts_t *facts)
{
    verifier_t verifier = {.tell = tell, .argument = argument, .facts = facts};
    int rc = mni_store_open_verify(path, &verifier.store);
    mni_hdf5_t before;

    *facts = (mni_store_facts_t){0};
    if (rc < 0)
        return rc;
    mni_hdf5_enter(&before);
    rc = verify(&verifier);
    mni_hdf5_leave(&before);
    mni_store_close(verifier.store);
    return rc;
}
