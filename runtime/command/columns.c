/* SPDX-License-Identifier: MIT
 *
 * multinode list: jobs as columns of texts.
 */
#include "command/list.h"

#include "util/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TEXT_ROOM 512

/* --- for scripts ---------------------------------------------------- */

typedef const char *text_t(const mni_store_record_t *record, char *room);

#define TEXT(name, member)                                                     \
    static const char *name##_of(const mni_store_record_t *record, char *room) \
    {                                                                          \
        (void)room;                                                            \
        return record->info.member;                                            \
    }
#define NUMBER(name, format, value)                                            \
    static const char *name##_of(const mni_store_record_t *record, char *room) \
    {                                                                          \
        snprintf(room, TEXT_ROOM, "%" format, record->info.value);             \
        return room;                                                           \
    }
#define TIME(name)                                                             \
    static const char *name##_of(const mni_store_record_t *record, char *room) \
    {                                                                          \
        if (!(record->info.name > 0))                                          \
            return NULL;                                                       \
        snprintf(room, TEXT_ROOM, "%.6f", record->info.name);                  \
        return room;                                                           \
    }

static const char *id_of(const mni_store_record_t *record, char *room)
{
    return mn_id_format(record->info.id, room);
}

static const char *status_of(const mni_store_record_t *record, char *room)
{
    (void)room;
    return mn_status_name(record->info.status);
}

static const char *reason_of(const mni_store_record_t *record, char *room)
{
    (void)room;
    return mn_reason_name(record->info.reason);
}

TEXT(job, job)
TEXT(error, error)
TEXT(lock, lock)
TEXT(tag, tag)
TEXT(key, key)
TEXT(message, message)
TEXT(host, host)
TEXT(cpus, cpus)
NUMBER(attempts, "u", attempts)
NUMBER(progress, "g", progress)
NUMBER(yields, PRIu64, yields)
NUMBER(rank, "d", rank)
NUMBER(cpu_time, "g", cpu_time)
NUMBER(peak_memory, PRIu64, peak_memory)
TIME(created)
TIME(started)
TIME(ended)

static const struct {
    const char *name;
    text_t *text;
} columns[] = {
#define COLUMN(name) {#name, name##_of},
    /* clang-format off */
    COLUMN(id) COLUMN(job) COLUMN(status) COLUMN(reason) COLUMN(error) COLUMN(attempts)
    COLUMN(lock) COLUMN(tag) COLUMN(key) COLUMN(created) COLUMN(started) COLUMN(ended)
    COLUMN(progress) COLUMN(message) COLUMN(yields) COLUMN(host) COLUMN(rank) COLUMN(cpus)
    COLUMN(cpu_time) COLUMN(peak_memory)
/* clang-format on */
#undef COLUMN
};

#define COLUMNS (sizeof columns / sizeof columns[0])

static size_t column_named(const char *name, size_t length)
{
    size_t i = 0;
    while (i < COLUMNS &&
           (strlen(columns[i].name) != length || strncmp(columns[i].name, name, length) != 0))
        i++;
    return i;
}

int mni_list_columns_check(const char *format)
{
    const char *names[COLUMNS + 1] = {NULL};
    char word[64];

    if (format[0] == '\0')
        return mni_usage_error("list", "--format is empty");
    for (size_t i = 0; i < COLUMNS; i++)
        names[i] = columns[i].name;
    for (;;) {
        size_t length = strcspn(format, ",");
        if (column_named(format, length) == COLUMNS) {
            snprintf(word, sizeof word, "%.*s", (int)(length < 60 ? length : 60), format);
            const char *near = mni_nearest(word, names);
            return near ? mni_usage_error("list", "there is no column \"%s\"; did you mean \"%s\"?",
                                          word, near)
                        : mni_usage_error("list", "there is no column \"%s\"", word);
        }
        if (format[length] == '\0')
            return 0;
        format += length + 1;
    }
}

static void print_row(const char *format, const mni_store_record_t *record)
{
    char room[TEXT_ROOM];

    for (;;) {
        size_t length = strcspn(format, ",");
        const char *text = columns[column_named(format, length)].text(record, room);
        if (text != NULL)
            mni_show_text(stdout, text, 0);
        fputc(format[length] == '\0' ? '\n' : '\t', stdout);
        if (format[length] == '\0')
            return;
        format += length + 1;
    }
}

void mni_list_print_columns(const mni_list_t *list)
{
    for (size_t i = 0; i < list->count && !ferror(stdout); i++)
        print_row(list->format, mni_list_at(list, i));
}

/* --- for people ---------------------------------------------------- */

enum { ID, JOB, STATUS, CREATED, TOOK, DONE, TAG, LOCK, KEY, HOST, NOTE, CELLS };

static const struct {
    const char *head;
    bool right;
} heads[CELLS] = {
    [ID] = {"ID", false},           [JOB] = {"JOB", false},   [STATUS] = {"STATUS", false},
    [CREATED] = {"CREATED", false}, [TOOK] = {"TIME", true},  [DONE] = {"DONE", true},
    [TAG] = {"TAG", false},         [LOCK] = {"LOCK", false}, [KEY] = {"KEY", false},
    [HOST] = {"HOST", false},       [NOTE] = {"NOTE", false},
};

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(mn_id_t));
}

