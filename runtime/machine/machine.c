/* SPDX-License-Identifier: MIT
 *
 * The machine under a rank, by hwloc.
 *
 * The topology is loaded once, without what is not asked here (I/O, instruction caches, distances),
 * and holds what the cgroup's cpuset allows. `allowed` is the part of it that the process may use
 * (its affinity mask, or what it was widened to); a core counts when one of its hyperthreads is
 * allowed. Offered cores are numbered in hwloc's logical order. A synthetic or XML topology is not
 * this machine: nothing is bound, and cgroups and Slurm say nothing about it. Main thread of a
 * rank.
 */
#include "machine/machine.h"

#include "machine/limits.h"
#include "util/error.h"

#include <hwloc.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Memory that is never offered: the ranks' own buffers and the kernel's share of what a task
 * causes. */
#define RESERVE_MOST ((uint64_t)256 << 20)
#define RESERVE_PART 50 /* one in fifty, 2% */

/* Numbers above it are no processing units: an input check, far above what kernels can have. */
#define PU_LIMIT (1u << 20)

struct mni_machine {
    hwloc_topology_t topology;
    bool real;              /* the topology is that of this machine: binding has a meaning */
    uint32_t cpus_limit;    /* option: at most so many cores, 0: all */
    hwloc_bitmap_t allowed; /* processing units that may be used, before cpus_limit cuts */
    char *allowed_text;
    mni_node_offer_t offer;
    mni_core_place_t *place; /* offer.place */
    hwloc_obj_t *cores;      /* offer.cores objects of the topology */
    char host[256];
    char summary[128];
};

/* --- the topology ----------------------------------------------------------------------------- */

static int topology_filter(hwloc_topology_t topology)
{
    unsigned long flags = 0;

    /* Measured: half of the time to load even a small machine goes into what is left out here. */
    if (hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE) < 0 ||
        /* groups carry the NUMA nodes that are parts of a package */
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_GROUP,
                                       HWLOC_TYPE_FILTER_KEEP_STRUCTURE) < 0 ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_PACKAGE, HWLOC_TYPE_FILTER_KEEP_ALL) <
            0 ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_L3CACHE, HWLOC_TYPE_FILTER_KEEP_ALL) <
            0 ||
        hwloc_topology_set_type_filter(topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL) < 0)
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
    if ((rc = topology_filter(machine->topology)) < 0)
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

/* The NUMA node nearest to a core: the first, where there are several kinds of memory. */
static hwloc_obj_t core_numa(hwloc_topology_t topology, hwloc_obj_t core)
{
    int first = core->nodeset == NULL ? -1 : hwloc_bitmap_first(core->nodeset);
    return first < 0 ? NULL : hwloc_get_numanode_obj_by_os_index(topology, (unsigned)first);
}

/* What counts as the L3 of a core without one: the smaller of its NUMA node and its package. */
static hwloc_obj_t core_l3(hwloc_topology_t topology, hwloc_obj_t core, hwloc_obj_t numa,
                           hwloc_obj_t package)
{
    hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_L3CACHE, core);
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
    free(seen);
    snprintf(draft->summary, sizeof draft->summary,
             "%u package%s, %u NUMA node%s, %u core%s, %u PU%s", packages, plural(packages), numas,
             plural(numas), draft->count, plural(draft->count), pus, plural(pus));
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

/* Makes the offer from a set of processing units, which the machine owns from then on if it
 * succeeds. */
