/* SPDX-License-Identifier: MIT
 *
 * Maps and calls on their caller's side. The worker is played in the same process; it does the work
 * itself, on the arena, as the frames say.
 */
#include "client_fake.h"

#include "client/call.h"

MN_JOB(search, 0);
MN_FUNCTION(square, 0);

static int search(mn_task_t *task, mn_value_t input)
{
    (void)task;
    return (int)input.size;
}

static int square(mn_task_t *task, mn_value_t input)
{
    (void)task;
    return (int)input.size + 1;
}

/* How the worker is to behave. */
static struct {
    uint64_t fault;    /* item that fails; UINT64_MAX: none */
    bool backwards;    /* by value: results come in reverse order */
    bool hold;         /* the map is not answered, only noted */
    int refuse;        /* answers the map with this code */
    mni_msg_map_t map; /* the last one that came */
    uint64_t number;
    int maps, closes;
} play;

static int open_fake(void **state)
{
    memset(&play, 0, sizeof play);
    play.fault = UINT64_MAX;
    return fake_open(state);
}

static void send_fault(fake_t *fake, uint64_t map, uint64_t index)
{
    fake_begin(fake, MNI_MSG_MAP_FAULT, map);
    mni_put_u64(&fake->writer, index);
    mni_put_i32(&fake->writer, MN_E_CRASHED);
    mni_put_u8(&fake->writer, MN_REASON_SIGNAL);
    mni_put_text(&fake->writer, "square died of SIGSEGV");
    fake_send(fake);
}

/* An item squares a uint32_t to a uint64_t. */
static void work_fixed(fake_t *fake)
{
    uint8_t *arena = mni_channel_arena(fake->worker, NULL);
    assert_int_equal(play.map.argument_size, 4);
    assert_int_equal(play.map.arguments_bytes, play.map.count * 4);
    assert_int_equal(play.map.arguments % 64, 0);
    assert_int_equal(play.map.results % 64, 0);
    for (uint64_t i = 0; i < play.map.count; i++) {
        uint32_t number;
        memcpy(&number, arena + play.map.arguments + i * 4, sizeof number);
        uint64_t result = (uint64_t)number * number;
        if (i == play.fault)
            result = UINT64_MAX; /* half written */
        if (play.map.result_size > 0)
            memcpy(arena + play.map.results + i * 8, &result, sizeof result);
    }
}

static void send_item(fake_t *fake, uint64_t index)
{
    const void *pack = mni_channel_arena(fake->worker, NULL) + play.map.arguments;
    uint8_t *out;
    mn_value_t value;
    size_t size = mni_pack_header(1);

    if (index == play.fault) {
        send_fault(fake, play.number, index);
        return;
    }
    assert_int_equal(mni_pack_get(pack, play.map.arguments_bytes, play.map.count, index, &value),
                     0);
    out = malloc(size + mni_pack_grow(size, value));
    size = mni_pack_put(out, size, 0, value);
    fake_begin(fake, MNI_MSG_MAP_ITEMS, play.number);
    mni_put_u64(&fake->writer, index);
    mni_put_u64(&fake->writer, 1);
    mni_put_bytes(&fake->writer, out, size);
    fake_send(fake);
    free(out);
}

static void work(fake_t *fake)
{
    bool fails = play.fault < play.map.count && !play.map.per_item;
    if (play.map.by_value) {
        for (uint64_t i = 0; i < play.map.count; i++) {
            uint64_t item = play.backwards ? play.map.count - 1 - i : i;
            if (item != play.fault || !fails)
                send_item(fake, item);
        }
    } else {
        work_fixed(fake);
        if (play.map.per_item && play.fault < play.map.count)
            send_fault(fake, play.number, play.fault);
    }
    if (fails)
        fake_end_map(fake, play.number, MN_E_CRASHED, play.fault, "item 3: square died of SIGSEGV");
    else
        fake_end_map(fake, play.number, 0, 0, NULL);
}

static void answer_map(fake_t *fake, mni_reader_t *reader)
{
    if (reader->type == MNI_MSG_MAP_CLOSE) {
        play.closes++;
        assert_int_equal(reader->request, play.number);
        fake_reply(fake, reader->request, 0, NULL);
        fake_send(fake);
        return;
    }
    assert_int_equal(reader->type, MNI_MSG_MAP);
    play.map = mni_get_map(reader);
    play.number = reader->request;
    play.maps++;
    assert_int_equal(play.map.declaration, mni_declaration_find("square", 0));
    if (play.refuse < 0) {
        fake_reply(fake, reader->request, play.refuse, "square needs 64 cores");
        fake_send(fake);
    } else if (!play.hold) {
        work(fake);
    }
}

