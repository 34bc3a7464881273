/* SPDX-License-Identifier: MIT
 *
 * A service that offers a job to others over HTTP, with libmicrohttpd:
 *
 *     cc -o service service.c $(pkg-config --cflags --libs multinode libmicrohttpd)
 *     multinode run ./service &
 *     curl -d 5000000 'http://localhost:PORT/jobs?table_id=table-7'
 *     curl http://localhost:PORT/jobs/ID
 *     curl -X PUT http://localhost:PORT/jobs/ID/cancel
 *
 * The job counts the primes below its input, and yields how many percent of them it has looked at, which a progress bar could
 * show. The runtime's own door has all that jobs can be asked (docs/rest.md); a service of one's own answers in the words of its
 * users, and lets in whom it likes: this one whoever is on the same node. */
#include <multinode.h>

#include <inttypes.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>

enum { PARTS = 100, INPUT_MOST = 20 }; /* an input is a number */

MN_JOB(process_data, .cpu = 1, .grace = 10);
MN_SERVICE(jobs_over_http, .port = 0); /* 0: any port that is free */

/* --- the job ---------------------------------------------------------------------------------------------------------- */

static bool is_prime(uint64_t number)
{
    for (uint64_t divisor = 2; divisor * divisor <= number; divisor++)
        if (number % divisor == 0)
            return false;
    return number >= 2;
}

/* The primes from `number` to `end`; -1 when the job was cancelled. A loop that makes no calls asks for itself. */
static int64_t count_primes(mn_task_t *task, uint64_t number, uint64_t end)
{
    int64_t count = 0;

    for (; number < end && mn_cancelled(task) == 0; number++)
        count += is_prime(number);
    return number < end ? -1 : count;
}

static bool read_number(mn_value_t input, uint64_t *number)
{
    char text[INPUT_MOST + 1] = "", *end = NULL;

    if (input.size == 0 || input.size > INPUT_MOST)
        return false;
    memcpy(text, input.data, input.size);
    *number = strtoull(text, &end, 10);
    return *end == '\0';
}

static int process_data(mn_task_t *task, mn_value_t input)
{
    int64_t count = 0, more = 0;
    uint64_t most = 0;
    int rc = read_number(input, &most) ? 0 : mn_fail(task, MN_E_INVALID, "the input is no number");

    for (int32_t percent = 1; percent <= PARTS && rc == 0; percent++) {
        uint64_t part = most / PARTS, begin = part * (uint64_t)(percent - 1);
        more = count_primes(task, begin, percent == PARTS ? most : begin + part);
        count += more < 0 ? 0 : more;
        rc = more < 0 ? mn_cancelled(task) : mn_yield(task, mn_array(MN_INT32, &percent, 1));
    }
    /* Here a job cleans up, cancelled or not. What it prints is in its log. */
    if (rc == 0)
        printf("%" PRId64 " primes below %" PRIu64 "\n", count, most);
    else if (rc == MN_E_CANCELLED)
        printf("cancelled with %" PRId64 " primes found\n", count);
    return rc;
}

/* --- the service ------------------------------------------------------------------------------------------------------- */

/* A request from its first byte to its answer. */
typedef struct request {
    char body[INPUT_MOST];
    size_t size;
    bool too_large;
} request_t;

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);

    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            text[0] == '{' ? "application/json" : "text/plain");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* What a call of the runtime has refused. */
static enum MHD_Result answer_error(struct MHD_Connection *connection, int code)
{
    if (code == MN_E_LOCK_IN_USE)
        return answer(connection, MHD_HTTP_BAD_REQUEST, "Conflict with another job");
    if (code == MN_E_NO_JOB)
        return answer(connection, MHD_HTTP_NOT_FOUND, "There is no such job");
    if (code == MN_E_INVALID)
        return answer(connection, MHD_HTTP_BAD_REQUEST, mn_error_message());
    return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, mn_error_message());
}

/* POST /jobs?table_id=NAME: no two jobs work on the same table. */
static enum MHD_Result start_job(struct MHD_Connection *connection, const request_t *request)
{
    const char *table = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "table_id");
    char text[64], id_text[MN_ID_TEXT];
    mn_id_t id;

    if (request->too_large || request->size == 0)
        return answer(connection, MHD_HTTP_BAD_REQUEST, "The body must be a number");
    int rc = mn_start(process_data, mn_bytes(request->body, request->size),
                      &(mn_start_options_t){.lock = table}, &id);
    if (rc < 0)
        return answer_error(connection, rc);
    snprintf(text, sizeof text, "{\"id\": \"%s\"}", mn_id_format(id, id_text));
    return answer(connection, MHD_HTTP_OK, text);
}

