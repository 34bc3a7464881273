/* SPDX-License-Identifier: MIT
 *
 * The verbs of multinode-store, which `multinode` hands on to.
 */
#include "command/command.h"
#include "command/live.h"
#include "command/stored.h"
#include "command/verbs.h"

const mni_verb_t mni_verbs[] = {
/* clang-format off */
#define VERB(name, summary) {#name, summary, &mni_##name##_usage, mni_command_##name},
    MNI_LIVE_VERBS(VERB)
    MNI_STORE_VERBS(VERB)
#undef VERB
    /* clang-format on */
    {"version", "print the version", &mni_version_usage, mni_command_version},
    {"help", "explain a verb", &mni_help_usage, mni_command_help},
    {NULL, NULL, NULL, NULL},
};