/* --- fixed sizes
 * --------------------------------------------------------------------------------------- */

static void test_fixed(void **state)
{
    static uint32_t numbers[100000];
    static uint64_t squares[100000];
    fake_t *fake = *state;
    fake->answer = answer_map;
    for (uint32_t i = 0; i < 100000; i++)
        numbers[i] = i;
    for (size_t count = 1; count <= 100000; count *= 10) {
        memset(squares, 0xff, sizeof squares);
        assert_int_equal(mn_map(fake->task, square, numbers, count, squares), 0);
        for (uint64_t i = 0; i < count; i++)
            assert_true(squares[i] == i * i);
        if (count < 100000)
            assert_true(squares[count] == UINT64_MAX);
    }
    assert_false(play.map.per_item);
    assert_int_equal(play.closes, 0);
    /* Results of no bytes. */
    assert_int_equal(mn_map_fixed(fake->task, square, numbers, 4, 10, NULL, 0,
                                  &(mn_map_options_t){.max_block = 7}),
                     0);
    assert_int_equal(play.map.max_block, 7);
    /* No items: nothing is sent. */
    int frames = fake->frames;
    assert_int_equal(mn_map_fixed(fake->task, square, NULL, 4, 0, NULL, 8, NULL), 0);
    assert_int_equal(fake->frames, frames);
}

static void test_fixed_bad_input(void **state)
{
    fake_t *fake = *state;
    uint32_t number = 3;
    uint64_t result = 5;
    mn_task_t *task = fake->task;
    assert_int_equal(mn_map_fixed(NULL, square, &number, 4, 1, &result, 8, NULL), MN_E_INVALID);
    assert_int_equal(mn_map_fixed(task, NULL, &number, 4, 1, &result, 8, NULL), MN_E_INVALID);
    assert_int_equal(mn_map_fixed(task, search, &number, 4, 1, &result, 8, NULL), MN_E_WRONG_KIND);
    fake_says("search is a job");
    assert_int_equal(mn_map_fixed(task, square, NULL, 4, 1, &result, 8, NULL), MN_E_INVALID);
    fake_says("arguments is NULL");
    assert_int_equal(mn_map_fixed(task, square, &number, 4, 1, NULL, 8, NULL), MN_E_INVALID);
    fake_says("results is NULL");
    assert_int_equal(mn_map_fixed(task, square, &number, 0, 1, &result, 8, NULL), MN_E_INVALID);
    assert_int_equal(mn_map_fixed(task, square, &number, SIZE_MAX, 1, &result, 8, NULL),
                     MN_E_TOO_LARGE);
    assert_int_equal(mn_map_fixed(task, square, &number, 4, SIZE_MAX, &result, 8, NULL),
                     MN_E_TOO_LARGE);
    assert_int_equal(mn_map_fixed(task, square, &number, 4, 1, &result, SIZE_MAX, NULL),
                     MN_E_TOO_LARGE);
    assert_int_equal(mn_map_fixed(task, square, &number, 4, SIZE_MAX / 4, &result, 1, NULL),
                     MN_E_TOO_LARGE);
    assert_int_equal(mn_map_fixed(task, square, &number, 4, SIZE_MAX / 8, &result, 8, NULL),
                     MN_E_TOO_LARGE);
    assert_int_equal(
        mn_map_fixed(task, square, &number, 1, ((size_t)1 << 47) + 1, &result, 1, NULL),
        MN_E_TOO_LARGE);
    fake_says("the limit is");
    assert_int_equal(fake->frames, 0);
    assert_true(result == 5);
}

