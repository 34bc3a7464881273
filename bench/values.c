/* SPDX-License-Identifier: MIT
 *
 * The file of a large value beside a bare loop with the same bytes: bytes a second that are written (a file, synced, renamed, its
 * folder synced) and read again. In turns, in the present folder, whose file system is what counts.
 *
 *     values [RUNS]
 *
 * Prints "write-MIB", "bare-write-MIB", "read-MIB" and "bare-read-MIB", each with bytes a second, of each run.
 */
#include "measure.h"

#include "store/valuefile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "bench-values"
#define NAME "value.h5"
#define PATH FOLDER "/" NAME

static const size_t sizes[] = {2, 8, 64}; /* MiB */
static const mni_value_owner_t owner = {
    .store = {{1}}, .job = {{2}}, .role = MNI_VALUE_RESULT, .number = 1};

static void failed(const char *what)
{
    fprintf(stderr, "values: %s: %s, %s\n", what, mn_error_message(), strerror(errno));
    unlink(PATH);
    rmdir(FOLDER);
    exit(1);
}

static void sync_folder(void)
{
    int fd = open(FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        failed("sync");
    close(fd);
}

static void ours_write(const mn_value_t *value)
{
    if (mni_value_write(FOLDER, NAME, 0600, &owner, value, true) < 0)
        failed("write");
    sync_folder();
}

static void ours_read(const mn_value_t *value)
{
    mn_value_t read;
    if (mni_value_read(PATH, &owner, &read) < 0 || read.size != value->size)
        failed("read");
    mn_value_destroy(&read);
}

static void bare_write(const mn_value_t *value)
{
    int fd = open(PATH ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, value->data, value->size) != (ssize_t)value->size || fsync(fd) < 0 ||
        rename(PATH ".new", PATH) < 0)
        failed("write");
    close(fd);
    sync_folder();
}

static void bare_read(const mn_value_t *value)
{
    void *bytes = malloc(value->size);
    int fd = open(PATH, O_RDONLY | O_CLOEXEC);
    if (!bytes || fd < 0 || read(fd, bytes, value->size) != (ssize_t)value->size)
        failed("read");
    close(fd);
    free(bytes);
}

static void turn(const char *name, size_t mib, void (*work)(const mn_value_t *),
                 const mn_value_t *value)
{
    int64_t begin = measure_now();
    work(value);
    printf("%s-%zu %.0f\n", name, mib,
           (double)value->size / 1e-9 / (double)(measure_now() - begin));
}

int main(int argc, char **argv)
{
    size_t runs = measure_count(argc, argv, 1, 7);

    if (mkdir(FOLDER, 0700) < 0 && errno != EEXIST)
        failed("folder");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i] << 20;
        uint64_t *numbers = malloc(size);
        if (!numbers)
            failed("memory");
        for (size_t at = 0; at < size / sizeof *numbers; at++)
            numbers[at] = at;
        mn_value_t value = mn_array(MN_UINT64, numbers, size / sizeof *numbers);
        for (size_t run = 0; run < runs; run++) {
            turn("bare-write", sizes[i], bare_write, &value);
            turn("bare-read", sizes[i], bare_read, &value);
            unlink(PATH);
            turn("write", sizes[i], ours_write, &value);
            turn("read", sizes[i], ours_read, &value);
            unlink(PATH);
        }
        free(numbers);
    }
    rmdir(FOLDER);
    return 0;
}
