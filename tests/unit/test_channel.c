/* SPDX-License-Identifier: MIT
 *
 * Channels: frames of random sizes through both rings between two processes, damage, the arena,
 * waiting.
 */
#include "executor/channel.h"
#include "executor/channel_layout.h"
#include "util/clock.h"
#include "util/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct header {
    uint32_t size;
    uint16_t type, flags;
    uint64_t request;
} header_t;

static mni_doorbell_t *shared_bell(void)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

/* A small generator of its own on each side, so that both know what is sent. */
static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Mostly small, now and then larger than a ring. */
static size_t random_size(uint64_t *state)
{
    uint64_t pick = next_random(state) % 100;
    if (pick < 80)
        return 16 + next_random(state) % 400;
    if (pick < 98)
        return 16 + next_random(state) % 50000;
    return 16 + next_random(state) % (3 * MNI_RING_BYTES);
}

static void fill_frame(uint8_t *frame, size_t size, uint64_t number)
{
    header_t header = {.size = (uint32_t)size, .type = 7, .request = number};
    memcpy(frame, &header, sizeof header);
    for (size_t i = sizeof header; i < size; i++)
        frame[i] = (uint8_t)(number * 31 + i * 7);
}

static bool frame_is(const void *frame, size_t size, size_t expected, uint64_t number)
{
    const uint8_t *bytes = frame;
    header_t header;

    if (size != expected || (uintptr_t)frame % 8 != 0)
        return false;
    memcpy(&header, frame, sizeof header);
    if (header.size != size || header.request != number)
        return false;
    for (size_t i = sizeof header; i < size; i++)
        if (bytes[i] != (uint8_t)(number * 31 + i * 7))
            return false;
    return true;
}

#define FRAMES 4000

/* The executor's side: sends FRAMES frames and takes FRAMES frames, in turns of random length. */
static int executor_traffic(int memfd, mni_doorbell_t *bell, uint64_t seed)
{
    mni_channel_t *channel;
    uint64_t out_sizes = seed, in_sizes = seed + 1, turns = seed + 2, sent = 0, taken = 0;
    const void *frame;
    size_t size;
    int long_waits = 0;
    uint8_t *buffer = malloc(4 * MNI_RING_BYTES);

    if (!buffer || mni_channel_attach(memfd, bell, &channel) < 0)
        return 2;
    while (sent < FRAMES || taken < FRAMES) {
        for (uint64_t n = next_random(&turns) % 8; n > 0 && sent < FRAMES; n--, sent++) {
            size_t length = random_size(&out_sizes);
            fill_frame(buffer, length, sent);
            if (mni_channel_send(channel, buffer, length) < 0)
                return 3;
        }
        int rc;
        while ((rc = mni_channel_receive(channel, &frame, &size)) == 1)
            if (!frame_is(frame, size, random_size(&in_sizes), taken++))
                return 4;
        if (rc < 0)
            return 5;
        if (sent == FRAMES && taken < FRAMES) {
            uint64_t begin = mni_clock_now();
            mni_channel_wait(channel, MNI_NEVER);
            long_waits += mni_clock_now() - begin > 950 * MNI_MILLISECOND;
        }
    }
    if (long_waits > 10) /* rings were missed */
        return 6;
    mni_channel_destroy(channel);
    free(buffer);
    return 0;
}