static void test_fixed_failure(void **state)
{
    fake_t *fake = *state;
    uint32_t numbers[5] = {1, 2, 3, 4, 5};
    uint64_t squares[5] = {7, 7, 7, 7, 7};
    size_t failed = 99;
    mn_item_error_t errors[5];
    mn_map_options_t options = {.failed = &failed};
    fake->answer = answer_map;
    play.fault = 3;
    assert_int_equal(mn_map_fixed(fake->task, square, numbers, 4, 5, squares, 8, &options),
                     MN_E_CRASHED);
    fake_says("item 3: square died");
    assert_int_equal(failed, 3);
    assert_int_equal(play.closes, 1);
    assert_true(squares[0] == 7);

    memset(errors, 0xff, sizeof errors); /* the caller need not set them */
    options.errors = errors;
    failed = 99;
    assert_int_equal(mn_map_fixed(fake->task, square, numbers, 4, 5, squares, 8, &options), 0);
    assert_true(play.map.per_item);
    assert_int_equal(failed, 99);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(errors[i].code, i == 3 ? MN_E_CRASHED : 0);
        assert_true(squares[i] == (i == 3 ? 7 : (uint64_t)numbers[i] * numbers[i]));
    }
    assert_int_equal(errors[3].reason, MN_REASON_SIGNAL);
    assert_string_equal(errors[3].message, "square died of SIGSEGV");
    mn_item_errors_destroy(errors, 5);
    assert_null(errors[3].message);

    play.fault = UINT64_MAX;
    memset(errors, 0xff, sizeof errors);
    assert_int_equal(mn_map_fixed(fake->task, square, numbers, 4, 5, squares, 8, &options), 0);
    assert_int_equal(errors[4].code, 0);
    assert_null(errors[4].message);

    play.refuse = MN_E_IMPOSSIBLE;
    assert_int_equal(mn_map_fixed(fake->task, square, numbers, 4, 5, squares, 8, NULL),
                     MN_E_IMPOSSIBLE);
    fake_says("64 cores");
    assert_int_equal(play.closes, 1); /* nothing to close: the worker did not open it */
}

/* --- by value
 * ------------------------------------------------------------------------------------------ */

#define VALUES 50

static double payload[VALUES * 7];

static void make_values(mn_value_t values[VALUES])
{
    for (int i = 0; i < VALUES * 7; i++)
        payload[i] = i * 0.5;
    for (int i = 0; i < VALUES; i++)
        values[i] = i % 5 == 0 ? mn_none() : mn_array(MN_FLOAT64, payload, (size_t)i * 7);
}

static void check_value(mn_value_t value, int i)
{
    if (i % 5 == 0) {
        assert_int_equal(value.size, 0);
        return;
    }
    assert_int_equal(value.type, MN_FLOAT64);
    assert_int_equal(value.dims[0], i * 7);
    assert_true((uintptr_t)value.data % 16 == 0);
    assert_memory_equal(value.data, payload, value.size);
}

static void test_values(void **state)
{
    fake_t *fake = *state;
    mn_value_t values[VALUES], results[VALUES];
    fake->answer = answer_map;
    make_values(values);
    for (int backwards = 0; backwards < 2; backwards++) {
        play.backwards = backwards;
        memset(results, 0xff, sizeof results);
        assert_int_equal(mn_map_values(fake->task, square, values, VALUES, results, NULL), 0);
        for (int i = 0; i < VALUES; i++) {
            check_value(results[i], i);
            mn_value_destroy(&results[i]);
        }
    }
    assert_int_equal(mn_map_values(fake->task, square, values, VALUES, NULL, NULL), 0);
    assert_int_equal(mn_map_values(fake->task, square, NULL, 0, NULL, NULL), 0);
    assert_int_equal(play.maps, 3);
}

static void test_values_errors(void **state)
{
    fake_t *fake = *state;
    mn_value_t values[VALUES], results[VALUES];
    mn_item_error_t errors[VALUES];
    size_t failed = 99;
    fake->answer = answer_map;
    make_values(values);
    assert_int_equal(mn_map_values(fake->task, square, NULL, 3, results, NULL), MN_E_INVALID);
    assert_int_equal(mn_map_values(fake->task, square, values, SIZE_MAX, results, NULL),
                     MN_E_TOO_LARGE);
    values[7].size++;
    assert_int_equal(mn_map_values(fake->task, square, values, VALUES, results, NULL),
                     MN_E_INVALID);
    fake_says("argument 7");
    values[7].size--;
    assert_int_equal(play.maps, 0);

    play.fault = 3;
    assert_int_equal(mn_map_values(fake->task, square, values, VALUES, results,
                                   &(mn_map_options_t){.failed = &failed}),
                     MN_E_CRASHED);
    assert_int_equal(failed, 3);
    assert_int_equal(play.closes, 1);

    assert_int_equal(mn_map_values(fake->task, square, values, VALUES, results,
                                   &(mn_map_options_t){.errors = errors}),
                     0);
    for (int i = 0; i < VALUES; i++) {
        assert_int_equal(errors[i].code, i == 3 ? MN_E_CRASHED : 0);
        if (i == 3)
            assert_int_equal(results[i].size, 0);
        else
            check_value(results[i], i);
        mn_value_destroy(&results[i]);
    }
    mn_item_errors_destroy(errors, VALUES);
}

