/* SPDX-License-Identifier: MIT
 *
 * The codec of all messages.
 */
#include "wire/wire.h"

#include "util/error.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "fields are copied as they are in memory");

/* Largest frame that can be written: its size is a u32. */
#define FRAME_LIMIT ((size_t)UINT32_MAX)

static size_t align_up(size_t size)
{
    return (size + MNI_FRAME_ALIGN - 1) / MNI_FRAME_ALIGN * MNI_FRAME_ALIGN;
}

/* Room for `size` more bytes, or NULL. */
static uint8_t *writer_room(mni_writer_t *writer, size_t size)
{
    if (writer->failed)
        return NULL;
    if (size > FRAME_LIMIT - writer->size) {
        writer->failed = true;
        return NULL;
    }
    if (writer->size + size > writer->capacity) {
        size_t capacity = writer->capacity ? writer->capacity : 256;
        while (capacity < writer->size + size)
            capacity *= 2;
        uint8_t *data = realloc(writer->data, capacity);
        if (!data) {
            writer->failed = true;
            return NULL;
        }
        writer->data = data;
        writer->capacity = capacity;
    }
    uint8_t *room = writer->data + writer->size;
    writer->size += size;
    return room;
}

static void put(mni_writer_t *writer, const void *field, size_t size)
{
    uint8_t *room = writer_room(writer, size);
    if (room && size > 0)
        memcpy(room, field, size);
}

void mni_writer_begin(mni_writer_t *writer, uint16_t type, uint64_t request)
{
    writer->size = 0;
    writer->failed = false;
    mni_put_u32(writer, 0);
    put(writer, &type, sizeof type);
    put(writer, &(uint16_t){0}, sizeof(uint16_t));
    mni_put_u64(writer, request);
}

int mni_writer_end(mni_writer_t *writer)
{
    if (writer->failed)
        return writer->size > FRAME_LIMIT / 2
                   ? mni_error(MN_E_TOO_LARGE, "a message of over 4 GiB")
                   : mni_error(MN_E_NO_MEMORY, "no memory for a message");
    uint32_t size = (uint32_t)writer->size;
    memcpy(writer->data, &size, sizeof size);
    return 0;
}

void mni_writer_fini(mni_writer_t *writer)
{
    free(writer->data);
    *writer = (mni_writer_t){0};
}

void mni_put_u8(mni_writer_t *writer, uint8_t number)
{
    put(writer, &number, sizeof number);
}

void mni_put_u32(mni_writer_t *writer, uint32_t number)
{
    put(writer, &number, sizeof number);
}

void mni_put_u64(mni_writer_t *writer, uint64_t number)
{
    put(writer, &number, sizeof number);
}

void mni_put_i32(mni_writer_t *writer, int32_t number)
{
    put(writer, &number, sizeof number);
}

void mni_put_f64(mni_writer_t *writer, double number)
{
    put(writer, &number, sizeof number);
}

void mni_put_text(mni_writer_t *writer, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    if (size > FRAME_LIMIT)
        writer->failed = true;
    mni_put_u32(writer, (uint32_t)size);
    put(writer, text, size);
}

void mni_put_id(mni_writer_t *writer, mn_id_t id)
{
    put(writer, id.bytes, sizeof id.bytes);
}

void *mni_put_room(mni_writer_t *writer, size_t size)
{
    mni_put_u64(writer, size);
    size_t gap = align_up(writer->size) - writer->size;
    uint8_t *room = writer_room(writer, gap);
    if (room)
        memset(room, 0, gap);
    return writer_room(writer, size);
}

void mni_put_bytes(mni_writer_t *writer, const void *data, size_t size)
{
    void *room = mni_put_room(writer, size);
    if (room && size > 0)
        memcpy(room, data, size);
}

void mni_put_value(mni_writer_t *writer, mn_value_t value)
{
    mni_put_u8(writer, (uint8_t)value.type);
    mni_put_u8(writer, (uint8_t)value.ndims);
    for (unsigned i = 0; i < value.ndims && i < MN_MAX_DIMS; i++)
        mni_put_u64(writer, value.dims[i]);
    mni_put_bytes(writer, value.data, value.size);
}

void mni_put_cpus(mni_writer_t *writer, const mni_cpus_t *cpus)
{
    uint32_t words = MNI_MAX_CORES / 64;
    while (words > 0 && cpus->bits[words - 1] == 0)
        words--;
    mni_put_u8(writer, (uint8_t)words);
    put(writer, cpus->bits, words * sizeof(uint64_t));
}

