/* SPDX-License-Identifier: MIT
 *
 * The rules that look beyond one position: repetition, the fifty-move rule, and when a game has
 * ended. */
#include "game.h"

#define DARK_SQUARES ((chess_set_t)0xAA55AA55AA55AA55u)

void chess_game_begin(chess_game_t *game, const chess_board_t *board)
{
    game->board = *board;
    game->plies = 0;
    game->hashes[0] = board->hash;
}

int chess_game_play(chess_game_t *game, chess_move_t move)
{
    if (game->plies >= CHESS_MAX_PLIES || !chess_is_legal(&game->board, move))
        return -1;
    chess_play(&game->board, move);
    game->hashes[++game->plies] = game->board.hash;
    return 0;
}

unsigned chess_game_occurrences(const chess_game_t *game)
{
    unsigned count = 1;
    unsigned back = game->board.halfmove < game->plies ? game->board.halfmove : game->plies;

    for (unsigned i = 2; i <= back; i += 2)
        count += game->hashes[game->plies - i] == game->board.hash;
    return count;
}

bool chess_is_insufficient(const chess_board_t *board)
{
    chess_set_t knights = board->kinds[CHESS_KNIGHT], bishops = board->kinds[CHESS_BISHOP];

    if (board->kinds[CHESS_PAWN] | board->kinds[CHESS_ROOK] | board->kinds[CHESS_QUEEN])
        return false;
    if (knights)
        return chess_count(knights) == 1 && !bishops;
    return !(bishops & DARK_SQUARES) || !(bishops & ~DARK_SQUARES);
}

chess_outcome_t chess_game_outcome(const chess_game_t *game)
{
    chess_move_t moves[CHESS_MAX_MOVES];

    if (chess_legal_moves(&game->board, moves) == 0)
        return chess_checkers(&game->board) ? CHESS_CHECKMATE : CHESS_STALEMATE;
    if (chess_is_insufficient(&game->board))
        return CHESS_INSUFFICIENT;
    if (game->board.halfmove >= 100)
        return CHESS_FIFTY_MOVES;
    if (chess_game_occurrences(game) >= 3)
        return CHESS_REPETITION;
    return CHESS_ONGOING;
}

const char *chess_outcome_name(chess_outcome_t outcome)
{
    switch (outcome) {
    case CHESS_CHECKMATE:
        return "checkmate";
    case CHESS_STALEMATE:
        return "stalemate";
    case CHESS_REPETITION:
        return "threefold repetition";
    case CHESS_FIFTY_MOVES:
        return "fifty-move rule";
    case CHESS_INSUFFICIENT:
        return "insufficient material";
    case CHESS_ONGOING:
        break;
    }
    return "ongoing";
}

const char *chess_score(const chess_board_t *board, chess_outcome_t outcome)
{
    if (outcome == CHESS_ONGOING)
        return "*";
    if (outcome == CHESS_CHECKMATE)
        return board->side == CHESS_WHITE ? "0-1" : "1-0";
    return "1/2-1/2";
}
