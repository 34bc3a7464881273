/* SPDX-License-Identifier: MIT
 *
 * See folder.h.
 */
#include "store/folder.h"

#include "store/points.h"
#include "util/error.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int mni_folder_sync(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    /* some file systems cannot sync a folder: they do it in their own way */
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP))
        rc = mni_error(MN_E_STORE, "is in place but may not survive a power loss: %s",
                       strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Whether a name is NAME.journal.new, the same with another .new (while its header is written), or NAME.new.NUMBER. */
static bool is_left(const char *found, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(found, name, length) != 0)
        return false;
    found += length;
    if (strcmp(found, ".journal.new") == 0 || strcmp(found, ".journal.new.new") == 0)
        return true;
    if (strncmp(found, ".new.", 5) != 0)
        return false;
    found += 5;
    if (*found == '\0')
        return false;
    while (isdigit((unsigned char)*found))
        found++;
    return *found == '\0';
}

void mni_folder_clean(const char *folder, const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    DIR *stream = opendir(folder);

    if (stream == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (is_left(entry->d_name, name))
            unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
}
