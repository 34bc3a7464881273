/* SPDX-License-Identifier: MIT
 *
 * What each request asks the scheduler, and what is made of its answer. In the daemon's thread.
 */
#include "service/internal.h"

#include "util/clock.h"
#include "util/error.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define JSON_TYPE "application/json"
#define PAGE_DEFAULT 100.0
#define PAGE_MOST 1000.0

static mni_writer_t *ask(mni_exchange_t *exchange, uint16_t type)
{
    mni_writer_begin(&exchange->frame, type, 0);
    return &exchange->frame;
}

static int ask_id(mni_exchange_t *exchange, uint16_t type)
{
    mni_put_id(ask(exchange, type), exchange->id);
    return 0;
}

/* --- one job ---------------------------------------------------------------------------------------------------------- */

int mni_print_look(FILE *to, const mni_msg_look_t *look)
{
    int rc;

    fputc('{', to);
    if ((rc = mni_json_print_job(to, &look->info, &look->need)) < 0)
        return rc;
    fputs(",\"input\":", to);
    if ((rc = mni_json_print_value(to, &look->input, MNI_SHOWN_MOST)) < 0)
        return rc;
    fputs(",\"result\":", to);
    rc = mni_json_print_value(to, &look->result, MNI_SHOWN_MOST);
    fputc('}', to);
    return rc;
}

static int ask_look(mni_exchange_t *exchange, uint64_t seen, double timeout, uint32_t room)
{
    mni_writer_t *writer = ask(exchange, MNI_MSG_LOOK);
    mni_put_id(writer, exchange->id);
    mni_put_u64(writer, seen);
    mni_put_f64(writer, timeout);
    mni_put_u32(writer, room);
    return 0;
}

/* With ?wait=SECONDS it is answered when the job has ended, or then; with &seen=VERSION when it has changed. */
static int begin_get(mni_exchange_t *exchange)
{
    double wait = 0, seen = -1;
    int rc;

    if ((rc = mni_query_number(exchange, "wait", 0, MNI_WAIT_MOST, &wait)) < 0 ||
        (rc = mni_query_number(exchange, "seen", 0, 9007199254740992.0, &seen)) < 0)
        return rc;
    return ask_look(exchange, seen >= 0 ? (uint64_t)seen : UINT64_MAX, exchange->again ? 0 : wait,
                    MNI_SHOWN_MOST);
}

static int get_look(mni_reader_t *reader, mni_msg_look_t *look)
{
    *look = mni_get_look(reader);
    return mni_reader_end(reader);
}

static int finish_get(mni_exchange_t *exchange, mni_reader_t *reader)
{
    mni_msg_look_t look;
    mni_text_t text;
    char version[32];
    int rc;

    if ((rc = get_look(reader, &look)) < 0 || (rc = mni_text_open(&text)) < 0)
        return rc;
    rc = mni_print_look(text.to, &look);
    int made = mni_text_answer(exchange, &text, MHD_HTTP_OK, JSON_TYPE);
    if (made == 0) {
        snprintf(version, sizeof version, "%" PRIu64, look.info.version);
        MHD_add_response_header(exchange->response, "Multinode-Version", version);
    }
    return rc < 0 ? rc : made;
}

static int begin_cancel(mni_exchange_t *exchange)
{
    double grace = (double)NAN;
    int rc = mni_query_number(exchange, "grace", 0, 1e9, &grace);

    if (rc < 0)
        return rc;
    mni_writer_t *writer = ask(exchange, MNI_MSG_CANCEL);
    mni_put_id(writer, exchange->id);
    mni_put_f64(writer, grace == 0 ? -1 : grace);
    return 0;
}

static int finish_cancel(mni_exchange_t *exchange, mni_reader_t *reader)
{
    char id[MN_ID_TEXT];
    mni_text_t text;
    int rc = mni_reader_end(reader);

    if (rc < 0 || (rc = mni_text_open(&text)) < 0)
        return rc;
    fprintf(text.to, "{\"id\":\"%s\",\"had_ended\":%s}", mn_id_format(exchange->id, id),
            exchange->again ? "true" : "false");
    return mni_text_answer(exchange, &text, exchange->again ? MHD_HTTP_OK : MHD_HTTP_ACCEPTED,
                           JSON_TYPE);
}

