/* SPDX-License-Identifier: MIT
 *
 * A service: begun with the runtime, reached at its address, begun again with growing pauses when it dies, stopped
 * at the end. It writes a line to the file named by SERVICE_NOTE when it is stopped.
 */
#include "check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

MN_SERVICE(answer, 0);
MN_SERVICE(die_at_once, 0);
MN_JOB(echo, .cpu = 0.05);
MN_FUNCTION(twice, .cpu = 0.05);

static int fixed_port; /* of the service that main() declares, when SERVICE_PORT has a number */

static int echo(mn_task_t *task, mn_value_t input)
{
    return mn_yield(task, input);
}

static int twice(mn_task_t *task, mn_value_t input)
{
    int64_t number = 2 * value_int(input);
    return mn_yield(task, mn_bytes(&number, sizeof number));
}

static int die_at_once(mn_task_t *task, mn_value_t input)
{
    (void)task, (void)input;
    abort();
}

/* Uses the interface as anyone else: a job and a map. */
static void use_api(mn_task_t *task, char *text, size_t size)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    int64_t numbers[3] = {1, 2, 3}, results[3] = {0};
    int rc = mn_start(echo, mn_text("for a service"), NULL, &id);
    if (rc == 0)
        rc = mn_wait(id, CHECK_PATIENCE, &info);
    if (rc == 0)
        rc = mn_map(task, twice, numbers, 3, results);
    if (rc < 0)
        snprintf(text, size, "%s: %s", mn_error_name(rc), mn_error_message());
    else
        snprintf(text, size, "%.*s, %lld", (int)info->result.size, (const char *)info->result.data,
                 (long long)(results[0] + results[1] + results[2]));
    mn_info_destroy(info);
}

/* Whether it is to go on. */
static bool serve_one(mn_task_t *task, int client, double begun)
{
    char request[64] = "", text[1024] = "";
    ssize_t n = recv(client, request, sizeof request - 1, 0);
    if (n <= 0)
        return true;
    if (strcmp(request, "ping") == 0)
        snprintf(text, sizeof text, "pong %u %u %.6f", mn_task_attempt(task), mn_task_port(task),
                 begun);
    else if (strcmp(request, "api") == 0)
        use_api(task, text, sizeof text);
    else if (strcmp(request, "crash") == 0)
        abort();
    else if (strcmp(request, "return") == 0)
        snprintf(text, sizeof text, "leaving");
    send(client, text, strlen(text), MSG_NOSIGNAL);
    return strcmp(request, "return") != 0;
}

static int listen_on(unsigned port)
{
    int one = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), zero = 0;
    struct sockaddr_in6 any6 = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
        if (bind(fd, (struct sockaddr *)&any6, sizeof any6) == 0 && listen(fd, 16) == 0)
            return fd;
        close(fd);
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    return fd >= 0 && bind(fd, (struct sockaddr *)&any4, sizeof any4) == 0 && listen(fd, 16) == 0
               ? fd
               : -1;
}

static int answer(mn_task_t *task, mn_value_t input)
{
    double begun = seconds_now();
    int fd = listen_on(mn_task_port(task));
    (void)input;
    if (fd < 0)
        return mn_fail(task, MN_E_SYSTEM, "port %u: %s", mn_task_port(task), strerror(errno));
    while (!mn_cancelled(task)) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 10) != 1)
            continue;
        int client = accept(fd, NULL, NULL);
        if (client >= 0) {
            bool goes_on = serve_one(task, client, begun);
            close(client);
            if (!goes_on) {
                close(fd); /* the process may be used again */
                return 0;
            }
        }
    }
    close(fd);
    const char *note = getenv("SERVICE_NOTE");
    FILE *file = note ? fopen(note, "a") : NULL;
    if (file) {
        mn_id_t id;
        int rc = mn_start(echo, mn_none(), NULL, &id);
        fprintf(file, "%s stopped: %s, a start: %s\n", mn_task_name(task),
                mn_error_name(mn_cancelled(task)), mn_error_name(rc));
        fclose(file);
    }
    return mn_cancelled(task);
}

/* --- the other side ---------------------------------------------------------------------------------------- */

