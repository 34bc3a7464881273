/* SPDX-License-Identifier: MIT
 *
 * See named.h.
 */
#include "command/command.h"
#include "command/named.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* 0 if a path can be executed, else 126 or 127 with a line about it. `name` is what the user
 * wrote. */
static int check_path(const char *path, const char *name)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        mni_say("cannot run %s: %s", name, strerror(errno));
        return errno == ENOENT || errno == ENOTDIR ? MNI_EXIT_NOT_FOUND : MNI_EXIT_CANNOT_EXECUTE;
    }
    if (S_ISDIR(status.st_mode)) {
        mni_say("cannot run %s: it is a folder", name);
        return MNI_EXIT_CANNOT_EXECUTE;
    }
    if (!S_ISREG(status.st_mode)) {
        mni_say("cannot run %s: it is not a file", name);
        return MNI_EXIT_CANNOT_EXECUTE;
    }
    /* For root access() says yes to any file with an x bit, and no to one without. */
    if (access(path, X_OK) != 0) {
        mni_say("cannot run %s: %s (chmod +x makes a file executable)", name, strerror(errno));
        return MNI_EXIT_CANNOT_EXECUTE;
    }
    return 0;
}

static bool is_in_path(const char *name)
{
    const char *folders = getenv("PATH");
    char path[PATH_MAX];
    struct stat status;

    for (; folders;
         folders = folders[strcspn(folders, ":")] ? folders + strcspn(folders, ":") + 1 : NULL) {
        int length = (int)strcspn(folders, ":");
        if (snprintf(path, sizeof path, "%.*s/%s", length, length ? folders : ".", name) >=
            (int)sizeof path)
            continue;
        if (stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

int mni_named_program(const char *verb, const char *name)
{
    if (name[0] == '\0')
        return mni_usage_error(verb, "the name of PROGRAM is empty");
    if (name[0] == '-')
        return mni_usage_error(
            verb, "PROGRAM \"%s\" would be taken for an option by mpirun; write ./%s", name, name);
    if (strchr(name, '/'))
        return check_path(name, name);
    if (is_in_path(name))
        return 0;
    if (access(name, F_OK) == 0)
        mni_say("cannot run %s: it is not in PATH; for the one in this folder write ./%s", name,
                name);
    else
        mni_say("cannot run %s: there is no such program in PATH", name);
    return MNI_EXIT_NOT_FOUND;
}

int mni_named_store(const char *verb, const char *name, const char *text, char path[PATH_MAX])
{
    char folder[PATH_MAX] = "";
    struct stat status;

    if (text[0] == '\0')
        return mni_usage_error(verb, "%s is empty: name an HDF5 file, such as results.h5", name);
    if (text[0] != '/' && !getcwd(folder, sizeof folder)) {
        mni_say("cannot find out the current folder: %s", strerror(errno));
        return MNI_EXIT_FAILED;
    }
    const char *between = text[0] == '/' || strcmp(folder, "/") == 0 ? "" : "/";
    if (snprintf(path, PATH_MAX, "%s%s%s", folder, between, text) >= PATH_MAX)
        return mni_usage_error(verb, "%s names a path that is too long", name);
    snprintf(folder, sizeof folder, "%s", path);
    *(strrchr(folder, '/') + 1) = '\0';
    if (stat(folder, &status) != 0)
        return mni_usage_error(verb, "%s: the folder %s of \"%s\": %s", name, folder, text,
                               strerror(errno));
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return mni_usage_error(verb, "%s: \"%s\" is a folder, not a file", name, text);
    return 0;
}
