/* SPDX-License-Identifier: MIT
 *
 * multinode-serve: the program of `multinode serve`. Its driver waits for the end.
 */
#include <multinode.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_stop(int code, void *argument)
{
    const int *event = argument;
    (void)code;
    if (eventfd_write(*event, 1) < 0)
        _exit(1);
}

static int driver(mn_task_t *task, int argc, char **argv)
{
    const char *store = getenv("MULTINODE_STORE");
    int event = eventfd(0, EFD_CLOEXEC);
    eventfd_t value;

    (void)argc, (void)argv;
    if (event < 0 || mn_on_cancel(task, on_stop, &event) < 0) {
        fprintf(stderr, "multinode: cannot wait for the end: %s\n", mn_error_message());
        return 1;
    }
    printf("READY %s\n", store ? store : "");
    fflush(stdout);
    while (mn_cancelled(task) == 0 && eventfd_read(event, &value) < 0)
        ;
    mn_on_cancel(task, NULL, NULL);
    close(event);
    return 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
