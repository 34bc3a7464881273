/* SPDX-License-Identifier: MIT */
/**
 * @file multinode.h
 * The public interface of multinode, a batch runtime for HPC on Open MPI.
 *
 * A program declares jobs, functions and services, and hands its client code (the driver) to mn_main():
 *
 *     #include <multinode.h>
 *
 *     MN_FUNCTION(square, .cpu = 1);
 *     MN_JOB(sum_of_squares, .cpu = 0.1, .memory = "64MiB");
 *
 * Rules that hold for every call, unless its own text says otherwise:
 *
 * - Errors. A call returns 0 (or a count) or a negative MN_E_* code; mn_error_message() then has a sentence
 *   about it for the calling thread. After a failure nothing has changed and no output was written.
 * - Ownership. Arguments are read during the call and stay the caller's. What a call allocates is given back
 *   with the destroy call that its text names; every destroy call accepts NULL.
 * - Threads. Calls may come from any thread of a task's process; they are carried out one at a time, so
 *   a call that blocks holds back those of other threads. Exceptions are the two flags of mn_cancelled()
 *   and mn_cancel_flag(), which never block.
 * - Blocking. A call marked "asks the scheduler" takes one round trip to rank 0. Calls marked "blocks" may
 *   wait for work to be done; in a job or function that is cancelled they return MN_E_CANCELLED at once.
 * - Cancellation. Once a job, function or service is asked to stop, every call in it that talks to the runtime
 *   returns MN_E_CANCELLED (or MN_E_INTERRUPTED when the whole runtime is draining), at once. mn_yield(),
 *   mn_progress() and mn_cancel() are still carried out before they return it, so that a clean-up can tell
 *   what it found; mn_last_yield() and the calls that only look at the task or a value go on as before. In the
 *   driver of a runtime that drains, calls that start or wait return MN_E_INTERRUPTED, those that read go on.
 * - Places. "In the runtime" means: in the driver, a job, a function or a service, or on rank 0 of an
 *   embedded runtime (multinode_mpi.h). Elsewhere these calls return MN_E_NO_RUNTIME.
 *
 * - Processes. A task runs in a process of its own, which after a success may take the next task of the same
 *   function. The working directory, environment, umask, signals, timers, locale, floating-point mode, priority and
 *   cores are then put back; a process with threads or children left, or that has written over what it shares with
 *   the runtime, is not used again. What a program keeps itself persists: static variables, the heap, resource
 *   limits, and descriptors that were left open (after about a hundred a new process
 *   is taken). `.fresh = true` asks for a new process for each task. A fault in a process that had run tasks
 *   before says so in its error.
 *
 * Times are seconds as double; points in time are seconds since 1970-01-01 00:00 UTC. Sizes are bytes.
 */
#ifndef MULTINODE_H
#define MULTINODE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Marks what the shared library exports. */
#define MN_API __attribute__((visibility("default")))

/* ------------------------------------------------------------------------------------------------- */
/** @defgroup errors Errors
 * One list makes the codes, their names and their texts.
 * @{ */

/** Every error: X(NAME, positive number, text). MN_E_NAME is the negative number. */
#define MN_ERRORS(X)                                           \
    X(INVALID, 1, "invalid argument")                          \
    X(NO_MEMORY, 2, "out of memory")                           \
    X(NO_RUNTIME, 3, "not inside a running multinode runtime") \
    X(NO_JOB, 4, "no such job")                                \
    X(UNDECLARED, 5, "nothing of that name is declared")       \
    X(WRONG_KIND, 6, "declared, but as another kind")          \
    X(TOO_LARGE, 7, "larger than the limit")                   \
    X(IMPOSSIBLE, 8, "no node can ever satisfy the request")   \
    X(LOCK_IN_USE, 9, "the lock is in use")                    \
    X(CANCELLED, 10, "cancelled")                              \
    X(INTERRUPTED, 11, "the runtime is stopping")              \
    X(TIMEOUT, 12, "timed out")                                \
    X(FAILED, 13, "failed")                                    \
    X(CRASHED, 14, "the process that ran it ended")            \
    X(LOST, 15, "the worker that ran it was lost")             \
    X(DEADLOCK, 16, "can never proceed")                       \
    X(NO_RESULT, 17, "nothing was yielded")                    \
    X(END, 18, "no more items")                                \
    X(DUPLICATE, 19, "declared twice")                         \
    X(SYSTEM, 20, "a system call failed")                      \
    X(MPI, 21, "an MPI call failed")                           \
    X(STORE, 22, "the store failed")                           \
    X(PROTOCOL, 23, "a malformed message")                     \
    X(INTERNAL, 24, "an internal error, please report it")

/** The error codes, all negative. */
enum {
#define MN_ERROR_ENUM(name, number, text) MN_E_##name = -(number),
    MN_ERRORS(MN_ERROR_ENUM)
#undef MN_ERROR_ENUM
};

/** Text of an error code, such as "no such job"; "success" for 0 and more. Never NULL, never freed. */
MN_API const char *mn_strerror(int code);

/** Name of an error code, such as "MN_E_NO_JOB"; "MN_OK" for 0 and more. Never NULL, never freed. */
MN_API const char *mn_error_name(int code);

/** A sentence about the last call of this thread that failed, naming what was wrong and the way out.
 * Valid until the next call of this thread. "" if none has failed. */
