/* SPDX-License-Identifier: MIT
 *
 * The verbs that another program carries out, multinode-store: it is linked with HDF5 and libcurl, which would make each start of the
 * command eight times as long. Those of the second list talk to a running runtime. X(NAME, SUMMARY); each has mni_command_NAME() and mni_NAME_usage there.
 */
#ifndef MNI_COMMAND_VERBS_H
#define MNI_COMMAND_VERBS_H

#define MNI_STORE_VERBS(X)                                        \
    X(list, "list the jobs of a store")                           \
    X(get, "show a job of a store")                               \
    X(result, "print the result of a job, or write it to a file") \
    X(check, "check whether a store is sound")                    \
    X(compact, "make a store as small as it can be")

#define MNI_LIVE_VERBS(X)                                              \
    X(start, "start a job in a running runtime")                       \
    X(exec, "run any program as a job of a running runtime")           \
    X(wait, "wait until jobs have ended")                              \
    X(watch, "print what a job yields as it comes")                    \
    X(cancel, "cancel jobs")                                           \
    X(remove, "remove jobs, with all that is kept of them")            \
    X(logs, "print what a job has written")                            \
    X(explain, "say why a job waits")                                  \
    X(locks, "list the locks that are held")                           \
    X(nodes, "list the nodes of a running runtime and what is in use") \
    X(top, "show a running runtime as it is from second to second")    \
    X(drain, "end a running runtime; what is unfinished stays")        \
    X(shutdown, "end a running runtime at once")

#endif
