/* SPDX-License-Identifier: MIT
 *
 * The table of what the program declares, and what specs and options ask for, made into needs.
 *
 * The table is kept sorted by name as it grows, so that closing it changes no index; names are
 * unique. It is written only before mni_declarations_freeze(), by one thread.
 */
#include "core/declare.h"

#include "util/error.h"
#include "util/size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_GRACE 300.0
#define DEFAULT_MAX_LOST 3
#define MAX_PORT 65535u
#define LABEL_MAX 255

static struct {
    mni_declaration_t *rows;
    uint32_t count, capacity;
    bool frozen;
    int error; /* the first that mn_declare() met */
    char message[MNI_ERROR_MAX];
} table;

/* --- needs
 * --------------------------------------------------------------------------------------------- */

static int resolve_cpu(const char *name, double cpu, uint32_t *millicores)
{
    if (cpu >= 1 && cpu <= MNI_MAX_CORES && cpu == floor(cpu)) {
        *millicores = (uint32_t)cpu * 1000;
        return 0;
    }
    if (cpu >= 0.001 && cpu < 1) {
        long rounded = lround(cpu * 1000);
        *millicores = rounded > 999 ? 999 : (uint32_t)rounded;
        return 0;
    }
    return mni_error(
        MN_E_INVALID,
        "%s: cpu is %g; write a whole number of cores from 1 to %d, or a share of one core "
        "from 0.001 to 0.999",
        name, cpu, MNI_MAX_CORES);
}

static int resolve_memory(const char *name, const char *memory, uint64_t *bytes)
{
    int rc = mni_size_parse(memory, bytes);
    return rc < 0 ? mni_error_prefix(rc, "%s: memory", name) : 0;
}

static int resolve_timeout(const char *name, double timeout, double *seconds)
{
    if (!(timeout > 0))
        return mni_error(
            MN_E_INVALID,
            "%s: timeout is %g; write seconds greater than 0, or leave it out for none", name,
            timeout);
    *seconds = timeout;
    return 0;
}

static int resolve_grace(const char *name, double grace, double *seconds)
{
    if (grace == MN_NO_GRACE)
        *seconds = 0;
    else if (grace > 0)
        *seconds = grace;
    else
        return mni_error(MN_E_INVALID,
                         "%s: grace is %g; write seconds greater than 0, or MN_NO_GRACE for none",
                         name, grace);
    return 0;
}

int mni_need_override(const char *name, mni_need_t *need, double cpu, const char *memory,
                      unsigned gpus, double timeout, double grace, int32_t priority)
{
    int rc = 0;
    mni_need_t changed = *need;

    /* Compared with 0 so that a NaN counts as given, and is refused. */
    if (cpu != 0 && (rc = resolve_cpu(name, cpu, &changed.millicores)) < 0)
        return rc;
    if (memory && (rc = resolve_memory(name, memory, &changed.memory)) < 0)
        return rc;
    if (gpus > MNI_MAX_GPUS)
        return mni_error(MN_E_INVALID, "%s: gpus is %u; write a whole number from 1 to %d", name,
                         gpus, MNI_MAX_GPUS);
    if (gpus != 0)
        changed.gpus = gpus;
    if (timeout != 0 && (rc = resolve_timeout(name, timeout, &changed.timeout)) < 0)
        return rc;
    if (grace != 0 && (rc = resolve_grace(name, grace, &changed.grace)) < 0)
        return rc;
    if (__builtin_add_overflow(changed.priority, priority, &changed.priority))
        return mni_error(MN_E_INVALID, "%s: priority %d added to the declared %d is out of range",
                         name, priority, need->priority);
    *need = changed;
    return 0;
}

