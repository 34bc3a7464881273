/* SPDX-License-Identifier: MIT
 *
 * Maps whose results are taken one by one, in argument order. A large one goes part by part: the next part begins when
 * the results of the one before have been taken.
 */
#include "client/call.h"
#include "client/map.h"
#include "client/task.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

struct mn_map_stream {
    struct mn_map_stream *next; /* among the client's open streams */
    mni_map_t *map;             /* the present part; NULL: it could not begin, or there is none */
    mni_map_way_t way;
    const mn_value_t *arguments;
    uint64_t count, at;      /* of all items; the one that is given next */
    mn_item_error_t *errors; /* the caller's, or NULL */
};

/* Begins the part whose first item is given next. */
static int begin_part(mn_map_stream_t *stream)
{
    const mn_value_t *arguments = stream->arguments + stream->at;
    uint64_t count = stream->count - stream->at;
    mni_map_close(stream->map);
    stream->map = NULL;
    stream->way.base = stream->at;
    return mni_map_begin_values(&stream->way, arguments, mni_map_values_part(arguments, count),
                                &stream->map);
}

static int open_locked(const mni_map_way_t *way, const mn_value_t *arguments, uint64_t count,
                       mn_item_error_t *errors, mn_map_stream_t **stream)
{
    mn_map_stream_t *made = malloc(sizeof *made);
    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for a map");
    *made =
        (mn_map_stream_t){.way = *way, .arguments = arguments, .count = count, .errors = errors};
    int rc = count > 0 ? begin_part(made) : 0;
    if (rc < 0) {
        free(made);
        return rc;
    }
    if (errors)
        memset(errors, 0, count * sizeof *errors);
    made->next = mni_client.streams;
    mni_client.streams = made;
    *stream = made;
    return 0;
}

int mn_map_open(mn_task_t *task, mn_entry_t *function, const mn_value_t *arguments, size_t count,
                const mn_map_options_t *options, mn_map_stream_t **stream)
{
    int rc = mni_task_check(task), declaration;

    if (rc < 0)
        return rc;
    if ((declaration = mni_declaration_find_entry(function, MN_KIND_FUNCTION)) < 0)
        return declaration;
    if (!stream)
        return mni_error(MN_E_INVALID, "no place for the stream was given (NULL)");
    if (count > 0 && !arguments)
        return mni_error(MN_E_INVALID, "arguments is NULL, for %zu items", count);
    if ((rc = mni_map_check_function(declaration)) < 0 ||
        (rc = mni_map_check_values(arguments, count)) < 0)
        return rc;
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    mni_map_way_t way = {.declaration = declaration,
                         .per_item = true,
                         .max_block = options ? options->max_block : 0};
    rc = open_locked(&way, arguments, count, options ? options->errors : NULL, stream);
    mni_call_leave();
    return rc;
}

/* The link to a stream that is open; NULL for closed ones (and what is none at all), which are not looked at. */
static mn_map_stream_t **find(const mn_map_stream_t *stream)
{
    mn_map_stream_t **link = &mni_client.streams;
    while (*link && *link != stream)
        link = &(*link)->next;
    return *link ? link : NULL;
}

/* Gives out item `in` of the present part, which is ready or has failed. */
static int give_item(mn_map_stream_t *stream, uint64_t in, mn_value_t *result)
{
    mni_map_t *map = stream->map;
    uint64_t at = stream->at++;
    bool failed = map->states[in] == MNI_ITEM_FAILED;
    map->states[in] = MNI_ITEM_TAKEN;
    if (!failed) {
        *result = map->values[in];
        map->values[in] = mn_none();
        return 0;
    }
    mn_item_error_t fault = map->faults[in];
    int rc = mni_error(fault.code, "%s", fault.message);
    if (stream->errors) {
        stream->errors[at] = fault; /* with the message */
        map->faults[in] = (mn_item_error_t){0};
    }
    return rc;
}

static int next_locked(mn_map_stream_t *stream, mn_value_t *result)
{
    mni_reader_t reader;
    int rc = 0;

    if (stream->at >= stream->count)
        return mni_error(MN_E_END, "all %llu results have been taken",
                         (unsigned long long)stream->count);
    if ((rc = mni_call_stopped()) == 0 &&
        (!stream->map || stream->at >= stream->way.base + stream->map->count))
        rc = begin_part(stream);
    if (!stream->map) {
        stream->at++; /* this item is lost; going on shall come to an end */
        return rc;
    }
    mni_map_t *map = stream->map;
    uint64_t in = stream->at - stream->way.base;
    while (rc == 0 && map->states[in] == MNI_ITEM_OPEN && !map->ended)
        rc = mni_call_step(true, &reader);
    if (rc == 0 && map->states[in] != MNI_ITEM_OPEN)
        return give_item(stream, in, result);
    if (rc == 0 && map->code == 0)
        rc = mni_error(MN_E_PROTOCOL, "a map has ended without the result of item %llu",
                       (unsigned long long)stream->at);
    else if (rc == 0)
        rc = mni_error(map->code, "%s", map->message ? map->message : mn_strerror(map->code));
    stream->at++;
    return rc;
}

int mn_map_next(mn_map_stream_t *stream, mn_value_t *result)
{
    int rc;
    if (!stream)
        return mni_error(MN_E_INVALID, "no stream was given (NULL)");
    if (!result)
        return mni_error(MN_E_INVALID, "no place for the result was given (NULL)");
    if ((rc = mni_call_enter(MNI_CALL_LAST)) < 0)
        return rc;
    rc = find(stream) ? next_locked(stream, result)
                      : mni_error(MN_E_INVALID,
                                  "that stream is not open; it ends with mn_map_close() and with "
                                  "the task that opened it");
    mni_call_leave();
    return rc;
}

void mn_map_close(mn_map_stream_t *stream)
{
    if (!stream || mni_call_enter(MNI_CALL_LAST) < 0)
        return;
    mn_map_stream_t **link = find(stream);
    if (link) {
        *link = stream->next;
        mni_map_close(stream->map);
        free(stream);
    }
    mni_call_leave();
}

void mni_streams_free(void)
{
    while (mni_client.streams) {
        mn_map_stream_t *stream = mni_client.streams;
        mni_client.streams = stream->next;
        free(stream);
    }
}
