/* SPDX-License-Identifier: MIT
 *
 * Texts that are copied into blocks: a million small allocations would cost more than the copies.
 */
#include "store/internal.h"

#include "store/points.h"

#include <stdlib.h>
#include <string.h>

struct mni_text_block {
    mni_text_block_t *next;
    size_t used, room;
    char bytes[];
};

#define BLOCK_ROOM ((size_t)64 << 10)

char *mni_text_copy(mni_text_block_t **blocks, const char *text, bool *failed)
{
    if (text == NULL)
        return NULL;
    size_t size = strlen(text) + 1;
    mni_text_block_t *block = *blocks;
    if (block == NULL || block->room - block->used < size) {
        size_t room = size > BLOCK_ROOM ? size : BLOCK_ROOM;
        block = malloc(sizeof *block + room);
        if (block == NULL) {
            *failed = true;
            return NULL;
        }
        *block = (mni_text_block_t){.next = *blocks, .room = room};
        *blocks = block;
    }
    char *copy = block->bytes + block->used;
    memcpy(copy, text, size);
    block->used += size;
    return copy;
}

void mni_texts_free(mni_text_block_t **blocks)
{
    while (*blocks != NULL) {
        mni_text_block_t *next = (*blocks)->next;
        free(*blocks);
        *blocks = next;
    }
}
