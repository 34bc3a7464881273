/* SPDX-License-Identifier: MIT
 *
 * Cancellation: how it reaches a job, its clean-up, its end, and what it must leave behind: nothing.
 */
#include "check.h"

#include <pthread.h>

MN_JOB(hold, .cpu = 0.05);
MN_JOB(hold_twice, .cpu = 0.05, .max_concurrency = 1);
MN_JOB(quick, .cpu = 0.05);
MN_JOB(fail_now, .cpu = 0.05);
MN_JOB(walk_in_job, .cpu = 0.05);
MN_JOB(call_walk, .cpu = 0.05);
MN_FUNCTION(walk_in_function, .cpu = 0.05);
MN_FUNCTION(hold_item, .cpu = 0.05);
MN_JOB(call_back, .cpu = 0.05);
MN_JOB(clean_up, .cpu = 0.05);
MN_JOB(return_zero, .cpu = 0.05);
MN_JOB(be_stubborn, .cpu = 0.05);
MN_JOB(be_stubborn_shortly, .cpu = 0.05, .grace = 0.3);
MN_JOB(be_stubborn_without_grace, .cpu = 0.05, .grace = MN_NO_GRACE);
MN_JOB(leave_children, .cpu = 0.05);
MN_JOB(crash_with_children, .cpu = 0.05);
MN_JOB(nest, .cpu = 0.05);
MN_FUNCTION(nest_deeper, .cpu = 0.05);
MN_JOB(have_children, .cpu = 0.05);
MN_SERVICE(bystander, 0);

static int bystander(mn_task_t *task, mn_value_t input)
{
    (void)input;
    while (!mn_cancelled(task))
        pause_ms(10);
    return 0;
}

static int hold(mn_task_t *task, mn_value_t input)
{
    int rc = mn_yield(task, mn_text("here"));
    (void)input;
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    return rc;
}

static int hold_twice(mn_task_t *task, mn_value_t input)
{
    return hold(task, input);
}

