/* SPDX-License-Identifier: MIT
 *
 * POST /v1/jobs: either all of it as a JSON object, or the input as the body, as it is, and the rest in the query.
 */
#include "service/internal.h"

#include "core/declare.h"
#include "util/error.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SHARED(names, i) ((i) < sizeof(names) / sizeof(names)[0])

/* An error about a field. */
static int wrong(mni_exchange_t *exchange, const char *field, int code)
{
    exchange->field = field;
    return code < 0 ? mni_error_prefix(code, "%s", field) : code;
}

/* What is asked for must be right each for itself: so it is known which field is not. */
static int check_need(mni_exchange_t *exchange, const mni_msg_start_t *start, uint32_t index)
{
    const struct {
        const char *name;
        double cpu;
        const char *memory;
        uint32_t gpus;
        double timeout, grace;
        int32_t priority;
    } fields[] = {{.name = "cpu", .cpu = start->cpu},
                  {.name = "memory", .memory = start->memory},
                  {.name = "gpus", .gpus = start->gpus},
                  {.name = "timeout", .timeout = start->timeout},
                  {.name = "grace", .grace = start->grace},
                  {.name = "priority", .priority = start->priority}};

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        mni_need_t need = mni_declaration_get(index)->need;
        int rc =
            mni_need_override(start->job, &need, fields[i].cpu, fields[i].memory, fields[i].gpus,
                              fields[i].timeout, fields[i].grace, fields[i].priority);
        if (rc < 0) {
            exchange->field = fields[i].name;
            return rc;
        }
    }
    return 0;
}

static int check_start(mni_exchange_t *exchange, const mni_msg_start_t *start)
{
    int rc, index;

    exchange->field = "job";
    if (!start->job || !start->job[0])
        return mni_error(MN_E_INVALID, "the name of the job function is missing");
    if ((index = mni_declaration_find(start->job, MN_KIND_JOB)) < 0)
        return index;
    exchange->field = "lock";
    if ((rc = mni_label_check("lock", start->lock)) < 0)
        return rc;
    exchange->field = "tag";
    if ((rc = mni_label_check("tag", start->tag)) < 0)
        return rc;
    exchange->field = "key";
    if ((rc = mni_label_check("key", start->key)) < 0)
        return rc;
    exchange->field = NULL;
    return check_need(exchange, start, (uint32_t)index);
}

static int send_start(mni_exchange_t *exchange, const mni_msg_start_t *start)
{
    int rc = check_start(exchange, start);

    if (rc < 0)
        return rc;
    mni_writer_begin(&exchange->frame, MNI_MSG_START, 0);
    mni_put_start(&exchange->frame, start);
    return 0;
}

/* --- as JSON ------------------------------------------------------------------------------------------------------------ */

static int take_text(mni_exchange_t *exchange, const json_t *json, const char *name,
                     const char **text)
{
    const json_t *value = json_object_get(json, name);

    *text = NULL;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return wrong(exchange, name, mni_error(MN_E_INVALID, "must be a string without NUL"));
    *text = json_string_value(value);
    return 0;
}

static int take_number(mni_exchange_t *exchange, const json_t *json, const char *name,
                       double *number)
{
    const json_t *value = json_object_get(json, name);

    *number = 0;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_number(value))
        return wrong(exchange, name, mni_error(MN_E_INVALID, "must be a number"));
    *number = json_number_value(value);
    return 0;
}

/* 0 stands for what is declared in the messages; nobody is to mean it. */
static int take_cpu(mni_exchange_t *exchange, const json_t *json, double *cpu)
{
    int rc = take_number(exchange, json, "cpu", cpu);
    if (rc == 0 && *cpu == 0 && json_is_number(json_object_get(json, "cpu")))
        return wrong(exchange, "cpu",
                     mni_error(MN_E_INVALID, "must be more than 0; leave it out for the declared "
                                             "number of cores"));
    return rc;
}

