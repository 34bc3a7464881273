/* SPDX-License-Identifier: MIT
 *
 * Declarations: names, specs, the table, labels. The table is one per process and closes for good,
 * so what would spoil it for the other tests runs in a child.
 */
#include "core/declare.h"
#include "util/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

MN_JOB(simulate, .cpu = 4, .memory = "2GiB", .timeout = 60, .priority = -3, .max_retries = 2,
       .max_lost = 7, .grace = MN_NO_GRACE, .max_concurrency = 5);
MN_FUNCTION(square, .cpu = 0.1, .timeout = 2.5, .fresh = true, .max_lost = MN_AT_MOST_ONCE);
MN_SERVICE(monitor, .port = 8080);
MN_JOB(plain, 0);

static int simulate(mn_task_t *task, mn_value_t input)
{
    (void)task;
    return (int)input.size;
}

static int square(mn_task_t *task, mn_value_t input)
{
    (void)task;
    return (int)input.size + 1;
}

static int monitor(mn_task_t *task, mn_value_t input)
{
    (void)task;
    return (int)input.size + 2;
}

static int plain(mn_task_t *task, mn_value_t input)
{
    (void)task;
    return (int)input.size + 3;
}

static int undeclared(mn_task_t *task, mn_value_t input)
{
    (void)task;
    return (int)input.size + 4;
}

/* Runs a check in a child, which must end with status 0. */
static void in_child(void (*check)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        check();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("a check in a child failed at line %d",
                 WIFEXITED(status) ? WEXITSTATUS(status) + 100 : -1);
}

/* In a child: its exit status says the line (from 100 on). */
#define CHILD_CHECK(condition)     \
    do {                           \
        if (!(condition))          \
            _exit(__LINE__ - 100); \
    } while (0)

static void assert_says(const char *part)
{
    if (!strstr(mn_error_message(), part))
        fail_msg("\"%s\" does not say \"%s\"", mn_error_message(), part);
}

static void test_macros_fill_the_table(void **state)
{
    (void)state;
    assert_int_equal(mni_declaration_count(), 4);
    int index = mni_declaration_find("simulate", MN_KIND_JOB);
    assert_true(index >= 0);
    assert_int_equal(mni_declaration_find_entry(simulate, MN_KIND_JOB), index);
    const mni_declaration_t *row = mni_declaration_get((uint32_t)index);
    assert_string_equal(row->name, "simulate");
    assert_int_equal(row->kind, MN_KIND_JOB);
    assert_ptr_equal(row->entry, simulate);
    assert_int_equal(row->need.millicores, 4000);
    assert_true(row->need.memory == UINT64_C(2) << 30);
    assert_int_equal(row->need.max_concurrency, 5);
    assert_int_equal(row->need.max_retries, 2);
    assert_int_equal(row->need.max_lost, 7);
    assert_int_equal(row->need.priority, -3);
    assert_true(row->need.timeout == 60 && row->timeout == 60);
    assert_true(row->need.grace == 0);
    assert_false(row->fresh);

    row = mni_declaration_get((uint32_t)mni_declaration_find("square", 0));
    assert_int_equal(row->need.millicores, 100);
    assert_int_equal(row->need.max_lost, 0);
    assert_true(row->timeout == 2.5 && isinf(row->need.timeout)); /* per item, so not of the slot */
    assert_true(row->fresh);

    row = mni_declaration_get((uint32_t)mni_declaration_find("monitor", MN_KIND_SERVICE));
    assert_int_equal(row->need.millicores, 0);
    assert_int_equal(row->port, 8080);

    row = mni_declaration_get((uint32_t)mni_declaration_find("plain", MN_KIND_JOB));
    assert_int_equal(row->need.millicores, 1000);
    assert_int_equal(row->need.memory, 0);
    assert_true(row->need.max_concurrency == UINT32_MAX);
    assert_int_equal(row->need.max_lost, 3);
    assert_true(row->need.grace == 300 && isinf(row->timeout));
    assert_null(mni_declaration_get(4));
    assert_null(mni_declaration_get(UINT32_MAX));
}

