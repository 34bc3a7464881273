/* SPDX-License-Identifier: MIT
 *
 * The calls of those outside: jobs as they are shown to people, without the bytes of large values, parts of these, and what
 * the runtime as a whole does. None of them takes long, whatever there is to be seen.
 */
#include "scheduler/internal.h"

/* Most jobs in one answer, most jobs that are looked at for it, and most bytes of a part. */
#define LOOKS_LIMIT 1000u
#define SCAN_LIMIT 50000u
#define PART_LIMIT ((uint32_t)1 << 20)
#define FOUND_LIMIT 10u

static mni_job_t *job_of(mni_scheduler_t *scheduler, const mni_client_address_t *who, mn_id_t id)
{
    char text[MN_ID_TEXT];
    mni_job_t *job = mni_core_find(scheduler->core, id);
    if (!job)
        mni_answer(scheduler, who,
                   mni_error(MN_E_NO_JOB, "there is no job %s", mn_id_format(id, text)));
    return job;
}

static void put_look(mni_scheduler_t *scheduler, const mni_job_t *job, uint32_t room)
{
    mni_msg_look_t look = {.info = mni_job_info(scheduler, job),
                           .need = job->need,
                           .input = mni_data_input(job->user)};
    look.result = look.info.result;
    mni_put_look(&scheduler->reply, &look, room);
}

void mni_answer_look(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     const mni_job_t *job, uint32_t room)
{
    mni_answer_begin(scheduler, who, 0);
    put_look(scheduler, job, room);
    mni_answer_send(scheduler, who);
}

int mni_call_look(mni_scheduler_t *scheduler, const mni_client_address_t *who, mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    uint64_t seen = mni_get_u64(reader);
    double timeout = mni_get_f64(reader);
    uint32_t room = mni_get_u32(reader);
    mni_job_t *job;
    int rc = mni_reader_end(reader);

    if (rc < 0 || !(job = job_of(scheduler, who, id)))
        return rc;
    if (room > PART_LIMIT)
        room = PART_LIMIT;
    if (timeout == 0 || mn_status_terminal(job->status) ||
        ((const mni_data_t *)job->user)->version > seen)
        mni_answer_look(scheduler, who, job, room);
    else
        mni_waiter_add_look(scheduler, who, job, seen, timeout, room);
    return 0;
}

/* How long a value that was read stays, while parts of it are asked for. */
#define VIEWED_TIME (5 * MNI_SECOND)

void mni_viewed_expire(mni_scheduler_t *scheduler, uint64_t now)
{
    if (!scheduler->viewed.buffer || now < scheduler->viewed.until)
        return;
    free(scheduler->viewed.buffer);
    scheduler->viewed = (mni_viewed_t){.buffer = NULL};
}

/* A value with its data; what is in a file is read once for all of its parts. */
static int view(mni_scheduler_t *scheduler, const mni_job_t *job, bool input, uint64_t yields,
                mn_value_t *value)
{
    mni_viewed_t *viewed = &scheduler->viewed;
    const mni_data_t *data = job->user;
    const mni_large_t *large = input           ? (data->input_large ? mni_data_large(data) : NULL)
                               : data->history ? data->history->large
                                               : NULL;
    void *buffer;

    if (value->data || value->size == 0)
        return 0;
    if (!viewed->buffer || viewed->input != input || viewed->yields != yields ||
        !mn_id_equal(viewed->id, job->id)) {
        int rc = mni_value_view(large, value, &buffer);
        if (rc < 0 || !buffer)
            return rc;
        mni_viewed_expire(scheduler, UINT64_MAX);
        *viewed = (mni_viewed_t){
            .id = job->id, .input = input, .yields = yields, .value = *value, .buffer = buffer};
    }
    viewed->until = mni_clock_after(mni_clock_now(), (double)VIEWED_TIME / MNI_SECOND);
    *value = viewed->value;
    return 0;
}

int mni_call_part(mni_scheduler_t *scheduler, const mni_client_address_t *who, mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    bool input = mni_get_u8(reader) != 0;
    uint64_t yields = mni_get_u64(reader), offset = mni_get_u64(reader);
    uint32_t room = mni_get_u32(reader);
    mni_job_t *job;
    int rc = mni_reader_end(reader);

    if (rc < 0 || !(job = job_of(scheduler, who, id)))
        return rc;
    mn_info_t info = mni_job_info(scheduler, job);
    mn_value_t value = input ? mni_data_input(job->user) : info.result;
    if (!input && info.yields != yields)
        return mni_error(MN_E_NO_RESULT, "the job has yielded another value meanwhile");
    if (offset > value.size)
        return mni_error(MN_E_INVALID, "the value has %zu bytes", value.size);
    if ((rc = view(scheduler, job, input, input ? 0 : yields, &value)) < 0)
        return rc;
    size_t size = value.size - offset;
    if (size > room)
        size = room;
    if (size > PART_LIMIT)
        size = PART_LIMIT;
    mni_answer_begin(scheduler, who, 0);
    mni_put_bytes(&scheduler->reply, size > 0 ? (const char *)value.data + offset : NULL, size);
    mni_answer_send(scheduler, who);
    if (offset + size == value.size) /* that was all of it */
        scheduler->viewed.until = 0;
    return 0;
}

