/* SPDX-License-Identifier: MIT
 *
 * The one table that says which event is legal in which status of a job, and what follows. Pure;
 * any thread.
 */
#include "core/core.h"
#include "util/error.h"

#define STATUSES (MN_CANCELLED + 1)
#define EVENTS (MNI_JOB_STOPPED + 1)

/* An entry is the next status plus 1, so that what is not named here is illegal. */
#define TO(status) ((unsigned char)(MN_##status + 1))

static const unsigned char table[STATUSES][EVENTS] = {
    [MN_PENDING] =
        {
            [MNI_JOB_BEGIN] = TO(RUNNING),
            [MNI_JOB_CANCEL] = TO(CANCELLED),
        },
    [MN_RUNNING] =
        {
            [MNI_JOB_RETURN] = TO(SUCCEEDED),
            [MNI_JOB_FAIL] = TO(FAILED),
            [MNI_JOB_RETRY] = TO(PENDING),
            [MNI_JOB_CANCEL] = TO(CANCELLING),
        },
    [MN_CANCELLING] =
        {
            [MNI_JOB_CANCEL] = TO(CANCELLING), /* again, with another grace */
            [MNI_JOB_STOPPED] = TO(CANCELLED),
        },
};

static const char *const event_names[] = {
#define EVENT_NAME(name) [MNI_JOB_##name] = #name,
    MNI_JOB_EVENTS(EVENT_NAME)
#undef EVENT_NAME
};

int mni_job_transition(mn_status_t status, mni_job_event_t event, mn_status_t *next)
{
    if ((unsigned)status >= STATUSES || (unsigned)event >= EVENTS || !table[status][event])
        return mni_error(MN_E_INTERNAL, "event %s is illegal for a job that is %s",
                         (unsigned)event < EVENTS ? event_names[event] : "UNKNOWN",
                         mn_status_name(status));
    *next = (mn_status_t)(table[status][event] - 1);
    return 0;
}
