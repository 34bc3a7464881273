/* SPDX-License-Identifier: MIT
 *
 * What user code does to its process is nobody else's affair. A row is one misdeed: a job commits it, then an item of
 * a function; each ends for the right reason, what comes after it finds a process like a new one, a steady job beside
 * them notices nothing, and the runtime is as before. (The script looks whether a process remains.)
 *
 * This file is the driver, which goes through the rows; isolation.h says where the rest is.
 */
#include "isolation.h"

static mn_id_t bystander;
static char *innocent; /* portrait of a process that has just begun */
static const row_t *present;

static mn_value_t order(const row_t *row, const roll_t *roll, char words[256])
{
    snprintf(words, 256, "%u %s", (unsigned)(row - rows), roll->path);
    return mn_text(words);
}

/* The result of a look: the last misdeed of that process; and checks its portrait. */
static const char *take_look(mn_value_t result)
{
    static look_t seen;
    char lines[2][512];
    if (result.size <= sizeof seen.last || result.size > sizeof seen) {
        check_fail("nothing is seen of a process");
        return "?";
    }
    memcpy(&seen, result.data, result.size);
    if (!innocent)
        innocent = strdup(seen.portrait.text);
    if (portraits_differ(innocent, seen.portrait.text, lines))
        check_fail("after it, the process has \"%s\" instead of \"%s\"", lines[1], lines[0]);
    return seen.last;
}

static const char *look(mn_entry_t *job, again_t again)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    const char *last = "?";
    if (!CHECK_CODE(mn_start(job, mn_text("look"), NULL, &id), 0) ||
        !CHECK_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0))
        return last;
    if (info->status == MN_SUCCEEDED)
        last = take_look(info->result);
    else if (again != MAY_BREAK || !info->error ||
             !strstr(info->error, "in a process that had run"))
        check_fail("after it, a task is %s, %s: %s", mn_status_name(info->status),
                   mn_reason_name(info->reason), info->error ? info->error : "no error");
    mn_info_destroy(info);
    return last;
}

/* Looks at the next tasks of the same declaration; those that can be given the process are few. */
static void look_around(const row_t *row, mn_entry_t *looker, const char *as)
{
    bool found = false;
    for (int i = 0; i < 6 && !found && !check_state.case_failed; i++)
        found = strcmp(look(looker, row->again), row->name) == 0;
    if (found && row->again == MUST_NOT_BE)
        check_fail("its process was used again, as a %s", as);
    if (!found && row->again == MUST_BE)
        check_fail("its process was not used again, as a %s", as);
}

/* A row that may end in several ways: with success, or because its process or channel broke. */
static bool any_end(mn_reason_t reason, const char *error)
{
    return reason == MN_REASON_RETURNED || reason == MN_REASON_SIGNAL ||
           reason == MN_REASON_EXITED ||
           (reason == MN_REASON_ERROR && error && strstr(error, "channel"));
}

static void check_job(const row_t *row, mn_entry_t *job, const roll_t *roll)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    char words[256];
    const mn_start_options_t slowly = {.timeout = row->hangs ? 0.3 * check_slowness() : 0};
    REQUIRE_CODE(mn_start(job, order(row, roll, words), &slowly, &id), 0);
    REQUIRE_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    CHECK(roll_empty(roll)); /* once it has ended nothing of it is left */
    bool good = row->reason == MN_REASON_NONE
                    ? any_end(info->reason, info->error) &&
                          (info->status == MN_FAILED || info->status == MN_SUCCEEDED)
                    : info->status == row->status && info->reason == row->reason &&
                          (!row->error || (info->error && strstr(info->error, row->error))) &&
                          value_is_text(info->result, "partial");
    if (row->reason == MN_REASON_NONE)
        check_say("# as a job: %s, %s\n", mn_reason_name(info->reason),
                  info->error ? info->error : "no error");
    if (!good || (info->status == MN_FAILED) != (info->error != NULL) || info->attempts != 1)
        check_fail("as a job: %s, %s, error %s, %u attempts", mn_status_name(info->status),
                   mn_reason_name(info->reason), info->error ? info->error : "none",
                   info->attempts);
    mn_info_destroy(info);
}

/* An item, called from a job, whose log takes what it prints. */
static void check_item(const row_t *row, const roll_t *roll)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    char words[256];
    int code = 0, reason = 0, at = 0;
    mn_entry_t *caller = row->hangs ? call_item_with_timeout : call_item;
    REQUIRE_CODE(mn_start(caller, order(row, roll, words), NULL, &id), 0);
    REQUIRE_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    CHECK(EVENTUALLY(roll_empty(roll))); /* a function's success does not wait for what it left */
    char text[1024] = "";
    if (info->result.type == MN_TEXT)
        snprintf(text, sizeof text, "%.*s", (int)info->result.size,
                 (const char *)info->result.data);
    bool good = info->status == MN_SUCCEEDED && sscanf(text, "%d %d %n", &code, &reason, &at) == 2;
    if (good && row->reason == MN_REASON_NONE)
        good = code == 0 || any_end((mn_reason_t)reason, text);
    else if (good)
        good = code == row->code && (code == 0 || (reason == (int)row->reason &&
                                                   (!row->error || strstr(text, row->error))));
    if (!good)
        check_fail("as a function: the caller is %s; %s, %s: %s", mn_status_name(info->status),
                   mn_error_name(code), mn_reason_name((mn_reason_t)reason), text + at);
    mn_info_destroy(info);
}

