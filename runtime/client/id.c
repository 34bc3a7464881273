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

int mn_id_parse(const char *text, mn_id_t *id)
{
    uuid_t bytes;
    if (!text)
        return mni_error(MN_E_INVALID, "no text of an id was given (NULL)");
    if (!id)
        return mni_error(MN_E_INVALID, "no place for the id was given (NULL)");
    if (strnlen(text, MN_ID_TEXT) != MN_ID_TEXT - 1 || uuid_parse(text, bytes) != 0)
        return mni_error(
            MN_E_INVALID,
            "\"%.40s\" is not the id of a job; ids look like 8f14e45f-ceea-467f-a1d3-9b2f6c5d7e10",
            text);
    memcpy(id->bytes, bytes, sizeof id->bytes);
    return 0;
}

bool mn_id_equal(mn_id_t a, mn_id_t b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}
