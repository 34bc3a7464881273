/* SPDX-License-Identifier: MIT
 *
 * Sets of a node's cores, for people. Pure; any thread.
 */
#include "core/core.h"

#include <stdio.h>
#include <string.h>

uint32_t mni_cpus_count(const mni_cpus_t *cpus)
{
    uint32_t count = 0;

    for (size_t i = 0; i < MNI_MAX_CORES / 64; i++)
        count += (uint32_t)__builtin_popcountll(cpus->bits[i]);
    return count;
}

char *mni_cpus_format(const mni_cpus_t *cpus, char *text, size_t room)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t first = 0; first < MNI_MAX_CORES; first++) {
        char range[24];
        uint32_t last = first;
        int size;
        if (!mni_cpus_has(cpus, first))
            continue;
        while (mni_cpus_has(cpus, last + 1))
            last++;
        if (last == first)
            size = snprintf(range, sizeof range, "%s%u", used ? "," : "", first);
        else
            size = snprintf(range, sizeof range, "%s%u-%u", used ? "," : "", first, last);
        /* Room for "..." stays as long as anything may follow. */
        if (used + (size_t)size + 4 > room) {
            memcpy(text + used, "...", 4);
            return text;
        }
        memcpy(text + used, range, (size_t)size + 1);
        used += (size_t)size;
        first = last;
    }
    return text;
}
