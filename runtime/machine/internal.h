/* SPDX-License-Identifier: MIT
 *
 * What a machine is, for the files of this folder.
 */
#ifndef MNI_MACHINE_INTERNAL_H
#define MNI_MACHINE_INTERNAL_H

#include "machine/limits.h"
#include "machine/machine.h"

#include <hwloc.h>

#include <stdbool.h>

typedef struct mni_gpu {
    char name[MNI_GPU_NAME]; /* as in CUDA_VISIBLE_DEVICES */
    hwloc_obj_t near;        /* what it hangs from; NULL: not known */
} mni_gpu_t;

struct mni_machine {
    hwloc_topology_t topology;
    bool real;           /* the topology is that of this machine: binding has a meaning */
    uint32_t cpus_limit; /* option: at most so many cores, 0: all */
    bool limited;        /* control groups and Slurm have a say */
    mni_limits_t limits; /* of the control groups */
    uint32_t slurm_cpus; /* 0: not said */
    uint64_t slurm_memory;
    hwloc_bitmap_t allowed; /* processing units that may be used, before cpus_limit cuts */
    char *allowed_text;
    mni_node_offer_t offer;
    mni_core_place_t *place; /* offer.place */
    hwloc_obj_t *cores;      /* offer.cores objects of the topology */
    mni_gpu_t *gpus;
    uint32_t gpu_count;
    mni_core_place_t *gpu_place; /* offer.gpu_place */
    char *gpus_text;             /* all names */
    char host[256];
    char summary[128];
};

/* list.c: adds the numbers of a list such as "0-3,8" to a set. MN_E_INVALID names the list, MN_E_NO_MEMORY. */
int mni_list_parse(const char *list, hwloc_bitmap_t set);

/* gpus.c: whether a driver of GPUs is there, so that hwloc need not look at all devices of the others. */
bool mni_gpus_may_be(void);
/* Finds them, once the topology is loaded. MN_E_INVALID names a variable whose list makes no sense, MN_E_NO_MEMORY. */
int mni_gpus_find(mni_machine_t *machine);
/* Has these instead, a list of names; where those are that were there before stays known. Errors as above, nothing changed. */
int mni_gpus_join(mni_machine_t *machine, const char *list);
/* Makes them part of the offer, whose cores are there. MN_E_NO_MEMORY, nothing changed. */
int mni_gpus_offer(mni_machine_t *machine);

#endif
