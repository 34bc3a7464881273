/* SPDX-License-Identifier: MIT
 *
 * GPUs: what tasks that ask for some see of them, and those that do not; in the driver only, since it needs all of them.
 * TEST_GPUS has the names of those that the node offers, with commas; "" for none.
 */
#include "check.h"

#include <unistd.h>

MN_JOB(look, .cpu = 0.1, .gpus = 1);
MN_JOB(look_for_none, .cpu = 0.1);
MN_JOB(hold, .cpu = 0.1, .gpus = 1);
MN_FUNCTION(look_in_item, .cpu = 0.1, .gpus = 1);
MN_JOB(call_with_all, .cpu = 0.1, .gpus = 4);

typedef struct sight {
    char cuda[256], rocr[256];
    int32_t chosen; /* whether a variable that chooses among them is left */
    int32_t process;
} sight_t;

static sight_t see(void)
{
    const char *cuda = getenv("CUDA_VISIBLE_DEVICES"), *rocr = getenv("ROCR_VISIBLE_DEVICES");
    sight_t sight = {.chosen = getenv("HIP_VISIBLE_DEVICES") || getenv("GPU_DEVICE_ORDINAL"),
                     .process = getpid()};
    snprintf(sight.cuda, sizeof sight.cuda, "%s", cuda ? cuda : "unset");
    snprintf(sight.rocr, sizeof sight.rocr, "%s", rocr ? rocr : "unset");
    return sight;
}

static int look(mn_task_t *task, mn_value_t input)
{
    sight_t sight = see();
    (void)input;
    return mn_yield(task, mn_bytes(&sight, sizeof sight));
}

static int look_for_none(mn_task_t *task, mn_value_t input)
{
    return look(task, input);
}

static int look_in_item(mn_task_t *task, mn_value_t input)
{
    return look(task, input);
}

static int hold(mn_task_t *task, mn_value_t input)
{
    int rc = look(task, input);
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    return rc;
}

/* What it calls could have one of its own GPUs only. */
static int call_with_all(mn_task_t *task, mn_value_t input)
{
    int rc = mn_call(task, look_in_item, input, NULL);
    return rc == MN_E_DEADLOCK ? mn_yield(task, mn_text(mn_error_message())) : MN_E_FAILED;
}

static const char *offer(void)
{
    return getenv("TEST_GPUS") ? getenv("TEST_GPUS") : "";
}

static int offered(void)
{
    int count = offer()[0] != '\0';
    for (const char *at = offer(); *at; at++)
        count += *at == ',';
    return count;
}