static void test_table_is_sorted(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < mni_declaration_count(); i++)
        assert_true(strcmp(mni_declaration_get(i - 1)->name, mni_declaration_get(i)->name) < 0);
}

static void test_find_errors(void **state)
{
    (void)state;
    assert_int_equal(mni_declaration_find(NULL, 0), MN_E_INVALID);
    assert_int_equal(mni_declaration_find("simulat", 0), MN_E_UNDECLARED);
    assert_says("\"simulat\"");
    assert_says("monitor, plain, simulate, square");
    assert_int_equal(mni_declaration_find("square", MN_KIND_JOB), MN_E_WRONG_KIND);
    assert_says("square is a function");
    assert_says("mn_map()");
    assert_int_equal(mni_declaration_find_entry(NULL, 0), MN_E_INVALID);
    assert_int_equal(mni_declaration_find_entry(undeclared, 0), MN_E_UNDECLARED);
    assert_int_equal(mni_declaration_find_entry(simulate, MN_KIND_FUNCTION), MN_E_WRONG_KIND);
    assert_says("simulate is a job");
    assert_says("mn_start()");
    assert_int_equal(mni_declaration_find_entry(monitor, MN_KIND_JOB), MN_E_WRONG_KIND);
    assert_says("mn_service_address()");
}

static int resolve(mn_kind_t kind, mn_spec_t spec)
{
    mni_need_t need;
    return mni_need_resolve("thing", kind, &spec, &need);
}

static void test_cpu(void **state)
{
    static const double bad[] = {1.5, -1, 1025, 0.0001, 1e300, -0.5, NAN, INFINITY, 2.0000001};
    static const struct {
        double cpu;
        uint32_t millicores;
    } good[] = {{0, 1000},  {1, 1000},     {1024, 1024000}, {0.5, 500},
                {0.001, 1}, {0.9999, 999}, {0.3, 300}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.cpu = bad[i]}), MN_E_INVALID);
        assert_says("thing: cpu");
        assert_says("whole number of cores");
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        mni_need_t need;
        assert_int_equal(
            mni_need_resolve("thing", MN_KIND_JOB, &(mn_spec_t){.cpu = good[i].cpu}, &need), 0);
        assert_int_equal(need.millicores, good[i].millicores);
    }
}

static void test_other_fields(void **state)
{
    (void)state;
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.memory = "much"}), MN_E_INVALID);
    assert_says("thing: memory: \"much\"");
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.memory = ""}), MN_E_INVALID);
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.memory = "-1"}), MN_E_INVALID);
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.memory = "1.5GiB"}), 0);
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.timeout = -1}), MN_E_INVALID);
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.timeout = NAN}), MN_E_INVALID);
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.timeout = INFINITY}), 0);
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.grace = -2}), MN_E_INVALID);
    assert_says("MN_NO_GRACE");
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.max_lost = -2}), MN_E_INVALID);
    assert_says("MN_AT_MOST_ONCE");
    assert_int_equal(resolve(MN_KIND_JOB, (mn_spec_t){.port = 80}), MN_E_INVALID);
    assert_int_equal(resolve(MN_KIND_SERVICE, (mn_spec_t){.port = 65535}), 0);
    assert_int_equal(resolve(MN_KIND_SERVICE, (mn_spec_t){.port = 65536}), MN_E_INVALID);
}

