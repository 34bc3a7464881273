/* SPDX-License-Identifier: MIT
 *
 * King and pawn against king, solved completely: every position is won or drawn, found by repeating
 * "a position is won if some move (of the stronger side) or every move (of the weaker) leads to a
 * won one" until nothing changes. Positions are seen from white having the pawn on files a to d;
 * others are mirrored into these. */
#include "search.h"

#include <stdlib.h>
#include <string.h>

enum { UNKNOWN, DRAWN, WON, IMPOSSIBLE };

/* The weaker king's square, the stronger king's, the pawn's (24 of them), and whether the weaker
 * side is to move. */
static unsigned index_of(unsigned weak, unsigned strong, unsigned pawn, unsigned weak_to_move)
{
    unsigned pawn_index = (pawn / 8 - 1) * 4 + pawn % 8;
    return ((weak_to_move * 24 + pawn_index) * 64 + strong) * 64 + weak;
}

static chess_set_t king_steps(unsigned square)
{
    return chess_attacks(CHESS_KING, square, 0);
}

/* What can be said without looking ahead. */
static uint8_t classify_first(unsigned weak, unsigned strong, unsigned pawn, unsigned weak_to_move)
{
    chess_set_t guarded = king_steps(strong) | chess_pawn_attacks(CHESS_WHITE, pawn);

    if (weak == strong || weak == pawn || strong == pawn || king_steps(strong) & chess_bit(weak))
        return IMPOSSIBLE;
    if (!weak_to_move) {
        if (chess_pawn_attacks(CHESS_WHITE, pawn) & chess_bit(weak))
            return IMPOSSIBLE; /* the side to move could take the king */
        unsigned last = pawn + 8;
        bool safe = !(king_steps(weak) & chess_bit(last)) || king_steps(strong) & chess_bit(last);
        if (pawn / 8 == 6 && strong != last && weak != last && safe)
            return WON; /* promotes, and the queen is not lost at once */
        return UNKNOWN;
    }
    chess_set_t moves = king_steps(weak) & ~guarded;
    if (!moves && !(chess_pawn_attacks(CHESS_WHITE, pawn) & chess_bit(weak)))
        return DRAWN; /* stalemate */
    if (king_steps(weak) & chess_bit(pawn) & ~guarded)
        return DRAWN; /* takes the pawn */
    return UNKNOWN;
}

/* The stronger side has won if one move leads to a won position, drawn if all are drawn. */
static uint8_t classify_strong(const uint8_t *states, unsigned weak, unsigned strong, unsigned pawn)
{
    unsigned seen = 0;
    chess_set_t to = king_steps(strong) & ~chess_bit(pawn);

    while (to) {
        unsigned square = chess_pop(&to);
        if (!(king_steps(weak) & chess_bit(square)))
            seen |= 1u << states[index_of(weak, square, pawn, 1)];
    }
    unsigned one = pawn + 8, two = pawn + 16;
    if (pawn / 8 < 6 && one != strong && one != weak) {
        seen |= 1u << states[index_of(weak, strong, one, 1)];
        if (pawn / 8 == 1 && two != strong && two != weak)
            seen |= 1u << states[index_of(weak, strong, two, 1)];
    }
    if (seen & 1u << WON)
        return WON;
    return seen & 1u << UNKNOWN ? UNKNOWN : DRAWN;
}

static uint8_t classify_weak(const uint8_t *states, unsigned weak, unsigned strong, unsigned pawn)
{
    unsigned seen = 0;
    chess_set_t to =
        king_steps(weak) & ~king_steps(strong) & ~chess_pawn_attacks(CHESS_WHITE, pawn);

    while (to)
        seen |= 1u << states[index_of(chess_pop(&to), strong, pawn, 0)];
    if (seen & 1u << DRAWN)
        return DRAWN;
    return seen & 1u << UNKNOWN ? UNKNOWN : WON;
}

/* One pass over everything that is not known yet; returns how much became known. */
static unsigned sweep(uint8_t *states)
{
    unsigned changed = 0;

    for (unsigned i = 0; i < CHESS_KPK_POSITIONS; i++) {
        if (states[i] != UNKNOWN)
            continue;
        unsigned weak = i % 64, strong = i / 64 % 64, pawn_index = i / 4096 % 24;
        unsigned pawn = (pawn_index / 4 + 1) * 8 + pawn_index % 4;
        states[i] = i / (4096 * 24) ? classify_weak(states, weak, strong, pawn)
                                    : classify_strong(states, weak, strong, pawn);
        changed += states[i] != UNKNOWN;
    }
    return changed;
}

unsigned chess_kpk_make(chess_knowledge_t *knowledge)
{
    uint8_t *states = malloc(CHESS_KPK_POSITIONS);
    unsigned won = 0;

    if (!states)
        return 0;
    for (unsigned i = 0; i < CHESS_KPK_POSITIONS; i++) {
        unsigned pawn_index = i / 4096 % 24;
        states[i] = classify_first(i % 64, i / 64 % 64, (pawn_index / 4 + 1) * 8 + pawn_index % 4,
                                   i / (4096 * 24));
    }
    while (sweep(states))
        continue;

    memset(knowledge, 0, sizeof *knowledge);
    for (unsigned i = 0; i < CHESS_KPK_POSITIONS; i++) {
        if (states[i] == WON) {
            knowledge->won[i / 8] |= (uint8_t)(1u << i % 8);
            won++;
        }
    }
    free(states);
    return won;
}

bool chess_kpk_is_won(const chess_knowledge_t *knowledge, const chess_board_t *board)
{
    unsigned strong_side =
        board->colors[CHESS_WHITE] & board->kinds[CHESS_PAWN] ? CHESS_WHITE : CHESS_BLACK;
    unsigned pawn = chess_lowest(board->kinds[CHESS_PAWN]);
    unsigned strong = chess_king(board, strong_side), weak = chess_king(board, strong_side ^ 1);
    unsigned flip = (strong_side == CHESS_BLACK ? 56u : 0u) ^ (pawn % 8 > 3 ? 7u : 0u);
    unsigned i = index_of(weak ^ flip, strong ^ flip, pawn ^ flip, board->side != strong_side);

    return knowledge->won[i / 8] >> i % 8 & 1;
}
