/* SPDX-License-Identifier: MIT
 *
 * The life of a map on its caller's side: made, told to the worker, filled by what comes back,
 * closed.
 *
 * Executors of this rank read the arguments where they lie in the arena, and write results of fixed sizes
 * there, until the worker has said MAP_END with code 0, refused the map, or answered MAP_CLOSE; or, when the
 * answer says that some still do, MAP_GONE. Only then the extent is used again.
 */
#include "client/map.h"

#include "client/call.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* Arguments are copied, and pages made for them, in steps of this: about what a core moves in a fraction of a
 * millisecond. */
#define COPY_STEP ((size_t)4 << 20)

/* --- frames that come
 * ---------------------------------------------------------------------------------- */

static mni_map_t *find(uint64_t number)
{
    mni_map_t *map = mni_client.maps;
    while (map && map->number != number)
        map = map->next;
    return map;
}

static void end(mni_map_t *map, int code, uint64_t failed, const char *message)
{
    if (map->ended)
        return;
    map->ended = true;
    map->code = code;
    map->failed = failed;
    if (code < 0)
        map->message = strdup(message ? message : mn_strerror(code));
}

/* The client ran out of memory for what came: the map is over, though the worker goes on with it.
 */
static void end_without_memory(mni_map_t *map)
{
    end(map, MN_E_NO_MEMORY, map->count, "no memory for the results of a map");
}

static int copy_value(mn_value_t view, mn_value_t *copy)
{
    void *data = NULL;
    if (view.size > 0) {
        data = malloc(view.size);
        if (!data)
            return MN_E_NO_MEMORY;
        memcpy(data, view.data, view.size);
    }
    *copy = view;
    copy->data = data;
    return 0;
}

static void take_items(mni_map_t *map, mni_reader_t *reader)
{
    size_t size;
    uint64_t first = mni_get_u64(reader), count = mni_get_u64(reader);
    const void *pack = mni_get_bytes(reader, &size);

    if (mni_reader_end(reader) < 0 || !map->by_value || first > map->count ||
        count > map->count - first) {
        end(map, MN_E_PROTOCOL, map->count, "results of a map that do not belong to it");
        return;
    }
    for (uint64_t i = 0; i < count && !map->ended; i++) {
        mn_value_t view;
        if (map->states[first + i] != MNI_ITEM_OPEN)
            continue;
        if (mni_pack_get(pack, size, count, i, &view) < 0)
            end(map, MN_E_PROTOCOL, map->count, mn_error_message());
        else if (copy_value(view, &map->values[first + i]) < 0)
            end_without_memory(map);
        else
            map->states[first + i] = MNI_ITEM_READY;
    }
}

static void take_fault(mni_map_t *map, mni_reader_t *reader)
{
    uint64_t index = mni_get_u64(reader);
    int32_t code = mni_get_i32(reader);
    uint8_t reason = mni_get_u8(reader);
    const char *message = mni_get_text(reader);

    if (mni_reader_end(reader) < 0 || index >= map->count || code >= 0) {
        end(map, MN_E_PROTOCOL, map->count, "an error of an item that is not of this map");
        return;
    }
    if (!map->faults)
        map->faults = calloc(map->count, sizeof *map->faults);
    if (!map->states)
        map->states = calloc(map->count, sizeof *map->states);
    if (!map->faults || !map->states) {
        end_without_memory(map);
        return;
    }
    if (map->states[index] != MNI_ITEM_OPEN)
        return;
    char *copy = strdup(message ? message : mn_strerror(code));
    if (!copy) {
        end_without_memory(map);
        return;
    }
    map->faults[index] =
        (mn_item_error_t){.code = code, .reason = (mn_reason_t)reason, .message = copy};
    map->states[index] = MNI_ITEM_FAILED;
}

static void take_end(mni_map_t *map, mni_reader_t *reader)
{
    int32_t code = mni_get_i32(reader);
    uint64_t index = mni_get_u64(reader);
    const char *message = mni_get_text(reader);

    if (mni_reader_end(reader) < 0) {
        end(map, MN_E_PROTOCOL, map->count, mn_error_message());
        return;
    }
    if (code >= 0)
        map->done = true;
    end(map, code < 0 ? code : 0, index, message);
}

/* The worker would not open the map at all. */
static void take_refusal(mni_map_t *map, mni_reader_t *reader)
{
    int32_t code = mni_get_i32(reader);
    const char *message = mni_get_text(reader);
    if (code < 0) {
        map->done = true;
        end(map, code, map->count, message);
    }
}