static int take_priority(mni_exchange_t *exchange, double number, int32_t *priority)
{
    if (number != trunc(number) || fabs(number) > 1e9)
        return wrong(exchange, "priority", mni_error(MN_E_INVALID, "must be a whole number"));
    *priority = (int32_t)number;
    return 0;
}

/* A count; 0 stands for what is declared. */
static int take_count(mni_exchange_t *exchange, const char *name, double number, uint32_t *count)
{
    if (number != trunc(number) || !(number >= 0 && number <= 1e9))
        return wrong(exchange, name,
                     mni_error(MN_E_INVALID, "must be a whole number, from 0 to 1e9"));
    *count = (uint32_t)number;
    return 0;
}

static int check_names(mni_exchange_t *exchange, json_t *json)
{
    static const char *const known[] = {"job", "input",       "inputs",  "lock",  "tag",
                                        "key", "memory",      "timeout", "grace", "priority",
                                        "cpu", "max_retries", "gpus"};
    const char *name;
    json_t *value;

    json_object_foreach(json, name, value)
    {
        size_t i = 0;
        while (SHARED(known, i) && strcmp(known[i], name) != 0)
            i++;
        if (!SHARED(known, i))
            return mni_error(
                MN_E_INVALID,
                "there is no member \"%.100s\"; known are job, input, inputs, lock, "
                "tag, key, cpu, memory, gpus, timeout, grace, priority and max_retries",
                name);
    }
    (void)exchange;
    return 0;
}

/* A job for each of `inputs`. */
static int send_many(mni_exchange_t *exchange, const json_t *json, const mni_msg_start_t *start)
{
    const json_t *inputs = json_object_get(json, "inputs");
    size_t count = json_array_size(inputs);
    int rc = check_start(exchange, start);

    if (rc < 0)
        return rc;
    if (json_object_get(json, "input") || start->lock || start->key)
        return mni_error(MN_E_INVALID, "many jobs cannot share an input, a lock or a key");
    if (!json_is_array(inputs) || count == 0 || count > MNI_MANY_MOST)
        return wrong(exchange, "inputs",
                     mni_error(MN_E_INVALID, "must be an array of 1 to %u values", MNI_MANY_MOST));
    exchange->many = true;
    mni_writer_begin(&exchange->frame, MNI_MSG_START_MANY, 0);
    mni_put_start(&exchange->frame, start);
    mni_put_u32(&exchange->frame, (uint32_t)count);
    for (size_t i = 0; i < count && rc == 0; i++) {
        mn_value_t input = mn_none();
        rc = mni_json_read_value(json_array_get(inputs, i), &input);
        if (rc == 0)
            mni_put_value(&exchange->frame, input);
        mn_value_destroy(&input);
    }
    return rc < 0 ? wrong(exchange, "inputs", rc) : 0;
}

static int begin_object(mni_exchange_t *exchange, json_t *json)
{
    mni_msg_start_t start = {.job = NULL};
    mn_value_t input = mn_none();
    double priority, retries, gpus;
    int rc;

    if (!json_is_object(json))
        return mni_error(MN_E_INVALID, "the body must be a JSON object");
    if ((rc = check_names(exchange, json)) < 0 ||
        (rc = take_text(exchange, json, "job", &start.job)) < 0 ||
        (rc = take_text(exchange, json, "lock", &start.lock)) < 0 ||
        (rc = take_text(exchange, json, "tag", &start.tag)) < 0 ||
        (rc = take_text(exchange, json, "key", &start.key)) < 0 ||
        (rc = take_text(exchange, json, "memory", &start.memory)) < 0 ||
        (rc = take_cpu(exchange, json, &start.cpu)) < 0 ||
        (rc = take_number(exchange, json, "timeout", &start.timeout)) < 0 ||
        (rc = take_number(exchange, json, "grace", &start.grace)) < 0 ||
        (rc = take_number(exchange, json, "priority", &priority)) < 0 ||
        (rc = take_priority(exchange, priority, &start.priority)) < 0 ||
        (rc = take_number(exchange, json, "max_retries", &retries)) < 0 ||
        (rc = take_count(exchange, "max_retries", retries, &start.max_retries)) < 0 ||
        (rc = take_number(exchange, json, "gpus", &gpus)) < 0 ||
        (rc = take_count(exchange, "gpus", gpus, &start.gpus)) < 0)
        return rc;
    if (json_object_get(json, "inputs"))
        return send_many(exchange, json, &start);
    if ((rc = mni_json_read_value(json_object_get(json, "input"), &input)) < 0)
        return wrong(exchange, "input", rc);
    start.input = input;
    rc = send_start(exchange, &start);
    mn_value_destroy(&input);
    return rc;
}

