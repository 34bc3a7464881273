/* SPDX-License-Identifier: MIT
 *
 * The doors: a daemon of libmicrohttpd's for each, and who may come in. Over the Unix socket the runtime's user and root, by what
 * the kernel says of them; over TCP whoever shows the token, and nobody else is told anything.
 */
#include "service/internal.h"

#include "util/error.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_MOST 16384u
#define CONNECTIONS_MOST 4096u
#define PRIORITIES "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* --- who may come in ---------------------------------------------------------------------------------------------------- */

/* The peer of a Unix socket must be this user, or root, who can do anything. */
static bool is_own_user(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred peer;
    socklen_t size = sizeof peer;

    return info && getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           size == sizeof peer && (peer.uid == geteuid() || peer.uid == 0);
}

static bool has_token(struct MHD_Connection *connection, const mni_server_t *server)
{
    return mni_token_fits(
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION),
        server->connect.token);
}

static void refuse_stranger(mni_exchange_t *exchange)
{
    mni_problem_status(exchange, MHD_HTTP_UNAUTHORIZED,
                       "the token of the connection file is needed: Authorization: Bearer TOKEN");
    if (!exchange->response)
        return;
    MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                            "Bearer realm=\"multinode\"");
    /* What he sends further on is not read. */
    MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_CONNECTION, "close");
}

bool mni_door_let_in(mni_exchange_t *exchange)
{
    struct MHD_Connection *connection = exchange->connection;

    if (!exchange->door->tcp) {
        if (is_own_user(connection))
            return true;
        mni_problem_status(exchange, MHD_HTTP_FORBIDDEN, "this is another user's runtime");
        return false;
    }
    if (!has_token(connection, exchange->server)) {
        refuse_stranger(exchange);
        return false;
    }
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, MNI_SLOW);
    return true;
}

/* --- daemons -------------------------------------------------------------------------------------------------------------- */

/* Half of the descriptors that the process may have is for connections, and each door has half of those, so that strangers at
 * one cannot shut the other. The process may have more than it was given to begin with. */
static unsigned connections_most(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return CONNECTIONS_MOST / 4;
    if (limit.rlim_cur < DESCRIPTORS_MOST && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MOST ? limit.rlim_max : DESCRIPTORS_MOST;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
            return CONNECTIONS_MOST / 4;
    }
    return limit.rlim_cur / 4 > CONNECTIONS_MOST ? CONNECTIONS_MOST
                                                 : (unsigned)(limit.rlim_cur / 4);
}

static void say_nothing(void *argument, const char *format, va_list arguments)
{
    (void)argument;
    (void)format;
    (void)arguments;
}

int mni_door_open(mni_door_t *door, const mni_certificate_t *certificate)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_KEY, 0, certificate ? certificate->key : NULL},
        {MHD_OPTION_HTTPS_MEM_CERT, 0, certificate ? certificate->chain : NULL},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)PRIORITIES},
        {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    sigset_t all, before;

    if (certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return mni_error(MN_E_SYSTEM, "this libmicrohttpd was built without TLS");
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    door->daemon = MHD_start_daemon(
        flags | (certificate ? MHD_USE_TLS : 0), 0, NULL, NULL, mni_server_handle, door,
        MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL, MHD_OPTION_LISTEN_SOCKET, door->listener,
        MHD_OPTION_NOTIFY_COMPLETED, mni_server_forget, NULL, MHD_OPTION_CONNECTION_TIMEOUT,
        door->first_timeout, MHD_OPTION_CONNECTION_MEMORY_LIMIT, MNI_HEADER_MOST,
        MHD_OPTION_CONNECTION_LIMIT, connections_most(), MHD_OPTION_ARRAY, certificate ? tls : none,
        MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!door->daemon)
        return mni_error(MN_E_SYSTEM, "the HTTP server does not start");
    door->listener = -1; /* it is the daemon's */
    return 0;
}

void mni_door_close(mni_door_t *door)
{
    if (door->daemon)
        MHD_stop_daemon(door->daemon);
    door->daemon = NULL;
    if (door->listener >= 0)
        close(door->listener);
    door->listener = -1;
}
