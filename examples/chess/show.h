/* SPDX-License-Identifier: MIT
 *
 * What the chess program prints: boards and candidates for people, one JSON object for programs. */
#ifndef CHESS_SHOW_H
#define CHESS_SHOW_H

#include "options.h"
#include "record.h"

/* The board, with the squares of the last move marked where there are colours (CHESS_NO_MOVE:
 * none). */
void show_board(const options_t *options, const chess_board_t *board, chess_move_t last);
/* Move number `index` of the record: the board after it, the candidates and which of them won. */
void show_move(const options_t *options, const record_t *record, unsigned index);
/* One line about how the game stands. */
void show_summary(const record_t *record);
/* The whole record as one object. `status` is the job's; `error` a sentence or NULL. */
void show_json(const options_t *options, const record_t *record, const char *status,
               const char *error);

#endif
