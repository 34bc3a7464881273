/* SPDX-License-Identifier: MIT
 *
 * See snapshot.h. The mutex guards what the keeper tells and what it is told; it is never held during a fold.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/clock.h"
#include "util/error.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Below this many bytes a journal is read in no time: it is not worth the copy of the file. */
#define BYTES_LEAST (UINT64_C(64) << 20)
/* A journal as long as the file: what is written in all by copying the file again and again is then at most twice its final
 * size, and what recovery reads at most twice what it has to. */
#define SHARE 1.0
/* So many times as long as the last fold took there is none, so that they cost at most 5 in 100 of a core; but for an age of 0,
 * which asks for one after the other. */
#define REST 20
#define NICENESS 10

double mni_snapshot_retry = 10;

struct mni_snapshot {
    const mni_place_t *place;
    mni_keeper_t *keeper;
    mni_doorbell_t *bell;
    double age;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    bool stop;
    uint64_t kept, bytes; /* as the keeper says */
    uint64_t included;    /* as the file says */
    double oldest;        /* when the first change came that the file does not include */
    double not_before;
    uint64_t limit; /* bytes of the journal at which it is time */
    bool failing;
    bool untold; /* atomic */
    char trouble[MNI_ERROR_MAX];
};

static double now(void)
{
    return 1e-9 * (double)mni_clock_now();
}

static uint64_t limit_of(const mni_place_t *place)
{
    struct stat found;
    double share = stat(place->path, &found) == 0 ? SHARE * (double)found.st_size : 0;

    return share > (double)BYTES_LEAST ? (uint64_t)share : BYTES_LEAST;
}

/* The keeper's thread. */
static void hear(void *argument, uint64_t kept, uint64_t bytes)
{
    mni_snapshot_t *snapshot = argument;

    pthread_mutex_lock(&snapshot->mutex);
    bool first = snapshot->kept == snapshot->included,
         full = snapshot->bytes < snapshot->limit && bytes >= snapshot->limit;
    snapshot->kept = kept;
    snapshot->bytes = bytes;
    if (first)
        snapshot->oldest = now();
    if (first || full)
        pthread_cond_signal(&snapshot->more);
    pthread_mutex_unlock(&snapshot->mutex);
}

/* Folds all that is kept, without the mutex. */
static int fold(mni_snapshot_t *snapshot, uint64_t included, uint64_t upto)
{
    mni_journal_cursor_t cursor;
    mni_journal_t *follower = NULL;
    mni_hdf5_t before;

    mni_hdf5_enter(&before);
    int rc = mni_fold(snapshot->place, included, upto, false);
    mni_hdf5_leave(&before);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&snapshot->mutex);
    snapshot->included = upto;
    uint64_t kept = snapshot->kept;
    pthread_mutex_unlock(&snapshot->mutex);
    mni_files_included(snapshot->place->files, upto);
    mni_files_delete(snapshot->place->files, kept);
    if ((rc = mni_fold_follow(snapshot->place, upto, kept, &follower, &cursor)) < 0)
        return rc;
    return mni_keeper_follow(snapshot->keeper, follower, cursor, snapshot->place->id,
                             snapshot->place->folder);
}

/* One snapshot; the mutex is held before and after. */
static void make(mni_snapshot_t *snapshot)
{
    /* from here on no file is deleted that a record up to `upto` names */
    mni_files_including(snapshot->place->files, UINT64_MAX);
    uint64_t included = snapshot->included, upto = snapshot->kept;
    double begin = now();

    mni_files_including(snapshot->place->files, upto);

    pthread_mutex_unlock(&snapshot->mutex);
    int rc = fold(snapshot, included, upto);
    uint64_t limit = limit_of(snapshot->place);
    double end = now();
    pthread_mutex_lock(&snapshot->mutex);
    snapshot->limit = limit;
    snapshot->oldest = begin; /* what came meanwhile is not older */
    snapshot->not_before = snapshot->age > 0 ? end + REST * (end - begin) : end;
    if (rc == 0) {
        snapshot->failing = false;
        return;
    }
    if (snapshot->not_before < end + mni_snapshot_retry)
        snapshot->not_before = end + mni_snapshot_retry;
    snprintf(snapshot->trouble, sizeof snapshot->trouble, "%s", mn_error_message());
    if (!snapshot->failing) {
        __atomic_store_n(&snapshot->untold, true, __ATOMIC_RELEASE);
        mni_doorbell_ring(snapshot->bell);
    }
    snapshot->failing = true;
}

