/* SPDX-License-Identifier: MIT
 *
 * How good a position is: material, an evaluation, exact knowledge of king and pawn against king,
 * and a search. Scores are centipawns from the view of the side to move. Nothing here looks at a
 * clock: searches are bounded by depth and nodes, so the same question has the same answer on every
 * machine. */
#ifndef CHESS_SEARCH_H
#define CHESS_SEARCH_H

#include "game.h"

#define CHESS_MATE 30000       /* a mate in n plies scores CHESS_MATE - n */
#define CHESS_MATE_FOUND 29000 /* scores from here on are forced mates */
#define CHESS_MAX_DEPTH 64

/* Which positions of king and pawn against king are won, one bit each; made by chess_kpk_make(). 24
 * KiB. */
#define CHESS_KPK_POSITIONS (2u * 24u * 64u * 64u)
typedef struct chess_knowledge {
    uint8_t won[CHESS_KPK_POSITIONS / 8];
} chess_knowledge_t;

/* Solves king and pawn against king backwards from its ends. Returns how many of its positions are
 * won, 0 when there is no memory. */
unsigned chess_kpk_make(chess_knowledge_t *knowledge);
/* Whether the side with the pawn wins a position that has just the two kings and one pawn. */
bool chess_kpk_is_won(const chess_knowledge_t *knowledge, const chess_board_t *board);

/* Value of a kind of piece for counting and exchanges. */
int chess_value(unsigned kind);
/* Material of the side to move minus the other's. */
int chess_material(const chess_board_t *board);
/* What a move gains in material when both sides then only take on its square, least valuable piece
 * first. */
int chess_exchange(const chess_board_t *board, chess_move_t move);
/* The evaluation: material, squares, mobility, pawn structure, king's shelter. */
int chess_evaluate(const chess_board_t *board, const chess_knowledge_t *knowledge);

typedef struct chess_search chess_search_t;

/* A search without memory of earlier ones. table_bits: 2^table_bits entries of 16 bytes remember
 * positions, 0 for none. Returns NULL when there is no memory. */
chess_search_t *chess_search_create(const chess_knowledge_t *knowledge, unsigned table_bits);
void chess_search_destroy(chess_search_t *search);

typedef struct chess_found {
    chess_move_t move; /* CHESS_NO_MOVE if there is no legal move */
    int score;
    unsigned depth; /* of the last iteration that was completed */
} chess_found_t;

/* Searches deeper and deeper, to `depth` plies or until `nodes` more positions have been seen (0:
 * no such bound); the first ply is always completed. The positions that the game has seen count as
 * repetitions. */
chess_found_t chess_search_run(chess_search_t *search, const chess_game_t *game, unsigned depth,
                               uint64_t nodes);
/* Positions seen in all runs so far. */
uint64_t chess_search_nodes(const chess_search_t *search);

#endif
