/* SPDX-License-Identifier: MIT
 *
 * See keeper.h. The mutex guards the journal's waiting records and the flags, never a write.
 */
#include "store/keeper.h"

#include "store/folder.h"
#include "store/points.h"
#include "util/error.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRY_PAUSE 200000000L /* nanoseconds between two attempts to write */

/* After a group of so many records the next one waits so long (nanoseconds): when many come, few large groups cost less than many
 * small ones, each of which takes a core from what runs. Whoever waits for one record alone does not wait longer for it, nor who
 * starts many jobs by one message, which make an ample group. */
#define MANY 8u
#define AMPLE 512u
#define REST 2000000

#define OVER "nothing more is written to the journal"

/* A journal that is to follow. */
typedef struct follow {
    mni_journal_t *journal;
    mni_journal_cursor_t cursor;
    mn_id_t store;
    const char *folder;
    bool done;
    int rc;
    char error[MNI_ERROR_MAX];
} follow_t;

struct mni_keeper {
    mni_journal_t *journal;
    mni_files_t *files;
    mni_doorbell_t *bell;
    bool sync;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t more;
    bool wanted, stop, over; /* under the mutex; over: the thread does nothing any more */
    char trouble[MNI_ERROR_MAX];
    mni_keeper_hear_t *hear;
    void *hear_argument;
    follow_t *follow; /* under the mutex: what mni_keeper_follow() waits for */
    pthread_cond_t followed;
    bool uncommitted; /* the putting thread's */
    uint64_t last;
    uint64_t kept; /* atomic */
    int troubled;  /* atomic: 0, 1, 2 for good */
};

static void wait_a_while(mni_keeper_t *keeper)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += RETRY_PAUSE;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&keeper->more, &keeper->mutex, &until);
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = REST}, NULL);
}

