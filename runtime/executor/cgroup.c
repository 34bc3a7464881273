/* SPDX-License-Identifier: MIT
 *
 * Control groups as folders and small files: where our own is, a folder of ours in it, words in its
 * files. See cgroup.h.
 */
#include "executor/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- small files ------------------------------------------------------------------------------ */

bool mni_cgroup_path(char out[MNI_CGROUP_PATH], const char *folder, const char *name)
{
    char text[2 * MNI_CGROUP_PATH];
    int length = snprintf(text, sizeof text, "%s/%s", folder, name);
    if (length < 0 || length >= MNI_CGROUP_PATH)
        return false;
    memcpy(out, text, (size_t)length + 1);
    return true;
}

int mni_cgroup_write(const char *folder, const char *name, const char *word)
{
    char path[MNI_CGROUP_PATH];
    if (!mni_cgroup_path(path, folder, name)) {
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

ssize_t mni_cgroup_read(const char *folder, const char *name, char *text, size_t room)
{
    char path[MNI_CGROUP_PATH];
    if (!mni_cgroup_path(path, folder, name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, text, room - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got;
}

bool mni_cgroup_has(const char *folder, const char *name, const char *word)
{
    char text[512];
    return mni_cgroup_read(folder, name, text, sizeof text) > 0 && strstr(text, word) != NULL;
}

bool mni_cgroup_number(const char *folder, const char *name, const char *word, uint64_t *number)
{
    char text[1024], *end;
    if (mni_cgroup_read(folder, name, text, sizeof text) <= 0)
        return false;
    const char *at = text;
    if (word) {
        size_t length = strlen(word);
        while (strncmp(at, word, length) != 0 || at[length] != ' ')
            if ((at = strchr(at, '\n')) == NULL || *++at == '\0')
                return false;
        at += length + 1;
    }
    errno = 0;
    unsigned long long value = strtoull(at, &end, 10);
    if (end == at || errno != 0)
        return false;
    *number = value;
    return true;
}

int mni_cgroup_join(const char *path)
{
    return path[0] == '\0' ? 0 : mni_cgroup_write(path, "cgroup.procs", "0");
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
static bool find_mount(const char *controller, char root[MNI_CGROUP_PATH],
                       char point[MNI_CGROUP_PATH])
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
        found = !controller ? strcmp(type, "cgroup2") == 0
                            : strcmp(type, "cgroup") == 0 && has_option(options, controller);
    }
    free(line);
    fclose(file);
    return found;
}

/* Our own group in it, from /proc/self/cgroup: "0::/path" for v2, "6:freezer:/path" for v1. */
static bool find_own_group(const char *controller, char group[MNI_CGROUP_PATH])
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
        found = !controller ? strncmp(line, "0:", 2) == 0 && controllers[1] == '\0'
                            : has_option(controllers + 1, controller);
        if (found && snprintf(group, MNI_CGROUP_PATH, "%s", path) >= MNI_CGROUP_PATH)
            found = false;
    }
    free(line);
    fclose(file);
    return found;
}

bool mni_cgroup_find(const char *controller, char directory[MNI_CGROUP_PATH])
{
    char root[MNI_CGROUP_PATH], point[MNI_CGROUP_PATH], group[MNI_CGROUP_PATH];

    if (!find_mount(controller, root, point) || !find_own_group(controller, group))
        return false;
    const char *below = group;
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(group, root, length) != 0 || (group[length] != '/' && group[length] != '\0'))
        return false; /* our group is not below what is mounted here */
    below += length;
    if (strcmp(below, "/") == 0)
        below = "";
    char text[2 * MNI_CGROUP_PATH];
    snprintf(text, sizeof text, "%s%s", point, below);
    if (strlen(text) >= MNI_CGROUP_PATH - 128)
        return false;
    memcpy(directory, text, strlen(text) + 1);
    return true;
}

void mni_cgroup_each_below(const char *path, void (*visit)(const char *below))
{
    struct dirent *entry;
    char below[MNI_CGROUP_PATH];

    DIR *directory = opendir(path);
    if (!directory)
        return;
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            mni_cgroup_path(below, path, entry->d_name))
            visit(below);
    closedir(directory);
}

void mni_cgroup_remove(const char *path)
{
    mni_cgroup_each_below(path, mni_cgroup_remove);
    rmdir(path); /* refused while a process is in it */
}

/* --- a folder of ours ----------------------------------------------------------------------------------- */

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
    char path[MNI_CGROUP_PATH];
    int pid;

    DIR *listing = opendir(directory);
    if (!listing)
        return;
    while ((entry = readdir(listing)) != NULL)
        if (sscanf(entry->d_name, MNI_CGROUP_PREFIX "%d-%lu-", &pid, &space) == 2 &&
            space == ours && pid > 0 && kill(pid, 0) < 0 && errno == ESRCH &&
            mni_cgroup_path(path, directory, entry->d_name))
            mni_cgroup_remove(path);
    closedir(listing);
}

int mni_cgroup_make(const char *directory, char path[MNI_CGROUP_PATH])
{
    char name[128];
    uint32_t random = 0;

    sweep(directory);
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint32_t)(uintptr_t)&random;
    snprintf(name, sizeof name, MNI_CGROUP_PREFIX "%d-%lu-%08x", (int)getpid(), pid_namespace(),
             random);
    if (mni_cgroup_path(path, directory, name) && mkdir(path, 0755) == 0)
        return 0;
    path[0] = '\0';
    return -1;
}
