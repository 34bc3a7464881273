/* SPDX-License-Identifier: MIT
 *
 * Legal moves. They are generated legal at once: a mask of squares that answer a check, and for
 * pinned pieces the line to their king; only en passant, where two pawns leave one rank, is tried
 * out on the squares themselves. */
#include "board.h"

#define RANK(n) ((chess_set_t)0xFF << (8 * (n)))

/* What the generation of one position shares. */
typedef struct generation {
    const chess_board_t *board;
    chess_move_t *next;
    unsigned us, them, king;
    chess_set_t occupied;
    chess_set_t checkers;
    chess_set_t targets; /* where a piece other than the king may go */
    chess_set_t pinned;
} generation_t;

static chess_set_t pinned_pieces(const chess_board_t *board, unsigned us, unsigned king,
                                 chess_set_t occupied)
{
    chess_set_t enemies = board->colors[us ^ 1], pinned = 0;
    chess_set_t queens = board->kinds[CHESS_QUEEN];
    chess_set_t snipers =
        chess_attacks(CHESS_BISHOP, king, enemies) & (board->kinds[CHESS_BISHOP] | queens);
    snipers |= chess_attacks(CHESS_ROOK, king, enemies) & (board->kinds[CHESS_ROOK] | queens);
    snipers &= enemies;
    while (snipers) {
        chess_set_t between = chess_between(king, chess_pop(&snipers)) & occupied;
        if (between && !(between & (between - 1)))
            pinned |= between & board->colors[us];
    }
    return pinned;
}

/* The squares that a pinned piece may go to, all for the others. */
static inline chess_set_t freedom(const generation_t *g, unsigned from)
{
    return g->pinned & chess_bit(from) ? chess_line(g->king, from) : ~(chess_set_t)0;
}

static inline void add_all(generation_t *g, unsigned from, chess_set_t targets)
{
    while (targets)
        *g->next++ = chess_move(from, chess_pop(&targets), 0);
}

static void add_piece_moves(generation_t *g)
{
    for (unsigned kind = CHESS_KNIGHT; kind <= CHESS_QUEEN; kind++) {
        for (chess_set_t rest = chess_pieces(g->board, g->us, kind); rest;) {
            unsigned from = chess_pop(&rest);
            add_all(g, from,
                    chess_attacks(kind, from, g->occupied) & g->targets & freedom(g, from));
        }
    }
}

static void add_pawn_moves(generation_t *g)
{
    const chess_board_t *board = g->board;
    bool is_white = g->us == CHESS_WHITE;
    chess_set_t empty = ~g->occupied, enemies = board->colors[g->them];
    chess_set_t last = is_white ? RANK(7) : RANK(0);

    for (chess_set_t rest = chess_pieces(board, g->us, CHESS_PAWN); rest;) {
        unsigned from = chess_pop(&rest);
        chess_set_t at = chess_bit(from);
        chess_set_t one = (is_white ? at << 8 : at >> 8) & empty;
        chess_set_t two = (is_white ? (one & RANK(2)) << 8 : (one & RANK(5)) >> 8) & empty;
        chess_set_t to = one | two | (chess_pawn_attacks(g->us, from) & enemies);

        to &= g->targets & freedom(g, from);
        if (!(to & last)) {
            add_all(g, from, to);
            continue;
        }
        while (to) {
            unsigned square = chess_pop(&to);
            for (unsigned kind = CHESS_QUEEN; kind >= CHESS_KNIGHT; kind--)
                *g->next++ = chess_move(from, square, kind);
        }
    }
}

static void add_en_passant(generation_t *g)
{
    const chess_board_t *board = g->board;
    if (!board->en_passant_counts)
        return;

    unsigned target = board->en_passant, taken = target ^ 8;
    chess_set_t pawns =
        chess_pawn_attacks(g->them, target) & chess_pieces(board, g->us, CHESS_PAWN);
    while (pawns) {
        unsigned from = chess_pop(&pawns);
        chess_set_t after = (g->occupied ^ chess_bit(from) ^ chess_bit(taken)) | chess_bit(target);
        if (!(chess_attackers(board, g->king, after) & board->colors[g->them] & after))
            *g->next++ = chess_move(from, target, 0);
    }
}

static inline bool is_attacked(const generation_t *g, unsigned square, chess_set_t occupied)
{
    return chess_attackers(g->board, square, occupied) & g->board->colors[g->them];
}

static void add_castling(generation_t *g)
{
    unsigned rights = g->us == CHESS_WHITE ? g->board->castling : g->board->castling >> 2;
    unsigned king = g->king;

    if (!rights || g->checkers)
        return;
    if (rights & CHESS_WHITE_SHORT &&
        !(g->occupied & (chess_bit(king + 1) | chess_bit(king + 2))) &&
        !is_attacked(g, king + 1, g->occupied) && !is_attacked(g, king + 2, g->occupied))
        *g->next++ = chess_move(king, king + 2, 0);
    if (rights & CHESS_WHITE_LONG &&
        !(g->occupied & (chess_bit(king - 1) | chess_bit(king - 2) | chess_bit(king - 3))) &&
        !is_attacked(g, king - 1, g->occupied) && !is_attacked(g, king - 2, g->occupied))
        *g->next++ = chess_move(king, king - 2, 0);
}

static void add_king_moves(generation_t *g)
{
    /* the king does not shield the squares behind it */
    chess_set_t without = g->occupied ^ chess_bit(g->king);
    chess_set_t to = chess_attacks(CHESS_KING, g->king, 0) & ~g->board->colors[g->us];
    while (to) {
        unsigned square = chess_pop(&to);
        if (!is_attacked(g, square, without))
            *g->next++ = chess_move(g->king, square, 0);
    }
}

unsigned chess_legal_moves(const chess_board_t *board, chess_move_t *moves)
{
    unsigned us = board->side;
    generation_t g = {
        .board = board,
        .next = moves,
        .us = us,
        .them = us ^ 1,
        .king = chess_king(board, us),
        .occupied = chess_occupied(board),
        .targets = ~board->colors[us],
    };
    g.checkers = chess_attackers(board, g.king, g.occupied) & board->colors[g.them];

    if (!(g.checkers & (g.checkers - 1))) { /* in double check only the king moves */
        g.pinned = pinned_pieces(board, us, g.king, g.occupied);
        if (g.checkers)
            g.targets &= g.checkers | chess_between(g.king, chess_lowest(g.checkers));
        add_pawn_moves(&g);
        add_en_passant(&g);
        add_piece_moves(&g);
        add_castling(&g);
    }
    add_king_moves(&g);
    return (unsigned)(g.next - moves);
}

bool chess_is_legal(const chess_board_t *board, chess_move_t move)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(board, moves);
    for (unsigned i = 0; i < count; i++)
        if (moves[i] == move)
            return true;
    return false;
}

bool chess_is_capture(const chess_board_t *board, chess_move_t move)
{
    unsigned to = chess_to(move);
    return board->kind_at[to] != CHESS_EMPTY ||
           (board->kind_at[chess_from(move)] == CHESS_PAWN && to == board->en_passant);
}

uint64_t chess_perft(const chess_board_t *board, unsigned depth)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    uint64_t lines = 0;

    if (depth == 0)
        return 1;
    unsigned count = chess_legal_moves(board, moves);
    if (depth == 1)
        return count;
    for (unsigned i = 0; i < count; i++) {
        chess_board_t next = *board;
        chess_play(&next, moves[i]);
        lines += chess_perft(&next, depth - 1);
    }
    return lines;
}
