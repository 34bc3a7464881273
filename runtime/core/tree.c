/* SPDX-License-Identifier: MIT
 *
 * Treaps of things that carry their leaf, have a place in an order, and have two quantities. The
 * first in the order that has enough of both is found in logarithmic time (mostly: where one
 * quantity is enough and the other is not, a subtree may be searched in vain). No memory needed. A
 * leaf whose order or quantities change is removed before the change and inserted after it.
 */
#include "core/internal.h"

static uint64_t most_of(uint64_t own, const mni_leaf_t *left, const mni_leaf_t *right, unsigned i)
{
    if (left && left->most[i] > own)
        own = left->most[i];
    return right && right->most[i] > own ? right->most[i] : own;
}

static void update(mni_leaf_t *leaf)
{
    leaf->most[0] = most_of(leaf->has[0], leaf->left, leaf->right, 0);
    leaf->most[1] = most_of(leaf->has[1], leaf->left, leaf->right, 1);
}

/* Splits what is below `top` into what is before `key` and the rest. */
static void split(mni_order_t *before, mni_leaf_t *top, const mni_leaf_t *key, mni_leaf_t **low,
                  mni_leaf_t **high)
{
    if (!top) {
        *low = *high = NULL;
    } else if (before(top, key)) {
        split(before, top->right, key, &top->right, high);
        *low = top;
        update(top);
    } else {
        split(before, top->left, key, low, &top->left);
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

static mni_leaf_t *insert(mni_order_t *before, mni_leaf_t *top, mni_leaf_t *leaf)
{
    if (!top || leaf->weight > top->weight) {
        split(before, top, leaf, &leaf->left, &leaf->right);
        top = leaf;
    } else if (before(leaf, top)) {
        top->left = insert(before, top->left, leaf);
    } else {
        top->right = insert(before, top->right, leaf);
    }
    update(top);
    return top;
}

static mni_leaf_t *take_out(mni_order_t *before, mni_leaf_t *top, const mni_leaf_t *leaf)
{
    if (top == leaf)
        return merge(top->left, top->right);
    if (before(leaf, top))
        top->left = take_out(before, top->left, leaf);
    else
        top->right = take_out(before, top->right, leaf);
    update(top);
    return top;
}

void mni_tree_insert(mni_tree_t *tree, mni_leaf_t *leaf)
{
    if (leaf->weight == 0) {
        tree->random = tree->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        leaf->weight = (uint32_t)(tree->random >> 32) | 1;
    }
    leaf->left = leaf->right = NULL;
    leaf->in = true;
    tree->top = insert(tree->before, tree->top, leaf);
}

void mni_tree_remove(mni_tree_t *tree, mni_leaf_t *leaf)
{
    if (!leaf->in)
        return;
    leaf->in = false;
    tree->top = take_out(tree->before, tree->top, leaf);
}

static mni_leaf_t *first(mni_leaf_t *top, uint64_t least, uint64_t other_least)
{
    while (top && top->most[0] >= least && top->most[1] >= other_least) {
        mni_leaf_t *found = first(top->left, least, other_least);
        if (found)
            return found;
        if (top->has[0] >= least && top->has[1] >= other_least)
            return top;
        top = top->right;
    }
    return NULL;
}

mni_leaf_t *mni_tree_first(const mni_tree_t *tree, uint64_t least, uint64_t other_least)
{
    return first(tree->top, least, other_least);
}