static void test_override(void **state)
{
    mni_need_t need, before;
    (void)state;
    assert_int_equal(
        mni_need_resolve("thing", MN_KIND_JOB, &(mn_spec_t){.cpu = 2, .priority = 10}, &need), 0);
    before = need;
    assert_int_equal(mni_need_override("thing", &need, 0, NULL, 0, 0, 0, 0), 0);
    assert_memory_equal(&need, &before, sizeof need);
    /* The last field is wrong: nothing changes. */
    assert_int_equal(mni_need_override("thing", &need, 8, "1GiB", 3, 5, 6, INT32_MAX),
                     MN_E_INVALID);
    assert_says("priority");
    assert_memory_equal(&need, &before, sizeof need);
    assert_int_equal(mni_need_override("thing", &need, NAN, NULL, 0, 0, 0, 0), MN_E_INVALID);
    assert_memory_equal(&need, &before, sizeof need);
    assert_int_equal(mni_need_override("thing", &need, 8, "1GiB", 3, 5, 6, -4), 0);
    assert_int_equal(need.millicores, 8000);
    assert_int_equal(need.memory, 1 << 30);
    assert_true(need.timeout == 5 && need.grace == 6);
    assert_int_equal(need.priority, 6);
    assert_int_equal(need.gpus, 3);
    assert_int_equal(mni_need_override("thing", &need, 0, NULL, MNI_MAX_GPUS + 1, 0, 0, 0),
                     MN_E_INVALID);
    assert_says("gpus is 65");
    assert_int_equal(need.gpus, 3); /* as before, and none given changes nothing: */
    assert_int_equal(mni_need_override("thing", &need, 0, NULL, 0, 0, 0, 0), 0);
    assert_int_equal(need.gpus, 3);
    assert_int_equal(mni_need_resolve("thing", MN_KIND_SERVICE, &(mn_spec_t){.gpus = 1}, &need),
                     MN_E_INVALID);
    assert_says("gpus are for jobs and functions");
    assert_int_equal(mni_need_override("thing", &need, 0, NULL, 0, 0, MN_NO_GRACE, 0), 0);
    assert_true(need.grace == 0);
}

static void test_labels(void **state)
{
    char text[258];
    static const char *const bad[] = {"",
                                      "a\nb",
                                      "\x7f",
                                      "\x1b[0m",
                                      "\xc3",
                                      "\xc3(",
                                      "\xa0",
                                      "\xc0\xaf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xff",
                                      "\xe2\x82",
                                      "\xc2\x85" /* a control character of two bytes */,
                                      "tail\xf0\x9f\x98"};
    (void)state;
    assert_int_equal(mni_label_check("lock", NULL), 0);
    assert_int_equal(mni_label_check("lock", "table-7"), 0);
    assert_int_equal(mni_label_check("lock", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mni_label_check("lock", bad[i]), MN_E_INVALID);
        assert_says("the lock");
    }
    memset(text, 'x', sizeof text);
    text[255] = 0;
    assert_int_equal(mni_label_check("tag", text), 0);
    text[255] = 'x';
    text[256] = 0;
    assert_int_equal(mni_label_check("tag", text), MN_E_INVALID);
}

/* --- what spoils the table
 * ----------------------------------------------------------------------------- */

static void check_bad_names(void)
{
    char longest[65];
    memset(longest, 'n', sizeof longest);
    longest[64] = 0;
    CHILD_CHECK(mn_declare(MN_KIND_JOB, NULL, plain, NULL) == MN_E_INVALID);
    CHILD_CHECK(mn_declare(MN_KIND_JOB, "", plain, NULL) == MN_E_INVALID);
    CHILD_CHECK(mn_declare(MN_KIND_JOB, "a-b", plain, NULL) == MN_E_INVALID);
    CHILD_CHECK(mn_declare(MN_KIND_JOB, "a\n", plain, NULL) == MN_E_INVALID);
    CHILD_CHECK(mn_declare(MN_KIND_JOB, "\xc3\xa4", plain, NULL) == MN_E_INVALID);
    CHILD_CHECK(mn_declare(MN_KIND_JOB, longest, plain, NULL) == MN_E_INVALID);
    CHILD_CHECK(mn_declare(MN_KIND_JOB, "no_entry", NULL, NULL) == MN_E_INVALID);
    CHILD_CHECK(mn_declare((mn_kind_t)0, "no_kind", plain, NULL) == MN_E_INVALID);
    CHILD_CHECK(mn_declare((mn_kind_t)9, "no_kind", plain, NULL) == MN_E_INVALID);
    CHILD_CHECK(mni_declaration_count() == 4);
    longest[63] = 0;
    CHILD_CHECK(mn_declare(MN_KIND_JOB, longest, plain, NULL) == 0);
    CHILD_CHECK(mni_declaration_count() == 5);
    /* The first error is what counts. */
    CHILD_CHECK(mni_declarations_freeze() == MN_E_INVALID);
    CHILD_CHECK(strstr(mn_error_message(), "no name (NULL)") != NULL);
    CHILD_CHECK(mni_declarations_freeze() == MN_E_INVALID);
}