static int connect_to(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int fd = -1;
    if (!colon || (size_t)(colon - address) >= sizeof host)
        return -1;
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    if (getaddrinfo(host, colon + 1, &hints, &list) != 0)
        return -1;
    for (struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* Asks the service, if it is up. */
static bool ask(const char *name, const char *request, char *reply, size_t size)
{
    char address[300];
    size_t have = 0;
    ssize_t n = 0;
    if (mn_service_address(name, address, sizeof address) < 0)
        return false;
    int fd = connect_to(address);
    if (fd < 0)
        return false;
    struct timeval patience = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
        while (have + 1 < size && (n = recv(fd, reply + have, size - 1 - have, 0)) > 0)
            have += (size_t)n;
    close(fd);
    reply[have] = 0;
    return have > 0;
}

typedef struct pong {
    unsigned attempt, port;
    double begun;
} pong_t;

/* Until an attempt from `least` on answers. */
static bool await_pong(const char *name, unsigned least, pong_t *pong)
{
    char reply[128];
    return EVENTUALLY(ask(name, "ping", reply, sizeof reply) &&
                      sscanf(reply, "pong %u %u %lf", &pong->attempt, &pong->port, &pong->begun) ==
                          3 &&
                      pong->attempt >= least);
}

static void reached_at_its_address(mn_task_t *task)
{
    pong_t pong;
    char address[300], wanted[16];
    (void)task;
    REQUIRE(await_pong("answer", 1, &pong));
    CHECK(pong.attempt == 1 && pong.port > 0);
    REQUIRE_CODE(mn_service_address("answer", address, sizeof address), 0);
    snprintf(wanted, sizeof wanted, ":%u", pong.port);
    CHECK(strlen(address) > strlen(wanted) &&
          strcmp(address + strlen(address) - strlen(wanted), wanted) == 0);
}

static void uses_the_api(mn_task_t *task)
{
    char reply[1024] = "";
    (void)task;
    REQUIRE(ask("answer", "api", reply, sizeof reply));
    if (strcmp(reply, "for a service, 12") != 0)
        check_fail("%s", reply);
}

static void begun_again_with_pauses(mn_task_t *task)
{
    pong_t pong;
    char reply[64];
    double died, pauses[4];
    (void)task;
    REQUIRE(await_pong("answer", 1, &pong));
    unsigned first = pong.attempt;
    for (unsigned i = 0; i < 4; i++) {
        died = seconds_now();
        ask("answer", i % 2 ? "crash" : "return", reply, sizeof reply);
        REQUIRE(await_pong("answer", first + i + 1, &pong));
        CHECK(pong.attempt == first + i + 1);
        pauses[i] = pong.begun - died;
    }
    if (!(pauses[3] > 2 * pauses[0] && pauses[2] > pauses[0]))
        check_fail("pauses do not grow: %.3f %.3f %.3f %.3f", pauses[0], pauses[1], pauses[2],
                   pauses[3]);
}

static void one_that_dies_harms_nothing(mn_task_t *task)
{
    char address[300];
    mn_id_t id;
    (void)task;
    int rc = mn_service_address("die_at_once", address, sizeof address);
    CHECK(rc == 0 || rc == MN_E_NO_RESULT); /* whether it is up at this moment */
    REQUIRE_CODE(mn_start(echo, mn_text("x"), NULL, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
}

static void address_errors(mn_task_t *task)
{
    pong_t pong;
    char address[300] = "untouched";
    (void)task;
    REQUIRE(await_pong("answer", 1, &pong));
    CHECK_REFUSED(mn_service_address("answer", address, 3), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_service_address("answer", address, 0), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_service_address("echo", address, sizeof address), MN_E_WRONG_KIND);
    CHECK_REFUSED(mn_service_address("nobody", address, sizeof address), MN_E_UNDECLARED);
    CHECK_REFUSED(mn_service_address(NULL, address, sizeof address), MN_E_INVALID);
    CHECK_REFUSED(mn_service_address("answer", NULL, sizeof address), MN_E_INVALID);
    CHECK(strcmp(address, "untouched") == 0);
}

static void on_a_port_of_its_own(mn_task_t *task)
{
    pong_t pong;
    (void)task;
    if (fixed_port == 0)
        return;
    REQUIRE(await_pong("at_a_port", 1, &pong));
    CHECK((int)pong.port == fixed_port);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    check_begin();
    RUN(task, reached_at_its_address);
    RUN(task, uses_the_api);
    RUN(task, begun_again_with_pauses);
    RUN(task, one_that_dies_harms_nothing);
    RUN(task, address_errors);
    RUN(task, on_a_port_of_its_own);
    return check_end();
}

int main(int argc, char **argv)
{
    const char *port = getenv("SERVICE_PORT");
    fixed_port = port ? atoi(port) : 0;
    if (fixed_port > 0) /* the same entry may have two names */
        mn_declare(MN_KIND_SERVICE, "at_a_port", answer,
                   &(mn_spec_t){.port = (unsigned)fixed_port});
    return mn_main(argc, argv, driver);
}
