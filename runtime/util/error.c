/* SPDX-License-Identifier: MIT
 *
 * The thread's last error sentence, and the names and texts of all codes.
 */
#include "util/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_message[MNI_ERROR_MAX];

static const struct {
    const char *name;
    const char *text;
} error_table[] = {[0] = {"MN_OK", "success"},
#define ERROR_ROW(name, number, text) [number] = {"MN_E_" #name, text},
                   MN_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

#define ERROR_COUNT ((int)(sizeof error_table / sizeof error_table[0]))

const char *mn_strerror(int code)
{
    if (code >= 0)
        return error_table[0].text;
    return code > -ERROR_COUNT ? error_table[-code].text : "unknown error";
}

const char *mn_error_name(int code)
{
    if (code >= 0)
        return error_table[0].name;
    return code > -ERROR_COUNT ? error_table[-code].name : "MN_E_UNKNOWN";
}

const char *mn_error_message(void)
{
    return last_message;
}

void mni_error_clear(void)
{
    last_message[0] = 0;
}

int mni_error(int code, const char *format, ...)
{
    int saved = errno;
    char text[MNI_ERROR_MAX]; /* an argument may be the kept sentence itself */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(last_message, text, sizeof text);
    errno = saved;
    return code;
}

int mni_error_errno(const char *format, ...)
{
    int saved = errno;
    char text[MNI_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    mni_error(MN_E_SYSTEM, "%s: %s", text, strerror(saved));
    errno = saved;
    return MN_E_SYSTEM;
}

int mni_error_prefix(int code, const char *format, ...)
{
    char text[MNI_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return mni_error(code, "%s: %s", text, last_message);
}
