/* SPDX-License-Identifier: MIT
 *
 * Bodies of POST /v1/jobs that are JSON. What is taken makes a message that the scheduler can read, within all bounds, and the value
 * in it comes back the same when it is printed and read again; what is not taken says why.
 */
#include "fuzz.h"

#include "client/exec.h"
#include "core/declare.h"
#include "service/internal.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    MUST(mni_exec_declare() == 0);
    MUST(mni_declarations_freeze() == 0);
    return 0;
}

static void check_value(mn_value_t value)
{
    mn_value_t again = mn_none();
    mni_text_t text;

    MUST(mni_value_check(value) == 0);
    if (value.type == MN_TEXT)
        MUST(mni_json_is_text(value.data ? value.data : "", value.size));
    MUST(mni_text_open(&text) == 0);
    MUST(mni_json_print_value(text.to, &value, SIZE_MAX) == 0);
    MUST(fclose(text.to) == 0);
    json_t *json = json_loadb(text.bytes, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    MUST(json);
    MUST(mni_json_read_value(json, &again) == 0);
    MUST(again.type == value.type && again.ndims == value.ndims && again.size == value.size);
    MUST(memcmp(again.dims, value.dims, value.ndims * sizeof value.dims[0]) == 0);
    MUST(value.size == 0 || memcmp(again.data, value.data, value.size) == 0);
    mn_value_destroy(&again);
    json_decref(json);
    free(text.bytes);
}

static void check_message(mni_exchange_t *exchange)
{
    mni_reader_t reader;

    MUST(mni_writer_end(&exchange->frame) == 0);
    MUST(mni_reader_begin(&reader, exchange->frame.data, exchange->frame.size) == 0);
    mni_msg_start_t start = mni_get_start(&reader);
    MUST(start.job && mni_declaration_find(start.job, MN_KIND_JOB) >= 0);
    MUST(mni_label_check("lock", start.lock) == 0);
    MUST(mni_label_check("tag", start.tag) == 0);
    MUST(mni_label_check("key", start.key) == 0);
    uint32_t count = exchange->many ? mni_get_u32(&reader) : 0;
    if (!exchange->many)
        check_value(start.input);
    for (uint32_t i = 0; i < count; i++)
        check_value(mni_get_value(&reader));
    MUST(mni_reader_end(&reader) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *body = text_of(data, size);
    mni_exchange_t exchange = {.body = body, .body_size = size};
    int rc = mni_start_read_json(&exchange);

    if (rc == 0) {
        check_message(&exchange);
    } else {
        MUST(mn_error_message()[0] != '\0');
        mni_problem(&exchange, rc);
        MUST(exchange.response && exchange.status >= 400);
        MHD_destroy_response(exchange.response);
    }
    mni_writer_fini(&exchange.frame);
    free(body);
    return 0;
}
