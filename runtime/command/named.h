/* SPDX-License-Identifier: MIT
 *
 * What a user names on the line of a command, checked before anything is started.
 */
#ifndef MNI_COMMAND_NAMED_H
#define MNI_COMMAND_NAMED_H

#include <limits.h>

/* Whether a program can be started, by its path or from PATH. 0, or the exit status (2, 126, 127), with a line about it. */
int mni_named_program(const char *verb, const char *name);

/* The whole path of a store, whose folder must be there; the file need not. `name` is what the text came from ("--store").
 * 0, or the exit status, with a line about it. */
int mni_named_store(const char *verb, const char *name, const char *text, char path[PATH_MAX]);

#endif
