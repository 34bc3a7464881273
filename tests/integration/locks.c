/* SPDX-License-Identifier: MIT
 *
 * Locks, from all places.
 */
#include "places.h"

MN_JOB(hold, .cpu = 0.05);
MN_JOB(quick, .cpu = 0.05);
MN_JOB(hold_alone, .cpu = 0.05, .max_concurrency = 1);
MN_JOB(crash_then_hold, .cpu = 0.05, .max_retries = 1);
MN_JOB(leave_stubborn_child, .cpu = 0.05);
MN_JOB(call_stubborn, .cpu = 0.05);
MN_FUNCTION(be_stubborn, .cpu = 0.05);

static int hold(mn_task_t *task, mn_value_t input)
{
    int rc = mn_yield(task, mn_text("here"));
    (void)input;
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    return rc;
}

static int hold_alone(mn_task_t *task, mn_value_t input)
{
    return hold(task, input);
}

static int quick(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int crash_then_hold(mn_task_t *task, mn_value_t input)
{
    if (mn_task_attempt(task) == 1)
        abort();
    return hold(task, input);
}

static void stay(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (;;)
        pause();
}

/* Returns when it is cancelled, but its child would stay. */
static int leave_stubborn_child(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    if (fork() == 0) {
        setsid();
        roll_sign(path);
        stay();
    }
    while (!mn_cancelled(task))
        pause_ms(2);
    return mn_cancelled(task);
}

static int be_stubborn(mn_task_t *task, mn_value_t input)
{
    char path[128];
    (void)task;
    value_to_path(input, path);
    roll_sign(path);
    stay();
    return 0;
}

/* Returns at once when it is cancelled; the function that it called does not. */
static int call_stubborn(mn_task_t *task, mn_value_t input)
{
    return mn_call(task, be_stubborn, input, NULL);
}

static const char *lock_name(const char *what)
{
    static char name[96];
    snprintf(name, sizeof name, "%s, %s", what, check_state.place);
    return name;
}

static int start(mn_entry_t *job, const char *input, const char *lock, mn_id_t *id)
{
    return mn_start(job, mn_text(input), &(mn_start_options_t){.lock = lock}, id);
}

static bool message_names(mn_id_t id)
{
    char text[MN_ID_TEXT];
    return strstr(mn_error_message(), mn_id_format(id, text)) != NULL;
}

/* The id that mn_locks() gives for a lock; false if it is not there (or twice). */
static bool find_lock(const char *name, mn_id_t *holder)
{
    mn_lock_t *locks = NULL;
    size_t count = 0, found = 0;
    if (!CHECK_CODE(mn_locks(&locks, &count), 0))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(locks[i].name, name) == 0) {
            *holder = locks[i].holder;
            found++;
        }
        if (i > 0)
            CHECK(strcmp(locks[i - 1].name, locks[i].name) < 0); /* by name */
    }
    mn_locks_destroy(locks);
    return found == 1;
}

