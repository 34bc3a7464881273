/* SPDX-License-Identifier: MIT
 *
 * What executors and the driver do: tasks, blocks, yields, cancels, services. The executor is a
 * forked process, this test is its worker. User code reports what it finds wrong with mn_fail(),
 * which the worker sees in FINISHED.
 */
#include "client_fake.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

/* In user code. */
#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition))                                                                 \
            return mn_fail(task, MN_E_INTERNAL, "line %d: %s (%s)", __LINE__, #condition, \
                           mn_error_message());                                           \
    } while (0)

static const mn_id_t job_id = {{0xaa, 0xbb}};

/* --- user code: jobs
 * ----------------------------------------------------------------------------------- */

MN_JOB(look, .cpu = 3);
MN_JOB(returns, 0);
MN_JOB(fails, 0);
MN_JOB(goes_on, 0);
MN_JOB(syncs, 0);
MN_JOB(waits_flag, 0);
MN_JOB(waits_callback, 0);
MN_JOB(waits_call, 0);
MN_JOB(leaves_map, 0);
MN_JOB(leaves_thread, 0);
MN_JOB(changes_things, 0);
MN_JOB(clean, .fresh = true);
MN_SERVICE(board, .port = 0);
MN_FUNCTION(square, 0);
MN_FUNCTION(repeat, 0);
MN_FUNCTION(odd_only, 0);
MN_FUNCTION(wrong_calls, 0);

static int look(mn_task_t *task, mn_value_t input)
{
    const char *threads = getenv("OMP_NUM_THREADS");
    mn_value_t last;
    CHECK(strcmp(mn_task_name(task), "look") == 0);
    CHECK(mn_id_equal(mn_task_job(task), job_id));
    CHECK(mn_task_attempt(task) == 4);
    CHECK(mn_task_cpus(task) == 3);
    CHECK(mn_task_port(task) == 0);
    CHECK(threads && strcmp(threads, "3") == 0);
    CHECK(input.type == MN_INT32 && input.ndims == 2 && input.dims[0] == 2 && input.dims[1] == 3);
    CHECK((uintptr_t)input.data % 16 == 0);
    CHECK(((const int32_t *)input.data)[5] == 6);
    CHECK(mn_last_yield(task, &last) == MN_E_NO_RESULT);
    CHECK(mn_yield(task, mn_bytes(NULL, 1)) == MN_E_INVALID);
    CHECK(mn_last_yield(task, &last) == MN_E_NO_RESULT);
    CHECK(mn_progress(task, NAN, NULL) == MN_E_INVALID);
    CHECK(mn_progress(task, 1.01, NULL) == MN_E_INVALID);
    CHECK(mn_progress(task, 0.5, "half way") == 0);
    CHECK(mn_yield(task, input) == 0);
    CHECK(mn_last_yield(task, NULL) == MN_E_INVALID);
    CHECK(mn_last_yield(task, &last) == 0 && last.size == 24 && last.dims[1] == 3);
    return 0;
}

static int returns(mn_task_t *task, mn_value_t input)
{
    int code;
    (void)task;
    memcpy(&code, input.data, sizeof code);
    return code;
}

static int fails(mn_task_t *task, mn_value_t input)
{
    mn_info_t *info;
    (void)input;
    if (input.size == 0) /* the error of a call is what explains the return value */
        return mn_get(job_id, NULL) == MN_E_INVALID ? MN_E_STORE : mn_get(job_id, &info);
    return mn_fail(task, 0, "no such file: %s", "x.dat");
}

/* Goes on from its last yield, a counter. */
static int goes_on(mn_task_t *task, mn_value_t input)
{
    mn_value_t last;
    uint32_t *number;
    (void)input;
    CHECK(mn_last_yield(task, &last) == 0);
    CHECK(last.size == 1 << 20);
    number = malloc(last.size);
    for (int i = 0; i < 3; i++) {
        memcpy(number, last.data, last.size);
        number[0]++;
        CHECK(mn_yield(task, mn_array(MN_UINT32, number, last.size / 4)) == 0);
        CHECK(mn_last_yield(task, &last) == 0);
        CHECK(mn_yield(task, last) == 0); /* the view itself */
        CHECK(mn_last_yield(task, &last) == 0);
        CHECK(memcmp(last.data, number, last.size) == 0);
    }
    free(number);
    return 0;
}