/* What ends only by a cancel: a job, and the function that a job calls. */
static void check_cancel(const row_t *row, mn_entry_t *job, const roll_t *roll)
{
    mn_id_t id;
    char words[256];
    REQUIRE_CODE(
        mn_start(job, order(row, roll, words), &(mn_start_options_t){.timeout = 1000}, &id), 0);
    REQUIRE(roll_await(roll, 1));
    CHECK_CODE(mn_cancel(id), 0);
    mn_info_t *info = NULL;
    REQUIRE_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    CHECK(roll_empty(roll));
    if (info->status != MN_CANCELLED || !value_is_text(info->result, "partial"))
        check_fail("cancelled: %s, %s", mn_status_name(info->status), mn_reason_name(info->reason));
    if (job == suspect_with_timeout)
        CHECK(info->reason == MN_REASON_KILLED);
    mn_info_destroy(info);
}

static void check_bystander(void)
{
    mn_info_t *info = NULL;
    REQUIRE_CODE(mn_get(bystander, &info), 0);
    uint64_t yields = info->yields;
    mn_info_destroy(info);
    if (await_yields(bystander, yields + 2) && status_is(bystander, MN_RUNNING))
        return;
    REQUIRE_CODE(mn_get(bystander, &info), 0);
    check_fail("the job beside it is %s: %s", mn_status_name(info->status),
               info->error ? info->error : "");
    mn_info_destroy(info);
}

static void check_row(mn_task_t *task)
{
    (void)task;
    const row_t *row = present;
    mn_entry_t *job = row->hangs ? suspect_with_timeout : suspect;
    roll_t roll;
    REQUIRE(roll_open(&roll));
    check_job(row, job, &roll);
    look_around(row, suspect, "job");
    if (!row->jobs_only) {
        check_item(row, &roll);
        look_around(row, look_at_item, "function");
    }
    if (row->hangs) {
        check_cancel(row, suspect_with_timeout, &roll);
        check_cancel(row, call_item, &roll);
    }
    check_bystander();
    roll_close(&roll);
}

static void begin(mn_task_t *task)
{
    (void)task;
    REQUIRE_CODE(mn_start(steady, mn_none(), NULL, &bystander), 0);
    REQUIRE(await_yields(bystander, 1));
    CHECK(strcmp(look(new_process, MAY_BE), "") == 0);
    CHECK(innocent != NULL);
}

/* Many at a time, in one map: the bad ones do not harm the good ones, whatever travels together. */
static void all_ends_in_one_map(mn_task_t *task)
{
    enum { MOST = 64 };
    const row_t *chosen[MOST];
    char words[MOST][256];
    mn_value_t values[MOST], results[MOST];
    mn_item_error_t errors[MOST] = {{0}};
    roll_t roll;
    size_t count = 0;
    REQUIRE(rows_count <= MOST);
    REQUIRE(roll_open(&roll));
    for (const row_t *row = rows; row < rows + rows_count && !row->hangs; row++) {
        if (impossible(row))
            continue;
        values[count] = order(row, &roll, words[count]);
        chosen[count++] = row;
    }
    for (size_t block = 0; block < 2; block++) {
        REQUIRE_CODE(mn_map_values(task, suspect_item, values, count, results,
                                   &(mn_map_options_t){.errors = errors, .max_block = block}),
                     0);
        for (size_t i = 0; i < count; i++) {
            const row_t *row = chosen[i];
            if (errors[i].code != row->code ||
                (row->code != 0 &&
                 (errors[i].reason != row->reason || !strstr(errors[i].message, row->error))))
                check_fail("%s: %s, %s: %s", row->name, mn_error_name(errors[i].code),
                           mn_reason_name(errors[i].reason),
                           errors[i].message ? errors[i].message : "no message");
            mn_value_destroy(&results[i]);
        }
        mn_item_errors_destroy(errors, count);
    }
    roll_close(&roll);
}

static void one_item_crashes(mn_task_t *task)
{
    mn_value_t result = mn_none();
    char words[16];
    const row_t *row = rows;
    while (row->reason != MN_REASON_SIGNAL ||
           impossible(row)) /* segfault, where that can be tried */
        row++;
    snprintf(words, sizeof words, "%u -", (unsigned)(row - rows));
    CHECK_REFUSED(mn_call(task, suspect_item, mn_text(words), &result), MN_E_CRASHED);
    CHECK(strstr(mn_error_message(), row->error) != NULL);
    CHECK_CODE(mn_call(task, suspect_item, mn_text("look"), &result), 0);
    mn_value_destroy(&result);
}

static void log_of_a_gigabyte(mn_task_t *task)
{
    mn_id_t id;
    char *log = NULL, words[256];
    size_t size = 0;
    roll_t roll;
    (void)task;
    const row_t *row = rows;
    while (row->misdeed != print_a_gigabyte)
        row++;
    REQUIRE(roll_open(&roll));
    REQUIRE_CODE(mn_start(suspect, order(row, &roll, words), NULL, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    REQUIRE_CODE(mn_log(id, 0, MN_STDOUT, &log, &size), 0);
    CHECK(size > 100000 && size < 140000 && strstr(log, "bytes left out"));
    free(log);
    roll_close(&roll);
}

static void end(mn_task_t *task)
{
    (void)task;
    CHECK_CODE(mn_cancel(bystander), 0);
    mn_info_t *info = ENDED(bystander, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(info->attempts == 1);
    mn_info_destroy(info);
    free(innocent);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    check_begin();
    check_state.name = "begin";
    begin(task);
    for (present = rows; present < rows + rows_count; present++)
        if (impossible(present))
            check_say("# skipped: %s: %s\n", present->name, impossible(present));
        else
            check_run(task, present->name, check_row);
    RUN(task, one_item_crashes);
    RUN(task, all_ends_in_one_map);
    RUN(task, log_of_a_gigabyte);
    end(task);
    return check_end();
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
