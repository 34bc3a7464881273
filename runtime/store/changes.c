/* SPDX-License-Identifier: MIT
 *
 * See changes.h. Records are written with the codec of messages, without its header: the journal has one of its own.
 */
#include "store/changes.h"

#include "store/points.h"
#include "util/error.h"

#include <string.h>

static void put_begin(mni_writer_t *writer, mni_change_t change, mn_id_t id)
{
    mni_writer_begin(writer, (uint16_t)change, 0);
    mni_put_id(writer, id);
}

static void put_need(mni_writer_t *writer, const mni_need_t *need)
{
    mni_put_u32(writer, need->millicores);
    mni_put_u64(writer, need->memory);
    mni_put_u32(writer, need->max_concurrency);
    mni_put_u32(writer, need->max_retries);
    mni_put_u32(writer, need->max_lost);
    mni_put_i32(writer, need->priority);
    mni_put_f64(writer, need->timeout);
    mni_put_f64(writer, need->grace);
}

static mni_need_t get_need(mni_reader_t *reader)
{
    mni_need_t need = {.millicores = mni_get_u32(reader)};
    need.memory = mni_get_u64(reader);
    need.max_concurrency = mni_get_u32(reader);
    need.max_retries = mni_get_u32(reader);
    need.max_lost = mni_get_u32(reader);
    need.priority = mni_get_i32(reader);
    need.timeout = mni_get_f64(reader);
    need.grace = mni_get_f64(reader);
    return need;
}

/* A value that is in a file: its shape and where it is. */
static void put_file(mni_writer_t *writer, const mn_value_t *value, const char *file)
{
    mni_put_u8(writer, (uint8_t)value->type);
    mni_put_u8(writer, (uint8_t)value->ndims);
    for (unsigned i = 0; i < value->ndims && i < MN_MAX_DIMS; i++)
        mni_put_u64(writer, value->dims[i]);
    mni_put_text(writer, file);
}

static mn_value_t get_file(mni_reader_t *reader, const char **file)
{
    size_t dims[MN_MAX_DIMS] = {0};
    mn_type_t type = (mn_type_t)mni_get_u8(reader);
    unsigned ndims = mni_get_u8(reader);

    if (ndims > MN_MAX_DIMS)
        reader->failed = true;
    for (unsigned i = 0; i < ndims && !reader->failed; i++)
        dims[i] = mni_get_u64(reader);
    mn_value_t value = mn_tensor(type, NULL, ndims, dims);
    *file = mni_get_text(reader);
    if (value.ndims != ndims || value.size > MN_MAX_VALUE || !*file)
        reader->failed = true;
    return value;
}

mni_change_t mni_change_put_start(mni_writer_t *writer, const mni_store_record_t *record)
{
    mni_change_t type = record->input_file ? MNI_CHANGE_START_FILE : MNI_CHANGE_START;

    put_begin(writer, type, record->info.id);
    mni_put_text(writer, record->info.job);
    mni_put_f64(writer, record->info.created);
    mni_put_text(writer, record->info.lock);
    mni_put_text(writer, record->info.tag);
    mni_put_text(writer, record->info.key);
    put_need(writer, &record->need);
    if (record->input_file)
        put_file(writer, &record->input, record->input_file);
    else
        mni_put_value(writer, record->input);
    mni_put_id(writer, record->parent);
    mni_put_u32(writer, record->need.gpus);
    return type;
}

static void get_start(mni_reader_t *reader, mni_store_record_t *to, bool in_file)
{
    to->info.job = mni_get_text(reader);
    to->info.created = mni_get_f64(reader);
    to->info.lock = mni_get_text(reader);
    to->info.tag = mni_get_text(reader);
    to->info.key = mni_get_text(reader);
    to->need = get_need(reader);
    to->has_need = true;
    to->input_file = NULL;
    to->input = in_file ? get_file(reader, &to->input_file) : mni_get_value(reader);
    if (reader->at < reader->end) /* format 1 did not have it */
        to->parent = mni_get_id(reader);
    if (reader->at < reader->end) /* nor did any before 4 have this */
        to->need.gpus = mni_get_u32(reader);
    to->info.status = MN_PENDING;
    to->info.rank = -1;
}

static void put_attempt(mni_writer_t *writer, const mn_info_t *info)
{
    mni_put_u32(writer, info->attempts);
    mni_put_f64(writer, info->started);
    mni_put_text(writer, info->host);
    mni_put_i32(writer, info->rank);
    mni_put_text(writer, info->cpus);
}

