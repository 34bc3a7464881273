/* SPDX-License-Identifier: MIT
 *
 * The spawner: how children begin, what they are, what they write, how their ends are told. Their trees, and the death
 * of a side, are in test_executor_trees.c.
 */
#include "spawner_fixture.h"

extern char **environ;

/* --- what runs in the children ---------------------------------------------------------------- */

static int say_and_return(mni_channel_t *channel)
{
    (void)channel;
    printf("to output");
    fprintf(stderr, "to error\n");
    return 7;
}

static int crash(mni_channel_t *channel)
{
    (void)channel;
    printf("before the end\n");
    raise(SIGKILL);
    return 0;
}

static int leave(mni_channel_t *channel)
{
    (void)channel;
    exit(3);
}

#define LARGE (1000 * 1000 + 17)

static int write_much(mni_channel_t *channel)
{
    (void)channel;
    for (int i = 0; i < LARGE; i++)
        putchar('a' + i % 26);
    return 0;
}
/* --- plain lives ------------------------------------------------------------------------------ */

static void children_run_and_their_ends_are_told(void **state)
{
    FIXTURE(state)
    mni_child_main_t *const mains[3] = {say_and_return, crash, leave};
    int seen = 0;

    for (uint32_t slot = 0; slot < 3; slot++)
        spawn_in(fixture, slot, mains[slot], false);
    for (int i = 0; i < 6; i++) {
        mni_spawn_event_t event;
        assert_true(wait_event(fixture->spawner, &event));
        assert_in_range(event.slot, 0, 2);
        if (event.kind == MNI_SPAWNED) {
            assert_true(event.pid > 0);
            assert_int_equal(seen & (1 << event.slot), 0);
            seen |= 1 << event.slot;
            continue;
        }
        assert_int_equal(event.kind, MNI_ENDED);
        assert_true(seen & (1 << event.slot));
        assert_true(kill(event.pid, 0) < 0 && errno == ESRCH);
        if (event.slot == 0)
            assert_int_equal(event.status, 7 << 8);
        else if (event.slot == 1)
            assert_true(WIFSIGNALED(event.status) && WTERMSIG(event.status) == SIGKILL);
        else
            assert_int_equal(event.status, 3 << 8);
        assert_true(event.usage.ru_maxrss > 0);
    }
    mni_log_area_t *log = mni_channel_log(fixture->channels[0], MN_STDOUT);
    assert_int_equal(log->total, 9);
    assert_memory_equal(log->head, "to output", 9);
    log = mni_channel_log(fixture->channels[0], MN_STDERR);
    assert_int_equal(log->total, 9);
    assert_memory_equal(log->head, "to error\n", 9);
    log = mni_channel_log(fixture->channels[1], MN_STDOUT);
    assert_memory_equal(log->head, "before the end\n", 15);
}

