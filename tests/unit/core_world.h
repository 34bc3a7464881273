/* SPDX-License-Identifier: MIT
 *
 * A small world around the core for unit tests: nodes, declarations, and what the core last asked
 * for. Included by one test program each; every function is static.
 */
#ifndef MNI_TESTS_CORE_WORLD_H
#define MNI_TESTS_CORE_WORLD_H

#include "core/core.h"
#include "util/clock.h"
#include "util/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GIB (UINT64_C(1) << 30)
#define WORLD_ACTIONS 4096

typedef struct world {
    mni_core_t *core;
    uint64_t now;
    uint64_t ids;
    uint32_t ranks;
    mni_action_t actions[WORLD_ACTIONS]; /* all since the last world_take() */
    char *errors[WORLD_ACTIONS];
    size_t count;
    void (*visit)(
        const mni_action_t *action); /* sees each action while it is the latest; may be NULL */
} world_t;

static const char *const world_names[] = {"job", "other", "f", "g", "h"};
enum { JOB, OTHER, F, G, H };

/* Takes all actions, and checks the core. */
__attribute__((unused)) static void world_take(world_t *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->errors[i]);
    w->count = 0;
    while (mni_core_next_action(w->core, &w->actions[w->count])) {
        const char *error = w->actions[w->count].error;
        w->errors[w->count] = error ? strdup(error) : NULL;
        if (w->visit)
            w->visit(&w->actions[w->count]);
        w->count++;
        assert_true(w->count < WORLD_ACTIONS);
    }
    if (mni_core_check(w->core) < 0)
        fail_msg("%s", mn_error_message());
}

__attribute__((unused)) static world_t *world_create(void)
{
    world_t *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->now = MNI_SECOND;
    assert_int_equal(mni_core_create(&w->core), 0);
    for (uint32_t i = 0; i < sizeof world_names / sizeof *world_names; i++)
        assert_int_equal(mni_core_declare(w->core, i, world_names[i]), 0);
    return w;
}

__attribute__((unused)) static uint32_t world_node(world_t *w, const char *host, uint32_t cores,
                                                   uint64_t memory)
{
    uint32_t node;
    mni_node_offer_t offer = {.host = host, .cores = cores, .memory = memory};
    assert_int_equal(mni_core_node_add(w->core, &offer, &node), 0);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, node), 0);
    return node;
}

/* One node with one worker. */
__attribute__((unused)) static world_t *world_small(uint32_t cores, uint64_t memory)
{
    world_t *w = world_create();
    world_node(w, "n0", cores, memory);
    return w;
}

__attribute__((unused)) static void world_destroy(world_t *w)
{
    world_take(w);
    for (size_t i = 0; i < w->count; i++)
        free(w->errors[i]);
    mni_core_destroy(w->core);
    free(w);
}

__attribute__((unused)) static mni_need_t need(uint32_t millicores, uint64_t memory)
{
    return (mni_need_t){.millicores = millicores,
                        .memory = memory,
                        .max_concurrency = UINT32_MAX,
                        .max_lost = 3,
                        .timeout = INFINITY,
                        .grace = 300};
}

__attribute__((unused)) static mn_id_t world_id(world_t *w)
{
    mn_id_t id = {{0}};
    uint64_t number = ++w->ids * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(id.bytes, &number, sizeof number);
    memcpy(id.bytes + 8, &w->ids, sizeof w->ids);
    return id;
}

__attribute__((unused)) static mni_job_t *start_with(world_t *w, mni_start_t start)
{
    mni_job_t *job = NULL;
    start.id = world_id(w);
    int rc = mni_core_start(w->core, w->now, &start, &job);
    if (rc < 0)
        fail_msg("start: %s", mn_error_message());
    world_take(w);
    return job;
}

__attribute__((unused)) static mni_job_t *start(world_t *w, uint32_t declaration, mni_need_t wanted)
{
    return start_with(w, (mni_start_t){.declaration = declaration, .need = wanted});
}