int mni_need_resolve(const char *name, mn_kind_t kind, const mn_spec_t *spec, mni_need_t *need)
{
    mni_need_t resolved = {
        .millicores = kind == MN_KIND_SERVICE ? 0 : 1000,
        .max_concurrency = spec->max_concurrency ? spec->max_concurrency : UINT32_MAX,
        .max_retries = spec->max_retries,
        .max_lost = DEFAULT_MAX_LOST,
        .timeout = INFINITY,
        .grace = DEFAULT_GRACE,
    };
    int rc = mni_need_override(name, &resolved, spec->cpu, spec->memory, spec->gpus, spec->timeout,
                               spec->grace, spec->priority);

    if (rc < 0)
        return rc;
    if (spec->max_lost == MN_AT_MOST_ONCE)
        resolved.max_lost = 0;
    else if (spec->max_lost < 0)
        return mni_error(
            MN_E_INVALID,
            "%s: max_lost is %d; write a number of attempts, or MN_AT_MOST_ONCE for none", name,
            spec->max_lost);
    else if (spec->max_lost > 0)
        resolved.max_lost = (uint32_t)spec->max_lost;
    if (spec->port > MAX_PORT)
        return mni_error(MN_E_INVALID,
                         "%s: port is %u; write one from 1 to %u, or 0 for a free one", name,
                         spec->port, MAX_PORT);
    if (spec->port != 0 && kind != MN_KIND_SERVICE)
        return mni_error(
            MN_E_INVALID,
            "%s: port is for services; declare it with MN_SERVICE or leave the port out", name);
    if (spec->gpus != 0 && kind == MN_KIND_SERVICE)
        return mni_error(MN_E_INVALID,
                         "%s: gpus are for jobs and functions; let the service start one", name);
    if (kind == MN_KIND_FUNCTION)
        resolved.timeout = INFINITY; /* counted per item, by the worker: see mni_declaration_t */
    *need = resolved;
    return 0;
}

/* --- labels
 * -------------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at `at` (NUL-terminated text), 0 if it is malformed; its code point
 * in *point. */
static size_t utf8_next(const unsigned char *at, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80             ? 1
                  : (at[0] & 0xe0) == 0xc0 ? 2
                  : (at[0] & 0xf0) == 0xe0 ? 3
                  : (at[0] & 0xf8) == 0xf0 ? 4
                                           : 0;
    if (size <= 1) {
        *point = at[0];
        return size;
    }
    uint32_t number = at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0; /* a NUL ends here too */
        number = number << 6 | (at[i] & 0x3fu);
    }
    *point = number;
    return number < least[size] || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)
               ? 0
               : size;
}

int mni_label_check(const char *what, const char *text)
{
    size_t size;
    uint32_t point = 0;

    if (!text)
        return 0;
    size = strnlen(text, LABEL_MAX + 1);
    if (size == 0)
        return mni_error(MN_E_INVALID,
                         "the %s is empty; give 1 to %d bytes of text, or NULL for none", what,
                         LABEL_MAX);
    if (size > LABEL_MAX)
        return mni_error(MN_E_INVALID, "the %s is longer than %d bytes", what, LABEL_MAX);
    for (size_t i = 0, step; i < size; i += step) {
        step = utf8_next((const unsigned char *)text + i, &point);
        if (step == 0)
            return mni_error(MN_E_INVALID, "the %s is not UTF-8 at byte %zu", what, i);
        if (point < 0x20 || (point >= 0x7f && point < 0xa0))
            return mni_error(MN_E_INVALID, "the %s has a control character (0x%02x) at byte %zu",
                             what, point, i);
    }
    return 0;
}

/* --- the table
 * ----------------------------------------------------------------------------------------- */

static const char *kind_name(mn_kind_t kind)
{
    return kind == MN_KIND_JOB ? "job" : kind == MN_KIND_FUNCTION ? "function" : "service";
}

static const char *kind_use(mn_kind_t kind)
{
    return kind == MN_KIND_JOB        ? "use mn_start()"
           : kind == MN_KIND_FUNCTION ? "use mn_call() or mn_map()"
                                      : "the runtime starts it; use mn_service_address()";
}

static const char *kind_macro(mn_kind_t kind)
{
    return kind == MN_KIND_JOB ? "MN_JOB" : kind == MN_KIND_FUNCTION ? "MN_FUNCTION" : "MN_SERVICE";
}

