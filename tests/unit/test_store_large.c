/* SPDX-License-Identifier: MIT
 *
 * store/: large values through the store: where they are, when memory is given back, what is there after a crash, what happens when
 * a file cannot be written or read.
 */
#include "store/read.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <hdf5.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT (MNI_STORE_LARGE / sizeof(double) + 1024)
#define BYTES (COUNT * sizeof(double))

static char base[] = "/tmp/test_store_large_XXXXXX";
static char path[PATH_MAX], journal[PATH_MAX], folder[PATH_MAX];
static mni_doorbell_t bell;

static mn_id_t id_of(uint8_t number)
{
    return (mn_id_t){{0x40, number, 0, 0, 0, 0, 0x40, 0, 0x80, 1}};
}

/* The value of a number: known again by its first and last element. */
static mn_value_t value_of(unsigned number)
{
    static double numbers[COUNT];
    numbers[0] = numbers[COUNT - 1] = number;
    return mn_matrix(MN_FLOAT64, numbers, COUNT / 16, 16);
}

static bool is_value(mn_value_t value, unsigned number)
{
    const double *numbers = value.data;
    return value.size == BYTES && value.ndims == 2 && value.dims[1] == 16 && numbers &&
           numbers[0] == number && numbers[COUNT - 1] == number;
}

/* --- a scheduler of a few jobs -------------------------------------------------------------------------------------------- */

#define JOBS 4

typedef struct job {
    mni_store_record_t record;
    mni_large_t *input, *result;
} job_t;

typedef struct world {
    mni_store_t *store;
    job_t jobs[JOBS + 1]; /* by number; job NULL: not there */
    unsigned next;
} world_t;

/* What mni_store_recover() gives. */
static int take(void *argument, const mni_store_record_t *record)
{
    world_t *world = argument;
    job_t *job = &world->jobs[record->info.id.bytes[1]];

    job->record = *record;
    job->record.info.job = "simulate";
    if (!record->input_file)
        assert_int_equal(mni_large_create(record->input, &job->input), 0);
    if (!record->result_file && record->info.result.size > 0)
        assert_int_equal(mni_large_create(record->info.result, &job->result), 0);
    if (record->input_file)
        assert_int_equal(mni_large_restore(world->store, record, true, &job->input), 0);
    if (record->result_file) {
        mn_value_t value = mn_none();
        bool there = mni_store_value_read(world->store, record, false, &value) == 0;
        assert_int_equal(there, value.size == BYTES); /* one test takes it away */
        mn_value_destroy(&value);
        assert_int_equal(mni_large_restore(world->store, record, false, &job->result), 0);
    }
    return 0;
}

static void record_make(job_t *job)
{
    if (job->input) {
        job->record.input = mni_large_value(job->input);
        job->record.input_file = mni_large_file(job->input);
    }
    job->record.input_large = job->input;
    if (job->result) {
        job->record.info.result = mni_large_value(job->result);
        job->record.result_file = mni_large_file(job->result);
    }
    job->record.result_large = job->result;
}

static int give(void *argument, mni_store_record_t *record)
{
    world_t *world = argument;
    while (world->next <= JOBS && !world->jobs[world->next].record.info.job)
        world->next++;
    if (world->next > JOBS)
        return 0;
    record_make(&world->jobs[world->next]);
    *record = world->jobs[world->next++].record;
    return 1;
}

static void open_world(world_t *world, mni_durability_t durability)
{
    *world = (world_t){0};
    if (mni_store_open(path, &world->store) < 0 ||
        mni_store_recover(world->store, take, world) < 0 ||
        mni_store_begin(world->store, durability, &bell, give, world) < 0)
        fail_msg("%s", mn_error_message());
}

static void close_world(world_t *world)
{
    for (unsigned i = 0; i <= JOBS; i++) {
        mni_large_destroy(world->jobs[i].input);
        mni_large_destroy(world->jobs[i].result);
    }
    mni_store_close(world->store);
}

static int finish(world_t *world)
{
    world->next = 0;
    return mni_store_finish(world->store, give, world);
}

