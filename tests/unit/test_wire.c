/* SPDX-License-Identifier: MIT
 *
 * The codec: every message with many fields survives the way there and back, golden frames stay as they are, and
 * frames that are cut, stretched or changed at any byte are refused or read without harm.
 */
#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static mni_reader_t read_frame(const mni_writer_t *writer)
{
    mni_reader_t reader;
    assert_int_equal(mni_reader_begin(&reader, writer->data, writer->size), 0);
    return reader;
}

static void golden_frame(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x40, 0, 0, 0, 0x14, 0, 0, 0, 0x08, 0x07, 0x06, 0x05, 0x04,
                                       0x03, 0x02, 0x01, /* size, type 20, request */
                                       0x0b, 0x01, 2, 0, 0, 0, 0, 0, 0, 0, /* float64, 1 dim: 2 */
                                       16, 0, 0, 0, 0, 0, 0, 0,            /* bytes */
                                       /* from 34 the next multiple of 16 is 48 */
                                       0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    double numbers[2] = {1.5, -2};
    mni_writer_t writer = {0};
    mni_writer_begin(&writer, MNI_MSG_YIELD, 0x0102030405060708u);
    mni_put_value(&writer, mn_array(MN_FLOAT64, numbers, 2));
    assert_int_equal(mni_writer_end(&writer), 0);
    assert_int_equal(writer.size, 64);
    assert_memory_equal(writer.data, expected, sizeof expected);
    assert_memory_equal(writer.data + 48, numbers, sizeof numbers);
    mni_writer_fini(&writer);
}

static void scalars_and_text(void **state)
{
    (void)state;
    mni_writer_t writer = {0};
    mn_id_t id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
    mni_cpus_t cpus = {{0}};
    mni_cpus_add(&cpus, 0);
    mni_cpus_add(&cpus, 130);
    for (int again = 0; again < 2; again++) { /* a writer is used again */
        mni_writer_begin(&writer, 7, 9);
        mni_put_u8(&writer, 200);
        mni_put_u32(&writer, UINT32_MAX);
        mni_put_u64(&writer, UINT64_MAX - 1);
        mni_put_i32(&writer, -5);
        mni_put_f64(&writer, 0.1);
        mni_put_text(&writer, "größer");
        mni_put_text(&writer, NULL);
        mni_put_text(&writer, "");
        mni_put_id(&writer, id);
        mni_put_cpus(&writer, &cpus);
        mni_put_bytes(&writer, NULL, 0);
        assert_int_equal(mni_writer_end(&writer), 0);
    }
    mni_reader_t reader = read_frame(&writer);
    size_t size = 1;
    assert_int_equal(reader.type, 7);
    assert_int_equal(reader.request, 9);
    assert_int_equal(mni_get_u8(&reader), 200);
    assert_int_equal(mni_get_u32(&reader), UINT32_MAX);
    assert_true(mni_get_u64(&reader) == UINT64_MAX - 1);
    assert_int_equal(mni_get_i32(&reader), -5);
    assert_true(mni_get_f64(&reader) == 0.1);
    assert_string_equal(mni_get_text(&reader), "größer");
    assert_null(mni_get_text(&reader));
    assert_string_equal(mni_get_text(&reader), "");
    assert_true(mn_id_equal(mni_get_id(&reader), id));
    mni_cpus_t back = mni_get_cpus(&reader);
    assert_memory_equal(&back, &cpus, sizeof cpus);
    mni_get_bytes(&reader, &size);
    assert_int_equal(size, 0);
    assert_int_equal(mni_reader_end(&reader), 0);
    mni_writer_fini(&writer);
}

static void write_run(mni_writer_t *writer)
{
    static const int32_t matrix[6] = {1, 2, 3, 4, 5, 6};
    mni_msg_run_t run = {.kind = MN_KIND_JOB,
                         .declaration = 3,
                         .task = 77,
                         .id = {{9}},
                         .attempt = 2,
                         .threads = 4,
                         .port = 80,
                         .has_last = true,
                         .input = mn_text("hello"),
                         .last = mn_matrix(MN_INT32, matrix, 2, 3)};
    mni_cpus_add(&run.cpus, 5);
    mni_writer_begin(writer, MNI_MSG_TASK_RUN, 1);
    mni_put_run(writer, &run);
    assert_int_equal(mni_writer_end(writer), 0);
}

