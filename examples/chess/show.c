/* SPDX-License-Identifier: MIT
 *
 * Printing of boards, candidates and JSON, in the driver's process only. */
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const unicode_pieces[2][CHESS_KINDS] = {
    {"\u2659", "\u2658", "\u2657", "\u2656", "\u2655", "\u2654"},
    {"\u265F", "\u265E", "\u265D", "\u265C", "\u265B", "\u265A"},
};
static const char *const ascii_pieces[2][CHESS_KINDS] = {{"P", "N", "B", "R", "Q", "K"},
                                                         {"p", "n", "b", "r", "q", "k"}};

static void show_square(const options_t *options, const chess_board_t *board, unsigned square,
                        bool is_marked)
{
    unsigned kind = board->kind_at[square], color = board->colors[CHESS_BLACK] >> square & 1;
    bool is_light = (square / 8 + square % 8) % 2 == 1;

    if (options->color) {
        /* with a background the solid shapes read best for both colours */
        const char *piece = kind == CHESS_EMPTY ? " "
                            : options->unicode  ? unicode_pieces[CHESS_BLACK][kind]
                                                : ascii_pieces[color][kind];
        static const int backgrounds[2][2] = {{137, 180}, {143, 186}};
        printf("\033[48;5;%dm\033[38;5;%dm%s \033[0m", backgrounds[is_marked][is_light],
               color == CHESS_WHITE ? 231 : 16, piece);
        return;
    }
    const char *piece = kind == CHESS_EMPTY ? "."
                        : options->unicode  ? unicode_pieces[color][kind]
                                            : ascii_pieces[color][kind];
    printf("%s%s", piece, square % 8 == 7 ? "" : " ");
}

void show_board(const options_t *options, const chess_board_t *board, chess_move_t last)
{
    for (int rank = 7; rank >= 0; rank--) {
        printf("  %d  ", rank + 1);
        for (unsigned file = 0; file < 8; file++) {
            unsigned square = (unsigned)rank * 8 + file;
            bool is_marked =
                last != CHESS_NO_MOVE && (square == chess_from(last) || square == chess_to(last));
            show_square(options, board, square, is_marked);
        }
        putchar('\n');
    }
    puts("     a b c d e f g h");
}

/* "+0.35", or "#3" for a mate in three moves of the mover's own, "#-2" for being mated in two. */
static const char *format_score(int score, char text[16])
{
    if (score >= CHESS_MATE_FOUND)
        snprintf(text, 16, "#%d", (CHESS_MATE - score + 1) / 2);
    else if (score <= -CHESS_MATE_FOUND)
        snprintf(text, 16, "#-%d", (CHESS_MATE + score) / 2);
    else
        snprintf(text, 16, "%s%d.%02d", score < 0 ? "-" : "+", abs(score) / 100, abs(score) % 100);
    return text;
}

static uint64_t per_second(uint64_t nodes, uint64_t microseconds)
{
    return microseconds ? (uint64_t)((double)nodes * 1e6 / (double)microseconds) : 0;
}

static uint64_t nodes_of(const record_move_t *move)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < move->candidate_count; i++)
        sum += move->candidates[i].nodes;
    return sum;
}

/* The position before move number `index`. */
static chess_board_t board_before(const record_t *record, unsigned index)
{
    chess_board_t board = record->first;
    for (unsigned i = 0; i < index; i++)
        chess_play(&board, record->moves[i].candidates[record->moves[i].chosen].move);
    return board;
}

void show_move(const options_t *options, const record_t *record, unsigned index)
{
    const record_move_t *move = &record->moves[index];
    const chess_candidate_t *chosen = &move->candidates[move->chosen];
    chess_board_t before = board_before(record, index), after = before;
    char san[CHESS_SAN_SIZE], uci[CHESS_UCI_SIZE], own[16], common[16];

    chess_play(&after, chosen->move);
    printf("\n%u%s %s  (%s)  by %s, %s; %" PRIu64 " nodes, %" PRIu64 " nodes/s\n\n",
           before.fullmove, before.side == CHESS_WHITE ? "." : "...",
           chess_san_format(&before, chosen->move, san), chess_uci_format(chosen->move, uci),
           chess_strategy_name(chosen->strategy), format_score(chosen->measure, common),
           nodes_of(move), per_second(nodes_of(move), move->microseconds));
    show_board(options, &after, chosen->move);
    puts("\n     strategy    move     own eval  measure  depth       nodes     nodes/s");
    for (unsigned i = 0; i < move->candidate_count; i++) {
        const chess_candidate_t *c = &move->candidates[i];
        const char *mark = i == move->chosen ? "->" : c->move == chosen->move ? "=" : "";
        printf("  %-2s %-11s %-8s %8s %8s %6u %11" PRIu64 " %11" PRIu64 "\n", mark,
               chess_strategy_name(c->strategy), chess_san_format(&before, c->move, san),
               format_score(c->evaluation, own), format_score(c->measure, common),
               (unsigned)c->depth, c->nodes, per_second(c->nodes, c->microseconds));
    }
    fflush(stdout);
}

