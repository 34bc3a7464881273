/* SPDX-License-Identifier: MIT
 *
 * The chess example's rules beyond one position, its knowledge, exchanges and strategies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "chess/strategy.h"

static chess_knowledge_t knowledge;

static void begin(const char *fen, chess_game_t *game)
{
    chess_board_t board;
    char reason[256] = "";
    if (chess_fen_parse(fen, &board, reason, sizeof reason) < 0)
        fail_msg("%s refused: %s", fen, reason);
    chess_game_begin(game, &board);
}

static void play(chess_game_t *game, const char *uci)
{
    chess_move_t move;
    if (chess_uci_parse(&game->board, uci, &move) < 0 || chess_game_play(game, move) < 0)
        fail_msg("%s is not legal", uci);
}

typedef struct end {
    const char *fen;
    chess_outcome_t outcome;
    const char *score;
} end_t;

static const end_t ends[] = {
    {CHESS_START_FEN, CHESS_ONGOING, "*"},
    {"rnb1kbnr/pppp1ppp/8/4p3/6Pq/5P2/PPPPP2P/RNBQKBNR w KQkq - 1 3", CHESS_CHECKMATE, "0-1"},
    {"R5k1/5ppp/8/8/8/8/8/6K1 b - - 1 1", CHESS_CHECKMATE, "1-0"},
    {"R5k1/5ppp/8/8/8/8/8/6K1 b - - 120 1", CHESS_CHECKMATE,
     "1-0"}, /* the mate comes before the clock */
    {"7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", CHESS_STALEMATE, "1/2-1/2"},
    {"8/8/8/8/8/k7/p7/K7 w - - 0 1", CHESS_STALEMATE, "1/2-1/2"},
    {"8/8/4k3/8/8/3K4/8/8 w - - 0 1", CHESS_INSUFFICIENT, "1/2-1/2"},
    {"8/8/4k3/8/8/3KN3/8/8 w - - 0 1", CHESS_INSUFFICIENT, "1/2-1/2"},
    {"8/8/4k3/2b5/8/3K4/8/8 w - - 0 1", CHESS_INSUFFICIENT, "1/2-1/2"},
    {"8/8/4k3/2b5/8/3KB3/8/8 w - - 0 1", CHESS_INSUFFICIENT, "1/2-1/2"}, /* both on dark squares */
    {"8/8/4k3/2b5/4B3/3K4/8/8 w - - 0 1", CHESS_ONGOING, "*"},           /* a mate can be built */
    {"8/8/4k3/2n5/8/3KN3/8/8 w - - 0 1", CHESS_ONGOING, "*"},
    {"8/8/4k3/8/8/3KNN2/8/8 w - - 0 1", CHESS_ONGOING, "*"},
    {"8/4p3/4k3/8/8/3K4/8/8 w - - 0 1", CHESS_ONGOING, "*"},
    {"8/8/4k3/8/8/3K4/8/R7 w - - 99 80", CHESS_ONGOING, "*"},
    {"8/8/4k3/8/8/3K4/8/R7 w - - 100 80", CHESS_FIFTY_MOVES, "1/2-1/2"},
};

static void test_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        chess_game_t game;
        begin(ends[i].fen, &game);
        chess_outcome_t outcome = chess_game_outcome(&game);
        if (outcome != ends[i].outcome)
            fail_msg("%s: %s", ends[i].fen, chess_outcome_name(outcome));
        assert_string_equal(chess_score(&game.board, outcome), ends[i].score);
    }
}

static void test_fifty_moves_arrive_by_play(void **state)
{
    chess_game_t game;
    (void)state;
    begin("8/8/4k3/8/8/3K4/8/R7 w - - 98 80", &game);
    play(&game, "a1b1");
    assert_int_equal(chess_game_outcome(&game), CHESS_ONGOING);
    play(&game, "e6e5");
    assert_int_equal(chess_game_outcome(&game), CHESS_FIFTY_MOVES);
    begin("8/8/4k3/8/8/3K4/P7/R7 w - - 99 80", &game);
    play(&game, "a2a4"); /* a pawn move sets the clock back */
    assert_int_equal(game.board.halfmove, 0);
    assert_int_equal(chess_game_outcome(&game), CHESS_ONGOING);
}

