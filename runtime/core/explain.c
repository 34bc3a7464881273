/* SPDX-License-Identifier: MIT
 *
 * Sentences for people: what is asked, and why a job is still pending.
 */
#include "core/internal.h"

#include "util/size.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* How many jobs are counted before it says "more than". */
#define AHEAD_MOST 1000u

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

char *mni_goods_format(uint32_t gpus, uint64_t memory, char *text, size_t room)
{
    char size[32] = "", count[24] = "";

    if (gpus == MNI_NO_GPU)
        snprintf(count, sizeof count, "no GPU");
    else if (gpus > 0)
        snprintf(count, sizeof count, "%" PRIu32 " GPU%s", gpus, plural(gpus));
    if (memory > 0)
        mni_size_format(memory, size, sizeof size);
    snprintf(text, room, "%s%s%s", count, count[0] && size[0] ? " and " : "", size);
    return text;
}

char *mni_need_format(uint32_t millicores, uint32_t gpus, uint64_t memory, char *text, size_t room)
{
    char goods[64], cores[32] = "no core";

    if (millicores > 0)
        snprintf(cores, sizeof cores, "%g core%s", millicores / 1000.0,
                 plural(millicores == MNI_WHOLE ? 1 : 2));
    mni_goods_format(gpus, memory, goods, sizeof goods);
    const char *between = !goods[0] ? "" : gpus > 0 && memory > 0 ? ", " : " and ";
    snprintf(text, room, "%s%s%s", cores, between, goods);
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

/* What is free on a node of all that a shape asks for. */
static char *room_format(const mni_node_t *node, const mni_shape_t *shape, char *text, size_t room)
{
    char goods[64] = "", size[32];
    uint32_t gpus = mni_gpus_free(node);

    if (shape->memory > 0)
        snprintf(goods, sizeof goods, " and %s",
                 mni_size_format(mni_node_memory_free(node), size, sizeof size));
    snprintf(text, room, "%" PRIu32 " core%s", node->free_cores, plural(node->free_cores));
    size_t length = strlen(text);
    if (shape->gpus > 0)
        snprintf(text + length, room - length, "%s%" PRIu32 " GPU%s",
                 shape->memory > 0 ? ", " : " and ", gpus, plural(gpus));
    length = strlen(text);
    snprintf(text + length, room - length, "%s", goods);
    return text;
}

void mni_core_explain(const mni_core_t *core, const mni_job_t *job, char *text, size_t room)
{
    const mni_record_t *record = mni_record(job);
    const mni_shape_t *shape = record->shape;
    const mni_node_t *node;
    char asked[80], has[80], ahead[48];

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
    mni_need_format(shape->millicores, shape->gpus, shape->memory, asked, sizeof asked);
    node = mni_node_emptiest(core, shape);
    if (!node) {
        snprintf(text, room, "needs %s; no node that is left has that much", asked);
        return;
    }
    snprintf(text, room, "needs %s; node %s has %s free; %s%s", asked, node->host,
             room_format(node, shape, has, sizeof has), ahead,
             node == core->reserved && shape != core->reserving
                 ? "; the node is kept for a larger request"
                 : "");
}
