/* SPDX-License-Identifier: MIT
 *
 * Writing all of it.
 */
#ifndef MNI_UTIL_WRITE_H
#define MNI_UTIL_WRITE_H

#include <stddef.h>

/* As write(), but goes on until all is written; for descriptors that block. 0; -1: errno says why, and a part may be written. */
int mni_write_all(int fd, const void *data, size_t size);

#endif
