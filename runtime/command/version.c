/* SPDX-License-Identifier: MIT
 *
 * multinode version.
 */
#include "command/command.h"

#include <multinode.h>

#include <stdio.h>

enum { OPTION_JSON, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_JSON] = {"json", 0, NULL,
                     "Print one JSON object: {\"name\":\"multinode\",\"version\":\"...\"}."},
    [OPTION_HELP] = {"help", 'h', NULL, "Print this help."},
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_version_usage = {
    .verb = "version",
    .synopsis = "[--json]",
    .text = "Prints the version of the command and of the library it is linked with.",
    .options = options,
    .examples = "  multinode version\n"
                "  multinode version --json\n",
};

int mni_command_version(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_version_usage, .argc = argc, .argv = argv};
    bool json = false;
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(&mni_version_usage);
        json = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at < argc)
        return mni_usage_error("version", "\"%s\" is too much: no arguments are taken",
                               argv[parser.at]);
    /* A version has nothing that JSON would have to escape. */
    printf(json ? "{\"name\":\"multinode\",\"version\":\"%s\"}\n" : "multinode %s\n", mn_version());
    if (fflush(stdout) != 0) {
        mni_say("cannot write to standard output");
        return MNI_EXIT_FAILED;
    }
    return 0;
}
