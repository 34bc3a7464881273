/* SPDX-License-Identifier: MIT
 *
 * Plays the next n moves of a chess game: at each step several strategies search the position in
 * parallel, each as a task of its own, and the best of their candidates is played. This file is
 * what has to do with multinode:
 *
 *     driver -> job calculate_next_n_moves -> function preprocess_data, once
 *                                          -> function suggest_candidate_move, once per move,
 *                                             mapped over the strategies
 *
 * The job yields the record of the game after every move. The driver watches these yields and draws
 * them; and a job that runs again after a restart goes on from the last one. Chess itself is in the
 * other files. */
#include <multinode.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"
#include "record.h"
#include "show.h"

/* What the job is asked to do. */
typedef struct order {
    char fen[CHESS_FEN_SIZE];
    uint64_t nodes;
    uint32_t moves;
    uint32_t strategy_count;
    uint32_t strategies[CHESS_STRATEGIES];
} order_t;

/* What is worked out once for all moves: the position, and the knowledge of a class of endings. */
typedef struct prepared {
    chess_board_t board;
    chess_knowledge_t knowledge;
} prepared_t;

/* What a strategy gets: the position, the moves played since, and which strategy it is to be. */
typedef struct question {
    prepared_t prepared;
    uint64_t nodes;
    uint32_t strategy;
    uint32_t move_count;
    chess_move_t moves[CHESS_MAX_PLIES];
} question_t;

MN_FUNCTION(preprocess_data, .cpu = 1, .memory = "128MiB");
MN_FUNCTION(suggest_candidate_move, .cpu = 1, .memory = "256MiB");
MN_JOB(calculate_next_n_moves, .cpu = 0.1, .memory = "128MiB");

static uint64_t now_in_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ---- functions ---- */

static int preprocess_data(mn_task_t *task, mn_value_t input)
{
    prepared_t prepared = {0};
    char fen[CHESS_FEN_SIZE], reason[256];

    if (input.size >= sizeof fen)
        return mn_fail(task, MN_E_INVALID, "the FEN has %zu bytes", input.size);
    memcpy(fen, input.data, input.size);
    fen[input.size] = '\0';
    if (chess_fen_parse(fen, &prepared.board, reason, sizeof reason) < 0)
        return mn_fail(task, MN_E_INVALID, "the FEN's %s", reason);
    if (chess_kpk_make(&prepared.knowledge) == 0)
        return mn_fail(task, MN_E_NO_MEMORY, "no memory for the endings");
    return mn_yield(task, mn_bytes(&prepared, sizeof prepared));
}

static int suggest_candidate_move(mn_task_t *task, mn_value_t input)
{
    uint64_t began = now_in_microseconds();
    chess_candidate_t candidate;
    chess_game_t game;
    question_t question;

    if (input.size != sizeof question)
        return mn_fail(task, MN_E_INVALID, "a question of %zu bytes", input.size);
    memcpy(&question, input.data, sizeof question);
    chess_game_begin(&game, &question.prepared.board);
    for (uint32_t i = 0; i < question.move_count; i++)
        if (chess_game_play(&game, question.moves[i]) < 0)
            return mn_fail(task, MN_E_INVALID, "move %u is not legal", i + 1);
    if (chess_suggest(&game, &question.prepared.knowledge, question.strategy, question.nodes,
                      &candidate) < 0)
        return mn_fail(task, MN_E_FAILED, "%s has no move", chess_strategy_name(question.strategy));
    candidate.microseconds = now_in_microseconds() - began;
    return mn_yield(task, mn_bytes(&candidate, sizeof candidate));
}

/* ---- the job ---- */

/* Where an earlier attempt of this job got to, or the beginning. */
static int go_on_or_begin(mn_task_t *task, const prepared_t *prepared, record_t *record)
{
    mn_value_t last;
    int rc = mn_last_yield(task, &last);

    if (rc == MN_E_NO_RESULT) {
        record_begin(record, &prepared->board);
        return 0;
    }
    if (rc < 0)
        return rc;
    if (record_parse(last.data, last.size, record) < 0)
        return mn_fail(task, MN_E_FAILED, "what was yielded before cannot be read");
    return 0;
}

