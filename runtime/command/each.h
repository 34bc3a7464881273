/* SPDX-License-Identifier: MIT
 *
 * What `multinode exec` starts a job for, each: numbers of --array, or lines of --each.
 */
#ifndef MNI_COMMAND_EACH_H
#define MNI_COMMAND_EACH_H

#include <stddef.h>

#define MNI_EACH_MOST 1000000 /* jobs of one command */

typedef struct mni_each {
    char **values;
    size_t count, room;
} mni_each_t;

/* Numbers from "1-10", "0-100:10", "1,5,7-9". 0, or an exit status with a line about it. */
int mni_each_numbers(const char *text, mni_each_t *each);
/* The lines of a file, "-": of standard input. Empty ones are left out. */
int mni_each_lines(const char *path, mni_each_t *each);
void mni_each_fini(mni_each_t *each);

/* A text with each "{}" replaced, to be freed; NULL: no memory. */
char *mni_each_fill(const char *text, const char *value);

#endif
