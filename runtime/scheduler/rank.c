/* SPDX-License-Identifier: MIT
 *
 * One rank: how it comes up, its loop, how it ends.
 *
 * Ranks of one host find each other's doorbells under /proc/PID/fd, and watch each other's processes through
 * pidfds: rank 0 those of the workers, the workers that of rank 0. (An embedded runtime leaves lost ranks to the
 * MPI of its host program.)
 */
#include "scheduler/rank_private.h"

#include "core/declare.h"
#include "store/lock.h"
#include "store/read.h"
#include "util/clock.h"
#include "util/error.h"
#include "wire/message.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long the loop goes on looking after the last thing it did, before it sleeps. */
#define HOT_TIME (20 * UINT64_C(1000))

#define FRAMES_MOST 256u /* taken at a time */

/* Longest sleeps: with requests of MPI under way; when all ranks can ring; the least and most with other hosts. */
#define SLEEP_BUSY (50 * UINT64_C(1000))
#define SLEEP_RUNG (200 * MNI_MILLISECOND)
#define SLEEP_LEAST (50 * UINT64_C(1000))
#define SLEEP_MOST (5 * MNI_MILLISECOND)

/* How long rank 0 waits at the end for the other ranks' goodbye. */
#define GOODBYE_PATIENCE (10 * MNI_SECOND)

#define HOST_MAX 128
#define ALLOWED_MAX 1024
#define LOCK_MAX 1024

/* What ranks tell each other at the start. */
typedef struct introduction {
    char host[HOST_MAX];       /* with the boot id: unique to a running system */
    char gpus[MNI_GPUS_TEXT];  /* names of those it may use */
    char allowed[ALLOWED_MAX]; /* processing units, empty: could not be found out */
    char lock[LOCK_MAX];       /* rank 0: the file that the store is locked by; empty: none */
    uint64_t digest;           /* of the declarations */
    int32_t pid, bell;         /* bell: descriptor of the doorbell in that process */
    int32_t failed;            /* 0, or the error that this rank met */
} introduction_t;

/* --- start ------------------------------------------------------------------------------------------------------- */

