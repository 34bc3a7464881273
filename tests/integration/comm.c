/* SPDX-License-Identifier: MIT
 *
 * Frames and payloads between ranks: comm [lost | short | large]. Every rank runs this; uses the library's inside.
 *
 * Without an argument each rank sends every rank, itself too, a random mixture of small frames, large frames and
 * payloads, and checks what comes: all of it, in order, to the place that was asked for. "lost": what happens to
 * the memory of payloads when rank 1 is lost. "short": rank 1 sends less than it says. "large": it sends what has more
 * than one piece.
 */
#include "comm/comm.h"
#include "util/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MESSAGES 300 /* from each rank to each */
#define TYPE 7

static mni_comm_t *comm;
static uint32_t me, size;
static int failures;

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("not ok rank %u: ", me);
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    va_end(arguments);
    failures++;
}

#define CHECK(condition)                               \
    do {                                               \
        if (!(condition))                              \
            fail("line %d: %s", __LINE__, #condition); \
    } while (0)

/* How long a message is waited for, where MULTINODE_TEST_SLOW says that programs are slow longer. */
static uint64_t patience(void)
{
    const char *slow = getenv("MULTINODE_TEST_SLOW");
    double times = slow ? strtod(slow, NULL) : 1;
    return 60 * MNI_SECOND * (uint64_t)(times > 1 ? times : 1);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* What both sides know of the n-th message from one rank to another. */
typedef struct plan {
    size_t in_frame, payload;
    bool placed; /* the receiver gives it memory */
    uint8_t seed;
} plan_t;

static plan_t plan_of(uint32_t from, uint32_t to, uint64_t n)
{
    uint64_t state = (uint64_t)from << 40 ^ (uint64_t)to << 20 ^ n ^ UINT64_C(0x5851f42d4c957f2d);
    plan_t plan = {.seed = (uint8_t)next_random(&state)};
    next_random(&state);
    switch (next_random(&state) % 8) {
    case 0: /* large frame */
        plan.in_frame = next_random(&state) % 300000;
        break;
    case 1:
    case 2: /* about the limits of transports */
        plan.payload = 1 + next_random(&state) % 200000;
        break;
    case 3: /* behind a large frame */
        plan.in_frame = next_random(&state) % 100000;
        plan.payload = 1 + next_random(&state) % 100;
        break;
    case 4:
        plan.payload = 1 + next_random(&state) % 3000000;
        break;
    default:
        plan.in_frame = next_random(&state) % 100;
        break;
    }
    plan.placed = plan.payload > 0 && next_random(&state) % 2 == 0;
    return plan;
}

static void fill(uint8_t *bytes, size_t count, uint8_t seed)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(seed + i + (i >> 8) * 3);
}

static bool filled(const uint8_t *bytes, size_t count, uint8_t seed)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != (uint8_t)(seed + i + (i >> 8) * 3))
            return false;
    return true;
}

/* --- the mixture ------------------------------------------------------------------------------------------ */

static uint64_t payloads_begun, payloads_sent, places_given, places_done;

static void payload_sent(void *argument, bool lost)
{
    CHECK(!lost);
    payloads_sent++;
    free(argument);
}

/* The memory of a payload, with what is around it. */
typedef struct placed {
    size_t size;
    uint8_t seed;
    bool handed_out;
    uint8_t bytes[];
} placed_t;

static void place_done(void *argument, bool lost)
{
    placed_t *placed = argument;
    CHECK(!lost && placed->handed_out);
    places_done++;
    free(placed);
}

static void send_one(uint32_t to, uint64_t n)
{
    plan_t plan = plan_of(me, to, n);
    mni_writer_t frame = {0};
    uint8_t *payload = NULL;

    mni_writer_begin(&frame, TYPE, n);
    void *room = mni_put_room(&frame, plan.in_frame);
    if (room)
        fill(room, plan.in_frame, plan.seed);
    mni_put_u64(&frame, plan.payload);
    if (plan.payload == 0) {
        CHECK(mni_comm_send(comm, to, &frame) == 0);
    } else if ((payload = malloc(plan.payload))) {
        fill(payload, plan.payload, plan.seed);
        payloads_begun++;
        CHECK(mni_comm_send_with(comm, to, &frame, payload, plan.payload, payload_sent, payload) ==
              0);
    }
    mni_writer_fini(&frame);
}

/* The frame's fields: its number, and what is in it. */
static uint64_t read_frame(const void *frame, size_t bytes, const void **inside, size_t *count,
                           uint64_t *payload)
{
    mni_reader_t reader;
    if (mni_reader_begin(&reader, frame, bytes) < 0) {
        fail("a frame that is none");
        exit(1);
    }
    *inside = mni_get_bytes(&reader, count);
    *payload = mni_get_u64(&reader);
    CHECK(mni_reader_end(&reader) == 0 && reader.type == TYPE);
    return reader.request;
}

