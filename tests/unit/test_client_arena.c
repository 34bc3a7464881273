/* SPDX-License-Identifier: MIT
 *
 * The caller's half of the arena: extents taken, given back, pinned, and moved away from under executors that are late.
 */
#include "client_fake.h"

#include "client/arena.h"

static void test_arena(void **state)
{
    enum { EXTENTS = 40 };
    fake_t *fake = *state;
    mni_arena_t arena;
    struct {
        size_t offset, size;
        bool live;
    } extents[EXTENTS] = {0};
    unsigned seed = (unsigned)getpid();
    size_t offset;
    print_message("seed %u\n", seed);
    mni_arena_init(&arena, fake->client);
    assert_int_equal(mni_arena_take(&arena, SIZE_MAX, false, &offset), MN_E_TOO_LARGE);
    assert_int_equal(mni_arena_take(&arena, arena.limit + 1, false, &offset), MN_E_TOO_LARGE);
    for (int step = 0; step < 20000; step++) {
        int k = rand_r(&seed) % EXTENTS;
        if (extents[k].live) {
            mni_arena_give(&arena, extents[k].offset);
            extents[k].live = false;
            continue;
        }
        /* Up to the eighth part, so that it gets full at times. */
        extents[k].size = (size_t)rand_r(&seed) * 64 % (arena.limit / 8);
        int rc = mni_arena_take(&arena, extents[k].size, step % 2, &extents[k].offset);
        if (rc < 0) {
            assert_int_equal(rc, MN_E_TOO_LARGE);
            continue;
        }
        extents[k].live = true;
        assert_int_equal(extents[k].offset % 4096, 0);
        assert_true(extents[k].offset + extents[k].size <= arena.limit);
        for (int other = 0; other < EXTENTS; other++)
            if (other != k && extents[other].live)
                assert_true(extents[other].offset + extents[other].size <= extents[k].offset ||
                            extents[k].offset + extents[k].size <= extents[other].offset);
    }
    for (int k = 0; k < EXTENTS; k++)
        if (extents[k].live)
            mni_arena_give(&arena, extents[k].offset);
    assert_null(arena.extents);
    assert_int_equal(mni_arena_take(&arena, arena.limit - MNI_ARENA_ALIGN, false, &offset), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(mni_arena_reserve(&arena, 0, 1 << 20), 0);
    mni_arena_fini(&arena);
}

/* An extent that an executor may still write to is not used again, whatever becomes of its map. */
static void test_pinned_extents(void **state)
{
    fake_t *fake = *state;
    mni_arena_t arena;
    size_t first, second, third;

    mni_arena_init(&arena, fake->client);
    assert_int_equal(mni_arena_take(&arena, 5000, true, &first), 0);
    assert_int_equal(mni_arena_reserve(&arena, first, 5000), 0);
    assert_non_null(mni_arena_find(&arena, arena.base + first + 100, 4900));
    assert_null(mni_arena_find(&arena, arena.base + first + 100, 9000)); /* ends behind it */
    assert_null(mni_arena_find(&arena, &arena, 1));
    mni_arena_pin(&arena, first, 7);
    mni_arena_pin(&arena, first, 8);
    mni_arena_give(&arena, first);
    assert_null(mni_arena_find(&arena, arena.base + first, 1)); /* given back: not the user's */
    assert_int_equal(mni_arena_take(&arena, 1, false, &second), 0);
    assert_true(second >= first + 5000);
    mni_arena_unpin(&arena, 7);
    mni_arena_unpin(&arena, 7); /* again, and one that is none */
    mni_arena_unpin(&arena, 99);
    mni_arena_trim(&arena);
    assert_int_equal(mni_arena_take(&arena, 1, false, &third), 0);
    assert_true(third > second);
    mni_arena_unpin(&arena, 8);
    mni_arena_give(&arena, third);
    assert_int_equal(mni_arena_take(&arena, 1, false, &third), 0);
    assert_int_equal(third, first);
    mni_arena_give(&arena, third);
    mni_arena_give(&arena, second);
    assert_null(arena.extents);
    mni_arena_fini(&arena);
}

/* User code keeps its pinned memory: other pages appear at its address, and what is written to the old ones is not
 * seen. */
static void test_moved_memory(void **state)
{
    fake_t *fake = *state;
    mni_arena_t arena;
    size_t offset, other;

    mni_arena_init(&arena, fake->client);
    assert_int_equal(mni_arena_take(&arena, 8192, true, &offset), 0);
    assert_int_equal(mni_arena_reserve(&arena, offset, 8192), 0);
    mni_channel_t *executor; /* a mapping of its own */
    assert_int_equal(mni_channel_attach(mni_channel_memfd(fake->worker), fake->bell, &executor), 0);
    uint8_t *memory = arena.base + offset, *seen = mni_channel_arena(executor, NULL);
    memset(memory, 1, 8192);
    assert_int_equal(mni_arena_offset(&arena, mni_arena_find(&arena, memory, 8192), memory),
                     offset);
    size_t before = offset;
    for (uint64_t map = 1; map <= 3; map++) {
        assert_int_equal(mni_arena_pin_user(&arena, offset, map), 0);
        assert_int_equal(memory[0], map);
        seen[before] = 0xee; /* an executor that is late */
        assert_int_equal(memory[0], map);
        size_t now = mni_arena_offset(&arena, mni_arena_find(&arena, memory, 8192), memory + 5) - 5;
        assert_int_not_equal(now, before);
        memset(memory, (int)map + 1, 8192);
        assert_int_equal(seen[now], map + 1);
        before = now;
    }
    mni_arena_unpin(&arena, 2);
    mni_arena_unpin(&arena, 1);
    mni_arena_give(&arena, offset);
    assert_int_equal(mni_arena_take(&arena, 8192, true, &other), 0);
    memset(arena.base + other, 9, 8192);
    assert_int_equal(seen[other], 9); /* its own pages are back in their place */
    mni_arena_unpin(&arena, 3);
    mni_arena_trim(&arena);
    assert_null(arena.extents);
    assert_null(arena.pins);
    mni_channel_destroy(executor);
    mni_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arena, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_pinned_extents, fake_open, fake_close),
        cmocka_unit_test_setup_teardown(test_moved_memory, fake_open, fake_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
