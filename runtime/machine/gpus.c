/* SPDX-License-Identifier: MIT
 *
 * The GPUs that the process may use: those that hwloc's plugins tell of, and what the variables that make GPUs visible, and
 * Slurm's, leave of them. Each has a name as these variables have it: a number, or an id such as GPU-8932f937-... Main thread of a
 * rank.
 */
#include "machine/internal.h"

#include "util/error.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBER_LIMIT 4096 /* above it no GPU has a number */

/* The first kind of which the machine has any is the one whose devices count: the same GPU is often told of by several. Its
 * devices are called so, with a number; an attribute may have an id, which means the same device to every library. */
static const struct {
    const char *prefix, *id;
    bool cuda; /* its numbers are among the visible ones already */
} kinds[] = {
    {"cuda", NULL, true},
    {"nvml", "NVIDIAUUID", false},
    {"rsmi", NULL, false},
    {"opencl", NULL, false},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* The first of these that is set has the last word. */
static const char *const variables[] = {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
                                        "GPU_DEVICE_ORDINAL", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"};
#define SLURM_FIRST 3 /* of them: lists of these may have ranges */
#define VARIABLES (sizeof variables / sizeof variables[0])

typedef struct device {
    mni_gpu_t gpu;
    unsigned number;
} device_t;

typedef struct devices {
    device_t device[MNI_MAX_GPUS];
    uint32_t count;
    bool cuda;
} devices_t;

bool mni_gpus_may_be(void)
{
    return access("/dev/nvidiactl", F_OK) == 0 || access("/dev/kfd", F_OK) == 0;
}

/* --- what hwloc tells of ---------------------------------------------------------------------- */

/* The number of an OS device of a kind. False: it is of another kind. */
static bool device_number(hwloc_obj_t object, size_t kind, unsigned *number)
{
    size_t length = strlen(kinds[kind].prefix);
    unsigned platform;

    if (object->name == NULL || strncmp(object->name, kinds[kind].prefix, length) != 0)
        return false;
    if (strcmp(kinds[kind].prefix, "opencl") == 0)
        return sscanf(object->name + length, "%ud%u", &platform, number) == 2;
    return sscanf(object->name + length, "%u", number) == 1;
}

static void find_kind(hwloc_topology_t topology, size_t kind, devices_t *found)
{
    hwloc_obj_t object = NULL;
    unsigned number;

    found->cuda = kinds[kind].cuda;
    while (found->count < MNI_MAX_GPUS &&
           (object = hwloc_get_next_osdev(topology, object)) != NULL) {
        if (!device_number(object, kind, &number))
            continue;
        device_t *device = &found->device[found->count++];
        const char *id = kinds[kind].id ? hwloc_obj_get_info_by_name(object, kinds[kind].id) : NULL;
        device->number = number;
        device->gpu.near = hwloc_get_non_io_ancestor_obj(topology, object);
        if (id != NULL && strlen(id) < sizeof device->gpu.name)
            snprintf(device->gpu.name, sizeof device->gpu.name, "%s", id);
        else
            snprintf(device->gpu.name, sizeof device->gpu.name, "%u", number);
    }
}

/* --- what may be used of it ------------------------------------------------------------------- */

/* The device that a name means; where numbers count visible devices it is the one at the same place of the list. */
static hwloc_obj_t near_of(const devices_t *found, const char *name, uint32_t at)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    bool is_number = isdigit((unsigned char)name[0]) && *end == '\0';

    for (uint32_t i = 0; i < found->count; i++) {
        const device_t *device = &found->device[i];
        if (found->cuda
                ? device->number == at
                : (is_number && device->number == number) || strcmp(device->gpu.name, name) == 0)
            return device->gpu.near;
    }
    return NULL;
}

static int add(mni_machine_t *machine, const devices_t *found, const char *name)
{
    mni_gpu_t *gpus = machine->gpus;

    for (uint32_t i = 0; i < machine->gpu_count; i++)
        if (strcmp(gpus[i].name, name) == 0)
            return 0;
    if (machine->gpu_count == MNI_MAX_GPUS)
        return 0; /* as with cores: the first of them */
    gpus = realloc(gpus, (machine->gpu_count + 1) * sizeof *gpus);
    if (gpus == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory for a list of GPUs");
    machine->gpus = gpus;
    gpus[machine->gpu_count] = (mni_gpu_t){.near = near_of(found, name, machine->gpu_count)};
    snprintf(gpus[machine->gpu_count].name, sizeof gpus[0].name, "%s", name);
    machine->gpu_count++;
    return 0;
}

static bool is_name(const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= MNI_GPU_NAME)
        return false;
    for (; *text != '\0'; text++)
        if (!isalnum((unsigned char)*text) && strchr("-_/:.", *text) == NULL)
            return false;
    return true;
}

/* One entry of a list: a name, or in Slurm's lists a range of numbers. */
static int add_entry(mni_machine_t *machine, const devices_t *found, const char *variable,
                     bool ranges, const char *entry)
{
    unsigned first, last;
    char name[MNI_GPU_NAME];
    int rc = 0, used = 0;

    bool range =
        ranges && sscanf(entry, "%u-%u%n", &first, &last, &used) == 2 && entry[used] == '\0';
    if (range && first <= last && last < NUMBER_LIMIT) {
        for (unsigned number = first; rc == 0 && number <= last; number++) {
            snprintf(name, sizeof name, "%u", number);
            rc = add(machine, found, name);
        }
        return rc;
    }
    if (range || !is_name(entry))
        return mni_error(MN_E_INVALID,
                         "%s has the entry \"%.64s\", which is no name of a GPU; write numbers or "
                         "ids with commas between them",
                         variable, entry);
    return add(machine, found, entry);
}

static int add_list(mni_machine_t *machine, const devices_t *found, const char *variable,
                    bool ranges, const char *list)
{
    char *copy = strdup(list), *rest = copy, *entry;
    int rc = copy ? 0 : mni_error(MN_E_NO_MEMORY, "no memory for a list of GPUs");

    while (rc == 0 && (entry = strsep(&rest, ",")) != NULL) {
        entry += strspn(entry, " ");
        entry[strcspn(entry, " ")] = '\0';
        /* What CUDA and Slurm write for no GPU, or for no further one. */
        if (entry[0] == '\0' || strcmp(entry, "-1") == 0 || strcmp(entry, "NoDevFiles") == 0)
            break;
        rc = add_entry(machine, found, variable, ranges, entry);
    }
    free(copy);
    return rc;
}

int mni_gpus_find(mni_machine_t *machine)
{
    devices_t found = {.count = 0};
    int rc = 0;

    for (size_t kind = 0; kind < KINDS && found.count == 0; kind++)
        find_kind(machine->topology, kind, &found);
    for (size_t i = 0; machine->limited && i < VARIABLES; i++) {
        const char *list = getenv(variables[i]);
        if (list != NULL)
            return add_list(machine, &found, variables[i], i >= SLURM_FIRST, list);
    }
    if (machine->limited && getenv("SLURM_JOB_ID") != NULL)
        return 0; /* it has given none, which some of its configurations do not enforce */
    for (uint32_t i = 0; rc == 0 && i < found.count; i++) {
        rc = add(machine, &found, found.device[i].gpu.name);
        if (rc == 0 && machine->gpu_count > 0)
            machine->gpus[machine->gpu_count - 1].near = found.device[i].gpu.near;
    }
    return rc;
}

int mni_gpus_join(mni_machine_t *machine, const char *list)
{
    const devices_t none = {.count = 0};
    mni_gpu_t *own = machine->gpus;
    uint32_t count = machine->gpu_count;

    machine->gpus = NULL;
    machine->gpu_count = 0;
    int rc = add_list(machine, &none, "the ranks of a node", false, list);
    if (rc < 0) {
        free(machine->gpus);
        machine->gpus = own;
        machine->gpu_count = count;
        return rc;
    }
    for (uint32_t i = 0; i < machine->gpu_count; i++)
        for (uint32_t k = 0; k < count; k++)
            if (strcmp(machine->gpus[i].name, own[k].name) == 0)
                machine->gpus[i].near = own[k].near;
    free(own);
    return 0;
}

/* --- where they are --------------------------------------------------------------------------- */

/* What the offered cores within a set have in common. */
static mni_core_place_t common_place(const mni_machine_t *machine, hwloc_const_bitmap_t set)
{
    mni_core_place_t common = {MNI_NOWHERE, MNI_NOWHERE, MNI_NOWHERE};
    bool any = false;

    for (uint32_t i = 0; i < machine->offer.cores; i++) {
        const mni_core_place_t *place = &machine->place[i];
        if (!hwloc_bitmap_intersects(machine->cores[i]->cpuset, set))
            continue;
        if (!any)
            common = *place;
        common.numa = common.numa == place->numa ? place->numa : MNI_NOWHERE;
        common.package = common.package == place->package ? place->package : MNI_NOWHERE;
        any = true;
    }
    common.l3 = MNI_NOWHERE;
    return common;
}

static mni_core_place_t place_of(const mni_machine_t *machine, hwloc_obj_t near)
{
    mni_core_place_t place = {MNI_NOWHERE, MNI_NOWHERE, MNI_NOWHERE};
    hwloc_obj_t package;

    if (near == NULL || near->cpuset == NULL)
        return place;
    place = common_place(machine, near->cpuset);
    /* Its NUMA node may have no core that is offered, and the package some. */
    package = near->type == HWLOC_OBJ_PACKAGE
                  ? near
                  : hwloc_get_ancestor_obj_by_type(machine->topology, HWLOC_OBJ_PACKAGE, near);
    if (place.package == MNI_NOWHERE && package != NULL) {
        place = common_place(machine, package->cpuset);
        place.numa = MNI_NOWHERE;
    }
    return place;
}

int mni_gpus_offer(mni_machine_t *machine)
{
    uint32_t count = machine->gpu_count;
    mni_core_place_t *places = calloc(count + 1, sizeof *places);
    char *text = calloc(count + 1, MNI_GPU_NAME);

    if (places == NULL || text == NULL) {
        free(places);
        free(text);
        return mni_error(MN_E_NO_MEMORY, "no memory for a list of GPUs");
    }
    for (uint32_t i = 0; i < count; i++)
        places[i] = place_of(machine, machine->gpus[i].near);
    free(machine->gpu_place);
    free(machine->gpus_text);
    machine->gpu_place = places;
    machine->gpus_text = text;
    machine->offer.gpus = count;
    machine->offer.gpu_place = places;
    mni_machine_gpus(machine, UINT64_MAX, text, (count + 1) * MNI_GPU_NAME);
    size_t length = strlen(machine->summary);
    if (count > 0)
        snprintf(machine->summary + length, sizeof machine->summary - length, ", %u GPU%s", count,
                 count == 1 ? "" : "s");
    return 0;
}

char *mni_machine_gpus(const mni_machine_t *machine, uint64_t gpus, char *text, size_t room)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < machine->gpu_count; i++)
        if (gpus >> i & 1)
            used += (size_t)snprintf(text + used, room - used, "%s%s", used ? "," : "",
                                     machine->gpus[i].name);
    return text;
}