static void introduce(introduction_t *mine, const mni_spawner_t *spawner,
                      const mni_machine_t *machine, const mni_store_t *store, int failed)
{
    char boot[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    *mine = (introduction_t){.digest = mni_declaration_digest(),
                             .pid = (int32_t)getpid(),
                             .bell = mni_spawner_doorbell_descriptor(spawner),
                             .failed = failed};
    if (file) {
        if (!fgets(boot, sizeof boot, file))
            boot[0] = '\0';
        fclose(file);
    }
    gethostname(mine->host, sizeof mine->host / 2);
    size_t length = strlen(mine->host);
    snprintf(mine->host + length, sizeof mine->host - length, "/%.36s", boot);
    if (machine) {
        snprintf(mine->allowed, sizeof mine->allowed, "%s", mni_machine_allowed(machine));
        mni_machine_gpus(machine, UINT64_MAX, mine->gpus, sizeof mine->gpus);
    }
    if (store && mni_store_lock_path(store))
        snprintf(mine->lock, sizeof mine->lock, "%s", mni_store_lock_path(store));
}

/* Opens the doorbell of another rank of this host. A failure costs only time: it is then polled for. */
static void meet_peer(mni_rank_t *rank, uint32_t number, const introduction_t *peer)
{
    if (mni_spawner_map_doorbell(peer->pid, peer->bell, &rank->peers[number].bell) == 0)
        mni_comm_set_bell(rank->comm, number, rank->peers[number].bell);
    else
        rank->all_near = false;
    if (!rank->embedded && (rank->number == 0 || number == 0))
        rank->peers[number].pidfd = (int)syscall(SYS_pidfd_open, peer->pid, 0);
}

/* Appends a list to one of them, after a comma. */
static void join_list(char *list, size_t room, const char *more)
{
    size_t length = strlen(list);
    if (more[0])
        snprintf(list + length, room - length, "%s%s", length ? "," : "", more);
}

/* Joins the processing units and GPUs of all ranks of this node to what the node offers. */
static int widen_machine(mni_rank_t *rank, const introduction_t *all)
{
    size_t room = (size_t)rank->size * (MNI_GPUS_TEXT + 1);
    char *list = calloc(1, room), *gpus = calloc(1, room);
    int rc = list && gpus ? 0 : mni_error(MN_E_NO_MEMORY, "no memory for the ranks of a node");

    for (uint32_t i = 0; rc == 0 && i < rank->size; i++) {
        if (rank->peers[i].node != rank->peers[rank->number].node)
            continue;
        join_list(list, room, all[i].allowed);
        join_list(gpus, room, all[i].gpus);
    }
    if (rc == 0)
        rc = mni_machine_widen(rank->machine, list, gpus);
    free(list);
    free(gpus);
    return rc;
}

_Static_assert(MNI_GPUS_TEXT >= ALLOWED_MAX, "lists of both have room");

/* The spawner outlives its rank when that is killed, until all that it started is gone. So long no other runtime may have the
 * store: it shares the store's lock. A host that does not see the store, or a path too long to be told, has no share. */
static void share_lock(const mni_rank_t *rank, const char *path)
{
    int shared = -1;

    if (rank->number == 0)
        shared = mni_store_lock_descriptor(rank->store);
    else if (path[0] != '\0')
        shared = mni_store_lock_join(path);
    if (shared >= 0)
        mni_spawner_hold(rank->spawner, shared); /* that it is gone is noticed elsewhere */
    if (rank->number != 0 && shared >= 0)
        close(shared);
}

/* Everything that needs to know of the other ranks. */
static int meet(mni_rank_t *rank, const introduction_t *mine, introduction_t *all)
{
    int rc = mni_comm_exchange(rank->comm, mine, sizeof *mine, all);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < rank->size; i++) {
        if (all[i].failed < 0)
            return i == rank->number ? all[i].failed
                                     : mni_error(all[i].failed, "rank %u could not start: %s", i,
                                                 mn_strerror(all[i].failed));
        if (all[i].digest != mine->digest)
            return mni_error(MN_E_WRONG_KIND,
                             "rank %u runs a program with other declarations than rank %u", i,
                             rank->number);
    }
    for (uint32_t i = 0; i < rank->size; i++) {
        uint32_t first = 0;
        while (strcmp(all[first].host, all[i].host) != 0)
            first++;
        rank->peers[i] = (peer_t){.node = first, .pidfd = -1};
    }
    rank->all_near = true;
    for (uint32_t i = 0; i < rank->size; i++) {
        if (i == rank->number)
            continue;
        if (rank->peers[i].node == rank->peers[rank->number].node)
            meet_peer(rank, i, &all[i]);
        else
            rank->all_near = false;
    }
    share_lock(rank, all[0].lock);
    return widen_machine(rank, all);
}

static int open_scheduler(mni_rank_t *rank, const mni_rank_options_t *options)
{
    mni_scheduler_options_t scheduler = {.store = rank->store,
                                         .durability = options->durability,
                                         .bell = rank->bell,
                                         .grace = options->grace,
                                         .drain_at = options->drain_at,
                                         .embedded = options->embedded};
    uint32_t *node_of = calloc(rank->size, sizeof *node_of);
    rank->gone = calloc(rank->size, sizeof *rank->gone);
    if (!node_of || !rank->gone) {
        free(node_of);
        return mni_error(MN_E_NO_MEMORY, "no memory for %u ranks", rank->size);
    }
    for (uint32_t i = 0; i < rank->size; i++)
        node_of[i] = rank->peers[i].node;
    scheduler.node_of = node_of;
    int rc = mni_scheduler_create(rank->comm, &scheduler, &rank->scheduler);
    free(node_of);
    return rc;
}

static void pump(void *argument)
{
    /* An error ends the runtime; the call that waits then sees the stop. */
    mni_rank_t *rank = argument;
    if (mni_rank_step(rank, 10 * MNI_MILLISECOND) < 0)
        __atomic_store_n(&mni_channel_control(rank->channel)->stop, MN_E_INTERRUPTED,
                         __ATOMIC_SEQ_CST);
}

static int open_client(mni_rank_t *rank)
{
    int rc;
    if ((rc = mni_channel_create(rank->bell, &rank->channel)) < 0 ||
        (rc = mni_channel_join(rank->channel, &rank->client)) < 0)
        return rc;
    mni_channel_set_pump(rank->client, pump, rank);
    return mni_worker_attach(rank->worker, rank->channel, MNI_TASK_DRIVER);
}

