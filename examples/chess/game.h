/* SPDX-License-Identifier: MIT
 *
 * A game: a position, and the ones before it as far as the rules look back. A plain value, like a
 * board. */
#ifndef CHESS_GAME_H
#define CHESS_GAME_H

#include "board.h"

/* Most moves of either side that a game can be played on from where it was set up. */
#define CHESS_MAX_PLIES 1000

typedef enum chess_outcome {
    CHESS_ONGOING,
    CHESS_CHECKMATE, /* the side to move has lost */
    CHESS_STALEMATE,
    CHESS_REPETITION,
    CHESS_FIFTY_MOVES,
    CHESS_INSUFFICIENT
} chess_outcome_t;

typedef struct chess_game {
    chess_board_t board;
    unsigned plies;                       /* played since the game was set up */
    uint64_t hashes[CHESS_MAX_PLIES + 1]; /* of each position, board.hash is hashes[plies] */
} chess_game_t;

/* Begins a game at a position. */
void chess_game_begin(chess_game_t *game, const chess_board_t *board);
/* Plays a move; returns 0, or -1 if it is not legal or the game has CHESS_MAX_PLIES plies: nothing
 * is changed then. */
int chess_game_play(chess_game_t *game, chess_move_t move);
/* How often the position on the board has occurred in the game, this time included. */
unsigned chess_game_occurrences(const chess_game_t *game);
/* How the game stands. Draws that a player could claim (threefold repetition, fifty moves) end it
 * here. */
chess_outcome_t chess_game_outcome(const chess_game_t *game);

/* Whether neither side can ever mate: bare kings, one minor piece, or bishops all on squares of one
 * colour. */
bool chess_is_insufficient(const chess_board_t *board);
/* "checkmate", "stalemate", ... never NULL. */
const char *chess_outcome_name(chess_outcome_t outcome);
/* "1-0", "0-1", "1/2-1/2" or "*". */
const char *chess_score(const chess_board_t *board, chess_outcome_t outcome);

#endif
