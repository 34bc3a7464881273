/* SPDX-License-Identifier: MIT
 *
 * Declares something wrong, named by the first argument, and calls mn_main(), which must refuse with exit status 2
 * and a sentence on standard error. `fine` is the counter-check: it runs.
 */
#include <multinode.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static int entry(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    mn_id_t id;
    (void)task, (void)argc, (void)argv;
    int rc = mn_start_named("first", mn_none(), NULL, &id);
    if (rc == 0)
        rc = mn_wait(id, 60, NULL);
    if (rc < 0)
        fprintf(stderr, "%s\n", mn_error_message());
    return rc < 0 ? 1 : 0;
}

static const struct wrong {
    const char *what;
    mn_kind_t kind;
    const char *name;
    mn_entry_t *entry;
    mn_spec_t spec;
} wrongs[] = {
    {"reserved-name", MN_KIND_JOB, "exec", entry, {0}},
    {"duplicate", MN_KIND_FUNCTION, "first", entry, {0}},
    {"empty-name", MN_KIND_JOB, "", entry, {0}},
    {"null-name", MN_KIND_JOB, NULL, entry, {0}},
    {"control-name", MN_KIND_JOB, "a\nb", entry, {0}},
    {"space-name", MN_KIND_JOB, "a b", entry, {0}},
    {"long-name",
     MN_KIND_JOB,
     "x123456789012345678901234567890123456789012345678901234567890123",
     entry,
     {0}},
    {"null-entry", MN_KIND_JOB, "second", NULL, {0}},
    {"kind", (mn_kind_t)9, "second", entry, {0}},
    {"negative-cpu", MN_KIND_JOB, "second", entry, {.cpu = -1}},
    {"odd-cpu", MN_KIND_JOB, "second", entry, {.cpu = 2.5}},
    {"huge-cpu", MN_KIND_JOB, "second", entry, {.cpu = 1e12}},
    {"nan-cpu", MN_KIND_JOB, "second", entry, {.cpu = NAN}},
    {"empty-memory", MN_KIND_JOB, "second", entry, {.memory = ""}},
    {"word-memory", MN_KIND_JOB, "second", entry, {.memory = "much"}},
    {"negative-memory", MN_KIND_JOB, "second", entry, {.memory = "-1"}},
    {"negative-timeout", MN_KIND_FUNCTION, "second", entry, {.timeout = -3}},
    {"negative-grace", MN_KIND_JOB, "second", entry, {.grace = -3}},
    {"negative-lost", MN_KIND_JOB, "second", entry, {.max_lost = -5}},
    {"port", MN_KIND_SERVICE, "second", entry, {.port = 70000}},
    {"port-of-job", MN_KIND_JOB, "second", entry, {.port = 7000}},
};

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    mn_spec_t none = {0};
    int rc = mn_declare(MN_KIND_JOB, "first", entry, &none);
    if (strcmp(what, "list") == 0) {
        for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++)
            printf("%s\n", wrongs[i].what);
        printf("no-driver\n");
        return 0;
    }
    if (strcmp(what, "no-spec") == 0) /* NULL: all as by default */
        rc = mn_declare(MN_KIND_JOB, "second", entry, NULL);
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++)
        if (strcmp(what, wrongs[i].what) == 0)
            rc = mn_declare(wrongs[i].kind, wrongs[i].name, wrongs[i].entry, &wrongs[i].spec);
    bool good = strcmp(what, "fine") == 0 || strcmp(what, "no-driver") == 0 ||
                strcmp(what, "twice") == 0 || strcmp(what, "no-spec") == 0;
    if ((rc == 0) != good) {
        fprintf(stderr, "mn_declare() gave %s for %s\n", mn_error_name(rc), what);
        return 99;
    }
    int status = mn_main(argc, argv, strcmp(what, "no-driver") == 0 ? NULL : driver);
    if (strcmp(what, "twice") == 0 && status == 0)
        status = mn_main(argc, argv, driver);
    return status;
}
