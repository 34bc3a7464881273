/* SPDX-License-Identifier: MIT
 *
 * The executors of a worker: found, started, bound, stopped, killed, kept warm.
 *
 * An executor is kept for further tasks of the same declaration after it ended one well and put its process back
 * as it was; otherwise its process tree is killed, and what it did is reported when nothing of it is left.
 *
 * What uses a GPU keeps memory on it, and finds out once which ones there are: an executor is started for its GPUs, is not kept
 * after a whole task, between the blocks of a map for a moment only, and goes when one of its GPUs is given to another one.
 */
#include "util/size.h"
#include "util/textlog.h"
#include "worker/internal.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

mni_executor_t *mni_executor_of_task(const mni_worker_t *worker, uint64_t task)
{
    mni_executor_t *executor;
    DL_FOREACH (worker->executors, executor) {
        if (executor->task == task && task != 0)
            return executor;
    }
    return NULL;
}

mni_executor_t *mni_executor_of_client(const mni_worker_t *worker, uint64_t client)
{
    mni_executor_t *executor;
    DL_FOREACH (worker->executors, executor) {
        if (executor->client == client)
            return executor;
    }
    return NULL;
}

/* How long one that had GPUs waits for a further block. */
#define GPU_PATIENCE (100 * MNI_MILLISECOND)

/* An idle executor of the declaration and with the same GPUs, best one that is bound to these cores already, and has no results to send. */
static mni_executor_t *find_idle(const mni_worker_t *worker, uint32_t declaration,
                                 const mni_cpus_t *cpus, uint64_t gpus)
{
    mni_executor_t *executor, *found = NULL;
    DL_FOREACH (worker->executors, executor) {
        if (executor->state != MNI_EXECUTOR_IDLE || executor->declaration != declaration ||
            executor->gpus != gpus)
            continue;
        if (memcmp(&executor->cpus, cpus, sizeof *cpus) == 0 && !executor->sending)
            return executor;
        if (!found || found->sending)
            found = executor;
    }
    return found;
}

/* Ends the executor that has been idle longest, when there are too many. */
static void trim_idle(mni_worker_t *worker)
{
    mni_executor_t *executor, *oldest = NULL;
    if (worker->idle <= MNI_IDLE_PER_CORE * worker->cores)
        return;
    DL_FOREACH (worker->executors, executor) {
        if (executor->state == MNI_EXECUTOR_IDLE &&
            (!oldest || executor->idle_since < oldest->idle_since))
            oldest = executor;
    }
    if (oldest)
        mni_executor_end(worker, oldest);
}

/* Tells it which GPUs there are for it; where the node has none nothing is said. The driver has its environment as it is. */
static void tell_gpus(const mni_worker_t *worker, const mni_executor_t *executor)
{
    mni_control_t *control = mni_channel_control(executor->channel);

    _Static_assert(sizeof control->gpus >= MNI_GPUS_TEXT, "the names of all GPUs have room");
    if (executor->driver || mni_machine_offer(worker->machine)->gpus == 0)
        return;
    mni_machine_gpus(worker->machine, executor->gpus, control->gpus, sizeof control->gpus);
    control->has_gpus = 1;
}

static mni_executor_t *executor_create(mni_worker_t *worker, uint32_t declaration, bool driver,
                                       uint64_t gpus)
{
    mni_executor_t *executor = calloc(1, sizeof *executor);
    if (!executor) {
        mni_error(MN_E_NO_MEMORY, "no memory for an executor");
        return NULL;
    }
    *executor = (mni_executor_t){.slot = worker->next_slot++,
                                 .client = ++worker->next_client,
                                 .driver = driver,
                                 .declaration = declaration,
                                 .gpus = gpus,
                                 .stop_by = MNI_NEVER,
                                 .end_by = MNI_NEVER};
    if (mni_channel_create(mni_spawner_doorbell(worker->spawner), &executor->channel) < 0)
        goto cleanup;
    tell_gpus(worker, executor);
    mni_spawn_t spawn = {.slot = executor->slot,
                         .driver = driver,
                         .main = driver ? worker->driver_main : worker->executor_main,
                         .memfd = mni_channel_memfd(executor->channel)};
    if (mni_spawner_spawn(worker->spawner, &spawn) < 0)
        goto cleanup;
    DL_APPEND(worker->executors, executor);
    worker->count++;
    return executor;
cleanup:
    mni_channel_destroy(executor->channel);
    free(executor);
    return NULL;
}

