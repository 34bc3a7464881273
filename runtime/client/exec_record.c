/* SPDX-License-Identifier: MIT
 *
 * The input of the job "exec": a JSON object.
 *
 *     {"arguments": ["./sim", "7"], "environment": ["HOME=/home/x"], "inherit": false, "directory": "/home/x/run",
 *      "stdin": "a text"}
 *
 * A string that is no UTF-8, or has a NUL, is a value as REST has it: {"type": "bytes", "value": "<base64>"}.
 */
#include "client/exec.h"

#include "service/json.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

/* A string for a system call, to be freed. */
static int read_string(const json_t *json, const char *name, char **string)
{
    mn_value_t value = mn_none();
    int rc = json_is_null(json) ? mni_error(MN_E_INVALID, "it is null")
                                : mni_json_read_value(json, &value);

    if (rc == 0 && value.type != MN_TEXT && value.type != MN_BYTES)
        rc = mni_error(MN_E_INVALID, "it must be a string, or bytes");
    if (rc == 0 && value.size > 0 && memchr(value.data, '\0', value.size))
        rc = mni_error(MN_E_INVALID, "it has a NUL");
    if (rc == 0 && !(*string = strndup(value.size > 0 ? value.data : "", value.size)))
        rc = mni_error(MN_E_NO_MEMORY, "no memory");
    mn_value_destroy(&value);
    return rc < 0 ? mni_error_prefix(rc, "exec: %s", name) : 0;
}

static int read_strings(const json_t *json, const char *name, char ***strings)
{
    size_t count = json_array_size(json);
    int rc = 0;

    if (!json_is_array(json))
        return mni_error(MN_E_INVALID, "exec: %s must be an array of strings", name);
    if (!(*strings = calloc(count + 1, sizeof **strings)))
        return mni_error(MN_E_NO_MEMORY, "exec: no memory for %zu %s", count, name);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = read_string(json_array_get(json, i), name, &(*strings)[i]);
    return rc;
}

static int read_stdin(const json_t *json, mn_value_t *input)
{
    int rc = mni_json_read_value(json, input);
    return rc < 0 ? mni_error_prefix(rc, "exec: stdin") : 0;
}

static int read_inherit(const json_t *json, bool *inherit)
{
    *inherit = json_is_true(json);
    return json_is_boolean(json) ? 0
                                 : mni_error(MN_E_INVALID, "exec: inherit must be true or false");
}

static int read_member(const char *name, const json_t *json, mni_exec_record_t *record)
{
    if (strcmp(name, "arguments") == 0)
        return read_strings(json, name, &record->arguments);
    if (strcmp(name, "environment") == 0)
        return read_strings(json, name, &record->environment);
    if (strcmp(name, "inherit") == 0)
        return read_inherit(json, &record->inherit);
    if (strcmp(name, "directory") == 0)
        return read_string(json, name, &record->directory);
    if (strcmp(name, "stdin") == 0)
        return read_stdin(json, &record->input);
    return mni_error(MN_E_INVALID,
                     "exec: there is no member \"%.100s\"; known are arguments, environment, "
                     "inherit, directory and stdin",
                     name);
}

static int check(const mni_exec_record_t *record)
{
    if (!record->arguments || !record->arguments[0] || !record->arguments[0][0])
        return mni_error(MN_E_INVALID, "exec: no program is named: arguments is missing or empty");
    for (char **entry = record->environment; entry && *entry; entry++)
        if (!strchr(*entry, '=') || **entry == '=')
            return mni_error(MN_E_INVALID,
                             "exec: environment has \"%.100s\": it must be NAME=VALUE", *entry);
    return 0;
}

int mni_exec_record_read(mn_value_t input, mni_exec_record_t *record)
{
    json_error_t error;
    const char *name;
    json_t *value;
    int rc = 0;

    *record = (mni_exec_record_t){.arguments = NULL};
    json_t *json = json_loadb(input.size > 0 ? input.data : "", input.size,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json)
        return mni_error(MN_E_INVALID, "exec: the input is not JSON: %s (line %d, column %d)",
                         error.text, error.line, error.column);
    if (!json_is_object(json))
        rc = mni_error(MN_E_INVALID, "exec: the input must be a JSON object");
    json_object_foreach(json, name, value)
    {
        if (rc == 0)
            rc = read_member(name, value, record);
    }
    json_decref(json);
    return rc < 0 ? rc : check(record);
}

static void free_strings(char **strings)
{
    for (char **string = strings; string && *string; string++)
        free(*string);
    free(strings);
}

void mni_exec_record_fini(mni_exec_record_t *record)
{
    free_strings(record->arguments);
    free_strings(record->environment);
    free(record->directory);
    mn_value_destroy(&record->input);
    *record = (mni_exec_record_t){.arguments = NULL};
}
