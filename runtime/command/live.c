/* SPDX-License-Identifier: MIT
 *
 * The line to a running runtime: libcurl over its Unix socket, or, to another node, over TLS. There the key that is shown must be the one
 * of the connection file before anything is said, and its token is said then.
 */
#include "command/live.h"

#include "service/connect.h"
#include "util/error.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MOST ((size_t)256 << 20)
#define CONNECT_PATIENCE 30L /* seconds to reach another node */

/* Hands on the whole lines that have come. */
static bool take_lines(mni_live_t *live)
{
    char *at = live->body, *end;

    while ((end = memchr(at, '\n', live->size - (size_t)(at - live->body))) != NULL) {
        *end = '\0';
        if (!live->line(live->argument, at))
            return false;
        at = end + 1;
    }
    live->size -= (size_t)(at - live->body);
    memmove(live->body, at, live->size + 1);
    return true;
}

static size_t take_bytes(char *data, size_t one, size_t count, void *argument)
{
    mni_live_t *live = argument;
    size_t size = one * count;

    if (live->size + size > ANSWER_MOST)
        return 0;
    char *grown = realloc(live->body, live->size + size + 1);
    if (grown == NULL)
        return 0;
    memcpy(grown + live->size, data, size);
    live->body = grown;
    live->size += size;
    live->body[live->size] = '\0';
    return live->line == NULL || take_lines(live) ? size : 0;
}

static void forget_answer(mni_live_t *live)
{
    json_decref(live->json);
    free(live->body);
    live->json = NULL;
    live->body = NULL;
    live->size = 0;
}