static int quick(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int fail_now(mn_task_t *task, mn_value_t input)
{
    (void)input;
    return mn_fail(task, MN_E_FAILED, "as it should");
}

static int hold_item(mn_task_t *task, mn_value_t input)
{
    (void)input;
    while (!mn_cancelled(task))
        pause_ms(2);
    return mn_cancelled(task);
}

/* --- every call in a cancelled task --------------------------------------------------------------------------- */

static struct {
    char text[4096];
    size_t used;
} walk;

static void walked(const char *call, int got, int wanted)
{
    bool said = got == 0 || strlen(mn_error_message()) > 3;
    if (got != wanted || !said)
        walk.used +=
            (size_t)snprintf(walk.text + walk.used, sizeof walk.text - walk.used, "%s: %s (%s); ",
                             call, mn_error_name(got), mn_error_message());
}

#define WALK(call) walked(#call, (call), MN_E_CANCELLED)

/* Waits for the cancel, then makes every call there is. `other` is a running job. It says that it is ready with a
 * yield in a job, with its name on the roll in a function. */
static void walk_calls(mn_task_t *task, mn_id_t other, const char *roll)
{
    bool in_job = !roll;
    mn_id_t id, ids[2];
    mn_info_t *info = NULL;
    mn_lock_t *locks = NULL;
    mn_map_stream_t *stream = NULL, *late = NULL;
    mn_value_t value = mn_none(), values[2] = {{0}};
    int64_t numbers[2] = {1, 2}, results[2];
    size_t count;
    char *text = NULL, address[64];

    walk.used = 0;
    walk.text[0] = 0;
    walked("mn_map_open before", mn_map_open(task, hold_item, values, 2, NULL, &stream), 0);
    if (in_job)
        mn_yield(task, mn_text("ready"));
    else
        roll_sign(roll);
    while (!mn_cancelled(task))
        pause_ms(1);
    if (mn_cancelled(task) != MN_E_CANCELLED || mn_cancelled(NULL) != MN_E_CANCELLED ||
        *mn_cancel_flag(task) != MN_E_CANCELLED)
        walked("the flag is not MN_E_CANCELLED", -1, 0);
    WALK(mn_start(quick, mn_none(), NULL, &id));
    WALK(mn_start_named("quick", mn_none(), NULL, &id));
    WALK(mn_get(other, &info));
    WALK(mn_wait(other, 0, &info));
    WALK(mn_wait(other, -1, &info));
    WALK(mn_watch(other, 0, 1, &info));
    WALK(mn_remove(other));
    WALK(mn_list(NULL, ids, 2, &count));
    WALK(mn_locks(&locks, &count));
    WALK(mn_log(other, 0, MN_STDOUT, &text, NULL));
    WALK(mn_service_address("bystander", address, sizeof address));
    WALK(mn_call(task, hold_item, mn_none(), &value));
    WALK(
        mn_map_fixed(task, hold_item, numbers, sizeof *numbers, 2, results, sizeof *results, NULL));
    WALK(mn_map_values(task, hold_item, values, 2, values, NULL));
    WALK(mn_map_open(task, hold_item, values, 2, NULL, &late));
    WALK(mn_map_next(stream, &value));
    WALK(mn_cancel(other)); /* carried out all the same */
    WALK(mn_cancel_within(other, 5));
    mn_map_close(stream);
    if (in_job) {
        WALK(mn_progress(task, 0.75, "cleaning up"));
        WALK(mn_yield_sync(task, mn_text("one")));
        WALK(mn_yield(task, mn_text("two")));
        walked("mn_last_yield", mn_last_yield(task, &value), 0);
        walked("the last yield", value_is_text(value, "two") ? 0 : -1, 0);
    }
    if (info || locks || text || late)
        walked("an output was written", -1, 0);
}

static int walk_in_job(mn_task_t *task, mn_value_t input)
{
    mn_id_t other;
    memcpy(&other, input.data, sizeof other);
    walk_calls(task, other, NULL);
    mn_yield(task, mn_text(walk.used ? walk.text : "as it must be"));
    return MN_E_CANCELLED;
}

/* The input: the other job, and the path of a roll and a report. */
typedef struct walk_order {
    mn_id_t other;
    char roll[96], report[96];
} walk_order_t;

static int walk_in_function(mn_task_t *task, mn_value_t input)
{
    walk_order_t order;
    memcpy(&order, input.data, sizeof order);
    walk_calls(task, order.other, order.roll);
    char draft[128];
    snprintf(draft, sizeof draft, "%s.draft", order.report);
    FILE *report = fopen(draft, "w");
    pause_ms(200); /* longer than the caller takes to return */
    if (report) {
        fprintf(report, "%s\n", walk.used ? walk.text : "as it must be");
        fclose(report);
        rename(draft, order.report);
    }
    return MN_E_CANCELLED;
}

static int call_walk(mn_task_t *task, mn_value_t input)
{
    int rc = mn_call(task, walk_in_function, input, NULL);
    mn_yield(task, mn_text(mn_error_name(rc)));
    return rc; /* at once; the function has its grace all the same */
}

static void every_call_in_a_job(mn_task_t *task)
{
    mn_id_t id, other;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(hold, mn_none(), NULL, &other), 0);
    REQUIRE_CODE(mn_start(walk_in_job, mn_bytes(&other, sizeof other), NULL, &id), 0);
    REQUIRE(await_yields(id, 1));
    REQUIRE(await_yields(other, 1));
    CHECK_CODE(mn_cancel(id), 0);
    info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info && !value_is_text(info->result, "as it must be"))
        check_fail("%.*s", (int)info->result.size, (const char *)info->result.data);
    if (info)
        CHECK(info->progress == 0.75 && info->message && strcmp(info->message, "cleaning up") == 0);
    mn_info_destroy(info);
    EXPECT_END(other, MN_CANCELLED, MN_REASON_CANCELLED); /* cancelled from the clean-up */
}

