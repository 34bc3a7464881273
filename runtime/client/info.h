/* SPDX-License-Identifier: MIT
 *
 * mn_info_t that own what they point to. Pure; any thread.
 */
#ifndef MNI_CLIENT_INFO_H
#define MNI_CLIENT_INFO_H

#include <multinode.h>

/* Copies an info with all that it points to into one allocation, for mn_info_destroy(). 0 or
 * MN_E_NO_MEMORY. */
int mni_info_copy(const mn_info_t *view, mn_info_t **info);

#endif
