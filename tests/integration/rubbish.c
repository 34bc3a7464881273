/* SPDX-License-Identifier: MIT
 *
 * Messages that no client sends: whole frames of all types with random fields, and good ones with a few bits changed.
 * Whatever they say, the sender's task ends or goes on, and nothing else is touched. The one program here that uses
 * the library's inside, to write to the channel of its process what only a broken program would.
 */
#include "check.h"

#include "client/call.h"

#include <math.h>

MN_FUNCTION(babble, .cpu = 0.05, .timeout = 5);
MN_FUNCTION(answer, .cpu = 0.05);
MN_JOB(babble_as_job, .cpu = 0.05, .timeout = 5);
MN_JOB(steady, .cpu = 0.05);
MN_SERVICE(serve, 0);

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state ^ *state >> 29;
}

static const uint16_t types[] = {
#define ROW(name, number) (number),
    MNI_MESSAGES(ROW)
#undef ROW
};

/* A message that makes sense. False: there is no such thing of this type. */
static bool put_good(mni_writer_t *writer, uint16_t type, uint64_t *random)
{
    mn_id_t id;
    for (size_t i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = (uint8_t)next_random(random);
    mni_writer_begin(writer, type, next_random(random) % 4);
    switch (type) {
    case MNI_MSG_START:
        mni_put_start(writer, &(mni_msg_start_t){.job = "steady_not",
                                                 .input = mn_text("input"),
                                                 .tag = "tag",
                                                 .key = "key",
                                                 .lock = "lock",
                                                 .memory = "1MiB",
                                                 .cpu = 0.1});
        return true;
    case MNI_MSG_GET:
    case MNI_MSG_REMOVE:
        mni_put_id(writer, id);
        return true;
    case MNI_MSG_WAIT:
        mni_put_id(writer, id);
        mni_put_u64(writer, next_random(random));
        mni_put_f64(writer, NAN);
        return true;
    case MNI_MSG_CANCEL:
        mni_put_id(writer, id);
        mni_put_f64(writer, NAN);
        return true;
    case MNI_MSG_LIST:
        mni_put_list(writer, &(mni_msg_list_t){.tag = "tag", .capacity = UINT32_MAX});
        return true;
    case MNI_MSG_LOG:
        mni_put_id(writer, id);
        mni_put_u32(writer, (uint32_t)next_random(random));
        mni_put_u8(writer, (uint8_t)next_random(random));
        return true;
    case MNI_MSG_SERVICE:
        mni_put_text(writer, next_random(random) % 2 ? "serve" : NULL);
        return true;
    case MNI_MSG_YIELD:
        mni_put_value(writer, mn_text("a value"));
        return true;
    case MNI_MSG_PROGRESS:
        mni_put_f64(writer, NAN);
        mni_put_text(writer, "\xff\x01");
        return true;
    case MNI_MSG_FINISHED:
        mni_put_finished(writer, &(mni_msg_finished_t){.code = (int32_t)next_random(random) % 40,
                                                       .reason = (uint8_t)next_random(random) % 16,
                                                       .message = "over",
                                                       .items = next_random(random),
                                                       .results_bytes = next_random(random)});
        return true;
    case MNI_MSG_MAP:
        mni_put_map(writer, &(mni_msg_map_t){.declaration = (uint32_t)next_random(random) % 6,
                                             .by_value = next_random(random) % 2,
                                             .count = next_random(random) % 3,
                                             .argument_size = next_random(random) >> 58,
                                             .result_size = next_random(random) >> 58,
                                             .arguments = next_random(random) >> 30,
                                             .arguments_bytes = next_random(random) >> 56,
                                             .results = next_random(random) >> 30});
        return true;
    case MNI_MSG_TASK_ADDRESS:
        mni_put_u64(writer, MNI_TASK_SERVICES);
        mni_put_text(writer, "nowhere:1");
        return true;
    default:
        return false;
    }
}

static void send_one(mni_writer_t *writer, uint64_t *random)
{
    uint16_t type = next_random(random) % 8 == 0
                        ? (uint16_t)next_random(random)
                        : types[next_random(random) % (sizeof types / sizeof *types)];
    bool good = put_good(writer, type, random);
    if (!good)
        for (uint64_t n = next_random(random) % 200; n > 0; n--)
            mni_put_u8(writer, (uint8_t)next_random(random));
    if (mni_writer_end(writer) < 0)
        return;
    if (good) /* behind the size and the type, now and then */
        for (uint64_t n = next_random(random) % 4; n > 0 && writer->size > 8; n--)
            writer->data[8 + next_random(random) % (writer->size - 8)] ^=
                (uint8_t)(1u << next_random(random) % 8);
    mni_channel_send(mni_client.channel, writer->data, writer->size);
}

static int babble(mn_task_t *task, mn_value_t input)
{
    mni_writer_t writer = {0};
    uint64_t random = (uint64_t)value_int(input);
    (void)task;
    for (uint64_t n = 1 + next_random(&random) % 4; n > 0; n--)
        send_one(&writer, &random);
    mni_writer_fini(&writer);
    return 0;
}

static int babble_as_job(mn_task_t *task, mn_value_t input)
{
    return babble(task, input);
}

static int answer(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int serve(mn_task_t *task, mn_value_t input)
{
    (void)input;
    while (!mn_cancelled(task))
        pause_ms(5);
    return 0;
}

static int steady(mn_task_t *task, mn_value_t input)
{
    int rc = 0;
    (void)input;
    for (int64_t round = 1, got = 0; rc == 0; round++) {
        mn_value_t result = mn_none();
        if ((rc = mn_yield(task, int_value(&round))) < 0 ||
            (rc = mn_call(task, answer, int_value(&round), &result)) < 0)
            break;
        got = value_int(result);
        mn_value_destroy(&result);
        if (got != round)
            rc = mn_fail(task, MN_E_FAILED, "a function answers %lld for %lld", (long long)got,
                         (long long)round);
    }
    return rc;
}

enum { TALKERS = 400, JOBS = 60 };

static mn_id_t bystander;
static int64_t seed;
static char address[256];

static void check_bystander(void)
{
    mn_info_t *info = NULL;
    char now[256] = "";
    REQUIRE_CODE(mn_get(bystander, &info), 0);
    uint64_t yields = info->yields;
    mn_info_destroy(info);
    CHECK(await_yields(bystander, yields + 2) && status_is(bystander, MN_RUNNING));
    CHECK_CODE(mn_service_address("serve", now, sizeof now), 0);
    CHECK(strcmp(now, address) == 0);
}

static void begin(mn_task_t *task)
{
    (void)task;
    REQUIRE_CODE(mn_start(steady, mn_none(), NULL, &bystander), 0);
    REQUIRE(await_yields(bystander, 2));
    REQUIRE(EVENTUALLY(mn_service_address("serve", address, sizeof address) == 0));
}

static void items_babble(mn_task_t *task)
{
    int64_t seeds[TALKERS];
    mn_value_t values[TALKERS], results[TALKERS];
    mn_item_error_t errors[TALKERS] = {{0}};
    for (int i = 0; i < TALKERS; i++) {
        seeds[i] = seed + i;
        values[i] = int_value(&seeds[i]);
    }
    REQUIRE_CODE(mn_map_values(task, babble, values, TALKERS, results,
                               &(mn_map_options_t){.errors = errors, .max_block = 1}),
                 0);
    for (int i = 0; i < TALKERS; i++)
        mn_value_destroy(&results[i]);
    mn_item_errors_destroy(errors, TALKERS);
    check_bystander();
}

static void jobs_babble(mn_task_t *task)
{
    (void)task;
    for (int i = 0; i < JOBS; i++) {
        mn_id_t id;
        mn_info_t *info = NULL;
        int64_t number = seed + 1000 + i;
        REQUIRE_CODE(mn_start(babble_as_job, int_value(&number), NULL, &id), 0);
        REQUIRE_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
        if (info->status != MN_SUCCEEDED && info->reason != MN_REASON_ERROR &&
            info->reason != MN_REASON_TIMEOUT)
            check_fail("seed %lld: %s, %s: %s", (long long)number, mn_status_name(info->status),
                       mn_reason_name(info->reason), info->error ? info->error : "");
        mn_info_destroy(info);
    }
    check_bystander();
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    check_begin();
    seed = argc > 1 ? atoll(argv[1]) : (int64_t)time(NULL);
    printf("# seed %lld\n", (long long)seed);
    RUN(task, begin);
    RUN(task, items_babble);
    RUN(task, jobs_babble);
    CHECK_CODE(mn_cancel(bystander), 0);
    EXPECT_END(bystander, MN_CANCELLED, MN_REASON_CANCELLED);
    return check_end();
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
