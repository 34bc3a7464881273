/* SPDX-License-Identifier: MIT
 *
 * How much memory the node's administrators and the batch system allow: control groups and Slurm.
 * Reads files and the environment, changes nothing. Main thread of a rank.
 */
#ifndef MNI_MACHINE_LIMITS_H
#define MNI_MACHINE_LIMITS_H

#include <stdint.h>

/* The smallest memory limit of the control groups that hold the process, up to the roots of
 * their hierarchies: memory.limit_in_bytes (v1) and memory.max (v2). The files have the form of
 * /proc/self/cgroup and /proc/self/mountinfo. UINT64_MAX when nothing limits it, or nothing can
 * be read: no control groups is no error. */
uint64_t mni_limits_cgroup(const char *cgroup_file, const char *mountinfo_file);

/* What Slurm granted on this node: SLURM_MEM_PER_NODE, or SLURM_MEM_PER_CPU times
 * SLURM_CPUS_ON_NODE (`pus` where that is not set), in MiB; 0 in them means all of the node's.
 * UINT64_MAX: no limit. MN_E_INVALID names a variable that is no number. */
int mni_limits_slurm(uint32_t pus, uint64_t *bytes);

#endif
