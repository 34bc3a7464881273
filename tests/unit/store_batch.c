/* SPDX-License-Identifier: MIT
 *
 * See store_batch.h.
 */
#include "store_batch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char base[] = "/tmp/test_store_XXXXXX";
char path[PATH_MAX];

int batch_setup(void **state)
{
    (void)state;
    if (mkdtemp(base) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/store.h5", base);
    return 0;
}

int batch_teardown(void **state)
{
    (void)state;
    remove_all();
    return rmdir(base);
}

/* --- records to write ------------------------------------------------------------------------- */

int visit(void *argument, mni_store_record_t *record)
{
    batch_t *batch = argument;
    if (batch->fail_at >= 0 && batch->next == (size_t)batch->fail_at)
        return MN_E_CANCELLED;
    if (batch->next == batch->count)
        return 0;
    *record = batch->record[batch->next++];
    return 1;
}

mn_id_t id_of(unsigned number)
{
    mn_id_t id = {{0}};
    memcpy(id.bytes + 12, &number, sizeof number);
    id.bytes[0] = (uint8_t)(number * 37); /* names in the file are not in the order of the jobs */
    return id;
}

mni_store_record_t record_of(unsigned number, mn_value_t input, mn_value_t result)
{
    return (mni_store_record_t){
        .info = {.id = id_of(number),
                 .job = "simulate",
                 .status = MN_SUCCEEDED,
                 .reason = MN_REASON_RETURNED,
                 .attempts = 1,
                 .progress = 1,
                 .created = 1000.5 + number,
                 .rank = 2,
                 .yields = 3,
                 .result = result},
        .input = input,
    };
}

int write_records(const char *file, const mni_store_record_t *records, size_t count)
{
    mni_store_t *store = NULL;
    batch_t batch = {.record = records, .count = count, .fail_at = -1};
    int rc = mni_store_open(file, &store);

    if (rc == 0)
        rc = mni_store_finish(store, visit, &batch);
    mni_store_close(store);
    if (rc < 0)
        print_message("%s\n", mn_error_message());
    return rc;
}

void remove_all(void)
{
    char command[PATH_MAX];
    snprintf(command, sizeof command, "rm -rf '%s'/*", base);
    assert_int_equal(system(command), 0);
}

int count_files(const char *folder)
{
    int count = 0;
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

/* --- reading back ----------------------------------------------------------------------------- */

seen_t *read_table(const char *file_name, size_t *count)
{
    hid_t file = H5Fopen(file_name, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    hid_t set = H5Dopen2(file, "jobs", H5P_DEFAULT), space = H5Dget_space(set);
    *count = (size_t)H5Sget_simple_extent_npoints(space);
    seen_t *rows = calloc(*count + 1, sizeof *rows);

    hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(seen_t));
    hid_t word = H5Tcopy(H5T_C_S1), text = H5Tcopy(H5T_C_S1);
    H5Tset_cset(word, H5T_CSET_UTF8);
    H5Tset_cset(text, H5T_CSET_UTF8);
    H5Tset_size(text, H5T_VARIABLE);
    H5Tset_size(word, 37);
    H5Tinsert(type, "id", offsetof(seen_t, id), word);
    H5Tset_size(word, 20);
    H5Tinsert(type, "status", offsetof(seen_t, status), word);
    H5Tinsert(type, "reason", offsetof(seen_t, reason), word);
    H5Tinsert(type, "error", offsetof(seen_t, error), text);
    H5Tinsert(type, "lock", offsetof(seen_t, lock), text);
    H5Tinsert(type, "created", offsetof(seen_t, created), H5T_NATIVE_DOUBLE);
    H5Tinsert(type, "yields", offsetof(seen_t, yields), H5T_NATIVE_UINT64);
    H5Tinsert(type, "rank", offsetof(seen_t, rank), H5T_NATIVE_INT);
    H5Tinsert(type, "attempts", offsetof(seen_t, attempts), H5T_NATIVE_UINT);
    if (*count > 0)
        assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Tclose(word);
    H5Tclose(text);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(file);
    return rows;
}

void free_table(seen_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        H5free_memory(rows[i].error);
        H5free_memory(rows[i].lock);
    }
    free(rows);
}

size_t count_jobs(const char *file_name)
{
    size_t count = 0;
    seen_t *rows = read_table(file_name, &count);
    free_table(rows, count);
    return count;
}

void check_ids(const char *file_name, const unsigned *numbers, size_t count)
{
    size_t found;
    seen_t *rows = read_table(file_name, &found);

    assert_int_equal(found, count);
    for (size_t i = 0; i < count; i++) {
        char id[MN_ID_TEXT];
        assert_string_equal(rows[i].id, mn_id_format(id_of(numbers[i]), id));
        assert_true(rows[i].created == 1000.5 + numbers[i]);
    }
    free_table(rows, found);
}

hid_t open_value(hid_t file, unsigned number, const char *name)
{
    char id[MN_ID_TEXT], where[128];
    snprintf(where, sizeof where, "/data/%s/%s", mn_id_format(id_of(number), id), name);
    hid_t set = -1;
    H5E_BEGIN_TRY
    {
        set = H5Dopen2(file, where, H5P_DEFAULT);
    }
    H5E_END_TRY
    return set;
}

void check_value(hid_t file, unsigned number, const char *name, mn_value_t value, hid_t expected)
{
    hid_t set = open_value(file, number, name);
    assert_true(set >= 0);
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);

    if (value.type == MN_TEXT) {
        assert_int_equal(H5Tget_class(type), H5T_STRING);
        assert_int_equal(H5Tget_cset(type), H5T_CSET_UTF8);
        assert_int_equal(H5Sget_simple_extent_type(space), value.size > 0 ? H5S_SCALAR : H5S_NULL);
        if (value.size > 0)
            assert_int_equal(H5Tget_size(type), value.size);
    } else {
        hsize_t dims[8];
        assert_true(H5Tequal(type, expected) > 0);
        assert_int_equal(H5Sget_simple_extent_dims(space, dims, NULL), value.ndims);
        for (unsigned i = 0; i < value.ndims; i++)
            assert_int_equal(dims[i], value.dims[i]);
        assert_int_equal(H5Aexists(set, "kind") > 0, value.type == MN_BYTES);
    }
    if (value.size > 0) {
        void *bytes = malloc(value.size);
        assert_non_null(bytes);
        assert_true(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0);
        assert_memory_equal(bytes, value.data, value.size);
        free(bytes);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
}
