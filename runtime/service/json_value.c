/* SPDX-License-Identifier: MIT
 *
 * Values from JSON.
 */
#include "service/json.h"

#include "util/error.h"
#include "wire/wire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool mni_json_type(const char *name, mn_type_t *type)
{
    for (int i = MN_BYTES; i <= MN_FLOAT64; i++) {
        if (strcmp(mn_type_name((mn_type_t)i), name) == 0) {
            *type = (mn_type_t)i;
            return true;
        }
    }
    return false;
}

/* --- numbers ---------------------------------------------------------------------------------------------------------- */

static bool read_float(const json_t *json, double *number)
{
    const char *text = json_string_value(json);

    if (json_is_number(json))
        *number = json_number_value(json);
    else if (text && strcmp(text, "nan") == 0)
        *number = (double)NAN;
    else if (text && (strcmp(text, "inf") == 0 || strcmp(text, "-inf") == 0))
        *number = text[0] == '-' ? -(double)INFINITY : (double)INFINITY;
    else
        return false;
    return true;
}

/* jansson has no integers above INT64_MAX. */
static bool read_integer(const json_t *json, mn_type_t type, char *at)
{
    static const struct {
        int64_t least, most;
    } range[] = {
        [MN_INT8] = {INT8_MIN, INT8_MAX},    [MN_INT16] = {INT16_MIN, INT16_MAX},
        [MN_INT32] = {INT32_MIN, INT32_MAX}, [MN_INT64] = {INT64_MIN, INT64_MAX},
        [MN_UINT8] = {0, UINT8_MAX},         [MN_UINT16] = {0, UINT16_MAX},
        [MN_UINT32] = {0, UINT32_MAX},       [MN_UINT64] = {0, INT64_MAX},
    };
    int64_t number = json_integer_value(json);

    if (!json_is_integer(json) || number < range[type].least || number > range[type].most)
        return false;
    uint8_t byte = (uint8_t)number;
    uint16_t half = (uint16_t)number;
    uint32_t word = (uint32_t)number;
    switch (mn_type_size(type)) {
    case 1:
        memcpy(at, &byte, sizeof byte);
        break;
    case 2:
        memcpy(at, &half, sizeof half);
        break;
    case 4:
        memcpy(at, &word, sizeof word);
        break;
    default:
        memcpy(at, &number, sizeof number);
        break;
    }
    return true;
}

static bool read_number(const json_t *json, mn_type_t type, char *at)
{
    double number;

    if (type != MN_FLOAT32 && type != MN_FLOAT64)
        return read_integer(json, type, at);
    if (!read_float(json, &number))
        return false;
    float half = (float)number;
    if (type == MN_FLOAT64)
        memcpy(at, &number, sizeof number);
    else
        memcpy(at, &half, sizeof half);
    return true;
}