static void start(world_t *world, uint8_t number)
{
    job_t *job = &world->jobs[number];

    job->record = (mni_store_record_t){
        .info = {.id = id_of(number), .job = "simulate", .created = 1000.0 + number, .rank = -1},
        .has_need = true};
    assert_int_equal(mni_large_create(value_of(100 + number), &job->input), 0);
    record_make(job);
    assert_int_equal(mni_store_started(world->store, &job->record), 0);
}

static void yield(world_t *world, uint8_t number, unsigned value)
{
    job_t *job = &world->jobs[number];

    mni_large_destroy(job->result);
    assert_int_equal(mni_large_create(value_of(value), &job->result), 0);
    job->record.info.yields++;
    record_make(job);
    assert_int_equal(mni_store_changed(world->store, MNI_STORE_YIELDED, &job->record), 0);
}

static void wait_kept(mni_store_t *store)
{
    uint64_t told = mni_store_told(store);
    mni_store_commit(store);
    for (;;) {
        uint32_t seen = mni_doorbell_seen(&bell);
        if (mni_store_kept(store) >= told)
            break;
        mni_doorbell_sleep(&bell, seen, UINT64_C(100000000));
    }
    mni_store_commit(store);
}

/* Jobs 1 to 3 with large inputs; 1 has yielded twice, 2 once; 3 has yielded and is removed. */
static void live(world_t *world)
{
    for (uint8_t i = 1; i <= 3; i++)
        start(world, i);
    yield(world, 1, 1);
    yield(world, 2, 2);
    yield(world, 3, 3);
    wait_kept(world->store);
    yield(world, 1, 11);
    assert_int_equal(mni_store_removed(world->store, id_of(3)), 0);
    wait_kept(world->store);
    world->jobs[3].record.info.job = NULL;
}

static void check_value(const mni_large_t *large, unsigned number)
{
    mn_value_t value;
    void *buffer;

    assert_non_null(large);
    if (mni_large_view(large, &value, &buffer) < 0)
        fail_msg("%s", mn_error_message());
    assert_true(is_value(value, number));
    free(buffer);
}

static void check_life(const world_t *world)
{
    check_value(world->jobs[1].input, 101);
    check_value(world->jobs[1].result, 11);
    check_value(world->jobs[2].input, 102);
    check_value(world->jobs[2].result, 2);
    assert_null(world->jobs[3].record.info.job);
}

static int files(char name[NAME_MAX + 1])
{
    DIR *opened = opendir(folder);
    const struct dirent *entry;
    int count = 0;

    while (opened && (entry = readdir(opened)))
        if (entry->d_name[0] != '.') {
            count++;
            if (name && strstr(entry->d_name, "result"))
                snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
        }
    if (opened)
        closedir(opened);
    return count;
}

static off_t size_of(const char *file)
{
    struct stat status;
    return stat(file, &status) == 0 ? status.st_size : -1;
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(base))
        return -1;
    snprintf(path, sizeof path, "%s/r.h5", base);
    snprintf(journal, sizeof journal, "%s/r.h5.journal", base);
    snprintf(folder, sizeof folder, "%s/r.h5.values", base);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(base);
}

/* Ends a test: removes all jobs, which takes all files. */
static void clear(void)
{
    world_t world;

    open_world(&world, MNI_DURABILITY_FLUSH);
    for (uint8_t i = 1; i <= JOBS; i++)
        if (world.jobs[i].record.info.job) {
            assert_int_equal(mni_store_removed(world.store, id_of(i)), 0);
            world.jobs[i].record.info.job = NULL;
        }
    if (finish(&world) < 0)
        fail_msg("%s", mn_error_message());
    close_world(&world);
    assert_int_equal(access(folder, F_OK), -1);
    assert_int_equal(unlink(path), 0);
}

/* A process that ends without a word once all is kept; `deleted`: and what is not needed is deleted. */
static void crash_after_life(bool deleted)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        world_t world;
        open_world(&world, MNI_DURABILITY_FSYNC);
        live(&world);
        while (deleted && files(NULL) != 4)
            usleep(1000);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* --- tests ---------------------------------------------------------------------------------------------------------------- */

