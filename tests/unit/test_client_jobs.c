/* SPDX-License-Identifier: MIT
 *
 * Calls about jobs: what is refused before anything is sent, what is sent, and what is made of the
 * replies. The worker is played in the same process.
 */
#include "client_fake.h"

#include "client/call.h"

#include <math.h>

MN_JOB(search, .cpu = 2, .memory = "1GiB");
MN_FUNCTION(square, 0);
MN_SERVICE(board, .port = 8080);

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

static int board(mn_task_t *task, mn_value_t input)
{
    (void)task;
    return (int)input.size + 2;
}

static const mn_id_t some_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* --- ids, names
 * ---------------------------------------------------------------------------------------- */

static void test_ids(void **state)
{
    static const char *const bad[] = {"",
                                      "8f14e45f",
                                      "8f14e45f-ceea-467f-a1d3-9b2f6c5d7e1",
                                      "8f14e45f-ceea-467f-a1d3-9b2f6c5d7e100",
                                      "8f14e45g-ceea-467f-a1d3-9b2f6c5d7e10",
                                      "8f14e45fceea-467f-a1d3--9b2f6c5d7e10",
                                      "8f14e45f-ceea-467f-a1d3_9b2f6c5d7e10",
                                      "8f14e45f-ceea:467f-a1d3-9b2f6c5d7e10",
                                      "8f14e45f-ceea-467f-a1d3-9b2f6c5d7e1@",
                                      "-f14e45f-ceea-467f-a1d3-9b2f6c5d7e10",
                                      "8f14e45f-ceea-467f-a1d3-9b2f6c5d7e\xe1\xe0",
                                      "\n"};
    char text[MN_ID_TEXT];
    mn_id_t id = some_id;
    (void)state;
    assert_ptr_equal(mn_id_format(some_id, text), text);
    assert_string_equal(text, "01020304-0506-0708-090a-0b0c0d0e0f10");
    assert_int_equal(mn_id_parse("8F14E45F-ceea-467f-a1d3-9b2f6c5d7e10", &id), 0);
    assert_false(mn_id_equal(id, some_id));
    assert_int_equal(mn_id_parse(text, &id), 0);
    assert_true(mn_id_equal(id, some_id));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mn_id_parse(bad[i], &id), MN_E_INVALID);
        assert_true(mn_id_equal(id, some_id));
    }
    assert_int_equal(mn_id_parse(NULL, &id), MN_E_INVALID);
    assert_int_equal(mn_id_parse(text, NULL), MN_E_INVALID);
    assert_null(mn_id_format(some_id, NULL));
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(mn_status_name(MN_CANCELLING), "CANCELLING");
    assert_string_equal(mn_status_name((mn_status_t)6), "UNKNOWN");
    assert_string_equal(mn_reason_name(MN_REASON_OUT_OF_MEMORY), "out-of-memory");
    assert_string_equal(mn_reason_name((mn_reason_t)99), "unknown");
    assert_true(mn_status_terminal(MN_FAILED));
    assert_false(mn_status_terminal(MN_CANCELLING));
    assert_string_equal(mn_version(), MN_VERSION);
}

/* --- outside of a runtime
 * ------------------------------------------------------------------------------ */

