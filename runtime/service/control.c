/* SPDX-License-Identifier: MIT
 *
 * The control line: a sequenced-packet Unix socket, so that a message is whole or not there.
 * Used by the command (listen, from its only thread) and by rank 0 (connect; one thread sends,
 * another may receive).
 */
#include "service/control.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_ROOM 108
#define SOCKET_NAME "/control"
#define FOLDER_NAME "/multinode-XXXXXX"

_Static_assert(sizeof((struct sockaddr_un){0}.sun_path) == PATH_ROOM,
               "a path that fits fits the address");

/* Fills in the address of a path that fits. */
static int make_address(const char *path, struct sockaddr_un *address)
{
    size_t length = strlen(path);

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (length == 0 || length >= sizeof address->sun_path)
        return mni_error(MN_E_INVALID, "\"%s\" cannot name a socket: 1 to %zu characters", path,
                         sizeof address->sun_path - 1);
    memcpy(address->sun_path, path, length + 1);
    return 0;
}

/* Makes the folder in `base`; false if that cannot be. */
static bool make_folder(const char *base, char path[PATH_ROOM])
{
    if (!base || base[0] != '/' ||
        strlen(base) + sizeof FOLDER_NAME + sizeof SOCKET_NAME > PATH_ROOM)
        return false;
    snprintf(path, PATH_ROOM, "%s" FOLDER_NAME, base);
    return mkdtemp(path) != NULL;
}

int mni_control_listen(char path[108])
{
    char made[PATH_ROOM];
    struct sockaddr_un address;
    int listener = -1, rc;

    /* Not all file systems that TMPDIR may name can hold a socket's name, or one so long. */
    if (!make_folder(getenv("TMPDIR"), made) && !make_folder("/tmp", made))
        return mni_error_errno("cannot make a private folder in TMPDIR or /tmp");
    strcat(made, SOCKET_NAME);
    if ((rc = make_address(made, &address)) < 0)
        goto cleanup;
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 4) != 0) {
        rc = mni_error_errno("cannot make the control socket %s", made);
        goto cleanup;
    }
    memcpy(path, made, sizeof made);
    return listener;

cleanup:
    mni_control_unlisten(listener, made);
    return rc;
}

void mni_control_unlisten(int listener, const char *path)
{
    char folder[PATH_ROOM];
    int saved = errno;
    size_t length = path ? strlen(path) : 0, tail = sizeof SOCKET_NAME - 1;

    if (listener >= 0)
        close(listener);
    if (length > tail && length < sizeof folder && strcmp(path + length - tail, SOCKET_NAME) == 0) {
        memcpy(folder, path, length - tail);
        folder[length - tail] = '\0';
        unlink(path);
        rmdir(folder);
    }
    errno = saved;
}

int mni_control_connect(const char *path)
{
    struct sockaddr_un address;
    int line, rc;

    if (!path)
        return mni_error(MN_E_INVALID, "no path of a control socket was given");
    if ((rc = make_address(path, &address)) < 0)
        return rc;
    line = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (line < 0)
        return mni_error_errno("cannot make a socket");
    do
        rc = connect(line, (struct sockaddr *)&address, sizeof address);
    while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        rc = mni_error_errno("cannot reach `multinode run` at %s", path);
        close(line);
        return rc;
    }
    return line;
}

int mni_control_send(int socket, mni_control_kind_t kind, int32_t value)
{
    mni_control_message_t message = {.kind = (uint32_t)kind, .value = value};
    ssize_t sent;

    do
        sent = send(socket, &message, sizeof message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof message ? 0
                                           : mni_error_errno("cannot send over the control line");
}

/* Two descriptors beside a message. */
typedef union passed {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(2 * sizeof(int))];
} passed_t;

int mni_control_send_streams(int socket)
{
    mni_control_message_t message = {.kind = MNI_CONTROL_STREAMS};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), streams[2];
    passed_t passed = {0};
    struct iovec part = {&message, sizeof message};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = passed.bytes,
                            .msg_controllen = sizeof passed.bytes};
    ssize_t sent;

    for (int i = 0; i < 2; i++)
        streams[i] = fcntl(i + 1, F_GETFD) < 0 ? null : i + 1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof streams);
    memcpy(CMSG_DATA(header), streams, sizeof streams);
    do
        sent = sendmsg(socket, &packet, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    int rc = sent == (ssize_t)sizeof message
                 ? 0
                 : mni_error_errno("cannot send the standard streams over the control line");
    if (null >= 0)
        close(null);
    return rc;
}

int mni_control_take_streams(int socket)
{
    mni_control_message_t message = {.kind = 0};
    int streams[2] = {-1, -1}, rc = 0;
    passed_t passed = {0};
    struct iovec part = {&message, sizeof message};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = passed.bytes,
                            .msg_controllen = sizeof passed.bytes};
    ssize_t size;

    do
        size = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    if (size == 0 || (size < 0 && errno == ECONNRESET))
        return 1;
    if (size < 0)
        return mni_error_errno("cannot receive from the control line");
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    if (size != (ssize_t)sizeof message || message.kind != MNI_CONTROL_STREAMS || !header ||
        header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof streams))
        return mni_error(MN_E_PROTOCOL, "the control line does not begin with its streams");
    memcpy(streams, CMSG_DATA(header), sizeof streams);
    for (int i = 0; i < 2; i++) {
        /* mpirun takes the end of both for the end of the process, and its input is lost: so what
         * was there stays open, under another number, for as long as the process lives. */
        fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
        if (dup2(streams[i], i + 1) < 0 && rc == 0)
            rc = mni_error_errno("cannot take over the command's standard streams");
        if (streams[i] > 2)
            close(streams[i]);
    }
    return rc;
}

int mni_control_receive(int socket, mni_control_message_t *message)
{
    mni_control_message_t received;
    ssize_t size;

    do
        size = recv(socket, &received, sizeof received, MSG_TRUNC);
    while (size < 0 && errno == EINTR);
    if (size == 0 || (size < 0 && errno == ECONNRESET))
        return 0;
    if (size < 0)
        return mni_error_errno("cannot receive from the control line");
    if (size != (ssize_t)sizeof received)
        return mni_error(MN_E_PROTOCOL,
                         "a message of %zd bytes on the control line: %zu are expected", size,
                         sizeof received);
    if (received.kind < MNI_CONTROL_HELLO || received.kind > MNI_CONTROL_EXIT)
        return mni_error(MN_E_PROTOCOL, "a message of unknown kind %u on the control line",
                         received.kind);
    *message = received;
    return 1;
}
