/* SPDX-License-Identifier: MIT
 *
 * Jobs and values as JSON: one documented shape, printed by the verbs and by REST.
 */
#ifndef MNI_SERVICE_JSON_H
#define MNI_SERVICE_JSON_H

#include "core/core.h"

#include <jansson.h>
#include <stdio.h>

/* Prints the members of a job, without braces around them, so that more may follow. `need` NULL: it is not known. MN_E_NO_MEMORY. */
int mni_json_print_job(FILE *to, const mn_info_t *info, const mni_need_t *need);
/* Prints a value: {"type","dims","size","value"}, null when there is none. "value" is a string (text), base64 (bytes) or nested
 * arrays; null where it has more than `most` bytes, or where these are not at hand (`data` NULL). MN_E_NO_MEMORY. */
int mni_json_print_value(FILE *to, const mn_value_t *value, size_t most);
/* A text, with what is no UTF-8 replaced; null for NULL. NULL: no memory. */
json_t *mni_json_text(const char *text, size_t size);
bool mni_json_is_text(const char *text, size_t size); /* whether it is UTF-8 */
/* A number of an array, as text that reads back as the same one. */
char *mni_json_number(const mn_value_t *value, size_t index, char *text, size_t size);

/* --- json_value.c: the way back ---------------------------------------------------------------------------------------- */

/* Reads a value: null; a string, which is a text; or an object as mni_json_print_value() prints it, without "size" and, for an array
 * of one dimension, without "dims". Owned: mn_value_destroy() frees it. MN_E_INVALID, MN_E_TOO_LARGE, MN_E_NO_MEMORY. */
int mni_json_read_value(const json_t *json, mn_value_t *value);

/* The type of that name. False: there is none. */
bool mni_json_type(const char *name, mn_type_t *type);

#endif
