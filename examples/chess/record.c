/* SPDX-License-Identifier: MIT
 *
 * Writing and reading the record of a game; the format is in record.h. */
#include "record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void record_begin(record_t *record, const chess_board_t *first)
{
    record->first = *first;
    chess_game_begin(&record->game, first);
}

int record_add(record_t *record, const record_move_t *move)
{
    unsigned at = record->game.plies;
    if (move->chosen >= move->candidate_count ||
        chess_game_play(&record->game, move->candidates[move->chosen].move) < 0)
        return -1;
    record->moves[at] = *move;
    return 0;
}

static void print_move(FILE *out, const chess_board_t *board, const record_move_t *move,
                       unsigned number)
{
    const chess_candidate_t *chosen = &move->candidates[move->chosen];
    char uci[CHESS_UCI_SIZE], san[CHESS_SAN_SIZE];

    fprintf(out, "move %u %s %s %s %d %" PRIu64 "\n", number, chess_uci_format(chosen->move, uci),
            chess_san_format(board, chosen->move, san), chess_strategy_name(chosen->strategy),
            (int)chosen->measure, move->microseconds);
    for (unsigned i = 0; i < move->candidate_count; i++) {
        const chess_candidate_t *c = &move->candidates[i];
        fprintf(out, "candidate %s %s %s %d %d %u %" PRIu64 " %" PRIu64 "\n",
                chess_strategy_name(c->strategy), chess_uci_format(c->move, uci),
                chess_san_format(board, c->move, san), (int)c->evaluation, (int)c->measure,
                (unsigned)c->depth, c->nodes, c->microseconds);
    }
}

int record_format(const record_t *record, char **text, size_t *size)
{
    char fen[CHESS_FEN_SIZE], *made = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&made, &length);
    if (!out)
        return -1;

    fprintf(out, "fen %s\n", chess_fen_format(&record->first, fen));
    chess_board_t board = record->first;
    for (unsigned i = 0; i < record->game.plies; i++) {
        const record_move_t *move = &record->moves[i];
        print_move(out, &board, move, i + 1);
        chess_play(&board, move->candidates[move->chosen].move);
    }
    chess_outcome_t outcome = chess_game_outcome(&record->game);
    if (outcome != CHESS_ONGOING)
        fprintf(out, "result %s %s\n", chess_score(&board, outcome), chess_outcome_name(outcome));

    bool failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(made);
        return -1;
    }
    *text = made;
    *size = length;
    return 0;
}

/* ---- reading ---- */

static int strategy_of(const char *name)
{
    for (unsigned s = 0; s < CHESS_STRATEGIES; s++)
        if (strcmp(chess_strategy_name(s), name) == 0)
            return (int)s;
    return -1;
}

static int parse_candidate(const chess_board_t *board, const char *line, record_move_t *move)
{
    char strategy[16], uci[CHESS_UCI_SIZE], san[CHESS_SAN_SIZE];
    chess_candidate_t c = {0};

    if (move->candidate_count == CHESS_STRATEGIES ||
        sscanf(line,
               "candidate %15s %5s %9s %" SCNd32 " %" SCNd32 " %" SCNu32 " %" SCNu64 " %" SCNu64,
               strategy, uci, san, &c.evaluation, &c.measure, &c.depth, &c.nodes,
               &c.microseconds) != 8)
        return -1;
    int which = strategy_of(strategy);
    if (which < 0 || chess_uci_parse(board, uci, &c.move) < 0)
        return -1;
    c.strategy = (uint16_t)which;
    move->candidates[move->candidate_count++] = c;
    return 0;
}

/* A "move" line and the "candidate" lines behind it; *line is moved on. */
static int parse_move(char **line, record_t *record)
{
    char strategy[16], uci[CHESS_UCI_SIZE], san[CHESS_SAN_SIZE];
    unsigned number;
    int measure;
    record_move_t move = {0};
    chess_move_t played;

    if (sscanf(*line, "move %u %5s %9s %15s %d %" SCNu64, &number, uci, san, strategy, &measure,
               &move.microseconds) != 6 ||
        number != record->game.plies + 1 || chess_uci_parse(&record->game.board, uci, &played) < 0)
        return -1;
    *line = strtok(NULL, "\n");
    for (; *line && strncmp(*line, "candidate ", 10) == 0; *line = strtok(NULL, "\n"))
        if (parse_candidate(&record->game.board, *line, &move) < 0)
            return -1;
    while (move.chosen < move.candidate_count &&
           (int)move.candidates[move.chosen].strategy != strategy_of(strategy))
        move.chosen++;
    if (move.chosen == move.candidate_count || move.candidates[move.chosen].move != played)
        return -1;
    return record_add(record, &move);
}

int record_parse(const char *text, size_t size, record_t *record)
{
    char *copy = malloc(size + 1), reason[8];
    chess_board_t board;
    int rc = -1;

    if (!copy)
        return -1;
    memcpy(copy, text, size);
    copy[size] = '\0';

    char *line = strtok(copy, "\n");
    if (!line || strncmp(line, "fen ", 4) != 0 ||
        chess_fen_parse(line + 4, &board, reason, sizeof reason) < 0)
        goto cleanup;
    record_begin(record, &board);
    line = strtok(NULL, "\n");
    while (line && strncmp(line, "move ", 5) == 0)
        if (parse_move(&line, record) < 0)
            goto cleanup;
    rc = line && strncmp(line, "result ", 7) != 0 ? -1 : 0;
cleanup:
    free(copy);
    return rc;
}
