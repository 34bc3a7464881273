/* SPDX-License-Identifier: MIT
 *
 * See walltime.h. Slurm tells jobs when they end from version 23.02 on; before that squeue is asked.
 */
#include "command/command.h"
#include "command/walltime.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 10000 /* ms for squeue */

extern char **environ;

static bool number(const char **text, double *value)
{
    char *end = NULL;
    if (**text < '0' || **text > '9')
        return false;
    *value = strtod(*text, &end);
    bool whole = strcspn(*text, ".eExX") >= (size_t)(end - *text);
    *text = end;
    return whole && *value <= 1e7;
}

bool mni_walltime_parse(const char *text, double *seconds)
{
    double parts[3] = {0}, days = 0;
    bool has_days = strchr(text, '-') != NULL;
    int count = 0;

    if (has_days && (!number(&text, &days) || *text++ != '-'))
        return false;
    do {
        if (count == 3 || !number(&text, &parts[count++]))
            return false;
    } while (*text == ':' && text++);
    if (*text != '\0')
        return false;
    if (has_days) /* hours, minutes, seconds */
        *seconds = ((days * 24 + parts[0]) * 60 + parts[1]) * 60 + parts[2];
    else if (count == 3)
        *seconds = (parts[0] * 60 + parts[1]) * 60 + parts[2];
    else /* minutes, seconds */
        *seconds = parts[0] * 60 + parts[1];
    return true;
}

/* The first line that a command prints; false: it fails, or takes too long. */
static bool ask(char *const arguments[], char *line, size_t room)
{
    posix_spawn_file_actions_t actions;
    int ends[2], status = -1;
    size_t size = 0;
    pid_t pid;

    if (pipe(ends) < 0)
        return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    bool begun = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    struct pollfd said = {.fd = ends[0], .events = POLLIN};
    while (begun && size < room - 1 && poll(&said, 1, PATIENCE) == 1) {
        ssize_t got = read(ends[0], line + size, room - 1 - size);
        if (got <= 0)
            break;
        size += (size_t)got;
    }
    close(ends[0]);
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (begun) {
        if (waitpid(pid, &status, WNOHANG) == 0) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
        }
    }
    return begun && size > 0;
}

double mni_walltime_left(void)
{
    const char *end = getenv("SLURM_JOB_END_TIME"), *job = getenv("SLURM_JOB_ID");
    char line[64];
    double seconds = 0;

    if (!job)
        return 0;
    if (end && atof(end) > 0)
        return atof(end) - (double)time(NULL);
    char *arguments[] = {"squeue", "--noheader", "--jobs", (char *)job, "--format", "%L", NULL};
    if (!ask(arguments, line, sizeof line) || !mni_walltime_parse(line, &seconds))
        return 0; /* "UNLIMITED" */
    return seconds;
}
