/* SPDX-License-Identifier: MIT
 *
 * Memory for a lot that is looked at here and there: in huge pages where the system has them, since much of what it costs
 * to look at something old is to find its page. Not from malloc, which aligns to no such page. Any thread.
 */
#ifndef MNI_UTIL_PAGES_H
#define MNI_UTIL_PAGES_H

#include <stddef.h>

#define MNI_PAGE ((size_t)2 << 20) /* a huge one */

/* Zeroed, aligned to a huge page; `size` in whole ones. The first `small` bytes are in pages of the usual size, so
 * that little that is there takes little. NULL: no memory. */
void *mni_pages_map(size_t size, size_t small);
void mni_pages_unmap(void *pages, size_t size); /* nothing happens for NULL */

#endif
