/* SPDX-License-Identifier: MIT
 *
 * Where those outside are served: requests of any thread go to the scheduler over one channel, and what it answers comes back by
 * a call. A thread of its own takes the answers. Nobody waits for anybody here, but for room in the channel.
 */
#ifndef MNI_SERVICE_DESK_H
#define MNI_SERVICE_DESK_H

#include "executor/channel.h"
#include "wire/wire.h"

typedef struct mni_desk mni_desk_t;

/* The answer to a request: a REPLY, valid during the call; or NULL, when there will be none because the runtime ends. In the
 * desk's thread, or in that of mni_desk_ask() or mni_desk_shut(). Must not block. */
typedef void mni_desk_answer_t(void *argument, const void *frame, size_t size);

/* `channel` is a client's end and stays the caller's. MN_E_NO_MEMORY, MN_E_SYSTEM. */
int mni_desk_open(mni_channel_t *channel, mni_desk_t **desk);

/* Sends the frame that `writer` has, whatever request number it was begun with; `answer` is called exactly once, perhaps before
 * this returns. */
void mni_desk_ask(mni_desk_t *desk, mni_writer_t *writer, mni_desk_answer_t *answer,
                  void *argument);

/* How many requests have not been answered. */
size_t mni_desk_waiting(mni_desk_t *desk);

/* From now on nothing is asked: whatever was is answered with NULL, and the thread ends. */
void mni_desk_shut(mni_desk_t *desk);
void mni_desk_close(mni_desk_t *desk); /* shuts it first; NULL is fine */

#endif
