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

/* Adds bytes. 0 or MN_E_NO_MEMORY. */
int mni_textlog_add(mni_textlog_t *log, const char *text, size_t size);

/* What is kept, as one NUL-terminated text; where bytes were left out a line says how many. `*text` is malloc'ed. */
int mni_textlog_read(const mni_textlog_t *log, char **text, size_t *size);

void mni_textlog_fini(mni_textlog_t *log);

/* The same, over a head and a ring as the spawner keeps them: `total` bytes were written, the first `part` are in
 * `head`, byte number n >= part is at tail[(n - part) % part]. */
int mni_textlog_join(const char *head, const char *tail, size_t part, uint64_t total, char **text,
                     size_t *size);

#endif
