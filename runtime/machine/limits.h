/* SPDX-License-Identifier: MIT
 *
 * How much of the machine the node's administrators and the batch system allow: control groups and
 * Slurm.
 * Reads files and the environment, changes nothing. Main thread of a rank.
 */
#ifndef MNI_MACHINE_LIMITS_H
#define MNI_MACHINE_LIMITS_H

#include <stdint.h>

/* What the control groups that hold the process allow, up to the roots of their hierarchies, of both versions. What nothing
 * limits, or cannot be read, has the value in brackets: no control groups is no error. */
typedef struct mni_limits {
    uint64_t memory; /* bytes: memory.max, memory.limit_in_bytes [UINT64_MAX] */
    double cpus;     /* processing units at a time: cpu.max, cpu.cfs_quota_us [INFINITY] */
    char *
        cpusets; /* lists of processing units, one a line, of which each holds: cpuset.cpus.effective and the like [NULL] */
} mni_limits_t;

/* The files have the form of /proc/self/cgroup and /proc/self/mountinfo; what these name is looked for below `root` ("" on a
 * real system). MN_E_NO_MEMORY. */
int mni_limits_cgroup(const char *root, const char *cgroup_file, const char *mountinfo_file,
                      mni_limits_t *limits);
void mni_limits_fini(mni_limits_t *limits);

/* What Slurm granted on this node. Memory: SLURM_MEM_PER_NODE, or SLURM_MEM_PER_CPU times SLURM_CPUS_ON_NODE (`pus` where
 * that is not set), in MiB; 0 in them means all of the node's; UINT64_MAX: no limit. CPUs: SLURM_CPUS_ON_NODE, 0: not said.
 * MN_E_INVALID names a variable that is no number. */
int mni_limits_slurm(uint32_t pus, uint64_t *bytes, uint32_t *cpus);

#endif
