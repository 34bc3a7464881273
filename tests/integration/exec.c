/* SPDX-License-Identifier: MIT
 *
 * Programs as jobs, from C, in all places: the records of the job "exec", good and bad.
 */
#include "places.h"

static bool start_exec(const char *record, const mn_start_options_t *options, mn_id_t *id)
{
    return CHECK_CODE(mn_start_named("exec", mn_text(record), options, id), 0);
}

static void runs_a_program(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;

    (void)task;
    REQUIRE(start_exec(
        "{\"arguments\": [\"sh\", \"-c\", \"cat; echo $A $B in $PWD\"], \"directory\": \"/usr\","
        " \"environment\": [\"A=1\", \"B=two words\", \"PATH=/usr/bin:/bin\"], \"stdin\": \"given\\n\"}",
        NULL, &id));
    REQUIRE((info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED)));
    CHECK(value_is_text(info->result, "exit status 0\ngiven\n1 two words in /usr\n"));
    mn_info_destroy(info);
}

/* Bytes that no JSON string can hold. */
static void takes_bytes(mn_task_t *task)
{
    static const char wanted[] = "exit status 0\n\xff\n\0\x01\xfe";
    mn_id_t id;
    mn_info_t *info;

    (void)task;
    REQUIRE(start_exec(
        "{\"arguments\": [\"sh\", \"-c\", \"printf '%s\\\\n' \\\"$1\\\"; cat\", \"sh\", {\"type\": \"bytes\","
        " \"value\": \"/w==\"}], \"stdin\": {\"type\": \"bytes\", \"value\": \"AAH+\"}}",
        NULL, &id));
    REQUIRE((info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED)));
    CHECK(info->result.type == MN_BYTES && info->result.size == sizeof wanted - 1 &&
          memcmp(info->result.data, wanted, sizeof wanted - 1) == 0);
    mn_info_destroy(info);
}

static void inherits_the_environment(mn_task_t *task)
{
    mn_id_t id;
    mn_info_t *info;

    (void)task;
    REQUIRE(start_exec("{\"arguments\": [\"sh\", \"-c\", \"echo $CHECK_FOLDER $A\"]}", NULL, &id));
    REQUIRE((info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED)));
    CHECK(info->result.size > sizeof "exit status 0\n/");
    mn_info_destroy(info);
    REQUIRE(start_exec(
        "{\"arguments\": [\"sh\", \"-c\", \"test -n \\\"$CHECK_FOLDER\\\" && echo $A\"], \"inherit\": true,"
        " \"environment\": [\"A=b\"]}",
        NULL, &id));
    REQUIRE((info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED)));
    CHECK(value_is_text(info->result, "exit status 0\nb\n"));
    mn_info_destroy(info);
}

static void tries_again(mn_task_t *task)
{
    mn_start_options_t options = {.max_retries = 2};
    mn_id_t id;
    mn_info_t *info;

    (void)task;
    REQUIRE(start_exec("{\"arguments\": [\"sh\", \"-c\", \"test $MULTINODE_ATTEMPT = 2\"]}",
                       &options, &id));
    REQUIRE((info = ENDED(id, MN_SUCCEEDED, MN_REASON_RETURNED)));
    CHECK(info->attempts == 2);
    mn_info_destroy(info);
    REQUIRE(start_exec("{\"arguments\": [\"sh\", \"-c\", \"exit 7\"]}", &options, &id));
    REQUIRE((info = ENDED(id, MN_FAILED, MN_REASON_EXITED)));
    CHECK(info->attempts == 3 && strcmp(info->error, "exit status 7") == 0);
    CHECK(value_is_text(info->result, "exit status 7\n"));
    mn_info_destroy(info);
}

static int count_success(void *argument, size_t index, const mn_info_t *info)
{
    char wanted[64];

    snprintf(wanted, sizeof wanted, "exit status 0\n%zu\n", index);
    *(int *)argument += value_is_text(info->result, wanted);
    return 0;
}

static void many_by_name(mn_task_t *task)
{
    enum { COUNT = 20 };
    char records[COUNT][64];
    mn_value_t inputs[COUNT];
    mn_id_t ids[COUNT];
    int good = 0;

    (void)task;
    for (int i = 0; i < COUNT; i++) {
        snprintf(records[i], sizeof records[i], "{\"arguments\": [\"echo\", \"%d\"]}", i);
        inputs[i] = mn_text(records[i]);
    }
    CHECK_REFUSED(mn_start_many_named("nothing", inputs, COUNT, NULL, ids), MN_E_UNDECLARED);
    REQUIRE_CODE(mn_start_many_named("exec", inputs, COUNT, NULL, ids), COUNT);
    REQUIRE_CODE(mn_wait_many(ids, COUNT, CHECK_PATIENCE, count_success, &good), 0);
    CHECK(good == COUNT);
}

static const struct wrong {
    const char *record, *error; /* a part of it */
} wrongs[] = {
    {"", "not JSON"},
    {"x", "not JSON"},
    {"[]", "JSON object"},
    {"{}", "no program"},
    {"{\"arguments\": []}", "no program"},
    {"{\"arguments\": [\"\"]}", "no program"},
    {"{\"arguments\": \"true\"}", "arguments must be an array"},
    {"{\"arguments\": [7]}", "arguments"},
    {"{\"arguments\": [null]}", "arguments"},
    {"{\"arguments\": [\"a\\u0000b\"]}", "NUL"},
    {"{\"arguments\": [\"true\"], \"arguments\": [\"true\"]}", "not JSON"},
    {"{\"arguments\": [\"true\"], \"environment\": {\"A\": \"b\"}}",
     "environment must be an array"},
    {"{\"arguments\": [\"true\"], \"environment\": [\"A\"]}", "NAME=VALUE"},
    {"{\"arguments\": [\"true\"], \"environment\": [\"=b\"]}", "NAME=VALUE"},
    {"{\"arguments\": [\"true\"], \"directory\": 7}", "directory"},
    {"{\"arguments\": [\"true\"], \"directory\": \"/not/there\"}", "/not/there: No such file"},
    {"{\"arguments\": [\"true\"], \"stdin\": {\"type\": \"bytes\", \"value\": \"a\"}}", "stdin"},
    {"{\"arguments\": [\"true\"], \"inherit\": 1}", "inherit"},
    {"{\"arguments\": [\"true\"], \"argument\": 1}", "no member \"argument\""},
    {"{\"arguments\": [\"no-such-program\"]}", "no-such-program: No such file"},
    {"{\"arguments\": [\"/\"]}", "/: Permission denied"},
};

static void refuses_bad_records(mn_task_t *task)
{
    (void)task;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        mn_info_t *info = NULL;
        mn_id_t id;
        if (!start_exec(wrongs[i].record, NULL, &id) ||
            !(info = ENDED(id, MN_FAILED, MN_REASON_ERROR)))
            continue;
        if (!info->error || !strstr(info->error, wrongs[i].error) || info->yields != 0)
            check_fail("%s: the error is: %s", wrongs[i].record,
                       info->error ? info->error : "none");
        mn_info_destroy(info);
    }
}

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    RUN(task, runs_a_program);
    RUN(task, takes_bytes);
    RUN(task, inherits_the_environment);
    RUN(task, tries_again);
    RUN(task, many_by_name);
    RUN(task, refuses_bad_records);
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, places_driver);
}