static void refused_while_held(mn_task_t *task)
{
    const char *name = lock_name("table-7");
    mn_id_t holder, other, second = {{0}}, listed[2], zero = {{0}};
    size_t count;
    (void)task;
    REQUIRE_CODE(start(hold, NULL, name, &holder), 0);
    CHECK_REFUSED(start(hold, NULL, name, &second),
                  MN_E_LOCK_IN_USE); /* at once, whatever the first does */
    CHECK(message_names(holder));
    CHECK(mn_id_equal(second, zero));
    CHECK(await_yields(holder, 1));
    CHECK_REFUSED(start(quick, "x", name, &second), MN_E_LOCK_IN_USE);
    CHECK(message_names(holder));
    CHECK(find_lock(name, &other) && mn_id_equal(other, holder));
    CHECK_CODE(mn_list(&(mn_list_options_t){.lock = name}, listed, 2, &count), 0);
    CHECK(count == 1 && mn_id_equal(listed[0], holder)); /* what was refused left no job */

    REQUIRE_CODE(start(quick, "x", lock_name("table-8"), &other), 0);
    EXPECT_END(other, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK(!find_lock(lock_name("table-8"), &other));

    name = lock_name("table-7");
    CHECK_CODE(mn_cancel(holder), 0);
    EXPECT_END(holder, MN_CANCELLED, MN_REASON_CANCELLED);
    CHECK(!find_lock(name, &other));
    REQUIRE_CODE(start(quick, "again", name, &second), 0);
    mn_info_t *info = ENDED(second, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info)
        CHECK(value_is_text(info->result, "again") && info->lock && strcmp(info->lock, name) == 0);
    mn_info_destroy(info);
    CHECK_CODE(mn_list(&(mn_list_options_t){.lock = name}, listed, 2, &count), 0);
    CHECK(count == 2); /* holding, or having held it */
}

static void held_while_pending(mn_task_t *task)
{
    const char *name = lock_name("queue");
    mn_id_t first, second, third;
    (void)task;
    REQUIRE_CODE(mn_start(hold_alone, mn_none(), NULL, &first), 0);
    CHECK(await_yields(first, 1));
    REQUIRE_CODE(start(hold_alone, NULL, name, &second), 0);
    CHECK(status_is(second, MN_PENDING));
    CHECK_REFUSED(start(quick, "x", name, &third), MN_E_LOCK_IN_USE);
    CHECK(message_names(second));
    CHECK_CODE(mn_cancel(second), 0);
    CHECK_CODE(start(quick, "x", name, &third), 0);
    EXPECT_END(third, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK_CODE(mn_cancel(first), 0);
    EXPECT_END(first, MN_CANCELLED, MN_REASON_CANCELLED);
}

static void refused_start_takes_none(mn_task_t *task)
{
    const char *name = lock_name("impossible");
    mn_id_t id;
    (void)task;
    CHECK_REFUSED(mn_start(quick, mn_none(), &(mn_start_options_t){.lock = name, .cpu = 1000}, &id),
                  MN_E_IMPOSSIBLE);
    CHECK(!find_lock(name, &id));
    REQUIRE_CODE(start(quick, "x", name, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
}

static void kept_over_a_retry(mn_task_t *task)
{
    const char *name = lock_name("retry");
    mn_id_t id, other;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(start(crash_then_hold, NULL, name, &id), 0);
    while (!await_yields(id, 1))
        REQUIRE(mn_wait(id, 0, NULL) == MN_E_TIMEOUT);
    CHECK_REFUSED(start(quick, "x", name, &other), MN_E_LOCK_IN_USE);
    CHECK_CODE(mn_cancel(id), 0);
    info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(info->attempts == 2);
    mn_info_destroy(info);
}

/* From the cancel on, a start is tried again and again: when it succeeds nothing of the holder is alive. */
static void until_the_processes_are_gone(mn_entry_t *job, double grace)
{
    const char *name = lock_name("processes");
    mn_id_t id, next;
    roll_t roll;
    int rc;
    REQUIRE(roll_open(&roll));
    REQUIRE_CODE(start(job, roll.path, name, &id), 0);
    CHECK(roll_await(&roll, 1));
    CHECK(!roll_empty(&roll));
    CHECK_CODE(mn_cancel_within(id, grace), 0);
    double until = seconds_now() + CHECK_PATIENCE;
    while ((rc = start(quick, "x", name, &next)) == MN_E_LOCK_IN_USE && seconds_now() < until)
        CHECK(message_names(id));
    CHECK_CODE(rc, 0);
    CHECK(roll_empty(&roll));
    mn_info_t *info = NULL;
    CHECK_CODE(mn_wait(id, 0, &info), 0); /* and it has ended */
    mn_info_destroy(info);
    EXPECT_END(next, MN_SUCCEEDED, MN_REASON_RETURNED);
    roll_close(&roll);
}

static void held_until_children_are_gone(mn_task_t *task)
{
    (void)task;
    until_the_processes_are_gone(leave_stubborn_child, 30);
}

static void held_until_functions_are_gone(mn_task_t *task)
{
    (void)task;
    until_the_processes_are_gone(call_stubborn, 0.3);
}

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    RUN(task, refused_while_held);
    RUN(task, held_while_pending);
    RUN(task, refused_start_takes_none);
    RUN(task, kept_over_a_retry);
    RUN(task, held_until_children_are_gone);
    RUN(task, held_until_functions_are_gone);
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, places_driver);
}
