/* SPDX-License-Identifier: MIT
 *
 * Iterative deepening alpha-beta with quiescence, a transposition table, null moves, killers and
 * history. One search belongs to one caller at a time. It is bounded by depth and nodes only, and
 * begins with empty tables: its answer is a function of the game, the bounds and the table size. */
#include "search.h"

#include <stdlib.h>
#include <string.h>

enum { INFINITE = 32000, EXACT = 1, AT_LEAST, AT_MOST };

typedef struct entry {
    uint64_t hash;
    int16_t score;
    chess_move_t move;
    uint8_t depth;
    uint8_t bound;
} entry_t;

struct chess_search {
    const chess_knowledge_t *knowledge;
    entry_t *table; /* NULL: none */
    size_t mask;
    uint64_t nodes;
    uint64_t limit; /* of `nodes`; 0: none */
    bool can_stop, stopped;
    chess_move_t best; /* at the root */
    chess_move_t killers[CHESS_MAX_DEPTH + 1][2];
    uint32_t history[2][64][64];
    unsigned path_count;
    uint64_t path[CHESS_MAX_PLIES + CHESS_MAX_DEPTH +
                  2]; /* hashes of the game and of the line under search */
};

chess_search_t *chess_search_create(const chess_knowledge_t *knowledge, unsigned table_bits)
{
    chess_search_t *search = calloc(1, sizeof *search);
    if (!search)
        return NULL;
    search->knowledge = knowledge;
    if (table_bits) {
        search->mask = ((size_t)1 << table_bits) - 1;
        search->table = calloc(search->mask + 1, sizeof *search->table);
        if (!search->table) {
            free(search);
            return NULL;
        }
    }
    return search;
}

void chess_search_destroy(chess_search_t *search)
{
    if (!search)
        return;
    free(search->table);
    free(search);
}

uint64_t chess_search_nodes(const chess_search_t *search)
{
    return search->nodes;
}

static bool enter_node(chess_search_t *s)
{
    if (s->limit && s->nodes >= s->limit && s->can_stop)
        s->stopped = true;
    s->nodes++;
    return !s->stopped;
}

static bool is_repetition(const chess_search_t *s, const chess_board_t *board)
{
    unsigned back = board->halfmove < s->path_count - 1 ? board->halfmove : s->path_count - 1;
    for (unsigned i = 4; i <= back; i += 2)
        if (s->path[s->path_count - 1 - i] == board->hash)
            return true;
    return false;
}

/* ---- move order ---- */

static int order_of(const chess_search_t *s, const chess_board_t *board, chess_move_t move,
                    chess_move_t first, unsigned ply)
{
    if (move == first)
        return 1 << 30;
    if (chess_is_capture(board, move) || chess_promotion(move)) {
        int taken =
            chess_value(board->kind_at[chess_to(move)]) + chess_value(chess_promotion(move));
        int gain = taken * 16 - chess_value(board->kind_at[chess_from(move)]) / 16;
        return chess_exchange(board, move) >= 0 ? (1 << 28) + gain : -(1 << 20) + gain;
    }
    if (move == s->killers[ply][0])
        return (1 << 27) + 1;
    if (move == s->killers[ply][1])
        return 1 << 27;
    return (int)s->history[board->side][chess_from(move)][chess_to(move)];
}

static void order_all(const chess_search_t *s, const chess_board_t *board,
                      const chess_move_t *moves, unsigned count, chess_move_t first, unsigned ply,
                      int *orders)
{
    for (unsigned i = 0; i < count; i++)
        orders[i] = order_of(s, board, moves[i], first, ply);
}

/* Brings the best of the moves from `i` on to place `i`; the earlier one of two equals. */
static chess_move_t pick(chess_move_t *moves, int *orders, unsigned count, unsigned i)
{
    unsigned best = i;
    for (unsigned j = i + 1; j < count; j++)
        if (orders[j] > orders[best])
            best = j;
    chess_move_t move = moves[best];
    int order = orders[best];
    memmove(moves + i + 1, moves + i, (best - i) * sizeof *moves);
    memmove(orders + i + 1, orders + i, (best - i) * sizeof *orders);
    moves[i] = move;
    orders[i] = order;
    return move;
}

