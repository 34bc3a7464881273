/* SPDX-License-Identifier: MIT
 *
 * Names of statuses and reasons. Pure; any thread.
 */
#include <multinode.h>

const char *mn_status_name(mn_status_t status)
{
    switch (status) {
#define STATUS_CASE(name, number) \
    case MN_##name:               \
        return #name;
        MN_STATUSES(STATUS_CASE)
#undef STATUS_CASE
    }
    return "UNKNOWN";
}

const char *mn_reason_name(mn_reason_t reason)
{
    switch (reason) {
#define REASON_CASE(name, number, text) \
    case MN_REASON_##name:              \
        return text;
        MN_REASONS(REASON_CASE)
#undef REASON_CASE
    }
    return "unknown";
}

bool mn_status_terminal(mn_status_t status)
{
    return status == MN_SUCCEEDED || status == MN_FAILED || status == MN_CANCELLED;
}