static void test_no_runtime(void **state)
{
    mn_info_t *info = NULL;
    mn_id_t id = some_id, ids[2];
    mn_lock_t *locks = NULL;
    mn_value_t value = mn_none();
    char address[8], *text = NULL;
    size_t count = 7;
    mn_map_stream_t *stream = NULL;
    (void)state;
    assert_int_equal(mn_start(search, mn_none(), NULL, &id), MN_E_NO_RUNTIME);
    fake_says("mn_main()");
    assert_true(mn_id_equal(id, some_id));
    assert_int_equal(mn_get(id, &info), MN_E_NO_RUNTIME);
    assert_int_equal(mn_wait(id, 0, &info), MN_E_NO_RUNTIME);
    assert_int_equal(mn_watch(id, 0, 0, &info), MN_E_NO_RUNTIME);
    assert_int_equal(mn_cancel(id), MN_E_NO_RUNTIME);
    assert_int_equal(mn_cancel_within(id, 1), MN_E_NO_RUNTIME);
    assert_int_equal(mn_remove(id), MN_E_NO_RUNTIME);
    assert_int_equal(mn_list(NULL, ids, 2, &count), MN_E_NO_RUNTIME);
    assert_int_equal(count, 7);
    assert_int_equal(mn_locks(&locks, &count), MN_E_NO_RUNTIME);
    assert_int_equal(mn_log(id, 0, MN_STDOUT, &text, NULL), MN_E_NO_RUNTIME);
    assert_int_equal(mn_explain(id, &text), MN_E_NO_RUNTIME);
    assert_int_equal(mn_service_address("board", address, sizeof address), MN_E_NO_RUNTIME);
    assert_int_equal(mn_yield(NULL, value), MN_E_NO_RUNTIME);
    assert_int_equal(mn_yield_sync(NULL, value), MN_E_NO_RUNTIME);
    assert_int_equal(mn_last_yield(NULL, &value), MN_E_NO_RUNTIME);
    assert_int_equal(mn_progress(NULL, 0, NULL), MN_E_NO_RUNTIME);
    assert_int_equal(mn_on_cancel(NULL, NULL, NULL), MN_E_NO_RUNTIME);
    assert_int_equal(mn_call(NULL, square, value, &value), MN_E_NO_RUNTIME);
    assert_int_equal(mn_map_fixed(NULL, square, NULL, 0, 0, NULL, 0, NULL), MN_E_NO_RUNTIME);
    assert_int_equal(mn_map_values(NULL, square, NULL, 0, NULL, NULL), MN_E_NO_RUNTIME);
    assert_int_equal(mn_map_open(NULL, square, NULL, 0, NULL, &stream), MN_E_NO_RUNTIME);
    assert_true(mn_fail(NULL, -1, "x") < 0);
    assert_int_equal(mn_cancelled(NULL), 0);
    assert_null(mn_cancel_flag(NULL));
    assert_int_equal(mn_map_next(NULL, &value), MN_E_INVALID);
    mn_map_close(NULL);
    mn_info_destroy(NULL);
    mn_locks_destroy(NULL);
    mn_item_errors_destroy(NULL, 5);
    mn_value_destroy(NULL);
    assert_string_equal(mn_task_name(NULL), "");
    assert_int_equal(mn_task_cpus(NULL), 0);
    assert_int_equal(mn_task_port(NULL), 0);
    assert_int_equal(mn_task_attempt(NULL), 0);
    assert_true(mn_id_equal(mn_task_job(NULL), (mn_id_t){{0}}));
}

/* --- what is refused before it is sent
 * ----------------------------------------------------------------- */

static int start_with(mn_start_options_t options)
{
    return mn_start(search, mn_none(), &options, NULL);
}

static void test_bad_starts(void **state)
{
    fake_t *fake = *state;
    char huge[300];
    memset(huge, 'x', sizeof huge);
    huge[sizeof huge - 1] = 0;
    assert_int_equal(mn_start(NULL, mn_none(), NULL, NULL), MN_E_INVALID);
    assert_int_equal(mn_start(square, mn_none(), NULL, NULL), MN_E_WRONG_KIND);
    fake_says("square is a function");
    assert_int_equal(mn_start(board, mn_none(), NULL, NULL), MN_E_WRONG_KIND);
    assert_int_equal(mn_start_named(NULL, mn_none(), NULL, NULL), MN_E_INVALID);
    assert_int_equal(mn_start_named("nothing", mn_none(), NULL, NULL), MN_E_UNDECLARED);
    assert_int_equal(mn_start(search, mn_bytes(NULL, 4), NULL, NULL), MN_E_INVALID);
    fake_says("the input of search");
    assert_int_equal(mn_start(search, mn_bytes("", SIZE_MAX), NULL, NULL), MN_E_TOO_LARGE);
    assert_int_equal(mn_start(search, mn_tensor(MN_INT8, "", 9, NULL), NULL, NULL), MN_E_INVALID);
    assert_int_equal(start_with((mn_start_options_t){.lock = ""}), MN_E_INVALID);
    assert_int_equal(start_with((mn_start_options_t){.lock = "a\tb"}), MN_E_INVALID);
    fake_says("the lock");
    assert_int_equal(start_with((mn_start_options_t){.tag = huge}), MN_E_INVALID);
    assert_int_equal(start_with((mn_start_options_t){.key = "\xff"}), MN_E_INVALID);
    assert_int_equal(start_with((mn_start_options_t){.memory = "-1"}), MN_E_INVALID);
    fake_says("search: memory: \"-1\"");
    assert_int_equal(start_with((mn_start_options_t){.memory = ""}), MN_E_INVALID);
    assert_int_equal(start_with((mn_start_options_t){.cpu = 1.5}), MN_E_INVALID);
    assert_int_equal(start_with((mn_start_options_t){.timeout = -1}), MN_E_INVALID);
    assert_int_equal(start_with((mn_start_options_t){.grace = NAN}), MN_E_INVALID);
    assert_int_equal(fake->frames, 0);
}

