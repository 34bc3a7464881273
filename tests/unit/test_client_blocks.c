/* SPDX-License-Identifier: MIT
 *
 * What executors do with the blocks of maps: items of fixed size in the arena, items by value, and their errors. The
 * executor is a forked process, this test is its worker.
 */
#include "client_fake.h"

#include <math.h>
#include <sched.h>

MN_JOB(look, 0);
MN_FUNCTION(square, 0);
MN_FUNCTION(repeat, 0);
MN_FUNCTION(odd_only, 0);
MN_FUNCTION(wrong_calls, 0);

static const mn_id_t job_id = {{0xaa, 0xbb}};

static int look(mn_task_t *task, mn_value_t input)
{
    (void)task;
    (void)input;
    return 0;
}

static void never(int code, void *argument)
{
    (void)code;
    *(int *)argument = 2;
}

static int square(mn_task_t *task, mn_value_t input)
{
    uint32_t number;
    CHECK(input.size == 4 && input.type == MN_BYTES && input.dims[0] == 4);
    memcpy(&number, input.data, sizeof number);
    uint64_t result = (uint64_t)number * number;
    CHECK(mn_yield(task, mn_text("12345678")) == 0); /* the last one counts */
    return mn_yield(task, mn_array(MN_UINT64, &result, 1));
}

/* Yields its input `n` times over, n being its first byte; none for 0. */
static int repeat(mn_task_t *task, mn_value_t input)
{
    size_t n = input.size > 0 ? ((const uint8_t *)input.data)[0] : 0;
    if (n == 0)
        return 0;
    uint8_t *out = malloc(n * input.size);
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * input.size, input.data, input.size);
    int rc = mn_yield(task, mn_bytes(out, 1));
    if (rc == 0)
        rc = mn_yield(task, mn_array(MN_UINT8, out, n * input.size));
    free(out);
    return rc;
}

/* Yields for odd numbers; 6: nothing; 8: too much, unheeded; 10: an error; 12: crash; 14: waits for
 * the stop. */
static int odd_only(mn_task_t *task, mn_value_t input)
{
    uint32_t number;
    memcpy(&number, input.data, sizeof number);
    if (number == 8)
        mn_yield(task, mn_text("nine byte"));
    if (number == 10)
        return mn_fail(task, MN_E_STORE, "ten is bad");
    if (number == 12)
        _exit(12);
    if (number == 14)
        while (mn_cancelled(task) == 0)
            sched_yield();
    if (number % 2 == 1 || number == 14)
        return mn_yield(task, mn_bytes(input.data, 4));
    return 0;
}

static int wrong_calls(mn_task_t *task, mn_value_t input)
{
    mn_value_t last;
    uint64_t argument = 0;
    CHECK(mn_yield(task, mn_bytes("123456789", 9)) == MN_E_TOO_LARGE);
    CHECK(mn_yield(task, mn_bytes("1", 1)) == MN_E_INVALID);
    CHECK(mn_yield(task, mn_bytes(NULL, 8)) == MN_E_INVALID);
    CHECK(mn_yield(task, mn_tensor(MN_INT8, "12345678", 5, NULL)) == MN_E_INVALID);
    CHECK(mn_yield(task, mn_none()) == MN_E_INVALID);
    CHECK(mn_progress(task, 0.5, NULL) == MN_E_WRONG_KIND);
    CHECK(mn_last_yield(task, &last) == MN_E_WRONG_KIND);
    CHECK(mn_id_equal(mn_task_job(task), job_id));
    CHECK(mn_task_cpus(task) == 2);
    CHECK(mn_on_cancel(task, never, &argument) == 0); /* ends with the item */
    CHECK(mn_yield_sync(task, mn_bytes(input.data, 8)) == 0);
    return 0;
}

/* --- blocks of fixed sizes
 * ----------------------------------------------------------------------------- */

static mni_msg_block_t fixed_block(fake_t *fake, const char *function, const uint32_t *numbers,
                                   uint64_t count)
{
    size_t offset = mni_channel_block_offset(fake->worker);
    mni_msg_block_t block = {.declaration = declaration(function),
                             .id = job_id,
                             .task = 5,
                             .threads = 2,
                             .timeout = INFINITY,
                             .count = count,
                             .argument_size = 4,
                             .result_size = 8,
                             .arguments = offset,
                             .arguments_bytes = count * 4,
                             .results = offset + (count * 4 + 63) / 64 * 64,
                             .results_room = count * 8};
    assert_int_equal(mni_channel_reserve(fake->worker, block.arguments, block.arguments_bytes), 0);
    memcpy(mni_channel_arena(fake->worker, NULL) + offset, numbers, count * 4);
    return block;
}

