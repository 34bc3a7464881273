/* SPDX-License-Identifier: MIT
 *
 * Limits of control groups and of Slurm. A process is in one group per hierarchy
 * (/proc/self/cgroup), a hierarchy is seen where it is mounted (/proc/self/mountinfo), and each
 * group from there up to the root may have limits: the smallest counts, and what all cpusets have.
 * Main thread of a rank; reads only.
 */
#include "machine/limits.h"

#include "util/error.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

/* A hierarchy that may have limits: of version 1 one for each controller, which may be the same, or that of version 2. */
typedef enum kind { MEMORY, CPUSET, CPU, VERSION_2, KINDS } kind_t;

static const char *const controllers[KINDS] = {"memory", "cpuset", "cpu", NULL};

typedef struct hierarchy {
    char *path; /* of the process's group in it, owned */
    bool seen;  /* through some mount that shows the path */
} hierarchy_t;

typedef struct search {
    const char *root;
    hierarchy_t hierarchies[KINDS];
    mni_limits_t *limits;
    bool no_memory;
} search_t;

/* Whether a comma-separated list holds the word. */
static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

/* Undoes mountinfo's octal escapes (a space is \040) in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* The first line of a file in a group's folder. False: there is none to read. */
static bool line_read(const char *folder, const char *name, char *text, size_t room)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool got = fgets(text, (int)room, file) != NULL;
    fclose(file);
    if (got)
        text[strcspn(text, "\n")] = '\0';
    return got && text[0] != '\0';
}

static void memory_read(search_t *search, const char *folder, const char *name)
{
    char text[64];

    if (!line_read(folder, name, text, sizeof text) || !isdigit((unsigned char)text[0]))
        return;
    errno = 0;
    uint64_t limit = strtoull(text, NULL, 10);
    if (errno == 0 && limit < search->limits->memory)
        search->limits->memory = limit;
}

/* "QUOTA PERIOD" in microseconds; "max" or -1: no quota. */
static void quota_take(search_t *search, const char *text)
{
    double quota, period;

    if (sscanf(text, "%lf %lf", &quota, &period) == 2 && quota > 0 && period > 0 &&
        quota / period < search->limits->cpus)
        search->limits->cpus = quota / period;
}

static void quota_read(search_t *search, const char *folder)
{
    char quota[32], period[32], text[80];

    if (!line_read(folder, "cpu.cfs_quota_us", quota, sizeof quota) ||
        !line_read(folder, "cpu.cfs_period_us", period, sizeof period))
        return;
    snprintf(text, sizeof text, "%s %s", quota, period);
    quota_take(search, text);
}

/* An empty list says nothing: the group has what the one above it has. */
static void cpuset_read(search_t *search, const char *folder, const char *first, const char *second)
{
    char text[4096];
    mni_limits_t *limits = search->limits;

    if (!line_read(folder, first, text, sizeof text) &&
        !line_read(folder, second, text, sizeof text))
        return;
    size_t before = limits->cpusets ? strlen(limits->cpusets) : 0;
    char *lists = realloc(limits->cpusets, before + strlen(text) + 2);
    if (lists == NULL) {
        search->no_memory = true;
        return;
    }
    limits->cpusets = lists;
    snprintf(lists + before, strlen(text) + 2, "%s%s", before > 0 ? "\n" : "", text);
}

static void group_read(search_t *search, kind_t kind, const char *folder)
{
    char text[64];

    switch (kind) {
    case MEMORY:
        memory_read(search, folder, "memory.limit_in_bytes");
        break;
    case CPUSET:
        cpuset_read(search, folder, "cpuset.effective_cpus", "cpuset.cpus");
        break;
    case CPU:
        quota_read(search, folder);
        break;
    default:
        memory_read(search, folder, "memory.max");
        cpuset_read(search, folder, "cpuset.cpus.effective", "cpuset.cpus");
        if (line_read(folder, "cpu.max", text, sizeof text))
            quota_take(search, text);
    }
}

