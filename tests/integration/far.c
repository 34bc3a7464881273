/* SPDX-License-Identifier: MIT
 *
 * Large blocks between nodes: arguments and results that are sent from and received into shared memory. All bytes are
 * compared; and what is under way when a map fails, is cancelled, or loses a process, harms nothing that comes after.
 */
#include "places.h"

#include <pthread.h>

#define MB ((size_t)1000 * 1000)

/* At the beginning of each item. */
typedef struct order {
    uint64_t number, behaviour, mark;
} order_t;

enum { PLAIN, FAIL, CRASH, CRASH_ONCE, SLOW };

static int silence; /* s */

MN_FUNCTION(turn, .cpu = 0.25, .max_retries = 1);
MN_FUNCTION(turn_once, .cpu = 0.25, .grace = 20);
MN_FUNCTION(turn_values, .cpu = 0.25);
MN_FUNCTION(map_and_be_silent, .cpu = 0.25);
MN_JOB(map_until_cancelled, .cpu = 0.1, .grace = 20);
MN_JOB(map_and_die, .cpu = 0.1);

static uint64_t word_of(uint64_t number, uint64_t i)
{
    uint64_t value = (number * UINT64_C(0x9e3779b97f4a7c15) + i) * UINT64_C(0xff51afd7ed558ccd);
    return value ^ value >> 31;
}

static void mark_path(char path[256], uint64_t mark)
{
    const char *folder = getenv("CHECK_FOLDER");
    snprintf(path, 256, "%s/far-%llu", folder ? folder : "/tmp", (unsigned long long)mark);
}

static uint64_t new_mark(void)
{
    static uint64_t count;
    return (uint64_t)getpid() << 20 | ++count;
}

static void behave(const order_t *order)
{
    char path[256];
    if (order->behaviour == SLOW)
        pause_ms(100);
    if (order->behaviour == CRASH)
        abort();
    if (order->behaviour != CRASH_ONCE)
        return;
    mark_path(path, order->mark);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        abort();
}

/* Words of an item from a place on: what the caller has put there must be there, and each is changed. */
static bool turn_words(const void *data, size_t size, uint64_t *result)
{
    const order_t *order = data;
    const uint64_t *words = data;
    for (size_t i = sizeof *order / sizeof *words; i < size / sizeof *words; i++) {
        if (words[i] != word_of(order->number, i))
            return false;
        result[i] = ~words[i];
    }
    memcpy(result, order, sizeof *order);
    return true;
}

static int turn_item(mn_task_t *task, mn_value_t input)
{
    const order_t *order = input.data;
    uint64_t *result = malloc(input.size);
    int rc;

    behave(order);
    if (order->behaviour == FAIL)
        rc = mn_fail(task, MN_E_FAILED, "as it should");
    else if (!result || !turn_words(input.data, input.size, result))
        rc = mn_fail(task, MN_E_FAILED, "item %llu has not arrived as it was sent",
                     (unsigned long long)order->number);
    else
        rc = mn_yield(task, mn_bytes(result, input.size));
    free(result);
    return rc;
}

static int turn(mn_task_t *task, mn_value_t input)
{
    return turn_item(task, input);
}

static int turn_once(mn_task_t *task, mn_value_t input)
{
    return turn_item(task, input);
}

static int turn_values(mn_task_t *task, mn_value_t input)
{
    return turn_item(task, input);
}

/* --- maps of large items ---------------------------------------------------------------------------------- */

typedef struct items {
    mn_task_t *task; /* its memory; NULL: ordinary memory */
    size_t size, count;
    uint8_t *arguments, *results;
} items_t;

static void item_fill(uint8_t *item, size_t size, uint64_t number)
{
    uint64_t *words = (uint64_t *)(void *)item;
    order_t order = {.number = number};
    for (size_t i = 0; i < size / sizeof *words; i++)
        words[i] = word_of(number, i);
    memcpy(item, &order, sizeof order);
}

static bool items_make(items_t *items, mn_task_t *task, size_t count, size_t size)
{
    void *arguments = NULL, *results = NULL;
    *items = (items_t){.task = task, .size = size / 8 * 8, .count = count};
    if (task) {
        if (!CHECK_CODE(mn_alloc(task, count * items->size, &arguments), 0) ||
            !CHECK_CODE(mn_alloc(task, count * items->size, &results), 0))
            return false;
    } else {
        arguments = malloc(count * items->size);
        results = malloc(count * items->size);
    }
    items->arguments = arguments;
    items->results = results;
    return CHECK(arguments && results);
}

static void items_fill(const items_t *items, uint64_t from)
{
    for (size_t i = 0; i < items->count; i++)
        item_fill(items->arguments + i * items->size, items->size, from + i);
    memset(items->results, 0xee, items->count * items->size);
}

static order_t *items_at(const items_t *items, size_t index)
{
    return (order_t *)(void *)(items->arguments + index * items->size);
}

static void items_free(items_t *items)
{
    if (items->task) {
        mn_free(items->arguments);
        mn_free(items->results);
    } else {
        free(items->arguments);
        free(items->results);
    }
}

