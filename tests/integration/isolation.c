/* SPDX-License-Identifier: MIT
 *
 * What user code does to its process is nobody else's affair. A row is one misdeed: a job commits it, then an item of
 * a function; each ends for the right reason, what comes after it finds a process like a new one, a steady job beside
 * them notices nothing, and the runtime is as before. (The script looks whether a process remains.)
 *
 * misdeeds: what can be done wrong; rows: what becomes of it.
 */
#include "check.h"
#include "portrait.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

MN_JOB(suspect, .cpu = 0.05);
MN_JOB(suspect_with_timeout, .cpu = 0.05, .timeout = 0.3, .grace = 0.2);
MN_FUNCTION(suspect_item, .cpu = 0.05);
MN_FUNCTION(suspect_item_with_timeout, .cpu = 0.05, .timeout = 0.3);
MN_JOB(call_item, .cpu = 0.05, .grace = 0.2);
MN_JOB(call_item_with_timeout, .cpu = 0.05);
MN_JOB(look_at_item, .cpu = 0.05);
MN_JOB(new_process, .cpu = 0.05, .fresh = true);
MN_FUNCTION(nothing, .cpu = 0.05);
MN_JOB(steady, .cpu = 0.05);

/* --- misdeeds: ends ---------------------------------------------------------------------------------------------- */

/* What a misdeed is given: a FIFO on which processes show that they live (roll_sign()). */
typedef int misdeed_t(mn_task_t *task, const char *roll);
#define MISDEED(name) static int name(mn_task_t *task CHECK_UNUSED, const char *roll CHECK_UNUSED)

MISDEED(fine)
{
    return 0;
}

/* In a build with UndefinedBehaviorSanitizer too this is to end of the signal. */
__attribute__((no_sanitize("undefined"))) MISDEED(segfault)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
    return 0;
}

MISDEED(abort_itself)
{
    abort();
}

MISDEED(exit_0)
{
    exit(0);
}

MISDEED(exit_3)
{
    exit(3);
}

MISDEED(exit_at_once)
{
    _exit(4);
}

static void *exit_5(void *argument)
{
    (void)argument;
    exit(5);
}

MISDEED(exit_in_a_thread)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, exit_5, NULL) == 0)
        pthread_join(thread, NULL);
    return 0;
}

/* LeakSanitizer asks for this one: what only the stack of an ended main thread pointed to is no leak. */
static int main_thread_ends;
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return main_thread_ends;
}

MISDEED(end_main_thread)
{
    main_thread_ends = 1;
    pthread_exit(NULL);
}

MISDEED(fail)
{
    return mn_fail(task, MN_E_FAILED, "no such thing: %s", "the moon");
}

MISDEED(return_code)
{
    return MN_E_NO_MEMORY;
}

MISDEED(return_positive)
{
    return 5;
}

MISDEED(return_unknown)
{
    return -12345;
}

static volatile int deep_enough; /* never */

static int go_deeper(volatile char *above)
{
    volatile char block[4096];
    block[0] = above ? above[0] : 1;
    return deep_enough ? 0 : go_deeper(block) + block[0];
}

MISDEED(overflow_stack)
{
    return go_deeper(NULL);
}

MISDEED(kill_itself)
{
    raise(SIGKILL);
    return 0;
}

MISDEED(kill_group)
{
    kill(0, SIGKILL);
    return 0;
}

MISDEED(terminate_itself)
{
    kill(getpid(), SIGTERM);
    return 0;
}

MISDEED(raise_fpe)
{
    raise(SIGFPE);
    return 0;
}

/* --- misdeeds: hangs --------------------------------------------------------------------------------------------- */

/* These sign the roll, so that the driver knows when they hang. */
MISDEED(stop_itself)
{
    roll_sign(roll);
    raise(SIGSTOP);
    return 0;
}

static void refuse_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
}

MISDEED(hang_deaf)
{
    roll_sign(roll);
    refuse_signals();
    while (pause() < 0)
        ;
    return 0;
}

/* --- misdeeds: descriptors --------------------------------------------------------------------------------------- */

MISDEED(close_all)
{
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    return 0;
}

/* The runtime must not take the files that are there now for its own. */
MISDEED(replace_all)
{
    static const char text[] = "mine";
    char folder[128], byte;
    int32_t numbers[4096] = {0};
    snprintf(folder, sizeof folder, "%s", roll);
    *strrchr(folder, '/') = '\0';
    close_all(task, roll);
    for (int fd = 0; fd < 16; fd++)
        if (open(folder, O_TMPFILE | O_RDWR, 0600) != fd || write(fd, text, 4) != 4)
            _exit(9);
    mn_map_fixed(task, nothing, numbers, sizeof *numbers, 4096, NULL, 0, NULL);
    printf("not into a file of the task");
    fflush(stdout);
    for (int fd = 0; fd < 16; fd++) {
        struct stat status;
        char read_back[4] = "";
        off_t size = fd == 1 ? 4 + 27 : 4; /* where the task itself printed to */
        if (fstat(fd, &status) < 0 || status.st_size != size || status.st_blocks > 8 ||
            pread(fd, read_back, 4, 0) != 4 || memcmp(read_back, text, 4) != 0 ||
            (size == 4 && pread(fd, &byte, 1, 4) != 0))
            return mn_fail(task, MN_E_FAILED, "file %d of the task was written to", fd);
    }
    return 0;
}

