/* SPDX-License-Identifier: MIT
 *
 * Gives a fuzz target each file of a corpus, whole and cut off at each of its bytes: PROGRAM FOLDER. Prints how many there were.
 */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>

static uint8_t *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;

    if (!file || fseek(file, 0, SEEK_END) < 0)
        return NULL;
    long length = ftell(file);
    rewind(file);
    if (length >= 0 && (bytes = malloc((size_t)length + 1)) &&
        fread(bytes, 1, (size_t)length, file) != (size_t)length) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    *size = (size_t)length;
    return bytes;
}

/* Each in memory of its own size, so that a sanitizer sees who reads beyond it. */
static void give(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    MUST(copy);
    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int argc, char **argv)
{
    DIR *listing = argc == 2 ? opendir(argv[1]) : NULL;
    const struct dirent *entry;
    char path[PATH_MAX];
    size_t count = 0, size;

    if (!listing) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    LLVMFuzzerInitialize(&argc, &argv);
    while ((entry = readdir(listing))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        uint8_t *bytes = read_whole(path, &size);
        if (!bytes) {
            fprintf(stderr, "cannot read %s\n", path);
            return 1;
        }
        for (size_t i = 0; i <= size; i++)
            give(bytes, i);
        free(bytes);
        count++;
    }
    closedir(listing);
    printf("%zu\n", count);
    return count == 0;
}