static void send_block(fake_t *fake, const mni_msg_block_t *block)
{
    mni_span_set(&mni_channel_control(fake->worker)->span, block->count);
    mni_put_block(fake_begin(fake, MNI_MSG_BLOCK, 0), block);
    fake_send(fake);
}

static void test_fixed_block(void **state)
{
    static uint32_t numbers[10000];
    fake_t fake;
    (void)state;
    for (uint32_t i = 0; i < 10000; i++)
        numbers[i] = i * 3;
    start_executor(&fake);
    for (int timed = 0; timed < 2; timed++) {
        mni_msg_block_t block = fixed_block(&fake, "square", numbers, 10000);
        const mni_control_t *control = mni_channel_control(fake.worker);
        block.timeout = timed ? 60 : INFINITY;
        send_block(&fake, &block);
        mni_msg_finished_t finished = fake_finished(&fake, 0);
        assert_int_equal(finished.items, 10000);
        assert_true(finished.again);
        assert_int_equal(control->items_done, 10000);
        assert_int_equal(control->item_started, 0);
        const uint64_t *results =
            (const uint64_t *)(mni_channel_arena(fake.worker, NULL) + block.results);
        for (uint64_t i = 0; i < 10000; i++)
            assert_true(results[i] == i * 3 * i * 3);
    }
    /* No items, and items without results. */
    mni_msg_block_t block = fixed_block(&fake, "odd_only", numbers, 0);
    send_block(&fake, &block);
    assert_int_equal(fake_finished(&fake, 0).items, 0);
    numbers[0] = 0;
    numbers[1] = 2;
    block = fixed_block(&fake, "odd_only", numbers, 2);
    block.result_size = block.results_room = 0;
    send_block(&fake, &block);
    assert_int_equal(fake_finished(&fake, 0).items, 2);
    assert_int_equal(fake_exit(&fake), 0);
}

static void test_fixed_block_errors(void **state)
{
    static const struct {
        uint32_t number;
        int code;
        const char *message;
    } rows[] = {
        {6, MN_E_NO_RESULT, "odd_only yielded nothing, but its map expects a result of 4 bytes"},
        {8, MN_E_NO_RESULT,
         "odd_only yielded nothing that its map can take: odd_only yields 9 bytes, but its map "
         "expects results of 4 bytes"},
        {10, MN_E_STORE, "ten is bad"},
    };
    fake_t fake;
    (void)state;
    start_executor(&fake);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t numbers[4] = {1, 3, rows[i].number, 5};
        mni_msg_block_t block = fixed_block(&fake, "odd_only", numbers, 4);
        block.result_size = 4;
        send_block(&fake, &block);
        mni_msg_finished_t finished = fake_finished(&fake, rows[i].code);
        assert_int_equal(finished.items, 2);
        assert_string_equal(finished.message, rows[i].message);
        const uint32_t *results =
            (const uint32_t *)(mni_channel_arena(fake.worker, NULL) + block.results);
        assert_int_equal(results[1], 3);
    }
    mni_msg_block_t block = fixed_block(&fake, "wrong_calls", (uint32_t[]){7, 8, 9, 10}, 2);
    block.argument_size = 8;
    block.arguments_bytes = 16;
    send_block(&fake, &block);
    mni_msg_finished_t finished = fake_finished(&fake, 0);
    assert_int_equal(finished.items, 2);
    check_again(finished);
    /* Blocks that do not lie in the arena. */
    block.results = UINT64_MAX - 63;
    send_block(&fake, &block);
    fake_finished(&fake, MN_E_PROTOCOL);
    block = fixed_block(&fake, "square", (uint32_t[]){7, 8}, 2);
    block.count = UINT64_MAX / 4 + 2;
    send_block(&fake, &block);
    fake_finished(&fake, MN_E_PROTOCOL);
    block.count = 2;
    block.declaration = declaration("look");
    send_block(&fake, &block);
    fake_finished(&fake, MN_E_UNDECLARED);
    assert_int_equal(fake_exit(&fake), 0);
}

