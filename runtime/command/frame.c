/* SPDX-License-Identifier: MIT
 *
 * multinode top: a frame as text. Its head is always there; nodes and jobs share the rows that are left.
 */
#include "command/top.h"

#include "util/size.h"

#include <stdlib.h>
#include <string.h>

#define HEAD 4 /* rows before the nodes, with the one that is empty */
#define BAR 20
#define JOB_BAR 10

typedef struct frame {
    FILE *to;
    size_t columns;
} frame_t;

static long long number(const json_t *json, const char *name)
{
    return (long long)json_integer_value(json_object_get(json, name));
}

/* "1:02:03": of one width, since it is looked at while it changes. */
static const char *span_of(double seconds, char text[32])
{
    unsigned long long whole = seconds > 0 && seconds < 1e15 ? (unsigned long long)seconds : 0;
    snprintf(text, 32, "%llu:%02llu:%02llu", whole / 3600, whole / 60 % 60, whole % 60);
    return text;
}

static const char *plural(long long count)
{
    return count == 1 ? "" : "s";
}

/* Ends a line that was made with open_memstream(), and cuts it. */
static void put_line(const frame_t *frame, char *line)
{
    mni_show_text(frame->to, line == NULL ? "" : line, frame->columns);
    fputc('\n', frame->to);
    free(line);
}

static void fill_bar(FILE *to, double share, int width)
{
    int full = share >= 1 ? width : share > 0 ? (int)(share * width) : 0;

    fputc('[', to);
    for (int i = 0; i < width; i++)
        fputc(i < full ? '#' : '-', to);
    fputc(']', to);
}

/* --- the head ---------------------------------------------------- */

static void print_title(const mni_top_t *top, const frame_t *frame, bool paused)
{
    double up = top->looked - json_number_value(json_object_get(top->health, "started"));
    const char *status = mni_live_text(top->health, "status");
    char *line = NULL, span[32];
    size_t size;
    FILE *to = open_memstream(&line, &size);

    if (to != NULL) {
        fprintf(to, "multinode top  up %s  %s", span_of(up, span),
                mni_live_text(top->health, "store"));
        if (strcmp(status, "ok") != 0)
            fprintf(to, "  %s", status);
        if (paused)
            fputs("  paused", to);
        fclose(to);
    }
    put_line(frame, line);
}

static void print_jobs_line(const mni_top_t *top, const frame_t *frame)
{
    static const char *const names[][2] = {
        {"PENDING", "pending"},     {"RUNNING", "running"}, {"CANCELLING", "cancelling"},
        {"SUCCEEDED", "succeeded"}, {"FAILED", "failed"},   {"CANCELLED", "cancelled"}};
    const json_t *jobs = json_object_get(top->health, "jobs");
    char *line = NULL;
    size_t size;
    FILE *to = open_memstream(&line, &size);

    if (to != NULL) {
        fputs("jobs   ", to);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (i < 2 || number(jobs, names[i][0]) > 0)
                fprintf(to, "%lld %s  ", number(jobs, names[i][0]), names[i][1]);
        if (top->rate >= 0)
            fprintf(to, "%.1f finished/s", top->rate);
        fclose(to);
    }
    put_line(frame, line);
}

static void print_cores_line(const mni_top_t *top, const frame_t *frame)
{
    long long cores = 0, given = 0;
    const json_t *node;
    char *line = NULL;
    size_t i, size;

    json_array_foreach(top->nodes, i, node)
    {
        cores += number(node, "cores");
        given += number(node, "cores_given");
    }
    FILE *to = open_memstream(&line, &size);
    if (to != NULL) {
        fputs("cores  ", to);
        fill_bar(to, cores > 0 ? (double)given / (double)cores : 0, BAR);
        long long tasks = number(top->health, "tasks"), workers = number(top->health, "workers"),
                  nodes = number(top->health, "nodes");
        fprintf(to, " %lld of %lld in use  %lld task%s  %lld worker%s on %lld node%s", given, cores,
                tasks, plural(tasks), workers, plural(workers), nodes, plural(nodes));
        fclose(to);
    }
    put_line(frame, line);
}

/* --- nodes and jobs ---------------------------------------------------- */

