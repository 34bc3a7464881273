/* SPDX-License-Identifier: MIT
 *
 * The queue of actions that the core leaves for the layer above.
 */
#include "core/internal.h"

#include <stdlib.h>
#include <string.h>

mni_action_t *mni_core_act(mni_core_t *core, mni_action_kind_t kind)
{
    /* An action that cannot be queued would leave core and world in disagreement: there is no going on. */
    mni_queued_action_t *queued = calloc(1, sizeof *queued);
    if (!queued)
        abort();
    queued->action.kind = kind;
    *core->actions_end = queued;
    core->actions_end = &queued->next;
    return &queued->action;
}

void mni_core_act_error(mni_core_t *core, const char *error)
{
    mni_queued_action_t *last = (mni_queued_action_t *)(void *)((char *)core->actions_end -
                                                                offsetof(mni_queued_action_t, next));
    last->error = strdup(error);
    last->action.error = last->error;
}

static void drop_current(mni_core_t *core)
{
    if (core->current) {
        free(core->current->error);
        free(core->current);
    }
    core->current = NULL;
}

bool mni_core_next_action(mni_core_t *core, mni_action_t *action)
{
    drop_current(core);
    mni_core_bury(core);
    mni_queued_action_t *first = core->actions;
    if (!first)
        return false;
    core->actions = first->next;
    if (!core->actions)
        core->actions_end = &core->actions;
    *action = first->action;
    core->current = first;
    if (action->kind == MNI_FORGET)
        core->forgotten = (mni_job_record_t *)action->job;
    return true;
}
