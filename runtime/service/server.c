/* SPDX-License-Identifier: MIT
 *
 * The server: its thread and its exchanges. See internal.h for who runs what.
 */
#include "service/internal.h"

#include "service/connect.h"
#include "util/clock.h"
#include "util/error.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long the end waits for answers to leave, in steps. */
#define LEAVE_STEPS 100
#define LEAVE_STEP_US 10000

#define CONNECTIONS_MOST 4096u

/* --- exchanges ---------------------------------------------------------------------------------------------------------- */

static mni_exchange_t *exchange_create(mni_server_t *server, struct MHD_Connection *connection)
{
    mni_exchange_t *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    made->server = server;
    made->connection = connection;
    __atomic_add_fetch(&server->exchanges, 1, __ATOMIC_ACQ_REL);
    server->requests++;
    return made;
}

static void drop_body(mni_exchange_t *exchange)
{
    exchange->server->bodies -= exchange->body_room;
    free(exchange->body);
    exchange->body = NULL;
    exchange->body_size = exchange->body_room = 0;
}

static void exchange_over(void *argument, struct MHD_Connection *connection, void **place,
                          enum MHD_RequestTerminationCode code)
{
    mni_exchange_t *exchange = *place;

    (void)argument;
    (void)connection;
    (void)code;
    *place = NULL;
    if (!exchange)
        return;
    drop_body(exchange);
    if (exchange->response)
        MHD_destroy_response(exchange->response);
    mni_writer_fini(&exchange->frame);
    free(exchange->reply);
    __atomic_sub_fetch(&exchange->server->exchanges, 1, __ATOMIC_ACQ_REL);
    free(exchange);
}

static enum MHD_Result send_answer(mni_exchange_t *exchange)
{
    struct MHD_Response *response = exchange->response;

    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (__atomic_load_n(&exchange->server->closing, __ATOMIC_ACQUIRE))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->status, response);
    MHD_destroy_response(response);
    exchange->response = NULL;
    return result;
}

/* --- bodies ----------------------------------------------------------------------------------------------------------------- */

static bool is_json(struct MHD_Connection *connection)
{
    const char *type =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    return type && strncasecmp(type, "application/json", strlen("application/json")) == 0;
}

static size_t body_most(const mni_exchange_t *exchange)
{
    if (!exchange->route || !exchange->route->body)
        return 0;
    return is_json(exchange->connection) ? MNI_JSON_MOST : MN_MAX_VALUE;
}

/* Room for `size` bytes more. False: that is too much. */
static bool make_room(mni_exchange_t *exchange, size_t size)
{
    mni_server_t *server = exchange->server;
    size_t needed = exchange->body_size + size, room = exchange->body_room;

    if (needed <= room)
        return true;
    if (needed > body_most(exchange))
        return false;
    while (room < needed)
        room = room ? 2 * room : 4096;
    if (room > body_most(exchange) + 1)
        room = body_most(exchange) + 1;
    if (server->bodies - exchange->body_room + room > MNI_BODIES_MOST)
        return false;
    char *grown = realloc(exchange->body, room);
    if (!grown)
        return false;
    server->bodies += room - exchange->body_room;
    exchange->body = grown;
    exchange->body_room = room;
    return true;
}

static void take_body(mni_exchange_t *exchange, const char *data, size_t size)
{
    if (!exchange->too_large && make_room(exchange, size)) {
        memcpy(exchange->body + exchange->body_size, data, size);
        exchange->body_size += size;
    } else {
        exchange->too_large = true;
        drop_body(exchange);
    }
}

/* The size that is announced, so that what is too large need not be sent. */
static bool announces_too_much(const mni_exchange_t *exchange)
{
    const char *text = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND,
                                                   MHD_HTTP_HEADER_CONTENT_LENGTH);
    return text && strtoull(text, NULL, 10) > body_most(exchange);
}

static void refuse_body(mni_exchange_t *exchange)
{
    if (body_most(exchange) == 0)
        mni_problem(exchange, mni_error(MN_E_TOO_LARGE, "this request has no body"));
    else
        mni_problem(exchange, mni_error(MN_E_TOO_LARGE,
                                        "the body is larger than %zu bytes, or there is no room "
                                        "for it now",
                                        body_most(exchange)));
}

/* --- the way of a request -------------------------------------------------------------------------------------------------------- */

/* The peer of a Unix socket must be this user, or root, who can do anything. */
static bool may_come_in(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred peer;
    socklen_t size = sizeof peer;

    return info && getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           size == sizeof peer && (peer.uid == geteuid() || peer.uid == 0);
}

static void take_reply(void *argument, const void *frame, size_t size)
{
    mni_exchange_t *exchange = argument;
    int answered = -1;

    if (frame && (exchange->reply = malloc(size))) {
        memcpy(exchange->reply, frame, size);
        exchange->reply_size = size;
        answered = 1;
    }
    __atomic_store_n(&exchange->answered, answered, __ATOMIC_RELEASE);
    MHD_resume_connection(exchange->connection);
}