static void test_block_crash_and_stop(void **state)
{
    fake_t fake;
    (void)state;
    start_executor(&fake);
    mni_msg_block_t block = fixed_block(&fake, "odd_only", (uint32_t[]){1, 14, 3, 5}, 4);
    block.result_size = 4;
    send_block(&fake, &block);
    const mni_control_t *control = mni_channel_control(fake.worker);
    while (__atomic_load_n(&control->items_done, __ATOMIC_ACQUIRE) != 1)
        sched_yield();
    fake_stop(&fake, MN_E_CANCELLED);
    /* The item sees the stop, yields all the same, and passes the code on. */
    mni_msg_finished_t finished = fake_finished(&fake, MN_E_CANCELLED);
    assert_int_equal(finished.items, 1);
    assert_int_equal(((const uint32_t *)(mni_channel_arena(fake.worker, NULL) + block.results))[1],
                     14);
    /* Before the first item. */
    send_block(&fake, &block);
    finished = fake_finished(&fake, MN_E_CANCELLED);
    assert_int_equal(finished.items, 0);
    fake_stop(&fake, 0);
    /* An item that ends the process: the items before it are counted. */
    block = fixed_block(&fake, "odd_only", (uint32_t[]){1, 3, 5, 12, 7}, 5);
    block.result_size = 4;
    block.timeout = 100;
    send_block(&fake, &block);
    int status;
    assert_int_equal(waitpid(fake.pid, &status, 0), fake.pid);
    assert_int_equal(WEXITSTATUS(status), 12);
    assert_int_equal(control->items_done, 3);
    assert_true(control->item_started != 0);
    assert_int_equal(((const uint32_t *)(mni_channel_arena(fake.worker, NULL) + block.results))[2],
                     5);
    mni_channel_destroy(fake.worker);
    mni_writer_fini(&fake.writer);
    munmap(fake.bell, 4096);
}

/* --- blocks by value
 * ----------------------------------------------------------------------------------- */

#define ITEMS 60
#define ITEM_BYTES 5000

static mni_msg_block_t value_block(fake_t *fake, size_t room)
{
    static uint8_t bytes[ITEM_BYTES];
    size_t offset = mni_channel_block_offset(fake->worker), size = mni_pack_header(ITEMS);
    uint8_t *pack = mni_channel_arena(fake->worker, NULL) + offset;
    assert_int_equal(mni_channel_reserve(fake->worker, offset, size + ITEMS * (ITEM_BYTES + 64)),
                     0);
    for (size_t i = 0; i < ITEMS; i++) {
        memset(bytes, (int)i, sizeof bytes);
        size = mni_pack_put(pack, size, i, mn_bytes(bytes, ITEM_BYTES - i));
    }
    return (mni_msg_block_t){.declaration = declaration("repeat"),
                             .id = job_id,
                             .threads = 1,
                             .by_value = true,
                             .timeout = INFINITY,
                             .count = ITEMS,
                             .arguments = offset,
                             .arguments_bytes = size,
                             .results = offset + (size + 63) / 64 * 64,
                             .results_room = room};
}

static void test_value_block(void **state)
{
    fake_t fake;
    (void)state;
    start_executor(&fake);
    mni_msg_block_t block = value_block(&fake, 64 << 20);
    send_block(&fake, &block);
    mni_msg_finished_t finished = fake_finished(&fake, 0);
    assert_int_equal(finished.items, ITEMS);
    assert_true(finished.results_bytes > mni_pack_header(ITEMS) &&
                finished.results_bytes <= block.results_room);
    const uint8_t *pack = mni_channel_arena(fake.worker, NULL) + block.results;
    for (size_t i = 0; i < ITEMS; i++) {
        mn_value_t value;
        assert_int_equal(mni_pack_get(pack, finished.results_bytes, ITEMS, i, &value), 0);
        assert_int_equal(value.size, i * (ITEM_BYTES - i));
        for (size_t at = 0; at < value.size; at += 997)
            assert_int_equal(((const uint8_t *)value.data)[at], i);
        assert_int_equal(value.type, i == 0 ? MN_BYTES : MN_UINT8);
    }
    /* Not enough room: what fits is complete. */
    block = value_block(&fake, 1500000);
    send_block(&fake, &block);
    finished = fake_finished(&fake, MN_E_TOO_LARGE);
    assert_true(finished.items > 5 && finished.items < ITEMS);
    assert_true(finished.results_bytes <= 1500000);
    for (size_t i = 0; i < finished.items; i++) {
        mn_value_t value;
        assert_int_equal(mni_pack_get(pack, finished.results_bytes, finished.items, i, &value), 0);
        assert_int_equal(value.size, i * (ITEM_BYTES - i));
    }
    block = value_block(&fake, 100);
    send_block(&fake, &block);
    fake_finished(&fake, MN_E_PROTOCOL);
    block = value_block(&fake, 1 << 20);
    block.arguments_bytes = 64;
    send_block(&fake, &block);
    assert_int_equal(fake_finished(&fake, MN_E_PROTOCOL).items, 0);
    assert_int_equal(fake_exit(&fake), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed_block),
        cmocka_unit_test(test_fixed_block_errors),
        cmocka_unit_test(test_block_crash_and_stop),
        cmocka_unit_test(test_value_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