static void test_bad_calls(void **state)
{
    fake_t *fake = *state;
    mn_id_t ids[1];
    mn_info_t *info;
    mn_lock_t *locks;
    char *text, address[4];
    size_t count;
    assert_int_equal(mn_get(some_id, NULL), MN_E_INVALID);
    assert_int_equal(mn_wait(some_id, NAN, &info), MN_E_INVALID);
    assert_int_equal(mn_watch(some_id, 1, NAN, &info), MN_E_INVALID);
    assert_int_equal(mn_cancel_within(some_id, NAN), MN_E_INVALID);
    assert_int_equal(mn_cancel_within(some_id, -3), MN_E_INVALID);
    assert_int_equal(mn_list(NULL, NULL, 1, &count), MN_E_INVALID);
    assert_int_equal(mn_list(NULL, ids, 1, NULL), MN_E_INVALID);
    assert_int_equal(mn_list(&(mn_list_options_t){.statuses = 1u << 9}, ids, 1, &count),
                     MN_E_INVALID);
    assert_int_equal(mn_list(&(mn_list_options_t){.tag = "\n"}, ids, 1, &count), MN_E_INVALID);
    assert_int_equal(mn_locks(NULL, &count), MN_E_INVALID);
    fake_says("locks");
    assert_int_equal(mn_locks(&locks, NULL), MN_E_INVALID);
    assert_int_equal(mn_log(some_id, 0, MN_STDOUT, NULL, NULL), MN_E_INVALID);
    assert_int_equal(mn_explain(some_id, NULL), MN_E_INVALID);
    assert_int_equal(mn_log(some_id, 0, (mn_stream_t)3, &text, NULL), MN_E_INVALID);
    assert_int_equal(mn_service_address(NULL, address, 4), MN_E_INVALID);
    assert_int_equal(mn_service_address("search", address, 4), MN_E_WRONG_KIND);
    assert_int_equal(mn_service_address("nothing", address, 4), MN_E_UNDECLARED);
    assert_int_equal(mn_service_address("board", NULL, 4), MN_E_INVALID);
    assert_int_equal(fake->frames, 0);
}

/* What a driver may not do, and its handle. */
static void test_driver_handle(void **state)
{
    fake_t *fake = *state;
    mn_value_t value;
    mn_task_t *other;
    assert_int_equal(mn_yield(fake->task, mn_none()), MN_E_WRONG_KIND);
    assert_int_equal(mn_yield_sync(fake->task, mn_none()), MN_E_WRONG_KIND);
    assert_int_equal(mn_last_yield(fake->task, &value), MN_E_WRONG_KIND);
    assert_int_equal(mn_progress(fake->task, 0.5, NULL), MN_E_WRONG_KIND);
    assert_int_equal(mn_yield((mn_task_t *)fake, mn_none()), MN_E_INVALID);
    assert_int_equal(mn_yield(NULL, mn_none()), MN_E_INVALID);
    assert_int_equal(mn_fail((mn_task_t *)fake, -13, "x"), MN_E_INVALID);
    assert_int_equal(mn_fail(fake->task, MN_E_STORE, "no %s", "file"), MN_E_STORE);
    fake_says("no file");
    assert_int_equal(mn_fail(fake->task, 5, NULL), MN_E_FAILED);
    assert_string_equal(mn_task_name(fake->task), "driver");
    assert_int_equal(mn_task_cpus(fake->task), 0);
    assert_string_equal(mn_task_name((mn_task_t *)fake), "");
    assert_null(mn_cancel_flag((mn_task_t *)fake));
    assert_int_equal(*mn_cancel_flag(fake->task), 0);
    assert_int_equal(mni_client_open(fake->client, &other), MN_E_WRONG_KIND);
    assert_int_equal(fake->frames, 0);
}