MN_API const char *mn_error_message(void);

/** Version of the library that is running, such as "0.1.0". Compare with MN_VERSION. */
MN_API const char *mn_version(void);

/** Version of this header. */
#define MN_VERSION "0.1.0"
/** @} */

/* ------------------------------------------------------------------------------------------------- */
/** @defgroup values Values
 * What goes into a job or function and what it yields: bytes with an element type and dimensions.
 * A value is a view, it owns nothing, except where a call says that it hands one over (then
 * mn_value_destroy() frees it).
 * @{ */

/** Most dimensions that a value can have. */
#define MN_MAX_DIMS 4

/** Largest value that a job takes or yields, in bytes (1 GiB). */
#define MN_MAX_VALUE ((size_t)1 << 30)

/** Element types. */
typedef enum mn_type {
    MN_BYTES = 0, /**< opaque bytes, one dimension */
    MN_TEXT,      /**< UTF-8 text, without a trailing NUL in its size, one dimension */
    MN_INT8,
    MN_INT16,
    MN_INT32,
    MN_INT64,
    MN_UINT8,
    MN_UINT16,
    MN_UINT32,
    MN_UINT64,
    MN_FLOAT32,
    MN_FLOAT64
} mn_type_t;

/** A typed block of memory. In native byte order, row-major, dims[0] slowest. */
typedef struct mn_value {
    const void *data;         /**< `size` bytes; may be NULL when size is 0 */
    size_t size;              /**< bytes: the product of dims and the element size */
    mn_type_t type;           /**< of one element */
    unsigned ndims;           /**< 1 to MN_MAX_DIMS; 0 in an empty value */
    size_t dims[MN_MAX_DIMS]; /**< elements along each dimension */
} mn_value_t;

/** Bytes of one element of a type; 0 for a number that is no type. */
MN_API size_t mn_type_size(mn_type_t type);

/** Name of a type, such as "float64"; "unknown" for a number that is no type. Never freed. */
MN_API const char *mn_type_name(mn_type_t type);

/** The empty value. */
MN_API mn_value_t mn_none(void);

/** `size` opaque bytes at `data`. */
MN_API mn_value_t mn_bytes(const void *data, size_t size);

/** NUL-terminated UTF-8 text; NULL gives the empty value. */
MN_API mn_value_t mn_text(const char *text);

/** `count` numbers of `type` at `data`, one dimension. */
MN_API mn_value_t mn_array(mn_type_t type, const void *data, size_t count);

/** A matrix of `rows` times `columns` numbers of `type` at `data`, row-major. */
MN_API mn_value_t mn_matrix(mn_type_t type, const void *data, size_t rows, size_t columns);

/** An array of any number of dimensions: `dims` has `ndims` (1 to MN_MAX_DIMS) element counts.
 * A wrong `ndims` or a product that overflows gives a value that every call refuses with MN_E_INVALID. */
MN_API mn_value_t mn_tensor(mn_type_t type, const void *data, unsigned ndims, const size_t *dims);

/** Frees what a call handed over in a value and makes it the empty value. NULL and the empty value are fine. */
MN_API void mn_value_destroy(mn_value_t *value);
/** @} */

/* ------------------------------------------------------------------------------------------------- */
/** @defgroup declarations Declaring jobs, functions and services
 * @{ */

/** The task that is running: the first argument of user code. One exists per process at a time. */
typedef struct mn_task mn_task_t;

/** User code of a job, function or service.
 * Runs in an executor process, never in an MPI rank. `input` is valid until it returns.
 * Return 0 for success or a negative MN_E_* code; mn_fail() returns one with a sentence. */
typedef int mn_entry_t(mn_task_t *task, mn_value_t input);

/** The user's client code, run in a process of its own; its return value is the exit status (0 to 255).
 * `task` is the driver's own handle, for mn_map() and the like. */
typedef int mn_driver_t(mn_task_t *task, int argc, char **argv);

/** What a task may be: which macro declared it. */
typedef enum mn_kind { MN_KIND_JOB = 1, MN_KIND_FUNCTION, MN_KIND_SERVICE } mn_kind_t;

/** For mn_spec_t::max_lost: never run again after a lost worker or a restart. */
#define MN_AT_MOST_ONCE (-1)

/** For mn_spec_t::grace and mn_cancel_within(): no time to clean up. */
#define MN_NO_GRACE (-1.0)

/** What a declaration asks for. A field left out (zero) has the default in brackets. */
typedef struct mn_spec {
    double cpu;         /**< cores: a whole number, or a fraction below 1 that shares a core [1] */
    const char *memory; /**< such as "4GiB", "512 MiB", "1.5GB" or a number of bytes [none asked] */
    unsigned
        gpus; /**< of a job or function: GPUs to itself, up to 64, named in CUDA_VISIBLE_DEVICES and
                        ROCR_VISIBLE_DEVICES; it sees no others of the node's [none] */
    unsigned max_retries; /**< further attempts after an error or crash [0] */
    double
        timeout; /**< seconds per attempt, or per item of a function; a job is not begun when they would not be
                       over before the run's time is, unless they are more than all of it [none] */
    unsigned max_concurrency; /**< how many may run at the same time [no limit] */
    double grace;             /**< seconds to clean up after a cancel; MN_NO_GRACE for none [300] */
    int priority;             /**< larger goes first [0] */
    int max_lost; /**< further attempts after a lost worker or restart; MN_AT_MOST_ONCE [3] */
    bool fresh;   /**< a new process for each task [reuse after a success] */
    bool
        blockwise; /**< of a function: a call is given many items at once, see mn_block_results() [one] */
    unsigned port; /**< of a service: the port it listens on, 0 picks a free one */
} mn_spec_t;

