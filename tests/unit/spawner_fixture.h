/* SPDX-License-Identifier: MIT
 *
 * A spawner with real processes for the tests of it, once for each method of killing trees. The test is its rank; what
 * the children do they write into the beginning of their channel's arena. Included by one test program each.
 */
#ifndef MNI_TESTS_SPAWNER_FIXTURE_H
#define MNI_TESTS_SPAWNER_FIXTURE_H

#include "executor/process.h"
#include "executor/spawner.h"
#include "executor/spawner_private.h"
#include "util/clock.h"
#include "util/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT (60 * MNI_SECOND)
#define PIDS 64

/* What a tree writes into the beginning of its channel's arena. */
typedef struct notes {
    int count;
    pid_t pids[PIDS];
} notes_t;

typedef struct fixture {
    mni_spawner_t *spawner;
    mni_channel_t *channels[8];
} fixture_t;

__attribute__((unused)) static notes_t *notes_of(mni_channel_t *channel)
{
    return (notes_t *)mni_channel_arena(channel, NULL);
}

__attribute__((unused)) static void note_pid(notes_t *notes, pid_t pid)
{
    notes->pids[__atomic_fetch_add(&notes->count, 1, __ATOMIC_SEQ_CST)] = pid;
}

/* --- helpers of the rank's side --------------------------------------------------------------- */

__attribute__((unused)) static bool wait_event(mni_spawner_t *spawner, mni_spawn_event_t *event)
{
    mni_doorbell_t *bell = mni_spawner_doorbell(spawner);
    for (uint64_t end = mni_clock_now() + LIMIT; mni_clock_now() < end;) {
        uint32_t seen = mni_doorbell_seen(bell);
        if (mni_spawner_next_event(spawner, event))
            return true;
        mni_doorbell_sleep(bell, seen, 20 * MNI_MILLISECOND);
    }
    return false;
}

__attribute__((unused)) static mni_spawn_event_t expect_event(mni_spawner_t *spawner,
                                                              mni_spawn_event_kind_t kind,
                                                              uint32_t slot)
{
    mni_spawn_event_t event = {0};
    assert_true(wait_event(spawner, &event));
    if (event.kind != kind)
        print_message("event %d, slot %u, errnum %d, status %x\n", event.kind, event.slot,
                      event.errnum, event.status);
    assert_int_equal(event.kind, kind);
    assert_int_equal(event.slot, slot);
    return event;
}

__attribute__((unused)) static void spawn_in(fixture_t *fixture, uint32_t slot,
                                             mni_child_main_t *run, bool driver)
{
    assert_int_equal(
        mni_channel_create(mni_spawner_doorbell(fixture->spawner), &fixture->channels[slot]), 0);
    assert_int_equal(mni_channel_reserve(fixture->channels[slot], 0, sizeof(notes_t)), 0);
    mni_spawn_t spawn = {slot, driver, run, mni_channel_memfd(fixture->channels[slot])};
    assert_int_equal(mni_spawner_spawn(fixture->spawner, &spawn), 0);
}

__attribute__((unused)) static bool wait_for_notes(notes_t *notes, int count)
{
    for (uint64_t end = mni_clock_now() + LIMIT; mni_clock_now() < end; usleep(1000))
        if (__atomic_load_n(&notes->count, __ATOMIC_SEQ_CST) >= count)
            return true;
    return false;
}

__attribute__((unused)) static bool is_zombie(pid_t pid)
{
    char path[64], text[512] = "";

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    const char *rest = got > 0 ? strrchr(text, ')') : NULL;
    return !rest || rest[2] == 'Z' || rest[2] == 'X';
}

/* A process that was killed is a zombie until its parent looks, which may be the system's init. */
__attribute__((unused)) static bool is_gone(pid_t pid)
{
    for (uint64_t end = mni_clock_now() + 10 * MNI_SECOND; mni_clock_now() < end; usleep(1000))
        if ((kill(pid, 0) < 0 && errno == ESRCH) || is_zombie(pid))
            return true;
    return false;
}

__attribute__((unused)) static void assert_all_gone(const notes_t *notes)
{
    assert_true(notes->count > 0);
    for (int i = 0; i < notes->count && i < PIDS; i++) {
        if (!is_gone(notes->pids[i]))
            print_message("process %d of %d, number %d, is left\n", i, notes->count,
                          (int)notes->pids[i]);
        assert_true(is_gone(notes->pids[i]));
    }
}

__attribute__((unused)) static int start_spawner(void **state, const char *method)
{
    fixture_t *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    setenv("MULTINODE_KILL", method, 1);
    int rc = mni_spawner_start(&fixture->spawner);
    unsetenv("MULTINODE_KILL");
    if (rc == MN_E_IMPOSSIBLE) {
        print_message("skipped: %s\n", mn_error_message());
        free(fixture);
        fixture = NULL;
    } else {
        if (rc < 0)
            print_message("%s\n", mn_error_message());
        assert_int_equal(rc, 0);
    }
    *state = fixture;
    return 0;
}

__attribute__((unused)) static const char *method_variable(const mni_spawner_t *spawner)
{
    const char *method = mni_spawner_method(spawner);
    return strcmp(method, "cgroup v2") == 0   ? "cgroup2"
           : strcmp(method, "subreaper") == 0 ? method
                                              : "freezer";
}

__attribute__((unused)) static int start_cgroup2(void **state)
{
    return start_spawner(state, "cgroup2");
}

__attribute__((unused)) static int start_freezer(void **state)
{
    return start_spawner(state, "freezer");
}

__attribute__((unused)) static int start_subreaper(void **state)
{
    return start_spawner(state, "subreaper");
}

/* Stops, and sees that it left nothing. */
__attribute__((unused)) static int stop_spawner(void **state)
{
    fixture_t *fixture = *state;
    char directory[MNI_CGROUP_PATH], limits[MNI_CGROUP_PATH];

    if (!fixture)
        return 0;
    if (fixture->spawner) {
        pid_t pid = mni_spawner_pid(fixture->spawner);
        snprintf(directory, sizeof directory, "%s", mni_spawner_directory(fixture->spawner));
        snprintf(limits, sizeof limits, "%s", mni_spawner_confine_directory(fixture->spawner));
        mni_spawner_stop(fixture->spawner, 10);
        mni_spawner_destroy(fixture->spawner);
        assert_true(is_gone(pid));
        assert_true(limits[0] == '\0' || access(limits, F_OK) < 0);
        assert_true(directory[0] == '\0' || access(directory, F_OK) < 0);
    }
    for (size_t i = 0; i < sizeof fixture->channels / sizeof fixture->channels[0]; i++)
        mni_channel_destroy(fixture->channels[i]);
    free(fixture);
    return 0;
}

#define FIXTURE(state)             \
    fixture_t *fixture = *(state); \
    if (!fixture) {                \
        skip();                    \
        return;                    \
    }

/* --- what runs in the children of both programs --- */

__attribute__((unused)) static void wait_to_be_killed(void)
{
    for (unsigned left = 600; left > 0;) /* longer than the whole test may take */
        left = sleep(left);
    _exit(EXIT_FAILURE);
}

__attribute__((unused)) static int sleep_long(mni_channel_t *channel)
{
    note_pid(notes_of(channel), getpid());
    wait_to_be_killed();
    return 0;
}

#define WITH(method, test)                                               \
    {                                                                    \
#test " (" #method ")", test, start_##method, stop_spawner, NULL \
    }
#define WITH_EACH(test) WITH(cgroup2, test), WITH(freezer, test), WITH(subreaper, test)

#endif
