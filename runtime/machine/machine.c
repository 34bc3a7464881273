/* SPDX-License-Identifier: MIT
 *
 * The machine under a rank, by hwloc.
 *
 * The topology is loaded once, without what is not asked here (I/O where no GPU can be, instruction caches, distances),
 * and holds what the cgroup's cpuset allows. `allowed` is the part of it that the process may use:
 * its affinity mask and the cpusets of its control groups, or what it was widened to, cut to a quota
 * or to what Slurm says. A core counts when one of its hyperthreads is allowed. Offered cores are
 * numbered in hwloc's logical order. A synthetic or XML topology is not this machine: nothing is
 * bound, and unless a root for them is given control groups and Slurm say nothing about it. Main
 * thread of a rank.
 */
#include "machine/internal.h"

#include "util/error.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory that is never offered: the ranks' own buffers and the kernel's share of what a task
 * causes. */
#define RESERVE_MOST ((uint64_t)256 << 20)
#define RESERVE_PART 50 /* one in fifty, 2% */

/* --- the topology ----------------------------------------------------------------------------- */

/* `devices`: whether there may be some that matter. */
static int topology_filter(hwloc_topology_t topology, bool devices)
{
    unsigned long flags = 0;

    /* Measured: half of the time to load even a small machine goes into what is left out here. */
    if (hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE) < 0 ||
        /* groups carry the NUMA nodes that are parts of a package */
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_GROUP,
                                       HWLOC_TYPE_FILTER_KEEP_STRUCTURE) < 0 ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_PACKAGE, HWLOC_TYPE_FILTER_KEEP_ALL) <
            0 ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_DIE, HWLOC_TYPE_FILTER_KEEP_ALL) < 0 ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_L3CACHE, HWLOC_TYPE_FILTER_KEEP_ALL) <
            0 ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL) < 0 ||
        (devices &&
         hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT) < 0))
        return mni_error_errno("cannot configure hwloc");
#if HWLOC_API_VERSION >= 0x00020800
    flags |= HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
             HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
#endif
    if (hwloc_topology_set_flags(topology, flags) < 0)
        return mni_error_errno("cannot configure hwloc");
    return 0;
}

/* Chooses between an XML file and a synthetic description. */
static int topology_substitute(hwloc_topology_t topology, const char *text)
{
    size_t length = strlen(text);

    if (access(text, F_OK) == 0 || strchr(text, '/') != NULL ||
        (length > 4 && strcmp(text + length - 4, ".xml") == 0)) {
        if (hwloc_topology_set_xml(topology, text) < 0)
            return mni_error(MN_E_INVALID,
                             "%.256s is not a topology file of hwloc (XML, as lstopo writes)",
                             text);
    } else if (hwloc_topology_set_synthetic(topology, text) < 0) {
        return mni_error(MN_E_INVALID,
                         "\"%.256s\" is not a synthetic topology of hwloc, such as "
                         "\"package:2 core:8 pu:2\", nor an XML file",
                         text);
    }
    return 0;
}

static int topology_open(mni_machine_t *machine, const char *synthetic)
{
    int rc;

    if (hwloc_topology_init(&machine->topology) < 0) {
        machine->topology = NULL;
        return mni_error(MN_E_NO_MEMORY, "hwloc cannot be started");
    }
    bool devices = synthetic != NULL || getenv("HWLOC_XMLFILE") != NULL || mni_gpus_may_be();
    if ((rc = topology_filter(machine->topology, devices)) < 0)
        return rc;
    if (synthetic != NULL && (rc = topology_substitute(machine->topology, synthetic)) < 0)
        return rc;
    if (hwloc_topology_load(machine->topology) < 0) {
        if (synthetic != NULL)
            return mni_error(MN_E_INVALID, "hwloc cannot load the topology \"%.256s\"", synthetic);
        return mni_error_errno("hwloc cannot read the machine's topology");
    }
    /* HWLOC_XMLFILE and the like may have replaced the machine without our asking. */
    machine->real = hwloc_topology_is_thissystem(machine->topology) != 0;
    return 0;
}

/* --- the offer -------------------------------------------------------------------------------- */

