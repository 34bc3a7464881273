/* SPDX-License-Identifier: MIT
 *
 * The fields of the messages that have many, in the order in which they travel.
 */
#include "wire/message.h"

const char *mni_message_name(uint16_t type)
{
    switch (type) {
#define MESSAGE_CASE(name, number) \
    case number:                   \
        return #name;
        MNI_MESSAGES(MESSAGE_CASE)
#undef MESSAGE_CASE
    default:
        return "?";
    }
}

void mni_put_start(mni_writer_t *writer, const mni_msg_start_t *start)
{
    mni_put_text(writer, start->job);
    mni_put_value(writer, start->input);
    mni_put_text(writer, start->lock);
    mni_put_text(writer, start->tag);
    mni_put_text(writer, start->key);
    mni_put_text(writer, start->memory);
    mni_put_f64(writer, start->cpu);
    mni_put_f64(writer, start->timeout);
    mni_put_f64(writer, start->grace);
    mni_put_i32(writer, start->priority);
    mni_put_u32(writer, start->max_retries);
    mni_put_u32(writer, start->gpus);
    mni_put_u8(writer, start->cancel_with_parent);
}

mni_msg_start_t mni_get_start(mni_reader_t *reader)
{
    mni_msg_start_t start = {0};
    start.job = mni_get_text(reader);
    start.input = mni_get_value(reader);
    start.lock = mni_get_text(reader);
    start.tag = mni_get_text(reader);
    start.key = mni_get_text(reader);
    start.memory = mni_get_text(reader);
    start.cpu = mni_get_f64(reader);
    start.timeout = mni_get_f64(reader);
    start.grace = mni_get_f64(reader);
    start.priority = mni_get_i32(reader);
    start.max_retries = mni_get_u32(reader);
    start.gpus = mni_get_u32(reader);
    start.cancel_with_parent = mni_get_u8(reader) != 0;
    return start;
}

void mni_put_list(mni_writer_t *writer, const mni_msg_list_t *list)
{
    mni_put_text(writer, list->job);
    mni_put_text(writer, list->lock);
    mni_put_text(writer, list->tag);
    mni_put_u32(writer, list->statuses);
    mni_put_u8(writer, list->has_after);
    mni_put_id(writer, list->after);
    mni_put_u32(writer, list->capacity);
}

mni_msg_list_t mni_get_list(mni_reader_t *reader)
{
    mni_msg_list_t list = {0};
    list.job = mni_get_text(reader);
    list.lock = mni_get_text(reader);
    list.tag = mni_get_text(reader);
    list.statuses = mni_get_u32(reader);
    list.has_after = mni_get_u8(reader) != 0;
    list.after = mni_get_id(reader);
    list.capacity = mni_get_u32(reader);
    return list;
}

void mni_put_run(mni_writer_t *writer, const mni_msg_run_t *run)
{
    mni_put_u8(writer, run->kind);
    mni_put_u32(writer, run->declaration);
    mni_put_u64(writer, run->task);
    mni_put_id(writer, run->id);
    mni_put_u32(writer, run->attempt);
    mni_put_cpus(writer, &run->cpus);
    mni_put_u64(writer, run->gpus);
    mni_put_u64(writer, run->memory);
    mni_put_u32(writer, run->threads);
    mni_put_u32(writer, run->port);
    mni_put_u8(writer, run->has_last);
    mni_put_value(writer, run->input);
    mni_put_value(writer, run->last);
}

mni_msg_run_t mni_get_run(mni_reader_t *reader)
{
    mni_msg_run_t run = {0};
    run.kind = mni_get_u8(reader);
    run.declaration = mni_get_u32(reader);
    run.task = mni_get_u64(reader);
    run.id = mni_get_id(reader);
    run.attempt = mni_get_u32(reader);
    run.cpus = mni_get_cpus(reader);
    run.gpus = mni_get_u64(reader);
    run.memory = mni_get_u64(reader);
    run.threads = mni_get_u32(reader);
    run.port = mni_get_u32(reader);
    run.has_last = mni_get_u8(reader) != 0;
    run.input = mni_get_value(reader);
    run.last = mni_get_value(reader);
    return run;
}

