/* SPDX-License-Identifier: MIT
 *
 * Maps whose results are taken one by one, in argument order.
 */
#include "client/call.h"
#include "client/map.h"
#include "client/task.h"
#include "util/error.h"

#include <string.h>

int mn_map_open(mn_task_t *task, mn_entry_t *function, const mn_value_t *arguments, size_t count,
                const mn_map_options_t *options, mn_map_stream_t **stream)
{
    mni_map_t *map = NULL;
    int rc = mni_task_check(task), declaration;

    if (rc < 0)
        return rc;
    if ((declaration = mni_declaration_find_entry(function, MN_KIND_FUNCTION)) < 0)
        return declaration;
    if (!stream)
        return mni_error(MN_E_INVALID, "no place for the stream was given (NULL)");
    if (count > 0 && !arguments)
        return mni_error(MN_E_INVALID, "arguments is NULL, for %zu items", count);
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    rc = mni_map_begin_values(declaration, arguments, count, true, options ? options->max_block : 0,
                              &map);
    if (rc == 0) {
        map->errors = options ? options->errors : NULL;
        if (map->errors)
            memset(map->errors, 0, count * sizeof *map->errors);
        *stream = map;
    }
    mni_call_leave();
    return rc;
}

/* Whether this is a stream that is open: closed ones (and what is none at all) are not looked at.
 */
static bool is_open(const mn_map_stream_t *stream)
{
    const mni_map_t *map = mni_client.maps;
    while (map && map != stream)
        map = map->next;
    return map != NULL;
}

/* Gives out the item that is next, which is ready or has failed. */
static int give_item(mni_map_t *map, mn_value_t *result)
{
    uint64_t at = map->at++;
    bool failed = map->states[at] == MNI_ITEM_FAILED;
    map->states[at] = MNI_ITEM_TAKEN;
    if (!failed) {
        *result = map->values[at];
        map->values[at] = mn_none();
        return 0;
    }
    mn_item_error_t fault = map->faults[at];
    int rc = mni_error(fault.code, "%s", fault.message);
    if (map->errors) {
        map->errors[at] = fault; /* with the message */
        map->faults[at] = (mn_item_error_t){0};
    }
    return rc;
}

static int next_locked(mni_map_t *map, mn_value_t *result)
{
    mni_reader_t reader;
    int rc = 0;

    if (map->at >= map->count)
        return mni_error(MN_E_END, "all %llu results have been taken",
                         (unsigned long long)map->count);
    rc = mni_call_stopped();
    while (rc == 0 && map->states[map->at] == MNI_ITEM_OPEN && !map->ended)
        rc = mni_call_step(true, &reader);
    if (rc == 0 && map->states[map->at] != MNI_ITEM_OPEN)
        return give_item(map, result);
    if (rc == 0 && map->code == 0)
        rc = mni_error(MN_E_PROTOCOL, "a map has ended without the result of item %llu",
                       (unsigned long long)map->at);
    else if (rc == 0)
        rc = mni_error(map->code, "%s", map->message ? map->message : mn_strerror(map->code));
    /* This item is lost; going on shall come to an end. */
    map->at++;
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
    rc = is_open(stream)
             ? next_locked(stream, result)
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
    if (is_open(stream))
        mni_map_close(stream);
    mni_call_leave();
}
