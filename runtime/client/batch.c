/* SPDX-License-Identifier: MIT
 *
 * Many jobs in one call: they travel together, so that a job costs no round trip of its own.
 */
#include "client/call.h"
#include "client/task.h"
#include "util/clock.h"
#include "util/error.h"

#include <math.h>
#include <stdlib.h>

/* What travels together at most: jobs, and bytes of inputs (one job may have more). */
#define TOGETHER 4096
#define TOGETHER_BYTES ((size_t)256 << 10)

/* How long an answer should take to come: it is waited for until more, or fewer, jobs of those asked for have ended. */
#define ANSWER_TIME (2 * MNI_MILLISECOND)

/* --- start ------------------------------------------------------------------------------------ */

/* How many of the inputs go into the next message. */
static size_t next_batch(const mn_value_t *inputs, size_t count)
{
    size_t n = 1, bytes = inputs[0].size;
    while (n < count && n < TOGETHER && bytes + inputs[n].size <= TOGETHER_BYTES)
        bytes += inputs[n++].size;
    return n;
}

/* Starts `count` jobs by one message. How many were; when not all, the reason is the thread's sentence. */
static int start_batch(const mni_msg_start_t *common, const mn_value_t *inputs, size_t count,
                       mn_id_t *ids)
{
    mni_reader_t reader;
    uint64_t request;
    mni_writer_t *writer = mni_call_begin(MNI_MSG_START_MANY, &request);

    mni_put_start(writer, common);
    mni_put_u32(writer, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        mni_put_value(writer, inputs[i]);
    /* Not given up when this task is cancelled meanwhile: the jobs would run and nobody know them. */
    int rc = mni_call_send();
    if (rc < 0 || (rc = mni_call_reply(request, false, &reader)) < 0)
        return rc;
    const char *why = mni_get_text(&reader);
    uint32_t started = mni_get_u32(&reader);
    for (uint32_t i = 0; i < started && i < count; i++) {
        mn_id_t id = mni_get_id(&reader);
        if (ids)
            ids[i] = id;
    }
    if ((rc = mni_reader_end(&reader)) < 0)
        return rc;
    if (started > count)
        return mni_error(MN_E_PROTOCOL, "more jobs were started than were asked for");
    if (started < count)
        mni_error(0, "%s", why ? why : "");
    return (int)started;
}

static int check_many(const mni_declaration_t *declaration, const mn_value_t *inputs, size_t count,
                      const mn_start_options_t *options)
{
    if (count > 0 && !inputs)
        return mni_error(MN_E_INVALID, "inputs is NULL, for %zu jobs", count);
    if (count > INT32_MAX)
        return mni_error(MN_E_TOO_LARGE, "%zu jobs in one call; the limit is %d", count, INT32_MAX);
    if (options->lock || options->key)
        return mni_error(MN_E_INVALID,
                         "the jobs of one call cannot share a %s: start them one by one",
                         options->lock ? "lock" : "key");
    int rc = mni_start_check(declaration, mn_none(), options);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if ((rc = mni_value_check(inputs[i])) < 0)
            return mni_error_prefix(rc, "input %zu of %s", i, declaration->name);
    return rc;
}

static int start_many(int index, const mn_value_t *inputs, size_t count,
                      const mn_start_options_t *options, mn_id_t *ids)
{
    static const mn_start_options_t none = {0};
    size_t started = 0;
    int rc;

    if (index < 0)
        return index;
    const mni_declaration_t *declaration = mni_declaration_get((uint32_t)index);
    if (!options)
        options = &none;
    if ((rc = check_many(declaration, inputs, count, options)) < 0)
        return rc;
    mni_msg_start_t common = mni_start_message(declaration, mn_none(), options);
    while (started < count) {
        size_t batch = next_batch(inputs + started, count - started);
        /* Held for a batch at a time, so that other threads get between. */
        if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
            break;
        rc = start_batch(&common, inputs + started, batch, ids ? ids + started : NULL);
        mni_call_leave();
        if (rc > 0)
            started += (size_t)rc;
        if (rc < (int)batch)
            break;
    }
    return started > 0 || rc >= 0 ? (int)started : rc;
}

int mn_start_many(mn_entry_t *job, const mn_value_t *inputs, size_t count,
                  const mn_start_options_t *options, mn_id_t *ids)
{
    return start_many(mni_declaration_find_entry(job, MN_KIND_JOB), inputs, count, options, ids);
}

int mn_start_many_named(const char *job, const mn_value_t *inputs, size_t count,
                        const mn_start_options_t *options, mn_id_t *ids)
{
    return start_many(mni_declaration_find(job, MN_KIND_JOB), inputs, count, options, ids);
}

/* --- wait ------------------------------------------------------------------------------------- */

typedef struct visitor {
    mn_info_visit_t *visit;
    void *argument;
} visitor_t;

/* Waits until the first `least` of these jobs have ended. How many were visited, at least one; what the visitor returned,
 * if that was not 0, is in *stopped. */
static int wait_batch(const mn_id_t *ids, size_t at, size_t count, size_t least, double timeout,
                      const visitor_t *visitor, int *stopped)
{
    mni_reader_t reader;
    uint64_t request;
    mni_writer_t *writer = mni_call_begin(MNI_MSG_WAIT_MANY, &request);

    mni_put_u32(writer, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        mni_put_id(writer, ids[at + i]);
    mni_put_u32(writer, (uint32_t)least);
    mni_put_f64(writer, timeout);
    int rc = mni_call_send();
    if (rc < 0 || (rc = mni_call_reply(request, true, &reader)) < 0)
        return rc;
    uint32_t ended = mni_get_u32(&reader);
    for (uint32_t i = 0; i < ended && i < count && *stopped == 0; i++) {
        mn_info_t info = mni_get_info(&reader);
        if (reader.failed)
            break;
        if (visitor->visit)
            *stopped = visitor->visit(visitor->argument, at + i, &info);
    }
    if (*stopped == 0 && (rc = mni_reader_end(&reader)) < 0)
        return rc;
    return ended > 0 && ended <= count
               ? (int)ended
               : mni_error(MN_E_PROTOCOL, "%u of %zu jobs have ended", ended, count);
}

/* What is left of a timeout. */
static double time_left(double timeout, uint64_t begin)
{
    double left = timeout - (double)(mni_clock_now() - begin) * 1e-9;
    return timeout < 0 || isinf(timeout) ? -1 : left > 0 ? left : 0;
}

int mn_wait_many(const mn_id_t *ids, size_t count, double timeout, mn_info_visit_t *visit,
                 void *argument)
{
    visitor_t visitor = {visit, argument};
    uint64_t begin = mni_clock_now();
    size_t at = 0, least = 1;
    int rc = 0, stopped = 0;

    if (count > 0 && !ids)
        return mni_error(MN_E_INVALID, "ids is NULL, for %zu jobs", count);
    if (isnan(timeout))
        return mni_error(
            MN_E_INVALID,
            "the timeout is not a number; give seconds, or a negative number for none");
    while (at < count && stopped == 0) {
        size_t batch = count - at < TOGETHER ? count - at : TOGETHER;
        if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
            return rc;
        uint64_t asked = mni_clock_now();
        rc = wait_batch(ids, at, batch, least < batch ? least : batch, time_left(timeout, begin),
                        &visitor, &stopped);
        mni_call_leave();
        if (rc < 0)
            return rc;
        at += (size_t)rc;
        if (mni_clock_now() - asked < ANSWER_TIME)
            least = least < TOGETHER ? 2 * least : least;
        else
            least = least > 1 ? least / 2 : 1;
    }
    return stopped;
}
