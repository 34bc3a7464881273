/* SPDX-License-Identifier: MIT
 *
 * A file that HDF5 writes to and that never fails under it. HDF5 1.10 cannot close a file that it
 * could not flush: what stays open crashes the process at exit (tried, with 1.10.8). So errors of
 * the kernel (disk full, quota, a file size limit) are kept here instead, HDF5 goes on as if
 * nothing had happened, and the writer asks mni_sink_error() before it believes in the file. One
 * thread at a time.
 */
#ifndef MNI_STORE_SINK_H
#define MNI_STORE_SINK_H

#include <hdf5.h>

#include <stdint.h>
#include <sys/types.h>

typedef struct mni_sink mni_sink_t;

/* Makes the file `path`, which must not exist, with the permissions `mode`. MN_E_STORE with a
 * sentence. */
int mni_sink_create(const char *path, mode_t mode, mni_sink_t **sink);

/* Fills the file with what another one holds, before HDF5 has seen it. MN_E_STORE with a sentence. */
int mni_sink_copy(mni_sink_t *sink, const char *path);

/* A file access property list with which H5Fcreate() writes to the sink and H5Fopen() goes on with what is in it, whatever name
 * they are given; negative on failure. To be closed with H5Pclose(). One HDF5 file per sink, closed
 * before the sink. */
hid_t mni_sink_access(mni_sink_t *sink);

/* The errno of the first operation that failed, 0 as long as all is well. */
int mni_sink_error(const mni_sink_t *sink);

/* Has all of it written to the disk; the error is kept as any other. */
void mni_sink_sync(mni_sink_t *sink);

/* Closes the file, which stays. NULL is fine. */
void mni_sink_close(mni_sink_t *sink);

#endif