static bool place(void *argument, uint32_t source, const void *frame, size_t bytes, size_t payload,
                  mni_comm_memory_t *memory)
{
    const void *inside;
    size_t count;
    uint64_t stated;
    uint64_t n = read_frame(frame, bytes, &inside, &count, &stated);
    plan_t plan = plan_of(source, me, n);

    CHECK(argument == &failures);
    CHECK(payload == stated && payload == plan.payload);
    if (!plan.placed)
        return false;
    placed_t *placed = malloc(sizeof *placed + payload);
    if (!placed)
        return false;
    *placed = (placed_t){.size = payload, .seed = plan.seed};
    places_given++;
    *memory = (mni_comm_memory_t){placed->bytes, place_done, placed};
    return true;
}

static void take_one(uint32_t source, const void *frame, size_t bytes, uint64_t *expected)
{
    const void *inside;
    size_t count, behind;
    uint64_t stated;
    uint64_t n = read_frame(frame, bytes, &inside, &count, &stated);
    plan_t plan = plan_of(source, me, n);
    const uint8_t *payload = mni_comm_payload(comm, &behind);

    if (n != expected[source])
        fail("message %llu of rank %u instead of %llu", (unsigned long long)n, source,
             (unsigned long long)expected[source]);
    expected[source] = n + 1;
    CHECK(count == plan.in_frame && filled(inside, count, plan.seed));
    CHECK(stated == plan.payload && behind == plan.payload);
    CHECK((payload != NULL) == (plan.payload > 0));
    CHECK(filled(payload, behind, plan.seed));
    if (plan.placed && source != me) { /* it lies where it was asked for */
        placed_t *placed = (placed_t *)(void *)(uintptr_t)(payload - offsetof(placed_t, bytes));
        CHECK(placed->size == behind && placed->seed == plan.seed);
        placed->handed_out = true;
    }
}

static void mixture(void)
{
    uint64_t expected[16] = {0}, sent[16] = {0}, received = 0, state = me;
    uint64_t left = (uint64_t)MESSAGES * size; /* to be sent */
    uint64_t until = mni_clock_now() + patience();
    const void *frame;
    size_t bytes;
    uint32_t source;
    int rc = 0;

    mni_comm_set_place(comm, place, &failures);
    while (left > 0 || received < (uint64_t)MESSAGES * size || mni_comm_busy(comm)) {
        uint32_t to = (uint32_t)(next_random(&state) % size);
        if (sent[to] < MESSAGES) {
            send_one(to, sent[to]++);
            left--;
        }
        if ((rc = mni_comm_poll(comm, &source, &frame, &bytes)) < 0)
            break;
        if (rc == 1) {
            take_one(source, frame, bytes, expected);
            received++;
        }
        if (mni_clock_now() > until) {
            fail("%llu messages have come", (unsigned long long)received);
            exit(1);
        }
    }
    if (rc < 0)
        fail("%s", mn_error_message());
    CHECK(mni_comm_poll(comm, &source, &frame, &bytes) == 0);
    CHECK(payloads_sent == payloads_begun);
    CHECK(places_done == places_given);
    CHECK(mni_comm_payload(comm, &bytes) == NULL && bytes == 0);
    mni_comm_set_place(comm, NULL, NULL);
}

/* --- what does not come ----------------------------------------------------------------------------------- */

static int lost_sends, lost_receives, other_ends;

static void was_sent(void *argument, bool lost)
{
    CHECK(argument == &lost_sends);
    lost_sends += lost;
    other_ends += !lost;
}

static void was_received(void *argument, bool lost)
{
    CHECK(argument == &lost_receives);
    lost_receives += lost;
    other_ends += !lost;
}

static void *place_at;

static bool place_once(void *argument, uint32_t source, const void *frame, size_t bytes,
                       size_t payload, mni_comm_memory_t *memory)
{
    (void)argument, (void)source, (void)frame, (void)bytes;
    place_at = mmap(NULL, payload, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place_at == MAP_FAILED)
        return false;
    *memory = (mni_comm_memory_t){place_at, was_received, &lost_receives};
    return true;
}

/* Rank 1 says that `stated` bytes follow and sends 100. */
static void send_short(size_t stated)
{
    static uint8_t payload[100];
    mni_writer_t frame = {0};
    mni_writer_begin(&frame, TYPE, 1);
    mni_put_u64(&frame, stated);
    CHECK(mni_comm_send_with(comm, 0, &frame, payload, sizeof payload, NULL, NULL) == 0);
    mni_writer_fini(&frame);
}

/* On rank 0: until a place was asked for, or what comes is an error. */
static int poll_for_place(void)
{
    const void *frame;
    size_t bytes;
    uint32_t source;
    uint64_t until = mni_clock_now() + patience();
    int rc = 0;

    mni_comm_set_place(comm, place_once, NULL);
    while (!place_at && rc == 0 && mni_clock_now() < until)
        rc = mni_comm_poll(comm, &source, &frame, &bytes);
    for (int i = 0; i < 1000 && rc == 0; i++)
        rc = mni_comm_poll(comm, &source, &frame, &bytes);
    return rc;
}

