/* SPDX-License-Identifier: MIT
 *
 * Values of options: the first byte says of which. What is taken is within the bounds that its header promises.
 */
#include "fuzz.h"

#include "command/command.h"
#include "command/each.h"
#include "command/walltime.h"
#include "service/listen.h"
#include "store/store.h"
#include "util/size.h"

#include <math.h>
#include <stdarg.h>

/* What the command says of a usage error; here it only has to be a sentence that can be made. */
int mni_usage_error(const char *verb, const char *format, ...)
{
    char text[4096];
    va_list arguments;

    va_start(arguments, format);
    MUST(verb && vsnprintf(text, sizeof text, format, arguments) > 0);
    va_end(arguments);
    return MNI_EXIT_USAGE;
}

void mni_say(const char *format, ...)
{
    char text[4096];
    va_list arguments;

    va_start(arguments, format);
    MUST(vsnprintf(text, sizeof text, format, arguments) > 0);
    va_end(arguments);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void try_size(const char *text)
{
    uint64_t bytes = 0;

    if (mni_size_parse(text, &bytes) == 0)
        MUST(bytes > 0 && bytes < (uint64_t)1 << 63);
    else
        MUST(bytes == 0 && mn_error_message()[0]);
}

static void try_walltime(const char *text)
{
    double seconds = -1;

    if (mni_walltime_parse(text, &seconds))
        MUST(isfinite(seconds) && seconds >= 0);
}

static void try_listen(const char *text)
{
    mni_listen_t listen = {.port = 7};

    if (mni_listen_parse(text, &listen) < 0) {
        MUST(listen.port == 7 && mn_error_message()[0]);
        return;
    }
    MUST(memchr(listen.host, '\0', sizeof listen.host) && listen.port <= UINT16_MAX);
    for (const char *at = listen.host; *at; at++)
        MUST(*at > ' ' && *at < 127 && !strchr("/@\"\\#?", *at));
}

static void try_array(const char *text)
{
    mni_each_t each = {.count = 0};
    const char *first = text;
    int status = mni_each_numbers(text, &each);

    MUST(each.count <= MNI_EACH_MOST);
    if (status == 0) {
        MUST(each.count > 0);
        while (*first == '0' && first[1] >= '0' && first[1] <= '9')
            first++;
        MUST(strncmp(each.values[0], first, strlen(each.values[0])) == 0);
    }
    mni_each_fini(&each);
}

static void try_fill(const char *text)
{
    char *filled = mni_each_fill(text, "value");
    size_t marks = 0;

    for (const char *at = text; (at = strstr(at, "{}")); at += 2)
        marks++;
    MUST(filled && strlen(filled) == strlen(text) + marks * (strlen("value") - strlen("{}")));
    free(filled);
}

static void try_durability(const char *text)
{
    mni_durability_t durability = MNI_DURABILITY_FSYNC;

    MUST(mni_durability_parse(text, &durability) <= 0);
}

static void try_id(const char *text)
{
    char again[MN_ID_TEXT];
    mn_id_t id;

    if (mn_id_parse(text, &id) == 0)
        MUST(strcasecmp(mn_id_format(id, again), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(const char *) = {try_size, try_walltime,   try_listen, try_array,
                                                  try_fill, try_durability, try_id};

    if (size == 0)
        return 0;
    char *text = text_of(data + 1, size - 1);
    kinds[data[0] % (sizeof kinds / sizeof kinds[0])](text);
    free(text);
    return 0;
}
