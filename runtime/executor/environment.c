/* SPDX-License-Identifier: MIT
 *
 * The environment of user code: without what belongs to the MPI job around it. Runs once, in the
 * spawner.
 */
#include "executor/process.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_PREFIX "MULTINODE_ORIG_"

extern char **environ;

/* MULTINODE_CONTROL is rank 0's line to the command: a nested program must not take itself for
 * that rank. Nor can it listen where this runtime does. */
static const char *const removed_prefixes[] = {
    "OMPI_", "PMIX_", "PRTE_", "PMI_", "SLURM_", "MULTINODE_CONTROL", "MULTINODE_LISTEN"};

/* Not about the job around: the permission of whoever runs as root in a container, which a
 * nested mpirun needs. */
static const char *const left_alone[] = {"OMPI_ALLOW_RUN_AS_ROOT=",
                                         "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="};

/* A nested mpirun binds nothing: what it starts inherits the cores of the executor. Open MPI 4
 * and 5. */
static const char *const nested[][2] = {
    {"OMPI_MCA_hwloc_base_binding_policy", "none"},
    {"PRTE_MCA_hwloc_default_binding_policy", "none"},
};

static bool begins_with_one_of(const char *text, const char *const *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static bool is_removed(const char *variable)
{
    return begins_with_one_of(variable, removed_prefixes,
                              sizeof removed_prefixes / sizeof removed_prefixes[0]) &&
           !begins_with_one_of(variable, left_alone, sizeof left_alone / sizeof left_alone[0]);
}

/* Takes entry `i` out, with or without a value (unsetenv() finds only those with one). */
static char *take_out(size_t i)
{
    char *variable = environ[i];
    for (; environ[i]; i++)
        environ[i] = environ[i + 1];
    return variable;
}

/* "NAME=value" comes back as MULTINODE_ORIG_NAME=value. Without memory it is lost. */
static void keep_original(const char *variable)
{
    size_t length = strcspn(variable, "=");
    char *name = malloc(sizeof KEPT_PREFIX + length);

    if (!name || variable[length] != '=') {
        free(name);
        return;
    }
    memcpy(name, KEPT_PREFIX, sizeof KEPT_PREFIX - 1);
    memcpy(name + sizeof KEPT_PREFIX - 1, variable, length);
    name[sizeof KEPT_PREFIX - 1 + length] = '\0';
    setenv(name, variable + length + 1, 1);
    free(name);
}

void mni_process_clean_environment(void)
{
    for (size_t i = 0; environ && environ[i];) {
        if (!is_removed(environ[i])) {
            i++;
            continue;
        }
        keep_original(take_out(i));
        i = 0; /* the array may have moved */
    }
    for (size_t i = 0; i < sizeof nested / sizeof nested[0]; i++)
        setenv(nested[i][0], nested[i][1], 1);
}
