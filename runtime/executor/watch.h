/* SPDX-License-Identifier: MIT
 *
 * How much memory a process tree uses, where no control group counts it. Spawner; reads /proc.
 *
 * What counts: anonymous memory, a page that several processes of the tree share once; what is swapped
 * out; shared memory that it made itself (System V, memfd, files in /dev/shm that it maps, shared
 * anonymous mappings); and what its executor has in the caller's half of its channel's arena, that is
 * mn_alloc(). The memory of other channels, which it maps to work on, does not count.
 */
#ifndef MNI_EXECUTOR_WATCH_H
#define MNI_EXECUTOR_WATCH_H

#include <stdint.h>
#include <sys/types.h>

/* The pids of a tree, at most `room`: what is in a control group, or, for "", `root` and what is below it. */
size_t mni_watch_members(const char *group, pid_t root, pid_t *pids, size_t room);

/* Bytes that these processes and the channel with this memfd (-1: none) use. Quick while that is surely not above `limit`:
 * then shared memory of their own is left out, and pages that they share may count more than once. */
uint64_t mni_watch_usage(const pid_t *pids, size_t count, int memfd, uint64_t limit);

#endif
