/* SPDX-License-Identifier: MIT
 *
 * See write.h.
 */
#include "util/write.h"

#include <errno.h>
#include <unistd.h>

int mni_write_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            at += written;
            size -= (size_t)written;
        }
    }
    return 0;
}
