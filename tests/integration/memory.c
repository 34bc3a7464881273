/* SPDX-License-Identifier: MIT
 *
 * The memory of maps: large ones, in memory from mn_alloc() and in ordinary memory, which executors of the node work on
 * where it lies; and what happens to it when a map ends early.
 */
#include "places.h"

#define ITEMS 20000 /* of 64 bytes: large enough to be shared */

typedef struct item {
    uint64_t number, behaviour, more[6];
} item_t;

enum { PLAIN, FAIL, CRASH_ONCE, WRITE_LATE, SCRIBBLE };

MN_FUNCTION(work, .cpu = 0.5, .max_retries = 1);
MN_FUNCTION(work_late, .cpu = 0.5, .grace = 30);

static uint64_t expected(const item_t *item)
{
    return item->number * 3 + item->more[5];
}

/* A file in the test's folder, which goes with it. */
static void mark_path(char path[256], uint64_t mark)
{
    const char *folder = getenv("CHECK_FOLDER");
    snprintf(path, 256, "%s/memory-%llu", folder ? folder : "/tmp", (unsigned long long)mark);
}

static int work(mn_task_t *task, mn_value_t input)
{
    const item_t *item = input.data;
    uint64_t result = expected(item);
    if (item->behaviour == FAIL)
        return mn_fail(task, MN_E_FAILED, "as it should");
    if (item->behaviour == CRASH_ONCE) {
        char path[256];
        mark_path(path, item->more[0]);
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
            abort();
    }
    if (item->behaviour == SCRIBBLE) /* the arguments are for reading only */
        *(volatile uint64_t *)(uintptr_t)&item->number = 0;
    return mn_yield(task, mn_bytes(&result, sizeof result));
}

/* Does not listen, and yields when nobody waits any more. */
static int work_late(mn_task_t *task, mn_value_t input)
{
    const item_t *item = input.data;
    uint64_t result = UINT64_MAX;
    if (item->behaviour == FAIL)
        return mn_fail(task, MN_E_FAILED, "as it should");
    if (item->behaviour == WRITE_LATE) {
        while (!mn_cancelled(task))
            pause_ms(2);
        pause_ms(300);
        mn_yield(task, mn_bytes(&result, sizeof result));
        return 0;
    }
    result = expected(item);
    return mn_yield(task, mn_bytes(&result, sizeof result));
}

static void fill(item_t *items, uint64_t from)
{
    memset(items, 0, ITEMS * sizeof *items);
    for (uint64_t i = 0; i < ITEMS; i++) {
        items[i].number = from + i;
        items[i].more[5] = i % 7;
    }
}

static bool all_right(const item_t *items, const uint64_t *results)
{
    for (uint64_t i = 0; i < ITEMS; i++)
        if (results[i] != expected(&items[i]))
            return check_fail("result %llu is %llu", (unsigned long long)i,
                              (unsigned long long)results[i]);
    return true;
}

/* All four: arguments and results in ordinary memory or in the task's. */
static void either_memory(mn_task_t *task)
{
    void *items[2] = {malloc(ITEMS * sizeof(item_t)), NULL},
         *results[2] = {malloc(ITEMS * sizeof(uint64_t)), NULL};

    REQUIRE_CODE(mn_alloc(task, ITEMS * sizeof(item_t) + 64, &items[1]), 0);
    REQUIRE_CODE(mn_alloc(task, ITEMS * sizeof(uint64_t) + 8, &results[1]), 0);
    REQUIRE(items[0] && results[0] && (uintptr_t)items[1] % 4096 == 0);
    for (int twice = 0; twice < 2; twice++)
        for (int way = 0; way < 4; way++) {
            /* Not at its beginning, to be sure. */
            item_t *at = (item_t *)((char *)items[way & 1] + (way & 1 ? 64 : 0));
            uint64_t *out = (uint64_t *)results[way >> 1] + (way >> 1);
            fill(at, (uint64_t)(1000 * way + twice));
            memset(out, 0xee, ITEMS * sizeof *out);
            REQUIRE_CODE(mn_map(task, work, at, ITEMS, out), 0);
            all_right(at, out);
        }
    free(items[0]);
    free(results[0]);
    mn_free(items[1]);
    mn_free(results[1]);
}

