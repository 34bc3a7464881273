/* SPDX-License-Identifier: MIT
 *
 * mn_call(), mn_map_fixed() and mn_map_values(): maps that are waited for as a whole. Outputs are
 * written at the end, when the whole call has succeeded; results of fixed size of a map that goes part by part when the
 * part has.
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
static int finish(mni_map_t *map, uint64_t base, size_t *failed)
{
    int rc = mni_map_finish(map);
    if (rc < 0 && map->ended && map->failed < map->count && failed)
        *failed = base + map->failed;
    return rc;
}

/* Hands over the errors of the items. */
static void give_errors(mni_map_t *map, mn_item_error_t *errors)
{
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
    size_t bytes, results_bytes;
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
        __builtin_mul_overflow(fixed->count, fixed->result_size, &results_bytes) ||
        bytes > MNI_MAP_LIMIT || results_bytes > MNI_MAP_LIMIT)
        return mni_error(MN_E_TOO_LARGE,
                         "%zu items of %zu bytes with results of %zu bytes; the limit is %zu bytes",
                         fixed->count, fixed->argument_size, fixed->result_size, MNI_MAP_LIMIT);
    return 0;
}

/* One part, from beginning to end. */
static int map_fixed_part(const mni_map_way_t *way, const mni_fixed_t *part,
                          mn_item_error_t *errors, size_t *failed)
{
    mni_map_t *map = NULL;
    int rc = mni_map_begin_fixed(way, part, &map);
    if (rc == 0)
        rc = finish(map, way->base, failed);
    if (rc == 0 && part->result_size > 0)
        copy_results(map, part->results, part->result_size);
    if (rc == 0 && errors)
        give_errors(map, errors);
    mni_map_close(map);
    return rc;
}

static int map_fixed_locked(mni_map_way_t *way, const mni_fixed_t *fixed, mn_item_error_t *errors,
                            size_t *failed)
{
    uint64_t most = mni_map_fixed_part(fixed);
    mni_fixed_t part = *fixed;
    int rc = 0;

    for (uint64_t at = 0; at < fixed->count && rc == 0; at += part.count) {
        way->base = at;
        part.arguments = (const uint8_t *)fixed->arguments + at * fixed->argument_size;
        part.results = fixed->results ? (uint8_t *)fixed->results + at * fixed->result_size : NULL;
        part.count = fixed->count - at < most ? fixed->count - at : most;
        rc = map_fixed_part(way, &part, errors ? errors + at : NULL, failed);
        if (rc < 0 && errors)
            mn_item_errors_destroy(errors, at);
    }
    return rc;
}

int mn_map_fixed(mn_task_t *task, mn_entry_t *function, const void *arguments, size_t argument_size,
                 size_t count, void *results, size_t result_size, const mn_map_options_t *options)
{
    mni_fixed_t fixed = {arguments, argument_size, count, results, result_size};
    int rc, declaration = check_call(task, function);

    if (declaration < 0)
        return declaration;
    if ((rc = check_fixed(&fixed, results)) < 0)
        return rc;
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    if (!options)
        options = &no_options;
    mni_map_way_t way = {.declaration = declaration,
                         .per_item = options->errors != NULL,
                         .max_block = options->max_block};
    rc = map_fixed_locked(&way, &fixed, options->errors, options->failed);
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

/* One part, from beginning to end; its outputs. */
static int map_values_part(const mni_map_way_t *way, const mn_value_t *arguments, uint64_t count,
                           mn_value_t *results, mn_item_error_t *errors, size_t *failed)
{
    mni_map_t *map = NULL;
    int rc = mni_map_begin_values(way, arguments, count, &map);
    if (rc == 0)
        rc = finish(map, way->base, failed);
    if (rc == 0)
        rc = check_complete(map);
    if (rc == 0 && results) {
        memcpy(results, map->values, count * sizeof *results);
        free(map->values); /* what they point to is the caller's now */
        map->values = NULL;
    }
    if (rc == 0 && errors)
        give_errors(map, errors);
    mni_map_close(map);
    return rc;
}

/* All parts, `first` being how many items the first one has. Their outputs are kept until all have succeeded. */
static int map_values_parts(mni_map_way_t *way, const mn_value_t *arguments, uint64_t count,
                            uint64_t first, mn_value_t *results, const mn_map_options_t *options)
{
    mn_value_t *values = results ? calloc(count, sizeof *values) : NULL;
    mn_item_error_t *errors = options->errors ? calloc(count, sizeof *errors) : NULL;
    int rc = 0;

    if ((results && !values) || (options->errors && !errors))
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the results of a map of %llu values",
                       (unsigned long long)count);
    for (uint64_t at = 0, part = first; at < count && rc == 0; at += part) {
        way->base = at;
        if (at > 0)
            part = mni_map_values_part(arguments + at, count - at);
        rc = map_values_part(way, arguments + at, part, values ? values + at : NULL,
                             errors ? errors + at : NULL, options->failed);
    }
    if (rc == 0 && values)
        memcpy(results, values, count * sizeof *values);
    else if (values)
        for (uint64_t i = 0; i < count; i++)
            mn_value_destroy(&values[i]);
    if (rc == 0 && errors)
        memcpy(options->errors, errors, count * sizeof *errors);
    else
        mn_item_errors_destroy(errors, count);
    free(values);
    free(errors);
    return rc;
}

int mn_map_values(mn_task_t *task, mn_entry_t *function, const mn_value_t *arguments, size_t count,
                  mn_value_t *results, const mn_map_options_t *options)
{
    int rc, declaration = check_call(task, function);

    if (declaration < 0)
        return declaration;
    if (count > 0 && !arguments)
        return mni_error(MN_E_INVALID, "arguments is NULL, for %zu items", count);
    if ((rc = mni_map_check_function(declaration)) < 0 ||
        (rc = mni_map_check_values(arguments, count)) < 0)
        return rc;
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    if (!options)
        options = &no_options;
    mni_map_way_t way = {.declaration = declaration,
                         .per_item = options->errors != NULL,
                         .max_block = options->max_block};
    if (count > 0) {
        uint64_t part = mni_map_values_part(arguments, count);
        rc = part == count ? map_values_part(&way, arguments, count, results, options->errors,
                                             options->failed)
                           : map_values_parts(&way, arguments, count, part, results, options);
    }
    mni_call_leave();
    return rc;
}

/* A call is a map of one item whose error is reported for itself, so that its own message comes
 * back. */
static int call_locked(int declaration, mn_value_t input, mn_value_t *result)
{
    mni_map_t *map = NULL;
    mni_map_way_t way = {.declaration = declaration, .per_item = true};
    int rc = mni_map_begin_values(&way, &input, 1, &map);
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
    if ((rc = mni_map_check_function(declaration)) < 0)
        return rc;
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    rc = call_locked(declaration, input, result);
    mni_call_leave();
    return rc;
}
