/* SPDX-License-Identifier: MIT
 *
 * The record of a game as the job yields it: text, a line per move and per candidate, which a
 * person can read with h5dump and from which the job can go on after a restart:
 *
 *     fen rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1
 *     move 1 d2d4 d4 deep 33 287311
 *     candidate simple e2e4 e4 20 12 1 20531 10031
 *     ...
 *     result 0-1 checkmate
 *
 * A move has its number, UCI, SAN, the strategy that won, the measure and the microseconds that all
 * candidates together took; a candidate the strategy, UCI, SAN, evaluation, measure, depth, nodes
 * and microseconds. The result is there once the game has ended. */
#ifndef CHESS_RECORD_H
#define CHESS_RECORD_H

#include "strategy.h"

typedef struct record_move {
    chess_candidate_t candidates[CHESS_STRATEGIES];
    unsigned candidate_count;
    unsigned chosen;       /* which candidate won */
    uint64_t microseconds; /* that all candidates together took */
} record_move_t;

typedef struct record {
    chess_board_t first;
    chess_game_t game; /* after the moves below; game.plies is how many */
    record_move_t moves[CHESS_MAX_PLIES];
} record_t;

void record_begin(record_t *record, const chess_board_t *first);
/* Plays a move. Returns 0, or -1 if it is not legal. */
int record_add(record_t *record, const record_move_t *move);
/* Makes the text, to be freed with free(). Returns 0 or -1 (no memory). */
int record_format(const record_t *record, char **text, size_t *size);
/* Reads a text; every move is checked. Returns 0, or -1 if it is none of ours: `record` is then of
 * no use. */
int record_parse(const char *text, size_t size, record_t *record);

#endif
