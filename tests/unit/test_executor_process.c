/* SPDX-License-Identifier: MIT
 *
 * What an executor puts back between tasks, in a forked child each, since it changes the process. A
 * child says what is wrong on its standard error, and by its exit status.
 */
#include "executor/process.h"
#include "util/clock.h"
#include "util/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define CHECK(what)                                                        \
    if (!(what)) {                                                         \
        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
        return 1;                                                          \
    }

static void in_a_child(int (*body)(void))
{
    int status;

    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(30);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        _exit(body());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- everything changed, everything put back -------------------------------------------------- */

static void on_signal(int number)
{
    (void)number;
}

static int change_all_and_restore(void)
{
    char before[4096], after[4096], name[64];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, now;
    struct itimerval soon = {{0, 50000}, {0, 50000}}, timer;
    sigset_t mask, empty;
    struct sigaction handlers[NSIG];
    stack_t stack = {.ss_sp = malloc((size_t)SIGSTKSZ), .ss_size = (size_t)SIGSTKSZ}, stack_now;

    setenv("MN_TEST_KEPT", "one", 1);
    setenv("MN_TEST_REMOVED", "two", 1);
    umask(022);
    CHECK(getcwd(before, sizeof before));
    CHECK(mni_process_remember() == 0);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &handlers[number]);
    for (int round = 0; round < 3; round++) {
        CHECK(chdir("/") == 0);
        umask(0777);
        for (int number = 1; number < NSIG; number++)
            if (number != SIGKILL && number != SIGSTOP)
                sigaction(number, &action, NULL);
        sigfillset(&mask);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        raise(SIGTERM); /* waits, and would kill when it is unblocked */
        raise(SIGRTMIN + 1);
        kill(getpid(), SIGUSR2);
        CHECK(sigaltstack(&stack, NULL) == 0);
        setenv("MN_TEST_KEPT", "changed", 1);
        unsetenv("MN_TEST_REMOVED");
        setenv("MN_TEST_ADDED", "three", 1);
        if (round == 1)
            clearenv();
        if (round == 2)
            getenv("PATH")[0] = '!'; /* in place */
        CHECK(setlocale(LC_ALL, "C.UTF-8") != NULL);
        locale_t own = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
        uselocale(own);
        fesetround(FE_UPWARD);
        feraiseexcept(FE_DIVBYZERO | FE_INEXACT);
        CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
        CHECK(setitimer(ITIMER_PROF, &soon, NULL) == 0);
        CHECK(setitimer(ITIMER_VIRTUAL, &soon, NULL) == 0);

        CHECK(mni_process_restore() == 0);

        CHECK(getcwd(after, sizeof after) && strcmp(before, after) == 0);
        mode_t file_mask = umask(022);
        CHECK(file_mask == 022);
        for (int number = 1; number < NSIG; number++)
            if (number != SIGKILL && number != SIGSTOP && sigaction(number, NULL, &now) == 0)
                CHECK(now.sa_handler == handlers[number].sa_handler);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        sigpending(&empty);
        CHECK(sigisemptyset(&mask) && sigisemptyset(&empty));
        sigaltstack(NULL, &stack_now);
        CHECK(stack_now.ss_sp != stack.ss_sp);
        CHECK(getenv("MN_TEST_KEPT") && strcmp(getenv("MN_TEST_KEPT"), "one") == 0);
        CHECK(getenv("MN_TEST_REMOVED") && strcmp(getenv("MN_TEST_REMOVED"), "two") == 0);
        CHECK(getenv("MN_TEST_ADDED") == NULL);
        CHECK(getenv("PATH") && getenv("PATH")[0] != '!');
        CHECK(strcmp(setlocale(LC_ALL, NULL), "C") == 0);
        CHECK(uselocale((locale_t)0) == LC_GLOBAL_LOCALE);
        freelocale(own);
        CHECK(fegetround() == FE_TONEAREST && fetestexcept(FE_ALL_EXCEPT) == 0);
        for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
            snprintf(name, sizeof name, "timer %d", which);
            getitimer(which, &timer);
            CHECK(timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0);
        }
    }
    free(stack.ss_sp);
    return 0;
}

