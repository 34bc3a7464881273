/* SPDX-License-Identifier: MIT
 *
 * Material, static exchange and the positional evaluation. Middlegame and endgame values are summed
 * apart and mixed by what is left on the board. The tables of squares come from formulas, filled
 * before main(). */
#include "search.h"

typedef struct value {
    int middle, end;
} value_t;

static const int piece_values[CHESS_EMPTY + 1] = {100, 320, 330, 500, 950, 20000, 0, 0};
static const value_t material[CHESS_KINDS] = {{85, 105},  {320, 300}, {335, 315},
                                              {490, 525}, {960, 950}, {0, 0}};
static const int phase_weights[CHESS_KINDS] = {0, 1, 1, 2, 4, 0};
static const value_t passed_pawn[8] = {{0, 0},   {4, 10},   {8, 18},   {14, 34},
                                       {30, 62}, {55, 110}, {90, 170}, {0, 0}};
enum { FULL_PHASE = 24, TEMPO = 10 };

static value_t squares[CHESS_KINDS][64]; /* as white sees them */
static chess_set_t files[8], neighbours[8];
/* What a pawn must pass: its file and the two beside it, ahead of it. */
static chess_set_t front_span[2][64];

static value_t square_value(unsigned kind, int file, int rank)
{
    static const int central[8] = {0, 1, 2, 3, 3, 2, 1, 0};
    static const int pawn_end[8] = {0, 0, 4, 12, 25, 42, 65, 0};
    static const int king_home[8] = {22, 30, 8, -4, 0, -4, 30, 22};
    int f = central[file], c = f + central[rank];

    switch (kind) {
    case CHESS_PAWN:
        return (value_t){(rank - 1) * (2 + 2 * f) + (f == 3 && rank == 3 ? 12 : 0) -
                             (f == 3 && rank == 1 ? 12 : 0),
                         pawn_end[rank]};
    case CHESS_KNIGHT:
        return (value_t){-40 + 10 * c, -30 + 7 * c};
    case CHESS_BISHOP:
        return (value_t){-15 + 5 * c - (rank == 0 ? 8 : 0), -10 + 4 * c};
    case CHESS_ROOK:
        return (value_t){-6 + 4 * f + (rank == 6 ? 18 : 0), rank == 6 ? 15 : 0};
    case CHESS_QUEEN:
        return (value_t){-6 + 2 * c, -20 + 6 * c};
    default:
        return (value_t){rank == 0 ? king_home[file] : -10 - 14 * rank, -30 + 11 * c};
    }
}

__attribute__((constructor)) static void fill_squares(void)
{
    for (int square = 0; square < 64; square++) {
        int file = square % 8, rank = square / 8;
        for (unsigned kind = 0; kind < CHESS_KINDS; kind++)
            squares[kind][square] = square_value(kind, file, rank);
        files[file] |= chess_bit((unsigned)square);
    }
    for (int file = 0; file < 8; file++)
        neighbours[file] = (file > 0 ? files[file - 1] : 0) | (file < 7 ? files[file + 1] : 0);
    for (unsigned square = 0; square < 64; square++) {
        chess_set_t span = files[square % 8] | neighbours[square % 8];
        unsigned rank = square / 8;
        front_span[CHESS_WHITE][square] =
            rank == 7 ? 0 : span & ~(chess_set_t)0 << (8 * (rank + 1));
        front_span[CHESS_BLACK][square] = span & (((chess_set_t)1 << (8 * rank)) - 1);
    }
}

int chess_value(unsigned kind)
{
    return piece_values[kind];
}

int chess_material(const chess_board_t *board)
{
    int sum = 0;
    for (unsigned kind = CHESS_PAWN; kind <= CHESS_QUEEN; kind++)
        sum += piece_values[kind] * ((int)chess_count(chess_pieces(board, board->side, kind)) -
                                     (int)chess_count(chess_pieces(board, board->side ^ 1, kind)));
    return sum;
}

/* The least valuable piece of a colour among some; *kind says which it is. The set is not empty. */
static chess_set_t least_valuable(const chess_board_t *board, chess_set_t set, unsigned *kind)
{
    for (*kind = CHESS_PAWN; *kind < CHESS_KING; ++*kind)
        if (set & board->kinds[*kind])
            break;
    set &= board->kinds[*kind];
    return set & -set;
}

int chess_exchange(const chess_board_t *board, chess_move_t move)
{
    unsigned from = chess_from(move), to = chess_to(move), promotion = chess_promotion(move);
    unsigned side = board->side, standing = promotion ? promotion : board->kind_at[from];
    chess_set_t occupied = chess_occupied(board) & ~chess_bit(from);
    int gains[40], depth = 0;

    gains[0] = piece_values[board->kind_at[to]];
    if (promotion)
        gains[0] += piece_values[promotion] - piece_values[CHESS_PAWN];
    if (board->kind_at[to] == CHESS_EMPTY && chess_is_capture(board, move)) {
        gains[0] = piece_values[CHESS_PAWN];
        occupied &= ~chess_bit(to ^ 8);
    }
    occupied |= chess_bit(to);
    for (;;) {
        side ^= 1;
        chess_set_t attackers = chess_attackers(board, to, occupied) & occupied & ~chess_bit(to);
        chess_set_t ours = attackers & board->colors[side];
        unsigned kind;
        if (!ours || depth + 1 >= (int)(sizeof gains / sizeof *gains))
            break;
        chess_set_t taker = least_valuable(board, ours, &kind);
        if (kind == CHESS_KING && attackers & board->colors[side ^ 1])
            break; /* a king cannot take what is protected */
        depth++;
        gains[depth] = piece_values[standing] - gains[depth - 1];
        standing = kind;
        occupied &= ~taker;
    }
    for (; depth > 0; depth--)
        if (-gains[depth] < gains[depth - 1])
            gains[depth - 1] = -gains[depth];
    return gains[0];
}

