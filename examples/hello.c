/* SPDX-License-Identifier: MIT
 *
 * The first example: one job, one result.
 *
 *     multinode run ./hello [NAME]
 *
 * A program has three parts: declarations, the code of what is declared, and the driver, which is
 * the client. */
#include <multinode.h>

#include <stdio.h>
#include <string.h>

/* A job. The function named here is also the handle by which it is started. */
MN_JOB(greet, .cpu = 1);

/* The job's code. It runs in a process of its own, on whatever node has a free core; if it crashed,
 * the job would end as FAILED, and nothing else would happen. What it yields becomes the job's
 * result. */
static int greet(mn_task_t *task, mn_value_t input)
{
    char text[256];

    if (input.size > 200)
        return mn_fail(task, MN_E_TOO_LARGE, "a name of %zu bytes is too long", input.size);
    snprintf(text, sizeof text, "Hello, %.*s!", (int)input.size, (const char *)input.data);
    return mn_yield(task, mn_text(text));
}

/* Every call returns 0 or a negative code; the sentence about it comes from mn_error_message(). */
static int failed(const char *what)
{
    fprintf(stderr, "hello: %s: %s\n", what, mn_error_message());
    return 1;
}

/* The driver: it starts the job, waits for its end and prints the result. Its return value is the
 * exit status. */
static int driver(mn_task_t *task, int argc, char **argv)
{
    mn_id_t id;
    mn_info_t *info;

    (void)task;
    if (mn_start(greet, mn_text(argc > 1 ? argv[1] : "world"), NULL, &id) < 0)
        return failed("mn_start");
    if (mn_wait(id, 60, &info) < 0)
        return failed("mn_wait");

    printf("%.*s\n", (int)info->result.size, (const char *)info->result.data);
    printf("%s\n", mn_status_name(info->status));
    if (info->error)
        printf("%s\n", info->error);

    int exit_status = info->status == MN_SUCCEEDED ? 0 : 1;
    mn_info_destroy(info); /* what mn_wait() made is given back */
    return exit_status;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver); /* the same on every rank */
}