/* Where `name` is, or where it would be put (then *found is false). */
static uint32_t table_search(const char *name, bool *found)
{
    uint32_t low = 0, high = table.count;
    *found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, table.rows[middle].name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int check_name(const char *name)
{
    static const char accepted[] = "a name is 1 to 63 letters, digits and underscores";
    if (!name)
        return mni_error(MN_E_INVALID, "a declaration has no name (NULL); %s", accepted);
    size_t size = strnlen(name, MNI_NAME_MAX);
    if (size == 0)
        return mni_error(MN_E_INVALID, "a declaration has an empty name; %s", accepted);
    if (size == MNI_NAME_MAX)
        return mni_error(MN_E_INVALID, "the name %.40s... is too long; %s", name, accepted);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_'))
            return mni_error(MN_E_INVALID,
                             "a declaration's name has the byte 0x%02x at position %zu; %s", c, i,
                             accepted);
    }
    return 0;
}

static int table_grow(void)
{
    if (table.count < table.capacity)
        return 0;
    uint32_t capacity = table.capacity ? table.capacity * 2 : 16;
    mni_declaration_t *rows = realloc(table.rows, capacity * sizeof *rows);
    if (!rows)
        return mni_error(MN_E_NO_MEMORY, "no memory for %u declarations", capacity);
    table.rows = rows;
    table.capacity = capacity;
    return 0;
}

static int declare(mn_kind_t kind, const char *name, mn_entry_t *entry, const mn_spec_t *spec)
{
    static const mn_spec_t defaults = {0};
    mni_declaration_t row = {.kind = kind, .entry = entry, .timeout = INFINITY};
    bool found;
    int rc = check_name(name);

    if (rc < 0)
        return rc;
    if (kind != MN_KIND_JOB && kind != MN_KIND_FUNCTION && kind != MN_KIND_SERVICE)
        return mni_error(MN_E_INVALID, "%s: %d is no kind of declaration", name, (int)kind);
    if (!entry)
        return mni_error(MN_E_INVALID, "%s: no function was given (NULL)", name);
    if (!spec)
        spec = &defaults;
    if ((rc = mni_need_resolve(name, kind, spec, &row.need)) < 0)
        return rc;
    if (spec->timeout != 0)
        row.timeout = spec->timeout;
    row.fresh = spec->fresh;
    row.blockwise = spec->blockwise;
    row.port = (uint16_t)spec->port;
    memcpy(row.name, name, strlen(name) + 1);

    uint32_t index = table_search(name, &found);
    if (found)
        return mni_error(MN_E_DUPLICATE, "%s is declared twice, as a %s and as a %s", name,
                         kind_name(table.rows[index].kind), kind_name(kind));
    if ((rc = table_grow()) < 0)
        return rc;
    memmove(&table.rows[index + 1], &table.rows[index], (table.count - index) * sizeof row);
    table.rows[index] = row;
    table.count++;
    return 0;
}

static int declare_users(mn_kind_t kind, const char *name, mn_entry_t *entry, const mn_spec_t *spec)
{
    if (name && strcmp(name, MNI_EXEC_JOB) == 0)
        return mni_error(MN_E_DUPLICATE,
                         "%s is the name of the runtime's own job, which runs "
                         "programs: give yours another one",
                         name);
    return declare(kind, name, entry, spec);
}

int mni_declare_exec(mn_entry_t *entry)
{
    bool found;
    table_search(MNI_EXEC_JOB, &found);
    return found ? 0 : declare(MN_KIND_JOB, MNI_EXEC_JOB, entry, NULL);
}

int mn_declare(mn_kind_t kind, const char *name, mn_entry_t *entry, const mn_spec_t *spec)
{
    if (table.frozen)
        return mni_error(MN_E_WRONG_KIND,
                         "declarations are closed: declare before mn_main() or mn_prepare()");
    int rc = declare_users(kind, name, entry, spec);
    if (rc < 0 && table.error == 0) {
        table.error = rc;
        snprintf(table.message, sizeof table.message, "%s", mn_error_message());
    }
    return rc;
}

int mni_declarations_freeze(void)
{
    table.frozen = true;
    return table.error < 0 ? mni_error(table.error, "%s", table.message) : 0;
}

