/* SPDX-License-Identifier: MIT
 *
 * Jobs and values as JSON. The members are those of mn_info_t and of the store's table: the same from every verb and door. What
 * does not apply is null, so that every member is always there.
 */
#include "service/json.h"

#include "util/error.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- texts ---------------------------------------------------- */

/* Bytes of the UTF-8 character at a place; 0: there is none. */
static size_t character(const unsigned char *at, size_t left)
{
    size_t size = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;

    if (size == 0 || at[0] > 0xf4 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    /* too long a form, a surrogate, beyond the last one */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return size;
}

bool mni_json_is_text(const char *text, size_t size)
{
    while (size > 0) {
        size_t bytes = character((const unsigned char *)text, size);
        if (bytes == 0)
            return false;
        text += bytes;
        size -= bytes;
    }
    return true;
}

json_t *mni_json_text(const char *text, size_t size)
{
    json_t *json;
    char *mended = NULL;
    size_t used = 0, room = 0;

    if (text == NULL)
        return json_null();
    if ((json = json_stringn(text, size)) != NULL)
        return json;
    FILE *to = open_memstream(&mended, &room);
    while (to != NULL && used < size) {
        size_t bytes = character((const unsigned char *)text + used, size - used);
        if (bytes > 0)
            fwrite(text + used, 1, bytes, to);
        else
            fputs("\357\277\275", to); /* U+FFFD */
        used += bytes > 0 ? bytes : 1;
    }
    if (to != NULL && fclose(to) == 0)
        json = json_stringn(mended, room);
    free(mended);
    return json;
}

static json_t *word(const char *text)
{
    return mni_json_text(text, text == NULL ? 0 : strlen(text));
}

/* --- numbers ---------------------------------------------------- */

/* Times that have not come, limits that are none. */
static json_t *point(double seconds)
{
    return seconds > 0 && isfinite(seconds) ? json_real(seconds) : json_null();
}

static json_t *limit(double seconds)
{
    return isfinite(seconds) ? json_real(seconds) : json_null();
}

static json_t *count(uint32_t number)
{
    return number == UINT32_MAX ? json_null() : json_integer(number);
}

/* --- jobs ---------------------------------------------------- */

static json_t *job_object(const mn_info_t *info, const mni_need_t *need)
{
    char id[MN_ID_TEXT];
    json_t *json = json_object();
    int rc = 0;

    if (json == NULL)
        return NULL;
#define PUT(name, value) rc |= json_object_set_new_nocheck(json, name, value)
    PUT("id", json_string(mn_id_format(info->id, id)));
    PUT("job", word(info->job));
    PUT("status", json_string(mn_status_name(info->status)));
    PUT("reason", json_string(mn_reason_name(info->reason)));
    PUT("error", word(info->error));
    PUT("attempts", json_integer(info->attempts));
    PUT("lock", word(info->lock));
    PUT("tag", word(info->tag));
    PUT("key", word(info->key));
    PUT("created", point(info->created));
    PUT("started", point(info->started));
    PUT("ended", point(info->ended));
    PUT("progress", limit(info->progress));
    PUT("message", word(info->message));
    PUT("yields", json_integer((json_int_t)info->yields));
    PUT("host", word(info->host));
    PUT("rank", info->rank < 0 ? json_null() : json_integer(info->rank));
    PUT("cpus", word(info->cpus));
    PUT("cpu_time", json_real(info->cpu_time));
    PUT("peak_memory", json_integer((json_int_t)info->peak_memory));
    if (need) {
        PUT("cpu", json_real(need->millicores / 1000.0));
        PUT("memory", json_integer((json_int_t)need->memory));
        PUT("gpus", json_integer(need->gpus));
        PUT("priority", json_integer(need->priority));
        PUT("timeout", limit(need->timeout));
        PUT("grace", limit(need->grace));
        PUT("max_concurrency", count(need->max_concurrency));
        PUT("max_retries", count(need->max_retries));
        PUT("max_lost", count(need->max_lost));
    }
#undef PUT
    if (rc != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

int mni_json_print_job(FILE *to, const mn_info_t *info, const mni_need_t *need)
{
    json_t *json = job_object(info, need);
    int rc = json == NULL ? MN_E_NO_MEMORY : 0;

    /* 16 digits: microseconds of a time, and 0.1 is 0.1 */
    json_dumpf(json, to, JSON_EMBED | JSON_COMPACT | JSON_REAL_PRECISION(16));
    json_decref(json);
    return rc;
}

/* --- values ---------------------------------------------------- */

static void print_base64(FILE *to, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned group = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        fputc(digits[group >> 18], to);
        fputc(digits[group >> 12 & 63], to);
        fputc(left > 1 ? digits[group >> 6 & 63] : '=', to);
        fputc(left > 2 ? digits[group & 63] : '=', to);
    }
}

/* The shortest form that reads back as the same number. */
static void show_float(double number, bool is_double, char *text, size_t size)
{
    for (int digits = is_double ? 15 : 6; digits <= (is_double ? 17 : 9); digits++) {
        snprintf(text, size, "%.*g", digits, number);
        if (is_double ? strtod(text, NULL) == number : strtof(text, NULL) == (float)number)
            return;
    }
}

char *mni_json_number(const mn_value_t *value, size_t index, char *text, size_t size)
{
    const char *at = (const char *)value->data + index * mn_type_size(value->type);

#define SHOW(type, format)                        \
    {                                             \
        type number;                              \
        memcpy(&number, at, sizeof number);       \
        snprintf(text, size, "%" format, number); \
        break;                                    \
    }
    switch (value->type) {
    case MN_INT8:
        SHOW(int8_t, PRId8)
    case MN_INT16:
        SHOW(int16_t, PRId16)
    case MN_INT32:
        SHOW(int32_t, PRId32)
    case MN_INT64:
        SHOW(int64_t, PRId64)
    case MN_UINT16:
        SHOW(uint16_t, PRIu16)
    case MN_UINT32:
        SHOW(uint32_t, PRIu32)
    case MN_UINT64:
        SHOW(uint64_t, PRIu64)
    case MN_FLOAT32: {
        float number;
        memcpy(&number, at, sizeof number);
        show_float((double)number, false, text, size);
        break;
    }
    case MN_FLOAT64: {
        double number;
        memcpy(&number, at, sizeof number);
        show_float(number, true, text, size);
        break;
    }
    default:
        SHOW(uint8_t, PRIu8)
    }
#undef SHOW
    return text;
}

/* JSON has no infinities: they are strings. */
static void print_number(FILE *to, const mn_value_t *value, size_t index)
{
    char text[64];

    mni_json_number(value, index, text, sizeof text);
    fprintf(to, strpbrk(text, "ni") ? "\"%s\"" : "%s", text);
}

/* Nested arrays, the first dimension outermost. */
static void print_numbers(FILE *to, const mn_value_t *value, unsigned depth, size_t *index)
{
    fputc('[', to);
    for (size_t i = 0; i < value->dims[depth] && !ferror(to); i++) {
        if (i > 0)
            fputc(',', to);
        if (depth + 1 < value->ndims)
            print_numbers(to, value, depth + 1, index);
        else
            print_number(to, value, (*index)++);
    }
    fputc(']', to);
}

static int print_contents(FILE *to, const mn_value_t *value)
{
    size_t index = 0;

    if (value->type == MN_TEXT) {
        json_t *text = mni_json_text(value->size > 0 ? value->data : "", value->size);
        int rc = text == NULL ? MN_E_NO_MEMORY : 0;
        json_dumpf(text, to, JSON_ENCODE_ANY);
        json_decref(text);
        return rc;
    }
    if (value->type == MN_BYTES) {
        fputc('"', to);
        print_base64(to, value->data, value->size);
        fputc('"', to);
    } else {
        print_numbers(to, value, 0, &index);
    }
    return 0;
}

int mni_json_print_value(FILE *to, const mn_value_t *value, size_t most)
{
    if (value->ndims == 0) {
        fputs("null", to);
        return 0;
    }
    fprintf(to, "{\"type\":\"%s\",\"dims\":[", mn_type_name(value->type));
    for (unsigned i = 0; i < value->ndims; i++)
        fprintf(to, "%s%zu", i > 0 ? "," : "", value->dims[i]);
    fprintf(to, "],\"size\":%zu,\"value\":", value->size);
    int rc = 0;
    if (value->size > most || (value->size > 0 && value->data == NULL))
        fputs("null", to);
    else
        rc = print_contents(to, value);
    fputc('}', to);
    return rc;
}