static void put_shared(mni_writer_t *writer, const mni_msg_shared_t *shared)
{
    mni_put_i32(writer, shared->pid);
    if (shared->pid == 0)
        return;
    mni_put_i32(writer, shared->memfd);
    mni_put_u64(writer, shared->inode);
    mni_put_u64(writer, shared->arguments);
    mni_put_u64(writer, shared->arguments_bytes);
    mni_put_u64(writer, shared->results);
    mni_put_u64(writer, shared->results_bytes);
}

static mni_msg_shared_t get_shared(mni_reader_t *reader)
{
    mni_msg_shared_t shared = {.pid = mni_get_i32(reader)};
    if (shared.pid == 0)
        return shared;
    shared.memfd = mni_get_i32(reader);
    shared.inode = mni_get_u64(reader);
    shared.arguments = mni_get_u64(reader);
    shared.arguments_bytes = mni_get_u64(reader);
    shared.results = mni_get_u64(reader);
    shared.results_bytes = mni_get_u64(reader);
    return shared;
}

void mni_put_block(mni_writer_t *writer, const mni_msg_block_t *block)
{
    mni_put_u32(writer, block->declaration);
    mni_put_id(writer, block->id);
    mni_put_u64(writer, block->task);
    mni_put_u32(writer, block->threads);
    mni_put_u8(writer, block->by_value);
    mni_put_f64(writer, block->timeout);
    mni_put_u64(writer, block->first);
    mni_put_u64(writer, block->count);
    mni_put_u64(writer, block->argument_size);
    mni_put_u64(writer, block->result_size);
    mni_put_u64(writer, block->arguments);
    mni_put_u64(writer, block->arguments_bytes);
    mni_put_u64(writer, block->results);
    mni_put_u64(writer, block->results_room);
    put_shared(writer, &block->shared);
}

mni_msg_block_t mni_get_block(mni_reader_t *reader)
{
    mni_msg_block_t block = {0};
    block.declaration = mni_get_u32(reader);
    block.id = mni_get_id(reader);
    block.task = mni_get_u64(reader);
    block.threads = mni_get_u32(reader);
    block.by_value = mni_get_u8(reader) != 0;
    block.timeout = mni_get_f64(reader);
    block.first = mni_get_u64(reader);
    block.count = mni_get_u64(reader);
    block.argument_size = mni_get_u64(reader);
    block.result_size = mni_get_u64(reader);
    block.arguments = mni_get_u64(reader);
    block.arguments_bytes = mni_get_u64(reader);
    block.results = mni_get_u64(reader);
    block.results_room = mni_get_u64(reader);
    block.shared = get_shared(reader);
    return block;
}

void mni_put_finished(mni_writer_t *writer, const mni_msg_finished_t *finished)
{
    mni_put_i32(writer, finished->code);
    mni_put_u8(writer, finished->reason);
    mni_put_text(writer, finished->message);
    mni_put_u64(writer, finished->items);
    mni_put_u64(writer, finished->results_bytes);
    mni_put_u8(writer, finished->again);
    mni_put_u64(writer, finished->cpu_time);
    mni_put_u64(writer, finished->peak_memory);
}

mni_msg_finished_t mni_get_finished(mni_reader_t *reader)
{
    mni_msg_finished_t finished = {0};
    finished.code = mni_get_i32(reader);
    finished.reason = mni_get_u8(reader);
    finished.message = mni_get_text(reader);
    finished.items = mni_get_u64(reader);
    finished.results_bytes = mni_get_u64(reader);
    finished.again = mni_get_u8(reader) != 0;
    finished.cpu_time = mni_get_u64(reader);
    finished.peak_memory = mni_get_u64(reader);
    return finished;
}