/* Writes the group that was taken; the mutex is held before and after. */
static bool write_group(mni_keeper_t *keeper)
{
    uint64_t before = mni_journal_written(keeper->journal);

    pthread_mutex_unlock(&keeper->mutex);
    int rc = mni_files_write(keeper->files, keeper->sync);
    if (rc == 0)
        rc = mni_journal_write(keeper->journal, keeper->sync);
    if (rc == 0)
        mni_journal_seal(keeper->journal);
    pthread_mutex_lock(&keeper->mutex);
    if (rc < 0) {
        snprintf(keeper->trouble, sizeof keeper->trouble, "%s", mn_error_message());
        __atomic_store_n(&keeper->troubled, mni_journal_broken(keeper->journal) ? 2 : 1,
                         __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(&keeper->kept, mni_journal_written(keeper->journal), __ATOMIC_RELEASE);
        __atomic_store_n(&keeper->troubled, 0, __ATOMIC_RELEASE);
    }
    if (rc == 0 && keeper->hear)
        keeper->hear(keeper->hear_argument, mni_journal_written(keeper->journal),
                     mni_journal_bytes(keeper->journal));
    mni_doorbell_ring(keeper->bell);
    if (rc == 0) {
        pthread_mutex_unlock(&keeper->mutex);
        mni_files_delete(keeper->files, keeper->kept);
        uint64_t group = mni_journal_written(keeper->journal) - before;
        if (group >= MANY && group < AMPLE)
            rest();
        pthread_mutex_lock(&keeper->mutex);
    }
    return rc == 0;
}

/* The part that needs the disk: afterwards the follower's file is in the journal's place, and has all that the journal has. */
static int put_into_place(mni_journal_t *journal, follow_t *follow)
{
    mni_journal_map_t *map = NULL;
    int rc = mni_journal_map(mni_journal_path(journal), follow->store, &map);

    if (rc == 0)
        rc = mni_journal_copy(follow->journal, map, &follow->cursor, mni_journal_written(journal));
    mni_journal_unmap(map);
    if (rc == 0)
        rc = mni_journal_rename(follow->journal, journal);
    if (rc < 0)
        return rc;
    if ((rc = mni_folder_sync(follow->folder)) < 0) {
        mni_journal_break(journal); /* after a power loss either file may be there */
        return mni_error_prefix(rc, "the journal %s", mni_journal_path(journal));
    }
    return 0;
}

/* Brings the follower into place; the mutex is held before and after. */
static void follow_now(mni_keeper_t *keeper)
{
    follow_t *follow = keeper->follow;

    pthread_mutex_unlock(&keeper->mutex);
    int rc = put_into_place(keeper->journal, follow);
    pthread_mutex_lock(&keeper->mutex);
    if (rc == 0) {
        mni_journal_adopt(keeper->journal, follow->journal);
        if (keeper->hear)
            keeper->hear(keeper->hear_argument, mni_journal_written(keeper->journal),
                         mni_journal_bytes(keeper->journal));
    } else {
        snprintf(follow->error, sizeof follow->error, "%s", mn_error_message());
        if (mni_journal_broken(keeper->journal)) {
            snprintf(keeper->trouble, sizeof keeper->trouble, "%s", mn_error_message());
            __atomic_store_n(&keeper->troubled, 2, __ATOMIC_RELEASE);
            mni_journal_close(follow->journal);
            mni_doorbell_ring(keeper->bell);
        } else
            mni_journal_drop(follow->journal);
    }
    follow->rc = rc;
    follow->done = true;
    keeper->follow = NULL;
    pthread_cond_signal(&keeper->followed);
}

/* Whoever waits for a follower is told why there is none; the mutex is held. */
static void follow_not(mni_keeper_t *keeper, const char *why)
{
    follow_t *follow = keeper->follow;

    if (!follow)
        return;
    mni_journal_drop(follow->journal);
    snprintf(follow->error, sizeof follow->error, "%s", why);
    follow->rc = MN_E_STORE;
    follow->done = true;
    keeper->follow = NULL;
    pthread_cond_signal(&keeper->followed);
}

static void *keep(void *argument)
{
    mni_keeper_t *keeper = argument;
    bool good = true;

    pthread_mutex_lock(&keeper->mutex);
    for (;;) {
        while (good && !keeper->wanted && !keeper->stop && !keeper->follow)
            pthread_cond_wait(&keeper->more, &keeper->mutex);
        if (!good && !keeper->stop)
            wait_a_while(keeper);
        keeper->wanted = false;
        bool again = !good, stop = keeper->stop, taken = mni_journal_take(keeper->journal);
        if (taken || again)
            good = write_group(keeper);
        if (again && good) /* what was committed meanwhile comes next */
            keeper->wanted = true;
        if (keeper->follow && good)
            follow_now(keeper);
        else if (keeper->follow) /* who waits for it may be waited for by who ends us */
            follow_not(keeper, keeper->trouble);
        if (__atomic_load_n(&keeper->troubled, __ATOMIC_RELAXED) == 2)
            break;
        if (stop && (!good || !(taken || again)))
            break;
    }
    keeper->over = true;
    follow_not(keeper, OVER);
    pthread_mutex_unlock(&keeper->mutex);
    return NULL;
}

int mni_keeper_start(mni_journal_t *journal, mni_files_t *files, bool sync, mni_doorbell_t *bell,
                     mni_keeper_t **keeper)
{
    mni_keeper_t *made = calloc(1, sizeof *made);
    sigset_t all, before;
    int rc;

    if (!made) {
        mni_journal_close(journal);
        return mni_error(MN_E_NO_MEMORY, "no memory for the keeper of the journal");
    }
    *made = (mni_keeper_t){.journal = journal,
                           .files = files,
                           .bell = bell,
                           .sync = sync,
                           .mutex = PTHREAD_MUTEX_INITIALIZER,
                           .more = PTHREAD_COND_INITIALIZER,
                           .followed = PTHREAD_COND_INITIALIZER,
                           .last = mni_journal_written(journal),
                           .kept = mni_journal_written(journal)};
    sigfillset(&all); /* signals are for the rank's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&made->thread, NULL, keep, made);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        mni_journal_close(journal);
        free(made);
        return mni_error(MN_E_STORE, "no thread for the keeper of the journal: %s", strerror(rc));
    }
    *keeper = made;
    return 0;
}

void mni_keeper_watch(mni_keeper_t *keeper, mni_keeper_hear_t *hear, void *argument)
{
    pthread_mutex_lock(&keeper->mutex);
    keeper->hear = hear;
    keeper->hear_argument = argument;
    pthread_mutex_unlock(&keeper->mutex);
}

int mni_keeper_follow(mni_keeper_t *keeper, mni_journal_t *follower, mni_journal_cursor_t cursor,
                      mn_id_t store, const char *folder)
{
    follow_t follow = {.journal = follower, .cursor = cursor, .store = store, .folder = folder};

    pthread_mutex_lock(&keeper->mutex);
    keeper->follow = &follow;
    if (keeper->over)
        follow_not(keeper, OVER);
    pthread_cond_signal(&keeper->more);
    while (!follow.done)
        pthread_cond_wait(&keeper->followed, &keeper->mutex);
    pthread_mutex_unlock(&keeper->mutex);
    return follow.rc < 0 ? mni_error(follow.rc, "%s", follow.error) : 0;
}

int mni_keeper_stop(mni_keeper_t *keeper)
{
    int rc;

    if (!keeper)
        return 0;
    pthread_mutex_lock(&keeper->mutex);
    keeper->stop = true;
    pthread_cond_signal(&keeper->more);
    pthread_mutex_unlock(&keeper->mutex);
    pthread_join(keeper->thread, NULL);
    rc = mni_keeper_trouble(keeper, NULL);
    mni_journal_close(keeper->journal);
    pthread_cond_destroy(&keeper->more);
    pthread_cond_destroy(&keeper->followed);
    pthread_mutex_destroy(&keeper->mutex);
    free(keeper);
    return rc;
}

int mni_keeper_put(mni_keeper_t *keeper, uint32_t type, const void *data, size_t size)
{
    pthread_mutex_lock(&keeper->mutex);
    uint64_t number = mni_journal_put(keeper->journal, type, data, size);
    pthread_mutex_unlock(&keeper->mutex);
    if (number == 0)
        return MN_E_NO_MEMORY;
    keeper->last = number;
    keeper->uncommitted = true;
    return 0;
}

void mni_keeper_commit(mni_keeper_t *keeper)
{
    if (!keeper->uncommitted)
        return;
    keeper->uncommitted = false;
    pthread_mutex_lock(&keeper->mutex);
    keeper->wanted = true;
    pthread_cond_signal(&keeper->more);
    pthread_mutex_unlock(&keeper->mutex);
}

uint64_t mni_keeper_last(const mni_keeper_t *keeper)
{
    return keeper->last;
}

uint64_t mni_keeper_kept(const mni_keeper_t *keeper)
{
    return __atomic_load_n(&keeper->kept, __ATOMIC_ACQUIRE);
}

int mni_keeper_trouble(mni_keeper_t *keeper, bool *for_good)
{
    int troubled = __atomic_load_n(&keeper->troubled, __ATOMIC_ACQUIRE), rc = 0;

    if (troubled != 0) {
        pthread_mutex_lock(&keeper->mutex);
        rc = mni_error(MN_E_STORE, "%s", keeper->trouble);
        pthread_mutex_unlock(&keeper->mutex);
    }
    if (for_good)
        *for_good = troubled == 2;
    return rc;
}

uint64_t mni_keeper_bytes(const mni_keeper_t *keeper)
{
    return mni_journal_bytes(keeper->journal);
}
