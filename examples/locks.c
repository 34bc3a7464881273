/* SPDX-License-Identifier: MIT
 *
 * The fourth example: two jobs that must never run at the same time.
 *
 *     multinode run ./locks
 *
 * A job that is started with a lock holds that name until it has ended and its processes are gone.
 * A second start with the same lock does not wait, it is refused, and the error names the job that
 * holds it. */
#include <multinode.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

MN_JOB(maintain_table, .cpu = 0.1);

static void pause_for_10_ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* Works for as many rounds as it is told, or until it is asked to stop. */
static int maintain_table(mn_task_t *task, mn_value_t input)
{
    int32_t rounds;

    memcpy(&rounds, input.data, sizeof rounds);
    for (int32_t i = 0; i < rounds && !mn_cancelled(task); i++)
        pause_for_10_ms();
    return mn_cancelled(task);
}

static int start(int32_t rounds, const char *lock, mn_id_t *id)
{
    return mn_start(maintain_table, mn_array(MN_INT32, &rounds, 1),
                    &(mn_start_options_t){.lock = lock}, id);
}

static int failed(const char *what)
{
    fprintf(stderr, "locks: %s: %s\n", what, mn_error_message());
    return 1;
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    char holder[MN_ID_TEXT];
    mn_info_t *info;
    mn_lock_t *locks;
    size_t count;
    mn_id_t first, second, other;

    (void)task, (void)argc, (void)argv;
    if (start(30000, "table-7", &first) < 0)
        return failed("the first start");

    int rc = start(1, "table-7", &second);
    bool is_named =
        rc == MN_E_LOCK_IN_USE && strstr(mn_error_message(), mn_id_format(first, holder));
    printf("a second start with the same lock: %s\n", mn_error_name(rc));
    printf("its message names the holder: %s\n", is_named ? "yes" : "no");

    if (start(1, "table-8", &other) < 0) /* another name is another lock */
        return failed("a start with another lock");
    if (mn_wait(other, 60, NULL) < 0 || mn_locks(&locks, &count) < 0)
        return failed("mn_locks");
    bool is_listed = false;
    for (size_t i = 0; i < count; i++)
        is_listed |= strcmp(locks[i].name, "table-7") == 0 && mn_id_equal(locks[i].holder, first);
    mn_locks_destroy(locks);
    printf("the lock is listed with its holder: %s\n", is_listed ? "yes" : "no");

    /* When the holder ends, the lock is free as soon as its processes are gone: a moment later at
     * most. */
    if (mn_cancel(first) < 0 || mn_wait(first, 60, NULL) < 0)
        return failed("cancelling the first");
    for (int i = 0; (rc = start(1, "table-7", &second)) == MN_E_LOCK_IN_USE && i < 1000; i++)
        pause_for_10_ms();
    if (rc < 0)
        return failed("the second start");
    if (mn_wait(second, 60, &info) < 0)
        return failed("mn_wait");
    printf("after the holder has ended: %s\n", mn_status_name(info->status));
    bool is_good = is_named && is_listed && info->status == MN_SUCCEEDED;
    mn_info_destroy(info);
    return is_good ? 0 : 1;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