/* --- misdeeds: processes and threads ------------------------------------------------------------------------------ */

/* A process that does not want to go. `told`: where it says that it is on the roll. */
_Noreturn static void linger(const char *roll, int told)
{
    refuse_signals();
    char byte = roll_sign(roll) >= 0 ? 'x' : '?';
    if (write(told, &byte, 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* Waits until `count` processes are on the roll. */
static int gather(mn_task_t *task, int told, int count)
{
    for (char byte = 0; count > 0; count--)
        if (read(told, &byte, 1) != 1 || byte != 'x')
            return mn_fail(task, MN_E_FAILED, "%d children did not come up", count);
    close(told);
    return 0;
}

/* An ordinary child, one in a session of its own, one that is nobody's child any more. */
MISDEED(leave_children)
{
    int told[2];
    if (pipe(told) < 0)
        return mn_fail(task, MN_E_SYSTEM, "pipe");
    for (int kind = 0; kind < 3; kind++) {
        pid_t child = fork();
        if (child != 0) {
            if (kind == 2)
                waitpid(child, NULL, 0);
            continue;
        }
        prctl(PR_SET_PDEATHSIG, 0);
        if (kind > 0)
            setsid();
        if (kind == 2 && fork() != 0)
            _exit(0);
        linger(roll, told[1]);
    }
    close(told[1]);
    return gather(task, told[0], 3);
}

MISDEED(lose_a_child)
{
    pid_t child = fork();
    if (child == 0)
        abort();
    waitpid(child, NULL, 0);
    return 0;
}

MISDEED(leave_children_and_crash)
{
    int rc = leave_children(task, roll);
    return rc < 0 ? rc : segfault(task, roll);
}

enum { MANY = 200 };

/* Until no more can be had, or they are many. */
MISDEED(fork_in_a_loop)
{
    int told[2], count = 0;
    if (pipe(told) < 0)
        return mn_fail(task, MN_E_SYSTEM, "pipe");
    for (; count < MANY; count++) {
        pid_t child = fork();
        if (child < 0)
            break;
        if (child == 0)
            linger(roll, told[1]);
    }
    close(told[1]);
    return gather(task, told[0], count);
}

/* Those that are forked fork too, each a successor, while they are being killed. */
MISDEED(leave_a_chain)
{
    int told[2];
    if (pipe(told) < 0)
        return mn_fail(task, MN_E_SYSTEM, "pipe");
    if (fork() == 0) {
        refuse_signals();
        char byte = roll_sign(roll) >= 0 ? 'x' : '?';
        for (int i = 0; i < MANY; i++) {
            if (i % 2 == 1)
                setsid();
            if (i == 20 && write(told[1], &byte, 1) != 1)
                _exit(1);
            if (fork() != 0)
                _exit(0);
        }
        for (;;)
            pause();
    }
    close(told[1]);
    return gather(task, told[0], 1);
}

static void *stay(void *argument)
{
    for (;;)
        pause();
    return argument;
}

MISDEED(leave_threads)
{
    pthread_t thread;
    for (int i = 0; i < 8; i++)
        if (pthread_create(&thread, NULL, stay, NULL) != 0)
            return mn_fail(task, MN_E_SYSTEM, "pthread_create");
    return 0;
}

/* --- misdeeds: the state of the process ---------------------------------------------------------------------------- */

MISDEED(change_directory)
{
    return chdir("/proc/self") < 0 ? MN_E_SYSTEM : 0;
}

MISDEED(change_umask)
{
    umask(0777);
    return 0;
}

static void on_signal(int number)
{
    (void)number;
}

MISDEED(change_signals)
{
    static char memory[65536];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND | SA_NODEFER};
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct itimerval soon = {{0, 20000}, {0, 20000}};
    sigset_t all;
    for (int number = 1; number < NSIG; number++)
        if (number % 2 == 0)
            sigaction(number, &action, NULL);
        else
            signal(number, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigaltstack(&stack, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    setitimer(ITIMER_VIRTUAL, &soon, NULL);
    kill(getpid(), SIGUSR2); /* waits, and would kill when it is unblocked */
    raise(SIGRTMIN + 2);
    return 0;
}

MISDEED(block_signals)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    kill(getpid(), SIGTERM);
    return 0;
}

MISDEED(ignore_signals)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
    return 0;
}

MISDEED(change_environment)
{
    char automatic[] = "MN_TEST_AUTOMATIC=gone soon";
    setenv("PATH", "/nowhere", 1);
    setenv("MN_TEST_ADDED", "one", 1);
    unsetenv("HOME");
    putenv(automatic); /* what the manual warns of */
    return 0;
}

MISDEED(clear_environment)
{
    clearenv();
    return 0;
}

MISDEED(change_locale)
{
    locale_t own = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    setlocale(LC_ALL, "C.UTF-8");
    if (own)
        uselocale(own);
    return 0;
}

MISDEED(change_rounding)
{
    fesetround(FE_UPWARD);
    feraiseexcept(FE_DIVBYZERO | FE_INEXACT);
    return 0;
}

MISDEED(trap_floating_point)
{
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_ALL_EXCEPT);
    return 0;
}

MISDEED(change_cores)
{
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    sched_setaffinity(0, sizeof all, &all);
    return 0;
}

/* What only root can undo. */
MISDEED(lower_priority)
{
    setpriority(PRIO_PROCESS, 0, 10);
    return 0;
}

/* --- misdeeds: output ------------------------------------------------------------------------------------------------ */

/* Peak of resident memory in KiB; 0: not to be seen. */
static long peak_of(pid_t pid, pid_t *parent)
{
    char path[64], line[256];
    long peak = 0;
    int above = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "VmHWM: %ld", &peak);
        sscanf(line, "PPid: %d", &above);
    }
    if (file)
        fclose(file);
    *parent = above;
    return peak;
}

