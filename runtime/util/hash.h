/* SPDX-License-Identifier: MIT
 *
 * uthash, with additions that fail where there is no memory for the table; by default it ends the process then. An element that could not
 * be added is in no table: MNI_HASH_FAILED(element).
 */
#ifndef MNI_UTIL_HASH_H
#define MNI_UTIL_HASH_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define MNI_HASH_FAILED(element) ((element)->hh.tbl == NULL)

#endif
