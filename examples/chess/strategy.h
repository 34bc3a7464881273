/* SPDX-License-Identifier: MIT
 *
 * Five ways to choose a move that differ in kind, and a common measure by which their candidates
 * are compared. */
#ifndef CHESS_STRATEGY_H
#define CHESS_STRATEGY_H

#include "search.h"

typedef enum chess_strategy {
    CHESS_SIMPLE,     /* looks one ply ahead and follows a beginner's first principles */
    CHESS_GREEDY,     /* takes what wins most material at once */
    CHESS_POSITIONAL, /* squares, mobility, pawn structure; two plies and the captures ahead */
    CHESS_TRAP,       /* of the sound moves the one after which most replies lose */
    CHESS_DEEP,       /* alpha-beta with quiescence, as deep as the nodes allow */
    CHESS_STRATEGIES
} chess_strategy_t;

/* A move that a strategy proposes. Plain data of a fixed size, so that it can travel between
 * processes. */
typedef struct chess_candidate {
    uint64_t nodes;        /* positions seen by the strategy and the measure */
    uint64_t microseconds; /* filled in by the caller, who has a clock */
    int32_t evaluation;    /* what the strategy thinks of it: centipawns from the mover's view */
    int32_t measure;       /* what chess_measure() gives it; the candidates are compared by this */
    uint16_t strategy;
    chess_move_t move;
    uint32_t depth; /* that was searched completely by the strategy */
} chess_candidate_t;

/* The least and most nodes that may be asked for. */
#define CHESS_LEAST_NODES 1000u
#define CHESS_MOST_NODES 1000000000u

/* "simple" and so on; NULL for a number that is no strategy. */
const char *chess_strategy_name(unsigned strategy);

/* Lets a strategy choose a move for the side to move and measures it. `nodes` bounds the searches
 * of the strategies trap and deep; the others see a few thousand at most. Returns 0, or -1 if there
 * is no legal move or no memory. */
int chess_suggest(const chess_game_t *game, const chess_knowledge_t *knowledge, unsigned strategy,
                  uint64_t nodes, chess_candidate_t *candidate);

/* The common measure of a legal move: the score, from the mover's view, of a search of a fixed
 * depth (four plies and the captures, fewer if that took more than CHESS_MEASURE_NODES) on the
 * position behind it. The same move has the same measure whoever proposed it. A mate that a
 * strategy has proved deeper than that counts as it is. Returns 0 or -1 when there is no memory. */
#define CHESS_MEASURE_DEPTH 4
#define CHESS_MEASURE_NODES 400000u
int chess_measure(const chess_game_t *game, const chess_knowledge_t *knowledge, chess_move_t move,
                  int *measure, uint64_t *nodes);

/* Index of the candidate with the highest measure; of equals the first. `count` is at least 1. */
size_t chess_choose(const chess_candidate_t *candidates, size_t count);

#endif
