/* SPDX-License-Identifier: MIT
 *
 * Errors inside the library: a negative MN_E_* code is returned, a sentence about it is kept per thread.
 * Used by every layer; any thread. Nothing here prints.
 */
#ifndef MNI_UTIL_ERROR_H
#define MNI_UTIL_ERROR_H

#include <multinode.h>

/* Longest sentence kept, with its NUL. */
#define MNI_ERROR_MAX 1024

/* Keeps the sentence and returns `code`: return mni_error(MN_E_INVALID, "port %u is taken", port);
 * errno is left as it was. */
int mni_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As mni_error(MN_E_SYSTEM, ...), with ": " and the text of errno added. */
int mni_error_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Puts "prefix: " before the sentence that is kept and returns `code`. */
int mni_error_prefix(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forgets the thread's sentence; next to nothing when there is none. */
void mni_error_clear(void);

#endif