static void end_early(fake_t *fake, mni_reader_t *reader)
{
    if (reader->type == MNI_MSG_MAP) {
        play.map = mni_get_map(reader);
        play.number = reader->request;
        fake_end_map(fake, play.number, 0, 0, NULL);
    } else {
        answer_map(fake, reader);
    }
}

/* Frames of a worker gone mad must not crash its client. */
static void answer_nonsense(fake_t *fake, mni_reader_t *reader)
{
    if (reader->type != MNI_MSG_MAP) {
        answer_map(fake, reader);
        return;
    }
    play.map = mni_get_map(reader);
    play.number = reader->request;
    fake_begin(fake, MNI_MSG_MAP_ITEMS, play.number + 50);
    mni_put_u64(&fake->writer, 0);
    mni_put_u64(&fake->writer, 1);
    mni_put_bytes(&fake->writer, "", 0);
    fake_send(fake); /* of no map: ignored */
    fake_begin(fake, MNI_MSG_MAP_ITEMS, play.number);
    mni_put_u64(&fake->writer, UINT64_MAX - 1);
    mni_put_u64(&fake->writer, 3);
    mni_put_bytes(&fake->writer, "", 0);
    fake_send(fake);
}

static void test_nonsense(void **state)
{
    fake_t *fake = *state;
    mn_value_t values[3] = {0}, result = mn_text("before");
    fake->answer = answer_nonsense;
    assert_int_equal(mn_map_values(fake->task, square, values, 3, NULL, NULL), MN_E_PROTOCOL);
    assert_int_equal(play.closes, 1);
    fake->answer = end_early;
    assert_int_equal(mn_map_values(fake->task, square, values, 3, NULL, NULL), MN_E_PROTOCOL);
    assert_int_equal(mn_call(fake->task, square, mn_none(), &result), MN_E_PROTOCOL);
    assert_int_equal(result.size, 6);
}

static void test_call(void **state)
{
    fake_t *fake = *state;
    mn_value_t result = mn_none();
    fake->answer = answer_map;
    assert_int_equal(mn_call(fake->task, square, mn_text("hello"), &result), 0);
    assert_int_equal(result.type, MN_TEXT);
    assert_memory_equal(result.data, "hello", 5);
    mn_value_destroy(&result);
    assert_int_equal(mn_call(fake->task, square, mn_text("hello"), NULL), 0);
    play.fault = 0;
    assert_int_equal(mn_call(fake->task, square, mn_text("hello"), &result), MN_E_CRASHED);
    assert_string_equal(mn_error_message(), "square died of SIGSEGV");
    assert_int_equal(result.size, 0);
    assert_int_equal(mn_call(fake->task, square, mn_bytes(NULL, 3), &result), MN_E_INVALID);
    assert_int_equal(mn_call(fake->task, search, mn_none(), &result), MN_E_WRONG_KIND);
    assert_int_equal(mn_call(fake->task, NULL, mn_none(), &result), MN_E_INVALID);
    assert_int_equal(play.maps, 3);
}

/* --- streams
 * ------------------------------------------------------------------------------------------- */

