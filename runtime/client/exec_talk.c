/* SPDX-License-Identifier: MIT
 *
 * What comes from a program: each line on its yield descriptor is a yield; a datagram on the task's socket is a message of
 * `multinode yield`, `progress` or `cancelled`, which is answered. The socket has no name in a file system: so it is there in containers
 * too. Whoever can connect to it must be the same user.
 */
#include "client/exec.h"

#include "service/json.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECE ((size_t)64 << 10)
#define LINE_MOST ((size_t)16 << 20)
#define PATIENCE 60 /* seconds that an answer may take */

/* --- beginning and end ------------------------------------------------------------------------ */

/* SIGIO when something can be read. */
static int announce(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETOWN, getpid()) < 0 ||
                   fcntl(fd, F_SETFL, flags | O_NONBLOCK | O_ASYNC) < 0
               ? -1
               : 0;
}

/* "@NAME" of the environment as an address. Its length, 0 if it is none. */
static socklen_t address_of(const char *name, struct sockaddr_un *address)
{
    size_t length = strlen(name);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (name[0] != '@' || length >= sizeof address->sun_path)
        return 0;
    memcpy(address->sun_path + 1, name + 1, length - 1);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static int open_socket(char *name, size_t size)
{
    unsigned char number[12];
    struct sockaddr_un address;
    int used = snprintf(name, size, "@multinode-"), on = 1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || getrandom(number, sizeof number, 0) != (ssize_t)sizeof number)
        return fd;
    for (size_t i = 0; i < sizeof number; i++)
        used += snprintf(name + used, size - (size_t)used, "%02x", number[i]);
    socklen_t length = address_of(name, &address);
    if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 || announce(fd) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void close_all(mni_exec_talk_t *talk)
{
    int fds[] = {talk->lines[0], talk->lines[1], talk->socket};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int mni_exec_talk_open(mn_task_t *task, mni_exec_talk_t *talk)
{
    static mni_exec_talk_t opened;
    static bool is_open;

    if (!is_open) {
        opened = (mni_exec_talk_t){.lines = {-1, -1}, .socket = -1};
        if (pipe2(opened.lines, O_CLOEXEC) < 0 || announce(opened.lines[0]) < 0 ||
            (opened.socket = open_socket(opened.name, sizeof opened.name)) < 0) {
            int rc = mni_error_errno("exec: cannot open what the program talks to");
            close_all(&opened);
            return rc;
        }
        is_open = true;
    }
    *talk = opened;
    talk->task = task;
    return 0;
}

void mni_exec_talk_close(mni_exec_talk_t *talk)
{
    free(talk->line);
    *talk = (mni_exec_talk_t){.lines = {-1, -1}, .socket = -1};
}

/* --- yields ----------------------------------------------------------------------------------- */

/* 0 also when the task is to stop: the value was published. */
static int publish(mni_exec_talk_t *talk, const char *bytes, size_t size)
{
    bool text = mni_json_is_text(bytes, size);
    int rc = mn_yield(talk->task, text ? mn_array(MN_TEXT, bytes, size) : mn_bytes(bytes, size));

    if (rc == MN_E_CANCELLED || rc == MN_E_INTERRUPTED)
        rc = 0;
    talk->yields += rc == 0;
    return rc;
}

static void end_line(mni_exec_talk_t *talk)
{
    if (talk->skipping)
        fprintf(stderr, "multinode: a line of more than %zu MiB was not yielded\n",
                LINE_MOST >> 20);
    else if (publish(talk, talk->size > 0 ? talk->line : "", talk->size) < 0)
        fprintf(stderr, "multinode: a line was not yielded: %s\n", mn_error_message());
    talk->skipping = false;
    talk->size = 0;
}

static void add(mni_exec_talk_t *talk, const char *bytes, size_t size)
{
    size_t room = talk->room > 0 ? talk->room : 256;

    if (talk->skipping || size == 0)
        return;
    while (room < talk->size + size)
        room *= 2;
    char *grown = room > LINE_MOST ? NULL : realloc(talk->line, room);
    if (!grown) {
        talk->skipping = true;
        return;
    }
    talk->line = grown;
    talk->room = room;
    memcpy(grown + talk->size, bytes, size);
    talk->size += size;
}

static void take_lines(mni_exec_talk_t *talk)
{
    static char piece[PIECE];
    ssize_t got;

    while ((got = read(talk->lines[0], piece, sizeof piece)) > 0) {
        const char *at = piece, *end = piece + got, *newline;
        while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
            add(talk, at, (size_t)(newline - at));
            end_line(talk);
            at = newline + 1;
        }
        add(talk, at, (size_t)(end - at));
    }
}

/* --- messages --------------------------------------------------------------------------------- */

typedef union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
} control_t;

typedef struct message {
    mni_exec_ask_t ask;
    struct sockaddr_un from;
    socklen_t from_length;
    uid_t user;
    int fd; /* -1: none came */
} message_t;

