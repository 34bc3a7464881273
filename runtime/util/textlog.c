/* SPDX-License-Identifier: MIT
 *
 * Text that is kept in bounds.
 */
#include "util/textlog.h"

#include "util/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART MNI_TEXTLOG_PART

int mni_textlog_add(mni_textlog_t *log, const char *text, size_t size)
{
    size_t needed = log->total + size < 2 * PART ? (size_t)log->total + size : 2 * PART;
    if (needed > log->room) {
        size_t room = log->room ? log->room : 256;
        while (room < needed)
            room *= 2;
        char *grown = realloc(log->text, room);
        if (!grown)
            return mni_error(MN_E_NO_MEMORY, "no memory for the output of a task");
        log->text = grown;
        log->room = room;
    }
    if (size > 3 * PART) { /* only its first and last part can remain */
        size_t middle = size - 2 * PART;
        int rc = mni_textlog_add(log, text, PART);
        if (rc < 0)
            return rc;
        log->total += middle;
        return mni_textlog_add(log, text + PART + middle, PART);
    }
    while (size > 0) {
        size_t at =
            log->total < PART ? (size_t)log->total : PART + (size_t)((log->total - PART) % PART);
        size_t run = at < PART ? PART - at : 2 * PART - at;
        if (run > size)
            run = size;
        memcpy(log->text + at, text, run);
        log->total += run;
        text += run;
        size -= run;
    }
    return 0;
}

int mni_textlog_add_piece(mni_textlog_t *log, const mni_textlog_piece_t *piece)
{
    size_t behind = piece->size - piece->before;
    char note[MNI_TEXTLOG_NOTE];
    int rc = mni_textlog_add(log, piece->text, piece->before);

    /* What is missing counts as written where what follows takes the whole ring; else a line stands for it. */
    if (rc == 0 && piece->left_out > 0 && behind >= PART && log->total >= PART)
        log->total += piece->left_out;
    else if (rc == 0 && piece->left_out > 0)
        rc = mni_textlog_add(log, note, strlen(mni_textlog_note(piece->left_out, note)));
    return rc == 0 && behind > 0 ? mni_textlog_add(log, piece->text + piece->before, behind) : rc;
}

char *mni_textlog_note(uint64_t left_out, char note[MNI_TEXTLOG_NOTE])
{
    note[0] = '\0';
    if (left_out > 0)
        snprintf(note, MNI_TEXTLOG_NOTE, "\n[... %llu bytes left out ...]\n",
                 (unsigned long long)left_out);
    return note;
}

int mni_textlog_cut(const char *head, const char *tail, size_t part, uint64_t total, uint64_t from,
                    mni_textlog_piece_t *piece)
{
    uint64_t oldest = total > 2 * part ? total - part : part; /* in the ring */

    *piece = (mni_textlog_piece_t){.text = NULL};
    if (from >= total)
        return 0;
    size_t end = total < part ? (size_t)total : part;
    size_t before = from < end ? end - (size_t)from : 0;
    uint64_t begin = from > oldest ? from : oldest;
    size_t behind = total > begin ? (size_t)(total - begin) : 0;
    char *text = malloc(before + behind + 1);
    if (!text)
        return mni_error(MN_E_NO_MEMORY, "no memory for the output of a task");
    if (before > 0)
        memcpy(text, head + from, before);
    if (behind > 0) {
        size_t at = (size_t)((begin - part) % part);
        size_t run = behind < part - at ? behind : part - at;
        memcpy(text + before, tail + at, run);
        memcpy(text + before + run, tail, behind - run);
    }
    text[before + behind] = '\0';
    *piece = (mni_textlog_piece_t){.text = text,
                                   .size = before + behind,
                                   .before = before,
                                   .left_out = behind > 0 ? begin - (before > 0 ? end : from) : 0};
    return 0;
}

int mni_textlog_read(const mni_textlog_t *log, uint64_t from, char **text, size_t *size)
{
    mni_textlog_piece_t piece;
    char note[MNI_TEXTLOG_NOTE];
    int rc = mni_textlog_cut(log->text, log->total > PART ? log->text + PART : NULL, PART,
                             log->total, from, &piece);

    if (rc < 0)
        return rc;
    size_t length = strlen(mni_textlog_note(piece.left_out, note));
    char *whole = realloc((char *)piece.text, piece.size + length + 1);
    if (!whole) {
        free((char *)piece.text);
        return mni_error(MN_E_NO_MEMORY, "no memory for the output of a task");
    }
    memmove(whole + piece.before + length, whole + piece.before, piece.size - piece.before);
    memcpy(whole + piece.before, note, length);
    whole[piece.size + length] = '\0';
    *text = whole;
    *size = piece.size + length;
    return 0;
}

void mni_textlog_fini(mni_textlog_t *log)
{
    free(log->text);
    *log = (mni_textlog_t){0};
}
