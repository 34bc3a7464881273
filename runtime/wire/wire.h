/* SPDX-License-Identifier: MIT
 *
 * The codec of all messages: frames of a header and fields, written and read one after the other. Pure; any thread.
 *
 * A frame is {u32 size, u16 type, u16 zero, u64 request}, then its fields, little-endian. `size` counts the whole
 * frame. `request` pairs a reply with its request. The same frames travel through the rings of executors and
 * between ranks. Text is a u32 length (with its NUL; 0: NULL) and the bytes; a value is its type, dimensions and
 * size, then its bytes at a multiple of MNI_FRAME_ALIGN from the frame's start, so that a frame in aligned
 * memory can be handed to user code in place.
 *
 * Reading never fails in mid-way: after the first field that does not fit every further one is zero or NULL,
 * and mni_reader_end() says MN_E_PROTOCOL; so it does for trailing bytes. Views point into the frame.
 */
#ifndef MNI_WIRE_WIRE_H
#define MNI_WIRE_WIRE_H

#include "core/core.h"

#define MNI_FRAME_HEADER 16u
#define MNI_FRAME_ALIGN 16u

/* Builds frames in a buffer that grows and can be used again. Zero-initialized; free with mni_writer_fini(). */
typedef struct mni_writer {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
} mni_writer_t;

void mni_writer_begin(mni_writer_t *writer, uint16_t type, uint64_t request);
/* Finishes the frame: data and size are valid until the next begin. 0, MN_E_NO_MEMORY or MN_E_TOO_LARGE. */
int mni_writer_end(mni_writer_t *writer);
void mni_writer_fini(mni_writer_t *writer);

void mni_put_u8(mni_writer_t *writer, uint8_t number);
void mni_put_u32(mni_writer_t *writer, uint32_t number);
void mni_put_u64(mni_writer_t *writer, uint64_t number);
void mni_put_i32(mni_writer_t *writer, int32_t number);
void mni_put_f64(mni_writer_t *writer, double number);
void mni_put_text(mni_writer_t *writer, const char *text); /* NULL is fine */
void mni_put_id(mni_writer_t *writer, mn_id_t id);
void mni_put_bytes(mni_writer_t *writer, const void *data,
                   size_t size); /* size, then aligned bytes */
/* As mni_put_bytes(), but leaves the bytes to be filled: NULL when memory is out. */
void *mni_put_room(mni_writer_t *writer, size_t size);
void mni_put_value(mni_writer_t *writer, mn_value_t value);
void mni_put_cpus(mni_writer_t *writer, const mni_cpus_t *cpus);

typedef struct mni_reader {
    const uint8_t *start, *at, *end;
    bool failed;
    uint16_t type;
    uint64_t request;
} mni_reader_t;

/* Begins with a whole frame. MN_E_PROTOCOL when it is too short or its size field is not `size`. */
int mni_reader_begin(mni_reader_t *reader, const void *frame, size_t size);
/* Begins with what follows a header in a frame, kept without it at a multiple of 8. */
void mni_reader_body(mni_reader_t *reader, const void *body, size_t size);
/* 0 when every field was there and nothing is left over. */
int mni_reader_end(const mni_reader_t *reader);

uint8_t mni_get_u8(mni_reader_t *reader);
uint32_t mni_get_u32(mni_reader_t *reader);
uint64_t mni_get_u64(mni_reader_t *reader);
int32_t mni_get_i32(mni_reader_t *reader);
double mni_get_f64(mni_reader_t *reader);
const char *mni_get_text(mni_reader_t *reader); /* checked: ends with its only NUL */
mn_id_t mni_get_id(mni_reader_t *reader);
const void *mni_get_bytes(mni_reader_t *reader, size_t *size);
mn_value_t mni_get_value(mni_reader_t *reader); /* checked with mni_value_check() */
mni_cpus_t mni_get_cpus(mni_reader_t *reader);

/* Whether a value is well formed: known type, 0 to MN_MAX_DIMS dimensions whose product times the element size is
 * its size, data where there is size. MN_E_INVALID or MN_E_TOO_LARGE (over MN_MAX_VALUE) with a sentence. */
int mni_value_check(mn_value_t value);

/* Makes *value a value of bytes, for where that is done once an item. Compilers pass a value as copies of 16 bytes each, and
 * a processor can hand a load only what one store wrote: were these pieces stored field by field, each copy would wait
 * until the fields have left the store buffer, which costs more than a short item. So they are stored whole. */
static inline void mni_value_set_bytes(mn_value_t *value, const void *data, size_t size)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__LP64__)
    typedef uint64_t piece_t __attribute__((vector_size(16), aligned(8), may_alias));
    piece_t *pieces = (piece_t *)(void *)value;
    _Static_assert(sizeof *value == 56 && offsetof(mn_value_t, ndims) == 20,
                   "as it is taken apart");
    pieces[0] = (piece_t){(uintptr_t)data, size};
    pieces[1] = (piece_t){(uint64_t)MN_BYTES | UINT64_C(1) << 32, size}; /* type, ndims, dims[0] */
    pieces[2] = (piece_t){0, 0};
    value->dims[3] = 0;
#else
    *value = (mn_value_t){.data = data, .size = size, .type = MN_BYTES, .ndims = 1, .dims = {size}};
#endif
}

/* --- wire/pack.c: many values in one piece of memory --------------------------------------------------- */

/* A pack is `count` entries of MNI_PACK_ENTRY bytes, then the bytes of the values, each at a multiple of
 * MNI_FRAME_ALIGN; offsets count from the pack's start. It may lie in memory that user code can scribble over:
 * entries are copied before they are checked. */
#define MNI_PACK_ENTRY 56u

/* Bytes of a pack before any value's bytes. */
size_t mni_pack_header(size_t count);
/* Bytes that a value adds behind a pack of `size` bytes (with the gap for alignment). */
size_t mni_pack_grow(size_t size, mn_value_t value);
/* Sets entry `index` and copies the bytes behind the pack's present `size` (at least the header; the room is the
 * caller's to have). Returns the new size. */
size_t mni_pack_put(void *pack, size_t size, size_t index, mn_value_t value);
/* Reads an entry of a pack of `size` bytes: a view. MN_E_PROTOCOL if it does not lie inside. */
int mni_pack_get(const void *pack, size_t size, size_t count, size_t index, mn_value_t *value);

#endif