static void check_duplicate(void)
{
    CHILD_CHECK(mn_declare(MN_KIND_FUNCTION, "plain", square, NULL) == MN_E_DUPLICATE);
    CHILD_CHECK(strstr(mn_error_message(), "plain is declared twice, as a job and as a function") !=
                NULL);
    CHILD_CHECK(mni_declaration_count() == 4);
    CHILD_CHECK(mni_declarations_freeze() == MN_E_DUPLICATE);
    CHILD_CHECK(strstr(mn_error_message(), "plain is declared twice") != NULL);
}

static void check_frozen(void)
{
    CHILD_CHECK(mni_declarations_freeze() == 0);
    CHILD_CHECK(mn_declare(MN_KIND_JOB, "late", plain, NULL) == MN_E_WRONG_KIND);
    CHILD_CHECK(mni_declaration_count() == 4);
    CHILD_CHECK(mni_declarations_freeze() == 0);
}

static void check_many(void)
{
    char name[16];
    uint64_t digest = mni_declaration_digest();
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "f%d", i * 7919 % 500);
        CHILD_CHECK(mn_declare(MN_KIND_FUNCTION, name, square, NULL) == 0);
    }
    CHILD_CHECK(mni_declaration_digest() != digest);
    CHILD_CHECK(mni_declarations_freeze() == 0);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "f%d", i);
        int index = mni_declaration_find(name, MN_KIND_FUNCTION);
        CHILD_CHECK(index >= 0 && strcmp(mni_declaration_get((uint32_t)index)->name, name) == 0);
    }
    CHILD_CHECK(mni_declaration_find("f500", 0) == MN_E_UNDECLARED);
    CHILD_CHECK(strlen(mn_error_message()) < 400);
}

/* The digest depends on what is declared and not on the order. */
static void check_digest_order(void)
{
    int out[2], status;
    uint64_t other = 0;
    CHILD_CHECK(pipe(out) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        mn_declare(MN_KIND_JOB, "one", plain, NULL);
        mn_declare(MN_KIND_JOB, "two", plain, &(mn_spec_t){.cpu = 2});
        uint64_t digest = mni_declaration_digest();
        _exit(write(out[1], &digest, sizeof digest) != sizeof digest);
    }
    mn_declare(MN_KIND_JOB, "two", square, &(mn_spec_t){.cpu = 2});
    mn_declare(MN_KIND_JOB, "one", square, NULL);
    CHILD_CHECK(read(out[0], &other, sizeof other) == sizeof other);
    CHILD_CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHILD_CHECK(mni_declaration_digest() == other);
    mn_declare(MN_KIND_JOB, "three", square, &(mn_spec_t){.grace = 1});
    CHILD_CHECK(mni_declaration_digest() != other);
}

static void test_spoiling(void **state)
{
    (void)state;
    in_child(check_bad_names);
    in_child(check_duplicate);
    in_child(check_frozen);
    in_child(check_many);
    in_child(check_digest_order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_macros_fill_the_table),
        cmocka_unit_test(test_table_is_sorted),
        cmocka_unit_test(test_find_errors),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_other_fields),
        cmocka_unit_test(test_override),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_spoiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
