/* SPDX-License-Identifier: MIT
 *
 * Jobs for crash.test, which kills the run and starts it again until it has had enough. Some yield, some map, some hold locks, some
 * wait to be cancelled; all have keys. Whatever the driver was told it first writes into a log of its own, which each later run holds
 * against what the store says; the jobs write there too:
 *
 *     start N ID    mn_start() has returned that id for job N
 *     done N        mn_wait() has said that it SUCCEEDED
 *     cancel N      mn_wait() has said that it is CANCELLED
 *     remove N      mn_remove() is about to be called;  gone N: it has returned
 *     run N         (the job's own) an attempt has begun
 *     hold L N      (the job's own) it works, and has been given lock L;  free L N: it is about to end
 *
 *     crash LOG go|end    go: with more and more jobs, until it is killed; end: without new ones
 */
#include <errno.h>
#include <fcntl.h>
#include <multinode.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 8u /* jobs that are under way at a time */
#define KEPT 64u /* jobs that are not removed, so that a run begins as fast as the first one */
#define ITEMS 6
#define MOST 200000u

MN_FUNCTION(twice, .cpu = 0.1);
MN_JOB(triple, .cpu = 0.1, .max_lost = 1000, .max_retries = 1000);
MN_JOB(total, .cpu = 0.1, .max_lost = 1000, .max_retries = 1000);
MN_JOB(linger, .cpu = 0.1, .max_lost = 1000, .max_retries = 1000);

/* What the log says of a job. */
typedef struct known {
    bool started, done, cancelled, going, gone;
    mn_id_t id;
} known_t;

static known_t *known;
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
__attribute__((format(printf, 2, 3))) static void note(const char *log, const char *format, ...)
{
    char line[128];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    int fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)size) != size)
        _exit(90);
    close(fd);
}

typedef struct order {
    uint64_t number;
    char log[200];
} order_t;

/* What a job is, by its number. */
static bool is_map(uint64_t number)
{
    return number % 7 == 1;
}

static bool is_cancelled(uint64_t number)
{
    return number % 7 == 3;
}

/* 0: none. Of the jobs that are under way at a time no two have the same. */
static unsigned lock_of(uint64_t number)
{
    return number % 5 == 0 ? 1 + (unsigned)(number / 5 % 2) : 0;
}

static uint64_t result_of(uint64_t number)
{
    return is_map(number) ? number * ITEMS * 2 + ITEMS * (ITEMS - 1) : number * 3;
}

static int begin(mn_task_t *task, mn_value_t input, order_t *order)
{
    if (input.size != sizeof *order)
        return mn_fail(task, MN_E_FAILED, "its input is not what was given");
    memcpy(order, input.data, sizeof *order);
    note(order->log, "run %llu\n", (unsigned long long)order->number);
    if (lock_of(order->number))
        note(order->log, "hold %u %llu\n", lock_of(order->number),
             (unsigned long long)order->number);
    return 0;
}

static void end(const order_t *order)
{
    if (lock_of(order->number))
        note(order->log, "free %u %llu\n", lock_of(order->number),
             (unsigned long long)order->number);
}

static int triple(mn_task_t *task, mn_value_t input)
{
    order_t order;
    int rc = begin(task, input, &order);

    if (rc < 0)
        return rc;
    usleep(20000); /* something is to be interrupted, and not too much to be looked at */
    uint64_t result = result_of(order.number);
    if (order.number % 3 == 0 && (rc = mn_yield_sync(task, mn_array(MN_UINT64, &result, 1))) < 0)
        return rc;
    rc = mn_yield(task, mn_array(MN_UINT64, &result, 1));
    end(&order);
    return rc;
}

static int twice(mn_task_t *task, mn_value_t input)
{
    uint64_t number;
    memcpy(&number, input.data, sizeof number);
    number *= 2;
    return mn_yield(task, mn_array(MN_UINT64, &number, 1));
}

/* Twice the numbers from its own on, added up. */
static int total(mn_task_t *task, mn_value_t input)
{
    uint64_t numbers[ITEMS], results[ITEMS], sum = 0;
    order_t order;
    int rc = begin(task, input, &order);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < ITEMS; i++)
        numbers[i] = order.number + i;
    if ((rc = mn_map(task, twice, numbers, ITEMS, results)) < 0)
        return rc;
    for (unsigned i = 0; i < ITEMS; i++) {
        sum += results[i];
        if ((rc = mn_yield(task, mn_array(MN_UINT64, &sum, 1))) < 0)
            return rc;
    }
    end(&order);
    return 0;
}

static int linger(mn_task_t *task, mn_value_t input)
{
    order_t order;
    int rc = begin(task, input, &order);

    while (rc == 0 && (rc = mn_cancelled(task)) == 0)
        usleep(5000);
    end(&order);
    return rc;
}

static void read_log(const char *log)
{
    char line[128], id[64];
    unsigned number;
    FILE *file = fopen(log, "re");

    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "start %u %63s", &number, id) == 2 && number < MOST) {
            known[number].started = true;
            mn_id_parse(id, &known[number].id);
        } else if (sscanf(line, "done %u", &number) == 1 && number < MOST) {
            known[number].done = true;
        } else if (sscanf(line, "cancel %u", &number) == 1 && number < MOST) {
            known[number].cancelled = true;
        } else if (sscanf(line, "remove %u", &number) == 1 && number < MOST) {
            known[number].going = true;
        } else if (sscanf(line, "gone %u", &number) == 1 && number < MOST) {
            known[number].gone = true;
        }
    }
    if (file)
        fclose(file);
}

