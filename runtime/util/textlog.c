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

int mni_textlog_join(const char *head, const char *tail, size_t part, uint64_t total, char **text,
                     size_t *size)
{
    char note[80] = "";
    size_t first = total < part ? (size_t)total : part;
    uint64_t rest = total - first;
    size_t last = rest < part ? (size_t)rest : part;
    size_t begin = rest > part ? (size_t)(rest % part) : 0; /* of the oldest byte in the ring */

    if (rest > part)
        snprintf(note, sizeof note, "\n[... %llu bytes left out ...]\n",
                 (unsigned long long)(rest - part));
    size_t length = first + strlen(note) + last;
    char *joined = malloc(length + 1);
    if (!joined)
        return mni_error(MN_E_NO_MEMORY, "no memory for the output of a task");
    char *at = joined;
    if (first > 0)
        memcpy(at, head, first);
    at += first;
    memcpy(at, note, strlen(note));
    at += strlen(note);
    if (last > 0) {
        memcpy(at, tail + begin, last - begin);
        memcpy(at + last - begin, tail, begin);
    }
    joined[length] = '\0';
    *text = joined;
    *size = length;
    return 0;
}

int mni_textlog_read(const mni_textlog_t *log, char **text, size_t *size)
{
    return mni_textlog_join(log->text, log->total > PART ? log->text + PART : NULL, PART,
                            log->total, text, size);
}

void mni_textlog_fini(mni_textlog_t *log)
{
    free(log->text);
    *log = (mni_textlog_t){0};
}
