/* SPDX-License-Identifier: MIT
 *
 * As test_store_faults, where the HDF5 file is replaced again and again while changes go on, and the journal behind it.
 */
#include "store_faults.h"

static int the_file_is_replaced(void **state)
{
    (void)state;
    faults_template(false, false);
    faults_follow();
    return 0;
}

int main(void)
{
    return faults_followed("test_store_faults_fold", the_file_is_replaced);
}
