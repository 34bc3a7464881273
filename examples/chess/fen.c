/* SPDX-License-Identifier: MIT
 *
 * Forsyth-Edwards Notation: six fields, read strictly. What comes from outside is checked here and
 * nowhere else; the rest of the program relies on it (one king each, rights only with king and rook
 * in place, and so on). */
#include "board.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PLACEMENT, SIDE, CASTLING, EN_PASSANT, HALFMOVE, FULLMOVE, FIELDS };

#define LARGEST_CLOCK 9999u
#define RANK(n) ((chess_set_t)0xFF << (8 * (n)))

static const char *const field_names[FIELDS] = {
    "piece placement", "side to move",   "castling",
    "en passant",      "halfmove clock", "fullmove number",
};
static const char letters[2][CHESS_KINDS + 1] = {"PNBRQK", "pnbrqk"};
static const char *const color_names[2] = {"white", "black"};

typedef struct reader {
    char fields[FIELDS][80];
    bool has_more; /* behind the last field */
    char *reason;
    size_t reason_size;
} reader_t;

/* Writes "field: sentence" and returns -1. */
__attribute__((format(printf, 3, 4))) static int refuse(reader_t *r, int field, const char *format,
                                                        ...)
{
    va_list arguments;
    int used = snprintf(r->reason, r->reason_size, "%s: ", field_names[field]);

    va_start(arguments, format);
    if (used >= 0 && (size_t)used < r->reason_size)
        vsnprintf(r->reason + used, r->reason_size - (size_t)used, format, arguments);
    va_end(arguments);
    return -1;
}

/* A byte as it may be shown in a message. */
static char shown(char c)
{
    return c >= ' ' && c <= '~' ? c : '?';
}

static int split(reader_t *r, const char *text)
{
    const char *blanks = " \t\r\n";

    for (int i = 0; i < FIELDS; i++) {
        text += strspn(text, blanks);
        size_t length = strcspn(text, blanks); /* 0: not there, see require() */
        if (length >= sizeof r->fields[i])
            return refuse(r, i, "too long, %zu characters", length);
        memcpy(r->fields[i], text, length);
        r->fields[i][length] = '\0';
        for (char *c = r->fields[i]; *c; c++)
            *c = shown(*c);
        text += length;
    }
    r->has_more = text[strspn(text, blanks)] != '\0';
    return 0;
}

/* Whether a field is there at all: asked for each once those before it are good. */
static int require(reader_t *r, int field)
{
    if (r->fields[field][0])
        return 0;
    return refuse(r, field, "missing; a FEN has six fields, such as \"%s\"", CHESS_START_FEN);
}

static int read_placement(reader_t *r, chess_board_t *board)
{
    int file = 0, rank = 7;
    bool after_digit = false;

    if (require(r, PLACEMENT) < 0)
        return -1;
    for (const char *c = r->fields[PLACEMENT]; *c; c++) {
        if (*c == '/') {
            if (file != 8)
                return refuse(r, PLACEMENT, "rank %d has %d squares instead of 8", rank + 1, file);
            if (rank == 0)
                return refuse(r, PLACEMENT, "more than 8 ranks");
            rank--;
            file = 0;
            after_digit = false;
            continue;
        }
        if (*c >= '1' && *c <= '8') {
            if (after_digit)
                return refuse(r, PLACEMENT, "two numbers in a row on rank %d", rank + 1);
            file += *c - '0';
            after_digit = true;
        } else {
            const char *white = strchr(letters[CHESS_WHITE], *c),
                       *black = strchr(letters[CHESS_BLACK], *c);
            if (!white && !black)
                return refuse(r, PLACEMENT, "'%c' is no piece (PNBRQK for white, pnbrqk for black)",
                              *c);
            if (file < 8)
                chess_put(board, (unsigned)(rank * 8 + file), white ? CHESS_WHITE : CHESS_BLACK,
                          (unsigned)(white ? white - letters[CHESS_WHITE]
                                           : black - letters[CHESS_BLACK]));
            file++;
            after_digit = false;
        }
        if (file > 8)
            return refuse(r, PLACEMENT, "rank %d has more than 8 squares", rank + 1);
    }
    if (file != 8)
        return refuse(r, PLACEMENT, "rank %d has %d squares instead of 8", rank + 1, file);
    if (rank != 0)
        return refuse(r, PLACEMENT, "%d ranks instead of 8", 8 - rank);
    return 0;
}