/* Looks at the groups from `below` the mount point up to the mount point itself. */
static void limits_climb(search_t *search, kind_t kind, const char *mount, const char *below)
{
    char folder[PATH_MAX];
    size_t length = strlen(mount);

    while (length > 0 && mount[length - 1] == '/')
        length--;
    size_t top = strlen(search->root) + length;
    if (snprintf(folder, sizeof folder, "%s%.*s%s", search->root, (int)length, mount, below) >=
        (int)sizeof folder)
        return;
    for (;;) {
        group_read(search, kind, folder);
        char *slash = strrchr(folder + top, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

/* The part of a group's path that lies below the part of the hierarchy that a mount shows; NULL:
 * it is elsewhere. */
static const char *path_below(const char *path, const char *root)
{
    size_t length = strlen(root);
    if (strcmp(root, "/") == 0)
        return strcmp(path, "/") == 0 ? "" : path;
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return path + length;
}

/* What a mount with this root and place shows of the process's group. `fallback`: take the mount point itself where it
 * does not show that. */
static void mount_look(search_t *search, kind_t kind, const char *root, const char *place,
                       bool fallback)
{
    hierarchy_t *hierarchy = &search->hierarchies[kind];
    if (hierarchy->path == NULL)
        return;
    const char *below = path_below(hierarchy->path, root);
    /* "/../x": outside the cgroup namespace, where the mounts do not reach */
    if (below != NULL && strncmp(below, "/..", 3) == 0)
        below = NULL;
    if (below != NULL && !fallback)
        hierarchy->seen = true;
    else if (below == NULL && fallback && !hierarchy->seen)
        below = "";
    else
        below = NULL;
    if (below != NULL)
        limits_climb(search, kind, place, below);
}

/* One line of mountinfo: "id parent major:minor root mount-point options [optional ...] - type
 * source options". */
static void mount_line(char *line, search_t *search, bool fallback)
{
    char *fields[5];
    char *rest = line;
    char *type, *options;

    for (int i = 0; i < 5; i++)
        if ((fields[i] = strsep(&rest, " ")) == NULL)
            return;
    if (rest == NULL || (rest = strstr(rest, " - ")) == NULL)
        return;
    rest += 3;
    type = strsep(&rest, " ");
    if (rest == NULL || strsep(&rest, " ") == NULL || rest == NULL)
        return;
    options = rest;
    options[strcspn(options, "\n")] = '\0';
    unescape(fields[3]);
    unescape(fields[4]);
    if (strcmp(type, "cgroup2") == 0)
        mount_look(search, VERSION_2, fields[3], fields[4], fallback);
    for (kind_t kind = 0; strcmp(type, "cgroup") == 0 && kind < VERSION_2; kind++)
        if (list_has(options, controllers[kind]))
            mount_look(search, kind, fields[3], fields[4], fallback);
}

static void mounts_read(const char *mountinfo_file, search_t *search, bool fallback)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(mountinfo_file, "re");

    if (file == NULL)
        return;
    while (getline(&line, &room, file) >= 0)
        mount_line(line, search, fallback);
    free(line);
    fclose(file);
}

/* Lines "number:controllers:path"; version 2 has number 0 and no controllers. */
static void groups_read(const char *cgroup_file, search_t *search)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(cgroup_file, "re");

    if (file == NULL)
        return;
    while (getline(&line, &room, file) >= 0) {
        char *path = line;
        char *number = strsep(&path, ":");
        char *names = strsep(&path, ":");
        if (names == NULL || path == NULL)
            continue;
        path[strcspn(path, "\n")] = '\0';
        bool v2 = strcmp(number, "0") == 0 && names[0] == '\0';
        for (kind_t kind = 0; kind < KINDS; kind++) {
            hierarchy_t *hierarchy = &search->hierarchies[kind];
            if ((kind == VERSION_2 ? v2 : list_has(names, controllers[kind])) &&
                hierarchy->path == NULL && (hierarchy->path = strdup(path)) == NULL)
                search->no_memory = true;
        }
    }
    free(line);
    fclose(file);
}

int mni_limits_cgroup(const char *root, const char *cgroup_file, const char *mountinfo_file,
                      mni_limits_t *limits)
{
    search_t search = {.root = root, .limits = limits};

    *limits = (mni_limits_t){.memory = UINT64_MAX, .cpus = INFINITY};
    groups_read(cgroup_file, &search);
    mounts_read(mountinfo_file, &search, false);
    /* In a container the mount may show another part of the hierarchy than the path says: what
     * it shows as its top is then the container's own group. */
    mounts_read(mountinfo_file, &search, true);
    for (kind_t kind = 0; kind < KINDS; kind++)
        free(search.hierarchies[kind].path);
    if (!search.no_memory)
        return 0;
    mni_limits_fini(limits);
    return mni_error(MN_E_NO_MEMORY, "no memory for the limits of control groups");
}

void mni_limits_fini(mni_limits_t *limits)
{
    free(limits->cpusets);
    limits->cpusets = NULL;
}

/* A number in the environment; 0 when it is not set. */
static int environment_number(const char *name, const char *unit, uint64_t *number)
{
    const char *text = getenv(name);
    char *end;

    *number = 0;
    if (text == NULL || text[0] == '\0')
        return 0;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value > UINT32_MAX * MIB)
        return mni_error(MN_E_INVALID, "%s is \"%.64s\", which is not a number of %s", name, text,
                         unit);
    *number = value;
    return 0;
}

int mni_limits_slurm(uint32_t pus, uint64_t *bytes, uint32_t *granted)
{
    uint64_t per_node, per_cpu, cpus, mib = 0;
    int rc;

    if ((rc = environment_number("SLURM_MEM_PER_NODE", "MiB", &per_node)) < 0 ||
        (rc = environment_number("SLURM_MEM_PER_CPU", "MiB", &per_cpu)) < 0 ||
        (rc = environment_number("SLURM_CPUS_ON_NODE", "CPUs", &cpus)) < 0)
        return rc;
    if (per_node > 0)
        mib = per_node;
    else if (per_cpu > 0 && __builtin_mul_overflow(per_cpu, cpus > 0 ? cpus : pus, &mib))
        mib = 0;
    *granted = cpus > UINT32_MAX ? UINT32_MAX : (uint32_t)cpus;
    *bytes = mib == 0 || mib > UINT64_MAX / MIB ? UINT64_MAX : mib * MIB;
    return 0;
}
