/* SPDX-License-Identifier: MIT
 *
 * Rows of /jobs as bytes: HDF5 hands out whole chunks as they lie in the file, and the columns are copied from there to where they
 * are in memory. Its own reading takes each row apart and costs several times as much; it is still there for tables that do not lie
 * as this version lays them out on this machine, and for texts, which lie elsewhere and most rows do not have.
 */
#include "store/internal.h"

#include "store/points.h"

#include <stdlib.h>
#include <string.h>

/* The columns lie in the file as in memory, without gaps; a text is a reference there, which is zeros for NULL. */
#define FRONT offsetof(mni_row_t, error)
#define BACK offsetof(mni_row_t, attempts)
#define BACK_SIZE (offsetof(mni_row_t, parent) + sizeof((mni_row_t *)0)->parent - BACK)
#define REFERENCES ((size_t)5 * 16)
#define ROW_SIZE (FRONT + REFERENCES + BACK_SIZE)
#define CREATED (offsetof(mni_row_t, created) - BACK + FRONT + REFERENCES)

struct mni_raw {
    hid_t set;
    uint64_t chunk_rows;
    uint64_t chunk; /* number of the one that is in memory */
    char *bytes;    /* of it */
    bool damaged;   /* one cannot be read, or has the wrong size, which HDF5 would believe */
};

#define NO_CHUNK UINT64_MAX

/* --- opening ---------------------------------------------------------------------------------- */

/* Whether the table has the columns that are known here, in this order and without gaps. */
static bool is_packed(hid_t set)
{
    hid_t there = H5Dget_type(set), here = mni_row_type(MNI_ROW_WHOLE);
    bool packed = there >= 0 && here >= 0 && H5Tpack(here) >= 0 && H5Tequal(there, here) > 0;

    if (there >= 0)
        H5Tclose(there);
    if (here >= 0)
        H5Tclose(here);
    return packed;
}

/* The rows of a chunk; 0: chunks are not plain rows. */
static uint64_t chunk_rows(hid_t set)
{
    hid_t creation = H5Dget_create_plist(set);
    hsize_t rows = 0;

    if (creation < 0 || H5Pget_layout(creation) != H5D_CHUNKED || H5Pget_nfilters(creation) != 0 ||
        H5Pget_chunk(creation, 1, &rows) != 1)
        rows = 0;
    if (creation >= 0)
        H5Pclose(creation);
    return rows;
}

mni_raw_t *mni_raw_open(hid_t set)
{
    mni_raw_t *raw = calloc(1, sizeof *raw);

    if (raw == NULL)
        return NULL;
    raw->set = set;
    raw->chunk = NO_CHUNK;
    if (is_packed(set) && (raw->chunk_rows = chunk_rows(set)) > 0)
        raw->bytes = malloc(raw->chunk_rows * ROW_SIZE);
    if (raw->bytes == NULL) {
        mni_raw_close(raw);
        return NULL;
    }
    return raw;
}

void mni_raw_close(mni_raw_t *raw)
{
    if (raw == NULL)
        return;
    free(raw->bytes);
    free(raw);
}

/* --- reading ---------------------------------------------------------------------------------- */

bool mni_raw_damaged(const mni_raw_t *raw)
{
    return raw != NULL && raw->damaged;
}

/* The bytes of a row, and how many rows there are from there on in its chunk; NULL: it cannot be read so. */
static const char *row_bytes(mni_raw_t *raw, uint64_t row, uint64_t *count)
{
    uint64_t chunk = row / raw->chunk_rows, at = row % raw->chunk_rows;
    const hsize_t first = chunk * raw->chunk_rows;
    uint32_t filters = 0;

    if (chunk != raw->chunk) {
        haddr_t address = 0;
        hsize_t size = 0;
        raw->chunk = NO_CHUNK;
        raw->damaged =
            H5Dget_chunk_info_by_coord(raw->set, &first, &filters, &address, &size) < 0 ||
            size != raw->chunk_rows * ROW_SIZE ||
            H5Dread_chunk(raw->set, H5P_DEFAULT, &first, &filters, raw->bytes) < 0;
        if (raw->damaged)
            return NULL;
        raw->chunk = chunk;
    }
    if (*count > raw->chunk_rows - at)
        *count = raw->chunk_rows - at;
    return raw->bytes + at * ROW_SIZE;
}

static bool has_texts(const char *from)
{
    static const char none[REFERENCES];
    return memcmp(from + FRONT, none, sizeof none) != 0;
}

static void row_copy(const char *from, mni_row_t *to)
{
    memcpy(to, from, FRONT);
    to->error = to->lock = to->tag = to->key = to->message = NULL;
    memcpy((char *)to + BACK, from + FRONT + REFERENCES, BACK_SIZE);
}

int mni_raw_read(mni_raw_t *raw, uint64_t first, uint64_t count, mni_row_t *rows, bool *texts)
{
    *texts = false;
    for (uint64_t done = 0, piece; done < count; done += piece) {
        piece = count - done;
        const char *from = row_bytes(raw, first + done, &piece);
        if (from == NULL)
            return -1;
        for (uint64_t i = 0; i < piece; i++, from += ROW_SIZE) {
            row_copy(from, &rows[done + i]);
            *texts |= has_texts(from);
        }
    }
    return 0;
}

int mni_raw_created(mni_raw_t *raw, uint64_t count, double *created)
{
    for (uint64_t done = 0, piece; done < count; done += piece) {
        piece = count - done;
        const char *from = row_bytes(raw, done, &piece);
        if (from == NULL)
            return -1;
        for (uint64_t i = 0; i < piece; i++, from += ROW_SIZE)
            memcpy(&created[done + i], from + CREATED, sizeof *created);
    }
    return 0;
}