static int begin_remove(mni_exchange_t *exchange)
{
    return ask_id(exchange, MNI_MSG_REMOVE);
}

static int finish_remove(mni_exchange_t *exchange, mni_reader_t *reader)
{
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return rc;
    exchange->response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    exchange->status = MHD_HTTP_NO_CONTENT;
    return exchange->response ? 0 : mni_error(MN_E_NO_MEMORY, "no memory for an answer");
}

static int begin_explain(mni_exchange_t *exchange)
{
    return ask_id(exchange, MNI_MSG_EXPLAIN);
}

static int finish_explain(mni_exchange_t *exchange, mni_reader_t *reader)
{
    const char *why = mni_get_text(reader);
    char id[MN_ID_TEXT];
    mni_text_t text;
    int rc = mni_reader_end(reader);

    if (rc < 0 || (rc = mni_text_open(&text)) < 0)
        return rc;
    json_t *json = mni_json_text(why ? why : "", why ? strlen(why) : 0);
    fprintf(text.to, "{\"id\":\"%s\",\"why\":", mn_id_format(exchange->id, id));
    json_dumpf(json, text.to, JSON_ENCODE_ANY);
    json_decref(json);
    fputc('}', text.to);
    return mni_text_answer(exchange, &text, MHD_HTTP_OK, JSON_TYPE);
}

/* --- results, logs, events ------------------------------------------------------------------------------------------------ */

bool mni_wants_json(mni_exchange_t *exchange)
{
    const char *accept =
        MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    return accept && strncasecmp(accept, JSON_TYPE, strlen(JSON_TYPE)) == 0;
}

static int begin_result(mni_exchange_t *exchange)
{
    return ask_look(exchange, 0, 0, MNI_PART_BYTES);
}

void mni_value_headers(struct MHD_Response *response, const mni_msg_look_t *look)
{
    const mn_value_t *value = &look->result;
    char text[128];
    size_t length = 0;

    if (!MHD_get_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                value->type == MN_TEXT ? "text/plain; charset=utf-8"
                                                       : "application/octet-stream");
    MHD_add_response_header(response, "Multinode-Type", mn_type_name(value->type));
    text[0] = '\0';
    for (unsigned i = 0; i < value->ndims; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%zu", i ? "," : "",
                                   value->dims[i]);
    MHD_add_response_header(response, "Multinode-Dims", text);
    snprintf(text, sizeof text, "%" PRIu64, look->info.yields);
    MHD_add_response_header(response, "Multinode-Yields", text);
}

static int finish_result(mni_exchange_t *exchange, mni_reader_t *reader)
{
    mni_msg_look_t look;
    mni_text_t text;
    int rc = get_look(reader, &look);

    if (rc < 0)
        return rc;
    if (look.info.yields == 0)
        return mni_error(MN_E_NO_RESULT, "the job is %s and has yielded nothing",
                         mn_status_name(look.info.status));
    bool here = look.result.data || look.result.size == 0;
    if (mni_wants_json(exchange)) {
        if (!here) {
            mni_problem_status(
                exchange, MHD_HTTP_NOT_ACCEPTABLE,
                "the result is too large for JSON; ask for application/octet-stream");
            return 0;
        }
        if ((rc = mni_text_open(&text)) < 0)
            return rc;
        rc = mni_json_print_value(text.to, &look.result, SIZE_MAX);
        int made = mni_text_answer(exchange, &text, MHD_HTTP_OK, JSON_TYPE);
        if (made == 0)
            mni_value_headers(exchange->response, &look);
        return rc < 0 ? rc : made;
    }
    if (!here)
        return mni_stream_result(exchange, &look);
    exchange->response = MHD_create_response_from_buffer(
        look.result.size, (void *)(uintptr_t)look.result.data, MHD_RESPMEM_MUST_COPY);
    exchange->status = MHD_HTTP_OK;
    if (!exchange->response)
        return mni_error(MN_E_NO_MEMORY, "no memory for an answer");
    mni_value_headers(exchange->response, &look);
    return 0;
}