MISDEED(print_a_gigabyte)
{
    enum { PIECE = 1 << 20, PIECES = 1024 };
    static char bytes[PIECE];
    long before[2], after[2];
    pid_t spawner = getppid(), rank, above;
    memset(bytes, '.', sizeof bytes);
    memcpy(bytes + PIECE - 8, "\nhidden", 7);
    before[0] = peak_of(spawner, &rank);
    before[1] = peak_of(rank, &above);
    for (int i = 0; i < PIECES; i++)
        for (size_t done = 0; done < PIECE;) {
            ssize_t n = write(STDOUT_FILENO, bytes + done, PIECE - done);
            if (n < 0)
                return mn_fail(task, MN_E_SYSTEM, "write: %s", strerror(errno));
            done += (size_t)n;
        }
    after[0] = peak_of(spawner, &rank);
    after[1] = peak_of(rank, &above);
    for (int i = 0; i < 2; i++)
        if (after[i] - before[i] > 64 * 1024)
            return mn_fail(task, MN_E_FAILED, "%s has grown from %ld to %ld KiB",
                           i == 0 ? "the spawner" : "the rank", before[i], after[i]);
    return 0;
}

/* --- misdeeds: memory ------------------------------------------------------------------------------------------------ */

/* Of no quality, but the same in every run. */
static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state ^ *state >> 29;
}

__attribute__((no_sanitize("address"))) static void scribble(uint8_t *at, size_t size,
                                                             uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        ((volatile uint8_t *)at)[i] = (uint8_t)(next_random(&seed) >> 32);
}

/* The next mapping whose line in /proc/self/maps has `name`. */
static bool find_mapping(FILE *maps, const char *name, uint8_t **begin, uint8_t **end)
{
    char line[512];
    while (fgets(line, sizeof line, maps)) {
        void *from, *to;
        if (strstr(line, name) && sscanf(line, "%p-%p rw", &from, &to) == 2) {
            *begin = from;
            *end = to;
            return true;
        }
    }
    return false;
}

/* Random bytes over the beginning of each mapping of a name. */
static int scribble_mappings(mn_task_t *task, const char *name, size_t most, uint64_t seed)
{
    uint8_t *begin[8], *end[8];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && count < 8 && find_mapping(maps, name, &begin[count], &end[count]))
        count++;
    if (maps)
        fclose(maps);
    if (count == 0)
        return mn_fail(task, MN_E_FAILED, "there is no mapping named %s", name);
    for (int i = 0; i < count; i++)
        scribble(begin[i], (size_t)(end[i] - begin[i]) < most ? (size_t)(end[i] - begin[i]) : most,
                 seed + (uint64_t)i);
    return 0;
}

MISDEED(scribble_over_heap)
{
#ifdef __SANITIZE_ADDRESS__
    abort(); /* it has a heap of its own making elsewhere */
#endif
    return scribble_mappings(task, "[heap]", SIZE_MAX, 1);
}

/* Beyond the ends of blocks of all sizes, used and freed ones. */
__attribute__((no_sanitize("address"))) MISDEED(overrun_heap)
{
    enum { BLOCKS = 64 };
    uint8_t *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(16 + 40 * i);
    for (size_t i = 0; i < BLOCKS; i += 3)
        free(blocks[i]);
    for (size_t i = 1; i < BLOCKS; i += 3)
        scribble(blocks[i], 16 + 40 * i + 48, i);
    return 0;
}

