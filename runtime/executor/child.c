/* SPDX-License-Identifier: MIT
 *
 * From a fork of the spawner to user code: session, signals, descriptors, control group, channel.
 * Runs in the new child only, which has one thread.
 *
 * The end of a child is fflush() and _exit() with the value its main returned, not exit(): the
 * functions that the program registered with atexit() before mn_main() belong to the rank's process
 * and would run once per executor. User code that calls exit() itself gets what it asks for.
 */
#include "executor/process.h"
#include "executor/process_private.h"
#include "executor/spawner_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OOM_SCORE "500" /* between ordinary processes (0) and the first victim (1000) */

/* --- descriptors ------------------------------------------------------------------------------ */

static void close_from_to(unsigned first, unsigned last)
{
    if (first > last)
        return;
#ifdef SYS_close_range
    if (syscall(SYS_close_range, first, last, 0) == 0)
        return;
#endif
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    if (!directory)
        return;
    while ((entry = readdir(directory)) != NULL) {
        int fd = atoi(entry->d_name);
        if (fd >= (int)first && (unsigned)fd <= last && fd != dirfd(directory))
            close(fd);
    }
    closedir(directory);
}

void mni_child_close_others(int first, const int *keep, int count)
{
    unsigned from = (unsigned)first;

    for (;;) {
        int next = -1;
        for (int i = 0; i < count; i++)
            if (keep[i] >= (int)from && (next < 0 || keep[i] < next))
                next = keep[i];
        if (next < 0)
            break;
        if (next > 0)
            close_from_to(from, (unsigned)next - 1);
        from = (unsigned)next + 1;
    }
    close_from_to(from, ~0U);
}

/* Gives the child 0, 1 and 2, and closes all but these, the memfd and the gate, which become 3
 * and 4. */
static int arrange_descriptors(mni_child_t *child)
{
    int moved[5] = {child->standard[0], child->standard[1], child->standard[2], child->memfd,
                    child->gate};

    for (int i = 0; i < 5; i++) {
        if (moved[i] < 0) /* the rank was started without it */
            moved[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        /* Above all targets first, so that no dup2() below hits one that is still needed. */
        moved[i] = moved[i] < 0 ? -1 : fcntl(moved[i], F_DUPFD_CLOEXEC, 16);
        if (moved[i] < 0)
            return errno;
    }
    for (int i = 0; i < 5; i++)
        if ((i < 3 ? dup2(moved[i], i) : dup3(moved[i], i, O_CLOEXEC)) < 0)
            return errno;
    child->memfd = 3;
    child->gate = 4;
    mni_child_close_others(5, NULL, 0);
    return 0;
}

/* --- signals and identity --------------------------------------------------------------------- */

static void default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL);
}

static void raise_oom_score(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    /* It may always be raised; where it is higher already the kernel's limit is the
     * administrator's affair. */
    if (write(fd, OOM_SCORE, strlen(OOM_SCORE)) < 0)
        errno = 0;
    close(fd);
}

/* Lines of a process that crashes are where they belong up to the last one. With a buffer of its
 * own: the C library goes on to fill the one that the rank's process had used before, without
 * looking for the ends of lines. */
static void write_by_lines(void)
{
    static char line[BUFSIZ];
    setvbuf(stdout, line, _IOLBF, sizeof line);
    setvbuf(stderr, NULL, _IONBF, 0);
}

static void become_executor(void)
{
    setsid();
    prctl(PR_SET_NAME, "mn-executor");
    raise_oom_score();
    write_by_lines();
    mni_process_set_streams(1, 2);
}

static void become_driver(pid_t rank_group)
{
    prctl(PR_SET_NAME, "mn-driver");
    write_by_lines();
    setpgid(0, rank_group); /* fails when that group is gone; then nobody can signal it either */
    signal(SIGINT, SIG_IGN);
}

/* 0 or an errno. */
static int set_up(mni_child_t *child, mni_channel_t **channel)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return errno;
    if (getppid() != child->spawner) /* it died before the call above */
        _exit(1);
    if (mni_cgroup_join(child->group) < 0 ||
        (!child->driver && mni_confine_join(child->confine, child->seat) < 0))
        return errno;
    int rc = arrange_descriptors(child);
    if (rc != 0)
        return rc;
    if (mni_channel_attach(child->memfd, child->bell, channel) < 0)
        return errno != 0 ? errno : ENOMEM;
    default_signals();
    if (child->driver)
        become_driver(child->rank_group);
    else
        become_executor();
    return 0;
}

_Noreturn void mni_child_run(const mni_child_t *given)
{
    mni_child_t child = *given;
    mni_channel_t *channel = NULL;
    char go;
    sigset_t none;

    int error = set_up(&child, &channel);
    if (write(child.gate, &error, sizeof error) != (ssize_t)sizeof error || error != 0)
        _exit(1);
    /* The rank is to know of this process before it hears from it. */
    while (read(child.gate, &go, 1) < 0 && errno == EINTR)
        ;
    close(child.gate);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int status = child.main(channel);
    fflush(NULL);
    _exit(status);
}
