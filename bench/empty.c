/* SPDX-License-Identifier: MIT
 *
 * The shortest MPI program: what first.c is measured beside.
 */
#include <mpi.h>

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Finalize();
    return 0;
}