__attribute__((no_sanitize("address"))) MISDEED(write_to_freed)
{
    enum { BLOCKS = 32 };
    uint8_t *volatile blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(24 + 24 * (i % 8));
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    for (size_t i = 0; i < BLOCKS; i++)
        scribble(blocks[i], 16, i);
    return 0;
}

/* The whole of what it shares with its worker, but for the arena. */
MISDEED(scribble_over_channel)
{
    return scribble_mappings(task, "memfd:multinode ", (size_t)1 << 20, 2);
}

/* Only the page with the positions of the rings. */
MISDEED(scribble_over_positions)
{
    return scribble_mappings(task, "memfd:multinode ", 4096, 3);
}

/* Then it goes on as if nothing had been. */
MISDEED(scribble_over_positions_and_yield)
{
    int rc = scribble_over_positions(task, roll);
    for (int i = 0; rc == 0 && i < 100; i++)
        mn_yield(task, mn_text("more"));
    return rc;
}

/* All but the first page: logs and rings. */
MISDEED(scribble_over_rings)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uint8_t *begin = NULL, *end = NULL;
    bool found = maps && find_mapping(maps, "memfd:multinode ", &begin, &end);
    if (maps)
        fclose(maps);
    if (!found)
        return mn_fail(task, MN_E_FAILED, "there is no channel");
    scribble(begin + 4096, ((size_t)1 << 20) - 4096, 4);
    for (int i = 0; i < 100; i++)
        mn_yield(task, mn_text("more"));
    return 0;
}

/* The rank's own, on which all its executors ring. */
MISDEED(scribble_over_doorbell)
{
    return scribble_mappings(task, "memfd:multinode-bell", 4096, 5);
}

/* --- rows -------------------------------------------------------------------------------------------------------------- */

/* Whether the process of a misdeed may be used for the next task. MAY_BREAK: and then break, for the misdeed ended well
 * and nobody can know what it has done to its own heap; the error must say that the process was used before. */
typedef enum again { MAY_BE, MAY_BREAK, MUST_BE, MUST_NOT_BE } again_t;

typedef struct row {
    const char *name;
    misdeed_t *misdeed;
    again_t again;
    mn_status_t status;
    mn_reason_t reason; /* NONE: any that a process ends or is ended for, or success */
    const char *error;  /* is somewhere in the sentence */
    int code;           /* of an item that ends so */
    bool hangs;         /* ends only by a timeout or a cancel */
    bool jobs_only;
} row_t;

#define ENDS_WELL(name, misdeed, again)                                               \
    {                                                                                 \
        name, misdeed, again, MN_SUCCEEDED, MN_REASON_RETURNED, NULL, 0, false, false \
    }
#define ENDS_WELL_AS_JOB(name, misdeed, again)                                       \
    {                                                                                \
        name, misdeed, again, MN_SUCCEEDED, MN_REASON_RETURNED, NULL, 0, false, true \
    }
#define CRASHES(name, misdeed, reason, error)                                            \
    {                                                                                    \
        name, misdeed, MUST_NOT_BE, MN_FAILED, reason, error, MN_E_CRASHED, false, false \
    }
#define FAILS(name, misdeed, error, code)                                                 \
    {                                                                                     \
        name, misdeed, MUST_NOT_BE, MN_FAILED, MN_REASON_ERROR, error, code, false, false \
    }
#define HANGS(name, misdeed)                                                                      \
    {                                                                                             \
        name, misdeed, MUST_NOT_BE, MN_FAILED, MN_REASON_TIMEOUT, NULL, MN_E_TIMEOUT, true, false \
    }
#define ENDS_SOMEHOW(name, misdeed, again)                                     \
    {                                                                          \
        name, misdeed, again, MN_FAILED, MN_REASON_NONE, NULL, 0, false, false \
    }