static void remember_quiet(chess_search_t *s, const chess_board_t *board, chess_move_t move,
                           int depth, unsigned ply)
{
    uint32_t *history = &s->history[board->side][chess_from(move)][chess_to(move)];
    if (s->killers[ply][0] != move) {
        s->killers[ply][1] = s->killers[ply][0];
        s->killers[ply][0] = move;
    }
    *history += (uint32_t)(depth * depth);
    if (*history > 1u << 26)
        *history = 1u << 26;
}

/* ---- the table; mates are kept relative to the position ---- */

static int to_table(int score, unsigned ply)
{
    if (score >= CHESS_MATE_FOUND)
        return score + (int)ply;
    return score <= -CHESS_MATE_FOUND ? score - (int)ply : score;
}

static int from_table(int score, unsigned ply)
{
    if (score >= CHESS_MATE_FOUND)
        return score - (int)ply;
    return score <= -CHESS_MATE_FOUND ? score + (int)ply : score;
}

static void store(chess_search_t *s, uint64_t hash, int score, chess_move_t move, int depth,
                  int bound, unsigned ply)
{
    if (!s->table)
        return;
    s->table[hash & s->mask] = (entry_t){.hash = hash,
                                         .score = (int16_t)to_table(score, ply),
                                         .move = move,
                                         .depth = (uint8_t)depth,
                                         .bound = (uint8_t)bound};
}

/* ---- search ---- */

/* Only captures, promotions and answers to checks, until the position is quiet. */
static int quiesce(chess_search_t *s, const chess_board_t *board, int alpha, int beta, unsigned ply)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    int orders[CHESS_MAX_MOVES];

    if (!enter_node(s))
        return 0;
    bool in_check = chess_checkers(board);
    unsigned count = chess_legal_moves(board, moves);
    if (!count)
        return in_check ? -CHESS_MATE + (int)ply : 0;
    if (chess_is_insufficient(board))
        return 0;

    int best = in_check && ply < CHESS_MAX_DEPTH ? -INFINITE : chess_evaluate(board, s->knowledge);
    if (best >= beta || ply >= CHESS_MAX_DEPTH)
        return best;
    if (best > alpha)
        alpha = best;
    if (!in_check) {
        unsigned kept = 0;
        for (unsigned i = 0; i < count; i++)
            if ((chess_is_capture(board, moves[i]) && !chess_promotion(moves[i])) ||
                chess_promotion(moves[i]) == CHESS_QUEEN)
                moves[kept++] = moves[i];
        count = kept;
    }
    order_all(s, board, moves, count, CHESS_NO_MOVE, ply, orders);
    for (unsigned i = 0; i < count; i++) {
        chess_move_t move = pick(moves, orders, count, i);
        if (!in_check && orders[i] < 0)
            break; /* from here on only captures that lose material */
        chess_board_t next = *board;
        chess_play(&next, move);
        int score = -quiesce(s, &next, -beta, -alpha, ply + 1);
        if (s->stopped)
            return 0;
        if (score > best)
            best = score;
        if (score > alpha)
            alpha = score;
        if (alpha >= beta)
            break;
    }
    return best;
}

static int alpha_beta(chess_search_t *s, const chess_board_t *board, int depth, int alpha, int beta,
                      unsigned ply, bool may_pass);

/* Plays a move and searches behind it. */
static int search_move(chess_search_t *s, const chess_board_t *board, chess_move_t move, int depth,
                       int alpha, int beta, unsigned ply)
{
    chess_board_t next = *board;
    chess_play(&next, move);
    s->path[s->path_count++] = next.hash;
    int score = -alpha_beta(s, &next, depth, -beta, -alpha, ply + 1, true);
    s->path_count--;
    return score;
}

/* Whether doing nothing at all is still too good: then the real moves need no look. Not without
 * pieces, where having to move may be what loses. */
static bool passing_is_enough(chess_search_t *s, const chess_board_t *board, int depth, int beta,
                              unsigned ply)
{
    chess_set_t pieces =
        board->colors[board->side] & ~(board->kinds[CHESS_PAWN] | board->kinds[CHESS_KING]);
    if (!pieces || depth < 3 || beta >= CHESS_MATE_FOUND ||
        chess_evaluate(board, s->knowledge) < beta)
        return false;

    chess_board_t next = *board;
    chess_pass(&next);
    s->path[s->path_count++] = next.hash;
    int score = -alpha_beta(s, &next, depth - 3, -beta, -beta + 1, ply + 1, false);
    s->path_count--;
    return !s->stopped && score >= beta;
}

