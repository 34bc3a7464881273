/* SPDX-License-Identifier: MIT
 *
 * When the time of a run is over: as said, or as Slurm says of the allocation.
 */
#ifndef MNI_COMMAND_WALLTIME_H
#define MNI_COMMAND_WALLTIME_H

#include <stdbool.h>

/* Reads "90" (minutes), "1:30" (minutes and seconds), "2:00:00", "1-12", "1-12:30" or "1-12:30:00" (days and hours ...), as Slurm
 * does. False: it is none of these. */
bool mni_walltime_parse(const char *text, double *seconds);

/* Seconds that the allocation has left; 0: there is none, or it has no end, or nobody tells. Blocks for some seconds at most. */
double mni_walltime_left(void);

#endif