/* Idle executors that had these GPUs go, but for one. */
static void free_gpus(mni_worker_t *worker, uint64_t gpus, const mni_executor_t *kept)
{
    mni_executor_t *executor;
    DL_FOREACH (worker->executors, executor) {
        if (executor->state == MNI_EXECUTOR_IDLE && (executor->gpus & gpus) && executor != kept)
            mni_executor_end(worker, executor);
    }
}

uint64_t mni_executor_idle_until(const mni_executor_t *executor)
{
    return executor->state == MNI_EXECUTOR_IDLE && executor->gpus
               ? executor->idle_since + GPU_PATIENCE
               : MNI_NEVER;
}

void mni_executor_expire(mni_worker_t *worker, mni_executor_t *executor, uint64_t now)
{
    if (mni_executor_idle_until(executor) <= now)
        mni_executor_end(worker, executor);
}

mni_executor_t *mni_executor_acquire(mni_worker_t *worker, uint32_t declaration, bool driver,
                                     const mni_cpus_t *cpus, uint64_t gpus, uint64_t memory)
{
    uint64_t limit = memory > 0 ? memory : UINT64_MAX;
    const mni_declaration_t *declared = driver ? NULL : mni_declaration_get(declaration);
    mni_executor_t *executor = NULL;

    if (worker->broken || worker->shutting_down) {
        mni_error(MN_E_LOST, "the process that starts executors on rank %u is gone", worker->rank);
        return NULL;
    }
    if (declared && !declared->fresh)
        executor = find_idle(worker, declaration, cpus, gpus);
    if (gpus)
        free_gpus(worker, gpus, executor);
    if (executor && executor->memory != limit &&
        mni_spawner_limit(worker->spawner, executor->slot, executor->seat, limit) < 0) {
        mni_executor_end(worker, executor); /* what earlier tasks left in it is too much */
        executor = NULL;
    }
    if (!executor) {
        executor = executor_create(worker, declaration, driver, gpus);
        if (executor) {
            executor->cpus = *cpus;
            executor->memory = limit;
        }
        return executor;
    }
    executor->memory = limit;
    bool same = memcmp(&executor->cpus, cpus, sizeof *cpus) == 0;
    if (!same ||
        (mni_cpus_count(cpus) > 0 && !mni_machine_is_bound(worker->machine, executor->pid, cpus))) {
        if (mni_machine_bind(worker->machine, executor->pid, cpus) < 0)
            return NULL;
        executor->cpus = *cpus;
    }
    return executor;
}

mni_executor_t *mni_executor_for_block(mni_worker_t *worker, uint32_t declaration,
                                       const mni_msg_slot_t *slot)
{
    const mni_declaration_t *declared = mni_declaration_get(declaration);
    return mni_executor_acquire(worker, declaration, false, &slot->cpus, slot->gpus,
                                declared ? declared->need.memory : 0);
}

int mni_executor_confine(mni_worker_t *worker, mni_executor_t *executor)
{
    /* The driver and services have no cores of their own: an empty set stands for all that the node offers. */
    int rc = mni_machine_bind(worker->machine, executor->pid, &executor->cpus);
    if (executor->driver)
        return 0;
    if (rc == 0)
        rc = mni_spawner_limit(worker->spawner, executor->slot, executor->seat, executor->memory);
    if (rc == 0)
        executor->kills = mni_spawner_kills(worker->spawner, executor->seat);
    return rc;
}

bool mni_executor_measure(mni_worker_t *worker, mni_executor_t *executor)
{
    mni_msg_finished_t *finished = &executor->finished;

    finished->peak_memory = 0;
    executor->cpu_time += finished->cpu_time;
    /* What was so short is not worth the system calls. */
    if (executor->driver || mni_clock_now() - executor->begun_at < MNI_MILLISECOND)
        return true;
    finished->peak_memory = mni_spawner_peak(worker->spawner, executor->seat);
    /* The kernel may have killed a child of it, and the spawner not have heard of that yet. */
    if (finished->peak_memory < executor->memory - executor->memory / 8 ||
        mni_spawner_kills(worker->spawner, executor->seat) <= executor->kills)
        return true;
    executor->over = finished->peak_memory;
    return false;
}