static int alpha_beta(chess_search_t *s, const chess_board_t *board, int depth, int alpha, int beta,
                      unsigned ply, bool may_pass)
{
    chess_move_t moves[CHESS_MAX_MOVES], first = CHESS_NO_MOVE, best_move = CHESS_NO_MOVE;
    int orders[CHESS_MAX_MOVES], best = -INFINITE, old_alpha = alpha;

    bool in_check = chess_checkers(board);
    if (in_check && ply > 0)
        depth++;
    if (depth <= 0 || ply >= CHESS_MAX_DEPTH)
        return quiesce(s, board, alpha, beta, ply);
    if (!enter_node(s))
        return 0;
    unsigned count = chess_legal_moves(board, moves);
    if (!count)
        return in_check ? -CHESS_MATE + (int)ply : 0;
    if (ply > 0 &&
        (board->halfmove >= 100 || chess_is_insufficient(board) || is_repetition(s, board)))
        return 0;

    entry_t *entry = s->table ? &s->table[board->hash & s->mask] : NULL;
    if (entry && entry->bound && entry->hash == board->hash) {
        int score = from_table(entry->score, ply);
        first = entry->move;
        if (ply > 0 && entry->depth >= depth &&
            (entry->bound == EXACT || (entry->bound == AT_LEAST && score >= beta) ||
             (entry->bound == AT_MOST && score <= alpha)))
            return score;
    }
    if (may_pass && ply > 0 && !in_check && beta - alpha == 1 &&
        passing_is_enough(s, board, depth, beta, ply))
        return beta;
    if (s->stopped)
        return 0;
    if (ply == 0 && s->best != CHESS_NO_MOVE)
        first = s->best;

    order_all(s, board, moves, count, first, ply, orders);
    for (unsigned i = 0; i < count; i++) {
        chess_move_t move = pick(moves, orders, count, i);
        int score = -INFINITE;
        if (i > 0) /* expected to be worse than the first: prove it with the narrowest window */
            score = search_move(s, board, move, depth - 1, alpha, alpha + 1, ply);
        if (i == 0 || (score > alpha && score < beta && !s->stopped))
            score = search_move(s, board, move, depth - 1, alpha, beta, ply);
        if (s->stopped)
            return 0;
        if (score > best) {
            best = score;
            best_move = move;
        }
        if (score > alpha)
            alpha = score;
        if (alpha >= beta) {
            if (!chess_is_capture(board, move))
                remember_quiet(s, board, move, depth, ply);
            break;
        }
    }
    if (ply == 0)
        s->best = best_move;
    store(s, board->hash, best, best_move, depth,
          best >= beta       ? AT_LEAST
          : best > old_alpha ? EXACT
                             : AT_MOST,
          ply);
    return best;
}

chess_found_t chess_search_run(chess_search_t *search, const chess_game_t *game, unsigned depth,
                               uint64_t nodes)
{
    chess_found_t found = {.move = CHESS_NO_MOVE};
    chess_move_t moves[CHESS_MAX_MOVES];

    search->path_count = game->plies + 1;
    memcpy(search->path, game->hashes, search->path_count * sizeof *search->path);
    search->limit = nodes ? search->nodes + nodes : 0;
    search->stopped = false;
    search->best = CHESS_NO_MOVE;
    memset(search->killers, 0, sizeof search->killers);
    memset(search->history, 0, sizeof search->history);

    if (chess_legal_moves(&game->board, moves) == 0) {
        found.score = chess_checkers(&game->board) ? -CHESS_MATE : 0;
        return found;
    }
    for (unsigned d = 1; d <= depth && d <= CHESS_MAX_DEPTH; d++) {
        search->can_stop = d > 1;
        int score = alpha_beta(search, &game->board, (int)d, -INFINITE, INFINITE, 0, true);
        if (search->stopped)
            break;
        found = (chess_found_t){.move = search->best, .score = score, .depth = d};
        int to_mate = CHESS_MATE - (score < 0 ? -score : score);
        if (to_mate <= (int)d)
            break; /* a mate that no deeper look can make shorter */
    }
    return found;
}