void show_summary(const record_t *record)
{
    static const char *const sides[2] = {"White", "Black"};
    chess_outcome_t outcome = chess_game_outcome(&record->game);
    const chess_board_t *board = &record->game.board;
    char fen[CHESS_FEN_SIZE];
    uint64_t nodes = 0;

    for (unsigned i = 0; i < record->game.plies; i++)
        nodes += nodes_of(&record->moves[i]);
    printf("\n%u move%s, %" PRIu64 " nodes. ", record->game.plies,
           record->game.plies == 1 ? "" : "s", nodes);
    switch (outcome) {
    case CHESS_ONGOING:
        printf("%s is to move: ", sides[board->side]);
        break;
    case CHESS_CHECKMATE:
        printf("%s: checkmate, %s wins: ", chess_score(board, outcome), sides[board->side ^ 1]);
        break;
    case CHESS_STALEMATE:
        printf("%s: stalemate, %s has no legal move: ", chess_score(board, outcome),
               sides[board->side]);
        break;
    default:
        printf("%s: draw by %s: ", chess_score(board, outcome), chess_outcome_name(outcome));
        break;
    }
    printf("%s\n", chess_fen_format(board, fen));
    fflush(stdout);
}

/* ---- JSON ---- */

static void print_string(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

/* Calls `print` for every move with the position before it, with commas between. */
static void print_moves(const char *name, const record_t *record,
                        void (*print)(const chess_board_t *board, const record_move_t *move))
{
    chess_board_t board = record->first;
    printf(",\"%s\":[", name);
    for (unsigned i = 0; i < record->game.plies; i++) {
        const record_move_t *move = &record->moves[i];
        if (i > 0)
            putchar(',');
        print(&board, move);
        chess_play(&board, move->candidates[move->chosen].move);
    }
    putchar(']');
}

static void print_uci(const chess_board_t *board, const record_move_t *move)
{
    char text[CHESS_UCI_SIZE];
    (void)board;
    printf("\"%s\"", chess_uci_format(move->candidates[move->chosen].move, text));
}

static void print_san(const chess_board_t *board, const record_move_t *move)
{
    char text[CHESS_SAN_SIZE];
    printf("\"%s\"", chess_san_format(board, move->candidates[move->chosen].move, text));
}

static void print_chosen(const chess_board_t *board, const record_move_t *move)
{
    const chess_candidate_t *c = &move->candidates[move->chosen];
    (void)board;
    printf("{\"strategy\":\"%s\",\"measure\":%d,\"nodes\":%" PRIu64 ",\"nodes_per_second\":%" PRIu64
           "}",
           chess_strategy_name(c->strategy), (int)c->measure, nodes_of(move),
           per_second(nodes_of(move), move->microseconds));
}

static void print_candidates(const chess_board_t *board, const record_move_t *move)
{
    char uci[CHESS_UCI_SIZE], san[CHESS_SAN_SIZE];
    putchar('[');
    for (unsigned i = 0; i < move->candidate_count; i++) {
        const chess_candidate_t *c = &move->candidates[i];
        printf("%s{\"strategy\":\"%s\",\"uci\":\"%s\",\"san\":\"%s\",\"evaluation\":%d,\"measure\":"
               "%d,\"depth\":%u,"
               "\"nodes\":%" PRIu64 ",\"nodes_per_second\":%" PRIu64 "}",
               i > 0 ? "," : "", chess_strategy_name(c->strategy), chess_uci_format(c->move, uci),
               chess_san_format(board, c->move, san), (int)c->evaluation, (int)c->measure,
               (unsigned)c->depth, c->nodes, per_second(c->nodes, c->microseconds));
    }
    putchar(']');
}

void show_json(const options_t *options, const record_t *record, const char *status,
               const char *error)
{
    chess_outcome_t outcome = chess_game_outcome(&record->game);
    char fen[CHESS_FEN_SIZE];

    printf("{\"fen\":\"%s\"", chess_fen_format(&record->first, fen));
    print_moves("moves", record, print_uci);
    print_moves("san", record, print_san);
    print_moves("chosen", record, print_chosen);
    print_moves("candidates", record, print_candidates);
    printf(",\"strategies\":[");
    for (unsigned i = 0; i < options->strategy_count; i++)
        printf("%s\"%s\"", i > 0 ? "," : "", chess_strategy_name(options->strategies[i]));
    printf("],\"nodes\":%" PRIu64
           ",\"final_fen\":\"%s\",\"result\":\"%s\",\"reason\":\"%s\",\"status\":\"%s\","
           "\"error\":",
           options->nodes, chess_fen_format(&record->game.board, fen),
           chess_score(&record->game.board, outcome), chess_outcome_name(outcome), status);
    if (error)
        print_string(error);
    else
        fputs("null", stdout);
    puts("}");
    fflush(stdout);
}
