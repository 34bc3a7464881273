/* SPDX-License-Identifier: MIT
 *
 * The record that the chess example's job yields: what is written is read again, and nothing else
 * is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chess/record.h"

static record_t record, again;

static void begin(const char *fen)
{
    chess_board_t board;
    char reason[128] = "";
    if (chess_fen_parse(fen, &board, reason, sizeof reason) < 0)
        fail_msg("%s refused: %s", fen, reason);
    record_begin(&record, &board);
}

/* Adds a move proposed by two strategies, the second of which wins. */
static void add(const char *uci, const char *other)
{
    record_move_t move = {.candidate_count = 2, .chosen = 1, .microseconds = 123456789012};
    move.candidates[0] = (chess_candidate_t){
        .strategy = CHESS_GREEDY, .evaluation = -30001, .measure = -5, .nodes = 7};
    move.candidates[1] = (chess_candidate_t){.strategy = CHESS_DEEP,
                                             .evaluation = 29997,
                                             .measure = 12,
                                             .depth = 9,
                                             .nodes = 1u << 31,
                                             .microseconds = 77};
    assert_int_equal(chess_uci_parse(&record.game.board, other, &move.candidates[0].move), 0);
    assert_int_equal(chess_uci_parse(&record.game.board, uci, &move.candidates[1].move), 0);
    assert_int_equal(record_add(&record, &move), 0);
}

static void check_same(void)
{
    assert_int_equal(again.game.plies, record.game.plies);
    assert_memory_equal(again.game.hashes, record.game.hashes,
                        (record.game.plies + 1) * sizeof *record.game.hashes);
    assert_memory_equal(again.moves, record.moves, record.game.plies * sizeof *record.moves);
}

static void test_round_trip(void **state)
{
    char *text;
    size_t size;
    (void)state;
    begin("rnbqkbnr/pppp1ppp/8/4p3/8/5P2/PPPPP1PP/RNBQKBNR w KQkq - 0 2");
    for (int n = 0; n < 3; n++) {
        assert_int_equal(record_format(&record, &text, &size), 0);
        assert_int_equal(strlen(text), size);
        assert_int_equal(record_parse(text, size, &again), 0);
        check_same();
        if (n == 2)
            assert_non_null(strstr(text, "result 0-1 checkmate\n"));
        else
            assert_null(strstr(text, "result"));
        free(text);
        if (n == 0)
            add("g2g4", "e2e4");
        else if (n == 1)
            add("d8h4", "b8c6");
    }
}

static void test_moves_that_cannot_be_added(void **state)
{
    record_move_t move = {.candidate_count = 1, .candidates = {{.move = chess_move(12, 36, 0)}}};
    (void)state;
    begin(CHESS_START_FEN);
    assert_int_equal(record_add(&record, &move), -1);
    move.candidates[0].move = chess_move(12, 28, 0);
    move.chosen = 1;
    assert_int_equal(record_add(&record, &move), -1);
    assert_int_equal(record.game.plies, 0);
}

static void test_texts_that_are_refused(void **state)
{
#define FEN_LINE "fen " CHESS_START_FEN "\n"
#define CANDIDATE "candidate deep e2e4 e4 1 2 3 4 5\n"
    static const char *const texts[] = {
        "",
        "fen\n",
        "fen nonsense\n",
        "move 1 e2e4 e4 deep 2 9\n" CANDIDATE,
        FEN_LINE "move 2 e2e4 e4 deep 2 9\n" CANDIDATE,
        FEN_LINE "move 1 e2e5 e5 deep 2 9\n" CANDIDATE,
        FEN_LINE "move 1 e2e4 e4 deep 2\n" CANDIDATE,
        FEN_LINE "move 1 e2e4 e4 deep 2 9\n",
        FEN_LINE "move 1 e2e4 e4 simple 2 9\n" CANDIDATE,
        FEN_LINE "move 1 d2d4 d4 deep 2 9\n" CANDIDATE,
        FEN_LINE
        "move 1 e2e4 e4 deep 2 9\n" CANDIDATE CANDIDATE CANDIDATE CANDIDATE CANDIDATE CANDIDATE,
        FEN_LINE "move 1 e2e4 e4 deep 2 9\ncandidate shallow e2e4 e4 1 2 3 4 5\n",
        FEN_LINE "move 1 e2e4 e4 deep 2 9\ncandidate deep e2e4 e4 1 2 3 4\n",
        FEN_LINE "something else\n",
        FEN_LINE CANDIDATE,
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (record_parse(texts[i], strlen(texts[i]), &again) != -1)
            fail_msg("read: %s", texts[i]);
    static const char good[] = FEN_LINE "move 1 e2e4 e4 deep 2 9\n" CANDIDATE;
    assert_int_equal(record_parse(good, sizeof good - 1, &again), 0);
    assert_int_equal(again.game.plies, 1);
    /* the end of the value is where its size says, and any cut is either refused or a shorter game
     */
    for (size_t size = 0; size < sizeof good - 1; size++)
        if (record_parse(good, size, &again) == 0)
            assert_true(again.game.plies <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_moves_that_cannot_be_added),
        cmocka_unit_test(test_texts_that_are_refused),
    };
    return cmocka_run_group_tests_name("chess_record", tests, NULL, NULL);
}
