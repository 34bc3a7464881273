/* SPDX-License-Identifier: MIT
 *
 * What the files of the server share.
 *
 * Each door, the Unix socket and TCP, is a daemon of libmicrohttpd's: one thread serves all of its connections, and may not
 * wait. A request that the scheduler must answer is sent to it
 * over the desk and its connection suspended; the desk's thread leaves the answer in the exchange and resumes the connection.
 *
 *     server.c    exchanges from their first byte to their end; the beginning and the end of it all
 *     door.c      daemons, and who may come in
 *     routes.c    which request is which call
 *     calls.c     what each asks the scheduler, and what is made of the answer
 *     start.c     POST /v1/jobs
 *     stream.c    answers that are made while they are sent: large results, events
 *     problem.c   errors as application/problem+json
 */
#ifndef MNI_SERVICE_INTERNAL_H
#define MNI_SERVICE_INTERNAL_H

#include "service/connect.h"
#include "service/desk.h"
#include "service/json.h"
#include "service/server.h"
#include "wire/message.h"

#include <microhttpd.h>
#include <stdio.h>

/* --- bounds ------------------------------------------------------------------------------------------------------------- */

#define MNI_HEADER_MOST ((size_t)32 << 10)             /* of a request, with its line */
#define MNI_JSON_MOST ((size_t)64 << 20)               /* a body that is JSON */
#define MNI_BODIES_MOST (MN_MAX_VALUE + MNI_JSON_MOST) /* all bodies that are held at once */
#define MNI_SLOW 30u                                   /* seconds without a byte */
#define MNI_SLOW_STRANGER 10u                          /* of those who have not shown the token */
#define MNI_WAITING_MOST 1024u                         /* requests at the scheduler */
#define MNI_WAIT_MOST 60.0                             /* seconds of one ?wait= */
#define MNI_SHOWN_MOST ((uint32_t)64 << 10)            /* bytes of a value inside a job's JSON */
#define MNI_PART_BYTES ((uint32_t)512 << 10)           /* of a large result, at a time */
#define MNI_MANY_MOST 10000u                           /* jobs of one start */
#define MNI_HEARTBEAT 15.0                             /* seconds between signs of life of events */

typedef struct mni_door {
    mni_server_t *server;
    struct MHD_Daemon *daemon;
    int listener;           /* -1: none, or it is the daemon's */
    bool tcp;               /* who comes must show the token; else he is the runtime's user */
    unsigned first_timeout; /* seconds without a byte, of who has not shown it yet */
} mni_door_t;

struct mni_server {
    mni_server_options_t options;
    mni_desk_t *desk;
    mni_door_t unix_door, tcp_door;
    mni_connect_t connect;
    bool told; /* the connection file is there */
    double started;

    /* Atomic. */
    size_t bodies; /* bytes of all bodies */
    uint64_t requests, refused;
    bool closing;
    uint32_t exchanges; /* not over yet */
};

typedef struct mni_exchange mni_exchange_t;

/* One kind of request. `begin` puts a message into exchange->frame, or an answer into exchange->response; `finish` makes the
 * answer of what the scheduler said, which is no error. Both return 0 or an error that becomes a problem. */
typedef struct mni_route {
    const char *method, *path; /* "*" in it: a job's id */
    int (*begin)(mni_exchange_t *exchange);
    int (*finish)(mni_exchange_t *exchange, mni_reader_t *reader);
    bool body;
} mni_route_t;

struct mni_exchange {
    mni_door_t *door;
    mni_server_t *server;
    struct MHD_Connection *connection;
    const mni_route_t *route;
    mn_id_t id; /* of the path */
    char *body;
    size_t body_size, body_room;
    bool too_large, asked, again;
    bool many;         /* jobs are started */
    const char *field; /* that an error is about; NULL: none */
    mni_writer_t frame;
    int answered; /* atomic: 1 there is `reply`, -1 the runtime ends */
    uint8_t *reply;
    size_t reply_size;
    unsigned status;
    struct MHD_Response *response;
};

/* --- door.c --- */

/* Begins to serve a door whose listener is open. `certificate` NULL: without TLS. MN_E_SYSTEM. */
int mni_door_open(mni_door_t *door, const mni_certificate_t *certificate);
void mni_door_close(mni_door_t *door);

/* Whether who has made this request may come in; else an answer is in the exchange. */
bool mni_door_let_in(mni_exchange_t *exchange);

/* server.c: called by the daemons. */
enum MHD_Result mni_server_handle(void *door, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **place);
void mni_server_forget(void *argument, struct MHD_Connection *connection, void **place,
                       enum MHD_RequestTerminationCode code);

/* --- routes.c --- */

/* The route of a request; NULL: an answer is in the exchange. */
const mni_route_t *mni_route_find(mni_exchange_t *exchange, const char *method, const char *path);

/* A parameter of the query or NULL; MN_E_INVALID when it has a NUL. */
int mni_query(mni_exchange_t *exchange, const char *name, const char **value);
/* A number of it within bounds; *number stays when it is not there. */
int mni_query_number(mni_exchange_t *exchange, const char *name, double least, double most,
                     double *number);

/* --- answers --- */

/* Makes the answer of what was written to a memory stream, which ends with that. MN_E_NO_MEMORY. */
typedef struct mni_text {
    FILE *to;
    char *bytes;
    size_t size;
} mni_text_t;
int mni_text_open(mni_text_t *text);
int mni_text_answer(mni_exchange_t *exchange, mni_text_t *text, unsigned status, const char *type);
/* A constant text. */
int mni_constant_answer(mni_exchange_t *exchange, const char *text, const char *type);

/* The sentence of an error that was set last, as problem+json with the status that fits its code. */
void mni_problem(mni_exchange_t *exchange, int code);
/* Another one. */
void mni_problem_status(mni_exchange_t *exchange, unsigned status, const char *detail);

/* Whether the client wants JSON rather than the value itself. */
bool mni_wants_json(mni_exchange_t *exchange);

/* Prints a job with its values. */
int mni_print_look(FILE *to, const mni_msg_look_t *look);

/* start.c */
int mni_begin_start(mni_exchange_t *exchange);
/* Makes the message of a body that is JSON. */
int mni_start_read_json(mni_exchange_t *exchange);
int mni_finish_start(mni_exchange_t *exchange, mni_reader_t *reader);

/* stream.c: the answer is made piece by piece. */
int mni_stream_result(mni_exchange_t *exchange, const mni_msg_look_t *look);
int mni_stream_events(mni_exchange_t *exchange, const mni_msg_look_t *look);

/* calls.c */
extern const mni_route_t mni_routes[]; /* ended by a method that is NULL */
/* Says of a result what it is; its content type too, unless that is set. */
void mni_value_headers(struct MHD_Response *response, const mni_msg_look_t *look);

extern const char mni_openapi[];

#endif
