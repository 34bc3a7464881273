/* SPDX-License-Identifier: MIT
 *
 * multinode top without ncurses: there is no screen.
 */
#include "command/top.h"

int mni_top_show(mni_top_t *top)
{
    (void)top;
    mni_say("this multinode was built without ncurses: top prints one frame, as with --once");
    return MNI_TOP_NO_SCREEN;
}
