/* SPDX-License-Identifier: MIT
 *
 * The work of the map benchmarks as a program for GNU parallel and xargs: each argument is an item of 64 characters,
 * each line of output its hash.
 */
#include "workload.h"

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char item[ITEM_BYTES] = {0};
        memcpy(item, argv[i], strnlen(argv[i], sizeof item));
        printf("%016llx\n", (unsigned long long)hash_item(item, 0));
    }
    return 0;
}
