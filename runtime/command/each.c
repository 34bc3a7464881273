/* SPDX-License-Identifier: MIT
 *
 * Numbers and lines, see each.h.
 */
#include "command/each.h"

#include "command/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "{}"

void mni_each_fini(mni_each_t *each)
{
    for (size_t i = 0; i < each->count; i++)
        free(each->values[i]);
    free(each->values);
    *each = (mni_each_t){.values = NULL};
}

static int too_many(void)
{
    return mni_usage_error("exec", "more than %d jobs at once are too many", MNI_EACH_MOST);
}

/* Takes the value over. 0, or an exit status with a line about it. */
static int add(mni_each_t *each, char *value)
{
    if (value != NULL && each->count == MNI_EACH_MOST) {
        free(value);
        return too_many();
    }
    if (value != NULL && each->count == each->room) {
        size_t room = each->room > 0 ? 2 * each->room : 64;
        char **values = realloc(each->values, room * sizeof *values);
        if (values == NULL) {
            free(value);
            value = NULL;
        } else {
            each->values = values;
            each->room = room;
        }
    }
    if (value == NULL) {
        mni_say("out of memory");
        return MNI_EXIT_FAILED;
    }
    each->values[each->count++] = value;
    return 0;
}

/* --- numbers ---------------------------------------------------- */

static bool read_number(const char **at, long long *number)
{
    char *end = NULL;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *number = strtoll(*at, &end, 10);
    *at = end;
    return errno == 0;
}

/* "7", "1-10" or "1-10:2". */
static bool read_range(const char **at, long long *first, long long *last, long long *step)
{
    *step = 1;
    if (!read_number(at, first))
        return false;
    *last = *first;
    if (**at != '-')
        return true;
    ++*at;
    if (!read_number(at, last))
        return false;
    if (**at != ':')
        return true;
    ++*at;
    return read_number(at, step) && *step > 0;
}

int mni_each_numbers(const char *text, mni_each_t *each)
{
    const char *at = text;
    long long first, last, step;
    int status = 0;

    do {
        at += at != text;
        if (!read_range(&at, &first, &last, &step) || (*at != '\0' && *at != ','))
            return mni_usage_error("exec",
                                   "--array is \"%s\": write numbers and ranges, such as 1-1000, "
                                   "0-100:10 or 1,5,7-9",
                                   text);
        if (last < first)
            return mni_usage_error("exec", "--array is \"%s\": %lld-%lld is empty", text, first,
                                   last);
        /* Before they are made: a million takes a while. */
        if ((unsigned long long)(last - first) / (unsigned long long)step >=
            MNI_EACH_MOST - each->count)
            return too_many();
        for (long long number = first; number <= last && status == 0; number += step) {
            char *value = NULL;
            status = add(each, asprintf(&value, "%lld", number) < 0 ? NULL : value);
            if (last - number < step)
                break;
        }
    } while (status == 0 && *at == ',');
    return status;
}

/* --- lines ---------------------------------------------------- */

static int add_line(mni_each_t *each, char *line, size_t length, const char *path)
{
    if (strlen(line) != length) {
        mni_say("--each: a line of %s has a NUL", path);
        return MNI_EXIT_FAILED;
    }
    if (length > 0 && line[length - 1] == '\n')
        line[length - 1] = '\0';
    return line[0] == '\0' ? 0 : add(each, strdup(line));
}

int mni_each_lines(const char *path, mni_each_t *each)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int status = 0;

    errno = file == NULL ? errno : 0;
    while (file != NULL && status == 0 && (length = getline(&line, &room, file)) >= 0)
        status = add_line(each, line, (size_t)length, path);
    if (status == 0 && (file == NULL || ferror(file))) {
        mni_say("--each: cannot read %s: %s", path, strerror(errno));
        status = MNI_EXIT_FAILED;
    } else if (status == 0 && each->count == 0) {
        mni_say("--each: %s has no line", path);
        status = MNI_EXIT_FAILED;
    }
    if (file != NULL && file != stdin)
        fclose(file);
    free(line);
    return status;
}

/* --- filling in ---------------------------------------------------- */

char *mni_each_fill(const char *text, const char *value)
{
    char *filled = NULL;
    size_t size;
    FILE *to = open_memstream(&filled, &size);

    if (to == NULL)
        return NULL;
    for (const char *mark; (mark = strstr(text, MARK)) != NULL; text = mark + strlen(MARK)) {
        fwrite(text, 1, (size_t)(mark - text), to);
        fputs(value, to);
    }
    fputs(text, to);
    if (fclose(to) != 0) {
        free(filled);
        return NULL;
    }
    return filled;
}