static void all_that_a_task_changed_is_put_back(void **unused)
{
    (void)unused;
    in_a_child(change_all_and_restore);
}

/* Cores are those that the task was given, whatever they were when the process began. */
static int other_cores(void)
{
    cpu_set_t given, all;

    CHECK(mni_process_remember() == 0);
    CPU_ZERO(&given);
    CPU_SET(sched_getcpu(), &given);
    CHECK(sched_setaffinity(0, sizeof given, &given) == 0);
    mni_process_enter_code();
    memset(&all, 0xff, sizeof all);
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    mni_process_leave_code();
    CHECK(mni_process_restore() == 0);
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0 && CPU_EQUAL(&all, &given));
    return 0;
}

static void the_cores_of_the_task_are_put_back(void **unused)
{
    (void)unused;
    in_a_child(other_cores);
}

/* What a task changes with its first system call, its second one, or none at all. */
static int with_and_without_system_calls(void)
{
    char before[4096], now[4096];
    double unused = 1;

    CHECK(getcwd(before, sizeof before) && mni_process_remember() == 0);
    for (int round = 0; round < 3; round++) {
        mni_process_enter_code();
        for (int i = 0; i < 1000; i++)
            unused *= 1.0001;
        fesetround(FE_DOWNWARD);
        putenv("MN_TEST_BY_NONE=1");
        mni_process_leave_code();
        CHECK(mni_process_restore() == 0);
        CHECK(fegetround() == FE_TONEAREST && getenv("MN_TEST_BY_NONE") == NULL);
        mni_process_enter_code();
        int rc = chdir("/");
        mode_t mask = umask(0777);
        mni_process_leave_code();
        CHECK(rc == 0 && mni_process_restore() == 0);
        CHECK(getcwd(now, sizeof now) && strcmp(now, before) == 0 && umask(mask) == mask);
        mni_process_enter_code();
        pid_t child = fork();
        if (child == 0)
            _exit(getppid() > 0 ? 0 : 1);
        mni_process_leave_code();
        CHECK(child > 0 && mni_process_restore() >= 0);
        CHECK(waitpid(child, NULL, 0) < 0 || mni_process_restore() == 0);
    }
    return unused > 1 ? 0 : 1;
}

/* A signal that is like the one that tells of a system call is user code's own. */
static int own_sigsys(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSYS, SIG_DFL); /* cmocka's handler would go on with the next test */
        if (mni_process_remember() < 0)
            _exit(1);
        mni_process_enter_code();
        raise(SIGSYS);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    return 0;
}

static void system_calls_are_noticed(void **unused)
{
    (void)unused;
    in_a_child(with_and_without_system_calls);
    in_a_child(own_sigsys);
}

static int directory_is_gone(void)
{
    char name[] = "/tmp/test_process_XXXXXX", away[64];

    CHECK(mkdtemp(name) && chdir(name) == 0);
    CHECK(mni_process_remember() == 0);
    snprintf(away, sizeof away, "%s.moved", name);
    CHECK(rename(name, away) == 0 && chdir("/tmp") == 0);
    CHECK(mni_process_restore() == 0); /* by descriptor, whatever it is called now */
    struct stat here, there;
    CHECK(stat(".", &here) == 0 && stat(away, &there) == 0 && here.st_ino == there.st_ino);
    rmdir(away);
    return 0;
}

static void the_directory_is_found_under_another_name(void **unused)
{
    (void)unused;
    in_a_child(directory_is_gone);
}

/* --- what cannot be put back ------------------------------------------------------------------ */

static void *stay(void *argument)
{
    pause();
    return argument;
}

static void *end_at_once(void *argument)
{
    return argument;
}

