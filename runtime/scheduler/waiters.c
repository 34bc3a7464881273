/* SPDX-License-Identifier: MIT
 *
 * Calls that wait for a job: each hangs on its job, those with a deadline also in one list, of which only the
 * nearest deadline is looked at until it has come.
 */
#include "scheduler/internal.h"

static void waiter_free(mni_scheduler_t *scheduler, mni_waiter_t *waiter)
{
    DL_DELETE(waiter->data->waiters, waiter);
    if (waiter->deadline != MNI_NEVER)
        DL_DELETE2(scheduler->timed, waiter, timed_prev, timed_next);
    if (waiter->who.task < MNI_TASK_DRIVER)
        mni_core_wait(scheduler->core, mni_clock_now(), waiter->who.task, NULL);
    free(waiter);
}

void mni_waiter_add(mni_scheduler_t *scheduler, const mni_client_address_t *who, mni_data_t *data,
                    uint64_t seen, double timeout, bool removal)
{
    uint64_t now = mni_clock_now();
    mni_waiter_t *waiter = calloc(1, sizeof *waiter);
    if (!waiter) {
        mni_answer(scheduler, who, mni_error(MN_E_NO_MEMORY, "no memory to wait for a job"));
        return;
    }
    if (who->task < MNI_TASK_DRIVER) {
        int rc = mni_core_wait(scheduler->core, now, who->task, &data->job->id);
        if (rc < 0) {
            mni_answer(scheduler, who, rc);
            free(waiter);
            return;
        }
    }
    *waiter = (mni_waiter_t){.who = *who,
                             .data = data,
                             .seen = seen,
                             .deadline = timeout < 0 ? MNI_NEVER : mni_clock_after(now, timeout),
                             .removal = removal};
    DL_APPEND(data->waiters, waiter);
    if (waiter->deadline != MNI_NEVER) {
        DL_APPEND2(scheduler->timed, waiter, timed_prev, timed_next);
        if (waiter->deadline < scheduler->next_deadline)
            scheduler->next_deadline = waiter->deadline;
    }
}

void mni_waiters_answer(mni_scheduler_t *scheduler, mni_data_t *data)
{
    mni_waiter_t *waiter, *next;
    bool ended = mn_status_terminal(data->job->status);
    DL_FOREACH_SAFE (data->waiters, waiter, next) {
        if (waiter->removal || (!ended && data->version <= waiter->seen))
            continue;
        mni_answer_info(scheduler, &waiter->who, data);
        waiter_free(scheduler, waiter);
    }
}

void mni_waiters_forget(mni_scheduler_t *scheduler, mni_data_t *data)
{
    mni_waiter_t *waiter, *next;
    DL_FOREACH_SAFE (data->waiters, waiter, next) {
        if (waiter->removal)
            mni_answer(scheduler, &waiter->who, 0);
        else
            mni_answer(scheduler, &waiter->who, mni_error(MN_E_NO_JOB, "the job was removed"));
        waiter_free(scheduler, waiter);
    }
}

void mni_waiters_refuse(mni_scheduler_t *scheduler, mni_data_t *data, uint64_t task, int code,
                        const char *error)
{
    mni_waiter_t *waiter, *next;
    DL_FOREACH_SAFE (data->waiters, waiter, next) {
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
        if (waiter->deadline <= now) {
            mni_answer(scheduler, &waiter->who,
                       mni_error(MN_E_TIMEOUT, "the job is still %s",
                                 mn_status_name(waiter->data->job->status)));
            waiter_free(scheduler, waiter);
        } else if (waiter->deadline < scheduler->next_deadline) {
            scheduler->next_deadline = waiter->deadline;
        }
    }
}