/* The small number of an object among those seen so far: the same object, the same number. */
static uint16_t place_number(hwloc_obj_t object, hwloc_obj_t *seen, uint16_t *count)
{
    for (uint16_t i = *count; i-- > 0;)
        if (seen[i] == object)
            return i;
    seen[*count] = object;
    return (*count)++;
}

/* The NUMA node nearest to a core: of those around it the smallest, and the first where there are several kinds of memory.
 * Memory without processing units of its own is near to none. */
static hwloc_obj_t core_numa(hwloc_topology_t topology, hwloc_obj_t core)
{
    hwloc_obj_t node = NULL, best = NULL;

    while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != NULL)
        if (hwloc_bitmap_isincluded(core->cpuset, node->cpuset) &&
            (best == NULL || hwloc_bitmap_weight(node->cpuset) < hwloc_bitmap_weight(best->cpuset)))
            best = node;
    return best;
}

/* What counts as the L3 of a core without one: its die, or the smaller of its NUMA node and its package. */
static hwloc_obj_t core_l3(hwloc_topology_t topology, hwloc_obj_t core, hwloc_obj_t numa,
                           hwloc_obj_t package)
{
    hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_L3CACHE, core);
    if (l3 == NULL)
        l3 = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_DIE, core);
    if (l3 != NULL)
        return l3;
    if (numa != NULL && package != NULL)
        return hwloc_bitmap_isincluded(numa->cpuset, package->cpuset) ? numa : package;
    return numa != NULL ? numa : package;
}

static const char *plural(unsigned count)
{
    return count == 1 ? "" : "s";
}

/* How many of a core's processing units are allowed. */
static unsigned core_pus(hwloc_obj_t core, hwloc_const_bitmap_t allowed)
{
    unsigned count = 0;
    int pu;

    for (pu = hwloc_bitmap_first(core->cpuset); pu >= 0; pu = hwloc_bitmap_next(core->cpuset, pu))
        count += hwloc_bitmap_isset(allowed, (unsigned)pu) != 0;
    return count;
}

/* What follows from a set of allowed processing units. */
typedef struct draft {
    hwloc_obj_t *cores;
    mni_core_place_t *place;
    uint32_t count;
    char *allowed_text;
    char summary[128];
} draft_t;

/* Numbers the places of the offered cores and writes the summary. */
static int draft_places(hwloc_topology_t topology, hwloc_const_bitmap_t allowed, draft_t *draft)
{
    size_t count = draft->count;
    hwloc_obj_t *seen = calloc(3 * count, sizeof *seen);
    uint16_t packages = 0, numas = 0, l3s = 0;
    unsigned pus = 0;
    char caches[32] = "";

    if (seen == NULL)
        return MN_E_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        hwloc_obj_t core = draft->cores[i];
        hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, core);
        hwloc_obj_t numa = core_numa(topology, core);
        mni_core_place_t *place = &draft->place[i];
        place->package = place_number(package, seen, &packages);
        place->numa = place_number(numa, seen + count, &numas);
        place->l3 = place_number(core_l3(topology, core, numa, package), seen + 2 * count, &l3s);
        pus += core_pus(core, allowed);
    }
    /* Not what counts as one, and each once, however many NUMA nodes it reaches over. */
    unsigned real = 0;
    for (hwloc_obj_t l3 = NULL;
         (l3 = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_L3CACHE, l3)) != NULL;)
        for (size_t i = 0; i < count; i++)
            if (hwloc_bitmap_isincluded(draft->cores[i]->cpuset, l3->cpuset)) {
                real++;
                break;
            }
    free(seen);
    if (real > 0)
        snprintf(caches, sizeof caches, "%u L3%s, ", real, plural(real));
    snprintf(draft->summary, sizeof draft->summary,
             "%u package%s, %u NUMA node%s, %s%u core%s, %u PU%s", packages, plural(packages),
             numas, plural(numas), caches, draft->count, plural(draft->count), pus, plural(pus));
    return 0;
}