static const row_t rows[] = {
    ENDS_WELL("does nothing wrong", fine, MUST_BE),
    CRASHES("segfaults", segfault, MN_REASON_SIGNAL, "egmentation"),
    CRASHES("aborts", abort_itself, MN_REASON_SIGNAL, "bort"),
    CRASHES("calls exit(0)", exit_0, MN_REASON_EXITED, "status 0"),
    CRASHES("calls exit(3)", exit_3, MN_REASON_EXITED, "status 3"),
    CRASHES("calls _exit(4)", exit_at_once, MN_REASON_EXITED, "status 4"),
    CRASHES("calls exit(5) in a thread", exit_in_a_thread, MN_REASON_EXITED, "status 5"),
    CRASHES("ends its main thread", end_main_thread, MN_REASON_EXITED, "status 0"),
    FAILS("fails with a sentence", fail, "no such thing: the moon", MN_E_FAILED),
    FAILS("returns an error", return_code, "out of memory", MN_E_NO_MEMORY),
    FAILS("returns a positive number", return_positive, "5", MN_E_FAILED),
    FAILS("returns an unknown number", return_unknown, "-12345", MN_E_FAILED),
    CRASHES("overflows its stack", overflow_stack, MN_REASON_SIGNAL, "egmentation"),
    CRASHES("raises SIGKILL", kill_itself, MN_REASON_SIGNAL, "ill"),
    CRASHES("kills its process group", kill_group, MN_REASON_SIGNAL, "ill"),
    CRASHES("raises SIGTERM", terminate_itself, MN_REASON_SIGNAL, "erminat"),
    CRASHES("raises SIGFPE", raise_fpe, MN_REASON_SIGNAL, "loating"),
    HANGS("raises SIGSTOP", stop_itself),
    HANGS("hangs, with every signal blocked and ignored", hang_deaf),
    ENDS_WELL("closes every descriptor", close_all, MUST_NOT_BE),
    ENDS_WELL("puts files in the place of every descriptor", replace_all, MUST_NOT_BE),
    ENDS_WELL("has a child that crashes", lose_a_child, MUST_BE),
    ENDS_WELL("leaves children, with setsid and double fork", leave_children, MUST_NOT_BE),
    CRASHES("leaves children and crashes", leave_children_and_crash, MN_REASON_SIGNAL,
            "egmentation"),
    ENDS_WELL("forks without wait in a loop", fork_in_a_loop, MUST_NOT_BE),
    ENDS_WELL("leaves a process that goes on forking", leave_a_chain, MUST_NOT_BE),
    ENDS_WELL("leaves threads", leave_threads, MUST_NOT_BE),
    ENDS_WELL("changes directory", change_directory, MUST_BE),
    ENDS_WELL("changes umask", change_umask, MUST_BE),
    ENDS_WELL("changes signal handlers, mask, stack and timers", change_signals, MUST_BE),
    ENDS_WELL("blocks every signal", block_signals, MUST_BE),
    ENDS_WELL("ignores every signal", ignore_signals, MUST_BE),
    ENDS_WELL("changes environment", change_environment, MUST_BE),
    ENDS_WELL("clears environment", clear_environment, MUST_BE),
    ENDS_WELL("changes locale", change_locale, MUST_BE),
    ENDS_WELL("changes rounding mode", change_rounding, MUST_BE),
    ENDS_WELL("traps floating-point exceptions", trap_floating_point, MUST_BE),
    ENDS_WELL("binds itself to all cores", change_cores, MUST_BE),
    ENDS_WELL("lowers its priority", lower_priority, MAY_BE),
    ENDS_WELL_AS_JOB("prints a gigabyte", print_a_gigabyte, MUST_BE),
    ENDS_SOMEHOW("scribbles over its whole heap", scribble_over_heap, MUST_NOT_BE),
    ENDS_SOMEHOW("writes beyond the ends of its blocks", overrun_heap, MAY_BREAK),
    ENDS_SOMEHOW("writes to freed blocks", write_to_freed, MAY_BREAK),
    ENDS_SOMEHOW("scribbles over its channel", scribble_over_channel, MUST_NOT_BE),
    ENDS_SOMEHOW("scribbles over the ring positions", scribble_over_positions, MUST_NOT_BE),
    ENDS_SOMEHOW("scribbles over the ring positions and yields", scribble_over_positions_and_yield,
                 MUST_NOT_BE),
    ENDS_SOMEHOW("scribbles over rings and logs", scribble_over_rings, MAY_BE),
    ENDS_WELL("scribbles over the doorbell of its rank", scribble_over_doorbell, MAY_BE),
};

/* --- suspects ------------------------------------------------------------------------------------------------------------ */

/* Input: the number of a row, and the path of the roll; or "look": then the result is the last misdeed of this
 * process, and its portrait. */
typedef struct look {
    char last[128];
    portrait_t portrait;
} look_t;

static int act(mn_task_t *task, mn_value_t input)
{
    static const char *last = "";
    static look_t seen;
    char words[256];
    unsigned number = 0;
    int at = 0;

    snprintf(words, sizeof words, "%.*s", (int)input.size, (const char *)input.data);
    if (strcmp(words, "look") == 0) {
        snprintf(seen.last, sizeof seen.last, "%s", last);
        portrait_take(&seen.portrait);
        for (int i = 0; i < 1000; i++) /* of the heap too */
            free(malloc((size_t)i * 37));
        return mn_yield(task,
                        mn_bytes(&seen, offsetof(look_t, portrait.text) + seen.portrait.used + 1));
    }
    if (sscanf(words, "%u %n", &number, &at) != 1 || number >= sizeof rows / sizeof *rows)
        return mn_fail(task, MN_E_INVALID, "no row is named by \"%s\"", words);
    last = rows[number].name;
    return rows[number].misdeed(task, words + at);
}