__attribute__((unused)) static int start_fails(world_t *w, mni_start_t start)
{
    mni_job_t *job = NULL;
    size_t before, after;
    start.id = world_id(w);
    mni_core_count(w->core, NULL, &before);
    int rc = mni_core_start(w->core, w->now, &start, &job);
    mni_core_count(w->core, NULL, &after);
    assert_true(rc < 0);
    assert_null(job);
    assert_int_equal(before, after);
    assert_null(mni_core_find(w->core, start.id));
    world_take(w);
    assert_int_equal(w->count, 0);
    return rc;
}

__attribute__((unused)) static void ended(world_t *w, uint64_t task, mn_reason_t reason)
{
    mni_outcome_t outcome = {.reason = reason,
                             .error = reason == MN_REASON_RETURNED ? NULL : "it broke"};
    mni_core_task_ended(w->core, w->now, task, &outcome);
    world_take(w);
}

__attribute__((unused)) static int demand(world_t *w, uint64_t number, uint64_t caller,
                                          uint32_t declaration, mni_need_t wanted, uint32_t want)
{
    int rc = mni_core_demand(w->core, w->now, number, caller, declaration, &wanted, want);
    world_take(w);
    return rc;
}

__attribute__((unused)) static void close_demand(world_t *w, uint64_t number)
{
    mni_core_demand_close(w->core, w->now, number);
    world_take(w);
}

__attribute__((unused)) static void release(world_t *w, uint64_t task)
{
    mni_core_slot_release(w->core, w->now, task);
    world_take(w);
}

__attribute__((unused)) static int waits(world_t *w, uint64_t task, const mni_job_t *job)
{
    int rc = mni_core_wait(w->core, w->now, task, job ? &job->id : NULL);
    world_take(w);
    return rc;
}

__attribute__((unused)) static void cancel(world_t *w, mni_job_t *job, double grace)
{
    assert_int_equal(mni_core_cancel(w->core, w->now, job, grace), 0);
    world_take(w);
}

__attribute__((unused)) static void later(world_t *w, double seconds)
{
    w->now += (uint64_t)(seconds * 1e9);
    mni_core_tick(w->core, w->now);
    world_take(w);
}

/* How many actions of a kind there were, and the first of them. */
__attribute__((unused)) static size_t happened(const world_t *w, mni_action_kind_t kind)
{
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++)
        count += w->actions[i].kind == kind;
    return count;
}

__attribute__((unused)) static const mni_action_t *action_of(const world_t *w,
                                                             mni_action_kind_t kind, size_t number)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->actions[i].kind == kind && number-- == 0)
            return &w->actions[i];
    fail_msg("there was no such action");
    return NULL;
}

__attribute__((unused)) static const mni_action_t *about_task(const world_t *w,
                                                              mni_action_kind_t kind, uint64_t task)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->actions[i].kind == kind && w->actions[i].task == task)
            return &w->actions[i];
    return NULL;
}

__attribute__((unused)) static bool changed(const world_t *w, const mni_job_t *job)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->actions[i].kind == MNI_CHANGED && w->actions[i].job == job)
            return true;
    return false;
}

__attribute__((unused)) static const char *refusal(const world_t *w, size_t number)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->actions[i].kind == MNI_REFUSE && number-- == 0)
            return w->errors[i];
    fail_msg("nothing was refused");
    return NULL;
}

/* The slot granted last for a demand. */
__attribute__((unused)) static uint64_t slot_of(const world_t *w, uint64_t number)
{
    for (size_t i = w->count; i-- > 0;)
        if (w->actions[i].kind == MNI_GRANT && w->actions[i].demand == number)
            return w->actions[i].task;
    fail_msg("no slot was granted for demand %llu", (unsigned long long)number);
    return 0;
}

__attribute__((unused)) static char *cpus_text(const mni_action_t *action)
{
    static char text[128];
    return mni_cpus_format(&action->cpus, text, sizeof text);
}

#endif