static int open_parts(mni_rank_t *rank, const mni_rank_options_t *options)
{
    mni_writer_t hello = {0};
    int rc = mni_worker_create(rank->comm, rank->spawner, rank->machine, options->executor_main,
                               options->driver_main, &rank->worker);
    if (rc == 0 && rank->number == 0)
        rc = open_scheduler(rank, options);
    if (rc == 0 && rank->number == 0 && rank->embedded)
        rc = open_client(rank);
    if (rc < 0)
        return rc;
    mni_scheduler_put_hello(&hello, mni_machine_offer(rank->machine));
    rc = mni_comm_send(rank->comm, 0, &hello);
    mni_writer_fini(&hello);
    return rc;
}

/* The other ranks know nothing of what has failed here (a store that cannot be read or written, once all have met), and would wait
 * for ever. Embedded ranks agree by themselves. */
static void dismiss(mni_rank_t *rank, int rc)
{
    char message[MNI_ERROR_MAX];
    mni_writer_t frame = {0};

    snprintf(message, sizeof message, "%s", mn_error_message());
    for (uint32_t i = 1; i < rank->size; i++) {
        mni_writer_begin(&frame, MNI_MSG_SHUTDOWN, 0);
        mni_comm_send(rank->comm, i, &frame);
    }
    mni_writer_fini(&frame);
    mni_error(rc, "%s", message);
}

int mni_rank_open(mni_comm_t *comm, mni_spawner_t *spawner, const mni_rank_options_t *options,
                  mni_rank_t **rank)
{
    mni_machine_options_t machine = {.cpus = options->cpus, .memory = options->memory};
    introduction_t mine, *all = NULL;
    mni_rank_t *made = calloc(1, sizeof *made);
    int rc = 0;

    if (!made) {
        mni_comm_close(comm);
        return mni_error(MN_E_NO_MEMORY, "no memory for a rank");
    }
    made->comm = comm;
    made->spawner = spawner;
    made->bell = mni_spawner_doorbell(spawner);
    made->embedded = options->embedded;
    made->number = mni_comm_rank(comm);
    made->size = mni_comm_size(comm);
    made->parent = !options->embedded && getenv("OMPI_COMM_WORLD_SIZE") ? getppid() : 0;
    made->pause = SLEEP_LEAST;
    made->peers = calloc(made->size, sizeof *made->peers);
    all = calloc(made->size, sizeof *all);
    if (!made->peers || !all)
        rc = mni_error(MN_E_NO_MEMORY, "no memory for %u ranks", made->size);
    /* What one rank cannot do all ranks must hear of: it is told in the introductions. */
    if (rc == 0)
        rc = mni_machine_open(&machine, &made->machine);
    if (rc == 0 && made->number == 0)
        rc = mni_store_open(options->store, &made->store);
    if (rc == 0 && made->store)
        mni_store_snapshot_age(made->store, options->snapshot);
    if (all && made->peers) {
        introduce(&mine, spawner, made->machine, made->store, rc);
        char message[MNI_ERROR_MAX];
        snprintf(message, sizeof message, "%s", mn_error_message());
        int met = meet(made, &mine, all);
        if (rc < 0)
            mni_error(rc, "%s", message);
        else
            rc = met;
    }
    if (rc == 0)
        rc = mni_rank_watch_begin(made, options->embedded ? 0 : options->heartbeat);
    if (rc == 0)
        if ((rc = open_parts(made, options)) < 0 && made->number == 0 && !made->embedded)
            dismiss(made, rc);
    free(all);
    if (rc < 0) {
        mni_rank_close(made);
        return rc;
    }
    *rank = made;
    return 0;
}

/* --- loop ---------------------------------------------------------------------------------------------------------- */

static bool for_scheduler(uint16_t type)
{
    switch (type) {
    case MNI_MSG_HELLO:
    case MNI_MSG_CALL:
    case MNI_MSG_TASK_YIELD:
    case MNI_MSG_TASK_PROGRESS:
    case MNI_MSG_TASK_ENDED:
    case MNI_MSG_SLOTS_WANT:
    case MNI_MSG_SLOT_FREE:
    case MNI_MSG_TASK_LOG_TEXT:
    case MNI_MSG_JOB_OUTPUT:
    case MNI_MSG_TASK_ADDRESS:
        return true;
    default:
        return false;
    }
}

