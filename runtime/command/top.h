/* SPDX-License-Identifier: MIT
 *
 * multinode top, inside: what a runtime is at an instant (top.c), as lines of text (frame.c) on a screen (screen.c).
 */
#ifndef MNI_COMMAND_TOP_H
#define MNI_COMMAND_TOP_H

#include "command/live.h"

#include <stdio.h>

/* What was last asked for. Owns its JSON. */
typedef struct mni_top {
    mni_live_t live;
    double interval; /* seconds between two looks */
    double looked;   /* seconds since 1970; 0: not yet */
    long long ended; /* jobs that had, then */
    double rate;     /* jobs that ended per second since the look before; negative: not known */
    json_t *health, *nodes, *jobs; /* as REST has them; jobs: those that run */
} mni_top_t;

/* Looks again. 0, or an exit status; why is said unless live.silent. */
int mni_top_look(mni_top_t *top);

/* frame.c: writes it as lines of at most `columns`; `rows` of them at most, 0: as many as there are. `paused`: it says so. */
void mni_top_print(const mni_top_t *top, FILE *to, size_t columns, size_t rows, bool paused);

/* screen.c: shows it on the terminal, again and again, until q is typed. An exit status; MNI_TOP_NO_SCREEN: there is no terminal that it could be
 * shown on, and nothing was done. */
#define MNI_TOP_NO_SCREEN (-1)
int mni_top_show(mni_top_t *top);

#endif