void mni_put_map(mni_writer_t *writer, const mni_msg_map_t *map)
{
    mni_put_u32(writer, map->declaration);
    mni_put_u8(writer, map->by_value);
    mni_put_u8(writer, map->per_item);
    mni_put_u64(writer, map->count);
    mni_put_u64(writer, map->argument_size);
    mni_put_u64(writer, map->result_size);
    mni_put_u64(writer, map->max_block);
    mni_put_u64(writer, map->arguments);
    mni_put_u64(writer, map->arguments_bytes);
    mni_put_u64(writer, map->results);
    mni_put_u64(writer, map->ready);
    mni_put_u64(writer, map->base);
}

mni_msg_map_t mni_get_map(mni_reader_t *reader)
{
    mni_msg_map_t map = {0};
    map.declaration = mni_get_u32(reader);
    map.by_value = mni_get_u8(reader) != 0;
    map.per_item = mni_get_u8(reader) != 0;
    map.count = mni_get_u64(reader);
    map.argument_size = mni_get_u64(reader);
    map.result_size = mni_get_u64(reader);
    map.max_block = mni_get_u64(reader);
    map.arguments = mni_get_u64(reader);
    map.arguments_bytes = mni_get_u64(reader);
    map.results = mni_get_u64(reader);
    map.ready = mni_get_u64(reader);
    map.base = mni_get_u64(reader);
    return map;
}

void mni_put_ended(mni_writer_t *writer, const mni_msg_ended_t *ended)
{
    mni_put_u64(writer, ended->task);
    mni_put_finished(writer, &ended->finished);
    mni_put_piece(writer, &ended->out);
    mni_put_piece(writer, &ended->err);
}

mni_msg_ended_t mni_get_ended(mni_reader_t *reader)
{
    mni_msg_ended_t ended = {0};
    ended.task = mni_get_u64(reader);
    ended.finished = mni_get_finished(reader);
    ended.out = mni_get_piece(reader);
    ended.err = mni_get_piece(reader);
    return ended;
}

void mni_put_piece(mni_writer_t *writer, const mni_textlog_piece_t *piece)
{
    mni_put_bytes(writer, piece->text, piece->size);
    mni_put_u64(writer, piece->before);
    mni_put_u64(writer, piece->left_out);
}

mni_textlog_piece_t mni_get_piece(mni_reader_t *reader)
{
    mni_textlog_piece_t piece = {.text = NULL};
    piece.text = mni_get_bytes(reader, &piece.size);
    uint64_t before = mni_get_u64(reader);
    piece.left_out = mni_get_u64(reader);
    if (before > piece.size)
        reader->failed = true;
    else
        piece.before = (size_t)before;
    return piece;
}

void mni_put_log(mni_writer_t *writer, const mni_msg_log_t *log)
{
    mni_put_bytes(writer, log->text, log->size);
    mni_put_u64(writer, log->next);
    mni_put_u32(writer, log->attempt);
    mni_put_u8(writer, log->over);
    mni_put_u8(writer, log->ended);
}

mni_msg_log_t mni_get_log(mni_reader_t *reader)
{
    mni_msg_log_t log = {.text = NULL};
    log.text = mni_get_bytes(reader, &log.size);
    log.next = mni_get_u64(reader);
    log.attempt = mni_get_u32(reader);
    log.over = mni_get_u8(reader) != 0;
    log.ended = mni_get_u8(reader) != 0;
    return log;
}

void mni_put_slot(mni_writer_t *writer, const mni_msg_slot_t *slot)
{
    mni_put_u64(writer, slot->task);
    mni_put_u32(writer, slot->rank);
    mni_put_cpus(writer, &slot->cpus);
    mni_put_u64(writer, slot->gpus);
    mni_put_u32(writer, slot->threads);
    mni_put_id(writer, slot->id);
    mni_put_f64(writer, slot->grace);
    mni_put_f64(writer, slot->timeout);
}

