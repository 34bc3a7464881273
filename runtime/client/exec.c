/* SPDX-License-Identifier: MIT
 *
 * The job "exec": a program from its beginning to its end. See exec.h.
 */
#include "client/exec.h"

#include "client/call.h"
#include "client/task.h"
#include "core/declare.h"
#include "executor/process.h"
#include "service/json.h"
#include "util/clock.h"
#include "util/error.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* A ring that is lost delays what it was for by this at most. */
#define LONGEST_SLEEP MNI_SECOND

#define OUTPUT_KEPT MNI_LOG_PART /* the end of standard output that is part of the result */

typedef struct run {
    mn_task_t *task;
    mni_exec_record_t record;
    mni_exec_talk_t talk;
    pid_t pid;
    int status; /* as wait() has it */
    int told; /* the code with which the task was to stop when the program was told; 0: it was not */
} run_t;

/* --- while it runs ---------------------------------------------------------------------------- */

static void on_signal(int number)
{
    (void)number;
    mni_doorbell_ring(&mni_client.control->bell);
}

/* For good: this process runs nothing else. */
static void hear_signals(void)
{
    static bool done;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (done)
        return;
    done = true;
    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
    sigaction(SIGIO, &action, NULL);
}

/* Asks the program, and what it has started in its group, to stop. */
static void tell(run_t *run, int code)
{
    run->told = code;
    kill(-run->pid, SIGTERM);
    kill(-run->pid, SIGCONT); /* one that is stopped would not hear of it */
}

static int follow(run_t *run)
{
    mni_doorbell_t *bell = &mni_client.control->bell;

    for (;;) {
        uint32_t seen = mni_doorbell_seen(bell);
        int stop = mni_call_stop();
        pid_t ended = waitpid(run->pid, &run->status, WNOHANG);
        mni_exec_talk_take(&run->talk);
        if (ended == run->pid)
            break;
        if (ended < 0 && errno != EINTR)
            return mni_error_errno("exec: cannot wait for the program");
        if (stop != 0 && run->told == 0)
            tell(run, stop);
        else
            mni_doorbell_sleep(bell, seen, LONGEST_SLEEP);
    }
    mni_exec_talk_end(&run->talk);
    return 0;
}

/* --- what became of it ------------------------------------------------------------------------ */

static void describe(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}

/* The last bytes of standard output, from the beginning of a line if not all is there. */
static size_t read_output(char *text)
{
    const mni_log_area_t *log = mni_channel_log(mni_client.channel, MN_STDOUT);
    uint64_t total = __atomic_load_n(&log->total, __ATOMIC_ACQUIRE);
    uint64_t first = total > OUTPUT_KEPT ? total - OUTPUT_KEPT : 0;
    size_t size = (size_t)(total - first);

    for (size_t i = 0; i < size; i++) {
        uint64_t at = first + i;
        text[i] = at < MNI_LOG_PART ? log->head[at] : log->tail[(at - MNI_LOG_PART) % MNI_LOG_PART];
    }
    const char *newline = first > 0 ? memchr(text, '\n', size) : NULL;
    if (newline) {
        size -= (size_t)(newline + 1 - text);
        memmove(text, newline + 1, size);
    }
    return size;
}

/* A program that has yielded has said itself what its result is. */
static int publish(const run_t *run, const char *ending)
{
    size_t used = strlen(ending) + 1;
    char *text;

    if (!mni_process_drain_output(mni_client.channel))
        fprintf(stderr, "multinode: something that the program has left behind still writes\n");
    if (run->talk.yields > 0)
        return 0;
    if (!(text = malloc(used + OUTPUT_KEPT)))
        return mni_error(MN_E_NO_MEMORY, "exec: no memory for the result");
    memcpy(text, ending, used - 1);
    text[used - 1] = '\n';
    used += read_output(text + used);
    int rc = mn_yield(run->task, mni_json_is_text(text, used) ? mn_array(MN_TEXT, text, used)
                                                              : mn_bytes(text, used));
    free(text);
    return rc == MN_E_CANCELLED || rc == MN_E_INTERRUPTED ? 0 : rc;
}

static int judge(run_t *run)
{
    char ending[128];
    int status = run->status, rc;

    describe(status, ending, sizeof ending);
    if ((rc = publish(run, ending)) < 0)
        return rc;
    /* Whatever it made of that: it was stopped. */
    if (run->told != 0)
        return run->told;
    if (status == 0)
        return 0;
    run->task->reason = WIFSIGNALED(status) ? MN_REASON_SIGNAL : MN_REASON_EXITED;
    return mn_fail(run->task, MN_E_FAILED, "%s", ending);
}

/* --- the job ---------------------------------------------------------------------------------- */

static int exec_job(mn_task_t *task, mn_value_t input)
{
    run_t run = {.task = task};
    int rc = mni_exec_record_read(input, &run.record);

    hear_signals();
    if (rc == 0)
        rc = mni_exec_talk_open(task, &run.talk);
    if (rc == 0)
        rc = mni_exec_start(task, &run.record, &run.talk, &run.pid);
    if (rc < 0) {
        char why[MNI_ERROR_MAX];
        snprintf(why, sizeof why, "%s", mn_error_message());
        rc = mn_fail(task, rc, "%s", why);
    } else if ((rc = follow(&run)) == 0) {
        rc = judge(&run);
    }
    mni_exec_talk_close(&run.talk);
    mni_exec_record_fini(&run.record);
    mni_process_own_code();
    return rc;
}

int mni_exec_declare(void)
{
    return mni_declare_exec(exec_job);
}