static bool item_right(const uint8_t *argument, const uint8_t *result, size_t size)
{
    const uint64_t *words = (const uint64_t *)(const void *)argument,
                   *got = (const uint64_t *)(const void *)result;
    for (size_t i = sizeof(order_t) / 8; i < size / 8; i++)
        if (got[i] != ~words[i])
            return check_fail("word %zu of a result is %llx instead of %llx", i,
                              (unsigned long long)got[i], (unsigned long long)~words[i]);
    return CHECK(memcmp(argument, result, sizeof(order_t)) == 0);
}

static bool items_right(const items_t *items)
{
    for (size_t i = 0; i < items->count; i++)
        if (!item_right(items->arguments + i * items->size, items->results + i * items->size,
                        items->size))
            return check_fail("result %zu of %zu", i, items->count);
    return true;
}

static int items_map(mn_task_t *task, mn_entry_t *function, const items_t *items, size_t *failed)
{
    return mn_map_fixed(task, function, items->arguments, items->size, items->count, items->results,
                        items->size, &(mn_map_options_t){.failed = failed});
}

static void map_twice(mn_task_t *task, bool own, size_t count, size_t size)
{
    items_t items;
    if (!items_make(&items, own ? task : NULL, count, size))
        return;
    for (uint64_t from = 1000; from < 3000; from += 1000) {
        items_fill(&items, from);
        CHECK_CODE(items_map(task, turn, &items, NULL), 0);
        items_right(&items);
    }
    items_free(&items);
}

static void a_hundred_megabytes(mn_task_t *task)
{
    map_twice(task, false, 100, MB);
    map_twice(task, true, 100, MB);
}

static void items_of_twenty_megabytes(mn_task_t *task)
{
    map_twice(task, false, 5, 20 * MB);
    map_twice(task, true, 5, 20 * MB);
}

/* Around what travels inside a message, at all alignments. */
static void sizes_about_the_limit(mn_task_t *task)
{
    const size_t limit = 65536;
    for (size_t size = limit - 16; size <= limit + 16; size += 8)
        map_twice(task, size % 16 == 0, 3, size);
    map_twice(task, true, 700, 2000);
}

