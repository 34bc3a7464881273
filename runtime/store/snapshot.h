/* SPDX-License-Identifier: MIT
 *
 * Snapshots in mid-run: a thread that folds the journal into the HDF5 file (internal.h: mni_fold()) when it has grown in proportion
 * to the file or has become old, and lets it go on in a follower without what the file has now. It works from the files alone: the
 * scheduler is not asked, and the keeper waits only for the rename.
 */
#ifndef MNI_STORE_SNAPSHOT_H
#define MNI_STORE_SNAPSHOT_H

#include "store/keeper.h"

typedef struct mni_snapshot mni_snapshot_t;
struct mni_place;

/* Seconds after a snapshot that failed until the next one: 10. A variable, so that tests get there soon; nothing else sets it. */
extern double mni_snapshot_retry;

/* Starts the thread. `place` and keeper must outlive it; the file includes all changes up to `included`; `age` is the most seconds that
 * a change waits; `bell` is rung when there is trouble. */
int mni_snapshot_start(const struct mni_place *place, mni_keeper_t *keeper, mni_doorbell_t *bell,
                       uint64_t included, double age, mni_snapshot_t **snapshot);
/* Ends the thread, after the fold that it is at. Returns up to which number the file includes all. */
uint64_t mni_snapshot_stop(mni_snapshot_t *snapshot);
/* Why the last snapshot could not be made; once for each time that it begins to fail. False: there is nothing to tell. */
bool mni_snapshot_trouble(mni_snapshot_t *snapshot, char *text, size_t room);

#endif