/* GET /jobs/{id} */
static enum MHD_Result get_job_info(struct MHD_Connection *connection, mn_id_t id)
{
    char text[128], percent[16] = "null";
    mn_info_t *info = NULL;
    int rc = mn_get(id, &info);

    if (rc < 0)
        return answer_error(connection, rc);
    if (info->yields > 0)
        snprintf(percent, sizeof percent, "%" PRId32, *(const int32_t *)info->result.data);
    snprintf(text, sizeof text, "{\"status\": \"%s\", \"result\": %s}",
             mn_status_name(info->status), percent);
    mn_info_destroy(info);
    return answer(connection, MHD_HTTP_OK, text);
}

/* PUT /jobs/{id}/cancel */
static enum MHD_Result cancel_job(struct MHD_Connection *connection, mn_id_t id)
{
    int rc = mn_cancel(id); /* 1: it had ended already */
    return rc < 0 ? answer_error(connection, rc) : answer(connection, MHD_HTTP_OK, "{}");
}

/* "/jobs/ID" and what follows the id. */
static bool read_path(const char *path, mn_id_t *id, const char **rest)
{
    static const char head[] = "/jobs/";
    char text[MN_ID_TEXT] = "";

    if (strncmp(path, head, sizeof head - 1) != 0)
        return false;
    path += sizeof head - 1;
    *rest = path + strcspn(path, "/");
    if (*rest - path >= MN_ID_TEXT)
        return false;
    memcpy(text, path, (size_t)(*rest - path));
    return mn_id_parse(text, id) == 0;
}

static enum MHD_Result dispatch(struct MHD_Connection *connection, const char *method,
                                const char *path, const request_t *request)
{
    const char *rest;
    mn_id_t id;

    if (strcmp(path, "/jobs") == 0 && strcmp(method, "POST") == 0)
        return start_job(connection, request);
    if (read_path(path, &id, &rest)) {
        if (rest[0] == '\0' && strcmp(method, "GET") == 0)
            return get_job_info(connection, id);
        if (strcmp(rest, "/cancel") == 0 && strcmp(method, "PUT") == 0)
            return cancel_job(connection, id);
    }
    return answer(connection, MHD_HTTP_NOT_FOUND, "There is nothing here");
}

/* libmicrohttpd calls this when the head of a request has come, then for each part of its body, then at its end. */
static enum MHD_Result handle(void *argument, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **place)
{
    request_t *request = *place;

    (void)argument, (void)version;
    if (!request) {
        *place = calloc(1, sizeof *request);
        return *place ? MHD_YES : MHD_NO;
    }
    if (*size == 0)
        return dispatch(connection, method, path, request);
    if (*size > sizeof request->body - request->size) {
        request->too_large = true;
    } else {
        memcpy(request->body + request->size, data, *size);
        request->size += *size;
    }
    *size = 0;
    return MHD_YES;
}

static void forget(void *argument, struct MHD_Connection *connection, void **place,
                   enum MHD_RequestTerminationCode code)
{
    (void)argument, (void)connection, (void)code;
    free(*place);
}

/* The runtime keeps it alive: it is begun again if it ends, and asked to stop at the end of the run. Calls of the runtime may be
 * made from any thread, so also from that of libmicrohttpd. */
static int jobs_over_http(mn_task_t *task, mn_value_t input)
{
    struct sockaddr_in loopback = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)mn_task_port(task)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, NULL,
                         MHD_OPTION_SOCK_ADDR, &loopback, MHD_OPTION_NOTIFY_COMPLETED, forget, NULL,
                         MHD_OPTION_CONNECTION_TIMEOUT, 30u, MHD_OPTION_END);

    (void)input;
    if (!daemon)
        return mn_fail(task, MN_E_SYSTEM, "no HTTP server on port %u", mn_task_port(task));
    while (mn_cancelled(task) == 0)
        poll(NULL, 0, 20);
    MHD_stop_daemon(daemon);
    return mn_cancelled(task);
}

/* --- the driver -------------------------------------------------------------------------------------------------------- */

static int driver(mn_task_t *task, int argc, char **argv)
{
    char address[300];
    bool told = false;

    (void)argc, (void)argv;
    for (; mn_cancelled(task) == 0; poll(NULL, 0, 20)) {
        if (told || mn_service_address("jobs_over_http", address, sizeof address) < 0)
            continue;
        told = true;
        printf("listening at http://localhost%s/jobs\n", strrchr(address, ':'));
        fflush(stdout);
    }
    return 0; /* Ctrl-C, or multinode drain */
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
