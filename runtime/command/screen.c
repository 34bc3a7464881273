/* SPDX-License-Identifier: MIT
 *
 * multinode top on a terminal, with ncurses; where that is not there no_screen.c takes its place.
 */
#include "command/top.h"

#include "util/clock.h"

#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS "q quit   p pause"

static void draw(const mni_top_t *top, bool paused)
{
    size_t rows = LINES > 1 ? (size_t)LINES - 1 : 1; /* the last one has the keys */
    char *text = NULL, *rest = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (to == NULL)
        return;
    mni_top_print(top, to, COLS > 1 ? (size_t)COLS : 1, rows, paused);
    fclose(to);
    erase();
    int row = 0;
    for (char *at = text; at != NULL && (rest = strchr(at, '\n')) != NULL && row < (int)rows;
         at = rest + 1) {
        *rest = '\0';
        mvaddstr(row++, 0, at);
    }
    mvaddnstr(LINES - 1, 0, KEYS, COLS - 1);
    refresh();
    free(text);
}

/* Until it is time for the next look; false: q was typed. */
static bool serve_keys(const mni_top_t *top, double until, bool *paused)
{
    for (;;) {
        double left = until - mni_clock_calendar();
        if (!*paused && left <= 0)
            return true;
        /* The clock may be set: no longer than the interval. */
        left = left < top->interval ? left : top->interval;
        timeout(*paused ? -1 : (int)(left * 1000) + 1);
        int key = getch();
        if (key == 'q' || key == 'Q')
            return false;
        if (key == 'p' || key == ' ') {
            *paused = !*paused;
            if (!*paused)
                return true;
        }
        if (key != ERR)
            draw(top, *paused); /* KEY_RESIZE too */
        else if (*paused && (!isatty(STDIN_FILENO) || feof(stdin)))
            return false;
        else if (!*paused)
            return true;
    }
}

/* The runtime did not answer: says why on the terminal as it was before. */
static int say_again(mni_top_t *top)
{
    endwin();
    top->live.silent = false;
    int status = mni_top_look(top);
    top->live.silent = true;
    return status;
}

int mni_top_show(mni_top_t *top)
{
    const char *kind = getenv("TERM");
    bool paused = false;
    int status = 0;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || kind == NULL || kind[0] == '\0' ||
        strcmp(kind, "dumb") == 0)
        return MNI_TOP_NO_SCREEN;
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C"); /* jansson and what is sent */
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (screen == NULL)
        return MNI_TOP_NO_SCREEN;
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    top->live.silent = true;
    do {
        double until = mni_clock_calendar() + top->interval;
        draw(top, paused);
        if (!serve_keys(top, until, &paused))
            break;
        status = mni_top_look(top);
        if (status != 0)
            status = say_again(top);
    } while (status == 0);
    endwin();
    delscreen(screen);
    top->live.silent = false;
    return status;
}
