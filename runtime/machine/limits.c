/* SPDX-License-Identifier: MIT
 *
 * Memory limits of control groups and of Slurm. A process is in one group per hierarchy
 * (/proc/self/cgroup), a hierarchy is seen where it is mounted (/proc/self/mountinfo), and each
 * group from there up to the root may have a limit: the smallest counts. Main thread of a rank;
 * reads only.
 */
#include "machine/limits.h"

#include "util/error.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

/* A hierarchy that may limit memory: version 1's "memory" or version 2's. */
typedef struct hierarchy {
    bool v2;
    char *path;     /* of the process's group in it, owned */
    bool seen;      /* through some mount that shows the path */
    uint64_t limit; /* smallest so far */
} hierarchy_t;

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

/* Reads the limit in one file; UINT64_MAX for "max" or when there is none to read. */
static uint64_t limit_read(const char *folder, const char *name)
{
    char path[PATH_MAX];
    char text[64];
    uint64_t limit = UINT64_MAX;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return UINT64_MAX;
    if (fgets(text, sizeof text, file) != NULL && isdigit((unsigned char)text[0])) {
        errno = 0;
        limit = strtoull(text, NULL, 10);
        if (errno != 0)
            limit = UINT64_MAX;
    }
    fclose(file);
    return limit;
}

/* Takes the smallest limit from the group `below` the mount point, up to the mount point itself. */
static void limits_climb(hierarchy_t *hierarchy, const char *mount, const char *below)
{
    char folder[PATH_MAX];
    size_t top = strlen(mount);
    const char *name = hierarchy->v2 ? "memory.max" : "memory.limit_in_bytes";

    while (top > 0 && mount[top - 1] == '/')
        top--;
    if (snprintf(folder, sizeof folder, "%.*s%s", (int)top, mount, below) >= (int)sizeof folder)
        return;
    for (;;) {
        uint64_t limit = limit_read(folder, name);
        if (limit < hierarchy->limit)
            hierarchy->limit = limit;
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

/* One line of mountinfo: "id parent major:minor root mount-point options [optional ...] - type
 * source options". `fallback`: take the mount point itself where the mount does not show the
 * process's group. */
static void mount_line(char *line, hierarchy_t hierarchies[2], bool fallback)
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

    bool v2 = strcmp(type, "cgroup2") == 0;
    if (!v2 && !(strcmp(type, "cgroup") == 0 && list_has(options, "memory")))
        return;
    hierarchy_t *hierarchy = &hierarchies[v2];
    if (hierarchy->path == NULL)
        return;
    unescape(fields[3]);
    unescape(fields[4]);
    const char *below = path_below(hierarchy->path, fields[3]);
    /* "/../x": outside the cgroup namespace, where the mounts do not reach */
    if (below != NULL && strncmp(below, "/..", 3) == 0)
        below = NULL;
    if (below != NULL)
        hierarchy->seen = true;
    else if (fallback && !hierarchy->seen)
        below = "";
    if (below != NULL)
        limits_climb(hierarchy, fields[4], below);
}

static void mounts_read(const char *mountinfo_file, hierarchy_t hierarchies[2], bool fallback)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(mountinfo_file, "re");

    if (file == NULL)
        return;
    while (getline(&line, &room, file) >= 0)
        mount_line(line, hierarchies, fallback);
    free(line);
    fclose(file);
}

/* Lines "number:controllers:path"; version 2 has number 0 and no controllers. */
static void groups_read(const char *cgroup_file, hierarchy_t hierarchies[2])
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(cgroup_file, "re");

    if (file == NULL)
        return;
    while (getline(&line, &room, file) >= 0) {
        char *path = line;
        char *number = strsep(&path, ":");
        char *controllers = strsep(&path, ":");
        if (controllers == NULL || path == NULL)
            continue;
        path[strcspn(path, "\n")] = '\0';
        bool v2 = strcmp(number, "0") == 0 && controllers[0] == '\0';
        if ((v2 || list_has(controllers, "memory")) && hierarchies[v2].path == NULL)
            hierarchies[v2].path =
                strdup(path); /* none: as if not limited, the machine's total holds */
    }
    free(line);
    fclose(file);
}

uint64_t mni_limits_cgroup(const char *cgroup_file, const char *mountinfo_file)
{
    hierarchy_t hierarchies[2] = {{.limit = UINT64_MAX}, {.v2 = true, .limit = UINT64_MAX}};

    groups_read(cgroup_file, hierarchies);
    mounts_read(mountinfo_file, hierarchies, false);
    /* In a container the mount may show another part of the hierarchy than the path says: what
     * it shows as its top is then the container's own group. */
    if ((hierarchies[0].path != NULL && !hierarchies[0].seen) ||
        (hierarchies[1].path != NULL && !hierarchies[1].seen))
        mounts_read(mountinfo_file, hierarchies, true);
    free(hierarchies[0].path);
    free(hierarchies[1].path);
    return hierarchies[0].limit < hierarchies[1].limit ? hierarchies[0].limit
                                                       : hierarchies[1].limit;
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

int mni_limits_slurm(uint32_t pus, uint64_t *bytes)
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
    *bytes = mib == 0 || mib > UINT64_MAX / MIB ? UINT64_MAX : mib * MIB;
    return 0;
}
