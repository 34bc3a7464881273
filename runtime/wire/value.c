/* SPDX-License-Identifier: MIT
 *
 * Values: how they are made, named and checked.
 */
#include "util/error.h"
#include "wire/wire.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} type_table[] = {
    [MN_BYTES] = {"bytes", 1},   [MN_TEXT] = {"text", 1},       [MN_INT8] = {"int8", 1},
    [MN_INT16] = {"int16", 2},   [MN_INT32] = {"int32", 4},     [MN_INT64] = {"int64", 8},
    [MN_UINT8] = {"uint8", 1},   [MN_UINT16] = {"uint16", 2},   [MN_UINT32] = {"uint32", 4},
    [MN_UINT64] = {"uint64", 8}, [MN_FLOAT32] = {"float32", 4}, [MN_FLOAT64] = {"float64", 8},
};

static bool type_known(mn_type_t type)
{
    return (unsigned)type < sizeof type_table / sizeof type_table[0];
}

size_t mn_type_size(mn_type_t type)
{
    return type_known(type) ? type_table[type].size : 0;
}

const char *mn_type_name(mn_type_t type)
{
    return type_known(type) ? type_table[type].name : "unknown";
}

mn_value_t mn_none(void)
{
    return (mn_value_t){0};
}

/* A value that mni_value_check() refuses: more dimensions than there can be. */
static mn_value_t malformed(mn_type_t type)
{
    return (mn_value_t){.type = type, .ndims = MN_MAX_DIMS + 1};
}

mn_value_t mn_tensor(mn_type_t type, const void *data, unsigned ndims, const size_t *dims)
{
    mn_value_t value = {.data = data, .size = mn_type_size(type), .type = type, .ndims = ndims};
    if (ndims < 1 || ndims > MN_MAX_DIMS || !dims || !type_known(type))
        return malformed(type);
    for (unsigned i = 0; i < ndims; i++) {
        value.dims[i] = dims[i];
        if (__builtin_mul_overflow(value.size, dims[i], &value.size))
            return malformed(type);
    }
    return value;
}

mn_value_t mn_array(mn_type_t type, const void *data, size_t count)
{
    return mn_tensor(type, data, 1, (const size_t[]){count});
}

mn_value_t mn_matrix(mn_type_t type, const void *data, size_t rows, size_t columns)
{
    return mn_tensor(type, data, 2, (const size_t[]){rows, columns});
}

mn_value_t mn_bytes(const void *data, size_t size)
{
    mn_value_t value;
    mni_value_set_bytes(&value, data, size);
    return value;
}

mn_value_t mn_text(const char *text)
{
    return text ? mn_array(MN_TEXT, text, strlen(text)) : mn_none();
}

void mn_value_destroy(mn_value_t *value)
{
    if (!value)
        return;
    free((void *)value->data);
    *value = mn_none();
}

int mni_value_check(mn_value_t value)
{
    size_t size = mn_type_size(value.type);
    if (!type_known(value.type))
        return mni_error(MN_E_INVALID, "%d is not the type of a value", (int)value.type);
    if (value.ndims > MN_MAX_DIMS)
        return mni_error(
            MN_E_INVALID,
            "a value of %u dimensions (or whose size overflows); at most %d are possible",
            value.ndims, MN_MAX_DIMS);
    if (value.ndims == 0)
        size = 0;
    for (unsigned i = 0; i < value.ndims; i++)
        if (__builtin_mul_overflow(size, value.dims[i], &size))
            return mni_error(MN_E_INVALID, "the dimensions of a value overflow");
    if (size != value.size)
        return mni_error(MN_E_INVALID, "a value of %zu bytes whose dimensions make %zu", value.size,
                         size);
    if (size > MN_MAX_VALUE)
        return mni_error(MN_E_TOO_LARGE, "a value of %zu bytes; the limit is %zu", size,
                         MN_MAX_VALUE);
    if (size > 0 && !value.data)
        return mni_error(MN_E_INVALID, "a value of %zu bytes at NULL", size);
    return 0;
}