static void memory_is_given_back_when_a_value_is_kept(void **state)
{
    world_t world;

    (void)state;
    open_world(&world, MNI_DURABILITY_FSYNC);
    start(&world, 1);
    yield(&world, 1, 1);
    assert_non_null(mni_large_value(world.jobs[1].result).data);
    check_value(world.jobs[1].result, 1);
    wait_kept(world.store);
    assert_null(mni_large_value(world.jobs[1].result).data);
    assert_null(mni_large_value(world.jobs[1].input).data);
    assert_non_null(mni_large_file(world.jobs[1].result));
    check_value(world.jobs[1].result, 1);
    check_value(world.jobs[1].input, 101);
    assert_true(size_of(path) < (off_t)MNI_STORE_LARGE / 2);
    assert_int_equal(finish(&world), 0);
    assert_true(size_of(path) < (off_t)MNI_STORE_LARGE / 2);
    check_value(world.jobs[1].result, 1);
    close_world(&world);
    clear();
}

static void a_value_that_is_replaced_before_it_is_kept_does_no_harm(void **state)
{
    world_t world;

    (void)state;
    open_world(&world, MNI_DURABILITY_FLUSH);
    start(&world, 1);
    for (unsigned i = 1; i <= 20; i++) {
        yield(&world, 1, i);
        mni_store_commit(world.store);
    }
    wait_kept(world.store);
    check_value(world.jobs[1].result, 20);
    assert_false(mni_store_busy(world.store, id_of(1)));
    assert_int_equal(finish(&world), 0);
    close_world(&world);
    assert_int_equal(files(NULL), 2);
    clear();
}

static void tell_problem(void *argument, const char *sentence)
{
    (void)argument;
    print_message("# %s\n", sentence);
}

static void what_was_kept_is_there_after_a_crash(void **state)
{
    mni_store_facts_t facts;
    world_t world;

    (void)state;
    crash_after_life(false);
    assert_true(size_of(journal) > 0);
    assert_int_equal(mni_store_verify(path, tell_problem, NULL, &facts), 0);
    assert_int_equal(facts.problems, 0);
    for (int i = 0; i < 2; i++) { /* looking changes nothing */
        world = (world_t){0};
        assert_int_equal(mni_store_open(path, &world.store), 0);
        assert_int_equal(mni_store_recover(world.store, take, &world), 0);
        assert_null(mni_store_damage(world.store));
        check_life(&world);
        close_world(&world);
    }
    open_world(&world, MNI_DURABILITY_FSYNC);
    check_life(&world);
    assert_int_equal(files(NULL), 4); /* what was replaced or removed is gone */
    yield(&world, 2, 22);
    wait_kept(world.store);
    assert_int_equal(finish(&world), 0);
    close_world(&world);
    /* and from the HDF5 file */
    open_world(&world, MNI_DURABILITY_FSYNC);
    check_value(world.jobs[1].input, 101);
    check_value(world.jobs[1].result, 11);
    check_value(world.jobs[2].result, 22);
    assert_int_equal(files(NULL), 4);
    /* a file that the HDF5 file names is not deleted before that is replaced, whatever becomes of its job */
    yield(&world, 2, 222);
    assert_int_equal(mni_store_removed(world.store, id_of(1)), 0);
    world.jobs[1].record.info.job = NULL;
    wait_kept(world.store);
    assert_int_equal(files(NULL), 5);
    assert_int_equal(finish(&world), 0);
    assert_int_equal(files(NULL), 2);
    check_value(world.jobs[2].result, 222);
    close_world(&world);
    clear();
}

/* The value that the link in the HDF5 file leads to; 0: to none. */
static unsigned link_value(uint8_t number)
{
    static double numbers[COUNT];
    char name[80], id[MN_ID_TEXT];
    hid_t set = -1, file = -1, access = H5Pcreate(H5P_FILE_ACCESS);

#if H5_VERSION_GE( \
    1, 10, 7) /* as the store's own threads, which have the file open in this process too */
    assert_true(H5Pset_file_locking(access, 0, 1) >= 0);
