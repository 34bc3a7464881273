/* SPDX-License-Identifier: MIT
 *
 * multinode: the way from the first argument to one of its verbs. Also the main of multinode-store, whose verbs are others.
 */
#include "command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MOST_VERBS 64

static const mni_option_t options[] = {
    {"help", 'h', NULL, "Print this help."},
    {"version", 'V', NULL, "Print the version."},
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_command_usage = {
    .verb = "",
    .synopsis = "[--help] [--version] VERB [ARGUMENTS]",
    .text =
        "A batch runtime for HPC on Open MPI: jobs, functions and services of a C program, run in parallel.",
    .options = options,
    .examples = "  multinode run ./program            start a program\n"
                "  multinode list -s results.h5       see what a run has kept\n"
                "  multinode help run                 learn what `run` can do\n",
};

/* What is opened later must not take the numbers of closed standard streams. */
static void open_standard_streams(void)
{
    for (int stream = 0; stream <= 2; stream++)
        if (fcntl(stream, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0)
            _exit(MNI_EXIT_FAILED);
}

static int unknown_verb(const char *name)
{
    const char *names[MOST_VERBS + 1];
    size_t count = 0;

    for (const mni_verb_t *verb = mni_verbs; verb->name && count < MOST_VERBS; verb++)
        names[count++] = verb->name;
    names[count] = NULL;
    const char *near = mni_nearest(name, names);
    if (near)
        return mni_usage_error("", "there is no verb \"%s\"; did you mean \"%s\"?", name, near);
    if (strchr(name, '/'))
        return mni_usage_error("", "there is no verb \"%s\"; to start a program: multinode run %s",
                               name, name);
    return mni_usage_error("", "there is no verb \"%s\"", name);
}

int main(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_command_usage, .argc = argc - 1, .argv = argv + 1};
    int option;

    open_standard_streams();
    while ((option = mni_parser_next(&parser)) >= 0) {
        if (options[option].letter == 'h')
            return mni_help_print(&mni_command_usage);
        if (options[option].letter == 'V')
            return mni_command_version(0, NULL);
    }
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at == parser.argc)
        return mni_usage_error("", "a verb is missing: multinode run PROGRAM starts a program");
    argc = parser.argc - parser.at - 1;
    argv = parser.argv + parser.at;
    for (const mni_verb_t *verb = mni_verbs; verb->name; verb++)
        if (strcmp(argv[0], verb->name) == 0)
            return verb->run ? verb->run(argc, argv + 1) : mni_hand_on(argc + 1, argv);
    return unknown_verb(argv[0]);
}
