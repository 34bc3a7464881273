/* SPDX-License-Identifier: MIT
 *
 * See heartbeat.h.
 */
#include "scheduler/heartbeat.h"

#include "util/clock.h"
#include "util/error.h"

#include <multinode.h>
#include <stdlib.h>

int mni_heartbeat_init(mni_heartbeat_t *heartbeat, uint32_t count, double limit, double pause)
{
    *heartbeat = (mni_heartbeat_t){.count = count, .beat_at = MNI_NEVER};
    if (limit <= 0)
        return 0;
    heartbeat->heard = malloc(count * sizeof *heartbeat->heard);
    if (!heartbeat->heard)
        return mni_error(MN_E_NO_MEMORY, "no memory for the heartbeats of %u ranks", count);
    for (uint32_t rank = 0; rank < count; rank++)
        heartbeat->heard[rank] = MNI_NEVER;
    heartbeat->limit = (uint64_t)(limit * 1e9);
    heartbeat->pause = (uint64_t)(pause * 1e9);
    heartbeat->beat_at = 0;
    return 0;
}

void mni_heartbeat_fini(mni_heartbeat_t *heartbeat)
{
    free(heartbeat->heard);
    *heartbeat = (mni_heartbeat_t){.beat_at = MNI_NEVER};
}

void mni_heartbeat_heard(mni_heartbeat_t *heartbeat, uint32_t rank, uint64_t now)
{
    if (rank < heartbeat->count && heartbeat->limit > 0)
        heartbeat->heard[rank] = now;
}

void mni_heartbeat_forget(mni_heartbeat_t *heartbeat, uint32_t rank)
{
    if (rank < heartbeat->count && heartbeat->limit > 0)
        heartbeat->heard[rank] = MNI_NEVER;
}

bool mni_heartbeat_due(mni_heartbeat_t *heartbeat, uint64_t now)
{
    if (now < heartbeat->beat_at)
        return false;
    heartbeat->beat_at = now + heartbeat->pause;
    return true;
}

int64_t mni_heartbeat_look(mni_heartbeat_t *heartbeat, uint64_t now)
{
    uint64_t missed = now - heartbeat->looked;
    int64_t silent = -1;

    if (heartbeat->limit == 0)
        return -1;
    if (heartbeat->looked == 0 || missed < 2 * MNI_HEARTBEAT_LOOK)
        missed = 0;
    heartbeat->looked = now;
    for (uint32_t rank = 0; rank < heartbeat->count; rank++) {
        if (heartbeat->heard[rank] == MNI_NEVER)
            continue;
        heartbeat->heard[rank] += missed;
        if (now > heartbeat->heard[rank] && now - heartbeat->heard[rank] > heartbeat->limit)
            silent = rank;
    }
    return silent;
}
