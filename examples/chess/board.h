/* SPDX-License-Identifier: MIT
 *
 * A chess position and what the rules say about it: legal moves, FEN, SAN and UCI.
 *
 * A board is a plain value: copy it to keep a position, there is no unmake. Everything here is a
 * pure function of its arguments, but for constant tables that are filled before main() begins; so
 * it may be used from any thread or process.
 *
 * Squares count from a1 = 0 to h8 = 63, bit n of a set of squares is square n. */
#ifndef CHESS_BOARD_H
#define CHESS_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of squares. */
typedef uint64_t chess_set_t;

/* A move: from | to << 6 | promotion kind << 12 (0 when it is none). Castling is the king's move of
 * two squares. */
typedef uint16_t chess_move_t;

enum { CHESS_WHITE, CHESS_BLACK };
enum { CHESS_PAWN, CHESS_KNIGHT, CHESS_BISHOP, CHESS_ROOK, CHESS_QUEEN, CHESS_KING, CHESS_KINDS };
#define CHESS_EMPTY 7 /* in place of a kind */
enum { CHESS_WHITE_SHORT = 1, CHESS_WHITE_LONG = 2, CHESS_BLACK_SHORT = 4, CHESS_BLACK_LONG = 8 };

#define CHESS_NO_SQUARE 64
#define CHESS_NO_MOVE ((chess_move_t)0)
#define CHESS_MAX_MOVES 256 /* no position has more than 218 */
#define CHESS_FEN_SIZE 128  /* of a formatted FEN with its NUL */
#define CHESS_UCI_SIZE 6    /* "a7a8q" */
#define CHESS_SAN_SIZE 10   /* "Qa1xb2#", "axb8=Q#" */
#define CHESS_START_FEN "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"

typedef struct chess_board {
    chess_set_t kinds[CHESS_KINDS]; /* by kind, both colours */
    chess_set_t colors[2];
    uint64_t hash;             /* kept up to date by chess_play() */
    uint8_t kind_at[64];       /* CHESS_PAWN and so on, or CHESS_EMPTY */
    uint8_t side;              /* to move */
    uint8_t castling;          /* CHESS_WHITE_SHORT and so on */
    uint8_t en_passant;        /* the square that a pawn just jumped over, or CHESS_NO_SQUARE */
    uint8_t en_passant_counts; /* a capture there is legal: only then is it part of the hash */
    uint16_t halfmove;         /* plies since the last capture or pawn move */
    uint16_t fullmove;
} chess_board_t;

static inline unsigned chess_from(chess_move_t move)
{
    return move & 63u;
}

static inline unsigned chess_to(chess_move_t move)
{
    return (move >> 6) & 63u;
}

static inline unsigned chess_promotion(chess_move_t move)
{
    return move >> 12;
}

static inline chess_move_t chess_move(unsigned from, unsigned to, unsigned promotion)
{
    return (chess_move_t)(from | to << 6 | promotion << 12);
}

static inline chess_set_t chess_bit(unsigned square)
{
    return (chess_set_t)1 << square;
}

static inline unsigned chess_lowest(chess_set_t set)
{
    return (unsigned)__builtin_ctzll(set);
}

static inline unsigned chess_count(chess_set_t set)
{
    return (unsigned)__builtin_popcountll(set);
}

/* Takes the lowest square out of a set that is not empty. */
static inline unsigned chess_pop(chess_set_t *set)
{
    unsigned square = chess_lowest(*set);
    *set &= *set - 1;
    return square;
}

static inline chess_set_t chess_pieces(const chess_board_t *board, unsigned color, unsigned kind)
{
    return board->colors[color] & board->kinds[kind];
}

static inline chess_set_t chess_occupied(const chess_board_t *board)
{
    return board->colors[CHESS_WHITE] | board->colors[CHESS_BLACK];
}

static inline unsigned chess_king(const chess_board_t *board, unsigned color)
{
    return chess_lowest(chess_pieces(board, color, CHESS_KING));
}

/* ---- attacks ---- */

/* Squares that a piece of a kind attacks from a square; a pawn needs its colour. */
chess_set_t chess_attacks(unsigned kind, unsigned square, chess_set_t occupied);
chess_set_t chess_pawn_attacks(unsigned color, unsigned square);
/* Squares strictly between two squares on one line; and that whole line; both empty when they share
 * none. */
chess_set_t chess_between(unsigned a, unsigned b);
chess_set_t chess_line(unsigned a, unsigned b);
/* Pieces of both colours that attack a square, as if `occupied` were the squares taken. */
chess_set_t chess_attackers(const chess_board_t *board, unsigned square, chess_set_t occupied);
/* Enemy pieces that give check to the side to move. */
chess_set_t chess_checkers(const chess_board_t *board);

/* ---- moves ---- */

/* Makes a legal move. */
void chess_play(chess_board_t *board, chess_move_t move);
/* Gives the turn away: for searches; only legal when not in check. */
void chess_pass(chess_board_t *board);
/* All legal moves, into room for CHESS_MAX_MOVES; returns how many. The order depends on the
 * position alone. */
unsigned chess_legal_moves(const chess_board_t *board, chess_move_t *moves);
/* Whether the move is one of them. */
bool chess_is_legal(const chess_board_t *board, chess_move_t move);
/* Whether it takes something, en passant included. */
bool chess_is_capture(const chess_board_t *board, chess_move_t move);
/* Number of lines of legal moves that are `depth` long: the usual proof of a move generator. */
uint64_t chess_perft(const chess_board_t *board, unsigned depth);
/* The hash from scratch; board->hash must always equal it. */
uint64_t chess_hash(const chess_board_t *board);
/* Works out board->en_passant_counts and board->hash after the fields have been filled in. */
void chess_complete(chess_board_t *board);
/* Puts a piece on an empty square, without the hash. */
void chess_put(chess_board_t *board, unsigned square, unsigned color, unsigned kind);

/* ---- notation ---- */

/* Reads a FEN of six fields and refuses what cannot arise in a game as far as one can see from the
 * position. On failure `reason` names the field and says what is wrong with it, and the board is
 * not touched. Returns 0 or -1. */
int chess_fen_parse(const char *text, chess_board_t *board, char *reason, size_t reason_size);
/* Writes the FEN and returns `text`. */
char *chess_fen_format(const chess_board_t *board, char text[CHESS_FEN_SIZE]);

/* "e2e4", "a7a8q"; returns `text`. */
char *chess_uci_format(chess_move_t move, char text[CHESS_UCI_SIZE]);
/* A legal move in UCI; returns 0, or -1 if there is no such move. */
int chess_uci_parse(const chess_board_t *board, const char *text, chess_move_t *move);
/* "Nbd7+", "O-O", "exd8=Q#" for a legal move; returns `text`. */
char *chess_san_format(const chess_board_t *board, chess_move_t move, char text[CHESS_SAN_SIZE]);
/* A legal move in SAN as chess_san_format() writes it, with or without + and #; returns 0 or -1. */
int chess_san_parse(const chess_board_t *board, const char *text, chess_move_t *move);

#endif