static int check_pieces(reader_t *r, const chess_board_t *board)
{
    static const unsigned at_first[CHESS_KINDS] = {8, 2, 2, 2, 1, 1};

    for (unsigned color = 0; color < 2; color++) {
        unsigned kings = chess_count(chess_pieces(board, color, CHESS_KING));
        unsigned pawns = chess_count(chess_pieces(board, color, CHESS_PAWN)), promoted = 0;
        if (kings != 1)
            return refuse(r, PLACEMENT, "%s has %u kings instead of one", color_names[color],
                          kings);
        if (chess_count(board->colors[color]) > 16)
            return refuse(r, PLACEMENT, "%s has more than 16 pieces", color_names[color]);
        if (pawns > 8)
            return refuse(r, PLACEMENT, "%s has %u pawns, more than 8", color_names[color], pawns);
        for (unsigned kind = CHESS_KNIGHT; kind <= CHESS_QUEEN; kind++) {
            unsigned count = chess_count(chess_pieces(board, color, kind));
            promoted += count > at_first[kind] ? count - at_first[kind] : 0;
        }
        if (pawns + promoted > 8)
            return refuse(
                r, PLACEMENT,
                "%s has %u pawns and at least %u promoted pieces, more than 8 pawns can give",
                color_names[color], pawns, promoted);
        if (chess_pieces(board, color, CHESS_PAWN) & (RANK(0) | RANK(7)))
            return refuse(r, PLACEMENT, "%s has a pawn on the first or last rank",
                          color_names[color]);
    }
    return 0;
}

static int read_side(reader_t *r, chess_board_t *board)
{
    const char *text = r->fields[SIDE];
    if (require(r, SIDE) < 0)
        return -1;
    if (strcmp(text, "w") != 0 && strcmp(text, "b") != 0)
        return refuse(r, SIDE, "'%s' is neither w nor b", text);
    board->side = *text == 'w' ? CHESS_WHITE : CHESS_BLACK;
    return 0;
}

static int check_checks(reader_t *r, const chess_board_t *board)
{
    unsigned us = board->side, them = us ^ 1;
    chess_set_t attackers = chess_attackers(board, chess_king(board, them), chess_occupied(board));

    if (attackers & board->colors[us])
        return refuse(r, SIDE, "%s is to move, but %s is in check", color_names[us],
                      color_names[them]);
    if (chess_count(chess_checkers(board)) > 2)
        return refuse(r, SIDE, "%s is in check by more than two pieces", color_names[us]);
    return 0;
}

static int read_castling(reader_t *r, chess_board_t *board)
{
    static const char order[] = "KQkq";
    const char *text = r->fields[CASTLING], *last = order;

    if (require(r, CASTLING) < 0)
        return -1;
    if (strcmp(text, "-") == 0)
        return 0;
    for (const char *c = text; *c; c++) {
        const char *found = strchr(last, *c);
        if (!found)
            return refuse(r, CASTLING, "'%s' is neither - nor some of KQkq in this order", text);
        last = found + 1;

        unsigned which = (unsigned)(found - order), color = which / 2;
        unsigned king = color == CHESS_WHITE ? 4 : 60, rook = which % 2 == 0 ? king + 3 : king - 4;
        if (!(chess_pieces(board, color, CHESS_KING) & chess_bit(king)))
            return refuse(r, CASTLING, "'%c' without the %s king on e%d", *c, color_names[color],
                          color ? 8 : 1);
        if (!(chess_pieces(board, color, CHESS_ROOK) & chess_bit(rook)))
            return refuse(r, CASTLING, "'%c' without a %s rook on %c%d", *c, color_names[color],
                          which % 2 == 0 ? 'h' : 'a', color ? 8 : 1);
        board->castling |= (uint8_t)(1u << which);
    }
    return 0;
}

