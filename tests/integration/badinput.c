/* SPDX-License-Identifier: MIT
 *
 * Every public function with what it must refuse: an error with a sentence, nothing changed, no crash. First in
 * main(), where there is no runtime; then from all places.
 *
 * What the compiler can see to be wrong (NULL where a pointer must be) is passed through variables that it cannot.
 */
#include "places.h"

#include <math.h>
#include <sys/wait.h>

MN_JOB(job, .cpu = 0.05);
MN_JOB(fails, .cpu = 0.05);
MN_FUNCTION(function, .cpu = 0.05);
MN_SERVICE(service, 0);

static int job(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int fails(mn_task_t *task, mn_value_t input)
{
    (void)input;
    return mn_fail(task, 0, NULL); /* without a code or a text: MN_E_FAILED */
}

static int function(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int service(mn_task_t *task, mn_value_t input)
{
    (void)input;
    while (!mn_cancelled(task))
        pause_ms(10);
    return 0;
}

static int undeclared(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static void *volatile null;
static const size_t huge = SIZE_MAX;

/* Calls that the compiler would warn about are made through these. */
static mn_entry_t *null_entry(void)
{
    return (mn_entry_t *)null;
}

/* --- without a runtime ------------------------------------------------------------------------------------- */

static void outside_of_a_runtime(mn_task_t *task)
{
    mn_id_t id = {{0}}, ids[2];
    mn_info_t *info = NULL;
    mn_lock_t *locks = NULL;
    mn_map_stream_t *stream = NULL;
    mn_value_t value = mn_none();
    int64_t number = 1, result = -1;
    size_t count = 99;
    char *text = NULL, address[64] = "untouched";
    mn_task_t *none = null;

    (void)task;
    CHECK_REFUSED(mn_start(job, mn_none(), NULL, &id), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_start_named("job", mn_none(), NULL, &id), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_get(id, &info), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_wait(id, 1, &info), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_watch(id, 0, 1, &info), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_cancel(id), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_cancel_within(id, 1), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_remove(id), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_list(NULL, ids, 2, &count), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_locks(&locks, &count), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_log(id, 0, MN_STDOUT, &text, NULL), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_explain(id, &text), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_service_address("service", address, sizeof address), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_yield(none, mn_text("x")), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_yield_sync(none, mn_text("x")), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_last_yield(none, &value), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_progress(none, 0.5, NULL), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_on_cancel(none, NULL, NULL), MN_E_NO_RUNTIME);
    CHECK(mn_fail(none, MN_E_FAILED, "no task") < 0);
    CHECK_REFUSED(mn_call(none, function, mn_none(), &value), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_map(none, function, &number, 1, &result), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_map_values(none, function, &value, 1, &value, NULL), MN_E_NO_RUNTIME);
    CHECK_REFUSED(mn_map_open(none, function, &value, 1, NULL, &stream), MN_E_NO_RUNTIME);
    CHECK(mn_cancelled(none) == 0 && mn_cancel_flag(none) == NULL);
    CHECK(mn_task_attempt(none) == 0 && mn_task_cpus(none) == 0 && mn_task_port(none) == 0);
    CHECK(mn_task_name(none) != NULL && mn_id_equal(mn_task_job(none), (mn_id_t){{0}}));
    CHECK(!info && !locks && !text && !stream && count == 99 && result == -1);
    CHECK(strcmp(address, "untouched") == 0);
    mn_info_destroy(NULL);
    mn_locks_destroy(NULL);
    mn_map_close(NULL);
    mn_value_destroy(NULL);
    mn_item_errors_destroy(NULL, 5);
}

static void plain_functions(mn_task_t *task)
{
    mn_id_t id = {{7}}, parsed;
    char text[MN_ID_TEXT];
    const char *bad_ids[] = {"",
                             "x",
                             "01234567-89ab-4def-8123-456789abcde",
                             "01234567-89ab-4def-8123-456789abcdeff",
                             "01234567 89ab-4def-8123-456789abcdef",
                             "g1234567-89ab-4def-8123-456789abcdef",
                             " 1234567-89ab-4def-8123-456789abcdef",
                             "0123456-789ab-4def-8123-456789abcdef"};
    (void)task;
    for (int code = -40; code <= 3; code++)
        CHECK(mn_strerror(code) && mn_strerror(code)[0] && mn_error_name(code) &&
              mn_error_name(code)[0]);
    CHECK(mn_strerror(INT32_MIN) && mn_error_name(INT32_MIN) && mn_strerror(INT32_MAX) &&
          mn_error_name(INT32_MAX));
    CHECK(strcmp(mn_error_name(MN_E_DEADLOCK), "MN_E_DEADLOCK") == 0 &&
          strcmp(mn_error_name(0), "MN_OK") == 0);
    CHECK(strcmp(mn_version(), MN_VERSION) == 0);
    CHECK(mn_type_size((mn_type_t)77) == 0 && mn_type_size((mn_type_t)-1) == 0 &&
          mn_type_size(MN_FLOAT64) == 8);
    CHECK(strcmp(mn_type_name((mn_type_t)77), "unknown") == 0 &&
          strcmp(mn_type_name(MN_FLOAT32), "float32") == 0);
    CHECK(strcmp(mn_status_name((mn_status_t)77), "UNKNOWN") == 0);
    CHECK(strcmp(mn_reason_name((mn_reason_t)77), "unknown") == 0);
    CHECK(!mn_status_terminal((mn_status_t)77) && !mn_status_terminal(MN_CANCELLING) &&
          mn_status_terminal(MN_FAILED));
    for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++) {
        parsed = id;
        CHECK_REFUSED(mn_id_parse(bad_ids[i], &parsed), MN_E_INVALID);
        CHECK(mn_id_equal(parsed, id));
    }
    CHECK_REFUSED(mn_id_parse(null, &parsed), MN_E_INVALID);
    CHECK_REFUSED(mn_id_parse("01234567-89ab-4def-8123-456789abcdef", null), MN_E_INVALID);
    CHECK(mn_id_format(id, text) == text && mn_id_parse(text, &parsed) == 0 &&
          mn_id_equal(id, parsed));
    CHECK(mn_text(NULL).size == 0 && mn_text(NULL).ndims == 0);
    CHECK(mn_bytes(NULL, 0).size == 0);
}

/* --- in the runtime ------------------------------------------------------------------------------------------- */

#define VALUES_WRONG 12

static void malformed_values(mn_value_t values[VALUES_WRONG])
{
    static const size_t dims[5] = {2, 2, 2, 2, 2}, over[2] = {SIZE_MAX / 2, 3};
    static const int64_t numbers[16] = {0};
    values[0] = mn_tensor(MN_INT64, numbers, 0, dims);
    values[1] = mn_tensor(MN_INT64, numbers, 5, dims);
    values[2] = mn_tensor(MN_INT64, numbers, 2, over);
    values[3] = mn_tensor(MN_INT64, numbers, 2, null);
    values[4] = mn_array((mn_type_t)77, numbers, 2);
    values[5] = mn_array(MN_INT64, null, 2);
    values[6] = mn_array(MN_INT64, numbers, SIZE_MAX / 4);
    values[7] = mn_matrix(MN_FLOAT64, numbers, SIZE_MAX, SIZE_MAX);
    values[8] = (mn_value_t){.data = numbers, .size = 8, .type = MN_INT64, .ndims = 1, .dims = {2}};
    values[9] =
        (mn_value_t){.data = numbers, .size = 8, .type = MN_INT64, .ndims = 77, .dims = {1}};
    values[10] = (mn_value_t){.data = NULL, .size = 8, .type = MN_INT64, .ndims = 1, .dims = {1}};
    values[11] =
        (mn_value_t){.data = numbers, .size = 8, .type = (mn_type_t)-3, .ndims = 1, .dims = {1}};
}

static void values_refused(mn_task_t *task)
{
    mn_value_t values[VALUES_WRONG], result = mn_none();
    mn_id_t id, kept;
    mn_map_stream_t *stream = NULL;
    static const char byte = 1;
    memset(&id, 7, sizeof id);
    kept = id;
    malformed_values(values);
    for (int i = 0; i < VALUES_WRONG; i++) {
        int rc = mn_start(job, values[i], NULL, &id);
        if ((rc != MN_E_INVALID && rc != MN_E_TOO_LARGE) || strlen(mn_error_message()) < 8)
            check_fail("value %d: %s: %s", i, mn_error_name(rc), mn_error_message());
        rc = mn_call(task, function, values[i], &result);
        CHECK(rc == MN_E_INVALID || rc == MN_E_TOO_LARGE);
        rc = mn_map_values(task, function, &values[i], 1, &result, NULL);
        CHECK(rc == MN_E_INVALID || rc == MN_E_TOO_LARGE);
        rc = mn_map_open(task, function, &values[i], 1, NULL, &stream);
        CHECK(rc == MN_E_INVALID || rc == MN_E_TOO_LARGE);
        rc = mn_yield(task, values[i]);
        CHECK(rc == MN_E_INVALID || rc == MN_E_TOO_LARGE || rc == MN_E_WRONG_KIND);
    }
    CHECK_REFUSED(mn_start(job, mn_bytes(&byte, MN_MAX_VALUE + 1), NULL, &id), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_start(job, mn_bytes(&byte, huge), NULL, &id), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_call(task, function, mn_bytes(&byte, huge), &result), MN_E_TOO_LARGE);
    CHECK(mn_id_equal(id, kept) && result.data == NULL && stream == NULL);
}

static void start_refused(mn_task_t *task)
{
    static char long_text[300];
    const char *bad_labels[] = {"",         "a\nb",    "\x01",     "a\x7f",
                                "\xff\xfe", "caf\xc3", "\xc2\x80", long_text};
    const char *bad_memory[] = {"",        "abc",   "-1",        "1GBB",  "GB",
                                "1.5.5GB", "1 G B", "nan",       "inf",   "99999999999999999999GiB",
                                "1e400",   "0x10",  "1GB extra", "-1GiB", "--1",
                                "1,5GB",   "\xff"};
    const double bad_cpu[] = {-1, -0.5, 1.5, 1e9, NAN, INFINITY, -INFINITY, 1e-9};
    mn_id_t id, kept;
    size_t count;
    (void)task;
    memset(long_text, 'x', sizeof long_text - 1);
    memset(&id, 7, sizeof id);
    kept = id;
    CHECK_REFUSED(mn_start(null_entry(), mn_none(), NULL, &id), MN_E_INVALID);
    CHECK_REFUSED(mn_start(undeclared, mn_none(), NULL, &id), MN_E_UNDECLARED);
    CHECK_REFUSED(mn_start(function, mn_none(), NULL, &id), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_start(service, mn_none(), NULL, &id), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_start_named(null, mn_none(), NULL, &id), MN_E_INVALID);
    CHECK_REFUSED(mn_start_named("", mn_none(), NULL, &id), MN_E_UNDECLARED);
    CHECK_REFUSED(mn_start_named(long_text, mn_none(), NULL, &id), MN_E_UNDECLARED);
    CHECK_REFUSED(mn_start_named("jo\nb\x1b[31m", mn_none(), NULL, &id), MN_E_UNDECLARED);
    CHECK(strchr(mn_error_message(), '\x1b') == NULL); /* not to be sent to a terminal */
    CHECK_REFUSED(mn_start_named("function", mn_none(), NULL, &id), MN_E_WRONG_KIND);
    for (size_t i = 0; i < sizeof bad_labels / sizeof *bad_labels; i++) {
        CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.lock = bad_labels[i]}, &id),
                      MN_E_INVALID);
        CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.tag = bad_labels[i]}, &id),
                      MN_E_INVALID);
        CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.key = bad_labels[i]}, &id),
                      MN_E_INVALID);
        CHECK_REFUSED(mn_list(&(mn_list_options_t){.tag = bad_labels[i]}, &id, 1, &count),
                      MN_E_INVALID);
    }
    for (size_t i = 0; i < sizeof bad_memory / sizeof *bad_memory; i++) {
        CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.memory = bad_memory[i]}, &id),
                      MN_E_INVALID);
        CHECK(strstr(mn_error_message(), "GiB") != NULL); /* the accepted forms are named */
    }
    for (size_t i = 0; i < sizeof bad_cpu / sizeof *bad_cpu; i++)
        CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.cpu = bad_cpu[i]}, &id),
                      MN_E_INVALID);
    CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.timeout = -1}, &id),
                  MN_E_INVALID);
    CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.timeout = NAN}, &id),
                  MN_E_INVALID);
    CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.grace = -2}, &id), MN_E_INVALID);
    CHECK_REFUSED(mn_start(job, mn_none(), &(mn_start_options_t){.grace = NAN}, &id), MN_E_INVALID);
    CHECK(mn_id_equal(id, kept));
}

