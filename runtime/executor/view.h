/* SPDX-License-Identifier: MIT
 *
 * The memory of a map's caller as an executor of the same host sees it: the arguments for reading, the results for
 * writing. Found under /proc by the caller's worker and descriptor, mapped once and kept for the next block of the
 * same map, or of a map that lies at the same place. Executor; its main thread.
 */
#ifndef MNI_EXECUTOR_VIEW_H
#define MNI_EXECUTOR_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A range of the arena of another channel. */
typedef struct mni_view_range {
    int32_t pid, memfd;
    uint64_t inode;
    uint64_t offset, bytes; /* in the arena */
    bool writable;
} mni_view_range_t;

/* Maps the range, or finds it mapped; *at is its first byte, valid until the next call but one for another range.
 * MN_E_LOST when the owner is gone, MN_E_PROTOCOL for what is no arena or outside of it, MN_E_SYSTEM,
 * MN_E_NO_MEMORY. */
int mni_view_open(const mni_view_range_t *range, uint8_t **at);

/* Makes the pages of a part of a range that mni_view_open() has returned present here, which costs much less than a
 * fault for each. */
void mni_view_touch(const mni_view_range_t *range, uint64_t offset, uint64_t bytes);

/* Unmaps all. */
void mni_view_close_all(void);

#endif
