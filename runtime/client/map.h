/* SPDX-License-Identifier: MIT
 *
 * Maps that this process has open as a caller: shared by mn_map_*(), mn_call() and the streams.
 * Arguments lie in an extent of the caller's arena until the worker is done with the map. All of it
 * under the client's lock.
 */
#ifndef MNI_CLIENT_MAP_H
#define MNI_CLIENT_MAP_H

#include "core/declare.h"
#include "wire/message.h"

typedef enum mni_item_state {
    MNI_ITEM_OPEN = 0,
    MNI_ITEM_READY,  /* its result is in `values` */
    MNI_ITEM_FAILED, /* its error is in `faults` */
    MNI_ITEM_TAKEN   /* mn_map_next() has given it out */
} mni_item_state_t;

/* One open map; a stream is one, too. */
struct mn_map_stream {
    struct mn_map_stream *next; /* among the client's open maps */
    uint64_t number;            /* of its request */
    uint64_t count;
    bool by_value;
    bool has_extent;
    size_t offset; /* of its extent */
    bool has_user; /* results go to an extent of mn_alloc(), at user_offset */
    size_t user_offset;
    bool sent;  /* the worker knows it */
    bool done;  /* nothing more comes from the worker, which has let go of the extent */
    bool ended; /* over: `code` says how */
    int code;
    uint64_t failed;    /* index of the item that failed the map; `count` or more: none did */
    char *message;      /* NULL when code is 0 */
    mn_value_t *values; /* by value: results that have come, owned */
    uint8_t *states; /* mni_item_state_t; NULL while no item of a map of fixed sizes has failed */
    mn_item_error_t *faults; /* per item, NULL while none has failed */

    const uint8_t *results;  /* fixed sizes: where they are in the arena */
    uint64_t at;             /* stream: the item that is given next */
    mn_item_error_t *errors; /* stream: the caller's, or NULL */
};

typedef struct mn_map_stream mni_map_t;

/* Takes a frame that came for a map (or a late reply). */
void mni_map_receive(mni_reader_t *reader);

/* Opens a map over values: packs the arguments and tells the worker. */
int mni_map_begin_values(int declaration, const mn_value_t *arguments, uint64_t count,
                         bool per_item, size_t max_block, mni_map_t **map);

/* What a map of fixed sizes maps; products of its sizes do not overflow. What lies in memory from mn_alloc() is not
 * copied. */
typedef struct mni_fixed {
    const void *arguments;
    size_t argument_size, count;
    void *results;
    size_t result_size;
} mni_fixed_t;

int mni_map_begin_fixed(int declaration, const mni_fixed_t *fixed, bool per_item, size_t max_block,
                        mni_map_t **map);

/* Waits until the map has ended. Its code with its sentence; or the stop code, or that of a broken
 * channel. */
int mni_map_finish(mni_map_t *map);

/* Closes a map, with the worker if that still works on it, and frees it. NULL is fine. Keeps the
 * error sentence. */
void mni_map_close(mni_map_t *map);

/* Closes all maps; frees all without telling the worker. */
void mni_map_close_all(void);
void mni_map_drop_all(void);

/* Checks the values that a map or call is to be given. */
int mni_map_check_values(const mn_value_t *arguments, uint64_t count);

#endif
