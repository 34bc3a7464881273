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

/* What is copied for one map at most; a larger one goes part by part, so that its arguments do not lie in memory twice. */
#define MNI_MAP_PART ((size_t)256 << 20)

/* One open map, or part of one. */
typedef struct mni_map {
    struct mni_map *next; /* among the client's open maps */
    uint64_t number;      /* of its request */
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

    const uint8_t *results; /* fixed sizes: where they are in the arena */
} mni_map_t;

/* Takes a frame that came for a map (or a late reply). */
void mni_map_receive(mni_reader_t *reader);

/* More cannot lie in a process's memory. */
#define MNI_MAP_LIMIT ((size_t)1 << 47)

/* How a map is to be carried out. */
typedef struct mni_map_way {
    int declaration;
    bool per_item; /* errors are reported per item */
    size_t max_block;
    uint64_t base; /* number of the first item, in the whole that this is a part of; for messages */
} mni_map_way_t;

/* Whether a function can be mapped over values. */
int mni_map_check_function(int declaration);
/* How many of the values, which have been checked, make one part: at least one. */
uint64_t mni_map_values_part(const mn_value_t *arguments, uint64_t count);

/* Opens a map over values: packs the arguments and tells the worker. */
int mni_map_begin_values(const mni_map_way_t *way, const mn_value_t *arguments, uint64_t count,
                         mni_map_t **map);

/* What a map of fixed sizes maps; products of its sizes do not overflow. What lies in memory from mn_alloc() is not
 * copied. */
typedef struct mni_fixed {
    const void *arguments;
    size_t argument_size, count;
    void *results;
    size_t result_size;
} mni_fixed_t;

/* How many of the items make one part: at least one. */
uint64_t mni_map_fixed_part(const mni_fixed_t *fixed);
int mni_map_begin_fixed(const mni_map_way_t *way, const mni_fixed_t *fixed, mni_map_t **map);

/* Waits until the map has ended. Its code with its sentence; or the stop code, or that of a broken
 * channel. */
int mni_map_finish(mni_map_t *map);

/* Closes a map, with the worker if that still works on it, and frees it. NULL is fine. Keeps the
 * error sentence. */
void mni_map_close(mni_map_t *map);

/* Closes all maps and streams; frees all without telling the worker. */
void mni_map_close_all(void);
void mni_map_drop_all(void);

/* stream.c: frees the streams, whose maps are closed. */
void mni_streams_free(void);

/* Checks the values that a map or call is to be given. */
int mni_map_check_values(const mn_value_t *arguments, uint64_t count);

#endif