uint32_t mni_declaration_count(void)
{
    return table.count;
}

const mni_declaration_t *mni_declaration_get(uint32_t index)
{
    return index < table.count ? &table.rows[index] : NULL;
}

/* "; declared are: a, b" while that is short, for messages. */
static const char *list_names(char *text, size_t room)
{
    size_t used = 0;
    text[0] = 0;
    if (table.count == 0)
        snprintf(text, room, "; nothing is declared");
    for (uint32_t i = 0; i < table.count; i++) {
        int size = snprintf(text + used, room - used, "%s%s", i == 0 ? "; declared are: " : ", ",
                            table.rows[i].name);
        if (size < 0 || (size_t)size >= room - used) {
            snprintf(text, room, "; %u other names are", table.count);
            break;
        }
        used += (size_t)size;
    }
    return text;
}

static int wrong_kind(const mni_declaration_t *row, mn_kind_t kind)
{
    return mni_error(MN_E_WRONG_KIND, "%s is a %s, not a %s: %s", row->name, kind_name(row->kind),
                     kind_name(kind), kind_use(row->kind));
}

int mni_declaration_find(const char *name, mn_kind_t kind)
{
    char list[256], shown[MNI_NAME_MAX];
    bool found;
    if (!name)
        return mni_error(MN_E_INVALID, "no name was given (NULL)");
    uint32_t index = table_search(name, &found);
    if (!found) {
        snprintf(shown, sizeof shown, "%s", name);
        for (char *c = shown; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                *c = '?'; /* the message may go to a terminal */
        return mni_error(MN_E_UNDECLARED, "nothing named \"%s\" is declared%s", shown,
                         list_names(list, sizeof list));
    }
    if (kind != 0 && table.rows[index].kind != kind)
        return wrong_kind(&table.rows[index], kind);
    return (int)index;
}

int mni_declaration_find_entry(mn_entry_t *entry, mn_kind_t kind)
{
    char list[256];
    const mni_declaration_t *other = NULL;
    if (!entry)
        return mni_error(MN_E_INVALID, "no function was given (NULL)");
    for (uint32_t i = 0; i < table.count; i++) {
        if (table.rows[i].entry != entry)
            continue;
        if (kind == 0 || table.rows[i].kind == kind)
            return (int)i;
        other = &table.rows[i];
    }
    if (other)
        return wrong_kind(other, kind);
    return mni_error(MN_E_UNDECLARED, "that function is not declared; declare it with %s%s",
                     kind_macro(kind ? kind : MN_KIND_JOB), list_names(list, sizeof list));
}

/* --- the digest
 * ---------------------------------------------------------------------------------------- */

/* FNV-1a, field by field, so that no padding counts. */
static uint64_t digest_add(uint64_t digest, const void *field, size_t size)
{
    const unsigned char *at = field;
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ at[i]) * UINT64_C(0x100000001b3);
    return digest;
}

#define DIGEST_FIELD(field) digest = digest_add(digest, &(field), sizeof(field))

uint64_t mni_declaration_digest(void)
{
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    DIGEST_FIELD(table.count);
    for (uint32_t i = 0; i < table.count; i++) {
        const mni_declaration_t *row = &table.rows[i];
        int32_t kind = (int32_t)row->kind;
        uint8_t fresh = row->fresh, blockwise = row->blockwise;
        digest = digest_add(digest, row->name, strlen(row->name) + 1);
        DIGEST_FIELD(kind);
        DIGEST_FIELD(fresh);
        DIGEST_FIELD(blockwise);
        DIGEST_FIELD(row->timeout);
        DIGEST_FIELD(row->port);
        DIGEST_FIELD(row->need.millicores);
        DIGEST_FIELD(row->need.gpus);
        DIGEST_FIELD(row->need.memory);
        DIGEST_FIELD(row->need.max_concurrency);
        DIGEST_FIELD(row->need.max_retries);
        DIGEST_FIELD(row->need.max_lost);
        DIGEST_FIELD(row->need.priority);
        DIGEST_FIELD(row->need.timeout);
        DIGEST_FIELD(row->need.grace);
    }
    return digest;
}
