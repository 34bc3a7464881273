/* SPDX-License-Identifier: MIT
 *
 * The strategies. Each is a function of the game and the bound on nodes alone; ties go to the move
 * generated first. */
#include "strategy.h"

#include <string.h>

enum { TABLE_BITS = 18, MEASURE_TABLE_BITS = 16, WORST = -32000 };

static const char *const names[CHESS_STRATEGIES] = {"simple", "greedy", "positional", "trap",
                                                    "deep"};

const char *chess_strategy_name(unsigned strategy)
{
    return strategy < CHESS_STRATEGIES ? names[strategy] : NULL;
}

/* What a strategy works on. */
typedef struct work {
    const chess_game_t *game;
    const chess_knowledge_t *knowledge;
    uint64_t nodes; /* that it may see */
    chess_candidate_t *out;
} work_t;

/* Plays a move into `after` and says whether that ends the game; then *score is its value for the
 * mover. */
static bool play_and_settle(const chess_game_t *game, chess_move_t move, chess_game_t *after,
                            int *score)
{
    memcpy(after, game, offsetof(chess_game_t, hashes) + (game->plies + 1) * sizeof *game->hashes);
    chess_play(&after->board, move);
    if (after->plies < CHESS_MAX_PLIES)
        after->hashes[++after->plies] = after->board.hash;
    chess_outcome_t outcome = chess_game_outcome(after);
    *score = outcome == CHESS_CHECKMATE ? CHESS_MATE - 1 : 0;
    return outcome != CHESS_ONGOING;
}

/* ---- simple ---- */

/* What the side to move could win by its best capture. */
static int best_capture(const chess_board_t *board, uint64_t *nodes)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(board, moves);
    int best = 0;

    for (unsigned i = 0; i < count; i++) {
        if (!chess_is_capture(board, moves[i]) && !chess_promotion(moves[i]))
            continue;
        int gain = chess_exchange(board, moves[i]);
        ++*nodes;
        if (gain > best)
            best = gain;
    }
    return best;
}

/* What a beginner is told: develop, castle, take the centre, keep king and queen at home. */
static int principles(const chess_board_t *board, chess_move_t move)
{
    unsigned from = chess_from(move), to = chess_to(move), kind = board->kind_at[from];
    unsigned home = board->side == CHESS_WHITE ? 0 : 7;
    bool is_opening = board->fullmove <= 12;

    switch (kind) {
    case CHESS_PAWN:
        return to == 27 || to == 28 || to == 35 || to == 36 ? 20
               : to % 8 >= 2 && to % 8 <= 5                 ? 4
                                                            : 1;
    case CHESS_KNIGHT:
    case CHESS_BISHOP:
        return (from / 8 == home ? 18 : 0) - (to / 8 == home ? 10 : 0) -
               (to % 8 == 0 || to % 8 == 7 ? 8 : 0);
    case CHESS_QUEEN:
        return is_opening ? -12 : 2;
    case CHESS_KING:
        if (from == to + 2 || to == from + 2)
            return 45;
        return is_opening ? -35 : 3;
    default:
        return 2;
    }
}

static int play_simple(const work_t *w)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(&w->game->board, moves);
    int best = WORST;

    for (unsigned i = 0; i < count; i++) {
        chess_game_t after;
        int score;
        w->out->nodes++;
        if (!play_and_settle(w->game, moves[i], &after, &score))
            score = -chess_material(&after.board) - best_capture(&after.board, &w->out->nodes) +
                    principles(&w->game->board, moves[i]);
        if (score > best) {
            best = score;
            w->out->move = moves[i];
        }
    }
    w->out->evaluation = best;
    w->out->depth = 1;
    return 0;
}

/* ---- greedy ---- */