static int syncs(mn_task_t *task, mn_value_t input)
{
    CHECK(mn_yield_sync(task, input) == 0);
    CHECK(mn_yield_sync(task, input) == MN_E_STORE);
    CHECK(strcmp(mn_error_message(), "the disk is full") == 0);
    /* Given up by the cancel while it waits. */
    CHECK(mn_yield_sync(task, input) == MN_E_CANCELLED);
    CHECK(mn_yield_sync(task, input) == MN_E_CANCELLED);
    return MN_E_CANCELLED;
}

static int waits_flag(mn_task_t *task, mn_value_t input)
{
    mn_info_t *info;
    mn_value_t last;
    const volatile int *flag = mn_cancel_flag(task);
    CHECK(flag && *flag == 0 && mn_cancelled(task) == 0);
    mn_yield(task, mn_none()); /* tells the worker to go on; may return its stop already */
    while (*flag == 0)
        sched_yield();
    CHECK(mn_cancelled(NULL) == MN_E_CANCELLED && mn_cancelled(task) == MN_E_CANCELLED);
    CHECK(mn_start(look, input, NULL, NULL) == MN_E_CANCELLED);
    CHECK(mn_get(job_id, &info) == MN_E_CANCELLED);
    CHECK(mn_wait(job_id, -1, &info) == MN_E_CANCELLED);
    CHECK(mn_call(task, square, input, NULL) == MN_E_CANCELLED);
    /* These are carried out first. */
    CHECK(mn_yield(task, mn_text("found")) == MN_E_CANCELLED);
    CHECK(mn_progress(task, 1, "cleaned up") == MN_E_CANCELLED);
    CHECK(mn_cancel(job_id) == MN_E_CANCELLED);
    CHECK(mn_last_yield(task, &last) == 0 && last.size == 5);
    return mn_cancelled(task);
}

static int called_code, called_times;

static void on_cancel(int code, void *argument)
{
    called_code = code;
    __atomic_add_fetch(&called_times, 1, __ATOMIC_SEQ_CST);
    *(int *)argument = 1;
}

static void never(int code, void *argument)
{
    (void)code;
    *(int *)argument = 2;
}

static int waits_callback(mn_task_t *task, mn_value_t input)
{
    int argument = 0, second = 0;
    (void)input;
    called_times = 0;
    CHECK(mn_on_cancel(task, NULL, NULL) == 0);
    CHECK(mn_on_cancel(task, never, &second) == 0);
    CHECK(mn_on_cancel(task, on_cancel, &argument) == 0); /* replaces */
    mn_yield(task, mn_none());
    while (__atomic_load_n(&called_times, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    CHECK(mn_on_cancel(task, NULL, NULL) == 0); /* from here on it does not run */
    CHECK(called_code == MN_E_INTERRUPTED && argument == 1 && second == 0);
    usleep(60000);
    CHECK(called_times == 1);
    /* One that is set when the stop is there already is called, too. */
    CHECK(mn_on_cancel(task, on_cancel, &argument) == 0);
    while (__atomic_load_n(&called_times, __ATOMIC_SEQ_CST) == 1)
        sched_yield();
    return 0;
}

static int waits_call(mn_task_t *task, mn_value_t input)
{
    CHECK(mn_call(task, square, input, NULL) == MN_E_CANCELLED);
    return MN_E_CANCELLED;
}

static int leaves_map(mn_task_t *task, mn_value_t input)
{
    mn_map_stream_t *stream;
    CHECK(mn_map_open(task, square, &input, 1, NULL, &stream) == 0);
    return 0;
}

static void *sleeps(void *unused)
{
    (void)unused;
    pause();
    return NULL;
}

static int leaves_thread(mn_task_t *task, mn_value_t input)
{
    pthread_t thread;
    (void)input;
    CHECK(pthread_create(&thread, NULL, sleeps, NULL) == 0);
    return 0;
}

static int changes_things(mn_task_t *task, mn_value_t input)
{
    (void)input;
    CHECK(getenv("LEFT_BEHIND") == NULL);
    CHECK(setenv("LEFT_BEHIND", "1", 1) == 0);
    CHECK(setenv("OMP_NUM_THREADS", "99", 1) == 0);
    CHECK(chdir("/") == 0);
    return 0;
}

static int clean(mn_task_t *task, mn_value_t input)
{
    (void)task;
    (void)input;
    return 0;
}

static int board(mn_task_t *task, mn_value_t input)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)mn_task_port(task))};
    int descriptor = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    mn_value_t last;
    (void)input;
    CHECK(mn_task_port(task) != 0);
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    CHECK(bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0);
    close(descriptor);
    CHECK(mn_yield(task, mn_none()) == MN_E_WRONG_KIND);
    CHECK(mn_last_yield(task, &last) == MN_E_WRONG_KIND);
    CHECK(mn_progress(task, 0, NULL) == MN_E_WRONG_KIND);
    return 0;
}

