/* SPDX-License-Identifier: MIT
 *
 * See store_faults.h.
 */
#include "store_faults.h"

#include "store_folder.h"

#include "store/read.h"
#include "util/error.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

faults_t faults;

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
} outcome_t;

/* The session is a child's: it may end in any way. */
static outcome_t run(const mni_fault_plan_t *plan, const client_options_t *options,
                     const char *what)
{
    struct counts {
        uint64_t fired;
        bool good;
    } *counts =
        mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(counts != MAP_FAILED);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        mni_fault_layer_set(NULL, true);
        mni_fault_plan(plan);
        counts->good = client_session(faults.path, faults.log, options);
        counts->fired = mni_fault_fired();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    outcome_t outcome = {.fired = counts->fired > 0};
    outcome.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool good = outcome.killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0 && counts->good);
    munmap(counts, sizeof *counts);
    if (!good)
        fail_msg("%s: the session ends with status %#x: %s", what, status, faults.log->error);
    outcome.fired |= outcome.killed;
    return outcome;
}

/* Beside the store there is only what belongs there, unless it could not be removed. */
static void check_files(bool excused)
{
    DIR *stream = opendir(faults.folder);
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

void faults_describe(const mni_fault_plan_t *plan, char text[160])
{
    static const char *const ends[] = {"fails", "tears", "kills", "tears+kills"};
    const char *kind = "any";
    for (unsigned i = 0; i < MNI_FAULT_KIND_COUNT; i++)
        if (plan->kinds == 1u << i)
            kind = mni_fault_kind_name((mni_fault_kind_t)i);
    snprintf(text, 160, "%s:%llu:%s:%s, seed %llu", kind, (unsigned long long)plan->nth,
             plan->for_good ? "good" : "once", ends[plan->end], (unsigned long long)faults.seed);
}

/* This client ends with jobs under way, which no scheduler does. */
static void tell_problem(void *argument, const char *sentence)
{
    if (!strstr(sentence, "were under way when"))
        snprintf(argument, 512, "%s", sentence);
}

/* What the log says is there, and every row, value and link of the file is sound. */
static void check_store(const char *when)
{
    char why[512] = "";
    mni_store_facts_t facts;

    if (!client_audit(faults.path, faults.log, why))
        fail_msg("%s: %s (the session: %d, %s)", when, why, faults.log->rc, faults.log->error);
    if (access(faults.path, F_OK) < 0) /* it was never begun */
        return;
    if (mni_store_verify(faults.path, tell_problem, why, &facts) < 0)
        fail_msg("%s: %s", when, mn_error_message());
    if (why[0])
        fail_msg("%s: %s", when, why);
}

static int count_files(void *argument, const mni_store_record_t *record)
{
    *(unsigned *)argument += (record->input_file != NULL) + (record->result_file != NULL);
    return 0;
}

/* Large values that nobody has are gone. */
static void check_values(const char *when)
{
    char name[PATH_MAX];
    mni_store_t *store = NULL;
    unsigned named = 0, there = 0;

    if (mni_store_open_read(faults.path, &store) < 0 ||
        mni_store_recover(store, count_files, &named) < 0)
        fail_msg("%s: %s", when, mn_error_message());
    mni_store_close(store);
    path_make(name, faults.folder, "store.h5.values");
    DIR *stream = opendir(name);
    for (const struct dirent *entry; stream && (entry = readdir(stream));)
        there += entry->d_name[0] != '.';
    if (stream)
        closedir(stream);
    if (there != named)
        fail_msg("%s: %u values have files, and there are %u", when, named, there);
}

/* True: the fault was met. */
static bool try_fault(const mni_fault_plan_t *plan, client_options_t options)
{
    char when[200], what[160];

    faults_copy();
    faults_describe(plan, what);
    if (getenv("FAULT_VERBOSE"))
        print_message("%s\n", what);
    outcome_t outcome = run(plan, &options, what);
    if (!outcome.killed && faults.log->rc < 0 && faults.log->error[0] == '\0')
        fail_msg("%s: the store fails without a sentence", what);
    if (!outcome.fired && faults.log->rc < 0)
        fail_msg("%s: without a fault: %s", what, faults.log->error);
    check_store(what);
    check_files(outcome.killed || plan->kinds & 1u << MNI_FAULT_UNLINK);
    /* and it goes on, with a fault no more */
    snprintf(when, sizeof when, "%s: the next session", what);
    options.steps = 6;
    options.cut = options.follow = false;
    run(&(mni_fault_plan_t){0}, &options, when);
    if (faults.log->rc < 0 || faults.log->acknowledged != faults.log->count)
        fail_msg("%s: %s", when, faults.log->error);
    check_store(when);
    check_files(false);
    check_values(when);
    return outcome.fired;
}

/* --- tests -------------------------------------------------------------------------------------------- */

static unsigned by_of(unsigned kinds)
{
    return kinds & 1u << MNI_FAULT_HDF5     ? faults.step
           : kinds & 1u << MNI_FAULT_MEMORY ? (faults.step + 1) / 2
                                            : faults.few;
}

/* All points of some kinds. */
static unsigned loop(unsigned kinds, bool for_good, mni_fault_end_t end, int error)
{
    unsigned tried = 0, by = by_of(kinds);
    mni_fault_plan_t plan = {.kinds = kinds, .for_good = for_good, .end = end, .error = error};

    for (plan.nth = 1 + faults.seed % by; try_fault(&plan, faults.options); plan.nth += by)
        tried++;
    return tried;
}

static void each_kind(bool for_good, int error)
{
    for (unsigned kind = 0; kind < MNI_FAULT_KIND_COUNT; kind++) {
        unsigned tried = loop(1u << kind, for_good, MNI_FAULT_FAILS, error);
        print_message("# %s, %s: %u\n", mni_fault_kind_name((mni_fault_kind_t)kind),
                      for_good ? "for good" : "once", tried);
    }
}

void a_call_fails_once(void **state)
{
    (void)state;
    each_kind(false, EIO);
}

void calls_fail_for_good(void **state)
{
    (void)state;
    each_kind(true, ENOSPC);
}

void a_write_is_torn(void **state)
{
    (void)state;
    loop(1u << MNI_FAULT_WRITE, false, MNI_FAULT_TEARS, ENOSPC);
    loop(1u << MNI_FAULT_WRITE, true, MNI_FAULT_TEARS, EIO);
    loop(1u << MNI_FAULT_WRITE, false, MNI_FAULT_TEARS_AND_KILLS, EIO);
}

void it_is_killed_between_two_steps(void **state)
{
    const unsigned many = 1u << MNI_FAULT_MEMORY | 1u << MNI_FAULT_HDF5;
    (void)state;
    unsigned tried = loop(MNI_FAULT_ANY & ~many, false, MNI_FAULT_KILLS, 0);
    tried += loop(1u << MNI_FAULT_HDF5, false, MNI_FAULT_KILLS, 0);
    print_message("# killed: %u\n", tried);
}

/* --- what there is to begin with -------------------------------------------------------------------- */

void faults_copy(void)
{
    folder_copy(faults.template, faults.folder);
    *faults.log = *faults.template_log;
}

void faults_template(bool empty, bool large)
{
    client_options_t options = {.seed = faults.seed, .jobs = 5, .steps = 30, .patience = 1000};
    char name[PATH_MAX];

    folder_clear(faults.folder);
    *faults.log = (client_log_t){.large = large};
    if (!empty) {
        run(&(mni_fault_plan_t){0}, &options, "a store to begin with");
        assert_int_equal(faults.log->rc, 0);
        options.seed++;
        options.steps = 20;
        options.cut = true;
        run(&(mni_fault_plan_t){0}, &options, "a store to begin with");
        assert_int_equal(faults.log->rc, 0);
        assert_true(faults.log->acknowledged > 20);
        path_make(name, faults.folder, "store.h5.journal");
        journal_trim(name);
    }
    folder_copy(faults.folder, faults.template);
    *faults.template_log = *faults.log;
    faults.options =
        (client_options_t){.seed = faults.seed + 2, .jobs = 3, .steps = 16, .patience = 300};
}

void faults_follow(void)
{
    client_options_t *options = &faults.options;

    options->steps = 10;
    options->patience = 150;
    options->follow = true;
    /* of some courses one in which much is replaced */
    for (unsigned tries = 0; tries < 10 && faults.log->replaced < 3; tries++) {
        options->seed++;
        faults_copy();
        run(&(mni_fault_plan_t){0}, options, "without a fault");
        assert_int_equal(faults.log->rc, 0);
    }
    if (faults.log->replaced < 3)
        fail_msg("the file is not replaced in mid-run: %u times", faults.log->replaced);
}

void faults_begin(const char *test)
{
    const char *text = getenv("SEED");
    faults.seed = text ? strtoull(text, NULL, 10) : (uint64_t)getpid();
    text = getenv("FAULT_STEP");
    faults.step = text && atoi(text) > 0 ? (unsigned)atoi(text) : 29;
    faults.few = 1;
    print_message("# SEED=%llu FAULT_STEP=%u\n", (unsigned long long)faults.seed, faults.step);
    folder_begin(test);
    path_make(faults.template, base, "template");
    path_make(faults.folder, base, "store");
    path_make(faults.path, faults.folder, "store.h5");
    mkdir(faults.folder, 0700);
    faults.template_log = shared_log();
    faults.log = shared_log();
}

void faults_end(void)
{
    folder_end();
}

int faults_followed(const char *test, CMFixtureFunction setup)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_call_fails_once, setup),
        cmocka_unit_test_setup(calls_fail_for_good, setup),
        cmocka_unit_test_setup(a_write_is_torn, setup),
        cmocka_unit_test_setup(it_is_killed_between_two_steps, setup),
    };
    faults_begin(test);
    if (faults.step > 1) { /* a session has more points than one without replacements */
        faults.few = (faults.step + 1) / 2;
        faults.step *= 4;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    faults_end();
    return failed;
}