/* The way to it. False: no memory, or a libcurl without TLS. */
static bool find_way(mni_live_t *live, const mni_connect_t *connect)
{
    CURLcode rc;

    if (!connect->remote) {
        live->base = strdup("http://localhost");
        rc = curl_easy_setopt(live->curl, CURLOPT_UNIX_SOCKET_PATH, connect->socket);
        return live->base != NULL && rc == CURLE_OK;
    }
    live->base = strdup(connect->url);
    if (live->base == NULL ||
        asprintf(&live->token, "Authorization: Bearer %s", connect->token) < 0) {
        live->token = NULL;
        return false;
    }
    /* Who signed the certificate, and for which name, is of no interest: the key is known. */
    curl_easy_setopt(live->curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(live->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    /* The system's authorities would be read all the same, between the connection and the handshake. */
    curl_easy_setopt(live->curl, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(live->curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(live->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_PATIENCE);
    return curl_easy_setopt(live->curl, CURLOPT_PINNEDPUBLICKEY, connect->pin) == CURLE_OK;
}

int mni_live_open(const char *given, mni_live_t *live)
{
    const char *path = mni_stored_path(given);
    mni_connect_t connect;

    *live = (mni_live_t){.curl = NULL};
    live->store = realpath(path, NULL);
    if (live->store == NULL) {
        mni_say("there is no store %s: %s; name it with --store FILE.h5 or in MULTINODE_STORE",
                path, strerror(errno));
        return MNI_EXIT_FAILED;
    }
    int rc = mni_connect_read(live->store, &connect);
    if (rc == 0 && (live->curl = curl_easy_init()) == NULL)
        rc = mni_error(MN_E_NO_MEMORY, "out of memory");
    if (rc < 0) {
        if (rc == MN_E_NO_RUNTIME)
            mni_say("%s: %s; start one with multinode run --store %s PROGRAM", path,
                    mn_error_message(), path);
        else
            mni_say("%s", mn_error_message());
        mni_live_close(live);
        return MNI_EXIT_FAILED;
    }
    if (!find_way(live, &connect)) {
        mni_say(
            "cannot speak with the runtime on %s: this libcurl has no TLS, or there is no memory",
            connect.host);
        mni_live_close(live);
        return MNI_EXIT_FAILED;
    }
    curl_easy_setopt(live->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(live->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(live->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(live->curl, CURLOPT_WRITEDATA, live);
    return 0;
}

void mni_live_close(mni_live_t *live)
{
    forget_answer(live);
    if (live->curl != NULL)
        curl_easy_cleanup(live->curl);
    free(live->store);
    free(live->base);
    free(live->token);
    *live = (mni_live_t){.curl = NULL};
}

const char *mni_live_text(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text == NULL ? "" : text;
}

void mni_live_print_jobs(json_t *jobs)
{
    json_t *json = json_pack("{s:O}", "jobs", jobs);

    json_dumpf(json, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(json);
}

/* What went wrong, for people. */
static int complain(mni_live_t *live, CURLcode code)
{
    if (live->silent)
        return MNI_EXIT_FAILED;
    if (code == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
        mni_say(
            "what answers at %s is not the runtime that wrote %s" MNI_CONNECT_SUFFIX
            ": it shows another key, and was told nothing. The runtime may have ended; the next run "
            "on the store writes a new file",
            live->base, live->store);
    else if (code != CURLE_OK && live->token != NULL)
        mni_say(
            "the runtime that has %s does not answer at %s: %s. It may have ended, or its node; "
            "the next run on the store can be reached again",
            live->store, live->base, curl_easy_strerror(code));
    else if (code == CURLE_COULDNT_CONNECT)
        mni_say("the runtime that has %s does not answer; it may be ending", live->store);
    else if (code != CURLE_OK)
        mni_say("the runtime that has %s does not answer: %s", live->store,
                curl_easy_strerror(code));
    else if (mni_live_text(live->json, "detail")[0] != '\0')
        mni_say("%s", mni_live_text(live->json, "detail"));
    else
        mni_say("the runtime that has %s answers with status %ld", live->store, live->status);
    return MNI_EXIT_FAILED;
}

int mni_live_send(mni_live_t *live, const char *method, const char *path, const void *body,
                  size_t size, const char *header)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    char *url = NULL;

    forget_answer(live);
    live->status = 0;
    if (header != NULL)
        headers = curl_slist_append(headers, header);
    if (live->token != NULL)
        headers = curl_slist_append(headers, live->token);
    if (headers == NULL || asprintf(&url, "%s%s", live->base, path) < 0) {
        curl_slist_free_all(headers);
        mni_say("out of memory");
        return MNI_EXIT_FAILED;
    }
    curl_easy_setopt(live->curl, CURLOPT_URL, url);
    curl_easy_setopt(live->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(live->curl, CURLOPT_HTTPGET, 1L);
    if (body != NULL) {
        curl_easy_setopt(live->curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(live->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    }
    curl_easy_setopt(live->curl, CURLOPT_CUSTOMREQUEST, method);
    CURLcode code = curl_easy_perform(live->curl);
    curl_easy_getinfo(live->curl, CURLINFO_RESPONSE_CODE, &live->status);
    curl_slist_free_all(headers);
    free(url);
    if (live->size > 0 && (live->body[0] == '{'))
        live->json = json_loadb(live->body, live->size, 0, NULL);
    return code == CURLE_OK && live->status >= 200 && live->status < 300 ? 0 : complain(live, code);
}

int mni_live_lines(mni_live_t *live, const char *path, mni_live_line_t *take, void *argument)
{
    live->line = take;
    live->argument = argument;
    int status = mni_live_send(live, "GET", path, NULL, 0, NULL);
    live->line = NULL;
    return status;
}

bool mni_live_query(mni_live_t *live, char **path, const char *name, const char *value)
{
    char *made = NULL;

    if (value == NULL)
        return true;
    /* With length 0 it would take the text's own. */
    char *encoded = value[0] == '\0' ? NULL : curl_easy_escape(live->curl, value, 0);
    int rc = value[0] != '\0' && encoded == NULL
                 ? -1
                 : asprintf(&made, "%s%c%s=%s", *path, strchr(*path, '?') ? '&' : '?', name,
                            encoded == NULL ? "" : encoded);
    curl_free(encoded);
    if (rc < 0) {
        mni_say("out of memory");
        return false;
    }
    free(*path);
    *path = made;
    return true;
}

/* --- which job ---------------------------------------------------- */

/* The digits that an id begins with, in lower case and without dashes. */
static bool read_digits(const char *name, char digits[33])
{
    size_t count = 0;

    for (; *name != '\0'; name++) {
        if (*name == '-' && count > 0)
            continue;
        if (!isxdigit((unsigned char)*name) || count == 32)
            return false;
        digits[count++] = (char)tolower((unsigned char)*name);
    }
    digits[count] = '\0';
    return count > 0;
}

static void say_candidates(const mni_live_t *live, const char *name, const json_t *jobs)
{
    json_int_t all = json_integer_value(json_object_get(live->json, "all"));
    const json_t *job;
    size_t i;

    mni_say("\"%s\" may be any of %" JSON_INTEGER_FORMAT " jobs; write more of the id:", name, all);
    json_array_foreach(jobs, i, job)
        fprintf(stderr, "  %s  %s  %s\n", mni_live_text(job, "id"), mni_live_text(job, "job"),
                mni_live_text(job, "status"));
}

int mni_live_find(const char *verb, mni_live_t *live, const char *name, char id[MN_ID_TEXT])
{
    char digits[33] = "", path[96];

    if (strcmp(name, "last") != 0 && !read_digits(name, digits))
        return mni_usage_error(verb, "\"%s\" is no id: give one, the beginning of one, or \"last\"",
                               name);
    snprintf(path, sizeof path, "/v1/jobs?prefix=%s", digits);
    int status = mni_live_send(live, "GET", path, NULL, 0, NULL);
    if (status != 0)
        return status;
    const json_t *jobs = json_object_get(live->json, "jobs");
    const char *found = mni_live_text(json_array_get(jobs, 0), "id");
    if (json_array_size(jobs) == 0)
        mni_say("there is no job %s in the store %s", name, live->store);
    else if (json_array_size(jobs) > 1)
        say_candidates(live, name, jobs);
    if (json_array_size(jobs) != 1 || strlen(found) != MN_ID_TEXT - 1)
        return MNI_EXIT_FAILED;
    memcpy(id, found, MN_ID_TEXT);
    return 0;
}