/* Chooses the cores: the first ones in logical order that have an allowed processing unit. */
static int draft_make(const mni_machine_t *machine, hwloc_const_bitmap_t allowed, draft_t *draft)
{
    hwloc_topology_t topology = machine->topology;
    uint32_t most = machine->cpus_limit == 0 || machine->cpus_limit > MNI_MAX_CORES
                        ? MNI_MAX_CORES
                        : machine->cpus_limit;
    /* Some machines tell of no cores: then each processing unit is one. */
    int depth = hwloc_get_type_or_below_depth(topology, HWLOC_OBJ_CORE);
    hwloc_obj_t core = NULL;

    draft->cores = calloc(most, sizeof *draft->cores);
    draft->place = calloc(most, sizeof *draft->place);
    if (draft->cores == NULL || draft->place == NULL)
        return MN_E_NO_MEMORY;
    while (draft->count < most &&
           (core = hwloc_get_next_obj_by_depth(topology, depth, core)) != NULL)
        if (core_pus(core, allowed) > 0)
            draft->cores[draft->count++] = core;
    if (hwloc_bitmap_list_asprintf(&draft->allowed_text, allowed) < 0) {
        draft->allowed_text = NULL;
        return MN_E_NO_MEMORY;
    }
    return draft->count == 0 ? MN_E_INVALID : draft_places(topology, allowed, draft);
}

/* How many processing units may be used of that many; at least one. */
static unsigned pus_limit(const mni_machine_t *machine, hwloc_const_bitmap_t allowed)
{
    unsigned count = (unsigned)hwloc_bitmap_weight(allowed), limit = count;
    hwloc_topology_t topology = machine->topology;
    int depth = hwloc_get_type_or_below_depth(topology, HWLOC_OBJ_CORE);

    if (machine->limits.cpus < limit)
        limit = machine->limits.cpus < 1 ? 1 : (unsigned)machine->limits.cpus;
    /* A process that has less than the machine was given it, by Slurm if that binds. Where Slurm does not bind it counts
     * processing units, or, as it may be configured, cores: all cores are all. */
    bool whole =
        count == (unsigned)hwloc_bitmap_weight(hwloc_topology_get_complete_cpuset(topology));
    if (whole && machine->slurm_cpus > 0 && machine->slurm_cpus < limit &&
        machine->slurm_cpus != hwloc_get_nbobjs_by_depth(topology, depth))
        limit = machine->slurm_cpus;
    return limit;
}

/* Takes out what is above the limit, core by core from the end. */
static int allowed_cut(const mni_machine_t *machine, hwloc_bitmap_t allowed)
{
    unsigned left = pus_limit(machine, allowed);
    hwloc_topology_t topology = machine->topology;
    int depth = hwloc_get_type_or_below_depth(topology, HWLOC_OBJ_CORE);
    hwloc_obj_t core = NULL;
    hwloc_bitmap_t kept = hwloc_bitmap_alloc();

    if (kept == NULL)
        return MN_E_NO_MEMORY;
    while (left > 0 && (core = hwloc_get_next_obj_by_depth(topology, depth, core)) != NULL)
        for (int pu = hwloc_bitmap_first(core->cpuset); pu >= 0 && left > 0;
             pu = hwloc_bitmap_next(core->cpuset, pu))
            if (hwloc_bitmap_isset(allowed, (unsigned)pu)) {
                hwloc_bitmap_set(kept, (unsigned)pu);
                left--;
            }
    int rc = hwloc_bitmap_and(allowed, allowed, kept) < 0 ? MN_E_NO_MEMORY : 0;
    hwloc_bitmap_free(kept);
    return rc;
}

/* Makes the offer from a set of processing units, which the machine owns from then on if it
 * succeeds. */
