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
    char host[256];
    char summary[128];
};

/* list.c: adds the numbers of a list such as "0-3,8" to a set. MN_E_INVALID names the list, MN_E_NO_MEMORY. */
int mni_list_parse(const char *list, hwloc_bitmap_t set);

#endif
