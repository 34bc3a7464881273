/* SPDX-License-Identifier: MIT
 *
 * The third example: a function mapped over an array, on all the cores that there are.
 *
 *     multinode run -n 3 ./map
 *
 * Items and results have fixed sizes here, so plain C arrays go in and come out, in the same order.
 * What happens to an item that fails is the caller's choice: it fails the map, or it is reported
 * beside the others. */
#include <multinode.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

MN_FUNCTION(square_root, .cpu = 1);

/* Gets one item, yields its result. Newton's method, to have something to do. */
static int square_root(mn_task_t *task, mn_value_t input)
{
    double x, root;

    memcpy(&x, input.data, sizeof x);
    if (x < 0)
        return mn_fail(task, MN_E_INVALID, "%g has no real root", x);
    root = x > 1 ? x : 1;
    for (int i = 0; i < 100; i++)
        root = (root + x / root) / 2;
    return mn_yield(task, mn_bytes(&root, sizeof root));
}

enum { COUNT = 6, MANY = 10000 };

static int driver(mn_task_t *task, int argc, char **argv)
{
    static double numbers[MANY], roots[MANY];
    int wrong = 0;

    (void)argc, (void)argv;

    /* 1. All items are good. The macro mn_map() takes the sizes from the arrays. */
    for (int i = 0; i < MANY; i++)
        numbers[i] = i;
    int rc = mn_map(task, square_root, numbers, MANY, roots);
    if (rc < 0) {
        fprintf(stderr, "map: %s\n", mn_error_message());
        return 1;
    }
    for (int i = 0; i < MANY; i++)
        wrong += fabs(roots[i] * roots[i] - i) > 1e-9 * (i + 1);
    printf("%d roots, %d wrong\n", MANY, wrong);

    /* 2. An item fails: so does the map, with the index in the message. */
    const double mixed[COUNT] = {1, 4, -9, 16, -25, 36};
    rc = mn_map(task, square_root, mixed, COUNT, roots);
    printf("a map with a bad item: %s\n", mn_error_name(rc));
    wrong += rc != MN_E_INVALID;

    /* 3. The same, with a place for the errors: the map succeeds, and each item has its own code
     * and message. */
    mn_item_error_t errors[COUNT] = {0};
    rc = mn_map_fixed(task, square_root, mixed, sizeof *mixed, COUNT, roots, sizeof *roots,
                      &(mn_map_options_t){.errors = errors});
    if (rc < 0) {
        fprintf(stderr, "map: %s\n", mn_error_message());
        return 1;
    }
    for (int i = 0; i < COUNT; i++) {
        if (errors[i].code == 0)
            printf("item %d: %g\n", i, roots[i]);
        else
            printf("item %d: %s: %s\n", i, mn_error_name(errors[i].code), errors[i].message);
        wrong += (errors[i].code != 0) != (mixed[i] < 0);
    }
    mn_item_errors_destroy(errors, COUNT);
    return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
    return mn_main(argc, argv, driver);
}
