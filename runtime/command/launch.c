/* SPDX-License-Identifier: MIT
 *
 * Where the ranks will be, and mpirun's arguments and environment for that. Why each flag:
 * docs/adr/0002-mpirun-flags.md.
 */
#include "command/hosts.h"
#include "command/run.h"
#include "service/listen.h"
#include "util/error.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define SYSTEM_HOSTFILE "/etc/openmpi/openmpi-default-hostfile"
#define MOST_NODES 100000

/* --- where ---------------------------------------------------- */

static int place_hosts(const mni_run_options_t *options, mni_place_t *place)
{
    mni_hosts_t hosts = {.count = 0};
    char own[MNI_LONGEST_HOST + 1] = "";
    int rc = options->host ? mni_hosts_from_list(&hosts, options->host)
                           : mni_hosts_from_file(&hosts, options->hostfile);

    if (rc < 0)
        goto cleanup;
    place->source = options->host ? "--host" : "--hostfile";
    /* Rank 0 runs on the first host, and the control line does not leave this one. */
    if (!mni_hosts_is_this(hosts.names[0])) {
        gethostname(own, sizeof own - 1);
        rc = mni_error(
            MN_E_INVALID,
            "%s begins with \"%s\", but rank 0 must run on this host: put %s first, or start the command "
            "on %s",
            place->source, hosts.names[0], own, hosts.names[0]);
        goto cleanup;
    }
    place->nodes = hosts.count;
    place->one_node = hosts.count == 1;

cleanup:
    free(hosts.names);
    return rc;
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0];
}

/* Nodes named in a batch system's file; 0: not known. */
static unsigned count_nodes(const char *path)
{
    mni_hosts_t hosts = {.count = 0};
    unsigned count = path && mni_hosts_from_file(&hosts, path) == 0 ? hosts.count : 0;
    free(hosts.names);
    return count;
}

int mni_launch_place(const mni_run_options_t *options, mni_place_t *place)
{
    *place = (mni_place_t){.nodes = 0};
    if (options->host || options->hostfile)
        return place_hosts(options, place);
    if (is_set("SLURM_JOB_ID") || is_set("SLURM_JOBID")) {
        const char *nodes = getenv("SLURM_JOB_NUM_NODES");
        place->source = "Slurm";
        if (!nodes)
            nodes = getenv("SLURM_NNODES");
        long count = nodes ? strtol(nodes, NULL, 10) : 0;
        place->nodes = count > 0 && count <= MOST_NODES ? (unsigned)count : 0;
        const char *list = getenv("SLURM_JOB_NODELIST");
        place->one_node = count == 1 && list && mni_hosts_is_this(list);
    } else if (is_set("PBS_JOBID")) {
        place->source = "PBS";
        place->nodes = count_nodes(getenv("PBS_NODEFILE"));
    } else if (is_set("PE_HOSTFILE")) {
        place->source = "Grid Engine";
        place->nodes = count_nodes(getenv("PE_HOSTFILE"));
    } else if (is_set("LSB_JOBID")) {
        place->source = "LSF";
        place->nodes = count_nodes(getenv("LSB_DJOB_HOSTFILE"));
    } else if (is_set("OMPI_MCA_orte_default_hostfile")) {
        place->source = "OMPI_MCA_orte_default_hostfile";
        place->nodes = count_nodes(getenv("OMPI_MCA_orte_default_hostfile"));
    } else if (count_nodes(SYSTEM_HOSTFILE) > 0) {
        place->source = SYSTEM_HOSTFILE;
        place->nodes = count_nodes(SYSTEM_HOSTFILE);
    } else {
        place->source = "this host";
        place->nodes = 1;
        place->one_node = true;
    }
    return 0;
}

long mni_launch_default_ranks(const mni_place_t *place)
{
    cpu_set_t cores;

    if (place->nodes != 1)
        return place->nodes ? (long)place->nodes + 1 : 0;
    /* A worker can be lost while another goes on; a third rank would only wait on a single core.
     * On a machine with more cores than cpu_set_t holds the call fails: those are many. */
    return sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) < 2 ? 2 : 3;
}

/* --- mpirun's arguments ---------------------------------------------------- */

typedef struct list {
    char **items;
    size_t count, room;
    bool failed;
} list_t;

static void add(list_t *list, const char *text)
{
    if (list->count + 2 > list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        char **grown = realloc(list->items, room * sizeof *grown);
        if (!grown) {
            list->failed = true;
            return;
        }
        list->items = grown;
        list->room = room;
    }
    list->items[list->count] = strdup(text);
    if (!list->items[list->count])
        list->failed = true;
    else
        list->items[++list->count] = NULL;
}

/* An MCA parameter, unless the user has set it in the environment, which the command line would
 * override. */
static void add_mca(list_t *list, const char *name, const char *value)
{
    char variable[128];

    snprintf(variable, sizeof variable, "OMPI_MCA_%s", name);
    if (getenv(variable))
        return;
    add(list, "--mca");
    add(list, name);
    add(list, value);
}

static void add_export(list_t *list, const char *variable)
{
    if (getenv(variable)) {
        add(list, "-x");
        add(list, variable);
    }
}