static void get_attempt(mni_reader_t *reader, mni_store_record_t *to)
{
    to->info.attempts = mni_get_u32(reader);
    to->info.started = mni_get_f64(reader);
    to->info.host = mni_get_text(reader);
    to->info.rank = mni_get_i32(reader);
    to->info.cpus = mni_get_text(reader);
    to->info.status = MN_RUNNING;
    to->info.reason = MN_REASON_NONE;
}

static void put_value(mni_writer_t *writer, const mni_store_record_t *record)
{
    const mn_info_t *info = &record->info;

    mni_put_u64(writer, info->yields);
    mni_put_f64(writer, info->progress);
    mni_put_text(writer, info->message);
    if (record->result_file)
        put_file(writer, &info->result, record->result_file);
    else
        mni_put_value(writer, info->result);
}

static void get_value(mni_reader_t *reader, mni_store_record_t *to, bool in_file)
{
    to->info.yields = mni_get_u64(reader);
    to->info.progress = mni_get_f64(reader);
    to->info.message = mni_get_text(reader);
    to->result_file = NULL;
    to->info.result = in_file ? get_file(reader, &to->result_file) : mni_get_value(reader);
}

static void put_state(mni_writer_t *writer, const mni_store_record_t *record)
{
    mni_put_u8(writer, (uint8_t)record->info.status);
    mni_put_u8(writer, (uint8_t)record->info.reason);
    mni_put_u32(writer, record->info.attempts);
    mni_put_u32(writer, record->retries);
    mni_put_u32(writer, record->lost);
    mni_put_f64(writer, record->info.ended);
    mni_put_f64(writer, record->info.progress);
    mni_put_text(writer, record->info.message);
    mni_put_text(writer, record->info.error);
    mni_put_f64(writer, record->info.cpu_time);
    mni_put_u64(writer, record->info.peak_memory);
}

static void get_state(mni_reader_t *reader, mni_store_record_t *to)
{
    to->info.status = (mn_status_t)mni_get_u8(reader);
    to->info.reason = (mn_reason_t)mni_get_u8(reader);
    to->info.attempts = mni_get_u32(reader);
    to->retries = mni_get_u32(reader);
    to->lost = mni_get_u32(reader);
    to->info.ended = mni_get_f64(reader);
    to->info.progress = mni_get_f64(reader);
    to->info.message = mni_get_text(reader);
    to->info.error = mni_get_text(reader);
    if (reader->at == reader->end) /* before format 4; it is the last part of a record */
        return;
    to->info.cpu_time = mni_get_f64(reader);
    to->info.peak_memory = mni_get_u64(reader);
}

mni_change_t mni_change_put(mni_writer_t *writer, unsigned changes,
                            const mni_store_record_t *record)
{
    mni_change_t value = record->result_file ? MNI_CHANGE_VALUE_FILE : MNI_CHANGE_VALUE;
    mni_change_t type = MNI_CHANGE_SEVERAL;
    unsigned set = changes;

    if ((changes & (changes - 1)) == 0)
        type = changes == MNI_CHANGE_BIT(MNI_CHANGE_BEGIN)   ? MNI_CHANGE_BEGIN
               : changes == MNI_CHANGE_BIT(MNI_CHANGE_VALUE) ? value
                                                             : MNI_CHANGE_STATE;
    if (changes & MNI_CHANGE_BIT(MNI_CHANGE_VALUE))
        set |= MNI_CHANGE_BIT(value);
    put_begin(writer, type, record->info.id);
    if (type == MNI_CHANGE_SEVERAL)
        mni_put_u8(writer, (uint8_t)set);
    if (changes & MNI_CHANGE_BIT(MNI_CHANGE_BEGIN))
        put_attempt(writer, &record->info);
    if (changes & MNI_CHANGE_BIT(MNI_CHANGE_VALUE))
        put_value(writer, record);
    if (changes & MNI_CHANGE_BIT(MNI_CHANGE_STATE))
        put_state(writer, record);
    return type;
}

void mni_change_put_remove(mni_writer_t *writer, mn_id_t id)
{
    put_begin(writer, MNI_CHANGE_REMOVE, id);
}

