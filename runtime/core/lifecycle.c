/* SPDX-License-Identifier: MIT
 *
 * The one table that says which event is legal in which status of a job, and what follows.
 */
#include "core/core.h"
#include "util/error.h"

#define ILLEGAL (-1)

static const char *const event_names[] = {
#define EVENT_NAME(name) [MNI_JOB_##name] = #name,
    MNI_JOB_EVENTS(EVENT_NAME)
#undef EVENT_NAME
};

#define EVENT_COUNT ((unsigned)(sizeof event_names / sizeof event_names[0]))

static const signed char next_status[][6] = {
    /* from:         PENDING        RUNNING        SUCCEEDED  FAILED   CANCELLING     CANCELLED */
    [MNI_JOB_BEGIN] = {MN_RUNNING, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL},
    [MNI_JOB_RETURN] = {ILLEGAL, MN_SUCCEEDED, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL},
    [MNI_JOB_FAIL] = {ILLEGAL, MN_FAILED, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL},
    [MNI_JOB_RETRY] = {ILLEGAL, MN_PENDING, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL},
    [MNI_JOB_CANCEL] = {MN_CANCELLED, MN_CANCELLING, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL},
    [MNI_JOB_STOPPED] = {ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, MN_CANCELLED, ILLEGAL},
};

int mni_job_transition(mn_status_t status, mni_job_event_t event, mn_status_t *next)
{
    if ((unsigned)status > MN_CANCELLED || (unsigned)event >= EVENT_COUNT || next_status[event][status] == ILLEGAL)
        return mni_error(MN_E_INTERNAL, "the event %s is illegal in the status %s",
                         (unsigned)event < EVENT_COUNT ? event_names[event] : "?", mn_status_name(status));
    *next = (mn_status_t)next_status[event][status];
    return 0;
}
