/* SPDX-License-Identifier: MIT
 *
 * The jobs and functions of isolation.c: those that commit a misdeed, those that call them, and the steady one beside
 * them.
 */
#include "isolation.h"

MN_GLOBAL_JOB(suspect, .cpu = 0.05);
MN_GLOBAL_JOB(suspect_with_timeout, .cpu = 0.05, .timeout = 0.3, .grace = 0.2);
MN_GLOBAL_FUNCTION(suspect_item, .cpu = 0.05);
MN_GLOBAL_FUNCTION(suspect_item_with_timeout, .cpu = 0.05, .timeout = 0.3);
MN_GLOBAL_JOB(call_item, .cpu = 0.05, .grace = 0.2);
MN_GLOBAL_JOB(call_item_with_timeout, .cpu = 0.05);
MN_GLOBAL_JOB(look_at_item, .cpu = 0.05);
MN_GLOBAL_JOB(new_process, .cpu = 0.05, .fresh = true);
MN_GLOBAL_FUNCTION(nothing, .cpu = 0.05);
MN_GLOBAL_JOB(steady, .cpu = 0.05);

static int act(mn_task_t *task, mn_value_t input)
{
    static const char *last = "";
    static look_t seen;
    char words[256];
    unsigned number = 0;
    int at = 0;

    snprintf(words, sizeof words, "%.*s", (int)input.size, (const char *)input.data);
    if (strcmp(words, "look") == 0) {
        snprintf(seen.last, sizeof seen.last, "%s", last);
        portrait_take(&seen.portrait);
        for (int i = 0; i < 1000; i++) /* of the heap too */
            free(malloc((size_t)i * 37));
        return mn_yield(task,
                        mn_bytes(&seen, offsetof(look_t, portrait.text) + seen.portrait.used + 1));
    }
    if (sscanf(words, "%u %n", &number, &at) != 1 || number >= rows_count)
        return mn_fail(task, MN_E_INVALID, "no row is named by \"%s\"", words);
    last = rows[number].name;
    return rows[number].misdeed(task, words + at);
}

int suspect(mn_task_t *task, mn_value_t input)
{
    int rc = mn_yield(task, mn_text("partial"));
    return rc < 0 ? rc : act(task, input);
}

int suspect_with_timeout(mn_task_t *task, mn_value_t input)
{
    return suspect(task, input);
}

int suspect_item(mn_task_t *task, mn_value_t input)
{
    return act(task, input);
}

int suspect_item_with_timeout(mn_task_t *task, mn_value_t input)
{
    return act(task, input);
}

/* Yields code, reason and message of one item. */
static int report_item(mn_task_t *task, mn_entry_t *function, mn_value_t input)
{
    char text[1024];
    mn_item_error_t error = {0};
    mn_value_t result = mn_none();
    int rc =
        mn_map_values(task, function, &input, 1, &result, &(mn_map_options_t){.errors = &error});
    if (rc < 0)
        return rc;
    snprintf(text, sizeof text, "%d %d %s", error.code, (int)error.reason,
             error.message ? error.message : "no message");
    mn_value_destroy(&result);
    mn_item_errors_destroy(&error, 1);
    return mn_yield(task, mn_text(text));
}

int call_item(mn_task_t *task, mn_value_t input)
{
    int rc = mn_yield(task, mn_text("partial"));
    return rc < 0 ? rc : report_item(task, suspect_item, input);
}

int call_item_with_timeout(mn_task_t *task, mn_value_t input)
{
    return report_item(task, suspect_item_with_timeout, input);
}

int look_at_item(mn_task_t *task, mn_value_t input)
{
    mn_value_t result = mn_none();
    int rc = mn_call(task, suspect_item, input, &result);
    if (rc == 0)
        rc = mn_yield(task, result);
    mn_value_destroy(&result);
    return rc;
}

int new_process(mn_task_t *task, mn_value_t input)
{
    (void)input;
    return act(task, mn_text("look"));
}

int nothing(mn_task_t *task, mn_value_t input)
{
    (void)task, (void)input;
    return 0;
}

static void ignore_signal(int number)
{
    (void)number;
}

/* Beside all others: has changed everything, and sees to it that it stays so. */
int steady(mn_task_t *task, mn_value_t input)
{
    static portrait_t first, now;
    uint8_t *memory = malloc(1 << 20);
    char lines[2][512];
    int rc = 0;
    (void)input;
    if (!memory)
        return MN_E_NO_MEMORY;
    memset(memory, 0x5a, 1 << 20);
    umask(077);
    setenv("MN_TEST_STEADY", "yes", 1);
    setlocale(LC_ALL, "C.UTF-8");
    fesetround(FE_DOWNWARD);
    signal(SIGUSR1, ignore_signal);
    rc = chdir("/") < 0 ? MN_E_SYSTEM : 0;
    portrait_take(&first);
    for (int64_t round = 1; rc == 0; round++) {
        rc = mn_yield(task, int_value(&round));
        portrait_take(&now);
        if (portraits_differ(first.text, now.text, lines))
            rc = mn_fail(task, MN_E_FAILED, "it was \"%s\" and is \"%s\"", lines[0], lines[1]);
        for (size_t i = 0; rc == 0 && i < 1 << 20; i++)
            if (memory[i] != 0x5a)
                rc = mn_fail(task, MN_E_FAILED, "its memory was changed");
        if (rc == 0)
            rc = mn_cancelled(task);
        pause_ms(5);
    }
    free(memory);
    return rc;
}
