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

void mni_change_put_start(mni_writer_t *writer, const mni_store_record_t *record)
{
    put_begin(writer, MNI_CHANGE_START, record->info.id);
    mni_put_text(writer, record->info.job);
    mni_put_f64(writer, record->info.created);
    mni_put_text(writer, record->info.lock);
    mni_put_text(writer, record->info.tag);
    mni_put_text(writer, record->info.key);
    put_need(writer, &record->need);
    mni_put_value(writer, record->input);
}

static void get_start(mni_reader_t *reader, mni_store_record_t *to)
{
    to->info.job = mni_get_text(reader);
    to->info.created = mni_get_f64(reader);
    to->info.lock = mni_get_text(reader);
    to->info.tag = mni_get_text(reader);
    to->info.key = mni_get_text(reader);
    to->need = get_need(reader);
    to->has_need = true;
    to->input = mni_get_value(reader);
    to->info.status = MN_PENDING;
    to->info.rank = -1;
}

void mni_change_put_begin(mni_writer_t *writer, const mn_info_t *info)
{
    put_begin(writer, MNI_CHANGE_BEGIN, info->id);
    mni_put_u32(writer, info->attempts);
    mni_put_f64(writer, info->started);
    mni_put_text(writer, info->host);
    mni_put_i32(writer, info->rank);
    mni_put_text(writer, info->cpus);
}

static void get_begin(mni_reader_t *reader, mni_store_record_t *to)
{
    to->info.attempts = mni_get_u32(reader);
    to->info.started = mni_get_f64(reader);
    to->info.host = mni_get_text(reader);
    to->info.rank = mni_get_i32(reader);
    to->info.cpus = mni_get_text(reader);
    to->info.status = MN_RUNNING;
    to->info.reason = MN_REASON_NONE;
}

void mni_change_put_value(mni_writer_t *writer, const mn_info_t *info)
{
    put_begin(writer, MNI_CHANGE_VALUE, info->id);
    mni_put_u64(writer, info->yields);
    mni_put_f64(writer, info->progress);
    mni_put_text(writer, info->message);
    mni_put_value(writer, info->result);
}

static void get_value(mni_reader_t *reader, mni_store_record_t *to)
{
    to->info.yields = mni_get_u64(reader);
    to->info.progress = mni_get_f64(reader);
    to->info.message = mni_get_text(reader);
    to->info.result = mni_get_value(reader);
}

void mni_change_put_state(mni_writer_t *writer, const mni_store_record_t *record)
{
    put_begin(writer, MNI_CHANGE_STATE, record->info.id);
    mni_put_u8(writer, (uint8_t)record->info.status);
    mni_put_u8(writer, (uint8_t)record->info.reason);
    mni_put_u32(writer, record->info.attempts);
    mni_put_u32(writer, record->retries);
    mni_put_u32(writer, record->lost);
    mni_put_f64(writer, record->info.ended);
    mni_put_f64(writer, record->info.progress);
    mni_put_text(writer, record->info.message);
    mni_put_text(writer, record->info.error);
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
}

void mni_change_put_remove(mni_writer_t *writer, mn_id_t id)
{
    put_begin(writer, MNI_CHANGE_REMOVE, id);
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

    mni_reader_body(&reader, change->data, change->size);
    to->info.id = mni_get_id(&reader);
    switch (change->type) {
    case MNI_CHANGE_START:
        get_start(&reader, to);
        break;
    case MNI_CHANGE_BEGIN:
        get_begin(&reader, to);
        break;
    case MNI_CHANGE_VALUE:
        get_value(&reader, to);
        break;
    case MNI_CHANGE_STATE:
        get_state(&reader, to);
        break;
    case MNI_CHANGE_REMOVE:
        break;
    default:
        return mni_error(MN_E_STORE, "record %llu of the journal has the unknown type %u",
                         (unsigned long long)change->number, change->type);
    }
    if (mni_reader_end(&reader) < 0 || to->info.status > MN_CANCELLED ||
        to->info.reason > MN_REASON_UNDECLARED)
        return mni_error(MN_E_STORE, "record %llu of the journal makes no sense",
                         (unsigned long long)change->number);
    return 0;
}
