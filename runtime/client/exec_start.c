/* SPDX-License-Identifier: MIT
 *
 * From a record to a process: environment, standard input, directory, program.
 */
#include "client/exec.h"

#include "client/task.h"
#include "util/error.h"
#include "util/write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern char **environ;

/* What the executor says of the cores and GPUs that were granted, unless the record says otherwise. */
static const char *const inherited[] = {"CUDA_VISIBLE_DEVICES",
                                        "ROCR_VISIBLE_DEVICES",
                                        "OMP_NUM_THREADS",
                                        "OMP_PLACES",
                                        "OMP_PROC_BIND",
                                        "OMPI_MCA_hwloc_base_binding_policy",
                                        "PRTE_MCA_hwloc_default_binding_policy",
                                        "MULTINODE_STORE"};

#define INHERITED (sizeof inherited / sizeof inherited[0])

/* What the task itself says, whatever the record does. */
enum { TASK_ID, JOB_ID, ATTEMPT, CPUS, YIELD_FD, SOCKET, SAID };

typedef struct environment {
    char **entries; /* ended by NULL; of other owners */
    char said[SAID][96];
    char *taken[INHERITED]; /* "NAME=value" */
} environment_t;

/* --- environment ------------------------------------------------------------------------------ */

/* Whether one of these is of the same name. */
static bool has_name(char *const *entries, size_t count, const char *variable)
{
    size_t length = strcspn(variable, "=");

    for (size_t i = 0; i < count; i++)
        if (entries[i][0] == variable[0] && strncmp(variable, entries[i], length) == 0 &&
            entries[i][length] == '=')
            return true;
    return false;
}

static void say(const mn_task_t *task, const mni_exec_talk_t *talk, environment_t *made)
{
    char id[MN_ID_TEXT];
#define SAY(which, ...) snprintf(made->said[which], sizeof made->said[which], __VA_ARGS__)
    SAY(TASK_ID, "MULTINODE_TASK_ID=%" PRIu64, task->number);
    SAY(JOB_ID, "MULTINODE_JOB_ID=%s", mn_id_format(task->job, id));
    SAY(ATTEMPT, "MULTINODE_ATTEMPT=%u", task->attempt);
    SAY(CPUS, "MULTINODE_CPUS=%u", task->threads);
    SAY(YIELD_FD, "MULTINODE_YIELD_FD=%d", MNI_EXEC_YIELD_FD);
    SAY(SOCKET, MNI_EXEC_SOCKET_VARIABLE "=%s", talk->name);
#undef SAY
}

static size_t length_of(char *const *strings)
{
    size_t count = 0;
    while (strings && strings[count])
        count++;
    return count;
}

/* Adds those whose names are not there yet. */
static void add_new(environment_t *made, char *const *strings)
{
    size_t there = length_of(made->entries), filled = there;

    for (; strings && *strings; strings++)
        if (!has_name(made->entries, there, *strings))
            made->entries[filled++] = *strings;
}

static int make_environment(const mn_task_t *task, const mni_exec_record_t *record,
                            const mni_exec_talk_t *talk, environment_t *made)
{
    size_t most = SAID + length_of(record->environment) + length_of(environ) + INHERITED + 1;

    say(task, talk, made);
    if (!(made->entries = calloc(most, sizeof *made->entries)))
        return mni_error(MN_E_NO_MEMORY, "no memory for an environment");
    for (size_t i = 0; i < SAID; i++)
        made->entries[i] = made->said[i];
    add_new(made, record->environment);
    if (record->inherit || !record->environment)
        add_new(made, environ);
    for (size_t i = 0; i < INHERITED; i++) {
        const char *value = getenv(inherited[i]);
        if (value && asprintf(&made->taken[i], "%s=%s", inherited[i], value) < 0)
            return mni_error(MN_E_NO_MEMORY, "no memory for an environment");
        if (value)
            add_new(made, (char *const[]){made->taken[i], NULL});
    }
    return 0;
}

static void free_environment(environment_t *made)
{
    for (size_t i = 0; i < INHERITED; i++)
        free(made->taken[i]);
    free(made->entries);
}

/* --- standard input --------------------------------------------------------------------------- */

/* Kept open: most programs get it. -1: errno says why. */
static int open_null(void)
{
    static int null = -1;

    if (null < 0)
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return null;
}

/* A descriptor, which is to be closed if there is an input; or MN_E_SYSTEM. */
static int open_input(mn_value_t input)
{
    int fd = input.size == 0 ? open_null() : memfd_create("stdin", MFD_CLOEXEC);

    if (fd >= 0 && input.size > 0 &&
        (mni_write_all(fd, input.data, input.size) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
        int rc = mni_error_errno("exec: cannot write the standard input");
        close(fd);
        return rc;
    }
    return fd >= 0 ? fd : mni_error_errno("exec: cannot open the standard input");
}

/* --- the process ------------------------------------------------------------------------------ */

/* The same error may be about the folder, the program or the interpreter that it names. */
static int refuse(const mni_exec_record_t *record, int error)
{
    const char *program = record->arguments[0], *interpreter = "";
    int directory =
        record->directory ? open(record->directory, O_PATH | O_DIRECTORY | O_CLOEXEC) : AT_FDCWD;

    if (directory == -1) {
        error = errno;
        program = record->directory;
    } else if (error == ENOENT && strchr(program, '/') &&
               faccessat(directory, program, F_OK, 0) == 0) {
        interpreter = "the interpreter that it names: ";
    }
    if (directory >= 0)
        close(directory);
    return mni_error(MN_E_FAILED, "%s: %s%s", program, interpreter, strerror(error));
}

/* posix_spawnp() takes PATH from the environment of who calls it: it is to be the program's. 0 or an errno. */
static int spawn(const mni_exec_record_t *record, char **environment,
                 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                 pid_t *pid)
{
    char **own = environ;
    environ = environment;
    int error = posix_spawnp(pid, record->arguments[0], actions, attributes, record->arguments,
                             environment);
    environ = own;
    return error;
}

static int start(const mni_exec_record_t *record, char **environment, int input, int yields,
                 pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, yields, MNI_EXEC_YIELD_FD);
    if (error == 0 && record->directory)
        error = posix_spawn_file_actions_addchdir_np(&actions, record->directory);
    if (error == 0)
        error = spawn(record, environment, &actions, &attributes, pid);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error == 0 ? 0 : refuse(record, error);
}

int mni_exec_start(const mn_task_t *task, const mni_exec_record_t *record,
                   const mni_exec_talk_t *talk, pid_t *pid)
{
    environment_t environment = {.entries = NULL};
    int input = open_input(record->input), rc = input < 0 ? input : 0;

    if (rc == 0)
        rc = make_environment(task, record, talk, &environment);
    if (rc == 0)
        rc = start(record, environment.entries, input, talk->lines[1], pid);
    free_environment(&environment);
    if (input >= 0 && record->input.size > 0)
        close(input);
    return rc;
}
