/* SPDX-License-Identifier: MIT
 *
 * Groups of processes by cgroup: choosing the method, making and killing them. See tree.h.
 */
#include "executor/tree.h"

#include "util/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FREEZE_TRIES 50   /* of 100 us each: what a pass waits for a group to freeze */
#define PROBE_TRIES 10000 /* of 1 ms each: for the process on which a method is tried */

static const struct {
    mni_tree_method_t method;
    const char *name;     /* for people */
    const char *variable; /* in MULTINODE_KILL */
} methods[] = {
    {MNI_TREE_CGROUP2, "cgroup v2", "cgroup2"},
    {MNI_TREE_FREEZER, "cgroup v1 freezer", "freezer"},
    {MNI_TREE_SUBREAPER, "subreaper", "subreaper"},
};
#define METHOD_COUNT (sizeof methods / sizeof methods[0])

const char *mni_tree_method_name(mni_tree_method_t method)
{
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "unknown";
}

/* --- killing a group -------------------------------------------------------------------------- */

/* The end of the path that begins with the name of a spawner's directory, which no other has. */
static const char *last_own_part(const char *path)
{
    const char *part = path;
    for (const char *at = path; (at = strstr(at, "/" MNI_CGROUP_PREFIX)) != NULL; at++)
        part = at;
    return part;
}

/* All in cgroup.procs of one group, each only while it is a member. */
static void kill_listed(const char *path)
{
    char procs[MNI_CGROUP_PATH];
    int pid;

    mni_cgroup_each_below(path, kill_listed);
    if (!mni_cgroup_path(procs, path, "cgroup.procs"))
        return;
    FILE *file = fopen(procs, "re");
    if (!file)
        return;
    while (fscanf(file, "%d", &pid) == 1)
        if (pid > 0) /* 0: of another pid namespace */
            mni_scan_kill_member(pid, last_own_part(path));
    fclose(file);
}

/* A group that a nested runtime left frozen would not die. */
static void thaw(const char *path)
{
    mni_cgroup_write(path, "freezer.state", "THAWED");
    mni_cgroup_each_below(path, thaw);
}

static void freezer_kill(const char *path)
{
    bool frozen = false;

    if (mni_cgroup_write(path, "freezer.state", "FROZEN") < 0)
        return;
    for (int i = 0; i < FREEZE_TRIES && !frozen; i++) {
        frozen = mni_cgroup_has(path, "freezer.state", "FROZEN");
        if (!frozen)
            usleep(100);
    }
    /* Frozen, none of them can start another. Not frozen in time (a process hangs in the kernel,
     * or the machine is very busy): some may, and the next pass finds them. A frozen process
     * dies when it is thawed. */
    kill_listed(path);
    thaw(path);
}

void mni_tree_kill(mni_tree_method_t method, const char *path)
{
    if (method == MNI_TREE_CGROUP2)
        mni_cgroup_write(path, "cgroup.kill", "1");
    else if (method == MNI_TREE_FREEZER)
        freezer_kill(path);
}

static bool freezer_is_empty(const char *path)
{
    char text[MNI_CGROUP_PATH];
    struct dirent *entry;
    bool empty = true;

    if (!mni_cgroup_path(text, path, "cgroup.procs"))
        return false;
    FILE *file = fopen(text, "re");
    if (file) {
        empty = fgetc(file) == EOF;
        fclose(file);
    }
    DIR *directory = empty ? opendir(path) : NULL;
    if (!directory)
        return empty;
    while (empty && (entry = readdir(directory)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            empty = mni_cgroup_path(text, path, entry->d_name) && freezer_is_empty(text);
    closedir(directory);
    return empty;
}

bool mni_tree_is_empty(mni_tree_method_t method, const char *path)
{
    if (path[0] == '\0' || access(path, F_OK) < 0)
        return true;
    if (method == MNI_TREE_CGROUP2)
        return mni_cgroup_has(path, "cgroup.events", "populated 0");
    return method != MNI_TREE_FREEZER || freezer_is_empty(path);
}

/* --- groups ----------------------------------------------------------------------------------- */

int mni_tree_group(const mni_tree_t *tree, unsigned index, char path[MNI_CGROUP_PATH])
{
    char name[16];

    path[0] = '\0';
    if (tree->method == MNI_TREE_SUBREAPER)
        return 0;
    snprintf(name, sizeof name, "%u", index);
    if (!mni_cgroup_path(path, tree->path, name)) {
        path[0] = '\0';
        return mni_error(MN_E_SYSTEM, "the path of a control group is too long");
    }
    mni_cgroup_each_below(
        path, mni_cgroup_remove); /* of a nested runtime that was killed with its executor */
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return 0;
    if (errno == ENOENT && mkdir(tree->path, 0755) == 0 && mkdir(path, 0755) == 0)
        return 0;
    int rc = mni_error_errno("cannot make the control group %s", path);
    path[0] = '\0';
    return rc;
}

bool mni_tree_close(mni_tree_t *tree)
{
    if (tree->path[0] == '\0')
        return true;
    mni_cgroup_remove(tree->path);
    return access(tree->path, F_OK) < 0;
}

/* --- choosing --------------------------------------------------------------------------------- */

/* A process that would stay for ever, in a group of this tree: is it gone after a kill? */
static bool probe(const mni_tree_t *tree)
{
    char group[MNI_CGROUP_PATH];
    int gate[2], status;
    char joined = 0;

    if (mni_tree_group(tree, 0, group) < 0 || pipe2(gate, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        joined = mni_cgroup_join(group) == 0;
        if (write(gate[1], &joined, 1) == 1 && joined)
            for (;;)
                pause();
        _exit(1);
    }
    close(gate[1]);
    bool works = pid > 0 && read(gate[0], &joined, 1) == 1 && joined &&
                 !mni_tree_is_empty(tree->method, group);
    close(gate[0]);
    if (pid > 0) {
        mni_tree_kill(tree->method, group);
        for (int i = 0; works && i < PROBE_TRIES && waitpid(pid, &status, WNOHANG) == 0; i++) {
            usleep(i < 20 ? 50 : 1000);
            if (i >= 20)
                mni_tree_kill(tree->method, group);
        }
        /* Reaped already (then there is no such child) or the method did not work. */
        if (!works || waitpid(pid, &status, WNOHANG) == 0) {
            works = false;
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
        }
    }
    return works && mni_tree_is_empty(tree->method, group);
}

static bool try_method(mni_tree_t *tree, mni_tree_method_t method)
{
    char directory[MNI_CGROUP_PATH];

    memset(tree, 0, sizeof *tree);
    tree->method = method;
    if (method == MNI_TREE_SUBREAPER)
        return true;
    if (!mni_cgroup_find(method == MNI_TREE_CGROUP2 ? NULL : "freezer", directory) ||
        mni_cgroup_make(directory, tree->path) < 0)
        return false;
    if (probe(tree))
        return true;
    mni_tree_close(tree);
    return false;
}

int mni_tree_open(mni_tree_t *tree)
{
    const char *wanted = getenv("MULTINODE_KILL");
    bool known = !wanted || wanted[0] == '\0';

    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (!known && strcmp(wanted, methods[i].variable) != 0)
            continue;
        if (try_method(tree, methods[i].method))
            return 0;
        if (!known)
            return mni_error(MN_E_IMPOSSIBLE,
                             "MULTINODE_KILL=%s: process trees cannot be killed by %s here", wanted,
                             methods[i].name);
    }
    return mni_error(MN_E_INVALID, "MULTINODE_KILL=%.40s: it is cgroup2, freezer or subreaper",
                     wanted);
}