static void shuffle(chess_game_t *game)
{
    play(game, "g1f3");
    play(game, "g8f6");
    play(game, "f3g1");
    play(game, "f6g8");
}

static void test_threefold_repetition(void **state)
{
    chess_game_t game;
    (void)state;
    begin(CHESS_START_FEN, &game);
    shuffle(&game);
    assert_int_equal(chess_game_occurrences(&game), 2);
    assert_int_equal(chess_game_outcome(&game), CHESS_ONGOING);
    shuffle(&game);
    assert_int_equal(chess_game_occurrences(&game), 3);
    assert_int_equal(chess_game_outcome(&game), CHESS_REPETITION);
}

/* The position after e2e4 differs from later ones with the same pieces only if en passant was
 * really possible. */
static void test_repetition_and_en_passant(void **state)
{
    chess_game_t game;
    (void)state;
    begin("4k1n1/8/8/8/8/8/4P3/4K1N1 w - - 0 1", &game);
    play(&game, "e2e4"); /* nobody can take it: the square counts for nothing */
    for (int i = 0; i < 2; i++) {
        play(&game, "g8f6");
        play(&game, "g1f3");
        play(&game, "f6g8");
        play(&game, "f3g1");
    }
    assert_int_equal(chess_game_occurrences(&game), 3);

    begin("4k1n1/8/8/8/3p4/8/4P3/4K1N1 w - - 0 1", &game);
    play(&game, "e2e4"); /* d4xe3 is possible this once */
    for (int i = 0; i < 2; i++) {
        play(&game, "g8f6");
        play(&game, "g1f3");
        play(&game, "f6g8");
        play(&game, "f3g1");
    }
    assert_int_equal(chess_game_occurrences(&game), 2);
}

static void test_repetition_and_castling(void **state)
{
    chess_game_t game;
    (void)state;
    begin("4k2r/8/8/8/8/8/8/4K2R w Kk - 0 1", &game);
    for (int i = 0; i < 2; i++) {
        play(&game, "h1h2");
        play(&game, "h8h7");
        play(&game, "h2h1");
        play(&game, "h7h8");
    }
    assert_int_equal(chess_game_occurrences(&game),
                     2); /* the first time castling was still allowed */
}

static void test_illegal_moves_change_nothing(void **state)
{
    chess_game_t game, before;
    (void)state;
    memset(&game, 0, sizeof game);
    begin(CHESS_START_FEN, &game);
    before = game;
    assert_int_equal(chess_game_play(&game, CHESS_NO_MOVE), -1);
    assert_int_equal(chess_game_play(&game, chess_move(12, 36, 0)), -1);
    assert_int_equal(chess_game_play(&game, 0xFFFF), -1);
    assert_memory_equal(&game, &before, sizeof game);
}

