/* SPDX-License-Identifier: MIT
 *
 * Between child.c and process.c: what a new executor tells about itself.
 */
#ifndef MNI_EXECUTOR_PROCESS_PRIVATE_H
#define MNI_EXECUTOR_PROCESS_PRIVATE_H

/* These descriptors are pipes to the spawner, which mni_process_drain_output() waits for. Keeps
 * copies of them, since user code may put something else in their place. */
void mni_process_set_streams(int out, int err);

#endif