static int offer_make(mni_machine_t *machine, hwloc_bitmap_t allowed)
{
    draft_t draft = {0};
    int rc = allowed_cut(machine, allowed);
    if (rc == 0)
        rc = draft_make(machine, allowed, &draft);

    if (rc < 0) {
        if (rc == MN_E_INVALID)
            mni_error(rc, "no core is left to offer among processing units \"%.256s\"",
                      draft.allowed_text);
        else
            mni_error(rc, "no memory for the machine's topology");
        free(draft.cores);
        free(draft.place);
        free(draft.allowed_text);
        return rc;
    }
    hwloc_bitmap_free(machine->allowed);
    free(machine->cores);
    free(machine->place);
    free(machine->allowed_text);
    machine->allowed = allowed;
    machine->cores = draft.cores;
    machine->place = draft.place;
    machine->allowed_text = draft.allowed_text;
    memcpy(machine->summary, draft.summary, sizeof machine->summary);
    machine->offer.cores = draft.count;
    machine->offer.place = machine->place;
    machine->offer.topology = machine->summary;
    return 0;
}

/* Leaves what all cpusets have. One that cannot be read as a list is passed over: hwloc has asked the kernel too. */
static int cpusets_apply(const mni_machine_t *machine, hwloc_bitmap_t allowed)
{
    char *lists = machine->limits.cpusets ? strdup(machine->limits.cpusets) : NULL;
    char *rest = lists;
    int rc = machine->limits.cpusets && lists == NULL ? MN_E_NO_MEMORY : 0;

    for (const char *list; rc == 0 && (list = strsep(&rest, "\n")) != NULL;) {
        hwloc_bitmap_t set = hwloc_bitmap_alloc();
        if (set == NULL)
            rc = MN_E_NO_MEMORY;
        else if (mni_list_parse(list, set) == 0 && hwloc_bitmap_and(allowed, allowed, set) < 0)
            rc = MN_E_NO_MEMORY;
        hwloc_bitmap_free(set);
    }
    free(lists);
    return rc == 0 ? 0 : mni_error(rc, "no memory for the cpusets of control groups");
}

/* What the process may use now: the topology (the cgroup's cpuset) and, on the real machine, its
 * affinity. */
static int allowed_now(const mni_machine_t *machine, hwloc_bitmap_t *result)
{
    hwloc_bitmap_t allowed = hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(machine->topology));
    hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    int rc = 0;

    if (allowed == NULL || bound == NULL)
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the machine's topology");
    else if (machine->real &&
             hwloc_get_cpubind(machine->topology, bound, HWLOC_CPUBIND_PROCESS) < 0)
        rc = mni_error_errno("cannot read the process's affinity");
    else if (machine->real && hwloc_bitmap_and(allowed, allowed, bound) < 0)
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the machine's topology");
    hwloc_bitmap_free(bound);
    if (rc == 0)
        rc = cpusets_apply(machine, allowed);
    if (rc < 0)
        hwloc_bitmap_free(allowed);
    else
        *result = allowed;
    return rc;
}

/* Memory that may be offered: the smallest of what the kernel has, what the NUMA nodes of the
 * cpuset have where that leaves out some, and the limits; less the reserve. (The sum over all
 * nodes is no better than the kernel's total, and smaller on virtual machines that grow.) A
 * synthetic machine offers what its description says. */
static int memory_offer(const mni_machine_t *machine, uint64_t *memory)
{
    uint64_t total = hwloc_get_root_obj(machine->topology)->total_memory;
    uint64_t limits[3] = {UINT64_MAX, machine->limits.memory, machine->slurm_memory};

    if (!machine->limited) {
        *memory = total;
        return 0;
    }
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    bool confined = !hwloc_bitmap_isequal(hwloc_topology_get_complete_nodeset(machine->topology),
                                          hwloc_topology_get_allowed_nodeset(machine->topology));
    bool known = machine->real && pages > 0 && page > 0;
    if (total == 0 || (!confined && known))
        total = UINT64_MAX;
    if (known)
        limits[0] = (uint64_t)pages * (uint64_t)page;
    for (int i = 0; i < 3; i++)
        if (limits[i] < total)
            total = limits[i];
    if (total == UINT64_MAX)
        return mni_error(MN_E_SYSTEM, "cannot find out how much memory the machine has");
    *memory = total - (total / RESERVE_PART < RESERVE_MOST ? total / RESERVE_PART : RESERVE_MOST);
    return 0;
}

