/* SPDX-License-Identifier: MIT
 *
 * From method and path to a route, and what its query says.
 */
#include "service/internal.h"

#include "util/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Whether a path is that of a route; then *id is what its "*" stands for. */
static bool matches(const char *pattern, const char *path, char id[MN_ID_TEXT])
{
    const char *star = strchr(pattern, '*');

    id[0] = '\0';
    if (!star)
        return strcmp(pattern, path) == 0;
    size_t head = (size_t)(star - pattern);
    if (strncmp(pattern, path, head) != 0)
        return false;
    size_t length = strcspn(path + head, "/");
    if (length == 0 || strcmp(path + head + length, star + 1) != 0)
        return false;
    if (length < MN_ID_TEXT) {
        memcpy(id, path + head, length);
        id[length] = '\0';
    }
    return true;
}

static void refuse_method(mni_exchange_t *exchange, const char *allowed)
{
    mni_problem_status(exchange, MHD_HTTP_METHOD_NOT_ALLOWED,
                       "this path does not know that method; see \"Allow\"");
    if (exchange->response)
        MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_ALLOW, allowed);
}

const mni_route_t *mni_route_find(mni_exchange_t *exchange, const char *method, const char *path)
{
    char id[MN_ID_TEXT], allowed[64] = "";

    for (const mni_route_t *route = mni_routes; route->method; route++) {
        if (!matches(route->path, path, id))
            continue;
        if (strcmp(route->method, method) != 0) {
            size_t length = strlen(allowed);
            snprintf(allowed + length, sizeof allowed - length, "%s%s", length ? ", " : "",
                     route->method);
            continue;
        }
        if (!strchr(route->path, '*') || mn_id_parse(id, &exchange->id) == 0)
            return route;
        mni_problem(exchange, mni_error(MN_E_NO_JOB, "there is no job of that id: it must have the "
                                                     "36 characters of a UUID"));
        return NULL;
    }
    if (allowed[0])
        refuse_method(exchange, allowed);
    else
        mni_problem_status(
            exchange, MHD_HTTP_NOT_FOUND,
            "there is nothing at this path; /v1/openapi.json describes what there is");
    return NULL;
}

int mni_query(mni_exchange_t *exchange, const char *name, const char **value)
{
    const char *found = NULL;
    size_t size = 0;

    *value = NULL;
    if (MHD_lookup_connection_value_n(exchange->connection, MHD_GET_ARGUMENT_KIND, name,
                                      strlen(name), &found, &size) != MHD_YES)
        return 0;
    if (!found || strlen(found) != size) {
        exchange->field = name;
        return mni_error(MN_E_INVALID, "the parameter %s has %s", name,
                         found ? "a NUL" : "no value");
    }
    *value = found;
    return 0;
}

int mni_query_number(mni_exchange_t *exchange, const char *name, double least, double most,
                     double *number)
{
    const char *text;
    char *end = NULL;
    int rc = mni_query(exchange, name, &text);

    if (rc < 0 || !text)
        return rc;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= least && value <= most)) {
        exchange->field = name;
        return mni_error(MN_E_INVALID, "the parameter %s must be a number from %g to %g", name,
                         least, most);
    }
    *number = value;
    return 0;
}
