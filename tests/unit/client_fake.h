/* SPDX-License-Identifier: MIT
 *
 * A worker played by a test, for the tests of the client: either in the same process, called by the
 * channel's pump whenever the client waits, or as the parent of a forked executor or driver.
 */
#ifndef TESTS_UNIT_CLIENT_FAKE_H
#define TESTS_UNIT_CLIENT_FAKE_H

#include "client/client.h"
#include "core/declare.h"
#include "util/clock.h"
#include "util/error.h"
#include "wire/message.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FAKE_PATIENCE (20 * MNI_SECOND) /* how long something may take that must come */

typedef struct fake {
    mni_doorbell_t *bell;
    mni_channel_t *worker, *client; /* client: of the same process */
    mn_task_t *task;
    void (*answer)(struct fake *fake, mni_reader_t *reader); /* what the worker does with a frame */
    void (*idle)(struct fake *fake); /* and when none is there; NULL: it waits */
    mni_writer_t writer;
    int frames; /* that came from the client */
    uint64_t idle_since;
    pid_t pid;
} fake_t;

static inline void fake_says(const char *part)
{
    if (!strstr(mn_error_message(), part))
        fail_msg("\"%s\" does not say \"%s\"", mn_error_message(), part);
}

static inline void fake_send(fake_t *fake)
{
    assert_int_equal(mni_writer_end(&fake->writer), 0);
    assert_int_equal(mni_channel_post(fake->worker, fake->writer.data, fake->writer.size), 0);
}

/* Begins a REPLY; more fields may follow, then fake_send(). */
static inline mni_writer_t *fake_reply(fake_t *fake, uint64_t request, int code,
                                       const char *message)
{
    mni_writer_begin(&fake->writer, MNI_MSG_REPLY, request);
    mni_put_i32(&fake->writer, code);
    mni_put_text(&fake->writer, message);
    return &fake->writer;
}

static inline mni_writer_t *fake_begin(fake_t *fake, uint16_t type, uint64_t request)
{
    mni_writer_begin(&fake->writer, type, request);
    return &fake->writer;
}

static inline void fake_end_map(fake_t *fake, uint64_t map, int code, uint64_t index,
                                const char *message)
{
    fake_begin(fake, MNI_MSG_MAP_END, map);
    mni_put_i32(&fake->writer, code);
    mni_put_u64(&fake->writer, index);
    mni_put_text(&fake->writer, message);
    fake_send(fake);
}

static inline void fake_stop(fake_t *fake, int code)
{
    mni_control_t *control = mni_channel_control(fake->worker);
    __atomic_store_n(&control->stop, code, __ATOMIC_RELEASE);
    mni_doorbell_ring(&control->bell);
}

/* Takes a frame if there is one; the caller reads its fields. */
static inline bool fake_take(fake_t *fake, mni_reader_t *reader)
{
    const void *frame;
    size_t size;
    mni_channel_flush(fake->worker);
    int rc = mni_channel_poll(fake->worker, &frame, &size);
    assert_true(rc >= 0);
    if (rc == 0)
        return false;
    assert_int_equal(mni_reader_begin(reader, frame, size), 0);
    fake->frames++;
    return true;
}

/* --- in the same process
 * ------------------------------------------------------------------------------- */

static inline void fake_pump(void *argument)
{
    fake_t *fake = argument;
    mni_reader_t reader;
    bool any = false;
    while (fake_take(fake, &reader)) {
        any = true;
        assert_non_null(fake->answer);
        fake->answer(fake, &reader);
        if (reader.failed || reader.at != reader.end)
            fail_msg("the fields of %s were not read to their end", mni_message_name(reader.type));
    }
    if (any) {
        fake->idle_since = 0;
    } else if (fake->idle) {
        fake->idle(fake);
    } else if (fake->idle_since == 0) {
        fake->idle_since = mni_clock_now();
    } else if (mni_clock_now() - fake->idle_since > FAKE_PATIENCE) {
        fail_msg("the client waits for something that does not come");
    }
}

/* An embedded client whose worker is this test. */
static inline int fake_open(void **state)
{
    fake_t *fake = calloc(1, sizeof *fake);
    fake->bell = calloc(1, sizeof *fake->bell + 64);
    assert_int_equal(mni_channel_create(fake->bell, &fake->worker), 0);
    assert_int_equal(mni_channel_join(fake->worker, &fake->client), 0);
    mni_channel_set_pump(fake->client, fake_pump, fake);
    assert_int_equal(mni_client_open(fake->client, &fake->task), 0);
    *state = fake;
    return 0;
}

