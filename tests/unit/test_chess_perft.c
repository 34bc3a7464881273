/* SPDX-License-Identifier: MIT
 *
 * The chess example's move generator: node counts from the literature, and what must hold at every
 * node on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "chess/board.h"

typedef struct count {
    const char *fen;
    unsigned depth;
    uint64_t lines;
} count_t;

#define KIWIPETE "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1"
#define POSITION_3 "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1"
#define POSITION_4 "r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1"
#define POSITION_5 "rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ - 1 8"
#define POSITION_6 "r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - - 0 10"

static const count_t usual[] = {
    {CHESS_START_FEN, 1, 20},     {CHESS_START_FEN, 2, 400},     {CHESS_START_FEN, 3, 8902},
    {CHESS_START_FEN, 4, 197281}, {CHESS_START_FEN, 5, 4865609}, {KIWIPETE, 1, 48},
    {KIWIPETE, 2, 2039},          {KIWIPETE, 3, 97862},          {KIWIPETE, 4, 4085603},
    {POSITION_3, 4, 43238},       {POSITION_3, 5, 674624},       {POSITION_4, 3, 9467},
    {POSITION_4, 4, 422333},      {POSITION_4, 5, 15833292},     {POSITION_5, 3, 62379},
    {POSITION_5, 4, 2103487},     {POSITION_6, 3, 89890},        {POSITION_6, 4, 3894594},
};

/* clang-format off */
/* One rule each. */
static const count_t special[] = {
    {"3k4/3p4/8/K1P4r/8/8/8/8 b - - 0 1", 6, 1134888}, /* en passant would uncover the king */
    {"8/8/1k6/2b5/2pP4/8/5K2/8 b - d3 0 1", 6, 1440467}, /* en passant gives check */
    {"5k2/8/8/8/8/8/8/4K2R w K - 0 1", 6, 661072}, /* castling gives check */
    {"3k4/8/8/8/8/8/8/R3K3 w Q - 0 1", 6, 803711}, /* the same on the other side */
    {"r3k2r/1b4bq/8/8/8/8/7B/R3K2R w KQkq - 0 1", 4, 1274206}, /* rights lost by taken rooks */
    {"r3k2r/8/3Q4/8/8/5q2/8/R3K2R b KQkq - 0 1", 4, 1720476}, /* castling prevented */
    {"2K2r2/4P3/8/8/8/8/8/3k4 w - - 0 1", 6, 3821001}, /* promotion answers a check */
    {"8/8/1P2K3/8/2n5/1q6/8/5k2 b - - 0 1", 5, 1004658}, /* discovered check */
    {"4k3/1P6/8/8/8/8/K7/8 w - - 0 1", 6, 217342}, /* promotion gives check */
    {"8/P1k5/K7/8/8/8/8/8 w - - 0 1", 6, 92683}, /* underpromotion */
    {"K1k5/8/P7/8/8/8/8/8 w - - 0 1", 6, 2217}, /* stalemates */
    {"8/k1P5/8/1K6/8/8/8/8 w - - 0 1", 7, 567584}, /* stalemate and mate */
    {"8/8/2k5/5q2/5n2/8/5K2/8 b - - 0 1", 4, 23527}, /* double check */
    {"R6R/3Q4/1Q4Q1/4Q3/2Q4Q/Q4Q2/pp1Q4/kBNN1KB1 w - - 0 1", 1, 218}, /* most moves */
};
/* clang-format on */

static void parse(const char *fen, chess_board_t *board)
{
    char reason[256] = "";
    if (chess_fen_parse(fen, board, reason, sizeof reason) < 0)
        fail_msg("%s refused: %s", fen, reason);
}

static void check_counts(const count_t *counts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        chess_board_t board;
        parse(counts[i].fen, &board);
        uint64_t lines = chess_perft(&board, counts[i].depth);
        if (lines != counts[i].lines)
            fail_msg("%s to depth %u: %llu lines instead of %llu", counts[i].fen, counts[i].depth,
                     (unsigned long long)lines, (unsigned long long)counts[i].lines);
    }
}

static void test_usual_positions(void **state)
{
    (void)state;
    check_counts(usual, sizeof usual / sizeof *usual);
}

static void test_special_rules(void **state)
{
    (void)state;
    check_counts(special, sizeof special / sizeof *special);
}

/* At each node: the hash kept up to date is the hash from scratch, the board survives FEN, and each
 * move survives UCI and SAN. */
static void walk(const chess_board_t *board, unsigned depth)
{
    chess_move_t moves[CHESS_MAX_MOVES], again;
    char fen[CHESS_FEN_SIZE], uci[CHESS_UCI_SIZE], san[CHESS_SAN_SIZE];
    chess_board_t copy;
    unsigned count = chess_legal_moves(board, moves);

    assert_true(board->hash == chess_hash(board));
    parse(chess_fen_format(board, fen), &copy);
    assert_true(copy.hash == board->hash);
    assert_memory_equal(copy.kind_at, board->kind_at, sizeof copy.kind_at);
    assert_int_equal(copy.en_passant_counts, board->en_passant_counts);
    if (depth == 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        chess_board_t next = *board;
        if (depth == 1) {
            assert_int_equal(chess_uci_parse(board, chess_uci_format(moves[i], uci), &again), 0);
            assert_int_equal(again, moves[i]);
            assert_int_equal(chess_san_parse(board, chess_san_format(board, moves[i], san), &again),
                             0);
            assert_int_equal(again, moves[i]);
        }
        chess_play(&next, moves[i]);
        walk(&next, depth - 1);
    }
}

static void test_every_node_holds_together(void **state)
{
    static const char *const fens[] = {CHESS_START_FEN, KIWIPETE,   POSITION_3,
                                       POSITION_4,      POSITION_5, POSITION_6};
    (void)state;
    for (size_t i = 0; i < sizeof fens / sizeof *fens; i++) {
        chess_board_t board;
        parse(fens[i], &board);
        walk(&board, 2);
    }
}

static void test_moves_that_do_not_exist(void **state)
{
    chess_board_t board;
    chess_move_t move = 77;
    (void)state;
    parse(CHESS_START_FEN, &board);
    static const char *const texts[] = {"",     "e2",   "e2e5",  "e7e5", "e2e4q",
                                        "E2E4", "i1i2", "e2e4 ", "0000"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(chess_uci_parse(&board, texts[i], &move), -1);
    assert_int_equal(move, 77);
    assert_false(chess_is_legal(&board, chess_move(12, 36, 0)));
    assert_true(chess_is_legal(&board, chess_move(12, 28, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual_positions),
        cmocka_unit_test(test_special_rules),
        cmocka_unit_test(test_every_node_holds_together),
        cmocka_unit_test(test_moves_that_do_not_exist),
    };
    return cmocka_run_group_tests_name("chess_perft", tests, NULL, NULL);
}