static int suspect(mn_task_t *task, mn_value_t input)
{
    int rc = mn_yield(task, mn_text("partial"));
    return rc < 0 ? rc : act(task, input);
}

static int suspect_with_timeout(mn_task_t *task, mn_value_t input)
{
    return suspect(task, input);
}

static int suspect_item(mn_task_t *task, mn_value_t input)
{
    return act(task, input);
}

static int suspect_item_with_timeout(mn_task_t *task, mn_value_t input)
{
    return act(task, input);
}

/* Yields code, reason and message of one item. */
static int report_item(mn_task_t *task, mn_entry_t *function, mn_value_t input)
{
    char text[1024];
    mn_item_error_t error = {0};
    mn_value_t result = mn_none();
    int rc =
        mn_map_values(task, function, &input, 1, &result, &(mn_map_options_t){.errors = &error});
    if (rc < 0)
        return rc;
    snprintf(text, sizeof text, "%d %d %s", error.code, (int)error.reason,
             error.message ? error.message : "no message");
    mn_value_destroy(&result);
    mn_item_errors_destroy(&error, 1);
    return mn_yield(task, mn_text(text));
}

static int call_item(mn_task_t *task, mn_value_t input)
{
    int rc = mn_yield(task, mn_text("partial"));
    return rc < 0 ? rc : report_item(task, suspect_item, input);
}

static int call_item_with_timeout(mn_task_t *task, mn_value_t input)
{
    return report_item(task, suspect_item_with_timeout, input);
}

static int look_at_item(mn_task_t *task, mn_value_t input)
{
    mn_value_t result = mn_none();
    int rc = mn_call(task, suspect_item, input, &result);
    if (rc == 0)
        rc = mn_yield(task, result);
    mn_value_destroy(&result);
    return rc;
}

static int new_process(mn_task_t *task, mn_value_t input)
{
    (void)input;
    return act(task, mn_text("look"));
}

static int nothing(mn_task_t *task, mn_value_t input)
{
    (void)task, (void)input;
    return 0;
}

/* Beside all others: has changed everything, and sees to it that it stays so. */
static int steady(mn_task_t *task, mn_value_t input)
{
    static portrait_t first, now;
    uint8_t *memory = malloc(1 << 20);
    char lines[2][512];
    int rc = 0;
    (void)input;
    if (!memory)
        return MN_E_NO_MEMORY;
    memset(memory, 0x5a, 1 << 20);
    umask(077);
    setenv("MN_TEST_STEADY", "yes", 1);
    setlocale(LC_ALL, "C.UTF-8");
    fesetround(FE_DOWNWARD);
    signal(SIGUSR1, on_signal);
    rc = chdir("/") < 0 ? MN_E_SYSTEM : 0;
    portrait_take(&first);
    for (int64_t round = 1; rc == 0; round++) {
        rc = mn_yield(task, int_value(&round));
        portrait_take(&now);
        if (portraits_differ(first.text, now.text, lines))
            rc = mn_fail(task, MN_E_FAILED, "it was \"%s\" and is \"%s\"", lines[0], lines[1]);
        for (size_t i = 0; rc == 0 && i < 1 << 20; i++)
            if (memory[i] != 0x5a)
                rc = mn_fail(task, MN_E_FAILED, "its memory was changed");
        if (rc == 0)
            rc = mn_cancelled(task);
        pause_ms(5);
    }
    free(memory);
    return rc;
}

/* --- the driver ------------------------------------------------------------------------------------------------------------- */

static mn_id_t bystander;
static char *innocent; /* portrait of a process that has just begun */
static const row_t *present;

static mn_value_t order(const row_t *row, const roll_t *roll, char words[256])
{
    snprintf(words, 256, "%u %s", (unsigned)(row - rows), roll->path);
    return mn_text(words);
}

/* The result of a look: the last misdeed of that process; and checks its portrait. */
static const char *take_look(mn_value_t result)
{
    static look_t seen;
    char lines[2][512];
    if (result.size <= sizeof seen.last || result.size > sizeof seen) {
        check_fail("nothing is seen of a process");
        return "?";
    }
    memcpy(&seen, result.data, result.size);
    if (!innocent)
        innocent = strdup(seen.portrait.text);
    if (portraits_differ(innocent, seen.portrait.text, lines))
        check_fail("after it, the process has \"%s\" instead of \"%s\"", lines[1], lines[0]);
    return seen.last;
}

static const char *look(mn_entry_t *job, again_t again)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    const char *last = "?";
    if (!CHECK_CODE(mn_start(job, mn_text("look"), NULL, &id), 0) ||
        !CHECK_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0))
        return last;
    if (info->status == MN_SUCCEEDED)
        last = take_look(info->result);
    else if (again != MAY_BREAK || !info->error ||
             !strstr(info->error, "in a process that had run"))
        check_fail("after it, a task is %s, %s: %s", mn_status_name(info->status),
                   mn_reason_name(info->reason), info->error ? info->error : "no error");
    mn_info_destroy(info);
    return last;
}