static void frames_of_all_sizes_pass_both_ways(void **unused)
{
    (void)unused;
    uint64_t seed = (uint64_t)getpid();
    mni_doorbell_t *bell = shared_bell();
    mni_channel_t *channel;
    uint64_t out_sizes = seed + 1, in_sizes = seed, turns = seed + 3, posted = 0, taken = 0;
    uint8_t *buffer = malloc(4 * MNI_RING_BYTES);
    const void *frame;
    size_t size;
    int status;

    print_message("seed %llu\n", (unsigned long long)seed);
    assert_non_null(buffer);
    assert_int_equal(mni_channel_create(bell, &channel), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(executor_traffic(mni_channel_memfd(channel), bell, seed));
    uint64_t end = mni_clock_now() + 120 * MNI_SECOND;
    while (posted < FRAMES || taken < FRAMES) {
        uint32_t seen = mni_doorbell_seen(bell);
        bool moved = posted < FRAMES;
        for (uint64_t n = next_random(&turns) % 8; n > 0 && posted < FRAMES; n--, posted++) {
            size_t length = random_size(&out_sizes);
            fill_frame(buffer, length, posted);
            assert_int_equal(mni_channel_post(channel, buffer, length), 0);
        }
        moved |= mni_channel_flush(channel);
        int rc;
        while ((rc = mni_channel_poll(channel, &frame, &size)) == 1) {
            assert_true(frame_is(frame, size, random_size(&in_sizes), taken));
            taken++;
            moved = true;
        }
        assert_int_equal(rc, 0);
        assert_true(mni_clock_now() < end);
        if (!moved) {
            uint64_t begin = mni_clock_now();
            mni_doorbell_sleep(bell, seen, 10 * MNI_SECOND);
            assert_true(mni_clock_now() - begin < 9 * MNI_SECOND); /* else a ring was missed */
        }
    }
    while (mni_channel_flush(channel) || channel->queue.begin < channel->queue.end)
        assert_true(mni_clock_now() < end);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    mni_channel_destroy(channel);
    free(buffer);
    munmap(bell, 4096);
}

/* --- damage ----------------------------------------------------------------------------------- */

typedef struct pair {
    mni_doorbell_t *bell;
    mni_channel_t *worker, *executor;
} pair_t;

static int make_pair(void **state)
{
    pair_t *pair = calloc(1, sizeof *pair);
    assert_non_null(pair);
    pair->bell = shared_bell();
    assert_int_equal(mni_channel_create(pair->bell, &pair->worker), 0);
    assert_int_equal(mni_channel_join(pair->worker, &pair->executor), 0);
    *state = pair;
    return 0;
}

static int break_pair(void **state)
{
    pair_t *pair = *state;
    mni_channel_destroy(pair->executor);
    mni_channel_destroy(pair->worker);
    munmap(pair->bell, 4096);
    free(pair);
    return 0;
}

static void send_small(mni_channel_t *channel, uint64_t number)
{
    uint8_t frame[64];
    fill_frame(frame, sizeof frame, number);
    assert_int_equal(mni_channel_send(channel, frame, sizeof frame), 0);
}

static void a_wild_written_position_is_a_protocol_error(void **state)
{
    pair_t *pair = *state;
    const void *frame;
    size_t size;

    send_small(pair->executor, 1);
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), 1);
    mni_channel_control(pair->worker)->from_written += MNI_RING_BYTES + 1;
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), MN_E_PROTOCOL);
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), MN_E_PROTOCOL); /* for good */
}

static void a_written_position_that_went_back_is_a_protocol_error(void **state)
{
    pair_t *pair = *state;
    const void *frame;
    size_t size;

    send_small(pair->executor, 1);
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), 1);
    mni_channel_control(pair->worker)->from_written = 3;
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), MN_E_PROTOCOL);
}

static void a_wild_read_position_is_a_protocol_error(void **state)
{
    pair_t *pair = *state;
    uint8_t out[64];
    const void *frame;
    size_t size;

    mni_channel_control(pair->worker)->to_read = 1; /* of nothing that was written */
    fill_frame(out, sizeof out, 1);
    assert_int_equal(mni_channel_post(pair->worker, out, sizeof out), 0);
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), MN_E_PROTOCOL);
}

