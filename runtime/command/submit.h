/* SPDX-License-Identifier: MIT
 *
 * multinode submit, inside: what was asked for (submit.c), and the batch script that it becomes (script.c).
 */
#ifndef MNI_COMMAND_SUBMIT_H
#define MNI_COMMAND_SUBMIT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* What the user asked for. */
typedef struct mni_submit {
    bool campaign;         /* put back into the queue until all is done */
    char store[PATH_MAX];  /* the whole path */
    char script[PATH_MAX]; /* the batch script, beside it */
    char **options;        /* those of sbatch */
    size_t count;
    char **program; /* the program and its arguments, ended by NULL */
} mni_submit_t;

/* script.c: writes the batch script, whole or not at all. One that is there with another text is kept under another name, which
 * is told. 0, or the exit status, with a line that says why. */
int mni_script_write(const mni_submit_t *submit);

#endif