int mni_call_looks(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                   mni_reader_t *reader)
{
    mni_msg_list_t request = mni_get_list(reader);
    const mni_job_t *jobs[LOOKS_LIMIT], *job = NULL, *last;
    uint32_t count = 0, seen = 0;
    int rc = mni_reader_end(reader);

    if (rc < 0 || (request.has_after && !(job = job_of(scheduler, who, request.after))))
        return rc;
    if (request.capacity > LOOKS_LIMIT)
        request.capacity = LOOKS_LIMIT;
    last = job;
    while (count < request.capacity && seen < SCAN_LIMIT &&
           (job = mni_core_older(scheduler->core, job))) {
        seen++;
        last = job;
        if (mni_job_is_listed(scheduler, job, &request))
            jobs[count++] = job;
    }
    mni_answer_begin(scheduler, who, 0);
    mni_put_u8(&scheduler->reply,
               request.capacity > 0 && job && mni_core_older(scheduler->core, job));
    mni_put_id(&scheduler->reply, last ? last->id : (mn_id_t){{0}});
    mni_put_u32(&scheduler->reply, count);
    for (uint32_t i = 0; i < count; i++)
        put_look(scheduler, jobs[i], 0);
    mni_answer_send(scheduler, who);
    return 0;
}

/* Whether an id begins with these digits, dashes left out; -1: they are no digits of an id. */
static int digit(char character)
{
    return character >= '0' && character <= '9'   ? character - '0'
           : character >= 'a' && character <= 'f' ? character - 'a' + 10
                                                  : -1;
}

static bool begins_with(mn_id_t id, const char *digits)
{
    for (size_t i = 0; digits[i]; i++)
        if ((id.bytes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15) != digit(digits[i]))
            return false;
    return true;
}

int mni_call_find(mni_scheduler_t *scheduler, const mni_client_address_t *who, mni_reader_t *reader)
{
    const char *digits = mni_get_text(reader);
    const mni_job_t *found[FOUND_LIMIT], *job = NULL;
    uint32_t all = 0, count;
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return rc;
    for (size_t i = 0; digits && digits[i]; i++)
        if (i >= 2 * sizeof(mn_id_t) || digit(digits[i]) < 0)
            return mni_error(MN_E_INVALID, "\"%s\" is not the beginning of an id", digits);
    while ((job = mni_core_older(scheduler->core, job))) {
        if (digits && !begins_with(job->id, digits))
            continue;
        if (all < FOUND_LIMIT)
            found[all] = job;
        all++;
        if (!digits || !digits[0])
            break;
    }
    count = all < FOUND_LIMIT ? all : FOUND_LIMIT;
    mni_answer_begin(scheduler, who, 0);
    mni_put_u32(&scheduler->reply, all);
    mni_put_u32(&scheduler->reply, count);
    for (uint32_t i = 0; i < count; i++)
        put_look(scheduler, found[i], 0);
    mni_answer_send(scheduler, who);
    return 0;
}

int mni_call_nodes(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                   mni_reader_t *reader)
{
    mni_node_use_t node;
    uint32_t count = 0;
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return rc;
    while (mni_core_node_use(scheduler->core, count, &node))
        count++;
    mni_answer_begin(scheduler, who, 0);
    mni_put_u32(&scheduler->reply, count);
    for (uint32_t i = 0; mni_core_node_use(scheduler->core, i, &node); i++)
        mni_put_node(&scheduler->reply, &node);
    mni_answer_send(scheduler, who);
    return 0;
}

int mni_call_summary(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     mni_reader_t *reader)
{
    mni_msg_summary_t summary = {.workers = scheduler->workers,
                                 .draining = mni_core_draining(scheduler->core)};
    mni_node_use_t node;
    size_t tasks = 0;
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return rc;
    for (int i = 0; i <= MN_CANCELLED; i++)
        summary.statuses[i] = mni_core_with_status(scheduler->core, (mn_status_t)i);
    mni_core_count(scheduler->core, &tasks, NULL);
    summary.tasks = tasks;
    while (mni_core_node_use(scheduler->core, summary.nodes, &node))
        summary.nodes++;
    if (mni_store_trouble(scheduler->store, NULL) < 0)
        summary.trouble = mn_error_message();
    mni_answer_begin(scheduler, who, 0);
    mni_put_summary(&scheduler->reply, &summary);
    mni_answer_send(scheduler, who);
    return 0;
}

int mni_call_explain(mni_scheduler_t *scheduler, const mni_client_address_t *who,
                     mni_reader_t *reader)
{
    mn_id_t id = mni_get_id(reader);
    char text[512];
    mni_job_t *job;
    int rc = mni_reader_end(reader);

    if (rc < 0 || !(job = job_of(scheduler, who, id)))
        return rc;
    mni_core_explain(scheduler->core, job, text, sizeof text);
    mni_answer_begin(scheduler, who, 0);
    mni_put_text(&scheduler->reply, text);
    mni_answer_send(scheduler, who);
    return 0;
}