static void own_positions_in_shared_memory_do_not_matter(void **state)
{
    pair_t *pair = *state;
    const void *frame;
    size_t size;

    for (uint64_t n = 0; n < 20000; n++) {
        mni_channel_control(pair->worker)->from_read =
            n % 7 ? mni_channel_control(pair->worker)->from_read : n;
        __atomic_store_n(&mni_channel_control(pair->worker)->from_read, pair->worker->in.at,
                         __ATOMIC_RELAXED);
        send_small(pair->executor, n);
        mni_channel_control(pair->worker)->from_read =
            UINT64_MAX / 3; /* the worker does not look at it */
        assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), 1);
        assert_true(frame_is(frame, size, 64, n));
    }
}

static void sizes_out_of_bounds_are_protocol_errors(void **unused)
{
    (void)unused;
    static const uint32_t wrong[] = {0, 1, 15, (uint32_t)(MNI_FRAME_MAX + 1), UINT32_MAX};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        void *state;
        const void *frame;
        size_t size;
        make_pair(&state);
        pair_t *pair = state;
        send_small(pair->executor, 1);
        memcpy(pair->worker->base + MNI_CHANNEL_RING_FROM, &wrong[i], sizeof wrong[i]);
        assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), MN_E_PROTOCOL);
        break_pair(&state);
    }
}

static void a_size_that_lies_takes_no_memory(void **state)
{
    pair_t *pair = *state;
    uint32_t huge = (uint32_t)MNI_FRAME_MAX;
    const void *frame;
    size_t size;

    send_small(pair->executor, 1);
    memcpy(pair->worker->base + MNI_CHANNEL_RING_FROM, &huge, sizeof huge);
    mni_channel_control(pair->worker)->sending = 1; /* it may be true */
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), 0);
    assert_true(pair->worker->inbox.room < ((size_t)1 << 20));
}

/* Else all that follows would be taken for a part of it, and the end of the task with it. */
static void a_frame_that_ends_in_the_middle_is_a_protocol_error(void **state)
{
    pair_t *pair = *state;
    uint32_t longer = 1 << 20;
    const void *frame;
    size_t size;

    send_small(pair->executor, 1);
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), 1);
    send_small(pair->executor, 2);
    memcpy(pair->worker->base + MNI_CHANNEL_RING_FROM + size, &longer, sizeof longer);
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), MN_E_PROTOCOL);
}

static void wild_stores_are_seen_by_the_executor(void **state)
{
    pair_t *pair = *state;
    mni_control_t *control = mni_channel_control(pair->worker);
    uint64_t *words[] = {&control->from_read, &control->from_written, &control->to_read,
                         &control->to_written};

    send_small(pair->executor, 1);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        uint64_t kept = *words[i];
        assert_true(mni_channel_is_sound(pair->executor));
        *words[i] = UINT64_C(0x0123456789abcdef);
        assert_false(mni_channel_is_sound(pair->executor));
        *words[i] = kept;
    }
    assert_true(mni_channel_is_sound(pair->executor));
}

static void a_channel_that_was_given_up_is_damaged(void **state)
{
    pair_t *pair = *state;
    const void *frame;
    size_t size;

    send_small(pair->executor, 1);
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), 1);
    mni_channel_give_up(pair->executor);
    assert_false(mni_channel_is_sound(pair->executor));
    assert_int_equal(mni_channel_poll(pair->worker, &frame, &size), MN_E_PROTOCOL);
}

static void wrong_frames_are_not_sent(void **state)
{
    pair_t *pair = *state;
    uint8_t frame[64];

    fill_frame(frame, sizeof frame, 1);
    assert_int_equal(mni_channel_send(pair->executor, frame, 15), MN_E_INTERNAL);
    assert_int_equal(mni_channel_send(pair->executor, frame, 63), MN_E_INTERNAL);
    assert_int_equal(mni_channel_post(pair->worker, frame, 63), MN_E_INTERNAL);
    assert_int_equal(mni_channel_control(pair->worker)->from_written, 0);
}

