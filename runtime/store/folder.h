/* SPDX-License-Identifier: MIT
 *
 * The folder in which a store lies. Any thread.
 */
#ifndef MNI_STORE_FOLDER_H
#define MNI_STORE_FOLDER_H

/* Has what was made, renamed and removed in it on the disk. 0 or MN_E_STORE, with the end of a sentence that begins with the file. */
int mni_folder_sync(const char *folder);

/* Removes what runs that were killed have left beside the store `path`: files named PATH.new.PID and PATH.journal.new. Only whoever has the store's lock
 * may do so. */
void mni_folder_clean(const char *folder, const char *path);

#endif