#endif
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    numbers[0] = 0;
    assert_true(file >= 0);
    snprintf(name, sizeof name, "data/%s/result", mn_id_format(id_of(number), id));
    H5E_BEGIN_TRY
    {
        set = H5Dopen2(file, name, H5P_DEFAULT);
    }
    H5E_END_TRY
    if (set >= 0) {
        assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) >= 0);
        assert_true(numbers[COUNT - 1] == numbers[0]);
        H5Dclose(set);
    }
    H5Fclose(file);
    return (unsigned)numbers[0];
}

static void check_link(uint8_t number, unsigned value)
{
    assert_int_equal(link_value(number), value);
}

static void without_a_journal_values_are_written_at_the_end(void **state)
{
    world_t world;

    (void)state;
    open_world(&world, MNI_DURABILITY_MEMORY);
    start(&world, 1);
    yield(&world, 1, 1);
    wait_kept(world.store);
    assert_non_null(mni_large_value(world.jobs[1].result).data);
    assert_int_equal(access(folder, F_OK), -1);
    assert_int_equal(finish(&world), 0);
    close_world(&world);
    assert_int_equal(files(NULL), 2);
    check_link(1, 1);
    open_world(&world, MNI_DURABILITY_MEMORY);
    check_value(world.jobs[1].result, 1);
    check_value(world.jobs[1].input, 101);
    yield(&world, 1, 2);
    assert_int_equal(files(NULL), 2);
    assert_int_equal(finish(&world), 0);
    assert_int_equal(files(NULL), 2);
    close_world(&world);
    check_link(1, 2);
    clear();
}

/* A store that keeps nothing. */
static void without_a_path_values_stay_in_memory(void **state)
{
    world_t world = {0};

    (void)state;
    assert_int_equal(mni_store_open(NULL, &world.store), 0);
    assert_int_equal(mni_store_recover(world.store, take, &world), 0);
    assert_int_equal(mni_store_begin(world.store, MNI_DURABILITY_FSYNC, &bell, give, &world), 0);
    start(&world, 1);
    yield(&world, 1, 5);
    wait_kept(world.store);
    check_value(world.jobs[1].result, 5);
    assert_false(mni_store_busy(world.store, id_of(1)));
    assert_int_equal(mni_store_removed(world.store, id_of(1)), 0);
    assert_int_equal(finish(&world), 0);
    close_world(&world);
}

/* The job is there, its value is an error that names it, nothing else is lost, and nothing is deleted. */
static void a_missing_file_is_told(void **state)
{
    char name[NAME_MAX + 1] = "", file[PATH_MAX + NAME_MAX + 2], away[PATH_MAX + 8], id[MN_ID_TEXT];
    world_t world;
    mn_value_t value;
    void *buffer;

    (void)state;
    crash_after_life(true);
    files(name);
    snprintf(file, sizeof file, "%s/%s", folder, name);
    snprintf(away, sizeof away, "%s/away", base);
    assert_int_equal(rename(file, away), 0);
    open_world(&world, MNI_DURABILITY_FSYNC);
    uint8_t number = strncmp(name, mn_id_format(id_of(1), id), MN_ID_TEXT - 1) == 0 ? 1 : 2;
    mn_id_format(id_of(number), id);
    assert_non_null(mni_store_damage(world.store));
    assert_non_null(strstr(mni_store_damage(world.store), id));
    assert_non_null(strstr(mni_store_damage(world.store), file));
    assert_null(strchr(strstr(mni_store_damage(world.store), "\n") + 1, '\n')); /* one sentence */
    assert_int_equal(mni_large_view(world.jobs[number].result, &value, &buffer), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), id));
    assert_non_null(strstr(mn_error_message(), file));
    check_value(world.jobs[number].input, 100 + number);
    check_value(world.jobs[3 - number].result, number == 1 ? 2 : 11);
    assert_int_equal(finish(&world), 0);
    close_world(&world);
    assert_int_equal(rename(away, file), 0);
    open_world(&world, MNI_DURABILITY_FSYNC);
    if (mni_store_damage(world.store))
        fail_msg("%s", mni_store_damage(world.store));
    check_life(&world);
    close_world(&world);
    clear();
}

