/* SPDX-License-Identifier: MIT
 *
 * What the verbs that talk to a running runtime share: it is found by its store, and spoken to by REST (docs/rest.md).
 */
#ifndef MNI_COMMAND_LIVE_H
#define MNI_COMMAND_LIVE_H

#include "command/stored.h"
#include "command/verbs.h"

#include <curl/curl.h>

#define MNI_LIVE_DECLARE(name, summary)            \
    int mni_command_##name(int argc, char **argv); \
    extern const mni_usage_t mni_##name##_usage;
MNI_LIVE_VERBS(MNI_LIVE_DECLARE)
#undef MNI_LIVE_DECLARE

typedef struct mni_live {
    CURL *curl;
    char *store; /* as the connection file has it */
    char *base;  /* what URLs begin with */
    char *token; /* a header that is sent along; NULL: over the Unix socket none is needed */
    long status; /* of the last answer */
    char *body;  /* its bytes, with a NUL behind */
    size_t size;
    json_t *json;                                   /* if it is JSON */
    bool silent;                                    /* nothing is said when a request fails */
    bool (*line)(void *argument, const char *line); /* NULL: the answer is kept */
    void *argument;
} mni_live_t;

/* Finds the runtime of a store (NULL: the default one). 0, or an exit status with a line about it. */
int mni_live_open(const char *given, mni_live_t *live);
void mni_live_close(mni_live_t *live);

/* Sends a request and takes the answer. `body` NULL: none; `header`: one more, NULL: none. 0 when it was carried out, else an exit
 * status, with the problem's sentence. */
int mni_live_send(mni_live_t *live, const char *method, const char *path, const void *body,
                  size_t size, const char *header);

/* Is given the lines of an answer as they come, without their ends; false ends it. */
typedef bool mni_live_line_t(void *argument, const char *line);
/* As mni_live_send() with GET, for an answer that has no end of its own. */
int mni_live_lines(mni_live_t *live, const char *path, mni_live_line_t *take, void *argument);

/* Adds "?name=value" or "&name=value", encoded, to a path; nothing when value is NULL. False: no memory. */
bool mni_live_query(mni_live_t *live, char **path, const char *name, const char *value);

/* The id of the job that a user means, as mni_stored_find(). 0 or an exit status, with a line about it. */
int mni_live_find(const char *verb, mni_live_t *live, const char *name, char id[MN_ID_TEXT]);

/* wait.c: waits until all of these have ended, `timeout` seconds at most, and prints how, unless `quiet`; or adds
 * it to `ended`, an array, if that is not NULL. The exit status of `multinode wait`. */
int mni_live_wait(mni_live_t *live, char (*ids)[MN_ID_TEXT], size_t count, double timeout,
                  bool quiet, json_t *ended);

/* Prints {"jobs": ...}. */
void mni_live_print_jobs(json_t *jobs);

/* start.c: all of what --input names, "TEXT", "@FILE" or "-"; *owned is to be freed. 0, or an exit status with a line about it. */
int mni_input_read(const char *input, const char **bytes, size_t *size, char **owned);

/* A text of the answer; "" when it has none. */
const char *mni_live_text(const json_t *json, const char *name);

#endif
