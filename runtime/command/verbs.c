/* SPDX-License-Identifier: MIT
 *
 * The verbs of the command.
 */
#include "command/command.h"
#include "command/verbs.h"

const mni_verb_t mni_verbs[] = {
    {"run", "start a program on its ranks", &mni_run_usage, mni_command_run},
    {"serve", "start a runtime without a program", &mni_serve_usage, mni_command_serve},
    {"submit", "put a program into the queue of Slurm", &mni_submit_usage, mni_command_submit},
/* clang-format off */
#define VERB(name, summary) {#name, summary, NULL, NULL},
    MNI_LIVE_VERBS(VERB)
    MNI_STORE_VERBS(VERB)
#undef VERB
    /* clang-format on */
    {"yield", "publish a result, from within a program of exec", &mni_yield_usage,
     mni_command_yield},
    {"progress", "tell how far a program of exec is, from within it", &mni_progress_usage,
     mni_command_progress},
    {"cancelled", "ask whether a program of exec is to stop, from within it", &mni_cancelled_usage,
     mni_command_cancelled},
    {"version", "print the version", &mni_version_usage, mni_command_version},
    {"help", "explain a verb", &mni_help_usage, mni_command_help},
    {NULL, NULL, NULL, NULL},
};