unsigned mni_change_set(const mni_journal_record_t *change)
{
    const unsigned several = MNI_CHANGE_BIT(MNI_CHANGE_BEGIN) | MNI_CHANGE_BIT(MNI_CHANGE_VALUE) |
                             MNI_CHANGE_BIT(MNI_CHANGE_STATE) |
                             MNI_CHANGE_BIT(MNI_CHANGE_VALUE_FILE);
    unsigned set;

    if (change->type == MNI_CHANGE_START_FILE)
        return MNI_CHANGE_BIT(MNI_CHANGE_START_FILE) | MNI_CHANGE_BIT(MNI_CHANGE_START);
    if (change->type == MNI_CHANGE_VALUE_FILE)
        return MNI_CHANGE_BIT(MNI_CHANGE_VALUE_FILE) | MNI_CHANGE_BIT(MNI_CHANGE_VALUE);

    if (change->type >= MNI_CHANGE_START && change->type <= MNI_CHANGE_REMOVE)
        return MNI_CHANGE_BIT(change->type);
    if (change->type != MNI_CHANGE_SEVERAL || change->size <= sizeof(mn_id_t))
        return 0;
    set = ((const uint8_t *)change->data)[sizeof(mn_id_t)];
    if ((set & MNI_CHANGE_BIT(MNI_CHANGE_VALUE_FILE)) && !(set & MNI_CHANGE_BIT(MNI_CHANGE_VALUE)))
        return 0;
    return (set & ~several) == 0 ? set : 0;
}

int mni_change_unknown(const mni_journal_record_t *change)
{
    return mni_error(MN_E_STORE, "record %llu of the journal has the unknown type %u",
                     (unsigned long long)change->number, change->type);
}

bool mni_change_id(const mni_journal_record_t *change, mn_id_t *id)
{
    if (change->size < sizeof id->bytes)
        return false;
    memcpy(id->bytes, change->data, sizeof id->bytes);
    return true;
}

int mni_change_apply(const mni_journal_record_t *change, mni_store_record_t *to)
{
    mni_reader_t reader;

    unsigned set = mni_change_set(change);

    if (set == 0)
        return mni_change_unknown(change);
    mni_reader_body(&reader, change->data, change->size);
    to->info.id = mni_get_id(&reader);
    if (change->type == MNI_CHANGE_SEVERAL)
        mni_get_u8(&reader);
    if (set & MNI_CHANGE_BIT(MNI_CHANGE_START))
        get_start(&reader, to, set & MNI_CHANGE_BIT(MNI_CHANGE_START_FILE));
    if (set & MNI_CHANGE_BIT(MNI_CHANGE_BEGIN))
        get_attempt(&reader, to);
    if (set & MNI_CHANGE_BIT(MNI_CHANGE_VALUE))
        get_value(&reader, to, set & MNI_CHANGE_BIT(MNI_CHANGE_VALUE_FILE));
    if (set & MNI_CHANGE_BIT(MNI_CHANGE_STATE))
        get_state(&reader, to);
    if (mni_reader_end(&reader) < 0 || to->info.status > MN_CANCELLED ||
        to->info.reason > MN_REASON_UNDECLARED)
        return mni_error(MN_E_STORE, "record %llu of the journal makes no sense",
                         (unsigned long long)change->number);
    return 0;
}

void mni_change_merge(mni_store_record_t *to, unsigned set, const mni_store_record_t *from)
{
    const unsigned begun = set & MNI_CHANGE_BIT(MNI_CHANGE_BEGIN),
                   value = set & MNI_CHANGE_BIT(MNI_CHANGE_VALUE),
                   state = set & MNI_CHANGE_BIT(MNI_CHANGE_STATE);
    mn_info_t *info = &to->info;

    if (begun || state) {
        info->status = from->info.status;
        info->reason = from->info.reason;
        info->attempts = from->info.attempts;
    }
    if (begun) {
        info->started = from->info.started;
        info->host = from->info.host;
        info->rank = from->info.rank;
        info->cpus = from->info.cpus;
    }
    if (value) {
        info->yields = from->info.yields;
        info->result = from->info.result;
        to->result_file = from->result_file;
    }
    if (value || state) {
        info->progress = from->info.progress;
        info->message = from->info.message;
    }
    if (state) {
        to->retries = from->retries;
        to->lost = from->lost;
        info->ended = from->info.ended;
        info->error = from->info.error;
        info->cpu_time = from->info.cpu_time;
        info->peak_memory = from->info.peak_memory;
    }
}