static void large_output_keeps_both_ends_and_the_count(void **state)
{
    FIXTURE(state)
    spawn_in(fixture, 0, write_much, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    expect_event(fixture->spawner, MNI_ENDED, 0);
    mni_log_area_t *log = mni_channel_log(fixture->channels[0], MN_STDOUT);
    assert_int_equal(log->total, LARGE);
    for (uint64_t n = 0; n < MNI_LOG_PART; n++)
        assert_int_equal(log->head[n], 'a' + n % 26);
    for (uint64_t n = LARGE - MNI_LOG_PART; n < LARGE; n++)
        assert_int_equal(log->tail[(n - MNI_LOG_PART) % MNI_LOG_PART], 'a' + n % 26);
}

static void slots_are_used_again_many_times(void **state)
{
    FIXTURE(state)
    for (int i = 0; i < 60; i++) {
        spawn_in(fixture, 1, i % 2 ? leave : say_and_return, false);
        expect_event(fixture->spawner, MNI_SPAWNED, 1);
        mni_spawn_event_t event = expect_event(fixture->spawner, MNI_ENDED, 1);
        assert_int_equal(event.status, (i % 2 ? 3 : 7) << 8);
        mni_channel_destroy(fixture->channels[1]);
        fixture->channels[1] = NULL;
    }
}

static void a_slot_in_use_is_refused(void **state)
{
    FIXTURE(state)
    spawn_in(fixture, 2, sleep_long, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 2);
    mni_spawn_t again = {2, false, sleep_long, mni_channel_memfd(fixture->channels[2])};
    assert_int_equal(mni_spawner_spawn(fixture->spawner, &again), 0);
    assert_int_equal(expect_event(fixture->spawner, MNI_SPAWN_FAILED, 2).errnum, EEXIST);
    int null = open("/dev/null", O_RDWR); /* no channel */
    mni_spawn_t wrong = {3, false, sleep_long, null};
    assert_int_equal(mni_spawner_spawn(fixture->spawner, &wrong), 0);
    assert_int_not_equal(expect_event(fixture->spawner, MNI_SPAWN_FAILED, 3).errnum, 0);
    close(null);
    assert_int_equal(mni_spawner_kill(fixture->spawner, 77), 0); /* nobody: ignored */
    assert_int_equal(mni_spawner_kill(fixture->spawner, 2), 0);
    mni_spawn_event_t event = expect_event(fixture->spawner, MNI_ENDED, 2);
    assert_true(WIFSIGNALED(event.status) && WTERMSIG(event.status) == SIGKILL);
}

static void signals_do_not_hit_the_spawner(void **state)
{
    FIXTURE(state)
    static const int numbers[] = {SIGINT,  SIGTERM, SIGHUP,  SIGUSR1, SIGUSR2,
                                  SIGPIPE, SIGALRM, SIGQUIT, SIGTSTP};

    pid_t pid = mni_spawner_pid(fixture->spawner);
    spawn_in(fixture, 0, leave, false); /* it is up when this one is */
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    expect_event(fixture->spawner, MNI_ENDED, 0);
    assert_int_equal(getpgid(pid), pid);
    assert_int_equal(getsid(pid), getsid(0));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        kill(pid, numbers[i]);
    spawn_in(fixture, 1, leave, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 1);
    expect_event(fixture->spawner, MNI_ENDED, 1);
}

/* --- what a child is -------------------------------------------------------------------------- */

static int count_open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 3; /* . and .. and the directory's own */
}

static int count_in_file(const char *path, const char *text)
{
    char line[512];
    int count = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return count;
}

static int executor_looks_at_itself(mni_channel_t *channel)
{
    struct sigaction action;
    sigset_t mask;
    int death = 0, subreaper = 0;
    struct stat null, input;
    int wrong = 0;

    (void)channel;
#define CHECK(what) \
    if (!(what))    \
    fprintf(stderr, "%d: %s\n", ++wrong, #what)
    CHECK(count_open_descriptors() == 6); /* 0, 1, 2, the memfd, two copies for draining */
    CHECK(count_in_file("/proc/self/maps", "memfd:multinode (deleted)") > 0);
    CHECK(count_in_file("/proc/self/maps", "/dev/zero") == 0); /* the ring of events */
    CHECK(getsid(0) == getpid());
    prctl(PR_GET_PDEATHSIG, &death);
    CHECK(death == SIGKILL);
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
    CHECK(subreaper == 1);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < NSIG; number++) {
        if (number == 32 || number == 33)
            continue; /* the C library's own */
        CHECK(sigismember(&mask, number) == 0);
        sigaction(number, NULL, &action);
        CHECK(action.sa_handler == SIG_DFL);
    }
    CHECK(stat("/dev/null", &null) == 0 && fstat(0, &input) == 0 && input.st_rdev == null.st_rdev);
    CHECK(getenv("OMPI_COMM_WORLD_RANK") == NULL);
    CHECK(getenv("SLURM_JOB_ID") == NULL);
    CHECK(getenv("PMIX_RANK") == NULL);
    CHECK(getenv("MULTINODE_ORIG_SLURM_JOB_ID") &&
          strcmp(getenv("MULTINODE_ORIG_SLURM_JOB_ID"), "42") == 0);
    CHECK(getenv("PMI_") == NULL && getenv("MULTINODE_ORIG_PMI_") != NULL);
    CHECK(getenv("SLURMY") != NULL);
    const char *binding = getenv("OMPI_MCA_hwloc_base_binding_policy");
    CHECK(binding && strcmp(binding, "none") == 0);
    FILE *score = fopen("/proc/self/oom_score_adj", "re");
    int adjustment = 0;
    CHECK(score && fscanf(score, "%d", &adjustment) == 1 && adjustment >= 500);
    return wrong;
}