void mni_map_receive(mni_reader_t *reader)
{
    if (reader->type == MNI_MSG_MAP_GONE) {
        mni_arena_unpin(&mni_client.arena, reader->request);
        return;
    }
    mni_map_t *map = find(reader->request);
    if (!map)
        return;
    if (reader->type == MNI_MSG_MAP_ITEMS && !map->ended)
        take_items(map, reader);
    else if (reader->type == MNI_MSG_MAP_FAULT && !map->ended)
        take_fault(map, reader);
    else if (reader->type == MNI_MSG_MAP_END)
        take_end(map, reader);
    else if (reader->type == MNI_MSG_REPLY)
        take_refusal(map, reader);
}

/* --- opening
 * ------------------------------------------------------------------------------------------- */

int mni_map_check_values(const mn_value_t *arguments, uint64_t count)
{
    if (count > MNI_MAP_LIMIT / sizeof *arguments)
        return mni_error(MN_E_TOO_LARGE, "a map of %llu values; the limit is %zu",
                         (unsigned long long)count, MNI_MAP_LIMIT / sizeof *arguments);
    for (uint64_t i = 0; i < count; i++) {
        int rc = mni_value_check(arguments[i]);
        if (rc < 0)
            return mni_error_prefix(rc, "argument %llu", (unsigned long long)i);
    }
    return 0;
}

/* A map with an extent of `bytes`, among the client's maps, not sent yet. */
static int map_create(uint64_t count, size_t bytes, mni_map_t **out)
{
    mni_map_t *map = calloc(1, sizeof *map);
    if (!map)
        return mni_error(MN_E_NO_MEMORY, "no memory for a map");
    map->count = count;
    map->next = mni_client.maps;
    mni_client.maps = map;
    int rc = bytes == 0 ? 0 : mni_arena_take(&mni_client.arena, bytes, false, &map->offset);
    if (rc < 0) {
        mni_map_close(map);
        return rc;
    }
    map->has_extent = bytes > 0;
    *out = map;
    return 0;
}

static int map_send(mni_map_t *map, const mni_msg_map_t *message)
{
    mni_put_map(mni_call_begin(MNI_MSG_MAP, &map->number), message);
    int rc = mni_call_send();
    map->sent = rc == 0;
    return rc;
}

static int put_values(mni_map_t *map, const mn_value_t *arguments, size_t *bytes)
{
    size_t size = mni_pack_header(map->count);
    uint8_t *pack = mni_client.arena.base + map->offset;
    int rc = mni_arena_reserve(&mni_client.arena, map->offset, size);

    for (uint64_t i = 0; i < map->count && rc == 0; i++) {
        rc = mni_arena_reserve(&mni_client.arena, map->offset + size,
                               mni_pack_grow(size, arguments[i]));
        if (rc == 0)
            size = mni_pack_put(pack, size, i, arguments[i]);
    }
    *bytes = size;
    return rc;
}

static size_t part_bytes(void)
{
    size_t limit = mni_client.arena.limit / 2;
    return limit < MNI_MAP_PART ? limit : MNI_MAP_PART;
}

int mni_map_check_function(int declaration)
{
    const mni_declaration_t *function = mni_declaration_get((uint32_t)declaration);
    return function->blockwise
               ? mni_error(MN_E_WRONG_KIND,
                           "%s is a blockwise function: use it with mn_map() or mn_map_fixed()",
                           function->name)
               : 0;
}

uint64_t mni_map_values_part(const mn_value_t *arguments, uint64_t count)
{
    size_t most = part_bytes(), bytes = 0;
    uint64_t part = 0;
    while (part < count && bytes <= most) {
        bytes += MNI_PACK_ENTRY + mni_pack_grow(bytes, arguments[part]);
        part += bytes <= most || part == 0;
    }
    return part;
}

