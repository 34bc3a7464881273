/* SPDX-License-Identifier: MIT
 *
 * A row of /jobs: what it has in memory and in the file, and how it becomes a job's record and is made of one. Short words of a
 * known length have a fixed size, texts that most jobs do not have are of variable length, where NULL costs nothing. Pure but for
 * HDF5's types.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <string.h>

/* Copies a word into a fixed field, padded with NULs: bytes behind it go into the file. */
static void word_copy(char *field, size_t room, const char *word)
{
    size_t length = word == NULL ? 0 : strnlen(word, room - 1);
    memset(field, 0, room);
    if (length > 0)
        memcpy(field, word, length);
}

/* Cores that do not fit are cut off, and say so. */
static void cpus_copy(char *field, size_t room, const char *cpus)
{
    word_copy(field, room, cpus);
    if (cpus != NULL && strlen(cpus) >= room)
        memcpy(field + room - 4, "...", 4);
}

void mni_row_set(mni_row_t *row, const mni_store_record_t *record)
{
    const mn_info_t *info = &record->info;
    char id[MN_ID_TEXT];

    memcpy(row->id, mn_id_format(info->id, id), sizeof row->id);
    memset(row->parent, 0, sizeof row->parent);
    if (!mn_id_equal(record->parent, (mn_id_t){{0}}))
        memcpy(row->parent, mn_id_format(record->parent, id), sizeof row->parent);
    word_copy(row->job, sizeof row->job, info->job);
    word_copy(row->status, sizeof row->status, mn_status_name(info->status));
    word_copy(row->reason, sizeof row->reason, mn_reason_name(info->reason));
    word_copy(row->host, sizeof row->host, info->host);
    cpus_copy(row->cpus, sizeof row->cpus, info->cpus);
    row->error = (char *)info->error;
    row->lock = (char *)info->lock;
    row->tag = (char *)info->tag;
    row->key = (char *)info->key;
    row->message = (char *)info->message;
    row->attempts = info->attempts;
    row->rank = info->rank;
    row->yields = info->yields;
    row->progress = info->progress;
    row->created = info->created;
    row->started = info->started;
    row->ended = info->ended;
    row->cpu = record->need.millicores / 1000.0;
    row->memory = record->need.memory;
    row->gpus = record->need.gpus;
    row->cpu_time = info->cpu_time;
    row->peak_memory = info->peak_memory;
    row->priority = record->need.priority;
    row->timeout = record->need.timeout;
    row->grace = record->need.grace;
    row->max_concurrency = record->need.max_concurrency;
    row->max_retries = record->need.max_retries;
    row->max_lost = record->need.max_lost;
    row->retries = record->retries;
    row->lost = record->lost;
}

static uint64_t text_space(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 17; /* with what a heap of HDF5 adds to each */
}

