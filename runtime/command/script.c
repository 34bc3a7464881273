/* SPDX-License-Identifier: MIT
 *
 * The batch script of `multinode submit`: one of those in slurm/, which the build has turned into strings, with what a user
 * would edit in it filled in.
 */
#include "command/command.h"
#include "command/run.h"
#include "command/submit.h"
#include "command/walltime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_KEPT 10000
#define LONGEST_SCRIPT (4 << 20) /* Slurm's own limit */
#define SIGNAL_LEAD 180.0        /* seconds, as in slurm/campaign.sbatch */
#define SHORTEST_LEAD 15.0

static const char once[] =
#include "command/many_nodes_text.h"
    ;
static const char campaign[] =
#include "command/campaign_text.h"
    ;

/* --- options of sbatch ---------------------------------------------------- */

/* The value of an option of sbatch's, the last one that is given; NULL: it is not there. "" where it has none. */
static const char *value_of(const mni_submit_t *submit, const char *name, char letter)
{
    const char *value = NULL;
    size_t length = strlen(name);

    for (size_t i = 0; i < submit->count; i++) {
        const char *word = submit->options[i],
                   *next = i + 1 < submit->count && submit->options[i + 1][0] != '-'
                               ? submit->options[i + 1]
                               : "";
        if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, length) == 0 &&
            (word[2 + length] == '=' || word[2 + length] == '\0'))
            value = word[2 + length] == '=' ? word + 3 + length : next;
        else if (letter && word[0] == '-' && word[1] == letter)
            value = word[2] ? word + 2 : next;
    }
    return value;
}

/* Who says how many cores a job is to have does not want whole nodes. */
static bool wants_whole_nodes(const mni_submit_t *submit)
{
    return !value_of(submit, "ntasks", 'n') && !value_of(submit, "ntasks-per-node", 0) &&
           !value_of(submit, "cpus-per-task", 'c') && !value_of(submit, "mincpus", 0) &&
           !value_of(submit, "oversubscribe", 0) && !value_of(submit, "exclusive", 0);
}

/* The warning of a campaign must leave most of the time to the work. */
static double signal_lead(const mni_submit_t *submit)
{
    const char *time = value_of(submit, "time", 't');
    double seconds = 0;

    if (!time || !mni_walltime_parse(time, &seconds) || seconds / 4 >= SIGNAL_LEAD || seconds == 0)
        return SIGNAL_LEAD;
    return seconds / 4 > SHORTEST_LEAD ? seconds / 4 : SHORTEST_LEAD;
}

static bool is_plain(const char *word)
{
    return word[0] &&
           word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "-_=./:,%+@[]")] == '\0';
}

/* A word for sbatch, which reads the lines of a script much as a shell does; but \ does not keep a space within a word. */
static void put_word(FILE *text, const char *word)
{
    bool plain = is_plain(word);

    if (!plain)
        fputc('"', text);
    for (; *word; word++) {
        if (*word == '"' || *word == '\\')
            fputc('\\', text);
        fputc(*word, text);
    }
    if (!plain)
        fputc('"', text);
}

/* A line for each option; a word that is none belongs to the one before. */
static void put_options(FILE *text, const mni_submit_t *submit)
{
    for (size_t i = 0; i < submit->count; i++) {
        fputs(i > 0 && submit->options[i][0] != '-' ? " "
              : i > 0                               ? "\n#SBATCH "
                                                    : "#SBATCH ",
              text);
        put_word(text, submit->options[i]);
    }
    if (submit->count > 0)
        fputc('\n', text);
}

/* --- the script ---------------------------------------------------- */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Beside the store, and named after it: "results-%j.out". Slurm reads % in names. */
static void put_output(FILE *text, const mni_submit_t *submit)
{
    const char *stop = strrchr(submit->script, '.');
    char name[2 * PATH_MAX + 8], *to = name;

    for (const char *at = submit->script; at < stop; at++) {
        if (*at == '%')
            *to++ = '%';
        *to++ = *at;
    }
    memcpy(to, "-%j.out", sizeof "-%j.out");
    fputs("#SBATCH --output=", text);
    put_word(text, name);
    fputc('\n', text);
}

static void put_head(FILE *text, const mni_submit_t *submit)
{
    char folder[PATH_MAX];

    fprintf(text,
            "#!/bin/bash\n# Written by `multinode submit`. Edit it as you like, then: sbatch ");
    mni_launch_quote(text, submit->script);
    fputc('\n', text);
    if (getcwd(folder, sizeof folder)) {
        fputs("#SBATCH --chdir=", text);
        put_word(text, folder);
        fputc('\n', text);
    }
}

static void put_program(FILE *text, const mni_submit_t *submit)
{
    fputs("program=(", text);
    for (char **word = submit->program; *word; word++) {
        if (word > submit->program)
            fputc(' ', text);
        mni_launch_quote(text, *word);
    }
    fputs(")\n", text);
}