static int threads(void)
{
    pthread_t thread;

    CHECK(mni_process_remember() == 0);
    for (int i = 0; i < 300; i++) { /* one that was joined never counts */
        CHECK(pthread_create(&thread, NULL, end_at_once, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(mni_process_restore() == 0);
    }
    CHECK(pthread_create(&thread, NULL, stay, NULL) == 0);
    CHECK(mni_process_restore() == 1);
    return 0;
}

static void a_thread_that_is_left_ends_the_process(void **unused)
{
    (void)unused;
#ifdef __SANITIZE_THREAD__
    print_message("ThreadSanitizer has a thread of its own in each process\n");
    skip();
#endif
    in_a_child(threads);
}

static int child_processes(void)
{
    CHECK(mni_process_remember() == 0);
    pid_t ended = fork();
    if (ended == 0)
        _exit(0);
    siginfo_t information;
    CHECK(waitid(P_PID, (id_t)ended, &information, WEXITED | WNOWAIT) == 0);
    CHECK(mni_process_restore() == 0); /* a zombie is no harm, and is taken away */
    CHECK(waitpid(ended, NULL, WNOHANG) < 0 && errno == ECHILD);
    int gate[2];
    CHECK(pipe(gate) == 0);
    pid_t middle = fork();
    if (middle == 0) {
        pid_t daemon = fork();
        if (daemon == 0)
            for (;;)
                pause();
        _exit(write(gate[1], &daemon, sizeof daemon) == (ssize_t)sizeof daemon ? 0 : 1);
    }
    CHECK(waitpid(middle, NULL, 0) == middle);
    pid_t daemon;
    CHECK(read(gate[0], &daemon, sizeof daemon) == (ssize_t)sizeof daemon);
    CHECK(mni_process_restore() == 1); /* it came to us */
    kill(daemon, SIGKILL);
    CHECK(waitpid(daemon, NULL, 0) == daemon);
    CHECK(mni_process_restore() == 0);
    return 0;
}

static void a_child_that_is_left_ends_the_process(void **unused)
{
    (void)unused;
    in_a_child(child_processes);
}

static int descriptors(void)
{
    CHECK(dup2(0, 3) == 3); /* as an executor has its shared memory there */
    CHECK(mni_process_remember() == 0);
    int saved = dup(1);
    CHECK(mni_process_restore() == 0);
    int replaced = open("/dev/null", O_WRONLY);
    CHECK(dup2(replaced, 1) == 1);
    CHECK(mni_process_restore() == 1);
    CHECK(dup2(saved, 1) == 1 && mni_process_restore() == 0);
    close(3);
    CHECK(mni_process_restore() == 1);
    CHECK(dup2(0, 3) == 3 && mni_process_restore() == 0);
    /* A file that a static keeps open is still that file in the next task; very many are given
     * up. */
    FILE *file = tmpfile();
    CHECK(file && mni_process_restore() == 0);
    CHECK(fputs("still here", file) >= 0 && fflush(file) == 0);
    for (int i = 0; i < 200; i++)
        CHECK(dup(0) >= 0);
    int refused = 0;
    for (int i = 0; i < 32 && !refused; i++) /* it looks now and then */
        refused = mni_process_restore();
    CHECK(refused == 1);
    return 0;
}

static void lost_and_too_many_descriptors_end_the_process(void **unused)
{
    (void)unused;
    in_a_child(descriptors);
}

static int posix_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;

    CHECK(mni_process_remember() == 0);
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(mni_process_restore() == (access("/proc/self/timers", F_OK) == 0 ? 1 : 0));
    timer_delete(timer);
    CHECK(mni_process_restore() == 0);
    return 0;
}

static void a_timer_that_is_left_ends_the_process(void **unused)
{
    (void)unused;
    in_a_child(posix_timer);
}

static int not_remembered(void)
{
    CHECK(mni_process_restore() == 1);
    CHECK(mni_process_remember() == 0);
    CHECK(mni_process_remember() == MN_E_INTERNAL);
    return 0;
}

static void without_remembering_nothing_is_used_again(void **unused)
{
    (void)unused;
    in_a_child(not_remembered);
}

/* --- environment ------------------------------------------------------------------------------ */

static int clean_environment(void)
{
    static char word[] = "OMPI_WORD_WITHOUT_VALUE";

    clearenv();
    setenv("OMPI_MCA_btl", "self", 1);
    setenv("PMIX_SERVER", "x=y", 1);
    setenv("PRTE_A", "1", 1);
    setenv("PMI_RANK", "0", 1);
    setenv("SLURM_NTASKS", "4", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("HOME", "/nowhere", 1);
    putenv("PMIX_EMPTY=");
    mni_process_clean_environment();
    for (char **at = environ; *at; at++)
        CHECK(strncmp(*at, "PMIX_", 5) != 0 && strncmp(*at, "PMI_", 4) != 0 &&
              strncmp(*at, "SLURM_", 6) != 0 && strncmp(*at, "OMPI_MCA_btl", 12) != 0 &&
              strncmp(*at, "PRTE_A", 6) != 0);
    CHECK(strcmp(getenv("MULTINODE_ORIG_OMPI_MCA_btl"), "self") == 0);
    CHECK(strcmp(getenv("MULTINODE_ORIG_PMIX_SERVER"), "x=y") == 0);
    CHECK(strcmp(getenv("MULTINODE_ORIG_PMIX_EMPTY"), "") == 0);
    CHECK(strcmp(getenv("MULTINODE_ORIG_SLURM_NTASKS"), "4") == 0);
    CHECK(getenv("MULTINODE_ORIG_PRTE_A") && getenv("MULTINODE_ORIG_PMI_RANK"));
    CHECK(strcmp(getenv("OMPI_ALLOW_RUN_AS_ROOT"), "1") == 0);
    CHECK(strcmp(getenv("HOME"), "/nowhere") == 0);
    CHECK(strcmp(getenv("OMPI_MCA_hwloc_base_binding_policy"), "none") == 0);
    mni_process_clean_environment(); /* of a nested runtime's spawner */
    CHECK(strcmp(getenv("MULTINODE_ORIG_SLURM_NTASKS"), "4") == 0);
    CHECK(strcmp(getenv("OMPI_MCA_hwloc_base_binding_policy"), "none") == 0);
    char *broken[] = {word, NULL};
    environ = broken;
    mni_process_clean_environment();
    CHECK(getenv("OMPI_MCA_hwloc_base_binding_policy") != NULL);
    return 0;
}

static void the_environment_is_cleaned(void **unused)
{
    (void)unused;
    in_a_child(clean_environment);
}

/* --- what it costs ---------------------------------------------------------------------------- */

static int restore_is_cheap(void)
{
    uint64_t best = UINT64_MAX;

    CHECK(mni_process_remember() == 0);
    for (int i = 0; i < 200; i++) {
        uint64_t begin = mni_clock_now();
        CHECK(mni_process_restore() == 0);
        uint64_t took = mni_clock_now() - begin;
        if (took < best)
            best = took;
    }
    fprintf(stderr, "a restore takes %.1f us\n", (double)best / 1e3);
    CHECK(best < 500000); /* a mistake such as a walk over all descriptors, on any machine */
    return 0;
}

static void an_idle_restore_is_cheap(void **unused)
{
    (void)unused;
    in_a_child(restore_is_cheap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_a_task_changed_is_put_back),
        cmocka_unit_test(the_cores_of_the_task_are_put_back),
        cmocka_unit_test(system_calls_are_noticed),
        cmocka_unit_test(the_directory_is_found_under_another_name),
        cmocka_unit_test(a_thread_that_is_left_ends_the_process),
        cmocka_unit_test(a_child_that_is_left_ends_the_process),
        cmocka_unit_test(lost_and_too_many_descriptors_end_the_process),
        cmocka_unit_test(a_timer_that_is_left_ends_the_process),
        cmocka_unit_test(without_remembering_nothing_is_used_again),
        cmocka_unit_test(the_environment_is_cleaned),
        cmocka_unit_test(an_idle_restore_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
