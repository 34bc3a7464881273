/* SPDX-License-Identifier: MIT
 *
 * Jobs as their callers see them: each call here is one request to rank 0 and its reply. What can
 * be checked here is checked before anything is sent.
 */
#include "client/call.h"
#include "client/info.h"
#include "client/task.h"
#include "util/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Ids asked for at a time: 1 MiB of them. */
#define LIST_PAGE ((size_t)1 << 16)

/* --- start
 * --------------------------------------------------------------------------------------------- */

int mni_start_check(const mni_declaration_t *declaration, mn_value_t input,
                    const mn_start_options_t *options)
{
    mni_need_t need = declaration->need;
    int rc = mni_value_check(input);
    if (rc < 0)
        return mni_error_prefix(rc, "the input of %s", declaration->name);
    if ((rc = mni_label_check("lock", options->lock)) < 0 ||
        (rc = mni_label_check("tag", options->tag)) < 0 ||
        (rc = mni_label_check("key", options->key)) < 0)
        return rc;
    return mni_need_override(declaration->name, &need, options->cpu, options->memory, options->gpus,
                             options->timeout, options->grace, options->priority);
}

mni_msg_start_t mni_start_message(const mni_declaration_t *declaration, mn_value_t input,
                                  const mn_start_options_t *options)
{
    return (mni_msg_start_t){.job = declaration->name,
                             .input = input,
                             .lock = options->lock,
                             .tag = options->tag,
                             .key = options->key,
                             .memory = options->memory,
                             .gpus = options->gpus,
                             .cpu = options->cpu,
                             .timeout = options->timeout,
                             .grace = options->grace,
                             .priority = options->priority,
                             .max_retries = options->max_retries,
                             .cancel_with_parent = options->cancel_with_parent};
}

