/* SPDX-License-Identifier: MIT
 *
 * Every source file of store/ includes this: with fault points compiled in (util/fault.h) the calls below pass one each, under
 * their own names, so that the code reads as it would without. Else there is nothing here. The headers of what is replaced come
 * first, since their declarations must not be.
 */
#ifndef MNI_STORE_POINTS_H
#define MNI_STORE_POINTS_H

#ifdef MNI_FAULT_INJECTION

#include "util/fault.h"

#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#undef strdup
#undef strndup

#define open(...) mni_fault_open(__VA_ARGS__)
#define read(...) mni_fault_read(__VA_ARGS__)
#define pread(...) mni_fault_pread(__VA_ARGS__)
#define write(...) mni_fault_write(__VA_ARGS__)
#define pwrite(...) mni_fault_pwrite(__VA_ARGS__)
#define fsync(fd) mni_fault_fsync(fd)
#define fdatasync(fd) mni_fault_fdatasync(fd)
#define rename(from, to) mni_fault_rename(from, to)
#define ftruncate(fd, size) mni_fault_ftruncate(fd, size)
#define posix_fallocate(fd, offset, size) mni_fault_posix_fallocate(fd, offset, size)
#define unlink(path) mni_fault_unlink(path)
#define mkdir(path, mode) mni_fault_mkdir(path, mode)
#define rmdir(path) mni_fault_rmdir(path)
#define copy_file_range(...) mni_fault_copy_file_range(__VA_ARGS__)
#define ioctl(fd, request, argument) mni_fault_ioctl(fd, request, argument)
#define mmap(...) mni_fault_mmap(__VA_ARGS__)

#define MNI_POINT_MEMORY(name, call) (mni_fault(MNI_FAULT_MEMORY, name) ? NULL : call)
#define malloc(size) MNI_POINT_MEMORY("malloc", (malloc)(size))
#define calloc(count, size) MNI_POINT_MEMORY("calloc", (calloc)(count, size))
#define realloc(old, size) MNI_POINT_MEMORY("realloc", (realloc)(old, size))
#define reallocarray(old, count, size) \
    MNI_POINT_MEMORY("reallocarray", (reallocarray)(old, count, size))
#define strdup(text) MNI_POINT_MEMORY("strdup", (strdup)(text))
#define strndup(text, size) MNI_POINT_MEMORY("strndup", (strndup)(text, size))
#define open_memstream(text, size) MNI_POINT_MEMORY("open_memstream", (open_memstream)(text, size))

#define MNI_POINT_HDF5(name, ...) (mni_fault(MNI_FAULT_HDF5, #name) ? -1 : (name)(__VA_ARGS__))
#define H5Acreate2(...) MNI_POINT_HDF5(H5Acreate2, __VA_ARGS__)
#define H5Aexists(...) MNI_POINT_HDF5(H5Aexists, __VA_ARGS__)
#define H5Aget_type(...) MNI_POINT_HDF5(H5Aget_type, __VA_ARGS__)
#define H5Aopen(...) MNI_POINT_HDF5(H5Aopen, __VA_ARGS__)
#define H5Aread(...) MNI_POINT_HDF5(H5Aread, __VA_ARGS__)
#define H5Awrite(...) MNI_POINT_HDF5(H5Awrite, __VA_ARGS__)
#define H5Dcreate2(...) MNI_POINT_HDF5(H5Dcreate2, __VA_ARGS__)
#define H5Dget_space(...) MNI_POINT_HDF5(H5Dget_space, __VA_ARGS__)
#define H5Dget_type(...) MNI_POINT_HDF5(H5Dget_type, __VA_ARGS__)
#define H5Dopen2(...) MNI_POINT_HDF5(H5Dopen2, __VA_ARGS__)
#define H5Dread(...) MNI_POINT_HDF5(H5Dread, __VA_ARGS__)
#define H5Dread_chunk(...) MNI_POINT_HDF5(H5Dread_chunk, __VA_ARGS__)
#define H5Dset_extent(...) MNI_POINT_HDF5(H5Dset_extent, __VA_ARGS__)
#define H5Dwrite(...) MNI_POINT_HDF5(H5Dwrite, __VA_ARGS__)
#define H5FDregister(...) MNI_POINT_HDF5(H5FDregister, __VA_ARGS__)
#define H5Fcreate(...) MNI_POINT_HDF5(H5Fcreate, __VA_ARGS__)
#define H5Fflush(...) MNI_POINT_HDF5(H5Fflush, __VA_ARGS__)
#define H5Fopen(...) MNI_POINT_HDF5(H5Fopen, __VA_ARGS__)
#define H5Gcreate2(...) MNI_POINT_HDF5(H5Gcreate2, __VA_ARGS__)
#define H5Gget_info(...) MNI_POINT_HDF5(H5Gget_info, __VA_ARGS__)
#define H5Gopen2(...) MNI_POINT_HDF5(H5Gopen2, __VA_ARGS__)
#define H5Lcreate_external(...) MNI_POINT_HDF5(H5Lcreate_external, __VA_ARGS__)
#define H5Ldelete(...) MNI_POINT_HDF5(H5Ldelete, __VA_ARGS__)
#define H5Lexists(...) MNI_POINT_HDF5(H5Lexists, __VA_ARGS__)
#ifndef H5Lget_info /* from HDF5 1.12 on it stands for one of two */
#define H5Lget_info(...) MNI_POINT_HDF5(H5Lget_info, __VA_ARGS__)
#endif
#define H5Lget_val(...) MNI_POINT_HDF5(H5Lget_val, __VA_ARGS__)
#define H5Pcreate(...) MNI_POINT_HDF5(H5Pcreate, __VA_ARGS__)
#define H5Pset_driver(...) MNI_POINT_HDF5(H5Pset_driver, __VA_ARGS__)
#define H5Pset_layout(...) MNI_POINT_HDF5(H5Pset_layout, __VA_ARGS__)
#define H5Screate(...) MNI_POINT_HDF5(H5Screate, __VA_ARGS__)
#define H5Screate_simple(...) MNI_POINT_HDF5(H5Screate_simple, __VA_ARGS__)
#define H5Sselect_elements(...) MNI_POINT_HDF5(H5Sselect_elements, __VA_ARGS__)
#define H5Sselect_hyperslab(...) MNI_POINT_HDF5(H5Sselect_hyperslab, __VA_ARGS__)
#define H5Tcopy(...) MNI_POINT_HDF5(H5Tcopy, __VA_ARGS__)
#define H5Tcreate(...) MNI_POINT_HDF5(H5Tcreate, __VA_ARGS__)
#define H5Tinsert(...) MNI_POINT_HDF5(H5Tinsert, __VA_ARGS__)

/* It is closed all the same, as after a failure of the system's close(). */
#define H5Fclose(file) \
    (mni_fault(MNI_FAULT_HDF5, "H5Fclose") ? ((H5Fclose)(file), -1) : (H5Fclose)(file))

#endif
#endif