/* --- requests and replies
 * ------------------------------------------------------------------------------ */

static void answer_start(fake_t *fake, mni_reader_t *reader)
{
    assert_int_equal(reader->type, MNI_MSG_START);
    mni_msg_start_t start = mni_get_start(reader);
    assert_string_equal(start.job, "search");
    assert_int_equal(start.input.size, 3 * sizeof(double));
    assert_int_equal(start.input.type, MN_FLOAT64);
    assert_true(((const double *)start.input.data)[2] == 2.5);
    assert_string_equal(start.lock, "table-7");
    assert_string_equal(start.memory, "2GiB");
    assert_null(start.tag);
    assert_true(start.cpu == 3 && start.timeout == 9 && start.grace == MN_NO_GRACE);
    assert_int_equal(start.priority, -2);
    assert_true(start.cancel_with_parent);
    /* A reply to something else comes first. */
    fake_reply(fake, reader->request + 1000, 0, NULL);
    fake_send(fake);
    mni_put_id(fake_reply(fake, reader->request, 0, NULL), some_id);
    fake_send(fake);
}

static void refuse_start(fake_t *fake, mni_reader_t *reader)
{
    mni_get_start(reader);
    fake_reply(fake, reader->request, MN_E_LOCK_IN_USE, "the lock table-7 is held by 0102");
    fake_send(fake);
}

static void test_start(void **state)
{
    fake_t *fake = *state;
    const double input[] = {0.5, 1.5, 2.5};
    mn_start_options_t options = {.lock = "table-7",
                                  .cpu = 3,
                                  .memory = "2GiB",
                                  .timeout = 9,
                                  .grace = MN_NO_GRACE,
                                  .priority = -2,
                                  .cancel_with_parent = true};
    mn_id_t id = {{0}};
    fake->answer = answer_start;
    assert_int_equal(mn_start(search, mn_array(MN_FLOAT64, input, 3), &options, &id), 0);
    assert_true(mn_id_equal(id, some_id));
    assert_int_equal(mn_start_named("search", mn_array(MN_FLOAT64, input, 3), &options, NULL), 0);
    fake->answer = refuse_start;
    id = (mn_id_t){{9}};
    assert_int_equal(mn_start(search, mn_none(), NULL, &id), MN_E_LOCK_IN_USE);
    fake_says("held by 0102");
    assert_int_equal(id.bytes[0], 9);
}

static int16_t numbers[] = {1, -2, 3};

static mn_info_t full_info(void)
{
    return (mn_info_t){.id = some_id,
                       .job = "search",
                       .status = MN_FAILED,
                       .reason = MN_REASON_ERROR,
                       .error = "it broke",
                       .result = {numbers, 6, MN_INT16, 1, {3}},
                       .yields = 4,
                       .version = 12,
                       .attempts = 2,
                       .progress = 0.25,
                       .message = "half way",
                       .created = 1,
                       .started = 2,
                       .ended = 3,
                       .lock = "l",
                       .tag = NULL,
                       .key = "k",
                       .host = "n1",
                       .rank = 3,
                       .cpus = "0-3"};
}

static double asked_timeout;
static uint64_t asked_seen;

static void answer_info(fake_t *fake, mni_reader_t *reader)
{
    mn_info_t info = full_info();
    assert_true(mn_id_equal(mni_get_id(reader), some_id));
    if (reader->type == MNI_MSG_WAIT) {
        asked_seen = mni_get_u64(reader);
        asked_timeout = mni_get_f64(reader);
    }
    mni_put_info(fake_reply(fake, reader->request, 0, NULL), &info);
    fake_send(fake);
}

static void check_info(mn_info_t *info)
{
    assert_true(mn_id_equal(info->id, some_id));
    assert_string_equal(info->job, "search");
    assert_int_equal(info->status, MN_FAILED);
    assert_string_equal(info->error, "it broke");
    assert_int_equal(info->result.size, 6);
    assert_int_equal(info->result.type, MN_INT16);
    assert_memory_equal(info->result.data, numbers, 6);
    assert_true((uintptr_t)info->result.data % 16 == 0);
    assert_true(info->yields == 4 && info->version == 12 && info->attempts == 2);
    assert_string_equal(info->message, "half way");
    assert_null(info->tag);
    assert_string_equal(info->key, "k");
    assert_string_equal(info->host, "n1");
    assert_string_equal(info->cpus, "0-3");
    assert_int_equal(info->rank, 3);
    mn_info_destroy(info);
}

