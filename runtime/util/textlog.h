/* SPDX-License-Identifier: MIT
 *
 * Text that is kept in bounds: the first and the last bytes of all that was added. Pure; one thread at a time.
 */
#ifndef MNI_UTIL_TEXTLOG_H
#define MNI_UTIL_TEXTLOG_H

#include <stddef.h>
#include <stdint.h>

/* Bytes kept at the beginning, and as many at the end. */
#define MNI_TEXTLOG_PART ((size_t)64 * 1024)

/* Zero-initialized; free with mni_textlog_fini(). Takes memory only for what is there. */
typedef struct mni_textlog {
    char *text;     /* the first bytes, then a ring of the last */
    size_t room;    /* bytes allocated */
    uint64_t total; /* bytes added */
} mni_textlog_t;

/* A part of what was written, from somewhere to the end. */
typedef struct mni_textlog_piece {
    const char *text;
    size_t size;
    size_t before;     /* bytes of it before the place where some are missing */
    uint64_t left_out; /* so many are missing there */
} mni_textlog_piece_t;

/* Adds bytes. 0 or MN_E_NO_MEMORY. */
int mni_textlog_add(mni_textlog_t *log, const char *text, size_t size);
int mni_textlog_add_piece(mni_textlog_t *log, const mni_textlog_piece_t *piece);

/* What is kept of byte number `from` and those after it, as one NUL-terminated text; where bytes were left out a line says how many.
 * `*text` is malloc'ed. */
int mni_textlog_read(const mni_textlog_t *log, uint64_t from, char **text, size_t *size);

/* The line that stands for bytes that were left out; "" for none. */
#define MNI_TEXTLOG_NOTE 80
char *mni_textlog_note(uint64_t left_out, char note[MNI_TEXTLOG_NOTE]);

void mni_textlog_fini(mni_textlog_t *log);

/* What there is from byte number `from` on of a head and a ring as the spawner keeps them: `total` bytes were written, the first `part` are in
 * `head`, byte number n >= part is at tail[(n - part) % part]. The text is malloc'ed, NULL if there is none. 0 or MN_E_NO_MEMORY. */
int mni_textlog_cut(const char *head, const char *tail, size_t part, uint64_t total, uint64_t from,
                    mni_textlog_piece_t *piece);

#endif