/* What a damaged record named is not known: so nothing is deleted. */
static void damage_keeps_files_from_being_deleted(void **state)
{
    char byte;
    world_t world;

    (void)state;
    crash_after_life(true);
    int fd = open(journal, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 64 + 40), 1); /* in the first record: the start of job 1 */
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 64 + 40), 1);
    close(fd);
    open_world(&world, MNI_DURABILITY_FSYNC);
    assert_non_null(mni_store_damage(world.store));
    assert_null(world.jobs[1].record.info.job);
    assert_int_equal(files(NULL), 4);
    assert_int_equal(finish(&world), 0);
    assert_int_equal(files(NULL), 4);
    close_world(&world);
    clear();
}

static void a_folder_that_is_none_is_refused(void **state)
{
    mni_store_t *store = NULL;

    (void)state;
    int fd = open(folder, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(mni_store_open(path, &store), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), folder));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(unlink(folder), 0);
    /* a link to nowhere is none, too; one to a folder is */
    assert_int_equal(symlink("nowhere", folder), 0);
    world_t world;
    open_world(&world, MNI_DURABILITY_FLUSH);
    start(&world, 1);
    mni_store_commit(world.store);
    for (uint32_t seen = mni_doorbell_seen(&bell); mni_store_trouble(world.store, NULL) == 0;
         seen = mni_doorbell_seen(&bell))
        mni_doorbell_sleep(&bell, seen, UINT64_C(100000000));
    char there[PATH_MAX + 8];
    snprintf(there, sizeof there, "%s/nowhere", base);
    assert_int_equal(mkdir(there, 0700), 0);
    wait_kept(world.store);
    check_value(world.jobs[1].input, 101);
    assert_int_equal(files(NULL), 1);
    assert_int_equal(mni_store_removed(world.store, id_of(1)), 0);
    world.jobs[1].record.info.job = NULL;
    assert_int_equal(finish(&world), 0);
    close_world(&world);
    assert_int_equal(rmdir(there), 0);
    assert_int_equal(unlink(folder), 0);
    assert_int_equal(unlink(path), 0);
}

/* All comes into one file, and stays there. */
static void a_store_can_be_one_file(void **state)
{
    char name[NAME_MAX + 1] = "", file[PATH_MAX + NAME_MAX + 2], away[PATH_MAX + 8];
    world_t world = {0};

    (void)state;
    crash_after_life(true);
    files(name);
    snprintf(file, sizeof file, "%s/%s", folder, name);
    snprintf(away, sizeof away, "%s/away", base);
    assert_int_equal(rename(file, away), 0);
    assert_int_equal(mni_store_open(path, &world.store), 0);
    assert_int_equal(mni_store_rebuild(world.store, true), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), file));
    mni_store_close(world.store);
    assert_int_equal(files(NULL), 3);
    assert_int_equal(rename(away, file), 0);
    assert_int_equal(mni_store_open(path, &world.store), 0);
    if (mni_store_rebuild(world.store, true) < 0)
        fail_msg("%s", mn_error_message());
    mni_store_close(world.store);
    assert_int_equal(access(folder, F_OK), -1);
    assert_int_equal(access(journal, F_OK), -1);
    assert_true(size_of(path) > (off_t)(4 * BYTES) && size_of(path) < (off_t)(5 * BYTES));
    open_world(&world, MNI_DURABILITY_FSYNC);
    assert_null(mni_store_damage(world.store));
    check_life(&world);
    yield(&world, 2, 22);
    wait_kept(world.store);
    assert_int_equal(files(NULL), 1);
    assert_int_equal(finish(&world), 0);
    close_world(&world);
    check_link(1, 11);
    check_link(2, 22);
    open_world(&world, MNI_DURABILITY_FSYNC);
    check_value(world.jobs[1].result, 11);
    check_value(world.jobs[2].result, 22);
    close_world(&world);
    /* made anew without them it is small again */
    assert_int_equal(mni_store_open(path, &world.store), 0);
    assert_int_equal(mni_store_rebuild(world.store, false), 0);
    mni_store_close(world.store);
    assert_int_equal(files(NULL), 1);
    check_link(1, 11);
    check_link(2, 22);
    clear();
}