static void start_accepted(mn_task_t *task)
{
    const char *memory[] = {"1",     "1000000", "1GB",    "0.5 GiB", "64MiB",
                            "64 MB", "1kB",     "100KiB", "1.5MB",   "5 B"};
    mn_id_t id;
    (void)task;
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        if (!CHECK_CODE(mn_start(job, mn_none(), &(mn_start_options_t){.memory = memory[i]}, &id),
                        0))
            continue;
        CHECK_CODE(mn_remove(id), 0);
    }
    CHECK_CODE(mn_start(job, mn_none(),
                        &(mn_start_options_t){.cpu = 0.999, .timeout = INFINITY, .grace = INFINITY},
                        &id),
               0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    REQUIRE_CODE(mn_start(fails, mn_none(), NULL, &id), 0);
    EXPECT_END(id, MN_FAILED, MN_REASON_ERROR);
}

static void readers_refused(mn_task_t *task)
{
    mn_id_t id, gone;
    mn_info_t *info = NULL;
    mn_lock_t *locks = NULL;
    size_t count = 99;
    char *text = NULL;
    (void)task;
    REQUIRE_CODE(mn_start(job, mn_none(), NULL, &gone), 0);
    REQUIRE_CODE(mn_remove(gone), 0);
    REQUIRE_CODE(mn_start(job, mn_none(), NULL, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK_REFUSED(mn_get(id, null), MN_E_INVALID);
    CHECK_REFUSED(mn_get(gone, &info), MN_E_NO_JOB);
    CHECK_REFUSED(mn_get((mn_id_t){{0}}, &info), MN_E_NO_JOB);
    CHECK_REFUSED(mn_wait(gone, -1, &info), MN_E_NO_JOB);
    CHECK_REFUSED(mn_wait(id, NAN, &info), MN_E_INVALID);
    CHECK_REFUSED(mn_watch(gone, 0, -1, &info), MN_E_NO_JOB);
    CHECK_REFUSED(mn_watch(id, 0, NAN, &info), MN_E_INVALID);
    CHECK_REFUSED(mn_cancel(gone), MN_E_NO_JOB);
    CHECK_REFUSED(mn_cancel_within(gone, 1), MN_E_NO_JOB);
    CHECK_REFUSED(mn_cancel_within(id, -5), MN_E_INVALID);
    CHECK_REFUSED(mn_cancel_within(id, NAN), MN_E_INVALID);
    CHECK_REFUSED(mn_remove(gone), MN_E_NO_JOB);
    CHECK_REFUSED(mn_list(NULL, null, 5, &count), MN_E_INVALID);
    CHECK_REFUSED(mn_list(NULL, &id, 1, null), MN_E_INVALID);
    CHECK_REFUSED(mn_list(&(mn_list_options_t){.statuses = 1u << 20}, &id, 1, &count),
                  MN_E_INVALID);
    CHECK_REFUSED(mn_list(&(mn_list_options_t){.after = &gone}, &id, 1, &count), MN_E_NO_JOB);
    CHECK_REFUSED(mn_locks(null, &count), MN_E_INVALID);
    CHECK_REFUSED(mn_locks(&locks, null), MN_E_INVALID);
    CHECK_REFUSED(mn_log(gone, 0, MN_STDOUT, &text, NULL), MN_E_NO_JOB);
    CHECK_REFUSED(mn_explain(gone, &text), MN_E_NO_JOB);
    CHECK_REFUSED(mn_explain(id, null), MN_E_INVALID);
    CHECK_REFUSED(mn_log(id, 0, (mn_stream_t)0, &text, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_log(id, 0, (mn_stream_t)77, &text, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_log(id, 0, MN_STDOUT, null, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_log(id, UINT32_MAX, MN_STDOUT, &text, NULL), MN_E_INVALID);
    CHECK(!info && !locks && !text && count == 99);
    CHECK(status_is(id, MN_SUCCEEDED));
}

static void task_calls_refused(mn_task_t *task)
{
    static char long_text[300];
    mn_value_t value = mn_none();
    mn_task_t *none = null, *other = (mn_task_t *)&value;
    bool job_here = strstr(check_state.place, "job") != NULL;
    memset(long_text, 'x', sizeof long_text - 1);
    CHECK_REFUSED(mn_yield(none, mn_text("x")), MN_E_INVALID);
    CHECK_REFUSED(mn_yield(other, mn_text("x")), MN_E_INVALID);
    CHECK_REFUSED(mn_yield_sync(none, mn_text("x")), MN_E_INVALID);
    CHECK_REFUSED(mn_last_yield(none, &value), MN_E_INVALID);
    CHECK_REFUSED(mn_last_yield(task, null), MN_E_INVALID);
    CHECK_REFUSED(mn_progress(none, 0.5, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_progress(task, -0.1, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_progress(task, 1.1, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_progress(task, NAN, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_progress(task, 0.5, long_text), MN_E_INVALID);
    CHECK_REFUSED(mn_on_cancel(none, NULL, NULL), MN_E_INVALID);
    CHECK_CODE(mn_on_cancel(task, NULL, NULL), 0);
    CHECK(mn_fail(none, MN_E_FAILED, "x") < 0 && mn_fail(other, MN_E_FAILED, "x") < 0);
    CHECK(mn_cancel_flag(other) == NULL && mn_cancelled(none) == 0);
    CHECK(mn_task_attempt(other) == 0 && mn_task_name(other) != NULL && mn_task_name(none) != NULL);
    CHECK(mn_task_cpus(none) == 0 && mn_task_port(none) == 0);
    if (job_here)
        CHECK_CODE(mn_progress(task, 1, ""), 0);
    CHECK_REFUSED(mn_declare(MN_KIND_JOB, "too_late", job, &(mn_spec_t){0}), MN_E_WRONG_KIND);
    CHECK(mn_main(0, null, null) == 2); /* in a task it is a misuse, too */
}

static void maps_refused(mn_task_t *task)
{
    int64_t numbers[2] = {1, 2}, results[2] = {-1, -1};
    mn_value_t values[2] = {mn_none(), mn_none()}, got = mn_none();
    mn_map_stream_t *stream = NULL, *bogus = (mn_map_stream_t *)&values;
    mn_task_t *none = null;
    CHECK_REFUSED(mn_map(none, function, numbers, 2, results), MN_E_INVALID);
    CHECK_REFUSED(mn_map(task, null_entry(), numbers, 2, results), MN_E_INVALID);
    CHECK_REFUSED(mn_map(task, undeclared, numbers, 2, results), MN_E_UNDECLARED);
    CHECK_REFUSED(mn_map(task, job, numbers, 2, results), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_map(task, service, numbers, 2, results), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_map_fixed(task, function, null, 8, 2, results, 8, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_map_fixed(task, function, numbers, 8, 2, null, 8, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_map_fixed(task, function, numbers, 0, 2, results, 8, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_map_fixed(task, function, numbers, huge, 2, results, 8, NULL), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_map_fixed(task, function, numbers, 8, huge, results, 8, NULL), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_map_fixed(task, function, numbers, 8, 2, results, huge, NULL), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_map_fixed(task, function, numbers, 8, huge / 8, results, 8, NULL),
                  MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_map_values(none, function, values, 2, values, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_map_values(task, function, null, 2, NULL, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_map_values(task, null_entry(), values, 2, NULL, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_map_values(task, job, values, 2, NULL, NULL), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_map_values(task, function, values, huge, NULL, NULL), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_call(none, function, mn_none(), &got), MN_E_INVALID);
    CHECK_REFUSED(mn_call(task, null_entry(), mn_none(), &got), MN_E_INVALID);
    CHECK_REFUSED(mn_call(task, job, mn_none(), &got), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_map_open(none, function, values, 2, NULL, &stream), MN_E_INVALID);
    CHECK_REFUSED(mn_map_open(task, null_entry(), values, 2, NULL, &stream), MN_E_INVALID);
    CHECK_REFUSED(mn_map_open(task, job, values, 2, NULL, &stream), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_map_open(task, function, null, 2, NULL, &stream), MN_E_INVALID);
    CHECK_REFUSED(mn_map_open(task, function, values, 2, NULL, null), MN_E_INVALID);
    CHECK_REFUSED(mn_map_open(task, function, values, huge, NULL, &stream), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_map_next(null, &got), MN_E_INVALID);
    CHECK_REFUSED(mn_map_next(bogus, &got), MN_E_INVALID);
    mn_map_close(bogus);
    CHECK(stream == NULL && results[0] == -1 && results[1] == -1);
    REQUIRE_CODE(mn_map_open(task, function, values, 2, NULL, &stream), 0);
    CHECK_REFUSED(mn_map_next(stream, null), MN_E_INVALID);
    CHECK_CODE(mn_map_next(stream, &got), 0);
    mn_map_close(stream);
    CHECK_REFUSED(mn_map_next(stream, &got), MN_E_INVALID); /* closed */
    mn_map_close(stream);
    CHECK_CODE(mn_map(task, function, numbers, 2, results), 0); /* and all is well */
    CHECK(results[0] == 1 && results[1] == 2);
}

/* A child that user code forks is no part of the runtime. */
static void in_a_forked_child(mn_task_t *task)
{
    pid_t child = fork();
    if (child == 0) {
        mn_info_t *info = NULL;
        int64_t number = 1, result;
        bool good = mn_get((mn_id_t){{0}}, &info) == MN_E_NO_RUNTIME &&
                    mn_start(job, mn_none(), NULL, NULL) == MN_E_NO_RUNTIME &&
                    mn_map(task, function, &number, 1, &result) == MN_E_NO_RUNTIME &&
                    mn_yield(task, mn_text("x")) == MN_E_NO_RUNTIME;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    int64_t number = 4, result = 0;
    CHECK_CODE(mn_map(task, function, &number, 1, &result), 0);
    CHECK(result == 4);
}

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    RUN(task, plain_functions);
    RUN(task, values_refused);
    RUN(task, start_refused);
    RUN(task, start_accepted);
    RUN(task, readers_refused);
    RUN(task, task_calls_refused);
    RUN(task, maps_refused);
    RUN(task, in_a_forked_child);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    /* What main() found: this process is a copy of it. */
    fwrite(check_state.text, 1, check_state.used, stdout);
    check_state.used = 0;
    check_begin();
    run_in_all_places(task);
    return check_end();
}

int main(int argc, char **argv)
{
    check_state.place = "in main: ";
    check_run(NULL, "outside_of_a_runtime", outside_of_a_runtime);
    check_run(NULL, "plain_functions", plain_functions);
    check_state.place = "";
    return mn_main(argc, argv, driver);
}
