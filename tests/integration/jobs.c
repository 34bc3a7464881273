/* SPDX-License-Identifier: MIT
 *
 * Jobs from all places: start, get, wait, watch, list, remove, yields, progress, values, retries.
 */
#include "places.h"

MN_JOB(echo, .cpu = 0.05);
MN_JOB(hold, .cpu = 0.05);
MN_JOB(count_up, .cpu = 0.05);
MN_JOB(report_quarter, .cpu = 0.05);
MN_JOB(fail_once, .cpu = 0.05, .max_retries = 1);
MN_JOB(crash_once, .cpu = 0.05, .max_retries = 1);
MN_JOB(fail_after_yield, .cpu = 0.05);
MN_JOB(one_at_a_time, .cpu = 0.05, .max_concurrency = 1);
MN_JOB(who_am_i, .cpu = 0.05);
MN_JOB(yield_much, .cpu = 0.05);
MN_FUNCTION(nothing, .cpu = 0.05);

static int echo(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

/* Yields once and stays until it is asked to stop. An input is the path of a roll that it signs first. */
static int hold(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    if (input.size > 0 && roll_sign(path) < 0)
        return mn_fail(task, MN_E_FAILED, "cannot sign %s", path);
    int rc = mn_yield(task, mn_text("here"));
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    return rc;
}

static int count_up(mn_task_t *task, mn_value_t input)
{
    int rc = 0;
    (void)input;
    for (int64_t i = 1; rc == 0 && i <= 100000; i++) {
        rc = mn_yield(task, int_value(&i));
        pause_ms(2);
    }
    return rc;
}

static int report_quarter(mn_task_t *task, mn_value_t input)
{
    int rc = mn_progress(task, 0.25, "a quarter");
    (void)input;
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    mn_progress(task, 0.5, NULL); /* still carried out in the clean-up */
    return rc;
}

static int fail_once(mn_task_t *task, mn_value_t input)
{
    mn_value_t last;
    int64_t number = 41;
    (void)input;
    int rc = mn_last_yield(task, &last);
    if (mn_task_attempt(task) == 1) {
        if (rc != MN_E_NO_RESULT)
            return mn_fail(task, MN_E_INTERNAL, "mn_last_yield before any yield: %s",
                           mn_error_name(rc));
        if ((rc = mn_yield(task, int_value(&number))) < 0)
            return rc;
        if (mn_last_yield(task, &last) < 0 || value_int(last) != 41)
            return mn_fail(task, MN_E_INTERNAL, "the own yield is not the last one");
        return mn_fail(task, MN_E_FAILED, "the first attempt fails");
    }
    if (rc < 0)
        return rc;
    number = value_int(last) + 1;
    return mn_yield(task, int_value(&number));
}

static int crash_once(mn_task_t *task, mn_value_t input)
{
    mn_value_t last;
    int64_t number = 7;
    (void)input;
    if (mn_task_attempt(task) == 1) {
        int rc = mn_yield(task, int_value(&number));
        if (rc == 0)
            abort();
        return rc;
    }
    int rc = mn_last_yield(task, &last);
    if (rc < 0)
        return rc;
    number = value_int(last) * 10 + mn_task_attempt(task);
    return mn_yield_sync(task, int_value(&number));
}

static int fail_after_yield(mn_task_t *task, mn_value_t input)
{
    int64_t number = 5;
    (void)input;
    mn_yield(task, int_value(&number));
    return mn_fail(task, MN_E_FAILED, "table %d is empty", 7);
}

static int one_at_a_time(mn_task_t *task, mn_value_t input)
{
    return hold(task, input);
}

static int who_am_i(mn_task_t *task, mn_value_t input)
{
    char text[256], id[MN_ID_TEXT];
    (void)input;
    snprintf(text, sizeof text, "%s %u %u %u %s", mn_task_name(task), mn_task_attempt(task),
             mn_task_cpus(task), mn_task_port(task), mn_id_format(mn_task_job(task), id));
    return mn_yield(task, mn_text(text));
}

/* As fast as it can; the last one wins. */
static int yield_much(mn_task_t *task, mn_value_t input)
{
    int rc = 0;
    (void)input;
    for (int64_t i = 1; rc == 0 && i <= 20000; i++)
        rc = mn_yield(task, int_value(&i));
    return rc;
}

static int nothing(mn_task_t *task, mn_value_t input)
{
    (void)task, (void)input;
    return 0;
}

/* --- cases ------------------------------------------------------------------------------------------------- */

static void start_and_wait(mn_task_t *task)
{
    mn_id_t id = {{0}}, parsed;
    char text[MN_ID_TEXT];
    mn_info_t *info;
    struct timespec now;

    (void)task;
    REQUIRE_CODE(mn_start(echo, mn_text("good day"), &(mn_start_options_t){.tag = "polite"}, &id),
                 0);
    mn_id_format(id, text);
    CHECK(strlen(text) == 36 && text[14] == '4' && strchr("89ab", text[19]) != NULL);
    CHECK(mn_id_parse(text, &parsed) == 0 && mn_id_equal(parsed, id));
    info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    REQUIRE(info != NULL);
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(mn_id_equal(info->id, id));
    CHECK(strcmp(info->job, "echo") == 0);
    CHECK(value_is_text(info->result, "good day"));
    CHECK(info->yields == 1 && info->attempts == 1 && info->error == NULL);
    CHECK(info->created <= info->started && info->started <= info->ended);
    CHECK(info->created > (double)now.tv_sec - 60 && info->ended < (double)now.tv_sec + 60);
    CHECK(info->tag && strcmp(info->tag, "polite") == 0 && info->lock == NULL && info->key == NULL);
    CHECK(info->host && info->host[0] && info->rank >= 0 && info->cpus && info->cpus[0]);
    mn_info_destroy(info);
    CHECK_CODE(mn_get(id, &info), 0);
    CHECK(info->status == MN_SUCCEEDED && value_is_text(info->result, "good day"));
    mn_info_destroy(info);
}

static void start_by_name(mn_task_t *task)
{
    mn_id_t id;
    (void)task;
    REQUIRE_CODE(mn_start_named("echo", mn_text("x"), NULL, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK_CODE(mn_start(echo, mn_none(), NULL, NULL), 0); /* an id need not be wanted */
}

static bool same_value(mn_value_t a, mn_value_t b)
{
    if (a.type != b.type || a.size != b.size || a.ndims != b.ndims)
        return false;
    for (unsigned i = 0; i < a.ndims; i++)
        if (a.dims[i] != b.dims[i])
            return false;
    return a.size == 0 || memcmp(a.data, b.data, a.size) == 0;
}

static void echo_value(mn_value_t value, const char *what)
{
    mn_id_t id;
    mn_info_t *info;
    REQUIRE_CODE(mn_start(echo, value, NULL, &id), 0);
    info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    REQUIRE(info != NULL);
    if (!same_value(info->result, value) || info->yields != 1)
        check_fail("%s came back as %zu bytes of %s in %u dimensions, %llu yields", what,
                   info->result.size, mn_type_name(info->result.type), info->result.ndims,
                   (unsigned long long)info->yields);
    mn_info_destroy(info);
}

static void typed_values(mn_task_t *task)
{
    static unsigned char block[3 << 20];
    const size_t dims[MN_MAX_DIMS] = {2, 3, 4, 5};
    (void)task;
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (unsigned char)(i * 7 + i / 256);
    for (int type = MN_INT8; type <= MN_FLOAT64; type++) {
        echo_value(mn_array((mn_type_t)type, block, 1), mn_type_name((mn_type_t)type));
        for (unsigned ndims = 1; ndims <= MN_MAX_DIMS; ndims += 3)
            echo_value(mn_tensor((mn_type_t)type, block, ndims, dims),
                       mn_type_name((mn_type_t)type));
    }
    echo_value(mn_matrix(MN_FLOAT64, block, 10, 20), "a matrix");
    echo_value(mn_bytes(block, 17), "bytes");
    echo_value(mn_bytes(block, sizeof block), "3 MiB");
    echo_value(mn_none(), "the empty value");
    echo_value(mn_array(MN_INT32, NULL, 0), "an array of no elements");
    echo_value(mn_text("Gr\xc3\xbc\xc3\x9f"
                       "e"),
               "text");
}

static void wait_and_cancel(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    (void)task;
    REQUIRE_CODE(mn_start(hold, mn_none(), NULL, &id), 0);
    CHECK_REFUSED(mn_wait(id, 0, NULL), MN_E_TIMEOUT);
    double begun = seconds_now();
    CHECK_REFUSED(mn_wait(id, 0.1, &info), MN_E_TIMEOUT);
    CHECK(seconds_now() - begun >= 0.099 && info == NULL);
    CHECK(await_yields(id, 1));
    CHECK(status_is(id, MN_RUNNING));
    CHECK_CODE(mn_cancel(id), 0);
    info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(value_is_text(info->result, "here"));
    mn_info_destroy(info);
    CHECK(mn_cancel(id) == 1); /* a no-op that says so */
    CHECK(mn_cancel_within(id, 1) == 1);
    CHECK_CODE(mn_wait(id, 0, NULL), 0);
    CHECK_CODE(mn_wait(id, -1, NULL), 0);
    CHECK_CODE(mn_watch(id, UINT64_MAX, 0, NULL), 0); /* it has ended: nothing to wait for */
}

static void unknown_job(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    char *text = NULL;
    (void)task;
    mn_id_parse("01234567-89ab-4def-8123-456789abcdef", &id);
    CHECK_REFUSED(mn_get(id, &info), MN_E_NO_JOB);
    CHECK(strstr(mn_error_message(), "01234567-89ab-4def-8123-456789abcdef") != NULL);
    CHECK_REFUSED(mn_wait(id, 1, &info), MN_E_NO_JOB);
    CHECK_REFUSED(mn_watch(id, 0, 1, &info), MN_E_NO_JOB);
    CHECK_REFUSED(mn_cancel(id), MN_E_NO_JOB);
    CHECK_REFUSED(mn_cancel_within(id, 1), MN_E_NO_JOB);
    CHECK_REFUSED(mn_remove(id), MN_E_NO_JOB);
    CHECK_REFUSED(mn_log(id, 0, MN_STDOUT, &text, NULL), MN_E_NO_JOB);
    CHECK(info == NULL && text == NULL);
}

static void remove_jobs(mn_task_t *task)
{
    mn_id_t ended, running;
    mn_info_t *info = NULL;
    roll_t roll;
    (void)task;
    REQUIRE_CODE(mn_start(echo, mn_text("x"), NULL, &ended), 0);
    EXPECT_END(ended, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK_CODE(mn_remove(ended), 0);
    CHECK_REFUSED(mn_get(ended, &info), MN_E_NO_JOB);
    CHECK_REFUSED(mn_remove(ended), MN_E_NO_JOB);
    CHECK_REFUSED(mn_cancel(ended), MN_E_NO_JOB);

    REQUIRE(roll_open(&roll));
    REQUIRE_CODE(mn_start(hold, mn_text(roll.path), NULL, &running), 0);
    CHECK(roll_await(&roll, 1));
    CHECK_CODE(mn_remove(running), 0); /* cancels it, and waits */
    CHECK_REFUSED(mn_get(running, &info), MN_E_NO_JOB);
    CHECK(info == NULL);
    roll_close(&roll);
}

#define LISTED 7

static void list_jobs(mn_task_t *task)
{
    mn_id_t made[LISTED], got[LISTED + 3], failed, none;
    char tag[64];
    size_t count = 99, have = 0;

    snprintf(tag, sizeof tag, "listed %s", check_state.place);
    for (int i = 0; i < LISTED; i++)
        REQUIRE_CODE(mn_start(echo, mn_none(), &(mn_start_options_t){.tag = tag}, &made[i]), 0);
    REQUIRE_CODE(mn_start(fail_after_yield, mn_none(), &(mn_start_options_t){.tag = tag}, &failed),
                 0);
    for (int i = 0; i < LISTED; i++)
        EXPECT_END(made[i], MN_SUCCEEDED, MN_REASON_RETURNED);
    EXPECT_END(failed, MN_FAILED, MN_REASON_ERROR);

    mn_list_options_t options = {.tag = tag, .job = "echo"};
    for (;;) { /* page by page */
        REQUIRE_CODE(mn_list(&options, got + have, 3, &count), 0);
        have += count;
        if (count < 3 || have > LISTED)
            break;
        options.after = &got[have - 1];
    }
    REQUIRE(have == LISTED);
    for (int i = 0; i < LISTED; i++)
        CHECK(mn_id_equal(got[i], made[LISTED - 1 - i])); /* newest first */

    options = (mn_list_options_t){.tag = tag, .statuses = 1u << MN_FAILED};
    CHECK_CODE(mn_list(&options, got, 10, &count), 0);
    CHECK(count == 1 && mn_id_equal(got[0], failed));
    options.statuses = 1u << MN_SUCCEEDED | 1u << MN_FAILED;
    CHECK(mn_list(&options, got, 10, &count) == 0 && count == LISTED + 1);
    options.statuses =
        1u << MN_PENDING | 1u << MN_RUNNING | 1u << MN_CANCELLING | 1u << MN_CANCELLED;
    CHECK(mn_list(&options, got, 10, &count) == 0 && count == 0);
    options = (mn_list_options_t){.tag = "nobody has this tag"};
    CHECK(mn_list(&options, got, 10, &count) == 0 && count == 0);
    CHECK(mn_list(NULL, got, 2, &count) == 0 && count == 2);
    CHECK(mn_list(NULL, NULL, 0, &count) == 0 && count == 0);
    mn_id_parse("01234567-89ab-4def-8123-456789abcdef", &none);
    count = 99;
    CHECK_REFUSED(mn_list(&(mn_list_options_t){.after = &none}, got, 10, &count), MN_E_NO_JOB);
    CHECK(count == 99);
    (void)task;
}

static void watch_yields(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    uint64_t seen = 0;
    int64_t last = 0;
    int grown = 0;
    (void)task;
    REQUIRE_CODE(mn_start(count_up, mn_none(), NULL, &id), 0);
    while (grown < 5) {
        REQUIRE_CODE(mn_watch(id, seen, CHECK_PATIENCE, &info), 0);
        int64_t now = info->yields > 0 ? value_int(info->result) : 0;
        bool good = info->version > seen && now >= last && !mn_status_terminal(info->status) &&
                    info->yields == (uint64_t)now;
        grown += now > last;
        last = now;
        seen = info->version;
        mn_info_destroy(info);
        REQUIRE(good);
    }
    CHECK_CODE(mn_cancel(id), 0);
    info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(value_int(info->result) >= last && info->version > seen); /* what was found is kept */
    mn_info_destroy(info);
}

static void fast_yields(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(yield_much, mn_none(), NULL, &id), 0);
    info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info)
        CHECK(value_int(info->result) == 20000 && info->yields == 20000);
    mn_info_destroy(info);
}

static void progress(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    uint64_t seen = 0;
    bool there = false;
    (void)task;
    REQUIRE_CODE(mn_start(report_quarter, mn_none(), NULL, &id), 0);
    while (!there) {
        REQUIRE_CODE(mn_watch(id, seen, CHECK_PATIENCE, &info), 0);
        seen = info->version;
        there = info->progress == 0.25 && info->message && strcmp(info->message, "a quarter") == 0;
        bool ended = mn_status_terminal(info->status),
             odd = info->yields != 0 || info->result.size != 0;
        mn_info_destroy(info);
        REQUIRE(!ended && !odd);
    }
    CHECK_CODE(mn_cancel(id), 0);
    info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(info->progress == 0.5 && info->yields == 0);
    mn_info_destroy(info);
}

static void last_yield_over_retry(mn_task_t *task)
{
    mn_id_t failing, crashing;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(fail_once, mn_none(), NULL, &failing), 0);
    REQUIRE_CODE(mn_start(crash_once, mn_none(), NULL, &crashing), 0);
    info = ENDED(failing, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info)
        CHECK(value_int(info->result) == 42 && info->attempts == 2 && info->yields == 2 &&
              info->error == NULL);
    mn_info_destroy(info);
    info = ENDED(crashing, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info)
        CHECK(value_int(info->result) == 72 && info->attempts == 2);
    mn_info_destroy(info);
}

static void failure_keeps_result(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(fail_after_yield, mn_none(), NULL, &id), 0);
    info = ENDED(id, MN_FAILED, MN_REASON_ERROR);
    if (info)
        CHECK(value_int(info->result) == 5 && info->error &&
              strstr(info->error, "table 7 is empty"));
    mn_info_destroy(info);
}

