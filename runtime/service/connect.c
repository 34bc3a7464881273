/* SPDX-License-Identifier: MIT
 *
 * The connection file: see connect.h. JSON, so that other programs can read it as well.
 */
#include "service/connect.h"

#include "util/clock.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 1
#define FILE_MOST 4096 /* bytes of a connection file */

/* Field 22 of /proc/PID/stat; 0: there is no such process. */
static uint64_t start_of(pid_t pid)
{
    char path[64], text[1024];
    unsigned long long start = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    char *at = strrchr(text, ')'); /* the name before it may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        sscanf(at, "%llu", &start);
    return start;
}

static void read_boot(char *boot, size_t room)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    boot[0] = '\0';
    if (!file)
        return;
    if (!fgets(boot, (int)room, file))
        boot[0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    fclose(file);
}

void mni_connect_self(mni_connect_t *connect)
{
    gethostname(connect->host, sizeof connect->host - 1);
    connect->host[sizeof connect->host - 1] = '\0';
    read_boot(connect->boot, sizeof connect->boot);
    connect->pid = getpid();
    connect->start = start_of(connect->pid);
    connect->started = mni_clock_calendar();
}

/* --- write ------------------------------------------------------------------------------------------------------------- */

static json_t *word(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *describe(const mni_connect_t *connect)
{
    return json_pack("{s:i, s:s, s:s, s:i, s:I, s:f, s:s, s:o, s:o, s:o}", "multinode", VERSION,
                     "host", connect->host, "boot", connect->boot, "pid", (int)connect->pid,
                     "start", (json_int_t)connect->start, "started", connect->started, "socket",
                     connect->socket, "url", word(connect->url), "token", word(connect->token),
                     "pin", word(connect->pin));
}

int mni_connect_write(const char *store, const mni_connect_t *connect)
{
    char *path = NULL, *made = NULL, *text = NULL;
    json_t *json = describe(connect);
    int fd = -1, rc = 0;

    if (!json || !(text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(16))) ||
        asprintf(&path, "%s" MNI_CONNECT_SUFFIX, store) < 0 ||
        asprintf(&made, "%s.%d", path, (int)getpid()) < 0) {
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the connection file");
        goto cleanup;
    }
    size_t length = strlen(text);
    unlink(made);
    fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, length) != (ssize_t)length || rename(made, path) < 0) {
        rc = mni_error_errno("cannot write %s", path);
        unlink(made);
    }

cleanup:
    if (fd >= 0)
        close(fd);
    json_decref(json);
    free(text);
    free(made);
    free(path);
    return rc;
}

/* --- read -------------------------------------------------------------------------------------------------------------- */

static bool copy_text(const json_t *json, const char *name, char *to, size_t room)
{
    const char *text = json_string_value(json_object_get(json, name));

    if (!text || strlen(text) >= room)
        return false;
    strcpy(to, text);
    return true;
}

/* One that need not be there. */
static bool copy_word(const json_t *json, const char *name, char *to, size_t room)
{
    const json_t *value = json_object_get(json, name);
    return !value || json_is_null(value) || copy_text(json, name, to, room);
}

/* A header and a URL are made of these. */
static bool are_safe(const mni_connect_t *found)
{
    static const char digits[] = "0123456789abcdef", base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                                "abcdefghijklmnopqrstuvwxyz"
                                                                "0123456789+/=";
    static const char scheme[] = "https://", head[] = "sha256//";
    bool tls = strncmp(found->url, scheme, strlen(scheme)) == 0;

    if (!found->url[0])
        return !found->token[0] && !found->pin[0];
    if (strspn(found->token, digits) != MNI_TOKEN_DIGITS)
        return false;
    for (const char *at = found->url; *at; at++)
        if (*at <= ' ' || *at >= 127)
            return false;
    if (!tls)
        return strncmp(found->url, "http://", strlen("http://")) == 0 && !found->pin[0];
    return strncmp(found->pin, head, strlen(head)) == 0 && found->pin[strlen(head)] &&
           found->pin[strlen(head) + strspn(found->pin + strlen(head), base64)] == '\0';
}