void mni_executor_reserve(mni_worker_t *worker, mni_executor_t *executor)
{
    free((void *)executor->finished.message);
    executor->finished = (mni_msg_finished_t){0};
    executor->finished_seen = false;
    executor->killed = MN_REASON_NONE;
    executor->report_kill = false;
    executor->over = 0;
    executor->stop_by = MNI_NEVER;
    if (executor->state != MNI_EXECUTOR_IDLE)
        return;
    worker->idle--;
    executor->state = MNI_EXECUTOR_BUSY;
}

int mni_executor_begin(mni_worker_t *worker, mni_executor_t *executor, const void *frame,
                       size_t size)
{
    mni_executor_reserve(worker, executor);
    mni_control_t *control = mni_channel_control(executor->channel);
    __atomic_store_n(&control->stop, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&control->items_done, 0, __ATOMIC_RELAXED);
    mni_span_set(&control->span, executor->block ? executor->block->what.count : 0);
    __atomic_store_n(&control->item_started, 0, __ATOMIC_RELAXED);
    executor->begun_at = mni_clock_now();
    if (executor->state == MNI_EXECUTOR_STARTING) {
        uint8_t *held = malloc(size);
        if (!held)
            return mni_error(MN_E_NO_MEMORY, "no memory for a task of %zu bytes", size);
        memcpy(held, frame, size);
        free(executor->held);
        executor->held = held;
        executor->held_size = size;
        return 0;
    }
    mni_spawner_busy(worker->spawner, executor->slot, executor->seat, true);
    return mni_channel_post(executor->channel, frame, size);
}

void mni_executor_stop(mni_executor_t *executor, int code)
{
    mni_control_t *control = mni_channel_control(executor->channel);
    __atomic_store_n(&control->stop, code, __ATOMIC_SEQ_CST);
    mni_doorbell_ring(&control->bell);
}

void mni_executor_kill(mni_worker_t *worker, mni_executor_t *executor, mn_reason_t reason)
{
    if (executor->embedded ||
        (executor->state == MNI_EXECUTOR_ENDING && executor->end_by == MNI_NEVER))
        return;
    if (executor->state == MNI_EXECUTOR_IDLE)
        worker->idle--;
    executor->killed = reason;
    executor->state = MNI_EXECUTOR_ENDING;
    executor->end_by = MNI_NEVER;
    mni_spawner_kill(worker->spawner, executor->slot);
}

void mni_executor_end(mni_worker_t *worker, mni_executor_t *executor)
{
    if (executor->state != MNI_EXECUTOR_IDLE) {
        mni_executor_kill(worker, executor, MN_REASON_KILLED);
        return;
    }
    mni_writer_begin(&worker->frame, MNI_MSG_EXIT, 0);
    worker->idle--;
    executor->state = MNI_EXECUTOR_ENDING;
    executor->end_by = mni_clock_now() + MNI_EXIT_PATIENCE;
    if (mni_writer_end(&worker->frame) < 0 ||
        mni_channel_post(executor->channel, worker->frame.data, worker->frame.size) < 0)
        executor->end_by = 0;
}

void mni_executor_release(mni_worker_t *worker, mni_executor_t *executor)
{
    const mni_declaration_t *declared = mni_declaration_get(executor->declaration);
    executor->task = 0;
    mni_spawner_busy(worker->spawner, executor->slot, executor->seat, false);
    executor->state = MNI_EXECUTOR_IDLE;
    executor->idle_since = mni_clock_now();
    worker->idle++;
    if (!declared || declared->fresh || worker->shutting_down ||
        (executor->gpus && declared->kind != MN_KIND_FUNCTION))
        mni_executor_end(worker, executor);
    else
        trim_idle(worker);
}

void mni_executor_destroy(mni_worker_t *worker, mni_executor_t *executor)
{
    mni_map_process_gone(worker, executor);
    DL_DELETE(worker->executors, executor);
    worker->count--;
    if (executor->state == MNI_EXECUTOR_IDLE)
        worker->idle--;
    if (executor->receiving)
        executor->receiving->executor = NULL;
    if (executor->sending)
        executor->sending->executor = NULL;
    if (!executor->embedded)
        mni_channel_destroy(executor->channel);
    mni_writer_fini(&executor->yield);
    free((void *)executor->finished.message);
    free(executor->held);
    free(executor);
}

#define TERMINATED_FOR (10 * MNI_SECOND)
#define TERMINATED_LAG \
    (200 * MNI_MILLISECOND) /* from the first process that hears it to the last */