static int handle(mni_rank_t *rank, uint32_t source, const void *frame, size_t size)
{
    mni_reader_t reader;
    int rc = mni_reader_begin(&reader, frame, size);
    if (rc < 0)
        return rc;
    if (reader.type == MNI_MSG_SHUTDOWN && source == 0) {
        rank->shutdown = true;
        rank->shutdown_at = mni_clock_now();
        mni_worker_shutdown(rank->worker);
        return 0;
    }
    if (reader.type == MNI_MSG_GOODBYE && rank->scheduler) {
        rank->gone[source] = true;
        mni_heartbeat_forget(&rank->heartbeat, source);
        return 0;
    }
    if (reader.type == MNI_MSG_HEARTBEAT)
        return mni_rank_take_heartbeat(rank, source, &reader);
    if (for_scheduler(reader.type))
        return rank->scheduler
                   ? mni_scheduler_handle(rank->scheduler, source, frame, size)
                   : mni_error(MN_E_PROTOCOL, "rank %u takes this one for rank 0", source);
    return mni_worker_handle(rank->worker, source, frame, size);
}

/* Takes frames that have arrived, but not so many that all else waits. 1: there were some. */
static int take_frames(mni_rank_t *rank)
{
    const void *frame;
    size_t size;
    uint32_t source;
    int rc = 0, worked = 0;

    for (unsigned i = 0; i < FRAMES_MOST; i++) {
        if ((rc = mni_comm_poll(rank->comm, &source, &frame, &size)) != 1)
            break;
        worked = 1;
        if (source != rank->number)
            mni_heartbeat_heard(&rank->heartbeat, source, mni_clock_now());
        if ((rc = handle(rank, source, frame, size)) < 0)
            return mni_error_prefix(rc, "a message from rank %u", source);
    }
    return rc < 0 ? rc : worked;
}

static void finish_when_done(mni_rank_t *rank, uint64_t now)
{
    if (!rank->shutdown || rank->over ||
        !(mni_worker_empty(rank->worker) || mni_worker_broken(rank->worker)))
        return;
    if (rank->number != 0) {
        mni_writer_t goodbye = {0};
        if (!rank->said_goodbye) {
            mni_writer_begin(&goodbye, MNI_MSG_GOODBYE, 0);
            mni_comm_send(rank->comm, 0, &goodbye);
            mni_writer_fini(&goodbye);
        }
        rank->said_goodbye = true;
        rank->over = !mni_comm_busy(rank->comm);
        return;
    }
    uint32_t missing = 0;
    for (uint32_t i = 1; i < rank->size; i++)
        missing += !rank->gone[i] && !mni_comm_is_lost(rank->comm, i);
    if (missing > 0 && now > rank->shutdown_at + GOODBYE_PATIENCE) {
        for (uint32_t i = 1; i < rank->size; i++)
            if (!rank->gone[i])
                mni_comm_lost(rank->comm, i);
        rank->any_lost = true;
        missing = 0;
    }
    rank->over = missing == 0;
}

static void take_drain(mni_rank_t *rank)
{
    int wanted = __atomic_load_n(&rank->drain_wanted, __ATOMIC_ACQUIRE);
    if (!rank->scheduler || wanted == rank->drain_done)
        return;
    rank->drain_done = wanted;
    mni_scheduler_drain(rank->scheduler, (mni_drain_t)wanted);
}

/* How long the rank may sleep. */
static uint64_t sleep_time(mni_rank_t *rank, uint64_t now, uint64_t patience)
{
    uint64_t limit = rank->all_near ? SLEEP_RUNG : rank->pause;
    uint64_t next = mni_worker_next_time(rank->worker);

    if (!rank->all_near)
        rank->pause = rank->pause * 2 < SLEEP_MOST ? rank->pause * 2 : SLEEP_MOST;
    if (mni_comm_busy(rank->comm) && limit > SLEEP_BUSY)
        limit = SLEEP_BUSY;
    if (rank->scheduler && mni_scheduler_next_time(rank->scheduler) < next)
        next = mni_scheduler_next_time(rank->scheduler);
    if (rank->heartbeat.beat_at < next)
        next = rank->heartbeat.beat_at;
    if (next <= now)
        return 0;
    if (next - now < limit)
        limit = next - now;
    return patience < limit ? patience : limit;
}

