/* SPDX-License-Identifier: MIT
 *
 * What an executor has of its node while it lives: control groups, and the watch over its memory where no
 * group counts it. Spawner only, one thread.
 */
#include "executor/spawner_private.h"
#include "executor/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS 4096 /* of one tree: more are not looked at */

/* Makes what is not there. The group that kills may be missing, then that is done by scanning; the one that
 * limits may not. */
static int group_make(mni_group_t *group, const mni_spawner_setup_t *setup)
{
    uint64_t rings;

    if (mni_tree_group(&setup->tree, group->seat, group->path) < 0)
        group->path[0] = '\0';
    if (mni_confine_group(&setup->confine, group->seat) < 0)
        return errno;
    if (group->notice >= 0 && read(group->notice, &rings, sizeof rings) < 0)
        errno = 0; /* nothing was left in it */
    group->kills = mni_confine_kills(&setup->confine, group->seat);
    memset(&setup->shared->seats[group->seat], 0, sizeof setup->shared->seats[0]);
    return 0;
}

int mni_group_take(mni_groups_t *groups, const mni_spawner_setup_t *setup, mni_group_t **out,
                   bool *fresh)
{
    mni_group_t *group = groups->free;
    int error;

    *fresh = group == NULL;
    if (group) {
        groups->free = group->next;
    } else {
        if (groups->count >= MNI_SPAWNER_SEATS)
            return EAGAIN;
        group = calloc(1, sizeof *group);
        if (!group)
            return ENOMEM;
        group->seat = groups->count++;
        group->notice = -1;
    }
    if ((error = group_make(group, setup)) != 0) {
        mni_group_give(groups, group);
        return error;
    }
    if (group->notice < 0)
        group->notice = mni_confine_notice(&setup->confine, group->seat);
    else
        *fresh = false;
    *out = group;
    return 0;
}

void mni_group_give(mni_groups_t *groups, mni_group_t *group)
{
    if (!group)
        return;
    group->next = groups->free;
    groups->free = group;
}

uint64_t mni_seat_look(const mni_spawner_setup_t *setup, const mni_group_t *group, uint32_t slot,
                       pid_t pid, int memfd)
{
    static pid_t pids[MEMBERS];
    mni_seat_t *seat = &setup->shared->seats[group->seat];

    if (!__atomic_load_n(&seat->busy, __ATOMIC_ACQUIRE) || seat->owner != slot)
        return 0;
    uint64_t limit = __atomic_load_n(&seat->limit, __ATOMIC_RELAXED);
    size_t count = mni_watch_members(group->path, pid, pids, MEMBERS);
    uint64_t usage = mni_watch_usage(pids, count, memfd, limit);
    if (usage > __atomic_load_n(&seat->peak, __ATOMIC_RELAXED))
        __atomic_store_n(&seat->peak, usage, __ATOMIC_RELAXED);
    /* Another task may have begun meanwhile, with another limit. */
    return usage > limit && usage > __atomic_load_n(&seat->limit, __ATOMIC_RELAXED) ? usage : 0;
}

bool mni_seats_busy(const mni_spawner_setup_t *setup, const mni_groups_t *groups)
{
    for (unsigned i = 0; i < groups->count; i++)
        if (__atomic_load_n(&setup->shared->seats[i].busy, __ATOMIC_ACQUIRE))
            return true;
    return false;
}
