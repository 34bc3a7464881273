/* SPDX-License-Identifier: MIT
 *
 * See pages.h. Where addresses are sanitized, what lies here is told to the search for leaks, which knows malloc only.
 */
#include "util/pages.h"

#include <stdint.h>

#include <sys/mman.h>

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define SCAN(pages, size) __lsan_register_root_region(pages, size)
#define SCAN_NO_MORE(pages, size) __lsan_unregister_root_region(pages, size)
#else
#define SCAN(pages, size) ((void)(pages), (void)(size))
#define SCAN_NO_MORE(pages, size) ((void)(pages), (void)(size))
#endif

void *mni_pages_map(size_t size, size_t small)
{
    char *mapped = mmap(NULL, size + MNI_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mapped == MAP_FAILED)
        return NULL;
    /* Aligned to a huge page; what is over at both ends is given back. */
    size_t before = -(uintptr_t)mapped % MNI_PAGE;
    if (before > 0)
        munmap(mapped, before);
    munmap(mapped + before + size, MNI_PAGE - before);
    mapped += before;
    if (size > small)
        (void)madvise(mapped + small, size - small,
                      MADV_HUGEPAGE); /* slower without, that is all */
    SCAN(mapped, size);
    return mapped;
}

void mni_pages_unmap(void *pages, size_t size)
{
    if (!pages)
        return;
    SCAN_NO_MORE(pages, size);
    munmap(pages, size);
}
