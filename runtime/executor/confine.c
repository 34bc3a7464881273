/* SPDX-License-Identifier: MIT
 *
 * Control groups that limit executors. See confine.h. Ranks and spawners; mni_confine_join() between
 * fork() and user code.
 */
#include "executor/confine.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define VARIABLE "MULTINODE_CONFINE"
#define PROBE_LIMIT "1073741824"

static const struct {
    mni_confine_method_t method;
    const char *name;     /* for people */
    const char *variable; /* in MULTINODE_CONFINE */
} methods[] = {
    {MNI_CONFINE_CGROUP2, "cgroup v2", "cgroup2"},
    {MNI_CONFINE_CGROUP1, "cgroup v1", "cgroup1"},
    {MNI_CONFINE_WATCH, "watched", "watch"},
};
#define METHOD_COUNT (sizeof methods / sizeof methods[0])

const char *mni_confine_name(const mni_confine_t *confine)
{
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (methods[i].method == confine->method)
            return methods[i].name;
    return "unknown";
}

static const char *limit_file(const mni_confine_t *confine)
{
    return confine->method == MNI_CONFINE_CGROUP2 ? "memory.max" : "memory.limit_in_bytes";
}

static const char *peak_file(const mni_confine_t *confine)
{
    return confine->method == MNI_CONFINE_CGROUP2 ? "memory.peak" : "memory.max_usage_in_bytes";
}

/* --- groups ----------------------------------------------------------------------------------- */

/* Path of a seat's group; false where there is none. */
static bool seat_path(const char *folder, unsigned seat, char path[MNI_CGROUP_PATH])
{
    char name[16];

    if (folder[0] == '\0')
        return false;
    snprintf(name, sizeof name, "%u", seat);
    return mni_cgroup_path(path, folder, name);
}

static int make_group(const char *folder, unsigned seat, char path[MNI_CGROUP_PATH])
{
    if (!seat_path(folder, seat, path))
        return 0;
    /* Of a nested runtime that was killed with its executor. */
    mni_cgroup_each_below(path, mni_cgroup_remove);
    return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -1;
}

int mni_confine_group(const mni_confine_t *confine, unsigned seat)
{
    char path[MNI_CGROUP_PATH];

    if (confine->memory[0] == '\0')
        return 0;
    if (make_group(confine->memory, seat, path) < 0)
        return -1;
    if (confine->method == MNI_CONFINE_CGROUP2) {
        mni_cgroup_write(path, "memory.oom.group",
                         "1"); /* the whole task, not one of its processes */
        mni_cgroup_write(path, "memory.swap.max", "0"); /* there is no such file without swap */
        return mni_cgroup_write(path, "memory.max", "max");
    }
    mni_cgroup_write(path, "memory.swappiness", "0");
    mni_cgroup_write(path, "memory.max_usage_in_bytes", "0");
    return mni_cgroup_write(path, "memory.limit_in_bytes", "-1");
}

int mni_confine_join(const mni_confine_t *confine, unsigned seat)
{
    char path[MNI_CGROUP_PATH];

    if (confine->shared || !seat_path(confine->memory, seat, path))
        return 0; /* of the tree's group it is a member already */
    return mni_cgroup_join(path);
}

/* --- limits ----------------------------------------------------------------------------------- */

int mni_confine_limit(const mni_confine_t *confine, unsigned seat, uint64_t bytes)
{
    char path[MNI_CGROUP_PATH], text[32];
    uint64_t limit = bytes, now;

    if (!seat_path(confine->memory, seat, path))
        return 0;
    if (bytes > INT64_MAX - MNI_CONFINE_OWN) {
        snprintf(text, sizeof text, "%s", confine->method == MNI_CONFINE_CGROUP2 ? "max" : "-1");
        return mni_cgroup_write(path, limit_file(confine), text);
    }
    limit += MNI_CONFINE_OWN;
    /* Version 1 refuses a limit that is exceeded already, version 2 would kill. */
    if (confine->method == MNI_CONFINE_CGROUP2 &&
        mni_cgroup_number(path, "memory.current", NULL, &now) && now > limit) {
        errno = EBUSY;
        return -1;
    }
    snprintf(text, sizeof text, "%" PRIu64, limit);
    return mni_cgroup_write(path, limit_file(confine), text);
}

uint64_t mni_confine_peak(const mni_confine_t *confine, unsigned seat)
{
    char path[MNI_CGROUP_PATH];
    uint64_t peak = 0;

    if (!seat_path(confine->memory, seat, path) ||
        !mni_cgroup_number(path, peak_file(confine), NULL, &peak))
        return 0;
    if (confine->method == MNI_CONFINE_CGROUP1)
        mni_cgroup_write(path, peak_file(confine), "0");
    return peak;
}

