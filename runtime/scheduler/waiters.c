/* SPDX-License-Identifier: MIT
 *
 * Calls that wait for a job: each hangs on its job, those with a deadline also in one list, of which only the
 * nearest deadline is looked at until it has come.
 */
#include "scheduler/internal.h"

static mni_waiter_t **waiters_of(const mni_job_t *job)
{
    return &((mni_data_t *)job->user)->waiters;
}

static void waiter_free(mni_scheduler_t *scheduler, mni_waiter_t *waiter)
{
    DL_DELETE(*waiters_of(waiter->job), waiter);
    if (waiter->deadline != MNI_NEVER)
        DL_DELETE2(scheduler->timed, waiter, timed_prev, timed_next);
    if (waiter->who.task < MNI_TASK_DRIVER)
        mni_core_wait(scheduler->core, mni_clock_now(), waiter->who.task, NULL);
    free(waiter->ids);
    free(waiter);
}

/* Hangs it on a job. When its task would wait for ever it is answered so. False: it was. */
static bool waiter_hang(mni_scheduler_t *scheduler, mni_waiter_t *waiter, mni_job_t *job)
{
    if (waiter->who.task < MNI_TASK_DRIVER) {
        int rc = mni_core_wait(scheduler->core, mni_clock_now(), waiter->who.task, &job->id);
        if (rc < 0) {
            mni_answer(scheduler, &waiter->who, rc);
            return false;
        }
    }
    waiter->job = job;
    DL_APPEND(*waiters_of(job), waiter);
    return true;
}

/* Gives a waiter that hangs on a job its deadline. */
static void waiter_time(mni_scheduler_t *scheduler, mni_waiter_t *waiter, double timeout)
{
    if (timeout < 0)
        return;
    waiter->deadline = mni_clock_after(mni_clock_now(), timeout);
    DL_APPEND2(scheduler->timed, waiter, timed_prev, timed_next);
    if (waiter->deadline < scheduler->next_deadline)
        scheduler->next_deadline = waiter->deadline;
}

/* Lets a waiter wait for one job. `made` is copied. */
static void waiter_begin(mni_scheduler_t *scheduler, const mni_waiter_t *made, mni_job_t *job,
                         double timeout)
{
    mni_waiter_t *waiter = malloc(sizeof *waiter);
    if (!waiter) {
        mni_answer(scheduler, &made->who, mni_error(MN_E_NO_MEMORY, "no memory to wait for a job"));
        return;
    }
    *waiter = *made;
    waiter->deadline = MNI_NEVER;
    if (waiter_hang(scheduler, waiter, job))
        waiter_time(scheduler, waiter, timeout);
    else
        free(waiter);
}

void mni_waiter_add(mni_scheduler_t *scheduler, const mni_client_address_t *who, mni_job_t *job,
                    uint64_t seen, double timeout, bool removal)
{
    const mni_waiter_t waiter = {.who = *who, .seen = seen, .removal = removal};
    waiter_begin(scheduler, &waiter, job, timeout);
}

void mni_waiter_add_look(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                         mni_job_t *job, uint64_t seen, double timeout, uint32_t room)
{
    const mni_waiter_t waiter = {.who = *who, .seen = seen, .looks = true, .room = room};
    waiter_begin(scheduler, &waiter, job, timeout);
}

/* The first job of a wait for many, from the one it has got to, that has not ended; NULL: enough of them have. Unknown
 * ones count as ended: the answer says so. */
static mni_job_t *next_open(mni_scheduler_t *scheduler, mni_waiter_t *waiter)
{
    for (; waiter->at < waiter->id_count; waiter->at++) {
        mni_job_t *job = mni_core_find(scheduler->core, waiter->ids[waiter->at]);
        if (!job)
            return NULL;
        if (!mn_status_terminal(job->status))
            return waiter->at >= waiter->least ? NULL : job;
    }
    return NULL;
}

/* Those that have ended, or the one that is not known. */
static void answer_many(mni_scheduler_t *scheduler, const mni_waiter_t *waiter)
{
    mni_answer_many(scheduler, &waiter->who, waiter->ids, waiter->at > 0 ? waiter->at : 1);
}

