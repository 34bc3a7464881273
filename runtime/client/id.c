/* SPDX-License-Identifier: MIT
 *
 * Identities of jobs as text. Pure; any thread.
 */
#include "util/error.h"

#include <string.h>
#include <uuid/uuid.h>

_Static_assert(sizeof(uuid_t) == sizeof(mn_id_t), "an id is a UUID");
_Static_assert(UUID_STR_LEN == MN_ID_TEXT, "a UUID has 36 characters and a NUL");

char *mn_id_format(mn_id_t id, char text[MN_ID_TEXT])
{
    if (text)
        uuid_unparse_lower(id.bytes, text);
    return text;
}

/* Hexadecimal digits, each with a bit that all others lack. */
static const uint8_t digits[256] = {
    ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15,
    ['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b,
    ['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f, ['A'] = 0x1a, ['B'] = 0x1b,
    ['C'] = 0x1c, ['D'] = 0x1d, ['E'] = 0x1e, ['F'] = 0x1f,
};

/* As uuid_parse(), without its call of strtoul() for each byte: a store of many jobs is read at this speed. */
static bool parse(const char *text, mn_id_t *id)
{
    const uint8_t *at = (const uint8_t *)text;
    unsigned sound = at[8] == '-' && at[13] == '-' && at[18] == '-' && at[23] == '-' ? 0x10 : 0;

    for (size_t i = 0; i < sizeof id->bytes; i++, at += 2) {
        at += i == 4 || i == 6 || i == 8 || i == 10;
        unsigned high = digits[at[0]], low = digits[at[1]];
        sound &= high & low;
        id->bytes[i] = (uint8_t)(high << 4 | (low & 15));
    }
    return sound != 0;
}

int mn_id_parse(const char *text, mn_id_t *id)
{
    mn_id_t parsed;
    if (!text)
        return mni_error(MN_E_INVALID, "no text of an id was given (NULL)");
    if (!id)
        return mni_error(MN_E_INVALID, "no place for the id was given (NULL)");
    if (strnlen(text, MN_ID_TEXT) != MN_ID_TEXT - 1 || !parse(text, &parsed))
        return mni_error(
            MN_E_INVALID,
            "\"%.40s\" is not the id of a job; ids look like 8f14e45f-ceea-467f-a1d3-9b2f6c5d7e10",
            text);
    *id = parsed;
    return 0;
}

bool mn_id_equal(mn_id_t a, mn_id_t b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}
