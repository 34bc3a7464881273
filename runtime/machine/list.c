/* SPDX-License-Identifier: MIT
 *
 * Lists of processing units, as the kernel, hwloc and the ranks of a node write them. Main thread of a rank.
 */
#include "machine/internal.h"

#include "util/error.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

/* Numbers above it are no processing units: an input check, far above what kernels can have. */
#define PU_LIMIT (1u << 20)

/* Reads one number of a list and moves on; false: there is none. */
static bool list_number(const char **text, unsigned *number)
{
    char *end;

    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    unsigned long value = strtoul(*text, &end, 10);
    if (errno != 0 || value >= PU_LIMIT)
        return false;
    *number = (unsigned)value;
    *text = end;
    return true;
}

/* Reads "0-3,8". hwloc's own reader takes open ranges and skips what it does not understand. */
int mni_list_parse(const char *list, hwloc_bitmap_t set)
{
    const char *at = list;

    for (;; at++) {
        unsigned first, last;
        if (!list_number(&at, &first))
            break;
        last = first;
        if (*at == '-' && (at++, !list_number(&at, &last) || last < first))
            break;
        if (hwloc_bitmap_set_range(set, first, (int)last) < 0)
            return mni_error(MN_E_NO_MEMORY, "no memory for a list of processing units");
        if (*at == '\0')
            return 0;
        if (*at != ',')
            break;
    }
    return mni_error(MN_E_INVALID, "\"%.256s\" is not a list of processing units such as \"0-3,8\"",
                     list);
}
