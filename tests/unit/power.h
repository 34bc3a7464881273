/* SPDX-License-Identifier: MIT
 *
 * A disk that may lose its power: it sees all changes of the files below a folder (util/fault.h), and can make, at any instant, what
 * a power loss at that instant might leave: what was synced, and of the rest any part. Written data may be lost in pieces of 512
 * bytes, in any subset; so may changes of a size; new names, renames and removals, unless their folder was synced.
 *
 * What a file system really does is less hostile. Any thread: changes are made one at a time.
 */
#ifndef POWER_H
#define POWER_H

#include "util/fault.h"

typedef struct power power_t;

/* What is in the folder now is on the disk. `event` (may be NULL) is called before each change that is not only an opening, and may
 * call power_cut(). */
power_t *power_create(const char *folder, void (*event)(void *argument), void *argument);
void power_destroy(power_t *power);
const mni_fault_layer_t *power_layer(const power_t *power);

/* Makes the folder `target`, which must be empty, what is left. From `event` only, or while nothing changes. */
void power_cut(const power_t *power, uint64_t *random, const char *target);

#endif