static void crash_in_the_middle(mn_task_t *task)
{
    static uint64_t results[ITEMS];
    void *items;
    char path[256];
    uint64_t mark = (uint64_t)getpid() << 20 | (uint64_t)(clock() & 0xfffff);

    mark_path(path, mark);
    REQUIRE_CODE(mn_alloc(task, ITEMS * sizeof(item_t), &items), 0);
    fill(items, 5);
    item_t *bad = (item_t *)items + ITEMS / 3;
    bad->behaviour = CRASH_ONCE;
    bad->more[0] = mark;
    REQUIRE_CODE(mn_map(task, work, (item_t *)items, ITEMS, results), 0);
    all_right(items, results);
    CHECK(unlink(path) == 0); /* it did crash */
    mn_free(items);
}

static void arguments_are_read_only(mn_task_t *task)
{
    static uint64_t results[ITEMS];
    static item_t items[ITEMS], copy[ITEMS];
    size_t failed = 0;

    fill(items, 9);
    items[ITEMS / 2].behaviour = SCRIBBLE;
    memcpy(copy, items, sizeof copy);
    CHECK_CODE(mn_map_fixed(task, work, items, sizeof *items, ITEMS, results, sizeof *results,
                            &(mn_map_options_t){.failed = &failed}),
               MN_E_CRASHED);
    CHECK(failed == ITEMS / 2);
    CHECK(memcmp(items, copy, sizeof copy) == 0);
}

/* What a map has left running, when it failed, must not write into the next one's results. */
static void late_results_go_nowhere(mn_task_t *task)
{
    void *items, *results;
    static item_t ordinary[ITEMS];
    static uint64_t ordinary_results[ITEMS];

    REQUIRE_CODE(mn_alloc(task, ITEMS * sizeof(item_t), &items), 0);
    REQUIRE_CODE(mn_alloc(task, ITEMS * sizeof(uint64_t), &results), 0);
    for (int own = 0; own < 2; own++) {
        item_t *at = own ? items : ordinary;
        uint64_t *out = own ? results : ordinary_results;
        fill(at, 77);
        at[0].behaviour = WRITE_LATE;
        at[ITEMS / 2].behaviour = FAIL;
        CHECK_CODE(mn_map(task, work_late, at, ITEMS, out), MN_E_FAILED);
        fill(at, 78);
        for (int i = 0; i < 20; i++) {
            memset(out, 0xee, ITEMS * sizeof *out);
            REQUIRE_CODE(mn_map(task, work, at, ITEMS, out), 0);
            all_right(at, out);
            pause_ms(25);
            all_right(at, out);
        }
    }
    mn_free(items);
    mn_free(results);
}

static void bad_input(mn_task_t *task)
{
    void *memory = NULL;
    int here = 0;

    CHECK_REFUSED(mn_alloc(NULL, 1, &memory), MN_E_INVALID);
    CHECK_REFUSED(mn_alloc(task, 1, NULL), MN_E_INVALID);
    CHECK_REFUSED(mn_alloc(task, SIZE_MAX, &memory), MN_E_TOO_LARGE);
    CHECK_REFUSED(mn_alloc(task, SIZE_MAX / 2, &memory), MN_E_TOO_LARGE);
    CHECK(memory == NULL);
    mn_free(NULL);
    mn_free(&here);
    REQUIRE_CODE(mn_alloc(task, 0, &memory), 0);
    mn_free((char *)memory + 1);
    mn_free(memory);
    mn_free(memory);
}

static void rows(mn_task_t *task, const char *where)
{
    (void)where;
    RUN(task, bad_input);
    RUN(task, either_memory);
    RUN(task, crash_in_the_middle);
    RUN(task, arguments_are_read_only);
    RUN(task, late_results_go_nowhere);
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, places_driver);
}