static int read_en_passant(reader_t *r, chess_board_t *board)
{
    const char *text = r->fields[EN_PASSANT];
    unsigned us = board->side, them = us ^ 1;

    if (require(r, EN_PASSANT) < 0)
        return -1;
    if (strcmp(text, "-") == 0)
        return 0;
    if (strlen(text) != 2 || text[0] < 'a' || text[0] > 'h' || text[1] < '1' || text[1] > '8')
        return refuse(r, EN_PASSANT, "'%s' is neither - nor a square", text);
    if (text[1] != (us == CHESS_WHITE ? '6' : '3'))
        return refuse(r, EN_PASSANT, "'%s' is not on rank %d, though %s is to move", text,
                      us == CHESS_WHITE ? 6 : 3, color_names[us]);

    unsigned square = (unsigned)((text[1] - '1') * 8 + (text[0] - 'a'));
    unsigned to = square ^ 8, from = us == CHESS_WHITE ? square + 8 : square - 8;
    if (!(chess_pieces(board, them, CHESS_PAWN) & chess_bit(to)))
        return refuse(r, EN_PASSANT, "'%s', but no %s pawn has just jumped over it", text,
                      color_names[them]);
    if (chess_occupied(board) & (chess_bit(square) | chess_bit(from)))
        return refuse(r, EN_PASSANT, "'%s', but the way of the %s pawn is not empty", text,
                      color_names[them]);

    /* With the pawn put back, the side that is to move now was not: its king cannot have been in
     * check. */
    chess_board_t before = *board;
    before.kinds[CHESS_PAWN] ^= chess_bit(to) | chess_bit(from);
    before.colors[them] ^= chess_bit(to) | chess_bit(from);
    if (chess_checkers(&before))
        return refuse(r, EN_PASSANT, "'%s', but then %s was in check before the pawn moved", text,
                      color_names[us]);
    board->en_passant = (uint8_t)square;
    return 0;
}

static int read_number(reader_t *r, int field, unsigned least, uint16_t *number)
{
    const char *text = r->fields[field];
    unsigned value = 0;

    if (require(r, field) < 0)
        return -1;
    if (strspn(text, "0123456789") != strlen(text))
        return refuse(r, field, "'%s' is not a number", text);
    if (text[0] == '0' && text[1])
        return refuse(r, field, "'%s' begins with 0", text);
    for (const char *c = text; *c && value <= LARGEST_CLOCK; c++)
        value = value * 10 + (unsigned)(*c - '0');
    if (value < least || value > LARGEST_CLOCK)
        return refuse(r, field, "'%s' is not from %u to %u", text, least, LARGEST_CLOCK);
    *number = (uint16_t)value;
    return 0;
}

int chess_fen_parse(const char *text, chess_board_t *board, char *reason, size_t reason_size)
{
    reader_t reader = {.reason = reason, .reason_size = reason_size};
    chess_board_t made = {.en_passant = CHESS_NO_SQUARE};

    memset(made.kind_at, CHESS_EMPTY, sizeof made.kind_at);
    if (split(&reader, text) || read_placement(&reader, &made) || check_pieces(&reader, &made) ||
        read_side(&reader, &made) || check_checks(&reader, &made) ||
        read_castling(&reader, &made) || read_en_passant(&reader, &made) ||
        read_number(&reader, HALFMOVE, 0, &made.halfmove) ||
        read_number(&reader, FULLMOVE, 1, &made.fullmove))
        return -1;
    if (made.en_passant != CHESS_NO_SQUARE && made.halfmove != 0)
        return refuse(&reader, HALFMOVE, "'%u', but a pawn has just moved (en passant '%s')",
                      made.halfmove, reader.fields[EN_PASSANT]);
    if (reader.has_more)
        return refuse(&reader, FULLMOVE, "something follows it; a FEN has six fields");
    chess_complete(&made);
    *board = made;
    return 0;
}

char *chess_fen_format(const chess_board_t *board, char text[CHESS_FEN_SIZE])
{
    char *out = text;

    for (int rank = 7; rank >= 0; rank--) {
        int empty = 0;
        for (int file = 0; file < 8; file++) {
            unsigned square = (unsigned)(rank * 8 + file), kind = board->kind_at[square];
            if (kind == CHESS_EMPTY) {
                empty++;
                continue;
            }
            if (empty)
                *out++ = (char)('0' + empty);
            empty = 0;
            *out++ = letters[board->colors[CHESS_BLACK] >> square & 1][kind];
        }
        if (empty)
            *out++ = (char)('0' + empty);
        *out++ = rank ? '/' : ' ';
    }
    *out++ = board->side == CHESS_WHITE ? 'w' : 'b';
    *out++ = ' ';
    for (unsigned which = 0; which < 4; which++)
        if (board->castling >> which & 1)
            *out++ = "KQkq"[which];
    if (!board->castling)
        *out++ = '-';
    *out++ = ' ';
    if (board->en_passant == CHESS_NO_SQUARE) {
        *out++ = '-';
    } else {
        *out++ = (char)('a' + board->en_passant % 8);
        *out++ = (char)('1' + board->en_passant / 8);
    }
    snprintf(out, CHESS_FEN_SIZE - (size_t)(out - text), " %u %u", board->halfmove,
             board->fullmove);
    return text;
}
