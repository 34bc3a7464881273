/* SPDX-License-Identifier: MIT
 *
 * store/ under faults: the N-th write, sync, rename, allocation, HDF5 call and so on fails, once or for good, or is the last thing
 * that the process does, for N = 1, 2, ... until a session ends without having met the fault. After each the log of what was
 * acknowledged is held against what the store has, and another session must go on from there.
 *
 * FAULT_STEP=N takes every N-th point only (1 for all of them, by hand: CONTRIBUTING.md). SEED: other changes.
 */
#include "store_client.h"
#include "store_folder.h"

#include "util/fault.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static char template[PATH_MAX], folder[PATH_MAX], path[PATH_MAX];
static client_log_t *template_log, *log_; /* shared with children */
static uint64_t seed;
static unsigned step;

static client_log_t *shared_log(void)
{
    void *at =
        mmap(NULL, sizeof(client_log_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

/* --- one session under a fault --------------------------------------------------------------------- */

typedef struct outcome {
    bool fired, killed;
    uint64_t passed;
} outcome_t;

/* The session is a child's: it may end in any way. */
static outcome_t run(const mni_fault_plan_t *plan, const client_options_t *options)
{
    struct counts {
        uint64_t fired, passed;
        bool good;
    } *counts =
        mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(counts != MAP_FAILED);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        mni_fault_layer_set(NULL, true);
        mni_fault_plan(plan);
        counts->good = client_session(path, log_, options);
        counts->fired = mni_fault_fired();
        counts->passed = mni_fault_passed();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    outcome_t outcome = {.fired = counts->fired > 0, .passed = counts->passed};
    outcome.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool good = outcome.killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0 && counts->good);
    munmap(counts, sizeof *counts);
    if (!good)
        fail_msg("the session ends with status %#x: %s", status, log_->error);
    outcome.fired |= outcome.killed;
    return outcome;
}

/* Beside the store there is only what belongs there, unless it could not be removed. */
static void check_files(bool excused)
{
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        const char *name = entry->d_name;
        if (name[0] == '.' || excused)
            continue;
        if (strcmp(name, "store.h5") != 0 && strcmp(name, "store.h5.journal") != 0 &&
            strcmp(name, "store.h5.values") != 0 && strcmp(name, "store.h5.lock") != 0)
            fail_msg("%s was left behind", name);
    }
    closedir(stream);
}

static void describe(const mni_fault_plan_t *plan, char text[160])
{
    static const char *const ends[] = {"fails", "tears", "kills", "tears+kills"};
    const char *kind = "any";
    for (unsigned i = 0; i < MNI_FAULT_KIND_COUNT; i++)
        if (plan->kinds == 1u << i)
            kind = mni_fault_kind_name((mni_fault_kind_t)i);
    snprintf(text, 160, "%s:%llu:%s:%s, seed %llu", kind, (unsigned long long)plan->nth,
             plan->for_good ? "good" : "once", ends[plan->end], (unsigned long long)seed);
}

/* True: the fault was met. */
static bool try_fault(const mni_fault_plan_t *plan, client_options_t options)
{
    char what[160], why[512] = "";

    folder_copy(template, folder);
    *log_ = *template_log;
    describe(plan, what);
    if (getenv("FAULT_VERBOSE"))
        print_message("%s\n", what);
    outcome_t outcome = run(plan, &options);
    if (!outcome.killed && log_->rc < 0 && log_->error[0] == '\0')
        fail_msg("%s: the store fails without a sentence", what);
    if (!outcome.fired && log_->rc < 0)
        fail_msg("%s: without a fault: %s", what, log_->error);
    if (!client_audit(path, log_, why))
        fail_msg("%s: %s (the session: %d, %s)", what, why, log_->rc, log_->error);
    check_files(outcome.killed || plan->kinds & 1u << MNI_FAULT_UNLINK);
    /* and it goes on, with a fault no more */
    options.steps = 6;
    options.cut = false;
    outcome_t after = run(&(mni_fault_plan_t){0}, &options);
    (void)after;
    if (log_->rc < 0 || log_->acknowledged != log_->count)
        fail_msg("%s: the next session: %s", what, log_->error);
    if (!client_audit(path, log_, why))
        fail_msg("%s: after the next session: %s", what, why);
    return outcome.fired;
}

/* All points of some kinds. */
static unsigned loop(unsigned kinds, bool for_good, mni_fault_end_t end, int error,
                     const client_options_t *options)
{
    unsigned tried = 0;
    mni_fault_plan_t plan = {
        .kinds = kinds, .nth = 1, .for_good = for_good, .end = end, .error = error};

    /* Allocations and HDF5's calls are many. */
    unsigned by = kinds & (1u << MNI_FAULT_MEMORY | 1u << MNI_FAULT_HDF5) ? step : 1;
    for (uint64_t nth = 1 + seed % by;; nth += by, tried++) {
        plan.nth = nth;
        if (!try_fault(&plan, *options))
            return tried;
    }
}

/* --- what there is to begin with -------------------------------------------------------------------- */

/* A store with a file and a journal, as a crash left them. */
static void make_template(bool empty)
{
    char name[PATH_MAX];
    client_options_t options = {.seed = seed, .jobs = 5, .steps = 30, .patience = 1000};

    folder_clear(folder);
    *log_ = (client_log_t){0};
    if (!empty) {
        run(&(mni_fault_plan_t){0}, &options);
        assert_int_equal(log_->rc, 0);
        options.seed++;
        options.steps = 20;
        options.cut = true;
        run(&(mni_fault_plan_t){0}, &options);
        assert_int_equal(log_->rc, 0);
        assert_true(log_->acknowledged > 20);
        path_make(name, folder, "store.h5.journal");
        journal_trim(name);
    }
    folder_copy(folder, template);
    *template_log = *log_;
}

static const client_options_t under_fault = {.jobs = 3, .steps = 16, .patience = 300};

static client_options_t session_options(void)
{
    client_options_t options = under_fault;
    options.seed = seed + 2;
    return options;
}

static int from_a_crash(void **state)
{
    (void)state;
    make_template(false);
    return 0;
}

static int from_nothing(void **state)
{
    (void)state;
    make_template(true);
    return 0;
}

/* --- tests -------------------------------------------------------------------------------------------- */

static void each_kind(bool for_good, int error, mni_fault_end_t end)
{
    client_options_t options = session_options();
    for (unsigned kind = 0; kind < MNI_FAULT_KIND_COUNT; kind++) {
        unsigned tried = loop(1u << kind, for_good, end, error, &options);
        print_message("# %s, %s: %u\n", mni_fault_kind_name((mni_fault_kind_t)kind),
                      for_good ? "for good" : "once", tried);
    }
}

static void a_call_fails_once(void **state)
{
    (void)state;
    each_kind(false, EIO, MNI_FAULT_FAILS);
}

static void calls_fail_for_good(void **state)
{
    (void)state;
    each_kind(true, ENOSPC, MNI_FAULT_FAILS);
}

static void a_write_is_torn(void **state)
{
    client_options_t options = session_options();
    (void)state;
    loop(1u << MNI_FAULT_WRITE, false, MNI_FAULT_TEARS, ENOSPC, &options);
    loop(1u << MNI_FAULT_WRITE, true, MNI_FAULT_TEARS, EIO, &options);
    loop(1u << MNI_FAULT_WRITE, false, MNI_FAULT_TEARS_AND_KILLS, EIO, &options);
}

static void it_is_killed_between_two_steps(void **state)
{
    client_options_t options = session_options();
    (void)state;
    unsigned tried = loop(MNI_FAULT_ANY & ~(1u << MNI_FAULT_MEMORY | 1u << MNI_FAULT_HDF5), false,
                          MNI_FAULT_KILLS, 0, &options);
    tried += loop(1u << MNI_FAULT_HDF5, false, MNI_FAULT_KILLS, 0, &options);
    print_message("# killed: %u\n", tried);
}

/* Whatever fails while a store is read: it is refused with a sentence, or what it gives is right. */
static void what_is_read_is_right_or_refused(void **state)
{
    static const char refused[] = "the store is refused: ";
    const unsigned kinds =
        1u << MNI_FAULT_OPEN | 1u << MNI_FAULT_READ | 1u << MNI_FAULT_MEMORY | 1u << MNI_FAULT_HDF5;
    mni_fault_plan_t plan = {.kinds = kinds, .error = EIO};
    char what[160], why[512];
    unsigned tried = 0;

    (void)state;
    folder_copy(template, folder);
    do {
        tried += plan.for_good;
        plan.for_good = !plan.for_good;
        plan.nth += plan.for_good;
        mni_fault_plan(&plan);
        bool good = client_audit(path, template_log, why);
        if (!good && (strncmp(why, refused, sizeof refused - 1) != 0 || !why[sizeof refused - 1])) {
            describe(&plan, what);
            fail_msg("%s: %s", what, why);
        }
    } while (mni_fault_fired() > 0);
    mni_fault_plan(&(mni_fault_plan_t){0});
    print_message("# read: %u\n", tried);
}

static void plans_are_read(void **state)
{
    mni_fault_plan_t plan = {0};
    (void)state;
    assert_true(mni_fault_parse("write+sync:17:good:ENOSPC", &plan));
    assert_int_equal(plan.kinds, 1u << MNI_FAULT_WRITE | 1u << MNI_FAULT_SYNC);
    assert_int_equal(plan.nth, 17);
    assert_true(plan.for_good && plan.end == MNI_FAULT_FAILS && plan.error == ENOSPC);
    assert_true(mni_fault_parse("any:1:once:tears+kills", &plan));
    assert_true(plan.kinds == MNI_FAULT_ANY && plan.end == MNI_FAULT_TEARS_AND_KILLS);
    assert_false(plan.for_good);
    static const char *const bad[] = {"",         "write",    "write:",   "write:0", "write:x",
                                      "writ:1",   "write+:1", "+write:1", "any:1:",  "any:1:maybe",
                                      "any:1:EX", ":1",       "write:1x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (mni_fault_parse(bad[i], &plan))
            fail_msg("\"%s\" is taken for a plan", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_read),
        cmocka_unit_test_setup(what_is_read_is_right_or_refused, from_a_crash),
        cmocka_unit_test_setup(a_call_fails_once, from_a_crash),
        cmocka_unit_test_setup(calls_fail_for_good, from_a_crash),
        cmocka_unit_test_setup(a_write_is_torn, from_a_crash),
        cmocka_unit_test_setup(it_is_killed_between_two_steps, from_a_crash),
        cmocka_unit_test_setup(a_call_fails_once, from_nothing),
        cmocka_unit_test_setup(it_is_killed_between_two_steps, from_nothing),
    };
    const char *text = getenv("SEED");
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)getpid();
    text = getenv("FAULT_STEP");
    step = text && atoi(text) > 0 ? (unsigned)atoi(text) : 29;
    print_message("# SEED=%llu FAULT_STEP=%u\n", (unsigned long long)seed, step);
    folder_begin("test_store_faults");
    path_make(template, base, "template");
    path_make(folder, base, "store");
    path_make(path, folder, "store.h5");
    mkdir(folder, 0700);
    template_log = shared_log();
    log_ = shared_log();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_end();
    return failed;
}
