/* SPDX-License-Identifier: MIT
 *
 * Request paths: "METHOD PATH". What is found is what was asked for, and all else is a problem.
 */
#include "fuzz.h"

#include "service/internal.h"

#include <strings.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/* The path of a route with the id that was read. */
static void spell(const mni_route_t *route, mn_id_t id, char *to, size_t room)
{
    const char *star = strchr(route->path, '*');
    char text[MN_ID_TEXT];

    if (star)
        snprintf(to, room, "%.*s%s%s", (int)(star - route->path), route->path,
                 mn_id_format(id, text), star + 1);
    else
        snprintf(to, room, "%s", route->path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *method = text_of(data, size), *path = strchr(method, ' ');
    mni_exchange_t exchange = {.status = 0};
    char spelled[256];

    if (path) {
        *path++ = '\0';
        const mni_route_t *route = mni_route_find(&exchange, method, path);
        if (route) {
            spell(route, exchange.id, spelled, sizeof spelled);
            MUST(strcmp(route->method, method) == 0);
            MUST(strcasecmp(spelled, path) == 0); /* the digits of an id may be large */
            MUST(!exchange.response);
        } else {
            MUST(exchange.response);
            MUST(exchange.status == MHD_HTTP_NOT_FOUND ||
                 exchange.status == MHD_HTTP_METHOD_NOT_ALLOWED);
            MHD_destroy_response(exchange.response);
        }
    }
    free(method);
    return 0;
}
