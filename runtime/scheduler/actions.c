/* SPDX-License-Identifier: MIT
 *
 * What the core decides becomes messages, answers and changes of the jobs' data.
 */
#include "scheduler/internal.h"

static uint32_t threads_of(uint32_t millicores)
{
    return millicores >= 1000 ? millicores / 1000 : 1;
}

static mni_live_t *live_add(mni_scheduler_t *scheduler, uint64_t task, uint32_t rank, mn_id_t id,
                            mni_job_t *job)
{
    mni_live_t *live = calloc(1, sizeof *live);
    if (!live)
        return NULL;
    *live = (mni_live_t){.task = task, .rank = rank, .id = id, .job = job};
    HASH_ADD(hh, scheduler->live, task, sizeof live->task, live);
    if (MNI_HASH_FAILED(live)) {
        free(live);
        return NULL;
    }
    return live;
}

#define NO_MEMORY "rank 0 has no memory to begin it"

/* A task that cannot be carried out ends at once. */
static void task_impossible(mni_scheduler_t *scheduler, uint64_t now, uint64_t task,
                            const char *error)
{
    mni_outcome_t outcome = {.reason = MN_REASON_ERROR, .error = error};
    mni_core_task_ended(scheduler->core, now, task, &outcome);
}

/* NULL when there is no memory for it. */
static const char *cpus_text(mni_scheduler_t *scheduler, const mni_cpus_t *cpus)
{
    char text[256];
    mni_cpus_text_t *known = NULL;

    HASH_FIND(hh, scheduler->cpus_texts, cpus, sizeof *cpus, known);
    if (known)
        return known->text;
    known = malloc(sizeof *known);
    char *copy = known ? strdup(mni_cpus_format(cpus, text, sizeof text)) : NULL;
    if (!copy) {
        free(known);
        return NULL;
    }
    *known = (mni_cpus_text_t){.cpus = *cpus, .text = copy};
    HASH_ADD(hh, scheduler->cpus_texts, cpus, sizeof known->cpus, known);
    if (MNI_HASH_FAILED(known)) {
        free(known);
        free(copy);
        return NULL;
    }
    return copy;
}

/* The time, but not before `earlier`: the calendar's clock may be put back. */
static double later_of(double earlier)
{
    double now = mni_clock_calendar();
    return now > earlier ? now : earlier;
}

/* Puts the message that begins an attempt into scheduler->frame; input and last yield may have to be read from their files. */
static int put_run(mni_scheduler_t *scheduler, const mni_action_t *action)
{
    const mni_job_t *job = action->job;
    const mni_data_t *data = job->user;
    void *input = NULL, *last = NULL;
    mni_msg_run_t run = {.kind = MN_KIND_JOB,
                         .declaration = job->declaration,
                         .task = action->task,
                         .id = job->id,
                         .attempt = job->attempts,
                         .cpus = action->cpus,
                         .gpus = action->gpus,
                         .memory = job->need.memory,
                         .threads = threads_of(job->need.millicores),
                         .has_last = data->history->yields > 0,
                         .input = mni_data_input(data),
                         .last = data->history->result};
    int rc = mni_value_view(mni_data_large(data), &run.input, &input);

    if (rc == 0)
        rc = mni_value_view(data->history->large, &run.last, &last);
    mni_writer_begin(&scheduler->frame, MNI_MSG_TASK_RUN, 0);
    if (rc == 0)
        mni_put_run(&scheduler->frame, &run);
    free(input);
    free(last);
    return rc;
}

static void act_run(mni_scheduler_t *scheduler, uint64_t now, const mni_action_t *action)
{
    mni_job_t *job = action->job;
    mni_data_t *data = job->user;
    mni_history_t *history = mni_data_history(data);
    if (!history || !live_add(scheduler, action->task, action->rank, job->id, job)) {
        task_impossible(scheduler, now, action->task, NO_MEMORY);
        return;
    }
    history->rank = (int32_t)action->rank;
    history->host = scheduler->hosts[scheduler->node_of[action->rank]];
    history->started = later_of(data->created);
    history->cpus = cpus_text(scheduler, &action->cpus);
    if (history->attempt_count < job->attempts)
        history->attempt_count = job->attempts;
    bool at_most_once = job->need.max_lost == 0; /* that it has begun must be known for ever */
    mni_keep_begun(scheduler, job, at_most_once);
    if (put_run(scheduler, action) < 0) {
        mni_live_drop(scheduler, action->task);
        task_impossible(scheduler, now, action->task, mn_error_message());
    } else if (at_most_once) {
        mni_keep_send(scheduler, action->rank, NULL);
    } else {
        mni_scheduler_send(scheduler, action->rank);
    }
}

