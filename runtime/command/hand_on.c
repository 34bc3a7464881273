/* SPDX-License-Identifier: MIT
 *
 * The way to multinode-store: it lies beside the command, as in the folder of a build, or where `make install` puts it, also when
 * the whole installation was moved.
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

/* Executes what lies there; returns if nothing does. */
static void execute(char **arguments, const char *folder, const char *below)
{
    char path[PATH_MAX + 64];

    int length = snprintf(path, sizeof path, "%s/%s" PROGRAM, folder, below);
    if (length < (int)sizeof path && access(path, F_OK) == 0)
        execv(path, arguments);
}

int mni_hand_on(int argc, char **argv)
{
    char self[PATH_MAX];
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    if (arguments == NULL) {
        mni_say("out of memory");
        return MNI_EXIT_FAILED;
    }
    arguments[0] = (char *)"multinode";
    memcpy(arguments + 1, argv, (size_t)argc * sizeof *argv);
    errno = ENOENT;
    if (length > 0) {
        self[length] = '\0';
        *strrchr(self, '/') = '\0';
        execute(arguments, self, "");
        execute(arguments, self, "../libexec/multinode/");
    }
    execute(arguments, MNI_LIBEXEC, "");
    mni_say("cannot run " PROGRAM ", a part of multinode that belongs into %s: %s", MNI_LIBEXEC,
            strerror(errno));
    free(arguments);
    return MNI_EXIT_CANNOT_EXECUTE;
}