/* Nested arrays of the dimensions that `value` has. */
static int read_numbers(const json_t *json, const mn_value_t *value, unsigned depth, char **at)
{
    size_t index;
    const json_t *item;

    if (!json_is_array(json) || json_array_size(json) != value->dims[depth])
        return mni_error(MN_E_INVALID,
                         "\"value\" must be nested arrays with as many numbers as \"dims\" says");
    json_array_foreach(json, index, item)
    {
        int rc = 0;
        if (depth + 1 < value->ndims)
            rc = read_numbers(item, value, depth + 1, at);
        else if (!read_number(item, value->type, *at))
            rc = mni_error(MN_E_INVALID, "number %zu of \"value\" is not one of type %s", index,
                           mn_type_name(value->type));
        else
            *at += mn_type_size(value->type);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The dimensions: as said, else the length of the outer array. */
static int read_dims(const json_t *json, mn_type_t type, mn_value_t *value)
{
    const json_t *dims = json_object_get(json, "dims");
    size_t counts[MN_MAX_DIMS] = {json_array_size(json_object_get(json, "value"))};
    unsigned ndims = 1;

    if (dims) {
        ndims = json_is_array(dims) && json_array_size(dims) <= MN_MAX_DIMS
                    ? (unsigned)json_array_size(dims)
                    : 0;
        for (unsigned i = 0; i < ndims; i++) {
            const json_t *count = json_array_get(dims, i);
            if (!json_is_integer(count) || json_integer_value(count) < 0)
                ndims = 0;
            else
                counts[i] = (size_t)json_integer_value(count);
        }
        if (ndims == 0)
            return mni_error(MN_E_INVALID, "\"dims\" must be an array of 1 to %d counts",
                             MN_MAX_DIMS);
    }
    *value = mn_tensor(type, "", ndims, counts);
    return mni_value_check(*value);
}

static int read_array(const json_t *json, mn_type_t type, mn_value_t *value)
{
    mn_value_t found;
    int rc = read_dims(json, type, &found);

    if (rc < 0)
        return rc;
    /* No more memory than there are numbers in the text. */
    size_t count = found.size / mn_type_size(type), outer = found.dims[0];
    if (count > 0 && (outer == 0 || !json_object_get(json, "value")))
        return mni_error(MN_E_INVALID, "\"value\" is missing");
    char *bytes = calloc(count + 1, mn_type_size(type)), *at = bytes;
    if (!bytes)
        return mni_error(MN_E_NO_MEMORY, "no memory for a value of %zu bytes", found.size);
    if ((rc = read_numbers(json_object_get(json, "value"), &found, 0, &at)) < 0) {
        free(bytes);
        return rc;
    }
    found.data = bytes;
    *value = found;
    return 0;
}

/* --- bytes and text ------------------------------------------------------------------------------------------------------ */

static int sextet(char digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = digit ? strchr(digits, digit) : NULL;
    return at ? (int)(at - digits) : -1;
}

static int read_base64(const char *text, size_t length, mn_value_t *value)
{
    unsigned char *bytes = malloc(length / 4 * 3 + 1);
    size_t size = 0, end = length;

    if (!bytes)
        return mni_error(MN_E_NO_MEMORY, "no memory for a value");
    while (end > 0 && end + 2 > length && text[end - 1] == '=')
        end--;
    uint32_t group = 0;
    bool good = length % 4 == 0;
    for (size_t i = 0; i < end && good; i++) {
        int digit = sextet(text[i]);
        good = digit >= 0;
        group = group << 6 | (uint32_t)(digit & 63);
        if (i % 4 == 1)
            bytes[size++] = (unsigned char)(group >> 4);
        else if (i % 4 == 2)
            bytes[size++] = (unsigned char)(group >> 2);
        else if (i % 4 == 3)
            bytes[size++] = (unsigned char)group;
    }
    if (!good) {
        free(bytes);
        return mni_error(MN_E_INVALID, "\"value\" of type bytes must be base64");
    }
    *value = mn_bytes(bytes, size);
    return 0;
}

static int read_text(const json_t *json, mn_value_t *value)
{
    size_t size = json_string_length(json);
    char *copy = malloc(size + 1);

    if (!copy)
        return mni_error(MN_E_NO_MEMORY, "no memory for a text of %zu bytes", size);
    memcpy(copy, json_string_value(json), size);
    *value = mn_array(MN_TEXT, copy, size);
    return 0;
}

int mni_json_read_value(const json_t *json, mn_value_t *value)
{
    const char *name = json_string_value(json_object_get(json, "type"));
    const json_t *contents = json_object_get(json, "value");
    mn_type_t type;

    if (!json || json_is_null(json)) {
        *value = mn_none();
        return 0;
    }
    if (json_is_string(json))
        return read_text(json, value);
    if (!name || !mni_json_type(name, &type))
        return mni_error(
            MN_E_INVALID,
            "must be a string, null, or {\"type\": ..., \"dims\": [...], \"value\": ...} "
            "with the type bytes, text, int8 ... uint64, float32 or float64");
    if (type != MN_TEXT && type != MN_BYTES)
        return read_array(json, type, value);
    if (!json_is_string(contents))
        return mni_error(MN_E_INVALID, "\"value\" of type %s must be a string", name);
    return type == MN_TEXT
               ? read_text(contents, value)
               : read_base64(json_string_value(contents), json_string_length(contents), value);
}
