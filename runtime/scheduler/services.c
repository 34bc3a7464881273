/* SPDX-License-Identifier: MIT
 *
 * Services: begun with the run on rank 0's node, started again with growing pauses when they end, stopped at its
 * end. They take part in no queue.
 */
#include "scheduler/internal.h"

#include <stdio.h>

#define FIRST_PAUSE 0.1 /* seconds before a service is started again */
#define LONGEST_PAUSE 30.0
#define STEADY_TIME 60.0 /* after that long a run counts as good: pauses begin anew */

int mni_services_create(mni_scheduler_t *scheduler)
{
    uint32_t count = mni_declaration_count();
    scheduler->services = calloc(count + 1, sizeof *scheduler->services);
    if (!scheduler->services)
        return mni_error(MN_E_NO_MEMORY, "no memory for services");
    for (uint32_t i = 0; i < count; i++) {
        if (mni_declaration_get(i)->kind != MN_KIND_SERVICE)
            continue;
        mni_service_t *service = &scheduler->services[scheduler->service_count];
        *service = (mni_service_t){.declaration = i,
                                   .task = MNI_TASK_SERVICES + scheduler->service_count,
                                   .pause = FIRST_PAUSE};
        scheduler->service_count++;
    }
    return 0;
}

void mni_services_destroy(mni_scheduler_t *scheduler)
{
    for (uint32_t i = 0; i < scheduler->service_count; i++)
        mni_textlog_fini(&scheduler->services[i].log);
    free(scheduler->services);
}

static void service_start(mni_scheduler_t *scheduler, uint64_t now, mni_service_t *service)
{
    const mni_declaration_t *declared = mni_declaration_get(service->declaration);
    mni_msg_run_t run = {.kind = MN_KIND_SERVICE,
                         .declaration = service->declaration,
                         .task = service->task,
                         .attempt = ++service->attempts,
                         .memory = declared->need.memory,
                         .threads = 1,
                         .port = declared->port};
    service->running = true;
    service->address[0] = '\0';
    service->started = now;
    scheduler->services_running++;
    mni_writer_begin(&scheduler->frame, MNI_MSG_TASK_RUN, 0);
    mni_put_run(&scheduler->frame, &run);
    mni_scheduler_send(scheduler, 0);
}

void mni_services_step(mni_scheduler_t *scheduler, uint64_t now)
{
    if (scheduler->phase != MNI_PHASE_RUN)
        return;
    for (uint32_t i = 0; i < scheduler->service_count; i++) {
        mni_service_t *service = &scheduler->services[i];
        if (!service->running && now >= service->start_at)
            service_start(scheduler, now, service);
    }
}

uint64_t mni_services_next_time(const mni_scheduler_t *scheduler)
{
    uint64_t next = MNI_NEVER;
    if (scheduler->phase != MNI_PHASE_RUN)
        return next;
    for (uint32_t i = 0; i < scheduler->service_count; i++)
        if (!scheduler->services[i].running && scheduler->services[i].start_at < next)
            next = scheduler->services[i].start_at;
    return next;
}

void mni_services_stop(mni_scheduler_t *scheduler, bool kill)
{
    for (uint32_t i = 0; i < scheduler->service_count; i++) {
        if (!scheduler->services[i].running)
            continue;
        mni_writer_begin(&scheduler->frame, kill ? MNI_MSG_TASK_KILL : MNI_MSG_TASK_STOP, 0);
        mni_put_u64(&scheduler->frame, scheduler->services[i].task);
        if (kill)
            mni_put_u8(&scheduler->frame, MN_REASON_KILLED);
        else
            mni_put_i32(&scheduler->frame, MN_E_INTERRUPTED);
        mni_scheduler_send(scheduler, 0);
    }
}

void mni_service_ended(mni_scheduler_t *scheduler, uint64_t now, const mni_msg_ended_t *ended)
{
    uint64_t index = ended->task - MNI_TASK_SERVICES;
    if (index >= scheduler->service_count || !scheduler->services[index].running)
        return;
    mni_service_t *service = &scheduler->services[index];
    service->running = false;
    service->address[0] = '\0';
    scheduler->services_running--;
    if ((double)(now - service->started) * 1e-9 > STEADY_TIME)
        service->pause = FIRST_PAUSE;
    service->start_at = mni_clock_after(now, service->pause);
    service->pause = service->pause * 2 < LONGEST_PAUSE ? service->pause * 2 : LONGEST_PAUSE;
}

void mni_service_address(mni_scheduler_t *scheduler, uint64_t task, const char *address)
{
    uint64_t index = task - MNI_TASK_SERVICES;
    if (index < scheduler->service_count && scheduler->services[index].running)
        snprintf(scheduler->services[index].address, sizeof scheduler->services[index].address,
                 "%s", address ? address : "");
}