static void keys(mn_task_t *task)
{
    mn_id_t first, second;
    mn_info_t *info;
    char key[64];
    snprintf(key, sizeof key, "key %s", check_state.place);
    mn_start_options_t options = {.key = key};
    (void)task;
    REQUIRE_CODE(mn_start(echo, mn_text("one"), &options, &first), 0);
    CHECK_CODE(mn_start(echo, mn_text("two"), &options, &second), 0);
    CHECK(mn_id_equal(first, second));
    EXPECT_END(first, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK_CODE(mn_start(echo, mn_text("three"), &options, &second), 0); /* also when it has ended */
    CHECK(mn_id_equal(first, second));
    info = ENDED(first, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info)
        CHECK(value_is_text(info->result, "one") && info->attempts == 1 && info->key &&
              strcmp(info->key, key) == 0);
    mn_info_destroy(info);
}

static void pending(mn_task_t *task)
{
    mn_id_t first, second;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(one_at_a_time, mn_none(), NULL, &first), 0);
    CHECK(await_yields(first, 1));
    REQUIRE_CODE(mn_start(one_at_a_time, mn_none(), NULL, &second), 0);
    CHECK(status_is(second, MN_PENDING));
    CHECK_CODE(mn_cancel(second), 0);
    CHECK_CODE(mn_get(second, &info), 0); /* at once */
    CHECK(info->status == MN_CANCELLED && info->reason == MN_REASON_CANCELLED &&
          info->attempts == 0);
    CHECK(info->started == 0 && info->ended >= info->created && info->host == NULL &&
          info->rank == -1);
    mn_info_destroy(info);
    REQUIRE_CODE(mn_start(one_at_a_time, mn_none(), NULL, &second), 0);
    CHECK(status_is(second, MN_PENDING));
    CHECK_CODE(mn_cancel(first), 0);
    EXPECT_END(first, MN_CANCELLED, MN_REASON_CANCELLED);
    CHECK(await_status(second, MN_RUNNING));
    CHECK_CODE(mn_cancel(second), 0);
    EXPECT_END(second, MN_CANCELLED, MN_REASON_CANCELLED);
}