static void test_king_and_pawn(void **state)
{
    static const struct {
        const char *fen;
        bool won;
    } cases[] = {
        {"4k3/8/4K3/4P3/8/8/8/8 w - - 0 1", true}, /* the king on the sixth before its pawn */
        {"4k3/8/4K3/4P3/8/8/8/8 b - - 0 1", true},
        {"4k3/4P3/4K3/8/8/8/8/8 b - - 0 1", false}, /* stalemate */
        {"8/8/8/4k3/8/4K3/4P3/8 w - - 0 1", false}, /* the other king has the opposition */
        {"8/8/8/4k3/8/4K3/4P3/8 b - - 0 1", true},
        {"k7/8/K7/P7/8/8/8/8 w - - 0 1", false},   /* a rook's pawn */
        {"8/8/8/8/4p3/4k3/8/4K3 b - - 0 1", true}, /* mirrored */
        {"7k/8/7K/7P/8/8/8/8 w - - 0 1", false},
        {"8/7P/8/8/8/8/k7/7K b - - 0 1", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        chess_game_t game;
        begin(cases[i].fen, &game);
        if (chess_kpk_is_won(&knowledge, &game.board) != cases[i].won)
            fail_msg("%s is %s", cases[i].fen, cases[i].won ? "won" : "drawn");
    }
}

static void test_exchanges(void **state)
{
    static const struct {
        const char *fen, *uci;
        int gain;
    } cases[] = {
        {"1k1r4/1pp4p/p7/4p3/8/P5P1/1PP4P/2K1R3 w - - 0 1", "e1e5", 100},
        {"1k1r3q/1ppn3p/p4b2/4p3/8/P2N2P1/1PP1R1BP/2K1Q3 w - - 0 1", "d3e5", -220},
        {"4k3/8/3p4/4p3/8/8/8/4RK2 w - - 0 1", "e1e5", -400},
        {"4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 2", "e5d6", 100},
        {"3r2k1/4P3/8/8/8/8/8/4K3 w - - 0 1", "e7d8q", 500 + 850},
        {"4k3/8/8/8/8/8/3r4/4K3 w - - 0 1", "e1d2", 500},
        {"4k3/8/8/8/8/8/8/4K2R w K - 0 1", "h1h7", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        chess_game_t game;
        chess_move_t move;
        begin(cases[i].fen, &game);
        assert_int_equal(chess_uci_parse(&game.board, cases[i].uci, &move), 0);
        int gain = chess_exchange(&game.board, move);
        if (gain != cases[i].gain)
            fail_msg("%s %s: %d instead of %d", cases[i].fen, cases[i].uci, gain, cases[i].gain);
    }
}

/* A position and the one with the colours swapped are worth the same. */
static void test_evaluation_is_symmetric(void **state)
{
    static const char *const pairs[][2] = {
        {"r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",
         "r3k2r/pppbbppp/2n2q1P/1P2p3/3pn3/BN2PNP1/P1PPQPB1/R3K2R b KQkq - 0 1"},
        {"8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1", "8/4p1p1/8/1r3P1K/kp5R/3P4/2P5/8 b - - 0 1"},
        {"8/8/8/4k3/8/4K3/4P3/8 b - - 0 1", "8/4p3/4k3/8/4K3/8/8/8 w - - 0 1"},
        {"7k/8/8/8/8/8/8/K2R4 w - - 0 1", "k2r4/8/8/8/8/8/8/7K b - - 0 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        chess_game_t a, b;
        begin(pairs[i][0], &a);
        begin(pairs[i][1], &b);
        assert_int_equal(chess_evaluate(&a.board, &knowledge),
                         chess_evaluate(&b.board, &knowledge));
        assert_int_equal(chess_material(&a.board), chess_material(&b.board));
    }
}

static const char *const positions[] = {
    CHESS_START_FEN,
    "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",
    "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1",
    "r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1",
    "8/8/8/8/5k2/8/4P3/4K3 w - - 0 1",
    "R6R/3Q4/1Q4Q1/4Q3/2Q4Q/Q4Q2/pp1Q4/kBNN1KB1 w - - 0 1",
};

static void test_strategies_are_legal_and_repeatable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        for (unsigned s = 0; s < CHESS_STRATEGIES; s++) {
            chess_game_t game;
            chess_candidate_t a, b;
            begin(positions[i], &game);
            assert_int_equal(chess_suggest(&game, &knowledge, s, 5000, &a), 0);
            assert_int_equal(chess_suggest(&game, &knowledge, s, 5000, &b), 0);
            assert_memory_equal(&a, &b, sizeof a);
            assert_true(chess_is_legal(&game.board, a.move));
            assert_int_equal(a.strategy, s);
            assert_true(a.nodes > 0);
        }
    }
}

static void test_strategies_differ(void **state)
{
    chess_game_t game;
    chess_candidate_t greedy, deep;
    chess_move_t move;
    (void)state;
    /* a loose pawn about to promote */
    begin("6k1/5ppp/8/8/8/8/p4PPP/R5K1 w - - 0 1", &game);
    for (unsigned s = 0; s < CHESS_STRATEGIES; s++) {
        chess_candidate_t c;
        assert_int_equal(chess_suggest(&game, &knowledge, s, 20000, &c), 0);
        assert_int_equal(c.measure > 200, 1); /* each at least takes the pawn */
    }
    /* the pawn on b7 is poisoned: greed takes it, a search sees that the queen is lost */
    begin("r3k3/1p6/8/8/8/8/1Q6/4K3 w - - 0 1", &game);
    assert_int_equal(chess_suggest(&game, &knowledge, CHESS_GREEDY, 20000, &greedy), 0);
    assert_int_equal(chess_suggest(&game, &knowledge, CHESS_DEEP, 20000, &deep), 0);
    assert_int_equal(chess_uci_parse(&game.board, "b2b7", &move), 0);
    assert_int_equal(greedy.move, move);
    assert_true(deep.measure >= greedy.measure);
    assert_int_equal(chess_suggest(&game, &knowledge, CHESS_STRATEGIES, 20000, &deep), -1);
}

static void test_mates_are_found(void **state)
{
    static const struct {
        const char *fen;
        int plies;
        bool by_all;
    } mates[] = {
        {"6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1", 1, true},
        {"kbK5/pp6/1P6/8/8/8/8/R7 w - - 0 1", 3, false}, /* the rook is given up */
        {"r1b1kb1r/pppp1ppp/5q2/4n3/3KP3/2N3PN/PPP4P/R1BQ1B1R b kq - 0 1", 5, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof mates / sizeof *mates; i++) {
        chess_game_t game;
        begin(mates[i].fen, &game);
        for (unsigned s = 0; s < CHESS_STRATEGIES; s++) {
            chess_candidate_t c;
            if (!mates[i].by_all && s != CHESS_DEEP)
                continue;
            assert_int_equal(chess_suggest(&game, &knowledge, s, 400000, &c), 0);
            if (c.measure != CHESS_MATE - mates[i].plies)
                fail_msg("%s by %s: %d", mates[i].fen, chess_strategy_name(s), c.measure);
        }
    }
}

static void test_no_candidate_when_the_game_is_over(void **state)
{
    chess_game_t game;
    chess_candidate_t c;
    (void)state;
    begin("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", &game);
    for (unsigned s = 0; s < CHESS_STRATEGIES; s++)
        assert_int_equal(chess_suggest(&game, &knowledge, s, 5000, &c), -1);
}

static void test_choice(void **state)
{
    const chess_candidate_t candidates[] = {
        {.measure = -40}, {.measure = 12}, {.measure = 12}, {.measure = -900}};
    (void)state;
    assert_int_equal(chess_choose(candidates, 4), 1);
    assert_int_equal(chess_choose(candidates, 1), 0);
    assert_int_equal(chess_choose(candidates + 2, 2), 0);
}

/* Queen against bare king: the five together must bring the mate home. */
static void test_a_won_ending_is_won(void **state)
{
    chess_game_t game;
    (void)state;
    begin("8/8/8/4k3/8/8/8/3QK3 w - - 0 1", &game);
    while (chess_game_outcome(&game) == CHESS_ONGOING) {
        chess_candidate_t c[CHESS_STRATEGIES];
        assert_true(game.plies < 60);
        for (unsigned s = 0; s < CHESS_STRATEGIES; s++)
            assert_int_equal(chess_suggest(&game, &knowledge, s, 20000, &c[s]), 0);
        assert_int_equal(chess_game_play(&game, c[chess_choose(c, CHESS_STRATEGIES)].move), 0);
    }
    assert_int_equal(chess_game_outcome(&game), CHESS_CHECKMATE);
    assert_string_equal(chess_score(&game.board, CHESS_CHECKMATE), "1-0");
}

static int make_knowledge(void **state)
{
    (void)state;
    return chess_kpk_make(&knowledge) == 111282u
               ? 0
               : -1; /* the count of won positions that others found */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_fifty_moves_arrive_by_play),
        cmocka_unit_test(test_threefold_repetition),
        cmocka_unit_test(test_repetition_and_en_passant),
        cmocka_unit_test(test_repetition_and_castling),
        cmocka_unit_test(test_illegal_moves_change_nothing),
        cmocka_unit_test(test_king_and_pawn),
        cmocka_unit_test(test_exchanges),
        cmocka_unit_test(test_evaluation_is_symmetric),
        cmocka_unit_test(test_strategies_are_legal_and_repeatable),
        cmocka_unit_test(test_strategies_differ),
        cmocka_unit_test(test_mates_are_found),
        cmocka_unit_test(test_no_candidate_when_the_game_is_over),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_a_won_ending_is_won),
    };
    return cmocka_run_group_tests_name("chess_game", tests, make_knowledge, NULL);
}