int mni_map_begin_values(const mni_map_way_t *way, const mn_value_t *arguments, uint64_t count,
                         mni_map_t **out)
{
    mni_map_t *map = NULL;
    size_t bytes, limit = mni_client.arena.limit;
    int rc;

    bytes = mni_pack_header(count);
    for (uint64_t i = 0; i < count; i++) {
        bytes += mni_pack_grow(bytes, arguments[i]);
        if (bytes > limit)
            return mni_error(MN_E_TOO_LARGE, "the arguments of a map have over %zu bytes together",
                             limit);
    }
    rc = map_create(count, bytes, &map);
    if (rc < 0)
        return rc;
    map->by_value = true;
    map->values = calloc(count ? count : 1, sizeof *map->values);
    map->states = calloc(count ? count : 1, sizeof *map->states);
    if (!map->values || !map->states)
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the results of a map of %llu values",
                       (unsigned long long)count);
    if (rc == 0)
        rc = put_values(map, arguments, &bytes);
    if (count == 0)
        map->done = map->ended = true; /* nothing to tell the worker */
    else if (rc == 0)
        rc = map_send(map, &(mni_msg_map_t){.declaration = (uint32_t)way->declaration,
                                            .by_value = true,
                                            .per_item = way->per_item,
                                            .count = count,
                                            .max_block = way->max_block,
                                            .base = way->base,
                                            .arguments = map->offset,
                                            .arguments_bytes = bytes,
                                            .ready = count});
    if (rc < 0)
        mni_map_close(map);
    else
        *out = map;
    return rc;
}

/* Where arguments and results of a map lie in the arena. */
typedef struct place {
    size_t arguments, results; /* offsets; of what is copied: in the map's extent */
    size_t bytes, results_bytes;
    bool copy;                       /* arguments have to be brought there */
    const mni_extent_t *own_results; /* of mn_alloc(); NULL: results have to be fetched */
} place_t;

/* What is in memory from mn_alloc() stays where it is. */
static int place_fixed(const mni_fixed_t *fixed, place_t *place, size_t *extent)
{
    const mni_arena_t *arena = &mni_client.arena;
    size_t total = 0, bytes = fixed->count * fixed->argument_size,
           results = fixed->count * fixed->result_size;
    const mni_extent_t *own_results =
        results > 0 ? mni_arena_find(arena, fixed->results, results) : NULL;
    const mni_extent_t *own_arguments = mni_arena_find(arena, fixed->arguments, bytes);

    *place = (place_t){.bytes = bytes, .results_bytes = results};
    place->copy = !own_arguments;
    if (place->copy) {
        if (__builtin_add_overflow(bytes, MNI_ARENA_ALIGN - 1, &total))
            goto too_large;
        total = total / MNI_ARENA_ALIGN * MNI_ARENA_ALIGN;
    } else {
        place->arguments = mni_arena_offset(arena, own_arguments, fixed->arguments);
    }
    if (own_results) {
        place->own_results = own_results;
        place->results = mni_arena_offset(arena, own_results, fixed->results);
    } else {
        place->results = total; /* in the extent */
        if (__builtin_add_overflow(total, results, &total))
            goto too_large;
    }
    *extent = total;
    return 0;
too_large:
    return mni_error(MN_E_TOO_LARGE, "%zu bytes of arguments and %zu of results", bytes, results);
}

/* Brings the arguments to the arena, step by step: what is there is told to the worker, so that executors work on it
 * while the rest is copied; and a count that is wrong by far meets the end of the arguments, not that of the memory. */
static int send_fixed(mni_map_t *map, const mni_fixed_t *fixed, const place_t *place,
                      mni_msg_map_t *message)
{
    mni_arena_t *arena = &mni_client.arena;
    size_t step = COPY_STEP / fixed->argument_size;
    int rc = 0;

    if (step == 0)
        step = 1;
    for (size_t done = 0; done < fixed->count && rc == 0;) {
        size_t items = fixed->count - done < step ? fixed->count - done : step;
        size_t offset = place->arguments + done * fixed->argument_size;
        rc = mni_arena_reserve(arena, offset, items * fixed->argument_size);
        if (rc == 0)
            rc = mni_arena_reserve(arena, place->results + done * fixed->result_size,
                                   items * fixed->result_size);
        if (rc < 0)
            break;
        memcpy(arena->base + offset,
               (const uint8_t *)fixed->arguments + done * fixed->argument_size,
               items * fixed->argument_size);
        message->ready = done += items;
        if (!map->sent) {
            rc = map_send(map, message);
        } else {
            mni_writer_begin(&mni_client.writer, MNI_MSG_MAP_MORE, map->number);
            mni_put_u64(&mni_client.writer, done);
            rc = mni_call_send();
        }
    }
    return rc;
}

