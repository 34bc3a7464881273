/* SPDX-License-Identifier: MIT
 *
 * The chess example's FEN and SAN: round trips, what is refused and with which field named, and the
 * hard cases of SAN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chess/board.h"

static void parse(const char *fen, chess_board_t *board)
{
    char reason[256] = "";
    if (chess_fen_parse(fen, board, reason, sizeof reason) < 0)
        fail_msg("%s refused: %s", fen, reason);
}

static void test_fen_round_trips(void **state)
{
    static const char *const fens[] = {
        CHESS_START_FEN,
        "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1",
        "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",
        "r3k2r/8/8/8/8/8/8/R3K2R b Kq - 13 40",
        "8/8/8/8/8/4k3/8/4K2R w K - 99 9999",
        "r3k2r/8/8/8/8/8/8/R3K2R w Qk - 9999 1",
        "R6R/3Q4/1Q4Q1/4Q3/2Q4Q/Q4Q2/pp1Q4/kBNN1KB1 w - - 0 1",
        "8/8/1k6/2b5/2pP4/8/5K2/8 b - d3 0 1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof fens / sizeof *fens; i++) {
        chess_board_t board;
        char text[CHESS_FEN_SIZE];
        parse(fens[i], &board);
        assert_string_equal(chess_fen_format(&board, text), fens[i]);
    }
}

static void test_fen_with_blanks_around(void **state)
{
    chess_board_t a, b;
    (void)state;
    parse(CHESS_START_FEN, &a);
    parse("  rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR  w KQkq\t- 0 1\n", &b);
    assert_true(a.hash == b.hash);
}

typedef struct refusal {
    const char *fen;
    const char *field; /* that the message begins with */
    const char *word;  /* that it contains */
} refusal_t;

