/* SPDX-License-Identifier: MIT
 *
 * The verbs of the command.
 */
#include "command/command.h"
#include "command/verbs.h"

const mni_verb_t mni_verbs[] = {
    {"run", "start a program on its ranks", &mni_run_usage, mni_command_run},
/* clang-format off */
#define VERB(name, summary) {#name, summary, NULL, NULL},
    MNI_LIVE_VERBS(VERB)
    MNI_STORE_VERBS(VERB)
#undef VERB
    /* clang-format on */
    {"version", "print the version", &mni_version_usage, mni_command_version},
    {"help", "explain a verb", &mni_help_usage, mni_command_help},
    {NULL, NULL, NULL, NULL},
};