/* What the scheduler has said. */
static void take_answer(mni_exchange_t *exchange)
{
    mni_reader_t reader;

    if (__atomic_exchange_n(&exchange->answered, 0, __ATOMIC_ACQ_REL) < 0) {
        mni_problem(exchange, mni_error(MN_E_INTERRUPTED, "the runtime has ended"));
        return;
    }
    int rc = mni_reader_begin(&reader, exchange->reply, exchange->reply_size);
    int32_t code = mni_get_i32(&reader);
    const char *message = mni_get_text(&reader);
    if (rc == 0 && code < 0)
        rc = mni_error(code, "%s", message ? message : mn_strerror(code));
    if (code > 0)
        exchange->again = true;
    if (code == MN_E_TIMEOUT) { /* it is to be shown as it is then */
        rc = 0;
        exchange->asked = false;
        exchange->again = true;
        free(exchange->reply);
        exchange->reply = NULL;
        rc = exchange->route->begin(exchange);
    } else if (rc == 0) {
        rc = exchange->route->finish(exchange, &reader);
    }
    if (rc < 0)
        mni_problem(exchange, rc);
}

/* Goes on until there is an answer, or the scheduler is to be waited for. */
static enum MHD_Result go_on(mni_exchange_t *exchange)
{
    int rc = 0;

    if (exchange->asked) {
        take_answer(exchange);
    } else if (exchange->too_large) {
        refuse_body(exchange);
    } else if (mni_desk_waiting(exchange->server->desk) >= MNI_WAITING_MOST) {
        exchange->server->refused++;
        mni_problem_status(exchange, MHD_HTTP_TOO_MANY_REQUESTS,
                           "too many requests wait for an answer; try again a little later");
    } else if ((rc = exchange->route->begin(exchange)) < 0) {
        mni_problem(exchange, rc);
    }
    if (exchange->response)
        return send_answer(exchange);
    if (exchange->asked && rc == 0 && exchange->reply)
        return MHD_NO; /* there was no memory for an answer */
    exchange->asked = true;
    MHD_suspend_connection(exchange->connection);
    mni_desk_ask(exchange->server->desk, &exchange->frame, take_reply, exchange);
    return MHD_YES;
}

static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **place)
{
    mni_exchange_t *exchange = *place;

    (void)version;
    if (!exchange) {
        if (!(exchange = exchange_create(argument, connection)))
            return MHD_NO;
        *place = exchange;
        if (!may_come_in(connection))
            mni_problem_status(exchange, MHD_HTTP_FORBIDDEN, "this is another user's runtime");
        else if ((exchange->route = mni_route_find(exchange, method, path)) &&
                 announces_too_much(exchange))
            refuse_body(exchange);
        return exchange->response ? send_answer(exchange) : MHD_YES;
    }
    if (*size > 0) {
        take_body(exchange, data, *size);
        *size = 0;
        return MHD_YES;
    }
    return go_on(exchange);
}

/* --- the daemon ------------------------------------------------------------------------------------------------------------------- */

/* As many as leave half of the descriptors to the runtime. */
static unsigned connections_most(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur / 2 > CONNECTIONS_MOST)
        return CONNECTIONS_MOST;
    return (unsigned)(limit.rlim_cur / 2);
}

static void say_nothing(void *argument, const char *format, va_list arguments)
{
    (void)argument;
    (void)format;
    (void)arguments;
}

static int start_daemon(mni_server_t *server)
{
    sigset_t all, before;

    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        handle, server, MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL, MHD_OPTION_LISTEN_SOCKET,
        server->listener, MHD_OPTION_NOTIFY_COMPLETED, exchange_over, NULL,
        MHD_OPTION_CONNECTION_TIMEOUT, MNI_SLOW, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        MNI_HEADER_MOST, MHD_OPTION_CONNECTION_LIMIT, connections_most(), MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!server->daemon)
        return mni_error(MN_E_SYSTEM, "the HTTP server does not start");
    server->listener = -1; /* it is the daemon's */
    return 0;
}

int mni_server_open(const mni_server_options_t *options, mni_server_t **server)
{
    mni_server_t *made = calloc(1, sizeof *made);
    mni_connect_t connect = {.pid = 0};
    int rc;

    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for the HTTP server");
    made->options = *options;
    made->started = mni_clock_calendar();
    made->listener = mni_socket_listen(made->socket);
    if ((rc = made->listener) < 0)
        goto cleanup;
    if ((rc = mni_desk_open(options->channel, &made->desk)) < 0 || (rc = start_daemon(made)) < 0)
        goto cleanup;
    mni_connect_self(&connect);
    memcpy(connect.socket, made->socket, sizeof connect.socket);
    if ((rc = mni_connect_write(options->store, &connect)) < 0)
        goto cleanup;
    *server = made;
    return 0;

cleanup:
    mni_server_close(made);
    return rc;
}

void mni_server_close(mni_server_t *server)
{
    if (!server)
        return;
    if (server->daemon)
        mni_connect_remove(server->options.store);
    if (server->socket[0])
        unlink(server->socket);
    __atomic_store_n(&server->closing, true, __ATOMIC_RELEASE);
    if (server->desk)
        mni_desk_shut(server->desk);
    /* Those who waited are to hear of the end. */
    for (int i = 0; i < LEAVE_STEPS && __atomic_load_n(&server->exchanges, __ATOMIC_ACQUIRE) > 0;
         i++)
        usleep(LEAVE_STEP_US);
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    if (server->listener >= 0)
        close(server->listener);
    mni_desk_close(server->desk);
    free(server);
}
