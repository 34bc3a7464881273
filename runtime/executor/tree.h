/* SPDX-License-Identifier: MIT
 *
 * Killing everything that a process started. Best first: a cgroup v2 with cgroup.kill, a cgroup v1
 * freezer, or a walk over /proc below a subreaper. Used by the spawner, and by its rank when the
 * spawner is lost.
 *
 * Every spawner has one directory (see cgroup.h), and in it one group per executor. Groups are used
 * again for the next executor.
 *
 * Kill functions make one pass and never wait for a process to die; callers repeat them until the
 * matching question says that nothing is left. A pid is signalled only when it is a child of the
 * caller that was not reaped, or through a pidfd after it was looked at again.
 */
#ifndef MNI_EXECUTOR_TREE_H
#define MNI_EXECUTOR_TREE_H

#include "executor/cgroup.h"

#include <multinode.h>

#include <sys/types.h>

typedef enum mni_tree_method {
    MNI_TREE_SUBREAPER = 1,
    MNI_TREE_FREEZER,
    MNI_TREE_CGROUP2
} mni_tree_method_t;

typedef struct mni_tree {
    mni_tree_method_t method;
    char path[MNI_CGROUP_PATH]; /* the spawner's directory; "" with the subreaper */
} mni_tree_t;

/* "cgroup v2", "cgroup v1 freezer", "subreaper". */
const char *mni_tree_method_name(mni_tree_method_t method);

/* Finds the best method that works here (tried on a real process), or the one that
 * MULTINODE_KILL names: cgroup2, freezer or subreaper. Makes the directory, removes empty ones
 * left by processes that are gone. Forks for a moment. MN_E_INVALID: the variable makes no
 * sense; MN_E_IMPOSSIBLE: what it names does not work here. */
int mni_tree_open(mni_tree_t *tree);
/* Removes the directory and all groups in it that are empty. True when nothing of it is left. */
bool mni_tree_close(mni_tree_t *tree);

/* Path of group `index`, made if it is not there. 0 or MN_E_SYSTEM; with the subreaper "" and 0. */
int mni_tree_group(const mni_tree_t *tree, unsigned index, char path[MNI_CGROUP_PATH]);
/* One pass over a group with all groups below it. */
void mni_tree_kill(mni_tree_method_t method, const char *path);
bool mni_tree_is_empty(mni_tree_method_t method, const char *path);

/* Stops the caller's child `root`, kills what is below it, then itself. One pass. */
void mni_scan_kill_below(pid_t root);
/* Kills children of the calling process that are not in `known`. Returns how many there were. */
int mni_scan_kill_orphans(const pid_t *known, size_t count);
/* Kills a process if it is in a control group whose path has `part`, or below it. */
void mni_scan_kill_member(pid_t pid, const char *part);
/* Clock ticks since boot at which a process started; 0: there is none. */
uint64_t mni_scan_start_time(pid_t pid);
/* Kills the members of the session that process `leader`, started at `start_time`, led. Returns
 * how many there were; 0 when none is left. */
int mni_scan_kill_session(pid_t leader, uint64_t start_time);

#endif