mni_msg_slot_t mni_get_slot(mni_reader_t *reader)
{
    mni_msg_slot_t slot = {0};
    slot.task = mni_get_u64(reader);
    slot.rank = mni_get_u32(reader);
    slot.cpus = mni_get_cpus(reader);
    slot.gpus = mni_get_u64(reader);
    slot.threads = mni_get_u32(reader);
    slot.id = mni_get_id(reader);
    slot.grace = mni_get_f64(reader);
    slot.timeout = mni_get_f64(reader);
    return slot;
}

void mni_put_info(mni_writer_t *writer, const mn_info_t *info)
{
    mni_put_id(writer, info->id);
    mni_put_text(writer, info->job);
    mni_put_u8(writer, (uint8_t)info->status);
    mni_put_u8(writer, (uint8_t)info->reason);
    mni_put_text(writer, info->error);
    mni_put_value(writer, info->result);
    mni_put_u64(writer, info->yields);
    mni_put_u64(writer, info->version);
    mni_put_u32(writer, info->attempts);
    mni_put_f64(writer, info->progress);
    mni_put_text(writer, info->message);
    mni_put_f64(writer, info->created);
    mni_put_f64(writer, info->started);
    mni_put_f64(writer, info->ended);
    mni_put_text(writer, info->lock);
    mni_put_text(writer, info->tag);
    mni_put_text(writer, info->key);
    mni_put_text(writer, info->host);
    mni_put_i32(writer, info->rank);
    mni_put_text(writer, info->cpus);
    mni_put_f64(writer, info->cpu_time);
    mni_put_u64(writer, info->peak_memory);
}

mn_info_t mni_get_info(mni_reader_t *reader)
{
    mn_info_t info = {0};
    info.id = mni_get_id(reader);
    info.job = mni_get_text(reader);
    info.status = (mn_status_t)mni_get_u8(reader);
    info.reason = (mn_reason_t)mni_get_u8(reader);
    info.error = mni_get_text(reader);
    info.result = mni_get_value(reader);
    info.yields = mni_get_u64(reader);
    info.version = mni_get_u64(reader);
    info.attempts = mni_get_u32(reader);
    info.progress = mni_get_f64(reader);
    info.message = mni_get_text(reader);
    info.created = mni_get_f64(reader);
    info.started = mni_get_f64(reader);
    info.ended = mni_get_f64(reader);
    info.lock = mni_get_text(reader);
    info.tag = mni_get_text(reader);
    info.key = mni_get_text(reader);
    info.host = mni_get_text(reader);
    info.rank = mni_get_i32(reader);
    info.cpus = mni_get_text(reader);
    info.cpu_time = mni_get_f64(reader);
    info.peak_memory = mni_get_u64(reader);
    return info;
}

/* --- jobs as they are shown outside -------------------------------------------------------------------- */

static void put_shape(mni_writer_t *writer, mn_value_t value, uint32_t room)
{
    mni_put_u8(writer, (uint8_t)value.type);
    mni_put_u8(writer, (uint8_t)value.ndims);
    for (unsigned i = 0; i < value.ndims; i++)
        mni_put_u64(writer, value.dims[i]);
    bool here = value.size <= room && (value.data || value.size == 0);

    mni_put_u64(writer, value.size);
    mni_put_u8(writer, here);
    if (here)
        mni_put_bytes(writer, value.data, value.size);
}

/* A value whose bytes may be missing: `data` is NULL then. */
static mn_value_t get_shape(mni_reader_t *reader)
{
    mn_value_t value = {.type = (mn_type_t)mni_get_u8(reader), .ndims = mni_get_u8(reader)};
    size_t bytes = 0;

    if (value.ndims > MN_MAX_DIMS)
        reader->failed = true;
    for (unsigned i = 0; i < value.ndims && i < MN_MAX_DIMS; i++)
        value.dims[i] = mni_get_u64(reader);
    value.size = mni_get_u64(reader);
    bool here = mni_get_u8(reader) != 0;
    if (here)
        value.data = mni_get_bytes(reader, &bytes);
    if (here && bytes != value.size)
        reader->failed = true;
    mn_value_t whole = value;
    whole.data = ""; /* only its shape is looked at */
    if (!reader->failed && mni_value_check(whole) < 0)
        reader->failed = true;
    return reader->failed ? mn_none() : value;
}

