/* SPDX-License-Identifier: MIT
 *
 * The spawner's trees, with every method of killing them: processes that try to get away, and the death of either side.
 */
#include "spawner_fixture.h"

#include "util/clock.h"

/* --- what runs in the children ---------------------------------------------------------------- */

/* A daemon by the book: setsid, forked twice; and one that has a child; and a plain child. */
static void spread(notes_t *notes)
{
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0) {
            signal(SIGTERM, SIG_IGN);
            signal(SIGHUP, SIG_IGN);
            if (fork() == 0)
                setsid();
            note_pid(notes, getpid());
            wait_to_be_killed();
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    if (fork() == 0) {
        note_pid(notes, getpid());
        wait_to_be_killed();
    }
}

#define SPREAD 3
#define FORKING_SECONDS 600 /* longer than the whole test may take */

static int spread_and_wait(mni_channel_t *channel)
{
    notes_t *notes = notes_of(channel);
    note_pid(notes, getpid());
    spread(notes);
    wait_to_be_killed();
    return 0;
}

static int spread_and_return(mni_channel_t *channel)
{
    notes_t *notes = notes_of(channel);
    note_pid(notes, getpid());
    spread(notes);
    wait_for_notes(notes, SPREAD + 1);
    return 5;
}

/*
 * Processes that replace themselves all the time: each daemon is the child of one that has just ended. They give up in the
 * end, since who is killed together with the test's own processes would leave a core busy for ever.
 */
static int keep_forking(mni_channel_t *channel)
{
    notes_t *notes = notes_of(channel);
    uint64_t end = mni_clock_after(mni_clock_now(), FORKING_SECONDS);
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            setsid();
            while (mni_clock_now() < end) {
                pid_t next = fork();
                if (next > 0)
                    _exit(0);
                __atomic_add_fetch(&notes->count, 1, __ATOMIC_SEQ_CST);
            }
            _exit(0);
        }
    wait_to_be_killed();
    return 0;
}

/* --- trees ------------------------------------------------------------------------------------ */

