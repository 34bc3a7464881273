/* SPDX-License-Identifier: MIT
 *
 * Stores that earlier versions have written (tests/golden/) are read to exactly the jobs that they had: NAME.h5, with its journal
 * where a crash has left one, and NAME.txt, the jobs. A run goes on with a copy of each, and what it leaves has the same jobs.
 *
 * A new format gets files of its own, made by the version that has it: `test_store_golden make NAME`, in tests/golden/.
 */
#include "store_folder.h"

#include "store/internal.h"

#include <math.h>
#include <sys/wait.h>

static char folder[PATH_MAX];

/* --- jobs as text -------------------------------------------------------------------------------- */

typedef struct kept {
    mni_store_record_t records[64];
    size_t count, given;
    FILE *text; /* NULL: none is wanted */
} kept_t;

static void print_value(FILE *text, const char *name, mn_value_t value)
{
    const uint8_t *bytes = value.data;
    fprintf(text, "  %s %s", name, mn_type_name(value.type));
    for (unsigned i = 0; i < value.ndims; i++)
        fprintf(text, "%c%zu", i ? 'x' : ' ', value.dims[i]);
    uint64_t sum = 0;
    for (size_t i = 0; i < value.size; i++)
        sum = sum * 31 + bytes[i];
    fprintf(text, ": %zu bytes, sum %llx\n", value.size, (unsigned long long)sum);
}

static void print_text(FILE *text, const char *name, const char *value)
{
    if (value)
        fprintf(text, "  %s \"%s\"\n", name, value);
}

static void print_job(FILE *text, const mni_store_record_t *record)
{
    const mn_info_t *info = &record->info;
    char id[MN_ID_TEXT];

    fprintf(text, "%s %s %s (%s)\n", mn_id_format(info->id, id), info->job,
            mn_status_name(info->status), mn_reason_name(info->reason));
    fprintf(text, "  attempts %u, retries %u, lost %u, yields %llu, progress %g\n", info->attempts,
            record->retries, record->lost, (unsigned long long)info->yields, info->progress);
    fprintf(text, "  created %.17g, started %.17g, ended %.17g, rank %d\n", info->created,
            info->started, info->ended, info->rank);
    print_text(text, "error", info->error);
    print_text(text, "message", info->message);
    print_text(text, "lock", info->lock);
    print_text(text, "tag", info->tag);
    print_text(text, "key", info->key);
    print_text(text, "host", info->host);
    print_text(text, "cpus", info->cpus);
    if (record->has_need) {
        const mni_need_t *need = &record->need;
        fprintf(text, "  millicores %u, memory %llu, at most %u at a time, %u retries, %u lost\n",
                need->millicores, (unsigned long long)need->memory, need->max_concurrency,
                need->max_retries, need->max_lost);
        fprintf(text, "  priority %d, timeout %g, grace %g\n", need->priority, need->timeout,
                need->grace);
        if (need->gpus > 0)
            fprintf(text, "  gpus %u\n", need->gpus);
    }
    if (info->cpu_time > 0 || info->peak_memory > 0)
        fprintf(text, "  cpu_time %.17g, peak_memory %llu\n", info->cpu_time,
                (unsigned long long)info->peak_memory);
    print_value(text, "input", record->input);
    print_value(text, "result", info->result);
}

static char *copy_text(const char *text)
{
    return text ? strdup(text) : NULL;
}

static mn_value_t copy_value(mn_value_t value)
{
    void *copy = malloc(value.size + 1);
    assert_non_null(copy);
    if (value.size > 0)
        memcpy(copy, value.data, value.size);
    value.data = copy;
    return value;
}

static int take(void *argument, const mni_store_record_t *record)
{
    kept_t *kept = argument;
    if (kept->text)
        print_job(kept->text, record);
    assert_true(kept->count < 64);
    mni_store_record_t *copy = &kept->records[kept->count++];
    *copy = *record;
    copy->info.job = copy_text(record->info.job);
    copy->info.error = copy_text(record->info.error);
    copy->info.message = copy_text(record->info.message);
    copy->info.lock = copy_text(record->info.lock);
    copy->info.tag = copy_text(record->info.tag);
    copy->info.key = copy_text(record->info.key);
    copy->info.host = copy_text(record->info.host);
    copy->info.cpus = copy_text(record->info.cpus);
    copy->info.result = copy_value(record->info.result);
    copy->input = copy_value(record->input);
    return 0;
}

static void kept_clear(kept_t *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        mn_info_t *info = &kept->records[i].info;
        const char *texts[] = {info->job, info->error, info->message, info->lock,
                               info->tag, info->key,   info->host,    info->cpus};
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
            free((char *)texts[t]);
        free((void *)info->result.data);
        free((void *)kept->records[i].input.data);
    }
    kept->count = kept->given = 0;
}

static int give(void *argument, mni_store_record_t *record)
{
    kept_t *kept = argument;
    if (kept->given == kept->count)
        return 0;
    *record = kept->records[kept->given++];
    return 1;
}

