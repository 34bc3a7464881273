/* SPDX-License-Identifier: MIT
 *
 * What each fuzz target is: a function that takes any bytes, and aborts when what they lead to is wrong. With --enable-fuzz (clang)
 * libFuzzer's main calls it with bytes of its own making, else that of replay.c with those of a corpus.
 */
#ifndef MNI_TESTS_FUZZ_H
#define MNI_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Not assert(): it counts in every build. */
#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* The bytes with a NUL behind them; to be freed. */
static inline char *text_of(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    MUST(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

#endif
