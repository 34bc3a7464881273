/* SPDX-License-Identifier: MIT
 *
 * What mn_main() and mn_open() share.
 */
#ifndef MNI_CLIENT_MAIN_H
#define MNI_CLIENT_MAIN_H

#include "scheduler/rank.h"

/* Reads the MULTINODE_* environment variables into options, and fills in what runs in executors. MN_E_INVALID names
 * the variable. */
int mni_settings_read(mni_rank_options_t *options);

#endif
