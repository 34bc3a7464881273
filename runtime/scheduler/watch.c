/* SPDX-License-Identifier: MIT
 *
 * How a rank notices that others are gone: through pidfds those of its host, through silence all. Main thread.
 */
#include "scheduler/rank_private.h"

#include "util/clock.h"
#include "util/error.h"
#include "wire/message.h"

#include <poll.h>
#include <unistd.h>

/* How often processes are looked after. */
#define WATCH_INTERVAL (200 * MNI_MILLISECOND)

/* T1 of a worker as a share of T2, and heartbeats within T2. */
#define WORKER_SHARE 0.75
#define BEATS 5

static bool process_ended(int pidfd)
{
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && poll(&wait, 1, 0) == 1;
}

static void rank_lost(mni_rank_t *rank, uint32_t number)
{
    rank->any_lost = true;
    if (rank->peers[number].pidfd >= 0)
        close(rank->peers[number].pidfd);
    rank->peers[number].pidfd = -1;
    mni_heartbeat_forget(&rank->heartbeat, number);
    if (!rank->gone[number])
        mni_scheduler_rank_lost(rank->scheduler, number);
}

/* --- heartbeats ------------------------------------------------------------------------------------------------- */

int mni_rank_watch_begin(mni_rank_t *rank, double heartbeat)
{
    bool worker = rank->number != 0;

    mni_spawner_lease(rank->spawner, heartbeat * WORKER_SHARE);
    return mni_heartbeat_init(&rank->heartbeat, worker ? 1 : rank->size,
                              worker ? heartbeat * WORKER_SHARE : heartbeat, heartbeat / BEATS);
}

int mni_rank_take_heartbeat(mni_rank_t *rank, uint32_t source, mni_reader_t *reader)
{
    uint8_t last = mni_get_u8(reader);
    int rc = mni_reader_end(reader);

    if (rc < 0 || !last)
        return rc;
    if (source != 0)
        return mni_error(MN_E_PROTOCOL, "rank %u ends heartbeats", source);
    /* Nothing runs any more; rank 0 writes the store, and takes its time. */
    mni_spawner_lease(rank->spawner, 0);
    mni_heartbeat_forget(&rank->heartbeat, 0);
    return 0;
}

static int send_beat(mni_rank_t *rank, uint32_t to)
{
    mni_writer_t frame = {0};
    mni_writer_begin(&frame, MNI_MSG_HEARTBEAT, 0);
    mni_put_u8(&frame, 0);
    int rc = mni_comm_send(rank->comm, to, &frame);
    mni_writer_fini(&frame);
    return rc;
}

/* Tells the others that this rank is there, renews the lease of its spawner, and looks who is silent. */
static int beat(mni_rank_t *rank, uint64_t now)
{
    int rc = 0;

    mni_spawner_renew(rank->spawner, now);
    if (mni_heartbeat_due(&rank->heartbeat, now)) {
        for (uint32_t i = 1; rank->number == 0 && rc == 0 && i < rank->size; i++)
            if (!rank->gone[i])
                rc = send_beat(rank, i);
        if (rank->number != 0 && !rank->said_goodbye)
            rc = send_beat(rank, 0);
        if (rc < 0)
            return rc;
    }
    int64_t silent = mni_heartbeat_look(&rank->heartbeat, now);
    if (silent < 0)
        return 0;
    if (rank->number != 0)
        return mni_error(MN_E_LOST, "rank 0 has not been heard of for %g s",
                         (double)rank->heartbeat.limit * 1e-9);
    rank_lost(rank, (uint32_t)silent);
    return 0;
}

int mni_rank_watch(mni_rank_t *rank, uint64_t now)
{
    int rc = beat(rank, now);

    if (rc < 0)
        return rc;
    if (now < rank->watch_at)
        return 0;
    rank->watch_at = now + WATCH_INTERVAL;
    if (rank->parent != 0 && getppid() != rank->parent) {
        rank->orphan = true;
        return mni_error(MN_E_LOST, "mpirun is gone");
    }
    if (mni_worker_broken(rank->worker) && !rank->shutdown)
        return mni_error(MN_E_LOST, "the process that starts executors on rank %u is gone",
                         rank->number);
    for (uint32_t i = 0; i < rank->size; i++) {
        if (!process_ended(rank->peers[i].pidfd))
            continue;
        if (rank->number != 0 && !rank->shutdown) {
            rank->orphan = true;
            return mni_error(MN_E_LOST, "rank 0 is gone");
        }
        if (rank->number == 0)
            rank_lost(rank, i);
    }
    return 0;
}