int mni_reader_begin(mni_reader_t *reader, const void *frame, size_t size)
{
    uint32_t stated = 0;
    *reader = (mni_reader_t){.start = frame, .at = frame, .end = (const uint8_t *)frame + size};
    if (size < MNI_FRAME_HEADER) {
        reader->failed = true;
        return mni_error(MN_E_PROTOCOL, "a message of %zu bytes is shorter than its header", size);
    }
    memcpy(&stated, reader->at, sizeof stated);
    memcpy(&reader->type, reader->at + 4, sizeof reader->type);
    memcpy(&reader->request, reader->at + 8, sizeof reader->request);
    reader->at += MNI_FRAME_HEADER;
    if (stated != size) {
        reader->failed = true;
        return mni_error(MN_E_PROTOCOL, "a message of %zu bytes says that it has %u", size, stated);
    }
    return 0;
}

void mni_reader_body(mni_reader_t *reader, const void *body, size_t size)
{
    const uint8_t *at = body;
    *reader = (mni_reader_t){
        .start = (const uint8_t *)((uintptr_t)at - MNI_FRAME_HEADER), .at = at, .end = at + size};
}

int mni_reader_end(const mni_reader_t *reader)
{
    if (reader->failed)
        return mni_error(MN_E_PROTOCOL, "a message of type %u is malformed", reader->type);
    if (reader->at != reader->end)
        return mni_error(MN_E_PROTOCOL, "a message of type %u has %zu bytes too many", reader->type,
                         (size_t)(reader->end - reader->at));
    return 0;
}

/* The next `size` bytes, or NULL. */
static const uint8_t *take(mni_reader_t *reader, size_t size)
{
    if (reader->failed || size > (size_t)(reader->end - reader->at)) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at += size;
    return at;
}

#define DEFINE_GET(name, type)                           \
    type mni_get_##name(mni_reader_t *reader)            \
    {                                                    \
        type number = 0;                                 \
        const uint8_t *at = take(reader, sizeof number); \
        if (at)                                          \
            memcpy(&number, at, sizeof number);          \
        return number;                                   \
    }

DEFINE_GET(u8, uint8_t)
DEFINE_GET(u32, uint32_t)
DEFINE_GET(u64, uint64_t)
DEFINE_GET(i32, int32_t)
DEFINE_GET(f64, double)

const char *mni_get_text(mni_reader_t *reader)
{
    uint32_t size = mni_get_u32(reader);
    if (size == 0)
        return NULL;
    const uint8_t *at = take(reader, size);
    if (at && memchr(at, 0, size) != at + size - 1) {
        reader->failed = true;
        return NULL;
    }
    return (const char *)at;
}

mn_id_t mni_get_id(mni_reader_t *reader)
{
    mn_id_t id = {{0}};
    const uint8_t *at = take(reader, sizeof id.bytes);
    if (at)
        memcpy(id.bytes, at, sizeof id.bytes);
    return id;
}

const void *mni_get_bytes(mni_reader_t *reader, size_t *size)
{
    *size = 0;
    uint64_t stated = mni_get_u64(reader);
    size_t offset = (size_t)(reader->at - reader->start);
    if (!take(reader, align_up(offset) - offset))
        return NULL;
    const uint8_t *at = take(reader, stated);
    if (at)
        *size = stated;
    return at;
}

mn_value_t mni_get_value(mni_reader_t *reader)
{
    mn_value_t value = {.type = (mn_type_t)mni_get_u8(reader), .ndims = mni_get_u8(reader)};
    if (value.ndims > MN_MAX_DIMS)
        reader->failed = true;
    for (unsigned i = 0; i < value.ndims && i < MN_MAX_DIMS; i++)
        value.dims[i] = mni_get_u64(reader);
    value.data = mni_get_bytes(reader, &value.size);
    if (!reader->failed && mni_value_check(value) < 0)
        reader->failed = true;
    return reader->failed ? mn_none() : value;
}

mni_cpus_t mni_get_cpus(mni_reader_t *reader)
{
    mni_cpus_t cpus = {{0}};
    uint8_t words = mni_get_u8(reader);
    if (words > MNI_MAX_CORES / 64)
        reader->failed = true;
    const uint8_t *at = take(reader, words * sizeof(uint64_t));
    if (at)
        memcpy(cpus.bits, at, words * sizeof(uint64_t));
    return cpus;
}
