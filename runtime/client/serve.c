/* SPDX-License-Identifier: MIT
 *
 * What the processes of the runtime do: executors serve tasks until EXIT, the driver runs the
 * driver once, an embedded rank 0 only opens a client. Their main threads.
 *
 * One task at a time: RUN or BLOCK, user code, what it left behind is cleared away, its output is
 * in the log areas, the process is put back as it was, FINISHED. Nothing of that is done per item.
 */
#include "client/client.h"

#include "client/call.h"
#include "client/task.h"
#include "executor/process.h"
#include "util/clock.h"
#include "util/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OpenMP has read OMP_NUM_THREADS when the program was loaded; if it is there it is told. */
extern void omp_set_num_threads(int threads) __attribute__((weak));

#define THREADS_VARIABLE "OMP_NUM_THREADS"

/* For OpenMP programs that a task starts: a place is a core of those that it is bound to. That each thread stays on one of
 * them is not asked for: of several such programs at a time all would take the first. */
#define PLACES_VARIABLE "OMP_PLACES"
#define BINDING_VARIABLE "OMP_PROC_BIND"

/* What CUDA and ROCm may see. The others choose among these: what somebody has chosen among all means nothing here. */
static const char *const visible_variables[] = {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"};
static const char *const chosen_variables[] = {"HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"};

static mn_driver_t *driver_main;
static int driver_argc;
static char **driver_argv;

void mni_client_set_driver(mn_driver_t *driver, int argc, char **argv)
{
    driver_main = driver;
    driver_argc = argc;
    driver_argv = argv;
}

int mni_client_open(mni_channel_t *channel, mn_task_t **task)
{
    int rc = mni_call_open(channel, true);
    if (rc < 0)
        return rc;
    mni_task_set_driver();
    *task = &mni_task;
    return 0;
}

void mni_client_close(void)
{
    if (!mni_client.channel)
        return;
    mni_task_end();
    mni_call_close();
}

/* --- one task
 * ------------------------------------------------------------------------------------------ */

static void set_threads_variable(uint32_t threads)
{
    char text[16];
    const char *present = getenv(THREADS_VARIABLE);
    snprintf(text, sizeof text, "%u", threads);
    if (!present || strcmp(present, text) != 0)
        setenv(THREADS_VARIABLE, text, 1);
}

/* Once for a process: these libraries look when they are first used, and an executor is kept for the same GPUs only. */
static void grant_gpus(mni_channel_t *channel)
{
    const mni_control_t *control = mni_channel_control(channel);

    if (!control->has_gpus)
        return;
    for (size_t i = 0; i < 2; i++) {
        setenv(visible_variables[i], control->gpus, 1);
        unsetenv(chosen_variables[i]);
    }
}

static void grant_threads(uint32_t threads)
{
    if (threads == 0)
        threads = 1;
    set_threads_variable(threads);
    if (omp_set_num_threads)
        omp_set_num_threads((int)threads);
}

/* Reports the task that has ended, with the process put back. */
static int finish(mni_msg_finished_t *finished, const mni_declaration_t *declaration)
{
    mni_task_end();
    finished->cpu_time = mni_usage_end();
    bool drained = mni_process_drain_output(mni_client.channel);
    /* As it was when the process was remembered, so that no environment has to be put back for our
     * own change. */
    set_threads_variable(1);
    finished->again = mni_process_restore() == 0 && drained &&
                      mni_channel_is_sound(mni_client.channel) &&
                      !(declaration && declaration->fresh);
    mni_put_finished(mni_call_begin(MNI_MSG_FINISHED, NULL), finished);
    return mni_call_send();
}

/* Reports a task that could not begin. */
static int refuse(int code)
{
    char text[MNI_ERROR_MAX];
    snprintf(text, sizeof text, "%s", mn_error_message());
    return finish(&(mni_msg_finished_t){.code = code, .reason = MN_REASON_ERROR, .message = text},
                  NULL);
}

/* A service's port: chosen or checked, and told to the worker with the host. */
static int open_port(mni_msg_run_t *run, const char *name)
{
    char address[MNI_ADDRESS_ROOM];
    unsigned port = 0;
    int rc = mni_port_choose(name, run->port, &port);
    if (rc < 0)
        return rc;
    run->port = port;
    mni_port_address(port, address);
    mni_writer_t *writer = mni_call_begin(MNI_MSG_TASK_ADDRESS, NULL);
    mni_put_u64(writer, run->task);
    mni_put_text(writer, address);
    return mni_call_send();
}

/* Runs an attempt of a job or a service. Input and last yield are views into the frame. */
static int run_task(mni_reader_t *reader)
{
    mni_msg_finished_t finished = {0};
    mni_msg_run_t run = mni_get_run(reader);
    const mni_declaration_t *declaration = mni_declaration_get(run.declaration);
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return refuse(rc);
    if (!declaration || declaration->kind != (mn_kind_t)run.kind || run.kind == MN_KIND_FUNCTION)
        return refuse(mni_error(MN_E_UNDECLARED,
                                "declaration %u of kind %u does not exist in this program",
                                run.declaration, run.kind));
    if (run.kind == MN_KIND_SERVICE && (rc = open_port(&run, declaration->name)) < 0)
        return refuse(rc);
    mni_usage_begin();
    mni_task_set_run(&run, declaration);
    grant_threads(run.threads);
    mni_process_enter_code();
    int returned = declaration->entry(&mni_task, run.input);
    mni_process_leave_code();
    mni_task_outcome(returned, &finished);
    return finish(&finished, declaration);
}

/* The channel's frame is gone with the first reply that the task waits for, so it is copied. */
static int run_frame(const void *frame, size_t size)
{
    mni_reader_t reader;
    void *copy = malloc(size);
    if (!copy)
        return refuse(mni_error(MN_E_NO_MEMORY, "no memory for an input of %zu bytes", size));
    memcpy(copy, frame, size);
    int rc = mni_reader_begin(&reader, copy, size);
    if (rc == 0)
        rc = run_task(&reader);
    free(copy);
    return rc;
}

static int block_frame(mni_reader_t *reader)
{
    mni_msg_finished_t finished;
    mni_msg_block_t block = mni_get_block(reader);
    const mni_declaration_t *declaration = mni_declaration_get(block.declaration);
    int rc = mni_reader_end(reader);

    if (rc < 0)
        return refuse(rc);
    if (!declaration || declaration->kind != MN_KIND_FUNCTION)
        return refuse(mni_error(MN_E_UNDECLARED, "function %u does not exist in this program",
                                block.declaration));
    mni_usage_begin();
    mni_task_set_block(&block, declaration);
    grant_threads(block.threads);
    mni_block_run(&block, declaration, &finished);
    return finish(&finished, declaration);
}

/* --- loops
 * --------------------------------------------------------------------------------------------- */

static int say_ready(void)
{
    mni_call_begin(MNI_MSG_READY, NULL);
    return mni_call_send();
}

/* The next frame, waited for. 1, or the error of the channel. */
static int next_frame(mni_reader_t *reader, const void **frame, size_t *size)
{
    int rc;
    while ((rc = mni_channel_receive(mni_client.channel, frame, size)) == 0)
        mni_channel_wait(mni_client.channel, MNI_NEVER);
    if (rc == 1 && mni_reader_begin(reader, *frame, *size) < 0)
        rc = MN_E_PROTOCOL;
    return rc;
}

int mni_client_serve(mni_channel_t *channel)
{
    mni_reader_t reader;
    const void *frame;
    size_t size;

    set_threads_variable(1);
    setenv(PLACES_VARIABLE, "cores", 0);
    setenv(BINDING_VARIABLE, "false", 0);
    grant_gpus(channel);
    mni_usage_open();
    if (mni_process_remember() < 0 || mni_call_open(channel, false) < 0)
        return 1;
    int rc = say_ready();
    while (rc >= 0 && !mni_client.exiting) {
        rc = next_frame(&reader, &frame, &size);
        if (rc < 0)
            break;
        if (reader.type == MNI_MSG_RUN)
            rc = run_frame(frame, size);
        else if (reader.type == MNI_MSG_BLOCK)
            rc = block_frame(&reader);
        else
            mni_call_dispatch(&reader);
    }
    if (rc < 0)
        mni_channel_give_up(channel); /* so that it is not taken for an exit of user code */
    mni_call_close();
    return rc < 0 ? 1 : 0;
}

/* Waits for the RUN of the driver. 1: it has come; 0: EXIT came instead. */
static int wait_for_run(void)
{
    mni_reader_t reader;
    const void *frame;
    size_t size;
    int rc = 1;
    while (!mni_client.exiting && (rc = next_frame(&reader, &frame, &size)) == 1) {
        if (reader.type != MNI_MSG_RUN) {
            mni_call_dispatch(&reader);
            continue;
        }
        mni_msg_run_t run = mni_get_run(&reader);
        rc = mni_reader_end(&reader);
        if (rc == 0 && run.kind != 0)
            rc = mni_error(MN_E_PROTOCOL, "the driver's process was told to run something else");
        return rc < 0 ? rc : 1;
    }
    return rc < 0 ? rc : 0;
}

int mni_client_drive(mni_channel_t *channel)
{
    mn_task_t *task;
    int status = 1;

    if (!driver_main || mni_client_open(channel, &task) < 0)
        return 1;
    int rc = say_ready();
    if (rc == 0)
        rc = wait_for_run();
    if (rc == 1)
        status = driver_main(task, driver_argc, driver_argv) & 0xff;
    else if (rc == 0)
        status = 0;
    mni_client_close();
    return status;
}
