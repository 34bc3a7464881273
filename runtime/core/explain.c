/* SPDX-License-Identifier: MIT
 *
 * Sentences for people: what is asked, and why a job is still pending.
 */
#include "core/internal.h"

#include "util/size.h"

#include <inttypes.h>
#include <stdio.h>

/* How many jobs are counted before it says "more than". */
#define AHEAD_MOST 1000u

char *mni_need_format(uint32_t millicores, uint64_t memory, char *text, size_t room)
{
    char size[32];
    int used;

    if (millicores == 0)
        used = snprintf(text, room, "no core");
    else
        used = snprintf(text, room, "%g core%s", millicores / 1000.0,
                        millicores == MNI_WHOLE ? "" : "s");
    if (memory > 0 && used > 0 && (size_t)used < room)
        snprintf(text + used, room - (size_t)used, " and %s",
                 mni_size_format(memory, size, sizeof size));
    return text;
}

/* Pending jobs that go before this one; stops at AHEAD_MOST. */
static uint32_t count_ahead(const mni_core_t *core, const mni_record_t *record)
{
    uint32_t ahead = 0;

    for (const mni_shape_t *shape = core->blocked; shape && ahead < AHEAD_MOST;
         shape = shape->next) {
        if (shape->kind != MNI_SHAPE_JOB || shape->priority < record->shape->priority)
            continue;
        for (const mni_record_t *other = shape->head; other && ahead < AHEAD_MOST;
             other = other->next) {
            if (shape->priority == record->shape->priority && other->age >= record->age)
                break;
            ahead++;
        }
    }
    return ahead;
}

void mni_core_explain(const mni_core_t *core, const mni_job_t *job, char *text, size_t room)
{
    const mni_record_t *record = mni_record(job);
    const mni_shape_t *shape = record->shape;
    const mni_node_t *node;
    char asked[64], memory[32], ahead[48];

    if (job->status != MN_PENDING) {
        snprintf(text, room, "it is %s", mn_status_name(job->status));
        return;
    }
    if (core->draining) {
        snprintf(text, room, "the runtime is stopping; it stays for the next one");
        return;
    }
    if (mni_job_is_late(core, record)) {
        snprintf(
            text, room,
            "its timeout of %g s would not be over before this run asks all to stop; it stays for the "
            "next one",
            job->need.timeout);
        return;
    }
    if (record->held) {
        snprintf(text, room,
                 "it was put back to make room for others, and waits until one of them has ended");
        return;
    }
    if (!shape) {
        snprintf(text, room, "this program declares no job %s; it waits for one that does",
                 mni_core_declared(core, job->declaration));
        return;
    }
    uint32_t count = count_ahead(core, record);
    snprintf(ahead, sizeof ahead, "%s%" PRIu32 " task%s ahead of it",
             count >= AHEAD_MOST ? "more than " : "", count, count == 1 ? "" : "s");
    if (mni_shape_crowded(core, shape)) {
        snprintf(text, room, "%s may run %" PRIu32 " at a time, and as many run; %s",
                 mni_core_declared(core, job->declaration), shape->max_concurrency, ahead);
        return;
    }
    mni_need_format(shape->millicores, shape->memory, asked, sizeof asked);
    node = mni_node_emptiest(core, shape);
    if (!node) {
        snprintf(text, room, "needs %s; no node that is left has that much", asked);
        return;
    }
    snprintf(
        text, room, "needs %s; node %s has %" PRIu32 " core%s%s%s free; %s%s", asked, node->host,
        node->free_cores, node->free_cores == 1 ? "" : "s", shape->memory > 0 ? " and " : "",
        shape->memory > 0 ? mni_size_format(mni_node_memory_free(node), memory, sizeof memory) : "",
        ahead,
        node == core->reserved && shape != core->reserving
            ? "; the node is kept for a larger request"
            : "");
}
