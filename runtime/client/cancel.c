/* SPDX-License-Identifier: MIT
 *
 * Being asked to stop: the flag, and the thread that calls back. The flag is the channel's `stop`
 * word, written by the worker. The thread exists from the first mn_on_cancel() of a task to the
 * task's end; it sleeps on the process's doorbell, which the worker rings after it has set the
 * word. Its own lock is never held while the callback runs, nor together with the client's.
 */
#include "client/call.h"
#include "client/task.h"
#include "util/clock.h"
#include "util/error.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A ring that is lost (user code wrote over the bell) delays the callback by this at most. */
#define LONGEST_SLEEP (50 * MNI_MILLISECOND)

typedef void callback_t(int code, void *argument);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t idle; /* signalled when a callback has returned */
    pthread_t thread;
    pid_t tid; /* of the thread, set by itself */
    mni_doorbell_t *bell;
    bool exists, quit;
    bool called;  /* the present callback has been called */
    bool calling; /* a callback runs */
    callback_t *callback;
    void *argument;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

int mn_cancelled(const mn_task_t *task)
{
    (void)task; /* there is one per process */
    return mni_call_stop();
}

const volatile int *mn_cancel_flag(const mn_task_t *task)
{
    _Static_assert(sizeof(int) == sizeof(int32_t), "the flag is an int");
    return task && task == &mni_task && mni_client.control
               ? (const volatile int *)&mni_client.control->stop
               : NULL;
}

static void *watch_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&watch.lock);
    watch.tid = (pid_t)syscall(SYS_gettid);
    while (!watch.quit) {
        uint32_t seen = mni_doorbell_seen(watch.bell);
        int code = mni_call_stop();
        if (code != 0 && watch.callback && !watch.called) {
            callback_t *callback = watch.callback;
            void *argument = watch.argument;
            watch.called = watch.calling = true;
            pthread_mutex_unlock(&watch.lock);
            callback(code, argument);
            pthread_mutex_lock(&watch.lock);
            watch.calling = false;
            pthread_cond_broadcast(&watch.idle);
            continue;
        }
        pthread_mutex_unlock(&watch.lock);
        mni_doorbell_sleep(watch.bell, seen, LONGEST_SLEEP);
        pthread_mutex_lock(&watch.lock);
    }
    pthread_mutex_unlock(&watch.lock);
    return NULL;
}

/* With all signals blocked in it: they are for the threads of user code. */
static int watch_start(void)
{
    sigset_t all, before;
    sigfillset(&all);
    watch.quit = false;
    watch.tid = 0;
    watch.bell = &mni_client.control->bell;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&watch.thread, NULL, watch_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        errno = error;
        return mni_error_errno("cannot make a thread for mn_on_cancel()");
    }
    watch.exists = true;
    return 0;
}

int mn_on_cancel(mn_task_t *task, void (*callback)(int code, void *argument), void *argument)
{
    int rc = mni_task_check(task);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&watch.lock);
    bool inside = watch.exists && pthread_equal(pthread_self(), watch.thread);
    while (watch.calling && !inside)
        pthread_cond_wait(&watch.idle, &watch.lock);
    if (callback && !watch.exists)
        rc = watch_start();
    if (rc == 0) {
        watch.callback = callback;
        watch.argument = argument;
        watch.called = false;
        if (watch.exists)
            mni_doorbell_ring(watch.bell);
    }
    pthread_mutex_unlock(&watch.lock);
    return rc;
}

void mni_cancel_end(void)
{
    if (!watch.exists) /* set and read by the thread that runs the task, or after it was joined with
                        */
        return;
    pthread_mutex_lock(&watch.lock);
    watch.quit = true;
    watch.callback = NULL;
    mni_doorbell_ring(watch.bell);
    pthread_mutex_unlock(&watch.lock);
    pthread_join(watch.thread, NULL);
    watch.exists = false;
    /* pthread_join() returns a moment before the kernel has taken the thread from its list, where
     * it would look like one that user code left behind. */
    while (watch.tid != 0 && syscall(SYS_tgkill, getpid(), watch.tid, 0) == 0)
        sched_yield();
}

void mni_cancel_forget(void)
{
    static const pthread_mutex_t fresh_lock = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_cond_t fresh_idle = PTHREAD_COND_INITIALIZER;
    watch.lock = fresh_lock;
    watch.idle = fresh_idle;
    watch.exists = watch.calling = false;
    watch.callback = NULL;
}
