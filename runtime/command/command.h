/* SPDX-License-Identifier: MIT
 *
 * The `multinode` command: what its files share. One process, one thread; nothing here is part
 * of the library.
 *
 * A verb describes itself by a usage record. The help text and the parser are made from it; the
 * manual page and the completions are held to the help text by tests/integration/options.test.
 */
#ifndef MNI_COMMAND_COMMAND_H
#define MNI_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of the command's own; any other is the program's. */
#define MNI_EXIT_FAILED 1
#define MNI_EXIT_USAGE 2
#define MNI_EXIT_CANNOT_EXECUTE 126
#define MNI_EXIT_NOT_FOUND 127

/* One option. A table ends with a row whose name is NULL. */
typedef struct mni_option {
    const char *name;     /* without the dashes */
    char letter;          /* short form, 0: none */
    const char *argument; /* placeholder of its value, NULL: it takes none */
    const char *text;     /* for --help; lines are broken by '\n' */
} mni_option_t;

/* What --help tells of a verb. */
typedef struct mni_usage {
    const char *verb;     /* "run"; "" for the command itself */
    const char *synopsis; /* what follows "multinode VERB " */
    const char *text;     /* paragraphs, broken by hand */
    const mni_option_t *options;
    const char *examples; /* lines, broken by hand; NULL: none */
} mni_usage_t;

/* A verb gets the arguments behind its name and returns the exit status. Without usage and run another program has it. */
typedef struct mni_verb {
    const char *name;
    const char *summary;
    const mni_usage_t *usage;
    int (*run)(int argc, char **argv);
} mni_verb_t;

/* The verbs there are, ended by a row whose name is NULL (verbs.c; store_verbs.c in multinode-store). */
extern const mni_verb_t mni_verbs[];
extern const mni_usage_t mni_command_usage;

int mni_command_run(int argc, char **argv);
int mni_command_serve(int argc, char **argv);
int mni_command_submit(int argc, char **argv);
int mni_command_version(int argc, char **argv);
int mni_command_help(int argc, char **argv);
extern const mni_usage_t mni_run_usage, mni_serve_usage, mni_submit_usage, mni_version_usage,
    mni_help_usage;

/* task.c: what a program of `multinode exec` says to its task. */
int mni_command_yield(int argc, char **argv);
int mni_command_progress(int argc, char **argv);
int mni_command_cancelled(int argc, char **argv);
extern const mni_usage_t mni_yield_usage, mni_progress_usage, mni_cancelled_usage;

/* hand_on.c: becomes the program multinode-store, with the verb and its arguments. Returns when that cannot be: the exit status. */
int mni_hand_on(int argc, char **argv);

/* The path of another program of the command. False: it is not there, which has been said. */
bool mni_part_find(const char *program, char *path, size_t size);

/* help.c: writes help to standard output; the exit status. */
int mni_help_print(const mni_usage_t *usage);

/* Where a parser is in a verb's arguments. Begin with {usage, argc, argv} and, if it is so, `mixed`. */
typedef struct mni_parser {
    const mni_usage_t *usage;
    int argc;
    char **argv;       /* is put in order: options, then operands */
    bool mixed;        /* options may also follow operands */
    int at;            /* after the last option: the first operand */
    int operands;      /* that were met before an option */
    const char *value; /* of the option just read */
    size_t letters;    /* place within a group of short options */
} mni_parser_t;

/* What mni_parser_next() returns beside the index of an option. */
#define MNI_PARSER_END (-1)
#define MNI_PARSER_ERROR (-2) /* it has been reported */

/* The next option: its index in the table. Options end at the first operand (not if they are mixed) or behind "--". */
int mni_parser_next(mni_parser_t *parser);

/* Reports a usage error of a verb ("" for none) and how to get help; returns MNI_EXIT_USAGE. */
int mni_usage_error(const char *verb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The candidate nearest to a mistyped word, NULL if none is near. `candidates` ends with NULL. */
const char *mni_nearest(const char *word, const char *const *candidates);

/* One line on standard error, in one write: "multinode: ...". */
void mni_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
