/* SPDX-License-Identifier: MIT
 *
 * The command line of the chess program. */
#ifndef CHESS_OPTIONS_H
#define CHESS_OPTIONS_H

#include "strategy.h"

/* What the program exits with. */
enum {
    CHESS_EXIT_DONE = 0,
    CHESS_EXIT_FAILED = 1,
    CHESS_EXIT_USAGE = 2,
    CHESS_EXIT_MORE_TO_DO = 3
};

typedef struct options {
    chess_board_t board; /* where the game begins */
    unsigned moves;      /* of either side, to be played */
    uint64_t nodes;
    unsigned strategies[CHESS_STRATEGIES];
    unsigned strategy_count;
    bool json, color, unicode;
} options_t;

/* Reads the command line. Returns 0 to go on, or the exit status plus 1 when there is nothing to go
 * on with: then the help is on standard output, or what is wrong on standard error. */
int options_parse(int argc, char **argv, options_t *options);

#endif