static void an_executor_is_set_up_as_it_should_be(void **state)
{
    FIXTURE(state)
    const char *method = method_variable(fixture->spawner);

    stop_spawner(state);
    setenv("OMPI_COMM_WORLD_RANK", "1", 1);
    setenv("SLURM_JOB_ID", "42", 1);
    setenv("PMIX_RANK", "1", 1);
    setenv("PMI_", "", 1);
    setenv("SLURMY", "1", 1);
    start_spawner(state, method);
    fixture = *state;
    unsetenv("OMPI_COMM_WORLD_RANK");
    unsetenv("SLURM_JOB_ID");
    unsetenv("PMIX_RANK");
    unsetenv("PMI_");
    unsetenv("SLURMY");
    assert_string_equal(method_variable(fixture->spawner), method);
    spawn_in(fixture, 0, sleep_long, false); /* whose memory the next one must not have */
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    spawn_in(fixture, 1, executor_looks_at_itself, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 1);
    mni_spawn_event_t event = expect_event(fixture->spawner, MNI_ENDED, 1);
    mni_log_area_t *log = mni_channel_log(fixture->channels[1], MN_STDERR);
    if (event.status != 0)
        print_message("%.*s", (int)log->total, log->head);
    assert_int_equal(event.status, 0);
}

static int driver_main(mni_channel_t *channel)
{
    char word[16] = "";
    struct sigaction action;

    sigaction(SIGINT, NULL, &action);
    if (action.sa_handler != SIG_IGN)
        return 1;
    sigaction(SIGTERM, NULL, &action);
    if (action.sa_handler != SIG_DFL)
        return 2;
    note_pid(notes_of(channel), getpgrp());
    if (scanf("%15s", word) != 1)
        return 3;
    printf("driver read %s", word); /* not flushed by itself */
    return 0;
}

/* In a process of its own, whose standard streams are pipes, as under mpirun. */
static int rank_with_driver(int input, int output, bool *group_is_right)
{
    fixture_t fixture = {0};
    mni_spawn_event_t event;

    printf("said before the start, ");
    setpgid(0, 0);
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || mni_spawner_start(&fixture.spawner) < 0)
        return 10;
    if (mni_channel_create(mni_spawner_doorbell(fixture.spawner), &fixture.channels[0]) < 0)
        return 11;
    mni_spawn_t spawn = {0, true, driver_main, mni_channel_memfd(fixture.channels[0])};
    mni_spawner_spawn(fixture.spawner, &spawn);
    if (!wait_event(fixture.spawner, &event) || event.kind != MNI_SPAWNED)
        return 12;
    if (!wait_event(fixture.spawner, &event) || event.kind != MNI_ENDED)
        return 13;
    *group_is_right = notes_of(fixture.channels[0])->pids[0] == getpgrp();
    mni_spawner_stop(fixture.spawner, 5);
    mni_spawner_destroy(fixture.spawner);
    fflush(stdout);
    return WEXITSTATUS(event.status);
}

static void the_driver_has_the_streams_of_the_rank(void **unused)
{
    (void)unused;
    int input[2], output[2], status;
    char text[128] = "";
    bool *right = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_int_equal(pipe2(input, O_CLOEXEC) + pipe2(output, O_CLOEXEC), 0);
    assert_int_equal(write(input[1], "word\n", 5), 5);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(rank_with_driver(input[0], output[1], right));
    close(output[1]);
    /* To the end of the file: so nobody is left that holds it. */
    size_t got = 0;
    for (ssize_t n; (n = read(output[0], text + got, sizeof text - 1 - got)) > 0;)
        got += (size_t)n;
    assert_string_equal(text, "said before the start, driver read word");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(*right);
    close(input[0]);
    close(input[1]);
    close(output[0]);
    munmap(right, 4096);
}

/* --- draining --------------------------------------------------------------------------------- */