/* False: there is none. */
static bool receive(int socket, message_t *message)
{
    control_t control;
    struct iovec part = {&message->ask, sizeof message->ask};
    struct msghdr header = {.msg_name = &message->from,
                            .msg_namelen = sizeof message->from,
                            .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};

    ssize_t got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return false;
    message->from_length = header.msg_namelen;
    message->user = (uid_t)-1;
    message->fd = -1;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&header); at; at = CMSG_NXTHDR(&header, at)) {
        struct ucred who;
        if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&who, CMSG_DATA(at), sizeof who);
            message->user = who.uid;
        } else if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS) {
            memcpy(&message->fd, CMSG_DATA(at), sizeof message->fd);
        }
    }
    if (got != (ssize_t)sizeof message->ask)
        message->ask.kind = 0;
    message->ask.text[MNI_EXEC_TEXT - 1] = '\0';
    return true;
}

static int yield_file(mni_exec_talk_t *talk, int fd)
{
    struct stat status;
    char *bytes = NULL;
    size_t done = 0;
    ssize_t got = 1;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return mni_error(MN_E_INVALID, "a yield came without a value");
    size_t size = (size_t)status.st_size;
    if (size > MN_MAX_VALUE)
        return mni_error(MN_E_TOO_LARGE, "the value is larger than a value may be, 1 GiB");
    if (!(bytes = malloc(size + 1)))
        return mni_error(MN_E_NO_MEMORY, "no memory for a value of %zu bytes", size);
    while (done < size && (got = pread(fd, bytes + done, size - done, (off_t)done)) > 0)
        done += (size_t)got;
    int rc =
        got > 0 ? publish(talk, bytes, done) : mni_error(MN_E_SYSTEM, "the value cannot be read");
    free(bytes);
    return rc;
}

static int carry_out(mni_exec_talk_t *talk, const message_t *message)
{
    int rc;

    switch (message->ask.kind) {
    case MNI_EXEC_YIELD:
        return yield_file(talk, message->fd);
    case MNI_EXEC_PROGRESS:
        rc = mn_progress(talk->task, message->ask.fraction,
                         message->ask.text[0] ? message->ask.text : NULL);
        return rc == MN_E_CANCELLED || rc == MN_E_INTERRUPTED ? 0 : rc;
    case MNI_EXEC_CANCELLED:
        return mn_cancelled(talk->task) != 0;
    default:
        return mni_error(MN_E_PROTOCOL, "a message to the task makes no sense");
    }
}

static void take_messages(mni_exec_talk_t *talk)
{
    message_t message;

    while (receive(talk->socket, &message)) {
        mni_exec_answer_t answer = {.code = 0};
        if (message.user == geteuid() || message.user == 0)
            answer.code = carry_out(talk, &message);
        else
            answer.code = mni_error(MN_E_INVALID, "the task is another user's");
        if (answer.code < 0)
            snprintf(answer.text, sizeof answer.text, "%s", mn_error_message());
        sendto(talk->socket, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL,
               (struct sockaddr *)&message.from, message.from_length);
        if (message.fd >= 0)
            close(message.fd);
    }
}

void mni_exec_talk_take(mni_exec_talk_t *talk)
{
    take_lines(talk);
    take_messages(talk);
}

void mni_exec_talk_end(mni_exec_talk_t *talk)
{
    mni_exec_talk_take(talk);
    if (talk->size > 0 || talk->skipping)
        end_line(talk);
}

/* --- the other side --------------------------------------------------------------------------- */

static int send_ask(int fd, const mni_exec_ask_t *ask, int value)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof value)];
    } control = {.bytes = {0}};
    struct iovec part = {(void *)(uintptr_t)ask, sizeof *ask};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (value >= 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
        struct cmsghdr *at = CMSG_FIRSTHDR(&header);
        *at = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof value)};
        memcpy(CMSG_DATA(at), &value, sizeof value);
    }
    return sendmsg(fd, &header, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int mni_exec_ask(const mni_exec_ask_t *ask, int value)
{
    const char *name = getenv(MNI_EXEC_SOCKET_VARIABLE);
    struct sockaddr_un address, own = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE};
    mni_exec_answer_t answer = {.code = 0};
    socklen_t length = name ? address_of(name, &address) : 0;

    if (length == 0)
        return mni_error(MN_E_NO_RUNTIME,
                         "this is no program of `multinode exec`: its environment has "
                         "no " MNI_EXEC_SOCKET_VARIABLE);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* A name of its own, which the kernel chooses, for the answer. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own.sun_family) < 0 ||
        connect(fd, (struct sockaddr *)&address, length) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        send_ask(fd, ask, value) < 0 ||
        recv(fd, &answer, sizeof answer, 0) != (ssize_t)sizeof answer) {
        int rc = mni_error(MN_E_NO_RUNTIME, "the task of this program does not answer: %s",
                           strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    close(fd);
    answer.text[MNI_EXEC_TEXT - 1] = '\0';
    return answer.code < 0 ? mni_error(answer.code, "%s", answer.text) : answer.code;
}
