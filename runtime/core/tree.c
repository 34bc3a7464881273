/* SPDX-License-Identifier: MIT
 *
 * Treaps of things that carry their leaf, have a place in an order, and have two quantities. The
 * first in the order that has enough of both is found in logarithmic time (mostly: where one
 * quantity is enough and the other is not, a subtree may be searched in vain). No memory needed. A
 * leaf whose order or quantities change is removed before the change and inserted after it.
 */
#include "core/containers.h"

/* Which way it goes is as good as random to the processor, so what can be said without a jump is. */
static inline bool before(const mni_leaf_t *a, const mni_leaf_t *b)
{
    bool later =
        (a->order[1] < b->order[1]) | ((a->order[1] == b->order[1]) & (a->number < b->number));
    return (a->order[0] < b->order[0]) | ((a->order[0] == b->order[0]) & later);
}

static inline void update(mni_leaf_t *leaf)
{
    static const mni_leaf_t none;
    const mni_leaf_t *left = leaf->left ? leaf->left : &none;
    const mni_leaf_t *right = leaf->right ? leaf->right : &none;
    uint32_t most = left->most > right->most ? left->most : right->most;
    uint64_t other = left->other_most > right->other_most ? left->other_most : right->other_most;

    leaf->most = most > leaf->has ? most : leaf->has;
    leaf->other_most = other > leaf->other_has ? other : leaf->other_has;
}

/* Splits what is below `top` into what is before `key` and the rest. */
static void split(mni_leaf_t *top, const mni_leaf_t *key, mni_leaf_t **low, mni_leaf_t **high)
{
    if (!top) {
        *low = *high = NULL;
    } else if (before(top, key)) {
        split(top->right, key, &top->right, high);
        *low = top;
        update(top);
    } else {
        split(top->left, key, low, &top->left);
        *high = top;
        update(top);
    }
}

static mni_leaf_t *merge(mni_leaf_t *low, mni_leaf_t *high)
{
    if (!low || !high)
        return low ? low : high;
    if (low->weight > high->weight) {
        low->right = merge(low->right, high);
        update(low);
        return low;
    }
    high->left = merge(low, high->left);
    update(high);
    return high;
}

static mni_leaf_t *insert(mni_leaf_t *top, mni_leaf_t *leaf)
{
    if (!top || leaf->weight > top->weight) {
        split(top, leaf, &leaf->left, &leaf->right);
        top = leaf;
    } else if (before(leaf, top)) {
        top->left = insert(top->left, leaf);
    } else {
        top->right = insert(top->right, leaf);
    }
    update(top);
    return top;
}

static mni_leaf_t *take_out(mni_leaf_t *top, const mni_leaf_t *leaf)
{
    if (top == leaf)
        return merge(top->left, top->right);
    if (before(leaf, top))
        top->left = take_out(top->left, leaf);
    else
        top->right = take_out(top->right, leaf);
    update(top);
    return top;
}

void mni_tree_insert(mni_tree_t *tree, mni_leaf_t *leaf)
{
    tree->random = tree->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    leaf->weight = (uint32_t)(tree->random >> 32) | 1;
    leaf->left = leaf->right = NULL;
    tree->top = insert(tree->top, leaf);
}

void mni_tree_remove(mni_tree_t *tree, mni_leaf_t *leaf)
{
    if (leaf->weight == 0)
        return;
    tree->top = take_out(tree->top, leaf);
    leaf->weight = 0;
}

/* What is above both its old place and `to`, the new one, stays as it is. */
static mni_leaf_t *move(mni_leaf_t *top, mni_leaf_t *leaf, const mni_leaf_t *to)
{
    bool left = before(leaf, top);

    if (top == leaf || left != before(to, top)) {
        top = take_out(top, leaf);
        leaf->order[0] = to->order[0];
        leaf->order[1] = to->order[1];
        leaf->left = leaf->right = NULL;
        return insert(top, leaf);
    }
    if (left)
        top->left = move(top->left, leaf, to);
    else
        top->right = move(top->right, leaf, to);
    update(top);
    return top;
}

void mni_tree_move(mni_tree_t *tree, mni_leaf_t *leaf, const uint64_t order[2])
{
    mni_leaf_t to = {.order = {order[0], order[1]}, .number = leaf->number};

    tree->top = move(tree->top, leaf, &to);
}

static mni_leaf_t *first(mni_leaf_t *top, uint32_t least, uint64_t other_least)
{
    while (top && top->most >= least && top->other_most >= other_least) {
        mni_leaf_t *found = first(top->left, least, other_least);
        if (found)
            return found;
        if (top->has >= least && top->other_has >= other_least)
            return top;
        top = top->right;
    }
    return NULL;
}

mni_leaf_t *mni_tree_first(const mni_tree_t *tree, uint32_t least, uint64_t other_least)
{
    return first(tree->top, least, other_least);
}