uint64_t mni_map_fixed_part(const mni_fixed_t *fixed)
{
    const mni_arena_t *arena = &mni_client.arena;
    size_t bytes = 0;

    if (!mni_arena_find(arena, fixed->arguments, fixed->count * fixed->argument_size))
        bytes += fixed->argument_size;
    if (!mni_arena_find(arena, fixed->results, fixed->count * fixed->result_size))
        bytes += fixed->result_size;
    uint64_t part = bytes > 0 ? part_bytes() / bytes : fixed->count;
    return part > fixed->count ? fixed->count : part > 0 ? part : 1;
}

int mni_map_begin_fixed(const mni_map_way_t *way, const mni_fixed_t *fixed, mni_map_t **out)
{
    mni_map_t *map = NULL;
    mni_arena_t *arena = &mni_client.arena;
    size_t extent = 0;
    place_t place;

    int rc = place_fixed(fixed, &place, &extent);
    if (rc == 0)
        rc = map_create(fixed->count, extent, &map);
    if (rc < 0)
        return rc;
    if (place.copy)
        place.arguments += map->offset;
    if (!place.own_results)
        place.results += map->offset;
    map->has_user = place.own_results != NULL;
    map->user_offset = place.own_results ? place.own_results->offset : 0;
    map->results = place.own_results ? fixed->results : arena->base + place.results;
    mni_msg_map_t message = {.declaration = (uint32_t)way->declaration,
                             .per_item = way->per_item,
                             .count = fixed->count,
                             .argument_size = fixed->argument_size,
                             .result_size = fixed->result_size,
                             .max_block = way->max_block,
                             .base = way->base,
                             .arguments = place.arguments,
                             .arguments_bytes = place.bytes,
                             .results = place.results,
                             .ready = fixed->count};
    if (place.copy)
        rc = send_fixed(map, fixed, &place, &message);
    else
        rc = mni_arena_reserve(arena, place.results, place.results_bytes);
    if (rc == 0 && !place.copy)
        rc = map_send(map, &message);
    if (rc < 0)
        mni_map_close(map);
    else
        *out = map;
    return rc;
}

/* --- the end
 * ------------------------------------------------------------------------------------------- */

int mni_map_finish(mni_map_t *map)
{
    mni_reader_t reader;
    int rc = 0;
    while (!map->ended && rc == 0)
        rc = mni_call_step(true, &reader);
    if (!map->ended)
        return rc;
    return map->code < 0
               ? mni_error(map->code, "%s", map->message ? map->message : mn_strerror(map->code))
               : 0;
}

static void pin(mni_map_t *map, uint64_t until)
{
    if (map->has_extent)
        mni_arena_pin(&mni_client.arena, map->offset, until);
    if (map->has_user)
        mni_arena_pin_user(&mni_client.arena, map->user_offset, until);
}

static void map_free(mni_map_t *map)
{
    mni_map_t **link = &mni_client.maps;
    while (*link && *link != map)
        link = &(*link)->next;
    if (*link)
        *link = map->next;
    if (map->has_extent)
        mni_arena_give(&mni_client.arena, map->offset);
    if (map->faults)
        mn_item_errors_destroy(map->faults, map->count);
    if (map->values)
        for (uint64_t i = 0; i < map->count; i++)
            mn_value_destroy(&map->values[i]);
    free(map->faults);
    free(map->values);
    free(map->states);
    free(map->message);
    free(map);
}

void mni_map_close(mni_map_t *map)
{
    mni_reader_t reader;
    if (!map)
        return;
    if (map->sent && !map->done && mni_client.broken == 0) {
        char kept[MNI_ERROR_MAX];
        strcpy(kept, mn_error_message()); /* never longer than that */
        map->ended = true;                /* what still comes is dropped */
        mni_writer_begin(&mni_client.writer, MNI_MSG_MAP_CLOSE, map->number);
        if (mni_call_send() == 0 && mni_call_reply(map->number, false, &reader) == 1)
            pin(map, map->number); /* until MAP_GONE */
        mni_error(0, "%s", kept);
    }
    map_free(map);
}

void mni_map_close_all(void)
{
    while (mni_client.maps)
        mni_map_close(mni_client.maps);
    mni_streams_free();
}

void mni_map_drop_all(void)
{
    while (mni_client.maps)
        map_free(mni_client.maps);
    mni_streams_free();
}

void mn_item_errors_destroy(mn_item_error_t *errors, size_t count)
{
    for (size_t i = 0; errors && i < count; i++) {
        free(errors[i].message);
        errors[i] = (mn_item_error_t){0};
    }
}