static int begin_log(mni_exchange_t *exchange)
{
    const char *stream = NULL;
    double attempt = 0, from = 0;
    int rc;

    if ((rc = mni_query_number(exchange, "attempt", 0, UINT32_MAX, &attempt)) < 0 ||
        (rc = mni_query_number(exchange, "from", 0, 9007199254740992.0, &from)) < 0 ||
        (rc = mni_query(exchange, "stream", &stream)) < 0)
        return rc;
    if (stream && strcmp(stream, "stdout") != 0 && strcmp(stream, "stderr") != 0) {
        exchange->field = "stream";
        return mni_error(MN_E_INVALID, "stream must be stdout or stderr");
    }
    mni_writer_t *writer = ask(exchange, MNI_MSG_LOG);
    mni_put_id(writer, exchange->id);
    mni_put_u32(writer, (uint32_t)attempt);
    mni_put_u8(writer, stream && strcmp(stream, "stderr") == 0 ? MN_STDERR : MN_STDOUT);
    mni_put_u64(writer, (uint64_t)from);
    return 0;
}

static int finish_log(mni_exchange_t *exchange, mni_reader_t *reader)
{
    mni_msg_log_t log = mni_get_log(reader);
    char number[32];
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return rc;
    exchange->response = MHD_create_response_from_buffer(log.size, (void *)(uintptr_t)log.text,
                                                         MHD_RESPMEM_MUST_COPY);
    exchange->status = MHD_HTTP_OK;
    if (!exchange->response)
        return mni_error(MN_E_NO_MEMORY, "no memory for an answer");
    MHD_add_response_header(exchange->response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
    snprintf(number, sizeof number, "%" PRIu64, log.next);
    MHD_add_response_header(exchange->response, "Multinode-Next", number);
    snprintf(number, sizeof number, "%" PRIu32, log.attempt);
    MHD_add_response_header(exchange->response, "Multinode-Attempt", number);
    MHD_add_response_header(exchange->response, "Multinode-State",
                            log.ended  ? "ended"
                            : log.over ? "over"
                                       : "running");
    return 0;
}

static int begin_events(mni_exchange_t *exchange)
{
    return ask_look(exchange, 0, 0, MNI_SHOWN_MOST);
}

static int finish_events(mni_exchange_t *exchange, mni_reader_t *reader)
{
    mni_msg_look_t look;
    int rc = get_look(reader, &look);
    return rc < 0 ? rc : mni_stream_events(exchange, &look);
}

/* --- lists ------------------------------------------------------------------------------------------------------------------ */

static int read_statuses(mni_exchange_t *exchange, uint32_t *statuses)
{
    const char *text;
    int rc = mni_query(exchange, "status", &text);

    *statuses = 0;
    while (rc == 0 && text && *text) {
        size_t length = strcspn(text, ",");
        uint32_t found = 0;
        if (length == 6 && strncasecmp(text, "active", length) == 0)
            found = 1u << MN_PENDING | 1u << MN_RUNNING | 1u << MN_CANCELLING;
        for (int status = MN_PENDING; status <= MN_CANCELLED; status++) {
            const char *name = mn_status_name((mn_status_t)status);
            if (strlen(name) == length && strncasecmp(text, name, length) == 0)
                found = 1u << status;
        }
        if (!found) {
            exchange->field = "status";
            return mni_error(MN_E_INVALID, "status must be a list of pending, running, succeeded, "
                                           "failed, cancelling, cancelled, active");
        }
        *statuses |= found;
        text += length + (text[length] == ',');
    }
    return rc;
}

static int begin_list(mni_exchange_t *exchange)
{
    mni_msg_list_t list = {.job = NULL};
    const char *after, *prefix;
    double limit = PAGE_DEFAULT;
    int rc;

    if ((rc = mni_query(exchange, "prefix", &prefix)) < 0)
        return rc;
    if (prefix) {
        exchange->field = "prefix";
        mni_put_text(ask(exchange, MNI_MSG_FIND), prefix);
        return 0;
    }
    if ((rc = mni_query(exchange, "job", &list.job)) < 0 ||
        (rc = mni_query(exchange, "lock", &list.lock)) < 0 ||
        (rc = mni_query(exchange, "tag", &list.tag)) < 0 ||
        (rc = mni_query(exchange, "after", &after)) < 0 ||
        (rc = read_statuses(exchange, &list.statuses)) < 0 ||
        (rc = mni_query_number(exchange, "limit", 1, PAGE_MOST, &limit)) < 0)
        return rc;
    if (after && mn_id_parse(after, &list.after) < 0) {
        exchange->field = "after";
        return mni_error(MN_E_INVALID, "after must be the id of a job");
    }
    list.has_after = after != NULL;
    list.capacity = (uint32_t)limit;
    mni_put_list(ask(exchange, MNI_MSG_LOOKS), &list);
    return 0;
}

static int print_looks(mni_reader_t *reader, FILE *to)
{
    uint32_t count = mni_get_u32(reader);
    int rc = 0;

    fputs("{\"jobs\":[", to);
    for (uint32_t i = 0; i < count && !reader->failed && rc == 0; i++) {
        mni_msg_look_t look = mni_get_look(reader);
        fputs(i > 0 ? ",\n{" : "\n{", to);
        rc = mni_json_print_job(to, &look.info, &look.need);
        fputc('}', to);
    }
    fputs("]", to);
    return rc < 0 ? rc : mni_reader_end(reader);
}

static int finish_list(mni_exchange_t *exchange, mni_reader_t *reader)
{
    bool found = exchange->field != NULL; /* by a prefix */
    char id[MN_ID_TEXT];
    mni_text_t text;
    int rc;

    exchange->field = NULL;
    if ((rc = mni_text_open(&text)) < 0)
        return rc;
    if (found) {
        uint32_t all = mni_get_u32(reader);
        rc = print_looks(reader, text.to);
        fprintf(text.to, ",\"all\":%" PRIu32 "}", all);
    } else {
        bool more = mni_get_u8(reader) != 0;
        mn_id_t last = mni_get_id(reader);
        rc = print_looks(reader, text.to);
        if (more)
            fprintf(text.to, ",\"next\":\"%s\"}", mn_id_format(last, id));
        else
            fputs(",\"next\":null}", text.to);
    }
    int made = mni_text_answer(exchange, &text, MHD_HTTP_OK, JSON_TYPE);
    return rc < 0 ? rc : made;
}

static int begin_locks(mni_exchange_t *exchange)
{
    ask(exchange, MNI_MSG_LOCKS);
    return 0;
}

static int finish_locks(mni_exchange_t *exchange, mni_reader_t *reader)
{
    uint32_t count = mni_get_u32(reader);
    char id[MN_ID_TEXT];
    mni_text_t text;
    int rc = mni_text_open(&text);

    if (rc < 0)
        return rc;
    fputs("{\"locks\":[", text.to);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        const char *name = mni_get_text(reader);
        mn_id_t holder = mni_get_id(reader);
        json_t *json = mni_json_text(name ? name : "", name ? strlen(name) : 0);
        fputs(i > 0 ? ",\n{\"name\":" : "\n{\"name\":", text.to);
        json_dumpf(json, text.to, JSON_ENCODE_ANY);
        json_decref(json);
        fprintf(text.to, ",\"holder\":\"%s\"}", mn_id_format(holder, id));
    }
    fputs("]}", text.to);
    rc = mni_reader_end(reader);
    int made = mni_text_answer(exchange, &text, MHD_HTTP_OK, JSON_TYPE);
    return rc < 0 ? rc : made;
}