/* The jobs of a store as text; with `go_on` by a run that goes on with it and ends. */
static char *list(const char *path, bool go_on)
{
    static mni_doorbell_t bell;
    mni_store_t *store = NULL;
    kept_t kept = {.count = 0};
    char *text = NULL;
    size_t size = 0;

    kept.text = open_memstream(&text, &size);
    if (mni_store_open(path, &store) < 0 || mni_store_recover(store, take, &kept) < 0)
        fail_msg("%s: %s", path, mn_error_message());
    fclose(kept.text);
    if (mni_store_damage(store))
        fail_msg("%s: %s", path, mni_store_damage(store));
    if (go_on && (mni_store_begin(store, MNI_DURABILITY_FSYNC, &bell, give, &kept) < 0 ||
                  ((kept.given = 0), mni_store_finish(store, give, &kept)) < 0))
        fail_msg("%s: a run: %s", path, mn_error_message());
    mni_store_close(store);
    kept_clear(&kept);
    return text;
}

/* --- the test ---------------------------------------------------------------------------------------- */

static void copy_file(const char *from_folder, const char *name, const char *to)
{
    char from[PATH_MAX];
    size_t size = 0;
    path_make(from, from_folder, name);
    uint8_t *bytes = file_load(from, &size);
    if (bytes)
        file_save(to, bytes, size);
    free(bytes);
}

static void check_same(const char *name, const char *text, const char *expected)
{
    if (strcmp(text, expected) == 0)
        return;
    size_t at = 0;
    while (text[at] && text[at] == expected[at])
        at++;
    while (at > 0 && text[at - 1] != '\n')
        at--;
    fail_msg("%s has \"%.200s\" instead of \"%.200s\"", name, text + at, expected + at);
}

static void must(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "%s\n", mn_error_message());
        exit(1);
    }
}

/* Made anew without a run, a file of any format is one of the present format. */
static void rebuild(const char *path)
{
    mni_store_t *store = NULL;
    mni_hdf5_t before;
    uint64_t included;
    bool has_id = false;
    int format = 0;
    mn_id_t id;

    must(mni_store_open(path, &store));
    must(mni_store_rebuild(store, false));
    mni_store_close(store);
    mni_hdf5_enter(&before);
    int rc = mni_file_identity(path, &format, &has_id, &id, &included);
    mni_hdf5_leave(&before);
    must(rc);
    assert_int_equal(format, MNI_STORE_FORMAT);
    assert_true(has_id);
}

static void take_golden(const char *golden, const char *name)
{
    char path[PATH_MAX], file[300];

    path_make(path, folder, "store.h5");
    snprintf(file, sizeof file, "%s.h5", name);
    copy_file(golden, file, path);
    path_make(path, folder, "store.h5.journal");
    snprintf(file, sizeof file, "%s.h5.journal", name);
    copy_file(golden, file, path);
}

static void check_golden(const char *golden, const char *name)
{
    char path[PATH_MAX], file[300];
    size_t size = 0;

    take_golden(golden, name);
    snprintf(file, sizeof file, "%s.txt", name);
    path_make(path, golden, file);
    uint8_t *expected = file_load(path, &size);
    assert_non_null(expected);
    expected[size] = '\0';
    path_make(path, folder, "store.h5");
    for (int round = 0; round < 3; round++) { /* as it is; by a run; as that run leaves it */
        char *text = list(path, round == 1);
        check_same(name, text, (const char *)expected);
        free(text);
    }
    folder_clear(folder);
    take_golden(golden, name);
    rebuild(path);
    char *text = list(path, false);
    check_same(name, text, (const char *)expected);
    free(text);
    free(expected);
    folder_clear(folder);
}

static void earlier_formats_are_read(void **state)
{
    const char *top = getenv("top_srcdir");
    char golden[PATH_MAX];
    unsigned count = 0;
    (void)state;

    path_make(golden, top ? top : "..", "tests/golden");
    DIR *stream = opendir(golden);
    if (!stream)
        fail_msg("%s: %s", golden, strerror(errno));
    for (struct dirent *entry; (entry = readdir(stream));) {
        char *dot = strstr(entry->d_name, ".txt");
        if (!dot)
            continue;
        *dot = '\0';
        print_message("# %s\n", entry->d_name);
        check_golden(golden, entry->d_name);
        count++;
    }
    closedir(stream);
    assert_true(count >= 6);
}

/* --- making one ------------------------------------------------------------------------------------------ */