/* While a job yields and snapshots are made, what the file links to is there, unless the file has just been replaced. */
static void links_lead_somewhere_at_any_time(void **state)
{
    world_t world = {0};
    struct stat before, after;
    unsigned replaced = 0, value = 0;
    ino_t inode = 0;

    (void)state;
    if (mni_store_open(path, &world.store) < 0)
        fail_msg("%s", mn_error_message());
    assert_int_equal(mni_store_recover(world.store, take, &world), 0);
    mni_store_snapshot_age(world.store, 0);
    assert_int_equal(mni_store_begin(world.store, MNI_DURABILITY_FLUSH, &bell, give, &world), 0);
    start(&world, 1);
    while (replaced < 6 && value < 20000) {
        yield(&world, 1, ++value);
        wait_kept(world.store);
        assert_int_equal(stat(path, &before), 0);
        replaced += before.st_ino != inode;
        inode = before.st_ino;
        unsigned seen = link_value(1);
        assert_int_equal(stat(path, &after), 0);
        if (before.st_ino != after.st_ino)
            continue;
        assert_true(seen <= value);
        assert_true(seen > 0 || replaced < 3);
        assert_true(before.st_size < (off_t)MNI_STORE_LARGE);
    }
    assert_int_equal(replaced, 6);
    while (files(NULL) >= 6) /* what is not needed any more goes a moment later */
        usleep(1000);
    assert_int_equal(finish(&world), 0);
    assert_int_equal(files(NULL), 2);
    close_world(&world);
    check_link(1, value);
    clear();
}

/* Files may not be larger than that, as if the disk were full; SIZE_MAX: as they like. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void what_cannot_be_written_is_kept_when_it_can(void **state)
{
    char id[MN_ID_TEXT];
    world_t world;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    open_world(&world, MNI_DURABILITY_FSYNC);
    start(&world, 1);
    wait_kept(world.store);
    limit_files(MNI_STORE_LARGE);
    yield(&world, 1, 1);
    uint64_t told = mni_store_told(world.store);
    mni_store_commit(world.store);
    for (uint32_t seen = mni_doorbell_seen(&bell); mni_store_trouble(world.store, NULL) == 0;
         seen = mni_doorbell_seen(&bell))
        mni_doorbell_sleep(&bell, seen, UINT64_C(100000000));
    assert_int_equal(mni_store_trouble(world.store, NULL), MN_E_STORE);
    assert_non_null(strstr(mn_error_message(), mn_id_format(id_of(1), id)));
    assert_non_null(strstr(mn_error_message(), folder));
    assert_true(mni_store_kept(world.store) < told);
    assert_true(mni_store_busy(world.store, id_of(1)));
    assert_int_equal(files(NULL), 1); /* nothing is left of the attempt */
    check_value(world.jobs[1].result, 1);
    limit_files(RLIM_INFINITY);
    wait_kept(world.store);
    assert_int_equal(mni_store_trouble(world.store, NULL), 0);
    assert_null(mni_large_value(world.jobs[1].result).data);
    check_value(world.jobs[1].result, 1);
    assert_int_equal(finish(&world), 0);
    close_world(&world);
    clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_given_back_when_a_value_is_kept),
        cmocka_unit_test(a_value_that_is_replaced_before_it_is_kept_does_no_harm),
        cmocka_unit_test(what_was_kept_is_there_after_a_crash),
        cmocka_unit_test(without_a_journal_values_are_written_at_the_end),
        cmocka_unit_test(without_a_path_values_stay_in_memory),
        cmocka_unit_test(a_missing_file_is_told),
        cmocka_unit_test(damage_keeps_files_from_being_deleted),
        cmocka_unit_test(a_folder_that_is_none_is_refused),
        cmocka_unit_test(a_store_can_be_one_file),
        cmocka_unit_test(links_lead_somewhere_at_any_time),
        cmocka_unit_test(what_cannot_be_written_is_kept_when_it_can),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