/* --- user code: functions
 * ------------------------------------------------------------------------------ */

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

/* --- the worker's side
 * --------------------------------------------------------------------------------- */

static uint32_t declaration(const char *name)
{
    int index = mni_declaration_find(name, 0);
    assert_true(index >= 0);
    return (uint32_t)index;
}

/* The thread sanitizer's own thread, made with the first one of a process, looks like one that was
 * left behind. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_A_THREAD 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define HAS_A_THREAD 1
#endif

/* The task has had a thread of the library's, and the process may be used again all the same. */
static void check_again(mni_msg_finished_t finished)
{
#ifdef HAS_A_THREAD
    (void)finished;
#else
    assert_true(finished.again);
#endif
}

static void start_executor(fake_t *fake)
{
    mni_reader_t reader;
    fake_fork(fake, mni_client_serve);
    fake_expect(fake, MNI_MSG_READY, &reader);
    assert_int_equal(mni_reader_end(&reader), 0);
}

static void send_run(fake_t *fake, mni_msg_run_t run)
{
    if (run.kind == 0)
        run.kind = MN_KIND_JOB;
    run.task = 77;
    run.id = job_id;
    run.attempt = 4;
    if (run.threads == 0)
        run.threads = 1;
    mni_put_run(fake_begin(fake, MNI_MSG_RUN, 0), &run);
    fake_send(fake);
}

static mn_value_t expect_yield(fake_t *fake, uint64_t *request)
{
    mni_reader_t reader;
    fake_expect(fake, MNI_MSG_YIELD, &reader);
    mn_value_t value = mni_get_value(&reader);
    assert_int_equal(mni_reader_end(&reader), 0);
    if (request)
        *request = reader.request;
    else
        assert_int_equal(reader.request, 0);
    return value;
}

static void test_run(void **state)
{
    static const int32_t numbers[] = {1, 2, 3, 4, 5, 6};
    mni_reader_t reader;
    fake_t fake;
    (void)state;
    start_executor(&fake);
    for (int round = 0; round < 2; round++) {
        send_run(&fake, (mni_msg_run_t){.declaration = declaration("look"),
                                        .threads = 3,
                                        .input = mn_matrix(MN_INT32, numbers, 2, 3)});
        fake_expect(&fake, MNI_MSG_PROGRESS, &reader);
        assert_true(mni_get_f64(&reader) == 0.5);
        assert_string_equal(mni_get_text(&reader), "half way");
        mn_value_t value = expect_yield(&fake, NULL);
        assert_int_equal(value.type, MN_INT32);
        assert_memory_equal(value.data, numbers, sizeof numbers);
        mni_msg_finished_t finished = fake_finished(&fake, 0);
        assert_int_equal(finished.reason, MN_REASON_RETURNED);
        assert_true(finished.again);
    }
    assert_int_equal(fake_exit(&fake), 0);
}

static void test_returns(void **state)
{
    static const struct {
        int returned, code;
        const char *message;
    } rows[] = {
        {MN_E_FAILED, MN_E_FAILED, "returns returned MN_E_FAILED: failed"},
        {MN_E_CANCELLED, MN_E_CANCELLED, "returns returned MN_E_CANCELLED: cancelled"},
        {7, MN_E_FAILED, "returns returned 7"},
        {-999, MN_E_FAILED, "returns returned -999"},
    };
    fake_t fake;
    (void)state;
    start_executor(&fake);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        send_run(&fake,
                 (mni_msg_run_t){.declaration = declaration("returns"),
                                 .input = mn_bytes(&rows[i].returned, sizeof rows[i].returned)});
        mni_msg_finished_t finished = fake_finished(&fake, rows[i].code);
        assert_string_equal(finished.message, rows[i].message);
        assert_int_equal(finished.reason, MN_REASON_ERROR);
    }
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("fails"), .input = mn_text("x")});
    assert_string_equal(fake_finished(&fake, MN_E_FAILED).message, "no such file: x.dat");
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("fails")});
    mni_msg_finished_t finished = fake_finished(&fake, MN_E_STORE);
    assert_non_null(strstr(finished.message,
                           "fails returned MN_E_STORE: the store failed (its last failed call: "));
    /* What does not exist. */
    send_run(&fake, (mni_msg_run_t){.declaration = 9999});
    assert_true(fake_finished(&fake, MN_E_UNDECLARED).again);
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("square")});
    fake_finished(&fake, MN_E_UNDECLARED);
    fake_begin(&fake, MNI_MSG_RUN, 0);
    fake_send(&fake);
    fake_finished(&fake, MN_E_PROTOCOL);
    assert_int_equal(fake_exit(&fake), 0);
}