static volatile uint64_t terminated_at; /* 0: never; set by a signal handler */

void mni_worker_terminated(void)
{
    __atomic_store_n(&terminated_at, mni_clock_now(), __ATOMIC_RELEASE);
}

bool mni_executor_was_interrupted(bool wait)
{
    for (uint64_t begun = mni_clock_now(), now = begun;; now = mni_clock_now()) {
        uint64_t at = __atomic_load_n(&terminated_at, __ATOMIC_ACQUIRE);
        if (at != 0 && now < at + TERMINATED_FOR)
            return true;
        if (!wait || now > begun + TERMINATED_LAG)
            return false;
        poll(NULL, 0, 5);
    }
}

void mni_executor_explain(mni_executor_t *executor, int status)
{
    char text[400], reused[80] = "", used[32], limit[32];
    mni_msg_finished_t *finished = &executor->finished;

    if (executor->runs > 0)
        snprintf(reused, sizeof reused, " (in a process that had run %" PRIu64 " before it)",
                 executor->runs);
    finished->code = MN_E_CRASHED;
    finished->again = false;
    if (executor->over > 0) {
        finished->reason = MN_REASON_OUT_OF_MEMORY;
        finished->code = MN_E_NO_MEMORY;
        mni_size_format(executor->over > executor->memory ? executor->over : executor->memory, used,
                        sizeof used);
        mni_size_format(executor->memory, limit, sizeof limit);
        snprintf(text, sizeof text, "it used %s of %s of memory and was killed%s", used, limit,
                 reused);
    } else if (executor->killed != MN_REASON_NONE) {
        finished->reason = executor->killed;
        finished->code = executor->killed == MN_REASON_TIMEOUT ? MN_E_TIMEOUT : MN_E_CANCELLED;
        snprintf(text, sizeof text, "%s",
                 executor->killed == MN_REASON_TIMEOUT
                     ? "it ran longer than its timeout and was killed"
                     : "it was killed");
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM &&
               mni_executor_was_interrupted(true)) {
        finished->reason = MN_REASON_INTERRUPTED;
        finished->code = MN_E_INTERRUPTED;
        snprintf(text, sizeof text, "it was ended together with its worker");
    } else if (WIFSIGNALED(status)) {
        finished->reason = MN_REASON_SIGNAL;
        snprintf(text, sizeof text, "it was killed by signal %d (%s)%s", WTERMSIG(status),
                 strsignal(WTERMSIG(status)), reused);
    } else {
        finished->reason = MN_REASON_EXITED;
        snprintf(text, sizeof text, "it ended its process with exit status %d%s",
                 WEXITSTATUS(status), reused);
    }
    free((void *)finished->message);
    finished->message = strdup(text);
}

/* The spawner may have written over the oldest bytes of the ring while they were copied: those go. */
static void drop_overwritten(const mni_log_area_t *area, uint64_t total, mni_textlog_piece_t *piece)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint64_t now = __atomic_load_n(&area->total, __ATOMIC_ACQUIRE);
    size_t behind = piece->size - piece->before;
    uint64_t begin = total - behind, sound = now + MNI_LOG_STEP;

    if (sound < 2 * MNI_LOG_PART || (sound -= MNI_LOG_PART) <= begin)
        return;
    size_t lost = sound - begin < behind ? (size_t)(sound - begin) : behind;
    char *text = (char *)piece->text + piece->before;
    memmove(text, text + lost, behind - lost + 1);
    piece->size -= lost;
    piece->left_out += lost;
}

mni_textlog_piece_t mni_executor_output(mni_executor_t *executor, mn_stream_t stream, bool end)
{
    mni_textlog_piece_t piece = {.text = NULL};
    mni_log_area_t *area = mni_channel_log(executor->channel, stream);
    uint64_t total = __atomic_load_n(&area->total, __ATOMIC_ACQUIRE);
    uint64_t *told = &executor->told[stream == MN_STDERR];

    if (total == 0 || executor->driver)
        return piece;
    if (mni_textlog_cut(area->head, area->tail, MNI_LOG_PART, total, *told, &piece) == 0) {
        if (!end && piece.text)
            drop_overwritten(area, total, &piece);
        *told = total;
    }
    if (end) {
        __atomic_store_n(&area->total, 0, __ATOMIC_RELEASE);
        *told = 0;
    }
    return piece;
}
