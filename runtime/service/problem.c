/* SPDX-License-Identifier: MIT
 *
 * Answers: texts that were written to memory, and errors as problems (RFC 9457).
 */
#include "service/internal.h"

#include "util/error.h"

#include <stdlib.h>
#include <string.h>

#define HOLDER_WORDS " is in use by job "

int mni_text_open(mni_text_t *text)
{
    *text = (mni_text_t){.to = NULL};
    text->to = open_memstream(&text->bytes, &text->size);
    return text->to ? 0 : mni_error(MN_E_NO_MEMORY, "no memory for an answer");
}

int mni_text_answer(mni_exchange_t *exchange, mni_text_t *text, unsigned status, const char *type)
{
    struct MHD_Response *response = NULL;

    if (fclose(text->to) == 0)
        response = MHD_create_response_from_buffer(text->size, text->bytes, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text->bytes);
        return mni_error(MN_E_NO_MEMORY, "no memory for an answer");
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    exchange->status = status;
    exchange->response = response;
    return 0;
}

int mni_constant_answer(mni_exchange_t *exchange, const char *text, const char *type)
{
    exchange->response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                         MHD_RESPMEM_PERSISTENT);
    if (!exchange->response)
        return mni_error(MN_E_NO_MEMORY, "no memory for an answer");
    MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    exchange->status = MHD_HTTP_OK;
    return 0;
}

static unsigned status_of(int code)
{
    switch (code) {
    case MN_E_INVALID:
    case MN_E_UNDECLARED:
    case MN_E_WRONG_KIND:
        return MHD_HTTP_BAD_REQUEST;
    case MN_E_NO_JOB:
    case MN_E_NO_RESULT:
        return MHD_HTTP_NOT_FOUND;
    case MN_E_LOCK_IN_USE:
    case MN_E_DEADLOCK:
        return MHD_HTTP_CONFLICT;
    case MN_E_TOO_LARGE:
        return MHD_HTTP_CONTENT_TOO_LARGE;
    case MN_E_IMPOSSIBLE:
        return MHD_HTTP_UNPROCESSABLE_CONTENT;
    case MN_E_INTERRUPTED:
    case MN_E_NO_MEMORY:
    case MN_E_STORE:
    case MN_E_LOST:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    default:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* The id in a sentence about a lock; its name comes before and may hold anything. */
static bool find_holder(const char *detail, char id[MN_ID_TEXT])
{
    const char *at = NULL;
    mn_id_t holder;

    for (const char *next = detail; (next = strstr(next, HOLDER_WORDS)); next++)
        at = next + strlen(HOLDER_WORDS);
    if (!at || strlen(at) < MN_ID_TEXT - 1)
        return false;
    memcpy(id, at, MN_ID_TEXT - 1);
    id[MN_ID_TEXT - 1] = '\0';
    return mn_id_parse(id, &holder) == 0;
}

static void describe(mni_exchange_t *exchange, unsigned status, int code, const char *detail)
{
    char holder[MN_ID_TEXT], type[64];
    json_t *json = json_object();
    mni_text_t text;

    snprintf(type, sizeof type, "urn:multinode:%s", code < 0 ? mn_error_name(code) : "http");
    json_object_set_new(json, "type", json_string(type));
    json_object_set_new(json, "title",
                        json_string(code < 0 ? mn_strerror(code) : "the request cannot be served"));
    json_object_set_new(json, "status", json_integer(status));
    json_object_set_new(json, "detail", mni_json_text(detail, strlen(detail)));
    if (code < 0)
        json_object_set_new(json, "code", json_string(mn_error_name(code)));
    if (exchange->field)
        json_object_set_new(json, "field", json_string(exchange->field));
    if (code == MN_E_LOCK_IN_USE && find_holder(detail, holder))
        json_object_set_new(json, "holder", json_string(holder));
    if (exchange->response)
        MHD_destroy_response(exchange->response);
    exchange->response = NULL;
    if (json && mni_text_open(&text) == 0) {
        json_dumpf(json, text.to, JSON_COMPACT);
        mni_text_answer(exchange, &text, status, "application/problem+json");
    }
    json_decref(json);
    if (exchange->response &&
        (status == MHD_HTTP_TOO_MANY_REQUESTS || status == MHD_HTTP_SERVICE_UNAVAILABLE))
        MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
}

void mni_problem(mni_exchange_t *exchange, int code)
{
    char detail[MNI_ERROR_MAX];

    snprintf(detail, sizeof detail, "%s", mn_error_message());
    describe(exchange, status_of(code), code, detail);
}

void mni_problem_status(mni_exchange_t *exchange, unsigned status, const char *detail)
{
    describe(exchange, status, 0, detail);
}