int mni_start_read_json(mni_exchange_t *exchange)
{
    json_error_t error;
    json_t *json = json_loadb(exchange->body ? exchange->body : "", exchange->body_size,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    int rc;

    if (!json)
        return mni_error(MN_E_INVALID, "the body is not JSON: %s (line %d, column %d)", error.text,
                         error.line, error.column);
    rc = begin_object(exchange, json);
    json_decref(json);
    return rc;
}

/* --- as it is -------------------------------------------------------------------------------------------------------------- */

static const char *header(const mni_exchange_t *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

/* "3,4". False: it is none. */
static bool read_dims(const char *text, unsigned *ndims, size_t dims[MN_MAX_DIMS])
{
    char *end = NULL;

    for (*ndims = 0; *ndims < MN_MAX_DIMS; text = end + 1) {
        if (*text < '0' || *text > '9')
            return false;
        errno = 0;
        dims[(*ndims)++] = strtoull(text, &end, 10);
        if (errno != 0)
            return false;
        if (*end == '\0')
            return true;
        if (*end != ',')
            return false;
    }
    return false;
}

static int read_input(mni_exchange_t *exchange, mn_value_t *value)
{
    const char *type_name = header(exchange, "Multinode-Type"),
               *dims_text = header(exchange, "Multinode-Dims"),
               *content = header(exchange, MHD_HTTP_HEADER_CONTENT_TYPE);
    mn_type_t type = content && strncasecmp(content, "text/", 5) == 0 ? MN_TEXT : MN_BYTES;
    size_t dims[MN_MAX_DIMS], size = exchange->body_size;
    unsigned ndims = 1;

    *value = mn_none();
    if (!exchange->body && !type_name)
        return 0;
    if (type_name && !mni_json_type(type_name, &type))
        return wrong(exchange, "Multinode-Type",
                     mni_error(MN_E_INVALID,
                               "there is no such type; there are bytes, text, int8 ... "
                               "uint64, float32 and float64"));
    dims[0] = size / mn_type_size(type);
    if (dims_text && !read_dims(dims_text, &ndims, dims))
        return wrong(
            exchange, "Multinode-Dims",
            mni_error(MN_E_INVALID, "must be 1 to %d counts with commas between", MN_MAX_DIMS));
    *value = mn_tensor(type, exchange->body ? exchange->body : "", ndims, dims);
    if (mni_value_check(*value) < 0 || value->size != size)
        return wrong(exchange, dims_text ? "Multinode-Dims" : "Multinode-Type",
                     mni_error(MN_E_INVALID, "does not fit the %zu bytes of the body", size));
    if (type == MN_TEXT && !mni_json_is_text(exchange->body ? exchange->body : "", size))
        return wrong(exchange, "input", mni_error(MN_E_INVALID, "the text is not UTF-8"));
    return 0;
}

static int begin_plain(mni_exchange_t *exchange)
{
    mni_msg_start_t start = {.job = NULL};
    double priority = 0, retries = 0, gpus = 0;
    int rc;

    if ((rc = mni_query(exchange, "job", &start.job)) < 0 ||
        (rc = mni_query(exchange, "lock", &start.lock)) < 0 ||
        (rc = mni_query(exchange, "tag", &start.tag)) < 0 ||
        (rc = mni_query(exchange, "key", &start.key)) < 0 ||
        (rc = mni_query(exchange, "memory", &start.memory)) < 0 ||
        (rc = mni_query_number(exchange, "cpu", 0.001, 1e9, &start.cpu)) < 0 ||
        (rc = mni_query_number(exchange, "timeout", 0, 1e12, &start.timeout)) < 0 ||
        (rc = mni_query_number(exchange, "grace", -1, 1e12, &start.grace)) < 0 ||
        (rc = mni_query_number(exchange, "priority", -1e9, 1e9, &priority)) < 0 ||
        (rc = take_priority(exchange, priority, &start.priority)) < 0 ||
        (rc = mni_query_number(exchange, "max_retries", 0, 1e9, &retries)) < 0 ||
        (rc = take_count(exchange, "max_retries", retries, &start.max_retries)) < 0 ||
        (rc = mni_query_number(exchange, "gpus", 0, 1e9, &gpus)) < 0 ||
        (rc = take_count(exchange, "gpus", gpus, &start.gpus)) < 0 ||
        (rc = read_input(exchange, &start.input)) < 0)
        return rc;
    return send_start(exchange, &start);
}

/* --- both -------------------------------------------------------------------------------------------------------------------- */

int mni_begin_start(mni_exchange_t *exchange)
{
    const char *content = header(exchange, MHD_HTTP_HEADER_CONTENT_TYPE);
    static const char form[] = "application/x-www-form-urlencoded";

    if (content && strncasecmp(content, "application/json", strlen("application/json")) == 0)
        return mni_start_read_json(exchange);
    if (content && strncasecmp(content, form, sizeof form - 1) == 0) {
        /* What curl says without being told: the bytes would be taken for what they are not. */
        mni_problem_status(exchange, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                           "say what the body is: Content-Type application/json, text/plain or "
                           "application/octet-stream");
        return 0;
    }
    return begin_plain(exchange);
}

/* Fewer than were asked for, when the runtime stops meanwhile: then with the reason. */
static int finish_many(mni_exchange_t *exchange, mni_reader_t *reader)
{
    const char *why = mni_get_text(reader);
    uint32_t count = mni_get_u32(reader);
    char id[MN_ID_TEXT];
    mni_text_t text;
    int rc = mni_text_open(&text);

    if (rc < 0)
        return rc;
    fputs("{\"ids\":[", text.to);
    for (uint32_t i = 0; i < count && !reader->failed; i++)
        fprintf(text.to, "%s\"%s\"", i > 0 ? "," : "", mn_id_format(mni_get_id(reader), id));
    json_t *reason = mni_json_text(why, why ? strlen(why) : 0);
    fputs("],\"error\":", text.to);
    json_dumpf(reason, text.to, JSON_ENCODE_ANY);
    json_decref(reason);
    fputc('}', text.to);
    rc = mni_reader_end(reader);
    int made = mni_text_answer(exchange, &text, MHD_HTTP_CREATED, "application/json");
    return rc < 0 ? rc : made;
}

int mni_finish_start(mni_exchange_t *exchange, mni_reader_t *reader)
{
    char id[MN_ID_TEXT], location[64];
    mni_text_t text;

    if (exchange->many)
        return finish_many(exchange, reader);
    mn_id_format(mni_get_id(reader), id);
    int rc = mni_reader_end(reader);
    if (rc < 0 || (rc = mni_text_open(&text)) < 0)
        return rc;
    fprintf(text.to, "{\"id\":\"%s\"}", id);
    /* `again`: a job with that key was there. */
    rc = mni_text_answer(exchange, &text, exchange->again ? MHD_HTTP_OK : MHD_HTTP_CREATED,
                         "application/json");
    snprintf(location, sizeof location, "/v1/jobs/%s", id);
    if (rc == 0)
        MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_LOCATION, location);
    return rc;
}