static void every_call_in_a_function(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    walk_order_t order;
    roll_t roll;
    char line[4096] = "";
    (void)task;
    REQUIRE(roll_open(&roll));
    memset(&order, 0, sizeof order);
    snprintf(order.roll, sizeof order.roll, "%s", roll.path);
    snprintf(order.report, sizeof order.report, "%s/report", roll.folder);
    REQUIRE_CODE(mn_start(hold, mn_none(), NULL, &order.other), 0);
    REQUIRE_CODE(mn_start(call_walk, mn_bytes(&order, sizeof order), NULL, &id), 0);
    CHECK(roll_await(&roll, 1));
    CHECK_CODE(mn_cancel(id), 0);
    info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(value_is_text(info->result, "MN_E_CANCELLED"));
    mn_info_destroy(info);
    FILE *report = fopen(order.report, "r");
    CHECK(report && fgets(line, sizeof line, report));
    if (strcmp(line, "as it must be\n") != 0)
        check_fail("%s", line);
    if (report)
        fclose(report);
    unlink(order.report);
    EXPECT_END(order.other, MN_CANCELLED, MN_REASON_CANCELLED);
    roll_close(&roll);
}

/* --- flag, callback, clean-up ----------------------------------------------------------------------------------- */

static int pipe_ends[2];
static pthread_t callback_thread;

static void write_code(int code, void *argument)
{
    callback_thread = pthread_self();
    if (argument == &pipe_ends && write(pipe_ends[1], &code, sizeof code) != (ssize_t)sizeof code)
        abort();
}

static void never_called(int code, void *argument)
{
    (void)code, (void)argument;
    abort();
}

/* Blocks where it sees no flag. */
static int call_back(mn_task_t *task, mn_value_t input)
{
    int code = 0, rc;
    char text[64];
    (void)input;
    if (pipe(pipe_ends) < 0)
        return mn_fail(task, MN_E_SYSTEM, "no pipe");
    if ((rc = mn_on_cancel(task, never_called, NULL)) < 0 ||
        (rc = mn_on_cancel(task, NULL, NULL)) < 0 ||
        (rc = mn_on_cancel(task, never_called, NULL)) < 0 ||
        (rc = mn_on_cancel(task, write_code, &pipe_ends)) < 0)
        return rc;
    mn_yield(task, mn_text("ready"));
    while (read(pipe_ends[0], &code, sizeof code) < 0 && errno == EINTR)
        ;
    /* Only once: nothing more comes, though the reading end stays open. */
    struct pollfd more = {.fd = pipe_ends[0], .events = POLLIN};
    bool again = poll(&more, 1, 50) != 0;
    snprintf(text, sizeof text, "%s, %s, %s", mn_error_name(code),
             pthread_equal(callback_thread, pthread_self()) ? "same thread" : "another thread",
             again ? "again" : "once");
    mn_yield(task, mn_text(text));
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return MN_E_CANCELLED;
}

static void callback(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    (void)task;
    for (int round = 0; round < 2; round++) { /* the second time maybe in the same process */
        REQUIRE_CODE(mn_start(call_back, mn_none(), NULL, &id), 0);
        REQUIRE(await_yields(id, 1));
        CHECK_CODE(mn_cancel(id), 0);
        info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
        if (info && !value_is_text(info->result, "MN_E_CANCELLED, another thread, once"))
            check_fail("%.*s", (int)info->result.size, (const char *)info->result.data);
        mn_info_destroy(info);
    }
}

static int clean_up(mn_task_t *task, mn_value_t input)
{
    int64_t number = 1;
    (void)input;
    mn_yield(task, int_value(&number));
    while (!*mn_cancel_flag(task))
        pause_ms(1);
    for (number = 2; number <= 50; number++) {
        mn_yield(task, int_value(&number));
        pause_ms(2);
    }
    return mn_cancelled(task);
}

static void yields_of_the_clean_up(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(clean_up, mn_none(), NULL, &id), 0);
    REQUIRE(await_yields(id, 1));
    CHECK_CODE(mn_cancel(id), 0);
    CHECK(status_is(id, MN_CANCELLING));
    info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(value_int(info->result) == 50 && info->attempts == 1 && info->error == NULL);
    mn_info_destroy(info);
}

static int return_zero(mn_task_t *task, mn_value_t input)
{
    (void)input;
    mn_yield(task, mn_text("begun"));
    while (!mn_cancelled(task))
        pause_ms(1);
    mn_yield(task, mn_text("done all the same"));
    return 0;
}

