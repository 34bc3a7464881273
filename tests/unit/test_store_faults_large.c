/* SPDX-License-Identifier: MIT
 *
 * As test_store_faults_fold, where some values have files of their own.
 */
#include "store_faults.h"

static int some_values_are_large(void **state)
{
    (void)state;
    faults_template(false, true);
    faults_follow();
    return 0;
}

int main(void)
{
    return faults_followed("test_store_faults_large", some_values_are_large);
}