/* Characters of an id that tell all jobs of the store apart. */
static int id_length(mni_list_t *list)
{
    char a[MN_ID_TEXT], b[MN_ID_TEXT];
    int length = 8;

    qsort(list->ids, list->id_count, sizeof(mn_id_t), compare_ids);
    for (size_t i = 1; i < list->id_count; i++) {
        if (memcmp(&list->ids[i - 1], &list->ids[i], 4) != 0)
            continue;
        mn_id_format(list->ids[i - 1], a);
        mn_id_format(list->ids[i], b);
        int same = 0;
        while (same < MN_ID_TEXT - 1 && a[same] == b[same])
            same++;
        if (same + 1 > length && same < MN_ID_TEXT - 1)
            length = same + 1;
    }
    return length;
}

/* How long the last attempt took, or takes by now; negative: who knows. */
static double took(const mn_info_t *info, double now)
{
    if (!(info->started > 0))
        return -1;
    return (info->ended > 0 ? info->ended : info->status == MN_PENDING ? 0 : now) - info->started;
}

/* Who is not told would think that something goes on. */
static void say_interrupted(const mni_list_t *list)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++) {
        mn_status_t status = mni_list_at(list, i)->info.status;
        count += status == MN_RUNNING || status == MN_CANCELLING;
    }
    if (count > 0 && mni_store_user(list->store) == NULL)
        mni_say("no runtime has this store: %zu of these jobs %s under way when the last one was "
                "lost, and %s on when it is started again",
                count, count == 1 ? "was" : "were", count == 1 ? "goes" : "go");
}

/* What a person would ask next. */
static const char *note_of(const mn_info_t *info)
{
    if (info->error != NULL)
        return info->error;
    if (info->message != NULL)
        return info->message;
    return info->reason == MN_REASON_NONE || info->reason == MN_REASON_RETURNED ||
                   (info->reason == MN_REASON_CANCELLED && info->status == MN_CANCELLED)
               ? NULL
               : mn_reason_name(info->reason);
}

typedef struct row {
    const char *cell[CELLS]; /* NULL: empty */
    char id[MN_ID_TEXT], created[32], took[32], done[16];
} row_t;

static void make_row(row_t *row, const mn_info_t *info, int length, double now)
{
    *row = (row_t){{[ID] = row->id,
                    [JOB] = info->job,
                    [STATUS] = mn_status_name(info->status),
                    [CREATED] = row->created,
                    [TOOK] = row->took,
                    [TAG] = info->tag,
                    [LOCK] = info->lock,
                    [KEY] = info->key,
                    [HOST] = info->host,
                    [NOTE] = note_of(info)}};
    mn_id_format(info->id, row->id);
    row->id[length] = '\0';
    mni_show_time(info->created, row->created, sizeof row->created);
    mni_show_span(took(info, now), row->took, sizeof row->took);
    if (info->progress > 0) {
        snprintf(row->done, sizeof row->done, "%.0f%%", info->progress * 100);
        row->cell[DONE] = row->done;
    }
}

/* The width of the terminal; 0: there is none. */
static size_t terminal_width(void)
{
    struct winsize window;

    if (!isatty(STDOUT_FILENO))
        return 0;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : 80;
}

static void print_cells(const char *const cell[CELLS], const size_t width[CELLS], size_t screen)
{
    size_t used = 0, gap = 0;

    for (int i = 0; i < CELLS; i++) {
        if (width[i] == 0)
            continue;
        const char *text = cell[i] == NULL ? "" : cell[i];
        size_t own = mni_shown_width(text), room = width[i];
        size_t left = screen == 0 ? SIZE_MAX : screen > used + gap ? screen - used - gap : 0;
        if (left == 0)
            break;
        if (room > left)
            room = left;
        size_t before = heads[i].right && own > 0 && own < room ? room - own : 0;
        if (own > 0) {
            printf("%*s", (int)(gap + before), "");
            used += gap + before;
            used += mni_show_text(stdout, text, screen == 0 ? 0 : room);
            gap = 0;
        }
        gap += 2 + (room > own + before ? room - own - before : 0);
    }
    fputc('\n', stdout);
}

void mni_list_print_table(mni_list_t *list)
{
    double now = mni_store_user(list->store) == NULL ? 0 : mni_clock_calendar();
    size_t width[CELLS] = {0}, screen = terminal_width();
    int length = id_length(list);
    const char *head[CELLS];
    bool hosts = false;
    row_t row;

    if (list->count == 0) {
        fprintf(stderr, "no jobs\n");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        make_row(&row, &mni_list_at(list, i)->info, length, now);
        for (int cell = 0; cell < CELLS; cell++) {
            size_t own = row.cell[cell] == NULL ? 0 : mni_shown_width(row.cell[cell]);
            if (own > width[cell])
                width[cell] = own;
        }
        const char *host = mni_list_at(list, i)->info.host,
                   *first = mni_list_at(list, 0)->info.host;
        hosts |= host != NULL && first != NULL && strcmp(host, first) != 0;
    }
    if (!hosts)
        width[HOST] = 0; /* all the same: nothing that tells them apart */
    for (int cell = 0; cell < CELLS; cell++) {
        head[cell] = heads[cell].head;
        if (width[cell] > 0 && width[cell] < strlen(head[cell]))
            width[cell] = strlen(head[cell]);
    }
    print_cells(head, width, screen);
    for (size_t i = 0; i < list->count && !ferror(stdout); i++) {
        make_row(&row, &mni_list_at(list, i)->info, length, now);
        print_cells(row.cell, width, screen);
    }
    say_interrupted(list);
}