int mni_rank_step(mni_rank_t *rank, uint64_t patience)
{
    for (;;) {
        uint32_t seen = mni_doorbell_seen(rank->bell);
        uint64_t now = mni_clock_now();
        int rc, worked = 0;

        if ((rc = take_frames(rank)) < 0)
            return rc;
        worked |= rc;
        worked |= mni_worker_step(rank->worker, now);
        take_drain(rank);
        if (rank->scheduler)
            worked |= mni_scheduler_step(rank->scheduler, now);
        if ((rc = mni_rank_watch(rank, now)) < 0)
            return rc;
        finish_when_done(rank, now);
        if (rank->over)
            return 0;
        if (worked) {
            rank->hot_until = now + HOT_TIME;
            rank->pause = SLEEP_LEAST;
            if (rank->embedded)
                return 0; /* the call that waits may have its answer */
            continue;
        }
        if (now < rank->hot_until) {
            /* Whom it waits for may be on this core, and when all cores are given to tasks one is. */
            sched_yield();
            if (!mni_worker_leaves_core(rank->worker))
                rank->hot_until = now;
            continue;
        }
        uint64_t sleep = sleep_time(rank, now, patience);
        if (sleep > 0)
            mni_doorbell_sleep(rank->bell, seen, sleep);
        return 0;
    }
}

bool mni_rank_over(const mni_rank_t *rank)
{
    return rank->over;
}

bool mni_rank_orphan(const mni_rank_t *rank)
{
    return rank->orphan;
}

uint32_t mni_rank_number(const mni_rank_t *rank)
{
    return rank->number;
}

bool mni_rank_ready(const mni_rank_t *rank)
{
    return !rank->scheduler || mni_scheduler_ready(rank->scheduler);
}

void mni_rank_drain(mni_rank_t *rank, mni_drain_t how)
{
    int before = __atomic_load_n(&rank->drain_wanted, __ATOMIC_ACQUIRE);
    while (before < (int)how &&
           !__atomic_compare_exchange_n(&rank->drain_wanted, &before, (int)how, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    mni_doorbell_ring(rank->bell);
}

bool mni_rank_sending(const mni_rank_t *rank)
{
    return mni_comm_busy(rank->comm);
}

mni_channel_t *mni_rank_client(mni_rank_t *rank)
{
    return rank->client;
}

int mni_rank_open_outside(mni_rank_t *rank, mni_channel_t **channel)
{
    int rc;
    if ((rc = mni_channel_create(rank->bell, &rank->outside)) < 0 ||
        (rc = mni_channel_join(rank->outside, &rank->outsider)) < 0 ||
        (rc = mni_worker_attach(rank->worker, rank->outside, MNI_TASK_OUTSIDE)) < 0)
        return rc;
    *channel = rank->outsider;
    return 0;
}

const char *mni_rank_store(const mni_rank_t *rank)
{
    return mni_store_path(rank->store);
}

bool mni_rank_spans(const mni_rank_t *rank)
{
    for (uint32_t i = 1; i < rank->size; i++)
        if (rank->peers[i].node != rank->peers[0].node)
            return true;
    return false;
}

const char *mni_rank_damage(const mni_rank_t *rank)
{
    return mni_store_damage(rank->store);
}

bool mni_rank_warning(mni_rank_t *rank, char *text, size_t room)
{
    return rank->store && mni_store_snapshot_trouble(rank->store, text, room);
}

int mni_rank_status(const mni_rank_t *rank, const char **error)
{
    return mni_scheduler_status(rank->scheduler, error);
}

bool mni_rank_close(mni_rank_t *rank)
{
    if (!rank)
        return false;
    bool any_lost = rank->any_lost;
    if (rank->embedded)
        mni_spawner_hold(rank->spawner, -1); /* it goes on without this runtime */
    mni_worker_destroy(rank->worker);
    mni_scheduler_destroy(rank->scheduler);
    mni_channel_destroy(rank->client);
    mni_channel_destroy(rank->channel);
    mni_channel_destroy(rank->outsider);
    mni_channel_destroy(rank->outside);
    mni_store_close(rank->store);
    mni_comm_close(rank->comm);
    mni_machine_close(rank->machine);
    for (uint32_t i = 0; rank->peers && i < rank->size; i++) {
        if (rank->peers[i].pidfd >= 0)
            close(rank->peers[i].pidfd);
        if (rank->peers[i].bell)
            mni_spawner_unmap_doorbell(rank->peers[i].bell);
    }
    mni_heartbeat_fini(&rank->heartbeat);
    free(rank->peers);
    free(rank->gone);
    free(rank);
    return any_lost;
}
