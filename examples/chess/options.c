/* SPDX-License-Identifier: MIT
 *
 * The command line of the chess program: everything is checked here, before any work is started. */
#include "options.h"

#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_MOVES = 10, DEFAULT_NODES = 500000 };

static const char help[] =
    "Usage: chess [--fen FEN] [--moves N] [--strategies LIST] [--nodes N] [--json]\n"
    "Plays the next moves of a chess game: for each move several strategies search at the same "
    "time, and the best of\n"
    "their candidates is played.\n"
    "\n"
    "  --fen FEN          the position to begin with [the start of the game]\n"
    "  --moves N          moves of either side to play, 1 to 1000 [10]; fewer if the game ends "
    "before\n"
    "  --strategies LIST  some of simple,greedy,positional,trap,deep [all of them]\n"
    "  --nodes N          positions that the strategies trap and deep may look at for one move,\n"
    "                     1000 to 1000000000 [500000]; nothing depends on time, so a game can be "
    "repeated\n"
    "  --json             print one JSON object at the end instead of boards; \"moves\" is the "
    "list of moves in UCI\n"
    "  --color WHEN       auto, always or never: colours [auto: if standard output is a terminal]\n"
    "  --ascii            letters for the pieces, even where the locale has Unicode\n"
    "  --help             this text\n"
    "\n"
    "Candidates are compared by one common measure: a search of four plies behind each of them.\n"
    "A run that was stopped goes on where it was when it is started again with the same options "
    "and the same store.\n"
    "\n"
    "Exit status: 0 the moves were played, or the game has ended; 1 something failed; 2 the "
    "command line or the FEN is\n"
    "wrong; 3 stopped before the end, there is more to do.\n";

__attribute__((format(printf, 1, 2))) static int usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("chess: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    return CHESS_EXIT_USAGE + 1;
}

static int parse_number(const char *option, const char *text, uint64_t least, uint64_t most,
                        uint64_t *number)
{
    uint64_t value = 0;
    bool good = *text != '\0' && strlen(text) <= 12 && strspn(text, "0123456789") == strlen(text);

    for (const char *c = text; good && *c; c++)
        value = value * 10 + (uint64_t)(*c - '0');
    if (!good || value < least || value > most)
        return usage_error("%s: '%s' is not a number from %llu to %llu", option, text,
                           (unsigned long long)least, (unsigned long long)most);
    *number = value;
    return 0;
}

static int parse_strategies(const char *text, options_t *options)
{
    options->strategy_count = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        unsigned s = 0;
        while (s < CHESS_STRATEGIES && (strlen(chess_strategy_name(s)) != length ||
                                        strncmp(chess_strategy_name(s), text, length) != 0))
            s++;
        if (s == CHESS_STRATEGIES)
            return usage_error(
                "--strategies: '%.*s' is none of simple, greedy, positional, trap, deep",
                length > 60 ? 60 : (int)length, text);
        for (unsigned i = 0; i < options->strategy_count; i++)
            if (options->strategies[i] == s)
                return usage_error("--strategies: '%s' is there twice", chess_strategy_name(s));
        options->strategies[options->strategy_count++] = s;
        if (!text[length])
            return 0;
        text += length + 1;
    }
}

static int parse_color(const char *text, options_t *options)
{
    if (strcmp(text, "always") == 0)
        options->color = true;
    else if (strcmp(text, "never") == 0)
        options->color = false;
    else if (strcmp(text, "auto") != 0)
        return usage_error("--color: '%s' is none of auto, always, never", text);
    return 0;
}

static int parse_fen(const char *text, options_t *options)
{
    char reason[256];
    if (chess_fen_parse(text, &options->board, reason, sizeof reason) < 0)
        return usage_error("--fen: %s", reason);
    return 0;
}

enum { FEN = 1, MOVES, STRATEGIES, NODES, JSON, COLOR, ASCII, HELP };

static const struct option long_options[] = {
    {"fen", required_argument, NULL, FEN},
    {"moves", required_argument, NULL, MOVES},
    {"nodes", required_argument, NULL, NODES},
    {"strategies", required_argument, NULL, STRATEGIES},
    {"json", no_argument, NULL, JSON},
    {"color", required_argument, NULL, COLOR},
    {"ascii", no_argument, NULL, ASCII},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static int parse_option(int option, options_t *options)
{
    uint64_t number = 0;
    int rc = 0;

    switch (option) {
    case FEN:
        return parse_fen(optarg, options);
    case MOVES:
        rc = parse_number("--moves", optarg, 1, CHESS_MAX_PLIES, &number);
        options->moves = (unsigned)number;
        return rc;
    case NODES:
        return parse_number("--nodes", optarg, CHESS_LEAST_NODES, CHESS_MOST_NODES,
                            &options->nodes);
    case STRATEGIES:
        return parse_strategies(optarg, options);
    case COLOR:
        return parse_color(optarg, options);
    case JSON:
        options->json = true;
        return 0;
    case ASCII:
        options->unicode = false;
        return 0;
    case HELP:
        fputs(help, stdout);
        return CHESS_EXIT_DONE + 1;
    default:
        return usage_error("see --help"); /* getopt has said what is wrong */
    }
}

int options_parse(int argc, char **argv, options_t *options)
{
    int option, rc = 0;

    setlocale(LC_CTYPE, "");
    *options = (options_t){
        .moves = DEFAULT_MOVES,
        .nodes = DEFAULT_NODES,
        .color = isatty(STDOUT_FILENO),
        .unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
    };
    for (unsigned s = 0; s < CHESS_STRATEGIES; s++)
        options->strategies[options->strategy_count++] = s;
    rc = parse_fen(CHESS_START_FEN, options);

    while (rc == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        rc = parse_option(option, options);
    if (rc == 0 && optind < argc)
        rc = usage_error("'%s': unexpected; a FEN goes behind --fen, in quotes", argv[optind]);
    return rc;
}