static void act_grant(mni_scheduler_t *scheduler, uint64_t now, const mni_action_t *action)
{
    mni_demand_t *demand = NULL;
    HASH_FIND(hh, scheduler->demands, &action->demand, sizeof action->demand, demand);
    if (!demand || !live_add(scheduler, action->task, action->rank, demand->id, NULL)) {
        task_impossible(scheduler, now, action->task, NO_MEMORY);
        return;
    }
    const mni_declaration_t *declared = mni_declaration_get(demand->declaration);
    mni_msg_slot_t slot = {.task = action->task,
                           .rank = action->rank,
                           .cpus = action->cpus,
                           .gpus = action->gpus,
                           .threads = threads_of(declared->need.millicores),
                           .id = demand->id,
                           .grace = declared->need.grace,
                           .timeout = declared->timeout};
    mni_writer_begin(&scheduler->frame, MNI_MSG_SLOT_GRANT, 0);
    mni_put_u64(&scheduler->frame, action->demand);
    mni_put_slot(&scheduler->frame, &slot);
    mni_scheduler_send(scheduler, demand->rank);
}

static void act_refuse(mni_scheduler_t *scheduler, const mni_action_t *action)
{
    mni_demand_t *demand = NULL;
    if (action->demand == 0) {
        mni_waiters_refuse(scheduler, action->job, action->task, action->code, action->error);
        return;
    }
    HASH_FIND(hh, scheduler->demands, &action->demand, sizeof action->demand, demand);
    if (!demand)
        return;
    mni_writer_begin(&scheduler->frame, MNI_MSG_SLOTS_REFUSE, 0);
    mni_put_u64(&scheduler->frame, action->demand);
    mni_put_i32(&scheduler->frame, action->code);
    mni_put_text(&scheduler->frame, action->error);
    mni_scheduler_send(scheduler, demand->rank);
    HASH_DELETE(hh, scheduler->demands, demand);
    free(demand);
}

static void act_changed(mni_scheduler_t *scheduler, mni_job_t *job)
{
    mni_data_t *data = job->user;
    /* Without memory for it one that never began has no time of its end. */
    mni_history_t *history = mn_status_terminal(job->status) ? mni_data_history(data) : NULL;
    if (history && history->ended == 0)
        history->ended = later_of(history->started > 0 ? history->started : data->created);
    if (job->status != MN_RUNNING) /* act_run() knows more */
        mni_keep_changed(scheduler, job);
    mni_job_changed(scheduler, job);
}

bool mni_scheduler_act(mni_scheduler_t *scheduler, uint64_t now)
{
    mni_action_t action;
    bool acted = false;

    while (mni_core_next_action(scheduler->core, &action)) {
        acted = true;
        switch (action.kind) {
        case MNI_RUN:
            act_run(scheduler, now, &action);
            break;
        case MNI_GRANT:
            act_grant(scheduler, now, &action);
            break;
        case MNI_REFUSE:
            act_refuse(scheduler, &action);
            break;
        case MNI_STOP:
            mni_writer_begin(&scheduler->frame, MNI_MSG_TASK_STOP, 0);
            mni_put_u64(&scheduler->frame, action.task);
            mni_put_i32(&scheduler->frame, action.code);
            mni_scheduler_send(scheduler, action.rank);
            break;
        case MNI_KILL:
            mni_writer_begin(&scheduler->frame, MNI_MSG_TASK_KILL, 0);
            mni_put_u64(&scheduler->frame, action.task);
            mni_put_u8(&scheduler->frame, (uint8_t)action.reason);
            mni_scheduler_send(scheduler, action.rank);
            break;
        case MNI_CHANGED:
            act_changed(scheduler, action.job);
            break;
        case MNI_FORGET: /* the job itself goes with the next call into the core */
            mni_keep_removed(scheduler, action.job);
            mni_waiters_forget(scheduler, action.job);
            mni_data_destroy(action.job->user);
            break;
        }
    }
    return acted;
}