uint64_t mni_confine_kills(const mni_confine_t *confine, unsigned seat)
{
    char path[MNI_CGROUP_PATH];
    uint64_t kills = 0;

    if (seat_path(confine->memory, seat, path))
        mni_cgroup_number(
            path, confine->method == MNI_CONFINE_CGROUP2 ? "memory.events" : "memory.oom_control",
            "oom_kill", &kills);
    return kills;
}

int mni_confine_notice(const mni_confine_t *confine, unsigned seat)
{
    char path[MNI_CGROUP_PATH], file[MNI_CGROUP_PATH], text[32];

    if (confine->method != MNI_CONFINE_CGROUP1 || !seat_path(confine->memory, seat, path) ||
        !mni_cgroup_path(file, path, "memory.oom_control"))
        return -1;
    int control = open(file, O_RDONLY | O_CLOEXEC);
    int notice = control < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (notice >= 0) {
        snprintf(text, sizeof text, "%d %d", notice, control);
        if (mni_cgroup_write(path, "cgroup.event_control", text) < 0) {
            close(notice);
            notice = -1;
        }
    }
    if (control >= 0)
        close(control);
    return notice;
}

/* --- choosing --------------------------------------------------------------------------------- */

/* Whether a limit can be set in a group of this folder. */
static bool probe(const mni_confine_t *confine)
{
    char path[MNI_CGROUP_PATH];
    uint64_t limit = 0;

    return mni_confine_group(confine, 0) == 0 && seat_path(confine->memory, 0, path) &&
           mni_cgroup_write(path, limit_file(confine), PROBE_LIMIT) == 0 &&
           mni_cgroup_number(path, limit_file(confine), NULL, &limit) &&
           limit == strtoull(PROBE_LIMIT, NULL, 10);
}

/* Hands a controller on from the group that holds the tree's folder to the groups in that. */
static bool delegate(const mni_tree_t *tree, const char *controller)
{
    char above[MNI_CGROUP_PATH], word[32];

    snprintf(above, sizeof above, "%s", tree->path);
    char *slash = strrchr(above, '/');
    if (!slash)
        return false;
    *slash = '\0';
    snprintf(word, sizeof word, "+%s", controller);
    /* Often refused: a group with processes of its own may hand on nothing, unless it is the root. */
    return (mni_cgroup_has(above, "cgroup.subtree_control", controller) ||
            mni_cgroup_write(above, "cgroup.subtree_control", word) == 0) &&
           mni_cgroup_write(tree->path, "cgroup.subtree_control", word) == 0;
}

static bool try_method(mni_confine_t *confine, mni_confine_method_t method, const mni_tree_t *tree)
{
    char directory[MNI_CGROUP_PATH];

    confine->method = method;
    if (method == MNI_CONFINE_WATCH)
        return true;
    if (method == MNI_CONFINE_CGROUP2) {
        if (tree->method != MNI_TREE_CGROUP2 || !delegate(tree, "memory"))
            return false;
        memcpy(confine->memory, tree->path, sizeof confine->memory);
        confine->shared = true;
    } else if (!mni_cgroup_find("memory", directory) ||
               mni_cgroup_make(directory, confine->memory) < 0) {
        return false;
    }
    if (probe(confine))
        return true;
    if (!confine->shared)
        mni_cgroup_remove(confine->memory);
    confine->memory[0] = '\0';
    confine->shared = false;
    return false;
}

int mni_confine_open(mni_confine_t *confine, const mni_tree_t *tree)
{
    const char *wanted = getenv(VARIABLE);
    bool any = !wanted || wanted[0] == '\0';

    memset(confine, 0, sizeof *confine);
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (!any && strcmp(wanted, methods[i].variable) != 0)
            continue;
        if (try_method(confine, methods[i].method, tree))
            return 0;
        if (!any)
            return mni_error(MN_E_IMPOSSIBLE, VARIABLE "=%s: memory cannot be limited by %s here",
                             wanted, methods[i].name);
    }
    return mni_error(MN_E_INVALID, VARIABLE "=%.40s: it is cgroup2, cgroup1 or watch", wanted);
}

bool mni_confine_close(mni_confine_t *confine)
{
    if (confine->shared || confine->memory[0] == '\0')
        return true;
    mni_cgroup_remove(confine->memory);
    return access(confine->memory, F_OK) < 0;
}
