/* SPDX-License-Identifier: MIT
 *
 * Pairing heaps whose members carry their node: insert and meld in constant time, remove in
 * amortized logarithmic time, no memory needed. A member whose order changes is removed before the
 * change and inserted after it.
 */
#include "core/containers.h"

static mni_heap_node_t *meld(const mni_heap_t *heap, mni_heap_node_t *a, mni_heap_node_t *b)
{
    if (!a || !b)
        return a ? a : b;
    if (heap->before(b, a)) {
        mni_heap_node_t *swap = a;
        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Makes one heap of a list of siblings: pairs from left to right, then all from right to left. */
static mni_heap_node_t *merge(const mni_heap_t *heap, mni_heap_node_t *list)
{
    mni_heap_node_t *pairs = NULL, *top = NULL;

    while (list) {
        mni_heap_node_t *a = list, *b = a->next;
        list = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = meld(heap, a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        mni_heap_node_t *a = pairs;
        pairs = a->next;
        a->next = NULL;
        top = meld(heap, top, a);
    }
    if (top)
        top->prev = NULL;
    return top;
}

void mni_heap_insert(mni_heap_t *heap, mni_heap_node_t *node)
{
    *node = (mni_heap_node_t){NULL, NULL, NULL};
    heap->top = meld(heap, heap->top, node);
}

void mni_heap_remove(mni_heap_t *heap, mni_heap_node_t *node)
{
    mni_heap_node_t *rest;

    if (node == heap->top) {
        heap->top = merge(heap, node->child);
    } else {
        if (node->prev->child == node)
            node->prev->child = node->next;
        else
            node->prev->next = node->next;
        if (node->next)
            node->next->prev = node->prev;
        rest = merge(heap, node->child);
        heap->top = meld(heap, heap->top, rest);
    }
    *node = (mni_heap_node_t){NULL, NULL, NULL};
}
