/* SPDX-License-Identifier: MIT
 *
 * mn_call(), mn_map_fixed() and mn_map_values(): maps that are waited for as a whole. Outputs are
 * written at the end, when the whole call has succeeded.
 */
#include "client/call.h"
#include "client/map.h"
#include "client/task.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

static const mn_map_options_t no_options = {0};

/* What all of them check first: the index of the function's declaration, or an error. */
static int check_call(const mn_task_t *task, mn_entry_t *function)
{
    int rc = mni_task_check(task);
    return rc < 0 ? rc : mni_declaration_find_entry(function, MN_KIND_FUNCTION);
}

/* Waits for a map's end; tells the caller which item failed it. */
static int finish(mni_map_t *map, const mn_map_options_t *options)
{
    int rc = mni_map_finish(map);
    if (rc < 0 && map->ended && map->failed < map->count && options->failed)
        *options->failed = map->failed;
    return rc;
}

/* Hands over the errors of the items. */
static void give_errors(mni_map_t *map, mn_item_error_t *errors)
{
    if (!errors)
        return;
    if (map->faults)
        memcpy(errors, map->faults, map->count * sizeof *errors);
    else
        memset(errors, 0, map->count * sizeof *errors);
    free(map->faults); /* the messages are the caller's now */
    map->faults = NULL;
}

/* Copies results to the caller, but not those of items that failed: what lies there is not theirs.
 */
static void copy_results(const mni_map_t *map, void *results, size_t result_size)
{
    if (map->results == results) /* memory of mn_alloc() */
        return;
    if (!map->states) {
        memcpy(results, map->results, map->count * result_size);
        return;
    }
    for (uint64_t i = 0; i < map->count; i++)
        if (map->states[i] != MNI_ITEM_FAILED)
            memcpy((uint8_t *)results + i * result_size, map->results + i * result_size,
                   result_size);
}

static int check_fixed(const mni_fixed_t *fixed, const void *results)
{
    size_t bytes;
    if (fixed->argument_size == 0)
        return mni_error(MN_E_INVALID, "argument_size is 0; give the size of one argument");
    if (fixed->argument_size > MN_MAX_VALUE)
        return mni_error(MN_E_TOO_LARGE, "argument_size is %zu; the limit is %zu",
                         fixed->argument_size, MN_MAX_VALUE);
    if (fixed->result_size > MN_MAX_VALUE)
        return mni_error(MN_E_TOO_LARGE, "result_size is %zu; the limit is %zu", fixed->result_size,
                         MN_MAX_VALUE);
    if (fixed->count == 0)
        return 0;
    if (!fixed->arguments)
        return mni_error(MN_E_INVALID, "arguments is NULL, for %zu items", fixed->count);
    if (!results && fixed->result_size > 0)
        return mni_error(MN_E_INVALID, "results is NULL, for %zu results of %zu bytes",
                         fixed->count, fixed->result_size);
    if (__builtin_mul_overflow(fixed->count, fixed->argument_size, &bytes) ||
        __builtin_mul_overflow(fixed->count, fixed->result_size, &bytes))
        return mni_error(MN_E_TOO_LARGE,
                         "%zu items of %zu bytes with results of %zu bytes: the size overflows",
                         fixed->count, fixed->argument_size, fixed->result_size);
    return 0;
}

int mn_map_fixed(mn_task_t *task, mn_entry_t *function, const void *arguments, size_t argument_size,
                 size_t count, void *results, size_t result_size, const mn_map_options_t *options)
{
    mni_fixed_t fixed = {arguments, argument_size, count, results, result_size};
    mni_map_t *map = NULL;
    int rc, declaration = check_call(task, function);

    if (declaration < 0)
        return declaration;
    if ((rc = check_fixed(&fixed, results)) < 0)
        return rc;
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    if (!options)
        options = &no_options;
    if (count > 0) {
        rc = mni_map_begin_fixed(declaration, &fixed, options->errors != NULL, options->max_block,
                                 &map);
        if (rc == 0)
            rc = finish(map, options);
        if (rc == 0) {
            if (result_size > 0)
                copy_results(map, results, result_size);
            give_errors(map, options->errors);
        }
        mni_map_close(map);
    }
    mni_call_leave();
    return rc;
}

/* All results and errors of a map that ended well have come. */
static int check_complete(const mni_map_t *map)
{
    for (uint64_t i = 0; i < map->count; i++)
        if (map->states[i] == MNI_ITEM_OPEN)
            return mni_error(MN_E_PROTOCOL, "a map has ended without the result of item %llu",
                             (unsigned long long)i);
    return 0;
}

int mn_map_values(mn_task_t *task, mn_entry_t *function, const mn_value_t *arguments, size_t count,
                  mn_value_t *results, const mn_map_options_t *options)
{
    mni_map_t *map = NULL;
    int rc, declaration = check_call(task, function);

    if (declaration < 0)
        return declaration;
    if (count > 0 && !arguments)
        return mni_error(MN_E_INVALID, "arguments is NULL, for %zu items", count);
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    if (!options)
        options = &no_options;
    if (count > 0) {
        rc = mni_map_begin_values(declaration, arguments, count, options->errors != NULL,
                                  options->max_block, &map);
        if (rc == 0)
            rc = finish(map, options);
        if (rc == 0)
            rc = check_complete(map);
        if (rc == 0 && results) {
            memcpy(results, map->values, count * sizeof *results);
            free(map->values); /* what they point to is the caller's now */
            map->values = NULL;
        }
        if (rc == 0)
            give_errors(map, options->errors);
        mni_map_close(map);
    }
    mni_call_leave();
    return rc;
}

/* A call is a map of one item whose error is reported for itself, so that its own message comes
 * back. */
static int call_locked(int declaration, mn_value_t input, mn_value_t *result)
{
    mni_map_t *map = NULL;
    int rc = mni_map_begin_values(declaration, &input, 1, true, 0, &map);
    if (rc == 0)
        rc = mni_map_finish(map);
    if (rc == 0)
        rc = check_complete(map);
    if (rc == 0 && map->states[0] == MNI_ITEM_FAILED)
        rc = mni_error(map->faults[0].code, "%s", map->faults[0].message);
    if (rc == 0 && result) {
        *result = map->values[0];
        map->values[0] = mn_none();
    }
    mni_map_close(map);
    return rc;
}

int mn_call(mn_task_t *task, mn_entry_t *function, mn_value_t input, mn_value_t *result)
{
    int rc, declaration = check_call(task, function);
    if (declaration < 0)
        return declaration;
    if ((rc = mni_value_check(input)) < 0)
        return mni_error_prefix(rc, "the input");
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    rc = call_locked(declaration, input, result);
    mni_call_leave();
    return rc;
}
