/* SPDX-License-Identifier: MIT
 *
 * Reading options by a verb's table, and what the command says when it cannot.
 */
#include "command/command.h"
#include "util/write.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_WORD 63
#define MOST_OPTIONS 32

void mni_say(const char *format, ...)
{
    char line[4096] = "multinode: ";
    size_t used = strlen(line);
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    used = strlen(line);
    line[used] = '\n';
    mni_write_all(STDERR_FILENO, line, used + 1); /* else there is nobody to tell */
}

int mni_usage_error(const char *verb, const char *format, ...)
{
    char text[2048];
    const char *space = verb[0] ? " " : "";
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "multinode%s%s: %s\nTry 'multinode help%s%s'.\n", space, verb, text, space,
            verb);
    return MNI_EXIT_USAGE;
}

/* Edits (insert, drop, change, swap of neighbours) that lead from one word to the other. */
static size_t edit_distance(const char *from, const char *to)
{
    size_t rows[3][LONGEST_WORD + 1], n = strlen(from), m = strlen(to);
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (from[i - 1] != to[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[m];
}

const char *mni_nearest(const char *word, const char *const *candidates)
{
    const char *nearest = NULL;
    size_t least = 3, length = strlen(word);

    if (length == 0 || length > LONGEST_WORD)
        return NULL;
    for (; *candidates; candidates++) {
        if (strlen(*candidates) > LONGEST_WORD)
            continue;
        /* A word of which half would have to change is no slip of the finger; a beginning is
         * meant. */
        size_t distance = edit_distance(word, *candidates);
        if (length >= 2 && strncmp(word, *candidates, length) == 0)
            distance = 1;
        if (distance < least && distance * 2 <= strlen(*candidates)) {
            least = distance;
            nearest = *candidates;
        }
    }
    return nearest;
}

static int unknown_option(const mni_parser_t *parser, const char *name, size_t length)
{
    const char *names[MOST_OPTIONS + 1];
    char word[LONGEST_WORD + 1];
    size_t count = 0;

    for (const mni_option_t *option = parser->usage->options; option->name && count < MOST_OPTIONS;
         option++)
        names[count++] = option->name;
    names[count] = NULL;
    snprintf(word, sizeof word, "%.*s", (int)(length < LONGEST_WORD ? length : LONGEST_WORD), name);
    const char *near = mni_nearest(word, names);
    if (near)
        mni_usage_error(parser->usage->verb, "there is no option --%s; did you mean --%s?", word,
                        near);
    else
        mni_usage_error(parser->usage->verb, "there is no option --%s", word);
    return MNI_PARSER_ERROR;
}

static int read_long(mni_parser_t *parser, const char *name)
{
    const mni_option_t *options = parser->usage->options;
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    int index = 0;

    while (options[index].name && (strlen(options[index].name) != length ||
                                   strncmp(options[index].name, name, length) != 0))
        index++;
    if (!options[index].name)
        return unknown_option(parser, name, length);
    parser->at++;
    if (!options[index].argument) {
        if (value) {
            mni_usage_error(parser->usage->verb, "--%s takes no value", options[index].name);
            return MNI_PARSER_ERROR;
        }
    } else if (!value) {
        if (parser->at == parser->argc) {
            mni_usage_error(parser->usage->verb, "--%s needs a value: --%s %s", options[index].name,
                            options[index].name, options[index].argument);
            return MNI_PARSER_ERROR;
        }
        value = parser->argv[parser->at++];
    }
    parser->value = value;
    return index;
}

/* Short options may stand together (-qv), and a value may follow without a space (-n3). */
static int read_short(mni_parser_t *parser, const char *group)
{
    const mni_option_t *options = parser->usage->options;
    char letter = group[parser->letters];
    const char *rest = group + parser->letters + 1;
    int index = 0;

    while (options[index].name && options[index].letter != letter)
        index++;
    if (!options[index].name) {
        mni_usage_error(parser->usage->verb, "there is no option -%c", letter);
        return MNI_PARSER_ERROR;
    }
    parser->value = NULL;
    parser->letters++;
    if (!options[index].argument && rest[0])
        return index; /* more to come from this group */
    parser->letters = 0;
    parser->at++;
    if (!options[index].argument)
        return index;
    if (rest[0]) {
        parser->value = rest[0] == '=' ? rest + 1 : rest;
    } else if (parser->at < parser->argc) {
        parser->value = parser->argv[parser->at++];
    } else {
        mni_usage_error(parser->usage->verb, "-%c needs a value: -%c %s", letter, letter,
                        options[index].argument);
        return MNI_PARSER_ERROR;
    }
    return index;
}

/* The end of the options: the operands that were met are put behind them. */
static int end_options(mni_parser_t *parser)
{
    char **argv = parser->argv;

    for (int i = parser->operands - 1, to = parser->at - 1; i >= 0; i--, to--) {
        char *operand = argv[i];
        memmove(argv + i, argv + i + 1, (size_t)(to - i) * sizeof *argv);
        argv[to] = operand;
    }
    parser->at -= parser->operands;
    parser->operands = 0;
    return MNI_PARSER_END;
}

/* Sets an operand aside: to the front, behind those that are there. */
static void set_aside(mni_parser_t *parser)
{
    char **argv = parser->argv, *operand = argv[parser->at];

    memmove(argv + parser->operands + 1, argv + parser->operands,
            (size_t)(parser->at - parser->operands) * sizeof *argv);
    argv[parser->operands++] = operand;
    parser->at++;
}

int mni_parser_next(mni_parser_t *parser)
{
    parser->value = NULL;
    if (parser->letters > 0)
        return read_short(parser, parser->argv[parser->at] + 1);
    while (parser->at < parser->argc) {
        const char *word = parser->argv[parser->at];
        if (strcmp(word, "--") == 0) {
            parser->at++;
            break;
        }
        if (word[0] == '-' && word[1] == '-')
            return read_long(parser, word + 2);
        if (word[0] == '-' && word[1] != '\0')
            return read_short(parser, word + 1);
        if (!parser->mixed)
            break;
        set_aside(parser);
    }
    return end_options(parser);
}