static void lost(void)
{
    static uint8_t payload[8 << 20];
    mni_writer_t frame = {0};
    const void *got;
    size_t bytes;
    uint32_t source;

    if (me == 1) { /* of two pieces the second never comes; and nothing is taken */
        send_short(((size_t)1 << 30) + 8);
        while (mni_comm_busy(comm))
            mni_comm_poll(comm, &source, &got, &bytes);
        for (;;)
            pause();
    }
    CHECK(poll_for_place() == 0 && place_at);
    mni_writer_begin(&frame, TYPE, 1);
    mni_put_u64(&frame, sizeof payload);
    CHECK(mni_comm_send_with(comm, 1, &frame, payload, sizeof payload, was_sent, &lost_sends) == 0);
    CHECK(mni_comm_poll(comm, &source, &got, &bytes) == 0);
    CHECK(mni_comm_busy(comm) && lost_sends == 0 && lost_receives == 0 && other_ends == 0);
    mni_comm_lost(comm, 1);
    CHECK(lost_sends == 1 && lost_receives == 1 && other_ends == 0);
    CHECK(!mni_comm_busy(comm));
    /* What is sent now was never given to MPI. */
    mni_writer_begin(&frame, TYPE, 2);
    mni_put_u64(&frame, sizeof payload);
    CHECK(mni_comm_send_with(comm, 1, &frame, payload, sizeof payload, was_sent, &lost_sends) == 0);
    CHECK(lost_sends == 1 && other_ends == 1);
    CHECK(mni_comm_poll(comm, &source, &got, &bytes) == 0);
    mni_writer_fini(&frame);
    mni_comm_close(comm);
    CHECK(lost_sends == 1 && lost_receives == 1 && other_ends == 1);
}

/* 1 GiB is a piece. */
static void large(void)
{
    static const size_t marks[] = {0, ((size_t)1 << 30) - 1, (size_t)1 << 30,
                                   ((size_t)1 << 30) + 77776};
    const size_t bytes = marks[3] + 1;
    mni_comm_memory_t memory = {0};
    mni_writer_t frame = {0};
    const void *got;
    const uint8_t *payload;
    size_t count;
    uint32_t source;
    uint64_t until = mni_clock_now() + patience();
    int rc = 0;

    if (me == 1) {
        CHECK(place_once(NULL, 0, NULL, 0, bytes, &memory));
        uint8_t *at = memory.at;
        for (int i = 0; at && i < 4; i++)
            at[marks[i]] = (uint8_t)(i + 1);
        mni_writer_begin(&frame, TYPE, 1);
        mni_put_u64(&frame, bytes);
        CHECK(at && mni_comm_send_with(comm, 0, &frame, at, bytes, was_sent, &lost_sends) == 0);
        while (rc == 0 && other_ends == 0 && mni_clock_now() < until)
            rc = mni_comm_poll(comm, &source, &got, &count);
        mni_writer_fini(&frame);
    } else if (me == 0) {
        mni_comm_set_place(comm, place_once, NULL);
        while (rc == 0 && mni_clock_now() < until)
            rc = mni_comm_poll(comm, &source, &got, &count);
        payload = mni_comm_payload(comm, &count);
        CHECK(rc == 1 && source == 1 && payload == place_at && count == bytes);
        for (int i = 0; rc == 1 && i < 4; i++)
            CHECK(payload[marks[i]] == i + 1);
        CHECK(rc == 1 && payload[marks[3] - 1] == 0 && payload[1] == 0);
        CHECK(mni_comm_poll(comm, &source, &got, &count) == 0);
    }
    CHECK(me > 1 || (other_ends == 1 && lost_sends == 0 && lost_receives == 0));
}

static void end(const char *what)
{
    if (failures == 0)
        printf("ok rank %u: %s\n", me, what);
    if (me == 0)
        printf("# %d failed\n", failures);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    uint64_t all[16], mine = 0;

    if (mni_comm_start(&argc, &argv, &comm) < 0) {
        printf("not ok: %s\n", mn_error_message());
        return 1;
    }
    me = mni_comm_rank(comm);
    size = mni_comm_size(comm);
    if (size > 16 || mni_comm_exchange(comm, &mine, sizeof mine, all) < 0)
        return 1;
    if (strcmp(what, "lost") == 0) {
        lost();
        end(what);
        _exit(failures != 0); /* mpirun ends the other one */
    }
    if (strcmp(what, "short") == 0) {
        if (me == 1)
            send_short(1000);
        else if (me == 0)
            CHECK(poll_for_place() == MN_E_PROTOCOL);
        end(what);
    } else if (strcmp(what, "large") == 0) {
        large();
        end(what);
    } else {
        mixture();
        end("mixture");
    }
    mni_comm_close(comm);
    return failures != 0;
}