static int offer_make(mni_machine_t *machine, hwloc_bitmap_t allowed)
{
    draft_t draft = {0};
    int rc = draft_make(machine, allowed, &draft);

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
    return 0;
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
    uint64_t limits[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    int rc;

    if (!machine->real) {
        *memory = total;
        return 0;
    }
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    bool confined = !hwloc_bitmap_isequal(hwloc_topology_get_complete_nodeset(machine->topology),
                                          hwloc_topology_get_allowed_nodeset(machine->topology));
    if (total == 0 || (!confined && pages > 0 && page > 0))
        total = UINT64_MAX;
    if (pages > 0 && page > 0)
        limits[0] = (uint64_t)pages * (uint64_t)page;
    limits[1] = mni_limits_cgroup("/proc/self/cgroup", "/proc/self/mountinfo");
    if ((rc = mni_limits_slurm((uint32_t)hwloc_bitmap_weight(machine->allowed), &limits[2])) < 0)
        return rc;
    for (int i = 0; i < 3; i++)
        if (limits[i] < total)
            total = limits[i];
    if (total == UINT64_MAX)
        return mni_error(MN_E_SYSTEM, "cannot find out how much memory the machine has");
    *memory = total - (total / RESERVE_PART < RESERVE_MOST ? total / RESERVE_PART : RESERVE_MOST);
    return 0;
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
        (rc = allowed_now(machine, &allowed)) < 0)
        goto fail;
    if ((rc = offer_make(machine, allowed)) < 0) {
        hwloc_bitmap_free(allowed);
        goto fail;
    }
    if ((rc = memory_offer(machine, &machine->offer.memory)) < 0)
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
    free(machine->allowed_text);
    free(machine->place);
    free(machine->cores);
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

/* Reads one number of a list and moves on; false: there is none. */
static bool list_number(const char **text, unsigned *number)
{
    char *end;

    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    unsigned long value = strtoul(*text, &end, 10);
    if (errno != 0 || value >= PU_LIMIT)
        return false;
    *number = (unsigned)value;
    *text = end;
    return true;
}

/* Reads "0-3,8". hwloc's own reader takes open ranges and skips what it does not understand. */
static int list_parse(const char *list, hwloc_bitmap_t set)
{
    const char *at = list;

    for (;; at++) {
        unsigned first, last;
        if (!list_number(&at, &first))
            break;
        last = first;
        if (*at == '-' && (at++, !list_number(&at, &last) || last < first))
            break;
        if (hwloc_bitmap_set_range(set, first, (int)last) < 0)
            return mni_error(MN_E_NO_MEMORY, "no memory for a list of processing units");
        if (*at == '\0')
            return 0;
        if (*at != ',')
            break;
    }
    return mni_error(MN_E_INVALID, "\"%.256s\" is not a list of processing units such as \"0-3,8\"",
                     list);
}

int mni_machine_widen(mni_machine_t *machine, const char *list)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int rc;

    if (set == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for a list of processing units");
    if ((rc = list_parse(list, set)) < 0)
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
    if ((rc = offer_make(machine, set)) < 0)
        goto fail;
    return 0;
fail:
    hwloc_bitmap_free(set);
    return rc;
}

/* --- binding ---------------------------------------------------------------------------------- */

/* The processing units of some cores of the offer, of all for an empty set. */
static int bind_set(const mni_machine_t *machine, const mni_cpus_t *cpus, hwloc_bitmap_t set)
{
    bool all = true;

    for (uint32_t core = 0; core < MNI_MAX_CORES; core++) {
        if (!mni_cpus_has(cpus, core))
            continue;
        all = false;
        if (core >= machine->offer.cores)
            return mni_error(MN_E_INVALID, "core %u is not one of the %u cores that %s offers",
                             core, machine->offer.cores, machine->host);
        if (hwloc_bitmap_or(set, set, machine->cores[core]->cpuset) < 0)
            return mni_error(MN_E_NO_MEMORY, "no memory for a set of processing units");
    }
    for (uint32_t core = 0; all && core < machine->offer.cores; core++)
        if (hwloc_bitmap_or(set, set, machine->cores[core]->cpuset) < 0)
            return mni_error(MN_E_NO_MEMORY, "no memory for a set of processing units");
    /* Hyperthreads that are not ours stay out even when their core is in. */
    if (hwloc_bitmap_and(set, set, machine->allowed) < 0)
        return mni_error(MN_E_NO_MEMORY, "no memory for a set of processing units");
    return 0;
}

/* Some kernels take a set of which only a part may be used (others are offline, or not in the cpuset
 * any more) and bind to that part. */
static int check_bound(const mni_machine_t *machine, pid_t pid, hwloc_const_bitmap_t set)
{
    char wanted[256], got[256];
    hwloc_bitmap_t now = hwloc_bitmap_alloc();
    int rc = 0;

    if (now == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for a set of processing units");
    if (hwloc_get_proc_cpubind(machine->topology, pid, now, HWLOC_CPUBIND_THREAD) < 0)
        rc = mni_error_errno("cannot read what process %ld is bound to", (long)pid);
    if (rc == 0 && !hwloc_bitmap_isequal(now, set)) {
        hwloc_bitmap_list_snprintf(wanted, sizeof wanted, set);
        hwloc_bitmap_list_snprintf(got, sizeof got, now);
        rc = mni_error(
            MN_E_SYSTEM,
            "process %ld was to be bound to processing units %s of %s, but the system lets it "
            "use %s only",
            (long)pid, wanted, machine->host, got);
    }
    hwloc_bitmap_free(now);
    return rc;
}

int mni_machine_bind(mni_machine_t *machine, pid_t pid, const mni_cpus_t *cpus)
{
    char list[256];
    int rc, bound = 0;

    if (pid < 0)
        return mni_error(MN_E_INVALID, "%ld is not a process", (long)pid);
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (set == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for a set of processing units");
    if ((rc = bind_set(machine, cpus, set)) < 0 || !machine->real)
        goto cleanup;
    if (pid == 0)
        pid = getpid();
    /* For a process hwloc binds thread after thread, until no new one shows up. */
    bound = hwloc_set_proc_cpubind(machine->topology, pid, set, HWLOC_CPUBIND_PROCESS);
    if (bound < 0) {
        hwloc_bitmap_list_snprintf(list, sizeof list, set);
        rc = mni_error_errno("cannot bind process %ld to processing units %s of %s", (long)pid,
                             list, machine->host);
    } else {
        rc = check_bound(machine, pid, set);
    }
cleanup:
    hwloc_bitmap_free(set);
    return rc;
}