static int yield_record(mn_task_t *task, const record_t *record)
{
    char *text;
    size_t size;
    if (record_format(record, &text, &size) < 0)
        return mn_fail(task, MN_E_NO_MEMORY, "no memory for the record");
    int rc = mn_yield(task, mn_array(MN_TEXT, text, size));
    free(text);
    return rc;
}

/* One move: all strategies in parallel, then the best of the candidates. */
static int play_one_move(mn_task_t *task, const order_t *order, question_t *questions,
                         record_t *record)
{
    record_move_t move = {.candidate_count = order->strategy_count};
    unsigned played = record->game.plies;

    if (played > 0) {
        const record_move_t *last = &record->moves[played - 1];
        for (uint32_t i = 0; i < order->strategy_count; i++)
            questions[i].moves[played - 1] = last->candidates[last->chosen].move;
    }
    for (uint32_t i = 0; i < order->strategy_count; i++)
        questions[i].move_count = played;

    uint64_t began = now_in_microseconds();
    int rc =
        mn_map(task, suggest_candidate_move, questions, order->strategy_count, move.candidates);
    if (rc < 0)
        return rc; /* MN_E_CANCELLED comes this way too */
    move.microseconds = now_in_microseconds() - began;
    move.chosen = (unsigned)chess_choose(move.candidates, move.candidate_count);
    if (record_add(record, &move) < 0)
        return mn_fail(task, MN_E_FAILED, "the chosen move is not legal");
    return yield_record(task, record);
}

/* The questions hold everything but the moves, which are added as they are played. */
static void fill_questions(const order_t *order, const prepared_t *prepared, const record_t *record,
                           question_t *questions)
{
    for (uint32_t i = 0; i < order->strategy_count; i++) {
        questions[i].prepared = *prepared;
        questions[i].nodes = order->nodes;
        questions[i].strategy = order->strategies[i];
        for (unsigned ply = 0; ply < record->game.plies; ply++)
            questions[i].moves[ply] = record->moves[ply].candidates[record->moves[ply].chosen].move;
    }
}

static int calculate_next_n_moves(mn_task_t *task, mn_value_t input)
{
    mn_value_t prepared_value = mn_none();
    question_t *questions = NULL;
    record_t *record = NULL;
    prepared_t prepared;
    order_t order;
    int rc;

    if (input.size != sizeof order)
        return mn_fail(task, MN_E_INVALID, "an order of %zu bytes", input.size);
    memcpy(&order, input.data, sizeof order);
    if (order.strategy_count < 1 || order.strategy_count > CHESS_STRATEGIES ||
        order.moves > CHESS_MAX_PLIES)
        return mn_fail(task, MN_E_INVALID, "an order for %u moves by %u strategies", order.moves,
                       order.strategy_count);

    rc = mn_call(task, preprocess_data, mn_text(order.fen), &prepared_value);
    if (rc < 0)
        goto cleanup;
    if (prepared_value.size != sizeof prepared) {
        rc = mn_fail(task, MN_E_FAILED, "preprocess_data gave %zu bytes", prepared_value.size);
        goto cleanup;
    }
    memcpy(&prepared, prepared_value.data, sizeof prepared);
    questions = calloc(order.strategy_count, sizeof *questions);
    record = calloc(1, sizeof *record);
    if (!questions || !record) {
        rc = mn_fail(task, MN_E_NO_MEMORY, "no memory for the game");
        goto cleanup;
    }
    rc = go_on_or_begin(task, &prepared, record);
    if (rc < 0)
        goto cleanup;
    fill_questions(&order, &prepared, record, questions);

    while (record->game.plies < order.moves && chess_game_outcome(&record->game) == CHESS_ONGOING) {
        char message[64];
        snprintf(message, sizeof message, "move %u of %u", record->game.plies + 1, order.moves);
        rc = mn_progress(task, (double)record->game.plies / order.moves, message);
        if (rc < 0)
            goto cleanup;
        rc = play_one_move(task, &order, questions, record);
        if (rc < 0)
            goto cleanup;
    }
    rc = mn_progress(task, 1, chess_outcome_name(chess_game_outcome(&record->game)));
cleanup:
    free(record);
    free(questions);
    mn_value_destroy(&prepared_value);
    return rc;
}

/* ---- the driver ---- */

/* Starts the job, or finds it: the key makes a second start of the same game on one store give the
 * first one's id. A game that failed or was cancelled is left as it is, and a further one begun
 * under the next key. */
