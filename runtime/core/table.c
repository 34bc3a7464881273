/* SPDX-License-Identifier: MIT
 *
 * Chained hash tables whose members carry their link. Inserting never fails: when there is no
 * memory for more buckets the chains just get longer.
 */
#include "core/containers.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64

int mni_table_init(mni_table_t *table, mni_hash_t *hash)
{
    table->buckets = calloc(FIRST_BUCKETS, sizeof *table->buckets);
    if (!table->buckets)
        return mni_error(MN_E_NO_MEMORY, "no memory for the scheduler's tables");
    table->mask = FIRST_BUCKETS - 1;
    table->count = 0;
    table->hash = hash;
    return 0;
}

void mni_table_fini(mni_table_t *table)
{
    free(table->buckets);
    table->buckets = NULL;
}

static void put(mni_link_t **bucket, mni_link_t *link)
{
    link->next = *bucket;
    link->at = bucket;
    if (link->next)
        link->next->at = &link->next;
    *bucket = link;
}

static void grow(mni_table_t *table)
{
    size_t mask = table->mask * 2 + 1;
    mni_link_t **buckets = calloc(mask + 1, sizeof *buckets);

    if (!buckets)
        return;
    for (size_t i = 0; i <= table->mask; i++)
        for (mni_link_t *link = table->buckets[i], *next; link; link = next) {
            next = link->next;
            put(&buckets[table->hash(link) & mask], link);
        }
    free(table->buckets);
    table->buckets = buckets;
    table->mask = mask;
}

void mni_table_insert(mni_table_t *table, mni_link_t *link)
{
    if (table->count > table->mask)
        grow(table);
    put(&table->buckets[table->hash(link) & table->mask], link);
    table->count++;
}

void mni_table_remove(mni_table_t *table, mni_link_t *link)
{
    *link->at = link->next;
    if (link->next)
        link->next->at = link->at;
    link->next = NULL;
    link->at = NULL;
    table->count--;
}

uint64_t mni_hash_bytes(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return mni_hash_number(hash);
}
