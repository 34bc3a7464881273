/* SPDX-License-Identifier: MIT
 *
 * Many jobs in one call: started, waited for, shown.
 */
#include "places.h"

MN_JOB(repeat_job, .cpu = 0.5);
MN_JOB(fail_if_odd, .cpu = 0.5);
MN_JOB(hold_job, .cpu = 0.01, .grace = 5);

/* Yields its input. */
static int repeat_job(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int fail_if_odd(mn_task_t *task, mn_value_t input)
{
    int64_t number = value_int(input);
    if (number % 2)
        return mn_fail(task, MN_E_STORE, "%lld is odd", (long long)number);
    return mn_yield(task, input);
}

static int hold_job(mn_task_t *task, mn_value_t input)
{
    (void)input;
    while (!mn_cancelled(task))
        pause_ms(1);
    return mn_cancelled(task);
}

typedef struct shown {
    const mn_value_t *inputs;
    const mn_id_t *ids;
    size_t next, wrong, failed;
    size_t stop_at;
} shown_t;

static int show(void *argument, size_t index, const mn_info_t *info)
{
    shown_t *shown = argument;
    bool good = index == shown->next && mn_id_equal(info->id, shown->ids[index]);
    if (good && info->status == MN_SUCCEEDED && shown->inputs)
        good = info->result.size == shown->inputs[index].size &&
               (info->result.size == 0 ||
                memcmp(info->result.data, shown->inputs[index].data, info->result.size) == 0);
    shown->failed += info->status == MN_FAILED;
    shown->wrong += !good;
    shown->next++;
    return shown->next == shown->stop_at ? 42 : 0;
}

enum { MANY = 3000, LARGE = 300000 };

static void all_at_once(mn_task_t *task)
{
    static mn_value_t inputs[MANY];
    static mn_id_t ids[MANY];
    static char bytes[LARGE];
    shown_t shown = {.inputs = inputs, .ids = ids};

    (void)task;
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i * 7);
    for (size_t i = 0; i < MANY; i++)
        inputs[i] = mn_bytes(bytes + i, i % 500 == 77 ? LARGE - i : i % 700);
    CHECK_CODE(mn_start_many(repeat_job, inputs, MANY, &(mn_start_options_t){.tag = "many"}, ids),
               MANY);
    CHECK_CODE(mn_wait_many(ids, MANY, CHECK_PATIENCE, show, &shown), 0);
    if (shown.next != MANY || shown.wrong > 0)
        check_fail("%zu were shown, %zu of them wrong", shown.next, shown.wrong);
    mn_info_t *info = NULL;
    REQUIRE_CODE(mn_get(ids[MANY - 1], &info), 0);
    CHECK(info->status == MN_SUCCEEDED && info->tag && strcmp(info->tag, "many") == 0);
    mn_info_destroy(info);
    /* Once more, though they have ended; and no more than is wanted. */
    shown = (shown_t){.inputs = inputs, .ids = ids, .stop_at = 1500};
    CHECK_CODE(mn_wait_many(ids, MANY, 0, show, &shown), 42);
    CHECK(shown.next == 1500 && shown.wrong == 0);
    CHECK_CODE(mn_wait_many(ids, MANY, -1, NULL, NULL), 0);
    for (size_t i = 0; i < MANY; i += 100)
        CHECK_CODE(mn_remove(ids[i]), 0);
    shown = (shown_t){.inputs = inputs, .ids = ids};
    CHECK_REFUSED(mn_wait_many(ids, MANY, 0, show, &shown), MN_E_NO_JOB);
    CHECK(shown.next == 0);
}

static void some_fail(mn_task_t *task)
{
    int64_t numbers[50];
    mn_value_t inputs[50];
    mn_id_t ids[50];
    shown_t shown = {.inputs = inputs, .ids = ids};

    (void)task;
    for (int i = 0; i < 50; i++) {
        numbers[i] = i;
        inputs[i] = int_value(&numbers[i]);
    }
    REQUIRE_CODE(mn_start_many(fail_if_odd, inputs, 50, NULL, ids), 50);
    CHECK_CODE(mn_wait_many(ids, 50, CHECK_PATIENCE, show, &shown), 0);
    CHECK(shown.next == 50 && shown.wrong == 0 && shown.failed == 25);
}

/* Those before one that goes on are shown; then the time is over. */
static void one_goes_on(mn_task_t *task)
{
    mn_value_t inputs[10];
    mn_id_t ids[11], held;
    shown_t shown = {.inputs = inputs, .ids = ids};

    (void)task;
    for (int i = 0; i < 10; i++)
        inputs[i] = mn_text("a text");
    REQUIRE_CODE(mn_start_many(repeat_job, inputs, 10, NULL, ids), 10);
    REQUIRE_CODE(mn_start(hold_job, mn_none(), NULL, &held), 0);
    ids[10] = ids[9];
    ids[9] = ids[5];
    ids[5] = held;
    CHECK_CODE(mn_wait_many(ids, 5, CHECK_PATIENCE, show, &shown), 0);
    CHECK(shown.next == 5 && shown.wrong == 0);
    shown.next = 0;
    CHECK_REFUSED(mn_wait_many(ids, 11, 0.2, show, &shown), MN_E_TIMEOUT);
    CHECK(shown.next == 5);
    shown.next = 0;
    CHECK_REFUSED(mn_wait_many(ids, 11, 0, show, &shown), MN_E_TIMEOUT);
    CHECK(shown.next == 5);
    CHECK_CODE(mn_cancel(held), 0);
    shown = (shown_t){.ids = ids};
    CHECK_CODE(mn_wait_many(ids, 11, CHECK_PATIENCE, show, &shown), 0);
    CHECK(shown.next == 11 && shown.wrong == 0);
}

static void wrong_calls(mn_task_t *task)
{
    mn_value_t inputs[2] = {mn_text("a"), mn_text("b")}, bad[2] = {mn_text("a"), mn_none()};
    mn_id_t ids[2] = {{{1}}, {{2}}};
    shown_t shown = {.ids = ids};

    (void)task;
    bad[1].size = 7;
    CHECK_REFUSED(mn_start_many(repeat_job, NULL, 2, NULL, ids), MN_E_INVALID);
    CHECK_REFUSED(mn_start_many(repeat_job, bad, 2, NULL, ids), MN_E_INVALID);
    CHECK(strstr(mn_error_message(), "input 1"));
    CHECK_REFUSED(mn_start_many(repeat_job, inputs, 2, &(mn_start_options_t){.lock = "one"}, ids),
                  MN_E_INVALID);
    CHECK_REFUSED(mn_start_many(repeat_job, inputs, 2, &(mn_start_options_t){.key = "one"}, ids),
                  MN_E_INVALID);
    CHECK_REFUSED(
        mn_start_many(repeat_job, inputs, 2, &(mn_start_options_t){.memory = "900TiB"}, ids),
        MN_E_IMPOSSIBLE);
    CHECK(ids[0].bytes[0] == 1);
    CHECK_CODE(mn_start_many(repeat_job, NULL, 0, NULL, NULL), 0);
    CHECK_CODE(mn_wait_many(NULL, 0, -1, NULL, NULL), 0);
    CHECK_REFUSED(mn_wait_many(NULL, 1, -1, NULL, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_wait_many(ids, 2, -1, show, &shown), MN_E_NO_JOB);
    CHECK(shown.next == 0);
    REQUIRE_CODE(mn_start_many(repeat_job, inputs, 2, NULL, NULL), 2);
}

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    RUN(task, all_at_once);
    RUN(task, some_fail);
    RUN(task, one_goes_on);
    RUN(task, wrong_calls);
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, places_driver);
}