static int begin_nodes(mni_exchange_t *exchange)
{
    ask(exchange, MNI_MSG_NODES);
    return 0;
}

static void print_text(FILE *to, const char *name, const char *text)
{
    json_t *json = mni_json_text(text ? text : "", text ? strlen(text) : 0);

    fprintf(to, "\"%s\":", name);
    json_dumpf(json, to, JSON_ENCODE_ANY);
    json_decref(json);
}

static int finish_nodes(mni_exchange_t *exchange, mni_reader_t *reader)
{
    uint32_t count = mni_get_u32(reader);
    mni_text_t text;
    int rc = mni_text_open(&text);

    if (rc < 0)
        return rc;
    fputs("{\"nodes\":[", text.to);
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        mni_node_use_t node = mni_get_node(reader);
        fputs(i > 0 ? ",\n{" : "\n{", text.to);
        print_text(text.to, "host", node.host);
        fputc(',', text.to);
        print_text(text.to, "topology", node.topology);
        fprintf(text.to,
                ",\"rank\":%" PRIu32 ",\"cores\":%" PRIu32 ",\"cores_given\":%" PRIu32
                ",\"cores_free\":%" PRIu32 ",\"memory\":%" PRIu64 ",\"memory_used\":%" PRIu64
                ",\"memory_free\":%" PRIu64 ",\"gpus\":%" PRIu32 ",\"gpus_given\":%" PRIu32
                ",\"gpus_free\":%" PRIu32 ",\"workers\":%" PRIu32 ",\"tasks\":%" PRIu32 "}",
                node.rank, node.cores, node.cores - node.cores_free, node.cores_free, node.memory,
                node.memory_used, node.memory - node.memory_used, node.gpus,
                node.gpus - node.gpus_free, node.gpus_free, node.workers, node.tasks);
    }
    fputs("]}", text.to);
    rc = mni_reader_end(reader);
    int made = mni_text_answer(exchange, &text, MHD_HTTP_OK, JSON_TYPE);
    return rc < 0 ? rc : made;
}

