/* SPDX-License-Identifier: MIT
 *
 * The way to the other programs of the command: they lie beside it, as in the folder of a build, or where `make install` puts them,
 * also when the whole installation was moved.
 */
#include "command/command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "multinode-store"

#ifndef MNI_LIBEXEC /* as `make install` was told */
#define MNI_LIBEXEC "/usr/local/libexec/multinode"
#endif

static bool is_there(const char *folder, const char *below, const char *program, char *path,
                     size_t size)
{
    int length = snprintf(path, size, "%s/%s%s", folder, below, program);
    return length < (int)size && access(path, F_OK) == 0;
}

bool mni_part_find(const char *program, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    if (length > 0) {
        self[length] = '\0';
        *strrchr(self, '/') = '\0';
        if (is_there(self, "", program, path, size) ||
            is_there(self, "../libexec/multinode/", program, path, size))
            return true;
    }
    if (is_there(MNI_LIBEXEC, "", program, path, size))
        return true;
    mni_say("cannot find %s, a part of multinode that belongs into %s", program, MNI_LIBEXEC);
    return false;
}

int mni_hand_on(int argc, char **argv)
{
    char path[PATH_MAX + 64];
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);

    if (arguments == NULL) {
        mni_say("out of memory");
        return MNI_EXIT_FAILED;
    }
    arguments[0] = (char *)"multinode";
    memcpy(arguments + 1, argv, (size_t)argc * sizeof *argv);
    if (mni_part_find(PROGRAM, path, sizeof path)) {
        execv(path, arguments);
        mni_say("cannot run %s: %s", path, strerror(errno));
    }
    free(arguments);
    return MNI_EXIT_CANNOT_EXECUTE;
}
