/* SPDX-License-Identifier: MIT
 *
 * Texts, times and values as people read them.
 */
#include "command/stored.h"

#include "util/size.h"

#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#define SHORT_NUMBERS 8
#define SHORT_BYTES 16
#define SHORT_TEXT 60

/* --- texts ---------------------------------------------------- */

/* The next character of a text: its bytes, and its width on a terminal; 0 bytes at the end. What cannot be shown has a negative
 * width. */
static size_t next_character(const char *text, mbstate_t *state, int *width)
{
    wchar_t character;
    size_t bytes = mbrtowc(&character, text, MB_LEN_MAX, state);

    if (bytes == 0)
        return 0;
    if (bytes == (size_t)-1 || bytes == (size_t)-2) {
        memset(state, 0, sizeof *state);
        *width = -1;
        return 1;
    }
    *width = wcwidth(character);
    return bytes;
}

size_t mni_show_text(FILE *to, const char *text, size_t columns)
{
    static bool has_locale;
    if (!has_locale)
        setlocale(LC_CTYPE, "");
    has_locale = true;
    bool cut = columns > 0 && mni_shown_width(text) > columns;
    size_t most = cut ? columns - 1 : SIZE_MAX, used = 0, bytes;
    mbstate_t state = {0};
    int width;

    for (; (bytes = next_character(text, &state, &width)) > 0; text += bytes) {
        size_t needed = width < 0 ? 1 : (size_t)width;
        if (needed > most - used)
            break;
        if (to != NULL && width < 0)
            fputc(*text == '\n' || *text == '\t' || *text == '\r' ? ' ' : '?', to);
        else if (to != NULL)
            fwrite(text, 1, bytes, to);
        used += needed;
    }
    if (cut && to != NULL)
        fputc('+', to);
    return used + cut;
}

size_t mni_shown_width(const char *text)
{
    return mni_show_text(NULL, text, 0);
}

/* --- times ---------------------------------------------------- */

char *mni_show_time(double seconds, char *text, size_t size)
{
    struct tm parts;
    time_t whole = (time_t)seconds;

    if (!(seconds > 0 && seconds < 1e11) || localtime_r(&whole, &parts) == NULL ||
        strftime(text, size, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        text[0] = '\0';
    return text;
}

char *mni_show_span(double seconds, char *text, size_t size)
{
    if (!(seconds >= 0 && seconds < 1e11))
        text[0] = '\0';
    else if (seconds < 59.95)
        snprintf(text, size, "%.*f s", seconds < 0.9995 ? 3 : 1, seconds);
    else {
        uint64_t whole = (uint64_t)(seconds + 0.5);
        if (whole < 3600)
            snprintf(text, size, "%" PRIu64 ":%02" PRIu64, whole / 60, whole % 60);
        else
            snprintf(text, size, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, whole / 3600,
                     whole / 60 % 60, whole % 60);
    }
    return text;
}

/* --- values ---------------------------------------------------- */

static void show_beginning(FILE *to, const mn_value_t *value)
{
    const unsigned char *bytes = value->data;
    char text[64];

    if (value->type == MN_TEXT) {
        size_t length = strnlen(value->data, value->size);
        char *words = strndup(value->data, length < 4 * SHORT_TEXT ? length : 4 * SHORT_TEXT);
        if (words != NULL) {
            fputs(": ", to);
            mni_show_text(to, words, SHORT_TEXT);
        }
        free(words);
        return;
    }
    size_t count = value->size / mn_type_size(value->type);
    size_t most = value->type == MN_BYTES ? SHORT_BYTES : SHORT_NUMBERS;
    fputc(':', to);
    for (size_t i = 0; i < count && i < most; i++)
        if (value->type == MN_BYTES)
            fprintf(to, " %02x", bytes[i]);
        else
            fprintf(to, " %s", mni_json_number(value, i, text, sizeof text));
    if (count > most)
        fputs(" ...", to);
}

void mni_show_value(FILE *to, const mn_value_t *value)
{
    char size[32];

    if (value->ndims == 0) {
        fputs("none", to);
        return;
    }
    if (value->type == MN_BYTES || value->type == MN_TEXT) {
        fprintf(to, "%s of %s", value->type == MN_TEXT ? "text" : "bytes",
                mni_size_format(value->size, size, sizeof size));
    } else {
        fprintf(to, "%s[", mn_type_name(value->type));
        for (unsigned i = 0; i < value->ndims; i++)
            fprintf(to, "%s%zu", i > 0 ? ", " : "", value->dims[i]);
        fputc(']', to);
    }
    if (value->size > 0)
        show_beginning(to, value);
}

void mni_print_value(FILE *to, const mn_value_t *value)
{
    size_t line = value->ndims > 1 ? value->dims[value->ndims - 1] : 1;
    size_t block = value->ndims > 2 ? line * value->dims[value->ndims - 2] : 0;
    char text[64];

    if (value->type == MN_TEXT || value->type == MN_BYTES) {
        fwrite(value->data, 1, value->size, to);
        return;
    }
    size_t count = value->size / mn_type_size(value->type);
    for (size_t i = 0; i < count && !ferror(to); i++) {
        if (block > 0 && i > 0 && i % block == 0)
            fputc('\n', to);
        fputs(mni_json_number(value, i, text, sizeof text), to);
        fputc((i + 1) % line == 0 ? '\n' : ' ', to);
    }
}
