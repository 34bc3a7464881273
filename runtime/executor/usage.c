/* SPDX-License-Identifier: MIT
 *
 * Processor time of tasks. Executors' main thread.
 *
 * Asking the kernel takes about as long as a short task: what runs for less than a millisecond is taken
 * to have used the time that it took, and only one in so many asks where the next count begins.
 */
#include "executor/process.h"

#include "util/clock.h"

#include <stdbool.h>
#include <sys/resource.h>

#define SHORT_MOST \
    16 /* short tasks between two looks: what the runtime used around them is a longer one's then */

static struct {
    uint64_t counted; /* processor time that is some task's, or nobody's */
    uint64_t begun;
    unsigned shorts; /* since then */
    bool running;
} usage;

static uint64_t total(void)
{
    static const int whose[2] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    uint64_t sum = 0;

    for (int i = 0; i < 2; i++) {
        struct rusage used;
        if (getrusage(whose[i], &used) < 0)
            continue;
        sum += (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * MNI_SECOND +
               (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000;
    }
    return sum;
}

void mni_usage_open(void)
{
    usage.counted = total();
    usage.shorts = 0;
}

void mni_usage_begin(void)
{
    if (usage.shorts >= SHORT_MOST)
        mni_usage_open();
    usage.running = true;
    usage.begun = mni_clock_now();
}

uint64_t mni_usage_end(void)
{
    if (!usage.running)
        return 0;
    usage.running = false;
    uint64_t wall = mni_clock_now() - usage.begun;
    if (wall < MNI_MILLISECOND) {
        usage.shorts++;
        return wall;
    }
    uint64_t before = usage.counted;
    mni_usage_open();
    return usage.counted > before ? usage.counted - before : 0;
}