/* Looks at the next tasks of the same declaration; those that can be given the process are few. */
static void look_around(const row_t *row, mn_entry_t *looker, const char *as)
{
    bool found = false;
    for (int i = 0; i < 6 && !found && !check_state.case_failed; i++)
        found = strcmp(look(looker, row->again), row->name) == 0;
    if (found && row->again == MUST_NOT_BE)
        check_fail("its process was used again, as a %s", as);
    if (!found && row->again == MUST_BE)
        check_fail("its process was not used again, as a %s", as);
}

/* A row that may end in several ways: with success, or because its process or channel broke. */
static bool any_end(mn_reason_t reason, const char *error)
{
    return reason == MN_REASON_RETURNED || reason == MN_REASON_SIGNAL ||
           reason == MN_REASON_EXITED ||
           (reason == MN_REASON_ERROR && error && strstr(error, "channel"));
}

static void check_job(const row_t *row, mn_entry_t *job, const roll_t *roll)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    char words[256];
    REQUIRE_CODE(mn_start(job, order(row, roll, words), NULL, &id), 0);
    REQUIRE_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    CHECK(roll_empty(roll)); /* once it has ended nothing of it is left */
    bool good = row->reason == MN_REASON_NONE
                    ? any_end(info->reason, info->error) &&
                          (info->status == MN_FAILED || info->status == MN_SUCCEEDED)
                    : info->status == row->status && info->reason == row->reason &&
                          (!row->error || (info->error && strstr(info->error, row->error))) &&
                          value_is_text(info->result, "partial");
    if (row->reason == MN_REASON_NONE)
        check_say("# as a job: %s, %s\n", mn_reason_name(info->reason),
                  info->error ? info->error : "no error");
    if (!good || (info->status == MN_FAILED) != (info->error != NULL) || info->attempts != 1)
        check_fail("as a job: %s, %s, error %s, %u attempts", mn_status_name(info->status),
                   mn_reason_name(info->reason), info->error ? info->error : "none",
                   info->attempts);
    mn_info_destroy(info);
}

/* An item, called from a job, whose log takes what it prints. */
static void check_item(const row_t *row, const roll_t *roll)
{
    mn_id_t id;
    mn_info_t *info = NULL;
    char words[256];
    int code = 0, reason = 0, at = 0;
    mn_entry_t *caller = row->hangs ? call_item_with_timeout : call_item;
    REQUIRE_CODE(mn_start(caller, order(row, roll, words), NULL, &id), 0);
    REQUIRE_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    CHECK(EVENTUALLY(roll_empty(roll))); /* a function's success does not wait for what it left */
    char text[1024] = "";
    if (info->result.type == MN_TEXT)
        snprintf(text, sizeof text, "%.*s", (int)info->result.size,
                 (const char *)info->result.data);
    bool good = info->status == MN_SUCCEEDED && sscanf(text, "%d %d %n", &code, &reason, &at) == 2;
    if (good && row->reason == MN_REASON_NONE)
        good = code == 0 || any_end((mn_reason_t)reason, text);
    else if (good)
        good = code == row->code && (code == 0 || (reason == (int)row->reason &&
                                                   (!row->error || strstr(text, row->error))));
    if (!good)
        check_fail("as a function: the caller is %s; %s, %s: %s", mn_status_name(info->status),
                   mn_error_name(code), mn_reason_name((mn_reason_t)reason), text + at);
    mn_info_destroy(info);
}

/* What ends only by a cancel: a job, and the function that a job calls. */
static void check_cancel(const row_t *row, mn_entry_t *job, const roll_t *roll)
{
    mn_id_t id;
    char words[256];
    REQUIRE_CODE(
        mn_start(job, order(row, roll, words), &(mn_start_options_t){.timeout = 1000}, &id), 0);
    REQUIRE(roll_await(roll, 1));
    CHECK_CODE(mn_cancel(id), 0);
    mn_info_t *info = NULL;
    REQUIRE_CODE(mn_wait(id, CHECK_PATIENCE, &info), 0);
    CHECK(roll_empty(roll));
    if (info->status != MN_CANCELLED || !value_is_text(info->result, "partial"))
        check_fail("cancelled: %s, %s", mn_status_name(info->status), mn_reason_name(info->reason));
    if (job == suspect_with_timeout)
        CHECK(info->reason == MN_REASON_KILLED);
    mn_info_destroy(info);
}

