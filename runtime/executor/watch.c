/* SPDX-License-Identifier: MIT
 *
 * Memory of process trees by /proc. See watch.h.
 *
 * The quick sum has shared pages more than once, so it is never too small. Only when it is above the
 * limit are the mappings of each process looked at, which takes some milliseconds per GiB.
 */
#include "executor/watch.h"

#include "executor/channel_layout.h"
#include "executor/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHANNEL_NAME "/memfd:multinode"
#define KIB 1024

/* --- members ---------------------------------------------------------------------------------- */

typedef struct members {
    pid_t *pids;
    size_t count, room;
} members_t;

static void add_listed(members_t *members, const char *path)
{
    FILE *list = fopen(path, "re");
    int pid;

    if (!list)
        return;
    while (members->count < members->room && fscanf(list, "%d", &pid) == 1)
        if (pid > 0)
            members->pids[members->count++] = pid;
    fclose(list);
}

static void add_group(members_t *members, const char *group)
{
    char path[MNI_CGROUP_PATH];
    struct dirent *entry;

    if (mni_cgroup_path(path, group, "cgroup.procs"))
        add_listed(members, path);
    DIR *directory = opendir(group);
    while (directory && (entry = readdir(directory)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            mni_cgroup_path(path, group, entry->d_name))
            add_group(members, path);
    if (directory)
        closedir(directory);
}

/* Every thread has a list of the children that it made. */
static void add_children(members_t *members, pid_t parent)
{
    char path[64];
    struct dirent *entry;

    snprintf(path, sizeof path, "/proc/%d/task", (int)parent);
    DIR *threads = opendir(path);
    while (threads && (entry = readdir(threads)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)parent, entry->d_name);
        add_listed(members, path);
    }
    if (threads)
        closedir(threads);
}

size_t mni_watch_members(const char *group, pid_t root, pid_t *pids, size_t room)
{
    members_t members = {.pids = pids, .room = room};

    if (group[0] != '\0') {
        add_group(&members, group);
        return members.count;
    }
    if (room > 0)
        pids[members.count++] = root;
    for (size_t i = 0; i < members.count; i++)
        add_children(&members, pids[i]);
    return members.count;
}

/* --- one process ------------------------------------------------------------------------------ */

/* Bytes of the lines "Name:   123 kB" of a file that begin with one of the names. */
static uint64_t sum_lines(const char *path, const char *const *names, size_t count)
{
    char line[256];
    uint64_t sum = 0;
    unsigned long long kib;

    FILE *file = fopen(path, "re");
    if (!file)
        return 0; /* it has ended */
    while (fgets(line, sizeof line, file))
        for (size_t i = 0; i < count; i++) {
            size_t length = strlen(names[i]);
            if (strncmp(line, names[i], length) == 0 && sscanf(line + length, "%llu", &kib) == 1)
                sum += kib * KIB;
        }
    fclose(file);
    return sum;
}

static uint64_t quick(pid_t pid, const char *const *names, size_t count)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return sum_lines(path, names, count);
}

/* What a mapping is: the first line of its part of smaps. */
typedef struct mapping {
    bool anonymous; /* private memory, whatever is behind it */
    bool shared;    /* memory that has no file on a disk */
    uint64_t pss, own, swap, resident;
} mapping_t;

/* "7f..-7f.. rw-p 00000000 00:01 1234 /path". False: another line. */
static bool read_mapping(const char *line, mapping_t *mapping)
{
    unsigned long begin, end;
    char flags[8], name[64] = "";

    if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %63s", &begin, &end, flags, name) < 3)
        return false;
    *mapping = (mapping_t){0};
    if (strncmp(name, CHANNEL_NAME, strlen(CHANNEL_NAME)) == 0)
        return true;
    mapping->shared = flags[3] == 's' &&
                      (strncmp(name, "/memfd:", 7) == 0 || strncmp(name, "/dev/shm/", 9) == 0 ||
                       strncmp(name, "/dev/zero", 9) == 0 || strncmp(name, "/SYSV", 5) == 0);
    mapping->anonymous = flags[3] == 'p';
    return true;
}

/* A page that n processes share is an n-th of a page for each. In the private mapping of a file only what was written
 * counts. */
static uint64_t mapping_bytes(const mapping_t *mapping)
{
    if (mapping->shared)
        return mapping->pss + mapping->swap;
    if (!mapping->anonymous)
        return 0;
    uint64_t share =
        mapping->resident == 0
            ? 0
            : (uint64_t)((double)mapping->pss * (double)mapping->own / (double)mapping->resident);
    return share + mapping->swap;
}

static uint64_t exact(pid_t pid)
{
    char path[64], line[512];
    mapping_t mapping = {0}, next;
    uint64_t sum = 0;
    unsigned long long kib;

    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        if (line[0] >= 'A' && line[0] <= 'Z') {
            uint64_t *field = strncmp(line, "Pss:", 4) == 0          ? &mapping.pss
                              : strncmp(line, "Rss:", 4) == 0        ? &mapping.resident
                              : strncmp(line, "Anonymous:", 10) == 0 ? &mapping.own
                              : strncmp(line, "SwapPss:", 8) == 0    ? &mapping.swap
                                                                     : NULL;
            if (field && sscanf(strchr(line, ':') + 1, "%llu", &kib) == 1)
                *field = kib * KIB;
        } else if (read_mapping(line, &next)) {
            sum += mapping_bytes(&mapping);
            mapping = next;
        }
    }
    fclose(file);
    return sum + mapping_bytes(&mapping);
}

/* --- the arena -------------------------------------------------------------------------------- */

/* What is there of the caller's half. */
static uint64_t arena_bytes(int memfd, off_t size)
{
    off_t at = (off_t)MNI_CHANNEL_ARENA, end = at + (size - at) / 2;
    uint64_t sum = 0;

    while (at < end) {
        off_t begin = lseek(memfd, at, SEEK_DATA);
        if (begin < 0 || begin >= end)
            break;
        at = lseek(memfd, begin, SEEK_HOLE);
        if (at < 0)
            break;
        sum += (uint64_t)((at < end ? at : end) - begin);
    }
    return sum;
}

uint64_t mni_watch_usage(const pid_t *pids, size_t count, int memfd, uint64_t limit)
{
    static const char *const names[] = {"RssAnon:", "VmSwap:", "RssShmem:"};
    struct stat status;
    uint64_t own = 0, more = 0;

    if (memfd >= 0 && fstat(memfd, &status) == 0)
        own = arena_bytes(memfd, status.st_size);
    uint64_t sum = own;
    for (size_t i = 0; i < count; i++)
        sum += quick(pids[i], names, 2);
    if (limit == UINT64_MAX)
        return sum;
    for (size_t i = 0; i < count; i++)
        more += quick(pids[i], names + 2, 1);
    if (sum + more <= limit)
        return sum;
    for (size_t i = 0; i < count; i++)
        own += exact(pids[i]);
    return own;
}
