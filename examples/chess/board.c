/* SPDX-License-Identifier: MIT
 *
 * Attacks, hashing and making of moves; see board.h.
 * The tables are filled by a constructor before main(), so that forked processes share them;
 * constant afterwards. */
#include "board.h"

/* Directions, the first four towards higher squares: their nearest blocker is the lowest bit. */
enum { NORTH, EAST, NORTH_EAST, NORTH_WEST, SOUTH, WEST, SOUTH_WEST, SOUTH_EAST, DIRECTIONS };

static const int steps[DIRECTIONS][2] = {{0, 1},  {1, 0},  {1, 1},   {-1, 1},
                                         {0, -1}, {-1, 0}, {-1, -1}, {1, -1}};

static chess_set_t rays[DIRECTIONS][64];
static chess_set_t knight_table[64];
static chess_set_t king_table[64];
static chess_set_t pawn_table[2][64];
static chess_set_t between_table[64][64];
static chess_set_t line_table[64][64];

static uint64_t piece_keys[2][CHESS_KINDS][64];
static uint64_t castling_keys[16];
static uint64_t en_passant_keys[8];
static uint64_t side_key;

/* Castling rights that survive a move from or to a square. */
static uint8_t rights_kept[64];

static chess_set_t square_at(int file, int rank)
{
    return file < 0 || file > 7 || rank < 0 || rank > 7 ? 0
                                                        : chess_bit((unsigned)(rank * 8 + file));
}

