/* arena.c: where temporary buffers lie in the arena: two that live at the same time never overlap; otherwise memory is used
   again. Each in turn takes the lowest free place; in which turn is searched for, since no order is the best for every plan.
   Rests on base/. */
#include "plan/plan.h"
#include <stdlib.h>

#define ALIGNMENT 64
#define SMALL 2048 /* buffers of less than this part of what is in use at the peak come last, and are not searched */
#define WORTH_IT ((size_t)256 << 10) /* bytes: smaller arenas are as they come */
#define TRIES 192                    /* orders tried from each start */
#define MOST_WORK 10e6               /* pairs of buffers compared in a search */
#define MANY 4096                    /* buffers of which only one order is tried */

typedef struct order {
    double key; /* placed in descending order */
    int32_t index;
} order;

/* Where a search begins. */
typedef enum rule { LARGE, LONG_AND_LARGE, PEAK_FIRST, RULES } rule;

static int by_key(const void *a, const void *b)
{
    const order *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? 1 : -1;
    return x->index - y->index;
}

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

bool cbm_at_one_time(const cbm_lifetime *a, const cbm_lifetime *b)
{
    return a->first <= b->last && b->first <= a->last;
}

void cbm_arena_join(cbm_lifetime *l, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (l[i].shares >= 0) {
            int32_t head = l[i].shares;
            while (l[head].shares >= 0)
                head = l[head].shares;
            l[i].shares = head;
            l[head].last = l[i].last > l[head].last ? l[i].last : l[head].last;
            l[head].bytes = l[i].bytes > l[head].bytes ? l[i].bytes : l[head].bytes;
        }
}

static bool has_place(const cbm_lifetime *l)
{
    return l->shares < 0 && !l->lent;
}

/* ---- placing ---- */

typedef struct layout {
    cbm_lifetime *l;
    order *o;               /* of those that get a place of their own */
    size_t count, searched; /* of o; of these the first may change places */
    int32_t *placed;        /* scratch: by offset, the lowest first */
    bool reuse;
    size_t least; /* bytes that no arena can do without */
    int32_t peak; /* the step that needs them */
} layout;

/* Gives the first n buffers of o places, each in turn at the lowest free offset. Returns the bytes of the arena; *top: the
   number in o of the one that ends there. */
static size_t place(const layout *y, size_t n, size_t *top)
{
    size_t n_placed = 0, arena = 0;
    for (size_t k = 0; k < n; k++) {
        cbm_lifetime *a = &y->l[y->o[k].index];
        size_t offset = 0, at = 0;
        const size_t bytes = rounded(a->bytes);
        for (size_t p = 0; p < n_placed; p++) {
            const cbm_lifetime *b = &y->l[y->placed[p]];
            if (y->reuse && !cbm_at_one_time(a, b))
                continue;
            if ((size_t)b->offset >= offset + bytes)
                break;
            const size_t end = (size_t)b->offset + rounded(b->bytes);
            offset = end > offset ? end : offset;
        }
        a->offset = (int64_t)offset;
        while (at < n_placed && y->l[y->placed[at]].offset <= a->offset)
            at++;
        for (size_t p = n_placed++; p > at; p--)
            y->placed[p] = y->placed[p - 1];
        y->placed[at] = y->o[k].index;
        if (offset + bytes > arena) {
            arena = offset + bytes;
            *top = k;
        }
    }
    return arena;
}

/* ---- orders ---- */

static void find_peak(layout *y, size_t *live, int32_t steps)
{
    for (size_t k = 0; k < y->count; k++) {
        const cbm_lifetime *a = &y->l[y->o[k].index];
        for (int32_t s = a->first; s <= a->last; s++)
            live[s] += rounded(a->bytes);
    }
    for (int32_t s = 0; s < steps; s++)
        if (live[s] > y->least) {
            y->least = live[s];
            y->peak = s;
        }
}

static double key_of(const layout *y, rule r, const cbm_lifetime *l)
{
    const double bytes = (double)l->bytes, area = bytes * (double)(l->last - l->first + 1);
    if ((size_t)l->bytes < y->least / SMALL)
        return bytes / 1e30;
    if (r == PEAK_FIRST && l->first <= y->peak && y->peak <= l->last)
        return 1e30 * (1 + (double)l->last); /* a stack: the first to go on top */
    return r == LARGE ? bytes : area;
}

