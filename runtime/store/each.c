/* SPDX-License-Identifier: MIT
 *
 * The jobs of a file, one after the other: rows and small values are read many at a time. Rows that were moved into holes are no
 * longer where they were made, so the order is that of the times at which the jobs were started.
 */
#include "store/internal.h"

#include "store/points.h"
#include "util/error.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)1024) /* rows at a time */
#define ROW_GAP 64           /* rows between two that are wanted and are read nevertheless */
#define VALUE_GAP ((uint64_t)16 << 10) /* elements likewise */
#define RUN_MOST ((uint64_t)1 << 20)   /* elements read at once */

/* A small value that is wanted. */
typedef struct want {
    mn_type_t type;
    uint64_t at;
    uint32_t count;
    mn_value_t *value;
} want_t;

typedef struct reader {
    int format;
    bool scan; /* values are not wanted */
    hid_t set, type, texts_type, data;
    mni_raw_t *raw; /* NULL: HDF5 reads the rows */
    size_t row_size;
    uint64_t count;
    uint32_t *order; /* numbers of rows, oldest first; NULL: as they are */
    bool texts;      /* some of the rows in memory may have texts, which are HDF5's */
    mni_pools_t pools;
    char *read, *rows; /* a block as it was read; in order */
    mni_store_record_t *records;
    char type_name[8]; /* as the last value had it, and which that is: most have the same */
    int value_type;
    want_t wants[2 * BLOCK];
    size_t want_count;
    void *runs[2 * BLOCK]; /* bytes of small values */
    size_t run_count;
} reader_t;

static mni_row_t *row_at(const reader_t *reader, char *rows, size_t i)
{
    return (mni_row_t *)(void *)(rows + i * reader->row_size); /* an old row begins with a row */
}

/* --- the order -------------------------------------------------------------------------------- */

typedef struct dated {
    double created;
    uint32_t row;
} dated_t;