/* This command by its whole path: a batch job may have another PATH. */
static void put_run(FILE *text, const char *line, int length)
{
    static const char name[] = "multinode run";
    char self[PATH_MAX];
    const char *at = memmem(line, (size_t)length, name, strlen(name));
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);

    if (at && size > 0 && line[0] != '#') {
        self[size] = '\0';
        fprintf(text, "%.*s", (int)(at - line), line);
        mni_launch_quote(text, self);
        length -= (int)(at - line) + (int)strlen("multinode");
        line = at + strlen("multinode");
    }
    fprintf(text, "%.*s\n", length, line);
}

static bool begins(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* A line of the script in slurm/: as it is, or what takes its place. */
static void put_line(FILE *text, const mni_submit_t *submit, const char *line, int length)
{
    if (begins(line, "#SBATCH --nodes="))
        put_options(text, submit);
    else if (begins(line, "#SBATCH --time=") ||
             (begins(line, "#SBATCH --exclusive") && !wants_whole_nodes(submit)))
        return;
    else if (begins(line, "#SBATCH --signal="))
        fprintf(text, "#SBATCH --signal=B:USR1@%.0f\n", signal_lead(submit));
    else if (begins(line, "#SBATCH --output="))
        put_output(text, submit);
    else if (begins(line, "#SBATCH --job-name=")) {
        fputs("#SBATCH --job-name=", text);
        put_word(text, base_of(submit->program[0]));
        fputc('\n', text);
    } else if (begins(line, "program="))
        put_program(text, submit);
    else if (begins(line, "store=")) {
        fputs("store=", text);
        mni_launch_quote(text, submit->store);
        fputc('\n', text);
    } else
        put_run(text, line, length);
}

/* The whole text, to be freed; NULL: out of memory. */
static char *make_text(const mni_submit_t *submit, size_t *size)
{
    char *made = NULL;
    FILE *text = open_memstream(&made, size);
    const char *line = submit->campaign ? campaign : once;

    if (!text)
        return NULL;
    put_head(text, submit);
    while (*line == '#' && !begins(line, "#SBATCH")) /* what it says to who copies it */
        line += strcspn(line, "\n") + 1;
    while (*line) {
        int length = (int)strcspn(line, "\n");
        put_line(text, submit, line, length);
        line += length + 1;
    }
    if (fclose(text) != 0) {
        free(made);
        return NULL;
    }
    return made;
}

/* --- the file ---------------------------------------------------- */

static bool has_text(const char *path, const char *text, size_t size)
{
    char *found = malloc(size + 1);
    FILE *file = found ? fopen(path, "re") : NULL;
    bool same = file && fread(found, 1, size + 1, file) == size && memcmp(found, text, size) == 0;

    if (file)
        fclose(file);
    free(found);
    return same;
}

/* A script that is there may have been edited: it gets the first name "results.sbatch.~N~" that is free. */
static int keep_old(const char *path)
{
    char kept[PATH_MAX + 16];

    for (int number = 1; number <= MOST_KEPT; number++) {
        snprintf(kept, sizeof kept, "%s.~%d~", path, number);
        if (link(path, kept) == 0) {
            mni_say("the script that was there is now %s", kept);
            return 0;
        }
        if (errno == ENOENT)
            return 0;
        if (errno != EEXIST)
            break;
    }
    mni_say("cannot keep the script that is there as %s: %s", kept, strerror(errno));
    return MNI_EXIT_FAILED;
}

static int write_file(const char *path, const char *text, size_t size)
{
    char made[PATH_MAX + 8];
    mode_t mask = umask(0);
    int fd;

    umask(mask);
    snprintf(made, sizeof made, "%s.XXXXXX", path);
    if ((fd = mkostemp(made, O_CLOEXEC)) < 0) {
        mni_say("cannot write %s: %s", path, strerror(errno));
        return MNI_EXIT_FAILED;
    }
    FILE *file = fdopen(fd, "w");
    bool good = file && fwrite(text, 1, size, file) == size && fchmod(fd, 0666 & ~mask) == 0;
    good = file ? fclose(file) == 0 && good : (close(fd), false);
    if (good && rename(made, path) == 0)
        return 0;
    mni_say("cannot write %s: %s", path, strerror(errno));
    unlink(made);
    return MNI_EXIT_FAILED;
}

int mni_script_write(const mni_submit_t *submit)
{
    size_t size = 0;
    char *text = make_text(submit, &size);
    int status = 0;

    if (!text) {
        mni_say("out of memory");
        return MNI_EXIT_FAILED;
    }
    if (size > LONGEST_SCRIPT)
        status = mni_usage_error("submit", "the batch script would have more than %d bytes",
                                 LONGEST_SCRIPT);
    else if (!has_text(submit->script, text, size) && (status = keep_old(submit->script)) == 0)
        status = write_file(submit->script, text, size);
    free(text);
    return status;
}
