/* SPDX-License-Identifier: MIT
 *
 * The store with many small jobs (8 bytes of input, 8 of result, the life of each two records): how long it takes to bring them all
 * from the journal into a fresh HDF5 file, and to read them back from the one and from the other; beside it a bare reading of the
 * same bytes. What is read is not in memory before, as after a crash of the machine or on another node; the "warm" figures are of
 * files that are. In the present folder, whose file system is what counts.
 *
 *     fold [RUNS [JOBS]]
 *
 * Prints, of each run, "fold" in seconds; "recover-journal", "read-journal", "recover-file", "read-file" and the same with "warm-" in
 * front in bytes a second; "recover-journal-seconds" and "recover-file-seconds"; "journal-bytes" and "file-bytes" (per job).
 */
#include "measure.h"

#include "store/store.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH "bench-fold.h5"
#define JOURNAL PATH ".journal"

static void failed(const char *what)
{
    fprintf(stderr, "fold: %s: %s\n", what, mn_error_message());
    unlink(PATH);
    unlink(JOURNAL);
    unlink(PATH ".lock");
    exit(1);
}

static int no_jobs(void *argument, mni_store_record_t *record)
{
    (void)argument;
    (void)record;
    return 0;
}

static int count_job(void *argument, const mni_store_record_t *record)
{
    size_t *count = argument;
    *count += record->input.size == 8 && record->info.result.size == 8;
    return 0;
}

static mni_store_t *begin(mni_doorbell_t *bell)
{
    mni_store_t *store = NULL;

    if (mni_store_open(PATH, &store) < 0)
        failed("open");
    mni_store_snapshot_age(store, INFINITY);
    if (mni_store_begin(store, MNI_DURABILITY_FLUSH, bell, no_jobs, NULL) < 0)
        failed("begin");
    return store;
}

/* The lives of all jobs, in groups as a busy run has them. */
static void put_jobs(mni_store_t *store, size_t jobs)
{
    for (size_t i = 0; i < jobs; i++) {
        double number = (double)i;
        uint64_t random[2] = {(i + 1) * UINT64_C(0x9e3779b97f4a7c15),
                              (i + 1) * UINT64_C(0xd6e8feb86659fd93)};
        mni_store_record_t record = {.info = {.job = "simulate",
                                              .created = 1.7e9 + 1e-5 * number,
                                              .status = MN_PENDING,
                                              .rank = -1},
                                     .input = mn_array(MN_FLOAT64, &number, 1),
                                     .has_need = true,
                                     .need = {.max_concurrency = UINT32_MAX, .timeout = INFINITY}};
        memcpy(record.info.id.bytes, random, sizeof random);
        if (mni_store_started(store, &record) < 0)
            failed("start");
        record.info.status = MN_SUCCEEDED;
        record.info.reason = MN_REASON_RETURNED;
        record.info.attempts = 1;
        record.info.started = record.info.ended = record.info.created;
        record.info.host = "node-17";
        record.info.cpus = "0";
        record.info.rank = 1;
        record.info.yields = 1;
        record.info.result = mn_array(MN_FLOAT64, &number, 1);
        if (mni_store_changed(store, MNI_STORE_BEGUN | MNI_STORE_YIELDED | MNI_STORE_CHANGED,
                              &record) < 0)
            failed("change");
        if (i % 1000 == 999)
            mni_store_commit(store);
    }
    mni_store_commit(store);
    while (mni_store_kept(store) < mni_store_told(store))
        usleep(1000);
}

static double size_of(const char *path)
{
    struct stat found = {0};
    stat(path, &found);
    return (double)found.st_size;
}

/* Leaves nothing of a file in memory. */
static void forget(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static double recover(size_t jobs)
{
    mni_store_t *store = NULL;
    size_t count = 0;
    int64_t begin = measure_now();

    if (mni_store_open(PATH, &store) < 0 || mni_store_recover(store, count_job, &count) < 0)
        failed("recover");
    double seconds = 1e-9 * (double)(measure_now() - begin);
    mni_store_close(store);
    if (count != jobs) {
        fprintf(stderr, "fold: %zu jobs of %zu came back\n", count, jobs);
        exit(1);
    }
    return seconds;
}

static double bare_read(const char *path)
{
    static char bytes[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int64_t begin = measure_now();

    while (read(fd, bytes, sizeof bytes) > 0)
        ;
    double seconds = 1e-9 * (double)(measure_now() - begin);
    close(fd);
    return seconds;
}

/* `what`: where the jobs are, of whose two files the other one is next to empty. */
static void measure_recovery(const char *what, const char *path, size_t jobs)
{
    double bytes = size_of(path);

    forget(path);
    printf("read-%s %.0f\n", what, bytes / bare_read(path));
    forget(path);
    double seconds = recover(jobs);
    printf("recover-%s-seconds %.3f\n", what, seconds);
    printf("recover-%s %.0f\n", what, bytes / seconds);
    printf("warm-read-%s %.0f\n", what, bytes / bare_read(path));
    printf("warm-recover-%s %.0f\n", what, bytes / recover(jobs));
    printf("%s-bytes %.0f\n", what, bytes / (double)jobs);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    size_t runs = measure_count(argc, argv, 1, 3), jobs = measure_count(argc, argv, 2, 1000000);
    mni_doorbell_t bell = {0};

    for (size_t run = 0; run < runs; run++) {
        unlink(PATH);
        unlink(JOURNAL);
        mni_store_t *store = begin(&bell);
        put_jobs(store, jobs);
        mni_store_close(store);
        measure_recovery("journal", JOURNAL, jobs);
        store = begin(&bell);
        int64_t at = measure_now();
        if (mni_store_finish(store, no_jobs, NULL) < 0)
            failed("fold");
        printf("fold %.3f\n", 1e-9 * (double)(measure_now() - at));
        mni_store_close(store);
        measure_recovery("file", PATH, jobs);
    }
    unlink(PATH);
    unlink(PATH ".lock");
    return 0;
}