static int older(const void *left, const void *right)
{
    const dated_t *a = left, *b = right;
    if (a->created != b->created)
        return a->created < b->created ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

/* Makes the order from the times, where it is not that of the rows. */
static int order_make(reader_t *reader, const double *created)
{
    size_t count = (size_t)reader->count, sorted = 1;

    while (sorted < count && created[sorted - 1] <= created[sorted])
        sorted++;
    if (sorted >= count)
        return 0;
    dated_t *dated = reallocarray(NULL, count, sizeof *dated);
    reader->order = reallocarray(NULL, count, sizeof *reader->order);
    if (dated == NULL || reader->order == NULL) {
        free(dated);
        return mni_error(MN_E_NO_MEMORY, "no memory for the order of %zu jobs", count);
    }
    for (size_t i = 0; i < count; i++)
        dated[i] = (dated_t){created[i], (uint32_t)i};
    qsort(dated, count, sizeof *dated, older);
    for (size_t i = 0; i < count; i++)
        reader->order[i] = dated[i].row;
    free(dated);
    return 0;
}

static int order_read(reader_t *reader)
{
    double *created = reallocarray(NULL, (size_t)reader->count + 1, sizeof *created);
    hid_t type = mni_row_type(MNI_ROW_CREATED);
    int rc = 0;

    if (created == NULL)
        rc = mni_error(MN_E_NO_MEMORY, "no memory for the order of the jobs");
    else if (reader->raw != NULL && mni_raw_created(reader->raw, reader->count, created) == 0)
        rc = order_make(reader, created);
    else if (mni_raw_damaged(reader->raw))
        rc = mni_error(MN_E_STORE, "a part of the table of jobs cannot be read");
    else if (type < 0 || (reader->count > 0 &&
                          H5Dread(reader->set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, created) < 0))
        rc = mni_store_error("the table of jobs cannot be read");
    else
        rc = order_make(reader, created);
    if (type >= 0)
        H5Tclose(type);
    free(created);
    return rc;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Where a row that is wanted is to go. */
typedef struct pick {
    uint32_t row, to;
} pick_t;

static int by_row(const void *left, const void *right)
{
    const pick_t *a = left, *b = right;
    return a->row < b->row ? -1 : a->row > b->row;
}

static int rows_part(reader_t *reader, uint64_t first, uint64_t count, char *to)
{
    hid_t type = reader->type, memory, space;
    bool texts;
    int rc = 0;

    if (reader->raw != NULL &&
        mni_raw_read(reader->raw, first, count, row_at(reader, to, 0), &texts) == 0) {
        if (!texts)
            return 0;
        type = reader->texts_type;
    } else if (mni_raw_damaged(reader->raw)) {
        return mni_error(MN_E_STORE, "a part of the table of jobs cannot be read");
    } else {
        /* a column that an early version did not have stays zero */
        memset(to, 0, (size_t)count * reader->row_size);
    }
    reader->texts = true;
    if (mni_rows_select(reader->set, first, count, &memory, &space) < 0 ||
        H5Dread(reader->set, type, memory, space, H5P_DEFAULT, to) < 0)
        rc = mni_store_error("the table of jobs cannot be read");
    mni_rows_deselect(memory, space);
    return rc;
}

static void texts_free(const reader_t *reader, char *rows, uint64_t count)
{
    hsize_t size = count;
    /* in parentheses, no fault point: nothing could be done about it */
    hid_t memory = reader->texts ? (H5Screate_simple)(1, &size, NULL) : -1;

    if (memory >= 0) {
        H5Dvlen_reclaim(reader->type, memory, H5P_DEFAULT, rows);
        H5Sclose(memory);
    }
}

/* Reads the rows of some picks, which are near to each other, and puts them where they belong; the others' texts are freed. */
static int picks_read(reader_t *reader, const pick_t *picks, size_t count)
{
    uint32_t first = picks[0].row;
    uint64_t span = (uint64_t)picks[count - 1].row - first + 1;
    char *to = reader->read;
    int rc;

    if ((rc = rows_part(reader, first, span, to)) < 0)
        return rc;
    for (size_t i = 0; i < count; i++) {
        char *from = to + (picks[i].row - first) * reader->row_size;
        memcpy(reader->rows + picks[i].to * reader->row_size, from, reader->row_size);
        memset(from, 0, reader->row_size);
    }
    texts_free(reader, to, span);
    return 0;
}

static int rows_read(reader_t *reader, uint64_t from, size_t count)
{
    pick_t picks[BLOCK];
    int rc = 0;

    reader->texts = false;
    if (reader->order == NULL)
        return rows_part(reader, from, count, reader->rows);
    memset(reader->rows, 0, count * reader->row_size);
    for (size_t i = 0; i < count; i++)
        picks[i] = (pick_t){reader->order[from + i], (uint32_t)i};
    qsort(picks, count, sizeof *picks, by_row);
    for (size_t begin = 0, end; rc == 0 && begin < count; begin = end) {
        for (end = begin + 1; end < count && picks[end].row - picks[end - 1].row <= ROW_GAP &&
                              picks[end].row - picks[begin].row < BLOCK;)
            end++;
        rc = picks_read(reader, picks + begin, end - begin);
    }
    return rc;
}

/* --- small values ----------------------------------------------------------------------------- */

static int want(reader_t *reader, const char type[8], uint64_t at, uint32_t count,
                mn_value_t *value)
{
    if (type[0] == '\0')
        return 0;
    if (memcmp(type, reader->type_name, sizeof reader->type_name) != 0) {
        reader->value_type = mni_pool_type(type);
        memcpy(reader->type_name, type, sizeof reader->type_name);
    }
    const int of = reader->value_type;
    if (of < 0 || count > MNI_POOL_MOST)
        return mni_error(MN_E_STORE, "a row of the table of jobs has a value of no known type");
    *value = (mn_value_t){.type = (mn_type_t)of,
                          .ndims = 1,
                          .size = count * mn_type_size((mn_type_t)of),
                          .dims = {count}};
    if (count > 0)
        reader->wants[reader->want_count++] = (want_t){(mn_type_t)of, at, count, value};
    return 0;
}

static int by_place(const void *left, const void *right)
{
    const want_t *a = left, *b = right;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

static bool in_order(const reader_t *reader)
{
    for (size_t i = 1; i < reader->want_count; i++)
        if (by_place(&reader->wants[i - 1], &reader->wants[i]) > 0)
            return false;
    return true;
}

static int values_read(reader_t *reader)
{
    const want_t *wants = reader->wants;
    int rc = 0;

    if (!in_order(reader))
        qsort(reader->wants, reader->want_count, sizeof *wants, by_place);
    for (size_t begin = 0, end; rc == 0 && begin < reader->want_count; begin = end) {
        const want_t *first = &wants[begin];
        uint64_t behind = first->at + first->count;
        for (end = begin + 1; end < reader->want_count && wants[end].type == first->type &&
                              wants[end].at <= behind + VALUE_GAP &&
                              wants[end].at + wants[end].count - first->at <= RUN_MOST;
             end++)
            if (wants[end].at + wants[end].count > behind)
                behind = wants[end].at + wants[end].count;
        size_t size = mn_type_size(first->type);
        char *run = reallocarray(NULL, (size_t)(behind - first->at), size);
        if (run == NULL)
            return mni_error(MN_E_NO_MEMORY, "no memory for small values");
        reader->runs[reader->run_count++] = run;
        rc = mni_pools_read(&reader->pools, first->type, first->at, behind - first->at, run);
        for (size_t i = begin; i < end; i++)
            wants[i].value->data = run + (wants[i].at - first->at) * size;
    }
    return rc;
}

/* --- jobs ------------------------------------------------------------------------------------- */

static int record_make(reader_t *reader, uint64_t from, size_t i)
{
    mni_row_t *row = row_at(reader, reader->rows, i);
    mni_store_record_t *record = &reader->records[i];
    int rc;

    if (reader->format < 3)
        mni_row_from_old((mni_old_row_t *)(void *)row);
    if ((rc = mni_row_record(row, record)) < 0)
        return rc;
    if (reader->scan) {
        record->input_row = record->result_row =
            1 + (reader->order == NULL ? from + i : reader->order[from + i]);
        return 0;
    }
    if ((rc = want(reader, row->input_type, row->input_at, row->input_count, &record->input)) < 0)
        return rc;
    return want(reader, row->result_type, row->result_at, row->result_count, &record->info.result);
}

/* Gives a job, with the values of its group where it has some there. */
static int job_give(reader_t *reader, size_t i, mni_store_take_t *take, void *argument)
{
    const mni_row_t *row = row_at(reader, reader->rows, i);
    mni_store_record_t *record = &reader->records[i];
    mni_data_values_t values = {0};
    int rc = 0;

    if (row->grouped && !reader->scan &&
        (rc = mni_data_get(reader->data, record->info.id, &values)) == 0) {
        if (values.input.ndims > 0)
            record->input = values.input;
        if (values.result.ndims > 0)
            record->info.result = values.result;
        record->input_file = values.input_file;
        record->result_file = values.result_file;
    }
    if (rc == 0)
        rc = take(argument, record);
    mn_value_destroy(&values.input);
    mn_value_destroy(&values.result);
    free(values.input_file);
    free(values.result_file);
    return rc;
}

static int block_give(reader_t *reader, uint64_t from, size_t count, mni_store_take_t *take,
                      void *argument)
{
    int rc = rows_read(reader, from, count);

    reader->want_count = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = record_make(reader, from, i);
    if (rc == 0)
        rc = values_read(reader);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = job_give(reader, i, take, argument);
    while (reader->run_count > 0)
        free(reader->runs[--reader->run_count]);
    texts_free(reader, reader->rows, count);
    return rc;
}

static int reader_open(reader_t *reader, hid_t file)
{
    hid_t space = -1;
    hssize_t count = -1;
    int rc = 0;

    reader->row_size = reader->format < 3 ? sizeof(mni_old_row_t) : sizeof(mni_row_t);
    reader->read = calloc(BLOCK, reader->row_size);
    reader->rows = calloc(BLOCK, reader->row_size);
    reader->records = calloc(BLOCK, sizeof *reader->records);
    if (reader->read == NULL || reader->rows == NULL || reader->records == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory to read the table of jobs");
    reader->type = mni_row_type(reader->format < 3 ? MNI_ROW_OLD : MNI_ROW_WHOLE);
    reader->texts_type = mni_row_type(MNI_ROW_TEXTS);
    reader->set = H5Dopen2(file, "jobs", H5P_DEFAULT);
    reader->data = H5Gopen2(file, "data", H5P_DEFAULT);
    space = reader->set < 0 ? -1 : H5Dget_space(reader->set);
    if (space >= 0 && H5Sget_simple_extent_ndims(space) == 1)
        count = H5Sget_simple_extent_npoints(space);
    if (reader->type < 0 || reader->texts_type < 0 || reader->data < 0 || count < 0 ||
        count >= MNI_IDS_NONE)
        rc = mni_store_error("the table of jobs cannot be read");
    if (space >= 0)
        H5Sclose(space);
    if (rc < 0 || (reader->format >= 3 && (rc = mni_pools_open(&reader->pools, file)) < 0))
        return rc;
    reader->count = (uint64_t)count;
    if (reader->format >= 3)
        reader->raw = mni_raw_open(reader->set);
    return mni_file_ordered(file) ? 0 : order_read(reader);
}

static void reader_close(reader_t *reader)
{
    mni_raw_close(reader->raw);
    mni_pools_close(&reader->pools);
    if (reader->data >= 0)
        H5Gclose(reader->data);
    if (reader->set >= 0)
        H5Dclose(reader->set);
    if (reader->type >= 0)
        H5Tclose(reader->type);
    if (reader->texts_type >= 0)
        H5Tclose(reader->texts_type);
    free(reader->order);
    free(reader->read);
    free(reader->rows);
    free(reader->records);
    free(reader);
}

static int each(hid_t file, int format, bool scan, mni_store_take_t *take, void *argument)
{
    reader_t *reader = malloc(sizeof *reader);

    if (reader == NULL)
        return mni_error(MN_E_NO_MEMORY, "no memory to read the table of jobs");
    *reader = (reader_t){.format = format,
                         .scan = scan,
                         .set = -1,
                         .type = -1,
                         .texts_type = -1,
                         .data = -1,
                         .pools = MNI_POOLS_CLOSED};
    int rc = reader_open(reader, file);
    for (uint64_t from = 0; rc == 0 && from < reader->count; from += BLOCK) {
        uint64_t left = reader->count - from;
        rc = block_give(reader, from, left < BLOCK ? (size_t)left : BLOCK, take, argument);
    }
    reader_close(reader);
    return rc;
}

int mni_file_each(hid_t file, int format, mni_store_take_t *take, void *argument)
{
    return each(file, format, false, take, argument);
}

int mni_file_scan(hid_t file, int format, mni_store_take_t *take, void *argument)
{
    return each(file, format, true, take, argument);
}
