/* SPDX-License-Identifier: MIT
 *
 * Lists of hosts: read, and asked whether they can be reached.
 */
#ifndef MNI_COMMAND_HOSTS_H
#define MNI_COMMAND_HOSTS_H

#include <stdbool.h>

#define MNI_LONGEST_HOST 255
#define MNI_MOST_HOSTS 100000

/* Begin with {.count = 0}; `names` is freed with free(). */
typedef struct mni_hosts {
    char (*names)[MNI_LONGEST_HOST + 1];
    unsigned count, room;
} mni_hosts_t;

/* Adds those of --host, or of a host file. 0, MN_E_INVALID, MN_E_SYSTEM (a file that cannot be read), MN_E_NO_MEMORY. */
int mni_hosts_from_list(mni_hosts_t *hosts, const char *list);
int mni_hosts_from_file(mni_hosts_t *hosts, const char *path);

/* By name, without the domain, or by an address that an interface has. */
bool mni_hosts_is_this(const char *name);

/* Leaves those on which mpirun can start something, and says which are left out; the first, which is this host, stays. Blocks, 20 s at
 * most. What it may leave behind are children of this process. 0 or MN_E_NO_MEMORY. */
int mni_hosts_reachable(mni_hosts_t *hosts);

#endif
