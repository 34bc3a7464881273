/* SPDX-License-Identifier: MIT
 *
 * Groups of processes by cgroup: finding where ours may be made, making, killing and removing them.
 * See tree.h.
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
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFIX "multinode-"
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

/* --- small files ------------------------------------------------------------------------------ */

/* Joins two parts; false when the result is too long. */
static bool join_path(char out[MNI_TREE_PATH], const char *folder, const char *name)
{
    char text[2 * MNI_TREE_PATH];
    int length = snprintf(text, sizeof text, "%s/%s", folder, name);
    if (length < 0 || length >= MNI_TREE_PATH)
        return false;
    memcpy(out, text, (size_t)length + 1);
    return true;
}

static int write_word(const char *folder, const char *name, const char *word)
{
    char path[MNI_TREE_PATH];
    if (!join_path(path, folder, name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t rc = write(fd, word, strlen(word));
    int saved = errno;
    close(fd);
    errno = saved;
    return rc < 0 ? -1 : 0;
}

/* Whether the file holds `word`. */
static bool file_has(const char *folder, const char *name, const char *word)
{
    char path[MNI_TREE_PATH], text[512];
    if (!join_path(path, folder, name))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return strstr(text, word) != NULL;
}

/* --- where our own cgroup is ------------------------------------------------------------------ */

static bool has_option(const char *options, const char *option)
{
    size_t length = strlen(option);
    for (const char *at = options; (at = strstr(at, option)) != NULL; at += length)
        if ((at == options || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

/* Mount point and root of the hierarchy, from /proc/self/mountinfo. Paths with escaped
 * characters are passed over. */
static bool find_mount(mni_tree_method_t method, char root[MNI_TREE_PATH],
                       char point[MNI_TREE_PATH])
{
    char *line = NULL;
    size_t room = 0;
    bool found = false;

    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return false;
    while (!found && getline(&line, &room, file) >= 0) {
        char type[32], options[512];
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
            sscanf(rest + 3, "%31s %*s %511s", type, options) != 2 || strchr(point, '\\') ||
            strchr(root, '\\'))
            continue;
        found = method == MNI_TREE_CGROUP2
                    ? strcmp(type, "cgroup2") == 0
                    : strcmp(type, "cgroup") == 0 && has_option(options, "freezer");
    }
    free(line);
    fclose(file);
    return found;
}

/* Our own group in it, from /proc/self/cgroup: "0::/path" for v2, "6:freezer:/path" for v1. */
static bool find_own_group(mni_tree_method_t method, char group[MNI_TREE_PATH])
{
    char *line = NULL;
    size_t room = 0;
    bool found = false;

    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file)
        return false;
    while (!found && getline(&line, &room, file) >= 0) {
        char *controllers = strchr(line, ':'),
             *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        found = method == MNI_TREE_CGROUP2 ? strncmp(line, "0:", 2) == 0 && controllers[1] == '\0'
                                           : has_option(controllers + 1, "freezer");
        if (found && snprintf(group, MNI_TREE_PATH, "%s", path) >= MNI_TREE_PATH)
            found = false;
    }
    free(line);
    fclose(file);
    return found;
}

/* The directory of our own group, seen through the mount. */
static bool find_directory(mni_tree_method_t method, char directory[MNI_TREE_PATH])
{
    char root[MNI_TREE_PATH], point[MNI_TREE_PATH], group[MNI_TREE_PATH];

    if (!find_mount(method, root, point) || !find_own_group(method, group))
        return false;
    const char *below = group;
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(group, root, length) != 0 || (group[length] != '/' && group[length] != '\0'))
        return false; /* our group is not below what is mounted here */
    below += length;
    if (strcmp(below, "/") == 0)
        below = "";
    char text[2 * MNI_TREE_PATH];
    snprintf(text, sizeof text, "%s%s", point, below);
    if (strlen(text) >= MNI_TREE_PATH - 128)
        return false;
    memcpy(directory, text, strlen(text) + 1);
    return true;
}

/* --- killing a group -------------------------------------------------------------------------- */

static void for_each_below(const char *path, void (*visit)(const char *below))
{
    struct dirent *entry;
    char below[MNI_TREE_PATH];

    DIR *directory = opendir(path);
    if (!directory)
        return;
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            join_path(below, path, entry->d_name))
            visit(below);
    closedir(directory);
}

/* The end of the path that begins with the name of a spawner's directory, which no other has. */
static const char *last_own_part(const char *path)
{
    const char *part = path;
    for (const char *at = path; (at = strstr(at, "/" PREFIX)) != NULL; at++)
        part = at;
    return part;
}

/* All in cgroup.procs of one group, each only while it is a member. */
static void kill_listed(const char *path)
{
    char procs[MNI_TREE_PATH];
    int pid;

    for_each_below(path, kill_listed);
    if (!join_path(procs, path, "cgroup.procs"))
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
    write_word(path, "freezer.state", "THAWED");
    for_each_below(path, thaw);
}

static void freezer_kill(const char *path)
{
    bool frozen = false;

    if (write_word(path, "freezer.state", "FROZEN") < 0)
        return;
    for (int i = 0; i < FREEZE_TRIES && !frozen; i++) {
        frozen = file_has(path, "freezer.state", "FROZEN");
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
        write_word(path, "cgroup.kill", "1");
    else if (method == MNI_TREE_FREEZER)
        freezer_kill(path);
}

static bool freezer_is_empty(const char *path)
{
    char text[MNI_TREE_PATH];
    struct dirent *entry;
    bool empty = true;

    if (!join_path(text, path, "cgroup.procs"))
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
            empty = join_path(text, path, entry->d_name) && freezer_is_empty(text);
    closedir(directory);
    return empty;
}

bool mni_tree_is_empty(mni_tree_method_t method, const char *path)
{
    if (path[0] == '\0' || access(path, F_OK) < 0)
        return true;
    if (method == MNI_TREE_CGROUP2)
        return file_has(path, "cgroup.events", "populated 0");
    return method != MNI_TREE_FREEZER || freezer_is_empty(path);
}

/* --- groups ----------------------------------------------------------------------------------- */

static void remove_below(const char *path)
{
    for_each_below(path, remove_below);
    rmdir(path); /* refused while a process is in it */
}

int mni_tree_group(const mni_tree_t *tree, unsigned index, char path[MNI_TREE_PATH])
{
    char name[16];

    path[0] = '\0';
    if (tree->method == MNI_TREE_SUBREAPER)
        return 0;
    snprintf(name, sizeof name, "%u", index);
    if (!join_path(path, tree->path, name)) {
        path[0] = '\0';
        return mni_error(MN_E_SYSTEM, "the path of a control group is too long");
    }
    for_each_below(path, remove_below); /* of a nested runtime that was killed with its executor */
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return 0;
    if (errno == ENOENT && mkdir(tree->path, 0755) == 0 && mkdir(path, 0755) == 0)
        return 0;
    int rc = mni_error_errno("cannot make the control group %s", path);
    path[0] = '\0';
    return rc;
}

int mni_tree_join(const char *path)
{
    return path[0] == '\0' ? 0 : write_word(path, "cgroup.procs", "0");
}

bool mni_tree_close(mni_tree_t *tree)
{
    if (tree->path[0] == '\0')
        return true;
    remove_below(tree->path);
    return access(tree->path, F_OK) < 0;
}

/* --- choosing --------------------------------------------------------------------------------- */

static unsigned long pid_namespace(void)
{
    struct stat status;
    return stat("/proc/self/ns/pid", &status) == 0 ? (unsigned long)status.st_ino : 0;
}

/* Removes empty directories of runtimes of which neither rank nor spawner could do it. */
static void sweep(const char *directory)
{
    struct dirent *entry;
    unsigned long ours = pid_namespace(), space;
    char path[MNI_TREE_PATH];
    int pid;

    DIR *listing = opendir(directory);
    if (!listing)
        return;
    while ((entry = readdir(listing)) != NULL)
        if (sscanf(entry->d_name, PREFIX "%d-%lu-", &pid, &space) == 2 && space == ours &&
            pid > 0 && kill(pid, 0) < 0 && errno == ESRCH &&
            join_path(path, directory, entry->d_name))
            remove_below(path);
    closedir(listing);
}

/* A process that would stay for ever, in a group of this tree: is it gone after a kill? */
static bool probe(const mni_tree_t *tree)
{
    char group[MNI_TREE_PATH];
    int gate[2], status;
    char joined = 0;

    if (mni_tree_group(tree, 0, group) < 0 || pipe2(gate, O_CLOEXEC) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        joined = mni_tree_join(group) == 0;
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
    char directory[MNI_TREE_PATH], name[128];
    uint32_t random = 0;

    memset(tree, 0, sizeof *tree);
    tree->method = method;
    if (method == MNI_TREE_SUBREAPER)
        return true;
    if (!find_directory(method, directory))
        return false;
    sweep(directory);
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint32_t)(uintptr_t)&random;
    snprintf(name, sizeof name, PREFIX "%d-%lu-%08x", (int)getpid(), pid_namespace(), random);
    if (!join_path(tree->path, directory, name) || mkdir(tree->path, 0755) < 0) {
        tree->path[0] = '\0';
        return false;
    }
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
