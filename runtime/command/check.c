/* SPDX-License-Identifier: MIT
 *
 * multinode check: whether a store is sound.
 */
#include "command/stored.h"

#include "util/size.h"

#include <inttypes.h>
#include <string.h>

#define EXIT_DAMAGED 1
#define EXIT_UNREADABLE 2

enum { OPTION_STORE, OPTION_QUIET, OPTION_JSON, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_QUIET] = {"quiet", 'q', NULL, "Print what is wrong only."},
    [OPTION_JSON] = {"json", 0, NULL,
                     "Print one JSON object: what is there, and the sentences about what\n"
                     "is wrong in the member \"problems\"."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_check_usage = {
    .verb = "check",
    .synopsis = "[OPTIONS] [FILE.h5]",
    .text =
        "Reads all of a store: every row of the table of jobs, every value, whether table and values\n"
        "agree, every record of the journal with its checksum. Prints what is there and what is wrong.\n"
        "Nothing is changed. The end of a record that a crash has cut off is no damage: it was never\n"
        "acknowledged. HDF5 has no checksums of numbers: that one was changed is not seen.\n"
        "\n"
        "Exit status: 0 sound; 1 damaged; 2 it cannot be read, is no store, or usage.",
    .options = options,
    .examples = "  multinode check results.h5\n"
                "  multinode check -q results.h5 && cp results.h5 /backup/\n",
};

typedef struct report {
    bool json, quiet;
    json_t *problems;
} report_t;

static void take_problem(void *argument, const char *sentence)
{
    report_t *report = argument;

    if (report->json) {
        json_array_append_new(report->problems, mni_json_text(sentence, strlen(sentence)));
        return;
    }
    fputs("damaged: ", stdout);
    mni_show_text(stdout, sentence, 0);
    fputc('\n', stdout);
}

static void print_json(report_t *report, const char *path, const mni_store_facts_t *facts)
{
    json_t *json = json_object();

    json_object_set_new(json, "store", mni_json_text(path, strlen(path)));
    json_object_set_new(json, "runtime",
                        facts->user[0] ? mni_json_text(facts->user, strlen(facts->user))
                                       : json_null());
    json_object_set_new(json, "sound", json_boolean(facts->problems == 0));
#define PUT(name, member) json_object_set_new(json, name, json_integer((json_int_t)facts->member))
    PUT("format", format);
    PUT("bytes", file_bytes);
    PUT("jobs", rows);
    PUT("values", values);
    PUT("value_bytes", value_bytes);
    PUT("journal_bytes", journal_bytes);
    PUT("journal_records", records);
    PUT("journal_torn_bytes", torn);
#undef PUT
    json_object_set(json, "problems", report->problems);
    json_dumpf(json, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(json);
}

static void print_facts(const char *path, const mni_store_facts_t *facts)
{
    char size[32], values[32];

    fputs("store      ", stdout);
    mni_show_text(stdout, path, 0);
    printf(", format %d, %s\n", facts->format,
           mni_size_format(facts->file_bytes, size, sizeof size));
    if (facts->user[0])
        printf("runtime    %s\n", facts->user);
    printf("jobs       %" PRIu64 "\n", facts->rows);
    printf("values     %" PRIu64 ", %s\n", facts->values,
           mni_size_format(facts->value_bytes, values, sizeof values));
    if (facts->has_journal)
        printf("journal    %" PRIu64 " records, %s\n", facts->records,
               mni_size_format(facts->journal_bytes, size, sizeof size));
    if (facts->torn > 0)
        printf("           and %" PRIu64 " bytes of a record that a crash has cut off\n",
               facts->torn);
    if (facts->problems == 0)
        puts("sound");
    else
        printf("%" PRIu64 " %s\n", facts->problems,
               facts->problems == 1 ? "thing is damaged" : "things are damaged");
}

static int check(const char *given, report_t *report)
{
    const char *path = mni_stored_path(given);
    mni_store_facts_t facts;

    report->problems = json_array();
    if (mni_store_verify(path, take_problem, report, &facts) < 0) {
        mni_say("%s", mn_error_message());
        json_decref(report->problems);
        return EXIT_UNREADABLE;
    }
    if (report->json)
        print_json(report, path, &facts);
    else if (!report->quiet)
        print_facts(path, &facts);
    json_decref(report->problems);
    if (mni_stored_flush() != 0)
        return EXIT_UNREADABLE;
    return facts.problems == 0 ? 0 : EXIT_DAMAGED;
}

int mni_command_check(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_check_usage, .argc = argc, .argv = argv, .mixed = true};
    report_t report = {.json = false};
    const char *path = NULL;
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(&mni_check_usage);
        if (option == OPTION_STORE)
            path = parser.value;
        else if (option == OPTION_QUIET)
            report.quiet = true;
        else
            report.json = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (report.json && report.quiet)
        return mni_usage_error("check", "--json and --quiet exclude each other");
    if (parser.at < argc && path != NULL)
        return mni_usage_error("check", "\"%s\" is too much: --store names the store",
                               argv[parser.at]);
    if (parser.at + 1 < argc)
        return mni_usage_error("check", "one store at a time: \"%s\" is too much",
                               argv[parser.at + 1]);
    return check(parser.at < argc ? argv[parser.at] : path, &report);
}