static int take(const json_t *json, const char *path, mni_connect_t *connect)
{
    mni_connect_t found = {.pid = 0};

    if (json_integer_value(json_object_get(json, "multinode")) != VERSION)
        return mni_error(MN_E_PROTOCOL, "%s is no connection file of this version of multinode",
                         path);
    found.pid = (pid_t)json_integer_value(json_object_get(json, "pid"));
    found.start = (uint64_t)json_integer_value(json_object_get(json, "start"));
    found.started = json_number_value(json_object_get(json, "started"));
    if (found.pid <= 0 || !copy_text(json, "host", found.host, sizeof found.host) ||
        !copy_text(json, "boot", found.boot, sizeof found.boot) ||
        !copy_text(json, "socket", found.socket, sizeof found.socket) || found.socket[0] != '/' ||
        !copy_word(json, "url", found.url, sizeof found.url) ||
        !copy_word(json, "token", found.token, sizeof found.token) ||
        !copy_word(json, "pin", found.pin, sizeof found.pin) || !are_safe(&found))
        return mni_error(MN_E_PROTOCOL, "%s is damaged", path);
    *connect = found;
    return 0;
}

int mni_connect_parse(const char *text, size_t size, const char *path, mni_connect_t *connect)
{
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    int rc = json ? take(json, path, connect) : mni_error(MN_E_PROTOCOL, "%s is damaged", path);
    json_decref(json);
    return rc;
}

static int read_file(const char *path, mni_connect_t *connect)
{
    char text[FILE_MOST];
    struct stat file;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return mni_error(MN_E_NO_RUNTIME, "no runtime has this store");
    if (fd < 0)
        return mni_error_errno("cannot read %s", path);
    ssize_t size =
        fstat(fd, &file) == 0 && S_ISREG(file.st_mode) ? read(fd, text, sizeof text) : -1;
    close(fd);
    if (size < 0)
        return mni_error(MN_E_PROTOCOL, "%s is no file that can be read", path);
    /* What it says is where requests go, with whatever is in them. */
    if ((file.st_uid != geteuid() && file.st_uid != 0) || (file.st_mode & 022) != 0)
        return mni_error(MN_E_PROTOCOL, "%s is another user's, or others may write to it", path);
    return mni_connect_parse(text, (size_t)size, path, connect);
}

/* Whether the runtime that wrote it, on this host, is not there any more. */
static bool is_gone(const mni_connect_t *found, const mni_connect_t *self)
{
    return strcmp(found->boot, self->boot) != 0 || start_of(found->pid) != found->start;
}

static int find(const char *store, char **path, mni_connect_t *found)
{
    if (asprintf(path, "%s" MNI_CONNECT_SUFFIX, store) < 0) {
        *path = NULL;
        return mni_error(MN_E_NO_MEMORY, "no memory for a path");
    }
    return read_file(*path, found);
}

int mni_connect_read(const char *store, mni_connect_t *connect)
{
    mni_connect_t self = {.pid = 0}, found;
    char *path = NULL;
    int rc = find(store, &path, &found);

    free(path);
    if (rc < 0)
        return rc;
    mni_connect_self(&self);
    found.remote = strcmp(found.host, self.host) != 0;
    if (found.remote && !found.pin[0]) /* plain HTTP does not leave its host */
        return mni_error(MN_E_NO_RUNTIME,
                         "a runtime on host %s has this store; it can be reached from there only, "
                         "unless it is started with --listen",
                         found.host);
    if (!found.remote && is_gone(&found, &self))
        return mni_error(MN_E_NO_RUNTIME, "the runtime that had this store, pid %d, is gone",
                         (int)found.pid);
    *connect = found;
    return 0;
}

void mni_connect_clean(const char *store)
{
    mni_connect_t self = {.pid = 0}, found;
    char *path = NULL;

    mni_connect_self(&self);
    if (find(store, &path, &found) == 0 && strcmp(found.host, self.host) == 0 &&
        is_gone(&found, &self))
        unlink(path);
    free(path);
}

void mni_connect_remove(const char *store)
{
    mni_connect_t found;
    char *path = NULL;

    if (find(store, &path, &found) == 0 && found.pid == getpid() &&
        found.start == start_of(found.pid))
        unlink(path);
    free(path);
}