static void sort(layout *y, rule r)
{
    y->searched = 0;
    for (size_t k = 0; k < y->count; k++) {
        const cbm_lifetime *l = &y->l[y->o[k].index];
        y->o[k].key = key_of(y, r, l);
        y->searched += l->bytes >= y->least / SMALL;
    }
    qsort(y->o, y->count, sizeof *y->o, by_key);
}

static void move_up(layout *y, size_t from, size_t to)
{
    const order moved = y->o[from];
    for (size_t k = from; k > to; k--)
        y->o[k] = y->o[k - 1];
    y->o[to] = moved;
}

static void move_down(layout *y, size_t from, size_t to)
{
    const order moved = y->o[from];
    for (size_t k = from; k < to; k++)
        y->o[k] = y->o[k + 1];
    y->o[to] = moved;
}

/* What ends at the top of the arena comes earlier, at a place drawn at random, unless that makes the arena larger; every third
   time any other buffer does, for the way to a better order may lead through equals. */
static void search(layout *y, size_t tries)
{
    size_t top = 0, bytes = place(y, y->searched, &top);
    for (size_t i = 0; i < tries && bytes > y->least && y->searched > 1; i++) {
        const bool any = top == 0 || i % 3 == 2;
        const size_t from = any ? 1 + (size_t)cbm_philox_below(1, 0, i, y->searched - 1) : top;
        const size_t to = (size_t)cbm_philox_below(0, 0, i, from);
        size_t new_top = 0;
        move_up(y, from, to);
        const size_t now = place(y, y->searched, &new_top);
        if (now > bytes) {
            move_down(y, to, from);
            continue;
        }
        bytes = now;
        top = new_top;
    }
}

/* The order with the smallest arena. best: room for one more. */
static void choose_order(layout *y, order *best)
{
    size_t least = SIZE_MAX, top;
    for (rule r = LARGE; r < (y->count > MANY ? 1 : RULES) && least > y->least; r++) {
        sort(y, r);
        const double pairs = (double)y->searched * (double)y->searched + 1, most = MOST_WORK / pairs;
        if (y->least >= WORTH_IT && most >= 1)
            search(y, most < TRIES ? (size_t)most : TRIES);
        const size_t bytes = place(y, y->count, &top);
        if (bytes >= least)
            continue;
        least = bytes;
        for (size_t k = 0; k < y->count; k++)
            best[k] = y->o[k];
    }
    for (size_t k = 0; k < y->count; k++)
        y->o[k] = best[k];
}

bool cbm_arena_layout(cbm_heap *heap, cbm_lifetime *l, size_t count, bool reuse, size_t *arena)
{
    int32_t steps = 1;
    for (size_t i = 0; i < count; i++)
        steps = l[i].last + 1 > steps ? l[i].last + 1 : steps;
    *arena = 0;
    order *orders = cbm_heap_take(heap, (2 * count + 1) * sizeof *orders);
    int32_t *placed = cbm_heap_take(heap, (count + 1) * sizeof *placed);
    size_t *live = cbm_heap_take_zero(heap, (size_t)steps * sizeof *live), top;
    const bool ok = orders && placed && live;
    layout y = { .l = l, .o = orders, .placed = placed, .reuse = reuse };
    if (ok) {
        cbm_arena_join(l, count);
        for (size_t i = 0; i < count; i++)
            if (has_place(&l[i]))
                y.o[y.count++].index = (int32_t)i;
        find_peak(&y, live, steps);
        if (reuse)
            choose_order(&y, orders + count);
        *arena = place(&y, y.count, &top);
    }
    for (size_t i = 0; i < count && ok; i++)
        if (l[i].shares >= 0) {
            l[i].offset = l[l[i].shares].offset;
            l[i].lent = l[l[i].shares].lent;
        }
    cbm_heap_give(heap, orders, (2 * count + 1) * sizeof *orders);
    cbm_heap_give(heap, placed, (count + 1) * sizeof *placed);
    cbm_heap_give(heap, live, (size_t)steps * sizeof *live);
    return ok;
}