void mni_put_look(mni_writer_t *writer, const mni_msg_look_t *look, uint32_t room)
{
    mn_info_t bare = look->info;

    bare.result = mn_none();
    mni_put_info(writer, &bare);
    mni_put_u32(writer, look->need.millicores);
    mni_put_u32(writer, look->need.gpus);
    mni_put_u64(writer, look->need.memory);
    mni_put_u32(writer, look->need.max_concurrency);
    mni_put_u32(writer, look->need.max_retries);
    mni_put_u32(writer, look->need.max_lost);
    mni_put_i32(writer, look->need.priority);
    mni_put_f64(writer, look->need.timeout);
    mni_put_f64(writer, look->need.grace);
    put_shape(writer, look->input, room);
    put_shape(writer, look->result, room);
}

mni_msg_look_t mni_get_look(mni_reader_t *reader)
{
    mni_msg_look_t look = {.info = mni_get_info(reader)};

    look.need.millicores = mni_get_u32(reader);
    look.need.gpus = mni_get_u32(reader);
    look.need.memory = mni_get_u64(reader);
    look.need.max_concurrency = mni_get_u32(reader);
    look.need.max_retries = mni_get_u32(reader);
    look.need.max_lost = mni_get_u32(reader);
    look.need.priority = mni_get_i32(reader);
    look.need.timeout = mni_get_f64(reader);
    look.need.grace = mni_get_f64(reader);
    look.input = get_shape(reader);
    look.result = get_shape(reader);
    look.info.result = look.result;
    return look;
}

void mni_put_summary(mni_writer_t *writer, const mni_msg_summary_t *summary)
{
    for (int i = 0; i <= MN_CANCELLED; i++)
        mni_put_u64(writer, summary->statuses[i]);
    mni_put_u64(writer, summary->tasks);
    mni_put_u32(writer, summary->nodes);
    mni_put_u32(writer, summary->workers);
    mni_put_u8(writer, summary->draining);
    mni_put_text(writer, summary->trouble);
}

mni_msg_summary_t mni_get_summary(mni_reader_t *reader)
{
    mni_msg_summary_t summary = {.tasks = 0};

    for (int i = 0; i <= MN_CANCELLED; i++)
        summary.statuses[i] = mni_get_u64(reader);
    summary.tasks = mni_get_u64(reader);
    summary.nodes = mni_get_u32(reader);
    summary.workers = mni_get_u32(reader);
    summary.draining = mni_get_u8(reader) != 0;
    summary.trouble = mni_get_text(reader);
    return summary;
}

void mni_put_node(mni_writer_t *writer, const mni_node_use_t *node)
{
    mni_put_text(writer, node->host);
    mni_put_u32(writer, node->cores);
    mni_put_u32(writer, node->cores_free);
    mni_put_u64(writer, node->memory);
    mni_put_u64(writer, node->memory_used);
    mni_put_u32(writer, node->gpus);
    mni_put_u32(writer, node->gpus_free);
    mni_put_u32(writer, node->workers);
    mni_put_u32(writer, node->tasks);
    mni_put_text(writer, node->topology);
    mni_put_u32(writer, node->rank);
}

mni_node_use_t mni_get_node(mni_reader_t *reader)
{
    mni_node_use_t node = {.host = mni_get_text(reader)};

    node.cores = mni_get_u32(reader);
    node.cores_free = mni_get_u32(reader);
    node.memory = mni_get_u64(reader);
    node.memory_used = mni_get_u64(reader);
    node.gpus = mni_get_u32(reader);
    node.gpus_free = mni_get_u32(reader);
    node.workers = mni_get_u32(reader);
    node.tasks = mni_get_u32(reader);
    node.topology = mni_get_text(reader);
    node.rank = mni_get_u32(reader);
    return node;
}
