/* SPDX-License-Identifier: MIT
 *
 * The table of what the program declares: jobs, functions, services. Filled before the runtime begins (by
 * constructors, in one thread), then sorted by name and read-only, so that an index means the same on every
 * rank of the same program and in every process forked from it.
 */
#ifndef MNI_CORE_DECLARE_H
#define MNI_CORE_DECLARE_H

#include "core/core.h"

#define MNI_NAME_MAX 64 /* of a declaration, with its NUL */

typedef struct mni_declaration {
    char name[MNI_NAME_MAX];
    mn_kind_t kind;
    mn_entry_t *entry;
    mni_need_t need; /* resolved: defaults filled in */
    double timeout;  /* seconds per attempt or item, INFINITY: none */
    bool fresh, blockwise;
    uint16_t port; /* services */
} mni_declaration_t;

/* The runtime's own job, which no user can declare. */
#define MNI_EXEC_JOB "exec"
/* Declares it, once, before the table is closed. 0 or MN_E_NO_MEMORY. */
int mni_declare_exec(mn_entry_t *entry);

/* Sorts and closes the table. Reports the first error that mn_declare() kept: MN_E_INVALID, MN_E_DUPLICATE, ...
 * with its sentence. Further calls do nothing and return the same. */
int mni_declarations_freeze(void);

uint32_t mni_declaration_count(void);
const mni_declaration_t *mni_declaration_get(uint32_t index); /* NULL: out of range */

/* By name or by function: the index, or MN_E_UNDECLARED (the sentence names what was asked for, and lists what
 * there is when that is short), MN_E_INVALID for NULL, MN_E_WRONG_KIND if it is of another kind ("square is a
 * function: use mn_call() or mn_map()"). kind 0: any. */
int mni_declaration_find(const char *name, mn_kind_t kind);
int mni_declaration_find_entry(mn_entry_t *entry, mn_kind_t kind);

/* A number that is the same for the same table: ranks compare it. */
uint64_t mni_declaration_digest(void);

/* Reads what a spec asks for. MN_E_INVALID names the field and the accepted forms. `cpu`: whole number from 1 to
 * MNI_MAX_CORES, or a fraction of at least 0.001 and below 1; 0: 1 core. Services with cpu 0 need no core. */
int mni_need_resolve(const char *name, mn_kind_t kind, const mn_spec_t *spec, mni_need_t *need);

/* Checks lock, tag and key of a start: NULL, or 1 to 255 bytes of UTF-8 without control characters. */
int mni_label_check(const char *what, const char *text);

/* need with what the options of a start change. MN_E_INVALID as above. Fields: as in mn_start_options_t. */
int mni_need_override(const char *name, mni_need_t *need, double cpu, const char *memory,
                      unsigned gpus, double timeout, double grace, int32_t priority);

#endif
