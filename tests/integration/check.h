/* SPDX-License-Identifier: MIT
 *
 * The harness of the integration tests. A program's driver runs named cases; each prints "ok NAME" or
 * "not ok NAME: why". What is said in a job, function or service is collected and brought to the driver as text.
 *
 * Everything here belongs to the main thread of one process: each process has its own copy.
 */
#ifndef MNI_TESTS_INTEGRATION_CHECK_H
#define MNI_TESTS_INTEGRATION_CHECK_H

#include <multinode.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Seconds, stretched where programs are slow: how long anything that must come is waited for, and how long a case may
 * take in the driver. */
#define CHECK_PATIENCE (60 * check_slowness())
#define CHECK_CASE_LIMIT ((unsigned)(150 * check_slowness()))
#define CHECK_UNUSED __attribute__((unused))

typedef void check_case_t(mn_task_t *task);

/* MULTINODE_TEST_SLOW in the environment: how many times slower than usual programs run, under a sanitizer, say. */
static double check_slowness(void)
{
    const char *text = getenv("MULTINODE_TEST_SLOW");
    double times = text ? strtod(text, NULL) : 1;
    return times > 1 ? times : 1;
}

static struct {
    const char *place; /* "" in the driver */
    const char *name;  /* the case that runs */
    bool case_failed;
    int failures;
    bool prints; /* the driver prints at once, others collect */
    char text[65536];
    size_t used;
} check_state = {.place = "", .name = "?"};

__attribute__((format(printf, 1, 2))) static void check_say(const char *format, ...)
{
    va_list arguments;
    size_t room = sizeof check_state.text - check_state.used;
    va_start(arguments, format);
    int n = vsnprintf(check_state.text + check_state.used, room, format, arguments);
    va_end(arguments);
    if (n < 0)
        return;
    if (check_state.prints) {
        fwrite(check_state.text + check_state.used, 1, (size_t)n < room ? (size_t)n : room - 1,
               stdout);
        fflush(stdout);
    } else {
        check_state.used += (size_t)n < room ? (size_t)n : room - 1;
    }
}

/* Says why a case fails; the first reason is the one that counts. */
__attribute__((format(printf, 1, 2))) CHECK_UNUSED static bool check_fail(const char *format, ...)
{
    char why[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    if (!check_state.case_failed) {
        check_state.failures++;
        check_say("not ok %s%s: %s\n", check_state.place, check_state.name, why);
    } else {
        check_say("#      %s%s: %s\n", check_state.place, check_state.name, why);
    }
    check_state.case_failed = true;
    return false;
}

CHECK_UNUSED static bool check_true(bool good, const char *file, int line, const char *what)
{
    return good ||
           check_fail("%s:%d: %s", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, what);
}

CHECK_UNUSED static bool check_code(int got, int wanted, const char *file, int line,
                                    const char *what)
{
    if (got == wanted)
        return true;
    return check_fail("%s:%d: %s is %d (%s) instead of %s; %s",
                      strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, what, got,
                      mn_error_name(got), mn_error_name(wanted), mn_error_message());
}

#define CHECK(condition) check_true((condition), __FILE__, __LINE__, #condition)
#define CHECK_CODE(call, code) check_code((call), (code), __FILE__, __LINE__, #call)

/* In a case: the rest makes no sense without this. */
#define REQUIRE(condition)     \
    do {                       \
        if (!CHECK(condition)) \
            return;            \
    } while (0)
#define REQUIRE_CODE(call, code)     \
    do {                             \
        if (!CHECK_CODE(call, code)) \
            return;                  \
    } while (0)

/* A call that must fail with `code` and say something about it. */
#define CHECK_REFUSED(call, code)                                                    \
    do {                                                                             \
        if (CHECK_CODE(call, code) && strlen(mn_error_message()) < 8)                \
            check_fail("%s:%d: %s: no sentence but \"%s\"", "line", __LINE__, #call, \
                       mn_error_message());                                          \
    } while (0)

static void check_alarm(int number)
{
    static const char text[] = "not ok: the case before took too long: ";
    (void)number;
    /* Only a driver gets here, where the case's name is known. */
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0 ||
        write(STDOUT_FILENO, check_state.name, strlen(check_state.name)) < 0 ||
        write(STDOUT_FILENO, "\n", 1) < 0)
        _exit(98);
    _exit(99);
}