static void test_last_yield(void **state)
{
    size_t count = 1 << 18;
    uint32_t *numbers = calloc(count, sizeof *numbers);
    fake_t fake;
    (void)state;
    numbers[0] = 41;
    numbers[count - 1] = 5;
    start_executor(&fake);
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("goes_on"),
                                    .has_last = true,
                                    .last = mn_array(MN_UINT32, numbers, count)});
    for (uint32_t i = 0; i < 6; i++) {
        mn_value_t value = expect_yield(&fake, NULL);
        assert_int_equal(((const uint32_t *)value.data)[0], 42 + i / 2);
        assert_int_equal(((const uint32_t *)value.data)[count - 1], 5);
    }
    fake_finished(&fake, 0);
    assert_int_equal(fake_exit(&fake), 0);
    free(numbers);
}

static void test_yield_sync(void **state)
{
    uint64_t request;
    fake_t fake;
    (void)state;
    start_executor(&fake);
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("syncs"), .input = mn_text("kept")});
    expect_yield(&fake, &request);
    assert_true(request != 0);
    fake_reply(&fake, request, 0, NULL);
    fake_send(&fake);
    expect_yield(&fake, &request);
    fake_reply(&fake, request, MN_E_STORE, "the disk is full");
    fake_send(&fake);
    expect_yield(&fake, &request);
    fake_stop(&fake, MN_E_CANCELLED);
    expect_yield(&fake, NULL); /* asked to stop already: sent, not waited for */
    fake_finished(&fake, MN_E_CANCELLED);
    assert_int_equal(fake_exit(&fake), 0);
}

static void test_cancel_flag(void **state)
{
    mni_reader_t reader;
    fake_t fake;
    (void)state;
    start_executor(&fake);
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("waits_flag")});
    expect_yield(&fake, NULL);
    fake_stop(&fake, MN_E_CANCELLED);
    assert_int_equal(expect_yield(&fake, NULL).size, 5);
    fake_expect(&fake, MNI_MSG_PROGRESS, &reader);
    fake_expect(&fake, MNI_MSG_CANCEL, &reader);
    fake_reply(&fake, reader.request, 0, NULL);
    fake_send(&fake);
    mni_msg_finished_t finished = fake_finished(&fake, MN_E_CANCELLED);
    assert_int_equal(finished.reason, MN_REASON_ERROR);
    assert_int_equal(fake_exit(&fake), 0);
}

static void test_cancel_callback(void **state)
{
    fake_t fake;
    (void)state;
    start_executor(&fake);
    for (int round = 0; round < 3; round++) {
        fake_stop(&fake, 0);
        send_run(&fake, (mni_msg_run_t){.declaration = declaration("waits_callback")});
        expect_yield(&fake, NULL);
        fake_stop(&fake, MN_E_INTERRUPTED);
        /* Its thread is gone, so the process may be used again. */
        check_again(fake_finished(&fake, 0));
    }
    assert_int_equal(fake_exit(&fake), 0);
}

/* A call is given up at once; the map is closed before the task goes on. */
static void test_cancel_in_call(void **state)
{
    mni_reader_t reader;
    uint64_t map;
    fake_t fake;
    (void)state;
    start_executor(&fake);
    send_run(&fake,
             (mni_msg_run_t){.declaration = declaration("waits_call"), .input = mn_text("abcd")});
    fake_expect(&fake, MNI_MSG_MAP, &reader);
    map = reader.request;
    fake_stop(&fake, MN_E_CANCELLED);
    fake_expect(&fake, MNI_MSG_MAP_CLOSE, &reader);
    assert_int_equal(reader.request, map);
    fake_end_map(&fake, map, MN_E_CANCELLED, 0, "cancelled"); /* crosses with the close */
    fake_reply(&fake, map, 0, NULL);
    fake_send(&fake);
    fake_finished(&fake, MN_E_CANCELLED);
    fake_stop(&fake, 0);
    /* A map that user code did not close is closed for it. */
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("leaves_map")});
    fake_expect(&fake, MNI_MSG_MAP, &reader);
    map = reader.request;
    fake_expect(&fake, MNI_MSG_MAP_CLOSE, &reader);
    assert_int_equal(reader.request, map);
    fake_reply(&fake, map, 0, NULL);
    fake_send(&fake);
    assert_true(fake_finished(&fake, 0).again);
    assert_int_equal(fake_exit(&fake), 0);
}

