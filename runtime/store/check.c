/* SPDX-License-Identifier: MIT
 *
 * What is there already: is it a store of ours, and which?
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the file says that multinode made it. */
static bool file_is_ours(hid_t file)
{
    bool ours = false;
    char *text = NULL;
    hid_t type = -1, string = mni_store_string();
    hid_t attribute = H5Aexists(file, "creator") > 0 ? H5Aopen(file, "creator", H5P_DEFAULT) : -1;

    if (attribute >= 0 && string >= 0 && (type = H5Aget_type(attribute)) >= 0 &&
        H5Tis_variable_str(type) > 0 && H5Aget_storage_size(attribute) > 0 &&
        H5Aread(attribute, string, &text) >= 0 && text != NULL)
        ours = strcmp(text, "multinode") == 0;
    H5free_memory(text);
    if (type >= 0)
        H5Tclose(type);
    if (attribute >= 0)
        H5Aclose(attribute);
    if (string >= 0)
        H5Tclose(string);
    return ours;
}

/* Number of the file's format, negative if it has none. */
static int file_format(hid_t file)
{
    int format = -1;
    hid_t attribute = H5Aexists(file, "format") > 0 ? H5Aopen(file, "format", H5P_DEFAULT) : -1;

    if (attribute >= 0) {
        if (H5Aread(attribute, H5T_NATIVE_INT, &format) < 0)
            format = -1;
        H5Aclose(attribute);
    }
    return format;
}

/* Looks into an HDF5 file that exists. */
static int file_check(const char *path)
{
    hid_t file = mni_file_open(path);
    int rc = 0;

    if (file < 0) {
        rc = mni_store_error(
            "%.300s is an HDF5 file that cannot be opened; move it away or give another --store",
            path);
    } else if (!file_is_ours(file)) {
        rc = mni_error(
            MN_E_STORE,
            "%.300s is an HDF5 file that multinode did not write; it is not touched: move it "
            "away or give another --store",
            path);
    } else if (file_format(file) < 1 || file_format(file) > MNI_STORE_FORMAT) {
        rc = mni_error(
            MN_E_STORE,
            "%.300s has store format %d and this multinode (%s) knows formats 1 to %d; use the "
            "version that wrote it or give another --store",
            path, file_format(file), MN_VERSION, MNI_STORE_FORMAT);
    } else if (H5Lexists(file, "jobs", H5P_DEFAULT) <= 0 ||
               H5Lexists(file, "data", H5P_DEFAULT) <= 0) {
        rc = mni_error(
            MN_E_STORE,
            "%.300s is a store without its table of jobs or its values: it is damaged; move "
            "it away or give another --store",
            path);
    }
    if (file >= 0)
        H5Fclose(file);
    return rc;
}

int mni_file_check(const char *path, bool writing, mode_t *mode)
{
    static const unsigned char hdf5[8] = "\211HDF\r\n\032\n";
    unsigned char head[8];
    struct stat found;

    if (stat(path, &found) < 0) {
        if (errno == ENOENT)
            return 0;
        return mni_error(MN_E_STORE, "cannot look at the store %.300s: %s", path, strerror(errno));
    }
    if (!S_ISREG(found.st_mode))
        return mni_error(MN_E_STORE, "%.300s is %s, not a file; give another --store", path,
                         S_ISDIR(found.st_mode) ? "a folder" : "a device, pipe or socket");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || (writing && access(path, W_OK) < 0)) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return mni_error(MN_E_STORE, "the store %.300s cannot be %s: %s", path,
                         fd < 0 ? "read" : "written", strerror(error));
    }
    ssize_t got = pread(fd, head, sizeof head, 0);
    close(fd);
    if (got != (ssize_t)sizeof head || memcmp(head, hdf5, sizeof head) != 0)
        return mni_error(MN_E_STORE,
                         "%.300s is %s, not an HDF5 file; it is not touched: move it away or give "
                         "another --store",
                         path, found.st_size == 0 ? "an empty file" : "a file of another kind");
    *mode = found.st_mode & 0777;
    int rc = file_check(path);
    return rc < 0 ? rc : 1;
}

/* A file of an early version has neither id nor number. */
static int identity(hid_t file, const char *path, bool *has_id, mn_id_t *id, uint64_t *included)
{
    hid_t string = mni_store_string(), attribute = -1;
    char *text = NULL;
    htri_t exists = H5Aexists(file, "store");
    int rc = exists < 0 ? mni_store_error("the attributes of %.300s cannot be read", path) : 0;

    *has_id = false;
    if (exists <= 0)
        goto cleanup;
    if (string < 0 || (attribute = H5Aopen(file, "store", H5P_DEFAULT)) < 0 ||
        H5Aread(attribute, string, &text) < 0 || mn_id_parse(text, id) < 0)
        rc = mni_error(MN_E_STORE, "the attribute store of %.300s is damaged", path);
    else if ((rc = mni_file_get(file, "changes", included)) < 0)
        rc = mni_error_prefix(rc, "%.300s", path);
    *has_id = rc == 0;
cleanup:
    H5free_memory(text);
    if (attribute >= 0)
        H5Aclose(attribute);
    if (string >= 0)
        H5Tclose(string);
    return rc;
}

int mni_file_identity(const char *path, int *format, bool *has_id, mn_id_t *id, uint64_t *included)
{
    hid_t file = mni_file_open(path);
    int rc;

    if (file < 0)
        return mni_store_error("%.300s cannot be read", path);
    rc = mni_file_identify(file, path, format, has_id, id, included);
    H5Fclose(file);
    return rc;
}

int mni_file_identify(hid_t file, const char *path, int *format, bool *has_id, mn_id_t *id,
                      uint64_t *included)
{
    *format = file_format(file);
    return identity(file, path, has_id, id, included);
}
