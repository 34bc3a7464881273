/* SPDX-License-Identifier: MIT
 *
 * The ring of actions that the core leaves for the layer above, and the time it was last told.
 */
#include "core/internal.h"

#include <stdlib.h>
#include <string.h>

/* What was taken as the last action is in use until the next one is asked for. */
static void free_taken(mni_core_t *core)
{
    while (core->doomed) {
        mni_record_t *record = core->doomed;
        core->doomed = record->next;
        mni_job_free(core, record);
    }
    if (core->refusal) {
        free(core->refusal);
        core->refusal = NULL;
    }
}

void mni_core_enter(mni_core_t *core, uint64_t now)
{
    if (now > core->now)
        core->now = now;
}

static bool grow(mni_core_t *core)
{
    size_t room = core->action_room ? core->action_room * 2 : 64;
    mni_action_t *actions = malloc(room * sizeof *actions);

    if (!actions)
        return false;
    for (size_t i = 0; i < core->action_count; i++)
        actions[i] = core->actions[(core->action_first + i) & (core->action_room - 1)];
    free(core->actions);
    core->actions = actions;
    core->action_first = 0;
    core->action_room = room;
    return true;
}

static mni_action_t *add(mni_core_t *core, mni_action_kind_t kind)
{
    static mni_action_t lost;
    mni_action_t *action = &lost;

    if (core->action_count == 0)
        core->action_first = 0; /* the same few stay in the cache */
    /* What cannot be told leaves core and world in disagreement: from then on every start is
     * refused. */
    if (core->action_count == core->action_room && !grow(core))
        core->lost_action = true;
    else
        action =
            &core->actions[(core->action_first + core->action_count++) & (core->action_room - 1)];
    memset(action, 0, offsetof(mni_action_t, cpus));
    action->kind = kind;
    return action;
}

void mni_action_job(mni_core_t *core, mni_action_kind_t kind, mni_record_t *record)
{
    mni_action_t *action = add(core, kind);

    action->job = &record->job;
    action->task = record->job.task;
    action->reason = record->job.reason;
}

static mni_action_t *add_task(mni_core_t *core, mni_action_kind_t kind, const mni_grant_t *grant)
{
    mni_action_t *action = add(core, kind);

    action->task = grant->id;
    action->rank = grant->rank;
    action->node = grant->node->index;
    action->job = grant->own ? &grant->record->job : NULL;
    return action;
}

void mni_action_begin(mni_core_t *core, const mni_grant_t *grant, const mni_grant_t *holder)
{
    mni_action_t *action = add_task(core, grant->own ? MNI_RUN : MNI_GRANT, grant);

    action->demand = grant->demand ? grant->demand->id : 0;
    action->gpus = holder->gpus;
    action->cpus = (mni_cpus_t){{0}};
    for (uint32_t i = 0; i < holder->pieces; i++)
        mni_cpus_add(&action->cpus, holder->piece[i].core);
    action->behind = grant->follows ? grant->line_prev->id : 0;
}

void mni_action_stop(mni_core_t *core, const mni_grant_t *grant, int code)
{
    add_task(core, MNI_STOP, grant)->code = code;
}

void mni_action_kill(mni_core_t *core, const mni_grant_t *grant, mn_reason_t reason)
{
    add_task(core, MNI_KILL, grant)->reason = reason;
}

void mni_action_refuse(mni_core_t *core, uint64_t demand, const mni_grant_t *caller,
                       mni_record_t *awaited, int code, const char *text)
{
    mni_action_t *action = add(core, MNI_REFUSE);

    action->demand = demand;
    action->task = caller ? caller->id : 0;
    action->job = awaited ? &awaited->job : NULL;
    action->code = code;
    action->error = strdup(text);
    if (!action->error)
        action->error = strdup("");
}

bool mni_core_next_action(mni_core_t *core, mni_action_t *action)
{
    free_taken(core);
    if (core->action_count == 0)
        return false;
    const mni_action_t *oldest = &core->actions[core->action_first];
    memcpy(action, oldest, offsetof(mni_action_t, cpus));
    if (oldest->kind == MNI_RUN || oldest->kind == MNI_GRANT)
        action->cpus = oldest->cpus;
    core->action_first = (core->action_first + 1) & (core->action_room - 1);
    core->action_count--;
    if (action->kind == MNI_FORGET) {
        mni_record_t *record = mni_record(action->job);
        record->next = core->doomed;
        core->doomed = record;
    }
    if (action->kind == MNI_REFUSE) {
        core->refusal = (char *)(uintptr_t)action->error;
        if (!action->error)
            action->error = mn_strerror(action->code);
    }
    return true;
}
