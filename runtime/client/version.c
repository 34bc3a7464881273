/* SPDX-License-Identifier: MIT
 *
 * The library's version.
 */
#include <multinode.h>

const char *mn_version(void)
{
#ifdef PACKAGE_VERSION
    return PACKAGE_VERSION;
#else
    return MN_VERSION;
#endif
}
