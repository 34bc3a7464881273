/* SPDX-License-Identifier: MIT
 *
 * mn_alloc() and mn_free(): extents of the arena that belong to user code.
 */
#include "client/call.h"
#include "client/task.h"
#include "util/error.h"

int mn_alloc(mn_task_t *task, size_t size, void **memory)
{
    mni_arena_t *arena = &mni_client.arena;
    size_t offset;
    int rc = mni_task_check(task);

    if (rc < 0)
        return rc;
    if (!memory)
        return mni_error(MN_E_INVALID, "no place for the memory was given (NULL)");
    if ((rc = mni_call_enter(MNI_CALL_LAST)) < 0)
        return rc;
    rc = mni_arena_take(arena, size, true, &offset);
    if (rc == 0 && (rc = mni_arena_reserve(arena, offset, size)) < 0)
        mni_arena_give(arena, offset);
    if (rc == 0)
        *memory = arena->base + offset;
    mni_call_leave();
    return rc;
}

void mn_free(void *memory)
{
    mni_arena_t *arena = &mni_client.arena;

    if (!memory || mni_call_enter(MNI_CALL_LAST) < 0)
        return;
    const mni_extent_t *extent = mni_arena_find(arena, memory, 1);
    if (extent && memory == arena->base + extent->offset)
        mni_arena_give(arena, extent->offset);
    mni_call_leave();
}