static void check_bystander(void)
{
    mn_info_t *info = NULL;
    REQUIRE_CODE(mn_get(bystander, &info), 0);
    uint64_t yields = info->yields;
    mn_info_destroy(info);
    if (await_yields(bystander, yields + 2) && status_is(bystander, MN_RUNNING))
        return;
    REQUIRE_CODE(mn_get(bystander, &info), 0);
    check_fail("the job beside it is %s: %s", mn_status_name(info->status),
               info->error ? info->error : "");
    mn_info_destroy(info);
}

static void check_row(mn_task_t *task)
{
    (void)task;
    const row_t *row = present;
    mn_entry_t *job = row->hangs ? suspect_with_timeout : suspect;
    roll_t roll;
    REQUIRE(roll_open(&roll));
    check_job(row, job, &roll);
    look_around(row, suspect, "job");
    if (!row->jobs_only) {
        check_item(row, &roll);
        look_around(row, look_at_item, "function");
    }
    if (row->hangs) {
        check_cancel(row, suspect_with_timeout, &roll);
        check_cancel(row, call_item, &roll);
    }
    check_bystander();
    roll_close(&roll);
}

static void begin(mn_task_t *task)
{
    (void)task;
    REQUIRE_CODE(mn_start(steady, mn_none(), NULL, &bystander), 0);
    REQUIRE(await_yields(bystander, 1));
    CHECK(strcmp(look(new_process, MAY_BE), "") == 0);
    CHECK(innocent != NULL);
}

/* Many at a time, in one map: the bad ones do not harm the good ones, whatever travels together. */
static void all_ends_in_one_map(mn_task_t *task)
{
    enum { MOST = sizeof rows / sizeof *rows };
    const row_t *chosen[MOST];
    char words[MOST][256];
    mn_value_t values[MOST], results[MOST];
    mn_item_error_t errors[MOST] = {{0}};
    roll_t roll;
    size_t count = 0;
    REQUIRE(roll_open(&roll));
    for (const row_t *row = rows; row < rows + MOST && !row->hangs; row++) {
        values[count] = order(row, &roll, words[count]);
        chosen[count++] = row;
    }
    for (size_t block = 0; block < 2; block++) {
        REQUIRE_CODE(mn_map_values(task, suspect_item, values, count, results,
                                   &(mn_map_options_t){.errors = errors, .max_block = block}),
                     0);
        for (size_t i = 0; i < count; i++) {
            const row_t *row = chosen[i];
            if (errors[i].code != row->code ||
                (row->code != 0 &&
                 (errors[i].reason != row->reason || !strstr(errors[i].message, row->error))))
                check_fail("%s: %s, %s: %s", row->name, mn_error_name(errors[i].code),
                           mn_reason_name(errors[i].reason),
                           errors[i].message ? errors[i].message : "no message");
            mn_value_destroy(&results[i]);
        }
        mn_item_errors_destroy(errors, count);
    }
    roll_close(&roll);
}

static void one_item_crashes(mn_task_t *task)
{
    mn_value_t result = mn_none();
    char words[16];
    const row_t *row = rows;
    while (row->misdeed != segfault)
        row++;
    snprintf(words, sizeof words, "%u -", (unsigned)(row - rows));
    CHECK_REFUSED(mn_call(task, suspect_item, mn_text(words), &result), MN_E_CRASHED);
    CHECK(strstr(mn_error_message(), "egmentation") != NULL);
    CHECK_CODE(mn_call(task, suspect_item, mn_text("look"), &result), 0);
    mn_value_destroy(&result);
}

static void log_of_a_gigabyte(mn_task_t *task)
{
    mn_id_t id;
    char *log = NULL, words[256];
    size_t size = 0;
    roll_t roll;
    (void)task;
    const row_t *row = rows;
    while (row->misdeed != print_a_gigabyte)
        row++;
    REQUIRE(roll_open(&roll));
    REQUIRE_CODE(mn_start(suspect, order(row, &roll, words), NULL, &id), 0);
    EXPECT_END(id, MN_SUCCEEDED, MN_REASON_RETURNED);
    REQUIRE_CODE(mn_log(id, 0, MN_STDOUT, &log, &size), 0);
    CHECK(size > 100000 && size < 140000 && strstr(log, "bytes left out"));
    free(log);
    roll_close(&roll);
}

static void end(mn_task_t *task)
{
    (void)task;
    CHECK_CODE(mn_cancel(bystander), 0);
    mn_info_t *info = ENDED(bystander, MN_CANCELLED, MN_REASON_CANCELLED);
    if (info)
        CHECK(info->attempts == 1);
    mn_info_destroy(info);
    free(innocent);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    (void)argc, (void)argv;
    check_begin();
    check_state.name = "begin";
    begin(task);
    for (present = rows; present < rows + sizeof rows / sizeof *rows; present++)
        check_run(task, present->name, check_row);
    RUN(task, one_item_crashes);
    RUN(task, all_ends_in_one_map);
    RUN(task, log_of_a_gigabyte);
    end(task);
    return check_end();
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