static void who_runs(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    char wanted[256], text[MN_ID_TEXT];
    (void)task;
    REQUIRE_CODE(mn_start(who_am_i, mn_none(), NULL, &id), 0);
    snprintf(wanted, sizeof wanted, "who_am_i 1 1 0 %s", mn_id_format(id, text));
    info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info && !value_is_text(info->result, wanted))
        check_fail("%.*s instead of %s", (int)info->result.size, (const char *)info->result.data,
                   wanted);
    mn_info_destroy(info);
}

/* What may be called where. */
static void rules_of_the_place(mn_task_t *task)
{
    mn_value_t last = mn_none();
    const char *place = check_state.place;
    bool job = strstr(place, "job"), function = strstr(place, "function"),
         service = strstr(place, "service");
    bool driver = !job && !function && !service;
    mn_id_t own = mn_task_job(task), zero = {{0}};

    CHECK(mn_id_equal(own, zero) ==
          !job); /* this function is called by the driver, not for a job */
    CHECK(mn_cancelled(task) == 0 && mn_cancelled(NULL) == 0);
    CHECK(mn_cancel_flag(task) && *mn_cancel_flag(task) == 0 && mn_cancel_flag(NULL) == NULL);
    CHECK((mn_task_port(task) != 0) == service);
    CHECK(mn_task_cpus(task) == (driver ? 0u : 1u) || service);
    CHECK(strcmp(mn_task_name(task), driver     ? "driver"
                                     : job      ? "rows_in_a_job"
                                     : function ? "rows_in_a_function"
                                                : "rows_in_a_service") == 0);
    if (!job) {
        CHECK_REFUSED(mn_last_yield(task, &last), MN_E_WRONG_KIND);
        CHECK_REFUSED(mn_progress(task, 0.5, "half"), MN_E_WRONG_KIND);
    } else {
        CHECK_CODE(mn_progress(task, 0.5, "half"), 0);
        CHECK_REFUSED(mn_last_yield(task, &last), MN_E_NO_RESULT);
    }
    if (driver || service) {
        CHECK_REFUSED(mn_yield(task, mn_text("x")), MN_E_WRONG_KIND);
        CHECK_REFUSED(mn_yield_sync(task, mn_text("x")), MN_E_WRONG_KIND);
    }
}

