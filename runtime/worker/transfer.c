/* SPDX-License-Identifier: MIT
 *
 * Payloads that MPI sends from and receives into the memory of channels. Each holds its channel, so that the memory is there
 * when the process that it belongs to has gone; and when the rank at the other end is lost, the addresses are
 * set aside for good with the channel, or with the view of it that only this rank's payloads are received into.
 */
#include "worker/internal.h"

mni_transfer_t *mni_transfer_begin(mni_worker_t *worker, mni_channel_t *channel, uint32_t rank,
                                   const uint8_t *at)
{
    mni_transfer_t *transfer = malloc(sizeof *transfer);
    if (!transfer)
        return NULL;
    *transfer = (mni_transfer_t){.worker = worker, .channel = channel, .rank = rank, .at = at};
    mni_channel_hold(channel);
    return transfer;
}

void mni_transfer_undo(mni_transfer_t *transfer)
{
    mni_transfer_done(transfer, false);
}

void mni_transfer_done(void *argument, bool lost)
{
    mni_transfer_t *transfer = argument;
    mni_executor_t *executor = transfer->executor;

    if (lost && transfer->view)
        mni_channel_taint_view(transfer->channel, transfer->rank);
    else if (lost)
        mni_channel_taint(transfer->channel);
    if (executor && executor->sending == transfer)
        mni_block_sent(transfer);
    else if (executor && executor->receiving == transfer)
        mni_block_unexpect(transfer, lost);
    mni_channel_destroy(transfer->channel);
    free(transfer);
}