static const refusal_t refusals[] = {
    {"", "piece placement:", "missing"},
    {"   ", "piece placement:", "missing"},
    {"not a fen", "piece placement:", "'o'"}, /* the first field that is wrong is the one named */
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w", "castling:", "missing"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq", "en passant:", "missing"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR", "side to move:", "missing"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq -", "halfmove clock:", "missing"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0", "fullmove number:", "missing"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1 x", "fullmove number:", "follows"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP w KQkq - 0 1", "piece placement:", "7 ranks"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR/8 w KQkq - 0 1",
     "piece placement:", "more than 8 ranks"},
    {"rnbqkbnr/ppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "piece placement:", "rank 7 has 7"},
    {"rnbqkbnr/ppppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
     "piece placement:", "more than 8 squares"},
    {"rnbqkbnr/pppppppp/9/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "piece placement:", "'9'"},
    {"rnbqkbnr/pppppppp/0/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "piece placement:", "'0'"},
    {"rnbqkbnr/pppppppp/44/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
     "piece placement:", "two numbers"},
    {"rnbqkbnr/ppppxppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "piece placement:", "'x'"},
    {"rnbqkbnr/pppp\xc3\xa9ppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "piece placement:", "'?'"},
    {"rnbq1bnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQ - 0 1",
     "piece placement:", "black has 0 kings"},
    {"rnbqkbnr/pppppppp/8/8/8/4K3/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
     "piece placement:", "white has 2 kings"},
    {"4k3/8/8/8/8/P7/PPPPPPPP/4K3 w - - 0 1", "piece placement:", "9 pawns"},
    {"4k3/8/8/QQQQQQQQ/QQQQQQQQ/8/8/4K3 w - - 0 1", "piece placement:", "16 pieces"},
    {"4k3/8/8/8/8/PPPPPPPP/8/QQ2K3 w - - 0 1", "piece placement:", "promoted"},
    {"P3k3/8/8/8/8/8/8/4K3 w - - 0 1", "piece placement:", "white has a pawn"},
    {"4k3/8/8/8/8/8/8/p3K3 w - - 0 1", "piece placement:", "black has a pawn"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR x KQkq - 0 1", "side to move:", "'x'"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR W KQkq - 0 1", "side to move:", "'W'"},
    {"4k3/8/8/8/8/8/8/4R1K1 w - - 0 1", "side to move:", "black is in check"},
    {"8/8/8/3kK3/8/8/8/8 w - - 0 1", "side to move:", "in check"},
    {"4r2k/8/8/1b6/8/3n4/8/r3K3 w - - 0 1", "side to move:", "more than two"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkx - 0 1", "castling:", "KQkx"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KKkq - 0 1", "castling:", "KKkq"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w kqKQ - 0 1", "castling:", "order"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w -- - 0 1", "castling:", "'--'"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQ1KNR w KQkq - 0 1", "castling:", "king on e1"},
    {"rnbqkbn1/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "castling:", "rook on h8"},
    {"1nbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQq - 0 1", "castling:", "rook on a8"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq z9 0 1", "en passant:", "'z9'"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq e3 0 1", "en passant:", "rank 6"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq e6 0 1", "en passant:", "no black pawn"},
    {"rnbqkbnr/pppppppp/8/8/4P3/8/PPPPNPP1/RNBQKB1R b KQkq e3 0 1", "en passant:", "not empty"},
    {"4k3/8/8/8/1b2P3/8/8/4K3 b - e3 0 1", "side to move:", "white is in check"},
    {"4k2B/8/8/8/4P3/8/8/4R1K1 b - e3 0 1", NULL, NULL}, /* the pawn itself closed the line: fine */
    {"4k3/8/8/8/B3P3/8/8/6K1 b - e3 0 1", "en passant:", "before the pawn moved"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - -1 1", "halfmove clock:", "'-1'"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 00 1",
     "halfmove clock:", "begins with 0"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 10000 1", "halfmove clock:", "9999"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 99999999999999999999 1",
     "halfmove clock:", "9999"},
    {"rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 4 1",
     "halfmove clock:", "just moved"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 0", "fullmove number:", "'0'"},
    {"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1.5",
     "fullmove number:", "not a number"},
};

static void test_bad_fens_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal_t *r = &refusals[i];
        chess_board_t board, before;
        char reason[256] = "";
        memset(&board, 0x5A, sizeof board);
        before = board;
        if (!r->field) {
            parse(r->fen, &board);
            continue;
        }
        if (chess_fen_parse(r->fen, &board, reason, sizeof reason) != -1)
            fail_msg("accepted: %s", r->fen);
        assert_memory_equal(&board, &before, sizeof board);
        if (strncmp(reason, r->field, strlen(r->field)) != 0 || !strstr(reason, r->word))
            fail_msg("%s: said \"%s\", not \"%s ... %s\"", r->fen, reason, r->field, r->word);
    }
}

static void test_long_and_cut_messages(void **state)
{
    char *text = malloc(100001), reason[24];
    chess_board_t board;
    (void)state;
    assert_non_null(text);
    memset(text, '8', 100000);
    text[100000] = '\0';
    assert_int_equal(chess_fen_parse(text, &board, reason, sizeof reason), -1);
    assert_true(strlen(reason) < sizeof reason);
    assert_int_equal(chess_fen_parse("x", &board, reason, 1), -1);
    assert_string_equal(reason, "");
    free(text);
}

/* Any damage to a good FEN is either refused, or read as a position that can be written, read again
 * and played on. */
static void test_damaged_fens(void **state)
{
    static const char good[] =
        "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1";
    static const char bytes[] = "pPnNkKqQrRbB12345678/ -wKe36x\x01\xff";
    unsigned seed = 20240607u, accepted = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[sizeof good], again[CHESS_FEN_SIZE], third[CHESS_FEN_SIZE], reason[256];
        chess_board_t board, copy;
        chess_move_t moves[CHESS_MAX_MOVES];
        memcpy(text, good, sizeof good);
        for (int n = 0; n < 1 + round % 2; n++) {
            seed = seed * 1664525u + 1013904223u;
            text[(seed >> 8) % (sizeof good - 1)] = bytes[(seed >> 20) % (sizeof bytes - 1)];
        }
        if (chess_fen_parse(text, &board, reason, sizeof reason) < 0) {
            assert_non_null(strstr(reason, ": "));
            continue;
        }
        accepted++;
        parse(chess_fen_format(&board, again), &copy);
        assert_string_equal(chess_fen_format(&copy, third), again);
        unsigned count = chess_legal_moves(&board, moves);
        for (unsigned i = 0; i < count; i++) {
            copy = board;
            chess_play(&copy, moves[i]);
            assert_int_equal(chess_count(chess_pieces(&copy, copy.side, CHESS_KING)), 1);
            assert_false(
                chess_attackers(&copy, chess_king(&copy, board.side), chess_occupied(&copy)) &
                copy.colors[copy.side]);
        }
    }
    assert_in_range(accepted, 100, 19000);
}

typedef struct san_case {
    const char *fen, *uci, *san; /* NULL: the move is not legal */
} san_case_t;

static const san_case_t san_cases[] = {
    {CHESS_START_FEN, "e2e4", "e4"},
    {CHESS_START_FEN, "g1f3", "Nf3"},
    {"r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1", "e1g1", "O-O"},
    {"r3k2r/8/8/8/8/8/8/R3K2R b KQkq - 0 1", "e8c8", "O-O-O"},
    {"5k2/8/8/8/8/8/8/4K2R w K - 0 1", "e1g1", "O-O+"},
    {"8/1k6/8/8/8/8/5PPP/R1r3K1 w - - 0 1", "a1c1", "Rxc1"},
    {"4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 2", "e5d6", "exd6"},
    {"3r3k/4P3/8/8/8/8/8/4K3 w - - 0 1", "e7d8q", "exd8=Q+"},
    {"3r4/4P1k1/8/8/8/8/8/4K3 w - - 0 1", "e7d8n", "exd8=N"},
    {"3r4/4P1k1/8/8/8/8/8/4K3 w - - 0 1", "e7e8n", "e8=N+"},
    {"7k/8/8/8/8/8/8/R4R1K w - - 0 1", "a1d1", "Rad1"},
    {"7k/8/8/8/8/8/8/R4R1K w - - 0 1", "f1d1", "Rfd1"},
    {"7k/8/8/R7/8/8/8/R6K w - - 0 1", "a1a3", "R1a3"},
    {"7k/8/8/R7/8/8/8/R6K w - - 0 1", "a5a3", "R5a3"},
    {"6k1/8/8/8/1Q5Q/8/8/K6Q w - - 0 1", "h4e1", "Qh4e1"},
    {"k7/8/8/1N3N2/8/8/8/K7 w - - 0 1", "b5d4", "Nbd4"},
    /* the other knight is pinned: nothing to tell apart */
    {"k3r3/8/8/1N6/8/8/4N3/4K3 w - - 0 1", "b5d4", "Nd4"},
    {"k3r3/8/8/1N6/8/8/4N3/4K3 w - - 0 1", "e2c3", NULL},
    {"6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1", "a1a8", "Ra8#"},
    {"6k1/5pp1/8/8/8/8/8/R5K1 w - - 0 1", "a1a8", "Ra8+"},
    {"rnbqkbnr/pppp1ppp/8/4p3/6P1/5P2/PPPPP2P/RNBQKBNR b KQkq g3 0 2", "d8h4", "Qh4#"},
};

static void test_san(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof san_cases / sizeof *san_cases; i++) {
        const san_case_t *c = &san_cases[i];
        chess_board_t board;
        chess_move_t move = 0, again = 0;
        char text[CHESS_SAN_SIZE];
        parse(c->fen, &board);
        if (chess_uci_parse(&board, c->uci, &move) < 0) {
            if (c->san)
                fail_msg("%s: %s is not legal", c->fen, c->uci);
            continue;
        }
        if (!c->san)
            fail_msg("%s: %s is legal", c->fen, c->uci);
        assert_string_equal(chess_san_format(&board, move, text), c->san);
        assert_int_equal(chess_san_parse(&board, c->san, &again), 0);
        assert_int_equal(again, move);
    }
}

static void test_san_that_is_not_there(void **state)
{
    static const char *const texts[] = {"",    "e5",  "Ke2",  "O-O",  "Nf3+",
                                        "e4#", "nf3", "Nbf3", "e4e5", "+"};
    chess_board_t board;
    chess_move_t move = 5;
    (void)state;
    parse(CHESS_START_FEN, &board);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(chess_san_parse(&board, texts[i], &move), -1);
    assert_int_equal(move, 5);
}

/* Whole games, with the position at the end. */
static const char *const games[][2] = {
    /* Morphy - Duke of Brunswick and Count Isouard, Paris 1858 */
    {"e4 e5 Nf3 d6 d4 Bg4 dxe5 Bxf3 Qxf3 dxe5 Bc4 Nf6 Qb3 Qe7 Nc3 c6 Bg5 b5 Nxb5 cxb5 Bxb5+ Nbd7 "
     "O-O-O Rd8 Rxd7 Rxd7 "
     "Rd1 Qe6 Bxd7+ Nxd7 Qb8+ Nxb8 Rd8#",
     "1n1Rkb1r/p4ppp/4q3/4p1B1/4P3/8/PPP2PPP/2K5 b k - 1 17"},
    /* Anderssen - Kieseritzky, London 1851 */
    {"e4 e5 f4 exf4 Bc4 Qh4+ Kf1 b5 Bxb5 Nf6 Nf3 Qh6 d3 Nh5 Nh4 Qg5 Nf5 c6 g4 Nf6 Rg1 cxb5 h4 Qg6 "
     "h5 Qg5 Qf3 Ng8 Bxf4 "
     "Qf6 Nc3 Bc5 Nd5 Qxb2 Bd6 Bxg1 e5 Qxa1+ Ke2 Na6 Nxg7+ Kd8 Qf6+ Nxf6 Be7#",
     "r1bk3r/p2pBpNp/n4n2/1p1NP2P/6P1/3P4/P1P1K3/q5b1 b - - 1 23"},
    /* Anderssen - Dufresne, Berlin 1852 */
    {"e4 e5 Nf3 Nc6 Bc4 Bc5 b4 Bxb4 c3 Ba5 d4 exd4 O-O d3 Qb3 Qf6 e5 Qg6 Re1 Nge7 Ba3 b5 Qxb5 Rb8 "
     "Qa4 Bb6 Nbd2 Bb7 Ne4 "
     "Qf5 Bxd3 Qh5 Nf6+ gxf6 exf6 Rg8 Rad1 Qxf3 Rxe7+ Nxe7 Qxd7+ Kxd7 Bf5+ Ke8 Bd7+ Kf8 Bxe7#",
     "1r3kr1/pbpBBp1p/1b3P2/8/8/2P2q2/P4PPP/3R2K1 b - - 0 24"},
    /* Ed. Lasker - Thomas, London 1912 */
    {"d4 e6 Nf3 f5 Nc3 Nf6 Bg5 Be7 Bxf6 Bxf6 e4 fxe4 Nxe4 b6 Ne5 O-O Bd3 Bb7 Qh5 Qe7 Qxh7+ Kxh7 "
     "Nxf6+ Kh6 Neg4+ Kg5 h4+ "
     "Kf4 g3+ Kf3 Be2+ Kg2 Rh2+ Kg1 Kd2#",
     "rn3r2/pbppq1p1/1p2pN2/8/3P2NP/6P1/PPPKBP1R/R5k1 b - - 6 18"},
};

static void play_game(const char *text, chess_board_t *board)
{
    char copy[1024], fen[CHESS_FEN_SIZE], san[CHESS_SAN_SIZE];
    assert_true(strlen(text) < sizeof copy);
    strcpy(copy, text);
    parse(CHESS_START_FEN, board);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        chess_move_t move;
        if (chess_san_parse(board, word, &move) < 0)
            fail_msg("%s is not legal in %s", word, chess_fen_format(board, fen));
        assert_string_equal(chess_san_format(board, move, san), word);
        chess_play(board, move);
    }
}

static void test_whole_games(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof games / sizeof *games; i++) {
        chess_board_t board;
        chess_move_t moves[CHESS_MAX_MOVES];
        char text[CHESS_FEN_SIZE];
        play_game(games[i][0], &board);
        assert_string_equal(chess_fen_format(&board, text), games[i][1]);
        assert_int_equal(chess_legal_moves(&board, moves), 0);
    }
}

/* Every position that is shipped is a good FEN, written as it is read. */
static void test_shipped_positions(void **state)
{
    const char *folder = getenv("srcdir");
    char path[1024], line[512], text[CHESS_FEN_SIZE];
    unsigned count = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/examples/chess/positions.txt", folder ? folder : ".");
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    while (fgets(line, sizeof line, file)) {
        chess_board_t board;
        if (*line == '#')
            continue;
        line[strcspn(line, "\n")] = '\0';
        parse(line, &board);
        assert_string_equal(chess_fen_format(&board, text), line);
        count++;
    }
    fclose(file);
    assert_true(count >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fen_round_trips),       cmocka_unit_test(test_fen_with_blanks_around),
        cmocka_unit_test(test_bad_fens_are_refused),  cmocka_unit_test(test_long_and_cut_messages),
        cmocka_unit_test(test_damaged_fens),          cmocka_unit_test(test_san),
        cmocka_unit_test(test_san_that_is_not_there), cmocka_unit_test(test_whole_games),
        cmocka_unit_test(test_shipped_positions),
    };
    return cmocka_run_group_tests_name("chess_notation", tests, NULL, NULL);
}
