/* SPDX-License-Identifier: MIT
 *
 * What the script about stores without a runtime needs, by the first argument:
 *
 *     offline make         jobs of all kinds; prints "NAME ID" of each
 *     offline hold         a job that has yielded and stays; prints READY and its id
 *     offline busy FILE    starts and removes jobs until the file is there
 *     offline read STORE   reads the store with the C API, without a runtime; prints "ID JOB STATUS RESULT-TYPE SIZE" of each
 */
#include "check.h"

#include <math.h>

MN_JOB(keep, .cpu = 0.1);
MN_JOB(silent, .cpu = 0.1);
MN_JOB(complain, .cpu = 0.1, .max_retries = 1);
MN_JOB(report, .cpu = 0.5, .memory = "1MiB", .timeout = 90, .grace = 3, .priority = 4);
MN_JOB(stay, .cpu = 0.1);

static int keep(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int silent(mn_task_t *task, mn_value_t input)
{
    (void)task, (void)input;
    return 0;
}

static int complain(mn_task_t *task, mn_value_t input)
{
    (void)input;
    return mn_fail(task, MN_E_FAILED, "the third wheel\nis \033[31mnot round\t!");
}

static int report(mn_task_t *task, mn_value_t input)
{
    int rc = mn_progress(task, 0.75, "three quarters");
    return rc < 0 ? rc : mn_yield(task, input);
}

static int stay(mn_task_t *task, mn_value_t input)
{
    int64_t number = 42;
    (void)input;
    int rc = mn_yield_sync(task, int_value(&number));
    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        pause_ms(2);
    return rc;
}

/* --- runs ---------------------------------------------------------------------------------------------------------- */

static bool start(const char *name, mn_entry_t *job, mn_value_t input,
                  const mn_start_options_t *options, mn_id_t *id)
{
    char text[MN_ID_TEXT];
    if (mn_start(job, input, options, id) < 0) {
        fprintf(stderr, "%s: %s\n", name, mn_error_message());
        return false;
    }
    printf("%s %s\n", name, mn_id_format(*id, text));
    return true;
}

static bool finished(const char *name, mn_entry_t *job, mn_value_t input,
                     const mn_start_options_t *options)
{
    mn_id_t id;
    return start(name, job, input, options, &id) && mn_wait(id, CHECK_PATIENCE, NULL) == 0;
}

static int make(void)
{
    static double large[300000];
    const double matrix[2][3] = {{1.5, -2.25, 3}, {4, 5, 0.1}}, odd[3] = {NAN, INFINITY, -INFINITY};
    const int32_t numbers[4] = {7, -8, 9, 2147483647};
    const int16_t cube[2][2][2] = {{{1, 2}, {3, 4}}, {{5, 6}, {7, -8}}};
    const uint64_t most = UINT64_MAX;
    const float tenth = 0.1F;
    const mn_start_options_t tagged = {.tag = "numbers"};
    uint8_t bytes[256];
    mn_id_t stays, cancelled;

    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < 300000; i++)
        large[i] = (double)i / 3;
    if (!finished("matrix", keep, mn_matrix(MN_FLOAT64, matrix, 2, 3), &tagged) ||
        !finished("numbers", keep, mn_array(MN_INT32, numbers, 4),
                  &(mn_start_options_t){.tag = "numbers", .lock = "table-7"}) ||
        !finished("bytes", keep, mn_bytes(bytes, sizeof bytes),
                  &(mn_start_options_t){.key = "all-bytes"}) ||
        !finished("text", keep, mn_text("words, \303\244\303\266\303\274\n"), NULL) ||
        !finished("control", keep, mn_text("\033[31mred"), NULL) ||
        !finished("nothing", keep, mn_text(""), NULL) ||
        !finished("most", keep, mn_array(MN_UINT64, &most, 1), NULL) ||
        !finished("tenth", keep, mn_array(MN_FLOAT32, &tenth, 1), NULL) ||
        !finished("odd", keep, mn_array(MN_FLOAT64, odd, 3), NULL) ||
        !finished("cube", keep, mn_tensor(MN_INT16, cube, 3, (const size_t[]){2, 2, 2}), NULL) ||
        !finished("large", keep, mn_array(MN_FLOAT64, large, 300000), NULL) ||
        !finished("silent", silent, mn_text("in"), NULL) ||
        !finished("complain", complain, mn_none(), NULL) ||
        !finished("report", report, mn_text("reported"), NULL) ||
        !start("cancelled", stay, mn_none(), NULL, &cancelled) || !await_yields(cancelled, 1) ||
        mn_cancel(cancelled) < 0 || mn_wait(cancelled, CHECK_PATIENCE, NULL) < 0 ||
        !start("stays", stay, mn_none(), &(mn_start_options_t){.tag = "left"}, &stays) ||
        !await_yields(stays, 1))
        return 1;
    return 0;
}

static int hold(void)
{
    char text[MN_ID_TEXT];
    mn_id_t id;
    if (mn_start(keep, mn_text("before"), NULL, NULL) < 0 ||
        mn_start(stay, mn_none(), &(mn_start_options_t){.lock = "held"}, &id) < 0 ||
        !await_yields(id, 1))
        return 1;
    printf("READY %s\n", mn_id_format(id, text));
    fflush(stdout);
    mn_wait(id, -1, NULL);
    return 0;
}

