/* SPDX-License-Identifier: MIT
 *
 * Locks and keys: names that belong to one job. A lock is held until its job is terminal; a key
 * names its job until that is forgotten.
 */
#include "core/internal.h"

#include <string.h>

static mni_labels_t *by_lock(const mni_link_t *link)
{
    return MNI_CONTAINER(link, mni_labels_t, by_lock);
}

static mni_labels_t *by_key(const mni_link_t *link)
{
    return MNI_CONTAINER(link, mni_labels_t, by_key);
}

uint64_t mni_lock_hash(const mni_link_t *link)
{
    const char *name = by_lock(link)->names.lock;
    return mni_hash_bytes(name, strlen(name));
}

uint64_t mni_key_hash(const mni_link_t *link)
{
    const char *key = by_key(link)->names.key;
    return mni_hash_bytes(key, strlen(key));
}

mni_record_t *mni_lock_find(const mni_core_t *core, const char *name)
{
    for (mni_link_t *link = mni_table_chain(&core->locks, mni_hash_bytes(name, strlen(name))); link;
         link = link->next)
        if (strcmp(by_lock(link)->names.lock, name) == 0)
            return by_lock(link)->record;
    return NULL;
}

mni_record_t *mni_key_find(const mni_core_t *core, const char *key)
{
    for (mni_link_t *link = mni_table_chain(&core->keys, mni_hash_bytes(key, strlen(key))); link;
         link = link->next)
        if (strcmp(by_key(link)->names.key, key) == 0)
            return by_key(link)->record;
    return NULL;
}

void mni_lock_hold(mni_core_t *core, mni_record_t *record)
{
    mni_labels_t *labels = mni_labels(record);

    if (!labels || !labels->names.lock)
        return;
    mni_table_insert(&core->locks, &labels->by_lock);
    labels->locked = true;
}

void mni_lock_release(mni_core_t *core, mni_record_t *record)
{
    mni_labels_t *labels = mni_labels(record);

    if (!labels || !labels->locked)
        return;
    mni_table_remove(&core->locks, &labels->by_lock);
    labels->locked = false;
}

void mni_key_hold(mni_core_t *core, mni_record_t *record)
{
    mni_labels_t *labels = mni_labels(record);

    if (!labels || !labels->names.key)
        return;
    mni_table_insert(&core->keys, &labels->by_key);
    labels->keyed = true;
}

void mni_key_release(mni_core_t *core, mni_record_t *record)
{
    mni_labels_t *labels = mni_labels(record);

    if (!labels || !labels->keyed)
        return;
    mni_table_remove(&core->keys, &labels->by_key);
    labels->keyed = false;
}

void mni_core_locks(const mni_core_t *core, void (*visit)(void *, const char *, const mni_job_t *),
                    void *argument)
{
    for (size_t i = 0; i <= core->locks.mask; i++)
        for (mni_link_t *link = core->locks.buckets[i]; link; link = link->next)
            visit(argument, by_lock(link)->names.lock, &by_lock(link)->record->job);
}
