/* SPDX-License-Identifier: MIT
 *
 * Binding of processes, with all their threads, to cores of the offer. Main thread of a rank.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* cpu_set_t */
#endif
#include "machine/internal.h"

#include "util/error.h"

#include <sched.h>
#include <unistd.h>

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

/* Counts the processing units of a core that are ours; -1: one of them is not in the set. */
static int count_bound(const mni_machine_t *machine, uint32_t core, const cpu_set_t *set)
{
    hwloc_const_bitmap_t cpuset = machine->cores[core]->cpuset;
    int count = 0;

    for (int pu = hwloc_bitmap_first(cpuset); pu >= 0; pu = hwloc_bitmap_next(cpuset, pu)) {
        if (!hwloc_bitmap_isset(machine->allowed, (unsigned)pu))
            continue;
        if (pu >= CPU_SETSIZE || !CPU_ISSET(pu, set))
            return -1;
        count++;
    }
    return count;
}

bool mni_machine_is_bound(const mni_machine_t *machine, pid_t pid, const mni_cpus_t *cpus)
{
    cpu_set_t set;
    int all = 0;

    if (!machine->real)
        return true;
    if (sched_getaffinity(pid, sizeof set, &set) < 0)
        return false;
    for (uint32_t word = 0; word < MNI_MAX_CORES / 64; word++)
        for (uint64_t bits = cpus->bits[word]; bits; bits &= bits - 1) {
            uint32_t core = word * 64 + (uint32_t)__builtin_ctzll(bits);
            int count = core < machine->offer.cores ? count_bound(machine, core, &set) : -1;
            if (count < 0)
                return false;
            all += count;
        }
    return all == CPU_COUNT(&set);
}
