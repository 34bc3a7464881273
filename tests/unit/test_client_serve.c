/* SPDX-License-Identifier: MIT
 *
 * What executors and the driver do: tasks, yields, cancels, services; blocks are in test_client_blocks.c. The executor is a
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
/* Only called for, never run here. */
static int square(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

/* --- the worker's side
 * --------------------------------------------------------------------------------- */
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
    fake_expect(fake, MNI_MSG_TASK_ADDRESS, &reader);
    assert_int_equal(mni_get_u64(&reader), 77);
    const char *address = mni_get_text(&reader), *colon = strrchr(address, ':');
    assert_int_equal(mni_reader_end(&reader), 0);
    assert_true(colon && colon > address);
    return (uint32_t)atoi(colon + 1);
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
        cmocka_unit_test(test_driver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
