/* SPDX-License-Identifier: MIT
 *
 * The server: its thread and its exchanges. See internal.h for who runs what.
 */
#include "service/internal.h"

#include "service/connect.h"
#include "util/clock.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the end waits for answers to leave, in steps. */
#define LEAVE_STEPS 100
#define LEAVE_STEP_US 10000

/* --- exchanges ---------------------------------------------------------------------------------------------------------- */

static mni_exchange_t *exchange_create(mni_door_t *door, struct MHD_Connection *connection)
{
    mni_exchange_t *made = calloc(1, sizeof *made);

    if (!made)
        return NULL;
    made->door = door;
    made->server = door->server;
    made->connection = connection;
    __atomic_add_fetch(&door->server->exchanges, 1, __ATOMIC_ACQ_REL);
    __atomic_add_fetch(&door->server->requests, 1, __ATOMIC_RELAXED);
    return made;
}

static void drop_body(mni_exchange_t *exchange)
{
    __atomic_sub_fetch(&exchange->server->bodies, exchange->body_room, __ATOMIC_RELAXED);
    free(exchange->body);
    exchange->body = NULL;
    exchange->body_size = exchange->body_room = 0;
}

void mni_server_forget(void *argument, struct MHD_Connection *connection, void **place,
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
    size_t more = room - exchange->body_room;
    bool fits = __atomic_add_fetch(&server->bodies, more, __ATOMIC_RELAXED) <= MNI_BODIES_MOST;
    char *grown = fits ? realloc(exchange->body, room) : NULL;
    if (!grown) {
        __atomic_sub_fetch(&server->bodies, more, __ATOMIC_RELAXED);
        return false;
    }
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
        __atomic_add_fetch(&exchange->server->refused, 1, __ATOMIC_RELAXED);
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

enum MHD_Result mni_server_handle(void *door, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **place)
{
    mni_exchange_t *exchange = *place;

    (void)version;
    if (!exchange) {
        if (!(exchange = exchange_create(door, connection)))
            return MHD_NO;
        *place = exchange;
        if (!mni_door_let_in(exchange) ||
            !(exchange->route = mni_route_find(exchange, method, path)))
            return send_answer(exchange);
        if (announces_too_much(exchange))
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

/* --- the beginning and the end ------------------------------------------------------------------------------------------ */

static int open_unix_door(mni_server_t *server)
{
    int listener = mni_socket_listen(server->connect.socket);

    if (listener < 0) {
        server->connect.socket[0] = '\0';
        return listener;
    }
    server->unix_door.listener = listener;
    return mni_door_open(&server->unix_door, NULL);
}

static int open_tcp_door(mni_server_t *server, const mni_listen_t *listen)
{
    mni_connect_t *connect = &server->connect;
    mni_certificate_t certificate = {.key = NULL};
    char address[MNI_LISTEN_ADDRESS], token[MNI_TOKEN_DIGITS + 1];
    int rc = mni_listen_open(listen, address);

    if (rc < 0)
        return rc;
    server->tcp_door.listener = rc;
    if ((rc = mni_token_make(token)) < 0 ||
        (!listen->plain && (rc = mni_certificate_make(&certificate)) < 0))
        goto cleanup;
    memcpy(connect->token, token, sizeof token); /* before anyone can show one */
    if ((rc = mni_door_open(&server->tcp_door, listen->plain ? NULL : &certificate)) < 0) {
        connect->token[0] = '\0';
        goto cleanup;
    }
    memcpy(connect->pin, certificate.pin, sizeof connect->pin);
    snprintf(connect->url, sizeof connect->url, "%s://%s", listen->plain ? "http" : "https",
             address);

cleanup:
    mni_certificate_destroy(&certificate);
    if (rc < 0)
        mni_door_close(&server->tcp_door);
    return rc;
}

/* 1: not over TCP, which nobody has asked for, and why is the error's sentence. */
static int open_doors(mni_server_t *server)
{
    const mni_listen_t *listen = server->options.listen;
    int rc = open_unix_door(server), tcp = 0;

    if (rc == 0 && listen && !listen->off)
        tcp = open_tcp_door(server, listen);
    if (tcp < 0 && server->options.listen_asked)
        rc = tcp;
    mni_connect_self(&server->connect);
    if (rc == 0)
        rc = mni_connect_write(server->options.store, &server->connect);
    server->told = rc == 0;
    return rc == 0 && tcp < 0 ? 1 : rc;
}

int mni_server_open(const mni_server_options_t *options, mni_server_t **server)
{
    mni_server_t *made = calloc(1, sizeof *made);
    int rc;

    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for the HTTP server");
    made->options = *options;
    made->unix_door = (mni_door_t){.server = made, .listener = -1, .first_timeout = MNI_SLOW};
    made->tcp_door = (mni_door_t){
        .server = made, .listener = -1, .tcp = true, .first_timeout = MNI_SLOW_STRANGER};
    made->started = mni_clock_calendar();
    rc = mni_desk_open(options->channel, &made->desk);
    if (rc == 0)
        rc = open_doors(made);
    if (rc < 0)
        mni_server_close(made);
    else
        *server = made;
    return rc;
}

void mni_server_close(mni_server_t *server)
{
    if (!server)
        return;
    if (server->told)
        mni_connect_remove(server->options.store);
    if (server->connect.socket[0])
        unlink(server->connect.socket);
    __atomic_store_n(&server->closing, true, __ATOMIC_RELEASE);
    if (server->desk)
        mni_desk_shut(server->desk);
    /* Those who waited are to hear of the end. */
    for (int i = 0; i < LEAVE_STEPS && __atomic_load_n(&server->exchanges, __ATOMIC_ACQUIRE) > 0;
         i++)
        usleep(LEAVE_STEP_US);
    mni_door_close(&server->unix_door);
    mni_door_close(&server->tcp_door);
    mni_desk_close(server->desk);
    free(server);
}
