/* SPDX-License-Identifier: MIT
 *
 * The store's journal beside a bare loop that writes the same bytes and calls fdatasync() as often: records a second, in
 * groups of 1, 10, 100 and 1,000 records of 200 bytes. In turns, in the present folder, whose file system is what counts.
 *
 *     journal [RUNS]
 *
 * Prints "journal-GROUP RECORDS_A_SECOND" and "bare-GROUP RECORDS_A_SECOND" of each run.
 */
#include "measure.h"

#include "store/journal.h"

#include <fcntl.h>
#include <unistd.h>

#define BYTES 200
#define SECONDS 0.25 /* of each run, about */
#define PATH "bench-journal"

static const unsigned groups[] = {1, 10, 100, 1000};

static void failed(const char *what)
{
    fprintf(stderr, "journal: %s: %s\n", what, mn_error_message());
    unlink(PATH);
    exit(1);
}

static double with_journal(unsigned group)
{
    static const uint8_t data[BYTES - MNI_JOURNAL_RECORD];
    mni_journal_t *journal = NULL;
    uint64_t records = 0;

    unlink(PATH);
    if (mni_journal_create(PATH, (mn_id_t){{1}}, 1, &journal) < 0)
        failed("make");
    int64_t begin = measure_now(), end = begin + (int64_t)(SECONDS * 1e9);
    for (; measure_now() < end; records += group) {
        for (unsigned i = 0; i < group; i++)
            if (mni_journal_put(journal, 1, data, sizeof data) == 0)
                failed("put");
        if (!mni_journal_take(journal) || mni_journal_write(journal, true) < 0)
            failed("write");
    }
    double seconds = 1e-9 * (double)(measure_now() - begin);
    mni_journal_close(journal);
    return (double)records / seconds;
}

static double bare(unsigned group)
{
    static const uint8_t data[1000 * BYTES];
    uint64_t records = 0;

    unlink(PATH);
    int fd = open(PATH, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        failed("open");
    int64_t begin = measure_now(), end = begin + (int64_t)(SECONDS * 1e9);
    for (; measure_now() < end; records += group)
        if (write(fd, data, group * BYTES) != (ssize_t)(group * BYTES) || fdatasync(fd) < 0)
            failed("write");
    double seconds = 1e-9 * (double)(measure_now() - begin);
    close(fd);
    return (double)records / seconds;
}

int main(int argc, char **argv)
{
    size_t runs = measure_count(argc, argv, 1, 7);
    for (size_t run = 0; run < runs; run++)
        for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
            printf("journal-%u %.0f\n", groups[i], with_journal(groups[i]));
            printf("bare-%u %.0f\n", groups[i], bare(groups[i]));
        }
    unlink(PATH);
    return 0;
}
