/* SPDX-License-Identifier: MIT
 *
 * The verbs that another program carries out, multinode-store: it is linked with HDF5, which would make each start of the command
 * eight times as long. X(NAME, SUMMARY); each has mni_command_NAME() and mni_NAME_usage there.
 */
#ifndef MNI_COMMAND_VERBS_H
#define MNI_COMMAND_VERBS_H

#define MNI_STORE_VERBS(X)                                        \
    X(list, "list the jobs of a store")                           \
    X(get, "show a job of a store")                               \
    X(result, "print the result of a job, or write it to a file") \
    X(check, "check whether a store is sound")                    \
    X(compact, "make a store as small as it can be")

#endif