static void wrong_kinds(mn_task_t *task)
{
    mn_id_t id;
    CHECK_REFUSED(mn_start(nothing, mn_none(), NULL, &id), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_start_named("rows_in_a_service", mn_none(), NULL, &id), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_call(task, echo, mn_none(), NULL), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_start_named("not_declared", mn_none(), NULL, &id), MN_E_UNDECLARED);
    CHECK_CODE(mn_call(task, nothing, mn_none(), NULL), 0);
}

#define MANY 60

static void many_jobs(mn_task_t *task)
{
    mn_id_t ids[MANY];
    (void)task;
    for (int64_t i = 0; i < MANY; i++)
        REQUIRE_CODE(mn_start(echo, int_value(&i), NULL, &ids[i]), 0);
    for (int64_t i = MANY - 1; i >= 0; i--) {
        mn_info_t *info = ENDED(ids[i], MN_SUCCEEDED, MN_REASON_RETURNED);
        REQUIRE(info != NULL);
        CHECK(value_int(info->result) == i);
        mn_info_destroy(info);
        CHECK_CODE(mn_remove(ids[i]), 0);
    }
}

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    RUN(task, rules_of_the_place);
    RUN(task, start_and_wait);
    RUN(task, start_by_name);
    RUN(task, typed_values);
    RUN(task, wait_and_cancel);
    RUN(task, unknown_job);
    RUN(task, remove_jobs);
    RUN(task, list_jobs);
    RUN(task, watch_yields);
    RUN(task, fast_yields);
    RUN(task, progress);
    RUN(task, last_yield_over_retry);
    RUN(task, failure_keeps_result);
    RUN(task, keys);
    RUN(task, pending);
    RUN(task, who_runs);
    RUN(task, wrong_kinds);
    RUN(task, many_jobs);
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, places_driver);
}
