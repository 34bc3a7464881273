/* SPDX-License-Identifier: MIT
 *
 * Which rank of mpirun's is not there. With recovery mpirun lets the others wait for ever in
 * MPI_Init for a rank that ended before it took part; the command looks for that until the
 * runtime has begun.
 */
#include "command/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RANKS_COUNTED 4096

/* A rank's number from its environment; -1 if it has none (mpirun has forked it, but not yet
 * executed). */
static long rank_of(pid_t pid)
{
    static const char variable[] = "OMPI_COMM_WORLD_RANK=";
    char path[64], *text = NULL;
    size_t room = 0;
    long rank = -1;

    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && rank < 0 && getdelim(&text, &room, '\0', file) > 0)
        if (strncmp(text, variable, sizeof variable - 1) == 0)
            rank = strtol(text + sizeof variable - 1, NULL, 10);
    free(text);
    if (file)
        fclose(file);
    return rank;
}

long mni_guard_missing_rank(pid_t mpirun, long ranks)
{
    static pid_t children[MOST_RANKS_COUNTED];
    static bool seen[MOST_RANKS_COUNTED];
    size_t count = mni_guard_children(mpirun, children, MOST_RANKS_COUNTED);

    if (count == 0 || count == MOST_RANKS_COUNTED || ranks > MOST_RANKS_COUNTED)
        return -1;
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < count; i++) {
        long rank = rank_of(children[i]);
        if (rank < 0 || rank >= ranks)
            return -1;
        seen[rank] = true;
    }
    for (long rank = 0; rank < ranks; rank++)
        if (!seen[rank])
            return rank;
    return -1;
}
