/* SPDX-License-Identifier: MIT
 *
 * multinode submit: a program into the queue of Slurm, by a batch script that stays beside the store. Its options are those of
 * sbatch, which are not looked at but for what cannot go together with a store.
 */
#include "command/command.h"
#include "command/named.h"
#include "command/submit.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPTION_STORE, OPTION_CAMPAIGN, OPTION_HELP };

static const mni_option_t options[] = {
    [OPTION_STORE] = {"store", 's', "FILE.h5",
                      "Keep the jobs in this HDF5 file, and go on with those that it has.\n"
                      "Default: MULTINODE_STORE, else multinode.h5 in this folder."},
    [OPTION_CAMPAIGN] = {"campaign", 0, NULL,
                         "Put it back into the queue until all is done, and start it again where\n"
                         "a node fails. The program starts its jobs under keys."},
    [OPTION_HELP] = {"help", 'h', NULL, "Print this help."},
    {NULL, 0, NULL, NULL},
};

const mni_usage_t mni_submit_usage = {
    .verb = "submit",
    .synopsis = "[OPTIONS] [OPTIONS OF SBATCH] -- PROGRAM [ARGUMENTS]",
    .text =
        "Puts a program that was built with multinode into the queue of Slurm, to be run by `multinode run`\n"
        "with a worker on each node of its allocation. Prints Slurm's number of it, and the store.\n"
        "\n"
        "The batch script is kept beside the store, as FILE.sbatch, and so is what it prints, as\n"
        "FILE-NUMBER.out. Edit it as you like and submit it by sbatch. All other options are sbatch's; the nodes\n"
        "are asked for whole unless one of these says how many cores.\n"
        "\n"
        "Exit status: 0 it is in the queue; 1 it is not, with a line that says why; 2 usage;\n"
        "126 PROGRAM cannot be executed; 127 PROGRAM is not there.",
    .options = options,
    .examples =
        "  multinode submit --nodes 4 --time 2:00:00 -- ./program\n"
        "  multinode submit --campaign -s results.h5 -N 4 -t 4:00:00 -- ./program --samples 1000\n"
        "  multinode list -s results.h5\n",
};

/* --- options ---------------------------------------------------- */

/* The value of -s or --store, which may be a word of its own; NULL: it is another option. */
static const char *store_of(char **words, int *at)
{
    const char *word = words[*at];

    if (strncmp(word, "--store=", 8) == 0)
        return word + 8;
    if (strncmp(word, "-s", 2) == 0 && word[2] != '\0')
        return word + 2;
    if (strcmp(word, "-s") != 0 && strcmp(word, "--store") != 0)
        return NULL;
    if (strcmp(words[*at + 1], "--") == 0)
        return "";
    return words[++*at];
}

/* Options of sbatch's that would make something else of it. */
static int check_option(const char *word)
{
    if (strncmp(word, "--array", 7) == 0 || strncmp(word, "-a", 2) == 0)
        return mni_usage_error(
            "submit",
            "%s: only one run at a time can have the store; start many jobs in it instead", word);
    if (strncmp(word, "--wrap", 6) == 0)
        return mni_usage_error("submit", "%s: what is to run is PROGRAM", word);
    if (strchr(word, '\n'))
        return mni_usage_error("submit", "an option of sbatch cannot have two lines: \"%s\"", word);
    return 0;
}

static int take_store(mni_submit_t *submit, const char *name, const char *text)
{
    static const char ending[] = ".h5", script[] = ".sbatch";
    int status = mni_named_store("submit", name, text, submit->store);
    size_t length = strlen(submit->store);

    if (status != 0)
        return status;
    if (length + sizeof script > sizeof submit->script || strchr(submit->store, '\n'))
        return mni_usage_error("submit", "%s names a path that is too long or has two lines", name);
    if (length > strlen(ending) && strcmp(submit->store + length - strlen(ending), ending) == 0)
        length -= strlen(ending);
    memcpy(submit->script, submit->store, length);
    memcpy(submit->script + length, script, sizeof script);
    return 0;
}

/* Reads what stands before "--", which is at `end`. */
static int read_options(mni_submit_t *submit, char **words, int end)
{
    const char *store = NULL;
    int status = 0;

    for (int at = 0; status == 0 && at < end; at++) {
        const char *word = words[at], *named = store_of(words, &at);
        if (named)
            store = named;
        else if (strcmp(word, "--campaign") == 0)
            submit->campaign = true;
        else if (submit->count == 0 && word[0] != '-')
            return mni_usage_error("submit", "\"%s\" is no option, and PROGRAM follows --", word);
        else if ((status = check_option(word)) == 0)
            submit->options[submit->count++] = words[at];
    }
    if (status != 0)
        return status;
    if (store)
        return take_store(submit, "--store", store);
    store = getenv("MULTINODE_STORE");
    return store && store[0] ? take_store(submit, "MULTINODE_STORE", store)
                             : take_store(submit, "the store", "multinode.h5");
}

/* --- sbatch ---------------------------------------------------- */

extern char **environ;

/* Starts sbatch; what it prints comes from `output`. */
static int spawn_sbatch(const char *script, pid_t *pid, FILE **output)
{
    char *arguments[] = {"sbatch", "--parsable", (char *)script, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], error;

    if (pipe(ends) < 0)
        return errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    error = posix_spawnp(pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error == 0 && !(*output = fdopen(ends[0], "r"))) {
        error = errno;
        kill(*pid, SIGTERM);
        waitpid(*pid, NULL, 0);
    }
    if (error != 0)
        close(ends[0]);
    return error;
}

/* "NUMBER" or "NUMBER;CLUSTER". With sbatch's --wait it ends only when the job does. */
static int call_sbatch(const mni_submit_t *submit)
{
    FILE *output = NULL;
    char line[256] = "";
    int status = 0, error;
    pid_t pid;

    if ((error = spawn_sbatch(submit->script, &pid, &output)) != 0) {
        mni_say("cannot start sbatch: %s%s; the script is %s", strerror(error),
                error == ENOENT ? " (it is part of Slurm and must be in PATH)" : "",
                submit->script);
        return MNI_EXIT_FAILED;
    }
    if (fgets(line, sizeof line, output) && isdigit((unsigned char)line[0])) {
        line[strcspn(line, ";\n")] = '\0';
        printf("%s %s\n", line, submit->store);
        fflush(stdout);
    }
    while (fgets(line, sizeof line, output))
        fputs(line, stdout);
    fclose(output);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    mni_say("sbatch has failed; the script is %s", submit->script);
    return MNI_EXIT_FAILED;
}

int mni_command_submit(int argc, char **argv)
{
    mni_submit_t submit = {.options = calloc((size_t)argc + 1, sizeof *submit.options)};
    int end = 0, status;

    while (end < argc && strcmp(argv[end], "--") != 0) {
        if (strcmp(argv[end], "--help") == 0 || strcmp(argv[end], "-h") == 0) {
            free(submit.options);
            return mni_help_print(&mni_submit_usage);
        }
        end++;
    }
    if (!submit.options) {
        mni_say("out of memory");
        return MNI_EXIT_FAILED;
    }
    submit.program = argv + end + 1;
    if (end >= argc - 1)
        status = mni_usage_error(
            "submit", "%s is missing, such as in: multinode submit --nodes 4 -- ./program",
            end == argc ? "-- before PROGRAM" : "PROGRAM");
    else if ((status = read_options(&submit, argv, end)) == 0 &&
             (status = mni_named_program("submit", submit.program[0])) == 0 &&
             (status = mni_script_write(&submit)) == 0)
        status = call_sbatch(&submit);
    free(submit.options);
    return status;
}