static void test_infos(void **state)
{
    fake_t *fake = *state;
    mn_info_t *info = NULL;
    fake->answer = answer_info;
    assert_int_equal(mn_get(some_id, &info), 0);
    check_info(info);
    assert_int_equal(mn_wait(some_id, 2.5, &info), 0);
    check_info(info);
    assert_true(asked_timeout == 2.5 && asked_seen == UINT64_MAX);
    assert_int_equal(mn_wait(some_id, INFINITY, NULL), 0);
    assert_true(asked_timeout < 0);
    assert_int_equal(mn_watch(some_id, 11, -5, &info), 0);
    assert_true(asked_timeout < 0 && asked_seen == 11);
    check_info(info);
    assert_int_equal(mn_watch(some_id, UINT64_MAX, 0, NULL), 0);
    assert_true(asked_seen == UINT64_MAX - 1 && asked_timeout == 0);
}

static void answer_malformed(fake_t *fake, mni_reader_t *reader)
{
    reader->at = reader->end;
    mni_put_u32(fake_reply(fake, reader->request, 0, NULL), 0xffffffff);
    fake_send(fake);
}

static void test_malformed_replies(void **state)
{
    fake_t *fake = *state;
    mn_info_t *info = NULL;
    mn_lock_t *locks = NULL;
    mn_id_t ids[4], id = some_id;
    size_t count = 77;
    char *text = NULL, address[10] = "x";
    fake->answer = answer_malformed;
    assert_int_equal(mn_get(some_id, &info), MN_E_PROTOCOL);
    assert_int_equal(mn_wait(some_id, 1, &info), MN_E_PROTOCOL);
    assert_int_equal(mn_start(search, mn_none(), NULL, &id), MN_E_PROTOCOL);
    assert_int_equal(mn_list(NULL, ids, 4, &count), MN_E_PROTOCOL);
    assert_int_equal(mn_locks(&locks, &count), MN_E_PROTOCOL);
    assert_int_equal(mn_log(some_id, 0, MN_STDOUT, &text, &count), MN_E_PROTOCOL);
    assert_int_equal(mn_explain(some_id, &text), MN_E_PROTOCOL);
    assert_int_equal(mn_service_address("board", address, sizeof address), MN_E_PROTOCOL);
    assert_int_equal(mn_cancel(some_id), MN_E_PROTOCOL);
    assert_int_equal(mn_remove(some_id), MN_E_PROTOCOL);
    assert_null(info);
    assert_null(locks);
    assert_null(text);
    assert_int_equal(count, 77);
    assert_string_equal(address, "x");
    assert_true(mn_id_equal(id, some_id));
}

static double asked_grace;
static int cancel_code;

static void answer_cancel(fake_t *fake, mni_reader_t *reader)
{
    assert_true(mn_id_equal(mni_get_id(reader), some_id));
    if (reader->type == MNI_MSG_CANCEL)
        asked_grace = mni_get_f64(reader);
    fake_reply(fake, reader->request, cancel_code, cancel_code < 0 ? "no job 0102" : NULL);
    fake_send(fake);
}

static void test_cancel_and_remove(void **state)
{
    fake_t *fake = *state;
    fake->answer = answer_cancel;
    cancel_code = 0;
    assert_int_equal(mn_cancel(some_id), 0);
    assert_true(isnan(asked_grace));
    cancel_code = 1;
    assert_int_equal(mn_cancel_within(some_id, 2), 1);
    assert_true(asked_grace == 2);
    assert_int_equal(mn_cancel_within(some_id, MN_NO_GRACE), 1);
    assert_true(asked_grace < 0);
    assert_int_equal(mn_cancel_within(some_id, 0), 1);
    assert_true(asked_grace < 0);
    cancel_code = 0;
    assert_int_equal(mn_remove(some_id), 0);
    cancel_code = MN_E_NO_JOB;
    assert_int_equal(mn_remove(some_id), MN_E_NO_JOB);
    fake_says("no job 0102");
    assert_int_equal(mn_cancel(some_id), MN_E_NO_JOB);
}

