/* SPDX-License-Identifier: MIT
 *
 * Jobs to be started from outside. The driver says READY and waits for the end of the run.
 */
#include <multinode.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

MN_JOB(echo, .cpu = 0.1);
MN_JOB(steps, .cpu = 0.1);
MN_JOB(hold, .cpu = 0.1);
MN_JOB(large, .cpu = 0.1);
MN_JOB(breaks, .cpu = 0.1);

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* Yields what it is given. */
static int echo(mn_task_t *task, mn_value_t input)
{
    printf("echo of %zu bytes\n", input.size);
    return mn_yield(task, input);
}

/* Yields 1, 2, 3, each when the file named by its input has grown by a byte. */
static int steps(mn_task_t *task, mn_value_t input)
{
    char path[256];
    int rc = 0;

    snprintf(path, sizeof path, "%.*s", (int)input.size, (const char *)input.data);
    for (int32_t i = 1; i <= 3 && rc == 0; i++) {
        FILE *file;
        long size = 0;
        while (rc == 0 && size < i) {
            if ((file = fopen(path, "r"))) {
                fseek(file, 0, SEEK_END);
                size = ftell(file);
                fclose(file);
            }
            nap();
            rc = mn_cancelled(task);
        }
        if (rc == 0 && (rc = mn_progress(task, i / 3.0, "a step")) == 0)
            rc = mn_yield(task, mn_array(MN_INT32, &i, 1));
    }
    return rc;
}

/* Waits to be cancelled, and yields a last value then. */
static int hold(mn_task_t *task, mn_value_t input)
{
    (void)input;
    while (mn_cancelled(task) == 0)
        nap();
    return mn_yield(task, mn_text("cleaned up"));
}

/* Yields as many bytes as its input says: each is its place times 31. */
static int large(mn_task_t *task, mn_value_t input)
{
    size_t size = 0;

    memcpy(&size, input.data, input.size < sizeof size ? input.size : sizeof size);
    unsigned char *bytes = malloc(size);
    if (!bytes)
        return mn_fail(task, MN_E_NO_MEMORY, "no memory");
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 31);
    int rc = mn_yield(task, mn_bytes(bytes, size));
    free(bytes);
    return rc;
}

static int breaks(mn_task_t *task, mn_value_t input)
{
    (void)input;
    return mn_fail(task, MN_E_FAILED, "it \"broke\"\n");
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("READY\n");
    fflush(stdout);
    while (mn_cancelled(task) == 0)
        nap();
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
