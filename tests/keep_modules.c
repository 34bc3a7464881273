/* SPDX-License-Identifier: MIT
 *
 * Preloaded under LeakSanitizer: a library that was loaded stays loaded, so that what Open MPI and PMIx leak from their
 * components can be told by the component's name when the process ends (tests/suppressions/lsan.supp). Without it these
 * leaks come from an unknown module, and could only be told from ours by not looking.
 */
int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