static int start(int index, mn_value_t input, const mn_start_options_t *options, mn_id_t *id)
{
    static const mn_start_options_t none = {0};
    mni_reader_t reader;
    uint64_t request;

    if (index < 0)
        return index;
    const mni_declaration_t *declaration = mni_declaration_get((uint32_t)index);
    if (!options)
        options = &none;
    int rc = mni_start_check(declaration, input, options);
    if (rc < 0 || (rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    mni_msg_start_t message = mni_start_message(declaration, input, options);
    mni_put_start(mni_call_begin(MNI_MSG_START, &request), &message);
    /* Not given up when this task is cancelled meanwhile: the job would run and nobody know it. */
    if ((rc = mni_call_send()) == 0 && (rc = mni_call_reply(request, false, &reader)) >= 0) {
        mn_id_t made = mni_get_id(&reader);
        rc = mni_reader_end(&reader);
        if (rc == 0 && id)
            *id = made;
    }
    mni_call_leave();
    return rc;
}

int mn_start(mn_entry_t *job, mn_value_t input, const mn_start_options_t *options, mn_id_t *id)
{
    return start(mni_declaration_find_entry(job, MN_KIND_JOB), input, options, id);
}

int mn_start_named(const char *job, mn_value_t input, const mn_start_options_t *options,
                   mn_id_t *id)
{
    return start(mni_declaration_find(job, MN_KIND_JOB), input, options, id);
}

/* --- get, wait, watch
 * ---------------------------------------------------------------------------------- */

/* Sends the request that is in the writer; the reply has an info. */
static int ask_info(uint64_t request, bool abandon, mn_info_t **info)
{
    mni_reader_t reader;
    int rc = mni_call_send();
    if (rc < 0 || (rc = mni_call_reply(request, abandon, &reader)) < 0)
        return rc;
    mn_info_t view = mni_get_info(&reader);
    rc = mni_reader_end(&reader);
    return rc < 0 || !info ? rc : mni_info_copy(&view, info);
}

int mn_get(mn_id_t id, mn_info_t **info)
{
    uint64_t request;
    int rc;
    if (!info)
        return mni_error(MN_E_INVALID, "no place for the job's state was given (NULL)");
    if ((rc = mni_call_enter(MNI_CALL_READ)) < 0)
        return rc;
    mni_put_id(mni_call_begin(MNI_MSG_GET, &request), id);
    rc = ask_info(request, false, info);
    mni_call_leave();
    return rc;
}

static int wait_for(mn_id_t id, uint64_t seen, double timeout, mn_info_t **info)
{
    uint64_t request;
    int rc;
    if (isnan(timeout))
        return mni_error(
            MN_E_INVALID,
            "the timeout is not a number; give seconds, or a negative number for none");
    if ((rc = mni_call_enter(MNI_CALL_WAIT)) < 0)
        return rc;
    mni_writer_t *writer = mni_call_begin(MNI_MSG_WAIT, &request);
    mni_put_id(writer, id);
    mni_put_u64(writer, seen);
    mni_put_f64(writer, timeout < 0 || isinf(timeout) ? -1 : timeout);
    rc = ask_info(request, true, info);
    mni_call_leave();
    return rc;
}

int mn_wait(mn_id_t id, double timeout, mn_info_t **info)
{
    return wait_for(id, UINT64_MAX, timeout, info);
}

int mn_watch(mn_id_t id, uint64_t seen, double timeout, mn_info_t **info)
{
    /* The largest number would mean the end only; no version gets there. */
    return wait_for(id, seen == UINT64_MAX ? seen - 1 : seen, timeout, info);
}

/* --- cancel, remove
 * ------------------------------------------------------------------------------------ */

static int cancel(mn_id_t id, double grace)
{
    mni_reader_t reader;
    uint64_t request;
    int rc = mni_call_enter(MNI_CALL_LAST);
    if (rc < 0)
        return rc;
    mni_writer_t *writer = mni_call_begin(MNI_MSG_CANCEL, &request);
    mni_put_id(writer, id);
    mni_put_f64(writer, grace);
    if ((rc = mni_call_send()) == 0 && (rc = mni_call_reply(request, false, &reader)) >= 0) {
        int code = rc > 0 ? 1 : 0;
        rc = mni_reader_end(&reader);
        if (rc == 0 && !mni_client.driver)
            rc = mni_call_stopped();
        if (rc == 0)
            rc = code;
    }
    mni_call_leave();
    return rc;
}

int mn_cancel(mn_id_t id)
{
    return cancel(id, NAN);
}

int mn_cancel_within(mn_id_t id, double grace)
{
    if (!(grace >= 0) && grace != MN_NO_GRACE)
        return mni_error(MN_E_INVALID,
                         "grace is %g; give seconds of 0 or more, or MN_NO_GRACE for none", grace);
    return cancel(id, grace > 0 ? grace : MN_NO_GRACE);
}

int mn_remove(mn_id_t id)
{
    mni_reader_t reader;
    uint64_t request;
    int rc = mni_call_enter(MNI_CALL_WAIT);
    if (rc < 0)
        return rc;
    mni_put_id(mni_call_begin(MNI_MSG_REMOVE, &request), id);
    if ((rc = mni_call_send()) == 0 && (rc = mni_call_reply(request, true, &reader)) >= 0)
        rc = mni_reader_end(&reader);
    mni_call_leave();
    return rc;
}

/* --- list
 * ---------------------------------------------------------------------------------------------- */

int mni_list_check(const mn_list_options_t *options)
{
    int rc;
    const unsigned known = (1u << (MN_CANCELLED + 1)) - 1;
    if ((options->statuses & ~known) != 0)
        return mni_error(MN_E_INVALID,
                         "statuses is 0x%x; give bits such as 1u << MN_RUNNING, or 0 for all",
                         options->statuses);
    if ((rc = mni_label_check("name of the job function", options->job)) < 0 ||
        (rc = mni_label_check("lock", options->lock)) < 0)
        return rc;
    return mni_label_check("tag", options->tag);
}

/* One page; *count is how many ids came. */
static int list_page(const mni_msg_list_t *list, mn_id_t *ids, size_t *count)
{
    mni_reader_t reader;
    uint64_t request;
    mni_put_list(mni_call_begin(MNI_MSG_LIST, &request), list);
    int rc = mni_call_send();
    if (rc < 0 || (rc = mni_call_reply(request, false, &reader)) < 0)
        return rc;
    uint32_t n = mni_get_u32(&reader);
    if (n > list->capacity)
        return mni_error(MN_E_PROTOCOL, "a list of %u jobs where %u were asked for", n,
                         list->capacity);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = mni_get_id(&reader);
    *count = n;
    return mni_reader_end(&reader);
}

/* Page by page. When the last id of a page has been removed before the next page is asked for, it
 * goes on behind the one before it. */
static int list_all(const mn_list_options_t *options, mn_id_t *ids, size_t capacity, size_t *count)
{
    mni_msg_list_t list = {.job = options->job,
                           .lock = options->lock,
                           .tag = options->tag,
                           .statuses = options->statuses,
                           .has_after = options->after != NULL};
    size_t have = 0, got = 0, behind = 0;
    if (options->after)
        list.after = *options->after;
    for (;;) {
        size_t ask = capacity - have < LIST_PAGE ? capacity - have : LIST_PAGE;
        list.capacity = (uint32_t)ask;
        int rc = list_page(&list, ids + have, &got);
        if (rc == MN_E_NO_JOB && behind > 1) {
            behind--;
            list.after = ids[behind - 1];
            continue;
        }
        if (rc < 0)
            return rc;
        have += got;
        if (got < ask || have == capacity)
            break;
        behind = have;
        list.has_after = true;
        list.after = ids[have - 1];
    }
    *count = have;
    return 0;
}

int mn_list(const mn_list_options_t *options, mn_id_t *ids, size_t capacity, size_t *count)
{
    static const mn_list_options_t all = {0};
    int rc;
    if (!options)
        options = &all;
    if (!count)
        return mni_error(MN_E_INVALID, "no place for the count was given (NULL)");
    if (!ids && capacity > 0)
        return mni_error(MN_E_INVALID, "ids is NULL, with room for %zu", capacity);
    if ((rc = mni_list_check(options)) < 0)
        return rc;
    if ((rc = mni_call_enter(MNI_CALL_READ)) < 0)
        return rc;
    if (capacity == 0)
        *count = 0;
    else
        rc = list_all(options, ids, capacity, count);
    mni_call_leave();
    return rc;
}

/* --- locks, log, services
 * ------------------------------------------------------------------------------ */

/* Reads "u32 n, n times (text name, id)". */
static int read_locks(mni_reader_t *reader, mn_lock_t **locks, size_t *count)
{
    mn_lock_t *list = NULL;
    uint32_t n = mni_get_u32(reader);
    int rc = 0;
    /* Each takes at least its id in the frame, so that a wrong number asks for no more memory than
     * that. */
    if (n > (size_t)(reader->end - reader->at) / sizeof(mn_id_t))
        return mni_error(MN_E_PROTOCOL, "a list of locks that is shorter than it says");
    if (n > 0 && !(list = calloc(n, sizeof *list)))
        return mni_error(MN_E_NO_MEMORY, "no memory for a list of %u locks", n);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        const char *name = mni_get_text(reader);
        list[i].holder = mni_get_id(reader);
        if (!name || strlen(name) >= sizeof list[i].name)
            rc = mni_error(MN_E_PROTOCOL, "a lock without a name, or with one that is too long");
        else
            strcpy(list[i].name, name);
    }
    if (rc == 0)
        rc = mni_reader_end(reader);
    if (rc < 0) {
        free(list);
        return rc;
    }
    *locks = list;
    *count = n;
    return 0;
}

int mn_locks(mn_lock_t **locks, size_t *count)
{
    mni_reader_t reader;
    uint64_t request;
    int rc;
    if (!locks || !count)
        return mni_error(MN_E_INVALID, "no place for the %s was given (NULL)",
                         locks ? "count" : "locks");
    if ((rc = mni_call_enter(MNI_CALL_READ)) < 0)
        return rc;
    mni_call_begin(MNI_MSG_LOCKS, &request);
    if ((rc = mni_call_send()) == 0 && (rc = mni_call_reply(request, false, &reader)) >= 0)
        rc = read_locks(&reader, locks, count);
    mni_call_leave();
    return rc;
}

void mn_locks_destroy(mn_lock_t *locks)
{
    free(locks);
}

static int read_log(mni_reader_t *reader, char **text, size_t *size)
{
    mni_msg_log_t log = mni_get_log(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    char *copy = malloc(log.size + 1);
    if (!copy)
        return mni_error(MN_E_NO_MEMORY, "no memory for a log of %zu bytes", log.size);
    if (log.size > 0)
        memcpy(copy, log.text, log.size);
    copy[log.size] = 0;
    *text = copy;
    if (size)
        *size = log.size;
    return 0;
}

int mn_log(mn_id_t id, unsigned attempt, mn_stream_t stream, char **text, size_t *size)
{
    mni_reader_t reader;
    uint64_t request;
    int rc;
    if (!text)
        return mni_error(MN_E_INVALID, "no place for the text was given (NULL)");
    if (stream != MN_STDOUT && stream != MN_STDERR)
        return mni_error(MN_E_INVALID, "%d is no stream; give MN_STDOUT or MN_STDERR", (int)stream);
    if ((rc = mni_call_enter(MNI_CALL_READ)) < 0)
        return rc;
    mni_writer_t *writer = mni_call_begin(MNI_MSG_LOG, &request);
    mni_put_id(writer, id);
    mni_put_u32(writer, attempt);
    mni_put_u8(writer, (uint8_t)stream);
    mni_put_u64(writer, 0);
    if ((rc = mni_call_send()) == 0 && (rc = mni_call_reply(request, false, &reader)) >= 0)
        rc = read_log(&reader, text, size);
    mni_call_leave();
    return rc;
}

static int read_text(mni_reader_t *reader, char **text)
{
    const char *view = mni_get_text(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    if (!view)
        return mni_error(MN_E_PROTOCOL, "an answer without the sentence that was asked for");
    char *copy = strdup(view);
    if (!copy)
        return mni_error(MN_E_NO_MEMORY, "no memory for a sentence");
    *text = copy;
    return 0;
}

int mn_explain(mn_id_t id, char **text)
{
    mni_reader_t reader;
    uint64_t request;
    int rc;
    if (!text)
        return mni_error(MN_E_INVALID, "no place for the text was given (NULL)");
    if ((rc = mni_call_enter(MNI_CALL_READ)) < 0)
        return rc;
    mni_put_id(mni_call_begin(MNI_MSG_EXPLAIN, &request), id);
    if ((rc = mni_call_send()) == 0 && (rc = mni_call_reply(request, false, &reader)) >= 0)
        rc = read_text(&reader, text);
    mni_call_leave();
    return rc;
}

static int read_address(mni_reader_t *reader, char *address, size_t size)
{
    const char *text = mni_get_text(reader);
    int rc = mni_reader_end(reader);
    if (rc < 0)
        return rc;
    if (!text)
        return mni_error(MN_E_PROTOCOL, "an answer without the service's address");
    if (strlen(text) >= size)
        return mni_error(MN_E_TOO_LARGE,
                         "the service's address has %zu bytes with its NUL; there is room for %zu",
                         strlen(text) + 1, size);
    strcpy(address, text);
    return 0;
}

int mn_service_address(const char *name, char *address, size_t size)
{
    mni_reader_t reader;
    uint64_t request;
    int rc = mni_declaration_find(name, MN_KIND_SERVICE);
    if (rc < 0)
        return rc;
    if (!address)
        return mni_error(MN_E_INVALID, "no place for the address was given (NULL)");
    if ((rc = mni_call_enter(MNI_CALL_READ)) < 0)
        return rc;
    mni_put_text(mni_call_begin(MNI_MSG_SERVICE, &request), name);
    if ((rc = mni_call_send()) == 0 && (rc = mni_call_reply(request, false, &reader)) >= 0)
        rc = read_address(&reader, address, size);
    mni_call_leave();
    return rc;
}