static void run_there_and_back(void **state)
{
    (void)state;
    mni_writer_t writer = {0};
    write_run(&writer);
    mni_reader_t reader = read_frame(&writer);
    mni_msg_run_t run = mni_get_run(&reader);
    assert_int_equal(mni_reader_end(&reader), 0);
    assert_int_equal(run.kind, MN_KIND_JOB);
    assert_int_equal(run.declaration, 3);
    assert_int_equal(run.task, 77);
    assert_int_equal(run.id.bytes[0], 9);
    assert_int_equal(run.attempt, 2);
    assert_true(mni_cpus_has(&run.cpus, 5) && mni_cpus_count(&run.cpus) == 1);
    assert_int_equal(run.threads, 4);
    assert_int_equal(run.port, 80);
    assert_true(run.has_last);
    assert_int_equal(run.input.size, 5);
    assert_memory_equal(run.input.data, "hello", 5);
    assert_int_equal(run.last.ndims, 2);
    assert_int_equal(run.last.dims[1], 3);
    assert_int_equal((uintptr_t)run.last.data % MNI_FRAME_ALIGN,
                     (uintptr_t)writer.data % MNI_FRAME_ALIGN);
    mni_writer_fini(&writer);
}

static void info_there_and_back(void **state)
{
    (void)state;
    mni_writer_t writer = {0};
    double number = 2.5;
    mn_info_t info = {.id = {{4}},
                      .job = "calc",
                      .status = MN_FAILED,
                      .reason = MN_REASON_SIGNAL,
                      .error = "it fell",
                      .result = mn_array(MN_FLOAT64, &number, 1),
                      .yields = 3,
                      .version = 8,
                      .attempts = 2,
                      .progress = 0.25,
                      .message = "half",
                      .created = 1,
                      .started = 2,
                      .ended = 3,
                      .lock = "l",
                      .host = "n1",
                      .rank = -1,
                      .cpus = "0-3"};
    mni_writer_begin(&writer, MNI_MSG_REPLY, 1);
    mni_put_info(&writer, &info);
    assert_int_equal(mni_writer_end(&writer), 0);
    mni_reader_t reader = read_frame(&writer);
    mn_info_t back = mni_get_info(&reader);
    assert_int_equal(mni_reader_end(&reader), 0);
    assert_string_equal(back.job, "calc");
    assert_int_equal(back.status, MN_FAILED);
    assert_int_equal(back.reason, MN_REASON_SIGNAL);
    assert_string_equal(back.error, "it fell");
    assert_memory_equal(back.result.data, &number, sizeof number);
    assert_int_equal(back.version, 8);
    assert_true(back.ended == 3 && back.progress == 0.25);
    assert_null(back.tag);
    assert_null(back.key);
    assert_int_equal(back.rank, -1);
    assert_string_equal(back.cpus, "0-3");
    mni_writer_fini(&writer);
}

/* Every shorter frame is refused, and so is one byte more. */
static void cut_and_stretched(void **state)
{
    (void)state;
    mni_writer_t writer = {0};
    mni_reader_t reader;
    write_run(&writer);
    for (uint32_t size = 0; size < writer.size; size++) {
        uint8_t *cut =
            malloc(size ? size : 1); /* of its own, so that a sanitizer sees a read behind it */
        memcpy(cut, writer.data, size);
        if (size >= sizeof size)
            memcpy(cut, &size, sizeof size);
        if (mni_reader_begin(&reader, cut, size) == 0) {
            mni_get_run(&reader);
            assert_int_equal(mni_reader_end(&reader), MN_E_PROTOCOL);
        } else {
            assert_true(size < MNI_FRAME_HEADER);
        }
        free(cut);
    }
    uint32_t more = (uint32_t)writer.size + 1;
    uint8_t *longer = calloc(1, more);
    memcpy(longer, writer.data, writer.size);
    memcpy(longer, &more, sizeof more);
    assert_int_equal(mni_reader_begin(&reader, longer, more), 0);
    mni_get_run(&reader);
    assert_int_equal(mni_reader_end(&reader), MN_E_PROTOCOL);
    free(longer);
    assert_int_equal(mni_reader_begin(&reader, writer.data, writer.size - 1), MN_E_PROTOCOL);
    mni_writer_fini(&writer);
}