static int busy(const char *stop)
{
    char text[64];
    int started = 0;

    printf("READY\n");
    fflush(stdout);
    for (; access(stop, F_OK) < 0; started++) {
        mn_id_t id;
        snprintf(text, sizeof text, "job %d", started);
        if (mn_start(keep, mn_text(text), NULL, &id) < 0 || mn_wait(id, CHECK_PATIENCE, NULL) < 0)
            return 1;
        if (started % 3 == 2 && mn_remove(id) < 0)
            return 1;
    }
    printf("%d\n", started);
    return 0;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)task;
    if (argc > 2 && strcmp(argv[1], "busy") == 0)
        return busy(argv[2]);
    return argc > 1 && strcmp(argv[1], "hold") == 0 ? hold() : make();
}

/* --- without a runtime --------------------------------------------------------------------------------------------- */

static void check_refusals(mn_store_t *store)
{
    mn_store_t *other = NULL;
    mn_info_t *info = NULL;
    mn_value_t value;
    mn_id_t ids[1];
    size_t count = 77;
    const mn_id_t nobody = {{1, 2, 3}};

    CHECK_REFUSED(mn_store_open("/no such folder/x.h5", &other), MN_E_STORE);
    CHECK_REFUSED(mn_store_open("no such file.h5", &other), MN_E_STORE);
    CHECK_REFUSED(mn_store_open("", &other), MN_E_STORE);
    CHECK_REFUSED(mn_store_open(NULL, &other), MN_E_INVALID);
    CHECK_REFUSED(mn_store_open("x.h5", NULL), MN_E_INVALID);
    CHECK(other == NULL);
    CHECK_REFUSED(mn_store_get(store, nobody, &info), MN_E_NO_JOB);
    CHECK_REFUSED(mn_store_get(store, nobody, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_store_get(NULL, nobody, &info), MN_E_INVALID);
    CHECK_REFUSED(mn_store_input(store, nobody, &value), MN_E_NO_JOB);
    CHECK_REFUSED(mn_store_list(store, &(mn_list_options_t){.after = &nobody}, ids, 1, &count),
                  MN_E_NO_JOB);
    CHECK_REFUSED(mn_store_list(store, &(mn_list_options_t){.statuses = 1u << 9}, ids, 1, &count),
                  MN_E_INVALID);
    CHECK_REFUSED(mn_store_list(store, NULL, NULL, 1, &count), MN_E_INVALID);
    CHECK_REFUSED(mn_store_list(store, NULL, ids, 1, NULL), MN_E_INVALID);
    CHECK(info == NULL && count == 77);
    mn_store_close(NULL);
    CHECK(mn_store_damage(store) == NULL);
}

static size_t count_of(mn_store_t *store, const mn_list_options_t *options)
{
    mn_id_t ids[100];
    size_t count = 0;
    CHECK_CODE(mn_store_list(store, options, ids, 100, &count), 0);
    return count;
}

/* Of the store that `make` has made. */
static void check_filters(mn_store_t *store)
{
    CHECK(count_of(store, NULL) == 16);
    CHECK(count_of(store, &(mn_list_options_t){.tag = "numbers"}) == 2);
    CHECK(count_of(store, &(mn_list_options_t){.lock = "table-7"}) == 1);
    CHECK(count_of(store, &(mn_list_options_t){.job = "stay"}) == 2);
    CHECK(count_of(store, &(mn_list_options_t){.statuses = 1u << MN_FAILED}) == 1);
    CHECK(count_of(store, &(mn_list_options_t){.statuses = 1u << MN_FAILED | 1u << MN_CANCELLED}) ==
          2);
    CHECK(count_of(store, &(mn_list_options_t){.job = "stay", .tag = "left"}) == 1);
    CHECK(count_of(store, &(mn_list_options_t){.tag = "nobody's"}) == 0);
}

static void print_job(mn_store_t *store, mn_id_t id)
{
    char text[MN_ID_TEXT];
    mn_info_t *info = NULL;
    mn_value_t input;

    REQUIRE_CODE(mn_store_get(store, id, &info), 0);
    printf("%s %s %s %s %zu\n", mn_id_format(id, text), info->job, mn_status_name(info->status),
           info->result.ndims > 0 ? mn_type_name(info->result.type) : "none", info->result.size);
    if (CHECK_CODE(mn_store_input(store, id, &input), 0)) {
        if (strcmp(info->job, "keep") == 0 && info->status == MN_SUCCEEDED)
            CHECK(input.type == info->result.type && input.size == info->result.size &&
                  input.ndims == info->result.ndims &&
                  memcmp(input.dims, info->result.dims, input.ndims * sizeof *input.dims) == 0 &&
                  (input.size == 0 || memcmp(input.data, info->result.data, input.size) == 0));
        mn_value_destroy(&input);
    }
    mn_info_destroy(info);
}

static int read_store(const char *path)
{
    mn_store_t *store = NULL;
    mn_info_t *kept = NULL;
    mn_id_t page[3];
    size_t count = 3;

    check_begin();
    if (mn_store_open(path, &store) < 0) {
        fprintf(stderr, "%s\n", mn_error_message());
        return 1;
    }
    check_refusals(store);
    if (getenv("OFFLINE_MADE"))
        check_filters(store);
    for (mn_list_options_t options = {0}; count == 3;) {
        if (!CHECK_CODE(mn_store_list(store, &options, page, 3, &count), 0))
            break;
        for (size_t i = 0; i < count; i++)
            print_job(store, page[i]);
        options.after = &page[2];
    }
    if (count_of(store, NULL) > 0 && mn_store_list(store, NULL, page, 1, &count) == 0)
        CHECK_CODE(mn_store_get(store, page[0], &kept), 0);
    mn_store_close(store);
    CHECK(kept == NULL || mn_id_equal(kept->id, page[0])); /* outlives the store */
    mn_info_destroy(kept);
    return check_end();
}

int main(int argc, char **argv)
{
    return argc > 2 && strcmp(argv[1], "read") == 0 ? read_store(argv[2])
                                                    : mn_main(argc, argv, driver);
}