static int play_greedy(const work_t *w)
{
    const chess_board_t *board = &w->game->board;
    chess_move_t moves[CHESS_MAX_MOVES], replies[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(board, moves);
    int best = WORST, best_rank = 0;

    for (unsigned i = 0; i < count; i++) {
        chess_game_t after;
        int score, rank = 0;
        w->out->nodes++;
        if (!play_and_settle(w->game, moves[i], &after, &score)) {
            score = chess_material(board) + chess_exchange(board, moves[i]);
            /* of equal gains: a check, then what leaves the opponent the fewest moves */
            rank = (chess_checkers(&after.board) ? 1000 : 0) -
                   (int)chess_legal_moves(&after.board, replies);
        }
        if (score > best || (score == best && rank > best_rank)) {
            best = score;
            best_rank = rank;
            w->out->move = moves[i];
        }
    }
    w->out->evaluation = best;
    w->out->depth = 1;
    return 0;
}

/* ---- positional and deep ---- */

static int play_search(const work_t *w, unsigned table_bits, unsigned depth, uint64_t nodes)
{
    chess_search_t *search = chess_search_create(w->knowledge, table_bits);
    if (!search)
        return -1;
    chess_found_t found = chess_search_run(search, w->game, depth, nodes);
    w->out->nodes += chess_search_nodes(search);
    w->out->move = found.move;
    w->out->evaluation = found.score;
    w->out->depth = found.depth;
    chess_search_destroy(search);
    return 0;
}

/* ---- trap ---- */

enum { SOUND_WITHIN = 40, LOSES_BY = 150, BAIT_WEIGHT = 3, BAIT_WORTH = 120 };

typedef struct sound_move {
    chess_move_t move;
    int score;
} sound_move_t;

/* All moves with their scores by a short search, best first. Returns how many of them are sound. */
static unsigned rank_moves(const work_t *w, chess_search_t *search, sound_move_t *ranked)
{
    chess_move_t moves[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(&w->game->board, moves), sound = 0;

    for (unsigned i = 0; i < count; i++) {
        chess_game_t after;
        int score;
        if (!play_and_settle(w->game, moves[i], &after, &score))
            score = -chess_search_run(search, &after, 2, w->nodes).score;
        unsigned place = i;
        for (; place > 0 && ranked[place - 1].score < score; place--)
            ranked[place] = ranked[place - 1];
        ranked[place] = (sound_move_t){moves[i], score};
    }
    while (sound < count && ranked[sound].score >= ranked[0].score - SOUND_WITHIN)
        sound++;
    return sound;
}

/* How much of what the opponent may answer loses, in centipawns of BAIT_WORTH for all of it.
 * Captures are what a player is tempted by and count more. */
static int bait_behind(chess_search_t *search, const chess_game_t *game, int level)
{
    chess_move_t replies[CHESS_MAX_MOVES];
    unsigned count = chess_legal_moves(&game->board, replies);
    int all = 0, losing = 0;

    for (unsigned i = 0; i < count; i++) {
        chess_game_t after;
        int score, weight = chess_is_capture(&game->board, replies[i]) ? BAIT_WEIGHT : 1;
        if (play_and_settle(game, replies[i], &after, &score))
            score = -score;
        else
            score = chess_search_run(search, &after, 1, 0).score;
        all += weight;
        if (score >= level + LOSES_BY)
            losing += weight;
    }
    return all ? losing * BAIT_WORTH / all : 0;
}

static int play_trap(const work_t *w)
{
    chess_search_t *search = chess_search_create(w->knowledge, 0);
    sound_move_t ranked[CHESS_MAX_MOVES];
    int best = WORST;

    if (!search)
        return -1;
    unsigned sound = rank_moves(w, search, ranked);
    for (unsigned i = 0; i < sound; i++) {
        chess_game_t after;
        int score, worth = ranked[i].score;
        if (i > 0 && chess_search_nodes(search) >= w->nodes)
            break;
        if (!play_and_settle(w->game, ranked[i].move, &after, &score))
            worth += bait_behind(search, &after, ranked[0].score);
        if (worth > best) {
            best = worth;
            w->out->move = ranked[i].move;
            w->out->evaluation = ranked[i].score;
        }
    }
    w->out->nodes += chess_search_nodes(search);
    w->out->depth = 3;
    chess_search_destroy(search);
    return 0;
}

/* ---- the doors ---- */

int chess_measure(const chess_game_t *game, const chess_knowledge_t *knowledge, chess_move_t move,
                  int *measure, uint64_t *nodes)
{
    chess_game_t after;
    int score;

    if (play_and_settle(game, move, &after, &score)) {
        *measure = score;
        ++*nodes;
        return 0;
    }
    chess_search_t *search = chess_search_create(knowledge, MEASURE_TABLE_BITS);
    if (!search)
        return -1;
    score = -chess_search_run(search, &after, CHESS_MEASURE_DEPTH, CHESS_MEASURE_NODES).score;
    if (score >= CHESS_MATE_FOUND || score <= -CHESS_MATE_FOUND)
        score += score > 0 ? -1 : 1; /* one ply further away */
    *measure = score;
    *nodes += chess_search_nodes(search);
    chess_search_destroy(search);
    return 0;
}

int chess_suggest(const chess_game_t *game, const chess_knowledge_t *knowledge, unsigned strategy,
                  uint64_t nodes, chess_candidate_t *candidate)
{
    chess_candidate_t made = {.strategy = (uint16_t)strategy};
    const work_t work = {.game = game, .knowledge = knowledge, .nodes = nodes, .out = &made};
    chess_move_t moves[CHESS_MAX_MOVES];
    int rc = -1, measure = 0;

    if (chess_legal_moves(&game->board, moves) == 0)
        return -1;
    switch (strategy) {
    case CHESS_SIMPLE:
        rc = play_simple(&work);
        break;
    case CHESS_GREEDY:
        rc = play_greedy(&work);
        break;
    case CHESS_POSITIONAL:
        rc = play_search(&work, 0, 2, 0);
        break;
    case CHESS_TRAP:
        rc = play_trap(&work);
        break;
    case CHESS_DEEP:
        rc = play_search(&work, TABLE_BITS, CHESS_MAX_DEPTH, nodes);
        break;
    default:
        break;
    }
    if (rc < 0 || chess_measure(game, knowledge, made.move, &measure, &made.nodes) < 0)
        return -1;
    if (made.evaluation >= CHESS_MATE_FOUND && made.evaluation > measure)
        measure = made.evaluation;
    made.measure = measure;
    *candidate = made;
    return 0;
}

size_t chess_choose(const chess_candidate_t *candidates, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (candidates[i].measure > candidates[best].measure)
            best = i;
    return best;
}
