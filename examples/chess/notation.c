/* SPDX-License-Identifier: MIT
 *
 * Moves as text: UCI ("e7e8q") and standard algebraic notation ("exd8=Q+"). Reading compares with
 * what each legal move would be written as, so that only legal moves are ever read. */
#include "board.h"

#include <string.h>

static const char kind_letters[] = "PNBRQK";

static char *put_square(char *out, unsigned square)
{
    *out++ = (char)('a' + square % 8);
    *out++ = (char)('1' + square / 8);
    return out;
}

char *chess_uci_format(chess_move_t move, char text[CHESS_UCI_SIZE])
{
    char *out = put_square(put_square(text, chess_from(move)), chess_to(move));
    if (chess_promotion(move))
        *out++ = "pnbrqk"[chess_promotion(move)];
    *out = '\0';
    return text;
}

int chess_uci_parse(const chess_board_t *board, const char *text, chess_move_t *move)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(board, moves);
    char uci[CHESS_UCI_SIZE];

    for (unsigned i = 0; i < count; i++) {
        if (strcmp(chess_uci_format(moves[i], uci), text) == 0) {
            *move = moves[i];
            return 0;
        }
    }
    return -1;
}

/* The file, the rank or both, as far as other pieces of the kind could go to the same square. */
static char *put_origin(char *out, const chess_board_t *board, chess_move_t move)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(board, moves), from = chess_from(move);
    bool others = false, same_file = false, same_rank = false;

    for (unsigned i = 0; i < count; i++) {
        unsigned other = chess_from(moves[i]);
        if (other == from || chess_to(moves[i]) != chess_to(move) ||
            board->kind_at[other] != board->kind_at[from])
            continue;
        others = true;
        same_file |= other % 8 == from % 8;
        same_rank |= other / 8 == from / 8;
    }
    if (others && (!same_file || same_rank))
        *out++ = (char)('a' + from % 8);
    if (same_file)
        *out++ = (char)('1' + from / 8);
    return out;
}

static char *put_piece_move(char *out, const chess_board_t *board, chess_move_t move)
{
    unsigned from = chess_from(move), kind = board->kind_at[from];
    bool captures = chess_is_capture(board, move);

    if (kind == CHESS_PAWN) {
        if (captures)
            *out++ = (char)('a' + from % 8);
    } else {
        *out++ = kind_letters[kind];
        if (kind != CHESS_KING)
            out = put_origin(out, board, move);
    }
    if (captures)
        *out++ = 'x';
    out = put_square(out, chess_to(move));
    if (chess_promotion(move)) {
        *out++ = '=';
        *out++ = kind_letters[chess_promotion(move)];
    }
    return out;
}

char *chess_san_format(const chess_board_t *board, chess_move_t move, char text[CHESS_SAN_SIZE])
{
    unsigned from = chess_from(move), to = chess_to(move);
    char *out = text;

    if (board->kind_at[from] == CHESS_KING && (to == from + 2 || from == to + 2)) {
        strcpy(text, to > from ? "O-O" : "O-O-O");
        out += strlen(text);
    } else {
        out = put_piece_move(out, board, move);
    }

    chess_board_t after = *board;
    chess_play(&after, move);
    if (chess_checkers(&after)) {
        chess_move_t replies[CHESS_MAX_MOVES];
        *out++ = chess_legal_moves(&after, replies) ? '+' : '#';
    }
    *out = '\0';
    return text;
}

int chess_san_parse(const chess_board_t *board, const char *text, chess_move_t *move)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(board, moves);
    size_t length = strcspn(text, "+#");

    for (unsigned i = 0; i < count; i++) {
        char san[CHESS_SAN_SIZE];
        chess_san_format(board, moves[i], san);
        size_t plain = strcspn(san, "+#");
        if (plain == length && strncmp(san, text, plain) == 0 &&
            (!text[length] || strcmp(text, san) == 0)) {
            *move = moves[i];
            return 0;
        }
    }
    return -1;
}