static void a_kill_leaves_nothing_of_a_tree(void **state)
{
    FIXTURE(state)
    spawn_in(fixture, 0, spread_and_wait, false);
    spawn_in(fixture, 1, spread_and_wait, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    expect_event(fixture->spawner, MNI_SPAWNED, 1);
    notes_t *notes = notes_of(fixture->channels[0]), *others = notes_of(fixture->channels[1]);
    assert_true(wait_for_notes(notes, SPREAD + 1) && wait_for_notes(others, SPREAD + 1));
    usleep(2000);
    assert_int_equal(mni_spawner_kill(fixture->spawner, 0), 0);
    mni_spawn_event_t event = expect_event(fixture->spawner, MNI_ENDED, 0);
    assert_true(WIFSIGNALED(event.status) && WTERMSIG(event.status) == SIGKILL);
    assert_all_gone(notes);
    /* And nothing of another one. */
    for (int i = 0; i < others->count; i++)
        assert_int_equal(kill(others->pids[i], 0), 0);
    assert_int_equal(mni_spawner_kill(fixture->spawner, 1), 0);
    expect_event(fixture->spawner, MNI_ENDED, 1);
    assert_all_gone(others);
}

/* Whether a process is in a group below a spawner's folder. */
static bool is_below(pid_t pid, const char *directory)
{
    char path[64], text[8192];
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    FILE *file = fopen(path, "re");
    size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[got] = '\0';
    return strstr(text, strrchr(directory, '/')) != NULL;
}

/* The driver too is killed with all that it has started; no limit of memory is its. */
static void executors_and_the_driver_have_groups(void **state)
{
    FIXTURE(state)
    const char *directory = mni_spawner_directory(fixture->spawner);
    const char *limits = mni_spawner_confine_directory(fixture->spawner);
    for (uint32_t slot = 0; slot < 2; slot++) {
        spawn_in(fixture, slot, spread_and_wait, slot == 1);
        mni_spawn_event_t event = expect_event(fixture->spawner, MNI_SPAWNED, slot);
        assert_true(directory[0] == '\0' || is_below(event.pid, directory));
        assert_true(limits[0] == '\0' || is_below(event.pid, limits) == (slot == 0) ||
                    strcmp(limits, directory) == 0);
    }
    for (uint32_t slot = 0; slot < 2; slot++) {
        notes_t *notes = notes_of(fixture->channels[slot]);
        assert_true(wait_for_notes(notes, SPREAD + 1));
        assert_int_equal(mni_spawner_kill(fixture->spawner, slot), 0);
        expect_event(fixture->spawner, MNI_ENDED, slot);
        assert_all_gone(notes);
    }
}

static void an_end_leaves_nothing_of_a_tree(void **state)
{
    FIXTURE(state)
    spawn_in(fixture, 0, spread_and_return, false);
    spawn_in(fixture, 1, sleep_long, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    notes_t *notes = notes_of(fixture->channels[0]), *other = notes_of(fixture->channels[1]);
    mni_spawn_event_t event = {0};
    for (int i = 0; i < 2; i++)
        assert_true(wait_event(fixture->spawner, &event));
    if (event.kind == MNI_SPAWNED)
        event = expect_event(fixture->spawner, MNI_ENDED, 0);
    assert_int_equal(event.kind == MNI_ENDED ? event.slot : 99, 0);
    assert_int_equal(event.status, 5 << 8);
    assert_all_gone(notes);
    assert_true(wait_for_notes(other, 1));
    assert_int_equal(kill(other->pids[0], 0), 0);
}

static void processes_that_keep_forking_are_killed(void **state)
{
    FIXTURE(state)
    spawn_in(fixture, 0, keep_forking, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    notes_t *notes = notes_of(fixture->channels[0]);
    assert_true(wait_for_notes(notes, 100));
    assert_int_equal(mni_spawner_kill(fixture->spawner, 0), 0);
    expect_event(fixture->spawner, MNI_ENDED, 0);
    usleep(20000);
    int count = __atomic_load_n(&notes->count, __ATOMIC_SEQ_CST);
    usleep(100000);
    assert_int_equal(__atomic_load_n(&notes->count, __ATOMIC_SEQ_CST), count);
}

static void a_stop_leaves_nothing(void **state)
{
    FIXTURE(state)
    spawn_in(fixture, 0, spread_and_wait, false);
    notes_t *notes = notes_of(fixture->channels[0]);
    assert_true(wait_for_notes(notes, SPREAD + 1));
    mni_spawner_stop(fixture->spawner, 10);
    mni_doorbell_ring(
        mni_spawner_doorbell(fixture->spawner)); /* threads of the rank do so until they end */
    mni_spawner_destroy(fixture->spawner);
    fixture->spawner = NULL;
    assert_all_gone(notes);
}

/* --- the death of a side ---------------------------------------------------------------------- */

typedef struct death_notes {
    char directory[MNI_CGROUP_PATH];
    pid_t spawner;
    notes_t tree;
} death_notes_t;

/* Which children survive a killed spawner when there is no group to find them in: those that
 * left their session. */
static int children_in_session(mni_channel_t *channel)
{
    notes_t *notes = notes_of(channel);
    note_pid(notes, getpid());
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            if (i == 1 && fork() > 0)
                _exit(0);
            note_pid(notes, getpid());
            wait_to_be_killed();
        }
    wait_to_be_killed();
    return 0;
}

/* A rank that starts all and then waits to be killed. */
static void fake_rank(death_notes_t *shared, const char *method)
{
    fixture_t *fixture = NULL;
    setenv("MULTINODE_KILL", method, 1);
    fixture = calloc(1, sizeof *fixture);
    if (!fixture || mni_spawner_start(&fixture->spawner) < 0)
        _exit(1);
    shared->spawner = mni_spawner_pid(fixture->spawner);
    snprintf(shared->directory, sizeof shared->directory, "%s",
             mni_spawner_directory(fixture->spawner));
    mni_channel_create(mni_spawner_doorbell(fixture->spawner), &fixture->channels[0]);
    mni_spawn_t spawn = {0, false, spread_and_wait, mni_channel_memfd(fixture->channels[0])};
    mni_spawner_spawn(fixture->spawner, &spawn);
    notes_t *notes = notes_of(fixture->channels[0]);
    if (!wait_for_notes(notes, SPREAD + 1))
        _exit(2);
    usleep(2000);
    memcpy(shared->tree.pids, notes->pids, sizeof notes->pids);
    __atomic_store_n(&shared->tree.count, notes->count, __ATOMIC_SEQ_CST);
    wait_to_be_killed();
}

static void all_ends_when_the_rank_is_killed(void **state)
{
    FIXTURE(state)
    death_notes_t *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *method = method_variable(fixture->spawner);

    fflush(NULL);
    pid_t rank = fork();
    if (rank == 0)
        fake_rank(shared, method);
    assert_true(wait_for_notes(&shared->tree, SPREAD + 1));
    kill(rank, SIGKILL);
    assert_int_equal(waitpid(rank, NULL, 0), rank);
    assert_true(is_gone(shared->spawner));
    assert_all_gone(&shared->tree);
    assert_true(shared->directory[0] == '\0' || access(shared->directory, F_OK) < 0);
    munmap(shared, sizeof *shared);
}

static void the_rank_is_told_when_the_spawner_is_killed(void **state)
{
    FIXTURE(state)
    bool groups = mni_spawner_directory(fixture->spawner)[0] != '\0';
    int count = groups ? SPREAD + 1 : 3;

    spawn_in(fixture, 0, groups ? spread_and_wait : children_in_session, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    notes_t *notes = notes_of(fixture->channels[0]);
    assert_true(wait_for_notes(notes, count));
    kill(mni_spawner_pid(fixture->spawner), SIGKILL);
    mni_spawn_event_t event;
    assert_true(wait_event(fixture->spawner, &event));
    assert_int_equal(event.kind, MNI_SPAWNER_LOST);
    assert_all_gone(notes);
    assert_true(!groups || access(mni_spawner_directory(fixture->spawner), F_OK) < 0);
    assert_false(mni_spawner_next_event(fixture->spawner, &event)); /* told once */
    mni_spawn_t spawn = {1, false, sleep_long, mni_channel_memfd(fixture->channels[0])};
    assert_int_equal(mni_spawner_spawn(fixture->spawner, &spawn), MN_E_SYSTEM);
    assert_int_equal(mni_spawner_kill(fixture->spawner, 0), MN_E_SYSTEM);
}

/* The rank lives and does nothing any more, as one that was stopped. */
static void all_ends_when_the_lease_is_not_renewed(void **state)
{
    FIXTURE(state)
    uint32_t count = SPREAD + 1;
    mni_spawn_event_t event;

    spawn_in(fixture, 0, spread_and_wait, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    notes_t *notes = notes_of(fixture->channels[0]);
    assert_true(wait_for_notes(notes, count));
    mni_spawner_lease(fixture->spawner, 1);
    for (int i = 0; i < 30; i++) { /* longer than a lease, and it goes on */
        usleep(100000);
        mni_spawner_renew(fixture->spawner, mni_clock_now());
    }
    assert_false(mni_spawner_next_event(fixture->spawner, &event));
    do
        assert_true(wait_event(fixture->spawner, &event));
    while (event.kind == MNI_ENDED);
    assert_int_equal(event.kind, MNI_SPAWNER_LOST);
    assert_all_gone(notes);
}

/* --- what a rank that was killed left ----------------------------------------------------------- */

static void directories_of_the_dead_are_removed(void **state)
{
    FIXTURE(state)
    char path[MNI_CGROUP_PATH], parent[MNI_CGROUP_PATH], kept[MNI_CGROUP_PATH + 64],
        dead[MNI_CGROUP_PATH + 64];
    char inside[MNI_CGROUP_PATH + 80];
    struct stat space;

    snprintf(path, sizeof path, "%s", mni_spawner_directory(fixture->spawner));
    if (path[0] == '\0')
        return; /* the subreaper has none */
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = '\0';
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    assert_int_equal(stat("/proc/self/ns/pid", &space), 0);
    snprintf(dead, sizeof dead, "%s/multinode-%d-%lu-0", parent, (int)pid,
             (unsigned long)space.st_ino);
    snprintf(inside, sizeof inside, "%s/3", dead);
    snprintf(kept, sizeof kept, "%s/multinode-%d-%lu-0", parent, (int)getppid(),
             (unsigned long)space.st_ino);
    assert_int_equal(mkdir(dead, 0755) + mkdir(inside, 0755) + mkdir(kept, 0755), 0);
    mni_spawner_t *second;
    setenv("MULTINODE_KILL", method_variable(fixture->spawner), 1);
    assert_int_equal(mni_spawner_start(&second), 0);
    unsetenv("MULTINODE_KILL");
    assert_int_equal(access(dead, F_OK), -1);
    assert_int_equal(access(kept, F_OK), 0);
    assert_int_equal(access(path, F_OK), 0);
    mni_spawner_stop(second, 5);
    mni_spawner_destroy(second);
    assert_int_equal(rmdir(kept), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(a_kill_leaves_nothing_of_a_tree),
        WITH_EACH(executors_and_the_driver_have_groups),
        WITH_EACH(an_end_leaves_nothing_of_a_tree),
        WITH_EACH(processes_that_keep_forking_are_killed),
        WITH_EACH(a_stop_leaves_nothing),
        WITH_EACH(all_ends_when_the_rank_is_killed),
        WITH_EACH(the_rank_is_told_when_the_spawner_is_killed),
        WITH_EACH(all_ends_when_the_lease_is_not_renewed),
        WITH(cgroup2, directories_of_the_dead_are_removed),
        WITH(freezer, directories_of_the_dead_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