/* Whatever it returns: who cancelled it sees CANCELLED. */
static void return_after_cancel(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(return_zero, mn_none(), NULL, &id), 0);
    REQUIRE(await_yields(id, 1));
    CHECK_CODE(mn_cancel(id), 0);
    info = ENDED(id, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(value_is_text(info->result, "done all the same"));
    mn_info_destroy(info);
}

/* --- grace --------------------------------------------------------------------------------------------------------- */

static void ignore_signals(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

static void stay(void)
{
    ignore_signals();
    for (;;)
        pause();
}

/* Children of three kinds that hold the roll open: a plain one, one in a session of its own, and one that has
 * double-forked and whose parent is gone. */
static void fork_family(const char *path)
{
    if (fork() == 0) {
        roll_sign(path);
        stay();
    }
    if (fork() == 0) {
        setsid();
        roll_sign(path);
        stay();
    }
    pid_t middle = fork();
    if (middle == 0) {
        setsid();
        if (fork() == 0) {
            setsid();
            roll_sign(path);
            stay();
        }
        _exit(0);
    }
}

static int be_stubborn(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    mn_yield(task, mn_text("partial"));
    fork_family(path);
    roll_sign(path);
    ignore_signals();
    for (volatile unsigned long i = 0;; i++)
        ;
    return 0;
}

static int be_stubborn_shortly(mn_task_t *task, mn_value_t input)
{
    return be_stubborn(task, input);
}

static int be_stubborn_without_grace(mn_task_t *task, mn_value_t input)
{
    return be_stubborn(task, input);
}

/* How the cancel of a job that does not listen ends. `within` NAN: a plain cancel. */
static void kill_stubborn(mn_entry_t *job, const mn_start_options_t *options, bool plain,
                          double within, double least)
{
    mn_id_t id;
    roll_t roll;
    REQUIRE(roll_open(&roll));
    REQUIRE_CODE(mn_start(job, mn_text(roll.path), options, &id), 0);
    CHECK(roll_await(&roll, 4));
    CHECK(await_yields(id, 1));
    double begun = seconds_now();
    CHECK_CODE(plain ? mn_cancel(id) : mn_cancel_within(id, within), 0);
    mn_info_t *info = ENDED(id, MN_CANCELLED, MN_REASON_KILLED);
    CHECK(roll_empty(&roll)); /* all of them, and at once */
    CHECK(seconds_now() - begun >= least && seconds_now() - begun < least + 20);
    if (info)
        CHECK(value_is_text(info->result, "partial"));
    mn_info_destroy(info);
    roll_close(&roll);
}

static void grace_of_the_cancel(mn_task_t *task)
{
    (void)task;
    kill_stubborn(be_stubborn, NULL, false, 0.3, 0.3);
    kill_stubborn(be_stubborn, NULL, false, MN_NO_GRACE, 0);
    kill_stubborn(be_stubborn, NULL, false, 0, 0);
}

static void grace_of_the_start(mn_task_t *task)
{
    (void)task;
    kill_stubborn(be_stubborn, &(mn_start_options_t){.grace = 0.3}, true, 0, 0.3);
}

static void grace_of_the_declaration(mn_task_t *task)
{
    (void)task;
    kill_stubborn(be_stubborn_shortly, NULL, true, 0, 0.3);
    kill_stubborn(be_stubborn_without_grace, NULL, true, 0, 0);
}

/* Who has waited long enough can shorten it. */
static void second_cancel_is_sharper(mn_task_t *task)
{
    mn_id_t id;
    roll_t roll;
    (void)task;
    REQUIRE(roll_open(&roll));
    REQUIRE_CODE(mn_start(be_stubborn, mn_text(roll.path), NULL, &id), 0);
    CHECK(roll_await(&roll, 4));
    CHECK_CODE(mn_cancel(id), 0);
    CHECK(status_is(id, MN_CANCELLING));
    CHECK(mn_wait(id, 0.2, NULL) == MN_E_TIMEOUT); /* it has 300 s */
    CHECK_CODE(mn_cancel_within(id, MN_NO_GRACE), 0);
    EXPECT_END(id, MN_CANCELLED, MN_REASON_KILLED);
    CHECK(roll_empty(&roll));
    roll_close(&roll);
}

static int leave_children(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    fork_family(path);
    return mn_yield(task, mn_text("left"));
}

static int crash_with_children(mn_task_t *task, mn_value_t input)
{
    char path[128];
    value_to_path(input, path);
    fork_family(path);
    roll_sign(path);
    while (!mn_cancelled(task))
        pause_ms(1);
    abort();
}

/* A job that has ended leaves no process, however it ended. */
static void nothing_is_left(mn_task_t *task)
{
    mn_id_t id;
    roll_t roll;
    (void)task;
    REQUIRE(roll_open(&roll));
    REQUIRE_CODE(mn_start(leave_children, mn_text(roll.path), NULL, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK(roll_empty(&roll));
    REQUIRE_CODE(mn_start(crash_with_children, mn_text(roll.path), NULL, &id), 0);
    CHECK(roll_await(&roll, 4));
    CHECK_CODE(mn_cancel(id), 0);
    mn_info_t *info = NULL;
    CHECK_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    if (info)
        CHECK(info->status == MN_CANCELLED);
    mn_info_destroy(info);
    CHECK(roll_empty(&roll));
    roll_close(&roll);
}

/* --- other states ------------------------------------------------------------------------------------------------------ */

static void of_a_pending_job(mn_task_t *task)
{
    mn_id_t first, second;
    mn_info_t *info;
    (void)task;
    REQUIRE_CODE(mn_start(hold_twice, mn_none(), NULL, &first), 0);
    REQUIRE_CODE(mn_start(hold_twice, mn_none(), NULL, &second), 0);
    REQUIRE(await_yields(first, 1));
    CHECK_CODE(mn_cancel(second), 0);
    CHECK_CODE(mn_get(second, &info), 0);
    CHECK(info->status == MN_CANCELLED && info->reason == MN_REASON_CANCELLED &&
          info->attempts == 0);
    mn_info_destroy(info);
    CHECK_CODE(mn_cancel_within(first, MN_NO_GRACE), 0);
    EXPECT_END(first, MN_CANCELLED, MN_REASON_KILLED);
}

static void of_an_ended_job(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *before, *after;
    (void)task;
    REQUIRE_CODE(mn_start(quick, mn_text("x"), NULL, &id), 0);
    before = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK(mn_cancel(id) == 1);
    REQUIRE_CODE(mn_start(fail_now, mn_none(), NULL, &id), 0);
    mn_info_destroy(before);
    before = ENDED(id, MN_FAILED, MN_REASON_ERROR);
    CHECK(mn_cancel(id) == 1 && mn_cancel_within(id, MN_NO_GRACE) == 1);
    CHECK_CODE(mn_get(id, &after), 0);
    CHECK(before && after->status == MN_FAILED &&
          after->version == before->version); /* nothing was done */
    mn_info_destroy(before);
    mn_info_destroy(after);
}

/* --- what a job has in flight ----------------------------------------------------------------------------------------------- */

typedef struct nest_order {
    int32_t depth, stubborn;
    char roll[96];
} nest_order_t;

/* Two items at each level; the deepest hold. */
static int descend(mn_task_t *task, const nest_order_t *order)
{
    nest_order_t below[2] = {*order, *order};
    char results[2];
    below[0].depth = below[1].depth = order->depth - 1;
    if (roll_sign(order->roll) < 0)
        return mn_fail(task, MN_E_FAILED, "no roll");
    if (order->depth > 0) {
        int rc = mn_map(task, nest_deeper, below, 2, results);
        if (!order->stubborn)
            return rc;
    }
    while (order->stubborn || !mn_cancelled(task))
        pause_ms(1);
    return mn_cancelled(task);
}

static int nest_deeper(mn_task_t *task, mn_value_t input)
{
    nest_order_t order;
    memcpy(&order, input.data, sizeof order);
    return descend(task, &order);
}

static int nest(mn_task_t *task, mn_value_t input)
{
    nest_order_t order;
    memcpy(&order, input.data, sizeof order);
    return descend(task, &order);
}

static void cancel_nest(bool stubborn)
{
    mn_id_t id;
    roll_t roll;
    nest_order_t order = {.depth = 2, .stubborn = stubborn};
    REQUIRE(roll_open(&roll));
    snprintf(order.roll, sizeof order.roll, "%s", roll.path);
    REQUIRE_CODE(mn_start(nest, mn_bytes(&order, sizeof order),
                          &(mn_start_options_t){.grace = stubborn ? 0.5 : 0}, &id),
                 0);
    CHECK(roll_await(&roll, 1 + 2 + 4));
    CHECK_CODE(mn_cancel(id), 0);
    EXPECT_END(id, MN_CANCELLED, stubborn ? MN_REASON_KILLED : MN_REASON_CANCELLED);
    if (stubborn)
        CHECK(roll_empty(&roll)); /* those that listened may be kept warm, these not */
    roll_close(&roll);
}

static void functions_in_flight(mn_task_t *task)
{
    (void)task;
    cancel_nest(false);
}

static void stubborn_functions_in_flight(mn_task_t *task)
{
    (void)task;
    cancel_nest(true);
}

/* Starts a job that is to be cancelled with it, one that is not, and yields both ids. With input "deep" the first
 * is one of its kind. */
static int have_children(mn_task_t *task, mn_value_t input)
{
    mn_id_t ids[2];
    int rc;
    if ((rc = input.size > 0
                  ? mn_start(have_children, mn_none(),
                             &(mn_start_options_t){.cancel_with_parent = true}, &ids[0])
                  : mn_start(hold, mn_none(), &(mn_start_options_t){.cancel_with_parent = true},
                             &ids[0])) < 0 ||
        (rc = mn_start(hold, mn_none(), NULL, &ids[1])) < 0)
        return rc;
    rc = mn_yield(task, mn_bytes(ids, sizeof ids));
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(1);
    return rc;
}

static bool take_ids(mn_id_t id, mn_id_t ids[2])
{
    mn_info_t *info = NULL;
    bool good =
        await_yields(id, 1) && mn_get(id, &info) == 0 && info->result.size == 2 * sizeof *ids;
    if (good)
        memcpy(ids, info->result.data, 2 * sizeof *ids);
    mn_info_destroy(info);
    return good;
}

static void with_the_parent(mn_task_t *task)
{
    mn_id_t top, children[2], grandchildren[2];
    (void)task;
    REQUIRE_CODE(mn_start(have_children, mn_text("deep"), NULL, &top), 0);
    REQUIRE(take_ids(top, children));
    REQUIRE(take_ids(children[0], grandchildren));
    CHECK(await_yields(children[1], 1) && await_yields(grandchildren[0], 1) &&
          await_yields(grandchildren[1], 1));
    CHECK_CODE(mn_cancel(top), 0);
    EXPECT_END(top, MN_CANCELLED, MN_REASON_CANCELLED);
    EXPECT_END(children[0], MN_CANCELLED, MN_REASON_CANCELLED);
    EXPECT_END(grandchildren[0], MN_CANCELLED, MN_REASON_CANCELLED);
    CHECK(status_is(children[1], MN_RUNNING) && status_is(grandchildren[1], MN_RUNNING));
    CHECK(mn_cancel(children[1]) == 0 && mn_cancel(grandchildren[1]) == 0);
    EXPECT_END(children[1], MN_CANCELLED, MN_REASON_CANCELLED);
    EXPECT_END(grandchildren[1], MN_CANCELLED, MN_REASON_CANCELLED);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    check_begin();
    RUN(task, every_call_in_a_job);
    RUN(task, every_call_in_a_function);
    RUN(task, callback);
    RUN(task, yields_of_the_clean_up);
    RUN(task, return_after_cancel);
    RUN(task, grace_of_the_cancel);
    RUN(task, grace_of_the_start);
    RUN(task, grace_of_the_declaration);
    RUN(task, second_cancel_is_sharper);
    RUN(task, nothing_is_left);
    RUN(task, of_a_pending_job);
    RUN(task, of_an_ended_job);
    RUN(task, functions_in_flight);
    RUN(task, stubborn_functions_in_flight);
    RUN(task, with_the_parent);
    return check_end();
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
