/* SPDX-License-Identifier: MIT
 *
 * multinode yield, progress, cancelled: what a program that runs as a job by `multinode exec`, or a script below it, says to its task.
 */
#include "client/exec.h"
#include "command/command.h"
#include "util/error.h"
#include "util/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const mni_option_t options[] = {
    {"help", 'h', NULL, "Print this help."},
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_yield_usage = {
    .verb = "yield",
    .synopsis = "TEXT|@FILE|-",
    .text =
        "Publishes a result of the job whose program calls this: a text, the bytes of a file, or those of\n"
        "standard input. The latest one is the job's result. A file that is UTF-8 is a text. Returns when\n"
        "the task has it.\n"
        "\n"
        "Exit status: 0; 1 it was not published, or no program of `multinode exec` calls this; 2 usage.",
    .options = options,
    .examples = "  multinode yield \"step $i: energy $energy\"\n"
                "  multinode yield @best.xyz\n",
};

const mni_usage_t mni_progress_usage = {
    .verb = "progress",
    .synopsis = "FRACTION [MESSAGE]",
    .text =
        "Tells how far the job is whose program calls this: a number from 0 to 1, and a text for people.\n"
        "\n"
        "Exit status: 0; 1 no program of `multinode exec` calls this; 2 usage.",
    .options = options,
    .examples = "  multinode progress 0.4 'step 400 of 1000'\n",
};

const mni_usage_t mni_cancelled_usage = {
    .verb = "cancelled",
    .synopsis = "",
    .text =
        "Whether the job whose program calls this is to stop, because it was cancelled or the runtime\n"
        "ends. It gets a SIGTERM then, too.\n"
        "\n"
        "Exit status: 0 yes; 1 no; 2 usage, or no program of `multinode exec` calls this.",
    .options = options,
    .examples = "  while ! multinode cancelled; do ./step; done\n",
};

/* Reads the options: 0 go on, else *status is what to end with. */
static bool only_help(mni_parser_t *parser, int *status)
{
    int option = mni_parser_next(parser);

    *status = option >= 0                  ? mni_help_print(parser->usage)
              : option == MNI_PARSER_ERROR ? MNI_EXIT_USAGE
                                           : 0;
    return option != MNI_PARSER_END;
}

/* Copies a file. False: errno says why. */
static bool copy(const char *path, int to)
{
    static char piece[65536];
    int from = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;

    while (from >= 0 && (got = read(from, piece, sizeof piece)) > 0)
        if (mni_write_all(to, piece, (size_t)got) < 0)
            return false;
    return got == 0;
}

int mni_command_yield(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_yield_usage, .argc = argc, .argv = argv};
    mni_exec_ask_t ask = {.kind = MNI_EXEC_YIELD};
    int status, value = memfd_create("yield", MFD_CLOEXEC);

    if (only_help(&parser, &status))
        return status;
    if (parser.at + 1 != argc)
        return mni_usage_error("yield",
                               "one value is needed, such as in: multinode yield \"step 7\"");
    const char *text = argv[parser.at];
    bool file = text[0] == '@' || strcmp(text, "-") == 0;
    if (file ? !copy(text[0] == '@' ? text + 1 : text, value)
             : mni_write_all(value, text, strlen(text)) < 0) {
        mni_say("cannot read the value from %s: %s", file ? text : "the command line",
                strerror(errno));
        return MNI_EXIT_FAILED;
    }
    if (mni_exec_ask(&ask, value) < 0) {
        mni_say("%s", mn_error_message());
        return MNI_EXIT_FAILED;
    }
    return 0;
}

int mni_command_progress(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_progress_usage, .argc = argc, .argv = argv};
    mni_exec_ask_t ask = {.kind = MNI_EXEC_PROGRESS};
    char *end = NULL;
    int status;

    if (only_help(&parser, &status))
        return status;
    if (parser.at == argc || parser.at + 2 < argc)
        return mni_usage_error("progress",
                               "a fraction and perhaps a message are needed, such as in: "
                               "multinode progress 0.4 'step 400'");
    ask.fraction = strtod(argv[parser.at], &end);
    if (end == argv[parser.at] || *end != '\0' || !(ask.fraction >= 0 && ask.fraction <= 1))
        return mni_usage_error("progress", "FRACTION is \"%s\": it must be a number from 0 to 1",
                               argv[parser.at]);
    if (parser.at + 1 < argc) {
        const char *message = argv[parser.at + 1];
        if (strlen(message) >= sizeof ask.text)
            return mni_usage_error("progress", "MESSAGE is longer than %zu bytes",
                                   sizeof ask.text - 1);
        memcpy(ask.text, message, strlen(message) + 1);
    }
    if (mni_exec_ask(&ask, -1) < 0) {
        mni_say("%s", mn_error_message());
        return MNI_EXIT_FAILED;
    }
    return 0;
}

int mni_command_cancelled(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_cancelled_usage, .argc = argc, .argv = argv};
    mni_exec_ask_t ask = {.kind = MNI_EXEC_CANCELLED};
    int status, code;

    if (only_help(&parser, &status))
        return status;
    if (parser.at < argc)
        return mni_usage_error("cancelled", "\"%s\" is too much", argv[parser.at]);
    if ((code = mni_exec_ask(&ask, -1)) < 0) {
        mni_say("%s", mn_error_message());
        return MNI_EXIT_USAGE;
    }
    return code == 1 ? 0 : 1;
}