static void the_worker_never_blocks(void **state)
{
    pair_t *pair = *state;
    static uint8_t frame[40000];
    const void *got;
    size_t size;
    uint64_t taken = 0;

    for (uint64_t n = 0; n < 100; n++) { /* 15 times what the ring holds */
        fill_frame(frame, sizeof frame, n);
        assert_int_equal(mni_channel_post(pair->worker, frame, sizeof frame), 0);
    }
    while (taken < 100) {
        int rc = mni_channel_receive(pair->executor, &got, &size);
        assert_true(rc >= 0);
        if (rc == 1)
            assert_true(frame_is(got, size, sizeof frame, taken++));
        else
            assert_true(mni_channel_flush(pair->worker));
    }
    assert_false(mni_channel_flush(pair->worker));
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void a_wait_ends_at_its_deadline(void **state)
{
    pair_t *pair = *state;
    uint64_t begin = mni_clock_now();

    mni_channel_wait(pair->executor, begin + 30 * MNI_MILLISECOND);
    uint64_t took = mni_clock_now() - begin;
    assert_true(took >= 29 * MNI_MILLISECOND && took < 20 * MNI_SECOND);
    begin = mni_clock_now();
    mni_channel_wait(pair->executor, MNI_NEVER);
    assert_true(mni_clock_now() - begin < 30 * MNI_SECOND); /* a lost ring heals */
}

static void a_ring_before_the_wait_is_not_missed(void **state)
{
    pair_t *pair = *state;

    mni_channel_wait(pair->executor, mni_clock_now() + MNI_MILLISECOND);
    mni_doorbell_ring(
        &mni_channel_control(pair->worker)->bell); /* while the caller looks elsewhere */
    uint64_t begin = mni_clock_now();
    mni_channel_wait(pair->executor, MNI_NEVER);
    assert_true(mni_clock_now() - begin < 900 * MNI_MILLISECOND);
    begin = mni_clock_now(); /* and returned for only once */
    mni_channel_wait(pair->executor, begin + 30 * MNI_MILLISECOND);
    assert_true(mni_clock_now() - begin >= 29 * MNI_MILLISECOND);
}

static void count_and_ring(void *argument)
{
    pair_t *pair = argument;
    const void *frame;
    size_t size;
    while (mni_channel_poll(pair->worker, &frame, &size) == 1)
        ;
}

static void a_full_ring_calls_the_pump(void **state)
{
    pair_t *pair = *state;
    static uint8_t frame[100000];

    mni_channel_set_pump(pair->executor, count_and_ring, pair);
    for (uint64_t n = 0; n < 20; n++) {
        fill_frame(frame, sizeof frame, n);
        assert_int_equal(mni_channel_send(pair->executor, frame, sizeof frame), 0);
    }
}

/* --- arena ------------------------------------------------------------------------------------ */

static size_t pages_of(mni_channel_t *channel)
{
    struct stat status;
    assert_int_equal(fstat(mni_channel_memfd(channel), &status), 0);
    return (size_t)status.st_blocks * 512;
}

static void the_arena_takes_memory_only_where_it_is_reserved(void **state)
{
    pair_t *pair = *state;
    size_t size, before = pages_of(pair->worker), block = mni_channel_block_offset(pair->worker);
    uint8_t *arena = mni_channel_arena(pair->worker, &size);

    assert_true(size >= ((size_t)64 << 20));
    assert_int_equal(block, size / 2);
    assert_true(before < ((size_t)2 << 20));
    assert_int_equal(mni_channel_reserve(pair->worker, block + 100, 10 << 20), 0);
    size_t reserved = pages_of(pair->worker) - before;
    assert_true(reserved >= (10 << 20) && reserved <= (11 << 20));
    memset(arena + block + 100, 7, 10 << 20);
    assert_int_equal(mni_channel_reserve(pair->worker, block, 10 << 20), 0);
    assert_int_equal(pages_of(pair->worker) - before, reserved);
    assert_int_equal(arena[block + 100], 7);
    /* The neighbours on the first and the last page stay. */
    mni_channel_release(pair->worker, block + 100, 10 << 20);
    assert_true(pages_of(pair->worker) - before < (1 << 20));
    assert_int_equal(arena[block + 200], 7);
    assert_int_equal(arena[block + 8192], 0);
    /* And it is known that they are gone. */
    mni_channel_release(pair->worker, block, 11 << 20);
    assert_int_equal(mni_channel_reserve(pair->worker, block, 10 << 20), 0);
    assert_true(pages_of(pair->worker) - before >= (10 << 20));
}

static void the_arena_has_bounds(void **state)
{
    pair_t *pair = *state;
    size_t size;

    mni_channel_arena(pair->worker, &size);
    assert_int_equal(mni_channel_reserve(pair->worker, size, 0), 0);
    assert_int_equal(mni_channel_reserve(pair->worker, size, 1), MN_E_INVALID);
    assert_int_equal(mni_channel_reserve(pair->worker, 1, size), MN_E_INVALID);
    assert_int_equal(mni_channel_reserve(pair->worker, SIZE_MAX, 2), MN_E_INVALID);
    assert_int_equal(mni_channel_reserve(pair->worker, 2, SIZE_MAX), MN_E_INVALID);
    mni_channel_release(pair->worker, SIZE_MAX, 2);
    assert_int_equal(mni_channel_reserve(pair->worker, size - 1, 1), 0);
}

static void nobody_can_truncate_the_memory(void **state)
{
    pair_t *pair = *state;
    assert_int_equal(ftruncate(mni_channel_memfd(pair->worker), 4096), -1);
}

static void another_file_in_its_place_is_left_alone(void **state)
{
    pair_t *pair = *state;
    char name[] = "/tmp/test_channel_XXXXXX";
    int file = mkstemp(name), memfd = mni_channel_memfd(pair->executor), saved = dup(memfd);
    struct stat status;

    assert_true(file >= 0 && saved >= 0);
    unlink(name);
    assert_int_equal(write(file, "precious", 8), 8);
    assert_int_equal(dup2(file, memfd),
                     memfd); /* as user code does that closes what it does not know */
    assert_int_equal(mni_channel_reserve(pair->executor, 0, 1 << 20), MN_E_SYSTEM);
    mni_channel_release(pair->executor, 0, 1 << 20);
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(status.st_size, 8);
    assert_int_equal(dup2(saved, memfd), memfd);
    close(saved);
    close(file);
}

static void a_held_channel_is_there_until_the_last_destroy(void **unused)
{
    (void)unused;
    mni_doorbell_t bell = {0};
    mni_channel_t *channel = NULL;

    assert_int_equal(mni_channel_create(&bell, &channel), 0);
    uint8_t *arena = mni_channel_arena(channel, NULL);
    mni_channel_hold(channel);
    mni_channel_hold(channel);
    memset(arena, 5, 100);
    mni_channel_destroy(channel);
    mni_channel_destroy(channel);
    assert_int_equal(arena[99], 5);
    assert_int_equal(mni_channel_reserve(channel, 0, 1 << 20), 0);
    mni_channel_destroy(channel);
}

static void tainted_addresses_stay_but_not_their_memory(void **unused)
{
    (void)unused;
    mni_doorbell_t bell = {0};
    mni_channel_t *channel = NULL;
    struct stat status;

    assert_int_equal(mni_channel_create(&bell, &channel), 0);
    uint8_t *arena = mni_channel_arena(channel, NULL);
    int memfd = dup(mni_channel_memfd(channel));
    memset(arena, 5, 1 << 20);
    mni_channel_taint(channel);
    assert_int_equal(arena[99], 5);
    mni_channel_destroy(channel);
    assert_int_equal(arena[99], 0);
    memset(arena, 6, 1 << 20);
    assert_int_equal(fstat(memfd, &status), 0);
    assert_int_equal(status.st_blocks, 0);
    close(memfd);
}

static void a_view_shows_the_arena_until_it_is_tainted(void **state)
{
    pair_t *pair = *state;
    uint8_t *arena = mni_channel_arena(pair->executor, NULL);
    uint8_t *one = mni_channel_view(pair->worker, 1), *two = mni_channel_view(pair->worker, 2);

    assert_non_null(one);
    assert_non_null(two);
    assert_ptr_not_equal(one, two);
    assert_ptr_equal(mni_channel_view(pair->worker, 1), one);
    one[5000] = 1;
    two[5001] = 2;
    assert_int_equal(arena[5000], 1);
    assert_int_equal(arena[5001], 2);
    mni_channel_taint_view(pair->worker, 1);
    mni_channel_taint_view(pair->worker, 1);
    mni_channel_taint_view(pair->worker, 77);
    one[5000] = 3;
    two[5002] = 4;
    assert_int_equal(arena[5000], 1);
    assert_int_equal(arena[5002], 4);
    uint8_t *again = mni_channel_view(pair->worker, 1);
    assert_ptr_not_equal(again, one);
    assert_int_equal(again[5000], 1);
    again[5003] = 5;
    assert_int_equal(arena[5003], 5);
}

/* With little address space and a limit on file sizes the arena is smaller, and still one. */
static void limits_make_the_arena_smaller(void **unused)
{
    (void)unused;
    int status;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit limit = {(rlim_t)3 << 30, (rlim_t)3 << 30};
        mni_doorbell_t bell = {0};
        mni_channel_t *worker = NULL, *executor = NULL;
        size_t size = 0, other = 0;
        setrlimit(RLIMIT_FSIZE, &limit);
        bool good = mni_channel_create(&bell, &worker) == 0 &&
                    mni_channel_attach(mni_channel_memfd(worker), &bell, &executor) == 0;
        if (good) {
            mni_channel_arena(worker, &size);
            mni_channel_arena(executor, &other);
        }
        _exit(good && size == (size_t)2 << 30 && other == size ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void foreign_descriptors_are_refused(void **unused)
{
    (void)unused;
    mni_doorbell_t bell = {0};
    mni_channel_t *channel = NULL;
    int null = open("/dev/null", O_RDWR);

    assert_int_equal(mni_channel_attach(null, &bell, &channel), MN_E_INVALID);
    assert_int_equal(mni_channel_attach(-1, &bell, &channel), MN_E_SYSTEM);
    assert_null(channel);
    close(null);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, make_pair, break_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_all_sizes_pass_both_ways),
        WITH_PAIR(a_wild_written_position_is_a_protocol_error),
        WITH_PAIR(a_written_position_that_went_back_is_a_protocol_error),
        WITH_PAIR(a_wild_read_position_is_a_protocol_error),
        WITH_PAIR(own_positions_in_shared_memory_do_not_matter),
        WITH_PAIR(a_frame_that_ends_in_the_middle_is_a_protocol_error),
        WITH_PAIR(wild_stores_are_seen_by_the_executor),
        WITH_PAIR(a_channel_that_was_given_up_is_damaged),
        cmocka_unit_test(sizes_out_of_bounds_are_protocol_errors),
        WITH_PAIR(a_size_that_lies_takes_no_memory),
        WITH_PAIR(wrong_frames_are_not_sent),
        WITH_PAIR(the_worker_never_blocks),
        WITH_PAIR(a_wait_ends_at_its_deadline),
        WITH_PAIR(a_ring_before_the_wait_is_not_missed),
        WITH_PAIR(a_full_ring_calls_the_pump),
        WITH_PAIR(the_arena_takes_memory_only_where_it_is_reserved),
        WITH_PAIR(the_arena_has_bounds),
        WITH_PAIR(nobody_can_truncate_the_memory),
        WITH_PAIR(another_file_in_its_place_is_left_alone),
        cmocka_unit_test(a_held_channel_is_there_until_the_last_destroy),
        cmocka_unit_test(tainted_addresses_stay_but_not_their_memory),
        WITH_PAIR(a_view_shows_the_arena_until_it_is_tainted),
        cmocka_unit_test(limits_make_the_arena_smaller),
        cmocka_unit_test(foreign_descriptors_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