static void add(value_t *sum, value_t value)
{
    sum->middle += value.middle;
    sum->end += value.end;
}

static value_t evaluate_pawns(const chess_board_t *board, unsigned us)
{
    chess_set_t ours = chess_pieces(board, us, CHESS_PAWN);
    chess_set_t theirs = chess_pieces(board, us ^ 1, CHESS_PAWN);
    value_t sum = {0, 0};

    for (chess_set_t rest = ours; rest;) {
        unsigned square = chess_pop(&rest), file = square % 8;
        unsigned rank = us == CHESS_WHITE ? square / 8 : 7 - square / 8;
        bool is_last = !(front_span[us][square] & files[file] & ours);
        if (!(neighbours[file] & ours))
            add(&sum, (value_t){-10, -14});
        if (!is_last)
            add(&sum, (value_t){-8, -18});
        if (is_last && !(front_span[us][square] & theirs))
            add(&sum, passed_pawn[rank]);
    }
    return sum;
}

/* Pawns before a castled king, and open files beside it. */
static int evaluate_shelter(const chess_board_t *board, unsigned us)
{
    chess_set_t pawns = chess_pieces(board, us, CHESS_PAWN);
    unsigned king = chess_king(board, us);
    chess_set_t near = chess_attacks(CHESS_KING, king, 0);
    chess_set_t shield =
        (near | (us == CHESS_WHITE ? near << 8 : near >> 8)) & front_span[us][king];
    int sum = 9 * (int)chess_count(shield & pawns);

    for (int file = (int)(king % 8) - 1; file <= (int)(king % 8) + 1; file++)
        if (file >= 0 && file < 8 && !(files[file] & pawns))
            sum -= 14;
    return sum;
}

static value_t evaluate_piece(const chess_board_t *board, unsigned us, unsigned kind,
                              unsigned square)
{
    static const value_t per_move[CHESS_KINDS] = {{0, 0}, {4, 4}, {4, 5}, {2, 4}, {1, 2}, {0, 0}};
    static const int usual[CHESS_KINDS] = {0, 4, 6, 7, 13, 0};
    value_t sum = {0, 0};
    chess_set_t pawns = board->kinds[CHESS_PAWN], file = files[square % 8];
    chess_set_t reach = chess_attacks(kind, square, chess_occupied(board)) & ~board->colors[us];
    int moves = (int)chess_count(reach) - usual[kind];

    add(&sum, (value_t){moves * per_move[kind].middle, moves * per_move[kind].end});
    if (kind == CHESS_ROOK && !(file & pawns & board->colors[us]))
        add(&sum, file & pawns ? (value_t){10, 5} : (value_t){22, 10});
    return sum;
}

static value_t evaluate_side(const chess_board_t *board, unsigned us, int *phase)
{
    value_t sum = evaluate_pawns(board, us);

    for (unsigned kind = CHESS_PAWN; kind < CHESS_KINDS; kind++) {
        for (chess_set_t rest = chess_pieces(board, us, kind); rest;) {
            unsigned square = chess_pop(&rest);
            add(&sum, material[kind]);
            add(&sum, squares[kind][us == CHESS_WHITE ? square : square ^ 56]);
            if (kind != CHESS_PAWN && kind != CHESS_KING)
                add(&sum, evaluate_piece(board, us, kind, square));
            *phase += phase_weights[kind];
        }
    }
    if (chess_count(chess_pieces(board, us, CHESS_BISHOP)) >= 2)
        add(&sum, (value_t){28, 42});
    sum.middle += evaluate_shelter(board, us);
    return sum;
}

/* With a bare king left, it should be driven to the edge and the other king come near. */
static int drive_home(const chess_board_t *board, unsigned loser)
{
    int a = (int)chess_king(board, loser), b = (int)chess_king(board, loser ^ 1);
    int file = a % 8, rank = a / 8;
    int files_apart = file > b % 8 ? file - b % 8 : b % 8 - file;
    int ranks_apart = rank > b / 8 ? rank - b / 8 : b / 8 - rank;
    int edge = (file > 3 ? file - 4 : 3 - file) + (rank > 3 ? rank - 4 : 3 - rank);

    return 20 * edge + 6 * (14 - files_apart - ranks_apart);
}

int chess_evaluate(const chess_board_t *board, const chess_knowledge_t *knowledge)
{
    unsigned us = board->side, them = us ^ 1;
    int phase = 0;

    if (chess_is_insufficient(board))
        return 0;
    if (chess_count(chess_occupied(board)) == 3 && board->kinds[CHESS_PAWN]) {
        bool is_ours = board->kinds[CHESS_PAWN] & board->colors[us];
        unsigned square = chess_lowest(board->kinds[CHESS_PAWN]);
        int rank = (int)((is_ours ? us : them) == CHESS_WHITE ? square / 8 : 7 - square / 8);
        if (!chess_kpk_is_won(knowledge, board))
            return 0;
        return is_ours ? 500 + 20 * rank : -500 - 20 * rank;
    }

    value_t ours = evaluate_side(board, us, &phase), theirs = evaluate_side(board, them, &phase);
    if (phase > FULL_PHASE)
        phase = FULL_PHASE;
    int score =
        ((ours.middle - theirs.middle) * phase + (ours.end - theirs.end) * (FULL_PHASE - phase)) /
        FULL_PHASE;
    if (chess_count(board->colors[them]) == 1)
        score += drive_home(board, them);
    if (chess_count(board->colors[us]) == 1)
        score -= drive_home(board, us);
    return score + TEMPO;
}