static void test_again(void **state)
{
    fake_t fake;
    (void)state;
    start_executor(&fake);
    for (int round = 0; round < 2; round++) {
        send_run(&fake,
                 (mni_msg_run_t){.declaration = declaration("changes_things"), .threads = 2});
        assert_true(fake_finished(&fake, 0).again);
    }
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("clean")});
    assert_false(fake_finished(&fake, 0).again); /* .fresh */
    send_run(&fake, (mni_msg_run_t){.declaration = declaration("leaves_thread")});
    assert_false(fake_finished(&fake, 0).again);
    assert_int_equal(fake_exit(&fake), 0);
}

/* --- services
 * ------------------------------------------------------------------------------------------ */

static uint32_t expect_port(fake_t *fake)
{
    mni_reader_t reader;
    fake_expect(fake, MNI_MSG_TASK_PORT, &reader);
    assert_int_equal(mni_get_u64(&reader), 77);
    uint32_t port = mni_get_u32(&reader);
    assert_int_equal(mni_reader_end(&reader), 0);
    return port;
}

static void test_service(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    char sentence[64];
    fake_t fake;
    (void)state;
    start_executor(&fake);
    mni_msg_run_t run = {.kind = MN_KIND_SERVICE, .declaration = declaration("board")};
    send_run(&fake, run);
    run.port = expect_port(&fake);
    assert_in_range(run.port, 1024, 65535);
    fake_finished(&fake, 0);
    send_run(&fake, run);
    assert_int_equal(expect_port(&fake), run.port);
    fake_finished(&fake, 0);
    /* One on which somebody listens. */
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    run.port = ntohs(address.sin_port);
    send_run(&fake, run);
    snprintf(sentence, sizeof sentence, "port %u is taken", run.port);
    assert_string_equal(fake_finished(&fake, MN_E_FAILED).message, sentence);
    close(listener);
    assert_int_equal(fake_exit(&fake), 0);
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

/* --- the driver
 * ---------------------------------------------------------------------------------------- */

static int driver(mn_task_t *task, int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "board") != 0 || strcmp(mn_task_name(task), "driver") != 0)
        return 1;
    if (mn_yield(task, mn_none()) != MN_E_WRONG_KIND)
        return 2;
    return mn_cancel(job_id) == 1 ? 0x1234 : 3;
}

static void test_driver(void **state)
{
    char *arguments[] = {"program", "board", NULL};
    mni_reader_t reader;
    fake_t fake;
    (void)state;
    mni_client_set_driver(driver, 2, arguments);
    fake_fork(&fake, mni_client_drive);
    fake_expect(&fake, MNI_MSG_READY, &reader);
    mni_put_run(fake_begin(&fake, MNI_MSG_RUN, 0), &(mni_msg_run_t){.kind = 0});
    fake_send(&fake);
    fake_expect(&fake, MNI_MSG_CANCEL, &reader);
    fake_reply(&fake, reader.request, 1, NULL);
    fake_send(&fake);
    assert_int_equal(fake_wait(&fake), 0x34);

    fake_fork(&fake, mni_client_drive);
    fake_expect(&fake, MNI_MSG_READY, &reader);
    assert_int_equal(fake_exit(&fake), 0); /* EXIT instead of RUN */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_returns),
        cmocka_unit_test(test_last_yield),
        cmocka_unit_test(test_yield_sync),
        cmocka_unit_test(test_cancel_flag),
        cmocka_unit_test(test_cancel_callback),
        cmocka_unit_test(test_cancel_in_call),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_service),
        cmocka_unit_test(test_fixed_block),
        cmocka_unit_test(test_fixed_block_errors),
        cmocka_unit_test(test_block_crash_and_stop),
        cmocka_unit_test(test_value_block),
        cmocka_unit_test(test_driver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
