/* SPDX-License-Identifier: MIT
 *
 * The table of jobs, /jobs: one compound row per job, read and written whole. Short words of a
 * known length have a fixed size, texts that most jobs do not have are of variable length, where
 * NULL costs nothing. Rank 0's main thread.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* Strings are copied into blocks: a million small allocations would cost more than the copies. */
struct mni_text_block {
    mni_text_block_t *next;
    size_t used, room;
    char bytes[];
};

#define BLOCK_ROOM ((size_t)64 << 10)

char *mni_text_copy(mni_text_block_t **blocks, const char *text, bool *failed)
{
    if (text == NULL)
        return NULL;
    size_t size = strlen(text) + 1;
    mni_text_block_t *block = *blocks;
    if (block == NULL || block->room - block->used < size) {
        size_t room = size > BLOCK_ROOM ? size : BLOCK_ROOM;
        block = malloc(sizeof *block + room);
        if (block == NULL) {
            *failed = true;
            return NULL;
        }
        *block = (mni_text_block_t){.next = *blocks, .room = room};
        *blocks = block;
    }
    char *copy = block->bytes + block->used;
    memcpy(copy, text, size);
    block->used += size;
    return copy;
}

void mni_texts_free(mni_text_block_t *blocks)
{
    while (blocks != NULL) {
        mni_text_block_t *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

/* Copies a word into a fixed field, padded with NULs: bytes behind it go into the file. */
static void word_copy(char *field, size_t room, const char *word)
{
    size_t length = word == NULL ? 0 : strnlen(word, room - 1);
    memset(field, 0, room);
    if (length > 0)
        memcpy(field, word, length);
}

int mni_rows_add(mni_rows_t *rows, const mni_store_record_t *record)
{
    const mn_info_t *info = &record->info;
    char id[MN_ID_TEXT];
    bool failed = false;

    if (rows->count == rows->room) {
        size_t room = rows->room == 0 ? 64 : rows->room * 2;
        mni_row_t *more = reallocarray(rows->row, room, sizeof *more);
        if (more == NULL)
            return mni_error(MN_E_NO_MEMORY, "no memory for the store's table of %zu jobs", room);
        rows->row = more;
        rows->room = room;
    }
    mni_row_t *row = &rows->row[rows->count];
    memset(row, 0, sizeof *row);
    memcpy(row->id, mn_id_format(info->id, id), sizeof row->id);
    word_copy(row->job, sizeof row->job, info->job);
    word_copy(row->status, sizeof row->status, mn_status_name(info->status));
    word_copy(row->reason, sizeof row->reason, mn_reason_name(info->reason));
    row->error = mni_text_copy(&rows->texts, info->error, &failed);
    row->lock = mni_text_copy(&rows->texts, info->lock, &failed);
    row->tag = mni_text_copy(&rows->texts, info->tag, &failed);
    row->key = mni_text_copy(&rows->texts, info->key, &failed);
    row->message = mni_text_copy(&rows->texts, info->message, &failed);
    row->host = mni_text_copy(&rows->texts, info->host, &failed);
    row->cpus = mni_text_copy(&rows->texts, info->cpus, &failed);
    row->attempts = info->attempts;
    row->rank = info->rank;
    row->yields = info->yields;
    row->progress = info->progress;
    row->created = info->created;
    row->started = info->started;
    row->ended = info->ended;
    row->cpu = record->need.millicores / 1000.0;
    row->memory = record->need.memory;
    row->priority = record->need.priority;
    row->timeout = record->need.timeout;
    row->grace = record->need.grace;
    row->max_concurrency = record->need.max_concurrency;
    row->max_retries = record->need.max_retries;
    row->max_lost = record->need.max_lost;
    row->retries = record->retries;
    row->lost = record->lost;
    if (failed)
        return mni_error(MN_E_NO_MEMORY, "no memory for the store's table of jobs");
    rows->count++;
    return 0;
}

void mni_rows_free(mni_rows_t *rows)
{
    mni_texts_free(rows->texts);
    free(rows->row);
    *rows = (mni_rows_t){0};
}

/* The columns, in the order of the struct, which is that of the file too. */
static const struct {
    const char *name;
    size_t offset;
    enum { WORD, STRING, UINT32, INT32, UINT64, DOUBLE } kind;
    size_t size;
} columns[] = {
#define COLUMN(field, kind) \
    {#field, offsetof(mni_row_t, field), kind, sizeof((mni_row_t *)0)->field},
    /* clang-format off */
    COLUMN(id, WORD)
    COLUMN(job, WORD)
    COLUMN(status, WORD)
    COLUMN(reason, WORD)
    COLUMN(error, STRING)
    COLUMN(attempts, UINT32)
    COLUMN(lock, STRING)
    COLUMN(tag, STRING)
    COLUMN(key, STRING)
    COLUMN(created, DOUBLE)
    COLUMN(started, DOUBLE)
    COLUMN(ended, DOUBLE)
    COLUMN(progress, DOUBLE)
    COLUMN(message, STRING)
    COLUMN(yields, UINT64)
    COLUMN(host, STRING)
    COLUMN(rank, INT32)
    COLUMN(cpus, STRING)
    COLUMN(cpu, DOUBLE)
    COLUMN(memory, UINT64)
    COLUMN(priority, INT32)
    COLUMN(timeout, DOUBLE)
    COLUMN(grace, DOUBLE)
    COLUMN(max_concurrency, UINT32)
    COLUMN(max_retries, UINT32)
    COLUMN(max_lost, UINT32)
    COLUMN(retries, UINT32)
    COLUMN(lost, UINT32)
/* clang-format on */
#undef COLUMN
};

/* The type of one column; a new one for strings, `*own` says so. */
static hid_t column_type(size_t i, bool *own)
{
    *own = false;
    switch (columns[i].kind) {
    case UINT32:
        return H5T_NATIVE_UINT32;
    case INT32:
        return H5T_NATIVE_INT32;
    case UINT64:
        return H5T_NATIVE_UINT64;
    case DOUBLE:
        return H5T_NATIVE_DOUBLE;
    case WORD:
    case STRING:
        break;
    }
    *own = true;
    if (columns[i].kind == STRING)
        return mni_store_string();
    hid_t type = H5Tcopy(H5T_C_S1);
    /* an id fills its field; the others end with a NUL */
    if (type >= 0 &&
        (H5Tset_size(type, columns[i].size) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
         H5Tset_strpad(type, i == 0 ? H5T_STR_NULLPAD : H5T_STR_NULLTERM) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

/* The compound of a row in memory. */
static hid_t row_type(void)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(mni_row_t));

    for (size_t i = 0; row >= 0 && i < sizeof columns / sizeof columns[0]; i++) {
        bool own;
        hid_t type = column_type(i, &own);
        herr_t inserted = type < 0 ? -1 : H5Tinsert(row, columns[i].name, columns[i].offset, type);
        if (own && type >= 0)
            H5Tclose(type);
        if (inserted < 0) {
            H5Tclose(row);
            return -1;
        }
    }
    return row;
}

int mni_rows_write(hid_t file, const mni_row_t *rows, size_t count)
{
    hsize_t size = count;
    hid_t memory = row_type();
    hid_t packed = memory < 0 ? -1 : H5Tcopy(memory);
    hid_t space = H5Screate_simple(1, &size, NULL);
    hid_t set = -1;
    int rc = 0;

    if (packed < 0 || space < 0 || H5Tpack(packed) < 0 ||
        (set = H5Dcreate2(file, "jobs", packed, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)) <
            0 ||
        (count > 0 && H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0))
        rc = mni_store_error("the table of jobs cannot be written");
    if (set >= 0 && H5Dclose(set) < 0 && rc == 0)
        rc = mni_store_error("the table of jobs cannot be written");
    if (space >= 0)
        H5Sclose(space);
    if (packed >= 0)
        H5Tclose(packed);
    if (memory >= 0)
        H5Tclose(memory);
    return rc;
}

int mni_rows_read(hid_t file, mni_row_t **result, size_t *count)
{
    hid_t memory = row_type();
    hid_t set = H5Dopen2(file, "jobs", H5P_DEFAULT);
    hid_t space = set < 0 ? -1 : H5Dget_space(set);
    hssize_t size = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    mni_row_t *rows = NULL;
    int rc = 0;

    /* zeroed: a column that the file does not have stays so */
    if (memory < 0 || size < 0 || H5Sget_simple_extent_ndims(space) != 1)
        rc = mni_store_error("the table of jobs cannot be read");
    else if ((rows = calloc((size_t)size + 1, sizeof *rows)) == NULL)
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the store's table of %lld jobs",
                       (long long)size);
    else if (size > 0 && H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0)
        rc = mni_store_error("the table of jobs cannot be read");
    if (space >= 0)
        H5Sclose(space);
    if (set >= 0)
        H5Dclose(set);
    if (memory >= 0)
        H5Tclose(memory);
    if (rc < 0) {
        free(rows);
        return rc;
    }
    *result = rows;
    *count = (size_t)size;
    return 0;
}

/* By its name; -1: there is none of that name. */
static int status_named(const char *name, size_t room)
{
    for (int status = MN_PENDING; status <= MN_CANCELLED; status++)
        if (strncmp(name, mn_status_name((mn_status_t)status), room) == 0)
            return status;
    return -1;
}

static mn_reason_t reason_named(const char *name, size_t room)
{
    for (int reason = MN_REASON_NONE; reason <= MN_REASON_UNDECLARED; reason++)
        if (strncmp(name, mn_reason_name((mn_reason_t)reason), room) == 0)
            return (mn_reason_t)reason;
    return MN_REASON_NONE;
}

int mni_row_record(const mni_row_t *row, mni_store_record_t *record)
{
    char text[MN_ID_TEXT] = "";
    int status = status_named(row->status, sizeof row->status);

    *record = (mni_store_record_t){.info = {.job = row->job,
                                            .status = (mn_status_t)status,
                                            .reason = reason_named(row->reason, sizeof row->reason),
                                            .error = row->error,
                                            .attempts = row->attempts,
                                            .lock = row->lock,
                                            .tag = row->tag,
                                            .key = row->key,
                                            .created = row->created,
                                            .started = row->started,
                                            .ended = row->ended,
                                            .progress = row->progress,
                                            .message = row->message,
                                            .yields = row->yields,
                                            .host = row->host,
                                            .rank = row->rank,
                                            .cpus = row->cpus},
                                   .need = {.millicores = (uint32_t)(row->cpu * 1000 + 0.5),
                                            .memory = row->memory,
                                            .priority = row->priority,
                                            .timeout = row->timeout,
                                            .grace = row->grace,
                                            .max_concurrency = row->max_concurrency,
                                            .max_retries = row->max_retries,
                                            .max_lost = row->max_lost},
                                   .has_need = row->max_concurrency > 0,
                                   .retries = row->retries,
                                   .lost = row->lost};
    memcpy(text, row->id, sizeof row->id);
    if (mn_id_parse(text, &record->info.id) < 0)
        return mni_error(MN_E_STORE, "a row of the table of jobs has no id: it is damaged");
    if (status < 0 || row->job[sizeof row->job - 1] != '\0')
        return mni_error(MN_E_STORE, "the row of job %s in the table of jobs is damaged", text);
    return 0;
}

void mni_rows_reclaim(mni_row_t *rows, size_t count)
{
    hsize_t size = count;

    if (rows != NULL && count > 0) {
        hid_t memory = row_type();
        hid_t space = H5Screate_simple(1, &size, NULL);
        if (memory >= 0 && space >= 0)
            H5Dvlen_reclaim(memory, space, H5P_DEFAULT, rows);
        if (space >= 0)
            H5Sclose(space);
        if (memory >= 0)
            H5Tclose(memory);
    }
    free(rows);
}