/** Adds a declaration; the macros below call it before main() begins. Programs that find their functions at
 * run time may call it themselves before mn_main() or mn_prepare(), in the same way on every rank.
 * Errors are kept and reported by mn_main() and mn_prepare(): a NULL or malformed name (letters, digits and
 * underscore, up to 63 characters), a second declaration of a name, a malformed spec. The name "exec" is taken: see
 * mn_start_named().
 * @return 0, MN_E_INVALID, MN_E_DUPLICATE, MN_E_NO_MEMORY, or MN_E_WRONG_KIND once the runtime has begun */
MN_API int mn_declare(mn_kind_t kind, const char *name, mn_entry_t *entry, const mn_spec_t *spec);

/** @cond internal */
#define MN_DECLARE_(kind, linkage, function, ...)                        \
    linkage int function(mn_task_t *, mn_value_t);                       \
    __attribute__((constructor)) static void mn_declare_##function(void) \
    {                                                                    \
        static const mn_spec_t spec = {__VA_ARGS__};                     \
        (void)mn_declare((kind), #function, function, &spec);            \
    }                                                                    \
    struct mn_declared_##function
/** @endcond */

/** Declares the static function `name` as a job: MN_JOB(simulate, .cpu = 4, .memory = "2GiB");
 * The function itself is the handle for mn_start(). With no options write MN_JOB(simulate, 0). */
#define MN_JOB(name, ...) MN_DECLARE_(MN_KIND_JOB, static, name, __VA_ARGS__)
/** Declares the static function `name` as a function for mn_map() and mn_call(). */
#define MN_FUNCTION(name, ...) MN_DECLARE_(MN_KIND_FUNCTION, static, name, __VA_ARGS__)
/** Declares the static function `name` as a service, kept alive while the runtime runs. */
#define MN_SERVICE(name, ...) MN_DECLARE_(MN_KIND_SERVICE, static, name, __VA_ARGS__)
/** As MN_JOB, for a function that other files of the program call too (external linkage). */
#define MN_GLOBAL_JOB(name, ...) MN_DECLARE_(MN_KIND_JOB, extern, name, __VA_ARGS__)
/** As MN_FUNCTION, for a function with external linkage. */
#define MN_GLOBAL_FUNCTION(name, ...) MN_DECLARE_(MN_KIND_FUNCTION, extern, name, __VA_ARGS__)

/** Runs the program: every rank calls it from main() as its last act.
 * It starts the runtime on all ranks of MPI_COMM_WORLD (MPI must not be initialized yet), runs `driver` in a
 * process beside rank 0, and when that returns stops: jobs that have not ended by then are asked to stop and
 * stay PENDING in the store. Services alone do not keep it running.
 * Blocks until the end. Call it once, from the main thread.
 * @return the exit status for main(): the driver's on rank 0 (128 + signal if it died of one), 0 on the others,
 * 2 for a misuse and 1 for a runtime that could not start (the reason is on standard error) */
MN_API int mn_main(int argc, char **argv, mn_driver_t *driver);
/** @} */

/* ------------------------------------------------------------------------------------------------- */
/** @defgroup jobs Jobs
 * @{ */

/** Identity of a job: a random UUID (RFC 4122, version 4). */
typedef struct mn_id {
    uint8_t bytes[16]; /**< as in the text form, from left to right */
} mn_id_t;

/** Bytes of a formatted id with its NUL. */
#define MN_ID_TEXT 37

/** Writes `id` as 36 characters and a NUL. @return text */
MN_API char *mn_id_format(mn_id_t id, char text[MN_ID_TEXT]);
/** Reads the 36 characters that mn_id_format() writes. @return 0 or MN_E_INVALID */
MN_API int mn_id_parse(const char *text, mn_id_t *id);
/** Whether two ids are the same. */
MN_API bool mn_id_equal(mn_id_t a, mn_id_t b);

/** Status of a job: X(NAME, number). */
#define MN_STATUSES(X) \
    X(PENDING, 0) X(RUNNING, 1) X(SUCCEEDED, 2) X(FAILED, 3) X(CANCELLING, 4) X(CANCELLED, 5)

/** Status of a job; SUCCEEDED, FAILED and CANCELLED are terminal. */
typedef enum mn_status {
#define MN_STATUS_ENUM(name, number) MN_##name = (number),
    MN_STATUSES(MN_STATUS_ENUM)
#undef MN_STATUS_ENUM
} mn_status_t;

/** Why a job has its status: X(NAME, number, text). */
#define MN_REASONS(X)                    \
    X(NONE, 0, "none")                   \
    X(RETURNED, 1, "returned")           \
    X(ERROR, 2, "error")                 \
    X(EXITED, 3, "exited")               \
    X(SIGNAL, 4, "signal")               \
    X(OUT_OF_MEMORY, 5, "out-of-memory") \
    X(TIMEOUT, 6, "timeout")             \
    X(WORKER_LOST, 7, "worker-lost")     \
    X(CANCELLED, 8, "cancelled")         \
    X(KILLED, 9, "killed")               \
    X(INTERRUPTED, 10, "interrupted")    \
    X(UNDECLARED, 11, "undeclared")

/** Why a job has its status. */
typedef enum mn_reason {
#define MN_REASON_ENUM(name, number, text) MN_REASON_##name = (number),
    MN_REASONS(MN_REASON_ENUM)
#undef MN_REASON_ENUM
} mn_reason_t;

/** Name of a status, such as "RUNNING"; "UNKNOWN" for a number that is none. Never freed. */
MN_API const char *mn_status_name(mn_status_t status);
/** Name of a reason, such as "out-of-memory"; "unknown" for a number that is none. Never freed. */
MN_API const char *mn_reason_name(mn_reason_t reason);
/** Whether a job with this status has ended for good. */
MN_API bool mn_status_terminal(mn_status_t status);

/** Options of mn_start(). Zero means: as declared. */
typedef struct mn_start_options {
    const char *lock; /**< held until the job has ended and its processes are gone; NULL: none */
    const char *tag;  /**< any text to find it by in mn_list(); NULL: none */
    const char *key; /**< the caller's own name for this piece of work: a second start with it gives
                                   the id of the first instead of running it again; NULL: none */
    double cpu;      /**< as mn_spec_t::cpu */
    const char *memory;      /**< as mn_spec_t::memory */
    unsigned gpus;           /**< as mn_spec_t::gpus */
    double timeout;          /**< as mn_spec_t::timeout */
    double grace;            /**< as mn_spec_t::grace */
    int priority;            /**< added to the declared priority */
    unsigned max_retries;    /**< as mn_spec_t::max_retries */
    bool cancel_with_parent; /**< a cancel of the job that starts it reaches this one too */
} mn_start_options_t;

/** Starts a job.
 * @param job     a function declared with MN_JOB
 * @param input   copied; up to MN_MAX_VALUE bytes
 * @param options NULL for none. Lock, tag and key: 1 to 255 bytes of UTF-8 without control characters
 * @param id      receives the new job's id; NULL if it is not wanted
 * Asks the scheduler.
 * @return 0, MN_E_INVALID, MN_E_UNDECLARED, MN_E_WRONG_KIND, MN_E_TOO_LARGE, MN_E_IMPOSSIBLE (the message names
 * the largest node), MN_E_LOCK_IN_USE (the message names the holder's id), MN_E_INTERRUPTED, MN_E_NO_RUNTIME */
MN_API int mn_start(mn_entry_t *job, mn_value_t input, const mn_start_options_t *options,
                    mn_id_t *id);

/** As mn_start(), by the job's name.
 * One job is always there: "exec" runs any program. Its input is a text, a JSON object with `arguments` (an array of
 * strings, the first one the program), and, if wanted, `environment` (an array of "NAME=VALUE"; without it that of the
 * runtime), `directory` and `stdin`: {"arguments": ["./sim", "7"]}. Its result is a text, the line "exit status 0" and the
 * end of the program's standard output. `multinode exec` starts it from a command line; docs/exec.md has the rest. */
MN_API int mn_start_named(const char *job, mn_value_t input, const mn_start_options_t *options,
                          mn_id_t *id);

/** What is known of a job. Made by mn_get() and its kin; read-only; freed with mn_info_destroy(), with all
 * that it points to. Strings that do not apply are NULL, times that have not come are 0. */
typedef struct mn_info {
    mn_id_t id;         /**< the job's id */
    const char *job;    /**< name of the job function */
    mn_status_t status; /**< its status now */
    mn_reason_t reason; /**< why it has it */
    const char *error;  /**< a sentence when FAILED, else NULL */
    mn_value_t result;  /**< the value most recently yielded; empty if none was */
    uint64_t yields;   /**< values yielded so far; 0: result is empty because nothing was yielded */
    uint64_t version;  /**< grows with every change; see mn_watch() */
    unsigned attempts; /**< tasks begun */
    double progress;   /**< 0 to 1 as last reported */
    const char *message; /**< as last reported with the progress */
    double created;      /**< when it was started by mn_start() */
    double started;      /**< when its last attempt began */
    double ended;        /**< when it ended for good */
    const char *lock;    /**< the lock that it holds or held */
    const char *tag;     /**< the tag that it was started with */
    const char *key;     /**< the key that it was started with */
    const char *host;    /**< where it runs or last ran */
    int rank;            /**< the worker that runs or last ran it; -1 before */
    const char *cpus;    /**< cores it was granted, as "0-3,8": hwloc's logical numbers */
    double
        cpu_time; /**< seconds of processor time that the last attempt that ended has used, with the
                          children that it waited for */
    uint64_t
        peak_memory; /**< most bytes of memory that it had at a time; 0: not known, as of an attempt of
                               less than a millisecond */
} mn_info_t;

/** Reads a job's state. Asks the scheduler.
 * @return 0, MN_E_NO_JOB, MN_E_INVALID, MN_E_NO_RUNTIME, MN_E_STORE (its result has a file of its own that cannot be read) */
MN_API int mn_get(mn_id_t id, mn_info_t **info);

/** Waits until a job has ended.
 * @param id      the job
 * @param timeout seconds; 0 only looks, negative waits for ever
 * @param info    receives the final state; NULL if it is not wanted
 * Blocks. A job that waits lends its cores, as in mn_map().
 * @return 0 when the job has ended (however it did), MN_E_TIMEOUT, MN_E_NO_JOB, MN_E_CANCELLED, MN_E_INTERRUPTED,
 * MN_E_DEADLOCK, MN_E_NO_RUNTIME, MN_E_STORE (as mn_get()) */
MN_API int mn_wait(mn_id_t id, double timeout, mn_info_t **info);

/** Starts many jobs of one function, much faster than one by one.
 * @param job     a function declared with MN_JOB
 * @param inputs  one per job; copied
 * @param count   how many; 0 is fine
 * @param options for all of them, NULL for none; without lock and key, which belong to one job each
 * @param ids     receives `count` ids, in order; NULL if they are not wanted
 * Asks the scheduler, once for many jobs.
 * @return how many were started: `count`, or fewer when the runtime stopped or ran out of memory meanwhile
 * (mn_error_message() then says why); a negative code as for mn_start() when none was */
MN_API int mn_start_many(mn_entry_t *job, const mn_value_t *inputs, size_t count,
                         const mn_start_options_t *options, mn_id_t *ids);

/** As mn_start_many(), by the job's name. */
MN_API int mn_start_many_named(const char *job, const mn_value_t *inputs, size_t count,
                               const mn_start_options_t *options, mn_id_t *ids);

/** Is shown the job number `index` (of the ids that were given), which has ended. `info` is valid during the call, which
 * must not talk to the runtime. Return 0 to go on; another value ends mn_wait_many(), which returns it. */
typedef int mn_info_visit_t(void *argument, size_t index, const mn_info_t *info);

/** Waits until all of many jobs have ended, much faster than one by one.
 * @param ids      the jobs; each is shown once, in this order, soon after it and those before it have ended
 * @param count    how many; 0 is fine
 * @param timeout  seconds for all; 0 only looks, negative waits for ever
 * @param visit    called for each; NULL: only waits
 * @param argument passed on to it
 * Blocks, as mn_wait(). @return 0 when all have ended; what the visitor returned; or an error as for mn_wait(), when some
 * may have been shown */
MN_API int mn_wait_many(const mn_id_t *ids, size_t count, double timeout, mn_info_visit_t *visit,
                        void *argument);

/** Waits until a job's version is greater than `seen` (a new yield, progress or status), or it has ended.
 * Start with seen = 0 and pass info->version on. Blocks; errors and timeout as for mn_wait(). */
MN_API int mn_watch(mn_id_t id, uint64_t seen, double timeout, mn_info_t **info);

/** Frees what mn_get(), mn_wait() and mn_watch() made. */
MN_API void mn_info_destroy(mn_info_t *info);

/** Cancels a job: a pending one is CANCELLED at once, a running one CANCELLING until it has stopped, or is
 * killed when its grace is over. Asks the scheduler; does not wait for the end.
 * @return 0, or 1 if the job had ended before (nothing was done), MN_E_NO_JOB, MN_E_NO_RUNTIME */
MN_API int mn_cancel(mn_id_t id);

/** As mn_cancel(), with this grace in seconds instead of the job's own; MN_NO_GRACE kills at once. */
MN_API int mn_cancel_within(mn_id_t id, double grace);

/** Removes a job and all its data. One that has not ended is cancelled first, and its end waited for.
 * Blocks. @return 0, MN_E_NO_JOB, MN_E_CANCELLED, MN_E_INTERRUPTED, MN_E_NO_RUNTIME */
MN_API int mn_remove(mn_id_t id);

/** Says in a sentence why a job is PENDING, such as "needs 16 cores and 4 GiB; node n3 has 12 cores and 6 GiB free; 2 tasks
 * ahead of it"; of another that it is RUNNING, or how it ended. For people: the wording may change.
 * @param id   the job
 * @param text receives a NUL-terminated copy, to be freed with free()
 * Asks the scheduler. @return 0, MN_E_NO_JOB, MN_E_INVALID, MN_E_NO_MEMORY, MN_E_NO_RUNTIME */
MN_API int mn_explain(mn_id_t id, char **text);

/** Which jobs mn_list() gives. Zero means: all. */
typedef struct mn_list_options {
    const char *job;      /**< of this job function */
    const char *lock;     /**< holding this lock, or having held it */
    const char *tag;      /**< with this tag */
    unsigned statuses;    /**< any of these: bits 1u << MN_RUNNING and so on */
    const mn_id_t *after; /**< the page begins behind this id, the last one of the page before */
} mn_list_options_t;

/** Lists jobs, newest first.
 * @param options  NULL for all
 * @param ids      room for `capacity` ids
 * @param capacity how many ids there is room for
 * @param count    receives how many were written; fewer than capacity: there are no more
 * Asks the scheduler. @return 0, MN_E_NO_JOB (`after` is unknown), MN_E_INVALID, MN_E_NO_RUNTIME */
MN_API int mn_list(const mn_list_options_t *options, mn_id_t *ids, size_t capacity, size_t *count);

/** A lock that is held. */
typedef struct mn_lock {
    char name[256]; /**< what mn_start() was given */
    mn_id_t holder; /**< the job that holds it */
} mn_lock_t;

/** Lists the locks that are held, by name.
 * @param locks receives an array of `count`, to be freed with mn_locks_destroy()
 * @param count receives how many there are
 * Asks the scheduler. @return 0, MN_E_INVALID, MN_E_NO_MEMORY, MN_E_NO_RUNTIME */
MN_API int mn_locks(mn_lock_t **locks, size_t *count);
/** Frees what mn_locks() made. */
MN_API void mn_locks_destroy(mn_lock_t *locks);

/** Standard output or standard error of an attempt. */
typedef enum mn_stream { MN_STDOUT = 1, MN_STDERR = 2 } mn_stream_t;

/** Reads what an attempt of a job has written so far, while it runs or later. Functions that the job called
 * write to the job's own log. Each stream keeps its first and its last 64 KiB, with a line between that says
 * how much was left out.
 * @param id      the job
 * @param attempt 1 is the first, 0 means the latest
 * @param stream  which of the two
 * @param text    receives a NUL-terminated copy, to be freed with free()
 * @param size    receives its bytes without the NUL; may be NULL
 * Asks the scheduler. @return 0, MN_E_NO_JOB, MN_E_INVALID (no such attempt), MN_E_LOST, MN_E_NO_RUNTIME */
MN_API int mn_log(mn_id_t id, unsigned attempt, mn_stream_t stream, char **text, size_t *size);

/** Where a service can be reached: "host:port", the host by name, or by number where its name is not known.
 * @param name    the service function's name
 * @param address receives the text
 * @param size    room at `address` in bytes
 * Asks the scheduler. @return 0, MN_E_UNDECLARED, MN_E_WRONG_KIND, MN_E_NO_RESULT (it is not up now),
 * MN_E_TOO_LARGE (`size` is too small), MN_E_NO_RUNTIME */
MN_API int mn_service_address(const char *name, char *address, size_t size);
/** @} */

/* ------------------------------------------------------------------------------------------------- */
/** @defgroup stores Reading a store
 * The jobs that a run keeps in a file (multinode run --store FILE.h5), for any program: no runtime is needed, and one
 * may have the store meanwhile. Read permission is enough, and nothing is written. What is read is the state at
 * mn_store_open(), with all that was acknowledged by then; open again to see what came later.
 * Calls may come from any thread, with the same store one at a time. They wait for the file system only.
 * @{ */

/** A store that is open to be read. */
typedef struct mn_store mn_store_t;

/** Opens a store and reads what it knows of its jobs, values apart.
 * @param path  the HDF5 file; its journal lies beside it
 * @param store receives the store, to be closed with mn_store_close()
 * @return 0, MN_E_STORE (there is none, it cannot be read, or it is something else: the message says which),
 * MN_E_INVALID, MN_E_NO_MEMORY */
MN_API int mn_store_open(const char *path, mn_store_t **store);

/** What was found to be damaged in it, as sentences, each ending with a newline; all else is there to be read. NULL:
 * nothing. Valid until the store is closed. */
MN_API const char *mn_store_damage(const mn_store_t *store);

/** Lists jobs of a store, newest first: as mn_list().
 * @return 0, MN_E_NO_JOB (`after` is unknown), MN_E_INVALID, MN_E_NO_MEMORY */
MN_API int mn_store_list(mn_store_t *store, const mn_list_options_t *options, mn_id_t *ids,
                         size_t capacity, size_t *count);

/** Reads what a store knows of a job, its result included: as mn_get().
 * A job that was under way when the runtime was lost is RUNNING here.
 * @param store the store
 * @param id    the job
 * @param info  receives it, to be freed with mn_info_destroy(); it may outlive the store
 * @return 0, MN_E_NO_JOB, MN_E_STORE (the result cannot be read), MN_E_INVALID, MN_E_NO_MEMORY */
MN_API int mn_store_get(mn_store_t *store, mn_id_t id, mn_info_t **info);

/** Reads the input that a job was started with.
 * @param store the store
 * @param id    the job
 * @param input receives a copy, to be freed with mn_value_destroy(); empty if the job has none
 * @return 0, MN_E_NO_JOB, MN_E_STORE (it cannot be read), MN_E_INVALID, MN_E_NO_MEMORY */
MN_API int mn_store_input(mn_store_t *store, mn_id_t id, mn_value_t *input);

/** Closes a store. NULL is fine. */
MN_API void mn_store_close(mn_store_t *store);
/** @} */

/* ------------------------------------------------------------------------------------------------- */
/** @defgroup task Inside a task
 * @{ */

/** Publishes an intermediate result; the latest one is the job's result. In a function it is the item's
 * result, the last one counting. In a task that is asked to stop the value is still published, and then
 * MN_E_CANCELLED or MN_E_INTERRUPTED returned, so that a loop ends and a clean-up can yield.
 * Does not block (but for room in the channel to the worker).
 * @return 0, MN_E_INVALID, MN_E_TOO_LARGE (in mn_map() also: not of the result's size), MN_E_CANCELLED,
 * MN_E_INTERRUPTED, MN_E_WRONG_KIND (in the driver or a service, which have no result) */
MN_API int mn_yield(mn_task_t *task, mn_value_t value);

/** As mn_yield(), and returns once the value would survive a crash. Blocks. */
MN_API int mn_yield_sync(mn_task_t *task, mn_value_t value);

/** The value that this job last yielded, in this attempt or an earlier one: where to go on from.
 * @param task  the job's own handle
 * @param value receives a view that is valid until the task's next yield
 * @return 0, MN_E_NO_RESULT (none yet), MN_E_WRONG_KIND (not in a job), MN_E_INVALID */
MN_API int mn_last_yield(mn_task_t *task, mn_value_t *value);

/** Reports progress.
 * @param task     the job's own handle
 * @param fraction 0 to 1
 * @param message  up to 255 bytes of text for people; NULL for none
 * @return 0, MN_E_INVALID, MN_E_CANCELLED, MN_E_INTERRUPTED, MN_E_WRONG_KIND (not in a job) */
MN_API int mn_progress(mn_task_t *task, double fraction, const char *message);

/** 0 while the task may go on, else MN_E_CANCELLED or MN_E_INTERRUPTED. Costs a load; never blocks.
 * NULL means the task that runs in this process. */
MN_API int mn_cancelled(const mn_task_t *task);

/** The word behind mn_cancelled(): 0, or the code as a negative number. May be read in a signal handler.
 * Valid until the task ends. NULL if task is. */
MN_API const volatile int *mn_cancel_flag(const mn_task_t *task);

/** Has `callback(code, argument)` called, once, from a thread of the library's own, when the task is asked to
 * stop: for code that blocks where it sees no flag. A further call replaces the callback, NULL takes it away.
 * When the call returns the old callback is not running (unless it is the caller). Ends with the task.
 * The callback must not make calls that talk to the runtime.
 * @return 0, MN_E_INVALID, MN_E_SYSTEM (no thread could be made) */
MN_API int mn_on_cancel(mn_task_t *task, void (*callback)(int code, void *argument),
                        void *argument);

/** Sets the sentence that goes with an error, printf-like, and returns `code` (MN_E_FAILED if it is not
 * negative): return mn_fail(task, MN_E_FAILED, "no such file: %s", path); Cut at 1,023 bytes. */
MN_API int mn_fail(mn_task_t *task, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Id of the job that runs, or of the job on whose behalf a function runs; all zero elsewhere. */
MN_API mn_id_t mn_task_job(const mn_task_t *task);
/** Number of this attempt, from 1. */
MN_API unsigned mn_task_attempt(const mn_task_t *task);
/** Number of cores that were granted; 1 for a fraction of a core, 0 for the driver. */
MN_API unsigned mn_task_cpus(const mn_task_t *task);
/** Name of the job, function or service; "driver" for the driver. */
MN_API const char *mn_task_name(const mn_task_t *task);
/** Port that a service is to listen on, 0 if task is no service. */
MN_API unsigned mn_task_port(const mn_task_t *task);
/** @} */

/* ------------------------------------------------------------------------------------------------- */
/** @defgroup map Functions: call and map
 * The caller lends its cores while it waits here, to what it calls first, and has them back afterwards.
 * Calls nest to any depth. A call that can never proceed returns MN_E_DEADLOCK, and the message says what
 * holds what it waits for.
 * @{ */

/** What became of one item. */
typedef struct mn_item_error {
    int code;           /**< 0, or the MN_E_* code */
    mn_reason_t reason; /**< error, signal, exited, timeout, ... */
    char *message;      /**< a sentence, NULL when code is 0 */
} mn_item_error_t;

/** Options of the map calls. Zero means: none. */
typedef struct mn_map_options {
    mn_item_error_t *errors; /**< `count` entries: failures are reported here per item, and the map
                                  goes on; freed with mn_item_errors_destroy() */
    size_t *failed;          /**< receives the index of the item that failed the map */
    size_t max_block;        /**< most items that travel together [chosen as the map goes on] */
} mn_map_options_t;

/** Calls one function and waits for its result.
 * @param task     the caller's own handle
 * @param function a function declared with MN_FUNCTION
 * @param input    its argument, read during the call
 * @param result   receives a copy that mn_value_destroy() frees; empty if it yielded nothing; may be NULL
 * Blocks.
 * @return 0; MN_E_FAILED or the function's own code with its message; MN_E_CRASHED, MN_E_TIMEOUT, MN_E_LOST;
 * MN_E_IMPOSSIBLE, MN_E_DEADLOCK, MN_E_CANCELLED, MN_E_INTERRUPTED; MN_E_INVALID, MN_E_UNDECLARED,
 * MN_E_WRONG_KIND, MN_E_TOO_LARGE */
MN_API int mn_call(mn_task_t *task, mn_entry_t *function, mn_value_t input, mn_value_t *result);

/** Maps a function over `count` items of a fixed size and gathers results of a fixed size, in argument order.
 * Each item reaches the function as bytes; it must yield `result_size` bytes (or nothing, if that is 0). A blockwise
 * function is given many items at once.
 * @param task          the caller's own handle
 * @param function      a function declared with MN_FUNCTION
 * @param arguments     count * argument_size bytes
 * @param argument_size bytes of an item
 * @param count         how many items; 0 is fine
 * @param results       count * result_size bytes, valid on success; in memory from mn_alloc() they are written as
 *                      items end, elsewhere on success only (of each part, when what is to be copied is over 256 MiB: then
 *                      the map goes part by part)
 * @param result_size   bytes of a result; 0: the function yields nothing
 * @param options       NULL for none
 * Blocks. @return 0, or as mn_call() for the first item that fails; its index is in the message */
MN_API int mn_map_fixed(mn_task_t *task, mn_entry_t *function, const void *arguments,
                        size_t argument_size, size_t count, void *results, size_t result_size,
                        const mn_map_options_t *options);

/** @name Functions over blocks
 * A function of mn_map_fixed() may take many items in one call, where a call for each would cost more than the work:
 *
 *     MN_FUNCTION(squares, .cpu = 1, .blockwise = true);
 *     static int squares(mn_task_t *task, mn_value_t input)
 *     {
 *         const double *numbers = input.data;
 *         double *results = mn_block_results(task);
 *         for (size_t i = 0; i < input.size / sizeof *numbers; i++)
 *             results[i] = numbers[i] * numbers[i];
 *         return 0;
 *     }
 *
 * `input` is the array of the items of a block; how many there are the runtime chooses, anew for each call
 * (mn_map_options_t::max_block bounds it). The results are an array as well; where they do not stem from
 * mn_block_results() they are yielded, as one array. A timeout is counted per call, and from the last mn_block_done().
 * A function of this kind cannot be used with mn_call(), mn_map_values() and mn_map_open() (MN_E_WRONG_KIND).
 * @{ */

/** Where a blockwise function writes the results of its block: as many times the map's result_size as it was given items,
 * aligned as the map's results are. Not initialized: each must be written. Valid until the function returns.
 * NULL elsewhere, and when results have no bytes. */
MN_API void *mn_block_results(mn_task_t *task);

/** Says that the first `count` items of the block, results included, are complete: they are kept when a later one fails or
 * ends the process, and an error is then that of the item behind them (of the first one without this call, of the last one
 * when all were said to be complete).
 * Costs a store; may be left out. @return 0, or MN_E_CANCELLED or MN_E_INTERRUPTED; MN_E_INVALID for more items than
 * there are or fewer than before; MN_E_WRONG_KIND outside of a blockwise function */
MN_API int mn_block_done(mn_task_t *task, size_t count);
/** @} */

/** mn_map_fixed() over two C arrays: mn_map(task, square, numbers, n, squares) */
#define mn_map(task, function, arguments, count, results)                                  \
    mn_map_fixed((task), (function), (arguments), sizeof *(arguments), (count), (results), \
                 sizeof *(results), NULL)

/** Memory whose contents travel without a copy: arguments of mn_map_fixed() that lie in it are read there by the
 * functions on the caller's node, and results are written there. Use it for what is large or mapped often.
 * @param task   the caller's own handle
 * @param size   bytes; at most half the task's shared memory, 32 GiB on most systems
 * @param memory receives the memory: at a multiple of 4096, not initialized
 * Ends with mn_free(), or with the task. Does not block. @return 0, MN_E_NO_MEMORY, MN_E_TOO_LARGE, MN_E_INVALID,
 * MN_E_NO_RUNTIME */
MN_API int mn_alloc(mn_task_t *task, size_t size, void **memory);

/** Frees memory from mn_alloc(). NULL is fine; anything else is ignored. */
MN_API void mn_free(void *memory);

/** Maps a function over `count` values of any size.
 * @param task      the caller's own handle
 * @param function  a function declared with MN_FUNCTION
 * @param arguments one value per item
 * @param count     how many items; 0 is fine
 * @param results   receives `count` values, each to be freed with mn_value_destroy() (empty where an item failed
 *                  or yielded nothing); may be NULL
 * @param options   NULL for none
 * Blocks; otherwise as mn_map_fixed(). On failure without options->errors no result is left to free. */
MN_API int mn_map_values(mn_task_t *task, mn_entry_t *function, const mn_value_t *arguments,
                         size_t count, mn_value_t *results, const mn_map_options_t *options);

/** A map whose results are taken one by one. */
typedef struct mn_map_stream mn_map_stream_t;

/** Begins a map whose results are taken one by one, in order, as they get ready.
 * @param task      the caller's own handle
 * @param function  a function declared with MN_FUNCTION
 * @param arguments copied as needed; must stay valid until mn_map_close()
 * @param count     how many items; 0 is fine
 * @param options   NULL for none
 * @param stream    receives the map
 * Ends with mn_map_close(), which the task must call. Does not wait for results. Errors as mn_call(). */
MN_API int mn_map_open(mn_task_t *task, mn_entry_t *function, const mn_value_t *arguments,
                       size_t count, const mn_map_options_t *options, mn_map_stream_t **stream);

/** Waits for the next result in argument order.
 * @param stream the map
 * @param result receives a copy that mn_value_destroy() frees
 * Blocks. @return 0, MN_E_END after the last, or the error of that item (the next call gives the next item) */
MN_API int mn_map_next(mn_map_stream_t *stream, mn_value_t *result);

/** Ends a map; items that have not run are dropped, running ones cancelled. NULL is fine. */
MN_API void mn_map_close(mn_map_stream_t *stream);

/** Frees the messages of `count` item errors. */
MN_API void mn_item_errors_destroy(mn_item_error_t *errors, size_t count);
/** @} */

#ifdef __cplusplus
}
#endif
#endif /* MULTINODE_H */
