/* SPDX-License-Identifier: MIT
 *
 * Amounts of memory as people write them. Pure; any thread.
 */
#ifndef MNI_UTIL_SIZE_H
#define MNI_UTIL_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* Reads a number of bytes: digits with an optional fraction, optional spaces, and an optional unit, one of B,
 * kB KB MB GB TB PB (powers of 1000), KiB MiB GiB TiB PiB and K M G T P (powers of 1024); case does not matter.
 * Greater than 0 and below 2^63 bytes. MN_E_INVALID names the text and the accepted forms. */
int mni_size_parse(const char *text, uint64_t *bytes);

/* Writes bytes for people: "512 B", "64 KiB", "1.31 GiB". At least 16 characters of room. Returns text. */
char *mni_size_format(uint64_t bytes, char *text, size_t room);

#endif