/* Asks control groups and Slurm. */
static int limits_read(mni_machine_t *machine, const char *root)
{
    char cgroup[PATH_MAX], mountinfo[PATH_MAX];
    uint32_t pus =
        (uint32_t)hwloc_bitmap_weight(hwloc_topology_get_allowed_cpuset(machine->topology));

    machine->limits = (mni_limits_t){.memory = UINT64_MAX, .cpus = INFINITY};
    machine->slurm_memory = UINT64_MAX;
    machine->limited = machine->real || root != NULL;
    if (!machine->limited)
        return 0;
    if (root == NULL)
        root = "";
    snprintf(cgroup, sizeof cgroup, "%s/proc/self/cgroup", root);
    snprintf(mountinfo, sizeof mountinfo, "%s/proc/self/mountinfo", root);
    int rc = mni_limits_cgroup(root, cgroup, mountinfo, &machine->limits);
    return rc < 0 ? rc : mni_limits_slurm(pus, &machine->slurm_memory, &machine->slurm_cpus);
}

int mni_machine_open(const mni_machine_options_t *options, mni_machine_t **result)
{
    const mni_machine_options_t none = {0};
    mni_machine_t *machine = calloc(1, sizeof *machine);
    hwloc_bitmap_t allowed = NULL;
    int rc;

    if (options == NULL)
        options = &none;
    if (machine == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for the machine's topology");
    machine->cpus_limit = options->cpus;
    if (gethostname(machine->host, sizeof machine->host - 1) < 0) {
        rc = mni_error_errno("cannot read the host's name");
        goto fail;
    }
    machine->offer.host = machine->host;
    if ((rc = topology_open(machine, options->synthetic)) < 0 ||
        (rc = limits_read(machine, options->root)) < 0 || (rc = allowed_now(machine, &allowed)) < 0)
        goto fail;
    if ((rc = offer_make(machine, allowed)) < 0) {
        hwloc_bitmap_free(allowed);
        goto fail;
    }
    if ((rc = mni_gpus_find(machine)) < 0 || (rc = mni_gpus_offer(machine)) < 0 ||
        (rc = memory_offer(machine, &machine->offer.memory)) < 0)
        goto fail;
    if (options->memory > 0 && options->memory < machine->offer.memory)
        machine->offer.memory = options->memory;
    *result = machine;
    return 0;
fail:
    mni_machine_close(machine);
    return rc;
}

void mni_machine_close(mni_machine_t *machine)
{
    if (machine == NULL)
        return;
    if (machine->topology != NULL)
        hwloc_topology_destroy(machine->topology);
    hwloc_bitmap_free(machine->allowed);
    mni_limits_fini(&machine->limits);
    free(machine->allowed_text);
    free(machine->place);
    free(machine->cores);
    free(machine->gpus);
    free(machine->gpu_place);
    free(machine->gpus_text);
    free(machine);
}

const mni_node_offer_t *mni_machine_offer(const mni_machine_t *machine)
{
    return &machine->offer;
}

const char *mni_machine_allowed(const mni_machine_t *machine)
{
    return machine->allowed_text;
}

const char *mni_machine_summary(const mni_machine_t *machine)
{
    return machine->summary;
}

/* --- widening --------------------------------------------------------------------------------- */

int mni_machine_widen(mni_machine_t *machine, const char *list, const char *gpus)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int rc;

    if (set == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for a list of processing units");
    if ((rc = mni_list_parse(list, set)) < 0)
        goto fail;
    if (hwloc_bitmap_and(set, set, hwloc_topology_get_allowed_cpuset(machine->topology)) < 0) {
        rc = mni_error(MN_E_NO_MEMORY, "no memory for a list of processing units");
        goto fail;
    }
    if (hwloc_bitmap_iszero(set)) {
        rc = mni_error(MN_E_INVALID,
                       "none of the processing units \"%.256s\" is in this node's cpuset", list);
        goto fail;
    }
    if ((rc = mni_gpus_join(machine, gpus)) < 0 || (rc = offer_make(machine, set)) < 0)
        goto fail;
    return mni_gpus_offer(machine);
fail:
    hwloc_bitmap_free(set);
    return rc;
}
