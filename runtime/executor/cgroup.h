/* SPDX-License-Identifier: MIT
 *
 * Control groups of either version, as the folders and small files that they are: finding where a
 * process may make some, and making, reading and removing them. For tree.c (killing) and
 * confine.c (limits). Ranks and spawners; mni_cgroup_write() and mni_cgroup_join() also between
 * fork() and user code.
 *
 * Every spawner has at most one folder per hierarchy, multinode-PID-NAMESPACE-RANDOM with the
 * rank's pid and the inode of its pid namespace, below its own group, and in it one group per
 * executor.
 */
#ifndef MNI_EXECUTOR_CGROUP_H
#define MNI_EXECUTOR_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MNI_CGROUP_PATH 1024
#define MNI_CGROUP_PREFIX "multinode-"

/* Joins two parts; false when the result is too long. */
bool mni_cgroup_path(char out[MNI_CGROUP_PATH], const char *folder, const char *name);

/* Writes to a file of a group. 0, or -1 with errno. Only system calls. */
int mni_cgroup_write(const char *folder, const char *name, const char *word);
/* Reads a small file, with a NUL at the end. Its size, -1 with errno. */
ssize_t mni_cgroup_read(const char *folder, const char *name, char *text, size_t room);
/* Whether the file holds `word`. */
bool mni_cgroup_has(const char *folder, const char *name, const char *word);
/* The number that the file holds, or that follows `word` in it where that is not NULL. False: there is none. */
bool mni_cgroup_number(const char *folder, const char *name, const char *word, uint64_t *number);

/* Puts the calling process into a group. 0, or -1 with errno; "" does nothing. Only system calls. */
int mni_cgroup_join(const char *path);

/* The folder of the caller's own group: in the version 1 hierarchy of a controller, or in version 2 for NULL.
 * False: there is none, or it is not to be seen. */
bool mni_cgroup_find(const char *controller, char directory[MNI_CGROUP_PATH]);

/* Makes a folder for a spawner, and removes empty ones of runtimes that are gone. 0, or -1 and "". */
int mni_cgroup_make(const char *directory, char path[MNI_CGROUP_PATH]);

/* Calls it for each group below one. */
void mni_cgroup_each_below(const char *path, void (*visit)(const char *below));
/* Removes a group with all below it; what a process is in stays. */
void mni_cgroup_remove(const char *path);

#endif