/* Any byte may be anything: what is read stays inside the frame. */
static void changed_bytes(void **state)
{
    (void)state;
    mni_writer_t writer = {0};
    write_run(&writer);
    uint8_t *frame = malloc(writer.size);
    for (size_t at = MNI_FRAME_HEADER; at < writer.size; at++)
        for (int value = 0; value < 256; value += 5) {
            mni_reader_t reader;
            memcpy(frame, writer.data, writer.size);
            frame[at] = (uint8_t)value;
            assert_int_equal(mni_reader_begin(&reader, frame, writer.size), 0);
            mni_msg_run_t run = mni_get_run(&reader);
            if (mni_reader_end(&reader) < 0)
                continue;
            assert_int_equal(mni_value_check(run.input), 0);
            assert_true(run.input.size == 0 ||
                        ((const uint8_t *)run.input.data >= frame &&
                         (const uint8_t *)run.input.data + run.input.size <= frame + writer.size));
        }
    free(frame);
    mni_writer_fini(&writer);
}

static void values_checked(void **state)
{
    (void)state;
    char byte = 0;
    assert_int_equal(mni_value_check(mn_none()), 0);
    assert_int_equal(mni_value_check(mn_bytes(&byte, 1)), 0);
    assert_int_equal(mni_value_check(mn_bytes(NULL, 0)), 0);
    assert_int_equal(mni_value_check(mn_bytes(NULL, 1)), MN_E_INVALID);
    assert_int_equal(mni_value_check(mn_bytes(&byte, MN_MAX_VALUE + 1)), MN_E_TOO_LARGE);
    assert_int_equal(mni_value_check(mn_array(MN_INT64, &byte, SIZE_MAX / 2)), MN_E_INVALID);
    assert_int_equal(mni_value_check(mn_array((mn_type_t)99, &byte, 1)), MN_E_INVALID);
    assert_int_equal(mni_value_check(mn_tensor(MN_INT8, &byte, 5, (const size_t[]){1, 1, 1, 1, 1})),
                     MN_E_INVALID);
    assert_int_equal(mni_value_check(mn_tensor(MN_INT8, &byte, 0, NULL)), MN_E_INVALID);
    mn_value_t wrong = mn_bytes(&byte, 1);
    wrong.dims[0] = 2;
    assert_int_equal(mni_value_check(wrong), MN_E_INVALID);
    assert_true(strlen(mn_error_message()) > 0);
}

static void packs(void **state)
{
    (void)state;
    double numbers[3] = {1, 2, 3};
    mn_value_t in[4] = {mn_text("a"), mn_none(), mn_array(MN_FLOAT64, numbers, 3),
                        mn_bytes("xyz", 3)},
               out;
    size_t size = mni_pack_header(4), total = size;
    for (int i = 0; i < 4; i++)
        total += mni_pack_grow(total, in[i]);
    uint8_t *pack = calloc(1, total);
    for (int i = 0; i < 4; i++)
        size = mni_pack_put(pack, size, (size_t)i, in[i]);
    assert_int_equal(size, total);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(mni_pack_get(pack, size, 4, (size_t)i, &out), 0);
        assert_int_equal(out.type, in[i].type);
        assert_int_equal(out.ndims, in[i].ndims);
        assert_int_equal(out.size, in[i].size);
        if (in[i].size > 0)
            assert_memory_equal(out.data, in[i].data, in[i].size);
    }
    assert_int_equal(mni_pack_get(pack, size, 4, 4, &out), MN_E_PROTOCOL);
    assert_int_equal(mni_pack_get(pack, 100, 4, 0, &out), MN_E_PROTOCOL);
    for (size_t at = 0; at < 4 * MNI_PACK_ENTRY; at++) { /* scribbled over: refused or inside */
        uint8_t kept = pack[at];
        pack[at] = 0xff;
        for (size_t i = 0; i < 4; i++)
            if (mni_pack_get(pack, size, 4, i, &out) == 0)
                assert_true(out.size == 0 || ((const uint8_t *)out.data >= pack &&
                                              (const uint8_t *)out.data + out.size <= pack + size));
        pack[at] = kept;
    }
    free(pack);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(mni_message_name(MNI_MSG_START), "START");
    assert_string_equal(mni_message_name(9999), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_frame),
        cmocka_unit_test(scalars_and_text),
        cmocka_unit_test(run_there_and_back),
        cmocka_unit_test(info_there_and_back),
        cmocka_unit_test(cut_and_stretched),
        cmocka_unit_test(changed_bytes),
        cmocka_unit_test(values_checked),
        cmocka_unit_test(packs),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