/* CHECK_ONLY=TEXT in the environment: only cases whose name has it. */
CHECK_UNUSED static void check_run(mn_task_t *task, const char *name, check_case_t *function)
{
    const char *only = getenv("CHECK_ONLY");
    if (only && !strstr(name, only))
        return;
    check_state.name = name;
    check_state.case_failed = false;
    if (check_state.prints) {
        signal(SIGALRM, check_alarm);
        alarm(CHECK_CASE_LIMIT);
    }
    function(task);
    if (check_state.prints)
        alarm(0);
    if (!check_state.case_failed)
        check_say("ok %s%s\n", check_state.place, name);
}

#define RUN(task, name) check_run((task), #name, name)

/* The driver's first and last words. */
CHECK_UNUSED static void check_begin(void)
{
    check_state.prints = true;
}

CHECK_UNUSED static int check_end(void)
{
    check_say("# %d failed\n", check_state.failures);
    return check_state.failures < 90 ? check_state.failures : 90;
}

/* --- time ------------------------------------------------------------------------------------------------- */

CHECK_UNUSED static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

CHECK_UNUSED static void pause_ms(long milliseconds)
{
    struct timespec time = {.tv_sec = milliseconds / 1000,
                            .tv_nsec = milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Asks again until the condition holds: for what no call waits for. */
#define EVENTUALLY(condition)                                    \
    __extension__({                                              \
        double until_ = seconds_now() + CHECK_PATIENCE;          \
        bool good_;                                              \
        while (!(good_ = (condition)) && seconds_now() < until_) \
            pause_ms(5);                                         \
        good_;                                                   \
    })

/* --- jobs -------------------------------------------------------------------------------------------------- */

CHECK_UNUSED static bool value_is_text(mn_value_t value, const char *text)
{
    return value.type == MN_TEXT && value.size == strlen(text) &&
           memcmp(value.data, text, value.size) == 0;
}

CHECK_UNUSED static int64_t value_int(mn_value_t value)
{
    int64_t number = INT64_MIN;
    if (value.size == sizeof number && value.data)
        memcpy(&number, value.data, sizeof number);
    return number;
}

CHECK_UNUSED static mn_value_t int_value(const int64_t *number)
{
    return mn_array(MN_INT64, number, 1);
}

/* Waits for the end; the state it has then is checked and given back (NULL on failure). */
CHECK_UNUSED static mn_info_t *check_ended(mn_id_t id, mn_status_t status, mn_reason_t reason,
                                           int line)
{
    mn_info_t *info = NULL;
    int rc = mn_wait(id, CHECK_PATIENCE, &info);
    if (rc < 0) {
        check_fail("line %d: mn_wait: %s: %s", line, mn_error_name(rc), mn_error_message());
        return NULL;
    }
    if (info->status != status || info->reason != reason)
        check_fail("line %d: the job is %s, %s instead of %s, %s; error: %s", line,
                   mn_status_name(info->status), mn_reason_name(info->reason),
                   mn_status_name(status), mn_reason_name(reason),
                   info->error ? info->error : "none");
    if ((info->status == MN_FAILED) != (info->error != NULL) || (info->error && !info->error[0]))
        check_fail("line %d: a job that is %s has the error %s", line, mn_status_name(info->status),
                   info->error ? info->error : "NULL");
    return info;
}

#define ENDED(id, status, reason) check_ended((id), (status), (reason), __LINE__)
#define EXPECT_END(id, status, reason) mn_info_destroy(ENDED(id, status, reason))

/* Watches until the job has this status. */
CHECK_UNUSED static bool await_status(mn_id_t id, mn_status_t status)
{
    mn_info_t *info = NULL;
    uint64_t seen = 0;
    double until = seconds_now() + CHECK_PATIENCE;
    while (mn_watch(id, seen, until - seconds_now() > 0 ? until - seconds_now() : 0, &info) == 0) {
        bool there = info->status == status, ended = mn_status_terminal(info->status);
        seen = info->version;
        mn_info_destroy(info);
        info = NULL;
        if (there || ended)
            return there;
    }
    return false;
}

/* Watches until the job has yielded so often. */
CHECK_UNUSED static bool await_yields(mn_id_t id, uint64_t yields)
{
    mn_info_t *info = NULL;
    uint64_t seen = 0;
    double until = seconds_now() + CHECK_PATIENCE;
    while (mn_watch(id, seen, until - seconds_now() > 0 ? until - seconds_now() : 0, &info) == 0) {
        bool there = info->yields >= yields, ended = mn_status_terminal(info->status);
        seen = info->version;
        mn_info_destroy(info);
        info = NULL;
        if (there || ended)
            return there;
    }
    return false;
}

CHECK_UNUSED static bool status_is(mn_id_t id, mn_status_t status)
{
    mn_info_t *info = NULL;
    if (mn_get(id, &info) < 0)
        return false;
    bool same = info->status == status;
    mn_info_destroy(info);
    return same;
}

/* --- who is alive -------------------------------------------------------------------------------------------- */

/* Processes show that they live by holding a FIFO open for writing, which works in any PID namespace; each writes
 * a byte when it is there. The reader sees the end when all have gone. */

typedef struct roll {
    char folder[64], path[96];
    int fd;
} roll_t;

CHECK_UNUSED static bool roll_open(roll_t *roll)
{
    const char *above = getenv("CHECK_FOLDER"); /* of the script, which removes it */
    snprintf(roll->folder, sizeof roll->folder, "%s/mn-test-XXXXXX", above ? above : "/tmp");
    if (!mkdtemp(roll->folder))
        return check_fail("mkdtemp: %s", strerror(errno));
    chmod(roll->folder, 0755);
    snprintf(roll->path, sizeof roll->path, "%s/roll", roll->folder);
    if (mkfifo(roll->path, 0666) < 0)
        return check_fail("mkfifo: %s", strerror(errno));
    roll->fd = open(roll->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return roll->fd >= 0 || check_fail("open: %s", strerror(errno));
}

/* Waits until `count` have come. */
CHECK_UNUSED static bool roll_await(const roll_t *roll, int count)
{
    char byte;
    double until = seconds_now() + CHECK_PATIENCE;
    while (count > 0 && seconds_now() < until) {
        struct pollfd wait = {.fd = roll->fd, .events = POLLIN};
        poll(&wait, 1, 20);
        ssize_t n = read(roll->fd, &byte, 1);
        if (n == 1)
            count--;
        else
            pause_ms(1); /* nobody has it open yet */
    }
    return count == 0;
}

/* Whether nobody has it open now. */
CHECK_UNUSED static bool roll_empty(const roll_t *roll)
{
    char byte;
    ssize_t n;
    while ((n = read(roll->fd, &byte, 1)) == 1)
        ;
    return n == 0;
}

CHECK_UNUSED static void roll_close(roll_t *roll)
{
    close(roll->fd);
    unlink(roll->path);
    rmdir(roll->folder);
}

/* In the process that shall be seen. Never closed. */
CHECK_UNUSED static int roll_sign(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "x", 1) == 1 ? fd : -1;
}

CHECK_UNUSED static void value_to_path(mn_value_t value, char path[128])
{
    snprintf(path, 128, "%.*s", (int)value.size, value.data ? (const char *)value.data : "");
}

#endif