static void print_node(const frame_t *frame, const json_t *node)
{
    char *line = NULL, used[32], memory[32];
    size_t size, width = 0;
    FILE *to = open_memstream(&line, &size);

    if (to != NULL) {
        width = mni_show_text(to, mni_live_text(node, "host"), 24);
        fprintf(to, "%*s  %5lld of %5lld  %10s of %10s  %5lld", (int)(24 - width), "",
                number(node, "cores_given"), number(node, "cores"),
                mni_size_format((uint64_t)number(node, "memory_used"), used, sizeof used),
                mni_size_format((uint64_t)number(node, "memory"), memory, sizeof memory),
                number(node, "tasks"));
        fclose(to);
    }
    put_line(frame, line);
}

static void print_job(const mni_top_t *top, const frame_t *frame, const json_t *job)
{
    double started = json_number_value(json_object_get(job, "started"));
    double done = json_number_value(json_object_get(job, "progress"));
    char *line = NULL, span[32];
    size_t size, width;
    FILE *to = open_memstream(&line, &size);

    if (to != NULL) {
        fprintf(to, "%.8s  ", mni_live_text(job, "id"));
        width = mni_show_text(to, mni_live_text(job, "job"), 20);
        fprintf(to, "%*s  %10s  ", (int)(20 - width), "",
                started > 0 ? span_of(top->looked - started, span) : "");
        fill_bar(to, done, JOB_BAR);
        fprintf(to, " %3.0f%%  ", done * 100);
        if (strcmp(mni_live_text(job, "status"), "RUNNING") != 0)
            fprintf(to, "%s  ", mni_live_text(job, "status"));
        mni_show_text(to, mni_live_text(job, "message"), 0);
        fclose(to);
    }
    put_line(frame, line);
}

static void print_more(const frame_t *frame, long long more, const char *what)
{
    char *line = NULL;

    if (asprintf(&line, "and %lld more %s", more, what) < 0)
        line = NULL;
    put_line(frame, line);
}

/* How many of `count` rows fit into `room`, when a row that says how many more there are is one of them. */
static size_t fitting(size_t count, size_t room)
{
    return count <= room ? count : room > 0 ? room - 1 : 0;
}

void mni_top_print(const mni_top_t *top, FILE *to, size_t columns, size_t rows, bool paused)
{
    const json_t *statuses = json_object_get(top->health, "jobs");
    size_t nodes = json_array_size(top->nodes), jobs = json_array_size(top->jobs);
    long long running = number(statuses, "RUNNING") + number(statuses, "CANCELLING");
    frame_t frame = {.to = to, .columns = columns};
    /* Headings of both tables and the row between them; a third of the rest is for nodes, more if the jobs need it not. */
    size_t room = rows > HEAD + 3 ? rows - HEAD - 3 : 0;
    size_t for_nodes = room / 3 > 0 ? room / 3 : room > 0;

    if (room > jobs && room - jobs > for_nodes)
        for_nodes = room - jobs;
    size_t nodes_shown = rows == 0 ? nodes : fitting(nodes, for_nodes);
    size_t left = room - (nodes_shown < nodes ? for_nodes : nodes_shown);
    size_t all = running > (long long)jobs ? (size_t)running : jobs;
    size_t jobs_shown = rows == 0 ? jobs : fitting(all, left);

    jobs_shown = jobs_shown < jobs ? jobs_shown : jobs;
    print_title(top, &frame, paused);
    print_jobs_line(top, &frame);
    print_cores_line(top, &frame);
    if (rows > 0 && room == 0)
        return;
    put_line(&frame, NULL);
    put_line(
        &frame,
        strdup("HOST                           CORES             MEMORY                 TASKS"));
    for (size_t i = 0; i < nodes_shown; i++)
        print_node(&frame, json_array_get(top->nodes, i));
    if (nodes_shown < nodes)
        print_more(&frame, (long long)(nodes - nodes_shown), "nodes");
    put_line(&frame, NULL);
    put_line(&frame, strdup("ID        JOB                         RUNS  PROGRESS"));
    for (size_t i = 0; i < jobs_shown; i++)
        print_job(top, &frame, json_array_get(top->jobs, i));
    if (all > jobs_shown && (rows == 0 || left > 0))
        print_more(&frame, (long long)(all - jobs_shown), "running jobs");
}
