/* SPDX-License-Identifier: MIT
 *
 * The client side of the public API: what user code calls turns into frames on the channel of its process. One
 * client exists per process (executor, driver, or an embedded rank 0).
 */
#ifndef MNI_CLIENT_CLIENT_H
#define MNI_CLIENT_CLIENT_H

#include "executor/channel.h"

/* What an executor process does (a mni_child_main_t): says READY, then serves RUN and BLOCK until EXIT.
 * Returns the exit status. */
int mni_client_serve(mni_channel_t *channel);

/* What the driver process does (a mni_child_main_t): says READY, waits for RUN with kind 0, runs the driver given
 * here before the spawner was forked. Returns its exit status. */
void mni_client_set_driver(mn_driver_t *driver, int argc, char **argv);
int mni_client_drive(mni_channel_t *channel);

/* Embedded rank 0: makes the calling process a client over `channel` (joined, with a pump). *task is its handle,
 * called "driver"; valid until mni_client_close(). */
int mni_client_open(mni_channel_t *channel, mn_task_t **task);
void mni_client_close(void);

#endif
