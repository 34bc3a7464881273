/* SPDX-License-Identifier: MIT
 *
 * store/ and power losses: sessions of a client (store_client.h) on a disk that may lose what was not synced (power.h). At random
 * instants of each session what a power loss might leave is put aside, with the log as it was; afterwards the store is recovered
 * from each of these and held against that log, and goes on. The next round begins with one of them.
 *
 * SEED repeats a run, as far as threads do; CUTS: how many losses (120).
 */
#include "power.h"
#include "store_client.h"
#include "store_folder.h"

#define ROUND 30u /* losses in a round */

typedef struct cut {
    char folder[PATH_MAX];
    client_log_t *log;
} cut_t;

typedef struct world {
    uint64_t random;
    power_t *power;
    client_log_t *log;
    cut_t cuts[ROUND];
    unsigned count;
    uint64_t events, every;
} world_t;

static uint64_t seed;
static unsigned cuts_wanted = 120;

static uint64_t draw(uint64_t *random, uint64_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % below;
}

/* The log as it is now, which is when nothing changes on the disk. Its client may go on meanwhile, but not acknowledge what this
 * disk does not have yet. */
static client_log_t *log_copy(const client_log_t *log)
{
    client_log_t *copy = calloc(1, sizeof *copy);
    assert_non_null(copy);
    copy->acknowledged = __atomic_load_n(&log->acknowledged, __ATOMIC_ACQUIRE);
    copy->count = __atomic_load_n(&log->count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < copy->count; i++) {
        memcpy(&copy->entries[i], &log->entries[i], offsetof(client_entry_t, told));
        copy->entries[i].told = __atomic_load_n(&log->entries[i].told, __ATOMIC_RELAXED);
    }
    return copy;
}

static void on_change(void *argument)
{
    world_t *world = argument;
    char name[32];

    world->events++;
    if (world->count == ROUND || draw(&world->random, world->every) > 0)
        return;
    cut_t *cut = &world->cuts[world->count];
    snprintf(name, sizeof name, "cut-%u", world->count++);
    path_make(cut->folder, base, name);
    mkdir(cut->folder, 0700);
    folder_clear(cut->folder);
    cut->log = log_copy(world->log);
    power_cut(world->power, &world->random, cut->folder);
}

/* Sessions on one disk, until there are enough losses. */
static void live(world_t *world, const char *folder)
{
    char path[PATH_MAX], why[512];

    path_make(path, folder, "store.h5");
    for (unsigned session = 0; session < 4 && world->count < ROUND; session++) {
        client_options_t options = {.seed = world->random,
                                    .jobs = 4,
                                    .steps = 25,
                                    .patience = 1000,
                                    .cut = draw(&world->random, 2) == 0};
        world->power = power_create(folder, on_change, world);
        mni_fault_layer_set(power_layer(world->power), true);
        bool good = client_session(path, world->log, &options);
        mni_fault_layer_set(NULL, false);
        power_destroy(world->power);
        if (!good || world->log->rc < 0)
            fail_msg("SEED=%llu: a session: %s", (unsigned long long)seed, world->log->error);
        if (!client_audit(path, world->log, why))
            fail_msg("SEED=%llu: after a session: %s", (unsigned long long)seed, why);
    }
}

static void check_cut(const world_t *world, cut_t *cut)
{
    char path[PATH_MAX], why[512];
    client_options_t options = {.seed = world->random, .jobs = 1, .steps = 4, .patience = 1000};

    path_make(path, cut->folder, "store.h5");
    if (!client_audit(path, cut->log, why))
        fail_msg("SEED=%llu, %s: %s", (unsigned long long)seed, cut->folder, why);
    client_log_t *after = log_copy(cut->log);
    if (!client_session(path, after, &options) || after->rc < 0)
        fail_msg("SEED=%llu, %s: a session after it: %s", (unsigned long long)seed, cut->folder,
                 after->error);
    if (!client_audit(path, after, why))
        fail_msg("SEED=%llu, %s: after a session after it: %s", (unsigned long long)seed,
                 cut->folder, why);
    free(after);
}

static void what_was_acknowledged_survives(void **state)
{
    world_t world = {.random = seed, .every = 8};
    char folder[PATH_MAX], from[PATH_MAX];
    unsigned losses = 0;
    (void)state;

    path_make(folder, base, "disk");
    path_make(from, base, "from");
    mkdir(folder, 0700);
    world.log = calloc(1, sizeof *world.log);
    assert_non_null(world.log);
    while (losses < cuts_wanted) {
        world.count = 0;
        live(&world, folder);
        assert_true(world.count > 0);
        unsigned next = (unsigned)draw(&world.random, world.count);
        folder_copy(world.cuts[next].folder, from);
        client_log_t *log = log_copy(world.cuts[next].log);
        for (unsigned i = 0; i < world.count; i++) {
            check_cut(&world, &world.cuts[i]);
            free(world.cuts[i].log);
        }
        losses += world.count;
        /* on the disk as that loss left it; with a fresh one when there is no room for more jobs */
        if (log->count > CLIENT_ENTRIES / 3 || draw(&world.random, 4) == 0) {
            folder_clear(folder);
            memset(log, 0, sizeof *log);
        } else {
            folder_copy(from, folder);
        }
        free(world.log);
        world.log = log;
    }
    free(world.log);
    print_message("# %u power losses, %llu changes of files\n", losses,
                  (unsigned long long)world.events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives),
    };
    const char *text = getenv("SEED");
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)getpid();
    text = getenv("CUTS");
    if (text && atoi(text) > 0)
        cuts_wanted = (unsigned)atoi(text);
    print_message("# SEED=%llu CUTS=%u\n", (unsigned long long)seed, cuts_wanted);
    folder_begin("test_store_power");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed == 0 || !getenv("KEEP"))
        folder_end();
    return failed;
}