/* After each drain the worker would read the log: it is checked here, in the executor's own view
 * of it. */
static int write_and_drain(mni_channel_t *channel)
{
    mni_log_area_t *out = mni_channel_log(channel, MN_STDOUT),
                   *err = mni_channel_log(channel, MN_STDERR);
    uint64_t total_out = 0, total_err = 0;

    for (int i = 1; i <= 300; i++) {
        int length = i * 37 % 5000 + 1;
        for (int n = 0; n < length; n++)
            putchar('x');
        total_out += (uint64_t)length;
        total_err += (uint64_t)fprintf(stderr, "line %d\n", i);
        mni_process_drain_output(channel);
        if (__atomic_load_n(&out->total, __ATOMIC_ACQUIRE) != total_out ||
            __atomic_load_n(&err->total, __ATOMIC_ACQUIRE) != total_err)
            return 1;
    }
    return 0;
}

static void drained_output_is_in_the_log(void **state)
{
    FIXTURE(state)
    spawn_in(fixture, 0, write_and_drain, false);
    expect_event(fixture->spawner, MNI_SPAWNED, 0);
    assert_int_equal(expect_event(fixture->spawner, MNI_ENDED, 0).status, 0);
}

/* --- choice of the method, the doorbell ------------------------------------------------------- */

static void a_method_without_sense_is_refused(void **unused)
{
    (void)unused;
    mni_spawner_t *spawner = NULL;
    setenv("MULTINODE_KILL", "guillotine", 1);
    assert_int_equal(mni_spawner_start(&spawner), MN_E_INVALID);
    assert_non_null(strstr(mn_error_message(), "guillotine"));
    assert_null(spawner);
    unsetenv("MULTINODE_KILL");
}

static void another_process_can_ring(void **state)
{
    FIXTURE(state)
    mni_doorbell_t *bell = mni_spawner_doorbell(fixture->spawner);
    uint32_t seen = mni_doorbell_seen(bell);
    int descriptor = mni_spawner_doorbell_descriptor(fixture->spawner), status;
    pid_t rank = getpid();

    pid_t pid = fork();
    if (pid == 0) {
        mni_doorbell_t *mapped;
        if (mni_spawner_map_doorbell(rank, 0, &mapped) == 0)
            _exit(2); /* that is none */
        if (mni_spawner_map_doorbell(rank, descriptor, &mapped) < 0 || mapped == bell)
            _exit(1);
        mni_doorbell_ring(mapped);
        mni_spawner_unmap_doorbell(mapped);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_not_equal(mni_doorbell_seen(bell), seen);
}

static void what_is_held_is_open_until_the_spawner_drops_it(void **state)
{
    FIXTURE(state)
    int ends[2][2];
    char byte;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe2(ends[i], O_CLOEXEC), 0);
        assert_int_equal(mni_spawner_hold(fixture->spawner, ends[i][1]), 0);
        close(ends[i][1]);
    }
    assert_int_equal(read(ends[0][0], &byte, 1), 0); /* the second one took its place */
    assert_int_equal(fcntl(ends[1][0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(read(ends[1][0], &byte, 1), -1);
    assert_int_equal(fcntl(ends[1][0], F_SETFL, 0), 0);
    assert_int_equal(mni_spawner_hold(fixture->spawner, -1), 0);
    assert_int_equal(read(ends[1][0], &byte, 1), 0);
    close(ends[0][0]);
    close(ends[1][0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_EACH(children_run_and_their_ends_are_told),
        WITH_EACH(large_output_keeps_both_ends_and_the_count),
        WITH_EACH(slots_are_used_again_many_times),
        WITH(subreaper, a_slot_in_use_is_refused),
        WITH(subreaper, signals_do_not_hit_the_spawner),
        WITH_EACH(an_executor_is_set_up_as_it_should_be),
        cmocka_unit_test(the_driver_has_the_streams_of_the_rank),
        WITH(subreaper, drained_output_is_in_the_log),
        cmocka_unit_test(a_method_without_sense_is_refused),
        WITH(subreaper, another_process_can_ring),
        WITH(subreaper, what_is_held_is_open_until_the_spawner_drops_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