uint64_t mni_row_text_space(const mni_row_t *row)
{
    return text_space(row->error) + text_space(row->lock) + text_space(row->tag) +
           text_space(row->key) + text_space(row->message);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool mni_row_same_texts(const mni_row_t *a, const mni_row_t *b)
{
    return same(a->error, b->error) && same(a->message, b->message) && same(a->lock, b->lock) &&
           same(a->tag, b->tag) && same(a->key, b->key);
}

/* The columns, in the order in which they are in the file. */
static const struct {
    const char *name;
    size_t offset;
    enum { WORD, STRING, UINT8, UINT32, INT32, UINT64, DOUBLE } kind;
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
    COLUMN(host, WORD)
    COLUMN(rank, INT32)
    COLUMN(cpus, WORD)
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
    COLUMN(parent, WORD)
    COLUMN(grouped, UINT8)
    COLUMN(input_type, WORD)
    COLUMN(input_at, UINT64)
    COLUMN(input_count, UINT32)
    COLUMN(result_type, WORD)
    COLUMN(result_at, UINT64)
    COLUMN(result_count, UINT32)
    COLUMN(gpus, UINT32)
    COLUMN(cpu_time, DOUBLE)
    COLUMN(peak_memory, UINT64)
/* clang-format on */
#undef COLUMN
};

/* Host and cpus were texts of variable length before format 3: behind the row. */
static bool was_text(size_t i, size_t *offset)
{
    if (columns[i].offset == offsetof(mni_row_t, host))
        *offset = offsetof(mni_old_row_t, host);
    else if (columns[i].offset == offsetof(mni_row_t, cpus))
        *offset = offsetof(mni_old_row_t, cpus);
    else
        return false;
    return true;
}

/* The type of one column, to be closed. */
static hid_t column_type(size_t i)
{
    switch (columns[i].kind) {
    case UINT8:
        return H5Tcopy(H5T_NATIVE_UINT8);
    case UINT32:
        return H5Tcopy(H5T_NATIVE_UINT32);
    case INT32:
        return H5Tcopy(H5T_NATIVE_INT32);
    case UINT64:
        return H5Tcopy(H5T_NATIVE_UINT64);
    case DOUBLE:
        return H5Tcopy(H5T_NATIVE_DOUBLE);
    case STRING:
        return mni_store_string();
    case WORD:
        break;
    }
    hid_t type = H5Tcopy(H5T_C_S1);
    const bool id =
        columns[i].size == MN_ID_TEXT - 1; /* fills its field; the others end with a NUL */
    if (type >= 0 &&
        (H5Tset_size(type, columns[i].size) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
         H5Tset_strpad(type, id ? H5T_STR_NULLPAD : H5T_STR_NULLTERM) < 0)) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

static bool insert(hid_t row, size_t i, size_t offset, hid_t type)
{
    bool inserted = type >= 0 && H5Tinsert(row, columns[i].name, offset, type) >= 0;
    if (type >= 0)
        H5Tclose(type);
    return inserted;
}

hid_t mni_row_type(mni_row_part_t part)
{
    static const size_t sizes[] = {
        [MNI_ROW_WHOLE] = sizeof(mni_row_t),       [MNI_ROW_FIXED] = sizeof(mni_row_t),
        [MNI_ROW_TEXTS] = sizeof(mni_row_t),       [MNI_ROW_OLD] = sizeof(mni_old_row_t),
        [MNI_ROW_ID] = sizeof((mni_row_t *)0)->id, [MNI_ROW_CREATED] = sizeof(double)};
    hid_t row = H5Tcreate(H5T_COMPOUND, sizes[part]);

    for (size_t i = 0; row >= 0 && i < sizeof columns / sizeof columns[0]; i++) {
        size_t offset = columns[i].offset;
        if ((part == MNI_ROW_FIXED && columns[i].kind == STRING) ||
            (part == MNI_ROW_TEXTS && columns[i].kind != STRING) ||
            (part == MNI_ROW_ID && offset != offsetof(mni_row_t, id)) ||
            (part == MNI_ROW_CREATED && offset != offsetof(mni_row_t, created)))
            continue;
        bool text = part == MNI_ROW_OLD && was_text(i, &offset);
        if (!insert(row, i, part == MNI_ROW_ID || part == MNI_ROW_CREATED ? 0 : offset,
                    text ? mni_store_string() : column_type(i))) {
            H5Tclose(row);
            return -1;
        }
    }
    return row;
}

void mni_row_from_old(mni_old_row_t *old)
{
    word_copy(old->row.host, sizeof old->row.host, old->host);
    cpus_copy(old->row.cpus, sizeof old->row.cpus, old->cpus);
    old->row.grouped = 1;
}

/* The first letter tells most of them apart. */
static bool is_word(const char *field, size_t room, const char *word)
{
    return field[0] == word[0] && strncmp(field, word, room) == 0;
}

/* By its name; -1: there is none of that name. */
static int status_named(const char *name, size_t room)
{
    for (int status = MN_PENDING; status <= MN_CANCELLED; status++)
        if (is_word(name, room, mn_status_name((mn_status_t)status)))
            return status;
    return -1;
}

static mn_reason_t reason_named(const char *name, size_t room)
{
    for (int reason = MN_REASON_NONE; reason <= MN_REASON_UNDECLARED; reason++)
        if (is_word(name, room, mn_reason_name((mn_reason_t)reason)))
            return (mn_reason_t)reason;
    return MN_REASON_NONE;
}

int mni_row_record(const mni_row_t *row, mni_store_record_t *record)
{
    char text[MN_ID_TEXT] = "", parent[MN_ID_TEXT] = "";
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
                                            .host = row->host[0] ? row->host : NULL,
                                            .rank = row->rank,
                                            .cpus = row->cpus[0] ? row->cpus : NULL,
                                            .cpu_time = row->cpu_time,
                                            .peak_memory = row->peak_memory},
                                   .need = {.millicores = (uint32_t)(row->cpu * 1000 + 0.5),
                                            .memory = row->memory,
                                            .gpus = row->gpus,
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
    memcpy(parent, row->parent, sizeof row->parent);
    if (status < 0 || (parent[0] != '\0' && mn_id_parse(parent, &record->parent) < 0) ||
        row->job[sizeof row->job - 1] != '\0' || row->host[sizeof row->host - 1] != '\0' ||
        row->cpus[sizeof row->cpus - 1] != '\0')
        return mni_error(MN_E_STORE, "the row of job %s in the table of jobs is damaged", text);
    return 0;
}
