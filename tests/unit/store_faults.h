/* SPDX-License-Identifier: MIT
 *
 * Sessions of a client (store_client.h) under faults, for the tests that let each point fail: a store to begin with, a session under a
 * plan in a child, and what is held against the log afterwards.
 *
 * FAULT_STEP=N takes every N-th point only (1 for all of them, by hand: CONTRIBUTING.md). SEED: other changes.
 */
#ifndef STORE_FAULTS_H
#define STORE_FAULTS_H

#include "store_client.h"

#include "util/fault.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct faults {
    char template[PATH_MAX], folder[PATH_MAX], path[PATH_MAX];
    client_log_t *template_log, *log; /* shared with children */
    uint64_t seed;
    unsigned step;            /* of HDF5's calls, which are many, every so many are taken */
    unsigned few;             /* of points that are few every so many are taken */
    client_options_t options; /* of a session under a fault */
} faults_t;

extern faults_t faults;

void faults_begin(const char *test);
void faults_end(void);
void faults_describe(const mni_fault_plan_t *plan, char text[160]);

/* A store as a crash left it, with a file and a journal; `empty`: none. `large`: some of its values have files of their own. */
void faults_template(bool empty, bool large);
/* A copy of it. */
void faults_copy(void);
/* From now on the HDF5 file is replaced again and again during sessions. */
void faults_follow(void);

/* Tests. Each has a session for each point of some kinds, until one does not meet it, with an audit and another session behind each. */
void a_call_fails_once(void **state);
void calls_fail_for_good(void **state);
void a_write_is_torn(void **state);
void it_is_killed_between_two_steps(void **state);

/* A program of these tests from what `setup` has made, which calls faults_follow(). Returns how many failed. */
int faults_followed(const char *test, CMFixtureFunction setup);

#endif
