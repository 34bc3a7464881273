/* SPDX-License-Identifier: MIT
 *
 * multinode compact: a store without what is free in it.
 */
#include "command/stored.h"

#include "service/connect.h"
#include "util/size.h"

#include <stdlib.h>

enum { OPTION_STORE, OPTION_INLINE, OPTION_QUIET, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_STORE] = MNI_STORE_OPTION,
    [OPTION_INLINE] = {"inline", 0, NULL,
                       "Bring values over 1 MiB, which are in files of their own, into the file."},
    [OPTION_QUIET] = {"quiet", 'q', NULL, "Print errors only."},
    [OPTION_HELP] = MNI_HELP_OPTION,
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_compact_usage = {
    .verb = "compact",
    .synopsis = "[OPTIONS] [FILE.h5]",
    .text =
        "Writes a store anew: with what its journal has, which then goes, and without the space of jobs\n"
        "that were removed. The new file takes the place of the old one when it is complete; until then,\n"
        "and on failure, everything is as it was. A store that a runtime has, or that is damaged, is\n"
        "refused.\n"
        "\n"
        "Exit status: 0; 1 it was not written, with a line that says why; 2 usage.",
    .options = options,
    .examples =
        "  multinode compact results.h5\n"
        "  multinode compact --inline results.h5       one file that can be sent to somebody\n",
};

static int compact(const char *given, bool inside, bool quiet)
{
    const char *path = mni_stored_path(given);
    char size[2][32];
    uint64_t before, after;

    if (mni_store_compact(path, inside, &before, &after) < 0) {
        mni_say("%s", mn_error_message());
        return MNI_EXIT_FAILED;
    }
    char *real = realpath(path, NULL);
    if (real != NULL)
        mni_connect_clean(real);
    free(real);
    if (quiet)
        return 0;
    mni_show_text(stdout, path, 0);
    printf(": %s, %s before\n", mni_size_format(after, size[0], sizeof size[0]),
           mni_size_format(before, size[1], sizeof size[1]));
    return mni_stored_flush();
}

int mni_command_compact(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_compact_usage, .argc = argc, .argv = argv, .mixed = true};
    const char *path = NULL;
    bool quiet = false, inside = false;
    int option;

    while ((option = mni_parser_next(&parser)) >= 0) {
        if (option == OPTION_HELP)
            return mni_help_print(&mni_compact_usage);
        if (option == OPTION_STORE)
            path = parser.value;
        else if (option == OPTION_INLINE)
            inside = true;
        else
            quiet = true;
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at < argc && path != NULL)
        return mni_usage_error("compact", "\"%s\" is too much: --store names the store",
                               argv[parser.at]);
    if (parser.at + 1 < argc)
        return mni_usage_error("compact", "one store at a time: \"%s\" is too much",
                               argv[parser.at + 1]);
    return compact(parser.at < argc ? argv[parser.at] : path, inside, quiet);
}
