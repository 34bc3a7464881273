/* SPDX-License-Identifier: MIT
 *
 * What keeps executors within their memory: a control group of the memory controller for each,
 * version 2 where it is delegated, version 1 where it may be written. Where there is none to be had
 * the spawner watches instead (watch.h).
 *
 * The spawner makes the groups, puts its children into them and hears of what the kernel killed; the
 * rank sets limits and reads figures. Groups are used again for later executors: each has a number,
 * its seat.
 */
#ifndef MNI_EXECUTOR_CONFINE_H
#define MNI_EXECUTOR_CONFINE_H

#include "executor/tree.h"

#include <stdbool.h>
#include <stdint.h>

/* A process that runs nothing yet, its page tables and the kernel's records of it: what a control group
 * counts and nobody asked for. It is added to each limit. */
#define MNI_CONFINE_OWN ((uint64_t)8 << 20)

typedef enum mni_confine_method {
    MNI_CONFINE_WATCH = 1,
    MNI_CONFINE_CGROUP1,
    MNI_CONFINE_CGROUP2
} mni_confine_method_t;

typedef struct mni_confine {
    mni_confine_method_t method;  /* of the memory */
    bool shared;                  /* `memory` is the tree's folder, which makes and removes it */
    char memory[MNI_CGROUP_PATH]; /* folder of the groups; "": none */
} mni_confine_t;

/* Finds what works here, by trying, or what MULTINODE_CONFINE names: cgroup2, cgroup1 or watch.
 * MN_E_INVALID: the variable makes no sense; MN_E_IMPOSSIBLE: what it names does not work here. */
int mni_confine_open(mni_confine_t *confine, const mni_tree_t *tree);
/* Removes what it made and no process is in. True when nothing of it is left. */
bool mni_confine_close(mni_confine_t *confine);

/* "cgroup v2", "cgroup v1", "watched". */
const char *mni_confine_name(const mni_confine_t *confine);

/* Makes the groups of a seat if they are not there, without limits. 0, or -1 with errno. */
int mni_confine_group(const mni_confine_t *confine, unsigned seat);
/* Puts the calling process into them. 0, or -1 with errno. Only system calls. */
int mni_confine_join(const mni_confine_t *confine, unsigned seat);

/* The most memory that the seat's processes may have together, MNI_CONFINE_OWN not counted; UINT64_MAX: no limit.
 * 0 (nothing is done when memory is watched), or -1 with errno; EBUSY: they have more already. */
int mni_confine_limit(const mni_confine_t *confine, unsigned seat, uint64_t bytes);
/* The most that they had since it was last asked for; 0: not known. */
uint64_t mni_confine_peak(const mni_confine_t *confine, unsigned seat);
/* How many processes the kernel has killed because of the limit since the group was made. */
uint64_t mni_confine_kills(const mni_confine_t *confine, unsigned seat);
/* Version 1: a descriptor that becomes readable when the limit has been met and nothing could be given back.
 * -1: none; then all processes of the group are killed at once. */
int mni_confine_notice(const mni_confine_t *confine, unsigned seat);

#endif
