/* arena.c: where temporary buffers lie in the arena: two that live at the same time never overlap; otherwise memory is
   used again. Largest first, each at the lowest free offset. Rests on base/. */
#include "plan/plan.h"
#include <stdlib.h>

#define ALIGNMENT 64

typedef struct order {
    size_t bytes;
    int32_t index;
} order;

static int larger_first(const void *a, const void *b)
{
    const order *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->index - y->index;
}

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool overlap_in_time(const cbm_lifetime *a, const cbm_lifetime *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* A buffer that takes another's place is one with it: the chain's head stands for all. */
static void join_shared(cbm_lifetime *l, size_t count)
{
    for (size_t i = 0; i < count; i++) /* shares always points to an earlier buffer */
        if (l[i].shares >= 0) {
            int32_t head = l[i].shares;
            while (l[head].shares >= 0)
                head = l[head].shares;
            l[i].shares = head;
            l[head].last = l[i].last > l[head].last ? l[i].last : l[head].last;
            l[head].bytes = l[i].bytes > l[head].bytes ? l[i].bytes : l[head].bytes;
        }
}

bool cbm_arena_layout(cbm_heap *heap, cbm_lifetime *l, size_t count, bool reuse, size_t *arena)
{
    *arena = 0;
    if (!count)
        return true;
    order *o = cbm_heap_take(heap, count * sizeof *o);
    int32_t *placed = cbm_heap_take(heap, count * sizeof *placed); /* by offset, lowest first */
    size_t n_placed = 0;
    bool ok = o && placed;
    if (ok) {
        join_shared(l, count);
        for (size_t i = 0; i < count; i++)
            o[i] = (order){ rounded(l[i].bytes), (int32_t)i };
        qsort(o, count, sizeof *o, larger_first);
    }
    for (size_t k = 0; k < count && ok; k++) {
        cbm_lifetime *a = &l[o[k].index];
        if (a->shares >= 0)
            continue;
        size_t offset = 0, at = 0;
        for (size_t p = 0; p < n_placed; p++) {
            const cbm_lifetime *b = &l[placed[p]];
            if (reuse && !overlap_in_time(a, b))
                continue;
            if ((size_t)b->offset >= offset + o[k].bytes)
                break;
            size_t end = (size_t)b->offset + rounded(b->bytes);
            offset = end > offset ? end : offset;
        }
        a->offset = (int64_t)offset;
        while (at < n_placed && l[placed[at]].offset <= a->offset)
            at++;
        for (size_t p = n_placed++; p > at; p--)
            placed[p] = placed[p - 1];
        placed[at] = o[k].index;
        *arena = offset + o[k].bytes > *arena ? offset + o[k].bytes : *arena;
    }
    for (size_t i = 0; i < count && ok; i++)
        if (l[i].shares >= 0)
            l[i].offset = l[l[i].shares].offset;
    cbm_heap_give(heap, o, count * sizeof *o);
    cbm_heap_give(heap, placed, count * sizeof *placed);
    return ok;
}
