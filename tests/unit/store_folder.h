/* SPDX-License-Identifier: MIT
 *
 * Folders with a store in them, for the tests of faults: made, copied, looked into. Below /dev/shm where there is one, since these
 * tests write much and are not about a disk.
 */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64];

/* FOLDER/NAME */
static inline void path_make(char path[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        exit(99);
}

static inline void folder_begin(const char *test)
{
    snprintf(base, sizeof base, "%s/%s_XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
             test);
    if (!mkdtemp(base))
        exit(99);
}

/* Removes what is in a folder, and its folders. */
static inline void folder_clear(const char *folder)
{
    char name[PATH_MAX];
    DIR *stream = opendir(folder);
    if (!stream)
        return;
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        path_make(name, folder, entry->d_name);
        if (unlink(name) < 0) {
            folder_clear(name);
            rmdir(name);
        }
    }
    closedir(stream);
}

static inline void folder_end(void)
{
    folder_clear(base);
    rmdir(base);
}

static inline uint8_t *file_load(const char *name, size_t *size)
{
    struct stat file;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    assert_int_equal(fstat(fd, &file), 0);
    uint8_t *bytes = malloc((size_t)file.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)file.st_size), file.st_size);
    close(fd);
    *size = (size_t)file.st_size;
    return bytes;
}

static inline void file_save(const char *name, const void *bytes, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* Copies what is in a folder into another one, which is made, or emptied. */
static inline void folder_copy(const char *from, const char *to)
{
    char source[PATH_MAX], target[PATH_MAX];
    struct stat file;
    mkdir(to, 0700);
    folder_clear(to);
    DIR *stream = opendir(from);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        path_make(source, from, entry->d_name);
        path_make(target, to, entry->d_name);
        assert_int_equal(stat(source, &file), 0);
        if (S_ISDIR(file.st_mode)) {
            folder_copy(source, target);
        } else {
            size_t size = 0;
            uint8_t *bytes = file_load(source, &size);
            file_save(target, bytes, size);
            free(bytes);
        }
    }
    closedir(stream);
}

/* Cuts off most of the zeros that a journal has behind its records; some may be the last record's. */
static inline void journal_trim(const char *name)
{
    size_t size = 0;
    uint8_t *bytes = file_load(name, &size);
    if (!bytes)
        return;
    size_t used = size;
    while (used > 0 && bytes[used - 1] == 0)
        used--;
    free(bytes);
    if (used + 256 < size)
        assert_int_equal(truncate(name, (off_t)(used + 256) / 8 * 8), 0);
}

#endif