/* --- the runtime as a whole ------------------------------------------------------------------------------------------------------ */

static int begin_summary(mni_exchange_t *exchange)
{
    ask(exchange, MNI_MSG_SUMMARY);
    return 0;
}

static int finish_health(mni_exchange_t *exchange, mni_reader_t *reader)
{
    mni_msg_summary_t summary = mni_get_summary(reader);
    const mni_server_t *server = exchange->server;
    mni_text_t text;
    int rc = mni_reader_end(reader);

    if (rc < 0 || (rc = mni_text_open(&text)) < 0)
        return rc;
    json_t *jobs = json_object();
    for (int i = 0; i <= MN_CANCELLED; i++)
        json_object_set_new(jobs, mn_status_name((mn_status_t)i),
                            json_integer((json_int_t)summary.statuses[i]));
    json_t *json = json_pack(
        "{s:s, s:s, s:o, s:o, s:i, s:f, s:o, s:I, s:i, s:i}", "status",
        summary.draining  ? "draining"
        : summary.trouble ? "store-trouble"
                          : "ok",
        "version", mn_version(), "trouble",
        mni_json_text(summary.trouble, summary.trouble ? strlen(summary.trouble) : 0), "store",
        mni_json_text(server->options.store, strlen(server->options.store)), "pid", (int)getpid(),
        "started", server->started, "jobs", jobs, "tasks", (json_int_t)summary.tasks, "nodes",
        (int)summary.nodes, "workers", (int)summary.workers);
    json_dumpf(json, text.to, JSON_COMPACT | JSON_REAL_PRECISION(16));
    json_decref(json);
    return mni_text_answer(exchange, &text, MHD_HTTP_OK, JSON_TYPE);
}