static mni_store_record_t record_of(uint8_t number)
{
    static const double reals[6] = {1.5, -2.25, 1e300, 0, 0.1, 7};
    static const int32_t whole[] = {3, 1, 4, 1, 5};
    static uint8_t raw[3000];
    const size_t dims[3] = {1, 2, 3}, none[2] = {0, 3};
    const mn_value_t values[] = {
        mn_array(MN_INT32, whole, 5),          mn_matrix(MN_FLOAT64, reals, 2, 3),
        mn_text("caf\xc3\xa9, an input"),      mn_bytes(raw, sizeof raw),
        mn_tensor(MN_FLOAT64, reals, 3, dims), mn_text(""),
        mn_tensor(MN_INT16, raw, 2, none),     {0},
    };
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(i * 7);
    mni_store_record_t record = {
        .info = {.id = {{0x40, number, 0, 0, 0, 0, 0x40, 0, 0x80, 1}},
                 .job = number % 2 ? "simulate" : "calculate_next_n_moves",
                 .created = 1700000000.5 + number,
                 .rank = -1,
                 .tag = number % 3 == 0 ? "sweep" : NULL,
                 .result = values[(number + 3) % 8]},
        .input = values[number % 8],
        .need = {.millicores = 100u * number,
                 .memory = (uint64_t)number << 30,
                 .gpus = number % 4,
                 .max_concurrency = UINT32_MAX,
                 .max_retries = 2,
                 .max_lost = 3,
                 .priority = number - 5,
                 .timeout = number % 2 ? INFINITY : 60,
                 .grace = 300},
        .has_need = true,
    };
    if (number == 4)
        record.info.lock = "table-7";
    if (number == 5)
        record.info.key = "sample-17";
    return record;
}

/* A job's life, up to a status. */
static void live(mni_store_t *store, uint8_t number, mn_status_t status)
{
    mni_store_record_t record = record_of(number);
    mn_info_t *info = &record.info;

    must(mni_store_started(store, &record));
    if (status == MN_PENDING)
        return;
    info->attempts = 1 + number % 3;
    info->started = info->created + 10;
    info->host = "node17";
    info->rank = 3;
    info->cpus = "4-7,12";
    must(mni_store_changed(store, MNI_STORE_BEGUN, &record));
    info->yields = number;
    info->progress = 0.25;
    info->message = "a quarter";
    must(mni_store_changed(store, MNI_STORE_YIELDED, &record));
    if (status == MN_RUNNING)
        return;
    info->status = status;
    info->reason = status == MN_SUCCEEDED ? MN_REASON_RETURNED
                   : status == MN_FAILED  ? MN_REASON_ERROR
                                          : MN_REASON_CANCELLED;
    info->error = status == MN_FAILED ? "it did not converge" : NULL;
    info->ended = status == MN_CANCELLING ? 0 : info->created + 100;
    info->cpu_time = 0.125 * number;
    info->peak_memory = 1000000000u + number;
    record.retries = info->attempts - 1;
    record.lost = number % 2;
    must(mni_store_changed(
        store, number % 2 ? MNI_STORE_CHANGED : MNI_STORE_YIELDED | MNI_STORE_CHANGED, &record));
}

static void wait_kept(mni_store_t *store, mni_doorbell_t *bell)
{
    mni_store_commit(store);
    while (mni_store_kept(store) < mni_store_told(store))
        mni_doorbell_sleep(bell, mni_doorbell_seen(bell), 1000000);
}

/* Two runs: one that ends, and one that is killed. */
static int make(const char *name)
{
    static mni_doorbell_t bell;
    mni_store_t *store = NULL;
    kept_t kept = {.count = 0};
    char path[256];

    snprintf(path, sizeof path, "%s.h5", name);
    must(mni_store_open(path, &store));
    must(mni_store_begin(store, MNI_DURABILITY_FSYNC, &bell, give, &kept));
    for (uint8_t number = 1; number <= 9; number++)
        live(store, number, (mn_status_t)(number % (MN_CANCELLED + 1)));
    wait_kept(store, &bell);
    mni_store_close(store); /* a crash; the file gets its jobs in the next run */
    must(mni_store_open(path, &store));
    must(mni_store_recover(store, take, &kept));
    must(mni_store_begin(store, MNI_DURABILITY_FSYNC, &bell, give, &kept));
    kept.given = 0;
    must(mni_store_finish(store, give, &kept));
    mni_store_close(store);
    kept_clear(&kept);
    must(mni_store_open(path, &store));
    must(mni_store_recover(store, take, &kept));
    must(mni_store_begin(store, MNI_DURABILITY_FSYNC, &bell, give, &kept));
    for (uint8_t number = 10; number <= 16; number++)
        live(store, number, (mn_status_t)(number % (MN_CANCELLED + 1)));
    must(mni_store_removed(store, record_of(2).info.id));
    mni_store_record_t record = record_of(1);
    record.info.yields = 99;
    must(mni_store_changed(store, MNI_STORE_YIELDED, &record));
    wait_kept(store, &bell);
    mni_store_close(store);
    kept_clear(&kept);
    snprintf(path, sizeof path, "%s.h5.journal", name);
    journal_trim(path);
    snprintf(path, sizeof path, "%s.h5", name);
    char *text = list(path, false);
    snprintf(path, sizeof path, "%s.txt", name);
    file_save(path, text, strlen(text));
    free(text);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(earlier_formats_are_read),
    };
    if (argc == 3 && strcmp(argv[1], "make") == 0)
        return make(argv[2]);
    folder_begin("test_store_golden");
    path_make(folder, base, "store");
    mkdir(folder, 0700);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_end();
    return failed;
}
