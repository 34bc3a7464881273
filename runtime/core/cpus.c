/* SPDX-License-Identifier: MIT
 *
 * Sets of cores.
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
    size_t length = 0;
    text[0] = '\0';
    for (uint32_t first = 0; first < MNI_MAX_CORES; first++) {
        char part[32];
        uint32_t last = first;
        if (!mni_cpus_has(cpus, first))
            continue;
        while (mni_cpus_has(cpus, last + 1))
            last++;
        int size = last > first ? snprintf(part, sizeof part, "%s%u-%u", length ? "," : "", first, last)
                                : snprintf(part, sizeof part, "%s%u", length ? "," : "", first);
        if (length + (size_t)size + 4 > room) {
            snprintf(text + length, room - length, "...");
            return text;
        }
        memcpy(text + length, part, (size_t)size + 1);
        length += (size_t)size;
        first = last;
    }
    return text;
}
