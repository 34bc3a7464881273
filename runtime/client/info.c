/* SPDX-License-Identifier: MIT
 *
 * What is known of a job, copied out of a frame: the struct, then the bytes of the result, aligned
 * as malloc's memory is, then the texts.
 */
#include "client/info.h"

#include "util/error.h"

#include <stdlib.h>
#include <string.h>

#define RESULT_ALIGN ((size_t)16)

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* Puts a text at *at, which moves behind it. */
static const char *put_text(char **at, const char *text)
{
    size_t size = text_size(text);
    char *copy = *at;
    if (!text)
        return NULL;
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

int mni_info_copy(const mn_info_t *view, mn_info_t **info)
{
    size_t begin = (sizeof(mn_info_t) + RESULT_ALIGN - 1) / RESULT_ALIGN * RESULT_ALIGN;
    size_t texts = text_size(view->job) + text_size(view->error) + text_size(view->message) +
                   text_size(view->lock) + text_size(view->tag) + text_size(view->key) +
                   text_size(view->host) + text_size(view->cpus);
    mn_info_t *copy = malloc(begin + view->result.size + texts);

    if (!copy)
        return mni_error(MN_E_NO_MEMORY, "no memory for a job's state with a result of %zu bytes",
                         view->result.size);
    char *at = (char *)copy + begin;
    *copy = *view;
    copy->result.data = NULL;
    if (view->result.size > 0) {
        copy->result.data = memcpy(at, view->result.data, view->result.size);
        at += view->result.size;
    }
    copy->job = put_text(&at, view->job);
    copy->error = put_text(&at, view->error);
    copy->message = put_text(&at, view->message);
    copy->lock = put_text(&at, view->lock);
    copy->tag = put_text(&at, view->tag);
    copy->key = put_text(&at, view->key);
    copy->host = put_text(&at, view->host);
    copy->cpus = put_text(&at, view->cpus);
    *info = copy;
    return 0;
}

void mn_info_destroy(mn_info_t *info)
{
    free(info);
}