static inline int fake_close(void **state)
{
    fake_t *fake = *state;
    mni_client_close();
    mni_channel_destroy(fake->client);
    mni_channel_destroy(fake->worker);
    mni_writer_fini(&fake->writer);
    free(fake->bell);
    free(fake);
    return 0;
}

/* --- a forked process
 * ---------------------------------------------------------------------------------- */

/* Forks a process that runs `serve` (mni_client_serve or mni_client_drive) with this test as its
 * worker. */
static inline void fake_fork(fake_t *fake, int (*serve)(mni_channel_t *channel))
{
    memset(fake, 0, sizeof *fake);
    fake->bell = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(fake->bell != MAP_FAILED);
    assert_int_equal(mni_channel_create(fake->bell, &fake->worker), 0);
    fflush(NULL);
    fake->pid = fork();
    assert_true(fake->pid >= 0);
    if (fake->pid == 0) {
        mni_channel_t *channel;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        if (mni_channel_attach(mni_channel_memfd(fake->worker), fake->bell, &channel) < 0)
            _exit(99);
        _exit(serve(channel));
    }
}

/* The next frame, which must come and be of this type. */
static inline void fake_expect(fake_t *fake, uint16_t type, mni_reader_t *reader)
{
    uint64_t end = mni_clock_now() + FAKE_PATIENCE;
    for (;;) {
        uint32_t seen = mni_doorbell_seen(fake->bell);
        if (fake_take(fake, reader))
            break;
        if (mni_clock_now() > end)
            fail_msg("%s did not come", mni_message_name(type));
        mni_doorbell_sleep(fake->bell, seen, 10 * MNI_MILLISECOND);
    }
    if (reader->type != type)
        fail_msg("%s came where %s was expected", mni_message_name(reader->type),
                 mni_message_name(type));
}

/* FINISHED, with this code; its message (which may be NULL) is valid until the next frame. */
static inline mni_msg_finished_t fake_finished(fake_t *fake, int code)
{
    mni_reader_t reader;
    fake_expect(fake, MNI_MSG_FINISHED, &reader);
    mni_msg_finished_t finished = mni_get_finished(&reader);
    assert_int_equal(mni_reader_end(&reader), 0);
    if (finished.code != code)
        fail_msg("finished with %d (%s), not %d", finished.code,
                 finished.message ? finished.message : "no message", code);
    if (code < 0)
        assert_non_null(finished.message);
    else
        assert_null(finished.message);
    return finished;
}

/* Tells the process to end; its exit status. */
static inline int fake_wait(fake_t *fake)
{
    int status;
    assert_int_equal(waitpid(fake->pid, &status, 0), fake->pid);
    mni_channel_destroy(fake->worker);
    mni_writer_fini(&fake->writer);
    munmap(fake->bell, 4096);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline int fake_exit(fake_t *fake)
{
    fake_begin(fake, MNI_MSG_EXIT, 0);
    fake_send(fake);
    return fake_wait(fake);
}

/* --- executors ------------------------------------------------------------------------------------ */

/* In user code. */
#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition))                                                                 \
            return mn_fail(task, MN_E_INTERNAL, "line %d: %s (%s)", __LINE__, #condition, \
                           mn_error_message());                                           \
    } while (0)

static inline uint32_t declaration(const char *name)
{
    int index = mni_declaration_find(name, 0);
    assert_true(index >= 0);
    return (uint32_t)index;
}

static inline void start_executor(fake_t *fake)
{
    mni_reader_t reader;
    fake_fork(fake, mni_client_serve);
    fake_expect(fake, MNI_MSG_READY, &reader);
    assert_int_equal(mni_reader_end(&reader), 0);
}

/* The thread sanitizer's own thread, made with the first one of a process, looks like one that was
 * left behind. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_A_THREAD 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define HAS_A_THREAD 1
#endif

/* The task has had a thread of the library's, and the process may be used again all the same. */
static inline void check_again(mni_msg_finished_t finished)
{
#ifdef HAS_A_THREAD
    (void)finished;
#else
    assert_true(finished.again);
#endif
}

#endif