static void test_stream(void **state)
{
    fake_t *fake = *state;
    mn_value_t values[VALUES], result;
    mn_item_error_t errors[VALUES];
    mn_map_stream_t *stream = NULL, *other = NULL;
    fake->answer = answer_map;
    make_values(values);
    play.backwards = true;
    play.fault = 8;
    assert_int_equal(mn_map_open(fake->task, square, values, VALUES, NULL, NULL), MN_E_INVALID);
    assert_int_equal(mn_map_open(fake->task, square, NULL, VALUES, NULL, &stream), MN_E_INVALID);
    assert_null(stream);
    assert_int_equal(mn_map_open(fake->task, square, values, VALUES,
                                 &(mn_map_options_t){.errors = errors}, &stream),
                     0);
    assert_true(mn_map_next(stream, NULL) == MN_E_INVALID);
    for (int i = 0; i < VALUES; i++) {
        int rc = mn_map_next(stream, &result);
        assert_int_equal(rc, i == 8 ? MN_E_CRASHED : 0);
        if (rc < 0) {
            fake_says("SIGSEGV");
            assert_string_equal(errors[8].message, "square died of SIGSEGV");
            continue;
        }
        check_value(result, i);
        mn_value_destroy(&result);
        if (i == 20) { /* another map while this one is open */
            uint32_t number = 6;
            uint64_t squared = 0;
            play.fault = UINT64_MAX;
            assert_int_equal(mn_map(fake->task, square, &number, 1, &squared), 0);
            assert_true(squared == 36);
        }
    }
    assert_int_equal(mn_map_next(stream, &result), MN_E_END);
    assert_int_equal(mn_map_next(stream, &result), MN_E_END);
    mn_map_close(stream);
    assert_int_equal(play.closes, 0); /* it had ended */
    assert_int_equal(mn_map_next(stream, &result), MN_E_INVALID);
    mn_map_close(stream); /* again: not open, ignored */
    mn_item_errors_destroy(errors, VALUES);

    assert_int_equal(mn_map_open(fake->task, square, NULL, 0, NULL, &other), 0);
    assert_int_equal(mn_map_next(other, &result), MN_E_END);
    mn_map_close(other);
    /* One that is closed before its end, and one that is never closed: teardown frees it. */
    play.hold = true;
    assert_int_equal(mn_map_open(fake->task, square, values, VALUES, NULL, &stream), 0);
    fake_pump(fake);
    send_item(fake, 0);
    assert_int_equal(mn_map_next(stream, &result), 0);
    mn_map_close(stream);
    assert_int_equal(play.closes, 1);
    assert_int_equal(mn_map_open(fake->task, square, values, VALUES, NULL, &stream), 0);
}

static void test_stream_that_fails(void **state)
{
    fake_t *fake = *state;
    mn_value_t values[3] = {0}, result;
    mn_map_stream_t *stream;
    fake->answer = answer_map;
    play.hold = true;
    assert_int_equal(mn_map_open(fake->task, square, values, 3, NULL, &stream), 0);
    fake_pump(fake);
    send_item(fake, 0);
    fake_end_map(fake, play.number, MN_E_DEADLOCK, UINT64_MAX, "can never proceed");
    assert_int_equal(mn_map_next(stream, &result), 0);
    assert_int_equal(mn_map_next(stream, &result), MN_E_DEADLOCK);
    fake_says("never proceed");
    assert_int_equal(mn_map_next(stream, &result), MN_E_DEADLOCK);
    assert_int_equal(mn_map_next(stream, &result), MN_E_END);
    mn_map_close(stream);
    assert_int_equal(play.closes, 1);
}

/* --- being stopped
 * ------------------------------------------------------------------------------------- */

static void stop_when_idle(fake_t *fake)
{
    fake_stop(fake, MN_E_INTERRUPTED);
}

static void test_abandoned(void **state)
{
    fake_t *fake = *state;
    uint32_t numbers[5] = {1, 2, 3, 4, 5};
    uint64_t squares[5] = {7, 7, 7, 7, 7};
    mn_value_t values[5] = {0}, result;
    mn_map_stream_t *stream;
    size_t failed = 99;
    fake->answer = answer_map;
    play.hold = true;
    assert_int_equal(mn_map_open(fake->task, square, values, 2, NULL, &stream), 0);
    fake->idle = stop_when_idle;
    assert_int_equal(mn_map_fixed(fake->task, square, numbers, 4, 5, squares, 8,
                                  &(mn_map_options_t){.failed = &failed}),
                     MN_E_INTERRUPTED);
    assert_int_equal(play.closes, 1);
    assert_int_equal(failed, 99);
    assert_true(squares[0] == 7);
    assert_int_equal(mn_map_next(stream, &result), MN_E_INTERRUPTED);
    assert_int_equal(mn_map_next(stream, &result), MN_E_INTERRUPTED);
    assert_int_equal(mn_map_next(stream, &result), MN_E_END); /* a loop over it ends */
    play.number = 1;
    mn_map_close(stream);
    assert_int_equal(play.closes, 2);
    int maps = play.maps;
    assert_int_equal(mn_map_values(fake->task, square, values, 5, NULL, NULL), MN_E_INTERRUPTED);
    assert_int_equal(mn_map_open(fake->task, square, values, 5, NULL, &stream), MN_E_INTERRUPTED);
    assert_int_equal(play.maps, maps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fixed, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_fixed_bad_input, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_fixed_failure, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_values, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_values_errors, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_nonsense, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_call, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_stream, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_stream_that_fails, open_fake, fake_close),
        cmocka_unit_test_setup_teardown(test_abandoned, open_fake, fake_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
