/* SPDX-License-Identifier: MIT
 *
 * How a journal lies in its file, for the two files that write and read it. All numbers are little-endian, everything is at a
 * multiple of 8 bytes.
 *
 *     header   magic[8], u32 format, u32 bytes of the header, store[16], u64 number of the first record, zeros, u64 checksum
 *     record   u32 mark, u32 type, u64 size, u64 number, u64 checksum, then the bytes, then zeros to a multiple of 8
 *
 * Checksums are XXH3 (64 bits). That of a record is over its first 24 bytes and its data, and seeded with the header's, so that
 * bytes of some other journal, which may well be in somebody's data, are no records here.
 *
 * A group is one write, and of one that was not synced a power loss may leave any part. A group is written when the one before
 * it is on the disk: so behind something damaged either another group begins, or a seal says that this one was synced, and then
 * it is damage; or neither, and it is the torn end, with all that is behind it.
 */
#ifndef MNI_STORE_JOURNAL_FORMAT_H
#define MNI_STORE_JOURNAL_FORMAT_H

#include "store/journal.h"

#include <endian.h>
#include <string.h>
#include <xxhash.h>

#define MNI_JOURNAL_MARK UINT32_C(0x4c4e524a) /* "JRNL" */
/* Types of the file's own, from format 3 on: the bit of a record that begins a group; the seal behind a group that is on the disk,
 * with the number of the group's last record. A seal may have data: the number of a record, and the first 16 bytes of its data and
 * of those that follow it, one after the other (zeros where a record is shorter). */
#define MNI_JOURNAL_GROUP UINT32_C(0x80000000)
#define MNI_JOURNAL_SEAL UINT32_C(0x7fffffff)
/* What a seal says is at least so far behind the records that it says it of: damage that is no longer leaves one of the two. */
#define MNI_JOURNAL_APART UINT64_C(8192)
static const uint8_t mni_journal_magic[8] = {0x89, 0x4d, 0x4e, 0x4a, 0x0d, 0x0a, 0x1a, 0x0a};

static inline void store_u32(uint8_t *at, uint32_t number)
{
    number = htole32(number);
    memcpy(at, &number, sizeof number);
}

static inline void store_u64(uint8_t *at, uint64_t number)
{
    number = htole64(number);
    memcpy(at, &number, sizeof number);
}

static inline uint32_t load_u32(const uint8_t *at)
{
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return le32toh(number);
}

static inline uint64_t load_u64(const uint8_t *at)
{
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return le64toh(number);
}

static inline uint64_t padded(uint64_t size)
{
    return (size + 7) / 8 * 8;
}

static inline uint64_t checksum(uint64_t seed, const uint8_t *record, const void *data, size_t size)
{
    return XXH3_64bits_withSeed(data, size, XXH3_64bits_withSeed(record, 24, seed));
}

#endif