static int start_or_find(const options_t *options, const order_t *order, mn_id_t *id)
{
    char key[256], list[64] = "";

    for (unsigned i = 0; i < options->strategy_count; i++) {
        strcat(list, i > 0 ? "," : "");
        strcat(list, chess_strategy_name(options->strategies[i]));
    }
    for (unsigned n = 1;; n++) {
        struct timespec now;
        mn_info_t *info = NULL;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(key, sizeof key, "chess %u: %s %s moves=%u nodes=%llu", n, order->fen, list,
                 order->moves, (unsigned long long)order->nodes);
        int rc = mn_start(calculate_next_n_moves, mn_bytes(order, sizeof *order),
                          &(mn_start_options_t){.key = key}, id);
        if (rc < 0)
            return rc;
        rc = mn_get(*id, &info);
        if (rc < 0)
            return rc;
        bool is_old = info->created < (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
        bool is_lost = info->status == MN_FAILED || info->status == MN_CANCELLED;
        mn_info_destroy(info);
        if (!is_old || !is_lost)
            return 0;
    }
}

/* Shows the moves as they are yielded, until the job has ended; *info is its final state. */
static int watch(const options_t *options, mn_id_t id, record_t *record, mn_info_t **info)
{
    unsigned shown = 0;
    uint64_t seen = 0;

    for (;;) {
        mn_info_t *next = NULL;
        int rc = mn_watch(id, seen, -1, &next);
        if (rc < 0)
            return rc;
        mn_info_destroy(*info);
        *info = next;
        seen = next->version;
        if (next->yields > 0 && record_parse(next->result.data, next->result.size, record) < 0) {
            fprintf(stderr, "chess: what the job yielded cannot be read\n");
            return MN_E_FAILED;
        }
        for (; !options->json && shown < record->game.plies; shown++)
            show_move(options, record, shown);
        if (mn_status_terminal(next->status))
            return 0;
    }
}

/* Plays the game; *status and *error say how the job ended. Returns the exit status. */
static int play(const options_t *options, record_t *record, const char **status, char error[512])
{
    order_t order = {.nodes = options->nodes,
                     .moves = options->moves,
                     .strategy_count = options->strategy_count};
    mn_info_t *info = NULL;
    mn_id_t id;

    chess_fen_format(&options->board, order.fen);
    for (unsigned i = 0; i < options->strategy_count; i++)
        order.strategies[i] = options->strategies[i];

    int rc = start_or_find(options, &order, &id);
    if (rc == 0)
        rc = watch(options, id, record, &info);
    if (rc < 0)
        snprintf(error, 512, "%s", *mn_error_message() ? mn_error_message() : mn_strerror(rc));
    else if (info->status != MN_SUCCEEDED)
        snprintf(error, 512, "%s", info->error ? info->error : "the job was cancelled");
    *status = rc == MN_E_INTERRUPTED ? "INTERRUPTED"
              : info                 ? mn_status_name(info->status)
                                     : "FAILED";
    mn_info_destroy(info);

    if (rc == MN_E_INTERRUPTED) {
        fprintf(stderr,
                "chess: stopped after %u of %u moves; the same command on the same store goes on "
                "from here\n",
                record->game.plies, options->moves);
        return CHESS_EXIT_MORE_TO_DO;
    }
    if (*error) {
        fprintf(stderr, "chess: %s\n", error);
        return CHESS_EXIT_FAILED;
    }
    return CHESS_EXIT_DONE;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    const char *status = "SUCCEEDED";
    char error[512] = "";
    options_t options;

    (void)task;
    int exit_status = options_parse(argc, argv, &options);
    if (exit_status)
        return exit_status - 1;
    record_t *record = calloc(1, sizeof *record);
    if (!record) {
        fprintf(stderr, "chess: no memory\n");
        return CHESS_EXIT_FAILED;
    }

    record_begin(record, &options.board);
    if (!options.json)
        show_board(&options, &options.board, CHESS_NO_MOVE);
    if (chess_game_outcome(&record->game) == CHESS_ONGOING)
        exit_status = play(&options, record, &status, error);
    if (options.json)
        show_json(&options, record, status, *error ? error : NULL);
    else
        show_summary(record);
    free(record);
    return exit_status;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
