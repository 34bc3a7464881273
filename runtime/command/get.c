/* SPDX-License-Identifier: MIT
 *
 * multinode get: all that is known of a job.
 */
#include "command/stored.h"

#include "util/size.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Data of larger values are left out of the JSON: multinode result has them. */
#define JSON_MOST ((size_t)64 << 10)

enum { OPTION_STORE, OPTION_JSON, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_JSON] = {"json", 0, NULL,
                     "Print one JSON object: the members that list has, input and result.\n"
                     "The data of values over 64 KiB are left out (null)."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_get_usage = {
    .verb = "get",
    .synopsis = "[OPTIONS] ID",
    .text =
        "Shows all that a store knows of a job: what does not apply is left out, of its input and its\n"
        "result the beginning is shown. ID is an id, the beginning of one that no other has, or \"last\":\n"
        "the newest job. No runtime is needed, and nothing is changed.\n"
        "\n"
        "Exit status: 0; 1 there is no such job, or several, or the store cannot be read; 2 usage.",
    .options = options,
    .examples = "  multinode get -s results.h5 last\n"
                "  multinode get 1b4e28ba\n"
                "  multinode get --json 1b4e28ba | jq .result.value\n",
};

static void show(const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    printf("%-16s ", name);
    mni_show_text(stdout, text, 0);
    fputc('\n', stdout);
}

static void show_count(const char *name, uint64_t number)
{
    if (number != UINT32_MAX)
        printf("%-16s %" PRIu64 "\n", name, number);
}

static void show_time(const char *name, double seconds)
{
    char text[32];
    show(name, mni_show_time(seconds, text, sizeof text));
}

static void show_span(const char *name, double seconds)
{
    char text[32];
    if (isfinite(seconds))
        show(name, mni_show_span(seconds, text, sizeof text));
}

static void show_need(const mni_need_t *need)
{
    char text[32];

    printf("%-16s %g\n", "cpu", need->millicores / 1000.0);
    if (need->memory > 0)
        show("memory", mni_size_format(need->memory, text, sizeof text));
    if (need->gpus > 0)
        show_count("gpus", need->gpus);
    if (need->priority != 0)
        printf("%-16s %d\n", "priority", need->priority);
    show_span("timeout", need->timeout);
    show_span("grace", need->grace);
    show_count("max_concurrency", need->max_concurrency);
    show_count("max_retries", need->max_retries);
    show_count("max_lost", need->max_lost);
}

static void show_job(const mni_store_record_t *record)
{
    const mn_info_t *info = &record->info;
    char id[MN_ID_TEXT], size[32];

    show("id", mn_id_format(info->id, id));
    show("job", info->job);
    show("status", mn_status_name(info->status));
    if (info->reason != MN_REASON_NONE)
        show("reason", mn_reason_name(info->reason));
    show("error", info->error);
    show_count("attempts", info->attempts);
    if (info->progress > 0)
        printf("%-16s %.3g%%\n", "progress", info->progress * 100);
    show("message", info->message);
    show("lock", info->lock);
    show("tag", info->tag);
    show("key", info->key);
    show_time("created", info->created);
    show_time("started", info->started);
    show_time("ended", info->ended);
    if (info->started > 0 && info->ended > 0)
        show_span("took", info->ended - info->started);
    show("host", info->host);
    if (info->rank >= 0)
        printf("%-16s %d\n", "rank", info->rank);
    show("cpus", info->cpus);
    if (info->cpu_time > 0)
        show_span("cpu_time", info->cpu_time);
    if (info->peak_memory > 0)
        show("peak_memory", mni_size_format(info->peak_memory, size, sizeof size));
    if (record->has_need)
        show_need(&record->need);
    printf("%-16s %" PRIu64 "\n", "yields", info->yields);
}

static int show_values(mni_store_t *store, const mni_store_record_t *record, bool json)
{
    static const char *const names[] = {"input", "result"};
    int status = 0;

    for (int i = 0; i < 2; i++) {
        mn_value_t value = mn_none();
        int rc = i == 0 ? mni_store_input(store, record, &value)
                        : mni_store_result(store, record, &value);
        if (rc < 0) {
            mni_say("the %s cannot be read: %s", names[i], mn_error_message());
            status = MNI_EXIT_FAILED;
        }
        if (json) {
            printf(",\"%s\":", names[i]);
            mni_json_print_value(stdout, &value, JSON_MOST);
        } else if (rc == 0) {
            printf("%-16s ", names[i]);
            mni_show_value(stdout, &value);
            fputc('\n', stdout);
        }
        mn_value_destroy(&value);
    }
    return status;
}

static int get_job(const char *path, const char *name, bool json)
{
    mni_store_t *store = NULL;
    mni_stored_job_t job;
    int status = mni_stored_open(path, &store);

    if (status == 0 && (status = mni_stored_find("get", store, name, &job)) == 0) {
        if (json) {
            fputc('{', stdout);
            mni_json_print_job(stdout, &job.record.info, mni_stored_need(&job.record));
        } else {
            show_job(&job.record);
        }
        status = show_values(store, &job.record, json);
        if (json)
            fputs("}\n", stdout);
        mni_stored_forget(&job);
    }
    mni_store_close(store);
    return status != 0 ? status : mni_stored_flush();
}

int mni_command_get(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_get_usage, .argc = argc, .argv = argv, .mixed = true};
    const char *path = NULL;
    bool json = false;
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(&mni_get_usage);
        if (option == OPTION_STORE)
            path = parser.value;
        else
            json = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at == argc)
        return mni_usage_error("get", "ID is missing, such as in: multinode get last");
    if (parser.at + 1 < argc)
        return mni_usage_error("get", "one job at a time: \"%s\" is too much", argv[parser.at + 1]);
    return get_job(path, argv[parser.at], json);
}
