/* SPDX-License-Identifier: MIT
 *
 * The line to the scheduler: see desk.h. Two locks: `sending` is held while a frame is written, which may take as long as the
 * scheduler is busy; `lock` guards the table of what was asked, and is held for moments.
 */
#include "service/desk.h"

#include "util/clock.h"
#include "util/error.h"
#include "util/hash.h"
#include "wire/message.h"

#include <endian.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_AT 8 /* place of the request's number in a frame */

typedef struct asked {
    uint64_t number;
    mni_desk_answer_t *answer;
    void *argument;
    UT_hash_handle hh;
} asked_t;

struct mni_desk {
    mni_channel_t *channel;
    pthread_mutex_t sending, lock;
    pthread_t thread;
    asked_t *asked;
    uint64_t number;
    bool shut;      /* nothing is asked any more */
    bool thread_on; /* there is one to be joined */
};

static asked_t *take(mni_desk_t *desk, uint64_t number)
{
    asked_t *asked = NULL;

    pthread_mutex_lock(&desk->lock);
    HASH_FIND(hh, desk->asked, &number, sizeof number, asked);
    if (asked)
        HASH_DELETE(hh, desk->asked, asked);
    pthread_mutex_unlock(&desk->lock);
    return asked;
}

static void answer(mni_desk_t *desk, uint64_t number, const void *frame, size_t size)
{
    asked_t *asked = take(desk, number);

    if (asked)
        asked->answer(asked->argument, frame, size);
    free(asked);
}

static bool is_shut(mni_desk_t *desk)
{
    pthread_mutex_lock(&desk->lock);
    bool shut = desk->shut;
    pthread_mutex_unlock(&desk->lock);
    return shut;
}

static void *serve(void *argument)
{
    mni_desk_t *desk = argument;
    mni_reader_t reader;
    const void *frame;
    size_t size;
    int rc = 0;

    while (!is_shut(desk) && rc >= 0) {
        while ((rc = mni_channel_receive(desk->channel, &frame, &size)) == 1)
            if (mni_reader_begin(&reader, frame, size) == 0 && reader.type == MNI_MSG_REPLY)
                answer(desk, reader.request, frame, size);
        if (rc == 0)
            mni_channel_wait(desk->channel, MNI_NEVER);
    }
    return NULL;
}

int mni_desk_open(mni_channel_t *channel, mni_desk_t **desk)
{
    mni_desk_t *made = calloc(1, sizeof *made);
    sigset_t all, before;

    if (!made)
        return mni_error(MN_E_NO_MEMORY, "no memory for the line to the scheduler");
    made->channel = channel;
    pthread_mutex_init(&made->sending, NULL);
    pthread_mutex_init(&made->lock, NULL);
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    made->thread_on = pthread_create(&made->thread, NULL, serve, made) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!made->thread_on) {
        mni_desk_close(made);
        return mni_error(MN_E_SYSTEM, "cannot start a thread for the line to the scheduler");
    }
    *desk = made;
    return 0;
}

/* Notes a request. Its number; 0: there is no memory, or the desk is shut. */
static uint64_t note(mni_desk_t *desk, mni_desk_answer_t *call, void *argument)
{
    asked_t *asked = malloc(sizeof *asked);
    uint64_t number = 0;

    if (!asked)
        return 0;
    pthread_mutex_lock(&desk->lock);
    if (!desk->shut) {
        number = ++desk->number;
        *asked = (asked_t){.number = number, .answer = call, .argument = argument};
        HASH_ADD(hh, desk->asked, number, sizeof asked->number, asked);
        if (MNI_HASH_FAILED(asked))
            number = 0;
    }
    pthread_mutex_unlock(&desk->lock);
    if (number == 0)
        free(asked);
    return number;
}

void mni_desk_ask(mni_desk_t *desk, mni_writer_t *writer, mni_desk_answer_t *call, void *argument)
{
    uint64_t number = 0;
    int rc = mni_writer_end(writer);

    if (rc < 0 || (number = note(desk, call, argument)) == 0) {
        call(argument, NULL, 0);
        return;
    }
    uint64_t little = htole64(number);
    memcpy(writer->data + REQUEST_AT, &little, sizeof little);
    pthread_mutex_lock(&desk->sending);
    rc = mni_channel_send(desk->channel, writer->data, writer->size);
    pthread_mutex_unlock(&desk->sending);
    if (rc < 0)
        answer(desk, number, NULL, 0);
}

size_t mni_desk_waiting(mni_desk_t *desk)
{
    pthread_mutex_lock(&desk->lock);
    size_t count = HASH_COUNT(desk->asked);
    pthread_mutex_unlock(&desk->lock);
    return count;
}

void mni_desk_shut(mni_desk_t *desk)
{
    asked_t *asked, *next, *left;

    pthread_mutex_lock(&desk->lock);
    desk->shut = true;
    left = desk->asked;
    desk->asked = NULL;
    pthread_mutex_unlock(&desk->lock);
    if (desk->thread_on) {
        mni_channel_give_up(desk->channel); /* whoever waits for room there has it refused */
        mni_doorbell_ring(&mni_channel_control(desk->channel)->bell);
        pthread_join(desk->thread, NULL);
    }
    desk->thread_on = false;
    HASH_ITER (hh, left, asked, next) {
        HASH_DELETE(hh, left, asked);
        asked->answer(asked->argument, NULL, 0);
        free(asked);
    }
}

void mni_desk_close(mni_desk_t *desk)
{
    if (!desk)
        return;
    mni_desk_shut(desk);
    pthread_mutex_destroy(&desk->sending);
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}
