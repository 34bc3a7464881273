/* SPDX-License-Identifier: MIT
 *
 * Jobs with large values for large.test.
 *
 *     large LOG series    a job yields 40 values of 8 MiB, each kept before the next, and goes on after the last one it has; each
 *                         is noted in LOG as "kept N", where an attempt goes on as "begin N"
 *     large LOG many      24 jobs yield one value of 8 MiB each; then READY, and after each line "go" of LOG the next of: look at
 *                         all results, remove all jobs, end
 *     large LOG look      says what mn_get() gives for every job
 */
#include <errno.h>
#include <fcntl.h>
#include <multinode.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBERS ((size_t)1 << 20) /* of a value: 8 MiB */
#define INPUT_NUMBERS (NUMBERS / 2)
#define VALUES 40u
#define JOBS 24u

MN_JOB(series, .cpu = 0.1, .max_lost = 1000);
MN_JOB(one, .cpu = 0.1, .max_lost = 1000);

static int failures;

__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...)
{
    va_list arguments;
    failures++;
    printf("not ok ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf(" (%s)\n", mn_error_message());
    fflush(stdout);
}

/* One write() at the end of the file, which the end of the process does not undo. */
static void note(const char *log, const char *what, unsigned number)
{
    char line[64];
    int size = snprintf(line, sizeof line, "%s %u\n", what, number);
    int fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)size) != size)
        _exit(90);
    close(fd);
}

static void fill(double *numbers, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        numbers[i] = seed + 1e-6 * (double)i;
}

/* Whether it is what fill() made, of two dimensions. */
static bool is_filled(mn_value_t value, size_t count, unsigned seed)
{
    const double *numbers = value.data;
    if (value.type != MN_FLOAT64 || value.ndims != 2 || value.dims[1] != 1024 ||
        value.size != count * sizeof *numbers || !numbers)
        return false;
    for (size_t i = 0; i < count; i++)
        if (numbers[i] != seed + 1e-6 * (double)i)
            return false;
    return true;
}

static mn_value_t matrix(const double *numbers, size_t count)
{
    return mn_matrix(MN_FLOAT64, numbers, count / 1024, 1024);
}

static int series(mn_task_t *task, mn_value_t input)
{
    static double numbers[NUMBERS];
    const char *log = getenv("LARGE_LOG");
    unsigned at = 0;
    mn_value_t last;
    int rc;

    if (!is_filled(input, INPUT_NUMBERS, 7))
        return mn_fail(task, MN_E_FAILED, "its input is not what was given");
    if ((rc = mn_last_yield(task, &last)) == 0) {
        at = (unsigned)*(const double *)last.data;
        if (!is_filled(last, NUMBERS, at))
            return mn_fail(task, MN_E_FAILED, "its last value is not what it yielded");
    } else if (rc != MN_E_NO_RESULT) {
        return rc;
    }
    note(log, "begin", at);
    while (at < VALUES) {
        fill(numbers, NUMBERS, ++at);
        if ((rc = mn_yield_sync(task, matrix(numbers, NUMBERS))) < 0)
            return rc;
        note(log, "kept", at);
    }
    return 0;
}

static int one(mn_task_t *task, mn_value_t input)
{
    double *numbers = malloc(NUMBERS * sizeof *numbers);
    if (!numbers)
        return mn_fail(task, MN_E_FAILED, "no memory");
    fill(numbers, NUMBERS, *(const unsigned *)input.data);
    int rc = mn_yield(task, matrix(numbers, NUMBERS));
    free(numbers);
    return rc;
}

static void drive_series(void)
{
    double *numbers = malloc(INPUT_NUMBERS * sizeof *numbers);
    mn_info_t *info = NULL;
    mn_id_t id;

    if (!numbers)
        exit(91);
    fill(numbers, INPUT_NUMBERS, 7);
    if (mn_start(series, matrix(numbers, INPUT_NUMBERS), &(mn_start_options_t){.key = "series"},
                 &id) < 0)
        wrong("start");
    else if (mn_wait(id, -1, &info) < 0)
        wrong("wait");
    else if (info->status != MN_SUCCEEDED)
        wrong("%s: %s", mn_status_name(info->status), info->error);
    else if (!is_filled(info->result, NUMBERS, VALUES) || info->yields != VALUES)
        wrong("the result is not the last value");
    mn_info_destroy(info);
    free(numbers);
}

/* Waits for a line of the log. */
static void wait_go(const char *log, unsigned number)
{
    for (unsigned turn = 0; turn < 6000; turn++) {
        char line[64];
        unsigned lines = 0;
        FILE *file = fopen(log, "re");
        while (file && fgets(line, sizeof line, file))
            lines += strcmp(line, "go\n") == 0;
        if (file)
            fclose(file);
        if (lines >= number)
            return;
        usleep(10000);
    }
    wrong("nobody says go");
}

static void say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
}

static void drive_many(const char *log)
{
    mn_id_t ids[JOBS];
    mn_info_t *info = NULL;

    for (unsigned i = 0; i < JOBS; i++)
        if (mn_start(one, mn_bytes(&i, sizeof i), NULL, &ids[i]) < 0)
            wrong("start of %u", i);
    for (unsigned i = 0; i < JOBS; i++, info = NULL) {
        if (mn_wait(ids[i], -1, &info) < 0 || info->status != MN_SUCCEEDED)
            wrong("job %u", i);
        mn_info_destroy(info);
    }
    say("READY");
    wait_go(log, 1);
    for (unsigned i = 0; i < JOBS; i++, info = NULL) {
        if (mn_get(ids[i], &info) < 0 || !is_filled(info->result, NUMBERS, i))
            wrong("result of %u", i);
        mn_info_destroy(info);
    }
    say("LOOKED");
    wait_go(log, 2);
    for (unsigned i = 0; i < JOBS; i++)
        if (mn_remove(ids[i]) < 0)
            wrong("remove of %u", i);
    say("REMOVED");
    wait_go(log, 3);
}

static void drive_look(void)
{
    mn_id_t ids[JOBS];
    size_t count = 0;
    char id[MN_ID_TEXT];

    if (mn_list(NULL, ids, JOBS, &count) < 0)
        wrong("list");
    for (size_t i = 0; i < count; i++) {
        mn_info_t *info = NULL;
        int rc = mn_get(ids[i], &info);
        printf("%s %s\n", mn_id_format(ids[i], id), rc < 0 ? mn_error_message() : "readable");
        mn_info_destroy(info);
    }
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)task;
    const char *mode = argc == 3 ? argv[2] : "";

    if (strcmp(mode, "series") == 0)
        drive_series();
    else if (strcmp(mode, "many") == 0)
        drive_many(argv[1]);
    else if (strcmp(mode, "look") == 0)
        drive_look();
    else
        return 2;
    printf("# %d failed\n", failures);
    return failures != 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