static void values_of_all_sizes(mn_task_t *task)
{
    enum { COUNT = 40 };
    mn_value_t arguments[COUNT], results[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = i % 7 == 0 ? 3 * MB : 32 + i * 8 * 1000;
        uint8_t *data = malloc(size);
        REQUIRE(data);
        item_fill(data, size, i);
        arguments[i] = mn_bytes(data, size);
    }
    for (int twice = 0; twice < 2; twice++) {
        REQUIRE_CODE(mn_map_values(task, turn_values, arguments, COUNT, results, NULL), 0);
        for (size_t i = 0; i < COUNT; i++) {
            if (CHECK(results[i].size == arguments[i].size))
                item_right(arguments[i].data, results[i].data, results[i].size);
            mn_value_destroy(&results[i]);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        free((void *)(uintptr_t)arguments[i].data);
}

/* --- maps that end early ---------------------------------------------------------------------------------- */

static void a_failure_leaves_the_next_map_alone(mn_task_t *task)
{
    for (int own = 0; own < 2; own++) {
        items_t items;
        size_t failed = SIZE_MAX;
        if (!items_make(&items, own ? task : NULL, 20, 2 * MB))
            return;
        for (int i = 0; i < 5; i++) {
            items_fill(&items, 100);
            items_at(&items, (size_t)i * 3)->behaviour = FAIL;
            CHECK_CODE(items_map(task, turn_once, &items, &failed), MN_E_FAILED);
            CHECK(failed == (size_t)i * 3);
            items_fill(&items, 200);
            CHECK_CODE(items_map(task, turn, &items, NULL), 0);
            items_right(&items);
        }
        items_free(&items);
    }
}

static void a_crash_is_retried(mn_task_t *task)
{
    for (int own = 0; own < 2; own++) {
        items_t items;
        if (!items_make(&items, own ? task : NULL, 30, MB))
            return;
        items_fill(&items, 300);
        for (size_t i = 4; i < items.count; i += 11) {
            items_at(&items, i)->behaviour = CRASH_ONCE;
            items_at(&items, i)->mark = new_mark();
        }
        CHECK_CODE(items_map(task, turn, &items, NULL), 0);
        items_right(&items);
        for (size_t i = 4; i < items.count; i += 11) {
            char path[256];
            mark_path(path, items_at(&items, i)->mark);
            CHECK(unlink(path) == 0); /* it did crash */
        }
        items_free(&items);
    }
}

static void a_crash_fails_the_map(mn_task_t *task)
{
    items_t items;
    size_t failed = SIZE_MAX;
    if (!items_make(&items, task, 30, MB))
        return;
    for (int i = 0; i < 3; i++) {
        items_fill(&items, 400);
        items_at(&items, 17)->behaviour = CRASH;
        CHECK_CODE(items_map(task, turn_once, &items, &failed), MN_E_CRASHED);
        CHECK(failed == 17);
        items_fill(&items, 500);
        CHECK_CODE(items_map(task, turn, &items, NULL), 0);
        items_right(&items);
    }
    items_free(&items);
}

/* Maps without end; after the cancellation one more, which is refused. */
static int map_until_cancelled(mn_task_t *task, mn_value_t input)
{
    items_t items;
    int64_t rounds = 0;
    int rc = 0;
    (void)input;
    if (!items_make(&items, task, 20, 2 * MB))
        return mn_fail(task, MN_E_NO_MEMORY, "no memory");
    while (rc == 0) {
        items_fill(&items, (uint64_t)++rounds);
        items_at(&items, 19)->behaviour = rounds > 1 ? SLOW : PLAIN;
        rc = items_map(task, turn_once, &items, NULL);
        if (rc == 0 && !items_right(&items))
            return mn_fail(task, MN_E_FAILED, "wrong results");
        if (rounds == 1)
            mn_yield(task, int_value(&rounds));
    }
    return rc;
}

static void cancelled_under_way(mn_task_t *task)
{
    (void)task;
    for (int i = 0; i < 4; i++) {
        mn_id_t id;
        mn_info_t *info = NULL;
        REQUIRE_CODE(mn_start(map_until_cancelled, mn_none(), NULL, &id), 0);
        REQUIRE_CODE(mn_watch(id, 0, CHECK_PATIENCE, &info), 0);
        mn_info_destroy(info);
        pause_ms(20 * i);
        CHECK_CODE(mn_cancel(id), 0);
        mn_info_destroy(check_ended(id, MN_CANCELLED, MN_REASON_CANCELLED, __LINE__));
    }
    map_twice(task, true, 20, 2 * MB);
}

static void *die_soon(void *argument)
{
    pause_ms(*(long *)argument);
    kill(getpid(), SIGKILL);
    return NULL;
}

static int map_and_die(mn_task_t *task, mn_value_t input)
{
    static long after;
    pthread_t thread;
    items_t items;
    after = (long)value_int(input);
    if (!items_make(&items, task, 40, 2 * MB))
        return mn_fail(task, MN_E_NO_MEMORY, "no memory");
    items_fill(&items, 7);
    if (pthread_create(&thread, NULL, die_soon, &after) != 0)
        return mn_fail(task, MN_E_SYSTEM, "no thread");
    for (;;)
        items_map(task, turn, &items, NULL);
}

static void killed_under_way(mn_task_t *task)
{
    (void)task;
    for (int64_t after = 0; after < 100; after += 20) {
        mn_id_t id;
        REQUIRE_CODE(mn_start(map_and_die, int_value(&after), NULL, &id), 0);
        mn_info_destroy(check_ended(id, MN_FAILED, MN_REASON_SIGNAL, __LINE__));
    }
    map_twice(task, true, 20, 2 * MB);
}

/* On all nodes, so that workers send to each other, and then nothing for longer than the heartbeat that far.test asks for. */
static int map_and_be_silent(mn_task_t *task, mn_value_t input)
{
    items_t items;
    int rc = 0;
    (void)input;
    if (!items_make(&items, task, 4, MB))
        return mn_fail(task, MN_E_NO_MEMORY, "no memory");
    items_fill(&items, 5);
    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = items_map(task, turn, &items, NULL);
        pause_ms(i == 0 ? 1000L * silence : 0);
    }
    items_free(&items);
    return rc;
}

static void workers_are_silent_for_a_while(mn_task_t *task)
{
    mn_value_t nothing[256], results[256];
    size_t count = 8 * (size_t)sysconf(_SC_NPROCESSORS_ONLN); /* more than one node can take */
    if (count > 256)
        count = 256;
    for (size_t i = 0; i < count; i++)
        nothing[i] = mn_none();
    REQUIRE_CODE(mn_map_values(task, map_and_be_silent, nothing, count, results, NULL), 0);
    for (size_t i = 0; i < count; i++)
        mn_value_destroy(&results[i]);
}

static void rows(mn_task_t *task, const char *where)
{
    if (silence > 0) {
        if (strcmp(where, "driver") == 0)
            RUN(task, workers_are_silent_for_a_while);
        return;
    }
    RUN(task, a_hundred_megabytes);
    RUN(task, sizes_about_the_limit);
    RUN(task, a_failure_leaves_the_next_map_alone);
    RUN(task, a_crash_is_retried);
    if (strcmp(where, "driver") != 0 && strcmp(where, "job") != 0)
        return;
    RUN(task, items_of_twenty_megabytes);
    RUN(task, values_of_all_sizes);
    RUN(task, a_crash_fails_the_map);
    RUN(task, cancelled_under_way);
    RUN(task, killed_under_way);
}

int main(int argc, char **argv)
{
    silence = argc > 1 ? atoi(argv[1]) : 0; /* before the processes are forked that need it */
    return mn_main(argc, argv, places_driver);
}