/* Whether a list of names has this one. */
static bool has(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

static bool is_one(const sight_t *sight, const char *who)
{
    return (strcmp(sight->cuda, sight->rocr) == 0 && !strchr(sight->cuda, ',') &&
            has(offer(), sight->cuda) && !sight->chosen) ||
           check_fail("%s sees CUDA_VISIBLE_DEVICES=%s, ROCR_VISIBLE_DEVICES=%s%s", who,
                      sight->cuda, sight->rocr, sight->chosen ? " and chooses among others" : "");
}

static sight_t sight_of(mn_id_t id)
{
    sight_t sight = {.process = 0};
    mn_info_t *info = NULL;
    if (await_yields(id, 1) && mn_get(id, &info) == 0 && info->result.size == sizeof sight)
        memcpy(&sight, info->result.data, sizeof sight);
    mn_info_destroy(info);
    return sight;
}

static sight_t sight_after(mn_entry_t *job, unsigned gpus)
{
    sight_t sight = {.process = 0};
    mn_id_t id;
    if (!CHECK_CODE(mn_start(job, mn_none(), &(mn_start_options_t){.gpus = gpus}, &id), 0))
        return sight;
    mn_info_t *info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    if (info && info->result.size == sizeof sight)
        memcpy(&sight, info->result.data, sizeof sight);
    mn_info_destroy(info);
    return sight;
}

static void each_has_its_own(mn_task_t *task)
{
    sight_t sights[9];
    mn_id_t ids[9];
    char *why = NULL;
    int count = offered();
    (void)task;
    REQUIRE(count <= 8);
    for (int i = 0; i <= count; i++)
        REQUIRE_CODE(mn_start(hold, mn_none(), NULL, &ids[i]), 0);
    for (int i = 0; i < count; i++) {
        sights[i] = sight_of(ids[i]);
        CHECK(is_one(&sights[i], "a job with one GPU"));
        for (int j = 0; j < i; j++)
            CHECK(strcmp(sights[i].cuda, sights[j].cuda) != 0);
    }
    CHECK(status_is(ids[count], MN_PENDING));
    CHECK_CODE(mn_explain(ids[count], &why), 0);
    CHECK(why && strstr(why, "needs 0.1 cores and 1 GPU; ") && strstr(why, " and 0 GPUs free; "));
    free(why);
    CHECK_CODE(mn_cancel(ids[0]), 0);
    EXPECT_END(ids[0], MN_CANCELLED, MN_REASON_CANCELLED);
    sights[count] = sight_of(ids[count]);
    CHECK(strcmp(sights[count].cuda, sights[0].cuda) == 0);
    for (int i = 1; i <= count; i++) {
        CHECK_CODE(mn_cancel(ids[i]), 0);
        EXPECT_END(ids[i], MN_CANCELLED, MN_REASON_CANCELLED);
    }
}

static void several_at_once(mn_task_t *task)
{
    sight_t sight = sight_after(look, (unsigned)offered());
    (void)task;
    CHECK(strcmp(sight.cuda, offer()) == 0 && strcmp(sight.rocr, offer()) == 0);
}

static void none_is_seen_by_others(mn_task_t *task)
{
    sight_t sight = sight_after(look_for_none, 0);
    (void)task;
    CHECK(sight.cuda[0] == '\0' && sight.rocr[0] == '\0' && !sight.chosen);
}

/* Memory of a GPU is a process's own: none that had one is there for the next task. */
static void no_process_has_two(mn_task_t *task)
{
    int32_t before = 0;
    (void)task;
    for (int i = 0; i < 5; i++) {
        sight_t sight = sight_after(look, 0);
        CHECK(is_one(&sight, "a job after others") && sight.process != before);
        before = sight.process;
    }
}

static void items_have_one_each(mn_task_t *task)
{
    int64_t numbers[12] = {0};
    sight_t sights[12];
    memset(sights, 0, sizeof sights);
    REQUIRE_CODE(mn_map(task, look_in_item, numbers, 12, sights), 0);
    for (int i = 0; i < 12; i++) {
        CHECK(is_one(&sights[i], "an item"));
        for (int j = 0; j < i; j++) /* one process, one GPU */
            CHECK(sights[i].process != sights[j].process ||
                  strcmp(sights[i].cuda, sights[j].cuda) == 0);
    }
}

static void gpus_are_not_lent(mn_task_t *task)
{
    mn_id_t id;
    (void)task;
    REQUIRE_CODE(
        mn_start(call_with_all, mn_none(), &(mn_start_options_t){.gpus = (unsigned)offered()}, &id),
        0);
    mn_info_t *info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    CHECK(info && info->result.type == MN_TEXT && strstr(info->result.data, "GPU"));
    mn_info_destroy(info);
}

static void too_many(mn_task_t *task)
{
    mn_id_t id;
    unsigned most = (unsigned)offered();
    CHECK_REFUSED(mn_start(look, mn_none(), &(mn_start_options_t){.gpus = most + 1}, &id),
                  MN_E_IMPOSSIBLE);
    CHECK(strstr(mn_error_message(), "GPU") != NULL);
    CHECK_REFUSED(mn_start(look, mn_none(), &(mn_start_options_t){.gpus = 65}, &id), MN_E_INVALID);
    CHECK(strstr(mn_error_message(), "gpus is 65") != NULL);
    if (most > 0)
        return;
    CHECK_REFUSED(mn_start(look, mn_none(), NULL, &id), MN_E_IMPOSSIBLE);
    CHECK(strstr(mn_error_message(), "no GPU") != NULL);
    CHECK_REFUSED(mn_call(task, look_in_item, mn_none(), NULL), MN_E_IMPOSSIBLE);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    check_begin();
    RUN(task, too_many);
    if (offered() > 0) {
        RUN(task, each_has_its_own);
        RUN(task, several_at_once);
        RUN(task, none_is_seen_by_others);
        RUN(task, no_process_has_two);
        RUN(task, items_have_one_each);
        RUN(task, gpus_are_not_lent);
    }
    return check_end();
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
