/* SPDX-License-Identifier: MIT
 *
 * "From the driver, from a job, from a function, from a service": runs the program's rows() in all four. The
 * program defines rows() and declares what it needs; its driver is places_driver(), or calls run_in_all_places().
 */
#ifndef MNI_TESTS_INTEGRATION_PLACES_H
#define MNI_TESTS_INTEGRATION_PLACES_H

#include "check.h"

/* Checks everything, with RUN(). `where` is "driver", "job", "function" or "service". */
static void rows(mn_task_t *task, const char *where);

MN_JOB(rows_in_a_job, .cpu = 0.1);
MN_FUNCTION(rows_in_a_function, .cpu = 0.1);
MN_SERVICE(rows_in_a_service, 0);
MN_JOB(carry_report, .cpu = 0.01);

#define PLACES_BEGIN "places: the service may begin"
#define PLACES_REPORT "places: the service's report"

/* The report: the number of failures, then the text. */
static mn_value_t places_report(mn_task_t *task, const char *where)
{
    static char report[sizeof check_state.text + 16];
    char place[32];
    snprintf(place, sizeof place, "in a %s: ", where);
    check_state.place = place;
    check_state.prints = false;
    check_state.used = 0;
    check_state.failures = 0;
    rows(task, where);
    check_state.text[check_state.used] = 0;
    snprintf(report, sizeof report, "%d\n%s", check_state.failures, check_state.text);
    return mn_text(report);
}

static int rows_in_a_job(mn_task_t *task, mn_value_t input)
{
    (void)input;
    return mn_yield(task, places_report(task, "job"));
}

static int rows_in_a_function(mn_task_t *task, mn_value_t input)
{
    (void)input;
    return mn_yield(task, places_report(task, "function"));
}

static int carry_report(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

/* Whether a job with this tag is there. */
static bool places_find(const char *tag, mn_id_t *id)
{
    size_t count = 0;
    return mn_list(&(mn_list_options_t){.tag = tag}, id, 1, &count) == 0 && count == 1;
}

static int rows_in_a_service(mn_task_t *task, mn_value_t input)
{
    mn_id_t id;
    (void)input;
    while (!mn_cancelled(task) && !places_find(PLACES_BEGIN, &id))
        pause_ms(10);
    if (!mn_cancelled(task) && mn_task_attempt(task) == 1)
        mn_start(carry_report, places_report(task, "service"),
                 &(mn_start_options_t){.tag = PLACES_REPORT}, &id);
    while (!mn_cancelled(task))
        pause_ms(10);
    return 0;
}

static void places_take(const char *where, mn_value_t report)
{
    const char *text = report.data;
    size_t digits = 0;
    int failures = 0;
    while (digits < report.size && text[digits] >= '0' && text[digits] <= '9')
        failures = failures * 10 + (text[digits++] - '0');
    if (report.type != MN_TEXT || digits == 0 || digits >= report.size || text[digits] != '\n') {
        check_state.name = where;
        check_state.case_failed = false;
        check_fail("no report came");
        return;
    }
    fwrite(text + digits + 1, 1, report.size - digits - 1, stdout);
    fflush(stdout);
    check_state.failures += failures;
}

CHECK_UNUSED static void places_in_job(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(rows_in_a_job, mn_none(), NULL, &id), 0);
    REQUIRE_CODE(mn_wait(id, 2 * CHECK_PATIENCE, &info), 0);
    if (info->status != MN_SUCCEEDED)
        check_fail("the job that checks is %s: %s", mn_status_name(info->status),
                   info->error ? info->error : "");
    else
        places_take("job", info->result);
    mn_info_destroy(info);
}

CHECK_UNUSED static void places_in_function(mn_task_t *task)
{
    mn_value_t result = mn_none();
    REQUIRE_CODE(mn_call(task, rows_in_a_function, mn_none(), &result), 0);
    places_take("function", result);
    mn_value_destroy(&result);
}

CHECK_UNUSED static void places_in_service(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(
        mn_start(carry_report, mn_none(), &(mn_start_options_t){.tag = PLACES_BEGIN}, NULL), 0);
    REQUIRE(EVENTUALLY(places_find(PLACES_REPORT, &id)));
    REQUIRE_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    places_take("service", info->result);
    mn_info_destroy(info);
}

CHECK_UNUSED static void run_in_all_places(mn_task_t *task)
{
    rows(task, "driver");
    if (getenv("CHECK_ONLY")) /* reaches the other places through the environment */
        check_say("# only some of the cases\n");
    const char *only = getenv("CHECK_PLACE");
    struct {
        const char *name;
        check_case_t *run;
    } places[] = {
        {"job", places_in_job}, {"function", places_in_function}, {"service", places_in_service}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (only && strcmp(only, places[i].name) != 0)
            continue;
        check_state.name = places[i].name;
        check_state.case_failed = false;
        signal(SIGALRM, check_alarm);
        alarm(CHECK_CASE_LIMIT);
        places[i].run(task);
        alarm(0);
    }
}

/* The driver of a program that checks its rows() and nothing else. */
CHECK_UNUSED static int places_driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    check_begin();
    run_in_all_places(task);
    return check_end();
}

#endif