/* Copies between the ranks of a node by process_vm_readv, unless a container forbids the call. */
static bool single_copy_works(void)
{
    char from = 1, to = 0;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

static void add_transport(list_t *list, const mni_place_t *place, const mni_folders_t *folders)
{
    if (!place->one_node) {
        add_mca(list, "btl_openib_warn_no_device_params_found", "0");
        add_mca(list, "btl_openib_warn_default_gid_prefix", "0");
        return;
    }
    add_mca(list, "orte_tmpdir_base", folders->private);
    add_mca(list, "pml", "ob1");
    add_mca(list, "btl", "self,vader");
    if (folders->shared[0])
        add_mca(list, "btl_vader_backing_directory", folders->shared);
    if (!single_copy_works())
        add_mca(list, "btl_vader_single_copy_mechanism", "none");
}

/* mpirun reads some options even behind the program's name, and splits its line at ":" wherever
 * it stands. */
static bool is_read_by_mpirun(const char *argument)
{
    const char *name = argument + strspn(argument, "-");

    if (strcmp(argument, ":") == 0)
        return true;
    return argument[0] == '-' &&
           (strstr(name, "mca") || strcmp(name, "am") == 0 || strcmp(name, "tune") == 0);
}

void mni_launch_quote(FILE *text, const char *word)
{
    fputc('\'', text);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", text);
        else
            fputc(*word, text);
    fputc('\'', text);
}

/* Arguments that mpirun would take for its own travel within one that a shell takes apart and
 * execs. */
static void add_program(list_t *list, char **program)
{
    char *line = NULL;
    size_t size = 0;
    bool hidden = false;

    for (char **argument = program + 1; *argument; argument++)
        hidden = hidden || is_read_by_mpirun(*argument);
    if (!hidden) {
        for (; *program; program++)
            add(list, *program);
        return;
    }
    FILE *text = open_memstream(&line, &size);
    if (!text) {
        list->failed = true;
        return;
    }
    fputs("exec", text);
    for (; *program; program++) {
        fputc(' ', text);
        mni_launch_quote(text, *program);
    }
    if (fclose(text) != 0)
        list->failed = true;
    add(list, "/bin/sh");
    add(list, "-c");
    add(list, line ? line : "");
    free(line);
}

char **mni_launch_arguments(const mni_run_options_t *options, const mni_place_t *place,
                            const mni_folders_t *folders)
{
    list_t list = {.count = 0};
    char ranks[32];

    snprintf(ranks, sizeof ranks, "%ld", options->ranks);
    add(&list, "mpirun");
    add(&list, "-n");
    add(&list, ranks);
    add(&list, "--bind-to");
    add(&list, "none");
    add(&list, "--enable-recovery");
    add(&list, "--oversubscribe");
    if (!place->one_node) {
        add(&list, "--map-by");
        add(&list, "node");
    }
    if (options->host) {
        add(&list, "--host");
        add(&list, options->host);
    }
    if (options->hostfile) {
        add(&list, "--hostfile");
        add(&list, options->hostfile);
    }
    add_transport(&list, place, folders);
    add_mca(&list, "mca_base_component_show_load_errors", "0");
    add_mca(&list, "opal_warn_on_missing_libcuda", "0");
    add_mca(&list, "shmem_mmap_enable_nfs_warning", "0");
    /* The number is mpirun's own; in a rank it could be a file of the user's. */
    add(&list, "-x");
    add(&list, "OPAL_OUTPUT_STDERR_FD=2");
    add(&list, "-x");
    add(&list, "PMIX_OUTPUT_STDERR_FD=2");
    add_export(&list, "MULTINODE_CONTROL");
    add_export(&list, "MULTINODE_STORE");
    add_export(&list, "MULTINODE_STORE_LOCK");
    add_export(&list, "MULTINODE_DURABILITY");
    add_export(&list, "MULTINODE_SNAPSHOT");
    add_export(&list, "MULTINODE_CPUS");
    add_export(&list, "MULTINODE_MEMORY");
    add_export(&list, "MULTINODE_GRACE");
    add_export(&list, "MULTINODE_DRAIN_AT");
    add_export(&list, "MULTINODE_HEARTBEAT");
    add_export(&list, MNI_LISTEN_VARIABLE);
    add_program(&list, options->program);
    if (!list.failed)
        return list.items;
    mni_launch_destroy(list.items);
    mni_error(MN_E_NO_MEMORY, "no memory for mpirun's arguments");
    return NULL;
}

void mni_launch_destroy(char **arguments)
{
    if (!arguments)
        return;
    for (char **argument = arguments; *argument; argument++)
        free(*argument);
    free(arguments);
}

int mni_launch_environment(const mni_place_t *place, int diagnostics)
{
    char number[16];
    int rc = 0;

    snprintf(number, sizeof number, "%d", diagnostics);
    rc |= setenv("OPAL_OUTPUT_STDERR_FD", number, 1);
    rc |= setenv("PMIX_OUTPUT_STDERR_FD", number, 1);
    if (geteuid() == 0) {
        rc |= setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        rc |= setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    }
    if (place->one_node)
        rc |= setenv("PMIX_MCA_gds", "hash", 0);
    return rc == 0 ? 0 : mni_error_errno("cannot set the environment of mpirun");
}