/* Waits until there is something to do, or the time has come. */
static void await(mni_snapshot_t *snapshot, double until)
{
    struct timespec at = {.tv_sec = (time_t)until,
                          .tv_nsec = (long)((until - (double)(time_t)until) * 1e9)};
    pthread_cond_timedwait(&snapshot->more, &snapshot->mutex, &at);
}

static void *run(void *argument)
{
    mni_snapshot_t *snapshot = argument;

    /* the rank and what it runs go first; on Linux this is the thread's own */
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
    pthread_mutex_lock(&snapshot->mutex);
    while (!snapshot->stop) {
        if (snapshot->kept == snapshot->included) {
            pthread_cond_wait(&snapshot->more, &snapshot->mutex);
            continue;
        }
        double due = snapshot->bytes >= snapshot->limit ? now() : snapshot->oldest + snapshot->age;
        if (due < snapshot->not_before)
            due = snapshot->not_before;
        if (now() < due)
            await(snapshot, due);
        else
            make(snapshot);
    }
    pthread_mutex_unlock(&snapshot->mutex);
    return NULL;
}

static void snapshot_free(mni_snapshot_t *snapshot)
{
    pthread_cond_destroy(&snapshot->more);
    pthread_mutex_destroy(&snapshot->mutex);
    free(snapshot);
}

int mni_snapshot_start(const mni_place_t *place, mni_keeper_t *keeper, mni_doorbell_t *bell,
                       uint64_t included, double age, mni_snapshot_t **snapshot)
{
    mni_snapshot_t *made = calloc(1, sizeof *made);
    pthread_condattr_t monotonic;
    sigset_t all, before;
    int rc;

    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for the thread that makes snapshots");
    *made = (mni_snapshot_t){.place = place,
                             .keeper = keeper,
                             .bell = bell,
                             .age = age,
                             .kept = mni_keeper_kept(keeper),
                             .bytes = mni_keeper_bytes(keeper),
                             .included = included,
                             .oldest = now(),
                             .limit = limit_of(place)};
    pthread_mutex_init(&made->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&made->more, &monotonic);
    pthread_condattr_destroy(&monotonic);
    mni_keeper_watch(keeper, hear, made);
    sigfillset(&all); /* signals are for the rank's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&made->thread, NULL, run, made);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        mni_keeper_watch(keeper, NULL, NULL);
        snapshot_free(made);
        return mni_error(MN_E_STORE, "no thread for snapshots of the store: %s", strerror(rc));
    }
    *snapshot = made;
    return 0;
}

uint64_t mni_snapshot_stop(mni_snapshot_t *snapshot)
{
    pthread_mutex_lock(&snapshot->mutex);
    snapshot->stop = true;
    pthread_cond_signal(&snapshot->more);
    pthread_mutex_unlock(&snapshot->mutex);
    pthread_join(snapshot->thread, NULL);
    mni_keeper_watch(snapshot->keeper, NULL, NULL);
    uint64_t included = snapshot->included;
    snapshot_free(snapshot);
    return included;
}

bool mni_snapshot_trouble(mni_snapshot_t *snapshot, char *text, size_t room)
{
    if (!__atomic_load_n(&snapshot->untold, __ATOMIC_ACQUIRE))
        return false;
    pthread_mutex_lock(&snapshot->mutex);
    __atomic_store_n(&snapshot->untold, false, __ATOMIC_RELAXED);
    snprintf(text, room, "%s", snapshot->trouble);
    pthread_mutex_unlock(&snapshot->mutex);
    return true;
}