/* Rank 0 has `total` jobs, numbered from the newest, 0; job `gone` is removed once it has been
 * listed. */
static uint32_t list_total, list_gone;

static mn_id_t numbered(uint32_t number)
{
    mn_id_t id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    return id;
}

static void answer_list(fake_t *fake, mni_reader_t *reader)
{
    mni_msg_list_t list = mni_get_list(reader);
    uint32_t first = 0;
    if (list.has_after) {
        memcpy(&first, list.after.bytes, sizeof first);
        if (first == list_gone || first >= list_total) {
            fake_reply(fake, reader->request, MN_E_NO_JOB, "no such job");
            fake_send(fake);
            return;
        }
        first++;
        if (first == list_gone)
            first++;
    }
    uint32_t n = list_total - first < list.capacity ? list_total - first : list.capacity;
    mni_put_u32(fake_reply(fake, reader->request, 0, NULL), n);
    for (uint32_t i = 0; i < n; i++)
        mni_put_id(&fake->writer, numbered(first + i));
    fake_send(fake);
}

static void test_list(void **state)
{
    fake_t *fake = *state;
    size_t capacity = 200000, count = 0;
    mn_id_t *ids = calloc(capacity, sizeof *ids), after = numbered(4);
    fake->answer = answer_list;
    list_total = 10;
    list_gone = UINT32_MAX;
    assert_int_equal(mn_list(NULL, ids, 3, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(mn_list(&(mn_list_options_t){.after = &after}, ids, 100, &count), 0);
    assert_int_equal(count, 5);
    assert_true(mn_id_equal(ids[0], numbered(5)));
    after = numbered(99);
    assert_int_equal(mn_list(&(mn_list_options_t){.after = &after}, ids, 100, &count), MN_E_NO_JOB);
    assert_int_equal(count, 5);
    assert_int_equal(mn_list(NULL, NULL, 0, &count), 0);
    assert_int_equal(count, 0);
    /* Several pages, and the last id of the first page is removed meanwhile. */
    list_total = 150000;
    list_gone = 65535;
    assert_int_equal(mn_list(NULL, ids, capacity, &count), 0);
    assert_int_equal(count, 150000);
    for (uint32_t i = 0; i < count; i++)
        assert_true(mn_id_equal(ids[i], numbered(i)));
    free(ids);
}

static void answer_locks(fake_t *fake, mni_reader_t *reader)
{
    mni_put_u32(fake_reply(fake, reader->request, 0, NULL), 2);
    mni_put_text(&fake->writer, "a");
    mni_put_id(&fake->writer, some_id);
    mni_put_text(&fake->writer, "b");
    mni_put_id(&fake->writer, numbered(5));
    fake_send(fake);
}

static void answer_log(fake_t *fake, mni_reader_t *reader)
{
    mni_get_id(reader);
    assert_int_equal(mni_get_u32(reader), 2);
    assert_int_equal(mni_get_u8(reader), MN_STDERR);
    assert_int_equal(mni_get_u64(reader), 0); /* from its beginning */
    mni_put_log(fake_reply(fake, reader->request, 0, NULL),
                &(mni_msg_log_t){.text = "one\0two", .size = 7, .next = 7, .attempt = 2});
    fake_send(fake);
}

static void answer_service(fake_t *fake, mni_reader_t *reader)
{
    assert_string_equal(mni_get_text(reader), "board");
    mni_put_text(fake_reply(fake, reader->request, 0, NULL), "n1:8080");
    fake_send(fake);
}

static void answer_explain(fake_t *fake, mni_reader_t *reader)
{
    assert_int_equal(reader->type, MNI_MSG_EXPLAIN);
    assert_true(mn_id_equal(mni_get_id(reader), some_id));
    mni_put_text(fake_reply(fake, reader->request, 0, NULL), "needs 2 cores");
    fake_send(fake);
}

static void test_locks_log_service(void **state)
{
    fake_t *fake = *state;
    mn_lock_t *locks;
    char *text, address[8];
    size_t count, size;
    fake->answer = answer_locks;
    assert_int_equal(mn_locks(&locks, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(locks[1].name, "b");
    assert_true(mn_id_equal(locks[0].holder, some_id));
    mn_locks_destroy(locks);
    fake->answer = answer_log;
    assert_int_equal(mn_log(some_id, 2, MN_STDERR, &text, &size), 0);
    assert_int_equal(size, 7);
    assert_memory_equal(text, "one\0two", 8);
    free(text);
    fake->answer = answer_explain;
    assert_int_equal(mn_explain(some_id, &text), 0);
    assert_string_equal(text, "needs 2 cores");
    free(text);
    fake->answer = answer_service;
    assert_int_equal(mn_service_address("board", address, 8), 0);
    assert_string_equal(address, "n1:8080");
    assert_int_equal(mn_service_address("board", address, 7), MN_E_TOO_LARGE);
    fake_says("8 bytes");
    assert_int_equal(mn_service_address("board", address, 0), MN_E_TOO_LARGE);
}

/* --- a runtime that stops
 * ------------------------------------------------------------------------------ */

static uint64_t late_request;

static void answer_never(fake_t *fake, mni_reader_t *reader)
{
    (void)fake;
    late_request = reader->request;
    reader->at = reader->end;
}

static void stop_when_idle(fake_t *fake)
{
    fake_stop(fake, MN_E_INTERRUPTED);
}

static void test_waits_are_given_up(void **state)
{
    fake_t *fake = *state;
    mn_info_t *info = NULL, view = full_info();
    fake->answer = answer_never;
    fake->idle = stop_when_idle;
    assert_int_equal(mn_wait(some_id, -1, &info), MN_E_INTERRUPTED);
    assert_null(info);
    fake_says("stopping");
    /* The reply comes later, and is not taken for that of the next request. */
    mni_put_info(fake_reply(fake, late_request, 0, NULL), &view);
    fake_send(fake);
    fake->answer = answer_cancel;
    cancel_code = 0;
    assert_int_equal(mn_cancel(some_id), 0);
    /* What starts or waits is refused before it is sent; what reads goes on in the driver. */
    int frames = fake->frames;
    assert_int_equal(mn_start(search, mn_none(), NULL, NULL), MN_E_INTERRUPTED);
    assert_int_equal(mn_wait(some_id, 0, NULL), MN_E_INTERRUPTED);
    assert_int_equal(mn_remove(some_id), MN_E_INTERRUPTED);
    assert_int_equal(mn_call(fake->task, square, mn_none(), NULL), MN_E_INTERRUPTED);
    assert_int_equal(fake->frames, frames);
    fake->answer = answer_info;
    assert_int_equal(mn_get(some_id, &info), 0);
    check_info(info);
    assert_int_equal(mn_cancelled(NULL), MN_E_INTERRUPTED);
    assert_int_equal(mn_cancelled(fake->task), MN_E_INTERRUPTED);
    assert_int_equal(*mn_cancel_flag(fake->task), MN_E_INTERRUPTED);
}

/* A child of user code shares the rings and must not write to them. */
static void test_forked_child(void **state)
{
    fake_t *fake = *state;
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(mn_cancel(some_id) == MN_E_NO_RUNTIME &&
                      mn_yield(fake->task, mn_none()) == MN_E_NO_RUNTIME
                  ? 0
                  : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(fake->frames, 0);
    fake->answer = answer_cancel;
    cancel_code = 0;
    assert_int_equal(mn_cancel(some_id), 0);
}

static void test_exit_ends_waiting(void **state)
{
    fake_t *fake = *state;
    mn_info_t *info = NULL;
    fake->answer = answer_never;
    fake_begin(fake, MNI_MSG_EXIT, 0);
    fake_send(fake);
    assert_int_equal(mn_get(some_id, &info), MN_E_INTERRUPTED);
    assert_int_equal(mn_cancel(some_id), MN_E_INTERRUPTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_runtime),
        cmocka_unit_test_setup_teardown(test_bad_starts, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_bad_calls, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_driver_handle, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_start, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_infos, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_malformed_replies, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_cancel_and_remove, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_list, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_locks_log_service, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_waits_are_given_up, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_forked_child, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_exit_ends_waiting, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_start, fake_open,
                                        fake_close), /* again, after others have closed */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