void mni_waiter_add_many(mni_scheduler_t *scheduler, const mni_client_address_t *who, mn_id_t *ids,
                         uint32_t count, uint32_t least, double timeout)
{
    mni_waiter_t *waiter = malloc(sizeof *waiter);
    if (!waiter) {
        mni_answer(scheduler, who, mni_error(MN_E_NO_MEMORY, "no memory to wait for jobs"));
        free(ids);
        return;
    }
    *waiter = (mni_waiter_t){.who = *who,
                             .seen = UINT64_MAX,
                             .deadline = MNI_NEVER,
                             .ids = ids,
                             .id_count = count,
                             .least = least > 0 ? least : 1};
    mni_job_t *job = next_open(scheduler, waiter);
    if (!job)
        answer_many(scheduler, waiter);
    else if (timeout == 0 && waiter->at == 0)
        mni_answer(scheduler, who,
                   mni_error(MN_E_TIMEOUT, "the job is still %s", mn_status_name(job->status)));
    else if (timeout == 0)
        answer_many(scheduler, waiter);
    else if (waiter_hang(scheduler, waiter, job)) {
        waiter_time(scheduler, waiter, timeout);
        return;
    }
    free(ids);
    free(waiter);
}

/* The job that a wait for many hung on has ended: it goes on to the next, or is answered. */
static void waiter_go_on(mni_scheduler_t *scheduler, mni_waiter_t *waiter)
{
    mni_job_t *job = next_open(scheduler, waiter), *before = waiter->job;
    if (job) {
        DL_DELETE(*waiters_of(before), waiter);
        if (waiter_hang(scheduler, waiter, job))
            return;
        DL_APPEND(*waiters_of(before), waiter); /* waiter_free() takes it from there */
        waiter->job = before;
    } else {
        answer_many(scheduler, waiter);
    }
    waiter_free(scheduler, waiter);
}

void mni_waiters_answer(mni_scheduler_t *scheduler, mni_job_t *job)
{
    const mni_data_t *data = job->user;
    mni_waiter_t *waiter, *next;
    bool ended = mn_status_terminal(job->status);
    DL_FOREACH_SAFE (data->waiters, waiter, next) {
        if (waiter->removal || (!ended && data->version <= waiter->seen))
            continue;
        if (waiter->ids) {
            waiter_go_on(scheduler, waiter);
            continue;
        }
        if (waiter->looks)
            mni_answer_look(scheduler, &waiter->who, job, waiter->room);
        else
            mni_answer_info(scheduler, &waiter->who, job);
        waiter_free(scheduler, waiter);
    }
}

void mni_waiters_forget(mni_scheduler_t *scheduler, mni_job_t *job)
{
    mni_waiter_t *waiter, *next;
    DL_FOREACH_SAFE (*waiters_of(job), waiter, next) {
        if (waiter->removal)
            mni_answer(scheduler, &waiter->who, 0);
        else
            mni_answer(scheduler, &waiter->who, mni_error(MN_E_NO_JOB, "the job was removed"));
        waiter_free(scheduler, waiter);
    }
}

void mni_waiters_refuse(mni_scheduler_t *scheduler, mni_job_t *job, uint64_t task, int code,
                        const char *error)
{
    mni_waiter_t *waiter, *next;
    DL_FOREACH_SAFE (*waiters_of(job), waiter, next) {
        if (waiter->who.task != task)
            continue;
        mni_answer(scheduler, &waiter->who,
                   mni_error(code, "%s", error ? error : mn_strerror(code)));
        waiter_free(scheduler, waiter);
    }
}

void mni_waiters_expire(mni_scheduler_t *scheduler, uint64_t now)
{
    mni_waiter_t *waiter, *next;
    if (now < scheduler->next_deadline)
        return;
    scheduler->next_deadline = MNI_NEVER;
    for (waiter = scheduler->timed; waiter; waiter = next) {
        next = waiter->timed_next;
        if (waiter->deadline <= now && waiter->ids && waiter->at > 0) {
            answer_many(scheduler, waiter); /* what there is; the next call has no time left */
            waiter_free(scheduler, waiter);
        } else if (waiter->deadline <= now) {
            mni_answer(scheduler, &waiter->who,
                       mni_error(MN_E_TIMEOUT, "the job is still %s",
                                 mn_status_name(waiter->job->status)));
            waiter_free(scheduler, waiter);
        } else if (waiter->deadline < scheduler->next_deadline) {
            scheduler->next_deadline = waiter->deadline;
        }
    }
}
