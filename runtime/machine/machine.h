/* SPDX-License-Identifier: MIT
 *
 * The machine under a rank: which cores and how much memory it may offer, and binding of processes
 * to cores. The only place that knows hwloc. Main thread of a rank.
 */
#ifndef MNI_MACHINE_MACHINE_H
#define MNI_MACHINE_MACHINE_H

#include "core/core.h"

#include <sys/types.h>

typedef struct mni_machine mni_machine_t;

#define MNI_GPU_NAME 48 /* with its NUL */
#define MNI_GPUS_TEXT (MNI_MAX_GPUS * MNI_GPU_NAME)

typedef struct mni_machine_options {
    uint32_t cpus;   /* offer at most that many cores, 0: no limit of ours */
    uint64_t memory; /* offer at most that many bytes, 0: no limit of ours */
    /* An hwloc synthetic description or the path of an XML file, not the real machine (tests);
     * binding then does nothing. NULL: the real machine. */
    const char *synthetic;
    /* A folder that stands for the root of the file system where control groups are looked for (tests). NULL: the real
     * one; with a synthetic machine no control group and no Slurm says anything then. */
    const char *root;
} mni_machine_options_t;

/* Looks at the machine: hwloc's topology within the process's affinity mask and cgroup cpuset;
 * memory: the smallest of the machine's, the cgroup limits (v1, v2, up the hierarchy) and
 * Slurm's, less a reserve for the ranks of 2%, at most 256 MiB. Hyperthreads count as parts of one core. A quota of processor
 * time offers as many processing units as it is worth, rounded down, but one; SLURM_CPUS_ON_NODE counts where Slurm has not
 * confined the process to less than the whole machine. A machine of more than
 * MNI_MAX_CORES cores offers the first of them. GPUs: those of which hwloc knows (CUDA, NVML, ROCm SMI or OpenCL, the first of
 * which there are any), or what the first of CUDA_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES, GPU_DEVICE_ORDINAL, SLURM_STEP_GPUS and
 * SLURM_JOB_GPUS says that is set; in a job of Slurm that sets none of them, none. `options` NULL: all defaults. MN_E_INVALID names
 * what is wrong with a synthetic description or a Slurm variable. */
int mni_machine_open(const mni_machine_options_t *options, mni_machine_t **machine);
void mni_machine_close(mni_machine_t *machine);

/* What it offers; pointers into the machine, valid until it is closed. host is the host's name,
 * topology is mni_machine_summary(), rank is for the caller to know. */
const mni_node_offer_t *mni_machine_offer(const mni_machine_t *machine);

/* The processing units that the process may use, as a list of the operating system's numbers
 * ("0-3"), to be united over the ranks of a node (under plain mpirun each rank has its own
 * mask). */
const char *mni_machine_allowed(const mni_machine_t *machine);
/* Makes the machine offer the cores and the GPUs of these lists instead (as from mni_machine_allowed() and
 * mni_machine_gpus() of all its ranks, joined with commas), the cores still within the cgroup's cpuset and cut to options.cpus. The
 * memory offered stays. Pointers taken before are invalid after a success. */
int mni_machine_widen(mni_machine_t *machine, const char *allowed, const char *gpus);

/* Names of GPUs of the offer (bits), as CUDA_VISIBLE_DEVICES has them: "0,2"; "" for none. Room: MNI_GPUS_TEXT. Returns `text`. */
char *mni_machine_gpus(const mni_machine_t *machine, uint64_t gpus, char *text, size_t room);

/* Binds process `pid` (0: the calling process) with all its threads to the cores (indexes into
 * the offer), with all their (allowed) hyperthreads; an empty set means all cores of the offer.
 * MN_E_INVALID names a core that is not in the offer; MN_E_SYSTEM when the kernel refuses, such
 * as for a process that has ended, or binds to a part of them only, such as when the cpuset has
 * shrunk: then the process is bound to that part. */
int mni_machine_bind(mni_machine_t *machine, pid_t pid, const mni_cpus_t *cpus);

/* Whether the main thread of a process is still bound to these cores and no others, some of the offer: the kernel takes it off
 * cores that go offline or out of the cpuset, and tells nobody. Costs less than a microsecond. */
bool mni_machine_is_bound(const mni_machine_t *machine, pid_t pid, const mni_cpus_t *cpus);

/* One line about the topology for people: "2 packages, 4 NUMA nodes, 16 L3s, 128 cores, 256 PUs"; no
 * L3s where hwloc knows none. Owned by the machine. */
const char *mni_machine_summary(const mni_machine_t *machine);

#endif
