/* SPDX-License-Identifier: MIT
 *
 * From the pipes of an executor to its log areas, see mni_log_area_t. Spawner only.
 *
 * The area is shared with user code: `total` may be anything at any time; the places computed from
 * it are in bounds whatever it is.
 */
#include "executor/spawner_private.h"

#include <string.h>
#include <unistd.h>

#define READ_PIECE ((size_t)65536)

static void store(mni_log_area_t *log, const char *bytes, size_t size)
{
    uint64_t at = __atomic_load_n(&log->total, __ATOMIC_RELAXED);

    for (size_t done = 0; done < size;) {
        size_t within = (size_t)(at < MNI_LOG_PART ? at : (at - MNI_LOG_PART) % MNI_LOG_PART);
        char *place = (at < MNI_LOG_PART ? log->head : log->tail) + within;
        size_t room = MNI_LOG_PART - within, piece = size - done < room ? size - done : room;
        piece = piece < MNI_LOG_STEP ? piece : MNI_LOG_STEP;
        memcpy(place, bytes + done, piece);
        done += piece;
        at += piece;
        /* The worker may be reading: what it reads is sound but for the bytes that this step is writing over. */
        __atomic_store_n(&log->total, at, __ATOMIC_SEQ_CST);
    }
}

ssize_t mni_log_take(mni_log_area_t *log, int fd)
{
    static char bytes[READ_PIECE];

    /* Before the read, so that whoever sees the pipe empty sees this, until the bytes are
     * stored. */
    __atomic_store_n(&log->storing, 1, __ATOMIC_SEQ_CST);
    ssize_t got = read(fd, bytes, sizeof bytes);
    if (got > 0)
        store(log, bytes, (size_t)got);
    __atomic_store_n(&log->storing, 0, __ATOMIC_SEQ_CST);
    return got;
}