/* splitmix64: the same keys in every process and every run. */
static uint64_t next_key(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void fill_steps(int square)
{
    int file = square % 8, rank = square / 8;
    for (int d = 0; d < DIRECTIONS; d++) {
        king_table[square] |= square_at(file + steps[d][0], rank + steps[d][1]);
        for (int n = 1; n < 8; n++)
            rays[d][square] |= square_at(file + n * steps[d][0], rank + n * steps[d][1]);
    }
    for (int a = -2; a <= 2; a++)
        for (int b = -2; b <= 2; b++)
            if (a * a + b * b == 5)
                knight_table[square] |= square_at(file + a, rank + b);
    pawn_table[CHESS_WHITE][square] = square_at(file - 1, rank + 1) | square_at(file + 1, rank + 1);
    pawn_table[CHESS_BLACK][square] = square_at(file - 1, rank - 1) | square_at(file + 1, rank - 1);
}

__attribute__((constructor)) static void fill_tables(void)
{
    uint64_t state = 0x6D756C74696E6F64u;

    for (int square = 0; square < 64; square++)
        fill_steps(square);
    for (unsigned a = 0; a < 64; a++) {
        for (int d = 0; d < DIRECTIONS; d++) {
            for (chess_set_t rest = rays[d][a]; rest;) {
                unsigned b = chess_pop(&rest);
                between_table[a][b] = rays[d][a] & rays[(d + 4) % DIRECTIONS][b];
                line_table[a][b] = rays[d][a] | rays[(d + 4) % DIRECTIONS][a] | chess_bit(a);
            }
        }
        rights_kept[a] = 15;
    }
    rights_kept[0] &= (uint8_t)~CHESS_WHITE_LONG;
    rights_kept[4] &= (uint8_t) ~(CHESS_WHITE_SHORT | CHESS_WHITE_LONG);
    rights_kept[7] &= (uint8_t)~CHESS_WHITE_SHORT;
    rights_kept[56] &= (uint8_t)~CHESS_BLACK_LONG;
    rights_kept[60] &= (uint8_t) ~(CHESS_BLACK_SHORT | CHESS_BLACK_LONG);
    rights_kept[63] &= (uint8_t)~CHESS_BLACK_SHORT;

    for (int color = 0; color < 2; color++)
        for (int kind = 0; kind < CHESS_KINDS; kind++)
            for (int square = 0; square < 64; square++)
                piece_keys[color][kind][square] = next_key(&state);
    for (int i = 0; i < 16; i++)
        castling_keys[i] = next_key(&state);
    for (int i = 0; i < 8; i++)
        en_passant_keys[i] = next_key(&state);
    side_key = next_key(&state);
}

static inline chess_set_t ray_up(int direction, unsigned square, chess_set_t occupied)
{
    chess_set_t ray = rays[direction][square];
    chess_set_t blockers = ray & occupied;
    return blockers ? ray ^ rays[direction][chess_lowest(blockers)] : ray;
}

static inline chess_set_t ray_down(int direction, unsigned square, chess_set_t occupied)
{
    chess_set_t ray = rays[direction][square];
    chess_set_t blockers = ray & occupied;
    return blockers ? ray ^ rays[direction][63 - __builtin_clzll(blockers)] : ray;
}

static inline chess_set_t bishop_attacks(unsigned square, chess_set_t occupied)
{
    return ray_up(NORTH_EAST, square, occupied) | ray_up(NORTH_WEST, square, occupied) |
           ray_down(SOUTH_EAST, square, occupied) | ray_down(SOUTH_WEST, square, occupied);
}

static inline chess_set_t rook_attacks(unsigned square, chess_set_t occupied)
{
    return ray_up(NORTH, square, occupied) | ray_up(EAST, square, occupied) |
           ray_down(SOUTH, square, occupied) | ray_down(WEST, square, occupied);
}

chess_set_t chess_attacks(unsigned kind, unsigned square, chess_set_t occupied)
{
    switch (kind) {
    case CHESS_KNIGHT:
        return knight_table[square];
    case CHESS_BISHOP:
        return bishop_attacks(square, occupied);
    case CHESS_ROOK:
        return rook_attacks(square, occupied);
    case CHESS_QUEEN:
        return bishop_attacks(square, occupied) | rook_attacks(square, occupied);
    case CHESS_KING:
        return king_table[square];
    default:
        return 0;
    }
}

chess_set_t chess_pawn_attacks(unsigned color, unsigned square)
{
    return pawn_table[color][square];
}

chess_set_t chess_between(unsigned a, unsigned b)
{
    return between_table[a][b];
}

chess_set_t chess_line(unsigned a, unsigned b)
{
    return line_table[a][b];
}

chess_set_t chess_attackers(const chess_board_t *board, unsigned square, chess_set_t occupied)
{
    const chess_set_t *kinds = board->kinds;
    chess_set_t diagonal = kinds[CHESS_BISHOP] | kinds[CHESS_QUEEN];
    chess_set_t straight = kinds[CHESS_ROOK] | kinds[CHESS_QUEEN];
    chess_set_t set =
        (knight_table[square] & kinds[CHESS_KNIGHT]) | (king_table[square] & kinds[CHESS_KING]);

    set |= pawn_table[CHESS_BLACK][square] & chess_pieces(board, CHESS_WHITE, CHESS_PAWN);
    set |= pawn_table[CHESS_WHITE][square] & chess_pieces(board, CHESS_BLACK, CHESS_PAWN);
    set |= bishop_attacks(square, occupied) & diagonal;
    set |= rook_attacks(square, occupied) & straight;
    return set & occupied;
}

chess_set_t chess_checkers(const chess_board_t *board)
{
    unsigned king = chess_king(board, board->side);
    return chess_attackers(board, king, chess_occupied(board)) & board->colors[board->side ^ 1];
}

void chess_put(chess_board_t *board, unsigned square, unsigned color, unsigned kind)
{
    board->kinds[kind] |= chess_bit(square);
    board->colors[color] |= chess_bit(square);
    board->kind_at[square] = (uint8_t)kind;
}

static inline void add_piece(chess_board_t *board, unsigned square, unsigned color, unsigned kind)
{
    chess_put(board, square, color, kind);
    board->hash ^= piece_keys[color][kind][square];
}

static inline void take_piece(chess_board_t *board, unsigned square, unsigned color)
{
    unsigned kind = board->kind_at[square];
    board->kinds[kind] ^= chess_bit(square);
    board->colors[color] ^= chess_bit(square);
    board->kind_at[square] = CHESS_EMPTY;
    board->hash ^= piece_keys[color][kind][square];
}

/* Whether some pawn of the side to move may legally capture on the en passant square. Two positions
 * that differ only in a capture that nobody can make are the same position for the rule of
 * repetition. */
static bool en_passant_is_possible(const chess_board_t *board)
{
    unsigned us = board->side, them = us ^ 1, target = board->en_passant;
    if (target == CHESS_NO_SQUARE)
        return false;

    unsigned taken = target ^ 8;
    chess_set_t pawns = pawn_table[them][target] & chess_pieces(board, us, CHESS_PAWN);
    while (pawns) {
        unsigned from = chess_pop(&pawns);
        chess_set_t after =
            (chess_occupied(board) ^ chess_bit(from) ^ chess_bit(taken)) | chess_bit(target);
        if (!(chess_attackers(board, chess_king(board, us), after) & board->colors[them] & after))
            return true;
    }
    return false;
}

static inline void set_en_passant(chess_board_t *board, unsigned square)
{
    board->en_passant = (uint8_t)square;
    board->en_passant_counts = en_passant_is_possible(board);
    if (board->en_passant_counts)
        board->hash ^= en_passant_keys[square & 7];
}

static inline void clear_en_passant(chess_board_t *board)
{
    if (board->en_passant_counts)
        board->hash ^= en_passant_keys[board->en_passant & 7];
    board->en_passant = CHESS_NO_SQUARE;
    board->en_passant_counts = false;
}

static inline void turn(chess_board_t *board)
{
    board->side ^= 1;
    board->hash ^= side_key;
}

/* The rook's part of castling, told by the king's target square. */
static void move_rook(chess_board_t *board, unsigned us, unsigned king_to)
{
    bool is_short = (king_to & 7) == 6;
    unsigned from = is_short ? king_to + 1 : king_to - 2;
    unsigned to = is_short ? king_to - 1 : king_to + 1;
    take_piece(board, from, us);
    add_piece(board, to, us, CHESS_ROOK);
}

void chess_play(chess_board_t *board, chess_move_t move)
{
    unsigned from = chess_from(move), to = chess_to(move), promotion = chess_promotion(move);
    unsigned us = board->side, them = us ^ 1, kind = board->kind_at[from];
    bool is_en_passant = kind == CHESS_PAWN && to == board->en_passant;

    clear_en_passant(board);
    board->halfmove++;
    if (board->kind_at[to] != CHESS_EMPTY) {
        take_piece(board, to, them);
        board->halfmove = 0;
    }
    take_piece(board, from, us);
    add_piece(board, to, us, promotion ? promotion : kind);

    board->hash ^= castling_keys[board->castling];
    board->castling &= rights_kept[from] & rights_kept[to];
    board->hash ^= castling_keys[board->castling];

    if (us == CHESS_BLACK)
        board->fullmove++;
    turn(board);
    if (kind == CHESS_PAWN) {
        board->halfmove = 0;
        if (is_en_passant)
            take_piece(board, to ^ 8, them);
        else if ((from ^ to) == 16)
            set_en_passant(board, (from + to) / 2);
    } else if (kind == CHESS_KING && (from - to == 2 || to - from == 2)) {
        move_rook(board, us, to);
    }
}

void chess_pass(chess_board_t *board)
{
    clear_en_passant(board);
    board->halfmove++;
    turn(board);
}

uint64_t chess_hash(const chess_board_t *board)
{
    uint64_t hash = castling_keys[board->castling];
    for (unsigned color = 0; color < 2; color++)
        for (chess_set_t rest = board->colors[color]; rest;) {
            unsigned square = chess_pop(&rest);
            hash ^= piece_keys[color][board->kind_at[square]][square];
        }
    if (en_passant_is_possible(board))
        hash ^= en_passant_keys[board->en_passant & 7];
    return board->side == CHESS_BLACK ? hash ^ side_key : hash;
}

void chess_complete(chess_board_t *board)
{
    board->en_passant_counts = en_passant_is_possible(board);
    board->hash = chess_hash(board);
}