static bool has_result(const mn_info_t *info, unsigned number)
{
    return info->result.size == sizeof(uint64_t) &&
           *(const uint64_t *)info->result.data == result_of(number);
}

/* What was acknowledged in an earlier run must be so. */
static void audit(unsigned number)
{
    const known_t *job = &known[number];
    mn_info_t *info = NULL;
    int rc = mn_get(job->id, &info);

    if (rc == MN_E_NO_JOB && job->going)
        return;
    if (rc == 0 && job->gone)
        wrong("job %u was removed and is there again", number);
    else if (rc < 0)
        wrong("job %u was started and is lost", number);
    else if (job->done && info->status != MN_SUCCEEDED)
        wrong("job %u was done and is %s", number, mn_status_name(info->status));
    else if (job->cancelled && info->status != MN_CANCELLED)
        wrong("job %u was cancelled and is %s", number, mn_status_name(info->status));
    else if (job->done && !has_result(info, number))
        wrong("job %u has lost its result", number);
    mn_info_destroy(info);
}

static int start(const char *log, unsigned number, mn_id_t *id)
{
    order_t order = {.number = number};
    char key[32], lock[32], text[MN_ID_TEXT];

    snprintf(order.log, sizeof order.log, "%s", log);
    snprintf(key, sizeof key, "job-%u", number);
    snprintf(lock, sizeof lock, "lock-%u", lock_of(number));
    mn_start_options_t options = {.key = key, .lock = lock_of(number) ? lock : NULL};
    mn_value_t input = mn_bytes(&order, sizeof order);
    int rc = is_cancelled(number) ? mn_start(linger, input, &options, id)
             : is_map(number)     ? mn_start(total, input, &options, id)
                                  : mn_start(triple, input, &options, id);
    if (rc < 0) {
        wrong("job %u cannot be started", number);
        return rc;
    }
    if (known[number].started && !mn_id_equal(known[number].id, *id))
        wrong("job %u has another id than before", number);
    if (!known[number].started)
        note(log, "start %u %s\n", number, mn_id_format(*id, text));
    known[number].started = true;
    known[number].id = *id;
    return 0;
}

static void remove_job(const char *log, unsigned number)
{
    note(log, "remove %u\n", number);
    known[number].going = true;
    int rc = mn_remove(known[number].id);
    if (rc < 0 && rc != MN_E_NO_JOB)
        wrong("job %u cannot be removed", number);
    note(log, "gone %u\n", number);
}

static void finish(const char *log, unsigned number)
{
    known_t *job = &known[number];
    mn_info_t *info = NULL;

    if (is_cancelled(number) && mn_cancel(job->id) < 0)
        wrong("job %u cannot be cancelled", number);
    if (mn_wait(job->id, 60, &info) < 0)
        wrong("job %u does not end", number);
    else if (is_cancelled(number) && info->status != MN_CANCELLED)
        wrong("job %u is %s and was cancelled", number, mn_status_name(info->status));
    else if (!is_cancelled(number) && (info->status != MN_SUCCEEDED || !has_result(info, number)))
        wrong("job %u is %s: %s", number, mn_status_name(info->status),
              info->error ? info->error : "with another result");
    else if (!job->done && !job->cancelled)
        note(log, "%s %u\n", is_cancelled(number) ? "cancel" : "done", number);
    mn_info_destroy(info);
    if (number % 4 == 0)
        remove_job(log, number);
}

static void audit_all(const char *log, unsigned *last)
{
    for (unsigned number = 0; number < MOST; number++)
        if (known[number].started)
            *last = number + 1;
    for (unsigned number = 0; number < *last; number++) {
        if (!known[number].started || known[number].gone)
            continue;
        audit(number);
        if (known[number].going || (number + KEPT < *last && failures == 0))
            remove_job(log, number); /* also what may have been interrupted in it */
    }
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    unsigned last = 0;
    mn_id_t id;

    (void)task;
    if (argc != 3 || !(known = calloc(MOST, sizeof *known)))
        return 91;
    read_log(argv[1]);
    printf("READY\n"); /* may be killed from here on */
    fflush(stdout);
    audit_all(argv[1], &last);
    /* What was under way; then more. */
    bool go = strcmp(argv[2], "go") == 0;
    for (unsigned first = last > BATCH ? last - BATCH : 0; first < (go ? MOST - BATCH : last);
         first += BATCH) {
        unsigned count = !go && last - first < BATCH ? last - first : BATCH;
        for (unsigned i = first; i < first + count; i++)
            if (!known[i].going && start(argv[1], i, &id) < 0)
                return 1;
        for (unsigned i = first; i < first + count; i++)
            if (!known[i].going)
                finish(argv[1], i);
        if (failures > 0)
            return 1;
    }
    free(known);
    printf("# %d failed\n", failures);
    return failures > 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
