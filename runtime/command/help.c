/* SPDX-License-Identifier: MIT
 *
 * multinode help: the same text as --help of the verb.
 */
#include "command/command.h"

#include <stdio.h>
#include <string.h>

#define OPTION_COLUMN 28

static const mni_option_t options[] = {
    {"help", 'h', NULL, "Print this help."},
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_help_usage = {
    .verb = "help",
    .synopsis = "[VERB]",
    .text = "Explains a verb; without one, lists the verbs.",
    .options = options,
    .examples = "  multinode help run\n",
};

static void print_option(const mni_option_t *option)
{
    char form[OPTION_COLUMN * 3];
    const char *text = option->text;
    int used;

    used = option->letter ? snprintf(form, sizeof form, "  -%c, --%s", option->letter, option->name)
                          : snprintf(form, sizeof form, "      --%s", option->name);
    if (option->argument)
        snprintf(form + used, sizeof form - (size_t)used, " %s", option->argument);
    for (bool first = true; text; first = false) {
        size_t length = strcspn(text, "\n");
        printf("%-*s %.*s\n", OPTION_COLUMN, first ? form : "", (int)length, text);
        text = text[length] ? text + length + 1 : NULL;
    }
}

int mni_help_print(const mni_usage_t *usage)
{
    printf("Usage: multinode %s%s%s\n\n%s\n", usage->verb, usage->verb[0] ? " " : "",
           usage->synopsis, usage->text);
    if (usage == &mni_command_usage) {
        printf("\nVerbs:\n");
        for (const mni_verb_t *verb = mni_verbs; verb->name; verb++)
            printf("  %-10s %s\n", verb->name, verb->summary);
    }
    printf("\nOptions:\n");
    for (const mni_option_t *option = usage->options; option->name; option++)
        print_option(option);
    if (usage->examples)
        printf("\nExamples:\n%s", usage->examples);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        mni_say("cannot write to standard output");
        return MNI_EXIT_FAILED;
    }
    return 0;
}

/* To the program that has the verb. */
static int hand_on(char *verb)
{
    char *arguments[] = {verb, (char *)"--help"};
    return mni_hand_on(2, arguments);
}

int mni_command_help(int argc, char **argv)
{
    mni_parser_t parser = {.usage = &mni_help_usage, .argc = argc, .argv = argv};
    int option;

    while ((option = mni_parser_next(&parser)) >= 0)
        if (options[option].letter == 'h')
            return mni_help_print(&mni_help_usage);
    if (option == MNI_PARSER_ERROR)
        return MNI_EXIT_USAGE;
    if (parser.at == argc)
        return mni_help_print(&mni_command_usage);
    if (parser.at + 1 < argc)
        return mni_usage_error("help", "one verb at a time: \"%s\" is too much",
                               argv[parser.at + 1]);
    for (const mni_verb_t *verb = mni_verbs; verb->name; verb++)
        if (strcmp(argv[parser.at], verb->name) == 0)
            return verb->usage ? mni_help_print(verb->usage) : hand_on(argv[parser.at]);
    return mni_usage_error("help", "there is no verb \"%s\"", argv[parser.at]);
}