static void metric(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int finish_metrics(mni_exchange_t *exchange, mni_reader_t *reader)
{
    mni_msg_summary_t summary = mni_get_summary(reader);
    const mni_server_t *server = exchange->server;
    mni_text_t text;
    int rc = mni_reader_end(reader);

    if (rc < 0 || (rc = mni_text_open(&text)) < 0)
        return rc;
    metric(text.to, "multinode_jobs", "gauge", "Jobs in the store, by status.");
    for (int i = 0; i <= MN_CANCELLED; i++)
        fprintf(text.to, "multinode_jobs{status=\"%s\"} %" PRIu64 "\n",
                mn_status_name((mn_status_t)i), summary.statuses[i]);
    metric(text.to, "multinode_tasks", "gauge", "Tasks that run.");
    fprintf(text.to, "multinode_tasks %" PRIu64 "\n", summary.tasks);
    metric(text.to, "multinode_workers", "gauge", "Workers that are there.");
    fprintf(text.to, "multinode_workers %" PRIu32 "\n", summary.workers);
    metric(text.to, "multinode_draining", "gauge", "1 while the runtime stops.");
    fprintf(text.to, "multinode_draining %d\n", summary.draining);
    metric(text.to, "multinode_store_trouble", "gauge", "1 while changes cannot be kept.");
    fprintf(text.to, "multinode_store_trouble %d\n", summary.trouble != NULL);
    metric(text.to, "multinode_http_requests_total", "counter", "Requests that were begun.");
    fprintf(text.to, "multinode_http_requests_total %" PRIu64 "\n",
            __atomic_load_n(&server->requests, __ATOMIC_RELAXED));
    metric(text.to, "multinode_http_refused_total", "counter", "Requests refused with 429.");
    fprintf(text.to, "multinode_http_refused_total %" PRIu64 "\n",
            __atomic_load_n(&server->refused, __ATOMIC_RELAXED));
    metric(text.to, "multinode_start_time_seconds", "gauge", "When the runtime was started.");
    fprintf(text.to, "multinode_start_time_seconds %.3f\n", server->started);
    return mni_text_answer(exchange, &text, MHD_HTTP_OK, "text/plain; version=0.0.4");
}

static int begin_openapi(mni_exchange_t *exchange)
{
    return mni_constant_answer(exchange, mni_openapi, JSON_TYPE);
}

static int end_run(mni_exchange_t *exchange, bool at_once)
{
    const mni_server_options_t *options = &exchange->server->options;
    mni_text_t text;
    int rc = mni_text_open(&text);

    if (rc < 0)
        return rc;
    options->drain(options->argument, at_once);
    fprintf(text.to, "{\"status\":\"draining\"}");
    return mni_text_answer(exchange, &text, MHD_HTTP_ACCEPTED, JSON_TYPE);
}

static int begin_drain(mni_exchange_t *exchange)
{
    return end_run(exchange, false);
}

static int begin_shutdown(mni_exchange_t *exchange)
{
    return end_run(exchange, true);
}

const mni_route_t mni_routes[] = {
    {"POST", "/v1/jobs", mni_begin_start, mni_finish_start, .body = true},
    {"GET", "/v1/jobs", begin_list, finish_list},
    {"GET", "/v1/jobs/*", begin_get, finish_get},
    {"DELETE", "/v1/jobs/*", begin_remove, finish_remove},
    {"PUT", "/v1/jobs/*/cancel", begin_cancel, finish_cancel},
    {"GET", "/v1/jobs/*/result", begin_result, finish_result},
    {"GET", "/v1/jobs/*/events", begin_events, finish_events},
    {"GET", "/v1/jobs/*/logs", begin_log, finish_log},
    {"GET", "/v1/jobs/*/why", begin_explain, finish_explain},
    {"GET", "/v1/locks", begin_locks, finish_locks},
    {"GET", "/v1/nodes", begin_nodes, finish_nodes},
    {"GET", "/v1/health", begin_summary, finish_health},
    {"GET", "/v1/openapi.json", begin_openapi, NULL},
    {"PUT", "/v1/drain", begin_drain, NULL},
    {"PUT", "/v1/shutdown", begin_shutdown, NULL},
    {"GET", "/metrics", begin_summary, finish_metrics},
    {NULL},
};
